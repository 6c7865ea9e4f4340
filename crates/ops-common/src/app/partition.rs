//! Partitions as people name them: those of the app's table by what is in them.

use aws_sdk_dynamodb::types::AttributeValue;
use uuid::Uuid;

use crate::app::keys::{ConversationKey, InboxKey};
use crate::app::users::{self, Handle};
use crate::dynamodb::typed_key::TypedKey;
use crate::env::invocation;
use crate::error::Error;
use crate::postgres::ConnectionUrl;
use crate::target::Target;
use crate::text::printable;
use crate::ui::Ui;

/// The partition key that was named: in the app's table also as `inbox:HANDLE` or
/// `conversation:UUID`. A handle is looked up in Postgres.
///
/// # Errors
/// Where it is not of the key's type, or nobody has the handle.
pub async fn partition_key(
    named: &str,
    key: &TypedKey,
    target: Target,
    ui: &Ui,
) -> Result<AttributeValue, Error> {
    let by_content = if key.is_the_apps() { by_content(named, target, ui).await? } else { None };
    key.partition.parse(by_content.as_deref().unwrap_or(named))
}

async fn by_content(named: &str, target: Target, ui: &Ui) -> Result<Option<String>, Error> {
    if let Some(group) = named.strip_prefix("conversation:") {
        let group: Uuid = group.parse().map_err(|error| {
            Error::usage(format!("`{}` is not a conversation's uuid", printable(group)))
                .cause(error)
                .hint(format!(
                    "`{}` shows the conversations of a person",
                    invocation(&format!("ddb-query{} inbox:HANDLE", target.as_argument()))
                ))
        })?;
        return Ok(Some(ConversationKey(group).to_string()));
    }
    let Some(person) = named.strip_prefix("inbox:") else { return Ok(None) };
    if let Ok(user) = person.parse() {
        return Ok(Some(InboxKey(user).to_string()));
    }
    let handle: Handle = person.parse().map_err(|why: &str| Error::usage(why))?;
    let url = ConnectionUrl::from_env(target)?;
    url.announce(ui);
    let [person] = users::look_up(&url, [&handle], ui).await?;
    Ok(Some(InboxKey(person.uuid).to_string()))
}
