//! `ddb-drop`: deletes a table, with all its items, and waits until it is gone.

use std::process::ExitCode;
use std::time::Duration;

use aws_sdk_dynamodb::types::PointInTimeRecoveryStatus;
use clap::{Parser, ValueEnum};
use ops_common::args::{ConfirmArgs, DynamoArgs, OutputArgs, UiArgs, seconds};
use ops_common::cli;
use ops_common::consent::{self, Change, Effect, Kind, Permit, Place};
use ops_common::dynamodb::poll::Poll;
use ops_common::dynamodb::table::{Table, list, size, with_nearest};
use ops_common::env::invocation;
use ops_common::error::Error;
use ops_common::target::Target;
use ops_common::ui::Ui;
use serde_json::json;

/// Delete a DynamoDB table with all its items
///
/// In `prod` the table's name has to be typed, or given with --confirm.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples:
  ddb-drop scratch                      on this machine, at once
  ddb-drop cruddur-messages prod        asks for the name
  ddb-drop scratch prod --confirm scratch   where there is nobody to ask"
)]
struct Args {
    /// Table to delete (has to be named)
    table: Option<String>,

    /// Where to act: local (services on this machine) or prod (the real account)
    #[arg(value_name = "TARGET", default_value = "local")]
    target: String,

    /// Seconds to wait until the table is gone
    #[arg(long, value_name = "SECS", default_value_t = 300, value_parser = seconds())]
    wait_timeout: u64,

    #[command(flatten)]
    consent: ConfirmArgs,
    #[command(flatten)]
    dynamo: DynamoArgs,
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

async fn run(args: Args, ui: &Ui) -> Result<(), Error> {
    let Some(table) = args.table.as_deref() else {
        return Err(Error::usage("no TABLE is named").hint(format!(
            "`{}`; `{}` shows what there is",
            invocation("ddb-drop TABLE"),
            invocation("ddb-list-tables")
        )));
    };
    if matches!(table, "prod" | "local") {
        let named = <Target as ValueEnum>::from_str(&args.target, false).is_err();
        let meant = format!("ddb-drop {} {table}", if named { &args.target } else { "TABLE" });
        return Err(Error::usage(format!("`{table}` is a target, and the table comes first"))
            .hint(format!("did you mean `{}`?", invocation(&meant))));
    }
    // Parsed after the table is looked at: `ddb-drop prod TABLE` is the wrong way
    // round, which is worth more than that TABLE is no target.
    let target = <Target as ValueEnum>::from_str(&args.target, false).map_err(|_| {
        let error = Error::usage(format!("invalid value '{}' for '[TARGET]'", args.target))
            .hint("[possible values: local, prod]");
        match Target::meant_by(&args.target) {
            Some(target) => error.hint(format!("did you mean `{target}`?")),
            None => error,
        }
    })?;
    let change =
        Change { target, kind: Kind::Table, name: table, what: "", effect: Effect::Destroys };
    consent::check(&change, change.effect, &args.consent)?;

    let table = Table::connect(target, &args.dynamo, table, ui).await?;
    let Some(live) = table.describe().await? else {
        let error = Error::new(format!("there is no table `{table}`"));
        return Err(with_nearest(error, table.name(), &list(table.db()).await?));
    };
    if live.deletion_protection_enabled() == Some(true) {
        return Err(Error::new(format!("the table `{table}` is protected from deletion")).hint(format!(
            "lift it with `aws dynamodb update-table --table-name {table} --no-deletion-protection-enabled{}`",
            table.db().aws_cli_options()
        )));
    }
    let caller = table.caller(ui).await?;
    let what = format!(
        "This deletes the table `{table}` with all its items: {}.\n{}",
        size(&live),
        match target {
            Target::Local => "It cannot be undone.".to_owned(),
            Target::Prod => what_is_left(&table).await,
        }
    );
    let change = Change { what: &what, ..change };
    let permit = consent::ask(&change, Place::of(target, caller), &args.consent, ui).await?;
    if target == Target::Prod {
        let now = table.refuse_another(&live).await?;
        if size(&now) != size(&live) {
            let difference = format!("it had {}, and now has {}", size(&live), size(&now));
            return Err(table.changed_meanwhile().cause(difference));
        }
    }
    drop_table(&table, &permit, Duration::from_secs(args.wait_timeout), ui).await?;
    if args.output.json() {
        return ui.report(target, &json!({ "table": table.name(), "deleted": true }));
    }
    ui.sentence(format_args!("`{table}` is deleted"))
}

/// What of the table can be brought back, in a sentence or two.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/PointInTimeRecovery_Howitworks.html>
async fn what_is_left(table: &Table) -> String {
    let backups = table.db().client().describe_continuous_backups();
    let answer = backups.table_name(table.name()).send().await;
    let recovery = match &answer {
        Ok(answer) => answer
            .continuous_backups_description()
            .and_then(|backups| backups.point_in_time_recovery_description()),
        Err(error) => {
            let error = table.db().error("ask for its backups", error);
            return format!("Backup status unknown: {error}. Assume that it cannot be undone.");
        }
    };
    let on = recovery
        .and_then(|recovery| recovery.point_in_time_recovery_status())
        .is_some_and(|status| *status == PointInTimeRecoveryStatus::Enabled);
    if on {
        "Point-in-time recovery is on: for 35 days DynamoDB keeps a system backup of the table as it was \
         when it was deleted, and `aws dynamodb restore-table-from-backup` makes a new table of it. Not \
         brought back: tags, alarms, auto scaling, stream and TTL settings, deletion protection."
            .to_owned()
    } else {
        format!(
            "Point-in-time recovery is off: it cannot be undone. Only a backup or a dump that somebody made \
             before brings the items back (`{}`).",
            invocation(&format!("ddb-export prod --table {table} --out FILE"))
        )
    }
}

/// Deletes the table, and waits until it is gone.
///
/// # Errors
/// Where the permit is for something else, DynamoDB refuses (deletion protection), or
/// it is not gone in time.
async fn drop_table(
    table: &Table,
    permit: &Permit,
    timeout: Duration,
    ui: &Ui,
) -> Result<(), Error> {
    table.check(permit)?;
    if let Err(error) = table.db().client().delete_table().table_name(table.name()).send().await {
        let gone = error.as_service_error().is_some_and(|e| e.is_resource_not_found_exception());
        if !gone {
            return Err(table.db().error(&format!("delete the table `{table}`"), &error));
        }
    }
    let mut poll = Poll::new(timeout);
    let mut waiting = None;
    while table.describe().await?.is_some() {
        waiting
            .get_or_insert_with(|| ui.waiting(format!("waiting: the table `{table}` is DELETING")));
        if !poll.next().await {
            return Err(Error::new(format!(
                "the table `{table}` is still being deleted after {} s",
                timeout.as_secs()
            ))
            .hint(format!(
                "DynamoDB goes on deleting it; `{}` shows its status",
                invocation("ddb-list-tables --long")
            )));
        }
    }
    Ok(())
}
