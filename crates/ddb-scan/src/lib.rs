//! `ddb-scan`: every item of a table, streamed: its memory does not grow with
//! the table.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use ops_common::app::records::{Message, MessageGroup};
use ops_common::app::times::Times;
use ops_common::args::{DynamoArgs, TableArg, TargetArg, UiArgs};
use ops_common::cli;
use ops_common::dynamodb::item::{Attributes, Plain};
use ops_common::dynamodb::scan::{Segments, SelectionArgs};
use ops_common::dynamodb::table::Table;
use ops_common::error::Error;
use ops_common::text::{count, units};
use ops_common::ui::{Cells, Column, Ui};
use serde_json::json;

/// As many rows as are laid out at once.
const CHUNK: usize = 100;

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
  ddb-scan --count --filter 'begins_with(pk, :p)' --values '{\":p\":{\"S\":\"MSG#\"}}'
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

    /// Form of the items on stdout: table, json (an array) or jsonl (one a line)
    #[arg(long, value_enum, default_value_t = Output::Table, value_name = "FORMAT", hide_possible_values = true)]
    output: Output,

    #[command(flatten)]
    selection: SelectionArgs,
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
    let table = Table::connect(args.target.target, &args.dynamo, args.table.name(), ui).await?;
    let scan = table.scan().filter(&args.selection);
    if args.count {
        let counted = Segments::all(scan.count(), args.segments, PAGE).count(ui).await?;
        match args.output {
            Output::Table => ui.line(counted.items)?,
            Output::Json | Output::Jsonl => ui.line(json!({"count": counted.items}))?,
        }
        if counted.items == 0 {
            say_names(&args, counted.scanned, ui);
        }
        let read_units = units(counted.consumed_capacity);
        let read = items(counted.scanned);
        ui.note(format_args!("{} of {read}; {read_units} read units", counted.items));
        return Ok(());
    }
    let scan = scan.project(&args.selection.select);
    let mut segments = Segments::all(scan, args.segments, PAGE);
    let mut writer = Writer::new(args.output, ui);
    let (mut shown, mut scanned): (u64, u64) = (0, 0);
    let mut consumed_capacity = 0.0;
    let mut more = false;
    let mut seen = vec![false; args.selection.select.len()];
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
        for (seen, name) in seen.iter_mut().zip(&args.selection.select) {
            *seen |= items.iter().any(|item| item.get(name).is_some());
        }
        writer.write(&items)?;
        if let Some(progress) = &mut progress {
            progress.say(format_args!("scanning: {shown} of {scanned} items read"));
        }
        if more {
            break;
        }
    }
    writer.finish()?;
    drop(progress);
    ui.note(format_args!("{}; {} read units", items(shown), units(consumed_capacity)));
    if shown == 0 {
        say_names(&args, scanned, ui);
    }
    if more {
        ui.note("more exist: the scan was cut by --limit");
    }
    for (name, _) in args.selection.select.iter().zip(seen).filter(|(_, seen)| !seen && shown > 0) {
        ui.warn(format_args!("no item that was read has an attribute `{name}`"));
    }
    Ok(())
}

/// Where a filter takes nothing of what there is, its names may be wrong: DynamoDB
/// takes any word for an attribute.
fn say_names(args: &Args, scanned: u64, ui: &Ui) {
    if args.selection.filter.is_some() && scanned > 0 {
        ui.note(format_args!(
            "none of {} passes --filter: a bare word in it is an attribute's name, a value is `:name` with --values",
            items(scanned)
        ));
    }
}

fn items(number: u64) -> String {
    count(usize::try_from(number).unwrap_or(usize::MAX), "item")
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

    fn write(&mut self, items: &[Attributes<'_>]) -> Result<(), Error> {
        match self.output {
            Output::Table => items.chunks(CHUNK).try_for_each(|chunk| self.write_tables(chunk)),
            Output::Json | Output::Jsonl => self.write_json(items).map_err(Error::stdout),
        }
    }

    fn write_json(&mut self, items: &[Attributes<'_>]) -> io::Result<()> {
        let mut out = self.ui.stdout();
        for item in items {
            if self.output == Output::Json {
                out.write_all(if self.written { b",\n" } else { b"[\n" })?;
            }
            self.written = true;
            serde_json::to_writer(&mut out, &Plain(item))?;
            if self.output == Output::Jsonl {
                out.write_all(b"\n")?;
            }
        }
        out.flush()
    }

    fn finish(self) -> Result<(), Error> {
        match self.output {
            Output::Json => self.ui.line(if self.written { "\n]" } else { "[]" }),
            Output::Table | Output::Jsonl => Ok(()),
        }
    }

    fn write_tables(&mut self, items: &[Attributes<'_>]) -> Result<(), Error> {
        let mut messages = Vec::new();
        let mut groups = Vec::new();
        let mut others = Vec::new();
        for item in items {
            let row = item.to_sdk();
            if let Ok(message) = Message::from_item(&row) {
                messages.push(message);
            } else if let Ok(group) = MessageGroup::from_item(&row) {
                groups.push(group);
            } else {
                let json = serde_json::to_string(&Plain(item))
                    .map_err(|error| Error::new("cannot show an item").cause(error))?;
                others.push(vec![json]);
            }
        }
        let sent = messages.iter().map(|message| message.sent_at.time());
        let times = Times::of(sent.chain(groups.iter().map(|group| group.last_at.time())), self.ui);
        self.write_messages(&messages, &times)?;
        self.write_groups(&groups, &times)?;
        self.write_table("Other items", &[Column::text("item")], others)
    }

    fn write_messages(&mut self, messages: &[Message], times: &Times) -> Result<(), Error> {
        let sent = times.header("sent");
        let header = [
            Column::whole("conversation"),
            Column::whole(&sent),
            "from".into(),
            Column::text("message"),
        ];
        let row = |message: &Message| {
            let sent = times.cell(message.sent_at.time());
            vec![
                message.group.to_string(),
                sent,
                message.sender.handle.clone(),
                message.text.clone(),
            ]
        };
        let rows = messages.iter().map(row).collect();
        self.write_partitions("Messages", "of conversation", &header, rows)
    }

    fn write_groups(&mut self, groups: &[MessageGroup], times: &Times) -> Result<(), Error> {
        let last = times.header("last");
        let header = [
            Column::whole("of user"),
            Column::whole(&last),
            "with".into(),
            Column::text("message"),
            Column::whole("conversation"),
        ];
        let row = |group: &MessageGroup| {
            vec![
                group.owner.to_string(),
                times.cell(group.last_at.time()),
                group.other.handle.clone(),
                group.last_text.clone(),
                group.group.to_string(),
            ]
        };
        let rows = groups.iter().map(row).collect();
        self.write_partitions("Message groups", "of user", &header, rows)
    }

    /// A table of rows whose first column says whose partition they are. Where that
    /// would leave no room for the rest it is a heading: a scan has the rows of a
    /// partition one after the other.
    fn write_partitions(
        &mut self,
        heading: &str,
        of: &str,
        header: &[Column<'_>],
        rows: Vec<Vec<String>>,
    ) -> Result<(), Error> {
        if !self.ui.is_narrow() {
            return self.write_table(heading, header, rows);
        }
        for partition in rows.chunk_by(|a, b| a[0] == b[0]) {
            let heading = format!("{heading} {of} {}", partition[0][0]);
            let rows = partition.iter().map(|row| row[1..].to_vec()).collect();
            self.write_table(&heading, &header[1..], rows)?;
        }
        Ok(())
    }

    fn write_table(
        &mut self,
        heading: &str,
        header: &[Column<'_>],
        rows: Vec<Vec<String>>,
    ) -> Result<(), Error> {
        if rows.is_empty() {
            return Ok(());
        }
        if self.written {
            self.ui.line("")?;
        }
        self.written = true;
        self.ui.heading(heading)?;
        self.ui.table(header, &rows, Cells::Cut)
    }
}
