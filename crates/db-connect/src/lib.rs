//! `db-connect`: becomes psql on the database that a target means.

mod arguments;
mod psql;
mod read_only;
mod start_up;

use std::ffi::OsString;
use std::process::ExitCode;

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
use psql::Psql;

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
#[derive(Debug)]
enum Guard {
    /// nothing: it may write, where it leads to what was seen
    None(Seen),
    /// a setting, which SQL can change
    Setting,
    /// its role has no privilege that writes
    Role(Seen),
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
    consent::check(&change, change.effect, &args.consent)?;
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
    // psql looks again in its own connection, unless it can only read there anyway.
    let guard = if has_reader {
        Guard::Role(Seen::of(db.client(), &url).await?)
    } else if args.write || target == Target::Local && !unknown {
        Guard::None(Seen::of(db.client(), &url).await?)
    } else {
        Guard::Setting
    };
    drop(db);
    ask(&change, &url, stamp.is_some(), &args, ui).await?;

    let mut psql = Psql::new(&url);
    if target == Target::Prod {
        psql.set_prompt(args.write, ui);
    }
    let arguments = match guard {
        Guard::None(seen) => {
            psql.check_first(&seen, !arguments.no_psqlrc && target == Target::Local)?;
            arguments.without_no_psqlrc
        }
        Guard::Setting => {
            read_only::refuse_sql_that_turns_it_off(&arguments)?;
            psql.read_only();
            // A start-up file could turn it off.
            psql.no_start_up_file();
            warn_of_the_setting(target, ui);
            arguments.all
        }
        Guard::Role(seen) => {
            // Where a function writes as its owner, or where there is no privilege to
            // look at.
            psql.read_only();
            psql.check_first(&seen, false)?;
            ui.note("the role has no right to write; --write takes the one that has");
            arguments.without_no_psqlrc
        }
    };
    Err(psql.exec(arguments))
}

/// Asks whether psql may write, where that takes an answer.
async fn ask(
    change: &Change<'_>,
    url: &ConnectionUrl,
    is_stamped: bool,
    args: &Args,
    ui: &Ui,
) -> Result<(), Error> {
    let unknown = change.target == Target::Local && !is_stamped;
    if !args.write || change.target == Target::Local && !unknown {
        return Ok(());
    }
    let what = format!("psql can then change everything in `{url}` that its user may.");
    let change = Change { what: &what, ..*change };
    let place = Place::of_database(change.target, is_stamped, Caller::NoAccount);
    // psql is the one that writes, and takes no permit.
    let _ = consent::ask(&change, place, &args.consent, ui).await?;
    Ok(())
}

fn warn_of_the_setting(target: Target, ui: &Ui) {
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
}
