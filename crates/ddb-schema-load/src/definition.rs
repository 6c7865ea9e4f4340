//! A table's definition: what a CreateTable request can say.
//!
//! <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CreateTable.html>

pub(crate) mod difference;
mod live;
pub(crate) mod plan;

use std::collections::BTreeSet;
use std::path::Path;
use std::{fmt, io};

use ops_common::error::Error;
use ops_common::files::limited;
use ops_common::text::quoted;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Of a CreateTable request, which has at most some hundred names.
const MOST_BYTES: u64 = 4 << 20;

/// What an ImportTable request can say of its table.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TableCreationParameters.html>
const IMPORTED: [&str; 9] = [
    "TableName",
    "AttributeDefinitions",
    "KeySchema",
    "BillingMode",
    "ProvisionedThroughput",
    "OnDemandThroughput",
    "SSESpecification",
    "GlobalSecondaryIndexes",
    "VectorIndexes",
];

/// The definition that is compiled in: `seed-data/tables/cruddur-messages.json`.
const MESSAGES_TABLE: &str = include_str!("../../../seed-data/tables/cruddur-messages.json");

/// What a CreateTable request can say. A member that it cannot say is an error;
/// a member that is left out is not sent.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct TableDefinition {
    /// the table
    pub table_name: String,
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

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
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

impl TableDefinition {
    /// The messages table.
    #[must_use]
    pub(crate) fn messages() -> Self {
        serde_json::from_str(MESSAGES_TABLE).expect("the compiled-in definition is tested")
    }

    /// Reads the file of a CreateTable request.
    ///
    /// # Errors
    /// Where it cannot be read; where it is no such request.
    pub fn read(file: &Path) -> Result<Self, Error> {
        let shown = file.display().to_string();
        let text = limited::read(file, MOST_BYTES).and_then(|bytes| {
            String::from_utf8(bytes).map_err(|error| io::Error::other(error.utf8_error()))
        });
        let text = text.map_err(|error| {
            Error::new(format!("cannot read the definition `{shown}`"))
                .cause(error)
                .hint("--schema names a CreateTable request as JSON")
        })?;
        Self::parse(&text, &shown)
    }

    /// Parses the JSON of a CreateTable request.
    ///
    /// # Errors
    /// Where it is no JSON, lacks a required member, or has an unknown one; the
    /// cause names line and column.
    pub(crate) fn parse(json: &str, file: &str) -> Result<Self, Error> {
        let definition: Self =
            serde_json::from_str(json.trim_start_matches('\u{feff}')).map_err(|error| {
                Error::new(format!("`{file}` is not a CreateTable request"))
                    .cause(error)
                    .hint("it takes what `aws dynamodb create-table --cli-input-json` takes")
            })?;
        match definition.undefined_keys()[..] {
            [] => Ok(definition),
            ref names => Err(Error::new(format!(
                "`{file}` has key attributes without a type: {}",
                quoted(names)
            ))
            .hint("add each to AttributeDefinitions, with its AttributeType S, N or B")),
        }
    }

    /// The attributes that are keys, and that AttributeDefinitions lacks: DynamoDB would
    /// refuse them, and a dry run would not tell.
    fn undefined_keys(&self) -> Vec<&str> {
        let local = self.local_secondary_indexes.iter().flatten().flat_map(|i| &i.key_schema);
        let global = self.global_secondary_indexes.iter().flatten().flat_map(|i| &i.key_schema);
        let keys = self.key_schema.iter().chain(local).chain(global);
        let keys: BTreeSet<&str> = keys.map(|key| key.attribute_name.as_str()).collect();
        let is_defined = |name: &&str| {
            self.attribute_definitions.iter().any(|defined| defined.attribute_name == *name)
        };
        keys.into_iter().filter(|name| !is_defined(name)).collect()
    }

    /// The indexes in words, after the keys: `; index by-user`.
    #[must_use]
    pub fn indexes(&self) -> String {
        let local = self.local_secondary_indexes.iter().flatten().map(|index| &index.index_name);
        let global = self.global_secondary_indexes.iter().flatten().map(|index| &index.index_name);
        let names: Vec<&String> = local.chain(global).collect();
        if names.is_empty() { String::new() } else { format!("; indexes {}", quoted(names)) }
    }

    /// The request's body: every member that was given, none that was not.
    #[must_use]
    pub(crate) fn to_request(&self) -> String {
        let mut body = serde_json::to_value(self).expect("strings, numbers, lists");
        remove_nulls(&mut body);
        body.to_string()
    }

    /// This live table's definition without what a CreateTable request need not say, or
    /// must not: what is the default, what the server counts by itself.
    #[must_use]
    pub(crate) fn to_print(&self) -> Value {
        let mut printed = self.clone();
        let is_provisioned = self.is_provisioned();
        printed.billing_mode = Some(self.billing_mode().to_owned());
        printed.provisioned_throughput.take_if(|_| !is_provisioned);
        printed.on_demand_throughput.take_if(|limits| limits.is_unlimited());
        // DynamoDB shows one for every table, and takes money for more than it needs.
        printed.warm_throughput = None;
        for index in printed.global_secondary_indexes.iter_mut().flatten() {
            index
                .provisioned_throughput
                .take_if(|throughput| !is_provisioned || throughput.read_capacity_units == 0);
            index.on_demand_throughput.take_if(|limits| limits.is_unlimited());
            index.warm_throughput = None;
        }
        printed.stream_specification.take_if(|stream| !stream.stream_enabled);
        printed.sse_specification.take_if(|sse| sse.enabled != Some(true));
        printed.table_class.take_if(|class| class == "STANDARD");
        printed.deletion_protection_enabled.take_if(|protected| !*protected);
        let mut body = serde_json::to_value(printed).expect("strings, numbers, lists");
        remove_nulls(&mut body);
        remove_empty_lists(&mut body);
        body
    }

    /// The `TableCreationParameters` of an ImportTable request.
    ///
    /// # Errors
    /// Where the definition has what such a request cannot say: left out in silence, the
    /// table would be another one.
    pub fn to_import_parameters(&self) -> Result<Value, Error> {
        let mut body = serde_json::to_value(self).expect("strings, numbers, lists");
        remove_nulls(&mut body);
        let members = body.as_object().into_iter().flatten().map(|(name, _)| name.as_str());
        let others: Vec<&str> = members.filter(|name| !IMPORTED.contains(name)).collect();
        if others.is_empty() {
            return Ok(body);
        }
        let error =
            Error::new(format!("an import from S3 makes no table with {}", quoted(&others)));
        if others.contains(&"LocalSecondaryIndexes") {
            return Err(error
                .cause("local indexes are made with the table, and ImportTable makes none")
                .hint("create the table with `ddb-schema-load`, and import a downloaded export: `ddb-import FOLDER`"));
        }
        Err(error.hint("leave them out of the definition, and set them once the table is there"))
    }

    /// The table's keys in words: `pk HASH S, sk RANGE S`.
    #[must_use]
    pub fn keys(&self) -> String {
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
    pub fn billing(&self) -> String {
        match (&self.provisioned_throughput, self.is_provisioned()) {
            (Some(throughput), true) => format!("PROVISIONED, {throughput}"),
            _ => self.billing_mode().to_owned(),
        }
    }

    fn billing_mode(&self) -> &str {
        self.billing_mode.as_deref().unwrap_or("PROVISIONED")
    }

    fn is_provisioned(&self) -> bool {
        self.billing_mode() == "PROVISIONED"
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

fn remove_empty_lists(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| member.as_array().is_none_or(|list| !list.is_empty()));
            members.values_mut().for_each(remove_empty_lists);
        }
        Value::Array(elements) => elements.iter_mut().for_each(remove_empty_lists),
        _ => {}
    }
}

impl OnDemandThroughput {
    /// -1 is no limit, too.
    fn is_unlimited(&self) -> bool {
        let limits = [self.max_read_request_units, self.max_write_request_units];
        limits.iter().all(|limit| limit.is_none_or(|limit| limit < 0))
    }
}

impl fmt::Display for ProvisionedThroughput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} read, {} write", self.read_capacity_units, self.write_capacity_units)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn an_import_makes_no_table_that_it_cannot_say() {
        let parameters = TableDefinition::messages().to_import_parameters().expect("parameters");
        assert_eq!(parameters["TableName"], "cruddur-messages");
        for (name, member) in [
            (
                "LocalSecondaryIndexes",
                r#"[{"IndexName": "l", "KeySchema": [], "Projection": {"ProjectionType": "ALL"}}]"#,
            ),
            ("TableClass", r#""STANDARD""#),
        ] {
            let json = MESSAGES_TABLE.replacen('{', &format!("{{\"{name}\": {member},"), 1);
            let definition = TableDefinition::parse(&json, "t.json").expect("a definition");
            let error = definition.to_import_parameters().expect_err("refused").to_string();
            assert!(error.contains(&format!("makes no table with `{name}`")), "{error}");
        }
    }

    #[test]
    fn a_key_without_a_type_is_named() {
        let json =
            MESSAGES_TABLE.replacen(r#""AttributeName": "pk""#, r#""AttributeName": "no""#, 1);
        let error = TableDefinition::parse(&json, "t.json").expect_err("no type").to_string();
        assert!(error.contains("`t.json` has key attributes without a type: `pk`"), "{error}");
    }

    #[test]
    fn an_unknown_member_is_an_error_with_its_place() {
        let json = MESSAGES_TABLE.replacen("\"BillingMode\"", "\"BilingMode\"", 1);
        let error = TableDefinition::parse(&json, "t.json").expect_err("unknown").to_string();
        assert!(error.contains("BilingMode") && error.contains("line "), "{error}");
    }

    #[test]
    fn what_is_printed_has_no_defaults_and_nothing_that_costs_by_itself() {
        let everything = serde_json::json!({
            "TableName": "t",
            "AttributeDefinitions": [{"AttributeName": "a", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "a", "KeyType": "HASH"}],
            "LocalSecondaryIndexes": [],
            "GlobalSecondaryIndexes": [{"IndexName": "g", "KeySchema": [{"AttributeName": "a", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "ALL", "NonKeyAttributes": []},
                "ProvisionedThroughput": {"ReadCapacityUnits": 0, "WriteCapacityUnits": 0},
                "OnDemandThroughput": {"MaxReadRequestUnits": -1, "MaxWriteRequestUnits": -1},
                "WarmThroughput": {"ReadUnitsPerSecond": 12000, "WriteUnitsPerSecond": 4000}}],
            "BillingMode": "PAY_PER_REQUEST",
            "ProvisionedThroughput": {"ReadCapacityUnits": 0, "WriteCapacityUnits": 0},
            "OnDemandThroughput": {"MaxReadRequestUnits": 40, "MaxWriteRequestUnits": -1},
            "WarmThroughput": {"ReadUnitsPerSecond": 12000, "WriteUnitsPerSecond": 4000},
            "StreamSpecification": {"StreamEnabled": false},
            "SSESpecification": {"Enabled": true},
            "TableClass": "STANDARD",
            "DeletionProtectionEnabled": false,
        });
        let definition =
            TableDefinition::parse(&everything.to_string(), "t.json").expect("definition");
        assert_eq!(
            definition.to_print(),
            serde_json::json!({
                "TableName": "t",
                "AttributeDefinitions": [{"AttributeName": "a", "AttributeType": "S"}],
                "KeySchema": [{"AttributeName": "a", "KeyType": "HASH"}],
                "GlobalSecondaryIndexes": [{"IndexName": "g", "KeySchema": [{"AttributeName": "a", "KeyType": "HASH"}],
                    "Projection": {"ProjectionType": "ALL"}}],
                "BillingMode": "PAY_PER_REQUEST",
                "OnDemandThroughput": {"MaxReadRequestUnits": 40, "MaxWriteRequestUnits": -1},
                "SSESpecification": {"Enabled": true},
            })
        );
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
