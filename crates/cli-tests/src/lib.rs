//! A small world for each test (`stack`): a DynamoDB of its own, a database of its own
//! on a shared Postgres (`postgres`), and the built tools in an environment that holds
//! nothing of this machine's (`running`). Dropping it leaves nothing behind. What a
//! real service cannot be made to do a `proxy` in front of it does.

#![expect(
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    reason = "a test that cannot go on panics, and says why"
)]

pub mod api;
pub mod killing;
pub mod postgres;
pub mod proxy;
pub mod running;
pub mod s3_export;
mod stack;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub use postgres::{PASSWORD, Session, run_sql};
pub use running::{Run, Running, TOOLS, binary, with_cargo, without_cargo_env};
pub use stack::{World, python};

/// The seeded conversation.
pub const GROUP: &str = "5ae290ed-55d1-47a0-bc6d-fe2bc2700399";
/// The uuid of the seeded user `jess-bk`.
pub const JESS: &str = "4f0c2b1e-7d3a-4a55-9c1e-2b6a8d9e0f11";
/// The uuid of the seeded user `bayko`.
pub const BAYKO: &str = "9a7d5c3b-1e2f-4b68-8d47-5f3c1a2e6b22";

/// An address that is documentation's and nobody's.
pub const NOBODYS: &str = "http://192.0.2.1";

/// The account of the calls in `prod`.
pub const ACCOUNT: &str = "111122223333";

/// The workspace's folder.
pub fn workspace() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    root.expect("crates/cli-tests is two below the root").to_owned()
}

/// Runs a future to its end.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    runtime.block_on(future)
}

/// Polls until `condition` holds.
pub fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Says something that the test runner does not swallow.
pub fn say(what: &str) {
    // `eprintln!` would be captured.
    let _ = writeln!(std::io::stderr(), "\nNOT CHECKED HERE: {what}\n");
}

/// A test that cannot run on this machine says so loudly, and fails in CI.
pub fn cannot_run(why: &str) {
    assert!(std::env::var_os("CI").is_none_or(|ci| ci.is_empty()), "in CI this has to run: {why}");
    say(why);
}

/// Whether `docker compose` can look at a file. GitHub's machines have it; one that has
/// not says so loudly.
pub fn has_docker_compose(unchecked: &str) -> bool {
    let version = std::process::Command::new("docker").args(["compose", "version"]).output();
    let is_there = version.is_ok_and(|output| output.status.success());
    if !is_there {
        let why = format!("{unchecked} was read as text only: there is no `docker compose` here");
        assert!(std::env::var_os("GITHUB_ACTIONS").is_none(), "there it has to run: {why}");
        say(&why);
    }
    is_there
}
