//! What a `200 OK` has to contain before a tool believes it: each operation that a
//! tool calls is answered with something else in turn.

use std::sync::{Arc, Mutex};

use cli_tests::proxy::{Answer, Proxy, Request, identity};
use cli_tests::{ACCOUNT, Run, World};
use serde_json::{Value, json};

/// Bodies that no operation answers with.
fn bodies() -> [Value; 5] {
    [
        json!({}),
        Value::String(String::new()),
        json!({"hello": "world"}),
        json!([]),
        Value::String("<html>Sign in to this network</html>".to_owned()),
    ]
}

/// A proxy that gives this answer to the `faulty`-th kind of operation that it meets,
/// and what it has met.
fn faulty(
    upstream: &str,
    place: usize,
    answer: impl Fn(&Request) -> Answer + Send + Sync + 'static,
) -> (Proxy, Arc<Mutex<Vec<String>>>) {
    let met = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&met);
    let proxy = Proxy::start(upstream, move |_, request| {
        let mut seen = seen.lock().expect("no panic");
        let known = seen.iter().position(|operation| *operation == request.operation);
        let at = known.unwrap_or_else(|| {
            seen.push(request.operation.clone());
            seen.len() - 1
        });
        if at == place { answer(request) } else { Answer::Forward }
    });
    (proxy, met)
}

/// Runs the tool with each of its operations answered wrongly, until there is none
/// left and it succeeds. Returns the operations.
fn each_operation(
    world: &World,
    upstream: &str,
    variable: &str,
    tool: &str,
    arguments: &[&str],
) -> Vec<String> {
    for place in 0.. {
        for body in bodies() {
            let reply = Answer::Reply { status: 200, body: body.clone() };
            let (proxy, met) = faulty(upstream, place, move |_| reply.clone());
            let mut command = world.tool(tool, arguments);
            command.env(variable, proxy.url()).env("OPS_TIMEOUT_SECS", "5");
            let run = Run::of(command);
            let met = met.lock().expect("no panic").clone();
            let Some(operation) = met.get(place) else {
                run.succeeds();
                return met;
            };
            let told = run.stderr.lines().filter(|line| line.starts_with("error: ")).count();
            // A delete prints the item before it goes.
            let is_quiet = run.stdout.is_empty() || operation == "DeleteItem";
            assert!(
                matches!(run.status, Some(1 | 3)) && told == 1 && is_quiet,
                "{tool} {arguments:?}, {operation}: {body}\n{run}"
            );
            assert!(
                run.stderr.contains("what answers at") || run.stderr.contains("its answer to"),
                "{tool} {arguments:?}, {operation}: {body}\n{run}"
            );
        }
    }
    unreachable!("the operations come to an end")
}

#[test]
fn every_operation_of_dynamodb() {
    let Some(world) = World::whole() else { return };
    let items = world.file("a.json", r#"{"Item":{"pk":{"S":"a"},"sk":{"S":"b"}}}"#);
    let one = world.file("one.json", r#"{"pk":{"S":"x"},"sk":{"S":"y"}}"#);
    let other = world.file("other.json", r#"{"pk":{"S":"x"},"sk":{"S":"y"},"n":{"N":"1"}}"#);
    world.sql("UPDATE users SET display_name = 'Renamed' WHERE handle = 'bayko'");
    let schema = include_str!("../../../../seed-data/tables/cruddur-messages.json");
    let mut schema: Value = serde_json::from_str(schema).expect("JSON");
    schema["DeletionProtectionEnabled"] = json!(false);
    schema["ProvisionedThroughput"]["ReadCapacityUnits"] = json!(7);
    let schema = world.file("schema.json", schema.to_string());
    let mut operations = Vec::new();
    for (tool, arguments) in [
        ("ddb-list-tables", vec![]),
        ("ddb-list-tables", vec!["--long"]),
        ("ddb-scan", vec!["--output", "jsonl"]),
        ("ddb-scan", vec!["--count"]),
        ("ddb-export", vec![]),
        ("ddb-export", vec!["--count"]),
        ("ddb-get-conversation", vec![]),
        ("ddb-list-conversations", vec![]),
        ("ddb-query", vec!["MSG#5ae290ed-55d1-47a0-bc6d-fe2bc2700399"]),
        ("ddb-item", vec!["put", &one]),
        ("ddb-item", vec!["put", &other]),
        ("ddb-item", vec!["delete", "x", "y"]),
        ("ddb-refresh-names", vec!["--all", "--give-up-after", "1"]),
        ("check-identities", vec![]),
        ("ddb-schema-load", vec!["--table", "new"]),
        ("ddb-schema-load", vec!["--schema", &schema, "--update"]),
        ("ddb-schema-load", vec!["--schema", &schema, "--update", "--ttl-attribute", "until"]),
        ("ddb-import", vec![&*items, "--give-up-after", "1"]),
        ("ddb-seed", vec!["--start", "2026-02-01", "--give-up-after", "1"]),
        ("ddb-send-message", vec!["Hi", "--from", "bayko", "--to", "jess-bk"]),
        ("ddb-send-message", vec!["Hi", "--from", "maren", "--to", "tariq"]),
        ("ddb-drop", vec!["cruddur-messages"]),
    ] {
        let variable = "AWS_ENDPOINT_URL_DYNAMODB";
        operations.extend(each_operation(&world, &world.endpoint(), variable, tool, &arguments));
    }
    operations.sort_unstable();
    operations.dedup();
    assert_eq!(
        operations,
        [
            "BatchExecuteStatement",
            "BatchWriteItem",
            "CreateTable",
            "DeleteItem",
            "DeleteTable",
            "DescribeTable",
            "DescribeTimeToLive",
            "GetItem",
            "ListTables",
            "PutItem",
            "Query",
            "Scan",
            "TransactWriteItems",
            "UpdateItem",
            "UpdateTable",
            "UpdateTimeToLive",
        ]
    );
}

#[test]
fn every_operation_of_cognito() {
    let Some(world) = World::whole() else { return };
    let variable = "AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER";
    let cognito = world.cognito().url();
    for (tool, arguments) in [
        ("cognito-list-users", vec![]),
        ("cognito-list-users", vec!["--output", "jsonl"]),
        ("cognito-list-users", vec!["--output", "map"]),
        ("check-identities", vec![]),
        ("update-cognito-user-ids", vec![]),
        ("db-setup", vec!["--steps", "cognito-ids"]),
    ] {
        let operations = each_operation(&world, &cognito, variable, tool, &arguments);
        assert_eq!(operations, ["ListUsers"], "{tool}");
    }
}

/// An answer of STS that names no account is no consent to go on with `--yes`.
#[test]
fn an_empty_answer_of_sts_names_no_account() {
    let world = World::dynamodb();
    for body in bodies() {
        let account = Proxy::start("127.0.0.1:1", move |_, _| Answer::Reply {
            status: 200,
            body: body.clone(),
        });
        for (expected, error) in [
            (ACCOUNT, "cannot tell whether this is the account"),
            ("", "the account is not known, and then --yes is not enough"),
        ] {
            let mut command = world.prod_tool("ddb-schema-load", &["prod", "--yes"]);
            world.behind_account(&mut command, &account.url());
            command.env("OPS_EXPECTED_ACCOUNT_ID", expected);
            Run::of(command).ends_with(1).prints_only("").says(error);
        }
    }
    world.run("ddb-list-tables", &[]).succeeds().prints_only("");
}

/// Backups that cannot be told are said not to be known.
#[test]
fn an_empty_answer_says_nothing_of_backups() {
    let world = World::dynamodb();
    world.run("ddb-schema-load", &[]).succeeds();
    let proxy = Proxy::start(&world.endpoint(), |_, request| match &*request.operation {
        "DescribeContinuousBackups" => Answer::Reply { status: 200, body: json!({}) },
        _ => Answer::Forward,
    });
    let mut command = world
        .prod_command("ddb-drop", &["cruddur-messages", "prod", "--confirm", "cruddur-messages"]);
    command.args(["--endpoint-url", &proxy.url()]);
    let account = Proxy::start("127.0.0.1:1", |_, _| identity(ACCOUNT));
    world.behind_account(&mut command, &account.url());
    Run::of(command).succeeds().says("Backup status unknown");
}

/// One body in twenty is lost, and what was written is not.
#[test]
fn an_import_loses_nothing_where_answers_lose_their_bodies() {
    let world = World::dynamodb();
    world.run("ddb-schema-load", &[]).succeeds();
    let lines: String = (0..3000)
        .map(|n| format!("{{\"pk\":{{\"S\":\"a\"}},\"sk\":{{\"S\":\"{n:05}\"}}}}\n"))
        .collect();
    let items = world.file("a.json", lines);
    let proxy = Proxy::start(&world.endpoint(), |number, request| {
        match (&*request.operation, number % 20) {
            ("BatchWriteItem", 7) => {
                Answer::Reply { status: 200, body: Value::String(String::new()) }
            }
            ("BatchWriteItem", 13) => Answer::Reply { status: 200, body: json!({}) },
            _ => Answer::Forward,
        }
    });
    let mut command = world.tool("ddb-import", &[&items, "--output", "json"]);
    command.env("AWS_ENDPOINT_URL_DYNAMODB", proxy.url());
    let run = Run::of(command).succeeds();
    assert_eq!(run.json()["written"], 3000, "{run}");
    world.run("ddb-scan", &["--count"]).succeeds().prints_only("3000\n");
}

/// A page that says it has more than it has.
#[test]
fn items_are_as_many_as_the_page_counts() {
    let Some(world) = World::whole() else { return };
    for (tool, arguments) in [
        ("ddb-scan", vec!["--output", "jsonl"]),
        ("ddb-export", vec![]),
        ("ddb-get-conversation", vec![]),
        ("ddb-list-conversations", vec![]),
        ("ddb-query", vec!["MSG#5ae290ed-55d1-47a0-bc6d-fe2bc2700399"]),
        ("check-identities", vec![]),
        ("ddb-seed", vec![]),
    ] {
        let proxy = Proxy::start(&world.endpoint(), |_, request| {
            let body = request.body.clone();
            match &*request.operation {
                "Scan" | "Query" => Answer::Instead { body, add: json!({"Items": []}) },
                _ => Answer::Forward,
            }
        });
        let mut command = world.tool(tool, &arguments);
        command.env("AWS_ENDPOINT_URL_DYNAMODB", proxy.url());
        let run = Run::of(command).ends_with(1).prints_only("");
        assert!(
            run.stderr.contains("items and has 0"),
            "{tool}: a page of less than it counts\n{run}"
        );
    }
}

/// A listing that is led in a circle ends.
#[test]
fn a_token_that_comes_again_is_an_error() {
    let Some(world) = World::whole() else { return };
    let key = |name: &str| json!({"pk": {"S": "MSG#x"}, "sk": {"S": name}});
    // Circles of one page and of two.
    for length in [1, 2] {
        for (tool, arguments) in [
            ("ddb-list-tables", vec![]),
            ("ddb-scan", vec!["--output", "jsonl"]),
            ("ddb-scan", vec!["--count"]),
            ("ddb-query", vec!["MSG#5ae290ed-55d1-47a0-bc6d-fe2bc2700399", "--output", "jsonl"]),
            ("ddb-export", vec!["--out", "out.json"]),
            ("check-identities", vec![]),
            ("ddb-seed", vec![]),
            ("cognito-list-users", vec!["--output", "json"]),
            ("update-cognito-user-ids", vec![]),
        ] {
            let decide = move |number: usize, request: &Request| {
                let (mut body, name) = (request.body.clone(), format!("{}", number % length));
                let add = match &*request.operation {
                    "ListTables" => json!({"LastEvaluatedTableName": name}),
                    "Scan" | "Query" => json!({"LastEvaluatedKey": key(&name)}),
                    "ListUsers" => json!({"PaginationToken": name}),
                    _ => return Answer::Forward,
                };
                for token in ["ExclusiveStartTableName", "ExclusiveStartKey", "PaginationToken"] {
                    body.as_object_mut().expect("an object").remove(token);
                }
                Answer::Instead { body, add }
            };
            let dynamodb = Proxy::start(&world.endpoint(), decide);
            let cognito = Proxy::start(&world.cognito().url(), decide);
            let mut command = world.tool(tool, &arguments);
            command.env("AWS_ENDPOINT_URL_DYNAMODB", dynamodb.url());
            command.env("AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER", cognito.url());
            let run = Run::of(command).ends_with(1);
            assert!(run.stderr.contains("it leads to the same page again"), "{tool}\n{run}");
            assert!(dynamodb.requests().len() + cognito.requests().len() < 60, "{tool}\n{run}");
        }
    }
    assert!(!world.folder().join("out.json").exists());
}
