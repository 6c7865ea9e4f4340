//! Postgres's own programs: where they are, which version they are, and what of this
//! process's environment they see.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::env::{CONNECTION_URL, PROD_CONNECTION_URL, PROD_READ_CONNECTION_URL};
use crate::error::Error;

/// Where Postgres's programs may be: on `PATH`, then in the usual install folders, the
/// newest version first.
#[must_use]
pub fn folders() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> =
        env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default();
    // Debian and Ubuntu, Homebrew on either kind of Mac, the PGDG's RPMs.
    for (parent, prefix, below) in [
        ("/usr/lib/postgresql", "", "bin"),
        ("/opt/homebrew/opt", "postgresql", "bin"),
        ("/opt/homebrew/opt", "libpq", "bin"),
        ("/usr/local/opt", "postgresql", "bin"),
        ("/usr/local/opt", "libpq", "bin"),
        ("/usr", "pgsql-", "bin"),
    ] {
        let entries = fs::read_dir(parent).into_iter().flatten().flatten();
        let mut versions: Vec<PathBuf> = entries
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
            .map(|entry| entry.path().join(below))
            .collect();
        versions.sort_by_key(|folder| numbers(folder));
        folders.extend(versions.into_iter().rev());
    }
    folders
}

/// The numbers of the path, so that 17 comes after 9.6.
fn numbers(folder: &Path) -> Vec<u32> {
    let text = folder.to_string_lossy();
    text.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}

/// A call of a program of Postgres's, to which nothing of this environment says where
/// to connect.
#[must_use]
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("PG") {
            command.env_remove(name);
        }
    }
    for variable in [CONNECTION_URL, PROD_CONNECTION_URL, PROD_READ_CONNECTION_URL] {
        command.env_remove(variable);
    }
    command
}

/// Programs of one version, in one folder.
#[derive(Debug)]
pub struct Programs {
    folder: PathBuf,
    /// their major version
    pub major: u32,
}

impl Programs {
    /// Finds the programs that go with a server of the major version `server`: those of
    /// that version, else the ones that are newer by the least. An older pg_dump refuses
    /// a newer server.
    ///
    /// # Errors
    /// Where there are none.
    pub fn for_server(names: &[&str], server: u32) -> Result<Self, Error> {
        let (first, rest) = names.split_first().unwrap_or((&"psql", &[]));
        let mut found: Vec<Self> = Vec::new();
        for folder in folders() {
            let program = folder.join(first);
            // Debian's in /usr/bin is a script that chooses among versions.
            let is_itself = fs::canonicalize(&program)
                .is_ok_and(|itself| itself.file_name() == Some(OsStr::new(first)));
            if !is_itself || !rest.iter().all(|name| folder.join(name).is_file()) {
                continue;
            }
            let Some(major) = major_version(&program) else { continue };
            found.push(Self { folder, major });
            if major == server {
                break;
            }
        }
        let older = found.iter().filter(|programs| programs.major < server);
        let older = older.max_by_key(|programs| programs.major).map(|programs| {
            let folder = programs.folder.display();
            format!("version {} in `{folder}` is older than the server", programs.major)
        });
        let fitting = found.into_iter().filter(|programs| programs.major >= server);
        fitting.min_by_key(|programs| programs.major).ok_or_else(|| {
            let error =
                Error::new(format!("there is no `{first}` for PostgreSQL {server} on this machine"));
            older
                .into_iter()
                .fold(error, Error::cause)
                .hint(format!(
                    "Debian and Ubuntu: `apt-get install postgresql-client-{server}`; apt.postgresql.org has every version"
                ))
                .hint(format!("macOS: `brew install postgresql@{server}`"))
        })
    }

    /// A call of one of them: see [`command`].
    #[must_use]
    pub fn command(&self, name: &str) -> Command {
        command(self.folder.join(name))
    }
}

/// `pg_dump (PostgreSQL) 17.6 (Debian 17.6-1)`: 17.
fn major_version(program: &Path) -> Option<u32> {
    let output = Command::new(program).arg("--version").output().ok()?;
    parse_version(&String::from_utf8_lossy(&output.stdout))
}

fn parse_version(text: &str) -> Option<u32> {
    let (_, version) = text.split_once(") ")?;
    version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for (text, major) in [
            ("pg_dump (PostgreSQL) 17.6 (Debian 17.6-0+deb13u1)\n", Some(17)),
            ("pg_dump (PostgreSQL) 18beta1\n", Some(18)),
            ("psql (PostgreSQL) 9.6.24\n", Some(9)),
            ("something else\n", None),
        ] {
            assert_eq!(parse_version(text), major, "{text}");
        }
    }
}
