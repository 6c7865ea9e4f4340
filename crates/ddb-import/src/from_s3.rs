//! `--from`: DynamoDB's own import from S3 into a table that it makes.
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataImport.HowItWorks.html>

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use aws_sdk_dynamodb::types::{
    AttributeDefinition, ImportStatus, ImportTableDescription, InputCompressionType, InputFormat,
    KeySchemaElement, S3BucketSource, TableCreationParameters,
};
use clap::ValueEnum;
use ddb_schema_load::definition::TableDefinition;
use ops_common::args::TargetArg;
use ops_common::aws::replace_body;
use ops_common::consent::{self, Change, Effect, Kind, Permit, Place};
use ops_common::dynamodb::format::ItemFormat;
use ops_common::dynamodb::s3::{JobArn, Location, Look, client_token, wait};
use ops_common::dynamodb::table::Table;
use ops_common::env::invocation;
use ops_common::error::{Error, Exit};
use ops_common::target::Target;
use ops_common::text::{bytes, count};
use ops_common::ui::Ui;
use serde_json::json;

use crate::Args;

/// A clock that is a little ahead does not make an import an earlier one.
const CLOCKS_DIFFER: Duration = Duration::from_secs(60);
/// As often nobody imports the same within eight hours.
const MOST_TOKENS: usize = 50;

/// How the files in S3 are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Compression {
    None,
    Gzip,
    Zstd,
}

/// The options of an import that this machine does, none of which DynamoDB knows.
const OF_THIS_MACHINE: [&str; 7] =
    ["rejects", "checkpoint", "part", "dry_run", "concurrency", "max_wcu", "give_up_after"];

/// DynamoDB's own import.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "DynamoDB's own import from S3, in `prod`")]
pub(crate) struct FromS3Args {
    /// Let DynamoDB make a new table of all that is in this folder, and wait until it
    /// is done; --table names it
    #[arg(long, value_name = "s3://BUCKET/PREFIX", requires = "schema", conflicts_with_all = OF_THIS_MACHINE)]
    from: Option<Location>,

    /// CreateTable request as JSON, as `ddb-schema-load` takes it
    #[arg(long, value_name = "FILE", requires = "from")]
    schema: Option<PathBuf>,

    /// How the files are packed: none, gzip or zstd [default: gzip for the folder
    /// of an export, else none]
    #[arg(long, value_enum, value_name = "KIND", requires = "from", hide_possible_values = true)]
    compression: Option<Compression>,

    /// Start the import only; its ARN is on stdout
    #[arg(long, requires = "from")]
    no_wait: bool,

    /// Wait for an import that was started before
    #[arg(long, value_name = "ARN", conflicts_with_all = ["from", "table"], conflicts_with_all = OF_THIS_MACHINE)]
    resume: Option<JobArn>,
}

impl FromS3Args {
    /// Whether it is DynamoDB that imports.
    pub(crate) fn is_asked_for(&self) -> bool {
        self.from.is_some() || self.resume.is_some()
    }
}

/// Starts the import, or waits for an earlier one.
///
/// # Errors
/// Where it cannot be started, or fails.
pub(crate) async fn run(args: &Args, ui: &Ui) -> Result<ExitCode, Error> {
    let target = target(args)?;
    if target == Target::Local {
        return Err(Error::usage(
            "only DynamoDB at AWS imports from S3; `local` has no such operation",
        )
        .hint(format!(
            "download it with `aws s3 sync`; `{}`, and `{}` writes the same items",
            invocation("ddb-schema-load --schema FILE"),
            invocation("ddb-import FOLDER --table NAME")
        )));
    }
    match (&args.s3.from, &args.s3.schema, &args.s3.resume) {
        (Some(from), Some(schema), _) => {
            let definition = TableDefinition::read(schema)?;
            start(args, &Import::of(args, from, definition)?, target, ui).await
        }
        (_, _, Some(arn)) => resume(args, arn, target, ui).await,
        _ => Err(Error::usage("nothing says what to import")),
    }
}

/// FILE is not named: what stands in its place is the target.
fn target(args: &Args) -> Result<Target, Error> {
    let TargetArg { target } = args.target;
    let Some(word) = &args.file else { return Ok(target) };
    let word = word.to_string_lossy();
    <Target as ValueEnum>::from_str(&word, false).map_err(|_| {
        Error::usage(format!("DynamoDB imports from S3, and `{word}` is a file here"))
            .hint("leave the file out, or --from")
    })
}

/// What is asked of DynamoDB.
struct Import {
    /// its name is that of --table
    definition: TableDefinition,
    /// `TableCreationParameters`
    parameters: serde_json::Value,
    from: Location,
    /// what the keys of all files begin with
    prefix: String,
    format: InputFormat,
    compression: InputCompressionType,
}

impl Import {
    /// # Errors
    /// Where the import cannot be asked for.
    fn of(args: &Args, from: &Location, mut definition: TableDefinition) -> Result<Self, Error> {
        let Some(name) = &args.table.table else {
            return Err(Error::usage("nothing names the table that is made")
                .hint("name a new one with --table"));
        };
        definition.table_name.clone_from(name);
        let format = match args.format {
            None | Some(ItemFormat::DynamodbJson) => InputFormat::DynamodbJson,
            Some(ItemFormat::Csv) => InputFormat::Csv,
            Some(ItemFormat::Jsonl) => {
                return Err(Error::usage("DynamoDB imports dynamodb-json and csv, and no jsonl"));
            }
        };
        let (prefix, is_export) = prefix_of(from);
        let last = from.prefix.rsplit('/').next().unwrap_or_default();
        if last.starts_with("manifest-") || last.ends_with(".json.gz") {
            return Err(Error::usage(format!("`{from}` is a file, and DynamoDB imports folders"))
                .hint("name the folder: that of an export has `AWSDynamoDB/` before it"));
        }
        let is_other = |kind| args.s3.compression.is_some_and(|given| given != kind);
        if is_export && (is_other(Compression::Gzip) || format != InputFormat::DynamodbJson) {
            return Err(Error::usage("an export of DynamoDB is dynamodb-json, packed with gzip")
                .hint("leave --format and --compression out"));
        }
        let compression = match args.s3.compression {
            Some(Compression::Gzip) => InputCompressionType::Gzip,
            Some(Compression::Zstd) => InputCompressionType::Zstd,
            None if is_export => InputCompressionType::Gzip,
            Some(Compression::None) | None => InputCompressionType::None,
        };
        let parameters = definition.to_import_parameters()?;
        Ok(Self { definition, parameters, from: from.clone(), prefix, format, compression })
    }

    /// The request, with a token that is the same for the same request.
    fn body(&self, place: &str, attempt: usize) -> String {
        let mut body = json!({
            "S3BucketSource": {"S3Bucket": self.from.bucket, "S3KeyPrefix": self.prefix},
            "InputFormat": self.format.as_str(),
            "InputCompressionType": self.compression.as_str(),
            "TableCreationParameters": self.parameters,
        });
        let token = client_token(&[place, &body.to_string(), &attempt.to_string()]);
        body["ClientToken"] = token.into();
        body.to_string()
    }
}

/// What the keys begin with, and whether it is the folder of an export, whose items are in
/// `data`. Without the slash at the end, `2026-1` would swallow `2026-10`.
fn prefix_of(from: &Location) -> (String, bool) {
    let parts: Vec<&str> = from.prefix.split('/').collect();
    match parts[..] {
        [""] => (String::new(), false),
        [.., "AWSDynamoDB", id] if id != "data" => (format!("{}/data/", from.prefix), true),
        [.., "AWSDynamoDB", _, "data"] => (format!("{}/", from.prefix), true),
        _ => (format!("{}/", from.prefix), false),
    }
}

async fn resume(args: &Args, arn: &JobArn, target: Target, ui: &Ui) -> Result<ExitCode, Error> {
    if arn.kind != "import" {
        return Err(Error::usage(format!("`{arn}` is an export"))
            .hint(format!("`{}`", invocation(&format!("ddb-export prod --resume {arn}")))));
    }
    let table = Table::connect(target, &args.dynamo, arn.table.clone(), ui).await?;
    arn.refuse_elsewhere(table.db())?;
    let ended = wait_for(&table, &arn.text, ui).await?;
    Report::of(&table, ended).await.show(args, ui)
}

async fn start(args: &Args, import: &Import, target: Target, ui: &Ui) -> Result<ExitCode, Error> {
    let name = &import.definition.table_name;
    let change = Change { target, kind: Kind::Table, name, what: "", effect: Effect::Adds };
    consent::check(&change, change.effect, &args.consent)?;
    let table = Table::connect(target, &args.dynamo, name.clone(), ui).await?;
    refuse_existing(&table).await?;
    let caller = table.caller(ui).await?;
    let what = format!(
        "{}: this makes the table `{table}` ({}{}; {}) of all that begins with s3://{}/{} ({}, {}).\n\
         It costs by the size of the unpacked items, which nobody knows before: about 0.15 USD a GB.",
        table.db().place(),
        import.definition.keys(),
        import.definition.indexes(),
        import.definition.billing(),
        import.from.bucket,
        import.prefix,
        import.format.as_str(),
        import.compression.as_str(),
    );
    let change = Change { what: &what, ..change };
    let permit = consent::ask(&change, Place::of(target, caller), &args.consent, ui).await?;
    refuse_existing(&table).await?;

    let begun = begin(&table, &permit, import).await?;
    let Some(arn) = begun.import_arn() else {
        return Err(table.db().unlikely("start an import", &"the answer has no ImportArn"));
    };
    // On stdout before the wait, so that a script has it whatever comes.
    if args.output.json() {
        ui.note(format_args!("started {arn}"));
    } else {
        ui.line(arn)?;
    }
    if args.s3.no_wait {
        ui.note(format_args!("the import {GOES_ON}; `{}` waits for it", resumed(arn)));
        return if args.output.json() {
            ui.report(args.target.target, &json!({"import_arn": arn}))
        } else {
            Ok(())
        }
        .map(|()| ExitCode::SUCCESS);
    }
    let ended = wait_for(&table, arn, ui).await?;
    Report::of(&table, ended).await.show(args, ui)
}

const GOES_ON: &str = "goes on in DynamoDB";

fn resumed(arn: &str) -> String {
    invocation(&format!("ddb-import prod --resume {arn}"))
}

async fn refuse_existing(table: &Table) -> Result<(), Error> {
    let Some(live) = table.describe().await? else { return Ok(()) };
    let arn = live.table_arn().unwrap_or_default();
    Err(Error::new(format!("there is a table `{table}` already"))
        .cause("DynamoDB imports from S3 into new tables only")
        .hint("name another one with --table; a downloaded export goes into one that is there: `ddb-import FOLDER`")
        .hint(format!(
            "if an import is making it: `aws dynamodb list-imports --table-arn {arn}{}` shows its ARN, for --resume",
            table.db().aws_cli_options()
        )))
}

/// Starts it. Repeated within eight hours, DynamoDB takes it for the same; one that is over
/// already made a table that is gone, so that another one is asked for.
///
/// # Errors
/// Where the permit is for something else, or DynamoDB refuses.
async fn begin(
    table: &Table,
    permit: &Permit,
    import: &Import,
) -> Result<ImportTableDescription, Error> {
    table.check(permit)?;
    let asked = SystemTime::now();
    for attempt in 0..MOST_TOKENS {
        let body = import.body(&table.db().place(), attempt);
        let request = table
            .db()
            .client()
            .import_table()
            .s3_bucket_source(bucket(&import.from))
            .input_format(import.format.clone())
            .table_creation_parameters(parameters(table.name()))
            .customize()
            // As a table is created: the definition is a part of the body already.
            .mutate_request(move |request| replace_body(request, body.as_bytes().to_vec()));
        let begun = match request.send().await {
            Ok(answer) => answer.import_table_description.ok_or_else(|| {
                table.db().unlikely("start an import", &"the answer has no ImportTableDescription")
            })?,
            Err(error) => {
                let told = table.db().error(&format!("import into the table `{table}`"), &error);
                let service = error.as_service_error();
                return Err(match service {
                    Some(e) if e.is_resource_in_use_exception() => {
                        told.hint("somebody made it meanwhile: run it again")
                    }
                    Some(e) if e.is_limit_exceeded_exception() => told.hint(
                        "so many imports run, or tables are made, at once: wait for one of them",
                    ),
                    _ => told,
                });
            }
        };
        let started = begun.start_time().and_then(|time| SystemTime::try_from(*time).ok());
        let is_earlier = started.is_some_and(|started| started + CLOCKS_DIFFER < asked);
        if !(is_earlier && is_over(&begun)) {
            return Ok(begun);
        }
    }
    Err(Error::new("the same import was started very often in the last eight hours")
        .hint("wait, or give the table another name"))
}

/// What the SDK wants to see of a request whose body is another.
fn bucket(from: &Location) -> S3BucketSource {
    S3BucketSource::builder().s3_bucket(&from.bucket).build().expect("it has a name")
}

fn parameters(table: &str) -> TableCreationParameters {
    TableCreationParameters::builder()
        .table_name(table)
        .set_attribute_definitions(Some(Vec::<AttributeDefinition>::new()))
        .set_key_schema(Some(Vec::<KeySchemaElement>::new()))
        .build()
        .expect("all that is required")
}

fn is_over(import: &ImportTableDescription) -> bool {
    matches!(
        import.import_status(),
        Some(ImportStatus::Completed | ImportStatus::Failed | ImportStatus::Cancelled)
    )
}

async fn wait_for(table: &Table, arn: &str, ui: &Ui) -> Result<ImportTableDescription, Error> {
    let look = async || {
        let answer = table.db().client().describe_import().import_arn(arn).send().await;
        let import = match answer {
            Ok(answer) => answer.import_table_description,
            Err(error) => {
                let told = table.db().error("ask how the import is", &error);
                let not_here =
                    error.as_service_error().is_some_and(|e| e.is_import_not_found_exception());
                let told = if not_here {
                    told.hint("an import is of one account and one region: look at both")
                } else {
                    told
                };
                return Look::failed(&error, told);
            }
        };
        let Some(import) = import else {
            return Err(table
                .db()
                .unlikely("ask how the import is", &"the answer has no ImportTableDescription"));
        };
        if is_over(&import) {
            return Ok(Look::Ended(import));
        }
        // Its counters stay at 0 until it is over.
        match import.import_status() {
            Some(status @ (ImportStatus::InProgress | ImportStatus::Cancelling)) => {
                Ok(Look::GoesOn(status.as_str().to_owned()))
            }
            status => Err(table.db().unlikely(
                "ask how the import is",
                &format!("its status is {}", status.map_or("missing", ImportStatus::as_str)),
            )),
        }
    };
    wait("importing", ui, look).await.map_err(|error| match error.exit_kind() {
        Exit::Interrupted => error
            .cause(format!("the import {GOES_ON}"))
            .hint(format!("`{}` waits for it", resumed(arn))),
        _ => error,
    })
}

/// An import that is over.
struct Report {
    table: String,
    import: ImportTableDescription,
    /// items of the export that it came from, where that is known
    exported: Option<u64>,
}

impl Report {
    async fn of(table: &Table, import: ImportTableDescription) -> Self {
        let prefix = import.s3_bucket_source().and_then(S3BucketSource::s3_key_prefix);
        let exported = items_exported(table, prefix.unwrap_or_default()).await;
        Self { table: table.name().to_owned(), import, exported }
    }

    /// Says what came of it.
    ///
    /// # Errors
    /// Where not every item is in the table.
    fn show(&self, args: &Args, ui: &Ui) -> Result<ExitCode, Error> {
        let import = &self.import;
        let number = |number: i64| u64::try_from(number).unwrap_or_default();
        let (read, written, bad) = (
            number(import.processed_item_count()),
            number(import.imported_item_count()),
            number(import.error_count()),
        );
        ui.note(format_args!(
            "{} read: {written} written, {bad} rejected; {} unpacked",
            count(read, "item"),
            bytes(import.processed_size_bytes().unwrap_or_default()),
        ));
        let shown = if args.output.json() {
            ui.report(
                args.target.target,
                &json!({
                    "import_arn": import.import_arn(),
                    "status": import.import_status().map(ImportStatus::as_str),
                    "read": read,
                    "written": written,
                    "rejected": bad,
                    "exported": self.exported,
                }),
            )
        } else {
            Ok(())
        };
        let told = |error: Error| {
            let exit = if written > 0 { Exit::Partial } else { Exit::Failed };
            let log = import
                .cloud_watch_log_group_arn()
                .map(|arn| format!("each error is in the CloudWatch log group {arn}"));
            let error = log.into_iter().fold(error.exit(exit), Error::hint);
            error.hint(format!(
                "the table stays as it is, where it was made; `{}` deletes it",
                invocation(&format!("ddb-drop {} prod", self.table))
            ))
        };
        if import.import_status() != Some(&ImportStatus::Completed) {
            let status = import.import_status().map_or("no status", ImportStatus::as_str);
            return Err(told(import.failure_message().into_iter().fold(
                Error::new(match import.failure_code() {
                    Some(code) => format!("the import is {status}: {code}"),
                    None => format!("the import is {status}"),
                }),
                Error::cause,
            )));
        }
        if bad > 0 {
            return Err(told(Error::new(format!("{} not written", of_items(bad)))));
        }
        if written == 0 {
            let source = import.s3_bucket_source();
            return Err(told(Error::new("no item was imported").cause(format!(
                "no key in the bucket begins with `{}`, or the files have no items",
                source.and_then(S3BucketSource::s3_key_prefix).unwrap_or_default()
            ))));
        }
        if written < read {
            ui.warn(format_args!(
                "{} had the key of another: the last one written is there",
                of_items(read - written)
            ));
        }
        if let Some(exported) = self.exported.filter(|exported| *exported != read) {
            return Err(told(Error::new(format!(
                "{read} items were read, and the export has {exported}"
            )))
            .exit(Exit::Partial));
        }
        shown.map(|()| ExitCode::SUCCESS)
    }
}

fn of_items(number: u64) -> String {
    count(number, "item")
}

/// The items of the export whose folder this is, where this account made it in the last
/// ninety days.
async fn items_exported(table: &Table, prefix: &str) -> Option<u64> {
    let folder = prefix.strip_suffix("/data/")?;
    let id = folder.rsplit_once("AWSDynamoDB/")?.1;
    let client = table.db().client();
    let mut exports = client.list_exports().into_paginator().send();
    while let Some(page) = exports.next().await {
        for export in page.ok()?.export_summaries() {
            let arn = export.export_arn().unwrap_or_default();
            if arn.rsplit('/').next() == Some(id) {
                let export = client.describe_export().export_arn(arn).send().await.ok()?;
                let items = export.export_description()?.item_count()?;
                return u64::try_from(items).ok();
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_with_a_slash() {
        for (from, prefix, is_export) in [
            ("s3://backups", "", false),
            ("s3://backups/2026-1", "2026-1/", false),
            ("s3://backups/a/AWSDynamoDB/0169-2d", "a/AWSDynamoDB/0169-2d/data/", true),
            ("s3://backups/AWSDynamoDB/0169-2d/data/", "AWSDynamoDB/0169-2d/data/", true),
            ("s3://backups/AWSDynamoDB/data", "AWSDynamoDB/data/", false),
        ] {
            let from = from.parse().expect("a location");
            assert_eq!(prefix_of(&from), (prefix.to_owned(), is_export));
        }
    }
}
