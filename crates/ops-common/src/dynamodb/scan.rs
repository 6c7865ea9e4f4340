//! Scan, by segments in parallel, page by page.
//!
//! A page is at most 1 MB, and it says itself where the next one begins; a
//! segment has ended where it does not, however few items came:
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Scan.html>.
//! The items of a page stay the JSON that they came as until somebody reads
//! them: the SDK's own items cost more than all the rest of a dump.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_dynamodb::config::{ConfigBag, Intercept};
use aws_sdk_dynamodb::error::{BoxError, ErrorMetadata};
use aws_sdk_dynamodb::operation::scan::builders::ScanFluentBuilder;
use aws_sdk_dynamodb::operation::scan::{ScanError, ScanOutput};
use aws_sdk_dynamodb::types::{ReturnConsumedCapacity, Select};
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeSerializationInterceptorContextRef, Error as ErasedError, Output, OutputOrError,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpResponse, OrchestratorError};
use aws_smithy_runtime_api::client::ser_de::{DeserializeResponse, SharedResponseDeserializer};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::app::records::Item;
use crate::aws::answers::{IncompleteAnswer, is_incomplete};
use crate::aws::page_tokens::PageTokens;
use crate::dynamodb::capacity::Bucket;
use crate::dynamodb::item::Attributes;
use crate::dynamodb::retry::{Backoff, Failure, judge};
use crate::dynamodb::selection::{Expressions, SelectionArgs};
use crate::dynamodb::table::Table;
use crate::env;
use crate::error::Error;
use crate::ui::Ui;

/// Somebody waits for it.
const GIVE_UP_AFTER: Duration = Duration::from_secs(10);

/// The first page of a scan that is limited: what an item costs is not known.
const FIRST_LIMITED_PAGE: u32 = 50;

/// As many answers without what a page has are taken for a fault on the way.
const INCOMPLETE_ANSWERS: u32 = 3;

/// The error of a page that is not asked for again.
fn given_up(error: Error, failure: Failure, patience: Duration, is_filtered: bool) -> Error {
    match failure {
        Failure::Throttled | Failure::Transient => {
            error.cause(format!("no progress after {} s of retries", patience.as_secs()))
        }
        Failure::Invalid if is_filtered => SelectionArgs::hint(error),
        Failure::Invalid | Failure::Final => error,
    }
}

/// The key after which a page begins.
pub type StartKey = Item;

/// Such a key as DynamoDB's JSON, for a checkpoint.
///
/// # Errors
/// Where it has a type that no key has.
pub fn key_to_json(key: &StartKey) -> io::Result<Box<RawValue>> {
    let unknown = || io::Error::other("a key of an unknown type");
    let key = Attributes::from_sdk(key).ok_or_else(unknown)?;
    Ok(RawValue::from_string(serde_json::to_string(&key)?)?)
}

/// The key that a checkpoint has.
///
/// # Errors
/// Where it is none.
pub fn key_from_json(json: &RawValue) -> Result<StartKey, Error> {
    let key: Attributes<'_> = serde_json::from_str(json.get())
        .map_err(|error| Error::new("the checkpoint has a malformed key").cause(error))?;
    Ok(key.to_sdk())
}

/// One scan of one table.
#[derive(Debug)]
pub struct Scan {
    table: Table,
    request: ScanFluentBuilder,
    /// at most so many read units a second
    pub limit: Option<Bucket>,
    /// how long a table that is throttled is tried without progress
    pub give_up_after: Duration,
}

impl Scan {
    /// Of all segments of the table, with the whole of each item.
    #[must_use]
    pub(crate) fn new(table: &Table) -> Self {
        let request = table
            .db()
            .client_without_retries()
            .scan()
            .table_name(table.name())
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let give_up_after = GIVE_UP_AFTER.min(env::timeout());
        Self { table: table.clone(), request, limit: None, give_up_after }
    }

    /// Reads an index in place of the table.
    #[must_use]
    pub fn index(mut self, name: Option<&str>) -> Self {
        self.request = self.request.set_index_name(name.map(str::to_owned));
        self
    }

    /// Filters at the server.
    #[must_use]
    pub fn filter(mut self, selection: &SelectionArgs) -> Self {
        let Expressions { filter, names, values, .. } = Expressions::of_filter(selection);
        self.request = self.request.set_filter_expression(filter);
        for (placeholder, value) in values {
            self.request = self.request.expression_attribute_values(placeholder, value);
        }
        self.named(names)
    }

    /// Leaves out, at the server, all but these attributes. All of them stay
    /// where none is named.
    #[must_use]
    pub fn project(mut self, names: &[String]) -> Self {
        let Expressions { projection, names, .. } = Expressions::of_names(names);
        self.request = self.request.set_projection_expression(projection);
        self.named(names)
    }

    fn named(mut self, names: HashMap<String, String>) -> Self {
        for (placeholder, name) in names {
            self.request = self.request.expression_attribute_names(placeholder, name);
        }
        self
    }

    /// Asks for numbers of items only.
    #[must_use]
    pub fn count(mut self) -> Self {
        self.request = self.request.select(Select::Count);
        self
    }

    /// Sees all that was written before each page was read, for twice the units.
    #[must_use]
    pub fn consistent(mut self, consistent: bool) -> Self {
        self.request = self.request.consistent_read(consistent);
        self
    }

    async fn page(
        &self,
        segment: Segment,
        start: Option<StartKey>,
        page_items: u32,
    ) -> Result<Page, Error> {
        let mut backoff = Backoff::new(self.give_up_after);
        let mut incomplete = 0;
        let segments = (segment.of > 1).then_some((segment.number, segment.of)).unzip();
        let request = self
            .request
            .clone()
            .set_segment(segments.0)
            .set_total_segments(segments.1)
            .set_exclusive_start_key(start);
        loop {
            let asked = self.page_limit(page_items);
            let taken = match &self.limit {
                Some(bucket) => Some(bucket.take(f64::from(asked)).await),
                None => None,
            };
            let kept = KeepBody {
                segment,
                is_filtered: request.get_filter_expression().is_some(),
                page: Arc::default(),
            };
            let sent = request
                .clone()
                .limit(i32::try_from(asked).unwrap_or(i32::MAX))
                .customize()
                .interceptor(kept.clone())
                .send()
                .await;
            let page = kept.page.lock().unwrap_or_else(PoisonError::into_inner).take();
            let error = match (sent, page) {
                (Err(error), _) => error,
                (Ok(_), None) => return Err(Error::new("the SDK has lost a page")),
                (Ok(_), Some(page)) => {
                    if let (Some(bucket), Some(taken)) = (&self.limit, taken) {
                        bucket.settle(taken, page.scanned as f64, page.consumed_capacity);
                    }
                    return Ok(page);
                }
            };
            incomplete += u32::from(is_incomplete(&error));
            let failure = match judge(&error) {
                // What answers so each time is no DynamoDB.
                _ if incomplete == INCOMPLETE_ANSWERS => Failure::Final,
                failure => failure,
            };
            if let (Some(bucket), Some(taken)) = (&self.limit, taken) {
                match failure {
                    Failure::Transient => bucket.settle_unknown(taken),
                    _ => bucket.settle(taken, 0.0, 0.0),
                }
            }
            let pause = match failure {
                Failure::Throttled | Failure::Transient => backoff.pause(),
                Failure::Invalid | Failure::Final => None,
            };
            match pause {
                Some(pause) => sleep(pause).await,
                None => {
                    let error = self.table.error("scan", &error).await;
                    let is_filtered = request.get_filter_expression().is_some();
                    return Err(given_up(error, failure, backoff.patience(), is_filtered));
                }
            }
        }
    }

    fn page_limit(&self, page_items: u32) -> u32 {
        match &self.limit {
            None => page_items,
            Some(bucket) => {
                let affordable = bucket.request_limit().max(1.0) as u32;
                let known = if bucket.knows_cost() { page_items } else { FIRST_LIMITED_PAGE };
                affordable.min(known)
            }
        }
    }
}

/// One of the equal parts of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// from 0
    pub number: i32,
    /// how many there are
    pub of: i32,
}

/// The segments of a scan that are not at their end yet. Each has one request on
/// its way at most.
#[derive(Debug)]
pub struct Segments {
    /// at most so many items a page
    pub page_items: u32,
    scan: Arc<Scan>,
    idle: Vec<(Segment, Option<StartKey>)>,
    /// where each segment was, by its number
    tokens: HashMap<i32, PageTokens<StartKey>>,
    running: JoinSet<Result<Page, Error>>,
}

impl Segments {
    /// Begins each segment after its key, or at its start.
    #[must_use]
    pub fn new(scan: Scan, starts: Vec<(Segment, Option<StartKey>)>, page_items: u32) -> Self {
        let mut tokens = HashMap::<i32, PageTokens<StartKey>>::new();
        for (segment, start) in &starts {
            let tokens = tokens.entry(segment.number).or_default();
            start.iter().for_each(|start| _ = tokens.next(start));
        }
        Self { page_items, scan: Arc::new(scan), idle: starts, tokens, running: JoinSet::new() }
    }

    /// All of the table in so many segments.
    #[must_use]
    pub fn all(scan: Scan, of: i32, page_items: u32) -> Self {
        let starts = (0..of).map(|number| (Segment { number, of }, None)).collect();
        Self::new(scan, starts, page_items)
    }

    /// Reads all of them, for the numbers of items only.
    ///
    /// # Errors
    /// Like [`Segments::next`].
    pub async fn count(mut self, ui: &Ui) -> Result<Counted, Error> {
        let mut counted = Counted::default();
        let mut progress = ui.progress("counting");
        while let Some(page) = self.next().await? {
            counted.items += page.count;
            counted.scanned += page.scanned;
            counted.consumed_capacity += page.consumed_capacity;
            progress.say(format_args!("counting: {} items read", counted.scanned));
        }
        Ok(counted)
    }

    /// The next page of any of them. `None`: all are at their end.
    ///
    /// # Errors
    /// Where a page cannot be read; the scan is over then.
    pub async fn next(&mut self) -> Result<Option<Page>, Error> {
        for (segment, start) in self.idle.drain(..) {
            let (scan, page_items) = (Arc::clone(&self.scan), self.page_items);
            self.running.spawn(async move { scan.page(segment, start, page_items).await });
        }
        let page = match self.running.join_next().await {
            None => return Ok(None),
            Some(Ok(page)) => page?,
            Some(Err(error)) => return Err(Error::new("a segment's task ended").cause(error)),
        };
        if let Some(next) = &page.next {
            let tokens = self.tokens.entry(page.segment.number).or_default();
            tokens.next(next).map_err(|error| {
                let table = &self.scan.table;
                table.db().unlikely(&format!("scan the table `{table}`"), &error)
            })?;
            self.idle.push((page.segment, Some(next.clone())));
        }
        Ok(Some(page))
    }
}

/// What a scan came to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counted {
    /// items for which the filter holds
    pub items: u64,
    /// items that were read for it
    pub scanned: u64,
    /// read capacity units
    pub consumed_capacity: f64,
}

/// A page of a scan.
#[derive(Debug)]
pub struct Page {
    /// the segment that it is of
    pub segment: Segment,
    /// where the segment goes on; none: this was its end
    pub next: Option<StartKey>,
    /// items that it has
    pub count: u64,
    /// items that were read for it, before the filter
    pub scanned: u64,
    /// read capacity units
    pub consumed_capacity: f64,
    body: Vec<u8>,
}

/// What every page has; [`IncompleteAnswer`] where one has not.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Head<'a> {
    #[serde(borrow)]
    last_evaluated_key: Option<Attributes<'a>>,
    count: u64,
    scanned_count: u64,
    consumed_capacity: Consumed,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Consumed {
    capacity_units: f64,
}

#[derive(Deserialize)]
struct Items<'a> {
    #[serde(borrow, rename = "Items")]
    items: Vec<Attributes<'a>>,
}

impl Page {
    fn new(segment: Segment, body: &[u8], is_filtered: bool) -> Result<Self, BoxError> {
        let head: Head<'_> = match serde_json::from_slice(body) {
            Ok(head) => head,
            Err(error) if body.is_empty() || error.is_data() => {
                let fault = if body.is_empty() { "is empty".to_owned() } else { error.to_string() };
                return Err(IncompleteAnswer::new("Scan", fault).into());
            }
            Err(error) => return Err(error.into()),
        };
        let (count, mut scanned) = (head.count, head.scanned_count);
        // Where a page is full at 1 MB, the embedded server has read the item that no
        // longer fits, counts it, and sends it on the next page.
        if !is_filtered && head.last_evaluated_key.is_some() && scanned == count + 1 {
            scanned = count;
        }
        if count > scanned || !is_filtered && count < scanned {
            let fault = format!("counts {count} items of {scanned} that were read");
            return Err(IncompleteAnswer::new("Scan", fault).into());
        }
        Ok(Self {
            segment,
            next: head.last_evaluated_key.map(|key| key.to_sdk()),
            count,
            scanned,
            consumed_capacity: head.consumed_capacity.capacity_units,
            body: body.to_vec(),
        })
    }

    /// The items.
    ///
    /// # Errors
    /// Where the page is not what DynamoDB sends.
    pub fn items(&self) -> Result<Vec<Attributes<'_>>, Error> {
        let cannot = || Error::new("cannot read the items that DynamoDB sent");
        let items: Result<Items<'_>, _> = serde_json::from_slice(&self.body);
        let items = items.map_err(|error| cannot().cause(error))?.items;
        if items.len() as u64 != self.count {
            return Err(cannot()
                .cause(format!("a page counts {} items and has {}", self.count, items.len()))
                .hint("look at what is between here and DynamoDB: a proxy, perhaps"));
        }
        Ok(items)
    }
}

/// Keeps the body of a good answer as it is, in place of reading it into the
/// SDK's items.
#[derive(Debug, Clone)]
struct KeepBody {
    segment: Segment,
    is_filtered: bool,
    page: Arc<Mutex<Option<Page>>>,
}

impl Intercept for KeepBody {
    fn name(&self) -> &'static str {
        "keep the body"
    }

    fn read_before_execution(
        &self,
        _: &BeforeSerializationInterceptorContextRef<'_>,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        cfg.interceptor_state().store_put(SharedResponseDeserializer::new(self.clone()));
        Ok(())
    }
}

#[derive(Deserialize)]
struct ServiceError {
    #[serde(rename = "__type")]
    code: Option<String>,
    #[serde(alias = "Message")]
    message: Option<String>,
}

impl DeserializeResponse for KeepBody {
    fn deserialize_nonstreaming_with_config(
        &self,
        response: &HttpResponse,
        _: &ConfigBag,
    ) -> OutputOrError {
        let body = response.body().bytes().unwrap_or_default();
        if response.status().is_success() {
            let page = Page::new(self.segment, body, self.is_filtered)
                .map_err(OrchestratorError::other)?;
            *self.page.lock().unwrap_or_else(PoisonError::into_inner) = Some(page);
            return Ok(Output::erase(ScanOutput::builder().build()));
        }
        let error: Option<ServiceError> = serde_json::from_slice(body).ok();
        let (code, message) = error.map_or((None, None), |error| (error.code, error.message));
        // `com.amazonaws.dynamodb.v20120810#ThrottlingException`
        let code = code.map(|code| code.rsplit('#').next().unwrap_or_default().to_owned());
        let mut metadata = ErrorMetadata::builder();
        if let Some(code) = code {
            metadata = metadata.code(code);
        }
        if let Some(message) = message {
            metadata = metadata.message(message);
        }
        let error = ScanError::generic(metadata.build());
        Err(OrchestratorError::operation(ErasedError::erase(error)))
    }
}
