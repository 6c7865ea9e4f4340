//! Where a dump goes: standard output, or a file that is written aside and has
//! its name only once it is whole.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use ops_common::durable::{beside, rename};
use ops_common::error::Error;

/// Bytes that are gathered before they are written.
const CHUNK: usize = 256 << 10;

/// What of the file that is written aside is there.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Part {
    /// nothing
    New,
    /// so many bytes of an earlier run, and perhaps more
    GoOn(u64),
}

/// A dump that is being written.
#[derive(Debug)]
pub(crate) struct Out {
    sink: Sink,
    /// what is not written yet
    pub(crate) pending: Vec<u8>,
    name: String,
    aside: Option<Aside>,
}

#[derive(Debug)]
enum Sink {
    Plain(File),
    /// with the member that is being written
    Gzip(File, Option<Box<GzEncoder<File>>>),
    Stdout(io::Stdout),
}

#[derive(Debug)]
struct Aside {
    path: PathBuf,
    file: PathBuf,
    /// whether what is there is of use to a later run
    kept: bool,
}

impl Out {
    pub(crate) fn stdout() -> Self {
        Self {
            sink: Sink::Stdout(io::stdout()),
            pending: Vec::with_capacity(CHUNK),
            name: "standard output".to_owned(),
            aside: None,
        }
    }

    /// The file, written aside. `kept`: it stays where the run fails.
    pub(crate) fn file(file: &Path, part: Part, kept: bool) -> Result<Self, Error> {
        let name = file.display().to_string();
        let failed = |error| cannot_write(&name, error);
        // A device or a pipe is no file that could be renamed.
        let special = fs::metadata(file).is_ok_and(|there| !there.is_file());
        let path = if special { file.to_owned() } else { beside(file, "part") };
        let mut open = OpenOptions::new()
            .write(true)
            .create(!special)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        if !special {
            match open.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(Error::new(format!(
                        "`{}` is being written by another run",
                        path.display()
                    ))
                    .hint("wait for it, or name another file with --out"));
                }
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
            // What was locked may have got its name since it was opened.
            let held = open.metadata().map_err(failed)?;
            let same = fs::metadata(&path).is_ok_and(|there| there.ino() == held.ino());
            if !same || file.exists() {
                return Err(Error::new(format!("another run has just finished `{name}`"))
                    .hint("name another file with --out, or take this one away"));
            }
            let there = held.len();
            let bytes = match part {
                Part::GoOn(bytes) => bytes,
                Part::New if there == 0 => 0,
                Part::New => {
                    return Err(Error::new(format!("`{}` is there already", path.display())).hint(
                        "a run that was killed left it: go on with its checkpoint, or take it away",
                    ));
                }
            };
            if there < bytes {
                return Err(Error::new(format!(
                    "`{}` has {there} bytes, and the checkpoint knows of {bytes}",
                    path.display()
                ))
                .hint("take the checkpoint and that file away, and begin anew"));
            }
            open.set_len(bytes).map_err(failed)?;
            open.seek(SeekFrom::End(0)).map_err(failed)?;
        }
        let sink = if is_gzip(file) { Sink::Gzip(open, None) } else { Sink::Plain(open) };
        let aside = (!special).then(|| Aside { path, file: file.to_owned(), kept });
        let pending = Vec::with_capacity(CHUNK);
        Ok(Self { sink, pending, name, aside })
    }

    /// Writes what is pending where it is much.
    pub(crate) fn flush_chunk(&mut self) -> Result<(), Error> {
        if self.pending.len() < CHUNK { Ok(()) } else { self.flush() }
    }

    /// Writes what is pending.
    pub(crate) fn flush(&mut self) -> Result<(), Error> {
        let written = match &mut self.sink {
            Sink::Plain(file) => file.write_all(&self.pending),
            Sink::Gzip(..) if self.pending.is_empty() => Ok(()),
            Sink::Gzip(file, member) => write_packed(file, member, &self.pending),
            Sink::Stdout(out) => {
                let mut out = out.lock();
                out.write_all(&self.pending).and_then(|()| out.flush()).map_err(Error::from)?;
                Ok(())
            }
        };
        self.pending.clear();
        written.map_err(|error| cannot_write(&self.name, error))
    }

    /// Writes all, surely on disk, and returns how many bytes the file has then.
    /// What follows can be cut off there.
    pub(crate) fn sync(&mut self) -> Result<u64, Error> {
        self.flush()?;
        let failed = |error| cannot_write(&self.name, error);
        let file = match &mut self.sink {
            Sink::Stdout(_) => return Ok(0),
            Sink::Plain(file) => file,
            Sink::Gzip(file, member) => {
                // Members one after the other are a gzip file.
                if let Some(member) = member.take() {
                    member.finish().map_err(failed)?;
                }
                file
            }
        };
        // A device has nothing to sync.
        match file.sync_all() {
            Err(error) if self.aside.is_some() => return Err(failed(error)),
            _ => {}
        }
        file.stream_position().map_err(failed)
    }

    /// Gives the file its name, and returns how many bytes it has.
    pub(crate) fn finish(mut self) -> Result<u64, Error> {
        let mut bytes = self.sync()?;
        if bytes == 0
            && let Sink::Gzip(file, _) = &self.sink
        {
            // A gzip file of nothing has a member all the same.
            let empty = || {
                let mut file = encoder(file.try_clone()?).finish()?;
                file.sync_all()?;
                file.stream_position()
            };
            bytes = empty().map_err(|error| cannot_write(&self.name, error))?;
        }
        if let Some(aside) = self.aside.take() {
            rename(&aside.path, &aside.file).map_err(|error| cannot_write(&self.name, error))?;
        }
        Ok(bytes)
    }
}

fn write_packed(
    file: &File,
    member: &mut Option<Box<GzEncoder<File>>>,
    text: &[u8],
) -> io::Result<()> {
    if member.is_none() {
        *member = Some(encoder(file.try_clone()?));
    }
    member.as_mut().map_or(Ok(()), |member| member.write_all(text))
}

impl Drop for Out {
    fn drop(&mut self) {
        if let Some(aside) = self.aside.take()
            && !aside.kept
        {
            let _ = fs::remove_file(&aside.path);
        }
    }
}

fn is_gzip(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gz"))
}

fn encoder(file: File) -> Box<GzEncoder<File>> {
    // Fast: a dump is read once or twice.
    Box::new(GzEncoder::new(file, Compression::fast()))
}

fn cannot_write(name: &str, error: io::Error) -> Error {
    let hint = match error.kind() {
        io::ErrorKind::StorageFull => "make room, or name a file on another disk with --out",
        io::ErrorKind::NotFound => "make the folder first",
        _ => "name another file with --out",
    };
    Error::new(format!("cannot write to `{name}`")).cause(error).hint(hint)
}
