//! What a shell completes while a person types: options and words, and the names of
//! tables, people and conversations, which the services on this machine are asked for.
//!
//! An option of one name, or a word in one place, means the same in every tool; so
//! they are found here by their names, and no tool says it again. `prod` is not asked:
//! a Tab key is no decision to sign in there.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::time::Duration;

use clap::builder::StyledStr;
use clap::{Arg, Command};
use clap_complete::CompleteEnv;
use clap_complete::engine::{
    ArgValueCompleter, CompletionCandidate, PathCompleter, ValueCompleter,
};
use uuid::Uuid;

use crate::app::conversations::{Period, message_groups};
use crate::app::records::Person;
use crate::app::users;
use crate::args::{DynamoArgs, TableArg};
use crate::dynamodb::Dynamo;
use crate::dynamodb::table::{Table, list};
use crate::env::{self, OPS_COMPLETE};
use crate::error::Error;
use crate::postgres::{ConnectionUrl, Db, stamp};
use crate::target::Target;
use crate::text::printable;
use crate::ui::{ColorChoice, Ui};

/// A person waits for the Tab key.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// People whose inboxes are read for their conversations.
const MOST_INBOXES: usize = 20;
const NEWEST: usize = 20;

/// What can be named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    Table,
    Handle,
    Conversation,
    /// `inbox:HANDLE` or `conversation:UUID`
    Partition,
}

impl Named {
    /// What an argument names.
    fn by(argument: &Arg) -> Option<Self> {
        let value = argument.get_value_names().and_then(|names| names.first());
        match (argument.get_id().as_str(), value.map(|value| value.as_str())) {
            ("table", _) => Some(Self::Table),
            ("group", _) | (_, Some("GROUP")) => Some(Self::Conversation),
            (_, Some("HANDLE")) => Some(Self::Handle),
            (_, Some("PK")) => Some(Self::Partition),
            _ => None,
        }
    }
}

/// Answers a shell that asks what may follow its words; false: nobody asks.
///
/// # Errors
/// Where the shell is unknown or does not listen.
pub(crate) fn complete(command: impl Fn() -> Command) -> clap::error::Result<bool> {
    // As the scripts call it. A variable that is left in the environment stops no tool.
    let mut asked = std::env::args_os().skip(1);
    let tool = command().get_name().to_owned();
    if asked.next().is_none_or(|word| word != "--") || asked.next().is_none_or(|word| word != *tool)
    {
        return Ok(false);
    }
    let is_bash = env::var(OPS_COMPLETE).is_some_and(|shell| shell.ends_with("bash"));
    let words = std::env::args_os().collect();
    let words = if is_bash { with_colons(words) } else { words };
    CompleteEnv::with_factory(|| completing(command(), is_bash))
        .var(OPS_COMPLETE)
        .try_complete(words, std::env::current_dir().ok().as_deref())
}

/// bash takes a colon for the end of a word, and knows the word by its number. The parts
/// are one word again, and options that mean nothing here keep the numbers.
fn with_colons(words: Vec<OsString>) -> Vec<OsString> {
    let all = words.len();
    let mut joined: Vec<OsString> = Vec::with_capacity(all);
    let mut follows = false;
    for (place, word) in words.into_iter().enumerate() {
        let before = joined.last_mut().filter(|_| place > START);
        // Behind a colon, where nothing is typed yet, bash leaves the colon out.
        let is_prefix = |before: &OsString| before == "inbox" || before == "conversation";
        match before {
            Some(before) if follows => before.push(word),
            Some(before) if word == ":" => before.push(word),
            Some(before) if place + 1 == all && word.is_empty() && is_prefix(before) => {
                before.push(":");
            }
            _ => joined.push(word),
        }
        follows = joined.last().is_some_and(|last| last.as_encoded_bytes().ends_with(b":"));
    }
    let fill = std::iter::repeat_n(OsString::from("--quiet"), all - joined.len());
    let start = START.min(joined.len());
    joined.splice(start..start, fill);
    joined
}

/// Before the words that are typed stand this binary, `--` and the tool's name.
const START: usize = 3;

/// The command, with what asks the services.
fn completing(command: Command, is_bash: bool) -> Command {
    // TARGET may be left out, and the thing stands in its place.
    let thing = command.get_positionals().find_map(Named::by);
    let is_file =
        |argument: &Arg| argument.get_value_names().is_some_and(|names| names[0] == "FILE");
    let takes_file = command.get_positionals().any(is_file);
    command.mut_args(|argument| {
        let is_target = argument.get_value_names().is_some_and(|names| names[0] == "TARGET");
        match Named::by(&argument) {
            Some(named) => argument.add(ArgValueCompleter::new(move |typed: &OsStr| {
                matching(typed, candidates(named), is_bash)
            })),
            None if is_target && argument.get_possible_values().is_empty() => {
                let is_first = argument.get_id() == "first";
                let thing = thing.filter(|_| is_first);
                argument.add(ArgValueCompleter::new(move |typed: &OsStr| {
                    let targets = ["local", "prod"].map(CompletionCandidate::new).into_iter();
                    let things = thing.map(candidates).unwrap_or_default();
                    let mut fitting = matching(typed, targets.chain(things).collect(), is_bash);
                    if is_first && takes_file {
                        fitting.extend(PathCompleter::file().complete(typed));
                    }
                    fitting
                }))
            }
            None if is_file(&argument) => {
                argument.add(ArgValueCompleter::new(PathCompleter::file()))
            }
            None => argument,
        }
    })
}

/// Those that begin with what is typed. bash replaces only what stands behind a colon.
fn matching(
    typed: &OsStr,
    candidates: Vec<CompletionCandidate>,
    is_bash: bool,
) -> Vec<CompletionCandidate> {
    let typed = typed.to_string_lossy();
    let kept = typed.rfind(':').filter(|_| is_bash).map_or(0, |colon| colon + 1);
    let fitting = candidates.into_iter().filter_map(|candidate| {
        let value = candidate.get_value().to_str()?.strip_prefix(&typed[..kept])?.to_owned();
        let help = candidate.get_help().cloned();
        value.starts_with(&typed[kept..]).then(|| CompletionCandidate::new(value).help(help))
    });
    fitting.collect()
}

/// What there is on this machine; nothing where something is wrong: a person who types
/// is not told.
fn candidates(named: Named) -> Vec<CompletionCandidate> {
    if std::env::args_os().any(|word| word == "prod") {
        return Vec::new();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else { return Vec::new() };
    let found = runtime.block_on(async {
        tokio::time::timeout(ANSWER_WITHIN, async {
            match named {
                Named::Table => tables().await,
                Named::Handle => handles().await,
                Named::Conversation => conversations().await,
                Named::Partition => {
                    let handles = handles().await?;
                    let inboxes = handles.into_iter().map(|found| found.add_prefix("inbox:"));
                    let groups = conversations().await.unwrap_or_default().into_iter();
                    let groups = groups.map(|found| found.add_prefix("conversation:"));
                    Ok(inboxes.chain(groups).collect())
                }
            }
        })
        .await
    });
    runtime.shutdown_background();
    found.ok().and_then(Result::ok).unwrap_or_default()
}

fn silent() -> Ui {
    Ui::new(ColorChoice::Never, false).quiet(true)
}

async fn tables() -> Result<Vec<CompletionCandidate>, Error> {
    let db = Dynamo::connect(Target::Local, &DynamoArgs::default(), &silent()).await?;
    Ok(list(&db).await?.into_iter().filter(|name| is_harmless(name)).map(candidate).collect())
}

async fn handles() -> Result<Vec<CompletionCandidate>, Error> {
    let people = people().await?.into_iter().filter(|person| is_harmless(&person.handle));
    let with_name = |person: Person| candidate(person.handle).help(help(&person.display_name));
    Ok(people.map(with_name).collect())
}

async fn people() -> Result<Vec<Person>, Error> {
    let ui = silent();
    let url = ConnectionUrl::from_env(Target::Local)?;
    let db = Db::connect(&url, &ui).await?;
    stamp::of_this_environment(&db, &url).await?;
    users::everybody(&db).await
}

/// Those of the inboxes of the first people, by who takes part.
async fn conversations() -> Result<Vec<CompletionCandidate>, Error> {
    let table = TableArg::default().name();
    let db = Dynamo::connect(Target::Local, &DynamoArgs::default(), &silent()).await?;
    let table = Table::of(&db, table);
    let mut found: BTreeMap<Uuid, String> = BTreeMap::new();
    for person in people().await?.into_iter().take(MOST_INBOXES) {
        let groups = message_groups(&table, person.uuid, Period::default(), NEWEST).await?;
        for group in groups.rows {
            let who = format!("{} and {}", person.handle, group.other.handle);
            found.entry(group.group).or_insert(who);
        }
    }
    let found = found.into_iter();
    Ok(found.map(|(group, who)| candidate(group.to_string()).help(help(&who))).collect())
}

fn candidate(value: String) -> CompletionCandidate {
    CompletionCandidate::new(value)
}

fn help(text: &str) -> Option<StyledStr> {
    Some(StyledStr::from(printable(text)))
}

/// Whether a shell may put it on the command line as it is: a handle like `$(…)` would
/// be run.
fn is_harmless(word: &str) -> bool {
    !word.starts_with('-')
        && word.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_bash_cut_at_colons_are_whole() {
        for (typed, whole) in [
            ("ddb-query inbox", "ddb-query inbox"),
            ("ddb-query inbox : ba", "ddb-query --quiet --quiet inbox:ba"),
            ("ddb-query inbox :", "ddb-query --quiet inbox:"),
            ("ddb-query prod inbox ", "ddb-query --quiet prod inbox:"),
            ("ddb-query inbox : ba --limit ", "ddb-query --quiet --quiet inbox:ba --limit "),
            ("ddb-scan --table ", "ddb-scan --table "),
        ] {
            let words = ["binary", "--"].into_iter().chain(typed.split(' '));
            let words = with_colons(words.map(OsString::from).collect());
            let words: Vec<&str> = words.iter().skip(2).filter_map(|word| word.to_str()).collect();
            assert_eq!(words.join(" "), whole, "{typed}");
        }
    }

    #[test]
    fn bash_is_given_what_stands_behind_the_colon() {
        let values = |typed: &str, is_bash| {
            let candidates = ["inbox:bayko", "inbox:maren", "prod"].map(CompletionCandidate::new);
            let fitting = matching(OsStr::new(typed), candidates.into(), is_bash);
            let values = fitting.iter().filter_map(|fitting| fitting.get_value().to_str());
            values.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(values("inbox:b", true), "bayko");
        assert_eq!(values("inbox:b", false), "inbox:bayko");
        assert_eq!(values("inbox:", true), "bayko maren");
        assert_eq!(values("in", true), "inbox:bayko inbox:maren");
        assert_eq!(values("", true), "inbox:bayko inbox:maren prod");
    }

    #[test]
    fn what_a_shell_would_run_is_no_candidate() {
        for (word, harmless) in [
            ("jess-bk", true),
            ("Übung_1.2", true),
            ("$(id)", false),
            ("a b", false),
            ("`id`", false),
            ("-rf", false),
            ("a;b", false),
        ] {
            assert_eq!(is_harmless(word), harmless, "{word}");
        }
    }
}
