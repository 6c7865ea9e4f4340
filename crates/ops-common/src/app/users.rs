//! The app's people in Postgres, as the other tools look them up.

use crate::app::records::Person;
use crate::env::invocation;
use crate::error::Error;
use crate::postgres::Db;
use crate::target::Target;
use crate::text;
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;
use uuid::Uuid;

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

/// The people whom `db-setup` seeds.
pub const SEEDED_HANDLES: [&str; 4] = ["jess-bk", "bayko", "maren", "tariq"];

/// The people with these handles, each of which somebody has to have.
///
/// # Errors
/// Where nobody has one of them: with the nearest that exist.
pub async fn of_handles<const N: usize>(
    db: &Db,
    target: Target,
    handles: [&str; N],
) -> Result<[Person; N], Error> {
    let (found, missing) = by_handles(db, &handles).await?;
    if let Ok(people) = found.try_into() {
        return Ok(people);
    }
    let mut error = Error::new(format!("in Postgres there is no user {}", text::quoted(&missing)));
    for handle in &missing {
        for hint in unknown_handle(db, handle).await?.hints() {
            error = error.hint(format!("for `{handle}`, {hint}"));
        }
    }
    let seed = invocation(&format!("db-setup{} --steps seed", target.as_argument()));
    Err(error.hint(format!("`{seed}` writes the seeded people: {}", SEEDED_HANDLES.join(", "))))
}

/// A row of `users`, as far as it identifies a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// whose conversations are under `GRP#<uuid>`
    pub uuid: Uuid,
    /// unique
    pub handle: String,
    /// the `sub` of the Cognito user, or what a seed put in its place
    pub cognito_user_id: Option<String>,
}

/// Everybody, by handle.
///
/// # Errors
/// Where Postgres cannot be asked.
pub async fn identities(db: &Db) -> Result<Vec<Identity>, Error> {
    let all = "SELECT uuid, handle, cognito_user_id FROM users ORDER BY handle";
    let rows = db.query("list users", all, &[]).await?;
    let identity = |row: &Row| {
        Ok(Identity {
            uuid: column(row, "uuid")?,
            handle: column(row, "handle")?,
            cognito_user_id: column(row, "cognito_user_id")?,
        })
    };
    rows.iter().map(identity).collect()
}

/// The uuid of the person whose Cognito user has this `sub`, as the app finds
/// who signs in.
///
/// # Errors
/// Where nobody's has, more than one's has, or Postgres cannot be asked.
pub async fn user_uuid_by_cognito_sub(db: &Db, target: Target, sub: &str) -> Result<Uuid, Error> {
    let rows = db
        .query(
            "look up users by sub",
            "SELECT uuid, handle FROM users WHERE cognito_user_id = $1 ORDER BY handle LIMIT 10",
            &[&sub],
        )
        .await?;
    let target = target.as_argument();
    match rows.as_slice() {
        [row] => column(row, "uuid"),
        [] => Err(Error::new(format!("no user has the Cognito sub `{sub}`"))
            .hint(format!(
                "carry the pool's ids over with `{}`",
                invocation(&format!("update-cognito-user-ids{target}"))
            ))
            .hint(format!(
                "`cognito-list-users` shows the pool's ids, and `{}` who cannot be matched",
                invocation(&format!("check-identities{target}"))
            ))),
        rows => {
            let handles: Vec<&str> =
                rows.iter().filter_map(|row| row.try_get("handle").ok()).collect();
            Err(Error::new(format!(
                "more than one user has the Cognito sub `{sub}`: {}",
                text::quoted(handles)
            ))
            .hint(format!(
                "`{}` says whose it is",
                invocation(&format!("check-identities{target}"))
            )))
        }
    }
}

/// A column as the app's schema has it; a database that somebody else made may
/// have another type there, or nothing.
///
/// # Errors
/// As said.
pub fn column<'a, T: FromSql<'a>>(row: &'a Row, name: &str) -> Result<T, Error> {
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
    Ok(match text::nearest(handle, handles, 10).as_slice() {
        [] => error
            .hint(format!("there are no users at all: `{}` seeds some", invocation("db-setup"))),
        near => error.hint(format!("the nearest handles: {}", text::quoted(near))),
    })
}
