//! Postgres: from a target to a connection that shows its statements where `-v` asks
//! for it.

mod errors;
pub mod programs;
pub mod stamp;
pub mod tls;
mod url;

use std::time::Duration;

pub use errors::{ConnectError, sql_error};
pub use tokio_postgres::Row;
use tokio_postgres::config::SslMode as DriverSslMode;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls, Socket};
pub use url::ConnectionUrl;

use crate::env;
use crate::error::Error;
use crate::target::Target;
use crate::target::resolve::refuse_public_address;
use crate::ui::Ui;
use errors::connect_error;
use tls::SslMode;
use url::host_names;

const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

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
        let client = match tls::connector(url.ssl_mode, &url.root_cert) {
            Ok(None) => connect(url, NoTls).await?,
            Ok(Some(connector)) => match connect(url, connector).await {
                // As in libpq: one that cannot do it is asked again without.
                Err(ConnectError::Tls(_) | ConnectError::NotUp(_) | ConnectError::Other(_))
                    if url.ssl_mode == SslMode::Prefer =>
                {
                    let mut plain = url.clone();
                    plain.config.ssl_mode(DriverSslMode::Disable);
                    connect(&plain, NoTls).await?
                }
                connected => connected?,
            },
            Err(error) => return Err(ConnectError::Other(error)),
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

    /// Runs one statement that is quick and returns its rows. `title` says what it is
    /// for.
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
        match tokio::time::timeout(env::timeout(), self.client.query(sql, params)).await {
            Ok(answer) => answer.map_err(|error| sql_error(title, &error)),
            Err(_) => Err(Error::new(format!("cannot {title}"))
                .cause(format!("Postgres gave no answer within {} s", env::timeout().as_secs()))
                .hint(format!(
                    "look whether a lock is waited for (`{}`); {} sets how long an answer may take",
                    env::invocation("db-sessions --long"),
                    env::OPS_TIMEOUT_SECS
                ))),
        }
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

/// The driver's own timeout ends with the TCP connection; what accepts one and
/// then says nothing (a dead tunnel) would be waited for without end.
async fn connect<T>(url: &ConnectionUrl, tls: T) -> Result<Client, ConnectError>
where
    T: MakeTlsConnect<Socket, Stream: Send + 'static>,
{
    match tokio::time::timeout(ANSWER_TIMEOUT.min(env::timeout()), url.config.connect(tls)).await {
        Ok(Ok((client, connection))) => {
            tokio::spawn(connection);
            Ok(client)
        }
        Ok(Err(error)) => Err(connect_error(url, &error)),
        Err(_) => Err(ConnectError::Other(
            Error::new(format!("cannot reach Postgres at `{}`", url.server()))
                .cause("something listens there and does not answer")
                .hint(format!(
                    "look at {} and at what listens there: perhaps a dead tunnel; {} sets how long an answer may take",
                    url.origin,
                    env::OPS_TIMEOUT_SECS
                )),
        )),
    }
}
