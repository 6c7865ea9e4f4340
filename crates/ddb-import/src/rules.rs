//! What DynamoDB takes as an item, judged before anything is sent: one bad item
//! makes it refuse the whole batch. Pure.
//!
//! Limits: <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html>.
//! Sizes: <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html>.

use std::borrow::Cow;
use std::collections::HashSet;

use aws_sdk_dynamodb::types::TableDescription;
use aws_smithy_types::base64;
use ops_common::dynamodb::item::{Attribute, Attributes};
use ops_common::dynamodb::key::{KeyNames, Number};

const MAX_ITEM_BYTES: usize = 400 * 1024;
const MAX_PARTITION_KEY_BYTES: usize = 2048;
const MAX_SORT_KEY_BYTES: usize = 1024;
const MAX_NESTING: usize = 32;
const MAX_DIGITS: usize = 38;
const MAGNITUDES: std::ops::RangeInclusive<i64> = -130..=125;
const WRITE_UNIT_BYTES: usize = 1024;

/// What the items of one table have to be.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) keys: KeyNames,
    /// the attributes that are keys of the table or of an index, and their types
    types: Vec<(String, String)>,
}

impl Rules {
    pub(crate) fn of(table: &TableDescription) -> Self {
        let types = table.attribute_definitions().iter().map(|definition| {
            let kind = definition.attribute_type().as_str();
            (definition.attribute_name().to_owned(), kind.to_owned())
        });
        Self { keys: KeyNames::of(table), types: types.collect() }
    }

    /// The write units that putting the item costs in the table alone; an index
    /// that it is in costs more.
    ///
    /// # Errors
    /// Why DynamoDB would not take it.
    pub(crate) fn check(&self, item: &Attributes<'_>) -> Result<f64, String> {
        for (place, name) in self.keys.iter().enumerate() {
            let value =
                item.get(name).ok_or_else(|| format!("the key attribute `{name}` is missing"))?;
            let limit = if place == 0 { MAX_PARTITION_KEY_BYTES } else { MAX_SORT_KEY_BYTES };
            let size = value_size(value, 1).map_err(|why| format!("`{name}`: {why}"))?;
            if size > limit && !matches!(value, Attribute::N(_)) {
                return Err(format!(
                    "the key attribute `{name}` has {size} bytes, and at most {limit} are allowed"
                ));
            }
        }
        for (name, kind) in &self.types {
            let Some(value) = item.get(name) else { continue };
            if value.type_name() != kind {
                return Err(format!(
                    "the key attribute `{name}` is {}, and the table's is {kind}",
                    value.type_name()
                ));
            }
            if matches!(value, Attribute::S(text) | Attribute::B(text) if text.is_empty()) {
                return Err(format!("the key attribute `{name}` is empty"));
            }
        }
        let size = map_size(item, 0)?;
        if size > MAX_ITEM_BYTES {
            return Err(format!(
                "the item has {size} bytes, and at most {MAX_ITEM_BYTES} are allowed"
            ));
        }
        Ok(size.div_ceil(WRITE_UNIT_BYTES).max(1) as f64)
    }
}

fn map_size(members: &Attributes<'_>, depth: usize) -> Result<usize, String> {
    members.iter().try_fold(0, |sum, (name, value)| {
        if name.is_empty() {
            return Err("an attribute without a name".to_owned());
        }
        let size = value_size(value, depth + 1).map_err(|why| match depth {
            0 => format!("`{name}`: {why}"),
            _ => why,
        })?;
        Ok(sum + name.len() + size)
    })
}

fn value_size(value: &Attribute<'_>, depth: usize) -> Result<usize, String> {
    if depth > MAX_NESTING {
        return Err(format!("nested deeper than {MAX_NESTING} levels"));
    }
    match value {
        Attribute::S(text) => Ok(text.len()),
        Attribute::N(digits) => number_size(digits),
        Attribute::B(text) => binary_size(text),
        Attribute::Bool(_) | Attribute::Null => Ok(1),
        Attribute::L(elements) => elements
            .iter()
            .try_fold(3, |sum, element| Ok(sum + 1 + value_size(element, depth + 1)?)),
        Attribute::M(members) => Ok(3 + members.iter().len() + map_size(members, depth)?),
        Attribute::Ss(elements) => set_size(elements, |text| Ok((text.len(), text.to_owned()))),
        Attribute::Ns(elements) => set_size(elements, |digits| {
            let number = Number::parse(digits).ok_or_else(|| no_number(digits))?;
            Ok((number_size(digits)?, number.canonical()))
        }),
        Attribute::Bs(elements) => {
            set_size(elements, |text| Ok((binary_size(text)?, text.to_owned())))
        }
    }
}

fn number_size(digits: &str) -> Result<usize, String> {
    let number = Number::parse(digits).ok_or_else(|| no_number(digits))?;
    let significant = number.significant_digits();
    if significant > MAX_DIGITS {
        return Err(format!("a number of {significant} digits, and DynamoDB keeps {MAX_DIGITS}"));
    }
    if !MAGNITUDES.contains(&number.magnitude()) {
        return Err("a number outside of what DynamoDB keeps, 1E-130 to 9.9E+125".to_owned());
    }
    Ok(significant.div_ceil(2) + 1 + usize::from(number.is_negative()))
}

fn no_number(digits: &str) -> String {
    let shown: String = digits.chars().take(40).collect();
    format!("`{shown}` is not a number")
}

fn binary_size(text: &str) -> Result<usize, String> {
    let bytes = base64::decode(text).map_err(|_| "a binary that is not base64".to_owned())?;
    Ok(bytes.len())
}

fn set_size(
    elements: &[Cow<'_, str>],
    element: impl Fn(&str) -> Result<(usize, String), String>,
) -> Result<usize, String> {
    if elements.is_empty() {
        return Err("a set without elements".to_owned());
    }
    let mut seen = HashSet::with_capacity(elements.len());
    elements.iter().try_fold(0, |sum, text| {
        let (size, same) = element(text)?;
        if seen.insert(same) {
            Ok(sum + size)
        } else {
            Err("a set with an element twice".to_owned())
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_dynamodb::types::{
        AttributeDefinition, KeySchemaElement, KeyType, ScalarAttributeType,
    };

    fn rules() -> Rules {
        let attribute = |name: &str, kind| {
            AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build()
        };
        let key = |name: &str, kind| {
            KeySchemaElement::builder().attribute_name(name).key_type(kind).build().expect("key")
        };
        Rules::of(
            &TableDescription::builder()
                .attribute_definitions(attribute("pk", ScalarAttributeType::S).expect("attribute"))
                .attribute_definitions(attribute("sk", ScalarAttributeType::N).expect("attribute"))
                .attribute_definitions(attribute("by", ScalarAttributeType::S).expect("attribute"))
                .key_schema(key("sk", KeyType::Range))
                .key_schema(key("pk", KeyType::Hash))
                .build(),
        )
    }

    fn check(rest: &str) -> Result<f64, String> {
        let text = format!(r#"{{"pk":{{"S":"a"}},"sk":{{"N":"1"}}{rest}}}"#);
        rules().check(&serde_json::from_str(&text).expect("an item"))
    }

    #[test]
    fn write_units_are_kilobytes_begun() {
        // pk and sk take 3 + 4 bytes, the name and the rest the others.
        for (length, units) in [(0, 1.0), (1016, 1.0), (1017, 2.0), (409_592, 400.0)] {
            let rest = format!(r#","x":{{"S":"{}"}}"#, "y".repeat(length));
            assert_eq!(check(&rest), Ok(units), "{length}");
        }
        let rest = format!(r#","x":{{"S":"{}"}}"#, "y".repeat(409_593));
        assert!(check(&rest).expect_err("too large").contains("the item has 409601 bytes"));
    }

    #[test]
    fn what_dynamodb_does_not_take_is_refused_in_words() {
        for (rest, why) in [
            (r#","x":{"N":"one"}"#, "`x`: `one` is not a number"),
            (r#","x":{"N":"123456789012345678901234567890123456789"}"#, "39 digits"),
            (r#","x":{"N":"1E126"}"#, "outside of what DynamoDB keeps"),
            (r#","x":{"B":"%"}"#, "`x`: a binary that is not base64"),
            (r#","x":{"SS":[]}"#, "a set without elements"),
            (r#","x":{"NS":["1","1.0"]}"#, "a set with an element twice"),
            (r#","x":{"M":{"":{"S":"y"}}}"#, "an attribute without a name"),
            (r#","by":{"N":"1"}"#, "`by` is N, and the table's is S"),
            (r#","by":{"S":""}"#, "`by` is empty"),
        ] {
            let error = check(rest).expect_err(rest);
            assert!(error.contains(why), "{rest}: {error}");
        }
        let deep = |levels| {
            format!(r#","x":{}{{"S":""}}{}"#, r#"{"L":["#.repeat(levels), "]}".repeat(levels))
        };
        assert!(check(&deep(31)).is_ok());
        assert_eq!(check(&deep(32)), Err("`x`: nested deeper than 32 levels".to_owned()));
    }

    #[test]
    fn a_key_has_to_be_there_and_of_its_type() {
        let refused =
            |text| rules().check(&serde_json::from_str(text).expect("item")).expect_err(text);
        assert_eq!(refused(r#"{"pk":{"S":"a"}}"#), "the key attribute `sk` is missing");
        assert_eq!(
            refused(r#"{"pk":{"M":{}},"sk":{"N":"1"}}"#),
            "the key attribute `pk` is M, and the table's is S"
        );
        let long = format!(r#"{{"pk":{{"S":"{}"}},"sk":{{"N":"1"}}}}"#, "x".repeat(2049));
        assert!(refused(&long).contains("`pk` has 2049 bytes, and at most 2048"));
    }
}
