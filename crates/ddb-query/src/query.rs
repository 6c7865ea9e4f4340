//! Query, page by page.

use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnConsumedCapacity};
use ops_common::app::records::Item;
use ops_common::aws::page_tokens::PageTokens;
use ops_common::dynamodb::selection::{Expressions, SelectionArgs};
use ops_common::dynamodb::table::Table;
use ops_common::error::{Error, Exit};

use crate::sort::SortCondition;

/// As many items as a request asks for: the memory stays the same for a partition of
/// any size.
const PAGE: u64 = 250;

/// One query of one table, and what it has read so far.
pub(crate) struct Query {
    pub(crate) request: QueryFluentBuilder,
    /// items that were read, before the filter
    pub(crate) scanned: u64,
    /// read capacity units
    pub(crate) consumed_capacity: f64,
    table: Table,
    filtered: bool,
    start: Option<Item>,
    tokens: PageTokens<Item>,
    at_end: bool,
}

impl Query {
    pub(crate) fn new(
        table: &Table,
        partition: &str,
        pk: AttributeValue,
        sort: Option<SortCondition>,
        selection: &SelectionArgs,
    ) -> Self {
        let filter = Expressions::of_filter(selection);
        let projection = Expressions::of_names(&selection.select);
        let mut request = table
            .db()
            .client()
            .query()
            .table_name(table.name())
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .set_filter_expression(filter.filter)
            .set_projection_expression(projection.projection)
            .expression_attribute_names("#ops_pk", partition)
            .expression_attribute_values(":ops_pk", pk);
        let mut condition = "#ops_pk = :ops_pk".to_owned();
        let mut values = filter.values;
        if let Some(sort) = sort {
            condition += &format!(" AND {}", sort.expression);
            request = request.expression_attribute_names("#ops_sk", sort.name);
            values.extend(sort.values);
        }
        for (placeholder, name) in filter.names.into_iter().chain(projection.names) {
            request = request.expression_attribute_names(placeholder, name);
        }
        for (placeholder, value) in values {
            request = request.expression_attribute_values(placeholder, value);
        }
        Self {
            request: request.key_condition_expression(condition),
            scanned: 0,
            consumed_capacity: 0.0,
            table: table.clone(),
            filtered: selection.filter.is_some(),
            start: None,
            tokens: PageTokens::default(),
            at_end: false,
        }
    }

    /// The next page; `None` behind the last. `allowed`: as many items are wanted; one
    /// more tells whether there are more.
    ///
    /// # Errors
    /// Where DynamoDB does not take the query, or cannot be asked.
    pub(crate) async fn next(&mut self, allowed: u64) -> Result<Option<Vec<Item>>, Error> {
        if self.at_end {
            return Ok(None);
        }
        let wanted = if self.filtered { PAGE } else { PAGE.min(allowed.saturating_add(1)) };
        let request = self.request.clone().limit(i32::try_from(wanted).unwrap_or(i32::MAX));
        let page = match request.set_exclusive_start_key(self.start.take()).send().await {
            Ok(page) => page,
            Err(error) => {
                let code = error.as_service_error().and_then(ProvideErrorMetadata::code);
                let is_invalid = code == Some("ValidationException");
                let error = self.table.error("query", &error).await;
                return Err(if is_invalid && error.to_string().contains("rimary key attribute") {
                    error.hint("the filter of a query cannot have the key: that is PK and --sk")
                } else if is_invalid && error.to_string().contains("BETWEEN") {
                    error
                        .hint("the first key of --sk-between has to be the lower one")
                        .exit(Exit::Usage)
                } else if is_invalid && self.filtered {
                    SelectionArgs::hint(error)
                } else {
                    error
                });
            }
        };
        self.scanned += u64::try_from(page.scanned_count()).unwrap_or_default();
        self.consumed_capacity +=
            page.consumed_capacity().and_then(|consumed| consumed.capacity_units()).unwrap_or(0.0);
        self.start = page.last_evaluated_key;
        self.at_end = self.start.is_none();
        if let Some(start) = &self.start {
            self.tokens.next(start).map_err(|error| {
                self.table.db().unlikely(&format!("query the table `{}`", self.table), &error)
            })?;
        }
        Ok(Some(page.items.unwrap_or_default()))
    }
}
