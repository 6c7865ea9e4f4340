//! The temporary folders of throw-away servers. Their guard removes them; where
//! it was killed too (the machine went down, say), the next start does.

use std::fs::{self, File, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::signal::kill;
use ops_common::error::Error;
use tempfile::TempDir;

use crate::guard::{self, Log};
use crate::postgres::postmaster;
use crate::state::ServerUser;

/// Its lock says that the folder is in use.
const LOG: &str = "server.log";

/// For how long a folder without a log may be one that is just being made.
const MAKING: Duration = Duration::from_secs(600);

/// A folder that only `user` can enter, and in it the log of a server. Those that
/// were left by earlier runs are removed first.
pub(crate) fn folder(prefix: &str, user: ServerUser) -> Result<(TempDir, File, Log), Error> {
    let parent = user.temporary_folder();
    for entry in fs::read_dir(&parent).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            // What cannot be removed is in nobody's way.
            let _ = remove_if_left(&entry.path(), user);
        }
    }
    let folder = tempfile::Builder::new()
        .prefix(prefix)
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in(parent)
        .map_err(|error| Error::new("cannot make a temporary folder").cause(error))?;
    let (log_file, log) = guard::log(&folder.path().join(LOG))?;
    user.own(folder.path())?;
    Ok((folder, log_file, log))
}

fn remove_if_left(folder: &Path, user: ServerUser) -> io::Result<()> {
    let found = fs::symlink_metadata(folder)?;
    if !found.is_dir() || !user.has_made(&found) {
        return Ok(());
    }
    // `nobody` may have put anything there: nothing else is opened, or waited for.
    let only_a_file = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits();
    let log = File::options().read(true).custom_flags(only_a_file).open(folder.join(LOG));
    let is_left = match &log {
        Ok(log) => log.try_lock().is_ok(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            is_old(&found) && !has_server(folder)
        }
        Err(_) => false,
    };
    if is_left { fs::remove_dir_all(folder) } else { Ok(()) }
}

fn is_old(found: &Metadata) -> bool {
    let made = found.modified().ok();
    made.and_then(|made| made.elapsed().ok()).is_some_and(|age| age > MAKING)
}

/// Whether a server may run in it: earlier versions locked no log.
fn has_server(folder: &Path) -> bool {
    postmaster(&folder.join("data")).is_some_and(|pid| kill(pid, None) != Err(Errno::ESRCH))
}
