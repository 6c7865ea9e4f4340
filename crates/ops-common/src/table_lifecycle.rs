//! The life of a table: describe, create, wait, drop.
//!
//! The SDK's own waiters poll every 20 seconds; these start at 100 ms and
//! double to 2 s. No server is trusted to have a table ACTIVE at once.

use std::time::Duration;

use aws_sdk_dynamodb::types::{
    IndexStatus, TableDescription, TableStatus, TimeToLiveSpecification, TimeToLiveStatus,
};
use aws_smithy_types::body::SdkBody;
use tokio::time::{Instant, sleep};

use crate::confirm::Permit;
use crate::dynamodb::Dynamo;
use crate::env::invocation;
use crate::error::Error;
use crate::page_tokens::PageTokens;
use crate::table::TableDefinition;
use crate::table::update::Change;
use crate::table_identity::TableIdentity;
use crate::target::Target;
use crate::ui::{self, Ui};

const FIRST_POLL: Duration = Duration::from_millis(100);
const LONGEST_POLL: Duration = Duration::from_secs(2);
/// DescribeTable is eventually consistent: a table that was just created may be
/// unknown to it for a moment.
const VISIBLE_WITHIN: Duration = Duration::from_secs(10);

/// The live table, or `None` where there is none of that name.
///
/// # Errors
/// Where DynamoDB cannot be asked.
pub async fn describe(db: &Dynamo, table: &str) -> Result<Option<TableDescription>, Error> {
    match db.client().describe_table().table_name(table).send().await {
        Ok(output) => Ok(output.table),
        Err(error) => match error.as_service_error() {
            Some(service) if service.is_resource_not_found_exception() => Ok(None),
            _ => Err(db.error(&format!("describe the table `{table}`"), &error)),
        },
    }
}

/// The live table.
///
/// # Errors
/// Where there is none of that name, or DynamoDB cannot be asked.
pub async fn existing(db: &Dynamo, table: &str) -> Result<TableDescription, Error> {
    match describe(db, table).await? {
        Some(live) => Ok(live),
        None => Err(missing(db, table).await),
    }
}

/// How large a table is, as DynamoDB counted it last, which can be hours ago.
#[must_use]
pub fn size(table: &TableDescription) -> String {
    let items = usize::try_from(table.item_count().unwrap_or_default()).unwrap_or_default();
    format!(
        "{}, {} by DynamoDB's last count",
        ui::count(items, "item"),
        ui::bytes(table.table_size_bytes().unwrap_or_default()),
    )
}

/// Says in `prod` how large the table is that is about to be changed, and returns
/// it, for [`refuse_another`].
///
/// # Errors
/// Where there is no such table, or DynamoDB cannot be asked.
pub async fn announce_size(
    db: &Dynamo,
    table: &str,
    ui: &Ui,
) -> Result<Option<TableDescription>, Error> {
    if db.target() == Target::Local {
        return Ok(None);
    }
    let live = existing(db, table).await?;
    ui.acts_on(format_args!("table {table}: {}", size(&live)));
    Ok(Some(live))
}

/// Looks again at a table that a question was about, since the question may have
/// waited for long.
///
/// # Errors
/// Where another table has its name now, or none has, or DynamoDB cannot be asked.
pub async fn refuse_another(
    db: &Dynamo,
    seen: &TableDescription,
) -> Result<TableDescription, Error> {
    let name = seen.table_name().unwrap_or_default();
    let now = describe(db, name).await?;
    let difference = match &now {
        None => Some("there is no such table any more".to_owned()),
        Some(now) => TableIdentity::of(db, seen).difference(&TableIdentity::of(db, now)),
    };
    match (difference, now) {
        (None, Some(now)) => Ok(now),
        (difference, _) => Err(changed_meanwhile(name).cause(difference.unwrap_or_default())),
    }
}

/// The error for a table that is not what a question said.
#[must_use]
pub fn changed_meanwhile(table: &str) -> Error {
    Error::new(format!("the table `{table}` changed while the question waited; nothing is done"))
        .hint("run it again: it asks with what is there then")
}

/// Sends the definition as it stands. `false`: there was one already, perhaps
/// made by somebody else a moment ago.
///
/// # Errors
/// Where DynamoDB refuses it.
pub async fn create(
    db: &Dynamo,
    permit: &Permit,
    definition: &TableDefinition,
) -> Result<bool, Error> {
    permit.is_for(db.target(), &definition.table_name)?;
    let body = definition.to_request();
    let request = db.client().create_table().table_name(&definition.table_name);
    // The definition is the request's body already: sent as it is, nothing that
    // it says can be lost in between. The SDK signs after this.
    let request = request
        .set_attribute_definitions(Some(Vec::new()))
        .set_key_schema(Some(Vec::new()))
        .customize()
        .mutate_request(move |request| {
            request.headers_mut().insert("content-length", body.len().to_string());
            *request.body_mut() = SdkBody::from(body.as_str());
        });
    match request.send().await {
        Ok(_) => Ok(true),
        Err(error) => match error.as_service_error() {
            Some(service) if service.is_resource_in_use_exception() => Ok(false),
            _ => Err(db.error(&format!("create the table `{}`", definition.table_name), &error)),
        },
    }
}

/// Sends a change of the table that the permit names.
///
/// # Errors
/// Where DynamoDB refuses it.
pub async fn update(db: &Dynamo, permit: &Permit, change: &Change) -> Result<(), Error> {
    let table = permit.resource();
    permit.is_for(db.target(), change.request["TableName"].as_str().unwrap_or_default())?;
    let body = change.request.to_string();
    let request = db.client().update_table().table_name(table).customize();
    // As in `create`: the request is a body already.
    let request = request.mutate_request(move |request| {
        request.headers_mut().insert("content-length", body.len().to_string());
        *request.body_mut() = SdkBody::from(body.as_str());
    });
    let sent = request.send().await;
    sent.map(drop).map_err(|error| db.error(&change.what, &error))
}

/// The attribute by which DynamoDB lets items expire, where there is one.
///
/// # Errors
/// Where DynamoDB cannot be asked.
pub async fn ttl_attribute(db: &Dynamo, table: &str) -> Result<Option<String>, Error> {
    let answer = db.client().describe_time_to_live().table_name(table).send().await;
    let answer = answer.map_err(|error| {
        db.error(&format!("ask which attribute of `{table}` lets items expire"), &error)
    })?;
    let ttl = answer.time_to_live_description();
    let on = ttl.and_then(|ttl| ttl.time_to_live_status()).is_some_and(|status| {
        matches!(status, TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling)
    });
    Ok(ttl.filter(|_| on).and_then(|ttl| ttl.attribute_name()).map(str::to_owned))
}

/// Lets the items of the table that the permit names expire by an attribute.
///
/// # Errors
/// Where DynamoDB refuses it.
pub async fn let_items_expire(db: &Dynamo, permit: &Permit, attribute: &str) -> Result<(), Error> {
    let table = permit.resource_in(db.target())?;
    let doing = format!("let the items of `{table}` expire by `{attribute}`");
    let specification = TimeToLiveSpecification::builder().enabled(true).attribute_name(attribute);
    let specification = specification
        .build()
        .map_err(|error| Error::new(format!("cannot {doing}")).cause(error))?;
    let request = db.client().update_time_to_live().table_name(table);
    let sent = request.time_to_live_specification(specification).send().await;
    sent.map(drop).map_err(|error| db.error(&doing, &error))
}

/// Waits until the table and its indexes are ACTIVE.
///
/// # Errors
/// Where they are not within `timeout`, or the table goes away meanwhile.
pub async fn wait_until_active(
    db: &Dynamo,
    table: &str,
    timeout: Duration,
    ui: &Ui,
) -> Result<TableDescription, Error> {
    let deadline = Instant::now() + timeout;
    let visible_by = Instant::now() + VISIBLE_WITHIN;
    let mut poll = FIRST_POLL;
    let mut waiting = None;
    loop {
        let state = match describe(db, table).await? {
            Some(live) => match unfinished(&live) {
                Some(state) => state,
                None => return Ok(live),
            },
            None if Instant::now() < visible_by => {
                format!("the table `{table}` is not visible yet")
            }
            None => {
                return Err(Error::new(format!(
                    "the table `{table}` went away while it was waited for"
                )));
            }
        };
        if Instant::now() + poll > deadline {
            return Err(Error::new(format!(
                "{state}, and --wait-timeout of {} s is over",
                timeout.as_secs()
            ))
            .hint("nothing is lost: run it again to go on waiting"));
        }
        waiting.get_or_insert_with(|| ui.waiting(format!("waiting: {state}")));
        sleep(poll).await;
        poll = (poll * 2).min(LONGEST_POLL);
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

/// Deletes the table that the permit names, and waits until it is gone.
///
/// # Errors
/// Where DynamoDB refuses (deletion protection), or it is not gone in time.
pub async fn drop_table(
    db: &Dynamo,
    permit: Permit,
    timeout: Duration,
    ui: &Ui,
) -> Result<(), Error> {
    let table = permit.resource_in(db.target())?;
    if let Err(error) = db.client().delete_table().table_name(table).send().await {
        let gone = error.as_service_error().is_some_and(|e| e.is_resource_not_found_exception());
        if !gone {
            return Err(db.error(&format!("delete the table `{table}`"), &error));
        }
    }
    let deadline = Instant::now() + timeout;
    let mut poll = FIRST_POLL;
    let mut waiting = None;
    while describe(db, table).await?.is_some() {
        if Instant::now() + poll > deadline {
            return Err(Error::new(format!(
                "the table `{table}` is still being deleted after {} s",
                timeout.as_secs()
            ))
            .hint(format!(
                "DynamoDB goes on with it; `{}` shows its status",
                invocation("ddb-list-tables --long")
            )));
        }
        waiting
            .get_or_insert_with(|| ui.waiting(format!("waiting: the table `{table}` is DELETING")));
        sleep(poll).await;
        poll = (poll * 2).min(LONGEST_POLL);
    }
    Ok(())
}

/// The names of all tables, from every page.
///
/// # Errors
/// Where DynamoDB cannot be asked.
pub async fn list(db: &Dynamo) -> Result<Vec<String>, Error> {
    let doing = "list the tables";
    let mut names = Vec::new();
    let mut tokens = PageTokens::default();
    let mut after = None;
    loop {
        let page = db.client().list_tables().set_exclusive_start_table_name(after).send().await;
        let page = page.map_err(|error| db.error(doing, &error))?;
        names.extend(page.table_names.unwrap_or_default());
        let Some(last) = page.last_evaluated_table_name else { return Ok(names) };
        tokens.next(&last).map_err(|error| db.unlikely(doing, &error))?;
        after = Some(last);
    }
}

/// The error for a table that is not there: which one may be meant, and the way to
/// get it.
pub async fn missing(db: &Dynamo, table: &str) -> Error {
    let target = db.target().as_argument();
    let named = if table == crate::args::DEFAULT_TABLE {
        String::new()
    } else {
        format!(" --table {table}")
    };
    let mut error = Error::new(format!("there is no table `{table}` ({})", db.place()));
    // Where the names cannot be had the error is told without.
    let names = list(db).await.unwrap_or_default();
    if let Some(meant) = ui::meant(table, names.iter().map(String::as_str)) {
        error = error.hint(format!("did you mean `{meant}`?"));
    }
    if db.target() == Target::Prod {
        error = error.hint("a table is of one account and one region: look at both");
    }
    error.hint(format!(
        "create it with `{}`",
        invocation(&format!("ddb-schema-load{target}{named}"))
    ))
}

/// Adds the names nearest to `table` to the error that it is not there.
#[must_use]
pub fn with_nearest(error: Error, table: &str, names: &[String]) -> Error {
    let error = match ui::meant(table, names.iter().map(String::as_str)) {
        Some(meant) => error.hint(format!("did you mean `{meant}`?")),
        None => error,
    };
    match ui::nearest(table, names.iter().map(String::as_str), 5).as_slice() {
        [] => error.hint("there are no tables at all"),
        near => error.hint(format!("there is: {}", ui::quoted(near))),
    }
}
