//! What is on nobody's chain, and conversations that are not whole.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use ops_common::text::{count, quoted};
use uuid::Uuid;

use super::fixes::word;
use super::index::Index;
use super::{Finding, Step, Stores};
use crate::table::{Group, Misspelled, NAMED};

impl Stores<'_> {
    /// Users whom the table names and Postgres does not have.
    pub(super) fn strangers(&self, index: &Index<'_>) -> Vec<Finding> {
        let by_uuid: BTreeMap<&Uuid, &String> = self.table.strangers.iter().collect();
        let owners = self.table.groups.values().flat_map(|group| &group.rows).map(|row| row.owner);
        let unnamed: BTreeSet<Uuid> = owners
            .filter(|owner| !index.by_uuid.contains_key(owner) && !by_uuid.contains_key(owner))
            .collect();
        let named = by_uuid.into_iter().map(|(uuid, handle)| (*uuid, Some(handle)));
        let finding = |(uuid, handle): (Uuid, Option<&String>)| {
            let groups = index.groups_of.get(&uuid).map_or(0, Vec::len);
            let handle_text =
                handle.map_or(String::new(), |handle| format!(" (`{handle}` in its rows)"));
            let anew = handle.and_then(|handle| index.by_handle.get(handle.as_str()));
            Finding {
                kind: "unknown user",
                uuid: Some(uuid),
                what: format!(
                    "the user {uuid}{handle_text} of {}{} is not in Postgres",
                    count(groups, "conversation"),
                    match self.table.sent_by_strangers.get(&uuid) {
                        None => String::new(),
                        Some(sent) => format!(", who sent {},", count(*sent, "message")),
                    }
                ),
                step: anew.map(|row| Step::Uuid {
                    handle: row.handle.clone(),
                    from: row.uuid,
                    to: uuid,
                }),
                fix: match anew {
                    Some(row) => self.fix_uuid(index, uuid, &row.handle),
                    None => {
                        let handle = handle.map_or("HANDLE", String::as_str);
                        self.fix_person(index, handle, Some(uuid), None)
                    }
                },
            }
        };
        named.chain(unnamed.into_iter().map(|uuid| (uuid, None))).map(finding).collect()
    }

    /// Conversations that are not whole.
    pub(super) fn groups(&self, index: &Index<'_>) -> Vec<Finding> {
        let broken: BTreeMap<&Uuid, &Group> =
            self.table.groups.iter().filter(|(_, group)| !group.is_whole()).collect();
        let mut findings = Vec::new();
        for (uuid, group) in broken {
            let step = self.step_of_group(*uuid, group);
            let mut add = |kind, what: String, fix: String| {
                let step = step.clone();
                findings.push(Finding { kind, uuid: Some(*uuid), what, fix, step });
            };
            let (fix_rows, fix_last) = (self.fix_rows(*uuid, group), self.fix_last(*uuid, group));
            let names = |uuids: &mut dyn Iterator<Item = Uuid>| {
                let mut names: Vec<String> = uuids
                    .map(|uuid| index.handle(self, uuid).unwrap_or_else(|| uuid.to_string()))
                    .collect();
                names.sort();
                quoted(names)
            };
            let owners: HashSet<Uuid> = group.rows.iter().map(|row| row.owner).collect();
            if group.rows.len() != 2 || owners.len() != 2 {
                let mut without =
                    group.participants().into_iter().filter(|person| !owners.contains(person));
                let without = names(&mut without);
                let without =
                    if without.is_empty() { without } else { format!(", none for {without}") };
                let rows = count(group.rows.len(), "row");
                let what = format!("the conversation {uuid} has {rows} in place of two{without}");
                add("group rows", what, fix_rows.clone());
            }
            if group.participants().len() > 2 {
                let names = names(&mut group.participants().into_iter());
                let what = format!("the conversation {uuid} has more than two people: {names}");
                add("participants", what, fix_rows.clone());
            }
            let mut alone =
                group.rows.iter().filter(|row| row.owner == row.other).map(|row| row.owner);
            let alone = names(&mut alone);
            if !alone.is_empty() {
                let what = format!("the conversation {uuid} is one of {alone} with nobody else");
                add("participants", what, fix_rows);
            }
            if group.newest.is_none() {
                add("no messages", format!("the conversation {uuid} has no messages"), fix_last);
                continue;
            }
            let stale = group.rows.iter().filter(|row| Some(row.last) != group.newest);
            let mut stale = stale.filter(|row| !group.is_superfluous(row)).map(|row| row.owner);
            let stale = names(&mut stale);
            if !stale.is_empty() {
                let what = format!(
                    "the inbox of {stale} does not show the newest message of the conversation {uuid}"
                );
                add("stale row", what, fix_last);
            }
        }
        findings
    }

    /// People whom rows call otherwise than Postgres does.
    pub(super) fn names(&self, index: &Index<'_>) -> Vec<Finding> {
        let outdated = self.table.outdated.iter();
        let finding = |(uuid, rows): (&Uuid, &u64)| {
            let row = index.by_uuid.get(uuid)?;
            Some(Finding {
                kind: "names",
                uuid: Some(*uuid),
                what: format!(
                    "{} of the table with another name of {} than Postgres has",
                    count(*rows, "row"),
                    quoted([&row.handle])
                ),
                fix: self.call(
                    "ddb-refresh-names",
                    &format!(" --handle {}", word(&row.handle, "HANDLE")),
                ),
                step: Some(Step::Names),
            })
        };
        outdated.filter_map(finding).collect()
    }

    /// Rows at keys in another spelling.
    pub(super) fn misspelled(&self) -> Vec<Finding> {
        let fix = format!("{} moves it there", self.call("check-identities", " --fix"));
        let finding = |misspelled: &Misspelled| {
            let Misspelled { key: [pk, sk], right: [right_pk, right_sk] } = misspelled;
            Finding {
                kind: "spelling",
                uuid: None,
                what: format!(
                    "the app never finds the row at the key `{pk}`, `{sk}`: it looks for `{right_pk}`, `{right_sk}`"
                ),
                fix: fix.clone(),
                step: Some(Step::Key(Box::new(misspelled.clone()))),
            }
        };
        let mut findings: Vec<Finding> =
            self.table.misspelled.iter().take(NAMED).map(finding).collect();
        let more = self.table.misspelled_count - findings.len();
        if more > 0 {
            findings.push(Finding {
                kind: "spelling",
                uuid: None,
                what: format!("{} more at a key in another spelling", count(more, "row")),
                fix,
                step: None,
            });
        }
        findings
    }

    pub(super) fn malformed(&self) -> Vec<Finding> {
        let fix = format!("{} shows it as it is", self.call("ddb-scan", " --output jsonl"));
        let finding = |what: String| Finding {
            kind: "malformed",
            uuid: None,
            what,
            fix: fix.clone(),
            step: None,
        };
        let mut findings: Vec<Finding> =
            self.table.malformed.iter().cloned().map(finding).collect();
        let more = self.table.malformed_count - findings.len();
        if more > 0 {
            findings.push(finding(format!("{} more cannot be read", count(more, "row"))));
        }
        findings
    }
}
