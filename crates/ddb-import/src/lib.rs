//! `ddb-import`: writes the items of a file into a table, at the server's speed
//! and with the memory of a few batches, and says of each line what became of it.
//!
//! One thread reads and parses (`reader`); tasks write, each the keys that are
//! its own (`writers`); the `ledger` is the one place that knows which lines are
//! settled, and from its mark a checkpoint goes on (`begin`). `job` runs them. With --from
//! it is DynamoDB that imports (`from_s3`).

mod begin;
mod changes;
mod checkpoint;
mod dry_run;
mod format;
mod from_s3;
mod input;
mod job;
mod ledger;
mod reader;
mod rejects;
mod report;
mod rules;
mod s3_export;
mod writers;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use aws_sdk_dynamodb::types::TableDescription;
use ops_common::args::{
    ConfirmArgs, DynamoArgs, OutputArgs, Share, TableArg, TargetArg, UiArgs, seconds,
    units_a_second,
};
use ops_common::cli;
use ops_common::consent::{self, Change, Effect, Kind, Permit, Place};
use ops_common::dynamodb::capacity::{Units, limit};
use ops_common::dynamodb::format::ItemFormat;
use ops_common::dynamodb::scan::Segments;
use ops_common::dynamodb::table::{Table, size};
use ops_common::error::Error;
use ops_common::files::refuse_same_file;
use ops_common::target::Target;
use ops_common::ui::Ui;

use begin::Begin;
use changes::Changes;
use checkpoint::Checkpoint;
use format::Parser;
use from_s3::FromS3Args;
use input::{Records, Source};
use job::{Job, Work};
use rejects::Checked;
use report::{Report, refuse_rejected};
use rules::Rules;
use s3_export::S3Export;

/// Write the items of a file into the table
///
/// A folder is an export of DynamoDB to S3 that was downloaded: every file of it is
/// compared with the manifests before anything is written. An incremental one has
/// changes: they replace, make and delete items. An item takes the place of one with the same key; of two lines with the same
/// key the later wins. A bad line ends the run, unless --rejects takes it. The
/// counts at the end are of lines: read = written + rejected + unreached.
#[derive(Debug, clap::Parser)]
#[command(
    version,
    after_help = "Formats, one item a line, by --format or the file's extension; gzip is unpacked:
  dynamodb-json   .json: {\"Item\":{\"pk\":{\"S\":\"a\"},…}} or the bare item
  jsonl           .jsonl, .ndjson: {\"pk\":\"a\",\"n\":1.50}, digits kept
  csv             .csv: a header row, in which `n:N`, `b:B` and `t:BOOL` type
                  a column; an empty field is left out

Examples:
  ddb-import items.json.gz
  ddb-import items.json --checkpoint items.mark    killed? the same command goes on
  ddb-import people.csv --dry-run
  aws s3 sync s3://bucket/AWSDynamoDB/01693685827463-2d8752fd export
  ddb-import export --checkpoint export.mark       verifies it, then writes it
  ddb-import people.csv --rejects bad.csv
  ddb-export --table a --out - | ddb-import - --table b
  ddb-import items.json prod --table orders --confirm orders --max-wcu 100
  ddb-import prod --from s3://backups/2026/AWSDynamoDB/01693685827463-2d8752fd \\
    --schema orders.json --table orders-2          DynamoDB makes the table and fills it"
)]
struct Args {
    /// File of items, or folder of a downloaded export; `-` reads standard input
    file: Option<PathBuf>,

    #[command(flatten)]
    target: TargetArg,

    /// Form of the items: dynamodb-json, jsonl or csv [default: by the file's
    /// extension; dynamodb-json for `-`]
    #[arg(long, value_enum, value_name = "FORMAT", hide_possible_values = true)]
    format: Option<ItemFormat>,

    /// File that takes bad lines, as they are; the run goes on and ends with
    /// exit code 3
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,

    /// File that keeps how far the run is; the same command goes on from there
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,

    /// Only the K-th of N shares of an export's data files, `1/N` to `N/N`: for
    /// several machines
    #[arg(long, value_name = "K/N")]
    part: Option<Share>,

    /// Check every line and say what writing them would cost; change nothing
    #[arg(long, conflicts_with_all = ["rejects", "checkpoint"])]
    dry_run: bool,

    /// Requests on their way at once
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    concurrency: u16,

    /// Write units a second, at most [default: in `prod` half of what the table
    /// has; else no limit]
    #[arg(long, value_name = "N", value_parser = units_a_second, allow_negative_numbers = true)]
    max_wcu: Option<f64>,

    /// Seconds without progress after which a throttled table is given up
    #[arg(long, value_name = "SECS", default_value_t = 60, value_parser = seconds())]
    give_up_after: u64,

    #[command(flatten)]
    s3: FromS3Args,
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
    cli::main_with_own_interrupt(|args: &Args| &args.ui, run)
}

async fn run(args: Args, ui: &Ui) -> Result<ExitCode, Error> {
    if args.s3.is_asked_for() {
        return from_s3::run(&args, ui).await;
    }
    let source = source_of(&args)?;
    let format = format_of(&args, &source)?;
    check_files(&args, &source)?;
    let target = args.target.target;
    let name = args.table.name();
    let change = Change {
        target,
        kind: Kind::Table,
        name: &name,
        what: "",
        effect: if args.dry_run { Effect::Nothing } else { Effect::Adds },
    };
    consent::check(&change, Effect::Destroys, &args.consent)?;
    let mut records = Records::open(&source, format == ItemFormat::Csv, args.checkpoint.is_some())?;
    let table = Table::connect(target, &args.dynamo, &name, ui).await?;
    let live = table.existing().await?;
    let mut parser = Parser::new(format, Rules::of(&live));
    let header = read_header(&mut records, &mut parser)?;
    if args.dry_run {
        verify(&source, &mut parser, ui)?;
        return dry_run::run(records, &parser, &args, ui);
    }

    let checkpoint = args.checkpoint.as_ref().map(|path| {
        let identity = table.identity(&live);
        Checkpoint::open(path, identity, format.to_string(), args.rejects.is_some())
    });
    let checkpoint = checkpoint.transpose()?;
    let begin = Begin::of(checkpoint.as_ref(), &mut records, ui)?;
    if begin.finished && records.is_at_end()? {
        ui.note(
            "nothing to do: the checkpoint says that every line of this input is done; in all:",
        );
        let counts = begin.counts();
        let shown = Report::new(counts, begin.line, begin.seconds).show(&args, ui);
        return refuse_rejected(counts, args.rejects.as_deref())
            .and(shown)
            .map(|()| ExitCode::SUCCESS);
    }
    let rejects = args.rejects.as_ref().map(|path| {
        let again = || begin.read_again(&source, format);
        Checked::new(path, begin.rejects_bytes, header.as_deref(), again)
    });
    let rejects = rejects.transpose()?;
    // Last, since it can take hours.
    verify(&source, &mut parser, ui)?;
    let limit = limit(args.max_wcu, target, &live, Units::Write, ui);
    let permit = ask(&change, &args, &source, &table, &live, ui).await?;

    let batches = table.batch_writer(&permit, parser.rules.keys.clone())?;
    let job = Job::new(begin, checkpoint, &args, ui);
    job.save(false)?;
    if let Some(rejects) = rejects {
        job.ledger.set_rejects(rejects.begin()?);
    }
    if target == Target::Local {
        job::lower_priority();
    }
    let work = Work { records, parser, batches, limit };
    let interrupted = job.carry_out(work, &args, ui).await;
    job.end(interrupted, &args, ui)
}

/// Looks at every data file of an export, and at the keys of changes. Ctrl-C ends the tool
/// here as it does at the question that follows: nothing listens for it yet.
///
/// # Errors
/// Where one is not what DynamoDB wrote.
fn verify(source: &Source, parser: &mut Parser, ui: &Ui) -> Result<(), Error> {
    let Source::S3Export(export) = source else { return Ok(()) };
    export.verify(ui)?;
    if export.has_changes {
        parser.changes = Some(Changes::of(source, &parser.rules, ui)?);
    }
    Ok(())
}

fn source_of(args: &Args) -> Result<Source, Error> {
    let Some(file) = &args.file else {
        return Err(Error::usage("no FILE is named")
            .hint("name a file of items or the folder of an export; `-` reads standard input"));
    };
    if file.as_os_str() != "-" && file.is_dir() {
        let share = args.part.unwrap_or(Share { number: 1, of: 1 });
        return Ok(Source::S3Export(Arc::new(S3Export::open(file, share)?)));
    }
    if args.part.is_some() {
        return Err(Error::usage(
            "--part takes a share of an export's data files, and this is no folder",
        )
        .hint("name the folder that has `manifest-summary.json`"));
    }
    if matches!(
        file.file_name().and_then(|name| name.to_str()),
        Some("manifest-summary.json" | "manifest-files.json")
    ) {
        return Err(Error::usage(format!("`{}` is a manifest of an export", file.display()))
            .hint("name its folder"));
    }
    if args.format.is_none()
        && ItemFormat::of_file(file).is_none()
        && file.as_os_str() != "-"
        && !file.exists()
    {
        return Err(Error::new(format!("there is no `{}`", file.display()))
            .hint("name a file or a folder that is there, or `-` for standard input"));
    }
    Ok(match file.to_str() {
        Some("-") => Source::Stdin,
        _ => Source::File(file.clone()),
    })
}

/// What the command line cannot mean of the files that it names.
fn check_files(args: &Args, source: &Source) -> Result<(), Error> {
    if args.checkpoint.is_some() && matches!(source, Source::Stdin) {
        return Err(Error::usage("--checkpoint cannot resume from standard input")
            .hint("save the items to a file first, and import that"));
    }
    if args.rejects.as_ref().is_some_and(|file| file.as_os_str() == "-") {
        return Err(Error::usage("--rejects takes a file, not `-`"));
    }
    if let Source::S3Export(export) = source {
        for (option, file) in [("--rejects", &args.rejects), ("--checkpoint", &args.checkpoint)] {
            file.as_ref().map_or(Ok(()), |file| export.refuse_inside(option, file))?;
        }
    }
    let named = [
        ("FILE", args.file.as_ref().filter(|_| matches!(source, Source::File(_)))),
        ("--rejects", args.rejects.as_ref()),
        ("--checkpoint", args.checkpoint.as_ref()),
    ];
    let named: Vec<(&str, &Path)> =
        named.into_iter().filter_map(|(option, file)| Some((option, file?.as_path()))).collect();
    refuse_same_file(&named)
}

fn format_of(args: &Args, source: &Source) -> Result<ItemFormat, Error> {
    let by_name = match source {
        Source::S3Export(_)
            if args.format.is_some_and(|format| format != ItemFormat::DynamodbJson) =>
        {
            return Err(
                Error::usage("an export has its items as dynamodb-json").hint("leave --format out")
            );
        }
        Source::Stdin | Source::S3Export(_) => Some(ItemFormat::DynamodbJson),
        Source::File(file) => ItemFormat::of_file(file),
    };
    args.format.or(by_name).ok_or_else(|| {
        Error::usage(format!("the name `{}` does not say which format it has", source.name()))
            .hint("name it with --format: dynamodb-json, jsonl or csv")
    })
}

fn read_header(records: &mut Records, parser: &mut Parser) -> Result<Option<Vec<u8>>, Error> {
    if parser.format != ItemFormat::Csv {
        return Ok(None);
    }
    if !records.advance()? {
        return Err(Error::new(format!("{}: there is no header row", records.place()))
            .hint("the first row names the columns, like `pk,sk,count:N`; an empty file is likely a mistake"));
    }
    let header = records.record().ok_or_else(Records::too_long).and_then(|header| {
        parser.header(header)?;
        Ok(header.to_vec())
    });
    header.map(Some).map_err(|why| {
        Error::new(format!("{}: {why}", records.place()))
            .hint("the first row names the columns, like `pk,sk,count:N`; nothing is written")
    })
}

async fn ask(
    change: &Change<'_>,
    args: &Args,
    source: &Source,
    table: &Table,
    live: &TableDescription,
    ui: &Ui,
) -> Result<Permit, Error> {
    if table.target() == Target::Local {
        return consent::ask(change, Place::Local, &args.consent, ui).await;
    }
    let caller = table.caller(ui).await?;
    let holds_items = holds_items(table).await?;
    let has_changes = matches!(source, Source::S3Export(export) if export.has_changes);
    let does = if has_changes { "applies the changes" } else { "writes the items" };
    let (effect, replaces) = match (holds_items, has_changes) {
        (true, false) => {
            (Effect::Destroys, "in place of those that have the same keys, which are lost then")
        }
        (true, true) => (Effect::Destroys, "which replace items and delete them"),
        (false, _) => (Effect::Adds, "which is empty"),
    };
    let what = format!(
        "{}: this {does} of `{}` to the table `{table}`, {replaces}.\n\
         The table has {}, which can be hours old.",
        table.db().place(),
        source.name(),
        size(live),
    );
    let change = Change { effect, what: &what, ..*change };
    let place = Place::of(change.target, caller);
    let permit = consent::ask(&change, place, &args.consent, ui).await?;
    // The question may have waited for long.
    table.refuse_another(live).await?;
    if !holds_items && self::holds_items(table).await? {
        let error = table.changed_meanwhile();
        return Err(error.cause("it was empty, and now it holds items"));
    }
    Ok(permit)
}

async fn holds_items(table: &Table) -> Result<bool, Error> {
    let mut segments = Segments::all(table.scan().consistent(true), 1, 1);
    Ok(segments.next().await?.is_some_and(|page| page.count > 0))
}
