//! `ddb-list-tables`: every table of the account and region, from all pages.

use std::process::ExitCode;

use aws_sdk_dynamodb::types::{BillingMode, TableDescription, TableStatus};
use chrono::{DateTime, Utc};
use clap::Parser;
use ops_common::app::keys::SortTime;
use ops_common::app::times::Times;
use ops_common::args::{DynamoArgs, OutputArgs, TargetArg, UiArgs};
use ops_common::cli;
use ops_common::dynamodb::Dynamo;
use ops_common::dynamodb::table::{Table, list};
use ops_common::error::Error;
use ops_common::text::{bytes, count, printable};
use ops_common::ui::{Cells, Column, Ui};
use serde::Serialize;

/// List the DynamoDB tables
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples:
  ddb-list-tables                       the tables on this machine
  ddb-list-tables prod --long           the account's, with status and size
  ddb-list-tables --output json | jq -r '.[]'"
)]
struct Args {
    #[command(flatten)]
    target: TargetArg,

    /// Show status, items, size, billing mode and creation time (one request a
    /// table; DynamoDB counts items and size about every six hours)
    #[arg(long)]
    long: bool,

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

#[derive(Serialize)]
struct Long {
    name: String,
    status: String,
    items: i64,
    size_bytes: i64,
    billing_mode: String,
    created: Option<String>,
    #[serde(skip)]
    created_at: Option<DateTime<Utc>>,
}

impl Long {
    fn new(table: &TableDescription) -> Self {
        let billing = table.billing_mode_summary().and_then(|summary| summary.billing_mode());
        let created = table
            .creation_date_time()
            .and_then(|time| DateTime::from_timestamp(time.secs(), time.subsec_nanos()));
        Self {
            name: table.table_name().unwrap_or_default().to_owned(),
            status: table.table_status().map_or("?", TableStatus::as_str).to_owned(),
            items: table.item_count().unwrap_or_default(),
            size_bytes: table.table_size_bytes().unwrap_or_default(),
            // A table that was never on demand has no summary.
            billing_mode: billing.map_or("PROVISIONED", BillingMode::as_str).to_owned(),
            created: created.map(|time| SortTime::new(time).to_string()),
            created_at: created,
        }
    }

    fn cells(&self, times: &Times) -> Vec<String> {
        vec![
            self.name.clone(),
            self.status.clone(),
            self.items.to_string(),
            bytes(self.size_bytes),
            self.billing_mode.clone(),
            self.created_at.map_or(String::new(), |created| times.cell(created)),
        ]
    }
}

async fn run(args: Args, ui: &Ui) -> Result<(), Error> {
    let db = Dynamo::connect(args.target.target, &args.dynamo, ui).await?;
    ui.announce(db.target(), db.place());
    let names = list(&db).await?;
    ui.note(count(names.len(), "table"));
    if !args.long {
        if args.output.json() {
            return ui.json(&names);
        }
        for name in &names {
            ui.line(printable(name))?;
        }
        return Ok(());
    }
    let mut tables = Vec::with_capacity(names.len());
    for name in &names {
        // One that was dropped since the listing is no longer there to show.
        tables.extend(Table::of(&db, name).describe().await?.as_ref().map(Long::new));
    }
    if args.output.json() {
        return ui.json(&tables);
    }
    if tables.is_empty() {
        return Ok(());
    }
    let times = Times::of(tables.iter().filter_map(|table| table.created_at), ui);
    let rows: Vec<Vec<String>> = tables.iter().map(|table| table.cells(&times)).collect();
    ui.table(
        &[
            Column::whole("table"),
            Column::whole("status"),
            Column::number("items"),
            Column::number("size"),
            Column::whole("billing"),
            Column::whole(&times.header("created")),
        ],
        &rows,
        Cells::Wrapped,
    )
}
