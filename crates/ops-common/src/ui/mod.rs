//! What a person and a script see: stdout for data, stderr for people, tables,
//! colour, progress. Nothing below this module prints, and nothing that it prints
//! can steer a terminal: text is cleaned of control characters here, and only then
//! coloured.

mod progress;
mod table;
pub mod terminal_safe;
mod wrap;

use std::fmt::Display;
use std::io::{self, BufWriter, IsTerminal, Write};

use clap::ValueEnum;
use colored::{Color, Colorize};
use comfy_table::Table;
use serde::Serialize;

use crate::error::Error;
use crate::target::Target;
use crate::text::{cleaned, printable};
pub use progress::{Progress, Waiting};
pub use table::{Cells, Column};
use terminal_safe::TerminalSafe;
use wrap::wrapped;

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// where the stream is a terminal and `NO_COLOR` is not set
    Auto,
    /// always
    Always,
    /// never
    Never,
}

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

pub(crate) fn colored_stream(choice: ColorChoice, is_terminal: bool) -> bool {
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

    /// Writes a sentence to stdout, broken for the terminal's width.
    ///
    /// # Errors
    /// Like [`Ui::line`].
    pub fn sentence(&self, text: impl Display) -> Result<(), Error> {
        let text = cleaned(&text.to_string());
        self.painted_line(&match self.out_width {
            Some(width) => wrapped(&text, width),
            None => text,
        })
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
        let text = self.out_width.map_or(text.clone(), |width| wrapped(&text, width));
        let text = if self.out_color { text.color(Color::Cyan).to_string() } else { text };
        self.painted_line(&text)
    }

    /// Writes a line that is clean, and may be coloured.
    fn painted_line(&self, text: &str) -> Result<(), Error> {
        let mut out = BufWriter::new(io::stdout().lock());
        writeln!(out, "{text}").and_then(|()| out.flush()).map_err(Error::stdout)
    }

    /// Writes `value` to stdout as one JSON document.
    ///
    /// # Errors
    /// Like [`Ui::line`].
    pub fn json(&self, value: &impl Serialize) -> Result<(), Error> {
        let mut out = self.stdout();
        serde_json::to_writer_pretty(&mut out, value)
            .map_err(io::Error::from)
            .and_then(|()| writeln!(out))
            .and_then(|()| out.flush())
            .map_err(Error::stdout)
    }

    /// Writes the result of a tool to stdout, for scripts: one JSON object that begins with
    /// the target. `value` is a struct or a map.
    ///
    /// # Errors
    /// Like [`Ui::line`].
    pub fn report(&self, target: Target, value: &impl Serialize) -> Result<(), Error> {
        #[derive(Serialize)]
        struct Report<'a, T> {
            target: &'a str,
            #[serde(flatten)]
            value: &'a T,
        }
        self.json(&Report { target: &target.to_string(), value })
    }

    /// A buffered stdout for results that are streamed. On a terminal, control
    /// characters come out as JSON escapes them.
    pub fn stdout(&self) -> impl Write {
        TerminalSafe::new(BufWriter::new(io::stdout().lock()), self.out_is_terminal)
    }

    /// Whether what another program prints to stdout may be coloured.
    #[must_use]
    pub fn colors_stdout(&self) -> bool {
        self.out_color
    }

    /// Whether a person watches stdout.
    #[must_use]
    pub fn out_is_terminal(&self) -> bool {
        self.out_is_terminal
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

    /// Says something that is there to be pasted, whatever the terminal's width: it
    /// would not be the same in two lines.
    pub fn paste(&self, text: impl Display) {
        if !self.quiet {
            self.say_painted(&cleaned(&text.to_string()));
        }
    }

    fn say_dimmed(&self, text: &str) {
        let text = self.fitted(text);
        self.say_painted(&if self.err_color { text.dimmed().to_string() } else { text });
    }

    /// Says where the tool is about to act; --quiet leaves it out where that is this
    /// machine.
    pub fn announce(&self, target: Target, text: impl Display) {
        let text = printable(&text.to_string());
        match target {
            Target::Local if self.quiet => {}
            Target::Local => self.say_dimmed(&text),
            Target::Prod => {
                let label = target.label();
                let badge = label.color(Color::BrightWhite).on_color(Color::Red).bold().to_string();
                let badge = if self.err_color { &badge } else { label };
                self.say_painted(&self.fitted(&text).replacen(label, badge, 1));
            }
        }
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
}
