//! The ID token of a login (OpenID Connect Core §2 and §3.1.3.7), a token of another issuer
//! ([`super::foreign`]).
//!
//! INVARIANT: [`IdToken::verify`] is the only way to [`SignedIdToken`], and
//! [`SignedIdToken::accept`] the only way to [`VerifiedIdToken`].

use std::borrow::Cow;

use subtle::ConstantTimeEq as _;

use super::alg::Alg;
use super::foreign::ForeignTokenError;
use super::foreign::claims::{audiences, lifetime, string};
use super::foreign::jws::ForeignJws;
use super::keys::{JwkSet, PublicKey};
use crate::bytes;
use crate::json::foreign::ForeignObject;

/// A well-formed ID token whose signature has not been verified.
#[derive(Debug, Clone)]
pub struct IdToken<'a>(ForeignJws<'a>);

/// The requirements for an ID token.
#[derive(Debug, Clone, Copy)]
pub struct ExpectedIdToken<'a> {
    /// The issuer, compared byte by byte (OpenID Connect Core §3.1.3.7, item 2).
    pub issuer: &'a str,
    /// Our client id at the issuer, which must be in `aud`.
    pub client_id: &'a str,
    /// The `nonce` of the authorization request.
    pub nonce: &'a str,
    /// How far the issuer's clock may be from ours, in seconds.
    pub leeway: u64,
}

impl<'a> IdToken<'a> {
    /// Parses a compact JWS of at most 256 KiB. The claims are decoded but not parsed.
    ///
    /// # Errors
    /// Returns a [`ForeignTokenError`] for the first check that fails.
    pub fn parse(text: &'a str) -> Result<Self, ForeignTokenError> {
        ForeignJws::parse(text, MAX_BYTES, is_jwt).map(Self)
    }

    /// Returns the issuer that the token claims to be of, which proves nothing: by it the keys are
    /// chosen that may verify it.
    #[must_use]
    pub fn claimed_issuer(&self) -> Option<String> {
        Some(self.0.claims(&["iss"]).ok()?.text("iss")?.into_owned())
    }

    /// Verifies the signature with a key of the set that may verify it. `names` are the claims that
    /// are asked for later.
    ///
    /// `check` is called with the key, the algorithm, the message and the signature in JOSE form,
    /// and returns `true` if the signature is valid; at most four times, for keys that share a
    /// `kid`.
    ///
    /// # Errors
    /// Returns a [`ForeignTokenError`] if no key may verify the token, the signature is invalid, or
    /// the claims are not a JSON object or repeat one that is needed.
    pub fn verify<'b>(
        &'b self,
        keys: &JwkSet,
        names: &[&'b str],
        check: impl FnMut(&PublicKey, Alg, &[u8], &[u8]) -> bool,
    ) -> Result<SignedIdToken<'b>, ForeignTokenError> {
        self.0.verify(keys, check)?;
        Ok(SignedIdToken(self.claims(names)?))
    }

    /// Returns the claims that are named, if the token says that it is this issuer's, for this
    /// client and about this user, whom the claim `subject_claim` names.
    ///
    /// For a token that came straight from the token endpoint: its sender is authenticated by the
    /// connection, which stands in for the signature (OpenID Connect Core §3.1.3.7, item 6, and
    /// §12.2).
    ///
    /// # Errors
    /// Returns a [`ForeignTokenError`] for the first rule that the claims break.
    pub fn about<'b>(
        &'b self,
        issuer: &str,
        client_id: &str,
        (subject_claim, subject): (&'b str, &str),
        names: &[&'b str],
    ) -> Result<ForeignObject<'b>, ForeignTokenError> {
        let claims = self.claims(&[&[subject_claim], names].concat())?;
        if string(&claims, "iss")? != issuer {
            return Err(ForeignTokenError::WrongIssuer);
        }
        is_for(&claims, client_id)?;
        if claims.text(subject_claim).is_some_and(|named| named == subject) {
            Ok(claims)
        } else {
            Err(ForeignTokenError::WrongSubject)
        }
    }

    fn claims<'b>(&'b self, names: &[&'b str]) -> Result<ForeignObject<'b>, ForeignTokenError> {
        let mut needed: Vec<&'b str> = CLAIMS.to_vec();
        for name in names {
            if !needed.contains(name) {
                needed.push(name);
            }
        }
        self.0.claims(&needed)
    }
}

/// Claims that a key of the issuer has signed.
#[derive(Debug, Clone)]
pub struct SignedIdToken<'a>(ForeignObject<'a>);

impl<'a> SignedIdToken<'a> {
    /// Returns the claims, of which those can be read that were named before.
    #[must_use]
    pub const fn claims(&self) -> &ForeignObject<'a> {
        &self.0
    }

    /// Accepts the claims as those of our login at `now`, in Unix seconds.
    ///
    /// # Errors
    /// Returns a [`ForeignTokenError`] for the first rule that the claims break.
    pub fn accept(self, expected: &ExpectedIdToken<'_>, now: u64) -> Result<VerifiedIdToken<'a>, ForeignTokenError> {
        let Self(claims) = self;
        if !bytes::eq(string(&claims, "iss")?.as_bytes(), expected.issuer.as_bytes()) {
            return Err(ForeignTokenError::WrongIssuer);
        }
        let audiences = is_for(&claims, expected.client_id)?;
        match claims.get("azp").map(|party| party.text().ok_or(ForeignTokenError::Malformed("azp"))).transpose()? {
            Some(party) if party == expected.client_id => {}
            Some(_) => return Err(ForeignTokenError::WrongParty),
            None if audiences > 1 => return Err(ForeignTokenError::Missing("azp")),
            None => {}
        }
        if !lifetime(&claims, expected.leeway, now)?.has_start {
            return Err(ForeignTokenError::Missing("iat"));
        }
        if !bool::from(string(&claims, "nonce")?.as_bytes().ct_eq(expected.nonce.as_bytes())) {
            return Err(ForeignTokenError::WrongNonce);
        }
        if claims.get("sub").ok_or(ForeignTokenError::Missing("sub"))?.name().is_none() {
            return Err(ForeignTokenError::Malformed("sub"));
        }
        Ok(VerifiedIdToken(claims))
    }
}

/// The ID token of a login: signed by the issuer, current, for our client and for our request.
#[derive(Debug, Clone)]
pub struct VerifiedIdToken<'a>(ForeignObject<'a>);

impl<'a> VerifiedIdToken<'a> {
    /// Returns the claims, of which those can be read that were named before.
    #[must_use]
    pub const fn claims(&self) -> &ForeignObject<'a> {
        &self.0
    }

    /// Returns a claim that is a string of 1 to 255 bytes without control characters; never
    /// anything that has to be converted into one.
    #[must_use]
    pub fn name(&self, claim: &str) -> Option<String> {
        self.0.get(claim)?.name().map(Cow::into_owned)
    }
}

/// Returns `true` if a `typ` is that of a JWT without a type of its own, compared without case.
fn is_jwt(typ: &str) -> bool {
    typ.eq_ignore_ascii_case("JWT")
}

/// Returns the number of audiences, if our client id is among them.
fn is_for(claims: &ForeignObject<'_>, client_id: &str) -> Result<usize, ForeignTokenError> {
    let audiences = audiences(claims)?;
    let is_among = audiences.iter().any(|one| bytes::eq(one.as_bytes(), client_id.as_bytes()));
    if is_among { Ok(audiences.len()) } else { Err(ForeignTokenError::WrongAudience) }
}

/// The claims that some rule is about.
const CLAIMS: [&str; 8] = ["iss", "sub", "aud", "exp", "iat", "nbf", "nonce", "azp"];
/// The longest ID token, in bytes: that of the longest answer of a provider.
const MAX_BYTES: usize = 256 * 1024;

#[cfg(test)]
#[path = "id_token_tests.rs"]
mod tests;
