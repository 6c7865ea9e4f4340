//! A URL type that cannot print its password, and which one a target means.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use percent_encoding::percent_decode_str;
use tokio_postgres::Config;
use tokio_postgres::config::{ChannelBinding, Host, SslMode as DriverSslMode};

use crate::consent::{Kind, Permit};
use crate::env;
use crate::error::Error;
use crate::postgres::tls::{RootCert, SslMode};
use crate::target::Target;
use crate::target::hosts::LocalHosts;
use crate::ui::Ui;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const KEEPALIVE: Duration = Duration::from_secs(20);
const DEFAULT_LOCAL_URL: &str = "postgresql://postgres:password@localhost:5432/cruddur";

/// A Postgres URL that has been looked at. It prints user, host, port and
/// database, never the password.
#[derive(Clone)]
pub struct ConnectionUrl {
    pub(super) config: Config,
    database: String,
    pub(super) ssl_mode: SslMode,
    pub(super) root_cert: RootCert,
    pub(super) target: Target,
    pub(super) origin: &'static str,
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

/// Nothing of the URL is shown: it holds a password.
fn unusable(origin: &str, why: &str) -> Error {
    Error::new(format!("{origin} is not a usable Postgres URL"))
        .cause(why)
        .hint("it looks like `postgresql://USER:PASSWORD@HOST:5432/DATABASE`, with special characters of the password percent-encoded")
}

/// What a URL says of TLS, which the driver does not know as libpq does.
struct TlsParameters {
    mode: Option<String>,
    root_cert: RootCert,
    /// `sslrootcert=system`
    names_system: bool,
}

impl TlsParameters {
    /// The mode that is meant. As in libpq: a socket is not encrypted, and an authority
    /// that is named is asked.
    fn mode(&self, target: Target, is_socket: bool, origin: &str) -> Result<SslMode, Error> {
        let mode = match &self.mode {
            None if target == Target::Local => SslMode::Disable,
            None => SslMode::VerifyFull,
            Some(mode) => SslMode::from_str(mode, false).map_err(|_| {
                Error::new(format!("{origin} is not a usable Postgres URL"))
                    .cause("its sslmode is not one of disable, prefer, require, verify-ca and verify-full")
                    .hint("say `sslmode=verify-full`, or leave it out")
            })?,
        };
        if self.names_system && mode != SslMode::VerifyFull {
            let why = "`sslrootcert=system` goes with `sslmode=verify-full` alone";
            return Err(unusable(origin, why));
        }
        Ok(match (mode, &self.root_cert) {
            _ if is_socket => SslMode::Disable,
            (SslMode::Require, RootCert::File(_)) => SslMode::VerifyCa,
            (mode, _) => mode,
        })
    }
}

/// The URL as the driver takes it, and what it says of TLS.
fn split(text: &str, origin: &str) -> Result<(String, TlsParameters), Error> {
    if !text.starts_with("postgresql://") && !text.starts_with("postgres://") {
        return Err(unusable(origin, "it does not start with `postgresql://`"));
    }
    // Where these two stand in a password, the driver and this function would cut
    // it in other places, and what is behind would be shown.
    let at = text.find('@').unwrap_or_default();
    if text.matches('@').count() > 1 {
        return Err(unusable(origin, "it has more than one `@`"));
    }
    if text[..at].contains('?') {
        return Err(unusable(origin, "it has a `?` before its `@`"));
    }
    let (base, query) = text.split_once('?').unwrap_or((text, ""));
    let mut tls = TlsParameters { mode: None, root_cert: RootCert::System, names_system: false };
    let mut rest = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decoded = || percent_decode_str(value).decode_utf8_lossy().into_owned();
        match percent_decode_str(key).decode_utf8_lossy().as_ref() {
            "sslmode" => tls.mode = Some(decoded()),
            "sslrootcert" if decoded() == "system" => tls.names_system = true,
            "sslrootcert" => tls.root_cert = RootCert::File(PathBuf::from(decoded())),
            _ => rest.push(pair),
        }
    }
    let rest = if rest.is_empty() { base.to_owned() } else { format!("{base}?{}", rest.join("&")) };
    Ok((rest, tls))
}

impl ConnectionUrl {
    /// The URL that `target` means: `CONNECTION_URL` or the default in `local`,
    /// `PROD_CONNECTION_URL` in `prod`.
    ///
    /// # Errors
    /// No URL for `prod`, a URL that does not parse, in `local` a host that is
    /// not this machine.
    pub fn from_env(target: Target) -> Result<Self, Error> {
        let hosts = LocalHosts::from_env();
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

    /// The production URL of a role that cannot write: `PROD_READ_CONNECTION_URL`, or
    /// `None` where it is not set.
    ///
    /// # Errors
    /// A URL that does not parse.
    pub fn reader_from_env() -> Result<Option<Self>, Error> {
        let variable = env::PROD_READ_CONNECTION_URL;
        let hosts = LocalHosts::from_env();
        env::var(variable).map(|url| Self::parse(Target::Prod, &url, variable, &hosts)).transpose()
    }

    fn parse(
        target: Target,
        text: &str,
        origin: &'static str,
        hosts: &LocalHosts,
    ) -> Result<Self, Error> {
        let (rest, tls) = split(text, origin)?;
        let mut config: Config = rest.parse().map_err(|error: tokio_postgres::Error| {
            let why =
                std::error::Error::source(&error).map_or(error.to_string(), ToString::to_string);
            unusable(origin, &why)
        })?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(unusable(origin, "it names no host"));
        }
        let Some(database) = config.get_dbname().map(str::to_owned) else {
            return Err(unusable(origin, "it names no database"));
        };
        if target == Target::Local {
            for host in host_names(&config) {
                hosts.require("Postgres", &host, origin)?;
            }
        }
        let is_socket = host_names(&config).is_empty();
        let ssl_mode = tls.mode(target, is_socket, origin)?;
        config.ssl_mode(match ssl_mode {
            SslMode::Disable => DriverSslMode::Disable,
            SslMode::Prefer => DriverSslMode::Prefer,
            _ => DriverSslMode::Require,
        });
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        // A server that is gone without a word is noticed within a minute.
        if !rest.contains("keepalives") {
            config.keepalives_idle(KEEPALIVE);
            config.keepalives_interval(KEEPALIVE).keepalives_retries(2);
        }
        if config.get_application_name().is_none() {
            config.application_name("cruddur-ops");
        }
        Ok(Self { config, database, ssl_mode, root_cert: tls.root_cert, target, origin })
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

    /// Refuses a permit for anything else than this database.
    ///
    /// # Errors
    /// See [`Permit::covers`].
    pub fn check(&self, permit: &Permit) -> Result<(), Error> {
        permit.covers(self.target, Kind::Database, &self.database)
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
        format!("{}  postgres {self}", self.target.label())
    }

    /// What makes libpq connect as this does: the variables of its environment,
    /// the password among them.
    /// <https://www.postgresql.org/docs/current/libpq-envars.html>
    #[must_use]
    pub fn libpq_environment(&self) -> Vec<(&'static str, String)> {
        let config = &self.config;
        let list = |texts: Vec<String>| (!texts.is_empty()).then(|| texts.join(","));
        let hosts = config.get_hosts().iter().map(host_text).collect();
        let addresses = config.get_hostaddrs().iter().map(ToString::to_string).collect();
        let ports = config.get_ports().iter().map(ToString::to_string).collect();
        let password = config.get_password().map(String::from_utf8_lossy);
        let timeout = config.get_connect_timeout().map(|timeout| timeout.as_secs().to_string());
        let root_cert = match self.ssl_mode {
            SslMode::VerifyCa | SslMode::VerifyFull => Some(self.root_cert.for_libpq()),
            _ => None,
        };
        let channel_binding = match config.get_channel_binding() {
            ChannelBinding::Require => Some("require"),
            ChannelBinding::Disable => Some("disable"),
            _ => None,
        };
        let all = [
            ("PGHOST", list(hosts)),
            ("PGHOSTADDR", list(addresses)),
            ("PGPORT", list(ports)),
            ("PGUSER", config.get_user().map(str::to_owned)),
            ("PGPASSWORD", password.map(|password| password.into_owned())),
            ("PGDATABASE", Some(self.database.clone())),
            ("PGOPTIONS", config.get_options().map(str::to_owned)),
            ("PGAPPNAME", config.get_application_name().map(str::to_owned)),
            ("PGCONNECT_TIMEOUT", timeout),
            ("PGSSLMODE", Some(self.ssl_mode.as_str().to_owned())),
            ("PGSSLROOTCERT", root_cert),
            ("PGCHANNELBINDING", channel_binding.map(str::to_owned)),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }

    /// Says in one line where a tool acts, and warns where `prod` is protected by
    /// less than it could be.
    pub fn announce(&self, ui: &Ui) {
        ui.announce(self.target, self.place());
        let danger = match self.ssl_mode {
            _ if self.target == Target::Local || host_names(&self.config).is_empty() => return,
            SslMode::VerifyFull => return,
            SslMode::VerifyCa => "any server with a certificate of that CA is accepted",
            SslMode::Require => "the server's identity is not verified",
            SslMode::Disable | SslMode::Prefer => "who listens on the way can read the password",
        };
        ui.warn(format_args!(
            "{} asks for sslmode={}, less than verify-full: {danger}",
            self.origin,
            self.ssl_mode.as_str()
        ));
    }
}

fn host_text(host: &Host) -> String {
    match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(path) => path.display().to_string(),
    }
}

/// Every name and address that the driver may connect to over TCP.
pub(super) fn host_names(config: &Config) -> Vec<String> {
    let names = config.get_hosts().iter().filter_map(|host| match host {
        Host::Tcp(name) => Some(name.clone()),
        Host::Unix(_) => None,
    });
    names.chain(config.get_hostaddrs().iter().map(IpAddr::to_string)).collect()
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
            "postgresql://me:a@b/s3cret@localhost/app",
            "postgresql://me:a?s3cret@localhost/app?sslmode=disable",
            "postgresql://me:a@localhost?s3cret@localhost/app",
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
    fn sslmode_is_libpqs() {
        let tls = |target, url: &str| parse(target, url).map(|url| (url.ssl_mode, url.root_cert));
        let prod = |query: &str| tls(Target::Prod, &format!("postgresql://u@h/d{query}"));
        let bundle = RootCert::File("/etc/rds ca.pem".into());
        for (query, mode, root_cert) in [
            ("", SslMode::VerifyFull, RootCert::System),
            ("?sslmode=verify-full", SslMode::VerifyFull, RootCert::System),
            ("?sslmode=verify-full&sslrootcert=system", SslMode::VerifyFull, RootCert::System),
            ("?sslmode=require", SslMode::Require, RootCert::System),
            (
                "?sslmode=require&sslrootcert=%2Fetc%2Frds%20ca.pem",
                SslMode::VerifyCa,
                bundle.clone(),
            ),
            ("?sslrootcert=%2Fetc%2Frds%20ca.pem", SslMode::VerifyFull, bundle),
            ("?sslmode=prefer", SslMode::Prefer, RootCert::System),
            ("?sslmode=disable", SslMode::Disable, RootCert::System),
        ] {
            assert_eq!(prod(query).expect(query), (mode, root_cert), "{query}");
        }
        assert!(prod("?sslmode=require&sslrootcert=system").is_err());
        for wrong in ["allow", "Require", "", "verify"] {
            assert!(prod(&format!("?sslmode={wrong}")).is_err(), "{wrong}");
        }
        let local = |query: &str| tls(Target::Local, &format!("postgresql://u@db/d{query}"));
        assert_eq!(local("").expect("a URL").0, SslMode::Disable);
        assert_eq!(local("?sslmode=verify-full").expect("a URL").0, SslMode::VerifyFull);
        let socket = tls(Target::Prod, "postgresql:///d?host=/var/run/postgresql");
        assert_eq!(socket.expect("a URL").0, SslMode::Disable);
    }

    #[test]
    fn another_database_is_set_in_the_parsed_url() {
        let url = parse(Target::Local, "postgresql://cruddur:x@localhost/cruddur").expect("url");
        assert_eq!(url.with_database("postgres").to_string(), "cruddur@localhost:5432/postgres");
    }
}
