//! Which attributes are a table's key, and when two items have the same one.
//! Pure.

use std::hash::{DefaultHasher, Hash, Hasher};

use aws_sdk_dynamodb::types::{KeyType, TableDescription};
use aws_smithy_types::base64;

use crate::app::keys;
use crate::dynamodb::item::{Attribute, Attributes};

/// The names of a table's key attributes, the partition key first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyNames(Vec<String>);

impl KeyNames {
    /// Those of the messages table.
    #[must_use]
    pub fn messages() -> Self {
        Self(vec![keys::PK.to_owned(), keys::SK.to_owned()])
    }

    /// Those of a live table.
    #[must_use]
    pub fn of(table: &TableDescription) -> Self {
        let mut schema = table.key_schema().to_vec();
        schema.sort_by_key(|key| *key.key_type() != KeyType::Hash);
        Self(schema.into_iter().map(|key| key.attribute_name).collect())
    }

    /// The names, the partition key first.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// A number that is the same for two items where DynamoDB takes their keys
    /// for the same: `1.0` is `1` to it. That of other keys is another, but for
    /// one chance in 2^64.
    ///
    /// # Errors
    /// Where the item lacks a key attribute, or one has a type that no key has.
    pub fn identity(&self, item: &Attributes<'_>) -> Result<u64, String> {
        let mut hasher = DefaultHasher::new();
        for name in self.iter() {
            let value =
                item.get(name).ok_or_else(|| format!("the key attribute `{name}` is missing"))?;
            // With its length: `ab` and `c` are not `a` and `bc`.
            match value {
                Attribute::S(text) => text.as_bytes().hash(&mut hasher),
                Attribute::N(digits) => match Number::parse(digits) {
                    Some(number) => number.canonical().as_bytes().hash(&mut hasher),
                    None => digits.as_bytes().hash(&mut hasher),
                },
                Attribute::B(text) => match base64::decode(text.as_ref()) {
                    Ok(bytes) => bytes.hash(&mut hasher),
                    Err(_) => text.as_bytes().hash(&mut hasher),
                },
                other => {
                    return Err(format!(
                        "the key attribute `{name}` is {}, and a key is S, N or B",
                        other.type_name()
                    ));
                }
            }
        }
        Ok(hasher.finish())
    }
}

/// A decimal number: `digits` without zeros at its ends, times ten to the power
/// of `exponent`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Number {
    negative: bool,
    digits: String,
    exponent: i64,
}

impl Number {
    /// `None` where the text is no number, as in `-12.50e3`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, unsigned) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
            Some(place) => (&unsigned[..place], unsigned[place + 1..].parse::<i32>().ok()?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = [whole, fraction].concat();
        if all.is_empty() || !all.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let digits = all.trim_start_matches('0').trim_end_matches('0');
        let trailing = all.len() - all.trim_end_matches('0').len();
        let exponent = i64::from(exponent) - i64::try_from(fraction.len()).ok()?
            + i64::try_from(trailing).ok()?;
        if digits.is_empty() {
            return Some(Self { negative: false, digits: String::new(), exponent: 0 });
        }
        Some(Self { negative, digits: digits.to_owned(), exponent })
    }

    /// How many digits count.
    #[must_use]
    pub fn significant_digits(&self) -> usize {
        self.digits.len()
    }

    /// The power of ten of the first digit that counts; 0 for zero.
    #[must_use]
    pub fn magnitude(&self) -> i64 {
        match i64::try_from(self.digits.len()) {
            Ok(0) | Err(_) => 0,
            Ok(digits) => self.exponent + digits - 1,
        }
    }

    /// Whether it is below zero.
    #[must_use]
    pub fn is_negative(&self) -> bool {
        self.negative
    }

    /// The same text for the same number.
    #[must_use]
    pub fn canonical(&self) -> String {
        let sign = if self.negative { "-" } else { "" };
        format!("{sign}{}e{}", self.digits, self.exponent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(keys: &KeyNames, text: &str) -> Result<u64, String> {
        keys.identity(&serde_json::from_str(text).expect("an item"))
    }

    #[test]
    fn the_same_key_has_the_same_identity() {
        let keys = KeyNames::messages();
        let of = |pk: &str, sk: &str| {
            identity(&keys, &format!(r#"{{"pk":{pk},"sk":{sk},"x":{{"S":"y"}}}}"#)).expect("a key")
        };
        assert_eq!(
            of(r#"{"N":"1"}"#, r#"{"S":"a"}"#),
            of(r#"{"N":"10.00E-1"}"#, r#"{"S":"\u0061"}"#)
        );
        assert_eq!(of(r#"{"N":"-0"}"#, r#"{"B":"AQ=="}"#), of(r#"{"N":"0.0"}"#, r#"{"B":"AQ=="}"#));
        assert_ne!(of(r#"{"N":"1"}"#, r#"{"S":"a"}"#), of(r#"{"N":"-1"}"#, r#"{"S":"a"}"#));
        assert_ne!(of(r#"{"S":"ab"}"#, r#"{"S":"c"}"#), of(r#"{"S":"a"}"#, r#"{"S":"bc"}"#));
    }

    #[test]
    fn an_item_without_its_key_has_none() {
        let keys = KeyNames::messages();
        let error = identity(&keys, r#"{"pk":{"S":"a"}}"#).expect_err("no sk");
        assert_eq!(error, "the key attribute `sk` is missing");
        let error = identity(&keys, r#"{"pk":{"BOOL":true},"sk":{"S":"a"}}"#).expect_err("BOOL");
        assert_eq!(error, "the key attribute `pk` is BOOL, and a key is S, N or B");
    }

    #[test]
    fn numbers() {
        for (text, digits, magnitude) in [
            ("0", 0, 0),
            ("1", 1, 0),
            ("-12.50", 3, 1),
            ("0.001", 1, -3),
            ("1E125", 1, 125),
            (".5", 1, -1),
        ] {
            let number = Number::parse(text).expect(text);
            assert_eq!(
                (number.significant_digits(), number.magnitude()),
                (digits, magnitude),
                "{text}"
            );
        }
        for text in ["", "-", ".", "1e", "abc", "1.2.3", "--1", "0x1", "1e99999999999", "NaN"] {
            assert_eq!(Number::parse(text), None, "{text}");
        }
    }
}
