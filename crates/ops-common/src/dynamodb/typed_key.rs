//! Keys as people type them: a text, whose type is the one that the table gives it.

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, KeySchemaElement, KeyType, ScalarAttributeType,
    TableDescription,
};
use aws_smithy_types::base64;

use crate::app::keys;
use crate::dynamodb::key::Number;
use crate::error::Error;
use crate::text::{meant, printable, quoted};

/// An attribute of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyAttribute {
    /// its name
    pub name: String,
    /// S, N or B
    pub scalar_type: ScalarAttributeType,
}

/// The key of a table or of one of its indexes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypedKey {
    /// what finds the partition
    pub partition: KeyAttribute,
    /// what orders the items of a partition
    pub sort: Option<KeyAttribute>,
}

impl TypedKey {
    /// That of a live table.
    ///
    /// # Errors
    /// Where the description has none, which no DynamoDB sends.
    pub fn of(table: &TableDescription) -> Result<Self, Error> {
        Self::new(table.key_schema(), table.attribute_definitions())
    }

    /// That of an index of a live table.
    ///
    /// # Errors
    /// See [`index_schema`]. Where a key of it has several attributes.
    pub fn of_index(table: &TableDescription, name: &str) -> Result<Self, Error> {
        Self::new(index_schema(table, name)?, table.attribute_definitions())
    }

    fn new(schema: &[KeySchemaElement], types: &[AttributeDefinition]) -> Result<Self, Error> {
        let of_kind = |kind: KeyType| {
            let mut of_kind = schema.iter().filter(move |key| *key.key_type() == kind);
            match (of_kind.next(), of_kind.next()) {
                (first, None) => Ok(first.map(KeySchemaElement::attribute_name)),
                // An index can have up to four of each since November 2025.
                (_, Some(_)) => {
                    Err(Error::new("a key of several attributes is not supported here")
                        .hint("`ddb-scan --index NAME --filter …` reads such an index"))
                }
            }
        };
        let typed = |name: &str| KeyAttribute {
            name: name.to_owned(),
            scalar_type: types
                .iter()
                .find(|definition| definition.attribute_name() == name)
                .map_or(ScalarAttributeType::S, |definition| definition.attribute_type().clone()),
        };
        let partition = of_kind(KeyType::Hash)?
            .ok_or_else(|| Error::new("DynamoDB describes a table without a partition key"))?;
        Ok(Self { partition: typed(partition), sort: of_kind(KeyType::Range)?.map(typed) })
    }

    /// Whether it is the key of the app's table: then a partition can be named by what
    /// is in it.
    #[must_use]
    pub fn is_the_apps(&self) -> bool {
        let is = |key: &KeyAttribute, name: &str| {
            key.name == name && key.scalar_type == ScalarAttributeType::S
        };
        is(&self.partition, keys::PK) && self.sort.as_ref().is_some_and(|sort| is(sort, keys::SK))
    }
}

/// The key of an index of a live table.
///
/// # Errors
/// Where there is no such index: with those that there are; exit code 2.
pub fn index_schema<'a>(
    table: &'a TableDescription,
    name: &str,
) -> Result<&'a [KeySchemaElement], Error> {
    let global = table.global_secondary_indexes().iter();
    let local = table.local_secondary_indexes().iter();
    let mut indexes: Vec<(&str, &[KeySchemaElement])> = global
        .map(|index| (index.index_name().unwrap_or_default(), index.key_schema()))
        .chain(local.map(|index| (index.index_name().unwrap_or_default(), index.key_schema())))
        .collect();
    indexes.sort_unstable_by_key(|(name, _)| *name);
    if let Some((_, schema)) = indexes.iter().find(|(other, _)| *other == name) {
        return Ok(schema);
    }
    let table = table.table_name().unwrap_or_default();
    let names = indexes.iter().map(|(name, _)| *name);
    let error = Error::usage(format!("the table `{table}` has no index `{}`", printable(name)));
    Err(match meant(name, names.clone()) {
        Some(meant) => error.hint(format!("did you mean `{meant}`?")),
        None if indexes.is_empty() => error.hint("it has no indexes at all"),
        None => error.hint(format!("indexes: {}", quoted(names))),
    })
}

impl KeyAttribute {
    /// What was typed, as a value of this key.
    ///
    /// # Errors
    /// Where it is nothing, or not of the key's type; exit code 2.
    pub fn parse(&self, text: &str) -> Result<AttributeValue, Error> {
        let wrong = |what: &str| {
            let text = printable(text);
            Err(Error::usage(format!("`{text}` is not {what}, which the key `{}` is", self.name)))
        };
        match &self.scalar_type {
            _ if text.is_empty() => {
                Err(Error::usage(format!("the value of the key `{}` is empty", self.name))
                    .hint("DynamoDB has no empty keys"))
            }
            ScalarAttributeType::N if Number::parse(text).is_none() => wrong("a number"),
            ScalarAttributeType::N => Ok(AttributeValue::N(text.to_owned())),
            ScalarAttributeType::B => match base64::decode(text) {
                Ok(bytes) => Ok(AttributeValue::B(Blob::new(bytes))),
                Err(_) => wrong("base64 of bytes"),
            },
            _ => Ok(AttributeValue::S(text.to_owned())),
        }
    }
}
