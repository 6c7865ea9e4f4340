//! `update-cognito-user-ids`: carries the ids of the pool's users into
//! `users.cognito_user_id`. For `db-setup` too.

mod report;

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use cognito_list_users::pool::{ByHandle, PoolArgs, ProfileArg, UserPool};
use ops_common::app::users;
use ops_common::args::{ConfirmArgs, OutputArgs, TargetArg, UiArgs};
use ops_common::cli;
use ops_common::consent::Caller;
use ops_common::consent::{self, Change, Effect, Kind, Permit, Place};
use ops_common::env::invocation;
use ops_common::error::{Error, Exit};
use ops_common::postgres::stamp;
use ops_common::postgres::stamp::Seen;
use ops_common::postgres::{ConnectionUrl, Db, sql_error, trace};
use ops_common::target::Target;
use ops_common::text::{count, printable};
use ops_common::ui::{Cells, Column, Ui};
use serde::Serialize;

use report::{Comparison, Row};

/// Carry the ids of Cognito users into Postgres
///
/// Each user of the pool is matched with the row of `users` that has its
/// `preferred_username` as handle, and `users.cognito_user_id` becomes the
/// user's `sub`: in one transaction, only where it differs. Who is on one side
/// only is told, and is no failure. TARGET chooses the database; the pool is the
/// app's real one in `local` too.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples:
  update-cognito-user-ids --dry-run     what would change
  update-cognito-user-ids --check       exit code 3 where something would
  update-cognito-user-ids prod --yes --output json"
)]
struct Args {
    #[command(flatten)]
    target: TargetArg,

    /// Show what would change, and change nothing
    #[arg(long, conflicts_with = "check")]
    dry_run: bool,

    /// Change nothing, and exit with 3 where an id would change, or a handle of
    /// the pool has no row or is there twice
    #[arg(long)]
    check: bool,

    #[command(flatten)]
    pool: PoolArgs,
    #[command(flatten)]
    profile: ProfileArg,
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

/// What was found and done.
#[derive(Debug, Serialize)]
pub struct Report {
    database: String,
    user_pool_id: String,
    /// whether `updated` is written, or would be
    written: bool,
    #[serde(flatten)]
    found: Comparison,
    seconds: Seconds,
}

#[derive(Debug, Default, Serialize)]
struct Seconds {
    cognito: f64,
    postgres: f64,
}

async fn run(args: Args, ui: &Ui) -> Result<(), Error> {
    let target = args.target.target;
    let only_looks = args.dry_run || args.check;
    let url = ConnectionUrl::from_env(target)?;
    url.refuse_several_servers()?;
    let pool =
        UserPool::connect(&args.pool, args.profile.profile.as_deref(), Some(target), ui).await?;
    let effect = if only_looks { Effect::Nothing } else { Effect::Changes };
    let change = Change { target, kind: Kind::Database, name: url.database(), what: "", effect };
    consent::check(&change, effect, &args.consent)?;
    url.announce(ui);
    pool.announce(ui);
    let report = ask_and_carry_over(&pool, &url, effect, &args.consent, ui).await?;
    let shown =
        if args.output.json() { ui.report(target, &report) } else { show_table(&report, ui) };
    report.tell(ui);
    // What a check found counts, also where the reader went away.
    if args.check && report.found.differs() {
        return Err(check_failed(&report.found, target).and_shown(shown));
    }
    shown
}

/// Compares, asks, and carries over what was agreed to; with [`Effect::Nothing`] it
/// only compares.
///
/// # Errors
/// Where a page of the pool cannot be had, somebody says no, the people change while
/// the question waits, or Postgres refuses: then no row is changed.
pub async fn ask_and_carry_over(
    pool: &UserPool,
    url: &ConnectionUrl,
    effect: Effect,
    consent: &ConfirmArgs,
    ui: &Ui,
) -> Result<Report, Error> {
    let target = url.target();
    let mut db = Db::connect(url, ui).await?;
    let stamp = stamp::of_this_environment(&db, url).await?;
    let seen = Seen::of(db.client(), url).await?;

    let begun = Instant::now();
    let pool_users = pool.users(ui).await?;
    let cognito = begun.elapsed().as_secs_f64();
    let by_handle = ByHandle::of(&pool_users);
    let begun = Instant::now();
    let rows = compare(&db, &by_handle).await?;
    let mut report = Report {
        database: url.database().to_owned(),
        user_pool_id: pool.id().to_owned(),
        written: false,
        found: Comparison::of(&by_handle, rows.clone()),
        seconds: Seconds { cognito, postgres: begun.elapsed().as_secs_f64() },
    };
    if effect == Effect::Nothing {
        return Ok(report);
    }
    if !report.found.updated.is_empty() {
        let what = what_happens(&report, url, stamp.is_some());
        let caller = match target {
            Target::Local => Caller::NoAccount,
            Target::Prod => pool.caller(ui).await?,
        };
        let place = Place::of_database(target, stamp.is_some(), caller);
        let change =
            Change { target, kind: Kind::Database, name: url.database(), what: &what, effect };
        let permit = consent::ask(&change, place, consent, ui).await?;
        let begun = Instant::now();
        // Where nobody was asked nothing was agreed to.
        let agreed = (place != Place::Local).then_some(rows.as_slice());
        let rows = write(&mut db, url, &seen, &by_handle, agreed, &permit, ui).await?;
        report.seconds.postgres += begun.elapsed().as_secs_f64();
        report.found = Comparison::of(&by_handle, rows);
    }
    report.written = true;
    Ok(report)
}

/// Carries the ids over into the database that was seen, with leave to change it. The
/// pool is listed first: nothing is locked meanwhile.
///
/// # Errors
/// Where a page of the pool cannot be had, or Postgres refuses: then no row is
/// changed.
pub async fn carry_over(
    pool: &UserPool,
    url: &ConnectionUrl,
    seen: &Seen,
    permit: &Permit,
    ui: &Ui,
) -> Result<Report, Error> {
    let begun = Instant::now();
    let pool_users = pool.users(ui).await?;
    let cognito = begun.elapsed().as_secs_f64();
    let by_handle = ByHandle::of(&pool_users);
    let begun = Instant::now();
    let mut db = Db::connect(url, ui).await?;
    let rows = write(&mut db, url, seen, &by_handle, None, permit, ui).await?;
    Ok(Report {
        database: url.database().to_owned(),
        user_pool_id: pool.id().to_owned(),
        written: true,
        found: Comparison::of(&by_handle, rows),
        seconds: Seconds { cognito, postgres: begun.elapsed().as_secs_f64() },
    })
}

/// Every person with the id as it is; `new` where the pool's differs.
const COMPARE: &str = "SELECT users.handle, users.cognito_user_id AS old, pool.sub AS new
FROM users LEFT JOIN unnest($1::text[], $2::text[]) AS pool (handle, sub)
  ON pool.handle = users.handle AND pool.sub IS DISTINCT FROM users.cognito_user_id
ORDER BY users.handle";

/// The same, and `new` is written. What is selected beside an update is what was
/// there before it:
/// <https://www.postgresql.org/docs/current/queries-with.html#QUERIES-WITH-MODIFYING>.
const UPDATE: &str = "WITH updated AS (
  UPDATE users SET cognito_user_id = pool.sub
  FROM unnest($1::text[], $2::text[]) AS pool (handle, sub)
  WHERE users.handle = pool.handle AND users.cognito_user_id IS DISTINCT FROM pool.sub
  RETURNING users.handle, users.cognito_user_id
)
SELECT users.handle, users.cognito_user_id AS old, updated.cognito_user_id AS new
FROM users LEFT JOIN updated USING (handle)
ORDER BY users.handle";

/// Two runs that lock rows each in its own order would wait for each other.
const LOCK: &str = "SELECT pg_advisory_xact_lock(hashtext('cruddur_ops.cognito_user_ids'))";

async fn compare(db: &Db, pool: &ByHandle<'_>) -> Result<Vec<Row>, Error> {
    let (handles, subs): (Vec<&str>, Vec<&str>) = pool.subs.iter().unzip();
    let rows = db.query("compare the ids", COMPARE, &[&handles, &subs]).await?;
    rows.iter().map(row).collect()
}

/// Updates the rows that differ, in one transaction. Where a person agreed to
/// certain changes, these are made or none.
async fn write(
    db: &mut Db,
    url: &ConnectionUrl,
    seen: &Seen,
    pool: &ByHandle<'_>,
    agreed: Option<&[Row]>,
    permit: &Permit,
    ui: &Ui,
) -> Result<Vec<Row>, Error> {
    url.check(permit)?;
    let (handles, subs): (Vec<&str>, Vec<&str>) = pool.subs.iter().unzip();
    let title = format!("update the ids in the database `{}`", url.database());
    let failed = |error: tokio_postgres::Error| {
        sql_error(&title, &error).hint("it is one transaction: no row is changed")
    };
    let transaction = db.client_mut().transaction().await.map_err(failed)?;
    trace(ui, "wait for other runs", LOCK, &[]);
    transaction.batch_execute(LOCK).await.map_err(failed)?;
    seen.check(&transaction, url).await?;
    trace(ui, &title, UPDATE, &[&handles, &subs]);
    let rows = transaction.query(UPDATE, &[&handles, &subs]).await.map_err(failed)?;
    let rows: Vec<Row> = rows.iter().map(row).collect::<Result<_, _>>()?;
    if agreed.is_some_and(|agreed| agreed != rows) {
        return Err(Error::new("the people changed while the question waited; nothing is written")
            .hint("run it again: it asks with the changes as they are then"));
    }
    transaction.commit().await.map_err(|error| {
        sql_error("commit the ids", &error)
            .hint(format!("`{}` shows what there is", call(" --dry-run", url.target())))
    })?;
    Ok(rows)
}

fn row(row: &tokio_postgres::Row) -> Result<Row, Error> {
    Ok(Row {
        handle: users::column(row, "handle")?,
        old: users::column(row, "old")?,
        new: users::column(row, "new")?,
    })
}

fn what_happens(report: &Report, url: &ConnectionUrl, stamped: bool) -> String {
    let mut what = format!(
        "{}: this changes the Cognito id of {} to that in the pool {}.",
        url.place(),
        count(report.found.updated.len(), "person"),
        report.user_pool_id
    );
    for change in report.found.updated.iter().take(SHOWN_IN_THE_QUESTION) {
        what.push_str(&format!(
            "\n  {}: {} -> {}",
            printable(&change.handle),
            change.old.as_deref().map_or_else(|| "none".to_owned(), printable),
            printable(&change.new)
        ));
    }
    if let more @ 1.. = report.found.updated.len().saturating_sub(SHOWN_IN_THE_QUESTION) {
        what.push_str(&format!("\n  and {more} more; --dry-run shows all"));
    }
    if !stamped && url.target() == Target::Local {
        what.push_str("\nThe database has no stamp: `db-setup` did not make it, and it may be another machine's.");
    }
    what
}

const SHOWN_IN_THE_QUESTION: usize = 10;

fn show_table(report: &Report, ui: &Ui) -> Result<(), Error> {
    let found = &report.found;
    let did = if report.written { "updated" } else { "would be updated" };
    let line = |cells: [&str; 4]| cells.map(str::to_owned).to_vec();
    let old = |old: &Option<String>| old.clone().unwrap_or_default();
    let mut rows = Vec::new();
    for change in &found.updated {
        rows.push(line([&change.handle, did, &old(&change.old), &change.new]));
    }
    for user in &found.only_in_cognito {
        rows.push(line([&user.handle, "not in Postgres", "", &user.sub]));
    }
    for pair in &found.case_differs {
        let state = format!("not in Postgres, but `{}` is", pair.postgres_handle);
        rows.push(line([&pair.cognito_handle, &state, "", &pair.sub]));
    }
    for duplicate in &found.duplicate_handles {
        for sub in &duplicate.subs {
            rows.push(line([&duplicate.handle, "more than once in Cognito", "", sub]));
        }
    }
    for user in &found.without_handle {
        let state = format!("user `{}` has no handle", user.username);
        rows.push(line(["(none)", &state, "", &user.sub]));
    }
    for row in &found.only_in_postgres {
        rows.push(line([&row.handle, "not in Cognito", &old(&row.cognito_user_id), ""]));
    }
    if rows.is_empty() {
        return Ok(());
    }
    ui.table(
        &["handle".into(), "state".into(), "in Postgres".into(), Column::whole("in Cognito")],
        &rows,
        Cells::Wrapped,
    )
}

impl Report {
    /// How many ids were carried over.
    #[must_use]
    pub fn updated(&self) -> usize {
        self.found.updated.len()
    }

    /// How many were right already.
    #[must_use]
    pub fn unchanged(&self) -> usize {
        self.found.unchanged.len()
    }

    /// Says the counts, and warns of who could not be matched.
    pub fn tell(&self, ui: &Ui) {
        let found = &self.found;
        let did = if self.written { "updated" } else { "would be updated" };
        ui.note(format_args!(
            "{} {did}, {} unchanged",
            count(found.updated.len(), "id"),
            found.unchanged.len()
        ));
        self.warn(ui);
    }

    /// Warns of who could not be matched, a line for each kind.
    pub fn warn(&self, ui: &Ui) {
        let found = &self.found;
        for (number, noun, what) in [
            (
                found.only_in_cognito.len(),
                "handle",
                "of the pool with no row in Postgres: these people sign in to an empty app",
            ),
            (
                found.case_differs.len(),
                "handle",
                "of the pool that a row has in other letters (`A` for `a`): not matched, probably a mistake",
            ),
            (
                found.duplicate_handles.len(),
                "handle",
                "of the pool that more than one user has: none of them is written",
            ),
            (
                found.without_handle.len(),
                "user",
                "of the pool without `preferred_username`: not matched",
            ),
            (
                found.only_in_postgres.len(),
                "person",
                "of Postgres with no user in the pool: cannot sign in",
            ),
        ] {
            if number > 0 {
                ui.warn(format_args!("{} {what}", count(number, noun)));
            }
        }
    }
}

fn check_failed(found: &Comparison, target: Target) -> Error {
    let missing = found.only_in_cognito.len() + found.case_differs.len();
    let mut error = Error::new("Postgres and the pool differ").exit(Exit::Partial);
    if !found.updated.is_empty() {
        error = error
            .cause(format!("{} would change", count(found.updated.len(), "id")))
            .hint(format!("write them with `{}`", call("", target)));
    }
    if missing > 0 {
        error = error
            .cause(format!("{} of the pool with no row", count(missing, "handle")))
            .hint("add the person to `users`, in the app or in a seed file for `db-setup`");
    }
    if !found.duplicate_handles.is_empty() {
        error = error
            .cause(format!("{} more than once in the pool", count(found.duplicate_handles.len(), "handle")))
            .hint("give each user a `preferred_username` of its own: `aws cognito-idp admin-update-user-attributes`");
    }
    error
}

fn call(flag: &str, target: Target) -> String {
    invocation(&format!("update-cognito-user-ids{}{flag}", target.as_argument()))
}
