//! `db-connect`: becomes psql on the database that a target means.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use clap::Parser;
use ops_common::args::{TargetArg, UiArgs};
use ops_common::cli;
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
/// `prod` transactions are read-only, unless --write is given.
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

    /// Let transactions in `prod` write
    #[arg(long)]
    write: bool,

    /// Arguments of psql, behind `--`
    #[arg(last = true, value_name = "PSQL-ARGUMENT")]
    psql: Vec<OsString>,

    #[command(flatten)]
    ui: UiArgs,
}

/// The tool's entry point.
#[must_use]
pub fn main() -> ExitCode {
    cli::main(|args: &Args| &args.ui, run)
}

async fn run(args: Args, ui: &Ui) -> Result<(), Error> {
    let target = args.target.target;
    let url = ConnectionUrl::from_env(target)?;
    url.announce(ui);
    // Our errors say how to mend it, and a tunnel to production looks like local.
    let db = Db::connect(&url, ui).await?;
    stamp::of_this_environment(&db, &url).await?;
    drop(db);

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
        psql.arg("--set=PROMPT1=prod %/%R%x%# ");
        if !args.write {
            ui.note("transactions are read-only; --write lets them write");
            let given = variables.iter().find(|(name, _)| *name == "PGOPTIONS");
            let given = given.map_or(String::new(), |(_, options)| format!("{options} "));
            psql.env("PGOPTIONS", format!("{given}-c default_transaction_read_only=on"));
        }
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
