//! The steps. Each says what it did.

use cognito_list_users::pool::UserPool;
use ops_common::confirm::Permit;
use ops_common::env;
use ops_common::error::Error;
use ops_common::postgres::{ConnectionUrl, Db, sql_error, trace};
use ops_common::stamp::{READ, Stamp, refuse_other_environment};
use ops_common::target::Target;
use ops_common::ui::{Ui, count};
use serde::Serialize;
use sha2::{Digest, Sha256};
use tokio_postgres::error::{ErrorPosition, SqlState};

use crate::SqlFile;
use crate::sql_file::line_of;
use crate::stamp;

/// Whether a step was done.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    #[default]
    Done,
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
}

fn number(number: i64, noun: &str) -> String {
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

/// Drops the database that the permit names, closing its sessions. `own_session`
/// is this tool's and no loss.
pub(crate) async fn drop(
    server: &mut Db,
    own_session: Option<i32>,
    permit: Permit,
    ui: &Ui,
) -> Result<Did, Error> {
    let name = permit.resource();
    let rows = server
        .query(
            "count the sessions",
            "SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1),
                    (SELECT count(*) FROM pg_stat_activity
                     WHERE datname = $1 AND pid IS DISTINCT FROM $2)",
            &[&name, &own_session],
        )
        .await?;
    let (exists, sessions) =
        rows.first().map_or((false, 0), |row| (row.get(0), row.get::<_, i64>(1)));
    if !exists {
        return Ok(Did {
            words: format!("`{name}` is not there; nothing to drop"),
            ..Did::default()
        });
    }
    let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", identifier(name));
    let client = server.client_mut();
    trace(ui, &format!("drop the database `{name}`"), &sql, &[]);
    client.batch_execute(&sql).await.map_err(|error| {
        let result = sql_error(&format!("drop the database `{name}`"), &error);
        if stamp::is_syntax_error(&error) {
            result.hint("the server has to be PostgreSQL 13 or newer")
        } else {
            result
        }
    })?;
    Ok(Did {
        words: format!("dropped `{name}`, {} closed", number(sessions, "session")),
        changed: true,
        sessions_closed: Some(sessions),
        ..Did::default()
    })
}

/// Creates the database and stamps it; one that is there is left as it is.
pub(crate) async fn create(server: &Db, url: &ConnectionUrl, ui: &Ui) -> Result<Did, Error> {
    let name = url.database();
    let rows = server
        .query(
            "look for the database",
            "SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)",
            &[&name],
        )
        .await?;
    if rows.first().is_some_and(|row| row.get(0)) {
        return Ok(Did { words: format!("`{name}` is there already"), ..Did::default() });
    }
    let title = format!("create the database `{name}`");
    let sql = format!("CREATE DATABASE {}", identifier(name));
    trace(ui, &title, &sql, &[]);
    if let Err(error) = server.client().batch_execute(&sql).await {
        // Somebody else created it a moment ago.
        let there = [Some(&SqlState::DUPLICATE_DATABASE), Some(&SqlState::UNIQUE_VIOLATION)];
        if there.contains(&error.code()) {
            return Ok(Did { words: format!("`{name}` is there already"), ..Did::default() });
        }
        return Err(sql_error(&title, &error));
    }
    let mut db = Db::connect(url, ui).await?;
    let environment = url.target().to_string();
    let failed = |error: tokio_postgres::Error| sql_error("stamp the database", &error);
    // A stamp's table without its row could be anybody's.
    let transaction = db.client_mut().transaction().await.map_err(failed)?;
    trace(ui, "make the stamp", stamp::CREATE, &[]);
    transaction.batch_execute(stamp::CREATE).await.map_err(failed)?;
    trace(ui, "stamp the database", stamp::SET, &[&environment, &None::<String>]);
    transaction.execute(stamp::SET, &[&environment, &None::<String>]).await.map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    Ok(Did {
        words: format!("created `{name}`, stamped `{environment}`"),
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
    ui: &Ui,
) -> Result<Did, Error> {
    let schema_hash = hash(&file.text);
    let mut db = Db::connect(url, ui).await?;
    let transaction =
        db.client_mut().transaction().await.map_err(|error| sql_error("begin", &error))?;
    let failed = |error: tokio_postgres::Error| sql_error("stamp the database", &error);
    // Two runs at once: the second one waits, and finds the schema loaded.
    let lock = "SELECT pg_advisory_xact_lock(hashtext('cruddur_ops.stamp'))";
    trace(ui, "wait for other loads", lock, &[]);
    transaction.batch_execute(lock).await.map_err(failed)?;
    trace(ui, "make the stamp", stamp::CREATE, &[]);
    transaction.batch_execute(stamp::CREATE).await.map_err(failed)?;
    if let Some(row) = transaction.query_opt(READ, &[]).await.map_err(failed)? {
        let stamp = Stamp { environment: row.get(0), schema_sha256: row.get(1) };
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
        let row = transaction.query_one(stamp::COUNT_TABLES, &[]).await.map_err(failed)?;
        Ok::<i64, Error>(row.get(0))
    };
    let before = tables().await?;
    trace(ui, "load the schema", &file.text, &[]);
    transaction
        .batch_execute(&file.text)
        .await
        .map_err(|error| file_error(file, "load the schema", &error))?;
    let created = tables().await? - before;
    let environment = url.target().to_string();
    trace(ui, "stamp the database", stamp::SET, &[&environment, &schema_hash]);
    transaction.execute(stamp::SET, &[&environment, &Some(&schema_hash)]).await.map_err(failed)?;
    transaction.commit().await.map_err(|error| sql_error("commit the schema", &error))?;
    Ok(Did {
        words: format!("{} created", number(created, "table")),
        changed: true,
        tables_created: Some(created),
        ..Did::default()
    })
}

/// Runs the seed file in one transaction.
pub(crate) async fn seed(url: &ConnectionUrl, file: &SqlFile, ui: &Ui) -> Result<Did, Error> {
    let mut db = Db::connect(url, ui).await?;
    let transaction =
        db.client_mut().transaction().await.map_err(|error| sql_error("begin", &error))?;
    trace(ui, "seed", &file.text, &[]);
    transaction
        .batch_execute(&file.text)
        .await
        .map_err(|error| file_error(file, "seed", &error))?;
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
        "all rows are there already; nothing is changed".to_owned()
    } else {
        format!("{} written", number(rows, "row"))
    };
    Ok(Did { words, changed: rows > 0, rows_written: Some(rows), ..Did::default() })
}

/// Carries the ids of the pool's users over; without a pool it says so.
pub(crate) async fn cognito_ids(
    pool: Option<&UserPool>,
    url: &ConnectionUrl,
    permit: Permit,
    ui: &Ui,
) -> Result<Did, Error> {
    let Some(pool) = pool else {
        let words = format!(
            "skipped: no user pool is named (--user-pool-id or {})",
            env::AWS_COGNITO_USER_POOL_ID
        );
        return Ok(Did { status: Status::Skipped, words, ..Did::default() });
    };
    let report = update_cognito_user_ids::carry_over(pool, url, permit, ui).await?;
    report.warn(ui);
    let updated = report.updated();
    Ok(Did {
        words: format!("{} updated, {} unchanged", count(updated, "id"), report.unchanged()),
        changed: updated > 0,
        ids_updated: Some(updated),
        ..Did::default()
    })
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
