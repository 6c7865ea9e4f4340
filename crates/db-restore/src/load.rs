//! The SQL of an archive, on its way from pg_restore to psql.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::process::Stdio;

use db_backup::archive::Archive;
use db_backup::child::{Ended, Program};
use ops_common::consent::Permit;
use ops_common::env::invocation;
use ops_common::error::Error;
use ops_common::postgres::ConnectionUrl;
use ops_common::text::bytes;
use ops_common::ui::Ui;
use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStdin, ChildStdout};

use crate::plan::{CHANGED, ELSEWHERE, Plan};

const CHUNK_BYTES: usize = 1 << 16;
/// The end of the SQL waits here until pg_restore has ended well: the COMMIT is in it.
const HELD_BACK_BYTES: usize = 1 << 13;

const COMMIT: &[u8] = b"\nCOMMIT;\n";

/// Restores the archive, or changes nothing.
///
/// # Errors
/// Where pg_restore or psql fails, with what they say.
pub(crate) async fn restore(
    archive: &Archive,
    plan: &Plan<'_>,
    url: &ConnectionUrl,
    permit: &Permit,
    ui: &Ui,
) -> Result<(), Error> {
    url.check(permit)?;
    let list = write_list(plan).map_err(|error| {
        Error::new("cannot write a temporary file").cause(error).hint("look at the disk: `df -h`")
    })?;
    let use_list = format!("--use-list={}", list.path().display());
    let mut options = plan.options();
    options.push(&use_list);
    let mut reader = archive.sql(&options)?;
    let mut psql = archive.programs().command("psql");
    psql.args(["--no-psqlrc", "--quiet", "--no-password"]);
    psql.args(["--set=ON_ERROR_STOP=1", "--file=-"]);
    psql.envs(url.libpq_environment()).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut psql = Program::start(psql)?;
    let (Some(sql), Some(stdin)) = (reader.child.stdout.take(), psql.child.stdin.take()) else {
        return Err(Error::new("cannot make a pipe to psql"));
    };

    let work = async {
        // Both at once: a program whose errors are not read stops.
        let (end, read) = tokio::join!(pass_on(sql, stdin, plan, ui), reader.end(|_| {}));
        let Some((mut stdin, end)) = end? else { return Ok(false) };
        // Up to here nothing is committed.
        read?.or(|| nothing_changed(url))?;
        archive.refuse_another()?;
        if !end.windows(COMMIT.len()).any(|part| part == COMMIT) {
            return Err(nothing_changed(url).cause("pg_restore's SQL does not end with a COMMIT"));
        }
        // Where psql has ended already, it says why.
        let sent = async {
            stdin.write_all(&end).await?;
            stdin.shutdown().await
        };
        Ok::<bool, Error>(sent.await.is_ok())
    };
    let (sent, ended) = tokio::join!(work, psql.end(|_| {}));
    explain(ended?, sent?, url)
}

fn nothing_changed(url: &ConnectionUrl) -> Error {
    Error::new(format!("cannot restore the database `{}`; nothing is changed", url.database()))
}

fn write_list(plan: &Plan<'_>) -> io::Result<NamedTempFile> {
    let mut list = NamedTempFile::new()?;
    list.write_all(plan.list().as_bytes())?;
    list.flush()?;
    Ok(list)
}

/// Passes the SQL on, all but its end, which is returned; `None` where psql has ended.
async fn pass_on(
    mut sql: ChildStdout,
    mut stdin: ChildStdin,
    plan: &Plan<'_>,
    ui: &Ui,
) -> Result<Option<(ChildStdin, Vec<u8>)>, Error> {
    let mut progress = ui.progress("restoring");
    let all = i64::try_from(plan.sql_bytes()).unwrap_or(i64::MAX);
    if stdin.write_all(plan.opening_sql().as_bytes()).await.is_err() {
        return Ok(None);
    }
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut held: VecDeque<u8> = VecDeque::new();
    let mut passed = 0;
    loop {
        let length = sql
            .read(&mut chunk)
            .await
            .map_err(|error| Error::new("cannot read what pg_restore writes").cause(error))?;
        if length == 0 {
            return Ok(Some((stdin, held.into())));
        }
        held.extend(&chunk[..length]);
        let ready: Vec<u8> = held.drain(..held.len().saturating_sub(HELD_BACK_BYTES)).collect();
        if stdin.write_all(&ready).await.is_err() {
            return Ok(None);
        }
        passed += i64::try_from(ready.len()).unwrap_or_default();
        progress.say(format_args!("restoring: {} of about {} of SQL", bytes(passed), bytes(all)));
    }
}

/// What psql's end means. `sent`: the COMMIT was sent.
fn explain(ended: Ended, sent: bool, url: &ConnectionUrl) -> Result<(), Error> {
    if ended.status.success() && sent {
        return Ok(());
    }
    let said = ended.said.join("\n");
    // 2: the connection was lost.
    // https://www.postgresql.org/docs/current/app-psql.html#APP-PSQL-EXIT-STATUS
    if sent && ended.status.code() == Some(2) {
        let error = Error::new(format!(
            "cannot tell whether the database `{}` is restored: the connection was lost at the end",
            url.database()
        ));
        let error = ended.said.into_iter().fold(error, Error::cause);
        return Err(error.hint("run it again: a second restore does no harm"));
    }
    let error = ended.said.into_iter().fold(nothing_changed(url), Error::cause);
    let target = url.target().as_argument();
    Err(if said.contains(ELSEWHERE) {
        error.hint(
            "look what listens there: a tunnel that was opened meanwhile looks like localhost",
        )
    } else if said.contains(CHANGED) {
        error.hint("run it again: it looks and asks again")
    } else if said.contains("lock timeout") {
        error.hint(format!(
            "`{}` shows who uses the tables; `--kill` ends them",
            invocation(&format!("db-sessions{target} --long"))
        ))
    } else if said.contains("role \"") && said.contains("does not exist") {
        error.hint("roles are the server's and in no backup: create it first with CREATE ROLE")
    } else if said.contains("other objects depend on it") || said.contains("already exists") {
        error.hint(format!(
            "what is in the way is not in the backup: drop it, or restore into a new database after `{}`",
            invocation(&format!("db-setup{target} --steps drop,create"))
        ))
    } else if said.contains("unrecognized configuration parameter") {
        error
            .hint("pg_restore is newer than the server: install the client programs of its version")
    } else if said.contains("must be owner") || said.contains("permission denied") {
        error.hint("connect as the role that owns the tables")
    } else {
        error.hint("the backup is as it was: fix what psql says, and run it again")
    })
}
