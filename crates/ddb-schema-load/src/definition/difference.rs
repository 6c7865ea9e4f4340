//! In what two definitions of a table differ: the one that is wanted, and the live
//! table's. Pure.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    KeySchemaElement, OnDemandThroughput, Projection, StreamSpecification, TableDefinition,
    VectorIndex, WarmThroughput,
};

/// One thing in which a live table is not what its definition says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Difference {
    /// where, as a path in the definition: `GlobalSecondaryIndexes.by-user.KeySchema`
    pub(crate) path: String,
    /// what the definition says
    pub(crate) definition: String,
    /// what the live table has
    pub(crate) live: String,
}

pub(crate) const ABSENT: &str = "(none)";

/// What is compared: a path in the definition, and its value in words.
type Facts = BTreeMap<String, String>;

impl TableDefinition {
    /// In what the live table is not what this definition says: keys, indexes,
    /// billing and throughput always; streams, encryption, table class,
    /// deletion protection, on-demand and warm throughput where the definition
    /// speaks of them. Tags and policies are not looked at: reading them takes
    /// permissions and calls that not every server has.
    #[must_use]
    pub(crate) fn differences(&self, live: &Self) -> Vec<Difference> {
        let (mut wanted, mut found) = (self.facts(), live.as_spoken_of_by(self).facts());
        for index in self.indexes_without_throughput(live) {
            let path = format!("GlobalSecondaryIndexes.{index}.ProvisionedThroughput");
            wanted.remove(&path);
            found.remove(&path);
        }
        let mut paths: Vec<&String> = wanted.keys().chain(found.keys()).collect();
        paths.sort();
        paths.dedup();
        let value =
            |facts: &Facts, path: &str| facts.get(path).map_or(ABSENT, String::as_str).to_owned();
        paths
            .into_iter()
            .map(|path| Difference {
                path: path.clone(),
                definition: value(&wanted, path),
                live: value(&found, path),
            })
            .filter(|difference| difference.definition != difference.live)
            .collect()
    }

    /// The indexes whose provisioned throughput the server does not keep. DynamoDB has
    /// at least one unit for each index of a provisioned table; a server that shows
    /// none forgets what it is told, and no change would end the difference.
    #[must_use]
    pub(crate) fn indexes_without_throughput(&self, live: &Self) -> Vec<&str> {
        if !self.is_provisioned() || !live.is_provisioned() {
            return Vec::new();
        }
        let forgotten = |name: &str| {
            live.global_secondary_indexes.iter().flatten().any(|index| {
                index.index_name == name
                    && index.provisioned_throughput.as_ref().is_none_or(|throughput| {
                        throughput.read_capacity_units == 0 && throughput.write_capacity_units == 0
                    })
            })
        };
        let ours = self.global_secondary_indexes.iter().flatten();
        ours.filter(|index| index.provisioned_throughput.is_some())
            .map(|index| index.index_name.as_str())
            .filter(|name| forgotten(name))
            .collect()
    }

    /// This live table without what `wanted` leaves to the server.
    fn as_spoken_of_by(&self, wanted: &Self) -> Self {
        let mut live = self.clone();
        for index in live.global_secondary_indexes.iter_mut().flatten() {
            let mut ours = wanted.global_secondary_indexes.iter().flatten();
            let ours = ours.find(|ours| ours.index_name == index.index_name);
            let on_demand = ours.and_then(|ours| ours.on_demand_throughput.as_ref());
            let warm = ours.and_then(|ours| ours.warm_throughput.as_ref());
            index.on_demand_throughput =
                on_demand.map(|_| index.on_demand_throughput.take().unwrap_or_default());
            index.warm_throughput = warm.map(|least| least.of_live(index.warm_throughput.as_ref()));
        }
        live.on_demand_throughput = wanted
            .on_demand_throughput
            .as_ref()
            .map(|_| live.on_demand_throughput.take().unwrap_or_default());
        let warm = wanted.warm_throughput.as_ref();
        live.warm_throughput = warm.map(|least| least.of_live(live.warm_throughput.as_ref()));
        live.stream_specification.take_if(|_| wanted.stream_specification.is_none());
        let sse = wanted.sse_specification.as_ref().and_then(|sse| sse.enabled);
        live.sse_specification.take_if(|_| sse.is_none());
        live.table_class.take_if(|_| wanted.table_class.is_none());
        live.deletion_protection_enabled.take_if(|_| wanted.deletion_protection_enabled.is_none());
        live
    }

    fn facts(&self) -> Facts {
        let mut facts = Facts::new();
        let mut say = |path: &str, value: String| facts.insert(path.to_owned(), value);
        say("KeySchema", keys_in_words(&self.key_schema));
        let attributes = self.attribute_definitions.iter();
        let attributes = attributes.map(|a| format!("{} {}", a.attribute_name, a.attribute_type));
        say("AttributeDefinitions", sorted(attributes));
        say("BillingMode", self.billing_mode().to_owned());
        if let (Some(throughput), true) = (&self.provisioned_throughput, self.is_provisioned()) {
            say("ProvisionedThroughput", throughput.to_string());
        }
        if let Some(limits) = &self.on_demand_throughput {
            say("OnDemandThroughput", limits.in_words());
        }
        if let Some(warm) = &self.warm_throughput {
            say("WarmThroughput", warm.in_words());
        }
        if let Some(stream) = &self.stream_specification {
            say("StreamSpecification", stream.in_words());
        }
        if let Some(enabled) = self.sse_specification.as_ref().and_then(|sse| sse.enabled) {
            say("SSESpecification.Enabled", enabled.to_string());
        }
        if let Some(class) = &self.table_class {
            say("TableClass", class.clone());
        }
        if let Some(enabled) = self.deletion_protection_enabled {
            say("DeletionProtectionEnabled", enabled.to_string());
        }
        self.facts_of_indexes(&mut facts);
        facts
    }

    fn facts_of_indexes(&self, facts: &mut Facts) {
        let mut say = |path: String, value: String| facts.insert(path, value);
        for index in self.local_secondary_indexes.iter().flatten() {
            let path = format!("LocalSecondaryIndexes.{}", index.index_name);
            say(format!("{path}.KeySchema"), keys_in_words(&index.key_schema));
            say(format!("{path}.Projection"), index.projection.in_words());
        }
        for index in self.global_secondary_indexes.iter().flatten() {
            let path = format!("GlobalSecondaryIndexes.{}", index.index_name);
            say(format!("{path}.KeySchema"), keys_in_words(&index.key_schema));
            say(format!("{path}.Projection"), index.projection.in_words());
            if let (Some(throughput), true) = (&index.provisioned_throughput, self.is_provisioned())
            {
                say(format!("{path}.ProvisionedThroughput"), throughput.to_string());
            }
            if let Some(limits) = &index.on_demand_throughput {
                say(format!("{path}.OnDemandThroughput"), limits.in_words());
            }
            if let Some(warm) = &index.warm_throughput {
                say(format!("{path}.WarmThroughput"), warm.in_words());
            }
        }
        for index in self.vector_indexes.iter().flatten() {
            say(format!("VectorIndexes.{}", index.index_name), index.in_words());
        }
    }
}

fn sorted(words: impl Iterator<Item = String>) -> String {
    let mut words: Vec<String> = words.collect();
    words.sort();
    words.join(", ")
}

fn keys_in_words(keys: &[KeySchemaElement]) -> String {
    let keys = keys.iter().map(|key| format!("{} {}", key.attribute_name, key.key_type));
    keys.collect::<Vec<_>>().join(", ")
}

fn limits_in_words(read: Option<i64>, write: Option<i64>) -> String {
    // DynamoDB reports -1 where there is no limit.
    let limit = |units: Option<i64>| match units {
        None | Some(-1) => "any".to_owned(),
        Some(units) => units.to_string(),
    };
    format!("{} read, {} write", limit(read), limit(write))
}

impl Projection {
    fn in_words(&self) -> String {
        match self.non_key_attributes.as_deref() {
            None | Some([]) => self.projection_type.clone(),
            Some(names) => format!("{} {}", self.projection_type, sorted(names.iter().cloned())),
        }
    }
}

impl OnDemandThroughput {
    fn in_words(&self) -> String {
        limits_in_words(self.max_read_request_units, self.max_write_request_units)
    }
}

impl WarmThroughput {
    fn in_words(&self) -> String {
        limits_in_words(self.read_units_per_second, self.write_units_per_second)
    }

    /// The live one, for comparison with this. It is a least: DynamoDB raises it by
    /// itself, and it cannot be lowered. What is as warm as it should be counts as
    /// just so.
    fn of_live(&self, live: Option<&Self>) -> Self {
        let least = |wanted: Option<i64>, live: Option<i64>| Some(live?.min(wanted?));
        Self {
            read_units_per_second: least(
                self.read_units_per_second,
                live.and_then(|live| live.read_units_per_second),
            ),
            write_units_per_second: least(
                self.write_units_per_second,
                live.and_then(|live| live.write_units_per_second),
            ),
        }
    }
}

impl StreamSpecification {
    fn in_words(&self) -> String {
        let view = self.stream_view_type.as_deref().unwrap_or("on");
        if self.stream_enabled { view.to_owned() } else { "off".to_owned() }
    }
}

impl VectorIndex {
    fn in_words(&self) -> String {
        let attribute = &self.vector_attribute.attribute_name;
        format!("{attribute}, {} dimensions, {}", self.dimensions, self.distance_function)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use aws_sdk_dynamodb::types as live;

    use super::*;

    pub(crate) fn key(name: &str, kind: live::KeyType) -> live::KeySchemaElement {
        live::KeySchemaElement::builder().attribute_name(name).key_type(kind).build().expect("key")
    }

    pub(crate) fn attribute(name: &str) -> live::AttributeDefinition {
        live::AttributeDefinition::builder()
            .attribute_name(name)
            .attribute_type(live::ScalarAttributeType::S)
            .build()
            .expect("attribute")
    }

    pub(crate) fn throughput(read: i64, write: i64) -> live::ProvisionedThroughputDescription {
        live::ProvisionedThroughputDescription::builder()
            .read_capacity_units(read)
            .write_capacity_units(write)
            .build()
    }

    pub(crate) fn messages() -> live::builders::TableDescriptionBuilder {
        live::TableDescription::builder()
            .key_schema(key("pk", live::KeyType::Hash))
            .key_schema(key("sk", live::KeyType::Range))
            .attribute_definitions(attribute("sk"))
            .attribute_definitions(attribute("pk"))
            .provisioned_throughput(throughput(5, 5))
    }

    fn differences(of: &TableDefinition, table: &live::TableDescription) -> Vec<Difference> {
        of.differences(&TableDefinition::of_live(table))
    }

    fn difference(path: &str, definition: &str, live: &str) -> Difference {
        Difference { path: path.into(), definition: definition.into(), live: live.into() }
    }

    #[test]
    fn the_same_table_does_not_differ() {
        assert_eq!(differences(&TableDefinition::messages(), &messages().build()), []);
    }

    #[test]
    fn each_kind_of_difference_is_found() {
        let index = live::GlobalSecondaryIndexDescription::builder()
            .index_name("by-user")
            .key_schema(key("user_uuid", live::KeyType::Hash))
            .projection(
                live::Projection::builder().projection_type(live::ProjectionType::All).build(),
            )
            .provisioned_throughput(throughput(1, 2))
            .build();
        let table = messages()
            .set_key_schema(Some(vec![key("pk", live::KeyType::Hash)]))
            .set_attribute_definitions(Some(vec![attribute("pk"), attribute("user_uuid")]))
            .provisioned_throughput(throughput(5, 10))
            .global_secondary_indexes(index)
            .build();
        assert_eq!(
            differences(&TableDefinition::messages(), &table),
            [
                difference("AttributeDefinitions", "pk S, sk S", "pk S, user_uuid S"),
                difference("GlobalSecondaryIndexes.by-user.KeySchema", "(none)", "user_uuid HASH"),
                difference("GlobalSecondaryIndexes.by-user.Projection", "(none)", "ALL"),
                difference(
                    "GlobalSecondaryIndexes.by-user.ProvisionedThroughput",
                    "(none)",
                    "1 read, 2 write"
                ),
                difference("KeySchema", "pk HASH, sk RANGE", "pk HASH"),
                difference("ProvisionedThroughput", "5 read, 5 write", "5 read, 10 write"),
            ]
        );
    }

    #[test]
    fn on_demand_has_no_throughput_to_compare() {
        let on_demand = live::BillingModeSummary::builder()
            .billing_mode(live::BillingMode::PayPerRequest)
            .build();
        let table = messages()
            .provisioned_throughput(throughput(0, 0))
            .billing_mode_summary(on_demand)
            .build();
        assert_eq!(
            differences(&TableDefinition::messages(), &table),
            [
                difference("BillingMode", "PROVISIONED", "PAY_PER_REQUEST"),
                difference("ProvisionedThroughput", "5 read, 5 write", "(none)"),
            ]
        );
    }

    #[test]
    fn what_the_definition_does_not_speak_of_is_not_compared() {
        let table = messages().deletion_protection_enabled(true).build();
        let mut definition = TableDefinition::messages();
        assert_eq!(differences(&definition, &table), []);
        definition.deletion_protection_enabled = Some(false);
        assert_eq!(
            differences(&definition, &table),
            [difference("DeletionProtectionEnabled", "false", "true")]
        );
    }
}
