//! `db-backup` and `db-restore`

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use cli_tests::{Run, Running, World, cannot_run, wait_for};
use nix::sys::signal::{Signal, kill};
use ops_common::postgres::programs::Programs;

use crate::terminal::{at_terminal, status};

/// A Postgres, and the programs of its version; where they are not it is said, and CI
/// fails.
pub(crate) fn world_with_pg_dump() -> Option<World> {
    let world = World::postgres();
    let version = world.server_sql("SHOW server_version_num");
    let major = version[0].parse::<u32>().expect("a number") / 10_000;
    match Programs::for_server(&["pg_dump", "pg_restore", "psql"], major) {
        Ok(_) => Some(world),
        Err(error) => {
            cannot_run(&format!("db-backup: {}", error.message()));
            None
        }
    }
}

/// One that is set up.
fn ready() -> Option<World> {
    let world = world_with_pg_dump()?;
    world.run("db-setup", &[]).succeeds();
    Some(world)
}

/// All that people could miss.
fn content(world: &World) -> Vec<String> {
    world.sql(
        "SELECT environment || coalesce(schema_sha256, '') FROM cruddur_ops.stamp
         UNION ALL SELECT users::text FROM users
         UNION ALL SELECT activities::text FROM activities ORDER BY 1",
    )
}

/// The same of many rows, in one word.
fn digest(world: &World) -> String {
    world.sql("SELECT md5(string_agg(u::text, '' ORDER BY uuid)) || (SELECT count(*) FROM activities) FROM users u").concat()
}

fn backup(world: &World, name: &str) -> String {
    let file = world.folder().join(name).display().to_string();
    world.run("db-backup", &["--out", &file]).succeeds();
    file
}

/// What is in a folder, hidden files too.
fn files(world: &World) -> Vec<String> {
    let entries = fs::read_dir(world.folder()).expect("a folder").flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_backup_brings_back_what_was_there() {
    let Some(world) = ready() else { return };
    world.sql(
        "CREATE TABLE \"odd name; x\" (a text, b bytea);
         INSERT INTO \"odd name; x\" VALUES (E'tab\\there\\nCOPY public.users (a) FROM stdin;\\n\\\\.', '\\x00ff'), (NULL, NULL);
         SELECT lo_from_bytea(4711, 'a large object')",
    );
    let odd = "SELECT md5(string_agg(x::text, '|')) FROM \"odd name; x\" x";
    let before = (content(&world), world.sql(odd));
    let run = world.run("db-backup", &["--output", "json"]).succeeds();
    let report = run.json();
    let file = report["file"].as_str().expect("a file").to_owned();
    let start = format!("{}-local-20", world.database());
    assert!(file.starts_with(&start) && file.ends_with("Z.dump"), "{run}");
    assert_eq!(report["target"], "local");
    assert_eq!(
        report["tables"],
        serde_json::json!([
            {"table": "public.activities", "rows": 1},
            {"table": "public.\"odd name; x\"", "rows": 2},
            {"table": "public.users", "rows": 4},
        ])
    );
    let metadata = fs::metadata(world.folder().join(&file)).expect("the backup");
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    assert_eq!(report["bytes"], metadata.len());
    assert_eq!(files(&world), [file.as_str()]);

    world.sql(
        "UPDATE users SET handle = 'other' WHERE handle = 'bayko'; DELETE FROM activities;
         DROP TABLE \"odd name; x\"; SELECT lo_unlink(4711);
         CREATE TABLE notes (a int); INSERT INTO notes VALUES (1)",
    );
    let words = format!("restored `{}` from `{file}`: 3 tables, 7 rows\n", world.database());
    world
        .run("db-restore", &[&file])
        .succeeds()
        .prints_only(&words)
        .says("target: local  postgres ");
    assert_eq!((content(&world), world.sql(odd)), before);
    assert_eq!(world.sql("SELECT convert_from(lo_get(4711), 'UTF8')"), ["a large object"]);
    assert_eq!(world.sql("SELECT count(*) FROM notes"), ["1"]);
    // The schema's hash came along.
    world
        .run("db-setup", &["--steps", "schema-load"])
        .succeeds()
        .prints("already there, same schema; nothing is changed");

    // Into a new database, too.
    world.run("db-setup", &["--steps", "drop,create"]).succeeds();
    let report = world.run("db-restore", &[&file, "local", "--output", "json"]).succeeds().json();
    assert_eq!((content(&world), world.sql(odd)), before);
    assert_eq!(report["replaced"], serde_json::json!([]));
    assert_eq!(report["restored"], true);
    assert_eq!(report["environment"], "local");
}

#[test]
fn a_dry_run_says_what_would_be_replaced_and_changes_nothing() {
    let Some(world) = ready() else { return };
    let file = backup(&world, "a.dump");
    world.sql("CREATE TABLE notes (a int); DELETE FROM activities");
    let before = content(&world);
    world
        .run("db-restore", &[&file, "--dry-run"])
        .succeeds()
        .prints(": 2 tables, 5 rows.\nIt replaces 2 tables with all that is in them: `public.activities`, `public.users`. Only an earlier backup brings that back: `db-backup`.\nIts views, functions, sequences and large objects replace those of the same name.\nNot in the backup, and left as they are: `public.notes`.\n")
        .says("nothing is changed (--dry-run)\n");
    let report = world.run("db-restore", &[&file, "--dry-run", "--output", "json"]).json();
    assert_eq!(report["restored"], false);
    assert_eq!(report["replaced"], serde_json::json!(["public.activities", "public.users"]));
    assert_eq!(report["kept"], serde_json::json!(["public.notes"]));
    assert_eq!(content(&world), before);
}

#[test]
fn a_backup_is_not_written_over_another() {
    let Some(world) = ready() else { return };
    let file = world.file("there.dump", "mine");
    world
        .run("db-backup", &["--out", &file])
        .ends_with(1)
        .prints_only("")
        .says(&format!("error: `{file}` already exists\n"));
    assert_eq!(fs::read_to_string(&file).expect("it stays"), "mine");
    // A folder is one to write into.
    let folder = world.folder().join("backups");
    fs::create_dir(&folder).expect("a folder");
    world.run("db-backup", &["--out", "backups"]).succeeds().prints("to `backups/");
    assert_eq!(fs::read_dir(&folder).expect("a folder").count(), 1);
    world
        .run("db-backup", &["--out", "none/x.dump"])
        .ends_with(1)
        .says("error: cannot write `none/x.dump`\n");
    world
        .run("db-backup", &["--out", "none/"])
        .ends_with(1)
        .says("hint: make it: `mkdir -p none/`");
    world.run("db-backup", &["--out", "-"]).ends_with(2).says("a backup goes to a file");
}

#[test]
fn what_is_no_whole_backup_changes_nothing() {
    let Some(world) = ready() else { return };
    world.sql("INSERT INTO users SELECT gen_random_uuid(), md5(i::text), i::text, 'e', 'MOCK' FROM generate_series(1, 20000) i");
    let file = backup(&world, "a.dump");
    let before = content(&world);
    let whole = fs::read(&file).expect("the backup");
    for length in [0, 4, 100, whole.len() / 2, whole.len() - 40] {
        let cut = world.file("cut.dump", &whole[..length]);
        world.run("db-restore", &[&cut]).ends_with(1).prints_only("").says("cut.dump`");
        assert_eq!(content(&world), before, "{length}");
    }
    // The table of contents is whole, the data is not.
    let mut wrong = whole.clone();
    let middle = whole.len() / 2;
    wrong[middle..middle + 64].fill(0x55);
    let wrong = world.file("wrong.dump", wrong);
    world
        .run("db-restore", &[&wrong])
        .ends_with(1)
        .says("error: cannot read all of the backup `")
        .says("hint: it is damaged or cut off");
    let text = world.file("text.sql", "SELECT 1;\n");
    world
        .run("db-restore", &[&text])
        .ends_with(1)
        .says("is no backup that pg_restore can read")
        .says("`db-connect --write -- -f FILE`");
    world.run("db-restore", &["none.dump"]).ends_with(1).says("error: cannot read `none.dump`\n");
    world.run("db-restore", &["."]).ends_with(1).says("`.` is not a regular file");
    world.run("db-restore", &[]).ends_with(2).says("error: no backup is named\n");
    world.run("db-restore", &["local"]).ends_with(2).says("error: no backup is named\n");
    world.run("db-restore", &["prd", &file]).ends_with(2).says("`prd` is not a target");
    assert_eq!(content(&world), before);
}

#[test]
fn where_a_statement_fails_nothing_is_changed() {
    let Some(world) = ready() else { return };
    world.sql("SELECT lo_from_bytea(4711, 'a large object')");
    let file = backup(&world, "a.dump");
    world.sql(
        "UPDATE users SET display_name = 'New'; CREATE VIEW names AS SELECT handle FROM users",
    );
    let before = content(&world);
    world
        .run("db-restore", &[&file])
        .ends_with(1)
        .prints_only("")
        .says(&format!(
            "error: cannot restore the database `{}`; nothing is changed\n",
            world.database()
        ))
        .says("cause: cannot drop table public.users because other objects depend on it\n")
        .says("hint: what is in the way is not in the backup");
    assert_eq!(content(&world), before);

    // At the end: what stands behind a large object, which pg_restore alone would have
    // committed.
    world.run("db-setup", &["--steps", "drop,create"]).succeeds();
    world.sql("CREATE SEQUENCE users_cognito_user_id");
    world
        .run("db-restore", &[&file])
        .ends_with(1)
        .says("relation \"users_cognito_user_id\" already exists");
    assert_eq!(world.sql("SELECT count(*) FROM pg_largeobject_metadata"), ["0"]);
    assert_eq!(world.sql("SELECT to_regclass('users') IS NULL"), ["t"]);
    assert_eq!(world.sql("SELECT schema_sha256 IS NULL FROM cruddur_ops.stamp"), ["t"]);
}

#[test]
fn who_holds_a_lock_is_waited_for_and_named() {
    let Some(world) = ready() else { return };
    let file = backup(&world, "a.dump");
    let session = world.session();
    session.sql("BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE");
    for (tool, arguments, error) in [
        ("db-backup", vec!["--out", "b.dump"], "error: cannot back up the database `"),
        ("db-restore", vec![file.as_str()], "error: cannot restore the database `"),
    ] {
        let mut command = world.tool(tool, &arguments);
        command.env("OPS_TIMEOUT_SECS", "1");
        Run::of(command)
            .ends_with(1)
            .prints_only("")
            .says(error)
            .says("canceling statement due to ")
            .says("hint: `db-sessions --long` shows who");
    }
    assert_eq!(files(&world), ["a.dump"]);
    session.sql("ROLLBACK");
    world.run("db-restore", &[&file]).succeeds();
}

/// Whoever ends a run, and when: the database is what it was, and no file has the
/// backup's name.
#[test]
fn a_run_that_is_ended_leaves_nothing_halfway() {
    let Some(world) = ready() else { return };
    world.sql("INSERT INTO users SELECT gen_random_uuid(), repeat(md5(i::text), 10), i::text, 'e', 'MOCK' FROM generate_series(1, 20000) i");
    let file = backup(&world, "a.dump");
    world.sql("DELETE FROM activities; DELETE FROM users WHERE handle > '5'");
    let before = digest(&world);
    let session = world.session();
    let others = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND application_name = 'cruddur-ops' AND wait_event_type = 'Lock'",
        world.database()
    );
    let waits = |tool: &str, arguments: &[&str], lock: &str| {
        session.sql(&format!("BEGIN; {lock}"));
        let running = Running::start(world.tool(tool, arguments));
        wait_for("the lock", || world.server_sql(&others) == ["1"]);
        running
    };
    let gone = || {
        session.sql("ROLLBACK");
        let there = others.replace(" AND wait_event_type = 'Lock'", "");
        wait_for("its end", || world.server_sql(&there) == ["0"]);
    };
    for lock in ["LOCK TABLE users", "LOCK TABLE activities"] {
        for signal in [Signal::SIGINT, Signal::SIGKILL, Signal::SIGTERM] {
            let running = waits("db-restore", &[&file], lock);
            kill(running.pid(), signal).expect("it runs");
            let run = running.end();
            assert_ne!(run.status, Some(0), "{run}");
            gone();
            assert_eq!(digest(&world), before, "{lock} {signal}");
        }
    }
    // Anywhere: at each chunk that comes from pg_restore.
    for bytes in [1, 10_000, 1_000_000, 1_000_000_000] {
        let program = world.file(
            "pg_restore",
            format!("#!/bin/sh\ncase \"$*\" in *use-list*) \"$REAL\" \"$@\" | head -c {bytes}; exit 1;; esac\nexec \"$REAL\" \"$@\"\n"),
        );
        let run = Run::of(with_own(&world, "db-restore", &[&file], &program));
        assert_eq!(run.status, Some(1), "{bytes}\n{run}");
        run.says("; nothing is changed\n");
        assert_eq!(digest(&world), before, "{bytes}");
    }
    for program in ["pg_dump", "pg_restore", "psql"] {
        fs::remove_file(world.folder().join(program)).expect("it is there");
    }
    let running = waits("db-backup", &["--out", "b.dump"], "LOCK TABLE users");
    running.interrupt().ends_with(130).prints_only("");
    gone();
    assert_eq!(files(&world), ["a.dump"]);
    world.run("db-restore", &[&file]).succeeds();
    assert_eq!(world.sql("SELECT count(*) FROM users"), ["20004"]);
}

/// Where the programs of the server's version are.
fn programs(world: &World) -> PathBuf {
    let version = world.server_sql("SHOW server_version_num");
    let major = version[0].parse::<u32>().expect("a number") / 10_000;
    let folder = ops_common::postgres::programs::folders().into_iter().find(|folder| {
        let path = folder.join("pg_dump");
        let output = Command::new(&path).arg("--version").output();
        let is_itself = fs::canonicalize(&path).is_ok_and(|path| path.ends_with("pg_dump"));
        let said = output
            .map_or(String::new(), |output| String::from_utf8_lossy(&output.stdout).into_owned());
        is_itself && said.contains(&format!(") {major}"))
    });
    folder.expect("the programs of the server's version")
}

/// A call that finds this program before the real one, whose path it has in REAL, and the
/// others of its version beside it.
fn with_own(world: &World, tool: &str, arguments: &[&str], program: &str) -> Command {
    let folder = programs(world);
    let name = program.rsplit('/').next().expect("a name");
    fs::set_permissions(program, PermissionsExt::from_mode(0o755)).expect("executable");
    for other in ["pg_dump", "pg_restore", "psql"].into_iter().filter(|other| *other != name) {
        let link = world.folder().join(other);
        let _ = fs::remove_file(&link);
        // A link would be taken for Debian's script, which has another name behind it.
        let script = format!("#!/bin/sh\nexec {} \"$@\"\n", folder.join(other).display());
        fs::write(&link, script).expect("write");
        fs::set_permissions(&link, PermissionsExt::from_mode(0o755)).expect("executable");
    }
    let mut command = world.tool(tool, arguments);
    command.env("REAL", folder.join(name));
    command.env("PATH", format!("{}:/usr/bin:/bin", world.folder().display()));
    command
}

#[test]
fn the_password_is_in_no_argument_and_nothing_is_inherited() {
    let Some(world) = ready() else { return };
    world.sql("UPDATE cruddur_ops.stamp SET environment = 'prod'");
    let script = "#!/bin/sh\n[ \"$1\" = --version ] && exec \"$REAL\" \"$@\"\n\
                  { printf 'argument %s\\n' \"$@\"; env | grep -E '^PG|CONNECTION_URL' | sort; } > seen\nexit 1\n";
    let program = world.file("pg_dump", script);
    let mut command = with_own(&world, "db-backup", &["prod", "-v"], &program);
    command.env("PROD_CONNECTION_URL", world.prod_url()).env("PGSERVICE", "other");
    Run::of(command)
        .ends_with(1)
        .says("`pg_dump` ended with exit status: 1 and said nothing")
        .says("/pg_dump --format=custom --no-password");
    let seen = fs::read_to_string(world.folder().join("seen")).expect("it was called");
    let (arguments, environment) = seen.split_once("PGAPPNAME").expect("an environment");
    assert!(!arguments.contains(cli_tests::PASSWORD), "{seen}");
    assert!(environment.contains(&format!("PGPASSWORD={}\n", cli_tests::PASSWORD)), "{seen}");
    assert!(environment.contains("PGSSLMODE=verify-full\n"), "{seen}");
    assert!(!seen.contains("PGSERVICE") && !seen.contains("CONNECTION_URL"), "{seen}");
}

#[test]
fn in_prod_it_reads_without_a_question_and_restores_after_the_name() {
    let Some(world) = world_with_pg_dump() else { return };
    world.run_prod("db-setup", &["prod", "--steps", "create,schema-load,seed", "--yes"]).succeeds();
    let run = world.run_prod("db-backup", &["prod", "--out", "p.dump"]).succeeds();
    run.says("to restore it: `db-restore prod p.dump`\n").does_not_say("warning");
    world.sql("DELETE FROM activities");
    let before = content(&world);
    let restore =
        |flags: &[&str]| world.run_prod("db-restore", &[&["prod", "p.dump"], flags].concat());
    restore(&[]).ends_with(1).says("consent with --yes, or with --confirm ");
    restore(&["--yes"])
        .ends_with(1)
        .says("--yes is not enough to destroy something")
        .says("It replaces 2 tables with all that is in them");
    restore(&["--confirm", "other"]).ends_with(1).says("--confirm names `other`");
    assert_eq!(content(&world), before);
    let mut session = at_terminal(world.prod_tool("db-restore", &["prod", "p.dump"]));
    session.exp_string("Type the name of the database to continue:").expect("the question");
    session.send_line("no").expect("answer");
    assert_eq!(status(session), 4);
    assert_eq!(content(&world), before);
    restore(&["--confirm", world.database()]).succeeds();
    assert_eq!(world.sql("SELECT count(*) FROM activities"), ["1"]);
    // An empty one loses nothing.
    world
        .run_prod("db-setup", &["prod", "--steps", "drop,create", "--confirm", world.database()])
        .succeeds();
    restore(&["--yes"]).succeeds();
    assert_eq!(world.sql("SELECT count(*) FROM users"), ["4"]);
    assert_eq!(world.sql("SELECT environment FROM cruddur_ops.stamp"), ["prod"]);
}

#[test]
fn what_changed_while_the_question_waited_is_not_replaced() {
    let Some(world) = world_with_pg_dump() else { return };
    world.run_prod("db-setup", &["prod", "--steps", "create,schema-load,seed", "--yes"]).succeeds();
    world.run_prod("db-backup", &["prod", "--out", "p.dump"]).succeeds();
    let mut session = at_terminal(world.prod_tool("db-restore", &["prod", "p.dump"]));
    session.exp_string("Type the name of the database to continue:").expect("the question");
    world.sql("CREATE TABLE just_now (a int); DELETE FROM activities");
    session.send_line(world.database()).expect("answer");
    session
        .exp_string("the tables of the database changed since it was looked at")
        .expect("a word");
    assert_eq!(status(session), 1);
    assert_eq!(world.sql("SELECT count(*) FROM activities"), ["0"]);
}

#[test]
fn a_backup_of_another_environment() {
    let Some(world) = ready() else { return };
    let local = backup(&world, "local.dump");
    world.run("db-setup", &["--steps", "drop"]).succeeds();
    world.run_prod("db-setup", &["prod", "--steps", "create,schema-load,seed", "--yes"]).succeeds();
    world
        .run_prod("db-restore", &["prod", &local, "--confirm", world.database()])
        .ends_with(1)
        .prints_only("")
        .says(
            "is a backup of a database stamped `local`, and the target is `prod`; nothing is done",
        );
    // Owned and read by roles that a developer's machine does not have.
    let role = format!("{}_owner", world.database());
    world.admin_sql(&format!(
        "CREATE ROLE {role}; GRANT {role} TO postgres; GRANT CREATE ON SCHEMA public TO {role}; ALTER TABLE activities OWNER TO {role}; GRANT SELECT ON users TO {role}"
    ));
    world.run_prod("db-backup", &["prod", "--out", "prod.dump"]).succeeds();
    let owner = "SELECT tableowner FROM pg_tables WHERE tablename = 'activities'";
    world.run_prod("db-restore", &["prod", "prod.dump", "--confirm", world.database()]).succeeds();
    assert_eq!(world.sql(owner), [role.as_str()]);
    world.run("db-backup", &[]).ends_with(1).says("is stamped `prod`, and the target is `local`");
    world.run("db-restore", &["prod.dump"]).ends_with(1).says("is stamped `prod`");

    let confirm = ["prod", "--steps", "drop", "--confirm", world.database()];
    world.run_prod("db-setup", &confirm).succeeds();
    world.admin_sql_of_server(&format!("DROP ROLE {role}"));
    world.run_prod("db-setup", &["prod", "--steps", "create", "--yes"]).succeeds();
    world
        .run_prod("db-restore", &["prod", "prod.dump", "--yes"])
        .ends_with(1)
        .says(&format!("cause: role \"{role}\" does not exist\n"))
        .says("hint: roles are the server's and in no backup");
    world.run_prod("db-setup", &confirm).succeeds();
    world.run("db-setup", &["--steps", "create"]).succeeds();
    world
        .run("db-restore", &["prod.dump", "--dry-run"])
        .succeeds()
        .prints("Its owners and privileges are left out: their roles are production's.\n");
    world.run("db-restore", &["prod.dump"]).succeeds();
    assert_eq!(world.sql(owner), ["postgres"]);
    assert_eq!(world.sql("SELECT environment FROM cruddur_ops.stamp"), ["local"]);
}

#[test]
fn a_local_database_without_a_stamp_asks_for_its_name() {
    let Some(world) = ready() else { return };
    world.sql("DROP SCHEMA cruddur_ops CASCADE");
    let file = backup(&world, "a.dump");
    world.sql("DELETE FROM activities");
    world
        .run("db-restore", &[&file])
        .ends_with(1)
        .says(&format!("hint: consent with --confirm {}\n", world.database()));
    assert_eq!(world.sql("SELECT count(*) FROM activities"), ["0"]);
    world.run("db-restore", &[&file, "--confirm", world.database()]).succeeds();
    assert_eq!(world.sql("SELECT count(*) FROM activities"), ["1"]);
    world.run("db-setup", &["--steps", "drop"]).succeeds();
    world.run("db-restore", &[&file]).ends_with(1).says("hint: create it with `db-setup`");
}

/// What others make with pg_dump.
#[test]
fn archives_of_other_hands() {
    let Some(world) = ready() else { return };
    let dump = |name: &str, options: &[&str]| {
        let file = world.folder().join(name).display().to_string();
        let mut command = Command::new(programs(&world).join("pg_dump"));
        command.args(["--format=custom", "--file", &file]).args(options).arg(world.local_url());
        Run::of(command).succeeds();
        file
    };
    let all_quoted = dump("quoted.dump", &["--quote-all-identifiers"]);
    let schema = dump("schema.dump", &["--schema-only"]);
    let rows = dump("rows.dump", &["--data-only"]);
    let tar = dump("tar.dump", &["--format=tar"]);
    let before = content(&world);
    let replaces =
        "It replaces 2 tables with all that is in them: `public.activities`, `public.users`.";
    for (file, words) in [(&all_quoted, ": 2 tables, 5 rows."), (&tar, ": 2 tables, 5 rows.")] {
        world.run("db-restore", &[file, "--dry-run"]).succeeds().prints(words).prints(replaces);
    }
    let inserts = dump("inserts.dump", &["--inserts"]);
    for file in [&schema, &inserts] {
        world.run("db-restore", &[file]).ends_with(1).says("its stamp has no row that can be read");
    }
    world.sql("DELETE FROM activities");
    world.run("db-restore", &[&all_quoted]).succeeds();
    assert_eq!(content(&world), before);
    world
        .run("db-restore", &[&rows])
        .ends_with(1)
        .prints_only("")
        .says("and not the table: it is no whole backup");
    assert_eq!(content(&world), before);
}

/// psql obeys what stands behind the end of a quote.
#[test]
fn a_name_runs_nothing() {
    let Some(world) = ready() else { return };
    let file = backup(&world, "a.dump");
    for name in ["$ops$ \\! touch pwned;#", "$ops0$ \\! touch pwned;#", "' \\! touch pwned"] {
        world.sql(&format!("CREATE TABLE \"{name}\" (a int)"));
    }
    world.run("db-restore", &[&file]).succeeds();
    let again = backup(&world, "b.dump");
    world.run("db-restore", &[&again]).succeeds();
    assert_eq!(files(&world), ["a.dump", "b.dump"]);
}

/// pg_restore's own settings let it wait without end.
#[test]
fn a_view_that_somebody_reads_is_not_waited_for_without_end() {
    let Some(world) = ready() else { return };
    world.sql("CREATE MATERIALIZED VIEW names AS SELECT 'a' AS name");
    let file = backup(&world, "a.dump");
    let session = world.session();
    session.sql("BEGIN; SELECT * FROM names");
    let mut command = world.tool("db-restore", &[&file]);
    command.env("OPS_TIMEOUT_SECS", "1");
    Run::of(command)
        .ends_with(1)
        .says("nothing is changed")
        .says("canceling statement due to lock timeout");
}

#[test]
fn a_backup_of_nobody_takes_the_name_in_production() {
    let Some(world) = ready() else { return };
    world.sql("ALTER TABLE cruddur_ops.stamp RENAME TO other");
    let file = backup(&world, "a.dump");
    // Without a stamp nobody knows whose it is.
    world.sql("ALTER TABLE cruddur_ops.other RENAME TO stamp; UPDATE cruddur_ops.stamp SET environment = 'prod'");
    world
        .run_prod("db-restore", &["prod", &file, "--yes"])
        .ends_with(1)
        .says("The backup does not say which environment it is of.")
        .says("consent with --confirm");
}
