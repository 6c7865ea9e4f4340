//! `ddb-export --to`: DynamoDB's own export to S3. The server of the tests has none, so a
//! proxy in front of it answers as DynamoDB does.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::{SystemTime, UNIX_EPOCH};

use cli_tests::proxy::{Answer, Proxy, Request};
use cli_tests::{Run, World, wait_for};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::bulk::world;
use crate::docs::{actions, allowed, policy};

const TO: &str = "s3://backups/2026";
const ARN: &str = "arn:aws:dynamodb:ca-central-1:123456789012:table/cruddur-messages/export/01693685827463-2d8752fd";

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

/// How an export is, as DescribeExport says it.
fn state(status: &str) -> Value {
    json!({
        "ExportArn": ARN, "ExportStatus": status, "StartTime": now(), "ExportTime": 1_793_000_000,
        "TableArn": "arn:aws:dynamodb:ca-central-1:123456789012:table/cruddur-messages",
        "S3Bucket": "backups", "S3Prefix": "2026", "ExportFormat": "DYNAMODB_JSON",
    })
}

fn with(mut state: Value, more: Value) -> Value {
    let more = more.as_object().expect("an object").clone();
    state.as_object_mut().expect("an object").extend(more);
    state
}

fn completed() -> Value {
    with(
        state("COMPLETED"),
        json!({
            "ItemCount": 104, "BilledSizeBytes": 23_552,
            "ExportManifest": "2026/AWSDynamoDB/01693685827463-2d8752fd/manifest-summary.json",
        }),
    )
}

fn reply(body: Value) -> Answer {
    Answer::Reply { status: 200, body }
}

fn fails(code: &str, message: &str) -> Answer {
    let body =
        json!({"__type": format!("com.amazonaws.dynamodb.v20120810#{code}"), "message": message});
    Answer::Reply { status: 400, body }
}

/// A DynamoDB with point-in-time recovery on, where exports begin with `begun` and then are
/// what `looks` says of the n-th look.
fn dynamodb(
    world: &World,
    begun: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    looks: impl Fn(usize) -> Answer + Send + Sync + 'static,
) -> Proxy {
    let looked = std::sync::atomic::AtomicUsize::new(0);
    Proxy::start(&world.endpoint(), move |_, request| match request.operation.as_str() {
        "DescribeContinuousBackups" => reply(json!({"ContinuousBackupsDescription": {
        "ContinuousBackupsStatus": "ENABLED",
        "PointInTimeRecoveryDescription": {
            "PointInTimeRecoveryStatus": "ENABLED",
            "EarliestRestorableDateTime": 1_790_000_000,
            "LatestRestorableDateTime": now() - 300,
        }}})),
        "ExportTableToPointInTime" => begun(request),
        "DescribeExport" => looks(looked.fetch_add(1, std::sync::atomic::Ordering::SeqCst)),
        _ => Answer::Forward,
    })
}

fn begins() -> impl Fn(&Request) -> Answer + Send + Sync + 'static {
    |_| reply(json!({"ExportDescription": state("IN_PROGRESS")}))
}

fn is(state: Value) -> Answer {
    reply(json!({"ExportDescription": state}))
}

fn export(world: &World, proxy: &Proxy, arguments: &[&str]) -> Run {
    let endpoint = proxy.url();
    let all = [&["prod", "--endpoint-url", &endpoint][..], arguments].concat();
    Run::of(world.prod_command("ddb-export", &all))
}

fn requests(proxy: &Proxy, operation: &str) -> Vec<Value> {
    let requests = proxy.requests().into_iter().filter(|request| request.operation == operation);
    requests.map(|request| request.body).collect()
}

#[test]
fn a_table_is_exported_and_waited_for() {
    let world = world();
    let proxy = dynamodb(&world, begins(), |look| {
        is(if look < 5 { state("IN_PROGRESS") } else { completed() })
    });
    export(&world, &proxy, &["--to", TO, "--yes"])
        .succeeds()
        .prints_only(&format!("{ARN}\n"))
        .says("this exports the table `cruddur-messages` to s3://backups/2026.\n")
        .says("It costs about 0.01 USD: 0.10 USD a GB is assumed, which differs by region and changes; OPS_EXPORT_USD_PER_GB sets another.\n")
        .says("exported 104 items as of 2026-10-26T")
        .says("; billed for 23.0 KiB\n")
        .says("its manifest is s3://backups/2026/AWSDynamoDB/01693685827463-2d8752fd/manifest-summary.json\n")
        .says("`aws s3 sync s3://backups/2026/AWSDynamoDB/01693685827463-2d8752fd FOLDER` downloads it");
    assert_eq!(requests(&proxy, "DescribeExport").len(), 6);
    let begun = &requests(&proxy, "ExportTableToPointInTime")[0];
    assert_eq!(begun["S3Bucket"], "backups");
    assert_eq!(begun["S3Prefix"], "2026");
    assert_eq!(begun["ExportFormat"], "DYNAMODB_JSON");
    assert!(begun["ExportTime"].is_null() && begun["S3BucketOwner"].is_null(), "{begun}");
    // The rest of its policy is what DynamoDB does in the bucket, by the caller's right.
    let called: BTreeSet<String> = proxy.requests().iter().flat_map(actions).collect();
    let mut allowed = allowed(&policy("ddb-export-to-s3"));
    allowed.retain(|action| !action.starts_with("s3:"));
    assert_eq!(called, allowed);
}

/// A repeated command is the same request: DynamoDB gives the export that it has.
#[test]
fn a_repeated_command_joins_the_export_that_there_is() {
    let world = world();
    let earlier = with(state("IN_PROGRESS"), json!({"StartTime": now() - 3600}));
    let proxy = dynamodb(&world, move |_| is(earlier.clone()), |_| is(completed()));
    let run = |arguments: &[&str]| {
        export(&world, &proxy, &[&["--yes", "--no-wait", "--to"][..], arguments].concat())
            .succeeds()
    };
    run(&[TO]).says("the same export was started at 2").says(" already: this is that one\n");
    run(&["s3://backups/2026/"]).prints_only(&format!("{ARN}\n")).says(&format!(
        "the export goes on in DynamoDB; `ddb-export prod --resume {ARN}` waits for it\n"
    ));
    run(&["s3://backups/2027"]);
    run(&[TO, "--bucket-owner", "210987654321"]);
    run(&[TO, "--kms-key", "arn:aws:kms:ca-central-1:123456789012:key/k"]);
    run(&[TO, "--at", "2026-10-30T00:00:00Z"]);
    let begun = requests(&proxy, "ExportTableToPointInTime");
    let tokens: Vec<&Value> = begun.iter().map(|request| &request["ClientToken"]).collect();
    assert_eq!(tokens[0], tokens[1]);
    for (place, token) in tokens.iter().enumerate().skip(2) {
        assert!(!tokens[..place].contains(token), "{tokens:?}");
    }
    assert_eq!(begun[3]["S3BucketOwner"], "210987654321");
    assert_eq!(begun[4]["S3SseAlgorithm"], "KMS");
    assert_eq!(begun[5]["ExportTime"], 1_793_318_400);
    assert!(requests(&proxy, "DescribeExport").is_empty());
}

#[test]
fn what_cannot_be_exported_is_said_before_anything_is_started() {
    let world = world();
    let proxy = Proxy::start(&world.endpoint(), |_, request| match request.operation.as_str() {
        "DescribeContinuousBackups" => reply(json!({"ContinuousBackupsDescription": {
            "ContinuousBackupsStatus": "ENABLED",
            "PointInTimeRecoveryDescription": {"PointInTimeRecoveryStatus": "DISABLED"}}})),
        _ => Answer::Forward,
    });
    export(&world, &proxy, &["--to", TO, "--yes"])
        .ends_with(1)
        .prints_only("")
        .says("error: point-in-time recovery of the table `cruddur-messages` is off\n")
        .says("hint: turn it on, which costs by the table's size: `aws dynamodb update-continuous-backups --table-name cruddur-messages --point-in-time-recovery-specification PointInTimeRecoveryEnabled=true --region ca-central-1");
    assert!(requests(&proxy, "UpdateContinuousBackups").is_empty());
    let proxy = dynamodb(&world, begins(), |_| is(completed()));
    for at in ["2020-01-01T00:00:00Z", "2090-01-01T00:00:00Z"] {
        export(&world, &proxy, &["--to", TO, "--yes", "--at", at])
            .ends_with(1)
            .says("cannot be exported as it was at 20")
            .says("cause: its backups are of 2026-09-21T");
    }
    export(&world, &proxy, &["--to", TO])
        .ends_with(1)
        .says("there is no terminal to ask at")
        .says("hint: consent with --yes\n");
    export(&world, &proxy, &["--to", TO, "--yes", "--table", "none"])
        .ends_with(1)
        .says("there is no table `none`");
    for (arguments, says) in [
        (&["--to", "backups"][..], "a place in S3 like `s3://BUCKET/PREFIX`: 3 to 63 of"),
        (&["--to", "s3://backups/../x"], "a place in S3 like"),
        (&["--to", TO, "--out", "a.json"], "cannot be used with"),
        (&["--to", TO, "--filter", "a = :a"], "cannot be used with"),
        (&["--to", TO, "--resume", ARN], "cannot be used with"),
        (&["--no-wait"], "required"),
        (
            &["--resume", "arn:aws:dynamodb:x"],
            "an ARN like `arn:aws:dynamodb:REGION:ACCOUNT:table/NAME/export/ID`",
        ),
    ] {
        export(&world, &proxy, arguments).ends_with(2).prints_only("").says(says);
    }
    export(&world, &proxy, &["--resume", &ARN.replace("/export/", "/import/")])
        .ends_with(2)
        .says("is an import\n");
    let mut command = world.prod_command("ddb-export", &["prod", "--to", TO, "--yes"]);
    command.env("OPS_EXPORT_USD_PER_GB", "dear");
    Run::of(command).ends_with(2).says("error: OPS_EXPORT_USD_PER_GB is `dear`\n");
    assert!(requests(&proxy, "ExportTableToPointInTime").is_empty());
    world
        .run("ddb-export", &["--to", TO])
        .ends_with(2)
        .says("error: only DynamoDB at AWS exports to S3; `local` has no such operation\n  hint: `ddb-export --out FILE` writes the same items to a file\n");
    world.run("ddb-export", &["--resume", ARN]).ends_with(2).says("`local` has no such operation");
}

#[test]
fn the_price_is_by_the_rate_that_is_named() {
    let world = world();
    let proxy = dynamodb(&world, begins(), |_| is(completed()));
    let endpoint = proxy.url();
    let arguments = ["prod", "--endpoint-url", &endpoint, "--to", TO, "--yes", "--no-wait"];
    let mut command = world.prod_command("ddb-export", &arguments);
    command.env("OPS_EXPORT_USD_PER_GB", "0.114");
    Run::of(command)
        .succeeds()
        .says("It costs about 0.01 USD, at 0.114 USD a GB by OPS_EXPORT_USD_PER_GB.\n");
}

#[test]
fn an_export_that_dynamodb_refuses() {
    let world = world();
    for (code, says) in [
        (
            "PointInTimeRecoveryUnavailableException",
            "hint: turn it on, which costs by the table's size",
        ),
        (
            "ExportConflictException",
            "hint: another export goes there, or asked for the same otherwise: `aws dynamodb list-exports --table-arn arn:",
        ),
        ("LimitExceededException", "hint: so many exports run at once: wait for one of them\n"),
        ("InvalidExportTimeException", "why not"),
    ] {
        let proxy = dynamodb(&world, move |_| fails(code, "why not"), |_| is(completed()));
        export(&world, &proxy, &["--to", TO, "--yes"])
            .ends_with(1)
            .prints_only("")
            .says("error: cannot export the table `cruddur-messages`")
            .says(says);
        assert!(requests(&proxy, "DescribeExport").is_empty());
    }
}

#[test]
fn an_export_that_fails_says_why_and_what_is_where() {
    let world = world();
    for (code, message) in [
        ("S3NoSuchBucket", "The specified bucket does not exist"),
        ("S3AccessDenied", "Access denied"),
        ("InternalServerError", "Try again"),
    ] {
        let failed = with(state("FAILED"), json!({"FailureCode": code, "FailureMessage": message}));
        let proxy = dynamodb(&world, begins(), move |_| is(failed.clone()));
        export(&world, &proxy, &["--to", TO, "--yes"])
            .ends_with(1)
            .prints_only(&format!("{ARN}\n"))
            .says(&format!("error: the export to s3://backups/2026 failed: {code}\n  cause: {message}\n"))
            .says("hint: the table is as it was; what is in the bucket already stays there, and is not whole\n");
    }
}

/// Nothing is made up of what an answer lacks, and a state that nobody knows is no reason
/// to wait.
#[test]
fn an_answer_that_is_not_whole() {
    let world = world();
    let without = |names: &[&str]| {
        let mut state = completed();
        names.iter().for_each(|name| drop(state.as_object_mut().expect("an object").remove(*name)));
        state
    };
    let nothing = without(&["ExportManifest", "ItemCount", "BilledSizeBytes"]);
    let proxy = dynamodb(&world, begins(), move |_| is(nothing.clone()));
    let run = export(&world, &proxy, &["--resume", ARN]).succeeds();
    let run = run
        .says("exported an unknown number of items as of 2026-10-26T")
        .says("; billed for an unknown size\n");
    assert!(!run.stderr.contains("s3 sync"), "{run}");
    for (state, says) in [
        (without(&["ExportStatus"]), "its status is missing"),
        (state("CANCELLED"), "its status is CANCELLED"),
    ] {
        let proxy = dynamodb(&world, begins(), move |_| is(state.clone()));
        export(&world, &proxy, &["--resume", ARN]).ends_with(1).says(says);
    }
    let elsewhere = ARN.replace("ca-central-1", "us-east-1");
    let proxy = dynamodb(&world, begins(), |_| is(completed()));
    export(&world, &proxy, &["--resume", &elsewhere])
        .ends_with(1)
        .says("error: the export is in us-east-1, and this acts in ca-central-1\n  hint: add --region us-east-1\n");
    export(&world, &proxy, &["--resume", ARN, "--table", "a"])
        .ends_with(2)
        .says("cannot be used with");
}

/// Looks that are throttled, or get no answer, are repeated: the export goes on meanwhile.
#[test]
fn a_look_that_fails_is_repeated() {
    let world = world();
    let proxy = dynamodb(&world, begins(), |look| match look {
        0..7 => fails("ThrottlingException", "Rate exceeded"),
        7..9 => Answer::Drop,
        9 => Answer::Reply { status: 500, body: json!({"__type": "InternalServerError"}) },
        10..12 => is(state("IN_PROGRESS")),
        _ => is(completed()),
    });
    export(&world, &proxy, &["--resume", ARN])
        .succeeds()
        .prints_only("")
        .says("exported 104 items");
    // One that will not be answered is not.
    let proxy =
        dynamodb(&world, begins(), |_| fails("ExportNotFoundException", "Export not found"));
    export(&world, &proxy, &["--resume", ARN])
        .ends_with(1)
        .says("hint: an export is of one account and one region: look at both\n");
    let other = ARN.replace("123456789012", "999999999999");
    let proxy = dynamodb(&world, begins(), |_| fails("AccessDeniedException", "not authorized"));
    export(&world, &proxy, &["--resume", &other]).ends_with(1).says("not authorized");
}

/// Ctrl-C ends the wait, and not the export.
#[test]
fn ctrl_c_leaves_the_export_going_on() {
    let world = world();
    let proxy = dynamodb(&world, begins(), |_| is(state("IN_PROGRESS")));
    let endpoint = proxy.url();
    let arguments = ["prod", "--endpoint-url", &endpoint, "--to", TO, "--yes"];
    let mut command = world.prod_command("ddb-export", &arguments);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("spawn");
    wait_for("a look", || !requests(&proxy, "DescribeExport").is_empty());
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid"));
    kill(pid, Signal::SIGINT).expect("a signal");
    let output = child.wait_with_output().expect("an end");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{ARN}\n"));
    assert!(
        said.contains(&format!(
            "error: interrupted\n  cause: the export goes on in DynamoDB\n  hint: `ddb-export prod --resume {ARN}` waits for it\n"
        )),
        "{said}"
    );
}

#[test]
fn the_changes_of_a_day_are_exported() {
    let world = world();
    let proxy = dynamodb(&world, begins(), |_| is(completed()));
    let run = |arguments: &[&str]| {
        export(
            &world,
            &proxy,
            &[&["--yes", "--no-wait", "--to", TO, "--since"][..], arguments].concat(),
        )
    };
    run(&["2026-10-30T00:00:00Z", "--at", "2026-10-31T00:00:00Z"])
        .succeeds()
        .says("this exports the changes of the table `cruddur-messages` to s3://backups/2026 from 2026-10-30T00:00:00.000000+00:00 to 2026-10-31T00:00:00.000000+00:00.\n")
        .says("It costs by the size of the changes, about 0.10 USD a GB (OPS_EXPORT_USD_PER_GB).\n");
    let begun = &requests(&proxy, "ExportTableToPointInTime")[0];
    assert_eq!(begun["ExportType"], "INCREMENTAL_EXPORT");
    assert_eq!(
        begun["IncrementalExportSpecification"],
        json!({"ExportFromTime": 1_793_318_400, "ExportToTime": 1_793_404_800, "ExportViewType": "NEW_IMAGE"})
    );
    assert!(begun["ExportTime"].is_null(), "{begun}");
    for (since, at) in [
        ("2026-10-30T00:00:00Z", "2026-10-30T00:10:00Z"),
        ("2026-10-30T00:00:00Z", "2026-10-31T00:00:01Z"),
        ("2026-10-30T00:00:00Z", "2026-10-29T00:00:00Z"),
    ] {
        run(&[since, "--at", at])
            .ends_with(1)
            .says("error: DynamoDB exports the changes of 15 minutes to 24 hours at once\n");
    }
    run(&["2020-01-01T00:00:00Z"]).ends_with(1).says("cannot be exported as it was at 2020-01-01");
    assert_eq!(requests(&proxy, "ExportTableToPointInTime").len(), 1);
}
