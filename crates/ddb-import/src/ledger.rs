//! What became of each line: the one place that knows. The reader enters lines,
//! writers settle them in any order, and the mark is the place below which all
//! are settled.

use std::cmp::Ordering;
use std::collections::{HashMap, VecDeque};
use std::io::{Seek, Write};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use ops_common::error::Error;
use ops_common::text::printable;
use ops_common::ui::Ui;

use crate::input::Position;
use crate::rejects::{Rejects, cannot_write};

/// Lines between the mark and the reader, at most.
const MOST_LINES: usize = 20_000;
/// And their bytes: whatever the items' size, memory stays the same.
const MOST_BYTES: usize = 8 << 20;

const MOST_WARNINGS: u64 = 10;

/// The counts of a run, together with those of the runs that it goes on from.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Counts {
    pub(crate) read: u64,
    pub(crate) written: u64,
    pub(crate) rejected: u64,
    pub(crate) consumed_capacity: f64,
    /// attempts that DynamoDB did not take for the moment, of this run
    pub(crate) throttled: u64,
}

impl Counts {
    pub(crate) fn unreached(&self) -> u64 {
        self.read - self.written - self.rejected
    }
}

/// The place below which every line is written or rejected, and their counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mark {
    pub(crate) position: Position,
    pub(crate) written: u64,
    pub(crate) rejected: u64,
    /// bytes of the rejects file
    pub(crate) rejects_bytes: u64,
}

/// A line that was entered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    /// its number among all of this run
    sequence: u64,
    /// what it counts for while it is on its way
    bytes: usize,
    /// the hash of its key; none where it has none
    key: Option<u64>,
    /// which writer it is for
    pub(crate) writer: usize,
}

#[derive(Debug)]
enum Line {
    Open,
    Written,
    /// with the text, where a file takes it
    Rejected(Box<[u8]>),
    /// the mark cannot go past it: nobody takes it
    Stuck,
}

#[derive(Debug)]
pub(crate) struct Ledger {
    state: Mutex<State>,
    /// room for lines, or the end
    changed: Condvar,
    ui: Ui,
}

#[derive(Debug)]
struct State {
    counts: Counts,
    /// the number of the first line in `lines`
    first: u64,
    lines: VecDeque<Line>,
    bytes: usize,
    /// keys that are on their way: with which writer, and how many lines
    keys: HashMap<u64, (usize, usize)>,
    /// lines on their way, by writer
    loads: Vec<usize>,
    /// places that the mark can come to, in order
    places: VecDeque<(u64, Position)>,
    mark: Mark,
    /// counts of the lines before `first`
    settled: (u64, u64),
    rejects: Option<Rejects>,
    /// no line is to be entered any more
    closed: bool,
    error: Option<Error>,
}

impl Ledger {
    /// Goes on from `mark`.
    pub(crate) fn new(mark: Mark, consumed_capacity: f64, writers: usize, ui: &Ui) -> Self {
        let counts = Counts {
            read: mark.written + mark.rejected,
            written: mark.written,
            rejected: mark.rejected,
            consumed_capacity,
            throttled: 0,
        };
        let state = State {
            counts,
            first: 0,
            lines: VecDeque::new(),
            bytes: 0,
            keys: HashMap::new(),
            loads: vec![0; writers],
            places: VecDeque::new(),
            settled: (mark.written, mark.rejected),
            mark,
            rejects: None,
            closed: false,
            error: None,
        };
        Self { state: Mutex::new(state), changed: Condvar::new(), ui: ui.clone() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn counts(&self) -> Counts {
        self.state().counts
    }

    /// The mark, with the rejects below it surely on disk.
    pub(crate) fn durable_mark(&self) -> Result<Mark, Error> {
        let (mark, rejects) = {
            let state = self.state();
            let rejects = state.rejects.as_ref().map(Rejects::another_handle).transpose()?;
            (state.mark.clone(), rejects)
        };
        if let Some((file, name)) = rejects {
            file.sync_all().map_err(|error| cannot_write(&name, error))?;
        }
        Ok(mark)
    }

    /// Whether a line of so many bytes can be entered at once.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.state().has_room(bytes)
    }

    /// A writer that has no line on its way, once there is one. Lines that waited
    /// with busy writers would arrive far from the input's order, in which a
    /// server that keeps its keys sorted takes them best.
    pub(crate) fn idle_writer(&self) -> usize {
        let mut state = self.state();
        loop {
            match state.idle_writer() {
                Some(writer) => return writer,
                // The next line is not entered.
                None if state.closed => return 0,
                None => {
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    /// Enters a line for this writer, once there is room; for another one where
    /// that has a line with its key on its way. `None`: the run ends.
    pub(crate) fn enter(&self, bytes: usize, key: Option<u64>, writer: usize) -> Option<Entry> {
        let mut state = self.state();
        while !state.has_room(bytes) && !state.closed {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.closed {
            return None;
        }
        state.counts.read += 1;
        state.bytes += bytes;
        state.lines.push_back(Line::Open);
        let sequence = state.first + state.lines.len() as u64 - 1;
        let mut writer = writer;
        if let Some(key) = key {
            let on_its_way = state.keys.entry(key).or_insert((writer, 0));
            on_its_way.1 += 1;
            writer = on_its_way.0;
            state.loads[writer] += 1;
        }
        Some(Entry { sequence, bytes, key, writer })
    }

    /// Every line that was entered so far is before this place.
    pub(crate) fn note_place(&self, position: &Position) {
        let mut state = self.state();
        let next = state.first + state.lines.len() as u64;
        state.places.push_back((next, position.clone()));
        state.advance();
    }

    /// These lines are written.
    pub(crate) fn written(&self, lines: impl Iterator<Item = Entry>) {
        let mut state = self.state();
        for entry in lines {
            state.counts.written += 1;
            state.settle(entry, Line::Written);
        }
        state.advance();
        let wake = state.has_much_room() || state.closed;
        drop(state);
        if wake {
            self.changed.notify_all();
        }
    }

    /// Adds what DynamoDB said that a batch cost.
    pub(crate) fn consumed(&self, units: f64) {
        self.state().counts.consumed_capacity += units;
    }

    /// DynamoDB took nothing, or not all of a batch.
    pub(crate) fn throttled(&self) {
        self.state().counts.throttled += 1;
    }

    /// This line is no item that the table takes. It ends the run where no file
    /// takes the line.
    pub(crate) fn reject(&self, entry: Entry, text: &[u8], place: &str, why: &str) {
        let mut state = self.state();
        state.counts.rejected += 1;
        if state.rejects.is_some() {
            warn_of_line(state.counts.rejected, place, why, &self.ui);
            state.settle(entry, Line::Rejected(text.into()));
        } else {
            state.settle(entry, Line::Stuck);
            state.close(Some(bad_line(place, why)));
        }
        state.advance();
        drop(state);
        self.changed.notify_all();
    }

    /// Rejects a line that is too long to be held: once all before it are
    /// settled, `copy` writes it to the file that takes it. `false`: the run ends.
    pub(crate) fn reject_long(
        &self,
        place: &str,
        why: &str,
        copy: impl FnOnce(&mut dyn Write) -> Result<(), Error>,
    ) -> Result<bool, Error> {
        let mut state = self.state();
        while !state.lines.is_empty() && !state.closed {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.closed {
            return Ok(false);
        }
        state.counts.read += 1;
        state.counts.rejected += 1;
        let Some(mut rejects) = state.rejects.take() else {
            state.lines.push_back(Line::Stuck);
            state.close(Some(bad_line(place, why)));
            return Ok(false);
        };
        warn_of_line(state.counts.rejected, place, why, &self.ui);
        // It may have to be waited for, and others look at the counts meanwhile.
        drop(state);
        let copied = copy(&mut rejects.file);
        let end = rejects.file.stream_position();
        let mut state = self.state();
        rejects.failed = copied.is_err();
        if let (Ok(()), Ok(end)) = (&copied, end) {
            rejects.bytes = end;
            state.settled.1 += 1;
        }
        state.rejects = Some(rejects);
        copied.map(|()| true)
    }

    /// No further line is entered; `error` is why, where it is one.
    pub(crate) fn close(&self, error: Option<Error>) {
        self.state().close(error);
        self.changed.notify_all();
    }

    /// The first error that ended the run.
    pub(crate) fn take_error(&self) -> Option<Error> {
        self.state().error.take()
    }

    /// Whether the reader came to its end and all that it entered is behind the
    /// mark.
    pub(crate) fn is_done(&self) -> bool {
        let state = self.state();
        state.closed && state.lines.is_empty()
    }

    /// Takes the file for rejected lines, before any line is entered.
    pub(crate) fn set_rejects(&self, rejects: Rejects) {
        let mut state = self.state();
        state.mark.rejects_bytes = rejects.bytes;
        state.rejects = Some(rejects);
    }

    /// Removes a file of rejects that has none.
    pub(crate) fn finish_rejects(&self) {
        if let Some(rejects) = self.state().rejects.take() {
            rejects.finish();
        }
    }
}

impl State {
    fn has_room(&self, bytes: usize) -> bool {
        self.lines.is_empty() || self.lines.len() < MOST_LINES && self.bytes + bytes <= MOST_BYTES
    }

    fn idle_writer(&self) -> Option<usize> {
        self.loads.iter().position(|load| *load == 0)
    }

    /// A reader that is woken for each line's room would do little else.
    fn has_much_room(&self) -> bool {
        self.lines.len() < MOST_LINES * 3 / 4 && self.bytes < MOST_BYTES * 3 / 4
    }

    fn close(&mut self, error: Option<Error>) {
        self.closed = true;
        if self.error.is_none() {
            self.error = error;
        }
    }

    fn settle(&mut self, entry: Entry, outcome: Line) {
        self.bytes -= entry.bytes;
        if let Line::Rejected(text) = &outcome {
            // Held until the mark is there.
            self.bytes += text.len();
        }
        if let Some(key) = entry.key {
            self.loads[entry.writer] -= 1;
            if let Some(on_its_way) = self.keys.get_mut(&key) {
                on_its_way.1 -= 1;
                if on_its_way.1 == 0 {
                    self.keys.remove(&key);
                }
            }
        }
        let place = usize::try_from(entry.sequence - self.first).unwrap_or(usize::MAX);
        if let Some(entry) = self.lines.get_mut(place) {
            *entry = outcome;
        }
    }

    /// Moves the mark up to the first line that is not settled.
    fn advance(&mut self) {
        if self.rejects.as_ref().is_some_and(|rejects| rejects.failed) {
            return;
        }
        loop {
            while self.places.front().is_some_and(|(sequence, _)| *sequence == self.first) {
                if let Some((_, position)) = self.places.pop_front() {
                    self.mark = Mark {
                        position,
                        written: self.settled.0,
                        rejected: self.settled.1,
                        rejects_bytes: self.rejects.as_ref().map_or(0, |rejects| rejects.bytes),
                    };
                }
            }
            match self.lines.front() {
                Some(Line::Written) => self.settled.0 += 1,
                Some(Line::Rejected(text)) => {
                    self.bytes -= text.len();
                    if let Some(rejects) = &mut self.rejects
                        && let Err(error) = rejects.write(&[text, &b"\n"[..]].concat())
                    {
                        self.close(Some(error));
                        return;
                    }
                    self.settled.1 += 1;
                }
                Some(Line::Open | Line::Stuck) | None => return,
            }
            self.lines.pop_front();
            self.first += 1;
        }
    }
}

/// Says what is wrong with the `number`-th bad line; not of each where there are
/// very many.
pub(crate) fn warn_of_line(number: u64, place: &str, why: &str, ui: &Ui) {
    match number.cmp(&MOST_WARNINGS) {
        Ordering::Less => ui.warn(format_args!("{place}: {}", printable(why))),
        Ordering::Equal => {
            ui.warn(format_args!(
                "{place}: {}; further bad lines are only counted",
                printable(why)
            ));
        }
        Ordering::Greater => {}
    }
}

fn bad_line(place: &str, why: &str) -> Error {
    Error::new(format!("{place}: {}", printable(why)))
        .hint("collect such lines with --rejects FILE and fix them there, or fix the line (not in an export: it is verified)")
}

#[cfg(test)]
mod tests {
    use super::*;
    use ops_common::ui::ColorChoice;

    fn ledger() -> Ledger {
        Ledger::new(Mark::default(), 0.0, 2, &Ui::new(ColorChoice::Never, false))
    }

    fn place(line: u64) -> Position {
        Position { line, ..Position::default() }
    }

    #[test]
    fn the_mark_waits_for_the_lowest_line() {
        let ledger = ledger();
        let lines: Vec<_> = (0..4).map(|_| ledger.enter(10, None, 0).expect("room")).collect();
        ledger.note_place(&place(4));
        ledger.enter(10, None, 0).expect("room");
        ledger.note_place(&place(5));
        let mark = || ledger.durable_mark().expect("no file").position.line;
        ledger.written([lines[3], lines[1]].into_iter());
        assert_eq!(mark(), 0);
        ledger.written([lines[0], lines[2]].into_iter());
        assert_eq!(mark(), 4);
        let counts = ledger.counts();
        assert_eq!((counts.read, counts.written, counts.unreached()), (5, 4, 1));
    }

    #[test]
    fn a_key_on_its_way_keeps_its_writer() {
        let ledger = ledger();
        let first = ledger.enter(1, Some(7), 1).expect("room");
        assert_eq!(first.writer, 1);
        assert_eq!(ledger.idle_writer(), 0);
        let second = ledger.enter(1, Some(7), 0).expect("room");
        assert_eq!(second.writer, 1);
        assert_eq!(ledger.enter(1, Some(8), 0).expect("room").writer, 0);
        ledger.written([first].into_iter());
        assert_eq!(ledger.enter(1, Some(7), 0).expect("room").writer, 1);
        ledger.written([second].into_iter());
    }

    #[test]
    fn a_busy_writer_gets_no_more() {
        let ledger = ledger();
        ledger.enter(1, Some(1), 0).expect("room");
        assert_eq!(ledger.idle_writer(), 1);
        let lines = [2, 3].map(|key| ledger.enter(1, Some(key), 1).expect("room"));
        assert_eq!(ledger.state().idle_writer(), None);
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| ledger.idle_writer());
            ledger.written(lines.into_iter());
            assert_eq!(writer.join().expect("a writer"), 1);
        });
        ledger.enter(1, Some(4), 1).expect("room");
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| ledger.idle_writer());
            ledger.close(None);
            writer.join().expect("the end");
        });
    }

    #[test]
    fn a_bad_line_that_nobody_takes_stops_the_mark() {
        let ledger = ledger();
        let good = ledger.enter(1, None, 0).expect("room");
        ledger.note_place(&place(1));
        let bad = ledger.enter(1, None, 0).expect("room");
        ledger.note_place(&place(2));
        ledger.reject(bad, b"x", "f:2", "bad");
        ledger.written([good].into_iter());
        assert_eq!(ledger.durable_mark().expect("no file").position.line, 1);
        assert!(ledger.enter(1, None, 0).is_none());
        assert_eq!(ledger.take_error().expect("an error").message(), "f:2: bad");
        assert_eq!(ledger.counts().unreached(), 0);
    }
}
