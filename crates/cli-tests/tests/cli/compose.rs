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
    if !cli_tests::has_docker_compose("docker-compose.yml") {
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
