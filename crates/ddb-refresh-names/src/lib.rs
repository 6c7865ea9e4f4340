//! `ddb-refresh-names`: names follow Postgres. A person who is renamed there keeps the
//! old name in every row of the table, which has a copy of it.

mod checkpoint;
mod pass;
mod rows;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{ArgGroup, Parser};
use ops_common::app::records::Person;
use ops_common::app::users::{self, Handle};
use ops_common::args::{
    ConfirmArgs, DynamoArgs, OutputArgs, TableArg, TargetArg, UiArgs, seconds, units_a_second,
};
use ops_common::cli;
use ops_common::consent::{self, Change as Consent, Effect, Kind, Permit, Place};
use ops_common::dynamodb::capacity::{Units, limit};
use ops_common::dynamodb::table::{Table, size};
use ops_common::env::invocation;
use ops_common::error::{Error, Exit};
use ops_common::postgres::{ConnectionUrl, Db, stamp};
use ops_common::target::Target;
use ops_common::text::{printable, units};
use ops_common::ui::{Cells, Column, Ui};
use serde::Serialize;

use checkpoint::{Checkpoint, Reached, Work};
pub use pass::{Change, Counts};
use pass::{Pass, rows};
pub use rows::People;

/// Write the names that people have in Postgres into the rows of the table
///
/// Each message has its sender's handle and display name, and each inbox row the
/// other person's. A row is changed only where they differ, only these two
/// attributes, and only if it is still as it was read. The whole table is read, also
/// for one person.
#[derive(Debug, Parser)]
#[command(
    version,
    group = ArgGroup::new("whom").required(true).args(["handle", "all"]),
    after_help = "Examples:
  ddb-refresh-names --handle bayko --dry-run     what would change
  ddb-refresh-names --all
  ddb-refresh-names prod --all --checkpoint names.mark --max-wcu 50"
)]
struct Args {
    #[command(flatten)]
    target: TargetArg,

    /// Only this person, by the handle that Postgres has now
    #[arg(long, value_name = "HANDLE")]
    handle: Option<Handle>,

    /// Everybody
    #[arg(long)]
    all: bool,

    /// Show what would change, and change nothing
    #[arg(long, conflicts_with = "checkpoint")]
    dry_run: bool,

    /// File that keeps how far the run is; the same command goes on from there
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,

    /// Read units a second, at most [default: in `prod` half of what the table
    /// has; else no limit]
    #[arg(long, value_name = "N", value_parser = units_a_second, allow_negative_numbers = true)]
    max_rcu: Option<f64>,

    /// Write units a second, at most [default: as with --max-rcu]
    #[arg(long, value_name = "N", value_parser = units_a_second, allow_negative_numbers = true)]
    max_wcu: Option<f64>,

    /// Seconds without progress after which a throttled table is given up
    #[arg(long, value_name = "SECS", default_value_t = 60, value_parser = seconds())]
    give_up_after: u64,

    #[command(flatten)]
    table: TableArg,
    #[command(flatten)]
    dynamo: DynamoArgs,
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

#[derive(Serialize)]
struct Report<'a> {
    table: &'a str,
    /// whether the changes are written, or would be
    written: bool,
    #[serde(flatten)]
    counts: &'a Counts,
    changes: Vec<Change>,
}

async fn run(args: Args, ui: &Ui) -> Result<(), Error> {
    let target = args.target.target;
    let name = args.table.name();
    let effect = if args.dry_run { Effect::Nothing } else { Effect::Changes };
    let change = Consent { target, kind: Kind::Table, name: &name, what: "", effect };
    consent::check(&change, effect, &args.consent)?;
    let url = ConnectionUrl::from_env(target)?;
    url.announce(ui);
    let table = Table::connect(target, &args.dynamo, &name, ui).await?;
    let people = people(&args, &url, ui).await?;
    let live = table.existing().await?;

    let work = Work {
        tool: "ddb-refresh-names".to_owned(),
        table: table.identity(&live),
        people: digest(&people),
    };
    let checkpoint =
        args.checkpoint.as_deref().map(|path| Checkpoint::open(path, work)).transpose()?;
    let (start, counts) = match checkpoint.as_ref().map(Checkpoint::load).transpose()? {
        None | Some(Reached::Start) => (None, Counts::default()),
        Some(Reached::After(key, counts)) => (Some(key), counts),
    };
    let max_rcu = || limit(args.max_rcu, target, &live, Units::Read, ui);
    // Where nobody is asked, what is found is changed at once.
    let plans = args.dry_run || target == Target::Prod;
    let mut plan = Pass::new(&table, &people, args.all, Counts::default());
    if plans {
        plan.run(start.clone(), None, None, max_rcu(), ui).await?;
        if args.dry_run || plan.counts.changed == 0 {
            return report(&plan, &args, !args.dry_run, ui);
        }
    }
    let caller = table.caller(ui).await?;
    let what = what_happens(&plan, &table);
    let asked = Consent { what: &what, ..change };
    if target == Target::Prod {
        ui.announce(target, format_args!("table {table}: {}", size(&live)));
    }
    let permit = consent::ask(&asked, Place::of(target, caller), &args.consent, ui).await?;
    if target == Target::Prod {
        // The question may have waited for long.
        table.refuse_another(&live).await?;
        if digest(&self::people(&args, &url, ui).await?) != digest(&people) {
            return Err(Error::new(
                "people were renamed while the question waited; nothing is done",
            )
            .hint("run it again: it asks with the names as they are then"));
        }
    }
    let max_wcu = limit(args.max_wcu, target, &live, Units::Write, ui);
    let writer = table.statements(&permit, max_wcu, Duration::from_secs(args.give_up_after))?;
    let mut pass = Pass::new(&table, &people, args.all, counts);
    let again = "run it again: what is changed stays, the rest follows";
    let refresh = pass.run(start, Some(&writer), checkpoint.as_ref(), max_rcu(), ui);
    let outcome = cli::until_ctrl_c(refresh, again).await;
    let changed = || format!("{} changed", rows(pass.counts.changed));
    outcome.map_err(|error| match error.exit_kind() {
        Exit::Interrupted => error.cause(changed()),
        _ if pass.counts.changed > 0 => error.cause(changed()).hint(again).exit(Exit::Partial),
        _ => error,
    })?;
    report(&pass, &args, true, ui)
}

/// Refreshes the names of these people, who are all that there are, with leave to change
/// the table.
///
/// # Errors
/// Where the table cannot be read or written.
pub async fn refresh(
    table: &Table,
    people: &People,
    permit: &Permit,
    ui: &Ui,
) -> Result<Counts, Error> {
    let live = table.existing().await?;
    let target = table.target();
    let max_wcu = limit(None, target, &live, Units::Write, ui);
    let max_rcu = limit(None, target, &live, Units::Read, ui);
    let writer = table.statements(permit, max_wcu, Duration::from_secs(60))?;
    let mut pass = Pass::new(table, people, true, Counts::default());
    pass.run(None, Some(&writer), None, max_rcu, ui).await?;
    Ok(pass.counts)
}

async fn people(args: &Args, url: &ConnectionUrl, ui: &Ui) -> Result<People, Error> {
    let people: Vec<Person> = match &args.handle {
        Some(handle) => users::look_up(url, [handle], ui).await?.into(),
        None => {
            let db = Db::connect(url, ui).await?;
            stamp::of_this_environment(&db, url).await?;
            users::everybody(&db).await?
        }
    };
    Ok(people.into_iter().map(|person| (person.uuid, person)).collect())
}

/// The same number for the same people with the same names.
fn digest(people: &People) -> u64 {
    let mut all: Vec<_> = people.values().map(|p| (p.uuid, &p.handle, &p.display_name)).collect();
    all.sort_unstable();
    let mut hasher = DefaultHasher::new();
    all.hash(&mut hasher);
    hasher.finish()
}

/// As many changes as a question shows.
const SHOWN: usize = 10;

fn what_happens(plan: &Pass<'_>, table: &Table) -> String {
    let mut what = format!(
        "{}: this changes the names in {} of the table `{table}` to those of Postgres.",
        table.db().place(),
        rows(plan.counts.changed)
    );
    let changes = plan.changes();
    for change in changes.iter().take(SHOWN) {
        what.push_str(&format!(
            "\n  {}: `{}`, {} -> `{}`, {}",
            rows(change.rows),
            printable(&change.old_handle),
            printable(&change.old_display_name),
            printable(&change.handle),
            printable(&change.display_name)
        ));
    }
    if changes.len() > SHOWN {
        what.push_str("\n  and others; --dry-run shows more");
    }
    what
}

fn report(pass: &Pass<'_>, args: &Args, written: bool, ui: &Ui) -> Result<(), Error> {
    let counts = &pass.counts;
    let changes = pass.changes();
    let shown = if args.output.json() {
        let report = Report { table: pass.table.name(), written, counts, changes };
        ui.report(args.target.target, &report)
    } else if changes.is_empty() {
        Ok(())
    } else {
        let cells = |change: &Change| {
            vec![
                change.rows.to_string(),
                format!("{}, {}", change.old_handle, change.old_display_name),
                format!("{}, {}", change.handle, change.display_name),
            ]
        };
        let cells: Vec<_> = changes.iter().map(cells).collect();
        let now = if written { "have now" } else { "would have" };
        ui.table(&[Column::number("rows"), "had".into(), now.into()], &cells, Cells::Wrapped)
    };
    let did = if written { "changed" } else { "would be changed" };
    let some = |number: u64, what: &str| match number {
        0 => String::new(),
        number => format!(", {number} {what}"),
    };
    ui.note(format_args!(
        "{} read: {} {did}, {} right already{}{}; {} capacity units",
        rows(counts.read),
        counts.changed,
        counts.right,
        some(counts.others, "of others"),
        some(counts.gone, "deleted meanwhile"),
        units(counts.consumed_capacity)
    ));
    if counts.strangers > 0 {
        ui.warn(format_args!(
            "the person of {} is not in Postgres; `{}` says who",
            rows(counts.strangers),
            invocation(&format!("check-identities{}", args.target.target.as_argument()))
        ));
    }
    shown
}
