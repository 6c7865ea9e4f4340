//! `update-cognito-user-ids`, and the step cognito-ids of `db-setup`

use std::thread;

use cli_tests::proxy::{Answer, Proxy};
use cli_tests::{Run, World};
use serde_json::{Value, json};

const ENDPOINT: &str = "AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER";
const ALL: [&str; 4] = ["jess-bk", "bayko", "maren", "tariq"];

/// A set-up database of the seeded people, none of whose ids is carried over.
fn set_up(handles: &[&str]) -> Option<World> {
    let world = World::postgres().with_pool(handles)?;
    world.run("db-setup", &["--steps", "create,schema-load,seed"]).succeeds();
    Some(world)
}

fn ids(world: &World) -> Vec<String> {
    world.sql("SELECT handle || ' ' || cognito_user_id FROM users ORDER BY handle")
}

fn carried_over(world: &World, handles: &[&str]) -> Vec<String> {
    let mut ids: Vec<String> =
        handles.iter().map(|handle| format!("{handle} {}", world.sub(handle))).collect();
    ids.sort();
    ids
}

/// The report with names in place of what differs from run to run.
fn golden(world: &World, mut report: Value, users: &[&str]) -> String {
    for part in ["cognito", "postgres"] {
        assert!(report["seconds"][part].as_f64().is_some_and(|seconds| seconds > 0.0));
        report["seconds"][part] = json!(0.0);
    }
    let mut text = serde_json::to_string_pretty(&report).expect("JSON");
    text = text.replace(world.pool(), "POOL").replace(world.database(), "DATABASE");
    for user in users {
        text = text.replace(&world.sub(user), &format!("SUB OF {user}"));
    }
    text
}

/// Everything that a report can hold: an id that is right, one that is wrong,
/// people on one side only, no handle, one twice, one in other letters.
fn everything() -> Option<World> {
    let world = set_up(&["jess-bk", "bayko", "newcomer"])?;
    world.add_user("nameless", None);
    world.add_user("twice-1", Some("maren"));
    world.add_user("twice-2", Some("maren"));
    world.add_user("letters", Some("Tariq"));
    world.sql("INSERT INTO users (display_name, handle, email, cognito_user_id) VALUES ('O', 'old', 'o', 'OLD')");
    world.sql(&format!(
        "UPDATE users SET cognito_user_id = '{}' WHERE handle = 'bayko'",
        world.sub("bayko")
    ));
    Some(world)
}

const EVERYBODY: [&str; 7] =
    ["jess-bk", "bayko", "newcomer", "nameless", "twice-1", "twice-2", "letters"];

#[test]
fn ids_are_carried_over_and_a_second_run_changes_nothing() {
    let Some(world) = set_up(&ALL) else { return };
    let run =
        world.run("update-cognito-user-ids", &[]).succeeds().says("4 ids updated, 0 unchanged");
    assert_eq!(run.stdout.lines().count(), 6, "{run}");
    run.prints("jess-bk   updated   MOCK").does_not_say("warning");
    assert_eq!(ids(&world), carried_over(&world, &ALL));
    let written = world.sql("SELECT max(xmin::text::bigint) FROM users");
    world
        .run("update-cognito-user-ids", &[])
        .succeeds()
        .prints_only("")
        .says("0 ids updated, 4 unchanged");
    // Rows that are right are not touched.
    assert_eq!(world.sql("SELECT max(xmin::text::bigint) FROM users"), written);
}

#[test]
fn the_report_has_each_in_one_list() {
    let Some(world) = everything() else { return };
    let before = ids(&world);
    let run = world.run("update-cognito-user-ids", &["--dry-run", "--output", "json"]).succeeds();
    insta::assert_snapshot!("dry-run", golden(&world, run.json(), &EVERYBODY));
    assert_eq!(ids(&world), before);
    let run = world
        .run("update-cognito-user-ids", &["--output", "json"])
        .succeeds()
        .says("1 id updated, 1 unchanged")
        .says("warning: 1 handle of the pool with no row in Postgres")
        .says("warning: 1 handle of the pool that a row has in other letters")
        .says("warning: 1 handle of the pool that more than one user has")
        .says("warning: 1 user of the pool without `preferred_username`")
        .says("warning: 1 person of Postgres with no user in the pool");
    insta::assert_snapshot!("update", golden(&world, run.json(), &EVERYBODY));
    let after = ids(&world);
    let changed: Vec<_> = after.iter().filter(|id| !before.contains(id)).collect();
    assert_eq!(changed, [&format!("jess-bk {}", world.sub("jess-bk"))]);
    let run = world.run("update-cognito-user-ids", &[]).succeeds();
    for state in [
        "not in Postgres",
        "not in Postgres, but `tariq` is",
        "more than once in Cognito",
        "user `nameless` has no handle",
        "not in Cognito",
    ] {
        assert!(run.stdout.contains(state), "{state}\n{run}");
    }
}

#[test]
fn check_tells_what_would_change() {
    let Some(world) = set_up(&ALL) else { return };
    let before = ids(&world);
    world
        .run("update-cognito-user-ids", &["--check"])
        .ends_with(3)
        .prints("would be updated")
        .says("error: Postgres and the pool differ\n  cause: 4 ids would change\n  hint: write them with `update-cognito-user-ids`");
    assert_eq!(ids(&world), before);
    world.run("update-cognito-user-ids", &[]).succeeds();
    world.run("update-cognito-user-ids", &["--check"]).succeeds();
    // Who has no handle yet, and who never signed up, is no fault.
    world.add_user("nameless", None);
    world.sql("INSERT INTO users (display_name, handle, email, cognito_user_id) VALUES ('O', 'old', 'o', 'OLD')");
    world.run("update-cognito-user-ids", &["--check"]).succeeds().says("warning: 1 person");
    world.add_user("fifth", Some("fifth"));
    world
        .run("update-cognito-user-ids", &["--check"])
        .ends_with(3)
        .says("cause: 1 handle of the pool with no row");
    world.run("update-cognito-user-ids", &["--dry-run"]).succeeds();
    world.run("update-cognito-user-ids", &["--check", "--dry-run"]).ends_with(2);
}

#[test]
fn check_finds_a_handle_that_is_there_twice() {
    let Some(world) = set_up(&ALL) else { return };
    world.run("update-cognito-user-ids", &[]).succeeds();
    world.add_user("again", Some("bayko"));
    let before = ids(&world);
    world
        .run("update-cognito-user-ids", &["--check"])
        .ends_with(3)
        .says("cause: 1 handle more than once in the pool");
    world.run("update-cognito-user-ids", &[]).succeeds();
    assert_eq!(ids(&world), before);
}

#[test]
fn a_failure_leaves_no_row_changed() {
    let Some(world) = set_up(&ALL) else { return };
    let before = ids(&world);
    world.sql(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN IF NEW.handle = 'tariq' THEN RAISE 'not tariq'; END IF; RETURN NEW; END $$",
    );
    world
        .sql("CREATE TRIGGER refuse BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION refuse()");
    let refused = |run: Run| {
        run.ends_with(1).prints_only("").says("cause: not tariq").says("no row is changed");
        assert_eq!(ids(&world), before);
    };
    refused(world.run("update-cognito-user-ids", &[]));
    // And at the very end of the transaction.
    world.sql("DROP TRIGGER refuse ON users");
    world.sql("CREATE CONSTRAINT TRIGGER refuse AFTER UPDATE ON users DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()");
    world
        .run("update-cognito-user-ids", &[])
        .ends_with(1)
        .prints_only("")
        .says("error: cannot commit the ids\n  cause: not tariq");
    assert_eq!(ids(&world), before);
}

#[test]
fn two_runs_at_once_end_in_the_same_rows() {
    let Some(world) = set_up(&ALL) else { return };
    for round in 0..3 {
        world.sql(&format!("UPDATE users SET cognito_user_id = 'OLD-{round}'"));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| world.run("update-cognito-user-ids", &[]).succeeds());
            }
        });
        assert_eq!(ids(&world), carried_over(&world, &ALL));
    }
}

/// The order in which two runs lock rows is the server's: they wait for each
/// other before they lock any.
#[test]
fn a_run_waits_for_another_one() {
    let Some(world) = set_up(&ALL) else { return };
    let session = world.session();
    session.sql("SELECT pg_advisory_lock(hashtext('cruddur_ops.cognito_user_ids'))");
    let before = ids(&world);
    thread::scope(|scope| {
        let run = scope.spawn(|| world.run("update-cognito-user-ids", &[]).succeeds());
        let waiting = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND wait_event = 'advisory'",
            world.database()
        );
        cli_tests::wait_for("the run to wait", || world.server_sql(&waiting) == ["1"]);
        assert_eq!(ids(&world), before);
        session.sql("SELECT pg_advisory_unlock_all()");
        run.join().expect("the run").says("4 ids updated");
    });
    assert_eq!(ids(&world), carried_over(&world, &ALL));
}

/// A pool that breaks off in the middle is not taken for the whole.
#[test]
fn half_a_pool_changes_nothing() {
    let Some(world) = set_up(&ALL) else { return };
    let before = ids(&world);
    let proxy = Proxy::start(&world.cognito().url(), |number, request| match number {
        0 => {
            let mut body = request.body.clone();
            body["Limit"] = json!(2);
            Answer::Instead { body, add: json!({}) }
        }
        _ => Answer::Reply {
            status: 400,
            body: json!({"__type": "NotAuthorizedException", "message": "no"}),
        },
    });
    let mut command = world.tool("update-cognito-user-ids", &[]);
    command.env(ENDPOINT, proxy.url());
    Run::of(command).ends_with(1).prints_only("").says("NotAuthorizedException: no");
    assert_eq!(proxy.requests().len(), 2);
    assert_eq!(ids(&world), before);
}

#[test]
fn a_database_that_may_be_another_machines_is_not_changed_unasked() {
    let Some(world) = set_up(&ALL) else { return };
    let before = ids(&world);
    world.sql("UPDATE cruddur_ops.stamp SET environment = 'prod'");
    for arguments in [&[][..], &["--dry-run"], &["--check"]] {
        world
            .run("update-cognito-user-ids", arguments)
            .ends_with(1)
            .says("is stamped `prod`, and the target is `local`; nothing is done to it");
    }
    world.sql("DROP SCHEMA cruddur_ops CASCADE");
    world
        .run("update-cognito-user-ids", &["--yes"])
        .ends_with(1)
        .says("The database has no stamp")
        .says(&format!("hint: consent with --confirm {}", world.database()));
    assert_eq!(ids(&world), before);
    world.run("update-cognito-user-ids", &["--dry-run"]).succeeds();
    world.run("update-cognito-user-ids", &["--confirm", world.database()]).succeeds();
    assert_eq!(ids(&world), carried_over(&world, &ALL));
}

#[test]
fn prod_refuses_a_cognito_on_this_machine() {
    let Some(world) = set_up(&ALL) else { return };
    let before = ids(&world);
    for (tool, arguments) in [
        ("update-cognito-user-ids", vec!["prod", "--yes"]),
        ("update-cognito-user-ids", vec!["prod", "--check"]),
        ("check-identities", vec!["prod"]),
        ("db-setup", vec!["prod", "--steps", "cognito-ids", "--yes"]),
    ] {
        Run::of(world.prod_command(tool, &arguments))
            .ends_with(1)
            .prints_only("")
            .says(&format!(
                "error: `prod` means AWS, and {ENDPOINT} in the environment points Cognito at `{}`",
                world.cognito().url()
            ))
            .says(&format!("hint: remove it for this call: `env -u {ENDPOINT} …`"));
    }
    assert_eq!(ids(&world), before);
}

/// An account's Cognito: the endpoint is another machine's by its address, and
/// the HTTP proxy of the environment leads to the test's own.
#[test]
fn prod_asks_before_it_writes() {
    let Some(world) = set_up(&ALL) else { return };
    world.sql("UPDATE cruddur_ops.stamp SET environment = 'prod'");
    let before = ids(&world);
    let proxy = Proxy::start(&world.cognito().url(), |_, _| Answer::Forward);
    let run = |arguments: &[&str]| {
        let mut command = world.prod_tool("update-cognito-user-ids", arguments);
        command.env(ENDPOINT, "http://192.0.2.1").env("HTTP_PROXY", proxy.url());
        Run::of(command)
    };
    run(&["prod"])
        .ends_with(1)
        .says("there is no terminal to ask at")
        .says("hint: consent with --yes");
    assert_eq!(proxy.requests().len(), 0, "asked before it looked for consent");
    run(&["prod", "--dry-run"]).succeeds().says("4 ids would be updated");
    run(&["prod", "--check"]).ends_with(3).says("`update-cognito-user-ids prod`");
    assert_eq!(ids(&world), before);
    run(&["prod", "--yes"]).succeeds().says("4 ids updated");
    assert_eq!(ids(&world), carried_over(&world, &ALL));
}

#[test]
fn a_users_table_of_another_shape_is_an_error() {
    let Some(world) = set_up(&ALL) else { return };
    world.sql("ALTER TABLE users DROP COLUMN cognito_user_id");
    world
        .run("update-cognito-user-ids", &[])
        .ends_with(1)
        .says("error: cannot compare the ids")
        .says("hint: the database is not set up as the app's: `db-setup`, in `prod` `db-setup prod --steps schema-load,seed`");
}

#[test]
fn db_setup_carries_them_over_by_default() {
    let Some(world) = World::postgres().with_pool(&ALL) else { return };
    world.add_user("nameless", None);
    let run = world
        .run("db-setup", &[])
        .succeeds()
        .says(&format!("user pool {}", world.pool()))
        .says("warning: 1 user of the pool without `preferred_username`");
    let last = run.stdout.lines().next_back().expect("a line");
    assert!(
        last.starts_with("cognito-ids ") && last.ends_with("4 ids updated, 0 unchanged"),
        "{run}"
    );
    assert_eq!(ids(&world), carried_over(&world, &ALL));
    let report = world.run("db-setup", &["--output", "json"]).succeeds().json();
    assert_eq!(report["steps"][4]["step"], "cognito-ids");
    assert_eq!(report["steps"][4]["ids_updated"], 4);
    assert_eq!(report["steps"][4]["status"], "done");
}

#[test]
fn db_setup_without_a_pool_skips_the_step_visibly() {
    let world = World::postgres();
    let run = world.run("db-setup", &[]).succeeds();
    let last = run.stdout.lines().next_back().expect("a line");
    assert!(
        last.ends_with(
            "skipped: no user pool is named (--user-pool-id or AWS_COGNITO_USER_POOL_ID)"
        ),
        "{run}"
    );
    world
        .run("db-setup", &["--steps", "cognito-ids"])
        .ends_with(1)
        .prints_only("")
        .says("error: no Cognito user pool is named");
}

#[test]
fn db_setup_does_the_rest_where_the_pool_cannot_be_reached() {
    let world = World::postgres();
    let run = |arguments: &[&str]| {
        let mut command = world.tool("db-setup", arguments);
        command.env(ENDPOINT, "http://127.0.0.1:1");
        Run::of(command)
    };
    let pool = ["--user-pool-id", "us-east-1_AbC"];
    run(&pool)
        .ends_with(3)
        .prints("5 rows written")
        .prints("not done: cannot reach Cognito at `http://127.0.0.1:1`")
        .says("cause: the step cognito-ids is not done; done: drop, create, schema-load, seed")
        .says("hint: start it with")
        .says("hint: then run `update-cognito-user-ids`");
    assert_eq!(world.sql("SELECT count(*) FROM users"), ["4"]);
    let json = run(&["--user-pool-id", "us-east-1_AbC", "--output", "json"]).ends_with(3).json();
    assert_eq!(json["steps"][3]["rows_written"], 5);
    assert_eq!(json["steps"][4]["status"], "failed");
    run(&["--user-pool-id", "us-east-1_AbC", "--steps", "cognito-ids"])
        .ends_with(1)
        .prints_only("")
        .says("error: cannot reach Cognito");
    // What is wrong with the settings is told before anything is dropped.
    world.sql("INSERT INTO users (display_name, handle, email, cognito_user_id) VALUES ('a', 'b', 'c', 'd')");
    let mut command = world.tool("db-setup", &pool);
    command.env(ENDPOINT, "nonsense");
    Run::of(command).ends_with(1).prints_only("");
    assert_eq!(world.sql("SELECT count(*) FROM users"), ["5"]);
}
