//! An item as text: DynamoDB's JSON, an attribute a line, the keys first.

use ops_common::app::records::Item;
use ops_common::dynamodb::item::{Attribute, Attributes, PlainValue};
use ops_common::dynamodb::typed_key::TypedKey;
use ops_common::error::Error;
use ops_common::text::printable;
use serde_json::to_string;

fn cannot(error: impl std::fmt::Display) -> Error {
    Error::new("cannot show the item").cause(error)
}

/// The attributes of an item.
///
/// # Errors
/// Where it holds a type that is not known here.
pub(crate) fn attributes(item: &Item) -> Result<Attributes<'_>, Error> {
    Attributes::from_sdk(item).ok_or_else(|| cannot("it has a type that is not known here"))
}

/// The item, to be read, edited and put.
pub(crate) fn pretty(item: &Item, typed: &TypedKey) -> Result<String, Error> {
    let attributes = attributes(item)?;
    let keys: Vec<&str> = [Some(&typed.partition), typed.sort.as_ref()]
        .into_iter()
        .flatten()
        .map(|key| key.name.as_str())
        .collect();
    let first = keys.iter().filter_map(|key| Some((*key, attributes.get(key)?)));
    let rest = attributes.iter().filter(|(name, _)| !keys.contains(name));
    let mut lines = Vec::new();
    for (name, value) in first.chain(rest) {
        let name = to_string(name).map_err(cannot)?;
        // What has parts has a line for each.
        let value = match value {
            Attribute::L(_) | Attribute::M(_) => serde_json::to_string_pretty(value),
            _ => to_string(value),
        };
        lines.push(format!("  {name}: {}", value.map_err(cannot)?.replace('\n', "\n  ")));
    }
    Ok(format!("{{\n{}\n}}\n", lines.join(",\n")))
}

/// `pk `a`, sk `b``
pub(crate) fn key(key: &Item, typed: &TypedKey) -> String {
    let parts = [Some(&typed.partition), typed.sort.as_ref()].into_iter().flatten();
    let parts = parts.filter_map(|attribute| {
        let values = Attributes::from_sdk(key)?;
        let text = match values.get(&attribute.name)? {
            Attribute::S(text) => text.to_string(),
            other => to_string(&PlainValue(other)).ok()?,
        };
        Some(format!("{} `{}`", printable(&attribute.name), printable(&text)))
    });
    parts.collect::<Vec<_>>().join(", ")
}
