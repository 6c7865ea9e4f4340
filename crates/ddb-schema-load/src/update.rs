//! `--update`: one change after the other, each waited for.

use std::time::Duration;

use aws_sdk_dynamodb::types::TableDescription;
use ops_common::consent::{Effect, Permit};
use ops_common::dynamodb::table::size;
use ops_common::env;
use ops_common::error::{Error, Exit};
use ops_common::target::Target;
use ops_common::text::{count, quoted};
use ops_common::ui::Ui;
use tokio::time::{Instant, sleep};

use crate::definition::TableDefinition;
use crate::definition::difference::{ABSENT, Difference};
use crate::definition::plan::{Change, Plan};
use crate::lifecycle::{set_ttl, update};
use crate::{Report, TTL, Work, show, show_differences};

/// How long DescribeTable may show what was.
const VISIBLE_WITHIN: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(200);

/// A change of how items expire, which UpdateTable does not make.
#[derive(Clone, Copy)]
struct TtlChange<'a> {
    attribute: &'a str,
    on: bool,
}

impl Work<'_> {
    pub(crate) async fn update(&self, live: TableDescription, ui: &Ui) -> Result<(), Error> {
        // A table that somebody is changing takes no other change.
        let live = if self.args.dry_run { live } else { self.active(ui).await? };
        let differences = self.differences(&live).await?;
        let report = self.report(Some(&live));
        if differences.is_empty() {
            let words = "already there, same definition; nothing is changed";
            return show(&report, words, &self.args, ui);
        }
        let plan = self.plan(&live);
        if !plan.impossible.is_empty() {
            let error = Error::new(format!(
                "`{}` cannot be made what the definition says; nothing is changed",
                self.table
            ));
            let error = self.only_a_new_table(error, &plan.impossible);
            show_differences(&Report { differences, ..report }, &self.args, ui)?;
            return Err(error);
        }
        let ttl = self.ttl_change(&differences)?;
        let steps = steps(&plan, ttl);
        if steps.is_empty() {
            show_differences(&Report { differences, ..report }, &self.args, ui)?;
            return Err(Error::new(format!(
                "no change of `{}` removes the differences; nothing is changed",
                self.table
            ))
            .hint("say it in the definition as the live table has it, or make a new table"));
        }
        if self.args.dry_run {
            for step in &steps {
                ui.note(format_args!("would {step}"));
            }
            let words =
                format!("{} to make; nothing is changed (--dry-run)", count(steps.len(), "change"));
            let report = Report { planned: Some(steps), differences, ..report };
            return show(&report, &words, &self.args, ui);
        }
        let permit = self.ask(&live, &plan, ttl, &steps, ui).await?;
        self.carry_out(&permit, &plan, ttl, &steps, ui).await?;
        self.show_updated(steps, ui).await
    }

    fn plan(&self, live: &TableDescription) -> Plan {
        self.definition.plan(&TableDefinition::of_live(live))
    }

    fn ttl_change<'d>(
        &self,
        differences: &'d [Difference],
    ) -> Result<Option<TtlChange<'d>>, Error> {
        let Some(ttl) = differences.iter().find(|difference| difference.path == TTL) else {
            return Ok(None);
        };
        match (ttl.live.as_str(), ttl.definition.as_str()) {
            (ABSENT, attribute) => Ok(Some(TtlChange { attribute, on: true })),
            (attribute, ABSENT) => Ok(Some(TtlChange { attribute, on: false })),
            (attribute, _) => Err(Error::new(format!(
                "items of `{}` expire by `{attribute}` already, and DynamoDB takes one change of that an hour; nothing is changed",
                self.table
            ))
            .hint("turn it off first, with --no-ttl in place of --ttl-attribute, and wait an hour")),
        }
    }

    async fn ask(
        &self,
        live: &TableDescription,
        plan: &Plan,
        ttl: Option<TtlChange<'_>>,
        steps: &[String],
        ui: &Ui,
    ) -> Result<Permit, Error> {
        let expires = ttl.is_some_and(|ttl| ttl.on);
        let destroys = expires || plan.changes.iter().any(|change| change.destroys);
        let effect = if destroys { Effect::Destroys } else { Effect::Changes };
        let mut what = format!(
            "{}: this changes the table `{}` ({}):",
            self.table.db().place(),
            self.table,
            size(live)
        );
        for step in steps {
            what += &format!("\n- {step}");
        }
        if expires {
            what += "\nItems that are past their time by then are deleted within days, and cannot be brought back.";
        }
        let permit = self.consent(&what, effect, ui).await?;
        if self.table.target() == Target::Prod {
            let now = self.table.refuse_another(live).await?;
            if self.plan(&now).changes != plan.changes {
                return Err(self.table.changed_meanwhile());
            }
        }
        Ok(permit)
    }

    async fn carry_out(
        &self,
        permit: &Permit,
        plan: &Plan,
        ttl: Option<TtlChange<'_>>,
        steps: &[String],
        ui: &Ui,
    ) -> Result<(), Error> {
        for (done, change) in plan.changes.iter().enumerate() {
            ui.note(format_args!("{} of {}: {}", done + 1, steps.len(), change.what));
            let changed = match update(&self.table, permit, change).await {
                Ok(()) => self.settled(change, ui).await,
                Err(error) => Err(error),
            };
            changed.map_err(|error| not_all(error, steps, done))?;
        }
        if let Some(TtlChange { attribute, on }) = ttl {
            ui.note(format_args!("{0} of {0}: {1}", steps.len(), steps[steps.len() - 1]));
            let changed = set_ttl(&self.table, permit, attribute, on).await;
            changed.map_err(|error| not_all(error, steps, steps.len() - 1))?;
        }
        Ok(())
    }

    async fn show_updated(&self, steps: Vec<String>, ui: &Ui) -> Result<(), Error> {
        let live = self.active(ui).await?;
        let words = format!("{} made, now as the definition says", count(steps.len(), "change"));
        let report = Report {
            updated: Some(steps),
            differences: self.differences(&live).await?,
            ..self.report(Some(&live))
        };
        if report.differences.is_empty() {
            return show(&report, &words, &self.args, ui);
        }
        show_differences(&report, &self.args, ui)?;
        Err(Error::new(format!(
            "every change of `{}` is made, and the server still shows differences",
            self.table
        ))
        .hint("run it again in a moment; a server that is not AWS may not know all of it"))
    }

    /// Waits until the change shows: DescribeTable is eventually consistent, and may
    /// show the table as it was for a moment, ACTIVE. One that does not show is found
    /// in the end, by what differs.
    async fn settled(&self, change: &Change, ui: &Ui) -> Result<(), Error> {
        let visible_by = Instant::now() + VISIBLE_WITHIN;
        loop {
            let live = self.active(ui).await?;
            let shows = !self.plan(&live).changes.contains(change);
            if shows || Instant::now() > visible_by {
                return Ok(());
            }
            sleep(POLL).await;
        }
    }

    pub(crate) fn only_a_new_table(&self, error: Error, impossible: &[Difference]) -> Error {
        let table = &self.table;
        let target = self.args.target.target.as_argument();
        let what = quoted(impossible.iter().map(|difference| &difference.path));
        let export =
            env::invocation(&format!("ddb-export{target} --table {table} --out {table}.json.gz"));
        error.cause(format!("only a new table can have another {what}")).hint(format!(
            "load the definition under another name (--table NAME) and copy the items: `{export}`, then ddb-import"
        ))
    }
}

/// What will be done, in words.
fn steps(plan: &Plan, ttl: Option<TtlChange<'_>>) -> Vec<String> {
    let ttl = ttl.map(|TtlChange { attribute, on }| {
        format!("{} time to live by `{attribute}`", if on { "enable" } else { "disable" })
    });
    plan.changes.iter().map(|change| change.what.clone()).chain(ttl).collect()
}

/// The error of a change, with what is done by then.
fn not_all(error: Error, steps: &[String], done: usize) -> Error {
    let error = match &steps[..done] {
        [] => error,
        made => error.cause(format!("made before: {}", made.join("; "))).exit(Exit::Partial),
    };
    error
        .cause(format!("not known to be made: {}", steps[done..].join("; ")))
        .hint("run it again: it does what is missing then")
}
