//! An item as DynamoDB's JSON spells it, `{"pk":{"S":"x"},"n":{"N":"1"}}`,
//! borrowed from the text that it was read from. Pure.
//!
//! The SDK's own item owns every text in it; where millions go through, that is
//! most of the work. Here a text without escapes is a piece of the input, and a
//! number keeps the digits that it came with.
//!
//! One spelling for one item: names are sorted, and so are the elements of sets,
//! which have no order. The format:
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.LowLevelAPI.html>.

use std::borrow::Cow;
use std::fmt;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_types::base64;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde::ser::{self, SerializeMap, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::app::records::Item;

/// The attributes of an item or of a map in it, by name, each name once.
///
/// ```
/// use ops_common::dynamodb::item::Attributes;
/// let text = r#"{"sk":{"N":"1.50"},"pk":{"SS":["b","a"]}}"#;
/// let item: Attributes<'_> = serde_json::from_str(text).expect("an item");
/// let again = serde_json::to_string(&item).expect("JSON");
/// assert_eq!(again, r#"{"pk":{"SS":["a","b"]},"sk":{"N":"1.50"}}"#);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Attributes<'a>(Vec<(Cow<'a, str>, Attribute<'a>)>);

/// The value of an attribute. Numbers are their digits, binaries their base64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attribute<'a> {
    /// a string
    S(Cow<'a, str>),
    /// a number
    N(Cow<'a, str>),
    /// a binary
    B(Cow<'a, str>),
    /// true or false
    Bool(bool),
    /// null
    Null,
    /// a list
    L(Vec<Attribute<'a>>),
    /// a map
    M(Attributes<'a>),
    /// a set of strings
    Ss(Vec<Cow<'a, str>>),
    /// a set of numbers
    Ns(Vec<Cow<'a, str>>),
    /// a set of binaries
    Bs(Vec<Cow<'a, str>>),
}

const TYPES: &[&str] = &["S", "N", "B", "BOOL", "NULL", "L", "M", "SS", "NS", "BS"];

impl<'a> Attributes<'a> {
    /// Sorts them by name.
    ///
    /// # Errors
    /// The name that is there twice.
    pub fn new(mut attributes: Vec<(Cow<'a, str>, Attribute<'a>)>) -> Result<Self, String> {
        if !attributes.is_sorted_by(|a, b| a.0 <= b.0) {
            attributes.sort_by(|a, b| a.0.cmp(&b.0));
        }
        match attributes.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            Some(pair) => Err(pair[0].0.clone().into_owned()),
            None => Ok(Self(attributes)),
        }
    }

    /// The attribute of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Attribute<'a>> {
        let place = self.0.binary_search_by(|(other, _)| other.as_ref().cmp(name));
        place.ok().map(|index| &self.0[index].1)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Attribute<'a>)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), value))
    }

    /// The item as the SDK has it.
    #[must_use]
    pub fn to_sdk(&self) -> Item {
        self.iter().map(|(name, value)| (name.to_owned(), value.to_sdk())).collect()
    }

    /// The SDK's item. `None` where it holds a type that this module does not know.
    #[must_use]
    pub fn from_sdk(item: &'a Item) -> Option<Self> {
        let attribute =
            |(name, value): (&'a String, _)| Some((name.into(), Attribute::from_sdk(value)?));
        Self::new(item.iter().map(attribute).collect::<Option<_>>()?).ok()
    }
}

impl<'a> Attribute<'a> {
    /// The type as DynamoDB's JSON names it.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::S(_) => "S",
            Self::N(_) => "N",
            Self::B(_) => "B",
            Self::Bool(_) => "BOOL",
            Self::Null => "NULL",
            Self::L(_) => "L",
            Self::M(_) => "M",
            Self::Ss(_) => "SS",
            Self::Ns(_) => "NS",
            Self::Bs(_) => "BS",
        }
    }

    fn to_sdk(&self) -> AttributeValue {
        let texts = |texts: &[Cow<'_, str>]| texts.iter().map(ToString::to_string).collect();
        match self {
            Self::S(text) => AttributeValue::S(text.to_string()),
            Self::N(digits) => AttributeValue::N(digits.to_string()),
            Self::B(base64) => AttributeValue::B(blob(base64)),
            Self::Bool(value) => AttributeValue::Bool(*value),
            Self::Null => AttributeValue::Null(true),
            Self::L(elements) => AttributeValue::L(elements.iter().map(Self::to_sdk).collect()),
            Self::M(members) => AttributeValue::M(members.to_sdk()),
            Self::Ss(elements) => AttributeValue::Ss(texts(elements)),
            Self::Ns(elements) => AttributeValue::Ns(texts(elements)),
            Self::Bs(elements) => AttributeValue::Bs(elements.iter().map(|b| blob(b)).collect()),
        }
    }

    fn from_sdk(value: &'a AttributeValue) -> Option<Self> {
        let texts = |texts: &'a [String]| sorted(texts.iter().map(Cow::from).collect());
        let base64 = |blob: &Blob| Cow::Owned(base64::encode(blob));
        Some(match value {
            AttributeValue::S(text) => Self::S(text.into()),
            AttributeValue::N(digits) => Self::N(digits.into()),
            AttributeValue::B(blob) => Self::B(base64(blob)),
            AttributeValue::Bool(value) => Self::Bool(*value),
            AttributeValue::Null(_) => Self::Null,
            AttributeValue::L(elements) => {
                Self::L(elements.iter().map(Self::from_sdk).collect::<Option<_>>()?)
            }
            AttributeValue::M(members) => Self::M(Attributes::from_sdk(members)?),
            AttributeValue::Ss(elements) => Self::Ss(texts(elements)),
            AttributeValue::Ns(elements) => Self::Ns(texts(elements)),
            AttributeValue::Bs(elements) => Self::Bs(sorted(elements.iter().map(base64).collect())),
            _ => return None,
        })
    }
}

/// Base64 was checked where it came from outside; a server sends it right.
fn blob(text: &str) -> Blob {
    Blob::new(base64::decode(text).unwrap_or_default())
}

fn sorted(mut elements: Vec<Cow<'_, str>>) -> Vec<Cow<'_, str>> {
    elements.sort_unstable();
    elements
}

impl Serialize for Attributes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl Serialize for Attribute<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        let name = self.type_name();
        match self {
            Self::S(text) | Self::N(text) | Self::B(text) => map.serialize_entry(name, text),
            Self::Bool(value) => map.serialize_entry(name, value),
            Self::Null => map.serialize_entry(name, &true),
            Self::L(elements) => map.serialize_entry(name, elements),
            Self::M(members) => map.serialize_entry(name, members),
            Self::Ss(texts) | Self::Ns(texts) | Self::Bs(texts) => map.serialize_entry(name, texts),
        }?;
        map.end()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Attributes<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(AttributesVisitor).map(Self)
    }
}

struct AttributesVisitor;

impl<'de> Visitor<'de> for AttributesVisitor {
    type Value = Vec<(Cow<'de, str>, Attribute<'de>)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of attributes, like {\"pk\":{\"S\":\"x\"}}")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut attributes = Vec::with_capacity(8);
        while let Some(name) = map.next_key_seed(Text)? {
            attributes.push((name, map.next_value()?));
        }
        match Attributes::new(attributes) {
            Ok(attributes) => Ok(attributes.0),
            Err(name) => {
                Err(de::Error::custom(format_args!("the attribute `{name}` is there twice")))
            }
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Attribute<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(AttributeVisitor)
    }
}

struct AttributeVisitor;

impl<'de> Visitor<'de> for AttributeVisitor {
    type Value = Attribute<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an attribute value, like {\"S\":\"x\"}")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let Some(name) = map.next_key_seed(Text)? else {
            return Err(de::Error::custom("an attribute value without a type"));
        };
        let set = |elements: Vec<Borrowed<'de>>| {
            sorted(elements.into_iter().map(|element| element.0).collect())
        };
        let value = match name.as_ref() {
            "S" => Attribute::S(map.next_value_seed(Text)?),
            "N" => Attribute::N(map.next_value_seed(Text)?),
            "B" => Attribute::B(map.next_value_seed(Text)?),
            "BOOL" => Attribute::Bool(map.next_value()?),
            "NULL" => match map.next_value()? {
                true => Attribute::Null,
                false => return Err(de::Error::custom("NULL can only be true")),
            },
            "L" => Attribute::L(map.next_value()?),
            "M" => Attribute::M(map.next_value()?),
            "SS" => Attribute::Ss(set(map.next_value()?)),
            "NS" => Attribute::Ns(set(map.next_value()?)),
            "BS" => Attribute::Bs(set(map.next_value()?)),
            _ => return Err(de::Error::unknown_field(&name, TYPES)),
        };
        match map.next_key_seed(Text)? {
            None => Ok(value),
            Some(second) => Err(de::Error::custom(format_args!(
                "an attribute value of two types, {name} and {second}"
            ))),
        }
    }
}

/// A text: a piece of the input where it has no escapes.
struct Text;

impl<'de> DeserializeSeed<'de> for Text {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Text {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

struct Borrowed<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Borrowed<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Text.deserialize(deserializer).map(Self)
    }
}

/// An item as plain JSON, for reading, not for keeping: sets are arrays,
/// binaries base64; numbers keep every digit.
#[derive(Debug)]
pub struct Plain<'a>(pub &'a Attributes<'a>);

/// A value as plain JSON.
#[derive(Debug)]
pub struct PlainValue<'a>(pub &'a Attribute<'a>);

impl Serialize for Plain<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, PlainValue(value))))
    }
}

impl Serialize for PlainValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Attribute::S(text) | Attribute::B(text) => serializer.serialize_str(text),
            Attribute::N(digits) => number(digits)?.serialize(serializer),
            Attribute::Bool(value) => serializer.serialize_bool(*value),
            Attribute::Null => serializer.serialize_unit(),
            Attribute::L(elements) => serializer.collect_seq(elements.iter().map(PlainValue)),
            Attribute::M(members) => Plain(members).serialize(serializer),
            Attribute::Ss(texts) | Attribute::Bs(texts) => serializer.collect_seq(texts),
            Attribute::Ns(numbers) => {
                let numbers = numbers.iter().map(|digits| number(digits));
                numbers.collect::<Result<Vec<_>, S::Error>>()?.serialize(serializer)
            }
        }
    }
}

/// A number of up to 38 digits, which no float could hold.
fn number<E: ser::Error>(digits: &str) -> Result<Box<RawValue>, E> {
    RawValue::from_string(digits.to_owned()).map_err(E::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY_TYPE: &str = concat!(
        r#"{"b":{"B":"/wA="},"bool":{"BOOL":true},"bs":{"BS":["AQ=="]},"l":{"L":[{"S":"a"},{"N":"-1.5E+3"}]},"#,
        r#""m":{"M":{"k":{"S":""}}},"n":{"N":"12345678901234567890123456789012345678"},"ns":{"NS":["1"]},"#,
        r#""null":{"NULL":true},"s":{"S":"é\"\n"},"ss":{"SS":["x","y"]}}"#
    );

    fn parse(text: &str) -> Attributes<'_> {
        serde_json::from_str(text).expect("an item")
    }

    #[test]
    fn every_type_is_written_as_it_was_read() {
        assert_eq!(serde_json::to_string(&parse(EVERY_TYPE)).expect("JSON"), EVERY_TYPE);
    }

    #[test]
    fn every_type_goes_through_the_sdks_item() {
        let item = parse(EVERY_TYPE).to_sdk();
        assert_eq!(Attributes::from_sdk(&item), Some(parse(EVERY_TYPE)));
    }

    #[test]
    fn every_type_reads_as_plain_json() {
        assert_eq!(
            serde_json::to_string(&Plain(&parse(EVERY_TYPE))).expect("JSON"),
            r#"{"b":"/wA=","bool":true,"bs":["AQ=="],"l":["a",-1.5E+3],"m":{"k":""},"n":12345678901234567890123456789012345678,"ns":[1],"null":null,"s":"é\"\n","ss":["x","y"]}"#
        );
    }

    #[test]
    fn what_is_no_item_is_refused_in_words() {
        for (text, why) in [
            ("[]", "an object of attributes"),
            (r#"{"a":"x"}"#, "an attribute value, like"),
            (r#"{"a":{}}"#, "without a type"),
            (r#"{"a":{"S":"x","N":"1"}}"#, "two types, S and N"),
            (r#"{"a":{"X":"x"}}"#, "unknown field `X`"),
            (r#"{"a":{"N":1}}"#, "expected a string"),
            (r#"{"a":{"NULL":false}}"#, "NULL can only be true"),
            (r#"{"a":{"S":"x"},"a":{"S":"y"}}"#, "`a` is there twice"),
        ] {
            let error = serde_json::from_str::<Attributes<'_>>(text).expect_err(text).to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
