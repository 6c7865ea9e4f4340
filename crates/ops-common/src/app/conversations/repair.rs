//! Puts a conversation's inbox rows right: one for each of its two people, at the time
//! and with the text of the newest message.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{
    AttributeValue, Delete, Put, ReturnConsumedCapacity, TransactWriteItem,
};
use uuid::Uuid;

use super::read::{newest_message, of_one, rows_of_group};
use super::write::{GROUP, put};
use crate::app::keys::{PK, PairKey, SK};
use crate::app::records::{ERASED_TEXT, Item, Message, MessageGroup, Person, text};
use crate::consent::{Effect, Permit};
use crate::dynamodb::table::Table;
use crate::error::Error;

/// As many operations as a transaction takes.
const MOST_WRITES: usize = 100;

/// What puts a conversation's rows right.
#[derive(Debug)]
pub struct Repair {
    /// what happens, a line each
    pub what: Vec<String>,
    /// the worst of it
    pub effect: Effect,
    writes: Vec<TransactWriteItem>,
}

/// Plans it, by the rows as they are at this moment. `None` where they are right.
/// `known`: the people of Postgres. A conversation without messages loses its rows.
///
/// # Errors
/// Where a row is missing and Postgres has not the person whom it would name. Where
/// DynamoDB cannot be asked.
pub async fn plan_repair(
    table: &Table,
    group: Uuid,
    people: [Uuid; 2],
    known: &HashMap<Uuid, Person>,
) -> Result<Option<Repair>, Error> {
    let newest = newest_message(table, group).await?;
    if let Some(row) = newest.malformed.first() {
        return Err(Error::new(format!(
            "the newest message of the conversation {group} is broken"
        ))
        .cause(row));
    }
    let newest = newest.rows.into_iter().next();
    let mut repair = Repair { what: Vec::new(), effect: Effect::Nothing, writes: Vec::new() };
    for (owner, other) in [(people[0], people[1]), (people[1], people[0])] {
        let rows = rows_of_group(table, owner, group).await?.rows;
        let whose = known.get(&owner).map_or_else(|| owner.to_string(), |p| p.handle.clone());
        match &newest {
            Some(newest) => repair.row(table, owner, other, rows, newest, known, &whose)?,
            None => {
                for row in rows {
                    repair.does(Effect::Destroys, format!("deletes the row of `{whose}`"));
                    repair.writes.push(delete(table, &row, group));
                }
            }
        }
    }
    if repair.writes.len() > MOST_WRITES {
        return Err(Error::new(format!(
            "the conversation {group} has too many rows for one transaction"
        )));
    }
    Ok((!repair.writes.is_empty()).then_some(repair))
}

impl Repair {
    fn does(&mut self, effect: Effect, what: String) {
        let rank = |effect| match effect {
            Effect::Nothing => 0,
            Effect::Adds => 1,
            Effect::Changes => 2,
            Effect::Destroys => 3,
        };
        if rank(effect) > rank(self.effect) {
            self.effect = effect;
        }
        self.what.push(what);
    }

    #[expect(clippy::too_many_arguments, reason = "all that one row depends on")]
    fn row(
        &mut self,
        table: &Table,
        owner: Uuid,
        other: Uuid,
        mut rows: Vec<Item>,
        newest: &Message,
        known: &HashMap<Uuid, Person>,
        whose: &str,
    ) -> Result<(), Error> {
        let group = newest.group;
        rows.sort_by_key(sort_key);
        let Some(latest) = rows.last() else {
            let Some(other) = known.get(&other) else {
                return Err(Error::new(format!("the row of `{whose}` cannot be made"))
                    .cause(format!("it names the user {other}, who is not in Postgres")));
            };
            let row = MessageGroup {
                owner,
                group,
                last_at: newest.sent_at,
                last_text: newest.text.clone(),
                other: other.clone(),
            };
            self.does(Effect::Adds, format!("puts the row that `{whose}` lacks"));
            self.writes.push(put(table, row.to_item()));
            return Ok(());
        };
        let right = at(latest, newest);
        self.replace_rows(table, &rows, right, group, whose);
        Ok(())
    }

    /// Leaves one of somebody's rows of a conversation, which becomes `right`.
    fn replace_rows(
        &mut self,
        table: &Table,
        rows: &[Item],
        right: Item,
        group: Uuid,
        whose: &str,
    ) {
        let is_there = |row: &&Item| sort_key(row) == sort_key(&right);
        let is_right = rows.last() == Some(&right);
        let superfluous = rows.len() - 1;
        if superfluous > 0 {
            let what = format!("deletes {superfluous} earlier of `{whose}`'s rows");
            self.does(Effect::Destroys, what);
        }
        if !is_right {
            let to = sort_key(&right).unwrap_or_default();
            self.does(Effect::Changes, format!("moves the row of `{whose}` to {to}"));
        }
        for row in rows.iter().filter(|row| !is_there(row)) {
            self.writes.push(delete(table, row, group));
        }
        match (is_right, rows.iter().any(|row| is_there(&row))) {
            (true, _) => {}
            (false, true) => self.writes.push(replace(table, right, group)),
            (false, false) => self.writes.push(put(table, right)),
        }
    }
}

fn sort_key(row: &Item) -> Option<String> {
    text(row, SK).map(str::to_owned)
}

/// A row, moved to a message's time and text.
fn at(row: &Item, newest: &Message) -> Item {
    let mut row = row.clone();
    row.insert(SK.to_owned(), AttributeValue::S(newest.sent_at.to_string()));
    row.insert("message".to_owned(), AttributeValue::S(newest.text.clone()));
    row
}

/// Plans what takes a person out of somebody else's inbox: the row of the conversation
/// names nobody, and shows the newest message that is left. `None` where no row names
/// the person any more, or the newest message is still theirs: that has to go first.
///
/// # Errors
/// Where DynamoDB cannot be asked.
pub async fn plan_erasure(
    table: &Table,
    owner: Uuid,
    group: Uuid,
    person: Uuid,
) -> Result<Option<Repair>, Error> {
    let names_them =
        |row: &Item| text(row, "user_uuid").and_then(|user| user.parse().ok()) == Some(person);
    let mut rows = rows_of_group(table, owner, group).await?.rows;
    if !rows.iter().any(names_them) {
        return Ok(None);
    }
    rows.sort_by_key(sort_key);
    let Some(latest) = rows.last() else { return Ok(None) };
    let newest = newest_message(table, group).await?;
    let mut right = match newest.rows.first() {
        // They have written meanwhile: the row would keep that text.
        Some(newest) if newest.sender.uuid == person => return Ok(None),
        Some(newest) => at(latest, newest),
        None => {
            let mut row = latest.clone();
            row.insert("message".to_owned(), AttributeValue::S(ERASED_TEXT.to_owned()));
            row
        }
    };
    let nobody = Person::erased();
    for (name, value) in [
        ("user_uuid", nobody.uuid.to_string()),
        ("user_handle", nobody.handle),
        ("user_display_name", nobody.display_name),
    ] {
        right.insert(name.to_owned(), AttributeValue::S(value));
    }
    let mut repair = Repair { what: Vec::new(), effect: Effect::Nothing, writes: Vec::new() };
    repair.replace_rows(table, &rows, right, group, &owner.to_string());
    Ok(Some(repair))
}

fn delete(table: &Table, row: &Item, group: Uuid) -> TransactWriteItem {
    let key = [PK, SK].map(|name| (name.to_owned(), row[name].clone()));
    let delete = Delete::builder()
        .table_name(table.name())
        .set_key(Some(key.into()))
        .condition_expression("message_group_uuid = :group")
        .expression_attribute_values(":group", AttributeValue::S(group.to_string()))
        .build();
    TransactWriteItem::builder().delete(delete.expect("it has a table and a key")).build()
}

fn replace(table: &Table, row: Item, group: Uuid) -> TransactWriteItem {
    let put = Put::builder()
        .table_name(table.name())
        .set_item(Some(row))
        .condition_expression(format!("{GROUP} = :group"))
        .expression_attribute_values(":group", AttributeValue::S(group.to_string()))
        .build();
    TransactWriteItem::builder().put(put.expect("it has a table and an item")).build()
}

/// Plans what takes a conversation out of the inboxes of these people, with the row of
/// their pair. `None` where nothing of it is there.
///
/// # Errors
/// Where DynamoDB cannot be asked.
pub async fn plan_removal(
    table: &Table,
    group: Uuid,
    people: &[Uuid],
) -> Result<Option<Repair>, Error> {
    let mut repair = Repair { what: Vec::new(), effect: Effect::Nothing, writes: Vec::new() };
    for owner in people {
        for row in rows_of_group(table, *owner, group).await?.rows {
            repair.does(Effect::Destroys, format!("deletes a row of the inbox of {owner}"));
            repair.writes.push(delete(table, &row, group));
        }
    }
    if let [one, other] = people {
        let pair = PairKey::new(*one, *other).to_string();
        for row in of_one(table, &pair, GROUP, group).await?.rows {
            repair.does(Effect::Destroys, "deletes the row of the pair".to_owned());
            repair.writes.push(delete(table, &row, group));
        }
    }
    Ok((!repair.writes.is_empty()).then_some(repair))
}

/// Carries it out, in one transaction: all of it or nothing. `false`: nothing, since the
/// rows are not as they were planned with.
///
/// # Errors
/// Where DynamoDB refuses.
pub async fn repair(table: &Table, permit: &Permit, repair: Repair) -> Result<bool, Error> {
    table.check(permit)?;
    let sent = table
        .db()
        .client()
        .transact_write_items()
        .set_transact_items(Some(repair.writes))
        .return_consumed_capacity(ReturnConsumedCapacity::Total)
        .send()
        .await;
    match sent {
        Ok(_) => Ok(true),
        Err(error)
            if error.as_service_error().is_some_and(|e| e.is_transaction_canceled_exception()) =>
        {
            Ok(false)
        }
        Err(error) => Err(table.error("write to", &error).await),
    }
}
