//! The stamp that a database carries: its environment, and the schema that was
//! loaded. `db-setup` writes it; who writes by what the database says looks at
//! it too: a tunnel to production looks like localhost, the stamp does not.

use crate::error::Error;
use crate::postgres::{ConnectionUrl, Db};
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

/// The error for a database whose stamp cannot be read, by whatever cause.
#[must_use]
pub fn unreadable(url: &ConnectionUrl, error: &Error) -> Error {
    Error::new(format!(
        "cannot tell whose database `{}` is: its stamp cannot be read, so nothing is done to it",
        url.database()
    ))
    .because(error)
    .hint("look with psql at `SELECT * FROM cruddur_ops.stamp`; it has one row, `local` or `prod`")
}
