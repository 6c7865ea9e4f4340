//! Every environment variable that a tool reads, named once.
//!
//! A variable that is set but empty counts as unset. The SDK reads more of its
//! own in `prod` (credentials, profiles, retry settings); these are the ones
//! that this project decides about.

use std::time::Duration;

use crate::error::Error;

/// The messages table's name, where neither `--table` nor `--schema` names it.
pub const DDB_MESSAGE_TABLE: &str = "DDB_MESSAGE_TABLE";

/// The DynamoDB endpoint of target `local`; refused in `prod` when it is local.
pub const AWS_ENDPOINT_URL_DYNAMODB: &str = "AWS_ENDPOINT_URL_DYNAMODB";

/// The endpoint of every AWS service; `local` falls back to it, `prod` refuses it.
pub const AWS_ENDPOINT_URL: &str = "AWS_ENDPOINT_URL";

/// The AWS region, where `--region` is not given.
pub const AWS_REGION: &str = "AWS_REGION";

/// The AWS region, where neither `--region` nor `AWS_REGION` is given.
pub const AWS_DEFAULT_REGION: &str = "AWS_DEFAULT_REGION";

/// The Cognito user pool, where `--user-pool-id` does not name it.
pub const AWS_COGNITO_USER_POOL_ID: &str = "AWS_COGNITO_USER_POOL_ID";

/// The app client of the pool that people sign in with, where
/// `--user-pool-client-id` does not name it.
pub const AWS_COGNITO_USER_POOL_CLIENT_ID: &str = "AWS_COGNITO_USER_POOL_CLIENT_ID";

/// The Cognito endpoint; `AWS_ENDPOINT_URL` is not it, that means DynamoDB in
/// this app. Refused in `prod` when it is local.
pub const AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER: &str =
    "AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER";

/// The endpoint of STS, where roles are assumed; refused for a real account
/// when it is local.
pub const AWS_ENDPOINT_URL_STS: &str = "AWS_ENDPOINT_URL_STS";

/// The account that `prod` may change, twelve digits; unset: any, after a look.
pub const OPS_EXPECTED_ACCOUNT_ID: &str = "OPS_EXPECTED_ACCOUNT_ID";

/// Seconds that a service may take to answer one request.
pub const OPS_TIMEOUT_SECS: &str = "OPS_TIMEOUT_SECS";

/// US dollars that an export to S3 costs for a GB of the table.
pub const OPS_EXPORT_USD_PER_GB: &str = "OPS_EXPORT_USD_PER_GB";

/// An access key: with it the SDK asks nobody for credentials.
pub const AWS_ACCESS_KEY_ID: &str = "AWS_ACCESS_KEY_ID";

/// Checked before the SDK sees it: a value it does not know makes it panic.
pub const AWS_RETRY_MODE: &str = "AWS_RETRY_MODE";

/// The Postgres URL of target `local`. Holds a password.
pub const CONNECTION_URL: &str = "CONNECTION_URL";

/// The Postgres URL of target `prod`. Holds a password.
pub const PROD_CONNECTION_URL: &str = "PROD_CONNECTION_URL";

/// The Postgres URL of a role that cannot write, for looking around in `prod`. Holds a
/// password.
pub const PROD_READ_CONNECTION_URL: &str = "PROD_READ_CONNECTION_URL";

/// Set by the scripts of `--completions`, when they ask a tool what may follow.
pub const OPS_COMPLETE: &str = "OPS_COMPLETE";

/// The time zone of the person, in which times are typed and shown.
pub const TZ: &str = "TZ";

/// The editor that a person chose for a whole screen.
pub const VISUAL: &str = "VISUAL";

/// The editor, where [`VISUAL`] names none.
pub const EDITOR: &str = "EDITOR";

/// Host names, separated by commas, that count as this machine besides the
/// usual ones.
pub const OPS_LOCAL_HOSTS: &str = "OPS_LOCAL_HOSTS";

/// The variable's value, or `None` where it is unset or empty. What is not
/// UTF-8 in it becomes U+FFFD, so that it is wrong and not ignored.
#[must_use]
pub fn var(name: &str) -> Option<String> {
    let value = std::env::var_os(name)?.to_string_lossy().into_owned();
    (!value.is_empty()).then_some(value)
}

/// How long a service may take to answer one request: [`OPS_TIMEOUT_SECS`], or 30
/// seconds. `cli` has refused what is no such number.
#[must_use]
pub fn timeout() -> Duration {
    Duration::from_secs(timeout_secs().ok().flatten().unwrap_or(30))
}

/// [`OPS_TIMEOUT_SECS`], where it is set.
///
/// # Errors
/// Where it is no number of seconds from one to an hour.
pub fn timeout_secs() -> Result<Option<u64>, Error> {
    let Some(text) = var(OPS_TIMEOUT_SECS) else { return Ok(None) };
    match text.parse() {
        Ok(secs) if (1..=3600).contains(&secs) => Ok(Some(secs)),
        _ => Err(Error::usage(format!("{OPS_TIMEOUT_SECS} is `{text}`"))
            .hint("it takes a number of seconds from 1 to 3600")),
    }
}

/// The account that `OPS_EXPECTED_ACCOUNT_ID` names.
///
/// # Errors
/// Where that is not an account ID.
pub fn expected_account_id() -> Result<Option<String>, Error> {
    let Some(expected) = var(OPS_EXPECTED_ACCOUNT_ID) else { return Ok(None) };
    if expected.len() != 12 || !expected.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Error::usage(format!(
            "{} is `{expected}`, which is not an AWS account ID",
            OPS_EXPECTED_ACCOUNT_ID
        ))
        .hint("an account ID has twelve digits; `aws sts get-caller-identity` shows yours"));
    }
    Ok(Some(expected))
}

/// How the person would call a tool: `ddb-seed prod`, or `cargo run -p ddb-seed
/// -- prod` where this tool was called like that.
#[must_use]
pub fn invocation(call: &str) -> String {
    // Cargo sets it for what it runs.
    if var("CARGO_MANIFEST_DIR").is_none() {
        return call.to_owned();
    }
    match call.split_once(' ') {
        Some((tool, arguments)) => format!("cargo run -p {tool} -- {arguments}"),
        None => format!("cargo run -p {call}"),
    }
}
