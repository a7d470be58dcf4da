//! From a signed text to one of our own access tokens: signature, then registered claims, then the
//! rules of its type (RFC 7519 §4.1, RFC 9068 §4).
//!
//! INVARIANT: each step needs the proof of the one before. [`verify`] is the only way to
//! [`SignedClaims`], and they are the only way to a [`VerifiedToken`].

mod error;
mod expected;
mod registered;

pub use error::{ClaimError, SignatureError};
pub use expected::Expected;
use registered::{Claims, Registered};

use super::alg::Alg;
use super::jws::Jws;
use super::keys::{JwkSet, PublicKey};
use crate::credentials::SessionId;
use crate::json::{Limits, ObjectMembers};

/// Claims whose signature was verified with a key of the issuer. Only [`verify`] makes them.
#[derive(Debug, Clone)]
pub struct SignedClaims<'a> {
    typ: Option<&'a str>,
    claims: ObjectMembers<'a>,
}

/// Verifies the signature of a token with the one key of the set that may verify it.
///
/// `check` is called with the key, the algorithm, the message and the signature in JOSE form, and
/// returns `true` if the signature is valid: a host call or [`PublicKey::verify_eddsa`]. It is
/// called at most once, and never for an unknown `kid`.
///
/// # Errors
/// Returns [`SignatureError`] if no key may verify the token, the signature is invalid, or the
/// payload is not a strict JSON object.
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
    /// claims and `client_id`, `jti` (RFC 9068 §2.2), `sid` and `scope`.
    ///
    /// # Errors
    /// Returns [`ClaimError`] for the first rule that the claims break.
    pub fn access_token(&self, expected: &Expected<'_>, now: u64) -> Result<VerifiedToken<'_>, ClaimError> {
        let claims = Claims::of(&self.claims);
        let Registered { subject, expires_at } = registered::check(self.typ, &claims, expected, now)?;
        let client_id = registered::client_id(claims.client_id)?;
        let token_id = registered::short_string(claims.jti, "jti")?;
        let session = registered::short_string(claims.sid, "sid")?;
        let session = SessionId::parse(session).ok_or(ClaimError::Malformed("sid"))?;
        let scope = registered::scope(claims.scope)?;
        Ok(VerifiedToken { subject, client_id, token_id, session, scope, expires_at })
    }
}

/// One of our own access tokens: signed, current and for this audience.
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
    /// Returns the user: `sub`.
    #[must_use]
    pub const fn subject(&self) -> &'a str {
        self.subject
    }

    /// Returns the client that the token was issued to: `client_id`.
    #[must_use]
    pub const fn client_id(&self) -> &'a str {
        self.client_id
    }

    /// Returns the session that the token belongs to: `sid`.
    #[must_use]
    pub const fn session(&self) -> SessionId {
        self.session
    }

    /// Returns the granted scopes as the token has them: `scope`.
    #[must_use]
    pub const fn scope(&self) -> &'a str {
        self.scope
    }

    /// Returns the granted scopes in the order of `scope`, duplicates included.
    pub fn scopes(&self) -> impl Iterator<Item = &'a str> {
        self.scope.split(' ').filter(|scope| !scope.is_empty())
    }

    /// Returns when the token expires: `exp`, in Unix seconds, without leeway.
    #[must_use]
    pub const fn expires_at(&self) -> u64 {
        self.expires_at
    }

    /// Returns the id of the token: `jti`.
    #[must_use]
    pub const fn token_id(&self) -> &'a str {
        self.token_id
    }
}

#[cfg(test)]
mod tests;
