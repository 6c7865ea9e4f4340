//! `check-identities`: why an inbox is empty. Follows each person from the
//! sign-in to the messages, and names the first link that is broken.

mod chain;
mod table;

use std::collections::{BTreeSet, HashSet};
use std::process::ExitCode;

use clap::Parser;
use cognito_list_users::pool::{PoolArgs, UserPool};
use ops_common::app::users::{self, Handle};
use ops_common::args::{DynamoArgs, OutputArgs, TableArg, TargetArg, UiArgs};
use ops_common::cli;
use ops_common::dynamodb::table::Table;
use ops_common::env::invocation;
use ops_common::error::{Error, Exit};
use ops_common::postgres::stamp;
use ops_common::postgres::{ConnectionUrl, Db};
use ops_common::text::{count, printable, quoted, units};
use ops_common::ui::{Cells, Column, Ui};
use serde::Serialize;

use chain::{Finding, Found, Link, Person, Stores};
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
    let handle = args.handle.as_ref().map(Handle::as_str);
    if let Some(handle) = handle {
        let mut handles = BTreeSet::from_iter(people.iter().map(|person| person.handle.as_str()));
        handles.extend(users.iter().filter_map(|user| user.handle.as_deref()));
        if !handles.contains(handle) {
            return Err(Error::new(format!(
                "neither the pool nor Postgres has the handle `{handle}`"
            ))
            .hint(users::suggestion(handle, handles.iter().copied())));
        }
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
    if let Some(handle) = handle {
        found.people.retain(|person| person.handle == handle);
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
    } else if handle.is_some() {
        show_chains(&found, ui)
    } else {
        show_broken(&found, ui)
    };
    let verdict = verdict(&found);
    ui.note(format_args!(
        "looked at {}, {} and {}{}; {} read units",
        count(found.people.len(), "person"),
        count(content.groups.len(), "conversation"),
        count(content.items, "item"),
        if verdict.is_ok() { ": nothing is broken" } else { "" },
        units(content.consumed_capacity)
    ));
    for person in found.people.iter().filter(|_| handle.is_some()) {
        if person.broken.is_none() && person.conversations == 0 {
            ui.note(format_args!(
                "the inbox of `{}` is empty since nobody has written to them: `{}`",
                person.handle,
                invocation(&format!(
                    "ddb-send-message{} --from HANDLE --to {} TEXT",
                    target.as_argument(),
                    person.handle
                ))
            ));
        }
    }
    if !found.newcomers.is_empty() && handle.is_none() {
        ui.note(format_args!(
            "{} of the pool with neither a handle nor a row yet: {}",
            count(found.newcomers.len(), "user"),
            printable(&quoted(found.newcomers.iter().take(NAMED)))
        ));
    }
    // What was found counts more than a reader that went away.
    match verdict {
        Ok(()) => shown,
        Err(error) => Err(error.and_shown(shown)),
    }
}

/// What is broken, each with what fixes it; nothing where all is whole. Where
/// there is no room for that, the error's hints have it.
fn show_broken(found: &Found, ui: &Ui) -> Result<(), Error> {
    let columns = if ui.is_narrow() { 3 } else { 4 };
    let broken = found.people.iter().filter_map(|person| {
        let broken = person.broken.as_ref()?;
        let mut row = vec![
            person.handle.clone(),
            broken.link.name().to_owned(),
            broken.what.clone(),
            broken.fix.clone(),
        ];
        row.truncate(columns);
        Some(row)
    });
    let broken: Vec<_> = broken.collect();
    if !broken.is_empty() {
        let header: [Column<'_>; 4] =
            ["person".into(), "broken at".into(), "because".into(), "fix it with".into()];
        ui.table(&header[..columns], &broken, Cells::Wrapped)?;
        if !found.findings.is_empty() {
            ui.line("")?;
        }
    }
    show_findings(&found.findings, ui)
}

fn show_findings(findings: &[Finding], ui: &Ui) -> Result<(), Error> {
    if findings.is_empty() {
        return Ok(());
    }
    let columns = if ui.is_narrow() { 2 } else { 3 };
    let row = |finding: &Finding| {
        let mut row = vec![finding.kind.to_owned(), finding.what.clone(), finding.fix.clone()];
        row.truncate(columns);
        row
    };
    let rows: Vec<_> = findings.iter().map(row).collect();
    ui.table(
        &["found".into(), "what".into(), "fix it with".into()][..columns],
        &rows,
        Cells::Wrapped,
    )
}

/// The chain of each user with one handle, and what is wrong with their
/// conversations.
fn show_chains(found: &Found, ui: &Ui) -> Result<(), Error> {
    for (index, person) in found.people.iter().enumerate() {
        if index > 0 {
            ui.line("")?;
        }
        show_chain(person, ui)?;
    }
    show_findings(&found.findings, ui)
}

/// One person's chain, link by link, up to the one that is broken.
fn show_chain(person: &Person, ui: &Ui) -> Result<(), Error> {
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "none".to_owned());
    let links = [
        (Link::Sub, or_none(person.sub.clone())),
        (Link::User, or_none(person.user_uuid.map(|uuid| uuid.to_string()))),
        (Link::GroupRows, count(person.conversations, "conversation")),
        (Link::Messages, count(usize::try_from(person.messages).unwrap_or(usize::MAX), "message")),
    ];
    let of = format!("of {}", person.handle);
    let mut rows = Vec::new();
    for (link, found) in links {
        let broken = person.broken.as_ref().filter(|broken| broken.link == link);
        let state = broken.map_or_else(|| "ok".to_owned(), |broken| broken.what.clone());
        rows.push(vec![link.name().to_owned(), found, state]);
        if broken.is_some() {
            break;
        }
    }
    ui.table(&["link".into(), Column::whole("found"), of.as_str().into()], &rows, Cells::Wrapped)
}

/// The error for what is broken, with every way to fix it once.
fn verdict(found: &Found) -> Result<(), Error> {
    let broken =
        || found.people.iter().filter_map(|person| Some((person, person.broken.as_ref()?)));
    let handles: HashSet<&str> = broken().map(|(person, _)| person.handle.as_str()).collect();
    let mut what = Vec::new();
    if !handles.is_empty() {
        what.push(format!("{} with a broken link", count(handles.len(), "person")));
    }
    if !found.findings.is_empty() {
        what.push(format!("{} in the table", count(found.findings.len(), "finding")));
    }
    if what.is_empty() {
        return Ok(());
    }
    let mut error = Error::new(what.join(", and ")).exit(Exit::Partial);
    let fixes = broken().map(|(_, broken)| &broken.fix);
    let mut seen = BTreeSet::new();
    for fix in fixes.chain(found.findings.iter().map(|finding| &finding.fix)) {
        if seen.len() < HINTS && seen.insert(fix) {
            error = error.hint(printable(fix));
        }
    }
    Err(error)
}

/// More fixes than these are in the JSON.
const HINTS: usize = 10;
/// As many users are named.
const NAMED: usize = 10;
