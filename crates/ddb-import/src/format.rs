//! From a record of the input to the request that puts its item. Pure.

use std::borrow::Cow;
use std::fmt;

use ops_common::dynamodb::batch::Write;
use ops_common::dynamodb::format::ItemFormat;
use ops_common::dynamodb::item::{Attribute, Attributes};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::changes::Changes;
use crate::rules::Rules;

/// Reads the records of one input for one table.
#[derive(Debug)]
pub(crate) struct Parser {
    pub(crate) format: ItemFormat,
    pub(crate) rules: Rules,
    /// where each line is a change and not an item
    pub(crate) changes: Option<Changes>,
    /// of a CSV file
    columns: Vec<Column>,
    /// its first row, as it is
    header_row: csv::StringRecord,
}

/// A request, a put but for changes, and what it costs.
#[derive(Debug)]
pub(crate) struct Put {
    pub(crate) write: Write,
    pub(crate) units: f64,
}

#[derive(Debug)]
struct Column {
    name: String,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    S,
    N,
    B,
    Bool,
}

impl Parser {
    pub(crate) fn new(format: ItemFormat, rules: Rules) -> Self {
        Self {
            format,
            rules,
            changes: None,
            columns: Vec::new(),
            header_row: csv::StringRecord::new(),
        }
    }

    /// Takes the header row of a CSV file.
    pub(crate) fn header(&mut self, record: &[u8]) -> Result<(), String> {
        let fields = fields(record)?;
        let columns = fields.iter().map(column).collect::<Result<Vec<_>, _>>()?;
        for (place, column) in columns.iter().enumerate() {
            if columns[..place].iter().any(|other| other.name == column.name) {
                return Err(format!("the column `{}` is there twice", column.name));
            }
        }
        for key in self.rules.keys.iter() {
            if !columns.iter().any(|column| column.name == key) {
                return Err(format!("there is no column for the key attribute `{key}`"));
            }
        }
        self.columns = columns;
        self.header_row = fields;
        Ok(())
    }

    /// The request that puts the record's item, or why there is none.
    pub(crate) fn parse(&self, record: &[u8]) -> Result<Put, String> {
        let text = std::str::from_utf8(record)
            .map_err(|error| format!("column {}: not UTF-8", error.valid_up_to() + 1))?;
        if let Some(changes) = &self.changes {
            return changes.parse(text, &self.rules);
        }
        let (item, json) = match self.format {
            ItemFormat::DynamodbJson => {
                let (item, json) = dynamodb_json(text)?;
                (item, Some(json))
            }
            ItemFormat::Jsonl => (plain_json(text)?, None),
            ItemFormat::Csv => (self.csv(record)?, None),
        };
        let checked = self.rules.check(&item);
        let units = checked.map_err(|why| why + self.other_format(&item))?;
        let write = match json {
            Some(json) => Write::put_json(json, &item, &self.rules.keys),
            None => Write::put(&item, &self.rules.keys),
        };
        Ok(Put { write: write?, units })
    }

    /// What a person who named the wrong format should hear.
    fn other_format(&self, item: &Attributes<'_>) -> &'static str {
        let typed = |value: &Attribute<'_>| match value {
            Attribute::M(members) => {
                members.iter().all(|(name, _)| matches!(name, "S" | "N" | "B"))
            }
            _ => false,
        };
        let keys = || self.rules.keys.iter().filter_map(|key| item.get(key));
        let wrapped = item.iter().len() == 1 && item.get("Item").is_some();
        if self.format == ItemFormat::Csv && keys().any(|key| matches!(key, Attribute::S(_))) {
            "; the header gives a column its type, like `id:N`"
        } else if self.format == ItemFormat::Jsonl && (wrapped || keys().any(typed)) {
            "; this looks like DynamoDB's JSON: --format dynamodb-json"
        } else {
            ""
        }
    }

    fn csv<'a>(&'a self, record: &[u8]) -> Result<Attributes<'a>, String> {
        // As `cat a.csv b.csv` joins them; each may begin with a byte order mark.
        let fields = fields(record.strip_prefix(b"\xef\xbb\xbf").unwrap_or(record))?;
        if fields == self.header_row {
            return Err("the header row again: two files joined?".to_owned());
        }
        if fields.len() != self.columns.len() {
            return Err(format!(
                "{} fields, and the header has {}",
                fields.len(),
                self.columns.len()
            ));
        }
        let mut attributes = Vec::with_capacity(fields.len());
        for (column, field) in self.columns.iter().zip(&fields) {
            // What has no value is not there; CSV has no other word for it.
            if field.is_empty() {
                continue;
            }
            let text = Cow::Owned(field.to_owned());
            let value = match column.kind {
                Kind::S => Attribute::S(text),
                Kind::N => Attribute::N(text),
                Kind::B => Attribute::B(text),
                Kind::Bool => match field {
                    "true" => Attribute::Bool(true),
                    "false" => Attribute::Bool(false),
                    _ => return Err(format!("`{}`: neither true nor false", column.name)),
                },
            };
            attributes.push((Cow::Borrowed(column.name.as_str()), value));
        }
        Attributes::new(attributes).map_err(|name| format!("the attribute `{name}` is there twice"))
    }
}

fn column(text: &str) -> Result<Column, String> {
    let (name, kind) = match text.rsplit_once(':') {
        Some((name, "S")) => (name, Kind::S),
        Some((name, "N")) => (name, Kind::N),
        Some((name, "B")) => (name, Kind::B),
        Some((name, "BOOL")) => (name, Kind::Bool),
        Some((_, kind)) if !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_uppercase()) => {
            return Err(format!(
                "the column `{text}` has the type {kind}; there are S, N, B and BOOL"
            ));
        }
        _ => (text, Kind::S),
    };
    if name.is_empty() {
        return Err("a column without a name".to_owned());
    }
    Ok(Column { name: name.to_owned(), kind })
}

fn fields(record: &[u8]) -> Result<csv::StringRecord, String> {
    if !record.iter().filter(|byte| **byte == b'"').count().is_multiple_of(2) {
        return Err("a quote that is not closed".to_owned());
    }
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .buffer_capacity(record.len().max(1))
        .from_reader(record);
    let mut fields = csv::StringRecord::new();
    let mut read = |fields: &mut csv::StringRecord| {
        reader.read_record(fields).map_err(|error| format!("not CSV: {error}"))
    };
    read(&mut fields)?;
    if read(&mut csv::StringRecord::new())? {
        return Err("a quote that begins or ends inside of a field".to_owned());
    }
    Ok(fields)
}

/// `{"Item":{…}}` as DynamoDB's export to S3 writes it, or the bare item. Returns
/// also the piece of the text that is the item: it is sent as it is.
fn dynamodb_json(text: &str) -> Result<(Attributes<'_>, &str), String> {
    let text = text.trim();
    // Nearly every line is one of these two; the rest pays for a second look.
    let inner = text.strip_prefix(r#"{"Item":"#).and_then(|rest| rest.strip_suffix('}'));
    let likely = inner.unwrap_or(text);
    if let Ok(item) = serde_json::from_str(likely) {
        return Ok((item, likely));
    }
    let wrapped = serde_json::from_str::<Members<'_>>(text);
    let wrapped = wrapped.ok().and_then(|members| match members.0.as_slice() {
        [(name, value)] if name == "Item" => Some(*value),
        _ => None,
    });
    let Some(value) = wrapped else {
        let item = serde_json::from_str(text).map_err(|error| at_column(&error, 0))?;
        return Ok((item, text));
    };
    let item = serde_json::from_str(value.get()).map(|item| (item, value.get()));
    item.or_else(|error| {
        // An item with the one attribute `Item`.
        let item = serde_json::from_str(text).map(|item| (item, text));
        item.map_err(|_| at_column(&error, value.get().as_ptr().addr() - text.as_ptr().addr()))
    })
}

fn plain_json(text: &str) -> Result<Attributes<'_>, String> {
    let raw: &RawValue = serde_json::from_str(text).map_err(|error| at_column(&error, 0))?;
    match plain_value(raw, 0)? {
        Attribute::M(item) => Ok(item),
        _ => Err("not an object".to_owned()),
    }
}

fn plain_value(raw: &RawValue, depth: usize) -> Result<Attribute<'_>, String> {
    // The rules say how deep an item may be; this only guards the stack.
    if depth > 100 {
        return Err("nested too deeply".to_owned());
    }
    let text = raw.get();
    let in_words = |error: serde_json::Error| error.to_string();
    Ok(match text.as_bytes().first() {
        Some(b'{') => {
            let members: Members<'_> = serde_json::from_str(text).map_err(in_words)?;
            let member =
                |(name, value): (String, _)| Ok((name.into(), plain_value(value, depth + 1)?));
            let members = members.0.into_iter().map(member).collect::<Result<_, String>>()?;
            let members = Attributes::new(members)
                .map_err(|name| format!("the attribute `{name}` is there twice"))?;
            Attribute::M(members)
        }
        Some(b'[') => {
            let elements: Vec<&RawValue> = serde_json::from_str(text).map_err(in_words)?;
            let elements = elements.into_iter().map(|element| plain_value(element, depth + 1));
            Attribute::L(elements.collect::<Result<_, _>>()?)
        }
        Some(b'"') => Attribute::S(Cow::Owned(serde_json::from_str(text).map_err(in_words)?)),
        Some(b't') => Attribute::Bool(true),
        Some(b'f') => Attribute::Bool(false),
        Some(b'n') => Attribute::Null,
        _ => Attribute::N(Cow::Borrowed(text)),
    })
}

/// Why, and where in the line.
fn at_column(error: &serde_json::Error, offset: usize) -> String {
    let text = error.to_string();
    let why = text.rfind(" at line ").map_or(text.as_str(), |place| &text[..place]);
    let one_line = if error.is_eof() { "; an item has one line, and a line one item" } else { "" };
    format!("column {}: {why}{one_line}", offset + error.column())
}

/// The members of an object as they are, also those of one name.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Each).map(Members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(item: &Attributes<'_>) -> String {
        serde_json::to_string(item).expect("JSON")
    }

    #[test]
    fn dynamodb_json_with_and_without_item() {
        for text in [
            r#"{"Item":{"pk":{"S":"x"}}}"#,
            r#" { "Item" : { "pk" : { "S" : "x" } } } "#,
            r#"{"pk":{"S":"x"}}"#,
        ] {
            assert_eq!(json(&dynamodb_json(text).expect(text).0), r#"{"pk":{"S":"x"}}"#, "{text}");
        }
        // An attribute may be called Item.
        for text in [r#"{"Item":{"S":"x"}}"#, r#"{"Item":{"S":"x"},"pk":{"S":"x"}}"#] {
            assert_eq!(json(&dynamodb_json(text).expect(text).0), text);
        }
        assert_eq!(json(&dynamodb_json(r#"{"Item":{}}"#).expect("empty").0), "{}");
    }

    #[test]
    fn bad_json_says_where() {
        let why = |text| dynamodb_json(text).expect_err(text);
        assert_eq!(
            why(r#"{"pk":{"S":"x"}"#),
            "column 15: EOF while parsing an object; an item has one line, and a line one item"
        );
        assert_eq!(
            why(r#"{"Item":{"pk":{"S":"x","N":"1"}}}"#),
            "column 26: an attribute value of two types, S and N"
        );
        assert_eq!(
            why(""),
            "column 0: EOF while parsing a value; an item has one line, and a line one item"
        );
        assert!(why("[1]").contains("expected an object of attributes"));
    }

    #[test]
    fn plain_json_keeps_every_digit() {
        let text = r#"{"a":12345678901234567890123456789012345678,"b":-1.50E+3,"c":[true,null,{"d":""}],"e":"\u00e9"}"#;
        let item = plain_json(text).expect("an item");
        assert_eq!(
            json(&item),
            r#"{"a":{"N":"12345678901234567890123456789012345678"},"b":{"N":"-1.50E+3"},"c":{"L":[{"BOOL":true},{"NULL":true},{"M":{"d":{"S":""}}}]},"e":{"S":"é"}}"#
        );
        for (text, why) in [
            ("[]", "not an object"),
            (r#"{"a":1,"a":2}"#, "`a` is there twice"),
            (r#"{"a":01}"#, "column 7: "),
            (r#"{"a":NaN}"#, "column 6: "),
        ] {
            let error = plain_json(text).expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn columns_have_types() {
        let kind = |text| column(text).map(|column| (column.name, column.kind));
        assert_eq!(kind("a"), Ok(("a".to_owned(), Kind::S)));
        assert_eq!(kind("a:N"), Ok(("a".to_owned(), Kind::N)));
        assert_eq!(kind("a:b"), Ok(("a:b".to_owned(), Kind::S)));
        assert_eq!(kind("a:b:BOOL"), Ok(("a:b".to_owned(), Kind::Bool)));
        assert!(kind("a:SS").expect_err("SS").contains("there are S, N, B and BOOL"));
        assert!(kind(":N").is_err());
    }

    fn parser(format: ItemFormat) -> Parser {
        let table = aws_sdk_dynamodb::types::TableDescription::builder().build();
        Parser::new(format, Rules::of(&table))
    }

    proptest::proptest! {
        /// Whatever comes is an item or a reason, and never a panic.
        #[test]
        fn any_bytes_are_read(bytes: Vec<u8>, cut in 0..200_usize, put: u8) {
            let seed = br#"{"Item":{"pk":{"S":"\u00e9\ud83e\udd80"},"l":{"L":[{"N":"-1.5E+3"},{"BS":["AQ=="]},{"NULL":true},{"M":{"x":{"BOOL":false}}}]}}}"#;
            let mut damaged = seed.to_vec();
            let place = cut % damaged.len();
            damaged[place] = put;
            let mut cut_off = seed.to_vec();
            cut_off.truncate(cut % seed.len());
            let mut csv = parser(ItemFormat::Csv);
            let _ = csv.header(&bytes);
            for text in [&bytes, &damaged, &cut_off] {
                for format in [ItemFormat::DynamodbJson, ItemFormat::Jsonl] {
                    if let Ok(put) = parser(format).parse(text) {
                        proptest::prop_assert!(put.units >= 1.0);
                    }
                }
                let _ = csv.parse(text);
            }
        }
    }
}
