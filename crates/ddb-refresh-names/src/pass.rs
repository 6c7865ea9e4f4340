//! One pass over the table: page by page, the names of each page written before the next
//! page counts as read.

use std::collections::BTreeMap;
use std::time::Duration;

use ops_common::app::conversations::rows_of_group;
use ops_common::app::keys::{PK, SK};
use ops_common::app::records::{Item, Person};
use ops_common::dynamodb::scan::{Page, Segment, Segments, StartKey};
use ops_common::dynamodb::statements::Statements;
use ops_common::dynamodb::table::Table;
use ops_common::error::Error;
use ops_common::text::count;
use ops_common::ui::Ui;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use crate::checkpoint::Checkpoint;
use crate::rows::{ATTRIBUTES, People, Seen, look, names, place_in_inbox, statement};

/// As many items as a request asks for: less than the 1 MB that DynamoDB sends when left
/// alone, so that what is held is bounded.
const PAGE: u32 = 2_000;

/// How often a row that moves is looked for again, and for how long each time.
const LOOKS: u32 = 20;
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// As many different old names are told; the others are counted.
const TOLD: usize = 100;

/// The ledger: `read` is the sum of `others`, `strangers`, `right`, `changed` and `gone`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Counts {
    /// rows that were read
    pub read: u64,
    /// rows that name nobody who was asked for
    pub others: u64,
    /// rows that name somebody who is not in Postgres
    pub strangers: u64,
    /// rows that have the names already
    pub right: u64,
    /// rows that got them; in a dry run those that would
    pub changed: u64,
    /// rows that were deleted meanwhile, or name another person now
    pub gone: u64,
    /// read and write capacity units
    pub consumed_capacity: f64,
}

/// What rows called somebody, and how many did.
#[derive(Debug, Clone, Serialize)]
pub struct Change {
    /// as the rows have it
    pub old_handle: String,
    /// as the rows have it
    pub old_display_name: String,
    /// as Postgres has it
    pub handle: String,
    /// as Postgres has it
    pub display_name: String,
    /// rows
    pub rows: u64,
}

/// A pass over the table.
pub(crate) struct Pass<'a> {
    pub(crate) table: &'a Table,
    pub(crate) people: &'a People,
    /// whether these are all people that there are
    pub(crate) all: bool,
    pub(crate) counts: Counts,
    /// by what the rows had and what they get
    changes: BTreeMap<[String; 4], u64>,
}

impl<'a> Pass<'a> {
    pub(crate) fn new(table: &'a Table, people: &'a People, all: bool, counts: Counts) -> Self {
        Self { table, people, all, counts, changes: BTreeMap::new() }
    }

    /// Reads from `start` to the end. Without `writer` nothing is written.
    ///
    /// # Errors
    /// Where the table cannot be read or written.
    pub(crate) async fn run(
        &mut self,
        start: Option<StartKey>,
        writer: Option<&Statements>,
        checkpoint: Option<&Checkpoint>,
        max_rcu: Option<ops_common::dynamodb::capacity::Bucket>,
        ui: &Ui,
    ) -> Result<(), Error> {
        let mut scan = self.table.scan().project(&ATTRIBUTES.map(str::to_owned));
        scan.limit = max_rcu;
        let mut segments = Segments::new(scan, vec![(Segment { number: 0, of: 1 }, start)], PAGE);
        let doing = if writer.is_some() { "refreshing" } else { "looking" };
        let mut progress = ui.progress(doing);
        let mut page = segments.next().await?;
        while let Some(this) = page {
            // The next page is read while this one's names are written.
            let (next, written) = tokio::join!(segments.next(), self.page(&this, writer));
            written?;
            if let Some(checkpoint) = checkpoint {
                checkpoint.save(this.next.as_ref(), &self.counts)?;
            }
            let counts = &self.counts;
            progress.say(format_args!("{doing}: {} of {} rows read", counts.changed, counts.read));
            page = next?;
        }
        Ok(())
    }

    async fn page(&mut self, page: &Page, writer: Option<&Statements>) -> Result<(), Error> {
        self.counts.consumed_capacity += page.consumed_capacity;
        let mut outdated: Vec<(Item, &Person)> = Vec::new();
        for item in page.items()? {
            let row = item.to_sdk();
            self.counts.read += 1;
            match look(&row, self.people, self.all) {
                Seen::Other => self.counts.others += 1,
                Seen::Stranger => self.counts.strangers += 1,
                Seen::Right => self.counts.right += 1,
                Seen::Outdated(person) => outdated.push((row, person)),
            }
        }
        let Some(writer) = writer else {
            for (row, person) in &outdated {
                self.changed(row, person);
            }
            return Ok(());
        };
        let statements: Vec<_> = outdated
            .iter()
            .map(|(row, person)| statement(self.table.name(), row, person))
            .collect();
        let written = writer.write(&statements).await?;
        self.counts.consumed_capacity += written.consumed_capacity;
        for ((row, person), done) in outdated.iter().zip(written.done) {
            if done {
                self.changed(row, person);
            } else {
                self.look_again(row, person, writer).await?;
            }
        }
        Ok(())
    }

    fn changed(&mut self, row: &Item, person: &Person) {
        self.counts.changed += 1;
        let (old_handle, old_name) = names(row);
        let change = [person.handle.clone(), person.display_name.clone(), old_handle, old_name];
        if self.changes.len() < TOLD || self.changes.contains_key(&change) {
            *self.changes.entry(change).or_default() += 1;
        }
    }

    /// A row whose condition did not hold: somebody wrote a message, which moved it, or
    /// the answer to this very change was lost.
    async fn look_again(
        &mut self,
        row: &Item,
        person: &Person,
        writer: &Statements,
    ) -> Result<(), Error> {
        for _ in 0..LOOKS {
            let (rows, units) = self.now(row).await?;
            self.counts.consumed_capacity += units;
            let mut is_right = false;
            let mut outdated = Vec::new();
            for row in rows {
                match look(&row, self.people, self.all) {
                    Seen::Outdated(now) if now.uuid == person.uuid => outdated.push(row),
                    Seen::Right => is_right = true,
                    _ => {}
                }
            }
            let statements: Vec<_> =
                outdated.iter().map(|row| statement(self.table.name(), row, person)).collect();
            let written = writer.write(&statements).await?;
            self.counts.consumed_capacity += written.consumed_capacity;
            if written.done.iter().all(|done| *done) {
                match (is_right, statements.is_empty()) {
                    (false, true) => self.counts.gone += 1,
                    _ => self.changed(row, person),
                }
                return Ok(());
            }
            sleep(BETWEEN_LOOKS).await;
        }
        Err(Error::new("a row is changed again and again by somebody else")
            .cause(format!("its key: {:?}, {:?}", row.get(PK), row.get(SK)))
            .hint("run it again when fewer people write"))
    }

    /// The row as it is at this moment, wherever it is now.
    async fn now(&self, row: &Item) -> Result<(Vec<Item>, f64), Error> {
        if let Some((owner, group)) = place_in_inbox(row) {
            let found = rows_of_group(self.table, owner, group).await?;
            return Ok((found.rows, found.consumed_capacity));
        }
        let key =
            [PK, SK].iter().filter_map(|name| Some(((*name).to_owned(), row.get(*name)?.clone())));
        let (item, units) = self.table.item(key.collect()).await?;
        Ok((item.into_iter().collect(), units))
    }

    /// What was changed, by person.
    pub(crate) fn changes(&self) -> Vec<Change> {
        let change =
            |([handle, display_name, old_handle, old_display_name], rows): (&[String; 4], &u64)| {
                Change {
                    old_handle: old_handle.clone(),
                    old_display_name: old_display_name.clone(),
                    handle: handle.clone(),
                    display_name: display_name.clone(),
                    rows: *rows,
                }
            };
        self.changes.iter().map(change).collect()
    }
}

/// `53 rows`
pub(crate) fn rows(number: u64) -> String {
    count(number, "row")
}
