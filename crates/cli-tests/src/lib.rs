//! A small world for each test: a DynamoDB of its own, a database of its own on
//! a shared Postgres, and the built tools in an environment that holds nothing
//! of this machine's. Dropping it leaves nothing behind.

#![expect(
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    reason = "a test that cannot go on panics, and says why"
)]

pub mod proxy;

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use local_stack::cognito::{CognitoServer, NewUser};
use local_stack::dynamodb::DynamoServer;
use local_stack::postgres::Cluster;
use ops_common::app::records::Item;
use ops_common::args::DynamoArgs;
use ops_common::dynamodb::Dynamo;
use ops_common::target::Target;
use ops_common::ui::{ColorChoice, Ui};
use proxy::Proxy;
use tempfile::TempDir;
use tokio_postgres::NoTls;
use uuid::Uuid;

/// The seeded conversation.
pub const GROUP: &str = "5ae290ed-55d1-47a0-bc6d-fe2bc2700399";
/// The uuid of the seeded user `jess-bk`.
pub const JESS: &str = "4f0c2b1e-7d3a-4a55-9c1e-2b6a8d9e0f11";
/// The uuid of the seeded user `bayko`.
pub const BAYKO: &str = "9a7d5c3b-1e2f-4b68-8d47-5f3c1a2e6b22";

/// All tools.
pub const TOOLS: [&str; 16] = [
    "check-identities",
    "cognito-list-users",
    "db-connect",
    "db-sessions",
    "db-setup",
    "ddb-drop",
    "ddb-export",
    "ddb-get-conversation",
    "ddb-import",
    "ddb-list-conversations",
    "ddb-list-tables",
    "ddb-scan",
    "ddb-schema-load",
    "ddb-seed",
    "ddb-send-message",
    "update-cognito-user-ids",
];

/// An address that is documentation's and nobody's.
pub const NOBODYS: &str = "http://192.0.2.1";

/// The account of the calls in `prod`.
pub const ACCOUNT: &str = "111122223333";

/// The password of the tests' Postgres, which nothing may show: [`Run`] looks.
pub const PASSWORD: &str = "s3cret-of-the-tests";

/// An account of which STS says who one is, and nothing else.
fn shared_account() -> &'static str {
    static SHARED: OnceLock<String> = OnceLock::new();
    SHARED.get_or_init(|| Proxy::start(NOBODYS, |_, _| proxy::identity(ACCOUNT)).url())
}

/// The workspace's folder.
pub fn workspace() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    root.expect("crates/cli-tests is two below the root").to_owned()
}

/// The built binary of `tool`. The first call builds all of them, so that no
/// test sees an old one.
pub fn binary(tool: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--workspace", "--bins"]).current_dir(workspace());
        without_cargo_env(&mut build);
        assert!(build.status().expect("cargo runs").success(), "the tools do not build");
        // target/debug/deps/cli-… stands below the folder of the binaries.
        let here = std::env::current_exe().expect("this binary has a path");
        here.ancestors().nth(2).expect("deps/ has a parent").to_owned()
    });
    folder.join(tool)
}

/// Takes out what cargo sets for a test. Build scripts look at it (ring's does),
/// and a cargo that inherits it builds half the workspace anew.
pub fn without_cargo_env(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
}

/// Lets a command whose HOME is the test's find cargo and what is built.
pub fn with_cargo(command: &mut Command) {
    let home = PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
    for (variable, folder) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
        command.env(variable, std::env::var_os(variable).unwrap_or(home.join(folder).into()));
    }
    for variable in ["CARGO_TARGET_DIR", "RUSTUP_TOOLCHAIN"] {
        if let Some(value) = std::env::var_os(variable) {
            command.env(variable, value);
        }
    }
    without_cargo_env(command);
}

/// One Postgres for all tests of this process. The last test that holds it
/// stops it.
#[derive(Debug)]
struct Server {
    cluster: Cluster,
    folder: TempDir,
}

impl Server {
    fn start() -> Self {
        let ui = Ui::new(ColorChoice::Never, false);
        let cluster = Cluster::throw_away(&ui).expect("Postgres starts");
        let folder = TempDir::new().expect("temporary folder");
        let server = Self { cluster, folder };
        server.admin_sql("postgres", &format!("ALTER USER postgres PASSWORD '{PASSWORD}'"));
        server
    }

    /// As the tools connect: the role may create databases and is no superuser.
    fn url(&self, database: &str) -> String {
        let url = self.cluster.url(database);
        let (_, rest) = url.rsplit_once('@').expect("a user and a host");
        format!("postgresql://postgres:{PASSWORD}@{rest}")
    }

    fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = shared.upgrade() {
            return server;
        }
        let server = Arc::new(Self::start());
        let certified =
            rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("certificate");
        let certificate = certified.cert.pem();
        fs::write(server.ca_file(), &certificate).expect("write the certificate");
        server.use_certificate(Some((&certificate, &certified.signing_key.serialize_pem())));
        *shared = Arc::downgrade(&server);
        server
    }

    fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Turns TLS on with this certificate and its key, or off. The server writes its
    /// own key: it takes none that others may read, and runs as another user where
    /// this one is root.
    fn use_certificate(&self, certified: Option<(&str, &str)>) {
        let copy = |text: &str, file: &str| {
            format!(
                "COPY (SELECT unnest(string_to_array('{}', E'\\n'))) TO PROGRAM 'umask 077; cat > {file}'",
                text.trim()
            )
        };
        if let Some((certificate, key)) = certified {
            self.admin_sql("postgres", &copy(certificate, "tls.crt"));
            self.admin_sql("postgres", &copy(key, "tls.key"));
        }
        let on = if certified.is_some() { "on" } else { "off" };
        for setting in ["ssl_cert_file = 'tls.crt'", "ssl_key_file = 'tls.key'"] {
            self.admin_sql("postgres", &format!("ALTER SYSTEM SET {setting}"));
        }
        self.admin_sql("postgres", &format!("ALTER SYSTEM SET ssl = {on}"));
        let loaded = || self.admin_sql("postgres", "SELECT pg_conf_load_time()");
        let before = loaded();
        self.admin_sql("postgres", "SELECT pg_reload_conf()");
        wait_for("TLS", || loaded() != before && self.admin_sql("postgres", "SHOW ssl") == [on]);
    }

    fn sql(&self, database: &str, statement: &str) -> Vec<String> {
        run_sql(&self.url(database), statement)
    }

    fn admin_sql(&self, database: &str, statement: &str) -> Vec<String> {
        run_sql(&self.cluster.admin_url(database), statement)
    }
}

/// Runs SQL; the first column.
pub fn run_sql(url: &str, statement: &str) -> Vec<String> {
    block_on(async {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("connect");
        let connection = tokio::spawn(connection);
        let messages = client.simple_query(statement).await;
        drop(client);
        let _ = connection.await;
        let messages = messages.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
        let first_column = |message: &tokio_postgres::SimpleQueryMessage| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => {
                Some(row.get(0).unwrap_or("NULL").to_owned())
            }
            _ => None,
        };
        messages.iter().filter_map(first_column).collect()
    })
}

/// One Cognito for all tests of this process; `None` only where it cannot be
/// had, which fails in CI.
fn shared_cognito() -> Option<Arc<CognitoServer>> {
    static SHARED: Mutex<Weak<CognitoServer>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(server) = shared.upgrade() {
        return Some(server);
    }
    match CognitoServer::throw_away(&Ui::new(ColorChoice::Never, false)) {
        Ok(server) => {
            let server = Arc::new(server);
            *shared = Arc::downgrade(&server);
            Some(server)
        }
        Err(error) => {
            cannot_run(&format!("no Cognito: {error}"));
            None
        }
    }
}

/// A Python that has boto3, which comes with the Cognito server; `None` only
/// where it cannot be had, which fails in CI.
pub fn python() -> Option<PathBuf> {
    shared_cognito()?;
    Some(local_stack::python_environment().expect("a folder").join("bin/python"))
}

/// Runs a future to its end.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    runtime.block_on(future)
}

/// Polls until `condition` holds.
pub fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The services of one test.
#[derive(Debug)]
pub struct World {
    dynamodb: Option<DynamoServer>,
    server: Option<Arc<Server>>,
    cognito: Option<(Arc<CognitoServer>, String)>,
    database: String,
    home: TempDir,
}

impl World {
    fn new(dynamodb: Option<DynamoServer>, server: Option<Arc<Server>>) -> Self {
        let database = format!("test_{}", Uuid::new_v4().simple());
        let home = TempDir::new().expect("temporary folder");
        Self { dynamodb, server, cognito: None, database, home }
    }

    /// No service at all.
    pub fn empty() -> Self {
        Self::new(None, None)
    }

    /// An empty DynamoDB.
    pub fn dynamodb() -> Self {
        Self::new(Some(DynamoServer::in_memory().expect("DynamoDB starts")), None)
    }

    /// A Postgres whose database does not exist yet.
    pub fn postgres() -> Self {
        Self::new(None, Some(Server::shared()))
    }

    /// A Postgres of its own, whose certificate can be changed.
    pub fn postgres_alone() -> Self {
        let world = Self::new(None, Some(Arc::new(Server::start())));
        world.server_sql(&format!("CREATE DATABASE {}", world.database));
        world
    }

    /// Gives its Postgres a certificate and its key, or takes TLS from it.
    pub fn use_certificate(&self, certified: Option<(&str, &str)>) {
        self.server.as_ref().expect("this world has a Postgres").use_certificate(certified);
    }

    /// Both, empty.
    pub fn both() -> Self {
        Self::new(Some(DynamoServer::in_memory().expect("DynamoDB starts")), Some(Server::shared()))
    }

    /// Both, with users and an empty table.
    pub fn ready() -> Self {
        let world = Self::both();
        world.run("db-setup", &[]).succeeds();
        world.run("ddb-schema-load", &[]).succeeds();
        world
    }

    /// Both, with the conversation that starts on 2026-01-01.
    pub fn seeded() -> Self {
        let world = Self::ready();
        world.run("ddb-seed", &["--start", "2026-01-01T00:00:00Z"]).succeeds();
        world
    }

    /// Adds a user pool of these handles, each with a user of the same name;
    /// `None` only where there is no Cognito, which fails in CI.
    pub fn with_pool(mut self, handles: &[&str]) -> Option<Self> {
        let server = shared_cognito()?;
        let pool = server.create_pool(&self.database, &[]).expect("a pool");
        self.cognito = Some((server, pool));
        for handle in handles {
            self.add_user(handle, Some(handle));
        }
        Some(self)
    }

    /// All services, seeded, and a pool of the seeded people whose ids are in
    /// Postgres: nothing is broken.
    pub fn whole() -> Option<Self> {
        let world = Self::seeded().with_pool(&["jess-bk", "bayko", "maren", "tariq"])?;
        world.run("update-cognito-user-ids", &[]).succeeds();
        Some(world)
    }

    /// Adds a user to the pool.
    pub fn add_user(&self, username: &str, handle: Option<&str>) {
        let user = NewUser { username: username.to_owned(), handle: handle.map(str::to_owned) };
        self.cognito().create_users(self.pool(), &[user]).expect("a user");
    }

    /// The Cognito server.
    pub fn cognito(&self) -> &CognitoServer {
        &self.cognito.as_ref().expect("this world has a pool").0
    }

    /// The pool's id.
    pub fn pool(&self) -> &str {
        &self.cognito.as_ref().expect("this world has a pool").1
    }

    /// The `sub` of the pool's user.
    pub fn sub(&self, username: &str) -> String {
        let client = self.cognito().client().expect("a client");
        let user = client.admin_get_user().user_pool_id(self.pool()).username(username);
        let user = block_on(user.send()).expect("the user");
        let sub = user.user_attributes().iter().find(|attribute| attribute.name() == "sub");
        sub.and_then(|sub| sub.value()).expect("a sub").to_owned()
    }

    /// The database's name.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// A folder of the test's own.
    pub fn folder(&self) -> &Path {
        self.home.path()
    }

    /// Writes a file in the test's folder and returns its path.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.folder().join(name);
        fs::write(&path, content).expect("write a file");
        path.display().to_string()
    }

    /// The endpoint of its DynamoDB.
    pub fn endpoint(&self) -> String {
        self.dynamodb.as_ref().expect("this world has a DynamoDB").url()
    }

    /// The URL of its database, by TLS, with its own authority.
    pub fn prod_url(&self) -> String {
        let server = self.server.as_ref().expect("this world has a Postgres");
        format!("{}?sslrootcert={}", server.url(&self.database), server.ca_file().display())
    }

    /// The URL of its database, in plain text.
    pub fn local_url(&self) -> String {
        self.server.as_ref().expect("this world has a Postgres").url(&self.database)
    }

    /// The same for another user of it.
    pub fn url_of(&self, user: &str, password: &str) -> String {
        let url = self.local_url();
        let (_, rest) = url.rsplit_once('@').expect("a user and a host");
        format!("postgresql://{user}:{password}@{rest}")
    }

    /// Runs SQL in its database, as the role that the tools connect as; the first
    /// column.
    pub fn sql(&self, statement: &str) -> Vec<String> {
        self.server.as_ref().expect("this world has a Postgres").sql(&self.database, statement)
    }

    /// The same as a superuser, for what the tools' role may not do: other roles.
    pub fn admin_sql(&self, statement: &str) -> Vec<String> {
        let server = self.server.as_ref().expect("this world has a Postgres");
        server.admin_sql(&self.database, statement)
    }

    /// Somebody who is connected to its database, until dropped.
    pub fn session(&self) -> Session {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("runtime");
        let client = runtime.block_on(async {
            let connected = tokio_postgres::connect(&self.local_url(), NoTls).await;
            let (client, connection) = connected.expect("connect");
            tokio::spawn(connection);
            client
        });
        Session { client, runtime }
    }

    /// Runs SQL in the server's database `postgres`, as the role that the tools
    /// connect as; the first column.
    pub fn server_sql(&self, statement: &str) -> Vec<String> {
        self.server.as_ref().expect("this world has a Postgres").sql("postgres", statement)
    }

    /// An SDK client of its DynamoDB, independent of the tools'.
    pub fn client(&self) -> Client {
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .endpoint_url(self.endpoint())
            .http_client(plain_http())
            .build();
        Client::from_conf(config)
    }

    /// Puts one item.
    pub fn put(&self, table: &str, item: Item) {
        let client = self.client();
        block_on(client.put_item().table_name(table).set_item(Some(item)).send()).expect("put");
    }

    /// Every item of the table, as `ddb-scan --output jsonl` shows it, sorted.
    pub fn items(&self, table: &str) -> Vec<serde_json::Value> {
        let run = self.run("ddb-scan", &["--table", table, "--output", "jsonl"]).succeeds();
        let mut lines: Vec<&str> = run.stdout.lines().collect();
        lines.sort_unstable();
        lines.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    /// A command in an environment that holds the test's services and nothing
    /// of this machine's.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().current_dir(self.folder()).stdin(Stdio::null());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.folder()).env("TZ", "UTC").env("LANG", "C.UTF-8");
        command.env("AWS_EC2_METADATA_DISABLED", "true");
        if self.dynamodb.is_some() {
            command.env("AWS_ENDPOINT_URL_DYNAMODB", self.endpoint());
        }
        if self.server.is_some() {
            command.env("CONNECTION_URL", self.local_url());
        }
        if let Some((server, pool)) = &self.cognito {
            command.envs(server.env(pool));
        }
        command
    }

    /// A call of a tool.
    pub fn tool(&self, tool: &str, arguments: &[&str]) -> Command {
        let mut command = self.command(binary(tool));
        command.args(arguments);
        command
    }

    /// A call of a tool in `prod`, against the test's services: the endpoint as
    /// a flag, credentials that open nothing, the database by TLS.
    pub fn prod_tool(&self, tool: &str, arguments: &[&str]) -> Command {
        let mut command = self.prod_command(tool, arguments);
        if self.dynamodb.is_some() && (tool.starts_with("ddb-") || tool == "check-identities") {
            command.args(["--endpoint-url", &self.endpoint()]);
        }
        command
    }

    /// Like [`World::prod_tool`], with no endpoint named.
    pub fn prod_command(&self, tool: &str, arguments: &[&str]) -> Command {
        let mut command = self.tool(tool, arguments);
        for variable in ["AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_STS", "CONNECTION_URL"] {
            command.env_remove(variable);
        }
        if self.server.is_some() {
            command.env("PROD_CONNECTION_URL", self.prod_url());
        }
        command.env("AWS_ACCESS_KEY_ID", "AKIATEST").env("AWS_SECRET_ACCESS_KEY", "test");
        command.env("AWS_REGION", "ca-central-1");
        self.behind_account(&mut command, shared_account());
        command
    }

    /// Lets `account` stand for AWS: nobody has the address that STS is said to
    /// have, and the HTTP proxy leads there. What the test runs itself is reached
    /// without it.
    pub fn behind_account(&self, command: &mut Command, account: &str) {
        command.env("AWS_ENDPOINT_URL_STS", NOBODYS).env("HTTP_PROXY", account);
        command.env("HTTPS_PROXY", account).env("NO_PROXY", "127.0.0.1");
    }

    /// Runs a tool to its end.
    pub fn run(&self, tool: &str, arguments: &[&str]) -> Run {
        Run::of(self.tool(tool, arguments))
    }

    /// Runs a tool in `prod`.
    pub fn run_prod(&self, tool: &str, arguments: &[&str]) -> Run {
        Run::of(self.prod_tool(tool, arguments))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(server) = &self.server
            && !std::thread::panicking()
        {
            server.admin_sql(
                "postgres",
                &format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.database),
            );
        }
    }
}

/// A connection that does nothing by itself.
pub struct Session {
    client: tokio_postgres::Client,
    runtime: tokio::runtime::Runtime,
}

impl Session {
    /// Runs SQL in it.
    pub fn sql(&self, statement: &str) {
        self.runtime.block_on(self.client.batch_execute(statement)).expect("SQL");
    }
}

/// The tools' own client has the one HTTP client that this workspace builds.
fn plain_http() -> aws_sdk_dynamodb::config::SharedHttpClient {
    let args =
        DynamoArgs { endpoint_url: Some("http://127.0.0.1:1".into()), ..DynamoArgs::default() };
    let db = block_on(Dynamo::connect(Target::Local, &args, &Ui::new(ColorChoice::Never, false)));
    let db = db.expect("a local client needs nothing");
    db.client().config().http_client().expect("an explicit HTTP client")
}

/// Fails where a password is shown. What a stand-in of psql says of its environment
/// is its own.
fn hides_passwords(run: Run) -> Run {
    let shows = |line: &str| line.contains(PASSWORD) && !line.starts_with("PGPASSWORD=");
    assert!(!run.stdout.lines().chain(run.stderr.lines()).any(shows), "a password is shown\n{run}");
    run
}

/// What a program said and how it ended.
#[derive(Debug, Clone)]
pub struct Run {
    /// all of stdout
    pub stdout: String,
    /// all of stderr
    pub stderr: String,
    /// the exit status, none where a signal ended it
    pub status: Option<i32>,
}

impl Run {
    /// Runs the command to its end.
    pub fn of(mut command: Command) -> Self {
        let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        hides_passwords(Self {
            stdout: text(output.stdout),
            stderr: text(output.stderr),
            status: output.status.code(),
        })
    }

    /// Like [`Run::of`], with `input` on stdin.
    pub fn with_input(mut command: Command, input: &str) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("spawn");
        let mut stdin = child.stdin.take().expect("stdin");
        // A program that does not read has closed it, which is its right.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let output = child.wait_with_output().expect("wait");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        hides_passwords(Self {
            stdout: text(output.stdout),
            stderr: text(output.stderr),
            status: output.status.code(),
        })
    }

    /// Exit status 0.
    #[track_caller]
    pub fn succeeds(self) -> Self {
        self.ends_with(0)
    }

    /// This exit status, and for a failure an error that is shown.
    #[track_caller]
    pub fn ends_with(self, status: i32) -> Self {
        assert_eq!(self.status, Some(status), "{self}");
        assert!(!self.stderr.contains("panicked"), "{self}");
        self
    }

    /// stderr holds `text`.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "no `{text}` on stderr\n{self}");
        self
    }

    /// stderr does not hold `text`.
    #[track_caller]
    pub fn does_not_say(self, text: &str) -> Self {
        assert!(!self.stderr.contains(text), "`{text}` on stderr\n{self}");
        self
    }

    /// stdout holds `text`.
    #[track_caller]
    pub fn prints(self, text: &str) -> Self {
        assert!(self.stdout.contains(text), "no `{text}` on stdout\n{self}");
        self
    }

    /// stdout is just this.
    #[track_caller]
    pub fn prints_only(self, text: &str) -> Self {
        assert_eq!(self.stdout, text, "{self}");
        self
    }

    /// stdout as one JSON document.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}\n{self}"))
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "status: {:?}\nstdout:\n{}\nstderr:\n{}", self.status, self.stdout, self.stderr)
    }
}

/// Says something that the test runner does not swallow.
pub fn say(what: &str) {
    // `eprintln!` would be captured.
    let _ = writeln!(std::io::stderr(), "\nNOT CHECKED HERE: {what}\n");
}

/// A test that cannot run on this machine says so loudly, and fails in CI.
pub fn cannot_run(why: &str) {
    assert!(std::env::var_os("CI").is_none_or(|ci| ci.is_empty()), "in CI this has to run: {why}");
    say(why);
}
