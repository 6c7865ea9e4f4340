//! `ddb-item`: reads and changes one item, and loses nothing that somebody else wrote
//! meanwhile.

mod difference;
mod editor;
mod text;
mod write;

use std::io::{self, Read, Write as _};
use std::path::Path;
use std::process::ExitCode;

use aws_sdk_dynamodb::types::TableDescription;
use clap::{Parser, ValueEnum};
use ops_common::app::partition::partition_key;
use ops_common::app::records::Item;
use ops_common::args::{ConfirmArgs, DynamoArgs, OutputArgs, TableArg, UiArgs, take_target};
use ops_common::cli;
use ops_common::consent::{self, Change, Effect, Kind, Permit, Place};
use ops_common::dynamodb::item::{Attribute, Attributes};
use ops_common::dynamodb::table::Table;
use ops_common::dynamodb::typed_key::TypedKey;
use ops_common::env::invocation;
use ops_common::error::{Error, Exit};
use ops_common::files::limited;
use ops_common::target::Target;
use ops_common::text::printable;
use ops_common::ui::Ui;
use serde::{Deserialize, Serialize};

use difference::Difference;

/// An item has 400 KB; its JSON can have several times that.
const MOST_BYTES: u64 = 4 << 20;

/// Show or change one item of the table
///
/// get shows it as DynamoDB's JSON, the keys first. put writes the item of a FILE
/// (`-`: standard input), edit opens it in $VISUAL or $EDITOR, and both show how it
/// differs before they write; delete prints what it deletes. A change is made only
/// if nobody else changed the item meanwhile.
#[derive(Debug, Parser)]
#[command(
    version,
    override_usage = "ddb-item [OPTIONS] <get|edit|delete> [TARGET] <PK> [SK]\n       ddb-item [OPTIONS] put [TARGET] <FILE>",
    after_help = "Examples:
  ddb-item get conversation:UUID 2026-01-31T23:59:59.123456+00:00
  ddb-item edit prod conversation:UUID 2026-01-31T23:59:59.123456+00:00
  ddb-item get 4711 --table orders > order.json
  ddb-item put order.json --table orders
  ddb-item delete 4711 --table orders > gone.json    put brings it back"
)]
struct Args {
    /// What to do: get, put, edit or delete
    #[arg(value_enum, hide_possible_values = true)]
    action: Action,

    /// Where to act: local (services on this machine) or prod (the real account)
    /// [default: local]
    #[arg(value_name = "TARGET")]
    first: Option<String>,

    /// The partition key's value; in the app's table also `inbox:HANDLE` or
    /// `conversation:UUID`. With put the file, `-` for standard input
    #[arg(value_name = "PK")]
    second: Option<String>,

    /// The sort key's value, where the table has one
    #[arg(value_name = "SK")]
    third: Option<String>,

    #[command(flatten)]
    table: TableArg,
    #[command(flatten)]
    dynamo: DynamoArgs,
    #[command(flatten)]
    consent: ConfirmArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    ui: UiArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Action {
    /// show it
    Get,
    /// write the item of a file
    Put,
    /// change it in an editor
    Edit,
    /// delete it
    Delete,
}

/// The tool's entry point.
#[must_use]
pub fn main() -> ExitCode {
    cli::main(|args: &Args| &args.ui, run)
}

async fn run(args: Args, ui: &Ui) -> Result<(), Error> {
    let most = if args.action == Action::Put { 1 } else { 2 };
    let (target, words) = take_target(&[&args.first, &args.second, &args.third], most)?;
    let name = args.table.name();
    let (least, most) = match args.action {
        Action::Get => (Effect::Nothing, Effect::Nothing),
        Action::Put => (Effect::Adds, Effect::Destroys),
        Action::Edit => (Effect::Changes, Effect::Changes),
        Action::Delete => (Effect::Destroys, Effect::Destroys),
    };
    let change = Change { target, kind: Kind::Table, name: &name, what: "", effect: least };
    let given = match words.as_slice() {
        [] => return Err(nothing_named(args.action)),
        [file] if args.action == Action::Put => {
            let given = read_item(file)?;
            consent::check(&change, most, &args.consent)?;
            Some(given)
        }
        _ => {
            consent::check(&change, most, &args.consent)?;
            None
        }
    };
    let table = Table::connect(target, &args.dynamo, &name, ui).await?;
    let live = table.existing().await?;
    let typed = TypedKey::of(&live)?;
    let key = match &given {
        Some(given) => key_of(given, &typed)?,
        None => key_named(&words, &typed, &table, ui).await?,
    };
    let mut subject = Subject { table, live, typed, key };
    let (before, _) = subject.table.item(subject.key.clone()).await?;
    if let Some(before) = &before {
        // A number can be written in several ways.
        subject.key = key_of(before, &subject.typed)?;
    }
    match (args.action, before, given) {
        (Action::Get, Some(item), _) => subject.show(Some(&item), &args, ui),
        (Action::Put, None, Some(given)) => subject.put_new(given, &args, ui).await,
        (Action::Put, Some(before), Some(after)) => {
            subject.change(before, after, Effect::Destroys, &args, ui).await
        }
        (Action::Edit, Some(before), _) => subject.edit(before, &args, ui).await,
        (Action::Delete, Some(item), _) => subject.delete(item, &args, ui).await,
        (_, None, _) => Err(subject.not_there(&words)),
        (Action::Put, Some(_), None) => Err(nothing_named(args.action)),
    }
}

fn nothing_named(action: Action) -> Error {
    let (what, call) = match action {
        Action::Put => ("no FILE is named", "ddb-item put item.json"),
        _ => ("no PK is named", "ddb-item get PK SK"),
    };
    Error::usage(what).hint(format!("`{}`", invocation(call)))
}

/// One item, by its key.
struct Subject {
    table: Table,
    live: TableDescription,
    typed: TypedKey,
    key: Item,
}

impl Subject {
    /// `pk …, sk … of the table …`
    fn name(&self) -> String {
        format!("{} in the table `{}`", text::key(&self.key, &self.typed), self.table)
    }

    fn not_there(&self, words: &[&str]) -> Error {
        let error = Error::new(format!("there is no item {}", self.name()));
        match (words, &self.typed.sort) {
            ([pk, ..], Some(_)) => {
                let target = self.table.target().as_argument();
                let table = self.table.as_option();
                let call = format!("ddb-query{target} {}{table}", printable(pk));
                error.hint(format!("`{}` shows what there is", invocation(&call)))
            }
            _ => error,
        }
    }

    async fn ask(&self, effect: Effect, what: &str, args: &Args, ui: &Ui) -> Result<Permit, Error> {
        let target = self.table.target();
        let caller = self.table.caller(ui).await?;
        let what = format!("{}: {what}", self.table.db().place());
        let name = self.table.name();
        let change = Change { target, kind: Kind::Table, name, what: &what, effect };
        let permit = consent::ask(&change, Place::of(target, caller), &args.consent, ui).await?;
        if target == Target::Prod {
            // The question may have waited for long.
            self.table.refuse_another(&self.live).await?;
        }
        Ok(permit)
    }

    async fn put_new(&self, item: Item, args: &Args, ui: &Ui) -> Result<(), Error> {
        let what = format!("this puts the new item {}", self.name());
        let permit = self.ask(Effect::Adds, &what, args, ui).await?;
        write::put_new(self, &permit, &item).await?;
        self.report("put", None, Some(&item), args, ui)
    }

    async fn edit(&self, before: Item, args: &Args, ui: &Ui) -> Result<(), Error> {
        // Before somebody's work, not after it.
        self.table.caller(ui).await?;
        let edited = editor::edit(&text::pretty(&before, &self.typed)?).await?;
        if edited.text.trim().is_empty() {
            return Err(Error::new("the text is empty; nothing is changed").exit(Exit::Declined));
        }
        let after = parse(&edited.text).and_then(|after| match key_of(&after, &self.typed)? {
            key if key == self.key => Ok(after),
            key => Err(Error::new("the key of an item cannot be changed")
                .cause(format!("it is now {}", text::key(&key, &self.typed)))
                .hint("put an item with the new key, and delete this one")),
        });
        let outcome = match after {
            Ok(after) => self.change(before, after, Effect::Changes, args, ui).await,
            Err(error) => Err(error),
        };
        match outcome {
            Ok(()) => Ok(()),
            Err(error) => Err(edited.keep(error)),
        }
    }

    /// Makes one item of the other, if that is still what is there.
    async fn change(
        &self,
        before: Item,
        after: Item,
        effect: Effect,
        args: &Args,
        ui: &Ui,
    ) -> Result<(), Error> {
        let difference = Difference::between(&before, &after, &self.key)?;
        if difference.is_empty() {
            return self.report("unchanged", Some(&before), Some(&after), args, ui);
        }
        let what = format!("this changes the item {}:\n{difference}", self.name());
        if self.table.target() == Target::Local {
            ui.note(&what);
        }
        let permit = self.ask(effect, &what, args, ui).await?;
        write::change(self, &permit, &before, &after, &difference).await?;
        self.report("changed", Some(&before), Some(&after), args, ui)
    }

    async fn delete(&self, item: Item, args: &Args, ui: &Ui) -> Result<(), Error> {
        let all = Difference::between(&item, &Item::new(), &self.key)?;
        let what = format!("this deletes the item {}:\n{all}", self.name());
        let permit = self.ask(Effect::Destroys, &what, args, ui).await?;
        // Before it goes: where it cannot be written down, it stays.
        self.report("deleted", Some(&item), None, args, ui)
            .map_err(|error| error.hint("the item is not deleted: first it has to be printed"))?;
        let deleted = write::delete(self, &permit, &item).await?;
        ui.note(format_args!("deleted: {}", self.name()));
        let more = Difference::between(&item, &deleted, &self.key)?;
        if !more.is_empty() {
            ui.warn(format_args!("it had more by then, which is not in what is printed:\n{more}"));
        }
        Ok(())
    }

    /// An item as `put` takes it, or the whole report.
    fn show(&self, item: Option<&Item>, args: &Args, ui: &Ui) -> Result<(), Error> {
        if args.output.json() {
            let shown =
                Shown { table: self.table.name(), item: item.and_then(Attributes::from_sdk) };
            return ui.report(self.table.target(), &shown);
        }
        let Some(item) = item else { return Ok(()) };
        let text = text::pretty(item, &self.typed)?;
        let mut out = ui.stdout();
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Error::stdout)
    }

    fn report(
        &self,
        done: &str,
        before: Option<&Item>,
        after: Option<&Item>,
        args: &Args,
        ui: &Ui,
    ) -> Result<(), Error> {
        if after.is_some() {
            ui.note(format_args!("{done}: {}", self.name()));
        }
        if args.output.json() {
            let report = Report {
                table: self.table.name(),
                done,
                before: before.and_then(Attributes::from_sdk),
                after: after.and_then(Attributes::from_sdk),
            };
            return ui.report(self.table.target(), &report);
        }
        // What is gone, so that it can be put back.
        if after.is_none() { self.show(before, args, ui) } else { Ok(()) }
    }
}

/// Items are DynamoDB's JSON.
#[derive(Serialize)]
struct Shown<'a> {
    table: &'a str,
    item: Option<Attributes<'a>>,
}

#[derive(Serialize)]
struct Report<'a> {
    table: &'a str,
    /// put, changed, unchanged or deleted
    done: &'a str,
    before: Option<Attributes<'a>>,
    after: Option<Attributes<'a>>,
}

/// The key that the words name.
async fn key_named(
    words: &[&str],
    typed: &TypedKey,
    table: &Table,
    ui: &Ui,
) -> Result<Item, Error> {
    let target = table.target();
    let mut key = Item::new();
    match (words, &typed.sort) {
        ([pk], Some(sort)) => {
            return Err(Error::usage(format!(
                "no SK is named, and the table has the sort key `{}`",
                sort.name
            ))
            .hint(format!(
                "`{}` shows the sort keys",
                invocation(&format!(
                    "ddb-query{} {}{}",
                    target.as_argument(),
                    printable(pk),
                    table.as_option()
                ))
            )));
        }
        ([_, _], None) => {
            return Err(Error::usage("an SK is named, and the table has no sort key"));
        }
        ([_, sk], Some(sort)) => _ = key.insert(sort.name.clone(), sort.parse(sk)?),
        _ => {}
    }
    let pk = words.first().copied().unwrap_or_default();
    key.insert(typed.partition.name.clone(), partition_key(pk, typed, target, ui).await?);
    Ok(key)
}

/// The key that an item has.
fn key_of(item: &Item, typed: &TypedKey) -> Result<Item, Error> {
    let attributes = text::attributes(item)?;
    let mut key = Item::new();
    for attribute in [Some(&typed.partition), typed.sort.as_ref()].into_iter().flatten() {
        let name = &attribute.name;
        let wanted = attribute.scalar_type.as_str();
        let wrong = |what: String| {
            Err(Error::new(format!("the item {what}"))
                .hint(format!("its key has to be there: \"{name}\": {{\"{wanted}\": …}}")))
        };
        match attributes.get(name).map(Attribute::type_name) {
            None => return wrong(format!("has no `{name}`")),
            Some(other) if other != wanted => {
                return wrong(format!("has a `{name}` of type {other}"));
            }
            Some(_) => key.insert(name.clone(), item[name].clone()),
        };
    }
    Ok(key)
}

fn read_item(file: &str) -> Result<Item, Error> {
    let cannot = |error: io::Error| {
        Error::new(format!("cannot read the item of `{}`", printable(file))).cause(error)
    };
    let bytes = if file == "-" {
        let mut bytes = Vec::new();
        io::stdin().lock().take(MOST_BYTES).read_to_end(&mut bytes).map_err(cannot)?;
        bytes
    } else {
        limited::read(Path::new(file), MOST_BYTES).map_err(cannot)?
    };
    let text = String::from_utf8(bytes)
        .map_err(|error| cannot(io::Error::new(io::ErrorKind::InvalidData, error)))?;
    parse(&text)
}

/// An item as DynamoDB's JSON, bare or as `{"Item": …}`.
fn parse(text: &str) -> Result<Item, Error> {
    #[derive(Deserialize)]
    struct Wrapped<'a> {
        #[serde(borrow, rename = "Item")]
        item: Attributes<'a>,
    }
    let bare = serde_json::from_str::<Attributes<'_>>(text);
    let wrapped = serde_json::from_str::<Wrapped<'_>>(text);
    let item = match (bare, wrapped) {
        (Ok(item), _) | (Err(_), Ok(Wrapped { item })) => item,
        (Err(error), Err(_)) => {
            return Err(Error::new("that is not one item as DynamoDB's JSON")
                .cause(error)
                .hint("an item is like {\"pk\": {\"S\": \"a\"}, \"n\": {\"N\": \"1\"}}"));
        }
    };
    let sdk = item.to_sdk();
    if Attributes::from_sdk(&sdk).as_ref() != Some(&item) {
        return Err(Error::new("a binary of the item is not base64"));
    }
    Ok(sdk)
}
