//! `ddb-import` and `ddb-export` behind a proxy that fails on purpose, and killed
//! at random points: the ledger balances, the table holds what it says, and the
//! same command goes on.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::time::Duration;

use cli_tests::proxy::{Answer, Proxy, Request};
use cli_tests::{Run, World};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::bulk::{Ledger, Random, line, lines, sorted, table, world};

const TABLE: &str = "cruddur-messages";

/// Passes a batch on without the requests at these places, which come back as
/// UnprocessedItems.
pub(crate) fn put_off(request: &Request, off: impl Fn(usize) -> bool) -> Answer {
    let Some(puts) = request.body["RequestItems"][TABLE].as_array() else { return Answer::Forward };
    let (late, now): (Vec<_>, Vec<_>) = puts.iter().enumerate().partition(|(place, _)| off(*place));
    let late: Vec<Value> = late.into_iter().map(|(_, put)| put.clone()).collect();
    let now: Vec<Value> = now.into_iter().map(|(_, put)| put.clone()).collect();
    let unprocessed = if late.is_empty() { json!({}) } else { json!({ TABLE: late }) };
    if now.is_empty() {
        return Answer::Reply { status: 200, body: json!({"UnprocessedItems": unprocessed}) };
    }
    let mut body = request.body.clone();
    body["RequestItems"][TABLE] = Value::Array(now);
    Answer::Instead { body, add: json!({"UnprocessedItems": unprocessed}) }
}

fn throttled() -> Answer {
    let body = json!({"__type": "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException", "message": "slow down"});
    Answer::Reply { status: 400, body }
}

fn broken() -> Answer {
    let body =
        json!({"__type": "com.amazonaws.dynamodb.v20120810#InternalServerError", "message": "oh"});
    Answer::Reply { status: 500, body }
}

type Fault = fn(usize, &Request) -> Answer;

/// What a server and a network do now and then; the number is the request's.
const FAULTS: [(&str, Fault); 8] = [
    ("partial batches", |number, request| put_off(request, |place| (place + number) % 3 == 0)),
    ("whole batches put off", |number, request| put_off(request, |_| number % 3 == 1)),
    ("a burst of throttling", |number, _| {
        if (5..15).contains(&number) { throttled() } else { Answer::Forward }
    }),
    ("500s", |number, _| if number % 4 == 1 { broken() } else { Answer::Forward }),
    (
        "connections cut before",
        |number, _| if number % 4 == 1 { Answer::Drop } else { Answer::Forward },
    ),
    (
        "connections cut after",
        |number, _| if number % 4 == 1 { Answer::Lose } else { Answer::Forward },
    ),
    (
        "answers cut in the middle",
        |number, _| if number % 4 == 1 { Answer::Cut } else { Answer::Forward },
    ),
    ("slow answers", |number, _| {
        std::thread::sleep(Duration::from_millis(if number % 5 == 1 { 200 } else { 0 }));
        Answer::Forward
    }),
];

fn data(request: &Request) -> bool {
    ["BatchWriteItem", "Scan"].contains(&request.operation.as_str())
}

/// The fault, counted over the requests that carry items.
fn with_fault(world: &World, fault: Fault, page: Option<usize>) -> Proxy {
    let count = AtomicUsize::new(0);
    Proxy::start(&world.endpoint(), move |_, request| {
        if !data(request) {
            return Answer::Forward;
        }
        let answer = fault(count.fetch_add(1, Ordering::SeqCst), request);
        match (answer, page) {
            (Answer::Forward, Some(page)) => {
                let mut body = request.body.clone();
                body["Limit"] = json!(page);
                Answer::Instead { body, add: json!({}) }
            }
            (answer, _) => answer,
        }
    })
}

#[test]
fn an_import_gets_through_what_goes_wrong_now_and_then() {
    for (name, fault) in FAULTS {
        let world = world();
        let mut text = lines(600);
        // Later lines of keys that may be on their way again.
        text.extend((0..600).step_by(17).map(|number| line(number, "newer") + "\n"));
        let file = world.file("items.json", &text);
        let proxy = with_fault(&world, fault, None);
        let arguments = [&file, "--output", "json", "--endpoint-url", &proxy.url()];
        let run = world.run("ddb-import", &arguments).succeeds();
        assert_eq!(Ledger::of(&run).counts(), [636, 0, 0], "{name}");
        let expected: String = (0..600)
            .map(|number| line(number, if number % 17 == 0 { "newer" } else { "the heron" }) + "\n")
            .collect();
        assert_eq!(table(&world, TABLE), sorted(&expected), "{name}");
    }
}

#[test]
fn a_dump_gets_through_what_goes_wrong_now_and_then() {
    for (name, fault) in FAULTS {
        let world = world();
        let file = world.file("items.json", lines(600));
        world.run("ddb-import", &[&file]).succeeds();
        let proxy = with_fault(&world, fault, Some(20));
        let run = world.run("ddb-export", &["--endpoint-url", &proxy.url()]).succeeds();
        assert_eq!(sorted(&run.stdout), sorted(&lines(600)), "{name}");
    }
}

#[test]
fn throttling_without_end_is_given_up_and_the_ledger_is_true() {
    for (name, fault) in [
        ("throttled", (|_, _| throttled()) as Fault),
        ("put off", |_, request| put_off(request, |_| true)),
        ("broken", |_, _| broken()),
    ] {
        let world = world();
        let file = world.file("items.json", lines(500));
        let fails_from_ten: Fault = match name {
            "throttled" => |number, _| if number < 10 { Answer::Forward } else { throttled() },
            "put off" => |number, request| put_off(request, |_| number >= 10),
            _ => |number, _| if number < 10 { Answer::Forward } else { broken() },
        };
        let proxy = with_fault(&world, fails_from_ten, None);
        let arguments =
            [&file, "--output", "json", "--give-up-after", "1", "--endpoint-url", &proxy.url()];
        let run = world.run("ddb-import", &arguments).ends_with(3);
        let ledger = Ledger::of(&run);
        assert_eq!(ledger.counts(), [250, 0, 250], "{name}");
        assert_eq!(table(&world, TABLE).len(), 250, "{name}");
        if name != "broken" {
            run.says("error: no progress after 1 s of retries: the table `cruddur-messages` is throttled");
        }
        // Where nothing at all was written it is a failure, not a part.
        let proxy = with_fault(&world, fault, None);
        let arguments =
            [&file, "--output", "json", "--give-up-after", "1", "--endpoint-url", &proxy.url()];
        let run = world.run("ddb-import", &arguments).ends_with(1);
        assert_eq!(Ledger::of(&run).written, 0, "{name}");
        if name != "put off" {
            let arguments = ["--give-up-after", "1", "--endpoint-url", &proxy.url()];
            world
                .run("ddb-export", &arguments)
                .ends_with(1)
                .prints_only("")
                .says("no progress after 1 s")
                .says("0 items are on standard output, and they are not all");
        }
    }
}

#[test]
fn a_refusal_for_good_ends_the_run_at_once() {
    let world = world();
    let file = world.file("items.json", lines(500));
    let proxy = with_fault(
        &world,
        |number, _| {
            if number < 6 {
                return Answer::Forward;
            }
            let body = json!({"__type": "com.amazon.coral.service#AccessDeniedException", "Message": "not authorized to perform: dynamodb:BatchWriteItem"});
            Answer::Reply { status: 400, body }
        },
        None,
    );
    let arguments = [&file, "--output", "json", "--endpoint-url", &proxy.url()];
    let run = world.run("ddb-import", &arguments).ends_with(3);
    let ledger = Ledger::of(&run);
    assert_eq!((ledger.written, ledger.rejected), (150, 0));
    assert_eq!(table(&world, TABLE).len(), 150);
    run.says("AccessDeniedException").says("what is written stays: run it again");
}

/// Runs a tool that is to be killed when the proxy sees its `at`-th request with
/// items. `None`: it came to its end before.
fn run_and_kill(
    world: &World,
    tool: &str,
    arguments: &[&str],
    victim: &Victim,
    at: usize,
) -> Option<Run> {
    victim.arm(at);
    let mut command = world.tool(tool, arguments);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("spawn");
    victim.pid.store(child.id().try_into().expect("a pid"), Ordering::SeqCst);
    let _ = child.stdin.take();
    let output = child.wait_with_output().expect("wait");
    victim.pid.store(0, Ordering::SeqCst);
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    let run = Run {
        stdout: text(output.stdout),
        stderr: text(output.stderr),
        status: output.status.code(),
    };
    (run.status.is_some()).then_some(run)
}

/// Runs the same command again and again, killed at random, until it comes to its
/// end. Returns that run, and how often it was killed before.
fn killed_until_it_ends(
    world: &World,
    tool: &str,
    arguments: &[&str],
    victim: &Victim,
    random: &mut Random,
    mut after_kill: impl FnMut(),
) -> (Run, u32) {
    for kills in 0..60 {
        if let Some(run) = run_and_kill(world, tool, arguments, victim, 5 + random.below(100)) {
            return (run, kills);
        }
        after_kill();
    }
    panic!("it never comes to its end");
}

/// The process that a proxy kills.
#[derive(Debug, Default)]
struct Victim {
    pid: AtomicI32,
    seen: AtomicUsize,
    at: AtomicUsize,
}

impl Victim {
    fn arm(&self, at: usize) {
        self.seen.store(0, Ordering::SeqCst);
        self.at.store(at, Ordering::SeqCst);
    }

    fn sees_request(&self, signal: Signal) {
        if self.seen.fetch_add(1, Ordering::SeqCst) == self.at.load(Ordering::SeqCst) {
            let pid = self.pid.load(Ordering::SeqCst);
            if pid != 0 {
                let _ = kill(Pid::from_raw(pid), signal);
            }
        }
    }
}

fn killing_proxy(world: &World, victim: &Arc<Victim>, signal: Signal, page: usize) -> Proxy {
    let victim = Arc::clone(victim);
    Proxy::start(&world.endpoint(), move |number, request| {
        if !data(request) {
            return Answer::Forward;
        }
        // Long enough that checkpoints are saved on the way.
        std::thread::sleep(Duration::from_millis(20));
        victim.sees_request(signal);
        if request.operation == "Scan" {
            let mut body = request.body.clone();
            body["Limit"] = json!(page);
            return Answer::Instead { body, add: json!({}) };
        }
        put_off(request, |place| (place + number) % 11 == 0)
    })
}

#[test]
fn an_import_killed_at_random_points_goes_on() {
    let mut random = Random::new();
    let mut resumed = 0;
    for round in 0..4 {
        let world = world();
        let mut text = lines(2500);
        text.extend((0..2500).step_by(401).map(|number| line(number, "newer") + "\n"));
        let bad = 1 + random.below(2000);
        let text = text.replacen(&line(bad, "the heron"), "{", 1);
        let file = world.file("items.json", &text);
        let victim = Arc::new(Victim::default());
        let proxy = killing_proxy(&world, &victim, Signal::SIGKILL, 0);
        let arguments = [
            file.as_str(),
            "--output",
            "json",
            "--checkpoint",
            "mark",
            "--rejects",
            "rejects.json",
            "--concurrency",
            "3",
            "--endpoint-url",
            &proxy.url(),
        ];
        let (run, kills) =
            killed_until_it_ends(&world, "ddb-import", &arguments, &victim, &mut random, || {});
        let run = run.ends_with(3);
        let ledger = Ledger::of(&run);
        assert_eq!(ledger.counts(), [2506, 1, 0], "round {round}, {kills} kills");
        resumed += u64::from(ledger.resumed_at > 0);
        let rejects =
            std::fs::read_to_string(world.folder().join("rejects.json")).expect("rejects");
        assert_eq!(rejects, "{\n", "round {round}, {kills} kills");
        let expected: String = (0..2500)
            .map(|number| (number, if number % 401 == 0 { "newer" } else { "the heron" }))
            .filter(|(number, text)| *number != bad || *text == "newer")
            .map(|(number, text)| line(number, text) + "\n")
            .collect();
        assert_eq!(table(&world, TABLE), sorted(&expected), "round {round}, {kills} kills");
    }
    assert!(resumed > 0, "no run went on from a mark");
}

#[test]
fn a_dump_killed_at_random_points_goes_on() {
    let mut random = Random::new();
    let world = world();
    // Large enough that the file grows between two checkpoints.
    let heron = "the heron ".repeat(200);
    let text: String = (0..3000).map(|number| line(number, &heron) + "\n").collect();
    let file = world.file("items.json", &text);
    world.run("ddb-import", &[&file]).succeeds();
    let victim = Arc::new(Victim::default());
    let proxy = killing_proxy(&world, &victim, Signal::SIGKILL, 25);
    let mut resumed = 0;
    for round in 0..4 {
        let (out, mark) = (format!("dump-{round}.json"), format!("mark-{round}"));
        let arguments = [
            "--out",
            &out,
            "--checkpoint",
            &mark,
            "--segments",
            "3",
            "--endpoint-url",
            &proxy.url(),
        ];
        let look = || {
            let saved = std::fs::read_to_string(world.folder().join(&mark)).unwrap_or_default();
            let saved: Value = serde_json::from_str(&saved).unwrap_or_default();
            resumed += u64::from(saved["bytes"].as_u64().unwrap_or_default() > 0);
        };
        let (run, kills) =
            killed_until_it_ends(&world, "ddb-export", &arguments, &victim, &mut random, look);
        run.succeeds().says("3000 items written");
        let dump = std::fs::read_to_string(world.folder().join(&out)).expect("a dump");
        assert!(sorted(&dump) == sorted(&text), "round {round}, {kills} kills");
        assert!(!world.folder().join(format!("{out}.part")).exists());
    }
    assert!(resumed > 0, "no run went on from a mark");
}

#[test]
fn an_import_that_is_interrupted_saves_and_says_what_it_has() {
    let world = world();
    let file = world.file("items.json", lines(2500));
    let victim = Arc::new(Victim::default());
    let proxy = killing_proxy(&world, &victim, Signal::SIGINT, 0);
    let arguments = [
        file.as_str(),
        "--output",
        "json",
        "--checkpoint",
        "mark",
        "--concurrency",
        "3",
        "--endpoint-url",
        &proxy.url(),
    ];
    let run =
        run_and_kill(&world, "ddb-import", &arguments, &victim, 40).expect("an end of its own");
    let run = run
        .ends_with(130)
        .says("error: interrupted")
        .says("rerun the same command to resume from the checkpoint");
    let ledger = Ledger::of(&run);
    assert!(ledger.written > 250 && ledger.written < 2500, "{ledger:?}");
    assert_eq!(table(&world, TABLE).len() as u64, ledger.written);
    let run = run_and_kill(&world, "ddb-import", &arguments, &victim, usize::MAX).expect("an end");
    let again = Ledger::of(&run.succeeds());
    assert_eq!(again.counts(), [2500, 0, 0]);
    assert!(again.resumed_at > 250, "{again:?}");
    assert_eq!(table(&world, TABLE), sorted(&lines(2500)));
}

#[test]
fn a_key_is_never_with_two_requests_at_once() {
    let world = world();
    // Five keys, many times each: were two requests for one key on their way,
    // the one that is slower could win.
    let text: String =
        (0..2000).map(|number| line(number % 5, &format!("v{number}")) + "\n").collect();
    let file = world.file("items.json", &text);
    let on_their_way = Arc::new(Mutex::new(Vec::<String>::new()));
    let clashes = Arc::new(AtomicUsize::new(0));
    let (keys, clash) = (Arc::clone(&on_their_way), Arc::clone(&clashes));
    let count = AtomicUsize::new(0);
    let proxy = Proxy::start(&world.endpoint(), move |_, request| {
        let puts = request.body["RequestItems"][TABLE].as_array().cloned().unwrap_or_default();
        let mine: Vec<String> =
            puts.iter().map(|put| put["PutRequest"]["Item"]["sk"]["S"].to_string()).collect();
        {
            let mut keys = keys.lock().expect("lock");
            if mine.iter().any(|key| keys.contains(key)) {
                clash.fetch_add(1, Ordering::SeqCst);
            }
            keys.extend(mine.iter().cloned());
        }
        std::thread::sleep(Duration::from_millis(2));
        keys.lock().expect("lock").retain(|key| !mine.contains(key));
        let number = count.fetch_add(1, Ordering::SeqCst);
        put_off(request, |place| (place + number).is_multiple_of(4))
    });
    let arguments = [&file, "--output", "json", "--endpoint-url", &proxy.url()];
    let run = world.run("ddb-import", &arguments).succeeds();
    assert_eq!(Ledger::of(&run).counts(), [2000, 0, 0]);
    assert_eq!(clashes.load(Ordering::SeqCst), 0);
    let expected: String =
        (0..5).map(|number| line(number, &format!("v{}", 1995 + number)) + "\n").collect();
    assert_eq!(table(&world, TABLE), sorted(&expected));
}
