//! `ddb-item`

use std::process::Command;
use std::sync::Mutex;

use cli_tests::proxy::{Answer, Proxy};
use cli_tests::{Run, World};
use serde_json::{Value, json};

use crate::terminal::{at_terminal, status};

const EVERY_TYPE: &str = concat!(
    r#"{"pk":{"S":"t"},"sk":{"S":"1"},"b":{"B":"AQ=="},"bool":{"BOOL":true},"bs":{"BS":["AQ=="]},"#,
    r#""l":{"L":[{"S":"a"},{"N":"1"}]},"m":{"M":{"k":{"S":"v"}}},"n":{"N":"150"},"ns":{"NS":["1","2"]},"#,
    r#""null":{"NULL":true},"s":{"S":""},"ss":{"SS":["a","b"]},"size":{"S":"a reserved word"}}"#
);

/// A table with one item of every type.
fn with_item() -> World {
    let world = World::dynamodb();
    world.run("ddb-schema-load", &[]).succeeds();
    let file = world.file("item.json", EVERY_TYPE);
    world.run("ddb-item", &["put", &file]).succeeds().prints_only("").says("put: pk `t`, sk `1`");
    world
}

fn value(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

fn item(world: &World) -> Value {
    value(&world.run("ddb-item", &["get", "t", "1"]).succeeds().stdout)
}

/// `ddb-item edit` of the one item with an editor that is this command.
fn edit(world: &World, editor: &str) -> Command {
    let mut command = world.tool("ddb-item", &["edit", "t", "1"]);
    command.env("EDITOR", editor).env_remove("VISUAL").env("TMPDIR", world.folder());
    command
}

#[test]
fn what_get_shows_put_takes() {
    let world = with_item();
    let got = world.run("ddb-item", &["get", "t", "1"]).succeeds();
    assert_eq!(value(&got.stdout), value(EVERY_TYPE));
    // The key first.
    assert!(
        got.stdout.starts_with("{\n  \"pk\": {\"S\":\"t\"},\n  \"sk\": {\"S\":\"1\"},\n"),
        "{got}"
    );
    let run = world.run("ddb-item", &["get", "local", "t", "1", "--output", "json"]).succeeds();
    let report = json!({"target": "local", "table": "cruddur-messages", "item": value(EVERY_TYPE)});
    assert_eq!(run.json(), report);
    let deleted = world.run("ddb-item", &["delete", "t", "1"]).succeeds();
    assert_eq!(deleted.stdout, got.stdout);
    assert!(world.items("cruddur-messages").is_empty());
    let put = Run::with_input(world.tool("ddb-item", &["put", "-"]), &deleted.stdout);
    put.succeeds().says("put: pk `t`, sk `1`");
    assert_eq!(item(&world), value(EVERY_TYPE));
    // As a dump has it, and nothing to do.
    let wrapped = format!("{{\"Item\":{EVERY_TYPE}}}").replace("150", "1.50e2");
    let run = Run::with_input(world.tool("ddb-item", &["put", "-", "--output", "json"]), &wrapped);
    assert_eq!(run.succeeds().says("unchanged: pk `t`").json()["done"], "unchanged");
}

#[test]
fn an_edit_shows_and_writes_the_difference() {
    let world = with_item();
    let editor = r#"sed -i -e 's/"v"/"w"/' -e '/"null"/d' -e 's/"150"/"151"/'"#;
    let run = Run::of(edit(&world, editor)).succeeds().prints_only("");
    let run = run
        .says("this changes the item pk `t`, sk `1` in the table `cruddur-messages`:\n")
        .says("  - m: {\"M\":{\"k\":{\"S\":\"v\"}}}\n  + m: {\"M\":{\"k\":{\"S\":\"w\"}}}\n")
        .says("  - n: {\"N\":\"150\"}\n  + n: {\"N\":\"151\"}\n  - null: {\"NULL\":true}\n");
    run.says("changed: pk `t`").does_not_say("reserved");
    let mut expected = value(EVERY_TYPE);
    expected["m"]["M"]["k"]["S"] = json!("w");
    expected["n"]["N"] = json!("151");
    expected.as_object_mut().expect("an object").remove("null");
    assert_eq!(item(&world), expected);
    // VISUAL goes before EDITOR; nothing of the text is left behind.
    let mut command = edit(&world, "false");
    command.env("VISUAL", "true");
    Run::of(command).succeeds().says("unchanged: pk `t`");
    assert!(kept(&world).is_empty());
}

fn kept(world: &World) -> Vec<std::path::PathBuf> {
    let files = std::fs::read_dir(world.folder()).expect("a folder").flatten();
    let is_kept =
        |file: &std::fs::DirEntry| file.file_name().to_string_lossy().starts_with("ddb-item-");
    files.filter(is_kept).map(|file| file.path()).collect()
}

#[test]
fn what_was_written_in_the_editor_is_not_lost() {
    let world = with_item();
    for (editor, error, is_kept) in [
        ("sed -i '1s/{/[/'", "that is not one item as DynamoDB's JSON", true),
        (r#"sed -i 's/"t"/"u"/'"#, "the key of an item cannot be changed", true),
        (r#"sed -i '/"sk"/d'"#, "the item has no `sk`", true),
        (r#"sed -i 's/"AQ=="/"?"/'"#, "a binary of the item is not base64", true),
        (r#"sed -i 's/"150"/"many"/'"#, "cannot change an item of the table", true),
        ("false", "the editor `false` failed; nothing is changed", false),
        ("no-such-editor --wait", "the editor `no-such-editor --wait` failed", false),
        ("truncate -s 0", "the text is empty; nothing is changed", false),
        ("rm", "what it left cannot be read", false),
        ("sed -i s/reserved/kept/ \"$1\"; exit 1; :", "failed; nothing is changed", true),
    ] {
        let run = Run::of(edit(&world, editor)).prints_only("");
        assert!(matches!(run.status, Some(1 | 4)) && run.stderr.contains(error), "{editor}\n{run}");
        let files = kept(&world);
        assert_eq!(files.len(), usize::from(is_kept), "{editor}\n{run}");
        for file in files {
            let hint = format!("hint: what you wrote is kept in `{}`", file.display());
            assert!(run.stderr.contains(&hint), "{run}");
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::metadata(&file).expect("a file").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{editor}");
            std::fs::remove_file(file).expect("it can be removed");
        }
    }
    assert_eq!(item(&world), value(EVERY_TYPE));
    let mut command = world.tool("ddb-item", &["edit", "t", "1"]);
    command.env_remove("EDITOR").env_remove("VISUAL");
    Run::with_input(command, "").ends_with(1).says("there is no terminal to edit in");
}

/// What a delete prints brings the item back: where it cannot be printed it stays.
#[test]
fn what_cannot_be_printed_is_not_deleted() {
    let world = with_item();
    for output in ["table", "json"] {
        let mut command = world.tool("ddb-item", &["delete", "t", "1", "--output", output]);
        command.stdout(std::fs::File::options().write(true).open("/dev/full").expect("/dev/full"));
        let child = command.stderr(std::process::Stdio::piped()).spawn().expect("it runs");
        let ended = child.wait_with_output().expect("its end");
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(1), "{said}");
        assert!(
            said.contains("hint: the item is not deleted: first it has to be printed"),
            "{said}"
        );
        assert_eq!(item(&world), value(EVERY_TYPE));
    }
}

/// Runs a change during which somebody else changes the item: between the tool's last
/// look and its write.
fn meanwhile(world: &World, mut command: Command, other: &[&str]) -> Run {
    let others = Mutex::new(Some(world.tool("ddb-item", other)));
    let proxy = Proxy::start(&world.endpoint(), move |_, request| {
        if ["PutItem", "UpdateItem", "DeleteItem"].contains(&request.operation.as_str())
            && let Some(other) = others.lock().expect("no panic").take()
        {
            Run::of(other).succeeds();
        }
        Answer::Forward
    });
    command.args(["--endpoint-url", &proxy.url()]);
    Run::of(command)
}

#[test]
fn what_somebody_else_writes_meanwhile_stays() {
    let changed = EVERY_TYPE.replace("150", "7");
    let editor = r#"sed -i s/reserved/kept/"#;
    for (tool, other, says) in [
        ("edit", "put", "somebody else changed the item meanwhile; nothing is written"),
        ("edit", "delete", "somebody else deleted the item meanwhile; nothing is written"),
        ("delete", "put", "somebody else changed the item meanwhile; nothing is written"),
        ("put", "put", "somebody else changed the item meanwhile; nothing is written"),
    ] {
        let world = with_item();
        let file = world.file("changed.json", &changed);
        let third = world.file("third.json", EVERY_TYPE.replace("150", "8"));
        let command = match tool {
            "edit" => edit(&world, editor),
            "put" => world.tool("ddb-item", &["put", &third]),
            _ => world.tool("ddb-item", &["delete", "t", "1"]),
        };
        let other = if other == "put" { vec!["put", &file] } else { vec!["delete", "t", "1"] };
        let run = meanwhile(&world, command, &other).ends_with(1).says(says);
        assert!(tool == "delete" || run.stdout.is_empty(), "{run}");
        assert_eq!(run.stderr.contains("what you wrote is kept"), tool == "edit", "{run}");
        match other[0] {
            "put" => assert_eq!(item(&world), value(&changed), "{tool}"),
            _ => assert!(world.items("cruddur-messages").is_empty()),
        }
    }
    // A new one, which somebody else puts first.
    let world = World::dynamodb();
    world.run("ddb-schema-load", &[]).succeeds();
    let (mine, other) = (world.file("mine.json", EVERY_TYPE), world.file("other.json", &changed));
    let run = meanwhile(&world, world.tool("ddb-item", &["put", &mine]), &["put", &other]);
    run.ends_with(1).says("somebody else changed the item meanwhile; nothing is written");
    assert_eq!(item(&world), value(&changed));
}

/// A write whose answer is lost is sent again, and its condition fails on what it wrote
/// itself.
#[test]
fn a_lost_answer_is_no_failure() {
    for action in ["put", "edit", "delete"] {
        let world = if action == "put" { World::dynamodb() } else { with_item() };
        world.run("ddb-schema-load", &[]).succeeds();
        let file = world.file("item.json", EVERY_TYPE);
        let lost = Mutex::new(false);
        let proxy = Proxy::start(&world.endpoint(), move |_, request| {
            let writes =
                ["PutItem", "UpdateItem", "DeleteItem"].contains(&request.operation.as_str());
            let mut lost = lost.lock().expect("no panic");
            if writes && !*lost {
                *lost = true;
                return Answer::Lose;
            }
            Answer::Forward
        });
        let mut command = match action {
            "put" => world.tool("ddb-item", &["put", &file]),
            "edit" => edit(&world, "sed -i s/reserved/kept/"),
            _ => world.tool("ddb-item", &["delete", "t", "1"]),
        };
        command.args(["--endpoint-url", &proxy.url()]);
        let run = Run::of(command).succeeds();
        let writes =
            proxy.requests().iter().filter(|request| request.operation != "GetItem").count();
        assert!(writes >= 2, "{run}");
        match action {
            "put" => assert_eq!(item(&world), value(EVERY_TYPE)),
            "edit" => assert_eq!(item(&world)["size"]["S"], "a kept word"),
            _ => assert!(world.items("cruddur-messages").is_empty()),
        }
    }
}

#[test]
fn in_prod_an_overwrite_and_a_delete_take_the_tables_name() {
    let world = with_item();
    let changed = world.file("changed.json", EVERY_TYPE.replace("150", "7"));
    let new = world.file("new.json", r#"{"pk":{"S":"new"},"sk":{"S":"1"}}"#);
    world.run_prod("ddb-item", &["get", "prod", "t", "1"]).succeeds();
    for (arguments, hint) in [
        (&["put", "prod", &changed][..], "hint: consent with --confirm cruddur-messages"),
        (&["delete", "t", "1", "prod"], "hint: consent with --confirm cruddur-messages"),
    ] {
        let all = [arguments, &["--yes"]].concat();
        world.run_prod("ddb-item", &all).ends_with(1).prints_only("").says(hint);
    }
    assert_eq!(item(&world), value(EVERY_TYPE));
    world.run_prod("ddb-item", &["put", "prod", &new]).ends_with(1).says("consent with --yes");
    world.run_prod("ddb-item", &["put", "prod", &new, "--yes"]).succeeds().says("target: PROD");
    let mut edited = world.prod_tool("ddb-item", &["edit", "prod", "t", "1", "--yes"]);
    edited.env("EDITOR", "sed -i s/reserved/kept/");
    Run::of(edited).succeeds().says("  + size: {\"S\":\"a kept word\"}");
    let confirm = ["--confirm", "cruddur-messages"];
    let put = ["put", "prod", &changed, confirm[0], confirm[1]];
    world.run_prod("ddb-item", &put).succeeds().says("  + n: {\"N\":\"7\"}");
    let delete = ["delete", "prod", "t", "1", confirm[0], confirm[1]];
    world.run_prod("ddb-item", &delete).succeeds().prints("\"n\": {\"N\":\"7\"}");
    assert_eq!(world.items("cruddur-messages").len(), 1);
}

/// Ctrl-C is the editor's while it runs, and at the question it ends the tool.
#[test]
fn ctrl_c_at_the_editor_and_at_the_question() {
    let world = with_item();
    let editor = "sh -c 'trap \"sed -i s/reserved/kept/ $1; exit 0\" INT; echo READY; while :; do sleep 0.05; done' -";
    let mut command = world.prod_tool("ddb-item", &["edit", "prod", "t", "1"]);
    command.env("EDITOR", editor).env_remove("VISUAL").env("TMPDIR", world.folder());
    let mut session = at_terminal(command);
    session.exp_string("READY").expect("the editor");
    session.send_control('c').expect("Ctrl-C");
    session.exp_string("Continue? [y/N]").expect("the question");
    session.send_line("n").expect("answer");
    session.exp_string("declined").expect("a word");
    session.exp_string("what you wrote is kept in").expect("where it is");
    assert_eq!(status(session), 4);
    assert_eq!(item(&world), value(EVERY_TYPE));
}

#[test]
fn what_is_no_item_says_what_is_missing() {
    let world = with_item();
    let fails = |arguments: &[&str], status: i32, says: &str| {
        world.run("ddb-item", arguments).ends_with(status).prints_only("").says(says);
    };
    fails(&[], 2, "<ACTION>");
    fails(&["show", "t", "1"], 2, "invalid value 'show'");
    fails(&["get"], 2, "error: no PK is named");
    fails(&["put"], 2, "error: no FILE is named");
    fails(&["get", "t"], 2, "the table has the sort key `sk`");
    fails(&["get", "prd", "t", "1"], 2, "did you mean `prod`?");
    fails(&["get", "t", "2"], 1, "hint: `ddb-query t` shows what there is");
    fails(&["edit", "t", "2"], 1, "error: there is no item pk `t`, sk `2`");
    fails(&["delete", "t", "2"], 1, "error: there is no item pk `t`, sk `2`");
    fails(&["put", "no-such-file"], 1, "error: cannot read the item of `no-such-file`");
    fails(&["get", "t", "1", "--table", "cruddur-mesages"], 1, "did you mean `cruddur-messages`?");
    for (text, why) in [
        ("", "that is not one item"),
        ("[]", "that is not one item"),
        ("{\"pk\":\"t\"}", "that is not one item"),
        (&format!("{EVERY_TYPE}\n{EVERY_TYPE}"), "that is not one item"),
        (r#"{"pk":{"S":"t"}}"#, "error: the item has no `sk`"),
        (r#"{"pk":{"S":"t"},"sk":{"N":"1"}}"#, "error: the item has a `sk` of type N"),
        (r#"{"pk":{"S":"t"},"sk":{"S":"1"},"b":{"B":"?"}}"#, "not base64"),
        (r#"{"pk":{"S":"t"},"sk":{"S":"1"},"n":{"N":"x"}}"#, "cannot change an item of the table"),
    ] {
        let run = Run::with_input(world.tool("ddb-item", &["put", "-"]), text);
        run.ends_with(1).prints_only("").says(why);
    }
    assert_eq!(item(&world), value(EVERY_TYPE));
}

/// A key is the type that the table gives it, and one number however it is written.
#[test]
fn a_table_with_one_key_that_is_a_number() {
    let world = World::dynamodb();
    let orders = json!({
        "TableName": "orders",
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "N"}],
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "BillingMode": "PAY_PER_REQUEST",
    });
    let orders = world.file("orders.json", orders.to_string());
    world.run("ddb-schema-load", &["--schema", &orders]).succeeds();
    let order = world.file("order.json", r#"{"id":{"N":"7.0"},"a":{"S":"x"}}"#);
    let table = ["--table", "orders"];
    world.run("ddb-item", &["put", &order, table[0], table[1]]).succeeds();
    world
        .run("ddb-item", &["put", &order, table[0], table[1]])
        .succeeds()
        .says("unchanged: id `7`");
    let mut command = world.tool("ddb-item", &["edit", "07", table[0], table[1]]);
    command.env("EDITOR", "sed -i s/x/y/").env_remove("VISUAL");
    Run::of(command).succeeds().says("changed: id `7` in the table `orders`");
    let get = ["get", "7e0", table[0], table[1]];
    assert_eq!(value(&world.run("ddb-item", &get).succeeds().stdout)["a"]["S"], "y");
    let fails = |arguments: &[&str], says: &str| {
        world.run("ddb-item", &[arguments, &table].concat()).ends_with(2).says(says);
    };
    fails(&["get", "x"], "`x` is not a number, which the key `id` is");
    fails(&["get", "7", "8"], "an SK is named, and the table has no sort key");
}
