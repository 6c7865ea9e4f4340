//! `ddb-query`, and what it shares with `ddb-scan`: filters with values in them, indexes.

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue::{B, Bool, N, S};
use cli_tests::proxy::{Answer, Proxy};
use cli_tests::{GROUP, JESS, World};
use ops_common::app::records::Item;
use serde_json::{Value, json};

fn conversation() -> String {
    format!("conversation:{GROUP}")
}

#[test]
fn an_inbox_and_a_conversation_by_their_names() {
    let world = World::both();
    world.run("db-setup", &["--steps", "create,schema-load,seed"]).succeeds();
    world.run("ddb-schema-load", &[]).succeeds();
    world.run("ddb-seed", &[]).succeeds();
    let run = world.run("ddb-query", &["inbox:@jess-bk", "--output", "json"]).succeeds();
    let found = run.json();
    assert_eq!(found["target"], "local");
    assert_eq!(found["table"], "cruddur-messages");
    assert_eq!(found["items"][0]["pk"], format!("GRP#{JESS}"));
    assert_eq!(found["items"].as_array().map(Vec::len), Some(1));
    assert_eq!((&found["consumed_capacity"], &found["more"]), (&json!(0.5), &json!(false)));
    run.says("1 item; 0.5 read units; a scan reads about 4");
    // By the uuid Postgres is not asked.
    let named = format!("inbox:{JESS}");
    world
        .run("ddb-query", &["local", &named])
        .succeeds()
        .prints("Message groups")
        .does_not_say("postgres");
    world.run("ddb-query", &["inbox:tariq"]).succeeds().prints_only("").says("--handle tariq`");
    world
        .run("ddb-query", &["inbox:jes-bk"])
        .ends_with(1)
        .says("error: no user has the handle `jes-bk`")
        .says("did you mean `jess-bk`?");
    let run = world.run("ddb-query", &[&conversation(), "--limit", "2"]).succeeds();
    assert_eq!(run.stdout.lines().count(), 5, "{run}");
    run.prints("Bayko! I saw your crud before it expired.").says("cut by --limit");
    let prefixed = format!("MSG#{GROUP}");
    let run = world.run("ddb-query", &[&prefixed, "--output", "jsonl"]).succeeds();
    assert_eq!(run.stdout.lines().count(), 104, "{run}");
}

/// In `prod` the person is looked up in the production database.
#[test]
fn the_database_is_the_targets() {
    let world = World::both();
    world.run("db-setup", &["--steps", "create,schema-load,seed"]).succeeds();
    world.run("ddb-schema-load", &[]).succeeds();
    world
        .run_prod("ddb-query", &["prod", "inbox:jess-bk"])
        .ends_with(1)
        .says("target: PROD")
        .says("is stamped `local`");
}

#[test]
fn every_page_is_read_and_one_more_than_the_limit_tells() {
    let world = World::seeded();
    let proxy = Proxy::start(&world.endpoint(), |_, request| {
        let mut body = request.body.clone();
        if body["Limit"].is_number() {
            body["Limit"] = json!(body["Limit"].as_u64().map(|limit| limit.min(10)));
        }
        Answer::Instead { body, add: json!({}) }
    });
    let url = ["--endpoint-url", &proxy.url()];
    let pk = conversation();
    let run = world.run("ddb-query", &[&pk, "--output", "jsonl", url[0], url[1]]).succeeds();
    assert_eq!(run.stdout.lines().count(), 104, "{run}");
    for (limit, lines, more) in [("103", 103, true), ("104", 104, false), ("10", 10, true)] {
        let run =
            world.run("ddb-query", &[&pk, "--output", "jsonl", "--limit", limit, url[0], url[1]]);
        let run = run.succeeds();
        assert_eq!(run.stdout.lines().count(), lines, "{run}");
        assert_eq!(run.stderr.contains("more exist"), more, "{run}");
    }
}

fn texts(stdout: &str, name: &str) -> Vec<String> {
    let item = |line: &str| serde_json::from_str::<Value>(line).expect("an item")[name].to_string();
    stdout.lines().map(item).collect()
}

/// A table whose keys are a number and bytes, with an index of each kind.
fn orders() -> World {
    let world = World::dynamodb();
    let attribute = |name: &str, kind: &str| json!({"AttributeName": name, "AttributeType": kind});
    let key = |pk: &str, sk: &str| json!([{"AttributeName": pk, "KeyType": "HASH"}, {"AttributeName": sk, "KeyType": "RANGE"}]);
    let definition = json!({
        "TableName": "orders",
        "AttributeDefinitions": [
            attribute("customer", "N"), attribute("id", "B"), attribute("total", "N"), attribute("status", "S")
        ],
        "KeySchema": key("customer", "id"),
        "BillingMode": "PAY_PER_REQUEST",
        "LocalSecondaryIndexes": [
            {"IndexName": "by-total", "KeySchema": key("customer", "total"), "Projection": {"ProjectionType": "ALL"}}
        ],
        "GlobalSecondaryIndexes": [
            {"IndexName": "by-status", "KeySchema": key("status", "total"), "Projection": {"ProjectionType": "KEYS_ONLY"}}
        ],
    });
    let definition = world.file("orders.json", definition.to_string());
    world.run("ddb-schema-load", &["--schema", &definition]).succeeds();
    for (id, total, status) in [(b"a", "5", "new"), (b"b", "40", "new"), (b"c", "300", "paid")] {
        world.put(
            "orders",
            Item::from([
                ("customer".to_owned(), N("4711".into())),
                ("id".to_owned(), B(Blob::new(*id))),
                ("total".to_owned(), N(total.into())),
                ("status".to_owned(), S(status.into())),
                ("gone".to_owned(), Bool(status == "paid")),
            ]),
        );
    }
    world
}

#[test]
fn a_keys_type_is_the_tables() {
    let world = orders();
    let query = |arguments: &[&str]| {
        let all = [&["--table", "orders", "--output", "jsonl"], arguments].concat();
        texts(&world.run("ddb-query", &all).succeeds().stdout, "total")
    };
    assert_eq!(query(&["4711"]), ["5", "40", "300"]);
    assert_eq!(query(&["4.711e3", "local", "--reverse"]), ["300", "40", "5"]);
    assert_eq!(query(&["local", "4711", "--sk", "> YQ=="]), ["40", "300"]);
    assert_eq!(query(&["4711", "--sk", "Yg=="]), ["40"]);
    assert_eq!(query(&["4711", "--sk-begins", "Yw=="]), ["300"]);
    // As numbers: as texts they would come in another order.
    assert_eq!(query(&["4711", "--index", "by-total", "--sk-between", "6", "300"]), ["40", "300"]);
    assert_eq!(query(&["4711", "--index", "by-total", "--sk", "<40"]), ["5"]);
    assert_eq!(query(&["new", "--index", "by-status", "--sk", ">=5"]), ["5", "40"]);
    for (arguments, error) in [
        (&["abc"][..], "`abc` is not a number, which the key `customer` is"),
        (&["4711", "--sk", "= ?"], "`?` is not base64 of bytes, which the key `id` is"),
        (&["4711", "--sk", ">="], "the value of the key `id` is empty"),
        (&[""], "the value of the key `customer` is empty"),
        (&["4711", "--index", "by-total", "--sk-begins", "4"], "the sort key `total` is a number"),
        (&["4711", "--index", "by-sum"], "the table `orders` has no index `by-sum`"),
        (&["4711", "--index", "by-total", "--sk", "<> 4"], "`<> 4` is no comparison of a sort key"),
        (&["4711", "--index", "by-total", "--sk", "== 4"], "`== 4` is no comparison of a sort key"),
        (&["4711", "--sk", "begins_with Y"], "`begins_with Y` is no comparison of a sort key"),
        (&["4711", "--sk", "between a b"], "`between a b` is no comparison of a sort key"),
        (&["4711", "--sk", ">= \"YQ==\""], "`>= \"YQ==\"` is no comparison of a sort key"),
        (
            &["4711", "--index", "by-total", "--sk-between", "9", "6"],
            "cannot query the table `orders`",
        ),
        // Names of the app's partitions are values like any other in another table.
        (&["inbox:jess-bk"], "`inbox:jess-bk` is not a number"),
    ] {
        let all = [&["--table", "orders"], arguments].concat();
        world.run("ddb-query", &all).ends_with(2).prints_only("").says(&format!("error: {error}"));
    }
    world
        .run("ddb-scan", &["--table", "orders", "--index", "by-totl"])
        .ends_with(2)
        .says("hint: did you mean `by-total`?");
    let run = ["--table", "orders", "--index", "by-status", "--output", "jsonl"];
    let run = world.run("ddb-scan", &run).succeeds();
    // The index has keys only.
    assert_eq!(run.stdout.lines().count(), 3, "{run}");
    assert!(!run.stdout.contains("gone"), "{run}");
}

/// The key is what one looks for first, whatever it is called.
#[test]
fn key_columns_come_first() {
    let world = orders();
    for (tool, pk) in [("ddb-scan", None), ("ddb-query", Some("4711"))] {
        let mut arguments = vec!["--table", "orders"];
        arguments.extend(pk);
        let run = world.run(tool, &arguments).succeeds();
        let words: Vec<&str> =
            run.stdout.lines().nth(1).expect("a header").split_whitespace().collect();
        assert_eq!(words, ["customer", "id", "item"], "{run}");
        run.prints(r#"{"gone":false,"status":"new","total":5}"#);
    }
}

#[test]
fn a_filter_has_its_values_in_it() {
    let world = orders();
    for tool in ["ddb-scan", "ddb-query"] {
        let filtered = |filter: &str, more: &[&str]| {
            let pk: &[&str] = if tool == "ddb-query" { &["4711"] } else { &[] };
            let all = [pk, &["--table", "orders", "--output", "jsonl", "--filter", filter], more]
                .concat();
            world.run(tool, &all)
        };
        let totals =
            |filter: &str, more: &[&str]| texts(&filtered(filter, more).succeeds().stdout, "total");
        // `status` and `total` are two of the reserved words.
        assert_eq!(totals("status = \"new\" AND total > 5", &[]), ["40"]);
        assert_eq!(totals("status IN ('paid', 'lost') OR total = 5", &[]), ["5", "300"]);
        assert_eq!(totals("gone = true", &[]), ["300"]);
        assert_eq!(
            totals(
                "begins_with(#s, :s)",
                &["--names", r##"{"#s":"status"}"##, "--values", r#"{":s":{"S":"p"}}"#]
            ),
            ["300"]
        );
        assert_eq!(
            totals("contains(status, 'a') AND #s = 'paid'", &["--names", r##"{"#s":"status"}"##]),
            ["300"]
        );
        assert_eq!(totals("total > 5", &["--select", "total,status"]), ["40", "300"]);
        filtered("status = new", &[]).succeeds().prints_only("").says("a text stands in quotes");
        for (filter, why) in [
            ("status == 'x'", "`==` is written `=`"),
            ("status = 'x", "does not end"),
            ("", "a filter is like"),
        ] {
            filtered(filter, &[]).ends_with(2).prints_only("").says(why);
        }
        filtered("status = 'x' AND", &[]).ends_with(1).says("hint: look at --filter");
    }
    world
        .run("ddb-query", &["4711", "--table", "orders", "--filter", "id = 'x'"])
        .ends_with(1)
        .says("hint: the filter of a query cannot have the key: that is PK and --sk");
}

#[test]
fn what_is_no_query_says_what_is_missing() {
    let world = World::dynamodb();
    world.run("ddb-schema-load", &[]).succeeds();
    let fails = |arguments: &[&str], status: i32, says: &str| {
        world.run("ddb-query", arguments).ends_with(status).prints_only("").says(says);
    };
    fails(&[], 2, "error: no PK is named");
    fails(&["prod"], 2, "error: no PK is named");
    fails(&["prd", "x"], 2, "hint: did you mean `prod`?");
    fails(&["x", "y"], 2, "error: `x` is not a target: `local` or `prod`");
    fails(&["conversation:7"], 2, "`7` is not a conversation's uuid");
    fails(&["inbox:"], 2, "a handle has at least one character");
    fails(&["x", "--sk", "1", "--sk-begins", "2"], 2, "cannot be used with");
    fails(&["x", "--limit", "0"], 2, "--limit");
    fails(&["x", "--table", "cruddur-mesages"], 1, "did you mean `cruddur-messages`?");
    world
        .run("ddb-query", &["jess-bk"])
        .succeeds()
        .prints_only("")
        .says("the app's partitions are named `inbox:HANDLE` and `conversation:UUID`");
    let nothing = world.run("ddb-query", &["x", "--output", "json"]).succeeds().json();
    assert_eq!(nothing["items"], json!([]));
    let single = json!({
        "TableName": "single",
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "BillingMode": "PAY_PER_REQUEST",
    });
    let single = world.file("single.json", single.to_string());
    world.run("ddb-schema-load", &["--schema", &single]).succeeds();
    fails(&["x", "--table", "single", "--sk", "y"], 2, "error: there is no sort key to compare");
}
