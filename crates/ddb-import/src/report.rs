//! What a run says in the end: its counts, which are of lines.

use std::path::Path;

use ops_common::error::{Error, Exit};
use ops_common::text::{count, units};
use ops_common::ui::Ui;
use serde::Serialize;

use crate::Args;
use crate::ledger::Counts;

#[derive(Serialize)]
pub(crate) struct Report {
    /// lines, those of the runs that this one goes on from included
    read: u64,
    written: u64,
    rejected: u64,
    /// read, and not known to be written
    unreached: u64,
    /// the line that this run began at; 0: it did not go on from another
    resumed_at: u64,
    consumed_capacity: f64,
    seconds: f64,
    /// with --dry-run: what writing would cost in the table, without its indexes
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) write_units: Option<f64>,
}

impl Report {
    pub(crate) fn new(counts: Counts, resumed_at: u64, seconds: f64) -> Self {
        Self {
            read: counts.read,
            written: counts.written,
            rejected: counts.rejected,
            unreached: counts.unreached(),
            resumed_at,
            consumed_capacity: counts.consumed_capacity,
            seconds: (seconds * 1000.0).round() / 1000.0,
            write_units: None,
        }
    }

    pub(crate) fn show(&self, args: &Args, ui: &Ui) -> Result<(), Error> {
        ui.note(format_args!(
            "{} read: {} written, {} rejected, {} unreached; {} write units; {:.1} s",
            lines(self.read),
            self.written,
            self.rejected,
            self.unreached,
            units(self.consumed_capacity),
            self.seconds
        ));
        if args.output.json() { ui.report(args.target.target, self) } else { Ok(()) }
    }
}

/// A number of lines in words.
pub(crate) fn lines(number: u64) -> String {
    count(number, "line")
}

/// Fails where lines were rejected: something was read and not written.
pub(crate) fn refuse_rejected(counts: Counts, rejects: Option<&Path>) -> Result<(), Error> {
    if counts.rejected == 0 {
        return Ok(());
    }
    let rejected = lines(counts.rejected);
    let file = rejects.map(|file| format!("`{}`", file.display()));
    let file = file.unwrap_or_else(|| "the rejected lines".to_owned());
    Err(Error::new(format!("{rejected} rejected; the rest is written"))
        .hint(format!("fix {file} and import that"))
        .exit(Exit::Partial))
}
