//! What the tests of `ddb-import` and `ddb-export` share.

use cli_tests::{Run, World};
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
