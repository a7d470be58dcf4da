//! The bearer token of a request (RFC 6750 §2).

use crate::bytes::ByteSet;
use crate::url::percent_encoding;
use std::fmt;

/// A parser for bearer tokens in header values.
#[derive(Debug, Clone, Copy)]
pub struct Bearer;

/// Why the `Authorization` of a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BearerError {
    /// More than one `Authorization` field: a backend might use another one than the gateway.
    Repeated,
    /// A scheme other than Bearer.
    OtherScheme,
    /// The scheme without a token, or nothing at all: the same as no field.
    Empty,
    /// A comma: several credentials in one field.
    List,
    /// Longer than 16 KiB.
    TooLong,
    /// Not exactly one space, or a byte outside the `b64token` alphabet (RFC 6750 §2.1).
    Malformed,
}

impl Bearer {
    /// Returns the token, given the values of all `authorization` fields; `None` without such a
    /// field.
    ///
    /// The scheme is compared without case (RFC 9110 §11.1). Exactly one space separates it from
    /// the token.
    ///
    /// # Errors
    /// Returns a [`BearerError`] for anything but one well-formed bearer token.
    pub fn from_headers<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Result<Option<&'a str>, BearerError> {
        let mut values = values.into_iter();
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(BearerError::Repeated);
        }
        if value.len() > MAX_VALUE_BYTES {
            return Err(BearerError::TooLong);
        }
        match value.split_at_checked(SCHEME.len()) {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case(SCHEME) && is_token(token) => {
                std::str::from_utf8(token).map(Some).map_err(|_| BearerError::Malformed)
            }
            _ => Err(fault(value)),
        }
    }
}

/// Returns `true` if a query has an `access_token` parameter (RFC 6750 §2.3), which OAuth 2.1
/// forbids.
///
/// The name is found in every percent-encoded spelling, and `;` counts as a separator because some
/// backends split on it.
#[must_use]
pub fn token_in_query(query: &[u8]) -> bool {
    query.split(|byte| matches!(byte, b'&' | b';')).any(|pair| {
        let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
        // No encoded spelling is shorter than the plain one.
        name.len() >= TOKEN_PARAMETER.len()
            && percent_encoding::decode(name).is_some_and(|name| name == TOKEN_PARAMETER)
    })
}

impl fmt::Display for BearerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Repeated => "more than one Authorization header",
            Self::OtherScheme => "the authorization scheme is not Bearer",
            Self::Empty => "the bearer token is empty",
            Self::List => "more than one credential in the Authorization header",
            Self::TooLong => "the Authorization header is too long",
            Self::Malformed => "the Authorization header is malformed",
        })
    }
}

impl std::error::Error for BearerError {}

/// `b64token` (RFC 6750 §2.1).
fn is_token(text: &[u8]) -> bool {
    let Some(body) = text.iter().rposition(|byte| *byte != b'=').and_then(|last| text.get(..=last)) else {
        return false;
    };
    TOKEN_BYTES.contains_all(body)
}

/// Returns why a value is not a bearer token.
fn fault(value: &[u8]) -> BearerError {
    let Ok(value) = std::str::from_utf8(value) else { return BearerError::Malformed };
    if value.trim_ascii().is_empty() {
        return BearerError::Empty;
    }
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    match scheme.eq_ignore_ascii_case("Bearer") {
        true if token.trim_ascii().is_empty() => BearerError::Empty,
        true if token.contains(',') => BearerError::List,
        false if is_scheme(scheme) => BearerError::OtherScheme,
        _ => BearerError::Malformed,
    }
}

fn is_scheme(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// The alphabet of `b64token`, without the `=` at its end.
static TOKEN_BYTES: ByteSet = ByteSet::new(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/");
/// The scheme with the space that follows it.
const SCHEME: &[u8] = b"Bearer ";
const TOKEN_PARAMETER: &[u8] = b"access_token";
const MAX_VALUE_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn read<'a>(values: &[&'a str]) -> Result<Option<&'a str>, BearerError> {
        Bearer::from_headers(values.iter().map(|value| value.as_bytes()))
    }

    #[test]
    fn one_well_formed_token_is_read() {
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&["Bearer a.b-c_d~e+f/g=="]), Ok(Some("a.b-c_d~e+f/g==")));
        assert_eq!(read(&["bEARER abc"]), Ok(Some("abc")));
    }

    #[test]
    fn everything_else_is_refused_by_cause() {
        for (value, cause) in [
            ("", BearerError::Empty),
            (" ", BearerError::Empty),
            ("Bearer", BearerError::Empty),
            ("Bearer ", BearerError::Empty),
            ("Bearer  ", BearerError::Empty),
            ("Bearer  a", BearerError::Malformed),
            ("Bearer a ", BearerError::Malformed),
            (" Bearer a", BearerError::Malformed),
            ("Bearer\ta", BearerError::Malformed),
            ("Bearer a\t", BearerError::Malformed),
            ("Bearer a, Bearer b", BearerError::List),
            ("Bearer a,b", BearerError::List),
            ("Bearer =", BearerError::Malformed),
            ("Bearer a=b", BearerError::Malformed),
            ("Bearer a\"b", BearerError::Malformed),
            ("Bearer é", BearerError::Malformed),
            ("Basic YTpi", BearerError::OtherScheme),
            ("DPoP abc", BearerError::OtherScheme),
            ("Bearerabc", BearerError::OtherScheme),
        ] {
            assert_eq!(read(&[value]), Err(cause), "{value:?}");
        }
        assert_eq!(Bearer::from_headers([b"Bearer \xff".as_slice()]), Err(BearerError::Malformed));
    }

    #[test]
    fn the_alphabet_is_that_of_the_standard() {
        for byte in 0..=255_u8 {
            let listed = byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
            assert_eq!(is_token(&[byte]), listed, "{byte}");
        }
    }

    #[test]
    fn two_headers_are_refused_even_when_equal() {
        assert_eq!(read(&["Bearer a", "Bearer a"]), Err(BearerError::Repeated));
        assert_eq!(read(&["Bearer a", "Basic b"]), Err(BearerError::Repeated));
        assert_eq!(read(&["", "Bearer a"]), Err(BearerError::Repeated));
        assert_eq!(read(&["Bearer a", ""]), Err(BearerError::Repeated));
    }

    #[test]
    fn a_header_over_16_kib_is_refused() {
        let fits = format!("Bearer {}", "a".repeat(16 * 1024 - 7));
        assert!(read(&[&fits]).is_ok());
        assert_eq!(read(&[&format!("{fits}a")]), Err(BearerError::TooLong));
    }

    #[test]
    fn a_token_in_the_query_is_seen_in_every_spelling() {
        for query in ["access_token=x", "a=1&access_token", "a;access_token=x", "%61ccess%5ftoken=x"] {
            assert!(token_in_query(query.as_bytes()), "{query}");
        }
        for query in ["", "a=access_token", "access_tokens=x", "xaccess_token=1", "%zz=1", "Access_Token=x"] {
            assert!(!token_in_query(query.as_bytes()), "{query}");
        }
    }
}
