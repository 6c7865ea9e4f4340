//! The changes of an incremental export: what each key has in the end.
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Output.html>

use std::collections::{HashMap, HashSet};

use ops_common::dynamodb::batch::Write;
use ops_common::dynamodb::item::Attributes;
use ops_common::error::Error;
use ops_common::ui::Ui;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::format::Put;
use crate::input::{Records, Source};
use crate::rules::Rules;

/// A line of a data file. The old image, where there is one, is not needed.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Line<'a> {
    #[serde(borrow)]
    metadata: Metadata<'a>,
    #[serde(borrow)]
    keys: &'a RawValue,
    /// none: the item was deleted
    #[serde(borrow, default)]
    new_image: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Metadata<'a> {
    #[serde(borrow)]
    write_timestamp_micros: Number<'a>,
}

#[derive(Deserialize)]
struct Number<'a> {
    #[serde(rename = "N", borrow)]
    n: &'a str,
}

/// What came last, of the keys that change more than once. DynamoDB writes one change a key,
/// in no order of files; where there are more, every line of the key writes the last one.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    last: HashMap<u64, (u64, Box<str>)>,
}

impl Changes {
    /// Reads all lines: 8 bytes of memory for each, and the lines of the keys that come
    /// twice. A line that is bad is reported once it is written.
    ///
    /// # Errors
    /// Where the input cannot be read.
    pub(crate) fn of(source: &Source, rules: &Rules, ui: &Ui) -> Result<Self, Error> {
        let _looking = ui.progress("looking for keys that change more than once");
        let mut keys = Vec::new();
        each(source, rules, |key, _, _| keys.push(key))?;
        keys.sort_unstable();
        let twice: HashSet<u64> =
            keys.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
        drop(keys);
        let mut last: HashMap<u64, (u64, Box<str>)> = HashMap::new();
        if !twice.is_empty() {
            each(source, rules, |key, at, line| {
                if twice.contains(&key) && last.get(&key).is_none_or(|(before, _)| *before <= at) {
                    last.insert(key, (at, line.into()));
                }
            })?;
        }
        Ok(Self { last })
    }

    /// The request that makes the key what it is in the end, or why there is none.
    pub(crate) fn parse(&self, text: &str, rules: &Rules) -> Result<Put, String> {
        let line = parse(text)?;
        let key = attributes(line.keys)?;
        let identity = rules.keys.identity(&key)?;
        at(&line)?;
        match self.last.get(&identity) {
            Some((_, last)) => request(&parse(last)?, rules),
            None => request(&line, rules),
        }
    }
}

fn each(
    source: &Source,
    rules: &Rules,
    mut found: impl FnMut(u64, u64, &str),
) -> Result<(), Error> {
    let mut records = Records::open(source, false, false)?;
    while records.advance()? {
        let Some(record) = records.record() else {
            records.copy_long_line(&mut std::io::sink())?;
            continue;
        };
        let Ok(text) = std::str::from_utf8(record) else { continue };
        let change = parse(text).and_then(|line| {
            let key = rules.keys.identity(&attributes(line.keys)?)?;
            Ok((key, at(&line)?))
        });
        if let Ok((key, at)) = change {
            found(key, at, text);
        }
    }
    Ok(())
}

fn parse(text: &str) -> Result<Line<'_>, String> {
    serde_json::from_str(text)
        .map_err(|error| format!("no change of an incremental export: {error}"))
}

fn attributes(raw: &RawValue) -> Result<Attributes<'_>, String> {
    serde_json::from_str(raw.get()).map_err(|error| error.to_string())
}

fn at(line: &Line<'_>) -> Result<u64, String> {
    let micros = line.metadata.write_timestamp_micros.n;
    micros.parse().map_err(|_| format!("`{micros}` is no WriteTimestampMicros"))
}

fn request(line: &Line<'_>, rules: &Rules) -> Result<Put, String> {
    let key = attributes(line.keys)?;
    let Some(image) = line.new_image else {
        rules.check(&key)?;
        return Ok(Put { write: Write::delete(&key, &rules.keys)?, units: 1.0 });
    };
    let item = attributes(image)?;
    let units = rules.check(&item)?;
    if rules.keys.identity(&item)? != rules.keys.identity(&key)? {
        return Err("the new image has another key than the change".to_owned());
    }
    Ok(Put { write: Write::put_json(image.get(), &item, &rules.keys)?, units })
}
