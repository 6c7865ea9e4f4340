//! `check-identities`: why an inbox is empty. Follows each person from the
//! sign-in to the messages, and names the first link that is broken.

mod chain;
mod fix;
mod show;
mod table;

use std::collections::{BTreeSet, HashSet};
use std::process::ExitCode;

use clap::Parser;
use cognito_list_users::pool::{OptionalPoolArgs, User, UserPool};
use ops_common::app::users::{self, Handle, Identity};
use ops_common::args::{ConfirmArgs, DynamoArgs, OutputArgs, TableArg, TargetArg, UiArgs};
use ops_common::cli;
use ops_common::dynamodb::table::Table;
use ops_common::env::invocation;
use ops_common::error::Error;
use ops_common::postgres::stamp;
use ops_common::postgres::{ConnectionUrl, Db};
use ops_common::text::{count, units};
use ops_common::ui::Ui;
use serde::Serialize;

use chain::{Finding, Found, Person, Step, Stores};
use fix::Fixer;
use table::Content;

/// Find where the chain from sign-in to messages is broken
///
/// A person is a user of the Cognito pool (`sub`), a row of Postgres
/// (`users.uuid`), rows of conversations in DynamoDB (`GRP#<users.uuid>`), and
/// their messages. For each person the first broken link is named with what
/// fixes it, and what belongs to nobody, has old names, or is at a key where the app
/// never looks. Without --fix nothing is changed. The whole table is read, also for
/// one person. Exit code 3 where something is broken.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples:
  check-identities
  check-identities --handle bayko       the chain of one person, link by link
  check-identities --fix                does what it proposes, and looks again
  check-identities prod --output json | jq '.people[] | select(.broken)'"
)]
struct Args {
    #[command(flatten)]
    target: TargetArg,

    /// Only this person
    #[arg(long, value_name = "HANDLE")]
    handle: Option<Handle>,

    /// Do what fixes it, where a tool can: one step after the other, each asked for
    /// in `prod`; what is left is told. Then look again
    #[arg(long)]
    fix: bool,

    #[command(flatten)]
    pool: OptionalPoolArgs,
    #[command(flatten)]
    table: TableArg,
    #[command(flatten)]
    dynamo: DynamoArgs,
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
    user_pool_id: Option<&'a str>,
    database: &'a str,
    table: &'a str,
    people: &'a [Person],
    /// of one person's conversations, where one is looked at
    findings: &'a [Finding],
    /// what --fix did
    #[serde(skip_serializing_if = "Option::is_none")]
    fixed: Option<Vec<String>>,
    items: usize,
    consumed_capacity: f64,
}

async fn run(args: Args, ui: &Ui) -> Result<(), Error> {
    let target = args.target.target;
    let url = ConnectionUrl::from_env(target)?;
    let table_name = args.table.name();
    if args.fix {
        fix::check_consent(target, &table_name, url.database(), &args.consent)?;
    }
    url.announce(ui);
    let table = Table::connect(target, &args.dynamo, table_name, ui).await?;
    let pool = args.pool.connect(args.dynamo.profile.as_deref(), target, ui).await?;
    let places = Places { url: &url, table: &table, pool: pool.as_ref() };

    let mut looked = places.look(args.handle.as_ref(), ui).await?;
    let fixed = if args.fix {
        let mut fixer = Fixer::new(&places, &args.consent, ui);
        while fixer.fix(&looked).await? {
            looked = places.look(args.handle.as_ref(), ui).await?;
        }
        Some(fixer.fixed)
    } else {
        None
    };
    let (found, content) = (&looked.found, &looked.content);

    let fixed_count = fixed.as_ref().map(Vec::len);
    let shown = if args.output.json() {
        let report = Report {
            user_pool_id: pool.as_ref().map(UserPool::id),
            database: url.database(),
            table: table.name(),
            people: &found.people,
            findings: &found.findings,
            fixed,
            items: content.items,
            consumed_capacity: content.consumed_capacity,
        };
        ui.report(target, &report)
    } else if args.handle.is_some() {
        show::chains(found, pool.is_some(), ui)
    } else {
        show::broken(found, ui)
    };
    let verdict = show::verdict(found);
    ui.note(format_args!(
        "{}looked at {}, {} and {}{}; {} read units",
        fixed_count.map_or(String::new(), |fixed| format!("{} done; ", count(fixed, "step"))),
        count(found.people.len(), "person"),
        count(content.groups.len(), "conversation"),
        count(content.items, "item"),
        if verdict.is_ok() { ": nothing is broken" } else { "" },
        units(content.consumed_capacity)
    ));
    match &args.handle {
        Some(_) => show::empty_inboxes(found, target, ui),
        None => show::newcomers(found, ui),
    }
    // What was found counts more than a reader that went away.
    match verdict {
        Ok(()) => shown,
        Err(error) if args.fix || looked.steps.is_empty() => Err(error.and_shown(shown)),
        Err(error) => {
            let without = if args.pool.without_cognito { " --without-cognito" } else { "" };
            let call = invocation(&format!(
                "check-identities{}{}{without} --fix",
                target.as_argument(),
                table.as_option()
            ));
            Err(error.hint(format!("`{call}` does what a tool can do of it")).and_shown(shown))
        }
    }
}

/// The three stores, as they are reached.
struct Places<'a> {
    url: &'a ConnectionUrl,
    table: &'a Table,
    pool: Option<&'a UserPool>,
}

/// What they had when they were read.
struct Looked {
    people: Vec<Identity>,
    content: Content,
    found: Found,
    /// what --fix can do
    steps: BTreeSet<Step>,
}

impl Places<'_> {
    /// Reads all of them. With a handle only that person is told of.
    async fn look(&self, handle: Option<&Handle>, ui: &Ui) -> Result<Looked, Error> {
        let (url, table) = (self.url, self.table);
        let postgres = Db::connect(url, ui).await?;
        stamp::of_this_environment(&postgres, url).await?;
        let mut people = users::identities(&postgres).await?;
        let users = match self.pool {
            Some(pool) => Some(pool.users(ui).await?),
            None => None,
        };
        if let Some(handle) = handle {
            refuse_unknown(handle, &people, users.as_deref().unwrap_or_default())?;
        }
        let known = people.iter().map(|person| (person.uuid, person)).collect();
        let mut content = Content::read(table, &known, ui).await?;
        if !content.strangers.is_empty() {
            // Somebody may have signed up while the table was read.
            people = users::identities(&postgres).await?;
            content.strangers.retain(|uuid, _| people.iter().all(|person| person.uuid != *uuid));
        }
        let stores = Stores {
            target: url.target(),
            pool_id: self.pool.map_or("", UserPool::id),
            pool: users.as_deref(),
            people: &people,
            table: &content,
            table_name: table.name(),
            aws_cli_options: table.db().aws_cli_options(),
        };
        let mut found = stores.examine();
        if let Some(handle) = handle {
            // A person whom Postgres calls so may have another handle in the pool.
            let row = people.iter().find(|row| row.handle == handle.as_str());
            let sub = row.and_then(|row| row.cognito_user_id.as_ref());
            found.people.retain(|person| {
                person.handle == handle.as_str() || sub.is_some() && person.sub.as_ref() == sub
            });
            let of_them: HashSet<_> = found
                .people
                .iter()
                .flat_map(|person| person.groups.iter().copied().chain(person.user_uuid))
                .chain(row.map(|row| row.uuid))
                .collect();
            found
                .findings
                .retain(|finding| finding.uuid.is_some_and(|uuid| of_them.contains(&uuid)));
        }
        let broken = found.people.iter().filter_map(|person| person.broken.as_ref()?.step.clone());
        let findings = found.findings.iter().filter_map(|finding| finding.step.clone());
        let mut steps: BTreeSet<Step> = broken.chain(findings).collect();
        if handle.is_none() {
            steps.extend(content.misspelled.iter().cloned().map(|row| Step::Key(Box::new(row))));
        }
        Ok(Looked { people, content, found, steps })
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
