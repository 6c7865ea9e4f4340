//! The driver's errors in words.

use std::error::Error as _;
use std::io;

use tokio_postgres::error::{DbError, SqlState};

use crate::env;
use crate::error::Error;
use crate::postgres::tls;
use crate::postgres::url::ConnectionUrl;
use crate::target::Target;

/// Why a connection could not be had, as far as callers act on it.
#[derive(Debug)]
pub enum ConnectError {
    /// nobody listens yet, or the server is starting up
    NotUp(Error),
    /// the server is there and the database is not
    NoDatabase(Error),
    /// the two do not agree on TLS
    Tls(Error),
    /// anything else
    Other(Error),
}

impl From<ConnectError> for Error {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::NotUp(error)
            | ConnectError::NoDatabase(error)
            | ConnectError::Tls(error)
            | ConnectError::Other(error) => error,
        }
    }
}

/// The error of a statement that was to do `title`.
#[must_use]
pub fn sql_error(title: &str, error: &tokio_postgres::Error) -> Error {
    let result = Error::new(format!("cannot {title}"));
    let Some(db) = error.as_db_error() else {
        let lost = error.is_closed() || error.source().is_some_and(|cause| cause.is::<io::Error>());
        let result = result.source_chain(error);
        return match lost {
            true => result.hint(
                "the server went away meanwhile: look at it (`db-sessions`), then run it again",
            ),
            false => result,
        };
    };
    let mut result = result.cause(db.message());
    if let Some(detail) = db.detail() {
        result = result.cause(detail);
    }
    if let Some(hint) = db.hint() {
        result = result.hint(hint);
    }
    if *db.code() == SqlState::INSUFFICIENT_PRIVILEGE && db.message().contains("cruddur_ops") {
        result = result.hint(
            "let the role read the stamp: `GRANT USAGE ON SCHEMA cruddur_ops TO ROLE; GRANT SELECT ON cruddur_ops.stamp TO ROLE`",
        );
    }
    if *db.code() == SqlState::UNDEFINED_TABLE || *db.code() == SqlState::UNDEFINED_COLUMN {
        result = result.hint(format!(
            "the database is not set up as the app's: `{}`, in `prod` `{}`",
            env::invocation("db-setup"),
            env::invocation("db-setup prod --steps schema-load,seed")
        ));
    }
    result
}

pub(super) fn connect_error(url: &ConnectionUrl, error: &tokio_postgres::Error) -> ConnectError {
    match error.as_db_error() {
        Some(refusal) => refused(url, refusal),
        None => unreachable(url, error),
    }
}

/// The error of a server that answered, with a no.
fn refused(url: &ConnectionUrl, refusal: &DbError) -> ConnectError {
    let (server, variable) = (url.server(), url.origin);
    let refused = Error::new(format!("Postgres at `{server}` refuses the connection"))
        .cause(refusal.message());
    match *refusal.code() {
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
        SqlState::CANNOT_CONNECT_NOW => ConnectError::NotUp(refused.hint("try again in a moment")),
        SqlState::INVALID_PASSWORD | SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
            ConnectError::Other(refused.hint(format!("look at user and password in {variable}")))
        }
        SqlState::INSUFFICIENT_PRIVILEGE => ConnectError::Other(refused.hint(format!(
            "the user in {variable} may not use this database: its owner can GRANT CONNECT"
        ))),
        _ => ConnectError::Other(refused.hint(format!("look at {variable}"))),
    }
}

/// What an error of the connection comes from.
struct Root<'a> {
    error: &'a (dyn std::error::Error + 'static),
    io_kind: Option<io::ErrorKind>,
    tls: Option<&'a rustls::Error>,
}

impl<'a> Root<'a> {
    fn of(error: &'a tokio_postgres::Error) -> Self {
        let mut root = Self { error, io_kind: None, tls: None };
        loop {
            if let Some(io) = root.error.downcast_ref::<io::Error>() {
                root.io_kind = Some(io.kind());
                // An `io::Error` hides what it carries from the chain of sources.
                let carried = || io.get_ref()?.downcast_ref::<rustls::Error>();
                root.tls = root.tls.or_else(carried);
            }
            match root.error.source() {
                Some(source) => root.error = source,
                None => return root,
            }
        }
    }
}

/// The error of a server that gave no answer.
fn unreachable(url: &ConnectionUrl, error: &tokio_postgres::Error) -> ConnectError {
    let (server, variable) = (url.server(), url.origin);
    let Root { error: root, io_kind, tls } = Root::of(error);
    let unreachable = Error::new(format!("cannot reach Postgres at `{server}`"));
    let hint = match url.target {
        Target::Local => format!(
            "start it with `cargo run -p local-stack -- up` or `docker compose up -d`, or name another one with {variable}"
        ),
        Target::Prod => format!("look at the network, the security group and {variable}"),
    };
    if let Some(tls) = tls {
        let distrust = Error::new(format!("cannot trust Postgres at `{server}`"));
        return ConnectError::Tls(tls::explain(distrust, tls, variable));
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
            ConnectError::Tls(unreachable.cause("the server does not speak TLS").hint(format!(
                "look at the host and port in {variable}, and at the server's setting `ssl`"
            )))
        }
        _ => ConnectError::Other(unreachable.cause(root).hint(hint)),
    }
}
