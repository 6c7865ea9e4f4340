//! `ddb-erase-person`: erases what is held of one person, and nothing of anybody else's.

mod account;
mod sweep;

use std::process::ExitCode;

use chrono::{SecondsFormat, Utc};
use clap::Parser;
use cognito_list_users::pool::{OptionalPoolArgs, User, UserPool};
use ops_common::app::users::{self, Handle};
use ops_common::args::{
    ConfirmArgs, DynamoArgs, OutputArgs, TableArg, UiArgs, seconds, take_target, units_a_second,
};
use ops_common::cli;
use ops_common::consent::{self, Change, Effect, Kind, Place};
use ops_common::dynamodb::capacity::{Bucket, Units, limit};
use ops_common::dynamodb::table::Table;
use ops_common::env::invocation;
use ops_common::error::{Error, Exit};
use ops_common::postgres::stamp::{self, Seen};
use ops_common::postgres::{ConnectionUrl, Db};
use ops_common::target::Target;
use ops_common::text::{count, printable, units};
use ops_common::ui::Ui;
use serde::Serialize;
use uuid::Uuid;

use account::{Account, How};
use sweep::{Counts, Eraser, Messages, pass};

/// As often the table is read until a pass finds nothing: people write meanwhile.
const PASSES: usize = 5;

/// Erase what is held of one person
///
/// Shows what would go, asks for the handle, and erases: messages, inbox rows, the
/// account in Postgres. Everybody else's inbox goes on listing what it did, with
/// nobody in the person's place. At the end the table is read once more, and has to
/// have nothing of them. Killed or failed, the same command goes on. The user of the
/// pool is only named, unless --cognito is given.
#[derive(Debug, Parser)]
#[command(
    version,
    override_usage = "ddb-erase-person [OPTIONS] [TARGET] <HANDLE>",
    after_help = "Examples:
  ddb-erase-person bayko --dry-run           what would go
  ddb-erase-person bayko --messages delete
  ddb-erase-person prod bayko --confirm bayko --output json > receipt.json"
)]
struct Args {
    /// Where to act: local (services on this machine) or prod (the real account
    /// and the production database) [default: local]
    #[arg(value_name = "TARGET")]
    first: Option<String>,

    /// The person's handle (required), or where the account is erased already their
    /// uuid
    #[arg(value_name = "HANDLE")]
    second: Option<String>,

    /// What becomes of their messages: redact (they stay, without text and names) or
    /// delete
    #[arg(long, value_enum, default_value_t = Messages::Redact, value_name = "HOW", hide_possible_values = true)]
    messages: Messages,

    /// What becomes of their row in Postgres: delete (with their activities) or empty
    /// (it stays, with nothing that tells who it was)
    #[arg(long, value_enum, default_value_t = How::Delete, value_name = "HOW", hide_possible_values = true)]
    account: How,

    /// Delete their user of the pool too
    #[arg(long, conflicts_with = "without_cognito")]
    cognito: bool,

    /// Show what would go, and change nothing
    #[arg(long)]
    dry_run: bool,

    /// Read units a second, at most [default: in `prod` half of what the table
    /// has; else no limit]
    #[arg(long, value_name = "N", value_parser = units_a_second, allow_negative_numbers = true)]
    max_rcu: Option<f64>,

    /// Write units a second, at most [default: as with --max-rcu]
    #[arg(long, value_name = "N", value_parser = units_a_second, allow_negative_numbers = true)]
    max_wcu: Option<f64>,

    /// Seconds without progress after which a throttled table is given up
    #[arg(long, value_name = "SECS", default_value_t = 60, value_parser = seconds())]
    give_up_after: u64,

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

/// What was done, or would be.
#[derive(Serialize)]
struct Receipt<'a> {
    person: Whom<'a>,
    /// whether it is done, or would be
    erased: bool,
    table: &'a str,
    messages: Messages,
    rows: &'a Counts,
    database: &'a str,
    /// none where there is no account any more
    account: Option<How>,
    activities: i64,
    user_of_the_pool: Option<PoolUser>,
    /// whether a last reading of the table found nothing of them
    verified: bool,
    /// RFC 3339, UTC
    at: String,
    consumed_capacity: f64,
}

#[derive(Serialize)]
struct Whom<'a> {
    uuid: Uuid,
    handle: Option<&'a str>,
}

#[derive(Serialize)]
struct PoolUser {
    username: String,
    deleted: bool,
}

async fn run(args: Args, ui: &Ui) -> Result<(), Error> {
    let (target, words) = take_target(&[&args.first, &args.second], 1)?;
    let Some(named) = words.first().copied() else {
        return Err(Error::usage("no HANDLE is named")
            .hint(format!("`{}`", invocation("ddb-erase-person bayko --dry-run"))));
    };
    let named: Handle = named.parse().map_err(|why: &str| Error::usage(why))?;
    let effect = if args.dry_run { Effect::Nothing } else { Effect::Destroys };
    let change = Change { target, kind: Kind::Person, name: named.as_str(), what: "", effect };
    consent::check(&change, effect, &args.consent)?;
    let url = ConnectionUrl::from_env(target)?;
    url.refuse_several_servers()?;
    url.announce(ui);
    let table = Table::connect(target, &args.dynamo, args.table.name(), ui).await?;
    let pool = args.pool.connect(args.dynamo.profile.as_deref(), target, ui).await?;
    let mut db = Db::connect(&url, ui).await?;
    let stamp = stamp::of_this_environment(&db, &url).await?;
    let seen = Seen::of(db.client(), &url).await?;
    let uuid: Option<Uuid> = named.as_str().parse().ok();
    let account = account::read(&db, Some(named.as_str()), uuid).await?;
    let person = match (&account, uuid) {
        (Some(account), _) => account.uuid,
        (None, Some(uuid)) => uuid,
        // It says who may be meant.
        (None, None) => users::of_handles(&db, target, [&named]).await?[0].uuid,
    };
    if person.is_nil() {
        return Err(Error::usage(
            "that is the uuid of nobody: it stands for everybody who is erased",
        )
        .hint("name a person by their handle"));
    }
    let pool_user = pool_user(pool.as_ref(), account.as_ref(), args.cognito, target, ui).await?;
    let handle = account.as_ref().map(|account| account.handle.clone());
    let whom = (person, handle.as_deref());
    let live = table.existing().await?;
    let max_rcu = || limit(args.max_rcu, target, &live, Units::Read, ui);

    let plan = pass(&table, whom, None, max_rcu(), ui).await?;
    let lines = Lines {
        table: &table,
        url: &url,
        args: &args,
        account: account.as_ref(),
        pool: pool.as_ref(),
        pool_user: pool_user.as_ref(),
    };
    let what = lines.what(named.as_str(), &plan.counts);
    if plan.counts.sum() == 0 {
        ui.warn(format_args!(
            "the table `{table}` has no row of theirs; another one is named with --table"
        ));
    }
    let mut counts = plan.counts.clone();
    let mut consumed_capacity = plan.consumed_capacity;
    let mut deleted_user = false;
    if args.dry_run {
        ui.note(&what);
    } else {
        let caller = table.caller(ui).await?;
        let place = Place::of_database(target, stamp.is_some(), caller);
        let pool_id = pool.as_ref().map_or("", UserPool::id);
        let parts = [
            (Kind::Table, table.name()),
            (Kind::Database, url.database()),
            (Kind::UserPool, pool_id),
        ];
        let asked = Change { what: &what, ..change };
        let [of_table, of_database, of_pool] =
            consent::ask_for_all(&asked, parts, place, &args.consent, ui).await?;
        if target == Target::Prod {
            // The question may have waited for long.
            table.refuse_another(&live).await?;
            if account::read(&db, Some(named.as_str()), uuid).await? != account {
                return Err(Error::new(
                    "the account changed while the question waited; nothing is erased",
                )
                .hint("run it again: it shows what there is then"));
            }
        } else if place == Place::Local {
            ui.note(&what);
        }
        let eraser =
            Eraser::new(&table, &of_table, args.messages, args.max_wcu, args.give_up_after, ui)
                .await?;
        counts = Counts::default();
        let erase = async {
            let mut all = Erased { counts: &mut counts, consumed_capacity: &mut consumed_capacity };
            all.rows(&table, whom, &eraser, &max_rcu, ui).await?;
            if let Some(account) = &account {
                account::erase(&mut db, &url, &seen, account, args.account, &of_database, ui)
                    .await?;
            }
            if let (Some(pool), Some(user), true) = (&pool, &pool_user, args.cognito) {
                pool.delete_user(target, &user.username, &of_pool).await?;
                deleted_user = true;
            }
            // What they wrote until then.
            all.rows(&table, (person, None), &eraser, &max_rcu, ui).await
        };
        let again = invocation(&format!(
            "ddb-erase-person{} {person}{}",
            target.as_argument(),
            table.as_option()
        ));
        let hint =
            format!("run the same command again, or where the account is gone already `{again}`");
        cli::until_ctrl_c(erase, &hint).await?;
        if pool_user.is_some() && !deleted_user {
            ui.note(format_args!(
                "who was signed in can write for as long as their token is good: `{again}` erases that"
            ));
        }
    }
    if args.dry_run {
        refuse_unknown_rows(&plan.unknown, &table)?;
    }
    if args.output.json() {
        let receipt = Receipt {
            person: Whom {
                uuid: person,
                handle: account.as_ref().map(|account| account.handle.as_str()),
            },
            erased: !args.dry_run,
            table: table.name(),
            messages: args.messages,
            rows: &counts,
            database: url.database(),
            account: account.as_ref().map(|_| args.account),
            activities: account.as_ref().map_or(0, |account| account.activities),
            user_of_the_pool: pool_user
                .as_ref()
                .map(|user| PoolUser { username: user.username.clone(), deleted: deleted_user }),
            verified: !args.dry_run,
            at: Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true),
            consumed_capacity,
        };
        ui.report(target, &receipt)?;
    } else if !args.dry_run {
        ui.sentence(format_args!(
            "erased: {} of the table, which was read again and has nothing of them",
            rows(counts.sum())
        ))?;
    }
    if !args.dry_run && !deleted_user {
        lines.say_user(ui);
    }
    ui.note(format_args!("{} capacity units", units(consumed_capacity)));
    Ok(())
}

/// What was erased so far.
struct Erased<'a> {
    counts: &'a mut Counts,
    consumed_capacity: &'a mut f64,
}

impl Erased<'_> {
    /// Reads and erases until a reading finds nothing.
    async fn rows(
        &mut self,
        table: &Table,
        whom: (Uuid, Option<&str>),
        eraser: &Eraser<'_>,
        max_rcu: &impl Fn() -> Option<Bucket>,
        ui: &Ui,
    ) -> Result<(), Error> {
        for _ in 0..PASSES {
            let met = pass(table, whom, Some(eraser), max_rcu(), ui).await?;
            *self.consumed_capacity += met.consumed_capacity;
            if met.counts.sum() == 0 {
                return refuse_unknown_rows(&met.unknown, table);
            }
            self.counts.add(&met.counts);
        }
        Err(Error::new(
            "the table still has rows that name them: somebody writes with their account",
        )
        .hint("delete or disable their user of the pool first, then run it again")
        .exit(Exit::Partial))
    }
}

fn rows(number: u64) -> String {
    count(number, "row")
}

/// The user of the pool whom the account signs in as. One who is somebody else by the
/// handle is not theirs. `to_delete`: there has to be one.
async fn pool_user(
    pool: Option<&UserPool>,
    account: Option<&Account>,
    to_delete: bool,
    target: Target,
    ui: &Ui,
) -> Result<Option<User>, Error> {
    let (Some(pool), Some(account)) = (pool, account) else { return Ok(None) };
    let users = pool.users(ui).await?;
    let found = users.into_iter().find(|user| Some(&user.sub) == account.cognito_user_id.as_ref());
    let is_theirs =
        |user: &User| user.handle.as_ref().is_none_or(|handle| *handle == account.handle);
    let why = match found {
        Some(user) if is_theirs(&user) => return Ok(Some(user)),
        Some(user) => format!(
            "the user `{}`, whose sub the account has, has the handle `{}`",
            user.username,
            user.handle.unwrap_or_default()
        ),
        None => format!(
            "nobody there has the sub `{}`, which the account has",
            account.cognito_user_id.as_deref().unwrap_or_default()
        ),
    };
    if to_delete {
        let call = |tool: &str| invocation(&format!("{tool}{}", target.as_argument()));
        return Err(Error::new("no user of the pool is surely theirs; nothing is erased")
            .cause(why)
            .hint(format!(
                "`{}` carries the right ids over, `{}` says what is broken",
                call("update-cognito-user-ids"),
                call("check-identities")
            )));
    }
    ui.warn(format_args!("no user of the pool is surely theirs: {why}"));
    Ok(None)
}

fn refuse_unknown_rows(unknown: &[String], table: &Table) -> Result<(), Error> {
    if unknown.is_empty() {
        return Ok(());
    }
    let keys = unknown.iter().map(|key| printable(key));
    let error = Error::new(format!(
        "{} of the table `{table}` {}",
        count(unknown.len(), "row"),
        match unknown.len() {
            1 => "names them, and is of no kind that the app writes",
            _ => "name them, and are of no kind that the app writes",
        }
    ));
    Err(keys
        .fold(error, Error::cause)
        .hint("look at each with `ddb-item get`, change or delete it, and run this again")
        .exit(Exit::Partial))
}

/// What is said of it.
struct Lines<'a> {
    table: &'a Table,
    url: &'a ConnectionUrl,
    args: &'a Args,
    account: Option<&'a Account>,
    pool: Option<&'a UserPool>,
    pool_user: Option<&'a User>,
}

impl Lines<'_> {
    fn what(&self, named: &str, counts: &Counts) -> String {
        let messages = match self.args.messages {
            Messages::Redact => "messages lose their text and names",
            Messages::Delete => "messages are deleted",
        };
        let mut lines = vec![
            format!("{}: this erases `{}`.", self.table.db().place(), printable(named)),
            format!("In the table `{}`:", self.table),
            format!("  {} {messages}", counts.messages),
            format!(
                "  {} of their inbox and {} of pairs are deleted",
                rows(counts.own_inbox_rows),
                counts.pair_rows
            ),
            format!(
                "  {} of other people's inboxes name nobody in their place",
                rows(counts.other_inbox_rows)
            ),
        ];
        if let Some(account) = self.account {
            let activities = count(usize::try_from(account.activities).unwrap_or(0), "activity");
            lines.push(format!("In Postgres (`{}`):", self.url));
            lines.push(match self.args.account {
                How::Delete => format!("  the account and {activities} are deleted"),
                How::Empty => format!("  the account and {activities} are emptied"),
            });
        }
        if let Some(user) = self.pool_user {
            lines.push("In the user pool:".to_owned());
            let username = printable(&user.username);
            lines.push(if self.args.cognito {
                format!("  the user `{username}` is deleted")
            } else {
                format!("  the user `{username}` stays; --cognito deletes it")
            });
        }
        lines.push("It cannot be undone.".to_owned());
        lines.join("\n")
    }

    fn say_user(&self, ui: &Ui) {
        if let (Some(pool), Some(user)) = (self.pool, self.pool_user) {
            ui.warn(format_args!(
                "the user `{}` of the pool is still there, and can sign in",
                user.username
            ));
            ui.paste(format_args!(
                "aws cognito-idp admin-delete-user --user-pool-id {} --username '{}'",
                pool.id(),
                user.username.replace('\'', r"'\''")
            ));
        }
    }
}
