//! `db-restore`: the app's Postgres database as a backup has it, in one transaction.
//!
//! pg_restore turns the archive into SQL and psql runs it; what goes from one to the
//! other goes through this process (`load`), which lets nothing be committed that is
//! not whole, and looks in psql's own connection whether it is the database that was
//! looked at (`plan`).

mod load;
mod plan;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use db_backup::archive::{Archive, TableRows};
use db_backup::{ServerVersion, in_words};
use ops_common::args::{ConfirmArgs, OutputArgs, UiArgs, take_target};
use ops_common::cli;
use ops_common::consent::{self, Caller, Change, Effect, Kind, Place};
use ops_common::error::Error;
use ops_common::postgres::programs::Programs;
use ops_common::postgres::{ConnectionUrl, Db, stamp};
use ops_common::ui::Ui;
use serde::Serialize;

use plan::Plan;

/// Restore the app's Postgres database from a backup
///
/// All of it in one transaction: where anything fails, nothing is changed. In a
/// database that has tables, those of the backup replace them, which asks for the
/// database's name in `prod`; tables that the backup does not have stay. The stamp
/// stays what the target says: a backup of `local` is refused in `prod`, and one of
/// `prod` comes to `local` without its owners and privileges.
#[derive(Debug, Parser)]
#[command(
    version,
    override_usage = "db-restore [OPTIONS] [TARGET] <FILE>",
    after_help = "Examples:
  db-restore cruddur-local-20260131T090000Z.dump
  db-restore prod cruddur-prod-20260131T090000Z.dump --dry-run
  db-setup --steps drop,create && db-restore FILE    only what the backup has"
)]
struct Args {
    /// Where to act: local (services on this machine) or prod (the production
    /// database); may also stand behind FILE
    #[arg(value_name = "TARGET")]
    first: Option<String>,

    /// Backup that `db-backup` made, or `pg_dump --format=custom`
    #[arg(value_name = "FILE")]
    second: Option<String>,

    /// Show what would be restored and replaced, and change nothing
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    consent: ConfirmArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    ui: UiArgs,
}

/// The tool's entry point.
#[must_use]
pub fn main() -> ExitCode {
    cli::main(|args: &Args| &args.ui, run)
}

#[derive(Serialize)]
struct Report<'a> {
    database: &'a str,
    file: String,
    /// whether it is done; not so with --dry-run
    restored: bool,
    /// of which environment the backup is; null: it does not say
    environment: Option<&'a str>,
    created_at: Option<&'a str>,
    tables: &'a [TableRows],
    /// tables that were there, and are the backup's now
    replaced: &'a [String],
    /// tables that were there, and are not in the backup
    kept: &'a [String],
}

async fn run(args: Args, ui: &Ui) -> Result<(), Error> {
    let (target, words) = take_target(&[&args.first, &args.second], 1)?;
    let [file] = words.as_slice() else {
        return Err(
            Error::usage("no backup is named").hint("`db-restore FILE`; `db-backup` makes one")
        );
    };
    let file = PathBuf::from(file);
    look_at(&file)?;
    let url = ConnectionUrl::from_env(target)?;
    url.refuse_several_servers()?;
    let effect = if args.dry_run { Effect::Nothing } else { Effect::Adds };
    let change = Change { target, kind: Kind::Database, name: url.database(), what: "", effect };
    let most = if args.dry_run { Effect::Nothing } else { Effect::Destroys };
    consent::check(&change, most, &args.consent)?;

    url.announce(ui);
    let db = Db::connect(&url, ui).await?;
    let stamp = stamp::of_this_environment(&db, &url).await?;
    let version = ServerVersion::of(&db).await?;
    let programs = Programs::for_server(&["pg_restore", "psql"], version.major)?;
    let archive = Archive::new(&file, programs);
    let contents = archive.read(ui).await?;
    let plan = Plan::of(&db, &url, &contents).await?;
    drop(db);
    plan.refuse_a_part(&file)?;
    plan.refuse_local_backup(&url, &file)?;
    let report = Report {
        database: url.database(),
        file: file.display().to_string(),
        restored: !args.dry_run,
        environment: plan.environment(),
        created_at: contents.created_at.as_deref(),
        tables: &contents.tables,
        replaced: &plan.replaced,
        kept: &plan.kept,
    };
    let what = plan.in_words(&url, &file);
    if args.dry_run {
        ui.note("nothing is changed (--dry-run)");
        return if args.output.json() { ui.report(target, &report) } else { ui.sentence(&what) };
    }
    let place = Place::of_database(target, stamp.is_some(), Caller::NoAccount);
    let change = Change { what: &what, effect: plan.effect(), ..change };
    let permit = consent::ask(&change, place, &args.consent, ui).await?;
    load::restore(&archive, &plan, &version, &url, &permit, ui).await?;
    if args.output.json() {
        return ui.report(target, &report);
    }
    ui.sentence(format_args!(
        "restored `{}` from `{}`: {}",
        url.database(),
        file.display(),
        in_words(&contents)
    ))
}

/// Refuses what pg_restore would say less of, before anything is connected to.
fn look_at(file: &Path) -> Result<(), Error> {
    let metadata = file.metadata().map_err(|error| {
        Error::new(format!("cannot read `{}`", file.display()))
            .cause(error)
            .hint("name the file that `db-backup` wrote")
    })?;
    if metadata.is_file() {
        return Ok(());
    }
    Err(Error::new(format!("`{}` is not a regular file", file.display()))
        .hint("a backup is read twice, so it cannot come from a pipe: save it to a file first"))
}
