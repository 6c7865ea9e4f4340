//! The stamp that a database carries: its environment, and the schema that was
//! loaded. `db-setup` writes it; who acts by what the database says looks at
//! it too: a tunnel to production looks like localhost, the stamp does not.

use tokio_postgres::GenericClient;

use crate::env;
use crate::error::Error;
use crate::postgres::{ConnectionUrl, Db, sql_error};
use crate::target::Target;

/// One row in a schema of its own, so that a schema file which drops `public`
/// leaves it alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// `local` or `prod`
    pub environment: String,
    /// none: created, no schema loaded yet
    pub schema_sha256: Option<String>,
}

/// The statements that make the stamp's table, if it is not there.
pub const CREATE: &str = "CREATE SCHEMA IF NOT EXISTS cruddur_ops;
CREATE TABLE IF NOT EXISTS cruddur_ops.stamp (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  environment text NOT NULL,
  schema_sha256 text,
  stamped_at timestamptz NOT NULL DEFAULT now()
)";

/// Behind a FROM: everything a person could miss, whoever made it; not what extensions
/// bring.
pub const TABLES: &str = "pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'cruddur_ops')
  AND n.nspname NOT LIKE 'pg\\_toast%' AND n.nspname NOT LIKE 'pg\\_temp%'
  AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')";

/// Reads the one row.
pub const READ: &str = "SELECT environment, schema_sha256 FROM cruddur_ops.stamp";

/// The database's stamp, or `None` where it has none.
///
/// # Errors
/// A stamp that cannot be read: nothing may be done to such a database.
pub async fn read(db: &Db, url: &ConnectionUrl) -> Result<Option<Stamp>, Error> {
    let unreadable = |error: Error| unreadable(url, &error);
    let there = "SELECT to_regclass('cruddur_ops.stamp') IS NOT NULL";
    let rows = db.query("look for the stamp", there, &[]).await.map_err(unreadable)?;
    if !rows.first().is_some_and(|row| row.get(0)) {
        return Ok(None);
    }
    let rows = db.query("read the stamp", READ, &[]).await.map_err(unreadable)?;
    let [row] = rows.as_slice() else {
        return Err(unreadable(Error::new(format!("it has {} rows, not one", rows.len()))));
    };
    let columns = || -> Result<Stamp, tokio_postgres::Error> {
        Ok(Stamp { environment: row.try_get(0)?, schema_sha256: row.try_get(1)? })
    };
    columns().map(Some).map_err(|error| unreadable(Error::new(error.to_string())))
}

/// The stamp of a database that is not the other environment's. One without a
/// stamp is not refused here: reading it harms nobody.
///
/// # Errors
/// A stamp of the other environment, or one that cannot be read.
pub async fn of_this_environment(db: &Db, url: &ConnectionUrl) -> Result<Option<Stamp>, Error> {
    let stamp = read(db, url).await?;
    if let Some(stamp) = &stamp {
        refuse_other_environment(stamp, url)?;
    }
    Ok(stamp)
}

/// Refuses a database of the other environment.
///
/// # Errors
/// As said.
pub fn refuse_other_environment(stamp: &Stamp, url: &ConnectionUrl) -> Result<(), Error> {
    let target = url.target();
    let stamped = &stamp.environment;
    if *stamped == target.to_string() {
        return Ok(());
    }
    let refused = Error::new(format!(
        "the database `{}` is stamped `{stamped}`, and the target is `{target}`; nothing is done to it",
        url.database(),
    ));
    Err(match target {
        Target::Local => refused
            .hint("what looks like this machine is a tunnel to another: look at CONNECTION_URL and at what listens on its port"),
        Target::Prod => refused.hint("look at PROD_CONNECTION_URL: it leads to a database that was set up for another environment"),
    })
}

/// A running server. Two that answer at one address differ in it: a tunnel that was
/// opened meanwhile, a name that resolves to several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerIdentity {
    /// of the cluster, from its initdb
    pub system_identifier: String,
    /// microseconds since 1970
    pub started_at: i64,
}

/// A database as it was when somebody agreed to a change of it. Each change looks,
/// in its own transaction, whether it is still that one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// where it is
    pub server: ServerIdentity,
    /// the database's own; none: there is no such database
    pub oid: Option<u32>,
    /// what its stamp says; none: it has no stamp
    pub environment: Option<String>,
}

/// Says who answers. Whatever the session's settings are, it says it alike.
const WHO_ANSWERS: &str = "SELECT (SELECT system_identifier::text FROM pg_control_system()),
  (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint,
  (SELECT oid FROM pg_database WHERE datname = current_database()),
  to_regclass('cruddur_ops.stamp') IS NOT NULL";

impl Seen {
    /// The database that a connection leads to.
    ///
    /// # Errors
    /// Where it does not say who it is, or its stamp cannot be read.
    pub async fn of(client: &impl GenericClient, url: &ConnectionUrl) -> Result<Self, Error> {
        let look = async {
            let row = client.query_one(WHO_ANSWERS, &[]).await?;
            let server =
                ServerIdentity { system_identifier: row.try_get(0)?, started_at: row.try_get(1)? };
            let environment = match row.try_get(3)? {
                true => Some(client.query_one(READ, &[]).await?.try_get(0)?),
                false => None,
            };
            Ok::<Self, tokio_postgres::Error>(Self { server, oid: row.try_get(2)?, environment })
        };
        match tokio::time::timeout(env::timeout(), look).await {
            Ok(seen) => {
                seen.map_err(|error| unreadable(url, &sql_error("look who answers", &error)))
            }
            Err(_) => Err(unreadable(url, &Error::new("Postgres gave no answer in time"))),
        }
    }

    /// SQL that is true in a connection to this server and database.
    #[must_use]
    pub fn same_database_sql(&self) -> String {
        format!(
            "(SELECT system_identifier::text FROM pg_control_system()) = {system} \
             AND (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint = {started} \
             AND (SELECT oid FROM pg_database WHERE datname = current_database()) = {oid}",
            system = literal(&self.server.system_identifier),
            started = self.server.started_at,
            oid = self.oid.unwrap_or_default(),
        )
    }

    /// SQL that is true where the stamp is what it was, and fails where it is gone.
    #[must_use]
    pub fn same_stamp_sql(&self) -> String {
        match &self.environment {
            None => "to_regclass('cruddur_ops.stamp') IS NULL".to_owned(),
            Some(environment) => {
                format!("(SELECT environment FROM cruddur_ops.stamp) = {}", literal(environment))
            }
        }
    }

    /// Refuses a connection that leads elsewhere than to what was seen.
    ///
    /// # Errors
    /// Another server, another database of that name, or another stamp; and like
    /// [`Seen::of`].
    pub async fn check(
        &self,
        client: &impl GenericClient,
        url: &ConnectionUrl,
    ) -> Result<(), Error> {
        let now = Self::of(client, url).await?;
        let stamped = |environment: &Option<String>| match environment {
            Some(environment) => format!("stamped `{environment}`"),
            None => "without a stamp".to_owned(),
        };
        let why = if now.server != self.server {
            format!("another server answers at `{}` than a moment ago", url.server())
        } else if now.oid != self.oid {
            "it was dropped and created, or renamed, meanwhile".to_owned()
        } else if now.environment != self.environment {
            format!(
                "it was {}, and now is {}",
                stamped(&self.environment),
                stamped(&now.environment)
            )
        } else {
            return Ok(());
        };
        Err(Error::new(format!(
            "the database `{}` is not the one that was looked at; nothing more is done to it",
            url.database()
        ))
        .cause(why)
        .hint("look what listens there: a tunnel that was opened meanwhile looks like localhost")
        .hint("then run it again: it looks and asks again"))
    }
}

/// Text in single quotes, as SQL has it.
#[must_use]
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The error for a database whose stamp cannot be read, by whatever cause.
#[must_use]
pub fn unreadable(url: &ConnectionUrl, error: &Error) -> Error {
    Error::new(format!(
        "cannot tell which environment the database `{}` belongs to: its stamp cannot be read, so nothing is done to it",
        url.database()
    ))
    .because(error)
    .hint("look with psql at `SELECT * FROM cruddur_ops.stamp`; it has one row, `local` or `prod`")
}
