//! The IAM policies and the workflows: they are what the tools do.

use std::collections::BTreeSet;

use cli_tests::proxy::{Answer, Proxy, Request, identity};
use cli_tests::{ACCOUNT, NOBODYS, Run, World, workspace};
use serde_json::{Value, json};

pub(crate) fn policy(tool: &str) -> Value {
    let file = workspace().join(format!("docs/iam/{tool}.json"));
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file:?}: {error}"));
    serde_json::from_str(&text).expect("JSON")
}

/// The actions that a policy allows.
pub(crate) fn allowed(policy: &Value) -> BTreeSet<String> {
    let statements = policy["Statement"].as_array().expect("statements");
    let actions = statements.iter().flat_map(|statement| {
        assert_eq!(statement["Effect"], "Allow");
        statement["Action"].as_array().expect("a list").clone()
    });
    actions.map(|action| action.as_str().expect("an action").to_owned()).collect()
}

/// The actions that a request takes.
pub(crate) fn actions(request: &Request) -> Vec<String> {
    match request.operation.as_str() {
        // No policy can deny or has to allow it.
        "GetCallerIdentity" => vec![],
        "ListUsers" => vec!["cognito-idp:ListUsers".to_owned()],
        "TransactWriteItems" => {
            let items = request.body["TransactItems"].as_array().expect("items");
            let kinds = items.iter().flat_map(|item| item.as_object().expect("one").keys());
            kinds
                .map(|kind| match kind.as_str() {
                    "ConditionCheck" => "dynamodb:ConditionCheckItem".to_owned(),
                    kind => format!("dynamodb:{kind}Item"),
                })
                .collect()
        }
        "BatchExecuteStatement" => {
            let statements = request.body["Statements"].as_array().expect("statements");
            let kind =
                |statement: &Value| match &statement["Statement"].as_str().expect("a text")[..6] {
                    "UPDATE" => "dynamodb:PartiQLUpdate".to_owned(),
                    "DELETE" => "dynamodb:PartiQLDelete".to_owned(),
                    other => panic!("{other}"),
                };
            statements.iter().map(kind).collect()
        }
        operation => vec![format!("dynamodb:{operation}")],
    }
}

/// An account of which all is behind one proxy: DynamoDB, Cognito and STS.
struct Account {
    proxy: Proxy,
    world: World,
}

impl Account {
    fn of(world: World, pool: Option<String>) -> Self {
        let dynamodb = Proxy::start(&world.endpoint(), |_, _| Answer::Forward).url();
        let proxy = Proxy::start(&dynamodb, move |_, request| {
            match (request.operation.as_str(), &pool) {
                ("GetCallerIdentity", _) => identity(ACCOUNT),
                ("ListUsers", Some(_)) => Answer::Reply { status: 200, body: json!({"Users": []}) },
                // The server of the tests has no backups.
                ("DescribeContinuousBackups", _) => Answer::Reply {
                    status: 200,
                    body: json!({"ContinuousBackupsDescription": {"ContinuousBackupsStatus": "ENABLED"}}),
                },
                _ => Answer::Forward,
            }
        });
        Self { proxy, world }
    }

    /// A call in `prod` to which nothing says that it is not AWS.
    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> std::process::Command {
        let mut command = self.world.command(program);
        self.world.behind_account(&mut command, &self.proxy.url());
        command.env_remove("AWS_ENDPOINT_URL_DYNAMODB");
        command.env("AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER", NOBODYS);
        command.env("AWS_ACCESS_KEY_ID", "AKIATEST").env("AWS_SECRET_ACCESS_KEY", "test");
        command.env("AWS_REGION", "ca-central-1").env_remove("CONNECTION_URL");
        command.env("PROD_CONNECTION_URL", self.world.prod_url());
        command
    }
}

/// Each tool is run through what it does, and its policy is what it called.
#[test]
fn a_policy_is_what_its_tool_calls_and_nothing_more() {
    let world = World::both();
    world.run("db-setup", &[]).succeeds();
    world.run("ddb-schema-load", &["--table", "other"]).succeeds();
    world.run("ddb-seed", &["--table", "other"]).succeeds();
    world.sql("UPDATE cruddur_ops.stamp SET environment = 'prod'");
    let index = json!({
        "TableName": "cruddur-messages",
        "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}, {"AttributeName": "sk", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        "BillingMode": "PAY_PER_REQUEST",
    });
    let definition = world.file("t.json", index.to_string());
    // Of a conversation that nobody takes part in: what is not whole is read again.
    let message = json!({"Item": {
        "pk": {"S": "MSG#7f3c9a52-0c1e-4e0b-9a34-1d2b5c8e6f70"},
        "sk": {"S": "2026-01-01T00:00:00.000000+00:00"},
        "message_uuid": {"S": "7f3c9a52-0c1e-4e0b-9a34-1d2b5c8e6f71"}, "message": {"S": "Hi"},
        "user_uuid": {"S": cli_tests::JESS}, "user_display_name": {"S": "Jess"}, "user_handle": {"S": "jess-bk"},
    }});
    let items = world.file("a.json", message.to_string());
    let one = world.file("one.json", r#"{"pk":{"S":"t"},"sk":{"S":"1"}}"#);
    let other = world.file("other.json", r#"{"pk":{"S":"t"},"sk":{"S":"1"},"n":{"N":"1"}}"#);
    let outdated = message.to_string().replace("\"Jess\"", "\"Another\"");
    world.run("ddb-schema-load", &["--table", "renamed"]).succeeds();
    let outdated = world.file("outdated.json", outdated);
    world.run("ddb-import", &[&outdated, "--table", "renamed"]).succeeds();
    let account = Account::of(world, Some("ca-central-1_AbC".into()));
    let pool = ["--user-pool-id", "ca-central-1_AbC"];
    let confirm = ["--confirm", "cruddur-messages"];
    let calls: Vec<(&str, Vec<Vec<&str>>)> = vec![
        (
            "ddb-schema-load",
            vec![
                vec!["prod", "--yes"],
                vec![
                    "prod",
                    "--schema",
                    &definition,
                    "--update",
                    "--ttl-attribute",
                    "expires",
                    confirm[0],
                    confirm[1],
                ],
            ],
        ),
        ("ddb-list-tables", vec![vec!["prod"], vec!["prod", "--long"]]),
        (
            "ddb-seed",
            vec![
                vec!["prod", "--yes", "--start", "2026-01-01"],
                vec!["prod", "--start", "2026-02-01", confirm[0], confirm[1]],
            ],
        ),
        ("ddb-scan", vec![vec!["prod", "--segments", "2"], vec!["prod", "--count"]]),
        ("ddb-export", vec![vec!["prod", "--out", "all.json"], vec!["prod", "--count"]]),
        ("ddb-import", vec![vec![&items, "prod", confirm[0], confirm[1]]]),
        ("ddb-get-conversation", vec![vec!["prod", "--handle", "bayko", "--with", "jess-bk"]]),
        ("ddb-query", vec![vec!["prod", "inbox:bayko"]]),
        ("ddb-list-conversations", vec![vec!["prod", "--handle", "bayko"]]),
        (
            "ddb-item",
            vec![
                vec!["put", "prod", &one, "--yes"],
                vec!["put", "prod", &other, confirm[0], confirm[1]],
                vec!["delete", "prod", "t", "1", confirm[0], confirm[1]],
            ],
        ),
        (
            "ddb-send-message",
            vec![
                vec!["prod", "Hi", "--from", "bayko", "--to", "jess-bk", "--yes"],
                vec!["prod", "Hi", "--from", "maren", "--to", "tariq", "--yes"],
            ],
        ),
        ("ddb-refresh-names", vec![vec!["prod", "--all", "--yes", "--table", "renamed"]]),
        ("cognito-list-users", vec![pool.to_vec()]),
        ("update-cognito-user-ids", vec![vec!["prod", "--yes", pool[0], pool[1]]]),
        ("check-identities", vec![vec!["prod", pool[0], pool[1]]]),
        ("db-setup", vec![vec!["prod", "--steps", "cognito-ids", "--yes", pool[0], pool[1]]]),
        (
            "ddb-delete-conversation",
            vec![vec!["prod", cli_tests::GROUP, "--confirm", cli_tests::GROUP, "--table", "other"]],
        ),
        ("ddb-export-person", vec![vec!["prod", "bayko", "--others", pool[0], pool[1]]]),
        (
            "ddb-erase-person",
            vec![
                vec![
                    "prod",
                    "bayko",
                    "--messages",
                    "delete",
                    "--confirm",
                    "bayko",
                    pool[0],
                    pool[1],
                ],
                vec!["prod", "jess-bk", "--confirm", "jess-bk", pool[0], pool[1]],
            ],
        ),
        ("ddb-drop", vec![vec!["cruddur-messages", "prod", confirm[0], confirm[1]]]),
    ];
    // `to_s3` and `from_s3` compare theirs: the server of this test has no such operations.
    let elsewhere =
        ["rds-update-sg-rule", "github-actions-trust", "ddb-export-to-s3", "ddb-import-from-s3"];
    let mut tools: BTreeSet<String> = elsewhere.map(str::to_owned).into();
    for (tool, calls) in calls {
        let before = account.proxy.requests().len();
        for arguments in calls {
            let mut command = account.command(cli_tests::binary(tool));
            let run = Run::of({
                command.args(&arguments);
                if tool.starts_with("ddb-") || tool == "check-identities" {
                    command.args(["--endpoint-url", NOBODYS]);
                }
                command
            });
            // A check that finds something has looked all the same.
            let found = tool == "check-identities" && run.status == Some(3);
            assert!(found || run.status == Some(0), "{tool} {arguments:?}\n{run}");
        }
        let called: BTreeSet<String> =
            account.proxy.requests()[before..].iter().flat_map(actions).collect();
        assert_eq!(allowed(&policy(tool)), called, "{tool}");
        tools.insert(tool.to_owned());
    }
    let files = std::fs::read_dir(workspace().join("docs/iam")).expect("docs/iam");
    let named: BTreeSet<String> = files
        .map(|file| file.expect("a file").file_name().to_string_lossy().into_owned())
        .filter_map(|name| name.strip_suffix(".json").map(str::to_owned))
        .collect();
    assert_eq!(named, tools);
}

/// A YAML file as JSON; `None` only where there is no Python, which fails in CI.
fn yaml(file: &str) -> Option<Value> {
    let python = cli_tests::python()?;
    let world = World::empty();
    let mut command = world.command(python);
    command.args([
        "-c",
        "import json, sys, yaml; json.dump(yaml.safe_load(open(sys.argv[1])), sys.stdout)",
    ]);
    command.arg(workspace().join(file));
    Some(Run::of(command).succeeds().json())
}

/// The example's steps, run one after the other as GitHub's runner does.
#[test]
fn the_example_workflow_provisions_the_table() {
    let Some(workflow) = yaml("docs/github-actions/provision-table.yml") else { return };
    assert_eq!(workflow["permissions"], json!({"contents": "read", "id-token": "write"}));
    let job = &workflow["jobs"]["provision"];
    assert_eq!(job["env"]["OPS_EXPECTED_ACCOUNT_ID"], "${{ vars.OPS_ACCOUNT_ID }}");
    if std::process::Command::new("jq").arg("--version").output().is_err() {
        return cli_tests::cannot_run("the example workflow: there is no jq");
    }
    let account = Account::of(World::both(), None);
    let output = account.world.file("output", "");
    let tools = cli_tests::binary("ddb-seed").parent().expect("a folder").display().to_string();
    let run_all = |account_id: &str| {
        for step in job["steps"].as_array().expect("steps") {
            let Some(script) = step["run"].as_str() else { continue };
            if script.starts_with("rustup") || script.starts_with("cargo install") {
                continue;
            }
            // Nothing unencrypted is taken for AWS's that is not named on the command line.
            let named = format!("ddb-schema-load prod --endpoint-url {NOBODYS}");
            let script = script.replace("ddb-schema-load prod", &named);
            let mut command = account.command("bash");
            command.args(["-e", "-o", "pipefail", "-c", &script]).env("GITHUB_OUTPUT", &output);
            command.env("PATH", format!("{tools}:{}", std::env::var("PATH").unwrap_or_default()));
            command.env("OPS_EXPECTED_ACCOUNT_ID", account_id).env("TABLE_ARN", "the ARN");
            let run = Run::of(command);
            if run.status != Some(0) {
                return Err(run);
            }
        }
        Ok(())
    };
    let refused = run_all("999999999999").expect_err("another account");
    refused.ends_with(1).says("error: this is the account 111122223333");
    // Creates it, and the second time only compares.
    for _ in 0..2 {
        run_all(ACCOUNT).unwrap_or_else(|run| panic!("{run}"));
        let said = std::fs::read_to_string(&output).expect("the output");
        assert!(
            said.lines().all(|line| line.starts_with("arn=arn:aws:dynamodb:")) && !said.is_empty(),
            "{said}"
        );
    }
    let wanted = ["--update", "--schema"];
    let other = account.world.file(
        "t.json",
        include_str!("../../../../seed-data/tables/cruddur-messages.json")
            .replace("\"WriteCapacityUnits\": 5", "\"WriteCapacityUnits\": 6"),
    );
    account.world.run("ddb-schema-load", &[wanted[0], wanted[1], &other]).succeeds();
    run_all(ACCOUNT).expect_err("a difference").ends_with(1).says("differs from the definition");
}

#[test]
fn ci_runs_the_readmes_test_command() {
    let Some(workflow) = yaml(".github/workflows/ci.yml") else { return };
    let steps = workflow["jobs"]["test"]["steps"].as_array().expect("steps").clone();
    assert_eq!(steps.last().expect("a step")["run"], "scripts/test");
    assert_eq!(workflow["permissions"], json!({"contents": "read"}));
    // The same Rust as the manifest's.
    let manifest = std::fs::read_to_string(workspace().join("Cargo.toml")).expect("Cargo.toml");
    assert!(manifest.contains("rust-version = \"1.95\""));
    let rust =
        steps.iter().filter_map(|step| step["run"].as_str()).find(|run| run.contains("rustup"));
    assert!(rust.expect("Rust").contains("install 1.95.0 "));
    let dockerfile =
        std::fs::read_to_string(workspace().join(".devcontainer/Dockerfile")).expect("Dockerfile");
    assert!(dockerfile.starts_with("FROM rust:1.95-"));
    let pinned = std::fs::read_to_string(workspace().join("rust-toolchain.toml"));
    assert!(pinned.expect("rust-toolchain.toml").contains("channel = \"1.95.0\""));
}
