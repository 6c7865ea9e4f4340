//! `db-setup`

use cli_tests::{JESS, Run, World, wait_for};
use serde_json::json;

fn tables(world: &World) -> Vec<String> {
    world.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
}

fn exists(world: &World) -> bool {
    !world
        .server_sql(&format!("SELECT 1 FROM pg_database WHERE datname = '{}'", world.database()))
        .is_empty()
}

/// A database that somebody else made.
fn foreign(world: &World) {
    world.server_sql(&format!("CREATE DATABASE {}", world.database()));
    world.sql("CREATE TABLE precious (a int)");
}

fn stamp_prod(world: &World) {
    world.run("db-setup", &[]).succeeds();
    world.sql("UPDATE cruddur_ops.stamp SET environment = 'prod'");
}

#[test]
fn all_steps() {
    let world = World::postgres();
    let run = world.run("db-setup", &[]).succeeds();
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(lines.len(), 5, "{run}");
    for (line, (step, did)) in lines.iter().zip([
        ("drop", format!("`{}` is not there; nothing to drop", world.database())),
        ("create", format!("created `{}`, stamped `local`", world.database())),
        ("schema-load", "2 tables created".to_owned()),
        ("seed", "5 rows written".to_owned()),
        ("cognito-ids", "(--user-pool-id or AWS_COGNITO_USER_POOL_ID)".to_owned()),
    ]) {
        assert!(line.starts_with(step) && line.ends_with(&did) && line.contains(" s  "), "{run}");
    }
    assert_eq!(tables(&world), ["activities", "users"]);
    assert_eq!(
        world.sql("SELECT uuid FROM users WHERE handle = 'jess-bk' AND cognito_user_id = 'MOCK'"),
        [JESS]
    );
    assert_eq!(world.sql("SELECT environment FROM cruddur_ops.stamp"), ["local"]);
}

#[test]
fn again_recreates_and_closes_sessions() {
    let world = World::postgres();
    world.run("db-setup", &[]).succeeds();
    world.sql("INSERT INTO users (display_name, handle, email, cognito_user_id) VALUES ('a', 'b', 'c', 'd')");
    let _session = world.session();
    let sessions =
        format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{}'", world.database());
    wait_for("the session", || world.server_sql(&sessions) == ["1"]);
    world
        .run("db-setup", &[])
        .succeeds()
        .prints(&format!("dropped `{}`, 1 session closed", world.database()));
    assert_eq!(world.sql("SELECT count(*) FROM users"), ["4"]);
}

#[test]
fn json() {
    let world = World::postgres();
    let report = world.run("db-setup", &["--output", "json"]).succeeds().json();
    assert_eq!(report["target"], "local");
    assert_eq!(report["database"], world.database());
    let steps = report["steps"].as_array().expect("steps");
    assert_eq!(steps.len(), 5);
    assert_eq!(steps[2]["step"], "schema-load");
    assert_eq!(steps[2]["tables_created"], 2);
    assert_eq!(steps[3]["rows_written"], 5);
    assert_eq!(steps[3]["changed"], true);
    assert!(steps[3]["seconds"].is_number());
}

#[test]
fn loading_and_seeding_again_changes_nothing() {
    let world = World::postgres();
    world.run("db-setup", &[]).succeeds();
    world
        .run("db-setup", &["--steps", "create,schema-load,seed"])
        .succeeds()
        .prints("already exists")
        .prints("already there, same schema; nothing is changed")
        .prints("all rows of the compiled-in seed already exist; nothing is changed");
}

#[test]
fn steps_run_in_their_order_however_they_are_named() {
    let world = World::postgres();
    let run = world.run("db-setup", &["--steps", "seed,create,schema-load,create"]).succeeds();
    let steps: Vec<&str> = run.stdout.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(steps, ["create", "schema-load", "seed"]);
    world.run("db-setup", &["--steps", "sed"]).ends_with(2).says("a similar value exists: 'seed'");
    world.run("db-setup", &["--steps", "seed,"]).ends_with(2);
}

#[test]
fn steps_on_a_database_that_is_not_there() {
    let world = World::postgres();
    world
        .run("db-setup", &["--steps", "schema-load,seed"])
        .ends_with(1)
        .says(&format!("error: there is no database `{}`", world.database()))
        .says("--steps create,schema-load,seed");
    world.run("db-setup", &["--steps", "drop"]).succeeds().prints("nothing to drop");
}

/// A user whose name starts like the database, special characters everywhere.
#[test]
fn the_parsed_url_is_changed_never_its_text() {
    let world = World::postgres();
    let name = format!("{}-Ü \"x\"", world.database());
    let encoded = format!("{}-%C3%9C%20%22x%22", world.database());
    let mut command = world.tool("db-setup", &[]);
    command.env(
        "CONNECTION_URL",
        world.local_url().replace(&format!("/{}", world.database()), &format!("/{encoded}")),
    );
    Run::of(command).succeeds().prints(&format!("created `{name}`"));
    let mut command = world.tool("db-setup", &["--steps", "drop"]);
    command.env(
        "CONNECTION_URL",
        world.local_url().replace(&format!("/{}", world.database()), &format!("/{encoded}")),
    );
    Run::of(command).succeeds().prints(&format!("dropped `{name}`"));
}

#[test]
fn the_servers_own_databases_are_left_alone() {
    let world = World::postgres();
    for name in ["postgres", "template1"] {
        let mut command = world.tool("db-setup", &[]);
        command.env(
            "CONNECTION_URL",
            world.local_url().replace(&format!("/{}", world.database()), &format!("/{name}")),
        );
        Run::of(command)
            .ends_with(1)
            .says(&format!("error: `{name}` is a database of the server's own"));
    }
}

// The stamp: absent, empty, local, prod, unstamped, unreadable.

#[test]
fn an_empty_database_may_be_loaded() {
    let world = World::postgres();
    world.server_sql(&format!("CREATE DATABASE {}", world.database()));
    world.run("db-setup", &["--steps", "schema-load,seed"]).succeeds().prints("2 tables created");
    assert_eq!(world.sql("SELECT environment FROM cruddur_ops.stamp"), ["local"]);
}

#[test]
fn an_empty_database_may_be_dropped() {
    let world = World::postgres();
    world.server_sql(&format!("CREATE DATABASE {}", world.database()));
    world.run("db-setup", &["--steps", "drop"]).succeeds().prints("dropped");
    assert!(!exists(&world));
}

#[test]
fn local_refuses_a_database_that_is_stamped_prod() {
    let world = World::postgres();
    stamp_prod(&world);
    world.sql("CREATE TABLE precious (a int)");
    for arguments in [
        vec![],
        vec!["--steps", "drop"],
        vec!["--steps", "schema-load"],
        vec!["--steps", "seed"],
        vec!["--steps", "drop", "--confirm", world.database()],
        vec!["--steps", "drop", "--yes"],
    ] {
        world
            .run("db-setup", &arguments)
            .ends_with(1)
            .prints_only("")
            .says("is stamped `prod`, and the target is `local`; nothing is done to it")
            .says("a tunnel");
    }
    assert_eq!(tables(&world), ["activities", "precious", "users"]);
    world.run("db-setup", &["--steps", "create"]).succeeds().prints("already exists");
}

#[test]
fn local_takes_the_name_for_a_database_that_it_did_not_make() {
    let world = World::postgres();
    foreign(&world);
    for arguments in [
        vec![],
        vec!["--steps", "drop"],
        vec!["--steps", "schema-load"],
        vec!["--steps", "seed", "--yes"],
    ] {
        world
            .run("db-setup", &arguments)
            .ends_with(1)
            .prints_only("")
            .says("there is no terminal to ask at")
            .says(": 1 table and no stamp (`db-setup` did not make it).")
            .says(&format!("consent with --confirm {}", world.database()));
    }
    world.run("db-setup", &["--confirm", "other"]).ends_with(1).says("--confirm names `other`");
    assert_eq!(tables(&world), ["precious"]);
    world
        .run("db-setup", &["--steps", "schema-load", "--confirm", world.database()])
        .succeeds()
        .prints("2 tables created");
    assert_eq!(tables(&world), ["activities", "precious", "users"]);
    world.run("db-setup", &[]).succeeds();
    assert_eq!(tables(&world), ["activities", "users"]);
}

#[test]
fn a_stamp_that_cannot_be_read_refuses() {
    for breakage in [
        "DELETE FROM cruddur_ops.stamp",
        "ALTER TABLE cruddur_ops.stamp RENAME COLUMN environment TO env",
        "ALTER TABLE cruddur_ops.stamp ALTER COLUMN environment TYPE bytea USING environment::bytea",
    ] {
        let world = World::postgres();
        world.run("db-setup", &[]).succeeds();
        world.sql(breakage);
        world.run("db-setup", &[]).ends_with(1).prints_only("").says(&format!(
            "error: cannot tell which environment the database `{}` belongs to",
            world.database()
        ));
        assert_eq!(tables(&world), ["activities", "users"]);
    }
}

#[test]
fn prod_refuses_a_database_that_is_stamped_local() {
    let world = World::postgres();
    world.run("db-setup", &[]).succeeds();
    world
        .run_prod("db-setup", &["prod", "--steps", "drop", "--confirm", world.database()])
        .ends_with(1)
        .says("is stamped `local`, and the target is `prod`");
    assert!(exists(&world));
}

// prod

#[test]
fn prod_runs_only_what_is_named() {
    let world = World::postgres();
    world
        .run_prod("db-setup", &["prod"])
        .ends_with(2)
        .prints_only("")
        .says("error: `prod` runs only the steps that are named, and none is");
    world.run_prod("db-setup", &["prod", "--yes", "--confirm", world.database()]).ends_with(2);
    assert!(!exists(&world));
}

#[test]
fn prod_asks_before_it_creates_and_takes_the_name_before_it_drops() {
    let world = World::postgres();
    let setup = |arguments: &[&str]| {
        let mut all = vec!["prod", "--steps"];
        all.extend(arguments);
        world.run_prod("db-setup", &all)
    };
    setup(&["create"]).ends_with(1).says("consent with --yes");
    assert!(!exists(&world));
    setup(&["create", "--yes"])
        .succeeds()
        .says("target: PROD  postgres postgres@127.0.0.1:")
        .says("server: PostgreSQL ")
        .says("  database: there is none now\n")
        .prints("stamped `prod`");
    setup(&["schema-load,seed"]).ends_with(1).says("consent with --yes");
    assert_eq!(tables(&world), Vec::<String>::new());
    setup(&["schema-load,seed", "--yes"])
        .succeeds()
        .prints("2 tables created")
        .prints("5 rows written");
    setup(&["drop", "--yes"]).ends_with(1).says("consent with --confirm");
    setup(&["drop", "--confirm", "production"]).ends_with(1).says("--confirm names `production`");
    assert_eq!(tables(&world), ["activities", "users"]);
    setup(&["drop", "--confirm", world.database()])
        .succeeds()
        .says("  database: stamped `prod`\n")
        .prints("dropped");
    assert!(!exists(&world));
}

#[test]
fn prod_is_migrated_elsewhere() {
    let world = World::postgres();
    world.run_prod("db-setup", &["prod", "--steps", "create,schema-load", "--yes"]).succeeds();
    let other = world.file("other.sql", "CREATE TABLE other (a int);");
    world
        .run_prod("db-setup", &["prod", "--steps", "schema-load", "--schema", &other, "--yes"])
        .ends_with(1)
        .says("has another schema loaded; nothing is changed")
        .says("production is migrated elsewhere");
    let world = World::postgres();
    foreign(&world);
    world
        .run_prod("db-setup", &["prod", "--steps", "schema-load", "--yes"])
        .ends_with(1)
        .says("has 1 table that `db-setup` did not make")
        .says("production is migrated elsewhere");
    assert_eq!(tables(&world), ["precious"]);
}

// The files.

#[test]
fn another_schema_is_an_error_that_says_what_to_do() {
    let world = World::postgres();
    world.run("db-setup", &[]).succeeds();
    let other = world.file("other.sql", "CREATE TABLE other (a int);");
    world
        .run("db-setup", &["--steps", "schema-load", "--schema", &other])
        .ends_with(1)
        .says("has another schema loaded; nothing is changed")
        .says("`db-setup` re-creates the database with the new schema");
    let seed = world.file("seed.sql", "INSERT INTO other VALUES (1), (2);");
    world
        .run("db-setup", &["--schema", &other, "--seed", &seed])
        .succeeds()
        .prints("1 table created")
        .prints("2 rows written");
    assert_eq!(tables(&world), ["other"]);
}

#[test]
fn a_failed_file_leaves_nothing_and_names_its_line() {
    let world = World::postgres();
    let schema = world
        .file("bad.sql", "CREATE TABLE a (x int);\n-- é\nCREATE TABLE b (\n  y nonsense\n);\n");
    let run = world
        .run("db-setup", &["--schema", &schema])
        .ends_with(1)
        .prints("create ")
        .says(&format!("error: cannot load the schema from {schema}:4"))
        .says("cause: type \"nonsense\" does not exist")
        .says("nothing of it is left");
    assert!(!run.stdout.contains("schema-load"), "{run}");
    assert_eq!(tables(&world), Vec::<String>::new());
    assert_eq!(world.sql("SELECT schema_sha256 FROM cruddur_ops.stamp"), ["NULL"]);
}

#[test]
fn postgres_message_detail_and_hint_are_passed_on() {
    let world = World::postgres();
    let seed = world.file(
        "seed.sql",
        "INSERT INTO users (display_name, handle, email, cognito_user_id) VALUES ('a', 'b', 'c', 'd');\n\
         INSERT INTO users (display_name, handle, email, cognito_user_id) VALUES ('a', 'b', 'c', 'd');\n",
    );
    world
        .run("db-setup", &["--seed", &seed])
        .ends_with(1)
        .says("cause: duplicate key value violates unique constraint \"users_handle_key\"")
        .says("cause: Key (handle)=(b) already exists.");
    assert_eq!(world.sql("SELECT count(*) FROM users"), ["0"]);
    let seed = world.file("typo.sql", "\nSELECT handel FROM users;");
    world
        .run("db-setup", &["--steps", "seed", "--seed", &seed])
        .ends_with(1)
        .says("typo.sql:2")
        .says("hint: Perhaps you meant to reference the column \"users.handle\".");
}

#[test]
fn files_that_could_not_be_taken_back_are_refused_before_anything() {
    let world = World::postgres();
    for (content, error) in [
        ("CREATE TABLE a (x int);\nCOMMIT;\n", ":2 holds `COMMIT`"),
        ("\\connect other\n", ":1 holds a backslash command, which only psql understands"),
        ("COPY users FROM stdin;\n", ":1 holds `COPY … FROM STDIN`"),
    ] {
        let file = world.file("file.sql", content);
        for flag in ["--schema", "--seed"] {
            world.run("db-setup", &[flag, &file]).ends_with(1).prints_only("").says(error);
        }
    }
    world
        .run("db-setup", &["--schema", "none.sql"])
        .ends_with(1)
        .says("error: cannot read `none.sql`");
    let file = world.file("latin1.sql", b"SELECT '\xe9'");
    world.run("db-setup", &["--seed", &file]).ends_with(1).says("is not UTF-8 text");
    assert!(!exists(&world));
}

/// A database in which a backslash escapes would read the file otherwise than it was
/// looked through.
#[test]
fn a_file_does_not_end_its_transaction_by_a_setting_of_the_database() {
    let world = World::postgres();
    world.run("db-setup", &[]).succeeds();
    let name = world.database();
    world.sql(&format!("ALTER DATABASE {name} SET standard_conforming_strings = off"));
    let file = world.file("seed.sql", r"DELETE FROM activities; SELECT '\''; COMMIT; SELECT '';");
    let seed = ["--steps", "seed", "--seed", &file];
    world.run("db-setup", &seed).ends_with(1).says("unterminated quoted string");
    assert_eq!(world.sql("SELECT count(*) > 0 FROM activities"), ["t"]);
}

#[test]
fn verbose_shows_statements_with_titles_and_no_password() {
    let world = World::postgres();
    world
        .run("db-setup", &["-v"])
        .succeeds()
        .says("> count the sessions: SELECT (SELECT oid")
        .says("> load the schema: -- The app's people")
        .does_not_say(cli_tests::PASSWORD);
}

#[test]
fn a_bad_password_does_not_wait() {
    let world = World::postgres();
    let mut command = world.tool("db-setup", &["--wait", "600"]);
    command.env("CONNECTION_URL", world.url_of("postgres", "s3cret"));
    Run::of(command)
        .ends_with(1)
        .says("refuses the connection")
        .says("password authentication failed")
        .says("hint: look at user and password in CONNECTION_URL")
        .does_not_say("waiting")
        .does_not_say("s3cret");
}

#[test]
fn two_loads_at_once_end_in_one_schema() {
    let world = World::postgres();
    world.run("db-setup", &["--steps", "create"]).succeeds();
    let runs: Vec<Run> = std::thread::scope(|scope| {
        let load = || world.run("db-setup", &["--steps", "schema-load,seed", "--output", "json"]);
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(load)).collect();
        threads.into_iter().map(|thread| thread.join().expect("run")).collect()
    });
    let created = |run: &Run| run.json()["steps"][0]["changed"] == json!(true);
    let runs: Vec<Run> = runs.into_iter().map(Run::succeeds).collect();
    assert_eq!(runs.iter().filter(|run| created(run)).count(), 1);
    assert_eq!(world.sql("SELECT count(*) FROM users"), ["4"]);
}

/// What was looked at on one server must not be done to another.
#[test]
fn several_servers_are_refused() {
    let world = World::postgres();
    world.run("db-setup", &[]).succeeds();
    let mut command = world.tool("db-setup", &[]);
    let several = world.local_url().replace("@127.0.0.1:", "@127.0.0.1:1,127.0.0.1:");
    command.env("CONNECTION_URL", format!("{several}?load_balance_hosts=random"));
    Run::of(command)
        .ends_with(1)
        .prints_only("")
        .says("error: CONNECTION_URL names several servers");
    assert_eq!(tables(&world), ["activities", "users"]);
}

#[test]
fn steps_that_could_not_follow_a_drop_are_a_usage_error() {
    let world = World::postgres();
    world.run("db-setup", &[]).succeeds();
    for steps in ["drop,seed", "drop,schema-load", "drop,schema-load,seed"] {
        world
            .run("db-setup", &["--steps", steps])
            .ends_with(2)
            .says("error: after `drop` there is no database to load");
    }
    assert_eq!(tables(&world), ["activities", "users"]);
}

#[test]
fn a_target_after_the_steps_is_a_target() {
    let world = World::postgres();
    world.run("db-setup", &["--steps", "create", "local"]).succeeds().prints("created");
}

/// A reader that goes away does not stop the work halfway.
#[test]
fn a_closed_pipe_stops_no_step() {
    let world = World::postgres();
    world.run("db-setup", &[]).succeeds();
    let tool = cli_tests::binary("db-setup").display().to_string();
    let mut command = world.command("bash");
    command.args(["-c", &format!("{tool} 2>/dev/null | true; echo ${{PIPESTATUS[0]}}")]);
    Run::of(command).succeeds().prints_only("0\n");
    assert_eq!(world.sql("SELECT count(*) FROM users"), ["4"]);
}

#[test]
fn a_dry_run_says_what_each_step_would_do_and_changes_nothing() {
    let world = World::postgres();
    let name = world.database();
    let run = world.run("db-setup", &["--dry-run"]).succeeds();
    run.prints_only(&format!(
        "drop         `{name}` is not there; nothing to drop
create       would create `{name}`, stamped `local`
schema-load  would load schema.sql (compiled in)
seed         would run seed.sql (compiled in) in one transaction
cognito-ids  skipped: no user pool is named (--user-pool-id or AWS_COGNITO_USER_POOL_ID)
"
    ))
    .says("nothing is changed (--dry-run)\n");
    assert!(!exists(&world));
    world.run("db-setup", &[]).succeeds();
    world.sql("UPDATE users SET handle = 'other' WHERE handle = 'bayko'");
    let _session = world.session();
    let sessions = format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}'");
    wait_for("the session", || world.server_sql(&sessions) == ["1"]);
    world
        .run("db-setup", &["--dry-run"])
        .succeeds()
        .prints(&format!(
            "drop         would drop `{name}` (stamped `local`) and close 1 session\ncreate       would create"
        ))
        .says("Dropping it deletes everything in it and closes its sessions. It cannot be undone: `db-backup` keeps a copy.\n");
    let steps = ["--steps", "create,schema-load", "--dry-run", "--output", "json"];
    let report = world.run("db-setup", &steps).succeeds().json();
    assert_eq!(report["dry_run"], true);
    assert_eq!(
        report["steps"],
        json!([
            {"step": "create", "status": "planned", "did": format!("`{name}` already exists"), "changed": false},
            {"step": "schema-load", "status": "planned", "did": "already there, same schema; nothing would change", "changed": false},
        ])
    );
    assert_eq!(world.sql("SELECT count(*) FROM users WHERE handle = 'other'"), ["1"]);
    // What would be refused is refused.
    world.sql("UPDATE cruddur_ops.stamp SET environment = 'prod'");
    world.run("db-setup", &["--dry-run"]).ends_with(1).says("is stamped `prod`");
    // In production it asks nothing.
    world
        .run_prod("db-setup", &["prod", "--steps", "drop", "--dry-run"])
        .succeeds()
        .prints("would drop")
        .does_not_say("Continue?");
    assert!(exists(&world));
}
