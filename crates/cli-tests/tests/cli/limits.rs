//! What a machine can lack: processes, open files, memory, a right clock. No tool
//! panics, and each error says what to look at.

use std::process::Command;

use cli_tests::{Run, World, binary, cannot_run};

/// Runs a tool under a shell that sets something first.
fn under(world: &World, before: &str, tool: &str, arguments: &[&str]) -> Run {
    let mut command = world.command("sh");
    command.args(["-c", &format!("{before} \"$0\" \"$@\"")]);
    command.arg(binary(tool)).args(arguments);
    Run::of(command)
}

const CALLS: [(&str, &[&str]); 5] = [
    ("ddb-list-tables", &[]),
    ("ddb-scan", &["--output", "jsonl"]),
    ("ddb-export", &[]),
    ("db-sessions", &[]),
    ("ddb-seed", &[]),
];

#[test]
fn few_open_files() {
    let world = World::seeded();
    for (tool, arguments) in CALLS {
        for files in [3, 4, 5, 6, 7, 8, 10] {
            let run = under(&world, &format!("ulimit -n {files}; exec"), tool, arguments);
            // Below some number not even the shared libraries can be loaded.
            let started = !run.stderr.contains("error while loading shared libraries");
            if run.status != Some(0) && started {
                assert_eq!(run.status, Some(1), "{tool} with {files} files\n{run}");
                assert!(run.stderr.contains("error: "), "{tool} with {files} files\n{run}");
            }
            assert!(!run.stderr.contains("panicked"), "{tool} with {files} files\n{run}");
        }
    }
}

/// A limit of processes is not root's: another user runs the tool.
#[test]
fn no_process_to_be_had() {
    let is_root = nix::unistd::Uid::effective().is_root();
    let shared = Command::new("setpriv")
        .args(["--reuid=65534", "--clear-groups", "bash", "-c", "exec \"$0\" --version"])
        .arg(binary("ddb-list-tables"))
        .output();
    if is_root && !shared.is_ok_and(|output| output.status.success()) {
        cannot_run(
            "the limit of processes: as root it takes setpriv and a checkout that others can read",
        );
        return;
    }
    let world = World::seeded();
    let other = if is_root { "exec setpriv --reuid=65534 --clear-groups" } else { "exec" };
    // Not every `sh` has this limit.
    let limited = format!("{other} bash -c 'ulimit -u 1; exec \"$0\" \"$@\"'");
    let mut refused = 0;
    for (tool, arguments) in CALLS {
        let run = under(&world, &limited, tool, arguments);
        assert!(matches!(run.status, Some(0 | 1)), "{tool}\n{run}");
        assert!(!run.stderr.contains("panicked"), "{tool}\n{run}");
        assert!(run.status == Some(0) || run.stderr.contains("error: "), "{tool}\n{run}");
        refused += run.status.unwrap_or_default();
    }
    assert!(refused > 0, "the limit was none");
}

#[test]
fn a_clock_before_1970_or_after_9999() {
    if !Command::new("faketime").arg("--version").output().is_ok_and(|o| o.status.success()) {
        cannot_run("wrong clocks: faketime is not installed");
        return;
    }
    let world = World::seeded();
    for (tool, arguments) in CALLS {
        for clock in ["1969-12-31 00:00:00", "1900-01-01 00:00:00", "10000-01-02 00:00:00"] {
            // What faketime cannot set it says itself.
            let before = format!("exec faketime '{clock}'");
            let run = under(&world, &before, tool, arguments);
            if run.stderr.contains("timestamp to fake not recognized") {
                continue;
            }
            assert_eq!(run.status, Some(1), "{tool} in {clock}\n{run}");
            run.says("error: this machine's clock is not in the years 1970 to 9999")
                .says("hint: compare `date -u`");
        }
    }
}

#[test]
fn a_file_without_an_end_is_not_read_to_its_end() {
    let world = World::ready();
    let mut command = world.tool("db-sessions", &[]);
    let url = format!("{}?sslmode=verify-full&sslrootcert=/dev/zero", world.local_url());
    command.env("CONNECTION_URL", url);
    Run::of(command).ends_with(1).says("cannot read the certificates in `/dev/zero`").says("MiB");
    for (tool, option) in
        [("ddb-seed", "--conversation"), ("ddb-schema-load", "--schema"), ("db-setup", "--schema")]
    {
        world.run(tool, &[option, "/dev/zero"]).ends_with(1).says("`/dev/zero`").says("MiB");
    }
}
