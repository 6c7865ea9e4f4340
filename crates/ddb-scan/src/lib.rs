//! `ddb-scan`: every item of a table, streamed: its memory does not grow with
//! the table.

use std::process::ExitCode;

use clap::Parser;
use clap::builder::NonEmptyStringValueParser;
use ops_common::app::shown::{ItemsOutput, ItemsWriter};
use ops_common::args::{DynamoArgs, TableArg, TargetArg, UiArgs};
use ops_common::cli;
use ops_common::dynamodb::key::KeyNames;
use ops_common::dynamodb::scan::Segments;
use ops_common::dynamodb::selection::{Seen, SelectionArgs, items};
use ops_common::dynamodb::table::Table;
use ops_common::dynamodb::typed_key::index_schema;
use ops_common::error::Error;
use ops_common::text::units;
use ops_common::ui::Ui;
use serde_json::json;

/// As many items as a request asks for. Left alone DynamoDB sends pages of 1 MB,
/// thousands of items and several times that in memory; with these the peak is
/// the same for a table of any size, at the price of more requests.
const PAGE: u32 = 250;

/// More at once than a machine has use for.
const MOST_SEGMENTS: i64 = 64;

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
  ddb-scan --count --filter 'begins_with(pk, \"MSG#\")'
  ddb-scan prod --table orders --output json > orders.json"
)]
struct Args {
    #[command(flatten)]
    target: TargetArg,

    /// At most this many items
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,

    /// Print the number of items only, without --limit
    #[arg(long, conflicts_with_all = ["limit", "select"])]
    count: bool,

    /// Read so many parts of the table at once; items of different parts mix
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..=MOST_SEGMENTS))]
    segments: i32,

    /// Read this index of the table: only the items and the attributes that it has
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    index: Option<String>,

    /// Form of the items on stdout: table, json (an array) or jsonl (one a line)
    #[arg(long, value_enum, default_value_t = ItemsOutput::Table, value_name = "FORMAT", hide_possible_values = true)]
    output: ItemsOutput,

    #[command(flatten)]
    selection: SelectionArgs,
    #[command(flatten)]
    table: TableArg,
    #[command(flatten)]
    dynamo: DynamoArgs,
    #[command(flatten)]
    ui: UiArgs,
}

/// The tool's entry point.
#[must_use]
pub fn main() -> ExitCode {
    cli::main(|args: &Args| &args.ui, run)
}

async fn run(args: Args, ui: &Ui) -> Result<(), Error> {
    let table = Table::connect(args.target.target, &args.dynamo, args.table.name(), ui).await?;
    if let Some(index) = &args.index {
        index_schema(&table.existing().await?, index)?;
    }
    let scan = table.scan().index(args.index.as_deref()).filter(&args.selection);
    if args.count {
        let counted = Segments::all(scan.count(), args.segments, PAGE).count(ui).await?;
        match args.output {
            ItemsOutput::Table => ui.line(counted.items)?,
            ItemsOutput::Json | ItemsOutput::Jsonl => ui.line(json!({"count": counted.items}))?,
        }
        if counted.items == 0 {
            args.selection.say_names(counted.scanned, ui);
        }
        let read_units = units(counted.consumed_capacity);
        let read = items(counted.scanned);
        ui.note(format_args!("{} of {read}; {read_units} read units", counted.items));
        return Ok(());
    }
    let scan = scan.project(&args.selection.select);
    let mut segments = Segments::all(scan, args.segments, PAGE);
    let keys = match args.output {
        // A role that may only scan sees the items without.
        ItemsOutput::Table => table.describe().await.ok().flatten().as_ref().map(KeyNames::of),
        ItemsOutput::Json | ItemsOutput::Jsonl => None,
    };
    let mut writer = ItemsWriter::array(args.output, keys, ui);
    let (mut shown, mut scanned): (u64, u64) = (0, 0);
    let mut consumed_capacity = 0.0;
    let mut more = false;
    let mut seen = Seen::new(&args.selection);
    // On the terminal that shows the items they are the progress.
    let mut progress = (!ui.out_is_terminal()).then(|| ui.progress("scanning"));
    loop {
        let allowed = args.limit.map_or(u64::MAX, |limit| limit - shown);
        if args.selection.filter.is_none() {
            // One more than asked for tells whether there are more.
            let wanted = u32::try_from(allowed.saturating_add(1)).unwrap_or(u32::MAX);
            segments.page_items = PAGE.min(wanted);
        }
        let Some(page) = segments.next().await? else { break };
        consumed_capacity += page.consumed_capacity;
        scanned += page.scanned;
        let mut items = page.items()?;
        let allowed = usize::try_from(allowed).unwrap_or(usize::MAX);
        more = items.len() > allowed;
        items.truncate(allowed);
        shown += items.len() as u64;
        seen.look(&items);
        writer.write(&items)?;
        if let Some(progress) = &mut progress {
            progress.say(format_args!("scanning: {shown} of {scanned} items read"));
        }
        if more {
            break;
        }
    }
    writer.finish(None)?;
    drop(progress);
    ui.note(format_args!("{}; {} read units", items(shown), units(consumed_capacity)));
    if shown == 0 {
        args.selection.say_names(scanned, ui);
    } else {
        seen.warn(ui);
    }
    if more {
        ui.note("more exist: the scan was cut by --limit");
    }
    Ok(())
}
