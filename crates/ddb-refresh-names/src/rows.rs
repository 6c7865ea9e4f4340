//! The names that rows have, and the statement that puts the right ones there. Pure.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use ops_common::app::keys::{InboxKey, PK, SK};
use ops_common::app::records::{Item, Person, text};
use ops_common::dynamodb::statements::Statement;
use uuid::Uuid;

const USER: &str = "user_uuid";
const HANDLE: &str = "user_handle";
const DISPLAY_NAME: &str = "user_display_name";

/// The inbox that a row is in, and its conversation: a row of an inbox moves.
pub(crate) const GROUP: &str = "message_group_uuid";

/// What is read of a row.
pub(crate) const ATTRIBUTES: [&str; 6] = [PK, SK, GROUP, USER, HANDLE, DISPLAY_NAME];

/// People by their uuid in Postgres.
pub type People = HashMap<Uuid, Person>;

/// What a row is, as far as names go.
#[derive(Debug)]
pub(crate) enum Seen<'a> {
    /// it names nobody who was asked for
    Other,
    /// it names somebody who is not in Postgres
    Stranger,
    /// it has the names of Postgres
    Right,
    /// it has others
    Outdated(&'a Person),
}

/// Looks at one row. `all`: whether the people are all that there are.
pub(crate) fn look<'a>(row: &Item, people: &'a People, all: bool) -> Seen<'a> {
    let pk = text(row, PK).unwrap_or_default();
    if !pk.starts_with("GRP#") && !pk.starts_with("MSG#") {
        return Seen::Other;
    }
    let Some(user) = text(row, USER).and_then(|user| user.parse::<Uuid>().ok()) else {
        return Seen::Other;
    };
    match people.get(&user) {
        None if all => Seen::Stranger,
        None => Seen::Other,
        Some(person) => {
            let is_right = text(row, HANDLE) == Some(&person.handle)
                && text(row, DISPLAY_NAME) == Some(&person.display_name);
            if is_right { Seen::Right } else { Seen::Outdated(person) }
        }
    }
}

/// What a row calls somebody, in words.
pub(crate) fn names(row: &Item) -> (String, String) {
    let name = |name| text(row, name).unwrap_or("(none)").to_owned();
    (name(HANDLE), name(DISPLAY_NAME))
}

/// The owner of the inbox that a row is in, and its conversation.
pub(crate) fn place_in_inbox(row: &Item) -> Option<(Uuid, Uuid)> {
    let owner: InboxKey = text(row, PK)?.parse().ok()?;
    Some((owner.0, text(row, GROUP)?.parse().ok()?))
}

/// Puts the names of `person` into a row, if it is still there, still names them, and
/// still has the names that it was read with.
pub(crate) fn statement(table: &str, row: &Item, person: &Person) -> Statement {
    let mut statement = format!(
        r#"UPDATE "{table}" SET "{HANDLE}" = ? SET "{DISPLAY_NAME}" = ? WHERE "{PK}" = ? AND "{SK}" = ?"#
    );
    let mut parameters = vec![
        AttributeValue::S(person.handle.clone()),
        AttributeValue::S(person.display_name.clone()),
    ];
    parameters.extend([PK, SK].iter().filter_map(|name| row.get(*name).cloned()));
    for name in [USER, HANDLE, DISPLAY_NAME] {
        match row.get(name) {
            Some(value) => {
                statement.push_str(&format!(r#" AND "{name}" = ?"#));
                parameters.push(value.clone());
            }
            None => statement.push_str(&format!(r#" AND "{name}" IS MISSING"#)),
        }
    }
    Statement { text: statement, parameters }
}
