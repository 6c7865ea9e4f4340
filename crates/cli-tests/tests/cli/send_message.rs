//! `ddb-send-message`, and the app's data path below it

use std::process::Stdio;
use std::thread;

use aws_sdk_dynamodb::types::AttributeValue;
use cli_tests::proxy::{Answer, Proxy, Request};
use cli_tests::{BAYKO, GROUP, JESS, Run, World, wait_for};
use ops_common::app::records::Item;
use serde_json::{Value, json};

const TABLE: &str = "cruddur-messages";

/// The messages of a conversation, by time, and its group rows.
fn conversation(world: &World, group: &str) -> (Vec<Value>, Vec<Value>) {
    let items = world.items(TABLE);
    let mut messages: Vec<Value> =
        items.iter().filter(|item| item["pk"] == format!("MSG#{group}")).cloned().collect();
    messages.sort_by_key(|item| item["sk"].as_str().map(str::to_owned));
    let is_row = |item: &Value| {
        item["message_group_uuid"] == group
            && item["pk"].as_str().is_some_and(|pk| pk.starts_with("GRP#"))
    };
    let rows = items.into_iter().filter(is_row).collect();
    (messages, rows)
}

/// Two rows, each of which shows the newest message.
#[track_caller]
fn is_whole(world: &World, group: &str, messages: usize) {
    let (found, rows) = conversation(world, group);
    assert_eq!(found.len(), messages);
    let newest = found.last().expect("a message");
    assert_eq!(rows.len(), 2, "{rows:#?}");
    for row in &rows {
        assert_eq!((&row["sk"], &row["message"]), (&newest["sk"], &newest["message"]), "{rows:#?}");
    }
    assert_ne!(rows[0]["pk"], rows[1]["pk"]);
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

#[test]
fn a_message_goes_on_with_the_conversation_of_the_two() {
    let world = World::seeded();
    let run = world
        .run("ddb-send-message", &["--from", "@bayko", "--to", "jess-bk", "The heron is back."])
        .succeeds()
        .says("capacity units");
    let line = run.stdout.lines().next().expect("a line");
    assert!(line.ends_with(&format!("bayko to jess-bk, conversation {GROUP}")), "{run}");
    assert!(run.stdout.ends_with("\n  The heron is back.\n"), "{run}");
    is_whole(&world, GROUP, 105);
    let (messages, rows) = conversation(&world, GROUP);
    let newest = &messages[104];
    assert_eq!(newest["user_uuid"], BAYKO);
    assert_eq!(newest["user_handle"], "bayko");
    assert_eq!(newest["user_display_name"], "Bayko Lund");
    let of =
        |owner: &str| rows.iter().find(|row| row["pk"] == format!("GRP#{owner}")).expect("row");
    assert_eq!(of(JESS)["user_handle"], "bayko");
    assert_eq!(of(BAYKO)["user_handle"], "jess-bk");
    world.run("ddb-list-conversations", &[]).succeeds().prints("The heron is back.");
}

#[test]
fn a_first_message_starts_a_conversation() {
    let world = World::seeded();
    let run = world
        .run("ddb-send-message", &["--from", "maren", "--to", "tariq", "Hello", "--output", "json"])
        .succeeds();
    let report = run.json();
    assert_eq!(report["started"], true);
    assert_eq!(report["to"]["handle"], "tariq");
    assert_eq!(report["message"]["handle"], "maren");
    assert_eq!(report["message"]["display_name"], "Maren Holt");
    assert_eq!(report["message"]["message"], "Hello");
    let group = report["message_group_uuid"].as_str().expect("a uuid").to_owned();
    is_whole(&world, &group, 1);
    // The other one answers, by the conversation and by the person.
    let answer = ["local", "--from", "tariq", "--group", &group, "Hello yourself"];
    world.run("ddb-send-message", &answer).succeeds().prints("tariq to maren, conversation");
    let report = world
        .run("ddb-send-message", &["--output", "json", "--from", "tariq", "--to", "maren", "And?"])
        .succeeds()
        .json();
    assert_eq!((&report["started"], &report["message_group_uuid"]), (&json!(false), &json!(group)));
    is_whole(&world, &group, 3);
    let names: Vec<Value> =
        conversation(&world, &group).0.iter().map(|message| message["message"].clone()).collect();
    assert_eq!(names, ["Hello", "Hello yourself", "And?"]);
}

#[test]
fn what_else_a_row_holds_it_keeps() {
    let world = World::seeded();
    let (_, rows) = conversation(&world, GROUP);
    for row in rows {
        let mut item: Item = row
            .as_object()
            .expect("an object")
            .iter()
            .map(|(name, value)| (name.clone(), text(value.as_str().expect("text"))))
            .collect();
        item.insert("unread".into(), AttributeValue::N("7".into()));
        world.put(TABLE, item);
    }
    world.run("ddb-send-message", &["--from", "bayko", "--group", GROUP, "x"]).succeeds();
    assert!(conversation(&world, GROUP).1.iter().all(|row| row["unread"] == 7));
    is_whole(&world, GROUP, 105);
}

/// A clock that is behind, or a conversation seeded into the future.
#[test]
fn a_message_is_never_before_the_last_one() {
    let world = World::ready();
    world.run("ddb-seed", &["--start", "2099-01-01T00:00:00Z"]).succeeds();
    world.run("ddb-send-message", &["--from", "bayko", "--to", "jess-bk", "x"]).succeeds();
    let (messages, _) = conversation(&world, GROUP);
    assert_eq!(messages[104]["sk"], "2099-01-01T01:43:00.000001+00:00");
    is_whole(&world, GROUP, 105);
}

#[test]
fn who_and_where_have_to_be_right() {
    let world = World::seeded();
    let before = world.items(TABLE);
    let unknown = "00000000-0000-4000-8000-000000000000";
    for (arguments, status, error) in [
        (
            vec!["--from", "bayco", "--to", "jess-bk", "x"],
            1,
            "error: no user has the handle `bayco`\n  hint: did you mean `bayko`?",
        ),
        (vec!["--from", "bayko", "--to", "jes", "x"], 1, "error: no user has the handle `jes`"),
        (
            vec!["--from", "bayko", "--to", "@bayko", "x"],
            2,
            "error: --from and --to are both `bayko`",
        ),
        (
            vec!["--from", "bayko", "--group", unknown, "x"],
            1,
            "error: there is no conversation 00000000-0000-4000-8000-000000000000\n  hint: `ddb-list-conversations --handle bayko`",
        ),
        (
            vec!["--from", "maren", "--group", GROUP, "x"],
            1,
            "error: `maren` takes no part in the conversation 5ae290ed",
        ),
        (vec!["--from", "bayko", "--group", "x", "x"], 2, "invalid value 'x' for '--group <UUID>'"),
        (vec!["--from", "bayko", "x"], 2, "<--group <UUID>|--to <HANDLE>>"),
        (vec!["--from", "bayko", "--to", "jess-bk"], 2, "error: there is no message"),
        (vec!["--from", "bayko", "--to", "jess-bk", ""], 2, "error: the message is empty"),
        (vec!["--from", "bayko", "--to", "jess-bk", " \t"], 2, "error: the message is empty"),
        (
            vec!["--from", "bayko", "--to", "jess-bk", "local", "hi", "there"],
            2,
            "error: the message is more than one argument\n  hint: a message of more than one word stands in quotes",
        ),
        (
            vec!["--from", "bayko", "--to", "jess-bk", "the", "heron", "is", "back"],
            2,
            "error: `the` is not a target",
        ),
        (
            vec!["--from", "bayko", "--to", "jess-bk", "hi", "there"],
            2,
            "error: `hi` is not a target: `local` or `prod`\n  hint: a message of more than one word stands in quotes",
        ),
        (
            vec!["prod", "--from", "bayko", "--to", "jess-bk"],
            2,
            "error: there is no message, only the target `prod`",
        ),
    ] {
        world.run("ddb-send-message", &arguments).ends_with(status).prints_only("").says(error);
    }
    assert_eq!(world.items(TABLE), before);
}

#[test]
fn a_text_has_1_to_1024_characters() {
    let world = World::seeded();
    let send =
        |text: &str| world.run("ddb-send-message", &["--from", "bayko", "--to", "jess-bk", text]);
    send(&"é".repeat(1024)).succeeds();
    send(&"é".repeat(1025)).ends_with(2).says("error: the message has 1025 characters");
    send("local").ends_with(2);
    is_whole(&world, GROUP, 105);
    world
        .run("ddb-send-message", &["local", "--from", "bayko", "--to", "jess-bk", "prod"])
        .succeeds();
    is_whole(&world, GROUP, 106);
}

#[test]
fn a_broken_conversation_is_left_as_it_is() {
    let world = World::seeded();
    let (_, rows) = conversation(&world, GROUP);
    let of_jess = rows.iter().find(|row| row["pk"] == format!("GRP#{JESS}")).expect("row");
    let key = ["pk", "sk"].map(|name| (name, text(of_jess[name].as_str().expect("text"))));
    let mut delete = world.client().delete_item().table_name(TABLE);
    for (name, value) in key {
        delete = delete.key(name, value);
    }
    cli_tests::block_on(delete.send()).expect("delete");
    let before = world.items(TABLE);
    world
        .run("ddb-send-message", &["--from", "bayko", "--group", GROUP, "x"])
        .ends_with(1)
        .says("error: the conversation is broken; the message is not sent\n  cause: `jess-bk` has no row for it, and `bayko` has\n  hint: `check-identities`");
    world
        .run("ddb-send-message", &["--from", "jess-bk", "--group", GROUP, "x"])
        .ends_with(1)
        .says("error: `jess-bk` takes no part in the conversation");
    // Not started anew from either side.
    for [from, to] in [["bayko", "jess-bk"], ["jess-bk", "bayko"]] {
        world.run("ddb-send-message", &["--from", from, "--to", to, "x"]).ends_with(1);
    }
    assert_eq!(world.items(TABLE), before);
}

#[test]
fn twenty_at_once_leave_two_rows_with_the_newest() {
    let world = World::seeded();
    thread::scope(|scope| {
        for i in 0..20 {
            let world = &world;
            let from = if i % 2 == 0 { "bayko" } else { "jess-bk" };
            scope.spawn(move || {
                let message = format!("message {i}");
                world
                    .run("ddb-send-message", &["--from", from, "--group", GROUP, &message])
                    .succeeds();
            });
        }
    });
    is_whole(&world, GROUP, 124);
    let (messages, _) = conversation(&world, GROUP);
    for i in 0..20 {
        let text = format!("message {i}");
        assert_eq!(messages.iter().filter(|message| message["message"] == text).count(), 1);
    }
}

/// Two people who write to each other for the first time at the same moment.
#[test]
fn twenty_first_messages_at_once_start_one_conversation() {
    let world = World::seeded();
    let groups: Vec<Value> = thread::scope(|scope| {
        let runs: Vec<_> = (0..20)
            .map(|i| {
                let world = &world;
                let (from, to) = if i % 2 == 0 { ("maren", "tariq") } else { ("tariq", "maren") };
                scope.spawn(move || {
                    let message = format!("message {i}");
                    let arguments = ["--output", "json", "--from", from, "--to", to, &message];
                    world.run("ddb-send-message", &arguments).succeeds().json()
                })
            })
            .collect();
        runs.into_iter().map(|run| run.join().expect("sent")).collect()
    });
    assert_eq!(groups.iter().filter(|report| report["started"] == true).count(), 1, "{groups:#?}");
    let group = groups[0]["message_group_uuid"].as_str().expect("a uuid");
    assert!(groups.iter().all(|report| report["message_group_uuid"] == group), "{groups:#?}");
    is_whole(&world, group, 20);
}

/// The other's first message is written between this one's looking and writing.
#[test]
fn a_first_message_that_comes_second_goes_into_the_same_conversation() {
    let world = World::seeded();
    let (endpoint, url) = (world.endpoint(), world.local_url());
    let tool = cli_tests::binary("ddb-send-message");
    let raced = std::sync::atomic::AtomicBool::new(false);
    let proxy = Proxy::start(&world.endpoint(), move |_, request| {
        if is_transaction(request) && !raced.swap(true, std::sync::atomic::Ordering::SeqCst) {
            let mut other = std::process::Command::new(&tool);
            let arguments = ["--from", "tariq", "--to", "maren", "first", "--endpoint-url"];
            other.args(arguments).arg(&endpoint).env_clear().env("CONNECTION_URL", &url);
            Run::of(other).succeeds();
        }
        Answer::Forward
    });
    let arguments = ["--from", "maren", "--to", "tariq", "second", "--output", "json"];
    let mut command = world.tool("ddb-send-message", &arguments);
    command.args(["--endpoint-url", &proxy.url()]);
    let report = Run::of(command).succeeds().json();
    assert_eq!(report["started"], false);
    let group = report["message_group_uuid"].as_str().expect("a uuid");
    is_whole(&world, group, 2);
    world
        .run("ddb-list-conversations", &["--handle", "maren"])
        .succeeds()
        .says("1 conversation of user");
}

/// A reading that does not show yet what was just written is no deleted conversation.
#[test]
fn what_was_just_started_is_not_taken_for_deleted() {
    let world = World::seeded();
    let first = ["--from", "tariq", "--to", "maren", "first"];
    let stale = std::sync::atomic::AtomicBool::new(false);
    let (endpoint, url) = (world.endpoint(), world.local_url());
    let tool = cli_tests::binary("ddb-send-message");
    let raced = std::sync::atomic::AtomicBool::new(false);
    let proxy = Proxy::start(&world.endpoint(), move |_, request| {
        use std::sync::atomic::Ordering::SeqCst;
        if is_transaction(request) && !raced.swap(true, SeqCst) {
            let mut other = std::process::Command::new(&tool);
            other.args(first).args(["--endpoint-url", &endpoint]);
            Run::of({
                other.env_clear().env("CONNECTION_URL", &url);
                other
            })
            .succeeds();
        }
        let values = request.body["ExpressionAttributeValues"].to_string();
        let of_rows = request.operation == "Query" && !values.contains("PAIR#");
        // The first readings after the race: one of the inbox, one of the messages.
        let nothing = json!({"Items": [], "Count": 0, "ScannedCount": 0, "ConsumedCapacity": {"CapacityUnits": 0.5}});
        if of_rows && raced.load(SeqCst) && !stale.load(SeqCst) {
            stale.store(values.contains("MSG#"), SeqCst);
            return Answer::Reply { status: 200, body: nothing };
        }
        Answer::Forward
    });
    let arguments = ["--from", "maren", "--to", "tariq", "second", "--output", "json"];
    let mut command = world.tool("ddb-send-message", &arguments);
    command.args(["--endpoint-url", &proxy.url()]);
    let report = Run::of(command).succeeds().json();
    assert_eq!(report["started"], false);
    is_whole(&world, report["message_group_uuid"].as_str().expect("a uuid"), 2);
}

/// A conversation that was deleted leaves the row of its pair, which is no hindrance.
#[test]
fn a_conversation_that_was_deleted_can_be_started_again() {
    for prefix in ["", "GRP#"] {
        start_again_without(prefix);
    }
}

fn start_again_without(prefix: &str) {
    let world = World::seeded();
    let first = ["--from", "maren", "--to", "tariq", "Hello", "--output", "json"];
    world.run("ddb-send-message", &first).succeeds();
    let (client, items) = (world.client(), world.items(TABLE));
    for item in items.iter().filter(|item| item["user_handle"] != "bayko") {
        let key = |name: &str| text(item[name].as_str().expect("text"));
        // Also where messages are left that no inbox leads to.
        let pk = item["pk"].as_str().expect("text");
        if pk.starts_with(prefix) && !pk.starts_with("PAIR#") {
            let delete = client.delete_item().table_name(TABLE).key("pk", key("pk"));
            cli_tests::block_on(delete.key("sk", key("sk")).send()).expect("delete");
        }
    }
    let report = world.run("ddb-send-message", &first).succeeds().json();
    assert_eq!(report["started"], true);
    is_whole(&world, report["message_group_uuid"].as_str().expect("a uuid"), 1);
}

fn is_transaction(request: &Request) -> bool {
    request.operation == "TransactWriteItems"
}

/// An answer that is lost: the SDK sends again, with the same token.
#[test]
fn a_lost_answer_does_not_make_it_two() {
    let world = World::seeded();
    for (arguments, group, messages) in [
        (["--from", "bayko", "--to", "jess-bk", "x"], Some(GROUP), 105),
        (["--from", "maren", "--to", "tariq", "x"], None, 1),
    ] {
        let lost = std::sync::atomic::AtomicBool::new(false);
        let proxy = Proxy::start(&world.endpoint(), move |_, request| {
            let first =
                is_transaction(request) && !lost.swap(true, std::sync::atomic::Ordering::SeqCst);
            if first { Answer::Lose } else { Answer::Forward }
        });
        let mut command = world.tool("ddb-send-message", &arguments);
        command.args(["--endpoint-url", &proxy.url(), "--output", "json"]);
        let report = Run::of(command).succeeds().json();
        let transactions: Vec<Request> =
            proxy.requests().into_iter().filter(is_transaction).collect();
        assert_eq!(transactions.len(), 2);
        assert_eq!(transactions[0].body, transactions[1].body);
        let sent = report["message_group_uuid"].as_str().expect("a uuid");
        is_whole(&world, group.unwrap_or(sent), messages);
    }
}

/// Both rows moved between the reading and the writing: read again, sent again.
#[test]
fn a_lost_race_is_run_again() {
    let world = World::seeded();
    let (endpoint, url) = (world.endpoint(), world.local_url());
    let tool = cli_tests::binary("ddb-send-message");
    let raced = std::sync::atomic::AtomicBool::new(false);
    let proxy = Proxy::start(&world.endpoint(), move |_, request| {
        if is_transaction(request) && !raced.swap(true, std::sync::atomic::Ordering::SeqCst) {
            let mut other = std::process::Command::new(&tool);
            other.args([
                "--from",
                "jess-bk",
                "--group",
                GROUP,
                "first",
                "--endpoint-url",
                &endpoint,
            ]);
            other.env_clear().env("CONNECTION_URL", &url);
            Run::of(other).succeeds();
        }
        Answer::Forward
    });
    world
        .run(
            "ddb-send-message",
            &["--from", "bayko", "--group", GROUP, "second", "--endpoint-url", &proxy.url()],
        )
        .succeeds();
    assert_eq!(proxy.requests().iter().filter(|request| is_transaction(request)).count(), 2);
    is_whole(&world, GROUP, 106);
    let (messages, _) = conversation(&world, GROUP);
    assert_eq!(messages[104]["message"], "first");
    assert_eq!(messages[105]["message"], "second");
}

#[test]
fn a_busy_table_is_tried_again_and_a_refusal_is_final() {
    let world = World::seeded();
    let busy = |reason: &'static str| {
        let reasons = json!([{"Code": "None"}, {"Code": reason}, {"Code": "None"}]);
        let body = json!({"__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
            "Message": "canceled", "CancellationReasons": reasons});
        Answer::Reply { status: 400, body }
    };
    for (reason, passes) in
        [("TransactionConflict", true), ("ThrottlingError", true), ("ValidationError", false)]
    {
        let left = std::sync::atomic::AtomicUsize::new(2);
        let proxy = Proxy::start(&world.endpoint(), move |_, request| {
            use std::sync::atomic::Ordering::SeqCst;
            let fails = is_transaction(request)
                && left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok();
            if fails { busy(reason) } else { Answer::Forward }
        });
        let before = conversation(&world, GROUP).0.len();
        let run = world.run(
            "ddb-send-message",
            &["--from", "bayko", "--group", GROUP, "x", "--endpoint-url", &proxy.url()],
        );
        if passes {
            run.succeeds();
            is_whole(&world, GROUP, before + 1);
        } else {
            run.ends_with(1).prints_only("").says(&format!("cause: {reason}"));
            is_whole(&world, GROUP, before);
        }
    }
}

/// A throttled answer does not say whether an attempt before it was written: what
/// is sent again is the same, with the same token.
#[test]
fn after_throttling_the_same_is_sent_again() {
    let world = World::seeded();
    let sent = std::sync::atomic::AtomicUsize::new(0);
    let proxy = Proxy::start(&world.endpoint(), move |_, request| {
        if !is_transaction(request) {
            return Answer::Forward;
        }
        let throttled = json!({"__type": "com.amazonaws.dynamodb.v20120810#ThrottlingException", "message": "slow down"});
        match sent.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
            0 => Answer::Lose,
            1..=5 => Answer::Reply { status: 400, body: throttled },
            _ => Answer::Forward,
        }
    });
    world
        .run(
            "ddb-send-message",
            &["--from", "bayko", "--group", GROUP, "x", "--endpoint-url", &proxy.url()],
        )
        .succeeds();
    let transactions: Vec<Request> = proxy.requests().into_iter().filter(is_transaction).collect();
    assert!(transactions.len() > 6);
    assert!(transactions.iter().all(|request| request.body == transactions[0].body));
    is_whole(&world, GROUP, 105);
}

/// A reading that falls between the two halves of another's write.
#[test]
fn a_row_that_is_missed_once_is_looked_for_again() {
    let world = World::seeded();
    let missed = std::sync::atomic::AtomicBool::new(false);
    let proxy = Proxy::start(&world.endpoint(), move |_, request| {
        let first = request.operation == "Query"
            && request.body["FilterExpression"].is_string()
            && !missed.swap(true, std::sync::atomic::Ordering::SeqCst);
        if first {
            return Answer::Reply {
                status: 200,
                body: json!({"Items": [], "Count": 0, "ScannedCount": 0, "ConsumedCapacity": {"CapacityUnits": 0.5}}),
            };
        }
        Answer::Forward
    });
    world
        .run(
            "ddb-send-message",
            &["--from", "bayko", "--group", GROUP, "x", "--endpoint-url", &proxy.url()],
        )
        .succeeds();
    is_whole(&world, GROUP, 105);
}

#[test]
fn what_is_not_known_to_be_written_is_not_said_to_be_refused() {
    let world = World::seeded();
    let proxy = Proxy::start(&world.endpoint(), |_, request| {
        if !is_transaction(request) {
            return Answer::Forward;
        }
        let body = json!({"__type": "com.amazonaws.dynamodb.v20120810#InternalServerError", "message": "oh"});
        Answer::Reply { status: 500, body }
    });
    world
        .run("ddb-send-message", &["--from", "bayko", "--group", GROUP, "x", "--endpoint-url", &proxy.url()])
        .ends_with(1)
        .prints_only("")
        .says("cause: whether the message was written is not known")
        .says(&format!("hint: see whether it is there before you send it again: `ddb-get-conversation --group {GROUP}`"));
}

/// Killed before or after any of its calls arrives: all of it is there, or none.
#[test]
fn killed_between_any_two_calls_nothing_is_half_there() {
    for (arguments, calls) in [
        (["--from", "bayko", "--to", "jess-bk", "x"], 6),
        (["--from", "maren", "--to", "tariq", "x"], 3),
    ] {
        for call in 0..calls {
            for arrives in [false, true] {
                let world = World::seeded();
                let before = world.items(TABLE);
                let proxy = Proxy::start(&world.endpoint(), move |number, _| match number {
                    number if number < call => Answer::Forward,
                    _ if arrives => Answer::ForwardAndIgnore,
                    _ => Answer::Ignore,
                });
                let mut command = world.tool("ddb-send-message", &arguments);
                command.args(["--endpoint-url", &proxy.url()]);
                let mut child =
                    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("spawn");
                wait_for("the call", || proxy.dealt_with() > call);
                child.kill().expect("kill");
                let _ = child.wait();
                let after = world.items(TABLE);
                let last = proxy.requests().pop().expect("a request");
                assert_eq!(is_transaction(&last), call + 1 == calls, "{last:?}");
                if arrives && is_transaction(&last) {
                    let group = after
                        .iter()
                        .find(|item| item["message"] == "x" && item["message_uuid"].is_string())
                        .and_then(|item| item["pk"].as_str()?.strip_prefix("MSG#"))
                        .expect("the message");
                    let messages = if group == GROUP { 105 } else { 1 };
                    is_whole(&world, group, messages);
                } else {
                    assert_eq!(after, before, "killed at call {call}");
                }
            }
        }
    }
}

#[test]
fn prod_asks_and_a_database_of_the_other_environment_is_refused() {
    let world = World::seeded();
    let before = world.items(TABLE);
    let message = ["prod", "--from", "bayko", "--to", "jess-bk", "x"];
    world
        .run_prod("ddb-send-message", &message)
        .ends_with(1)
        .says(
            "error: this changes the table `cruddur-messages` in `prod`, and there is no terminal",
        )
        .says("hint: consent with --yes");
    let mut yes = message.to_vec();
    yes.push("--yes");
    world
        .run_prod("ddb-send-message", &yes)
        .ends_with(1)
        .says("is stamped `local`, and the target is `prod`");
    assert_eq!(world.items(TABLE), before);
    world.sql("UPDATE cruddur_ops.stamp SET environment = 'prod'");
    world.run_prod("ddb-send-message", &yes).succeeds();
    is_whole(&world, GROUP, 105);
    world
        .run("ddb-send-message", &["--from", "bayko", "--to", "jess-bk", "x"])
        .ends_with(1)
        .says("is stamped `prod`, and the target is `local`");
}

#[test]
fn a_leftover_endpoint_changes_nothing() {
    let world = World::empty();
    let send = |target: &'static str, endpoint: &str| {
        let message = [target, "--from", "bayko", "--to", "jess-bk", "x", "--yes"];
        let mut command = world.prod_command("ddb-send-message", &message);
        command.env("AWS_ENDPOINT_URL", endpoint);
        command.env("PROD_CONNECTION_URL", "postgresql://u@127.0.0.1:1/d");
        Run::of(command).ends_with(1).prints_only("")
    };
    send("prod", "http://localhost:8000").says("error: `prod` means AWS, and AWS_ENDPOINT_URL");
    send("local", "https://dynamodb.ca-central-1.amazonaws.com")
        .says("error: `local` talks to this machine only, and AWS_ENDPOINT_URL names");
}

#[test]
fn control_characters_do_not_reach_the_terminal() {
    let world = World::seeded();
    let run = world
        .run("ddb-send-message", &["--from", "bayko", "--to", "jess-bk", "a\u{1b}[2Jb"])
        .succeeds();
    assert!(!run.stdout.contains('\u{1b}'), "{run}");
    let (messages, _) = conversation(&world, GROUP);
    assert_eq!(messages[104]["message"], "a\u{1b}[2Jb");
}

#[test]
fn conversations_of_a_cognito_sub() {
    let Some(world) = World::whole() else { return };
    let sub = world.sub("bayko");
    world
        .run("ddb-list-conversations", &["--cognito-sub", &sub])
        .succeeds()
        .prints("jess-bk")
        .says(&format!("1 conversation of user {BAYKO}"));
    world
        .run("ddb-list-conversations", &["--cognito-sub", "nobody"])
        .ends_with(1)
        .says("error: no user has the Cognito sub `nobody`\n  hint: carry the pool's ids over with `update-cognito-user-ids`");
    world.sql(&format!("UPDATE users SET cognito_user_id = '{sub}' WHERE handle = 'maren'"));
    world
        .run("ddb-list-conversations", &["--cognito-sub", &sub])
        .ends_with(1)
        .says(&format!("error: more than one user has the Cognito sub `{sub}`: `bayko`, `maren`"))
        .says("`check-identities`");
    world.run("ddb-list-conversations", &["--cognito-sub", &sub, "--handle", "bayko"]).ends_with(2);
}
