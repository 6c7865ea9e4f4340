//! `db-connect`: becomes psql on the database that a target means.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use clap::Parser;
use ops_common::account::Caller;
use ops_common::args::{ConfirmArgs, TargetArg, UiArgs};
use ops_common::cli;
use ops_common::confirm::{Question, Risk, check_can_consent, confirm};
use ops_common::env;
use ops_common::error::Error;
use ops_common::postgres::{ConnectionUrl, Db};
use ops_common::stamp;
use ops_common::target::Target;
use ops_common::ui::Ui;

/// Open psql on the app's Postgres database
///
/// The database is the one of CONNECTION_URL, in `prod` PROD_CONNECTION_URL. The
/// password goes through psql's environment, never through its arguments. In
/// `prod`, and in a database without a stamp, transactions are read-only unless
/// --write is given, which asks (commands of the server's own, like ALTER SYSTEM,
/// are no transaction's and are not held back). The exit code is psql's.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples:
  db-connect                            the database on this machine
  db-connect -- -c 'TABLE users'        one statement
  db-connect prod                       to look around
  db-connect prod --write               to change something by hand"
)]
struct Args {
    #[command(flatten)]
    target: TargetArg,

    /// Let transactions write in `prod`, and in a database without a stamp
    #[arg(long)]
    write: bool,

    /// Arguments of psql, behind `--`
    #[arg(last = true, value_name = "PSQL-ARGUMENT")]
    psql: Vec<OsString>,

    #[command(flatten)]
    consent: ConfirmArgs,
    #[command(flatten)]
    ui: UiArgs,
}

/// The tool's entry point.
#[must_use]
pub fn main() -> ExitCode {
    cli::main(|args: &Args| &args.ui, run)
}

async fn run(args: Args, ui: &Ui) -> Result<(), Error> {
    refuse_another_database(&args.psql)?;
    let target = args.target.target;
    let url = ConnectionUrl::from_env(target)?;
    url.refuse_several_servers()?;
    let question = Question {
        target,
        kind: "database",
        resource: url.database(),
        what: "",
        risk: if target == Target::Prod && args.write { Risk::Changes } else { Risk::None },
    };
    check_can_consent(&question, &args.consent)?;
    url.announce(ui);
    // Our errors say how to mend it, and a tunnel to production looks like local.
    let db = Db::connect(&url, ui).await?;
    let stamp = stamp::of_this_environment(&db, &url).await?;
    drop(db);
    let unknown = target == Target::Local && stamp.is_none();
    if unknown {
        ui.warn(format_args!(
            "`{}` has no stamp, so it may be the end of a tunnel to production",
            url.database()
        ));
    }
    let guarded = target == Target::Prod || unknown;
    if guarded && args.write {
        let what = format!("psql can then change everything in `{url}` that its user may.");
        let risk = if unknown { Risk::Destroys } else { question.risk };
        let question = Question { what: &what, risk, ..question };
        confirm(&question, &args.consent, &Caller::NoAccount, ui).await?;
    }

    let mut psql = Command::new("psql");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PG") {
            psql.env_remove(name);
        }
    }
    // Not psql's business.
    psql.env_remove(env::CONNECTION_URL).env_remove(env::PROD_CONNECTION_URL);
    let variables = url.libpq_environment();
    psql.envs(variables.iter().cloned());
    if target == Target::Prod {
        let prompt = if args.write { "prod, writing" } else { "prod" };
        psql.arg(format!("--set=PROMPT1={prompt} %/%R%x%# "));
    }
    if guarded && !args.write {
        ui.note("transactions are read-only; --write lets them write");
        let given = variables.iter().find(|(name, _)| *name == "PGOPTIONS");
        let given = given.map_or(String::new(), |(_, options)| format!("{options} "));
        psql.env("PGOPTIONS", format!("{given}-c default_transaction_read_only=on"));
    }
    // Returns only where it could not.
    let error = psql.args(args.psql).exec();
    Err(match error.kind() {
        io::ErrorKind::NotFound => Error::new("there is no `psql` on the PATH")
            .hint("Debian and Ubuntu: `apt-get install postgresql-client`")
            .hint("macOS: `brew install libpq`, and put its `bin` on the PATH"),
        _ => Error::new("cannot run `psql`").cause(error),
    })
}

/// psql's options that say where to connect, and those that take a value.
const WHERE: [(char, &str); 4] = [('d', "dbname"), ('h', "host"), ('p', "port"), ('U', "username")];
const SHORT_WITH_VALUE: &str = "cfvPFRToL";
const LONG_WITH_VALUE: [&str; 10] = [
    "command",
    "field-separator",
    "file",
    "log-file",
    "output",
    "pset",
    "record-separator",
    "set",
    "table-attr",
    "variable",
];

/// Refuses arguments of psql by which it would connect elsewhere than was looked at.
/// <https://www.postgresql.org/docs/current/app-psql.html>
fn refuse_another_database(arguments: &[OsString]) -> Result<(), Error> {
    let refused = |argument: &str| {
        Err(Error::usage(format!(
            "psql's argument `{argument}` says where to connect, and the target does that"
        ))
        .hint("another database is another URL in CONNECTION_URL or PROD_CONNECTION_URL")
        .hint("a statement is given with `-c`, a file with `-f`"))
    };
    let mut arguments = arguments.iter().map(|argument| argument.to_string_lossy());
    while let Some(argument) = arguments.next() {
        if let Some(long) = argument.strip_prefix("--").filter(|long| !long.is_empty()) {
            // Abbreviations are taken too.
            let (name, value) = long.split_once('=').map_or((long, None), |(n, v)| (n, Some(v)));
            if WHERE.iter().any(|(_, option)| option.starts_with(name)) {
                return refused(&argument);
            }
            let takes_value = LONG_WITH_VALUE.iter().any(|option| option.starts_with(name));
            if takes_value && value.is_none() {
                arguments.next();
            }
        } else if let Some(letters) =
            argument.strip_prefix('-').filter(|l| !l.is_empty() && *l != "-")
        {
            for (at, letter) in letters.char_indices() {
                if WHERE.iter().any(|(option, _)| *option == letter) {
                    return refused(&argument);
                }
                if SHORT_WITH_VALUE.contains(letter) {
                    if at + letter.len_utf8() == letters.len() {
                        arguments.next();
                    }
                    break;
                }
            }
        } else {
            return refused(&argument);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(arguments: &[&str]) -> bool {
        let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        refuse_another_database(&arguments).is_err()
    }

    #[test]
    fn what_leads_elsewhere_is_refused() {
        for arguments in [
            &["other"][..],
            &["postgresql://h/d"],
            &["-d", "other"],
            &["-dother"],
            &["-Xdother"],
            &["-h", "h"],
            &["-U", "u"],
            &["-p1"],
            &["--dbname=other"],
            &["--db", "other"],
            &["--host", "h"],
            &["--user=u"],
            &["--port=1"],
            &["-c", "SELECT 1", "other"],
            &["--", "other"],
            &["-At", "-"],
        ] {
            assert!(refused(arguments), "{arguments:?}");
        }
    }

    #[test]
    fn what_stays_is_not() {
        for arguments in [
            &[][..],
            &["-c", "-d"],
            &["-XAtc", "SELECT 1"],
            &["-cSELECT 1"],
            &["-f", "file.sql", "-v", "ON_ERROR_STOP=1"],
            &["--command", "TABLE users"],
            &["--set=ON_ERROR_STOP=1", "--csv", "--pset", "null=-"],
            &["-x", "-q", "--no-psqlrc"],
        ] {
            assert!(!refused(arguments), "{arguments:?}");
        }
    }
}
