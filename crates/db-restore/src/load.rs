//! The SQL of an archive, on its way from pg_restore to psql.

use std::collections::VecDeque;
use std::io;
use std::process::Stdio;

use db_backup::ServerVersion;
use db_backup::archive::Archive;
use db_backup::child::{Ended, Program};
use ops_common::consent::Permit;
use ops_common::env::invocation;
use ops_common::error::Error;
use ops_common::postgres::ConnectionUrl;
use ops_common::text::bytes;
use ops_common::ui::Ui;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStdin, ChildStdout};

use crate::plan::{CHANGED, ELSEWHERE, Plan};

const CHUNK_BYTES: usize = 1 << 16;
/// The end of the SQL waits here until pg_restore has ended well: the COMMIT is in it.
const HELD_BACK_BYTES: usize = 1 << 13;

/// pg_restore's own settings stand at the beginning.
const HEAD_BYTES: usize = 1 << 11;
const COMMIT: &[u8] = b"\nCOMMIT;\n";

/// Restores the archive, or changes nothing.
///
/// # Errors
/// Where pg_restore or psql fails, with what they say.
pub(crate) async fn restore(
    archive: &Archive,
    plan: &Plan<'_>,
    server: &ServerVersion,
    url: &ConnectionUrl,
    permit: &Permit,
    ui: &Ui,
) -> Result<(), Error> {
    url.check(permit)?;
    let archive_is_newer = archive.programs().major > server.major;
    let mut options = plan.options();
    options.push("--use-list=/dev/stdin");
    let mut reader = archive.sql(&options, Stdio::piped())?;
    let mut psql = archive.programs().command("psql");
    psql.args(["--no-psqlrc", "--quiet", "--no-password"]);
    psql.args(["--set=ON_ERROR_STOP=1", "--file=-"]);
    psql.envs(url.libpq_environment()).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut psql = Program::start(psql)?;
    let pipes = (reader.child.stdin.take(), reader.child.stdout.take(), psql.child.stdin.take());
    let (Some(list), Some(sql), Some(stdin)) = pipes else {
        return Err(Error::new("cannot make the pipes to pg_restore and psql"));
    };

    let work = async {
        // All at once: a program whose errors are not read stops.
        let (given, end, read) = tokio::join!(
            give_list(list, plan),
            pass_on(sql, stdin, plan, archive_is_newer, ui),
            reader.end(|_| {})
        );
        let Some((mut stdin, end)) = end? else { return Ok(false) };
        // Up to here nothing is committed.
        read?.or(|| nothing_changed(url))?;
        // Half a list would be half a restore.
        given.map_err(|error| nothing_changed(url).cause(error))?;
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

/// Says what is to be restored. Where pg_restore has ended already, it says why.
async fn give_list(mut list: ChildStdin, plan: &Plan<'_>) -> io::Result<()> {
    list.write_all(plan.list().as_bytes()).await?;
    list.shutdown().await
}

/// The SQL's head without the setting that waits for locks without end, and without the
/// one that an older server does not know.
fn without_own_settings(head: Vec<u8>, archive_is_newer: bool) -> Vec<u8> {
    let mut head = head;
    let unknown = archive_is_newer.then_some(&b"\nSET transaction_timeout = 0;\n"[..]);
    for setting in [Some(&b"\nSET lock_timeout = 0;\n"[..]), unknown].into_iter().flatten() {
        if let Some(at) = head.windows(setting.len()).position(|part| part == setting) {
            head.drain(at + 1..at + setting.len());
        }
    }
    head
}

/// Passes the SQL on, all but its end, which is returned; `None` where psql has ended.
async fn pass_on(
    mut sql: ChildStdout,
    mut stdin: ChildStdin,
    plan: &Plan<'_>,
    archive_is_newer: bool,
    ui: &Ui,
) -> Result<Option<(ChildStdin, Vec<u8>)>, Error> {
    let mut progress = ui.progress("restoring");
    let all = i64::try_from(plan.sql_bytes()).unwrap_or(i64::MAX);
    if stdin.write_all(plan.opening_sql().as_bytes()).await.is_err() {
        return Ok(None);
    }
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut held: VecDeque<u8> = VecDeque::new();
    let mut has_head = false;
    let mut passed = 0;
    loop {
        let length = sql
            .read(&mut chunk)
            .await
            .map_err(|error| Error::new("cannot read what pg_restore writes").cause(error))?;
        held.extend(&chunk[..length]);
        if !has_head && (held.len() >= HEAD_BYTES || length == 0) {
            has_head = true;
            held = without_own_settings(held.into(), archive_is_newer).into();
        }
        if length == 0 {
            return Ok(Some((stdin, held.into())));
        }
        if !has_head {
            continue;
        }
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
    // 3: an error in the SQL. Whatever else ends psql may come behind the COMMIT.
    // https://www.postgresql.org/docs/current/app-psql.html#APP-PSQL-EXIT-STATUS
    if sent && ended.status.code() != Some(3) {
        let unknown = || {
            Error::new(format!(
                "cannot tell whether the database `{}` is restored: psql ended behind the COMMIT",
                url.database()
            ))
            .hint("look what is there; if it is not the backup's, run it again")
        };
        return ended.or(unknown);
    }
    let Err(error) = ended.or(|| nothing_changed(url)) else {
        return Err(nothing_changed(url).cause("psql ended before the whole backup was sent"));
    };
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
