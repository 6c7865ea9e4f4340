//! What a person sees of what was found: the tables on stdout, and the error with
//! every fix and whom it is for.

use std::collections::HashSet;

use ops_common::env::invocation;
use ops_common::error::{Error, Exit};
use ops_common::target::Target;
use ops_common::text::{count, printable, quoted};
use ops_common::ui::{Cells, Column, Ui};

use crate::chain::{Finding, Found, Link, Person};

/// More fixes than these are in the JSON.
const HINTS: usize = 10;
/// As many users are named.
const NAMED: usize = 10;
/// As many as one fix is for are named beside it.
const NAMED_BESIDE: usize = 3;

/// What is broken; nothing where all is whole. On a terminal what fixes it stands right
/// below, in the error; a file gets it too.
pub(crate) fn broken(found: &Found, ui: &Ui) -> Result<(), Error> {
    let row = |person: &Person| {
        let broken = person.broken.as_ref()?;
        let row = [&person.handle, broken.link.name(), &broken.what, &broken.fix];
        Some(row.map(str::to_owned).to_vec())
    };
    let rows: Vec<_> = found.people.iter().filter_map(row).collect();
    if !rows.is_empty() {
        with_fixes(&["person".into(), "broken at".into(), Column::text("because")], rows, ui)?;
        if !found.findings.is_empty() {
            ui.line("")?;
        }
    }
    show_findings(&found.findings, ui)
}

fn show_findings(findings: &[Finding], ui: &Ui) -> Result<(), Error> {
    let row = |finding: &Finding| {
        vec![finding.kind.to_owned(), finding.what.clone(), finding.fix.clone()]
    };
    let rows: Vec<_> = findings.iter().map(row).collect();
    if rows.is_empty() {
        Ok(())
    } else {
        with_fixes(&["found".into(), Column::text("what")], rows, ui)
    }
}

/// A table whose last column is what fixes the rest.
fn with_fixes(header: &[Column<'_>], mut rows: Vec<Vec<String>>, ui: &Ui) -> Result<(), Error> {
    let mut header = header.to_vec();
    if ui.out_is_terminal() {
        rows.iter_mut().for_each(|row| row.truncate(header.len()));
    } else {
        header.push(Column::text("fix it with"));
    }
    ui.table(&header, &rows, Cells::Wrapped)
}

/// The chain of each user with one handle, and what is wrong with their
/// conversations.
pub(crate) fn chains(found: &Found, with_pool: bool, ui: &Ui) -> Result<(), Error> {
    for (index, person) in found.people.iter().enumerate() {
        if index > 0 {
            ui.line("")?;
        }
        show_chain(person, with_pool, ui)?;
    }
    show_findings(&found.findings, ui)
}

/// One person's chain, link by link, up to the one that is broken.
fn show_chain(person: &Person, with_pool: bool, ui: &Ui) -> Result<(), Error> {
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "none".to_owned());
    let links = [
        (Link::Sub, or_none(person.sub.clone())),
        (Link::User, or_none(person.user_uuid.map(|uuid| uuid.to_string()))),
        (Link::GroupRows, count(person.conversations, "conversation")),
        (Link::Messages, count(person.messages, "message")),
    ];
    let of = format!("of {}", person.handle);
    let mut rows = Vec::new();
    for (link, found) in links {
        let broken = person.broken.as_ref().filter(|broken| broken.link == link);
        let state = match broken {
            Some(broken) => broken.what.clone(),
            None if link == Link::Sub && !with_pool => "not looked at".to_owned(),
            None => "ok".to_owned(),
        };
        rows.push(vec![link.name().to_owned(), found, state]);
        if broken.is_some() {
            break;
        }
    }
    ui.table(&["link".into(), Column::whole("found"), of.as_str().into()], &rows, Cells::Wrapped)
}

/// Why an inbox that is whole shows nothing.
pub(crate) fn empty_inboxes(found: &Found, target: Target, ui: &Ui) {
    let whole = found.people.iter().filter(|person| person.broken.is_none());
    for Person { handle, .. } in whole.filter(|person| person.conversations == 0) {
        let target = target.as_argument();
        let send =
            invocation(&format!("ddb-send-message{target} --from HANDLE --to {handle} TEXT"));
        ui.note(format_args!(
            "the inbox of `{handle}` is empty since nobody has written to them: `{send}`"
        ));
    }
}

/// Who is of the pool and nowhere else yet.
pub(crate) fn newcomers(found: &Found, ui: &Ui) {
    if !found.newcomers.is_empty() {
        ui.note(format_args!(
            "{} of the pool with neither a handle nor a row yet: {}",
            count(found.newcomers.len(), "user"),
            printable(&quoted(found.newcomers.iter().take(NAMED)))
        ));
    }
}

/// The error for what is broken, with every way to fix it once, and for whom.
pub(crate) fn verdict(found: &Found) -> Result<(), Error> {
    let broken =
        || found.people.iter().filter_map(|person| Some((person, person.broken.as_ref()?)));
    let handles: HashSet<&str> = broken().map(|(person, _)| person.handle.as_str()).collect();
    let mut what = Vec::new();
    if !handles.is_empty() {
        what.push(format!("{} with a broken link", count(handles.len(), "person")));
    }
    if !found.findings.is_empty() {
        what.push(format!("{} in the table", count(found.findings.len(), "finding")));
    }
    if what.is_empty() {
        return Ok(());
    }
    let people = broken().map(|(person, broken)| (quoted([&person.handle]), &broken.fix));
    let findings = found.findings.iter().map(|finding| (finding.kind.to_owned(), &finding.fix));
    let mut fixes: Vec<(&String, Vec<String>)> = Vec::new();
    for (whose, fix) in people.chain(findings) {
        match fixes.iter_mut().find(|(other, _)| *other == fix) {
            Some((_, of)) if of.contains(&whose) => {}
            Some((_, of)) => of.push(whose),
            None => fixes.push((fix, vec![whose])),
        }
    }
    let error = Error::new(what.join(", and ")).exit(Exit::Partial);
    if let [(fix, of)] = &fixes[..]
        && of.len() == 1
    {
        return Err(error.hint(printable(fix)));
    }
    Err(fixes.into_iter().take(HINTS).fold(error, |error, (fix, of)| {
        let more = match of.len().saturating_sub(NAMED_BESIDE) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let of = of.into_iter().take(NAMED_BESIDE).collect::<Vec<_>>().join(", ");
        error.hint(format!("{of}{more}: {}", printable(fix)))
    }))
}
