//! The app's pages: plain HTML, one style sheet and one script, compiled in. They sign in
//! at Cognito themselves, and call the routes as any front end does.

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use ops_common::error::Error;

use crate::app::App;
use crate::reply::Failure;
use crate::token::Verifier;

const PAGE: &str = include_str!("../pages/page.html");
const HOME: &str = include_str!("../pages/home.html");
const SIGN_IN: &str = include_str!("../pages/signin.html");
const MESSAGES: &str = include_str!("../pages/messages.html");
const NOT_FOUND: &str = include_str!("../pages/not_found.html");
const SCRIPT: &str = include_str!("../pages/app.js");
const STYLE: &str = include_str!("../pages/app.css");

/// The routes of the pages.
///
/// # Errors
/// Where Cognito's address cannot stand in a header.
pub(crate) fn router(verifier: &Verifier) -> Result<Router<Arc<App>>, Error> {
    let headers = headers(verifier)?;
    let page = |title: &str, name: &str, body: &str| {
        let page = PAGE
            .replace("{{title}}", title)
            .replace("{{page}}", name)
            .replace("{{endpoint}}", &escaped(verifier.keys().sign_in_url()))
            .replace("{{client}}", &escaped(verifier.client_id()))
            .replace("{{body}}", body);
        let headers = headers.clone();
        get(async move || (headers, Html(page)))
    };
    let messages = || page("Messages", "messages", MESSAGES);
    let none = PAGE
        .replace("{{title}}", "Not found")
        .replace("{{page}}", "none")
        .replace("{{endpoint}}", "")
        .replace("{{client}}", "")
        .replace("{{body}}", NOT_FOUND);
    let none_headers = headers.clone();
    let not_found = async move |asked: HeaderMap| {
        let accepts = asked.get(header::ACCEPT).and_then(|value| value.to_str().ok());
        match accepts.is_some_and(|accepts| accepts.contains("text/html")) {
            true => (StatusCode::NOT_FOUND, none_headers, Html(none)).into_response(),
            false => Failure::NotFound.into_response(),
        }
    };
    Ok(Router::new()
        .fallback(not_found)
        .route("/messages/", messages())
        .route("/", page("Home", "home", HOME))
        .route("/signin", page("Sign in", "signin", SIGN_IN))
        .route("/messages", messages())
        .route("/messages/{uuid}", messages())
        .route("/messages/new/{handle}", messages())
        .route("/app.js", file(SCRIPT, "text/javascript; charset=utf-8", &headers))
        .route("/app.css", file(STYLE, "text/css; charset=utf-8", &headers)))
}

fn file(
    text: &'static str,
    kind: &'static str,
    headers: &HeaderMap,
) -> axum::routing::MethodRouter<Arc<App>> {
    let mut headers = headers.clone();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    get(async move || (headers, text).into_response())
}

/// What a page may do: run the one script, talk to this server and to Cognito, and be in
/// nobody's frame.
fn headers(verifier: &Verifier) -> Result<HeaderMap, Error> {
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self' {}; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        verifier.keys().sign_in_url()
    );
    let policy = HeaderValue::try_from(policy)
        .map_err(|error| Error::new("Cognito's endpoint cannot stand in a header").cause(error))?;
    let fixed = [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-cache"),
    ];
    let fixed =
        fixed.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
    Ok(HeaderMap::from_iter(fixed.into_iter().chain([(header::CONTENT_SECURITY_POLICY, policy)])))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;")
}
