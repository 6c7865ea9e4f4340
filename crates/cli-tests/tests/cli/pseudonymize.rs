//! `ddb-export --pseudonymize` and `db-export-users`: production's shape without its
//! people.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;

use aws_sdk_dynamodb::types::AttributeValue;
use cli_tests::killing::Killer;
use cli_tests::{BAYKO, GROUP, JESS, World};

use crate::export::small_pages;

const TABLE: &str = "cruddur-messages";

fn seeded() -> World {
    let world = World::both();
    world.run("db-setup", &["--steps", "create,schema-load,seed"]).succeeds();
    world.run("ddb-schema-load", &[]).succeeds();
    world.run("ddb-seed", &["--start", "2026-01-01T00:00:00Z"]).succeeds();
    for (from, to, text) in [
        ("maren", "tariq", "Приветствую, Μαρία! こんにちは世界の人 +49 170 5550123"),
        ("tariq", "maren", "maren@example.com is MAREN, bayko's friend"),
        ("bayko", "maren", "Zürich Straße naïve"),
    ] {
        world.run("ddb-send-message", &["--from", from, "--to", to, text]).succeeds();
    }
    world
}

fn export(world: &World, key: &str) -> (String, String) {
    // More than one part of the table would come in no order.
    let items = ["--segments", "1", "--pseudonymize", key];
    let items = world.run("ddb-export", &items).succeeds().stdout;
    let users = world.run("db-export-users", &["--pseudonymize", key]).succeeds().stdout;
    (items, users)
}

/// Words of four letters and more, in small letters.
fn words(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_alphanumeric());
    words.filter(|word| word.chars().count() >= 4).map(str::to_lowercase).collect()
}

#[test]
fn the_shape_comes_home_and_nobody_with_it() {
    let world = seeded();
    let key = world.folder().join("names.key").display().to_string();
    let (items, users) = export(&world, &key);
    let mode = std::fs::metadata(&key).expect("a key").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // As it was, row for row.
    let rows = world.items(TABLE);
    assert_eq!((items.lines().count(), users.lines().count()), (rows.len(), 4));
    let all = format!("{items}{users}");
    for row in &rows {
        for name in
            ["user_handle", "user_display_name", "user_uuid", "message_uuid", "message_group_uuid"]
        {
            let Some(original) = row[name].as_str() else { continue };
            assert!(!all.to_lowercase().contains(&original.to_lowercase()), "{original}");
        }
    }
    for original in [GROUP, JESS, BAYKO, "@example.com", "MOCK'", "heron"] {
        assert!(!all.contains(original), "{original}");
    }
    let of_the_form: BTreeSet<String> = words(
        "Item message message_uuid message_group_uuid user user_uuid user_handle user_display_name display_name \
         INSERT INTO users uuid handle email cognito_user_id created_at VALUES MOCK example invalid CONFLICT NOTHING \
         conversation PAIR",
    );
    let made_up = words(&all);
    for row in &rows {
        for word in words(row["message"].as_str().unwrap_or_default()).difference(&of_the_form) {
            assert!(!made_up.contains(word), "{word}");
        }
    }
    // The same with the same key, another with another.
    assert_eq!(export(&world, &key), (items.clone(), users.clone()));
    let other = export(&world, &world.folder().join("other.key").display().to_string());
    let handles = |sql: &str| -> BTreeSet<String> {
        sql.lines().filter_map(|line| line.split('\'').nth(5)).map(str::to_owned).collect()
    };
    assert_eq!((handles(&users).len(), handles(&other.1).len()), (4, 4), "{users}");
    assert!(handles(&users).is_disjoint(&handles(&other.1)));
    assert_ne!(other.0, items);

    // At home it is whole.
    let home = World::both();
    let users = home.file("users.sql", users);
    let items = home.file("items.json", items);
    home.run("db-setup", &["--steps", "drop,create,schema-load,seed", "--seed", &users]).succeeds();
    home.run("ddb-schema-load", &[]).succeeds();
    home.run("ddb-import", &[&items]).succeeds();
    let run = home.run("check-identities", &["--without-cognito"]).succeeds();
    run.says("looked at 4 people, 3 conversations and ").says(": nothing is broken; ");
    let shapes = |world: &World| {
        let items = world.items(TABLE);
        let mut shapes: Vec<(String, usize)> = items
            .iter()
            .map(|item| {
                let text = |name: &str| item[name].as_str().unwrap_or_default().to_owned();
                (text("sk"), text("message").chars().count())
            })
            .collect();
        shapes.sort();
        shapes
    };
    assert_eq!(shapes(&home), shapes(&world));
    // The two have one conversation there too: a message goes on with it.
    let people = home.sql("SELECT handle FROM users ORDER BY handle");
    let rows = home.items(TABLE);
    let pair = rows.iter().find(|row| row["pk"].as_str().is_some_and(|pk| pk.starts_with("PAIR#")));
    assert!(pair.is_some() && people.len() == 4, "{people:?}");
}

/// Killed at any page and run again, the dump is the one of a single run.
#[test]
fn killed_and_run_again_it_is_the_same_dump() {
    let world = seeded();
    let key = world.folder().join("names.key").display().to_string();
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let whole = sorted(&export(&world, &key).0);
    let pages = small_pages(&world, 7);
    let killer = Killer::start(&pages.url(), |request| request.operation == "Scan");
    let file = world.folder().join("shape.json");
    let out = file.display().to_string();
    let mark = world.folder().join("shape.mark").display().to_string();
    let mut kills = 0;
    for place in 0.. {
        assert!(place < 100, "it does not come to an end");
        let arguments = [
            "--pseudonymize",
            &key,
            "--out",
            &out,
            "--checkpoint",
            &mark,
            "--segments",
            "2",
            "--endpoint-url",
            &killer.url(),
        ];
        let run = killer.run(world.tool("ddb-export", &arguments), place);
        if run.status == Some(0) {
            break;
        }
        assert_eq!(run.status, None, "it failed\n{run}");
        assert!(!file.exists(), "it has its name, and is not whole");
        kills += 1;
    }
    assert!(kills >= 3, "only {kills} kills");
    assert_eq!(sorted(&std::fs::read_to_string(&file).expect("the dump")), whole);
}

#[test]
fn what_nobody_knows_is_left_out() {
    let world = seeded();
    let text = |text: &str| AttributeValue::S(text.to_owned());
    for (pk, sk) in [("CFG#secret", "x"), (&*format!("MSG#{GROUP}"), "by bayko")] {
        let row = [("pk", pk), ("sk", sk), ("note", "secret")];
        world.put(TABLE, row.map(|(name, value)| (name.to_owned(), text(value))).into());
    }
    let key = world.folder().join("names.key").display().to_string();
    let run = world.run("ddb-export", &["--pseudonymize", &key]).succeeds();
    let run = run.says(
        "warning: 2 items of kinds that the app does not write, or that cannot be read, left out",
    );
    assert!(!run.stdout.contains("secret") && !run.stdout.contains("bayko"));
    // What resumes is of the same key.
    let arguments = ["--out", "a.json", "--checkpoint", "a.mark", "--pseudonymize"];
    let with = |key: &str| world.run("ddb-export", &[&arguments[..], &[key]].concat());
    with(&key).succeeds();
    with("other.key").ends_with(1).says("the checkpoint `a.mark` is of another dump");
    with(&key).succeeds().says("nothing to do");
}

#[test]
fn a_key_is_kept_from_others() {
    let world = seeded();
    let key = world.file("open.key", "00".repeat(32));
    for tool in ["ddb-export", "db-export-users"] {
        std::fs::set_permissions(&key, PermissionsExt::from_mode(0o644)).expect("a mode");
        let run = world.run(tool, &["--pseudonymize", &key]).ends_with(1).prints_only("");
        run.says("error: others can read the key `").says("hint: `chmod 600 ");
        std::fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).expect("a mode");
        world.run(tool, &["--pseudonymize", &key]).succeeds();
        for wrong in ["", "00", &"zz".repeat(32), &"é".repeat(32), &"00".repeat(33)] {
            let wrong = world.file("wrong.key", wrong);
            std::fs::set_permissions(&wrong, PermissionsExt::from_mode(0o600)).expect("a mode");
            let run = world.run(tool, &["--pseudonymize", &wrong]).ends_with(1).prints_only("");
            run.says("is not a key\n  cause: a key is 64 hexadecimal digits");
        }
        let run = world.run(tool, &["--pseudonymize", "/dev/null"]).ends_with(1).prints_only("");
        run.says("error: the key `/dev/null` is not a regular file").does_not_say("chmod");
        let run = world.run(tool, &["--pseudonymize", "no/such/folder/key"]).ends_with(1);
        run.prints_only("").says("error: cannot make the key `no/such/folder/key`");
    }
    world.run("db-export-users", &[]).ends_with(2).says("--pseudonymize <KEYFILE>");
    world.run("ddb-export", &["--pseudonymize", &key, "--select", "pk"]).ends_with(2);
    let run = world.run("db-export-users", &["--pseudonymize", &key, "--out", "no/such/file"]);
    run.ends_with(1).says("error: cannot write `no/such/file`");
}
