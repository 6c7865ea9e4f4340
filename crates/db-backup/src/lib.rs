//! `db-backup`: an archive of the app's Postgres database, by the pg_dump of that
//! server's version, read back before it gets its name. What reads an archive is here
//! for `db-restore` too.

pub mod archive;
pub mod child;
mod dump;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use chrono::{DateTime, Utc};
use clap::Parser;
use ops_common::args::{OutputArgs, TargetArg, UiArgs};
use ops_common::cli;
use ops_common::env::invocation;
use ops_common::error::Error;
use ops_common::files::{folder_of, resolved};
use ops_common::postgres::programs::Programs;
use ops_common::postgres::{ConnectionUrl, Db, stamp};
use ops_common::text::{bytes, count};
use ops_common::ui::Ui;
use serde::Serialize;

use archive::{Contents, TableRows};

/// Back up the app's Postgres database
///
/// The database is the one of CONNECTION_URL, in `prod` PROD_CONNECTION_URL. The
/// pg_dump of the server's version writes an archive of one moment, which only you
/// can read. It gets its name once pg_restore has read all of it back. Roles and
/// settings of the server are not in it.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples:
  db-backup
  db-backup prod --out backups/         a folder: the name is generated
  db-restore cruddur-local-20260131T090000Z.dump"
)]
struct Args {
    #[command(flatten)]
    target: TargetArg,

    /// File of the backup, or a folder for it
    /// [default: DATABASE-TARGET-TIME.dump in this folder]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

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
    server_version: &'a str,
    file: String,
    bytes: u64,
    tables: &'a [TableRows],
}

async fn run(args: Args, ui: &Ui) -> Result<(), Error> {
    let url = ConnectionUrl::from_env(args.target.target)?;
    url.refuse_several_servers()?;
    let out = out_file(args.out, &url, Utc::now())?;
    url.announce(ui);
    let mut db = Db::connect(&url, ui).await?;
    stamp::of_this_environment(&db, &url).await?;
    let version = ServerVersion::of(&db).await?;
    let programs = Programs::for_server(&["pg_dump", "pg_restore"], version.major)?;
    if programs.major > version.major {
        ui.warn(format_args!(
            "pg_dump {newer} dumps PostgreSQL {}: only pg_restore {newer} or newer can read the backup",
            version.major,
            newer = programs.major
        ));
    }
    let (file, contents) = dump::write(
        &mut db,
        &url,
        programs,
        folder_of(&resolved(&out).unwrap_or_else(|_| out.clone())),
        ui,
    )
    .await?;
    let size = dump::keep(file, &out)?;
    if args.output.json() {
        let report = Report {
            database: url.database(),
            server_version: &version.text,
            file: out.display().to_string(),
            bytes: size,
            tables: &contents.tables,
        };
        return ui.report(url.target(), &report);
    }
    ui.sentence(format_args!(
        "backed up `{}` to `{}`: {}, {}",
        url.database(),
        out.display(),
        in_words(&contents),
        bytes(i64::try_from(size).unwrap_or(i64::MAX))
    ))?;
    let call = format!("db-restore{} {}", url.target().as_argument(), out.display());
    ui.note(format_args!("to restore it: `{}`", invocation(&call)));
    Ok(())
}

/// How much is in an archive.
#[must_use]
pub fn in_words(contents: &Contents) -> String {
    format!("{}, {}", count(contents.tables.len(), "table"), count(contents.rows(), "row"))
}

/// A server's version.
#[derive(Debug)]
pub struct ServerVersion {
    /// 17, for 17.6
    pub major: u32,
    /// as the server writes it
    pub text: String,
}

impl ServerVersion {
    /// Of the server at the other end.
    ///
    /// # Errors
    /// Where it does not say.
    pub async fn of(db: &Db) -> Result<Self, Error> {
        let sql = "SELECT current_setting('server_version_num')::int / 10000, current_setting('server_version')";
        let rows = db.query("ask for the server's version", sql, &[]).await?;
        let row = rows.first().ok_or_else(|| Error::new("the server does not say its version"))?;
        Ok(Self {
            major: u32::try_from(row.get::<_, i32>(0)).unwrap_or_default(),
            text: row.get(1),
        })
    }
}

/// The file that is meant, which is not there.
fn out_file(
    out: Option<PathBuf>,
    url: &ConnectionUrl,
    now: DateTime<Utc>,
) -> Result<PathBuf, Error> {
    let made_up = || {
        let safe = |c: char| if c.is_alphanumeric() || c == '_' || c == '-' { c } else { '_' };
        let database: String = url.database().chars().map(safe).collect();
        format!("{database}-{}-{}.dump", url.target(), now.format("%Y%m%dT%H%M%SZ"))
    };
    let out = match out {
        None => PathBuf::from(made_up()),
        Some(folder) if folder.is_dir() => folder.join(made_up()),
        Some(folder) if folder.as_os_str().as_encoded_bytes().ends_with(b"/") => {
            return Err(Error::new(format!("there is no folder `{}`", folder.display()))
                .hint(format!("make it: `mkdir -p {}`", folder.display())));
        }
        Some(file) => file,
    };
    if out == Path::new("-") {
        return Err(Error::usage("a backup goes to a file: it is read back before it counts")
            .hint("name one with --out, or leave that out"));
    }
    let folder = resolved(&out).map_err(|error| {
        Error::new(format!("cannot write `{}`", out.display()))
            .cause(error)
            .hint("name a file in a folder that exists")
    })?;
    if folder.symlink_metadata().is_ok() {
        return Err(already_there(&out));
    }
    Ok(out)
}

fn already_there(out: &Path) -> Error {
    Error::new(format!("`{}` already exists", out.display())).hint(
        "a backup is not written over another: name another file with --out, or move this one away",
    )
}
