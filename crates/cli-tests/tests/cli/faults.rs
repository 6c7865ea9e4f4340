//! Faults that a real server cannot be made to show: batches taken in part,
//! throttling. Nothing is lost, nothing written twice, a deadline ends it.

use cli_tests::proxy::{Answer, Proxy, Request};
use cli_tests::{Run, World};
use serde_json::{Value, json};

fn writes(request: &Request) -> Option<&Vec<Value>> {
    if request.operation != "BatchWriteItem" {
        return None;
    }
    request.body["RequestItems"]["cruddur-messages"].as_array()
}

/// Takes the first `taken` requests of a batch and gives the others back.
fn take(request: &Request, taken: usize) -> Answer {
    let writes = writes(request).expect("a batch");
    let (first, rest) = writes.split_at(taken.min(writes.len()));
    if rest.is_empty() {
        return Answer::Forward;
    }
    let unprocessed = json!({"UnprocessedItems": {"cruddur-messages": rest}});
    if first.is_empty() {
        return Answer::Reply { status: 200, body: unprocessed };
    }
    let mut body = request.body.clone();
    body["RequestItems"]["cruddur-messages"] = json!(first);
    Answer::Instead { body, add: unprocessed }
}

fn throttled() -> Answer {
    let body = json!({"__type": "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException", "message": "slow down"});
    Answer::Reply { status: 400, body }
}

fn keys_put(proxy: &Proxy) -> Vec<String> {
    let requests = proxy.requests();
    let puts =
        requests.iter().filter_map(writes).flatten().map(|write| &write["PutRequest"]["Item"]);
    puts.map(|item| format!("{} {}", item["pk"], item["sk"])).collect()
}

#[test]
fn unprocessed_items_are_written_in_the_end_and_once() {
    let world = World::ready();
    let proxy = Proxy::start(&world.endpoint(), |_, request| match writes(request) {
        Some(writes) if writes.len() > 7 => take(request, 7),
        _ => Answer::Forward,
    });
    world
        .run("ddb-seed", &["--endpoint-url", &proxy.url()])
        .succeeds()
        .prints("seeded 104 messages");
    assert_eq!(world.items("cruddur-messages").len(), 106);
    let sent = keys_put(&proxy);
    // More were sent than there are, since some came back; none beyond these.
    assert!(sent.len() > 106);
    let mut distinct = sent;
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), 106);
}

#[test]
fn a_batch_never_holds_more_than_25() {
    let world = World::ready();
    let proxy = Proxy::start(&world.endpoint(), |number, request| match writes(request) {
        Some(_) if number % 2 == 0 => take(request, 3),
        _ => Answer::Forward,
    });
    world.run("ddb-seed", &["--endpoint-url", &proxy.url()]).succeeds();
    assert!(proxy.requests().iter().filter_map(writes).all(|writes| writes.len() <= 25));
    assert_eq!(world.items("cruddur-messages").len(), 106);
}

#[test]
fn nothing_taken_ever_ends_by_the_deadline() {
    let world = World::ready();
    let proxy = Proxy::start(&world.endpoint(), |_, request| match writes(request) {
        Some(_) => take(request, 0),
        None => Answer::Forward,
    });
    world
        .run("ddb-seed", &["--endpoint-url", &proxy.url(), "--give-up-after", "1"])
        .ends_with(3)
        .prints_only("")
        .says("error: no progress after 1 s of retries: the table `cruddur-messages` is throttled")
        .says("0 of 106 rows are known to be written")
        .says("hint: run it again later");
    assert!(world.items("cruddur-messages").is_empty());
}

#[test]
fn what_was_written_before_the_deadline_is_told_and_a_second_run_completes_it() {
    let world = World::ready();
    let proxy = Proxy::start(&world.endpoint(), |number, request| match writes(request) {
        Some(_) if number > 5 => take(request, 0),
        _ => Answer::Forward,
    });
    let start = ["--start", "2026-01-01"];
    let mut arguments = vec!["--endpoint-url", "", "--give-up-after", "1"];
    arguments.extend(start);
    let url = proxy.url();
    arguments[1] = &url;
    let run = world.run("ddb-seed", &arguments).ends_with(3);
    let written = world.items("cruddur-messages").len();
    assert!(written > 0 && written < 106, "{run}");
    run.says(&format!("{written} of 106 rows are known to be written"));
    world.run("ddb-seed", &start).succeeds().says(&format!("{} put", 106 - written));
    assert_eq!(world.items("cruddur-messages").len(), 106);
}

/// An interrupted seed loses nothing: old rows go only after all new ones came.
#[test]
fn a_replacement_that_breaks_off_keeps_what_was_there() {
    let world = World::seeded();
    let before = world.items("cruddur-messages");
    let proxy = Proxy::start(&world.endpoint(), |number, request| match writes(request) {
        Some(_) if number > 5 => throttled(),
        _ => Answer::Forward,
    });
    world
        .run(
            "ddb-seed",
            &["--start", "2026-02-01", "--give-up-after", "1", "--endpoint-url", &proxy.url()],
        )
        .ends_with(3);
    let after = world.items("cruddur-messages");
    assert!(before.iter().all(|item| after.contains(item)));
    world.run("ddb-seed", &["--start", "2026-02-01"]).succeeds();
    assert_eq!(world.items("cruddur-messages").len(), 106);
}

#[test]
fn a_burst_of_throttling_passes() {
    let world = World::ready();
    let proxy = Proxy::start(&world.endpoint(), |number, request| match writes(request) {
        Some(_) if number < 12 => throttled(),
        _ => Answer::Forward,
    });
    world.run("ddb-seed", &["--endpoint-url", &proxy.url()]).succeeds();
    assert_eq!(world.items("cruddur-messages").len(), 106);
}

#[test]
fn a_refused_batch_ends_it_with_what_was_written() {
    let world = World::ready();
    let proxy = Proxy::start(&world.endpoint(), |number, request| match writes(request) {
        Some(_) if number > 5 => Answer::Reply {
            status: 400,
            body: json!({"__type": "com.amazon.coral.service#AccessDeniedException", "Message": "not authorized to perform: dynamodb:BatchWriteItem"}),
        },
        _ => Answer::Forward,
    });
    let run = world
        .run("ddb-seed", &["--endpoint-url", &proxy.url()])
        .ends_with(3)
        .says("error: cannot write to the table `cruddur-messages`")
        .says("AccessDeniedException: not authorized to perform: dynamodb:BatchWriteItem")
        .says("hint: the credentials lack a permission");
    run.says(&format!(
        "{} of 106 rows are known to be written",
        world.items("cruddur-messages").len()
    ));
}

#[test]
fn a_scan_that_breaks_off_is_a_failure() {
    let world = World::seeded();
    let proxy =
        Proxy::start(&world.endpoint(), |number, request| match request.operation.as_str() {
            "Scan" if number < 3 => {
                let mut body = request.body.clone();
                body["Limit"] = json!(10);
                Answer::Instead { body, add: json!({}) }
            }
            "Scan" => Answer::Reply {
                status: 400,
                body: json!({"__type": "x#AccessDeniedException", "message": "no"}),
            },
            _ => Answer::Forward,
        });
    let run =
        world.run("ddb-scan", &["--output", "json", "--endpoint-url", &proxy.url()]).ends_with(1);
    // Half an array is no JSON: a script does not take it for the whole.
    assert!(serde_json::from_str::<Value>(&run.stdout).is_err(), "{run}");
    run.says("error: cannot scan the table `cruddur-messages`");
}

#[test]
fn expired_credentials_say_how_to_sign_in() {
    let world = World::dynamodb();
    let proxy = Proxy::start(&world.endpoint(), |_, _| Answer::Reply {
        status: 400,
        body: json!({"__type": "com.amazon.coral.service#ExpiredTokenException", "message": "The security token included in the request is expired"}),
    });
    let mut command = world.tool(
        "ddb-list-tables",
        &["prod", "--endpoint-url", &proxy.url(), "--region", "eu-west-1"],
    );
    command
        .env_remove("AWS_ENDPOINT_URL_DYNAMODB")
        .env("AWS_ACCESS_KEY_ID", "A")
        .env("AWS_SECRET_ACCESS_KEY", "s3cret");
    cli_tests::Run::of(command)
        .ends_with(1)
        .says("cause: ExpiredTokenException: The security token included in the request is expired")
        .says("hint: sign in again (`aws sso login`)")
        .does_not_say("s3cret");
}

/// What was done is said, also where standard output cannot take it.
#[cfg(target_os = "linux")]
#[test]
fn what_was_written_is_said_where_stdout_is_full() {
    let Some(world) = World::whole() else { return };
    let full = |tool: &str, arguments: &[&str]| {
        let mut command = world.tool(tool, arguments);
        let full = std::fs::File::options().write(true).open("/dev/full").expect("/dev/full");
        let output = command.stdout(full).output().expect("run");
        let stderr = String::from_utf8(output.stderr).expect("UTF-8");
        Run { stdout: String::new(), stderr, status: output.status.code() }
    };
    for output in ["table", "json"] {
        full("ddb-send-message", &["--from", "bayko", "--to", "jess-bk", "Hi", "--output", output])
            .ends_with(1)
            .says("sent; ")
            .says("error: cannot write to standard output")
            .says("cause: the message is sent, in the conversation");
    }
    full("ddb-seed", &["--start", "2026-02-01"])
        .ends_with(1)
        .says("rows: 104 put")
        .says("error: cannot write to standard output");
    world.sql("UPDATE users SET cognito_user_id = 'MOCK' WHERE handle = 'bayko'");
    full("check-identities", &["--output", "json"])
        .ends_with(3)
        .says("1 person with a broken link")
        .says("cause: cannot write to standard output");
    full("update-cognito-user-ids", &["--check", "--output", "json"])
        .ends_with(3)
        .says("cause: cannot write to standard output");
}
