//! From a target to a DynamoDB client, and from the SDK's errors to ours.

use std::error::Error as StdError;
use std::io;
use std::time::{Duration, Instant};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{
    ConfigBag, Credentials, Intercept, RuntimeComponents, SharedHttpClient,
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
use aws_smithy_runtime_api::client::retries::classifiers::{
    ClassifyRetry, RetryAction, RetryClassifierPriority,
};
use aws_smithy_types::config_bag::{Storable, StoreReplace};
use aws_types::service_config::ServiceConfigKey;

use crate::args::DynamoArgs;
use crate::env;
use crate::error::Error;
use crate::net::{refuse_public_address, resolves_to_loopback};
use crate::target::{
    Endpoint, EndpointSettings, LocalHosts, Target, dynamodb_endpoint, leads_here,
};
use crate::ui::Ui;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const READ_TIMEOUT: Duration = Duration::from_secs(30);
const LOCAL_REGION: &str = "us-east-1";

/// A DynamoDB client and where it leads.
#[derive(Debug, Clone)]
pub struct Dynamo {
    client: Client,
    target: Target,
    /// none: AWS's own for the region
    endpoint: Option<Endpoint>,
    region: String,
}

impl Dynamo {
    /// The client of `target`, by the flags and the environment.
    ///
    /// In `local` it is built by hand: dummy credentials, no profile, no proxy,
    /// so that nothing real can leave the machine. In `prod` it is the SDK's
    /// default chain.
    ///
    /// # Errors
    /// Before any request: an endpoint that the target may not talk to, no
    /// region, settings that the SDK could not take.
    pub async fn connect(target: Target, args: &DynamoArgs, ui: &Ui) -> Result<Self, Error> {
        let settings = EndpointSettings {
            flag: args.endpoint_url.clone(),
            service: env::var(env::AWS_ENDPOINT_URL_DYNAMODB),
            generic: env::var(env::AWS_ENDPOINT_URL),
        };
        let hosts = LocalHosts::new(env::var(env::OPS_LOCAL_HOSTS).as_deref());
        let endpoint = dynamodb_endpoint(target, &settings, &hosts)?;
        match target {
            Target::Local => Self::connect_local(endpoint, args, ui).await,
            Target::Prod => Self::connect_prod(endpoint, &hosts, args, ui).await,
        }
    }

    async fn connect_local(
        endpoint: Option<Endpoint>,
        args: &DynamoArgs,
        ui: &Ui,
    ) -> Result<Self, Error> {
        if args.profile.is_some() {
            return Err(Error::usage("--profile has no meaning in `local`, which uses no account")
                .hint("for a real account say `prod`"));
        }
        let endpoint = endpoint.ok_or_else(|| Error::new("`local` has no endpoint"))?;
        refuse_public_address(&endpoint.host(), endpoint.port(), endpoint.as_str()).await?;
        let region = args
            .region
            .clone()
            .or_else(|| env::var(env::AWS_REGION))
            .or_else(|| env::var(env::AWS_DEFAULT_REGION))
            .unwrap_or_else(|| LOCAL_REGION.to_owned());
        let http_client = if endpoint.as_str().starts_with("https:") {
            https_client(ProxyConfig::disabled())
        } else {
            HttpClientBuilder::new().build_http()
        };
        // DynamoDB Local takes letters and digits only as an access key.
        let credentials = Credentials::new("local", "local", None, None, "cruddur-ops");
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region.clone()))
            .credentials_provider(credentials)
            .endpoint_url(endpoint.as_str())
            .http_client(http_client)
            .timeout_config(timeouts())
            .retry_config(RetryConfig::standard())
            .retry_classifier(RefusedConnectionsAreFinal);
        Ok(Self {
            client: Client::from_conf(with_trace(config, ui).build()),
            target: Target::Local,
            endpoint: Some(endpoint),
            region,
        })
    }

    async fn connect_prod(
        endpoint: Option<Endpoint>,
        hosts: &LocalHosts,
        args: &DynamoArgs,
        ui: &Ui,
    ) -> Result<Self, Error> {
        check_retry_mode()?;
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(https_client(ProxyConfig::from_env()))
            .timeout_config(timeouts())
            .retry_config(RetryConfig::standard());
        // The SDK takes an empty variable for a region.
        let region = args
            .region
            .clone()
            .or_else(|| env::var(env::AWS_REGION))
            .or_else(|| env::var(env::AWS_DEFAULT_REGION));
        if let Some(region) = region {
            loader = loader.region(Region::new(region));
        }
        if let Some(profile) = &args.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(endpoint) = &endpoint {
            loader = loader.endpoint_url(endpoint.as_str());
        }
        let shared = loader.load().await;
        let from_profile = profile_endpoint(&shared)?;
        let announced = args.endpoint_url.is_some();
        let endpoint = endpoint.or(from_profile);
        if let Some(endpoint) = endpoint.as_ref().filter(|_| !announced) {
            refuse_this_machine(endpoint, hosts).await?;
        }
        let region = shared.region().map(ToString::to_string).filter(|region| !region.is_empty());
        let region = region.ok_or_else(|| {
            Error::new("no AWS region is set")
                .hint("name it with --region, AWS_REGION, or `region` in the profile")
        })?;
        let mut config = aws_sdk_dynamodb::config::Builder::from(&shared);
        // An empty variable would be an endpoint to the SDK.
        config.set_endpoint_url(endpoint.as_ref().map(|endpoint| endpoint.as_str().to_owned()));
        Ok(Self {
            client: Client::from_conf(with_trace(config, ui).build()),
            target: Target::Prod,
            endpoint,
            region,
        })
    }

    /// The SDK's client.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The target that the client leads to.
    #[must_use]
    pub fn target(&self) -> Target {
        self.target
    }

    /// Where the client acts, in one line: target, endpoint, region.
    #[must_use]
    pub fn place(&self) -> String {
        let Self { target, region, .. } = self;
        match &self.endpoint {
            Some(endpoint) => {
                format!("target: {target}  endpoint {}  region {region}", endpoint.as_str())
            }
            None => format!("target: {target}  region {region}"),
        }
    }

    /// The error of a call that was to do `doing` ("list the tables").
    pub fn error<E>(&self, doing: &str, error: &SdkError<E>) -> Error
    where
        E: ProvideErrorMetadata + StdError + 'static,
    {
        match error {
            SdkError::ServiceError(service) if service.err().code().is_none() => {
                self.not_dynamodb(doing).cause(root(error))
            }
            SdkError::ServiceError(service) => self.service_error(doing, service.err()),
            SdkError::TimeoutError(_) => self.unreachable().cause("no answer in time"),
            SdkError::DispatchFailure(failure) => {
                let Some(connector) = failure.as_connector_error() else {
                    return self.unreachable();
                };
                if connector.is_other() {
                    return self.not_sent(doing, connector);
                }
                let cause = root(connector);
                let cause = match cause.downcast_ref::<io::Error>().map(io::Error::kind) {
                    Some(io::ErrorKind::ConnectionRefused) => "connection refused".to_owned(),
                    _ if connector.is_timeout() => "no answer in time".to_owned(),
                    _ => cause.to_string(),
                };
                if cause.contains("lookup address") {
                    return Error::new(format!(
                        "cannot reach DynamoDB at {}",
                        self.endpoint_text()
                    ))
                    .cause(cause)
                    .hint("look at the endpoint's host name");
                }
                self.unreachable().cause(cause)
            }
            SdkError::ResponseError(_) => self.not_dynamodb(doing).cause(root(error)),
            _ => self.not_sent(doing, error),
        }
    }

    fn endpoint_text(&self) -> String {
        match &self.endpoint {
            Some(endpoint) => format!("`{}`", endpoint.as_str()),
            None => format!("AWS in {}", self.region),
        }
    }

    fn unreachable(&self) -> Error {
        self.unreachable_but(format!("cannot reach DynamoDB at {}", self.endpoint_text()))
    }

    fn not_dynamodb(&self, doing: &str) -> Error {
        Error::new(format!(
            "cannot {doing}: what answers at {} is not DynamoDB",
            self.endpoint_text()
        ))
        .hint("look at --endpoint-url, and at what listens on that port")
    }

    fn unreachable_but(&self, message: String) -> Error {
        let error = Error::new(message);
        match self.target {
            Target::Local => error.hint(
                "start it with `cargo run -p local-stack -- up` or `docker compose up -d`, or name another endpoint with --endpoint-url",
            ),
            Target::Prod => error.hint("look at the network, the proxy variables and --region"),
        }
    }

    /// A request that could not be built or signed: credentials, mostly.
    fn not_sent(&self, doing: &str, error: &(dyn StdError + 'static)) -> Error {
        let error = Error::new(format!("cannot {doing}")).cause(root(error));
        match self.target {
            Target::Local => error,
            Target::Prod => error.hint(
                "sign in (`aws sso login`), name a profile with --profile, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            ),
        }
    }

    fn service_error(&self, doing: &str, error: &(impl ProvideErrorMetadata + StdError)) -> Error {
        let code = error.code().unwrap_or("unknown error");
        let cause = match error.message() {
            Some(message) if !message.is_empty() => format!("{code}: {message}"),
            _ => code.to_owned(),
        };
        let result = Error::new(format!("cannot {doing}")).cause(cause);
        match code {
            "ValidationException" => result.hint(
                "DynamoDB does not take the request as it is; a table's name has 3 to 255 letters, digits, `_`, `-` or `.`",
            ),
            "AccessDeniedException" => {
                result.hint("the credentials lack a permission; the cause names the action")
            }
            "UnrecognizedClientException"
            | "InvalidSignatureException"
            | "ExpiredTokenException"
            | "InvalidClientTokenId" => result
                .hint("sign in again (`aws sso login`) or choose another profile with --profile"),
            "ThrottlingException"
            | "ProvisionedThroughputExceededException"
            | "RequestLimitExceeded" => {
                result.hint("the table is busy: try again later, or raise its capacity")
            }
            _ => result,
        }
    }
}

/// The endpoint that the profile names, for DynamoDB or for every service. The
/// SDK would follow it without a word.
fn profile_endpoint(shared: &SdkConfig) -> Result<Option<Endpoint>, Error> {
    let key = ServiceConfigKey::builder()
        .service_id("DynamoDB")
        .env(env::AWS_ENDPOINT_URL)
        .profile("endpoint_url")
        .build()
        .map_err(|error| Error::new("cannot read the profile").cause(error))?;
    let of_service = shared.service_config().and_then(|config| config.load_config(key));
    let text = of_service.or_else(|| shared.endpoint_url().map(str::to_owned));
    text.filter(|text| !text.is_empty())
        .map(|text| Endpoint::parse(&text, "the profile's endpoint_url"))
        .transpose()
}

/// Refuses an endpoint that nobody named on the command line and that is this
/// machine's.
async fn refuse_this_machine(endpoint: &Endpoint, hosts: &LocalHosts) -> Result<(), Error> {
    let host = endpoint.host();
    if !leads_here(&host, hosts) && !resolves_to_loopback(&host, endpoint.port()).await {
        return Ok(());
    }
    Err(Error::new(format!(
        "`prod` means AWS, and the environment or the profile's endpoint_url is `{}`, which is this machine",
        endpoint.as_str()
    ))
    .hint("choose another profile with --profile, or take endpoint_url out of it")
    .hint("or name the endpoint that you mean with --endpoint-url"))
}

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).read_timeout(READ_TIMEOUT).build()
}

/// A client that reads proxy variables only where told to, with one TLS library.
fn https_client(proxy: ProxyConfig) -> SharedHttpClient {
    let settings = HttpConnectorSettings::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
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

fn root<'a>(error: &'a (dyn StdError + 'static)) -> &'a (dyn StdError + 'static) {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error
}

/// A local server that is not there will not be there 50 ms later.
#[derive(Debug)]
struct RefusedConnectionsAreFinal;

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

fn with_trace(
    config: aws_sdk_dynamodb::config::Builder,
    ui: &Ui,
) -> aws_sdk_dynamodb::config::Builder {
    if ui.is_verbose() { config.interceptor(Trace(ui.clone())) } else { config }
}

/// Shows each request of `-v`: operation, body, status, time. Never the headers,
/// which carry the signature.
#[derive(Debug)]
struct Trace(Ui);

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
