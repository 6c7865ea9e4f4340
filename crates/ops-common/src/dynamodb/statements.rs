//! Writes that each have a condition of their own, many a request: as PartiQL
//! statements, since BatchWriteItem takes no conditions and a transaction costs twice.
//!
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-reference.multiplestatements.batching.html>:
//! at most 25 a request, and no two for one key. Each is done or not by itself.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeValue, BatchStatementErrorCodeEnum as Code, BatchStatementRequest,
    BatchStatementResponse, ReturnConsumedCapacity,
};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use tokio::time::sleep;

use crate::dynamodb::batch::BATCH_SIZE;
use crate::dynamodb::capacity::Bucket;
use crate::dynamodb::retry::{Backoff, Failure, judge};
use crate::dynamodb::table::Table;
use crate::error::Error;

/// Requests on their way at once.
const CONCURRENCY: usize = 8;

/// One statement that writes one item, named by its whole key in the WHERE clause; what
/// else stands there is the condition.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// with `?` for each value
    pub text: String,
    /// in the order of the text
    pub parameters: Vec<AttributeValue>,
}

/// What became of statements.
#[derive(Debug, Default)]
pub struct Written {
    /// for each, whether it was done; else its condition does not hold
    pub done: Vec<bool>,
    /// write capacity units
    pub consumed_capacity: f64,
}

/// Writes to one table.
#[derive(Debug)]
pub struct Statements {
    client: Client,
    table: Table,
    limit: Option<Bucket>,
    give_up_after: Duration,
}

impl Statements {
    /// See [`Table::statements`].
    pub(crate) fn new(table: &Table, limit: Option<Bucket>, give_up_after: Duration) -> Self {
        let client = table.db().client_without_retries();
        Self { client, table: table.clone(), limit, give_up_after }
    }

    /// Writes all of them. One whose answer was lost is sent again, and is then not done
    /// where its condition is about what it changed itself.
    ///
    /// # Errors
    /// Where DynamoDB refuses one, or takes none of a request for as long as it is tried.
    pub async fn write(&self, statements: &[Statement]) -> Result<Written, Error> {
        let affordable = self.limit.as_ref().map_or(f64::MAX, Bucket::request_limit);
        let size = BATCH_SIZE.min((affordable.max(1.0)) as usize);
        let batches: Vec<Written> = stream::iter(statements.chunks(size))
            .map(|batch| self.write_batch(batch))
            .buffered(CONCURRENCY)
            .try_collect()
            .await?;
        let mut written = Written::default();
        for batch in batches {
            written.done.extend(batch.done);
            written.consumed_capacity += batch.consumed_capacity;
        }
        Ok(written)
    }

    async fn write_batch(&self, batch: &[Statement]) -> Result<Written, Error> {
        let mut backoff = Backoff::new(self.give_up_after);
        let mut outcomes: Vec<Option<bool>> = vec![None; batch.len()];
        let mut consumed_capacity = 0.0;
        loop {
            let left: Vec<usize> =
                (0..batch.len()).filter(|index| outcomes[*index].is_none()).collect();
            let requests: Vec<&Statement> = left.iter().map(|index| &batch[*index]).collect();
            let (responses, units) = match self.send(&requests).await {
                Ok(answer) => answer,
                Err((Failure::Throttled | Failure::Transient, error)) => match backoff.pause() {
                    Some(pause) => {
                        sleep(pause).await;
                        continue;
                    }
                    None => return Err(self.gave_up(Some(error), &backoff)),
                },
                Err((_, error)) => return Err(error),
            };
            consumed_capacity += units;
            for (index, response) in left.iter().zip(&responses) {
                outcomes[*index] = self.outcome(response)?;
            }
            let missing = outcomes.iter().filter(|outcome| outcome.is_none()).count();
            if missing == 0 {
                let done = outcomes.into_iter().flatten().collect();
                return Ok(Written { done, consumed_capacity });
            }
            if missing < left.len() {
                backoff.progress();
            }
            match backoff.pause() {
                Some(pause) => sleep(pause).await,
                None => return Err(self.gave_up(None, &backoff)),
            }
        }
    }

    /// Sends statements once, within the limit.
    async fn send(
        &self,
        statements: &[&Statement],
    ) -> Result<(Vec<BatchStatementResponse>, f64), (Failure, Error)> {
        let requests = statements.iter().map(|statement| {
            BatchStatementRequest::builder()
                .statement(&statement.text)
                .set_parameters(Some(statement.parameters.clone()))
                .build()
                .expect("it has a statement")
        });
        let taken = match &self.limit {
            Some(bucket) => Some((bucket, bucket.take(statements.len() as f64).await)),
            None => None,
        };
        let sent = self
            .client
            .batch_execute_statement()
            .set_statements(Some(requests.collect()))
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await;
        let output = match sent {
            Ok(output) => output,
            Err(error) => {
                let failure = judge(&error);
                match taken {
                    Some((bucket, taken)) if failure == Failure::Transient => {
                        bucket.settle_unknown(taken);
                    }
                    Some((bucket, taken)) => bucket.settle(taken, 0.0, 0.0),
                    None => {}
                }
                return Err((failure, self.table.error("write to", &error).await));
            }
        };
        let units = output.consumed_capacity().iter().filter_map(|units| units.capacity_units());
        let units = units.sum();
        if let Some((bucket, taken)) = taken {
            bucket.settle(taken, statements.len() as f64, units);
        }
        let responses = output.responses.unwrap_or_default();
        if responses.len() != statements.len() {
            let why = format!("{} answers to {} statements", responses.len(), statements.len());
            let doing = format!("write to the table `{}`", self.table);
            return Err((Failure::Final, self.table.db().unlikely(&doing, &why)));
        }
        Ok((responses, units))
    }

    /// Whether a statement was done. `None` where it has to be sent again.
    fn outcome(&self, response: &BatchStatementResponse) -> Result<Option<bool>, Error> {
        let Some(error) = response.error() else { return Ok(Some(true)) };
        match error.code() {
            Some(Code::ConditionalCheckFailed) => Ok(Some(false)),
            Some(
                Code::InternalServerError
                | Code::ProvisionedThroughputExceeded
                | Code::RequestLimitExceeded
                | Code::ThrottlingError
                | Code::TransactionConflict,
            ) => Ok(None),
            code => {
                let code = code.map_or("an unknown error", Code::as_str);
                let message = error.message().unwrap_or_default();
                Err(Error::new(format!("cannot write to the table `{}`", self.table))
                    .cause(format!("{code}: {message}")))
            }
        }
    }

    fn gave_up(&self, last: Option<Error>, backoff: &Backoff) -> Error {
        let error = last.unwrap_or_else(|| {
            Error::new(format!("the table `{}` takes no more writes", self.table))
        });
        error
            .cause(format!("no progress after {} s of retries", backoff.patience().as_secs()))
            .hint("run it again later, or with a lower --max-wcu")
    }
}
