//! The file from which the same command goes on.

use std::path::Path;

use ops_common::dynamodb::table::TableIdentity;
use ops_common::error::Error;
use ops_common::files::checkpoint::CheckpointFile;
use serde::{Deserialize, Serialize};

use crate::ledger::{Counts, Mark};

/// What the file holds. The input is known by its bytes before the mark, so that
/// what comes after them may be fixed or added.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Saved {
    tool: String,
    table: TableIdentity,
    format: String,
    /// every line before it is written or rejected
    pub(crate) line: u64,
    /// bytes of these lines, unpacked, and their hash
    pub(crate) offset: u64,
    pub(crate) sha256: String,
    pub(crate) written: u64,
    pub(crate) rejected: u64,
    /// bytes of the file of rejected lines; none: there was no such file
    pub(crate) rejects_bytes: Option<u64>,
    pub(crate) consumed_capacity: f64,
    pub(crate) seconds: f64,
    /// the whole input is done
    pub(crate) finished: bool,
}

const TOOL: &str = "ddb-import";

/// Where and for what checkpoints are saved: by one run at a time.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    file: CheckpointFile,
    table: TableIdentity,
    format: String,
    with_rejects: bool,
}

impl Checkpoint {
    /// Takes the file for this run.
    ///
    /// # Errors
    /// Where another run has it, or it cannot be opened.
    pub(crate) fn open(
        path: &Path,
        table: TableIdentity,
        format: String,
        with_rejects: bool,
    ) -> Result<Self, Error> {
        Ok(Self { file: CheckpointFile::open(path)?, table, format, with_rejects })
    }

    /// What an earlier run saved.
    ///
    /// # Errors
    /// Where it cannot be read, or is of something else.
    pub(crate) fn load(&self) -> Result<Option<Saved>, Error> {
        let Some(saved) = self.file.load::<Saved>()? else {
            return Ok(None);
        };
        if saved.tool != TOOL {
            return Err(self.of_another(&format!("a run of {}", saved.tool)));
        }
        if let Some(difference) = saved.table.difference(&self.table) {
            return Err(self.of_another(&difference));
        }
        if saved.format != self.format {
            return Err(self.of_another(&format!("an input read as {}", saved.format)));
        }
        Ok(Some(saved))
    }

    /// The error of a checkpoint that is not of this run.
    pub(crate) fn of_another(&self, what: &str) -> Error {
        Error::new(format!("the checkpoint `{}` is of {what}", self.file.name()))
            .hint("nothing is written; name another file with --checkpoint to start again")
    }

    /// # Errors
    /// Where it cannot be written.
    pub(crate) fn save(
        &self,
        mark: &Mark,
        counts: Counts,
        seconds: f64,
        finished: bool,
    ) -> Result<(), Error> {
        self.file.save(&Saved {
            tool: TOOL.to_owned(),
            table: self.table.clone(),
            format: self.format.clone(),
            line: mark.position.line,
            offset: mark.position.offset,
            sha256: mark.position.sha256(),
            written: mark.written,
            rejected: mark.rejected,
            rejects_bytes: self.with_rejects.then_some(mark.rejects_bytes),
            consumed_capacity: counts.consumed_capacity,
            seconds,
            finished,
        })
    }
}
