//! `ddb-import`: writes the items of a file into a table, at the server's speed
//! and with the memory of a few batches, and says of each line what became of it.
//!
//! One thread reads and parses (`reader`); tasks write, each the keys that are
//! its own (`writers`); the `ledger` is the one place that knows which lines are
//! settled, and from its mark a checkpoint goes on.

mod checkpoint;
mod format;
mod input;
mod ledger;
mod reader;
mod rejects;
mod rules;
mod writers;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::TableDescription;
use ops_common::args::{
    ConfirmArgs, DynamoArgs, OutputArgs, TableArg, TargetArg, UiArgs, seconds, units_a_second,
};
use ops_common::cli;
use ops_common::consent::{self, Change, Effect, Kind, Permit, Place};
use ops_common::dynamodb::batch::Batches;
use ops_common::dynamodb::capacity::{Bucket, Units, limit};
use ops_common::dynamodb::format::ItemFormat;
use ops_common::dynamodb::scan::Segments;
use ops_common::dynamodb::table::{Table, size};
use ops_common::error::{Error, Exit};
use ops_common::files::refuse_same_file;
use ops_common::target::Target;
use ops_common::text::{count, units};
use ops_common::ui::Ui;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use checkpoint::{Checkpoint, Saved};
use format::Parser;
use input::{Records, Source};
use ledger::{Counts, Ledger, Mark, warn_of_line};
use reader::Reader;
use rejects::Checked;
use rules::Rules;
use writers::Writers;

/// How often the mark is saved.
const SAVE_EVERY: Duration = Duration::from_millis(250);
/// How often a person at a terminal sees how far it is, and a log.
const SHOW_EVERY: Duration = Duration::from_millis(200);
const LOG_EVERY: Duration = Duration::from_secs(10);

/// Write the items of a file into the table
///
/// An item takes the place of one with the same key; of two lines with the same
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
  ddb-import people.csv --rejects bad.csv
  ddb-export --table a --out - | ddb-import - --table b
  ddb-import items.json prod --table orders --confirm orders --max-wcu 100"
)]
struct Args {
    /// File of items; `-` reads standard input
    file: PathBuf,

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

#[derive(Serialize)]
struct Report {
    /// lines, those of the runs that this one goes on from included
    read: u64,
    written: u64,
    rejected: u64,
    /// read, and not known to be written
    unreached: u64,
    /// the line that this run began at; 0: it did not go on from another
    resumed_at: u64,
    consumed_capacity: f64,
    seconds: f64,
    /// with --dry-run: what writing would cost in the table, without its indexes
    #[serde(skip_serializing_if = "Option::is_none")]
    write_units: Option<f64>,
}

impl Report {
    fn new(counts: Counts, resumed_at: u64, seconds: f64) -> Self {
        Self {
            read: counts.read,
            written: counts.written,
            rejected: counts.rejected,
            unreached: counts.unreached(),
            resumed_at,
            consumed_capacity: counts.consumed_capacity,
            seconds: (seconds * 1000.0).round() / 1000.0,
            write_units: None,
        }
    }

    fn show(&self, output: &OutputArgs, ui: &Ui) -> Result<(), Error> {
        let lines = count(usize::try_from(self.read).unwrap_or(usize::MAX), "line");
        ui.note(format_args!(
            "{lines} read: {} written, {} rejected, {} unreached; {} write units; {:.1} s",
            self.written,
            self.rejected,
            self.unreached,
            units(self.consumed_capacity),
            self.seconds
        ));
        if output.json() { ui.json(self) } else { Ok(()) }
    }
}

async fn run(args: Args, ui: &Ui) -> Result<ExitCode, Error> {
    let source = match args.file.to_str() {
        Some("-") => Source::Stdin,
        _ => Source::File(args.file.clone()),
    };
    let format = format_of(&args, &source)?;
    if args.checkpoint.is_some() && matches!(source, Source::Stdin) {
        return Err(Error::usage("--checkpoint cannot resume from standard input")
            .hint("save the items to a file first, and import that"));
    }
    let named = [
        ("FILE", matches!(source, Source::File(_)).then_some(&args.file)),
        ("--rejects", args.rejects.as_ref()),
        ("--checkpoint", args.checkpoint.as_ref()),
    ];
    let named: Vec<(&str, &Path)> =
        named.into_iter().filter_map(|(option, file)| Some((option, file?.as_path()))).collect();
    refuse_same_file(&named)?;
    if args.rejects.as_ref().is_some_and(|file| file.as_os_str() == "-") {
        return Err(Error::usage("--rejects takes a file, not `-`"));
    }
    let target = args.target.target;
    let name = args.table.name();
    let change = Change {
        target,
        kind: Kind::Table,
        name: &name,
        what: "",
        effect: if args.dry_run { Effect::Nothing } else { Effect::Adds },
    };
    consent::check(&change, &args.consent)?;
    let mut records = Records::open(&source, format == ItemFormat::Csv, args.checkpoint.is_some())?;
    let table = Table::connect(target, &args.dynamo, &name, ui).await?;
    let live = table.existing().await?;
    let mut parser = Parser::new(format, Rules::of(&live));
    let header = read_header(&mut records, &mut parser)?;
    if args.dry_run {
        return dry_run(records, &parser, &args, ui);
    }

    let checkpoint = match &args.checkpoint {
        Some(path) => {
            let identity = table.identity(&live);
            let with_rejects = args.rejects.is_some();
            Some(Checkpoint::open(path, identity, format.to_string(), with_rejects)?)
        }
        None => None,
    };
    let saved = match &checkpoint {
        Some(checkpoint) => go_on(checkpoint, &mut records, ui)?,
        None => None,
    };
    let resumed_at =
        saved.as_ref().filter(|saved| saved.offset > 0).map_or(0, |saved| saved.line + 1);
    let seconds_before = saved.as_ref().map_or(0.0, |saved| saved.seconds);
    let capacity_before = saved.as_ref().map_or(0.0, |saved| saved.consumed_capacity);
    let finished = saved.as_ref().is_some_and(|saved| saved.finished);
    let mut mark = Mark::default();
    if let Some(saved) = &saved {
        mark = Mark {
            position: records.position().clone(),
            written: saved.written,
            rejected: saved.rejected,
            rejects_bytes: saved.rejects_bytes.unwrap_or_default(),
        };
        if finished && records.is_at_end()? {
            let counts = Counts {
                read: saved.written + saved.rejected,
                written: saved.written,
                rejected: saved.rejected,
                consumed_capacity: saved.consumed_capacity,
                throttled: 0,
            };
            ui.note("nothing to do: the checkpoint says that every line of this input is done");
            let shown = Report::new(counts, resumed_at, seconds_before).show(&args.output, ui);
            return refuse_rejected(counts, &args).and(shown).map(|()| ExitCode::SUCCESS);
        }
    }
    let rejects = match &args.rejects {
        Some(path) => {
            let known = saved.as_ref().and_then(|saved| saved.rejects_bytes);
            let input = || read_on(&source, format, saved.as_ref());
            Some(Checked::new(path, known, header.as_deref(), input)?)
        }
        None => None,
    };
    let limit = limit(args.max_wcu, target, &live, Units::Write, ui);
    let permit = ask(&change, &args, &source, &table, &live, ui).await?;

    let ledger = Arc::new(Ledger::new(mark, capacity_before, args.concurrency.into(), ui));
    let checkpoint = checkpoint.map(Arc::new);
    let job = Job { ledger, checkpoint, seconds_before, start: Instant::now() };
    job.save(false)?;
    if let Some(rejects) = rejects {
        job.ledger.set_rejects(rejects.begin()?);
    }
    if target == Target::Local {
        lower_priority();
    }
    let batches = table.batch_writer(&permit, parser.rules.keys.clone())?;
    let work = Work { records, parser, input: source.name(), batches, limit };
    let interrupted = job.carry_out(work, &args, ui).await;
    job.end(interrupted, resumed_at, &args, ui)
}

/// The server is on this machine, and waits for a processor as this does. Where it
/// gets one first the import is the faster for it, on two cores by a tenth. Not
/// by more than this: beside two processes that compute, 10 doubles the import's
/// time, and 19 takes it to fourteen times.
fn lower_priority() {
    // Where it may not be lowered nothing is lost but time.
    let _ = rustix::process::nice(5);
}

fn format_of(args: &Args, source: &Source) -> Result<ItemFormat, Error> {
    let by_name = match source {
        Source::Stdin => Some(ItemFormat::DynamodbJson),
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

fn go_on(checkpoint: &Checkpoint, records: &mut Records, ui: &Ui) -> Result<Option<Saved>, Error> {
    let Some(saved) = checkpoint.load()? else { return Ok(None) };
    let _looking = ui.progress("looking whether the input is the same");
    if saved.offset > 0 && !records.skip_to(saved.line, saved.offset, &saved.sha256)? {
        return Err(checkpoint.of_another(&format!(
            "another input: its first {} lines are not those of this one",
            saved.line
        )));
    }
    Ok(Some(saved))
}

/// The input once more, from where the checkpoint is. `None`: what comes through a
/// pipe comes once.
fn read_on(
    source: &Source,
    format: ItemFormat,
    saved: Option<&Saved>,
) -> Result<Option<Records>, Error> {
    if !matches!(source, Source::File(file) if file.is_file()) {
        return Ok(None);
    }
    let with_header = format == ItemFormat::Csv;
    let mut records = Records::open(source, with_header, true)?;
    if with_header {
        records.advance()?;
    }
    if let Some(saved) = saved.filter(|saved| saved.offset > 0) {
        records.skip_to(saved.line, saved.offset, &saved.sha256)?;
    }
    Ok(Some(records))
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
    let (effect, replaces) = if holds_items {
        (Effect::Destroys, "in place of those that have the same keys, which are lost then")
    } else {
        (Effect::Adds, "which is empty")
    };
    let what = format!(
        "{}: this writes the items of `{}` to the table `{table}`, {replaces}.\n\
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

fn dry_run(mut records: Records, parser: &Parser, args: &Args, ui: &Ui) -> Result<ExitCode, Error> {
    let start = Instant::now();
    let mut counts = Counts::default();
    let mut write_units = 0.0;
    let mut progress = ui.progress("checking");
    while records.advance()? {
        counts.read += 1;
        if counts.read.is_multiple_of(100_000) {
            progress.say(format_args!("checking: {} lines", counts.read));
        }
        let parsed = match records.record() {
            Some(record) => parser.parse(record),
            None => {
                let place = records.place();
                records.copy_long_line(&mut std::io::sink())?;
                warn_of(&mut counts, &place, &Records::too_long(), ui);
                continue;
            }
        };
        match parsed {
            Ok(put) => write_units += put.units,
            Err(why) => {
                warn_of(&mut counts, &records.place(), &why, ui);
            }
        }
    }
    drop(progress);
    let seconds = start.elapsed().as_secs_f64();
    let report = Report { write_units: Some(write_units), ..Report::new(counts, 0, seconds) };
    ui.note(format_args!(
        "{} read: {} good, {} bad",
        count(usize::try_from(counts.read).unwrap_or(usize::MAX), "line"),
        counts.read - counts.rejected,
        counts.rejected
    ));
    let shown = if args.output.json() { ui.json(&report) } else { Ok(()) };
    ui.note(format_args!(
        "nothing is written (--dry-run); writing would cost {} write units in the table, more where it has indexes or larger items are replaced",
        units(write_units)
    ));
    if counts.rejected == 0 {
        return shown.map(|()| ExitCode::SUCCESS);
    }
    let bad = count(usize::try_from(counts.rejected).unwrap_or(usize::MAX), "bad line");
    Err(Error::new(bad).hint("fix them, or collect them with --rejects FILE"))
}

fn warn_of(counts: &mut Counts, place: &str, why: &str, ui: &Ui) {
    counts.rejected += 1;
    warn_of_line(counts.rejected, place, why, ui);
}

/// What a run reads, and where it writes it.
struct Work {
    records: Records,
    parser: Parser,
    /// the input, as messages name it
    input: String,
    batches: Batches,
    limit: Option<Bucket>,
}

/// A run that is under way.
#[derive(Clone)]
struct Job {
    ledger: Arc<Ledger>,
    checkpoint: Option<Arc<Checkpoint>>,
    seconds_before: f64,
    start: Instant,
}

impl Job {
    fn seconds(&self) -> f64 {
        self.seconds_before + self.start.elapsed().as_secs_f64()
    }

    fn save(&self, finished: bool) -> Result<(), Error> {
        match &self.checkpoint {
            None => Ok(()),
            Some(checkpoint) => checkpoint.save(
                &self.ledger.durable_mark()?,
                self.ledger.counts(),
                self.seconds(),
                finished,
            ),
        }
    }

    /// Reads and writes until the end. Returns whether Ctrl-C was it.
    async fn carry_out(&self, work: Work, args: &Args, ui: &Ui) -> bool {
        let Work { records, parser, input, batches, limit } = work;
        let (taken, size) = (Arc::clone(&records.taken), records.size);
        let skipped = taken.load(Ordering::Relaxed);
        let (stop, _) = watch::channel(false);
        let writers = Arc::new(Writers {
            batches,
            input,
            ledger: Arc::clone(&self.ledger),
            limit,
            give_up_after: Duration::from_secs(args.give_up_after),
            stop,
        });
        let mut tasks = JoinSet::new();
        let mut senders = Vec::new();
        for _ in 0..args.concurrency {
            let (sender, lines) = mpsc::unbounded_channel();
            senders.push(sender);
            tasks.spawn(Arc::clone(&writers).run(lines));
        }
        let keep_text = args.rejects.is_some();
        let marks = self.checkpoint.is_some();
        let ledger = Arc::clone(&self.ledger);
        let reader = Reader::new(records, parser, ledger, senders, keep_text, marks);
        // Not waited for: it may hang at a pipe that says nothing more.
        if let Err(error) = thread::Builder::new().spawn(|| reader.run()) {
            let error = Error::new("cannot start the thread that reads").cause(error);
            self.ledger.close(Some(error));
        }

        let every = if ui.is_terminal() { SHOW_EVERY } else { LOG_EVERY };
        let mut show = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
        let mut save = tokio::time::interval(SAVE_EVERY);
        save.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut progress = ui.progress("importing");
        let before = self.ledger.counts();
        let mut interrupted = false;
        let mut saving: Option<tokio::task::JoinHandle<Result<(), Error>>> = None;
        let Ok(mut interrupt) = signal(SignalKind::interrupt()) else { return false };
        loop {
            tokio::select! {
                ended = tasks.join_next() => match ended {
                    None => break,
                    Some(Ok(())) => {}
                    Some(Err(error)) => {
                        self.ledger.close(Some(Error::new("a writer stopped").cause(error)));
                        writers.stop.send_replace(true);
                    }
                },
                _ = save.tick(), if self.checkpoint.is_some() && saving.is_none() => {
                    // A disk's time is not the writers'.
                    let job = self.clone();
                    saving = Some(tokio::task::spawn_blocking(move || job.save(false)));
                }
                saved = async { saving.as_mut()?.await.ok() }, if saving.is_some() => {
                    saving = None;
                    if let Some(Err(error)) = saved {
                        self.ledger.close(Some(error));
                        writers.stop.send_replace(true);
                    }
                }
                _ = show.tick() => {
                    let read = size.map(|size| {
                        let taken = taken.load(Ordering::Relaxed) - skipped;
                        taken as f64 / size.saturating_sub(skipped).max(1) as f64
                    });
                    let text = self.how_far(before, read);
                    if ui.is_terminal() { progress.say(text) } else { ui.note(text) }
                }
                _ = interrupt.recv() => {
                    if interrupted {
                        break;
                    }
                    interrupted = true;
                    self.ledger.close(None);
                    writers.stop.send_replace(true);
                    progress.say("interrupted: waiting for what is on its way");
                }
            }
        }
        if let Some(saving) = saving {
            // The last save comes after this one.
            let _ = saving.await;
        }
        interrupted
    }

    /// `read`: the share of the input that is read.
    fn how_far(&self, before: Counts, read: Option<f64>) -> String {
        let counts = self.ledger.counts();
        let seconds = self.start.elapsed().as_secs_f64();
        let settled = |counts: Counts| counts.written + counts.rejected;
        let done = settled(counts) - settled(before);
        let rate = done as f64 / seconds.max(0.001);
        let mut text = format!("importing: {} lines, {rate:.0} a second", settled(counts));
        // Reading is ahead of writing.
        let of_read = done as f64 / (counts.read - before.read).max(1) as f64;
        if let Some(share) = read.map(|read| read * of_read).filter(|share| *share > 0.0) {
            text += &format!(", {:.0} s left", seconds / share - seconds);
        }
        if counts.throttled > 0 {
            text += &format!(", throttled {} times", counts.throttled);
        }
        text
    }

    fn end(
        &self,
        interrupted: bool,
        resumed_at: u64,
        args: &Args,
        ui: &Ui,
    ) -> Result<ExitCode, Error> {
        let error = self.ledger.take_error();
        let counts = self.ledger.counts();
        let finished = error.is_none() && !interrupted && self.ledger.is_done();
        let saved = self.save(finished);
        self.ledger.finish_rejects();
        let shown = Report::new(counts, resumed_at, self.seconds()).show(&args.output, ui);
        let go_on = |error: Error| {
            match &args.checkpoint {
            Some(_) => error.hint("rerun the same command to resume from the checkpoint"),
            None if counts.unreached() > 0 => error.hint(
                "what is written stays: run it again to write all; with --checkpoint FILE the same command resumes",
            ),
            None => error,
        }
        };
        if let Some(error) = error {
            let in_part = counts.unreached() > 0 && counts.written > 0;
            return Err(go_on(if in_part { error.exit(Exit::Partial) } else { error }));
        }
        saved?;
        if interrupted {
            return Err(go_on(Error::new("interrupted").exit(Exit::Interrupted)));
        }
        if !finished {
            return Err(go_on(
                Error::new("the run ended before its input did").exit(Exit::Partial),
            ));
        }
        // Last: a reader of the report that has gone hides nothing.
        refuse_rejected(counts, args).and(shown).map(|()| ExitCode::SUCCESS)
    }
}

/// Fails where lines were rejected: something was read and not written.
fn refuse_rejected(counts: Counts, args: &Args) -> Result<(), Error> {
    if counts.rejected == 0 {
        return Ok(());
    }
    let rejected = count(usize::try_from(counts.rejected).unwrap_or(usize::MAX), "line");
    let file = args.rejects.as_ref().map(|file| format!("`{}`", file.display()));
    let file = file.unwrap_or_else(|| "the rejected lines".to_owned());
    Err(Error::new(format!("{rejected} rejected; the rest is written"))
        .hint(format!("fix {file} and import that"))
        .exit(Exit::Partial))
}
