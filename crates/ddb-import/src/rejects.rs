//! The file that takes rejected lines, as they were and in their order.
//!
//! A run that is killed leaves lines in it that no checkpoint knows of, and the
//! next run cuts them off and writes them again. Nothing else is cut off: where no
//! checkpoint knows of any line, the file has to be empty or hold just those lines.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use ops_common::error::Error;
use ops_common::files::{is_at, open_locked, resolved};

use crate::input::Records;

/// Rejected lines that no checkpoint knows of are those of a moment.
const MOST_UNKNOWN_BYTES: u64 = 64 << 20;

/// A file that can take rejected lines. Nothing in it is changed yet.
#[derive(Debug)]
pub(crate) struct Checked {
    name: String,
    /// past symbolic links, which stay as they are
    path: PathBuf,
    /// locked; none: it does not exist
    file: Option<File>,
    /// what stands above the rejected lines
    header: Vec<u8>,
    /// bytes of the header and the lines that the checkpoint knows of
    known: u64,
}

impl Checked {
    /// `saved`: bytes of the file that the checkpoint knows of; none where there is no
    /// checkpoint, or the earlier run had no such file. `header`: the first row of CSV.
    /// `read_on`: the input from the mark on; none where it cannot be read twice.
    ///
    /// # Errors
    /// Where it cannot be opened, another process has it, or it holds something that
    /// would be lost.
    pub(crate) fn new(
        path: &Path,
        saved: Option<u64>,
        header: Option<&[u8]>,
        read_on: impl FnOnce() -> Result<Option<Records>, Error>,
    ) -> Result<Self, Error> {
        let name = path.display().to_string();
        let failed = |error| cannot_write(&name, error);
        let path = resolved(path).map_err(failed)?;
        let file = path.exists().then(|| open(&path, false, &name)).transpose()?;
        let there = match &file {
            Some(file) => file.metadata().map_err(failed)?.len(),
            None => 0,
        };
        let header = header.map(|header| [header, b"\n"].concat()).unwrap_or_default();
        // A file of the header alone is removed at the end of a run.
        let known = saved.filter(|saved| *saved > header.len() as u64).unwrap_or(0);
        if there < known {
            return Err(too_short(&name, there, known));
        }
        if let Some(file) = &file
            && known == 0
            && there > 0
            && !(saved.is_some() && is_left_over(file, &header, read_on)?)
        {
            return Err(already_exists(&name));
        }
        Ok(Self { path, file, header, known, name })
    }

    /// Takes the file as it was at the mark. Only once a checkpoint says that there
    /// is such a file: what a killed run leaves of it is known then.
    ///
    /// # Errors
    /// Where it cannot be written, or another one was put there meanwhile.
    pub(crate) fn begin(self) -> Result<Rejects, Error> {
        let Self { name, path, file, header, known } = self;
        let failed = |error| cannot_write(&name, error);
        let file = match file.filter(|file| is_at(&path, file)) {
            Some(file) => file,
            None => {
                let file = open(&path, true, &name)?;
                match file.metadata().map_err(failed)?.len() {
                    there if there < known => return Err(too_short(&name, there, known)),
                    0 => file,
                    _ => return Err(already_exists(&name)),
                }
            }
        };
        file.set_len(known).map_err(failed)?;
        (&file).seek(SeekFrom::End(0)).map_err(failed)?;
        let header_bytes = header.len() as u64;
        let mut rejects = Rejects { file, name, path, bytes: known, header_bytes, failed: false };
        if known == 0 {
            rejects.write(&header)?;
        }
        Ok(rejects)
    }
}

/// The file, and how much of it is written.
#[derive(Debug)]
pub(crate) struct Rejects {
    pub(crate) file: File,
    name: String,
    path: PathBuf,
    pub(crate) bytes: u64,
    header_bytes: u64,
    /// a line could not be written: the mark stays before it
    pub(crate) failed: bool,
}

impl Rejects {
    pub(crate) fn write(&mut self, text: &[u8]) -> Result<(), Error> {
        if let Err(error) = self.file.write_all(text) {
            self.failed = true;
            // What was written of the line would be before the next one.
            let _ = self.file.set_len(self.bytes);
            return Err(cannot_write(&self.name, error));
        }
        self.bytes += text.len() as u64;
        Ok(())
    }

    pub(crate) fn another_handle(&self) -> Result<(File, String), Error> {
        let file = self.file.try_clone().map_err(|error| cannot_write(&self.name, error))?;
        Ok((file, self.name.clone()))
    }

    /// Removes a file without rejected lines.
    pub(crate) fn finish(self) {
        if self.bytes == self.header_bytes && is_at(&self.path, &self.file) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Whether the file holds what a run that was killed wrote behind its checkpoint, and
/// this run writes again. A file of other lines was put there since.
fn is_left_over(
    file: &File,
    header: &[u8],
    read_on: impl FnOnce() -> Result<Option<Records>, Error>,
) -> Result<bool, Error> {
    let mut text = Vec::new();
    let read = file.take(MOST_UNKNOWN_BYTES + 1).read_to_end(&mut text);
    read.map_err(|error| Error::new("cannot read the rejected lines so far").cause(error))?;
    if header.starts_with(&text) {
        return Ok(true);
    }
    match text.strip_prefix(header) {
        Some(lines) if text.len() as u64 <= MOST_UNKNOWN_BYTES => match read_on()? {
            Some(mut input) => are_lines_of(lines, &mut input),
            None => Ok(false),
        },
        _ => Ok(false),
    }
}

/// Whether these are lines of the input in their order, the last one perhaps cut.
fn are_lines_of(mut lines: &[u8], input: &mut Records) -> Result<bool, Error> {
    while !lines.is_empty() {
        if !input.advance()? {
            return Ok(false);
        }
        let Some(record) = input.record() else {
            input.copy_long_line(&mut io::sink())?;
            continue;
        };
        let rest = lines.strip_prefix(record).and_then(|rest| rest.strip_prefix(b"\n"));
        if let Some(rest) = rest {
            lines = rest;
        } else if record.starts_with(lines) {
            return Ok(true);
        }
    }
    Ok(true)
}

fn open(path: &Path, create: bool, name: &str) -> Result<File, Error> {
    let failed = |error| cannot_write(name, error);
    open_locked(path, create, &format!("`{name}`"), "--rejects", failed)
}

fn too_short(name: &str, there: u64, known: u64) -> Error {
    Error::new(format!(
        "`{name}` has {there} bytes, and the checkpoint knows of {known} bytes of rejected lines"
    ))
    .hint("name the file that the earlier run wrote with --rejects")
}

fn already_exists(name: &str) -> Error {
    Error::new(format!("`{name}` already exists, with other lines"))
        .hint("rejected lines are not mixed with others: name another file with --rejects, or move this one away")
}

pub(crate) fn cannot_write(name: &str, error: io::Error) -> Error {
    Error::new(format!("cannot write rejected lines to `{name}`"))
        .cause(error)
        .hint("name another file with --rejects, in a folder that exists")
}
