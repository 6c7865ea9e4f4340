//! The life of a table against dynalite, a second opinion: its tables stay
//! CREATING and DELETING for a while.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use cli_tests::{Run, World, wait_for};
use serde_json::{Value, json};

struct Dynalite {
    server: Child,
    url: String,
}

impl Dynalite {
    /// `None` only where it cannot be had, which fails in CI.
    fn start() -> Option<Self> {
        let program =
            cli_tests::workspace().join(".local-stack/npm-test/node_modules/dynalite/cli.js");
        if !program.exists() {
            cli_tests::cannot_run("no dynalite: `scripts/test` installs it");
            return None;
        }
        let port =
            TcpListener::bind("127.0.0.1:0").expect("port").local_addr().expect("address").port();
        let mut command = Command::new("node");
        command.arg(program).args(["--host", "127.0.0.1", "--port", &port.to_string()]);
        command.args(["--createTableMs", "700", "--deleteTableMs", "700"]);
        let server = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("node");
        wait_for("dynalite", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        Some(Self { server, url: format!("http://127.0.0.1:{port}") })
    }

    fn run(&self, world: &World, tool: &str, arguments: &[&str]) -> Run {
        let mut command = world.tool(tool, arguments);
        command.env("AWS_ENDPOINT_URL_DYNAMODB", &self.url);
        Run::of(command)
    }
}

impl Drop for Dynalite {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

#[test]
fn a_table_is_waited_for_from_creating_to_gone() {
    let Some(dynalite) = Dynalite::start() else { return };
    let world = World::empty();
    dynalite
        .run(&world, "ddb-schema-load", &["--wait-timeout", "0"])
        .ends_with(1)
        .says("error: the table `cruddur-messages` is CREATING, and --wait-timeout of 0 s is over")
        .says("run it again to wait longer");
    dynalite
        .run(&world, "ddb-schema-load", &[])
        .succeeds()
        .prints_only(
            "`cruddur-messages` (ACTIVE): already there, same definition; nothing is changed\n",
        )
        .says("waiting: the table `cruddur-messages` is CREATING");
    dynalite.run(&world, "ddb-list-tables", &["--long"]).succeeds().prints("ACTIVE");
    dynalite
        .run(&world, "ddb-drop", &["cruddur-messages"])
        .succeeds()
        .prints_only("`cruddur-messages` is deleted\n")
        .says("waiting: the table `cruddur-messages` is DELETING");
    dynalite.run(&world, "ddb-list-tables", &[]).succeeds().prints_only("");
}

#[test]
fn indexes_are_waited_for_and_compared() {
    let Some(dynalite) = Dynalite::start() else { return };
    let world = World::empty();
    let definition = serde_json::json!({
        "TableName": "indexed",
        "AttributeDefinitions": [{"AttributeName": "a", "AttributeType": "S"}, {"AttributeName": "b", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "a", "KeyType": "HASH"}, {"AttributeName": "b", "KeyType": "RANGE"}],
        "LocalSecondaryIndexes": [{"IndexName": "local-b", "Projection": {"ProjectionType": "KEYS_ONLY"},
            "KeySchema": [{"AttributeName": "a", "KeyType": "HASH"}, {"AttributeName": "b", "KeyType": "RANGE"}]}],
        "GlobalSecondaryIndexes": [{"IndexName": "global-b", "KeySchema": [{"AttributeName": "b", "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "ALL"}, "ProvisionedThroughput": {"ReadCapacityUnits": 1, "WriteCapacityUnits": 2}}],
        "ProvisionedThroughput": {"ReadCapacityUnits": 5, "WriteCapacityUnits": 5},
    });
    let file = world.file("t.json", definition.to_string());
    dynalite
        .run(&world, "ddb-schema-load", &["--schema", &file])
        .succeeds()
        .prints_only("`indexed` (ACTIVE): created\n");
    dynalite
        .run(&world, "ddb-schema-load", &["--schema", &file])
        .succeeds()
        .prints("same definition");
    let file = world.file(
        "t2.json",
        definition.to_string().replace("\"WriteCapacityUnits\":2", "\"WriteCapacityUnits\":3"),
    );
    dynalite
        .run(&world, "ddb-schema-load", &["--schema", &file])
        .ends_with(1)
        .prints("GlobalSecondaryIndexes.global-b.ProvisionedThroughput");
}

#[test]
fn the_main_job_runs_on_it_too() {
    let Some(dynalite) = Dynalite::start() else { return };
    let world = World::postgres();
    dynalite.run(&world, "db-setup", &[]).succeeds();
    dynalite.run(&world, "ddb-schema-load", &[]).succeeds();
    dynalite
        .run(&world, "ddb-seed", &["--start", "2026-01-01"])
        .succeeds()
        .prints("seeded 104 messages");
    dynalite.run(&world, "ddb-seed", &["--start", "2026-01-02"]).succeeds().says("106 deleted");
    let run = dynalite.run(&world, "ddb-scan", &["--output", "jsonl"]).succeeds();
    assert_eq!(run.stdout.lines().count(), 106);
    dynalite.run(&world, "ddb-get-conversation", &["--limit", "1"]).succeeds().prints("the heron");
    dynalite.run(&world, "ddb-list-conversations", &[]).succeeds().prints("bayko");
    let query = ["inbox:jess-bk", "--filter", "user_handle = \"bayko\"", "--sk", ">= 2026"];
    dynalite.run(&world, "ddb-query", &query).succeeds().prints("bayko").says("1 of 1 item; ");
}

#[test]
fn all_items_go_in_and_out_of_it_too() {
    let Some(dynalite) = Dynalite::start() else { return };
    let world = World::empty();
    dynalite.run(&world, "ddb-schema-load", &[]).succeeds();
    let text = crate::bulk::lines(400);
    let file = world.file("items.json", &text);
    let arguments = [file.as_str(), "--output", "json", "--checkpoint", "mark"];
    let run = dynalite.run(&world, "ddb-import", &arguments).succeeds();
    let ledger = crate::bulk::Ledger::of(&run);
    assert_eq!(ledger.counts(), [400, 0, 0]);
    assert!((ledger.consumed_capacity - 400.0).abs() < 0.5, "{ledger:?}");
    dynalite.run(&world, "ddb-import", &arguments).succeeds().says("nothing to do");
    for segments in ["1", "3"] {
        let run = dynalite.run(&world, "ddb-export", &["--segments", segments]).succeeds();
        assert_eq!(crate::bulk::sorted(&run.stdout), crate::bulk::sorted(&text));
    }
    let count = ["--count", "--filter", "pk = :p", "--values", r#"{":p":{"S":"MSG#3"}}"#];
    dynalite.run(&world, "ddb-export", &count).succeeds().prints_only("50\n");
    dynalite.run(&world, "ddb-scan", &count).succeeds().prints_only("50\n");
    let limited = [file.as_str(), "--max-wcu", "2000"];
    dynalite.run(&world, "ddb-import", &limited).succeeds().says("400 written");
}

/// The messages table with other members, as a file.
fn definition(world: &World, name: &str, members: &Value) -> String {
    let text = include_str!("../../../../seed-data/tables/cruddur-messages.json");
    let mut definition: Value = serde_json::from_str(text).expect("JSON");
    if let (Value::Object(definition), Value::Object(members)) = (&mut definition, members) {
        definition.extend(members.clone());
    }
    world.file(name, definition.to_string())
}

fn index(name: &str, key: &str, read: u64) -> Value {
    json!({"IndexName": name, "KeySchema": [{"AttributeName": key, "KeyType": "HASH"}],
        "Projection": {"ProjectionType": "ALL"},
        "ProvisionedThroughput": {"ReadCapacityUnits": read, "WriteCapacityUnits": 1}})
}

fn attributes(names: &[&str]) -> Value {
    names.iter().map(|name| json!({"AttributeName": name, "AttributeType": "S"})).collect()
}

/// It takes the throughput of what is there (and forgets new indexes without a word).
#[test]
fn an_update_of_throughput_is_waited_for() {
    let Some(dynalite) = Dynalite::start() else { return };
    let world = World::empty();
    let load = |arguments: &[&str]| dynalite.run(&world, "ddb-schema-load", arguments);
    let with = |read: u64, of_index: u64| {
        definition(
            &world,
            &format!("{read}-{of_index}.json"),
            &json!({
                "AttributeDefinitions": attributes(&["pk", "sk", "user_uuid"]),
                "GlobalSecondaryIndexes": [index("by-user", "user_uuid", of_index)],
                "ProvisionedThroughput": {"ReadCapacityUnits": read, "WriteCapacityUnits": 5},
            }),
        )
    };
    let (old, new) = (with(5, 3), with(7, 4));
    load(&["--schema", &old]).succeeds();
    load(&["--schema", &new])
        .ends_with(1)
        .prints("GlobalSecondaryIndexes.by-user.ProvisionedThroughput")
        .says("hint: to make it what the definition says: --update;");
    load(&["--schema", &new, "--update"])
        .succeeds()
        .says("1 of 1: set the billing to PROVISIONED, 7 read, 5 write, and set the throughput of `by-user`\n")
        .says("waiting: the table `cruddur-messages` is UPDATING")
        .prints_only("`cruddur-messages` (ACTIVE): 1 change made, now as the definition says\n");
    load(&["--schema", &new]).succeeds().prints("already there, same definition");
    load(&["--schema", &with(7, 6), "--update"])
        .succeeds()
        .says("1 of 1: set the throughput of `by-user`\n");
    // A server that says yes and does nothing is found out.
    load(&["--update"]).ends_with(1).prints("GlobalSecondaryIndexes.by-user").says(
        "error: every change of `cruddur-messages` is made, and the server still shows differences",
    );
}
