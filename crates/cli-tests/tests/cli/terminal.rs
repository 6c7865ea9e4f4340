//! What a person at a terminal is asked, and what the answers do.

use std::process::{Command, Stdio};
use std::sync::{Mutex, mpsc};

use cli_tests::World;
use cli_tests::proxy::{Answer, Proxy};
use nix::sys::wait::WaitStatus;
use rexpect::session::{PtySession, spawn_command};

const TIMEOUT_MS: u64 = 60_000;

pub(crate) fn at_terminal(mut command: Command) -> PtySession {
    command.stdin(Stdio::inherit());
    spawn_command(command, Some(TIMEOUT_MS)).expect("a terminal")
}

/// Reads to the end and returns the status.
pub(crate) fn status(mut session: PtySession) -> i32 {
    let rest = session.exp_eof().expect("the end");
    match session.process().wait().expect("a status") {
        WaitStatus::Exited(_, status) => status,
        other => panic!("{other:?}\n{rest}"),
    }
}

fn tables(world: &World) -> String {
    world.run("ddb-list-tables", &[]).succeeds().stdout
}

#[test]
fn dropping_in_prod_takes_the_name() {
    let world = World::dynamodb();
    world.run("ddb-schema-load", &[]).succeeds();
    for (answer, expected) in [("yes", 4), ("", 4), ("cruddur", 4), ("cruddur-messages", 0)] {
        let mut session = at_terminal(world.prod_tool("ddb-drop", &["cruddur-messages", "prod"]));
        session
            .exp_string("This deletes the table `cruddur-messages` with all its items: 0 items")
            .expect("what happens");
        session.exp_string("Type the name of the table to continue:").expect("the question");
        session.send_line(answer).expect("answer");
        if expected == 4 {
            session
                .exp_string("declined; the table `cruddur-messages` is unchanged")
                .expect("a word");
        }
        assert_eq!(status(session), expected, "{answer}");
        assert_eq!(tables(&world), if expected == 0 { "" } else { "cruddur-messages\n" });
    }
}

#[test]
fn yes_does_not_answer_for_the_name() {
    let world = World::dynamodb();
    world.run("ddb-schema-load", &[]).succeeds();
    let mut session =
        at_terminal(world.prod_tool("ddb-drop", &["cruddur-messages", "prod", "--yes"]));
    session.exp_string("Type the name of the table to continue:").expect("the question");
    session.send_line("n").expect("answer");
    assert_eq!(status(session), 4);
}

#[test]
fn the_end_of_input_is_a_no() {
    let world = World::dynamodb();
    world.run("ddb-schema-load", &[]).succeeds();
    let mut session = at_terminal(world.prod_tool("ddb-drop", &["cruddur-messages", "prod"]));
    session.exp_string("Type the name of the table to continue:").expect("the question");
    session.send_control('d').expect("end of input");
    assert_eq!(status(session), 4);
    assert_eq!(tables(&world), "cruddur-messages\n");
}

#[test]
fn ctrl_c_at_the_question_ends_it() {
    let world = World::dynamodb();
    world.run("ddb-schema-load", &[]).succeeds();
    let mut session = at_terminal(world.prod_tool("ddb-drop", &["cruddur-messages", "prod"]));
    session.exp_string("Type the name of the table to continue:").expect("the question");
    session.send_control('c').expect("interrupt");
    session.exp_string("interrupted").expect("a word");
    assert_eq!(status(session), 130);
    assert_eq!(tables(&world), "cruddur-messages\n");
}

#[test]
fn a_first_seed_in_prod_asks_y_or_n_and_replacing_the_name() {
    let world = World::ready();
    world.sql("UPDATE cruddur_ops.stamp SET environment = 'prod'");
    for (answer, expected) in [("", 4), ("n", 4), ("y", 0)] {
        let mut session =
            at_terminal(world.prod_tool("ddb-seed", &["prod", "--start", "2026-01-01"]));
        session
            .exp_string("this writes 106 rows to the table `cruddur-messages`")
            .expect("what happens");
        session.exp_string("Continue? [y/N]").expect("the question");
        session.send_line(answer).expect("answer");
        assert_eq!(status(session), expected, "{answer}");
    }
    let before = world.items("cruddur-messages");
    assert_eq!(before.len(), 106);
    let mut session = at_terminal(world.prod_tool("ddb-seed", &["prod", "--start", "2026-02-01"]));
    session
        .exp_string("Of what an earlier seed wrote, 0 rows overwritten and 106 rows deleted.")
        .expect("the counts");
    session.exp_string("Type the name of the table to continue:").expect("the question");
    session.send_line("y").expect("answer");
    assert_eq!(status(session), 4);
    assert_eq!(world.items("cruddur-messages"), before);
}

#[test]
fn dropping_a_database_in_prod_takes_its_name() {
    let world = World::postgres();
    world.run_prod("db-setup", &["prod", "--steps", "create,schema-load", "--yes"]).succeeds();
    for (answer, expected) in [("y", 4), (world.database(), 0)] {
        let mut session = at_terminal(world.prod_tool("db-setup", &["prod", "--steps", "drop"]));
        session.exp_string("stamped `prod`.").expect("the stamp");
        session.exp_string("Dropping it deletes everything in it").expect("what happens");
        session.exp_string("there is no point-in-time recovery").expect("what is left");
        session.exp_string("Type the name of the database to continue:").expect("the question");
        session.send_line(answer).expect("answer");
        assert_eq!(status(session), expected, "{answer}");
    }
}

#[test]
fn a_local_database_without_a_stamp_asks_for_its_name() {
    let world = World::postgres();
    world.server_sql(&format!("CREATE DATABASE {}", world.database()));
    world.sql("CREATE TABLE precious (a int)");
    let mut session = at_terminal(world.tool("db-setup", &[]));
    session.exp_string(": 1 table and no stamp (`db-setup` did not make it).").expect("what it is");
    session.exp_string("Type the name of the database to continue:").expect("the question");
    session.send_line("y").expect("answer");
    assert_eq!(status(session), 4);
    assert_eq!(world.sql("SELECT count(*) FROM precious"), ["0"]);
}

#[test]
fn colour_at_a_terminal_and_none_where_it_is_not_wanted() {
    let world = World::dynamodb();
    let output = |color: &str, no_color: &str| {
        let mut command = world
            .tool("ddb-list-tables", &["--color", color, "--endpoint-url", "http://127.0.0.1:1"]);
        command.env("NO_COLOR", no_color).env("TERM", "xterm");
        at_terminal(command).exp_eof().expect("the end")
    };
    assert!(output("auto", "").contains("\u{1b}[1;31merror:"));
    assert!(!output("auto", "1").contains('\u{1b}'));
    assert!(!output("never", "").contains('\u{1b}'));
    assert!(output("always", "1").contains('\u{1b}'));
}

/// A listing that takes long says so, and a quick one does not.
#[test]
fn progress_where_a_person_has_to_wait() {
    let world = World::empty();
    let list = |proxy: &Proxy| {
        let mut command = world.tool("cognito-list-users", &["--user-pool-id", "us-east-1_AbC"]);
        command.env("AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER", proxy.url()).env("TERM", "xterm");
        at_terminal(command)
    };
    let nobody = || Answer::Reply { status: 200, body: serde_json::json!({"Users": []}) };
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let may_go_on = Mutex::new(may_go_on);
    let proxy = Proxy::start("127.0.0.1:1", move |_, _| {
        // Answers when the test has seen what it waits for.
        let _ = may_go_on.lock().expect("one request").recv();
        nobody()
    });
    let mut session = list(&proxy);
    session.exp_string("listing the pool").expect("progress");
    go_on.send(()).expect("the proxy waits");
    session.exp_string("0 users").expect("the end");
    assert_eq!(status(session), 0);

    let proxy = Proxy::start("127.0.0.1:1", move |_, _| nobody());
    let said = list(&proxy).exp_eof().expect("the end");
    assert!(said.contains("0 users") && !said.contains("listing the pool"), "{said}");
}
