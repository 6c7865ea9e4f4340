//! A Postgres cluster of our own: initialised, started, stopped.
//!
//! The server runs under a guard, a small shell that ends it when the pipe from
//! this process closes. However this process ends, killed outright included, no
//! server and no temporary cluster stays behind.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ops_common::error::Error;
use ops_common::ui::Ui;

use crate::dynamodb::bind;
use crate::postgres_binaries::find_or_fetch;
use crate::state::{self, ServerUser};

const START_TIMEOUT: Duration = Duration::from_secs(60);
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(10);

/// `$1` the signal that stops the server, `$2` a folder to remove at the end or
/// nothing, then the server and its arguments. The second process is the one
/// that waits for the pipe, so that the guard also ends when the server does.
const GUARD: &str = r#"
stop=$1 remove=$2; shift 2
exec 3<&0
"$@" </dev/null &
server=$!
{ read -r _; kill -s "$stop" "$server"; } <&3 2>/dev/null &
reader=$!
exec 3<&-
wait "$server"
status=$?
kill "$reader" 2>/dev/null
[ -z "$remove" ] || rm -rf "$remove"
exit "$status"
"#;

/// A running cluster. Dropping it stops the server; one to throw away is gone
/// then.
#[derive(Debug)]
pub struct Cluster {
    guard: Child,
    port: u16,
    /// one to throw away: its folder, which the guard removes as far as it may
    temporary: Option<PathBuf>,
}

impl Cluster {
    /// A fresh cluster on a free port, with user `postgres`, password `password`.
    ///
    /// # Errors
    /// Where there are no programs, or they fail; the log's end is in the error.
    pub fn throw_away(ui: &Ui) -> Result<Self, Error> {
        let user = ServerUser::find()?;
        let programs = find_or_fetch(&state::folder(user)?, ui)?;
        let folder = tempfile::Builder::new()
            .prefix("cruddur-ops-postgres-")
            .tempdir_in(user.temporary_folder())
            .map_err(|error| Error::new("cannot make a temporary folder").cause(error))?;
        user.own(folder.path())?;
        let data = folder.path().join("data");
        initdb(&programs, &data, user)?;
        let port = free_port()?;
        // Nothing of it has to survive a crash.
        let settings =
            ["fsync=off", "synchronous_commit=off", "full_page_writes=off", "shared_buffers=16MB"];
        let cluster = Self::start(&programs, &data, port, user, &settings, Some(folder.path()))?;
        // From here on the guard removes it.
        let _ = folder.keep();
        Ok(cluster)
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
        remove: Option<&Path>,
    ) -> Result<Self, Error> {
        let log = data.join("server.log");
        let log_file = fs::File::create(&log).map_err(|error| cannot("write", &log, &error))?;
        let log_copy = log_file.try_clone().map_err(|error| cannot("write", &log, &error))?;
        let stop = if remove.is_some() { "QUIT" } else { "INT" };
        let mut command = Command::new("/bin/sh");
        command.args(["-c", GUARD, "local-stack-guard", stop]);
        command.arg(remove.unwrap_or(Path::new("")));
        command.arg(programs.join("postgres")).arg("-D").arg(data).arg("-p").arg(port.to_string());
        for setting in
            ["listen_addresses=127.0.0.1", "unix_socket_directories="].iter().chain(settings)
        {
            command.arg("-c").arg(setting);
        }
        // A group of its own: Ctrl-C is for the command, the server ends last.
        command.process_group(0).stdin(Stdio::piped()).stdout(log_file).stderr(log_copy);
        as_user(&mut command, user);
        let guard =
            command.spawn().map_err(|error| Error::new("cannot start Postgres").cause(error))?;
        let mut cluster = Self { guard, port, temporary: remove.map(Path::to_owned) };
        cluster.wait_until_ready(data, &log)?;
        Ok(cluster)
    }

    /// The last line of `postmaster.pid` says when the server takes connections.
    fn wait_until_ready(&mut self, data: &Path, log: &Path) -> Result<(), Error> {
        let deadline = Instant::now() + START_TIMEOUT;
        let said = || {
            let log = fs::read_to_string(log).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            lines[lines.len().saturating_sub(5)..].join("\n")
        };
        loop {
            let pid_file = fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
            if pid_file.lines().nth(7).is_some_and(|status| status.trim() == "ready") {
                return Ok(());
            }
            if matches!(self.guard.try_wait(), Ok(Some(_))) {
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
        !matches!(self.guard.try_wait(), Ok(None))
    }

    /// The URL of one of its databases.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgresql://postgres:password@127.0.0.1:{}/{database}", self.port)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // The guard hears that the pipe is closed.
        drop(self.guard.stdin.take());
        let deadline = Instant::now() + STOP_TIMEOUT;
        while Instant::now() < deadline {
            if !matches!(self.guard.try_wait(), Ok(None)) {
                break;
            }
            sleep(POLL);
        }
        if let Some(folder) = &self.temporary {
            let _ = fs::remove_dir_all(folder);
        }
    }
}

fn cannot(what: &str, path: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::new(format!("cannot {what} `{}`", path.display())).cause(error)
}

fn free_port() -> Result<u16, Error> {
    let listener: TcpListener = bind(0)?;
    let address = listener
        .local_addr()
        .map_err(|error| Error::new("cannot find a free port").cause(error))?;
    Ok(address.port())
}

fn as_user(command: &mut Command, user: ServerUser) {
    if let ServerUser::Nobody { uid, gid } = user {
        command.uid(uid.as_raw()).gid(gid.as_raw()).current_dir("/");
    }
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
    as_user(&mut command, user);
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
