//! From a target to a Postgres connection, and a URL type that cannot print its
//! password.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, NoTls, Row};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::env;
use crate::error::Error;
use crate::net::refuse_public_address;
use crate::target::{LocalHosts, Target, not_local};
use crate::ui::Ui;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
const DEFAULT_LOCAL_URL: &str = "postgresql://postgres:password@localhost:5432/cruddur";

/// How the connection is protected.
#[derive(Clone, PartialEq, Eq)]
enum Tls {
    Plain,
    /// certificate and host verified, by the system's roots or those of a file
    Verified {
        root_cert: Option<PathBuf>,
    },
}

/// A Postgres URL that has been looked at. It prints user, host, port and
/// database, never the password.
#[derive(Clone)]
pub struct ConnectionUrl {
    config: Config,
    database: String,
    tls: Tls,
    target: Target,
    origin: &'static str,
}

impl fmt::Display for ConnectionUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.server(), self.database)
    }
}

impl fmt::Debug for ConnectionUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnectionUrl({self})")
    }
}

impl ConnectionUrl {
    /// The URL that `target` means: `CONNECTION_URL` or the default in `local`,
    /// `PROD_CONNECTION_URL` in `prod`.
    ///
    /// # Errors
    /// No URL for `prod`, a URL that does not parse, in `local` a host that is
    /// not this machine, in `prod` one without TLS.
    pub fn from_env(target: Target) -> Result<Self, Error> {
        let hosts = LocalHosts::new(env::var(env::OPS_LOCAL_HOSTS).as_deref());
        match target {
            Target::Local => {
                let url = env::var(env::CONNECTION_URL);
                let url = url.as_deref().unwrap_or(DEFAULT_LOCAL_URL);
                Self::parse(target, url, env::CONNECTION_URL, &hosts)
            }
            Target::Prod => {
                let url = env::var(env::PROD_CONNECTION_URL).ok_or_else(|| {
                    Error::new(format!("{} is not set", env::PROD_CONNECTION_URL)).hint(
                        "set it to the production database's URL: `postgresql://USER:PASSWORD@HOST:5432/DATABASE`",
                    )
                })?;
                Self::parse(target, &url, env::PROD_CONNECTION_URL, &hosts)
            }
        }
    }

    fn parse(
        target: Target,
        text: &str,
        origin: &'static str,
        hosts: &LocalHosts,
    ) -> Result<Self, Error> {
        // Nothing of the text is shown: it holds a password.
        let wrong = |why: &str| {
            Error::new(format!("{origin} is not a usable Postgres URL"))
                .cause(why)
                .hint("it looks like `postgresql://USER:PASSWORD@HOST:5432/DATABASE`, with special characters of the password percent-encoded")
        };
        if !text.starts_with("postgresql://") && !text.starts_with("postgres://") {
            return Err(wrong("it does not start with `postgresql://`"));
        }
        let (base, query) = text.split_once('?').unwrap_or((text, ""));
        // The driver does not know these two as libpq does.
        let mut ssl_mode = None;
        let mut root_cert = None;
        let mut rest = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decoded = || percent_decode_str(value).decode_utf8_lossy().into_owned();
            match percent_decode_str(key).decode_utf8_lossy().as_ref() {
                "sslmode" => ssl_mode = Some(decoded()),
                "sslrootcert" => root_cert = Some(PathBuf::from(decoded())),
                _ => rest.push(pair),
            }
        }
        let rest =
            if rest.is_empty() { base.to_owned() } else { format!("{base}?{}", rest.join("&")) };
        let mut config: Config = rest.parse().map_err(|error: tokio_postgres::Error| {
            let why =
                std::error::Error::source(&error).map_or(error.to_string(), ToString::to_string);
            wrong(&why)
        })?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(wrong("it names no host"));
        }
        // Behind an `@` that is not percent-encoded stands the password's end.
        if host_names(&config).iter().any(|host| host.contains('@')) {
            return Err(wrong("it has more than one `@`"));
        }
        let Some(database) = config.get_dbname().map(str::to_owned) else {
            return Err(wrong("it names no database"));
        };
        if target == Target::Local {
            for host in host_names(&config) {
                if !hosts.contains(&host) {
                    return Err(not_local("Postgres", &host, origin));
                }
            }
        }
        let tls = match (target, ssl_mode.as_deref()) {
            (Target::Local, None | Some("disable" | "allow" | "prefer")) => Tls::Plain,
            (Target::Prod, Some("disable" | "allow" | "prefer")) => {
                return Err(wrong("in `prod` the connection is TLS with a verified certificate, and its sslmode asks for less")
                    .hint("leave sslmode out, or say `sslmode=verify-full`"));
            }
            (_, None | Some("require" | "verify-ca" | "verify-full")) => {
                Tls::Verified { root_cert }
            }
            (_, Some(_)) => return Err(wrong("its sslmode is none of libpq's")),
        };
        config.ssl_mode(if tls == Tls::Plain { SslMode::Disable } else { SslMode::Require });
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if config.get_application_name().is_none() {
            config.application_name("cruddur-ops");
        }
        Ok(Self { config, database, tls, target, origin })
    }

    /// Refuses a URL of several servers: what is looked at on one could be done
    /// to another.
    ///
    /// # Errors
    /// As said.
    pub fn refuse_several_servers(&self) -> Result<(), Error> {
        if self.config.get_hosts().len() > 1 || self.config.get_hostaddrs().len() > 1 {
            return Err(Error::new(format!(
                "{} names several servers: `{}`",
                self.origin,
                self.server()
            ))
            .hint("name the one that is meant"));
        }
        Ok(())
    }

    /// The database's name.
    #[must_use]
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The target that the URL is for.
    #[must_use]
    pub fn target(&self) -> Target {
        self.target
    }

    /// The same server, user and settings, another database.
    #[must_use]
    pub fn with_database(&self, name: &str) -> Self {
        let mut other = self.clone();
        other.config.dbname(name);
        other.database = name.to_owned();
        other
    }

    /// User, host and port.
    #[must_use]
    pub fn server(&self) -> String {
        let user = self.config.get_user().map_or(String::new(), |user| format!("{user}@"));
        let ports = self.config.get_ports();
        let port = |index: usize| ports.get(index).or(ports.first()).copied().unwrap_or(5432);
        let hosts: Vec<String> = if self.config.get_hosts().is_empty() {
            self.config.get_hostaddrs().iter().map(IpAddr::to_string).collect()
        } else {
            self.config.get_hosts().iter().map(host_text).collect()
        };
        let hosts: Vec<String> = hosts
            .iter()
            .enumerate()
            .map(|(index, host)| format!("{host}:{}", port(index)))
            .collect();
        format!("{user}{}", hosts.join(","))
    }

    /// Where a tool acts, in one line.
    #[must_use]
    pub fn place(&self) -> String {
        format!("target: {}  postgres {self}", self.target)
    }
}

fn host_text(host: &Host) -> String {
    match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(path) => path.display().to_string(),
    }
}

/// Every name and address that the driver may connect to over TCP.
fn host_names(config: &Config) -> Vec<String> {
    let names = config.get_hosts().iter().filter_map(|host| match host {
        Host::Tcp(name) => Some(name.clone()),
        Host::Unix(_) => None,
    });
    names.chain(config.get_hostaddrs().iter().map(IpAddr::to_string)).collect()
}

/// Why a connection could not be had, as far as callers act on it.
#[derive(Debug)]
pub enum ConnectError {
    /// nobody listens yet, or the server is starting up
    NotUp(Error),
    /// the server is there and the database is not
    NoDatabase(Error),
    /// anything else
    Other(Error),
}

impl From<ConnectError> for Error {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::NotUp(error)
            | ConnectError::NoDatabase(error)
            | ConnectError::Other(error) => error,
        }
    }
}

/// A connection that shows its statements where `-v` asks for it.
#[derive(Debug)]
pub struct Db {
    client: Client,
    ui: Ui,
}

impl Db {
    /// Connects.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn connect(url: &ConnectionUrl, ui: &Ui) -> Result<Self, ConnectError> {
        if url.target == Target::Local {
            for host in host_names(&url.config) {
                refuse_public_address(&host, 5432, url.origin)
                    .await
                    .map_err(ConnectError::Other)?;
            }
        }
        ui.verbose(format_args!("> connect to postgres {url}"));
        let client = match &url.tls {
            Tls::Plain => {
                let connect = within_deadline(url, url.config.connect(NoTls));
                let (client, connection) = connect.await?;
                tokio::spawn(connection);
                client
            }
            Tls::Verified { root_cert } => {
                let connector = verified_tls(root_cert.as_deref()).map_err(ConnectError::Other)?;
                let connect = within_deadline(url, url.config.connect(connector));
                let (client, connection) = connect.await?;
                tokio::spawn(connection);
                client
            }
        };
        Ok(Self { client, ui: ui.clone() })
    }

    /// The driver's client, for errors that the caller tells apart.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The driver's client, for transactions.
    #[must_use]
    pub fn client_mut(&mut self) -> &mut Client {
        &mut self.client
    }

    /// Runs one statement and returns its rows. `title` says what it is for.
    ///
    /// # Errors
    /// Where Postgres refuses it.
    pub async fn query(
        &self,
        title: &str,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Error> {
        trace(&self.ui, title, sql, params);
        self.client.query(sql, params).await.map_err(|error| sql_error(title, &error))
    }
}

/// Shows a statement of `-v` with its title and parameters.
pub fn trace(ui: &Ui, title: &str, sql: &str, params: &[&(dyn ToSql + Sync)]) {
    if ui.is_verbose() {
        let sql = sql.split_whitespace().collect::<Vec<_>>().join(" ");
        let params = if params.is_empty() { String::new() } else { format!("  {params:?}") };
        ui.verbose(format_args!("> {title}: {sql}{params}"));
    }
}

/// The error of a statement that was to do `title`.
#[must_use]
pub fn sql_error(title: &str, error: &tokio_postgres::Error) -> Error {
    let result = Error::new(format!("cannot {title}"));
    let Some(db) = error.as_db_error() else { return result.source_chain(error) };
    let mut result = result.cause(db.message());
    if let Some(detail) = db.detail() {
        result = result.cause(detail);
    }
    if let Some(hint) = db.hint() {
        result = result.hint(hint);
    }
    if *db.code() == SqlState::UNDEFINED_TABLE || *db.code() == SqlState::UNDEFINED_COLUMN {
        result = result.hint(format!(
            "the database is not set up as the app's: run `{}`",
            env::invocation("db-setup")
        ));
    }
    result
}

/// The driver's own timeout ends with the TCP connection; what accepts one and
/// then says nothing (a dead tunnel) would be waited for without end.
async fn within_deadline<T>(
    url: &ConnectionUrl,
    connect: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, ConnectError> {
    match tokio::time::timeout(ANSWER_TIMEOUT, connect).await {
        Ok(connected) => connected.map_err(|error| connect_error(url, &error)),
        Err(_) => Err(ConnectError::Other(
            Error::new(format!("cannot reach Postgres at `{}`", url.server()))
                .cause("something listens there and does not answer")
                .hint(format!(
                    "look at {} and at what listens there: perhaps a dead tunnel",
                    url.origin
                )),
        )),
    }
}

fn connect_error(url: &ConnectionUrl, error: &tokio_postgres::Error) -> ConnectError {
    let server = url.server();
    let variable = url.origin;
    if let Some(db) = error.as_db_error() {
        let refused = Error::new(format!("Postgres at `{server}` refuses the connection"))
            .cause(db.message());
        return match *db.code() {
            SqlState::INVALID_CATALOG_NAME => {
                let steps = match url.target {
                    Target::Local => format!("create it with `{}`", env::invocation("db-setup")),
                    Target::Prod => format!(
                        "look at {variable}, or create it with `{}`",
                        env::invocation("db-setup prod --steps create")
                    ),
                };
                ConnectError::NoDatabase(
                    Error::new(format!("there is no database `{}` at `{server}`", url.database()))
                        .hint(steps),
                )
            }
            SqlState::CANNOT_CONNECT_NOW => {
                ConnectError::NotUp(refused.hint("try again in a moment"))
            }
            SqlState::INVALID_PASSWORD | SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
                ConnectError::Other(
                    refused.hint(format!("look at user and password in {variable}")),
                )
            }
            _ => ConnectError::Other(refused),
        };
    }
    let mut root: &(dyn std::error::Error + 'static) = error;
    let mut io_kind = None;
    let mut tls = None;
    loop {
        if let Some(io) = root.downcast_ref::<io::Error>() {
            io_kind = Some(io.kind());
            // An `io::Error` hides what it carries from the chain of sources.
            tls = tls.or(io.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()));
        }
        match root.source() {
            Some(source) => root = source,
            None => break,
        }
    }
    let unreachable = Error::new(format!("cannot reach Postgres at `{server}`"));
    let hint = match url.target {
        Target::Local => format!(
            "start it with `cargo run -p local-stack -- up` or `docker compose up -d`, or name another one with {variable}"
        ),
        Target::Prod => format!("look at the network, the security group and {variable}"),
    };
    if let Some(tls) = tls {
        return ConnectError::Other(
            Error::new(format!("cannot trust Postgres at `{server}`")).cause(tls).hint(format!(
                "name the file of the authority's certificate in {variable} with `?sslrootcert=FILE`; for RDS it is the region's bundle"
            )),
        );
    }
    match io_kind {
        Some(io::ErrorKind::ConnectionRefused) => {
            ConnectError::NotUp(unreachable.cause("connection refused").hint(hint))
        }
        // Docker's proxy accepts and closes while the container starts.
        Some(
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof,
        ) => ConnectError::NotUp(unreachable.cause("the connection was closed").hint(hint)),
        _ if root.to_string().contains("lookup address") => ConnectError::Other(
            unreachable.cause(root).hint(format!("look at the host name in {variable}")),
        ),
        _ if error.is_closed() => {
            ConnectError::NotUp(unreachable.cause("the connection was closed").hint(hint))
        }
        Some(io::ErrorKind::NotFound) => {
            ConnectError::NotUp(unreachable.cause("the socket does not exist").hint(hint))
        }
        _ if error.to_string().contains("does not support TLS")
            || root.to_string().contains("does not support TLS") =>
        {
            ConnectError::Other(unreachable.cause("the server does not speak TLS").hint(format!(
                "`prod` connects by TLS only: look at the host and port in {variable}"
            )))
        }
        _ => ConnectError::Other(unreachable.cause(root).hint(hint)),
    }
}

/// TLS by rustls: the certificate and the host's name are verified, against the
/// system's roots or those of one file.
fn verified_tls(root_cert: Option<&Path>) -> Result<MakeRustlsConnect, Error> {
    let mut roots = RootCertStore::empty();
    match root_cert {
        Some(file) => {
            let unreadable = |error: &dyn fmt::Display| {
                Error::new(format!("cannot read the certificates in `{}`", file.display()))
                    .cause(error)
                    .hint("sslrootcert names a file of certificates in PEM form")
            };
            let certificates = CertificateDer::pem_file_iter(file).map_err(|e| unreadable(&e))?;
            for certificate in certificates {
                let certificate = certificate.map_err(|error| unreadable(&error))?;
                roots.add(certificate).map_err(|error| unreadable(&error))?;
            }
            if roots.is_empty() {
                return Err(unreadable(&"there is none in it"));
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err(Error::new("this system has no certificate authorities to trust")
                    .hint("install the package `ca-certificates`, or name a file with `?sslrootcert=FILE`"));
            }
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::new("cannot set up TLS").cause(error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(target: Target, url: &str) -> Result<ConnectionUrl, Error> {
        ConnectionUrl::parse(target, url, env::CONNECTION_URL, &LocalHosts::new(Some("pg-dev")))
    }

    #[test]
    fn the_password_is_never_shown() {
        let url = parse(Target::Local, "postgresql://me:s3cret@localhost:5433/app").expect("url");
        assert_eq!(url.to_string(), "me@localhost:5433/app");
        assert_eq!(format!("{url:?}"), "ConnectionUrl(me@localhost:5433/app)");
        for wrong in [
            "postgresql://me:s3cret@evil.example/app",
            "postgresql://me:s3cret@localhost:x/app",
            "mysql://me:s3cret@localhost/app",
            "postgresql://me:s3cret@localhost/app?sslmode=s3cret",
            "postgresql://me:s3cret@localhost/app?nonsense=1",
            "postgresql://me:s3cret@localhost",
            "postgresql://me:hunter@s3cret@localhost/app",
        ] {
            let error = parse(Target::Local, wrong).expect_err(wrong);
            assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
        }
    }

    #[test]
    fn local_hosts_are_judged_as_the_driver_sees_them() {
        for local in [
            "postgresql://postgres:password@localhost:5432/cruddur",
            "postgres://u@127.0.0.1/d",
            "postgresql://u@[::1]:5432/d",
            "postgresql://u@db/d",
            "postgresql://u@pg-dev/d",
            "postgresql://u@%2Fvar%2Frun%2Fpostgresql/d",
            "postgresql:///d?host=/var/run/postgresql",
            "postgresql://u@localhost,127.0.0.1/d",
            "postgresql://u@localhost/d?sslmode=disable",
        ] {
            assert!(parse(Target::Local, local).is_ok(), "{local}");
        }
        for other in [
            "postgresql://u@prod.example.com/localhost",
            "postgresql://localhost@prod.example.com/d",
            "postgresql://u@localhost,prod.example.com/d",
            "postgresql://u@localhost/d?host=prod.example.com",
            "postgresql://u@localhost/d?hostaddr=10.0.0.7",
            "postgresql://u@localhost/d?%68ost=prod.example.com",
            "postgresql://u:p@ss@prod.example.com/d",
            "postgresql://u@localhost.prod.example.com/d",
            "postgresql:///d",
        ] {
            assert!(parse(Target::Local, other).is_err(), "{other}");
        }
    }

    #[test]
    fn prod_is_tls() {
        let tls = |url: &str| parse(Target::Prod, url).map(|url| url.tls);
        let verified = Tls::Verified { root_cert: None };
        for url in [
            "postgresql://u@h/d",
            "postgresql://u@h/d?sslmode=require",
            "postgresql://u@h/d?sslmode=verify-full",
        ] {
            assert!(tls(url).is_ok_and(|tls| tls == verified), "{url}");
        }
        let bundle = Tls::Verified { root_cert: Some("/etc/rds ca.pem".into()) };
        assert!(
            tls("postgresql://u@h/d?sslrootcert=%2Fetc%2Frds%20ca.pem")
                .is_ok_and(|tls| tls == bundle)
        );
        for less in ["disable", "allow", "prefer", "Require", ""] {
            assert!(tls(&format!("postgresql://u@h/d?sslmode={less}")).is_err(), "{less}");
        }
    }

    #[test]
    fn another_database_is_set_in_the_parsed_url() {
        let url = parse(Target::Local, "postgresql://cruddur:x@localhost/cruddur").expect("url");
        assert_eq!(url.with_database("postgres").to_string(), "cruddur@localhost:5432/postgres");
    }
}
