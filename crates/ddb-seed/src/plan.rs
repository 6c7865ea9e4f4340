//! What a seed has to write and delete, worked out before anything is. Pure.
//!
//! It replaces only what an earlier seed wrote: messages whose uuids are derived
//! from group and line, and the group's own rows. What people sent stays.

use std::collections::{HashMap, HashSet};

use aws_sdk_dynamodb::types::AttributeValue;
use chrono::TimeDelta;
use ops_common::app::keys::{PK, SK, SortTime};
use ops_common::app::records::{Item, Message, MessageGroup, Person};
use uuid::Uuid;

use crate::conversation::{Line, MAX_LINES, Speaker};

/// The uuid of line `index` of the conversation seeded as `group`.
pub(crate) fn message_uuid(group: Uuid, index: usize) -> Uuid {
    Uuid::new_v5(&group, format!("message {index}").as_bytes())
}

/// The two people of a conversation.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub(crate) mine: Person,
    pub(crate) other: Person,
}

/// The time of line `index`. A start is in the years 1 to 9999 and a file has at
/// most [`MAX_LINES`], so that the sum exists.
fn sent_at(start: SortTime, index: usize) -> SortTime {
    SortTime::new(start.time() + TimeDelta::minutes(i64::try_from(index).unwrap_or_default()))
}

/// The messages that are to be there: line i is sent i minutes after `start`.
pub(crate) fn messages(group: Uuid, lines: &[Line], pair: &Pair, start: SortTime) -> Vec<Message> {
    let message = |(index, line): (usize, &Line)| Message {
        group,
        sent_at: sent_at(start, index),
        uuid: message_uuid(group, index),
        text: line.text.clone(),
        sender: match line.speaker {
            Speaker::Mine => pair.mine.clone(),
            Speaker::Other => pair.other.clone(),
        },
    };
    lines.iter().enumerate().map(message).collect()
}

/// The messages of the conversation that an earlier seed wrote, and the rest.
#[derive(Debug, Default)]
pub(crate) struct Existing {
    pub(crate) seeded: Vec<Item>,
    pub(crate) sent_by_people: Vec<Item>,
}

impl Existing {
    pub(crate) fn sort(group: Uuid, items: Vec<Item>) -> Self {
        let derived: HashSet<Uuid> =
            (0..MAX_LINES).map(|index| message_uuid(group, index)).collect();
        let is_seeded = |item: &Item| {
            let uuid = string(item, "message_uuid").and_then(|text| text.parse().ok());
            uuid.is_some_and(|uuid| derived.contains(&uuid))
        };
        let (seeded, sent_by_people) = items.into_iter().partition(is_seeded);
        Self { seeded, sent_by_people }
    }

    /// Who sent what an earlier seed wrote: perhaps other people than now, who
    /// have a group row to be replaced.
    pub(crate) fn earlier_participants(&self) -> HashSet<Uuid> {
        self.seeded.iter().filter_map(|item| string(item, "user_uuid")?.parse().ok()).collect()
    }
}

/// Who a group's rows say takes part, beyond whose partition they are in.
pub(crate) fn others_in_rows(group: Uuid, group_rows: &[Item]) -> HashSet<Uuid> {
    let ours = group_rows.iter().filter(|row| is_of_group(row, group));
    ours.filter_map(|row| string(row, "user_uuid")?.parse().ok()).collect()
}

fn is_of_group(row: &Item, group: Uuid) -> bool {
    string(row, "message_group_uuid").and_then(|text| text.parse().ok()) == Some(group)
}

/// What is to be done. Puts come first, deletes after, so that an interrupted
/// seed loses nothing; no key is in both.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Plan {
    /// new, or other than what is there under the key
    pub(crate) puts: Vec<Item>,
    /// of `puts`: as many as overwrite what an earlier seed wrote
    pub(crate) overwritten: usize,
    /// partition and sort keys, as they stand in the table
    pub(crate) deletes: Vec<(String, String)>,
    /// there already, just so
    pub(crate) unchanged: usize,
    /// messages that people sent
    pub(crate) kept: usize,
}

/// Why nothing may be written: it would take something of somebody else's.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Collision {
    /// a row that no seed wrote has the key of one that is to be written
    Key { what: &'static str, at: String },
    /// other people take part in the conversation, beyond what a seed wrote
    OtherPeople { who: String },
}

/// Works out what has to be done. `group_rows` are all rows of the partitions
/// of everybody who takes or took part.
pub(crate) fn plan(
    group: Uuid,
    pair: &Pair,
    wanted: &[Message],
    existing: &Existing,
    group_rows: &[Item],
) -> Result<Plan, Collision> {
    let mut plan = Plan { kept: existing.sent_by_people.len(), ..Plan::default() };
    let wanted_items: Vec<Item> = wanted.iter().map(Message::to_item).collect();
    refuse_collision(&wanted_items, &existing.sent_by_people, "a message that a person sent")?;
    plan.replace(&existing.seeded, wanted_items);

    let (ours, others): (Vec<&Item>, Vec<&Item>) =
        group_rows.iter().partition(|row| is_of_group(row, group));
    // What people wrote is a conversation of these two, or not to be touched; so are
    // the rows where no seed ever wrote.
    let stranger = |item: &&Item| {
        let uuid: Option<Uuid> = string(item, "user_uuid").and_then(|text| text.parse().ok());
        uuid != Some(pair.mine.uuid) && uuid != Some(pair.other.uuid)
    };
    let rows = ours.iter().copied().filter(|_| existing.seeded.is_empty());
    if let Some(item) = existing.sent_by_people.iter().chain(rows).find(stranger) {
        return Err(Collision::OtherPeople {
            who: string(item, "user_handle").unwrap_or("?").to_owned(),
        });
    }
    let newest = newest(wanted, &existing.sent_by_people);
    let row = |owner: &Person, other: &Person| {
        let (last_at, last_text) = newest.clone()?;
        let row =
            MessageGroup { owner: owner.uuid, group, last_at, last_text, other: other.clone() };
        Some(row.to_item())
    };
    let wanted_rows: Vec<Item> = [row(&pair.mine, &pair.other), row(&pair.other, &pair.mine)]
        .into_iter()
        .flatten()
        .collect();
    refuse_collision(&wanted_rows, others, "another conversation's row")?;
    plan.replace(ours, wanted_rows);
    Ok(plan)
}

impl Plan {
    fn replace<'a>(&mut self, there: impl IntoIterator<Item = &'a Item>, wanted: Vec<Item>) {
        let mut there: HashMap<(String, String), &Item> =
            there.into_iter().map(|item| (key(item), item)).collect();
        for item in wanted {
            match there.remove(&key(&item)) {
                Some(same) if *same == item => self.unchanged += 1,
                Some(_) => {
                    self.overwritten += 1;
                    self.puts.push(item);
                }
                None => self.puts.push(item),
            }
        }
        self.deletes.extend(there.into_keys());
        self.deletes.sort();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.puts.is_empty() && self.deletes.is_empty()
    }

    /// Whether it takes away something that is there.
    pub(crate) fn replaces(&self) -> bool {
        self.overwritten > 0 || !self.deletes.is_empty()
    }
}

/// Time and text of the conversation's newest message, a person's if one came
/// later.
fn newest(wanted: &[Message], sent_by_people: &[Item]) -> Option<(SortTime, String)> {
    let of_item = |item: &Item| {
        let time = string(item, SK)?.parse().ok()?;
        Some((time, string(item, "message")?.to_owned()))
    };
    let seeded = wanted.iter().map(|message| (message.sent_at, message.text.clone()));
    seeded.chain(sent_by_people.iter().filter_map(of_item)).max_by_key(|(time, _)| *time)
}

fn refuse_collision<'a>(
    wanted: &[Item],
    others: impl IntoIterator<Item = &'a Item>,
    what: &'static str,
) -> Result<(), Collision> {
    let wanted: HashSet<(String, String)> = wanted.iter().map(key).collect();
    match others.into_iter().map(key).find(|key| wanted.contains(key)) {
        Some((_, at)) => Err(Collision::Key { what, at }),
        None => Ok(()),
    }
}

fn string<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    item.get(name).and_then(|value| value.as_s().ok()).map(String::as_str)
}

fn key(item: &Item) -> (String, String) {
    let part = |name| string(item, name).unwrap_or_default().to_owned();
    (part(PK), part(SK))
}

/// The key of a row that is to be deleted.
pub(crate) fn key_item((pk, sk): (String, String)) -> Item {
    Item::from([(PK.to_owned(), AttributeValue::S(pk)), (SK.to_owned(), AttributeValue::S(sk))])
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: Uuid = Uuid::from_u128(7);

    fn person(id: u128, handle: &str) -> Person {
        Person {
            uuid: Uuid::from_u128(id),
            display_name: handle.to_uppercase(),
            handle: handle.into(),
        }
    }

    fn pair() -> Pair {
        Pair { mine: person(1, "jess"), other: person(2, "bayko") }
    }

    fn lines(count: usize) -> Vec<Line> {
        (0..count).map(|i| Line { speaker: Speaker::Mine, text: format!("line {i}") }).collect()
    }

    fn at(text: &str) -> SortTime {
        text.parse().expect("time")
    }

    fn seeded(count: usize, start: &str) -> Vec<Message> {
        messages(GROUP, &lines(count), &pair(), at(start))
    }

    fn items(messages: &[Message]) -> Vec<Item> {
        messages.iter().map(Message::to_item).collect()
    }

    fn sent_by_person(time: &str) -> Item {
        let text = "a person's".to_owned();
        let sender = person(2, "bayko");
        Message { group: GROUP, sent_at: at(time), uuid: Uuid::from_u128(99), text, sender }
            .to_item()
    }

    /// The table after `plan`, as far as this conversation goes.
    fn apply(plan: &Plan, before: Vec<Item>) -> Vec<Item> {
        let mut table: HashMap<_, _> = before.into_iter().map(|item| (key(&item), item)).collect();
        table.extend(plan.puts.iter().map(|item| (key(item), item.clone())));
        for key in &plan.deletes {
            assert!(table.remove(key).is_some(), "deletes what is there");
        }
        table.into_values().collect()
    }

    fn is_group_row(item: &Item) -> bool {
        item.contains_key("message_group_uuid")
    }

    fn plan_on(wanted: &[Message], table: &[Item]) -> Result<Plan, Collision> {
        let (rows, messages) = table.iter().cloned().partition(is_group_row);
        plan(
            GROUP,
            &pair(),
            wanted,
            &Existing::sort(GROUP, messages),
            &Vec::from_iter::<Vec<Item>>(rows),
        )
    }

    #[test]
    fn the_derived_uuid_does_not_change() {
        assert_eq!(message_uuid(GROUP, 3).get_version_num(), 5);
        assert_eq!(
            message_uuid(ops_common::app::records::SEEDED_GROUP, 0).to_string(),
            "8fe1ae79-68c2-5c77-83c2-7e662c94da77"
        );
    }

    #[test]
    fn into_an_empty_table_everything_is_put() {
        let plan = plan_on(&seeded(3, "2026-01-01T00:00:00Z"), &[]).expect("plan");
        assert_eq!((plan.puts.len(), plan.deletes.len(), plan.overwritten), (5, 0, 0));
        let rows: Vec<&Item> = plan.puts.iter().filter(|item| is_group_row(item)).collect();
        assert!(rows.iter().all(|row| string(row, SK) == Some("2026-01-01T00:02:00.000000+00:00")));
        assert!(rows.iter().all(|row| string(row, "message") == Some("line 2")));
    }

    #[test]
    fn the_same_seed_again_changes_nothing() {
        let wanted = seeded(3, "2026-01-01T00:00:00Z");
        let table = apply(&plan_on(&wanted, &[]).expect("plan"), Vec::new());
        let again = plan_on(&wanted, &table).expect("plan");
        assert!(again.is_empty() && again.unchanged == 5, "{again:?}");
    }

    #[test]
    fn another_start_moves_the_conversation() {
        let table =
            apply(&plan_on(&seeded(3, "2026-01-01T00:00:00Z"), &[]).expect("plan"), Vec::new());
        let moved = seeded(3, "2026-01-02T00:00:00Z");
        let plan = plan_on(&moved, &table).expect("plan");
        assert_eq!((plan.puts.len(), plan.deletes.len()), (5, 5));
        assert_eq!(apply(&plan, table).iter().filter(|item| !is_group_row(item)).count(), 3);
    }

    #[test]
    fn a_shorter_conversation_leaves_nothing_of_the_longer_one() {
        let start = "2026-01-01T00:00:00Z";
        let table = apply(&plan_on(&seeded(9, start), &[]).expect("plan"), Vec::new());
        let shorter = seeded(2, start);
        let plan = plan_on(&shorter, &table).expect("plan");
        let after = apply(&plan, table);
        assert_eq!(after.iter().filter(|item| !is_group_row(item)).count(), 2);
        assert_eq!(after.iter().filter(|item| is_group_row(item)).count(), 2);
    }

    #[test]
    fn a_line_that_was_edited_is_overwritten() {
        let wanted = seeded(2, "2026-01-01T00:00:00Z");
        let table = apply(&plan_on(&wanted, &[]).expect("plan"), Vec::new());
        let mut edited = wanted.clone();
        edited[0].text = "edited".into();
        let plan = plan_on(&edited, &table).expect("plan");
        assert_eq!(
            (plan.puts.len(), plan.overwritten, plan.deletes.len(), plan.unchanged),
            (1, 1, 0, 3)
        );
        assert!(plan.replaces());
    }

    #[test]
    fn what_people_sent_stays_and_can_be_the_newest() {
        let table = vec![sent_by_person("2026-01-05T00:00:00Z")];
        let wanted = seeded(2, "2026-01-01T00:00:00Z");
        let plan = plan_on(&wanted, &table).expect("plan");
        assert_eq!((plan.kept, plan.deletes.len()), (1, 0));
        let row = plan.puts.iter().find(|item| is_group_row(item)).expect("row");
        assert_eq!(string(row, SK), Some("2026-01-05T00:00:00.000000+00:00"));
        assert_eq!(string(row, "message"), Some("a person's"));
    }

    #[test]
    fn a_persons_message_is_never_overwritten() {
        let table = vec![sent_by_person("2026-01-01T00:01:00Z")];
        let collision = plan_on(&seeded(2, "2026-01-01T00:00:00Z"), &table).expect_err("collision");
        assert!(matches!(collision, Collision::Key { what: "a message that a person sent", .. }));
    }

    #[test]
    fn another_conversations_row_is_never_overwritten() {
        let mut other =
            apply(&plan_on(&seeded(2, "2026-01-01T00:00:00Z"), &[]).expect("plan"), Vec::new());
        other.retain(is_group_row);
        for row in &mut other {
            row.insert(
                "message_group_uuid".into(),
                AttributeValue::S(Uuid::from_u128(8).to_string()),
            );
        }
        let collision = plan_on(&seeded(2, "2026-01-01T00:00:00Z"), &other).expect_err("collision");
        assert!(matches!(collision, Collision::Key { what: "another conversation's row", .. }));
        let moved = plan_on(&seeded(2, "2026-01-02T00:00:00Z"), &other).expect("plan");
        assert_eq!(moved.deletes, []);
    }

    #[test]
    fn rows_in_another_form_of_time_are_deleted_as_they_stand() {
        let mut table =
            apply(&plan_on(&seeded(1, "2026-01-01T00:00:00Z"), &[]).expect("plan"), Vec::new());
        table.retain(is_group_row);
        for row in &mut table {
            row.insert(SK.into(), AttributeValue::S("2025-12-31T00:00:00Z".into()));
        }
        let plan = plan_on(&seeded(1, "2026-01-01T00:00:00Z"), &table).expect("plan");
        assert!(plan.deletes.iter().all(|(_, sk)| sk == "2025-12-31T00:00:00Z"), "{plan:?}");
        assert_eq!(plan.deletes.len(), 2);
    }

    #[test]
    fn earlier_participants_are_those_of_the_seeded_messages() {
        let existing = Existing::sort(GROUP, items(&seeded(1, "2026-01-01T00:00:00Z")));
        assert_eq!(existing.earlier_participants(), HashSet::from([Uuid::from_u128(1)]));
    }

    #[test]
    fn a_conversation_of_other_people_is_not_touched() {
        let stranger = MessageGroup {
            owner: Uuid::from_u128(2),
            group: GROUP,
            last_at: at("2026-01-05T00:00:00Z"),
            last_text: "hi".into(),
            other: person(3, "alice"),
        };
        let collision = plan_on(&seeded(2, "2026-01-01T00:00:00Z"), &[stranger.to_item()]);
        assert_eq!(collision, Err(Collision::OtherPeople { who: "alice".into() }));
    }
}
