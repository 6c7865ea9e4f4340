//! `db-sessions`

use cli_tests::{Run, World, wait_for};
use serde_json::Value;

fn ready() -> World {
    let world = World::postgres();
    world.run("db-setup", &[]).succeeds();
    world
}

/// The sessions of the world's own database: other tests share the server.
fn own(world: &World, run: &Run) -> Vec<Value> {
    let json = run.json();
    let all = json["sessions"].as_array().expect("sessions").clone();
    all.into_iter().filter(|session| session["database"] == world.database()).collect()
}

/// Waits until nobody but these many are connected to the world's database: who left
/// a moment ago is shown for a moment.
fn alone_with(world: &World, sessions: usize) {
    let count = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND backend_type = 'client backend'",
        world.database()
    );
    wait_for("others to be gone", || world.server_sql(&count) == [sessions.to_string()]);
}

#[test]
fn it_shows_who_is_connected() {
    let world = ready();
    let session = world.session();
    session.sql("SET application_name = 'the app'; BEGIN; SELECT 42");
    world
        .run("db-sessions", &[])
        .succeeds()
        .prints("application")
        .prints("the app")
        .prints("idle in transaction")
        .prints("127.0.0.1");
    world.run("db-sessions", &["--long"]).succeeds().prints("SELECT 42");
    alone_with(&world, 1);
    let run = world.run("db-sessions", &["--output", "json", "--long"]).succeeds();
    let [session] = &own(&world, &run)[..] else { panic!("{run}") };
    assert_eq!(session["state"], "idle in transaction", "{run}");
    assert_eq!(session["user"], "postgres");
    assert_eq!(session["client"], "127.0.0.1");
    assert!(session["age_seconds"].is_f64() && session["pid"].is_i64(), "{run}");
    assert!(session["query"].as_str().is_some_and(|query| query.contains("SELECT 42")), "{run}");
    alone_with(&world, 1);
    let run = world.run("db-sessions", &["--output", "json"]).succeeds();
    assert_eq!(own(&world, &run)[0].get("query"), None, "{run}");
}

#[test]
fn idle_sessions_of_the_database_end_and_no_others() {
    let world = ready();
    let (idle, busy) = (world.session(), world.session());
    idle.sql("SET application_name = 'idle one'");
    busy.sql("SET application_name = 'busy one'; BEGIN; SELECT 1");
    let other = ready();
    let elsewhere = other.session();
    elsewhere.sql("SELECT 1");
    let pid = world.sql("SELECT pid FROM pg_stat_activity WHERE application_name = 'idle one'");
    alone_with(&world, 2);
    // Too young.
    world
        .run("db-sessions", &["--kill-idle", "--idle-for", "3600"])
        .succeeds()
        .says(&format!("no idle session of `{}` to end", world.database()));
    alone_with(&world, 2);
    let run = world.run("db-sessions", &["--kill-idle", "--output", "json"]).succeeds();
    assert_eq!(run.json()["killed"].to_string(), format!("[{}]", pid[0]), "{run}");
    run.says("1 session ended");
    let names = "SELECT application_name FROM pg_stat_activity WHERE application_name LIKE '% one'";
    wait_for("its end", || world.sql(names) == ["busy one"]);
    busy.sql("COMMIT");
    elsewhere.sql("SELECT 1");
    world.run("db-sessions", &["--idle-for", "1"]).ends_with(2);
    for length in ["5x", "", "-1", "m", "99999999d"] {
        world
            .run("db-sessions", &["--kill-idle", &format!("--idle-for={length}")])
            .ends_with(2)
            .prints_only("");
    }
    world
        .run("db-sessions", &["--kill-idle", "--idle-for", "1d"])
        .succeeds()
        .says("no idle session");
}

#[test]
fn who_blocks_others_is_shown_and_ended_by_pid() {
    let world = ready();
    let (holder, waiter) = (world.session(), world.session());
    holder.sql("SET application_name = 'holder'; BEGIN; LOCK TABLE users");
    let named = |name: &str| {
        world.sql(&format!("SELECT pid FROM pg_stat_activity WHERE application_name = '{name}'"))
    };
    let pid = named("holder").remove(0);
    let waiter = std::thread::spawn(move || {
        waiter.sql("SET application_name = 'waiter'");
        waiter.sql("SELECT count(*) FROM users");
    });
    wait_for("the other to wait", || {
        world.sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()") == ["1"]
    });
    world.run("db-sessions", &[]).succeeds().prints("blocked by");
    let run = world.run("db-sessions", &["--output", "json"]).succeeds();
    let blocked = own(&world, &run);
    let blocked = blocked.iter().find(|s| s["application"] == "waiter").expect("the waiter");
    assert_eq!(blocked["blocked_by"].to_string(), format!("[{pid}]"), "{run}");
    // An idle one in a transaction is none that --kill-idle ends.
    world.run("db-sessions", &["--kill-idle"]).succeeds().says("no idle session");
    world
        .run("db-sessions", &["--kill", &pid, "--kill", "1"])
        .ends_with(1)
        .prints_only("")
        .says("has the pid 1; nothing is ended")
        .says("hint: `db-sessions` shows them");
    world.run("db-sessions", &["--kill", &pid, "--kill-idle"]).ends_with(2);
    let run = world.run("db-sessions", &["--kill", &pid, "--output", "json"]).succeeds();
    assert_eq!(run.json()["killed"].to_string(), format!("[{pid}]"), "{run}");
    waiter.join().expect("it goes on");
    wait_for("the holder's end", || named("holder").is_empty());
}

#[test]
fn ending_sessions_takes_consent() {
    let world = World::postgres();
    world.run_prod("db-setup", &["prod", "--steps", "create", "--yes"]).succeeds();
    let session = world.session();
    session.sql("SELECT 1");
    world.run_prod("db-sessions", &["prod"]).succeeds();
    world
        .run_prod("db-sessions", &["prod", "--kill-idle"])
        .ends_with(1)
        .prints_only("")
        .says("consent with --yes");
    session.sql("SELECT 1");
    alone_with(&world, 1);
    world
        .run_prod("db-sessions", &["prod", "--kill-idle", "--yes"])
        .succeeds()
        .says("1 session ended");
    // A local database that nobody stamped may be a tunnel's end.
    let world = World::postgres();
    world.server_sql(&format!("CREATE DATABASE {}", world.database()));
    let session = world.session();
    session.sql("SELECT 1");
    world
        .run("db-sessions", &["--kill-idle"])
        .ends_with(1)
        .says(&format!("consent with --confirm {}", world.database()));
    session.sql("SELECT 1");
}

#[test]
fn a_session_that_may_not_be_ended_is_told() {
    let world = ready();
    let user = format!("{}_user", world.database());
    world.admin_sql(&format!("CREATE USER {user} PASSWORD 's3cret'; GRANT USAGE ON SCHEMA cruddur_ops TO {user}; GRANT SELECT ON cruddur_ops.stamp TO {user}; GRANT pg_read_all_stats TO {user}"));
    let session = world.session();
    session.sql("SELECT 1");
    alone_with(&world, 1);
    let mut command = world.tool("db-sessions", &["--kill-idle"]);
    command.env("CONNECTION_URL", world.url_of(&user, "s3cret"));
    Run::of(command)
        .ends_with(3)
        .says("warning: ")
        .says("error: 1 session could not be ended")
        .says("pg_signal_backend");
    session.sql("SELECT 1");
    world.admin_sql(&format!("DROP OWNED BY {user}; DROP USER {user}"));
}

/// What the server does not show to this user is there all the same.
#[test]
fn sessions_that_may_not_be_looked_at_are_listed() {
    let world = ready();
    let user = format!("{}_user", world.database());
    world.admin_sql(&format!(
        "CREATE USER {user} PASSWORD 's3cret'; GRANT USAGE ON SCHEMA cruddur_ops TO {user}; GRANT SELECT ON cruddur_ops.stamp TO {user}"
    ));
    let session = world.session();
    session.sql("SELECT 1");
    alone_with(&world, 1);
    let mut command = world.tool("db-sessions", &["--output", "json"]);
    command.env("CONNECTION_URL", world.url_of(&user, "s3cret"));
    let run = Run::of(command).succeeds();
    let [hidden] = &own(&world, &run)[..] else { panic!("{run}") };
    assert_eq!((&hidden["user"], &hidden["state"]), (&"postgres".into(), &Value::Null), "{run}");
    let mut command = world.tool("db-sessions", &["--kill-idle"]);
    command.env("CONNECTION_URL", world.url_of(&user, "s3cret"));
    Run::of(command).succeeds().says("no idle session").says("pg_read_all_stats");
    session.sql("SELECT 1");
    world.admin_sql(&format!("DROP OWNED BY {user}; DROP USER {user}"));
}
