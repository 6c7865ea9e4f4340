//! When a call is worth another attempt, and how long to wait before it.
//!
//! Pauses grow with full jitter, as in
//! <https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/>.

use std::error::Error as StdError;
use std::io;
use std::iter;
use std::time::Duration;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use tokio::time::Instant;

use crate::aws::answers::is_incomplete;
use crate::aws::root;

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How long to wait after so many attempts in vain.
pub(crate) fn full_jitter(failed_attempts: u32) -> Duration {
    let longest = LONGEST_PAUSE.min(FIRST_PAUSE * 2_u32.saturating_pow(failed_attempts.min(16)));
    longest.mul_f64(fastrand::f64())
}

/// Attempts in vain since the last progress, and when to give up.
#[derive(Debug)]
pub struct Backoff {
    give_up_after: Duration,
    /// of the first attempt in vain
    since: Option<Instant>,
    failed_attempts: u32,
}

impl Backoff {
    /// Gives up where nothing has come of any attempt for so long.
    #[must_use]
    pub fn new(give_up_after: Duration) -> Self {
        Self { give_up_after, since: None, failed_attempts: 0 }
    }

    /// Something was done: pauses and patience begin anew.
    pub fn progress(&mut self) {
        self.failed_attempts = 0;
        self.since = None;
    }

    /// How long to wait before the next attempt. `None`: it is time to give up.
    pub fn pause(&mut self) -> Option<Duration> {
        let pause = full_jitter(self.failed_attempts);
        self.failed_attempts += 1;
        let now = Instant::now();
        let since = *self.since.get_or_insert(now);
        (now + pause <= since + self.give_up_after).then_some(pause)
    }

    /// The patience that is over.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.give_up_after
    }
}

/// What a failed call says of the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// the table takes no more for the moment
    Throttled,
    /// the service or the way to it failed; whether the call was carried out is
    /// not known
    Transient,
    /// the request as it is will not be taken
    Invalid,
    /// another attempt would fail alike
    Final,
}

/// Judges the failure of a call that may be sent again.
pub fn judge<E>(error: &SdkError<E>) -> Failure
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    match error {
        SdkError::ServiceError(service) => match service.err().code() {
            Some(code) if is_throttling(code) => Failure::Throttled,
            Some("ValidationException" | "ItemCollectionSizeLimitExceededException") => {
                Failure::Invalid
            }
            Some(
                "InternalServerError" | "ServiceUnavailable" | "TransactionInProgressException",
            ) => Failure::Transient,
            _ if service.raw().status().is_server_error() => Failure::Transient,
            _ => Failure::Final,
        },
        SdkError::TimeoutError(_) => Failure::Transient,
        SdkError::ResponseError(_) => {
            // An answer that was cut or lost its body, or one that is whole and not
            // DynamoDB's.
            let lost = is_transport_error(error) || is_incomplete(error);
            if lost { Failure::Transient } else { Failure::Final }
        }
        SdkError::DispatchFailure(failure) => {
            let refused = |error| {
                let error = root(error).downcast_ref::<io::Error>();
                error.is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
            };
            match failure.as_connector_error() {
                // Nobody listens: nothing will change that in a while.
                Some(error) if refused(error) => Failure::Final,
                Some(error) if error.is_timeout() || is_transport_error(error) => {
                    Failure::Transient
                }
                _ => Failure::Final,
            }
        }
        _ => Failure::Final,
    }
}

/// Whether the connection failed, and not what was said over it.
fn is_transport_error(error: &(dyn StdError + 'static)) -> bool {
    let mut sources = iter::successors(Some(error), |&error| error.source());
    sources.any(|error| error.is::<hyper::Error>() || error.is::<io::Error>())
}

/// Whether an error's code says that the table takes no more for the moment.
#[must_use]
pub fn is_throttling(code: &str) -> bool {
    matches!(
        code,
        "ProvisionedThroughputExceededException" | "ThrottlingException" | "RequestLimitExceeded"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_random_and_capped() {
        for failed_attempts in [0, 1, 5, 40, u32::MAX] {
            let longest = LONGEST_PAUSE.min(FIRST_PAUSE * 2_u32.pow(failed_attempts.min(16)));
            assert!((0..100).all(|_| full_jitter(failed_attempts) <= longest));
        }
    }
}
