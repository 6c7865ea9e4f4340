//! Whether a `200 OK` is the answer that was asked for. Something else that listens
//! on a port, a proxy that lost the body, a server that knows half of the API: the
//! SDK reads each of these as an answer in which everything optional is left out,
//! which would count as "nothing unprocessed" or "no items".
//!
//! What each operation answers:
//! <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Operations.html>,
//! <https://docs.aws.amazon.com/cognito-user-identity-pools/latest/APIReference/API_ListUsers.html>.
//! A page of a scan is looked at in [`crate::dynamodb::scan`], where it is read.

use std::error::Error as StdError;
use std::iter;

use crate::aws::operation;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::{
    AfterDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextRef,
};
use aws_smithy_types::config_bag::{Storable, StoreReplace};
use serde_json::Value;

/// An answer of 200 OK without what the request makes it contain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("its answer to {operation} {fault}")]
pub struct IncompleteAnswer {
    operation: String,
    fault: String,
}

impl IncompleteAnswer {
    pub(crate) fn new(operation: &str, fault: impl Into<String>) -> Self {
        Self { operation: operation.to_owned(), fault: fault.into() }
    }
}

/// Whether a call failed since its answer was incomplete.
#[must_use]
pub fn is_incomplete(error: &(dyn StdError + 'static)) -> bool {
    iter::successors(Some(error), |&error| error.source())
        .any(|error| error.is::<IncompleteAnswer>())
}

/// Fails calls whose answer is incomplete. For every client of a JSON service.
#[derive(Debug)]
pub struct CheckAnswers;

impl Intercept for CheckAnswers {
    fn name(&self) -> &'static str {
        "check answers"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request();
        let operation = operation(request).to_owned();
        // Only where the answer repeats it: a batch is large.
        let body = request.body().bytes().filter(|_| operation.ends_with("Table"));
        let body: Value = serde_json::from_slice(body.unwrap_or_default()).unwrap_or_default();
        let table = body["TableName"].as_str().map(str::to_owned);
        cfg.interceptor_state().store_put(Asked { operation, table });
        Ok(())
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response = context.response();
        let Some(asked) = cfg.load::<Asked>() else { return Ok(()) };
        if !response.status().is_success() || context.output_or_error().is_err() {
            return Ok(());
        }
        check(asked, response.body().bytes().unwrap_or_default())
            .map_err(|fault| IncompleteAnswer::new(&asked.operation, fault).into())
    }
}

/// What a request asked for, as far as its answer repeats it.
#[derive(Debug, Default)]
struct Asked {
    operation: String,
    table: Option<String>,
}

impl Storable for Asked {
    type Storer = StoreReplace<Self>;
}

fn check(asked: &Asked, answer: &[u8]) -> Result<(), String> {
    let answer = || {
        serde_json::from_slice::<Value>(answer).map_err(|_| match answer {
            [] => "is empty".to_owned(),
            _ => "is not JSON".to_owned(),
        })
    };
    let has = |answer: &Value, member: &str, is: fn(&Value) -> bool| match is(&answer[member]) {
        true => Ok(()),
        false => Err(format!("lacks `{member}`")),
    };
    match asked.operation.as_str() {
        "ListTables" => has(&answer()?, "TableNames", Value::is_array),
        "ListUsers" => has(&answer()?, "Users", Value::is_array),
        "DescribeTable" => table(&answer()?["Table"], asked),
        "CreateTable" | "UpdateTable" | "DeleteTable" => {
            table(&answer()?["TableDescription"], asked)
        }
        "BatchWriteItem" => {
            let answer = answer()?;
            has(&answer, "UnprocessedItems", Value::is_object)?;
            // What took nothing need not say what that cost.
            match answer["UnprocessedItems"].as_object() {
                Some(unprocessed) if !unprocessed.is_empty() => Ok(()),
                _ => capacities(&answer["ConsumedCapacity"]),
            }
        }
        "TransactWriteItems" => capacities(&answer()?["ConsumedCapacity"]),
        "GetItem" | "PutItem" | "UpdateItem" | "DeleteItem" => {
            capacity(&answer()?["ConsumedCapacity"])
        }
        "BatchExecuteStatement" => has(&answer()?, "Responses", Value::is_array),
        "Query" => {
            let answer = answer()?;
            has(&answer, "Items", Value::is_array)?;
            has(&answer, "Count", Value::is_u64)?;
            let items = answer["Items"].as_array().map_or(0, Vec::len);
            if answer["Count"].as_u64() != Some(items as u64) {
                return Err(format!("counts {} items and has {items}", answer["Count"]));
            }
            capacity(&answer["ConsumedCapacity"])
        }
        "DescribeTimeToLive" => {
            has(&answer()?["TimeToLiveDescription"], "TimeToLiveStatus", Value::is_string)
        }
        "UpdateTimeToLive" => has(&answer()?, "TimeToLiveSpecification", Value::is_object),
        "DescribeContinuousBackups" => has(
            &answer()?["ContinuousBackupsDescription"],
            "ContinuousBackupsStatus",
            Value::is_string,
        ),
        _ => Ok(()),
    }
}

/// A table's description: of the table that was asked for, with its status.
fn table(description: &Value, asked: &Asked) -> Result<(), String> {
    let (Some(name), Some(_)) =
        (description["TableName"].as_str(), description["TableStatus"].as_str())
    else {
        return Err("lacks the table's name or status".to_owned());
    };
    match &asked.table {
        // An ARN can be asked for too; it ends with the name.
        Some(wanted) if wanted.rsplit('/').next() != Some(name) => {
            Err(format!("is of the table `{name}`"))
        }
        _ => Ok(()),
    }
}

/// What each table of a request consumed, which every write asks for.
fn capacities(consumed: &Value) -> Result<(), String> {
    match consumed.as_array().map(Vec::as_slice) {
        None | Some([]) => Err("lacks `ConsumedCapacity`".to_owned()),
        Some(tables) => tables.iter().try_for_each(capacity),
    }
}

fn capacity(consumed: &Value) -> Result<(), String> {
    match consumed["CapacityUnits"].as_f64() {
        Some(_) => Ok(()),
        None => Err("lacks `ConsumedCapacity`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(operation: &str, table: &str) -> Asked {
        Asked { operation: operation.to_owned(), table: Some(table.to_owned()) }
    }

    #[test]
    fn whole_answers() {
        for (operation, table, answer) in [
            ("ListTables", "", r#"{"TableNames":[]}"#),
            ("ListUsers", "", r#"{"Users":[]}"#),
            ("DescribeTable", "t", r#"{"Table":{"TableName":"t","TableStatus":"ACTIVE"}}"#),
            (
                "DeleteTable",
                "arn:aws:dynamodb:eu-west-1:1:table/t",
                r#"{"TableDescription":{"TableName":"t","TableStatus":"DELETING"}}"#,
            ),
            (
                "BatchWriteItem",
                "",
                r#"{"UnprocessedItems":{},"ConsumedCapacity":[{"TableName":"t","CapacityUnits":0}]}"#,
            ),
            ("TransactWriteItems", "", r#"{"ConsumedCapacity":[{"CapacityUnits":6.0}]}"#),
            ("GetItem", "t", r#"{"ConsumedCapacity":{"CapacityUnits":0.5}}"#),
            ("BatchExecuteStatement", "", r#"{"Responses":[]}"#),
            (
                "Query",
                "",
                r#"{"Items":[{}],"Count":1,"ScannedCount":1,"ConsumedCapacity":{"CapacityUnits":0.5}}"#,
            ),
        ] {
            let asked = asked(operation, table);
            assert_eq!(check(&asked, answer.as_bytes()), Ok(()), "{operation}");
            for other in ["", "{}", "[]", "null", r#"{"hello":1}"#, "<html>"] {
                assert!(check(&asked, other.as_bytes()).is_err(), "{operation} {other}");
            }
        }
        assert_eq!(check(&asked("ListExports", "t"), b"{}"), Ok(()));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (operation, answer, fault) in [
            (
                "DescribeTable",
                r#"{"Table":{"TableName":"x","TableStatus":"ACTIVE"}}"#,
                "is of the table `x`",
            ),
            ("Query", r#"{"Items":[],"Count":2}"#, "counts 2 items and has 0"),
            ("BatchWriteItem", r#"{"UnprocessedItems":{}}"#, "lacks `ConsumedCapacity`"),
            ("BatchWriteItem", "", "is empty"),
        ] {
            let checked = check(&asked(operation, "t"), answer.as_bytes());
            assert_eq!(checked, Err(fault.to_owned()));
        }
    }
}
