//! The registered claims (RFC 7519 §4.1). A claim that is present and malformed is never taken for absent.

use serde_json::Value;

use super::{ClaimError, Expected, Typ};
use crate::json::{Member, Members};

/// The registered claims of a token that passed every check on them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// `iss`.
    pub issuer: String,
    /// `sub`: 1 to 255 characters.
    pub subject: String,
    /// `aud`: 1 to 16 values.
    pub audience: Vec<String>,
    /// `exp`, in Unix seconds.
    pub expires_at: u64,
    /// `iat`, in Unix seconds.
    pub issued_at: u64,
    /// `nbf`, in Unix seconds.
    pub not_before: Option<u64>,
}

/// Checks kind, issuer, audience, times and subject at `now`.
pub(super) fn check(
    typ: Option<&str>,
    claims: &Members<'_>,
    expected: &Expected<'_>,
    now: u64,
) -> Result<Registered, ClaimError> {
    if !is_of_type(typ, expected.typ) {
        return Err(ClaimError::WrongType);
    }
    let issuer = string(claims, "iss")?;
    if issuer != expected.issuer {
        return Err(ClaimError::WrongIssuer);
    }
    let audience = audience(claims)?;
    if !audience.iter().any(|one| one == expected.audience) {
        return Err(ClaimError::WrongAudience);
    }
    let expires_at = time(claims, "exp")?.ok_or(ClaimError::Missing("exp"))?;
    let issued_at = time(claims, "iat")?.ok_or(ClaimError::Missing("iat"))?;
    let not_before = time(claims, "nbf")?;
    if now >= expires_at.saturating_add(expected.leeway) {
        return Err(ClaimError::Expired);
    }
    let latest_start = now.saturating_add(expected.leeway);
    if issued_at > latest_start || not_before.is_some_and(|start| start > latest_start) {
        return Err(ClaimError::NotYetValid);
    }
    let subject = short_string(claims, "sub")?.to_owned();
    Ok(Registered { issuer: issuer.to_owned(), subject, audience, expires_at, issued_at, not_before })
}

/// A required claim that is a string.
pub(super) fn string<'a>(claims: &'a Members<'_>, name: &'static str) -> Result<&'a str, ClaimError> {
    match claims.find(name) {
        None => Err(ClaimError::Missing(name)),
        Some(Member::Text(text)) => Ok(text),
        Some(Member::Whole(_) | Member::Other(_)) => Err(ClaimError::Malformed(name)),
    }
}

/// A required claim that is a string of 1 to 255 characters (OpenID Connect Core §2 for `sub`).
pub(super) fn short_string<'a>(claims: &'a Members<'_>, name: &'static str) -> Result<&'a str, ClaimError> {
    let text = string(claims, name)?;
    // A text has no more characters than bytes.
    if text.is_empty() || (text.len() > MOST_CHARACTERS && text.chars().nth(MOST_CHARACTERS).is_some()) {
        return Err(ClaimError::Malformed(name));
    }
    Ok(text)
}

/// `scope` as in RFC 6749 §3.3, or the empty string for a token without any scope.
pub(super) fn scope<'a>(claims: &'a Members<'_>) -> Result<&'a str, ClaimError> {
    let scope = string(claims, "scope")?;
    let is_token =
        |token: &str| !token.is_empty() && token.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e));
    if scope.is_empty() || scope.split(' ').all(is_token) { Ok(scope) } else { Err(ClaimError::Malformed("scope")) }
}

fn is_of_type(typ: Option<&str>, expected: Typ) -> bool {
    match (expected, typ) {
        (Typ::AccessToken, Some(typ)) => {
            typ.eq_ignore_ascii_case("at+jwt") || typ.eq_ignore_ascii_case("application/at+jwt")
        }
        (Typ::IdToken, Some(typ)) => typ.eq_ignore_ascii_case("JWT"),
        (Typ::AccessToken, None) => false,
        (Typ::IdToken, None) => true,
    }
}

/// RFC 7519 §4.1.3: one string, or an array of strings.
fn audience(claims: &Members<'_>) -> Result<Vec<String>, ClaimError> {
    match claims.find("aud") {
        None => Err(ClaimError::Missing("aud")),
        Some(Member::Text(one)) => Ok(vec![one.clone().into_owned()]),
        Some(Member::Other(Value::Array(several))) if (1..=MOST_AUDIENCES).contains(&several.len()) => {
            several.iter().map(|one| one.as_str().map(str::to_owned).ok_or(ClaimError::Malformed("aud"))).collect()
        }
        Some(Member::Whole(_) | Member::Other(_)) => Err(ClaimError::Malformed("aud")),
    }
}

/// A NumericDate. RFC 7519 §2 would allow fractions; no issuer needs them, and an integer reads the same everywhere.
fn time(claims: &Members<'_>, name: &'static str) -> Result<Option<u64>, ClaimError> {
    match claims.find(name) {
        None => Ok(None),
        Some(Member::Whole(seconds)) if *seconds <= LATEST => Ok(Some(*seconds)),
        Some(Member::Whole(_) | Member::Text(_) | Member::Other(_)) => Err(ClaimError::Malformed(name)),
    }
}

const MOST_CHARACTERS: usize = 255;
const MOST_AUDIENCES: usize = 16;
/// The last second of the year 9999, as in RFC 3339; a later time is a mistake, such as milliseconds.
const LATEST: u64 = 253_402_300_799;
