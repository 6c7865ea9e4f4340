//! The error that every tool reports: what failed, why, how to fix it, and
//! the exit code that says which kind of failure it was.
//!
//! It carries text only. Where the text goes is `cli`'s business.

use std::fmt;
use std::io;

/// The exit codes of every tool, as the README documents them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: the reader of standard output went away; what was asked for is done.
    ClosedPipe,
    /// 1: the work failed.
    Failed,
    /// 2: the command line asks for something that does not exist.
    Usage,
    /// 3: done in part; something was read and not written, or rejected.
    Partial,
    /// 4: the person said no.
    Declined,
    /// 130: interrupted by Ctrl-C.
    Interrupted,
}

impl Exit {
    /// The process's exit status.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::ClosedPipe => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Partial => 3,
            Self::Declined => 4,
            Self::Interrupted => 130,
        }
    }
}

/// What went wrong (`message`), why (`causes`), and how to fix it (`hints`).
///
/// Texts are lower-case fragments with no full stop, identifiers in backticks.
#[derive(Debug, Clone)]
pub struct Error {
    message: String,
    causes: Vec<String>,
    hints: Vec<String>,
    exit: Exit,
}

impl Error {
    /// An error that ends the tool with exit code 1.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), causes: Vec::new(), hints: Vec::new(), exit: Exit::Failed }
    }

    /// An error of the command line, exit code 2.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(message).exit(Exit::Usage)
    }

    /// A failure to write to standard output. A closed pipe (`| head -1`) is no
    /// failure: the reader has what it wanted.
    #[must_use]
    pub fn stdout(error: io::Error) -> Self {
        let exit =
            if error.kind() == io::ErrorKind::BrokenPipe { Exit::ClosedPipe } else { Exit::Failed };
        Self::new("cannot write to standard output").cause(error).exit(exit)
    }

    /// Adds what went wrong with showing a result, which counts less than this error.
    #[must_use]
    pub fn and_shown(self, shown: Result<(), Self>) -> Self {
        match shown {
            Err(error) if error.exit != Exit::ClosedPipe => self.because(&error),
            _ => self,
        }
    }

    /// Adds a cause, unless the text so far says it already.
    #[must_use]
    pub fn cause(mut self, cause: impl fmt::Display) -> Self {
        let cause = cause.to_string();
        let said = |text: &String| text.contains(&cause);
        if !cause.is_empty() && !said(&self.message) && !self.causes.iter().any(said) {
            self.causes.push(cause);
        }
        self
    }

    /// Adds the whole source chain of `error`, each text once.
    #[must_use]
    pub fn source_chain(mut self, error: &(dyn std::error::Error + 'static)) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            self = self.cause(error);
            next = error.source();
        }
        self
    }

    /// Adds what another error says: its message and causes as causes, its hints.
    #[must_use]
    pub fn because(self, other: &Self) -> Self {
        let causes = [&other.message].into_iter().chain(&other.causes);
        let error = causes.fold(self, Self::cause);
        other.hints.iter().fold(error, Self::hint)
    }

    /// Adds a way to fix it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Sets the exit code.
    #[must_use]
    pub fn exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// The exit code's meaning.
    #[must_use]
    pub fn exit_kind(&self) -> Exit {
        self.exit
    }

    /// What failed.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Why, outermost first.
    #[must_use]
    pub fn causes(&self) -> &[String] {
        &self.causes
    }

    /// How to fix it.
    #[must_use]
    pub fn hints(&self) -> &[String] {
        &self.hints
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        for cause in &self.causes {
            write!(f, ": {cause}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_said_once() {
        let error =
            Error::new("cannot read `x`: not found").cause("not found").cause("disk").cause("disk");
        assert_eq!(error.causes(), ["disk"]);
    }

    #[test]
    fn a_closed_pipe_is_success() {
        let error = Error::stdout(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(error.exit_kind().code(), 0);
        let error = Error::stdout(io::Error::from(io::ErrorKind::StorageFull));
        assert_eq!(error.exit_kind().code(), 1);
    }
}
