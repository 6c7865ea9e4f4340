//! The steps. Each says what it did.

use cognito_list_users::pool::UserPool;
use ops_common::consent::Permit;
use ops_common::env;
use ops_common::error::Error;
use ops_common::postgres::stamp::{CREATE, READ, Seen, Stamp, refuse_other_environment};
use ops_common::postgres::{ConnectionUrl, Db, sql_error, trace};
use ops_common::target::Target;
use ops_common::text::count;
use ops_common::ui::Ui;
use serde::Serialize;
use sha2::{Digest, Sha256};
use tokio_postgres::Transaction;
use tokio_postgres::error::{ErrorPosition, SqlState};

use crate::SqlFile;
use crate::sql_file::line_of;
use crate::stamp::{self, Inspection, inspect};

/// Whether a step was done.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    #[default]
    Done,
    /// with --dry-run
    Planned,
    Skipped,
    Failed,
}

/// What a step did, in words and in numbers.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Did {
    status: Status,
    #[serde(rename = "did")]
    pub(crate) words: String,
    changed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    sessions_closed: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tables_created: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rows_written: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ids_updated: Option<usize>,
}

impl Did {
    /// A step that failed, where those before it stay done.
    pub(crate) fn not_done(error: &Error) -> Self {
        let words = format!("not done: {}", error.message());
        Self { status: Status::Failed, words, ..Self::default() }
    }

    /// A step that is not run.
    pub(crate) fn planned(words: String, changed: bool) -> Self {
        Self { status: Status::Planned, words, changed, ..Self::default() }
    }

    /// The step cognito-ids, where no pool is named.
    pub(crate) fn without_pool() -> Self {
        let words = format!(
            "skipped: no user pool is named (--user-pool-id or {})",
            env::AWS_COGNITO_USER_POOL_ID
        );
        Self { status: Status::Skipped, words, ..Self::default() }
    }
}

pub(crate) fn number(number: i64, noun: &str) -> String {
    count(usize::try_from(number).unwrap_or_default(), noun)
}

/// `"name"`, with quotes within doubled.
fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The schema's identity: the hash of its text.
pub(crate) fn hash(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Drops the database, closing its sessions, where it still is
/// what `before` says.
pub(crate) async fn drop(
    server: &Db,
    url: &ConnectionUrl,
    before: &mut Inspection,
    permit: &Permit,
    ui: &Ui,
) -> Result<Did, Error> {
    url.check(permit)?;
    let name = url.database();
    let now = inspect(url, server, ui).await?;
    if (&now.state, &now.seen) != (&before.state, &before.seen) {
        return Err(Error::new(format!(
            "the database `{name}` changed since it was looked at; nothing is done to it"
        ))
        .cause(format!("it was: {}; it is: {}", before.state.in_words(), now.state.in_words()))
        .hint("run it again: it looks and asks again"));
    }
    // This tool's own sessions are no loss.
    let own: Vec<i32> = before.session.into_iter().chain(now.session).collect();
    let (oid, sessions) = sessions(server, name, &own).await?;
    if oid.is_none() {
        return Ok(Did {
            words: format!("`{name}` is not there; nothing to drop"),
            ..Did::default()
        });
    }
    if oid != now.seen.oid {
        return Err(Error::new(format!(
            "the database `{name}` was created again just now; nothing is done to it"
        ))
        .hint("run it again: it looks and asks again"));
    }
    let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", identifier(name));
    trace(ui, &format!("drop the database `{name}`"), &sql, &[]);
    server.client().batch_execute(&sql).await.map_err(|error| {
        let result = sql_error(&format!("drop the database `{name}`"), &error);
        if stamp::is_syntax_error(&error) {
            result.hint("the server has to be PostgreSQL 13 or newer")
        } else {
            result
        }
    })?;
    before.seen = Seen { oid: None, environment: None, ..now.seen };
    Ok(Did {
        words: format!("dropped `{name}`, {} closed", number(sessions, "session")),
        changed: true,
        sessions_closed: Some(sessions),
        ..Did::default()
    })
}

/// The database's oid, if it is there, and how many sessions it has besides `own`.
pub(crate) async fn sessions(
    server: &Db,
    database: &str,
    own: &[i32],
) -> Result<(Option<u32>, i64), Error> {
    let sql = "SELECT (SELECT oid FROM pg_database WHERE datname = $1),
                      (SELECT count(*) FROM pg_stat_activity
                       WHERE datname = $1 AND pid <> ALL ($2))";
    let rows = server.query("count the sessions", sql, &[&database, &own]).await?;
    Ok(rows.first().map_or((None, 0), |row| (row.get(0), row.get(1))))
}

/// Creates the database and stamps it; one that is there is left as it is.
pub(crate) async fn create(
    server: &Db,
    url: &ConnectionUrl,
    seen: &mut Seen,
    permit: &Permit,
    ui: &Ui,
) -> Result<Did, Error> {
    url.check(permit)?;
    let name = url.database();
    let look = async || {
        let oid = "SELECT oid FROM pg_database WHERE datname = $1";
        let rows = server.query("look for the database", oid, &[&name]).await?;
        Ok::<Option<u32>, Error>(rows.first().map(|row| row.get(0)))
    };
    if look().await?.is_some() {
        return Ok(Did { words: format!("`{name}` already exists"), ..Did::default() });
    }
    let title = format!("create the database `{name}`");
    let sql = format!("CREATE DATABASE {}", identifier(name));
    trace(ui, &title, &sql, &[]);
    if let Err(error) = server.client().batch_execute(&sql).await {
        // Somebody else created it a moment ago.
        let there = [Some(&SqlState::DUPLICATE_DATABASE), Some(&SqlState::UNIQUE_VIOLATION)];
        if there.contains(&error.code()) {
            return Ok(Did { words: format!("`{name}` already exists"), ..Did::default() });
        }
        return Err(sql_error(&title, &error));
    }
    let created = Seen { oid: look().await?, environment: None, ..seen.clone() };
    let mut db = Db::connect(url, ui).await?;
    let failed = |error: tokio_postgres::Error| sql_error("stamp the database", &error);
    // A stamp's table without its row could be anybody's.
    let transaction = db.client_mut().transaction().await.map_err(failed)?;
    created.check(&transaction, url).await?;
    trace(ui, "make the stamp", CREATE, &[]);
    transaction.batch_execute(CREATE).await.map_err(failed)?;
    stamp::set(&transaction, url, None, ui).await?;
    transaction.commit().await.map_err(failed)?;
    *seen = Seen { environment: Some(url.target().to_string()), ..created };
    Ok(Did {
        words: format!("created `{name}`, stamped `{}`", url.target()),
        changed: true,
        ..Did::default()
    })
}

/// The error for a schema other than the one that is loaded.
///
/// # Errors
/// As said.
pub(crate) fn refuse_other_schema(
    stamp: &Stamp,
    schema_hash: &str,
    url: &ConnectionUrl,
) -> Result<(), Error> {
    let other = stamp.schema_sha256.as_deref().is_some_and(|loaded| loaded != schema_hash);
    if !other {
        return Ok(());
    }
    let error = Error::new(format!(
        "the database `{}` has another schema loaded; nothing is changed",
        url.database()
    ));
    Err(match url.target() {
        Target::Local => {
            error.hint("`db-setup` re-creates the database with the new schema; what is in it goes")
        }
        Target::Prod => error.hint(
            "production is migrated elsewhere; `db-setup` loads a schema only where there is none",
        ),
    })
}

/// Loads the schema and stamps the database with it, in one transaction.
pub(crate) async fn schema_load(
    url: &ConnectionUrl,
    file: &SqlFile,
    seen: &mut Seen,
    permit: &Permit,
    ui: &Ui,
) -> Result<Did, Error> {
    url.check(permit)?;
    let schema_hash = hash(&file.text);
    let mut db = Db::connect(url, ui).await?;
    let transaction =
        db.client_mut().transaction().await.map_err(|error| sql_error("begin", &error))?;
    let failed = |error: tokio_postgres::Error| sql_error("stamp the database", &error);
    // Two runs at once: the second one waits, and finds the schema loaded.
    let lock = "SELECT pg_advisory_xact_lock(hashtext('cruddur_ops.stamp'))";
    trace(ui, "wait for other loads", lock, &[]);
    transaction.batch_execute(lock).await.map_err(failed)?;
    seen.check(&transaction, url).await?;
    trace(ui, "make the stamp", CREATE, &[]);
    transaction.batch_execute(CREATE).await.map_err(failed)?;
    if let Some(row) = transaction.query_opt(READ, &[]).await.map_err(failed)? {
        let stamp = Stamp {
            environment: row.try_get(0).map_err(failed)?,
            schema_sha256: row.try_get(1).map_err(failed)?,
        };
        refuse_other_environment(&stamp, url)?;
        refuse_other_schema(&stamp, &schema_hash, url)?;
        if stamp.schema_sha256.is_some() {
            return Ok(Did {
                words: "already there, same schema; nothing is changed".into(),
                ..Did::default()
            });
        }
    }
    let tables = async || {
        let row = transaction.query_one(&stamp::count_tables(), &[]).await.map_err(failed)?;
        Ok::<i64, Error>(row.get(0))
    };
    let before = tables().await?;
    let own = OwnTransaction::of(&transaction).await?;
    trace(ui, "load the schema", &file.text, &[]);
    transaction
        .batch_execute(&file.text)
        .await
        .map_err(|error| file_error(file, "load the schema", &error))?;
    own.check(&transaction, file).await?;
    let created = tables().await? - before;
    stamp::set(&transaction, url, Some(&schema_hash), ui).await?;
    transaction.commit().await.map_err(|error| sql_error("commit the schema", &error))?;
    seen.environment = Some(url.target().to_string());
    Ok(Did {
        words: format!("{} created", number(created, "table")),
        changed: true,
        tables_created: Some(created),
        ..Did::default()
    })
}

/// Runs the seed file in one transaction.
pub(crate) async fn seed(
    url: &ConnectionUrl,
    file: &SqlFile,
    seen: &Seen,
    permit: &Permit,
    ui: &Ui,
) -> Result<Did, Error> {
    url.check(permit)?;
    let mut db = Db::connect(url, ui).await?;
    let transaction =
        db.client_mut().transaction().await.map_err(|error| sql_error("begin", &error))?;
    seen.check(&transaction, url).await?;
    let own = OwnTransaction::of(&transaction).await?;
    trace(ui, "seed", &file.text, &[]);
    transaction
        .batch_execute(&file.text)
        .await
        .map_err(|error| file_error(file, "seed", &error))?;
    own.check(&transaction, file).await?;
    // The server's own count of this transaction: what a file affects can be
    // seen in no other way when it holds many statements.
    let written = "SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::bigint FROM pg_stat_xact_user_tables";
    trace(ui, "count the rows", written, &[]);
    let row = transaction
        .query_one(written, &[])
        .await
        .map_err(|error| sql_error("count the rows", &error))?;
    let rows: i64 = row.get(0);
    transaction.commit().await.map_err(|error| sql_error("commit the seed", &error))?;
    let words = if rows == 0 {
        // An edited seed.sql is not read by itself.
        let source = if file.compiled_in { " of the compiled-in seed" } else { "" };
        format!("all rows{source} already exist; nothing is changed")
    } else {
        format!("{} written", number(rows, "row"))
    };
    Ok(Did { words, changed: rows > 0, rows_written: Some(rows), ..Did::default() })
}

/// Carries the ids of the pool's users over; without a pool it says so.
pub(crate) async fn cognito_ids(
    pool: Option<&UserPool>,
    url: &ConnectionUrl,
    seen: &Seen,
    permit: &Permit,
    ui: &Ui,
) -> Result<Did, Error> {
    let Some(pool) = pool else {
        return Ok(Did::without_pool());
    };
    let report = update_cognito_user_ids::carry_over(pool, url, seen, permit, ui).await?;
    report.warn(ui);
    let updated = report.updated();
    Ok(Did {
        words: format!("{} updated, {} unchanged", count(updated, "id"), report.unchanged()),
        changed: updated > 0,
        ids_updated: Some(updated),
        ..Did::default()
    })
}

/// The transaction that a file runs in. `sql_file` refuses what would end it; this
/// notices where that was not enough.
struct OwnTransaction(String);

impl OwnTransaction {
    async fn of(transaction: &Transaction<'_>) -> Result<Self, Error> {
        // In what a session starts with, a backslash is no escape: a role's or a
        // database's settings must not make the server read the file otherwise.
        let standard = "SET LOCAL standard_conforming_strings = on";
        let failed = |error: tokio_postgres::Error| sql_error("begin", &error);
        transaction.batch_execute(standard).await.map_err(failed)?;
        let row = transaction.query_one("SELECT txid_current()::text", &[]).await;
        Ok(Self(row.map_err(failed)?.get(0)))
    }

    async fn check(&self, transaction: &Transaction<'_>, file: &SqlFile) -> Result<(), Error> {
        if Self::of(transaction).await?.0 == self.0 {
            return Ok(());
        }
        Err(Error::new(format!(
            "{} ended the transaction that it runs in: what it did up to there is in the database",
            file.name
        ))
        .hint("look for COMMIT or ROLLBACK in it, remove it, and set the database up again"))
    }
}

/// The error of a file: its name, and the line where Postgres gives a position.
fn file_error(file: &SqlFile, doing: &str, error: &tokio_postgres::Error) -> Error {
    let place = error
        .as_db_error()
        .and_then(|db| db.position())
        .and_then(|position| match position {
            ErrorPosition::Original(at) => Some(format!(":{}", line_of(&file.text, *at))),
            ErrorPosition::Internal { .. } => None,
        })
        .unwrap_or_default();
    sql_error(&format!("{doing} from {}{place}", file.name), error)
        .hint("the file runs in one transaction: nothing of it is left")
}
