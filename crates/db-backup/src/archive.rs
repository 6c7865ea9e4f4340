//! An archive of pg_dump, as it is read back: what it lists, and what its SQL holds.
//!
//! `pg_restore --list` reads the table of contents alone, and takes an archive whose
//! data is cut off for a whole one. So all of it is read, once.

use std::fmt::{self, Write as _};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::SystemTime;

use ops_common::error::Error;
use ops_common::postgres::programs::Programs;
use ops_common::postgres::stamp::Stamp;
use ops_common::text::bytes;
use ops_common::ui::Ui;
use serde::{Serialize, Serializer};
use tokio::io::AsyncReadExt;

use crate::child::Program;

const CHUNK_BYTES: usize = 1 << 16;
/// The longest line that can matter: a COPY of the 1600 columns that a table can have.
const MOST_KEPT_BYTES: usize = 1 << 18;

/// An archive, and the pg_restore that reads it.
#[derive(Debug)]
pub struct Archive {
    path: PathBuf,
    programs: Programs,
    /// as it was first seen
    file: Option<FileState>,
}

/// What changes where somebody writes to a file or replaces it.
type FileState = (u64, u64, u64, Option<SystemTime>);

fn state(path: &Path) -> Option<FileState> {
    let file = path.metadata().ok()?;
    Some((file.dev(), file.ino(), file.len(), file.modified().ok()))
}

/// A table in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableRows {
    /// which one
    pub table: TableName,
    /// how many rows
    pub rows: u64,
}

/// A table's name. It is shown as SQL writes it, in quotes where that takes them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TableName {
    /// without quotes
    pub schema: String,
    /// without quotes
    pub name: String,
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", identifier(&self.schema), identifier(&self.name))
    }
}

impl Serialize for TableName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

fn identifier(name: &str) -> String {
    let plain = |c: char| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit();
    if name.chars().all(plain) && !name.starts_with(|c: char| c.is_ascii_digit()) {
        return name.to_owned();
    }
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// What an archive holds.
#[derive(Debug)]
pub struct Contents {
    /// when it was made, in pg_restore's words
    pub created_at: Option<String>,
    /// the tables in it, without the stamp's
    pub tables: Vec<TableRows>,
    /// the stamp of the database that it was made of; none: that had no stamp
    pub stamp: Option<Stamp>,
    /// tables of which it has rows, and no definition
    pub only_rows: Vec<TableName>,
    /// whether the stamp's table is in it
    pub has_stamp: bool,
    /// how long all of its SQL is
    pub sql_bytes: u64,
    list: String,
}

impl Contents {
    /// The rows of all tables.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.tables.iter().map(|table| table.rows).sum()
    }

    /// pg_restore's list without the stamp: for `--use-list`.
    #[must_use]
    pub fn list_without_stamp(&self) -> String {
        let kept = self.list.lines().filter(|line| !is_of_the_stamp(line));
        kept.fold(String::new(), |mut list, line| {
            let _ = writeln!(list, "{line}");
            list
        })
    }
}

impl Archive {
    /// The archive at `path`.
    #[must_use]
    pub fn new(path: &Path, programs: Programs) -> Self {
        // A name may begin with `-`.
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let file = state(&path);
        Self { path, programs, file }
    }

    /// Refuses a file that is not what it was when it was first read.
    ///
    /// # Errors
    /// As said.
    pub fn refuse_another(&self) -> Result<(), Error> {
        if state(&self.path) == self.file {
            return Ok(());
        }
        Err(Error::new(format!("`{}` was changed while it was read", self.path.display()))
            .hint("run it again once nobody writes to it"))
    }

    /// The programs that read it.
    #[must_use]
    pub fn programs(&self) -> &Programs {
        &self.programs
    }

    /// A pg_restore that writes its SQL to standard output.
    ///
    /// # Errors
    /// Where it cannot be run.
    pub fn sql(&self, arguments: &[&str], stdin: Stdio) -> Result<Program, Error> {
        let mut command = self.programs.command("pg_restore");
        command.arg("--file=-").args(arguments).arg(&self.path);
        command.stdin(stdin).stdout(Stdio::piped());
        Program::start(command)
    }

    /// Reads all of it.
    ///
    /// # Errors
    /// Where it is no archive, or a damaged one.
    pub async fn read(&self, ui: &Ui) -> Result<Contents, Error> {
        let list = self.list().await?;
        let mut reader = Reader::default();
        let mut program = self.sql(&[], Stdio::null())?;
        let mut progress = ui.progress("reading the backup");
        let stdout = program.child.stdout.take();
        let read = async {
            let Some(mut stdout) = stdout else { return Ok(()) };
            let mut chunk = vec![0; CHUNK_BYTES];
            loop {
                match stdout.read(&mut chunk).await? {
                    0 => return Ok::<(), std::io::Error>(()),
                    length => reader.take(&chunk[..length]),
                }
                let read = i64::try_from(reader.read).unwrap_or(i64::MAX);
                progress.say(format_args!("reading the backup: {} of SQL", bytes(read)));
            }
        };
        let (read, ended) = tokio::join!(read, program.end(|_| {}));
        drop(progress);
        let damaged = || {
            Error::new(format!("cannot read all of the backup `{}`", self.path.display()))
                .hint("it is damaged or cut off: compare its size with where it comes from")
        };
        ended?.or(damaged)?;
        read.map_err(|error| damaged().cause(error))?;
        let created_at = list.lines().find_map(|line| line.strip_prefix("; Archive created at "));
        Ok(Contents {
            created_at: created_at.map(|at| at.trim().to_owned()),
            tables: reader.tables,
            only_rows: reader.only_rows,
            stamp: reader.stamp,
            has_stamp: list.contains(" TABLE cruddur_ops stamp "),
            sql_bytes: reader.read,
            list,
        })
    }

    /// Its table of contents.
    async fn list(&self) -> Result<String, Error> {
        let mut command = self.programs.command("pg_restore");
        command.arg("--list").arg(&self.path).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut program = Program::start(command)?;
        let mut list = Vec::new();
        let stdout = program.child.stdout.take();
        let read = async {
            match stdout {
                Some(mut stdout) => stdout.read_to_end(&mut list).await.map(drop),
                None => Ok(()),
            }
        };
        let (read, ended) = tokio::join!(read, program.end(|_| {}));
        let unreadable = || {
            Error::new(format!("`{}` is no backup that pg_restore can read", self.path.display()))
                .hint("`db-backup` makes one, and `pg_dump --format=custom`")
                .hint("a file of SQL is run by psql: `db-connect --write -- -f FILE`")
        };
        ended?.or(unreadable)?;
        read.map_err(|error| unreadable().cause(error))?;
        Ok(String::from_utf8_lossy(&list).into_owned())
    }
}

/// What the stamp is in a list: type, schema and name.
const STAMP: [&str; 9] = [
    "SCHEMA - cruddur_ops ",
    "ACL - SCHEMA cruddur_ops ",
    "COMMENT - SCHEMA cruddur_ops ",
    "TABLE cruddur_ops stamp ",
    "TABLE DATA cruddur_ops stamp ",
    "CONSTRAINT cruddur_ops stamp stamp_pkey ",
    "ACL cruddur_ops TABLE stamp ",
    "ACL cruddur_ops COLUMN stamp.",
    "COMMENT cruddur_ops TABLE stamp ",
];

/// Whether a line of the list is of the stamp: `ID; OID OID TYPE SCHEMA NAME OWNER`.
fn is_of_the_stamp(line: &str) -> bool {
    let entry = line.splitn(4, ' ').nth(3).unwrap_or_default();
    !line.starts_with(';') && STAMP.iter().any(|start| entry.starts_with(start))
}

/// Counts the rows of each table in the SQL, and reads the stamp.
#[derive(Debug, Default)]
struct Reader {
    read: u64,
    /// the line so far, as far as it is kept
    line: Vec<u8>,
    /// a comment announced the data of a table: nothing else is taken for a COPY
    data_follows: bool,
    at: Option<At>,
    tables: Vec<TableRows>,
    only_rows: Vec<TableName>,
    stamp: Option<Stamp>,
}

/// Whose rows are read.
#[derive(Debug)]
enum At {
    /// its place among the tables; none: it is not defined
    Table(Option<usize>),
    /// the columns' names
    Stamp(Vec<String>),
}

impl Reader {
    fn take(&mut self, chunk: &[u8]) {
        self.read += chunk.len() as u64;
        let mut rest = chunk;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.keep(&rest[..end]);
            self.line_end();
            self.line.clear();
            rest = &rest[end + 1..];
        }
        self.keep(rest);
    }

    fn keep(&mut self, part: &[u8]) {
        let room = MOST_KEPT_BYTES.saturating_sub(self.line.len());
        self.line.extend_from_slice(&part[..part.len().min(room)]);
    }

    fn line_end(&mut self) {
        match &mut self.at {
            Some(_) if self.line == b"\\." => self.at = None,
            Some(At::Table(place)) => {
                if let Some(place) = place {
                    self.tables[*place].rows += 1;
                }
            }
            Some(At::Stamp(columns)) => {
                self.stamp = Some(stamp_of(columns, &String::from_utf8_lossy(&self.line)));
            }
            None => {
                let line = String::from_utf8_lossy(&self.line);
                if let Some(table) = defined(&line).filter(|table| !is_the_stamp(table)) {
                    self.tables.push(TableRows { table, rows: 0 });
                }
                if let Some((table, columns)) = copied(&line).filter(|_| self.data_follows) {
                    self.at = Some(if is_the_stamp(&table) {
                        let unquoted = |column: &str| column.trim_matches('"').to_owned();
                        At::Stamp(columns.split(", ").map(unquoted).collect())
                    } else {
                        let place = self.tables.iter().position(|defined| defined.table == table);
                        if place.is_none() {
                            self.only_rows.push(table);
                        }
                        At::Table(place)
                    });
                }
                self.data_follows = line.starts_with("-- Data for Name: ")
                    || self.data_follows && (line.is_empty() || line == "--");
            }
        }
    }
}

fn is_the_stamp(table: &TableName) -> bool {
    (table.schema.as_str(), table.name.as_str()) == ("cruddur_ops", "stamp")
}

/// The table that a comment of pg_dump announces:
/// `-- Name: users; Type: TABLE; Schema: public; Owner: postgres`.
fn defined(line: &str) -> Option<TableName> {
    let (name, rest) = line.strip_prefix("-- Name: ")?.rsplit_once("; Type: TABLE; Schema: ")?;
    let (schema, _) = rest.rsplit_once("; Owner: ")?;
    Some(TableName { schema: schema.to_owned(), name: name.to_owned() })
}

/// The table and the columns of a COPY: `COPY public.users (uuid, handle) FROM stdin;`.
fn copied(line: &str) -> Option<(TableName, &str)> {
    let copied = line.strip_prefix("COPY ")?.strip_suffix(" FROM stdin;")?;
    let (schema, rest) = unquoted(copied)?;
    let (name, rest) = unquoted(rest.strip_prefix('.')?)?;
    // A table without columns has no list of them.
    let columns = rest.strip_prefix(" (").and_then(|columns| columns.strip_suffix(')'));
    Some((TableName { schema, name }, columns.unwrap_or_default()))
}

/// The identifier that `text` begins with, without its quotes, and what follows.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(['.', ' ']).unwrap_or(text.len());
        return Some((text[..end].to_owned(), &text[end..]));
    };
    let mut name = String::new();
    let mut rest = quoted;
    loop {
        let (part, behind) = rest.split_once('"')?;
        name.push_str(part);
        match behind.strip_prefix('"') {
            Some(more) => {
                name.push('"');
                rest = more;
            }
            None => return Some((name, behind)),
        }
    }
}

/// A row of the stamp, in COPY's text form.
/// <https://www.postgresql.org/docs/current/sql-copy.html>
fn stamp_of(columns: &[String], row: &str) -> Stamp {
    let value = |name: &str| {
        let at = columns.iter().position(|column| column == name)?;
        row.split('\t').nth(at).filter(|value| *value != "\\N").map(str::to_owned)
    };
    Stamp {
        environment: value("environment").unwrap_or_default(),
        schema_sha256: value("schema_sha256"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_counted_and_the_stamp_is_read() {
        let sql = "-- Name: stamp; Type: TABLE; Schema: cruddur_ops; Owner: o\n-- Name: e; Type: TABLE; Schema: public; Owner: o\n\
            -- Name: empty; Type: TABLE; Schema: public; Owner: o\n-- Name: a (b; Type: TABLE; Schema: public; Owner: o\n--\n-- Data for Name: stamp; Type: TABLE DATA; Schema: cruddur_ops\n--\n\n\
            COPY cruddur_ops.stamp (only_row, environment, \"schema_sha256\") FROM stdin;\nt\tprod\t\\N\n\\.\n\n\
            --\n-- Data for Name: a (b; Type: TABLE DATA\n--\n\n\
            COPY public.\"a (b\" (x, y) FROM stdin;\n1\t2\n3\tCOPY z FROM stdin;\n\\.\n\n\
            CREATE FUNCTION f() AS $$\nCOPY no.data (x) FROM stdin;\n$$;\n\
            --\n-- Data for Name: e; Type: TABLE DATA\n--\n\nCOPY \"public\".\"e\" FROM stdin;\n\n\\.\n\
            -- Data for Name: n; Type: TABLE DATA\n--\n\nCOPY s.\"a\"\"n\" (x) FROM stdin;\n1\n\\.\n";
        // However the pieces fall.
        for size in 1..40 {
            let mut reader = Reader::default();
            sql.as_bytes().chunks(size).for_each(|chunk| reader.take(chunk));
            let tables: Vec<_> =
                reader.tables.iter().map(|table| (table.table.to_string(), table.rows)).collect();
            let expected = [("public.e", 1), ("public.empty", 0), ("public.\"a (b\"", 2)];
            assert_eq!(tables, expected.map(|(table, rows)| (table.to_owned(), rows)), "{size}");
            let only_rows: Vec<_> = reader.only_rows.iter().map(TableName::to_string).collect();
            assert_eq!(only_rows, ["s.\"a\"\"n\""]);
            let stamp = Stamp { environment: "prod".to_owned(), schema_sha256: None };
            assert_eq!(reader.stamp, Some(stamp));
            assert_eq!(reader.read, sql.len() as u64);
        }
    }

    #[test]
    fn the_stamp_is_left_out_of_the_list() {
        for (line, is) in [
            ("6; 2615 16385 SCHEMA - cruddur_ops postgres", true),
            ("215; 1259 16386 TABLE cruddur_ops stamp postgres", true),
            ("3370; 0 16386 TABLE DATA cruddur_ops stamp postgres", true),
            ("3371; 0 0 ACL - SCHEMA cruddur_ops postgres", true),
            ("3371; 0 0 COMMENT - SCHEMA cruddur_ops postgres", true),
            ("217; 1259 16408 TABLE public cruddur_ops postgres", false),
            ("217; 1259 16408 TABLE public users cruddur_ops", false),
            ("217; 1259 16408 TABLE APP cruddur_ops postgres", false),
            ("217; 1259 16408 TABLE cruddur_ops other postgres", false),
            ("3372; 0 0 ACL cruddur_ops TABLE stamp postgres", true),
            ("9; 3079 1 EXTENSION - cruddur_ops ", false),
            (";     dbname: cruddur_ops", false),
        ] {
            assert_eq!(is_of_the_stamp(line), is, "{line}");
        }
    }
}
