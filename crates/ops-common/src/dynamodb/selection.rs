//! Which items of those that are read, and what of them: the same for a scan and a
//! query.

use std::collections::HashMap;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use crate::app::records::Item;
use crate::dynamodb::filter::Filter;
use crate::dynamodb::item::Attributes;
use crate::error::Error;
use crate::text::count;
use crate::ui::Ui;

/// Which items, and what of them.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Selection")]
pub struct SelectionArgs {
    /// Only items for which this holds, like `user_handle = "maren"`; the others
    /// are read and paid for all the same
    #[arg(long, value_name = "EXPR", allow_hyphen_values = true)]
    pub filter: Option<Filter>,

    /// Names that `#…` in --filter stands for: `{"#s":"a name with spaces"}`
    #[arg(long, value_name = "JSON", requires = "filter", value_parser = parse_names)]
    pub names: Option<HashMap<String, String>>,

    /// Values that `:…` in --filter stands for, as DynamoDB's JSON:
    /// `{":t":{"SS":["a","b"]}}`
    #[arg(long, value_name = "JSON", requires = "filter", value_parser = parse_values)]
    pub values: Option<Item>,

    /// Only these attributes, by name
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', value_parser = NonEmptyStringValueParser::new())]
    pub select: Vec<String>,
}

fn parse_names(text: &str) -> Result<HashMap<String, String>, String> {
    serde_json::from_str(text).map_err(|error| format!("{error}; like {{\"#s\":\"status\"}}"))
}

fn parse_values(text: &str) -> Result<Item, String> {
    let values: Attributes<'_> = serde_json::from_str(text)
        .map_err(|error| format!("{error}; like {{\":p\":{{\"S\":\"MSG#\"}}}}"))?;
    let sdk = values.to_sdk();
    if Attributes::from_sdk(&sdk).as_ref() != Some(&values) {
        return Err("a binary in it is not base64".to_owned());
    }
    Ok(sdk)
}

/// The expressions of a request, with what their placeholders stand for.
#[derive(Debug, Clone, Default)]
pub struct Expressions {
    /// what an item has to be
    pub filter: Option<String>,
    /// which attributes are sent
    pub projection: Option<String>,
    /// of both
    pub names: HashMap<String, String>,
    /// of the filter
    pub values: Item,
}

impl SelectionArgs {
    /// The error of a request that DynamoDB does not take.
    #[must_use]
    pub fn hint(error: Error) -> Error {
        error
            .hint("look at --filter, --names, --values and --select")
            .hint("a text in a filter stands in quotes: --filter 'user_handle = \"maren\"'")
    }

    /// Says what may be wrong where a filter takes nothing of what there is: DynamoDB
    /// takes any word for an attribute.
    pub fn say_names(&self, scanned: u64, ui: &Ui) {
        if self.filter.is_some() && scanned > 0 {
            ui.note(format_args!(
                "none of {} passes --filter: a bare word in it is an attribute's name, a text stands in quotes",
                items(scanned)
            ));
        }
    }
}

impl Expressions {
    /// Which items.
    #[must_use]
    pub fn of_filter(selection: &SelectionArgs) -> Self {
        let Some(filter) = &selection.filter else { return Self::default() };
        let mut names = filter.names.clone();
        names.extend(selection.names.clone().unwrap_or_default());
        let mut values = filter.values.clone();
        values.extend(selection.values.clone().unwrap_or_default());
        Self { filter: Some(filter.expression.clone()), projection: None, names, values }
    }

    /// All items, with only these attributes. All of them stay where none is named.
    #[must_use]
    pub fn of_names(names: &[String]) -> Self {
        if names.is_empty() {
            return Self::default();
        }
        // Many names are reserved words; placeholders never are.
        let placeholder = |index| format!("#ops_select_{index}");
        let numbered = names.iter().enumerate();
        Self {
            projection: Some((0..names.len()).map(placeholder).collect::<Vec<_>>().join(", ")),
            names: numbered.map(|(index, name)| (placeholder(index), name.clone())).collect(),
            ..Self::default()
        }
    }
}

/// Which of the selected names an item had.
#[derive(Debug)]
pub struct Seen<'a>(Vec<(&'a str, bool)>);

impl<'a> Seen<'a> {
    /// None of them so far.
    #[must_use]
    pub fn new(selection: &'a SelectionArgs) -> Self {
        Self(selection.select.iter().map(|name| (name.as_str(), false)).collect())
    }

    /// Looks at items.
    pub fn look(&mut self, items: &[Attributes<'_>]) {
        for (name, seen) in &mut self.0 {
            *seen = *seen || items.iter().any(|item| item.get(name).is_some());
        }
    }

    /// Warns of each name that none had.
    pub fn warn(&self, ui: &Ui) {
        for (name, _) in self.0.iter().filter(|(_, seen)| !seen) {
            ui.warn(format_args!("no item that was read has an attribute `{name}`"));
        }
    }
}

/// A number of items in words.
#[must_use]
pub fn items(number: u64) -> String {
    count(number, "item")
}
