//! The registered claims (RFC 7519 §4.1). A claim that is present and malformed is never treated as
//! absent.

use std::borrow::Cow;

use super::error::ForeignTokenError;
use crate::json::foreign::{ForeignObject, ForeignValue};

/// The lifetime of a token that is current.
pub(in crate::jose) struct Lifetime {
    /// `exp`, in Unix seconds.
    pub(in crate::jose) expires_at: u64,
    /// Whether the token has an `iat`.
    pub(in crate::jose) has_start: bool,
}

/// Checks `exp`, which is required, and `iat` and `nbf`, which may be absent, at `now` in Unix
/// seconds. The issuer's clock may be `leeway` seconds from ours.
pub(in crate::jose) fn lifetime(
    claims: &ForeignObject<'_>,
    leeway: u64,
    now: u64,
) -> Result<Lifetime, ForeignTokenError> {
    let expires_at = time(claims, "exp")?.ok_or(ForeignTokenError::Missing("exp"))?;
    let issued_at = time(claims, "iat")?;
    if now >= expires_at.saturating_add(leeway) {
        return Err(ForeignTokenError::Expired);
    }
    let latest_start = now.saturating_add(leeway);
    if issued_at.is_some_and(|start| start > latest_start) {
        return Err(ForeignTokenError::IssuedLater);
    }
    if time(claims, "nbf")?.is_some_and(|start| start > latest_start) {
        return Err(ForeignTokenError::NotYetValid);
    }
    Ok(Lifetime { expires_at, has_start: issued_at.is_some() })
}

/// Returns the audiences: one string, or an array of strings (RFC 7519 §4.1.3).
pub(in crate::jose) fn audiences<'a>(claims: &ForeignObject<'a>) -> Result<Vec<Cow<'a, str>>, ForeignTokenError> {
    let audience = claims.get("aud").ok_or(ForeignTokenError::Missing("aud"))?;
    texts(audience).ok_or(ForeignTokenError::Malformed("aud"))
}

/// Returns a string as a list of one, or an array of strings; `None` for any other value.
pub(in crate::jose) fn texts(value: ForeignValue<'_>) -> Option<Vec<Cow<'_, str>>> {
    match value.text() {
        Some(one) => Some(vec![one]),
        None => value.items()?.into_iter().map(ForeignValue::text).collect(),
    }
}

/// Returns a required claim that is a string.
pub(in crate::jose) fn string<'a>(
    claims: &ForeignObject<'a>,
    name: &'static str,
) -> Result<Cow<'a, str>, ForeignTokenError> {
    claims.get(name).ok_or(ForeignTokenError::Missing(name))?.text().ok_or(ForeignTokenError::Malformed(name))
}

/// Returns a NumericDate in whole seconds: any JSON number (RFC 7519 §2) up to the year 9999.
fn time(claims: &ForeignObject<'_>, name: &'static str) -> Result<Option<u64>, ForeignTokenError> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds = value.number().filter(|seconds| (0.0..MAX_TIME).contains(seconds));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range was checked")]
    seconds.map(|seconds| Some(seconds as u64)).ok_or(ForeignTokenError::Malformed(name))
}

/// The first second after the year 9999. A later time is a mistake, such as milliseconds.
const MAX_TIME: f64 = 253_402_300_800.0;
