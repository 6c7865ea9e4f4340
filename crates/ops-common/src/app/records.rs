//! The two kinds of row of the messages table, to and from an item. Pure.
//!
//! All attributes are strings (S), as the app writes and reads them.

use std::collections::HashMap;
use std::str::FromStr;

use aws_sdk_dynamodb::types::AttributeValue;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::app::keys::{ConversationKey, InboxKey, SortTime};

/// The conversation that `ddb-seed` writes where no other is named.
pub const SEEDED_GROUP: Uuid = uuid::uuid!("5ae290ed-55d1-47a0-bc6d-fe2bc2700399");

/// The uuid in the rows of conversations with people whose data was erased: nobody's.
pub const ERASED: Uuid = Uuid::nil();

/// The text in place of one that was erased.
pub const ERASED_TEXT: &str = "(erased)";

/// An item as DynamoDB holds it.
pub type Item = HashMap<String, AttributeValue>;

/// An attribute that is a text, as all are that the app writes.
#[must_use]
pub fn text<'a>(row: &'a Item, name: &str) -> Option<&'a str> {
    row.get(name).and_then(|value| value.as_s().ok()).map(String::as_str)
}

/// The text of a message that may be written: 1 to [`MessageText::MAX_CHARS`]
/// characters, not all of them white space. What is read may be anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageText(String);

/// Why a text is not a message's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAMessage {
    /// nothing, or white space only
    #[error("the message is empty")]
    Empty,
    /// longer than the app takes
    #[error("the message has {0} characters, and at most {max} are allowed", max = MessageText::MAX_CHARS)]
    TooLong(usize),
}

impl MessageText {
    /// The most characters (Unicode scalar values): the app's own limit, far below
    /// DynamoDB's 400 KB for an item.
    pub const MAX_CHARS: usize = 1024;

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for MessageText {
    type Err = NotAMessage;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.chars().count() {
            _ if text.trim().is_empty() => Err(NotAMessage::Empty),
            length if length > Self::MAX_CHARS => Err(NotAMessage::TooLong(length)),
            _ => Ok(Self(text.to_owned())),
        }
    }
}

impl From<MessageText> for String {
    fn from(text: MessageText) -> Self {
        text.0
    }
}

/// A person as a row names them: the sender of a message, or the other
/// participant of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// `users.uuid` in Postgres
    pub uuid: Uuid,
    /// the name that people see
    pub display_name: String,
    /// the unique handle, without `@`
    pub handle: String,
}

impl Person {
    /// Whom rows name in place of somebody whose data was erased.
    #[must_use]
    pub fn erased() -> Self {
        Self { uuid: ERASED, display_name: "Erased".to_owned(), handle: "erased".to_owned() }
    }
}

/// One message: `pk` is the conversation, `sk` the time sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// the conversation
    pub group: Uuid,
    /// the time sent
    pub sent_at: SortTime,
    /// the message's own uuid
    pub uuid: Uuid,
    /// the text
    pub text: String,
    /// who sent it
    pub sender: Person,
}

/// A message with the names that the app's API gives to its parts.
#[derive(Debug, Serialize)]
pub struct ApiMessage {
    uuid: Uuid,
    display_name: String,
    handle: String,
    message: String,
    created_at: String,
}

impl From<Message> for ApiMessage {
    fn from(message: Message) -> Self {
        Self {
            uuid: message.uuid,
            display_name: message.sender.display_name,
            handle: message.sender.handle,
            message: message.text,
            created_at: message.sent_at.to_string(),
        }
    }
}

/// A conversation as one participant sees it: `pk` is that participant, `sk`
/// the time of the conversation's last message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageGroup {
    /// the participant whose list this row is in
    pub owner: Uuid,
    /// the conversation
    pub group: Uuid,
    /// the time of the last message
    pub last_at: SortTime,
    /// the text of the last message
    pub last_text: String,
    /// the other participant
    pub other: Person,
}

/// A conversation in somebody's inbox, with the names that the app's API gives to its
/// parts: the names are the other participant's.
#[derive(Debug, Serialize)]
pub struct ApiMessageGroup {
    uuid: Uuid,
    display_name: String,
    handle: String,
    message: String,
    created_at: String,
}

impl From<MessageGroup> for ApiMessageGroup {
    fn from(group: MessageGroup) -> Self {
        Self {
            uuid: group.group,
            display_name: group.other.display_name,
            handle: group.other.handle,
            message: group.last_text,
            created_at: group.last_at.to_string(),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct MessageRow {
    pk: String,
    sk: String,
    message_uuid: Uuid,
    message: String,
    user_uuid: Uuid,
    user_display_name: String,
    user_handle: String,
}

#[derive(Serialize, Deserialize)]
struct MessageGroupRow {
    pk: String,
    sk: String,
    message_group_uuid: Uuid,
    message: String,
    user_uuid: Uuid,
    user_display_name: String,
    user_handle: String,
}

/// A row that is not what its key promises.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the row with pk `{pk}` and sk `{sk}` cannot be read: {why}")]
pub struct MalformedRow {
    pk: String,
    sk: String,
    why: String,
}

impl MalformedRow {
    fn new(item: &Item, why: impl ToString) -> Self {
        let text = |name: &str| match item.get(name) {
            Some(AttributeValue::S(text)) => text.clone(),
            Some(other) => format!("{other:?}"),
            None => "(none)".to_owned(),
        };
        Self { pk: text("pk"), sk: text("sk"), why: why.to_string() }
    }
}

fn to_item(row: impl Serialize) -> Item {
    let item: serde_dynamo::Item = serde_dynamo::to_item(row).expect("a struct of strings");
    item.into()
}

fn from_item<Row: for<'de> Deserialize<'de>>(item: &Item) -> Result<Row, MalformedRow> {
    serde_dynamo::from_item(item.clone()).map_err(|error| MalformedRow::new(item, error))
}

impl Message {
    /// The item that holds this message.
    #[must_use]
    pub fn to_item(&self) -> Item {
        to_item(MessageRow {
            pk: ConversationKey(self.group).to_string(),
            sk: self.sent_at.to_string(),
            message_uuid: self.uuid,
            message: self.text.clone(),
            user_uuid: self.sender.uuid,
            user_display_name: self.sender.display_name.clone(),
            user_handle: self.sender.handle.clone(),
        })
    }

    /// The message that an item holds.
    ///
    /// # Errors
    /// Where an attribute is missing, is no string, or is not what it should name.
    pub fn from_item(item: &Item) -> Result<Self, MalformedRow> {
        let row: MessageRow = from_item(item)?;
        let wrong = |error: crate::app::keys::NotAKey| MalformedRow::new(item, error);
        Ok(Self {
            group: row.pk.parse::<ConversationKey>().map_err(wrong)?.0,
            sent_at: row.sk.parse().map_err(wrong)?,
            uuid: row.message_uuid,
            text: row.message,
            sender: Person {
                uuid: row.user_uuid,
                display_name: row.user_display_name,
                handle: row.user_handle,
            },
        })
    }
}

impl MessageGroup {
    /// The item that holds this row.
    #[must_use]
    pub fn to_item(&self) -> Item {
        to_item(MessageGroupRow {
            pk: InboxKey(self.owner).to_string(),
            sk: self.last_at.to_string(),
            message_group_uuid: self.group,
            message: self.last_text.clone(),
            user_uuid: self.other.uuid,
            user_display_name: self.other.display_name.clone(),
            user_handle: self.other.handle.clone(),
        })
    }

    /// The row that an item holds.
    ///
    /// # Errors
    /// Where an attribute is missing, is no string, or is not what it should name.
    pub fn from_item(item: &Item) -> Result<Self, MalformedRow> {
        let row: MessageGroupRow = from_item(item)?;
        let wrong = |error: crate::app::keys::NotAKey| MalformedRow::new(item, error);
        Ok(Self {
            owner: row.pk.parse::<InboxKey>().map_err(wrong)?.0,
            group: row.message_group_uuid,
            last_at: row.sk.parse().map_err(wrong)?,
            last_text: row.message,
            other: Person {
                uuid: row.user_uuid,
                display_name: row.user_display_name,
                handle: row.user_handle,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person() -> Person {
        Person {
            uuid: Uuid::from_u128(1),
            display_name: "Bayko Lund".into(),
            handle: "bayko".into(),
        }
    }

    fn strings(item: &Item) -> Vec<(String, String)> {
        let mut pairs: Vec<_> = item
            .iter()
            .map(|(name, value)| (name.clone(), value.as_s().expect("a string").clone()))
            .collect();
        pairs.sort();
        pairs
    }

    #[test]
    fn a_message_as_an_item() {
        let message = Message {
            group: Uuid::from_u128(7),
            sent_at: "2026-01-31T23:59:59.123456Z".parse().expect("time"),
            uuid: Uuid::from_u128(9),
            text: "hi".into(),
            sender: person(),
        };
        let item = message.to_item();
        let expected = [
            ("message", "hi"),
            ("message_uuid", "00000000-0000-0000-0000-000000000009"),
            ("pk", "MSG#00000000-0000-0000-0000-000000000007"),
            ("sk", "2026-01-31T23:59:59.123456+00:00"),
            ("user_display_name", "Bayko Lund"),
            ("user_handle", "bayko"),
            ("user_uuid", "00000000-0000-0000-0000-000000000001"),
        ];
        assert_eq!(strings(&item), expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
        assert_eq!(Message::from_item(&item), Ok(message));
    }

    #[test]
    fn a_message_group_as_an_item() {
        let group = MessageGroup {
            owner: Uuid::from_u128(2),
            group: Uuid::from_u128(7),
            last_at: "2026-01-31T23:59:59.123456Z".parse().expect("time"),
            last_text: "hi".into(),
            other: person(),
        };
        let item = group.to_item();
        let expected = [
            ("message", "hi"),
            ("message_group_uuid", "00000000-0000-0000-0000-000000000007"),
            ("pk", "GRP#00000000-0000-0000-0000-000000000002"),
            ("sk", "2026-01-31T23:59:59.123456+00:00"),
            ("user_display_name", "Bayko Lund"),
            ("user_handle", "bayko"),
            ("user_uuid", "00000000-0000-0000-0000-000000000001"),
        ];
        assert_eq!(strings(&item), expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
        assert_eq!(MessageGroup::from_item(&item), Ok(group));
    }

    #[test]
    fn a_row_that_lacks_something_says_what() {
        let item = Item::from([
            ("pk".to_owned(), AttributeValue::S("MSG#x".into())),
            ("sk".to_owned(), AttributeValue::S("now".into())),
        ]);
        let error = Message::from_item(&item).expect_err("malformed").to_string();
        assert!(
            error.contains("pk `MSG#x` and sk `now`") && error.contains("message_uuid"),
            "{error}"
        );
    }
}
