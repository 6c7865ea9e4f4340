//! The start-up file that psql is given where it can write: it looks, in psql's own
//! connection, whether that leads to the server and database that were looked at.
//! The way there may have changed since: a tunnel that was opened meanwhile.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsRawFd, OwnedFd};

use ops_common::error::Error;
use ops_common::postgres::stamp::{Seen, literal};

/// A file that psql can read once. `own`: it goes on with the person's own start-up
/// file.
///
/// # Errors
/// Where no pipe can be made.
pub(crate) fn checking(seen: &Seen, own: bool) -> Result<OwnedFd, Error> {
    let mut text = script(seen);
    let own_file = std::env::var_os("PSQLRC")
        .map(std::path::PathBuf::from)
        .or_else(|| Some(std::path::PathBuf::from(std::env::var_os("HOME")?).join(".psqlrc")));
    if let Some(file) = own_file.filter(|file| own && file.is_file())
        && let Some(file) = file.to_str()
    {
        // psql's commands read backslashes, other than SQL.
        let _ = writeln!(text, "\\i {}", literal(file).replace('\\', "\\\\"));
    }
    let failed = |error: &dyn std::fmt::Display| {
        Error::new("cannot make a start-up file for psql").cause(error)
    };
    // It is smaller than what a pipe holds, so that nobody has to read meanwhile.
    let (read, write) = nix::unistd::pipe().map_err(|error| failed(&error))?;
    File::from(write).write_all(text.as_bytes()).map_err(|error| failed(&error))?;
    // psql passes over one that it cannot open, and says nothing.
    File::open(path(&read)).map_err(|error| failed(&error))?;
    Ok(read)
}

/// Where psql finds it.
pub(crate) fn path(file: &OwnedFd) -> String {
    format!("/dev/fd/{}", file.as_raw_fd())
}

/// psql's settings that would show the look, ask about it, end it at an error or leave a
/// transaction open, and what they are for so long.
const SETTINGS: [(&str, &str); 5] = [
    ("ECHO", "none"),
    ("SINGLESTEP", "off"),
    ("SINGLELINE", "off"),
    ("ON_ERROR_STOP", "off"),
    ("AUTOCOMMIT", "on"),
];

/// psql goes on after a start-up file that fails, so that it has to be ended.
fn script(seen: &Seen) -> String {
    // What the arguments set is put back at the end: an error must not end the file,
    // nor a transaction stay open.
    format!(
        "{save}\\set ops_same f
SELECT {same_database} AS ops_same \\gset
\\if :ops_same
  \\set ops_same f
  SELECT {same_stamp} AS ops_same \\gset
\\endif
\\if :ops_same
\\else
  \\warn 'error: psql reached another server or database than was looked at; nothing is done'
  \\warn '  hint: look what listens there: a tunnel that was opened meanwhile looks like localhost'
  \\! kill -KILL $PPID
\\endif
\\unset ops_same
{restore}",
        save = SETTINGS
            .map(|(name, value)| format!("\\set ops_{name} :{name}\n\\set {name} {value}\n"))
            .concat(),
        restore = SETTINGS
            .map(|(name, _)| format!("\\set {name} :ops_{name}\n\\unset ops_{name}\n"))
            .concat(),
        same_database = seen.same_database_sql(),
        same_stamp = seen.same_stamp_sql(),
    )
}
