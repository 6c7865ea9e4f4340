//! The guards of DESIGN's targets: a word typed wrong, a leftover variable or a
//! tunnel changes nothing.

use cli_tests::proxy::{Answer, Proxy};
use cli_tests::{Run, TOOLS, World};

const DYNAMODB_TOOLS: [&str; 14] = [
    "ddb-delete-conversation 5ae290ed-55d1-47a0-bc6d-fe2bc2700399 --confirm 5ae290ed-55d1-47a0-bc6d-fe2bc2700399",
    "ddb-drop x",
    "ddb-export",
    "ddb-export-person x --without-cognito",
    "ddb-import - --yes",
    "ddb-get-conversation --group 5ae290ed-55d1-47a0-bc6d-fe2bc2700399",
    "ddb-item get x y",
    "ddb-list-conversations",
    "ddb-list-tables",
    "ddb-query x",
    "ddb-scan",
    "ddb-schema-load",
    "ddb-seed",
    "check-identities --user-pool-id us-east-1_AbC",
];

fn words(call: &str) -> (&str, Vec<&str>) {
    let mut words = call.split(' ');
    (words.next().expect("a tool"), words.collect())
}

#[test]
fn a_target_in_capitals_is_told_how_it_is_written() {
    let world = World::dynamodb();
    for word in ["PROD", "Prod"] {
        for (tool, arguments, hint) in [
            ("ddb-scan", vec![word], "a similar value exists: 'prod'"),
            ("ddb-drop", vec!["cruddur-messages", word], "did you mean `prod`?"),
        ] {
            world
                .run(tool, &arguments)
                .ends_with(2)
                .prints_only("")
                .says(&format!("invalid value '{word}'"))
                .says(hint);
        }
    }
}

#[test]
fn a_target_is_local_or_prod_and_nothing_like_it() {
    let world = World::empty();
    // One has no target, the others take the word for what they name, or for one too many
    // (see `send_message`, `query`, `item`, `person`).
    let others = [
        "cognito-list-users",
        "db-restore",
        "ddb-delete-conversation",
        "ddb-erase-person",
        "ddb-export-person",
        "ddb-item",
        "ddb-query",
        "ddb-send-message",
    ];
    for tool in TOOLS.into_iter().filter(|tool| !others.contains(tool)) {
        for word in ["nonprod", "PROD", "production", "prd"] {
            let first = ["ddb-drop", "ddb-import"].contains(&tool);
            let table = if first { vec!["x", word] } else { vec![word] };
            world
                .run(tool, &table)
                .ends_with(2)
                .prints_only("")
                .says("[possible values: local, prod]");
        }
    }
}

#[test]
fn local_refuses_other_endpoints_wherever_they_are_named() {
    let world = World::empty();
    for call in DYNAMODB_TOOLS {
        let (tool, arguments) = words(call);
        let endpoint = "https://dynamodb.ca-central-1.amazonaws.com";
        let refused = |run: Run, origin: &str| {
            run.ends_with(1).prints_only("").says(&format!(
                "error: `local` talks to this machine only, and {origin} names the DynamoDB host `dynamodb.ca-central-1.amazonaws.com`"
            ));
        };
        let mut with_flag = arguments.clone();
        with_flag.extend(["--endpoint-url", endpoint]);
        refused(world.run(tool, &with_flag), "--endpoint-url");
        for variable in ["AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL"] {
            let mut command = world.tool(tool, &arguments);
            command.env(variable, endpoint);
            refused(Run::of(command), variable);
        }
    }
}

#[test]
fn local_refuses_a_local_name_with_a_public_address() {
    let world = World::empty();
    let mut command = world.tool("ddb-list-tables", &["--endpoint-url", "http://192.0.43.10:8000"]);
    command.env("OPS_LOCAL_HOSTS", "192.0.43.10");
    Run::of(command).ends_with(1).says("resolves to the public address 192.0.43.10");
    let mut command = world.tool("db-setup", &[]);
    command.env("OPS_LOCAL_HOSTS", "192.0.43.10");
    command.env("CONNECTION_URL", "postgresql://u@192.0.43.10/d");
    Run::of(command).ends_with(1).says("resolves to the public address 192.0.43.10");
}

#[test]
fn local_refuses_endpoints_with_credentials_and_does_not_repeat_them() {
    let world = World::empty();
    world
        .run("ddb-list-tables", &["--endpoint-url", "http://user:s3cret@localhost:8000"])
        .ends_with(1)
        .says("it holds a user or a password")
        .does_not_say("s3cret");
    world
        .run("ddb-list-tables", &["--endpoint-url", "localhost:8000"])
        .ends_with(1)
        .says("not usable");
}

#[test]
fn an_empty_variable_counts_as_unset() {
    let world = World::dynamodb();
    let mut command = world.tool("ddb-list-tables", &["--endpoint-url", &world.endpoint()]);
    command
        .env("AWS_ENDPOINT_URL", "")
        .env("AWS_REGION", "")
        .env("OPS_LOCAL_HOSTS", "")
        .env("DDB_MESSAGE_TABLE", "");
    Run::of(command).succeeds().says("region us-east-1");
}

#[test]
fn local_takes_region_but_no_profile() {
    let world = World::dynamodb();
    world.run("ddb-list-tables", &["--region", "eu-west-1"]).succeeds().says("region eu-west-1");
    world
        .run("ddb-list-tables", &["--profile", "x"])
        .ends_with(2)
        .says("--profile has no meaning in `local`");
}

#[test]
fn local_reads_no_profile_and_no_proxy() {
    let world = World::dynamodb();
    let mut command = world.tool("ddb-list-tables", &["--output", "json"]);
    command
        .env("AWS_PROFILE", "nobody")
        .env("HTTP_PROXY", "http://127.0.0.1:1")
        .env("ALL_PROXY", "http://127.0.0.1:1");
    command.env("AWS_RETRY_MODE", "nonsense");
    Run::of(command).succeeds().prints_only("[]\n");
}

#[test]
fn prod_refuses_endpoints_left_in_the_environment() {
    let world = World::dynamodb();
    for call in DYNAMODB_TOOLS {
        let (tool, mut arguments) = words(call);
        arguments.push("prod");
        if matches!(tool, "ddb-drop") {
            arguments.extend(["--confirm", "x"]);
        }
        if matches!(tool, "ddb-seed" | "ddb-schema-load") {
            arguments.push("--yes");
        }
        for variable in ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_DYNAMODB"] {
            let mut command = world.command(cli_tests::binary(tool));
            command.args(&arguments).env_remove("AWS_ENDPOINT_URL_DYNAMODB");
            command.env(variable, "http://dynamodb-local:8000").env("AWS_REGION", "ca-central-1");
            command.env("PROD_CONNECTION_URL", "postgresql://u@127.0.0.1:1/d");
            Run::of(command).ends_with(1).prints_only("").says(&format!(
                "error: `prod` means AWS, and {variable} in the environment points DynamoDB at `http://dynamodb-local:8000`"
            ));
        }
    }
}

#[test]
fn prod_honours_and_announces_the_endpoint_flag() {
    let world = World::dynamodb();
    world
        .run_prod("ddb-list-tables", &["prod", "--output", "json"])
        .succeeds()
        .prints_only("[]\n")
        .says(&format!("target: PROD  endpoint {}  region ca-central-1", world.endpoint()));
}

#[test]
fn prod_without_a_region_says_so() {
    let world = World::dynamodb();
    let mut command = world.prod_tool("ddb-list-tables", &["prod"]);
    command.env_remove("AWS_REGION");
    Run::of(command)
        .ends_with(1)
        .says("error: no AWS region is set")
        .says("hint: name it with --region");
}

#[test]
fn prod_without_credentials_says_so() {
    let world = World::dynamodb();
    let mut command = world.prod_tool("ddb-list-tables", &["prod"]);
    command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    Run::of(command)
        .ends_with(1)
        .says("error: cannot list the tables")
        .says("hint: sign in (`aws sso login`)");
}

#[test]
fn prod_refuses_a_profile_with_a_local_endpoint() {
    let world = World::dynamodb();
    let file = world.file(
        "config",
        format!("[profile dev]\nregion = eu-west-1\nendpoint_url = {}\n", world.endpoint()),
    );
    let mut command = world.command(cli_tests::binary("ddb-list-tables"));
    command
        .args(["prod", "--profile", "dev"])
        .env_remove("AWS_ENDPOINT_URL_DYNAMODB")
        .env("AWS_CONFIG_FILE", file);
    Run::of(command).ends_with(1).says("and the profile's endpoint_url points DynamoDB at");
}

/// A leftover of development that is on the network, not on this machine: the real
/// keys would sign for it.
#[test]
fn prod_takes_unencrypted_and_private_endpoints_from_the_command_line_only() {
    let world = World::empty();
    for (endpoint, why) in [
        ("http://10.0.0.5:8000", "which is not encrypted"),
        ("http://192.0.43.10", "which is not encrypted"),
        ("https://10.0.0.5", "which leads to the private address 10.0.0.5"),
        ("https://[fd00::5]:8000", "which leads to the private address fd00::5"),
        ("https://169.254.169.254", "which leads to the private address 169.254.169.254"),
    ] {
        let config = format!("[default]\nendpoint_url = {endpoint}\n");
        let config = world.file("config", config);
        let refused = |variable: &str, value: &str| {
            let mut command = world.prod_command("ddb-list-tables", &["prod"]);
            command.env(variable, value);
            Run::of(command)
                .ends_with(1)
                .prints_only("")
                .says(&format!("points DynamoDB at `{endpoint}`, {why}\n"))
                .says(&format!("say so: --endpoint-url {endpoint}\n"));
        };
        refused("AWS_ENDPOINT_URL_DYNAMODB", endpoint);
        refused("AWS_CONFIG_FILE", &config);
    }
}

#[test]
fn a_service_endpoint_in_a_profile_is_refused_too() {
    let world = World::dynamodb();
    let config = format!(
        "[profile dev]\nregion = eu-west-1\nservices = here\naws_access_key_id = a\naws_secret_access_key = b\n[services here]\ndynamodb =\n  endpoint_url = {}\n",
        world.endpoint()
    );
    let file = world.file("config", config);
    let mut command = world.command(cli_tests::binary("ddb-list-tables"));
    command
        .args(["prod", "--profile", "dev"])
        .env_remove("AWS_ENDPOINT_URL_DYNAMODB")
        .env("AWS_CONFIG_FILE", file);
    Run::of(command).ends_with(1).says("and the profile's endpoint_url points DynamoDB at");
}

#[test]
fn a_retry_mode_that_the_sdk_does_not_know_is_an_error() {
    let world = World::dynamodb();
    let mut command = world.prod_tool("ddb-list-tables", &["prod"]);
    command.env("AWS_RETRY_MODE", "legacy");
    Run::of(command).ends_with(1).says("AWS_RETRY_MODE is `legacy`");
}

#[test]
fn local_refuses_other_postgres_hosts_as_the_driver_sees_them() {
    let world = World::dynamodb();
    for url in [
        "postgresql://u:s3cret@prod.example.com/d",
        "postgresql://u:s3cret@localhost/d?host=prod.example.com",
        "postgresql://u:s3cret@localhost/d?hostaddr=10.0.0.7",
        "postgresql://u:s3cret@localhost,prod.example.com/d",
    ] {
        for tool in ["db-setup", "ddb-seed", "ddb-list-conversations"] {
            let mut command = world.tool(tool, &[]);
            command.env("CONNECTION_URL", url);
            Run::of(command)
                .ends_with(1)
                .prints_only("")
                .says("error: `local` talks to this machine only, and CONNECTION_URL names the Postgres host")
                .does_not_say("s3cret");
        }
    }
}

#[test]
fn prod_needs_its_own_url() {
    let world = World::empty();
    let seed = |url: Option<&str>| {
        let mut command = world.tool("db-setup", &["prod", "--steps", "seed", "--yes"]);
        command.env("CONNECTION_URL", "postgresql://u@localhost/d");
        if let Some(url) = url {
            command.env("PROD_CONNECTION_URL", url);
        }
        Run::of(command).ends_with(1).prints_only("")
    };
    seed(None).says("error: PROD_CONNECTION_URL is not set");
    seed(Some("postgresql://u:s3cret@h/d?sslmode=allow"))
        .says("its sslmode is not one of disable, prefer")
        .does_not_say("s3cret");
}

/// Without consent nothing is even asked of the servers.
#[test]
fn prod_without_consent_makes_no_call() {
    let world = World::both();
    let proxy = Proxy::start(&world.endpoint(), |_, _| Answer::Forward);
    for (tool, arguments, hint) in [
        ("ddb-drop", vec!["x", "prod"], "consent with --confirm x"),
        ("ddb-drop", vec!["x", "prod", "--yes"], "consent with --confirm x"),
        ("ddb-seed", vec!["prod"], "consent with --yes"),
        ("ddb-schema-load", vec!["prod"], "consent with --yes"),
        ("ddb-import", vec!["-", "prod"], "consent with --yes"),
        ("ddb-send-message", vec!["prod", "Hi", "--from", "a", "--to", "b"], "consent with --yes"),
        ("db-setup", vec!["prod", "--steps", "create"], "consent with --yes"),
        ("db-setup", vec!["prod", "--steps", "seed"], "consent with --yes"),
        ("db-setup", vec!["prod", "--steps", "drop", "--yes"], "consent with --confirm"),
    ] {
        let mut command = world.tool(tool, &arguments);
        command.env_remove("AWS_ENDPOINT_URL_DYNAMODB").env("AWS_REGION", "ca-central-1");
        command.env("PROD_CONNECTION_URL", world.prod_url());
        if tool.starts_with("ddb") {
            command.args(["--endpoint-url", &proxy.url()]);
        }
        Run::of(command)
            .ends_with(1)
            .prints_only("")
            .says("there is no terminal to ask at")
            .says(hint);
    }
    assert_eq!(proxy.requests().len(), 0);
}

/// `yes | tool` is no consent.
#[test]
fn an_answer_from_a_pipe_is_no_answer() {
    let world = World::dynamodb();
    world.run("ddb-schema-load", &[]).succeeds();
    let command = world.prod_tool("ddb-drop", &["cruddur-messages", "prod"]);
    Run::with_input(command, "cruddur-messages\ny\n")
        .ends_with(1)
        .says("there is no terminal to ask at");
    world.run("ddb-list-tables", &[]).succeeds().prints_only("cruddur-messages\n");
}

/// Other ways to say this machine.
#[test]
fn prod_refuses_every_endpoint_of_the_environment_that_leads_here() {
    let world = World::dynamodb();
    let port = world.endpoint().rsplit(':').next().expect("port").to_owned();
    for host in ["0.0.0.0", "127.0.0.1", "localhost.", "x.localhost", "[::]"] {
        let mut command = world.prod_command("ddb-list-tables", &["prod"]);
        command.env("AWS_ENDPOINT_URL_DYNAMODB", format!("http://{host}:{port}"));
        Run::of(command).ends_with(1).prints_only("").says("error: `prod` means AWS");
    }
}

#[test]
fn empty_variables_count_as_unset_in_prod_too() {
    let world = World::dynamodb();
    let mut command = world.prod_tool("ddb-list-tables", &["prod", "--output", "json"]);
    command
        .env("AWS_ENDPOINT_URL", "")
        .env("AWS_REGION", "")
        .env("AWS_DEFAULT_REGION", "eu-west-1");
    Run::of(command).succeeds().prints_only("[]\n").says("region eu-west-1");
    // Without the flag it is AWS itself; no credentials, so that nothing is sent.
    let mut command = world.prod_command("ddb-list-tables", &["prod"]);
    command.env("AWS_ENDPOINT_URL", "").env("AWS_ENDPOINT_URL_DYNAMODB", "");
    command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    Run::of(command).ends_with(1).says("target: PROD  region ca-central-1").says("hint: sign in");
    world.run("ddb-list-tables", &["--region", ""]).ends_with(2);
}

#[test]
fn a_password_with_an_at_sign_is_not_shown_in_part() {
    let world = World::empty();
    let mut command = world.tool("db-setup", &[]);
    command.env("CONNECTION_URL", "postgresql://me:hunter@s3cret@localhost/app");
    Run::of(command)
        .ends_with(1)
        .says("it has more than one `@`")
        .says("percent-encoded")
        .does_not_say("s3cret");
}
