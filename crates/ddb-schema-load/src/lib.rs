//! `ddb-schema-load`: creates a table from its definition, or says in what the
//! live one differs. It never changes a table that is there.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use ops_common::args::{ConfirmArgs, DynamoArgs, OutputArgs, TableArg, TargetArg, UiArgs, seconds};
use ops_common::cli;
use ops_common::confirm::{Question, Risk, check_can_consent, confirm};
use ops_common::dynamodb::Dynamo;
use ops_common::env;
use ops_common::error::{Error, Exit};
use ops_common::table::{Difference, TableDefinition};
use ops_common::table_lifecycle::{create, describe, wait_until_active};
use ops_common::target::Target;
use ops_common::ui::{Cells, Ui};
use serde::Serialize;

/// Create the messages table from its definition
///
/// A table that is there already is compared with the definition and never
/// changed: the same is exit 0, a different one is exit 1 with the differences.
/// In `prod` creating asks y/N; --dry-run only compares.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples:
  ddb-schema-load                       cruddur-messages on this machine
  ddb-schema-load --table scratch       the same definition, another name
  ddb-schema-load prod --dry-run        what would happen in the account"
)]
struct Args {
    #[command(flatten)]
    target: TargetArg,

    /// CreateTable request as JSON, as `aws dynamodb create-table
    /// --cli-input-json` takes it [default: compiled in]
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,

    /// Say what would happen and change nothing
    #[arg(long)]
    dry_run: bool,

    /// Seconds to wait until the table and its indexes are ACTIVE
    #[arg(long, value_name = "SECS", default_value_t = 300, value_parser = seconds())]
    wait_timeout: u64,

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

/// The tool's entry point.
#[must_use]
pub fn main() -> ExitCode {
    cli::main(|args: &Args| &args.ui, run)
}

#[derive(Serialize)]
struct Report {
    table: String,
    arn: Option<String>,
    /// none: there is no such table
    status: Option<String>,
    created: bool,
    differences: Vec<Difference>,
}

/// `--table`, else the file's `TableName`, else the environment, else the
/// compiled-in one.
fn definition(args: &Args) -> Result<TableDefinition, Error> {
    let mut definition = match &args.schema {
        None => {
            let mut definition = TableDefinition::messages();
            definition.table_name = args.table.name();
            definition
        }
        Some(file) => {
            let shown = file.display().to_string();
            let text = fs::read_to_string(file).map_err(|error| {
                Error::new(format!("cannot read the definition `{shown}`")).cause(error).hint(
                    "--schema names a CreateTable request; without it the compiled-in one is taken",
                )
            })?;
            TableDefinition::parse(&text, &shown)?
        }
    };
    if let Some(name) = &args.table.table {
        definition.table_name.clone_from(name);
    }
    Ok(definition)
}

async fn run(args: Args, ui: &Ui) -> Result<(), Error> {
    let definition = definition(&args)?;
    let target = args.target.target;
    let table = definition.table_name.clone();
    let question = Question {
        target,
        kind: "table",
        resource: &table,
        what: "",
        risk: if target == Target::Prod && !args.dry_run { Risk::Changes } else { Risk::None },
    };
    check_can_consent(&question, &args.consent)?;
    let db = Dynamo::connect(target, &args.dynamo, ui).await?;
    ui.acts_on(format_args!("{}  table {table}", db.place()));
    if args.schema.is_some()
        && args.table.table.is_none()
        && env::var(env::DDB_MESSAGE_TABLE).is_some_and(|name| name != table)
    {
        ui.note(format_args!(
            "the file's TableName `{table}` is used, not {}",
            env::DDB_MESSAGE_TABLE
        ));
    }

    let there = describe(&db, &table).await?;
    if args.dry_run && there.is_none() {
        ui.note(format_args!(
            "would create `{table}`: {}; {}",
            definition.keys(),
            definition.billing()
        ));
        let report = Report {
            table: table.clone(),
            arn: None,
            status: None,
            created: false,
            differences: Vec::new(),
        };
        return show(&report, "not there; nothing is changed (--dry-run)", &args, ui);
    }
    let created = match there {
        Some(_) => false,
        None => {
            let caller = db.caller(ui).await?;
            let what = format!(
                "{}: this creates the table `{table}`: {}; {}.",
                db.place(),
                definition.keys(),
                definition.billing()
            );
            let question = Question { what: &what, ..question };
            let permit = confirm(&question, &args.consent, &caller, ui).await?;
            create(&db, permit, &definition).await?
        }
    };
    if created {
        ui.note(format_args!("created `{table}`: {}; {}", definition.keys(), definition.billing()));
    }
    let live = match there {
        Some(live) if args.dry_run => live,
        _ => wait_until_active(&db, &table, Duration::from_secs(args.wait_timeout), ui).await?,
    };
    let report = Report {
        table: table.clone(),
        arn: live.table_arn().map(str::to_owned),
        status: live.table_status().map(|status| status.as_str().to_owned()),
        created,
        differences: definition.differences(&live),
    };
    if report.differences.is_empty() {
        let words =
            if created { "created" } else { "already there, same definition; nothing is changed" };
        return show(&report, words, &args, ui);
    }
    let printed = if args.output.json() {
        ui.json(&report)
    } else {
        let cells = |d: &Difference| vec![d.path.clone(), d.definition.clone(), d.live.clone()];
        let rows: Vec<Vec<String>> = report.differences.iter().map(cells).collect();
        ui.table(&["what", "definition", "live table"], &rows, Cells::Wrapped)
    };
    // That they differ is worse than that nobody reads how.
    if let Err(error) = printed
        && error.exit_kind() != Exit::ClosedPipe
    {
        return Err(error);
    }
    let table = &report.table;
    Err(if created {
        Error::new(format!("the server created `{table}` otherwise than the definition says"))
    } else {
        Error::new(format!(
            "`{table}` is there and differs from the definition; nothing is changed"
        ))
        .hint("compare with another definition: --schema FILE; use another table: --table NAME")
        .hint(format!(
            "or drop the table with all it holds and create it anew: `{}`",
            env::invocation(&format!("ddb-drop {table}{}", target.as_argument()))
        ))
    })
}

fn show(report: &Report, words: &str, args: &Args, ui: &Ui) -> Result<(), Error> {
    if args.output.json() {
        return ui.json(report);
    }
    let status = report.status.as_deref().map_or(String::new(), |status| format!(" ({status})"));
    ui.line(format_args!("`{}`{status}: {words}", report.table))
}
