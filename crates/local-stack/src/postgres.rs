//! A Postgres cluster of our own: initialised, started, stopped.

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ops_common::error::Error;
use ops_common::ui::Ui;
use tempfile::TempDir;
use uuid::Uuid;

use crate::dynamodb::{bind, free_port};
use crate::guard::{self, Guard, Log, POLL, STOP_TIMEOUT, Setup};
use crate::postgres_binaries::find_or_fetch;
use crate::state::{self, ServerUser};
use crate::temporary;

const START_TIMEOUT: Duration = Duration::from_secs(60);
const ATTEMPTS: usize = 3;

/// The password that the README prints. Whoever is on this machine knows it, so
/// its role is no superuser: a superuser runs programs as the server's user.
const KNOWN_PASSWORD: &str = "password";

/// Makes the cluster where there is none, aside, so that a run that is killed
/// leaves no half one. The superuser has a name of its own. Nobody can connect
/// until `pg_hba.conf` is replaced, which the SQL does.
const SETUP: &str = r#"
postgres=$1 data=$3 new=$3.new
if [ ! -e "$data" ]; then
  rm -rf "$new"
  guarded "${postgres%postgres}initdb" -D "$new" --username=local_stack --auth=reject \
    --encoding=UTF8 --locale=C --no-sync &&
    guarded "$postgres" --single -D "$new" -c exit_on_error=true \
      -c log_min_error_statement=panic -c password_encryption=scram-sha-256 postgres &&
    mv "$new" "$data" || finish "$?"
fi
"#;

/// A running cluster. Dropping it stops the server; one to throw away is gone
/// then.
#[derive(Debug)]
pub struct Cluster {
    guard: Guard,
    port: u16,
    passwords: Passwords,
    /// one to throw away: its folder, which the guard removes as far as it may,
    /// and this the rest, once the guard has ended
    _temporary: Option<TempDir>,
}

/// Of letters and digits only, for URLs and SQL.
#[derive(Debug)]
struct Passwords {
    postgres: String,
    /// none: the superuser cannot log in
    superuser: Option<String>,
}

impl Passwords {
    /// The one line of SQL that makes a new cluster what it is.
    ///
    /// A superuser could end an autovacuum, which DROP DATABASE … WITH (FORCE) has
    /// to, and tell it from a person's session. These two roles can as well.
    fn setup_sql(&self) -> String {
        let password = &self.postgres;
        let superuser = self.superuser.as_ref().map_or_else(String::new, |password| {
            format!("ALTER ROLE local_stack PASSWORD '{password}'; ")
        });
        format!(
            "CREATE ROLE postgres LOGIN CREATEDB PASSWORD '{password}'; \
             GRANT pg_signal_backend, pg_read_all_stats TO postgres; {superuser}\
             COPY (SELECT 'host all all 127.0.0.1/32 scram-sha-256') TO PROGRAM 'cat > pg_hba.conf'"
        )
    }
}

impl Cluster {
    /// A fresh cluster on a free port. The role `postgres` may create databases
    /// and is no superuser; the passwords are new ones.
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
        let (folder, log_file, log) = temporary::folder("cruddur-ops-postgres-", user)?;
        let random = || Uuid::new_v4().simple().to_string();
        let passwords = Passwords { postgres: random(), superuser: Some(random()) };
        let data = folder.path().join("data");
        let port = free_port()?;
        Self::start(&programs, &data, port, user, (log_file, log), passwords, Some(folder))
    }

    /// The cluster in `state_folder`, made where there is none, on `port`. Its
    /// superuser cannot log in.
    pub(crate) fn kept(state_folder: &Path, port: u16, ui: &Ui) -> Result<Self, Error> {
        let user = ServerUser::find()?;
        let programs = find_or_fetch(state_folder, ui)?;
        let folder = state_folder.join("postgres");
        if folder.join("PG_VERSION").exists() {
            return Err(Error::new(format!(
                "an earlier version of `local-stack` made `{}`",
                folder.display()
            ))
            .cause("its user `postgres` is a superuser, with a well-known password")
            .hint(format!("remove `{}`, and set the database up again", folder.display())));
        }
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .map_err(|error| cannot("make", &folder, &error))?;
        user.own(&folder)?;
        let data = folder.join("data");
        clear_leftover(&data, ui)?;
        drop(bind(port, "--port-postgres")?);
        let log = guard::log(&log_of_kept(state_folder))?;
        let passwords = Passwords { postgres: KNOWN_PASSWORD.to_owned(), superuser: None };
        Self::start(&programs, &data, port, user, log, passwords, None)
    }

    fn start(
        programs: &Path,
        data: &Path,
        port: u16,
        user: ServerUser,
        (log_file, log): (File, Log),
        passwords: Passwords,
        temporary: Option<TempDir>,
    ) -> Result<Self, Error> {
        let mut command = Command::new(programs.join("postgres"));
        command.arg("-D").arg(data).arg("-p").arg(port.to_string());
        let mut settings = vec![
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "password_encryption=scram-sha-256",
        ];
        if temporary.is_some() {
            // Nothing of it has to survive a crash.
            settings.extend([
                "fsync=off",
                "synchronous_commit=off",
                "full_page_writes=off",
                "shared_buffers=16MB",
            ]);
        }
        for setting in settings {
            command.arg("-c").arg(setting);
        }
        let stop = if temporary.is_some() { "QUIT" } else { "INT" };
        let remove = temporary.as_ref().map(TempDir::path);
        let sql = passwords.setup_sql();
        let setup = Setup { script: SETUP, input: &sql };
        let guard = Guard::start(setup, &command, stop, remove, log_file, user)
            .map_err(|error| Error::new("cannot start Postgres").cause(error))?;
        let mut cluster = Self { guard, port, passwords, _temporary: temporary };
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
                        data.parent().unwrap_or(data).display()
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

    /// The URL of one of its databases, for the role `postgres`, as the tools
    /// connect.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        self.url_of("postgres", &self.passwords.postgres, database)
    }

    /// The same for its superuser, which has a password only where the cluster is
    /// one to throw away, and which only this process knows.
    #[must_use]
    pub fn admin_url(&self, database: &str) -> String {
        let password = self.passwords.superuser.as_deref().unwrap_or_default();
        self.url_of("local_stack", password, database)
    }

    fn url_of(&self, role: &str, password: &str, database: &str) -> String {
        format!("postgresql://{role}:{password}@127.0.0.1:{}/{database}", self.port)
    }
}

fn cannot(what: &str, path: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::new(format!("cannot {what} `{}`", path.display())).cause(error)
}

/// What the server of the kept cluster says.
pub(crate) fn log_of_kept(state_folder: &Path) -> PathBuf {
    state_folder.join("postgres.log")
}

/// The process that `postmaster.pid` names, if there is one.
pub(crate) fn postmaster(data: &Path) -> Option<Pid> {
    let text = fs::read_to_string(data.join("postmaster.pid")).ok()?;
    let pid: i32 = text.lines().next()?.trim().parse().ok()?;
    (pid > 0).then(|| Pid::from_raw(pid))
}

/// What a killed run left in the data folder: a `postmaster.pid`, perhaps with
/// a server that is still there.
fn clear_leftover(data: &Path, ui: &Ui) -> Result<(), Error> {
    let pid_file = data.join("postmaster.pid");
    if let Some(pid) = postmaster(data)
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
