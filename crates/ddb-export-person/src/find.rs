//! What the table holds of a person: one scan, and with the others' messages a query for
//! each conversation.

use std::collections::{BTreeMap, BTreeSet};

use ops_common::app::conversations::{Period, partition};
use ops_common::app::keys::ConversationKey;
use ops_common::app::mentions::{Mention, mention};
use ops_common::app::records::{Item, Message, MessageGroup, Person};
use ops_common::dynamodb::scan::Segments;
use ops_common::dynamodb::table::Table;
use ops_common::error::Error;
use ops_common::ui::Ui;
use uuid::Uuid;

/// As many items as a request asks for.
const PAGE: u32 = 2_000;

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// by conversation, oldest first
    pub(crate) messages: BTreeMap<Uuid, Vec<Message>>,
    /// their own rows, by conversation
    pub(crate) inbox: BTreeMap<Uuid, MessageGroup>,
    /// rows of the app's kinds that cannot be read, copies of their name in the inboxes
    /// of others, rows of pairs, and rows of other kinds
    pub(crate) other_rows: Vec<Item>,
    pub(crate) consumed_capacity: f64,
}

impl Found {
    pub(crate) async fn read(
        table: &Table,
        person: &Person,
        others: bool,
        ui: &Ui,
    ) -> Result<Self, Error> {
        let mut found = Self::default();
        let mut segments = Segments::all(table.scan(), 1, PAGE);
        let mut progress = ui.progress(format_args!("reading the table `{table}`"));
        let mut read = 0;
        while let Some(page) = segments.next().await? {
            found.consumed_capacity += page.consumed_capacity;
            read += page.count;
            for item in page.items()? {
                let row = item.to_sdk();
                if let Some(mention) = mention(&row, person.uuid, Some(&person.handle)) {
                    found.add(row, mention);
                }
            }
            progress.say(format_args!("reading the table: {read} items"));
        }
        if others {
            let groups: BTreeSet<Uuid> =
                found.messages.keys().chain(found.inbox.keys()).copied().collect();
            for group in groups {
                let pk = ConversationKey(group).to_string();
                let all = partition(table, &pk, Period::default(), None).await?;
                found.consumed_capacity += all.consumed_capacity;
                let messages = all.rows.iter().filter_map(|row| Message::from_item(row).ok());
                found.messages.insert(group, messages.collect());
            }
        }
        for messages in found.messages.values_mut() {
            messages.sort_by_key(|message| message.sent_at);
        }
        Ok(found)
    }

    fn add(&mut self, row: Item, mention: Mention) {
        match mention {
            Mention::Message { group } => {
                if let Ok(message) = Message::from_item(&row) {
                    return self.messages.entry(group).or_default().push(message);
                }
            }
            Mention::OwnInbox => {
                if let Ok(group) = MessageGroup::from_item(&row)
                    && !self.inbox.contains_key(&group.group)
                {
                    self.inbox.insert(group.group, group);
                    return;
                }
            }
            Mention::OtherInbox { .. } | Mention::Pair | Mention::Other => {}
        }
        self.other_rows.push(row);
    }
}
