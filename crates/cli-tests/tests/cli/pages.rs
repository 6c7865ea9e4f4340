//! The pages of `messages-api`: what they may do, and how people use them in a browser.

use std::path::PathBuf;
use std::process::Command;

use cli_tests::api::Api;
use cli_tests::{BAYKO, Run, World, workspace};
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

/// A script of `browser/`, with the browser and what drives it; `None` only where this
/// machine has not both.
fn in_browser(script: &str) -> Option<Command> {
    let browser = browser()?;
    let modules = workspace().join(".local-stack/npm-test/node_modules");
    for needed in ["playwright-core", "axe-core"] {
        if !modules.join(needed).is_dir() {
            cli_tests::cannot_run(&format!("no {needed}: `scripts/test` installs it"));
            return None;
        }
    }
    let mut node = Command::new("node");
    node.arg(workspace().join("crates/cli-tests/browser").join(script)).args([browser, modules]);
    Some(node)
}

fn url(api: &Api) -> String {
    format!("http://localhost:{}", api.address().port())
}

#[test]
fn people_sign_in_read_and_write_in_a_browser() {
    let people = ["jess-bk", "bayko", "maren", "tariq"];
    let Some(mut node) = in_browser("pages.mjs") else { return };
    let Some(world) = World::whole() else { return };
    let world = world.with_sign_in(&people);
    let api = Api::start(&world, &[]);
    world.cognito().set_passwords(world.pool(), &people, PASSWORD).expect("passwords");
    let rows = world.file("conversations.json", many_conversations());
    world.run("ddb-import", &[&rows]).succeeds();
    // Kept, to be looked at.
    let screenshots = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("screenshots");
    std::fs::create_dir_all(&screenshots).expect("a folder");
    node.args([&url(&api), PASSWORD]).arg(screenshots);
    Run::of(node).succeeds();
}

/// Twenty-five conversations of bayko that are older than the seeded one, the oldest with a
/// message: more than a page has.
fn many_conversations() -> String {
    let friend = "0a1b2c3d-0000-4000-8000-00000000ffff";
    let group = |number: usize| format!("0a1b2c3d-0000-4000-8000-{number:012x}");
    let at = |number: usize| format!("2020-01-01T00:00:{number:02}.000000+00:00");
    let row = |pk: String, number: usize, handle: &str, more: String| {
        format!(
            r#"{{"pk":{{"S":"{pk}"}},"sk":{{"S":"{}"}},"user_uuid":{{"S":"{friend}"}},"user_handle":{{"S":"{handle}"}},"user_display_name":{{"S":"Old Friend"}},"message":{{"S":"Long ago"}},{more}}}"#,
            at(number)
        ) + "\n"
    };
    let inbox = (0..25).map(|number| {
        let handle = if number == 0 { "old-friend".to_owned() } else { format!("friend-{number}") };
        let uuid = format!(r#""message_group_uuid":{{"S":"{}"}}"#, group(number));
        row(format!("GRP#{BAYKO}"), number, &handle, uuid)
    });
    let uuid = format!(r#""message_uuid":{{"S":"{friend}"}}"#);
    inbox.collect::<String>() + &row(format!("MSG#{}", group(0)), 0, "old-friend", uuid)
}

/// The calls of the app's own front end, as it sends them from its own origin.
#[test]
fn the_apps_front_end_finds_its_backend() {
    let Some(mut node) = in_browser("front_end.mjs") else { return };
    let Some(world) = World::whole() else { return };
    let api = Api::start(&world, &[]);
    node.args([&url(&api), &api.sign_in(&world, "bayko")]);
    Run::of(node).succeeds();
    world.run("check-identities", &[]).succeeds();
}

/// One script, this server and Cognito: nothing else, and in nobody's frame.
#[test]
fn a_page_may_do_what_it_has_to_and_nothing_else() {
    let Some(world) = World::whole() else { return };
    let api = Api::start(&world, &[]);
    let cognito = world.cognito().url();
    let nowhere = api.request("GET", "/nope", None, &["accept: text/html"], b"");
    assert_eq!(nowhere.status, 404);
    assert!(nowhere.head.contains("content-type: text/html"), "{}", nowhere.head);
    for path in
        ["/", "/signin", "/messages", "/messages/", "/messages/x", "/messages/new/maren", "/app.js"]
    {
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
