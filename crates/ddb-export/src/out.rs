//! Where a dump goes: standard output, or a file that is written aside and has
//! its name only once it is whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use ops_common::error::{Error, Exit};
use ops_common::files::{beside, open_locked, rename, sync_folder};
use ops_common::ui::Ui;
use ops_common::ui::terminal_safe::TerminalSafe;

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
pub(crate) struct Out {
    sink: Sink,
    /// what is not written yet
    pub(crate) pending: Vec<u8>,
    /// how many were written, without those of the gzip member that has not ended
    bytes: u64,
    name: String,
    aside: Option<Aside>,
}

enum Sink {
    Plain(File),
    /// with the member that is being written
    Gzip(File, Option<Box<GzEncoder<Counted>>>),
    /// standard output, or another terminal
    Stream(TerminalSafe<Box<dyn Write + Send>>),
}

/// A file, and how much was written to it: a pipe cannot say where it is.
#[derive(Debug)]
struct Counted {
    file: File,
    bytes: u64,
}

impl Write for Counted {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let written = self.file.write(text)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[derive(Debug)]
struct Aside {
    path: PathBuf,
    file: PathBuf,
    /// whether what is there is of use to a later run
    kept: bool,
}

/// Whether this names standard output, which is written as it is handed over: a
/// socket cannot be opened by its name.
pub(crate) fn is_stdout(file: &Path) -> bool {
    file.as_os_str() == "-" || file.as_os_str() == "/dev/stdout"
}

/// Whether it exists and is a device or a pipe, which cannot be renamed or cut off.
pub(crate) fn is_special(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|there| !there.is_file())
}

impl Out {
    pub(crate) fn stdout(ui: &Ui) -> Self {
        Self {
            sink: stream(io::stdout(), ui.out_is_terminal()),
            pending: Vec::with_capacity(CHUNK),
            bytes: 0,
            name: "standard output".to_owned(),
            aside: None,
        }
    }

    /// The file, written aside. `kept`: it stays where the run fails.
    pub(crate) fn file(file: &Path, part: Part, kept: bool) -> Result<Self, Error> {
        let name = file.display().to_string();
        let failed = |error| cannot_write(&name, error);
        let (open, bytes, aside) = if is_special(file) {
            (OpenOptions::new().write(true).open(file).map_err(failed)?, 0, None)
        } else {
            let path = beside(file, "part");
            let (open, bytes) = open_part(&path, file, part)?;
            (open, bytes, Some(Aside { path, file: file.to_owned(), kept }))
        };
        let sink = if is_gzip(file) {
            Sink::Gzip(open, None)
        } else if open.is_terminal() {
            stream(open, true)
        } else {
            Sink::Plain(open)
        };
        Ok(Self { sink, pending: Vec::with_capacity(CHUNK), bytes, name, aside })
    }

    /// What it writes to, where a failed run cannot take back what it has written.
    pub(crate) fn stream(&self) -> Option<&str> {
        self.aside.is_none().then_some(self.name.as_str())
    }

    /// Writes what is pending where it is much.
    pub(crate) fn flush_chunk(&mut self) -> Result<(), Error> {
        if self.pending.len() < CHUNK { Ok(()) } else { self.flush() }
    }

    /// Writes what is pending.
    pub(crate) fn flush(&mut self) -> Result<(), Error> {
        let written = match &mut self.sink {
            Sink::Plain(file) => {
                self.bytes += self.pending.len() as u64;
                file.write_all(&self.pending)
            }
            Sink::Gzip(..) if self.pending.is_empty() => Ok(()),
            Sink::Gzip(file, member) => write_packed(file, member, &self.pending),
            Sink::Stream(out) => {
                out.write_all(&self.pending).and_then(|()| out.flush()).map_err(Error::stdout)?;
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
            Sink::Stream(_) => return Ok(self.bytes),
            Sink::Plain(file) => file,
            Sink::Gzip(file, member) => {
                // Members one after the other are a gzip file.
                if let Some(member) = member.take() {
                    self.bytes += member.finish().map_err(failed)?.bytes;
                }
                file
            }
        };
        // A device has nothing to sync.
        match file.sync_all() {
            Err(error) if self.aside.is_some() => Err(failed(error)),
            _ => Ok(self.bytes),
        }
    }

    /// Gives the file its name, and returns how many bytes it has.
    pub(crate) fn finish(mut self) -> Result<u64, Error> {
        if self.bytes == 0
            && let Sink::Gzip(file, member) = &mut self.sink
        {
            // A gzip file of nothing has a member all the same.
            let begun = write_packed(file, member, &[]);
            begun.map_err(|error| cannot_write(&self.name, error))?;
        }
        let bytes = self.sync()?;
        if let Some(aside) = self.aside.take() {
            // A link never takes a name that is taken, as a rename would.
            let named = match fs::hard_link(&aside.path, &aside.file) {
                Ok(()) => fs::remove_file(&aside.path).and_then(|()| sync_folder(&aside.file)),
                Err(_) if fs::symlink_metadata(&aside.file).is_ok() => {
                    let error = Error::new(format!("`{}` already exists", self.name));
                    return Err(error
                        .cause("it was created during this run")
                        .hint(format!("the dump is whole, and stays `{}`", aside.path.display())));
                }
                // Not every file system has links.
                Err(_) => rename(&aside.path, &aside.file),
            };
            named.map_err(|error| cannot_write(&self.name, error))?;
        }
        Ok(bytes)
    }
}

fn stream(out: impl Write + Send + 'static, is_terminal: bool) -> Sink {
    Sink::Stream(TerminalSafe::new(Box::new(out), is_terminal))
}

/// Opens what is written aside for `file`. Returns with it how many of its bytes are
/// of the dump; what follows them is cut off.
fn open_part(path: &Path, file: &Path, part: Part) -> Result<(File, u64), Error> {
    let (name, part_name) = (file.display().to_string(), path.display().to_string());
    let failed = |error| cannot_write(&name, error);
    for (path, shown) in [(file, &name), (path, &part_name)] {
        if path.is_symlink() {
            return Err(Error::new(format!("`{shown}` is a symbolic link"))
                .hint("name the file that it leads to with --out, or remove the link"));
        }
    }
    let mut open = open_locked(path, true, &format!("`{part_name}`"), "--out", failed)?;
    let there = open.metadata().map_err(failed)?.len();
    let bytes = match part {
        Part::New => 0,
        Part::GoOn(bytes) => bytes,
    };
    let refused = if file.exists() {
        Error::new(format!("another run has just finished `{name}`"))
            .hint("name another file with --out, or move this one away")
    } else if matches!(part, Part::New) && there > 0 {
        Error::new(format!("`{part_name}` already exists"))
            .hint("a run that was killed left it: go on with its checkpoint, or move it away")
    } else if there < bytes {
        Error::new(format!("`{part_name}` has {there} bytes, and the checkpoint knows of {bytes}"))
            .hint("remove the checkpoint and that file, and run it again")
    } else {
        open.set_len(bytes).map_err(failed)?;
        open.seek(SeekFrom::End(0)).map_err(failed)?;
        return Ok((open, bytes));
    };
    if there == 0 {
        let _ = fs::remove_file(path);
    }
    Err(refused)
}

fn write_packed(
    file: &File,
    member: &mut Option<Box<GzEncoder<Counted>>>,
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

fn encoder(file: File) -> Box<GzEncoder<Counted>> {
    // Fast: a dump is read once or twice.
    Box::new(GzEncoder::new(Counted { file, bytes: 0 }, Compression::fast()))
}

fn cannot_write(name: &str, error: io::Error) -> Error {
    // The reader of a pipe has what it wanted, as with standard output.
    let exit =
        if error.kind() == io::ErrorKind::BrokenPipe { Exit::ClosedPipe } else { Exit::Failed };
    let hint = match error.kind() {
        io::ErrorKind::StorageFull => "make room, or name a file on another disk with --out",
        io::ErrorKind::NotFound => "make the folder first",
        _ => "name another file with --out",
    };
    Error::new(format!("cannot write to `{name}`")).cause(error).hint(hint).exit(exit)
}
