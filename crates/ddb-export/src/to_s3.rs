//! `--to`: DynamoDB's own export of a table to S3. It is read from the backups of
//! point-in-time recovery, and takes nothing of the table's capacity.
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.HowItWorks.html>

use std::ops::RangeInclusive;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use aws_sdk_dynamodb::primitives::{DateTime, DateTimeFormat};
use aws_sdk_dynamodb::types::{
    ExportDescription, ExportFormat, ExportStatus, ExportType, ExportViewType,
    IncrementalExportSpecification, PointInTimeRecoveryStatus, S3SseAlgorithm, TableDescription,
};
use ops_common::app::keys::SortTime;
use ops_common::app::times::parse_start;
use ops_common::consent::{self, Change, Effect, Kind, Permit, Place};
use ops_common::dynamodb::s3::{JobArn, Location, Look, client_token, wait};
use ops_common::dynamodb::table::{Table, size};
use ops_common::env::{self, invocation};
use ops_common::error::{Error, Exit};
use ops_common::target::Target;
use ops_common::text::{bytes, count};
use ops_common::ui::Ui;

use crate::Args;

/// In us-east-1; regions differ.
const USD_PER_GB: f64 = 0.10;
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport_Requesting.html>
const WINDOW: RangeInclusive<Duration> =
    Duration::from_secs(15 * 60)..=Duration::from_secs(24 * 3600);
/// A clock that is a little ahead does not make an export an earlier one.
const CLOCKS_DIFFER: Duration = Duration::from_secs(60);

/// The options of an export that this machine writes, none of which DynamoDB knows.
const OF_THIS_MACHINE: [&str; 15] = [
    "out",
    "format",
    "count",
    "for_spreadsheet",
    "pseudonymize",
    "segments",
    "segment",
    "checkpoint",
    "consistent",
    "max_rcu",
    "give_up_after",
    "filter",
    "select",
    "names",
    "values",
];

/// DynamoDB's own export.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "DynamoDB's own export to S3, in `prod`")]
pub(crate) struct S3Args {
    /// Let DynamoDB write the table there, and wait until it is done; takes
    /// point-in-time recovery, and none of the table's capacity
    #[arg(long, value_name = "s3://BUCKET/PREFIX", conflicts_with_all = OF_THIS_MACHINE)]
    pub(crate) to: Option<Location>,

    /// Only what changed since then, to be applied to a copy from then by
    /// `ddb-import`: 15 minutes to 24 hours up to --at
    #[arg(long, value_name = "TIME", value_parser = parse_start, requires = "to")]
    since: Option<SortTime>,

    /// The table as it was then, at most 35 days ago [default: now]
    #[arg(long, value_name = "TIME", value_parser = parse_start, requires = "to")]
    at: Option<SortTime>,

    /// Account that owns the bucket, where it is another one
    #[arg(long, value_name = "ID", requires = "to")]
    bucket_owner: Option<String>,

    /// KMS key that the files are encrypted with [default: one of S3]
    #[arg(long, value_name = "ARN", requires = "to")]
    kms_key: Option<String>,

    /// Start the export only; its ARN is on stdout
    #[arg(long, requires = "to")]
    no_wait: bool,

    /// Wait for an export that was started before
    #[arg(long, value_name = "ARN", conflicts_with_all = ["to", "table"], conflicts_with_all = OF_THIS_MACHINE)]
    pub(crate) resume: Option<JobArn>,
}

impl S3Args {
    /// Whether it is DynamoDB that exports.
    pub(crate) fn is_asked_for(&self) -> bool {
        self.to.is_some() || self.resume.is_some()
    }
}

/// Starts the export, or waits for an earlier one.
///
/// # Errors
/// Where it cannot be started, or fails.
pub(crate) async fn run(args: &Args, ui: &Ui) -> Result<ExitCode, Error> {
    if args.target.target == Target::Local {
        return Err(Error::usage(
            "only DynamoDB at AWS exports to S3; `local` has no such operation",
        )
        .hint(format!(
            "`{}` writes the same items to a file",
            invocation("ddb-export --out FILE")
        )));
    }
    match (&args.s3.to, &args.s3.resume) {
        (Some(to), _) => start(args, to, ui).await,
        (None, Some(arn)) => resume(args, arn, ui).await,
        (None, None) => Err(Error::usage("nothing says where to")),
    }
}

async fn resume(args: &Args, arn: &JobArn, ui: &Ui) -> Result<ExitCode, Error> {
    if arn.kind != "export" {
        return Err(Error::usage(format!("`{arn}` is an import"))
            .hint(format!("`{}`", invocation(&format!("ddb-import prod --resume {arn}")))));
    }
    let table = Table::connect(args.target.target, &args.dynamo, arn.table.clone(), ui).await?;
    arn.refuse_elsewhere(table.db())?;
    let ended = wait_for(&table, &arn.text, ui).await?;
    show(&ended, ui)
}

async fn start(args: &Args, to: &Location, ui: &Ui) -> Result<ExitCode, Error> {
    let rate = usd_per_gb()?;
    let target = args.target.target;
    let name = args.table.name();
    let change = Change { target, kind: Kind::Table, name: &name, what: "", effect: Effect::Adds };
    consent::check(&change, change.effect, &args.consent)?;
    let table = Table::connect(target, &args.dynamo, &name, ui).await?;
    let live = table.existing().await?;
    refuse_unrecoverable(&table, args.s3.since, args.s3.at).await?;
    let caller = table.caller(ui).await?;
    let at = args.s3.at.map(|at| at.to_string());
    let (of_what, when, price) = match args.s3.since {
        None => (
            "the table",
            at.map_or(String::new(), |at| format!(" as it was at {at}")),
            price(&live, rate),
        ),
        Some(since) => (
            "the changes of the table",
            format!(" from {since} to {}", at.as_deref().unwrap_or("now")),
            price_of_changes(rate),
        ),
    };
    let what = format!(
        "{}: this exports {of_what} `{table}` to {to}{when}.\n\
         The table has {}, which can be hours old.\n{price}",
        table.db().place(),
        size(&live),
    );
    let change = Change { what: &what, ..change };
    let permit = consent::ask(&change, Place::of(target, caller), &args.consent, ui).await?;
    let live = table.refuse_another(&live).await?;

    let asked = SystemTime::now();
    let export = begin(&table, &permit, &live, args, to).await?;
    let Some(arn) = export.export_arn() else {
        return Err(table.db().unlikely("start an export", &"the answer has no ExportArn"));
    };
    // On stdout before the wait, so that a script has it whatever comes.
    ui.line(arn)?;
    let started = export.start_time().and_then(|time| SystemTime::try_from(*time).ok());
    if started.is_some_and(|started| started + CLOCKS_DIFFER < asked) {
        ui.note(format_args!(
            "the same export was started at {} already: this is that one",
            time(export.start_time())
        ));
    }
    if args.s3.no_wait {
        ui.note(format_args!(
            "the export goes on in DynamoDB; `{}` waits for it",
            invocation(&format!("ddb-export prod --resume {arn}"))
        ));
        return Ok(ExitCode::SUCCESS);
    }
    let ended = wait_for(&table, arn, ui).await?;
    show(&ended, ui)
}

/// Starts it. Repeated within eight hours, DynamoDB takes it for the same.
///
/// # Errors
/// Where the permit is for something else, or DynamoDB refuses.
async fn begin(
    table: &Table,
    permit: &Permit,
    live: &TableDescription,
    args: &Args,
    to: &Location,
) -> Result<ExportDescription, Error> {
    table.check(permit)?;
    let arn = live.table_arn().unwrap_or_default();
    let time = |time: Option<SortTime>| time.map(|time| time.to_string()).unwrap_or_default();
    let (since, at) = (time(args.s3.since), time(args.s3.at));
    let text = |option: &Option<String>| option.clone().unwrap_or_default();
    let place = to.to_string();
    let (owner, key) = (text(&args.s3.bucket_owner), text(&args.s3.kms_key));
    let token = client_token(&[
        arn,
        live.table_id().unwrap_or_default(),
        &place,
        &since,
        &at,
        &owner,
        &key,
    ]);
    let mut request = table
        .db()
        .client()
        .export_table_to_point_in_time()
        .table_arn(arn)
        .client_token(token)
        .s3_bucket(&to.bucket)
        .export_format(ExportFormat::DynamodbJson)
        .set_s3_bucket_owner(args.s3.bucket_owner.clone())
        .set_s3_prefix((!to.prefix.is_empty()).then(|| to.prefix.clone()));
    let at = args.s3.at.map(|at| SystemTime::from(at.time()).into());
    request = match args.s3.since {
        None => request.set_export_time(at),
        Some(since) => {
            request.export_type(ExportType::IncrementalExport).incremental_export_specification(
                IncrementalExportSpecification::builder()
                    .export_from_time(SystemTime::from(since.time()).into())
                    .set_export_to_time(at)
                    .export_view_type(ExportViewType::NewImage)
                    .build(),
            )
        }
    };
    if let Some(key) = &args.s3.kms_key {
        request = request.s3_sse_algorithm(S3SseAlgorithm::Kms).s3_sse_kms_key_id(key);
    }
    match request.send().await {
        Ok(answer) => answer.export_description.ok_or_else(|| {
            table.db().unlikely("start an export", &"the answer has no ExportDescription")
        }),
        Err(error) => {
            let told = table.db().error(&format!("export the table `{table}`"), &error);
            let service = error.as_service_error();
            if service.is_some_and(|e| e.is_point_in_time_recovery_unavailable_exception()) {
                return Err(told.hint(turn_on(table)));
            }
            if service.is_some_and(|e| e.is_export_conflict_exception()) {
                return Err(told.hint(format!(
                    "another export goes there, or asked for the same otherwise: `aws dynamodb list-exports --table-arn {arn}{}`",
                    table.db().aws_cli_options()
                )));
            }
            if service.is_some_and(|e| e.is_limit_exceeded_exception()) {
                return Err(told.hint("so many exports run at once: wait for one of them"));
            }
            Err(told)
        }
    }
}

/// # Errors
/// Where there is nothing to export from, or not as of then.
async fn refuse_unrecoverable(
    table: &Table,
    since: Option<SortTime>,
    at: Option<SortTime>,
) -> Result<(), Error> {
    let asked = table.db().client().describe_continuous_backups().table_name(table.name());
    let answer = match asked.send().await {
        Ok(answer) => answer,
        Err(error) => return Err(table.error("ask for the backups of", &error).await),
    };
    let recovery = answer
        .continuous_backups_description
        .and_then(|backups| backups.point_in_time_recovery_description)
        .filter(|recovery| {
            recovery.point_in_time_recovery_status() == Some(&PointInTimeRecoveryStatus::Enabled)
        });
    let Some(recovery) = recovery else {
        return Err(Error::new(format!("point-in-time recovery of the table `{table}` is off"))
            .cause("DynamoDB exports from its backups, and there are none")
            .hint(turn_on(table)));
    };
    let system = |time: Option<&DateTime>| time.and_then(|time| SystemTime::try_from(*time).ok());
    let (first, last) =
        (recovery.earliest_restorable_date_time(), recovery.latest_restorable_date_time());
    for wanted in [since, at].into_iter().flatten() {
        let time_wanted = SystemTime::from(wanted.time());
        let too_early = system(first).is_some_and(|first| time_wanted < first);
        let too_late =
            system(last).is_some_and(|last| time_wanted > last) || time_wanted > SystemTime::now();
        if too_early || too_late {
            return Err(Error::new(format!(
                "the table `{table}` cannot be exported as it was at {wanted}"
            ))
            .cause(format!("its backups are of {} to {}", time(first), time(last)))
            .hint("name a time between these, or leave --at out for now"));
        }
    }
    let Some(since) = since else { return Ok(()) };
    let until = at.map(|at| SystemTime::from(at.time())).or(system(last));
    let window = until.and_then(|until| until.duration_since(since.time().into()).ok());
    if until.is_some() && window.is_none_or(|window| !WINDOW.contains(&window)) {
        return Err(Error::new("DynamoDB exports the changes of 15 minutes to 24 hours at once")
            .hint("move --since or --at; days follow each other as one export each"));
    }
    Ok(())
}

fn turn_on(table: &Table) -> String {
    format!(
        "turn it on, which costs by the table's size: `aws dynamodb update-continuous-backups --table-name {table} \
         --point-in-time-recovery-specification PointInTimeRecoveryEnabled=true{}`",
        table.db().aws_cli_options()
    )
}

/// # Errors
/// Where the variable holds something else than a price.
fn usd_per_gb() -> Result<Option<f64>, Error> {
    let Some(text) = env::var(env::OPS_EXPORT_USD_PER_GB) else { return Ok(None) };
    match text.parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate >= 0.0 => Ok(Some(rate)),
        _ => Err(Error::usage(format!("{} is `{text}`", env::OPS_EXPORT_USD_PER_GB))
            .hint("set it to the US dollars for a GB, like 0.10, or unset it")),
    }
}

fn price(live: &TableDescription, rate: Option<f64>) -> String {
    let gigabytes = live.table_size_bytes().unwrap_or_default() as f64 / f64::from(1 << 30);
    let usd = |rate: f64| format!("{:.2}", (gigabytes * rate).max(0.01));
    match rate {
        Some(rate) => format!(
            "It costs about {} USD, at {rate} USD a GB by {}.",
            usd(rate),
            env::OPS_EXPORT_USD_PER_GB
        ),
        None => format!(
            "It costs about {} USD: {USD_PER_GB:.2} USD a GB is assumed, which differs by region and changes; \
             {} sets another.",
            usd(USD_PER_GB),
            env::OPS_EXPORT_USD_PER_GB
        ),
    }
}

fn price_of_changes(rate: Option<f64>) -> String {
    let rate = rate.unwrap_or(USD_PER_GB);
    format!(
        "It costs by the size of the changes, about {rate:.2} USD a GB ({}).",
        env::OPS_EXPORT_USD_PER_GB
    )
}

/// Waits until it is over.
async fn wait_for(table: &Table, arn: &str, ui: &Ui) -> Result<ExportDescription, Error> {
    let look = async || {
        let answer = table.db().client().describe_export().export_arn(arn).send().await;
        let export = match answer {
            Ok(answer) => answer.export_description,
            Err(error) => {
                let told = table.db().error("ask how the export is", &error);
                let not_here =
                    error.as_service_error().is_some_and(|e| e.is_export_not_found_exception());
                let told = if not_here {
                    told.hint("an export is of one account and one region: look at both")
                } else {
                    told
                };
                return Look::failed(&error, told);
            }
        };
        let Some(export) = export else {
            return Err(table
                .db()
                .unlikely("ask how the export is", &"the answer has no ExportDescription"));
        };
        match export.export_status() {
            Some(ExportStatus::Completed | ExportStatus::Failed) => Ok(Look::Ended(export)),
            Some(status @ ExportStatus::InProgress) => Ok(Look::GoesOn(status.as_str().to_owned())),
            status => Err(table.db().unlikely(
                "ask how the export is",
                &format!("its status is {}", status.map_or("missing", ExportStatus::as_str)),
            )),
        }
    };
    wait("exporting", ui, look).await.map_err(|error| match error.exit_kind() {
        Exit::Interrupted => error.cause("the export goes on in DynamoDB").hint(format!(
            "`{}` waits for it",
            invocation(&format!("ddb-export prod --resume {arn}"))
        )),
        _ => error,
    })
}

/// Says what came of it.
///
/// # Errors
/// Where it failed.
fn show(export: &ExportDescription, ui: &Ui) -> Result<ExitCode, Error> {
    let location = Location {
        bucket: export.s3_bucket().unwrap_or_default().to_owned(),
        prefix: export.s3_prefix().unwrap_or_default().to_owned(),
    };
    if export.export_status() != Some(&ExportStatus::Completed) {
        return Err(Error::new(format!(
            "the export to {location} failed: {}",
            export.failure_code().unwrap_or("no reason is given")
        ))
        .cause(export.failure_message().unwrap_or("no message is given"))
        .hint("the table is as it was; what is in the bucket already stays there, and is not whole")
        .hint("the bucket has to be there, and its policy and yours have to allow s3:PutObject and s3:AbortMultipartUpload"));
    }
    let items = export.item_count().and_then(|items| usize::try_from(items).ok());
    ui.note(format_args!(
        "exported {} as of {}; billed for {}",
        items.map_or("an unknown number of items".to_owned(), |items| count(items, "item")),
        time(export.export_time()),
        export.billed_size_bytes().map_or("an unknown size".to_owned(), bytes)
    ));
    let manifest = export.export_manifest().filter(|_| !location.bucket.is_empty());
    let Some(manifest) = manifest else { return Ok(ExitCode::SUCCESS) };
    let folder = manifest.rsplit_once('/').map_or("", |(folder, _)| folder);
    ui.note(format_args!("its manifest is s3://{}/{manifest}", location.bucket));
    ui.note(format_args!(
        "`aws s3 sync s3://{}/{folder} FOLDER` downloads it, and `{}` verifies it and writes it to a table",
        location.bucket,
        invocation("ddb-import FOLDER --table NAME")
    ));
    Ok(ExitCode::SUCCESS)
}

fn time(time: Option<&DateTime>) -> String {
    let text = time.and_then(|time| time.fmt(DateTimeFormat::DateTime).ok());
    text.unwrap_or_else(|| "an unknown time".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_price_is_of_the_tables_size() {
        let table = |size: i64| TableDescription::builder().table_size_bytes(size).build();
        let terabyte = table(1 << 40);
        assert!(price(&terabyte, None).starts_with("It costs about 102.40 USD: 0.10 USD a GB"));
        assert!(price(&terabyte, Some(0.114)).starts_with("It costs about 116.74 USD, at 0.114"));
        assert!(price(&table(0), None).starts_with("It costs about 0.01 USD"));
    }
}
