//! `ddb-seed`

use aws_sdk_dynamodb::types::AttributeValue;
use cli_tests::{GROUP, JESS, Run, World};
use ops_common::app::records::Item;
use serde_json::json;

const START: [&str; 2] = ["--start", "2026-01-01T00:00:00Z"];

fn sent_by_jess(time: &str, text: &str) -> Item {
    let pairs = [
        ("pk", format!("MSG#{GROUP}")),
        ("sk", time.to_owned()),
        ("message_uuid", "00000000-0000-4000-8000-000000000001".to_owned()),
        ("message", text.to_owned()),
        ("user_uuid", JESS.to_owned()),
        ("user_display_name", "Jess Brookes".to_owned()),
        ("user_handle", "jess-bk".to_owned()),
    ];
    pairs.into_iter().map(|(name, value)| (name.to_owned(), AttributeValue::S(value))).collect()
}

#[test]
fn writes_the_conversation() {
    let world = World::ready();
    world
        .run("ddb-seed", &START)
        .succeeds()
        .prints_only(&format!("seeded 104 messages of jess-bk and bayko as conversation {GROUP}\n"))
        .says("rows: 106 put (0 overwritten), 0 deleted, 0 unchanged; 0 messages of people kept; ");
    assert_eq!(world.items("cruddur-messages").len(), 106);
}

#[test]
fn the_same_again_is_the_same_items_exactly() {
    let world = World::seeded();
    let before = world.items("cruddur-messages");
    world
        .run("ddb-seed", &START)
        .succeeds()
        .prints_only("104 messages of jess-bk and bayko already exist; nothing is changed\n");
    assert_eq!(world.items("cruddur-messages"), before);
}

#[test]
fn another_start_moves_the_one_conversation() {
    let world = World::seeded();
    let report =
        world.run("ddb-seed", &["--start", "2026-03-01", "--output", "json"]).succeeds().json();
    assert_eq!(
        (&report["put"], &report["deleted"], &report["kept"]),
        (&json!(106), &json!(106), &json!(0))
    );
    let items = world.items("cruddur-messages");
    assert_eq!(items.len(), 106);
    assert!(
        items
            .iter()
            .all(|item| item["sk"].as_str().is_some_and(|sk| sk.starts_with("2026-03-01T")))
    );
}

#[test]
fn the_default_start_is_a_day_ago_and_twice_leaves_one() {
    let world = World::ready();
    for _ in 0..2 {
        world.run("ddb-seed", &[]).succeeds();
    }
    assert_eq!(world.items("cruddur-messages").len(), 106);
}

#[test]
fn what_people_sent_stays() {
    let world = World::seeded();
    world.put(
        "cruddur-messages",
        sent_by_jess("2026-05-01T00:00:00.000000+00:00", "a person wrote this"),
    );
    let report =
        world.run("ddb-seed", &["--start", "2026-02-01", "--output", "json"]).succeeds().json();
    assert_eq!(report["kept"], 1);
    let items = world.items("cruddur-messages");
    assert_eq!(items.len(), 107);
    assert!(
        items.iter().any(|item| item["message_uuid"] == "00000000-0000-4000-8000-000000000001")
    );
    // Both group rows carry the person's, which is the newest.
    world
        .run("ddb-list-conversations", &[])
        .succeeds()
        .prints("a person wrote this")
        .prints("2026-05-01 00:00");
    world
        .run("ddb-list-conversations", &["--handle", "bayko"])
        .succeeds()
        .prints("a person wrote this");
}

#[test]
fn a_message_that_a_person_sent_is_never_overwritten() {
    let world = World::ready();
    world.put("cruddur-messages", sent_by_jess("2026-01-01T00:05:00.000000+00:00", "mine"));
    world
        .run("ddb-seed", &START)
        .ends_with(1)
        .says("error: a message that a person sent has the key that a seeded row would get: sk `2026-01-01T00:05:00.000000+00:00`")
        .says("hint: nothing is written; choose another --start");
    assert_eq!(world.items("cruddur-messages").len(), 1);
}

#[test]
fn two_conversations_at_one_time_do_not_overwrite_each_others_rows() {
    let world = World::seeded();
    let mut arguments =
        vec!["--group", "00000000-0000-4000-8000-00000000000b", "--other-handle", "maren"];
    arguments.extend(START);
    world
        .run("ddb-seed", &arguments)
        .ends_with(1)
        .says("error: another conversation's row has the key");
    assert_eq!(world.items("cruddur-messages").len(), 106);
}

#[test]
fn other_people_in_the_same_conversation_leave_no_row_behind() {
    let world = World::seeded();
    world.run("ddb-seed", &["--start", "2026-01-02", "--other-handle", "maren"]).succeeds();
    assert_eq!(world.items("cruddur-messages").len(), 106);
    world.run("ddb-list-conversations", &["--handle", "bayko"]).succeeds().prints_only("");
    world.run("ddb-list-conversations", &["--handle", "maren"]).succeeds().prints("jess-bk");
}

/// A forgotten --group would take the conversation from who wrote in it.
#[test]
fn a_seeded_conversation_in_which_people_wrote_stays_theirs() {
    let world = World::seeded();
    world.run("ddb-send-message", &["--from", "bayko", "--to", "jess-bk", "Hello"]).succeeds();
    let before = world.items("cruddur-messages");
    world
        .run("ddb-seed", &["--start", "2026-01-02", "--other-handle", "maren"])
        .ends_with(1)
        .prints_only("")
        .says(&format!("error: the conversation {GROUP} is one of people, `bayko` among them"))
        .says("hint: nothing is written; choose another --group");
    assert_eq!(world.items("cruddur-messages"), before);
    world.run("ddb-seed", &["--start", "2026-01-02"]).succeeds();
}

/// Dropping and seeding the database again does not orphan the messages.
#[test]
fn seeded_users_keep_their_uuids() {
    let world = World::seeded();
    world.run("db-setup", &[]).succeeds();
    world.run("ddb-list-conversations", &[]).succeeds().prints("bayko");
    world.run("ddb-seed", &START).succeeds().prints("nothing is changed");
}

#[test]
fn dry_run_changes_nothing() {
    let world = World::seeded();
    let before = world.items("cruddur-messages");
    world
        .run("ddb-seed", &["--start", "2026-02-01", "--dry-run"])
        .succeeds()
        .prints("would seed 104 messages")
        .says("rows: 106 put (0 overwritten), 106 deleted")
        .says("nothing is changed (--dry-run)");
    assert_eq!(world.items("cruddur-messages"), before);
}

#[test]
fn a_conversation_of_ones_own() {
    let world = World::ready();
    let file =
        world.file("mine.txt", "\u{feff}Person 1: Hé, \"you\"!\r\nPerson 2: 👋 — yes?\r\n\r\n");
    let mut arguments =
        vec!["--conversation", &file, "--my-handle", "maren", "--other-handle", "tariq"];
    arguments.extend(START);
    world.run("ddb-seed", &arguments).succeeds().prints("seeded 2 messages of maren and tariq");
    let report = world.run("ddb-get-conversation", &["--output", "json"]).succeeds().json();
    assert_eq!(report["messages"][0]["message"], "Hé, \"you\"!");
    assert_eq!(report["messages"][0]["handle"], "maren");
    assert_eq!(report["messages"][1]["message"], "👋 — yes?");
    assert_eq!(report["messages"][1]["created_at"], "2026-01-01T00:01:00.000000+00:00");
}

#[test]
fn a_shorter_file_leaves_nothing_of_the_longer_one() {
    let world = World::seeded();
    let file = world.file("mine.txt", "Person 1: hi\nPerson 2: ho\n");
    let mut arguments = vec!["--conversation", &file];
    arguments.extend(START);
    world
        .run("ddb-seed", &arguments)
        .succeeds()
        .says("rows: 4 put (2 overwritten), 104 deleted, 0 unchanged");
    assert_eq!(world.items("cruddur-messages").len(), 4);
}

#[test]
fn bad_files_write_nothing() {
    let world = World::ready();
    for (content, error) in [
        ("", "mine.txt: it is empty"),
        ("\n \n", "mine.txt: it is empty"),
        ("Person 1: a\nPerson 3: b\n", "mine.txt:2: expected `Person 1: …` or `Person 2: …`"),
        ("Person 1: a\n\nPerson 2: b\n", "mine.txt:2: a blank line between messages"),
        ("Person 1:\n", "mine.txt:1: the message is empty"),
        (&format!("Person 1: {}", "x".repeat(1025)), "mine.txt:1: the message has 1025 characters"),
    ] {
        let file = world.file("mine.txt", content);
        world
            .run("ddb-seed", &["--conversation", &file])
            .ends_with(1)
            .prints_only("")
            .says(error)
            .says("nothing is written");
    }
    world
        .run("ddb-seed", &["--conversation", "none.txt"])
        .ends_with(1)
        .says("cannot read the conversation `none.txt`");
    let folder = world.folder().display().to_string();
    world
        .run("ddb-seed", &["--conversation", &folder])
        .ends_with(1)
        .says("cannot read the conversation");
    assert!(world.items("cruddur-messages").is_empty());
}

#[test]
fn missing_users_are_named_with_the_nearest() {
    let world = World::ready();
    world
        .run("ddb-seed", &["--my-handle", "jess", "--other-handle", "baiko"])
        .ends_with(1)
        .says("error: no user has the handle `jess` or `baiko`")
        .says("hint: for `jess`: did you mean `jess-bk`?")
        .says("hint: for `baiko`: did you mean `bayko`?");
    world.sql("UPDATE users SET handle = handle || '-2'");
    world
        .run("ddb-seed", &[])
        .ends_with(1)
        .says("hint: `db-setup --steps seed` seeds `jess-bk`, `bayko`, `maren`, `tariq`");
    world
        .run("ddb-seed", &["--other-handle", "jess-bk"])
        .ends_with(2)
        .says("a conversation takes two people");
    assert!(world.items("cruddur-messages").is_empty());
}

#[test]
fn a_missing_table_or_database_has_its_hint() {
    let world = World::both();
    world.run("ddb-seed", &[]).ends_with(1).says("there is no database").says("`db-setup`");
    world.run("db-setup", &[]).succeeds();
    world
        .run("ddb-seed", &[])
        .ends_with(1)
        .says("error: there is no table `cruddur-messages`")
        .says("hint: create it with `ddb-schema-load`");
}

#[test]
fn prod_a_first_seed_takes_yes_and_replacing_takes_the_name() {
    let world = World::ready();
    world.sql("UPDATE cruddur_ops.stamp SET environment = 'prod'");
    let seed = |arguments: &[&str]| {
        let mut all = vec!["prod"];
        all.extend(arguments);
        world.run_prod("ddb-seed", &all)
    };
    seed(&["--dry-run"]).succeeds().prints("would seed");
    seed(&["--yes", "--start", "2026-01-01T00:00:00Z"])
        .succeeds()
        .prints("seeded 104 messages")
        .says("target: PROD");
    // Nothing to do needs no more than the least consent.
    seed(&["--yes", "--start", "2026-01-01T00:00:00Z"]).succeeds().prints("nothing is changed");
    let before = world.items("cruddur-messages");
    seed(&["--yes", "--start", "2026-02-01"])
        .ends_with(1)
        .says("--yes is not enough to destroy something")
        .says("consent with --confirm cruddur-messages");
    seed(&["--confirm", GROUP]).ends_with(1).says("and the table is `cruddur-messages`");
    assert_eq!(world.items("cruddur-messages"), before);
    seed(&["--confirm", "cruddur-messages", "--start", "2026-02-01"])
        .succeeds()
        .prints("seeded 104 messages");
}

/// A reader that goes away does not stop a write halfway.
#[test]
fn a_closed_pipe_does_not_stop_the_write() {
    let world = World::ready();
    let mut command = world.command("bash");
    let tool = cli_tests::binary("ddb-seed").display().to_string();
    command.args(["-c", &format!("{tool} 2>/dev/null | true; echo ${{PIPESTATUS[0]}}")]);
    Run::of(command).succeeds().prints_only("0\n");
    assert_eq!(world.items("cruddur-messages").len(), 106);
}

/// Both people are found, also where only one of them said anything.
#[test]
fn a_one_sided_conversation_leaves_no_row_behind() {
    let world = World::ready();
    let file = world.file("mine.txt", "Person 1: anybody?\n");
    world.run("ddb-seed", &["--conversation", &file, "--start", "2026-01-01"]).succeeds();
    world.run("ddb-seed", &["--start", "2026-01-02", "--other-handle", "maren"]).succeeds();
    world.run("ddb-list-conversations", &["--handle", "bayko"]).succeeds().prints_only("");
    assert_eq!(world.items("cruddur-messages").len(), 106);
}

#[test]
fn a_conversation_of_other_people_is_not_touched() {
    let world = World::ready();
    let group = "00000000-0000-4000-8000-00000000000c";
    let mut item = sent_by_jess("2026-01-01T00:00:00.000000+00:00", "among ourselves");
    item.insert("pk".into(), AttributeValue::S(format!("MSG#{group}")));
    item.insert(
        "user_uuid".into(),
        AttributeValue::S("00000000-0000-4000-8000-0000000000aa".into()),
    );
    item.insert("user_handle".into(), AttributeValue::S("alice".into()));
    world.put("cruddur-messages", item);
    world
        .run("ddb-seed", &["--group", group])
        .ends_with(1)
        .says(&format!("error: the conversation {group} is one of people, `alice` among them"));
    assert_eq!(world.items("cruddur-messages").len(), 1);
}

#[test]
fn times_that_no_key_could_hold() {
    let world = World::ready();
    for start in ["+262142-12-31T23:59", "10000-01-01T00:00:00Z"] {
        world.run("ddb-seed", &["--start", start]).ends_with(2);
    }
    world
        .run("ddb-seed", &["--start", "9999-12-31T23:59:00Z"])
        .ends_with(2)
        .says("error: the conversation would end after the year 9999");
    assert!(world.items("cruddur-messages").is_empty());
}

/// Its users are production's, wherever the table is.
#[test]
fn a_database_of_the_other_environment_is_refused() {
    let world = World::ready();
    world.sql("UPDATE cruddur_ops.stamp SET environment = 'prod'");
    world
        .run("ddb-seed", &[])
        .ends_with(1)
        .prints_only("")
        .says("is stamped `prod`, and the target is `local`");
    assert!(world.items("cruddur-messages").is_empty());
    world.sql("DROP SCHEMA cruddur_ops CASCADE");
    world.run("ddb-seed", &[]).succeeds();
}
