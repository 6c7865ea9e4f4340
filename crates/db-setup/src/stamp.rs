//! What is known of the database before anything is done to it, and the SQL that
//! stamps it.

use ops_common::error::Error;
use ops_common::postgres::stamp::{self, Seen, Stamp, unreadable};
use ops_common::postgres::{ConnectError, ConnectionUrl, Db, sql_error, trace};
use ops_common::text::{count, printable};
use ops_common::ui::Ui;
use tokio_postgres::Transaction;
use tokio_postgres::error::SqlState;

/// What is known of the database before anything is done to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    Absent,
    /// there, and nobody's: no tables, no stamp
    Empty,
    Stamped(Stamp),
    /// tables that no `db-setup` made
    Unstamped {
        tables: i64,
    },
}

impl State {
    pub(crate) fn in_words(&self) -> String {
        match self {
            Self::Unstamped { tables } => format!(
                "{} and no stamp (`db-setup` did not make it)",
                count(usize::try_from(*tables).unwrap_or_default(), "table")
            ),
            Self::Absent => "there is none now".to_owned(),
            Self::Empty => "empty".to_owned(),
            Self::Stamped(stamp) => format!("stamped `{}`", printable(&stamp.environment)),
        }
    }
}

/// Sets the one row: `$1` the environment, `$2` the schema's hash or null. A stamp of
/// another environment stays: no row is affected then.
const SET: &str = "INSERT INTO cruddur_ops.stamp (environment, schema_sha256)
VALUES ($1, $2)
ON CONFLICT (only_row) DO UPDATE
SET schema_sha256 = coalesce(excluded.schema_sha256, cruddur_ops.stamp.schema_sha256),
    stamped_at = now()
WHERE cruddur_ops.stamp.environment = excluded.environment";

/// Stamps the database with the target, and with the schema's hash where there is
/// one.
///
/// # Errors
/// A stamp of another environment, or Postgres' own.
pub(crate) async fn set(
    transaction: &Transaction<'_>,
    url: &ConnectionUrl,
    schema_sha256: Option<&str>,
    ui: &Ui,
) -> Result<(), Error> {
    let environment = url.target().to_string();
    let failed = |error: tokio_postgres::Error| sql_error("stamp the database", &error);
    trace(ui, "stamp the database", SET, &[&environment, &schema_sha256]);
    match transaction.execute(SET, &[&environment, &schema_sha256]).await.map_err(failed)? {
        1 => Ok(()),
        _ => Err(unreadable(url, &Error::new("it is stamped for another environment"))),
    }
}

/// How many tables there are, whoever made them.
pub(crate) fn count_tables() -> String {
    format!("SELECT count(*) FROM {}", stamp::TABLES)
}

/// What a look at the database showed.
pub(crate) struct Inspection {
    pub(crate) state: State,
    pub(crate) seen: Seen,
    /// the look's own session, which the server may still show for a moment
    pub(crate) session: Option<i32>,
}

/// Looks at the database.
///
/// # Errors
/// A stamp that cannot be read: nothing may be done to such a database.
pub(crate) async fn inspect(
    url: &ConnectionUrl,
    server: &Db,
    ui: &Ui,
) -> Result<Inspection, Error> {
    // The drop runs on the other connection: it has to be the same server.
    let maintenance = Seen::of(server.client(), url).await?;
    let db = match Db::connect(url, ui).await {
        Ok(db) => db,
        Err(ConnectError::NoDatabase(_)) => {
            let seen = Seen { server: maintenance.server, oid: None, environment: None };
            return Ok(Inspection { state: State::Absent, seen, session: None });
        }
        Err(error) => return Err(unreadable(url, &error.into())),
    };
    let seen = Seen::of(db.client(), url).await?;
    if seen.server != maintenance.server {
        return Err(Error::new(format!(
            "two connections to `{}` reach two servers; nothing is done",
            url.server()
        ))
        .hint("name one server: an address in place of a name that resolves to several"));
    }
    let rows = db.query("tell the session", "SELECT pg_backend_pid()", &[]).await;
    let rows = rows.map_err(|error| unreadable(url, &error))?;
    let session = rows.first().map(|row| row.get(0));
    Ok(Inspection { state: read_state(&db, url).await?, seen, session })
}

async fn read_state(db: &Db, url: &ConnectionUrl) -> Result<State, Error> {
    if let Some(stamp) = stamp::read(db, url).await? {
        return Ok(State::Stamped(stamp));
    }
    let rows = db
        .query("count the tables", &count_tables(), &[])
        .await
        .map_err(|error| unreadable(url, &error))?;
    Ok(match rows.first().map_or(0, |row| row.get(0)) {
        0 => State::Empty,
        tables => State::Unstamped { tables },
    })
}

/// Whether the error says that the server is too old for `DROP DATABASE … WITH (FORCE)`.
pub(crate) fn is_syntax_error(error: &tokio_postgres::Error) -> bool {
    error.code() == Some(&SqlState::SYNTAX_ERROR)
}
