//! The public keys of a user pool, which sign its tokens: fetched once, kept, and fetched
//! again where a token names one that is not among them.

use std::collections::HashMap;
use std::time::Duration;

use cognito_list_users::pool::region_of_pool;
use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::JwkSet;
use ops_common::aws;
use ops_common::env;
use ops_common::error::Error;
use ops_common::target::Target;
use ops_common::target::endpoint::AwsService;
use ops_common::target::resolve::{Route, resolve};
use tokio::sync::{Mutex, RwLock};
use tokio::time::Instant;

/// As in AWS's own verifier: an unknown key is asked for again after so long.
const PAUSE: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(3);

/// Why a key cannot be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoKey {
    /// the pool has none of this name
    Unknown,
    /// the pool's keys cannot be fetched
    Unreachable(String),
}

/// The keys of one pool.
pub(crate) struct Keys {
    url: String,
    is_local: bool,
    known: RwLock<HashMap<String, DecodingKey>>,
    /// when they were fetched last, and how that went
    fetched: Mutex<Option<(Instant, Result<(), String>)>>,
    /// where browsers sign in
    sign_in_url: String,
    /// who the pool's tokens say they are from: AWS, also where the pool is an emulator's
    issuer: String,
}

impl Keys {
    /// The keys of `pool`. `prod` takes AWS's own address and no other: the keys of an
    /// emulator are public, and whoever has them can sign for anybody.
    ///
    /// # Errors
    /// Where the pool's id names no region, or an endpoint is not the target's.
    pub(crate) async fn of(pool: &str, target: Target) -> Result<Self, Error> {
        let region = region_of_pool(pool).ok_or_else(|| {
            Error::new(format!("the pool's id `{pool}` begins with no AWS region"))
                .hint("a pool's id looks like `us-east-1_AbCdEfGhI`")
        })?;
        let of_aws = format!("https://cognito-idp.{region}.amazonaws.com");
        let issuer = format!("{of_aws}/{pool}");
        let (base, is_local) =
            match resolve(AwsService::Cognito, Some(target), None, env::var).await? {
                Route::Local(endpoint) => (endpoint.as_str().to_owned(), true),
                Route::Account(_) => (of_aws, false),
            };
        Ok(Self {
            url: format!("{base}/{pool}/.well-known/jwks.json"),
            is_local,
            known: RwLock::default(),
            fetched: Mutex::default(),
            sign_in_url: base,
            issuer,
        })
    }

    /// Where browsers sign in: the pool's endpoint.
    pub(crate) fn sign_in_url(&self) -> &str {
        &self.sign_in_url
    }

    /// The `iss` of the pool's tokens.
    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The key of this name.
    pub(crate) async fn get(&self, kid: &str) -> Result<DecodingKey, NoKey> {
        if let Some(key) = self.known.read().await.get(kid) {
            return Ok(key.clone());
        }
        // One fetches, the others wait for what comes of it.
        let mut fetched = self.fetched.lock().await;
        if let Some(key) = self.known.read().await.get(kid) {
            return Ok(key.clone());
        }
        let outcome = match &*fetched {
            Some((at, outcome)) if at.elapsed() < PAUSE => outcome.clone(),
            _ => {
                let outcome = self.fetch().await;
                *fetched = Some((Instant::now(), outcome.clone()));
                outcome
            }
        };
        outcome.map_err(NoKey::Unreachable)?;
        self.known.read().await.get(kid).cloned().ok_or(NoKey::Unknown)
    }

    /// Whether they can be had.
    pub(crate) async fn are_there(&self) -> Result<(), String> {
        if !self.known.read().await.is_empty() {
            return Ok(());
        }
        match self.get("").await {
            Ok(_) | Err(NoKey::Unknown) => Ok(()),
            Err(NoKey::Unreachable(why)) => Err(why),
        }
    }

    async fn fetch(&self) -> Result<(), String> {
        let body = aws::get(&self.url, self.is_local, TIMEOUT).await;
        let body = body.map_err(|error| error.to_string())?;
        let set: JwkSet = serde_json::from_slice(&body)
            .map_err(|error| format!("what `{}` answers is no set of keys: {error}", self.url))?;
        let keys = set
            .keys
            .iter()
            .filter_map(|key| Some((key.common.key_id.clone()?, DecodingKey::from_jwk(key).ok()?)));
        *self.known.write().await = keys.collect();
        Ok(())
    }
}
