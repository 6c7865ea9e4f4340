//! What fixes each thing that is found: a command or a statement, with a placeholder for
//! what nobody can know here, that makes the check whole and invents nothing. Where there
//! is none, words that say what to look at.

use std::collections::HashSet;

use cognito_list_users::pool::User;
use ops_common::app::keys::InboxKey;
use ops_common::app::records::SEEDED_GROUP;
use ops_common::app::users::SEEDED_HANDLES;
use ops_common::args::DEFAULT_TABLE;
use ops_common::env::invocation;
use uuid::Uuid;

use super::index::Index;
use super::{Step, Stores};
use crate::table::{Group, GroupRow};

impl Stores<'_> {
    pub(super) fn call(&self, tool: &str, arguments: &str) -> String {
        let table = match self.table_name {
            name if name != DEFAULT_TABLE
                && (tool.starts_with("ddb-") || tool == "check-identities") =>
            {
                format!(" --table {name}")
            }
            _ => String::new(),
        };
        let target = self.target.as_argument();
        format!("`{}`", invocation(&format!("{tool}{target}{table}{arguments}")))
    }

    /// How the conversations of an earlier uuid come back.
    pub(super) fn fix_uuid(&self, index: &Index<'_>, uuid: Uuid, handle: &str) -> String {
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
    pub(super) fn fix_rows(&self, uuid: Uuid, group: &Group) -> String {
        if uuid == SEEDED_GROUP {
            return self.fix_seeded(group);
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

    /// How the seeded conversation becomes whole: a seed writes all of it anew, with other
    /// times, over what people changed.
    fn fix_seeded(&self, group: &Group) -> String {
        let seed = self.call("ddb-seed", "");
        match self.step_of_group(SEEDED_GROUP, group) {
            Some(_) => {
                let fix = self.call("check-identities", " --fix");
                format!("{fix}, or {seed}, which writes all of the conversation anew")
            }
            None => seed,
        }
    }

    /// What --fix does for a conversation whose rows are not right.
    pub(super) fn step_of_group(&self, uuid: Uuid, group: &Group) -> Option<Step> {
        // Where messages are hidden it may only look as if there were none.
        if group.newest.is_none() && (self.table.has_hidden_rows() || uuid == SEEDED_GROUP) {
            return None;
        }
        let mut people: Vec<Uuid> = group.participants().into_iter().collect();
        people.sort();
        match people[..] {
            [one, other] => Some(Step::Conversation { group: uuid, people: [one, other] }),
            _ => None,
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
    pub(super) fn fix_person(
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
    pub(super) fn fix_user(&self, user: &User, handle: &str) -> String {
        format!(
            "`aws cognito-idp admin-update-user-attributes --user-pool-id {} --username {} --user-attributes Name=preferred_username,Value={handle}`",
            self.pool_id,
            word(&user.username, "USERNAME"),
            handle = word(handle, "HANDLE")
        )
    }

    /// Who moves a conversation's rows to its last message.
    pub(super) fn fix_last(&self, uuid: Uuid, group: &Group) -> String {
        if uuid == SEEDED_GROUP {
            return self.fix_seeded(group);
        }
        if group.newest.is_some() {
            return format!(
                "a new message moves both rows to it: {}",
                self.call("ddb-send-message", &format!(" --from HANDLE --group {uuid} TEXT"))
            );
        }
        if self.table.has_hidden_rows() {
            return "first fix the rows that cannot be read or found: its messages may be among them"
                .to_owned();
        }
        self.delete_rows(&group.rows.iter().collect::<Vec<_>>())
    }
}

/// A name as it can stand in a command that is there to be pasted. People choose
/// their names: one that a shell or SQL could take for more is left to be typed.
pub(super) fn word<'a>(name: &'a str, placeholder: &'a str) -> &'a str {
    let harmless = |c: char| c.is_alphanumeric() || "_.@+-".contains(c);
    let is_word = !name.is_empty() && !name.starts_with('-') && name.chars().all(harmless);
    if is_word { name } else { placeholder }
}
