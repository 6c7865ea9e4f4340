//! What `--output json` prints has one form in all tools: an object that begins with the
//! target.

use std::collections::BTreeSet;

use cli_tests::{TOOLS, World};

use crate::backup::world_with_pg_dump;

/// Arrays, since scripts have read them from the beginning; and the pool's users, which
/// are of no target.
const OTHERS: [&str; 3] = ["ddb-list-tables", "ddb-scan", "cognito-list-users"];

#[test]
fn a_result_is_an_object_that_begins_with_the_target() {
    let Some(world) = World::whole() else { return };
    world.run("ddb-schema-load", &["--table", "scratch"]).succeeds();
    let line = r#"{"Item": {"pk": {"S": "a"}, "sk": {"S": "b"}}}"#;
    let file = world.file("items.json", format!("{line}\n"));
    let import = format!("ddb-import {file} --table scratch");
    let dry_import = format!("{import} --dry-run");
    let mut calls = vec![
        "check-identities",
        "db-sessions",
        "db-setup --steps seed",
        "db-setup --dry-run",
        "ddb-delete-conversation 5ae290ed-55d1-47a0-bc6d-fe2bc2700399 --dry-run",
        "ddb-get-conversation --limit 1",
        "ddb-list-conversations",
        "ddb-query inbox:bayko",
        "ddb-refresh-names --all",
        "ddb-schema-load",
        "ddb-seed --dry-run",
        "ddb-send-message --from bayko --to jess-bk Hello",
        "ddb-erase-person maren --without-cognito",
        "update-cognito-user-ids",
        &dry_import,
        &import,
        "ddb-item get a b --table scratch",
        "ddb-item delete a b --table scratch",
        "ddb-drop scratch",
    ];
    let can_back_up = world_with_pg_dump().is_some();
    if can_back_up {
        calls.extend(["db-backup --out a.dump", "db-restore a.dump"]);
    }
    let mut seen: BTreeSet<&str> = OTHERS.into_iter().collect();
    for call in &calls {
        let words: Vec<&str> = call.split(' ').collect();
        let arguments = [&words[1..], &["--output", "json"]].concat();
        let run = world.run(words[0], &arguments).succeeds();
        let start: String = run.stdout.split_whitespace().take(3).collect();
        assert!(start.starts_with("{\"target\":\"local\","), "{call}\n{run}");
        assert!(run.json().is_object());
        seen.insert(words[0]);
    }
    for tool in TOOLS {
        let help = world.run(tool, &["--help"]).succeeds().stdout;
        // A log, which is a line for each request, is no result.
        let has_result = help.contains("--output <FORMAT>") && tool != "messages-api";
        let is_seen = seen.contains(tool) || tool.starts_with("db-") && !can_back_up;
        assert!(!has_result || is_seen, "{tool} has --output, and is not in this test");
    }
}
