//! One Postgres for all tests, and connections of the tests' own.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use local_stack::postgres::Cluster;
use ops_common::ui::{ColorChoice, Ui};
use tempfile::TempDir;
use tokio_postgres::NoTls;

use crate::{block_on, wait_for};

/// The password of the tests' Postgres, which nothing may show: [`crate::Run`] looks.
pub const PASSWORD: &str = "s3cret-of-the-tests";

/// One Postgres for all tests of this process. The last test that holds it
/// stops it.
#[derive(Debug)]
pub(crate) struct Server {
    cluster: Cluster,
    folder: TempDir,
}

impl Server {
    pub(crate) fn start() -> Self {
        let ui = Ui::new(ColorChoice::Never, false);
        let cluster = Cluster::throw_away(&ui).expect("Postgres starts");
        let folder = TempDir::new().expect("temporary folder");
        let server = Self { cluster, folder };
        server.admin_sql("postgres", &format!("ALTER USER postgres PASSWORD '{PASSWORD}'"));
        server
    }

    /// As the tools connect: the role may create databases and is no superuser.
    pub(crate) fn url(&self, database: &str) -> String {
        let url = self.cluster.url(database);
        let (_, rest) = url.rsplit_once('@').expect("a user and a host");
        format!("postgresql://postgres:{PASSWORD}@{rest}")
    }

    pub(crate) fn shared() -> Arc<Self> {
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

    pub(crate) fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Turns TLS on with this certificate and its key, or off. The server writes its
    /// own key: it takes none that others may read, and runs as another user where
    /// this one is root.
    pub(crate) fn use_certificate(&self, certified: Option<(&str, &str)>) {
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

    pub(crate) fn sql(&self, database: &str, statement: &str) -> Vec<String> {
        run_sql(&self.url(database), statement)
    }

    pub(crate) fn admin_sql(&self, database: &str, statement: &str) -> Vec<String> {
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

/// A connection that does nothing by itself.
pub struct Session {
    pub(crate) client: tokio_postgres::Client,
    pub(crate) runtime: tokio::runtime::Runtime,
}

impl Session {
    /// Runs SQL in it.
    pub fn sql(&self, statement: &str) {
        self.runtime.block_on(self.client.batch_execute(statement)).expect("SQL");
    }
}
