//! `db-setup`: drops, creates, loads and seeds the app's Postgres database, and
//! carries the ids of Cognito's users into it.

mod dry_run;
mod sql_file;
mod stamp;
mod steps;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use cognito_list_users::pool::{PoolArgs, UserPool};
use ops_common::args::{ConfirmArgs, OutputArgs, TargetArg, UiArgs, seconds};
use ops_common::cli;
use ops_common::consent::{self, Caller, Change, Effect, Kind, Permit, Place};
use ops_common::env::{self, invocation};
use ops_common::error::{Error, Exit};
use ops_common::files::limited;
use ops_common::postgres::stamp::refuse_other_environment;
use ops_common::postgres::{ConnectError, ConnectionUrl, Db, sql_error, trace};
use ops_common::target::Target;
use ops_common::text::count;
use ops_common::ui::Ui;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use stamp::{Inspection, State, inspect};

/// It is sent as one message, and held in memory.
const MOST_SQL_BYTES: u64 = 256 << 20;
const DEFAULT_WAIT_SECS: u64 = 30;
/// A set-up takes seconds; one that waits for an answer is not waited for without end.
const TURN_WITHIN: Duration = Duration::from_secs(120);
const TURN_POLL: Duration = Duration::from_millis(100);

/// Set up the app's Postgres database
///
/// The database is the one of CONNECTION_URL, in `prod` PROD_CONNECTION_URL. It
/// is stamped with its environment: `local` drops or loads only a database that
/// is absent, empty, or stamped `local`; one without a stamp that has tables
/// needs its name typed, or --confirm NAME. Production runs only the steps that
/// are named. The step cognito-ids is `update-cognito-user-ids`; the default
/// steps skip it where no user pool is named.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples:
  db-setup                              all steps on this machine
  db-setup --dry-run                    what each step would do
  db-setup --steps seed                 only seed
  db-setup prod --steps schema-load     asks before it loads"
)]
struct Args {
    #[command(flatten)]
    target: TargetArg,

    /// Steps to run: drop, create, schema-load, seed, cognito-ids; always in this
    /// order [default in `local`: all; in `prod` there is none]
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        value_name = "STEP,…",
        hide_possible_values = true
    )]
    steps: Vec<Step>,

    /// SQL file of the step schema-load [default: compiled in]
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,

    /// SQL file of the step seed [default: compiled in]
    #[arg(long, value_name = "FILE")]
    seed: Option<PathBuf>,

    /// Show what each step would do, and change nothing
    #[arg(long)]
    dry_run: bool,

    /// Seconds to wait for the server [default: 30 for the default steps, else 0]
    #[arg(long, value_name = "SECS", value_parser = seconds())]
    wait: Option<u64>,

    #[command(flatten)]
    pool: PoolArgs,
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

/// The steps, in the order in which they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Step {
    Drop,
    Create,
    SchemaLoad,
    Seed,
    CognitoIds,
}

impl Step {
    fn name(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Create => "create",
            Self::SchemaLoad => "schema-load",
            Self::Seed => "seed",
            Self::CognitoIds => "cognito-ids",
        }
    }
}

#[derive(Serialize)]
struct Report {
    database: String,
    /// whether the steps are only planned
    dry_run: bool,
    steps: Vec<StepReport>,
}

#[derive(Serialize)]
struct StepReport {
    step: Step,
    #[serde(flatten)]
    did: steps::Did,
    /// none: it was not run
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<f64>,
}

/// A file of SQL, or what is compiled in in its place.
struct SqlFile {
    name: String,
    text: String,
    /// whether it stands in the tool
    compiled_in: bool,
}

impl SqlFile {
    fn read(file: Option<&PathBuf>, name: &str, compiled_in: &str) -> Result<Self, Error> {
        let Some(file) = file else {
            let text = compiled_in.to_owned();
            return Ok(Self { name: name.to_owned(), text, compiled_in: true });
        };
        let name = file.display().to_string();
        let bytes = limited::read(file, MOST_SQL_BYTES)
            .map_err(|error| Error::new(format!("cannot read `{name}`"))
                .cause(error)
                .hint("--schema and --seed name files of SQL; without them the compiled-in ones are taken"))?;
        let text = String::from_utf8(bytes).map_err(|error| {
            Error::new(format!("`{name}` is not UTF-8 text")).cause(error.utf8_error())
        })?;
        let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n");
        sql_file::check(&text).map_err(|refusal| {
            Error::new(format!("{name}:{} {}", refusal.line, refusal.why))
                .hint("nothing of the file was run; remove that and run it again")
        })?;
        Ok(Self { name, text, compiled_in: false })
    }
}

struct Files {
    schema: SqlFile,
    seed: SqlFile,
}

fn wanted_steps(args: &Args) -> Result<Vec<Step>, Error> {
    let mut steps = args.steps.clone();
    if steps.is_empty() {
        if args.target.target == Target::Prod {
            return Err(Error::usage("`prod` runs only the steps that are named, and none is")
                .hint("name them: `db-setup prod --steps schema-load` (drop, create, schema-load, seed, cognito-ids)"));
        }
        steps = Step::value_variants().to_vec();
    }
    steps.sort();
    steps.dedup();
    if steps.contains(&Step::Drop) && !steps.contains(&Step::Create) && steps.len() > 1 {
        return Err(Error::usage(
            "after `drop` there is no database to load, and `create` is not among the steps",
        )
        .hint("add `create` to --steps, or leave `drop` out"));
    }
    Ok(steps)
}

async fn run(args: Args, ui: &Ui) -> Result<(), Error> {
    let steps = wanted_steps(&args)?;
    let url = ConnectionUrl::from_env(args.target.target)?;
    if matches!(url.database(), "postgres" | "template0" | "template1") {
        return Err(Error::new(format!("`{}` is a database of the server's own", url.database()))
            .hint("name the app's database at the end of the URL"));
    }
    let files = Files {
        schema: SqlFile::read(
            args.schema.as_ref(),
            "schema.sql (compiled in)",
            include_str!("../../../seed-data/sql/schema.sql"),
        )?,
        seed: SqlFile::read(
            args.seed.as_ref(),
            "seed.sql (compiled in)",
            include_str!("../../../seed-data/sql/seed.sql"),
        )?,
    };
    url.refuse_several_servers()?;
    let pool = connect_pool(&args, &steps, ui).await?;
    let change = Change {
        target: url.target(),
        kind: Kind::Database,
        name: url.database(),
        what: "",
        effect: if args.dry_run { Effect::Nothing } else { least_effect(&steps) },
    };
    consent::check(&change, Effect::Destroys, &args.consent)?;

    url.announce(ui);
    if let Some(pool) = &pool {
        pool.announce(ui);
    }
    let default_wait = if args.steps.is_empty() { DEFAULT_WAIT_SECS } else { 0 };
    let server = wait_for_server(&url, args.wait.unwrap_or(default_wait), ui).await?;
    if !args.dry_run {
        wait_for_turn(&server, &url, ui).await?;
    }
    let inspection = inspect(&url, &server, ui).await?;
    let mut judgement = judge(&url, &inspection.state, &steps, &steps::hash(&files.schema.text))?;
    let mut caller = Caller::NoAccount;
    if url.target() == Target::Prod {
        let about = server_about(&server).await?;
        ui.announce(
            Target::Prod,
            format_args!(
                "server: PostgreSQL {}  database: {}",
                about.version,
                inspection.state.in_words()
            ),
        );
        if let Some(pool) = &pool {
            caller = pool.caller(ui).await?;
        }
        if steps.contains(&Step::Drop) && inspection.state != State::Absent {
            judgement.what.push_str(&about.what_is_left());
        }
    }
    if args.dry_run {
        ui.note(&judgement.what);
        let work = Work { url: &url, server, inspection, files: &files, pool: pool.as_ref() };
        let reports = dry_run::steps(&steps, &work).await?;
        return show_planned(reports, &url, &args.output, ui);
    }
    let is_stamped = !matches!(inspection.state, State::Unstamped { .. });
    let place = Place::of_database(url.target(), is_stamped, caller);
    let change = Change { effect: judgement.effect, what: &judgement.what, ..change };
    let permit = consent::ask(&change, place, &args.consent, ui).await?;
    let work = Work { url: &url, server, inspection, files: &files, pool: pool.as_ref() };
    let (reports, not_carried_over) = run_steps(&steps, work, &permit, &args.output, ui).await?;
    if args.output.json() {
        let database = url.database().to_owned();
        ui.report(url.target(), &Report { database, dry_run: false, steps: reports })?;
    }
    not_carried_over.map_or(Ok(()), Err)
}

/// The pool of the step cognito-ids, before any step runs: what is wrong with
/// the settings is no reason to stop halfway.
async fn connect_pool(args: &Args, steps: &[Step], ui: &Ui) -> Result<Option<UserPool>, Error> {
    if !steps.contains(&Step::CognitoIds) || args.steps.is_empty() && args.pool.id().is_none() {
        return Ok(None);
    }
    UserPool::connect(&args.pool, None, Some(args.target.target), ui).await.map(Some)
}

/// What the steps work on.
struct Work<'a> {
    url: &'a ConnectionUrl,
    /// connected to the maintenance database
    server: Db,
    /// what was there; `seen` is kept to what the steps have made of it
    inspection: Inspection,
    files: &'a Files,
    /// none: not named
    pool: Option<&'a UserPool>,
}

/// Runs the steps and returns what they did. A pool that cannot be listed comes
/// second: the steps before it are done.
async fn run_steps(
    steps: &[Step],
    work: Work<'_>,
    permit: &Permit,
    output: &OutputArgs,
    ui: &Ui,
) -> Result<(Vec<StepReport>, Option<Error>), Error> {
    let Work { url, server, mut inspection, files, pool } = work;
    let mut reports = Vec::new();
    let mut not_carried_over = None;
    // A reader that goes away does not stop the work halfway.
    let mut printed = Ok(());
    for step in steps {
        let begun = Instant::now();
        let did = match step {
            Step::Drop => steps::drop(&server, url, &mut inspection, permit, ui).await,
            Step::Create => steps::create(&server, url, &mut inspection.seen, permit, ui).await,
            Step::SchemaLoad => {
                steps::schema_load(url, &files.schema, &mut inspection.seen, permit, ui).await
            }
            Step::Seed => steps::seed(url, &files.seed, &inspection.seen, permit, ui).await,
            Step::CognitoIds => {
                let did = steps::cognito_ids(pool, url, &inspection.seen, permit, ui).await;
                did.or_else(|error| match reports.as_slice() {
                    [] => Err(error),
                    done => {
                        let did = steps::Did::not_done(&error);
                        not_carried_over = Some(only_the_rest_is_done(error, done, url.target()));
                        Ok(did)
                    }
                })
            }
        }?;
        let seconds = begun.elapsed().as_secs_f64();
        if output.json() {
            ui.note(format_args!("{}: {}", step.name(), did.words));
        } else {
            let line = format!("{:<12} {seconds:>7.3} s  {}", step.name(), did.words);
            printed = printed.and_then(|()| ui.sentence(line));
        }
        reports.push(StepReport { step: *step, did, seconds: Some(seconds) });
    }
    // What is not done is worse than a reader that went away.
    match not_carried_over {
        Some(error) => Ok((reports, Some(error))),
        None => printed.map(|()| (reports, None)),
    }
}

fn show_planned(
    steps: Vec<StepReport>,
    url: &ConnectionUrl,
    output: &OutputArgs,
    ui: &Ui,
) -> Result<(), Error> {
    if output.json() {
        let database = url.database().to_owned();
        ui.report(url.target(), &Report { database, dry_run: true, steps })?;
    } else {
        for report in &steps {
            ui.sentence(format!("{:<12} {}", report.step.name(), report.did.words))?;
        }
    }
    ui.note("nothing is changed (--dry-run)");
    Ok(())
}

fn only_the_rest_is_done(error: Error, done: &[StepReport], target: Target) -> Error {
    let done: Vec<&str> = done.iter().map(|report| report.step.name()).collect();
    error
        .cause(format!("the step cognito-ids is not done; done: {}", done.join(", ")))
        .hint(format!(
            "then run `{}`",
            invocation(&format!("update-cognito-user-ids{}", target.as_argument()))
        ))
        .exit(Exit::Partial)
}

/// What the steps do at the least, known before anything is asked.
fn least_effect(steps: &[Step]) -> Effect {
    if steps.contains(&Step::Drop) { Effect::Destroys } else { Effect::Adds }
}

struct Judgement {
    effect: Effect,
    what: String,
}

/// Whether the steps may be done to a database in this state, and what they do to it.
fn judge(
    url: &ConnectionUrl,
    state: &State,
    steps: &[Step],
    schema_hash: &str,
) -> Result<Judgement, Error> {
    let name = url.database();
    let touches = |step: Step| steps.contains(&step);
    if steps == [Step::Create] && url.target() == Target::Local {
        return Ok(Judgement { effect: Effect::Adds, what: String::new() });
    }
    if let State::Stamped(stamp) = state {
        refuse_other_environment(stamp, url)?;
    }
    let stays = !touches(Step::Drop);
    if *state == State::Absent && !touches(Step::Create) && stays {
        // What comes after needs the tables, too.
        let named = steps.iter().filter(|step| **step != Step::SchemaLoad);
        let named: String = named.map(|step| format!(",{}", step.name())).collect();
        return Err(Error::new(format!("there is no database `{name}` at `{}`", url.server()))
            .hint(format!("create it first: `--steps create,schema-load{named}`")));
    }
    if touches(Step::SchemaLoad) && stays {
        match state {
            State::Stamped(stamp) => steps::refuse_other_schema(stamp, schema_hash, url)?,
            State::Unstamped { tables } if url.target() == Target::Prod => {
                return Err(Error::new(format!(
                    "the database `{name}` has {} that `db-setup` did not make, and the schema is for an empty one",
                    count(usize::try_from(*tables).unwrap_or_default(), "table")
                ))
                .hint("production is migrated elsewhere; `db-setup` loads a schema only where there is none"));
            }
            _ => {}
        }
    }
    let same_schema = matches!(state, State::Stamped(stamp) if stamp.schema_sha256.as_deref() == Some(schema_hash));
    let tables = state.in_words();
    let named: Vec<&str> = steps.iter().map(|step| step.name()).collect();
    let mut what = format!(
        "This runs {} on the database `{name}` at `{}`: {tables}.",
        named.join(", "),
        url.server()
    );
    if touches(Step::Drop) && *state != State::Absent {
        let backup = format!("db-backup{}", url.target().as_argument());
        what.push_str(&format!(
            "\nDropping it deletes everything in it and closes its sessions. It cannot be undone: `{}` keeps a copy.",
            invocation(&backup)
        ));
    }
    let changes = touches(Step::Seed)
        || touches(Step::CognitoIds)
        || touches(Step::Create) && *state == State::Absent
        || touches(Step::SchemaLoad) && !same_schema;
    let effect = if touches(Step::Drop) {
        Effect::Destroys
    } else if changes {
        Effect::Changes
    } else {
        Effect::Nothing
    };
    Ok(Judgement { effect, what })
}

/// What the server says of itself.
struct About {
    version: String,
    archives: bool,
}

impl About {
    /// What can be brought back after a drop. SQL does not show a cluster's
    /// backups; that it archives its log is what they need.
    fn what_is_left(&self) -> String {
        let archive = if self.archives {
            "WAL archiving is on, so there can be point-in-time recovery: of the whole server, to a new one."
        } else {
            "WAL archiving is off, so there is no point-in-time recovery: only an earlier dump or snapshot \
             brings it back."
        };
        format!(
            "\n{archive}\nRDS's deletion protection is of the instance and does not stop a DROP DATABASE; \
             `aws rds describe-db-instances` shows LatestRestorableTime."
        )
    }
}

async fn server_about(server: &Db) -> Result<About, Error> {
    let sql = "SELECT current_setting('server_version'), current_setting('archive_mode') <> 'off'";
    let rows = server.query("ask the server about itself", sql, &[]).await?;
    let row = rows.first().ok_or_else(|| Error::new("the server does not say what it is"))?;
    Ok(About { version: row.get(0), archives: row.get(1) })
}

/// Waits until no other `db-setup` is at work on the database; from then on others
/// wait for this one, until its connection ends.
async fn wait_for_turn(server: &Db, url: &ConnectionUrl, ui: &Ui) -> Result<(), Error> {
    let lock = "SELECT pg_try_advisory_lock(hashtext('cruddur_ops.db-setup'), hashtext($1))";
    trace(ui, "wait for other set-ups", lock, &[&url.database()]);
    let deadline = Instant::now() + TURN_WITHIN;
    let mut has_said = false;
    loop {
        let row = server.client().query_one(lock, &[&url.database()]).await;
        if row.map_err(|error| sql_error("wait for other set-ups", &error))?.get(0) {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(Error::new(format!(
                "another `db-setup` is at work on the database `{}` for {} s already; nothing is done",
                url.database(),
                TURN_WITHIN.as_secs()
            ))
            .hint("perhaps it waits for an answer in another terminal"));
        }
        if !std::mem::replace(&mut has_said, true) {
            // Also with --quiet: the other one may wait for an answer.
            ui.say(format_args!(
                "waiting up to {} s for another `db-setup`, which is at work on the database `{}`",
                TURN_WITHIN.as_secs(),
                url.database()
            ));
        }
        sleep(TURN_POLL).await;
    }
}

/// Connects to the maintenance database, waiting while nobody listens there.
async fn wait_for_server(url: &ConnectionUrl, wait_secs: u64, ui: &Ui) -> Result<Db, Error> {
    let maintenance = url.with_database("postgres");
    let deadline = Instant::now() + Duration::from_secs(wait_secs);
    let pause = Duration::from_millis(250);
    let mut waiting = None;
    loop {
        match Db::connect(&maintenance, ui).await {
            Ok(db) => return Ok(db),
            Err(ConnectError::NotUp(_)) if Instant::now() + pause < deadline => {
                waiting.get_or_insert_with(|| {
                    ui.waiting(format!(
                        "waiting up to {wait_secs} s for Postgres at `{}`",
                        url.server()
                    ))
                });
                sleep(pause).await;
            }
            Err(ConnectError::NoDatabase(error)) => {
                return Err(error.hint(format!(
                    "`db-setup` drops and creates from the database `postgres`, which every server of {} should have",
                    env::CONNECTION_URL
                )));
            }
            Err(error) => return Err(error.into()),
        }
    }
}
