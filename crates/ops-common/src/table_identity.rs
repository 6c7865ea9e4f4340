//! Which table a checkpoint is of.

use aws_sdk_dynamodb::types::TableDescription;
use serde::{Deserialize, Serialize};

use crate::dynamodb::Dynamo;

/// Which table, beyond its name: one that was dropped and created again, or is in
/// another account, is another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableIdentity {
    place: String,
    arn: String,
    id: String,
}

impl TableIdentity {
    /// Of a live table.
    #[must_use]
    pub fn of(db: &Dynamo, table: &TableDescription) -> Self {
        let created = table.creation_date_time().map(ToString::to_string);
        Self {
            place: db.place(),
            arn: table.table_arn().unwrap_or_default().to_owned(),
            id: table.table_id().map(str::to_owned).or(created).unwrap_or_default(),
        }
    }

    /// What is different there, in words.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Option<String> {
        if self.place != other.place || self.arn != other.arn {
            Some(format!("the table {} ({})", format_args!("`{}`", self.arn), self.place))
        } else if self.id != other.id {
            Some("a table that was dropped since: the one of that name is new".to_owned())
        } else {
            None
        }
    }
}
