//! What the messages table says of people and conversations: read once, and
//! kept in a size that the number of people and conversations bounds.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use ops_common::app::conversations::{newest_message, rows_of_group};
use ops_common::app::keys::{ConversationKey, InboxKey, PK, SK, SortTime};
use ops_common::app::records::{ERASED, Item, Message, MessageGroup, Person, text};
use ops_common::app::users::Identity;
use ops_common::dynamodb::scan::Segments;
use ops_common::dynamodb::table::Table;
use ops_common::error::Error;
use ops_common::text::count;
use ops_common::ui::Ui;
use uuid::Uuid;

/// What the rows of the two kinds have; more is not asked for.
const ATTRIBUTES: [&str; 8] = [
    "pk",
    "sk",
    "message",
    "message_uuid",
    "message_group_uuid",
    "user_uuid",
    "user_handle",
    "user_display_name",
];

/// As many items as a request asks for: less than the 1 MB that DynamoDB sends
/// when left alone, a few thousand messages. What is held of a page at once is
/// bounded, and a server that reads on to the table's end for each page (the
/// embedded one) does not.
const PAGE: u32 = 2_000;

/// As many rows that cannot be read are named.
pub(crate) const NAMED: usize = 20;

/// As many rows whose key is in another spelling are moved at once.
const MOVED: usize = 1_000;

/// As many conversations are looked at again: where more are not whole, it is
/// not for being written to at this moment.
const LOOKED_AT_AGAIN: usize = 100;
/// How often.
const LOOKS: usize = 3;

/// The people of Postgres.
pub(crate) type Known<'a> = HashMap<Uuid, &'a Identity>;

#[derive(PartialEq, Eq)]
enum Named {
    Known,
    Stranger,
}

/// The table.
#[derive(Debug, Default)]
pub(crate) struct Content {
    pub(crate) groups: HashMap<Uuid, Group>,
    /// the handles that rows give to users who are not in Postgres
    pub(crate) strangers: HashMap<Uuid, String>,
    /// messages that each of them sent
    pub(crate) sent_by_strangers: HashMap<Uuid, u64>,
    /// rows that call somebody otherwise than Postgres does
    pub(crate) outdated: BTreeMap<Uuid, u64>,
    /// the first of the rows that cannot be read, each in words
    pub(crate) malformed: Vec<String>,
    pub(crate) malformed_count: usize,
    /// the first of the rows whose key is in another spelling
    pub(crate) misspelled: Vec<Misspelled>,
    pub(crate) misspelled_count: usize,
    pub(crate) items: usize,
    pub(crate) consumed_capacity: f64,
}

/// A row whose key the app never looks for: keys are compared, and sorted, as text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Misspelled {
    pub(crate) key: [String; 2],
    pub(crate) right: [String; 2],
}

/// A conversation.
#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) messages: u64,
    pub(crate) newest: Option<Last>,
    /// each once; two, where nothing is broken
    pub(crate) senders: Vec<Uuid>,
    /// two, where nothing is broken
    pub(crate) rows: Vec<GroupRow>,
}

/// A conversation's row in the list of one participant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GroupRow {
    pub(crate) owner: Uuid,
    pub(crate) other: Uuid,
    pub(crate) last: Last,
}

/// Time and text of a message; the text as a hash, which is all that is needed
/// to tell whether two are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Last {
    pub(crate) at: SortTime,
    text: u64,
}

impl Last {
    pub(crate) fn new(at: SortTime, text: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        Self { at, text: hasher.finish() }
    }
}

impl Group {
    /// Everybody whom its rows and messages name.
    pub(crate) fn participants(&self) -> HashSet<Uuid> {
        let in_rows = self.rows.iter().flat_map(|row| [row.owner, row.other]);
        in_rows.chain(self.senders.iter().copied()).collect()
    }

    /// Whether it is a conversation with somebody whose data was erased, or with nobody
    /// else: then the other, if there is one, has its one row.
    fn is_whole_without_the_erased(&self) -> bool {
        let others = self.participants().into_iter().filter(|person| *person != ERASED).count();
        match self.rows.as_slice() {
            [] => others == 0,
            [row] => {
                others == 1
                    && row.other == ERASED
                    && self.newest.is_none_or(|last| last == row.last)
            }
            _ => false,
        }
    }

    /// Whether the same person has a later row for it.
    pub(crate) fn is_superfluous(&self, row: &GroupRow) -> bool {
        self.rows.iter().any(|other| other.owner == row.owner && other.last > row.last)
    }

    /// Whether it is as the app leaves it.
    pub(crate) fn is_whole(&self) -> bool {
        let participants = self.participants();
        if participants.contains(&ERASED) {
            return self.is_whole_without_the_erased();
        }
        let [a, b] = self.rows.as_slice() else { return false };
        participants.len() == 2
            && a.owner == b.other
            && b.owner == a.other
            && self.newest == Some(a.last)
            && self.newest == Some(b.last)
    }
}

/// The key as the app writes it, where this one has the same uuid or the same time in
/// other letters.
fn other_spelling(item: &Item) -> Option<Misspelled> {
    let (pk, sk) = (text(item, PK)?, text(item, SK)?);
    let inbox = pk.parse::<InboxKey>().map(|key| key.to_string());
    let right_pk = inbox.or_else(|_| pk.parse::<ConversationKey>().map(|key| key.to_string()));
    // A row of the app's has a time; what else is below such a key is not the app's.
    let right = [right_pk.ok()?, sk.parse::<SortTime>().ok()?.to_string()];
    let key = [pk.to_owned(), sk.to_owned()];
    (key != right).then_some(Misspelled { key, right })
}

impl From<MessageGroup> for GroupRow {
    fn from(row: MessageGroup) -> Self {
        let last = Last::new(row.last_at, &row.last_text);
        Self { owner: row.owner, other: row.other.uuid, last }
    }
}

impl Content {
    /// Reads the table, page by page. `known` are the people of Postgres.
    pub(crate) async fn read(table: &Table, known: &Known<'_>, ui: &Ui) -> Result<Self, Error> {
        let mut content = Self::default();
        let mut progress = ui.progress(format_args!("reading the table `{table}`"));
        let scan = table.scan().project(&ATTRIBUTES.map(str::to_owned));
        let mut segments = Segments::all(scan, 1, PAGE);
        while let Some(page) = segments.next().await? {
            content.consumed_capacity += page.consumed_capacity;
            for item in page.items()? {
                content.add(&item.to_sdk(), known);
            }
            progress.say(format_args!("reading the table: {}", count(content.items, "item")));
        }
        content.look_again(table).await?;
        Ok(content)
    }

    fn add(&mut self, item: &Item, known: &Known<'_>) {
        self.items += 1;
        if let Some(misspelled) = other_spelling(item) {
            self.misspelled_count += 1;
            if self.misspelled.len() < MOVED {
                self.misspelled.push(misspelled);
            }
            return;
        }
        let pk = text(item, PK).unwrap_or_default();
        let read = if pk.starts_with("GRP#") {
            MessageGroup::from_item(item).map(|row| {
                self.name(&row.other, known);
                self.groups.entry(row.group).or_default().rows.push(row.into());
            })
        } else if pk.starts_with("MSG#") {
            Message::from_item(item).map(|message| {
                if self.name(&message.sender, known) == Named::Stranger {
                    *self.sent_by_strangers.entry(message.sender.uuid).or_default() += 1;
                }
                let group = self.groups.entry(message.group).or_default();
                group.messages += 1;
                if !group.senders.contains(&message.sender.uuid) {
                    group.senders.push(message.sender.uuid);
                }
                let this = Last::new(message.sent_at, &message.text);
                group.newest = group.newest.max(Some(this));
            })
        } else {
            Ok(())
        };
        if let Err(error) = read {
            self.name_malformed(error.to_string());
        }
    }

    fn name_malformed(&mut self, what: String) {
        self.malformed_count += 1;
        if self.malformed.len() < NAMED {
            self.malformed.push(what);
        }
    }

    fn name(&mut self, person: &Person, known: &Known<'_>) -> Named {
        match known.get(&person.uuid) {
            None if person.uuid == ERASED => Named::Known,
            None => {
                self.strangers.entry(person.uuid).or_insert_with(|| person.handle.clone());
                Named::Stranger
            }
            Some(row) if row.handle == person.handle && row.display_name == person.display_name => {
                Named::Known
            }
            Some(_) => {
                *self.outdated.entry(person.uuid).or_default() += 1;
                Named::Known
            }
        }
    }

    /// Rows that the app never finds, or cannot read: what they would say is not known.
    pub(crate) fn has_hidden_rows(&self) -> bool {
        self.malformed_count > 0 || self.misspelled_count > 0
    }

    /// A scan takes a while, and a conversation that moves meanwhile can be seen
    /// half here and half there. What is not whole is read again, and once more
    /// where the reading fell between the two halves of a write.
    async fn look_again(&mut self, table: &Table) -> Result<(), Error> {
        for _ in 0..LOOKS {
            let suspects = self.groups.iter().filter(|(_, group)| !group.is_whole());
            let suspects: Vec<Uuid> =
                suspects.map(|(uuid, _)| *uuid).take(LOOKED_AT_AGAIN + 1).collect();
            if suspects.is_empty() || suspects.len() > LOOKED_AT_AGAIN {
                break;
            }
            for uuid in suspects {
                self.read_again(table, uuid).await?;
            }
        }
        Ok(())
    }

    async fn read_again(&mut self, table: &Table, uuid: Uuid) -> Result<(), Error> {
        let Some(group) = self.groups.get_mut(&uuid) else { return Ok(()) };
        let mut unread = group.participants();
        let mut read = HashSet::new();
        group.rows.clear();
        while let Some(participant) = unread.iter().next().copied() {
            unread.remove(&participant);
            read.insert(participant);
            let found = rows_of_group(table, participant, uuid).await?;
            self.consumed_capacity += found.consumed_capacity;
            for row in found.rows.iter().filter_map(|row| MessageGroup::from_item(row).ok()) {
                // A conversation that was started meanwhile: its rows name the other.
                if !read.contains(&row.other.uuid) {
                    unread.insert(row.other.uuid);
                }
                group.rows.push(row.into());
            }
        }
        let newest = newest_message(table, uuid).await?;
        self.consumed_capacity += newest.consumed_capacity;
        let last = |message: &Message| Last::new(message.sent_at, &message.text);
        group.newest = newest.rows.first().map(last);
        Ok(())
    }
}
