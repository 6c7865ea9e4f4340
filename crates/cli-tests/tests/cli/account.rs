//! Whose account a call in `prod` would change.

use cli_tests::proxy::{Answer, Proxy, Request, identity};
use cli_tests::{ACCOUNT, Run, World};
use serde_json::{Value, json};

/// A seed in `prod` of a table that nobody seeded yet; `account` stands for AWS.
fn seed(world: &World, account: &Proxy, expected: &str, arguments: &[&str]) -> Run {
    let mut command = world.prod_tool("ddb-seed", &[&["prod"], arguments].concat());
    world.behind_account(&mut command, &account.url());
    command.env("OPS_EXPECTED_ACCOUNT_ID", expected);
    Run::of(command)
}

fn ready() -> World {
    let world = World::ready();
    world.sql("UPDATE cruddur_ops.stamp SET environment = 'prod'");
    world
}

fn answers(answer: impl Fn() -> Answer + Send + Sync + 'static) -> Proxy {
    Proxy::start("127.0.0.1:1", move |_, request: &Request| {
        assert_eq!(request.operation, "GetCallerIdentity");
        answer()
    })
}

fn denied() -> Answer {
    let body = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>not authorized to perform: sts:GetCallerIdentity</Message></Error></ErrorResponse>";
    Answer::Reply { status: 403, body: Value::String(body.to_owned()) }
}

#[test]
fn a_write_says_as_whom_and_how_large_the_table_is() {
    let world = ready();
    let account = answers(|| identity(ACCOUNT));
    seed(&world, &account, "", &["--yes"])
        .succeeds()
        .says(&format!(
            "account: {ACCOUNT}  principal arn:aws:sts::{ACCOUNT}:assumed-role/Ops/somebody\n"
        ))
        .says("table cruddur-messages: 0 items, 0 bytes by DynamoDB's last count\n");
    assert_eq!(account.requests().len(), 1);
}

#[test]
fn another_account_than_the_expected_one_is_refused() {
    let world = ready();
    let account = answers(|| identity(ACCOUNT));
    for consent in [["--yes", "--yes"], ["--confirm", "cruddur-messages"]] {
        let consent = if consent[0] == "--yes" { &consent[..1] } else { &consent[..] };
        seed(&world, &account, "999999999999", consent)
            .ends_with(1)
            .prints_only("")
            .says(&format!("error: this is the account {ACCOUNT}, and OPS_EXPECTED_ACCOUNT_ID is 999999999999; nothing is changed\n"))
            .says("hint: choose the profile of the account that you mean");
    }
    assert!(world.items("cruddur-messages").is_empty());
    seed(&world, &account, ACCOUNT, &["--yes"]).succeeds();
}

#[test]
fn an_expected_account_that_is_none_is_an_error() {
    let world = ready();
    let account = answers(|| identity(ACCOUNT));
    for wrong in ["1111-2222-3333", "prod", "11112222333"] {
        seed(&world, &account, wrong, &["--yes"]).ends_with(2).says(&format!(
            "error: OPS_EXPECTED_ACCOUNT_ID is `{wrong}`, which is not an AWS account ID"
        ));
    }
    assert!(account.requests().is_empty());
    assert!(world.items("cruddur-messages").is_empty());
}

#[test]
fn an_account_that_cannot_be_told_takes_the_name_or_is_refused() {
    let world = ready();
    let account = answers(denied);
    seed(&world, &account, ACCOUNT, &["--confirm", "cruddur-messages"])
        .ends_with(1)
        .says(&format!("error: cannot tell whether this is the account {ACCOUNT}"))
        .says("AccessDenied: not authorized to perform: sts:GetCallerIdentity")
        .says("hint: the credentials lack a permission");
    seed(&world, &account, "", &["--yes"])
        .ends_with(1)
        .prints_only("")
        .says(
            "warning: the account is not known: cannot ask STS whose account this is: AccessDenied",
        )
        .says("the account is not known, and then --yes is not enough")
        .says("hint: consent with --confirm cruddur-messages");
    assert!(world.items("cruddur-messages").is_empty());
    seed(&world, &account, "", &["--confirm", "cruddur-messages"]).succeeds();
}

#[test]
fn every_tool_that_writes_asks() {
    let world = ready();
    world.run("ddb-schema-load", &["--table", "other"]).succeeds();
    let items = world.file("a.json", r#"{"Item":{"pk":{"S":"a"},"sk":{"S":"b"}}}"#);
    for (tool, arguments) in [
        ("ddb-schema-load", vec!["prod", "--table", "new", "--yes"]),
        ("ddb-drop", vec!["other", "prod", "--confirm", "other"]),
        ("ddb-import", vec![&items, "prod", "--yes"]),
        ("ddb-item", vec!["put", "prod", &items, "--yes"]),
        ("ddb-send-message", vec!["prod", "Hi", "--from", "bayko", "--to", "jess-bk", "--yes"]),
        ("ddb-seed", vec!["prod", "--yes"]),
    ] {
        let mut command = world.prod_tool(tool, &arguments);
        command.env("OPS_EXPECTED_ACCOUNT_ID", "999999999999");
        Run::of(command)
            .ends_with(1)
            .prints_only("")
            .says(&format!("error: this is the account {ACCOUNT}"));
    }
    assert!(world.items("cruddur-messages").is_empty());
    world.run("ddb-list-tables", &[]).succeeds().prints_only("cruddur-messages\nother\n");
}

#[test]
fn reads_do_not_ask() {
    let world = World::seeded();
    let account = answers(denied);
    for (tool, arguments) in [
        ("ddb-scan", vec!["prod"]),
        ("ddb-list-tables", vec!["prod"]),
        ("ddb-export", vec!["prod"]),
        ("ddb-get-conversation", vec!["prod", "--group", cli_tests::GROUP]),
        ("ddb-query", vec!["prod", "MSG#5ae290ed-55d1-47a0-bc6d-fe2bc2700399"]),
        ("ddb-schema-load", vec!["prod", "--dry-run"]),
        ("ddb-seed", vec!["prod", "--dry-run"]),
    ] {
        if tool == "ddb-seed" {
            world.sql("UPDATE cruddur_ops.stamp SET environment = 'prod'");
        }
        let mut command = world.prod_tool(tool, &arguments);
        world.behind_account(&mut command, &account.url());
        command.env("OPS_EXPECTED_ACCOUNT_ID", "999999999999");
        Run::of(command).succeeds().says("target: PROD");
    }
    assert!(account.requests().is_empty());
}

/// The server of the tests has no backups, so the proxy has.
#[test]
fn a_drop_says_what_can_be_brought_back() {
    let world = World::dynamodb();
    let drop = |answer: fn() -> Answer| {
        world.run("ddb-schema-load", &[]).succeeds();
        let proxy = Proxy::start(&world.endpoint(), move |_, request| {
            if request.operation == "DescribeContinuousBackups" {
                answer()
            } else {
                Answer::Forward
            }
        });
        let mut command = world.prod_command("ddb-drop", &["cruddur-messages", "prod"]);
        command.args(["--endpoint-url", &proxy.url()]);
        let mut session = super::terminal::at_terminal(command);
        session
            .exp_string("This deletes the table `cruddur-messages` with all its items: 0 items")
            .expect("what");
        let said = session.exp_string("Type the name of the table").expect("the question");
        session.send_line("").expect("answer");
        said
    };
    assert!(drop(|| backups("ENABLED")).contains("Point-in-time recovery is on: for 35 days"));
    assert!(
        drop(|| backups("DISABLED"))
            .contains("Point-in-time recovery is off: it cannot be undone.")
    );
    assert!(drop(|| Answer::Forward).contains("Backup status unknown"));
}

fn backups(status: &str) -> Answer {
    let body = json!({"ContinuousBackupsDescription": {"ContinuousBackupsStatus": "ENABLED",
        "PointInTimeRecoveryDescription": {"PointInTimeRecoveryStatus": status}}});
    Answer::Reply { status: 200, body }
}

/// The same on a server that has backups.
#[test]
fn a_drop_of_a_table_with_recovery_says_so() {
    let Some(world) = World::empty().with_pool(&[]) else { return };
    let (table, url) = (world.database().to_owned(), world.cognito().url());
    let named = ["--table", &table, "--endpoint-url", &url];
    world.run("ddb-schema-load", &named).succeeds();
    let drop = || {
        let mut command = world.prod_command("ddb-drop", &[&table, "prod", "--endpoint-url", &url]);
        command.env("AWS_REGION", "us-east-1");
        let mut session = super::terminal::at_terminal(command);
        let said = session.exp_string("Type the name of the table").expect("the question");
        session.send_line("").expect("answer");
        said
    };
    assert!(drop().contains("Point-in-time recovery is off: it cannot be undone."));
    let python = cli_tests::python().expect("moto has a Python");
    let script = format!(
        "import boto3; boto3.client('dynamodb', endpoint_url='{url}', region_name='us-east-1').update_continuous_backups(TableName='{table}', PointInTimeRecoverySpecification={{'PointInTimeRecoveryEnabled': True}})"
    );
    let mut command = world.command(python);
    command.args(["-c", &script]).env("AWS_ACCESS_KEY_ID", "a").env("AWS_SECRET_ACCESS_KEY", "b");
    Run::of(command).succeeds();
    assert!(drop().contains("Point-in-time recovery is on: for 35 days"));
    world.run("ddb-drop", &[&table, "--endpoint-url", &url]).succeeds();
}

/// What STS says is the service's own: moto's account.
#[test]
fn the_ids_of_another_account_do_not_go_into_production() {
    let Some(world) = World::ready().with_pool(&["bayko"]) else { return };
    world.sql("UPDATE cruddur_ops.stamp SET environment = 'prod'");
    let account = Proxy::start(&world.cognito().url(), |_, _| Answer::Forward);
    let update = |expected: &str| {
        let mut command = world.prod_tool("update-cognito-user-ids", &["prod", "--yes"]);
        world.behind_account(&mut command, &account.url());
        command.env("AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER", cli_tests::NOBODYS);
        command.env("OPS_EXPECTED_ACCOUNT_ID", expected);
        Run::of(command)
    };
    update("999999999999").ends_with(1).says("error: this is the account 123456789012");
    update("123456789012").succeeds().says("account: 123456789012  principal arn:aws:sts::");
}

/// Keys in the environment do not go before a profile that is named.
#[test]
fn a_profile_that_is_named_is_the_one_that_signs() {
    let world = World::dynamodb();
    let config = world.file(
        "config",
        "[profile other]\naws_access_key_id = AKIAOTHER\naws_secret_access_key = s3cret\nregion = eu-west-3\n",
    );
    let (heard, hears) = std::sync::mpsc::channel::<String>();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("port");
    let url = format!("http://{}", listener.local_addr().expect("address"));
    std::thread::spawn(move || {
        use std::io::{BufRead, Write};
        for mut client in listener.incoming().flatten() {
            let reader = std::io::BufReader::new(client.try_clone().expect("clone"));
            let lines = reader.lines().map_while(Result::ok).take_while(|line| !line.is_empty());
            let signed = lines.filter(|line| line.to_lowercase().starts_with("authorization:"));
            let _ = heard.send(signed.collect());
            let _ = client.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 17\r\ncontent-type: application/x-amz-json-1.0\r\n\r\n{\"TableNames\": []}");
        }
    });
    let list = |profile: &str| {
        let mut command = world.prod_command("ddb-list-tables", &["prod", "--profile", profile]);
        command
            .args(["--endpoint-url", &url])
            .env("AWS_CONFIG_FILE", &config)
            .env_remove("AWS_REGION");
        Run::of(command)
    };
    list("other").says("region eu-west-3");
    let signed = hears.recv().expect("a request");
    assert!(signed.contains("Credential=AKIAOTHER/"), "{signed}");
    let mut command = world.prod_command("ddb-list-tables", &["prod", "--profile", "othr"]);
    command.args(["--endpoint-url", &url]).env("AWS_CONFIG_FILE", &config);
    Run::of(command).ends_with(1).prints_only("").says("othr");
    assert!(hears.try_recv().is_err(), "nothing is sent");
}
