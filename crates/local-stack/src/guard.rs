//! A server process that ends with this one, however this one ends.
//!
//! The server runs under a guard, a small shell that ends it when the pipe from
//! this process closes. Killed outright included, no server and no temporary
//! folder stays behind.

use std::fs::File;
use std::io::{self, Read, Seek};
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

/// An empty file at `path` for a server to write, and to be read.
pub(crate) fn log(path: &Path) -> Result<(File, Log), Error> {
    let failed =
        |error: io::Error| Error::new(format!("cannot write `{}`", path.display())).cause(error);
    let write = File::create(path).map_err(failed)?;
    Ok((write, Log(File::open(path).map_err(failed)?)))
}

/// A running server. Dropping it stops it.
#[derive(Debug)]
pub(crate) struct Guard(Child);

impl Guard {
    /// Starts `server`, whose output goes to `log`. `stop` is the signal that
    /// ends it, `remove` a folder to remove then.
    pub(crate) fn start(
        server: &Command,
        stop: &str,
        remove: Option<&Path>,
        log: File,
        user: ServerUser,
    ) -> io::Result<Self> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", GUARD, "local-stack-guard", stop]);
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
        command.spawn().map(Self)
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
