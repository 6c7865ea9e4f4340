//! What makes a live table what its definition says: a list of UpdateTable requests.
//! Pure.
//!
//! <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateTable.html>:
//! a request changes throughput, or makes one index, or deletes one; keys and local
//! secondary indexes are for ever.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::difference::Difference;
use super::{GlobalSecondaryIndex, TableDefinition, remove_nulls};

/// One request, to be waited for before the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    /// in words: `create the index `by-user``
    pub(crate) what: String,
    /// whether something is lost by it
    pub(crate) destroys: bool,
    /// the body of UpdateTable
    pub(crate) request: Value,
}

/// What there is to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// in the order in which they have to be done
    pub(crate) changes: Vec<Change>,
    /// what only a new table can have
    pub(crate) impossible: Vec<Difference>,
}

impl TableDefinition {
    /// What makes the `live` table what this definition says.
    #[must_use]
    pub(crate) fn plan(&self, live: &Self) -> Plan {
        let differences = self.differences(live);
        let differs = |path: &str| differences.iter().any(|difference| difference.path == path);
        let retyped_keys = self.retyped_keys(live);
        let impossible = differences.iter().filter(|difference| {
            is_for_ever(&difference.path)
                || difference.path == "AttributeDefinitions" && retyped_keys
        });
        let mut plan = Plan { impossible: impossible.cloned().collect(), ..Plan::default() };
        let mut change = |what: String, destroys: bool, members: Value| {
            let mut request = Map::from_iter([("TableName".to_owned(), json!(self.table_name))]);
            if let Value::Object(members) = members {
                request.extend(members);
            }
            let mut request = Value::Object(request);
            remove_nulls(&mut request);
            plan.changes.push(Change { what, destroys, request });
        };

        if differs("DeletionProtectionEnabled") {
            let on = self.deletion_protection_enabled == Some(true);
            let verb = if on { "turn on" } else { "turn off" };
            let members = json!({"DeletionProtectionEnabled": on});
            change(format!("{verb} the deletion protection"), !on, members);
        }
        let (kept, made) = self.replace_indexes(live, &differs, &mut change);
        if let Some((what, members)) = self.capacity_change(&differs, &kept) {
            change(what, false, members);
        }
        for (path, member) in [
            ("OnDemandThroughput", json!({"OnDemandThroughput": self.on_demand_throughput})),
            ("WarmThroughput", json!({"WarmThroughput": self.warm_throughput})),
            ("TableClass", json!({"TableClass": self.table_class})),
            ("SSESpecification.Enabled", json!({"SSESpecification": self.sse_specification})),
        ] {
            if let Some(difference) = differences.iter().find(|difference| difference.path == path)
            {
                change(format!("set {path} to {}", difference.definition), false, member);
            }
        }
        if let Some(stream) = differences.iter().find(|d| d.path == "StreamSpecification") {
            if stream.live != "off" {
                // Whoever reads the old one has a day to read what is in it.
                let members = json!({"StreamSpecification": {"StreamEnabled": false}});
                change(format!("turn off the stream {}", stream.live), true, members);
            }
            if stream.definition != "off" {
                let members = json!({"StreamSpecification": self.stream_specification});
                change(format!("turn on the stream {}", stream.definition), false, members);
            }
        }
        let mut there = kept;
        for index in made {
            there.push(index);
            let members = json!({
                "AttributeDefinitions": self.attributes_of(&there),
                "GlobalSecondaryIndexUpdates": [{"Create": index}],
            });
            change(format!("create the index `{}`", index.index_name), false, members);
        }
        plan
    }

    /// Deletes the indexes that are not wanted, or not as they are. Returns those of the
    /// definition that stay, and those that have to be made.
    fn replace_indexes(
        &self,
        live: &Self,
        differs: &impl Fn(&str) -> bool,
        change: &mut impl FnMut(String, bool, Value),
    ) -> (Vec<&GlobalSecondaryIndex>, Vec<&GlobalSecondaryIndex>) {
        let retyped = self.retyped(live);
        let made_anew = |index: &GlobalSecondaryIndex| {
            let name = &index.index_name;
            ["KeySchema", "Projection"]
                .iter()
                .any(|part| differs(&format!("GlobalSecondaryIndexes.{name}.{part}")))
                || index.key_schema.iter().any(|key| retyped.contains(&key.attribute_name))
        };
        let mut kept = Vec::new();
        for index in live.global_secondary_indexes.iter().flatten() {
            let name = index.index_name.as_str();
            let mut wanted = self.global_secondary_indexes.iter().flatten();
            let why = match wanted.find(|wanted| wanted.index_name == name) {
                Some(wanted) if !made_anew(wanted) => {
                    kept.push(name);
                    continue;
                }
                Some(_) => "to create it again",
                None => "which the definition does not have",
            };
            let members = json!({"GlobalSecondaryIndexUpdates": [{"Delete": {"IndexName": name}}]});
            change(format!("delete the index `{name}`, {why}"), true, members);
        }
        let wanted = self.global_secondary_indexes.iter().flatten();
        wanted.partition(|index| kept.contains(&index.index_name.as_str()))
    }

    /// The attributes that have another type in the live table.
    fn retyped(&self, live: &Self) -> BTreeSet<String> {
        let attributes = self.attribute_definitions.iter().filter(|ours| {
            live.attribute_definitions.iter().any(|theirs| {
                theirs.attribute_name == ours.attribute_name
                    && theirs.attribute_type != ours.attribute_type
            })
        });
        attributes.map(|attribute| attribute.attribute_name.clone()).collect()
    }

    /// Whether one of them is a key of the table's or of a local index's, for ever.
    fn retyped_keys(&self, live: &Self) -> bool {
        let retyped = self.retyped(live);
        let local = self.local_secondary_indexes.iter().flatten().flat_map(|i| &i.key_schema);
        let mut keys = self.key_schema.iter().chain(local);
        keys.any(|key| retyped.contains(&key.attribute_name))
    }

    /// Billing and throughput, of the table and of the indexes that stay, in one
    /// request. What is as it should be may not be said again.
    fn capacity_change(
        &self,
        differs: &impl Fn(&str) -> bool,
        indexes: &[&GlobalSecondaryIndex],
    ) -> Option<(String, Value)> {
        let mut members = Map::new();
        let billing = differs("BillingMode");
        if billing {
            members.insert("BillingMode".into(), json!(self.billing_mode()));
        }
        if self.is_provisioned() && (billing || differs("ProvisionedThroughput")) {
            members.insert("ProvisionedThroughput".into(), json!(self.provisioned_throughput));
        }
        let mut named = Vec::new();
        let mut updates = Vec::new();
        for index in indexes {
            let name = &index.index_name;
            let mut update = Map::from_iter([("IndexName".to_owned(), json!(name))]);
            let throughputs = [
                ("ProvisionedThroughput", json!(index.provisioned_throughput)),
                ("OnDemandThroughput", json!(index.on_demand_throughput)),
                ("WarmThroughput", json!(index.warm_throughput)),
            ];
            for (member, value) in throughputs {
                if differs(&format!("GlobalSecondaryIndexes.{name}.{member}")) && !value.is_null() {
                    update.insert(member.into(), value);
                }
            }
            if update.len() > 1 {
                named.push(format!("`{name}`"));
                updates.push(json!({"Update": update}));
            }
        }
        if members.is_empty() && updates.is_empty() {
            return None;
        }
        let mut what = Vec::new();
        if !members.is_empty() {
            what.push(format!("set the billing to {}", self.billing()));
        }
        if !updates.is_empty() {
            what.push(format!("set the throughput of {}", named.join(", ")));
            members.insert("GlobalSecondaryIndexUpdates".into(), json!(updates));
        }
        Some((what.join(", and "), Value::Object(members)))
    }

    /// The definitions of the attributes that the table and these indexes have as
    /// keys: others would be refused.
    fn attributes_of(&self, indexes: &[&GlobalSecondaryIndex]) -> Value {
        let local = self.local_secondary_indexes.iter().flatten().flat_map(|i| &i.key_schema);
        let global = indexes.iter().flat_map(|index| &index.key_schema);
        let keys: BTreeSet<&str> = self
            .key_schema
            .iter()
            .chain(local)
            .chain(global)
            .map(|key| key.attribute_name.as_str())
            .collect();
        let used = self
            .attribute_definitions
            .iter()
            .filter(|attribute| keys.contains(attribute.attribute_name.as_str()));
        json!(used.collect::<Vec<_>>())
    }
}

/// Whether no UpdateTable can change what differs there.
fn is_for_ever(path: &str) -> bool {
    path == "KeySchema"
        || path.starts_with("LocalSecondaryIndexes.")
        || path.starts_with("VectorIndexes.")
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::types as live;

    use super::super::difference::tests::{attribute, key, messages, throughput};
    use super::*;

    fn of_live(table: live::builders::TableDescriptionBuilder) -> TableDefinition {
        TableDefinition::of_live(&table.build())
    }

    fn definition(members: Value) -> TableDefinition {
        let mut definition: Value =
            serde_json::from_str(&TableDefinition::messages().to_request()).expect("JSON");
        if let (Value::Object(definition), Value::Object(members)) = (&mut definition, members) {
            definition.extend(members);
        }
        TableDefinition::parse(&definition.to_string(), "t.json").expect("a definition")
    }

    fn index(name: &str, key: &str) -> Value {
        json!({"IndexName": name, "KeySchema": [{"AttributeName": key, "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "ALL"},
            "ProvisionedThroughput": {"ReadCapacityUnits": 1, "WriteCapacityUnits": 2}})
    }

    fn attributes(names: &[&str]) -> Value {
        let attribute = |name: &&str| json!({"AttributeName": name, "AttributeType": "S"});
        names.iter().map(attribute).collect()
    }

    fn live_index(name: &str, of: &str) -> live::GlobalSecondaryIndexDescription {
        live::GlobalSecondaryIndexDescription::builder()
            .index_name(name)
            .key_schema(key(of, live::KeyType::Hash))
            .projection(
                live::Projection::builder().projection_type(live::ProjectionType::All).build(),
            )
            .provisioned_throughput(throughput(1, 2))
            .build()
    }

    #[test]
    fn the_same_table_takes_nothing() {
        assert_eq!(TableDefinition::messages().plan(&of_live(messages())), Plan::default());
    }

    #[test]
    fn indexes_go_first_and_come_last_one_at_a_time() {
        let definition = definition(json!({
            "AttributeDefinitions": attributes(&["pk", "sk", "a", "b"]),
            "GlobalSecondaryIndexes": [index("by-a", "a"), index("by-b", "b")],
            "ProvisionedThroughput": {"ReadCapacityUnits": 7, "WriteCapacityUnits": 5},
        }));
        let table = messages()
            .attribute_definitions(attribute("c"))
            .global_secondary_indexes(live_index("by-c", "c"))
            // The name stays, the key does not.
            .global_secondary_indexes(live_index("by-a", "c"));
        let plan = definition.plan(&of_live(table));
        assert_eq!(plan.impossible, []);
        let steps: Vec<(&str, bool)> =
            plan.changes.iter().map(|change| (change.what.as_str(), change.destroys)).collect();
        assert_eq!(
            steps,
            [
                ("delete the index `by-c`, which the definition does not have", true),
                ("delete the index `by-a`, to create it again", true),
                ("set the billing to PROVISIONED, 7 read, 5 write", false),
                ("create the index `by-a`", false),
                ("create the index `by-b`", false),
            ]
        );
        assert_eq!(
            plan.changes[3].request,
            json!({"TableName": "cruddur-messages", "AttributeDefinitions": attributes(&["pk", "sk", "a"]),
                "GlobalSecondaryIndexUpdates": [{"Create": index("by-a", "a")}]})
        );
        assert_eq!(
            plan.changes[4].request["AttributeDefinitions"],
            attributes(&["pk", "sk", "a", "b"])
        );
    }

    #[test]
    fn from_on_demand_to_provisioned_says_the_throughput_of_every_index() {
        let definition = definition(json!({
            "AttributeDefinitions": attributes(&["pk", "sk", "a"]),
            "GlobalSecondaryIndexes": [index("by-a", "a")],
        }));
        let on_demand = live::BillingModeSummary::builder()
            .billing_mode(live::BillingMode::PayPerRequest)
            .build();
        let table = messages()
            .attribute_definitions(attribute("a"))
            .billing_mode_summary(on_demand)
            .global_secondary_indexes(live_index("by-a", "a"));
        let changes = definition.plan(&of_live(table)).changes;
        let [change] = changes.as_slice() else { panic!("{changes:?}") };
        assert_eq!(
            change.request,
            json!({"TableName": "cruddur-messages", "BillingMode": "PROVISIONED",
                "ProvisionedThroughput": {"ReadCapacityUnits": 5, "WriteCapacityUnits": 5},
                "GlobalSecondaryIndexUpdates": [{"Update": {"IndexName": "by-a",
                    "ProvisionedThroughput": {"ReadCapacityUnits": 1, "WriteCapacityUnits": 2}}}]})
        );
    }

    #[test]
    fn keys_and_local_indexes_are_for_ever() {
        let local = json!([{"IndexName": "l", "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "ALL"}}]);
        let plan = definition(json!({"LocalSecondaryIndexes": local})).plan(&of_live(messages()));
        let paths: Vec<&str> = plan.impossible.iter().map(|d| d.path.as_str()).collect();
        assert_eq!(
            paths,
            ["LocalSecondaryIndexes.l.KeySchema", "LocalSecondaryIndexes.l.Projection"]
        );
        let numbers = json!([{"AttributeName": "pk", "AttributeType": "N"}, {"AttributeName": "sk", "AttributeType": "S"}]);
        let plan = definition(json!({"AttributeDefinitions": numbers})).plan(&of_live(messages()));
        assert_eq!(plan.impossible.len(), 1);
        assert_eq!(plan.impossible[0].path, "AttributeDefinitions");
    }

    #[test]
    fn the_key_of_an_index_can_have_another_type() {
        let mut names = attributes(&["pk", "sk", "a"]);
        names[2]["AttributeType"] = json!("N");
        let definition = definition(json!({
            "AttributeDefinitions": names, "GlobalSecondaryIndexes": [index("by-a", "a")],
        }));
        let table = messages()
            .attribute_definitions(attribute("a"))
            .global_secondary_indexes(live_index("by-a", "a"));
        let plan = definition.plan(&of_live(table));
        assert_eq!(plan.impossible, []);
        let steps: Vec<&str> = plan.changes.iter().map(|change| change.what.as_str()).collect();
        assert_eq!(
            steps,
            ["delete the index `by-a`, to create it again", "create the index `by-a`"]
        );
    }

    #[test]
    fn a_stream_of_another_view_ends_before_it_begins() {
        let stream = json!({"StreamEnabled": true, "StreamViewType": "NEW_IMAGE"});
        let definition = definition(json!({"StreamSpecification": stream}));
        let old = live::StreamSpecification::builder()
            .stream_enabled(true)
            .stream_view_type(live::StreamViewType::KeysOnly)
            .build()
            .expect("a stream");
        let changes = definition.plan(&of_live(messages().stream_specification(old))).changes;
        let steps: Vec<(&str, bool)> =
            changes.iter().map(|change| (change.what.as_str(), change.destroys)).collect();
        assert_eq!(
            steps,
            [("turn off the stream KEYS_ONLY", true), ("turn on the stream NEW_IMAGE", false)]
        );
    }
}
