//! Who asks: the access token of a request, verified as AWS's own verifier does.
//! <https://docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-tokens-verifying-a-jwt.html>
//!
//! Nobody is asked about it: a token is good until it expires, also where its owner has
//! signed out meanwhile.

use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::signature::{Error as SignatureError, Verifier as VerifySignature};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, Validation, decode, decode_header};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use serde::Deserialize;

use crate::keys::{Keys, NoKey};
use crate::reply::Failure;

/// What an access token says, besides what [`Validation`] looks at.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    token_use: String,
    /// of access tokens, which have no `aud`
    client_id: Option<String>,
}

/// Verifies the access tokens of one app client of one pool.
pub(crate) struct Verifier {
    validation: Validation,
    client_id: String,
    keys: Keys,
}

impl Verifier {
    pub(crate) fn new(client_id: String, keys: Keys) -> Self {
        // Once for the process; a second one is the same.
        let _ = PROVIDER.install_default();
        let mut validation = Validation::new(Algorithm::RS256);
        validation.leeway = 0;
        validation.validate_nbf = true;
        validation.validate_aud = false;
        validation.set_issuer(&[keys.issuer()]);
        // An issuer that is missing would not be compared.
        validation.set_required_spec_claims(&["exp", "iss", "sub"]);
        Self { validation, client_id, keys }
    }

    /// The app client that people sign in with.
    pub(crate) fn client_id(&self) -> &str {
        &self.client_id
    }

    /// The keys of its pool.
    pub(crate) fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The `sub` of whom the token was given to.
    pub(crate) async fn sub(&self, token: &str) -> Result<String, Failure> {
        let wrong = |why: String| Failure::Unauthorized(format!("the token is refused: {why}"));
        let header = decode_header(token).map_err(|error| wrong(reason(&error)))?;
        if header.alg != Algorithm::RS256 {
            return Err(wrong("it is not signed with RS256".to_owned()));
        }
        let kid = header.kid.ok_or_else(|| wrong("it names no key".to_owned()))?;
        let key = self.keys.get(&kid).await.map_err(|error| match error {
            NoKey::Unknown => wrong("its key is not one of the pool's".to_owned()),
            NoKey::Unreachable(why) => Failure::Unavailable(why),
        })?;
        let claims = decode::<Claims>(token, &key, &self.validation)
            .map_err(|error| wrong(reason(&error)))?
            .claims;
        if claims.token_use != "access" {
            return Err(wrong("it is not an access token".to_owned()));
        }
        if claims.client_id.as_ref() != Some(&self.client_id) {
            return Err(wrong("it was given to another app client".to_owned()));
        }
        Ok(claims.sub)
    }
}

/// Why, in words of ours: those of the library repeat what the sender wrote.
fn reason(error: &Error) -> String {
    match error.kind() {
        ErrorKind::InvalidSignature => "its signature is not that of the pool's key",
        ErrorKind::ExpiredSignature => "it has expired",
        ErrorKind::ImmatureSignature => "it is not valid yet",
        ErrorKind::InvalidIssuer => "it is another pool's",
        ErrorKind::MissingRequiredClaim(_) => "a claim is missing",
        _ => "it is malformed",
    }
    .to_owned()
}

/// RS256 by ring, and nothing else: what the library brings itself would be a second
/// set of cryptography.
static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |_, _| Err(ErrorKind::UnsupportedAlgorithm.into()),
    verifier_factory: |algorithm, key| match (algorithm, key.kind()) {
        (Algorithm::RS256, DecodingKeyKind::RsaModulusExponent { .. }) => {
            Ok(Box::new(Rs256(key.clone())))
        }
        _ => Err(ErrorKind::UnsupportedAlgorithm.into()),
    },
    key_utils: KeyUtils::new_unimplemented(),
};

struct Rs256(DecodingKey);

impl VerifySignature<Vec<u8>> for Rs256 {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), SignatureError> {
        let DecodingKeyKind::RsaModulusExponent { n, e } = self.0.kind() else {
            return Err(SignatureError::new());
        };
        RsaPublicKeyComponents { n, e }
            .verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
            .map_err(|_| SignatureError::new())
    }
}

impl JwtVerifier for Rs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::RS256
    }
}
