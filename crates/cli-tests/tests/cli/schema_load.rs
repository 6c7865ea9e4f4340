//! `ddb-schema-load`

use aws_sdk_dynamodb::types::{BillingMode, ProvisionedThroughput};
use cli_tests::{World, block_on};
use serde_json::json;

#[test]
fn creates_the_messages_table() {
    let world = World::dynamodb();
    world
        .run("ddb-schema-load", &[])
        .succeeds()
        .prints_only("`cruddur-messages` (ACTIVE): created\n")
        .says("created `cruddur-messages`: pk HASH S, sk RANGE S; PROVISIONED, 5 read, 5 write");
    let live = block_on(world.client().describe_table().table_name("cruddur-messages").send())
        .expect("describe");
    let table = live.table().expect("table");
    let keys: Vec<String> = table
        .key_schema()
        .iter()
        .map(|key| format!("{} {}", key.attribute_name(), key.key_type().as_str()))
        .collect();
    assert_eq!(keys, ["pk HASH", "sk RANGE"]);
    let throughput = table.provisioned_throughput().expect("throughput");
    assert_eq!(
        (throughput.read_capacity_units(), throughput.write_capacity_units()),
        (Some(5), Some(5))
    );
}

#[test]
fn again_changes_nothing() {
    let world = World::dynamodb();
    world.run("ddb-schema-load", &[]).succeeds();
    world.run("ddb-schema-load", &[]).succeeds().prints_only(
        "`cruddur-messages` (ACTIVE): already there, same definition; nothing is changed\n",
    );
}

#[test]
fn json_is_for_scripts() {
    let world = World::dynamodb();
    for created in [true, false] {
        let report = world.run("ddb-schema-load", &["--output", "json"]).succeeds().json();
        assert_eq!(report["table"], "cruddur-messages");
        assert_eq!(report["status"], "ACTIVE");
        assert_eq!(report["created"], created);
        assert_eq!(report["differences"], json!([]));
        assert!(report["arn"].as_str().is_some_and(|arn| arn.ends_with(":table/cruddur-messages")));
    }
}

#[test]
fn dry_run_creates_nothing() {
    let world = World::dynamodb();
    world
        .run("ddb-schema-load", &["--dry-run"])
        .succeeds()
        .prints_only("`cruddur-messages`: not there; nothing is changed (--dry-run)\n")
        .says(
            "would create `cruddur-messages`: pk HASH S, sk RANGE S; PROVISIONED, 5 read, 5 write",
        );
    world.run("ddb-list-tables", &[]).succeeds().prints_only("");
}

/// The differences are shown; the live table stays as it is.
#[test]
fn a_table_that_differs_is_an_error_and_stays() {
    let world = World::dynamodb();
    world.run("ddb-schema-load", &[]).succeeds();
    let definition = json!({
        "TableName": "cruddur-messages",
        "AttributeDefinitions": [
            {"AttributeName": "pk", "AttributeType": "S"}, {"AttributeName": "sk", "AttributeType": "N"},
            {"AttributeName": "user_uuid", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        "GlobalSecondaryIndexes": [{
            "IndexName": "by-user", "KeySchema": [{"AttributeName": "user_uuid", "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "ALL"}}],
        "BillingMode": "PAY_PER_REQUEST",
    });
    let file = world.file("table.json", definition.to_string());
    let run = world.run("ddb-schema-load", &["--schema", &file]).ends_with(1).says(
        "error: `cruddur-messages` is there and differs from the definition; nothing is changed",
    );
    for row in [
        "AttributeDefinitions",
        "BillingMode",
        "GlobalSecondaryIndexes.by-user.KeySchema",
        "ProvisionedThroughput",
    ] {
        assert!(run.stdout.contains(row), "{run}");
    }
    let run = world.run("ddb-schema-load", &["--schema", &file, "--output", "json"]).ends_with(1);
    let report = run.json();
    assert_eq!(report["created"], false);
    let differences = report["differences"].as_array().expect("a list");
    assert!(differences.contains(
        &json!({"path": "BillingMode", "definition": "PAY_PER_REQUEST", "live": "PROVISIONED"})
    ));
    world.run("ddb-schema-load", &[]).succeeds().prints("same definition");
}

#[test]
fn throughput_that_was_changed_by_hand_is_a_difference() {
    let world = World::dynamodb();
    world.run("ddb-schema-load", &[]).succeeds();
    let client = world.client();
    let throughput =
        ProvisionedThroughput::builder().read_capacity_units(9).write_capacity_units(5).build();
    let update =
        client.update_table().table_name("cruddur-messages").billing_mode(BillingMode::Provisioned);
    block_on(update.provisioned_throughput(throughput.expect("units")).send()).expect("update");
    world
        .run("ddb-schema-load", &[])
        .ends_with(1)
        .prints("5 read, 5 write")
        .prints("9 read, 5 write");
    world.run("ddb-schema-load", &["--dry-run"]).ends_with(1).prints("9 read, 5 write");
}

#[test]
fn a_file_is_honoured_indexes_too() {
    let world = World::dynamodb();
    let definition = json!({
        "TableName": "orders",
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "N"}, {"AttributeName": "by", "AttributeType": "B"}],
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "GlobalSecondaryIndexes": [{
            "IndexName": "by-by", "KeySchema": [{"AttributeName": "by", "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["a", "b"]},
            "ProvisionedThroughput": {"ReadCapacityUnits": 2, "WriteCapacityUnits": 3}}],
        "BillingMode": "PROVISIONED",
        "ProvisionedThroughput": {"ReadCapacityUnits": 7, "WriteCapacityUnits": 8},
        "StreamSpecification": {"StreamEnabled": true, "StreamViewType": "NEW_IMAGE"},
        "DeletionProtectionEnabled": true,
        "Tags": [{"Key": "team", "Value": "ops"}],
    });
    let file = world.file("orders.json", definition.to_string());
    world
        .run("ddb-schema-load", &["--schema", &file])
        .succeeds()
        .prints_only("`orders` (ACTIVE): created\n");
    world.run("ddb-schema-load", &["--schema", &file]).succeeds().prints("same definition");
    let live =
        block_on(world.client().describe_table().table_name("orders").send()).expect("describe");
    let table = live.table().expect("table");
    assert_eq!(table.deletion_protection_enabled(), Some(true));
    let index = &table.global_secondary_indexes()[0];
    assert_eq!(index.projection().map(|projection| projection.non_key_attributes().len()), Some(2));
    assert_eq!(
        index.provisioned_throughput().and_then(|throughput| throughput.write_capacity_units()),
        Some(3)
    );
}

/// --table, else the file's name, else the environment.
#[test]
fn the_table_is_named_by_the_nearest() {
    let world = World::dynamodb();
    let file = world.file(
        "t.json",
        include_str!("../../../../seed-data/tables/cruddur-messages.json")
            .replace("cruddur-messages", "from-file"),
    );
    let name = |arguments: &[&str]| {
        let mut command = world.tool("ddb-schema-load", arguments);
        command.args(["--output", "json"]).env("DDB_MESSAGE_TABLE", "from-env");
        cli_tests::Run::of(command).succeeds().json()["table"].clone()
    };
    assert_eq!(name(&[]), "from-env");
    assert_eq!(name(&["--schema", &file]), "from-file");
    assert_eq!(name(&["--schema", &file, "--table", "from-flag"]), "from-flag");
}

#[test]
fn bad_files() {
    let world = World::dynamodb();
    let load =
        |file: &str| world.run("ddb-schema-load", &["--schema", file]).ends_with(1).prints_only("");
    load("none.json").says("error: cannot read the definition `none.json`");
    load(&world.file("empty.json", "")).says("is not a CreateTable request").says("EOF");
    load(&world.file("list.json", "[]")).says("is not a CreateTable request");
    let typo =
        json!({"TableName": "t", "AttributeDefinitions": [], "KeySchema": [], "BilingMode": "x"})
            .to_string();
    load(&world.file("typo.json", typo)).says("unknown field `BilingMode`").says("line 1 column");
    let bad = json!({"TableName": "bad-type", "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "X"}], "BillingMode": "PAY_PER_REQUEST"});
    load(&world.file("bad.json", bad.to_string()))
        .says("error: cannot create the table `bad-type`")
        .says("ValidationException");
    world.run("ddb-list-tables", &[]).succeeds().prints_only("");
}

#[test]
fn creating_in_prod_takes_consent_and_comparing_none() {
    let world = World::dynamodb();
    world
        .run_prod("ddb-schema-load", &["prod"])
        .ends_with(1)
        .prints_only("")
        .says("consent with --yes");
    world.run_prod("ddb-schema-load", &["prod", "--dry-run"]).succeeds();
    world.run("ddb-list-tables", &[]).succeeds().prints_only("");
    world
        .run_prod("ddb-schema-load", &["prod", "--yes"])
        .succeeds()
        .prints_only("`cruddur-messages` (ACTIVE): created\n")
        .says("target: prod");
}

/// That they differ is worse than that nobody reads how.
#[test]
fn a_closed_pipe_does_not_hide_a_difference() {
    let world = World::dynamodb();
    world.run("ddb-schema-load", &[]).succeeds();
    let file = world.file(
        "t.json",
        include_str!("../../../../seed-data/tables/cruddur-messages.json")
            .replace("\"WriteCapacityUnits\": 5", "\"WriteCapacityUnits\": 6"),
    );
    let tool = cli_tests::binary("ddb-schema-load").display().to_string();
    let mut command = world.command("bash");
    command.args(["-c", &format!("{tool} --schema {file} | true; echo ${{PIPESTATUS[0]}}")]);
    cli_tests::Run::of(command).succeeds().prints_only("1\n").says("differs from the definition");
}
