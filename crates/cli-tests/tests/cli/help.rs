//! `--help` and `--version` of every tool, and what is no argument at all.

use cli_tests::{TOOLS, World};

#[test]
fn help_of_every_tool() {
    let world = World::empty();
    for tool in TOOLS {
        let run = world.run(tool, &["--help"]).succeeds().prints("Examples:");
        insta::assert_snapshot!(tool, run.stdout);
    }
    insta::assert_snapshot!("local-stack", world.run("local-stack", &["--help"]).succeeds().stdout);
}

#[test]
fn version_of_every_tool() {
    let world = World::empty();
    for tool in TOOLS.into_iter().chain(["local-stack"]) {
        world
            .run(tool, &["--version"])
            .succeeds()
            .prints_only(&format!("{tool} {}\n", env!("CARGO_PKG_VERSION")));
    }
}

#[test]
fn an_unknown_argument_is_a_usage_error() {
    let world = World::empty();
    for tool in TOOLS {
        world
            .run(tool, &["--bogus"])
            .ends_with(2)
            .prints_only("")
            .says("unexpected argument '--bogus'");
    }
}

#[test]
fn help_shows_no_secret_of_the_environment() {
    let world = World::empty();
    for tool in TOOLS {
        let mut command = world.tool(tool, &["--help"]);
        command.env("CONNECTION_URL", "postgresql://u:s3cret@localhost/d");
        command.env("PROD_CONNECTION_URL", "postgresql://u:s3cret@h/d");
        let run = cli_tests::Run::of(command).succeeds();
        assert!(!run.stdout.contains("s3cret"), "{run}");
    }
}
