//! Which route answers what, and for whom.

mod activities;
mod health;
mod message_groups;
mod messages;
mod signed_in;
mod users;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware;
use axum::routing::get;
use ops_common::app::keys::SortTime;
use ops_common::app::records::MessageText;
use ops_common::error::Error;
use serde::Deserialize;
use tower_http::cors::CorsLayer;
use tower_http::set_header::SetResponseHeaderLayer;

use crate::app::App;
use crate::log::logged;
use crate::pages;
use crate::reply::Failure;

/// A message of the most characters, each written as JSON writes the longest: `\ud83d\ude00`.
const MOST_BODY_BYTES: usize = MessageText::MAX_CHARS * 12 + 1024;

/// All routes.
///
/// # Errors
/// See [`pages::router`].
pub(crate) fn router(app: Arc<App>, origins: Vec<HeaderValue>) -> Result<Router, Error> {
    let cors = CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE, IF_MODIFIED_SINCE]);
    let api = Router::new()
        .route("/api/message_groups", get(message_groups::list))
        .route("/api/messages", axum::routing::post(messages::send))
        .route("/api/messages/{uuid}", get(messages::list))
        .route("/api/users/{handle}/short", get(users::short))
        .route("/api/activities/home", get(activities::home))
        // People's messages stay in no cache on the way.
        .layer(always(header::CACHE_CONTROL, "no-store"))
        .layer(cors);
    Ok(Router::new()
        .merge(api)
        .merge(pages::router(&app.verifier)?)
        .route("/health", get(health::health))
        .route("/ready", get(health::ready))
        .layer(always(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(DefaultBodyLimit::max(MOST_BODY_BYTES))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), logged))
        .with_state(app))
}

/// A header of every answer.
fn always(name: HeaderName, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value))
}

/// The app's own front end sends it with each request.
const IF_MODIFIED_SINCE: HeaderName = header::IF_MODIFIED_SINCE;

/// Parses `--cors-origin`: an origin as browsers send it, and nothing more.
///
/// # Errors
/// Where it is something else, in words for the command line.
pub(crate) fn origin(text: &str) -> Result<HeaderValue, String> {
    let expected = || "an origin like `https://app.example.com`, without a path".to_owned();
    let (scheme, rest) = text.split_once("://").ok_or_else(expected)?;
    let is_plain =
        !rest.is_empty() && rest.chars().all(|c| c.is_ascii_graphic() && !"/?#@*".contains(c));
    if !matches!(scheme, "http" | "https") || !is_plain {
        return Err(expected());
    }
    HeaderValue::from_str(text).map_err(|_| expected())
}

/// `?limit=` and `?until=`
#[derive(Debug, Deserialize)]
struct RawPage {
    limit: Option<String>,
    until: Option<String>,
}

/// Which part of a list is asked for: the newest, or those that are older.
#[derive(Debug, Clone, Copy)]
struct Page {
    limit: usize,
    until: Option<SortTime>,
}

impl<S: Send + Sync> FromRequestParts<S> for Page {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let raw = Query::<RawPage>::from_request_parts(parts, state).await;
        let Query(raw) =
            raw.map_err(|_: QueryRejection| Failure::Invalid(vec!["query_invalid"]))?;
        let limit = raw.limit.map_or(Ok(20), |limit| limit.parse());
        let limit = limit.ok().filter(|limit| (1..=100).contains(limit));
        let limit = limit.ok_or_else(|| Failure::Invalid(vec!["limit_invalid"]))?;
        let until = raw.until.map(|until| until.parse()).transpose();
        let until = until.map_err(|_| Failure::Invalid(vec!["until_invalid"]))?;
        Ok(Self { limit, until })
    }
}

/// The variable part of a path. One that is no text is the same as one that is not there.
#[derive(Debug)]
struct Segment(String);

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let path = Path::from_request_parts(parts, state).await;
        path.map(|Path(text)| Self(text)).map_err(|_| Failure::NotFound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_has_no_path() {
        for good in ["http://localhost:3000", "https://app.example.com"] {
            assert!(origin(good).is_ok_and(|origin| origin == good), "{good}");
        }
        for bad in [
            "*",
            "app.example.com",
            "https://",
            "https://a/b",
            "ftp://a",
            "https://u@a",
            "https://*.a",
        ] {
            assert!(origin(bad).is_err(), "{bad}");
        }
    }
}
