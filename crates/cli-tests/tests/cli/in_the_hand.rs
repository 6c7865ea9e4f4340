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

/// What bash is told may stand in place of the last word, as a person types it.
fn completed(world: &World, words: &[&str]) -> Vec<String> {
    let tool = words[0];
    let script = world.run(tool, &["--completions", "bash"]).succeeds().stdout;
    let file = world.file("completions", script);
    let mut command = world.command("bash");
    let last = words.len() - 1;
    let function = tool.replace('-', "_");
    command.args(["-c", &format!(
        ". {file}; COMP_WORDS=(\"$@\"); COMP_CWORD={last}; _clap_complete_{function} {tool} \"${{COMP_WORDS[{last}]}}\" x; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    ), "bash"]);
    command.args(words);
    let run = Run::of(command).succeeds();
    assert_eq!(run.stderr, "", "{words:?}");
    run.stdout.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[test]
fn bash_completes_targets_and_options() {
    let world = World::empty();
    assert_eq!(completed(&world, &["ddb-scan", "p"]), ["prod"]);
    assert_eq!(completed(&world, &["ddb-scan", "--seg"]), ["--segments"]);
    assert_eq!(completed(&world, &["ddb-scan", "--output", "j"]), ["json", "jsonl"]);
    assert_eq!(completed(&world, &["ddb-drop", "x", "p"]), ["prod"]);
    assert_eq!(completed(&world, &["db-setup", "--steps", "dr"]), ["drop"]);
    assert_eq!(completed(&world, &["local-stack", "e"]), ["env"]);
    world.file("some.dump", "");
    assert_eq!(completed(&world, &["db-restore", "so"]), ["some.dump"]);
    assert_eq!(completed(&world, &["ddb-export", "--out", "so"]), ["some.dump"]);
}

#[test]
fn a_shell_completes_the_names_that_are_there() {
    let world = World::seeded();
    world.run("ddb-schema-load", &["--table", "scratch"]).succeeds();
    // One that a shell would run, were it put on the command line.
    world.sql("UPDATE users SET handle = 'te$(id)' WHERE handle = 'tariq'");
    let group = "5ae290ed-55d1-47a0-bc6d-fe2bc2700399";
    for (words, names) in [
        (&["ddb-scan", "--table", ""][..], &["cruddur-messages", "scratch"][..]),
        (&["ddb-drop", "s"], &["scratch"]),
        (&["ddb-list-conversations", "--handle", ""], &["bayko", "jess-bk", "maren"]),
        (&["ddb-send-message", "--from", "b"], &["bayko"]),
        (&["ddb-export-person", "m"], &["maren"]),
        (&["ddb-erase-person", "local", "m"], &["maren"]),
        (&["ddb-get-conversation", "--group", ""], &[group]),
        (&["ddb-delete-conversation", "5"], &[group]),
        (&["ddb-query", "inbox", ":", "b"], &["bayko"]),
        (&["ddb-query", "con"], &[&format!("conversation:{group}")]),
        (&["ddb-item", "get", "inbox", ""], &["bayko", "jess-bk", "maren"]),
    ] {
        assert_eq!(completed(&world, words), names, "{words:?}");
    }
    // A database of production is not read behind a name that looks local.
    world.sql("UPDATE cruddur_ops.stamp SET environment = 'prod'");
    assert_eq!(completed(&world, &["ddb-list-conversations", "--handle", ""]), [""; 0]);
}

#[test]
fn a_tab_asks_nothing_in_prod_and_tells_of_no_error() {
    let world = World::dynamodb();
    let proxy =
        cli_tests::proxy::Proxy::start(&world.endpoint(), |_, _| cli_tests::proxy::Answer::Forward);
    world.run("ddb-schema-load", &[]).succeeds();
    let asked = |words: &[&str], endpoint: &str| {
        let mut command = world.tool("ddb-scan", &["--", "ddb-scan"]);
        command.args(words).env("AWS_ENDPOINT_URL_DYNAMODB", endpoint);
        command.env("OPS_COMPLETE", "fish").env("AWS_ACCESS_KEY_ID", "x");
        Run::of(command).succeeds()
    };
    asked(&["prod", "--table", ""], &proxy.url()).prints_only("");
    assert_eq!(proxy.requests().len(), 0);
    asked(&["--table", ""], &proxy.url()).prints_only("cruddur-messages\n");
    assert_ne!(proxy.requests().len(), 0);
    let run = asked(&["--table", ""], "http://127.0.0.1:1").prints_only("");
    assert_eq!(run.stderr, "");
    // Left in the environment, the variable stops no tool.
    let mut command = world.tool("ddb-list-tables", &[]);
    command.env("OPS_COMPLETE", "1");
    Run::of(command).succeeds().prints("cruddur-messages");
}

#[test]
fn every_tool_has_a_manual_page() {
    let world = World::empty();
    for tool in TOOLS.into_iter().chain(["local-stack"]) {
        let run = world.run(tool, &["--man"]).succeeds();
        run.prints(&format!(".TH {tool} 1 ")).prints("Examples:");
    }
    world.run("ddb-scan", &["--man", "prod"]).ends_with(2).prints_only("");
    world
        .run("local-stack", &["--man", "env"])
        .ends_with(2)
        .says("error: --man and --completions go alone");
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
fn one_command_installs_all_tools_and_they_need_nothing_of_this_folder() {
    let world = World::both();
    // A home that has nothing.
    let root = world.folder().join("home/.cargo");
    let mut install = world.command(workspace().join("scripts/install"));
    install.args(["--debug", "--root"]).arg(&root).env("HOME", world.folder().join("home"));
    cli_tests::with_cargo(&mut install);
    let bin = root.join("bin").display().to_string();
    Run::of(install)
        .succeeds()
        .prints_only("")
        .says(&format!("{} tools are in {bin}\n", TOOLS.len() + 1))
        .says(&format!("it is not on your PATH: export PATH=\"{bin}:$PATH\"\n"));
    for tool in TOOLS.into_iter().chain(["local-stack"]) {
        let mut command = world.command(root.join("bin").join(tool));
        Run::of({
            command.arg("--version");
            command
        })
        .succeeds()
        .prints(tool);
        let page = root.join(format!("share/man/man1/{tool}.1"));
        assert!(std::fs::read_to_string(page).expect("a page").contains(".TH"));
    }
    for tool in ["db-setup", "ddb-schema-load", "ddb-seed"] {
        let mut command = world.command(root.join("bin").join(tool));
        command.current_dir("/");
        Run::of(command).succeeds();
    }
    assert_eq!(world.items("cruddur-messages").len(), 106);
    let script = root.join("share/cruddur-ops/completions.bash");
    let mut command = world.command("bash");
    command.args(["-c", ". \"$1\"; complete -p ddb-scan local-stack", "bash"]).arg(&script);
    Run::of(command)
        .succeeds()
        .prints("_clap_complete_ddb_scan")
        .prints("_clap_complete_local_stack");
    let mut command = world.command(workspace().join("scripts/install"));
    command.arg("--nonsense");
    Run::of(command).ends_with(2).prints_only("").says("usage: scripts/install [--root DIR]");
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
