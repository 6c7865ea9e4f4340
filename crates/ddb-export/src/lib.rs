//! `ddb-export`: writes the items of a table to a file or a pipe, by segments in
//! parallel, with the memory of a few pages.
//!
//! Tasks read pages (`ops_common::dynamodb::scan`); one thread (`dump`) writes them down
//! (`format`) in one stream (`out`), and it alone knows how far the file is, which is
//! what a `checkpoint` keeps. With --to it is DynamoDB that exports (`to_s3`).

mod checkpoint;
mod dump;
mod format;
mod out;
mod to_s3;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use ops_common::app::pseudonym::Pseudonyms;
use ops_common::args::{
    ConfirmArgs, DynamoArgs, Share, TableArg, TargetArg, UiArgs, seconds, units_a_second,
};
use ops_common::cli;
use ops_common::dynamodb::capacity::{Units, limit};
use ops_common::dynamodb::format::ItemFormat;
use ops_common::dynamodb::item::Attributes;
use ops_common::dynamodb::scan::{Segment, Segments, StartKey};
use ops_common::dynamodb::selection::{SelectionArgs, items};
use ops_common::dynamodb::table::{Table, TableIdentity};
use ops_common::error::Error;
use ops_common::files::{beside, refuse_same_file};
use ops_common::text::units;
use ops_common::ui::Ui;

use checkpoint::{Checkpoint, Counts, Dump, Reached, Saved, State};
use dump::{Writer, dump, interrupted, show_end};
use format::Lines;
use out::{Out, Part, is_special, is_stdout};
use to_s3::S3Args;

/// As many items as a request asks for: about the 1 MB that a page has at most.
const PAGE: u32 = 5000;
const MOST_SEGMENTS: i64 = 256;

/// Write the items of the table to a file or a pipe
///
/// Items come in no order; the names in an item are sorted, so that sorted dumps
/// can be compared. A file gets its name once it is whole.
#[derive(Debug, clap::Parser)]
#[command(
    version,
    after_help = "Formats, one item a line; a name that ends with `.gz` is packed:
  dynamodb-json   {\"Item\":{\"pk\":{\"S\":\"a\"},…}}: every type, nothing lost
  jsonl           {\"pk\":\"a\",\"n\":1.50}: to read; sets are lists, binaries base64
  csv             to read: the attributes of --select, without their types

Examples:
  ddb-export --out before.json.gz
  ddb-export --out big.json --checkpoint big.mark   killed? the same command goes on
  ddb-export --out - | ddb-import - --table copy
  ddb-export prod --pseudonymize names.key --out shape.json.gz
  ddb-export --format jsonl --filter 'begins_with(pk, \"MSG#\")'
  ddb-export prod --segment 2/4 --out part2.json    the second of four jobs that share a table
  ddb-export prod --to s3://backups/2026            DynamoDB writes it, however large it is"
)]
struct Args {
    #[command(flatten)]
    target: TargetArg,

    /// File of items; `-` is standard output
    #[arg(long, value_name = "FILE", default_value = "-")]
    out: PathBuf,

    /// Form of the items: dynamodb-json, jsonl or csv
    /// [default: dynamodb-json]
    #[arg(long, value_enum, value_name = "FORMAT", hide_possible_values = true)]
    format: Option<ItemFormat>,

    /// Print the number of items only, to no file and in no format
    #[arg(long, conflicts_with_all = ["out", "format", "select", "checkpoint"])]
    count: bool,

    /// Put `'` before strings that a spreadsheet takes for formulas, with csv only:
    /// use it where the reader is a spreadsheet, and do not import such a file again
    #[arg(long)]
    for_spreadsheet: bool,

    /// The app's rows without its people: made-up handles, names, uuids and words, the
    /// same ones with the same key (made where there is none); other rows are left out
    #[arg(long, value_name = "KEYFILE", conflicts_with_all = ["select", "count", "for_spreadsheet"])]
    pseudonymize: Option<PathBuf>,

    /// Read so many parts of the table at once
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(i32).range(1..=MOST_SEGMENTS))]
    segments: i32,

    /// Only the K-th of N shares of the table, `1/N` to `N/N`
    #[arg(long, value_name = "K/N", default_value = "1/1")]
    segment: Share,

    /// File that keeps how far the dump is; the same command goes on from there
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,

    /// See all that was written before each page was read, for twice the units
    #[arg(long)]
    consistent: bool,

    /// Read units a second, at most [default: in `prod` half of what the table
    /// has; else no limit]
    #[arg(long, value_name = "N", value_parser = units_a_second, allow_negative_numbers = true)]
    max_rcu: Option<f64>,

    /// Seconds without progress after which a throttled table is given up
    #[arg(long, value_name = "SECS", default_value_t = 60, value_parser = seconds())]
    give_up_after: u64,

    #[command(flatten)]
    s3: S3Args,
    #[command(flatten)]
    consent: ConfirmArgs,
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
    cli::main_with_own_interrupt(|args: &Args| &args.ui, run)
}

async fn run(args: Args, ui: &Ui) -> Result<ExitCode, Error> {
    if args.s3.is_asked_for() {
        return to_s3::run(&args, ui).await;
    }
    let format = check_usage(&args)?;
    let pseudonyms = args.pseudonymize.as_deref().map(Pseudonyms::from_file).transpose()?;
    let file = (!is_stdout(&args.out)).then_some(args.out.as_path());
    let table = Table::connect(args.target.target, &args.dynamo, args.table.name(), ui).await?;
    let live = table.existing().await?;

    let checkpoint = open_checkpoint(&args, format, pseudonyms.as_ref(), table.identity(&live))?;
    let saved = checkpoint.as_ref().map(Checkpoint::load).transpose()?.flatten();
    let seconds_before = saved.as_ref().map_or(0.0, |saved| saved.seconds);
    let state = match &saved {
        Some(saved) => saved.state()?,
        None => State { bytes: 0, counts: Counts::default(), segments: shares(&args) },
    };
    if let Some(file) = file
        && is_whole(file, saved.as_ref(), &state)?
    {
        ui.note(format_args!(
            "nothing to do: the checkpoint says that `{}` is whole",
            file.display()
        ));
        return show_end(&state.counts, args.selection.filter.is_some(), seconds_before, ui);
    }
    let mut scan = table.scan().filter(&args.selection).consistent(args.consistent);
    scan.limit = limit(args.max_rcu, args.target.target, &live, Units::Read, ui);
    scan.give_up_after = Duration::from_secs(args.give_up_after);
    if args.count {
        return count_items(Segments::new(scan.count(), starts(&state), PAGE), ui).await;
    }
    scan = scan.project(&args.selection.select);
    let segments = Segments::new(scan, starts(&state), PAGE);
    let out = match file {
        None => Out::stdout(ui),
        Some(file) => {
            let part = if saved.is_some() { Part::GoOn(state.bytes) } else { Part::New };
            Out::file(file, part, checkpoint.is_some())?
        }
    };
    let lines = Lines {
        format,
        columns: args.selection.select.clone(),
        for_spreadsheet: args.for_spreadsheet,
    };
    let writer = Writer::new(lines, pseudonyms, out, state, checkpoint, seconds_before)?;
    let whole = args.selection.filter.is_none() && args.segment.of == 1;
    let about = live.item_count().filter(|count| *count > 0 && whole);
    dump(segments, writer, about, args.selection.filter.is_some(), ui).await
}

fn open_checkpoint(
    args: &Args,
    format: ItemFormat,
    pseudonyms: Option<&Pseudonyms>,
    table: TableIdentity,
) -> Result<Option<Checkpoint>, Error> {
    let Some(path) = &args.checkpoint else { return Ok(None) };
    let dump =
        Dump { tool: "ddb-export".to_owned(), table, options: options(args, format, pseudonyms) };
    Checkpoint::open(path, dump).map(Some)
}

/// Whether an earlier run has written all of the file.
///
/// # Errors
/// Where the file is somebody else's, or the one of the checkpoint is gone.
fn is_whole(file: &Path, saved: Option<&Saved>, state: &State) -> Result<bool, Error> {
    if file.is_file() {
        // It may have been renamed and the run killed before it could say so.
        let whole = state.segments.iter().all(|(_, reached)| *reached == Reached::End)
            && std::fs::metadata(file).is_ok_and(|there| there.len() == state.bytes);
        if saved.is_some() && whole {
            return Ok(true);
        }
        return Err(Error::new(format!("`{}` already exists", file.display()))
            .hint("a dump is not written over another: name another file with --out, or move this one away"));
    }
    if saved.is_some_and(|saved| saved.finished) {
        return Err(Error::new(format!(
            "the checkpoint says that `{}` is whole, and it is gone",
            file.display()
        ))
        .hint("remove the checkpoint, or name another one, to start again"));
    }
    Ok(false)
}

async fn count_items(segments: Segments, ui: &Ui) -> Result<ExitCode, Error> {
    let counted = tokio::select! {
        counted = segments.count(ui) => counted?,
        _ = tokio::signal::ctrl_c() => return Err(interrupted()),
    };
    ui.line(counted.items)?;
    let read_units = units(counted.consumed_capacity);
    let read = items(counted.scanned);
    ui.note(format_args!("{} of {read}; {read_units} read units", counted.items));
    Ok(ExitCode::SUCCESS)
}

/// The format, and what the command line cannot mean.
fn check_usage(args: &Args) -> Result<ItemFormat, Error> {
    let format = args.format.unwrap_or(ItemFormat::DynamodbJson);
    let by_name = ItemFormat::of_file(&args.out);
    if let (None, Some(by_name)) = (args.format, by_name)
        && by_name != format
    {
        return Err(Error::usage(format!(
            "the name `{}` says {by_name}, and the format is {format} where --format names no other",
            args.out.display()
        ))
        .hint(format!("say which one you mean: --format {by_name} is for reading, --format {format} loses nothing")));
    }
    if args.for_spreadsheet && format != ItemFormat::Csv {
        return Err(Error::usage(format!(
            "--for-spreadsheet is for csv only, and the format is {format}"
        ))
        .hint("add --format csv, or remove --for-spreadsheet"));
    }
    if format == ItemFormat::Csv && args.selection.select.is_empty() {
        return Err(Error::usage("csv has columns, and nothing says which")
            .hint("name the attributes with --select pk,sk,…"));
    }
    let Some(checkpoint) = &args.checkpoint else { return Ok(format) };
    if is_stdout(&args.out) {
        return Err(Error::usage("--checkpoint cannot resume standard output")
            .hint("name a file with --out"));
    }
    if is_special(&args.out) {
        return Err(Error::usage(format!(
            "--checkpoint cannot resume `{}`, which is not a regular file",
            args.out.display()
        ))
        .hint("name another file with --out"));
    }
    let part = beside(&args.out, "part");
    refuse_same_file(&[("--out", &args.out), ("--out", &part), ("--checkpoint", checkpoint)])?;
    Ok(format)
}

/// What decides which bytes are in the file.
fn options(args: &Args, format: ItemFormat, pseudonyms: Option<&Pseudonyms>) -> String {
    let mut words = vec![
        format!("--out {}", args.out.display()),
        format!("--format {format}"),
        format!("--segments {}", args.segments),
        format!("--segment {}/{}", args.segment.number, args.segment.of),
    ];
    if args.consistent {
        words.push("--consistent".to_owned());
    }
    if let Some(pseudonyms) = pseudonyms {
        words.push(format!("--pseudonymize (key {})", pseudonyms.fingerprint()));
    }
    if args.for_spreadsheet {
        words.push("--for-spreadsheet".to_owned());
    }
    if !args.selection.select.is_empty() {
        words.push(format!("--select {}", args.selection.select.join(",")));
    }
    if let Some(filter) = &args.selection.filter {
        words.push(format!("--filter {}", filter.text));
    }
    let names: Option<BTreeMap<_, _>> =
        args.selection.names.as_ref().map(|names| names.iter().collect());
    if let Some(Ok(names)) = names.map(|names| serde_json::to_string(&names)) {
        words.push(format!("--names {names}"));
    }
    let values = args.selection.values.as_ref().and_then(Attributes::from_sdk);
    if let Some(Ok(values)) = values.map(|values| serde_json::to_string(&values)) {
        words.push(format!("--values {values}"));
    }
    words.join(" ")
}

/// The segments of this run's share of the table.
fn shares(args: &Args) -> Vec<(Segment, Reached)> {
    let of = args.segments * args.segment.of;
    let first = args.segments * (args.segment.number - 1);
    (first..first + args.segments).map(|number| (Segment { number, of }, Reached::Start)).collect()
}

fn starts(state: &State) -> Vec<(Segment, Option<StartKey>)> {
    let segments = state.segments.iter().filter_map(|(segment, reached)| match reached {
        Reached::Start => Some((*segment, None)),
        Reached::After(key) => Some((*segment, Some(key.clone()))),
        Reached::End => None,
    });
    segments.collect()
}
