//! `ddb-drop`

use cli_tests::{World, block_on};

#[test]
fn drops_at_once_on_this_machine() {
    let world = World::dynamodb();
    world.run("ddb-schema-load", &[]).succeeds();
    world
        .run("ddb-drop", &["cruddur-messages"])
        .succeeds()
        .prints_only("`cruddur-messages` is deleted\n");
    world.run("ddb-list-tables", &[]).succeeds().prints_only("");
}

#[test]
fn json() {
    let world = World::dynamodb();
    world.run("ddb-schema-load", &["--table", "scratch"]).succeeds();
    let report = world.run("ddb-drop", &["scratch", "--output", "json"]).succeeds().json();
    assert_eq!(report, serde_json::json!({"target": "local", "table": "scratch", "deleted": true}));
}

#[test]
fn a_target_in_place_of_the_table_is_a_usage_error() {
    let world = World::dynamodb();
    for target in ["prod", "local"] {
        world
            .run("ddb-drop", &[target])
            .ends_with(2)
            .says(&format!("error: `{target}` is a target, and the table comes first"))
            .says(&format!("did you mean `ddb-drop TABLE {target}`?"));
        world
            .run("ddb-drop", &[target, "scratch"])
            .ends_with(2)
            .says(&format!("did you mean `ddb-drop scratch {target}`?"));
    }
    world
        .run("ddb-drop", &[])
        .ends_with(2)
        .says("error: no TABLE is named")
        .says("hint: `ddb-drop TABLE`; `ddb-list-tables` shows what there is");
}

#[test]
fn a_table_that_is_not_there_names_the_nearest() {
    let world = World::dynamodb();
    world
        .run("ddb-drop", &["scratch"])
        .ends_with(1)
        .says("error: there is no table `scratch`")
        .says("there are no tables at all");
    for name in ["orders", "cruddur-messages", "cruddur-archive"] {
        world.run("ddb-schema-load", &["--table", name]).succeeds();
    }
    world
        .run("ddb-drop", &["crudur-messages"])
        .ends_with(1)
        .says("error: there is no table `crudur-messages`")
        .says("did you mean `cruddur-messages`?\n  hint: tables: `cruddur-messages`, `cruddur-archive`, `orders`");
}

#[test]
fn a_protected_table_stays_and_the_way_to_lift_it_is_said() {
    let world = World::dynamodb();
    world.run("ddb-schema-load", &[]).succeeds();
    let client = world.client();
    let protect = |on| {
        client.update_table().table_name("cruddur-messages").deletion_protection_enabled(on).send()
    };
    block_on(protect(true)).expect("protect");
    world
        .run("ddb-drop", &["cruddur-messages"])
        .ends_with(1)
        .says("error: the table `cruddur-messages` is protected from deletion")
        .says("aws dynamodb update-table --table-name cruddur-messages --no-deletion-protection-enabled");
    world.run("ddb-list-tables", &[]).succeeds().prints_only("cruddur-messages\n");
}

#[test]
fn prod_takes_the_exact_name() {
    let world = World::dynamodb();
    world.run("ddb-schema-load", &[]).succeeds();
    for wrong in ["cruddur", "Cruddur-messages", "yes"] {
        world
            .run_prod("ddb-drop", &["cruddur-messages", "prod", "--confirm", wrong])
            .ends_with(1)
            .says(&format!(
                "error: --confirm names `{wrong}`, and the table is `cruddur-messages`"
            ));
    }
    world.run("ddb-list-tables", &[]).succeeds().prints_only("cruddur-messages\n");
    world
        .run_prod("ddb-drop", &["cruddur-messages", "prod", "--confirm", "cruddur-messages"])
        .succeeds();
    world.run("ddb-list-tables", &[]).succeeds().prints_only("");
}

/// A --confirm of another name is a mistake wherever it is made.
#[test]
fn local_honours_a_confirm_that_names_something_else() {
    let world = World::dynamodb();
    world.run("ddb-schema-load", &[]).succeeds();
    world.run("ddb-drop", &["cruddur-messages", "--confirm", "other"]).ends_with(1);
    world.run("ddb-list-tables", &[]).succeeds().prints_only("cruddur-messages\n");
}

#[test]
fn seconds_beyond_a_day_are_a_usage_error() {
    let world = World::empty();
    let huge = u64::MAX.to_string();
    for (tool, arguments) in [
        ("ddb-drop", ["scratch", "--wait-timeout"]),
        ("ddb-schema-load", ["local", "--wait-timeout"]),
        ("ddb-seed", ["local", "--give-up-after"]),
        ("db-setup", ["local", "--wait"]),
    ] {
        let arguments = [arguments[0], arguments[1], &huge];
        world.run(tool, &arguments).ends_with(2).says("is not in 0..=86400");
    }
}
