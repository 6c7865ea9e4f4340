//! `GET /health`: the process. `GET /ready`: what it needs.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::app::App;
use crate::log::Cause;

/// The process answers.
pub(crate) async fn health() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

/// Each service by its name, and 503 where one cannot be reached. Why stands in the log.
pub(crate) async fn ready(State(app): State<Arc<App>>) -> Response {
    let (table, postgres, keys) =
        tokio::join!(app.table.existing(), app.people.are_there(), app.verifier.keys().are_there());
    let table = table.map(drop).map_err(|error| error.to_string());
    let mut causes = Vec::new();
    let mut state = |name: &str, outcome: Result<(), String>| match outcome {
        Ok(()) => "ok",
        Err(why) => {
            causes.push(format!("{name}: {why}"));
            "unreachable"
        }
    };
    let body = json!({
        "dynamodb": state("dynamodb", table),
        "postgres": state("postgres", postgres),
        "keys": state("keys", keys),
    });
    if causes.is_empty() {
        return Json(body).into_response();
    }
    let cause = Cause::of(causes.join("; "));
    (StatusCode::SERVICE_UNAVAILABLE, cause, Json(body)).into_response()
}
