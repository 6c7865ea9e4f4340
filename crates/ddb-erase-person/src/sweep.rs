//! The table: each row that names the person, counted or erased.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use clap::ValueEnum;
use ops_common::app::conversations::{plan_erasure, repair};
use ops_common::app::keys::{PK, SK};
use ops_common::app::mentions::{Mention, mention};
use ops_common::app::records::{ERASED_TEXT, Item, Person};
use ops_common::consent::Permit;
use ops_common::dynamodb::capacity::{Bucket, Units, limit};
use ops_common::dynamodb::scan::Segments;
use ops_common::dynamodb::statements::{Statement, Statements};
use ops_common::dynamodb::table::Table;
use ops_common::error::Error;
use ops_common::ui::Ui;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// As many items as a request asks for.
const PAGE: u32 = 2_000;

/// What the app writes of a message.
const KNOWN: [&str; 7] =
    [PK, SK, "message", "message_uuid", "user_uuid", "user_handle", "user_display_name"];

/// As many rows that are left are named.
const NAMED: usize = 20;

/// What becomes of the person's messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Messages {
    /// they stay, without text and names
    Redact,
    /// they go
    Delete,
}

/// Rows that name the person, by kind.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Counts {
    /// messages that they sent
    pub(crate) messages: u64,
    /// rows of their inbox
    pub(crate) own_inbox_rows: u64,
    /// rows of other people's inboxes
    pub(crate) other_inbox_rows: u64,
    /// rows of pairs
    pub(crate) pair_rows: u64,
}

impl Counts {
    pub(crate) fn sum(&self) -> u64 {
        self.messages + self.own_inbox_rows + self.other_inbox_rows + self.pair_rows
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.messages += other.messages;
        self.own_inbox_rows += other.own_inbox_rows;
        self.other_inbox_rows += other.other_inbox_rows;
        self.pair_rows += other.pair_rows;
    }
}

/// What one pass over the table met.
#[derive(Debug, Default)]
pub(crate) struct Met {
    pub(crate) read: u64,
    pub(crate) counts: Counts,
    /// keys of rows that name them, and are of no kind that the app writes
    pub(crate) unknown: Vec<String>,
    pub(crate) consumed_capacity: f64,
}

/// Leave to erase, and how.
pub(crate) struct Eraser<'a> {
    table: &'a Table,
    permit: &'a Permit,
    statements: Statements,
    messages: Messages,
}

impl<'a> Eraser<'a> {
    pub(crate) async fn new(
        table: &'a Table,
        permit: &'a Permit,
        messages: Messages,
        max_wcu: Option<f64>,
        give_up_after: u64,
        ui: &Ui,
    ) -> Result<Self, Error> {
        let live = table.existing().await?;
        let limit = limit(max_wcu, table.target(), &live, Units::Write, ui);
        let statements = table.statements(permit, limit, Duration::from_secs(give_up_after))?;
        Ok(Self { table, permit, statements, messages })
    }

    /// Deletes, or redacts, if the row still names the person.
    fn statement(&self, row: &Item, mention: Mention) -> Option<Statement> {
        let table = self.table;
        let key = [PK, SK].iter().filter_map(|name| row.get(*name).cloned());
        let of_key = format!(r#"WHERE "{PK}" = ? AND "{SK}" = ?"#);
        let user = r#" AND "user_uuid" = ?"#;
        let (text, parameters) = match (mention, self.messages) {
            (Mention::OwnInbox | Mention::Pair, _) => {
                (format!(r#"DELETE FROM "{table}" {of_key}"#), key.collect())
            }
            (Mention::Message { .. }, Messages::Delete) => {
                let parameters = key.chain(row.get("user_uuid").cloned()).collect();
                (format!(r#"DELETE FROM "{table}" {of_key}{user}"#), parameters)
            }
            (Mention::Message { .. }, Messages::Redact) => {
                let Person { uuid, display_name, handle } = Person::erased();
                let set = r#"SET "message" = ? SET "user_uuid" = ? SET "user_handle" = ? SET "user_display_name" = ?"#;
                // What the app does not write nobody knows.
                let unknown = row.keys().filter(|name| !KNOWN.contains(&name.as_str()));
                let remove: String = unknown
                    .map(|name| format!(r#" REMOVE "{}""#, name.replace('"', "\"\"")))
                    .collect();
                let values = [ERASED_TEXT.to_owned(), uuid.to_string(), handle, display_name];
                let values = values.into_iter().map(AttributeValue::S);
                let parameters = values.chain(key).chain(row.get("user_uuid").cloned()).collect();
                (format!(r#"UPDATE "{table}" {set}{remove} {of_key}{user}"#), parameters)
            }
            (Mention::OtherInbox { .. } | Mention::Other, _) => return None,
        };
        Some(Statement { text, parameters })
    }
}

/// Reads the whole table, and with an eraser erases what names the person: first the
/// messages, so that an inbox then shows what is left.
pub(crate) async fn pass(
    table: &Table,
    (person, handle): (Uuid, Option<&str>),
    eraser: Option<&Eraser<'_>>,
    max_rcu: Option<Bucket>,
    ui: &Ui,
) -> Result<Met, Error> {
    let mut met = Met::default();
    let mut inboxes = Vec::new();
    // What it does not find has to be gone, and not only on its way.
    let mut scan = table.scan().consistent(eraser.is_some());
    scan.limit = max_rcu;
    let mut segments = Segments::all(scan, 1, PAGE);
    let doing = if eraser.is_some() { "erasing" } else { "looking" };
    let mut progress = ui.progress(doing);
    let mut page = segments.next().await?;
    while let Some(this) = page {
        met.consumed_capacity += this.consumed_capacity;
        met.read += this.count;
        let mut statements = Vec::new();
        for item in this.items()? {
            let row = item.to_sdk();
            let Some(mention) = mention(&row, person, handle) else { continue };
            match mention {
                Mention::Message { .. } => met.counts.messages += 1,
                Mention::OwnInbox => met.counts.own_inbox_rows += 1,
                Mention::Pair => met.counts.pair_rows += 1,
                Mention::OtherInbox { owner, group: Some(group) } => {
                    met.counts.other_inbox_rows += 1;
                    inboxes.push((owner, group));
                }
                Mention::OtherInbox { group: None, .. } | Mention::Other => {
                    if met.unknown.len() < NAMED {
                        met.unknown.push(key_of(&row));
                    }
                }
            }
            statements.extend(eraser.and_then(|eraser| eraser.statement(&row, mention)));
        }
        // The next page is read meanwhile.
        let write = async {
            match eraser {
                Some(eraser) => eraser.statements.write(&statements).await.map(Some),
                None => Ok(None),
            }
        };
        let (next, written) = tokio::join!(segments.next(), write);
        met.consumed_capacity += written?.map_or(0.0, |written| written.consumed_capacity);
        progress.say(format_args!("{doing}: {} of {} rows read", met.counts.sum(), met.read));
        page = next?;
    }
    if let Some(eraser) = eraser {
        for (owner, group) in inboxes {
            if let Some(plan) = plan_erasure(table, owner, group, person).await? {
                // Where somebody writes meanwhile the next pass finds the row again.
                repair(table, eraser.permit, plan).await?;
            }
        }
    }
    Ok(met)
}

fn key_of(row: &Item) -> String {
    let text = |name: &str| match row.get(name) {
        Some(AttributeValue::S(text)) => text.clone(),
        other => format!("{other:?}"),
    };
    format!("{} {}", text(PK), text(SK))
}
