//! The README's commands, run as they are written: each `sh` block on a stack
//! of its own.

use cli_tests::proxy::{Answer, Proxy};
use cli_tests::{NOBODYS, Run, World, workspace};

/// The lines of the README's `sh` blocks, block by block.
fn blocks() -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(workspace().join("README.md")).expect("README.md");
    let mut blocks = Vec::new();
    let mut block: Option<Vec<String>> = None;
    for line in text.lines() {
        match (line, &mut block) {
            ("```sh", _) => block = Some(Vec::new()),
            ("```", Some(_)) => blocks.extend(block.take()),
            (line, Some(block)) => block.push(line.to_owned()),
            _ => {}
        }
    }
    blocks
}

/// Takes `cargo run -p TOOL -- ARGUMENTS` for the built tool; in `prod` the
/// test's own services stand for the account's.
fn as_run_here(line: &str, world: &World, account: &str) -> String {
    let mut line = line.split("  #").next().unwrap_or_default().trim_end().to_owned();
    line = line.replace("target/debug/", &format!("{}/", tools()));
    while let Some(at) = line.find("cargo run -p ") {
        let rest = &line[at + "cargo run -p ".len()..];
        let tool: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '-').collect();
        let after = &rest[tool.len()..];
        let after = after.strip_prefix(" --").unwrap_or(after);
        line = format!("{}{}{}", &line[..at], cli_tests::binary(&tool).display(), after);
    }
    if line.split(' ').any(|word| word == "prod") {
        let calls: Vec<String> =
            line.split(" || ").map(|call| in_prod(call, world, account)).collect();
        line = calls.join(" || ");
    }
    line
}

/// The account's Cognito has an address that is nobody's, and the HTTP proxy
/// leads to the test's own.
fn in_prod(call: &str, world: &World, account: &str) -> String {
    let tool = call.split(' ').find(|word| !word.contains('=')).unwrap_or_default();
    let endpoint = if tool.starts_with("ddb-") || tool == "check-identities" {
        format!(" --endpoint-url {}", world.endpoint())
    } else {
        String::new()
    };
    format!(
        "env -u AWS_ENDPOINT_URL_DYNAMODB AWS_ENDPOINT_URL_STS={NOBODYS} AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER={NOBODYS} \
         HTTP_PROXY={account} HTTPS_PROXY={account} NO_PROXY=127.0.0.1 {call}{endpoint}"
    )
}

fn tools() -> String {
    cli_tests::binary("ddb-seed").parent().expect("folder").display().to_string()
}

#[test]
fn every_command_of_the_readme_runs() {
    let blocks = blocks();
    let mut run = 0;
    for block in blocks {
        if block
            .iter()
            .any(|line| line.starts_with("scripts/") || line.contains("local-stack -- up"))
        {
            // Below, and in `local_stack`.
            continue;
        }
        let people = ["jess-bk", "bayko", "maren", "tariq"];
        let Some(world) = World::both().with_pool(&people) else { return };
        let account = Proxy::start(&world.cognito().url(), |_, _| Answer::Forward).url();
        let mut command = world.command("bash");
        let script: Vec<String> =
            block.iter().map(|line| as_run_here(line, &world, &account)).collect();
        command.args(["-euo", "pipefail", "-c", &script.join("\n")]).current_dir(workspace());
        command.env("PATH", format!("{}:{}", tools(), std::env::var("PATH").unwrap_or_default()));
        cli_tests::with_cargo(&mut command);
        command.env("PROD_CONNECTION_URL", world.prod_url()).env("AWS_REGION", "ca-central-1");
        command
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("TMPDIR", world.folder());
        Run::of(command).succeeds();
        run += 1;
    }
    assert!(run >= 3, "the README has {run} blocks that run");
}

#[test]
fn quickstart_ends_with_the_conversation() {
    // The tools are built before, so that it has nothing to build.
    cli_tests::binary("ddb-seed");
    let mut command = std::process::Command::new(workspace().join("scripts/quickstart"));
    cli_tests::without_cargo_env(&mut command);
    let run = Run::of(command)
        .succeeds()
        .prints("seeded 104 messages of jess-bk and bayko")
        .prints("the heron")
        .prints("bayko to jess-bk, conversation");
    let run = match cli_tests::python() {
        Some(_) => run
            .prints("FORCE_CHANGE_PASSWORD")
            .says("4 ids updated, 0 unchanged")
            .says("nothing is broken")
            .prints("105 messages"),
        None => run.says("without Cognito"),
    };
    run.says("To keep one running:").says("cargo run -p local-stack -- up");
}
