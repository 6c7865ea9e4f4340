//! Files that a kill or a crash leaves whole, that one process at a time works
//! on, and that are written only as what the command line names them for.
//!
//! A lock is on the open file (flock), and a file that is replaced by a rename is
//! another one: the new file is locked before it gets the name, and who has locked
//! a file looks whether it still has the name.

pub mod checkpoint;
pub mod limited;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::error::Error;

/// How often a file may be replaced between being opened and locked.
const MOST_TRIES: usize = 100;

/// Opens a regular file to read and write it, and locks it until it is closed. A
/// symbolic link at `path` itself is refused: see [`resolved`]. `create`: a file
/// that does not exist is made, for its owner alone, since it holds people's
/// messages.
///
/// `what` says what it is, like ``the checkpoint `x` ``, and `option` which option
/// names another.
///
/// # Errors
/// Where another process has it locked, it is not a regular file, or (`failed`) it
/// cannot be opened.
pub fn open_locked(
    path: &Path,
    create: bool,
    what: &str,
    option: &str,
    failed: impl Fn(io::Error) -> Error,
) -> Result<File, Error> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(create).truncate(false);
    options.mode(0o600).custom_flags(libc::O_NOFOLLOW);
    for _ in 0..MOST_TRIES {
        let file = options.open(path).map_err(&failed)?;
        if !file.metadata().map_err(&failed)?.is_file() {
            return Err(Error::usage(format!("{what} is not a regular file"))
                .hint(format!("name another file with {option}")));
        }
        match file.try_lock() {
            Ok(()) if is_at(path, &file) => return Ok(file),
            // Removed or replaced since it was opened: look again.
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let by = match holder(&file) {
                    Some(pid) => format!("process {pid}"),
                    None => "another run".to_owned(),
                };
                return Err(Error::new(format!("{what} is in use by {by}"))
                    .hint(format!("wait until it has ended, or name another file with {option}")));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
    }
    Err(failed(io::Error::other("another file is there each time that it is opened")))
}

/// The process that has locked the file, as far as the system says so.
#[cfg(target_os = "linux")]
fn holder(file: &File) -> Option<u32> {
    use rustix::fs::{major, minor};
    let there = file.metadata().ok()?;
    let (device, inode) = (there.dev(), there.ino());
    let file = format!("{:02x}:{:02x}:{inode}", major(device), minor(device));
    let locks = fs::read_to_string("/proc/locks").ok()?;
    // 1: FLOCK  ADVISORY  WRITE 4321 fe:00:1234 0 EOF
    // https://man7.org/linux/man-pages/man5/proc_locks.5.html
    locks.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        match fields.as_slice() {
            [_, "FLOCK", _, _, pid, locked, ..] if *locked == file => pid.parse().ok(),
            _ => None,
        }
    })
}

#[cfg(not(target_os = "linux"))]
fn holder(_: &File) -> Option<u32> {
    None
}

/// Whether this open file is what `path` names now.
#[must_use]
pub fn is_at(path: &Path, file: &File) -> bool {
    match (fs::metadata(path), file.metadata()) {
        (Ok(there), Ok(open)) => is_same(&there, &open),
        _ => false,
    }
}

fn is_same(one: &fs::Metadata, other: &fs::Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Where the file is, or would be, past every symbolic link: what is created,
/// renamed or removed there leaves the links as they are.
///
/// # Errors
/// Where its folder does not exist, or cannot be looked at.
pub fn resolved(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    loop {
        match fs::canonicalize(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            found => return found,
        }
        let name = path.file_name().ok_or(io::ErrorKind::NotFound)?;
        let folder = fs::canonicalize(folder_of(&path))?;
        let place = folder.join(name);
        match fs::read_link(&place) {
            Ok(target) => path = folder.join(target),
            Err(_) => return Ok(place),
        }
    }
}

/// Refuses a command line that names one file for two things, be it by another
/// path, a symbolic link or a hard link.
///
/// # Errors
/// Of the command line.
pub fn refuse_same_file(files: &[(&str, &Path)]) -> Result<(), Error> {
    let same = |one: &Path, other: &Path| match (fs::metadata(one), fs::metadata(other)) {
        (Ok(one), Ok(other)) => is_same(&one, &other),
        _ => match (resolved(one), resolved(other)) {
            (Ok(one), Ok(other)) => one == other,
            _ => false,
        },
    };
    for (place, (option, file)) in files.iter().enumerate() {
        if let Some((other, _)) = files[..place].iter().find(|(_, earlier)| same(earlier, file)) {
            let file = file.display();
            return Err(Error::usage(format!("`{file}` is named for {other} and for {option}"))
                .hint("name two files"));
        }
    }
    Ok(())
}

/// Renames for good: also after a crash the file has its new name.
///
/// # Errors
/// Where it cannot be renamed.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    sync_folder(to)
}

/// Makes a change of the file's name outlast a crash.
///
/// # Errors
/// Where its folder cannot be synced.
pub fn sync_folder(file: &Path) -> io::Result<()> {
    File::open(folder_of(file))?.sync_all()
}

/// The folder that a file is in, or would be.
#[must_use]
pub fn folder_of(file: &Path) -> &Path {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

/// `path` with a further extension.
#[must_use]
pub fn beside(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    PathBuf::from(name)
}

/// Writes a file that only its owner can read, whole or not at all; in place of one that
/// is there. What is no regular file, like `/dev/stdout`, is written as it is.
///
/// # Errors
/// Where it cannot be written: with what to do.
pub fn write_private(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), Error> {
    let is_special = fs::metadata(path).is_ok_and(|there| !there.is_file() && !there.is_dir());
    let written = if is_special {
        let file = OpenOptions::new().write(true).open(path);
        file.and_then(|mut file| write(&mut file))
    } else {
        replace(path, write)
    };
    written.map_err(|error| {
        Error::new(format!("cannot write `{}`", path.display()))
            .cause(error)
            .hint("name a file in a folder that exists and that you may write to")
    })
}

fn replace(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let target = resolved(path)?;
    let mut file = tempfile::Builder::new()
        .prefix(".part-")
        .permissions(fs::Permissions::from_mode(0o600))
        .tempfile_in(folder_of(&target))?;
    write(&mut file)?;
    file.as_file().sync_all()?;
    file.persist(&target).map(drop).map_err(|error| error.error)
}
