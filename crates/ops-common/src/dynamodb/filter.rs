//! A filter as people write it: with the values in it, and any word for a name. Pure.
//!
//! DynamoDB takes a value only as a placeholder (`:v`), and a name that is one of its
//! 573 reserved words only as one (`#n`):
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.OperatorsAndFunctions.html>.
//! So every name and value of a filter becomes one here; a placeholder that is there
//! already stays.

use std::collections::HashMap;
use std::str::FromStr;

use aws_sdk_dynamodb::types::AttributeValue;

use crate::app::records::Item;
use crate::dynamodb::key::Number;
use crate::text::{meant, quoted};

const KEYWORDS: [&str; 5] = ["AND", "OR", "NOT", "BETWEEN", "IN"];

const FUNCTIONS: [&str; 6] = [
    "attribute_exists",
    "attribute_not_exists",
    "attribute_type",
    "begins_with",
    "contains",
    "size",
];

/// A filter expression, and what its placeholders stand for.
///
/// ```
/// use ops_common::dynamodb::filter::Filter;
/// let filter: Filter = r#"status = "new" AND size(tags) > 2"#.parse().unwrap();
/// assert_eq!(filter.expression, "#ops_filter_0 = :ops_filter_0 AND size(#ops_filter_1) > :ops_filter_1");
/// assert_eq!(filter.names["#ops_filter_0"], "status");
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    /// as it was written
    pub text: String,
    /// as it is sent
    pub expression: String,
    /// the names that it had
    pub names: HashMap<String, String>,
    /// the values that it had
    pub values: Item,
}

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Err("a filter is like `user_handle = \"maren\"`".to_owned());
        }
        let mut reader = Reader {
            rest: text,
            filter: Self {
                text: text.to_owned(),
                expression: String::new(),
                names: HashMap::new(),
                values: Item::new(),
            },
        };
        while let Some(next) = reader.rest.chars().next() {
            reader.token(next)?;
        }
        Ok(reader.filter)
    }
}

struct Reader<'a> {
    rest: &'a str,
    filter: Filter,
}

impl<'a> Reader<'a> {
    fn token(&mut self, next: char) -> Result<(), String> {
        match next {
            '"' | '\'' => {
                let text = self.string(next)?;
                self.value(AttributeValue::S(text));
            }
            ':' | '#' => {
                let end =
                    self.rest[1..].find(|c| !is_of_name(c)).map_or(self.rest.len(), |n| n + 1);
                let placeholder = self.take(end);
                self.filter.expression.push_str(placeholder);
            }
            '[' => {
                let Some(end) = self.rest.find(']') else {
                    return Err("a `[` has no `]`".to_owned());
                };
                let index = self.take(end + 1);
                self.filter.expression.push_str(index);
            }
            '0'..='9' | '-' | '+' => {
                let end = self.rest[1..]
                    .find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '+' | '-'))
                    .map_or(self.rest.len(), |n| n + 1);
                let digits = self.take(end);
                if Number::parse(digits).is_none() {
                    return Err(format!("`{digits}` is not a number; a text stands in quotes"));
                }
                self.value(AttributeValue::N(digits.to_owned()));
            }
            _ if is_of_name(next) => {
                let end = self.rest.find(|c| !is_of_name(c)).unwrap_or(self.rest.len());
                let word = self.take(end);
                self.word(word)?;
            }
            '=' if self.rest.starts_with("==") => return Err("`==` is written `=`".to_owned()),
            '!' => return Err("`!=` is written `<>`, and `!` is `NOT`".to_owned()),
            '&' => return Err("`&&` is written `AND`".to_owned()),
            '|' => return Err("`||` is written `OR`".to_owned()),
            '=' | '<' | '>' | '(' | ')' | ',' | '.' => {
                self.rest = &self.rest[1..];
                self.filter.expression.push(next);
            }
            _ if next.is_whitespace() => {
                self.rest = &self.rest[next.len_utf8()..];
                self.filter.expression.push(' ');
            }
            _ => {
                return Err(format!(
                    "`{next}` has no meaning in a filter; a text stands in quotes"
                ));
            }
        }
        Ok(())
    }

    fn take(&mut self, end: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    /// In double quotes as JSON has it; in single ones as SQL has it.
    fn string(&mut self, quote: char) -> Result<String, String> {
        let unclosed = || format!("a text that begins with {quote} does not end with one");
        let inner = &self.rest[1..];
        let mut end = 0;
        loop {
            end += inner[end..].find([quote, '\\']).ok_or_else(unclosed)?;
            let after = &inner[end + 1..];
            match (quote, inner.as_bytes()[end]) {
                ('"', b'\\') => end += 1 + after.chars().next().map_or(0, char::len_utf8),
                ('\'', b'\\') => end += 1,
                ('\'', _) if after.starts_with('\'') => end += 2,
                _ => break,
            }
        }
        let taken = self.take(end + 2);
        if quote == '\'' {
            return Ok(taken[1..=end].replace("''", "'"));
        }
        serde_json::from_str(taken).map_err(|error| format!("{taken} is no text: {error}"))
    }

    fn value(&mut self, value: AttributeValue) {
        let placeholder = format!(":ops_filter_{}", self.filter.values.len());
        self.filter.expression.push_str(&placeholder);
        self.filter.values.insert(placeholder, value);
    }

    fn word(&mut self, word: &str) -> Result<(), String> {
        let is_part = self.filter.expression.ends_with('.');
        let is_called = self.rest.trim_start().starts_with('(');
        let is_keyword = KEYWORDS.iter().any(|keyword| keyword.eq_ignore_ascii_case(word));
        match word {
            _ if !is_part && is_keyword => self.filter.expression.push_str(word),
            _ if is_called && FUNCTIONS.contains(&word) => self.filter.expression.push_str(word),
            _ if is_called => {
                return Err(match meant(word, FUNCTIONS) {
                    Some(meant) => {
                        format!("there is no function `{word}`: did you mean `{meant}`?")
                    }
                    None => format!("there is no function `{word}`, only {}", quoted(FUNCTIONS)),
                });
            }
            "true" if !is_part => self.value(AttributeValue::Bool(true)),
            "false" if !is_part => self.value(AttributeValue::Bool(false)),
            "null" if !is_part => self.value(AttributeValue::Null(true)),
            name => self.name(name),
        }
        Ok(())
    }

    fn name(&mut self, name: &str) {
        let known = self.filter.names.iter().find(|(_, known)| *known == name);
        let placeholder = match known {
            Some((placeholder, _)) => placeholder.clone(),
            None => format!("#ops_filter_{}", self.filter.names.len()),
        };
        self.filter.expression.push_str(&placeholder);
        self.filter.names.insert(placeholder, name.to_owned());
    }
}

fn is_of_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expression with each placeholder that was made, and what it stands for.
    fn shown(text: &str) -> Result<String, String> {
        let filter: Filter = text.parse()?;
        let mut shown = filter.expression.clone();
        for (placeholder, name) in &filter.names {
            shown = shown.replace(placeholder, &format!("<{name}>"));
        }
        for (placeholder, value) in &filter.values {
            shown = shown.replace(placeholder, &format!("<{value:?}>"));
        }
        Ok(shown)
    }

    #[test]
    fn values_and_names_become_placeholders() {
        for (text, expected) in [
            (r#"user_handle = "maren""#, r#"<user_handle> = <S("maren")>"#),
            (r"user_handle='it''s \x'", r#"<user_handle>=<S("it's \\x")>"#),
            (r#"a = "q\"\u00e9" OR a = 'q'"#, r#"<a> = <S("q\"é")> OR <a> = <S("q")>"#),
            ("n >= -1.5e3 and n < 2", r#"<n> >= <N("-1.5e3")> and <n> < <N("2")>"#),
            ("NOT gone = true AND x <> null", "NOT <gone> = <Bool(true)> AND <x> <> <Null(true)>"),
            ("begins_with(pk, :p) AND #s = :s", "begins_with(<pk>, :p) AND #s = :s"),
            ("a.size[12].and = 1", r#"<a>.<size>[12].<and> = <N("1")>"#),
            ("size (tags) IN (1, 2)", r#"size (<tags>) IN (<N("1")>, <N("2")>)"#),
            ("size = 1", r#"<size> = <N("1")>"#),
            ("first-name = ''", r#"<first-name> = <S("")>"#),
            ("n BETWEEN 1 AND 2", r#"<n> BETWEEN <N("1")> AND <N("2")>"#),
        ] {
            assert_eq!(shown(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_filter_says_how_it_is_written() {
        for (text, why) in [
            (" ", "a filter is like"),
            ("a == 1", "`=`"),
            ("a != 1", "`<>`"),
            ("a = 1 && b = 2", "`AND`"),
            ("a = \"x", "does not end"),
            ("a = \"\\x\"", "no text"),
            ("a = \"\\", "does not end"),
            ("a = 12ab", "`12ab` is not a number"),
            ("begin_with(a, 'x')", "did you mean `begins_with`?"),
            ("a[1 = 2", "no `]`"),
            ("a = $x", "`$` has no meaning"),
        ] {
            let error = shown(text).expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
