//! The form that a client sends to the token endpoint and to the revocation endpoint (RFC 6749
//! §3.2, RFC 7009 §2.1).

use super::params::{Limits, Params, ParamsError, Repetition};
use crate::http::media_type::is_media_type;
use std::fmt;

/// Why a form is refused, whichever endpoint it was sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FormError {
    /// The URL has a query: codes and tokens must not reach access logs (RFC 6749 §3.2).
    QueryParameters,
    /// The body is not `application/x-www-form-urlencoded`.
    ContentType,
    /// The body cannot be parsed.
    Body(ParamsError),
    /// A parameter is repeated (RFC 6749 §3.2).
    Repeated(Repetition),
}

/// The media type of a form (HTML §4.10.21.6).
pub const FORM_TYPE: &str = "application/x-www-form-urlencoded";

/// Reads a form: the `content-type` of the request, its body of at most 16 KiB, and the query of
/// its URL, which must be empty. No parameter is repeated in what is returned.
///
/// # Errors
/// Returns a [`FormError`] for the first check that fails.
pub fn read(content_type: Option<&[u8]>, body: &[u8], query: Option<&[u8]>) -> Result<Params, FormError> {
    if query.is_some_and(|query| !query.is_empty()) {
        return Err(FormError::QueryParameters);
    }
    if !is_media_type(content_type, FORM_TYPE) {
        return Err(FormError::ContentType);
    }
    let params = Params::parse(body, Limits::OAUTH).map_err(FormError::Body)?;
    match params.repetition() {
        Some(repetition) => Err(FormError::Repeated(repetition)),
        None => Ok(params),
    }
}

impl fmt::Display for FormError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::QueryParameters => f.write_str("parameters belong in the body"),
            Self::ContentType => f.write_str("the content type must be application/x-www-form-urlencoded"),
            Self::Body(error) => error.fmt(f),
            Self::Repeated(repetition) => repetition.fmt(f),
        }
    }
}

impl std::error::Error for FormError {}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: Option<&[u8]> = Some(FORM_TYPE.as_bytes());

    #[test]
    fn only_a_form_body_is_read() {
        for content_type in [
            None,
            Some("application/json"),
            Some("multipart/form-data; boundary=x"),
            Some("text/plain"),
            Some("application/x-www-form-urlencodedx"),
        ] {
            let refused = read(content_type.map(str::as_bytes), b"a=b", None).unwrap_err();
            assert_eq!(refused, FormError::ContentType, "{content_type:?}");
        }
        let cased = Some(b"Application/X-WWW-Form-Urlencoded; charset=UTF-8".as_slice());
        assert_eq!(read(cased, b"a=b", Some(b"")).unwrap().one("a"), Ok(Some("b")));
    }

    #[test]
    fn parameters_in_the_url_are_refused_before_anything_is_read() {
        for query in ["x", "a=b", "&"] {
            let refused = read(None, b"%", Some(query.as_bytes())).unwrap_err();
            assert_eq!(refused, FormError::QueryParameters, "{query}");
        }
    }

    #[test]
    fn a_body_that_cannot_be_read_or_repeats_a_parameter_is_refused() {
        for (body, error) in [
            ("a=%", FormError::Body(ParamsError::BadEncoding)),
            ("a=%ff", FormError::Body(ParamsError::NotUtf8)),
            ("a=b&a=b", FormError::Repeated(Repetition::Other)),
            ("a=&a=&resource=c&resource=d", FormError::Repeated(Repetition::Resource)),
        ] {
            assert_eq!(read(FORM, body.as_bytes(), None).unwrap_err(), error, "{body}");
        }
        let longest = "a".repeat(Limits::OAUTH.bytes);
        assert!(read(FORM, longest.as_bytes(), None).is_ok());
        let refused = read(FORM, format!("{longest}a").as_bytes(), None).unwrap_err();
        assert_eq!(refused, FormError::Body(ParamsError::TooLong));
    }
}
