//! `ddb-seed`: writes a conversation between two users of Postgres, in place of
//! the one that an earlier seed wrote.

mod conversation;
mod plan;

use std::collections::HashSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use clap::Parser;
use ops_common::app::conversations::{Period, partition};
use ops_common::app::keys::{ConversationKey, InboxKey, SortTime};
use ops_common::app::records::{Item, SEEDED_GROUP};
use ops_common::app::times;
use ops_common::app::users::{self, Handle};
use ops_common::args::{ConfirmArgs, DynamoArgs, OutputArgs, TableArg, TargetArg, UiArgs, seconds};
use ops_common::cli;
use ops_common::consent::{self, Change, Effect, Kind, Permit, Place};
use ops_common::dynamodb::batch::{Write, write_all};
use ops_common::dynamodb::item::Attributes;
use ops_common::dynamodb::key::KeyNames;
use ops_common::dynamodb::table::Table;
use ops_common::error::{Error, Exit};
use ops_common::files::limited;
use ops_common::postgres::stamp;
use ops_common::postgres::{ConnectionUrl, Db};
use ops_common::text::{count, printable, units};
use ops_common::ui::Ui;
use serde::Serialize;
use uuid::Uuid;

use conversation::Line;
use plan::{Collision, Existing, Pair, Plan};

/// Of a conversation: some thousands of messages.
const MOST_BYTES: u64 = 16 << 20;

const CONVERSATION: &[u8] = include_bytes!("../../../seed-data/conversation.txt");

/// Write the seeded conversation between two users of Postgres
///
/// Seeding twice leaves one conversation. It replaces only what an earlier seed
/// wrote; messages that people sent stay. In `prod` replacing asks for the
/// table's name, a first seed for y/N.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples:
  ddb-seed                              the conversation of jess-bk and bayko
  ddb-seed --dry-run                    what it would write and replace
  ddb-seed --conversation mine.txt --group UUID --other-handle maren
                                        a conversation of your own, beside it"
)]
struct Args {
    #[command(flatten)]
    target: TargetArg,

    /// Handle of `Person 1`
    #[arg(long, value_name = "HANDLE", default_value = "jess-bk")]
    my_handle: Handle,

    /// Handle of `Person 2`
    #[arg(long, value_name = "HANDLE", default_value = "bayko")]
    other_handle: Handle,

    /// File of messages, one a line: `Person 1: …` or `Person 2: …`
    /// [default: compiled in]
    #[arg(long, value_name = "FILE")]
    conversation: Option<PathBuf>,

    /// The conversation's uuid
    #[arg(long, value_name = "UUID", default_value_t = SEEDED_GROUP)]
    group: Uuid,

    /// Time of the first message, `2026-01-31T09:00` (your time zone) or RFC 3339; each
    /// further one is a minute later [default: one day ago]
    #[arg(long, value_name = "TIME", value_parser = times::parse_start)]
    start: Option<SortTime>,

    /// Say what would be written and replaced, and change nothing
    #[arg(long)]
    dry_run: bool,

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
struct Report {
    table: String,
    message_group_uuid: Uuid,
    /// messages of the conversation file
    messages: usize,
    /// rows put, messages and group rows
    put: usize,
    /// of the rows put: those that overwrote what an earlier seed wrote
    overwritten: usize,
    /// rows of an earlier seed that were deleted
    deleted: usize,
    /// rows that were there already, just so
    unchanged: usize,
    /// messages that people sent, untouched
    kept: usize,
    dry_run: bool,
    consumed_capacity: f64,
}

async fn run(args: Args, ui: &Ui) -> Result<(), Error> {
    let lines = read_conversation(args.conversation.as_ref())?;
    let (my_handle, other_handle) = (&args.my_handle, &args.other_handle);
    if my_handle == other_handle {
        return Err(Error::usage(format!(
            "a conversation takes two people, and both are `{my_handle}`"
        ))
        .hint("name another one with --other-handle"));
    }
    let (target, name) = (args.target.target, args.table.name());
    let change = Change {
        target,
        kind: Kind::Table,
        name: &name,
        what: "",
        effect: if args.dry_run { Effect::Nothing } else { Effect::Changes },
    };
    consent::check(&change, Effect::Destroys, &args.consent)?;
    let url = ConnectionUrl::from_env(target)?;
    url.announce(ui);
    let table = Table::connect(target, &args.dynamo, &name, ui).await?;

    let pair = find_pair(&url, my_handle, other_handle, ui).await?;
    let start = args.start.unwrap_or_else(|| SortTime::new(Utc::now() - TimeDelta::days(1)));
    let (plan, read_units) = make_plan(&table, args.group, &lines, &pair, start).await?;
    let mut report = Report {
        table: name.clone(),
        message_group_uuid: args.group,
        messages: lines.len(),
        put: plan.puts.len(),
        overwritten: plan.overwritten,
        deleted: plan.deletes.len(),
        unchanged: plan.unchanged,
        kept: plan.kept,
        dry_run: args.dry_run,
        consumed_capacity: read_units,
    };
    if args.dry_run || plan.is_empty() {
        return show(&report, &pair, &args, ui);
    }
    let caller = table.caller(ui).await?;
    let live = table.announce_size(ui).await?;
    let what = what_happens(&report, &table, &pair);
    let effect = if plan.replaces() { Effect::Destroys } else { Effect::Changes };
    let change = Change { what: &what, effect, ..change };
    let permit = consent::ask(&change, Place::of(target, caller), &args.consent, ui).await?;
    if let Some(live) = &live {
        // The question may have waited for long.
        table.refuse_another(live).await?;
        let (now, units) = make_plan(&table, args.group, &lines, &pair, start).await?;
        report.consumed_capacity += units;
        if now != plan {
            return Err(Error::new(
                "the conversation changed while the question waited; nothing is written",
            )
            .hint("run it again: it asks with the counts as they are then"));
        }
    }
    let give_up_after = Duration::from_secs(args.give_up_after);
    let working =
        ui.is_terminal().then(|| ui.waiting(format!("writing {}", count(plan.puts.len(), "row"))));
    report.consumed_capacity += replace(&table, &permit, plan, give_up_after).await?;
    drop(working);
    show(&report, &pair, &args, ui)
}

fn read_conversation(file: Option<&PathBuf>) -> Result<Vec<Line>, Error> {
    let (name, bytes) = match file {
        None => ("conversation.txt (compiled in)".to_owned(), CONVERSATION.to_vec()),
        Some(file) => {
            let name = file.display().to_string();
            let bytes = limited::read(file, MOST_BYTES).map_err(|error| {
                Error::new(format!("cannot read the conversation `{name}`"))
                    .cause(error)
                    .hint("--conversation names a file of messages; without it the compiled-in one is taken")
            })?;
            (name, bytes)
        }
    };
    conversation::parse(&bytes).map_err(|bad| {
        let place = bad.line.map_or(String::new(), |line| format!(":{line}"));
        Error::new(format!("{name}{place}: {}", bad.why))
            .hint("nothing is written; fix the file and run it again")
    })
}

async fn find_pair(
    url: &ConnectionUrl,
    mine: &Handle,
    other: &Handle,
    ui: &Ui,
) -> Result<Pair, Error> {
    let db = Db::connect(url, ui).await?;
    stamp::of_this_environment(&db, url).await?;
    let [mine, other] = users::of_handles(&db, url.target(), [mine, other]).await?;
    Ok(Pair { mine, other })
}

/// Reads what is there, and works out what has to be done. Returns also the
/// read units that it took.
async fn make_plan(
    table: &Table,
    group: Uuid,
    lines: &[Line],
    pair: &Pair,
    start: SortTime,
) -> Result<(Plan, f64), Error> {
    let mut read_units = 0.0;
    let mut read = async |pk: String| {
        let found = partition(table, &pk, Period::default(), None).await?;
        read_units += found.consumed_capacity;
        Ok::<Vec<Item>, Error>(found.rows)
    };
    let existing = Existing::sort(group, read(ConversationKey(group).to_string()).await?);
    let mut unread: HashSet<Uuid> = existing.earlier_participants();
    unread.extend([pair.mine.uuid, pair.other.uuid]);
    let mut participants = HashSet::new();
    let mut group_rows = Vec::new();
    while !unread.is_empty() {
        for participant in unread.drain() {
            participants.insert(participant);
            group_rows.extend(read(InboxKey(participant).to_string()).await?);
        }
        // An earlier seed may have been one-sided: its rows name the other one.
        let named = plan::others_in_rows(group, &group_rows);
        unread.extend(named.difference(&participants));
    }
    let wanted = plan::messages(group, lines, pair, start);
    if wanted.last().is_some_and(|last| !times::is_sortable(last.sent_at.time())) {
        return Err(Error::usage(
            "the conversation would end after the year 9999; choose an earlier --start",
        ));
    }
    let plan = plan::plan(group, pair, &wanted, &existing, &group_rows).map_err(|collision| {
        match collision {
        Collision::Key { what, at } => {
            Error::new(format!("{what} has the key that a seeded row would get: sk `{at}`"))
                .hint("nothing is written; choose another --start")
        }
        Collision::OtherPeople { who } => Error::new(format!(
            "the conversation {group} is one of people, `{who}` among them"
        ))
        .hint("nothing is written; choose another --group, or name its people with --my-handle and --other-handle"),
    }
    })?;
    Ok((plan, read_units))
}

/// Writes what the plan says, with leave to do so in this very table. Returns
/// the write units that it took.
async fn replace(
    table: &Table,
    permit: &Permit,
    plan: Plan,
    give_up_after: Duration,
) -> Result<f64, Error> {
    let batches = table.batch_writer(permit, KeyNames::messages())?;
    // New rows first, old ones after: an interrupted seed loses nothing.
    let put = write_all(&batches, writes(&plan.puts, Write::put)?, give_up_after).await?;
    let keys: Vec<Item> = plan.deletes.into_iter().map(plan::key_item).collect();
    let deleted = write_all(&batches, writes(&keys, Write::delete)?, give_up_after).await.map_err(
        |error| {
            error
                .cause(
                    "the new rows are all written, and some of the earlier seed's are still there",
                )
                .hint("run it again: it removes what is left of the earlier one")
                .exit(Exit::Partial)
        },
    )?;
    Ok(put + deleted)
}

fn writes(
    items: &[Item],
    write: impl Fn(&Attributes<'_>, &KeyNames) -> Result<Write, String>,
) -> Result<Vec<Write>, Error> {
    let keys = KeyNames::messages();
    let of_item = |item| {
        Attributes::from_sdk(item)
            .ok_or_else(|| "an attribute of an unknown type".to_owned())
            .and_then(|item| write(&item, &keys))
            .map_err(|why| Error::new("cannot write a row").cause(why))
    };
    items.iter().map(of_item).collect()
}

fn what_happens(report: &Report, table: &Table, pair: &Pair) -> String {
    format!(
        "{}: this writes {} to the table `{}`, the conversation {} of {} and {}.\n\
         Of what an earlier seed wrote, {} overwritten and {} deleted. {} that people sent stay.",
        table.db().place(),
        count(report.put, "row"),
        report.table,
        report.message_group_uuid,
        printable(&pair.mine.handle),
        printable(&pair.other.handle),
        count(report.overwritten, "row"),
        count(report.deleted, "row"),
        count(report.kept, "message"),
    )
}

fn show(report: &Report, pair: &Pair, args: &Args, ui: &Ui) -> Result<(), Error> {
    if args.output.json() {
        return ui.report(args.target.target, report);
    }
    let group = report.message_group_uuid;
    let who = format!("{} and {}", printable(&pair.mine.handle), printable(&pair.other.handle));
    let messages = count(report.messages, "message");
    let shown = if report.put == 0 && report.deleted == 0 {
        ui.sentence(format_args!("{messages} of {who} already exist; nothing is changed"))
    } else {
        let verb = if report.dry_run { "would seed" } else { "seeded" };
        ui.sentence(format_args!("{verb} {messages} of {who} as conversation {group}"))
    };
    ui.note(format_args!(
        "rows: {} put ({} overwritten), {} deleted, {} unchanged; {} of people kept; {} capacity units",
        report.put,
        report.overwritten,
        report.deleted,
        report.unchanged,
        count(report.kept, "message"),
        units(report.consumed_capacity),
    ));
    if report.dry_run {
        ui.note("nothing is changed (--dry-run)");
    }
    shown
}
