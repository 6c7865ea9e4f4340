//! Every fault of every service, in a table: the right exit code, an error of one
//! paragraph with a hint, no panic, no hang, and nothing done that is not told.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use cli_tests::proxy::{Answer, Proxy, Request, identity};
use cli_tests::{ACCOUNT, NOBODYS, Run, World};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};

/// Nobody can listen on port 1 here without being root and meaning it.
const NOBODY: &str = "http://127.0.0.1:1";

/// A name that no resolver has to be asked for: a label has 63 characters at most.
fn unknown_host() -> String {
    "a".repeat(64)
}

/// What an error has to be, whatever went wrong.
fn told(run: Run, status: i32, error: &str, hint: &str) -> Run {
    assert!(!error.is_empty() && !hint.is_empty(), "nothing is expected of\n{run}");
    let run = run.ends_with(status);
    let errors: Vec<&str> = run.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "{run}");
    let (_, paragraph) = run.stderr.split_once("error: ").expect("an error");
    let mut lines: Vec<&str> = paragraph.lines().collect();
    assert!(
        lines[1..].iter().all(|line| line.starts_with("  ")),
        "one paragraph at the end\n{run}"
    );
    assert!(paragraph.contains(error), "no `{error}`\n{run}");
    assert!(
        lines.iter().any(|line| line.starts_with("  hint: ") && line.contains(hint)),
        "no hint `{hint}`\n{run}"
    );
    let all = lines.len();
    lines.sort_unstable();
    lines.dedup();
    assert_eq!(lines.len(), all, "something is said twice\n{run}");
    assert!(!run.stderr.contains("s3cret"), "{run}");
    run
}

fn json_error(status: u16, code: &str, message: &str) -> Answer {
    Answer::Reply {
        status,
        body: json!({"__type": format!("com.amazon.coral.service#{code}"), "message": message}),
    }
}

fn xml_error(status: u16, code: &str, message: &str) -> Answer {
    let body = format!(
        "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
    );
    Answer::Reply { status, body: Value::String(body) }
}

const EARLY: &str = "Signature expired: 20261124T090000Z is now earlier than 20261124T095500Z (20261124T100000Z - 5 min.)";

/// How long an answer is waited for: shortly where none comes, else for as long as
/// it takes on a busy machine.
fn patience(fault: &str) -> &'static str {
    if fault == "slow" { "1" } else { "30" }
}

/// What an AWS service can answer: the fault, the answer, what is said of it.
type Fault = (&'static str, fn(&Request) -> Answer, &'static str, &'static str);

const AWS_FAULTS: [Fault; 7] = [
    (
        "slow",
        |_| Answer::Ignore,
        "no answer in time",
        "OPS_TIMEOUT_SECS sets for how long an answer is waited for, now 1 s",
    ),
    (
        "stopped in the middle",
        |_| Answer::Drop,
        "cannot reach DynamoDB at `http://127.0.0.1:",
        "look at the network, the proxy variables and the region",
    ),
    (
        "wrong credentials",
        |_| {
            json_error(
                400,
                "UnrecognizedClientException",
                "The security token included in the request is invalid.",
            )
        },
        "UnrecognizedClientException",
        "sign in again (`aws sso login`)",
    ),
    (
        "wrong secret",
        |_| {
            json_error(
                400,
                "InvalidSignatureException",
                "The request signature we calculated does not match the signature you provided.",
            )
        },
        "InvalidSignatureException",
        "sign in again (`aws sso login`)",
    ),
    (
        "expired credentials",
        |_| {
            json_error(
                400,
                "ExpiredTokenException",
                "The security token included in the request is expired",
            )
        },
        "ExpiredTokenException",
        "sign in again (`aws sso login`)",
    ),
    (
        "clock skew",
        |_| json_error(400, "InvalidSignatureException", EARLY),
        "Signature expired",
        "this machine's clock is off",
    ),
    (
        "access denied",
        |_| {
            json_error(
                400,
                "AccessDeniedException",
                "User: arn:aws:iam::1:user/a is not authorized to perform: the action",
            )
        },
        "not authorized to perform",
        "the credentials lack a permission",
    ),
];

#[test]
fn dynamodb() {
    let world = World::seeded();
    let get_within = |secs: &str, endpoint: &str, region: &str| {
        let mut command = world.prod_command(
            "ddb-get-conversation",
            &["prod", "--limit", "80", "--group", cli_tests::GROUP],
        );
        command
            .args(["--endpoint-url", endpoint])
            .env("OPS_TIMEOUT_SECS", secs)
            .env("AWS_REGION", region);
        command.env("AWS_SECRET_ACCESS_KEY", "s3cret").env_remove("HTTP_PROXY");
        Run::of(command).prints_only("")
    };
    let get = |endpoint: &str, region: &str| get_within("30", endpoint, region);
    let endpoint = world.endpoint();
    let proxied = |decide: fn(usize, &Request) -> Answer| Proxy::start(&endpoint, decide).url();
    told(
        get(NOBODY, "eu-west-1"),
        1,
        "cannot reach DynamoDB at `http://127.0.0.1:1`\n  cause: connection refused",
        "look at the network",
    );
    let nowhere = format!("http://{}:8000", unknown_host());
    told(
        get(&nowhere, "eu-west-1"),
        1,
        "cannot reach DynamoDB",
        "look at the endpoint's host name",
    );
    told(
        get(&format!("https://127.0.0.1:{}", tls_server()), "eu-west-1"),
        1,
        "UnknownIssuer",
        "certificate",
    );
    for (fault, answer, error, hint) in AWS_FAULTS {
        let proxy = Proxy::start(&endpoint, move |_, request| answer(request));
        told(get_within(patience(fault), &proxy.url(), "eu-west-1"), 1, error, hint);
    }
    // After a page that came.
    let middle = proxied(|number, request| {
        let mut body = request.body.clone();
        body["Limit"] = json!(10);
        if number == 0 { Answer::Instead { body, add: json!({}) } } else { Answer::Drop }
    });
    told(get(&middle, "eu-west-1"), 1, "cannot reach DynamoDB", "look at the network");
    let elsewhere = proxied(|_, request| match request.operation.as_str() {
        "ListTables" => Answer::Reply { status: 200, body: json!({"TableNames": []}) },
        _ => json_error(400, "ResourceNotFoundException", "Requested resource not found"),
    });
    told(
        get(&elsewhere, "ap-south-1"),
        1,
        "there is no table `cruddur-messages` (target: PROD  endpoint",
        "a table is of one account and one region: look at both",
    );
}

/// Each other tool, where DynamoDB fails it in one of these ways.
#[test]
fn dynamodb_and_every_tool_that_has_it() {
    let Some(world) = World::whole() else { return };
    let items = world.file("a.json", r#"{"Item":{"pk":{"S":"a"},"sk":{"S":"b"}}}"#);
    let before = world.items("cruddur-messages");
    let denied =
        || json_error(400, "AccessDeniedException", "not authorized to perform: the action");
    let endpoints: [(String, &str, &str); 3] = [
        (
            NOBODY.to_owned(),
            "cannot reach DynamoDB at `http://127.0.0.1:1`\n  cause: connection refused\n",
            "start it with",
        ),
        (
            Proxy::start(&world.endpoint(), move |_, _| denied()).url(),
            "not authorized",
            "the credentials lack a permission",
        ),
        (
            Proxy::start(&world.endpoint(), |_, _| Answer::Drop).url(),
            "cannot reach DynamoDB at `http://127.0.0.1:",
            "start it with",
        ),
    ];
    for (endpoint, error, hint) in &endpoints {
        for (tool, arguments) in [
            ("check-identities", vec![]),
            ("ddb-drop", vec!["cruddur-messages"]),
            ("ddb-export", vec!["--out", "out.json", "--give-up-after", "1"]),
            ("ddb-import", vec![&*items, "--give-up-after", "1"]),
            ("ddb-get-conversation", vec![]),
            ("ddb-list-conversations", vec![]),
            ("ddb-query", vec!["MSG#5ae290ed-55d1-47a0-bc6d-fe2bc2700399"]),
            ("ddb-list-tables", vec![]),
            ("ddb-scan", vec![]),
            ("ddb-schema-load", vec![]),
            ("ddb-seed", vec!["--give-up-after", "1"]),
            ("ddb-send-message", vec!["Hi", "--from", "bayko", "--to", "jess-bk"]),
        ] {
            let mut command = world.tool(tool, &arguments);
            command.args(["--endpoint-url", endpoint]);
            told(Run::of(command).prints_only(""), 1, error, hint);
        }
    }
    assert_eq!(world.items("cruddur-messages"), before);
    assert!(!world.folder().join("out.json").exists());
}

#[test]
fn cognito() {
    let world = World::empty();
    let list = |endpoint: &str, account: &str| {
        let mut command = world.tool("cognito-list-users", &["--user-pool-id", "eu-west-1_AbC"]);
        command.env("AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER", endpoint);
        world.behind_account(&mut command, account);
        command.env("AWS_ACCESS_KEY_ID", "A").env("AWS_SECRET_ACCESS_KEY", "s3cret");
        Run::of(command).prints_only("")
    };
    told(
        list(NOBODY, NOBODY),
        1,
        "cannot reach Cognito at `http://127.0.0.1:1`\n  cause: connection refused",
        "start it with",
    );
    told(
        list(&format!("http://{}", unknown_host()), ""),
        1,
        "cannot reach Cognito",
        "look at the endpoint's host name",
    );
    told(
        list(&format!("https://127.0.0.1:{}", tls_server()), NOBODY),
        1,
        "UnknownIssuer",
        "certificate",
    );
    for (fault, answer, error, hint) in AWS_FAULTS {
        // Twice eight attempts would take a while: it is one of the services' own kind.
        if fault == "slow" || fault == "stopped in the middle" {
            continue;
        }
        let account = Proxy::start("127.0.0.1:1", move |_, request| answer(request));
        told(list(NOBODYS, &account.url()), 1, error, hint);
    }
    let account = Proxy::start("127.0.0.1:1", |_, _| {
        json_error(400, "ResourceNotFoundException", "User pool eu-west-1_AbC does not exist.")
    });
    told(
        list(NOBODYS, &account.url()),
        1,
        "there is no user pool `eu-west-1_AbC`",
        "aws cognito-idp list-user-pools",
    );
    // A page came, the next does not.
    let account = Proxy::start("127.0.0.1:1", |number, _| {
        if number > 0 {
            return json_error(400, "ExpiredTokenException", "expired");
        }
        let user = json!({"Username": "a", "Enabled": true, "UserStatus": "CONFIRMED", "Attributes": [{"Name": "sub", "Value": "s"}]});
        Answer::Reply { status: 200, body: json!({"Users": [user], "PaginationToken": "more"}) }
    });
    told(list(NOBODYS, &account.url()), 1, "ExpiredTokenException", "sign in again");
}

#[test]
fn cognito_and_every_tool_that_has_it() {
    let Some(world) = World::whole() else { return };
    let before = world.sql("SELECT cognito_user_id FROM users ORDER BY handle");
    let denied = Proxy::start("127.0.0.1:1", |_, _| {
        json_error(400, "NotAuthorizedException", "not authorized")
    })
    .url();
    for (endpoint, error, hint) in [
        (NOBODY, "connection refused", "start it with"),
        (denied.as_str(), "not authorized", "listing takes `cognito-idp:ListUsers` on the pool"),
    ] {
        for (tool, arguments, status) in [
            ("check-identities", vec![], 1),
            ("update-cognito-user-ids", vec![], 1),
            ("db-setup", vec!["--steps", "cognito-ids"], 1),
            // The steps before it are done.
            ("db-setup", vec!["--steps", "seed,cognito-ids"], 3),
        ] {
            let mut command = world.tool(tool, &arguments);
            command.env("AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER", endpoint);
            told(Run::of(command), status, error, hint);
        }
    }
    assert_eq!(world.sql("SELECT cognito_user_id FROM users ORDER BY handle"), before);
}

/// A table is to be created in the account that is expected: where STS fails it is
/// not.
#[test]
fn sts() {
    let world = World::dynamodb();
    let load_within = |secs: &str, sts: &str, account: &str| {
        let mut command = world.prod_tool("ddb-schema-load", &["prod", "--yes"]);
        world.behind_account(&mut command, account);
        command
            .env("AWS_ENDPOINT_URL_STS", sts)
            .env("OPS_TIMEOUT_SECS", secs)
            .env("AWS_SECRET_ACCESS_KEY", "s3cret");
        command.env("OPS_EXPECTED_ACCOUNT_ID", ACCOUNT);
        Run::of(command).prints_only("")
    };
    let load = |sts: &str, account: &str| load_within("30", sts, account);
    let refused = format!(
        "cannot tell whether this is the account {ACCOUNT}, which OPS_EXPECTED_ACCOUNT_ID names; nothing is changed\n  cause: cannot "
    );
    told(load(NOBODYS, NOBODY), 1, &refused, "look at the network, the proxy variables");
    told(
        load(&format!("http://{}", unknown_host()), ""),
        1,
        &refused,
        "look at the endpoint's host name",
    );
    let faults: [Fault; 8] = [
        ("slow", |_| Answer::Ignore, "no answer in time", "OPS_TIMEOUT_SECS"),
        (
            "stopped in the middle",
            |_| Answer::Cut,
            "is not STS\n  cause: end of file before message length reached\n",
            "look at AWS_ENDPOINT_URL_STS, and at what listens on that port",
        ),
        (
            "wrong credentials",
            |_| {
                xml_error(
                    403,
                    "InvalidClientTokenId",
                    "The security token included in the request is invalid.",
                )
            },
            "InvalidClientTokenId",
            "sign in again",
        ),
        (
            "wrong secret",
            |_| {
                xml_error(
                    403,
                    "SignatureDoesNotMatch",
                    "The request signature we calculated does not match",
                )
            },
            "SignatureDoesNotMatch",
            "sign in again",
        ),
        (
            "expired credentials",
            |_| {
                xml_error(
                    403,
                    "ExpiredToken",
                    "The security token included in the request is expired",
                )
            },
            "ExpiredToken",
            "sign in again",
        ),
        (
            "clock skew",
            |_| xml_error(403, "SignatureDoesNotMatch", EARLY),
            "Signature expired",
            "this machine's clock is off",
        ),
        (
            "access denied",
            |_| xml_error(403, "AccessDenied", "not authorized to perform: sts:GetCallerIdentity"),
            "not authorized",
            "the credentials lack a permission",
        ),
        (
            "wrong region",
            |_| xml_error(403, "RegionDisabledException", "STS is not activated in this region"),
            "STS is not activated in this region",
            "choose another region with --region or AWS_REGION",
        ),
    ];
    for (fault, answer, error, hint) in faults {
        // A server that is cut off has to be there first.
        let sts = Proxy::start("127.0.0.1:1", |_, _| identity(ACCOUNT));
        let account = Proxy::start(&sts.url(), move |_, request| answer(request));
        let run = load_within(patience(fault), NOBODYS, &account.url());
        told(told(run, 1, error, hint), 1, &refused, hint);
    }
    // STS is refused as a stand-in of this machine's own, with its own certificate too.
    told(
        load(&format!("https://127.0.0.1:{}", tls_server()), NOBODY),
        1,
        "AWS_ENDPOINT_URL_STS in the environment points STS at",
        "env -u AWS_ENDPOINT_URL_STS",
    );
    world.run("ddb-list-tables", &[]).succeeds().prints_only("");
}

#[test]
fn postgres() {
    let world = World::postgres();
    world.run("db-setup", &[]).succeeds();
    let list_within = |secs: &str, url: &str| {
        let mut command = world.tool("db-sessions", &[]);
        command
            .env("CONNECTION_URL", url)
            .env("OPS_TIMEOUT_SECS", secs)
            .env("OPS_LOCAL_HOSTS", unknown_host());
        Run::of(command).prints_only("")
    };
    let list = |url: &str| list_within("30", url);
    let user = format!("{}_user", world.database());
    let database = world.database();
    world.admin_sql(&format!(
        "CREATE USER {user} PASSWORD 's3cret'; REVOKE CONNECT ON DATABASE {database} FROM PUBLIC"
    ));
    told(
        list("postgresql://u:s3cret@127.0.0.1:1/d"),
        1,
        "cannot reach Postgres at `u@127.0.0.1:1`\n  cause: connection refused",
        "start it with",
    );
    told(
        list(&format!("postgresql://u:s3cret@{}/d", unknown_host())),
        1,
        "cannot reach Postgres",
        "look at the host name in CONNECTION_URL",
    );
    // From the least to the most that a server lets go through before it is silent
    // or gone: nothing, the sign-in, the first question.
    for after in [0, 1, 2, 3, 4] {
        let (silent, gone) = (tcp_proxy(&world, after, true), tcp_proxy(&world, after, false));
        let (no_answer, no_connection, start) = if after < 3 {
            ("something listens there and does not answer", "the connection was closed", "start it")
        } else {
            ("Postgres gave no answer within 1 s", "connection closed", "the server went away")
        };
        told(list_within("1", &silent), 1, no_answer, "OPS_TIMEOUT_SECS sets how long");
        told(list(&gone), 1, no_connection, start);
    }
    told(
        list(&world.url_of(&user, "s3cret-not")),
        1,
        "refuses the connection\n  cause: password authentication failed",
        "look at user and password in CONNECTION_URL",
    );
    told(
        list(&world.url_of(&user, "s3cret")),
        1,
        "refuses the connection\n  cause: permission denied for database",
        "may not use this database",
    );
    world.admin_sql(&format!(
        "GRANT CONNECT ON DATABASE {database} TO {user}; ALTER USER {user} VALID UNTIL '2020-01-01'"
    ));
    told(
        list(&world.url_of(&user, "s3cret")),
        1,
        "refuses the connection\n  cause: password authentication failed",
        "look at user and password in CONNECTION_URL",
    );
    world.admin_sql(&format!("ALTER USER {user} VALID UNTIL 'infinity'"));
    // The stamp is not its to read.
    told(
        list(&world.url_of(&user, "s3cret")),
        1,
        "permission denied for schema cruddur_ops",
        "GRANT SELECT ON cruddur_ops.stamp",
    );
    let elsewhere = format!("{}_elsewhere", world.local_url());
    told(list(&elsewhere), 1, "there is no database `", "create it with `db-setup`");
    // TLS to a server that speaks it, with certificates of every kind: see `tls`.
    let not_postgres = TcpListener::bind("127.0.0.1:0").expect("port");
    let url = format!(
        "postgresql://u:s3cret@{}/d?sslmode=require",
        not_postgres.local_addr().expect("address")
    );
    thread::spawn(move || {
        for mut client in not_postgres.incoming().flatten() {
            let _ = client.read(&mut [0; 8]);
            let _ = client.write_all(b"Snonsense, and no TLS at all");
        }
    });
    told(list(&url), 1, "cannot trust Postgres at", "is it Postgres?");
    world.admin_sql(&format!("DROP OWNED BY {user}; DROP USER {user}"));
}

#[test]
fn postgres_and_every_tool_that_has_it() {
    let Some(world) = World::whole() else { return };
    let before = world.items("cruddur-messages");
    let silent = tcp_proxy(&world, 0, true);
    let gone = tcp_proxy(&world, 3, false);
    let stopped = "postgresql://u:s3cret@127.0.0.1:1/d".to_owned();
    for (url, secs, error, hint) in [
        (
            stopped,
            "30",
            "cannot reach Postgres at `u@127.0.0.1:1`\n  cause: connection refused\n",
            "start it with",
        ),
        (silent, "3", "does not answer", "perhaps a dead tunnel"),
        (gone, "30", "connection closed", "the server went away meanwhile"),
    ] {
        for (tool, arguments) in [
            ("check-identities", vec![]),
            ("db-connect", vec![]),
            ("db-sessions", vec!["--kill-idle"]),
            ("db-setup", vec!["--wait", "0", "--steps", "drop"]),
            ("ddb-list-conversations", vec![]),
            ("ddb-query", vec!["inbox:bayko"]),
            ("ddb-seed", vec![]),
            ("ddb-send-message", vec!["Hi", "--from", "bayko", "--to", "jess-bk"]),
            ("update-cognito-user-ids", vec![]),
        ] {
            let mut command = world.tool(tool, &arguments);
            command.env("CONNECTION_URL", &url).env("OPS_TIMEOUT_SECS", secs);
            // Each statement is shown, and no password.
            if tool != "db-connect" {
                command.arg("-v");
            }
            told(Run::of(command).prints_only(""), 1, error, hint);
        }
    }
    assert_eq!(world.items("cruddur-messages"), before);
    assert_eq!(world.sql("SELECT count(*) FROM users"), ["4"]);
}

/// A deadline that is none is said at once.
#[test]
fn a_deadline_is_a_number_of_seconds() {
    let world = World::empty();
    for wrong in ["0", "-1", "soon", "1.5", "999999"] {
        let mut command = world.tool("ddb-list-tables", &[]);
        command.env("OPS_TIMEOUT_SECS", wrong);
        told(
            Run::of(command),
            2,
            &format!("OPS_TIMEOUT_SECS is `{wrong}`"),
            "a number of seconds from 1 to 3600",
        );
    }
}

/// A server with a certificate that nobody vouches for. Returns its port.
fn tls_server() -> u16 {
    let certified =
        rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("certificate");
    let certificate = CertificateDer::from(certified.cert.der().to_vec());
    let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).expect("a key");
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(
        rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .expect("versions")
    .with_no_client_auth()
    .with_single_cert(vec![certificate], key)
    .expect("a certificate");
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").expect("port");
    let port = listener.local_addr().expect("address").port();
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let mut connection = rustls::ServerConnection::new(Arc::clone(&config)).expect("TLS");
            // Until the client hangs up.
            while connection.complete_io(&mut client).is_ok_and(|done| done != (0, 0)) {}
        }
    });
    port
}

/// A way to the world's Postgres that lets so many of the client's messages through
/// and then is silent, or gone. Returns a URL that leads there.
fn tcp_proxy(world: &World, messages: usize, silent: bool) -> String {
    let url = world.local_url();
    let address = url
        .rsplit_once('@')
        .and_then(|(_, rest)| rest.split_once('/'))
        .expect("a host")
        .0
        .to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").expect("port");
    let here = listener.local_addr().expect("address").to_string();
    let through = url.replace(&address, &here);
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = TcpStream::connect(&address).expect("connect");
            thread::spawn(move || let_through(client, server, messages, silent));
        }
    });
    through
}

fn let_through(mut client: TcpStream, mut server: TcpStream, messages: usize, silent: bool) {
    let (mut from_server, mut to_client) =
        (server.try_clone().expect("clone"), client.try_clone().expect("clone"));
    thread::spawn(move || {
        let _ = std::io::copy(&mut from_server, &mut to_client);
    });
    let mut buffer = [0; 65536];
    for _ in 0..messages {
        match client.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(length) => server.write_all(&buffer[..length]).expect("send"),
        }
    }
    // The one that is too many arrives and is not passed on.
    let _ = client.read(&mut buffer);
    if silent {
        while client.read(&mut buffer).is_ok_and(|length| length > 0) {}
    }
    let _ = client.shutdown(std::net::Shutdown::Both);
    let _ = server.shutdown(std::net::Shutdown::Both);
}
