//! The token request and its response (OAuth 2.1 §4.1.3 and §4.3, RFC 6749 §5.1, RFC 8707 §2.2).

use super::client_authentication::BodyCredentials;
use super::error::{ErrorCode, OAuthError};
use super::form::{self, FormError};
use super::params::{ParamsError, Repetition};
use super::pkce::CodeVerifier;
use super::resource::{ResourceError, ResourceUri};
use super::scope::{GrantedScope, ScopeError, ScopeSet};
use crate::crypto::secret::Secret;
use serde::Serialize;
use std::fmt;

/// A well-formed token request. Nothing of it is verified.
#[derive(Debug, Clone)]
pub struct TokenRequest {
    /// What the body says of the client.
    pub client: BodyCredentials,
    /// What the tokens are asked for with.
    pub grant: Grant,
}

/// The grant of a token request, by its `grant_type`.
#[derive(Debug, Clone)]
pub enum Grant {
    /// The authorization code grant.
    AuthorizationCode(AuthorizationCodeGrant),
    /// The refresh token grant.
    RefreshToken(RefreshTokenGrant),
}

/// The parameters of the authorization code grant (RFC 6749 §4.1.3).
#[derive(Debug, Clone)]
pub struct AuthorizationCodeGrant {
    /// The authorization code.
    pub code: Secret<String>,
    /// The redirect URI of the authorization request, if the client repeats it. OAuth 2.1 has no
    /// such parameter, since PKCE binds the code (OAuth 2.1 §10.2); where it is sent, it counts.
    pub redirect_uri: Option<String>,
    /// The PKCE verifier.
    pub code_verifier: CodeVerifier,
    /// The resource if the client repeats it.
    pub resource: Option<ResourceUri>,
}

/// The parameters of the refresh token grant (RFC 6749 §6).
#[derive(Debug, Clone)]
pub struct RefreshTokenGrant {
    /// The refresh token.
    pub refresh_token: Secret<String>,
    /// The requested scope, at most the granted one.
    pub scope: Option<ScopeSet>,
    /// The resource if the client repeats it.
    pub resource: Option<ResourceUri>,
}

/// Why a token request is refused before any lookup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenRequestError {
    /// The form is refused as such.
    Form(FormError),
    /// The required parameter of this name is absent.
    Missing(&'static str),
    /// The grant type is not supported.
    UnsupportedGrantType,
    /// The verifier is absent or cannot match any challenge (RFC 7636 §4.6).
    Verifier,
    /// The scope is malformed.
    Scope(ScopeError),
    /// The resource is malformed.
    Resource(ResourceError),
}

/// A successful response (RFC 6749 §5.1). It does not implement `Serialize`, since it holds
/// secrets.
#[derive(Debug, Clone)]
pub struct TokenResponse {
    /// The access token.
    pub access_token: Secret<String>,
    /// The access token's remaining lifetime in seconds.
    pub expires_in: u64,
    /// The scope of the access token.
    pub scope: GrantedScope,
    /// The refresh token if one was issued.
    pub refresh_token: Option<Secret<String>>,
}

/// The `grant_type` of the authorization code grant.
pub const AUTHORIZATION_CODE: &str = "authorization_code";

/// The `grant_type` of the refresh token grant.
pub const REFRESH_TOKEN: &str = "refresh_token";

/// The supported grant types, as published in the metadata.
pub const GRANT_TYPES: [&str; 2] = [AUTHORIZATION_CODE, REFRESH_TOKEN];

impl TokenRequest {
    /// Parses a token request: its `content-type`, its body of at most 16 KiB, and the query of its
    /// URL.
    ///
    /// # Errors
    /// Returns a [`TokenRequestError`] for the first check that fails.
    pub fn parse(content_type: Option<&[u8]>, body: &[u8], query: Option<&[u8]>) -> Result<Self, TokenRequestError> {
        let params = form::read(content_type, body, query).map_err(TokenRequestError::Form)?;
        let repeated = |_| TokenRequestError::Form(FormError::Repeated(Repetition::Other));
        let one = |name| params.one(name).map_err(repeated);
        let required = |name| one(name)?.ok_or(TokenRequestError::Missing(name));
        let resource = || one("resource")?.map(ResourceUri::parse).transpose().map_err(TokenRequestError::Resource);
        let client = BodyCredentials::read(&params).map_err(repeated)?;
        match required("grant_type")? {
            AUTHORIZATION_CODE => {
                let grant = AuthorizationCodeGrant {
                    code: Secret::new(required("code")?.to_owned()),
                    redirect_uri: one("redirect_uri")?.map(str::to_owned),
                    code_verifier: CodeVerifier::parse(one("code_verifier")?.unwrap_or_default())
                        .map_err(|_| TokenRequestError::Verifier)?,
                    resource: resource()?,
                };
                Ok(Self { client, grant: Grant::AuthorizationCode(grant) })
            }
            REFRESH_TOKEN => {
                let grant = RefreshTokenGrant {
                    refresh_token: Secret::new(required("refresh_token")?.to_owned()),
                    scope: one("scope")?.map(ScopeSet::parse).transpose().map_err(TokenRequestError::Scope)?,
                    resource: resource()?,
                };
                Ok(Self { client, grant: Grant::RefreshToken(grant) })
            }
            _ => Err(TokenRequestError::UnsupportedGrantType),
        }
    }
}

impl TokenRequestError {
    /// Returns the error code of the response (RFC 6749 §5.2).
    #[must_use]
    pub fn code(self) -> ErrorCode {
        match self {
            Self::Form(FormError::Repeated(Repetition::Resource)) | Self::Resource(_) => ErrorCode::InvalidTarget,
            Self::Form(_) | Self::Missing(_) => ErrorCode::InvalidRequest,
            Self::UnsupportedGrantType => ErrorCode::UnsupportedGrantType,
            Self::Verifier => ErrorCode::InvalidGrant,
            Self::Scope(_) => ErrorCode::InvalidScope,
        }
    }
}

impl TokenResponse {
    /// Returns the JSON body. It holds the tokens in the clear: for the response only.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let body = Body {
            access_token: self.access_token.expose(),
            token_type: "Bearer",
            expires_in: self.expires_in,
            scope: Some(self.scope.to_string()).filter(|scope| !scope.is_empty()),
            refresh_token: self.refresh_token.as_ref().map(|token| token.expose().as_str()),
        };
        // Room for both tokens from the start: a buffer that grows leaves copies of them behind.
        let mut text = Vec::with_capacity(body.access_token.len().saturating_add(REST_CAPACITY));
        // Writing to memory cannot fail; every client would reject an empty body.
        if serde_json::to_writer(&mut text, &body).is_err() {
            text.clear();
        }
        text
    }
}

impl From<TokenRequestError> for OAuthError {
    fn from(error: TokenRequestError) -> Self {
        let response = Self::new(error.code(), error.to_string());
        let is_too_long = error == TokenRequestError::Form(FormError::Body(ParamsError::TooLong));
        if is_too_long { response.with_status(413) } else { response }
    }
}

impl fmt::Display for TokenRequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form(error) => error.fmt(f),
            Self::Missing(name) => write!(f, "{name} is missing"),
            Self::UnsupportedGrantType => f.write_str("the grant type is not supported"),
            Self::Verifier => f.write_str("code_verifier is missing or malformed"),
            Self::Scope(error) => error.fmt(f),
            Self::Resource(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for TokenRequestError {}

/// Bytes for everything but the access token.
const REST_CAPACITY: usize = 512;

#[derive(Serialize)]
struct Body<'a> {
    access_token: &'a str,
    token_type: &'static str,
    expires_in: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<&'a str>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::form::FORM_TYPE;

    const FORM: &[u8] = FORM_TYPE.as_bytes();
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

    fn parse(body: &str) -> Result<TokenRequest, TokenRequestError> {
        TokenRequest::parse(Some(FORM), body.as_bytes(), None)
    }

    fn code_request() -> String {
        format!("grant_type=authorization_code&code=c&client_id=i&redirect_uri=https://a/cb&code_verifier={VERIFIER}")
    }

    fn named(authenticates: bool) -> BodyCredentials {
        BodyCredentials { client_id: Some("i".to_owned()), authenticates }
    }

    #[test]
    fn a_redirect_uri_and_a_client_id_in_the_body_are_optional() {
        for empty in ["", "&redirect_uri=&client_id="] {
            let body = format!("grant_type=authorization_code&code=c&code_verifier={VERIFIER}{empty}");
            let request = parse(&body).unwrap();
            assert_eq!(request.client, BodyCredentials { client_id: None, authenticates: false });
            let Grant::AuthorizationCode(grant) = request.grant else { panic!("another grant") };
            assert_eq!(grant.redirect_uri, None);
        }
        for repeated in ["redirect_uri=&redirect_uri=", "client_secret=&client_secret="] {
            let error = parse(&format!("{}&{repeated}", code_request())).unwrap_err();
            assert_eq!(error, TokenRequestError::Form(FormError::Repeated(Repetition::Other)), "{repeated}");
        }
    }

    #[test]
    fn a_code_request_is_read() {
        let request = parse(&format!("{}&resource=https://H/mcp", code_request())).unwrap();
        let Grant::AuthorizationCode(AuthorizationCodeGrant { code, redirect_uri, code_verifier, resource }) =
            request.grant
        else {
            panic!("another grant");
        };
        assert_eq!((code.expose().as_str(), request.client), ("c", named(false)));
        assert_eq!((redirect_uri.as_deref(), code_verifier.expose()), (Some("https://a/cb"), VERIFIER));
        assert_eq!(resource.unwrap().as_str(), "https://h/mcp");
    }

    #[test]
    fn a_refresh_request_is_read() {
        let request = parse("grant_type=refresh_token&refresh_token=r&client_id=i&scope=read&client_secret=").unwrap();
        let Grant::RefreshToken(RefreshTokenGrant { refresh_token, scope, resource }) = request.grant else {
            panic!("another grant");
        };
        assert_eq!((refresh_token.expose().as_str(), request.client), ("r", named(false)));
        assert_eq!((scope.unwrap().to_string().as_str(), resource), ("read", None));
        for sent in ["client_secret=s", "client_assertion=a"] {
            let request = parse(&format!("grant_type=refresh_token&refresh_token=r&client_id=i&{sent}")).unwrap();
            assert_eq!(request.client, named(true), "{sent}");
        }
    }

    #[test]
    fn only_a_form_body_is_read() {
        for content_type in [
            None,
            Some("application/json"),
            Some("multipart/form-data; boundary=x"),
            Some("text/plain"),
            Some("application/x-www-form-urlencodedx"),
        ] {
            let refused = TokenRequest::parse(content_type.map(str::as_bytes), code_request().as_bytes(), None);
            assert_eq!(refused.unwrap_err(), TokenRequestError::Form(FormError::ContentType), "{content_type:?}");
        }
        let cased = Some(b"Application/X-WWW-Form-Urlencoded; charset=UTF-8".as_slice());
        assert!(TokenRequest::parse(cased, code_request().as_bytes(), Some(b"")).is_ok());
    }

    #[test]
    fn parameters_in_the_url_are_refused() {
        let refused = TokenRequest::parse(Some(FORM), code_request().as_bytes(), Some(b"x"));
        assert_eq!(refused.unwrap_err(), TokenRequestError::Form(FormError::QueryParameters));
    }

    #[test]
    fn each_missing_parameter_is_named() {
        for name in ["grant_type", "code"] {
            let body: Vec<String> = code_request()
                .split('&')
                .filter(|pair| !pair.starts_with(&format!("{name}=")))
                .map(str::to_owned)
                .collect();
            let error = parse(&body.join("&")).unwrap_err();
            assert_eq!(error, TokenRequestError::Missing(name));
            assert_eq!(OAuthError::from(error).description(), format!("{name} is missing"));
            assert_eq!(error.code(), ErrorCode::InvalidRequest);
        }
        assert_eq!(
            parse("grant_type=refresh_token&client_id=i&refresh_token=").unwrap_err(),
            TokenRequestError::Missing("refresh_token")
        );
    }

    #[test]
    fn a_verifier_that_cannot_match_is_an_invalid_grant() {
        for verifier in
            [String::new(), "a".repeat(42), "a".repeat(129), format!("{VERIFIER}%20"), format!("{VERIFIER}%2B")]
        {
            let error = parse(&code_request().replace(VERIFIER, &verifier)).unwrap_err();
            assert_eq!((error, error.code()), (TokenRequestError::Verifier, ErrorCode::InvalidGrant), "{verifier}");
        }
    }

    #[test]
    fn other_grants_are_not_offered() {
        for grant in ["password", "implicit", "client_credentials", "Authorization_Code"] {
            let error = parse(&format!("grant_type={grant}&client_id=i")).unwrap_err();
            assert_eq!(error.code(), ErrorCode::UnsupportedGrantType, "{grant}");
        }
        assert!(parse("grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer").is_err());
    }

    #[test]
    fn repeated_and_malformed_parameters_have_their_codes() {
        for (more, expected) in [
            ("code=d", ErrorCode::InvalidRequest),
            ("client_id=i", ErrorCode::InvalidRequest),
            ("x=1&x=2", ErrorCode::InvalidRequest),
            ("resource=https://a&resource=https://b", ErrorCode::InvalidTarget),
            ("resource=urn:a", ErrorCode::InvalidTarget),
            ("x=%", ErrorCode::InvalidRequest),
        ] {
            assert_eq!(parse(&format!("{}&{more}", code_request())).unwrap_err().code(), expected, "{more}");
        }
        let scope = parse("grant_type=refresh_token&refresh_token=r&client_id=i&scope=a%5Cb");
        assert_eq!(scope.unwrap_err().code(), ErrorCode::InvalidScope);
        let long = parse(&"a".repeat(65537)).unwrap_err();
        assert_eq!(OAuthError::from(long).status(), 413);
    }

    #[test]
    fn debug_shows_no_code_and_no_token() {
        let shown = format!("{:?}", parse(&code_request().replace("code=c", "code=topsecret")).unwrap());
        assert!(!shown.contains("topsecret") && !shown.contains(VERIFIER), "{shown}");
    }

    #[test]
    fn the_answer_has_what_rfc_6749_asks_for() {
        let scope = ScopeSet::parse("read write").unwrap();
        let mut response = TokenResponse {
            access_token: Secret::new("a".into()),
            expires_in: 3600,
            scope: ScopeSet::grant(None, &scope, &scope).unwrap(),
            refresh_token: None,
        };
        assert_eq!(
            response.to_json(),
            br#"{"access_token":"a","token_type":"Bearer","expires_in":3600,"scope":"read write"}"#
        );
        // RFC 6749 §3.3 has no scope without a name.
        let none = ScopeSet::grant(None, &scope, &ScopeSet::default()).unwrap();
        let without = TokenResponse { scope: none, ..response.clone() };
        assert_eq!(without.to_json(), br#"{"access_token":"a","token_type":"Bearer","expires_in":3600}"#);
        response.refresh_token = Some(Secret::new("r".into()));
        assert!(response.to_json().ends_with(br#","refresh_token":"r"}"#));
    }
}
