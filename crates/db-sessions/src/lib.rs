//! `db-sessions`: who is connected to the Postgres server, and an end of those who
//! do nothing.

use std::process::ExitCode;

use chrono::{DateTime, Utc};
use clap::Parser;
use ops_common::args::{ConfirmArgs, OutputArgs, TargetArg, UiArgs, seconds};
use ops_common::cli;
use ops_common::consent::{self, Caller, Change, Effect, Kind, Permit, Place};
use ops_common::error::{Error, Exit};
use ops_common::postgres::stamp;
use ops_common::postgres::{ConnectionUrl, Db};
use ops_common::text::count;
use ops_common::ui::{Cells, Column, Ui};
use serde::Serialize;

/// Show the sessions of the Postgres server
///
/// All databases of the server that CONNECTION_URL names, in `prod`
/// PROD_CONNECTION_URL; this tool's own session is left out. `age` is how long a
/// session has been in its state. --kill-idle ends sessions of the URL's database
/// that are idle; those in a transaction or at work stay.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples:
  db-sessions                           on this machine
  db-sessions prod --long               with the last query of each
  db-sessions --kill-idle               what holds a database open that is to be dropped
  db-sessions prod --kill-idle --idle-for 3600"
)]
struct Args {
    #[command(flatten)]
    target: TargetArg,

    /// Show the last query of each session too
    #[arg(long)]
    long: bool,

    /// End the idle sessions of the database
    #[arg(long)]
    kill_idle: bool,

    /// Of the idle sessions those that have been so for this many seconds
    #[arg(long, value_name = "SECS", default_value_t = 0, value_parser = seconds(), requires = "kill_idle")]
    idle_for: u64,

    #[command(flatten)]
    consent: ConfirmArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    ui: UiArgs,
}

/// The tool's entry point.
#[must_use]
pub fn main() -> ExitCode {
    cli::main(|args: &Args| &args.ui, run)
}

#[derive(Debug, Clone, Serialize)]
struct Session {
    pid: i32,
    user: Option<String>,
    database: Option<String>,
    /// none: a unix socket
    client: Option<String>,
    application: Option<String>,
    /// none: the server does not show it to this user
    state: Option<String>,
    age_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    query: Option<String>,
    /// since when it is in its state: with the pid it is the very session that was
    /// seen, and has done nothing since
    #[serde(skip)]
    since: Option<DateTime<Utc>>,
}

#[derive(Serialize)]
struct Report {
    target: String,
    database: String,
    /// as they were found
    sessions: Vec<Session>,
    /// the pids of those that were ended
    #[serde(skip_serializing_if = "Option::is_none")]
    killed: Option<Vec<i32>>,
}

const SESSIONS: &str = "SELECT pid, usename::text, datname::text, host(client_addr),
  nullif(application_name, ''), state, extract(epoch FROM now() - state_change)::float8,
  query, state_change
FROM pg_stat_activity
WHERE coalesce(backend_type, 'client backend') = 'client backend' AND datname IS NOT NULL
  AND pid <> pg_backend_pid()
ORDER BY datname, backend_start";

/// Ends a session that is still as it was seen. The question may have waited.
const KILL: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE pid = $1 AND state_change = $2 AND state = 'idle' AND datname = current_database()";

async fn run(args: Args, ui: &Ui) -> Result<(), Error> {
    let target = args.target.target;
    let url = ConnectionUrl::from_env(target)?;
    url.refuse_several_servers()?;
    let change = Change {
        target,
        kind: Kind::Database,
        name: url.database(),
        what: "",
        effect: if args.kill_idle { Effect::Changes } else { Effect::Nothing },
    };
    consent::check(&change, &args.consent)?;
    url.announce(ui);
    let db = Db::connect(&url, ui).await?;
    let stamp = stamp::of_this_environment(&db, &url).await?;
    let sessions = sessions(&db, args.long).await?;
    let mut report = Report {
        target: target.to_string(),
        database: url.database().to_owned(),
        sessions,
        killed: None,
    };
    if !args.kill_idle {
        return show(&report, &args, ui);
    }
    // A reader that goes away does not stop the work.
    let shown = if args.output.json() { Ok(()) } else { show(&report, &args, ui) };
    let idle: Vec<Session> =
        report.sessions.iter().filter(|session| is_idle(session, &url, &args)).cloned().collect();
    let mut outcome = Ok(());
    let mut killed = Vec::new();
    if idle.is_empty() {
        ui.note(format_args!("no idle session of `{}` to end", url.database()));
    } else {
        let what = format!(
            "This ends {} of the database `{}` at `{}`: {}.",
            count(idle.len(), "idle session"),
            url.database(),
            url.server(),
            idle.iter().map(|session| session.pid.to_string()).collect::<Vec<_>>().join(", ")
        );
        let change = Change { what: &what, ..change };
        let place = Place::of_database(target, stamp.is_some(), Caller::NoAccount);
        let permit = consent::ask(&change, place, &args.consent, ui).await?;
        outcome = kill(&db, &url, &permit, &idle, &mut killed, ui).await;
        ui.note(format_args!("{} ended", count(killed.len(), "session")));
    }
    report.killed = Some(killed);
    let shown = if args.output.json() { ui.json(&report) } else { shown };
    outcome.and(shown)
}

async fn sessions(db: &Db, with_query: bool) -> Result<Vec<Session>, Error> {
    let rows = db.query("list the sessions", SESSIONS, &[]).await?;
    let session = |row: &ops_common::postgres::Row| Session {
        pid: row.get(0),
        user: row.get(1),
        database: row.get(2),
        client: row.get(3),
        application: row.get(4),
        state: row.get(5),
        age_seconds: row.get::<_, Option<f64>>(6).map(|age| (age * 10.0).round() / 10.0),
        query: row.get::<_, Option<String>>(7).filter(|_| with_query),
        since: row.get(8),
    };
    Ok(rows.iter().map(session).collect())
}

fn is_idle(session: &Session, url: &ConnectionUrl, args: &Args) -> bool {
    session.state.as_deref() == Some("idle")
        && session.database.as_deref() == Some(url.database())
        && session.age_seconds.is_some_and(|age| age >= args.idle_for as f64)
}

/// Ends each of the sessions, with leave to do so in this database.
async fn kill(
    db: &Db,
    url: &ConnectionUrl,
    permit: &Permit,
    idle: &[Session],
    killed: &mut Vec<i32>,
    ui: &Ui,
) -> Result<(), Error> {
    url.check(permit)?;
    let mut refused = 0;
    for session in idle {
        match db.query("end a session", KILL, &[&session.pid, &session.since]).await {
            Ok(rows) if rows.first().is_some_and(|row| row.get(0)) => killed.push(session.pid),
            Ok(_) => ui.note(format_args!("{} is gone, or was busy since, and stays", session.pid)),
            Err(error) => {
                refused += 1;
                ui.warn(format_args!("{} stays: {error}", session.pid));
            }
        }
    }
    if refused == 0 {
        return Ok(());
    }
    Err(Error::new(format!("{} could not be ended", count(refused, "session")))
        .hint("a session is its own user's, or one's who has the role pg_signal_backend")
        .exit(Exit::Partial))
}

fn show(report: &Report, args: &Args, ui: &Ui) -> Result<(), Error> {
    if args.output.json() {
        return ui.json(report);
    }
    if report.sessions.is_empty() {
        ui.note("nobody else is connected");
        return Ok(());
    }
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let cells = |session: &Session| {
        let mut cells = vec![
            session.pid.to_string(),
            or_dash(&session.user),
            or_dash(&session.database),
            session.client.clone().unwrap_or_else(|| "socket".to_owned()),
            or_dash(&session.application),
            or_dash(&session.state),
            session.age_seconds.map_or("-".to_owned(), age),
        ];
        cells.extend(args.long.then(|| or_dash(&session.query)));
        cells
    };
    let rows: Vec<Vec<String>> = report.sessions.iter().map(cells).collect();
    let mut header: Vec<Column<'_>> = vec![
        "pid".into(),
        "user".into(),
        "database".into(),
        "client".into(),
        "application".into(),
        "state".into(),
        "age".into(),
    ];
    header.extend(args.long.then(|| Column::from("query")));
    ui.table(&header, &rows, Cells::Wrapped)?;
    if report.sessions.iter().any(|session| session.state.is_none()) {
        ui.note("where the state is `-` the server does not show it to this user: the role pg_read_all_stats does");
    }
    Ok(())
}

/// `8 s`, `12 min`, `3 h`, `2 d`.
fn age(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.0} h", s / 3600.0),
        s => format!("{:.0} d", s / 86_400.0),
    }
}
