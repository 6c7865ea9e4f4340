//! `cognito-list-users`: the users of a Cognito user pool, all of them.

pub mod pool;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::builder::NonEmptyStringValueParser;
use clap::{Parser, ValueEnum};
use ops_common::app::keys::SortTime;
use ops_common::app::times::Times;
use ops_common::args::UiArgs;
use ops_common::cli;
use ops_common::error::{Error, Exit};
use ops_common::text::{count, printable, quoted};
use ops_common::ui::{Cells, Column, Ui};
use serde::Serialize;

use pool::{ByHandle, PoolArgs, ProfileArg, User, UserPool};

/// List the users of a Cognito user pool, from every page
///
/// The pool is the app's real one in development too, so there is no target.
/// AWS's own credentials and profiles are used; of the endpoint variables only
/// AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER is looked at. Nothing is changed.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples:
  cognito-list-users --user-pool-id us-east-1_AbCdEfGhI
  cognito-list-users --filter 'email ^= \"a\"' --long
  cognito-list-users --output map | jq -r '.\"jess-bk\"'"
)]
struct Args {
    /// Only users that match: one attribute, `=` or `^=` (starts with), a text
    /// in double quotes
    #[arg(long, value_name = "FILTER", value_parser = NonEmptyStringValueParser::new())]
    filter: Option<String>,

    /// At most this many users
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,

    /// Show e-mail address, enabled, created and last modified too
    #[arg(long)]
    long: bool,

    /// Form of the result on stdout: table, json (every attribute), jsonl (one
    /// user a line) or map (handle to sub)
    #[arg(long, value_enum, default_value_t = Output::Table, value_name = "FORMAT", hide_possible_values = true)]
    output: Output,

    #[command(flatten)]
    pool: PoolArgs,
    #[command(flatten)]
    profile: ProfileArg,
    #[command(flatten)]
    ui: UiArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// for people
    Table,
    /// one document
    Json,
    /// one user a line, as the pages come
    Jsonl,
    /// one object, handle to sub
    Map,
}

/// The tool's entry point.
#[must_use]
pub fn main() -> ExitCode {
    cli::main(|args: &Args| &args.ui, run)
}

#[derive(Serialize)]
struct Report<'a> {
    user_pool_id: &'a str,
    users: Vec<User>,
}

async fn run(args: Args, ui: &Ui) -> Result<(), Error> {
    let pool = UserPool::connect(&args.pool, args.profile.profile.as_deref(), None, ui).await?;
    pool.announce(ui);
    let limit = args.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let mut listing = pool.list(args.filter.as_deref(), ui);
    let mut users = Vec::new();
    let (mut listed, mut without_handle, mut more) = (0, 0, false);
    // One more than asked for tells whether there are more.
    while !more && let Some(mut page) = listing.next((limit - listed).saturating_add(1)).await? {
        more = page.len() > limit - listed;
        page.truncate(limit - listed);
        listed += page.len();
        without_handle += page.iter().filter(|user| user.handle.is_none()).count();
        if args.output == Output::Jsonl {
            write_jsonl(&page, ui).map_err(Error::stdout)?;
        } else {
            users.extend(page);
        }
    }
    drop(listing);
    let mut ambiguous = Ok(());
    match args.output {
        Output::Table if users.is_empty() => {}
        Output::Table => show_table(&users, args.long, ui)?,
        Output::Json => ui.json(&Report { user_pool_id: pool.id(), users })?,
        Output::Jsonl => {}
        Output::Map => ambiguous = show_map(&users, ui)?,
    }
    let without = match without_handle {
        0 => String::new(),
        number => format!(", {number} of them without `preferred_username`"),
    };
    ui.note(format_args!("{}{without}", count(listed, "user")));
    if more {
        ui.note("more exist: the listing was cut by --limit");
    }
    ambiguous
}

fn write_jsonl(users: &[User], ui: &Ui) -> io::Result<()> {
    let mut out = ui.stdout();
    for user in users {
        serde_json::to_writer(&mut out, user)?;
        out.write_all(b"\n")?;
    }
    out.flush()
}

fn show_table(users: &[User], long: bool, ui: &Ui) -> Result<(), Error> {
    let time = |text: &Option<String>| -> Option<SortTime> { text.as_deref()?.parse().ok() };
    let all = users.iter().flat_map(|user| [time(&user.created_at), time(&user.modified_at)]);
    let times = Times::of(all.flatten().map(|time| time.time()), ui);
    let cell =
        |text: &Option<String>| time(text).map_or_else(String::new, |time| times.cell(time.time()));
    let row = |user: &User| {
        let handle = user.handle.clone().unwrap_or_else(|| "(none)".to_owned());
        let mut row = vec![handle, user.sub.clone(), user.status.clone()];
        if long {
            row.extend([
                user.attributes.get("email").cloned().unwrap_or_default(),
                if user.enabled { "yes" } else { "no" }.to_owned(),
                cell(&user.created_at),
                cell(&user.modified_at),
            ]);
        }
        row
    };
    let rows: Vec<Vec<String>> = users.iter().map(row).collect();
    let (created, modified) = (times.header("created"), times.header("modified"));
    let header = [
        "handle".into(),
        Column::whole("sub"),
        Column::whole("status"),
        "email".into(),
        "enabled".into(),
        Column::whole(&created),
        Column::whole(&modified),
    ];
    ui.table(if long { &header } else { &header[..3] }, &rows, Cells::Cut)
}

/// Prints the handles that one user has. The inner result is the error for what
/// had to be left out.
fn show_map(users: &[User], ui: &Ui) -> Result<Result<(), Error>, Error> {
    let by_handle = ByHandle::of(users);
    for user in &by_handle.without_handle {
        // Where people sign in with their e-mail address, that is the username.
        let username = match user.username.contains('@') {
            true => "of an e-mail address".to_owned(),
            false => format!("`{}`", printable(&user.username)),
        };
        ui.warn(format_args!(
            "the user {username} (sub {}) has no `preferred_username`",
            printable(&user.sub)
        ));
    }
    for (handle, subs) in &by_handle.duplicates {
        ui.warn(format_args!(
            "the handle `{}` is there {} times: subs {}",
            printable(handle),
            subs.len(),
            quoted(subs)
        ));
    }
    ui.json(&by_handle.subs)?;
    let left_out =
        by_handle.without_handle.len() + by_handle.duplicates.values().map(Vec::len).sum::<usize>();
    if left_out == 0 {
        return Ok(Ok(()));
    }
    Ok(Err(Error::new(format!(
        "{} left out of the map: a handle has to be there, and once",
        count(left_out, "user")
    ))
    .hint("give each user a `preferred_username` of its own, in the console or with `aws cognito-idp admin-update-user-attributes`")
    .exit(Exit::Partial)))
}
