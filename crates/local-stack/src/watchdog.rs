//! COMMAND of `local-stack run`, which ends with this process, however this one
//! ends: a small shell waits for the pipe from this process to close.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::{Pid, getpgrp, getpid, tcgetpgrp};

/// `$1` what to end, as `kill` takes it: 0 for its own group, or `-GROUP`, or
/// nothing. A line on standard input names it anew. The signals that a group gets
/// are not for it; it writes a line once that is so.
const WATCHDOG: &str = r#"
trap '' HUP INT QUIT TERM TSTP TTIN TTOU
command=$1
echo
while read -r line; do command=$line; done
kill -s TERM -- "$command"
sleep 2
kill -s KILL -- "$command"
"#;

/// Whether this process belongs to what its terminal has in the foreground: then
/// Ctrl-C reaches all of that by itself.
fn in_foreground() -> bool {
    File::open("/dev/tty").is_ok_and(|terminal| tcgetpgrp(terminal) == Ok(getpgrp()))
}

/// Whether COMMAND is to be in the group of this process: it is a job of a shell at a
/// terminal, whose Ctrl-Z, `fg` and Ctrl-C are for all of the job.
fn is_job() -> bool {
    File::open("/dev/tty").is_ok() && (getpgrp() == getpid() || in_foreground())
}

/// Dropping it leaves COMMAND alone.
#[derive(Debug)]
pub(crate) struct Watchdog {
    shell: Child,
    /// COMMAND's group, which the shell leads; none: COMMAND is in ours
    group: Option<Pid>,
}

impl Watchdog {
    pub(crate) fn start() -> io::Result<Self> {
        let is_job = is_job();
        let target = match (is_job, getpgrp()) {
            (false, _) => "0".to_owned(),
            (true, group) if group == getpid() => format!("-{group}"),
            // Somebody else's group, a script's perhaps: COMMAND alone.
            (true, _) => String::new(),
        };
        let mut shell = Command::new("/bin/sh")
            .args(["-c", WATCHDOG, "local-stack-watchdog", &target])
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        if let Some(mut stdout) = shell.stdout.take() {
            stdout.read_exact(&mut [0])?;
        }
        let group = i32::try_from(shell.id()).ok().filter(|_| !is_job).map(Pid::from_raw);
        Ok(Self { shell, group })
    }

    /// Starts COMMAND.
    pub(crate) fn spawn(
        &mut self,
        command: &mut tokio::process::Command,
    ) -> io::Result<tokio::process::Child> {
        if let Some(group) = self.group {
            command.process_group(group.as_raw());
        }
        let child = command.spawn()?;
        if self.group.is_none()
            && getpgrp() != getpid()
            && let (Some(pipe), Some(pid)) = (&mut self.shell.stdin, child.id())
        {
            // It runs by now, watched or not.
            let _ = pipe.write_all(format!("{pid}\n").as_bytes());
        }
        Ok(child)
    }

    /// Passes on a signal that was sent to this process.
    pub(crate) fn pass_on(&self, signal: Signal, child: &tokio::process::Child) {
        let pid = child.id().and_then(|id| i32::try_from(id).ok());
        let _ = match (self.group, pid) {
            (Some(group), _) => killpg(group, signal),
            (None, Some(pid)) if !(signal == Signal::SIGINT && in_foreground()) => {
                kill(Pid::from_raw(pid), signal)
            }
            _ => Ok(()),
        };
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}
