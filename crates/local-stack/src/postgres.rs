//! A Postgres cluster of our own: initialised, started, stopped.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ops_common::error::Error;
use ops_common::ui::Ui;
use tempfile::TempDir;

use crate::dynamodb::{bind, free_port};
use crate::guard::{self, Guard, Log, POLL, STOP_TIMEOUT};
use crate::postgres_binaries::find_or_fetch;
use crate::state::{self, ServerUser};

const START_TIMEOUT: Duration = Duration::from_secs(60);
const ATTEMPTS: usize = 3;

/// A running cluster. Dropping it stops the server; one to throw away is gone
/// then.
#[derive(Debug)]
pub struct Cluster {
    guard: Guard,
    port: u16,
    /// one to throw away: its folder, which the guard removes as far as it may,
    /// and this the rest, once the guard has ended
    _temporary: Option<TempDir>,
}

impl Cluster {
    /// A fresh cluster on a free port, with user `postgres`, password `password`.
    ///
    /// # Errors
    /// Where there are no programs, or they fail; the log's end is in the error.
    pub fn throw_away(ui: &Ui) -> Result<Self, Error> {
        let mut cluster = Self::throw_away_once(ui);
        for _ in 1..ATTEMPTS {
            // The port that was free is somebody else's by now.
            match &cluster {
                Err(error) if error.to_string().contains("Address already in use") => {
                    cluster = Self::throw_away_once(ui);
                }
                _ => break,
            }
        }
        cluster
    }

    fn throw_away_once(ui: &Ui) -> Result<Self, Error> {
        let user = ServerUser::find()?;
        let programs = find_or_fetch(&state::folder(user)?, ui)?;
        let folder = tempfile::Builder::new()
            .prefix("cruddur-ops-postgres-")
            .tempdir_in(user.temporary_folder())
            .map_err(|error| Error::new("cannot make a temporary folder").cause(error))?;
        user.own(folder.path())?;
        let data = folder.path().join("data");
        initdb(&programs, &data, user)?;
        // Nothing of it has to survive a crash.
        let settings =
            ["fsync=off", "synchronous_commit=off", "full_page_writes=off", "shared_buffers=16MB"];
        Self::start(&programs, &data, free_port()?, user, &settings, Some(folder))
    }

    /// The cluster in `folder`, made where there is none, on `port`.
    pub(crate) fn kept(folder: &Path, port: u16, ui: &Ui) -> Result<Self, Error> {
        let user = ServerUser::find()?;
        let programs = find_or_fetch(folder, ui)?;
        let data = folder.join("postgres");
        if !data.exists() {
            // Made aside, so that an initdb that is killed leaves no half cluster.
            let aside = folder.join("postgres.new");
            if aside.exists() {
                fs::remove_dir_all(&aside).map_err(|error| cannot("clear", &aside, &error))?;
            }
            fs::create_dir(&aside).map_err(|error| cannot("make", &aside, &error))?;
            user.own(&aside)?;
            initdb(&programs, &aside, user)?;
            fs::rename(&aside, &data).map_err(|error| cannot("make", &data, &error))?;
        }
        clear_leftover(&data, ui)?;
        drop(bind(port)?);
        Self::start(&programs, &data, port, user, &[], None)
    }

    fn start(
        programs: &Path,
        data: &Path,
        port: u16,
        user: ServerUser,
        settings: &[&str],
        temporary: Option<TempDir>,
    ) -> Result<Self, Error> {
        let (log_file, log) = guard::log(&data.join("server.log"))?;
        let stop = if temporary.is_some() { "QUIT" } else { "INT" };
        let mut command = Command::new(programs.join("postgres"));
        command.arg("-D").arg(data).arg("-p").arg(port.to_string());
        for setting in
            ["listen_addresses=127.0.0.1", "unix_socket_directories="].iter().chain(settings)
        {
            command.arg("-c").arg(setting);
        }
        let remove = temporary.as_ref().map(TempDir::path);
        let guard = Guard::start(&command, stop, remove, log_file, user)
            .map_err(|error| Error::new("cannot start Postgres").cause(error))?;
        let mut cluster = Self { guard, port, _temporary: temporary };
        cluster.wait_until_ready(data, &log)?;
        Ok(cluster)
    }

    /// The last line of `postmaster.pid` says when the server takes connections.
    fn wait_until_ready(&mut self, data: &Path, log: &Log) -> Result<(), Error> {
        let deadline = Instant::now() + START_TIMEOUT;
        let said = || {
            let log = log.text();
            let lines: Vec<&str> = log.lines().collect();
            lines[lines.len().saturating_sub(5)..].join("\n")
        };
        loop {
            let pid_file = fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
            if pid_file.lines().nth(7).is_some_and(|status| status.trim() == "ready") {
                return Ok(());
            }
            if self.guard.has_ended() {
                let error =
                    Error::new(format!("Postgres did not start on 127.0.0.1:{}", self.port));
                let said = said();
                return Err(if said.contains("incompatible") {
                    error.cause(said).hint(format!(
                        "another version of Postgres made `{}`: remove it, and set the database up again",
                        data.display()
                    ))
                } else {
                    error.cause(said)
                });
            }
            if Instant::now() > deadline {
                return Err(Error::new("Postgres did not start in time").cause(said()));
            }
            sleep(POLL);
        }
    }

    /// Whether the server is no longer there.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.guard.has_ended()
    }

    /// The URL of one of its databases.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgresql://postgres:password@127.0.0.1:{}/{database}", self.port)
    }
}

fn cannot(what: &str, path: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::new(format!("cannot {what} `{}`", path.display())).cause(error)
}

fn initdb(programs: &Path, data: &Path, user: ServerUser) -> Result<(), Error> {
    let mut password = tempfile::NamedTempFile::new()
        .map_err(|error| Error::new("cannot make a temporary file").cause(error))?;
    let write = |error: std::io::Error| Error::new("cannot write a temporary file").cause(error);
    password.write_all(b"password\n").map_err(write)?;
    // The password is the one that the README prints; `nobody` has to read it.
    fs::set_permissions(password.path(), fs::Permissions::from_mode(0o644)).map_err(write)?;
    let mut command = Command::new(programs.join("initdb"));
    command.arg("-D").arg(data).arg("--pwfile").arg(password.path()).args([
        "--username=postgres",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C",
        "--no-sync",
    ]);
    user.run(&mut command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Error::new("cannot run initdb").cause(error))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Error::new("initdb failed").cause(said.trim().to_owned()))
}

/// What a killed run left in the data folder: a `postmaster.pid`, perhaps with
/// a server that is still there.
fn clear_leftover(data: &Path, ui: &Ui) -> Result<(), Error> {
    let pid_file = data.join("postmaster.pid");
    let Ok(text) = fs::read_to_string(&pid_file) else { return Ok(()) };
    let pid = text.lines().next().and_then(|line| line.trim().parse().ok()).map(Pid::from_raw);
    if let Some(pid) = pid
        && serves(pid, data)
    {
        ui.note(format_args!("stopping the Postgres (process {pid}) that an earlier run left"));
        let _ = kill(pid, Signal::SIGINT);
        let deadline = Instant::now() + STOP_TIMEOUT;
        while kill(pid, None) != Err(Errno::ESRCH) {
            if Instant::now() > deadline {
                return Err(Error::new(format!(
                    "the Postgres that an earlier run left (process {pid}) does not stop"
                ))
                .hint(format!("end it with `kill -QUIT {pid}`")));
            }
            sleep(POLL);
        }
    }
    if pid_file.exists() {
        ui.note("clearing the `postmaster.pid` that a killed run left");
        fs::remove_file(&pid_file).map_err(|error| cannot("remove", &pid_file, &error))?;
    }
    Ok(())
}

/// Whether the process is a server of this very data folder: its id may be
/// somebody else's by now.
fn serves(pid: Pid, data: &Path) -> bool {
    // A postmaster's working folder is its data folder.
    if let Ok(folder) = fs::read_link(format!("/proc/{pid}/cwd")) {
        return fs::canonicalize(data).is_ok_and(|data: PathBuf| data == folder);
    }
    let output = Command::new("ps").args(["-o", "command=", "-p", &pid.to_string()]).output();
    output.is_ok_and(|output| {
        String::from_utf8_lossy(&output.stdout).contains(&*data.to_string_lossy())
    })
}
