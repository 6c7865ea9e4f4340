//! What a person and a script see: stdout for data, stderr for people, tables,
//! colour, progress. Nothing below this module prints, and nothing that it prints
//! can steer a terminal: text is cleaned of control characters here, and only then
//! coloured.

use std::fmt::Display;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::thread;
use std::time::Duration;

use colored::{Color, Colorize};
use comfy_table::{
    Attribute, Cell, ColumnConstraint, ContentArrangement, LineStyle, Row, Table, TableStyle,
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::args::ColorChoice;
use crate::error::Error;
pub use crate::terminal_safe::printable;
use crate::terminal_safe::{TerminalSafe, cleaned};
use crate::wrap::wrapped;

/// A rule under the header and nothing else: easy on the eye, and on `grep`.
const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::new('─', '─', '─', '─'));

/// Two columns of sentences beside each other.
const WIDTH_FOR_LONG_TEXTS: u16 = 120;

/// What a table has between two columns.
const PADDING: usize = 3;
/// Columns that are nothing when cut: uuids to be copied, times.
const WHOLE_COLUMNS: [&str; 6] = ["group", "sent", "last", "sub", "in Cognito", "path"];

/// The streams of one run: what is a terminal, what is coloured, how much is said.
#[derive(Debug, Clone)]
pub struct Ui {
    out_color: bool,
    err_color: bool,
    out_is_terminal: bool,
    out_width: Option<u16>,
    err_is_terminal: bool,
    err_width: Option<u16>,
    verbose: bool,
    quiet: bool,
}

fn colored_stream(choice: ColorChoice, is_terminal: bool) -> bool {
    match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        // https://no-color.org: any value but the empty one turns colour off.
        ColorChoice::Auto => is_terminal && crate::env::var("NO_COLOR").is_none(),
    }
}

impl Ui {
    /// Looks at the two streams once.
    #[must_use]
    pub fn new(color: ColorChoice, verbose: bool) -> Self {
        let (out, err) = (io::stdout().is_terminal(), io::stderr().is_terminal());
        // `colored` decides for the whole process; here each stream decides.
        colored::control::set_override(true);
        // A terminal that does not know its width says 0.
        let width = |table: &Table| table.width().filter(|width| *width > 0);
        let out_width = out.then(|| width(&Table::new())).flatten();
        let err_width = err.then(|| width(Table::new().use_stderr())).flatten();
        Self {
            out_color: colored_stream(color, out),
            err_color: colored_stream(color, err),
            out_is_terminal: out,
            out_width,
            err_is_terminal: err,
            err_width,
            verbose,
            quiet: false,
        }
    }

    /// Leaves out what a person could do without: all on stderr but warnings,
    /// questions and errors.
    #[must_use]
    pub fn quiet(self, quiet: bool) -> Self {
        Self { quiet, err_is_terminal: self.err_is_terminal && !quiet, ..self }
    }

    /// Whether each request and statement is to be shown.
    #[must_use]
    pub fn is_verbose(&self) -> bool {
        self.verbose
    }

    /// Whether a person watches stderr.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        self.err_is_terminal
    }

    /// Writes `text` and a line end to stdout.
    ///
    /// # Errors
    /// Where stdout cannot be written; a closed pipe is [`crate::error::Exit::ClosedPipe`].
    pub fn line(&self, text: impl Display) -> Result<(), Error> {
        self.painted_line(&cleaned(&text.to_string()))
    }

    /// Writes the heading of what follows to stdout.
    ///
    /// # Errors
    /// Like [`Ui::line`].
    pub fn heading(&self, text: &str) -> Result<(), Error> {
        let text = cleaned(text);
        let text = if self.out_color { text.color(Color::Cyan).to_string() } else { text };
        self.painted_line(&text)
    }

    /// Writes a line that is clean, and may be coloured.
    fn painted_line(&self, text: &str) -> Result<(), Error> {
        let mut out = BufWriter::new(io::stdout().lock());
        writeln!(out, "{text}")?;
        Ok(out.flush()?)
    }

    /// Writes `value` to stdout as one JSON document.
    ///
    /// # Errors
    /// Like [`Ui::line`].
    pub fn json(&self, value: &impl Serialize) -> Result<(), Error> {
        let mut out = self.stdout();
        serde_json::to_writer_pretty(&mut out, value).map_err(io::Error::from)?;
        writeln!(out)?;
        Ok(out.flush()?)
    }

    /// A buffered stdout for results that are streamed. On a terminal, control
    /// characters come out as JSON escapes them.
    pub fn stdout(&self) -> impl Write {
        TerminalSafe::new(BufWriter::new(io::stdout().lock()), self.out_is_terminal)
    }

    /// Whether a person watches stdout.
    #[must_use]
    pub fn out_is_terminal(&self) -> bool {
        self.out_is_terminal
    }

    /// Writes a table to stdout: as wide as the terminal, or as wide as its
    /// content where there is no terminal. A cell that does not fit is cut to
    /// one line in `cut` columns' tables and wrapped in others; where the columns
    /// would be too narrow to read, each row is a paragraph.
    ///
    /// # Errors
    /// Like [`Ui::line`].
    pub fn table(&self, header: &[&str], rows: &[Vec<String>], cells: Cells) -> Result<(), Error> {
        if self.out_width.is_some_and(|width| usize::from(width) < legible_width(header, rows)) {
            return self.painted_line(&records(header, rows));
        }
        let mut table = self.new_table(self.out_color, self.out_width);
        table.set_header(header.iter().map(|name| self.header_cell(name, self.out_color)));
        for row in rows {
            let mut row = Row::from(row.iter().map(|cell| printable(cell)).collect::<Vec<_>>());
            if self.out_width.is_some() && cells == Cells::Cut {
                row.max_height(1);
            }
            table.add_row(row);
        }
        for (index, name) in header.iter().enumerate() {
            if WHOLE_COLUMNS.contains(name)
                && self.out_width.is_some()
                && let Some(column) = table.column_mut(index)
            {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        self.painted_line(&trim_lines(&table.to_string()))
    }

    /// Whether a table on stdout has to do with few columns.
    #[must_use]
    pub fn is_narrow(&self) -> bool {
        self.out_width.is_some_and(|width| width < WIDTH_FOR_LONG_TEXTS)
    }

    fn header_cell(&self, name: &str, color: bool) -> Cell {
        let cell = Cell::new(printable(name));
        if color { cell.add_attribute(Attribute::Bold) } else { cell }
    }

    fn new_table(&self, color: bool, width: Option<u16>) -> Table {
        let mut table = Table::new();
        table.load_style(STYLE);
        if color {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        match width {
            Some(width) => {
                table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
            }
            None => {
                table.set_content_arrangement(ContentArrangement::Disabled);
            }
        }
        table
    }

    fn err_paint(&self, text: &str, color: Color) -> String {
        if self.err_color { text.color(color).bold().to_string() } else { text.to_owned() }
    }

    /// Says something to a person, unless --quiet is given.
    pub fn note(&self, text: impl Display) {
        if !self.quiet {
            self.say(text);
        }
    }

    /// Says what has to be said. A stderr that cannot be written stops nothing.
    pub fn say(&self, text: impl Display) {
        self.say_painted(&self.fitted(&text.to_string()));
    }

    /// Text for stderr: cleaned, and broken for the terminal's width.
    fn fitted(&self, text: &str) -> String {
        let text = cleaned(text);
        match self.err_width {
            Some(width) => wrapped(&text, width),
            None => text,
        }
    }

    fn say_painted(&self, text: &str) {
        // One write, so that lines of several programs do not mix.
        let _ = io::stderr().write_all(format!("{text}\n").as_bytes());
    }

    /// Says something behind a label. Its further lines are indented: data with line
    /// breaks in it cannot pass for a line of the tool's own.
    fn say_labelled(&self, indent: &str, label: &str, color: Color, text: &str) {
        let text = text.trim_end().replace('\n', "\n    ");
        let line = self.fitted(&format!("{indent}{label} {text}"));
        self.say_painted(&line.replacen(label, &self.err_paint(label, color), 1));
    }

    fn say_dimmed(&self, text: &str) {
        let text = self.fitted(text);
        self.say_painted(&if self.err_color { text.dimmed().to_string() } else { text });
    }

    /// Says where the tool is about to act; --quiet leaves it out where that is this
    /// machine.
    pub fn acts_on(&self, text: impl Display) {
        let text = text.to_string();
        if self.quiet && text.starts_with("target: local") {
            return;
        }
        self.say_dimmed(&printable(&text));
    }

    /// Says something that a person should look at.
    pub fn warn(&self, text: impl Display) {
        self.say_labelled("", "warning:", Color::Yellow, &text.to_string());
    }

    /// Says something where `-v` asks for it.
    pub fn verbose(&self, text: impl Display) {
        if self.verbose && !self.quiet {
            self.say_dimmed(&printable(&text.to_string()));
        }
    }

    /// Asks on stderr, without a line end.
    pub fn ask(&self, question: &str) {
        let mut err = io::stderr();
        let _ = write!(err, "{} ", self.err_paint(&cleaned(question), Color::Yellow));
        let _ = err.flush();
    }

    /// Reports an error: what, why, how to fix it.
    pub fn error(&self, error: &Error) {
        self.say_labelled("", "error:", Color::Red, error.message());
        for cause in error.causes() {
            self.say_labelled("  ", "cause:", Color::Red, cause);
        }
        for hint in error.hints() {
            self.say_labelled("  ", "hint:", Color::Green, hint);
        }
    }

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

/// What a table does with a cell that is wider than its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cells {
    /// shows all of it on several lines
    Wrapped,
    /// shows what fits on one line
    Cut,
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

/// A column this wide can be read.
const LEGIBLE_WIDTH: usize = 8;

fn legible_width(header: &[&str], rows: &[Vec<String>]) -> usize {
    let width = |index: usize| {
        let cells = rows.iter().filter_map(|row| row.get(index)).map(|cell| cell.chars().count());
        let widest = cells.chain([header[index].len()]).max().unwrap_or_default();
        if WHOLE_COLUMNS.contains(&header[index]) { widest } else { widest.min(LEGIBLE_WIDTH) }
    };
    (0..header.len()).map(|index| width(index) + PADDING).sum()
}

/// The rows as paragraphs: a line for each cell, behind its column's name.
fn records(header: &[&str], rows: &[Vec<String>]) -> String {
    let width = header.iter().map(|name| name.len()).max().unwrap_or_default();
    let record = |row: &Vec<String>| {
        let lines = header.iter().zip(row);
        lines
            .map(|(name, cell)| format!("{name:width$}  {}\n", printable(cell)))
            .collect::<String>()
    };
    let records: Vec<String> = rows.iter().map(record).collect();
    records.join("\n").trim_end().to_owned()
}

fn trim_lines(text: &str) -> String {
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// `1 item`, `2 items`.
#[must_use]
pub fn count(number: usize, noun: &str) -> String {
    match (number, noun) {
        (1, _) => format!("1 {noun}"),
        (_, "person") => format!("{number} people"),
        _ => format!("{number} {noun}s"),
    }
}

/// Consumed capacity units as people read them: `0.5`, `12`.
#[must_use]
pub fn units(units: f64) -> String {
    let text = format!("{units:.1}");
    text.strip_suffix(".0").map_or_else(|| text.clone(), str::to_owned)
}

/// A size as people read it: `512 bytes`, `1.5 MiB`.
#[must_use]
pub fn bytes(bytes: i64) -> String {
    let mut size = bytes as f64;
    for unit in ["bytes", "KiB", "MiB", "GiB"] {
        if size < 1024.0 {
            let digits = usize::from(unit != "bytes");
            return format!("{size:.digits$} {unit}");
        }
        size /= 1024.0;
    }
    format!("{size:.1} TiB")
}

/// The names nearest to `name`, best first, at most `limit`.
#[must_use]
pub fn nearest<'a>(
    name: &str,
    names: impl IntoIterator<Item = &'a str>,
    limit: usize,
) -> Vec<&'a str> {
    let mut scored: Vec<(f64, &str)> =
        names.into_iter().map(|other| (strsim::jaro_winkler(name, other), other)).collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    scored.into_iter().take(limit).map(|(_, name)| name).collect()
}

/// The name that a mistyped one likely means.
#[must_use]
pub fn meant<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = |other: &&str| strsim::jaro_winkler(name, other) > 0.8;
    nearest(name, names, 1).into_iter().find(near)
}

/// Names in backticks, separated by commas.
#[must_use]
pub fn quoted<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> String {
    let quoted = |name: S| format!("`{}`", printable(name.as_ref()));
    names.into_iter().map(quoted).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_names_come_first() {
        let names = ["orders", "cruddur-messages", "cruddur-message-archive"];
        assert_eq!(
            nearest("crudur-messages", names, 2),
            ["cruddur-messages", "cruddur-message-archive"]
        );
    }

    #[test]
    fn sizes_are_short() {
        let sizes = [0, 1023, 1024, 1_572_864, 3 << 40];
        let words = ["0 bytes", "1023 bytes", "1.0 KiB", "1.5 MiB", "3.0 TiB"];
        assert_eq!(sizes.map(bytes), words);
    }

    #[test]
    fn only_what_is_near_is_meant() {
        let names = ["orders", "cruddur-messages"];
        assert_eq!(meant("crudur-mesages", names), Some("cruddur-messages"));
        assert_eq!(meant("order", names), Some("orders"));
        assert_eq!(meant("people", names), None);
    }

    #[test]
    fn a_row_can_be_a_paragraph() {
        let rows = [vec!["1".to_owned(), "a\nb".to_owned()], vec!["2".to_owned(), String::new()]];
        assert_eq!(records(&["pid", "query"], &rows), "pid    1\nquery  a⏎b\n\npid    2\nquery");
        assert_eq!(legible_width(&["pid", "a long name"], &rows), 3 + 3 + 8 + 3);
    }

    #[test]
    fn units_lose_an_empty_fraction() {
        assert_eq!([units(0.5), units(12.0), units(0.0)], ["0.5", "12", "0"]);
    }
}
