//! `GET /api/activities/home`: what people have said to everybody.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use ops_common::app::keys::SortTime;
use ops_common::app::users::column;
use ops_common::error::Error;
use serde::Serialize;
use uuid::Uuid;

use crate::app::App;
use crate::reply::Failure;

/// What has not expired, newest first.
const HOME: &str = "
SELECT a.uuid, u.display_name, u.handle, a.message, a.replies_count, a.reposts_count,
       a.likes_count, a.reply_to_activity_uuid, a.expires_at, a.created_at
FROM activities a JOIN users u ON u.uuid = a.user_uuid
WHERE a.expires_at IS NULL OR a.expires_at > now()
ORDER BY a.created_at DESC, a.uuid LIMIT 100";

/// An activity, by the names of the app's API.
#[derive(Serialize)]
pub(crate) struct Activity {
    uuid: Uuid,
    display_name: String,
    handle: String,
    message: String,
    replies_count: i32,
    reposts_count: i32,
    likes_count: i32,
    reply_to_activity_uuid: Option<Uuid>,
    expires_at: Option<String>,
    created_at: String,
}

/// The feed. It is the same for everybody, so that a token is not looked at.
pub(crate) async fn home(State(app): State<Arc<App>>) -> Result<Json<Vec<Activity>>, Failure> {
    let db = app.people.db().await?;
    let rows = db.query("list activities", HOME, &[]).await.map_err(Failure::unavailable)?;
    let time = |time: DateTime<Utc>| SortTime::new(time).to_string();
    let activities: Result<_, Error> = rows
        .iter()
        .map(|row| {
            Ok(Activity {
                uuid: column(row, "uuid")?,
                display_name: column(row, "display_name")?,
                handle: column(row, "handle")?,
                message: column(row, "message")?,
                replies_count: column(row, "replies_count")?,
                reposts_count: column(row, "reposts_count")?,
                likes_count: column(row, "likes_count")?,
                reply_to_activity_uuid: column(row, "reply_to_activity_uuid")?,
                expires_at: column::<Option<DateTime<Utc>>>(row, "expires_at")?.map(time),
                created_at: time(column(row, "created_at")?),
            })
        })
        .collect();
    Ok(Json(activities.map_err(Failure::unavailable)?))
}
