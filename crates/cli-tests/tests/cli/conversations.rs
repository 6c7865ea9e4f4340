//! `ddb-get-conversation` and `ddb-list-conversations`

use std::io::{BufRead, BufReader};

use aws_sdk_dynamodb::types::AttributeValue;
use cli_tests::proxy::{Answer, Proxy};
use cli_tests::{BAYKO, GROUP, JESS, Running, World};
use ops_common::app::records::Item;

fn broken_message() -> Item {
    let text = |text: String| AttributeValue::S(text);
    Item::from([
        ("pk".to_owned(), text(format!("MSG#{GROUP}"))),
        ("sk".to_owned(), text("2026-02-01T00:00:00.000000+00:00".into())),
        ("message".to_owned(), text("no sender".into())),
    ])
}

#[test]
fn the_newest_are_shown_oldest_first() {
    let world = World::seeded();
    let run = world
        .run("ddb-get-conversation", &["--limit", "3"])
        .succeeds()
        .says(&format!("3 messages of conversation {GROUP}; 0.5 read units"))
        .says("older ones exist: --limit 6 shows more");
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(lines.len(), 5, "{run}");
    assert!(lines[2].contains("2026-01-01 01:41") && lines[2].contains("jess-bk"), "{run}");
    assert!(lines[4].contains("2026-01-01 01:43"), "{run}");
}

#[test]
fn json_has_the_names_of_the_apps_api() {
    let world = World::seeded();
    let report =
        world.run("ddb-get-conversation", &["--output", "json", "--limit", "2"]).succeeds().json();
    assert_eq!(report["message_group_uuid"], GROUP);
    assert_eq!(report["consumed_capacity"], 0.5);
    let message = &report["messages"][1];
    assert_eq!(message["handle"], "jess-bk");
    assert_eq!(message["display_name"], "Jess Brookes");
    assert_eq!(message["created_at"], "2026-01-01T01:43:00.000000+00:00");
    assert!(message["uuid"].is_string() && message["message"].is_string());
    assert_eq!(message.as_object().map(serde_json::Map::len), Some(5));
}

#[test]
fn all_of_it_where_the_limit_allows() {
    let world = World::seeded();
    for limit in ["104", "1000"] {
        let run =
            world.run("ddb-get-conversation", &["--limit", limit, "--output", "json"]).succeeds();
        assert_eq!(run.json()["messages"].as_array().map(Vec::len), Some(104));
        run.does_not_say("older ones exist");
    }
}

#[test]
fn a_period_is_inclusive_and_never_hidden() {
    let world = World::seeded();
    let count = |arguments: &[&str]| {
        let mut all = vec!["--limit", "1000", "--output", "json"];
        all.extend(arguments);
        world.run("ddb-get-conversation", &all).succeeds().json()["messages"]
            .as_array()
            .map(Vec::len)
    };
    assert_eq!(count(&["--since", "2026-01-01T01:00:00Z"]), Some(44));
    assert_eq!(count(&["--until", "2026-01-01T00:00:00Z"]), Some(1));
    assert_eq!(count(&["--since", "2026-01-01T00:10", "--until", "2026-01-01T00:19"]), Some(10));
    assert_eq!(count(&["--until", "2026-01-01"]), Some(104));
    assert_eq!(count(&["--since", "2026-01-02"]), Some(0));
    world
        .run("ddb-get-conversation", &["--since", "soon"])
        .ends_with(2)
        .says("expected a time like");
    world
        .run("ddb-get-conversation", &["--since", "2026-01-02", "--until", "2026-01-01"])
        .ends_with(2)
        .says("error: --since (2026-01-02T00:00:00.000000+00:00) is later than --until");
}

#[test]
fn an_unknown_conversation_is_empty_and_says_what_to_do() {
    let world = World::seeded();
    world
        .run("ddb-get-conversation", &["--group", "00000000-0000-4000-8000-000000000000"])
        .succeeds()
        .prints_only("")
        .says("0 messages of conversation")
        .says("`ddb-list-conversations --handle HANDLE` shows");
    world
        .run("ddb-get-conversation", &["--group", "x"])
        .ends_with(2)
        .says("invalid value 'x' for '--group <UUID>'");
}

#[test]
fn a_row_that_cannot_be_read_is_told_and_the_rest_shown() {
    let world = World::seeded();
    world.put("cruddur-messages", broken_message());
    world
        .run("ddb-get-conversation", &["--limit", "3"])
        .ends_with(3)
        .prints("2026-01-01 01:43")
        .says("warning: the row with pk `MSG#5ae290ed-55d1-47a0-bc6d-fe2bc2700399` and sk `2026-02-01T00:00:00.000000+00:00` cannot be read: missing field `message_uuid`")
        .says("error: 1 row could not be read and left out");
}

#[test]
fn conversations_of_a_handle() {
    let world = World::seeded();
    world
        .run("ddb-list-conversations", &[])
        .succeeds()
        .prints("bayko")
        .prints("Bayko Lund")
        .prints("2026-01-01 01:43")
        .prints(GROUP)
        .says(&format!("1 conversation of user {JESS}; 0.5 read units"));
    world
        .run("ddb-list-conversations", &["--handle", "@bayko"])
        .succeeds()
        .prints("jess-bk")
        .says(BAYKO);
    let report = world
        .run("ddb-list-conversations", &["--handle", "bayko", "--output", "json"])
        .succeeds()
        .json();
    assert_eq!(report["user_uuid"], BAYKO);
    assert_eq!(report["conversations"][0]["uuid"], GROUP);
    assert_eq!(report["conversations"][0]["handle"], "jess-bk");
    assert_eq!(report["conversations"][0]["created_at"], "2026-01-01T01:43:00.000000+00:00");
}

#[test]
fn a_uuid_needs_no_postgres() {
    let world = World::seeded();
    let mut command = world.tool("ddb-list-conversations", &["--user", JESS]);
    command.env("CONNECTION_URL", "postgresql://u@127.0.0.1:1/d");
    cli_tests::Run::of(command).succeeds().prints("bayko");
    world
        .run("ddb-list-conversations", &["--user", JESS, "--handle", "bayko"])
        .ends_with(2)
        .says("cannot be used with");
}

/// A tunnel to production: whose conversations they are would be looked up there.
#[test]
fn people_of_the_other_environments_database_are_not_looked_up() {
    let world = World::seeded();
    world.sql("UPDATE cruddur_ops.stamp SET environment = 'prod'");
    world
        .run("ddb-list-conversations", &["--handle", "bayko"])
        .ends_with(1)
        .prints_only("")
        .says("is stamped `prod`, and the target is `local`");
    world.run("ddb-list-conversations", &["--user", cli_tests::BAYKO]).succeeds();
}

#[test]
fn an_unknown_handle_names_the_nearest_ten() {
    let world = World::seeded();
    for i in 0..12 {
        world.sql(&format!(
            "INSERT INTO users (display_name, handle, email, cognito_user_id) VALUES ('n', 'baykoo{i}', 'e', 'c')"
        ));
    }
    let run = world
        .run("ddb-list-conversations", &["--handle", "@bayco"])
        .ends_with(1)
        .prints_only("")
        .says("error: no user has the handle `bayco`\n  hint: did you mean `bayko`?");
    assert_eq!(run.stderr.matches("hint:").count(), 1, "{run}");
    let run = world
        .run("ddb-list-conversations", &["--handle", "kobay"])
        .ends_with(1)
        .prints_only("")
        .says("error: no user has the handle `kobay`");
    let hint =
        run.stderr.lines().find(|line| line.contains("the nearest handles:")).expect("a hint");
    assert_eq!(hint.matches('`').count(), 20, "{run}");
    for nobodys in ["", "@"] {
        world
            .run("ddb-list-conversations", &["--handle", nobodys])
            .ends_with(2)
            .says("a handle has at least one character");
    }
}

#[test]
fn newest_conversations_come_first_and_the_limit_is_told() {
    let world = World::seeded();
    let other = "00000000-0000-4000-8000-00000000000b";
    let seed = ["--group", other, "--other-handle", "maren", "--start", "2026-01-03T00:00:00Z"];
    world.run("ddb-seed", &seed).succeeds();
    let report = world.run("ddb-list-conversations", &["--output", "json"]).succeeds().json();
    assert_eq!(report["conversations"][0]["handle"], "maren");
    assert_eq!(report["conversations"][1]["handle"], "bayko");
    world
        .run("ddb-list-conversations", &["--limit", "1"])
        .succeeds()
        .says("older ones exist: --limit 2 shows more");
}

#[test]
fn missing_tables_and_databases_have_hints() {
    let world = World::both();
    world
        .run("ddb-get-conversation", &[])
        .ends_with(1)
        .says("error: there is no table `cruddur-messages`")
        .says("hint: create it with `ddb-schema-load`");
    world
        .run("ddb-list-conversations", &[])
        .ends_with(1)
        .says(&format!("error: there is no database `{}`", world.database()))
        .says("hint: create it with `db-setup`");
    world.run("db-setup", &["--steps", "create"]).succeeds();
    world
        .run("ddb-list-conversations", &[])
        .ends_with(1)
        .says("error: cannot look up users by handle")
        .says("hint: the database is not set up as the app's: `db-setup`, in `prod` `db-setup prod --steps schema-load,seed`");
}

/// A database that somebody else made.
#[test]
fn a_users_table_of_another_shape_is_an_error() {
    let world = World::ready();
    world.sql("ALTER TABLE activities DROP COLUMN user_uuid");
    world.sql("ALTER TABLE users ALTER COLUMN uuid DROP DEFAULT, ALTER COLUMN uuid TYPE text");
    for tool in ["ddb-list-conversations", "ddb-seed"] {
        world
            .run(tool, &[])
            .ends_with(1)
            .says("error: the column `uuid` of `users` is not the app's")
            .says("hint: `uuid` is a uuid");
    }
}

/// Everything: people, a table, the seeded conversation of two of them.
fn seeded_with_people() -> World {
    let world = World::both();
    world.run("db-setup", &["--steps", "create,schema-load,seed"]).succeeds();
    world.run("ddb-schema-load", &[]).succeeds();
    world.run("ddb-seed", &["--start", "2026-01-01T00:00:00Z"]).succeeds();
    world
}

#[test]
fn a_conversation_is_named_by_its_two_people() {
    let world = seeded_with_people();
    for people in [["bayko", "@jess-bk"], ["jess-bk", "bayko"]] {
        let named = ["--handle", people[0], "--with", people[1], "--limit", "1"];
        let run = world.run("ddb-get-conversation", &named).succeeds();
        run.says(&format!("1 message of conversation {GROUP}; "));
    }
    let fails = |arguments: &[&str], status: i32, says: &str| {
        world.run("ddb-get-conversation", arguments).ends_with(status).prints_only("").says(says);
    };
    fails(
        &["--handle", "maren", "--with", "tariq"],
        1,
        "error: `maren` and `tariq` have no conversation\n  hint: `ddb-list-conversations --handle maren`",
    );
    fails(&["--handle", "bayko", "--with", "jes-bk"], 1, "did you mean `jess-bk`?");
    fails(&["--handle", "bayko", "--with", "@bayko"], 2, "--handle and --with are both `bayko`");
    fails(&["--handle", "bayko"], 2, "--with <HANDLE>");
    fails(&["--with", "bayko"], 2, "--handle <HANDLE>");
    fails(&["--handle", "bayko", "--with", "jess-bk", "--group", GROUP], 2, "cannot be used with");
}

/// Nobody reads the seeded conversation of production by leaving something out.
#[test]
fn in_prod_the_conversation_has_to_be_named() {
    let world = World::seeded();
    world
        .run_prod("ddb-get-conversation", &["prod"])
        .ends_with(2)
        .prints_only("")
        .says("error: in `prod` the conversation has to be named")
        .says("--handle HANDLE --with HANDLE`, or --group UUID");
    world.run_prod("ddb-get-conversation", &["prod", "--group", GROUP]).succeeds();
}

#[test]
fn times_as_people_say_them() {
    let world = seeded_with_people();
    world.run("ddb-seed", &["--start", "2 days ago"]).succeeds();
    let count = |arguments: &[&str]| {
        let all = [&["--limit", "1000", "--output", "json"], arguments].concat();
        let run = world.run("ddb-get-conversation", &all).succeeds();
        run.json()["messages"].as_array().map_or(0, Vec::len)
    };
    assert_eq!(count(&["--since", "3 days ago"]), 104);
    assert_eq!(count(&["--since", "1 hour ago"]), 0);
    assert_eq!(count(&["--until", "50 hours ago"]), 0);
    assert!((60..=62).contains(&count(&["--until", "47 hours ago"])));
    for (text, says) in [
        ("5", "expected a time like"),
        ("3/4", "expected a time like"),
        ("1 hour", "`1 hour ago`?"),
        ("yesterday 2pm", "hours are 0:00 to 23:59"),
    ] {
        let run = world.run("ddb-get-conversation", &["--since", text]);
        run.ends_with(2).prints_only("").says(says);
    }
}

/// Each message comes once, and nobody is asked more often than said.
#[test]
fn new_messages_are_followed_until_ctrl_c() {
    let world = seeded_with_people();
    let proxy = Proxy::start(&world.endpoint(), |_, _| Answer::Forward);
    for output in ["table", "json"] {
        let asked = proxy.requests().len();
        let command = world.tool(
            "ddb-get-conversation",
            &["--follow", "--limit", "2", "--output", output, "--endpoint-url", &proxy.url()],
        );
        let mut running = Running::start(command);
        let mut lines = BufReader::new(running.stdout()).lines();
        let mut line = || lines.next().expect("a line").expect("text");
        let newest = [line(), line()];
        let expected = if output == "table" { "Then save me the damp rug" } else { "another." };
        assert!(newest[1].contains(expected), "{newest:?}");
        for text in ["One more.", "And\nanother."] {
            let send = ["--from", "bayko", "--group", GROUP, text];
            world.run("ddb-send-message", &send).succeeds();
            let line = line();
            if output == "json" {
                let message: serde_json::Value = serde_json::from_str(&line).expect("one message");
                assert_eq!(
                    (&message["handle"], &message["message"]),
                    (&"bayko".into(), &text.into())
                );
            } else {
                let text = text.replace('\n', "⏎");
                assert!(line.ends_with(&format!(" UTC  bayko: {text}")), "{line}");
            }
        }
        let run = running.interrupt().ends_with(0);
        assert!(lines.next().is_none());
        run.says("Ctrl-C ends it\n").says("\n4 messages; ");
        let asked = proxy.requests().len() - asked;
        assert!((2..60).contains(&asked), "{asked} queries");
    }
    world.run("ddb-get-conversation", &["--follow", "--until", "today"]).ends_with(2);
}

/// What --limit left out is not new, however young it is.
#[test]
fn following_begins_with_what_was_asked_for() {
    let world = seeded_with_people();
    for text in ["one", "two", "three"] {
        world.run("ddb-send-message", &["--from", "bayko", "--group", GROUP, text]).succeeds();
    }
    let proxy = Proxy::start(&world.endpoint(), |_, _| Answer::Forward);
    let follow = ["--follow", "--limit", "1", "--endpoint-url", &proxy.url()];
    let running = Running::start(world.tool("ddb-get-conversation", &follow));
    // Two that look at what is there, and two of what comes.
    cli_tests::wait_for("some queries", || proxy.requests().len() > 4);
    let run = running.interrupt().ends_with(0);
    assert!(run.stdout.ends_with("bayko: three\n") && run.stdout.lines().count() == 1, "{run}");
}

#[test]
fn what_ends_the_service_ends_the_following() {
    let world = World::seeded();
    let proxy = Proxy::start(&world.endpoint(), |number, _| match number {
        0 | 1 => Answer::Forward,
        _ => Answer::Drop,
    });
    let follow = ["--follow", "--limit", "1", "--endpoint-url", &proxy.url()];
    world
        .run("ddb-get-conversation", &follow)
        .ends_with(1)
        .prints("Then save me the damp rug")
        .says("error: cannot reach DynamoDB");
}
