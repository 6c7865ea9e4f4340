//! Items as they are shown: each kind of row of the app's table under its heading, all
//! others by their key; or as JSON. Streamed, so that memory does not grow with them.

use std::borrow::Cow;
use std::io::{self, Write};

use clap::ValueEnum;
use serde_json::{Value, json};

use crate::app::records::{Message, MessageGroup};
use crate::app::times::Times;
use crate::dynamodb::item::{Attribute, Attributes, Plain, PlainValue};
use crate::dynamodb::key::KeyNames;
use crate::dynamodb::table::Table;
use crate::error::Error;
use crate::ui::{Cells, Column, Ui};

/// As many rows as are laid out at once.
const CHUNK: usize = 100;

/// The form of items on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ItemsOutput {
    /// for people, in chunks, each kind of row under its heading
    Table,
    /// one JSON document
    Json,
    /// one item a line
    Jsonl,
}

/// Writes items as they come.
#[derive(Debug)]
pub struct ItemsWriter<'a> {
    output: ItemsOutput,
    ui: &'a Ui,
    /// the key attributes, where they are known: they are the first columns
    keys: Option<KeyNames>,
    /// what stands before the first item of a JSON document
    before: String,
    written: bool,
}

impl<'a> ItemsWriter<'a> {
    /// One whose JSON document is an array.
    #[must_use]
    pub fn array(output: ItemsOutput, keys: Option<KeyNames>, ui: &'a Ui) -> Self {
        Self { output, ui, keys, before: "[".to_owned(), written: false }
    }

    /// One whose JSON document is an object: the target, the table, `items`.
    #[must_use]
    pub fn object(output: ItemsOutput, table: &Table, keys: Option<KeyNames>, ui: &'a Ui) -> Self {
        let (target, name) = (table.target().to_string(), table.name());
        let before =
            format!("{{\"target\":{},\"table\":{},\"items\":[", json!(target), json!(name));
        Self { output, ui, keys, before, written: false }
    }

    /// Writes some.
    ///
    /// # Errors
    /// Where stdout cannot be written.
    pub fn write(&mut self, items: &[Attributes<'_>]) -> Result<(), Error> {
        match self.output {
            ItemsOutput::Table => {
                items.chunks(CHUNK).try_for_each(|chunk| self.write_tables(chunk))
            }
            ItemsOutput::Json | ItemsOutput::Jsonl => self.write_json(items).map_err(Error::stdout),
        }
    }

    fn write_json(&mut self, items: &[Attributes<'_>]) -> io::Result<()> {
        let mut out = self.ui.stdout();
        for item in items {
            if self.output == ItemsOutput::Json {
                let before = if self.written { "," } else { &self.before };
                writeln!(out, "{before}")?;
            }
            self.written = true;
            serde_json::to_writer(&mut out, &Plain(item))?;
            if self.output == ItemsOutput::Jsonl {
                out.write_all(b"\n")?;
            }
        }
        out.flush()
    }

    /// Ends the document, that of an object with these members behind its items.
    ///
    /// # Errors
    /// Where stdout cannot be written.
    pub fn finish(self, members: Option<&Value>) -> Result<(), Error> {
        if self.output != ItemsOutput::Json {
            return Ok(());
        }
        let before = if self.written { "\n" } else { &self.before };
        let members = members.map(|members| members.to_string().replacen('{', ",", 1));
        self.ui.line(format_args!("{before}]{}", members.unwrap_or_default()))
    }

    fn write_tables(&mut self, items: &[Attributes<'_>]) -> Result<(), Error> {
        let mut messages = Vec::new();
        let mut groups = Vec::new();
        let mut others = Vec::new();
        for item in items {
            let row = item.to_sdk();
            if let Ok(message) = Message::from_item(&row) {
                messages.push(message);
            } else if let Ok(group) = MessageGroup::from_item(&row) {
                groups.push(group);
            } else {
                others.push(self.other(item)?);
            }
        }
        let sent = messages.iter().map(|message| message.sent_at.time());
        let times = Times::of(sent.chain(groups.iter().map(|group| group.last_at.time())), self.ui);
        self.write_messages(&messages, &times)?;
        self.write_groups(&groups, &times)?;
        let keys = self.keys.clone();
        let keys = keys.iter().flat_map(KeyNames::iter);
        let mut header: Vec<_> = keys.map(Column::whole).chain([Column::text("item")]).collect();
        // With --select none may have a key.
        for column in (0..header.len() - 1).rev() {
            if others.iter().all(|row: &Vec<String>| row[column].is_empty()) {
                header.remove(column);
                others.iter_mut().for_each(|row| _ = row.remove(column));
            }
        }
        self.write_table("Other items", &header, others)
    }

    /// A row of another kind: its key, and all else as JSON.
    fn other(&self, item: &Attributes<'_>) -> Result<Vec<String>, Error> {
        let cannot = |error| Error::new("cannot show an item").cause(error);
        let is_key = |name: &str| self.keys.iter().flat_map(KeyNames::iter).any(|key| key == name);
        let mut row = Vec::new();
        for name in self.keys.iter().flat_map(KeyNames::iter) {
            row.push(match item.get(name) {
                None => String::new(),
                Some(Attribute::S(text)) => text.to_string(),
                Some(other) => serde_json::to_string(&PlainValue(other)).map_err(cannot)?,
            });
        }
        let rest = item.iter().filter(|(name, _)| !is_key(name));
        let rest = rest.map(|(name, value)| (Cow::from(name), value.clone())).collect();
        let rest = Attributes::new(rest).unwrap_or_default();
        row.push(serde_json::to_string(&Plain(&rest)).map_err(cannot)?);
        Ok(row)
    }

    fn write_messages(&mut self, messages: &[Message], times: &Times) -> Result<(), Error> {
        let sent = times.header("sent");
        let header = [
            Column::whole("conversation"),
            Column::whole(&sent),
            "from".into(),
            Column::text("message"),
        ];
        let row = |message: &Message| {
            let sent = times.cell(message.sent_at.time());
            vec![
                message.group.to_string(),
                sent,
                message.sender.handle.clone(),
                message.text.clone(),
            ]
        };
        let rows = messages.iter().map(row).collect();
        self.write_partitions("Messages", "of conversation", &header, rows)
    }

    fn write_groups(&mut self, groups: &[MessageGroup], times: &Times) -> Result<(), Error> {
        let last = times.header("last");
        let header = [
            Column::whole("of user"),
            Column::whole(&last),
            "with".into(),
            Column::text("message"),
            Column::whole("conversation"),
        ];
        let row = |group: &MessageGroup| {
            vec![
                group.owner.to_string(),
                times.cell(group.last_at.time()),
                group.other.handle.clone(),
                group.last_text.clone(),
                group.group.to_string(),
            ]
        };
        let rows = groups.iter().map(row).collect();
        self.write_partitions("Message groups", "of user", &header, rows)
    }

    /// A table of rows whose first column says whose partition they are. Where that
    /// would leave no room for the rest it is a heading: a scan has the rows of a
    /// partition one after the other.
    fn write_partitions(
        &mut self,
        heading: &str,
        of: &str,
        header: &[Column<'_>],
        rows: Vec<Vec<String>>,
    ) -> Result<(), Error> {
        if !self.ui.is_narrow() {
            return self.write_table(heading, header, rows);
        }
        for partition in rows.chunk_by(|a, b| a[0] == b[0]) {
            let heading = format!("{heading} {of} {}", partition[0][0]);
            let rows = partition.iter().map(|row| row[1..].to_vec()).collect();
            self.write_table(&heading, &header[1..], rows)?;
        }
        Ok(())
    }

    fn write_table(
        &mut self,
        heading: &str,
        header: &[Column<'_>],
        rows: Vec<Vec<String>>,
    ) -> Result<(), Error> {
        if rows.is_empty() {
            return Ok(());
        }
        if self.written {
            self.ui.line("")?;
        }
        self.written = true;
        self.ui.heading(heading)?;
        self.ui.table(header, &rows, Cells::Cut)
    }
}
