//! `ddb-import --from`: DynamoDB's own import from S3. The server of the tests has none, so
//! a proxy in front of it answers as DynamoDB does.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use cli_tests::proxy::{Answer, Proxy, Request};
use cli_tests::{Run, World, wait_for};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::bulk::world;
use crate::docs::{actions, allowed, policy};

const ID: &str = "01693685827463-2d8752fd";
const FROM: &str = "s3://backups/2026/AWSDynamoDB/01693685827463-2d8752fd";
const ARN: &str =
    "arn:aws:dynamodb:ca-central-1:123456789012:table/copy/import/01700000000000-0a1b2c3d";
const LOG: &str = "arn:aws:logs:ca-central-1:123456789012:log-group:/aws-dynamodb/imports:*";

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

fn state(status: &str, more: &Value) -> Value {
    let mut state = json!({
        "ImportArn": ARN, "ImportStatus": status, "StartTime": now(),
        "CloudWatchLogGroupArn": LOG, "ErrorCount": 0, "ProcessedItemCount": 0, "ImportedItemCount": 0,
        "S3BucketSource": {"S3Bucket": "backups", "S3KeyPrefix": format!("2026/AWSDynamoDB/{ID}/data/")},
    });
    let more = more.as_object().expect("an object").clone();
    state.as_object_mut().expect("an object").extend(more);
    state
}

fn counts(read: u64, written: u64, errors: u64) -> Value {
    json!({"ProcessedItemCount": read, "ImportedItemCount": written, "ErrorCount": errors, "ProcessedSizeBytes": 2048})
}

fn reply(body: Value) -> Answer {
    Answer::Reply { status: 200, body }
}

fn is(state: &Value) -> Answer {
    reply(json!({"ImportTableDescription": state}))
}

fn fails(code: &str) -> Answer {
    let body =
        json!({"__type": format!("com.amazonaws.dynamodb.v20120810#{code}"), "message": "why not"});
    Answer::Reply { status: 400, body }
}

/// A DynamoDB with an export of 104 items, where imports begin with `begun` and then are
/// what `looks` says of the n-th look.
fn dynamodb(
    world: &World,
    begun: impl Fn(usize, &Request) -> Answer + Send + Sync + 'static,
    looks: impl Fn(usize) -> Answer + Send + Sync + 'static,
) -> Proxy {
    let (begins, looked) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let export = format!("arn:aws:dynamodb:ca-central-1:123456789012:table/orders/export/{ID}");
    Proxy::start(&world.endpoint(), move |_, request| match request.operation.as_str() {
        "ImportTable" => begun(begins.fetch_add(1, Ordering::SeqCst), request),
        "DescribeImport" => looks(looked.fetch_add(1, Ordering::SeqCst)),
        "ListExports" => reply(json!({"ExportSummaries": [
            {"ExportArn": export.replace(ID, "01600000000000-00000000")}, {"ExportArn": export}]})),
        "DescribeExport" => {
            assert_eq!(request.body["ExportArn"], export);
            reply(json!({"ExportDescription": {"ExportArn": export, "ItemCount": 104}}))
        }
        _ => Answer::Forward,
    })
}

fn begins(_: usize, _: &Request) -> Answer {
    is(&state("IN_PROGRESS", &json!({})))
}

/// The definition of `ddb-schema-load` that is compiled in, with more members.
fn schema(world: &World, more: &str) -> String {
    let file = cli_tests::workspace().join("seed-data/tables/cruddur-messages.json");
    let text = std::fs::read_to_string(file).expect("a definition");
    world.file("t.json", text.replacen('{', &format!("{{{more}"), 1))
}

fn import(world: &World, proxy: &Proxy, arguments: &[&str]) -> Run {
    let endpoint = proxy.url();
    let all = [&["prod", "--endpoint-url", &endpoint][..], arguments].concat();
    Run::of(world.prod_command("ddb-import", &all))
}

fn requests(proxy: &Proxy, operation: &str) -> Vec<Value> {
    let requests = proxy.requests().into_iter().filter(|request| request.operation == operation);
    requests.map(|request| request.body).collect()
}

#[test]
fn a_table_is_made_of_an_export_and_waited_for() {
    let world = world();
    let schema = schema(&world, "");
    let proxy = dynamodb(&world, begins, |look| {
        is(&if look < 3 {
            state("IN_PROGRESS", &json!({}))
        } else {
            state("COMPLETED", &counts(104, 104, 0))
        })
    });
    let arguments = ["--from", FROM, "--schema", &schema, "--table", "copy", "--yes"];
    import(&world, &proxy, &arguments)
        .succeeds()
        .prints_only(&format!("{ARN}\n"))
        .says("this makes the table `copy` (pk HASH S, sk RANGE S; PROVISIONED, 5 read, 5 write) of all that begins with s3://backups/2026/AWSDynamoDB/01693685827463-2d8752fd/data/ (DYNAMODB_JSON, GZIP).\n")
        .says("It costs by the size of the unpacked items, which nobody knows before: about 0.15 USD a GB.\n")
        .says("104 items read: 104 written, 0 rejected; 2.0 KiB unpacked\n");
    let asked = &requests(&proxy, "ImportTable")[0];
    let definition: Value =
        serde_json::from_str(&std::fs::read_to_string(&schema).expect("a file")).expect("JSON");
    let mut made = asked["TableCreationParameters"].clone();
    assert_eq!(made["TableName"], "copy");
    made["TableName"] = json!("cruddur-messages");
    assert_eq!(made, definition);
    assert_eq!(
        asked["S3BucketSource"],
        json!({"S3Bucket": "backups", "S3KeyPrefix": format!("2026/AWSDynamoDB/{ID}/data/")})
    );
    let called: BTreeSet<String> = proxy.requests().iter().flat_map(actions).collect();
    let mut allowed = allowed(&policy("ddb-import-from-s3"));
    allowed.retain(|action| action.starts_with("dynamodb:"));
    assert_eq!(called, allowed);
    // As a document, and of files that are no export.
    let arguments = [
        &arguments[2..],
        &["--from", "s3://backups/2026-1", "--format", "csv", "--output", "json"],
    ]
    .concat();
    let run = import(&world, &proxy, &arguments).succeeds();
    assert_eq!(run.json()["written"], 104);
    let run = run.says(&format!("started {ARN}\n"));
    assert_eq!(run.json()["rejected"], 0);
    let asked = &requests(&proxy, "ImportTable")[1];
    assert_eq!(asked["S3BucketSource"]["S3KeyPrefix"], "2026-1/");
    assert_eq!(
        (&asked["InputFormat"], &asked["InputCompressionType"]),
        (&json!("CSV"), &json!("NONE"))
    );
}

/// A repeated request joins the import that goes on. One that is over made a table that is
/// gone: DynamoDB would answer with it, and make nothing.
#[test]
fn a_token_that_names_an_earlier_import_is_not_taken_for_this_one() {
    let world = world();
    let schema = schema(&world, "");
    let arguments = ["--from", FROM, "--schema", &schema, "--table", "copy", "--yes", "--no-wait"];
    let earlier = |status: &str| {
        state(status, &json!({"StartTime": now() - 3600, "ImportArn": ARN.replace("017", "016")}))
    };
    let going_on = earlier("IN_PROGRESS");
    let proxy = dynamodb(&world, move |_, _| is(&going_on), |_| unreachable!("--no-wait"));
    import(&world, &proxy, &arguments)
        .succeeds()
        .prints_only(&format!("{}\n", ARN.replace("017", "016")))
        .says("the import goes on in DynamoDB; `ddb-import prod --resume arn:");
    let over = [earlier("COMPLETED"), earlier("FAILED")];
    let proxy = dynamodb(
        &world,
        move |begun, _| {
            is(&over.get(begun).cloned().unwrap_or_else(|| state("IN_PROGRESS", &json!({}))))
        },
        |_| unreachable!("--no-wait"),
    );
    import(&world, &proxy, &arguments).succeeds().prints_only(&format!("{ARN}\n"));
    let asked = requests(&proxy, "ImportTable");
    let tokens: BTreeSet<String> =
        asked.iter().map(|body| body["ClientToken"].to_string()).collect();
    assert_eq!((asked.len(), tokens.len()), (3, 3));
}

#[test]
fn an_import_that_is_not_whole_says_what_is_where() {
    let world = world();
    let schema = schema(&world, "");
    let arguments = ["--from", FROM, "--schema", &schema, "--table", "copy", "--yes"];
    let failure = |counts: Value| {
        let mut more = counts;
        more["FailureCode"] = json!("ItemValidationError");
        more["FailureMessage"] = json!("Some of the items failed validation checks");
        more
    };
    for (status, more, exit, says) in [
        (
            "FAILED",
            failure(counts(0, 0, 0)),
            1,
            "error: the import is FAILED: ItemValidationError\n  cause: Some of the items failed validation checks\n",
        ),
        (
            "FAILED",
            failure(counts(104, 60, 44)),
            3,
            "error: the import is FAILED: ItemValidationError\n",
        ),
        ("CANCELLED", counts(20, 20, 0), 3, "error: the import is CANCELLED\n"),
        ("COMPLETED", counts(104, 100, 4), 3, "error: 4 items not written\n"),
        ("COMPLETED", counts(104, 0, 104), 1, "error: 104 items not written\n"),
        (
            "COMPLETED",
            counts(0, 0, 0),
            1,
            "error: no item was imported\n  cause: no key in the bucket begins with `2026/AWSDynamoDB/01693685827463-2d8752fd/data/`, or the files have no items\n",
        ),
        (
            "COMPLETED",
            counts(100, 100, 0),
            3,
            "error: 100 items were read, and the export has 104\n",
        ),
    ] {
        let ended = state(status, &more);
        let proxy = dynamodb(&world, begins, move |_| is(&ended));
        import(&world, &proxy, &arguments)
            .ends_with(exit)
            .prints_only(&format!("{ARN}\n"))
            .says(says)
            .says(&format!("hint: each error is in the CloudWatch log group {LOG}\n"))
            .says("hint: the table stays as it is, where it was made; `ddb-drop copy prod` deletes it\n");
    }
    // Two items with one key are one.
    let ended = state("COMPLETED", &counts(104, 103, 0));
    let proxy = dynamodb(&world, begins, move |_| is(&ended));
    import(&world, &proxy, &arguments)
        .succeeds()
        .says("warning: 1 item had the key of another: the last one written is there\n");
}

#[test]
fn what_cannot_be_imported_is_said_before_anything_is_started() {
    let world = world();
    let good = schema(&world, "");
    let proxy = dynamodb(&world, begins, |_| unreachable!("nothing is started"));
    let with = |more: &[&str]| {
        import(&world, &proxy, &[&["--from", FROM, "--schema", &good][..], more].concat())
    };
    with(&["--table", "cruddur-messages", "--yes"])
        .ends_with(1)
        .prints_only("")
        .says("error: there is a table `cruddur-messages` already\n  cause: DynamoDB imports from S3 into new tables only\n")
        .says("hint: if an import is making it: `aws dynamodb list-imports --table-arn arn:");
    with(&["--table", "copy"]).ends_with(1).says("hint: consent with --yes\n");
    with(&["--yes"])
        .ends_with(2)
        .says("error: nothing names the table that is made\n  hint: name a new one with --table\n");
    with(&["--table", "copy", "--format", "jsonl"])
        .ends_with(2)
        .says("DynamoDB imports dynamodb-json and csv, and no jsonl");
    for more in [
        &["--rejects", "a"][..],
        &["--checkpoint", "a"],
        &["--part", "1/2"],
        &["--dry-run"],
        &["--max-wcu", "5"],
    ] {
        with(&[&["--table", "copy"], more].concat()).ends_with(2).says("cannot be used with");
    }
    with(&["--table", "copy", "--resume", ARN]).ends_with(2).says("cannot be used with");
    import(&world, &proxy, &["--from", FROM, "--table", "copy"])
        .ends_with(2)
        .says("--schema <FILE>");
    let local = r#""LocalSecondaryIndexes": [{"IndexName": "l", "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}], "Projection": {"ProjectionType": "ALL"}}],"#;
    let stream = r#""StreamSpecification": {"StreamEnabled": true},"#;
    for (more, says) in [
        (
            local,
            "error: an import from S3 makes no table with `LocalSecondaryIndexes`\n  cause: local indexes are made with the table, and ImportTable makes none\n",
        ),
        (
            stream,
            "error: an import from S3 makes no table with `StreamSpecification`\n  hint: leave them out of the definition",
        ),
    ] {
        let schema = schema(&world, more);
        import(&world, &proxy, &["--from", FROM, "--schema", &schema, "--table", "copy", "--yes"])
            .ends_with(1)
            .says(says);
    }
    for (from, says) in [
        (format!("{FROM}/manifest-summary.json"), "is a file, and DynamoDB imports folders"),
        (format!("{FROM}/data/a.json.gz"), "is a file, and DynamoDB imports folders"),
    ] {
        import(&world, &proxy, &["--from", &from, "--schema", &good, "--table", "copy", "--yes"])
            .ends_with(2)
            .says(says);
    }
    for more in [["--format", "csv"], ["--compression", "none"]] {
        with(&[&["--table", "copy"], &more[..]].concat())
            .ends_with(2)
            .says("an export of DynamoDB is dynamodb-json, packed with gzip");
    }
    let unknown = state("PAUSED", &json!({}));
    let paused = dynamodb(&world, begins, move |_| is(&unknown));
    import(&world, &paused, &["--resume", ARN]).ends_with(1).says("its status is PAUSED");
    import(&world, &proxy, &["--resume", &ARN.replace("/import/", "/export/")])
        .ends_with(2)
        .says("is an export\n");
    assert!(requests(&proxy, "ImportTable").is_empty());
    let schema = schema(&world, "");
    for target in [&[][..], &["local"]] {
        let arguments =
            [target, &["--from", FROM, "--schema", &schema, "--table", "copy"]].concat();
        world
            .run("ddb-import", &arguments)
            .ends_with(2)
            .says("error: only DynamoDB at AWS imports from S3; `local` has no such operation\n")
            .says("`ddb-import FOLDER --table NAME` writes the same items\n");
    }
    world
        .run("ddb-import", &["items.json", "prod", "--from", FROM, "--schema", &schema])
        .ends_with(2)
        .says("DynamoDB imports from S3, and `items.json` is a file here");
    world.run("ddb-import", &[]).ends_with(2).says("error: no FILE is named\n");
}

#[test]
fn an_import_that_dynamodb_refuses() {
    let world = world();
    let schema = schema(&world, "");
    for code in [
        "ResourceInUseException",
        "LimitExceededException",
        "ImportConflictException",
        "AccessDeniedException",
    ] {
        let proxy =
            dynamodb(&world, move |_, _| fails(code), |_| unreachable!("nothing is started"));
        import(&world, &proxy, &["--from", FROM, "--schema", &schema, "--table", "copy", "--yes"])
            .ends_with(1)
            .prints_only("")
            .says("error: cannot import into the table `copy`")
            .says("why not");
    }
}

#[test]
fn ctrl_c_leaves_the_import_going_on_and_resume_waits_for_it() {
    let world = world();
    let schema = schema(&world, "");
    let proxy = dynamodb(&world, begins, |look| match look {
        0..4 => fails("ThrottlingException"),
        _ => is(&state("IN_PROGRESS", &json!({}))),
    });
    let endpoint = proxy.url();
    let arguments = [
        "prod",
        "--endpoint-url",
        &endpoint,
        "--from",
        FROM,
        "--schema",
        &schema,
        "--table",
        "copy",
        "--yes",
    ];
    let mut command = world.prod_command("ddb-import", &arguments);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("spawn");
    wait_for("a look", || requests(&proxy, "DescribeImport").len() > 4);
    kill(Pid::from_raw(i32::try_from(child.id()).expect("a pid")), Signal::SIGINT)
        .expect("a signal");
    let output = child.wait_with_output().expect("an end");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(
        said.contains(&format!("  cause: the import goes on in DynamoDB\n  hint: `ddb-import prod --resume {ARN}` waits for it\n")),
        "{said}"
    );
    let proxy = dynamodb(&world, begins, |_| is(&state("COMPLETED", &counts(104, 104, 0))));
    import(&world, &proxy, &["--resume", ARN])
        .succeeds()
        .prints_only("")
        .says("104 items read: 104 written");
    let proxy = dynamodb(&world, begins, |_| fails("ImportNotFoundException"));
    import(&world, &proxy, &["--resume", ARN])
        .ends_with(1)
        .says("hint: an import is of one account and one region: look at both\n");
}
