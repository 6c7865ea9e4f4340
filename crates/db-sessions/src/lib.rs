//! `db-sessions`: who is connected to the Postgres server, who waits for whom, and an
//! end of those who do nothing or are named.

use std::process::ExitCode;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::Parser;
use ops_common::args::{ConfirmArgs, OutputArgs, TargetArg, UiArgs};
use ops_common::cli;
use ops_common::consent::{self, Caller, Change, Effect, Kind, Permit, Place};
use ops_common::env::invocation;
use ops_common::error::{Error, Exit};
use ops_common::postgres::stamp;
use ops_common::postgres::{ConnectionUrl, Db, sql_error};
use ops_common::text::count;
use ops_common::ui::{Cells, Column, Ui};
use serde::Serialize;

/// Show the sessions of the Postgres server
///
/// All databases of the server that CONNECTION_URL names, in `prod`
/// PROD_CONNECTION_URL; this tool's own session is left out. `age` is how long a
/// session has been in its state; `blocked by` names the sessions whose locks it
/// waits for. --kill-idle ends sessions of the URL's database that are idle; those
/// in a transaction or at work stay. --kill ends the one that it names, whatever it
/// does: its transaction is rolled back.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples:
  db-sessions                           on this machine
  db-sessions prod --long               with the last query of each
  db-sessions --kill-idle               what holds a database open that is to be dropped
  db-sessions --kill 4711               whose transaction blocks others
  db-sessions prod --kill-idle --idle-for 1h"
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

    /// Of the idle sessions those that have been so for this long: `90`, `90s`,
    /// `5m`, `2h` or `1d`
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = duration, requires = "kill_idle")]
    idle_for: Duration,

    /// End this session of the database; may be given more than once
    #[arg(long, value_name = "PID", conflicts_with = "kill_idle")]
    kill: Vec<i32>,

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
    /// the pids of those whose locks it waits for
    blocked_by: Vec<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    query: Option<String>,
    /// since when it is in its state: with the pid it is the very session that was
    /// seen, and has done nothing since
    #[serde(skip)]
    since: Option<DateTime<Utc>>,
    /// when the session began
    #[serde(skip)]
    started: Option<DateTime<Utc>>,
}

#[derive(Serialize)]
struct Report {
    database: String,
    /// as they were found
    sessions: Vec<Session>,
    /// the pids of those that were ended
    #[serde(skip_serializing_if = "Option::is_none")]
    killed: Option<Vec<i32>>,
}

const SESSIONS: &str = "SELECT pid, usename::text, datname::text, host(client_addr),
  nullif(application_name, ''), state, extract(epoch FROM now() - state_change)::float8,
  query, state_change, pg_blocking_pids(pid), backend_start
FROM pg_stat_activity
WHERE coalesce(backend_type, 'client backend') = 'client backend' AND datname IS NOT NULL
  AND pid <> pg_backend_pid()
ORDER BY datname, backend_start";

/// Ends a session that is still as it was seen. The question may have waited.
const KILL: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE pid = $1 AND state_change = $2 AND state = 'idle' AND datname = current_database()";

/// Ends a session that was named. It may have gone on meanwhile; the start of the
/// session tells it from a later one with its pid.
const KILL_NAMED: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE pid = $1 AND backend_start = $2 AND datname = current_database()";

async fn run(args: Args, ui: &Ui) -> Result<(), Error> {
    let target = args.target.target;
    let url = ConnectionUrl::from_env(target)?;
    url.refuse_several_servers()?;
    let change = Change {
        target,
        kind: Kind::Database,
        name: url.database(),
        what: "",
        effect: if args.ends() { Effect::Changes } else { Effect::Nothing },
    };
    consent::check(&change, change.effect, &args.consent)?;
    url.announce(ui);
    let db = Db::connect(&url, ui).await?;
    let stamp = stamp::of_this_environment(&db, &url).await?;
    let sessions = sessions(&db, args.long).await?;
    let mut report = Report { database: url.database().to_owned(), sessions, killed: None };
    let chosen = chosen(&report.sessions, &url, &args)?;
    if !args.ends() {
        return show(&report, &args, ui);
    }
    // A reader that goes away does not stop the work.
    let shown = if args.output.json() { Ok(()) } else { show(&report, &args, ui) };
    let mut outcome = Ok(());
    let mut killed = Vec::new();
    if chosen.is_empty() {
        ui.note(format_args!("no idle session of `{}` to end", url.database()));
    } else {
        let what = format!(
            "This ends {} of the database `{}` at `{}`: {}.",
            count(chosen.len(), if args.kill_idle { "idle session" } else { "session" }),
            url.database(),
            url.server(),
            chosen.iter().map(Session::in_words).collect::<Vec<_>>().join(", ")
        );
        let change = Change { what: &what, ..change };
        let place = Place::of_database(target, stamp.is_some(), Caller::NoAccount);
        let permit = consent::ask(&change, place, &args.consent, ui).await?;
        let statement = if args.kill_idle { KILL } else { KILL_NAMED };
        outcome = kill(&db, &url, &permit, (statement, &chosen), &mut killed, ui).await;
        ui.note(format_args!("{} ended", count(killed.len(), "session")));
    }
    report.killed = Some(killed);
    let shown = if args.output.json() { ui.report(target, &report) } else { shown };
    outcome.and(shown)
}

async fn sessions(db: &Db, with_query: bool) -> Result<Vec<Session>, Error> {
    let rows = db.query("list the sessions", SESSIONS, &[]).await?;
    let session = |row: &ops_common::postgres::Row| {
        let age: Option<f64> = row.try_get(6)?;
        let query: Option<String> = row.try_get(7)?;
        Ok(Session {
            pid: row.try_get(0)?,
            user: row.try_get(1)?,
            database: row.try_get(2)?,
            client: row.try_get(3)?,
            application: row.try_get(4)?,
            state: row.try_get(5)?,
            age_seconds: age.map(|age| (age * 10.0).round() / 10.0),
            query: query.filter(|_| with_query),
            since: row.try_get(8)?,
            blocked_by: row.try_get(9)?,
            started: row.try_get(10)?,
        })
    };
    let sessions: Result<_, tokio_postgres::Error> = rows.iter().map(session).collect();
    sessions.map_err(|error| sql_error("read the list of sessions", &error))
}

/// The sessions that are to be ended.
fn chosen(sessions: &[Session], url: &ConnectionUrl, args: &Args) -> Result<Vec<Session>, Error> {
    let of_database = |session: &&Session| session.database.as_deref() == Some(url.database());
    let ours = sessions.iter().filter(of_database);
    if args.kill_idle {
        return Ok(ours.filter(|session| session.is_idle_for(args.idle_for)).cloned().collect());
    }
    let named: Vec<Session> =
        ours.filter(|session| args.kill.contains(&session.pid)).cloned().collect();
    let missing = args.kill.iter().filter(|pid| named.iter().all(|session| session.pid != **pid));
    let missing: Vec<String> = missing.map(ToString::to_string).collect();
    if missing.is_empty() {
        return Ok(named);
    }
    Err(Error::new(format!(
        "no session of the database `{}` has the pid {}; nothing is ended",
        url.database(),
        missing.join(", ")
    ))
    .hint(format!(
        "`{}` shows them; one that is gone needs no end",
        invocation(&format!("db-sessions{}", url.target().as_argument()))
    )))
}

impl Args {
    /// Whether sessions are to be ended.
    fn ends(&self) -> bool {
        self.kill_idle || !self.kill.is_empty()
    }
}

impl Session {
    fn is_idle_for(&self, least: Duration) -> bool {
        self.state.as_deref() == Some("idle")
            && self.age_seconds.is_some_and(|age| age >= least.as_secs_f64())
    }

    /// `4711`, with its state where it is not idle.
    fn in_words(&self) -> String {
        match self.state.as_deref() {
            None | Some("idle") => self.pid.to_string(),
            Some(state) => format!("{} ({state})", self.pid),
        }
    }
}

/// Parses a length of time: `90`, `90s`, `5m`, `2h`, `1d`; at most ten years.
fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.char_indices().last() {
        Some((at, 's')) => (&text[..at], 1),
        Some((at, 'm')) => (&text[..at], 60),
        Some((at, 'h')) => (&text[..at], 3_600),
        Some((at, 'd')) => (&text[..at], 86_400),
        _ => (text, 1),
    };
    let seconds = number.parse::<u32>().ok().map(|number| u64::from(number) * unit);
    seconds
        .filter(|seconds| *seconds <= 10 * 365 * 86_400)
        .map(Duration::from_secs)
        .ok_or_else(|| "a number of seconds, or one with s, m, h or d, as in `5m`".to_owned())
}

/// Ends each of the sessions, with leave to do so in this database.
async fn kill(
    db: &Db,
    url: &ConnectionUrl,
    permit: &Permit,
    (statement, sessions): (&str, &[Session]),
    killed: &mut Vec<i32>,
    ui: &Ui,
) -> Result<(), Error> {
    url.check(permit)?;
    let mut refused = 0;
    for session in sessions {
        let seen = if statement == KILL { &session.since } else { &session.started };
        match db.query("end a session", statement, &[&session.pid, seen]).await {
            Ok(rows) if rows.first().is_some_and(|row| row.try_get(0).unwrap_or(false)) => {
                killed.push(session.pid);
            }
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
        return ui.report(args.target.target, report);
    }
    if report.sessions.is_empty() {
        ui.note("nobody else is connected");
        return Ok(());
    }
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let blocked = report.sessions.iter().any(|session| !session.blocked_by.is_empty());
    let pids = |pids: &[i32]| match pids {
        [] => "-".to_owned(),
        pids => pids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    };
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
        cells.extend(blocked.then(|| pids(&session.blocked_by)));
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
    header.extend(blocked.then(|| Column::from("blocked by")));
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
