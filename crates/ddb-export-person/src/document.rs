//! The document and the CSV: what docs/person.schema.json describes.

use std::collections::BTreeSet;
use std::io::{self, Write};

use chrono::{SecondsFormat, Utc};
use cognito_list_users::pool::User;
use ops_common::app::keys::PK;
use ops_common::app::records::{Item, Message, Person, text};
use ops_common::dynamodb::item::Attributes;
use ops_common::target::Target;
use ops_common::text::for_spreadsheet;
use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::Account;
use crate::find::Found;

/// Everything of one person.
#[derive(Serialize)]
pub(crate) struct Document {
    /// the form of the document, which is described in docs/person.schema.json
    format: &'static str,
    target: String,
    /// RFC 3339, UTC
    exported_at: String,
    person: Named,
    /// the row of `users`, with every column
    account: Box<RawValue>,
    /// rows of `activities`, with every column
    pub(crate) activities: Vec<Box<RawValue>>,
    /// whether the pool was looked at
    cognito_looked_at: bool,
    pub(crate) sign_in: Option<User>,
    /// whether what others wrote is in it
    others: bool,
    pub(crate) conversations: Vec<Conversation>,
    /// DynamoDB's JSON of every other row that names them
    pub(crate) other_rows: Vec<RawItem>,
}

/// An item as DynamoDB's JSON.
pub(crate) type RawItem = Box<RawValue>;

#[derive(Serialize)]
struct Named {
    uuid: Uuid,
    handle: String,
    display_name: String,
}

#[derive(Serialize)]
pub(crate) struct Conversation {
    uuid: Uuid,
    /// the other person, as the row of the inbox names them; none where there is no row
    with: Option<Named>,
    /// oldest first
    messages: Vec<Sent>,
}

#[derive(Serialize)]
struct Sent {
    uuid: Uuid,
    /// RFC 3339, UTC
    sent_at: String,
    /// handle, as the message has it
    from: String,
    /// whether the person wrote it
    own: bool,
    text: String,
}

fn named(person: &Person) -> Named {
    Named {
        uuid: person.uuid,
        handle: person.handle.clone(),
        display_name: person.display_name.clone(),
    }
}

impl Document {
    pub(crate) fn new(
        target: Target,
        person: &Person,
        account: Account,
        cognito_looked_at: bool,
        sign_in: Option<User>,
        found: &Found,
        others: bool,
    ) -> Self {
        let groups: BTreeSet<&Uuid> = found.messages.keys().chain(found.inbox.keys()).collect();
        let sent = |message: &Message| Sent {
            uuid: message.uuid,
            sent_at: message.sent_at.to_string(),
            from: message.sender.handle.clone(),
            own: message.sender.uuid == person.uuid,
            text: message.text.clone(),
        };
        let conversation = |group: &Uuid| Conversation {
            uuid: *group,
            with: found.inbox.get(group).map(|row| named(&row.other)),
            messages: found.messages.get(group).into_iter().flatten().map(sent).collect(),
        };
        // A row of an inbox has the conversation's last message, whoever wrote it.
        let without_text = |row: &Item| {
            let mut row = row.clone();
            let is_inbox = text(&row, PK).is_some_and(|pk| pk.starts_with("GRP#"));
            if is_inbox && !others {
                row.remove("message");
            }
            let json = serde_json::to_string(&Attributes::from_sdk(&row)?).ok()?;
            RawValue::from_string(json).ok()
        };
        Self {
            format: "cruddur-ops/person/1",
            target: target.to_string(),
            exported_at: Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true),
            person: named(person),
            account: account.row,
            activities: account.activities,
            cognito_looked_at,
            sign_in,
            others,
            conversations: groups.into_iter().map(conversation).collect(),
            other_rows: found.other_rows.iter().filter_map(without_text).collect(),
        }
    }

    pub(crate) fn own_messages(&self) -> usize {
        let messages = self.conversations.iter().flat_map(|conversation| &conversation.messages);
        messages.filter(|message| message.own).count()
    }
}

/// The messages, one a row, as a spreadsheet opens them.
pub(crate) fn csv(document: &Document, out: impl Write) -> io::Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record(["sent_at", "conversation", "with", "from", "text"])?;
    for conversation in &document.conversations {
        let with = conversation.with.as_ref().map_or("", |with| with.handle.as_str());
        for message in &conversation.messages {
            csv.write_record([
                &message.sent_at,
                &conversation.uuid.to_string(),
                &for_spreadsheet(with),
                &for_spreadsheet(&message.from),
                &for_spreadsheet(&message.text),
            ])?;
        }
    }
    csv.flush()
}
