//! Creating a table, changing it, and waiting until a change is made. No server is
//! trusted to have a table ACTIVE at once.

use std::time::Duration;

use aws_sdk_dynamodb::types::{
    IndexStatus, TableDescription, TableStatus, TimeToLiveSpecification, TimeToLiveStatus,
};
use ops_common::aws::replace_body;
use ops_common::consent::Permit;
use ops_common::dynamodb::poll::Poll;
use ops_common::dynamodb::table::Table;
use ops_common::error::Error;
use ops_common::ui::Ui;
use tokio::time::Instant;

use crate::definition::TableDefinition;
use crate::definition::plan::Change;

/// DescribeTable is eventually consistent: a table that was just created may be
/// unknown to it for a moment.
const VISIBLE_WITHIN: Duration = Duration::from_secs(10);

/// Sends the definition as it stands. `false`: there was one already, perhaps
/// made by somebody else a moment ago.
///
/// # Errors
/// Where DynamoDB refuses it.
pub(crate) async fn create(
    table: &Table,
    permit: &Permit,
    definition: &TableDefinition,
) -> Result<bool, Error> {
    table.check(permit)?;
    let body = definition.to_request();
    let request = table.db().client().create_table().table_name(table.name());
    // The definition is the request's body already: sent as it is, nothing that
    // it says can be lost in between. The SDK signs after this.
    let request = request
        .set_attribute_definitions(Some(Vec::new()))
        .set_key_schema(Some(Vec::new()))
        .customize()
        .mutate_request(move |request| replace_body(request, body.as_bytes().to_vec()));
    match request.send().await {
        Ok(_) => Ok(true),
        Err(error) => match error.as_service_error() {
            Some(service) if service.is_resource_in_use_exception() => Ok(false),
            _ => Err(table.db().error(&format!("create the table `{table}`"), &error)),
        },
    }
}

/// Sends a change of the table.
///
/// # Errors
/// Where the permit is for something else, or DynamoDB refuses it.
pub(crate) async fn update(table: &Table, permit: &Permit, change: &Change) -> Result<(), Error> {
    table.check(permit)?;
    let mut request = change.request.clone();
    request["TableName"] = table.name().into();
    let body = request.to_string();
    let request = table.db().client().update_table().table_name(table.name()).customize();
    // As in `create`: the request is a body already.
    let request =
        request.mutate_request(move |request| replace_body(request, body.as_bytes().to_vec()));
    let sent = request.send().await;
    sent.map(drop).map_err(|error| table.db().error(&change.what, &error))
}

/// The attribute by which DynamoDB lets items expire, where there is one.
///
/// # Errors
/// Where DynamoDB cannot be asked.
pub(crate) async fn ttl_attribute(table: &Table) -> Result<Option<String>, Error> {
    let answer = table.db().client().describe_time_to_live().table_name(table.name()).send().await;
    let answer = answer.map_err(|error| {
        table.db().error(&format!("read the time to live of `{table}`"), &error)
    })?;
    let ttl = answer.time_to_live_description();
    let on = ttl.and_then(|ttl| ttl.time_to_live_status()).is_some_and(|status| {
        matches!(status, TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling)
    });
    Ok(ttl.filter(|_| on).and_then(|ttl| ttl.attribute_name()).map(str::to_owned))
}

/// Turns time to live on or off: DynamoDB deletes items past the time in `attribute`.
///
/// # Errors
/// Where DynamoDB refuses it.
pub(crate) async fn set_ttl(
    table: &Table,
    permit: &Permit,
    attribute: &str,
    on: bool,
) -> Result<(), Error> {
    table.check(permit)?;
    let verb = if on { "enable" } else { "disable" };
    let doing = format!("{verb} time to live of `{table}` by `{attribute}`");
    let specification = TimeToLiveSpecification::builder().enabled(on).attribute_name(attribute);
    let specification = specification
        .build()
        .map_err(|error| Error::new(format!("cannot {doing}")).cause(error))?;
    let request = table.db().client().update_time_to_live().table_name(table.name());
    let sent = request.time_to_live_specification(specification).send().await;
    sent.map(drop).map_err(|error| table.db().error(&doing, &error))
}

/// Waits until the table and its indexes are ACTIVE.
///
/// # Errors
/// Where they are not within `timeout`, or the table goes away meanwhile.
pub(crate) async fn wait_until_active(
    table: &Table,
    timeout: Duration,
    ui: &Ui,
) -> Result<TableDescription, Error> {
    let visible_by = Instant::now() + VISIBLE_WITHIN;
    let mut poll = Poll::new(timeout);
    let mut waiting = None;
    loop {
        let state = match table.describe().await? {
            Some(live) => match unfinished(&live) {
                Some(state) => state,
                None => return Ok(live),
            },
            None if Instant::now() < visible_by => {
                format!("the table `{table}` is not visible yet")
            }
            None => {
                return Err(Error::new(format!(
                    "the table `{table}` was deleted while it was waited for"
                )));
            }
        };
        waiting.get_or_insert_with(|| ui.waiting(format!("waiting: {state}")));
        if !poll.next().await {
            return Err(Error::new(format!(
                "{state}, and --wait-timeout of {} s is over",
                timeout.as_secs()
            ))
            .hint("nothing is lost: run it again to wait longer"));
        }
    }
}

/// What of the table is not ACTIVE yet, in words.
fn unfinished(table: &TableDescription) -> Option<String> {
    let name = table.table_name().unwrap_or_default();
    match table.table_status() {
        Some(TableStatus::Active) | None => {}
        Some(status) => return Some(format!("the table `{name}` is {}", status.as_str())),
    }
    table.global_secondary_indexes().iter().find_map(|index| {
        let status = index.index_status()?;
        let busy = *status != IndexStatus::Active || index.backfilling().unwrap_or(false);
        let index = index.index_name().unwrap_or_default();
        busy.then(|| format!("the index `{index}` is {}", status.as_str()))
    })
}
