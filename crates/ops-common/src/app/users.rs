//! The app's people in Postgres, as the other tools look them up.

use std::fmt;
use std::str::FromStr;

use crate::app::records::Person;
use crate::env::invocation;
use crate::error::Error;
use crate::postgres::{ConnectionUrl, Db, stamp};
use crate::target::Target;
use crate::text;
use crate::ui::Ui;
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;
use uuid::Uuid;

/// As many handles as are compared with a mistyped one.
const HANDLES_COMPARED: i64 = 10_000;

/// The people whom `db-setup` seeds.
pub const SEEDED_HANDLES: [&str; 4] = ["jess-bk", "bayko", "maren", "tariq"];

/// A person's handle as the app stores it. People write it with an `@`.
///
/// ```
/// # use ops_common::app::users::Handle;
/// let handle: Handle = "@bayko".parse().unwrap();
/// assert_eq!(handle.as_str(), "bayko");
/// assert!("@".parse::<Handle>().is_err());
/// assert!("a\0".parse::<Handle>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handle(String);

impl Handle {
    /// Without the `@`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Handle {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim_start_matches('@') {
            "" => Err("a handle has at least one character"),
            // Postgres has no text with it, and would refuse the query.
            handle if handle.contains('\0') => Err("a handle has no NUL character"),
            handle => Ok(Self(handle.to_owned())),
        }
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The people with these handles in the database of this URL, which is looked at first.
///
/// # Errors
/// See [`of_handles`]. Where the database is of another environment.
pub async fn look_up<const N: usize>(
    url: &ConnectionUrl,
    handles: [&Handle; N],
    ui: &Ui,
) -> Result<[Person; N], Error> {
    let db = Db::connect(url, ui).await?;
    stamp::of_this_environment(&db, url).await?;
    of_handles(&db, url.target(), handles).await
}

/// The people with these handles, each of which somebody has to have.
///
/// # Errors
/// Where nobody has one of them: with the nearest that exist. Where Postgres cannot be
/// asked.
pub async fn of_handles<const N: usize>(
    db: &Db,
    target: Target,
    handles: [&Handle; N],
) -> Result<[Person; N], Error> {
    let wanted = handles.map(Handle::as_str);
    let found = by_handles(db, &wanted).await?;
    let of = |handle: &&str| found.iter().find(|person| person.handle == *handle);
    let missing: Vec<&str> = wanted.into_iter().filter(|handle| of(handle).is_none()).collect();
    let people: Vec<Person> = wanted.iter().filter_map(of).cloned().collect();
    match people.try_into() {
        Ok(people) => Ok(people),
        Err(_) => Err(unknown_handles(db, target, &missing).await?),
    }
}

/// The people who have one of these handles, in no order.
///
/// # Errors
/// Where Postgres cannot be asked.
pub async fn by_handles(db: &Db, handles: &[&str]) -> Result<Vec<Person>, Error> {
    let rows = db
        .query(
            "look up users by handle",
            "SELECT uuid, display_name, handle FROM users WHERE handle = ANY($1)",
            &[&handles],
        )
        .await?;
    rows.iter().map(person).collect()
}

/// The people whose Cognito user has this `sub`, as the app finds who signs in: one,
/// where nothing is broken.
///
/// # Errors
/// Where Postgres cannot be asked.
pub async fn by_cognito_sub(db: &Db, sub: &str) -> Result<Vec<Person>, Error> {
    let rows = db
        .query(
            "look up users by sub",
            "SELECT uuid, display_name, handle FROM users WHERE cognito_user_id = $1 ORDER BY handle LIMIT 10",
            &[&sub],
        )
        .await?;
    rows.iter().map(person).collect()
}

/// Everybody, by handle.
///
/// # Errors
/// Where Postgres cannot be asked.
pub async fn everybody(db: &Db) -> Result<Vec<Person>, Error> {
    let all = "SELECT uuid, display_name, handle FROM users ORDER BY handle";
    db.query("list users", all, &[]).await?.iter().map(person).collect()
}

fn person(row: &Row) -> Result<Person, Error> {
    Ok(Person {
        uuid: column(row, "uuid")?,
        display_name: column(row, "display_name")?,
        handle: column(row, "handle")?,
    })
}

/// A row of `users`, as far as it identifies a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// whose conversations are under `GRP#<uuid>`
    pub uuid: Uuid,
    /// unique
    pub handle: String,
    /// the name that people see
    pub display_name: String,
    /// the `sub` of the Cognito user, or what a seed put in its place
    pub cognito_user_id: Option<String>,
}

impl Identity {
    /// Whether it is what is left of an account that was emptied: nobody signs in as it.
    #[must_use]
    pub fn is_erased(&self) -> bool {
        self.handle == erased_handle(self.uuid)
    }
}

/// The handle, and the sub, of an account that was emptied.
#[must_use]
pub fn erased_handle(uuid: Uuid) -> String {
    format!("erased-{uuid}")
}

/// Everybody, by handle.
///
/// # Errors
/// Where Postgres cannot be asked.
pub async fn identities(db: &Db) -> Result<Vec<Identity>, Error> {
    let all = "SELECT uuid, handle, display_name, cognito_user_id FROM users ORDER BY handle";
    let rows = db.query("list users", all, &[]).await?;
    let identity = |row: &Row| {
        Ok(Identity {
            uuid: column(row, "uuid")?,
            handle: column(row, "handle")?,
            display_name: column(row, "display_name")?,
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
    let people = by_cognito_sub(db, sub).await?;
    let target = target.as_argument();
    match people.as_slice() {
        [person] => Ok(person.uuid),
        [] => Err(Error::new(format!("no user has the Cognito sub `{sub}`"))
            .hint(format!(
                "carry the pool's ids over with `{}`",
                invocation(&format!("update-cognito-user-ids{target}"))
            ))
            .hint(format!(
                "`cognito-list-users` shows the pool's ids, and `{}` who cannot be matched",
                invocation(&format!("check-identities{target}"))
            ))),
        people => {
            let handles = people.iter().map(|person| &person.handle);
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

/// What to say to someone who named a handle that none of `handles` is.
pub fn suggestion<'a>(handle: &str, handles: impl Iterator<Item = &'a str> + Clone) -> String {
    match text::meant(handle, handles.clone()) {
        Some(meant) => format!("did you mean {}?", text::quoted([meant])),
        None => {
            format!("the nearest handles: {}", text::quoted(text::nearest(handle, handles, 10)))
        }
    }
}

async fn unknown_handles(db: &Db, target: Target, missing: &[&str]) -> Result<Error, Error> {
    let rows = db
        .query(
            "list handles",
            "SELECT handle FROM users ORDER BY handle LIMIT $1",
            &[&HANDLES_COMPARED],
        )
        .await?;
    let handles: Vec<&str> = rows.iter().filter_map(|row| row.try_get("handle").ok()).collect();
    let named: Vec<String> = missing.iter().map(|handle| text::quoted([handle])).collect();
    let mut error = Error::new(format!("no user has the handle {}", named.join(" or ")));
    for (handle, named) in missing.iter().zip(&named).filter(|_| !handles.is_empty()) {
        let which = if missing.len() > 1 { format!("for {named}: ") } else { String::new() };
        error = error.hint(which + &suggestion(handle, handles.iter().copied()));
    }
    let seed = invocation(&format!("db-setup{} --steps seed", target.as_argument()));
    Ok(if handles.is_empty() {
        error.hint(format!("there are no users at all: `{seed}` seeds some"))
    } else if missing.iter().any(|handle| SEEDED_HANDLES.contains(handle)) {
        error.hint(format!("`{seed}` seeds {}", text::quoted(SEEDED_HANDLES)))
    } else {
        error
    })
}
