//! `ddb-schema-load`: creates a table from its definition, says in what a live one
//! differs, and with --update makes it what the definition says.

pub mod definition;
mod lifecycle;
mod update;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use aws_sdk_dynamodb::types::TableDescription;
use clap::Parser;
use clap::builder::NonEmptyStringValueParser;
use ops_common::args::{ConfirmArgs, DynamoArgs, OutputArgs, TableArg, TargetArg, UiArgs, seconds};
use ops_common::cli;
use ops_common::consent::{self, Change, Effect, Kind, Permit, Place};
use ops_common::dynamodb::table::Table;
use ops_common::env;
use ops_common::error::{Error, Exit};
use ops_common::text::quoted;
use ops_common::ui::{Cells, Column, Ui};
use serde::Serialize;

use definition::TableDefinition;
use definition::difference::{ABSENT, Difference};
use lifecycle::{create, set_ttl, ttl_attribute, wait_until_active};

/// Create the messages table from its definition
///
/// A table that is there already is compared with the definition: the same is
/// exit 0, a different one is exit 1 with the differences. Only with --update is
/// it changed. In `prod` creating and updating ask; --dry-run only compares.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples:
  ddb-schema-load                       cruddur-messages on this machine
  ddb-schema-load --table scratch       the same definition, another name
  ddb-schema-load prod --dry-run        what would happen in the account
  ddb-schema-load --schema new.json --update --dry-run
                                        what makes the table what the file says
  ddb-schema-load prod --print --table orders > orders.json
                                        to make another one like it"
)]
struct Args {
    #[command(flatten)]
    target: TargetArg,

    /// CreateTable request as JSON, as `aws dynamodb create-table
    /// --cli-input-json` takes it [default: compiled in]
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,

    /// Make a table that differs what the definition says, as far as UpdateTable
    /// can; an index that the definition does not have, or has otherwise, is
    /// deleted
    #[arg(long)]
    update: bool,

    /// Attribute (epoch seconds) by which DynamoDB deletes items that are past it
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    ttl_attribute: Option<String>,

    /// Let no items expire: with --update, time to live is turned off
    #[arg(long, conflicts_with = "ttl_attribute")]
    no_ttl: bool,

    /// Say what would happen and change nothing
    #[arg(long)]
    dry_run: bool,

    /// Print the live table's definition as --schema takes it, and change nothing. Tags,
    /// policies, warm throughput, time to live and the encryption's key are not in it
    #[arg(long, conflicts_with_all = ["schema", "update", "dry_run", "ttl_attribute", "no_ttl"])]
    print: bool,

    /// Seconds to wait until the table and its indexes are ACTIVE, after each change
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
    /// whether nothing was to be changed
    dry_run: bool,
    /// with --update: the changes that were made
    #[serde(skip_serializing_if = "Option::is_none")]
    updated: Option<Vec<String>>,
    /// with --update --dry-run: the changes that there are to make
    #[serde(skip_serializing_if = "Option::is_none")]
    planned: Option<Vec<String>>,
    differences: Vec<Difference>,
    /// indexes of which the server does not keep the throughput
    #[serde(skip)]
    without_throughput: Vec<String>,
}

/// The path of the difference in how items expire.
const TTL: &str = "TimeToLive";

/// `--table`, else the file's `TableName`, else the environment, else the
/// compiled-in one.
fn definition(args: &Args) -> Result<TableDefinition, Error> {
    let mut definition = match &args.schema {
        None => {
            let mut definition = TableDefinition::messages();
            definition.table_name = args.table.name();
            definition
        }
        Some(file) => TableDefinition::read(file)?,
    };
    if let Some(name) = &args.table.table {
        definition.table_name.clone_from(name);
    }
    Ok(definition)
}

async fn run(args: Args, ui: &Ui) -> Result<(), Error> {
    if args.print {
        let table = Table::connect(args.target.target, &args.dynamo, args.table.name(), ui).await?;
        return ui.json(&TableDefinition::of_live(&table.existing().await?).to_print());
    }
    let definition = definition(&args)?;
    let target = args.target.target;
    let name = definition.table_name.clone();
    let change = Change {
        target,
        kind: Kind::Table,
        name: &name,
        what: "",
        effect: if args.dry_run { Effect::Nothing } else { Effect::Adds },
    };
    let most = if args.update { Effect::Destroys } else { change.effect };
    consent::check(&change, most, &args.consent)?;
    let table = Table::connect(target, &args.dynamo, &name, ui).await?;
    if args.schema.is_some()
        && args.table.table.is_none()
        && env::var(env::DDB_MESSAGE_TABLE).is_some_and(|other| other != name)
    {
        ui.note(format_args!(
            "the file's TableName `{table}` is used, not {}",
            env::DDB_MESSAGE_TABLE
        ));
    }
    let work = Work { table, definition, args, change };
    match work.table.describe().await? {
        None => work.create(ui).await,
        Some(live) if work.args.update => work.update(live, ui).await,
        Some(live) => work.compare(live, ui).await,
    }
}

/// One table, its definition, and what is asked for.
struct Work<'a> {
    table: Table,
    definition: TableDefinition,
    args: Args,
    change: Change<'a>,
}

impl Work<'_> {
    async fn active(&self, ui: &Ui) -> Result<TableDescription, Error> {
        let timeout = Duration::from_secs(self.args.wait_timeout);
        wait_until_active(&self.table, timeout, ui).await
    }

    /// In what the live table is not what is asked for.
    async fn differences(&self, live: &TableDescription) -> Result<Vec<Difference>, Error> {
        let mut differences = self.definition.differences(&TableDefinition::of_live(live));
        // Only where it is asked for: not every server can tell.
        let wanted = self.args.ttl_attribute.as_deref();
        if wanted.is_some() || self.args.no_ttl {
            let found = ttl_attribute(&self.table).await?;
            if found.as_deref() != wanted {
                differences.push(Difference {
                    path: TTL.to_owned(),
                    definition: wanted.unwrap_or(ABSENT).to_owned(),
                    live: found.unwrap_or_else(|| ABSENT.to_owned()),
                });
            }
        }
        Ok(differences)
    }

    fn report(&self, live: Option<&TableDescription>) -> Report {
        Report {
            table: self.table.name().to_owned(),
            arn: live.and_then(|live| live.table_arn()).map(str::to_owned),
            status: live
                .and_then(|live| live.table_status())
                .map(|status| status.as_str().to_owned()),
            created: false,
            dry_run: self.args.dry_run,
            updated: None,
            planned: None,
            differences: Vec::new(),
            without_throughput: live.map_or_else(Vec::new, |live| {
                let live = TableDefinition::of_live(live);
                let names = self.definition.indexes_without_throughput(&live);
                names.into_iter().map(str::to_owned).collect()
            }),
        }
    }

    async fn consent(&self, what: &str, effect: Effect, ui: &Ui) -> Result<Permit, Error> {
        let caller = self.table.caller(ui).await?;
        let change = Change { what, effect, ..self.change };
        let place = Place::of(self.change.target, caller);
        consent::ask(&change, place, &self.args.consent, ui).await
    }

    async fn create(&self, ui: &Ui) -> Result<(), Error> {
        let table = &self.table;
        let definition = &self.definition;
        let as_what =
            format!("{}; {}{}", definition.keys(), definition.billing(), definition.indexes());
        if self.args.dry_run {
            ui.note(format_args!("would create `{table}`: {as_what}"));
            let words = "not there; nothing is changed (--dry-run)";
            return show(&self.report(None), words, &self.args, ui);
        }
        let what =
            format!("{}: this creates the table `{table}`: {as_what}.", self.table.db().place());
        let permit = self.consent(&what, Effect::Adds, ui).await?;
        if !create(table, &permit, &self.definition).await? {
            // Somebody else was there first, a moment ago.
            return self.compare(self.active(ui).await?, ui).await;
        }
        ui.note(format_args!("created `{table}`: {as_what}"));
        let live = self.active(ui).await?;
        if let Some(attribute) = &self.args.ttl_attribute {
            set_ttl(table, &permit, attribute, true).await?;
            ui.note(format_args!("time to live is on, by `{attribute}`"));
        }
        let differences = self.differences(&live).await?;
        let report = Report { created: true, differences, ..self.report(Some(&live)) };
        if report.differences.is_empty() {
            return show(&report, "created", &self.args, ui);
        }
        show_differences(&report, &self.args, ui)?;
        Err(Error::new(format!("the server created `{table}` differently from its definition")))
    }

    async fn compare(&self, live: TableDescription, ui: &Ui) -> Result<(), Error> {
        let live = if self.args.dry_run { live } else { self.active(ui).await? };
        let report =
            Report { differences: self.differences(&live).await?, ..self.report(Some(&live)) };
        if report.differences.is_empty() {
            let words = "already there, same definition; nothing is changed";
            return show(&report, words, &self.args, ui);
        }
        show_differences(&report, &self.args, ui)?;
        let table = &self.table;
        let differs =
            format!("`{table}` is there and differs from the definition; nothing is changed");
        let impossible = self.definition.plan(&TableDefinition::of_live(&live)).impossible;
        if !impossible.is_empty() {
            return Err(self.only_a_new_table(Error::new(differs), &impossible));
        }
        let target = self.args.target.target.as_argument();
        let update = format!("ddb-schema-load{target} --update --dry-run");
        Err(Error::new(differs)
        .hint(format!(
            "to make it what the definition says: --update; `{}` with the same options shows how",
            env::invocation(&update)
        ))
        .hint("compare with another definition: --schema FILE; use another table: --table NAME"))
    }
}

/// That they differ is worse than that nobody reads how.
fn show_differences(report: &Report, args: &Args, ui: &Ui) -> Result<(), Error> {
    warn_of_throughput(report, ui);
    let printed = if args.output.json() {
        ui.report(args.target.target, report)
    } else {
        let cells = |d: &Difference| vec![d.path.clone(), d.definition.clone(), d.live.clone()];
        let rows: Vec<Vec<String>> = report.differences.iter().map(cells).collect();
        ui.table(
            &[Column::whole("path"), "definition".into(), "live table".into()],
            &rows,
            Cells::Wrapped,
        )
    };
    match printed {
        Err(error) if error.exit_kind() != Exit::ClosedPipe => Err(error),
        _ => Ok(()),
    }
}

fn warn_of_throughput(report: &Report, ui: &Ui) {
    if !report.without_throughput.is_empty() {
        ui.warn(format_args!(
            "this server does not keep the throughput of {}; it was not compared",
            quoted(&report.without_throughput)
        ));
    }
}

fn show(report: &Report, words: &str, args: &Args, ui: &Ui) -> Result<(), Error> {
    warn_of_throughput(report, ui);
    if args.output.json() {
        return ui.report(args.target.target, report);
    }
    let status = report.status.as_deref().map_or(String::new(), |status| format!(" ({status})"));
    ui.sentence(format_args!("`{}`{status}: {words}", report.table))
}
