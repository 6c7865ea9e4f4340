//! A service of AWS, and the SDK's errors in words.

use std::error::Error as StdError;
use std::io;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

use crate::env;
use crate::error::Error;
use crate::target::endpoint::Endpoint;

const NO_ANSWER: &str = "no answer in time";

/// A service, as its errors speak of it.
#[derive(Debug, Clone)]
pub struct Service {
    /// `DynamoDB`
    pub name: &'static str,
    /// none: AWS's own for the region
    pub endpoint: Option<Endpoint>,
    /// where the endpoint can be named: a flag or a variable
    pub endpoint_setting: &'static str,
    /// the command that starts a container of it
    pub container: &'static str,
    /// the region that requests are signed for
    pub region: String,
    /// whether it is on this machine, where no account's credentials are used
    pub local: bool,
}

impl Service {
    /// Where it is, as a tool announces it.
    #[must_use]
    pub fn place(&self) -> String {
        match &self.endpoint {
            Some(endpoint) => format!("endpoint {}  region {}", endpoint.as_str(), self.region),
            None => format!("region {}", self.region),
        }
    }

    /// The error of a call that was to do `doing` ("list the tables").
    pub fn error<E>(&self, doing: &str, error: &SdkError<E>) -> Error
    where
        E: ProvideErrorMetadata + StdError + 'static,
    {
        match error {
            SdkError::ServiceError(service) if service.err().code().is_none() => {
                self.something_else(doing).cause(root(error))
            }
            SdkError::ServiceError(service) => service_error(doing, service.err()),
            SdkError::TimeoutError(_) => self.unreachable(NO_ANSWER),
            SdkError::DispatchFailure(failure) => {
                let Some(connector) = failure.as_connector_error() else {
                    return self.unreachable("");
                };
                let cause = root(connector).to_string();
                if cause.contains("connection closed") || cause.contains("connection reset") {
                    return self.unreachable(&cause);
                }
                // What is no connection's: credentials, mostly.
                if connector.is_other() {
                    return self.not_sent(doing, connector);
                }
                let cause = root(connector);
                let cause = match cause.downcast_ref::<io::Error>().map(io::Error::kind) {
                    Some(io::ErrorKind::ConnectionRefused) => "connection refused".to_owned(),
                    _ if connector.is_timeout() => NO_ANSWER.to_owned(),
                    _ => cause.to_string(),
                };
                if cause.contains("lookup address") {
                    let hint = match &self.endpoint {
                        Some(_) => "look at the endpoint's host name".to_owned(),
                        None => format!("is `{}` a region? and look at the network", self.region),
                    };
                    let error = format!("cannot reach {} at {}", self.name, self.endpoint_text());
                    return Error::new(error).cause(cause).hint(hint);
                }
                if cause.contains("certificate") {
                    return Error::new(format!(
                        "cannot trust {} at {}",
                        self.name,
                        self.endpoint_text()
                    ))
                    .cause(cause)
                    .hint("perhaps a proxy whose certificate is signed by an unknown CA: SSL_CERT_FILE names a file of trusted ones");
                }
                self.unreachable(&cause)
            }
            SdkError::ResponseError(_) => self.something_else(doing).cause(root(error)),
            _ => self.not_sent(doing, error),
        }
    }

    fn endpoint_text(&self) -> String {
        match &self.endpoint {
            Some(endpoint) => format!("`{}`", endpoint.as_str()),
            None => format!("AWS in {}", self.region),
        }
    }

    fn unreachable(&self, cause: &str) -> Error {
        let mut error =
            Error::new(format!("cannot reach {} at {}", self.name, self.endpoint_text()))
                .cause(cause);
        if cause == NO_ANSWER {
            error = error.hint(format!(
                "{} sets for how long an answer is waited for, now {} s",
                env::OPS_TIMEOUT_SECS,
                env::timeout().as_secs()
            ));
        }
        if self.local {
            error.hint(format!(
                "start it with `cargo run -p local-stack -- up` or `{}`, or name another endpoint with {}",
                self.container, self.endpoint_setting
            ))
        } else {
            error.hint("look at the network, the proxy variables and the region")
        }
    }

    /// The error of an answer that is not this service's.
    #[must_use]
    pub fn something_else(&self, doing: &str) -> Error {
        Error::new(format!(
            "cannot {doing}: what answers at {} is not {}",
            self.endpoint_text(),
            self.name
        ))
        .hint(format!("look at {}, and at what listens on that port", self.endpoint_setting))
    }

    /// A request that could not be built or signed: credentials, mostly.
    fn not_sent(&self, doing: &str, error: &(dyn StdError + 'static)) -> Error {
        let error = Error::new(format!("cannot {doing}")).cause(root(error));
        if self.local {
            return error;
        }
        error.hint(
            "sign in (`aws sso login`), name a profile with --profile or AWS_PROFILE, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        )
    }
}

fn service_error(doing: &str, error: &(impl ProvideErrorMetadata + StdError)) -> Error {
    let code = error.code().unwrap_or("unknown error");
    let cause = match error.message() {
        Some(message) if !message.is_empty() => format!("{code}: {message}"),
        _ => code.to_owned(),
    };
    let result = Error::new(format!("cannot {doing}")).cause(cause);
    match code {
        "AccessDeniedException" | "AccessDenied" | "NotAuthorizedException" => {
            result.hint("the credentials lack a permission; the cause names the action")
        }
        // Of the clock and of a wrong secret alike; the message tells which.
        "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "RequestExpired"
        | "RequestTimeTooSkewed"
            if ["expired", "not yet current", "too skewed", "too large"]
                .iter()
                .any(|word| error.message().is_some_and(|message| message.contains(word)))
                || code.starts_with("Request") =>
        {
            result.hint(
                "this machine's clock is off: compare `date -u` with the right time and set it",
            )
        }
        "UnrecognizedClientException"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "ExpiredTokenException"
        | "ExpiredToken"
        | "InvalidClientTokenId" => {
            result.hint("sign in again (`aws sso login`) or choose another profile with --profile")
        }
        "RegionDisabledException" => result.hint(
            "choose another region with --region or AWS_REGION, or let the account use this one",
        ),
        _ => result,
    }
}

/// The innermost source of an error: what the outer ones wrap.
pub(crate) fn root<'a>(error: &'a (dyn StdError + 'static)) -> &'a (dyn StdError + 'static) {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error
}
