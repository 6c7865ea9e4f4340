//! What the clients of all AWS services share: their configuration, the trace
//! of `-v`, and the SDK's errors in words.

pub mod account;
pub mod answers;
pub mod page_tokens;
mod service;
mod trace;

use std::io;
use std::time::Duration;

use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::{Credentials, SharedCredentialsProvider, SharedHttpClient};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls;
use aws_smithy_http_client::{Builder as HttpClientBuilder, Connector, ConnectorBuilder};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorSettings, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::interceptors::context::InterceptorContext;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::retries::classifiers::{
    ClassifyRetry, RetryAction, RetryClassifierPriority,
};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use aws_types::service_config::ServiceConfigKey;

pub use service::Service;
pub(crate) use service::root;
pub use trace::Trace;

use crate::env;
use crate::error::Error;
use crate::target::Target;
use crate::target::endpoint::{AwsService, Endpoint};
use crate::target::resolve::resolve;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The region of services on this machine, which have none.
pub const LOCAL_REGION: &str = "us-east-1";

/// The configuration of a service on this machine, built by hand: dummy
/// credentials, no profile, no proxy, so that nothing real can leave it.
#[must_use]
pub fn local_config(endpoint: &Endpoint, region: String) -> SdkConfig {
    let http_client = if endpoint.is_https() {
        https_client(ProxyConfig::disabled())
    } else {
        HttpClientBuilder::new().build_http()
    };
    // DynamoDB Local takes letters and digits only as an access key.
    let credentials = Credentials::new("local", "local", None, None, "cruddur-ops");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(region))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .endpoint_url(endpoint.as_str())
        .http_client(http_client)
        .timeout_config(timeouts())
        .retry_config(RetryConfig::standard())
        .build()
}

/// The SDK's default chain: environment, profiles, SSO, web identity, proxies.
/// `region` and `profile` where they are named go before what it finds.
///
/// # Errors
/// A setting that the SDK could not take.
pub async fn account_config(
    region: Option<&str>,
    profile: Option<&str>,
    endpoint: Option<&Endpoint>,
) -> Result<SdkConfig, Error> {
    check_retry_mode()?;
    env::expected_account_id()?;
    // A role would be assumed at a stand-in, whose keys open nothing at AWS.
    resolve(AwsService::Sts, Some(Target::Prod), None, env::var).await?;
    let http_client = https_client(ProxyConfig::from_env());
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http_client.clone())
        .timeout_config(timeouts())
        .retry_config(RetryConfig::standard());
    // The SDK takes an empty variable for a region.
    if let Some(region) = region.map(str::to_owned).or_else(region_of_environment) {
        loader = loader.region(Region::new(region));
    }
    if let Some(profile) = profile {
        loader = loader.profile_name(profile);
    }
    if let Some(endpoint) = endpoint {
        loader = loader.endpoint_url(endpoint.as_str());
    }
    let config = loader.load().await;
    let Some(profile) = profile else { return Ok(config) };
    // As in the AWS CLI: a profile that is named goes before keys in the environment.
    let provider = ProviderConfig::default()
        .with_http_client(http_client)
        .with_region(config.region().cloned());
    let credentials = ProfileFileCredentialsProvider::builder()
        .configure(&provider)
        .profile_name(profile)
        .build();
    let credentials = SharedCredentialsProvider::new(credentials);
    Ok(config.into_builder().credentials_provider(credentials).build())
}

/// `AWS_REGION`, else `AWS_DEFAULT_REGION`.
#[must_use]
pub fn region_of_environment() -> Option<String> {
    env::var(env::AWS_REGION).or_else(|| env::var(env::AWS_DEFAULT_REGION))
}

/// The endpoint that the environment or the profile names for one service.
///
/// # Errors
/// A setting that cannot be read.
pub(crate) fn endpoint_of_service(
    config: &SdkConfig,
    service_id: &'static str,
) -> Result<Option<String>, Error> {
    let key = ServiceConfigKey::builder()
        .service_id(service_id)
        .env(env::AWS_ENDPOINT_URL)
        .profile("endpoint_url")
        .build()
        .map_err(|error| Error::new("cannot read the profile").cause(error))?;
    let endpoint = config.service_config().and_then(|config| config.load_config(key));
    Ok(endpoint.filter(|endpoint| !endpoint.is_empty()))
}

/// The operation that a request of a JSON service asks for, like `ListTables`.
fn operation(request: &HttpRequest) -> &str {
    let target = request.headers().get("x-amz-target").unwrap_or("?");
    target.rsplit('.').next().unwrap_or(target)
}

/// Puts a body that is ready in place of the SDK's own, which is built from its types.
/// The SDK signs after this.
pub fn replace_body(request: &mut HttpRequest, body: Vec<u8>) {
    request.headers_mut().insert("content-length", body.len().to_string());
    *request.body_mut() = SdkBody::from(body);
}

/// The region that a configuration came to.
///
/// # Errors
/// Where it has none: the SDK would ask the instance's metadata for a while.
pub fn region_of(config: &SdkConfig) -> Result<String, Error> {
    let region = config.region().map(ToString::to_string).filter(|region| !region.is_empty());
    region.ok_or_else(|| {
        Error::new("no AWS region is set")
            .hint("name it with --region, AWS_REGION, or `region` in the profile")
    })
}

fn timeouts() -> TimeoutConfig {
    let answer = env::timeout();
    TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT.min(answer))
        .read_timeout(answer)
        .build()
}

/// Gets a document, by the client of the SDK: from this machine, or through the proxies
/// of the environment.
///
/// # Errors
/// Where it is not there within `timeout`, or the answer is not 200 OK.
pub async fn get(url: &str, is_local: bool, timeout: Duration) -> Result<Vec<u8>, Error> {
    let failed = || Error::new(format!("cannot get `{url}`"));
    let connector = match is_local {
        true => SharedHttpConnector::new(connector(timeout).build_http()),
        false => https_connector(ProxyConfig::from_env(), timeout),
    };
    let request = HttpRequest::get(url).map_err(|error| failed().cause(error))?;
    let answer = async {
        let answer = connector.call(request).await.map_err(|error| failed().cause(root(&error)))?;
        let status = answer.status();
        if status.as_u16() != 200 {
            return Err(failed().cause(format!("it answers {status}")));
        }
        let body = ByteStream::new(answer.into_body()).collect().await;
        body.map(|body| body.to_vec()).map_err(|error| failed().cause(root(&error)))
    };
    tokio::time::timeout(timeout, answer).await.unwrap_or_else(|_| {
        Err(failed().cause(format!("no answer within {} s", timeout.as_secs())))
    })
}

/// A client that reads proxy variables only where told to, with one TLS library.
fn https_client(proxy: ProxyConfig) -> SharedHttpClient {
    let connector = https_connector(proxy, env::timeout());
    http_client_fn(move |_, _| connector.clone())
}

fn https_connector(proxy: ProxyConfig, timeout: Duration) -> SharedHttpConnector {
    let ring = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring);
    SharedHttpConnector::new(connector(timeout).proxy_config(proxy).tls_provider(ring).build())
}

fn connector(timeout: Duration) -> ConnectorBuilder {
    let settings = HttpConnectorSettings::builder()
        .connect_timeout(CONNECT_TIMEOUT.min(timeout))
        .read_timeout(timeout)
        .build();
    Connector::builder().connector_settings(settings).sleep_impl(aws_smithy_async_sleep())
}

fn aws_smithy_async_sleep() -> aws_sdk_dynamodb::config::SharedAsyncSleep {
    aws_sdk_dynamodb::config::SharedAsyncSleep::new(aws_smithy_async::rt::sleep::TokioSleep::new())
}

/// The SDK panics at a retry mode it does not know.
fn check_retry_mode() -> Result<(), Error> {
    match env::var(env::AWS_RETRY_MODE) {
        Some(mode) if !matches!(mode.as_str(), "standard" | "adaptive") => Err(Error::new(
            format!("{} is `{mode}`, which is not a retry mode of this SDK", env::AWS_RETRY_MODE),
        )
        .hint(format!("set it to `standard` or `adaptive`, or unset {}", env::AWS_RETRY_MODE))),
        _ => Ok(()),
    }
}

/// A local server that is not there will not be there 50 ms later.
#[derive(Debug)]
pub struct RefusedConnectionsAreFinal;

impl ClassifyRetry for RefusedConnectionsAreFinal {
    fn classify_retry(&self, ctx: &InterceptorContext) -> RetryAction {
        let refused = ctx
            .output_or_error()
            .and_then(Result::err)
            .and_then(|error| error.as_connector_error())
            .and_then(|error| root(error).downcast_ref::<io::Error>())
            .is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
        if refused { RetryAction::RetryForbidden } else { RetryAction::NoActionIndicated }
    }

    fn name(&self) -> &'static str {
        "refused connections are final"
    }

    fn priority(&self) -> RetryClassifierPriority {
        RetryClassifierPriority::run_after(RetryClassifierPriority::transient_error_classifier())
    }
}
