//! The checkpoint of a long run, which one process at a time has.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::files::{folder_of, is_at, open_locked, resolved, sync_folder};

/// The file from which the same command continues: JSON that one run at a time
/// has, from [`CheckpointFile::open`] until it is dropped.
#[derive(Debug)]
pub struct CheckpointFile {
    /// as the command line names it
    name: String,
    /// past symbolic links, which stay as they are
    path: PathBuf,
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    /// locked, and at the path
    file: File,
    /// created by this run, which has saved nothing
    unused: bool,
}

impl CheckpointFile {
    /// Locks the file that `--checkpoint` names; creates it where there is none.
    ///
    /// # Errors
    /// Where another run has it, it cannot be opened, or it is not a regular file.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let name = path.display().to_string();
        let failed = |error| cannot_write(&name, error);
        let path = resolved(path).map_err(failed)?;
        let is_new = !path.exists();
        let what = format!("the checkpoint `{name}`");
        let file = open_locked(&path, true, &what, "--checkpoint", failed)?;
        let unused = is_new && file.metadata().map_err(failed)?.len() == 0;
        Ok(Self { path, held: Mutex::new(Held { file, unused }), name })
    }

    /// The file, as the command line names it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What was saved last. `None` where the file is empty, as it is when new or
    /// made by `mktemp`.
    ///
    /// # Errors
    /// Where it cannot be read, or is something else.
    pub fn load<T: DeserializeOwned>(&self) -> Result<Option<T>, Error> {
        let name = &self.name;
        let mut text = Vec::new();
        let mut held = self.held();
        let read = held.file.seek(SeekFrom::Start(0));
        read.and_then(|_| held.file.read_to_end(&mut text)).map_err(|error| {
            Error::new(format!("cannot read the checkpoint `{name}`")).cause(error)
        })?;
        if text.is_empty() {
            return Ok(None);
        }
        serde_json::from_slice(&text).map(Some).map_err(|error| {
            Error::new(format!("`{name}` is not a checkpoint of this tool"))
                .cause(error)
                .hint("name another file with --checkpoint; nothing is changed")
        })
    }

    /// Puts `value` in place of what was saved: after a crash there is the one or
    /// the other, and never a part.
    ///
    /// # Errors
    /// Where it cannot be written, or somebody removed or replaced the file; what
    /// was saved last is still there.
    pub fn save(&self, value: &impl Serialize) -> Result<(), Error> {
        self.replace(value).map_err(|error| self.cannot_write(error))
    }

    /// The error of a checkpoint that cannot be written.
    #[must_use]
    pub fn cannot_write(&self, error: io::Error) -> Error {
        cannot_write(&self.name, error)
    }

    fn replace(&self, value: &impl Serialize) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(value)?;
        text.push(b'\n');
        let mut held = self.held();
        if !is_at(&self.path, &held.file) {
            // Another run may have begun with what is there now.
            return Err(io::Error::other("it was removed or replaced during this run"));
        }
        let folder = folder_of(&self.path);
        // A name that no file of the user's has.
        let mut new = tempfile::Builder::new().prefix(".checkpoint-").tempfile_in(folder)?;
        new.write_all(&text)?;
        new.as_file().set_permissions(held.file.metadata()?.permissions())?;
        new.as_file().sync_all()?;
        new.as_file().lock()?;
        held.file = new.persist(&self.path)?;
        held.unused = false;
        sync_folder(&self.path)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for CheckpointFile {
    fn drop(&mut self) {
        let held = self.held.get_mut().unwrap_or_else(PoisonError::into_inner);
        if held.unused && is_at(&self.path, &held.file) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn cannot_write(name: &str, error: io::Error) -> Error {
    let hint = match error.kind() {
        io::ErrorKind::StorageFull => "make room, or name a file on another disk with --checkpoint",
        _ => "name another file with --checkpoint, in a folder that exists",
    };
    Error::new(format!("cannot write the checkpoint `{name}`")).cause(error).hint(hint)
}
