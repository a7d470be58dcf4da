//! The revocation request (RFC 7009 §2.1).

use super::client_authentication::BodyCredentials;
use super::error::ErrorCode;
use super::params::{Limits, Params, ParamsError};
use crate::crypto::secret::Secret;
use crate::http::media_type::is_media_type;
use std::fmt;

/// A well-formed revocation request. Nothing of it is verified.
///
/// `token_type_hint` is not read: the forms of this server's tokens tell them apart, and a hint
/// must not keep a token from being found (RFC 7009 §2.1).
#[derive(Debug, Clone)]
pub struct RevocationRequest {
    /// The client's name and credentials, as sent.
    pub client: BodyCredentials,
    /// The token to revoke, of whichever type.
    pub token: Secret<String>,
}

/// Why a revocation request is refused before any lookup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevocationRequestError {
    /// The body is not `application/x-www-form-urlencoded`.
    ContentType,
    /// The URL has a query: tokens must not reach access logs.
    QueryParameters,
    /// The body cannot be parsed.
    Body(ParamsError),
    /// A parameter is repeated (RFC 6749 §3.2).
    Repeated,
    /// `token` is absent.
    NoToken,
}

impl RevocationRequest {
    /// Parses a revocation request: its `content-type`, its body of at most 16 KiB, and the query
    /// of its URL.
    ///
    /// # Errors
    /// Returns a [`RevocationRequestError`] for the first check that fails.
    pub fn parse(
        content_type: Option<&[u8]>,
        body: &[u8],
        query: Option<&[u8]>,
    ) -> Result<Self, RevocationRequestError> {
        if query.is_some_and(|query| !query.is_empty()) {
            return Err(RevocationRequestError::QueryParameters);
        }
        if !is_media_type(content_type, "application/x-www-form-urlencoded") {
            return Err(RevocationRequestError::ContentType);
        }
        let params = Params::parse(body, Limits::OAUTH).map_err(RevocationRequestError::Body)?;
        if params.repeated().is_some() {
            return Err(RevocationRequestError::Repeated);
        }
        let client = BodyCredentials::read(&params).map_err(|_| RevocationRequestError::Repeated)?;
        let token = params.one("token").map_err(|_| RevocationRequestError::Repeated)?;
        let token = token.ok_or(RevocationRequestError::NoToken)?;
        Ok(Self { client, token: Secret::new(token.to_owned()) })
    }
}

impl RevocationRequestError {
    /// Returns the error code of the response (RFC 7009 §2.2.1).
    #[must_use]
    pub const fn code(self) -> ErrorCode {
        ErrorCode::InvalidRequest
    }
}

impl fmt::Display for RevocationRequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ContentType => f.write_str("the content type must be application/x-www-form-urlencoded"),
            Self::QueryParameters => f.write_str("parameters belong in the body"),
            Self::Body(error) => error.fmt(f),
            Self::Repeated => f.write_str("a parameter is repeated"),
            Self::NoToken => f.write_str("token is missing"),
        }
    }
}

impl std::error::Error for RevocationRequestError {}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: &[u8] = b"application/x-www-form-urlencoded";

    fn parse(body: &str) -> Result<RevocationRequest, RevocationRequestError> {
        RevocationRequest::parse(Some(FORM), body.as_bytes(), None)
    }

    #[test]
    fn a_request_is_read_whatever_its_hint_says() {
        for hint in ["", "&token_type_hint=", "&token_type_hint=access_token", "&token_type_hint=device_code"] {
            let request = parse(&format!("token=t%2B1&client_id=i{hint}")).unwrap();
            assert_eq!(request.token.expose(), "t+1");
            assert_eq!(request.client, BodyCredentials { client_id: Some("i".to_owned()), authenticates: false });
        }
    }

    #[test]
    fn a_secret_is_noticed_unless_it_is_empty() {
        assert!(parse("token=t&client_id=i&client_secret=s").unwrap().client.authenticates);
        assert!(!parse("token=t&client_id=i&client_secret=").unwrap().client.authenticates);
        assert_eq!(parse("token=t").unwrap().client.client_id, None);
    }

    #[test]
    fn a_request_without_a_token_or_with_a_repeated_parameter_is_refused() {
        for (body, error) in [
            ("client_id=i", RevocationRequestError::NoToken),
            ("token=&client_id=i", RevocationRequestError::NoToken),
            ("token=t&token=u&client_id=i", RevocationRequestError::Repeated),
            ("token=t&client_id=i&client_id=j", RevocationRequestError::Repeated),
            ("token=t&client_id=i&x=1&x=2", RevocationRequestError::Repeated),
            ("token=%&client_id=i", RevocationRequestError::Body(ParamsError::BadEncoding)),
        ] {
            assert_eq!(parse(body).unwrap_err(), error, "{body}");
            assert_eq!(error.code(), ErrorCode::InvalidRequest);
        }
    }

    #[test]
    fn only_a_form_in_the_body_is_read() {
        let body = b"token=t&client_id=i";
        for content_type in [None, Some(&b"application/json"[..]), Some(b"text/plain")] {
            let refused = RevocationRequest::parse(content_type, body, None).unwrap_err();
            assert_eq!(refused, RevocationRequestError::ContentType);
        }
        let refused = RevocationRequest::parse(Some(FORM), b"", Some(body)).unwrap_err();
        assert_eq!(refused, RevocationRequestError::QueryParameters);
        assert!(RevocationRequest::parse(Some(FORM), body, Some(b"")).is_ok());
    }

    #[test]
    fn debug_shows_no_token() {
        let shown = format!("{:?}", parse("token=topsecret&client_id=i").unwrap());
        assert!(!shown.contains("topsecret"), "{shown}");
    }
}
