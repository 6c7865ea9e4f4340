//! What a restore would do to the database, before it does it.

use std::path::Path;

use db_backup::archive::{Contents, TableName};
use db_backup::in_words;
use ops_common::consent::Effect;
use ops_common::env::{invocation, timeout};
use ops_common::error::Error;
use ops_common::postgres::stamp::{self, Seen, literal};
use ops_common::postgres::{ConnectionUrl, Db};
use ops_common::target::Target;
use ops_common::text::{count, quoted};

/// What is there, and what becomes of it.
pub(crate) struct Plan<'a> {
    contents: &'a Contents,
    target: Target,
    seen: Seen,
    /// the tables, views and so on that are there
    there: Vec<String>,
    /// tables of both
    pub(crate) replaced: Vec<String>,
    /// tables that only the database has
    pub(crate) kept: Vec<String>,
}

/// The name of each table, view and so on; its parts, and whether it is an ordinary table.
fn list_tables() -> String {
    format!(
        "SELECT format('%I.%I', n.nspname, c.relname), n.nspname::text, c.relname::text, c.relkind = 'r' FROM {} ORDER BY 1",
        stamp::TABLES
    )
}

impl<'a> Plan<'a> {
    /// Looks at the database.
    ///
    /// # Errors
    /// Where Postgres cannot be asked.
    pub(crate) async fn of(
        db: &Db,
        url: &ConnectionUrl,
        contents: &'a Contents,
    ) -> Result<Self, Error> {
        let seen = Seen::of(db.client(), url).await?;
        let rows = db.query("list the tables", &list_tables(), &[]).await?;
        let (mut there, mut replaced, mut kept) = (Vec::new(), Vec::new(), Vec::new());
        for row in rows {
            let name: String = row.get(0);
            there.push(name.clone());
            // pg_dump announces each on one line.
            let on_one_line = |name: String| name.replace(['\n', '\r'], " ");
            let table =
                TableName { schema: on_one_line(row.get(1)), name: on_one_line(row.get(2)) };
            if contents.tables.iter().any(|other| other.table == table) {
                replaced.push(name);
            } else if row.get(3) {
                kept.push(name);
            }
        }
        Ok(Self { contents, target: url.target(), seen, there, replaced, kept })
    }

    /// Nothing that is there is touched where there is nothing. What may be anybody's takes
    /// the name in production.
    pub(crate) fn effect(&self) -> Effect {
        let is_anybodys = self.target == Target::Prod && self.environment().is_none();
        if self.there.is_empty() && !is_anybodys { Effect::Adds } else { Effect::Destroys }
    }

    /// Of which environment the backup is.
    pub(crate) fn environment(&self) -> Option<&str> {
        self.contents.stamp.as_ref().map(|stamp| stamp.environment.as_str())
    }

    /// Whether the roles of the backup are another environment's.
    fn is_from_elsewhere(&self) -> bool {
        self.environment().is_some_and(|environment| environment != self.target.to_string())
    }

    /// Refuses what is no whole backup: one whose stamp is not in it as rows, and rows
    /// without their table, which would come twice into one that is there.
    ///
    /// # Errors
    /// As said.
    pub(crate) fn refuse_a_part(&self, file: &Path) -> Result<(), Error> {
        if self.contents.has_stamp && self.contents.stamp.is_none() {
            return Err(Error::new(format!(
                "cannot tell which environment `{}` is of: its stamp has no row that can be read",
                file.display()
            ))
            .hint("`db-backup` makes one, and `pg_dump --format=custom` without --inserts or --schema-only"));
        }
        // An extension's tables are made by the extension.
        let Some(table) = self.contents.only_rows.first() else { return Ok(()) };
        if !self.contents.tables.is_empty() {
            return Ok(());
        }
        Err(Error::new(format!(
            "`{}` has rows of `{table}` and not the table: it is no whole backup",
            file.display()
        ))
        .hint("`db-backup` makes one, and `pg_dump --format=custom` without --data-only"))
    }

    /// Refuses to make production what a developer's database was.
    ///
    /// # Errors
    /// As said.
    pub(crate) fn refuse_local_backup(
        &self,
        url: &ConnectionUrl,
        file: &Path,
    ) -> Result<(), Error> {
        if self.target == Target::Local || !self.is_from_elsewhere() {
            return Ok(());
        }
        Err(Error::new(format!(
            "`{}` is a backup of a database stamped `{}`, and the target is `prod`; nothing is done to `{}`",
            file.display(),
            self.environment().unwrap_or_default(),
            url.database()
        ))
        .hint(format!("look which file you mean; `{}` makes those of production", invocation("db-backup prod"))))
    }

    /// What happens, for whoever is asked.
    pub(crate) fn in_words(&self, url: &ConnectionUrl, file: &Path) -> String {
        let mut what = format!(
            "This restores the database `{}` at `{}` from `{}`",
            url.database(),
            url.server(),
            file.display()
        );
        if let Some(environment) = self.environment() {
            what.push_str(&format!(", a backup of `{environment}`"));
        }
        if let Some(at) = &self.contents.created_at {
            what.push_str(&format!(" made at {at}"));
        }
        what.push_str(&format!(": {}.", in_words(self.contents)));
        if self.environment().is_none() {
            what.push_str("\nThe backup does not say which environment it is of.");
        }
        match self.replaced.as_slice() {
            [] if self.there.is_empty() => what.push_str("\nThe database has no tables."),
            [] => {}
            replaced => {
                let backup = format!("db-backup{}", self.target.as_argument());
                what.push_str(&format!(
                    "\nIt replaces {} with all that is in them: {}. Only an earlier backup brings that back: `{}`.",
                    count(replaced.len(), "table"),
                    quoted(replaced),
                    invocation(&backup)
                ));
            }
        }
        if !self.there.is_empty() {
            what.push_str(
                "\nIts views, functions, sequences and large objects replace those of the same name.",
            );
        }
        if !self.kept.is_empty() {
            what.push_str(&format!(
                "\nNot in the backup, and left as they are: {}.",
                quoted(&self.kept)
            ));
        }
        if self.is_from_elsewhere() {
            what.push_str(
                "\nIts owners and privileges are left out: their roles are production's.",
            );
        }
        what
    }

    /// What pg_restore is to restore.
    pub(crate) fn list(&self) -> String {
        self.contents.list_without_stamp()
    }

    /// About how long the SQL is.
    pub(crate) fn sql_bytes(&self) -> u64 {
        self.contents.sql_bytes
    }

    /// pg_restore's options for this.
    pub(crate) fn options(&self) -> Vec<&'static str> {
        let mut options = vec!["--single-transaction"];
        if !self.there.is_empty() {
            options.extend(["--clean", "--if-exists"]);
        }
        if self.is_from_elsewhere() {
            options.extend(["--no-owner", "--no-privileges"]);
        }
        options
    }

    /// The SQL before the archive's, in the same transaction: it fails where the
    /// database is not as it was looked at, waits for those who use the tables, and sets the
    /// stamp.
    pub(crate) fn opening_sql(&self) -> String {
        let names: Vec<String> = self.there.iter().map(|name| literal(name)).collect();
        let lock = if self.replaced.is_empty() {
            String::new()
        } else {
            format!("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE;\n", self.replaced.join(", "))
        };
        let schema = self.contents.stamp.as_ref().and_then(|stamp| stamp.schema_sha256.as_deref());
        let look = format!(
            "IF NOT ({same_database}) THEN RAISE EXCEPTION '{ELSEWHERE}'; END IF;
IF NOT ({same_stamp}) THEN RAISE EXCEPTION '{ELSEWHERE}'; END IF;
IF ARRAY(SELECT name FROM ({list}) AS l (name)) <> ARRAY[{names}]::text[] THEN RAISE EXCEPTION '{CHANGED}'; END IF;",
            same_database = self.seen.same_database_sql(),
            same_stamp = self.seen.same_stamp_sql(),
            list = list_tables(),
            names = names.join(", "),
        );
        // No name can end the quotes: psql would obey what stands behind them.
        let quotes = (0..).map(|number| format!("$ops{number}$"));
        let quotes = quotes.into_iter().find(|quotes| !look.contains(quotes)).unwrap_or_default();
        // The archive's SQL begins a transaction too, which gives a warning.
        format!(
            "SET standard_conforming_strings = on;
SET client_min_messages = error;
SET lock_timeout = '{secs}s';
BEGIN;
DO {quotes} BEGIN
{look}
END {quotes};
{lock}{create}INSERT INTO cruddur_ops.stamp (environment, schema_sha256) VALUES ({environment}, {schema})
ON CONFLICT (only_row) DO UPDATE SET schema_sha256 = excluded.schema_sha256, stamped_at = now();
",
            secs = timeout().as_secs(),
            // Creating takes a privilege also where there is nothing to create.
            create = match self.seen.environment {
                Some(_) => String::new(),
                None => format!("{};\n", stamp::CREATE),
            },
            environment = literal(&self.target.to_string()),
            schema = schema.map_or("NULL".to_owned(), literal),
        )
    }
}

/// What the opening's SQL says where it finds another database.
pub(crate) const ELSEWHERE: &str = "another server or database answers than was looked at";
/// What it says where the database is not as it was.
pub(crate) const CHANGED: &str = "the tables of the database changed since it was looked at";
