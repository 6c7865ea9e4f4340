//! A program of Postgres's while it runs: what it says, and how it ended.

use std::io;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use ops_common::error::Error;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStderr};

/// As much of what it says is kept as an error can show.
const MOST_KEPT: usize = 8;

/// A program that ends with this value, at the latest.
#[derive(Debug)]
pub struct Program {
    name: String,
    /// the process, whose pipes can be taken
    pub child: Child,
    stderr: BufReader<ChildStderr>,
}

/// How a program ended, and what it said of that.
#[derive(Debug)]
pub struct Ended {
    name: String,
    /// its status
    pub status: ExitStatus,
    /// its errors, without its name before them
    pub said: Vec<String>,
}

impl Program {
    /// Starts it. Standard input and output are what `command` says.
    ///
    /// # Errors
    /// Where it cannot be run.
    pub fn start(mut command: Command) -> Result<Self, Error> {
        let program = Path::new(command.get_program()).to_owned();
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // Its words are looked at.
        command.env("LC_ALL", "C").stderr(Stdio::piped());
        let failed = |error: io::Error| {
            Error::new(format!("cannot run `{}`", program.display())).cause(error)
        };
        let mut child =
            tokio::process::Command::from(command).kill_on_drop(true).spawn().map_err(failed)?;
        let Some(stderr) = child.stderr.take() else {
            return Err(failed(io::Error::other("it has no standard error")));
        };
        Ok(Self { name, child, stderr: BufReader::new(stderr) })
    }

    /// Waits for the end. `on_line` sees what it says that is no error, `--verbose`'s.
    ///
    /// # Errors
    /// Where it cannot be waited for.
    pub async fn end(mut self, mut on_line: impl FnMut(&str)) -> Result<Ended, Error> {
        let mut said: Vec<String> = Vec::new();
        let mut line = Vec::new();
        // Read to its end, whatever it is: one that is not read would stop the program.
        while self.stderr.read_until(b'\n', &mut line).await.is_ok_and(|read| read > 0) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            line.clear();
            match error_in(&text, &self.name) {
                Some(error) if said.len() < MOST_KEPT => said.push(error.to_owned()),
                Some(_) => {}
                None => on_line(&text),
            }
        }
        let status =
            self.child.wait().await.map_err(|error| {
                Error::new(format!("cannot wait for `{}`", self.name)).cause(error)
            })?;
        Ok(Ended { name: self.name, status, said })
    }
}

impl Ended {
    /// `error` with what the program said, or nothing where it did what it should.
    ///
    /// # Errors
    /// As said.
    pub fn or(self, error: impl FnOnce() -> Error) -> Result<(), Error> {
        if self.status.success() {
            return Ok(());
        }
        let Self { name, status, said } = self;
        let error = error();
        Err(if said.is_empty() {
            error.cause(format!("`{name}` ended with {status} and said nothing"))
        } else {
            said.into_iter().fold(error, Error::cause)
        })
    }
}

/// An error that one of Postgres's programs reports, without where it comes from:
/// `pg_dump: error: …`, `psql:<stdin>:12: ERROR:  …`, and what belongs to it.
fn error_in<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let own = line.strip_prefix(name).and_then(|rest| rest.strip_prefix(": "));
    let own = own
        .and_then(|rest| ["error: ", "detail: "].iter().find_map(|label| rest.strip_prefix(label)));
    if own.is_some() {
        return own.map(|text| text.trim_start_matches("query failed: "));
    }
    let server = ["ERROR:  ", "FATAL:  ", "DETAIL:  "];
    let server = server.iter().find_map(|label| line.find(label).map(|at| &line[at..]));
    server.map(|text| text.trim_start_matches("ERROR:  "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_from_the_rest() {
        for (line, error) in [
            ("pg_dump: dumping contents of table \"public.users\"", None),
            ("pg_dump: error: query failed: ERROR:  no", Some("ERROR:  no")),
            ("pg_dump: detail: Query was: LOCK TABLE", Some("Query was: LOCK TABLE")),
            (
                "psql:<stdin>:12: ERROR:  role \"x\" does not exist",
                Some("role \"x\" does not exist"),
            ),
            ("psql:<stdin>:12: WARNING:  there is already", None),
            ("DETAIL:  Key (a)=(b)", Some("DETAIL:  Key (a)=(b)")),
        ] {
            let name = line.split(':').next().unwrap_or_default();
            assert_eq!(error_in(line, name), error, "{line}");
        }
    }
}
