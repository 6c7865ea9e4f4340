//! A Cognito user pool and its users, from every page. For the other tools too.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use aws_sdk_cognitoidentityprovider::Client;
use aws_sdk_cognitoidentityprovider::config::retry::RetryConfig;
use aws_sdk_cognitoidentityprovider::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_cognitoidentityprovider::operation::list_users::ListUsersError;
use aws_sdk_cognitoidentityprovider::types::UserType;
use aws_types::SdkConfig;
use chrono::DateTime;
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use ops_common::app::keys::SortTime;
use ops_common::aws::account;
use ops_common::aws::answers::CheckAnswers;
use ops_common::aws::page_tokens::PageTokens;
use ops_common::aws::{self, RefusedConnectionsAreFinal, Service, Trace};
use ops_common::consent::{Caller, Kind, Permit};
use ops_common::env;
use ops_common::error::Error;
use ops_common::target::Target;
use ops_common::target::endpoint::AwsService;
use ops_common::target::resolve::{Route, resolve};
use ops_common::text::count;
use ops_common::ui::Ui;
use serde::Serialize;

/// ListUsers takes 0 to 60:
/// <https://docs.aws.amazon.com/cognito-user-identity-pools/latest/APIReference/API_ListUsers.html>.
/// An answer can be shorter, empty with a token, or longer where it is not AWS.
const PAGE: usize = 60;

/// ListUsers has a quota of some tens of requests a second, shared by the whole
/// account: a large pool meets it. With pauses that double from 0.2 s these
/// last for half a minute.
const ATTEMPTS: u32 = 8;
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// Which user pool.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Cognito")]
pub struct PoolArgs {
    /// User pool, like `us-east-1_AbCdEfGhI` [env: AWS_COGNITO_USER_POOL_ID]
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    pub user_pool_id: Option<String>,
}

impl PoolArgs {
    /// The flag, else the environment.
    #[must_use]
    pub fn id(&self) -> Option<String> {
        self.user_pool_id.clone().or_else(|| env::var(env::AWS_COGNITO_USER_POOL_ID))
    }
}

/// The pool of a tool that can do without.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Cognito")]
pub struct OptionalPoolArgs {
    /// Leave the pool out
    #[arg(long)]
    pub without_cognito: bool,

    #[command(flatten)]
    pool: PoolArgs,
}

impl OptionalPoolArgs {
    /// Connects to the pool and says where it is; none where it is left out.
    ///
    /// # Errors
    /// See [`UserPool::connect`].
    pub async fn connect(
        &self,
        profile: Option<&str>,
        target: Target,
        ui: &Ui,
    ) -> Result<Option<UserPool>, Error> {
        if self.without_cognito {
            return Ok(None);
        }
        let pool = UserPool::connect(&self.pool, profile, Some(target), ui).await?;
        pool.announce(ui);
        Ok(Some(pool))
    }
}

/// Whose credentials.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Cognito")]
pub struct ProfileArg {
    /// AWS profile that may list the pool [env: AWS_PROFILE]
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub profile: Option<String>,
}

/// A user pool that can be listed.
#[derive(Debug)]
pub struct UserPool {
    client: Client,
    id: String,
    service: Service,
    shared: SdkConfig,
}

/// A user of the pool.
#[derive(Debug, Clone, Serialize)]
pub struct User {
    /// what the user signs in with; often the `sub`
    pub username: String,
    /// the id that tokens carry, `users.cognito_user_id` in Postgres
    pub sub: String,
    /// `preferred_username`; none where it is missing or empty
    pub handle: Option<String>,
    /// `CONFIRMED`, `FORCE_CHANGE_PASSWORD`, …
    pub status: String,
    /// whether the user may sign in
    pub enabled: bool,
    /// RFC 3339
    pub created_at: Option<String>,
    /// RFC 3339
    pub modified_at: Option<String>,
    /// every attribute, by name
    pub attributes: BTreeMap<String, String>,
}

/// The users of a pool by handle: those that it leads to one of, and the others.
#[derive(Debug, Default)]
pub struct ByHandle<'a> {
    /// handle to `sub`, where one user has the handle
    pub subs: BTreeMap<&'a str, &'a str>,
    /// handle to `sub`s, where more than one have
    pub duplicates: BTreeMap<&'a str, Vec<&'a str>>,
    /// who has none
    pub without_handle: Vec<&'a User>,
}

impl<'a> ByHandle<'a> {
    /// Sorts users so.
    #[must_use]
    pub fn of(users: &'a [User]) -> Self {
        let mut all: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        let mut result = Self::default();
        // A pool that changes while it is listed can show a user on two pages.
        let mut seen = HashSet::new();
        for user in users.iter().filter(|user| seen.insert(&user.sub)) {
            match &user.handle {
                Some(handle) => all.entry(handle).or_default().push(&user.sub),
                None => result.without_handle.push(user),
            }
        }
        for (handle, subs) in all {
            match subs[..] {
                [sub] => _ = result.subs.insert(handle, sub),
                _ => _ = result.duplicates.insert(handle, subs),
            }
        }
        result
    }
}

impl UserPool {
    /// The pool that the flag or the environment names.
    ///
    /// Cognito is not switched by the target: the app uses the real pool in
    /// development too. The client follows the SDK's chain, and of the endpoint
    /// variables Cognito's own only. An endpoint on this machine gets dummy
    /// credentials, and `prod` refuses it. The region is the one in the pool's
    /// id, which is nowhere else.
    ///
    /// # Errors
    /// Before any request: no pool named, an endpoint that `target` may not talk
    /// to, no region, settings that the SDK could not take.
    pub async fn connect(
        args: &PoolArgs,
        profile: Option<&str>,
        target: Option<Target>,
        ui: &Ui,
    ) -> Result<Self, Error> {
        let id = args.id().ok_or_else(not_named)?;
        let cognito = AwsService::Cognito;
        let region = region_of_pool(&id).map(str::to_owned);
        let (config, region, endpoint, local) =
            match resolve(cognito, target, None, env::var).await? {
                Route::Local(endpoint) => {
                    let region = region.unwrap_or_else(|| aws::LOCAL_REGION.to_owned());
                    (aws::local_config(&endpoint, region.clone()), region, Some(endpoint), true)
                }
                Route::Account(endpoint) => {
                    refuse_to_sign_in_elsewhere()?;
                    let config =
                        aws::account_config(region.as_deref(), profile, endpoint.as_ref()).await?;
                    let region = aws::region_of(&config).map_err(|_| no_region(&id))?;
                    (config, region, endpoint, false)
                }
            };
        let service = Service {
            name: cognito.name(),
            local,
            endpoint,
            endpoint_setting: cognito.variable(),
            container: "docker compose --profile cognito up -d",
            region,
        };
        let retries =
            RetryConfig::standard().with_max_attempts(ATTEMPTS).with_initial_backoff(FIRST_PAUSE);
        let shared = config;
        let mut config = aws_sdk_cognitoidentityprovider::config::Builder::from(&shared)
            .retry_config(retries)
            .retry_classifier(RefusedConnectionsAreFinal)
            .interceptor(CheckAnswers);
        // Whatever AWS_ENDPOINT_URL and the profile say.
        config.set_endpoint_url(service.endpoint.as_ref().map(|e| e.as_str().to_owned()));
        if let Some(trace) = Trace::wanted(ui) {
            config = config.interceptor(trace);
        }
        Ok(Self { client: Client::from_conf(config.build()), id, service, shared })
    }

    /// Whose account it is. To be asked before its ids go into production.
    ///
    /// # Errors
    /// See [`account::identify`].
    pub async fn caller(&self, ui: &Ui) -> Result<Caller, Error> {
        account::identify(&self.shared, &self.service.region, ui).await
    }

    /// Deletes a user, with leave to do so.
    ///
    /// # Errors
    /// Where the permit is for something else, or Cognito refuses.
    pub async fn delete_user(
        &self,
        target: Target,
        username: &str,
        permit: &Permit,
    ) -> Result<(), Error> {
        permit.covers(target, Kind::UserPool, &self.id)?;
        let delete = self.client.admin_delete_user();
        let sent = delete.user_pool_id(&self.id).username(username).send().await;
        match sent {
            Ok(_) => Ok(()),
            Err(error)
                if error.as_service_error().is_some_and(|e| e.is_user_not_found_exception()) =>
            {
                Ok(())
            }
            Err(error) => Err(self
                .service
                .error("delete the user of the pool", &error)
                .hint("it takes `cognito-idp:AdminDeleteUser` on the pool")),
        }
    }

    /// The pool's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Says where it is.
    pub fn announce(&self, ui: &Ui) {
        let target = if self.service.local { Target::Local } else { Target::Prod };
        ui.announce(target, format_args!("user pool {}  {}", self.id, self.service.place()));
    }

    /// All its users.
    ///
    /// # Errors
    /// Where one of the pages cannot be had: never a part for the whole.
    pub async fn users(&self, ui: &Ui) -> Result<Vec<User>, Error> {
        let mut users = Vec::new();
        let mut listing = self.list(None, ui);
        while let Some(page) = listing.next(PAGE).await? {
            users.extend(page);
        }
        Ok(users)
    }

    /// Its users page by page, those that `filter` lets through.
    pub fn list(&self, filter: Option<&str>, ui: &Ui) -> Listing<'_> {
        Listing {
            pool: self,
            filter: filter.map(str::to_owned),
            next: Next::First,
            tokens: PageTokens::default(),
            listed: 0,
            progress: ui.progress("listing the pool"),
        }
    }

    fn error(&self, listing: &Listing<'_>, error: &SdkError<ListUsersError>) -> Error {
        let result = self.service.error("list the users of the pool", error);
        let Some(code) = error.as_service_error().and_then(ProvideErrorMetadata::code) else {
            return result;
        };
        match (code, &listing.filter, &listing.next) {
            ("ResourceNotFoundException", ..) if self.service.local => Error::new(format!(
                "there is no user pool `{}` at this machine's Cognito",
                self.id
            ))
            .hint(format!(
                "look at --user-pool-id or {}; `local-stack up` prints the id of its pool",
                env::AWS_COGNITO_USER_POOL_ID
            )),
            ("ResourceNotFoundException", ..) => Error::new(format!(
                "there is no user pool `{}` in {} of this account",
                self.id, self.service.region
            ))
            .hint(format!(
                "`aws cognito-idp list-user-pools --max-results 60 --region {}` shows the ids",
                self.service.region
            ))
            .hint("another account: choose its profile with --profile or AWS_PROFILE"),
            ("AccessDeniedException" | "NotAuthorizedException", ..) => {
                result.hint("listing takes `cognito-idp:ListUsers` on the pool")
            }
            ("InvalidParameterException", _, Next::Token(_)) => result
                .cause(format!("after {} the pool's token for the next page is no longer good", count(listing.listed, "user")))
                .hint("run it again: it starts with the first page"),
            ("InvalidParameterException", Some(filter), Next::First) => result
                .cause(format!("the filter is `{filter}`"))
                .hint("a filter is one attribute, `=` or `^=` (starts with), and a text in double quotes: --filter 'email ^= \"a\"'"),
            ("TooManyRequestsException" | "ThrottlingException", ..) => result
                .cause(format!("still throttled after {ATTEMPTS} attempts"))
                .hint("the account's quota for reading users is used up: try again in a minute"),
            _ => result,
        }
    }
}

#[derive(Debug)]
enum Next {
    First,
    Token(String),
    None,
}

/// A listing under way.
#[derive(Debug)]
pub struct Listing<'a> {
    pool: &'a UserPool,
    filter: Option<String>,
    next: Next,
    tokens: PageTokens<String>,
    listed: usize,
    progress: ops_common::ui::Progress,
}

impl Listing<'_> {
    /// The next page, of about `wanted` users at the most; `None` after the
    /// last. Only the token says which that is: a page can be empty and not the
    /// last. AttributesToGet is not sent: it fails where a user lacks one.
    ///
    /// # Errors
    /// Each failure of the service with its own hint.
    pub async fn next(&mut self, wanted: usize) -> Result<Option<Vec<User>>, Error> {
        let token = match &self.next {
            Next::First => None,
            Next::Token(token) => Some(token.clone()),
            Next::None => return Ok(None),
        };
        let request = self
            .pool
            .client
            .list_users()
            .user_pool_id(&self.pool.id)
            .set_filter(self.filter.clone())
            .limit(i32::try_from(wanted.min(PAGE)).unwrap_or_default())
            .set_pagination_token(token);
        let page = request.send().await.map_err(|error| self.pool.error(self, &error))?;
        if let Some(token) = &page.pagination_token {
            self.tokens.next(token).map_err(|error| {
                self.pool.service.something_else("list the users of the pool").cause(error)
            })?;
        }
        self.next = page.pagination_token.map_or(Next::None, Next::Token);
        let users: Vec<User> =
            page.users.unwrap_or_default().into_iter().map(user).collect::<Result<_, _>>()?;
        self.listed += users.len();
        self.progress.say(format_args!("listing the pool: {}", count(self.listed, "user")));
        Ok(Some(users))
    }
}

fn user(user: UserType) -> Result<User, Error> {
    let time = |time: Option<aws_sdk_cognitoidentityprovider::primitives::DateTime>| {
        let time = time?;
        let time = DateTime::from_timestamp(time.secs(), time.subsec_nanos())?;
        Some(SortTime::new(time).to_string())
    };
    let attributes: BTreeMap<String, String> = user
        .attributes
        .unwrap_or_default()
        .into_iter()
        .map(|attribute| (attribute.name, attribute.value.unwrap_or_default()))
        .collect();
    let username = user.username.unwrap_or_default();
    let sub = attributes.get("sub").cloned().ok_or_else(|| {
        Error::new(format!("the pool's user `{username}` has no attribute `sub`"))
            .hint("every user of Cognito has one: what answers is perhaps not Cognito")
    })?;
    Ok(User {
        sub,
        handle: attributes.get("preferred_username").filter(|handle| !handle.is_empty()).cloned(),
        status: user.user_status.map_or_else(|| "?".to_owned(), |status| status.to_string()),
        enabled: user.enabled,
        created_at: time(user.user_create_date),
        modified_at: time(user.user_last_modified_date),
        username,
        attributes,
    })
}

/// The SDK's own sign-in (SSO, roles) follows AWS_ENDPOINT_URL, which in this app
/// leads to DynamoDB: a token would go there.
fn refuse_to_sign_in_elsewhere() -> Result<(), Error> {
    let variable = env::AWS_ENDPOINT_URL;
    if env::var(variable).is_none() || env::var(env::AWS_ACCESS_KEY_ID).is_some() {
        return Ok(());
    }
    Err(Error::new(format!(
        "{variable} in the environment means DynamoDB in this app, and the AWS SDK would sign in there"
    ))
    .hint(format!("remove it for this call: `env -u {variable} …`"))
    .hint("in containers name DynamoDB with AWS_ENDPOINT_URL_DYNAMODB in its place"))
}

/// The region that a pool's id begins with: `us-east-1` of `us-east-1_AbC`.
#[must_use]
pub fn region_of_pool(id: &str) -> Option<&str> {
    let (region, _) = id.split_once('_')?;
    let parts: Vec<&str> = region.split('-').collect();
    let letters = |part: &&str| !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase());
    match parts.as_slice() {
        [area, middle @ .., number]
            if area.len() == 2
                && letters(area)
                && !middle.is_empty()
                && middle.iter().all(letters)
                && !number.is_empty()
                && number.chars().all(|c| c.is_ascii_digit()) =>
        {
            Some(region)
        }
        _ => None,
    }
}

fn not_named() -> Error {
    Error::new("no Cognito user pool is named")
        .hint(format!("name it with --user-pool-id or {}", env::AWS_COGNITO_USER_POOL_ID))
        .hint("the id is on the pool's page in the AWS console, and in `aws cognito-idp list-user-pools --max-results 60`")
        .hint("`cargo run -p local-stack -- up` starts a pool on this machine and prints its id")
}

fn no_region(id: &str) -> Error {
    Error::new(format!("the pool's id `{id}` begins with no AWS region, and none is set"))
        .hint("a pool's id looks like `us-east-1_AbCdEfGhI`")
        .hint("or name the region with AWS_REGION, or with `region` in the profile")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_region_is_in_the_id() {
        for (id, region) in [
            ("us-east-1_AbC", Some("us-east-1")),
            ("us-gov-west-1_AbC", Some("us-gov-west-1")),
            ("ca-central-1_a_b", Some("ca-central-1")),
            ("local_4fXyZ", None),
            ("us-east-1", None),
            ("", None),
            ("US-EAST-1_x", None),
        ] {
            assert_eq!(region_of_pool(id), region, "{id}");
        }
    }
}
