//! The pages of `messages-api`: what they may do, and how people use them in a browser.

use std::path::PathBuf;
use std::process::Command;

use cli_tests::api::Api;
use cli_tests::{Run, World, workspace};
use local_stack::cognito::PASSWORD;

/// A browser that this machine has; `None` only where there is none, which fails in CI.
fn browser() -> Option<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let found = names.iter().find_map(|name| {
        folders.iter().map(|folder| folder.join(name)).find(|program| program.is_file())
    });
    if found.is_none() {
        cli_tests::cannot_run("the pages in a browser: there is no chromium");
    }
    found
}

#[test]
fn people_sign_in_read_and_write_in_a_browser() {
    let people = ["jess-bk", "bayko", "maren", "tariq"];
    let Some(browser) = browser() else { return };
    let modules = workspace().join(".local-stack/npm-test/node_modules");
    if !modules.join("playwright-core").is_dir() {
        return cli_tests::cannot_run("no playwright-core: `scripts/test` installs it");
    }
    let Some(world) = World::whole() else { return };
    let world = world.with_sign_in(&people);
    let api = Api::start(&world, &[]);
    world.cognito().set_passwords(world.pool(), &people, PASSWORD).expect("passwords");
    // Kept, to be looked at.
    let screenshots = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("screenshots");
    std::fs::create_dir_all(&screenshots).expect("a folder");
    let mut node = Command::new("node");
    node.arg(workspace().join("crates/cli-tests/browser/pages.mjs"));
    node.arg(format!("http://localhost:{}", api.address().port()));
    node.args([browser, modules, screenshots]).arg(PASSWORD);
    Run::of(node).succeeds();
    world.run("check-identities", &[]).succeeds();
}

/// One script, this server and Cognito: nothing else, and in nobody's frame.
#[test]
fn a_page_may_do_what_it_has_to_and_nothing_else() {
    let Some(world) = World::whole() else { return };
    let api = Api::start(&world, &[]);
    let cognito = world.cognito().url();
    for path in ["/", "/signin", "/messages", "/messages/x", "/messages/new/maren", "/app.js"] {
        let page = api.get(path, None);
        assert_eq!(page.status, 200, "{path}");
        for line in [
            &format!(
                "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self' {cognito}; form-action 'self'; base-uri 'none'; frame-ancestors 'none'\r"
            ),
            "x-content-type-options: nosniff\r",
            "referrer-policy: no-referrer\r",
        ] {
            assert!(page.head.contains(line), "{path}: {line}\n{}", page.head);
        }
    }
}
