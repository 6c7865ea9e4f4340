//! What the pool and the people of Postgres have to do with each other. Pure.

use std::collections::{HashMap, HashSet};

use cognito_list_users::pool::{ByHandle, User};
use serde::Serialize;

/// A row of `users`, and the id that it was or would be given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) handle: String,
    pub(crate) old: Option<String>,
    /// none: the row stays as it is
    pub(crate) new: Option<String>,
}

/// An id that was or would be written.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Updated {
    pub(crate) handle: String,
    pub(crate) old: Option<String>,
    pub(crate) new: String,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct OnlyInCognito {
    pub(crate) handle: String,
    pub(crate) sub: String,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct OnlyInPostgres {
    pub(crate) handle: String,
    pub(crate) cognito_user_id: Option<String>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct WithoutHandle {
    pub(crate) username: String,
    pub(crate) sub: String,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct DuplicateHandle {
    pub(crate) handle: String,
    pub(crate) subs: Vec<String>,
}

/// A handle of the pool that has no row, and a row that differs from it only by
/// letter case.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct CaseDiffers {
    pub(crate) cognito_handle: String,
    pub(crate) postgres_handle: String,
    pub(crate) sub: String,
}

/// Every user of the pool and every row of Postgres, each in one list.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Comparison {
    pub(crate) updated: Vec<Updated>,
    pub(crate) unchanged: Vec<String>,
    pub(crate) only_in_cognito: Vec<OnlyInCognito>,
    pub(crate) only_in_postgres: Vec<OnlyInPostgres>,
    pub(crate) without_handle: Vec<WithoutHandle>,
    pub(crate) duplicate_handles: Vec<DuplicateHandle>,
    pub(crate) case_differs: Vec<CaseDiffers>,
}

impl Comparison {
    pub(crate) fn of(pool: &ByHandle<'_>, rows: Vec<Row>) -> Self {
        let handles: HashSet<String> = rows.iter().map(|row| row.handle.clone()).collect();
        let by_letters: HashMap<String, String> =
            handles.iter().map(|handle| (handle.to_lowercase(), handle.clone())).collect();
        let mut result = Self::default();
        for (handle, sub) in &pool.subs {
            if handles.contains(*handle) {
                continue;
            }
            match by_letters.get(&handle.to_lowercase()) {
                Some(postgres_handle) => result.case_differs.push(CaseDiffers {
                    cognito_handle: (*handle).to_owned(),
                    postgres_handle: postgres_handle.clone(),
                    sub: (*sub).to_owned(),
                }),
                None => result
                    .only_in_cognito
                    .push(OnlyInCognito { handle: (*handle).to_owned(), sub: (*sub).to_owned() }),
            }
        }
        let told: HashSet<String> =
            result.case_differs.iter().map(|pair| pair.postgres_handle.clone()).collect();
        for Row { handle, old, new } in rows {
            match new {
                Some(new) => result.updated.push(Updated { handle, old, new }),
                None if pool.subs.contains_key(handle.as_str()) => result.unchanged.push(handle),
                None if pool.duplicates.contains_key(handle.as_str()) || told.contains(&handle) => {
                }
                None => {
                    result.only_in_postgres.push(OnlyInPostgres { handle, cognito_user_id: old })
                }
            }
        }
        let duplicate = |(handle, subs): (&&str, &Vec<&str>)| DuplicateHandle {
            handle: (*handle).to_owned(),
            subs: subs.iter().map(|sub| (*sub).to_owned()).collect(),
        };
        result.duplicate_handles = pool.duplicates.iter().map(duplicate).collect();
        let without =
            |user: &&User| WithoutHandle { username: user.username.clone(), sub: user.sub.clone() };
        result.without_handle = pool.without_handle.iter().map(without).collect();
        result
    }

    /// Whether an id would change, a handle of the pool has no row, or is there
    /// twice. People who never chose a handle and rows of people who never
    /// signed up are no fault.
    pub(crate) fn differs(&self) -> bool {
        !(self.updated.is_empty()
            && self.only_in_cognito.is_empty()
            && self.case_differs.is_empty()
            && self.duplicate_handles.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(handle: Option<&str>, sub: &str) -> User {
        User {
            username: format!("user-{sub}"),
            sub: sub.into(),
            handle: handle.map(str::to_owned),
            status: "CONFIRMED".into(),
            enabled: true,
            created_at: None,
            modified_at: None,
            attributes: std::collections::BTreeMap::new(),
        }
    }

    fn row(handle: &str, old: &str, new: Option<&str>) -> Row {
        Row { handle: handle.into(), old: Some(old.into()), new: new.map(str::to_owned) }
    }

    #[test]
    fn each_is_in_one_list() {
        let users = [
            user(Some("changed"), "1"),
            user(Some("same"), "2"),
            user(Some("new"), "3"),
            user(None, "4"),
            user(Some("twice"), "5"),
            user(Some("twice"), "6"),
            user(Some("Letters"), "7"),
        ];
        let rows = vec![
            row("changed", "MOCK", Some("1")),
            row("same", "2", None),
            row("old", "MOCK", None),
            row("twice", "MOCK", None),
            row("letters", "MOCK", None),
        ];
        let found = Comparison::of(&ByHandle::of(&users), rows);
        let expected = serde_json::json!({
            "updated": [{"handle": "changed", "old": "MOCK", "new": "1"}],
            "unchanged": ["same"],
            "only_in_cognito": [{"handle": "new", "sub": "3"}],
            "only_in_postgres": [{"handle": "old", "cognito_user_id": "MOCK"}],
            "without_handle": [{"username": "user-4", "sub": "4"}],
            "duplicate_handles": [{"handle": "twice", "subs": ["5", "6"]}],
            "case_differs": [{"cognito_handle": "Letters", "postgres_handle": "letters", "sub": "7"}],
        });
        assert_eq!(serde_json::to_value(&found).expect("JSON"), expected);
        assert!(found.differs());
    }

    #[test]
    fn a_handle_in_other_letters_takes_nothing_from_the_one_that_matches() {
        let users = [user(Some("bayko"), "1"), user(Some("BAYKO"), "2")];
        let found = Comparison::of(&ByHandle::of(&users), vec![row("bayko", "1", None)]);
        assert_eq!(found.unchanged, ["bayko"]);
        assert_eq!(found.case_differs.len(), 1);
        assert!(found.differs());
    }

    #[test]
    fn people_without_a_handle_or_a_sign_in_are_no_fault() {
        let users = [user(None, "1"), user(Some("a"), "2")];
        let rows = vec![row("a", "2", None), row("b", "MOCK", None)];
        assert!(!Comparison::of(&ByHandle::of(&users), rows).differs());
    }
}
