//! What keeps a session from writing, and what does not.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use ops_common::env;
use ops_common::error::Error;
use ops_common::postgres::Db;

use crate::arguments::PsqlArguments;

/// What the role may write, or become to write; nothing on a standby. Functions that
/// write as their owner are not looked for.
const WRITES: &str = "WITH mine AS (
  SELECT * FROM pg_roles WHERE pg_has_role(current_user, oid, 'MEMBER')
)
SELECT DISTINCT what FROM (
  SELECT 'it is a superuser' FROM mine WHERE rolsuper
  UNION ALL SELECT 'it may create roles' FROM mine WHERE rolcreaterole
  UNION ALL SELECT 'it may create databases' FROM mine WHERE rolcreatedb
  UNION ALL SELECT format('it has the role %s', rolname) FROM mine
    WHERE rolname IN ('pg_write_all_data', 'pg_write_server_files', 'pg_execute_server_program')
  UNION ALL SELECT 'it may create schemas' FROM mine
    WHERE has_database_privilege(mine.oid, current_database(), 'CREATE')
  UNION ALL SELECT format('it may create tables in the schema %s', nspname)
    FROM mine, pg_namespace n
    WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
      AND has_schema_privilege(mine.oid, n.oid, 'CREATE')
  UNION ALL SELECT format('it may write to the table %s', c.oid::regclass)
    FROM mine, pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
      AND nspname !~ '^pg_' AND nspname <> 'information_schema'
      AND (has_table_privilege(mine.oid, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
        OR has_any_column_privilege(mine.oid, c.oid, 'INSERT, UPDATE')
        OR pg_has_role(mine.oid, c.relowner, 'MEMBER'))
  UNION ALL SELECT format('it may move the sequence %s', c.oid::regclass)
    FROM mine, pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'S' AND nspname !~ '^pg_' AND nspname <> 'information_schema'
      AND has_sequence_privilege(mine.oid, c.oid, 'USAGE, UPDATE')
) AS found (what)
WHERE NOT pg_is_in_recovery()
ORDER BY what LIMIT 5";

/// Refuses a role that is named for reading and can write.
///
/// # Errors
/// Where it can, with what; or where Postgres cannot be asked.
pub(crate) async fn refuse_a_role_that_writes(db: &Db) -> Result<(), Error> {
    let rows = db.query("ask what the role may write", WRITES, &[]).await?;
    if rows.is_empty() {
        return Ok(());
    }
    let error = Error::new(format!(
        "the role in {} can write, and is there for reading",
        env::PROD_READ_CONNECTION_URL
    ));
    let error = rows.iter().fold(error, |error, row| error.cause(row.get::<_, String>(0)));
    Err(error
        .hint("a role that only reads: `CREATE ROLE reader LOGIN PASSWORD '…' IN ROLE pg_read_all_data`")
        .hint("before PostgreSQL 15 everybody may create tables: `REVOKE CREATE ON SCHEMA public FROM PUBLIC`"))
}

/// Refuses SQL that turns off the setting by which transactions are read-only, as far
/// as it is given by an argument or is a file.
///
/// # Errors
/// Where there is such SQL, or a file cannot be read.
pub(crate) fn refuse_sql_that_turns_it_off(arguments: &PsqlArguments) -> Result<(), Error> {
    for command in &arguments.commands {
        refuse("a command", command.as_bytes())?;
    }
    for file in arguments.files.iter().filter(|file| *file != Path::new("-")) {
        let name = format!("`{}`", file.display());
        // psql says what is wrong with one that cannot be read.
        let Ok(opened) = File::open(file) else { continue };
        if opened.metadata().is_ok_and(|metadata| metadata.is_file()) {
            refuse(&name, InPlace { file: opened, at: 0 })?;
        } else {
            return Err(Error::new(format!(
                "{name} is not a regular file, and read-only psql reads no other"
            ))
            .hint("save it to a file first"));
        }
    }
    let reads_input = arguments.commands.is_empty() && arguments.files.is_empty()
        || arguments.files.iter().any(|file| file == Path::new("-"));
    let input = io::stdin().as_fd().try_clone_to_owned().map(File::from);
    match input {
        Ok(input) if reads_input && input.metadata().is_ok_and(|input| input.is_file()) => {
            refuse("standard input", InPlace { file: input, at: 0 })
        }
        _ => Ok(()),
    }
}

/// Reads a file without moving the place at which psql will read it.
struct InPlace {
    file: File,
    at: u64,
}

impl Read for InPlace {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

fn refuse(what: &str, sql: impl Read) -> Result<(), Error> {
    let found = turns_it_off(sql)
        .map_err(|error| Error::new(format!("cannot read {what}")).cause(error))?;
    match found {
        None => Ok(()),
        Some(words) => Err(Error::new(format!("{what} has `{words}`, which turns read-only off"))
            .hint("if it is to write: --write, which asks")
            .hint("if not: remove that")),
    }
}

/// The words that turn it off: the name of the setting, or READ WRITE. Also in strings,
/// where they may do no harm; comments are passed over.
fn turns_it_off(sql: impl Read) -> io::Result<Option<&'static str>> {
    const SETTING: &[u8] = b"transaction_read_only";
    let mut comment = Comment::None;
    let (mut before, mut last) = (false, b' ');
    let mut word = Vec::new();
    for byte in BufReader::new(sql).bytes().chain([Ok(b' ')]) {
        let byte = byte?.to_ascii_lowercase();
        let two = [std::mem::replace(&mut last, byte), byte];
        comment = match (comment, &two) {
            (Comment::None, b"--") => Comment::Line,
            (Comment::None, b"/*") => Comment::Block(1),
            (Comment::Block(depth), b"/*") => Comment::Block(depth + 1),
            (Comment::Block(1), b"*/") => Comment::None,
            (Comment::Block(depth), b"*/") => Comment::Block(depth - 1),
            (Comment::Line, [_, b'\n']) => Comment::None,
            (comment, _) => comment,
        };
        let is_word = byte.is_ascii_alphanumeric() || byte == b'_';
        if is_word && comment == Comment::None {
            // Longer than any name: only its end can matter.
            if word.len() > 4096 {
                word.drain(..2048);
            }
            word.push(byte);
            continue;
        }
        if word.is_empty() {
            continue;
        }
        if word.windows(SETTING.len()).any(|part| part == SETTING) {
            return Ok(Some("transaction_read_only"));
        }
        if before && word == b"write" {
            return Ok(Some("READ WRITE"));
        }
        before = word == b"read";
        word.clear();
    }
    Ok(None)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comment {
    None,
    Line,
    /// they nest
    Block(u32),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sql_that_turns_it_off() {
        for (sql, found) in [
            ("SET default_transaction_read_only = off", true),
            ("set\tSESSION \"Default_Transaction_Read_Only\" to false", true),
            ("SELECT set_config('transaction_read_only', 'off', false)", true),
            ("BEGIN READ\n  WRITE;", true),
            ("START TRANSACTION ISOLATION LEVEL SERIALIZABLE, read /* x /* y */ z */ write", true),
            ("BEGIN READ -- only\nWRITE", true),
            ("-- read write it\nSELECT 1 /* default_transaction_read_only */", false),
            ("SELECT pg_catalog.set_config('search_path', '', false); SELECT 1", false),
            ("SELECT read, write FROM t", true),
            ("SELECT already, write FROM t", false),
            ("", false),
        ] {
            assert_eq!(turns_it_off(sql.as_bytes()).expect("a text").is_some(), found, "{sql}");
        }
    }
}
