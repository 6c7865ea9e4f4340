//! Parse, run, report, exit code: the one place that turns an error into a
//! status.

use std::io::{self, IsTerminal, Write};
use std::ops::Range;
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command, Parser, ValueEnum};
use clap_complete::Shell;
use clap_complete::env::Shells;

use crate::app::records::MalformedRow;
use crate::args::UiArgs;
use crate::complete::complete;
use crate::env::{self, invocation};
use crate::error::{Error, Exit};
use crate::text::count;
use crate::text::{cleaned, printable};
use crate::ui::{ColorChoice, Ui, colored_stream};

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
            () = ctrl_c_for_us() => {
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

/// Whether Ctrl-C means something else than the end of the tool.
static OWN_CTRL_C: AtomicBool = AtomicBool::new(false);

/// Does work for which Ctrl-C means what the work says: an editor that has the terminal,
/// a wait that a person ends.
pub async fn with_own_ctrl_c<T>(work: impl Future<Output = T>) -> T {
    OWN_CTRL_C.store(true, Ordering::Relaxed);
    let done = work.await;
    OWN_CTRL_C.store(false, Ordering::Relaxed);
    done
}

/// Does work that Ctrl-C ends in the middle, and says then how to go on.
///
/// # Errors
/// Those of the work; exit code 130 where it was interrupted.
pub async fn until_ctrl_c<T>(
    work: impl Future<Output = Result<T, Error>>,
    hint: &str,
) -> Result<T, Error> {
    with_own_ctrl_c(async {
        tokio::select! {
            outcome = work => outcome,
            _ = tokio::signal::ctrl_c() => {
                Err(Error::new("interrupted").hint(hint).exit(Exit::Interrupted))
            }
        }
    })
    .await
}

async fn ctrl_c_for_us() {
    loop {
        // Where signals cannot be heard at all, Ctrl-C ends the process as it is.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        if !OWN_CTRL_C.load(Ordering::Relaxed) {
            return;
        }
    }
}

/// Like [`main`], for a tool that has to end other processes before itself and
/// returns their status.
pub fn main_with_own_interrupt<Args: Parser>(
    ui_args: impl FnOnce(&Args) -> &UiArgs,
    run: impl AsyncFnOnce(Args, &Ui) -> Result<ExitCode, Error>,
) -> ExitCode {
    if let Some(status) = about_itself(Args::command) {
        return status;
    }
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return usage_error(with_suggestion(error, &Args::command())),
    };
    let ui_args = ui_args(&args);
    let ui = Ui::new(ui_args.color, ui_args.verbose).quiet(ui_args.quiet);
    // The parser lets them stand before a subcommand.
    let goes_alone = match (ui_args.man, ui_args.completions) {
        (false, None) => Ok(()),
        _ => Err(Error::usage("--man and --completions go alone")
            .hint("leave the other words out; nothing is done")),
    };
    let outcome = goes_alone.and_then(|()| env::timeout_secs()).and_then(|_| check_clock());
    let outcome = outcome.and_then(|()| {
        told_panics(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| {
                Error::new("cannot start the asynchronous runtime").cause(error).hint(LIMITS)
            })?;
            let outcome = runtime.block_on(run(args, &ui));
            // A thread that waits for an answer at the terminal would be waited for.
            runtime.shutdown_background();
            outcome
        })
    });
    outcome.unwrap_or_else(|error| {
        if error.exit_kind() != Exit::ClosedPipe {
            ui.error(&error);
        }
        ExitCode::from(error.exit_kind().code())
    })
}

const LIMITS: &str = "look at the limits of processes, open files and memory: `ulimit -a`";

/// Suggests the value that has other letters only in their case: the parser itself
/// takes `PROD` for nothing like `prod`. Takes its suggestion of `--` away where what
/// stands behind that could be nothing but a wrong target.
fn with_suggestion(mut error: clap::Error, command: &Command) -> clap::Error {
    let takes_many = |argument: &Arg| argument.get_num_args().is_some_and(|n| n.max_values() > 1);
    if error.kind() == ErrorKind::UnknownArgument && !command.get_positionals().any(takes_many) {
        error.remove(ContextKind::Suggested);
    }
    let Some(ContextValue::String(given)) = error.get(ContextKind::InvalidValue) else {
        return error;
    };
    let Some(ContextValue::Strings(valid)) = error.get(ContextKind::ValidValue) else {
        return error;
    };
    let meant = valid.iter().find(|valid| valid.eq_ignore_ascii_case(given)).cloned();
    match meant {
        Some(meant) => {
            error.insert(ContextKind::SuggestedValue, ContextValue::String(meant));
        }
        None => suggest_options(&mut error, command),
    }
    error
}

/// Says how a table or a person is named, to someone who named it as the target.
fn suggest_options(error: &mut clap::Error, command: &Command) {
    let argument = error.get(ContextKind::InvalidArg);
    if !matches!(argument, Some(ContextValue::String(argument)) if argument == "[TARGET]") {
        return;
    }
    let named = ["table", "handle", "group", "file"].into_iter().filter(|option| {
        command.get_arguments().any(|argument| argument.get_long() == Some(option))
    });
    let options: Vec<String> = named.map(|option| format!("--{option}")).collect();
    if !options.is_empty() {
        let text = format!("something else is named with an option: {}", options.join(", "));
        let hint = ContextValue::StyledStrs(vec![StyledStr::from(text)]);
        error.insert(ContextKind::Suggested, hint);
    }
}

/// Reports a wrong command line as the parser does, with our word for a hint, and
/// nothing of it raw.
fn usage_error(error: clap::Error) -> ExitCode {
    // Where it cannot be written there is nobody to tell.
    let status = ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
    if !error.use_stderr() {
        let _ = error.print();
        return status;
    }
    // What the parser repeats of them it repeats as it is.
    let harmless = std::env::args_os().all(|argument| {
        let argument = argument.to_string_lossy();
        printable(&argument) == argument
    });
    let text = error.render();
    let lines = if !harmless {
        cleaned(text.to_string().trim_end()).replace('\n', "\n  ") + "\n"
    } else if colored_stream(ColorChoice::Auto, io::stderr().is_terminal()) {
        text.ansi().to_string()
    } else {
        text.to_string()
    };
    let lines = lines.replace("  tip:", "  hint:").replace("[32mtip:", "[32mhint:");
    let _ = io::stderr().write_all(lines.as_bytes());
    status
}

/// The years that times are counted from and that a sort key can hold. Requests are
/// signed with the time, too.
const TIMES: Range<Duration> = Duration::ZERO..Duration::from_secs(253_402_300_800);

fn check_clock() -> Result<(), Error> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    if now.is_ok_and(|now| TIMES.contains(&now)) {
        return Ok(());
    }
    Err(Error::new("this machine's clock is not in the years 1970 to 9999")
        .hint("compare `date -u` with the right time and set it"))
}

/// Turns a panic, which is the tool's own fault or a limit of the system's that
/// somebody below did not expect, into an error like any other.
fn told_panics(run: impl FnOnce() -> Result<ExitCode, Error>) -> Result<ExitCode, Error> {
    let message = Arc::new(Mutex::new(String::new()));
    let kept = Arc::clone(&message);
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if std::thread::current().name() != Some("main") {
            return usual(info);
        }
        let payload = info.payload();
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default();
        let place = info.location().map_or(String::new(), ToString::to_string);
        *kept.lock().unwrap_or_else(PoisonError::into_inner) = format!("{text} ({place})");
    }));
    panic::catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
        let message = message.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let hint = if message.contains("thread") || message.contains("os error") {
            LIMITS
        } else {
            "this is a fault of the tool: report it with the command that you ran"
        };
        Err(Error::new("the tool stopped at an internal error").cause(message).hint(hint))
    })
}

/// Answers a shell that asks what may follow, and a call that is just `--completions
/// SHELL` or `--man`: before the arguments are parsed, since these do without those that
/// a tool requires. None: it is another call.
fn about_itself(command: impl Fn() -> Command) -> Option<ExitCode> {
    match complete(&command) {
        Ok(false) => {}
        // Whoever types is not told of an error.
        Ok(true) | Err(_) => return Some(ExitCode::SUCCESS),
    }
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().filter_map(|word| word.to_str()).collect();
    let mut text = Vec::new();
    match arguments.as_slice() {
        ["--man"] => clap_mangen::Man::new(command()).render(&mut text).ok()?,
        ["--completions", shell] => completions(&command(), shell, &mut text)?,
        [option] => completions(&command(), option.strip_prefix("--completions=")?, &mut text)?,
        _ => return None,
    }
    // A reader that went away is no failure here either.
    let _ = io::stdout().write_all(&text);
    Some(ExitCode::SUCCESS)
}

/// The script that has a shell ask this binary. None: there is no such shell, which the
/// parser says.
fn completions(command: &Command, shell: &str, script: &mut Vec<u8>) -> Option<()> {
    let shell = Shell::from_str(shell, false).ok()?;
    let shells = Shells::builtins();
    let binary = std::env::current_exe().ok()?.to_string_lossy().into_owned();
    let name = command.get_name();
    // Not every script quotes it well: then it is looked for on PATH.
    let is_plain = binary.chars().all(|c| c.is_alphanumeric() || "/._-+".contains(c));
    let binary = if is_plain { &binary } else { name };
    shells
        .completer(&shell.to_string())?
        .write_registration(env::OPS_COMPLETE, name, name, binary, script)
        .ok()
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
