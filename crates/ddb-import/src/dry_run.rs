//! `--dry-run`: every line is checked, and nothing is written.

use std::process::ExitCode;
use std::time::Instant;

use ops_common::error::Error;
use ops_common::text::{count, units};
use ops_common::ui::Ui;

use crate::Args;
use crate::format::Parser;
use crate::input::Records;
use crate::ledger::{Counts, warn_of_line};
use crate::report::{Report, lines};

/// Checks every line, and says what writing them would cost.
///
/// # Errors
/// Where the input cannot be read, or a line is bad.
pub(crate) fn run(
    mut records: Records,
    parser: &Parser,
    args: &Args,
    ui: &Ui,
) -> Result<ExitCode, Error> {
    let start = Instant::now();
    let mut counts = Counts::default();
    let mut write_units = 0.0;
    let mut progress = ui.progress("checking");
    while records.advance()? {
        counts.read += 1;
        if counts.read.is_multiple_of(100_000) {
            progress.say(format_args!("checking: {} lines", counts.read));
        }
        let parsed = match records.record() {
            Some(record) => parser.parse(record),
            None => {
                let place = records.place();
                records.copy_long_line(&mut std::io::sink())?;
                warn_of(&mut counts, &place, &Records::too_long(), ui);
                continue;
            }
        };
        match parsed {
            Ok(put) => write_units += put.units,
            Err(why) => {
                warn_of(&mut counts, &records.place(), &why, ui);
            }
        }
    }
    drop(progress);
    let seconds = start.elapsed().as_secs_f64();
    let mut report = Report::new(counts, 0, seconds);
    report.write_units = Some(write_units);
    ui.note(format_args!(
        "{} read: {} good, {} bad",
        lines(counts.read),
        counts.read - counts.rejected,
        counts.rejected
    ));
    let shown = if args.output.json() { ui.report(args.target.target, &report) } else { Ok(()) };
    ui.note(format_args!(
        "nothing is written (--dry-run); writing would cost {} write units in the table, more where it has indexes or larger items are replaced",
        units(write_units)
    ));
    if counts.rejected == 0 {
        return shown.map(|()| ExitCode::SUCCESS);
    }
    let bad = count(counts.rejected, "bad line");
    Err(Error::new(bad).hint("collect them with --rejects FILE and fix them there, or fix them (not in an export: it is verified)"))
}

fn warn_of(counts: &mut Counts, place: &str, why: &str, ui: &Ui) {
    counts.rejected += 1;
    warn_of_line(counts.rejected, place, why, ui);
}
