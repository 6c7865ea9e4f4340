//! `cognito-list-users`

use cli_tests::proxy::{Answer, Proxy, Request};
use cli_tests::{Run, World};
use serde_json::{Value, json};

const ENDPOINT: &str = "AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER";
const POOL: &str = "AWS_COGNITO_USER_POOL_ID";

fn handles(number: usize) -> Vec<String> {
    (0..number).map(|i| format!("person-{i:03}")).collect()
}

/// A world with a pool of so many people.
fn pool_of(number: usize) -> Option<World> {
    let handles = handles(number);
    World::empty().with_pool(&handles.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Answers ListUsers by `script`, page after page.
fn scripted(script: impl Fn(usize, &Request) -> Answer + Send + Sync + 'static) -> Proxy {
    Proxy::start("127.0.0.1:1", script)
}

fn run(world: &World, proxy: &Proxy, arguments: &[&str]) -> Run {
    let mut command = world.tool("cognito-list-users", arguments);
    command.env(ENDPOINT, proxy.url()).env(POOL, "us-east-1_Scripted");
    Run::of(command)
}

fn users(from: usize, number: usize) -> Value {
    let user = |i: usize| {
        json!({"Username": format!("user-{i}"), "Enabled": true, "UserStatus": "CONFIRMED",
            "UserCreateDate": 1_767_225_600.5, "UserLastModifiedDate": 1_767_225_601,
            "Attributes": [{"Name": "sub", "Value": format!("sub-{i}")},
                {"Name": "preferred_username", "Value": format!("person-{i:03}")}]})
    };
    (from..from + number).map(user).collect()
}

fn page(users: Value, next: Option<&str>) -> Answer {
    let mut body = json!({"Users": users});
    if let Some(next) = next {
        body["PaginationToken"] = json!(next);
    }
    Answer::Reply { status: 200, body }
}

fn refused(code: &str, message: &str) -> Answer {
    Answer::Reply { status: 400, body: json!({"__type": code, "message": message}) }
}

#[test]
fn every_page_is_listed() {
    for number in [0, 1, 60, 61, 130] {
        let Some(world) = pool_of(number) else { return };
        let run = world.run("cognito-list-users", &["--output", "json"]).succeeds();
        let report = run.json();
        assert_eq!(report["user_pool_id"], world.pool());
        let users = report["users"].as_array().expect("users");
        let found: Vec<&str> = users.iter().filter_map(|user| user["handle"].as_str()).collect();
        assert_eq!(found, handles(number));
        let ending = if number == 1 { "" } else { "s" };
        run.says(&format!("\n{number} user{ending}\n"));
        let map = world.run("cognito-list-users", &["--output", "map"]).succeeds().json();
        assert_eq!(map.as_object().expect("a map").len(), number);
    }
}

#[test]
fn the_table_and_its_long_form() {
    let Some(world) = World::empty().with_pool(&["bayko"]) else { return };
    world.add_user("newcomer", None);
    let run = world.run("cognito-list-users", &[]).succeeds();
    let lines: Vec<&str> = run.stdout.lines().map(str::trim).collect();
    assert_eq!(lines.len(), 4, "{run}");
    assert_eq!(lines[0].split_whitespace().collect::<Vec<_>>(), ["handle", "sub", "status"]);
    let cells = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(cells(lines[2]), ["bayko", &world.sub("bayko"), "FORCE_CHANGE_PASSWORD"]);
    assert_eq!(cells(lines[3]), ["(none)", &world.sub("newcomer"), "FORCE_CHANGE_PASSWORD"]);
    assert!(!run.stdout.contains('@'), "{run}");
    run.says(&format!("user pool {}  endpoint {}", world.pool(), world.cognito().url()))
        .says("2 users, 1 of them without `preferred_username`");
    world
        .run("cognito-list-users", &["--long"])
        .succeeds()
        .prints("bayko@example.com      yes ")
        .prints("modified");
}

#[test]
fn jsonl_is_a_user_a_line() {
    let Some(world) = pool_of(3) else { return };
    let run = world.run("cognito-list-users", &["--output", "jsonl"]).succeeds();
    let lines: Vec<Value> =
        run.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[2]["handle"], "person-002");
    assert_eq!(lines[2]["attributes"]["email"], "person-002@example.com");
    assert_eq!(lines[2]["status"], "FORCE_CHANGE_PASSWORD");
    assert_eq!(lines[2]["enabled"], true);
    assert!(lines[2]["created_at"].as_str().is_some_and(|time| time.ends_with("+00:00")));
}

#[test]
fn the_limit_is_told() {
    let Some(world) = pool_of(61) else { return };
    for (limit, shown, more) in
        [("1", 1, true), ("60", 60, true), ("61", 61, false), ("99", 61, false)]
    {
        let run = world.run("cognito-list-users", &["--limit", limit, "--output", "jsonl"]);
        let run = run.succeeds();
        assert_eq!(run.stdout.lines().count(), shown);
        assert_eq!(
            run.stderr.contains("more exist: the listing was cut by --limit"),
            more,
            "{run}"
        );
    }
    world.run("cognito-list-users", &["--limit", "0"]).ends_with(2);
}

#[test]
fn the_filter_goes_with_every_page() {
    let Some(world) = pool_of(130) else { return };
    let filter = ["--filter", "email ^= \"person-0\"", "--output", "jsonl"];
    let run = world.run("cognito-list-users", &filter).succeeds();
    assert_eq!(run.stdout.lines().count(), 100);
    let proxy = Proxy::start(&world.cognito().url(), |_, _| Answer::Forward);
    let mut command = world.tool("cognito-list-users", &filter);
    command.env(ENDPOINT, proxy.url());
    Run::of(command).succeeds();
    let requests = proxy.requests();
    assert_eq!(requests.len(), 2);
    assert!(requests.iter().all(|request| request.body["Filter"] == "email ^= \"person-0\""));
    assert!(requests.iter().all(|request| request.body.get("AttributesToGet").is_none()));
    world
        .run("cognito-list-users", &["--filter", "email"])
        .ends_with(1)
        .prints_only("")
        .says("cause: InvalidParameterException")
        .says("cause: the filter is `email`")
        .says("hint: a filter is one attribute");
}

#[test]
fn a_map_leaves_out_what_is_ambiguous_and_says_so() {
    let Some(world) = World::empty().with_pool(&["bayko", "twice"]) else { return };
    world.add_user("again", Some("twice"));
    world.add_user("newcomer", None);
    let run = world
        .run("cognito-list-users", &["--output", "map"])
        .ends_with(3)
        .says(&format!("warning: the user `newcomer` (sub {}) has no", world.sub("newcomer")))
        .says("warning: the handle `twice` is there 2 times: subs `")
        .says(&world.sub("again"))
        .says("error: 3 users left out of the map")
        .says("hint: give each user a `preferred_username` of its own");
    assert_eq!(run.json(), json!({"bayko": world.sub("bayko")}));
}

/// Addresses are in the outputs that say so, and in no other.
#[test]
fn a_map_shows_no_e_mail_address() {
    let Some(world) = World::empty().with_pool(&["bayko"]) else { return };
    world.add_user("who@example.com", None);
    let run = world.run("cognito-list-users", &["--output", "map"]).ends_with(3);
    run.says("has no `preferred_username`").does_not_say("who@").does_not_say("example.com");
}

/// boto3's paginator on the same pool, user for user.
#[test]
fn it_agrees_with_boto3() {
    let Some(world) = pool_of(125) else { return };
    world.add_user("newcomer", None);
    let python = cli_tests::python().expect("the server's own");
    let script = r#"
import boto3, json, sys
client = boto3.client("cognito-idp", region_name="us-east-1", endpoint_url=sys.argv[1],
    aws_access_key_id="local", aws_secret_access_key="local")
for page in client.get_paginator("list_users").paginate(UserPoolId=sys.argv[2]):
    for user in page["Users"]:
        attributes = {a["Name"]: a["Value"] for a in user["Attributes"]}
        print(json.dumps({"username": user["Username"], "sub": attributes["sub"],
            "handle": attributes.get("preferred_username"), "status": user["UserStatus"],
            "enabled": user["Enabled"], "attributes": attributes}))
"#;
    let mut command = world.command(python);
    command.args(["-c", script, &world.cognito().url(), world.pool()]);
    let parse = |run: Run| -> Vec<Value> {
        let lines = run.stdout.lines();
        lines.map(|line| serde_json::from_str(line).expect("JSON")).collect()
    };
    let theirs = parse(Run::of(command).succeeds());
    let mut ours = parse(world.run("cognito-list-users", &["--output", "jsonl"]).succeeds());
    for user in &mut ours {
        let user = user.as_object_mut().expect("an object");
        assert!(user.remove("created_at").is_some() && user.remove("modified_at").is_some());
    }
    assert_eq!(ours.len(), 126);
    assert_eq!(ours, theirs);
}

/// Only the token says which page is the last.
#[test]
fn pages_can_be_empty_or_long() {
    let proxy = scripted(|number, request| match number {
        0 => {
            assert!(request.body.get("PaginationToken").is_none());
            page(users(0, 130), Some("a"))
        }
        1 => page(json!([]), Some("b")),
        2 => {
            assert_eq!(request.body["PaginationToken"], "b");
            page(users(130, 1), None)
        }
        _ => panic!("one page too many"),
    });
    let world = World::empty();
    let run = run(&world, &proxy, &["--output", "jsonl"]).succeeds().says("131 users");
    assert_eq!(run.stdout.lines().count(), 131);
    assert_eq!(proxy.requests().len(), 3);
    assert!(run.stdout.contains("\"created_at\":\"2026-01-01T00:00:00.500000+00:00\""), "{run}");
}

#[test]
fn throttling_passes_or_is_told() {
    let world = World::empty();
    let throttled = || refused("TooManyRequestsException", "Rate exceeded");
    let never = scripted(move |_, _| throttled());
    run(&world, &never, &[])
        .ends_with(1)
        .prints_only("")
        .says("cause: still throttled after 8 attempts")
        .says("hint: the account's quota for reading users is used up");
    assert_eq!(never.requests().len(), 8);
    let proxy = scripted(move |number, _| match number {
        1..=3 => throttled(),
        0 => page(users(0, 60), Some("a")),
        _ => page(users(60, 1), None),
    });
    run(&world, &proxy, &[]).succeeds().says("61 users");
    assert_eq!(proxy.requests().len(), 5);
}

/// What was listed before is not taken for the whole.
#[test]
fn a_token_that_expires_is_a_failure() {
    let world = World::empty();
    let proxy = scripted(|number, _| match number {
        0 => page(users(0, 60), Some("a")),
        _ => refused("InvalidParameterException", "Invalid pagination token given."),
    });
    run(&world, &proxy, &["--output", "json"])
        .ends_with(1)
        .prints_only("")
        .says("error: cannot list the users of the pool\n  cause: InvalidParameterException: Invalid pagination token given.")
        .says("cause: after 60 users the pool's token for the next page is no longer good")
        .says("hint: run it again: it starts with the first page");
}

#[test]
fn each_refusal_has_its_own_hint() {
    let world = World::empty();
    for (code, message, error, hint) in [
        (
            "AccessDeniedException",
            "User: x is not authorized to perform: cognito-idp:ListUsers",
            "error: cannot list the users of the pool",
            "hint: listing takes `cognito-idp:ListUsers` on the pool",
        ),
        (
            "NotAuthorizedException",
            "not authorized",
            "error: cannot list the users of the pool",
            "hint: listing takes `cognito-idp:ListUsers` on the pool",
        ),
        (
            "ExpiredTokenException",
            "The security token included in the request is expired",
            "error: cannot list the users of the pool",
            "hint: sign in again (`aws sso login`)",
        ),
        (
            "ResourceNotFoundException",
            "User pool us-east-1_Scripted does not exist.",
            "error: there is no user pool `us-east-1_Scripted` at this machine's Cognito",
            "hint: look at --user-pool-id or AWS_COGNITO_USER_POOL_ID",
        ),
    ] {
        let proxy = scripted(move |_, _| refused(code, message));
        let run = run(&world, &proxy, &[]).ends_with(1).prints_only("").says(error).says(hint);
        assert_eq!(proxy.requests().len(), 1, "{run}");
    }
}

/// An account's Cognito: the endpoint is another machine's by its address, and
/// the HTTP proxy of the environment is this test.
#[test]
fn in_an_account_a_missing_pool_names_the_region() {
    let world = World::empty();
    let proxy = scripted(|_, _| refused("ResourceNotFoundException", "does not exist"));
    let mut command = world.tool("cognito-list-users", &["--user-pool-id", "eu-west-3_Nope"]);
    command.env(ENDPOINT, "http://192.0.2.1").env("HTTP_PROXY", proxy.url());
    command.env("AWS_ACCESS_KEY_ID", "A").env("AWS_SECRET_ACCESS_KEY", "s3cret");
    // The pool's own region goes before the environment's.
    command.env("AWS_REGION", "us-east-1");
    Run::of(command)
        .ends_with(1)
        .says("user pool eu-west-3_Nope  endpoint http://192.0.2.1  region eu-west-3")
        .says("error: there is no user pool `eu-west-3_Nope` in eu-west-3 of this account")
        .says("hint: `aws cognito-idp list-user-pools --max-results 60 --region eu-west-3`")
        .does_not_say("s3cret");
    assert_eq!(proxy.requests()[0].operation, "ListUsers");
}

#[test]
fn no_pool_no_credentials_no_region() {
    let world = World::empty();
    world
        .run("cognito-list-users", &[])
        .ends_with(1)
        .prints_only("")
        .says("error: no Cognito user pool is named")
        .says("hint: name it with --user-pool-id or AWS_COGNITO_USER_POOL_ID")
        .says("hint: the id is on the pool's page in the AWS console");
    world
        .run("cognito-list-users", &["--user-pool-id", "us-east-1_AbC"])
        .ends_with(1)
        .says("user pool us-east-1_AbC  region us-east-1")
        .says("error: cannot list the users of the pool")
        .says("hint: sign in (`aws sso login`), name a profile with --profile or AWS_PROFILE");
    world
        .run("cognito-list-users", &["--user-pool-id", "pool"])
        .ends_with(1)
        .says("error: the pool's id `pool` begins with no AWS region, and none is set")
        .says("hint: a pool's id looks like `us-east-1_AbCdEfGhI`");
    world.run("cognito-list-users", &["--user-pool-id", ""]).ends_with(2);
}

/// `AWS_ENDPOINT_URL` means DynamoDB in this app.
#[test]
fn of_the_endpoint_variables_only_its_own_counts() {
    let Some(world) = pool_of(1) else { return };
    let mut command = world.tool("cognito-list-users", &[]);
    command.env("AWS_ENDPOINT_URL", "http://127.0.0.1:1");
    Run::of(command).succeeds().says("1 user");
    // The SDK's own sign-in would follow it, and STS's.
    for variable in ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_STS"] {
        let mut command = world.tool("cognito-list-users", &["--user-pool-id", "us-east-1_AbC"]);
        command.env_remove(ENDPOINT).env_remove("AWS_ENDPOINT_URL_STS");
        command.env(variable, "http://127.0.0.1:1");
        Run::of(command)
            .ends_with(1)
            .says(&format!("{variable} in the environment"))
            .says(&format!("hint: remove it for this call: `env -u {variable} …`"));
    }
    for wrong in ["http://u:s3cret@localhost:9229", "localhost:9229", "http://localhost:9229/x"] {
        let mut command = world.tool("cognito-list-users", &[]);
        command.env(ENDPOINT, wrong);
        Run::of(command)
            .ends_with(1)
            .says(&format!("error: the endpoint in {ENDPOINT} is not usable"))
            .does_not_say("s3cret");
    }
    let mut command = world.tool("cognito-list-users", &[]);
    command.env(ENDPOINT, "http://127.0.0.1:1");
    Run::of(command)
        .ends_with(1)
        .says("error: cannot reach Cognito at `http://127.0.0.1:1`\n  cause: connection refused")
        .says("docker compose --profile cognito up -d");
}
