//! The account in Postgres.

use clap::ValueEnum;
use ops_common::app::records::ERASED_TEXT;
use ops_common::app::users;
use ops_common::consent::Permit;
use ops_common::error::Error;
use ops_common::postgres::stamp::Seen;
use ops_common::postgres::{ConnectionUrl, Db, sql_error, trace};
use ops_common::ui::Ui;
use serde::Serialize;
use uuid::Uuid;

/// What becomes of the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum How {
    /// the row goes, with the person's activities
    Delete,
    /// the row stays, without handle, names, e-mail and sub; activities without text
    Empty,
}

/// What Postgres holds of the person, as far as it is counted and named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) uuid: Uuid,
    pub(crate) handle: String,
    pub(crate) cognito_user_id: Option<String>,
    pub(crate) activities: i64,
}

/// The account, or `None` where it is erased already.
pub(crate) async fn read(
    db: &Db,
    handle: Option<&str>,
    uuid: Option<Uuid>,
) -> Result<Option<Account>, Error> {
    let sql = "SELECT users.uuid, handle, cognito_user_id, count(activities.uuid) AS activities
FROM users LEFT JOIN activities ON activities.user_uuid = users.uuid
WHERE handle = $1 OR users.uuid = $2 GROUP BY users.uuid";
    let rows = db.query("read the account", sql, &[&handle, &uuid]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    Ok(Some(Account {
        uuid: users::column(row, "uuid")?,
        handle: users::column(row, "handle")?,
        cognito_user_id: users::column(row, "cognito_user_id")?,
        activities: users::column(row, "activities")?,
    }))
}

/// Replies of others to the person's activities, which stay.
const UNLINK: &str = "UPDATE activities SET reply_to_activity_uuid = NULL
WHERE user_uuid <> $1 AND reply_to_activity_uuid IN (SELECT uuid FROM activities WHERE user_uuid = $1)";

/// Erases the account in one transaction, in the database that was seen.
///
/// # Errors
/// Where the permit is for something else, or Postgres refuses: then nothing is changed.
pub(crate) async fn erase(
    db: &mut Db,
    url: &ConnectionUrl,
    seen: &Seen,
    account: &Account,
    how: How,
    permit: &Permit,
    ui: &Ui,
) -> Result<(), Error> {
    url.check(permit)?;
    let title = "erase the account";
    let failed = |error: tokio_postgres::Error| {
        sql_error(title, &error)
            .hint("it is one transaction: the account is as it was")
            .hint("where other tables refer to it, erase it there first, with psql")
    };
    let transaction = db.client_mut().transaction().await.map_err(failed)?;
    seen.check(&transaction, url).await?;
    let uuid = account.uuid;
    let (nobody, empty) = (users::erased_handle(uuid), ERASED_TEXT);
    let statements: [(&str, Vec<&(dyn tokio_postgres::types::ToSql + Sync)>); 3] = match how {
        How::Delete => [
            (UNLINK, vec![&uuid]),
            ("DELETE FROM activities WHERE user_uuid = $1", vec![&uuid]),
            ("DELETE FROM users WHERE uuid = $1", vec![&uuid]),
        ],
        How::Empty => [
            ("SELECT 1 FROM users WHERE uuid = $1 FOR UPDATE", vec![&uuid]),
            ("UPDATE activities SET message = $2 WHERE user_uuid = $1", vec![&uuid, &empty]),
            (
                "UPDATE users SET handle = $2, display_name = 'Erased', email = '', cognito_user_id = $2 WHERE uuid = $1",
                vec![&uuid, &nobody],
            ),
        ],
    };
    for (sql, parameters) in &statements {
        trace(ui, title, sql, parameters);
        transaction.execute(*sql, parameters).await.map_err(failed)?;
    }
    transaction.commit().await.map_err(failed)
}
