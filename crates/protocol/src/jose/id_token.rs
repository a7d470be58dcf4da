//! The ID token of a login, read as the RFCs read it (RFC 7515 §4 and §5.2, RFC 7519 §4, OpenID
//! Connect Core §2 and §3.1.3.7): what is not needed is ignored, and what would be unsafe to ignore
//! is refused, each cause with its own words.
//!
//! A key that the token brings or points to (`jwk`, `jku`, `x5c`, `x5u`) is ignored and never used:
//! the key comes from the provider's key set. Only `crit` forbids to ignore anything.
//!
//! INVARIANT: [`IdToken::verify`] is the only way to [`SignedIdToken`], and
//! [`SignedIdToken::accept`] the only way to [`VerifiedIdToken`].

mod error;

use std::borrow::Cow;

use subtle::ConstantTimeEq as _;

pub use error::IdTokenError;

use super::alg::Alg;
use super::keys::{JwkSet, PublicKey};
use crate::base64url;
use crate::bytes;
use crate::json::foreign::{ForeignObject, ForeignValue};

/// A well-formed ID token whose signature has not been verified.
#[derive(Debug, Clone)]
pub struct IdToken<'a> {
    alg: Alg,
    kid: Option<String>,
    signing_input: &'a str,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

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
    /// Returns an [`IdTokenError`] for the first check that fails.
    pub fn parse(text: &'a str) -> Result<Self, IdTokenError> {
        if text.len() > MAX_BYTES {
            return Err(IdTokenError::TooLong);
        }
        let (signing_input, signature) = text.rsplit_once('.').ok_or(IdTokenError::NotCompact)?;
        let (header, payload) = signing_input.split_once('.').ok_or(IdTokenError::NotCompact)?;
        if payload.contains('.') {
            let parts = payload.split('.').count().saturating_add(2);
            return Err(if parts == JWE_PARTS { IdTokenError::Encrypted } else { IdTokenError::NotCompact });
        }
        let (alg, kid) = read_header(&decode(header)?)?;
        Ok(Self { alg, kid, signing_input, payload: decode(payload)?, signature: decode(signature)? })
    }

    /// Verifies the signature with a key of the set that may verify it. `names` are the claims that
    /// are asked for later.
    ///
    /// `check` is called with the key, the algorithm, the message and the signature in JOSE form,
    /// and returns `true` if the signature is valid; at most four times, for keys that share a
    /// `kid`.
    ///
    /// # Errors
    /// Returns an [`IdTokenError`] if no key may verify the token, the signature is invalid, or the
    /// claims are not a JSON object or repeat one that is needed.
    pub fn verify<'b>(
        &'b self,
        keys: &JwkSet,
        names: &[&'b str],
        mut check: impl FnMut(&PublicKey, Alg, &[u8], &[u8]) -> bool,
    ) -> Result<SignedIdToken<'b>, IdTokenError> {
        let mut candidates = keys.candidates(self.kid.as_deref(), self.alg).take(MAX_CANDIDATES).peekable();
        if candidates.peek().is_none() {
            return Err(IdTokenError::UnknownKey);
        }
        if !candidates.any(|key| check(key, self.alg, self.signing_input.as_bytes(), &self.signature)) {
            return Err(IdTokenError::BadSignature);
        }
        Ok(SignedIdToken(self.claims(names)?))
    }

    /// Succeeds if the token says that it is this issuer's, for this client and about this user, whom
    /// the claim `subject_claim` names.
    ///
    /// For a token that came straight from the token endpoint: its sender is authenticated by the
    /// connection, which stands in for the signature (OpenID Connect Core §3.1.3.7, item 6, and
    /// §12.2).
    ///
    /// # Errors
    /// Returns an [`IdTokenError`] for the first rule that the claims break.
    pub fn about(&self, issuer: &str, client_id: &str, subject_claim: &str, subject: &str) -> Result<(), IdTokenError> {
        let claims = self.claims(&[subject_claim])?;
        if string(&claims, "iss")? != issuer {
            return Err(IdTokenError::WrongIssuer);
        }
        audiences(&claims, client_id)?;
        if claims.text(subject_claim).is_some_and(|named| named == subject) {
            Ok(())
        } else {
            Err(IdTokenError::WrongSubject)
        }
    }

    fn claims<'b>(&'b self, names: &[&'b str]) -> Result<ForeignObject<'b>, IdTokenError> {
        let mut needed: Vec<&'b str> = CLAIMS.to_vec();
        needed.extend(names.iter().copied().filter(|name| !CLAIMS.contains(name)));
        ForeignObject::parse(&self.payload, &needed, MAX_BYTES).map_err(IdTokenError::Claims)
    }
}

/// Claims that a key of the issuer has signed.
#[derive(Debug, Clone)]
pub struct SignedIdToken<'a>(ForeignObject<'a>);

impl<'a> SignedIdToken<'a> {
    /// Accepts the claims as those of our login at `now`, in Unix seconds.
    ///
    /// # Errors
    /// Returns an [`IdTokenError`] for the first rule that the claims break.
    pub fn accept(self, expected: &ExpectedIdToken<'_>, now: u64) -> Result<VerifiedIdToken<'a>, IdTokenError> {
        let Self(claims) = self;
        if !bytes::eq(string(&claims, "iss")?.as_bytes(), expected.issuer.as_bytes()) {
            return Err(IdTokenError::WrongIssuer);
        }
        let audiences = audiences(&claims, expected.client_id)?;
        match claims.get("azp").map(|party| party.text().ok_or(IdTokenError::Malformed("azp"))).transpose()? {
            Some(party) if party == expected.client_id => {}
            Some(_) => return Err(IdTokenError::WrongParty),
            None if audiences > 1 => return Err(IdTokenError::Missing("azp")),
            None => {}
        }
        let expires_at = time(&claims, "exp")?.ok_or(IdTokenError::Missing("exp"))?;
        let issued_at = time(&claims, "iat")?.ok_or(IdTokenError::Missing("iat"))?;
        if now >= expires_at.saturating_add(expected.leeway) {
            return Err(IdTokenError::Expired);
        }
        let latest_start = now.saturating_add(expected.leeway);
        if issued_at > latest_start {
            return Err(IdTokenError::IssuedLater);
        }
        if time(&claims, "nbf")?.is_some_and(|start| start > latest_start) {
            return Err(IdTokenError::NotYetValid);
        }
        if !bool::from(string(&claims, "nonce")?.as_bytes().ct_eq(expected.nonce.as_bytes())) {
            return Err(IdTokenError::WrongNonce);
        }
        if claims.get("sub").ok_or(IdTokenError::Missing("sub"))?.name().is_none() {
            return Err(IdTokenError::Malformed("sub"));
        }
        Ok(VerifiedIdToken(claims))
    }
}

/// The ID token of a login: signed by the issuer, current, for our client and for our request.
#[derive(Debug, Clone)]
pub struct VerifiedIdToken<'a>(ForeignObject<'a>);

impl VerifiedIdToken<'_> {
    /// Returns a claim that is a string of 1 to 255 bytes without control characters; never
    /// anything that has to be converted into one.
    #[must_use]
    pub fn name(&self, claim: &str) -> Option<String> {
        self.0.get(claim)?.name().map(Cow::into_owned)
    }
}

/// Reads `alg` and `kid`, and refuses what forbids to go on.
fn read_header(header: &[u8]) -> Result<(Alg, Option<String>), IdTokenError> {
    let header =
        ForeignObject::parse(header, &["alg", "kid", "typ", "crit"], MAX_BYTES).map_err(IdTokenError::Header)?;
    // RFC 7515 §4.1.11: no extension is understood here.
    if header.get("crit").is_some() {
        return Err(IdTokenError::Critical);
    }
    if let Some(typ) = header.get("typ")
        && !typ.text().is_some_and(|typ| is_jwt(&typ))
    {
        return Err(IdTokenError::WrongType);
    }
    let kid = match header.get("kid").map(ForeignValue::text) {
        None => None,
        Some(Some(kid)) if kid.len() <= MAX_KID_BYTES => Some(kid.into_owned()),
        Some(_) => return Err(IdTokenError::Malformed("kid")),
    };
    let name = header.get("alg").ok_or(IdTokenError::Missing("alg"))?.text().ok_or(IdTokenError::Malformed("alg"))?;
    match (Alg::from_foreign_name(&name), &*name) {
        (Some(alg), _) => Ok((alg, kid)),
        (None, "none") => Err(IdTokenError::Unsigned),
        (None, "HS256" | "HS384" | "HS512") => Err(IdTokenError::SharedSecret),
        (None, _) => Err(IdTokenError::UnsupportedAlg),
    }
}

/// Returns `true` if a `typ` is that of a JWT without a type of its own, compared without case and
/// with or without its `application/` (RFC 7515 §4.1.9). Another type is another kind of token (RFC
/// 8725 §3.11).
fn is_jwt(typ: &str) -> bool {
    let subtype = match typ.split_at_checked(APPLICATION.len()) {
        Some((prefix, subtype)) if prefix.eq_ignore_ascii_case(APPLICATION) => subtype,
        _ => typ,
    };
    subtype.eq_ignore_ascii_case("JWT")
}

/// Returns the number of audiences, one string or an array of strings (RFC 7519 §4.1.3), if ours is
/// among them.
fn audiences(claims: &ForeignObject<'_>, ours: &str) -> Result<usize, IdTokenError> {
    let audience = claims.get("aud").ok_or(IdTokenError::Missing("aud"))?;
    let several = match (audience.text(), audience.items()) {
        (Some(one), _) => vec![one],
        (None, Some(items)) => {
            let texts: Option<Vec<_>> = items.into_iter().map(ForeignValue::text).collect();
            texts.ok_or(IdTokenError::Malformed("aud"))?
        }
        (None, None) => return Err(IdTokenError::Malformed("aud")),
    };
    let is_among = several.iter().any(|one| bytes::eq(one.as_bytes(), ours.as_bytes()));
    if is_among { Ok(several.len()) } else { Err(IdTokenError::WrongAudience) }
}

/// Returns a required claim that is a string.
fn string<'a>(claims: &ForeignObject<'a>, name: &'static str) -> Result<Cow<'a, str>, IdTokenError> {
    claims.get(name).ok_or(IdTokenError::Missing(name))?.text().ok_or(IdTokenError::Malformed(name))
}

/// Returns a NumericDate in whole seconds: any JSON number (RFC 7519 §2) up to the year 9999.
fn time(claims: &ForeignObject<'_>, name: &'static str) -> Result<Option<u64>, IdTokenError> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds = value.number().filter(|seconds| (0.0..MAX_TIME).contains(seconds));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range was checked")]
    seconds.map(|seconds| Some(seconds as u64)).ok_or(IdTokenError::Malformed(name))
}

fn decode(part: &str) -> Result<Vec<u8>, IdTokenError> {
    base64url::decode(part).map_err(|_| IdTokenError::NotBase64url)
}

/// The claims that some rule is about.
const CLAIMS: [&str; 8] = ["iss", "sub", "aud", "exp", "iat", "nbf", "nonce", "azp"];
/// The longest ID token, in bytes: that of the longest answer of a provider.
const MAX_BYTES: usize = 256 * 1024;
const MAX_KID_BYTES: usize = 256;
/// How many keys that share a `kid` are tried (RFC 7517 §4.5).
const MAX_CANDIDATES: usize = 4;
/// The first second after the year 9999. A later time is a mistake, such as milliseconds.
const MAX_TIME: f64 = 253_402_300_800.0;
const APPLICATION: &str = "application/";
/// The parts of an encrypted token (RFC 7516 §3.1).
const JWE_PARTS: usize = 5;

#[cfg(test)]
#[path = "id_token_tests.rs"]
mod tests;
