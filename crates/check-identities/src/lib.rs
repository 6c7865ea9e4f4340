//! `check-identities`: why an inbox is empty. Follows each person from the
//! sign-in to the messages, and names the first link that is broken.

mod chain;
mod show;
mod table;

use std::collections::{BTreeSet, HashSet};
use std::process::ExitCode;

use clap::Parser;
use cognito_list_users::pool::{PoolArgs, User, UserPool};
use ops_common::app::users::{self, Handle, Identity};
use ops_common::args::{DynamoArgs, OutputArgs, TableArg, TargetArg, UiArgs};
use ops_common::cli;
use ops_common::dynamodb::table::Table;
use ops_common::error::Error;
use ops_common::postgres::stamp;
use ops_common::postgres::{ConnectionUrl, Db};
use ops_common::text::{count, units};
use ops_common::ui::Ui;
use serde::Serialize;

use chain::{Finding, Person, Stores};
use table::Content;

/// Find where the chain from sign-in to messages is broken
///
/// A person is a user of the Cognito pool (`sub`), a row of Postgres
/// (`users.uuid`), rows of conversations in DynamoDB (`GRP#<users.uuid>`), and
/// their messages. For each person the first broken link is named with what
/// fixes it, and what belongs to nobody. Nothing is changed. The whole table is
/// read, also for one person. Exit code 3 where something is broken.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples:
  check-identities
  check-identities --handle bayko       the chain of one person, link by link
  check-identities prod --output json | jq '.people[] | select(.broken)'"
)]
struct Args {
    #[command(flatten)]
    target: TargetArg,

    /// Only this person
    #[arg(long, value_name = "HANDLE")]
    handle: Option<Handle>,

    #[command(flatten)]
    pool: PoolArgs,
    #[command(flatten)]
    table: TableArg,
    #[command(flatten)]
    dynamo: DynamoArgs,
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
    target: String,
    user_pool_id: &'a str,
    database: &'a str,
    table: &'a str,
    people: &'a [Person],
    /// of one person's conversations, where one is looked at
    findings: &'a [Finding],
    items: usize,
    consumed_capacity: f64,
}

async fn run(args: Args, ui: &Ui) -> Result<(), Error> {
    let target = args.target.target;
    let url = ConnectionUrl::from_env(target)?;
    url.announce(ui);
    let table = Table::connect(target, &args.dynamo, args.table.name(), ui).await?;
    let pool =
        UserPool::connect(&args.pool, args.dynamo.profile.as_deref(), Some(target), ui).await?;
    pool.announce(ui);

    let postgres = Db::connect(&url, ui).await?;
    stamp::of_this_environment(&postgres, &url).await?;
    let mut people = users::identities(&postgres).await?;
    let users = pool.users(ui).await?;
    if let Some(handle) = &args.handle {
        refuse_unknown(handle, &people, &users)?;
    }
    let known: HashSet<_> = people.iter().map(|person| person.uuid).collect();
    let mut content = Content::read(&table, &known, ui).await?;
    if !content.strangers.is_empty() {
        // Somebody may have signed up while the table was read.
        people = users::identities(&postgres).await?;
        content.strangers.retain(|uuid, _| people.iter().all(|person| person.uuid != *uuid));
    }
    let stores = Stores {
        target,
        pool_id: pool.id(),
        pool: &users,
        people: &people,
        table: &content,
        table_name: table.name(),
        aws_cli_options: table.db().aws_cli_options(),
    };
    let mut found = stores.examine();
    if let Some(handle) = &args.handle {
        // A person whom Postgres calls so may have another handle in the pool.
        let row = people.iter().find(|row| row.handle == handle.as_str());
        let sub = row.and_then(|row| row.cognito_user_id.as_ref());
        found.people.retain(|person| {
            person.handle == handle.as_str() || sub.is_some() && person.sub.as_ref() == sub
        });
        let groups: HashSet<_> =
            found.people.iter().flat_map(|person| &person.groups).copied().collect();
        found.findings.retain(|finding| finding.uuid.is_some_and(|uuid| groups.contains(&uuid)));
    }

    let shown = if args.output.json() {
        ui.json(&Report {
            target: target.to_string(),
            user_pool_id: pool.id(),
            database: url.database(),
            table: table.name(),
            people: &found.people,
            findings: &found.findings,
            items: content.items,
            consumed_capacity: content.consumed_capacity,
        })
    } else if args.handle.is_some() {
        show::chains(&found, ui)
    } else {
        show::broken(&found, ui)
    };
    let verdict = show::verdict(&found);
    ui.note(format_args!(
        "looked at {}, {} and {}{}; {} read units",
        count(found.people.len(), "person"),
        count(content.groups.len(), "conversation"),
        count(content.items, "item"),
        if verdict.is_ok() { ": nothing is broken" } else { "" },
        units(content.consumed_capacity)
    ));
    match &args.handle {
        Some(_) => show::empty_inboxes(&found, target, ui),
        None => show::newcomers(&found, ui),
    }
    // What was found counts more than a reader that went away.
    match verdict {
        Ok(()) => shown,
        Err(error) => Err(error.and_shown(shown)),
    }
}

fn refuse_unknown(handle: &Handle, people: &[Identity], users: &[User]) -> Result<(), Error> {
    let in_postgres = people.iter().map(|person| person.handle.as_str());
    let in_pool = users.iter().filter_map(|user| user.handle.as_deref());
    let handles: BTreeSet<&str> = in_postgres.chain(in_pool).collect();
    if handles.contains(handle.as_str()) {
        return Ok(());
    }
    Err(Error::new(format!("neither the pool nor Postgres has the handle `{handle}`"))
        .hint(users::suggestion(handle.as_str(), handles.iter().copied())))
}
