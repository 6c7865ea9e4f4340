//! The environment that a database is stamped with. `db-setup` writes the stamp;
//! who writes to DynamoDB by what Postgres says looks at it too: a tunnel to
//! production looks like localhost.

use crate::error::Error;
use crate::postgres::{ConnectionUrl, Db};
use crate::target::Target;

/// Refuses a database that is stamped with the other environment. One without a
/// stamp is not refused: reading it harms nobody.
///
/// # Errors
/// As said, and where the stamp cannot be read.
pub async fn refuse_other_environment(db: &Db, url: &ConnectionUrl) -> Result<(), Error> {
    let there = "SELECT to_regclass('cruddur_ops.stamp') IS NOT NULL";
    let rows = db.query("look for the stamp", there, &[]).await?;
    if !rows.first().is_some_and(|row| row.get(0)) {
        return Ok(());
    }
    let rows =
        db.query("read the stamp", "SELECT environment::text FROM cruddur_ops.stamp", &[]).await?;
    let environment =
        rows.first().and_then(|row| row.try_get::<_, Option<String>>(0).ok().flatten());
    match environment {
        Some(environment) if environment == url.target().to_string() => Ok(()),
        Some(environment) => Err(other_environment(&environment, url)),
        None => Err(Error::new(format!("the stamp of the database `{}` cannot be read", url.database()))
            .hint("look with psql at `SELECT * FROM cruddur_ops.stamp`; it has one row, `local` or `prod`")),
    }
}

/// The error for a database of the other environment.
#[must_use]
pub fn other_environment(stamped: &str, url: &ConnectionUrl) -> Error {
    let target = url.target();
    let refused = Error::new(format!(
        "the database `{}` is stamped `{stamped}`, and the target is `{target}`; nothing is done to it",
        url.database(),
    ));
    match target {
        Target::Local => refused
            .hint("what looks like this machine is a tunnel to another: look at CONNECTION_URL and at what listens on its port"),
        Target::Prod => refused.hint("look at PROD_CONNECTION_URL: it leads to a database that was set up for another environment"),
    }
}
