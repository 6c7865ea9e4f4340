//! The app's people in Postgres, through a small pool of connections: each is made and
//! looked at as the tools make theirs, and made anew where the server went away.

use std::time::Duration;

use deadpool::managed::{Manager, Metrics, Object, Pool, RecycleError, RecycleResult, Timeouts};
use ops_common::app::records::Person;
use ops_common::app::users::{self, Handle};
use ops_common::error::Error;
use ops_common::postgres::{ConnectionUrl, Db, stamp};
use ops_common::ui::Ui;

use crate::remembered::Remembered;
use crate::reply::Failure;

/// Requests wait for one another rather than for a server that has too many
/// connections.
const CONNECTIONS: usize = 8;
/// A request is not kept waiting longer for a connection.
const WAIT: Duration = Duration::from_secs(5);

/// The people of one database.
pub(crate) struct People {
    pool: Pool<Connections>,
    /// by their `sub`
    known: Remembered<String, Person>,
}

impl People {
    /// # Errors
    /// Where Postgres cannot be reached, or the database is another environment's.
    pub(crate) async fn connect(url: ConnectionUrl, ui: &Ui) -> Result<Self, Error> {
        let timeouts = Timeouts { wait: Some(WAIT), ..Timeouts::default() };
        let pool = Pool::builder(Connections { url, ui: ui.clone() })
            .max_size(CONNECTIONS)
            .runtime(deadpool::Runtime::Tokio1)
            .timeouts(timeouts)
            .build()
            .map_err(|error| Error::new("cannot make a pool of connections").cause(error))?;
        let people = Self { pool, known: Remembered::default() };
        match people.pool.get().await {
            Ok(_) => Ok(people),
            Err(deadpool::managed::PoolError::Backend(error)) => Err(error),
            Err(error) => Err(Error::new("cannot connect to Postgres").cause(error)),
        }
    }

    /// A connection.
    pub(crate) async fn db(&self) -> Result<Object<Connections>, Failure> {
        self.pool.get().await.map_err(Failure::unavailable)
    }

    /// Whether Postgres answers.
    pub(crate) async fn are_there(&self) -> Result<(), String> {
        let db = self.pool.get().await.map_err(|error| error.to_string())?;
        let answer = db.query("look whether Postgres answers", "SELECT 1", &[]).await;
        answer.map(drop).map_err(|error| error.to_string())
    }

    /// The person who signs in with this `sub`; `None` where no row has it, or more than
    /// one has: nobody can tell whose messages they are.
    pub(crate) async fn by_sub(&self, sub: &str) -> Result<Option<Person>, Failure> {
        if let Some(person) = self.known.get(sub) {
            return Ok(Some(person));
        }
        let db = self.db().await?;
        let mut found = users::by_cognito_sub(&db, sub).await.map_err(Failure::unavailable)?;
        let person = if found.len() == 1 { found.pop() } else { None };
        if let Some(person) = &person {
            self.known.insert(sub.to_owned(), person.clone());
        }
        Ok(person)
    }

    /// The person with this handle.
    pub(crate) async fn by_handle(&self, handle: &Handle) -> Result<Option<Person>, Failure> {
        let db = self.db().await?;
        let found = users::by_handles(&db, &[handle.as_str()]).await;
        Ok(found.map_err(Failure::unavailable)?.pop())
    }
}

/// Makes connections.
pub(crate) struct Connections {
    url: ConnectionUrl,
    ui: Ui,
}

impl Manager for Connections {
    type Type = Db;
    type Error = Error;

    /// What is at the other end may have changed: a tunnel that was opened meanwhile.
    async fn create(&self) -> Result<Db, Error> {
        let db = Db::connect(&self.url, &self.ui).await?;
        stamp::of_this_environment(&db, &self.url).await?;
        Ok(db)
    }

    async fn recycle(&self, db: &mut Db, _: &Metrics) -> RecycleResult<Error> {
        if db.client().is_closed() {
            return Err(RecycleError::message("the server went away"));
        }
        Ok(())
    }
}
