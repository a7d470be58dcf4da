//! Client-id metadata documents (draft-ietf-oauth-client-id-metadata-document §4): what the
//! document at a client's id says of the client.
//!
//! Clients write one document for every server, so what this server does not offer is left out of
//! it and not refused: grants, response types, scopes, redirect URIs that no client may have, and
//! every member that is not named here. Nothing that a document refers to (`logo_uri`, `jwks_uri`)
//! is fetched.

use std::fmt;

use serde_json::{Map, Value};

use super::authorize::RESPONSE_TYPES;
use super::client_id_url::ClientIdUrl;
use super::client_name::{MAX_NAME_CHARACTERS, visible_name};
use super::metadata::CLIENT_AUTH_METHOD;
use super::redirect::{RedirectError, RedirectUri};
use super::token::{AUTHORIZATION_CODE, REFRESH_TOKEN};
use crate::json::{self, JsonError, Limits};

/// The metadata of a client, as its document has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientDocument {
    client_name: Option<String>,
    redirect_uris: Vec<String>,
    refresh: bool,
}

/// Why a document is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientDocumentError {
    /// It is not one strict JSON object within the limits.
    Json(JsonError),
    /// Its `client_id` is absent or another text than its URL.
    OtherClientId,
    /// It has a member that begins with `client_secret`: what everyone can read is no secret.
    Secret,
    /// `token_endpoint_auth_method` is based on a shared secret.
    SharedSecret,
    /// `token_endpoint_auth_method` is another one than `none`.
    AuthMethod,
    /// `redirect_uris` is not an array of 1 to 64 strings.
    RedirectUris,
    /// No redirect URI is one that a client may have.
    RedirectUri(RedirectError),
    /// `grant_types` is not an array of strings, or is without the code grant.
    GrantTypes,
    /// `response_types` is not an array of strings, or is without `code`.
    ResponseTypes,
}

impl ClientDocument {
    /// Parses the document that was fetched from a client's id.
    ///
    /// # Errors
    /// Returns a [`ClientDocumentError`] for the first check that fails.
    pub fn parse(client_id: &ClientIdUrl, body: &[u8]) -> Result<Self, ClientDocumentError> {
        let document = json::parse_object(body, Limits::DOCUMENT).map_err(ClientDocumentError::Json)?;
        if document.get("client_id").and_then(Value::as_str) != Some(client_id.as_str()) {
            return Err(ClientDocumentError::OtherClientId);
        }
        if document.iter().any(|(name, value)| name.starts_with("client_secret") && !value.is_null()) {
            return Err(ClientDocumentError::Secret);
        }
        check_auth_method(&document)?;
        check_response_types(&document)?;
        Ok(Self {
            client_name: client_name(&document),
            redirect_uris: redirect_uris(&document)?,
            refresh: may_refresh(&document)?,
        })
    }

    /// Returns the name that the client chose: up to 256 characters, none of them invisible. It is
    /// not verified.
    #[must_use]
    pub fn client_name(&self) -> Option<&str> {
        self.client_name.as_deref()
    }

    /// Returns the redirect URIs, 1 to 64, each of a form that may be registered.
    #[must_use]
    pub fn redirect_uris(&self) -> &[String] {
        &self.redirect_uris
    }

    /// Returns `true` if the client may use refresh tokens.
    #[must_use]
    pub fn has_refresh(&self) -> bool {
        self.refresh
    }

    /// Returns about how many bytes of memory it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let texts = self.redirect_uris.iter().chain(&self.client_name);
        texts.map(|text| text.len().saturating_add(PER_TEXT_BYTES)).fold(0, usize::saturating_add)
    }
}

impl fmt::Display for ClientDocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(JsonError::TooLarge) => f.write_str("it is too large"),
            Self::Json(_) => f.write_str("it is not one JSON object without repeated members"),
            Self::OtherClientId => f.write_str("its client_id is not exactly the URL that it was fetched from"),
            Self::Secret => f.write_str("it contains a client secret"),
            Self::SharedSecret => {
                f.write_str("its token_endpoint_auth_method is based on a shared secret, which no document can have")
            }
            Self::AuthMethod => f.write_str("its token_endpoint_auth_method is not supported here; it must be none"),
            Self::RedirectUris => f.write_str("its redirect_uris is not an array of 1 to 64 strings"),
            Self::RedirectUri(error) => write!(f, "none of its redirect_uris can be used: {error}"),
            Self::GrantTypes => f.write_str("its grant_types must include authorization_code"),
            Self::ResponseTypes => f.write_str("its response_types must include code"),
        }
    }
}

impl std::error::Error for ClientDocumentError {}

/// RFC 7591 §2 has `client_secret_basic` for a client that names no method; a document can have no
/// secret, so here it is `none`.
fn check_auth_method(document: &Map<String, Value>) -> Result<(), ClientDocumentError> {
    match document.get("token_endpoint_auth_method") {
        None | Some(Value::Null) => Ok(()),
        Some(Value::String(method)) => match method.as_str() {
            "" | CLIENT_AUTH_METHOD => Ok(()),
            "client_secret_basic" | "client_secret_post" | "client_secret_jwt" => {
                Err(ClientDocumentError::SharedSecret)
            }
            _ => Err(ClientDocumentError::AuthMethod),
        },
        Some(_) => Err(ClientDocumentError::AuthMethod),
    }
}

fn check_response_types(document: &Map<String, Value>) -> Result<(), ClientDocumentError> {
    match texts(document, "response_types").ok_or(ClientDocumentError::ResponseTypes)? {
        Some(types) if !types.iter().any(|named| RESPONSE_TYPES.contains(named)) => {
            Err(ClientDocumentError::ResponseTypes)
        }
        Some(_) | None => Ok(()),
    }
}

/// No grant named means both of ours, as in a registration.
fn may_refresh(document: &Map<String, Value>) -> Result<bool, ClientDocumentError> {
    match texts(document, "grant_types").ok_or(ClientDocumentError::GrantTypes)? {
        Some(grants) if !grants.contains(&AUTHORIZATION_CODE) => Err(ClientDocumentError::GrantTypes),
        Some(grants) => Ok(grants.contains(&REFRESH_TOKEN)),
        None => Ok(true),
    }
}

/// The redirect URIs that a client may have. One that no client may have matches no request, so
/// leaving it out refuses no more than keeping it would.
fn redirect_uris(document: &Map<String, Value>) -> Result<Vec<String>, ClientDocumentError> {
    let uris = texts(document, "redirect_uris").flatten().ok_or(ClientDocumentError::RedirectUris)?;
    if !(1..=MAX_REDIRECT_URIS).contains(&uris.len()) {
        return Err(ClientDocumentError::RedirectUris);
    }
    let mut refused = None;
    let mut usable = Vec::with_capacity(uris.len());
    for uri in uris {
        match RedirectUri::register(uri) {
            Ok(_) => usable.push(uri.to_owned()),
            Err(error) => refused = Some(error),
        }
    }
    match refused {
        Some(error) if usable.is_empty() => Err(ClientDocumentError::RedirectUri(error)),
        Some(_) | None => Ok(usable),
    }
}

/// A name that is none, or too long to be shown as a whole, is cut: it proves nothing either way.
fn client_name(document: &Map<String, Value>) -> Option<String> {
    let name: String = document.get("client_name")?.as_str()?.chars().take(MAX_NAME_CHARACTERS).collect();
    visible_name(&name)
}

/// An array of strings: `Some(None)` where it is absent or `null`, `None` where it is anything
/// else.
fn texts<'a>(document: &'a Map<String, Value>, field: &str) -> Option<Option<Vec<&'a str>>> {
    match document.get(field) {
        None | Some(Value::Null) => Some(None),
        Some(value) => value.as_array()?.iter().map(Value::as_str).collect::<Option<Vec<_>>>().map(Some),
    }
}

const MAX_REDIRECT_URIS: usize = 64;
/// The memory that a text takes besides its bytes.
const PER_TEXT_BYTES: usize = 32;

#[cfg(test)]
#[path = "client_document_tests.rs"]
mod tests;
