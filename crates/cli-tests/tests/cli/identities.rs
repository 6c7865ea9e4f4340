//! `check-identities`: each way to break the chain, made on purpose and found.

use aws_sdk_dynamodb::types::AttributeValue;
use cli_tests::proxy::{Answer, Proxy};
use cli_tests::{BAYKO, GROUP, JESS, Run, World};
use ops_common::app::records::Item;
use serde_json::{Value, json};

const TABLE: &str = "cruddur-messages";
const MAREN: &str = "c3e8f6a4-5b7d-4c91-a2f0-7e9b4d1c8a33";
const TARIQ: &str = "e1b9d7f5-8a6c-4d24-b3e1-9c0f6a2b5d44";
const STRANGER: &str = "00000000-0000-4000-8000-00000000000a";
const OTHER_GROUP: &str = "00000000-0000-4000-8000-00000000000b";
const LAST: &str = "2026-01-01T01:43:00.000000+00:00";

fn item(attributes: &[(&str, &str)]) -> Item {
    let text = |text: &str| AttributeValue::S(text.to_owned());
    attributes.iter().map(|(name, value)| ((*name).to_owned(), text(value))).collect()
}

/// The names of a person as the seed has them.
fn names(user: &str) -> [&'static str; 2] {
    match user {
        JESS => ["Jess Brookes", "jess-bk"],
        BAYKO => ["Bayko Lund", "bayko"],
        MAREN => ["Maren Holt", "maren"],
        TARIQ => ["Tariq Osei", "tariq"],
        _ => ["Somebody", "somebody"],
    }
}

fn group_row(owner: &str, group: &str, at: &str, message: &str, other: &str) -> Item {
    let [display_name, handle] = names(other);
    item(&[
        ("pk", &format!("GRP#{owner}")),
        ("sk", at),
        ("message_group_uuid", group),
        ("message", message),
        ("user_uuid", other),
        ("user_display_name", display_name),
        ("user_handle", handle),
    ])
}

fn message(group: &str, at: &str, text: &str, sender: &str) -> Item {
    let [display_name, handle] = names(sender);
    item(&[
        ("pk", &format!("MSG#{group}")),
        ("sk", at),
        ("message_uuid", "00000000-0000-4000-8000-0000000000ff"),
        ("message", text),
        ("user_uuid", sender),
        ("user_display_name", display_name),
        ("user_handle", handle),
    ])
}

fn delete(world: &World, pk: &str, sk: &str) {
    let key = |text: &str| AttributeValue::S(text.to_owned());
    let delete =
        world.client().delete_item().table_name(TABLE).key("pk", key(pk)).key("sk", key(sk));
    cli_tests::block_on(delete.send()).expect("delete");
}

fn delete_messages(world: &World) {
    for message in world.items(TABLE).iter().filter(|item| item["message_uuid"].is_string()) {
        delete(world, message["pk"].as_str().expect("pk"), message["sk"].as_str().expect("sk"));
    }
}

/// The report, and that the exit code and the report say the same.
#[track_caller]
fn report(world: &World) -> Value {
    let run = world.run("check-identities", &["--output", "json"]);
    let report = run.json();
    let people = report["people"].as_array().expect("people");
    let broken = people.iter().any(|person| !person["broken"].is_null())
        || report["findings"].as_array().is_some_and(|findings| !findings.is_empty());
    assert_eq!(run.status, Some(if broken { 3 } else { 0 }), "{run}");
    report
}

/// The first broken link of a person.
#[track_caller]
fn broken_at(report: &Value, handle: &str) -> (String, String, String) {
    let people = report["people"].as_array().expect("people");
    let person = people.iter().find(|person| person["handle"] == handle);
    let broken = &person.unwrap_or_else(|| panic!("no {handle}: {report:#}"))["broken"];
    let text =
        |name: &str| broken[name].as_str().unwrap_or_else(|| panic!("{report:#}")).to_owned();
    (text("link"), text("what"), text("mend"))
}

#[track_caller]
fn is_broken(report: &Value, handle: &str, link: &str, what: &str, mend: &str) {
    let found = broken_at(report, handle);
    assert_eq!(found.0, link, "{found:?}");
    assert!(found.1.contains(what), "{found:?}");
    assert!(found.2.contains(mend), "{found:?}");
}

/// Who else is broken.
fn broken_people(report: &Value) -> Vec<&str> {
    let people = report["people"].as_array().expect("people").iter();
    people
        .filter(|person| !person["broken"].is_null())
        .filter_map(|p| p["handle"].as_str())
        .collect()
}

#[track_caller]
fn finds(report: &Value, kind: &str, what: &str, mend: &str) {
    let findings = report["findings"].as_array().expect("findings");
    let text = |finding: &Value, name: &str| finding[name].as_str().unwrap_or_default().to_owned();
    assert!(
        findings.iter().any(|finding| finding["kind"] == kind
            && text(finding, "what").contains(what)
            && text(finding, "mend").contains(mend)),
        "no {kind}: {what}, {mend}\n{report:#}"
    );
}

#[test]
fn a_healthy_app_is_silent() {
    let Some(world) = World::whole() else { return };
    world.add_user("newcomer", None);
    world
        .run("check-identities", &[])
        .succeeds()
        .prints_only("")
        .says("looked at 4 people, 1 conversation and 106 items: nothing is broken; ")
        .says("1 user of the pool with neither a handle nor a row yet: `newcomer`")
        .does_not_say("error");
    let mut text = serde_json::to_string_pretty(&report(&world)).expect("JSON");
    text = text.replace(world.pool(), "POOL").replace(world.database(), "DATABASE");
    for handle in ["jess-bk", "bayko", "maren", "tariq"] {
        text = text.replace(&world.sub(handle), &format!("SUB OF {handle}"));
    }
    insta::assert_snapshot!("healthy", text);
}

#[test]
fn one_person_link_by_link() {
    let Some(world) = World::whole() else { return };
    let run = world.run("check-identities", &["--handle", "@bayko"]).succeeds();
    let cells =
        |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>().join(" ");
    let lines: Vec<String> = run.stdout.lines().skip(2).map(cells).collect();
    assert_eq!(
        lines,
        [
            format!("sub {} ok", world.sub("bayko")),
            format!("users.uuid {BAYKO} ok"),
            "group rows 1 conversation ok".to_owned(),
            "messages 104 messages ok".to_owned(),
        ]
    );
    world
        .run("check-identities", &["--handle", "maren"])
        .succeeds()
        .says("the inbox of `maren` is empty since nobody has written to them: `ddb-send-message --from HANDLE --to maren TEXT`");
    world.sql("UPDATE users SET cognito_user_id = 'MOCK' WHERE handle = 'maren'");
    let run = world
        .run("check-identities", &["--handle", "maren"])
        .ends_with(3)
        .prints("Postgres has the id `MOCK` for them, the pool has another")
        .says("error: 1 person with a broken link\n  hint: `update-cognito-user-ids`");
    assert_eq!(run.stdout.lines().count(), 3, "stops at the broken link\n{run}");
    world.run("check-identities", &["--handle", "bayko"]).succeeds();
    world.run("check-identities", &["--handle", "bayco"]).ends_with(1).prints_only("").says(
        "error: neither the pool nor Postgres has the handle `bayco`\n  hint: did you mean `bayko`?",
    );
}

#[test]
fn an_id_that_was_not_carried_over() {
    let Some(world) = World::whole() else { return };
    world.sql("UPDATE users SET cognito_user_id = 'MOCK' WHERE handle = 'bayko'");
    let found = report(&world);
    is_broken(&found, "bayko", "sub", "Postgres has the id `MOCK`", "`update-cognito-user-ids`");
    assert_eq!(broken_people(&found), ["bayko"]);
    world
        .run("check-identities", &[])
        .ends_with(3)
        .prints("person   broken at   because")
        .says("error: 1 person with a broken link\n  hint: `update-cognito-user-ids`");
    world.run("update-cognito-user-ids", &[]).succeeds();
    world.run("check-identities", &[]).succeeds();
}

/// `| head -1` and the like: a reader that goes away hides nothing.
#[test]
fn what_is_broken_counts_where_nobody_reads() {
    let Some(world) = World::whole() else { return };
    world.sql("UPDATE users SET cognito_user_id = 'MOCK' WHERE handle = 'bayko'");
    for (tool, arguments, error) in [
        ("check-identities", &["--output", "json"][..], "error: 1 person with a broken link"),
        ("check-identities", &["--handle", "bayko"], "error: 1 person with a broken link"),
        ("update-cognito-user-ids", &["--check"], "error: Postgres and the pool differ"),
    ] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = world.tool(tool, arguments);
        let child =
            command.stdout(writer).stderr(std::process::Stdio::piped()).spawn().expect("spawn");
        drop(command);
        let output = child.wait_with_output().expect("wait");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{stderr}");
        assert!(stderr.contains(error), "{stderr}");
    }
}

#[test]
fn ids_that_were_swapped() {
    let Some(world) = World::whole() else { return };
    for (handle, other) in [("bayko", "maren"), ("maren", "bayko")] {
        world.sql(&format!(
            "UPDATE users SET cognito_user_id = '{}' WHERE handle = '{handle}'",
            world.sub(other)
        ));
    }
    let found = report(&world);
    is_broken(&found, "bayko", "sub", "they sign in as `maren`", "`update-cognito-user-ids`");
    is_broken(&found, "maren", "sub", "they sign in as `bayko`", "`update-cognito-user-ids`");
    world.run("update-cognito-user-ids", &[]).succeeds();
    world.run("check-identities", &[]).succeeds();
}

#[test]
fn a_sub_in_two_rows() {
    let Some(world) = World::whole() else { return };
    world.sql(&format!(
        "INSERT INTO users (display_name, handle, email, cognito_user_id) VALUES ('o', 'old', 'o', '{}')",
        world.sub("bayko")
    ));
    let found = report(&world);
    is_broken(
        &found,
        "bayko",
        "sub",
        "their sub is in more than one row of Postgres: `bayko`, `old`",
        "psql",
    );
    // It has a sub that is somebody's: not a person who never signed up.
    assert_eq!(broken_people(&found), ["bayko"]);
}

#[test]
fn a_person_who_is_on_one_side_only() {
    let Some(world) = World::whole() else { return };
    world.add_user("fifth", Some("fifth"));
    world.add_user("letters", Some("BAYKO"));
    world.sql("INSERT INTO users (display_name, handle, email, cognito_user_id) VALUES ('o', 'old', 'o', 'OLD')");
    let found = report(&world);
    is_broken(
        &found,
        "fifth",
        "users.uuid",
        "nobody in Postgres has this handle",
        &format!("'fifth', 'EMAIL', '{}')", world.sub("fifth")),
    );
    is_broken(
        &found,
        "BAYKO",
        "users.uuid",
        "but there is `bayko`",
        &format!(
            "--user-pool-id {} --username letters --user-attributes Name=preferred_username,Value=bayko`",
            world.pool()
        ),
    );
    is_broken(
        &found,
        "old",
        "sub",
        "no user of the pool has this handle",
        "--username old --user-attributes Name=preferred_username,Value=old`; then `update-cognito-user-ids`",
    );
    assert_eq!(broken_people(&found), ["BAYKO", "fifth", "old"]);
}

/// People choose their handles, and what fixes it is there to be pasted.
#[test]
fn a_handle_never_becomes_part_of_a_command() {
    let Some(world) = World::whole() else { return };
    let handle = "x'; DROP TABLE users; --$(reboot)";
    world.add_user("evil", Some(handle));
    world.sql("INSERT INTO users (display_name, handle, email, cognito_user_id) VALUES ('o', '`reboot`', 'o', 'OLD')");
    let found = report(&world);
    for handle in [handle, "`reboot`"] {
        let (_, _, mend) = broken_at(&found, handle);
        assert!(
            !mend.contains("DROP") && !mend.contains("reboot") && mend.contains("HANDLE"),
            "{mend}"
        );
    }
}

#[test]
fn a_handle_that_is_there_twice_or_was_changed() {
    let Some(world) = World::whole() else { return };
    world.add_user("again", Some("bayko"));
    let client = world.cognito().client().expect("a client");
    let attribute = aws_attribute("preferred_username", "tariq-2");
    let update = client.admin_update_user_attributes().user_pool_id(world.pool());
    let update = update.username("tariq").user_attributes(attribute);
    cli_tests::block_on(update.send()).expect("update");
    let found = report(&world);
    is_broken(&found, "bayko", "sub", "2 users of the pool have this handle", "preferred_username");
    is_broken(
        &found,
        "tariq-2",
        "users.uuid",
        "Postgres has this sub at `tariq`",
        "preferred_username",
    );
}

fn aws_attribute(name: &str, value: &str) -> local_stack::cognito::Attribute {
    local_stack::cognito::Attribute::builder().name(name).value(value).build().expect("a name")
}

/// The daily misery: users created anew, and every message points at nobody.
#[test]
fn a_person_who_was_created_anew() {
    let Some(world) = World::whole() else { return };
    world.sql(&format!("UPDATE users SET uuid = '{STRANGER}' WHERE handle = 'jess-bk'"));
    let found = report(&world);
    is_broken(
        &found,
        "jess-bk",
        "group rows",
        &format!("as the user {JESS}, and Postgres as {STRANGER}"),
        "`ddb-seed`",
    );
    finds(
        &found,
        "unknown user",
        &format!(
            "the user {JESS} (`jess-bk` in its rows) of 1 conversation, who sent 52 messages, is not in Postgres"
        ),
        "`ddb-seed`",
    );
    assert_eq!(broken_people(&found), ["jess-bk"]);
    world.run("ddb-seed", &["--start", "2026-01-01T00:00:00Z"]).succeeds();
    world.run("check-identities", &[]).succeeds();
}

/// Where people have written, the old uuid is what fixes it.
#[test]
fn a_person_who_was_created_anew_and_has_written() {
    let Some(world) = World::whole() else { return };
    world.run("ddb-send-message", &["--from", "maren", "--to", "tariq", "Hello"]).succeeds();
    let uuid = world.sql("SELECT uuid FROM users WHERE handle = 'maren'").remove(0);
    world.sql(&format!("UPDATE users SET uuid = '{STRANGER}' WHERE handle = 'maren'"));
    let found = report(&world);
    let update = format!("UPDATE users SET uuid = '{uuid}' WHERE handle = 'maren'");
    let mend = format!("with psql: `{update}`");
    is_broken(&found, "maren", "group rows", &format!("as the user {uuid}"), &mend);
    assert!(!broken_at(&found, "maren").2.contains("ddb-seed"));
    world.sql(&update);
    world.run("check-identities", &[]).succeeds();
}

#[test]
fn a_conversation_with_one_row() {
    let Some(world) = World::whole() else { return };
    delete(&world, &format!("GRP#{JESS}"), LAST);
    let found = report(&world);
    is_broken(
        &found,
        "jess-bk",
        "group rows",
        &format!("takes part in the conversation {GROUP} and has no row for it"),
        "`ddb-seed`",
    );
    finds(&found, "group rows", "has 1 row in place of two, none for `jess-bk`", "`ddb-seed`");
    assert_eq!(broken_people(&found), ["jess-bk"]);
    world.run("ddb-seed", &["--start", "2026-01-01T00:00:00Z"]).succeeds();
    world.run("check-identities", &[]).succeeds();
}

#[test]
fn a_conversation_that_is_in_a_list_twice() {
    let Some(world) = World::whole() else { return };
    world.put(TABLE, group_row(JESS, GROUP, "2026-01-01T00:00:00.000000+00:00", "old", BAYKO));
    let found = report(&world);
    is_broken(
        &found,
        "jess-bk",
        "group rows",
        &format!("has 2 rows for the conversation {GROUP}"),
        "`ddb-seed`",
    );
    finds(&found, "group rows", "has 3 rows in place of two", "`ddb-seed`");
    world.run("ddb-seed", &["--start", "2026-01-01T00:00:00Z"]).succeeds();
    world.run("check-identities", &[]).succeeds();
}

#[test]
fn a_conversation_without_messages() {
    let Some(world) = World::whole() else { return };
    delete_messages(&world);
    let found = report(&world);
    is_broken(&found, "jess-bk", "messages", "leads to no messages", "`ddb-seed`");
    is_broken(&found, "bayko", "messages", "leads to no messages", "`ddb-seed`");
    finds(
        &found,
        "no messages",
        &format!("the conversation {GROUP} has no messages"),
        "`ddb-seed`",
    );
    world.run("ddb-seed", &["--start", "2026-01-01T00:00:00Z"]).succeeds();
    world.run("check-identities", &[]).succeeds();
}

#[test]
fn a_row_that_does_not_show_the_newest_message() {
    let Some(world) = World::whole() else { return };
    // Another time, and another text at the same time.
    world.put(TABLE, message(GROUP, "2026-01-02T00:00:00.000000+00:00", "later", BAYKO));
    let found = report(&world);
    is_broken(&found, "jess-bk", "messages", "does not show the newest message", "`ddb-seed`");
    finds(
        &found,
        "stale row",
        "the inbox of `bayko`, `jess-bk` does not show the newest message of",
        "`ddb-seed`",
    );
    world.run("ddb-send-message", &["--from", "bayko", "--group", GROUP, "x"]).succeeds();
    world.run("check-identities", &[]).succeeds();
    let rows = world.items(TABLE);
    let row = rows.iter().find(|row| row["pk"] == format!("GRP#{JESS}")).expect("row");
    let at = row["sk"].as_str().expect("sk");
    world.put(TABLE, group_row(JESS, GROUP, at, "y", BAYKO));
    is_broken(&report(&world), "jess-bk", "messages", "does not show the newest message", "");
}

/// In a conversation that no seed wrote, a new message fixes it.
#[test]
fn conversations_of_people_are_mended_by_a_message() {
    let Some(world) = World::whole() else { return };
    let sent = world
        .run("ddb-send-message", &["--from", "maren", "--to", "tariq", "Hello", "--output", "json"])
        .succeeds()
        .json();
    let group = sent["message_group_uuid"].as_str().expect("a uuid");
    let maren = world.sql("SELECT uuid FROM users WHERE handle = 'maren'").remove(0);
    world.put(TABLE, message(group, "2099-01-02T00:00:00.000000+00:00", "later", &maren));
    let found = report(&world);
    let mend = format!("`ddb-send-message --from HANDLE --group {group} TEXT`");
    is_broken(&found, "maren", "messages", "does not show the newest message", &mend);
    is_broken(&found, "tariq", "messages", "does not show the newest message", &mend);
    world.run("ddb-send-message", &["--from", "tariq", "--group", group, "Mended"]).succeeds();
    world.run("check-identities", &[]).succeeds();
    // A third person, whom no message brings out again.
    world.put(TABLE, message(group, "2026-01-02T00:00:00.000000+00:00", "x", BAYKO));
    let found = report(&world);
    is_broken(
        &found,
        "bayko",
        "group rows",
        "takes part in the conversation",
        "there is no command for it: look at `ddb-get-conversation --group",
    );
    finds(&found, "participants", "more than two people: `bayko`, `maren`, `tariq`", "");
}

#[test]
fn what_belongs_to_nobody() {
    let Some(world) = World::whole() else { return };
    world.put(TABLE, group_row(STRANGER, OTHER_GROUP, LAST, "x", STRANGER));
    world.put(TABLE, message("00000000-0000-4000-8000-00000000000c", LAST, "x", STRANGER));
    world.put(TABLE, item(&[("pk", &format!("MSG#{GROUP}")), ("sk", "soon"), ("message", "x")]));
    world.put(TABLE, item(&[("pk", "SOMETHING#else"), ("sk", "x")]));
    let found = report(&world);
    assert_eq!(broken_people(&found), Vec::<&str>::new());
    finds(
        &found,
        "unknown user",
        &format!(
            "the user {STRANGER} (`somebody` in its rows) of 2 conversations, who sent 1 message, is not in Postgres"
        ),
        &format!(
            "(uuid, display_name, handle, email, cognito_user_id) VALUES ('{STRANGER}', 'NAME', 'somebody', 'EMAIL', 'SUB')`"
        ),
    );
    finds(&found, "group rows", "00000000000b has 1 row in place of two", "");
    finds(&found, "participants", "is one of `somebody` with nobody else", "");
    finds(&found, "no messages", "00000000000b has no messages", "first fix the rows");
    finds(&found, "group rows", "00000000000c has 0 rows in place of two, none for `somebody`", "");
    finds(&found, "malformed", "and sk `soon` cannot be read", "`ddb-scan --output jsonl`");
    world
        .run("check-identities", &[])
        .ends_with(3)
        .prints("found          what")
        .says("error: 6 findings in the table\n  hint:");
}

/// Without a table or a database there is nothing to follow.
#[test]
fn what_is_missing_is_told() {
    let Some(world) = World::both().with_pool(&["bayko"]) else { return };
    world.run("check-identities", &[]).ends_with(1).says("hint: create it with `db-setup`");
    world.run("db-setup", &[]).succeeds();
    world.run("check-identities", &[]).ends_with(1).says("hint: create it with `ddb-schema-load`");
    world
        .run("check-identities", &["--user-pool-id", "us-east-1_no"])
        .ends_with(1)
        .says("there is no user pool");
    let mut command = world.tool("check-identities", &[]);
    command.env_remove("AWS_COGNITO_USER_POOL_ID");
    Run::of(command).ends_with(1).says("error: no Cognito user pool is named");
}

/// One scan, whatever its pages; a conversation that moves while it is read is
/// looked at again.
#[test]
fn the_table_is_read_once_and_what_moves_meanwhile_is_no_fault() {
    let Some(world) = World::whole() else { return };
    let (endpoint, url) = (world.endpoint(), world.local_url());
    let tool = cli_tests::binary("ddb-send-message");
    let proxy = Proxy::start(&world.endpoint(), move |number, request| {
        if request.operation != "Scan" {
            return Answer::Forward;
        }
        assert!(request.body["ProjectionExpression"].is_string());
        // Between two pages somebody writes.
        if number == 2 {
            let mut other = std::process::Command::new(&tool);
            other.args(["--from", "jess-bk", "--group", GROUP, "x", "--endpoint-url", &endpoint]);
            Run::of({
                other.env("CONNECTION_URL", &url);
                other
            })
            .succeeds();
        }
        let mut body = request.body.clone();
        body["Limit"] = json!(20);
        Answer::Instead { body, add: json!({}) }
    });
    world.run("check-identities", &["--endpoint-url", &proxy.url()]).succeeds().prints_only("");
    let requests = proxy.requests();
    let scans: Vec<_> = requests.iter().filter(|request| request.operation == "Scan").collect();
    assert!(scans.len() > 4);
    let first = scans.iter().filter(|scan| scan.body.get("ExclusiveStartKey").is_none()).count();
    assert_eq!(first, 1);
    let writes = ["Put", "Update", "Delete", "Batch", "Transact"];
    assert!(!requests.iter().any(|r| writes.iter().any(|write| r.operation.starts_with(write))));
}

/// As Swift writes a uuid: the app never finds such a row.
#[test]
fn a_key_in_other_letters_is_found() {
    let Some(world) = World::whole() else { return };
    let upper = format!("GRP#{}", BAYKO.to_uppercase());
    let rows = world.items("cruddur-messages");
    let row = rows.iter().find(|row| row["pk"] == format!("GRP#{BAYKO}")).expect("a row");
    let mut item: ops_common::app::records::Item = row
        .as_object()
        .expect("an object")
        .iter()
        .map(|(name, value)| {
            let text = value.as_str().expect("text").to_owned();
            (name.clone(), aws_sdk_dynamodb::types::AttributeValue::S(text))
        })
        .collect();
    item.insert("pk".into(), aws_sdk_dynamodb::types::AttributeValue::S(upper.clone()));
    world.put("cruddur-messages", item);
    let run = world.run("check-identities", &["--output", "json"]).ends_with(3);
    finds(
        &run.json(),
        "spelling",
        &format!(
            "the app never finds the row at the key `{upper}`, `{LAST}`: it looks for `GRP#{BAYKO}`, `{LAST}`"
        ),
        "`check-identities --fix` moves it there",
    );
}

/// Each fix, carried out as it is printed, makes the check green and invents nothing.
#[test]
fn what_is_proposed_deletes_only_what_is_too_much() {
    let Some(world) = World::whole() else { return };
    let maren = world.sql("SELECT uuid FROM users WHERE handle = 'maren'").remove(0);
    let whole = world.run("ddb-send-message", &["--from", "maren", "--to", "tariq", "Hello"]);
    whole.succeeds();
    let before = world.items(TABLE);
    let group = before.iter().find(|item| item["pk"] == format!("GRP#{maren}")).expect("a row")
        ["message_group_uuid"]
        .as_str()
        .expect("a uuid");
    let tariq = world.sql("SELECT uuid FROM users WHERE handle = 'tariq'").remove(0);
    // In a list twice, and a conversation that has no messages.
    world.put(TABLE, group_row(&maren, group, "2026-01-01T00:00:00.000000+00:00", "old", &tariq));
    world.put(TABLE, group_row(&maren, OTHER_GROUP, LAST, "x", &tariq));
    world.put(TABLE, group_row(&tariq, OTHER_GROUP, LAST, "x", &maren));
    let mut deleted = 0;
    loop {
        let found = report(&world);
        let findings = found["findings"].as_array().expect("findings");
        assert!(!found.to_string().contains("ddb-send-message"), "{found:#}");
        let Some(finding) = findings.first() else { break };
        let fix = finding["mend"].as_str().expect("a fix");
        for command in fix.split(" and ").map(|command| command.trim_matches('`')) {
            assert!(command.starts_with("aws dynamodb delete-item --table-name cruddur-messages"));
            assert!(command.contains("--endpoint-url http://127.0.0.1:"), "{command}");
            let key: Value =
                serde_json::from_str(command.split('\'').nth(1).expect("a key")).expect("JSON");
            let part = |name: &str| key[name]["S"].as_str().expect("a string").to_owned();
            delete(&world, &part("pk"), &part("sk"));
            deleted += 1;
        }
        assert!(deleted <= 3, "{fix}");
    }
    assert_eq!(deleted, 3);
    let sorted = |mut items: Vec<Value>| {
        items.sort_by_key(Value::to_string);
        items
    };
    assert_eq!(sorted(world.items(TABLE)), sorted(before));
    world.run("check-identities", &[]).succeeds();
}

/// Somebody whose row is lost is the same person in the table: one fix, not two that
/// contradict each other.
#[test]
fn a_person_who_was_deleted_comes_back_with_the_same_uuid() {
    let Some(world) = World::whole() else { return };
    let uuid = "00000000-0000-4000-8000-0000000000aa";
    world.add_user("sixth", Some("sixth"));
    let insert = format!(
        "INSERT INTO users (uuid, display_name, handle, email, cognito_user_id) VALUES ('{uuid}', 'NAME', 'sixth', 'EMAIL', '{}')",
        world.sub("sixth")
    );
    world.sql(&insert);
    world.run("ddb-send-message", &["--from", "sixth", "--to", "bayko", "Hello"]).succeeds();
    world.run("check-identities", &[]).succeeds();
    world.sql("DELETE FROM users WHERE handle = 'sixth'");
    let run = world.run("check-identities", &[]).ends_with(3);
    assert_eq!(run.stderr.matches("hint: ").count(), 1, "{run}");
    let found = report(&world);
    let fix = format!("with psql: `{insert}`");
    is_broken(&found, "sixth", "users.uuid", "nobody in Postgres has this handle", &fix);
    finds(&found, "unknown user", uuid, &fix);
    world.sql(&insert);
    world.run("check-identities", &[]).succeeds();
}

/// The pool has the handle that the person had before.
#[test]
fn a_person_whom_postgres_calls_otherwise_is_found_by_that_handle() {
    let Some(world) = World::whole() else { return };
    world.sql("UPDATE users SET handle = 'jess' WHERE handle = 'jess-bk'");
    let told = "Postgres has this sub at `jess`, and nobody of this handle";
    for handle in ["jess", "jess-bk"] {
        world.run("check-identities", &["--handle", handle]).ends_with(3).prints(told);
    }
}

/// A user's row has the sub of another one, whose own row is gone: the other is not to
/// be called by the handle that is taken.
#[test]
fn no_fix_gives_two_users_one_handle() {
    let Some(world) = World::whole() else { return };
    let tariq = world.sub("tariq");
    world.sql("DELETE FROM users WHERE handle = 'tariq'");
    world.sql(&format!("UPDATE users SET cognito_user_id = '{tariq}' WHERE handle = 'bayko'"));
    world
        .run("check-identities", &["--output", "json"])
        .ends_with(3)
        .says("`tariq`: `db-setup --steps seed`, then `update-cognito-user-ids`")
        .does_not_say("admin-update-user-attributes");
    world.run("db-setup", &["--steps", "seed"]).succeeds();
    world.run("update-cognito-user-ids", &[]).succeeds();
    world.run("check-identities", &[]).succeeds();
}

/// A fix acts on the table that was looked at.
#[test]
fn a_fix_names_the_table_that_is_not_the_usual_one() {
    let Some(world) = World::whole() else { return };
    world.run("ddb-schema-load", &["--table", "other"]).succeeds();
    world.run("ddb-seed", &["--table", "other"]).succeeds();
    let items = world.client();
    let pk = format!("GRP#{}", cli_tests::BAYKO);
    cli_tests::block_on(async {
        let rows = items.query().table_name("other").key_condition_expression("pk = :pk");
        let value = aws_sdk_dynamodb::types::AttributeValue::S(pk);
        let rows = rows.expression_attribute_values(":pk", value).send().await.expect("rows");
        let row = rows.items().first().expect("a row").clone();
        let row = row.into_iter().filter(|(name, _)| name == "pk" || name == "sk").collect();
        items.delete_item().table_name("other").set_key(Some(row)).send().await.expect("deleted");
    });
    world
        .run("check-identities", &["--table", "other"])
        .ends_with(3)
        .says("`ddb-seed --table other`")
        .says("`check-identities --table other --fix` does what a tool can do of it");
    world.run("ddb-seed", &["--table", "other"]).succeeds();
    world.run("check-identities", &["--table", "other"]).succeeds();
}

fn sorted(mut items: Vec<Value>) -> Vec<Value> {
    items.sort_by_key(Value::to_string);
    items
}

/// The rows of a table, and what changes one of them.
fn row(world: &World, pk: &str) -> Item {
    let rows = world.items(TABLE);
    let row = rows.iter().find(|row| row["pk"] == pk).unwrap_or_else(|| panic!("no {pk}"));
    let text = |(name, value): (&String, &Value)| {
        (name.clone(), AttributeValue::S(value.as_str().expect("text").to_owned()))
    };
    row.as_object().expect("an object").iter().map(text).collect()
}

fn text(item: &Item, name: &str) -> String {
    item[name].as_s().expect("text").clone()
}

/// Moves a row to another key.
fn respell(world: &World, item: &Item, pk: &str, sk: &str) {
    delete(world, &text(item, "pk"), &text(item, "sk"));
    let mut item = item.clone();
    item.insert("pk".to_owned(), AttributeValue::S(pk.to_owned()));
    item.insert("sk".to_owned(), AttributeValue::S(sk.to_owned()));
    world.put(TABLE, item);
}

/// Each broken link that the other tests make is whole after --fix, and the table is as
/// it was before it was broken.
#[test]
fn fix_mends_each_broken_link() {
    let Some(world) = World::whole() else { return };
    world.run("ddb-send-message", &["--from", "maren", "--to", "tariq", "Hello"]).succeeds();
    world.run("check-identities", &[]).succeeds();
    let whole = sorted(world.items(TABLE));
    let people = || {
        world.sql(
            "SELECT (uuid, handle, display_name, cognito_user_id)::text FROM users ORDER BY handle",
        )
    };
    let whole_people = people();
    let group = text(&row(&world, &format!("GRP#{MAREN}")), "message_group_uuid");
    let inbox = format!("GRP#{MAREN}");
    type Break<'a> = Box<dyn Fn() + 'a>;
    let breaks: Vec<(&str, Break<'_>)> = vec![
        (
            "1 id copied from the pool",
            Box::new(|| {
                _ = world.sql("UPDATE users SET cognito_user_id = 'MOCK' WHERE handle = 'bayko'")
            }),
        ),
        (
            "2 ids copied from the pool",
            Box::new(|| {
                _ = world.sql("UPDATE users SET cognito_user_id = CASE handle WHEN 'bayko' THEN (SELECT cognito_user_id FROM users WHERE handle = 'maren') ELSE (SELECT cognito_user_id FROM users WHERE handle = 'bayko') END WHERE handle IN ('bayko', 'maren')")
            }),
        ),
        (
            "the uuid of `maren` in Postgres is",
            Box::new(|| {
                _ = world
                    .sql(&format!("UPDATE users SET uuid = '{STRANGER}' WHERE handle = 'maren'"))
            }),
        ),
        (
            "the uuid of `jess-bk` in Postgres is",
            Box::new(|| {
                _ = world
                    .sql(&format!("UPDATE users SET uuid = '{STRANGER}' WHERE handle = 'jess-bk'"))
            }),
        ),
        ("the rows of the conversation", Box::new(|| delete(&world, &format!("GRP#{JESS}"), LAST))),
        (
            "the rows of the conversation",
            Box::new(|| delete(&world, &inbox, &text(&row(&world, &inbox), "sk"))),
        ),
        (
            "the rows of the conversation",
            Box::new(|| {
                delete(&world, &inbox, &text(&row(&world, &inbox), "sk"));
                let other = format!("GRP#{TARIQ}");
                world.put(
                    TABLE,
                    group_row(TARIQ, &group, "2026-01-01T00:00:00.000000+00:00", "old", MAREN),
                );
                delete(&world, &other, &text(&world_row_newest(&world, &other), "sk"));
            }),
        ),
        (
            "the rows of the conversation",
            Box::new(|| {
                world.put(
                    TABLE,
                    group_row(MAREN, &group, "2026-01-01T00:00:00.000000+00:00", "old", TARIQ),
                )
            }),
        ),
        (
            "the rows of the conversation",
            Box::new(|| {
                let mut row = row(&world, &inbox);
                row.insert("message".to_owned(), AttributeValue::S("another text".to_owned()));
                world.put(TABLE, row);
            }),
        ),
        (
            "the rows of the conversation",
            Box::new(|| {
                world.put(TABLE, group_row(MAREN, OTHER_GROUP, LAST, "x", TARIQ));
                world.put(TABLE, group_row(TARIQ, OTHER_GROUP, LAST, "x", MAREN));
            }),
        ),
        (
            "is where the app looks for it",
            Box::new(|| {
                let row = row(&world, &inbox);
                respell(&world, &row, &inbox.to_uppercase(), &text(&row, "sk"));
            }),
        ),
        (
            "is where the app looks for it",
            Box::new(|| {
                let row = row(&world, &format!("MSG#{group}"));
                let at = text(&row, "sk").replace("+00:00", "Z");
                respell(&world, &row, &text(&row, "pk"), &at);
            }),
        ),
        (
            "the names in 1 row",
            Box::new(|| {
                let mut row = row(&world, &inbox);
                row.insert("user_handle".to_owned(), AttributeValue::S("tariq-old".to_owned()));
                world.put(TABLE, row);
            }),
        ),
    ];
    for (fixed, make) in breaks {
        make();
        let run = world.run("check-identities", &[]).ends_with(3);
        run.says("`check-identities --fix` does what a tool can do of it");
        let run = world.run("check-identities", &["--fix"]).succeeds().prints_only("");
        let run = run.says("fixed: ").says(fixed).says(": nothing is broken; ");
        assert!(sorted(world.items(TABLE)) == whole, "{fixed}\n{run}");
        assert_eq!(people(), whole_people, "{fixed}\n{run}");
    }
    let report = world.run("check-identities", &["--fix", "--output", "json"]).succeeds().json();
    assert_eq!(report["fixed"], json!([]));
}

fn world_row_newest(world: &World, pk: &str) -> Item {
    let mut rows = world.items(TABLE);
    rows.retain(|row| row["pk"] == pk);
    rows.sort_by_key(|row| row["sk"].to_string());
    let newest = rows.pop().expect("a row");
    item(&[("pk", pk), ("sk", newest["sk"].as_str().expect("text"))])
}

/// What no tool can know is left as it is, and told.
#[test]
fn fix_invents_nothing() {
    let Some(world) = World::whole() else { return };
    world.add_user("sixth", Some("sixth"));
    world.put(TABLE, message(GROUP, "2026-01-02T00:00:00.000000+00:00", "x", MAREN));
    world.put(TABLE, item(&[("pk", &format!("MSG#{GROUP}")), ("sk", "soon"), ("message", "x")]));
    // It may only look as if it had no messages.
    world.put(TABLE, group_row(MAREN, OTHER_GROUP, LAST, "x", TARIQ));
    world.put(TABLE, group_row(TARIQ, OTHER_GROUP, LAST, "x", MAREN));
    let before = sorted(world.items(TABLE));
    let run = world.run("check-identities", &["--fix"]).ends_with(3);
    run.says("0 steps done; ").says("INSERT INTO users").does_not_say("fixed: ");
    assert!(sorted(world.items(TABLE)) == before);
    // A row of another table refers to the person.
    world.run("ddb-item", &["delete", &format!("MSG#{GROUP}"), "soon"]).succeeds();
    world.sql("DELETE FROM users WHERE handle = 'tariq'");
    world.sql("INSERT INTO users (display_name, handle, email, cognito_user_id) VALUES ('Tariq Osei', 'tariq', 'x', 'y')");
    world.sql("INSERT INTO activities (user_uuid, message) SELECT uuid, 'x' FROM users WHERE handle = 'tariq'");
    let run = world.run("check-identities", &["--fix"]).ends_with(3);
    run.says("error: cannot change the uuid of `tariq`")
        .says("hint: where other tables refer to the row");
}

#[test]
fn fix_asks_in_prod_for_each_step() {
    let Some(world) = World::whole() else { return };
    world.sql("UPDATE cruddur_ops.stamp SET environment = 'prod'");
    world.sql("UPDATE users SET display_name = 'Another' WHERE handle = 'bayko'");
    world.put(TABLE, group_row(MAREN, OTHER_GROUP, LAST, "x", TARIQ));
    world.put(TABLE, group_row(TARIQ, OTHER_GROUP, LAST, "x", MAREN));
    let before = sorted(world.items(TABLE));
    let prod = |more: &[&str]| {
        let all = [&["prod", "--fix", "--without-cognito"], more].concat();
        world.prod_tool("check-identities", &all)
    };
    Run::of(prod(&[])).ends_with(1).prints_only("").says("there is no terminal to ask at");
    Run::of(prod(&["--confirm", "another"])).ends_with(1).says("--confirm names `another`");
    assert!(sorted(world.items(TABLE)) == before);
    // --yes is enough for names, and not to delete rows.
    let run = Run::of(prod(&["--yes"])).ends_with(3);
    run.says("fixed: the names in 53 rows").says("--yes is not enough to destroy something");
    let run = Run::of(prod(&["--confirm", TABLE])).succeeds();
    run.says("deletes the row of `maren`").says("fixed: the rows of the conversation");
    assert_eq!(world.items(TABLE).len(), before.len() - 2);
    // At a terminal each step is asked for, and a no leaves it as it is.
    world.sql("UPDATE users SET display_name = 'A third' WHERE handle = 'bayko'");
    delete(&world, &format!("GRP#{JESS}"), LAST);
    let mut session = crate::terminal::at_terminal(prod(&[]));
    session.exp_string("puts the row that `jess-bk` lacks").expect("the plan");
    session.exp_string("Continue? [y/N]").expect("the question");
    session.send_line("y").expect("answer");
    session.exp_string("fixed: the rows of the conversation").expect("done");
    session.exp_string("this changes the names in").expect("the next");
    session.exp_string("Continue? [y/N]").expect("the question");
    session.send_line("n").expect("answer");
    session.exp_string("left as it is").expect("a word");
    assert_eq!(crate::terminal::status(session), 3);
}

#[test]
fn without_a_pool_the_chain_begins_at_the_row() {
    let world = World::both();
    world.run("db-setup", &["--steps", "create,schema-load,seed"]).succeeds();
    world.run("ddb-schema-load", &[]).succeeds();
    world.run("ddb-seed", &["--start", "2026-01-01T00:00:00Z"]).succeeds();
    let run = world.run("check-identities", &["--without-cognito"]).succeeds().prints_only("");
    run.says("looked at 4 people, 1 conversation and 106 items: nothing is broken; ");
    let run = world.run("check-identities", &["--without-cognito", "--handle", "bayko"]).succeeds();
    run.prints("not looked at").prints("104 messages");
    let run = world.run("check-identities", &["--without-cognito", "--output", "json"]).succeeds();
    assert_eq!(run.json()["user_pool_id"], Value::Null);
    world.sql("UPDATE users SET handle = 'baiko' WHERE handle = 'bayko'");
    let run = world.run("check-identities", &["--without-cognito"]).ends_with(3);
    run.prints("53 rows of the table with another name of `baiko` than Postgres has")
        .says("`ddb-refresh-names --handle baiko`");
    world.run("check-identities", &["--without-cognito", "--fix", "--handle", "baiko"]).succeeds();
    world.run("check-identities", &[]).ends_with(1).says("no Cognito user pool is named");
}
