//! `ddb-export-person`: everything that the three stores hold of one person, as one
//! document: the answer to a request for one's data.

mod document;
mod find;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use cognito_list_users::pool::{OptionalPoolArgs, User, UserPool};
use ops_common::app::records::Person;
use ops_common::app::users::{self, Handle};
use ops_common::args::{DynamoArgs, TableArg, UiArgs, take_target};
use ops_common::cli;
use ops_common::dynamodb::table::Table;
use ops_common::env::invocation;
use ops_common::error::Error;
use ops_common::files::{refuse_same_file, write_private};
use ops_common::postgres::{ConnectionUrl, Db, stamp};
use ops_common::text::{count, units};
use ops_common::ui::Ui;
use serde_json::value::RawValue;

use document::{Document, csv};
use find::Found;

/// Write down everything that is held of one person
///
/// One JSON document (docs/person.schema.json): the account and its activities in
/// Postgres, the user of the Cognito pool, inbox rows, messages, and every other row
/// of the table that names them. What other people wrote is left out, unless --others
/// is given. The whole table is read; nothing is changed.
#[derive(Debug, Parser)]
#[command(
    version,
    override_usage = "ddb-export-person [OPTIONS] [TARGET] <HANDLE>",
    after_help = "Examples:
  ddb-export-person bayko --out bayko.json --csv bayko.csv
  ddb-export-person prod bayko --others | jq '.conversations[].messages | length'"
)]
struct Args {
    /// Where to act: local (services on this machine) or prod (the real account
    /// and the production database) [default: local]
    #[arg(value_name = "TARGET")]
    first: Option<String>,

    /// The person's handle (required)
    #[arg(value_name = "HANDLE")]
    second: Option<String>,

    /// File for the document, which only you can read; `-`: standard output
    #[arg(long, value_name = "FILE", default_value = "-")]
    out: PathBuf,

    /// File for the messages as CSV, for people
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,

    /// With what the other people of their conversations wrote
    #[arg(long)]
    others: bool,

    #[command(flatten)]
    pool: OptionalPoolArgs,
    #[command(flatten)]
    table: TableArg,
    #[command(flatten)]
    dynamo: DynamoArgs,
    #[command(flatten)]
    ui: UiArgs,
}

/// The tool's entry point.
#[must_use]
pub fn main() -> ExitCode {
    cli::main(|args: &Args| &args.ui, run)
}

async fn run(args: Args, ui: &Ui) -> Result<(), Error> {
    let (target, words) = take_target(&[&args.first, &args.second], 1)?;
    let Some(handle) = words.first() else {
        return Err(Error::usage("no HANDLE is named")
            .hint(format!("`{}`", invocation("ddb-export-person bayko --out bayko.json"))));
    };
    let handle: Handle = handle.parse().map_err(|why: &str| Error::usage(why))?;
    if let Some(csv) = &args.csv {
        if csv == Path::new("-") {
            return Err(Error::usage("--csv takes a file, and not standard output")
                .hint("name one: --csv messages.csv"));
        }
        refuse_same_file(&[("--out", &args.out), ("--csv", csv)])?;
    }
    let url = ConnectionUrl::from_env(target)?;
    url.announce(ui);
    let table = Table::connect(target, &args.dynamo, args.table.name(), ui).await?;
    let pool = args.pool.connect(args.dynamo.profile.as_deref(), target, ui).await?;
    let [person] = users::look_up(&url, [&handle], ui).await?;
    let account = Account::read(&url, &person, ui).await?;
    let sign_in = match &pool {
        Some(pool) => sign_in(pool, &account, ui).await?,
        None => None,
    };
    let found = Found::read(&table, &person, args.others, ui).await?;

    let document =
        Document::new(target, &person, account, pool.is_some(), sign_in, &found, args.others);
    if let Some(path) = &args.csv {
        write_private(path, |file| csv(&document, file))?;
    }
    if args.out == Path::new("-") {
        ui.json(&document)?;
    } else {
        write_private(&args.out, |file| {
            serde_json::to_writer_pretty(&mut *file, &document)?;
            writeln!(file)
        })?;
    }
    ui.note(format_args!(
        "{} of {}, {}, {}, {}; {} read units",
        count(document.own_messages(), "message"),
        count(document.conversations.len(), "conversation"),
        count(document.activities.len(), "activity"),
        count(document.other_rows.len(), "other row"),
        if document.sign_in.is_some() { "1 user of the pool" } else { "no user of the pool" },
        units(found.consumed_capacity)
    ));
    Ok(())
}

/// What Postgres holds, as it holds it: columns that are not the app's too.
struct Account {
    row: Box<RawValue>,
    cognito_user_id: Option<String>,
    activities: Vec<Box<RawValue>>,
}

impl Account {
    async fn read(url: &ConnectionUrl, person: &Person, ui: &Ui) -> Result<Self, Error> {
        let db = Db::connect(url, ui).await?;
        stamp::of_this_environment(&db, url).await?;
        let sql = "SELECT to_jsonb(users)::text AS row, cognito_user_id FROM users WHERE uuid = $1";
        let rows = db.query("read the account", sql, &[&person.uuid]).await?;
        let row = rows
            .first()
            .ok_or_else(|| Error::new("the account is deleted meanwhile").hint("run it again"))?;
        let sql = "SELECT to_jsonb(activities)::text AS row FROM activities WHERE user_uuid = $1 ORDER BY created_at, uuid";
        let activities = db.query("read the activities", sql, &[&person.uuid]).await?;
        Ok(Self {
            row: raw(users::column(row, "row")?)?,
            cognito_user_id: users::column(row, "cognito_user_id")?,
            activities: activities
                .iter()
                .map(|row| raw(users::column(row, "row")?))
                .collect::<Result<_, _>>()?,
        })
    }
}

fn raw(text: String) -> Result<Box<RawValue>, Error> {
    RawValue::from_string(text)
        .map_err(|error| Error::new("Postgres sent what is no JSON").cause(error))
}

/// The user of the pool whom the account signs in as.
async fn sign_in(pool: &UserPool, account: &Account, ui: &Ui) -> Result<Option<User>, Error> {
    let Some(sub) = &account.cognito_user_id else { return Ok(None) };
    let users = pool.users(ui).await?;
    Ok(users.into_iter().find(|user| user.sub == *sub))
}
