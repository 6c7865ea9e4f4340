//! `GET /api/message_groups`: the inbox.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use ops_common::app::conversations::{Period, message_groups};
use ops_common::app::records::ApiMessageGroup;

use super::Page;
use super::signed_in::SignedIn;
use crate::app::App;
use crate::reply::Failure;

/// The conversations of whoever asks, newest first. A row that cannot be read is left
/// out; `check-identities` finds it.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    SignedIn(me): SignedIn,
    page: Page,
) -> Result<Json<Vec<ApiMessageGroup>>, Failure> {
    let period = Period { since: None, until: page.until };
    let found = message_groups(&app.table, me.uuid, period, page.limit).await;
    let found = found.map_err(Failure::unavailable)?;
    Ok(Json(found.rows.into_iter().map(ApiMessageGroup::from).collect()))
}
