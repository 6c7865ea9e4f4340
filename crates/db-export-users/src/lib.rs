//! `db-export-users`: the rows of `users` as SQL, with made-up people: those that
//! `ddb-export --pseudonymize` makes with the same key.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use chrono::{DateTime, Utc};
use clap::Parser;
use ops_common::app::pseudonym::Pseudonyms;
use ops_common::app::users;
use ops_common::args::{TargetArg, UiArgs};
use ops_common::cli;
use ops_common::error::Error;
use ops_common::files::write_private;
use ops_common::postgres::{ConnectionUrl, Db, stamp};
use ops_common::text::count;
use ops_common::ui::Ui;
use uuid::Uuid;

/// Write the users of Postgres as SQL, without the people
///
/// One INSERT for each row of `users`, with a made-up handle, name, e-mail, uuid and
/// Cognito id: those that `ddb-export --pseudonymize` gives to the same person with
/// the same key. Only the time of creation is kept. `db-setup --seed FILE` loads it.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples:
  db-export-users prod --pseudonymize names.key --out users.sql
  db-setup --seed users.sql"
)]
struct Args {
    #[command(flatten)]
    target: TargetArg,

    /// File of the key, which only you can read; made where there is none
    #[arg(long, value_name = "KEYFILE")]
    pseudonymize: PathBuf,

    /// File for the SQL; `-`: standard output
    #[arg(long, value_name = "FILE", default_value = "-")]
    out: PathBuf,

    #[command(flatten)]
    ui: UiArgs,
}

/// The tool's entry point.
#[must_use]
pub fn main() -> ExitCode {
    cli::main(|args: &Args| &args.ui, run)
}

async fn run(args: Args, ui: &Ui) -> Result<(), Error> {
    let pseudonyms = Pseudonyms::from_file(&args.pseudonymize)?;
    let url = ConnectionUrl::from_env(args.target.target)?;
    url.announce(ui);
    let db = Db::connect(&url, ui).await?;
    stamp::of_this_environment(&db, &url).await?;
    let rows =
        db.query("list users", "SELECT uuid, created_at FROM users ORDER BY uuid", &[]).await?;
    let mut inserts = Vec::with_capacity(rows.len());
    for row in &rows {
        let uuid: Uuid = users::column(row, "uuid")?;
        let created_at: DateTime<Utc> = users::column(row, "created_at")?;
        inserts.push(insert(&pseudonyms, uuid, created_at));
    }
    // In the order of the made-up uuids, which says nothing of the others'.
    inserts.sort();
    let sql = inserts.concat();
    if args.out == Path::new("-") {
        let mut out = ui.stdout();
        out.write_all(sql.as_bytes()).and_then(|()| out.flush()).map_err(Error::stdout)?;
    } else {
        write_private(&args.out, |file| file.write_all(sql.as_bytes()))?;
    }
    ui.note(format_args!("{} written", count(rows.len(), "user")));
    Ok(())
}

/// Nothing in it can end a literal: made-up words are letters, digits and `-`.
fn insert(pseudonyms: &Pseudonyms, uuid: Uuid, created_at: DateTime<Utc>) -> String {
    let person = pseudonyms.person(uuid);
    format!(
        "INSERT INTO users (uuid, display_name, handle, email, cognito_user_id, created_at) VALUES ('{}', '{}', '{handle}', '{handle}@example.invalid', 'MOCK-{handle}', '{}') ON CONFLICT DO NOTHING;\n",
        person.uuid,
        person.display_name,
        created_at.to_rfc3339(),
        handle = person.handle,
    )
}
