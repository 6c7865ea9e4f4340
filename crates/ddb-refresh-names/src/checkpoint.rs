//! The file from which the same command goes on.

use std::path::Path;

use ops_common::dynamodb::scan::{StartKey, key_from_json, key_to_json};
use ops_common::dynamodb::table::TableIdentity;
use ops_common::error::Error;
use ops_common::files::checkpoint::CheckpointFile;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::pass::Counts;

/// What a run is of: it goes on only with the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Work {
    pub(crate) tool: String,
    pub(crate) table: TableIdentity,
    /// whom, and what they are called: who is renamed meanwhile is in rows that are done
    pub(crate) people: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Saved {
    work: Work,
    /// LastEvaluatedKey; none at the end
    after: Option<Box<RawValue>>,
    counts: Counts,
}

/// How far an earlier run came that did not come to its end.
pub(crate) enum Reached {
    Start,
    After(StartKey, Counts),
}

#[derive(Debug)]
pub(crate) struct Checkpoint {
    file: CheckpointFile,
    work: Work,
}

impl Checkpoint {
    /// Takes the file for this run.
    ///
    /// # Errors
    /// Where another run has it, or it cannot be opened.
    pub(crate) fn open(path: &Path, work: Work) -> Result<Self, Error> {
        Ok(Self { file: CheckpointFile::open(path)?, work })
    }

    /// How far an earlier run came.
    ///
    /// # Errors
    /// Where it cannot be read, or is of something else.
    pub(crate) fn load(&self) -> Result<Reached, Error> {
        let Some(saved) = self.file.load::<Saved>()? else { return Ok(Reached::Start) };
        // A run that came to the end: people may have been renamed since.
        if saved.after.is_none() && saved.work.tool == self.work.tool {
            return Ok(Reached::Start);
        }
        let what = if saved.work.tool != self.work.tool {
            format!("a run of {}", saved.work.tool)
        } else if let Some(difference) = saved.work.table.difference(&self.work.table) {
            difference
        } else if saved.work != self.work {
            "other people, or other names of them".to_owned()
        } else {
            let Some(after) = saved.after else { return Ok(Reached::Start) };
            return Ok(Reached::After(key_from_json(&after)?, saved.counts));
        };
        Err(Error::new(format!("the checkpoint `{}` is of {what}", self.file.name()))
            .hint("nothing is written; remove it, or name another file, to begin anew"))
    }

    /// # Errors
    /// Where it cannot be written.
    pub(crate) fn save(&self, after: Option<&StartKey>, counts: &Counts) -> Result<(), Error> {
        let after = after.map(key_to_json).transpose();
        let after = after.map_err(|error| self.file.cannot_write(error))?;
        self.file.save(&Saved { work: self.work.clone(), after, counts: counts.clone() })
    }
}
