//! The dump itself: one task for each segment reads, one thread writes.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ops_common::app::pseudonym::Pseudonyms;
use ops_common::dynamodb::scan::{Page, Segments};
use ops_common::dynamodb::selection::items;
use ops_common::error::{Error, Exit};
use ops_common::text::units;
use ops_common::ui::Ui;
use tokio::sync::mpsc;

use crate::checkpoint::{Checkpoint, Counts, Reached, State};
use crate::format::Lines;
use crate::out::Out;

/// Pages that wait to be written.
const WAITING_PAGES: usize = 2;
/// How often the checkpoint is saved.
const SAVE_EVERY: Duration = Duration::from_millis(250);
/// How often a person at a terminal sees how far it is, and a log.
const SHOW_EVERY: Duration = Duration::from_millis(200);
const LOG_EVERY: Duration = Duration::from_secs(10);

pub(crate) fn interrupted() -> Error {
    Error::new("interrupted").exit(Exit::Interrupted)
}

/// Writes pages down, in the order that they come in.
pub(crate) struct Writer {
    lines: Lines,
    pseudonyms: Option<Pseudonyms>,
    /// which of the selected names an item had
    seen: Vec<bool>,
    out: Out,
    state: State,
    checkpoint: Option<Checkpoint>,
    /// items that the checkpoint has, as it was saved last
    kept: u64,
    /// items of this run, and those of them that the reader has
    items: u64,
    handed_over: u64,
    seconds_before: f64,
    start: Instant,
    saved_at: Instant,
}

impl Writer {
    /// One that goes on from `state`.
    ///
    /// # Errors
    /// Where the checkpoint or the file's header cannot be written.
    pub(crate) fn new(
        lines: Lines,
        pseudonyms: Option<Pseudonyms>,
        out: Out,
        state: State,
        checkpoint: Option<Checkpoint>,
        seconds_before: f64,
    ) -> Result<Self, Error> {
        let mut writer = Self {
            seen: vec![false; lines.columns.len()],
            pseudonyms,
            lines,
            out,
            kept: state.counts.items,
            items: 0,
            handed_over: 0,
            state,
            checkpoint,
            seconds_before,
            start: Instant::now(),
            saved_at: Instant::now(),
        };
        if writer.state.bytes == 0 {
            writer.begin()?;
        }
        Ok(writer)
    }

    /// Before the first byte of the file there is a checkpoint that knows of the file:
    /// else a run that is killed here would leave what no run takes.
    fn begin(&mut self) -> Result<(), Error> {
        self.save(false)?;
        let header = self.lines.header();
        self.out
            .pending
            .extend(header.map_err(|error| Error::new("cannot write the header").cause(error))?);
        Ok(())
    }

    fn write(&mut self, page: &Page) -> Result<(), Error> {
        let mut left_out = 0;
        for mut item in page.items()? {
            if let Some(pseudonyms) = &self.pseudonyms {
                let Some(made_up) = pseudonyms.row(&item) else {
                    left_out += 1;
                    continue;
                };
                item = made_up;
            }
            for (seen, name) in self.seen.iter_mut().zip(&self.lines.columns) {
                *seen |= item.get(name).is_some();
            }
            self.lines
                .write(&item, &mut self.out.pending)
                .map_err(|error| Error::new("cannot write an item").cause(error))?;
            self.items += 1;
            self.out.flush_chunk()?;
            if self.out.pending.is_empty() {
                self.handed_over = self.items;
            }
        }
        self.state.counts.items += page.count - left_out;
        self.state.counts.left_out += left_out;
        self.state.counts.scanned += page.scanned;
        self.state.counts.consumed_capacity += page.consumed_capacity;
        let reached = page.next.clone().map_or(Reached::End, Reached::After);
        let segment = self.state.segments.iter_mut().find(|(segment, _)| *segment == page.segment);
        if let Some(segment) = segment {
            segment.1 = reached;
        }
        if self.saved_at.elapsed() >= SAVE_EVERY { self.save(false) } else { Ok(()) }
    }

    /// Puts on disk what is written so far, and then how far that is.
    fn save(&mut self, finished: bool) -> Result<(), Error> {
        let Some(checkpoint) = &self.checkpoint else { return Ok(()) };
        if !finished {
            self.state.bytes = self.out.sync()?;
        }
        let seconds = self.seconds_before + self.start.elapsed().as_secs_f64();
        checkpoint.save(&self.state, seconds, finished)?;
        self.kept = self.state.counts.items;
        self.saved_at = Instant::now();
        Ok(())
    }
}

/// Reads all segments and writes them down. `about`: how many items that is,
/// `filtered`: whether that many are read and fewer are written.
///
/// # Errors
/// Where the dump is not whole.
pub(crate) async fn dump(
    mut segments: Segments,
    mut writer: Writer,
    about: Option<i64>,
    filtered: bool,
    ui: &Ui,
) -> Result<ExitCode, Error> {
    let (start, seconds_before) = (writer.start, writer.seconds_before);
    let written = Arc::new(AtomicU64::new(writer.state.counts.items));
    let showing = tokio::spawn(show_progress(Arc::clone(&written), about, ui.clone()));
    let (sender, mut pages) = mpsc::channel::<Page>(WAITING_PAGES);
    let writing = tokio::task::spawn_blocking(move || {
        let mut outcome = Ok(());
        while let Some(page) = pages.blocking_recv() {
            outcome = writer.write(&page);
            if outcome.is_err() {
                break;
            }
            written.store(writer.state.counts.items, Ordering::Relaxed);
        }
        // What was written is of use to a later run, also where reading ended.
        let outcome = outcome.and_then(|()| writer.save(false));
        (writer, outcome)
    });
    let mut interrupt = std::pin::pin!(tokio::signal::ctrl_c());
    let read = tokio::select! {
        read = pass_on(&mut segments, sender) => read,
        _ = &mut interrupt => Err(interrupted()),
    };
    let (writer, wrote) = tokio::select! {
        done = writing => done.map_err(|error| Error::new("the writer stopped").cause(error))?,
        // The pipe that it writes to may have stopped for good.
        _ = tokio::signal::ctrl_c() => return Err(interrupted()),
    };
    showing.abort();
    let _ = showing.await;
    if let Err(error) = wrote.and(read) {
        return Err(ended_early(error, &writer, ui));
    }
    let seconds = seconds_before + start.elapsed().as_secs_f64();
    let Writer { out, mut state, checkpoint, seen, lines, .. } = writer;
    for (name, _) in
        lines.columns.iter().zip(seen).filter(|(_, seen)| !seen && state.counts.items > 0)
    {
        ui.warn(format_args!("no item that was written has an attribute `{name}`"));
    }
    state.bytes = out.finish()?;
    if let Some(checkpoint) = checkpoint {
        checkpoint.save(&state, seconds, true)?;
    }
    show_end(&state.counts, filtered, seconds, ui)
}

/// The error of a dump that is not whole, with what there is of it.
fn ended_early(error: Error, writer: &Writer, ui: &Ui) -> Error {
    if error.exit_kind() == Exit::ClosedPipe {
        ui.note(format_args!(
            "the reader has closed the pipe; it was handed at least {}",
            items(writer.handed_over)
        ));
        return error;
    }
    let written = items(writer.state.counts.items);
    error.hint(match (&writer.checkpoint, writer.out.stream()) {
        (Some(_), _) if writer.kept == 0 => {
            "nothing is kept: the same command starts again".to_owned()
        }
        (Some(_), _) => {
            format!("{} are kept: rerun the same command to resume", items(writer.kept))
        }
        (None, Some(name)) => format!("{written} are on {name}, and they are not all"),
        (None, None) => {
            format!("none of {written} is kept; with --checkpoint FILE the same command resumes")
        }
    })
}

/// Hands all pages to the writer, until it takes no more.
async fn pass_on(segments: &mut Segments, writer: mpsc::Sender<Page>) -> Result<(), Error> {
    while let Some(page) = segments.next().await? {
        if writer.send(page).await.is_err() {
            break;
        }
    }
    Ok(())
}

async fn show_progress(written: Arc<AtomicU64>, about: Option<i64>, ui: Ui) {
    let (start, before) = (Instant::now(), written.load(Ordering::Relaxed));
    let mut progress = ui.progress("exporting");
    let every = if ui.is_terminal() { SHOW_EVERY } else { LOG_EVERY };
    loop {
        tokio::time::sleep(every).await;
        let written = written.load(Ordering::Relaxed);
        let rate = (written - before) as f64 / start.elapsed().as_secs_f64();
        let about = about.map_or_else(String::new, |about| format!(" of about {about}"));
        let text = format!("exporting: {written} items{about}, {rate:.0} a second");
        if ui.is_terminal() { progress.say(text) } else { ui.note(text) }
    }
}

/// Says how much was written, of all runs of the dump.
pub(crate) fn show_end(
    counts: &Counts,
    filtered: bool,
    seconds: f64,
    ui: &Ui,
) -> Result<ExitCode, Error> {
    let of = if filtered { format!(" of {} read", counts.scanned) } else { String::new() };
    if counts.left_out > 0 {
        ui.warn(format_args!(
            "{} of kinds that the app does not write, or that cannot be read, left out",
            items(counts.left_out)
        ));
    }
    ui.note(format_args!(
        "{} written{of}; {} read units; {seconds:.1} s",
        items(counts.items),
        units(counts.consumed_capacity)
    ));
    Ok(ExitCode::SUCCESS)
}
