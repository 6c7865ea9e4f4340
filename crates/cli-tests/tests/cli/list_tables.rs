//! `ddb-list-tables`

use cli_tests::proxy::{Answer, Proxy};
use cli_tests::{Run, World};
use serde_json::json;

#[test]
fn no_tables() {
    let world = World::dynamodb();
    world.run("ddb-list-tables", &[]).succeeds().prints_only("").says("0 tables");
    world.run("ddb-list-tables", &["--output", "json"]).succeeds().prints_only("[]\n");
    world.run("ddb-list-tables", &["--long"]).succeeds().prints_only("");
    world.run("ddb-list-tables", &["--long", "--output", "json"]).succeeds().prints_only("[]\n");
}

#[test]
fn every_page_is_listed() {
    let world = World::dynamodb();
    for name in ["alpha", "beta", "gamma"] {
        world.run("ddb-schema-load", &["--table", name]).succeeds();
    }
    let proxy = Proxy::start(&world.endpoint(), |_, request| {
        let mut body = request.body.clone();
        body["Limit"] = json!(1);
        Answer::Instead { body, add: json!({}) }
    });
    world
        .run("ddb-list-tables", &["--endpoint-url", &proxy.url()])
        .succeeds()
        .prints_only("alpha\nbeta\ngamma\n")
        .says("3 tables");
    assert!(proxy.requests().len() >= 3);
}

#[test]
fn long_shows_status_size_and_billing() {
    let world = World::seeded();
    let run = world.run("ddb-list-tables", &["--long"]).succeeds();
    assert!(
        run.stdout.contains("status")
            && run.stdout.contains("ACTIVE")
            && run.stdout.contains("PROVISIONED"),
        "{run}"
    );
    let run = world.run("ddb-list-tables", &["--long", "--output", "json"]).succeeds();
    let table = &run.json()[0];
    assert_eq!(table["name"], "cruddur-messages");
    assert_eq!(table["status"], "ACTIVE");
    assert_eq!(table["items"], 106);
    assert_eq!(table["billing_mode"], "PROVISIONED");
    assert!(table["created"].as_str().is_some_and(|time| time.ends_with("+00:00")), "{run}");
}

#[test]
fn verbose_shows_each_request_and_no_signature() {
    let world = World::dynamodb();
    let run =
        world.run("ddb-list-tables", &["-v"]).succeeds().says("> ListTables {").says("< 200 in ");
    run.does_not_say("AWS4-HMAC").does_not_say("Signature");
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let world = World::dynamodb();
    world.run("ddb-schema-load", &[]).succeeds();
    let mut command = world.command("bash");
    let tool = cli_tests::binary("ddb-list-tables").display().to_string();
    command.args(["-c", &format!("{tool} | true; echo ${{PIPESTATUS[0]}}")]);
    Run::of(command).succeeds().prints_only("0\n").does_not_say("error");
}

#[test]
fn colour_only_where_it_is_asked_for() {
    let world = World::dynamodb();
    world.run("ddb-schema-load", &[]).succeeds();
    let run = world.run("ddb-list-tables", &["--long"]).succeeds();
    assert!(!run.stdout.contains('\u{1b}') && !run.stderr.contains('\u{1b}'), "{run}");
    let run = world.run("ddb-list-tables", &["--long", "--color", "always"]).succeeds();
    assert!(run.stdout.contains("\u{1b}[1m") && run.stderr.contains('\u{1b}'), "{run}");
}
