//! What DynamoDB itself moves between a table and S3: the place there, and the job, which
//! goes on whether anybody waits for it or not.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use tokio::time::Instant;
use uuid::Uuid;

use crate::dynamodb::Dynamo;
use crate::dynamodb::poll::Poll;
use crate::dynamodb::retry::{Failure, judge};
use crate::error::{Error, Exit};
use crate::ui::Ui;

/// A job of a large table takes hours.
const LONGEST: Duration = Duration::from_secs(30 * 86_400);
/// How often it is said where there is no terminal.
const SAY_EVERY: Duration = Duration::from_secs(60);
/// A job goes on while DynamoDB does not say how it is; nobody waits longer to hear.
const PATIENCE: Duration = Duration::from_secs(600);

/// `s3://BUCKET/PREFIX`
///
/// ```
/// # use ops_common::dynamodb::s3::Location;
/// let location: Location = "s3://backups/2026/".parse().unwrap();
/// assert_eq!((&*location.bucket, &*location.prefix), ("backups", "2026"));
/// assert_eq!(location.to_string(), "s3://backups/2026");
/// assert_eq!("s3://backups".parse::<Location>().unwrap().to_string(), "s3://backups");
/// for wrong in ["backups", "s3://", "s3:///2026", "s3://Backups", "s3://a//b", "https://backups"] {
///     assert!(wrong.parse::<Location>().is_err(), "{wrong}");
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// its name
    pub bucket: String,
    /// without a slash at either end; empty: the whole bucket
    pub prefix: String,
}

impl FromStr for Location {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || {
            "a place in S3 like `s3://BUCKET/PREFIX`: 3 to 63 of a-z, 0-9, `.`, `-`, and no empty or dotted part behind them"
                .to_owned()
        };
        let rest = text.strip_prefix("s3://").ok_or_else(expected)?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let is_bucket = (3..=63).contains(&bucket.len())
            && bucket.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-'));
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        let is_prefix = prefix.is_empty()
            || prefix.split('/').all(|part| !["", ".", ".."].contains(&part))
                && !prefix.contains(char::is_control);
        if !is_bucket || !is_prefix {
            return Err(expected());
        }
        Ok(Self { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix.as_str() {
            "" => write!(f, "s3://{}", self.bucket),
            prefix => write!(f, "s3://{}/{prefix}", self.bucket),
        }
    }
}

/// The ARN of an export or an import:
/// `arn:aws:dynamodb:REGION:ACCOUNT:table/NAME/export/ID`
///
/// ```
/// # use ops_common::dynamodb::s3::JobArn;
/// let arn: JobArn = "arn:aws:dynamodb:ca-central-1:123456789012:table/t/export/0169-2d8".parse().unwrap();
/// assert_eq!((&*arn.region, &*arn.account, &*arn.table), ("ca-central-1", "123456789012", "t"));
/// assert_eq!(arn.kind, "export");
/// assert!("arn:aws:dynamodb:ca-central-1:123456789012:table/t".parse::<JobArn>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobArn {
    /// as it was written
    pub text: String,
    /// where the job is
    pub region: String,
    /// whose it is, twelve digits
    pub account: String,
    /// the table that it reads or makes
    pub table: String,
    /// `export` or `import`
    pub kind: String,
}

impl FromStr for JobArn {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        if let ["arn", _, "dynamodb", region, account, resource] = parts[..]
            && let ["table", table, kind @ ("export" | "import"), id] =
                resource.split('/').collect::<Vec<_>>()[..]
            && ![region, account, table, id].contains(&"")
        {
            let owned = |text: &str| text.to_owned();
            return Ok(Self {
                text: owned(text),
                region: owned(region),
                account: owned(account),
                table: owned(table),
                kind: owned(kind),
            });
        }
        Err("an ARN like `arn:aws:dynamodb:REGION:ACCOUNT:table/NAME/export/ID`".to_owned())
    }
}

impl JobArn {
    /// # Errors
    /// Where the client acts in another region: it would not find the job.
    pub fn refuse_elsewhere(&self, db: &Dynamo) -> Result<(), Error> {
        if self.region == db.region() {
            return Ok(());
        }
        Err(Error::new(format!(
            "the {} is in {}, and this acts in {}",
            self.kind,
            self.region,
            db.region()
        ))
        .hint(format!("add --region {}", self.region)))
    }
}

impl fmt::Display for JobArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The client token of a request: the same one for the same words, so that DynamoDB takes a
/// request that is repeated within eight hours for the one that it has.
#[must_use]
pub fn client_token(words: &[&str]) -> String {
    Uuid::new_v5(&Uuid::NAMESPACE_URL, words.join("\n").as_bytes()).to_string()
}

/// What came of asking how a job is.
#[derive(Debug)]
pub enum Look<T> {
    /// it goes on, in this state
    GoesOn(String),
    /// nobody knows at the moment
    Unknown(Error),
    /// it is over
    Ended(T),
}

impl<T> Look<T> {
    /// Of a call that failed: [`Look::Unknown`] where another one may succeed.
    ///
    /// # Errors
    /// `told`, where it would not.
    pub fn failed<E>(error: &SdkError<E>, told: Error) -> Result<Self, Error>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        match judge(error) {
            Failure::Throttled | Failure::Transient => Ok(Self::Unknown(told)),
            Failure::Invalid | Failure::Final => Err(told),
        }
    }
}

/// Asks again and again until the job is over, and says how long it has been `doing`
/// (`exporting`). Ctrl-C ends the wait, and not the job.
///
/// # Errors
/// Those of `look`; where nothing was heard of the job for ten minutes; Ctrl-C.
pub async fn wait<T>(
    doing: &str,
    ui: &Ui,
    look: impl AsyncFnMut() -> Result<Look<T>, Error>,
) -> Result<T, Error> {
    tokio::select! {
        ended = poll(doing, ui, look) => ended,
        _ = tokio::signal::ctrl_c() => Err(Error::new("interrupted").exit(Exit::Interrupted)),
    }
}

async fn poll<T>(
    doing: &str,
    ui: &Ui,
    mut look: impl AsyncFnMut() -> Result<Look<T>, Error>,
) -> Result<T, Error> {
    let start = Instant::now();
    let (mut heard, mut said) = (start, start);
    let mut poll = Poll::new(LONGEST);
    let mut progress = ui.progress(doing);
    loop {
        let state = match look().await? {
            Look::Ended(outcome) => return Ok(outcome),
            Look::GoesOn(state) => {
                heard = Instant::now();
                state
            }
            Look::Unknown(error) if heard.elapsed() > PATIENCE => {
                return Err(error.hint("the job may go on: wait for it again with --resume"));
            }
            Look::Unknown(error) => format!("not known at the moment: {error}"),
        };
        if ui.is_terminal() {
            // With the time since.
            progress.say(format_args!("{doing}: {state}"));
        } else if said.elapsed() > SAY_EVERY {
            said = Instant::now();
            ui.note(format_args!("{doing}: {state}, {}", elapsed(start.elapsed())));
        }
        if !poll.next().await {
            return Err(Error::new("the job has not ended in a month"));
        }
    }
}

/// A duration as people say it.
fn elapsed(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        seconds => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short() {
        let said = |seconds| elapsed(Duration::from_secs(seconds));
        assert_eq!(
            [59, 60, 3599, 3600, 90_061].map(said),
            ["59 s", "1 min 0 s", "59 min 59 s", "1 h 0 min", "25 h 1 min"]
        );
    }
}
