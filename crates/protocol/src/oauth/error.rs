//! OAuth error responses: code, description, status (RFC 6749 §5.2 and §4.1.2.1, RFC 6750 §3.1, RFC
//! 7591 §3.2.2, RFC 8707 §2).

use serde_json::{Map, Value};
use std::borrow::Cow;
use std::fmt;

/// The error codes of responses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCode {
    /// RFC 6749 §5.2: a parameter is missing, malformed or repeated.
    InvalidRequest,
    /// RFC 6749 §5.2: the client is unknown or its authentication failed.
    InvalidClient,
    /// RFC 6749 §5.2: the code or refresh token is invalid, expired, revoked or another client's.
    InvalidGrant,
    /// RFC 6749 §5.2: the client may not use this grant.
    UnauthorizedClient,
    /// RFC 6749 §5.2: the grant type is not supported.
    UnsupportedGrantType,
    /// RFC 6749 §4.1.2.1: the response type is not supported.
    UnsupportedResponseType,
    /// RFC 6749 §5.2: the scope is malformed, unknown or wider than granted.
    InvalidScope,
    /// RFC 6749 §4.1.2.1: the user or the server refused.
    AccessDenied,
    /// RFC 6749 §4.1.2.1: the server failed.
    ServerError,
    /// RFC 6749 §4.1.2.1: the server is overloaded or a dependency is down.
    TemporarilyUnavailable,
    /// RFC 8707 §2: the resource is malformed, unknown or not allowed.
    InvalidTarget,
    /// RFC 7591 §3.2.2: a redirect URI may not be registered.
    InvalidRedirectUri,
    /// RFC 7591 §3.2.2: another field of the client metadata is invalid.
    InvalidClientMetadata,
    /// OpenID Connect Core §3.1.2.6: request objects are not supported.
    RequestNotSupported,
    /// OpenID Connect Core §3.1.2.6: request objects by reference are not supported.
    RequestUriNotSupported,
    /// OpenID Connect Core §3.1.2.6: the user must interact, which `prompt=none` forbids.
    InteractionRequired,
    /// RFC 6750 §3.1: the access token is malformed, expired, revoked or not for this resource.
    InvalidToken,
    /// RFC 6750 §3.1: the access token does not carry the scope that is needed.
    InsufficientScope,
}

impl ErrorCode {
    /// Returns the value of the `error` member.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::InvalidScope => "invalid_scope",
            Self::AccessDenied => "access_denied",
            Self::ServerError => "server_error",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
            Self::InvalidTarget => "invalid_target",
            Self::InvalidRedirectUri => "invalid_redirect_uri",
            Self::InvalidClientMetadata => "invalid_client_metadata",
            Self::RequestNotSupported => "request_not_supported",
            Self::RequestUriNotSupported => "request_uri_not_supported",
            Self::InteractionRequired => "interaction_required",
            Self::InvalidToken => "invalid_token",
            Self::InsufficientScope => "insufficient_scope",
        }
    }

    /// Returns the HTTP status of a response with this code.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::InvalidClient | Self::InvalidToken => 401,
            Self::AccessDenied | Self::InsufficientScope => 403,
            Self::ServerError => 500,
            Self::TemporarilyUnavailable => 503,
            Self::InvalidRequest
            | Self::InvalidGrant
            | Self::UnauthorizedClient
            | Self::UnsupportedGrantType
            | Self::UnsupportedResponseType
            | Self::InvalidScope
            | Self::InvalidTarget
            | Self::InvalidRedirectUri
            | Self::InvalidClientMetadata
            | Self::RequestNotSupported
            | Self::RequestUriNotSupported
            | Self::InteractionRequired => 400,
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error response. Its description holds only the characters of RFC 6749 §5.2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuthError {
    code: ErrorCode,
    description: Cow<'static, str>,
    status: u16,
}

impl OAuthError {
    /// Makes a response from a code and a description for people. A character that a description
    /// may not have becomes `?`, so that no quote, backslash or line end of a request reaches a
    /// header, a log or a page.
    #[must_use]
    pub fn new(code: ErrorCode, description: impl Into<Cow<'static, str>>) -> Self {
        let description = description.into();
        let description = if description.bytes().all(is_description_byte) {
            description
        } else {
            let plain = |c: char| u8::try_from(c).is_ok_and(is_description_byte);
            Cow::Owned(description.chars().map(|c| if plain(c) { c } else { '?' }).collect())
        };
        Self { code, description, status: code.status() }
    }

    /// Returns the same error with another HTTP status (413, 429).
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// Returns the error code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        self.code
    }

    /// Returns the description, in the characters of RFC 6749 §5.2.
    #[must_use]
    pub fn description(&self) -> &str {
        &self.description
    }

    /// Returns the HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Returns the JSON body (RFC 6749 §5.2).
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let mut body = Map::new();
        body.insert("error".to_owned(), Value::from(self.code.as_str()));
        if !self.description.is_empty() {
            body.insert("error_description".to_owned(), Value::from(self.description.as_ref()));
        }
        Value::Object(body).to_string().into_bytes()
    }
}

impl fmt::Display for OAuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.description)
    }
}

impl std::error::Error for OAuthError {}

fn is_description_byte(byte: u8) -> bool {
    matches!(byte, 0x20..=0x21 | 0x23..=0x5b | 0x5d..=0x7e)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_names_code_and_description() {
        let error = OAuthError::new(ErrorCode::InvalidGrant, "the code is unknown");
        assert_eq!(error.to_json(), br#"{"error":"invalid_grant","error_description":"the code is unknown"}"#);
        assert_eq!(OAuthError::new(ErrorCode::ServerError, "").to_json(), br#"{"error":"server_error"}"#);
    }

    #[test]
    fn a_description_never_holds_a_quote_backslash_control_or_foreign_character() {
        let error = OAuthError::new(ErrorCode::InvalidRequest, "a\"b\\c\r\nd\u{7f}é\u{202e}!~".to_owned());
        assert_eq!(error.description(), "a?b?c??d???!~");
    }

    #[test]
    fn the_status_follows_the_code_unless_it_is_given() {
        assert_eq!(OAuthError::new(ErrorCode::InvalidClient, "").status(), 401);
        assert_eq!(OAuthError::new(ErrorCode::TemporarilyUnavailable, "").status(), 503);
        assert_eq!(OAuthError::new(ErrorCode::InvalidRequest, "").with_status(413).status(), 413);
    }
}
