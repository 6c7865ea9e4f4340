//! The built tools, and what a run of one said.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::OnceLock;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::postgres::PASSWORD;
use crate::workspace;

/// All tools.
pub const TOOLS: [&str; 26] = [
    "check-identities",
    "cognito-list-users",
    "db-backup",
    "db-connect",
    "db-export-users",
    "db-restore",
    "db-sessions",
    "db-setup",
    "ddb-delete-conversation",
    "ddb-drop",
    "ddb-erase-person",
    "ddb-export",
    "ddb-export-person",
    "ddb-get-conversation",
    "ddb-import",
    "ddb-item",
    "ddb-list-conversations",
    "ddb-list-tables",
    "ddb-query",
    "ddb-refresh-names",
    "ddb-scan",
    "ddb-schema-load",
    "ddb-seed",
    "ddb-send-message",
    "messages-api",
    "update-cognito-user-ids",
];

/// The built binary of `tool`. The first call builds all of them, so that no
/// test sees an old one.
pub fn binary(tool: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--workspace", "--bins"]).current_dir(workspace());
        without_cargo_env(&mut build);
        assert!(build.status().expect("cargo runs").success(), "the tools do not build");
        // target/debug/deps/cli-… stands below the folder of the binaries.
        let here = std::env::current_exe().expect("this binary has a path");
        here.ancestors().nth(2).expect("deps/ has a parent").to_owned()
    });
    folder.join(tool)
}

/// Takes out what cargo sets for a test. Build scripts look at it (ring's does),
/// and a cargo that inherits it builds half the workspace anew.
pub fn without_cargo_env(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
}

/// Lets a command whose HOME is the test's find cargo and what is built.
pub fn with_cargo(command: &mut Command) {
    let home = PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
    for (variable, folder) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
        command.env(variable, std::env::var_os(variable).unwrap_or(home.join(folder).into()));
    }
    for variable in ["CARGO_TARGET_DIR", "RUSTUP_TOOLCHAIN"] {
        if let Some(value) = std::env::var_os(variable) {
            command.env(variable, value);
        }
    }
    without_cargo_env(command);
}

/// Fails where a password is shown. What a stand-in of psql says of its environment
/// is its own.
fn hides_passwords(run: Run) -> Run {
    let shows = |line: &str| line.contains(PASSWORD) && !line.starts_with("PGPASSWORD=");
    assert!(!run.stdout.lines().chain(run.stderr.lines()).any(shows), "a password is shown\n{run}");
    run
}

/// A program that runs, with its output kept.
#[derive(Debug)]
pub struct Running(Child);

impl Running {
    /// Starts it.
    pub fn start(mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }

    /// Its process id.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.0.id()).expect("a process id"))
    }

    /// Its standard output, to be read as it comes.
    pub fn stdout(&mut self) -> ChildStdout {
        self.0.stdout.take().expect("it is read once")
    }

    /// Ends it as Ctrl-C does.
    pub fn interrupt(self) -> Run {
        kill(self.pid(), Signal::SIGINT).expect("it runs");
        self.end()
    }

    /// Waits for its end.
    pub fn end(self) -> Run {
        Run::new(self.0.wait_with_output().expect("wait"))
    }
}

/// What a program said and how it ended.
#[derive(Debug, Clone)]
pub struct Run {
    /// all of stdout
    pub stdout: String,
    /// all of stderr
    pub stderr: String,
    /// the exit status, none where a signal ended it
    pub status: Option<i32>,
}

impl Run {
    /// Runs the command to its end.
    pub fn of(mut command: Command) -> Self {
        Self::new(command.output().unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }

    fn new(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        hides_passwords(Self {
            stdout: text(output.stdout),
            stderr: text(output.stderr),
            status: output.status.code(),
        })
    }

    /// Like [`Run::of`], with `input` on stdin.
    pub fn with_input(mut command: Command, input: &str) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("spawn");
        let mut stdin = child.stdin.take().expect("stdin");
        // A program that does not read has closed it, which is its right.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        Self::new(child.wait_with_output().expect("wait"))
    }

    /// Exit status 0.
    #[track_caller]
    pub fn succeeds(self) -> Self {
        self.ends_with(0)
    }

    /// This exit status, and for a failure an error that is shown.
    #[track_caller]
    pub fn ends_with(self, status: i32) -> Self {
        assert_eq!(self.status, Some(status), "{self}");
        assert!(!self.stderr.contains("panicked"), "{self}");
        self
    }

    /// stderr holds `text`.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "no `{text}` on stderr\n{self}");
        self
    }

    /// stderr does not hold `text`.
    #[track_caller]
    pub fn does_not_say(self, text: &str) -> Self {
        assert!(!self.stderr.contains(text), "`{text}` on stderr\n{self}");
        self
    }

    /// stdout holds `text`.
    #[track_caller]
    pub fn prints(self, text: &str) -> Self {
        assert!(self.stdout.contains(text), "no `{text}` on stdout\n{self}");
        self
    }

    /// stdout is just this.
    #[track_caller]
    pub fn prints_only(self, text: &str) -> Self {
        assert_eq!(self.stdout, text, "{self}");
        self
    }

    /// stdout as one JSON document.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}\n{self}"))
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "status: {:?}\nstdout:\n{}\nstderr:\n{}", self.status, self.stdout, self.stderr)
    }
}
