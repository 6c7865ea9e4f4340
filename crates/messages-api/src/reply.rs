//! What is answered where a request is not carried out.
//!
//! The app's form calls `.map` on the body of an error: it is an array of codes, but for
//! 401, whose body the app does not read.

use std::fmt::Display;

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::log::Cause;

/// Seconds after which a client may try again what was unavailable.
const RETRY_AFTER_SECS: u64 = 5;

/// Why a request is not carried out.
#[derive(Debug)]
pub(crate) enum Failure {
    /// no valid access token
    Unauthorized(String),
    /// no such thing, or not for the one who asks: nobody can tell which
    NotFound,
    /// what was sent is wrong, each mistake by its code
    Invalid(Vec<&'static str>),
    /// the body is longer than any message
    TooLarge,
    /// a service that is needed cannot be reached, or others were quicker
    Unavailable(String),
    /// what is stored is not what it should be
    Broken(String),
}

impl Failure {
    /// A service that failed. The cause goes to the log, and not to the client.
    pub(crate) fn unavailable(cause: impl Display) -> Self {
        Self::Unavailable(cause.to_string())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let codes = |status: StatusCode, codes: &[&str]| (status, Json(json!(codes)));
        match self {
            Self::Unauthorized(why) => {
                let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
                (StatusCode::UNAUTHORIZED, challenge, Cause::of(why), Json(json!({})))
                    .into_response()
            }
            Self::NotFound => codes(StatusCode::NOT_FOUND, &[]).into_response(),
            Self::Invalid(mistakes) => {
                let cause = Cause::of(mistakes.join(" "));
                (cause, codes(StatusCode::UNPROCESSABLE_ENTITY, &mistakes)).into_response()
            }
            Self::TooLarge => {
                codes(StatusCode::PAYLOAD_TOO_LARGE, &["body_too_large"]).into_response()
            }
            Self::Unavailable(why) => {
                let later = [(header::RETRY_AFTER, RETRY_AFTER_SECS)];
                let codes = codes(StatusCode::SERVICE_UNAVAILABLE, &["service_unavailable"]);
                (later, Cause::of(why), codes).into_response()
            }
            Self::Broken(why) => {
                let codes = codes(StatusCode::INTERNAL_SERVER_ERROR, &["conversation_broken"]);
                (Cause::of(why), codes).into_response()
            }
        }
    }
}
