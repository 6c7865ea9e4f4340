//! The arguments that tools share: flattened into them, never declared again.

use std::str::FromStr;

use clap::builder::{NonEmptyStringValueParser, RangedU64ValueParser};
use clap::{Args, ValueEnum};
use clap_complete::Shell;

use crate::env;
use crate::error::Error;
use crate::target::Target;
use crate::text::printable;
use crate::ui::ColorChoice;

/// The table that the tools act on where nothing names another.
pub const DEFAULT_TABLE: &str = "cruddur-messages";

/// `[TARGET]`
#[derive(Debug, Clone, Args)]
pub struct TargetArg {
    /// Where to act: local (services on this machine) or prod (the real account
    /// and the production database)
    #[arg(value_enum, default_value_t = Target::Local, hide_possible_values = true)]
    pub target: Target,
}

/// The target and the other words of a tool that names a thing besides it: TARGET
/// stands before or behind them. `given`: what was given, in its order; `most`: as many
/// others as the tool takes.
///
/// # Errors
/// Where there are more, which none of them can be the target of; exit code 2.
pub fn take_target<'a>(
    given: &[&'a Option<String>],
    most: usize,
) -> Result<(Target, Vec<&'a str>), Error> {
    let mut words: Vec<&str> = given.iter().filter_map(|word| word.as_deref()).collect();
    let target = |word: &&str| Target::from_str(word, false).ok();
    let found = match (words.first().and_then(target), words.last().and_then(target)) {
        (Some(first), _) => {
            words.remove(0);
            Some(first)
        }
        (None, last) => {
            words.truncate(words.len() - usize::from(last.is_some()));
            last
        }
    };
    match words.as_slice() {
        words if words.len() <= most => {}
        [first, ..] if found.is_none() => {
            let near = [first, &words[words.len() - 1]].into_iter();
            let meant = near.clone().find_map(|word| Some((word, Target::meant_by(word)?)));
            let (word, hint) = match meant {
                Some((word, meant)) => (word, format!("did you mean `{meant}`?")),
                None => (first, "what has spaces in it stands in quotes".to_owned()),
            };
            let word = printable(word);
            return Err(
                Error::usage(format!("`{word}` is not a target: `local` or `prod`")).hint(hint)
            );
        }
        _ => {
            return Err(Error::usage("there is one word too many")
                .hint("what has spaces in it stands in quotes"));
        }
    }
    Ok((found.unwrap_or(Target::Local), words))
}

/// How a tool speaks.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Output")]
pub struct UiArgs {
    /// When to use colour: auto, always or never
    #[arg(
        long,
        value_enum,
        default_value_t = ColorChoice::Auto,
        value_name = "WHEN",
        hide_possible_values = true
    )]
    pub color: ColorChoice,

    /// Show each request and each SQL statement on stderr
    #[arg(short, long)]
    pub verbose: bool,

    /// Say on stderr only warnings, questions, errors, and where `prod` acts
    #[arg(short, long, conflicts_with = "verbose")]
    pub quiet: bool,

    /// Print what completes the tool's words in this shell: bash, elvish, fish,
    /// powershell or zsh
    #[arg(long, value_enum, value_name = "SHELL", exclusive = true, hide_possible_values = true)]
    pub completions: Option<Shell>,

    /// Print the manual page, for `man -l -`
    #[arg(long, exclusive = true)]
    pub man: bool,
}

/// The form of the result on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// for people
    Table,
    /// for scripts: one JSON document
    Json,
}

/// `--output`
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// Form of the result on stdout: table or json
    #[arg(long, value_enum, default_value_t = Format::Table, value_name = "FORMAT", hide_possible_values = true)]
    pub output: Format,
}

impl OutputArgs {
    /// Whether the result is for scripts.
    #[must_use]
    pub fn json(&self) -> bool {
        self.output == Format::Json
    }
}

/// Which DynamoDB.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "DynamoDB")]
pub struct DynamoArgs {
    /// Endpoint [env: AWS_ENDPOINT_URL_DYNAMODB, in `local` also AWS_ENDPOINT_URL; local default: http://localhost:8000]
    #[arg(long, value_name = "URL", value_parser = NonEmptyStringValueParser::new())]
    pub endpoint_url: Option<String>,

    /// AWS region [env: AWS_REGION, AWS_DEFAULT_REGION; local default: us-east-1]
    #[arg(long, value_name = "REGION", value_parser = NonEmptyStringValueParser::new())]
    pub region: Option<String>,

    /// AWS profile, with `prod` only
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub profile: Option<String>,
}

/// Which table.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "DynamoDB")]
pub struct TableArg {
    /// Table [env: DDB_MESSAGE_TABLE; default: cruddur-messages]
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub table: Option<String>,
}

impl TableArg {
    /// The flag, else the environment, else [`DEFAULT_TABLE`].
    #[must_use]
    pub fn name(&self) -> String {
        self.table
            .clone()
            .or_else(|| env::var(env::DDB_MESSAGE_TABLE))
            .unwrap_or_else(|| DEFAULT_TABLE.to_owned())
    }
}

/// Parses a number of seconds, at most a day: a sum with the clock cannot
/// overflow.
#[must_use]
pub fn seconds() -> RangedU64ValueParser {
    RangedU64ValueParser::new().range(..=86_400)
}

/// Parses a number of capacity units a second, more than none.
///
/// # Errors
/// Where it is something else.
pub fn units_a_second(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(units) if units.is_finite() && units >= 0.1 => Ok(units),
        _ => Err("a number of at least 0.1".to_owned()),
    }
}

/// Consent that is given on the command line.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Consent")]
pub struct ConfirmArgs {
    /// Answer yes to y/N questions (never enough to destroy anything)
    #[arg(short, long)]
    pub yes: bool,

    /// Consent to destroy NAME, which has to be the exact name of the thing
    #[arg(long, value_name = "NAME")]
    pub confirm: Option<String>,
}

/// A share of the work, for one of several machines.
#[derive(Debug, Clone, Copy)]
pub struct Share {
    /// from 1
    pub number: i32,
    /// how many there are, 1,000 at most
    pub of: i32,
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text
            .split_once('/')
            .and_then(|(number, of)| Some((number.parse().ok()?, of.parse().ok()?)));
        match parsed {
            Some((number, of)) if (1..=of).contains(&number) && of <= 1000 => {
                Ok(Self { number, of })
            }
            _ => Err("the first of four shares is `1/4`, the last `4/4`; there are at most 1000"
                .to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_stands_before_or_behind_the_other_words() {
        use Target::{Local, Prod};
        for (words, expected) in [
            (vec![], (Local, vec![])),
            (vec!["x"], (Local, vec!["x"])),
            (vec!["prod"], (Prod, vec![])),
            (vec!["prod", "x"], (Prod, vec!["x"])),
            (vec!["x", "prod"], (Prod, vec!["x"])),
            (vec!["local", "prod"], (Local, vec!["prod"])),
        ] {
            let given: Vec<_> = words.iter().map(|word| Some((*word).to_owned())).collect();
            assert_eq!(
                take_target(&given.iter().collect::<Vec<_>>(), 1).ok(),
                Some(expected),
                "{words:?}"
            );
        }
        for (words, why) in [
            (vec!["prd", "x"], "`prd` is not a target: `local` or `prod`"),
            (vec!["x", "PROD"], "`PROD` is not a target: `local` or `prod`"),
            (vec!["prod", "x", "y"], "there is one word too many"),
        ] {
            let given: Vec<_> = words.iter().map(|word| Some((*word).to_owned())).collect();
            let error = take_target(&given.iter().collect::<Vec<_>>(), 1).expect_err("too many");
            assert_eq!(error.message(), why, "{words:?}");
        }
    }
}
