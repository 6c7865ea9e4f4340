//! `messages-api`: the app's messaging routes and its pages, from the same keys, records
//! and access patterns that the tools use.
//!
//! `app` has what all requests share; `routes` answers them, by `token` for whoever
//! signed in; `reply` turns a failure into a response, and `log` says what was answered.

mod app;
mod keys;
mod log;
mod pages;
mod people;
mod remembered;
mod reply;
mod routes;
mod token;

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use clap::builder::NonEmptyStringValueParser;
use cognito_list_users::pool::PoolArgs;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use ops_common::args::{ConfirmArgs, DynamoArgs, TableArg, TargetArg, UiArgs};
use ops_common::cli;
use ops_common::consent::{self, Change, Effect, Kind, Permit, Place};
use ops_common::dynamodb::table::Table;
use ops_common::env;
use ops_common::error::Error;
use ops_common::postgres::ConnectionUrl;
use ops_common::target::Target;
use ops_common::ui::Ui;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use app::App;
use keys::Keys;
use log::{Form, Log};
use people::People;
use remembered::Remembered;
use token::Verifier;

/// How long requests that are in flight may take to finish once the server is told to
/// end.
const GRACE: Duration = Duration::from_secs(10);
/// A connection on which no request comes is closed: idle ones would take up all files that
/// the process may have open.
const HEADERS_WITHIN: Duration = Duration::from_secs(20);
/// Where no connection can be taken.
const PAUSE: Duration = Duration::from_millis(200);

/// Serve the app's messaging routes and pages
///
/// People sign in at Cognito; the access token that they get there is what each
/// request carries. They read and write their own conversations only. The pages are
/// at the same address. Requests are logged on stderr, without tokens and texts; -v
/// adds the calls of DynamoDB and Postgres with all that is in them.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples:
  messages-api                          open http://localhost:4567
  messages-api --cors-origin https://app.example.com
  messages-api prod --listen 0.0.0.0:4567 --yes
                                        behind a proxy that has the certificate"
)]
struct Args {
    #[command(flatten)]
    target: TargetArg,

    /// Address to listen on
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:4567", value_parser = address)]
    listen: SocketAddr,

    /// Origin of web pages that may call the routes, like `https://app.example.com`;
    /// repeatable [default: none, in `local` http://localhost:3000]
    #[arg(long, value_name = "URL", value_parser = routes::origin)]
    cors_origin: Vec<axum::http::HeaderValue>,

    /// App client of the pool that people sign in with
    /// [env: AWS_COGNITO_USER_POOL_CLIENT_ID]
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new(), help_heading = "Cognito")]
    user_pool_client_id: Option<String>,

    /// Form of the log on stderr: text or json
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Form::Text, hide_possible_values = true, help_heading = "Output")]
    output: Form,

    #[command(flatten)]
    pool: PoolArgs,
    #[command(flatten)]
    table: TableArg,
    #[command(flatten)]
    dynamo: DynamoArgs,
    #[command(flatten)]
    consent: ConfirmArgs,
    #[command(flatten)]
    ui: UiArgs,
}

/// The tool's entry point.
#[must_use]
pub fn main() -> ExitCode {
    cli::main_with_own_interrupt(|args: &Args| &args.ui, run)
}

async fn run(args: Args, ui: &Ui) -> Result<ExitCode, Error> {
    let log = Log::new(args.output, ui);
    // Whoever reads JSON reads no sentences, but for where `prod` acts.
    let ui = &if args.output == Form::Json { ui.clone().quiet(true) } else { ui.clone() };
    let target = args.target.target;
    let pool = args.pool.id().ok_or_else(no_pool)?;
    let client_id = args.user_pool_client_id.clone();
    let client_id = client_id
        .or_else(|| env::var(env::AWS_COGNITO_USER_POOL_CLIENT_ID))
        .ok_or_else(no_client)?;
    let keys = Keys::of(&pool, target).await?;
    let name = args.table.name();
    let change =
        Change { target, kind: Kind::Table, name: &name, what: "", effect: Effect::Changes };
    consent::check(&change, change.effect, &args.consent)?;
    let url = ConnectionUrl::from_env(target)?;
    url.announce(ui);
    let table = Table::connect(target, &args.dynamo, &name, ui).await?;
    table.existing().await?;
    let people = People::connect(url, ui).await?;
    let permit = ask(&change, &table, &args, ui).await?;

    let listener = TcpListener::bind(args.listen).await.map_err(|error| {
        Error::new(format!("cannot listen on {}", args.listen))
            .cause(error)
            .hint("name another address with --listen")
    })?;
    let address = listener
        .local_addr()
        .map_err(|error| Error::new("cannot tell which port is listened on").cause(error))?;
    let app = Arc::new(App {
        table,
        permit,
        people,
        participants: Remembered::default(),
        verifier: Verifier::new(client_id, keys),
        log,
    });
    let router = routes::router(Arc::clone(&app), origins(&args))?;
    if !address.ip().is_loopback() {
        ui.warn(format_args!(
            "{address} can be reached from other machines, and what is sent there is not encrypted: put a proxy with TLS in front"
        ));
    }
    app.log.event(&format!("listening on http://{address}; Ctrl-C stops it"));
    serve(listener, router, ui).await?;
    app.log.event("stopped");
    Ok(ExitCode::SUCCESS)
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "an IP address and a port, like `127.0.0.1:4567`".to_owned())
}

fn origins(args: &Args) -> Vec<axum::http::HeaderValue> {
    let local = axum::http::HeaderValue::from_static("http://localhost:3000");
    match args.target.target {
        Target::Local if args.cors_origin.is_empty() => vec![local],
        _ => args.cors_origin.clone(),
    }
}

/// Asks once, before the first request.
async fn ask(change: &Change<'_>, table: &Table, args: &Args, ui: &Ui) -> Result<Permit, Error> {
    let caller = table.caller(ui).await?;
    let what = format!(
        "{}: this serves the app on {}; people who sign in write messages to the table `{table}`.",
        table.db().place(),
        args.listen
    );
    let change = Change { what: &what, ..*change };
    consent::ask(&change, Place::of(change.target, caller), &args.consent, ui).await
}

/// Serves until Ctrl-C or SIGTERM, and until the requests are answered that were there
/// by then.
async fn serve(listener: TcpListener, router: axum::Router, ui: &Ui) -> Result<(), Error> {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADERS_WITHIN);
    let connections = GracefulShutdown::new();
    let mut ended = pin!(ended()?);
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    ui.warn(format_args!("cannot take a connection: {error}"));
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            },
            () = &mut ended => break,
        };
        let service = TowerToHyperService::new(router.clone());
        let connection = http.serve_connection(TokioIo::new(stream), service);
        // What breaks a connection is its client's to know.
        let watched = connections.watch(connection);
        tokio::spawn(async move { drop(watched.await) });
    }
    drop(listener);
    let finished = tokio::time::timeout(GRACE, connections.shutdown()).await;
    finished.map_err(|_| {
        Error::new(format!(
            "requests were still in flight {} s after the server was told to stop",
            GRACE.as_secs()
        ))
    })
}

/// Ctrl-C or SIGTERM.
fn ended() -> Result<impl Future<Output = ()>, Error> {
    let listen =
        |kind| signal(kind).map_err(|error| Error::new("cannot listen for signals").cause(error));
    let (mut interrupt, mut terminate) =
        (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

const LOCAL_STACK: &str =
    "`eval \"$(cargo run -p local-stack -- env)\"` sets both for the local stack";

fn no_pool() -> Error {
    Error::new("no Cognito user pool is named")
        .hint(format!("name it with --user-pool-id or {}", env::AWS_COGNITO_USER_POOL_ID))
        .hint(LOCAL_STACK)
}

fn no_client() -> Error {
    Error::new("no app client of the user pool is named")
        .hint(format!(
            "name it with --user-pool-client-id or {}",
            env::AWS_COGNITO_USER_POOL_CLIENT_ID
        ))
        .hint("`aws cognito-idp list-user-pool-clients --user-pool-id POOL` shows the ids")
        .hint(LOCAL_STACK)
}
