//! The calls: each write is made only if the item is still as it was read.
//!
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.ConditionExpressions.html>

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::{AttributeValue, ReturnConsumedCapacity, ReturnValue};
use ops_common::app::records::Item;
use ops_common::consent::Permit;
use ops_common::env::invocation;
use ops_common::error::Error;

use crate::Subject;
use crate::difference::Difference;

/// Puts an item whose key nothing has.
pub(crate) async fn put_new(subject: &Subject, permit: &Permit, item: &Item) -> Result<(), Error> {
    subject.table.check(permit)?;
    let sent = subject
        .table
        .db()
        .client()
        .put_item()
        .table_name(subject.table.name())
        .return_consumed_capacity(ReturnConsumedCapacity::Total)
        .set_item(Some(item.clone()))
        .condition_expression("attribute_not_exists(#pk)")
        .expression_attribute_names("#pk", &subject.typed.partition.name)
        .send()
        .await;
    match sent {
        Ok(_) => Ok(()),
        Err(error) => judge(subject, &error, Some(item)).await,
    }
}

/// Makes `before` into `after`. An attribute that somebody else adds meanwhile stays.
pub(crate) async fn change(
    subject: &Subject,
    permit: &Permit,
    before: &Item,
    after: &Item,
    difference: &Difference,
) -> Result<(), Error> {
    subject.table.check(permit)?;
    let mut condition = Unchanged::of(subject, before);
    for added in difference.set.iter().filter(|name| !before.contains_key(*name)) {
        let name = condition.name(added);
        condition.terms.push(format!("attribute_not_exists({name})"));
    }
    let mut assignments = Vec::new();
    for name in &difference.set {
        let (placeholder, value) = (condition.name(name), after[name].clone());
        assignments.push(format!("{placeholder} = {}", condition.value(value)));
    }
    let removed: Vec<String> = difference.removed.iter().map(|name| condition.name(name)).collect();
    let clause = |word: &str, parts: Vec<String>| {
        (!parts.is_empty()).then(|| format!("{word} {}", parts.join(", ")))
    };
    let clauses = [clause("SET", assignments), clause("REMOVE", removed)];
    let sent = subject
        .table
        .db()
        .client()
        .update_item()
        .table_name(subject.table.name())
        .return_consumed_capacity(ReturnConsumedCapacity::Total)
        .set_key(Some(subject.key.clone()))
        .update_expression(clauses.into_iter().flatten().collect::<Vec<_>>().join(" "))
        .condition_expression(condition.terms.join(" AND "))
        .set_expression_attribute_names(Some(condition.names))
        .set_expression_attribute_values(Some(condition.values).filter(|all| !all.is_empty()))
        .send()
        .await;
    match sent {
        Ok(_) => Ok(()),
        Err(error) => judge(subject, &error, Some(after)).await,
    }
}

/// Deletes the item, and returns what it was at that moment.
pub(crate) async fn delete(subject: &Subject, permit: &Permit, item: &Item) -> Result<Item, Error> {
    subject.table.check(permit)?;
    let condition = Unchanged::of(subject, item);
    let sent = subject
        .table
        .db()
        .client()
        .delete_item()
        .table_name(subject.table.name())
        .return_consumed_capacity(ReturnConsumedCapacity::Total)
        .set_key(Some(subject.key.clone()))
        .condition_expression(condition.terms.join(" AND "))
        .set_expression_attribute_names(Some(condition.names))
        .set_expression_attribute_values(Some(condition.values).filter(|all| !all.is_empty()))
        .return_values(ReturnValue::AllOld)
        .send()
        .await;
    match sent {
        Ok(output) => Ok(output.attributes.unwrap_or_else(|| item.clone())),
        Err(error) => judge(subject, &error, None).await.map(|()| item.clone()),
    }
}

/// The condition that an item is what it was, with its placeholders.
struct Unchanged {
    terms: Vec<String>,
    names: std::collections::HashMap<String, String>,
    values: Item,
}

impl Unchanged {
    fn of(subject: &Subject, item: &Item) -> Self {
        let mut condition =
            Self { terms: Vec::new(), names: Default::default(), values: Item::new() };
        let partition = condition.name(&subject.typed.partition.name);
        condition.terms.push(format!("attribute_exists({partition})"));
        for (name, value) in item.iter().filter(|(name, _)| !subject.key.contains_key(*name)) {
            let term = format!("{} = {}", condition.name(name), condition.value(value.clone()));
            condition.terms.push(term);
        }
        condition
    }

    fn name(&mut self, name: &str) -> String {
        let known = self.names.iter().find(|(_, known)| *known == name);
        if let Some((placeholder, _)) = known {
            return placeholder.clone();
        }
        let placeholder = format!("#n{}", self.names.len());
        self.names.insert(placeholder.clone(), name.to_owned());
        placeholder
    }

    fn value(&mut self, value: AttributeValue) -> String {
        let placeholder = format!(":v{}", self.values.len());
        self.values.insert(placeholder.clone(), value);
        placeholder
    }
}

/// The error of a write. None where its condition failed because an earlier attempt of
/// this very write had come through: its answer was lost, and the SDK sent it again.
async fn judge<E>(
    subject: &Subject,
    error: &SdkError<E>,
    wanted: Option<&Item>,
) -> Result<(), Error>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code);
    if code != Some("ConditionalCheckFailedException") {
        return Err(subject.table.error("change an item of", error).await);
    }
    let (now, _) = subject.table.item(subject.key.clone()).await?;
    let is_done = match (&now, wanted) {
        (None, None) => true,
        (Some(now), Some(wanted)) => Difference::between(now, wanted, &subject.key)?.is_empty(),
        _ => false,
    };
    if is_done {
        return Ok(());
    }
    let what = if now.is_some() { "changed" } else { "deleted" };
    Err(Error::new(format!("somebody else {what} the item meanwhile; nothing is written"))
        .cause(subject.name())
        .hint(format!("run it again: `{}` shows what is there now", invocation("ddb-item get"))))
}
