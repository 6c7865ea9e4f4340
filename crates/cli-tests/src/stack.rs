//! The services of one test, and calls of the tools against them.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use local_stack::cognito::{CognitoServer, NewUser, PASSWORD};
use local_stack::dynamodb::DynamoServer;
use ops_common::app::records::Item;
use ops_common::args::DynamoArgs;
use ops_common::dynamodb::Dynamo;
use ops_common::target::Target;
use ops_common::ui::{ColorChoice, Ui};
use tempfile::TempDir;
use tokio_postgres::NoTls;
use uuid::Uuid;

use crate::postgres::{Server, Session};
use crate::proxy::{self, Proxy};
use crate::running::{Run, binary};
use crate::{ACCOUNT, NOBODYS, block_on, cannot_run};

/// An account of which STS says who one is, and nothing else.
fn shared_account() -> &'static str {
    static SHARED: OnceLock<String> = OnceLock::new();
    SHARED.get_or_init(|| Proxy::start(NOBODYS, |_, _| proxy::identity(ACCOUNT)).url())
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

/// The services of one test.
#[derive(Debug)]
pub struct World {
    dynamodb: Option<DynamoServer>,
    server: Option<Arc<Server>>,
    cognito: Option<(Arc<CognitoServer>, String)>,
    client_id: Option<String>,
    database: String,
    home: TempDir,
}

impl World {
    fn new(dynamodb: Option<DynamoServer>, server: Option<Arc<Server>>) -> Self {
        let database = format!("test_{}", Uuid::new_v4().simple());
        let home = TempDir::new().expect("temporary folder");
        Self { dynamodb, server, cognito: None, client_id: None, database, home }
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

    /// Lets these users of its pool sign in as those of the local stack do.
    pub fn with_sign_in(mut self, users: &[&str]) -> Self {
        let cognito = self.cognito();
        cognito.set_passwords(self.pool(), users, PASSWORD).expect("passwords");
        self.client_id = Some(cognito.create_app_client(self.pool()).expect("an app client"));
        self
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

    /// The same in the server's database `postgres`.
    pub fn admin_sql_of_server(&self, statement: &str) -> Vec<String> {
        let server = self.server.as_ref().expect("this world has a Postgres");
        server.admin_sql("postgres", statement)
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
        if let Some(client_id) = &self.client_id {
            command.env("AWS_COGNITO_USER_POOL_CLIENT_ID", client_id);
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

/// The tools' own client has the one HTTP client that this workspace builds.
fn plain_http() -> aws_sdk_dynamodb::config::SharedHttpClient {
    let args =
        DynamoArgs { endpoint_url: Some("http://127.0.0.1:1".into()), ..DynamoArgs::default() };
    let db = block_on(Dynamo::connect(Target::Local, &args, &Ui::new(ColorChoice::Never, false)));
    let db = db.expect("a local client needs nothing");
    db.client().config().http_client().expect("an explicit HTTP client")
}
