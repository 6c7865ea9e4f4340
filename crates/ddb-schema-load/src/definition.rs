//! The table's definition, as a CreateTable request, and its difference from a
//! live table. Pure.
//!
//! <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CreateTable.html>

pub(crate) mod plan;

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_dynamodb::types as live;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use ops_common::error::Error;

/// The definition that is compiled in: `seed-data/tables/cruddur-messages.json`.
const MESSAGES_TABLE: &str = include_str!("../../../seed-data/tables/cruddur-messages.json");

/// What a CreateTable request can say. A member that it cannot say is an error;
/// a member that is left out is not sent.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct TableDefinition {
    /// the table
    pub(crate) table_name: String,
    attribute_definitions: Vec<AttributeDefinition>,
    key_schema: Vec<KeySchemaElement>,
    local_secondary_indexes: Option<Vec<LocalSecondaryIndex>>,
    global_secondary_indexes: Option<Vec<GlobalSecondaryIndex>>,
    vector_indexes: Option<Vec<VectorIndex>>,
    billing_mode: Option<String>,
    provisioned_throughput: Option<ProvisionedThroughput>,
    on_demand_throughput: Option<OnDemandThroughput>,
    warm_throughput: Option<WarmThroughput>,
    stream_specification: Option<StreamSpecification>,
    #[serde(rename = "SSESpecification")]
    sse_specification: Option<SseSpecification>,
    table_class: Option<String>,
    deletion_protection_enabled: Option<bool>,
    tags: Option<Vec<Tag>>,
    resource_policy: Option<String>,
    global_table_source_arn: Option<String>,
    global_table_settings_replication_mode: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct AttributeDefinition {
    attribute_name: String,
    attribute_type: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct KeySchemaElement {
    attribute_name: String,
    key_type: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct LocalSecondaryIndex {
    index_name: String,
    key_schema: Vec<KeySchemaElement>,
    projection: Projection,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct GlobalSecondaryIndex {
    index_name: String,
    key_schema: Vec<KeySchemaElement>,
    projection: Projection,
    provisioned_throughput: Option<ProvisionedThroughput>,
    on_demand_throughput: Option<OnDemandThroughput>,
    warm_throughput: Option<WarmThroughput>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct VectorIndex {
    index_name: String,
    vector_attribute: VectorAttribute,
    search_schema: Option<Vec<SearchSchemaElement>>,
    projection: Projection,
    dimensions: i64,
    distance_function: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct VectorAttribute {
    attribute_name: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct SearchSchemaElement {
    attribute_name: String,
    search_schema_element_type: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Projection {
    projection_type: String,
    non_key_attributes: Option<Vec<String>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ProvisionedThroughput {
    read_capacity_units: i64,
    write_capacity_units: i64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct OnDemandThroughput {
    max_read_request_units: Option<i64>,
    max_write_request_units: Option<i64>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct WarmThroughput {
    read_units_per_second: Option<i64>,
    write_units_per_second: Option<i64>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct StreamSpecification {
    stream_enabled: bool,
    stream_view_type: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct SseSpecification {
    enabled: Option<bool>,
    #[serde(rename = "SSEType")]
    sse_type: Option<String>,
    #[serde(rename = "KMSMasterKeyId")]
    kms_master_key_id: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Tag {
    key: String,
    value: String,
}

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
    /// The messages table.
    #[must_use]
    pub(crate) fn messages() -> Self {
        serde_json::from_str(MESSAGES_TABLE).expect("the compiled-in definition is tested")
    }

    /// Parses the JSON of a CreateTable request.
    ///
    /// # Errors
    /// Where it is no JSON, lacks a required member, or has an unknown one; the
    /// cause names line and column.
    pub(crate) fn parse(json: &str, file: &str) -> Result<Self, Error> {
        serde_json::from_str(json.trim_start_matches('\u{feff}')).map_err(|error| {
            Error::new(format!("`{file}` is not a CreateTable request"))
                .cause(error)
                .hint("it takes what `aws dynamodb create-table --cli-input-json` takes")
        })
    }

    /// The request's body: every member that was given, none that was not.
    #[must_use]
    pub(crate) fn to_request(&self) -> String {
        let mut body = serde_json::to_value(self).expect("strings, numbers, lists");
        remove_nulls(&mut body);
        body.to_string()
    }

    /// The table's keys in words: `pk HASH S, sk RANGE S`.
    #[must_use]
    pub(crate) fn keys(&self) -> String {
        let kind = |key: &KeySchemaElement| {
            let of =
                self.attribute_definitions.iter().find(|a| a.attribute_name == key.attribute_name);
            of.map_or("?", |attribute| &attribute.attribute_type)
        };
        let keys = self.key_schema.iter();
        keys.map(|key| format!("{} {} {}", key.attribute_name, key.key_type, kind(key)))
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// The table's billing in words: `PROVISIONED, 5 read, 5 write`.
    #[must_use]
    pub(crate) fn billing(&self) -> String {
        match (&self.provisioned_throughput, self.is_provisioned()) {
            (Some(throughput), true) => format!("PROVISIONED, {}", throughput.in_words()),
            _ => self.billing_mode().to_owned(),
        }
    }

    fn billing_mode(&self) -> &str {
        self.billing_mode.as_deref().unwrap_or("PROVISIONED")
    }

    fn is_provisioned(&self) -> bool {
        self.billing_mode() == "PROVISIONED"
    }

    /// In what the live table is not what this definition says: keys, indexes,
    /// billing and throughput always; streams, encryption, table class,
    /// deletion protection, on-demand and warm throughput where the definition
    /// speaks of them. Tags and policies are not looked at: reading them takes
    /// permissions and calls that not every server has.
    #[must_use]
    pub(crate) fn differences(&self, table: &live::TableDescription) -> Vec<Difference> {
        let (mut wanted, mut found) = (self.facts(), self.live_facts(table));
        for index in self.indexes_without_throughput(table) {
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
    pub(crate) fn indexes_without_throughput(&self, table: &live::TableDescription) -> Vec<&str> {
        let billing = table.billing_mode_summary().and_then(|summary| summary.billing_mode());
        if !self.is_provisioned() || billing.is_some_and(|b| *b != live::BillingMode::Provisioned) {
            return Vec::new();
        }
        let none = |throughput: &live::ProvisionedThroughputDescription| {
            let units = [throughput.read_capacity_units(), throughput.write_capacity_units()];
            units.into_iter().all(|units| units.unwrap_or_default() == 0)
        };
        let forgotten = |name: &str| {
            let live = table.global_secondary_indexes().iter();
            live.filter(|index| index.index_name() == Some(name))
                .any(|index| index.provisioned_throughput().is_none_or(none))
        };
        let ours = self.global_secondary_indexes.iter().flatten();
        ours.filter(|index| index.provisioned_throughput.is_some())
            .map(|index| index.index_name.as_str())
            .filter(|name| forgotten(name))
            .collect()
    }

    fn facts(&self) -> Facts {
        let mut facts = Facts::new();
        let mut say = |path: String, value: String| facts.insert(path, value);
        say("KeySchema".into(), keys_in_words(&self.key_schema));
        say(
            "AttributeDefinitions".into(),
            sorted(
                self.attribute_definitions
                    .iter()
                    .map(|a| format!("{} {}", a.attribute_name, a.attribute_type)),
            ),
        );
        say("BillingMode".into(), self.billing_mode().to_owned());
        if let (Some(throughput), true) = (&self.provisioned_throughput, self.is_provisioned()) {
            say("ProvisionedThroughput".into(), throughput.in_words());
        }
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
                say(format!("{path}.ProvisionedThroughput"), throughput.in_words());
            }
            if let Some(limits) = &index.on_demand_throughput {
                let words =
                    limits_in_words(limits.max_read_request_units, limits.max_write_request_units);
                say(format!("{path}.OnDemandThroughput"), words);
            }
            if let Some(limits) = &index.warm_throughput {
                let words =
                    limits_in_words(limits.read_units_per_second, limits.write_units_per_second);
                say(format!("{path}.WarmThroughput"), words);
            }
        }
        for index in self.vector_indexes.iter().flatten() {
            let path = format!("VectorIndexes.{}", index.index_name);
            say(
                path,
                vector_in_words(
                    &index.vector_attribute.attribute_name,
                    index.dimensions,
                    &index.distance_function,
                ),
            );
        }
        if let Some(throughput) = &self.on_demand_throughput {
            say(
                "OnDemandThroughput".into(),
                limits_in_words(
                    throughput.max_read_request_units,
                    throughput.max_write_request_units,
                ),
            );
        }
        if let Some(throughput) = &self.warm_throughput {
            say(
                "WarmThroughput".into(),
                limits_in_words(
                    throughput.read_units_per_second,
                    throughput.write_units_per_second,
                ),
            );
        }
        if let Some(stream) = &self.stream_specification {
            say(
                "StreamSpecification".into(),
                stream_in_words(stream.stream_enabled, stream.stream_view_type.as_deref()),
            );
        }
        if let Some(enabled) = self.sse_specification.as_ref().and_then(|sse| sse.enabled) {
            say("SSESpecification.Enabled".into(), enabled.to_string());
        }
        if let Some(class) = &self.table_class {
            say("TableClass".into(), class.clone());
        }
        if let Some(enabled) = self.deletion_protection_enabled {
            say("DeletionProtectionEnabled".into(), enabled.to_string());
        }
        facts
    }

    fn live_facts(&self, table: &live::TableDescription) -> Facts {
        let mut facts = Facts::new();
        let mut say = |path: String, value: String| facts.insert(path, value);
        // Some servers keep the attributes of an index that is deleted.
        let used = live_key_attributes(table);
        let billing = table.billing_mode_summary().and_then(|summary| summary.billing_mode());
        let billing = billing.map_or("PROVISIONED", live::BillingMode::as_str);
        let provisioned = billing == "PROVISIONED";
        say("KeySchema".into(), keys_in_words(&live_keys(table.key_schema())));
        say(
            "AttributeDefinitions".into(),
            sorted(
                table
                    .attribute_definitions()
                    .iter()
                    .filter(|a| used.contains(a.attribute_name()))
                    .map(|a| format!("{} {}", a.attribute_name(), a.attribute_type().as_str())),
            ),
        );
        say("BillingMode".into(), billing.to_owned());
        if let (Some(throughput), true) = (table.provisioned_throughput(), provisioned) {
            say("ProvisionedThroughput".into(), live_throughput(throughput));
        }
        for index in table.local_secondary_indexes() {
            let path = format!("LocalSecondaryIndexes.{}", index.index_name().unwrap_or("?"));
            say(format!("{path}.KeySchema"), keys_in_words(&live_keys(index.key_schema())));
            say(format!("{path}.Projection"), live_projection(index.projection()));
        }
        for index in table.global_secondary_indexes() {
            let path = format!("GlobalSecondaryIndexes.{}", index.index_name().unwrap_or("?"));
            say(format!("{path}.KeySchema"), keys_in_words(&live_keys(index.key_schema())));
            say(format!("{path}.Projection"), live_projection(index.projection()));
            if let (Some(throughput), true) = (index.provisioned_throughput(), provisioned) {
                say(format!("{path}.ProvisionedThroughput"), live_throughput(throughput));
            }
            let ours = self.global_secondary_indexes.iter().flatten();
            let defined =
                ours.into_iter().find(|ours| Some(ours.index_name.as_str()) == index.index_name());
            if defined.is_some_and(|defined| defined.on_demand_throughput.is_some()) {
                let limits = index.on_demand_throughput();
                let words = limits_in_words(
                    limits.and_then(|l| l.max_read_request_units()),
                    limits.and_then(|l| l.max_write_request_units()),
                );
                say(format!("{path}.OnDemandThroughput"), words);
            }
            if let Some(wanted) = defined.and_then(|defined| defined.warm_throughput.as_ref()) {
                let live = index.warm_throughput();
                let words = wanted.live_in_words(
                    live.and_then(|l| l.read_units_per_second()),
                    live.and_then(|l| l.write_units_per_second()),
                );
                say(format!("{path}.WarmThroughput"), words);
            }
        }
        for index in table.vector_indexes() {
            let path = format!("VectorIndexes.{}", index.index_name().unwrap_or("?"));
            let attribute =
                index.vector_attribute().map_or("?", |attribute| attribute.attribute_name());
            let distance = index.distance_function().map_or("?", |function| function.as_str());
            say(path, vector_in_words(attribute, index.dimensions().unwrap_or_default(), distance));
        }
        if self.on_demand_throughput.is_some() {
            let limits = table.on_demand_throughput();
            say(
                "OnDemandThroughput".into(),
                limits_in_words(
                    limits.and_then(|l| l.max_read_request_units()),
                    limits.and_then(|l| l.max_write_request_units()),
                ),
            );
        }
        if let Some(wanted) = &self.warm_throughput {
            let live = table.warm_throughput();
            say(
                "WarmThroughput".into(),
                wanted.live_in_words(
                    live.and_then(|l| l.read_units_per_second()),
                    live.and_then(|l| l.write_units_per_second()),
                ),
            );
        }
        if self.stream_specification.is_some() {
            let stream = table.stream_specification();
            let view = stream.and_then(|s| s.stream_view_type()).map(live::StreamViewType::as_str);
            say(
                "StreamSpecification".into(),
                stream_in_words(stream.is_some_and(|s| s.stream_enabled()), view),
            );
        }
        if self.sse_specification.as_ref().is_some_and(|sse| sse.enabled.is_some()) {
            let status = table.sse_description().and_then(|sse| sse.status());
            let enabled =
                matches!(status, Some(live::SseStatus::Enabled | live::SseStatus::Enabling));
            say("SSESpecification.Enabled".into(), enabled.to_string());
        }
        if self.table_class.is_some() {
            let class = table.table_class_summary().and_then(|summary| summary.table_class());
            say("TableClass".into(), class.map_or("STANDARD", live::TableClass::as_str).to_owned());
        }
        if self.deletion_protection_enabled.is_some() {
            let enabled = table.deletion_protection_enabled().unwrap_or(false);
            say("DeletionProtectionEnabled".into(), enabled.to_string());
        }
        facts
    }
}

fn remove_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(remove_nulls);
        }
        Value::Array(elements) => elements.iter_mut().for_each(remove_nulls),
        _ => {}
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

fn live_key_attributes(table: &live::TableDescription) -> BTreeSet<&str> {
    let local = table.local_secondary_indexes().iter().flat_map(|index| index.key_schema());
    let global = table.global_secondary_indexes().iter().flat_map(|index| index.key_schema());
    let keys = table.key_schema().iter().chain(local).chain(global);
    keys.map(live::KeySchemaElement::attribute_name).collect()
}

fn live_keys(keys: &[live::KeySchemaElement]) -> Vec<KeySchemaElement> {
    let element = |key: &live::KeySchemaElement| KeySchemaElement {
        attribute_name: key.attribute_name().to_owned(),
        key_type: key.key_type().as_str().to_owned(),
    };
    keys.iter().map(element).collect()
}

impl Projection {
    fn in_words(&self) -> String {
        match self.non_key_attributes.as_deref() {
            None | Some([]) => self.projection_type.clone(),
            Some(names) => format!("{} {}", self.projection_type, sorted(names.iter().cloned())),
        }
    }
}

fn live_projection(projection: Option<&live::Projection>) -> String {
    let Some(projection) = projection else { return ABSENT.to_owned() };
    let kind = projection.projection_type().map_or("ALL", live::ProjectionType::as_str);
    Projection {
        projection_type: kind.to_owned(),
        non_key_attributes: Some(projection.non_key_attributes().to_vec()),
    }
    .in_words()
}

impl ProvisionedThroughput {
    fn in_words(&self) -> String {
        throughput_in_words(self.read_capacity_units, self.write_capacity_units)
    }
}

fn live_throughput(throughput: &live::ProvisionedThroughputDescription) -> String {
    throughput_in_words(
        throughput.read_capacity_units().unwrap_or_default(),
        throughput.write_capacity_units().unwrap_or_default(),
    )
}

fn throughput_in_words(read: i64, write: i64) -> String {
    format!("{read} read, {write} write")
}

fn limits_in_words(read: Option<i64>, write: Option<i64>) -> String {
    // DynamoDB reports -1 where there is no limit.
    let limit = |units: Option<i64>| match units {
        None | Some(-1) => "any".to_owned(),
        Some(units) => units.to_string(),
    };
    format!("{} read, {} write", limit(read), limit(write))
}

impl WarmThroughput {
    /// The live one, for comparison with this. It is a least: DynamoDB raises it by
    /// itself, and it cannot be lowered. What is as warm as it should be counts as
    /// just so.
    fn live_in_words(&self, read: Option<i64>, write: Option<i64>) -> String {
        let least = |wanted: Option<i64>, live: Option<i64>| Some(live?.min(wanted?));
        limits_in_words(
            least(self.read_units_per_second, read),
            least(self.write_units_per_second, write),
        )
    }
}

fn stream_in_words(enabled: bool, view: Option<&str>) -> String {
    if enabled { view.unwrap_or("on").to_owned() } else { "off".to_owned() }
}

fn vector_in_words(attribute: &str, dimensions: i64, distance: &str) -> String {
    format!("{attribute}, {dimensions} dimensions, {distance}")
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn key(name: &str, kind: live::KeyType) -> live::KeySchemaElement {
        live::KeySchemaElement::builder().attribute_name(name).key_type(kind).build().expect("key")
    }

    pub(super) fn attribute(name: &str) -> live::AttributeDefinition {
        live::AttributeDefinition::builder()
            .attribute_name(name)
            .attribute_type(live::ScalarAttributeType::S)
            .build()
            .expect("attribute")
    }

    pub(super) fn throughput(read: i64, write: i64) -> live::ProvisionedThroughputDescription {
        live::ProvisionedThroughputDescription::builder()
            .read_capacity_units(read)
            .write_capacity_units(write)
            .build()
    }

    pub(super) fn messages() -> live::builders::TableDescriptionBuilder {
        live::TableDescription::builder()
            .key_schema(key("pk", live::KeyType::Hash))
            .key_schema(key("sk", live::KeyType::Range))
            .attribute_definitions(attribute("sk"))
            .attribute_definitions(attribute("pk"))
            .provisioned_throughput(throughput(5, 5))
    }

    fn difference(path: &str, definition: &str, live: &str) -> Difference {
        Difference { path: path.into(), definition: definition.into(), live: live.into() }
    }

    #[test]
    fn the_compiled_in_definition_is_the_messages_table() {
        let definition = TableDefinition::messages();
        assert_eq!(definition.table_name, "cruddur-messages");
        assert_eq!(definition.keys(), "pk HASH S, sk RANGE S");
        assert_eq!(definition.billing(), "PROVISIONED, 5 read, 5 write");
        let sent: Value = serde_json::from_str(&definition.to_request()).expect("JSON");
        let file: Value = serde_json::from_str(MESSAGES_TABLE).expect("JSON");
        assert_eq!(sent, file);
    }

    #[test]
    fn the_same_table_does_not_differ() {
        assert_eq!(TableDefinition::messages().differences(&messages().build()), []);
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
            TableDefinition::messages().differences(&table),
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
            TableDefinition::messages().differences(&table),
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
        assert_eq!(definition.differences(&table), []);
        definition.deletion_protection_enabled = Some(false);
        assert_eq!(
            definition.differences(&table),
            [difference("DeletionProtectionEnabled", "false", "true")]
        );
    }

    #[test]
    fn an_unknown_member_is_an_error_with_its_place() {
        let json = MESSAGES_TABLE.replacen("\"BillingMode\"", "\"BilingMode\"", 1);
        let error = TableDefinition::parse(&json, "t.json").expect_err("unknown").to_string();
        assert!(error.contains("BilingMode") && error.contains("line "), "{error}");
    }

    #[test]
    fn everything_a_request_can_say_is_sent() {
        let json = serde_json::json!({
            "TableName": "t",
            "AttributeDefinitions": [{"AttributeName": "a", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "a", "KeyType": "HASH"}],
            "LocalSecondaryIndexes": [{"IndexName": "l", "KeySchema": [{"AttributeName": "a", "KeyType": "HASH"}], "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["x"]}}],
            "GlobalSecondaryIndexes": [{"IndexName": "g", "KeySchema": [{"AttributeName": "a", "KeyType": "HASH"}], "Projection": {"ProjectionType": "ALL"},
                "ProvisionedThroughput": {"ReadCapacityUnits": 1, "WriteCapacityUnits": 1}, "OnDemandThroughput": {"MaxReadRequestUnits": 1}, "WarmThroughput": {"ReadUnitsPerSecond": 1}}],
            "VectorIndexes": [{"IndexName": "v", "VectorAttribute": {"AttributeName": "e"}, "SearchSchema": [{"AttributeName": "a", "SearchSchemaElementType": "HASH"}],
                "Projection": {"ProjectionType": "ALL"}, "Dimensions": 4, "DistanceFunction": "COSINE"}],
            "BillingMode": "PROVISIONED",
            "ProvisionedThroughput": {"ReadCapacityUnits": 5, "WriteCapacityUnits": 5},
            "OnDemandThroughput": {"MaxReadRequestUnits": 1, "MaxWriteRequestUnits": 1},
            "WarmThroughput": {"ReadUnitsPerSecond": 1, "WriteUnitsPerSecond": 1},
            "StreamSpecification": {"StreamEnabled": true, "StreamViewType": "NEW_IMAGE"},
            "SSESpecification": {"Enabled": true, "SSEType": "KMS", "KMSMasterKeyId": "k"},
            "TableClass": "STANDARD",
            "DeletionProtectionEnabled": true,
            "Tags": [{"Key": "k", "Value": "v"}],
            "ResourcePolicy": "{}",
            "GlobalTableSourceArn": "arn",
            "GlobalTableSettingsReplicationMode": "ENABLED",
        });
        let definition = TableDefinition::parse(&json.to_string(), "t.json").expect("definition");
        assert_eq!(serde_json::from_str::<Value>(&definition.to_request()).expect("JSON"), json);
    }
}
