//! `ddb-send-message`: sends a message as a person of the app, by the app's own
//! access pattern.

use std::io::{self, Read};
use std::process::ExitCode;

use chrono::{TimeDelta, Utc};
use clap::{ArgGroup, Parser, ValueEnum};
use ops_common::app::conversations::{Sent, conversation_of, create_message, create_message_group};
use ops_common::app::keys::SortTime;
use ops_common::app::records::{ApiMessage, MessageText, NotAMessage, Person};
use ops_common::app::times;
use ops_common::app::users::{self, Handle};
use ops_common::args::{ConfirmArgs, DynamoArgs, OutputArgs, TableArg, UiArgs};
use ops_common::cli;
use ops_common::consent::{self, Change, Effect, Kind, Permit, Place};
use ops_common::dynamodb::table::Table;
use ops_common::error::Error;
use ops_common::postgres::ConnectionUrl;
use ops_common::target::Target;
use ops_common::text::{printable, units};
use ops_common::ui::Ui;
use serde::Serialize;
use uuid::Uuid;

/// Send a message as a person of the app
///
/// One transaction puts the message and moves the conversation up in both
/// people's lists. --to goes on with the newest conversation that the two have,
/// and starts one where they have none. People are looked up in Postgres
/// (CONNECTION_URL, in `prod` PROD_CONNECTION_URL).
#[derive(Debug, Parser)]
#[command(
    version,
    override_usage = "ddb-send-message [OPTIONS] --from <HANDLE> <--group <UUID>|--to <HANDLE>> [TARGET] <TEXT>",
    group = ArgGroup::new("where").required(true).args(["group", "to"]),
    after_help = "Examples:
  ddb-send-message --from bayko --to jess-bk \"The heron is back.\"
  ddb-send-message --from maren --to tariq Hello --output json
  ddb-send-message prod --from bayko --group UUID \"The heron is back.\""
)]
struct Args {
    /// Where to act: local (services on this machine) or prod (the real account
    /// and the production database) [default: local]
    #[arg(value_name = "TARGET")]
    target_or_text: Option<String>,

    /// The message (required), 1 to 1,024 characters; more than one word in
    /// quotes, and behind `--` where it begins with `-`; `-` reads standard input
    text: Vec<String>,

    /// Handle of the sender
    #[arg(long, value_name = "HANDLE")]
    from: Handle,

    /// The conversation's uuid (`ddb-list-conversations` shows it)
    #[arg(long, value_name = "UUID")]
    group: Option<Uuid>,

    /// Handle of the person to write to, in place of a conversation
    #[arg(long, value_name = "HANDLE")]
    to: Option<Handle>,

    #[command(flatten)]
    table: TableArg,
    #[command(flatten)]
    dynamo: DynamoArgs,
    #[command(flatten)]
    consent: ConfirmArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    ui: UiArgs,
}

impl Args {
    /// TARGET can be left out and TEXT cannot, though it stands behind it. The
    /// parser could tell only where no option stands between the two.
    fn target_and_text(&self) -> Result<(Target, &str), Error> {
        let Some(first) = self.target_or_text.as_deref() else {
            return Err(Error::usage("there is no message").hint("it stands last, in quotes"));
        };
        let target = Target::from_str(first, false);
        match (self.text.as_slice(), target) {
            ([text], Ok(target)) => Ok((target, text)),
            ([], Err(_)) if !["local", "prod"].contains(&&*first.to_lowercase()) => {
                Ok((Target::Local, first))
            }
            ([_, ..], target) => {
                let error = match target {
                    Ok(_) => Error::usage("the message is more than one argument"),
                    Err(_) => not_a_target(first),
                };
                Err(error.hint("a message of more than one word stands in quotes"))
            }
            ([], _) => Err(Error::usage(format!("there is no message, only the target `{first}`"))
                .hint(format!(
                    "to send the word itself, name the target before it: `local {first}`"
                ))),
        }
    }
}

fn not_a_target(word: &str) -> Error {
    let error = Error::usage(format!("`{}` is not a target: `local` or `prod`", printable(word)));
    match Target::meant_by(word) {
        Some(meant) => error.hint(format!("did you mean `{meant}`?")),
        None => error,
    }
}

/// The tool's entry point.
#[must_use]
pub fn main() -> ExitCode {
    cli::main(|args: &Args| &args.ui, run)
}

/// The names are those of the app's API.
#[derive(Serialize)]
struct Report {
    message_group_uuid: Uuid,
    /// whether the conversation is new
    started: bool,
    to: Recipient,
    message: ApiMessage,
    consumed_capacity: f64,
}

#[derive(Serialize)]
struct Recipient {
    uuid: Uuid,
    display_name: String,
    handle: String,
}

/// Where the message goes.
enum Destination {
    Conversation(Uuid),
    New(Person),
}

async fn run(args: Args, ui: &Ui) -> Result<(), Error> {
    let (target, text) = args.target_and_text()?;
    let text = if text == "-" { &read_message()? } else { text };
    let text: MessageText = text.parse().map_err(|error: NotAMessage| {
        Error::usage(error.to_string()).hint("a message has 1 to 1,024 characters")
    })?;
    let (from, to) = (&args.from, args.to.as_ref());
    if to == Some(from) {
        return Err(Error::usage(format!("--from and --to are both `{from}`"))
            .hint("a conversation has two people"));
    }
    let name = args.table.name();
    let change =
        Change { target, kind: Kind::Table, name: &name, what: "", effect: Effect::Changes };
    consent::check(&change, change.effect, &args.consent)?;
    let url = ConnectionUrl::from_env(target)?;
    url.announce(ui);
    let table = Table::connect(target, &args.dynamo, &name, ui).await?;

    let (sender, destination) = match (args.group, to) {
        (Some(group), _) => {
            let [sender] = users::look_up(&url, [from], ui).await?;
            (sender, Destination::Conversation(group))
        }
        (None, Some(to)) => {
            let [sender, other] = users::look_up(&url, [from, to], ui).await?;
            let there = conversation_of(&table, sender.uuid, other.uuid).await?;
            (sender, there.map_or(Destination::New(other), Destination::Conversation))
        }
        (None, None) => {
            return Err(Error::usage("name a conversation with --group or a person with --to"));
        }
    };
    let caller = table.caller(ui).await?;
    let live = table.announce_size(ui).await?;
    let what = what_happens(&text, &sender, &destination, &table);
    let change = Change { what: &what, ..change };
    let permit = consent::ask(&change, Place::of(target, caller), &args.consent, ui).await?;
    // The question may have waited for long.
    if let Some(live) = &live {
        table.refuse_another(live).await?;
    }
    if let Destination::New(other) = &destination
        && target == Target::Prod
        && conversation_of(&table, sender.uuid, other.uuid).await?.is_some()
    {
        return Err(Error::new("the two have a conversation by now; nothing is sent")
            .hint("run it again: it sends into that one"));
    }
    let sent = send(&table, &permit, &sender, &destination, &text).await?;
    show(sent, target, &args.output, ui)
}

/// Clocks of machines in one team differ by less.
const AHEAD: TimeDelta = TimeDelta::seconds(60);

/// The message on standard input, without the line end that ends it.
fn read_message() -> Result<String, Error> {
    let mut text = String::new();
    let most = (MessageText::MAX_CHARS * 4 + 2) as u64;
    io::stdin()
        .lock()
        .take(most)
        .read_to_string(&mut text)
        .map_err(|error| Error::new("cannot read the message from standard input").cause(error))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

fn what_happens(
    text: &MessageText,
    sender: &Person,
    destination: &Destination,
    table: &Table,
) -> String {
    let to = match destination {
        Destination::Conversation(group) => format!("into the conversation {group}"),
        Destination::New(other) => {
            format!("in a new conversation with {}", printable(&other.handle))
        }
    };
    format!(
        "{}: this sends a message of {} {to}, in the table `{table}`:\n  {}",
        table.db().place(),
        printable(&sender.handle),
        printable(text.as_str())
    )
}

async fn send(
    table: &Table,
    permit: &Permit,
    sender: &Person,
    destination: &Destination,
    text: &MessageText,
) -> Result<Sent, Error> {
    let now = SortTime::new(Utc::now());
    Ok(match destination {
        Destination::Conversation(group) => {
            create_message(table, permit, *group, sender, text, now).await?
        }
        Destination::New(other) => {
            create_message_group(table, permit, sender, other, text, now).await?
        }
    })
}

fn show(sent: Sent, target: Target, output: &OutputArgs, ui: &Ui) -> Result<(), Error> {
    let Sent { message, other, started, consumed_capacity } = sent;
    let group = message.group;
    if message.sent_at.time() > Utc::now() + AHEAD {
        ui.warn(format_args!(
            "the message is dated {}, after the last one of the conversation, which is dated later than this machine's clock",
            times::local(message.sent_at.time())
        ));
    }
    let shown = if output.json() {
        let report = Report {
            message_group_uuid: group,
            started,
            to: Recipient {
                uuid: other.uuid,
                display_name: other.display_name,
                handle: other.handle,
            },
            message: message.into(),
            consumed_capacity,
        };
        ui.report(target, &report)
    } else {
        let new = if started { "new " } else { "" };
        ui.sentence(format_args!(
            "{}  {} to {}, {new}conversation {group}\n  {}",
            times::local(message.sent_at.time()),
            message.sender.handle,
            printable(&other.handle),
            printable(&message.text)
        ))
    };
    ui.note(format_args!("sent; {} capacity units", units(consumed_capacity)));
    shown.map_err(|error| {
        error.cause(format!(
            "the message is sent, in the conversation {group}: do not send it again"
        ))
    })
}
