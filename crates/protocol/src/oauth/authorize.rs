//! The authorization request (OAuth 2.1 §4.1.1), in two stages: until client and redirect URI are
//! verified, an error must not be sent to the redirect URI (RFC 9700 §4.11).

use super::error::{ErrorCode, OAuthError};
use super::params::{Params, Repetition};
use super::pkce::{CodeChallenge, PkceError};
use super::resource::{ResourceError, ResourceUri};
use super::scope::{ScopeError, ScopeSet};
use std::fmt;

/// First stage: the client and where its response would go. Neither is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientReference {
    /// The `client_id` as sent.
    pub client_id: String,
    /// The redirect URI as sent. If absent, the client must have registered exactly one.
    pub redirect_uri: Option<String>,
}

/// Why the first stage fails. The response is a page, never a redirect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientReferenceError {
    /// `client_id` is absent.
    MissingClientId,
    /// `client_id` is repeated.
    RepeatedClientId,
    /// `redirect_uri` is repeated.
    RepeatedRedirectUri,
}

/// Second stage: the requested authorization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizationRequest {
    /// The client's state, up to 4096 bytes without control characters. The response returns it
    /// unchanged.
    pub state: Option<String>,
    /// The PKCE challenge, which every client must send.
    pub code_challenge: CodeChallenge,
    /// The requested scopes.
    pub scope: Option<ScopeSet>,
    /// The requested resource (RFC 8707).
    pub resource: Option<ResourceUri>,
    /// The interactions that the client demands.
    pub prompt: Prompt,
}

/// The `prompt` parameter (OpenID Connect Core §3.1.2.1). Unknown values are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Prompt {
    /// The user must log in again.
    pub login: bool,
    /// The user must be asked for consent even if a consent is remembered.
    pub consent: bool,
    /// The user must choose an account.
    pub select_account: bool,
}

/// Why the second stage fails. The response goes to the verified redirect URI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthorizeError {
    /// A parameter is repeated (RFC 6749 §3.1).
    Repeated,
    /// `resource` is repeated: one token is for one resource.
    RepeatedResource,
    /// A request object (RFC 9101).
    RequestObject,
    /// A request object by reference (RFC 9101); it is never fetched.
    RequestUri,
    /// A response type other than `code`, or none.
    ResponseType,
    /// A response mode other than `query`.
    ResponseMode,
    /// The state is too long or has control characters.
    State,
    /// PKCE is missing or wrong.
    Pkce(PkceError),
    /// The scope is malformed.
    Scope(ScopeError),
    /// The resource is malformed.
    Resource(ResourceError),
    /// `prompt=none` with another value.
    ContradictoryPrompt,
    /// `prompt=none`: the gateway never authorizes without showing a page.
    PromptNone,
}

/// The supported response types, as published in the metadata.
pub const RESPONSE_TYPES: [&str; 1] = ["code"];

/// The supported response modes, as published in the metadata.
pub const RESPONSE_MODES: [&str; 1] = ["query"];

impl ClientReference {
    /// Reads the first stage.
    ///
    /// # Errors
    /// Returns a [`ClientReferenceError`] if a parameter is absent or repeated.
    pub fn parse(params: &Params) -> Result<Self, ClientReferenceError> {
        let client_id = params.one("client_id").map_err(|_| ClientReferenceError::RepeatedClientId)?;
        let redirect_uri = params.one("redirect_uri").map_err(|_| ClientReferenceError::RepeatedRedirectUri)?;
        Ok(Self {
            client_id: client_id.ok_or(ClientReferenceError::MissingClientId)?.to_owned(),
            redirect_uri: redirect_uri.map(str::to_owned),
        })
    }
}

impl AuthorizationRequest {
    /// Reads the second stage.
    ///
    /// # Errors
    /// Returns an [`AuthorizeError`] for the first check that fails.
    pub fn parse(params: &Params) -> Result<Self, AuthorizeError> {
        match params.repetition() {
            Some(Repetition::Resource) => return Err(AuthorizeError::RepeatedResource),
            Some(Repetition::Other) => return Err(AuthorizeError::Repeated),
            None => {}
        }
        let one = |name| params.one(name).map_err(|_| AuthorizeError::Repeated);
        if one("request")?.is_some() {
            return Err(AuthorizeError::RequestObject);
        }
        if one("request_uri")?.is_some() {
            return Err(AuthorizeError::RequestUri);
        }
        if !one("response_type")?.is_some_and(|asked| RESPONSE_TYPES.contains(&asked)) {
            return Err(AuthorizeError::ResponseType);
        }
        if one("response_mode")?.is_some_and(|asked| !RESPONSE_MODES.contains(&asked)) {
            return Err(AuthorizeError::ResponseMode);
        }
        let state = one("state")?;
        if state.is_some_and(|state| !is_state(state)) {
            return Err(AuthorizeError::State);
        }
        let code_challenge = CodeChallenge::from_parameters(one("code_challenge")?, one("code_challenge_method")?)
            .map_err(AuthorizeError::Pkce)?;
        Ok(Self {
            state: state.map(str::to_owned),
            code_challenge,
            scope: one("scope")?.map(ScopeSet::parse).transpose().map_err(AuthorizeError::Scope)?,
            resource: one("resource")?.map(ResourceUri::parse).transpose().map_err(AuthorizeError::Resource)?,
            prompt: Prompt::parse(one("prompt")?.unwrap_or_default())?,
        })
    }
}

/// Returns the state for an error response: the one that the client sent, unless it is repeated,
/// too long or has control characters.
#[must_use]
pub fn state_for_errors(params: &Params) -> Option<&str> {
    params.one("state").ok().flatten().filter(|state| is_state(state))
}

impl Prompt {
    fn parse(text: &str) -> Result<Self, AuthorizeError> {
        let mut prompt = Self::default();
        let mut none = false;
        for value in text.split(' ') {
            match value {
                "login" => prompt.login = true,
                "consent" => prompt.consent = true,
                "select_account" => prompt.select_account = true,
                "none" => none = true,
                _ => {}
            }
        }
        match (none, text) {
            (false, _) => Ok(prompt),
            (true, "none") => Err(AuthorizeError::PromptNone),
            (true, _) => Err(AuthorizeError::ContradictoryPrompt),
        }
    }
}

impl AuthorizeError {
    /// Returns the error code of the response (RFC 6749 §4.1.2.1).
    #[must_use]
    pub fn code(self) -> ErrorCode {
        match self {
            Self::Repeated | Self::ResponseMode | Self::State | Self::Pkce(_) | Self::ContradictoryPrompt => {
                ErrorCode::InvalidRequest
            }
            Self::RepeatedResource | Self::Resource(_) => ErrorCode::InvalidTarget,
            Self::RequestObject => ErrorCode::RequestNotSupported,
            Self::RequestUri => ErrorCode::RequestUriNotSupported,
            Self::ResponseType => ErrorCode::UnsupportedResponseType,
            Self::Scope(_) => ErrorCode::InvalidScope,
            Self::PromptNone => ErrorCode::InteractionRequired,
        }
    }
}

impl From<AuthorizeError> for OAuthError {
    fn from(error: AuthorizeError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

impl fmt::Display for AuthorizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repeated => f.write_str("a parameter is repeated"),
            Self::RepeatedResource => f.write_str("resource is repeated"),
            Self::RequestObject => f.write_str("request is not supported"),
            Self::RequestUri => f.write_str("request_uri is not supported"),
            Self::ResponseType => f.write_str("response_type must be code"),
            Self::ResponseMode => f.write_str("response_mode must be query"),
            Self::State => f.write_str("state is too long or has control characters"),
            Self::Pkce(error) => error.fmt(f),
            Self::Scope(error) => error.fmt(f),
            Self::Resource(error) => error.fmt(f),
            Self::ContradictoryPrompt => f.write_str("prompt=none excludes other values"),
            Self::PromptNone => f.write_str("the user must log in or consent, which prompt=none forbids"),
        }
    }
}

impl std::error::Error for AuthorizeError {}

impl fmt::Display for ClientReferenceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MissingClientId => "client_id is missing",
            Self::RepeatedClientId => "client_id is repeated",
            Self::RepeatedRedirectUri => "redirect_uri is repeated",
        })
    }
}

impl std::error::Error for ClientReferenceError {}

fn is_state(state: &str) -> bool {
    state.len() <= MAX_STATE_BYTES && !state.chars().any(char::is_control)
}

const MAX_STATE_BYTES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::super::params::Limits;
    use super::*;

    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    fn parse(query: &str) -> Result<AuthorizationRequest, AuthorizeError> {
        AuthorizationRequest::parse(&params(query))
    }

    fn params(query: &str) -> Params {
        Params::parse(query.as_bytes(), Limits::OAUTH).unwrap()
    }

    fn good() -> String {
        format!("response_type=code&client_id=c&code_challenge={CHALLENGE}&code_challenge_method=S256")
    }

    fn code(query: &str) -> &'static str {
        parse(query).unwrap_err().code().as_str()
    }

    #[test]
    fn a_full_request_is_read() {
        let query = format!(
            "{}&state=%22%3E%3Cscript%3E&scope=read+write&resource=https://H/mcp/&prompt=login+consent+new&unknown=1",
            good()
        );
        let request = parse(&query).unwrap();
        assert_eq!(request.state.as_deref(), Some("\"><script>"));
        assert_eq!(request.code_challenge.to_string(), CHALLENGE);
        assert_eq!(request.scope.unwrap().to_string(), "read write");
        assert_eq!(request.resource.unwrap().as_str(), "https://h/mcp");
        assert_eq!(request.prompt, Prompt { login: true, consent: true, select_account: false });
    }

    #[test]
    fn the_shortest_request_is_read() {
        let request = parse(&format!("{}&state=&scope=&response_mode=query", good())).unwrap();
        assert_eq!((request.state, request.scope, request.resource), (None, None, None));
        assert_eq!(request.prompt, Prompt::default());
    }

    #[test]
    fn the_client_is_named_once() {
        let client = |query: &str| ClientReference::parse(&params(query));
        let named = client("client_id=c&redirect_uri=https://a/cb&scope=%01").unwrap();
        assert_eq!((named.client_id.as_str(), named.redirect_uri.as_deref()), ("c", Some("https://a/cb")));
        assert_eq!(client("client_id=c").unwrap().redirect_uri, None);
        assert_eq!(client(""), Err(ClientReferenceError::MissingClientId));
        assert_eq!(client("client_id="), Err(ClientReferenceError::MissingClientId));
        assert_eq!(client("client_id=a&client_id=a"), Err(ClientReferenceError::RepeatedClientId));
        assert_eq!(
            client("client_id=a&redirect_uri=https://a/&redirect_uri=https://b/"),
            Err(ClientReferenceError::RepeatedRedirectUri)
        );
    }

    #[test]
    fn only_the_code_response_type_is_offered() {
        for asked in ["token", "code%20token", "id_token", "Code", "none", ""] {
            let query = good().replace("response_type=code", &format!("response_type={asked}"));
            assert_eq!(code(&query), "unsupported_response_type", "{asked}");
        }
        assert_eq!(code(&good().replace("response_type=code&", "")), "unsupported_response_type");
    }

    #[test]
    fn pkce_with_s256_is_required_of_everyone() {
        for query in [
            good().replace("S256", "plain"),
            good().replace("S256", "s256"),
            good().replace("&code_challenge_method=S256", ""),
            good().replace(CHALLENGE, ""),
            good().replace(CHALLENGE, "short"),
        ] {
            let error = parse(&query).unwrap_err();
            assert!(matches!(error, AuthorizeError::Pkce(_)), "{query}");
            assert_eq!(error.code().as_str(), "invalid_request");
        }
    }

    #[test]
    fn every_other_fault_has_its_code() {
        for (more, expected) in [
            ("state=a&state=b", "invalid_request"),
            ("unknown=a&unknown=b", "invalid_request"),
            ("response_type=code", "invalid_request"),
            ("resource=https://a&resource=https://b", "invalid_target"),
            ("resource=https://a&resource=https://b&x=1&x=2", "invalid_target"),
            ("resource=https://a%23x", "invalid_target"),
            ("resource=a", "invalid_target"),
            ("request=e30", "request_not_supported"),
            ("request_uri=https://a/r", "request_uri_not_supported"),
            ("response_mode=fragment", "invalid_request"),
            ("response_mode=form_post", "invalid_request"),
            ("state=a%0d%0ab", "invalid_request"),
            ("scope=a%22b", "invalid_scope"),
            ("prompt=none", "interaction_required"),
            ("prompt=none+login", "invalid_request"),
        ] {
            assert_eq!(code(&format!("{}&{more}", good())), expected, "{more}");
        }
    }

    #[test]
    fn a_state_over_4096_bytes_is_refused() {
        let with = |length: usize| parse(&format!("{}&state={}", good(), "s".repeat(length)));
        assert!(with(4096).is_ok());
        assert_eq!(with(4097), Err(AuthorizeError::State));
    }

    #[test]
    fn an_error_returns_the_state_only_when_there_is_one_that_may_be_returned() {
        assert_eq!(state_for_errors(&params("state=a%26b")), Some("a&b"));
        for query in ["", "state=", "state=a&state=a", "state=a%0ab", &format!("state={}", "s".repeat(4097))] {
            assert_eq!(state_for_errors(&params(query)), None, "{query}");
        }
    }

    #[test]
    fn the_answer_describes_the_fault() {
        let error = OAuthError::from(parse(&good().replace("S256", "plain")).unwrap_err());
        assert_eq!(error.description(), "code_challenge_method must be S256");
    }
}
