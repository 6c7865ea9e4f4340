//! A run: starts the reader and the writers, saves the mark, shows how far it is, and
//! says how it ended.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ops_common::dynamodb::batch::Batches;
use ops_common::dynamodb::capacity::Bucket;
use ops_common::error::{Error, Exit};
use ops_common::ui::Ui;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::Args;
use crate::begin::Begin;
use crate::checkpoint::Checkpoint;
use crate::format::Parser;
use crate::input::Records;
use crate::ledger::{Counts, Ledger};
use crate::reader::Reader;
use crate::report::{Report, refuse_rejected};
use crate::writers::Writers;

/// How often the mark is saved.
const SAVE_EVERY: Duration = Duration::from_millis(250);
/// How often a person at a terminal sees how far it is, and a log.
const SHOW_EVERY: Duration = Duration::from_millis(200);
const LOG_EVERY: Duration = Duration::from_secs(10);

/// The server is on this machine, and waits for a processor as this does. Where it
/// gets one first the import is the faster for it, on two cores by a tenth. Not
/// by more than this: beside two processes that compute, 10 doubles the import's
/// time, and 19 takes it to fourteen times.
pub(crate) fn lower_priority() {
    // Where it may not be lowered nothing is lost but time.
    let _ = rustix::process::nice(5);
}

/// How much of the input is read.
struct Read {
    taken: Arc<AtomicU64>,
    /// what an earlier run has read
    skipped: u64,
    size: Option<u64>,
}

impl Read {
    fn of(records: &Records) -> Self {
        let taken = Arc::clone(&records.taken);
        Self { skipped: taken.load(Ordering::Relaxed), taken, size: records.size }
    }

    /// The share of it that is read; `None` of a pipe.
    fn share(&self) -> Option<f64> {
        let taken = self.taken.load(Ordering::Relaxed) - self.skipped;
        let size = self.size?.saturating_sub(self.skipped).max(1);
        Some(taken as f64 / size as f64)
    }
}

/// What a run reads, and where it writes it.
pub(crate) struct Work {
    pub(crate) records: Records,
    pub(crate) parser: Parser,
    pub(crate) batches: Batches,
    pub(crate) limit: Option<Bucket>,
}

/// A run that is under way.
#[derive(Clone)]
pub(crate) struct Job {
    pub(crate) ledger: Arc<Ledger>,
    checkpoint: Option<Arc<Checkpoint>>,
    /// of the run that this one goes on from
    seconds_before: f64,
    resumed_at: u64,
    start: Instant,
}

impl Job {
    pub(crate) fn new(begin: Begin, checkpoint: Option<Checkpoint>, args: &Args, ui: &Ui) -> Self {
        let writers = args.concurrency.into();
        Self {
            ledger: Arc::new(Ledger::new(begin.mark, begin.consumed_capacity, writers, ui)),
            checkpoint: checkpoint.map(Arc::new),
            seconds_before: begin.seconds,
            resumed_at: begin.line,
            start: Instant::now(),
        }
    }

    fn seconds(&self) -> f64 {
        self.seconds_before + self.start.elapsed().as_secs_f64()
    }

    /// Saves the mark, where there is a checkpoint.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(crate) fn save(&self, finished: bool) -> Result<(), Error> {
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
    pub(crate) async fn carry_out(&self, work: Work, args: &Args, ui: &Ui) -> bool {
        let read = Read::of(&work.records);
        let (mut tasks, stop) = self.spawn(work, args);
        let every = if ui.is_terminal() { SHOW_EVERY } else { LOG_EVERY };
        let mut show = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
        let mut save = tokio::time::interval(SAVE_EVERY);
        save.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut progress = ui.progress("importing");
        let before = self.ledger.counts();
        let mut interrupted = false;
        let mut saving: Option<JoinHandle<Result<(), Error>>> = None;
        let Ok(mut interrupt) = signal(SignalKind::interrupt()) else { return false };
        loop {
            tokio::select! {
                ended = tasks.join_next() => match ended {
                    None => break,
                    Some(Ok(())) => {}
                    Some(Err(error)) => {
                        self.ledger.close(Some(Error::new("a writer stopped").cause(error)));
                        stop.send_replace(true);
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
                        stop.send_replace(true);
                    }
                }
                _ = show.tick() => {
                    let text = self.how_far(before, read.share());
                    if ui.is_terminal() { progress.say(text) } else { ui.note(text) }
                }
                _ = interrupt.recv() => {
                    if interrupted {
                        break;
                    }
                    interrupted = true;
                    self.ledger.close(None);
                    stop.send_replace(true);
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

    /// Starts the thread that reads and the tasks that write; what stops the tasks.
    fn spawn(&self, work: Work, args: &Args) -> (JoinSet<()>, watch::Sender<bool>) {
        let Work { records, parser, batches, limit } = work;
        let (stop, _) = watch::channel(false);
        let writers = Arc::new(Writers {
            batches,
            ledger: Arc::clone(&self.ledger),
            limit,
            give_up_after: Duration::from_secs(args.give_up_after),
            stop: stop.clone(),
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
        (tasks, stop)
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

    /// Says how it went.
    ///
    /// # Errors
    /// Where not every line is written.
    pub(crate) fn end(self, interrupted: bool, args: &Args, ui: &Ui) -> Result<ExitCode, Error> {
        let error = self.ledger.take_error();
        let counts = self.ledger.counts();
        let finished = error.is_none() && !interrupted && self.ledger.is_done();
        let saved = self.save(finished);
        self.ledger.finish_rejects();
        let shown = Report::new(counts, self.resumed_at, self.seconds()).show(args, ui);
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
        refuse_rejected(counts, args.rejects.as_deref()).and(shown).map(|()| ExitCode::SUCCESS)
    }
}
