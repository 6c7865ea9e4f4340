//! Which sort keys of the partition are asked for.

use clap::Args;
use ops_common::app::records::Item;
use ops_common::dynamodb::typed_key::KeyAttribute;
use ops_common::error::Error;
use ops_common::text::printable;

use aws_sdk_dynamodb::types::ScalarAttributeType;

/// `--sk…`: DynamoDB takes one condition of the sort key.
#[derive(Debug, Args)]
pub(crate) struct SortArgs {
    /// Only items whose sort key begins with this
    #[arg(long, value_name = "PREFIX", allow_hyphen_values = true, conflicts_with_all = ["sk_between", "sk"])]
    sk_begins: Option<String>,

    /// Only items whose sort key is from A to B, both included
    #[arg(long, value_names = ["A", "B"], num_args = 2, allow_hyphen_values = true, conflicts_with = "sk")]
    sk_between: Option<Vec<String>>,

    /// Only items whose sort key compares like this: `= X`, `< X`, `<= X`, `> X`
    /// or `>= X` (no operator: `=`). A text stands without quotes, and sorts by its bytes
    #[arg(long, value_name = "'OP X'", allow_hyphen_values = true)]
    sk: Option<String>,
}

/// The part of a key condition that is about the sort key; `#ops_sk` is its name.
pub(crate) struct SortCondition {
    pub(crate) name: String,
    pub(crate) expression: String,
    pub(crate) values: Item,
}

const OPERATORS: [&str; 5] = ["<=", ">=", "<", ">", "="];

impl SortArgs {
    pub(crate) fn is_given(&self) -> bool {
        self.sk_begins.is_some() || self.sk_between.is_some() || self.sk.is_some()
    }

    /// What is asked, with values of the key's type.
    ///
    /// # Errors
    /// Where there is no sort key, or a value is not of its type.
    pub(crate) fn condition(
        &self,
        sort: Option<&KeyAttribute>,
    ) -> Result<Option<SortCondition>, Error> {
        let (expression, values) = if let Some(prefix) = &self.sk_begins {
            ("begins_with(#ops_sk, :ops_sk0)".to_owned(), vec![prefix.as_str()])
        } else if let Some(bounds) = &self.sk_between {
            (
                "#ops_sk BETWEEN :ops_sk0 AND :ops_sk1".to_owned(),
                bounds.iter().map(String::as_str).collect(),
            )
        } else if let Some(comparison) = &self.sk {
            let comparison = comparison.trim_start();
            let operator = OPERATORS.into_iter().find(|operator| comparison.starts_with(operator));
            let value = &comparison[operator.map_or(0, str::len)..];
            let value = value.trim_start();
            refuse_another_language(comparison, value)?;
            (format!("#ops_sk {} :ops_sk0", operator.unwrap_or("=")), vec![value])
        } else {
            return Ok(None);
        };
        let Some(sort) = sort else {
            return Err(Error::usage("there is no sort key to compare: a partition is one item")
                .hint("leave --sk, --sk-begins and --sk-between out"));
        };
        if self.sk_begins.is_some() && sort.scalar_type == ScalarAttributeType::N {
            return Err(Error::usage(format!(
                "the sort key `{}` is a number, which does not begin with anything",
                sort.name
            ))
            .hint("compare it: --sk '>= 100', or --sk-between 100 199"));
        }
        let values = values.into_iter().enumerate();
        let values =
            values.map(|(index, value)| Ok((format!(":ops_sk{index}"), sort.parse(value)?)));
        Ok(Some(SortCondition {
            name: sort.name.clone(),
            expression,
            values: values.collect::<Result<_, Error>>()?,
        }))
    }
}

/// Conditions as other tools write them would be taken for a key.
fn refuse_another_language(comparison: &str, value: &str) -> Result<(), Error> {
    let word = comparison.split([' ', '(']).next().unwrap_or_default().to_lowercase();
    let hint = match word.as_str() {
        "begins_with" | "begins" => "`--sk-begins PREFIX`",
        "between" => "`--sk-between A B`",
        _ if value.starts_with(['=', '<', '>', '!', '~']) => {
            "an operator is one of `=`, `<`, `<=`, `>` and `>=`"
        }
        _ if value.starts_with('"') && value.ends_with('"') => "a key stands without quotes",
        _ => return Ok(()),
    };
    Err(Error::usage(format!("`{}` is no comparison of a sort key", printable(comparison)))
        .hint(hint))
}
