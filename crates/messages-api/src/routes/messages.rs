//! `GET /api/messages/{uuid}`: a conversation. `POST /api/messages`: a message.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use chrono::Utc;
use ops_common::app::conversations::{
    NotSent, Period, Sent, conversation_of, create_message, create_message_group, messages,
    rows_of_group,
};
use ops_common::app::keys::SortTime;
use ops_common::app::records::{ApiMessage, MessageText, NotAMessage, Person};
use ops_common::app::users::Handle;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::signed_in::SignedIn;
use super::{Page, Segment};
use crate::app::App;
use crate::reply::Failure;

/// The newest messages of a conversation, oldest first. One of others and one that is
/// not there are the same: nothing is told about it.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    SignedIn(me): SignedIn,
    Segment(group): Segment,
    page: Page,
) -> Result<Json<Vec<ApiMessage>>, Failure> {
    let group: Uuid = group.parse().map_err(|_| Failure::NotFound)?;
    let period = Period { since: None, until: page.until };
    let (takes_part, found) = tokio::join!(
        takes_part(&app, me.uuid, group),
        messages(&app.table, group, period, page.limit)
    );
    if !takes_part? {
        return Err(Failure::NotFound);
    }
    let mut found = found.map_err(Failure::unavailable)?;
    found.rows.reverse();
    Ok(Json(found.rows.into_iter().map(ApiMessage::from).collect()))
}

/// Whether the conversation is in the person's list. A page asks every few seconds: it is
/// remembered.
async fn takes_part(app: &App, person: Uuid, group: Uuid) -> Result<bool, Failure> {
    if app.participants.get(&(person, group)).is_some() {
        return Ok(true);
    }
    let mine = rows_of_group(&app.table, person, group).await.map_err(Failure::unavailable)?;
    let takes_part = !mine.rows.is_empty();
    if takes_part {
        app.participants.insert((person, group), ());
    }
    Ok(takes_part)
}

/// A message as the app's form sends it: into a conversation, or to a person.
#[derive(Deserialize)]
struct Form {
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    message_group_uuid: Option<String>,
    #[serde(default)]
    handle: Option<String>,
}

/// Where a message goes.
enum Destination {
    Conversation(String),
    Person(Handle),
}

impl Form {
    fn parse(body: Result<Bytes, BytesRejection>) -> Result<Self, Failure> {
        let body = body.map_err(|rejection| match rejection.into_response().status() {
            StatusCode::PAYLOAD_TOO_LARGE => Failure::TooLarge,
            _ => Failure::Invalid(vec!["body_unreadable"]),
        })?;
        // Read as an object first: a list of texts would be taken for the members in turn.
        let object: Result<Map<String, Value>, _> = serde_json::from_slice(&body);
        object
            .and_then(|object| serde_json::from_value(Value::Object(object)))
            .map_err(|_| Failure::Invalid(vec!["body_not_a_message"]))
    }

    /// What is to be sent, or every mistake of the form at once.
    fn check(self) -> Result<(MessageText, Destination), Failure> {
        let mut mistakes = Vec::new();
        let text = self.message.unwrap_or_default().parse::<MessageText>();
        if let Err(error) = &text {
            mistakes.push(match error {
                NotAMessage::Empty => "message_blank",
                NotAMessage::TooLong(_) => "message_exceed_max_chars_1024",
            });
        }
        let destination = match (self.message_group_uuid, self.handle) {
            (None, Some(handle)) => match handle.trim().parse() {
                Ok(handle) => Some(Destination::Person(handle)),
                Err(_) => {
                    // The app's spelling.
                    mistakes.push("user_reciever_handle_blank");
                    None
                }
            },
            (Some(uuid), _) if !uuid.trim().is_empty() => Some(Destination::Conversation(uuid)),
            _ => {
                mistakes.push("message_group_uuid_blank");
                None
            }
        };
        match (text, destination) {
            (Ok(text), Some(destination)) => Ok((text, destination)),
            _ => Err(Failure::Invalid(mistakes)),
        }
    }
}

/// What was sent.
#[derive(Serialize)]
pub(crate) struct Reply {
    message_group_uuid: Uuid,
    #[serde(flatten)]
    message: ApiMessage,
}

/// Sends a message.
pub(crate) async fn send(
    State(app): State<Arc<App>>,
    SignedIn(me): SignedIn,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Reply>, Failure> {
    let (text, destination) = Form::parse(body)?.check()?;
    let sent = match destination {
        Destination::Conversation(group) => {
            let group = group.trim().parse().map_err(|_| Failure::NotFound)?;
            // `into` looks again, and longer: a row may be on its way.
            if !takes_part(&app, me.uuid, group).await? {
                return Err(Failure::NotFound);
            }
            into(&app, group, &me, &text).await
        }
        Destination::Person(handle) => {
            let nobody = || Failure::Invalid(vec!["user_reciever_handle_blank"]);
            let other = app.people.by_handle(&handle).await?.ok_or_else(nobody)?;
            if other.uuid == me.uuid {
                return Err(nobody());
            }
            let there = conversation_of(&app.table, me.uuid, other.uuid).await;
            match there.map_err(Failure::unavailable)? {
                Some(group) => into(&app, group, &me, &text).await,
                None => {
                    let now = SortTime::new(Utc::now());
                    create_message_group(&app.table, &app.permit, &me, &other, &text, now).await
                }
            }
        }
    };
    let Sent { message, .. } = sent.map_err(failure)?;
    Ok(Json(Reply { message_group_uuid: message.group, message: message.into() }))
}

async fn into(app: &App, group: Uuid, me: &Person, text: &MessageText) -> Result<Sent, NotSent> {
    create_message(&app.table, &app.permit, group, me, text, SortTime::new(Utc::now())).await
}

fn failure(not_sent: NotSent) -> Failure {
    match not_sent {
        NotSent::UnknownGroup(_) | NotSent::NotAParticipant(_) => Failure::NotFound,
        NotSent::Broken(error) => Failure::Broken(error.to_string()),
        NotSent::LostRace(error) | NotSent::Other(error) => Failure::unavailable(error),
    }
}
