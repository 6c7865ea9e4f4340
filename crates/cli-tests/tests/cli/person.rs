//! `ddb-export-person` and `ddb-erase-person`

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::sync::Mutex;

use aws_sdk_dynamodb::types::AttributeValue;
use cli_tests::killing::Killer;
use cli_tests::proxy::{Answer, Proxy};
use cli_tests::{BAYKO, GROUP, JESS, Run, World, workspace};
use ops_common::app::records::Item;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use crate::terminal::{at_terminal, status};

const TABLE: &str = "cruddur-messages";
const MAREN: &str = "c3e8f6a4-5b7d-4c91-a2f0-7e9b4d1c8a33";

fn seeded() -> World {
    let world = World::both();
    world.run("db-setup", &["--steps", "create,schema-load,seed"]).succeeds();
    world.run("ddb-schema-load", &[]).succeeds();
    world.run("ddb-seed", &["--start", "2026-01-01T00:00:00Z"]).succeeds();
    world
}

fn send(world: &World, from: &str, to: &str, text: &str) {
    world.run("ddb-send-message", &["--from", from, "--to", to, "--", text]).succeeds();
}

fn put(world: &World, attributes: &[(&str, &str)]) {
    let text =
        |(name, text): &(&str, &str)| ((*name).to_owned(), AttributeValue::S((*text).into()));
    world.put(TABLE, attributes.iter().map(text).collect::<Item>());
}

/// What nothing of the table may have.
fn names_of(world: &World) -> String {
    world.items(TABLE).iter().map(Value::to_string).collect()
}

/// Whether a document is what a schema says, as far as our schema says anything.
fn fits(value: &Value, schema: &Value, root: &Value, at: &str) {
    let schema = match schema["$ref"].as_str() {
        Some(reference) => root.pointer(&reference[1..]).expect(reference),
        None => schema,
    };
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => return,
    };
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    assert!(kinds.contains(&kind), "{at} is {kind}, and should be {kinds:?}");
    if let Some(members) = value.as_object() {
        for name in schema["required"].as_array().into_iter().flatten() {
            assert!(members.contains_key(name.as_str().expect("a name")), "{at} lacks {name}");
        }
        for (name, value) in members {
            let member = &schema["properties"][name];
            assert!(!member.is_null() || schema["additionalProperties"] != false, "{at}/{name}");
            fits(value, member, root, &format!("{at}/{name}"));
        }
    }
    for (index, element) in value.as_array().into_iter().flatten().enumerate() {
        fits(element, &schema["items"], root, &format!("{at}/{index}"));
    }
}

#[test]
fn everything_of_one_person_and_nothing_of_others() {
    let Some(world) = World::whole() else { return };
    send(&world, "maren", "bayko", "From Maren.");
    send(&world, "bayko", "maren", "=SUM(A1) \"quoted\"");
    send(&world, "tariq", "bayko", "From Tariq.");
    put(&world, &[("pk", "CFG#1"), ("sk", "x"), ("user_uuid", BAYKO)]);
    let schema = std::fs::read_to_string(workspace().join("docs/person.schema.json"));
    let schema: Value = serde_json::from_str(&schema.expect("the schema")).expect("JSON");
    let run = world.run("ddb-export-person", &["@bayko"]).succeeds();
    run.says("53 messages of 3 conversations, 1 activity, 6 other rows, 1 user of the pool; ");
    let run = world.run("ddb-export-person", &["bayko", "local"]).succeeds();
    let document = run.json();
    fits(&document, &schema, &schema, "");
    assert_eq!(document["account"]["email"], "bayko@example.com");
    assert_eq!(document["activities"][0]["message"], "The boat floats. Mostly.");
    assert_eq!(document["sign_in"]["sub"], world.sub("bayko"));
    let of_jess = document["conversations"].as_array().expect("some");
    let of_jess = of_jess.iter().find(|one| one["uuid"] == GROUP).expect("the seeded one");
    assert_eq!(of_jess["messages"].as_array().map(Vec::len), Some(52));
    for others in ["From Maren.", "From Tariq.", "Then save me the damp rug", "jess@example.com"] {
        assert!(!run.stdout.contains(others), "{others}");
    }
    // With the others', into files that nobody else reads.
    let run =
        world.run("ddb-export-person", &["bayko", "--others", "--out", "b.json", "--csv", "b.csv"]);
    run.succeeds().prints_only("");
    let [text, csv] = ["b.json", "b.csv"].map(|name| {
        let path = world.folder().join(name);
        assert_eq!(std::fs::metadata(&path).expect(name).permissions().mode() & 0o777, 0o600);
        std::fs::read_to_string(path).expect(name)
    });
    let document: Value = serde_json::from_str(&text).expect("JSON");
    fits(&document, &schema, &schema, "");
    for others in ["From Maren.", "From Tariq.", "Then save me the damp rug"] {
        assert!(text.contains(others) && csv.contains(others), "{others}");
    }
    assert!(csv.starts_with("sent_at,conversation,with,from,text\n"), "{csv}");
    assert!(csv.contains(",maren,bayko,\"'=SUM(A1) \"\"quoted\"\"\"\n"), "{csv}");
    assert_eq!(csv.lines().count(), 1 + 104 + 3);
    let run = world.run("ddb-export-person", &["jess-bk", "--without-cognito"]).succeeds();
    assert_eq!(run.json()["cognito_looked_at"], false);
    world.run("ddb-export-person", &[]).ends_with(2).says("no HANDLE is named");
    let same = ["bayko", "--out", "x", "--csv", "x"];
    world.run("ddb-export-person", &same).ends_with(2).says("--out");
    world
        .run("ddb-export-person", &["bayko", "--csv", "-"])
        .ends_with(2)
        .says("--csv takes a file");
    world.run("ddb-export-person", &["bayk"]).ends_with(1).says("did you mean `bayko`?");
    // What is no regular file stays what it is, and a link leads where it led.
    let out = ["jess-bk", "--without-cognito", "--out"];
    let link = world.folder().join("link.json");
    std::os::unix::fs::symlink("target.json", &link).expect("a link");
    world.run("ddb-export-person", &[&out[..], &["link.json"]].concat()).succeeds();
    assert!(link.is_symlink() && world.folder().join("target.json").is_file());
    let pipe = world.folder().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    let mut command = world.tool("ddb-export-person", &[&out[..], &["pipe"]].concat());
    let mut child = command.stderr(Stdio::null()).spawn().expect("it runs");
    let piped = std::fs::read_to_string(&pipe).expect("what comes through");
    assert!(child.wait().expect("its end").success() && piped.starts_with("{\n  \"format\""));
    assert!(!pipe.is_file());
    let run = world.run("ddb-export-person", &["bayko", "--out", "no/such/folder"]);
    run.ends_with(1).prints_only("").says("error: cannot write `no/such/folder`");
}

#[test]
fn what_would_go_is_shown_and_nothing_is_changed() {
    let Some(world) = World::whole() else { return };
    let before = world.items(TABLE);
    let run = world.run("ddb-erase-person", &["bayko", "--dry-run"]).succeeds().prints_only("");
    run.says("\n  52 messages lose their text and names\n  1 row of their inbox and 0 of pairs are deleted\n  1 row of other people's inboxes name nobody in their place\n")
        .says("\n  the account and 1 activity are deleted\n")
        .says("\n  the user `bayko` stays; --cognito deletes it\n");
    assert_eq!(world.items(TABLE), before);
    assert_eq!(world.sql("SELECT count(*) FROM users"), ["4"]);
    world.run("ddb-erase-person", &[]).ends_with(2).says("no HANDLE is named");
    world.run("ddb-erase-person", &["bayk"]).ends_with(1).says("did you mean `bayko`?");
    world.run("ddb-erase-person", &["prd", "bayko"]).ends_with(2).says("did you mean `prod`?");
}

#[test]
fn redacted_emptied_and_the_user_deleted() {
    let Some(world) = World::whole() else { return };
    let sub = world.sub("bayko");
    world.sql(&format!("INSERT INTO activities (user_uuid, message, reply_to_activity_uuid) SELECT '{JESS}', 'A reply', uuid FROM activities"));
    let run = ["bayko", "--cognito", "--account", "empty", "--output", "json"];
    let receipt = world.run("ddb-erase-person", &run).succeeds().json();
    assert_eq!(
        receipt["rows"],
        json!({"messages": 52, "own_inbox_rows": 1, "other_inbox_rows": 1, "pair_rows": 0})
    );
    assert_eq!((&receipt["verified"], &receipt["account"]), (&json!(true), &json!("empty")));
    assert_eq!(receipt["user_of_the_pool"], json!({"username": "bayko", "deleted": true}));
    let left = names_of(&world);
    assert!(!left.contains("bayko") && !left.contains(BAYKO) && !left.contains("Bayko Lund"));
    assert!(!left.contains("I stand by it") && left.contains("(erased)"));
    let users = world
        .sql("SELECT (handle, display_name, email, cognito_user_id)::text FROM users")
        .join("\n");
    assert!(
        !users.contains("bayko")
            && !users.contains(&sub)
            && users.contains(&format!("erased-{BAYKO}"))
    );
    assert_eq!(
        world.sql("SELECT message FROM activities ORDER BY message"),
        ["(erased)", "A reply"]
    );
    let pool = world.run("cognito-list-users", &["--output", "json"]).succeeds();
    assert!(!pool.stdout.contains("bayko"), "{pool}");
    world.run("check-identities", &[]).succeeds();
}

#[test]
fn deleted_and_the_user_named() {
    let Some(world) = World::whole() else { return };
    send(&world, "bayko", "tariq", "Only mine.");
    let run = world.run("ddb-erase-person", &["bayko", "--messages", "delete"]).succeeds();
    run.prints("erased: 58 rows of the table, which was read again and has nothing of them")
        .says("the user `bayko` of the pool is still there, and can sign in")
        .says("aws cognito-idp admin-delete-user --user-pool-id ");
    let left = names_of(&world);
    assert!(!left.contains("bayko") && !left.contains(BAYKO) && !left.contains("Only mine."));
    assert_eq!(world.sql("SELECT count(*) FROM users"), ["3"]);
    // Who wrote nothing still sees the conversation, and cannot go on with it.
    let run = world.run("ddb-list-conversations", &["--handle", "tariq"]).succeeds();
    run.prints("erased").says("1 conversation of user");
    let found =
        world.run("ddb-list-conversations", &["--handle", "tariq", "--output", "json"]).succeeds();
    let group = found.json()["conversations"][0]["uuid"].as_str().expect("a uuid").to_owned();
    world
        .run("ddb-send-message", &["--from", "tariq", "--group", &group, "Hello?"])
        .ends_with(1)
        .says("error: the other person's data was erased; the message is not sent");
    world.run("check-identities", &["--without-cognito"]).succeeds();
    // Again, by the uuid: nothing is left.
    let run = world.run("ddb-erase-person", &[BAYKO]).succeeds();
    run.prints("erased: 0 rows of the table");
}

#[test]
fn rows_of_an_unknown_kind_are_named_and_the_account_stays() {
    let world = seeded();
    put(&world, &[("pk", "CFG#1"), ("sk", "x"), ("user_uuid", BAYKO)]);
    let erase = ["bayko", "--without-cognito"];
    let run = world.run("ddb-erase-person", &erase).ends_with(3).prints_only("");
    run.says("1 row of the table `cruddur-messages` names them, and is of no kind that the app writes\n  cause: CFG#1 x\n");
    assert_eq!(world.sql("SELECT count(*) FROM users"), ["4"]);
    world.run("ddb-item", &["delete", "CFG#1", "x"]).succeeds();
    world.run("ddb-erase-person", &erase).succeeds();
    assert_eq!(world.sql("SELECT count(*) FROM users"), ["3"]);
}

/// Rows in which they are deep inside, or only by their handle, and what the app does not
/// write of a message.
#[test]
fn wherever_they_are_named() {
    let world = seeded();
    for (sk, attributes) in [
        ("1", format!(r#""x":{{"S":"user#{}"}}"#, BAYKO.to_uppercase())),
        ("2", format!(r#""x":{{"M":{{"deep":{{"SS":["a","{BAYKO}"]}}}}}}"#)),
        ("3", r#""user_handle":{"S":"bayko"}"#.to_owned()),
    ] {
        let row = world.file(
            "row.json",
            format!(r#"{{"pk":{{"S":"LIKE#1"}},"sk":{{"S":"{sk}"}},{attributes}}}"#),
        );
        world.run("ddb-item", &["put", &row]).succeeds();
    }
    let mut own = world
        .run(
            "ddb-query",
            &[
                &format!("MSG#{GROUP}"),
                "--filter",
                "user_handle = 'bayko'",
                "--limit",
                "1",
                "--output",
                "jsonl",
            ],
        )
        .succeeds()
        .stdout;
    own.truncate(own.trim_end().len() - 1);
    let own: Value =
        serde_json::from_str(&format!("{own},\"e-mail \\\"x\\\"\":\"b@example.com\"}}"))
            .expect("a row");
    let own: Vec<(&str, &str)> = own
        .as_object()
        .expect("a row")
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str().expect("text")))
        .collect();
    put(&world, &own);
    let export = world.run("ddb-export-person", &["bayko", "--without-cognito"]).succeeds();
    assert_eq!(export.json()["other_rows"].as_array().map(Vec::len), Some(4), "{export}");
    let erase = ["bayko", "--without-cognito"];
    let run = world.run("ddb-erase-person", &erase).ends_with(3).prints_only("");
    run.says("error: 3 rows of the table").says("cause: LIKE#1 1\n").says("cause: LIKE#1 3\n");
    for sk in ["1", "2", "3"] {
        world.run("ddb-item", &["delete", "LIKE#1", sk]).succeeds();
    }
    world.run("ddb-erase-person", &erase).succeeds();
    let left = names_of(&world);
    assert!(!left.contains("b@example.com") && !left.to_lowercase().contains(BAYKO));
    let nobody = "00000000-0000-0000-0000-000000000000";
    world
        .run("ddb-erase-person", &[nobody, "--without-cognito"])
        .ends_with(2)
        .says("the uuid of nobody");
}

/// Who is deleted from the pool is surely the person.
#[test]
fn nobody_else_is_deleted_from_the_pool() {
    let Some(world) = World::whole() else { return };
    let erase = ["tariq", "--cognito"];
    world.sql("UPDATE users SET cognito_user_id = 'MOCK' WHERE handle = 'tariq'");
    let run = world.run("ddb-erase-person", &erase).ends_with(1).prints_only("");
    run.says("error: no user of the pool is surely theirs; nothing is erased\n  cause: nobody there has the sub `MOCK`")
        .says("hint: `update-cognito-user-ids` carries the right ids over");
    let sub = world.sub("jess-bk");
    world.sql(&format!("UPDATE users SET cognito_user_id = '{sub}' WHERE handle = 'tariq'"));
    let run = world.run("ddb-erase-person", &erase).ends_with(1).prints_only("");
    run.says("whose sub the account has, has the handle `jess-bk`");
    assert_eq!(world.sql("SELECT count(*) FROM users"), ["4"]);
    let run = world.run("ddb-erase-person", &["tariq", "--dry-run"]).succeeds();
    run.says("warning: no user of the pool is surely theirs: ")
        .says("warning: the table `cruddur-messages` has no row of theirs");
}

#[test]
fn every_target_but_a_stamped_local_one_asks_for_the_handle() {
    let world = seeded();
    let before = world.items(TABLE);
    let fails = |run: Run, says: &str| {
        run.ends_with(1).prints_only("").says(says);
        assert_eq!(world.items(TABLE), before);
        assert_eq!(world.sql("SELECT count(*) FROM users"), ["4"]);
    };
    let erase = ["bayko", "--without-cognito"];
    world.sql("UPDATE cruddur_ops.stamp SET environment = 'prod'");
    fails(world.run("ddb-erase-person", &erase), "is stamped `prod`");
    let prod = ["prod", "bayko", "--without-cognito"];
    fails(world.run_prod("ddb-erase-person", &prod), "consent with --confirm bayko");
    fails(
        world.run_prod("ddb-erase-person", &[&prod[..], &["--yes"]].concat()),
        "consent with --confirm bayko",
    );
    fails(
        world.run_prod("ddb-erase-person", &[&prod[..], &["--confirm", TABLE]].concat()),
        "the person is `bayko`",
    );
    let ask = || {
        let mut session = at_terminal(world.prod_tool("ddb-erase-person", &prod));
        session.exp_string("this erases `bayko`").expect("the plan");
        session.exp_string("52 messages lose their text and names").expect("the plan");
        session.exp_string("Type the name of the person to continue:").expect("the question");
        session
    };
    let mut session = ask();
    session.send_line("y").expect("answer");
    assert_eq!(status(session), 4);
    // The account changes while the question waits.
    let mut session = ask();
    world.sql("UPDATE users SET cognito_user_id = 'other' WHERE handle = 'bayko'");
    session.send_line("bayko").expect("answer");
    session
        .exp_string("the account changed while the question waited; nothing is erased")
        .expect("why");
    assert_eq!(status(session), 1);
    assert_eq!(world.items(TABLE), before);
    world.sql("DROP SCHEMA cruddur_ops CASCADE");
    fails(world.run("ddb-erase-person", &erase), "consent with --confirm bayko");
    world.run("ddb-erase-person", &[&erase[..], &["--confirm", "bayko"]].concat()).succeeds();
    assert!(!names_of(&world).contains("bayko"));
}

/// Killed at whatever request, the same command ends with what one run would have made.
#[test]
fn killed_and_run_again_nothing_is_left() {
    for how in ["redact", "delete"] {
        let world = seeded();
        for (from, to) in
            [("bayko", "maren"), ("maren", "bayko"), ("tariq", "bayko"), ("jess-bk", "maren")]
        {
            for text in ["one", "two"] {
                send(&world, from, to, text);
            }
        }
        let others = of_others(&world);
        let killer = Killer::start(&world.endpoint(), |_| true);
        let (mut kills, mut person) = (0, "bayko");
        for place in 0.. {
            assert!(place < 100, "it does not come to an end");
            let erase =
                [person, "--without-cognito", "--messages", how, "--endpoint-url", &killer.url()];
            let run = killer.run(world.tool("ddb-erase-person", &erase), place);
            if run.status == Some(0) {
                break;
            }
            if run.stderr.contains("no user has the handle `bayko`") {
                // Killed behind the account's end: what is left goes by the uuid.
                person = BAYKO;
                continue;
            }
            assert_eq!(run.status, None, "it failed\n{run}");
            kills += 1;
        }
        assert!(kills >= 5, "only {kills} kills");
        let left = names_of(&world);
        assert!(!left.contains("bayko") && !left.contains(BAYKO), "{how}");
        assert_eq!(of_others(&world), others, "{how}");
        world.run("check-identities", &["--without-cognito"]).succeeds();
    }
}

/// The first request of each kind fails for a moment.
#[test]
fn what_is_throttled_or_lost_is_sent_again() {
    for fault in ["throttled", "busy", "lost"] {
        let world = seeded();
        send(&world, "bayko", "maren", "one");
        send(&world, "maren", "bayko", "two");
        let others = of_others(&world);
        let failed = Mutex::new(BTreeSet::new());
        let proxy = Proxy::start(&world.endpoint(), move |_, request| {
            if !failed.lock().expect("no panic").insert(request.operation.clone()) {
                return Answer::Forward;
            }
            let error = |kind: &str| json!({"__type": format!("x#{kind}"), "message": "no"});
            match fault {
                "throttled" => Answer::Reply { status: 400, body: error("ThrottlingException") },
                "busy" => Answer::Reply { status: 500, body: error("InternalServerError") },
                _ => Answer::Lose,
            }
        });
        let erase = ["bayko", "--without-cognito", "--endpoint-url", &proxy.url()];
        world.run("ddb-erase-person", &erase).succeeds();
        let seen: BTreeSet<String> =
            proxy.requests().into_iter().map(|request| request.operation).collect();
        assert!(seen.len() >= 3, "{seen:?}");
        let left = names_of(&world);
        assert!(!left.contains("bayko") && !left.contains(BAYKO), "{fault}");
        assert_eq!(of_others(&world), others, "{fault}");
    }
}

/// What others wrote, and which conversations their inboxes list.
fn of_others(world: &World) -> (Vec<String>, Vec<(String, String)>) {
    let items = world.items(TABLE);
    let text = |item: &Value, name: &str| item[name].as_str().unwrap_or_default().to_owned();
    let messages = items.iter().filter(|item| item["message_uuid"].is_string());
    let nobody = "00000000-0000-0000-0000-000000000000";
    let mut messages: Vec<String> = messages
        .filter(|item| item["user_uuid"] != BAYKO && item["user_uuid"] != nobody)
        .map(Value::to_string)
        .collect();
    let rows = items.iter().filter(|item| text(item, "pk").starts_with("GRP#"));
    let rows = rows.filter(|item| text(item, "pk") != format!("GRP#{BAYKO}"));
    let mut inboxes: Vec<_> =
        rows.map(|item| (text(item, "pk"), text(item, "message_group_uuid"))).collect();
    messages.sort();
    inboxes.sort();
    (messages, inboxes)
}

/// For any conversations: nothing of the person is left, nothing of others is lost, every
/// other inbox lists what it did.
#[test]
fn whatever_was_written() {
    let people = ["bayko", "maren", "tariq", "jess-bk"];
    let pair = (0..4_usize, 0..4_usize).prop_filter("two people", |(from, to)| from != to);
    let strategy = (proptest::collection::vec(pair, 1..12), any::<bool>(), any::<bool>());
    let config = Config { cases: 8, failure_persistence: None, ..Config::default() };
    let run = TestRunner::new(config).run(&strategy, |(messages, delete, empty)| {
        let world = World::both();
        world.run("db-setup", &["--steps", "create,schema-load,seed"]).succeeds();
        world.run("ddb-schema-load", &[]).succeeds();
        for (number, (from, to)) in messages.iter().enumerate() {
            send(&world, people[*from], people[*to], &format!("Message {number}"));
        }
        let before = of_others(&world);
        let how = if delete { "delete" } else { "redact" };
        let account = if empty { "empty" } else { "delete" };
        let erase = ["bayko", "--without-cognito", "--messages", how, "--account", account];
        world.run("ddb-erase-person", &erase).succeeds();
        let left = names_of(&world);
        prop_assert!(
            !left.contains("bayko") && !left.contains(BAYKO) && !left.contains("Bayko"),
            "{left}"
        );
        prop_assert_eq!(of_others(&world), before);
        world.run("check-identities", &["--without-cognito"]).succeeds();
        Ok(())
    });
    run.unwrap_or_else(|error| panic!("{error}"));
}

/// A message that comes while the table is read is found by the next reading.
#[test]
fn what_is_written_meanwhile_goes_too() {
    let world = seeded();
    send(&world, "maren", "bayko", "Before.");
    let late = world.tool("ddb-send-message", &["--from", "bayko", "--to", "maren", "Meanwhile."]);
    let late = Mutex::new(Some(late));
    let scans = Mutex::new(0);
    let proxy = Proxy::start(&world.endpoint(), move |_, request| {
        let mut scans = scans.lock().expect("no panic");
        *scans += usize::from(request.operation == "Scan");
        if request.operation == "BatchExecuteStatement"
            && let Some(late) = late.lock().expect("no panic").take()
        {
            Run::of(late).succeeds();
        }
        Answer::Forward
    });
    let erase = ["bayko", "--without-cognito", "--endpoint-url", &proxy.url()];
    world.run("ddb-erase-person", &erase).succeeds();
    let left = names_of(&world);
    assert!(!left.contains("Meanwhile.") && !left.contains(BAYKO));
    assert!(left.contains("Before.") && left.contains(MAREN));
    world.run("check-identities", &["--without-cognito"]).succeeds();
}
