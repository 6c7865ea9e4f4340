//! A live table as the definition that it has.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types as live;

use super::{
    AttributeDefinition, GlobalSecondaryIndex, KeySchemaElement, LocalSecondaryIndex,
    OnDemandThroughput, Projection, ProvisionedThroughput, SearchSchemaElement, SseSpecification,
    StreamSpecification, TableDefinition, VectorAttribute, VectorIndex, WarmThroughput,
};

/// What a server that is not AWS leaves out of an answer.
const UNKNOWN: &str = "?";

impl TableDefinition {
    /// What a CreateTable request of this very table would say. Tags, policies and the
    /// key of the encryption are not in the answer of DescribeTable.
    #[must_use]
    pub(crate) fn of_live(table: &live::TableDescription) -> Self {
        let billing = table.billing_mode_summary().and_then(|summary| summary.billing_mode());
        let class = table.table_class_summary().and_then(|summary| summary.table_class());
        let sse = table.sse_description().and_then(|sse| sse.status());
        Self {
            table_name: table.table_name().unwrap_or_default().to_owned(),
            attribute_definitions: attributes(table),
            key_schema: keys(table.key_schema()),
            local_secondary_indexes: Some(
                table.local_secondary_indexes().iter().map(local_index).collect(),
            ),
            global_secondary_indexes: Some(
                table.global_secondary_indexes().iter().map(global_index).collect(),
            ),
            vector_indexes: Some(table.vector_indexes().iter().map(vector_index).collect()),
            billing_mode: billing.map(|mode| mode.as_str().to_owned()),
            provisioned_throughput: table.provisioned_throughput().map(provisioned),
            on_demand_throughput: table.on_demand_throughput().map(on_demand),
            warm_throughput: table.warm_throughput().map(|warm| WarmThroughput {
                read_units_per_second: warm.read_units_per_second(),
                write_units_per_second: warm.write_units_per_second(),
            }),
            stream_specification: Some(stream(table.stream_specification())),
            sse_specification: Some(SseSpecification {
                enabled: Some(matches!(
                    sse,
                    Some(live::SseStatus::Enabled | live::SseStatus::Enabling)
                )),
                sse_type: None,
                kms_master_key_id: None,
            }),
            table_class: Some(class.map_or("STANDARD", live::TableClass::as_str).to_owned()),
            deletion_protection_enabled: Some(table.deletion_protection_enabled().unwrap_or(false)),
            tags: None,
            resource_policy: None,
            global_table_source_arn: None,
            global_table_settings_replication_mode: None,
        }
    }
}

/// Those that are a key of something: some servers keep the attributes of an index that
/// is deleted.
fn attributes(table: &live::TableDescription) -> Vec<AttributeDefinition> {
    let local = table.local_secondary_indexes().iter().flat_map(|index| index.key_schema());
    let global = table.global_secondary_indexes().iter().flat_map(|index| index.key_schema());
    let keys = table.key_schema().iter().chain(local).chain(global);
    let used: BTreeSet<&str> = keys.map(live::KeySchemaElement::attribute_name).collect();
    let attributes = table.attribute_definitions().iter();
    attributes
        .filter(|attribute| used.contains(attribute.attribute_name()))
        .map(|attribute| AttributeDefinition {
            attribute_name: attribute.attribute_name().to_owned(),
            attribute_type: attribute.attribute_type().as_str().to_owned(),
        })
        .collect()
}

fn name(name: Option<&str>) -> String {
    name.unwrap_or(UNKNOWN).to_owned()
}

fn keys(keys: &[live::KeySchemaElement]) -> Vec<KeySchemaElement> {
    let element = |key: &live::KeySchemaElement| KeySchemaElement {
        attribute_name: key.attribute_name().to_owned(),
        key_type: key.key_type().as_str().to_owned(),
    };
    keys.iter().map(element).collect()
}

fn projection(projection: Option<&live::Projection>) -> Projection {
    let Some(projection) = projection else {
        return Projection { projection_type: UNKNOWN.to_owned(), non_key_attributes: None };
    };
    let kind = projection.projection_type().map_or("ALL", live::ProjectionType::as_str);
    Projection {
        projection_type: kind.to_owned(),
        non_key_attributes: Some(projection.non_key_attributes().to_vec()),
    }
}

fn provisioned(throughput: &live::ProvisionedThroughputDescription) -> ProvisionedThroughput {
    ProvisionedThroughput {
        read_capacity_units: throughput.read_capacity_units().unwrap_or_default(),
        write_capacity_units: throughput.write_capacity_units().unwrap_or_default(),
    }
}

fn on_demand(limits: &live::OnDemandThroughput) -> OnDemandThroughput {
    OnDemandThroughput {
        max_read_request_units: limits.max_read_request_units(),
        max_write_request_units: limits.max_write_request_units(),
    }
}

fn stream(stream: Option<&live::StreamSpecification>) -> StreamSpecification {
    let view = stream.and_then(|stream| stream.stream_view_type());
    StreamSpecification {
        stream_enabled: stream.is_some_and(live::StreamSpecification::stream_enabled),
        stream_view_type: view.map(|view| view.as_str().to_owned()),
    }
}

fn local_index(index: &live::LocalSecondaryIndexDescription) -> LocalSecondaryIndex {
    LocalSecondaryIndex {
        index_name: name(index.index_name()),
        key_schema: keys(index.key_schema()),
        projection: projection(index.projection()),
    }
}

fn global_index(index: &live::GlobalSecondaryIndexDescription) -> GlobalSecondaryIndex {
    GlobalSecondaryIndex {
        index_name: name(index.index_name()),
        key_schema: keys(index.key_schema()),
        projection: projection(index.projection()),
        provisioned_throughput: index.provisioned_throughput().map(provisioned),
        on_demand_throughput: index.on_demand_throughput().map(on_demand),
        warm_throughput: index.warm_throughput().map(|warm| WarmThroughput {
            read_units_per_second: warm.read_units_per_second(),
            write_units_per_second: warm.write_units_per_second(),
        }),
    }
}

fn vector_index(index: &live::VectorIndexDescription) -> VectorIndex {
    let element = |element: &live::SearchSchemaElement| SearchSchemaElement {
        attribute_name: element.attribute_name().to_owned(),
        search_schema_element_type: element.search_schema_element_type().as_str().to_owned(),
    };
    VectorIndex {
        index_name: name(index.index_name()),
        vector_attribute: VectorAttribute {
            attribute_name: name(index.vector_attribute().map(|a| a.attribute_name())),
        },
        search_schema: Some(index.search_schema().iter().map(element).collect()),
        projection: projection(index.projection()),
        dimensions: index.dimensions().unwrap_or_default(),
        distance_function: name(index.distance_function().map(|function| function.as_str())),
    }
}
