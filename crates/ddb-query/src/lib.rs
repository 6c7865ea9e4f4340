//! `ddb-query`: the items of one partition, by the type that the table gives its key,
//! and what they cost.

mod query;
mod sort;

use std::process::ExitCode;

use aws_sdk_dynamodb::types::TableDescription;
use clap::Parser;
use clap::builder::NonEmptyStringValueParser;
use ops_common::app::partition::partition_key;
use ops_common::app::shown::{ItemsOutput, ItemsWriter};
use ops_common::args::{DynamoArgs, TableArg, UiArgs, take_target};
use ops_common::cli;
use ops_common::dynamodb::item::Attributes;
use ops_common::dynamodb::key::KeyNames;
use ops_common::dynamodb::selection::{Seen, SelectionArgs, items};
use ops_common::dynamodb::table::Table;
use ops_common::dynamodb::typed_key::TypedKey;
use ops_common::env::invocation;
use ops_common::error::Error;
use ops_common::text::{printable, units};
use ops_common::ui::Ui;
use serde_json::json;
use uuid::Uuid;

use query::Query;
use sort::SortArgs;

/// Show the items of one partition, in the order of their sort keys
///
/// PK is the value of the partition key. In the app's table it can also be
/// `inbox:HANDLE`, a person's conversations, or `conversation:UUID`, its
/// messages. What was read, and what a scan would read, is on stderr.
#[derive(Debug, Parser)]
#[command(
    version,
    override_usage = "ddb-query [OPTIONS] [TARGET] <PK>",
    after_help = "Examples:
  ddb-query inbox:jess-bk --reverse --limit 5
  ddb-query prod conversation:UUID --sk '>= 2026-01-31'
  ddb-query conversation:UUID --filter 'user_handle = \"bayko\"' --output jsonl
  ddb-query 4711 --table orders --index by-customer --sk-between 100 199"
)]
struct Args {
    /// Where to act: local (services on this machine) or prod (the real account)
    /// [default: local]
    #[arg(value_name = "TARGET")]
    first: Option<String>,

    /// The partition key's value (required), `inbox:HANDLE` or `conversation:UUID`;
    /// behind `--` where it begins with `-`
    #[arg(value_name = "PK")]
    second: Option<String>,

    #[command(flatten)]
    sort: SortArgs,

    /// Read this index of the table; PK and the sort key are then the index's
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    index: Option<String>,

    /// The last of the order first
    #[arg(long)]
    reverse: bool,

    /// At most this many items
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,

    /// Form of the items on stdout: table, json (an object) or jsonl (one a line)
    #[arg(long, value_enum, default_value_t = ItemsOutput::Table, value_name = "FORMAT", hide_possible_values = true)]
    output: ItemsOutput,

    #[command(flatten)]
    selection: SelectionArgs,
    #[command(flatten)]
    table: TableArg,
    #[command(flatten)]
    dynamo: DynamoArgs,
    #[command(flatten)]
    ui: UiArgs,
}

/// The tool's entry point.
#[must_use]
pub fn main() -> ExitCode {
    cli::main(|args: &Args| &args.ui, run)
}

async fn run(args: Args, ui: &Ui) -> Result<(), Error> {
    let (target, words) = take_target(&[&args.first, &args.second], 1)?;
    let Some(named) = words.first().copied() else {
        return Err(Error::usage("no PK is named").hint(format!(
            "`{}`; `{}` shows keys",
            invocation("ddb-query inbox:jess-bk"),
            invocation("ddb-scan --limit 10")
        )));
    };
    let table = Table::connect(target, &args.dynamo, args.table.name(), ui).await?;
    let live = table.existing().await?;
    let key = match &args.index {
        Some(index) => TypedKey::of_index(&live, index)?,
        None => TypedKey::of(&live)?,
    };
    let pk = partition_key(named, &key, target, ui).await?;
    let condition = args.sort.condition(key.sort.as_ref())?;
    let mut query = Query::new(&table, &key.partition.name, pk, condition, &args.selection);
    query.request =
        query.request.set_index_name(args.index.clone()).scan_index_forward(!args.reverse);

    let keys = Some(KeyNames::of(&live));
    let mut writer = ItemsWriter::object(args.output, &table, keys, ui);
    let mut seen = Seen::new(&args.selection);
    let mut shown = 0;
    let more = loop {
        let allowed = args.limit.map_or(u64::MAX, |limit| u64::from(limit) - shown);
        let Some(mut page) = query.next(allowed).await? else { break false };
        let more = page.len() as u64 > allowed;
        page.truncate(usize::try_from(allowed).unwrap_or(usize::MAX));
        shown += page.len() as u64;
        let page: Vec<_> = page.iter().filter_map(Attributes::from_sdk).collect();
        seen.look(&page);
        writer.write(&page)?;
        if more {
            break true;
        }
    };
    let consumed = query.consumed_capacity;
    writer.finish(Some(&json!({"consumed_capacity": consumed, "more": more})))?;
    let read = match args.selection.filter {
        Some(_) => format!("{shown} of {}", items(query.scanned)),
        None => items(shown),
    };
    let scan = match scan_units(&live, args.index.as_deref()) {
        Some(scan) if scan > consumed => format!("; a scan reads about {}", units(scan)),
        _ => String::new(),
    };
    ui.note(format_args!("{read}; {} read units{scan}", units(consumed)));
    if more {
        ui.note("more exist: the query was cut by --limit");
    }
    if shown > 0 {
        seen.warn(ui);
    } else if query.scanned > 0 {
        args.selection.say_names(query.scanned, ui);
    } else {
        say_nothing_found(named, &key, &args, &table, ui);
    }
    Ok(())
}

/// Read units of a scan of the table or of the index, as large as DynamoDB counted it
/// last: half a unit for each 4 KB. `None` where it has not counted yet.
fn scan_units(live: &TableDescription, index: Option<&str>) -> Option<f64> {
    let global = live.global_secondary_indexes().iter();
    let local = live.local_secondary_indexes().iter();
    let sizes = global
        .map(|index| (index.index_name(), index.index_size_bytes()))
        .chain(local.map(|index| (index.index_name(), index.index_size_bytes())));
    let bytes = match index {
        None => live.table_size_bytes(),
        Some(_) => sizes.into_iter().find(|(name, _)| *name == index)?.1,
    };
    let blocks = bytes.filter(|bytes| *bytes > 0)?.cast_unsigned().div_ceil(4096);
    Some(blocks as f64 / 2.0)
}

fn say_nothing_found(named: &str, key: &TypedKey, args: &Args, table: &Table, ui: &Ui) {
    let argument = table.target().as_argument();
    if let Some(handle) = named.strip_prefix("inbox:") {
        let whose = if handle.parse::<Uuid>().is_ok() {
            String::new()
        } else {
            format!(" --handle {}", printable(handle))
        };
        ui.note(format_args!(
            "if this inbox should not be empty, `{}` says what is broken",
            invocation(&format!("check-identities{argument}{}{whose}", table.as_option()))
        ));
    } else if key.is_the_apps() && !named.contains(['#', ':']) {
        ui.note("the app's partitions are named `inbox:HANDLE` and `conversation:UUID`");
    } else if args.sort.is_given() {
        ui.note("the partition has no such sort key, or is empty");
    }
}
