//! `ddb-get-conversation`: the newest messages of a conversation, as the app
//! reads them, and those that come.

mod follow;

use std::process::ExitCode;

use clap::Parser;
use ops_common::app::conversations::{Period, conversation_of, messages};
use ops_common::app::keys::SortTime;
use ops_common::app::records::{ApiMessage, Message, SEEDED_GROUP};
use ops_common::app::times::{self, Times};
use ops_common::app::users::{self, Handle};
use ops_common::args::{DynamoArgs, OutputArgs, TableArg, TargetArg, UiArgs};
use ops_common::cli;
use ops_common::dynamodb::table::Table;
use ops_common::env::invocation;
use ops_common::error::Error;
use ops_common::postgres::ConnectionUrl;
use ops_common::target::Target;
use ops_common::text::{count, units};
use ops_common::ui::{Cells, Column, Ui};
use serde::Serialize;
use uuid::Uuid;

/// Show the newest messages of a conversation, oldest first
///
/// The conversation is named by its uuid, or by its two people, who are looked up in
/// Postgres. In `local` it is the seeded one where nothing names another.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples:
  ddb-get-conversation                  the newest 20 of the seeded conversation
  ddb-get-conversation --handle bayko --with jess-bk --since yesterday
  ddb-get-conversation --follow         new messages as they come, until Ctrl-C
  ddb-get-conversation prod --group UUID --output json | jq '.messages[].message'"
)]
struct Args {
    #[command(flatten)]
    target: TargetArg,

    /// The conversation's uuid (`ddb-list-conversations` shows it) [default in
    /// `local`: the seeded one]
    #[arg(long, value_name = "UUID", conflicts_with_all = ["handle", "with"])]
    group: Option<Uuid>,

    /// Handle of one of its two people
    #[arg(long, value_name = "HANDLE", requires = "with")]
    handle: Option<Handle>,

    /// Handle of the other
    #[arg(long, value_name = "HANDLE", requires = "handle")]
    with: Option<Handle>,

    /// Show new messages as they come, until Ctrl-C: one query each two seconds, fewer
    /// when it is quiet; JSON is then one message a line
    #[arg(long, conflicts_with = "until")]
    follow: bool,

    /// At most this many messages, the newest
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,

    /// Nothing earlier: `2026-01-31`, `2026-01-31T23:59` (your time zone), RFC 3339,
    /// `1 hour ago`, `yesterday` or `friday`
    #[arg(long, value_name = "TIME", value_parser = times::parse_start)]
    since: Option<SortTime>,

    /// Nothing later; a date means the end of that day
    #[arg(long, value_name = "TIME", value_parser = times::parse_end)]
    until: Option<SortTime>,

    #[command(flatten)]
    table: TableArg,
    #[command(flatten)]
    dynamo: DynamoArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    ui: UiArgs,
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
    messages: Vec<ApiMessage>,
    consumed_capacity: f64,
}

async fn run(args: Args, ui: &Ui) -> Result<(), Error> {
    if let (Some(since), Some(until)) = (args.since, args.until)
        && since > until
    {
        return Err(Error::usage(format!("--since ({since}) is later than --until ({until})")));
    }
    let target = args.target.target;
    if target == Target::Prod && args.group.is_none() && args.handle.is_none() {
        return Err(Error::usage("in `prod` the conversation has to be named").hint(format!(
            "`{}`, or --group UUID",
            invocation("ddb-get-conversation prod --handle HANDLE --with HANDLE")
        )));
    }
    let table = Table::connect(target, &args.dynamo, args.table.name(), ui).await?;
    let group = match (&args.handle, &args.with) {
        (Some(handle), Some(with)) => group_of(&table, handle, with, ui).await?,
        _ => args.group.unwrap_or(SEEDED_GROUP),
    };
    let period = Period { since: args.since, until: args.until };
    let limit = args.limit as usize;
    if args.follow {
        return follow::follow(&table, group, period, limit, args.output.json(), ui).await;
    }
    let mut found = messages(&table, group, period, limit).await?;
    found.rows.reverse();

    let shown = found.rows.len();
    if args.output.json() {
        let report = Report {
            message_group_uuid: group,
            messages: found.rows.into_iter().map(ApiMessage::from).collect(),
            consumed_capacity: found.consumed_capacity,
        };
        ui.report(target, &report)?;
    } else if shown > 0 {
        let times = Times::of(found.rows.iter().map(|message| message.sent_at.time()), ui);
        let cells = |message: &Message| {
            vec![
                times.cell(message.sent_at.time()),
                message.sender.handle.clone(),
                message.text.clone(),
            ]
        };
        let rows: Vec<Vec<String>> = found.rows.iter().map(cells).collect();
        let sent = times.header("sent");
        ui.table(
            &[Column::whole(&sent), "from".into(), Column::text("message")],
            &rows,
            Cells::Cut,
        )?;
    }
    ui.note(format_args!(
        "{} of conversation {}; {} read units",
        count(shown, "message"),
        group,
        units(found.consumed_capacity)
    ));
    if found.more {
        ui.note(format_args!("older ones exist: --limit {} shows more", u64::from(args.limit) * 2));
    }
    if shown == 0 && (args.since.is_some() || args.until.is_some()) {
        ui.note("none from --since to --until; without them, all times are looked at");
    }
    if shown == 0 && args.since.is_none() && args.until.is_none() {
        let target = target.as_argument();
        if group == SEEDED_GROUP {
            ui.note(format_args!(
                "`{}` writes the seeded conversation",
                invocation(&format!("ddb-seed{target}"))
            ));
        }
        ui.note(format_args!(
            "`{}` shows a person's conversations, `{}` what is broken",
            invocation(&format!("ddb-list-conversations{target} --handle HANDLE")),
            invocation(&format!("check-identities{target} --handle HANDLE"))
        ));
    }
    cli::report_malformed(&found.malformed, ui)
}

/// The newest conversation of two people.
async fn group_of(table: &Table, handle: &Handle, with: &Handle, ui: &Ui) -> Result<Uuid, Error> {
    if handle == with {
        return Err(Error::usage(format!("--handle and --with are both `{handle}`"))
            .hint("a conversation has two people"));
    }
    let url = ConnectionUrl::from_env(table.target())?;
    url.announce(ui);
    let [person, other] = users::look_up(&url, [handle, with], ui).await?;
    let there = conversation_of(table, person.uuid, other.uuid).await?;
    there.ok_or_else(|| {
        let (argument, option) = (table.target().as_argument(), table.as_option());
        Error::new(format!("`{handle}` and `{with}` have no conversation"))
            .hint(format!(
                "`{}` shows whom somebody has one with",
                invocation(&format!("ddb-list-conversations{argument}{option} --handle {handle}"))
            ))
            .hint(format!(
                "if there should be one, `{}` says what is broken",
                invocation(&format!("check-identities{argument}{option} --handle {handle}"))
            ))
    })
}
