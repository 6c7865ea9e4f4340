//! `ddb-delete-conversation`: deletes the messages of a conversation, its rows in two
//! inboxes, and the row by which the two have one conversation.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use ops_common::app::conversations::{
    Period, Repair, partition, plan_removal, repair, rows_of_group,
};
use ops_common::app::keys::{ConversationKey, InboxKey, PK, SK};
use ops_common::app::records::{Item, text};
use ops_common::args::{
    ConfirmArgs, DynamoArgs, OutputArgs, TableArg, UiArgs, seconds, take_target, units_a_second,
};
use ops_common::cli;
use ops_common::consent::{self, Change, Effect, Kind, Place};
use ops_common::dynamodb::capacity::{Units, limit};
use ops_common::dynamodb::scan::Segments;
use ops_common::dynamodb::selection::SelectionArgs;
use ops_common::dynamodb::statements::{Statement, Statements};
use ops_common::dynamodb::table::Table;
use ops_common::env::invocation;
use ops_common::error::{Error, Exit};
use ops_common::target::Target;
use ops_common::text::{count, printable, quoted, units};
use ops_common::ui::Ui;
use serde::Serialize;
use uuid::Uuid;

/// As many messages are read at once.
const MOST: usize = 2_000;

/// As many items as a request of a scan asks for.
const PAGE: u32 = 2_000;

/// As often its rows are taken out that somebody moves meanwhile.
const ATTEMPTS: usize = 20;

/// As often the conversation is looked at until nothing is left of it.
const LOOKS: usize = 10_000;

/// Delete a conversation with its rows in two inboxes
///
/// The two people's rows and the row of the pair go first, in one transaction: then
/// nobody can write into it any more. Its messages follow. Killed or failed, the same
/// command goes on.
#[derive(Debug, Parser)]
#[command(
    version,
    override_usage = "ddb-delete-conversation [OPTIONS] [TARGET] <GROUP>",
    after_help = "Examples:
  ddb-delete-conversation UUID --dry-run
  ddb-delete-conversation prod UUID --confirm UUID"
)]
struct Args {
    /// Where to act: local (services on this machine) or prod (the real account)
    /// [default: local]
    #[arg(value_name = "TARGET")]
    first: Option<String>,

    /// The conversation's uuid (required; `ddb-list-conversations` shows it)
    #[arg(value_name = "GROUP")]
    second: Option<String>,

    /// Show what would go, and change nothing
    #[arg(long)]
    dry_run: bool,

    /// Write units a second, at most [default: in `prod` half of what the table
    /// has; else no limit]
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
    message_group_uuid: Uuid,
    /// whether it is done, or would be
    deleted: bool,
    messages: usize,
    /// rows of inboxes and of the pair
    rows: usize,
    people: &'a BTreeSet<Uuid>,
}

async fn run(args: Args, ui: &Ui) -> Result<(), Error> {
    let (target, words) = take_target(&[&args.first, &args.second], 1)?;
    let Some(named) = words.first().copied() else {
        return Err(Error::usage("no GROUP is named").hint(format!(
            "`{}` shows the conversations of a person",
            invocation("ddb-list-conversations --handle HANDLE")
        )));
    };
    let group: Uuid = named.parse().map_err(|error| {
        Error::usage(format!("`{}` is not a conversation's uuid", printable(named)))
            .cause(error)
            .hint(format!(
                "`{}` shows the conversations of a person",
                invocation("ddb-list-conversations --handle HANDLE")
            ))
    })?;
    let name = group.to_string();
    let effect = if args.dry_run { Effect::Nothing } else { Effect::Destroys };
    let change = Change { target, kind: Kind::Conversation, name: &name, what: "", effect };
    consent::check(&change, effect, &args.consent)?;
    let table = Table::connect(target, &args.dynamo, args.table.name(), ui).await?;
    let live = table.existing().await?;

    let conversation = Conversation::read(&table, group).await?;
    let people: Vec<Uuid> = conversation.people.iter().copied().collect();
    let plan = plan_removal(&table, group, &people).await?;
    let rows = plan.as_ref().map_or(0, |plan| plan.what.len());
    if conversation.messages == 0 && rows == 0 {
        return Err(Error::new(format!("there is no conversation {group}")).hint(format!(
            "`{}` shows those of a person",
            invocation(&format!("ddb-list-conversations{} --handle HANDLE", target.as_argument()))
        )));
    }
    let what = format!(
        "{}: this deletes the conversation {group} in the table `{table}`: {}, and {} of inboxes and of the pair{}.\nIt cannot be undone.",
        table.db().place(),
        count(conversation.messages, "message"),
        count(rows, "row"),
        if conversation.handles.is_empty() {
            String::new()
        } else {
            format!(" (of {})", quoted(&conversation.handles))
        }
    );
    if args.dry_run {
        ui.note(&what);
    } else {
        let caller = table.caller(ui).await?;
        let asked = Change { what: &what, ..change };
        let place = Place::of(target, caller);
        let [permit] =
            consent::ask_for_all(&asked, [(Kind::Table, table.name())], place, &args.consent, ui)
                .await?;
        if target == Target::Prod {
            // The question may have waited for long.
            table.refuse_another(&live).await?;
        } else {
            ui.note(&what);
        }
        let max_wcu = limit(args.max_wcu, target, &live, Units::Write, ui);
        let give_up_after = Duration::from_secs(args.give_up_after);
        let statements = table.statements(&permit, max_wcu, give_up_after)?;
        let delete = async {
            if let Some(plan) = plan {
                remove(&table, &permit, group, &people, plan).await?;
            }
            delete_messages(&table, group, &statements, ui).await
        };
        let consumed =
            cli::until_ctrl_c(delete, "run the same command again: it deletes the rest").await?;
        ui.note(format_args!("{} write units", units(consumed)));
    }
    if args.output.json() {
        let report = Report {
            table: table.name(),
            message_group_uuid: group,
            deleted: !args.dry_run,
            messages: conversation.messages,
            rows,
            people: &conversation.people,
        };
        return ui.report(target, &report);
    }
    if args.dry_run { Ok(()) } else { ui.sentence(format_args!("{group} is deleted")) }
}

/// What there is of it.
struct Conversation {
    messages: usize,
    people: BTreeSet<Uuid>,
    handles: BTreeSet<String>,
}

impl Conversation {
    async fn read(table: &Table, group: Uuid) -> Result<Self, Error> {
        let pk = ConversationKey(group).to_string();
        let messages = partition(table, &pk, Period::default(), None).await?.rows;
        let mut found =
            Self { messages: messages.len(), people: BTreeSet::new(), handles: BTreeSet::new() };
        for message in &messages {
            found.add(message);
        }
        let mut asked = BTreeSet::new();
        // Who wrote has a row that names the other.
        while let Some(owner) = found.people.difference(&asked).next().copied() {
            asked.insert(owner);
            for row in rows_of_group(table, owner, group).await?.rows {
                found.add(&row);
            }
        }
        if found.people.is_empty() {
            found.search(table, group).await?;
        }
        Ok(found)
    }

    fn add(&mut self, row: &Item) {
        if let Some(user) = text(row, "user_uuid").and_then(|user| user.parse().ok()) {
            self.people.insert(user);
            self.handles.extend(text(row, "user_handle").map(str::to_owned));
        }
        if let Some(owner) = text(row, PK).and_then(|pk| pk.parse::<InboxKey>().ok()) {
            self.people.insert(owner.0);
        }
    }

    /// Without messages only a scan finds the inboxes that list it.
    async fn search(&mut self, table: &Table, group: Uuid) -> Result<(), Error> {
        let filter = format!("message_group_uuid = \"{group}\"");
        let filter = filter.parse().map_err(Error::new)?;
        let selection = SelectionArgs { filter: Some(filter), ..SelectionArgs::default() };
        let mut segments = Segments::all(table.scan().filter(&selection), 1, PAGE);
        while let Some(page) = segments.next().await? {
            for item in page.items()? {
                self.add(&item.to_sdk());
            }
        }
        Ok(())
    }
}

/// Takes it out of the inboxes. Somebody who writes moves the rows: then they are planned
/// with again.
async fn remove(
    table: &Table,
    permit: &consent::Permit,
    group: Uuid,
    people: &[Uuid],
    plan: Repair,
) -> Result<(), Error> {
    let mut plan = Some(plan);
    for _ in 0..ATTEMPTS {
        let Some(planned) = plan else { return Ok(()) };
        if repair(table, permit, planned).await? {
            return Ok(());
        }
        plan = plan_removal(table, group, people).await?;
    }
    Err(Error::new("somebody writes into the conversation again and again; nothing is deleted")
        .hint("run it again when nobody does"))
}

async fn delete_messages(
    table: &Table,
    group: Uuid,
    statements: &Statements,
    ui: &Ui,
) -> Result<f64, Error> {
    let pk = ConversationKey(group).to_string();
    let mut consumed = 0.0;
    let mut deleted = 0;
    let mut progress = ui.progress("deleting");
    for _ in 0..LOOKS {
        let found = partition(table, &pk, Period::default(), Some(MOST)).await?;
        if found.rows.is_empty() {
            return Ok(consumed);
        }
        let statement = |row: &Item| Statement {
            text: format!(r#"DELETE FROM "{table}" WHERE "{PK}" = ? AND "{SK}" = ?"#),
            parameters: [PK, SK].iter().filter_map(|name| row.get(*name).cloned()).collect(),
        };
        let batch: Vec<_> = found.rows.iter().map(statement).collect();
        consumed += statements.write(&batch).await?.consumed_capacity;
        deleted += batch.len();
        progress.say(format_args!("deleting: {}", count(deleted, "message")));
    }
    Err(Error::new("the conversation still has messages")
        .hint("run it again: what is deleted stays so")
        .exit(Exit::Partial))
}
