//! What the tests of `ddb-import` and `ddb-export` share.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cli_tests::proxy::{Answer, Proxy};
use cli_tests::{Run, World, wait_for};
use serde_json::Value;

/// A DynamoDB with an empty messages table.
pub(crate) fn world() -> World {
    let world = World::dynamodb();
    world.run("ddb-schema-load", &[]).succeeds();
    world
}

/// An item as `ddb-export` writes it.
pub(crate) fn line(number: usize, text: &str) -> String {
    format!(
        r#"{{"Item":{{"pk":{{"S":"MSG#{}"}},"sk":{{"S":"{number:07}"}},"text":{{"S":"{text}"}}}}}}"#,
        number / 50
    )
}

/// So many items, each with a key of its own, a line each.
pub(crate) fn lines(count: usize) -> String {
    (0..count).map(|number| line(number, "the heron") + "\n").collect()
}

/// The items of a table, as `ddb-export` writes them, sorted.
pub(crate) fn table(world: &World, table: &str) -> Vec<String> {
    let run = world.run("ddb-export", &["--table", table]).succeeds();
    sorted(&run.stdout)
}

/// Lines in their order by text.
pub(crate) fn sorted(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

/// What a run of `ddb-import --output json` says of its lines.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Ledger {
    pub(crate) read: u64,
    pub(crate) written: u64,
    pub(crate) rejected: u64,
    pub(crate) unreached: u64,
    pub(crate) resumed_at: u64,
    pub(crate) consumed_capacity: f64,
}

impl Ledger {
    /// As it stands on stdout, and balanced.
    #[track_caller]
    pub(crate) fn of(run: &Run) -> Self {
        let json: Value = run.json();
        let count = |name: &str| json[name].as_u64().unwrap_or_else(|| panic!("no {name}: {json}"));
        let ledger = Self {
            read: count("read"),
            written: count("written"),
            rejected: count("rejected"),
            unreached: count("unreached"),
            resumed_at: count("resumed_at"),
            consumed_capacity: json["consumed_capacity"].as_f64().expect("a number"),
        };
        assert!(json["seconds"].is_number(), "{json}");
        assert_eq!(ledger.read, ledger.written + ledger.rejected + ledger.unreached, "{json}");
        let said = format!(
            "read: {} written, {} rejected, {} unreached; ",
            ledger.written, ledger.rejected, ledger.unreached
        );
        assert!(run.stderr.contains(&said), "no `{said}`\n{run}");
        ledger
    }

    /// Its three counts: written, rejected, unreached.
    pub(crate) fn counts(self) -> [u64; 3] {
        [self.written, self.rejected, self.unreached]
    }
}

/// A tool at work, until it is dropped: then it is killed.
#[derive(Debug)]
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().expect("spawn"))
    }

    /// As a message names it that says who has a file.
    pub(crate) fn named(&self) -> String {
        named(self.0.id())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A process, as a message names it that says who has a file.
pub(crate) fn named(process: u32) -> String {
    if Path::new("/proc/locks").exists() {
        format!("process {process}")
    } else {
        "another run".to_owned()
    }
}

/// A server that answers no request of this operation until it is told to.
#[derive(Debug)]
pub(crate) struct Holding {
    proxy: Proxy,
    operation: &'static str,
    holds: Arc<AtomicBool>,
}

impl Holding {
    pub(crate) fn start(world: &World, operation: &'static str) -> Self {
        let holds = Arc::new(AtomicBool::new(true));
        let held = Arc::clone(&holds);
        let proxy = Proxy::start(&world.endpoint(), move |_, request| {
            let ignored = request.operation == operation && held.load(Ordering::SeqCst);
            if ignored { Answer::Ignore } else { Answer::Forward }
        });
        Self { proxy, operation, holds }
    }

    pub(crate) fn url(&self) -> String {
        self.proxy.url()
    }

    /// Runs a tool until it waits for an answer.
    pub(crate) fn hold(&self, command: Command) -> Running {
        let running = Running::start(command);
        wait_for("a request that is held", || {
            self.proxy.requests().iter().any(|request| request.operation == self.operation)
        });
        running
    }

    /// Answers from now on.
    pub(crate) fn release(&self) {
        self.holds.store(false, Ordering::SeqCst);
    }
}

/// Who may do what with a file of the test's folder.
pub(crate) fn mode(world: &World, name: &str) -> u32 {
    let there = std::fs::metadata(world.folder().join(name)).expect("a file");
    there.permissions().mode() & 0o777
}

/// Random numbers that a failing test can be run again with.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// Different in each run; shown where the test fails.
    pub(crate) fn new() -> Self {
        let seed = uuid::Uuid::new_v4().as_u64_pair().0 | 1;
        eprintln_captured(seed);
        Self(seed)
    }

    /// From 0 to below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(number).expect("31 bits") % end
    }
}

#[expect(clippy::print_stderr, reason = "the test runner shows it where the test fails")]
fn eprintln_captured(seed: u64) {
    eprintln!("seed of the random numbers: {seed}");
}
