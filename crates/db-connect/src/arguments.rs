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
    /// all but `-X`
    pub(crate) without_no_psqlrc: Vec<OsString>,
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
    ('l', "list", false),
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
];

impl PsqlArguments {
    /// Looks through psql's arguments.
    ///
    /// # Errors
    /// Of the command line, where one of them says where to connect (the stamp of the
    /// one database says nothing of another), or cannot be read as text.
    pub(crate) fn parse(arguments: &[OsString]) -> Result<Self, Error> {
        let text = |argument: &OsString| {
            let text = argument.to_str().map(str::to_owned);
            text.ok_or_else(|| Error::usage("an argument of psql is not UTF-8 text"))
        };
        let arguments = arguments.iter().map(text).collect::<Result<Vec<_>, _>>()?;
        let mut parsed = Self::default();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let mut kept = Some(argument.clone());
            let mut value_behind = None;
            if let Some(long) = argument.strip_prefix("--").filter(|long| !long.is_empty()) {
                let (name, value) =
                    long.split_once('=').map_or((long, None), |(n, v)| (n, Some(v)));
                // Abbreviations are taken too.
                let meant: Vec<_> =
                    OPTIONS.iter().filter(|(_, option, _)| option.starts_with(name)).collect();
                if value.is_none() && meant.iter().any(|(.., takes_value)| *takes_value) {
                    value_behind = rest.next();
                }
                for (letter, ..) in meant {
                    parsed.option(*letter, value.or(value_behind.map(String::as_str)), argument)?;
                }
                // `--no` and `--no-p` are ambiguous to psql, and its to refuse.
                if name.len() > "no-p".len() && "no-psqlrc".starts_with(name) {
                    kept = None;
                }
            } else if let Some(letters) =
                argument.strip_prefix('-').filter(|l| !l.is_empty() && *l != "-")
            {
                let takes =
                    |letter: char| OPTIONS.iter().any(|(o, _, takes)| *o == letter && *takes);
                let (flags, valued) =
                    letters.split_at(letters.find(takes).unwrap_or(letters.len()));
                for letter in flags.chars() {
                    parsed.option(letter, None, argument)?;
                }
                if let Some(letter) = valued.chars().next() {
                    let joined = &valued[letter.len_utf8()..];
                    if joined.is_empty() {
                        value_behind = rest.next();
                    }
                    let value = value_behind.map_or(joined, String::as_str);
                    parsed.option(letter, Some(value), argument)?;
                }
                let letters = flags.replace('X', "") + valued;
                kept = (!letters.is_empty()).then(|| format!("-{letters}"));
            } else {
                return Err(elsewhere(argument));
            }
            let behind = || value_behind.map(OsString::from);
            parsed.all.extend([OsString::from(argument)].into_iter().chain(behind()));
            parsed.without_no_psqlrc.extend(kept.map(OsString::from).into_iter().chain(behind()));
        }
        Ok(parsed)
    }

    fn option(&mut self, letter: char, value: Option<&str>, argument: &str) -> Result<(), Error> {
        match letter {
            'd' | 'h' | 'p' | 'U' | 'l' => return Err(elsewhere(argument)),
            'c' => self.commands.extend(value.map(str::to_owned)),
            'f' => self.files.extend(value.map(PathBuf::from)),
            'X' => self.no_psqlrc = true,
            _ => {}
        }
        Ok(())
    }
}

fn elsewhere(argument: &str) -> Error {
    Error::usage(format!(
        "psql's argument `{argument}` says where to connect, and the target does that"
    ))
    .hint("another database is another URL in CONNECTION_URL or PROD_CONNECTION_URL")
    .hint("a statement is given with `-c`, a file with `-f`; `-c '\\l'` lists the databases")
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
            &["-l"],
            &["--list"],
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
            let parsed = parse(given).expect("arguments");
            assert!(parsed.no_psqlrc, "{given:?}");
            assert_eq!(parsed.all, given, "{given:?}");
            assert_eq!(parsed.without_no_psqlrc, left, "{given:?}");
        }
    }
}
