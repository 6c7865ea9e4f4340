//! The reader: a thread that parses lines and hands them to the writers. It never
//! runs far ahead: the ledger has room for so much and no more.

use std::sync::Arc;

use ops_common::dynamodb::batch::BATCH_SIZE;
use ops_common::error::Error;
use tokio::sync::mpsc::UnboundedSender;

use crate::format::Parser;
use crate::input::Records;
use crate::ledger::Ledger;
use crate::writers::Line;

/// What a line takes besides its request.
const LINE_BYTES: usize = 256;

/// Reads the whole input.
pub(crate) struct Reader {
    records: Records,
    parser: Parser,
    ledger: Arc<Ledger>,
    writers: Vec<UnboundedSender<Vec<Line>>>,
    /// whether rejected lines have to be kept as they were
    keep_text: bool,
    /// whether the mark has to be known to the line
    marks: bool,
    /// the writer that lines go to whose key is not on its way
    writer: usize,
}

impl Reader {
    pub(crate) fn new(
        records: Records,
        parser: Parser,
        ledger: Arc<Ledger>,
        writers: Vec<UnboundedSender<Vec<Line>>>,
        keep_text: bool,
        marks: bool,
    ) -> Self {
        Self { records, parser, ledger, writers, keep_text, marks, writer: 0 }
    }

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
        loop {
            if self.records.has_to_wait() {
                self.hand_over(chunks);
            }
            if !self.records.advance()? {
                self.ledger.note_place(self.records.position());
                return Ok(());
            }
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
            let key = parsed.as_ref().ok().map(|put| put.write.identity);
            let Some(entry) = self.ledger.enter(bytes, key, self.writer) else { return Ok(()) };
            match parsed {
                Ok(put) => {
                    let place = self.records.file_and_line();
                    let chunk = &mut chunks[entry.writer];
                    chunk.push(Line { entry, place, put, text });
                    if chunk.len() == BATCH_SIZE {
                        if entry.writer == self.writer {
                            self.hand_over(chunks);
                        } else {
                            let _ = self.writers[entry.writer].send(std::mem::take(chunk));
                        }
                    }
                }
                Err(why) => self.ledger.reject(entry, &text, &self.records.place(), &why),
            }
            if self.marks {
                self.ledger.note_place(self.records.position());
            }
        }
    }

    fn hand_over(&mut self, chunks: &mut [Vec<Line>]) {
        for (chunk, writer) in chunks.iter_mut().zip(&self.writers) {
            if !chunk.is_empty() {
                // A writer that is gone has ended the run.
                let _ = writer.send(std::mem::take(chunk));
            }
        }
        self.writer = self.ledger.idle_writer();
    }
}
