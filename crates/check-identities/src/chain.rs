//! The chain of each person: sub -> users.uuid -> group rows -> messages, and
//! what hangs on no chain at all. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use cognito_list_users::pool::{ByHandle, User};
use ops_common::app::keys::InboxKey;
use ops_common::app::records::SEEDED_GROUP;
use ops_common::app::users::{Identity, SEEDED_HANDLES};
use ops_common::env::invocation;
use ops_common::target::Target;
use ops_common::text::{count, quoted};
use serde::Serialize;
use uuid::Uuid;

use crate::table::{Content, Group, GroupRow};

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

/// Where a chain is broken, and how to fix it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Broken {
    pub(crate) link: Link,
    pub(crate) what: String,
    #[serde(rename = "mend")]
    pub(crate) fix: String,
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
}

/// The three stores.
pub(crate) struct Stores<'a> {
    pub(crate) target: Target,
    pub(crate) pool_id: &'a str,
    pub(crate) pool: &'a [User],
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
        for user in self.pool {
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
        for row in self.people.iter().filter(|row| !told.contains(&row.uuid)) {
            let mut person = self.inbox(&index, row, None);
            person.broken = Some(Broken {
                link: Link::Sub,
                what: "no user of the pool has this handle, so they cannot sign in".to_owned(),
                fix: format!(
                    "sign up in the app, or `aws cognito-idp admin-create-user --user-pool-id {} --username {handle} --user-attributes Name=preferred_username,Value={handle}`; then {}",
                    self.pool_id,
                    self.call("update-cognito-user-ids", ""),
                    handle = word(&row.handle, "HANDLE")
                ),
            });
            people.push(person);
        }
        people.sort_by(|a, b| (&a.handle, &a.sub).cmp(&(&b.handle, &b.sub)));
        let mut findings = self.strangers(&index);
        findings.extend(self.groups(&index));
        findings.extend(self.malformed());
        Found { people, findings, newcomers }
    }

    fn call(&self, tool: &str, arguments: &str) -> String {
        format!("`{}`", invocation(&format!("{tool}{}{arguments}", self.target.as_argument())))
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
                let (uuid, group) = groups.iter().find(|(_, group)| rows(group) != 1)?;
                let what = match rows(group) {
                    0 => format!("takes part in the conversation {uuid} and has no row for it"),
                    rows => format!("has {rows} rows for the conversation {uuid}"),
                };
                Some(Broken { link: Link::GroupRows, what, fix: self.fix_rows(*uuid, group) })
            })
            .or_else(|| {
                let (uuid, group, fault) = in_list().find_map(|(uuid, group)| {
                    Some((uuid, group, fault_of_row(group, row.uuid)?))
                })?;
                Some(Broken {
                    link: Link::Messages,
                    what: format!("the row of the conversation {uuid} {fault}"),
                    fix: self.fix_last(*uuid, group),
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
        })
    }

    /// How the conversations of an earlier uuid come back.
    fn fix_uuid(&self, index: &Index<'_>, uuid: Uuid, handle: &str) -> String {
        let handle = word(handle, "HANDLE");
        let update = format!("UPDATE users SET uuid = '{uuid}' WHERE handle = '{handle}'");
        let groups = index.groups_of.get(&uuid).map_or(&[][..], Vec::as_slice);
        if groups.iter().all(|(group, _)| *group == SEEDED_GROUP) {
            let seed = self.call("ddb-seed", "");
            return format!("{seed}; where people have written too, with psql: `{update}`");
        }
        format!("with psql: `{update}`")
    }

    /// How each participant comes to one row of a conversation.
    fn fix_rows(&self, uuid: Uuid, group: &Group) -> String {
        if uuid == SEEDED_GROUP {
            return self.call("ddb-seed", "");
        }
        if group.newest.is_none() {
            return self.fix_last(uuid, group);
        }
        let superfluous: Vec<&GroupRow> =
            group.rows.iter().filter(|row| group.is_superfluous(row)).collect();
        if !superfluous.is_empty() {
            return self.delete_rows(&superfluous);
        }
        let owners: HashSet<Uuid> = group.rows.iter().map(|row| row.owner).collect();
        let mut participants: Vec<Uuid> = group.participants().into_iter().collect();
        participants.sort();
        match (&participants[..], participants.iter().find(|uuid| !owners.contains(uuid))) {
            ([_, _], Some(owner)) if !owners.is_empty() => format!(
                "`aws dynamodb put-item` of the other person's row, its pk `{}`, its user_uuid, user_handle and user_display_name the other person's",
                InboxKey(*owner)
            ),
            _ => format!(
                "there is no command for it: look at {} first",
                self.call("ddb-get-conversation", &format!(" --group {uuid}"))
            ),
        }
    }

    /// Deletes exactly these rows.
    fn delete_rows(&self, rows: &[&GroupRow]) -> String {
        let command = |row: &&GroupRow| {
            format!(
                r#"`aws dynamodb delete-item --table-name {} --key '{{"pk":{{"S":"{}"}},"sk":{{"S":"{}"}}}}'{}`"#,
                self.table_name,
                InboxKey(row.owner),
                row.last.at,
                self.aws_cli_options
            )
        };
        rows.iter().map(command).collect::<Vec<_>>().join(" and ")
    }

    /// How a person comes into Postgres: with the uuid under which the table knows
    /// them, and the id that they sign in with.
    fn fix_person(
        &self,
        index: &Index<'_>,
        handle: &str,
        uuid: Option<Uuid>,
        sub: Option<&str>,
    ) -> String {
        if SEEDED_HANDLES.contains(&handle) {
            return format!(
                "{}, then {}",
                self.call("db-setup", " --steps seed"),
                self.call("update-cognito-user-ids", "")
            );
        }
        let uuid = uuid.or_else(|| index.strangers_by_handle.get(handle).copied());
        let sub = sub.or_else(|| index.pool.subs.get(handle).copied());
        let (column, value) =
            uuid.map_or_else(Default::default, |uuid| ("uuid, ", format!("'{uuid}', ")));
        format!(
            "with psql: `INSERT INTO users ({column}display_name, handle, email, cognito_user_id) VALUES ({value}'NAME', '{handle}', 'EMAIL', '{}')`",
            sub.unwrap_or("SUB"),
            handle = word(handle, "HANDLE")
        )
    }

    /// How a user of the pool is changed.
    fn fix_user(&self, user: &User, handle: &str) -> String {
        format!(
            "`aws cognito-idp admin-update-user-attributes --user-pool-id {} --username {} --user-attributes Name=preferred_username,Value={handle}`",
            self.pool_id,
            word(&user.username, "USERNAME"),
            handle = word(handle, "HANDLE")
        )
    }

    /// Who moves a conversation's rows to its last message.
    fn fix_last(&self, uuid: Uuid, group: &Group) -> String {
        if uuid == SEEDED_GROUP {
            return self.call("ddb-seed", "");
        }
        if group.newest.is_some() {
            return format!(
                "a new message moves both rows to it: {}",
                self.call("ddb-send-message", &format!(" --from HANDLE --group {uuid} TEXT"))
            );
        }
        if self.table.malformed_count > 0 {
            return "first fix the rows that cannot be read: its messages may be among them"
                .to_owned();
        }
        self.delete_rows(&group.rows.iter().collect::<Vec<_>>())
    }

    /// Users whom the table names and Postgres does not have.
    fn strangers(&self, index: &Index<'_>) -> Vec<Finding> {
        let by_uuid: BTreeMap<&Uuid, &String> = self.table.strangers.iter().collect();
        let owners = self.table.groups.values().flat_map(|group| &group.rows).map(|row| row.owner);
        let unnamed: BTreeSet<Uuid> = owners
            .filter(|owner| !index.by_uuid.contains_key(owner) && !by_uuid.contains_key(owner))
            .collect();
        let named = by_uuid.into_iter().map(|(uuid, handle)| (*uuid, Some(handle)));
        let finding = |(uuid, handle): (Uuid, Option<&String>)| {
            let groups = index.groups_of.get(&uuid).map_or(0, Vec::len);
            let handle_text =
                handle.map_or(String::new(), |handle| format!(" (`{handle}` in its rows)"));
            let anew = handle.and_then(|handle| index.by_handle.get(handle.as_str()));
            Finding {
                kind: "unknown user",
                uuid: Some(uuid),
                what: format!(
                    "the user {uuid}{handle_text} of {} is not in Postgres",
                    count(groups, "conversation")
                ),
                fix: match anew {
                    Some(row) => self.fix_uuid(index, uuid, &row.handle),
                    None => {
                        let handle = handle.map_or("HANDLE", String::as_str);
                        self.fix_person(index, handle, Some(uuid), None)
                    }
                },
            }
        };
        named.chain(unnamed.into_iter().map(|uuid| (uuid, None))).map(finding).collect()
    }

    /// Conversations that are not whole.
    fn groups(&self, index: &Index<'_>) -> Vec<Finding> {
        let broken: BTreeMap<&Uuid, &Group> =
            self.table.groups.iter().filter(|(_, group)| !group.is_whole()).collect();
        let mut findings = Vec::new();
        for (uuid, group) in broken {
            let mut add = |kind, what: String, fix: String| {
                findings.push(Finding { kind, uuid: Some(*uuid), what, fix });
            };
            let (fix_rows, fix_last) = (self.fix_rows(*uuid, group), self.fix_last(*uuid, group));
            let names = |uuids: &mut dyn Iterator<Item = Uuid>| {
                let mut names: Vec<String> = uuids
                    .map(|uuid| index.handle(self, uuid).unwrap_or_else(|| uuid.to_string()))
                    .collect();
                names.sort();
                quoted(names)
            };
            let owners: HashSet<Uuid> = group.rows.iter().map(|row| row.owner).collect();
            if group.rows.len() != 2 || owners.len() != 2 {
                let mut without =
                    group.participants().into_iter().filter(|person| !owners.contains(person));
                let without = names(&mut without);
                let without =
                    if without.is_empty() { without } else { format!(", none for {without}") };
                let rows = count(group.rows.len(), "row");
                let what = format!("the conversation {uuid} has {rows} in place of two{without}");
                add("group rows", what, fix_rows.clone());
            }
            if group.participants().len() > 2 {
                let names = names(&mut group.participants().into_iter());
                let what = format!("the conversation {uuid} has more than two people: {names}");
                add("participants", what, fix_rows.clone());
            }
            let mut alone =
                group.rows.iter().filter(|row| row.owner == row.other).map(|row| row.owner);
            let alone = names(&mut alone);
            if !alone.is_empty() {
                let what = format!("the conversation {uuid} is one of {alone} with nobody else");
                add("participants", what, fix_rows);
            }
            if group.newest.is_none() {
                add("no messages", format!("the conversation {uuid} has no messages"), fix_last);
                continue;
            }
            let stale = group.rows.iter().filter(|row| Some(row.last) != group.newest);
            let mut stale = stale.filter(|row| !group.is_superfluous(row)).map(|row| row.owner);
            let stale = names(&mut stale);
            if !stale.is_empty() {
                let what = format!(
                    "the conversation {uuid} has another newest message than {stale} is shown"
                );
                add("stale row", what, fix_last);
            }
        }
        findings
    }

    fn malformed(&self) -> Vec<Finding> {
        let fix = format!("{} shows it as it is", self.call("ddb-scan", " --output jsonl"));
        let finding =
            |what: String| Finding { kind: "malformed", uuid: None, what, fix: fix.clone() };
        let mut findings: Vec<Finding> =
            self.table.malformed.iter().cloned().map(finding).collect();
        let more = self.table.malformed_count - findings.len();
        if more > 0 {
            findings.push(finding(format!("{} more cannot be read", count(more, "row"))));
        }
        findings
    }
}

/// A name as it can stand in a command that is there to be pasted. People choose
/// their names: one that a shell or SQL could take for more is left to be typed.
fn word<'a>(name: &'a str, placeholder: &'a str) -> &'a str {
    let harmless = |c: char| c.is_alphanumeric() || "_.@+-".contains(c);
    let is_word = !name.is_empty() && !name.starts_with('-') && name.chars().all(harmless);
    if is_word { name } else { placeholder }
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

/// The stores, as the chain is followed through them.
struct Index<'a> {
    by_uuid: HashMap<Uuid, &'a Identity>,
    by_sub: HashMap<&'a str, Vec<&'a Identity>>,
    by_handle: HashMap<&'a str, &'a Identity>,
    by_letters: HashMap<String, &'a Identity>,
    pool: ByHandle<'a>,
    strangers_by_handle: HashMap<&'a str, Uuid>,
    /// each conversation that names the person
    groups_of: HashMap<Uuid, Vec<(Uuid, &'a Group)>>,
}

impl<'a> Index<'a> {
    fn of(stores: &Stores<'a>) -> Self {
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
            pool: ByHandle::of(stores.pool),
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
    fn handle(&self, stores: &Stores<'_>, user: Uuid) -> Option<String> {
        let known = self.by_uuid.get(&user).map(|row| &row.handle);
        known.or_else(|| stores.table.strangers.get(&user)).cloned()
    }

    /// The handle of a user of the pool, and the row that the app signs the user
    /// in as: the one with the `sub`. `None` for a user who has neither.
    fn sign_in<'b>(
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
        let broken = |link, what: String, fix: String| Err(Broken { link, what, fix });
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
                stores.fix_user(user, &row.handle),
            ),
            ([], Some(row)) => broken(
                Link::Sub,
                format!(
                    "Postgres has the id `{}` for them, the pool has another",
                    row.cognito_user_id.as_deref().unwrap_or("")
                ),
                stores.call("update-cognito-user-ids", ""),
            ),
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
            ([row], Some(_)) => broken(
                Link::Sub,
                format!("they sign in as `{}`: Postgres has their sub there", row.handle),
                stores.call("update-cognito-user-ids", ""),
            ),
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
            }),
        }
    }
}
