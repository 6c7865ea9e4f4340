//! What makes the tools quick to type: completions, aliases, the dev container,
//! suggestions, and binaries that need nothing of this folder.

use std::process::Command;

use cli_tests::{Run, TOOLS, World, workspace};
use ops_common::target::hosts::LocalHosts;
use serde_json::Value;

#[test]
fn every_tool_completes_its_words() {
    let world = World::empty();
    for tool in TOOLS.into_iter().chain(["local-stack"]) {
        for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
            let run = world.run(tool, &["--completions", shell]).succeeds();
            assert!(run.stdout.contains(tool) && run.stderr.is_empty(), "{tool} {shell}\n{run}");
        }
    }
    world.run("ddb-scan", &["--completions", "tcsh"]).ends_with(2).says("[possible values: bash");
    world.run("ddb-scan", &["--completions", "bash", "prod"]).ends_with(2).prints_only("");
}

/// As a person types it: bash's own completion asked what may follow.
#[test]
fn bash_completes_targets_and_options() {
    let world = World::empty();
    let script = world.run("ddb-scan", &["--completions", "bash"]).succeeds().stdout;
    let file = world.file("completions", script);
    let complete = |words: &str, last: usize| {
        let mut command = world.command("bash");
        command.args(["-c", &format!(
            ". {file}; COMP_WORDS=({words}); COMP_CWORD={last}; $(complete -p ddb-scan | sed 's/.*-F \\([^ ]*\\).*/\\1/') ddb-scan \"${{COMP_WORDS[{last}]}}\" \"${{COMP_WORDS[{last} - 1]}}\"; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        )]);
        Run::of(command).succeeds()
    };
    complete("ddb-scan p", 1).prints("prod");
    complete("ddb-scan --seg", 1).prints("--segments");
    complete("ddb-scan --output j", 2).prints("json");
}

#[test]
fn the_aliases_work_in_bash_and_zsh_from_any_folder() {
    let world = World::dynamodb();
    world.run("ddb-schema-load", &[]).succeeds();
    let scripts = workspace().join("scripts");
    for shell in ["bash", "zsh"] {
        if Command::new(shell).arg("--version").output().is_err() {
            cli_tests::cannot_run(&format!("the aliases in {shell}: it is not installed"));
            continue;
        }
        let mut command = world.command(shell);
        command.args([
            "-c",
            &format!(
                ". {}/aliases.sh; ddb-list-tables && ddb-scan --count && type db-setup",
                scripts.display()
            ),
        ]);
        cli_tests::with_cargo(&mut command);
        Run::of(command)
            .succeeds()
            .prints("cruddur-messages\n")
            .prints("0\n")
            .prints("db-setup is a");
    }
}

#[test]
fn a_mistyped_word_gets_a_suggestion() {
    let world = World::dynamodb();
    world.run("ddb-schema-load", &[]).succeeds();
    for call in [
        &["ddb-scan", "prdo"][..],
        &["ddb-scan", "loacl"],
        &["db-setup", "--steps", "schema-laod"],
        &["ddb-scan", "--segmets", "2"],
    ] {
        world.run(call[0], &call[1..]).ends_with(2).says("hint: a similar");
    }
    world.run("ddb-drop", &["x", "prdo"]).ends_with(2).says("hint: did you mean `prod`?");
    let table = ["--table", "crudur-mesages"];
    let items = world.file("a.json", "");
    for (tool, arguments) in [
        ("ddb-scan", vec![]),
        ("ddb-export", vec![]),
        ("ddb-get-conversation", vec![]),
        ("ddb-import", vec![items.as_str()]),
    ] {
        world
            .run(tool, &[&arguments[..], &table[..]].concat())
            .ends_with(1)
            .says("error: there is no table `crudur-mesages`")
            .says("  hint: did you mean `cruddur-messages`?\n  hint: create it with");
    }
    world.run("ddb-scan", &["--table", "people"]).ends_with(1).does_not_say("did you mean");
}

#[test]
fn quiet_leaves_warnings_questions_and_errors() {
    let world = World::ready();
    let run = world.run("ddb-seed", &["--quiet"]).succeeds().prints("seeded 104 messages");
    assert_eq!(run.stderr, "");
    world
        .run("ddb-scan", &["--quiet", "--table", "none"])
        .ends_with(1)
        .says("error: there is no table");
    world.run("ddb-scan", &["--quiet", "--verbose"]).ends_with(2);
}

/// The defaults are compiled in: away from the repo it is the same tool.
#[test]
fn an_installed_tool_needs_nothing_of_this_folder() {
    let world = World::both();
    for tool in ["db-setup", "ddb-schema-load", "ddb-seed"] {
        let mut install = Command::new(env!("CARGO"));
        install.args([
            "install",
            "--quiet",
            "--debug",
            "--locked",
            "--offline",
            "--no-track",
            "--root",
        ]);
        install.arg(world.folder()).arg("--path").arg(workspace().join("crates").join(tool));
        install.current_dir(workspace());
        cli_tests::without_cargo_env(&mut install);
        Run::of(install).succeeds();
        let mut command = world.command(world.folder().join("bin").join(tool));
        command.current_dir("/");
        Run::of(command).succeeds();
    }
    assert_eq!(world.items("cruddur-messages").len(), 106);
}

#[test]
fn the_dev_container_finds_its_services() {
    let read = |name: &str| std::fs::read_to_string(workspace().join(name)).expect(name);
    let container: Value =
        serde_json::from_str(&read(".devcontainer/devcontainer.json")).expect("JSON");
    let compose = read(".devcontainer/docker-compose.yml");
    let service = container["service"].as_str().expect("a service");
    assert!(compose.contains(&format!("\n  {service}:\n")), "{compose}");
    for file in container["dockerComposeFile"].as_array().expect("files") {
        assert!(workspace().join(".devcontainer").join(file.as_str().expect("a name")).is_file());
    }
    // What the tools are told there is this machine to them.
    let setting = |name: &str| {
        let line = compose.lines().find_map(|line| line.trim().strip_prefix(&format!("{name}: ")));
        line.expect(name).to_owned()
    };
    let host = |url: &str| {
        let (_, rest) = url.rsplit_once('@').or_else(|| url.split_once("://")).expect("a host");
        rest.split([':', '/']).next().expect("a host").to_owned()
    };
    let services = read("docker-compose.yml");
    for (variable, service) in
        [("AWS_ENDPOINT_URL_DYNAMODB", "dynamodb-local"), ("CONNECTION_URL", "db")]
    {
        assert_eq!(host(&setting(variable)), service);
        assert!(LocalHosts::new(None).contains(service), "{service}");
        assert!(services.contains(&format!("\n  {service}:\n")), "{service}");
    }
    let folder = container["workspaceFolder"].as_str().expect("a folder");
    // Both files' paths are those of the first one's folder, which is this project's.
    assert!(compose.contains(&format!("- .:{folder}\n")), "{compose}");
    if cli_tests::has_docker_compose("the dev container") {
        let world = World::empty();
        let mut command = world.command("docker");
        command.args(["compose", "-f"]).arg(workspace().join("docker-compose.yml"));
        command.arg("-f").arg(workspace().join(".devcontainer/docker-compose.yml"));
        let config = Run::of({
            command.args(["config", "--format", "json"]);
            command
        });
        let config = config.succeeds().json();
        let mounted = &config["services"][service]["volumes"][0]["source"];
        assert_eq!(mounted.as_str(), workspace().to_str());
    }
}
