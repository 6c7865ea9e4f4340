//! One table of one DynamoDB: what a tool connects to, announces, and asks.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::{ReturnConsumedCapacity, TableDescription};
use serde::{Deserialize, Serialize};

use crate::app::records::Item;
use crate::args::{DEFAULT_TABLE, DynamoArgs};
use crate::aws::page_tokens::PageTokens;
use crate::consent::{Caller, Kind, Permit};
use crate::dynamodb::Dynamo;
use crate::dynamodb::batch::Batches;
use crate::dynamodb::capacity::Bucket;
use crate::dynamodb::key::KeyNames;
use crate::dynamodb::scan::Scan;
use crate::dynamodb::statements::Statements;
use crate::env::invocation;
use crate::error::Error;
use crate::target::Target;
use crate::text::{bytes, count, meant, nearest, quoted};
use crate::ui::Ui;

/// A table by its name, whether it exists or not. It is shown as its name.
#[derive(Debug, Clone)]
pub struct Table {
    db: Dynamo,
    name: String,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Table {
    /// Connects to the DynamoDB of `target`, and says where and to which table.
    ///
    /// # Errors
    /// See [`Dynamo::connect`].
    pub async fn connect(
        target: Target,
        args: &DynamoArgs,
        name: impl Into<String>,
        ui: &Ui,
    ) -> Result<Self, Error> {
        let table = Self { db: Dynamo::connect(target, args, ui).await?, name: name.into() };
        ui.announce(target, format_args!("{}  table {table}", table.db.place()));
        Ok(table)
    }

    /// One of the tables of a DynamoDB that has been announced.
    #[must_use]
    pub fn of(db: &Dynamo, name: impl Into<String>) -> Self {
        Self { db: db.clone(), name: name.into() }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The option that follows a tool's name for this table.
    #[must_use]
    pub fn as_option(&self) -> String {
        if self.name == DEFAULT_TABLE { String::new() } else { format!(" --table {self}") }
    }

    /// Where it is.
    #[must_use]
    pub fn db(&self) -> &Dynamo {
        &self.db
    }

    /// The target that it is in.
    #[must_use]
    pub fn target(&self) -> Target {
        self.db.target()
    }

    /// Refuses a permit for anything else than this table.
    ///
    /// # Errors
    /// See [`Permit::covers`].
    pub fn check(&self, permit: &Permit) -> Result<(), Error> {
        permit.covers(self.target(), Kind::Table, &self.name)
    }

    /// Whose credentials would change it. To be asked before a write.
    ///
    /// # Errors
    /// See [`crate::aws::account::identify`].
    pub async fn caller(&self, ui: &Ui) -> Result<Caller, Error> {
        self.db.caller(ui).await
    }

    /// A scan of all of it.
    #[must_use]
    pub fn scan(&self) -> Scan {
        Scan::new(self)
    }

    /// The item of this key as it is at this moment, and what that cost in read units.
    ///
    /// # Errors
    /// Where there is no such table, or DynamoDB cannot be asked.
    pub async fn item(&self, key: Item) -> Result<(Option<Item>, f64), Error> {
        let request = self.db.client().get_item().table_name(&self.name).set_key(Some(key));
        let request = request.return_consumed_capacity(ReturnConsumedCapacity::Total);
        match request.consistent_read(true).send().await {
            Ok(output) => {
                let units = output.consumed_capacity().and_then(|units| units.capacity_units());
                Ok((output.item, units.unwrap_or_default()))
            }
            Err(error) => Err(self.error("read an item of", &error).await),
        }
    }

    /// Writes to it in batches, with leave to do so.
    ///
    /// # Errors
    /// Where the permit is for something else.
    pub fn batch_writer(&self, permit: &Permit, keys: KeyNames) -> Result<Batches, Error> {
        self.check(permit)?;
        Ok(Batches::new(self, keys))
    }

    /// Writes to it by statements, with leave to do so.
    ///
    /// # Errors
    /// Where the permit is for something else.
    pub fn statements(
        &self,
        permit: &Permit,
        limit: Option<Bucket>,
        give_up_after: Duration,
    ) -> Result<Statements, Error> {
        self.check(permit)?;
        Ok(Statements::new(self, limit, give_up_after))
    }

    /// The live table, or `None` where it does not exist.
    ///
    /// # Errors
    /// Where DynamoDB cannot be asked.
    pub async fn describe(&self) -> Result<Option<TableDescription>, Error> {
        match self.db.client().describe_table().table_name(&self.name).send().await {
            Ok(output) => Ok(output.table),
            Err(error) => match error.as_service_error() {
                Some(service) if service.is_resource_not_found_exception() => Ok(None),
                _ => Err(self.db.error(&format!("describe the table `{self}`"), &error)),
            },
        }
    }

    /// The live table.
    ///
    /// # Errors
    /// Where it does not exist, or DynamoDB cannot be asked.
    pub async fn existing(&self) -> Result<TableDescription, Error> {
        match self.describe().await? {
            Some(live) => Ok(live),
            None => Err(self.not_found().await),
        }
    }

    /// Says in `prod` how large the table is that is about to be changed, and returns
    /// it, for [`Table::refuse_another`].
    ///
    /// # Errors
    /// Where it does not exist, or DynamoDB cannot be asked.
    pub async fn announce_size(&self, ui: &Ui) -> Result<Option<TableDescription>, Error> {
        if self.target() == Target::Local {
            return Ok(None);
        }
        let live = self.existing().await?;
        ui.announce(Target::Prod, format_args!("table {self}: {}", size(&live)));
        Ok(Some(live))
    }

    /// Looks again at the table that a question was about, since the question may have
    /// waited for long.
    ///
    /// # Errors
    /// Where another table has its name now, or none has, or DynamoDB cannot be asked.
    pub async fn refuse_another(&self, seen: &TableDescription) -> Result<TableDescription, Error> {
        let now = self.describe().await?;
        let difference = match &now {
            None => Some("it no longer exists".to_owned()),
            Some(now) => self.identity(seen).difference(&self.identity(now)),
        };
        match (difference, now) {
            (None, Some(now)) => Ok(now),
            (difference, _) => Err(self.changed_meanwhile().cause(difference.unwrap_or_default())),
        }
    }

    /// The error for a table that is not what a question said.
    #[must_use]
    pub fn changed_meanwhile(&self) -> Error {
        Error::new(format!("the table `{self}` changed while the question waited; nothing is done"))
            .hint("run it again: it asks with what is there then")
    }

    /// Which table it is, by its description.
    #[must_use]
    pub fn identity(&self, table: &TableDescription) -> TableIdentity {
        let created = table.creation_date_time().map(ToString::to_string);
        TableIdentity {
            place: self.db.place(),
            arn: table.table_arn().unwrap_or_default().to_owned(),
            id: table.table_id().map(str::to_owned).or(created).unwrap_or_default(),
        }
    }

    /// The error that it does not exist: which one may be meant, and how to get it.
    pub async fn not_found(&self) -> Error {
        let target = self.target().as_argument();
        let named = self.as_option();
        let mut error = Error::new(format!("there is no table `{self}` ({})", self.db.place()));
        // Where the names cannot be had the error is told without.
        let names = list(&self.db).await.unwrap_or_default();
        if let Some(meant) = meant(&self.name, names.iter().map(String::as_str)) {
            error = error.hint(format!("did you mean `{meant}`?"));
        }
        if self.target() == Target::Prod {
            error = error.hint("a table is of one account and one region: look at both");
        }
        error.hint(format!(
            "create it with `{}`",
            invocation(&format!("ddb-schema-load{target}{named}"))
        ))
    }

    /// The error of a call that was to do `doing`; [`Table::not_found`] where that is
    /// what DynamoDB says.
    pub async fn error<E>(&self, doing: &str, error: &SdkError<E>) -> Error
    where
        E: ProvideErrorMetadata + StdError + 'static,
    {
        match error.as_service_error().and_then(ProvideErrorMetadata::code) {
            Some("ResourceNotFoundException") => self.not_found().await,
            _ => self.db.error(&format!("{doing} the table `{self}`"), error),
        }
    }
}

/// How large a table is, as DynamoDB counted it last, which can be hours ago.
#[must_use]
pub fn size(table: &TableDescription) -> String {
    let items = usize::try_from(table.item_count().unwrap_or_default()).unwrap_or_default();
    format!(
        "{}, {} by DynamoDB's last count",
        count(items, "item"),
        bytes(table.table_size_bytes().unwrap_or_default()),
    )
}

/// The names of all tables, from every page.
///
/// # Errors
/// Where DynamoDB cannot be asked.
pub async fn list(db: &Dynamo) -> Result<Vec<String>, Error> {
    let doing = "list the tables";
    let mut names = Vec::new();
    let mut tokens = PageTokens::default();
    let mut after = None;
    loop {
        let page = db.client().list_tables().set_exclusive_start_table_name(after).send().await;
        let page = page.map_err(|error| db.error(doing, &error))?;
        names.extend(page.table_names.unwrap_or_default());
        let Some(last) = page.last_evaluated_table_name else { return Ok(names) };
        tokens.next(&last).map_err(|error| db.unlikely(doing, &error))?;
        after = Some(last);
    }
}

/// Adds the names nearest to `table` to the error that it does not exist.
#[must_use]
pub fn with_nearest(error: Error, table: &str, names: &[String]) -> Error {
    let error = match meant(table, names.iter().map(String::as_str)) {
        Some(meant) => error.hint(format!("did you mean `{meant}`?")),
        None => error,
    };
    match nearest(table, names.iter().map(String::as_str), 5).as_slice() {
        [] => error.hint("there are no tables at all"),
        near => error.hint(format!("tables: {}", quoted(near))),
    }
}

/// Which table, beyond its name: one that was dropped and created again, or is in
/// another account, is another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableIdentity {
    place: String,
    arn: String,
    id: String,
}

impl TableIdentity {
    /// What is different there, in words.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Option<String> {
        if self.place != other.place || self.arn != other.arn {
            Some(format!("the table `{}` ({})", self.arn, self.place))
        } else if self.id != other.id {
            Some("a table that was dropped since: the one of that name is new".to_owned())
        } else {
            None
        }
    }
}
