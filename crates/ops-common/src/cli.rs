//! Parse, run, report, exit code: the one place that turns an error into a
//! status.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use clap_complete::Shell;

use crate::args::UiArgs;
use crate::env::{self, invocation};
use crate::error::{Error, Exit};
use crate::records::MalformedRow;
use crate::ui::{Ui, count};

/// Runs a tool: parses the command line as `Args` (a usage error ends with exit
/// code 2), runs `run`, reports its error, and says with which status to exit.
/// Ctrl-C ends it with 130.
pub fn main<Args: Parser>(
    ui_args: impl FnOnce(&Args) -> &UiArgs,
    run: impl AsyncFnOnce(Args, &Ui) -> Result<(), Error>,
) -> ExitCode {
    main_with_own_interrupt(ui_args, async |args, ui| {
        let outcome = tokio::select! {
            outcome = run(args, ui) => outcome,
            _ = tokio::signal::ctrl_c() => {
                if ui.is_terminal() {
                    // Behind what the terminal shows of the key.
                    ui.say("");
                }
                Err(Error::new("interrupted").exit(Exit::Interrupted))
            }
        };
        outcome.map(|()| ExitCode::SUCCESS)
    })
}

/// Like [`main`], for a tool that has to end other processes before itself and
/// returns their status.
pub fn main_with_own_interrupt<Args: Parser>(
    ui_args: impl FnOnce(&Args) -> &UiArgs,
    run: impl AsyncFnOnce(Args, &Ui) -> Result<ExitCode, Error>,
) -> ExitCode {
    if let Some(shell) = wanted_completions() {
        let mut command = Args::command();
        let name = command.get_name().to_owned();
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut command, name, &mut script);
        // A reader that went away is no failure here either.
        let _ = io::stdout().write_all(&script);
        return ExitCode::SUCCESS;
    }
    let args = Args::parse();
    let ui_args = ui_args(&args);
    let ui = Ui::new(ui_args.color, ui_args.verbose).quiet(ui_args.quiet);
    let outcome = env::timeout_secs().and_then(|_| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime
            .map_err(|error| Error::new("cannot start the asynchronous runtime").cause(error))?;
        let outcome = runtime.block_on(run(args, &ui));
        // A thread that waits for an answer at the terminal would be waited for.
        runtime.shutdown_background();
        outcome
    });
    outcome.unwrap_or_else(|error| {
        if error.exit_kind() != Exit::ClosedPipe {
            ui.error(&error);
        }
        ExitCode::from(error.exit_kind().code())
    })
}

/// The shell of a call that is just `--completions SHELL`. Looked at before the
/// arguments are parsed, since it does without those that a tool requires.
fn wanted_completions() -> Option<Shell> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let (first, rest) = arguments.split_first()?;
    let shell = match (first.to_str()?, rest) {
        ("--completions", [shell]) => shell.to_str()?,
        (option, []) => option.strip_prefix("--completions=")?,
        _ => return None,
    };
    Shell::from_str(shell, false).ok()
}

/// Warns of each row that could not be read.
///
/// # Errors
/// Where there are any: something was read and not shown, exit code 3.
pub fn report_malformed(rows: &[MalformedRow], ui: &Ui) -> Result<(), Error> {
    for row in rows {
        ui.warn(row);
    }
    if rows.is_empty() {
        return Ok(());
    }
    Err(Error::new(format!("{} could not be read and left out", count(rows.len(), "row")))
        .hint(format!("`{}` shows them as they are", invocation("ddb-scan")))
        .exit(Exit::Partial))
}
