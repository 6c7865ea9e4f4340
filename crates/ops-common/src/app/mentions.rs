//! Where rows of the messages table name a person. Pure.

use uuid::Uuid;

use crate::app::keys::{ConversationKey, InboxKey, PK};
use crate::app::records::{Item, text};
use crate::dynamodb::item::Attributes;

/// What a row has to do with a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mention {
    /// a message that they sent
    Message {
        /// the conversation
        group: Uuid,
    },
    /// a row of their inbox
    OwnInbox,
    /// a row of somebody else's inbox, which has their name
    OtherInbox {
        /// whose
        owner: Uuid,
        /// the conversation; none where the row does not say
        group: Option<Uuid>,
    },
    /// the row of a pair that they are one of
    Pair,
    /// a row of another kind, or at another key, with their uuid
    Other,
}

fn uuid(row: &Item, name: &str) -> Option<Uuid> {
    text(row, name)?.parse().ok()
}

/// Looks at one row. Uuids are compared as uuids, in whatever letters. `handle`: a row of
/// which only the handle is theirs names them too.
#[must_use]
pub fn mention(row: &Item, person: Uuid, handle: Option<&str>) -> Option<Mention> {
    let by_kind = by_kind(row, person);
    by_kind.or_else(|| is_elsewhere(row, person, handle).then_some(Mention::Other))
}

/// Whether the uuid is anywhere in the row, or the handle where a handle is.
fn is_elsewhere(row: &Item, person: Uuid, handle: Option<&str>) -> bool {
    let json = Attributes::from_sdk(row).and_then(|row| serde_json::to_string(&row).ok());
    let has_uuid = json.is_none_or(|json| json.to_lowercase().contains(&person.to_string()));
    has_uuid || handle.is_some() && text(row, "user_handle") == handle
}

fn by_kind(row: &Item, person: Uuid) -> Option<Mention> {
    let pk = text(row, PK).unwrap_or_default();
    let names_them = uuid(row, "user_uuid") == Some(person);
    if let Ok(inbox) = pk.parse::<InboxKey>() {
        return match inbox.0 {
            owner if owner == person => Some(Mention::OwnInbox),
            owner if names_them => {
                Some(Mention::OtherInbox { owner, group: uuid(row, "message_group_uuid") })
            }
            _ => None,
        };
    }
    if let Some(pair) = pk.strip_prefix("PAIR#") {
        let is_theirs = pair.split('#').any(|part| part.parse() == Ok(person));
        return is_theirs.then_some(Mention::Pair);
    }
    match pk.parse::<ConversationKey>() {
        Ok(conversation) if names_them => Some(Mention::Message { group: conversation.0 }),
        Err(_) if names_them => Some(Mention::Other),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::types::AttributeValue;

    use super::*;

    #[test]
    fn each_row_that_names_a_person() {
        let (person, other) = (Uuid::from_u128(0xa), Uuid::from_u128(0xb));
        let row = |pk: String, user: Uuid| {
            let text = |text: String| AttributeValue::S(text);
            Item::from([
                ("pk".to_owned(), text(pk)),
                ("user_uuid".to_owned(), text(user.to_string().to_uppercase())),
                ("message_group_uuid".to_owned(), text(Uuid::nil().to_string())),
            ])
        };
        let group = Uuid::from_u128(7);
        for (pk, user, expected) in [
            (format!("MSG#{group}"), person, Some(Mention::Message { group })),
            (format!("MSG#{group}"), other, None),
            (format!("GRP#{}", person.to_string().to_uppercase()), other, Some(Mention::OwnInbox)),
            (
                format!("GRP#{other}"),
                person,
                Some(Mention::OtherInbox { owner: other, group: Some(Uuid::nil()) }),
            ),
            (format!("GRP#{other}"), other, None),
            (format!("PAIR#{other}#{person}"), other, Some(Mention::Pair)),
            (format!("PAIR#{other}#{other}"), other, None),
            (format!("PAIR#{other}#{other}"), person, Some(Mention::Other)),
            ("CFG#1".to_owned(), person, Some(Mention::Other)),
            (format!("CFG#{person}"), other, Some(Mention::Other)),
            ("CFG#1".to_owned(), other, None),
            (format!("LIKE#{}", person.to_string().to_uppercase()), other, Some(Mention::Other)),
        ] {
            assert_eq!(mention(&row(pk.clone(), user), person, None), expected, "{pk}");
        }
        let mut by_handle = row(format!("MSG#{group}"), other);
        by_handle.insert("user_handle".to_owned(), AttributeValue::S("bayko".to_owned()));
        assert_eq!(mention(&by_handle, person, Some("bayko")), Some(Mention::Other));
        assert_eq!(mention(&by_handle, person, Some("maren")), None);
        let deep = AttributeValue::L(vec![AttributeValue::S(format!("user {person}"))]);
        by_handle.insert("likers".to_owned(), deep);
        assert_eq!(mention(&by_handle, person, None), Some(Mention::Other));
    }
}
