//! Consent: the permit that every writing function has to be given, and the only way
//! to get one. What is asked where stands in one table, in `asks`.
//!
//! A tool calls [`check`] before it asks anything of a service, and [`ask`] when it
//! knows what it would do, and to what.

use std::fmt;
use std::io::{self, BufRead, IsTerminal};

use nix::sys::termios::{FlushArg, tcflush};

use crate::args::ConfirmArgs;
use crate::error::{Error, Exit};
use crate::target::Target;
use crate::text::printable;
use crate::ui::Ui;

/// What can be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// a DynamoDB table
    Table,
    /// a Postgres database
    Database,
    /// a Cognito user pool
    UserPool,
    /// all that is held of a person
    Person,
    /// a conversation, with its rows in two inboxes
    Conversation,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Table => "table",
            Self::Database => "database",
            Self::UserPool => "user pool",
            Self::Person => "person",
            Self::Conversation => "conversation",
        })
    }
}

/// Leave to change one thing in one target. Only this module makes one.
#[derive(Debug)]
#[must_use]
pub struct Permit {
    target: Target,
    kind: Kind,
    name: String,
}

impl Permit {
    /// Refuses to serve for anything else. Every function that writes calls it.
    ///
    /// # Errors
    /// Where the permit is for another target or another thing.
    pub fn covers(&self, target: Target, kind: Kind, name: &str) -> Result<(), Error> {
        if (self.target, self.kind, self.name.as_str()) == (target, kind, name) {
            return Ok(());
        }
        Err(Error::new(format!(
            "the permit is for the {} `{}` in `{}`, not for the {kind} `{name}` in `{target}`",
            self.kind, self.name, self.target
        )))
    }
}

/// What a change does to what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// nothing: all that it would make is there already
    Nothing,
    /// adds something, and leaves what is there as it is
    Adds,
    /// changes what is there
    Changes,
    /// deletes or replaces what is there
    Destroys,
}

/// Whose credentials would make a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// nobody's: a service on this machine, or a database, which has no account
    NoAccount,
    /// those of an account that STS has named, and that is not another than expected
    Known,
    /// STS cannot be asked, and no account is expected
    Unknown,
}

/// Where a change would be made, as far as consent depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// this machine
    Local,
    /// what looks like this machine, and is a database without a stamp: perhaps the
    /// end of a tunnel to production
    LocalWithoutStamp,
    /// production
    Prod,
    /// production, in an account that could not be told
    ProdUnknownAccount,
}

impl Place {
    /// Of a table.
    #[must_use]
    pub fn of(target: Target, caller: Caller) -> Self {
        match (target, caller) {
            (Target::Local, _) => Self::Local,
            (Target::Prod, Caller::Unknown) => Self::ProdUnknownAccount,
            (Target::Prod, Caller::NoAccount | Caller::Known) => Self::Prod,
        }
    }

    /// Of a database that has a stamp, or none.
    #[must_use]
    pub fn of_database(target: Target, is_stamped: bool, caller: Caller) -> Self {
        match Self::of(target, caller) {
            Self::Local if !is_stamped => Self::LocalWithoutStamp,
            place => place,
        }
    }
}

/// What a person has to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asks {
    Nothing,
    /// y/N, or `--yes`
    YesOrNo,
    /// the thing's name, or `--confirm NAME`
    Name,
}

/// What each change asks in each place.
fn asks(effect: Effect, place: Place) -> Asks {
    match (effect, place) {
        (Effect::Nothing, _) | (_, Place::Local) | (Effect::Adds, Place::LocalWithoutStamp) => {
            Asks::Nothing
        }
        (Effect::Adds | Effect::Changes, Place::Prod) => Asks::YesOrNo,
        (Effect::Changes | Effect::Destroys, Place::LocalWithoutStamp)
        | (Effect::Destroys, Place::Prod)
        | (_, Place::ProdUnknownAccount) => Asks::Name,
    }
}

/// A change that somebody may be asked about.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    /// where
    pub target: Target,
    /// what kind of thing
    pub kind: Kind,
    /// its name, which is what has to be typed
    pub name: &'a str,
    /// what happens to it, a line or more without a full stop
    pub what: &'a str,
    /// what the change does
    pub effect: Effect,
}

/// Whether there is somebody to ask: a terminal on stdin and on stderr.
fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// What has still to be asked once the flags are looked at. `most`: what the change may
/// turn out to do.
fn left_to_ask(
    change: &Change<'_>,
    most: Effect,
    place: Place,
    args: &ConfirmArgs,
    can_ask: bool,
) -> Result<Asks, Error> {
    let Change { kind, name, target, .. } = *change;
    if let Some(confirmed) = &args.confirm {
        if confirmed == name {
            return Ok(Asks::Nothing);
        }
        return Err(Error::new(format!(
            "--confirm names `{confirmed}`, and the {kind} is `{name}`"
        ))
        .hint(format!("if `{name}` is what you mean: --confirm {name}")));
    }
    let asks = asks(change.effect, place);
    if asks == Asks::YesOrNo && args.yes {
        return Ok(Asks::Nothing);
    }
    if asks == Asks::Nothing || can_ask {
        return Ok(asks);
    }
    let error = Error::new(format!(
        "this changes the {kind} `{name}` in `{target}`, and there is no terminal to ask at"
    ));
    let error = change.what.lines().fold(error, Error::cause);
    Err(match (asks, place) {
        (Asks::Name, Place::ProdUnknownAccount) if args.yes => error
            .cause("the account is not known, and then --yes is not enough")
            .hint(format!("consent with --confirm {name}, or make STS reachable")),
        (Asks::Name, _) if args.yes => error
            .cause("--yes is not enough to destroy something")
            .hint(format!("consent with --confirm {name}")),
        (Asks::Name, _) => error.hint(format!("consent with --confirm {name}")),
        _ if most == Effect::Destroys => error.hint(format!(
            "consent with --yes, or with --confirm {name} where something is replaced"
        )),
        _ => error.hint("consent with --yes"),
    })
}

/// Fails where consent could not be given: no terminal and no flag, or a flag that
/// names something else. To be called before any request, with the least effect that
/// the work can turn out to have in `change`, and the worst in `most`.
///
/// # Errors
/// No terminal and no flag, or `--confirm` with another name; exit code 1.
pub fn check(change: &Change<'_>, most: Effect, args: &ConfirmArgs) -> Result<(), Error> {
    let place = Place::of(change.target, Caller::NoAccount);
    left_to_ask(change, most, place, args, can_ask()).map(drop)
}

/// Gets consent, by flag or by asking.
///
/// # Errors
/// No terminal and no flag: exit code 1. A no, or the end of input: exit code 4.
pub async fn ask(
    change: &Change<'_>,
    place: Place,
    args: &ConfirmArgs,
    ui: &Ui,
) -> Result<Permit, Error> {
    match left_to_ask(change, change.effect, place, args, can_ask())? {
        Asks::Nothing => {
            if change.target == Target::Prod && change.effect != Effect::Nothing {
                // For whoever reads the log.
                ui.note(change.what);
            }
        }
        asks => put_question(change, asks, ui).await?,
    }
    Ok(Permit { target: change.target, kind: change.kind, name: change.name.to_owned() })
}

/// Gets consent for something that is in several places, and with it leave to change
/// each of them: what `change` says is all that may be done there.
///
/// # Errors
/// Like [`ask`].
pub async fn ask_for_all<const N: usize>(
    change: &Change<'_>,
    parts: [(Kind, &str); N],
    place: Place,
    args: &ConfirmArgs,
    ui: &Ui,
) -> Result<[Permit; N], Error> {
    let Permit { target, .. } = ask(change, place, args, ui).await?;
    Ok(parts.map(|(kind, name)| Permit { target, kind, name: name.to_owned() }))
}

async fn put_question(change: &Change<'_>, asks: Asks, ui: &Ui) -> Result<(), Error> {
    let Change { kind, name, what, .. } = *change;
    // What was typed before the question could be read does not answer it.
    tcflush(io::stdin(), FlushArg::TCIFLUSH)
        .map_err(|error| Error::new("cannot prepare the terminal for a question").cause(error))?;
    ui.say(what);
    match asks {
        Asks::Name => ui.ask(&format!("Type the name of the {kind} to continue:")),
        _ => ui.ask("Continue? [y/N]"),
    }
    // On a thread of its own, so that Ctrl-C is heard while the question waits.
    let read = tokio::task::spawn_blocking(|| {
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer).map(|_| answer)
    });
    let answer = read
        .await
        .map_err(io::Error::from)
        .and_then(|answer| answer)
        .map_err(|error| Error::new("cannot read the answer").cause(error))?;
    // Only Enter makes it an answer: Ctrl-D sends what stands there without.
    let is_whole = answer.ends_with('\n');
    if !is_whole {
        // The cursor stands behind the question.
        ui.say("");
    }
    let answer = answer.trim();
    if is_whole && is_consent(asks, name, answer) {
        return Ok(());
    }
    let declined = Error::new(format!("declined; the {kind} `{name}` is unchanged"));
    let declined = match asks {
        _ if !is_whole => declined.cause("the input ended before Enter was pressed"),
        Asks::Name if !answer.is_empty() => {
            declined.cause(format!("`{}` is not its name", printable(answer)))
        }
        _ => declined,
    };
    Err(declined.exit(Exit::Declined))
}

fn is_consent(asks: Asks, name: &str, answer: &str) -> bool {
    match asks {
        Asks::Name => answer == name,
        _ => answer.eq_ignore_ascii_case("y") || answer.eq_ignore_ascii_case("yes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(effect: Effect) -> Change<'static> {
        Change { target: Target::Prod, kind: Kind::Table, name: "messages", what: "", effect }
    }

    fn flags(yes: bool, confirm: Option<&str>) -> ConfirmArgs {
        ConfirmArgs { yes, confirm: confirm.map(str::to_owned) }
    }

    const EFFECTS: [Effect; 4] = [Effect::Nothing, Effect::Adds, Effect::Changes, Effect::Destroys];

    #[test]
    fn what_is_asked_where() {
        use Asks::{Name, Nothing, YesOrNo};
        for (place, asked) in [
            (Place::Local, [Nothing; 4]),
            (Place::LocalWithoutStamp, [Nothing, Nothing, Name, Name]),
            (Place::Prod, [Nothing, YesOrNo, YesOrNo, Name]),
            (Place::ProdUnknownAccount, [Nothing, Name, Name, Name]),
        ] {
            assert_eq!(EFFECTS.map(|effect| asks(effect, place)), asked, "{place:?}");
        }
    }

    #[test]
    fn yes_is_enough_to_change_and_never_to_destroy() {
        let left = |effect, can_ask| {
            left_to_ask(&change(effect), effect, Place::Prod, &flags(true, None), can_ask)
        };
        assert_eq!(left(Effect::Changes, false).ok(), Some(Asks::Nothing));
        assert_eq!(left(Effect::Destroys, true).ok(), Some(Asks::Name));
        let error = left(Effect::Destroys, false).expect_err("no consent");
        assert_eq!(error.exit_kind(), Exit::Failed);
        assert_eq!(error.hints(), ["consent with --confirm messages"]);
    }

    #[test]
    fn confirm_has_to_be_the_exact_name() {
        for effect in EFFECTS {
            let left = |name| {
                left_to_ask(&change(effect), effect, Place::Prod, &flags(false, Some(name)), true)
            };
            assert_eq!(left("messages").ok(), Some(Asks::Nothing));
            for wrong in ["message", "Messages", "", "messages "] {
                assert!(left(wrong).is_err(), "{wrong}");
            }
        }
    }

    #[test]
    fn nobody_to_ask_is_an_error_at_once() {
        for effect in [Effect::Adds, Effect::Changes, Effect::Destroys] {
            let left =
                |most| left_to_ask(&change(effect), most, Place::Prod, &flags(false, None), false);
            let hint = |most| left(most).expect_err("nobody to ask").hints().concat();
            assert_eq!(hint(Effect::Changes).contains("--yes"), effect != Effect::Destroys);
            assert!(hint(Effect::Destroys).contains("--confirm messages"));
        }
    }

    #[test]
    fn answers() {
        for (answer, yes, name) in [
            ("y", true, false),
            ("YES", true, false),
            ("", false, false),
            ("n", false, false),
            ("yep", false, false),
            ("messages", false, true),
            ("message", false, false),
        ] {
            assert_eq!(is_consent(Asks::YesOrNo, "messages", answer), yes, "{answer}");
            assert_eq!(is_consent(Asks::Name, "messages", answer), name, "{answer}");
        }
    }

    #[test]
    fn a_permit_serves_for_one_thing_only() {
        let permit =
            Permit { target: Target::Prod, kind: Kind::Table, name: "messages".to_owned() };
        assert!(permit.covers(Target::Prod, Kind::Table, "messages").is_ok());
        assert!(permit.covers(Target::Local, Kind::Table, "messages").is_err());
        assert!(permit.covers(Target::Prod, Kind::Database, "messages").is_err());
        assert!(permit.covers(Target::Prod, Kind::Table, "others").is_err());
    }
}
