//! pg_dump at work.

use std::cell::RefCell;
use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use ops_common::env;
use ops_common::env::invocation;
use ops_common::error::Error;
use ops_common::files::{resolved, sync_folder};
use ops_common::postgres::programs::Programs;
use ops_common::postgres::{ConnectionUrl, Db, sql_error, trace};
use ops_common::text::bytes;
use ops_common::ui::Ui;
use tempfile::TempPath;
use tokio_postgres::IsolationLevel;

use crate::already_there;
use crate::archive::{Archive, Contents};
use crate::child::Program;

const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Writes an archive into `folder`, and reads it back.
///
/// pg_dump takes the snapshot of this process's connection, which another server, or
/// another database of it, does not have: it dumps what was looked at, or nothing.
/// <https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-SNAPSHOT-SYNCHRONIZATION>
///
/// # Errors
/// Where pg_dump fails; nothing of the file is left then.
pub(crate) async fn write(
    db: &mut Db,
    url: &ConnectionUrl,
    programs: Programs,
    folder: &Path,
    ui: &Ui,
) -> Result<(TempPath, Contents), Error> {
    let failed = |error: tokio_postgres::Error| sql_error("take a snapshot", &error);
    let builder = db.client_mut().build_transaction();
    let builder = builder.isolation_level(IsolationLevel::RepeatableRead).read_only(true);
    let transaction = builder.start().await.map_err(failed)?;
    let sql = "SELECT pg_export_snapshot()";
    trace(ui, "take a snapshot", sql, &[]);
    let snapshot: String = transaction.query_one(sql, &[]).await.map_err(failed)?.get(0);

    let file = tempfile::Builder::new()
        .prefix(".part-")
        .permissions(Permissions::from_mode(0o600))
        .tempfile_in(folder)
        .map_err(|error| {
            Error::new(format!("cannot write into `{}`", folder.display()))
                .cause(error)
                .hint("name a file in a folder that you may write to: --out")
        })?
        .into_temp_path();
    let path = std::path::absolute(&file).unwrap_or_else(|_| file.to_path_buf());
    let mut command = programs.command("pg_dump");
    command
        .args(["--format=custom", "--no-password", "--verbose"])
        .arg(format!("--snapshot={snapshot}"))
        // What waits for a lock would be waited for without end.
        .arg(format!("--lock-wait-timeout={}s", env::timeout().as_secs()))
        .arg(format!("--file={}", path.display()));
    show(&command, ui);
    command.envs(url.libpq_environment()).stdin(Stdio::null()).stdout(Stdio::null());
    let program = Program::start(command)?;

    let mut progress = ui.progress("pg_dump");
    let table = RefCell::new(String::new());
    let dumping = program.end(|line| {
        if let Some((_, dumped)) = line.split_once("dumping contents of table ") {
            *table.borrow_mut() = format!(", table {}", dumped.replace('"', ""));
        }
    });
    tokio::pin!(dumping);
    let ended = loop {
        tokio::select! {
            ended = &mut dumping => break ended?,
            () = tokio::time::sleep(LOOK_EVERY) => {
                let size = path.metadata().map_or(0, |file| file.len());
                let size = bytes(i64::try_from(size).unwrap_or(i64::MAX));
                progress.say(format_args!("pg_dump: {size} written{}", table.borrow()));
            }
        }
    };
    drop(progress);
    ended.or(|| Error::new(format!("cannot back up the database `{}`", url.database()))).map_err(
        |error| {
            let causes = error.causes().join("\n");
            if causes.contains("permission denied") {
                error.hint("the role has to read everything: `GRANT pg_read_all_data TO ROLE`")
            } else if causes.contains("timeout") && causes.contains("LOCK TABLE") {
                let sessions = format!("db-sessions{} --long", url.target().as_argument());
                error.hint(format!("`{}` shows who holds the lock", invocation(&sessions)))
            } else {
                error.hint("nothing is written; look at what pg_dump says")
            }
        },
    )?;
    // It would hold back vacuum while the file is read.
    drop(transaction);
    let contents = Archive::new(&path, programs).read(ui).await?;
    Ok((file, contents))
}

/// Shows a call of a program where `-v` asks for it, without what is in its environment.
fn show(command: &Command, ui: &Ui) {
    let words = [command.get_program()].into_iter().chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    ui.verbose(format_args!("> {}", words.join(" ")));
}

/// Gives the file its name, unless something has it; its size.
///
/// # Errors
/// Where something has it, or the disk refuses.
pub(crate) fn keep(file: TempPath, out: &Path) -> Result<u64, Error> {
    let failed = |error: &std::io::Error| {
        Error::new(format!("cannot write `{}`", out.display()))
            .cause(error)
            .hint("look at the disk: `df -h`")
    };
    let target = resolved(out).map_err(|error| failed(&error))?;
    let opened = File::open(&file).and_then(|opened| opened.sync_all().map(|()| opened));
    let size = opened.and_then(|opened| opened.metadata()).map_err(|error| failed(&error))?.len();
    file.persist_noclobber(&target).map_err(|error| match error.error.kind() {
        std::io::ErrorKind::AlreadyExists => already_there(out),
        _ => failed(&error.error),
    })?;
    sync_folder(&target).map_err(|error| failed(&error))?;
    Ok(size)
}
