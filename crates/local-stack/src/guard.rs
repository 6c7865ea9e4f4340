//! A server process that ends with this one, however this one ends.
//!
//! The server runs under a guard, a small shell that ends it when the pipe from
//! this process closes. Killed outright included, no server and no temporary
//! folder stays behind. What has to run before the server runs under the same
//! guard.
//!
//! All of them write to a log file that is locked as long as one of them lives.

use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use ops_common::error::Error;

use crate::leads_elsewhere;
use crate::state::ServerUser;

/// How long a server may take to end.
pub(crate) const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// How often is looked whether something has happened.
pub(crate) const POLL: Duration = Duration::from_millis(10);

/// `$1` the signal that stops the server, `$2` a folder to remove at the end or
/// nothing, then the server and its arguments. Standard input has one line, the
/// input of the setup's programs; from then on it only says that this process
/// lives.
///
/// `guarded` runs a program until it ends or that pipe closes. A second process
/// waits for the pipe, so that the guard also ends when the program does. It
/// repeats the signal: a program that has just been started may ignore it.
/// `printf` is built into the shell, so no process list shows the input.
const GUARD: &str = r#"
stop=TERM stop_server=$1 remove=$2; shift 2
IFS= read -r input
exec 3<&0 </dev/null
guarded() {
  printf '%s\n' "$input" | "$@" 3<&- &
  program=$!
  {
    read -r _
    tries=0
    while [ "$tries" -lt 30 ] && kill -s "$stop" "$program"; do
      sleep 1
      tries=$((tries + 1))
    done
    kill -s KILL "$program"
  } <&3 >/dev/null 2>&1 &
  reader=$!
  wait "$program"
  status=$?
  kill "$reader" 2>/dev/null
  return "$status"
}
finish() {
  [ -z "$remove" ] || rm -rf "$remove"
  exit "$1"
}
"#;

/// The server itself, after the setup.
const SERVE: &str = r#"
input= stop=$stop_server
guarded "$@"
finish "$?"
"#;

/// What runs before the server.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Setup<'a> {
    /// For the shell: `guarded` runs a program, `finish STATUS` gives up, and `$@`
    /// is the server's command line.
    pub(crate) script: &'a str,
    /// The line that its programs find on their standard input.
    pub(crate) input: &'a str,
}

/// What a server says. It can be read when the guard has removed the file.
#[derive(Debug)]
pub(crate) struct Log(File);

impl Log {
    /// All of it so far.
    pub(crate) fn text(&self) -> String {
        let mut file = &self.0;
        let mut text = Vec::new();
        let read = file.rewind().and_then(|()| file.read_to_end(&mut text));
        read.map_or_else(|_| String::new(), |_| String::from_utf8_lossy(&text).into_owned())
    }
}

/// An empty file at `path` for a server to write, and to be read. It has its
/// name only once it is locked; the lock is on what is written to, so each
/// process that has it as its output keeps it.
pub(crate) fn log(path: &Path) -> Result<(File, Log), Error> {
    let made = || -> io::Result<(File, Log)> {
        let new = path.with_extension("log.new");
        let write =
            File::options().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        // Where the file system has no locks, no folder is taken for a leftover.
        let _ = write.try_lock();
        fs::rename(&new, path)?;
        Ok((write, Log(File::open(path)?)))
    };
    made().map_err(|error| Error::new(format!("cannot write `{}`", path.display())).cause(error))
}

/// A running server. Dropping it stops it.
#[derive(Debug)]
pub(crate) struct Guard(Child);

impl Guard {
    /// Starts `setup` and then `server`, whose output goes to `log`. `stop` is the
    /// signal that ends the server, `remove` a folder to remove then.
    pub(crate) fn start(
        setup: Setup<'_>,
        server: &Command,
        stop: &str,
        remove: Option<&Path>,
        log: File,
        user: ServerUser,
    ) -> io::Result<Self> {
        let mut command = Command::new("/bin/sh");
        let script = [GUARD, setup.script, SERVE].concat();
        command.args(["-c", &script, "local-stack-guard", stop]);
        command.arg(remove.unwrap_or(Path::new("")));
        command.arg(server.get_program()).args(server.get_args());
        // A profile of the account that this machine may have is none of its own.
        for (name, _) in std::env::vars_os() {
            if leads_elsewhere(&name.to_string_lossy()) {
                command.env_remove(name);
            }
        }
        for (name, value) in server.get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        // A group of its own: Ctrl-C is for the command, the server ends last.
        command.process_group(0).stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log);
        user.run(&mut command);
        let mut guard = Self(command.spawn()?);
        if let Some(pipe) = &mut guard.0.stdin {
            // A guard that has ended already is noticed as one that ends later.
            let _ = pipe.write_all(format!("{}\n", setup.input).as_bytes());
        }
        Ok(guard)
    }

    /// Whether the server is no longer there.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.0.try_wait(), Ok(None))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // The guard hears that the pipe is closed.
        drop(self.0.stdin.take());
        let deadline = Instant::now() + STOP_TIMEOUT;
        while !self.has_ended() && Instant::now() < deadline {
            sleep(POLL);
        }
    }
}
