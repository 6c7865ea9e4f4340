//! `messages-api`: the app's routes, for whoever signed in and for nobody else.

use std::io::Write;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cli_tests::api::{self, Api, forged};
use cli_tests::proxy::{Answer, Proxy};
use cli_tests::{BAYKO, GROUP, Run, World};
use ops_common::aws;
use serde_json::{Value, json};

const INBOX: &str = "/api/message_groups";

fn conversation() -> String {
    format!("/api/messages/{GROUP}")
}

#[track_caller]
fn answers(answer: &api::Answer, status: u16, body: &Value) {
    assert_eq!((answer.status, &answer.body), (status, body), "{answer:?}");
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

#[test]
fn people_read_their_inbox_and_their_conversations() {
    let Some(world) = World::whole() else { return };
    let api = Api::start(&world, &[]);
    let (bayko, jess) = (api.sign_in(&world, "bayko"), api.sign_in(&world, "jess-bk"));
    for (token, other) in [(&bayko, "jess-bk"), (&jess, "bayko")] {
        let inbox = api.get(INBOX, Some(token));
        let groups = inbox.body.as_array().expect("an array");
        assert_eq!((inbox.status, groups.len()), (200, 1), "{inbox:?}");
        assert_eq!(groups[0]["uuid"], GROUP);
        assert_eq!(groups[0]["handle"], other);
        assert_eq!(groups[0]["created_at"], "2026-01-01T01:43:00.000000+00:00");
        let members: Vec<&String> = groups[0].as_object().expect("an object").keys().collect();
        assert_eq!(members, ["created_at", "display_name", "handle", "message", "uuid"]);
    }
    // The newest twenty, the oldest of them first, as the tool shows them.
    let shown = api.get(&conversation(), Some(&bayko));
    let tool = world.run("ddb-get-conversation", &["--limit", "20", "--output", "json"]).json();
    answers(&shown, 200, &tool["messages"]);
    // Further back, by the time of the oldest that is shown.
    let until = "2026-01-01T00:01:00%2B00:00";
    let older = api.get(&format!("{}?limit=2&until={until}", conversation()), Some(&bayko));
    let times: Vec<_> = older.body.as_array().expect("messages").iter().collect();
    assert_eq!(times.len(), 2, "{older:?}");
    assert_eq!(times[1]["created_at"], "2026-01-01T00:01:00.000000+00:00");
    answers(
        &api.get(&format!("{INBOX}?until=2025-01-01T00:00:00Z"), Some(&bayko)),
        200,
        &json!([]),
    );
    for (query, code) in [
        ("limit=0", "limit_invalid"),
        ("limit=101", "limit_invalid"),
        ("limit=x", "limit_invalid"),
        ("limit=", "limit_invalid"),
        ("limit=1&limit=2", "query_invalid"),
        ("until=yesterday", "until_invalid"),
    ] {
        answers(&api.get(&format!("{INBOX}?{query}"), Some(&bayko)), 422, &json!([code]));
    }
}

#[test]
fn what_everybody_may_read() {
    let Some(world) = World::whole() else { return };
    let api = Api::start(&world, &[]);
    let names = json!({"uuid": BAYKO, "handle": "bayko", "display_name": "Bayko Lund"});
    answers(&api.get("/api/users/@bayko/short", None), 200, &names);
    answers(&api.get("/api/users/@nobody/short", None), 200, &json!({}));
    answers(&api.get("/api/users/@/short", None), 200, &json!({}));
    answers(&api.get("/api/users/@%00/short", None), 200, &json!({}));
    answers(&api.get("/api/users/@%ff/short", None), 404, &json!([]));
    answers(&api.get("/api/users/bayko/short", None), 404, &json!([]));
    let home = api.get("/api/activities/home", None);
    assert_eq!(home.body[0]["message"], "The boat floats. Mostly.", "{home:?}");
    assert_eq!(home.body[0]["handle"], "bayko");
    let members: Vec<&String> = home.body[0].as_object().expect("an object").keys().collect();
    assert_eq!(members.len(), 10, "{members:?}");
    // An expired token counts as none.
    answers(&api.get("/api/activities/home", Some("x.y.z")), 200, &home.body);
    answers(&api.get("/health", None), 200, &json!({"status": "ok"}));
    let ready = json!({"dynamodb": "ok", "postgres": "ok", "keys": "ok"});
    answers(&api.get("/ready", None), 200, &ready);
    // In no cache on the way, and taken for nothing else.
    assert!(home.head.contains("cache-control: no-store\r"), "{home:?}");
    assert!(home.head.contains("x-content-type-options: nosniff\r"), "{home:?}");
    answers(&api.get("/nowhere", None), 404, &json!([]));
    world.sql("UPDATE activities SET expires_at = now() - interval '1 second'");
    answers(&api.get("/api/activities/home", None), 200, &json!([]));
}

#[test]
fn messages_go_into_conversations_and_to_people() {
    let Some(world) = World::whole() else { return };
    let api = Api::start(&world, &[]);
    let (bayko, maren) = (api.sign_in(&world, "bayko"), api.sign_in(&world, "maren"));
    let text = "The heron <b>is</b> back. 🌅";
    let sent =
        api.post("/api/messages", &bayko, &json!({"message": text, "message_group_uuid": GROUP}));
    assert_eq!(sent.status, 200, "{sent:?}");
    assert_eq!(sent.body["message_group_uuid"], GROUP);
    assert_eq!((&sent.body["message"], &sent.body["handle"]), (&json!(text), &json!("bayko")));
    let shown = api.get(&conversation(), Some(&bayko)).body;
    assert_eq!(shown[19]["uuid"], sent.body["uuid"], "{shown}");
    // To a person: the first message starts a conversation, the next one goes into it.
    let first = api.post("/api/messages", &bayko, &json!({"message": "Hi", "handle": "@maren"}));
    let group = first.body["message_group_uuid"].as_str().expect("a conversation");
    assert_ne!(group, GROUP);
    let second = api.post("/api/messages", &maren, &json!({"message": "Hi!", "handle": "bayko"}));
    assert_eq!(second.body["message_group_uuid"], group, "{second:?}");
    let both = api.get(&format!("/api/messages/{group}"), Some(&maren)).body;
    assert_eq!(both.as_array().map(Vec::len), Some(2), "{both}");
    world.run("check-identities", &[]).succeeds();
    // Four bytes each.
    let longest = "🌅".repeat(1024);
    let sent = api.post("/api/messages", &bayko, &json!({"message": longest, "handle": "maren"}));
    assert_eq!(sent.status, 200, "{sent:?}");
    let escaped =
        format!("{{\"message\":\"{}\",\"handle\":\"maren\"}}", "\\ud83c\\udf05".repeat(1024));
    let sent = api.request("POST", "/api/messages", Some(&bayko), &[], escaped.as_bytes());
    assert_eq!(sent.status, 200, "{sent:?}");
}

#[test]
fn a_wrong_message_is_answered_with_every_code() {
    let Some(world) = World::whole() else { return };
    let api = Api::start(&world, &[]);
    let bayko = api.sign_in(&world, "bayko");
    let before = world.items("cruddur-messages");
    let (blank, long) = ("message_blank", "message_exceed_max_chars_1024");
    let (group, handle) = ("message_group_uuid_blank", "user_reciever_handle_blank");
    for (form, codes) in [
        (json!({"message": "", "message_group_uuid": GROUP}), vec![blank]),
        (json!({"message": " \n", "message_group_uuid": GROUP}), vec![blank]),
        (json!({"message_group_uuid": GROUP}), vec![blank]),
        (json!({"message": "é".repeat(1025), "message_group_uuid": GROUP}), vec![long]),
        (json!({"message": "Hi"}), vec![group]),
        (json!({"message": "Hi", "message_group_uuid": ""}), vec![group]),
        (json!({"message": "Hi", "handle": ""}), vec![handle]),
        (json!({"message": "Hi", "handle": "@"}), vec![handle]),
        (json!({"message": "Hi", "handle": "nobody"}), vec![handle]),
        (json!({"message": "Hi", "handle": "bayko"}), vec![handle]),
        (json!({"message": "Hi", "handle": "\0"}), vec![handle]),
        (json!({"handle": ""}), vec![blank, handle]),
        (json!({"message": 5, "handle": "maren"}), vec!["body_not_a_message"]),
        (json!(["Hi"]), vec!["body_not_a_message"]),
        (json!(null), vec!["body_not_a_message"]),
    ] {
        answers(&api.post("/api/messages", &bayko, &form), 422, &json!(codes));
    }
    let raw = |body: &[u8]| api.request("POST", "/api/messages", Some(&bayko), &[], body);
    answers(&raw(b"{\"message\":\"\xff\"}"), 422, &json!(["body_not_a_message"]));
    answers(&raw(b""), 422, &json!(["body_not_a_message"]));
    answers(&raw(&vec![b'a'; 1 << 20]), 413, &json!(["body_too_large"]));
    assert_eq!(world.items("cruddur-messages"), before);
}

/// A third person learns nothing of a conversation: not that it is there.
#[test]
fn others_neither_read_nor_write() {
    let Some(world) = World::whole() else { return };
    let api = Api::start(&world, &[]);
    let maren = api.sign_in(&world, "maren");
    let before = world.items("cruddur-messages");
    let nowhere = "5ae290ed-55d1-47a0-bc6d-fe2bc2700398";
    for group in [GROUP, nowhere, "not-a-uuid"] {
        answers(&api.get(&format!("/api/messages/{group}"), Some(&maren)), 404, &json!([]));
        let form = json!({"message": "Hi", "message_group_uuid": group});
        answers(&api.post("/api/messages", &maren, &form), 404, &json!([]));
    }
    answers(&api.get(INBOX, Some(&maren)), 200, &json!([]));
    assert_eq!(world.items("cruddur-messages"), before);
}

#[test]
fn only_an_access_token_of_this_pool_and_client_is_good() {
    let Some(world) = World::whole() else { return };
    let api = Api::start(&world, &[]);
    let (access, id) = api.tokens(&world, "bayko");
    let issuer = |pool: &str| format!("https://cognito-idp.us-east-1.amazonaws.com/{pool}");
    let claims = json!({
        "sub": world.sub("bayko"), "iss": issuer(world.pool()), "client_id": api.client_id(),
        "token_use": "access", "exp": now() + 600, "iat": now(),
    });
    let with = |name: &str, value: Value| {
        let mut claims = claims.clone();
        claims[name] = value;
        claims
    };
    let without = |name: &str| {
        let mut claims = claims.clone();
        claims.as_object_mut().expect("an object").remove(name);
        claims
    };
    let rs256 = || json!({"alg": "RS256"});
    let tokens = forged(&[
        (rs256(), claims.clone()),
        (json!({"alg": "none"}), claims.clone()),
        (json!({"alg": "HS256"}), claims.clone()),
        (json!({"alg": "RS256", "kid": "another"}), claims.clone()),
        (rs256(), with("iss", json!(issuer("us-east-1_Another")))),
        (rs256(), with("iss", json!("https://evil.example"))),
        (rs256(), without("iss")),
        (rs256(), with("client_id", json!("another"))),
        (rs256(), without("client_id")),
        (rs256(), with("token_use", json!("id"))),
        (rs256(), without("token_use")),
        (rs256(), with("exp", json!(now() - 2))),
        (rs256(), without("exp")),
        (rs256(), with("nbf", json!(now() + 60))),
        (rs256(), without("sub")),
    ]);
    // The key that signs them is the one that the server has: only what is wrong counts.
    assert_eq!(api.get(INBOX, Some(&tokens[0])).status, 200);
    assert_eq!(api.get(INBOX, Some(&access)).status, 200);
    let (head, _) = access.rsplit_once('.').expect("a signature");
    let unsigned = format!("{head}.");
    let mut wrong: Vec<&str> = tokens[1..].iter().map(String::as_str).collect();
    wrong.extend([&*id, &unsigned, "", "x", "x.y.z", "..", &head[..head.len() - 3]]);
    for token in wrong {
        for path in [INBOX, &conversation()] {
            let answer = api.get(path, Some(token));
            answers(&answer, 401, &json!({}));
            assert!(answer.head.contains("www-authenticate: bearer"), "{answer:?}");
        }
        answers(
            &api.post(
                "/api/messages",
                token,
                &json!({"message": "Hi", "message_group_uuid": GROUP}),
            ),
            401,
            &json!({}),
        );
    }
    // The last characters of a signature can stand for the same bytes.
    let middle = access.len() - 20;
    let other = if &access[middle..=middle] == "A" { "B" } else { "A" };
    let mut altered = access.clone();
    altered.replace_range(middle..=middle, other);
    answers(&api.get(INBOX, Some(&altered)), 401, &json!({}));
    answers(&api.get(INBOX, None), 401, &json!({}));
    let basic = api.request("GET", INBOX, None, &["authorization: Basic YTpi"], b"");
    answers(&basic, 401, &json!({}));
    let lower = format!("authorization: bearer {access}");
    assert_eq!(api.request("GET", INBOX, None, &[&lower], b"").status, 200);
    // Of two, a proxy in front may have looked at the other.
    let other = format!("authorization: Bearer {access}");
    let two = api.request("GET", INBOX, Some(&access), &[&other], b"");
    answers(&two, 401, &json!({}));
    // No part of a token is in the log, nor anything else that its sender wrote.
    let header = json!({"alg": "my secret text"}).to_string();
    let hostile = format!("{}.e30.", aws_smithy_types::base64::encode(header));
    answers(&api.get(INBOX, Some(&hostile)), 401, &json!({}));
    api.request(&"X".repeat(3000), INBOX, None, &[], b"");
    api.wait_until_it_says("OTHER /api/message_groups 405");
    let log = api.log();
    assert!(!log.contains("secret") && !log.contains("XX"), "{log}");
    for token in [&access, &id, &tokens[4]] {
        assert!(token.split('.').all(|part| !log.contains(part)), "{log}");
    }
}

/// Signed in, and unknown to Postgres: `check-identities` says why.
#[test]
fn a_person_without_a_row_is_told_so() {
    let Some(world) = World::whole() else { return };
    world.add_user("newcomer", None);
    let api = Api::start(&world, &[]);
    let token = api.sign_in(&world, "newcomer");
    answers(&api.get(INBOX, Some(&token)), 422, &json!(["cognito_user_id_blank"]));
    // Two rows with one sub: nobody can tell whose messages these are.
    let sub = world.sub("tariq");
    world.sql(&format!("UPDATE users SET cognito_user_id = '{sub}' WHERE handle = 'maren'"));
    let tariq = api.sign_in(&world, "tariq");
    answers(&api.get(INBOX, Some(&tariq)), 422, &json!(["cognito_user_id_blank"]));
}

#[test]
fn fifty_senders_at_once_lose_nothing() {
    let Some(world) = World::whole() else { return };
    let api = Api::start(&world, &[]);
    let tokens = [api.sign_in(&world, "bayko"), api.sign_in(&world, "jess-bk")];
    let (sent, late): (Vec<_>, Vec<_>) = std::thread::scope(|scope| {
        let send = |number: usize| {
            let form = json!({"message": format!("message {number}"), "message_group_uuid": GROUP});
            let (api, token) = (&api, &tokens[number % 2]);
            scope.spawn(move || api.post("/api/messages", token, &form))
        };
        let senders: Vec<_> = (0..50).map(send).collect();
        senders
            .into_iter()
            .map(|sender| sender.join().expect("a sender"))
            .partition(|a| a.status == 200)
    });
    assert!(sent.len() >= 25, "{late:?}");
    // Who lost the race for half a minute is told to come again.
    assert!(late.iter().all(|answer| answer.status == 503), "{late:?}");
    let shown = api.get(&format!("{}?limit=100", conversation()), Some(&tokens[0])).body;
    let shown: Vec<&Value> =
        shown.as_array().expect("messages").iter().map(|m| &m["uuid"]).collect();
    for answer in &sent {
        assert_eq!(
            shown.iter().filter(|uuid| **uuid == &answer.body["uuid"]).count(),
            1,
            "{answer:?}"
        );
    }
    let items = world.items("cruddur-messages");
    assert_eq!(items.len(), 106 + sent.len());
    world.run("check-identities", &[]).succeeds();
}

#[test]
fn web_pages_of_other_origins_are_kept_out() {
    let Some(world) = World::whole() else { return };
    let asks = |api: &Api, origin: &str| {
        let origin = format!("origin: {origin}");
        let headers = [
            &*origin,
            "access-control-request-method: POST",
            "access-control-request-headers: authorization,content-type",
        ];
        api.request("OPTIONS", "/api/messages", None, &headers, b"").head
    };
    let api = Api::start(&world, &[]);
    let allowed = asks(&api, "http://localhost:3000");
    assert!(allowed.contains("access-control-allow-origin: http://localhost:3000"), "{allowed}");
    assert!(
        allowed.contains("access-control-allow-headers: authorization,content-type"),
        "{allowed}"
    );
    assert!(!asks(&api, "https://evil.example").contains("allow-origin"));
    let api = Api::start(&world, &["--cors-origin", "https://app.example.com"]);
    assert!(
        asks(&api, "https://app.example.com").contains("allow-origin: https://app.example.com")
    );
    assert!(!asks(&api, "http://localhost:3000").contains("allow-origin"));
}

/// Connections on which nothing is asked are closed, and meanwhile others are served.
#[test]
fn a_request_that_never_comes_is_not_waited_for() {
    let Some(world) = World::whole() else { return };
    let api = Api::start(&world, &[]);
    let halves = ["", "GET /health HTTP/1.1\r\nhost: a\r\n"].map(|head| {
        let mut stream = std::net::TcpStream::connect(api.address()).expect("connect");
        stream.write_all(head.as_bytes()).expect("send");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a deadline");
        stream
    });
    assert_eq!(api.get("/health", None).status, 200);
    for mut half in halves {
        // The end, or a word about it: but not the deadline.
        let mut answer = Vec::new();
        std::io::Read::read_to_end(&mut half, &mut answer).expect("an end");
    }
}

/// What fails behind it is 503, and it is well again when that is.
#[test]
fn services_that_stop_and_come_back() {
    let Some(world) = World::whole() else { return };
    let database = world.database().to_owned();
    let api = Api::start(&world, &[]);
    let token = api.sign_in(&world, "bayko");
    assert_eq!(api.get(INBOX, Some(&token)).status, 200);
    // Each connection of the pool is ended; the next request makes a new one.
    let end = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}' AND pid <> pg_backend_pid()"
    );
    world.sql(&end);
    cli_tests::wait_for("a new connection", || {
        api.get("/api/users/@bayko/short", None).status == 200
    });
    world.server_sql(&format!("ALTER DATABASE {database} ALLOW_CONNECTIONS false"));
    world.server_sql(&end);
    cli_tests::wait_for("the end of the connections", || {
        api.get("/api/users/@bayko/short", None).status == 503
    });
    let answer = api.get("/api/activities/home", None);
    answers(&answer, 503, &json!(["service_unavailable"]));
    assert!(answer.head.contains("retry-after: 5"), "{answer:?}");
    let ready = json!({"dynamodb": "ok", "postgres": "unreachable", "keys": "ok"});
    answers(&api.get("/ready", None), 503, &ready);
    world.server_sql(&format!("ALTER DATABASE {database} ALLOW_CONNECTIONS true"));
    cli_tests::wait_for("the database", || api.get("/api/activities/home", None).status == 200);
}

/// A server that stops and comes back: nothing that asks it meanwhile gets an answer.
#[derive(Clone, Default)]
struct Stop(Arc<AtomicBool>);

impl Stop {
    fn set(&self, is_stopped: bool) {
        self.0.store(is_stopped, Ordering::SeqCst);
    }

    fn or(&self, answer: Answer) -> Answer {
        if self.0.load(Ordering::SeqCst) { Answer::Drop } else { answer }
    }
}

#[test]
fn dynamodb_stops_and_comes_back() {
    let Some(world) = World::whole() else { return };
    let stop = Stop::default();
    let proxy = Proxy::start(&world.endpoint(), {
        let stop = stop.clone();
        move |_, _| stop.or(Answer::Forward)
    });
    let api = Api::start_with(&world, &[], |command| {
        command.env("AWS_ENDPOINT_URL_DYNAMODB", proxy.url());
    });
    let token = api.sign_in(&world, "bayko");
    let inbox = api.get(INBOX, Some(&token));
    assert_eq!(inbox.status, 200, "{inbox:?}");
    let before = world.items("cruddur-messages");
    stop.set(true);
    let form = json!({"message": "Hi", "message_group_uuid": GROUP});
    for answer in [
        api.get(INBOX, Some(&token)),
        api.get(&conversation(), Some(&token)),
        api.post("/api/messages", &token, &form),
        api.post("/api/messages", &token, &json!({"message": "Hi", "handle": "maren"})),
    ] {
        answers(&answer, 503, &json!(["service_unavailable"]));
        assert!(answer.head.contains("retry-after: 5"), "{answer:?}");
    }
    let ready = json!({"dynamodb": "unreachable", "postgres": "ok", "keys": "ok"});
    answers(&api.get("/ready", None), 503, &ready);
    assert_eq!(world.items("cruddur-messages"), before);
    stop.set(false);
    answers(&api.get(INBOX, Some(&token)), 200, &inbox.body);
    assert_eq!(api.post("/api/messages", &token, &form).status, 200);
    assert_eq!(api.get("/ready", None).status, 200);
}

/// The keys that it has go on to be good; of a token that names another one nobody can
/// tell, until the keys can be had again.
#[test]
fn the_pools_keys_stop_and_come_back() {
    let Some(world) = World::whole() else { return };
    let url = format!("{}/{}/.well-known/jwks.json", world.cognito().url(), world.pool());
    let keys = aws::get(&url, true, Duration::from_secs(10));
    let keys: Value =
        serde_json::from_slice(&cli_tests::block_on(keys).expect("keys")).expect("JSON");
    let stop = Stop::default();
    let proxy = Proxy::start(&world.cognito().url(), {
        let stop = stop.clone();
        move |_, _| stop.or(Answer::Reply { status: 200, body: keys.clone() })
    });
    let api = Api::start_with(&world, &[], |command| {
        command.env("AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER", proxy.url());
    });
    let token = api.sign_in(&world, "bayko");
    assert_eq!(api.get(INBOX, Some(&token)).status, 200);
    stop.set(true);
    assert_eq!(api.get(INBOX, Some(&token)).status, 200);
    let other = &forged(&[(json!({"alg": "RS256", "kid": "another"}), json!({}))])[0];
    let asked = || api.get(INBOX, Some(other));
    // Not asked for again so soon after they were fetched.
    cli_tests::wait_for("the keys to be asked for", || asked().status == 503);
    answers(&asked(), 503, &json!(["service_unavailable"]));
    assert_eq!(api.get(INBOX, Some(&token)).status, 200);
    stop.set(false);
    cli_tests::wait_for("the keys", || asked().status == 401);
    assert_eq!(api.get(INBOX, Some(&token)).status, 200);
    // Once at the start, and then once in ten seconds at most.
    assert!(proxy.requests().len() <= 10, "{}", proxy.requests().len());
}

/// The pool's keys cannot be had: nobody can tell whether a token is good.
#[test]
fn without_the_pools_keys_it_says_503_and_not_401() {
    let Some(world) = World::whole() else { return };
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = nobody.local_addr().expect("an address");
    drop(nobody);
    let api = Api::start_with(&world, &[], |command| {
        command.env("AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER", format!("http://{address}"));
    });
    let token = api.sign_in(&world, "bayko");
    let answer = api.get(INBOX, Some(&token));
    answers(&answer, 503, &json!(["service_unavailable"]));
    assert!(answer.head.contains("retry-after"), "{answer:?}");
    let ready = json!({"dynamodb": "ok", "postgres": "ok", "keys": "unreachable"});
    answers(&api.get("/ready", None), 503, &ready);
    assert!(
        api.log().contains("connection refused") || api.log().contains("Connection refused"),
        "{}",
        api.log()
    );
}

/// Requests that are in flight are answered before it ends.
#[test]
fn sigterm_finishes_what_was_begun() {
    let Some(world) = World::whole() else { return };
    let mut api = Api::start(&world, &["--output", "json"]);
    let token = api.sign_in(&world, "bayko");
    assert_eq!(api.get(INBOX, Some(&token)).status, 200);
    let body = json!({"message": "the last one", "message_group_uuid": GROUP}).to_string();
    let (half, rest) = body.as_bytes().split_at(10);
    let mut stream = std::net::TcpStream::connect(api.address()).expect("connect");
    let head = format!(
        "POST /api/messages HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\ncontent-length: {}\r\nexpect: 100-continue\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).expect("send");
    let mut go_on = [0; 25];
    // The server has begun with it: it asks for the body.
    std::io::Read::read_exact(&mut stream, &mut go_on).expect("100 Continue");
    stream.write_all(half).expect("send");
    let pid = nix::unistd::Pid::from_raw(i32::try_from(api.pid()).expect("a pid"));
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("a signal");
    cli_tests::wait_for("the listener to close", || {
        std::net::TcpStream::connect(api.address()).is_err()
    });
    stream.write_all(rest).expect("send");
    let mut answer = String::new();
    let _ = std::io::Read::read_to_string(&mut stream, &mut answer);
    assert!(answer.contains("200 OK") && answer.contains("the last one"), "{answer}");
    assert_eq!(api.wait(), Some(0), "{}", api.log());
    api.wait_until_it_says("stopped");
    let log = api.log();
    let line = log.lines().find(|line| line.contains("POST")).expect("a line");
    let line: Value = serde_json::from_str(line).expect("JSON");
    assert_eq!((&line["route"], &line["status"]), (&json!("/api/messages"), &json!(200)));
    assert!(!log.contains("the last one"), "{log}");
}

#[test]
fn it_asks_before_it_serves_production() {
    let world = World::ready();
    let mut command = world.prod_tool(
        "messages-api",
        &["prod", "--user-pool-id", "us-east-1_AbC", "--user-pool-client-id", "c"],
    );
    command.args(["--endpoint-url", &world.endpoint(), "--listen", "127.0.0.1:0"]);
    Run::of(command).ends_with(1).prints_only("").says("hint: consent with --yes\n");
    // An emulator's keys are public.
    let mut command = world.prod_tool(
        "messages-api",
        &["prod", "--user-pool-id", "us-east-1_AbC", "--user-pool-client-id", "c", "--yes"],
    );
    command.env("AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER", "http://localhost:9229");
    Run::of(command)
        .ends_with(1)
        .says("error: `prod` means AWS, and AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER in the environment points Cognito at");
}

#[test]
fn what_it_needs_is_said() {
    let world = World::ready();
    let started = |arguments: &[&str]| world.run("messages-api", arguments).prints_only("");
    started(&[]).ends_with(1).says("error: no Cognito user pool is named");
    started(&["--user-pool-id", "us-east-1_AbC"])
        .ends_with(1)
        .says("error: no app client of the user pool is named");
    started(&["--user-pool-id", "AbC", "--user-pool-client-id", "c"])
        .ends_with(1)
        .says("error: the pool's id `AbC` begins with no AWS region");
    let held = TcpListener::bind("127.0.0.1:0").expect("a port");
    let held_address = held.local_addr().expect("an address").to_string();
    let ready = ["--user-pool-id", "us-east-1_AbC", "--user-pool-client-id", "c", "--listen"];
    started(&[&ready[..], &[&held_address]].concat())
        .ends_with(1)
        .says(&format!("error: cannot listen on {held_address}"))
        .says("hint: name another address with --listen");
    for listen in ["4567", "localhost:4567"] {
        started(&["--listen", listen])
            .ends_with(2)
            .says("an IP address and a port, like `127.0.0.1:4567`");
    }
    started(&["--cors-origin", "*"]).ends_with(2).says("an origin like `https://app.example.com`");
}
