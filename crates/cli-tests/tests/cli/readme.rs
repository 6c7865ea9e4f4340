//! The commands of the README and of the pages in `docs`, run as they are written: each
//! `sh` block on a stack of its own.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::Path;

use cli_tests::proxy::{Answer, Proxy};
use cli_tests::{NOBODYS, Run, World, workspace};

/// Every page that has `sh` blocks: how many of them run here, and how many another test
/// runs. Exact numbers, so that a block that is no longer run is noticed.
const PAGES: [(&str, usize, usize); 10] = [
    ("CONTRIBUTING.md", 0, 1),
    ("README.md", 6, 3),
    ("docs/api.md", 1, 0),
    ("docs/bulk.md", 3, 0),
    ("docs/ci.md", 2, 0),
    ("docs/data.md", 5, 0),
    ("docs/iam/README.md", 1, 0),
    ("docs/identities.md", 4, 0),
    ("docs/production.md", 5, 1),
    ("docs/weekly.md", 11, 0),
];

/// The lines of a page's `sh` blocks, block by block.
fn blocks(page: &str) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(workspace().join(page)).expect(page);
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

/// The pages of the workspace: `*.md` at its root, and in `docs` at any depth.
fn pages() -> BTreeSet<String> {
    let mut pages = BTreeSet::new();
    add_pages(Path::new(""), false, &mut pages);
    add_pages(Path::new("docs"), true, &mut pages);
    pages
}

fn add_pages(folder: &Path, deep: bool, pages: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(workspace().join(folder)).expect("a folder") {
        let entry = entry.expect("an entry");
        let path = folder.join(entry.file_name());
        if path.extension().is_some_and(|extension| extension == "md") {
            pages.insert(path.display().to_string());
        } else if deep && entry.path().is_dir() {
            add_pages(&path, deep, pages);
        }
    }
}

/// Takes `cargo run -p TOOL -- ARGUMENTS` for the built tool; in `prod` the
/// test's own services stand for the account's.
fn as_run_here(line: &str, world: &World, account: &str) -> String {
    let mut line = line.split("  #").next().unwrap_or_default().trim_end().to_owned();
    line = line.replace("target/debug/", &format!("{}/", tools()));
    let env = ["eval \"$(local-stack env)\"", "eval \"$(cargo run -p local-stack -- env)\""];
    if env.iter().any(|env| line.starts_with(env)) {
        // The test's own stack is in the environment already.
        line = ":".to_owned();
    }
    if line == "cargo run -p messages-api" {
        // It serves until it is told to end; a person leaves it running.
        line = "cargo run -p messages-api -- --listen 127.0.0.1:4567 & server=$!; \
                curl -sf --retry 20 --retry-connrefused --retry-delay 1 localhost:4567/ready; \
                kill $server; wait $server"
            .to_owned();
    }
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

/// Whether another test runs it: `quickstart_…` below, `local_stack`, `sg_rule`, or the one
/// that runs them all.
fn runs_elsewhere(block: &[String]) -> bool {
    block.iter().any(|line| line.starts_with("scripts/") || line.contains("local-stack -- up"))
}

fn run_page(page: &str) {
    let (elsewhere, here): (Vec<_>, Vec<_>) =
        blocks(page).into_iter().partition(|block| runs_elsewhere(block));
    let expected = PAGES.iter().find(|(name, ..)| *name == page).expect(page);
    assert_eq!((page, here.len(), elsewhere.len()), *expected, "page, blocks here, elsewhere");
    for block in here {
        let people = ["jess-bk", "bayko", "maren", "tariq"];
        let Some(world) = World::both().with_pool(&people) else { return };
        let world = world.with_sign_in(&people);
        run_block(&world, &block);
    }
}

fn run_block(world: &World, block: &[String]) {
    let account = Proxy::start(&world.cognito().url(), |_, _| Answer::Forward).url();
    let mut command = world.command("bash");
    // The standard port may be another server's.
    let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("a port");
    let port = port.port().to_string();
    let script: Vec<String> = block
        .iter()
        .map(|line| as_run_here(line, world, &account).replace(":4567", &format!(":{port}")))
        .collect();
    command.args(["-euo", "pipefail", "-c", &script.join("\n")]).current_dir(workspace());
    command.env("PATH", format!("{}:{}", tools(), std::env::var("PATH").unwrap_or_default()));
    cli_tests::with_cargo(&mut command);
    command.env("PROD_CONNECTION_URL", world.prod_url()).env("AWS_REGION", "ca-central-1");
    command
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("TMPDIR", world.folder());
    Run::of(command).succeeds();
}

#[test]
fn every_page_with_commands_is_run() {
    let with_blocks: BTreeSet<String> =
        pages().into_iter().filter(|page| !blocks(page).is_empty()).collect();
    let listed: BTreeSet<String> = PAGES.iter().map(|(page, ..)| (*page).to_owned()).collect();
    assert_eq!(with_blocks, listed);
}

#[test]
fn the_commands_of_the_readme_run() {
    run_page("README.md");
}

#[test]
fn the_commands_about_contributing_run() {
    run_page("CONTRIBUTING.md");
}

#[test]
fn the_commands_about_the_api_run() {
    run_page("docs/api.md");
}

#[test]
fn the_commands_about_bulk_run() {
    run_page("docs/bulk.md");
}

#[test]
fn the_commands_about_ci_run() {
    run_page("docs/ci.md");
}

#[test]
fn the_commands_about_data_run() {
    run_page("docs/data.md");
}

#[test]
fn the_commands_about_iam_run() {
    run_page("docs/iam/README.md");
}

#[test]
fn the_commands_about_identities_run() {
    run_page("docs/identities.md");
}

#[test]
fn the_commands_about_production_run() {
    run_page("docs/production.md");
}

#[test]
fn the_commands_about_the_week_run() {
    run_page("docs/weekly.md");
}

#[test]
fn every_link_leads_to_a_file() {
    for page in pages() {
        let file = workspace().join(&page);
        let text = std::fs::read_to_string(&file).expect(&page);
        let links = text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
        for (link, _) in links {
            let path = link.split('#').next().unwrap_or_default();
            let here = file.parent().expect("a folder").join(path);
            assert!(
                link.starts_with("https://") || path.is_empty() || here.exists(),
                "{page}: {link}"
            );
        }
    }
}

#[test]
fn every_source_file_of_the_map_exists() {
    let text = std::fs::read_to_string(workspace().join("ARCHITECTURE.md")).expect("the map");
    let crates = workspace().join("crates");
    // A fence of code has backticks too.
    let lines = text.lines().filter(|line| !line.starts_with("```"));
    for name in lines.flat_map(|line| line.split('`').skip(1).step_by(2)) {
        let in_a_tool =
            name.split_once('/').map(|(tool, rest)| crates.join(tool).join("src").join(rest));
        let places = [
            Some(workspace().join(name)),
            Some(crates.join("ops-common/src").join(name)),
            in_a_tool,
        ];
        let is_there = places.iter().flatten().any(|place| place.is_file());
        assert!(!name.ends_with(".rs") || is_there, "{name}");
    }
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
