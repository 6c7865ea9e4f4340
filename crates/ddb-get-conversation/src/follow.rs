//! Messages as they come.

use std::collections::HashSet;
use std::io::Write;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use ops_common::app::conversations::{Found, Period, messages};
use ops_common::app::keys::SortTime;
use ops_common::app::records::{ApiMessage, MalformedRow, Message};
use ops_common::app::times;
use ops_common::cli;
use ops_common::dynamodb::table::Table;
use ops_common::error::Error;
use ops_common::text::{count, printable, units};
use ops_common::ui::Ui;
use tokio::time::sleep;
use uuid::Uuid;

/// Between two queries while people write, and when it is quiet.
const SHORTEST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How often nobody has written before the pause grows: after a minute.
const QUIET: u32 = 30;

/// A message can come behind one that is dated later: a read that is not consistent, a
/// clock. What is so much older than the last one is looked at again.
const OVERLAP: TimeDelta = TimeDelta::seconds(30);

/// As many new messages as are read at once.
const MOST: usize = 10_000;

/// Shows the newest, as they are asked for, and what comes, until Ctrl-C.
pub(crate) async fn follow(
    table: &Table,
    group: Uuid,
    period: Period,
    limit: usize,
    json: bool,
    ui: &Ui,
) -> Result<(), Error> {
    let mut follower = Follower {
        since: SortTime::new(Utc::now() - OVERLAP),
        seen: HashSet::new(),
        shown: 0,
        consumed_capacity: 0.0,
        json,
        ui,
    };
    // What is there already is not new, though the first queries look back to it.
    let there = Period { since: Some(follower.since), until: None };
    let there = messages(table, group, there, MOST).await?;
    follower.consumed_capacity += there.consumed_capacity;
    let mut found = messages(table, group, period, limit).await?;
    found.rows.reverse();
    ui.note(format_args!("following the conversation {group}; Ctrl-C ends it"));
    follower.show(found)?;
    follower.seen.extend(there.rows.iter().map(|message| message.sent_at.to_string()));
    cli::with_own_ctrl_c(async {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => Ok(()),
            outcome = follower.follow(table, group) => outcome,
        }
    })
    .await?;
    if ui.is_terminal() {
        // Behind what the terminal shows of the key.
        ui.say("");
    }
    ui.note(format_args!(
        "{}; {} read units",
        count(follower.shown, "message"),
        units(follower.consumed_capacity)
    ));
    Ok(())
}

struct Follower<'a> {
    since: SortTime,
    seen: HashSet<String>,
    shown: usize,
    consumed_capacity: f64,
    json: bool,
    ui: &'a Ui,
}

impl Follower<'_> {
    async fn follow(&mut self, table: &Table, group: Uuid) -> Result<(), Error> {
        let mut quiet = 0;
        loop {
            let factor = (quiet / QUIET).saturating_add(1);
            let pause = LONGEST_PAUSE.min(SHORTEST_PAUSE * factor);
            sleep(pause).await;
            let period = Period { since: Some(self.since), until: None };
            let mut found = messages(table, group, period, MOST).await?;
            found.rows.reverse();
            quiet = if self.show(found)? { 0 } else { quiet + 1 };
        }
    }

    /// Whether any of it is new.
    fn show(&mut self, found: Found<Message>) -> Result<bool, Error> {
        self.consumed_capacity += found.consumed_capacity;
        let mut is_new = false;
        for row in found.malformed.iter().map(MalformedRow::to_string) {
            if self.seen.insert(row.clone()) {
                self.ui.warn(row);
            }
        }
        for message in found.rows {
            if !self.seen.insert(message.sent_at.to_string()) {
                continue;
            }
            is_new = true;
            self.shown += 1;
            self.since = self.since.max(SortTime::new(message.sent_at.time() - OVERLAP));
            self.write(message)?;
        }
        Ok(is_new)
    }

    fn write(&self, message: Message) -> Result<(), Error> {
        if !self.json {
            return self.ui.sentence(format_args!(
                "{}  {}: {}",
                times::local(message.sent_at.time()),
                printable(&message.sender.handle),
                printable(&message.text)
            ));
        }
        let mut out = self.ui.stdout();
        serde_json::to_writer(&mut out, &ApiMessage::from(message))
            .map_err(std::io::Error::from)
            .and_then(|()| writeln!(out))
            .and_then(|()| out.flush())
            .map_err(Error::stdout)
    }
}
