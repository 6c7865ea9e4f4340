//! `ddb-scan`

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use cli_tests::proxy::{Answer, Proxy};
use cli_tests::{Run, World};
use ops_common::app::records::Item;
use serde_json::{Value, json};

#[test]
fn each_kind_of_row_has_its_heading() {
    let world = World::seeded();
    let run = world.run("ddb-scan", &[]).succeeds().says("106 items; ");
    // Chunks of a hundred rows, so that a heading can come again.
    assert!(run.stdout.lines().any(|line| line == "Messages"), "{run}");
    assert_eq!(run.stdout.lines().filter(|line| *line == "Message groups").count(), 1, "{run}");
    assert!(!run.stdout.contains("Other items"), "{run}");
    assert_eq!(run.stdout.matches("Bayko! I saw your crud before it expired.").count(), 1, "{run}");
}

#[test]
fn json_is_one_array() {
    let world = World::seeded();
    let items = world.run("ddb-scan", &["--output", "json"]).succeeds().json();
    assert_eq!(items.as_array().map(Vec::len), Some(106));
    let first = items
        .as_array()
        .expect("array")
        .iter()
        .find(|item| item["sk"] == "2026-01-01T00:00:00.000000+00:00");
    let first = first.expect("the first message");
    assert_eq!(first["pk"], format!("MSG#{}", cli_tests::GROUP));
    assert_eq!(first["user_uuid"], cli_tests::JESS);
}

#[test]
fn limit_cuts_and_says_so() {
    let world = World::seeded();
    let run = world.run("ddb-scan", &["--limit", "7", "--output", "jsonl"]).succeeds();
    assert_eq!(run.stdout.lines().count(), 7);
    run.says("7 items; ").says("more exist: the scan was cut by --limit");
    let run = world.run("ddb-scan", &["--limit", "106", "--output", "jsonl"]).succeeds();
    assert_eq!(run.stdout.lines().count(), 106);
    run.does_not_say("more exist");
    world.run("ddb-scan", &["--limit", "0"]).ends_with(2);
}

#[test]
fn every_page_is_read() {
    let world = World::seeded();
    let proxy = Proxy::start(&world.endpoint(), |_, request| {
        let mut body = request.body.clone();
        body["Limit"] = json!(10);
        Answer::Instead { body, add: json!({}) }
    });
    let run =
        world.run("ddb-scan", &["--output", "jsonl", "--endpoint-url", &proxy.url()]).succeeds();
    assert_eq!(run.stdout.lines().count(), 106);
    assert!(proxy.requests().len() >= 11);
}

#[test]
fn an_empty_table() {
    let world = World::dynamodb();
    world.run("ddb-schema-load", &[]).succeeds();
    world.run("ddb-scan", &[]).succeeds().prints_only("").says("0 items; ");
    world.run("ddb-scan", &["--output", "json"]).succeeds().prints_only("[]\n");
    world.run("ddb-scan", &["--output", "jsonl"]).succeeds().prints_only("");
}

#[test]
fn a_missing_table_says_how_to_get_it() {
    let world = World::dynamodb();
    world
        .run("ddb-scan", &["--table", "orders"])
        .ends_with(1)
        .prints_only("")
        .says("error: there is no table `orders`")
        .says("hint: create it with `ddb-schema-load --table orders`");
}

#[test]
fn rows_of_other_kinds_are_shown_too() {
    let world = World::dynamodb();
    world.run("ddb-schema-load", &[]).succeeds();
    let text = |text: &str| AttributeValue::S(text.into());
    world.put(
        "cruddur-messages",
        Item::from([
            ("pk".to_owned(), text("CFG#1")),
            ("sk".to_owned(), text("a\u{1b}[31mred\nline")),
            ("n".to_owned(), AttributeValue::N("12345678901234567890".into())),
            ("b".to_owned(), AttributeValue::B(Blob::new(*b"x"))),
            ("ss".to_owned(), AttributeValue::Ss(vec!["p".into()])),
        ]),
    );
    world
        .run("ddb-scan", &[])
        .succeeds()
        .prints("Other items")
        .prints(r#""n":12345678901234567890"#);
    world
        .run("ddb-scan", &["--output", "jsonl"])
        .succeeds()
        .prints_only("{\"b\":\"eA==\",\"n\":12345678901234567890,\"pk\":\"CFG#1\",\"sk\":\"a\\u001b[31mred\\nline\",\"ss\":[\"p\"]}\n");
}

/// What people send reaches the terminal as text, not as commands to it.
#[test]
fn control_characters_are_not_printed() {
    let world = World::seeded();
    let mut item = Item::new();
    for (name, value) in [
        ("pk", format!("MSG#{}", cli_tests::GROUP)),
        ("sk", "2026-02-01T00:00:00.000000+00:00".into()),
        ("message_uuid", "00000000-0000-4000-8000-000000000001".into()),
        ("message", "\u{1b}]0;owned\u{7}two\nlines".into()),
        ("user_uuid", cli_tests::JESS.into()),
        ("user_display_name", "Jess".into()),
        ("user_handle", "jess-bk".into()),
    ] {
        item.insert(name.to_owned(), AttributeValue::S(value));
    }
    world.put("cruddur-messages", item);
    for tool in ["ddb-scan", "ddb-get-conversation"] {
        let run = world.run(tool, &[]).succeeds().prints("\u{fffd}]0;owned\u{fffd}two⏎lines");
        assert!(!run.stdout.contains('\u{1b}'), "{run}");
    }
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let world = World::seeded();
    for output in ["table", "json", "jsonl"] {
        let mut command = world.command("bash");
        let tool = cli_tests::binary("ddb-scan").display().to_string();
        command.args([
            "-c",
            &format!("{tool} --output {output} | head -1 >/dev/null; echo ${{PIPESTATUS[0]}}"),
        ]);
        Run::of(command).succeeds().prints_only("0\n").does_not_say("error");
    }
}

#[test]
fn segments_are_the_table_in_parts() {
    let world = World::seeded();
    let whole = world.items("cruddur-messages");
    let proxy = Proxy::start(&world.endpoint(), |_, request| {
        let mut body = request.body.clone();
        body["Limit"] = json!(7);
        Answer::Instead { body, add: json!({}) }
    });
    let arguments = ["--segments", "5", "--output", "jsonl", "--endpoint-url", &proxy.url()];
    let run = world.run("ddb-scan", &arguments).succeeds().says("106 items; ");
    let mut lines: Vec<&str> = run.stdout.lines().collect();
    lines.sort_unstable();
    let items: Vec<Value> =
        lines.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(items, whole);
    let mut segments: Vec<_> =
        proxy.requests().iter().map(|r| r.body["Segment"].as_i64()).collect();
    segments.sort_unstable();
    segments.dedup();
    assert_eq!(segments, [Some(0), Some(1), Some(2), Some(3), Some(4)]);
    world.run("ddb-scan", &["--segments", "0"]).ends_with(2);
}

#[test]
fn a_filter_and_a_selection() {
    let world = World::seeded();
    let filter = ["--filter", "begins_with(#p, :p)", "--names", r##"{"#p":"pk"}"##];
    let values = ["--values", r#"{":p":{"S":"GRP#"}}"#];
    let select = ["--select", "user_handle,message_group_uuid,nothing", "--output", "jsonl"];
    let arguments = [&filter[..], &values[..], &select[..]].concat();
    let run = world.run("ddb-scan", &arguments).succeeds().says("2 items; ");
    let mut lines: Vec<&str> = run.stdout.lines().collect();
    lines.sort_unstable();
    let line = |handle| {
        format!(r#"{{"message_group_uuid":"{}","user_handle":"{handle}"}}"#, cli_tests::GROUP)
    };
    assert_eq!(lines, [line("bayko"), line("jess-bk")]);

    let arguments = [&filter[..], &values[..], &["--count", "--segments", "3"]].concat();
    world.run("ddb-scan", &arguments).succeeds().prints_only("2\n").says("2 of 106 items; ");
    world.run("ddb-scan", &["--count"]).succeeds().prints_only("106\n");
    // Pages of two would be the price of --limit 1.
    let arguments = [&filter[..], &values[..], &["--limit", "1", "--output", "jsonl"]].concat();
    let run = world.run("ddb-scan", &arguments).succeeds().says("more exist");
    assert_eq!(run.stdout.lines().count(), 1);
}

/// DynamoDB ends a page at 1 MB, and the embedded server counts the item that no longer
/// fits.
#[test]
fn pages_that_are_full_at_1_mb_are_read_to_their_end() {
    let world = World::ready();
    let lines: String = (0..300)
        .map(|i| {
            let text = "x".repeat(10_000);
            format!("{{\"Item\":{{\"pk\":{{\"S\":\"k{i}\"}},\"sk\":{{\"S\":\"s\"}},\"t\":{{\"S\":\"{text}\"}}}}}}\n")
        })
        .collect();
    let file = world.file("fat.json", &lines);
    world.run("ddb-import", &[&file]).succeeds();
    world.run("ddb-scan", &["--count"]).succeeds().prints_only("300\n").says("300 of 300 items");
    let run = world.run("ddb-scan", &["--output", "jsonl"]).succeeds();
    assert_eq!(run.stdout.lines().count(), 300);
    for segments in ["1", "4"] {
        let run = world.run("ddb-export", &["--segments", segments]).succeeds();
        assert_eq!(run.stdout.lines().collect::<std::collections::HashSet<_>>().len(), 300);
    }
    world.run("ddb-export", &["--count"]).succeeds().prints_only("300\n");
}

/// DynamoDB takes any word of an expression for an attribute.
#[test]
fn a_filter_that_nothing_passes_says_what_its_words_are() {
    let world = World::seeded();
    let hint = "none of 106 items passes --filter: a bare word in it is an attribute's name, a text stands in quotes";
    let wrong = ["--filter", "user_handle = maren"];
    world.run("ddb-scan", &wrong).succeeds().prints_only("").says(hint);
    let count = [&wrong[..], &["--count", "--output", "json"]].concat();
    world.run("ddb-scan", &count).succeeds().prints_only("{\"count\":0}\n").says(hint);
    world
        .run("ddb-scan", &["--count", "--output", "jsonl"])
        .succeeds()
        .prints_only("{\"count\":106}\n")
        .does_not_say("--filter");
}

#[test]
fn a_bad_filter_says_what_is_wrong() {
    let world = World::seeded();
    world
        .run("ddb-scan", &["--filter", "pk = :p"])
        .ends_with(1)
        .prints_only("")
        .says("error: cannot scan the table `cruddur-messages`")
        .says(":p");
    for (values, why) in [
        (r#"{":p":"x"}"#, r#"like {":p":{"S":"MSG#"}}"#),
        ("{", r#"like {":p":{"S":"MSG#"}}"#),
        (r#"{":p":{"S":"x","N":"1"}}"#, "two types, S and N"),
    ] {
        world.run("ddb-scan", &["--filter", "pk = :p", "--values", values]).ends_with(2).says(why);
    }
    world.run("ddb-scan", &["--values", "{}"]).ends_with(2).says("--filter");
    world.run("ddb-scan", &["--count", "--limit", "3"]).ends_with(2);
}
