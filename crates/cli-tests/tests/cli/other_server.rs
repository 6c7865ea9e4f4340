//! A way to Postgres that changes after a tool has looked where it leads: a tunnel
//! that is opened meanwhile.

use std::io::BufRead;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use cli_tests::{Run, World};
use rexpect::session::PtySession;

use crate::connect::has_psql;
use crate::terminal::{at_terminal, status};

fn address(url: &str) -> String {
    let (_, rest) = url.rsplit_once('@').expect("a user");
    rest.split('/').next().expect("a host").to_owned()
}

/// Leads the first connections to one server, and all later ones to another. Returns
/// the first one's URL through it, and how many connections there were.
fn forwarder(first: &str, connections: usize, then: &str) -> (String, Arc<AtomicUsize>) {
    let (to_first, to_then) = (address(first), address(then));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let here = listener.local_addr().expect("an address").to_string();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let url = first.replace(&to_first, &here);
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let number = counted.fetch_add(1, Ordering::SeqCst);
            let server = if number < connections { &to_first } else { &to_then };
            let server = TcpStream::connect(server).expect("the server listens");
            for (mut from, mut to) in [
                (client.try_clone().expect("clone"), server.try_clone().expect("clone")),
                (server, client),
            ] {
                thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(std::net::Shutdown::Both);
                });
            }
        }
    });
    (url, count)
}

/// A production whose database has the name that the local one has.
fn production(local: &World) -> (World, String) {
    let production = World::postgres_alone();
    let (_, name) = production.local_url().rsplit_once('/').map(own).expect("a name");
    let url = production.local_url().replace(&name, local.database());
    let mut setup =
        production.tool("db-setup", &["prod", "--steps", "create,schema-load,seed", "--yes"]);
    setup.env("PROD_CONNECTION_URL", format!("{url}?sslmode=disable"));
    Run::of(setup).succeeds();
    (production, url)
}

fn own((left, right): (&str, &str)) -> (String, String) {
    (left.to_owned(), right.to_owned())
}

fn sql(url: &str, statement: &str) -> Vec<String> {
    cli_tests::run_sql(url, statement)
}

/// All that a set-up could change there.
fn content(url: &str) -> Vec<String> {
    let all =
        "SELECT environment || stamped_at || coalesce(schema_sha256, '') FROM cruddur_ops.stamp
      UNION ALL SELECT uuid::text || handle || cognito_user_id FROM users
      UNION ALL SELECT uuid::text || message FROM activities ORDER BY 1";
    sql(url, all)
}

#[test]
fn a_tunnel_that_is_opened_meanwhile_changes_nothing() {
    let local = World::postgres().with_pool(&["bayko"]);
    let Some(local) = local else { return };
    let (_production, theirs) = production(&local);
    let before = content(&theirs);
    for state in ["absent", "stamped"] {
        for steps in ["drop,create,schema-load,seed,cognito-ids", "create,schema-load,seed", "seed"]
        {
            if (state, steps) == ("absent", "seed") {
                continue;
            }
            let mut changed = false;
            for connections in 1.. {
                if state == "absent" {
                    local.server_sql(&format!(
                        "DROP DATABASE IF EXISTS {} WITH (FORCE)",
                        local.database()
                    ));
                } else {
                    local.run("db-setup", &["--steps", "create,schema-load"]).succeeds();
                }
                let (url, count) = forwarder(&local.local_url(), connections, &theirs);
                let mut command = local.tool("db-setup", &["--steps", steps]);
                command.env("CONNECTION_URL", &url);
                let run = Run::of(command);
                assert_eq!(content(&theirs), before, "{state} {steps} {connections}\n{run}");
                if count.load(Ordering::SeqCst) <= connections {
                    run.succeeds();
                    break;
                }
                assert!(matches!(run.status, Some(1 | 3)), "{state} {steps} {connections}\n{run}");
                changed |= run.stderr.contains("is not the one that was looked at");
            }
            assert!(changed, "{state} {steps}: it was never noticed");
        }
    }
}

#[test]
fn what_psql_reaches_is_looked_at_again() {
    if !has_psql() {
        return;
    }
    let local = World::postgres();
    local.run("db-setup", &[]).succeeds();
    let (_production, theirs) = production(&local);
    let before = content(&theirs);
    for arguments in [&["-Atc", "DELETE FROM activities"][..], &["-XAtc", "DELETE FROM activities"]]
    {
        let (url, count) = forwarder(&local.local_url(), 1, &theirs);
        let mut command = local.tool("db-connect", &[&["--"], arguments].concat());
        command.env("CONNECTION_URL", &url);
        let run = Run::of(command);
        assert_eq!(count.load(Ordering::SeqCst), 2, "{run}");
        assert_ne!(run.status, Some(0), "{run}");
        run.prints_only("").says("error: psql reached another server or database");
        assert_eq!(content(&theirs), before);
    }
    // From a script on standard input too.
    let (url, _) = forwarder(&local.local_url(), 1, &theirs);
    let mut command = local.tool("db-connect", &[]);
    command.env("CONNECTION_URL", &url);
    let run = Run::with_input(command, "DELETE FROM activities;\n");
    assert_ne!(run.status, Some(0), "{run}");
    assert_eq!(content(&theirs), before);
    // And where all is unchanged it works, also in production.
    let mut command =
        local.prod_tool("db-connect", &["prod", "--write", "--yes", "--", "-XAtc", "SELECT 5"]);
    local.sql("UPDATE cruddur_ops.stamp SET environment = 'prod'");
    command.env("PROD_CONNECTION_URL", local.prod_url());
    Run::of(command).succeeds().prints_only("5\n");
}

#[test]
fn what_backup_and_restore_reach_is_looked_at_again() {
    let Some(local) = crate::backup::world_with_pg_dump() else { return };
    local.run("db-setup", &[]).succeeds();
    local.run("db-backup", &["--out", "a.dump"]).succeeds();
    let (_production, theirs) = production(&local);
    let before = content(&theirs);
    for (tool, arguments, why) in [
        ("db-restore", ["a.dump", "--quiet"], "another server or database answers"),
        ("db-backup", ["--out", "b.dump"], "snapshot"),
    ] {
        let (url, count) = forwarder(&local.local_url(), 1, &theirs);
        let mut command = local.tool(tool, &arguments);
        command.env("CONNECTION_URL", &url);
        let run = Run::of(command);
        assert_eq!(count.load(Ordering::SeqCst), 2, "{run}");
        run.ends_with(1).prints_only("").says(why);
        assert_eq!(content(&theirs), before);
        assert!(!local.folder().join("b.dump").exists());
    }
}

/// A question about a database without a stamp, which waits.
fn asked(world: &World) -> PtySession {
    let mut session = at_terminal(world.tool("db-setup", &["--steps", "schema-load"]));
    session.exp_string("Type the name of the database to continue:").expect("the question");
    session
}

#[test]
fn a_stamp_that_came_while_the_question_waited_is_not_overwritten() {
    let world = World::postgres();
    world.server_sql(&format!("CREATE DATABASE {}", world.database()));
    world.sql("CREATE TABLE precious (a int)");
    let mut session = asked(&world);
    world.sql(
        "CREATE SCHEMA cruddur_ops;
         CREATE TABLE cruddur_ops.stamp (only_row boolean PRIMARY KEY DEFAULT true,
           environment text NOT NULL, schema_sha256 text, stamped_at timestamptz DEFAULT now());
         INSERT INTO cruddur_ops.stamp (environment) VALUES ('prod')",
    );
    session.send_line(world.database()).expect("answer");
    session.exp_string("it was without a stamp, and now is stamped `prod`").expect("a word");
    assert_eq!(status(session), 1);
    assert_eq!(world.sql("SELECT environment FROM cruddur_ops.stamp"), ["prod"]);
}

#[test]
fn a_database_that_was_exchanged_while_the_question_waited_stays() {
    let world = World::postgres();
    world.server_sql(&format!("CREATE DATABASE {}", world.database()));
    world.sql("CREATE TABLE precious (a int)");
    let mut session = at_terminal(world.tool("db-setup", &["--steps", "drop"]));
    session.exp_string("Type the name of the database to continue:").expect("the question");
    let name = world.database();
    world.server_sql(&format!("DROP DATABASE {name} WITH (FORCE)"));
    world.server_sql(&format!("CREATE DATABASE {name}"));
    world.sql("CREATE TABLE precious (a int)");
    session.send_line(name).expect("answer");
    session.exp_string("changed since it was looked at; nothing is done to it").expect("a word");
    assert_eq!(status(session), 1);
    assert_eq!(world.sql("SELECT count(*) FROM precious"), ["0"]);
}

/// A stamp that cannot be read there is no stamp that is the same.
#[test]
fn what_psql_cannot_look_at_is_another() {
    if !has_psql() {
        return;
    }
    let (local, other) = (World::postgres(), World::postgres_alone());
    local.run("db-setup", &[]).succeeds();
    let (_, name) = other.local_url().rsplit_once('/').map(own).expect("a name");
    other.server_sql(&format!("ALTER DATABASE {name} RENAME TO {}", local.database()));
    for before in ["", "trap '' TERM; "] {
        let (url, _) = forwarder(&local.local_url(), 1, &other.local_url());
        let tool = cli_tests::binary("db-connect").display().to_string();
        let mut command = local.command("sh");
        let script = format!("{before}\"{tool}\" -- -v ON_ERROR_STOP=1 -Atc 'SELECT 5'");
        command.args(["-c", &script]).env("CONNECTION_URL", url);
        let run = Run::of(command).prints_only("");
        assert_ne!(run.status, Some(0), "{run}");
        run.says("error: psql reached another server or database");
    }
    // The look leaves no transaction open, and the arguments' settings as they are.
    let set = ["--", "-v", "AUTOCOMMIT=off", "-v", "ON_ERROR_STOP=1", "-At"];
    let run = |sql: &[&str]| local.run("db-connect", &[&set[..], sql].concat());
    run(&["-c", "VACUUM users"]).succeeds().prints_only("VACUUM\n");
    run(&["-f", &local.file("a.sql", "SELECT nonsense;\nSELECT 5;\n")])
        .ends_with(3)
        .prints_only("");
    run(&["-c", "DELETE FROM activities"]).succeeds();
    assert_eq!(local.sql("SELECT count(*) > 0 FROM activities"), ["t"]);
}

/// The one that waits for an answer has its turn.
#[test]
fn a_second_set_up_waits_for_the_first() {
    let world = World::postgres();
    world.server_sql(&format!("CREATE DATABASE {}", world.database()));
    world.sql("CREATE TABLE precious (a int)");
    let mut first = asked(&world);
    let mut second = world.tool("db-setup", &["--steps", "create"]);
    second.stderr(std::process::Stdio::piped()).stdout(std::process::Stdio::null());
    let mut second = second.spawn().expect("spawn");
    let mut said = std::io::BufReader::new(second.stderr.take().expect("stderr")).lines();
    let waits = said.by_ref().any(|line| {
        line.expect("UTF-8").starts_with("waiting up to 120 s for another `db-setup`, which is at")
    });
    assert!(waits, "it did not wait");
    first.send_line("no").expect("answer");
    assert_eq!(status(first), 4);
    assert!(second.wait().expect("the end").success());
}

#[test]
fn many_set_ups_at_once_come_one_after_the_other() {
    let world = World::postgres();
    let runs: Vec<_> = (0..4)
        .map(|_| {
            let mut command = world.tool("db-setup", &[]);
            command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
            command.spawn().expect("spawn")
        })
        .collect();
    for run in runs {
        let output = run.wait_with_output().expect("wait");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(world.sql("SELECT count(*) FROM users"), ["4"]);
}
