//! The app's people in Postgres, as the other tools look them up.

use crate::env::invocation;
use crate::error::Error;
use crate::postgres::Db;
use crate::records::Person;
use crate::ui;
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

/// As many handles as are compared with a mistyped one.
const HANDLES_COMPARED: i64 = 10_000;

/// The people with one of `handles`, in the order of the handles; handles that
/// nobody has come second.
///
/// # Errors
/// Where Postgres cannot be asked.
pub async fn by_handles(db: &Db, handles: &[&str]) -> Result<(Vec<Person>, Vec<String>), Error> {
    let rows = db
        .query(
            "look up users by handle",
            "SELECT uuid, display_name, handle FROM users WHERE handle = ANY($1)",
            &[&handles],
        )
        .await?;
    let mut found = Vec::new();
    let mut missing = Vec::new();
    for handle in handles {
        let row =
            rows.iter().find(|row| row.try_get::<_, &str>("handle").is_ok_and(|h| h == *handle));
        match row {
            Some(row) => found.push(Person {
                uuid: column(row, "uuid")?,
                display_name: column(row, "display_name")?,
                handle: column(row, "handle")?,
            }),
            None => missing.push((*handle).to_owned()),
        }
    }
    Ok((found, missing))
}

/// A column as the app's schema has it; a database that somebody else made may
/// have another type there, or nothing.
fn column<'a, T: FromSql<'a>>(row: &'a Row, name: &str) -> Result<T, Error> {
    row.try_get(name).map_err(|error| {
        Error::new(format!("the column `{name}` of `users` is not the app's"))
            .source_chain(&error)
            .hint("`uuid` is a uuid, `handle` and `display_name` are text, none of them null")
    })
}

/// The error for a handle that nobody has: with the nearest that exist.
///
/// # Errors
/// Where Postgres cannot be asked.
pub async fn unknown_handle(db: &Db, handle: &str) -> Result<Error, Error> {
    let rows = db
        .query(
            "list handles",
            "SELECT handle FROM users ORDER BY handle LIMIT $1",
            &[&HANDLES_COMPARED],
        )
        .await?;
    let handles: Vec<&str> = rows.iter().filter_map(|row| row.try_get("handle").ok()).collect();
    let error = Error::new(format!("no user has the handle `{handle}`"));
    Ok(match ui::nearest(handle, handles, 10).as_slice() {
        [] => error
            .hint(format!("there are no users at all: `{}` seeds some", invocation("db-setup"))),
        near => error.hint(format!("there is: {}", ui::quoted(near))),
    })
}
