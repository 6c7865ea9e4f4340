//! `ddb-list-conversations`: a person's conversations, as the app lists them.

use std::process::ExitCode;

use clap::Parser;
use ops_common::app::conversations::{Period, message_groups};
use ops_common::app::records::{ApiMessageGroup, MessageGroup};
use ops_common::app::times::Times;
use ops_common::app::users::{self, Handle};
use ops_common::args::{DynamoArgs, OutputArgs, TableArg, TargetArg, UiArgs};
use ops_common::cli;
use ops_common::dynamodb::table::Table;
use ops_common::env::invocation;
use ops_common::error::Error;
use ops_common::postgres::{ConnectionUrl, Db, stamp};
use ops_common::text::{count, units};
use ops_common::ui::{Cells, Column, Ui};
use serde::Serialize;
use uuid::Uuid;

/// Show the conversations of a person, newest first
///
/// A handle or a Cognito sub is looked up in Postgres (CONNECTION_URL, in `prod`
/// PROD_CONNECTION_URL); with --user there is no need for it.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples:
  ddb-list-conversations                those of jess-bk
  ddb-list-conversations --handle bayko
  ddb-list-conversations prod --user UUID --output json"
)]
struct Args {
    #[command(flatten)]
    target: TargetArg,

    /// The person's handle
    #[arg(long, value_name = "HANDLE", default_value = "jess-bk", conflicts_with = "user")]
    handle: Handle,

    /// The person's uuid in Postgres, in place of the handle
    #[arg(long, value_name = "UUID")]
    user: Option<Uuid>,

    /// The `sub` of the person's Cognito user, in place of the handle, as the app
    /// finds who signs in
    #[arg(long, value_name = "SUB", conflicts_with_all = ["handle", "user"])]
    cognito_sub: Option<String>,

    /// At most this many conversations, the newest
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,

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
    user_uuid: Uuid,
    conversations: Vec<ApiMessageGroup>,
    consumed_capacity: f64,
}

async fn run(args: Args, ui: &Ui) -> Result<(), Error> {
    let target = args.target.target;
    let table = Table::connect(target, &args.dynamo, args.table.name(), ui).await?;
    let user = match args.user {
        Some(user) => user,
        None => uuid_of(&args, &ConnectionUrl::from_env(target)?, ui).await?,
    };
    let found = message_groups(&table, user, Period::default(), args.limit as usize).await?;

    let shown = found.rows.len();
    if args.output.json() {
        let report = Report {
            user_uuid: user,
            conversations: found.rows.into_iter().map(ApiMessageGroup::from).collect(),
            consumed_capacity: found.consumed_capacity,
        };
        ui.report(target, &report)?;
    } else if shown > 0 {
        let times = Times::of(found.rows.iter().map(|group| group.last_at.time()), ui);
        let cells = |group: &MessageGroup| {
            vec![
                group.other.handle.clone(),
                group.other.display_name.clone(),
                times.cell(group.last_at.time()),
                group.last_text.clone(),
                group.group.to_string(),
            ]
        };
        let rows: Vec<Vec<String>> = found.rows.iter().map(cells).collect();
        ui.table(
            &[
                "with".into(),
                "name".into(),
                Column::whole(&times.header("last")),
                Column::text("message"),
                Column::whole("group"),
            ],
            &rows,
            Cells::Cut,
        )?;
    }
    ui.note(format_args!(
        "{} of user {user}; {} read units",
        count(shown, "conversation"),
        units(found.consumed_capacity)
    ));
    if shown == 0 {
        ui.note(format_args!(
            "if this inbox should not be empty, `{}` says what is broken",
            invocation(&format!("check-identities{}", target.as_argument()))
        ));
    }
    if found.more {
        ui.note(format_args!("older ones exist: --limit {} shows more", u64::from(args.limit) * 2));
    }
    cli::report_malformed(&found.malformed, ui)
}

async fn uuid_of(args: &Args, url: &ConnectionUrl, ui: &Ui) -> Result<Uuid, Error> {
    url.announce(ui);
    let db = Db::connect(url, ui).await?;
    stamp::of_this_environment(&db, url).await?;
    if let Some(sub) = &args.cognito_sub {
        return users::user_uuid_by_cognito_sub(&db, url.target(), sub).await;
    }
    let [person] = users::of_handles(&db, url.target(), [&args.handle]).await?;
    Ok(person.uuid)
}
