//! `ddb-delete-conversation`

use cli_tests::killing::Killer;
use cli_tests::{GROUP, JESS, World};
use serde_json::{Value, json};

use crate::terminal::{at_terminal, status};

const TABLE: &str = "cruddur-messages";

/// The seeded conversation, and one of two others, which has a row of a pair.
fn two() -> (World, String) {
    let world = World::both();
    world.run("db-setup", &["--steps", "create,schema-load,seed"]).succeeds();
    world.run("ddb-schema-load", &[]).succeeds();
    world.run("ddb-seed", &["--start", "2026-01-01T00:00:00Z"]).succeeds();
    let sent = ["--from", "maren", "--to", "tariq", "Hello", "--output", "json"];
    let sent = world.run("ddb-send-message", &sent).succeeds().json();
    let group = sent["message_group_uuid"].as_str().expect("a uuid").to_owned();
    (world, group)
}

fn of(world: &World, group: &str) -> usize {
    let names_it = |item: &&Value| item.to_string().contains(group);
    world.items(TABLE).iter().filter(names_it).count()
}

#[test]
fn all_of_it_goes_and_nothing_else() {
    let (world, group) = two();
    let run = world.run("ddb-delete-conversation", &[&group, "--dry-run"]).succeeds();
    run.says("1 message, and 3 rows of inboxes and of the pair (of `maren`, `tariq`).\nIt cannot be undone.");
    assert_eq!((of(&world, &group), of(&world, GROUP)), (4, 106));
    let run = world.run("ddb-delete-conversation", &["local", &group]).succeeds();
    run.prints_only(&format!("{group} is deleted\n"));
    assert_eq!((of(&world, &group), of(&world, GROUP)), (0, 106));
    world.run("check-identities", &["--without-cognito"]).succeeds();
    // The two can begin anew.
    world.run("ddb-send-message", &["--from", "tariq", "--to", "maren", "Again"]).succeeds();
    let run = world.run("ddb-delete-conversation", &[GROUP, "--output", "json"]).succeeds();
    let report = run.json();
    assert_eq!(
        (&report["messages"], &report["rows"], &report["deleted"]),
        (&json!(104), &json!(2), &json!(true))
    );
    assert_eq!(of(&world, GROUP), 0);
    let fails = |arguments: &[&str], status: i32, says: &str| {
        world
            .run("ddb-delete-conversation", arguments)
            .ends_with(status)
            .prints_only("")
            .says(says);
    };
    fails(
        &[GROUP],
        1,
        &format!(
            "error: there is no conversation {GROUP}\n  hint: `ddb-list-conversations --handle HANDLE`"
        ),
    );
    fails(&[], 2, "no GROUP is named");
    fails(&["bayko"], 2, "`bayko` is not a conversation's uuid");
    fails(&["prd", GROUP], 2, "did you mean `prod`?");
}

/// Rows that lead to no messages go too.
#[test]
fn a_conversation_without_messages() {
    let (world, group) = two();
    for item in world.items(TABLE).iter().filter(|item| item["pk"] == format!("MSG#{group}")) {
        let [pk, sk] = ["pk", "sk"].map(|name| item[name].as_str().expect("text"));
        world.run("ddb-item", &["delete", pk, sk]).succeeds();
    }
    world.run("ddb-delete-conversation", &[&group]).succeeds().says("0 messages, and 3 rows");
    assert_eq!(of(&world, &group), 0);
}

#[test]
fn prod_asks_for_the_uuid() {
    let (world, group) = two();
    let prod = ["prod", group.as_str()];
    let confirm = format!("consent with --confirm {group}");
    world
        .run_prod("ddb-delete-conversation", &[&prod[..], &["--yes"]].concat())
        .ends_with(1)
        .says(&confirm);
    let mut session = at_terminal(world.prod_tool("ddb-delete-conversation", &prod));
    session.exp_string("Type the name of the conversation to continue:").expect("the question");
    session.send_line("yes").expect("answer");
    assert_eq!(status(session), 4);
    assert_eq!(of(&world, &group), 4);
    world
        .run_prod("ddb-delete-conversation", &[&prod[..], &["--confirm", &group]].concat())
        .succeeds();
    assert_eq!(of(&world, &group), 0);
}

#[test]
fn killed_and_run_again_nothing_is_left() {
    let (world, group) = two();
    let killer = Killer::start(&world.endpoint(), |_| true);
    let mut kills = 0;
    for place in 0.. {
        assert!(place < 100, "it does not come to an end");
        let delete = [GROUP, "--endpoint-url", &killer.url()];
        let run = killer.run(world.tool("ddb-delete-conversation", &delete), place);
        if run.status == Some(0) || run.stderr.contains("there is no conversation") {
            break;
        }
        assert_eq!(run.status, None, "it failed\n{run}");
        kills += 1;
    }
    assert!(kills >= 5, "only {kills} kills");
    assert_eq!((of(&world, GROUP), of(&world, &group)), (0, 4));
    assert!(!world.items(TABLE).iter().any(|item| item["pk"] == format!("GRP#{JESS}")));
}
