//! What the app writes when a person sends a message: each time one
//! transaction, so that no message is there without its conversation's rows.
//!
//! A conversation has a row for each participant, and its sort key is the time
//! of the last message: to move a row is to delete it and put it anew. The
//! deletes have the condition that the row is still the one that was read. Who
//! loses a race reads again and sends again, later than the winner.

use std::time::Duration;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeValue, Delete, Put, ReturnConsumedCapacity, TransactWriteItem,
};
use chrono::TimeDelta;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::read::{newest_message, of_one, pages, query, rows_of_group};
use crate::app::keys::{InboxKey, PK, PairKey, SK, SortTime};
use crate::app::records::{ERASED, Item, Message, MessageGroup, MessageText, Person};
use crate::consent::Permit;
use crate::dynamodb::retry::{full_jitter, is_throttling};
use crate::dynamodb::table::Table;
use crate::env::invocation;
use crate::error::Error;

/// Twenty people who write at the same moment are done in a few seconds.
const GIVE_UP_AFTER: Duration = Duration::from_secs(30);

/// How often a conversation that looks broken is looked at again.
const LOOKS: u32 = 3;

/// A message that was written.
#[derive(Debug, Clone)]
pub struct Sent {
    /// as it is in the table
    pub message: Message,
    /// to whom
    pub other: Person,
    /// whether the conversation is new
    pub started: bool,
    /// read and write capacity units
    pub consumed_capacity: f64,
}

/// Why a message was not written, as far as callers act on it.
#[derive(Debug)]
pub enum NotSent {
    /// there is no such conversation
    UnknownGroup(Error),
    /// the sender takes no part in it
    NotAParticipant(Error),
    /// a row of it is missing, there twice, or cannot be read
    Broken(Error),
    /// others wrote to it again and again, for as long as it was tried
    LostRace(Error),
    /// anything else
    Other(Error),
}

impl From<NotSent> for Error {
    fn from(not_sent: NotSent) -> Self {
        match not_sent {
            NotSent::UnknownGroup(error)
            | NotSent::NotAParticipant(error)
            | NotSent::Broken(error)
            | NotSent::LostRace(error)
            | NotSent::Other(error) => error,
        }
    }
}

/// Sends a message into a conversation: puts the message and moves both
/// participants' rows to its time and text. The time is `now`, or just after
/// the last message where a clock is behind.
///
/// # Errors
/// See [`NotSent`]; nothing is half written.
pub async fn create_message(
    table: &Table,
    permit: &Permit,
    group: Uuid,
    sender: &Person,
    text: &MessageText,
    now: SortTime,
) -> Result<Sent, NotSent> {
    table.check(permit).map_err(NotSent::Other)?;
    let uuid = Uuid::new_v4();
    let mut attempt = Attempt::new(table, now);
    loop {
        let rows = attempt.rows(group, sender).await?;
        let last = rows.mine.last_at.max(rows.others.last_at).max(rows.newest_message);
        let sent_at = attempt.earliest.max(after(last));
        let text = text.clone().into();
        let message = Message { group, sent_at, uuid, text, sender: sender.clone() };
        let mut writes = vec![put(table, message.to_item())];
        for item in [rows.my_item, rows.others_item] {
            writes.extend(moved(table, item, &message));
        }
        if attempt.write(&writes, &message).await? {
            let consumed_capacity = attempt.consumed_capacity;
            let other = rows.mine.other;
            return Ok(Sent { message, other, started: false, consumed_capacity });
        }
    }
}

/// Starts a conversation: both participants' rows, the first message, and the one row
/// of the pair, which only one writer can create. Who comes second sends the message
/// into the conversation that the first one started.
///
/// # Errors
/// See [`NotSent`]; nothing is half written.
pub async fn create_message_group(
    table: &Table,
    permit: &Permit,
    sender: &Person,
    other: &Person,
    text: &MessageText,
    now: SortTime,
) -> Result<Sent, NotSent> {
    table.check(permit).map_err(NotSent::Other)?;
    if sender.uuid == other.uuid {
        return Err(NotSent::Other(Error::usage(format!(
            "a conversation has two people, and both are `{}`",
            sender.handle
        ))));
    }
    let (group, uuid) = (Uuid::new_v4(), Uuid::new_v4());
    let pair = PairKey::new(sender.uuid, other.uuid);
    let mut attempt = Attempt::new(table, now);
    // A conversation that was deleted leaves the pair's row.
    let mut deleted = None;
    loop {
        let sent_at = attempt.earliest;
        let row = |owner: &Person, other: &Person| MessageGroup {
            owner: owner.uuid,
            group,
            last_at: sent_at,
            last_text: text.clone().into(),
            other: other.clone(),
        };
        let rows = [row(sender, other), row(other, sender)];
        let text_of_row = text.clone().into();
        let message = Message { group, sent_at, uuid, text: text_of_row, sender: sender.clone() };
        let items = [message.to_item(), rows[0].to_item(), rows[1].to_item()];
        let mut writes = items.map(|item| put(table, item)).to_vec();
        writes.push(pair_row(table, pair, group, deleted));
        if attempt.write(&writes, &message).await? {
            let (other, consumed_capacity) = (other.clone(), attempt.consumed_capacity);
            return Ok(Sent { message, other, started: true, consumed_capacity });
        }
        let Some(theirs) = attempt.group_of_pair(pair).await?.filter(|g| Some(*g) != deleted)
        else {
            continue;
        };
        match create_message(table, permit, theirs, sender, text, now).await {
            Err(NotSent::UnknownGroup(_)) => deleted = Some(theirs),
            // Messages that nobody's inbox leads to are no conversation.
            Err(NotSent::NotAParticipant(error)) => {
                if attempt.row(theirs, other.uuid, &other.handle).await?.is_some() {
                    return Err(NotSent::NotAParticipant(error));
                }
                deleted = Some(theirs);
            }
            Ok(mut sent) => {
                sent.consumed_capacity += attempt.consumed_capacity;
                return Ok(sent);
            }
            not_sent => return not_sent,
        }
    }
}

/// The newest conversation that two people have, in either one's list: where the
/// other's row is missing it is broken, and not to be started anew.
///
/// # Errors
/// Where DynamoDB cannot be asked, or a row cannot be read.
pub async fn conversation_of(
    table: &Table,
    person: Uuid,
    other: Uuid,
) -> Result<Option<Uuid>, Error> {
    let mut newest: Option<MessageGroup> = None;
    for (owner, with) in [(person, other), (other, person)] {
        let found = of_one(table, &InboxKey(owner).to_string(), "user_uuid", with).await?;
        let row = found.rows.first().map(MessageGroup::from_item).transpose();
        let row = row.map_err(|row| {
            with_check(Error::new("the two have a broken conversation").cause(row))
        })?;
        newest = newest.into_iter().chain(row).max_by_key(|row| row.last_at);
    }
    Ok(newest.map(|row| row.group))
}

/// The two rows of a conversation, read and as they stand.
struct Rows {
    mine: MessageGroup,
    my_item: Item,
    others: MessageGroup,
    others_item: Item,
    /// not always that of the rows: who broke them is fixed by a later message
    newest_message: SortTime,
}

/// A write that is tried until it meets nobody else's.
struct Attempt<'a> {
    table: &'a Table,
    /// of the message's time: later than all that was tried
    earliest: SortTime,
    failed_attempts: u32,
    deadline: Instant,
    consumed_capacity: f64,
}

impl<'a> Attempt<'a> {
    fn new(table: &'a Table, now: SortTime) -> Self {
        let deadline = Instant::now() + GIVE_UP_AFTER;
        Self { table, earliest: now, failed_attempts: 0, deadline, consumed_capacity: 0.0 }
    }

    /// The rows as they are. A query can fall between the two halves of another's
    /// transaction and see a row twice or not at all
    /// (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html#transaction-isolation>),
    /// so that what looks broken is read again.
    async fn rows(&mut self, group: Uuid, sender: &Person) -> Result<Rows, NotSent> {
        let mut looked = 0;
        loop {
            match self.rows_now(group, sender).await {
                Err(
                    NotSent::NotAParticipant(_) | NotSent::Broken(_) | NotSent::UnknownGroup(_),
                ) if looked < LOOKS => {
                    looked += 1;
                    sleep(full_jitter(looked)).await;
                }
                rows => return rows,
            }
        }
    }

    async fn rows_now(&mut self, group: Uuid, sender: &Person) -> Result<Rows, NotSent> {
        let Some((mine, my_item)) = self.row(group, sender.uuid, &sender.handle).await? else {
            return Err(self.not_in(group, sender).await);
        };
        let other = &mine.other;
        if other.uuid == ERASED {
            return Err(NotSent::NotAParticipant(
                Error::new("the other person's data was erased; the message is not sent")
                    .hint("nobody reads this conversation but its one person"),
            ));
        }
        let Some((others, others_item)) = self.row(group, other.uuid, &other.handle).await? else {
            return Err(NotSent::Broken(broken(format!(
                "`{}` has no row for it, and `{}` has",
                other.handle, sender.handle
            ))));
        };
        let newest = newest_message(self.table, group).await.map_err(NotSent::Other)?;
        self.consumed_capacity += newest.consumed_capacity;
        let newest_message = newest.rows.first().map_or(mine.last_at, |message| message.sent_at);
        Ok(Rows { mine, my_item, others, others_item, newest_message })
    }

    /// A participant's row, or `None` where there is none.
    async fn row(
        &mut self,
        group: Uuid,
        owner: Uuid,
        handle: &str,
    ) -> Result<Option<(MessageGroup, Item)>, NotSent> {
        let found = rows_of_group(self.table, owner, group).await;
        let mut found = found.map_err(NotSent::Other)?;
        self.consumed_capacity += found.consumed_capacity;
        if found.rows.len() > 1 {
            let count = found.rows.len();
            return Err(NotSent::Broken(broken(format!("`{handle}` has {count} rows for it"))));
        }
        let Some(item) = found.rows.pop() else { return Ok(None) };
        let row = MessageGroup::from_item(&item).map_err(|error| NotSent::Broken(broken(error)))?;
        Ok(Some((row, item)))
    }

    /// The conversation that the pair's row names, where there is that row.
    async fn group_of_pair(&mut self, pair: PairKey) -> Result<Option<Uuid>, NotSent> {
        let query = query(self.table, &pair.to_string())
            .key_condition_expression("pk = :pk")
            .consistent_read(true);
        let found = pages(self.table, query, Some(1)).await.map_err(NotSent::Other)?;
        self.consumed_capacity += found.consumed_capacity;
        let Some(row) = found.rows.first() else { return Ok(None) };
        let group = row.get(GROUP).and_then(|group| group.as_s().ok()?.parse().ok());
        group.map(Some).ok_or_else(|| {
            NotSent::Broken(broken(format!("the row `{pair}` names no conversation")))
        })
    }

    /// Why the sender has no row.
    async fn not_in(&self, group: Uuid, sender: &Person) -> NotSent {
        let list = invocation(&format!(
            "ddb-list-conversations{} --handle {}",
            self.table.target().as_argument(),
            sender.handle
        ));
        let hint = format!("`{list}` shows those of `{}`", sender.handle);
        match newest_message(self.table, group).await {
            Err(error) => NotSent::Other(error),
            Ok(found) if found.rows.is_empty() && found.malformed.is_empty() => {
                NotSent::UnknownGroup(
                    Error::new(format!("there is no conversation {group}")).hint(hint),
                )
            }
            Ok(_) => NotSent::NotAParticipant(
                Error::new(format!(
                    "`{}` takes no part in the conversation {group}",
                    sender.handle
                ))
                .hint(hint)
                .hint(format!(
                    "`{}` says whether a row of theirs is missing",
                    invocation(&format!(
                        "check-identities{} --handle {}",
                        self.table.target().as_argument(),
                        sender.handle
                    ))
                )),
            ),
        }
    }

    /// Writes all or nothing. `false`: somebody else was there first, and after a
    /// pause it is to be tried again with what is there by then.
    async fn write(
        &mut self,
        writes: &[TransactWriteItem],
        message: &Message,
    ) -> Result<bool, NotSent> {
        // What is sent again has the same token, so that an answer that was lost
        // does not make it two messages.
        let token = Uuid::new_v4();
        loop {
            let request = self
                .table
                .db()
                .client()
                .transact_write_items()
                .set_transact_items(Some(writes.to_vec()))
                .client_request_token(token)
                .return_consumed_capacity(ReturnConsumedCapacity::Total);
            let error = match request.send().await {
                Ok(output) => {
                    let units =
                        output.consumed_capacity().iter().filter_map(|c| c.capacity_units());
                    self.consumed_capacity += units.sum::<f64>();
                    return Ok(true);
                }
                Err(error) => error,
            };
            let obstacle = obstacle(&error);
            let pause = full_jitter(self.failed_attempts);
            let late = Instant::now() + pause > self.deadline;
            match obstacle {
                Some(Obstacle::Others) if late => return Err(NotSent::LostRace(lost_race())),
                Some(_) if !late => sleep(pause).await,
                _ => return Err(NotSent::Other(self.error(&error, message).await)),
            }
            self.failed_attempts += 1;
            if matches!(obstacle, Some(Obstacle::Others)) {
                self.earliest = after(message.sent_at);
                return Ok(false);
            }
        }
    }

    async fn error(&self, error: &SdkError<TransactWriteItemsError>, message: &Message) -> Error {
        let result = self.table.error("write to", error).await;
        let reasons = reasons(error).into_iter().flatten();
        let result = reasons.fold(result, Error::cause);
        if is_surely_refused(error) {
            return result;
        }
        result.cause("whether the message was written is not known").hint(format!(
            "see whether it is there before you send it again: `{}`",
            invocation(&format!(
                "ddb-get-conversation{} --group {}",
                self.table.target().as_argument(),
                message.group
            ))
        ))
    }
}

/// The cancelled transaction's reasons, one for each of its writes; those that
/// say nothing are left out.
fn reasons(error: &SdkError<TransactWriteItemsError>) -> Option<Vec<&str>> {
    let TransactWriteItemsError::TransactionCanceledException(canceled) =
        error.as_service_error()?
    else {
        return None;
    };
    let codes = canceled.cancellation_reasons().iter().filter_map(|reason| reason.code());
    Some(codes.filter(|code| *code != "None").collect())
}

/// Whether nothing was written. A server's failure, an attempt of the SDK that is
/// still under way, or no answer at all do not tell.
fn is_surely_refused(error: &SdkError<TransactWriteItemsError>) -> bool {
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code);
    let status = error.raw_response().map(|response| response.status().as_u16());
    let refused = status.is_some_and(|status| (400..500).contains(&status));
    code.is_some_and(|code| code != "TransactionInProgressException" && !is_throttling(code))
        && refused
}

/// What passes by itself.
enum Obstacle {
    /// another write to the same rows
    Others,
    /// a table that takes no more for the moment
    Throttling,
}

/// Why all of it can be tried again:
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html>.
fn obstacle(error: &SdkError<TransactWriteItemsError>) -> Option<Obstacle> {
    let Some(reasons) = reasons(error) else {
        let code = error.as_service_error().and_then(ProvideErrorMetadata::code)?;
        return is_throttling(code).then_some(Obstacle::Throttling);
    };
    let others =
        |reason: &&str| matches!(*reason, "ConditionalCheckFailed" | "TransactionConflict");
    let throttling =
        |reason: &&str| matches!(*reason, "ThrottlingError" | "ProvisionedThroughputExceeded");
    match reasons.as_slice() {
        [] => None,
        reasons if reasons.iter().all(others) => Some(Obstacle::Others),
        reasons if reasons.iter().all(|r| others(r) || throttling(r)) => Some(Obstacle::Throttling),
        _ => None,
    }
}

fn lost_race() -> Error {
    Error::new(format!(
        "others wrote at the same time for {} s; the message is not sent",
        GIVE_UP_AFTER.as_secs()
    ))
    .hint("send it again when they are done")
}

/// A row under a key that nothing else has.
pub(super) fn put(table: &Table, item: Item) -> TransactWriteItem {
    let put = Put::builder()
        .table_name(table.name())
        .set_item(Some(item))
        .condition_expression("attribute_not_exists(pk)")
        .build();
    TransactWriteItem::builder().put(put.expect("it has a table and an item")).build()
}

/// What names the conversation in a row.
pub(super) const GROUP: &str = "message_group_uuid";

/// The row of a pair, which is not there yet, or names a conversation that was
/// deleted.
fn pair_row(table: &Table, pair: PairKey, group: Uuid, deleted: Option<Uuid>) -> TransactWriteItem {
    let put = Put::builder()
        .table_name(table.name())
        .item(PK, AttributeValue::S(pair.to_string()))
        .item(SK, AttributeValue::S(PairKey::SORT_KEY.to_owned()))
        .item(GROUP, AttributeValue::S(group.to_string()));
    let put = match deleted {
        None => put.condition_expression("attribute_not_exists(pk)"),
        Some(deleted) => put
            .condition_expression("message_group_uuid = :deleted")
            .expression_attribute_values(":deleted", AttributeValue::S(deleted.to_string())),
    };
    TransactWriteItem::builder().put(put.build().expect("it has a table and an item")).build()
}

/// A participant's row, moved to a message's time and text. What else it holds
/// it keeps.
fn moved(table: &Table, row: Item, message: &Message) -> [TransactWriteItem; 2] {
    let key = [PK, SK].map(|name| {
        (name.to_owned(), row.get(name).cloned().unwrap_or(AttributeValue::Null(true)))
    });
    let delete = Delete::builder()
        .table_name(table.name())
        .set_key(Some(key.into()))
        .condition_expression("message_group_uuid = :group")
        .expression_attribute_values(":group", AttributeValue::S(message.group.to_string()))
        .build();
    let delete = delete.expect("it has a table and a key");
    let mut new = row;
    new.insert(SK.to_owned(), AttributeValue::S(message.sent_at.to_string()));
    new.insert("message".to_owned(), AttributeValue::S(message.text.clone()));
    [TransactWriteItem::builder().delete(delete).build(), put(table, new)]
}

fn after(time: SortTime) -> SortTime {
    SortTime::new(time.time() + TimeDelta::microseconds(1))
}

fn broken(why: impl std::fmt::Display) -> Error {
    with_check(Error::new("the conversation is broken; the message is not sent").cause(why))
}

fn with_check(error: Error) -> Error {
    let check = invocation("check-identities");
    error.hint(format!("`{check}` says what is broken and how to fix it"))
}
