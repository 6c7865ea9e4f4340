//! The doors by which anything is written: no call of a client that writes stands
//! outside of a function that takes a permit and checks it.

use std::path::Path;

use cli_tests::workspace;

/// What writes to DynamoDB, Postgres or Cognito.
const WRITES: [&str; 26] = [
    ".put_item()",
    ".update_item()",
    ".delete_item()",
    ".batch_write_item()",
    ".transact_write_items()",
    ".create_table()",
    ".update_table()",
    ".delete_table()",
    ".update_time_to_live()",
    ".update_continuous_backups()",
    ".execute_statement()",
    ".batch_execute_statement()",
    ".execute_transaction()",
    ".import_table()",
    ".export_table_to_point_in_time()",
    ".admin_create_user()",
    ".admin_update_user_attributes()",
    ".admin_delete_user()",
    ".batch_execute(",
    ".execute(",
    ".copy_in(",
    "query(UPDATE",
    "\"end a session\"",
    ".simple_query(",
    "pg_terminate_backend(",
    ".command(\"psql\")",
];

/// The functions that hold such a call, by their file: each takes a permit, or is
/// handed what only a permit opens.
const DOORS: [(&str, &[&str]); 17] = [
    // `Batches` comes from `Table::batch_writer`, `Statements` from `Table::statements`,
    // `Attempt` from `create_message…`.
    ("ops-common/src/dynamodb/batch.rs", &["send"]),
    ("ops-common/src/dynamodb/statements.rs", &["send"]),
    ("ops-common/src/app/conversations/write.rs", &["write"]),
    ("ops-common/src/app/conversations/repair.rs", &["repair"]),
    ("cognito-list-users/src/pool.rs", &["delete_user"]),
    ("ddb-erase-person/src/account.rs", &["erase"]),
    ("check-identities/src/fix.rs", &["set_uuid", "move_row"]),
    ("ddb-schema-load/src/lifecycle.rs", &["create", "update", "set_ttl"]),
    ("ddb-drop/src/lib.rs", &["drop_table"]),
    ("ddb-item/src/write.rs", &["put_new", "change", "delete"]),
    ("ddb-export/src/to_s3.rs", &["begin"]),
    ("ddb-import/src/from_s3.rs", &["begin"]),
    // `set` and `OwnTransaction` are in the transaction of a step.
    ("db-setup/src/stamp.rs", &["set"]),
    ("db-setup/src/steps.rs", &["drop", "create", "schema_load", "seed", "of"]),
    ("db-restore/src/load.rs", &["restore"]),
    ("update-cognito-user-ids/src/lib.rs", &["write"]),
    ("db-sessions/src/lib.rs", &["kill"]),
];

fn sources(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn there_is_no_other_way_to_write() {
    let crates = workspace().join("crates");
    let mut files = Vec::new();
    for tool in std::fs::read_dir(&crates).expect("crates").flatten() {
        let name = tool.file_name();
        // The stack is what is written to; the tests make what they need.
        if name != "cli-tests" && name != "local-stack" {
            sources(&tool.path().join("src"), &mut files);
        }
    }
    let mut met = Vec::new();
    for file in files {
        let name = file.strip_prefix(&crates).expect("below").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&file).expect("a source");
        let text = text.split("#[cfg(test)]").next().expect("a text");
        let mut function = String::new();
        let mut has_permit = false;
        for line in text.lines() {
            let code = line.trim_start();
            if let Some((before, rest)) = code.split_once("fn ")
                && (before.is_empty() || before.ends_with(' '))
                && !code.starts_with("//")
            {
                function = rest.split(['(', '<']).next().unwrap_or_default().to_owned();
                has_permit = false;
            }
            has_permit |= code.contains("permit: &Permit");
            let writes = WRITES.iter().any(|write| code.contains(write));
            if !writes || code.starts_with("//") || code.starts_with("const ") {
                continue;
            }
            let door = DOORS.iter().find(|(file, _)| *file == name);
            let door = door.is_some_and(|(_, functions)| functions.contains(&function.as_str()));
            assert!(door, "{name}: `{function}` writes, and is no door: {line}");
            let inner = [
                ("ops-common", "send"),
                ("ops-common", "write"),
                ("db-setup", "set"),
                ("db-setup", "of"),
            ];
            let is_inner =
                inner.iter().any(|(tool, inner)| name.starts_with(tool) && function == *inner);
            assert!(has_permit || is_inner, "{name}: `{function}` writes without a permit");
            met.push((name.clone(), function.clone()));
        }
    }
    for (file, functions) in DOORS {
        for function in functions {
            let there = met.iter().any(|(name, met)| name == file && met == function);
            assert!(there, "{file}: `{function}` is a door, and nothing is written there");
        }
    }
}
