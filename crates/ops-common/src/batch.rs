//! BatchWriteItem, until everything is written or a deadline has passed.
//!
//! At most 25 requests a batch, and no two for one key:
//! <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html>.
//! What comes back as UnprocessedItems comes with 200 OK; the SDK does not
//! retry it. It is sent again after a pause that grows, with full jitter, as in
//! <https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/>.

use std::time::Duration;

use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::types::{ReturnConsumedCapacity, WriteRequest};
use tokio::time::{Instant, sleep};

use crate::dynamodb::{Dynamo, is_throttling};
use crate::error::{Error, Exit};
use crate::table_lifecycle::missing;

const BATCH_SIZE: usize = 25;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Writes all of `requests`, which name each key once. Returns the write
/// capacity units that it took.
///
/// # Errors
/// Where DynamoDB refuses a batch, or none of it makes progress for
/// `give_up_after`: exit code 3 where some were written, and the error says how
/// many.
pub async fn write_all(
    db: &Dynamo,
    table: &str,
    mut requests: Vec<WriteRequest>,
    give_up_after: Duration,
) -> Result<f64, Error> {
    let total = requests.len();
    let mut consumed_capacity = 0.0;
    let mut fruitless = 0_u32;
    let mut deadline = Instant::now() + give_up_after;
    // From the end, so that what is taken off costs nothing; the order of the
    // rows does not matter.
    requests.reverse();
    while !requests.is_empty() {
        let batch = requests.split_off(requests.len().saturating_sub(BATCH_SIZE));
        let sent = batch.len();
        let unprocessed = match send(db, table, batch.clone(), &mut consumed_capacity).await {
            Ok(unprocessed) => unprocessed,
            Err(Refused::Throttled) => batch,
            Err(Refused::Failed(error)) => {
                return Err(in_part(error, total - requests.len() - sent, total));
            }
        };
        if unprocessed.len() < sent {
            fruitless = 0;
            deadline = Instant::now() + give_up_after;
        }
        if unprocessed.is_empty() {
            continue;
        }
        requests.extend(unprocessed);
        let pause = full_jitter(fruitless);
        if Instant::now() + pause > deadline {
            let error = Error::new(format!(
                "DynamoDB has taken nothing for {} s: the table `{table}` is throttled",
                give_up_after.as_secs()
            ))
            .hint("run it again later")
            .hint("or raise the table's write capacity");
            return Err(in_part(error, total - requests.len(), total).exit(Exit::Partial));
        }
        sleep(pause).await;
        fruitless += 1;
    }
    Ok(consumed_capacity)
}

fn in_part(error: Error, written: usize, total: usize) -> Error {
    let error = error.cause(format!("{written} of {total} rows were surely written"));
    if written > 0 {
        error.hint("run it again: what is written stays, the rest follows").exit(Exit::Partial)
    } else {
        error
    }
}

/// How long to wait after so many attempts in vain.
pub(crate) fn full_jitter(fruitless: u32) -> Duration {
    let longest = LONGEST_PAUSE.min(FIRST_PAUSE * 2_u32.saturating_pow(fruitless.min(16)));
    longest.mul_f64(fastrand::f64())
}

enum Refused {
    Throttled,
    Failed(Error),
}

/// Sends one batch and returns what DynamoDB did not process.
async fn send(
    db: &Dynamo,
    table: &str,
    batch: Vec<WriteRequest>,
    consumed_capacity: &mut f64,
) -> Result<Vec<WriteRequest>, Refused> {
    let output = db
        .client()
        .batch_write_item()
        .request_items(table, batch)
        .return_consumed_capacity(ReturnConsumedCapacity::Total)
        .send()
        .await
        .map_err(|error| {
            let code = error.as_service_error().and_then(ProvideErrorMetadata::code);
            let throttled = code.is_some_and(is_throttling);
            if throttled {
                return Refused::Throttled;
            }
            Refused::Failed(match error.as_service_error() {
                Some(service) if service.is_resource_not_found_exception() => missing(db, table),
                _ => db.error(&format!("write to the table `{table}`"), &error),
            })
        })?;
    *consumed_capacity += output
        .consumed_capacity()
        .iter()
        .filter_map(|capacity| capacity.capacity_units())
        .sum::<f64>();
    Ok(output.unprocessed_items.unwrap_or_default().into_values().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_random_and_capped() {
        for fruitless in [0, 1, 5, 40, u32::MAX] {
            let longest = LONGEST_PAUSE.min(FIRST_PAUSE * 2_u32.pow(fruitless.min(16)));
            assert!((0..100).all(|_| full_jitter(fruitless) <= longest));
        }
    }
}
