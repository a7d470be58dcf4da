//! Dynamic registration of public clients (RFC 7591).

use super::authorize::RESPONSE_TYPES;
use super::error::{ErrorCode, OAuthError};
use super::metadata::CLIENT_AUTH_METHOD;
use super::redirect::{RedirectError, RedirectUri};
use super::scope::{ScopeError, ScopeSet};
use super::token::{AUTHORIZATION_CODE, REFRESH_TOKEN};
use crate::http::media_type::is_media_type;
use crate::json::{self, JsonError, Limits};
use serde::Serialize;
use serde_json::{Map, Value};
use std::fmt;

/// The metadata of a client in effect: values that it may not have are replaced (RFC 7591 §3.2.1).
/// Unused fields, such as `logo_uri` and `jwks_uri`, are neither fetched, stored nor returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    redirect_uris: Vec<RedirectUri>,
    client_name: Option<String>,
    software_id: Option<String>,
    application_type: Option<ApplicationType>,
    refresh: bool,
    scope: ScopeSet,
    names_scope: bool,
}

/// The kind of application (OpenID Connect Registration §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApplicationType {
    /// Runs on the user's machine.
    Native,
    /// Runs on a server.
    Web,
}

/// Why a registration is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegistrationError {
    /// The body is not `application/json`.
    ContentType,
    /// The body is not one strict JSON object within the limits.
    Json(JsonError),
    /// `redirect_uris` is not an array of 1 to 10 strings.
    RedirectUris,
    /// A redirect URI may not be registered.
    RedirectUri {
        /// Its place in `redirect_uris`, from 0.
        index: usize,
        /// Why not.
        error: RedirectError,
    },
    /// The field of this name has the wrong type.
    Type(&'static str),
    /// The field of this name is too long or has a forbidden character.
    Value(&'static str),
    /// `token_endpoint_auth_method` is a method that cannot be replaced by `none`.
    AuthMethod,
    /// `grant_types` without the code grant.
    GrantTypes,
    /// `response_types` other than `code`.
    ResponseTypes,
    /// The scope is malformed.
    Scope(ScopeError),
}

impl Registration {
    /// Parses a registration: its `content-type` and its body of at most 64 KiB. Scopes that are
    /// not among `supported_scopes` are dropped, as grants are that are not offered: a client lists
    /// what it knows. One that names no supported scope gets all of them.
    ///
    /// # Errors
    /// Returns a [`RegistrationError`] for the first check that fails.
    pub fn parse(
        content_type: Option<&[u8]>,
        body: &[u8],
        supported_scopes: &ScopeSet,
    ) -> Result<Self, RegistrationError> {
        if !is_media_type(content_type, "application/json") {
            return Err(RegistrationError::ContentType);
        }
        let metadata = json::parse_object(body, Limits::DOCUMENT).map_err(RegistrationError::Json)?;
        check_auth_method(&metadata)?;
        check_response_types(&metadata)?;
        let named_scope = named_scope(&metadata, supported_scopes)?;
        Ok(Self {
            redirect_uris: redirect_uris(&metadata)?,
            client_name: client_name(&metadata)?,
            software_id: software_id(&metadata)?,
            application_type: application_type(&metadata)?,
            refresh: wants_refresh(&metadata)?,
            names_scope: named_scope.is_some(),
            scope: named_scope.unwrap_or_else(|| supported_scopes.clone()),
        })
    }

    /// Returns the redirect URIs, 1 to 10.
    #[must_use]
    pub fn redirect_uris(&self) -> &[RedirectUri] {
        &self.redirect_uris
    }

    /// Returns the name that the client chose: up to 256 characters, none of them invisible. It is
    /// not verified.
    #[must_use]
    pub fn client_name(&self) -> Option<&str> {
        self.client_name.as_deref()
    }

    /// Returns the software id: up to 256 characters of printable ASCII.
    #[must_use]
    pub fn software_id(&self) -> Option<&str> {
        self.software_id.as_deref()
    }

    /// Returns the kind of application if the client named one.
    #[must_use]
    pub fn application_type(&self) -> Option<ApplicationType> {
        self.application_type
    }

    /// Returns `true` if the client may use refresh tokens.
    #[must_use]
    pub fn has_refresh(&self) -> bool {
        self.refresh
    }

    /// Returns the scopes that the client may request.
    #[must_use]
    pub fn scope(&self) -> &ScopeSet {
        &self.scope
    }

    /// Returns the same where the registration names less than all that is offered; `None` where
    /// the client may request whatever is.
    #[must_use]
    pub fn named_scope(&self) -> Option<&ScopeSet> {
        self.names_scope.then_some(&self.scope)
    }

    /// Returns the response body (RFC 7591 §3.2.1): the values in effect, without fields that are
    /// not set, since clients refuse `null`. `issued_at` is in Unix seconds. There is never a
    /// secret.
    #[must_use]
    pub fn response_json(&self, client_id: &str, issued_at: u64) -> Vec<u8> {
        let mut grant_types = vec![AUTHORIZATION_CODE];
        if self.refresh {
            grant_types.push(REFRESH_TOKEN);
        }
        let body = Body {
            client_id,
            client_id_issued_at: issued_at,
            redirect_uris: self.redirect_uris.iter().map(RedirectUri::as_str).collect(),
            token_endpoint_auth_method: CLIENT_AUTH_METHOD,
            grant_types,
            response_types: RESPONSE_TYPES,
            scope: self.scope.to_string(),
            client_name: self.client_name(),
            software_id: self.software_id(),
            application_type: self.application_type.map(ApplicationType::as_str),
        };
        // Writing to memory cannot fail; every client would reject an empty body.
        serde_json::to_vec(&body).unwrap_or_default()
    }
}

impl ApplicationType {
    /// Returns the value of `application_type`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Web => "web",
        }
    }
}

impl RegistrationError {
    /// Returns the error code of the response (RFC 7591 §3.2.2).
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::RedirectUris | Self::RedirectUri { .. } => ErrorCode::InvalidRedirectUri,
            Self::ContentType
            | Self::Json(_)
            | Self::Type(_)
            | Self::Value(_)
            | Self::AuthMethod
            | Self::GrantTypes
            | Self::ResponseTypes
            | Self::Scope(_) => ErrorCode::InvalidClientMetadata,
        }
    }
}

impl From<RegistrationError> for OAuthError {
    fn from(error: RegistrationError) -> Self {
        let response = Self::new(error.code(), error.to_string());
        if error == RegistrationError::Json(JsonError::TooLarge) { response.with_status(413) } else { response }
    }
}

impl fmt::Display for RegistrationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ContentType => f.write_str("the content type must be application/json"),
            Self::Json(JsonError::TooLarge) => f.write_str("the body is too large"),
            Self::Json(_) => f.write_str("the body must be one JSON object without repeated members"),
            Self::RedirectUris => f.write_str("redirect_uris must be an array of 1 to 10 strings"),
            Self::RedirectUri { index, error } => write!(f, "redirect_uris[{index}]: {error}"),
            Self::Type(field) => write!(f, "{field} has the wrong type"),
            Self::Value(field) => write!(f, "{field} is too long or has characters that are not allowed"),
            Self::AuthMethod => f.write_str("token_endpoint_auth_method must be none"),
            Self::GrantTypes => f.write_str("grant_types must include authorization_code"),
            Self::ResponseTypes => f.write_str("response_types must be code"),
            Self::Scope(error) => write!(f, "scope: {error}"),
        }
    }
}

impl std::error::Error for RegistrationError {}

/// Some clients ask for a secret that they cannot keep; RFC 7591 §3.2.1 allows to register them
/// with `none` instead. A method with keys or certificates is refused: such a client would not
/// accept being public.
fn check_auth_method(metadata: &Map<String, Value>) -> Result<(), RegistrationError> {
    match text(metadata, "token_endpoint_auth_method")?.unwrap_or_default() {
        "" | CLIENT_AUTH_METHOD | "client_secret_basic" | "client_secret_post" => Ok(()),
        _ => Err(RegistrationError::AuthMethod),
    }
}

fn check_response_types(metadata: &Map<String, Value>) -> Result<(), RegistrationError> {
    match texts(metadata, "response_types")? {
        Some(types) if types.is_empty() || types.iter().any(|asked| !RESPONSE_TYPES.contains(asked)) => {
            Err(RegistrationError::ResponseTypes)
        }
        Some(_) | None => Ok(()),
    }
}

fn redirect_uris(metadata: &Map<String, Value>) -> Result<Vec<RedirectUri>, RegistrationError> {
    let uris = texts(metadata, "redirect_uris").map_err(|_| RegistrationError::RedirectUris)?.unwrap_or_default();
    if !(1..=MAX_REDIRECT_URIS).contains(&uris.len()) {
        return Err(RegistrationError::RedirectUris);
    }
    let register =
        |(index, uri)| RedirectUri::register(uri).map_err(|error| RegistrationError::RedirectUri { index, error });
    uris.into_iter().enumerate().map(register).collect()
}

fn client_name(metadata: &Map<String, Value>) -> Result<Option<String>, RegistrationError> {
    let Some(name) = text(metadata, "client_name")? else { return Ok(None) };
    if name.chars().count() > MAX_TEXT_CHARACTERS {
        return Err(RegistrationError::Value("client_name"));
    }
    let visible: String = name.chars().filter(|c| !is_invisible(*c)).collect();
    let visible = visible.trim();
    Ok((!visible.is_empty()).then(|| visible.to_owned()))
}

fn software_id(metadata: &Map<String, Value>) -> Result<Option<String>, RegistrationError> {
    let Some(id) = text(metadata, "software_id")? else { return Ok(None) };
    if id.len() > MAX_TEXT_CHARACTERS || !id.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Err(RegistrationError::Value("software_id"));
    }
    Ok((!id.is_empty()).then(|| id.to_owned()))
}

fn application_type(metadata: &Map<String, Value>) -> Result<Option<ApplicationType>, RegistrationError> {
    Ok(match text(metadata, "application_type")? {
        Some("native") => Some(ApplicationType::Native),
        Some("web") => Some(ApplicationType::Web),
        Some(_) | None => None,
    })
}

/// Grants that we do not offer are dropped, since clients list whatever they know. None named means
/// both of ours.
fn wants_refresh(metadata: &Map<String, Value>) -> Result<bool, RegistrationError> {
    match texts(metadata, "grant_types")? {
        Some(grants) if !grants.contains(&AUTHORIZATION_CODE) => Err(RegistrationError::GrantTypes),
        Some(grants) => Ok(grants.contains(&REFRESH_TOKEN)),
        None => Ok(true),
    }
}

/// The supported scopes that the client names; `None` if it names none of them, or all.
fn named_scope(metadata: &Map<String, Value>, supported: &ScopeSet) -> Result<Option<ScopeSet>, RegistrationError> {
    let named = match metadata.get("scope") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(names)) => ScopeSet::parse(names).map_err(RegistrationError::Scope)?,
        Some(_) => {
            let names = texts(metadata, "scope")?.unwrap_or_default();
            ScopeSet::from_names(names).map_err(RegistrationError::Scope)?
        }
    };
    Ok(Some(named.intersection(supported)).filter(|named| !named.is_empty() && !supported.is_subset_of(named)))
}

/// A string field; `null` counts as absent because some clients write out what they leave unset.
fn text<'a>(metadata: &'a Map<String, Value>, field: &'static str) -> Result<Option<&'a str>, RegistrationError> {
    match metadata.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_str().map(Some).ok_or(RegistrationError::Type(field)),
    }
}

/// An array of strings; `null` counts as absent.
fn texts<'a>(metadata: &'a Map<String, Value>, field: &'static str) -> Result<Option<Vec<&'a str>>, RegistrationError> {
    match metadata.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            let values = value.as_array().ok_or(RegistrationError::Type(field))?;
            let texts: Option<Vec<&str>> = values.iter().map(Value::as_str).collect();
            texts.map(Some).ok_or(RegistrationError::Type(field))
        }
    }
}

/// Characters that change how a name is shown without being seen: controls, bidirectional marks and
/// overrides, zero width, fillers, variation selectors, tags.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[derive(Serialize)]
struct Body<'a> {
    client_id: &'a str,
    client_id_issued_at: u64,
    redirect_uris: Vec<&'a str>,
    token_endpoint_auth_method: &'static str,
    grant_types: Vec<&'static str>,
    response_types: [&'static str; 1],
    scope: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    software_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    application_type: Option<&'static str>,
}

const MAX_REDIRECT_URIS: usize = 10;
const MAX_TEXT_CHARACTERS: usize = 256;

#[cfg(test)]
#[path = "register_tests.rs"]
mod tests;
