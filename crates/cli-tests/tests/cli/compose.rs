//! `docker-compose.yml`, as far as it can be checked without an engine.

use cli_tests::{Run, World, workspace};

#[test]
fn the_compose_file_is_valid_and_binds_this_machine_only() {
    let world = World::empty();
    let text = std::fs::read_to_string(workspace().join("docker-compose.yml"))
        .expect("docker-compose.yml");
    for line in [
        "127.0.0.1:8000:8000",
        "127.0.0.1:5432:5432",
        "127.0.0.1:9229:9229",
        "profiles: [\"cognito\"]",
        "-sharedDb",
        "POSTGRES_PASSWORD: password",
    ] {
        assert!(text.contains(line), "{line}");
    }
    let mut has_compose = world.command("docker");
    has_compose
        .args(["compose", "version"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null());
    if !has_compose.status().is_ok_and(|status| status.success()) {
        cli_tests::say(
            "docker-compose.yml was read as text only: there is no `docker compose` here",
        );
        return;
    }
    let mut command = world.command("docker");
    command.args(["compose", "-f"]).arg(workspace().join("docker-compose.yml")).args([
        "--profile",
        "cognito",
        "config",
        "--format",
        "json",
    ]);
    let config = Run::of(command).succeeds().json();
    for service in ["dynamodb-local", "db", "cognito-local"] {
        assert!(
            config["services"][service]["image"].as_str().is_some_and(|image| image.contains(':')),
            "{service}"
        );
        assert!(config["services"][service]["healthcheck"].is_object(), "{service}");
    }
}
