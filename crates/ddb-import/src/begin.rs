//! Where a run begins: at the start of its input, or where an earlier one's checkpoint is.

use ops_common::dynamodb::format::ItemFormat;
use ops_common::error::Error;
use ops_common::ui::Ui;

use crate::checkpoint::Checkpoint;
use crate::input::{Records, Source};
use crate::ledger::{Counts, Mark};

/// What is done already, and what it took.
#[derive(Debug, Default)]
pub(crate) struct Begin {
    pub(crate) mark: Mark,
    /// the line that this run begins at; 0: it does not go on from another
    pub(crate) line: u64,
    /// bytes of the file of rejected lines, where the earlier run had one
    pub(crate) rejects_bytes: Option<u64>,
    pub(crate) consumed_capacity: f64,
    pub(crate) seconds: f64,
    /// the input was at its end, and may have got more lines
    pub(crate) finished: bool,
}

impl Begin {
    /// Reads the checkpoint, and the input as far as that says.
    ///
    /// # Errors
    /// Where they cannot be read, or the input is another one.
    pub(crate) fn of(
        checkpoint: Option<&Checkpoint>,
        records: &mut Records,
        ui: &Ui,
    ) -> Result<Self, Error> {
        let Some(checkpoint) = checkpoint else { return Ok(Self::default()) };
        let Some(saved) = checkpoint.load()? else { return Ok(Self::default()) };
        let _looking = ui.progress("looking whether the input is the same");
        if saved.offset > 0 && !records.skip_to(saved.line, saved.offset, &saved.sha256)? {
            return Err(checkpoint.of_another(&format!(
                "another input: its first {} lines are not those of this one",
                saved.line
            )));
        }
        Ok(Self {
            mark: Mark {
                position: records.position().clone(),
                written: saved.written,
                rejected: saved.rejected,
                rejects_bytes: saved.rejects_bytes.unwrap_or_default(),
            },
            line: if saved.offset > 0 { saved.line + 1 } else { 0 },
            rejects_bytes: saved.rejects_bytes,
            consumed_capacity: saved.consumed_capacity,
            seconds: saved.seconds,
            finished: saved.finished,
        })
    }

    /// Those of the runs before.
    pub(crate) fn counts(&self) -> Counts {
        Counts {
            read: self.mark.written + self.mark.rejected,
            written: self.mark.written,
            rejected: self.mark.rejected,
            consumed_capacity: self.consumed_capacity,
            throttled: 0,
        }
    }

    /// The input once more, from here. `None`: what comes through a pipe comes once.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub(crate) fn read_again(
        &self,
        source: &Source,
        format: ItemFormat,
    ) -> Result<Option<Records>, Error> {
        match source {
            Source::File(file) if file.is_file() => {}
            Source::S3Export(_) => {}
            Source::File(_) | Source::Stdin => return Ok(None),
        }
        let with_header = format == ItemFormat::Csv;
        let mut records = Records::open(source, with_header, true)?;
        if with_header {
            records.advance()?;
        }
        let here = &self.mark.position;
        if here.offset > 0 {
            records.skip_to(here.line, here.offset, &here.sha256())?;
        }
        Ok(Some(records))
    }
}
