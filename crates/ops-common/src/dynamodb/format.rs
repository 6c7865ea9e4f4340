//! How files of items are written down.

use std::fmt;
use std::path::Path;

use clap::ValueEnum;

/// The forms that items have in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ItemFormat {
    /// DynamoDB's JSON, an item a line: nothing is lost
    DynamodbJson,
    /// plain JSON, an item a line
    Jsonl,
    /// a header row, then a row an item
    Csv,
}

impl ItemFormat {
    /// By the file's extension, before `.gz`.
    ///
    /// ```
    /// use std::path::Path;
    /// use ops_common::dynamodb::format::ItemFormat;
    /// let of = |file| ItemFormat::of_file(Path::new(file));
    /// assert_eq!(of("dir.csv/4xq.json.gz"), Some(ItemFormat::DynamodbJson));
    /// assert_eq!(of("a.JSONL"), Some(ItemFormat::Jsonl));
    /// assert_eq!(of("a.ndjson.gz"), Some(ItemFormat::Jsonl));
    /// assert_eq!(of("a.csv"), Some(ItemFormat::Csv));
    /// assert_eq!([of("a.txt"), of("a.gz"), of("json")], [None; 3]);
    /// ```
    #[must_use]
    pub fn of_file(file: &Path) -> Option<Self> {
        let name = file.file_name()?.to_str()?.to_ascii_lowercase();
        match name.strip_suffix(".gz").unwrap_or(&name).rsplit_once('.')?.1 {
            "json" => Some(Self::DynamodbJson),
            "jsonl" | "ndjson" => Some(Self::Jsonl),
            "csv" => Some(Self::Csv),
            _ => None,
        }
    }
}

impl fmt::Display for ItemFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DynamodbJson => "dynamodb-json",
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
        })
    }
}
