//! The reader: a thread that parses lines and hands each to the writer of its
//! key. It never runs far ahead: the ledger has room for so much and no more.

use std::sync::Arc;

use ops_common::error::Error;
use tokio::sync::mpsc::UnboundedSender;

use crate::format::Parser;
use crate::input::Records;
use crate::ledger::Ledger;
use crate::writers::{Line, writer_of};

/// How often the mark can stop.
const LINES_A_PLACE: u64 = 500;
/// What a line takes besides its request.
const LINE_BYTES: usize = 256;
/// Lines that are handed over together.
const CHUNK: usize = 25;

/// Reads the whole input.
pub(crate) struct Reader {
    pub(crate) records: Records,
    pub(crate) parser: Parser,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) writers: Vec<UnboundedSender<Vec<Line>>>,
    /// whether rejected lines have to be kept as they were
    pub(crate) keep_text: bool,
}

impl Reader {
    /// Until the input's end, or until the ledger takes no more.
    pub(crate) fn run(mut self) {
        let outcome = self.read();
        self.ledger.close(outcome.err());
    }

    fn read(&mut self) -> Result<(), Error> {
        let mut chunks: Vec<Vec<Line>> = self.writers.iter().map(|_| Vec::new()).collect();
        let outcome = self.read_into(&mut chunks);
        // Also where the input breaks off: what came before is good.
        self.hand_over(&mut chunks);
        outcome
    }

    fn read_into(&mut self, chunks: &mut [Vec<Line>]) -> Result<(), Error> {
        let mut since_place = 0;
        loop {
            if self.records.has_to_wait() {
                self.hand_over(chunks);
                self.ledger.note_place(self.records.position());
            }
            if !self.records.advance()? {
                self.ledger.note_place(self.records.position());
                return Ok(());
            }
            since_place += 1;
            let Some(record) = self.records.record() else {
                self.hand_over(chunks);
                let place = self.records.place();
                let records = &mut self.records;
                let copy = |out: &mut dyn std::io::Write| records.copy_long_line(out);
                if !self.ledger.reject_long(&place, &Records::too_long(), copy)? {
                    return Ok(());
                }
                self.ledger.note_place(self.records.position());
                continue;
            };
            let parsed = self.parser.parse(record);
            let text: Box<[u8]> = if self.keep_text { record.into() } else { Box::default() };
            let request = parsed.as_ref().map_or(0, |put| put.write.size());
            let bytes = LINE_BYTES + request + text.len();
            if !self.ledger.has_room(bytes) {
                self.hand_over(chunks);
            }
            let Some(sequence) = self.ledger.enter(bytes) else { return Ok(()) };
            match parsed {
                Ok(put) => {
                    let writer = writer_of(&put.write, self.writers.len());
                    let number = self.records.first_line();
                    chunks[writer].push(Line { sequence, bytes, number, put, text });
                    if chunks[writer].len() == CHUNK {
                        let _ = self.writers[writer].send(std::mem::take(&mut chunks[writer]));
                    }
                }
                Err(why) => {
                    self.ledger.reject(sequence, bytes, &text, &self.records.place(), &why);
                }
            }
            if since_place >= LINES_A_PLACE {
                since_place = 0;
                self.ledger.note_place(self.records.position());
            }
        }
    }

    fn hand_over(&self, chunks: &mut [Vec<Line>]) {
        for (chunk, writer) in chunks.iter_mut().zip(&self.writers) {
            if !chunk.is_empty() {
                // A writer that is gone has ended the run.
                let _ = writer.send(std::mem::take(chunk));
            }
        }
    }
}
