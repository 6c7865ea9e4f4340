//! An item as plain JSON, for reading, not for keeping: sets are arrays,
//! binaries base64, numbers keep every digit, names are sorted. Pure.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use ops_common::records::Item;
use serde::ser::Error;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// An item that serialises as a JSON object.
pub(crate) struct Plain<'a>(pub(crate) &'a Item);

impl Serialize for Plain<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let sorted: BTreeMap<&String, Value<'_>> =
            self.0.iter().map(|(name, value)| (name, Value(value))).collect();
        sorted.serialize(serializer)
    }
}

struct Value<'a>(&'a AttributeValue);

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            AttributeValue::S(text) => text.serialize(serializer),
            AttributeValue::N(digits) => number(digits)?.serialize(serializer),
            AttributeValue::B(blob) => base64(blob).serialize(serializer),
            AttributeValue::Bool(value) => value.serialize(serializer),
            AttributeValue::Null(_) => serializer.serialize_unit(),
            AttributeValue::L(values) => serializer.collect_seq(values.iter().map(Value)),
            AttributeValue::M(members) => Plain(members).serialize(serializer),
            AttributeValue::Ss(texts) => texts.serialize(serializer),
            AttributeValue::Bs(blobs) => serializer.collect_seq(blobs.iter().map(base64)),
            AttributeValue::Ns(numbers) => {
                let numbers: Result<Vec<_>, S::Error> =
                    numbers.iter().map(|digits| number(digits)).collect();
                numbers?.serialize(serializer)
            }
            _ => Err(S::Error::custom("an attribute of a type that this tool does not know")),
        }
    }
}

/// A number of up to 38 digits, which no float could hold.
fn number<E: serde::ser::Error>(digits: &str) -> Result<Box<RawValue>, E> {
    RawValue::from_string(digits.to_owned()).map_err(E::custom)
}

fn base64(blob: &Blob) -> String {
    aws_smithy_types::base64::encode(blob)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_reads_as_json() {
        let text = |text: &str| AttributeValue::S(text.into());
        let item = Item::from([
            ("s".to_owned(), text("é")),
            ("n".to_owned(), AttributeValue::N("12345678901234567890123456789012345678".into())),
            ("b".to_owned(), AttributeValue::B(Blob::new([255, 0]))),
            ("bool".to_owned(), AttributeValue::Bool(true)),
            ("null".to_owned(), AttributeValue::Null(true)),
            (
                "l".to_owned(),
                AttributeValue::L(vec![text("a"), AttributeValue::N("-1.5E+3".into())]),
            ),
            ("m".to_owned(), AttributeValue::M(Item::from([("k".to_owned(), text(""))]))),
            ("ss".to_owned(), AttributeValue::Ss(vec!["x".into(), "y".into()])),
            ("ns".to_owned(), AttributeValue::Ns(vec!["1".into()])),
            ("bs".to_owned(), AttributeValue::Bs(vec![Blob::new([1])])),
        ]);
        assert_eq!(
            serde_json::to_string(&Plain(&item)).expect("JSON"),
            r#"{"b":"/wA=","bool":true,"bs":["AQ=="],"l":["a",-1.5E+3],"m":{"k":""},"n":12345678901234567890123456789012345678,"ns":[1],"null":null,"s":"é","ss":["x","y"]}"#
        );
    }
}
