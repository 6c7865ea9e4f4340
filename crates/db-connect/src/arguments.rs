//! psql's own arguments, as far as they matter here: where they would connect, which
//! SQL they name, and whether start-up files are read. Pure.
//!
//! <https://www.postgresql.org/docs/current/app-psql.html>

use std::ffi::OsString;
use std::path::PathBuf;

use ops_common::error::Error;

/// What psql is called with.
#[derive(Debug, Default)]
pub(crate) struct PsqlArguments {
    /// all of them
    pub(crate) all: Vec<OsString>,
    /// SQL given with `-c`
    pub(crate) commands: Vec<String>,
    /// files of SQL given with `-f`; `-` is standard input
    pub(crate) files: Vec<PathBuf>,
    /// whether `-X` is among them
    pub(crate) no_psqlrc: bool,
}

/// psql's options that take a value, or that are looked at here.
const OPTIONS: [(char, &str, bool); 16] = [
    ('d', "dbname", true),
    ('h', "host", true),
    ('p', "port", true),
    ('U', "username", true),
    ('c', "command", true),
    ('f', "file", true),
    ('X', "no-psqlrc", false),
    ('v', "variable", true),
    ('v', "set", true),
    ('P', "pset", true),
    ('F', "field-separator", true),
    ('R', "record-separator", true),
    ('T', "table-attr", true),
    ('o', "output", true),
    ('L', "log-file", true),
    // Without a value, and named here since `--no-p` could mean it too.
    ('w', "no-password", false),
];

impl PsqlArguments {
    /// Looks through psql's arguments.
    ///
    /// # Errors
    /// Of the command line, where one of them says where to connect: the stamp of the
    /// one database says nothing of another.
    pub(crate) fn parse(arguments: &[OsString]) -> Result<Self, Error> {
        let mut parsed = Self { all: arguments.to_vec(), ..Self::default() };
        let mut rest = arguments.iter().map(|argument| argument.to_string_lossy());
        while let Some(argument) = rest.next() {
            if let Some(long) = argument.strip_prefix("--").filter(|long| !long.is_empty()) {
                let (name, value) =
                    long.split_once('=').map_or((long, None), |(n, v)| (n, Some(v.to_owned())));
                // Abbreviations are taken too.
                let meant: Vec<_> =
                    OPTIONS.iter().filter(|(_, option, _)| option.starts_with(name)).collect();
                let value = match value {
                    None if meant.iter().any(|(.., takes_value)| *takes_value) => {
                        rest.next().map(|value| value.into_owned())
                    }
                    value => value,
                };
                for (letter, ..) in meant {
                    parsed.option(*letter, value.as_deref(), &argument)?;
                }
            } else if let Some(letters) =
                argument.strip_prefix('-').filter(|l| !l.is_empty() && *l != "-")
            {
                for (at, letter) in letters.char_indices() {
                    let takes_value = OPTIONS.iter().any(|(o, _, takes)| *o == letter && *takes);
                    let behind = &letters[at + letter.len_utf8()..];
                    let value = match takes_value {
                        false => None,
                        true if behind.is_empty() => rest.next().map(|value| value.into_owned()),
                        true => Some(behind.to_owned()),
                    };
                    parsed.option(letter, value.as_deref(), &argument)?;
                    if takes_value {
                        break;
                    }
                }
            } else {
                return Err(elsewhere(&argument));
            }
        }
        Ok(parsed)
    }

    fn option(&mut self, letter: char, value: Option<&str>, argument: &str) -> Result<(), Error> {
        match letter {
            'd' | 'h' | 'p' | 'U' => return Err(elsewhere(argument)),
            'c' => self.commands.extend(value.map(str::to_owned)),
            'f' => self.files.extend(value.map(PathBuf::from)),
            'X' => self.no_psqlrc = true,
            _ => {}
        }
        Ok(())
    }

    /// Takes `-X` out, wherever it stands.
    pub(crate) fn take_no_psqlrc(&mut self) {
        let mut all = Vec::with_capacity(self.all.len());
        let mut arguments = std::mem::take(&mut self.all).into_iter();
        while let Some(argument) = arguments.next() {
            let Some(text) = argument.to_str() else {
                all.push(argument);
                continue;
            };
            if let Some(long) = text.strip_prefix("--") {
                // `--no` and `--no-p` are ambiguous to psql, and its to refuse.
                if long.len() > "no-p".len() && "no-psqlrc".starts_with(long) {
                    continue;
                }
                let name_only = !long.is_empty() && !long.contains('=');
                let takes = OPTIONS.iter().any(|(_, o, takes)| *takes && o.starts_with(long));
                all.push(argument);
                if name_only && takes {
                    all.extend(arguments.next());
                }
                continue;
            }
            let letters = text.strip_prefix('-').unwrap_or_default();
            let takes = |letter: char| OPTIONS.iter().any(|(o, _, takes)| *o == letter && *takes);
            let end = letters.find(takes).unwrap_or(letters.len());
            let value_follows = end + 1 == letters.len();
            let kept = letters[..end].replace('X', "") + &letters[end..];
            if !kept.is_empty() || letters.is_empty() {
                all.push(if letters.is_empty() { argument } else { format!("-{kept}").into() });
            }
            if value_follows {
                all.extend(arguments.next());
            }
        }
        self.all = all;
    }
}

fn elsewhere(argument: &str) -> Error {
    Error::usage(format!(
        "psql's argument `{argument}` says where to connect, and the target does that"
    ))
    .hint("another database is another URL in CONNECTION_URL or PROD_CONNECTION_URL")
    .hint("a statement is given with `-c`, a file with `-f`")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<PsqlArguments, Error> {
        let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        PsqlArguments::parse(&arguments)
    }

    #[test]
    fn what_leads_elsewhere_is_refused() {
        for arguments in [
            &["other"][..],
            &["postgresql://h/d"],
            &["-d", "other"],
            &["-dother"],
            &["-Xdother"],
            &["-h", "h"],
            &["-U", "u"],
            &["-p1"],
            &["--dbname=other"],
            &["--db", "other"],
            &["--host", "h"],
            &["--user=u"],
            &["--port=1"],
            &["-c", "SELECT 1", "other"],
            &["--", "other"],
            &["-At", "-"],
        ] {
            assert!(parse(arguments).is_err(), "{arguments:?}");
        }
    }

    #[test]
    fn what_stays_is_not() {
        for arguments in [
            &[][..],
            &["-c", "-d"],
            &["-XAtc", "SELECT 1"],
            &["-cSELECT 1"],
            &["-f", "file.sql", "-v", "ON_ERROR_STOP=1"],
            &["--command", "TABLE users"],
            &["--set=ON_ERROR_STOP=1", "--csv", "--pset", "null=-"],
            &["-x", "-q", "--no-psqlrc"],
        ] {
            assert!(parse(arguments).is_ok(), "{arguments:?}");
        }
    }

    #[test]
    fn sql_is_found_wherever_it_stands() {
        let found =
            parse(&["-Xc", "a", "-cb", "--command=c", "--comm", "d", "-f", "e", "--file=f"]);
        let found = found.expect("arguments");
        assert_eq!(found.commands, ["a", "b", "c", "d"]);
        assert_eq!(found.files, [PathBuf::from("e"), PathBuf::from("f")]);
        assert!(found.no_psqlrc);
    }

    #[test]
    fn no_psqlrc_can_be_taken_out() {
        for (given, left) in [
            (&["-X"][..], &[][..]),
            (&["-XAtc", "-X"], &["-Atc", "-X"]),
            (&["--no-psqlrc", "-cX"], &["-cX"]),
            (&["--no-psql", "--command", "--no-psqlrc"], &["--command", "--no-psqlrc"]),
            (&["-AX", "-v", "X=1"], &["-A", "-v", "X=1"]),
        ] {
            let mut parsed = parse(given).expect("arguments");
            assert!(parsed.no_psqlrc, "{given:?}");
            parsed.take_no_psqlrc();
            assert_eq!(parsed.all, left, "{given:?}");
        }
    }
}
