//! `db-connect`: becomes psql on the database that a target means.

mod arguments;
mod read_only;
mod start_up;

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use clap::Parser;
use ops_common::args::{ConfirmArgs, TargetArg, UiArgs};
use ops_common::cli;
use ops_common::consent::{self, Caller, Change, Effect, Kind, Place};
use ops_common::env;
use ops_common::error::Error;
use ops_common::postgres::stamp::{self, Seen};
use ops_common::postgres::{ConnectionUrl, Db};
use ops_common::target::Target;
use ops_common::ui::Ui;

use arguments::PsqlArguments;

/// Open psql on the app's Postgres database
///
/// The database is the one of CONNECTION_URL, in `prod` PROD_CONNECTION_URL. The
/// password goes through psql's environment, never through its arguments. In
/// `prod` PROD_READ_CONNECTION_URL goes first, which names a role that cannot
/// write. Where it is not set, and in a database without a stamp, transactions are
/// read-only by a setting, which guards against slips and not against SQL that
/// turns it off. --write, which asks, lets them write. The exit code is psql's.
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

/// What keeps psql from writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Guard {
    /// nothing: it may write
    None,
    /// a setting, which SQL can change
    Setting,
    /// its role has no privilege that writes
    Role,
}

async fn run(args: Args, ui: &Ui) -> Result<(), Error> {
    let arguments = PsqlArguments::parse(&args.psql)?;
    let target = args.target.target;
    let reader = match target {
        Target::Prod if !args.write => ConnectionUrl::reader_from_env()?,
        _ => None,
    };
    let has_reader = reader.is_some();
    let url = reader.map_or_else(|| ConnectionUrl::from_env(target), Ok)?;
    url.refuse_several_servers()?;
    let change = Change {
        target,
        kind: Kind::Database,
        name: url.database(),
        what: "",
        effect: if args.write { Effect::Changes } else { Effect::Nothing },
    };
    consent::check(&change, &args.consent)?;
    url.announce(ui);
    // Our errors say how to fix it, and a tunnel to production looks like local.
    let db = Db::connect(&url, ui).await?;
    let stamp = stamp::of_this_environment(&db, &url).await?;
    if has_reader {
        read_only::refuse_a_role_that_writes(&db).await?;
    }
    let unknown = target == Target::Local && stamp.is_none();
    if unknown {
        ui.warn(format_args!(
            "`{}` has no stamp, so it may be the end of a tunnel to production",
            url.database()
        ));
    }
    let guard = match target {
        _ if has_reader => Guard::Role,
        _ if args.write => Guard::None,
        Target::Local if !unknown => Guard::None,
        Target::Local | Target::Prod => Guard::Setting,
    };
    // psql looks again in its own connection, unless it can only read there anyway.
    let seen = match guard {
        Guard::None | Guard::Role => Some(Seen::of(db.client(), &url).await?),
        Guard::Setting => None,
    };
    drop(db);
    if args.write && (target == Target::Prod || unknown) {
        let what = format!("psql can then change everything in `{url}` that its user may.");
        let change = Change { what: &what, ..change };
        let place = Place::of_database(target, stamp.is_some(), Caller::NoAccount);
        // psql is the one that writes, and takes no permit.
        let _ = consent::ask(&change, place, &args.consent, ui).await?;
    }
    if guard == Guard::Setting {
        read_only::refuse_sql_that_turns_it_off(&arguments)?;
    }

    let mut psql = Command::new("psql");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PG") {
            psql.env_remove(name);
        }
    }
    // Not psql's business.
    for variable in [env::CONNECTION_URL, env::PROD_CONNECTION_URL, env::PROD_READ_CONNECTION_URL] {
        psql.env_remove(variable);
    }
    let variables = url.libpq_environment();
    psql.envs(variables.iter().cloned());
    if target == Target::Prod {
        let prompt = if args.write { "prod, writing" } else { "prod" };
        psql.arg(format!("--set=PROMPT1={prompt} %/%R%x%# "));
    }
    let read_only = |psql: &mut Command| {
        let given = variables.iter().find(|(name, _)| *name == "PGOPTIONS");
        let given = given.map_or(String::new(), |(_, options)| format!("{options} "));
        psql.env("PGOPTIONS", format!("{given}-c default_transaction_read_only=on"));
    };
    // Open until psql has read it.
    let mut start_up = None;
    match guard {
        Guard::None => {
            let own = !arguments.no_psqlrc && target == Target::Local;
            start_up = seen.map(|seen| start_up::checking(&seen, own)).transpose()?;
        }
        Guard::Setting => {
            ui.warn(
                "transactions are read-only by a setting, which stops slips and not SQL that turns it off",
            );
            if target == Target::Prod {
                ui.note(format_args!(
                    "for more than that set {} to a role that cannot write",
                    env::PROD_READ_CONNECTION_URL
                ));
            }
            ui.note("to write: --write");
            read_only(&mut psql);
            // A start-up file could turn it off.
            psql.arg("--no-psqlrc");
        }
        Guard::Role => {
            // Where a function writes as its owner, or where there is no privilege to
            // look at.
            read_only(&mut psql);
            start_up = seen.map(|seen| start_up::checking(&seen, false)).transpose()?;
            ui.note("the role has no right to write; --write takes the one that has");
        }
    }
    if let Some(file) = &start_up {
        psql.env("PSQLRC", start_up::path(file));
    }
    // Returns only where it could not.
    let arguments =
        if guard == Guard::Setting { arguments.all } else { arguments.without_no_psqlrc };
    let error = psql.args(arguments).exec();
    drop(start_up);
    Err(match error.kind() {
        io::ErrorKind::NotFound => Error::new("there is no `psql` on the PATH")
            .hint("Debian and Ubuntu: `apt-get install postgresql-client`")
            .hint("macOS: `brew install libpq`, and put its `bin` on the PATH"),
        _ => Error::new("cannot run `psql`").cause(error),
    })
}
