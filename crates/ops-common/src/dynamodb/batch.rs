//! BatchWriteItem: one batch, or all of them until everything is written or a
//! deadline has passed.
//!
//! At most 25 requests and 16 MB a batch, and no two for one key:
//! <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html>.
//! What comes back as UnprocessedItems comes with 200 OK; it is the caller's to
//! send again. A request is written down once, as the JSON that is sent: where
//! millions go through, the SDK's own building of bodies is what costs.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::types::WriteRequest;
use tokio::time::sleep;

use crate::aws::replace_body;
use crate::dynamodb::item::Attributes;
use crate::dynamodb::key::KeyNames;
use crate::dynamodb::retry::{Backoff, Failure, judge};
use crate::dynamodb::table::Table;
use crate::error::{Error, Exit};

/// As many requests as a batch takes.
pub const BATCH_SIZE: usize = 25;

/// One request of a batch.
#[derive(Debug, Clone)]
pub struct Write {
    /// [`KeyNames::identity`] of its key: two of the same are not for one batch
    pub identity: u64,
    kind: Kind,
    /// the item, or the key
    body: Box<[u8]>,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Put,
    Delete,
}

impl Write {
    /// Puts the item, in place of the one that has its key.
    ///
    /// # Errors
    /// Where the item lacks its key.
    pub fn put(item: &Attributes<'_>, keys: &KeyNames) -> Result<Self, String> {
        Self::new(Kind::Put, item, keys)
    }

    /// Puts the item that this JSON is.
    ///
    /// # Errors
    /// Where the item lacks its key.
    pub fn put_json(json: &str, item: &Attributes<'_>, keys: &KeyNames) -> Result<Self, String> {
        let body = json.as_bytes().into();
        Ok(Self { identity: keys.identity(item)?, kind: Kind::Put, body })
    }

    /// Deletes the item of that key.
    ///
    /// # Errors
    /// Where the key is none.
    pub fn delete(key: &Attributes<'_>, keys: &KeyNames) -> Result<Self, String> {
        Self::new(Kind::Delete, key, keys)
    }

    fn new(kind: Kind, item: &Attributes<'_>, keys: &KeyNames) -> Result<Self, String> {
        let body = serde_json::to_vec(item).map_err(|error| error.to_string())?;
        Ok(Self { identity: keys.identity(item)?, kind, body: body.into() })
    }

    /// The bytes that it takes in a request.
    #[must_use]
    pub fn size(&self) -> usize {
        self.body.len()
    }
}

/// What became of a batch that DynamoDB took.
#[derive(Debug)]
pub struct Sent {
    /// the places in the batch of what has to be sent again
    pub unprocessed: Vec<usize>,
    /// write capacity units
    pub consumed_capacity: f64,
}

/// A batch of which nothing is known to be written.
#[derive(Debug)]
pub struct Refused {
    /// what that says of another attempt
    pub failure: Failure,
    /// DynamoDB's own words, where it answered
    pub message: Option<String>,
    /// the whole error
    pub error: Error,
}

/// Sends batches to one table.
#[derive(Debug, Clone)]
pub struct Batches {
    client: Client,
    table: Table,
    keys: KeyNames,
}

impl Batches {
    /// To the table of these keys: see [`Table::batch_writer`].
    pub(crate) fn new(table: &Table, keys: KeyNames) -> Self {
        Self { client: table.db().client_without_retries(), table: table.clone(), keys }
    }

    /// The table's name.
    #[must_use]
    pub fn table(&self) -> &str {
        self.table.name()
    }

    /// Sends one batch, once.
    ///
    /// # Errors
    /// Where DynamoDB did not take it, or that is not known.
    pub async fn send(&self, batch: &[&Write]) -> Result<Sent, Refused> {
        let body = self.body(batch);
        let sent = self
            .client
            .batch_write_item()
            .request_items(self.table.name(), Vec::new())
            .customize()
            .mutate_request(move |request| replace_body(request, body.clone()))
            .send()
            .await;
        let output = match sent {
            Ok(output) => output,
            Err(error) => {
                let service = error.as_service_error();
                let message = service.and_then(ProvideErrorMetadata::message).map(str::to_owned);
                return Err(Refused {
                    failure: judge(&error),
                    message,
                    error: self.table.error("write to", &error).await,
                });
            }
        };
        let consumed_capacity =
            output.consumed_capacity().iter().filter_map(|units| units.capacity_units()).sum();
        let unprocessed = output.unprocessed_items.unwrap_or_default().into_values().flatten();
        let unprocessed = self.places(batch, unprocessed).map_err(|why| Refused {
            // Which ones were written is not known: all have to go again.
            failure: Failure::Transient,
            message: None,
            error: Error::new(format!("cannot write to the table `{}`", self.table)).cause(why),
        })?;
        Ok(Sent { unprocessed, consumed_capacity })
    }

    fn body(&self, batch: &[&Write]) -> Vec<u8> {
        let length: usize = batch.iter().map(|write| write.body.len() + 32).sum();
        let mut body = Vec::with_capacity(length + 128);
        // The names of tables have nothing in them that JSON would escape.
        body.extend_from_slice(format!(r#"{{"RequestItems":{{"{}":["#, self.table).as_bytes());
        for (index, write) in batch.iter().enumerate() {
            if index > 0 {
                body.push(b',');
            }
            body.extend_from_slice(match write.kind {
                Kind::Put => br#"{"PutRequest":{"Item":"#,
                Kind::Delete => br#"{"DeleteRequest":{"Key":"#,
            });
            body.extend_from_slice(&write.body);
            body.extend_from_slice(b"}}");
        }
        body.extend_from_slice(br#"]},"ReturnConsumedCapacity":"TOTAL"}"#);
        body
    }

    fn places(
        &self,
        batch: &[&Write],
        unprocessed: impl Iterator<Item = WriteRequest>,
    ) -> Result<Vec<usize>, String> {
        let mut places = Vec::new();
        for request in unprocessed {
            let item = match (request.put_request, request.delete_request) {
                (Some(put), _) => put.item,
                (None, Some(delete)) => delete.key,
                (None, None) => HashMap::new(),
            };
            let identity = Attributes::from_sdk(&item)
                .ok_or_else(|| "an unprocessed item of an unknown type".to_owned())
                .and_then(|item| self.keys.identity(&item))?;
            let place = batch.iter().position(|write| write.identity == identity);
            places.push(place.ok_or("an unprocessed item that was not sent")?);
        }
        places.sort_unstable();
        places.dedup();
        Ok(places)
    }
}

/// Writes all of `writes`, which name each key once. Returns the write capacity
/// units that it took.
///
/// # Errors
/// Where DynamoDB refuses a batch, or none of it makes progress for
/// `give_up_after`: exit code 3 where some were written, and the error says how
/// many.
pub async fn write_all(
    batches: &Batches,
    writes: Vec<Write>,
    give_up_after: Duration,
) -> Result<f64, Error> {
    let total = writes.len();
    let mut consumed_capacity = 0.0;
    let mut backoff = Backoff::new(give_up_after);
    let mut waiting = VecDeque::from(writes);
    while !waiting.is_empty() {
        let size = waiting.len().min(BATCH_SIZE);
        let batch: Vec<Write> = waiting.drain(..size).collect();
        let failure = match batches.send(&batch.iter().collect::<Vec<_>>()).await {
            Ok(sent) => {
                consumed_capacity += sent.consumed_capacity;
                if sent.unprocessed.len() < batch.len() {
                    backoff.progress();
                }
                if sent.unprocessed.is_empty() {
                    continue;
                }
                waiting.extend(sent.unprocessed.into_iter().map(|place| batch[place].clone()));
                None
            }
            Err(refused) if matches!(refused.failure, Failure::Final | Failure::Invalid) => {
                return Err(in_part(refused.error, total - waiting.len() - size, total));
            }
            Err(refused) => {
                waiting.extend(batch);
                Some(refused)
            }
        };
        match backoff.pause() {
            Some(pause) => sleep(pause).await,
            None => {
                let error = gave_up(batches.table(), give_up_after, failure);
                return Err(in_part(error, total - waiting.len(), total).exit(Exit::Partial));
            }
        }
    }
    Ok(consumed_capacity)
}

/// The error of a table that took nothing for so long. `last` is the last
/// attempt's refusal; none where it came as UnprocessedItems.
#[must_use]
pub fn gave_up(table: &str, patience: Duration, last: Option<Refused>) -> Error {
    let patience = patience.as_secs();
    match last {
        Some(refused) if refused.failure != Failure::Throttled => {
            refused.error.cause(format!("no progress after {patience} s of retries"))
        }
        _ => Error::new(format!(
            "no progress after {patience} s of retries: the table `{table}` is throttled"
        ))
        .hint("run it again later")
        .hint("or raise the table's write capacity"),
    }
}

fn in_part(error: Error, written: usize, total: usize) -> Error {
    let error = error.cause(format!("{written} of {total} rows are known to be written"));
    if written > 0 {
        error.hint("run it again: what is written stays, the rest follows").exit(Exit::Partial)
    } else {
        error
    }
}
