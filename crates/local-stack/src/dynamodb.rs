//! The embedded DynamoDB API, on a thread and a runtime of its own: its SQLite
//! work blocks the threads it runs on.

use std::fs::{File, Permissions};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use dynoxide::Database;
use ops_common::error::Error;
use tokio::sync::oneshot;

/// Long enough for a request that is running; a client that never finishes its
/// request is not waited for.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// A running server. Dropping it stops it.
#[derive(Debug)]
pub struct DynamoServer {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: JoinHandle<()>,
}

impl DynamoServer {
    /// A server that keeps its tables in memory, on a free port.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn in_memory() -> Result<Self, Error> {
        let database = Database::memory().map_err(|error| failed(&error))?;
        Self::serve(bind_free()?, database)
    }

    /// A server on `listener` that keeps its tables in `file`, which only this user
    /// can read. SQLite gives the files beside it the same mode.
    pub(crate) fn in_file(listener: TcpListener, file: &Path) -> Result<Self, Error> {
        File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(file)
            .and_then(|opened| opened.set_permissions(Permissions::from_mode(0o600)))
            .map_err(|error| failed(&error))?;
        let database = Database::new(&file.to_string_lossy()).map_err(|error| {
            failed(&error).hint(format!("if its data are not needed, remove `{}`", file.display()))
        })?;
        Self::serve(listener, database)
    }

    fn serve(listener: TcpListener, database: Database) -> Result<Self, Error> {
        let address = listener.local_addr().map_err(|error| failed(&error))?;
        listener.set_nonblocking(true).map_err(|error| failed(&error))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|error| failed(&error))?;
        let (stop, stop_requested) = oneshot::channel::<()>();
        let thread = thread::spawn(move || {
            runtime.block_on(async {
                if let Ok(listener) = tokio::net::TcpListener::from_std(listener) {
                    let stop = async {
                        let _ = stop_requested.await;
                    };
                    let _ = dynoxide::server::serve_with_shutdown(listener, database, stop).await;
                }
            });
            runtime.shutdown_background();
        });
        Ok(Self { address, stop: Some(stop), thread })
    }

    /// `http://127.0.0.1:PORT`
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for DynamoServer {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        let deadline = Instant::now() + SHUTDOWN_TIMEOUT;
        while !self.thread.is_finished() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(2));
        }
    }
}

fn failed(error: &dyn std::fmt::Display) -> Error {
    Error::new("cannot start the embedded DynamoDB").cause(error)
}

/// Binds 127.0.0.1. `option` is the one of `up` that chooses the port.
///
/// # Errors
/// Where the port is taken: the error names it and how to see who has it.
pub(crate) fn bind(port: u16, option: &str) -> Result<TcpListener, Error> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|error| {
        let result = Error::new(format!("cannot listen on 127.0.0.1:{port}")).cause(&error);
        if error.kind() == std::io::ErrorKind::AddrInUse {
            result
                .hint(format!("see who has it: `ss -ltnp 'sport = :{port}'` or `lsof -nP -iTCP:{port} -sTCP:LISTEN`"))
                .hint(format!("or take another port: `local-stack up {option} PORT`"))
                .hint("until then the tools act on whatever listens there")
                .hint("`local-stack run -- COMMAND` needs no fixed ports")
        } else {
            result
        }
    })
}

/// The same on a port that nobody has.
fn bind_free() -> Result<TcpListener, Error> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .map_err(|error| Error::new("cannot listen on 127.0.0.1").cause(error))
}

/// A port that nobody listens on at this moment.
pub(crate) fn free_port() -> Result<u16, Error> {
    let address = bind_free()?.local_addr();
    address
        .map(|address| address.port())
        .map_err(|error| Error::new("cannot find a free port").cause(error))
}
