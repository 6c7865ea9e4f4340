//! Every environment variable that a tool reads, named once.
//!
//! A variable that is set but empty counts as unset. The SDK reads more of its
//! own in `prod` (credentials, profiles, retry settings); these are the ones
//! that this project decides about.

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

/// The Cognito endpoint; `AWS_ENDPOINT_URL` is not it, that means DynamoDB in
/// this app. Refused in `prod` when it is local.
pub const AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER: &str =
    "AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER";

/// The endpoint of STS, where roles are assumed; refused for a real account
/// when it is local.
pub const AWS_ENDPOINT_URL_STS: &str = "AWS_ENDPOINT_URL_STS";

/// An access key: with it the SDK asks nobody for credentials.
pub const AWS_ACCESS_KEY_ID: &str = "AWS_ACCESS_KEY_ID";

/// Checked before the SDK sees it: a value it does not know makes it panic.
pub const AWS_RETRY_MODE: &str = "AWS_RETRY_MODE";

/// The Postgres URL of target `local`. Holds a password.
pub const CONNECTION_URL: &str = "CONNECTION_URL";

/// The Postgres URL of target `prod`. Holds a password.
pub const PROD_CONNECTION_URL: &str = "PROD_CONNECTION_URL";

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
