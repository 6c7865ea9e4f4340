//! `ddb-refresh-names`

use std::sync::Mutex;

use aws_sdk_dynamodb::types::AttributeValue::{N, S};
use cli_tests::killing::Killer;
use cli_tests::proxy::{Answer, Proxy};
use cli_tests::{BAYKO, GROUP, JESS, Run, Running, World};
use ops_common::app::records::Item;
use serde_json::{Value, json};

use crate::terminal::{at_terminal, status};

/// The seeded conversation, of which one person was renamed since.
fn renamed() -> World {
    let world = World::both();
    world.run("db-setup", &["--steps", "create,schema-load,seed"]).succeeds();
    world.run("ddb-schema-load", &[]).succeeds();
    world.run("ddb-seed", &["--start", "2026-01-01T00:00:00Z"]).succeeds();
    rename(&world);
    world
}

fn rename(world: &World) {
    world
        .sql("UPDATE users SET handle = 'baiko', display_name = 'Baiko L.' WHERE handle = 'bayko'");
}

/// The rows as they should be: nothing is different but the names of one person.
fn expected(rows: &[Value]) -> Vec<Value> {
    let mut rows = rows.to_vec();
    for row in rows.iter_mut().filter(|row| row["user_uuid"] == BAYKO) {
        row["user_handle"] = json!("baiko");
        row["user_display_name"] = json!("Baiko L.");
    }
    rows
}

fn items(world: &World) -> Vec<Value> {
    let mut items = world.items("cruddur-messages");
    items.sort_by_key(|item| (item["pk"].to_string(), item["sk"].to_string()));
    items
}

#[test]
fn the_names_of_postgres_come_into_every_row() {
    let world = renamed();
    let before = items(&world);
    let run = world.run("ddb-refresh-names", &["--all", "--dry-run"]).succeeds();
    run.says("106 rows read: 53 would be changed, 53 right already; ")
        .prints("    53   bayko, Bayko Lund   baiko, Baiko L.");
    assert_eq!(items(&world), before);
    let run =
        world.run("ddb-refresh-names", &["--handle", "@baiko", "--output", "json"]).succeeds();
    let report = run.json();
    assert_eq!((&report["target"], &report["written"]), (&json!("local"), &json!(true)));
    let counts = ["read", "changed", "right", "others", "strangers", "gone"];
    assert_eq!(counts.map(|name| report[name].as_u64()), [106, 53, 0, 53, 0, 0].map(Some));
    let change = json!({"old_handle": "bayko", "old_display_name": "Bayko Lund", "handle": "baiko", "display_name": "Baiko L.", "rows": 53});
    assert_eq!(report["changes"], json!([change]));
    assert_eq!(items(&world), expected(&before));
    let run = world.run("ddb-refresh-names", &["--all"]).succeeds().prints_only("");
    run.says("106 rows read: 0 changed, 106 right already; 4 capacity units");
}

#[test]
fn rows_of_every_kind_are_left_as_they_are_but_for_the_names() {
    let world = renamed();
    let row = |pk: &str, sk: &str, more: &[(&str, aws_sdk_dynamodb::types::AttributeValue)]| {
        let mut row = Item::from([("pk".into(), S(pk.into())), ("sk".into(), S(sk.into()))]);
        row.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        world.put("cruddur-messages", row);
    };
    let user = ("user_uuid", S(BAYKO.into()));
    let group = format!("MSG#{GROUP}");
    // Without names, with names that are no texts, with more than the app writes.
    row(&group, "a", std::slice::from_ref(&user));
    row(&group, "b", &[user.clone(), ("user_handle", N("7".into())), ("more", N("1.50".into()))]);
    row(&group, "c", &[("user_uuid", S(BAYKO.to_uppercase())), ("user_handle", S("bayko".into()))]);
    // Of other kinds, or of nobody.
    row("PAIR#x", "conversation", std::slice::from_ref(&user));
    row("CFG#1", "x", &[user]);
    row(&group, "d", &[("user_uuid", S("nobody".into()))]);
    row(&group, "e", &[("user_uuid", S("00000000-0000-4000-8000-000000000001".into()))]);
    let before = items(&world);
    let run = world.run("ddb-refresh-names", &["--all"]).succeeds();
    run.says("113 rows read: 56 changed, 53 right already, 3 of others; ")
        .says("warning: the person of 1 row is not in Postgres; `check-identities` says who")
        .prints("(none), (none)");
    let mut expected = expected(&before);
    for row in &mut expected {
        let is_other = ["PAIR#x", "CFG#1"].iter().any(|pk| row["pk"] == *pk);
        if is_other {
            *row = before.iter().find(|other| other["pk"] == row["pk"]).expect("a row").clone();
        } else if row["sk"] == "c" {
            row["user_handle"] = json!("baiko");
            row["user_display_name"] = json!("Baiko L.");
        }
    }
    assert_eq!(items(&world), expected);
}

#[test]
fn a_conversation_that_moves_meanwhile_is_found_again() {
    let world = renamed();
    let before = items(&world);
    let send =
        world.tool("ddb-send-message", &["--from", "jess-bk", "--group", GROUP, "Meanwhile."]);
    let send = Mutex::new(Some(send));
    let proxy = Proxy::start(&world.endpoint(), move |_, request| {
        if request.operation == "BatchExecuteStatement"
            && let Some(send) = send.lock().expect("no panic").take()
        {
            Run::of(send).succeeds();
        }
        Answer::Forward
    });
    let run = world.run("ddb-refresh-names", &["--all", "--endpoint-url", &proxy.url()]).succeeds();
    run.says("106 rows read: 53 changed, 53 right already; ");
    let after = items(&world);
    assert_eq!(after.len(), before.len() + 1);
    assert!(after == expected(&after), "{after:?}");
    let moved = after.iter().find(|row| row["pk"] == format!("GRP#{JESS}")).expect("a row");
    assert_eq!((&moved["message"], &moved["user_handle"]), (&json!("Meanwhile."), &json!("baiko")));
    world.run("ddb-get-conversation", &["--limit", "1"]).succeeds().prints("Meanwhile.");
}

#[test]
fn what_is_lost_or_throttled_is_sent_again() {
    for fault in ["lost", "throttled", "busy", "later"] {
        let world = renamed();
        let before = items(&world);
        let proxy = Proxy::start(&world.endpoint(), {
            let first = Mutex::new(true);
            move |_, request| {
                let is_write = request.operation == "BatchExecuteStatement";
                if !is_write || !std::mem::take(&mut *first.lock().expect("no panic")) {
                    return Answer::Forward;
                }
                let error = |kind: &str| json!({"__type": format!("x#{kind}"), "message": "no"});
                match fault {
                    "lost" => Answer::Lose,
                    "throttled" => {
                        Answer::Reply { status: 400, body: error("ThrottlingException") }
                    }
                    "busy" => Answer::Reply { status: 500, body: error("InternalServerError") },
                    _ => {
                        let statements = request.body["Statements"].as_array().expect("some").len();
                        let later = json!({"Error": {"Code": "ProvisionedThroughputExceeded", "Message": "no"}});
                        let body = json!({"Responses": vec![later; statements]});
                        Answer::Reply { status: 200, body }
                    }
                }
            }
        });
        let run =
            world.run("ddb-refresh-names", &["--all", "--endpoint-url", &proxy.url()]).succeeds();
        run.says("106 rows read: 53 changed, 53 right already; ");
        assert_eq!(items(&world), expected(&before), "{fault}");
    }
}

#[test]
fn what_is_refused_says_how_much_is_done() {
    let world = renamed();
    let refusing = |code: &'static str, after: usize| {
        let seen = Mutex::new(0);
        Proxy::start(&world.endpoint(), move |_, request| {
            let mut seen = seen.lock().expect("no panic");
            *seen += usize::from(request.operation == "BatchExecuteStatement");
            if request.operation != "BatchExecuteStatement" || *seen <= after {
                return Answer::Forward;
            }
            let statements = request.body["Statements"].as_array().expect("some").len();
            let refused = json!({"Error": {"Code": code, "Message": "not so"}});
            Answer::Reply { status: 200, body: json!({"Responses": vec![refused; statements]}) }
        })
    };
    let run = |proxy: &Proxy| {
        let arguments = ["--all", "--give-up-after", "1", "--endpoint-url", &proxy.url()];
        world.run("ddb-refresh-names", &arguments)
    };
    run(&refusing("AccessDenied", 0)).ends_with(1).says("cause: AccessDenied: not so");
    run(&refusing("ThrottlingError", 0))
        .ends_with(1)
        .says("cause: no progress after 1 s of retries")
        .says("hint: run it again later, or with a lower --max-wcu");
    let fewer = Proxy::start(&world.endpoint(), |_, request| match &*request.operation {
        "BatchExecuteStatement" => Answer::Reply { status: 200, body: json!({"Responses": []}) },
        _ => Answer::Forward,
    });
    run(&fewer).ends_with(1).says("0 answers to ");
    let nobody = world.run("ddb-refresh-names", &["--handle", "bayko"]).ends_with(1);
    nobody.says("hint: did you mean `baiko`?");
    world.run("ddb-refresh-names", &[]).ends_with(2).says("--handle <HANDLE>|--all");
    world.run("ddb-refresh-names", &["--all", "--handle", "baiko"]).ends_with(2);
}

#[test]
fn prod_shows_the_plan_and_asks() {
    let world = renamed();
    world.sql("UPDATE cruddur_ops.stamp SET environment = 'prod'");
    let before = items(&world);
    let run = world.run_prod("ddb-refresh-names", &["prod", "--all"]);
    run.ends_with(1).prints_only("").says("hint: consent with --yes");
    world.run_prod("ddb-refresh-names", &["prod", "--all", "--dry-run"]).succeeds().prints("53");
    assert_eq!(items(&world), before);
    let ask = || {
        let mut session = at_terminal(world.prod_tool("ddb-refresh-names", &["prod", "--all"]));
        session.exp_string("this changes the names in 53 rows of the table").expect("the plan");
        session
            .exp_string("53 rows: `bayko`, Bayko Lund -> `baiko`, Baiko L.")
            .expect("the change");
        session.exp_string("Continue? [y/N]").expect("the question");
        session
    };
    let mut session = ask();
    session.send_line("n").expect("answer");
    assert_eq!(status(session), 4);
    // Another name, while the question waits.
    let mut session = ask();
    world.sql("UPDATE users SET display_name = 'Another' WHERE handle = 'jess-bk'");
    session.send_line("y").expect("answer");
    session
        .exp_string("people were renamed while the question waited; nothing is done")
        .expect("why");
    assert_eq!(status(session), 1);
    assert_eq!(items(&world), before);
    world.sql("UPDATE users SET display_name = 'Jess Brookes' WHERE handle = 'jess-bk'");
    let run = world.run_prod("ddb-refresh-names", &["prod", "--all", "--yes"]).succeeds();
    run.says("this changes the names in 53 rows").says("53 changed");
    assert_eq!(items(&world), expected(&before));
    world.run_prod("ddb-refresh-names", &["prod", "--all", "--yes"]).succeeds().says("0 changed");
}

/// Many people and conversations, in a table that is larger than a page.
fn large(people: usize, rows: usize) -> World {
    let world = renamed();
    let mut lines = String::new();
    for row in 0..rows {
        let (user, group) = (row % people, row % (people * 3));
        let time = format!(
            "2026-01-01T{:02}:{:02}:{:02}.000000+00:00",
            row / 3600 % 24,
            row / 60 % 60,
            row % 60
        );
        let names = format!(
            r#""user_uuid":{{"S":"00000000-0000-4000-8000-{user:012}"}},"user_handle":{{"S":"old{user}"}},"user_display_name":{{"S":"Old {user}"}}"#
        );
        lines += &format!(
            "{{\"Item\":{{\"pk\":{{\"S\":\"MSG#10000000-0000-4000-8000-{group:012}\"}},\"sk\":{{\"S\":\"{time}\"}},\"message_uuid\":{{\"S\":\"20000000-0000-4000-8000-{row:012}\"}},\"message\":{{\"S\":\"Message {row}\"}},{names}}}}}\n"
        );
    }
    let file = world.file("rows.json", lines);
    world.run("ddb-import", &[&file]).succeeds();
    world.sql(&format!(
        "INSERT INTO users (uuid, display_name, handle, email, cognito_user_id)
         SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, 'New ' || n, 'new' || n, n || '@x', 'x' || n
         FROM generate_series(0, {}) AS n", people - 1
    ));
    world
}

/// Killed at whatever moment, the same command ends with what one run would have made.
#[test]
fn killed_and_run_again_it_ends_the_same() {
    let world = large(50, 9_000);
    let mut want = items(&world);
    for row in &mut want {
        let user = row["user_handle"].as_str().and_then(|handle| handle.strip_prefix("old"));
        if let Some(user) = user.map(str::to_owned) {
            row["user_handle"] = json!(format!("new{user}"));
            row["user_display_name"] = json!(format!("New {user}"));
        }
    }
    let want = expected(&want);
    let killer =
        Killer::start(&world.endpoint(), |request| request.operation == "BatchExecuteStatement");
    let again = ["--all", "--checkpoint", "names.mark", "--endpoint-url", &killer.url()];
    let mut kills = 0;
    loop {
        assert!(kills < 200, "it does not come to an end");
        let run = killer.run(world.tool("ddb-refresh-names", &again), 3 + kills * 7 % 40);
        if run.status == Some(0) {
            break;
        }
        assert_eq!(run.status, None, "it failed\n{run}");
        kills += 1;
    }
    assert!(kills >= 3, "only {kills} kills");
    assert!(items(&world) == want, "another end");
    // A finished run is no reason to leave out what was renamed since.
    world.run("ddb-refresh-names", &again).succeeds().says(" 0 changed");
    world.sql("UPDATE users SET handle = 'another' WHERE handle = 'new7'");
    world.run("ddb-refresh-names", &again).succeeds().says(" 180 changed").prints("another, New 7");
}

/// An unfinished run goes on with the same people only; Ctrl-C says what is done.
#[test]
fn a_checkpoint_is_of_the_people_that_it_began_with() {
    let world = large(50, 5_000);
    let again = ["--all", "--checkpoint", "names.mark", "--max-wcu", "1000"];
    let running = Running::start(world.tool("ddb-refresh-names", &again));
    let mark = world.folder().join("names.mark");
    cli_tests::wait_for("the first page", || {
        std::fs::metadata(&mark).is_ok_and(|file| file.len() > 0)
    });
    running
        .interrupt()
        .ends_with(130)
        .says("error: interrupted\n  cause: ")
        .says("rows changed\n  hint: run it again: what is changed stays, the rest follows");
    world.sql("UPDATE users SET handle = 'another' WHERE handle = 'new7'");
    let run = world.run("ddb-refresh-names", &again[..3]).ends_with(1);
    run.says("the checkpoint `names.mark` is of other people, or other names of them");
    world.sql("UPDATE users SET handle = 'new7' WHERE handle = 'another'");
    world.run("ddb-refresh-names", &again[..3]).succeeds();
    world.run("ddb-refresh-names", &["--all"]).succeeds().says(" 0 changed");
}
