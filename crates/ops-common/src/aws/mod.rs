//! What the clients of all AWS services share: their configuration, the trace
//! of `-v`, and the SDK's errors in words.

pub mod account;
pub mod answers;
pub mod page_tokens;

use std::error::Error as StdError;
use std::io;
use std::time::{Duration, Instant};

use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::{
    ConfigBag, Credentials, Intercept, RuntimeComponents, SharedCredentialsProvider,
    SharedHttpClient,
};
use aws_sdk_dynamodb::error::{BoxError, ProvideErrorMetadata, SdkError};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls;
use aws_smithy_http_client::{Builder as HttpClientBuilder, Connector};
use aws_smithy_runtime_api::client::http::{
    HttpConnectorSettings, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeTransmitInterceptorContextRef, FinalizerInterceptorContextRef, InterceptorContext,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::retries::classifiers::{
    ClassifyRetry, RetryAction, RetryClassifierPriority,
};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::{Storable, StoreReplace};
use aws_types::service_config::ServiceConfigKey;

use crate::env;
use crate::error::Error;
use crate::target::dns::is_this_machine;
use crate::target::{Endpoint, LocalHosts};
use crate::ui::Ui;

const NO_ANSWER: &str = "no answer in time";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The region of services on this machine, which have none.
pub const LOCAL_REGION: &str = "us-east-1";

/// The configuration of a service on this machine, built by hand: dummy
/// credentials, no profile, no proxy, so that nothing real can leave it.
#[must_use]
pub fn local_config(endpoint: &Endpoint, region: String) -> SdkConfig {
    let http_client = if endpoint.as_str().starts_with("https:") {
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
    refuse_sts_on_this_machine().await?;
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

/// A client that reads proxy variables only where told to, with one TLS library.
fn https_client(proxy: ProxyConfig) -> SharedHttpClient {
    let answer = env::timeout();
    let settings = HttpConnectorSettings::builder()
        .connect_timeout(CONNECT_TIMEOUT.min(answer))
        .read_timeout(answer)
        .build();
    let connector = Connector::builder()
        .connector_settings(settings)
        .sleep_impl(aws_smithy_async_sleep())
        .proxy_config(proxy)
        .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring))
        .build();
    let connector = SharedHttpConnector::new(connector);
    http_client_fn(move |_, _| connector.clone())
}

fn aws_smithy_async_sleep() -> aws_sdk_dynamodb::config::SharedAsyncSleep {
    aws_sdk_dynamodb::config::SharedAsyncSleep::new(aws_smithy_async::rt::sleep::TokioSleep::new())
}

/// A role would be assumed at a stand-in, whose keys open nothing at AWS.
async fn refuse_sts_on_this_machine() -> Result<(), Error> {
    let variable = env::AWS_ENDPOINT_URL_STS;
    let Some(text) = env::var(variable) else { return Ok(()) };
    let endpoint = Endpoint::parse(&text, variable)?;
    let hosts = LocalHosts::new(env::var(env::OPS_LOCAL_HOSTS).as_deref());
    if !is_this_machine(&endpoint, &hosts).await {
        return Ok(());
    }
    Err(Error::new(format!(
        "this call is for AWS, and {variable} in the environment points STS at `{}`",
        endpoint.as_str()
    ))
    .hint(format!("take it out for this call: `env -u {variable} …`")))
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

/// A service, as its errors speak of it.
#[derive(Debug, Clone)]
pub struct Service {
    /// `DynamoDB`
    pub name: &'static str,
    /// none: AWS's own for the region
    pub endpoint: Option<Endpoint>,
    /// where the endpoint can be named: a flag or a variable
    pub endpoint_setting: &'static str,
    /// the command that starts a container of it
    pub container: &'static str,
    /// the region that requests are signed for
    pub region: String,
    /// whether it is on this machine, where no account's credentials are used
    pub local: bool,
}

impl Service {
    /// Where it is, as a tool announces it.
    #[must_use]
    pub fn place(&self) -> String {
        match &self.endpoint {
            Some(endpoint) => format!("endpoint {}  region {}", endpoint.as_str(), self.region),
            None => format!("region {}", self.region),
        }
    }

    /// The error of a call that was to do `doing` ("list the tables").
    pub fn error<E>(&self, doing: &str, error: &SdkError<E>) -> Error
    where
        E: ProvideErrorMetadata + StdError + 'static,
    {
        match error {
            SdkError::ServiceError(service) if service.err().code().is_none() => {
                self.something_else(doing).cause(root(error))
            }
            SdkError::ServiceError(service) => service_error(doing, service.err()),
            SdkError::TimeoutError(_) => self.unreachable(NO_ANSWER),
            SdkError::DispatchFailure(failure) => {
                let Some(connector) = failure.as_connector_error() else {
                    return self.unreachable("");
                };
                let cause = root(connector).to_string();
                if cause.contains("connection closed") || cause.contains("connection reset") {
                    return self.unreachable(&cause);
                }
                // What is no connection's: credentials, mostly.
                if connector.is_other() {
                    return self.not_sent(doing, connector);
                }
                let cause = root(connector);
                let cause = match cause.downcast_ref::<io::Error>().map(io::Error::kind) {
                    Some(io::ErrorKind::ConnectionRefused) => "connection refused".to_owned(),
                    _ if connector.is_timeout() => NO_ANSWER.to_owned(),
                    _ => cause.to_string(),
                };
                if cause.contains("lookup address") {
                    let hint = match &self.endpoint {
                        Some(_) => "look at the endpoint's host name".to_owned(),
                        None => format!("is `{}` a region? and look at the network", self.region),
                    };
                    let error = format!("cannot reach {} at {}", self.name, self.endpoint_text());
                    return Error::new(error).cause(cause).hint(hint);
                }
                if cause.contains("certificate") {
                    return Error::new(format!(
                        "cannot trust {} at {}",
                        self.name,
                        self.endpoint_text()
                    ))
                    .cause(cause)
                    .hint("a proxy on the way, perhaps, whose certificate nobody vouches for here: SSL_CERT_FILE names a file of those that are trusted");
                }
                self.unreachable(&cause)
            }
            SdkError::ResponseError(_) => self.something_else(doing).cause(root(error)),
            _ => self.not_sent(doing, error),
        }
    }

    fn endpoint_text(&self) -> String {
        match &self.endpoint {
            Some(endpoint) => format!("`{}`", endpoint.as_str()),
            None => format!("AWS in {}", self.region),
        }
    }

    fn unreachable(&self, cause: &str) -> Error {
        let mut error =
            Error::new(format!("cannot reach {} at {}", self.name, self.endpoint_text()))
                .cause(cause);
        if cause == NO_ANSWER {
            error = error.hint(format!(
                "{} sets for how long an answer is waited for, now {} s",
                env::OPS_TIMEOUT_SECS,
                env::timeout().as_secs()
            ));
        }
        if self.local {
            error.hint(format!(
                "start it with `cargo run -p local-stack -- up` or `{}`, or name another endpoint with {}",
                self.container, self.endpoint_setting
            ))
        } else {
            error.hint("look at the network, the proxy variables and the region")
        }
    }

    /// The error of an answer that is not this service's.
    #[must_use]
    pub fn something_else(&self, doing: &str) -> Error {
        Error::new(format!(
            "cannot {doing}: what answers at {} is not {}",
            self.endpoint_text(),
            self.name
        ))
        .hint(format!("look at {}, and at what listens on that port", self.endpoint_setting))
    }

    /// A request that could not be built or signed: credentials, mostly.
    fn not_sent(&self, doing: &str, error: &(dyn StdError + 'static)) -> Error {
        let error = Error::new(format!("cannot {doing}")).cause(root(error));
        if self.local {
            return error;
        }
        error.hint(
            "sign in (`aws sso login`), name a profile with --profile or AWS_PROFILE, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        )
    }
}

fn service_error(doing: &str, error: &(impl ProvideErrorMetadata + StdError)) -> Error {
    let code = error.code().unwrap_or("unknown error");
    let cause = match error.message() {
        Some(message) if !message.is_empty() => format!("{code}: {message}"),
        _ => code.to_owned(),
    };
    let result = Error::new(format!("cannot {doing}")).cause(cause);
    match code {
        "AccessDeniedException" | "AccessDenied" | "NotAuthorizedException" => {
            result.hint("the credentials lack a permission; the cause names the action")
        }
        // Of the clock and of a wrong secret alike; the message tells which.
        "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "RequestExpired"
        | "RequestTimeTooSkewed"
            if ["expired", "not yet current", "too skewed", "too large"]
                .iter()
                .any(|word| error.message().is_some_and(|message| message.contains(word)))
                || code.starts_with("Request") =>
        {
            result.hint(
                "this machine's clock is off: compare `date -u` with the right time and set it",
            )
        }
        "UnrecognizedClientException"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "ExpiredTokenException"
        | "ExpiredToken"
        | "InvalidClientTokenId" => {
            result.hint("sign in again (`aws sso login`) or choose another profile with --profile")
        }
        "RegionDisabledException" => result.hint(
            "choose another region with --region or AWS_REGION, or let the account use this one",
        ),
        _ => result,
    }
}

/// The innermost source of an error: what the outer ones wrap.
pub(crate) fn root<'a>(error: &'a (dyn StdError + 'static)) -> &'a (dyn StdError + 'static) {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error
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

/// Shows each request of `-v`: operation, body, status, time. Never the headers,
/// which carry the signature.
#[derive(Debug)]
pub struct Trace(Ui);

impl Trace {
    /// The trace, where `-v` asks for it.
    #[must_use]
    pub fn wanted(ui: &Ui) -> Option<Self> {
        ui.is_verbose().then(|| Self(ui.clone()))
    }
}

#[derive(Debug)]
struct SentAt(Instant);

impl Storable for SentAt {
    type Storer = StoreReplace<Self>;
}

const TRACED_BODY_CHARS: usize = 400;

impl Intercept for Trace {
    fn name(&self) -> &'static str {
        "trace"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request();
        let target = request.headers().get("x-amz-target").unwrap_or("?");
        let operation = target.rsplit('.').next().unwrap_or(target);
        let body = String::from_utf8_lossy(request.body().bytes().unwrap_or_default());
        let mut shown: String = body.chars().take(TRACED_BODY_CHARS).collect();
        if shown.len() < body.len() {
            shown.push_str(&format!("… ({} bytes)", body.len()));
        }
        self.0.verbose(format_args!("> {operation} {shown}"));
        cfg.interceptor_state().store_put(SentAt(Instant::now()));
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let answer = match context.response() {
            Some(response) => response.status().as_u16().to_string(),
            None => "no answer".to_owned(),
        };
        let took = cfg.load::<SentAt>().map_or(0.0, |sent| sent.0.elapsed().as_secs_f64() * 1000.0);
        self.0.verbose(format_args!("< {answer} in {took:.1} ms"));
        Ok(())
    }
}
