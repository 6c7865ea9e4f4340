//! `db-connect`

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use cli_tests::{Run, World};

/// Whether there is a psql; where not it is said, and CI fails.
pub(crate) fn has_psql() -> bool {
    let there = Command::new("psql").arg("--version").output().is_ok();
    if !there {
        cli_tests::cannot_run("psql: it is not installed");
    }
    there
}

/// A psql that says what it was given.
fn with_fake_psql(mut command: Command, world: &World) -> Command {
    let script =
        "#!/bin/sh\nprintf 'argument %s\\n' \"$@\"\nenv | grep -E '^PG|CONNECTION_URL' | sort\n";
    let psql = world.file("psql", script);
    std::fs::set_permissions(&psql, PermissionsExt::from_mode(0o755)).expect("executable");
    command.env("PATH", format!("{}:/usr/bin:/bin", world.folder().display()));
    command
}

#[test]
fn it_becomes_psql_on_that_database() {
    if !has_psql() {
        return;
    }
    let world = World::postgres();
    world.run("db-setup", &[]).succeeds();
    let sql = "SELECT current_database(), count(*) FROM users";
    world
        .run("db-connect", &["--", "-XAtc", sql])
        .succeeds()
        .prints_only(&format!("{}|4\n", world.database()))
        .says("target: local  postgres postgres@127.0.0.1:");
    // Its status is psql's.
    world.run("db-connect", &["--", "-XAtc", "SELECT nonsense"]).ends_with(1);
    world.run("db-connect", &["--", "-Xv", "ON_ERROR_STOP=1", "-f", "none.sql"]).ends_with(1);
    assert_eq!(
        world.run("db-connect", &["--", "-Xv", "ON_ERROR_STOP=1", "-f", "-"]).status,
        Some(0)
    );
}

#[test]
fn in_prod_it_writes_only_when_told() {
    if !has_psql() {
        return;
    }
    let world = World::postgres();
    world.run_prod("db-setup", &["prod", "--steps", "create,schema-load,seed", "--yes"]).succeeds();
    let delete = ["--", "-XAtc", "DELETE FROM activities RETURNING 1"];
    let run = |arguments: &[&str]| world.run_prod("db-connect", arguments);
    run(&[&["prod"], &delete[..]].concat())
        .ends_with(1)
        .says("warning: transactions are read-only by a setting, which stops slips and not SQL that turns it off\nfor more than that set PROD_READ_CONNECTION_URL to a role that cannot write\nto write: --write\n")
        .says("cannot execute DELETE in a read-only transaction");
    assert_eq!(world.sql("SELECT count(*) > 0 FROM activities"), ["t"]);
    // The URL's own options stay.
    let mut command = world.prod_tool("db-connect", &["prod", "--", "-XAtc", "SHOW work_mem"]);
    let url = format!("{}&options=-c%20work_mem%3D5MB", world.prod_url());
    command.env("PROD_CONNECTION_URL", url);
    Run::of(command).succeeds().prints_only("5MB\n");
    run(&[&["prod", "--write"], &delete[..]].concat()).ends_with(1).says("consent with --yes");
    assert_eq!(world.sql("SELECT count(*) > 0 FROM activities"), ["t"]);
    run(&[&["prod", "--write", "--yes"], &delete[..]].concat()).succeeds();
    assert_eq!(world.sql("SELECT count(*) FROM activities"), ["0"]);
}

#[test]
fn the_password_is_in_no_argument_and_nothing_is_inherited() {
    let world = World::postgres();
    world.run("db-setup", &[]).succeeds();
    let mut command = world.tool("db-connect", &["--", "-c", "x"]);
    let user = format!("{}_user", world.database());
    world.admin_sql(&format!(
        "CREATE USER {user} PASSWORD 's3cret@'; GRANT USAGE ON SCHEMA cruddur_ops TO {user}; GRANT SELECT ON cruddur_ops.stamp TO {user}"
    ));
    let url = world.url_of(&user, "s3cret%40");
    command.env("CONNECTION_URL", &url).env("PROD_CONNECTION_URL", "postgresql://u:hunter2@h/d");
    command.env("PGHOSTADDR", "10.0.0.1").env("PGSERVICE", "other").env("PGPASSWORD", "hunter2");
    let run = Run::of(with_fake_psql(command, &world)).succeeds();
    let run = run
        .prints("argument -c\nargument x\nPGAPPNAME=cruddur-ops\n")
        .prints(&format!("\nPGDATABASE={}\n", world.database()))
        .prints("\nPGHOST=127.0.0.1\n")
        .prints("\nPGPASSWORD=s3cret@\n")
        .prints("\nPGSSLMODE=disable\n")
        .does_not_say("s3cret");
    for left in ["PGHOSTADDR", "PGSERVICE", "hunter2", "CONNECTION_URL"] {
        assert!(!run.stdout.contains(left), "{run}");
    }
    world.admin_sql(&format!("DROP OWNED BY {user}; DROP USER {user}"));
}

#[test]
fn in_prod_psql_verifies_as_the_tool_did() {
    let world = World::postgres();
    world.run_prod("db-setup", &["prod", "--steps", "create", "--yes"]).succeeds();
    let command = world.prod_tool("db-connect", &["prod"]);
    let run = Run::of(with_fake_psql(command, &world)).succeeds();
    run.prints("argument --set=PROMPT1=PROD %/%R%x%# \nargument --set=PROMPT2=PROD %/%R%x%# \nargument --no-psqlrc\n")
        .prints("\nPGOPTIONS=-c default_transaction_read_only=on\n")
        .prints("\nPGSSLMODE=verify-full\nPGSSLROOTCERT=/");
}

#[test]
fn without_psql_it_says_how_to_get_it() {
    let world = World::postgres();
    world.run("db-setup", &[]).succeeds();
    let mut command = world.tool("db-connect", &[]);
    command.env("PATH", world.folder());
    Run::of(command)
        .ends_with(1)
        .prints_only("")
        .says("error: there is no `psql` on the PATH\n  hint: Debian and Ubuntu: `apt-get install postgresql-client`");
}

#[test]
fn a_tunnel_to_production_is_refused() {
    let world = World::postgres();
    world.run("db-setup", &[]).succeeds();
    world.sql("UPDATE cruddur_ops.stamp SET environment = 'prod'");
    let command = world.tool("db-connect", &["--", "-c", "SELECT 1"]);
    Run::of(with_fake_psql(command, &world))
        .ends_with(1)
        .prints_only("")
        .says("is stamped `prod`, and the target is `local`");
}

/// What anybody on the machine can read of it.
#[cfg(target_os = "linux")]
#[test]
fn the_process_list_shows_no_password() {
    if !has_psql() {
        return;
    }
    let world = World::postgres();
    world.run("db-setup", &[]).succeeds();
    let mut command = world.tool("db-connect", &["--", "-Xc", "SELECT pg_sleep(600)"]);
    let mut child = command.stderr(std::process::Stdio::null()).spawn().expect("spawn");
    let mut words = String::new();
    cli_tests::wait_for("psql", || {
        let line = std::fs::read(format!("/proc/{}/cmdline", child.id())).unwrap_or_default();
        words = String::from_utf8_lossy(&line).replace('\0', " ");
        // Debian's is a script that becomes the real one.
        words.contains("psql") && !words.contains("db-connect")
    });
    assert!(words.ends_with(" -c SELECT pg_sleep(600) "), "{words}");
    assert!(!words.contains(cli_tests::PASSWORD) && !words.contains("://"), "{words}");
    child.kill().expect("kill");
    let _ = child.wait();
}

/// The stamp of the one database says nothing of another.
#[test]
fn psqls_arguments_lead_nowhere_else() {
    let world = World::postgres();
    world.run("db-setup", &[]).succeeds();
    for arguments in
        [&["-d", "postgres"][..], &["postgres"], &["--host=h"], &["-c", "SELECT 1", "postgres"]]
    {
        let command = world.tool("db-connect", &[&["--"], arguments].concat());
        Run::of(with_fake_psql(command, &world))
            .ends_with(2)
            .prints_only("")
            .says("says where to connect, and the target does that");
    }
}

/// A production that nobody stamped, behind a tunnel.
#[test]
fn a_database_without_a_stamp_is_read_only_in_local_too() {
    if !has_psql() {
        return;
    }
    let world = World::postgres();
    world.server_sql(&format!("CREATE DATABASE {}", world.database()));
    world.sql("CREATE TABLE precious (a int); INSERT INTO precious VALUES (1)");
    let delete = ["--", "-XAtc", "DELETE FROM precious RETURNING 1"];
    let run = |arguments: &[&str]| world.run("db-connect", &[arguments, &delete].concat());
    run(&[]).ends_with(1).says("has no stamp").says("read-only transaction");
    run(&["--write", "--yes"])
        .ends_with(1)
        .says(&format!("consent with --confirm {}", world.database()));
    assert_eq!(world.sql("SELECT count(*) FROM precious"), ["1"]);
    run(&["--write", "--confirm", world.database()]).succeeds().prints("1\n");
}

/// SQL that turns read-only off is refused as far as it is there to be looked at, and
/// start-up files are not read.
#[test]
fn read_only_is_not_turned_off_by_a_file() {
    if !has_psql() {
        return;
    }
    let world = World::postgres();
    world.run_prod("db-setup", &["prod", "--steps", "create,schema-load,seed", "--yes"]).succeeds();
    let turned_off = "SET default_transaction_read_only = off;\nDELETE FROM activities;\n";
    let dump = world.file("dump.sql", turned_off);
    let write = "BEGIN READ WRITE; DELETE FROM activities; COMMIT";
    world.file(".psqlrc", turned_off);
    for arguments in [&["-f", &*dump][..], &["-qAtf", &dump], &["--file", &dump], &["-c", write]] {
        world
            .run_prod("db-connect", &[&["prod", "--"], arguments].concat())
            .ends_with(1)
            .prints_only("")
            .says("which turns read-only off")
            .says("hint: if it is to write: --write, which asks");
    }
    let mut command = world.prod_tool("db-connect", &["prod"]);
    command.stdin(std::fs::File::open(&dump).expect("the file"));
    Run::of(command).ends_with(1).says("standard input has `transaction_read_only`");
    // A file that is read stays where psql begins.
    let mut command = world.prod_tool("db-connect", &["prod", "--", "-At"]);
    let fine = world.file("fine.sql", "SELECT 7;\n");
    command.stdin(std::fs::File::open(&fine).expect("the file"));
    Run::of(command).succeeds().prints_only("7\n");
    world.run_prod("db-connect", &["prod", "--", "-Atf", &fine]).succeeds().prints_only("7\n");
    assert_eq!(world.sql("SELECT count(*) > 0 FROM activities"), ["t"]);
}

#[test]
fn a_role_that_cannot_write_goes_first() {
    if !has_psql() {
        return;
    }
    let world = World::postgres();
    world.run_prod("db-setup", &["prod", "--steps", "create,schema-load,seed", "--yes"]).succeeds();
    let reader = format!("{}_reader", world.database());
    world.admin_sql(&format!(
        "CREATE ROLE {reader} LOGIN PASSWORD 's3cret-reader' IN ROLE pg_read_all_data"
    ));
    let writes = ["-c", "SET default_transaction_read_only = off", "-c", "DELETE FROM activities"];
    let connect = |arguments: &[&str]| {
        let mut command = world.prod_tool("db-connect", arguments);
        let url = world.prod_url();
        let (_, rest) = url.rsplit_once('@').expect("a user");
        let url = format!("postgresql://{reader}:s3cret-reader@{rest}");
        command.env("PROD_READ_CONNECTION_URL", url);
        Run::of(command).does_not_say("s3cret-reader")
    };
    connect(&["prod", "--", "-XAtc", "SELECT count(*) FROM users"])
        .succeeds()
        .prints_only("4\n")
        .says(&format!("postgres {reader}@"))
        .says("the role has no right to write; --write takes the one that has");
    connect(&[&["prod", "--", "-X"], &writes[..]].concat())
        .ends_with(1)
        .says("permission denied for table");
    // To write takes the other one.
    connect(&["prod", "--write", "--yes", "--", "-XAtc", "SELECT current_user"])
        .succeeds()
        .prints_only("postgres\n");
    // One that can write after all is refused, with what it can.
    world.admin_sql(&format!("GRANT UPDATE (message) ON activities TO {reader}"));
    connect(&["prod", "--", "-XAtc", "SELECT 1"])
        .ends_with(1)
        .prints_only("")
        .says("error: the role in PROD_READ_CONNECTION_URL can write, and is there for reading\n  cause: it may write to the table activities\n");
    world.admin_sql(&format!(
        "REVOKE UPDATE (message) ON activities FROM {reader}; ALTER ROLE {reader} CREATEDB"
    ));
    connect(&["prod"]).ends_with(1).says("cause: it may create databases");
    world.admin_sql(&format!("DROP OWNED BY {reader}; DROP ROLE {reader}"));
}
