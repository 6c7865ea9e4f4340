//! The person who asks.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use ops_common::app::records::Person;

use crate::app::App;
use crate::reply::Failure;

/// Whoever the access token was given to, as the app knows them.
#[derive(Debug)]
pub(crate) struct SignedIn(pub(crate) Person);

impl FromRequestParts<Arc<App>> for SignedIn {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Failure> {
        let mut headers = parts.headers.get_all(AUTHORIZATION).iter();
        // Of two, a proxy in front may have looked at the other.
        let header = headers.next().filter(|_| headers.next().is_none());
        let header = header.and_then(|value| value.to_str().ok());
        let (scheme, token) = header.and_then(|header| header.split_once(' ')).unzip();
        // RFC 7235: the scheme is in any case.
        let is_bearer = scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("Bearer"));
        let token = token.filter(|_| is_bearer).ok_or_else(|| {
            Failure::Unauthorized("there is no token, or more than one".to_owned())
        })?;
        let sub = app.verifier.sub(token.trim()).await?;
        match app.people.by_sub(&sub).await? {
            Some(person) => Ok(Self(person)),
            // `check-identities` says why.
            None => Err(Failure::Invalid(vec!["cognito_user_id_blank"])),
        }
    }
}
