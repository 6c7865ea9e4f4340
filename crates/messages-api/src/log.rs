//! One line a request on stderr. No token, no text of a message, no e-mail address: a
//! route is logged by its pattern.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, IntoResponseParts, Response, ResponseParts};
use chrono::{SecondsFormat, Utc};
use clap::ValueEnum;
use ops_common::ui::Ui;
use serde_json::json;
use uuid::Uuid;

use crate::app::App;
use crate::reply::Failure;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A client that sends its body more slowly than this is not waited for.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// Why a request failed, for the log alone.
#[derive(Debug, Clone)]
pub(crate) struct Cause(Arc<str>);

impl Cause {
    pub(crate) fn of(why: String) -> Self {
        Self(why.into())
    }
}

impl IntoResponseParts for Cause {
    type Error = Infallible;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Infallible> {
        parts.extensions_mut().insert(self);
        Ok(parts)
    }
}

/// The form of the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// for people
    Text,
    /// for programs
    Json,
}

/// Where the lines go, and in which form.
pub(crate) struct Log {
    form: Form,
    ui: Ui,
}

impl Log {
    pub(crate) fn new(form: Form, ui: &Ui) -> Self {
        Self { form, ui: ui.clone() }
    }

    fn line(&self, method: &str, route: &str, response: &Response, took: Duration, id: &Uuid) {
        let status = response.status().as_u16();
        let cause = response.extensions().get::<Cause>();
        let ms = (took.as_secs_f64() * 10_000.0).round() / 10.0;
        let now = now();
        if self.form == Form::Json {
            let mut line = json!({"time": now, "method": method, "route": route, "status": status, "ms": ms, "request_id": id});
            if let Some(Cause(why)) = cause {
                line["cause"] = json!(why.as_ref());
            }
            return self.ui.paste(line);
        }
        let why = cause.map_or(String::new(), |Cause(why)| format!("  {}", one_line(why)));
        self.ui.paste(format_args!("{now} {method} {route} {status} {ms} ms {id}{why}"));
    }

    /// What is said of the server itself.
    pub(crate) fn event(&self, text: &str) {
        match self.form {
            Form::Json => self.ui.paste(json!({"time": now(), "event": text})),
            Form::Text => self.ui.note(text),
        }
    }
}

fn now() -> String {
    Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// A method that HTTP knows; others may be as long as their sender likes.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::OPTIONS => "OPTIONS",
        Method::HEAD => "HEAD",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "OTHER",
    }
}

fn one_line(text: &str) -> String {
    text.lines().map(str::trim).collect::<Vec<_>>().join("; ")
}

/// Answers, and says so.
pub(crate) async fn logged(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let start = Instant::now();
    let id = Uuid::new_v4();
    let method = known(request.method());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let answered = tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await;
    let mut response = answered
        .unwrap_or_else(|_| Failure::unavailable("the request took too long").into_response());
    if let Ok(value) = HeaderValue::try_from(id.to_string()) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let route = route.as_ref().map_or("(none)", MatchedPath::as_str);
    app.log.line(method, route, &response, start.elapsed(), &id);
    response
}
