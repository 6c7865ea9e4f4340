//! A proxy between a tool and DynamoDB, Cognito or STS that can be told to misbehave: for what
//! a real server cannot be made to do.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use serde_json::Value;

/// One request of a tool.
#[derive(Debug, Clone)]
pub struct Request {
    /// the operation, like `BatchWriteItem`
    pub operation: String,
    /// the body; a string where it is no JSON
    pub body: Value,
}

/// What the proxy does with a request.
#[derive(Debug, Clone)]
pub enum Answer {
    /// passes it on
    Forward,
    /// passes this body on in its place, and adds members to the answer
    Instead {
        /// the body to pass on
        body: Value,
        /// what to add to the server's answer
        add: Value,
    },
    /// answers by itself
    Reply {
        /// the HTTP status
        status: u16,
        /// the body; a string is written as it is
        body: Value,
    },
    /// passes it on, and closes the connection without an answer
    Lose,
    /// closes the connection, and the server never hears of it
    Drop,
    /// passes it on, and closes the connection in the middle of the answer
    Cut,
    /// never answers
    Ignore,
    /// passes it on, and never answers
    ForwardAndIgnore,
}

/// A running proxy. It ends with the test's process; idle, it costs a thread.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    dealt_with: Arc<AtomicUsize>,
}

impl Proxy {
    /// Starts one in front of `upstream`, `http://HOST:PORT`. `decide` is given
    /// each request and its number, from 0.
    pub fn start(
        upstream: &str,
        decide: impl Fn(usize, &Request) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let upstream = upstream.trim_start_matches("http://").to_owned();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let dealt_with = Arc::new(AtomicUsize::new(0));
        let (seen, done) = (Arc::clone(&requests), Arc::clone(&dealt_with));
        let decide = Arc::new(decide);
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let (upstream, seen, decide) =
                    (upstream.clone(), Arc::clone(&seen), Arc::clone(&decide));
                let done = Arc::clone(&done);
                thread::spawn(move || serve(connection, &upstream, &seen, &done, &*decide));
            }
        });
        Self { address, requests, dealt_with }
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many requests have been passed on, or not, as was decided.
    pub fn dealt_with(&self) -> usize {
        self.dealt_with.load(Ordering::SeqCst)
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn serve(
    connection: TcpStream,
    upstream: &str,
    seen: &Mutex<Vec<Request>>,
    done: &AtomicUsize,
    decide: &dyn Fn(usize, &Request) -> Answer,
) {
    let mut reader = BufReader::new(connection.try_clone().expect("clone"));
    let mut writer = connection;
    while let Some((headers, body)) = read_message(&mut reader) {
        let target = header(&headers, "x-amz-target").unwrap_or_default();
        let body = json_or_text(&body);
        let operation = match &body {
            // STS speaks the query protocol.
            Value::String(form) => form
                .split('&')
                .find_map(|pair| pair.strip_prefix("Action="))
                .unwrap_or_default()
                .to_owned(),
            _ => target.rsplit('.').next().unwrap_or_default().to_owned(),
        };
        let request = Request { operation, body };
        let number = {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.push(request.clone());
            seen.len() - 1
        };
        let answer = decide(number, &request);
        let (status, body) = match answer.clone() {
            Answer::Ignore | Answer::Drop => (0, Value::Null),
            Answer::Forward | Answer::Lose | Answer::Cut | Answer::ForwardAndIgnore => {
                forward(upstream, &target, &request.body)
            }
            Answer::Reply { status, body } => (status, body),
            Answer::Instead { body, add } => {
                let (status, mut answer) = forward(upstream, &target, &body);
                if let (Value::Object(answer), Value::Object(add)) = (&mut answer, add) {
                    answer.extend(add);
                }
                (status, answer)
            }
        };
        done.fetch_add(1, Ordering::SeqCst);
        match answer {
            // The next message is the end of the connection.
            Answer::Ignore | Answer::ForwardAndIgnore => continue,
            Answer::Lose | Answer::Drop => return,
            _ => {}
        }
        let (kind, body) = match body {
            Value::String(text) => ("text/xml", text),
            body => ("application/x-amz-json-1.0", body.to_string()),
        };
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status} x\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n"
        );
        let message = head + &body;
        if matches!(answer, Answer::Cut) {
            let _ = writer.write_all(&message.as_bytes()[..message.len() - length.div_ceil(2)]);
            return;
        }
        if writer.write_all(message.as_bytes()).is_err() {
            return;
        }
    }
}

fn forward(upstream: &str, target: &str, body: &Value) -> (u16, Value) {
    let mut connection = TcpStream::connect(upstream).expect("the server listens");
    // moto looks at the credential's scope for the service.
    let (service, kind, body) = match body {
        Value::String(form) => ("sts", "application/x-www-form-urlencoded", form.clone()),
        body if target.starts_with("AWSCognitoIdentityProvider") => {
            ("cognito-idp", "application/x-amz-json-1.1", body.to_string())
        }
        body => ("dynamodb", "application/x-amz-json-1.0", body.to_string()),
    };
    let head = format!(
        "POST / HTTP/1.1\r\nhost: {upstream}\r\nx-amz-target: {target}\r\ncontent-type: {kind}\r\n\
         authorization: AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=0\r\n\
         x-amz-date: 20260101T000000Z\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    connection.write_all((head + &body).as_bytes()).expect("send");
    let mut reader = BufReader::new(connection);
    let (headers, body) = read_message(&mut reader).expect("an answer");
    let status =
        headers[0].split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, json_or_text(&body))
}

fn json_or_text(body: &[u8]) -> Value {
    serde_json::from_slice(body)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(body).into_owned()))
}

/// The answer of STS that names this account.
pub fn identity(account: &str) -> Answer {
    let body = format!(
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
         <Arn>arn:aws:sts::{account}:assumed-role/Ops/somebody</Arn><UserId>AROAX:somebody</UserId><Account>{account}</Account>\
         </GetCallerIdentityResult><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></GetCallerIdentityResponse>"
    );
    Answer::Reply { status: 200, body: Value::String(body) }
}

/// The lines of a message's head, and its body.
fn read_message(reader: &mut impl BufRead) -> Option<(Vec<String>, Vec<u8>)> {
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        headers.push(line.to_owned());
    }
    let length =
        header(&headers, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((headers, body))
}

fn header(headers: &[String], name: &str) -> Option<String> {
    headers.iter().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    })
}
