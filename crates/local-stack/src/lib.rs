//! The services that the tools talk to, on this machine, without containers:
//! an embedded DynamoDB, a real Postgres server, and a Cognito by moto where
//! there is Python. For people without Docker, and for every test. Everything
//! binds 127.0.0.1.

pub mod cognito;
mod command;
pub mod dynamodb;
mod guard;
pub mod postgres;
mod postgres_binaries;
mod state;
mod temporary;
mod watchdog;

use std::thread;

use ops_common::error::Error;
use ops_common::ui::Ui;

use cognito::CognitoServer;
pub use command::main;
use dynamodb::DynamoServer;
use postgres::Cluster;

/// A throw-away stack on free ports. Dropping it ends every process of it and
/// removes its files.
#[derive(Debug)]
pub struct Stack {
    dynamodb: DynamoServer,
    postgres: Cluster,
    cognito: Option<Pool>,
}

/// A Cognito and its one pool.
#[derive(Debug)]
struct Pool {
    server: CognitoServer,
    id: String,
    client_id: String,
}

impl Pool {
    /// The pool on a server that is started, or `None` where it cannot be, which
    /// is said: everything else works without it.
    fn of(server: Result<CognitoServer, Error>, ui: &Ui) -> Option<Self> {
        let pool = server.and_then(|server| {
            let id = server.create_seeded_pool()?;
            // After the users: before them it would change their `sub`s.
            let client_id = server.create_app_client(&id)?;
            Ok(Self { server, id, client_id })
        });
        pool.inspect_err(|error| ui.note(format_args!("without Cognito: {error}"))).ok()
    }

    fn env(&self) -> Vec<(&'static str, String)> {
        let client = ("AWS_COGNITO_USER_POOL_CLIENT_ID", self.client_id.clone());
        self.server.env(&self.id).into_iter().chain([client]).collect()
    }
}

impl Stack {
    /// Starts the services and waits until they answer. Where there is no Python
    /// it says so and goes on without Cognito.
    ///
    /// # Errors
    /// Where Postgres is neither installed nor to be had, or does not start.
    pub fn start(ui: &Ui) -> Result<Self, Error> {
        thread::scope(|scope| {
            let cognito = scope.spawn(|| Pool::of(CognitoServer::throw_away(ui), ui));
            let postgres = Cluster::throw_away(ui)?;
            let dynamodb = DynamoServer::in_memory()?;
            Ok(Self { dynamodb, postgres, cognito: cognito.join().ok().flatten() })
        })
    }

    /// The variables that lead the tools to this stack. Keys of letters and
    /// digits only: DynamoDB Local takes no others.
    #[must_use]
    pub fn env(&self) -> Vec<(&'static str, String)> {
        let mut env = dynamodb_env(&self.dynamodb);
        env.push(("CONNECTION_URL", self.postgres.url("cruddur")));
        env.extend(self.cognito.iter().flat_map(Pool::env));
        env
    }
}

/// The variables that lead the tools, and any AWS client, to a DynamoDB server.
#[must_use]
pub fn dynamodb_env(server: &DynamoServer) -> Vec<(&'static str, String)> {
    vec![
        ("AWS_ENDPOINT_URL_DYNAMODB", server.url()),
        ("AWS_REGION", "us-east-1".to_owned()),
        // boto3 and version 1 of the AWS CLI know only this one.
        ("AWS_DEFAULT_REGION", "us-east-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "local".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "local".to_owned()),
        // Nothing of the account that this machine may have is read.
        ("AWS_CONFIG_FILE", "/dev/null".to_owned()),
        ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null".to_owned()),
        ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
    ]
}

/// The folder of this checkout for data and downloads.
///
/// # Errors
/// Where it cannot be made.
pub fn state_folder() -> Result<std::path::PathBuf, Error> {
    state::folder(state::ServerUser::find()?)
}

/// The folder of a Python that has moto and boto3, once the stack has made it.
///
/// # Errors
/// Like [`state_folder`].
pub fn python_environment() -> Result<std::path::PathBuf, Error> {
    Ok(cognito::environment(&state_folder()?))
}

/// Whether a variable could lead a tool away from the stack: a developer with
/// `PROD_CONNECTION_URL` exported runs the tests too.
#[must_use]
pub fn leads_elsewhere(variable: &str) -> bool {
    ["AWS_", "PG", "OPS_", "DDB_"].iter().any(|prefix| variable.starts_with(prefix))
        || variable.ends_with("CONNECTION_URL")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_that_lead_elsewhere() {
        for name in [
            "AWS_PROFILE",
            "AWS_ENDPOINT_URL",
            "PGHOST",
            "PGPASSWORD",
            "OPS_LOCAL_HOSTS",
            "DDB_MESSAGE_TABLE",
            "CONNECTION_URL",
            "PROD_CONNECTION_URL",
        ] {
            assert!(leads_elsewhere(name), "{name}");
        }
        for name in ["PATH", "HOME", "CARGO_HOME", "NO_COLOR", "TZ"] {
            assert!(!leads_elsewhere(name), "{name}");
        }
    }
}
