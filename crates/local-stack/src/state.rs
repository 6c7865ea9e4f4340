//! Where the stack keeps what outlives a run, and who may be there.

use std::env;
use std::fs::{self, File, Metadata, TryLockError};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::{Gid, Uid, User, chown};
use ops_common::error::Error;
use ops_common::ui::Ui;
use uuid::Uuid;

/// Who runs Postgres: this user, or `nobody` where this user is root, as whom
/// Postgres refuses to run.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ServerUser {
    Same,
    Nobody { uid: Uid, gid: Gid },
}

impl ServerUser {
    pub(crate) fn find() -> Result<Self, Error> {
        if !Uid::effective().is_root() {
            return Ok(Self::Same);
        }
        let nobody = User::from_name("nobody").ok().flatten().ok_or_else(|| {
            Error::new(
                "Postgres refuses to run as root, and there is no user `nobody` to run it as",
            )
            .hint("run this as another user")
        })?;
        Ok(Self::Nobody { uid: nobody.uid, gid: nobody.gid })
    }

    /// Makes `path` this user's.
    pub(crate) fn own(self, path: &Path) -> Result<(), Error> {
        match self {
            Self::Same => Ok(()),
            Self::Nobody { uid, gid } => chown(path, Some(uid), Some(gid)).map_err(|error| {
                Error::new(format!("cannot give `{}` to `nobody`", path.display())).cause(error)
            }),
        }
    }

    /// Whether a file belongs to this process's user or to the server's.
    pub(crate) fn has_made(self, found: &Metadata) -> bool {
        let server = match self {
            Self::Same => Uid::effective(),
            Self::Nobody { uid, .. } => uid,
        };
        [Uid::effective(), server].contains(&Uid::from_raw(found.uid()))
    }

    /// Has `command` run as this user.
    pub(crate) fn run(self, command: &mut Command) {
        if let Self::Nobody { uid, gid } = self {
            command.uid(uid.as_raw()).gid(gid.as_raw()).current_dir("/");
        }
    }

    /// Where its temporary files go: `TMPDIR`, unless it cannot get there.
    pub(crate) fn temporary_folder(self) -> PathBuf {
        let folder = env::temp_dir();
        if self.reaches(&folder) { folder } else { PathBuf::from("/tmp") }
    }

    /// Whether this user can get to `folder`: each folder above lets others in.
    fn reaches(self, folder: &Path) -> bool {
        match self {
            Self::Same => true,
            Self::Nobody { .. } => folder.ancestors().all(|ancestor| {
                fs::metadata(ancestor).is_ok_and(|found| found.permissions().mode() & 0o001 != 0)
            }),
        }
    }
}

/// The folder for data and downloads: `.local-stack/` beside the workspace's
/// `Cargo.lock`, else in this folder. As root, where `nobody` cannot get there
/// (a home of mode 0700), one under `/var/lib`.
pub(crate) fn folder(user: ServerUser) -> Result<PathBuf, Error> {
    let here = env::current_dir()
        .map_err(|error| Error::new("cannot find the current folder").cause(error))?;
    let root = here.ancestors().find(|folder| folder.join("Cargo.lock").exists()).unwrap_or(&here);
    let shared = Path::new("/var/lib/cruddur-ops-local-stack");
    let folders = if user.reaches(root) {
        vec![root.join(".local-stack")]
    } else {
        // One for each checkout, the same at every run.
        let name = Uuid::new_v5(&Uuid::NAMESPACE_OID, root.to_string_lossy().as_bytes());
        vec![shared.to_owned(), shared.join(name.to_string())]
    };
    for folder in &folders {
        let failed = |error: std::io::Error| {
            Error::new(format!("cannot make the folder `{}`", folder.display())).cause(error)
        };
        fs::create_dir_all(folder).map_err(failed)?;
        // Only this user can see what is in it. `nobody` has to get through, to its
        // own data and to a Postgres that was downloaded.
        let (mode, required) = match user {
            ServerUser::Same => (0o700, false),
            ServerUser::Nobody { .. } => (0o711, true),
        };
        let set = fs::set_permissions(folder, fs::Permissions::from_mode(mode));
        // As another user the mode of a folder that root made cannot be changed.
        if required {
            set.map_err(failed)?;
        }
    }
    let folder = folders.into_iter().next_back().unwrap_or_default();
    Ok(folder)
}

/// The lock on `folder`, which one `local-stack up` at a time holds. The system
/// lets go of it when the process ends, however it ends.
pub(crate) fn lock(folder: &Path, ui: &Ui) -> Result<File, Error> {
    let path = folder.join("lock");
    let failed = |error: &dyn std::fmt::Display| {
        Error::new(format!("cannot lock `{}`", path.display())).cause(error)
    };
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(|error| failed(&error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            ui.note(format_args!("its data are in `{}`", folder.display()));
            Err(Error::new("a `local-stack up` is running in this checkout already")
                .hint("use it, or end it with Ctrl-C in its terminal")
                .hint("`local-stack run -- COMMAND` starts a stack of its own"))
        }
        Err(TryLockError::Error(error)) => Err(failed(&error)),
    }
}

/// Whether a `local-stack up` has the folder.
pub(crate) fn is_locked(folder: &Path) -> bool {
    let file = File::open(folder.join("lock"));
    file.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// The lock that one download into this checkout at a time holds.
pub(crate) fn lock_for_download(state_folder: &Path) -> Result<File, Error> {
    let path = state_folder.join("download.lock");
    let locked = || {
        let file =
            File::options().create(true).truncate(false).write(true).mode(0o600).open(&path)?;
        file.lock().map(|()| file)
    };
    locked().map_err(|error| Error::new(format!("cannot lock `{}`", path.display())).cause(error))
}
