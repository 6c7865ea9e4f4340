//! `ddb-scan`: every item of a table, streamed: its memory does not grow with
//! the table.

mod plain;

use std::io::Write;
use std::process::ExitCode;

use aws_sdk_dynamodb::types::ReturnConsumedCapacity;
use clap::{Parser, ValueEnum};
use colored::Color;
use ops_common::args::{DynamoArgs, TableArg, TargetArg, UiArgs};
use ops_common::dynamodb::Dynamo;
use ops_common::error::Error;
use ops_common::records::{Item, Message, MessageGroup};
use ops_common::table_lifecycle::missing;
use ops_common::ui::{Cells, Ui, count, units};
use ops_common::{cli, times};

use plain::Plain;

/// As many rows as are laid out at once.
const CHUNK: usize = 100;

/// As many items as a request asks for. Left alone DynamoDB sends pages of 1 MB,
/// thousands of items and several times that in memory; with these the peak is
/// the same for a table of any size, at the price of more requests.
const PAGE: u64 = 250;

/// Show every item of the table
///
/// Items come in the order of the table's partitions, which is none that means
/// anything. Count and consumed capacity are on stderr.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples:
  ddb-scan --limit 10
  ddb-scan --output jsonl | jq -r .message
  ddb-scan prod --table orders --output json > orders.json"
)]
struct Args {
    #[command(flatten)]
    target: TargetArg,

    /// At most this many items
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,

    /// Form of the items on stdout: table, json (an array) or jsonl (one a line)
    #[arg(long, value_enum, default_value_t = Output::Table, value_name = "FORMAT", hide_possible_values = true)]
    output: Output,

    #[command(flatten)]
    table: TableArg,
    #[command(flatten)]
    dynamo: DynamoArgs,
    #[command(flatten)]
    ui: UiArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// for people, in chunks, each kind of row under its heading
    Table,
    /// one array
    Json,
    /// one item a line
    Jsonl,
}

/// The tool's entry point.
#[must_use]
pub fn main() -> ExitCode {
    cli::main(|args: &Args| &args.ui, run)
}

async fn run(args: Args, ui: &Ui) -> Result<(), Error> {
    let db = Dynamo::connect(args.target.target, &args.dynamo, ui).await?;
    let table = args.table.name();
    ui.acts_on(format_args!("{}  table {table}", db.place()));
    let mut writer = Writer::new(args.output, ui);
    let scan = db
        .client()
        .scan()
        .table_name(&table)
        .return_consumed_capacity(ReturnConsumedCapacity::Total);
    let mut shown: u64 = 0;
    let mut consumed_capacity = 0.0;
    let mut start = None;
    let more = loop {
        // One more than asked for tells whether there are more.
        let wanted = args.limit.map_or(u64::MAX, |limit| (limit - shown).saturating_add(1));
        let page_limit = i32::try_from(wanted.min(PAGE)).unwrap_or(i32::MAX);
        let page =
            scan.clone().limit(page_limit).set_exclusive_start_key(start).send().await.map_err(
                |error| match error.as_service_error() {
                    Some(service) if service.is_resource_not_found_exception() => {
                        missing(&db, &table)
                    }
                    _ => db.error(&format!("scan the table `{table}`"), &error),
                },
            )?;
        consumed_capacity +=
            page.consumed_capacity().and_then(|c| c.capacity_units()).unwrap_or(0.0);
        let mut items = page.items.unwrap_or_default();
        let allowed = args
            .limit
            .map_or(usize::MAX, |limit| usize::try_from(limit - shown).unwrap_or(usize::MAX));
        let cut = items.len() > allowed;
        items.truncate(allowed);
        shown += items.len() as u64;
        writer.write(items)?;
        start = page.last_evaluated_key;
        if cut || start.is_none() {
            break cut;
        }
    };
    writer.finish()?;
    ui.note(format_args!(
        "{}; {} read units",
        count(usize::try_from(shown).unwrap_or(usize::MAX), "item"),
        units(consumed_capacity)
    ));
    if more {
        ui.note("more exist: the scan was cut by --limit");
    }
    Ok(())
}

/// Writes items as they come.
struct Writer<'a> {
    output: Output,
    ui: &'a Ui,
    written: bool,
}

impl<'a> Writer<'a> {
    fn new(output: Output, ui: &'a Ui) -> Self {
        Self { output, ui, written: false }
    }

    fn write(&mut self, items: Vec<Item>) -> Result<(), Error> {
        match self.output {
            Output::Table => items.chunks(CHUNK).try_for_each(|chunk| self.write_tables(chunk)),
            Output::Json => {
                let mut out = self.ui.stdout();
                for item in &items {
                    out.write_all(if self.written { b",\n" } else { b"[\n" })?;
                    self.written = true;
                    serde_json::to_writer(&mut out, &Plain(item)).map_err(std::io::Error::from)?;
                }
                Ok(out.flush()?)
            }
            Output::Jsonl => {
                let mut out = self.ui.stdout();
                for item in &items {
                    serde_json::to_writer(&mut out, &Plain(item)).map_err(std::io::Error::from)?;
                    out.write_all(b"\n")?;
                }
                Ok(out.flush()?)
            }
        }
    }

    fn finish(self) -> Result<(), Error> {
        match self.output {
            Output::Json => self.ui.line(if self.written { "\n]" } else { "[]" }),
            Output::Table | Output::Jsonl => Ok(()),
        }
    }

    fn write_tables(&mut self, items: &[Item]) -> Result<(), Error> {
        let mut messages = Vec::new();
        let mut groups = Vec::new();
        let mut others = Vec::new();
        for item in items {
            if let Ok(message) = Message::from_item(item) {
                messages.push(vec![
                    message.group.to_string(),
                    times::local(message.sent_at.time()),
                    message.sender.handle,
                    message.text,
                ]);
            } else if let Ok(group) = MessageGroup::from_item(item) {
                groups.push(vec![
                    group.owner.to_string(),
                    group.group.to_string(),
                    times::local(group.last_at.time()),
                    group.other.handle,
                    group.last_text,
                ]);
            } else {
                let json = serde_json::to_string(&Plain(item)).map_err(std::io::Error::from)?;
                others.push(vec![json]);
            }
        }
        self.write_table("Messages", &["conversation", "sent", "from", "message"], &messages)?;
        self.write_table(
            "Message groups",
            &["of user", "conversation", "last", "with", "message"],
            &groups,
        )?;
        self.write_table("Other items", &["item"], &others)
    }

    fn write_table(
        &mut self,
        heading: &str,
        header: &[&str],
        rows: &[Vec<String>],
    ) -> Result<(), Error> {
        if rows.is_empty() {
            return Ok(());
        }
        if self.written {
            self.ui.line("")?;
        }
        self.written = true;
        self.ui.line(self.ui.out_paint(heading, Color::Cyan))?;
        self.ui.table(header, rows, Cells::Cut)
    }
}
