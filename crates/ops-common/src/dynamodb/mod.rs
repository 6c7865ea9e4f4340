//! From a target to a DynamoDB client, and from the SDK's errors to ours.

pub mod batch;
pub mod capacity;
pub mod filter;
pub mod format;
pub mod item;
pub mod key;
pub mod poll;
pub mod retry;
pub mod s3;
pub mod scan;
pub mod selection;
pub mod statements;
pub mod table;
pub mod typed_key;

use std::error::Error as StdError;

use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

use crate::args::DynamoArgs;
use crate::aws::account;
use crate::aws::answers::CheckAnswers;
use crate::aws::{self, RefusedConnectionsAreFinal, Service, Trace};
use crate::consent::Caller;
use crate::dynamodb::retry::is_throttling;
use crate::env;
use crate::error::Error;
use crate::target::Target;
use crate::target::endpoint::{AwsService, Endpoint, Origin};
use crate::target::hosts::LocalHosts;
use crate::target::resolve::{Route, refuse_leftover, resolve};
use crate::ui::Ui;

/// A DynamoDB client and where it leads.
#[derive(Debug, Clone)]
pub struct Dynamo {
    client: Client,
    target: Target,
    service: Service,
    shared: SdkConfig,
    profile: Option<String>,
}

impl Dynamo {
    /// The client of `target`, by the flags and the environment.
    ///
    /// In `local` it is built by hand, so that nothing real can leave the
    /// machine. In `prod` it is the SDK's default chain.
    ///
    /// # Errors
    /// Before any request: an endpoint that the target may not talk to, no
    /// region, settings that the SDK could not take.
    pub async fn connect(target: Target, args: &DynamoArgs, ui: &Ui) -> Result<Self, Error> {
        let flag = args.endpoint_url.as_deref();
        match resolve(AwsService::DynamoDb, Some(target), flag, env::var).await? {
            Route::Local(endpoint) => Self::connect_local(endpoint, args, ui),
            Route::Account(endpoint) => Self::connect_prod(endpoint, args, ui).await,
        }
    }

    fn connect_local(endpoint: Endpoint, args: &DynamoArgs, ui: &Ui) -> Result<Self, Error> {
        if args.profile.is_some() {
            return Err(Error::usage("--profile has no meaning in `local`, which uses no account")
                .hint("for a real account say `prod`"));
        }
        let region = args
            .region
            .clone()
            .or_else(aws::region_of_environment)
            .unwrap_or_else(|| aws::LOCAL_REGION.to_owned());
        let config = aws::local_config(&endpoint, region.clone());
        Ok(Self::new(Target::Local, &config, Some(endpoint), region, ui))
    }

    async fn connect_prod(
        endpoint: Option<Endpoint>,
        args: &DynamoArgs,
        ui: &Ui,
    ) -> Result<Self, Error> {
        let (region, profile) = (args.region.as_deref(), args.profile.as_deref());
        let config = aws::account_config(region, profile, endpoint.as_ref()).await?;
        let endpoint = match endpoint {
            Some(endpoint) => Some(endpoint),
            None => profile_endpoint(&config).await?,
        };
        let region = aws::region_of(&config)?;
        let db = Self::new(Target::Prod, &config, endpoint, region, ui);
        Ok(Self { profile: args.profile.clone(), ..db })
    }

    fn new(
        target: Target,
        shared: &SdkConfig,
        endpoint: Option<Endpoint>,
        region: String,
        ui: &Ui,
    ) -> Self {
        let mut config = aws_sdk_dynamodb::config::Builder::from(shared);
        // An empty variable would be an endpoint to the SDK.
        config.set_endpoint_url(endpoint.as_ref().map(|endpoint| endpoint.as_str().to_owned()));
        config = config.interceptor(CheckAnswers);
        if target == Target::Local {
            config = config.retry_classifier(RefusedConnectionsAreFinal);
        }
        if let Some(trace) = Trace::wanted(ui) {
            config = config.interceptor(trace);
        }
        let service = Service {
            name: AwsService::DynamoDb.name(),
            endpoint,
            endpoint_setting: "--endpoint-url",
            container: "docker compose up -d",
            region,
            local: target == Target::Local,
        };
        let client = Client::from_conf(config.build());
        Self { client, target, service, shared: shared.clone(), profile: None }
    }

    /// Who would change something here. To be asked before a write.
    ///
    /// # Errors
    /// See [`account::identify`].
    pub async fn caller(&self, ui: &Ui) -> Result<Caller, Error> {
        match self.target {
            Target::Local => Ok(Caller::NoAccount),
            Target::Prod => account::identify(&self.shared, &self.service.region, ui).await,
        }
    }

    /// The SDK's client.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// A client that sends each request once: for callers that decide themselves
    /// what is worth another attempt.
    #[must_use]
    pub fn client_without_retries(&self) -> Client {
        let config = self.client.config().to_builder().retry_config(RetryConfig::disabled());
        Client::from_conf(config.build())
    }

    /// The target that the client leads to.
    #[must_use]
    pub fn target(&self) -> Target {
        self.target
    }

    /// Where the client acts, in one line: target, endpoint, region.
    #[must_use]
    pub fn place(&self) -> String {
        format!("{}  {}", self.target.label(), self.service.place())
    }

    /// The region that it acts in.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.service.region
    }

    /// What a call of the AWS CLI has to say so that it acts in the same place.
    #[must_use]
    pub fn aws_cli_options(&self) -> String {
        let endpoint = self.service.endpoint.as_ref().map(Endpoint::as_str);
        let option = |name: &str, value: Option<&str>| {
            value.map_or(String::new(), |value| format!(" --{name} {value}"))
        };
        option("region", Some(&self.service.region))
            + &option("endpoint-url", endpoint)
            + &option("profile", self.profile.as_deref())
    }

    /// The error of an answer to `doing` that no DynamoDB gives.
    #[must_use]
    pub fn unlikely(&self, doing: &str, why: &dyn std::fmt::Display) -> Error {
        self.service.something_else(doing).cause(why)
    }

    /// The error of a call that was to do `doing` ("list the tables").
    pub fn error<E>(&self, doing: &str, error: &SdkError<E>) -> Error
    where
        E: ProvideErrorMetadata + StdError + 'static,
    {
        let result = self.service.error(doing, error);
        match error.as_service_error().and_then(ProvideErrorMetadata::code) {
            Some("ValidationException") if result.to_string().to_lowercase().contains("tablename") => result.hint(
                "DynamoDB does not take the request as it is; a table's name has 3 to 255 letters, digits, `_`, `-` or `.`",
            ),
            Some(code) if is_throttling(code) => {
                result.hint("the table is busy: try again later, or raise its capacity")
            }
            _ => result,
        }
    }
}

/// The endpoint that the profile names, for DynamoDB or for every service. The
/// SDK would follow it without a word.
async fn profile_endpoint(shared: &SdkConfig) -> Result<Option<Endpoint>, Error> {
    let of_service = aws::endpoint_of_service(shared, "DynamoDB")?;
    let text = of_service.or_else(|| shared.endpoint_url().map(str::to_owned));
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    let endpoint = Endpoint::parse(&text, Origin::Profile)?;
    refuse_leftover(AwsService::DynamoDb, &endpoint, Origin::Profile, &LocalHosts::from_env())
        .await?;
    Ok(Some(endpoint))
}
