//! Work that takes a while, shown on stderr where that is a terminal.

use std::fmt::Display;
use std::thread;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Ui;
use crate::text::{cleaned, printable};

impl Ui {
    /// Shows on a terminal that something goes on, until the value is dropped;
    /// elsewhere says it once.
    #[must_use]
    pub fn waiting(&self, what: impl Display) -> Waiting {
        let what = cleaned(&what.to_string());
        if !self.err_is_terminal {
            self.note(what);
            return Waiting(ProgressBar::hidden());
        }
        let bar = spinner(ProgressDrawTarget::stderr());
        bar.set_message(what);
        bar.enable_steady_tick(TICK);
        Waiting(bar)
    }

    /// How far something is, shown only where a person has to wait for it.
    #[must_use]
    pub fn progress(&self, what: impl Display) -> Progress {
        let bar = spinner(ProgressDrawTarget::hidden());
        bar.set_message(printable(&what.to_string()));
        if self.err_is_terminal {
            let bar = bar.clone();
            // Where there can be no thread there is no progress to be seen.
            let _ = thread::Builder::new().spawn(move || {
                thread::sleep(PROGRESS_AFTER);
                if !bar.is_finished() {
                    bar.set_draw_target(ProgressDrawTarget::stderr());
                    bar.enable_steady_tick(TICK);
                }
            });
        }
        let width = self.err_width.map(usize::from).filter(|width| *width > 2 * BESIDE_PROGRESS);
        Progress { bar, width }
    }
}

/// Work that shows how far it is, on a terminal and once it has taken a second.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    width: Option<usize>,
}

/// What stands beside the message: the spinner and the time. A message that went
/// on in a second line would not be cleared.
const BESIDE_PROGRESS: usize = 12;

impl Progress {
    /// Says how far the work is.
    pub fn say(&mut self, text: impl Display) {
        let text = printable(&text.to_string());
        let width = self.width.map_or(usize::MAX, |width| width.saturating_sub(BESIDE_PROGRESS));
        self.bar.set_message(text.chars().take(width).collect::<String>());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

const TICK: Duration = Duration::from_millis(120);
const PROGRESS_AFTER: Duration = Duration::from_secs(1);

fn spinner(target: ProgressDrawTarget) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, target);
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
        bar.set_style(style);
    }
    bar
}

/// A line on the terminal that says what is waited for.
#[derive(Debug)]
pub struct Waiting(ProgressBar);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
