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
mod rules;
mod writers;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::{BillingMode, TableDescription};
use ops_common::args::{
    ConfirmArgs, DynamoArgs, OutputArgs, TableArg, TargetArg, UiArgs, seconds, units_a_second,
};
use ops_common::batch::Batches;
use ops_common::capacity::Bucket;
use ops_common::cli;
use ops_common::confirm::{Permit, Question, Risk, check_can_consent, confirm};
use ops_common::dynamodb::Dynamo;
use ops_common::error::{Error, Exit};
use ops_common::item_format::ItemFormat;
use ops_common::scan::{Scan, Segments};
use ops_common::table_identity::TableIdentity;
use ops_common::table_lifecycle::{describe, missing};
use ops_common::target::Target;
use ops_common::ui::{Ui, count, units};
use serde::Serialize;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use checkpoint::{Checkpoint, Saved};
use format::Parser;
use input::{Records, Source};
use ledger::{Counts, Ledger, Mark, Rejects};
use reader::Reader;
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
    after_help = "Formats, one item a line, by the file's extension or --format; `.gz` is unpacked:
  dynamodb-json  .json           {\"Item\":{\"pk\":{\"S\":\"a\"},…}} or the bare item: every type, nothing lost
  jsonl          .jsonl .ndjson  {\"pk\":\"a\",\"n\":1.50}: numbers keep their digits; no sets, no binaries
  csv            .csv            a header row; `n:N`, `b:B` and `t:BOOL` type a column; an empty field is
                                 left out

Examples:
  ddb-import items.json.gz
  ddb-import items.json --checkpoint items.mark    killed? the same command goes on
  ddb-import people.csv --rejects bad.csv --dry-run
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
    #[arg(long, value_name = "N", value_parser = units_a_second)]
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
        return Err(Error::usage(
            "--checkpoint cannot go on from standard input, which is gone by then",
        )
        .hint("save the items to a file first, and import that"));
    }
    let target = args.target.target;
    let table_name = args.table.name();
    let question = Question {
        target,
        kind: "table",
        resource: &table_name,
        what: "",
        risk: match target {
            Target::Prod if !args.dry_run => Risk::Changes,
            _ => Risk::None,
        },
    };
    check_can_consent(&question, &args.consent)?;
    let mut records = Records::open(&source, format == ItemFormat::Csv, args.checkpoint.is_some())?;
    let db = Dynamo::connect(target, &args.dynamo, ui).await?;
    ui.acts_on(format_args!("{}  table {table_name}", db.place()));
    let table = describe(&db, &table_name).await?.ok_or_else(|| missing(&db, &table_name))?;
    let mut parser = Parser::new(format, Rules::of(&table));
    let header = read_header(&mut records, &mut parser)?;
    if args.dry_run {
        return dry_run(records, &parser, &args, ui);
    }

    let checkpoint = args.checkpoint.as_ref().map(|path| {
        let identity = TableIdentity::of(&db, &table);
        Checkpoint::new(path, identity, format.to_string(), args.rejects.is_some())
    });
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
            Report::new(counts, resumed_at, seconds_before).show(&args.output, ui)?;
            return Ok(ExitCode::SUCCESS);
        }
    }
    let limit = limit(&args, target, &table, ui);
    let permit = ask(&question, &args, &source, &db, &table, ui).await?;

    let rejects = match (&args.rejects, &saved) {
        (None, _) => None,
        (Some(path), Some(saved)) if saved.rejects_bytes.is_some() => {
            Some(Rejects::reopen(path, saved.rejects_bytes.unwrap_or_default())?)
        }
        (Some(path), _) => Some(Rejects::create(path)?),
    };
    let ledger = Arc::new(Ledger::new(mark, capacity_before, rejects, args.concurrency.into(), ui));
    if let Some(header) = header {
        ledger.rejects_header(&header)?;
    }
    let job = Job { ledger, checkpoint, seconds_before, start: Instant::now() };
    job.save(false)?;
    let interrupted = job.carry_out(records, parser, limit, permit, &args, &source, &db, ui).await;
    job.end(interrupted, resumed_at, &args, ui)
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
    if parser.format != ItemFormat::Csv || !records.advance()? {
        return Ok(None);
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

/// The limit that is named, or half of what a table in `prod` has.
fn limit(args: &Args, target: Target, table: &TableDescription, ui: &Ui) -> Option<Bucket> {
    if let Some(units) = args.max_wcu {
        return Some(Bucket::new(units));
    }
    let on_demand = table.billing_mode_summary().and_then(|billing| billing.billing_mode())
        == Some(&BillingMode::PayPerRequest);
    let provisioned = table.provisioned_throughput().and_then(|t| t.write_capacity_units());
    match provisioned {
        Some(provisioned) if target == Target::Prod && !on_demand && provisioned > 0 => {
            let half = provisioned as f64 / 2.0;
            ui.note(format_args!(
                "limit: {} write units a second, half of what the table has (--max-wcu N sets another)",
                units(half)
            ));
            Some(Bucket::new(half))
        }
        _ => None,
    }
}

async fn ask(
    question: &Question<'_>,
    args: &Args,
    source: &Source,
    db: &Dynamo,
    table: &TableDescription,
    ui: &Ui,
) -> Result<Permit, Error> {
    if question.risk == Risk::None {
        return confirm(question, &args.consent, ui).await;
    }
    let mut segments = Segments::all(Scan::new(db, question.resource).consistent(true), 1, 1);
    let holds_items = segments.next().await?.is_some_and(|page| page.count > 0);
    let (risk, replaces) = if holds_items {
        (Risk::Destroys, "in place of those that have the same keys, which are lost then")
    } else {
        (Risk::Changes, "which is empty")
    };
    let what = format!(
        "{}: this writes the items of `{}` to the table `{}`, {replaces}.\n\
         DynamoDB's last count of the table, which can be hours old: {} items, {} bytes.",
        db.place(),
        source.name(),
        question.resource,
        table.item_count().unwrap_or_default(),
        table.table_size_bytes().unwrap_or_default(),
    );
    confirm(&Question { risk, what: &what, ..*question }, &args.consent, ui).await
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
                ui.warn(format_args!("{place}: {}", Records::too_long()));
                counts.rejected += 1;
                continue;
            }
        };
        match parsed {
            Ok(put) => write_units += put.units,
            Err(why) => {
                ui.warn(format_args!("{}: {}", records.place(), ops_common::ui::printable(&why)));
                counts.rejected += 1;
            }
        }
    }
    drop(progress);
    let seconds = start.elapsed().as_secs_f64();
    let report = Report { write_units: Some(write_units), ..Report::new(counts, 0, seconds) };
    report.show(&args.output, ui)?;
    ui.note(format_args!(
        "nothing is written (--dry-run); writing would cost {} write units in the table, more where it has indexes or larger items are replaced",
        units(write_units)
    ));
    if counts.rejected == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    let bad = count(usize::try_from(counts.rejected).unwrap_or(usize::MAX), "bad line");
    Err(Error::new(bad).hint("mend them, or let --rejects FILE take them"))
}

/// A run that is under way.
struct Job {
    ledger: Arc<Ledger>,
    checkpoint: Option<Checkpoint>,
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
    #[expect(clippy::too_many_arguments, reason = "each is used up here, and only here")]
    async fn carry_out(
        &self,
        records: Records,
        parser: Parser,
        limit: Option<Bucket>,
        permit: Permit,
        args: &Args,
        source: &Source,
        db: &Dynamo,
        ui: &Ui,
    ) -> bool {
        let (taken, size) = (Arc::clone(&records.taken), records.size);
        let (stop, _) = watch::channel(false);
        let writers = Arc::new(Writers {
            batches: Batches::new(db, permit.resource(), parser.rules.keys.clone()),
            table: permit.resource().to_owned(),
            input: source.name(),
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
        let reader = Reader::new(records, parser, Arc::clone(&self.ledger), senders, keep_text);
        // Not waited for: it may hang at a pipe that says nothing more.
        thread::spawn(|| reader.run());

        let every = if ui.is_terminal() { SHOW_EVERY } else { LOG_EVERY };
        let mut show = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
        let mut save = tokio::time::interval(SAVE_EVERY);
        save.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut progress = ui.progress("importing");
        let before = self.ledger.counts();
        let mut interrupted = false;
        loop {
            tokio::select! {
                ended = tasks.join_next() => match ended {
                    None => break,
                    Some(Ok(())) => {}
                    Some(Err(error)) => {
                        self.ledger.close(Some(Error::new("a writer broke off").cause(error)));
                        writers.stop.send_replace(true);
                    }
                },
                _ = save.tick(), if self.checkpoint.is_some() => {
                    if let Err(error) = self.save(false) {
                        self.ledger.close(Some(error));
                        writers.stop.send_replace(true);
                    }
                }
                _ = show.tick() => {
                    let share = size.map(|size| taken.load(Ordering::Relaxed) as f64 / size.max(1) as f64);
                    let text = self.how_far(before, share);
                    if ui.is_terminal() { progress.say(text) } else { ui.note(text) }
                }
                _ = tokio::signal::ctrl_c() => {
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
        interrupted
    }

    fn how_far(&self, before: Counts, share: Option<f64>) -> String {
        let counts = self.ledger.counts();
        let seconds = self.start.elapsed().as_secs_f64();
        let rate = (counts.written - before.written) as f64 / seconds.max(0.001);
        let mut text = format!("importing: {} items, {rate:.0} a second", counts.written);
        if let Some(share) = share.filter(|share| *share > 0.0 && *share < 1.0) {
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
        let finished = error.is_none() && !interrupted && self.ledger.is_settled();
        let saved = self.save(finished);
        self.ledger.finish_rejects();
        Report::new(counts, resumed_at, self.seconds()).show(&args.output, ui)?;
        let go_on = |error: Error| {
            match &args.checkpoint {
            Some(_) => error.hint("the same command goes on from where the checkpoint is"),
            None if counts.unreached() > 0 => {
                error.hint("what is written stays; run it again to write all of it, with --checkpoint to go on from a mark")
            }
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
        if counts.rejected > 0 {
            let rejected = count(usize::try_from(counts.rejected).unwrap_or(usize::MAX), "line");
            let file = args.rejects.as_ref().map(|file| file.display().to_string());
            return Err(Error::new(format!("{rejected} rejected; the rest is written"))
                .hint(format!(
                    "mend `{}` and import it",
                    file.unwrap_or_else(|| "the rejected lines".into())
                ))
                .exit(Exit::Partial));
        }
        Ok(ExitCode::SUCCESS)
    }
}
