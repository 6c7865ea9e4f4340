//! Reading conversations and their messages.

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnConsumedCapacity};
use uuid::Uuid;

use crate::app::keys::{ConversationKey, InboxKey, SortTime};
use crate::app::records::{Item, MalformedRow, Message, MessageGroup};
use crate::aws::page_tokens::PageTokens;
use crate::dynamodb::table::Table;
use crate::error::Error;

/// The times that are asked for, both ends included. There is no hidden one.
#[derive(Debug, Clone, Copy, Default)]
pub struct Period {
    /// nothing earlier
    pub since: Option<SortTime>,
    /// nothing later
    pub until: Option<SortTime>,
}

/// What a query found.
#[derive(Debug, Clone)]
pub struct Found<Row> {
    /// newest first
    pub rows: Vec<Row>,
    /// rows of the partition that could not be read
    pub malformed: Vec<MalformedRow>,
    /// whether there are older ones than the limit let through
    pub more: bool,
    /// read capacity units
    pub consumed_capacity: f64,
}

impl Found<Item> {
    fn parse<Row>(self, from_item: fn(&Item) -> Result<Row, MalformedRow>) -> Found<Row> {
        let mut rows = Vec::with_capacity(self.rows.len());
        let mut malformed = Vec::new();
        for item in &self.rows {
            match from_item(item) {
                Ok(row) => rows.push(row),
                Err(error) => malformed.push(error),
            }
        }
        Found { rows, malformed, more: self.more, consumed_capacity: self.consumed_capacity }
    }
}

/// The messages of a conversation, newest first, at most `limit`.
///
/// # Errors
/// Where DynamoDB cannot be asked, or there is no such table.
pub async fn messages(
    table: &Table,
    group: Uuid,
    period: Period,
    limit: usize,
) -> Result<Found<Message>, Error> {
    let found = partition(table, &ConversationKey(group).to_string(), period, Some(limit)).await?;
    Ok(found.parse(Message::from_item))
}

/// The conversations of a person, newest first, at most `limit`.
///
/// # Errors
/// Like [`messages`].
pub async fn message_groups(
    table: &Table,
    user: Uuid,
    period: Period,
    limit: usize,
) -> Result<Found<MessageGroup>, Error> {
    let found = partition(table, &InboxKey(user).to_string(), period, Some(limit)).await?;
    Ok(found.parse(MessageGroup::from_item))
}

/// The newest message of a conversation, as it is at this moment.
///
/// # Errors
/// Like [`messages`].
pub async fn newest_message(table: &Table, group: Uuid) -> Result<Found<Message>, Error> {
    let query = query(table, &ConversationKey(group).to_string())
        .key_condition_expression("pk = :pk")
        .consistent_read(true);
    Ok(pages(table, query, Some(1)).await?.parse(Message::from_item))
}

/// The rows of a conversation in one person's list, as they are at this moment:
/// one, where nothing is broken.
///
/// # Errors
/// Like [`messages`].
pub async fn rows_of_group(table: &Table, owner: Uuid, group: Uuid) -> Result<Found<Item>, Error> {
    of_one(table, &InboxKey(owner).to_string(), "message_group_uuid", group).await
}

/// The items of one partition, newest first, from every page, at most `limit`.
///
/// # Errors
/// Like [`messages`].
pub async fn partition(
    table: &Table,
    pk: &str,
    period: Period,
    limit: Option<usize>,
) -> Result<Found<Item>, Error> {
    let mut query = query(table, pk);
    let bound = |name: &str, time: Option<SortTime>| {
        let time = time?;
        Some((name.to_owned(), AttributeValue::S(time.to_string())))
    };
    let (since, until) = (bound(":since", period.since), bound(":until", period.until));
    // A key condition takes one comparison of the sort key.
    let condition = match (&since, &until) {
        (Some(_), Some(_)) => "pk = :pk AND sk BETWEEN :since AND :until",
        (Some(_), None) => "pk = :pk AND sk >= :since",
        (None, Some(_)) => "pk = :pk AND sk <= :until",
        (None, None) => "pk = :pk",
    };
    for (name, value) in [since, until].into_iter().flatten() {
        query = query.expression_attribute_values(name, value);
    }
    pages(table, query.key_condition_expression(condition), limit).await
}

/// The items of one partition whose attribute is this uuid, as they are at this
/// moment, newest first.
pub(super) async fn of_one(
    table: &Table,
    pk: &str,
    attribute: &str,
    uuid: Uuid,
) -> Result<Found<Item>, Error> {
    let query = query(table, pk)
        .key_condition_expression("pk = :pk")
        .consistent_read(true)
        .filter_expression("#attribute = :uuid")
        .expression_attribute_names("#attribute", attribute)
        .expression_attribute_values(":uuid", AttributeValue::S(uuid.to_string()));
    pages(table, query, None).await
}

pub(super) fn query(table: &Table, pk: &str) -> QueryFluentBuilder {
    table
        .db()
        .client()
        .query()
        .table_name(table.name())
        .return_consumed_capacity(ReturnConsumedCapacity::Total)
        .scan_index_forward(false)
        .expression_attribute_values(":pk", AttributeValue::S(pk.to_owned()))
}

pub(super) async fn pages(
    table: &Table,
    query: QueryFluentBuilder,
    limit: Option<usize>,
) -> Result<Found<Item>, Error> {
    let mut found =
        Found { rows: Vec::new(), malformed: Vec::new(), more: false, consumed_capacity: 0.0 };
    let mut start = None;
    let mut tokens = PageTokens::default();
    loop {
        // One more than asked for tells whether there are more.
        let page_limit = limit.map(|limit| {
            i32::try_from((limit + 1).saturating_sub(found.rows.len())).unwrap_or(i32::MAX)
        });
        let page = query.clone().set_limit(page_limit).set_exclusive_start_key(start).send().await;
        let page = match page {
            Ok(page) => page,
            Err(error) => return Err(table.error("read", &error).await),
        };
        found.consumed_capacity +=
            page.consumed_capacity().and_then(|c| c.capacity_units()).unwrap_or(0.0);
        found.rows.extend(page.items.unwrap_or_default());
        start = page.last_evaluated_key;
        if let Some(limit) = limit
            && found.rows.len() > limit
        {
            found.rows.truncate(limit);
            found.more = true;
            return Ok(found);
        }
        let Some(start) = &start else { return Ok(found) };
        tokens
            .next(start)
            .map_err(|error| table.db().unlikely(&format!("read the table `{table}`"), &error))?;
    }
}
