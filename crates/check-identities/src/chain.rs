//! The chain of each person: sub -> users.uuid -> group rows -> messages, and
//! what hangs on no chain at all. Pure.

mod findings;
mod fixes;
mod index;

use std::collections::HashSet;

use cognito_list_users::pool::User;
use ops_common::app::users::Identity;
use ops_common::target::Target;
use serde::Serialize;
use uuid::Uuid;

use crate::table::{Content, Group, Misspelled};
use fixes::word;
use index::Index;

/// A link of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Link {
    #[serde(rename = "sub")]
    Sub,
    #[serde(rename = "users.uuid")]
    User,
    #[serde(rename = "group rows")]
    GroupRows,
    #[serde(rename = "messages")]
    Messages,
}

impl Link {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sub => "sub",
            Self::User => "users.uuid",
            Self::GroupRows => "group rows",
            Self::Messages => "messages",
        }
    }
}

/// What `--fix` can do by itself, in the order in which it is done: what comes first is
/// what the rest stands on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// the pool's ids into Postgres
    CopyIds,
    /// a row of Postgres gets the uuid under which the table knows the person
    Uuid { handle: String, from: Uuid, to: Uuid },
    /// a row comes to the key where the app looks for it
    Key(Box<Misspelled>),
    /// the inbox rows of a conversation of two
    Conversation { group: Uuid, people: [Uuid; 2] },
    /// names as Postgres has them
    Names,
}

/// Where a chain is broken, and how to fix it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Broken {
    pub(crate) link: Link,
    pub(crate) what: String,
    #[serde(rename = "mend")]
    pub(crate) fix: String,
    #[serde(skip)]
    pub(crate) step: Option<Step>,
}

/// A person, as far as the chain holds.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Person {
    pub(crate) handle: String,
    pub(crate) sub: Option<String>,
    pub(crate) user_uuid: Option<Uuid>,
    pub(crate) conversations: usize,
    pub(crate) messages: u64,
    /// the first broken link
    pub(crate) broken: Option<Broken>,
    /// the conversations, whole or not
    #[serde(skip)]
    pub(crate) groups: Vec<Uuid>,
}

/// Something that is on nobody's chain, or a conversation that is not whole.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) kind: &'static str,
    /// the conversation or the user
    pub(crate) uuid: Option<Uuid>,
    pub(crate) what: String,
    #[serde(rename = "mend")]
    pub(crate) fix: String,
    #[serde(skip)]
    pub(crate) step: Option<Step>,
}

/// The three stores.
pub(crate) struct Stores<'a> {
    pub(crate) target: Target,
    pub(crate) pool_id: &'a str,
    /// none: nobody looked
    pub(crate) pool: Option<&'a [User]>,
    pub(crate) people: &'a [Identity],
    pub(crate) table: &'a Content,
    pub(crate) table_name: &'a str,
    /// of the AWS CLI: region, endpoint and profile
    pub(crate) aws_cli_options: String,
}

/// What is found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) people: Vec<Person>,
    pub(crate) findings: Vec<Finding>,
    /// users of the pool without a handle and without a row: they have not yet
    /// chosen one
    pub(crate) newcomers: Vec<String>,
}

impl Stores<'_> {
    pub(crate) fn examine(&self) -> Found {
        let index = Index::of(self);
        let mut people = Vec::new();
        let mut newcomers = Vec::new();
        let mut told: HashSet<Uuid> = HashSet::new();
        for user in self.pool.unwrap_or_default() {
            let Some((handle, signed_in)) = index.sign_in(self, user) else {
                newcomers.push(user.username.clone());
                continue;
            };
            told.extend(index.by_handle.get(handle).map(|row| row.uuid));
            // A row that has the user's sub is not without one.
            told.extend(
                index.by_sub.get(user.sub.as_str()).into_iter().flatten().map(|row| row.uuid),
            );
            people.push(match signed_in {
                Ok(row) => {
                    told.insert(row.uuid);
                    self.inbox(&index, row, Some(user.sub.clone()))
                }
                Err(broken) => {
                    let sub = Some(user.sub.clone());
                    let person =
                        index.by_handle.get(handle).map(|row| self.inbox(&index, row, sub.clone()));
                    let nobody = Person {
                        handle: handle.to_owned(),
                        sub,
                        user_uuid: None,
                        conversations: 0,
                        messages: 0,
                        broken: None,
                        groups: Vec::new(),
                    };
                    Person { broken: Some(broken), ..person.unwrap_or(nobody) }
                }
            });
        }
        for row in self.people.iter().filter(|row| !told.contains(&row.uuid) && !row.is_erased()) {
            let mut person = self.inbox(&index, row, None);
            if self.pool.is_none() {
                people.push(person);
                continue;
            }
            person.broken = Some(Broken {
                link: Link::Sub,
                what: "no user of the pool has this handle, so they cannot sign in".to_owned(),
                fix: format!(
                    "sign up in the app, or `aws cognito-idp admin-create-user --user-pool-id {} --username {handle} --user-attributes Name=preferred_username,Value={handle}`; then {}",
                    self.pool_id,
                    self.call("update-cognito-user-ids", ""),
                    handle = word(&row.handle, "HANDLE")
                ),
                step: None,
            });
            people.push(person);
        }
        people.sort_by(|a, b| (&a.handle, &a.sub).cmp(&(&b.handle, &b.sub)));
        let mut findings = self.strangers(&index);
        findings.extend(self.groups(&index));
        findings.extend(self.names(&index));
        findings.extend(self.misspelled());
        findings.extend(self.malformed());
        Found { people, findings, newcomers }
    }

    /// From the row on.
    fn inbox(&self, index: &Index<'_>, row: &Identity, sub: Option<String>) -> Person {
        let groups = index.groups_of.get(&row.uuid).map_or(&[][..], Vec::as_slice);
        let has_row =
            |group: &Group| group.rows.iter().any(|group_row| group_row.owner == row.uuid);
        let in_list = || groups.iter().filter(|(_, group)| has_row(group));
        let broken = self
            .another_uuid(index, row)
            .or_else(|| {
                let rows =
                    |group: &Group| group.rows.iter().filter(|r| r.owner == row.uuid).count();
                let (uuid, group) =
                    groups.iter().find(|(_, group)| !group.is_whole() && rows(group) != 1)?;
                let what = match rows(group) {
                    0 => format!("takes part in the conversation {uuid} and has no row for it"),
                    rows => format!("has {rows} rows for the conversation {uuid}"),
                };
                let (fix, step) = (self.fix_rows(*uuid, group), self.step_of_group(*uuid, group));
                Some(Broken { link: Link::GroupRows, what, fix, step })
            })
            .or_else(|| {
                let not_whole = in_list().filter(|(_, group)| !group.is_whole());
                let (uuid, group, fault) = { not_whole }.find_map(|(uuid, group)| {
                    Some((uuid, group, fault_of_row(group, row.uuid)?))
                })?;
                Some(Broken {
                    link: Link::Messages,
                    what: format!("the row of the conversation {uuid} {fault}"),
                    fix: self.fix_last(*uuid, group),
                    step: self.step_of_group(*uuid, group),
                })
            });
        Person {
            handle: row.handle.clone(),
            sub,
            user_uuid: Some(row.uuid),
            conversations: in_list().count(),
            messages: in_list().map(|(_, group)| group.messages).sum(),
            broken,
            groups: groups.iter().map(|(uuid, _)| *uuid).collect(),
        }
    }

    /// The table knows the handle under a uuid that Postgres does not have: the
    /// person was created anew.
    fn another_uuid(&self, index: &Index<'_>, row: &Identity) -> Option<Broken> {
        let other = index.strangers_by_handle.get(row.handle.as_str())?;
        Some(Broken {
            link: Link::GroupRows,
            what: format!(
                "the table knows this handle as the user {other}, and Postgres as {}: created anew?",
                row.uuid
            ),
            fix: self.fix_uuid(index, *other, &row.handle),
            step: Some(Step::Uuid { handle: row.handle.clone(), from: row.uuid, to: *other }),
        })
    }
}

/// What is wrong with one participant's row of a conversation.
fn fault_of_row(group: &Group, owner: Uuid) -> Option<&'static str> {
    let mut rows = group.rows.iter().filter(|row| row.owner == owner);
    match group.newest {
        None => Some("leads to no messages"),
        Some(newest) if rows.any(|row| row.last != newest) => {
            Some("does not show the newest message")
        }
        Some(_) => None,
    }
}
