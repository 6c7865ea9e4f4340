//! How two items with one key differ.

use std::fmt;

use ops_common::app::records::Item;
use ops_common::dynamodb::item::Attribute;
use ops_common::dynamodb::key::Number;
use ops_common::error::Error;
use serde_json::to_string;

use crate::text::attributes;

/// As many characters of a value as are shown.
const SHOWN: usize = 240;

/// As many characters before the first that differs.
const BEFORE: usize = 40;

/// What has to be done to the one to make it the other. Shown a line for each value
/// that goes (`-`) and that comes (`+`).
pub(crate) struct Difference {
    /// attributes that get a value: those that are new, and those that get another
    pub(crate) set: Vec<String>,
    /// attributes that go
    pub(crate) removed: Vec<String>,
    lines: Vec<String>,
}

impl Difference {
    /// Of what is there to what should be, the key aside.
    ///
    /// # Errors
    /// Where an item holds a type that is not known here.
    pub(crate) fn between(before: &Item, after: &Item, key: &Item) -> Result<Self, Error> {
        let (before, after) = (attributes(before)?, attributes(after)?);
        let is_key = |name: &str| key.contains_key(name);
        let mut difference = Self { set: Vec::new(), removed: Vec::new(), lines: Vec::new() };
        let json = |value| to_string(value).unwrap_or_default();
        for (name, old) in before.iter().filter(|(name, _)| !is_key(name)) {
            match after.get(name) {
                Some(new) if is_same(old, new) => {}
                Some(new) => {
                    difference.set.push(name.to_owned());
                    let (old, new) = cut(&json(old), &json(new));
                    difference.lines.push(format!("  - {name}: {old}"));
                    difference.lines.push(format!("  + {name}: {new}"));
                }
                None => {
                    difference.removed.push(name.to_owned());
                    difference.lines.push(format!("  - {name}: {}", cut(&json(old), "").0));
                }
            }
        }
        let added = |name: &str| !is_key(name) && before.get(name).is_none();
        for (name, new) in after.iter().filter(|(name, _)| added(name)) {
            difference.set.push(name.to_owned());
            difference.lines.push(format!("  + {name}: {}", cut("", &json(new)).1));
        }
        Ok(difference)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines.join("\n"))
    }
}

/// Whether DynamoDB takes the two for one value: it writes `1.50` as `1.5`.
fn is_same(old: &Attribute<'_>, new: &Attribute<'_>) -> bool {
    match (old, new) {
        (Attribute::N(old), Attribute::N(new)) => Number::parse(old) == Number::parse(new),
        _ => old == new,
    }
}

/// Two texts where they differ, neither longer than a person would read.
fn cut(old: &str, new: &str) -> (String, String) {
    let same = old.chars().zip(new.chars()).take_while(|(a, b)| a == b).count();
    let from = if same > SHOWN / 2 { same - BEFORE } else { 0 };
    let cut = |text: &str| {
        let length = text.chars().count();
        let shown: String = text.chars().skip(from).take(SHOWN).collect();
        let (head, tail) =
            (if from > 0 { "…" } else { "" }, if length > from + SHOWN { "…" } else { "" });
        format!("{head}{shown}{tail}")
    };
    (cut(old), cut(new))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(before: &str, after: &str) -> String {
        let item = |text: &str| {
            let item: ops_common::dynamodb::item::Attributes<'_> =
                serde_json::from_str(text).expect("an item");
            item.to_sdk()
        };
        Difference::between(&item(before), &item(after), &Item::new())
            .expect("known types")
            .to_string()
    }

    #[test]
    fn what_goes_and_what_comes() {
        assert_eq!(difference(r#"{"a":{"N":"1.50"}}"#, r#"{"a":{"N":"15e-1"}}"#), "");
        assert_eq!(
            difference(
                r#"{"a":{"N":"1"},"b":{"S":"x"},"c":{"NULL":true}}"#,
                r#"{"a":{"N":"2"},"c":{"NULL":true},"d":{"SS":["y"]}}"#
            ),
            "  - a: {\"N\":\"1\"}\n  + a: {\"N\":\"2\"}\n  - b: {\"S\":\"x\"}\n  + d: {\"SS\":[\"y\"]}"
        );
    }

    #[test]
    fn a_long_text_is_shown_where_it_differs() {
        let long = "é".repeat(1000);
        let (old, new) = cut(&format!("{long}1{long}"), &format!("{long}2{long}"));
        assert_eq!(old, format!("…{}1{}…", "é".repeat(40), "é".repeat(199)));
        assert!(new.contains("é2é"), "{new}");
    }
}
