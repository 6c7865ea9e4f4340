//! The stores as the chain is followed through them, and its first link: as whom a user
//! of the pool is signed in.

use std::collections::HashMap;

use cognito_list_users::pool::{ByHandle, User};
use ops_common::app::users::Identity;
use ops_common::text::quoted;
use uuid::Uuid;

use super::fixes::word;
use super::{Broken, Link, Step, Stores};
use crate::table::Group;

/// The stores, as the chain is followed through them.
pub(super) struct Index<'a> {
    pub(super) by_uuid: HashMap<Uuid, &'a Identity>,
    pub(super) by_sub: HashMap<&'a str, Vec<&'a Identity>>,
    pub(super) by_handle: HashMap<&'a str, &'a Identity>,
    by_letters: HashMap<String, &'a Identity>,
    pub(super) pool: ByHandle<'a>,
    pub(super) strangers_by_handle: HashMap<&'a str, Uuid>,
    /// each conversation that names the person
    pub(super) groups_of: HashMap<Uuid, Vec<(Uuid, &'a Group)>>,
}

impl<'a> Index<'a> {
    pub(super) fn of(stores: &Stores<'a>) -> Self {
        let mut by_sub: HashMap<&str, Vec<&Identity>> = HashMap::new();
        for row in stores.people {
            if let Some(sub) = &row.cognito_user_id {
                by_sub.entry(sub).or_default().push(row);
            }
        }
        let mut groups_of: HashMap<Uuid, Vec<(Uuid, &Group)>> = HashMap::new();
        for (uuid, group) in &stores.table.groups {
            for person in group.participants() {
                groups_of.entry(person).or_default().push((*uuid, group));
            }
        }
        for groups in groups_of.values_mut() {
            groups.sort_by_key(|(uuid, _)| *uuid);
        }
        Self {
            by_uuid: stores.people.iter().map(|row| (row.uuid, row)).collect(),
            by_sub,
            by_handle: stores.people.iter().map(|row| (row.handle.as_str(), row)).collect(),
            by_letters: stores.people.iter().map(|row| (row.handle.to_lowercase(), row)).collect(),
            pool: ByHandle::of(stores.pool.unwrap_or_default()),
            strangers_by_handle: stores
                .table
                .strangers
                .iter()
                .map(|(uuid, handle)| (handle.as_str(), *uuid))
                .collect(),
            groups_of,
        }
    }

    /// The handle that Postgres gives to a user, else the table's rows.
    pub(super) fn handle(&self, stores: &Stores<'_>, user: Uuid) -> Option<String> {
        let known = self.by_uuid.get(&user).map(|row| &row.handle);
        known.or_else(|| stores.table.strangers.get(&user)).cloned()
    }

    /// The handle of a user of the pool, and the row that the app signs the user
    /// in as: the one with the `sub`. `None` for a user who has neither.
    pub(super) fn sign_in<'b>(
        &self,
        stores: &Stores<'_>,
        user: &'b User,
    ) -> Option<(&'b str, Result<&'a Identity, Broken>)>
    where
        'a: 'b,
    {
        let rows = self.by_sub.get(user.sub.as_str()).map_or(&[][..], Vec::as_slice);
        let Some(handle) = user.handle.as_deref() else {
            let row = rows.first()?;
            return Some((row.handle.as_str(), self.only_row(stores, rows)));
        };
        let broken = |link, what: String, fix: String| Err(Broken { link, what, fix, step: None });
        let copy = |what: String| {
            let fix = stores.call("update-cognito-user-ids", "");
            Err(Broken { link: Link::Sub, what, fix, step: Some(Step::CopyIds) })
        };
        if let Some(subs) = self.pool.duplicates.get(handle) {
            let what = format!(
                "{} users of the pool have this handle, this one is `{}`",
                subs.len(),
                user.username
            );
            return Some((handle, broken(Link::Sub, what, stores.fix_user(user, "ANOTHER"))));
        }
        if !user.enabled {
            let what = format!("their user of the pool, `{}`, is disabled", user.username);
            let fix = format!(
                "`aws cognito-idp admin-enable-user --user-pool-id {} --username {}`",
                stores.pool_id,
                word(&user.username, "USERNAME")
            );
            return Some((handle, broken(Link::Sub, what, fix)));
        }
        let of_handle = self.by_handle.get(handle).copied();
        let result = match (rows, of_handle) {
            ([row], _) if row.handle == handle => Ok(*row),
            ([row], None) => broken(
                Link::User,
                format!("Postgres has this sub at `{}`, and nobody of this handle", row.handle),
                // A row that another user of the pool is called by is that user's.
                match self.pool.subs.contains_key(row.handle.as_str()) {
                    true => stores.fix_person(self, handle, None, Some(&user.sub)),
                    false => stores.fix_user(user, &row.handle),
                },
            ),
            ([], Some(row)) => copy(format!(
                "Postgres has the id `{}` for them, the pool has another",
                row.cognito_user_id.as_deref().unwrap_or("")
            )),
            ([], None) => match self.by_letters.get(&handle.to_lowercase()) {
                Some(row) => broken(
                    Link::User,
                    format!("nobody in Postgres has this handle, but there is `{}`", row.handle),
                    stores.fix_user(user, &row.handle),
                ),
                None => broken(
                    Link::User,
                    "nobody in Postgres has this handle".to_owned(),
                    stores.fix_person(self, handle, None, Some(&user.sub)),
                ),
            },
            ([row], Some(_)) => {
                copy(format!("they sign in as `{}`: Postgres has their sub there", row.handle))
            }
            (_, _) => self.only_row(stores, rows),
        };
        Some((handle, result))
    }

    /// The row of a sub that only one may have.
    fn only_row(&self, stores: &Stores<'_>, rows: &[&'a Identity]) -> Result<&'a Identity, Broken> {
        match rows {
            [row] => Ok(row),
            rows => Err(Broken {
                link: Link::Sub,
                what: format!(
                    "their sub is in more than one row of Postgres: {}",
                    quoted(rows.iter().map(|row| &row.handle))
                ),
                fix: format!(
                    "{}, or where the other row has no user in the pool: set its `cognito_user_id` to another value with psql",
                    stores.call("update-cognito-user-ids", "")
                ),
                step: Some(Step::CopyIds),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use ops_common::target::Target;

    use super::*;
    use crate::table::Content;

    fn user(handle: Option<&str>, sub: &str) -> User {
        User {
            username: format!("user-{sub}"),
            sub: sub.to_owned(),
            handle: handle.map(str::to_owned),
            status: "CONFIRMED".to_owned(),
            enabled: true,
            created_at: None,
            modified_at: None,
            attributes: std::collections::BTreeMap::new(),
        }
    }

    fn row(handle: &str, sub: &str) -> Identity {
        Identity {
            uuid: Uuid::new_v4(),
            handle: handle.to_owned(),
            display_name: handle.to_owned(),
            cognito_user_id: Some(sub.to_owned()),
        }
    }

    /// As whom the first user of `pool` is signed in: the handle that is told, and the
    /// row's or what is broken.
    fn signed_in(pool: &[User], people: &[Identity]) -> Option<(String, Result<String, String>)> {
        let content = Content::default();
        let stores = Stores {
            target: Target::Local,
            pool_id: "local_pool",
            pool: Some(pool),
            people,
            table: &content,
            table_name: "messages",
            aws_cli_options: String::new(),
        };
        let (handle, result) = Index::of(&stores).sign_in(&stores, &pool[0])?;
        let result = result.map(|row| row.handle.clone());
        let broken = |broken: Broken| {
            assert!(!broken.fix.is_empty());
            format!("{}: {}", broken.link.name(), broken.what)
        };
        Some((handle.to_owned(), result.map_err(broken)))
    }

    #[test]
    fn a_user_is_signed_in_as_the_row_with_the_sub() {
        let people = [row("bayko", "b"), row("maren", "m")];
        let whole = Some(("bayko".to_owned(), Ok("bayko".to_owned())));
        assert_eq!(signed_in(&[user(Some("bayko"), "b")], &people), whole);
        // The handle is the app's; the pool may not have got it yet.
        assert_eq!(signed_in(&[user(None, "b")], &people), whole);
        assert_eq!(signed_in(&[user(None, "x")], &people), None);
    }

    #[test]
    fn every_broken_sign_in_is_told_from_the_others() {
        let people = [row("bayko", "b"), row("maren", "m"), row("a", "twice"), row("b", "twice")];
        let mut disabled = user(Some("bayko"), "b");
        disabled.enabled = false;
        for (pool, broken) in [
            (
                vec![user(Some("bayko"), "b"), user(Some("bayko"), "x")],
                "sub: 2 users of the pool have this handle, this one is `user-b`",
            ),
            (vec![disabled], "sub: their user of the pool, `user-b`, is disabled"),
            (
                vec![user(Some("baiko"), "b")],
                "users.uuid: Postgres has this sub at `bayko`, and nobody of this handle",
            ),
            (
                vec![user(Some("bayko"), "new")],
                "sub: Postgres has the id `b` for them, the pool has another",
            ),
            (
                vec![user(Some("Bayko"), "new")],
                "users.uuid: nobody in Postgres has this handle, but there is `bayko`",
            ),
            (vec![user(Some("tariq"), "new")], "users.uuid: nobody in Postgres has this handle"),
            (
                vec![user(Some("bayko"), "m")],
                "sub: they sign in as `maren`: Postgres has their sub there",
            ),
            (
                vec![user(Some("a"), "twice")],
                "sub: their sub is in more than one row of Postgres: `a`, `b`",
            ),
            (
                vec![user(None, "twice")],
                "sub: their sub is in more than one row of Postgres: `a`, `b`",
            ),
        ] {
            let (_, result) = signed_in(&pool, &people).expect("neither handle nor row");
            assert_eq!(result, Err(broken.to_owned()));
        }
    }
}
