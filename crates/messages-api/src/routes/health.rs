//! `GET /health`: the process. `GET /ready`: what it needs.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::app::App;
use crate::log::Cause;

const LOOK: Duration = Duration::from_secs(4);

/// The process answers.
pub(crate) async fn health() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

/// Each service by its name, and 503 where one cannot be reached. Why stands in the log.
pub(crate) async fn ready(State(app): State<Arc<App>>) -> Response {
    let table = async { app.table.existing().await.map(drop).map_err(|error| error.to_string()) };
    let (table, postgres, keys) = tokio::join!(
        in_time(table),
        in_time(app.people.are_there()),
        in_time(app.verifier.keys().are_there())
    );
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

/// Whoever asks whether it is ready waits no longer.
async fn in_time(look: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    let looked = tokio::time::timeout(LOOK, look).await;
    looked.unwrap_or_else(|_| Err(format!("no answer in {} s", LOOK.as_secs())))
}
