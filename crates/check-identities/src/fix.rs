//! `--fix`: what is proposed, done, each step with its own consent.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_dynamodb::types::{
    AttributeValue, Delete, Put, ReturnConsumedCapacity, TransactWriteItem,
};
use ops_common::app::conversations::{plan_repair, repair};
use ops_common::app::keys::{PK, SK};
use ops_common::app::records::{Item, Person};
use ops_common::args::ConfirmArgs;
use ops_common::consent::{self, Caller, Change, Effect, Kind, Permit, Place};
use ops_common::dynamodb::table::Table;
use ops_common::error::{Error, Exit};
use ops_common::postgres::stamp::{self, Seen};
use ops_common::postgres::{ConnectionUrl, Db, sql_error, trace};
use ops_common::target::Target;
use ops_common::text::{count, printable, quoted};
use ops_common::ui::Ui;
use uuid::Uuid;

use crate::chain::Step;
use crate::table::Misspelled;
use crate::{Looked, Places};

/// Fails where consent could not be given, before anything is read. `--confirm` names the
/// table or the database; each step asks for its own.
pub(crate) fn check_consent(
    target: Target,
    table: &str,
    database: &str,
    args: &ConfirmArgs,
) -> Result<(), Error> {
    let effect = Effect::Changes;
    let name = match &args.confirm {
        Some(confirmed) if confirmed == database => (Kind::Database, database),
        _ => (Kind::Table, table),
    };
    let change = Change { target, kind: name.0, name: name.1, what: "", effect };
    consent::check(&change, Effect::Destroys, args)
}

/// Does the steps, and remembers them: what did not help is not tried again.
pub(crate) struct Fixer<'a> {
    places: &'a Places<'a>,
    consent: &'a ConfirmArgs,
    ui: &'a Ui,
    tried: BTreeSet<Step>,
    /// what was done, in words
    pub(crate) fixed: Vec<String>,
}

impl<'a> Fixer<'a> {
    pub(crate) fn new(places: &'a Places<'a>, consent: &'a ConfirmArgs, ui: &'a Ui) -> Self {
        Self { places, consent, ui, tried: BTreeSet::new(), fixed: Vec::new() }
    }

    /// Does each step that was not tried. Whether there was one that is done: then there
    /// is something to look at again.
    ///
    /// # Errors
    /// Where there is nobody to ask. A step that fails is told, and the next one is done.
    pub(crate) async fn fix(&mut self, looked: &Looked) -> Result<bool, Error> {
        let before = self.fixed.len();
        for step in &looked.steps {
            if !self.tried.insert(step.clone()) {
                continue;
            }
            match self.step(step, looked).await {
                Ok(Some(done)) => {
                    self.ui.note(format_args!("fixed: {done}"));
                    self.fixed.push(done);
                }
                Ok(None) => {}
                Err(error) if error.exit_kind() == Exit::Declined => {
                    self.ui.note("left as it is");
                }
                Err(error) => self.ui.error(&error),
            }
        }
        Ok(self.fixed.len() > before)
    }

    async fn step(&self, step: &Step, looked: &Looked) -> Result<Option<String>, Error> {
        match step {
            Step::CopyIds => self.copy_ids().await,
            Step::Uuid { handle, from, to } => self.uuid(handle, *from, *to).await.map(Some),
            Step::Key(misspelled) => self.key(misspelled).await.map(Some),
            Step::Conversation { group, people } => {
                self.conversation(*group, *people, looked).await
            }
            Step::Names => self.names(looked).await.map(Some),
        }
    }

    async fn copy_ids(&self) -> Result<Option<String>, Error> {
        let Places { url, pool, .. } = *self.places;
        let Some(pool) = pool else { return Ok(None) };
        let consent = self.consent_for(url.database());
        let effect = Effect::Changes;
        let report =
            update_cognito_user_ids::ask_and_carry_over(pool, url, effect, &consent, self.ui)
                .await?;
        let updated = report.updated();
        Ok((updated > 0).then(|| format!("{} copied from the pool", count(updated, "id"))))
    }

    /// The flags, as far as they are about this thing.
    fn consent_for(&self, name: &str) -> ConfirmArgs {
        let confirm = self.consent.confirm.clone().filter(|confirmed| confirmed == name);
        ConfirmArgs { yes: self.consent.yes, confirm }
    }

    async fn ask_table(&self, effect: Effect, what: &str) -> Result<Permit, Error> {
        let table = self.places.table;
        let target = table.target();
        let live = match target {
            Target::Local => None,
            Target::Prod => Some(table.existing().await?),
        };
        let caller = table.caller(self.ui).await?;
        let what = format!("{}: {what}", table.db().place());
        let change = Change { target, kind: Kind::Table, name: table.name(), what: &what, effect };
        if target == Target::Local {
            // Nobody is asked, and what goes is to be seen.
            self.ui.note(&what);
        }
        let consent = self.consent_for(table.name());
        let permit = consent::ask(&change, Place::of(target, caller), &consent, self.ui).await?;
        if let Some(live) = live {
            // The question may have waited for long.
            table.refuse_another(&live).await?;
        }
        Ok(permit)
    }

    async fn uuid(&self, handle: &str, from: Uuid, to: Uuid) -> Result<String, Error> {
        let url = self.places.url;
        let mut db = Db::connect(url, self.ui).await?;
        let stamp = stamp::of_this_environment(&db, url).await?;
        let seen = Seen::of(db.client(), url).await?;
        let done = format!("the uuid of {} in Postgres is {to}", quoted([handle]));
        let what = format!(
            "{}: this changes the uuid of {} from {from} to {to}, under which the table knows them",
            url.place(),
            quoted([handle])
        );
        let change = Change {
            target: url.target(),
            kind: Kind::Database,
            name: url.database(),
            what: &what,
            effect: Effect::Changes,
        };
        let place = Place::of_database(url.target(), stamp.is_some(), Caller::NoAccount);
        let consent = self.consent_for(url.database());
        let permit = consent::ask(&change, place, &consent, self.ui).await?;
        set_uuid(&mut db, url, &seen, &permit, handle, (from, to), self.ui).await?;
        Ok(done)
    }

    async fn key(&self, misspelled: &Misspelled) -> Result<String, Error> {
        let table = self.places.table;
        let Misspelled { key: [pk, sk], right: [right_pk, right_sk] } = misspelled;
        let what = format!(
            "this moves the row at `{}`, `{}` to `{right_pk}`, `{right_sk}`, in the table `{table}`",
            printable(pk),
            printable(sk)
        );
        let permit = self.ask_table(Effect::Changes, &what).await?;
        move_row(table, &permit, misspelled).await?;
        Ok(format!(
            "the row at `{}`, `{}` is where the app looks for it",
            printable(pk),
            printable(sk)
        ))
    }

    async fn conversation(
        &self,
        group: Uuid,
        people: [Uuid; 2],
        looked: &Looked,
    ) -> Result<Option<String>, Error> {
        let table = self.places.table;
        let known = known(looked);
        let Some(plan) = plan_repair(table, group, people, &known).await? else { return Ok(None) };
        let lines: Vec<String> =
            plan.what.iter().map(|line| format!("\n  {}", printable(line))).collect();
        let what =
            format!("this puts the rows of the conversation {group} right:{}", lines.concat());
        let permit = self.ask_table(plan.effect, &what).await?;
        if !repair(table, &permit, plan).await? {
            return Err(Error::new("the conversation's rows changed meanwhile; nothing is done")
                .hint("run it again: it looks at them as they are then"));
        }
        Ok(Some(format!("the rows of the conversation {group}")))
    }

    async fn names(&self, looked: &Looked) -> Result<String, Error> {
        let table = self.places.table;
        let rows: u64 = looked.content.outdated.values().sum();
        let rows = count(rows, "row");
        let what =
            format!("this changes the names in {rows} of the table `{table}` to those of Postgres");
        let permit = self.ask_table(Effect::Changes, &what).await?;
        let counts = ddb_refresh_names::refresh(table, &known(looked), &permit, self.ui).await?;
        Ok(format!("the names in {}", count(counts.changed, "row")))
    }
}

fn known(looked: &Looked) -> HashMap<Uuid, Person> {
    let people = looked.people.iter().map(|row| Person {
        uuid: row.uuid,
        display_name: row.display_name.clone(),
        handle: row.handle.clone(),
    });
    people.map(|person| (person.uuid, person)).collect()
}

const SET_UUID: &str = "UPDATE users SET uuid = $1 WHERE handle = $2 AND uuid = $3";

async fn set_uuid(
    db: &mut Db,
    url: &ConnectionUrl,
    seen: &Seen,
    permit: &Permit,
    handle: &str,
    (from, to): (Uuid, Uuid),
    ui: &Ui,
) -> Result<(), Error> {
    url.check(permit)?;
    let title = format!("change the uuid of {}", quoted([handle]));
    let failed = |error: tokio_postgres::Error| {
        sql_error(&title, &error).hint(
            "where other tables refer to the row, change them in the same transaction, with psql",
        )
    };
    let transaction = db.client_mut().transaction().await.map_err(failed)?;
    seen.check(&transaction, url).await?;
    trace(ui, &title, SET_UUID, &[&to, &handle, &from]);
    let changed = transaction.execute(SET_UUID, &[&to, &handle, &from]).await.map_err(failed)?;
    if changed != 1 {
        return Err(Error::new(format!("the row of {} changed meanwhile", quoted([handle])))
            .hint("run it again: it looks at what is there then"));
    }
    transaction.commit().await.map_err(failed)
}

/// Puts a row at another key and deletes it at the old one, in one transaction.
async fn move_row(table: &Table, permit: &Permit, row: &Misspelled) -> Result<(), Error> {
    table.check(permit)?;
    let key = |key: &[String; 2]| -> Item {
        let values = key.iter().map(|text| AttributeValue::S(text.clone()));
        [PK, SK].map(str::to_owned).into_iter().zip(values).collect()
    };
    let (found, _) = table.item(key(&row.key)).await?;
    let meanwhile = || {
        Error::new(format!("the row at `{}`, `{}` changed meanwhile, or another one is at the right key", row.key[0], row.key[1]))
            .hint("`ddb-query` shows both partitions: delete the row that is too much with `ddb-item delete`")
    };
    let Some(mut item) = found else { return Err(meanwhile()) };
    let text = item.get("message").cloned();
    item.extend(key(&row.right));
    let put = Put::builder()
        .table_name(table.name())
        .set_item(Some(item))
        .condition_expression("attribute_not_exists(pk)")
        .build();
    let mut delete = Delete::builder().table_name(table.name()).set_key(Some(key(&row.key)));
    delete = match text {
        Some(text) => delete
            .condition_expression("message = :message")
            .expression_attribute_values(":message", text),
        None => delete.condition_expression("attribute_exists(pk)"),
    };
    let put = TransactWriteItem::builder().put(put.expect("it has a table and an item")).build();
    let delete = delete.build().expect("it has a table and a key");
    let sent = table
        .db()
        .client()
        .transact_write_items()
        .transact_items(put)
        .transact_items(TransactWriteItem::builder().delete(delete).build())
        .return_consumed_capacity(ReturnConsumedCapacity::Total)
        .send()
        .await;
    match sent {
        Ok(_) => Ok(()),
        Err(error)
            if error.as_service_error().is_some_and(|e| e.is_transaction_canceled_exception()) =>
        {
            Err(meanwhile())
        }
        Err(error) => Err(table.error("write to", &error).await),
    }
}
