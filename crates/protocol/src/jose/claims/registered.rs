//! The registered claims (RFC 7519 §4.1). A claim that is present and malformed is never treated as
//! absent.

use serde_json::Value;

use super::error::ClaimError;
use super::expected::Expected;
use crate::bytes;
use crate::credentials::MAX_CLIENT_ID_BYTES;
use crate::json::{MemberValue, ObjectMembers};

/// The claims that some rule is about; `None` if absent.
#[derive(Default)]
pub(super) struct Claims<'a> {
    iss: Option<&'a MemberValue<'a>>,
    sub: Option<&'a MemberValue<'a>>,
    aud: Option<&'a MemberValue<'a>>,
    exp: Option<&'a MemberValue<'a>>,
    iat: Option<&'a MemberValue<'a>>,
    nbf: Option<&'a MemberValue<'a>>,
    pub(super) jti: Option<&'a MemberValue<'a>>,
    pub(super) sid: Option<&'a MemberValue<'a>>,
    pub(super) client_id: Option<&'a MemberValue<'a>>,
    pub(super) scope: Option<&'a MemberValue<'a>>,
}

impl<'a> Claims<'a> {
    /// Collects the claims in one pass.
    pub(super) fn of(members: &'a ObjectMembers<'a>) -> Self {
        let mut claims = Self::default();
        for (name, member) in members.iter() {
            let place = match name {
                "iss" => &mut claims.iss,
                "sub" => &mut claims.sub,
                "aud" => &mut claims.aud,
                "exp" => &mut claims.exp,
                "iat" => &mut claims.iat,
                "nbf" => &mut claims.nbf,
                "jti" => &mut claims.jti,
                "sid" => &mut claims.sid,
                "client_id" => &mut claims.client_id,
                "scope" => &mut claims.scope,
                _ => continue,
            };
            *place = Some(member);
        }
        claims
    }
}

/// The registered claims of a token that passed every check on them.
pub(super) struct Registered<'a> {
    /// `sub`: 1 to 255 characters.
    pub(super) subject: &'a str,
    /// `exp`, in Unix seconds.
    pub(super) expires_at: u64,
}

/// Checks type, issuer, audience, times and subject at `now`.
pub(super) fn check<'a>(
    typ: Option<&str>,
    claims: &Claims<'a>,
    expected: &Expected<'_>,
    now: u64,
) -> Result<Registered<'a>, ClaimError> {
    if !typ.is_some_and(is_access_token) {
        return Err(ClaimError::WrongType);
    }
    if !bytes::eq(string(claims.iss, "iss")?.as_bytes(), expected.issuer.as_bytes()) {
        return Err(ClaimError::WrongIssuer);
    }
    check_audience(claims.aud, expected.audience)?;
    let expires_at = time(claims.exp, "exp")?.ok_or(ClaimError::Missing("exp"))?;
    let issued_at = time(claims.iat, "iat")?.ok_or(ClaimError::Missing("iat"))?;
    let not_before = time(claims.nbf, "nbf")?;
    if now >= expires_at.saturating_add(expected.expiry_leeway) {
        return Err(ClaimError::Expired);
    }
    let latest_start = now.saturating_add(expected.start_leeway);
    if issued_at > latest_start || not_before.is_some_and(|start| start > latest_start) {
        return Err(ClaimError::NotYetValid);
    }
    Ok(Registered { subject: short_string(claims.sub, "sub")?, expires_at })
}

/// Returns a required claim that is a string.
pub(super) fn string<'a>(claim: Option<&'a MemberValue<'_>>, name: &'static str) -> Result<&'a str, ClaimError> {
    match claim {
        None => Err(ClaimError::Missing(name)),
        Some(MemberValue::String(text)) => Ok(text),
        Some(MemberValue::UInt(_) | MemberValue::Other(_)) => Err(ClaimError::Malformed(name)),
    }
}

/// Returns a required claim that is a string of 1 to 255 characters (OpenID Connect Core §2 for
/// `sub`).
pub(super) fn short_string<'a>(claim: Option<&'a MemberValue<'_>>, name: &'static str) -> Result<&'a str, ClaimError> {
    let text = string(claim, name)?;
    // A text has no more characters than bytes.
    if text.is_empty() || (text.len() > MAX_CHARACTERS && text.chars().nth(MAX_CHARACTERS).is_some()) {
        return Err(ClaimError::Malformed(name));
    }
    Ok(text)
}

/// Returns `client_id`, as long as the gateway makes one at most.
pub(super) fn client_id<'a>(claim: Option<&'a MemberValue<'_>>) -> Result<&'a str, ClaimError> {
    let text = string(claim, "client_id")?;
    if text.is_empty() || text.len() > MAX_CLIENT_ID_BYTES {
        return Err(ClaimError::Malformed("client_id"));
    }
    Ok(text)
}

/// Returns `scope` as in RFC 6749 §3.3, or the empty string for a token without any scope.
pub(super) fn scope<'a>(claim: Option<&'a MemberValue<'_>>) -> Result<&'a str, ClaimError> {
    let scope = string(claim, "scope")?;
    let is_token =
        |token: &[u8]| !token.is_empty() && token.iter().all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e));
    let is_list = scope.is_empty() || scope.as_bytes().split(|byte| *byte == b' ').all(is_token);
    if is_list { Ok(scope) } else { Err(ClaimError::Malformed("scope")) }
}

/// RFC 9068 §4, compared without case. Another type is another kind of token (RFC 8725 §3.11).
fn is_access_token(typ: &str) -> bool {
    typ.eq_ignore_ascii_case("at+jwt") || typ.eq_ignore_ascii_case("application/at+jwt")
}

/// Accepts audiences, one string or an array of 1 to 16 strings (RFC 7519 §4.1.3), if ours is among
/// them.
fn check_audience(claim: Option<&MemberValue<'_>>, ours: &str) -> Result<(), ClaimError> {
    let is_among = match claim {
        None => return Err(ClaimError::Missing("aud")),
        Some(MemberValue::String(one)) => bytes::eq(one.as_bytes(), ours.as_bytes()),
        Some(MemberValue::Other(Value::Array(several)))
            if (1..=MAX_AUDIENCES).contains(&several.len()) && several.iter().all(Value::is_string) =>
        {
            several.iter().any(|one| one == ours)
        }
        Some(MemberValue::UInt(_) | MemberValue::Other(_)) => return Err(ClaimError::Malformed("aud")),
    };
    if is_among { Ok(()) } else { Err(ClaimError::WrongAudience) }
}

/// Returns a NumericDate. RFC 7519 §2 allows fractions; no issuer needs them, and an integer has
/// only one reading.
fn time(claim: Option<&MemberValue<'_>>, name: &'static str) -> Result<Option<u64>, ClaimError> {
    match claim {
        None => Ok(None),
        Some(MemberValue::UInt(seconds)) if *seconds <= MAX_TIME => Ok(Some(*seconds)),
        Some(MemberValue::UInt(_) | MemberValue::String(_) | MemberValue::Other(_)) => Err(ClaimError::Malformed(name)),
    }
}

const MAX_CHARACTERS: usize = 255;
const MAX_AUDIENCES: usize = 16;
/// The last second of the year 9999, as in RFC 3339. A later time is a mistake, such as
/// milliseconds.
const MAX_TIME: u64 = 253_402_300_799;
