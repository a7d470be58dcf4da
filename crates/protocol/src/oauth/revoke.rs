//! The revocation request (RFC 7009 §2.1).

use super::client_authentication::BodyCredentials;
use super::error::ErrorCode;
use super::form::{self, FormError};
use super::params::Repetition;
use crate::crypto::secret::Secret;
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
    /// The form is refused as such.
    Form(FormError),
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
        let params = form::read(content_type, body, query).map_err(RevocationRequestError::Form)?;
        let repeated = |_| RevocationRequestError::Form(FormError::Repeated(Repetition::Other));
        let client = BodyCredentials::read(&params).map_err(repeated)?;
        let token = params.one("token").map_err(repeated)?;
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
            Self::Form(error) => error.fmt(f),
            Self::NoToken => f.write_str("token is missing"),
        }
    }
}

impl std::error::Error for RevocationRequestError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::form::FORM_TYPE;
    use crate::oauth::params::ParamsError;

    const FORM: &[u8] = FORM_TYPE.as_bytes();
    const REPEATED: RevocationRequestError = RevocationRequestError::Form(FormError::Repeated(Repetition::Other));

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
            ("token=t&token=u&client_id=i", REPEATED),
            ("token=t&client_id=i&client_id=j", REPEATED),
            ("token=t&client_id=i&x=1&x=2", REPEATED),
            ("token=%&client_id=i", RevocationRequestError::Form(FormError::Body(ParamsError::BadEncoding))),
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
            assert_eq!(refused, RevocationRequestError::Form(FormError::ContentType));
        }
        let refused = RevocationRequest::parse(Some(FORM), b"", Some(body)).unwrap_err();
        assert_eq!(refused, RevocationRequestError::Form(FormError::QueryParameters));
        assert!(RevocationRequest::parse(Some(FORM), body, Some(b"")).is_ok());
    }

    #[test]
    fn debug_shows_no_token() {
        let shown = format!("{:?}", parse("token=topsecret&client_id=i").unwrap());
        assert!(!shown.contains("topsecret"), "{shown}");
    }
}
