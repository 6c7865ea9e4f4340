//! The file from which the same command goes on.

use std::path::Path;

use ops_common::dynamodb::scan::{Segment, StartKey, key_from_json, key_to_json};
use ops_common::dynamodb::table::TableIdentity;
use ops_common::error::Error;
use ops_common::files::checkpoint::CheckpointFile;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// What a dump is of: a run goes on only with the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Dump {
    pub(crate) tool: String,
    pub(crate) table: TableIdentity,
    /// the options that decide what is in the file, as they were given
    pub(crate) options: String,
}

/// What the file holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Saved {
    dump: Dump,
    /// so much of the file is surely on disk, with the counts of it
    pub(crate) bytes: u64,
    pub(crate) counts: Counts,
    pub(crate) seconds: f64,
    segments: Vec<SavedSegment>,
    /// the file is whole and has its name
    pub(crate) finished: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct SavedSegment {
    number: i32,
    of: i32,
    /// LastEvaluatedKey; none: it has not begun
    after: Option<Box<RawValue>>,
    done: bool,
}

/// What was read and written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Counts {
    pub(crate) items: u64,
    /// items that were read for it, before the filter
    pub(crate) scanned: u64,
    pub(crate) consumed_capacity: f64,
    /// rows that have no pseudonyms
    #[serde(default)]
    pub(crate) left_out: u64,
}

/// How far a segment is in the file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Reached {
    Start,
    After(StartKey),
    End,
}

/// How far the file is.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) bytes: u64,
    pub(crate) counts: Counts,
    pub(crate) segments: Vec<(Segment, Reached)>,
}

/// Where and for what checkpoints are saved: by one run at a time.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    file: CheckpointFile,
    dump: Dump,
}

impl Checkpoint {
    /// Takes the file for this run.
    ///
    /// # Errors
    /// Where another run has it, or it cannot be opened.
    pub(crate) fn open(path: &Path, dump: Dump) -> Result<Self, Error> {
        Ok(Self { file: CheckpointFile::open(path)?, dump })
    }

    /// What an earlier run saved.
    ///
    /// # Errors
    /// Where it cannot be read, or is of something else.
    pub(crate) fn load(&self) -> Result<Option<Saved>, Error> {
        let Some(saved) = self.file.load::<Saved>()? else {
            return Ok(None);
        };
        let what = if saved.dump.tool != self.dump.tool {
            format!("a run of {}", saved.dump.tool)
        } else if let Some(difference) = saved.dump.table.difference(&self.dump.table) {
            difference
        } else if saved.dump.options != self.dump.options {
            format!(
                "another dump: `{}`, and this one is `{}`",
                saved.dump.options, self.dump.options
            )
        } else {
            return Ok(Some(saved));
        };
        Err(Error::new(format!("the checkpoint `{}` is of {what}", self.file.name()))
            .hint("nothing is written; repeat the earlier command to resume it, or name another file with --checkpoint to start again"))
    }

    /// # Errors
    /// Where it cannot be written.
    pub(crate) fn save(&self, state: &State, seconds: f64, finished: bool) -> Result<(), Error> {
        let segments = state.segments.iter().map(|(segment, reached)| {
            let after = match reached {
                Reached::After(key) => Some(key_to_json(key)?),
                Reached::Start | Reached::End => None,
            };
            let done = *reached == Reached::End;
            Ok(SavedSegment { number: segment.number, of: segment.of, after, done })
        });
        let segments = segments.collect::<Result<_, std::io::Error>>();
        let segments = segments.map_err(|error| self.file.cannot_write(error))?;
        self.file.save(&Saved {
            dump: self.dump.clone(),
            bytes: state.bytes,
            counts: state.counts,
            seconds,
            segments,
            finished,
        })
    }
}

impl Saved {
    /// How far the file is.
    ///
    /// # Errors
    /// Where a key is none.
    pub(crate) fn state(&self) -> Result<State, Error> {
        let segments = self.segments.iter().map(|saved| {
            let reached = match &saved.after {
                _ if saved.done => Reached::End,
                None => Reached::Start,
                Some(key) => Reached::After(key_from_json(key)?),
            };
            Ok((Segment { number: saved.number, of: saved.of }, reached))
        });
        let segments = segments.collect::<Result<_, Error>>()?;
        Ok(State { bytes: self.bytes, counts: self.counts, segments })
    }
}
