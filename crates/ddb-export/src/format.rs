//! From an item to the line that it is written as. Pure.

use std::io::{self, Write};

use ops_common::dynamodb::format::ItemFormat;
use ops_common::dynamodb::item::{Attribute, Attributes, Plain, PlainValue};
use ops_common::text::for_spreadsheet;

/// Writes items in one format.
#[derive(Debug)]
pub(crate) struct Lines {
    pub(crate) format: ItemFormat,
    /// the columns of CSV
    pub(crate) columns: Vec<String>,
    /// whether no string of CSV may be taken for a formula
    pub(crate) for_spreadsheet: bool,
}

impl Lines {
    /// What comes before the first item.
    pub(crate) fn header(&self) -> io::Result<Vec<u8>> {
        match self.format {
            ItemFormat::Csv => {
                row(&self.columns.iter().map(|name| self.text(name)).collect::<Vec<_>>())
            }
            ItemFormat::DynamodbJson | ItemFormat::Jsonl => Ok(Vec::new()),
        }
    }

    /// Appends an item to `out`.
    pub(crate) fn write(&self, item: &Attributes<'_>, out: &mut Vec<u8>) -> io::Result<()> {
        match self.format {
            ItemFormat::DynamodbJson => {
                // As DynamoDB's own export to S3 has it, and its import takes it.
                out.extend_from_slice(br#"{"Item":"#);
                serde_json::to_writer(&mut *out, item)?;
                out.extend_from_slice(b"}\n");
                Ok(())
            }
            ItemFormat::Jsonl => {
                serde_json::to_writer(&mut *out, &Plain(item))?;
                out.push(b'\n');
                Ok(())
            }
            ItemFormat::Csv => {
                let fields = self.columns.iter().map(|name| self.field(item.get(name)));
                out.write_all(&row(&fields.collect::<Result<Vec<_>, _>>()?)?)
            }
        }
    }

    fn text(&self, text: &str) -> String {
        if self.for_spreadsheet { for_spreadsheet(text) } else { text.to_owned() }
    }

    /// A string as it is, what is no string as JSON; what is not there as nothing.
    fn field(&self, value: Option<&Attribute<'_>>) -> Result<String, serde_json::Error> {
        match value {
            None => Ok(String::new()),
            Some(Attribute::S(text) | Attribute::B(text)) => Ok(self.text(text)),
            Some(Attribute::N(text)) => Ok(text.to_string()),
            Some(value) => serde_json::to_string(&PlainValue(value)),
        }
    }
}

fn row<T: AsRef<[u8]>>(fields: &[T]) -> io::Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::with_capacity(256));
    writer.write_record(fields).map_err(io::Error::from)?;
    writer.into_inner().map_err(|error| io::Error::other(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(format: ItemFormat, columns: &[&str], item: &str) -> String {
        let columns = columns.iter().map(ToString::to_string).collect();
        let item: Attributes<'_> = serde_json::from_str(item).expect("an item");
        let mut out = Vec::new();
        let lines = Lines { format, columns, for_spreadsheet: false };
        lines.write(&item, &mut out).expect("a line");
        String::from_utf8(out).expect("UTF-8")
    }

    const ITEM: &str =
        r#"{"sk":{"N":"1.50"},"pk":{"S":"a,\"b\"\n"},"set":{"NS":["2","1"]},"no":{"NULL":true}}"#;

    #[test]
    fn an_item_in_each_format() {
        assert_eq!(
            line(ItemFormat::DynamodbJson, &[], ITEM),
            concat!(
                r#"{"Item":{"no":{"NULL":true},"pk":{"S":"a,\"b\"\n"},"set":{"NS":["1","2"]},"sk":{"N":"1.50"}}}"#,
                "\n"
            )
        );
        assert_eq!(
            line(ItemFormat::Jsonl, &[], ITEM),
            concat!(r#"{"no":null,"pk":"a,\"b\"\n","set":[1,2],"sk":1.50}"#, "\n")
        );
        assert_eq!(
            line(ItemFormat::Csv, &["sk", "pk", "other", "set"], ITEM),
            "1.50,\"a,\"\"b\"\"\n\",,\"[1,2]\"\n"
        );
    }
}
