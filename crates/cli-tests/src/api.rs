//! `messages-api` as browsers meet it: a server of the test's own, requests to it, and
//! tokens, real and forged.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::stack::{World, python};
use crate::{block_on, wait_for};
use local_stack::cognito::{AuthFlow, PASSWORD};

/// A server that is running. Dropping it ends it.
#[derive(Debug)]
pub struct Api {
    child: Child,
    address: SocketAddr,
    client_id: String,
    log: Arc<Mutex<String>>,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// the status
    pub status: u16,
    /// the head, in lower case
    pub head: String,
    /// the body; null where it is no JSON
    pub body: Value,
}

impl Api {
    /// Starts one for the pool of `world`, whose users get a password.
    pub fn start(world: &World, arguments: &[&str]) -> Self {
        Self::start_with(world, arguments, |_| {})
    }

    /// The same in an environment that `change` has changed.
    pub fn start_with(
        world: &World,
        arguments: &[&str],
        change: impl FnOnce(&mut Command),
    ) -> Self {
        let client_id = world.cognito().create_app_client(world.pool()).expect("an app client");
        let mut command = world.tool("messages-api", &["--listen", "127.0.0.1:0"]);
        command.args(arguments).env("AWS_COGNITO_USER_POOL_CLIENT_ID", &client_id);
        change(&mut command);
        let mut child = command.stderr(Stdio::piped()).spawn().expect("spawn");
        let mut stderr = BufReader::new(child.stderr.take().expect("stderr"));
        let mut said = String::new();
        let address = loop {
            let before = said.len();
            let length = stderr.read_line(&mut said).expect("a line");
            assert!(length > 0, "it ends before it listens\n{said}");
            if let Some((_, rest)) = said[before..].split_once("listening on http://") {
                let address = rest.split(';').next().expect("an address");
                break address.parse().expect("an address");
            }
        };
        let log = Arc::new(Mutex::new(said));
        let shared = Arc::clone(&log);
        thread::spawn(move || {
            let mut line = String::new();
            while stderr.read_line(&mut line).is_ok_and(|length| length > 0) {
                shared.lock().unwrap_or_else(PoisonError::into_inner).push_str(&line);
                line.clear();
            }
        });
        Self { child, address, client_id, log }
    }

    /// All that it has said on stderr.
    pub fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The app client that people sign in with.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process, to be sent signals.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has ended, and returns its status.
    pub fn wait(&mut self) -> Option<i32> {
        self.child.wait().expect("wait").code()
    }

    /// Waits until it has said this.
    pub fn wait_until_it_says(&self, text: &str) {
        wait_for(text, || self.log().contains(text));
    }

    /// The access token of a user.
    pub fn sign_in(&self, world: &World, user: &str) -> String {
        self.tokens(world, user).0
    }

    /// The access token and the ID token of a user.
    pub fn tokens(&self, world: &World, user: &str) -> (String, String) {
        world.cognito().set_passwords(world.pool(), &[user], PASSWORD).expect("a password");
        let client = world.cognito().client().expect("a client");
        let request = client
            .initiate_auth()
            .auth_flow(AuthFlow::UserPasswordAuth)
            .client_id(&self.client_id)
            .auth_parameters("USERNAME", user)
            .auth_parameters("PASSWORD", PASSWORD);
        let signed_in = block_on(request.send()).expect("a sign-in").authentication_result;
        let tokens = signed_in.expect("tokens");
        (tokens.access_token.expect("a token"), tokens.id_token.expect("a token"))
    }

    /// Gets a path, by the token where there is one.
    pub fn get(&self, path: &str, token: Option<&str>) -> Answer {
        self.request("GET", path, token, &[], b"")
    }

    /// Posts a JSON document.
    pub fn post(&self, path: &str, token: &str, body: &Value) -> Answer {
        self.request("POST", path, Some(token), &[], body.to_string().as_bytes())
    }

    /// Sends any request.
    pub fn request(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        headers: &[&str],
        body: &[u8],
    ) -> Answer {
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n",
            body.len()
        );
        if let Some(token) = token {
            head += &format!("authorization: Bearer {token}\r\n");
        }
        for header in headers {
            head += &format!("{header}\r\n");
        }
        let mut stream = TcpStream::connect(self.address).expect("connect");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a deadline");
        stream.write_all(format!("{head}\r\n").as_bytes()).expect("send");
        // A server that refuses a body need not read it.
        let _ = stream.write_all(body);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        Answer {
            status: status.unwrap_or_else(|| panic!("no answer: {answer}\n{}", self.log())),
            head: head.to_lowercase(),
            body: serde_json::from_str(body).unwrap_or(Value::Null),
        }
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Signs claims as the emulator does, whose key is public. `alg` is `RS256`, or `none`,
/// or `HS256` with the public key for a secret.
const SIGN: &str = r#"
import base64, hashlib, hmac, json, sys
from joserfc import jwk, jwt
from moto.utilities.utils import load_resource
private = load_resource("cognitoidp/resources/jwks-private.json")
key = jwk.RSAKey.import_key(private)
part = lambda value: base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")
tokens = []
for header, claims in json.load(sys.stdin):
    header = {"kid": private["kid"], **header}
    if header["alg"] == "RS256":
        tokens.append(jwt.encode(header, claims, key))
        continue
    text = part(header) + b"." + part(claims)
    public = key.as_pem(private=False)
    signature = hmac.new(public, text, hashlib.sha256).digest() if header["alg"] == "HS256" else b""
    tokens.append((text + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode())
print(json.dumps(tokens))
"#;

/// Tokens of these headers and claims, in the same order.
pub fn forged(tokens: &[(Value, Value)]) -> Vec<String> {
    let python = python().expect("Cognito is there, so Python is");
    let mut command = Command::new(python);
    command.args(["-I", "-c", SIGN]);
    let run = crate::Run::with_input(command, &json!(tokens).to_string()).succeeds();
    serde_json::from_value(run.json()).expect("tokens")
}
