//! `GET /api/users/@{handle}/short`: whom a message would go to.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::Segment;
use crate::app::App;
use crate::reply::Failure;

/// A person's names, `{}` where nobody has the handle.
pub(crate) async fn short(
    State(app): State<Arc<App>>,
    Segment(handle): Segment,
) -> Result<Json<Value>, Failure> {
    let handle = handle.strip_prefix('@').ok_or(Failure::NotFound)?;
    let Ok(handle) = handle.parse() else { return Ok(Json(json!({}))) };
    Ok(Json(match app.people.by_handle(&handle).await? {
        None => json!({}),
        Some(person) => json!({
            "uuid": person.uuid,
            "handle": person.handle,
            "display_name": person.display_name,
        }),
    }))
}
