//! `ddb-get-conversation`: the newest messages of a conversation, as the app
//! reads them.

use std::process::ExitCode;

use clap::Parser;
use ops_common::app::conversations::{Period, messages};
use ops_common::app::keys::SortTime;
use ops_common::app::records::{ApiMessage, Message, SEEDED_GROUP};
use ops_common::app::times::{self, Times};
use ops_common::args::{DynamoArgs, OutputArgs, TableArg, TargetArg, UiArgs};
use ops_common::cli;
use ops_common::dynamodb::table::Table;
use ops_common::env::invocation;
use ops_common::error::Error;
use ops_common::text::{count, units};
use ops_common::ui::{Cells, Column, Ui};
use serde::Serialize;
use uuid::Uuid;

/// Show the newest messages of a conversation, oldest first
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples:
  ddb-get-conversation                  the newest 20 of the seeded conversation
  ddb-get-conversation --limit 200 --since 2026-01-31
  ddb-get-conversation prod --group UUID --output json | jq '.messages[].message'"
)]
struct Args {
    #[command(flatten)]
    target: TargetArg,

    /// The conversation's uuid (`ddb-list-conversations` shows it)
    #[arg(long, value_name = "UUID", default_value_t = SEEDED_GROUP)]
    group: Uuid,

    /// At most this many messages, the newest
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,

    /// Nothing earlier: `2026-01-31`, `2026-01-31T23:59` (your time zone) or RFC 3339
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
    let table = Table::connect(args.target.target, &args.dynamo, args.table.name(), ui).await?;
    let period = Period { since: args.since, until: args.until };
    let mut found = messages(&table, args.group, period, args.limit as usize).await?;
    found.rows.reverse();

    let shown = found.rows.len();
    if args.output.json() {
        ui.json(&Report {
            message_group_uuid: args.group,
            messages: found.rows.into_iter().map(ApiMessage::from).collect(),
            consumed_capacity: found.consumed_capacity,
        })?;
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
        args.group,
        units(found.consumed_capacity)
    ));
    if found.more {
        ui.note(format_args!("older ones exist: --limit {} shows more", u64::from(args.limit) * 2));
    }
    if shown == 0 && (args.since.is_some() || args.until.is_some()) {
        ui.note("none from --since to --until; without them, all times are looked at");
    }
    if shown == 0 && args.since.is_none() && args.until.is_none() {
        let target = args.target.target.as_argument();
        if args.group == SEEDED_GROUP {
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
