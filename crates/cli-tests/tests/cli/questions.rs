//! What does not answer a question: keys pressed before it was asked, a line without
//! Enter, and an answer to something that is no longer so.

use std::process::Command;
use std::sync::{Arc, Condvar, Mutex};

use cli_tests::proxy::{Proxy, identity};
use cli_tests::{ACCOUNT, World, wait_for};
use rexpect::session::PtySession;
use serde_json::json;

use crate::terminal::{at_terminal, status};

/// An STS that answers only once it is let.
struct SlowAccount {
    proxy: Proxy,
    open: Arc<(Mutex<bool>, Condvar)>,
}

impl SlowAccount {
    fn start() -> Self {
        let open = Arc::new((Mutex::new(false), Condvar::new()));
        let gate = Arc::clone(&open);
        let proxy = Proxy::start("127.0.0.1:1", move |_, _| {
            let (open, changed) = &*gate;
            let mut open = open.lock().expect("no panic");
            while !*open {
                open = changed.wait(open).expect("no panic");
            }
            identity(ACCOUNT)
        });
        Self { proxy, open }
    }

    fn let_it_answer(&self) {
        *self.open.0.lock().expect("no panic") = true;
        self.open.1.notify_all();
    }
}

/// At a terminal that shows what is typed, so that one can wait until it has it.
fn with_echo(world: &World, command: &Command) -> PtySession {
    let mut shell = world.command("sh");
    shell.args(["-c", "stty echo; exec \"$0\" \"$@\""]);
    shell.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    at_terminal(shell)
}

/// Types while STS is slow, and returns the session once the question is there.
fn typed_ahead(world: &World, mut command: Command, typed: &str, question: &str) -> PtySession {
    let account = SlowAccount::start();
    world.behind_account(&mut command, &account.proxy.url());
    let mut session = with_echo(world, &command);
    wait_for("the request to STS", || !account.proxy.requests().is_empty());
    session.send_line(typed).expect("type ahead");
    // The terminal has it.
    session.exp_string(&format!("{typed}\r\n")).expect("the echo");
    account.let_it_answer();
    session.exp_string(question).expect("the question");
    session
}

#[test]
fn keys_pressed_before_a_question_do_not_answer_it() {
    let world = World::ready();
    world.sql("UPDATE cruddur_ops.stamp SET environment = 'prod'");
    let name = "Type the name of the table to continue:";
    let drop = world.prod_tool("ddb-drop", &["cruddur-messages", "prod"]);
    let mut session = typed_ahead(&world, drop, "cruddur-messages", name);
    session.send_line("no").expect("answer");
    session.exp_string("`no` is not its name").expect("what was taken for the answer");
    assert_eq!(status(session), 4);
    let seed = world.prod_tool("ddb-seed", &["prod"]);
    let mut session = typed_ahead(&world, seed, "y", "Continue? [y/N]");
    session.send_line("").expect("answer");
    assert_eq!(status(session), 4);
    assert!(world.items("cruddur-messages").is_empty());
}

#[test]
fn a_line_without_enter_is_no_answer() {
    let world = World::ready();
    world.sql("UPDATE cruddur_ops.stamp SET environment = 'prod'");
    for (tool, arguments, question, answer) in [
        ("ddb-drop", vec!["cruddur-messages", "prod"], "to continue:", "cruddur-messages"),
        ("ddb-seed", vec!["prod"], "[y/N]", "y"),
    ] {
        let mut session = with_echo(&world, &world.prod_tool(tool, &arguments));
        session.exp_string(question).expect("the question");
        session.send(answer).expect("type");
        session.flush().expect("type");
        session.exp_string(answer).expect("the echo");
        // The first sends what stands there, the second is the end of input.
        session.send_control('d').expect("Ctrl-D");
        session.send_control('d').expect("Ctrl-D");
        session.exp_string("the input ended before Enter was pressed").expect("a word");
        assert_eq!(status(session), 4, "{tool}");
    }
    assert!(world.items("cruddur-messages").is_empty());
}

/// A table of the same name, made while the question waited.
#[test]
fn another_table_of_that_name_is_not_dropped() {
    let world = World::dynamodb();
    let mut session = {
        world.run("ddb-schema-load", &[]).succeeds();
        at_terminal(world.prod_tool("ddb-drop", &["cruddur-messages", "prod"]))
    };
    session.exp_string("Type the name of the table to continue:").expect("the question");
    world.run("ddb-drop", &["cruddur-messages"]).succeeds();
    world.run("ddb-schema-load", &[]).succeeds();
    session.send_line("cruddur-messages").expect("answer");
    session
        .exp_string(
            "the table `cruddur-messages` changed while the question waited; nothing is done",
        )
        .expect("a word");
    session.exp_string("the one of that name is new").expect("why");
    assert_eq!(status(session), 1);
    world.run("ddb-list-tables", &[]).succeeds().prints_only("cruddur-messages\n");
}

fn put(world: &World) {
    let items = world.file("one.json", r#"{"pk":{"S":"a"},"sk":{"S":"b"},"from":{"S":"them"}}"#);
    world.run("ddb-import", &[&items]).succeeds();
}

/// What the question said of the table's content is so no longer.
#[test]
fn a_table_that_was_written_to_meanwhile_is_not_dropped() {
    let world = World::dynamodb();
    world.run("ddb-schema-load", &[]).succeeds();
    let mut session = at_terminal(world.prod_tool("ddb-drop", &["cruddur-messages", "prod"]));
    session.exp_string("with all its items: 0 items").expect("what it holds");
    session.exp_string("Type the name of the table to continue:").expect("the question");
    put(&world);
    session.send_line("cruddur-messages").expect("answer");
    session.exp_string("it had 0 items").expect("why");
    assert_eq!(status(session), 1);
    world.run("ddb-scan", &["--count"]).succeeds().prints_only("1\n");
}

#[test]
fn an_import_into_an_empty_table_replaces_nothing_that_came_meanwhile() {
    let world = World::dynamodb();
    world.run("ddb-schema-load", &[]).succeeds();
    let ours = world.file("ours.json", r#"{"pk":{"S":"a"},"sk":{"S":"b"},"from":{"S":"us"}}"#);
    let mut session = at_terminal(world.prod_tool("ddb-import", &[&ours, "prod"]));
    session.exp_string("which is empty").expect("what happens");
    session.exp_string("Continue? [y/N]").expect("the question");
    put(&world);
    session.send_line("y").expect("answer");
    session
        .exp_string(
            "the table `cruddur-messages` changed while the question waited; nothing is done",
        )
        .expect("a word");
    assert_eq!(status(session), 1);
    assert_eq!(world.items("cruddur-messages"), [json!({"pk": "a", "sk": "b", "from": "them"})]);
    // Another table of that name is not written to either, where it holds items.
    let mut session = at_terminal(world.prod_tool("ddb-import", &[&ours, "prod"]));
    session.exp_string("Type the name of the table to continue:").expect("the question");
    world.run("ddb-drop", &["cruddur-messages"]).succeeds();
    world.run("ddb-schema-load", &[]).succeeds();
    session.send_line("cruddur-messages").expect("answer");
    session.exp_string("the one of that name is new").expect("why");
    assert_eq!(status(session), 1);
    assert!(world.items("cruddur-messages").is_empty());
}

#[test]
fn an_update_of_a_table_that_was_exchanged_is_not_made() {
    let world = World::dynamodb();
    world.run("ddb-schema-load", &[]).succeeds();
    let schema = include_str!("../../../../seed-data/tables/cruddur-messages.json");
    let mut schema: serde_json::Value = serde_json::from_str(schema).expect("JSON");
    schema["ProvisionedThroughput"]["ReadCapacityUnits"] = json!(7);
    let schema = world.file("schema.json", schema.to_string());
    let mut session =
        at_terminal(world.prod_tool("ddb-schema-load", &["prod", "--schema", &schema, "--update"]));
    session.exp_string("Continue? [y/N]").expect("the question");
    world.run("ddb-drop", &["cruddur-messages"]).succeeds();
    world.run("ddb-schema-load", &[]).succeeds();
    session.send_line("y").expect("answer");
    session.exp_string("changed while the question waited; nothing is done").expect("a word");
    assert_eq!(status(session), 1);
    world.run("ddb-schema-load", &[]).succeeds();
}
