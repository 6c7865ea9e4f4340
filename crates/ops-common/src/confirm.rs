//! Consent: the permit that a destructive call has to be given, and the only
//! way to get one.

use std::io::{self, BufRead, IsTerminal};

use nix::sys::termios::{FlushArg, tcflush};

use crate::account::Caller;
use crate::args::ConfirmArgs;
use crate::error::{Error, Exit};
use crate::target::Target;
use crate::ui::{Ui, printable};

/// Leave to change or destroy one resource in one target. Taken by value, so
/// that it serves once; only this module makes one.
#[derive(Debug)]
pub struct Permit {
    target: Target,
    resource: String,
}

impl Permit {
    /// The target that the permit is for.
    #[must_use]
    pub fn target(&self) -> Target {
        self.target
    }

    /// The name of the thing that the permit is for.
    #[must_use]
    pub fn resource(&self) -> &str {
        &self.resource
    }

    /// The same, for who acts in `target`.
    ///
    /// # Errors
    /// Where the permit is for another target.
    pub fn resource_in(&self, target: Target) -> Result<&str, Error> {
        self.is_for(target, &self.resource).map(|()| self.resource())
    }

    /// Refuses to serve for anything else.
    ///
    /// # Errors
    /// Where the permit is for another target or another thing.
    pub fn is_for(&self, target: Target, resource: &str) -> Result<(), Error> {
        if (self.target, self.resource.as_str()) == (target, resource) {
            return Ok(());
        }
        Err(Error::new(format!("the permit is for `{}` in `{}`", self.resource, self.target)))
    }

    /// Two permits, where one question named two works on the same thing.
    #[must_use]
    pub fn for_two(self) -> (Self, Self) {
        (Self { target: self.target, resource: self.resource.clone() }, self)
    }
}

/// How much consent a change needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Risk {
    /// Nothing is asked: it is on this machine, or adds only what is missing.
    None,
    /// y/N, or `--yes`; where the account is not known, as `Destroys`.
    Changes,
    /// The thing's name typed, or `--confirm NAME`.
    Destroys,
}

/// One question about one thing.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// where
    pub target: Target,
    /// what kind of thing: `table`, `database`
    pub kind: &'a str,
    /// its name, which is what has to be typed
    pub resource: &'a str,
    /// what happens to it, a line or more without a full stop
    pub what: &'a str,
    /// how much consent it needs
    pub risk: Risk,
}

/// Who can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asking {
    Possible,
    /// stdin or stderr is no terminal
    Impossible,
}

fn asking() -> Asking {
    let both = io::stdin().is_terminal() && io::stderr().is_terminal();
    if both { Asking::Possible } else { Asking::Impossible }
}

/// What the flags alone say of a question.
#[derive(Debug, PartialEq, Eq)]
enum ByFlags {
    Granted,
    HasToBeAsked,
}

/// How the question has to be answered.
fn risk(question: &Question<'_>, caller: &Caller) -> Risk {
    match (question.risk, caller) {
        (Risk::Changes, Caller::Unknown) => Risk::Destroys,
        (risk, _) => risk,
    }
}

fn judge_flags(
    question: &Question<'_>,
    args: &ConfirmArgs,
    caller: &Caller,
    asking: Asking,
) -> Result<ByFlags, Error> {
    let Question { kind, resource, target, .. } = *question;
    let risk = risk(question, caller);
    if let Some(confirmed) = &args.confirm {
        if confirmed == resource {
            return Ok(ByFlags::Granted);
        }
        return Err(Error::new(format!(
            "--confirm names `{confirmed}`, and the {kind} is `{resource}`"
        ))
        .hint(format!("if `{resource}` is what you mean: --confirm {resource}")));
    }
    if risk == Risk::None || risk == Risk::Changes && args.yes {
        return Ok(ByFlags::Granted);
    }
    if asking == Asking::Possible {
        return Ok(ByFlags::HasToBeAsked);
    }
    let mut no_terminal = Error::new(format!(
        "this changes the {kind} `{resource}` in `{target}`, and there is no terminal to ask at"
    ));
    for line in question.what.lines() {
        no_terminal = no_terminal.cause(line);
    }
    Err(match risk {
        Risk::Destroys if args.yes && question.risk == Risk::Changes => no_terminal
            .cause("the account is not known, and then --yes does not suffice")
            .hint(format!("consent with --confirm {resource}, or make STS reachable")),
        Risk::Destroys if args.yes => no_terminal
            .cause("--yes does not suffice to destroy something")
            .hint(format!("consent with --confirm {resource}")),
        Risk::Destroys => no_terminal.hint(format!("consent with --confirm {resource}")),
        _ => no_terminal.hint(format!(
            "consent with --yes, or with --confirm {resource} where something is replaced"
        )),
    })
}

/// Fails where consent could not be given: no terminal to ask at and no flag,
/// or a flag that names something else. To be called before any request, with
/// the least risk that the work can turn out to have.
///
/// # Errors
/// As said; exit code 1.
pub fn check_can_consent(question: &Question<'_>, args: &ConfirmArgs) -> Result<(), Error> {
    judge_flags(question, args, &Caller::NoAccount, asking()).map(|_| ())
}

/// Gets consent, by flag or by asking. `caller` is who would do it: see
/// [`crate::account::identify`].
///
/// # Errors
/// No terminal and no flag: exit code 1. A no, or the end of input: exit code 4.
pub async fn confirm(
    question: &Question<'_>,
    args: &ConfirmArgs,
    caller: &Caller,
    ui: &Ui,
) -> Result<Permit, Error> {
    if judge_flags(question, args, caller, asking())? == ByFlags::HasToBeAsked {
        let question = Question { risk: risk(question, caller), ..*question };
        ask(&question, ui).await?;
    } else if question.target == Target::Prod && question.risk != Risk::None {
        // For whoever reads the log.
        ui.note(question.what);
    }
    Ok(Permit { target: question.target, resource: question.resource.to_owned() })
}

async fn ask(question: &Question<'_>, ui: &Ui) -> Result<(), Error> {
    let Question { kind, resource, what, .. } = *question;
    // What was typed before the question could be read does not answer it.
    tcflush(io::stdin(), FlushArg::TCIFLUSH)
        .map_err(|error| Error::new("cannot prepare the terminal for a question").cause(error))?;
    ui.say(what);
    match question.risk {
        Risk::Destroys => ui.ask(&format!("Type the name of the {kind} to go on:")),
        _ => ui.ask("Go on? [y/N]"),
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
    let whole = answer.ends_with('\n');
    if !whole {
        // The cursor stands behind the question.
        ui.say("");
    }
    let answer = answer.trim();
    if whole && is_consent(question, answer) {
        return Ok(());
    }
    let declined = Error::new(format!("declined; the {kind} `{resource}` is as it was"));
    let declined = match question.risk {
        _ if !whole => declined.cause("the input ended before Enter was pressed"),
        Risk::Destroys if !answer.is_empty() => {
            declined.cause(format!("`{}` is not its name", printable(answer)))
        }
        _ => declined,
    };
    Err(declined.exit(Exit::Declined))
}

fn is_consent(question: &Question<'_>, answer: &str) -> bool {
    match question.risk {
        Risk::Destroys => answer == question.resource,
        _ => answer.eq_ignore_ascii_case("y") || answer.eq_ignore_ascii_case("yes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(risk: Risk) -> Question<'static> {
        Question { target: Target::Prod, kind: "table", resource: "messages", what: "", risk }
    }

    fn flags(yes: bool, confirm: Option<&str>) -> ConfirmArgs {
        ConfirmArgs { yes, confirm: confirm.map(str::to_owned) }
    }

    #[test]
    fn what_needs_no_consent_is_granted() {
        let verdict = judge_flags(
            &question(Risk::None),
            &flags(false, None),
            &Caller::NoAccount,
            Asking::Impossible,
        );
        assert_eq!(verdict.ok(), Some(ByFlags::Granted));
    }

    #[test]
    fn yes_is_enough_to_change_and_never_to_destroy() {
        let judge = |risk, asking| {
            judge_flags(&question(risk), &flags(true, None), &Caller::NoAccount, asking)
        };
        assert_eq!(judge(Risk::Changes, Asking::Impossible).ok(), Some(ByFlags::Granted));
        assert_eq!(judge(Risk::Destroys, Asking::Possible).ok(), Some(ByFlags::HasToBeAsked));
        let error = judge(Risk::Destroys, Asking::Impossible).expect_err("no consent");
        assert_eq!(error.exit_kind(), Exit::Failed);
        assert_eq!(error.hints(), ["consent with --confirm messages"]);
    }

    #[test]
    fn confirm_has_to_be_the_exact_name() {
        for risk in [Risk::None, Risk::Changes, Risk::Destroys] {
            let judge = |name| {
                judge_flags(
                    &question(risk),
                    &flags(false, Some(name)),
                    &Caller::NoAccount,
                    Asking::Possible,
                )
            };
            assert_eq!(judge("messages").ok(), Some(ByFlags::Granted));
            for wrong in ["message", "Messages", "", "messages "] {
                assert!(judge(wrong).is_err(), "{wrong}");
            }
        }
    }

    #[test]
    fn nobody_to_ask_is_an_error_at_once() {
        for risk in [Risk::Changes, Risk::Destroys] {
            assert!(
                judge_flags(
                    &question(risk),
                    &flags(false, None),
                    &Caller::NoAccount,
                    Asking::Impossible
                )
                .is_err()
            );
        }
    }

    #[test]
    fn answers() {
        for (answer, changes, destroys) in [
            ("y", true, false),
            ("YES", true, false),
            ("", false, false),
            ("n", false, false),
            ("yep", false, false),
            ("messages", false, true),
            ("message", false, false),
        ] {
            assert_eq!(is_consent(&question(Risk::Changes), answer), changes, "{answer}");
            assert_eq!(is_consent(&question(Risk::Destroys), answer), destroys, "{answer}");
        }
    }
}
