//! Text that steers a terminal, in every place that text can come from: whatever a
//! tool shows of it on a terminal has no control characters but line ends, and no
//! line of it passes for one of the tool's own.

use std::process::Command;

use cli_tests::proxy::{Answer, Proxy};
use cli_tests::{BAYKO, GROUP, JESS, World};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::json;

use crate::terminal::at_terminal;

/// Sets the title, rings, turns the text's direction, clears the screen by C1, goes
/// back, and begins a line that looks like the tool's own.
const HOSTILE: &str = "\u{1b}]0;own\u{7}\u{202e}\u{9b}2J\u{7f}\u{8}\u{85}\rx\nerror: forged";

/// What of it must not be in any output. Colours are off, and what draws progress is
/// none of these.
const RAW: [&str; 8] =
    ["\u{1b}]", "\u{7}", "\u{202e}", "\u{9b}", "\u{7f}", "\u{8}", "\u{85}", "\rx"];

/// All that a command writes to its terminal, stdout and stderr alike.
fn shown(mut command: Command) -> String {
    command.env("NO_COLOR", "1");
    let out = at_terminal(command).exp_eof().expect("the end");
    // Each byte is a character in it.
    String::from_utf8(out.chars().map(|c| c as u8).collect()).expect("UTF-8")
}

/// Looks at all that a command shows, and with `shows` that the text is among it.
#[track_caller]
fn clean(what: &str, command: Command, shows: bool) {
    let out = shown(command);
    not_raw(what, &out);
    let forged = |line: &str| line.starts_with("error: forged");
    assert!(!out.lines().any(forged), "{what}: a forged line in {out:?}");
    assert!(!shows || out.contains("own"), "{what}: it shows nothing of the text: {out:?}");
}

#[track_caller]
fn not_raw(what: &str, out: &str) {
    for raw in RAW {
        assert!(!out.contains(raw), "{what}: {raw:?} in {out:?}");
    }
}

/// The text as SQL writes it.
fn sql(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[test]
fn of_postgres() {
    let Some(world) = World::whole() else { return };
    let text = sql(HOSTILE);
    world.sql(&format!(
        "UPDATE users SET display_name = {text}, cognito_user_id = {text} WHERE handle = 'bayko';
         UPDATE users SET handle = {text} WHERE handle = 'maren'"
    ));
    world.run("ddb-send-message", &["Hi", "--from", "bayko", "--to", "tariq"]).succeeds();
    for (tool, arguments, shows) in [
        ("update-cognito-user-ids", vec!["--dry-run"], true),
        ("update-cognito-user-ids", vec!["--check"], true),
        ("check-identities", vec![], true),
        ("check-identities", vec!["--output", "json"], true),
        ("ddb-list-conversations", vec!["--handle", "tariq"], true),
        ("ddb-list-conversations", vec!["--handle", "mare"], true),
        ("ddb-send-message", vec!["Hi", "--from", "nobody", "--to", "tariq"], true),
        ("ddb-send-message", vec!["Hi", "--from", "bayko", "--to", HOSTILE], true),
        ("ddb-seed", vec!["--dry-run", "--other-handle", HOSTILE], true),
        ("ddb-scan", vec![], true),
        ("ddb-scan", vec!["--output", "json"], true),
        ("ddb-scan", vec!["--output", "jsonl"], true),
        ("ddb-export", vec![], true),
    ] {
        clean(&format!("{tool} {arguments:?}"), world.tool(tool, &arguments), shows);
    }
    // A session that another client named.
    let url = world.local_url();
    let command = format!("SET application_name = 'a'; SELECT pg_sleep(0) /* {HOSTILE} */");
    let session = world.session();
    session.sql(&command);
    clean("db-sessions", world.tool("db-sessions", &["--long"]), true);
    // The server's own words.
    let mut command = world.tool("db-sessions", &[]);
    command.env("CONNECTION_URL", format!("{url}{}", "%1b%5d0%3bown%07"));
    clean("db-sessions, no such database", command, true);
    // The stamp.
    world.sql(&format!("UPDATE cruddur_ops.stamp SET environment = {text}"));
    for (tool, arguments) in [
        ("db-setup", vec!["--steps", "seed"]),
        ("db-sessions", vec![]),
        ("db-connect", vec![]),
        ("update-cognito-user-ids", vec![]),
        ("ddb-seed", vec![]),
    ] {
        clean(&format!("{tool}, the stamp"), world.tool(tool, &arguments), true);
    }
}

/// What a question says is what is agreed to.
#[test]
fn of_the_question_about_ids() {
    let Some(world) = World::whole() else { return };
    world.sql(&format!(
        "UPDATE users SET cognito_user_id = {} WHERE handle = 'bayko';
         DROP SCHEMA cruddur_ops CASCADE",
        sql(HOSTILE)
    ));
    let mut command = world.tool("update-cognito-user-ids", &[]);
    command.env("NO_COLOR", "1");
    let mut session = at_terminal(command);
    let before = session.exp_string("Type the name of the database to continue:").expect("asked");
    assert!(before.contains("bayko: ") && before.contains("own"), "{before:?}");
    assert!(!RAW.iter().any(|raw| before.contains(raw)), "{before:?}");
    assert!(!before.lines().any(|line| line.starts_with("error: forged")), "{before:?}");
}

#[test]
fn of_dynamodb() {
    let world = World::seeded();
    let row = |pk: &str, sk: &str| {
        json!({"pk": {"S": pk}, "sk": {"S": sk}, "message": {"S": HOSTILE}, "message_uuid": {"S": HOSTILE},
               "message_group_uuid": {"S": GROUP}, "user_uuid": {"S": HOSTILE}, "user_handle": {"S": HOSTILE},
               "user_display_name": {"S": HOSTILE}, HOSTILE: {"S": HOSTILE}})
    };
    let whole = json!({"pk": {"S": format!("MSG#{GROUP}")}, "sk": {"S": "2026-03-01T00:00:00.000000+00:00"},
        "message": {"S": HOSTILE}, "message_uuid": {"S": GROUP}, "user_uuid": {"S": JESS},
        "user_handle": {"S": HOSTILE}, "user_display_name": {"S": HOSTILE}});
    let rows = [
        row(&format!("MSG#{GROUP}"), HOSTILE),
        row(&format!("GRP#{BAYKO}"), HOSTILE),
        row(&format!("MSG#{HOSTILE}"), "b"),
        row(HOSTILE, "b"),
        whole,
    ];
    let lines: Vec<String> = rows.iter().map(ToString::to_string).collect();
    let items = world.file("items.json", lines.join("\n"));
    world.run("ddb-import", &[&items]).succeeds();
    for (tool, arguments, shows) in [
        ("ddb-scan", vec![], true),
        ("ddb-scan", vec!["--output", "json"], true),
        ("ddb-scan", vec!["--output", "jsonl"], true),
        ("ddb-export", vec![], true),
        ("ddb-export", vec!["--format", "jsonl"], true),
        ("ddb-get-conversation", vec![], true),
        ("ddb-get-conversation", vec!["--output", "json"], true),
        ("ddb-query", vec!["MSG#5ae290ed-55d1-47a0-bc6d-fe2bc2700399"], true),
        ("ddb-list-conversations", vec!["--handle", "bayko"], true),
        ("ddb-list-conversations", vec!["--handle", "bayko", "--output", "json"], true),
        ("ddb-seed", vec!["--dry-run"], false),
        ("ddb-send-message", vec!["Hi", "--from", "bayko", "--to", "jess-bk"], false),
    ] {
        clean(&format!("{tool} {arguments:?}"), world.tool(tool, &arguments), shows);
    }
    // A field of CSV may have line breaks, which are the data's.
    let csv = ["--format", "csv", "--select", "pk,sk,message"];
    not_raw("a CSV dump", &shown(world.tool("ddb-export", &csv)));
}

/// What a service says, and what it calls its things.
#[test]
fn of_services() {
    let Some(world) = World::whole() else { return };
    let refuses = |_: usize, _: &_| Answer::Reply {
        status: 400,
        body: json!({"__type": format!("x#{HOSTILE}"), "message": HOSTILE}),
    };
    let proxy = Proxy::start("127.0.0.1:1", refuses);
    for (tool, arguments) in [
        ("ddb-list-tables", vec![]),
        ("ddb-scan", vec![]),
        ("ddb-export", vec![]),
        ("ddb-schema-load", vec![]),
        ("ddb-seed", vec![]),
        ("ddb-drop", vec!["x"]),
        ("ddb-get-conversation", vec![]),
        ("cognito-list-users", vec![]),
        ("check-identities", vec![]),
        ("update-cognito-user-ids", vec![]),
    ] {
        let mut command = world.tool(tool, &arguments);
        command.env("AWS_ENDPOINT_URL_DYNAMODB", proxy.url());
        command.env("AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER", proxy.url());
        clean(tool, command, true);
    }
    let lists = Proxy::start("127.0.0.1:1", |_, request| {
        let attribute = |name: &str, value: &str| json!({"Name": name, "Value": value});
        let user = json!({"Username": HOSTILE, "Enabled": true, "UserStatus": HOSTILE, "Attributes": [
            attribute("sub", HOSTILE), attribute("preferred_username", HOSTILE), attribute("email", HOSTILE)]});
        let nameless = json!({"Username": HOSTILE, "Attributes": [attribute("sub", HOSTILE), attribute("x", "y")]});
        let body = match &*request.operation {
            "ListUsers" => json!({"Users": [user, nameless]}),
            _ => json!({"TableNames": [HOSTILE]}),
        };
        Answer::Reply { status: 200, body }
    });
    for (tool, arguments) in [
        ("ddb-list-tables", vec![]),
        ("ddb-list-tables", vec!["--output", "json"]),
        ("cognito-list-users", vec!["--long"]),
        ("cognito-list-users", vec!["--output", "json"]),
        ("cognito-list-users", vec!["--output", "jsonl"]),
        ("cognito-list-users", vec!["--output", "map"]),
        ("check-identities", vec![]),
        ("update-cognito-user-ids", vec!["--dry-run"]),
    ] {
        let mut command = world.tool(tool, &arguments);
        if tool == "ddb-list-tables" {
            command.env("AWS_ENDPOINT_URL_DYNAMODB", lists.url());
        }
        command.env("AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER", lists.url());
        clean(&format!("{tool} {arguments:?}"), command, true);
    }
}

/// Files, arguments and variables.
#[test]
fn of_this_machine() {
    let world = World::ready();
    let bad = world.file(
        "bad.json",
        format!("{{\"pk\":{{\"S\":\"a\"}},\"{}\":1}}\n", HOSTILE.replace('\n', " ")),
    );
    let csv = world.file("bad.csv", format!("pk,sk\n\"{HOSTILE}\"\n"));
    let conversation = world.file("mine.txt", HOSTILE);
    let schema = world.file("schema.json", format!("{{\"{}\": 1}}", HOSTILE.escape_debug()));
    let sql_file = world.file("schema.sql", format!("SELECT \"{HOSTILE}\" FROM nowhere"));
    let checkpoint = world.file("x.mark", format!("\"{}\"", HOSTILE.replace('\n', " ")));
    for (tool, arguments) in [
        ("ddb-import", vec![&*bad]),
        ("ddb-import", vec![&*bad, "--dry-run"]),
        ("ddb-import", vec![&*csv]),
        ("ddb-import", vec![HOSTILE, "--format", "csv"]),
        ("ddb-import", vec![&*bad, "--checkpoint", &checkpoint]),
        ("ddb-seed", vec!["--conversation", &conversation]),
        ("ddb-seed", vec!["--conversation", HOSTILE]),
        ("ddb-schema-load", vec!["--schema", &schema]),
        ("ddb-schema-load", vec!["--schema", HOSTILE]),
        ("ddb-schema-load", vec!["--table", HOSTILE]),
        ("db-setup", vec!["--schema", &sql_file]),
        ("db-setup", vec!["--steps", HOSTILE]),
        ("ddb-scan", vec![HOSTILE]),
        ("ddb-scan", vec!["--table", HOSTILE]),
        ("ddb-scan", vec!["--filter", HOSTILE]),
        ("ddb-drop", vec![HOSTILE]),
        ("ddb-drop", vec!["x", HOSTILE]),
        ("ddb-drop", vec!["x", "prod", "--confirm", HOSTILE]),
        ("ddb-get-conversation", vec!["--group", HOSTILE]),
        ("ddb-get-conversation", vec!["--since", HOSTILE]),
        ("ddb-send-message", vec![HOSTILE, "Hi", "--from", "a", "--to", "b"]),
        ("db-connect", vec!["--", HOSTILE]),
        ("ddb-list-tables", vec!["--endpoint-url", HOSTILE]),
        ("ddb-list-tables", vec!["--region", HOSTILE]),
    ] {
        clean(&format!("{tool} {arguments:?}"), world.tool(tool, &arguments), false);
    }
    for variable in [
        "AWS_ENDPOINT_URL_DYNAMODB",
        "AWS_REGION",
        "DDB_MESSAGE_TABLE",
        "CONNECTION_URL",
        "OPS_LOCAL_HOSTS",
        "OPS_TIMEOUT_SECS",
        "AWS_COGNITO_USER_POOL_ID",
        "OPS_EXPECTED_ACCOUNT_ID",
        "TZ",
    ] {
        for tool in ["ddb-seed", "check-identities"] {
            let mut command = world.tool(tool, &[]);
            command.env(variable, HOSTILE);
            clean(&format!("{tool}, {variable}"), command, false);
        }
    }
}

/// Random text of all characters, in a name that many outputs show.
#[test]
fn of_any_kind() {
    let world = World::ready();
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 12,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let character = prop_oneof![
        3 => (1_u32..0xa0).prop_map(|c| char::from_u32(c).unwrap_or('?')),
        1 => any::<char>().prop_filter("Postgres takes no NUL", |c| *c != '\0'),
    ];
    let name = proptest::collection::vec(character, 1..200)
        .prop_map(|characters| characters.into_iter().collect::<String>());
    let shown = |tool: &str, arguments: &[&str]| shown(world.tool(tool, arguments));
    runner
        .run(&name, |name| {
            world.sql(&format!(
                "UPDATE users SET display_name = {0}, handle = {0} WHERE uuid = '{BAYKO}'",
                sql(&name)
            ));
            world.run("ddb-send-message", &["--from", "jess-bk", &format!("--to={name}"), "Hi"]);
            let outputs = [
                shown("ddb-list-conversations", &[]),
                shown("ddb-list-conversations", &["--output", "json"]),
                shown("ddb-scan", &["--output", "jsonl"]),
                shown("ddb-list-conversations", &["--handle", "nobody"]),
            ];
            for out in outputs {
                let raw = out.replace("\r\n", "\n").chars().find(|c| c.is_control() && *c != '\n');
                prop_assert!(raw.is_none(), "{raw:?} of {name:?} in {out:?}");
            }
            Ok(())
        })
        .expect("clean output");
}
