//! An access token of an issuer that a resource trusts (RFC 7519, RFC 9068, and the service account
//! tokens of Kubernetes, which are neither typed nor scoped).
//!
//! INVARIANT: [`ClaimedToken::verify`] is the only way to [`SignedForeignToken`], and
//! [`SignedForeignToken::accept`] the only way to [`VerifiedForeignToken`].

use std::borrow::Cow;

use super::claims::{audiences, lifetime, string, texts};
use super::error::ForeignTokenError;
use super::jws::ForeignJws;
use crate::bytes;
use crate::jose::alg::Alg;
use crate::jose::keys::{JwkSet, PublicKey};
use crate::json::foreign::{ForeignObject, ForeignValue};

/// A well-formed token whose signature has not been verified.
#[derive(Debug, Clone)]
pub struct ForeignAccessToken<'a>(ForeignJws<'a>);

/// The requirements for a token of one issuer.
#[derive(Debug, Clone, Copy)]
pub struct ExpectedForeignToken<'a> {
    /// The issuer, compared byte by byte (RFC 7519 §4.1.1).
    pub issuer: &'a str,
    /// The audiences of which the token must have one, compared byte by byte.
    pub audiences: &'a [String],
    /// How far the issuer's clock may be from ours, in seconds.
    pub leeway: u64,
}

impl<'a> ForeignAccessToken<'a> {
    /// Parses a compact JWS of at most [`MAX_TOKEN_BYTES`] bytes, of the type of an access token,
    /// of a JWT, or of none.
    ///
    /// # Errors
    /// Returns a [`ForeignTokenError`] for the first check that fails.
    pub fn parse(text: &'a str) -> Result<Self, ForeignTokenError> {
        ForeignJws::parse(text, MAX_TOKEN_BYTES, is_access_token).map(Self)
    }

    /// Reads the claims, which prove nothing yet.
    ///
    /// # Errors
    /// Returns [`ForeignTokenError::Claims`] if they are not a JSON object, or repeat one that is
    /// needed.
    pub fn claims(&self) -> Result<ClaimedToken<'_>, ForeignTokenError> {
        Ok(ClaimedToken { jws: &self.0, claims: self.0.claims(&CLAIMS)? })
    }
}

/// The claims of a token, unproven. `iss` chooses the issuer by whose keys it is verified; nothing
/// else follows from them.
#[derive(Debug, Clone)]
pub struct ClaimedToken<'a> {
    jws: &'a ForeignJws<'a>,
    claims: ForeignObject<'a>,
}

impl<'a> ClaimedToken<'a> {
    /// Returns the issuer that the token claims to be of: `iss`.
    ///
    /// # Errors
    /// Returns a [`ForeignTokenError`] if it is absent or not a string.
    pub fn issuer(&self) -> Result<Cow<'a, str>, ForeignTokenError> {
        string(&self.claims, "iss")
    }

    /// Verifies the signature with a key of the issuer, by one of the algorithms that the issuer is
    /// trusted to use.
    ///
    /// `check` is called with the key, the algorithm, the message and the signature in JOSE form,
    /// and returns `true` if the signature is valid; at most four times, for keys that share a
    /// `kid`, and never for an unknown `kid`.
    ///
    /// # Errors
    /// Returns a [`ForeignTokenError`] if the algorithm is not allowed, no key may verify the
    /// token, or the signature is invalid.
    pub fn verify(
        self,
        keys: &JwkSet,
        algorithms: &[Alg],
        check: impl FnMut(&PublicKey, Alg, &[u8], &[u8]) -> bool,
    ) -> Result<SignedForeignToken<'a>, ForeignTokenError> {
        if !algorithms.contains(&self.jws.alg()) {
            return Err(ForeignTokenError::AlgNotAllowed);
        }
        self.jws.verify(keys, check)?;
        Ok(SignedForeignToken(self.claims))
    }
}

/// Claims that a key of the issuer has signed.
#[derive(Debug, Clone)]
pub struct SignedForeignToken<'a>(ForeignObject<'a>);

impl<'a> SignedForeignToken<'a> {
    /// Accepts the claims as those of an access token at `now`, in Unix seconds. `exp` is required;
    /// `iat` and `nbf` may be absent.
    ///
    /// # Errors
    /// Returns a [`ForeignTokenError`] for the first rule that the claims break.
    pub fn accept(
        self,
        expected: &ExpectedForeignToken<'_>,
        now: u64,
    ) -> Result<VerifiedForeignToken<'a>, ForeignTokenError> {
        let Self(claims) = self;
        if !bytes::eq(string(&claims, "iss")?.as_bytes(), expected.issuer.as_bytes()) {
            return Err(ForeignTokenError::WrongIssuer);
        }
        if !audiences(&claims)?.iter().any(|one| expected.audiences.iter().any(|ours| one == ours)) {
            return Err(ForeignTokenError::WrongAudience);
        }
        let expires_at = lifetime(&claims, expected.leeway, now)?.expires_at.saturating_add(expected.leeway);
        let subject = claims.get("sub").ok_or(ForeignTokenError::Missing("sub"))?;
        let subject = subject.name().ok_or(ForeignTokenError::Malformed("sub"))?;
        let scopes = scopes(&claims)?;
        Ok(VerifiedForeignToken { subject, scopes, expires_at, claims })
    }
}

/// An access token of a trusted issuer: signed, current and for one of the expected audiences.
#[derive(Debug, Clone)]
pub struct VerifiedForeignToken<'a> {
    subject: Cow<'a, str>,
    scopes: Vec<Cow<'a, str>>,
    expires_at: u64,
    claims: ForeignObject<'a>,
}

impl VerifiedForeignToken<'_> {
    /// Returns the issuer's name for the user or service: `sub`, 1 to 255 bytes.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Returns the client that the token was issued to, if the token names one in 1 to 255 bytes:
    /// `client_id` (RFC 9068 §2.2), or else `azp`.
    #[must_use]
    pub fn client(&self) -> Option<Cow<'_, str>> {
        let name = |claim| self.claims.get(claim)?.name();
        name("client_id").or_else(|| name("azp"))
    }

    /// Returns the e-mail address, if the token says that it is verified: `email`,
    /// `email_verified` (OpenID Connect Core §5.1).
    #[must_use]
    pub fn email(&self) -> Option<Cow<'_, str>> {
        let verified = self.claims.get("email_verified").and_then(ForeignValue::boolean);
        self.claims.text("email").filter(|_| verified == Some(true))
    }

    /// Returns the user's name, if the token has one: `name`.
    #[must_use]
    pub fn name(&self) -> Option<Cow<'_, str>> {
        self.claims.text("name")
    }

    /// Returns the groups: `groups`, an array of strings or one string; none where it is anything
    /// else.
    #[must_use]
    pub fn groups(&self) -> Vec<Cow<'_, str>> {
        self.claims.get("groups").and_then(texts).unwrap_or_default()
    }

    /// Returns `true` if the token has a scope: in `scope`, a list with spaces (RFC 8693 §4.2), or
    /// in `scp`, which is an array or such a list.
    #[must_use]
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes.iter().any(|list| list.split(' ').any(|one| one == scope))
    }

    /// Returns when the token is over, in Unix seconds: `exp` and the leeway.
    #[must_use]
    pub const fn expires_at(&self) -> u64 {
        self.expires_at
    }
}

fn scopes<'a>(claims: &ForeignObject<'a>) -> Result<Vec<Cow<'a, str>>, ForeignTokenError> {
    let mut scopes = Vec::new();
    for name in ["scope", "scp"] {
        if let Some(value) = claims.get(name) {
            scopes.extend(texts(value).ok_or(ForeignTokenError::Malformed(name))?);
        }
    }
    Ok(scopes)
}

/// RFC 9068 §4, and what issuers wrote before it, compared without case. A type of another kind of
/// token, such as `logout+jwt`, is refused (RFC 8725 §3.11).
fn is_access_token(typ: &str) -> bool {
    typ.eq_ignore_ascii_case("at+jwt") || typ.eq_ignore_ascii_case("JWT")
}

/// The longest access token of another issuer, in bytes.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;
/// The claims that some rule is about.
const CLAIMS: [&str; 14] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "iat",
    "nbf",
    "scope",
    "scp",
    "client_id",
    "azp",
    "email",
    "email_verified",
    "name",
    "groups",
];

#[cfg(test)]
#[path = "access_token_tests.rs"]
mod tests;
