//! `docs/openapi.yaml` and the server say the same.

use std::collections::BTreeSet;
use std::process::Command;

use cli_tests::api::Api;
use cli_tests::{Run, World, workspace};
use serde_json::Value;

/// A program of the folder that `scripts/test` installs Schemathesis into; `None` only
/// where it has not been run, which fails in CI.
fn installed(program: &str) -> Option<Command> {
    let program = workspace().join(".local-stack/schemathesis/bin").join(program);
    if program.is_file() {
        return Some(Command::new(program));
    }
    cli_tests::cannot_run("no Schemathesis: `scripts/test` installs it");
    None
}

/// The paths between quotes after each `.route(` of a source file.
fn routes_of(file: &str) -> BTreeSet<String> {
    let file = workspace().join("crates/messages-api/src").join(file);
    let source = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file:?}: {error}"));
    let after = source.split(".route(").skip(1);
    after.map(|rest| rest.split('"').nth(1).expect("a path").to_owned()).collect()
}

#[test]
fn each_route_is_described() {
    let Some(mut python) = installed("python") else { return };
    python.args(["-c", "import json, sys, yaml; print(json.dumps(yaml.safe_load(sys.stdin)))"]);
    let file = workspace().join("docs/openapi.yaml");
    let text = std::fs::read_to_string(file).expect("docs/openapi.yaml");
    let described: Value = Run::with_input(python, &text).succeeds().json();
    let described: BTreeSet<String> = described["paths"]
        .as_object()
        .expect("paths")
        .keys()
        // A path of axum has no text beside a variable part.
        .map(|path| path.replace("@{", "{"))
        .collect();
    let routes = routes_of("routes/mod.rs");
    assert!(routes.len() >= 7, "{routes:?}");
    assert_eq!(described, routes);
}

/// Requests made from the description, right ones and wrong ones, each with its answer
/// compared: the status, the head, the body, and that a token is asked for.
#[test]
fn each_route_does_what_its_description_says() {
    let Some(mut command) = installed("st") else { return };
    let Some(world) = World::whole() else { return };
    let api = Api::start(&world, &[]);
    let token = api.sign_in(&world, "bayko");
    // Whether somebody has a handle, no description says.
    let settings = world.file(
        "schemathesis.toml",
        "[[operations]]\ninclude-operation-id = \"sendMessage\"\n\
         checks.positive_data_acceptance.expected-statuses = [\"2xx\", \"404\", \"422\"]\n",
    );
    command.args(["--config-file", &settings, "run"]).arg(workspace().join("docs/openapi.yaml"));
    command.args(["--url", &format!("http://{}", api.address())]);
    command.args(["-H", &format!("Authorization: Bearer {token}")]);
    command.args(["--phases", "examples,coverage,fuzzing", "--checks", "all", "--no-color"]);
    command.args(["--generation-deterministic", "--continue-on-failure"]);
    // It remembers what it found in the folder where it runs.
    command.current_dir(world.folder());
    let run = Run::of(command).succeeds();
    assert!(run.stdout.contains("7 selected / 7 total"), "{}", run.stdout);
    world.run("check-identities", &[]).succeeds();
}
