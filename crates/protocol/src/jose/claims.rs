//! From a signed text to a token that may be believed: signature, then registered claims, then the
//! rules of its kind (RFC 7519 §4.1, RFC 9068 §4, OpenID Connect Core §3.1.3.7).
//!
//! Each step consumes the proof of the one before: [`verify`] is the only way to [`SignedClaims`],
//! and they are the only way to a [`VerifiedToken`] or a [`VerifiedIdToken`].

mod error;
mod expected;
mod registered;

use serde_json::{Map, Value};
use subtle::ConstantTimeEq as _;

pub use error::{ClaimError, SignatureError};
pub use expected::{Expected, Typ};
use registered::{Claims, Registered};

use super::alg::Alg;
use super::jws::Jws;
use super::keys::{JwkSet, PublicKey};
use crate::credentials::SessionId;
use crate::json::{Limits, MemberValue, ObjectMembers};

/// Claims whose signature was checked with a key of the issuer's set. Only [`verify`] makes them.
#[derive(Debug, Clone)]
pub struct SignedClaims<'a> {
    typ: Option<&'a str>,
    claims: ObjectMembers<'a>,
}

/// Checks a token's signature with the one key of the set that may check it.
///
/// `check` gets the key, the algorithm, the message and the signature in JOSE form, and says
/// whether the signature is good; it is the host's function or [`PublicKey::verify_eddsa`]. It is
/// called at most once, and never for an unknown `kid`.
///
/// # Errors
/// [`SignatureError`].
pub fn verify<'a>(
    jws: &'a Jws<'_>,
    keys: &JwkSet,
    mut check: impl FnMut(&PublicKey, Alg, &[u8], &[u8]) -> bool,
) -> Result<SignedClaims<'a>, SignatureError> {
    let key = keys.candidates(jws.kid(), jws.alg()).next().ok_or(SignatureError::UnknownKey)?;
    if !check(key, jws.alg(), jws.signing_input().as_bytes(), jws.signature()) {
        return Err(SignatureError::BadSignature);
    }
    let claims = ObjectMembers::parse(jws.payload_bytes(), Limits::TOKEN).map_err(SignatureError::NotClaims)?;
    Ok(SignedClaims { typ: jws.typ(), claims })
}

impl SignedClaims<'_> {
    /// Accepts the claims as one of our access tokens at `now` (Unix seconds): the registered
    /// claims and `client_id`, `jti` (RFC 9068 §2.2), `sid` and `scope`. `expected.typ` has no say;
    /// only an access token passes.
    ///
    /// # Errors
    /// [`ClaimError`].
    pub fn access_token(&self, expected: &Expected<'_>, now: u64) -> Result<VerifiedToken<'_>, ClaimError> {
        let claims = Claims::of(&self.claims);
        let expected = Expected { typ: Typ::AccessToken, ..*expected };
        let Registered { subject, expires_at, .. } = registered::check(self.typ, &claims, &expected, now)?;
        let client_id = registered::short_string(claims.client_id, "client_id")?;
        let token_id = registered::short_string(claims.jti, "jti")?;
        let session = registered::short_string(claims.sid, "sid")?;
        let session = SessionId::parse(session).ok_or(ClaimError::Malformed("sid"))?;
        let scope = registered::scope(claims.scope)?;
        Ok(VerifiedToken { subject, client_id, token_id, session, scope, expires_at })
    }

    /// Accepts the claims as the ID token of a login at `now` (Unix seconds). `expected.audience`
    /// is our client id at that provider, `nonce` the one sent with the request. `expected.typ` has
    /// no say; only an ID token passes.
    ///
    /// # Errors
    /// [`ClaimError`].
    pub fn id_token(self, expected: &Expected<'_>, nonce: &str, now: u64) -> Result<VerifiedIdToken, ClaimError> {
        let claims = Claims::of(&self.claims);
        let expected = Expected { typ: Typ::IdToken, ..*expected };
        let Registered { subject, audiences, .. } = registered::check(self.typ, &claims, &expected, now)?;
        let answered = registered::string(claims.nonce, "nonce")?;
        if !bool::from(answered.as_bytes().ct_eq(nonce.as_bytes())) {
            return Err(ClaimError::WrongNonce);
        }
        match claims.azp {
            Some(MemberValue::String(party)) if party == expected.audience => {}
            Some(MemberValue::String(_)) => return Err(ClaimError::WrongAuthorizedParty),
            Some(MemberValue::UInt(_) | MemberValue::Other(_)) => return Err(ClaimError::Malformed("azp")),
            None if audiences > 1 => return Err(ClaimError::Missing("azp")),
            None => {}
        }
        Ok(VerifiedIdToken { subject: subject.to_owned(), claims: self.claims.into_map() })
    }
}

/// One of our own access tokens, signed, current and for this audience.
#[derive(Debug, Clone)]
pub struct VerifiedToken<'a> {
    subject: &'a str,
    client_id: &'a str,
    token_id: &'a str,
    session: SessionId,
    scope: &'a str,
    expires_at: u64,
}

impl<'a> VerifiedToken<'a> {
    /// The user: `sub`.
    #[must_use]
    pub const fn subject(&self) -> &'a str {
        self.subject
    }

    /// The client that the token was issued to: `client_id`.
    #[must_use]
    pub const fn client_id(&self) -> &'a str {
        self.client_id
    }

    /// The session that the token belongs to: `sid`.
    #[must_use]
    pub const fn session(&self) -> SessionId {
        self.session
    }

    /// The granted scopes, each once or more in the order of `scope`; none when the claim is empty.
    pub fn scopes(&self) -> impl Iterator<Item = &'a str> {
        self.scope.split(' ').filter(|scope| !scope.is_empty())
    }

    /// When the token expires: `exp`, in Unix seconds, without leeway.
    #[must_use]
    pub const fn expires_at(&self) -> u64 {
        self.expires_at
    }

    /// The token's own id: `jti`.
    #[must_use]
    pub const fn token_id(&self) -> &'a str {
        self.token_id
    }
}

/// The ID token of a login: signed by the provider, current, for our client and answering our
/// request.
#[derive(Debug, Clone)]
pub struct VerifiedIdToken {
    subject: String,
    claims: Map<String, Value>,
}

impl VerifiedIdToken {
    /// The user's name at the provider: `sub`.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Every claim, such as `email` or `name`, as the provider sent it.
    #[must_use]
    pub const fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }
}

#[cfg(test)]
mod tests;
