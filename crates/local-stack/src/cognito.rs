//! A Cognito API on this machine: the moto server, in a Python environment of
//! this checkout's own. It answers for STS too. Its users are in memory.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use aws_sdk_cognitoidentityprovider::Client;
/// An attribute of a user.
pub use aws_sdk_cognitoidentityprovider::types::AttributeType as Attribute;
/// How a user signs in.
pub use aws_sdk_cognitoidentityprovider::types::AuthFlowType as AuthFlow;
use aws_sdk_cognitoidentityprovider::types::{ExplicitAuthFlowsType, MessageActionType};
use ops_common::aws::{LOCAL_REGION, local_config};
use ops_common::error::Error;
use ops_common::target::endpoint::Endpoint;
use ops_common::ui::Ui;
use tempfile::TempDir;

use crate::dynamodb::bind;
use crate::guard::{self, Guard, Log, POLL, Setup};
use crate::state::{self, ServerUser, lock_for_download};
use crate::temporary;

/// Named so that every machine gets the same.
const MOTO_VERSION: &str = "5.2.5";

const START_TIMEOUT: Duration = Duration::from_secs(60);

/// moto's server, closed to web pages: it lets every origin in, and any page that
/// is open in a browser of this machine could read and change the users.
const SERVER: &str = r#"
from urllib.parse import urlsplit
from moto import server

class Server(server.DomainDispatcherApplication):
    def __call__(self, environ, start_response):
        origin = environ.get("HTTP_ORIGIN")
        try:
            host = "localhost" if origin is None else urlsplit(origin).hostname
        except ValueError:
            host = None
        if host in ("localhost", "127.0.0.1", "::1"):
            return super().__call__(environ, start_response)
        start_response("403 Forbidden", [("Content-Type", "text/plain")])
        return [b"only for web pages of localhost\n"]

server.DomainDispatcherApplication = Server
server.main()
"#;

/// The people of `seed-data/sql/seed.sql`.
const SEEDED_HANDLES: [&str; 4] = ["jess-bk", "bayko", "maren", "tariq"];

/// What the seeded people sign in with. Their pool is on this machine only.
pub const PASSWORD: &str = "Heron-1234";

/// A user that is to be created.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// the name to sign in with
    pub username: String,
    /// `preferred_username`
    pub handle: Option<String>,
}

impl NewUser {
    fn attributes(&self) -> Vec<Attribute> {
        let attribute = |name: &str, value: &str| {
            Attribute::builder().name(name).value(value).build().expect("a name")
        };
        let email = attribute("email", &format!("{}@example.com", self.username));
        let handle = self.handle.as_ref().map(|handle| attribute("preferred_username", handle));
        [email].into_iter().chain(handle).collect()
    }
}

/// A running server. Dropping it stops it.
#[derive(Debug)]
pub struct CognitoServer {
    _guard: Guard,
    _temporary: Option<TempDir>,
    port: u16,
}

impl CognitoServer {
    /// A server on a free port, to throw away.
    ///
    /// # Errors
    /// Where there is no Python, moto cannot be installed, or does not start.
    pub fn throw_away(ui: &Ui) -> Result<Self, Error> {
        let python = python(ui)?;
        let (folder, log_file, log) = temporary::folder("cruddur-ops-cognito-", ServerUser::Same)?;
        // It takes a port by itself: one that is free now may be taken by then.
        Self::start(&python, 0, (log_file, log), Some(folder), "")
    }

    /// A server on `port` whose pool has the same id at every start, and its
    /// users the same `sub`.
    pub(crate) fn kept(folder: &Path, port: u16, ui: &Ui) -> Result<Self, Error> {
        drop(bind(port, "--port-cognito")?);
        let log = guard::log(&folder.join("cognito.log"))?;
        let server = Self::start(&python(ui)?, port, log, None, "HASH")?;
        server
            .seed_random()
            .map_err(|error| Error::new("the moto server does not take a seed").cause(error))?;
        Ok(server)
    }

    /// Has its users get the same `sub` at every start, so that the ids that were
    /// carried into Postgres stay good.
    fn seed_random(&self) -> std::io::Result<()> {
        let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        connection.write_all(b"POST /moto-api/seed?a=1 HTTP/1.0\r\ncontent-length: 0\r\n\r\n")?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer)?;
        if answer.split(' ').nth(1) == Some("200") {
            return Ok(());
        }
        Err(std::io::Error::other(answer))
    }

    fn start(
        python: &Path,
        port: u16,
        (log_file, log): (File, Log),
        temporary: Option<TempDir>,
        id_strategy: &str,
    ) -> Result<Self, Error> {
        let mut command = Command::new(python);
        // Isolated from PYTHONPATH and the user's own packages.
        command.args(["-I", "-c", SERVER, "-H", "127.0.0.1", "-p", &port.to_string()]);
        command.env("MOTO_COGNITO_IDP_USER_POOL_ID_STRATEGY", id_strategy);
        let remove = temporary.as_ref().map(TempDir::path);
        let (setup, user) = (Setup::default(), ServerUser::Same);
        let mut guard = Guard::start(setup, &command, "TERM", remove, log_file, user)
            .map_err(|error| Error::new("cannot start the moto server").cause(error))?;
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            let said = log.text();
            if let Some(port) = port_it_listens_on(&said) {
                return Ok(Self { _guard: guard, _temporary: temporary, port });
            }
            if guard.has_ended() || Instant::now() > deadline {
                let last = said.lines().next_back().unwrap_or("it says nothing").to_owned();
                return Err(Error::new("the moto server did not start").cause(last));
            }
            sleep(POLL);
        }
    }

    /// `http://127.0.0.1:PORT`
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The SDK's client of it.
    ///
    /// # Errors
    /// None that is to be expected.
    pub fn client(&self) -> Result<Client, Error> {
        let config = local_config(&Endpoint::parse(&self.url(), "moto")?, LOCAL_REGION.to_owned());
        Ok(Client::new(&config))
    }

    /// Creates a pool with these users and returns its id.
    ///
    /// # Errors
    /// Where the server refuses it.
    pub fn create_pool(&self, name: &str, users: &[NewUser]) -> Result<String, Error> {
        let client = self.client()?;
        let id = on_a_runtime(async {
            let pool = client.create_user_pool().pool_name(name).send().await;
            let pool =
                pool.map_err(|error| Error::new("cannot make a user pool").source_chain(&error))?;
            Ok(pool.user_pool.and_then(|pool| pool.id).unwrap_or_default())
        })?;
        self.create_users(&id, users)?;
        Ok(id)
    }

    /// Adds users to a pool.
    ///
    /// # Errors
    /// Where the server refuses one.
    pub fn create_users(&self, pool: &str, users: &[NewUser]) -> Result<(), Error> {
        let client = self.client()?;
        on_a_runtime(async {
            for user in users {
                client
                    .admin_create_user()
                    .user_pool_id(pool)
                    .username(&user.username)
                    .set_user_attributes(Some(user.attributes()))
                    .message_action(MessageActionType::Suppress)
                    .send()
                    .await
                    .map_err(|error| Error::new("cannot make a user").source_chain(&error))?;
            }
            Ok(())
        })
    }

    /// Makes an app client of a pool that people sign in with by password, from a web
    /// page: it has no secret. Returns its id.
    ///
    /// # Errors
    /// Where the server refuses it.
    pub fn create_app_client(&self, pool: &str) -> Result<String, Error> {
        let client = self.client()?;
        on_a_runtime(async {
            let made = client
                .create_user_pool_client()
                .user_pool_id(pool)
                .client_name("web")
                .explicit_auth_flows(ExplicitAuthFlowsType::AllowUserPasswordAuth)
                .explicit_auth_flows(ExplicitAuthFlowsType::AllowRefreshTokenAuth)
                .send()
                .await
                .map_err(|error| Error::new("cannot make an app client").source_chain(&error))?;
            let id = made.user_pool_client.and_then(|client| client.client_id);
            id.ok_or_else(|| Error::new("the server made an app client without an id"))
        })
    }

    /// Gives users a password that they need not change.
    ///
    /// # Errors
    /// Where the server refuses one.
    pub fn set_passwords(&self, pool: &str, users: &[&str], password: &str) -> Result<(), Error> {
        let client = self.client()?;
        on_a_runtime(async {
            for user in users {
                client
                    .admin_set_user_password()
                    .user_pool_id(pool)
                    .username(*user)
                    .password(password)
                    .permanent(true)
                    .send()
                    .await
                    .map_err(|error| Error::new("cannot set a password").source_chain(&error))?;
            }
            Ok(())
        })
    }

    /// The pool of the stack: a user for each seeded person, and one who has
    /// chosen no handle yet.
    pub(crate) fn create_seeded_pool(&self) -> Result<String, Error> {
        let seeded = SEEDED_HANDLES
            .map(|handle| NewUser { username: handle.to_owned(), handle: Some(handle.to_owned()) });
        let newcomer = NewUser { username: "newcomer".to_owned(), handle: None };
        let users: Vec<NewUser> = seeded.into_iter().chain([newcomer]).collect();
        let pool = self.create_pool("cruddur", &users)?;
        self.set_passwords(&pool, &SEEDED_HANDLES, PASSWORD)?;
        Ok(pool)
    }

    /// The variables that lead the tools to a pool of it.
    #[must_use]
    pub fn env(&self, pool: &str) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER", self.url()),
            ("AWS_ENDPOINT_URL_STS", self.url()),
            ("AWS_COGNITO_USER_POOL_ID", pool.to_owned()),
        ]
    }
}

/// The port in the line that its HTTP server writes once it listens.
fn port_it_listens_on(log: &str) -> Option<u16> {
    let (_, rest) = log.split_once("Running on http://127.0.0.1:")?;
    let (port, _) = rest.split_once('\n')?;
    port.trim().parse().ok()
}

/// Runs a future to its end, on a thread that can have a runtime of its own.
fn on_a_runtime<T: Send>(
    future: impl Future<Output = Result<T, Error>> + Send,
) -> Result<T, Error> {
    let failed = || Error::new("cannot start the asynchronous runtime");
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map_err(|error| failed().cause(error))?.block_on(future)
        });
        thread.join().unwrap_or_else(|_| Err(failed()))
    })
}

fn python(ui: &Ui) -> Result<PathBuf, Error> {
    find_or_install(&state::folder(ServerUser::find()?)?, ui)
}

/// The Python that has moto: from an earlier run, else made now.
fn find_or_install(state_folder: &Path, ui: &Ui) -> Result<PathBuf, Error> {
    let environment = environment(state_folder);
    let python = environment.join("bin/python");
    if python.is_file() {
        return Ok(python);
    }
    let runs = |arguments: &[&str]| {
        let mut python = Command::new("python3");
        python.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        python.status().is_ok_and(|status| status.success())
    };
    if !runs(&["--version"]) {
        return Err(Error::new("there is no `python3`"));
    }
    if !runs(&["-c", "import venv, ensurepip"]) {
        return Err(Error::new("Python has no `venv`; on Debian: apt-get install python3-venv"));
    }
    // Two runs at once: the second one waits, and finds it there.
    let _lock = lock_for_download(state_folder)?;
    if python.is_file() {
        return Ok(python);
    }
    // `moto[server]` would bring every service's needs, twice as large.
    let moto = format!("moto[cognitoidp]=={MOTO_VERSION}");
    ui.note(format_args!(
        "no moto server is here: downloading {moto} from PyPI (some 40 MB) to `{}`",
        environment.display()
    ));
    // Made aside, so that a download that is killed leaves nothing that looks whole.
    let aside = state_folder.join("moto.new");
    let cannot = |error: std::io::Error| {
        Error::new(format!("cannot make `{}`", aside.display())).cause(error)
    };
    if aside.exists() {
        fs::remove_dir_all(&aside).map_err(cannot)?;
    }
    run(Command::new("python3").args(["-m", "venv"]).arg(&aside))?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    run(Command::new(aside.join("bin/python")).args(pip).args([&moto, "flask", "flask-cors"]))?;
    fs::rename(&aside, &environment).map_err(cannot)?;
    Ok(python)
}

/// The folder of the Python environment, made or not.
pub(crate) fn environment(state_folder: &Path) -> PathBuf {
    state_folder.join(format!("moto-{MOTO_VERSION}"))
}

fn run(command: &mut Command) -> Result<(), Error> {
    let program = command.get_program().to_string_lossy().into_owned();
    let failed = || Error::new(format!("`{program}` could not set up moto"));
    let output = command.stdin(Stdio::null()).output().map_err(|error| failed().cause(error))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(failed().cause(said.lines().next_back().unwrap_or_default()))
}
