//! `ddb-schema-load`

use aws_sdk_dynamodb::types::{BillingMode, ProvisionedThroughput};
use cli_tests::proxy::{Answer, Proxy};
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
        .says("target: PROD");
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

/// The messages table with other members, as a file.
fn with(world: &World, name: &str, members: serde_json::Value) -> String {
    let text = include_str!("../../../../seed-data/tables/cruddur-messages.json");
    let mut definition: serde_json::Value = serde_json::from_str(text).expect("JSON");
    definition
        .as_object_mut()
        .expect("an object")
        .extend(members.as_object().expect("members").clone());
    world.file(name, definition.to_string())
}

fn with_index(world: &World) -> String {
    with(
        world,
        "index.json",
        serde_json::json!({
            "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}, {"AttributeName": "sk", "AttributeType": "S"}, {"AttributeName": "u", "AttributeType": "S"}],
            "GlobalSecondaryIndexes": [{"IndexName": "by-u", "KeySchema": [{"AttributeName": "u", "KeyType": "HASH"}], "Projection": {"ProjectionType": "ALL"}}],
            "BillingMode": "PAY_PER_REQUEST",
            "ProvisionedThroughput": null,
            "DeletionProtectionEnabled": true,
        }),
    )
}

#[test]
fn an_update_keeps_the_items() {
    let world = World::seeded();
    let before = world.items("cruddur-messages");
    let index = with_index(&world);
    let load = |arguments: &[&str]| world.run("ddb-schema-load", arguments);
    load(&["--schema", &index, "--update"])
        .succeeds()
        .says("1 of 3: turn on the deletion protection\n2 of 3: set the billing to PAY_PER_REQUEST\n3 of 3: create the index `by-u`\n");
    load(&["--schema", &index]).succeeds();
    world.run("ddb-drop", &["cruddur-messages"]).ends_with(1).says("is protected from deletion");
    let plain = with(&world, "plain.json", serde_json::json!({"DeletionProtectionEnabled": false}));
    load(&["--schema", &plain, "--update"])
        .succeeds()
        .says("delete the index `by-u`, which the definition does not have");
    load(&[]).succeeds().prints("same definition");
    assert_eq!(world.items("cruddur-messages"), before);
}

#[test]
fn keys_and_local_indexes_take_a_new_table() {
    let world = World::seeded();
    let keys = with(
        &world,
        "keys.json",
        serde_json::json!({
            "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
            "ProvisionedThroughput": {"ReadCapacityUnits": 9, "WriteCapacityUnits": 5},
        }),
    );
    for dry_run in [&[][..], &["--dry-run"]] {
        world
            .run("ddb-schema-load", &[&["--schema", &keys, "--update"], dry_run].concat())
            .ends_with(1)
            .prints("KeySchema")
            .says("error: `cruddur-messages` cannot be made what the definition says; nothing is changed\n  cause: only a new table can have another `KeySchema`\n")
            .says("hint: load the definition under another name");
    }
    world.run("ddb-schema-load", &[]).succeeds().prints("same definition");
}

#[test]
fn items_expire_by_an_attribute_when_it_is_asked_for() {
    let world = World::dynamodb();
    let load = |arguments: &[&str]| world.run("ddb-schema-load", arguments);
    load(&["--ttl-attribute", "expires"]).succeeds().says("time to live is on, by `expires`");
    load(&["--ttl-attribute", "expires"]).succeeds().prints("same definition");
    load(&[]).succeeds();
    load(&["--ttl-attribute", "other"]).ends_with(1).prints("TimeToLive");
    load(&["--ttl-attribute", "other", "--update"])
        .ends_with(1)
        .says("expire by `expires` already, and DynamoDB takes one change of that an hour; nothing is changed");
    load(&["--table", "plain"]).succeeds();
    load(&["--table", "plain", "--ttl-attribute", "expires"]).ends_with(1).prints("TimeToLive");
    load(&["--table", "plain", "--ttl-attribute", "expires", "--update"])
        .succeeds()
        .says("1 of 1: enable time to live by `expires`");
    load(&["--table", "plain", "--ttl-attribute", "expires"]).succeeds();
    load(&["--table", "plain", "--no-ttl"]).ends_with(1).prints("TimeToLive").prints("(none)");
    load(&["--table", "plain", "--no-ttl", "--update"])
        .succeeds()
        .says("1 of 1: disable time to live by `expires`");
    load(&["--table", "plain", "--no-ttl"]).succeeds().prints("same definition");
    load(&["--no-ttl", "--ttl-attribute", "expires"]).ends_with(2).prints_only("");
}

/// The embedded server makes an index without the throughput that it is told.
#[test]
fn what_the_server_does_not_keep_is_no_difference() {
    let world = World::dynamodb();
    let index = json!({"IndexName": "by-user", "KeySchema": [{"AttributeName": "user_uuid", "KeyType": "HASH"}],
        "Projection": {"ProjectionType": "ALL"},
        "ProvisionedThroughput": {"ReadCapacityUnits": 3, "WriteCapacityUnits": 3}});
    let mut definition = json!({"TableName": "orders", "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
        "ProvisionedThroughput": {"ReadCapacityUnits": 5, "WriteCapacityUnits": 5}});
    let file = world.file("plain.json", definition.to_string());
    world.run("ddb-schema-load", &["--schema", &file]).succeeds();
    definition["AttributeDefinitions"] = json!([{"AttributeName": "pk", "AttributeType": "S"},
        {"AttributeName": "user_uuid", "AttributeType": "S"}]);
    definition["GlobalSecondaryIndexes"] = json!([index]);
    let file = world.file("index.json", definition.to_string());
    let warning =
        "warning: this server does not keep the throughput of `by-user`; it was not compared";
    world
        .run("ddb-schema-load", &["--schema", &file, "--update"])
        .succeeds()
        .says("1 of 1: create the index `by-user`")
        .says(warning);
    for arguments in [&["--update"][..], &[]] {
        world
            .run("ddb-schema-load", &[&["--schema", &file], arguments].concat())
            .succeeds()
            .prints("same definition")
            .says(warning)
            .does_not_say("1 of 1");
    }
}

#[test]
fn an_update_in_prod_asks_and_what_loses_something_takes_the_name() {
    let world = World::dynamodb();
    world.run("ddb-schema-load", &[]).succeeds();
    let index = with_index(&world);
    let prod =
        |arguments: &[&str]| world.run_prod("ddb-schema-load", &[&["prod"], arguments].concat());
    prod(&["--schema", &index, "--update"]).ends_with(1).prints_only("").says("consent with --yes");
    prod(&["--schema", &index, "--update", "--dry-run"]).succeeds();
    world.run("ddb-schema-load", &[]).succeeds();
    prod(&["--schema", &index, "--update", "--yes"]).succeeds().says("account: ");
    let plain = with(&world, "plain.json", serde_json::json!({"DeletionProtectionEnabled": false}));
    for arguments in [
        &["--schema", &plain, "--update"][..],
        &["--schema", &index, "--update", "--ttl-attribute", "e"],
    ] {
        prod(&[arguments, &["--yes"]].concat())
            .ends_with(1)
            .says("--yes is not enough to destroy something")
            .says("consent with --confirm cruddur-messages");
    }
    world.run("ddb-schema-load", &["--schema", &index]).succeeds();
    prod(&["--schema", &plain, "--update", "--confirm", "cruddur-messages"]).succeeds();
    world.run("ddb-schema-load", &[]).succeeds();
}

#[test]
fn an_update_that_breaks_off_says_what_is_made() {
    let world = World::dynamodb();
    world.run("ddb-schema-load", &[]).succeeds();
    let index = with_index(&world);
    let proxy = Proxy::start(&world.endpoint(), |_, request| {
        if request.operation == "UpdateTable"
            && request.body["GlobalSecondaryIndexUpdates"].is_array()
        {
            let body = serde_json::json!({"__type": "x#LimitExceededException", "message": "too many indexes at once"});
            return Answer::Reply { status: 400, body };
        }
        Answer::Forward
    });
    world
        .run("ddb-schema-load", &["--schema", &index, "--update", "--endpoint-url", &proxy.url()])
        .ends_with(3)
        .prints_only("")
        .says("error: cannot create the index `by-u`\n  cause: LimitExceededException: too many indexes at once\n")
        .says("cause: made before: turn on the deletion protection; set the billing to PAY_PER_REQUEST\n")
        .says("cause: not known to be made: create the index `by-u`\n")
        .says("hint: run it again");
    world
        .run("ddb-schema-load", &["--schema", &index, "--update"])
        .succeeds()
        .says("1 of 1: create the index `by-u`");
}

/// moto's DynamoDB: the other server forgets a new index's throughput.
#[test]
fn an_update_makes_indexes_one_at_a_time_with_their_throughput() {
    use serde_json::json;
    let Some(world) = World::empty().with_pool(&[]) else { return };
    let (table, url) = (world.database().to_owned(), world.cognito().url());
    let load = |arguments: &[&str]| {
        let named = ["--table", &table, "--endpoint-url", &url];
        world.run("ddb-schema-load", &[&named[..], arguments].concat())
    };
    let index = |name: &str, key: &str, read: u64| {
        json!({"IndexName": name, "KeySchema": [{"AttributeName": key, "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "ALL"},
            "ProvisionedThroughput": {"ReadCapacityUnits": read, "WriteCapacityUnits": 1}})
    };
    let attributes = |names: &[&str]| -> serde_json::Value {
        names.iter().map(|name| json!({"AttributeName": name, "AttributeType": "S"})).collect()
    };
    load(&[]).succeeds();
    let two = with(
        &world,
        "two.json",
        json!({
            "AttributeDefinitions": attributes(&["pk", "sk", "user_uuid", "user_handle"]),
            "GlobalSecondaryIndexes": [index("by-user", "user_uuid", 3), index("by-handle", "user_handle", 4)],
            "ProvisionedThroughput": {"ReadCapacityUnits": 7, "WriteCapacityUnits": 5},
        }),
    );
    load(&["--schema", &two, "--update", "--dry-run"])
        .succeeds()
        .says("would set the billing to PROVISIONED, 7 read, 5 write\nwould create the index `by-user`\nwould create the index `by-handle`\n")
        .prints("3 changes to make; nothing is changed (--dry-run)");
    load(&["--schema", &two]).ends_with(1);
    load(&["--schema", &two, "--update"])
        .succeeds()
        .prints_only(&format!("`{table}` (ACTIVE): 3 changes made, now as the definition says\n"));
    load(&["--schema", &two]).succeeds();
    load(&["--schema", &two, "--update"]).succeeds().prints("nothing is changed");
    // One goes, one is made anew by another key.
    let one = with(
        &world,
        "one.json",
        json!({
            "AttributeDefinitions": attributes(&["pk", "sk", "message_uuid"]),
            "GlobalSecondaryIndexes": [index("by-user", "message_uuid", 5)],
        }),
    );
    let run = load(&["--schema", &one, "--update", "--output", "json"]).succeeds();
    assert_eq!(run.json()["differences"], json!([]), "{run}");
    assert_eq!(run.json()["updated"].as_array().map(Vec::len), Some(4), "{run}");
    load(&["--schema", &one]).succeeds();
    load(&["--update"])
        .succeeds()
        .says("delete the index `by-user`, which the definition does not have");
    load(&[]).succeeds();
    world.run("ddb-drop", &[&table, "--endpoint-url", &url]).succeeds();
}

#[test]
fn a_printed_definition_makes_another_table_like_it() {
    let world = World::dynamodb();
    let index = |name: &str, key: &str| {
        json!({
            "IndexName": name,
            "KeySchema": [{"AttributeName": key, "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["message"]},
        })
    };
    let attributes: Vec<_> = ["pk", "sk", "user"]
        .map(|name| json!({"AttributeName": name, "AttributeType": "S"}))
        .into();
    let definition = json!({
        "TableName": "first",
        "AttributeDefinitions": attributes,
        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        "BillingMode": "PAY_PER_REQUEST",
        "GlobalSecondaryIndexes": [index("by-user", "user")],
        "LocalSecondaryIndexes": [{
            "IndexName": "by-user-of",
            "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "user", "KeyType": "RANGE"}],
            "Projection": {"ProjectionType": "KEYS_ONLY"},
        }],
        "StreamSpecification": {"StreamEnabled": true, "StreamViewType": "NEW_IMAGE"},
    });
    let file = world.file("first.json", definition.to_string());
    world.run("ddb-schema-load", &["--schema", &file]).succeeds();
    let printed = world.run("ddb-schema-load", &["--print", "--table", "first"]).succeeds();
    assert_eq!(printed.json(), definition);
    let file = world.file("printed.json", &printed.stdout);
    world.run("ddb-schema-load", &["--schema", &file, "--table", "second"]).succeeds();
    world
        .run("ddb-schema-load", &["--schema", &file, "--table", "second"])
        .succeeds()
        .prints("same definition");
    world
        .run("ddb-schema-load", &["--print", "--table", "none"])
        .ends_with(1)
        .prints_only("")
        .says("error: there is no table `none`");
    world.run("ddb-schema-load", &["--print", "--update"]).ends_with(2).prints_only("");
    // It only reads.
    world.run_prod("ddb-schema-load", &["prod", "--print", "--table", "first"]).succeeds();
}
