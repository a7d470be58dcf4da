//! From a `client_id` to the client that it names.

use portcullis_protocol::oauth::client_id_url::ClientIdUrl;
use portcullis_protocol::oauth::redirect::CheckedRedirectUri;
use portcullis_protocol::oauth::scope::ScopeSet;
use thiserror::Error;

use crate::clients::metadata_document::{self, DocumentClient, DocumentClientError};
use crate::clients::registered::{self, Client};
use crate::config::Config;
use crate::context::RequestContext;
use crate::error::DependencyError;
use crate::ports::Ports;

/// A client that is known here, by its kind. It proves nothing: anyone can name a client.
pub enum ResolvedClient {
    /// It registered itself.
    Registered(Client),
    /// The document at its id describes it.
    Document(DocumentClient),
}

/// Why a `client_id` names no client.
#[derive(Debug, Error)]
pub enum ResolveError {
    /// There is no such client, or it was deleted.
    #[error("the client is not known here, or was deleted; register again")]
    Unknown,
    /// It is a URL, and there is no client at it.
    #[error(transparent)]
    Document(#[from] DocumentClientError),
    /// Nothing is known about the client.
    #[error(transparent)]
    Dependency(#[from] DependencyError),
}

/// Returns the client of this `client_id`. Where its document has to be fetched, `fetches_for`
/// returns the address that this counts under, or `None`, and then nothing is fetched: a request
/// that will be refused whatever the client is must make no call.
///
/// # Errors
/// [`ResolveError`].
pub async fn resolve<P: Ports>(
    context: &RequestContext<'_, P>,
    client_id: &str,
    fetches_for: impl FnOnce() -> Option<String>,
) -> Result<ResolvedClient, ResolveError> {
    if ClientIdUrl::is_meant(client_id) {
        let client = metadata_document::resolve(context, client_id, fetches_for).await?;
        return Ok(ResolvedClient::Document(client));
    }
    Ok(ResolvedClient::Registered(registration(context, client_id).await?))
}

/// Checks a client whose login is under way again: since the step before, an operator may have
/// deleted it, or its URL may be one that is not accepted any more. Returns the registration;
/// `None` for a client with a document, which was read when the login began and is not fetched
/// again.
///
/// INVARIANT: each step of a login that brings its client anything, or sends the browser to its
/// redirect URI, begins with this, with [`resolve`], or with
/// [`authenticate`](super::authenticate::authenticate).
///
/// # Errors
/// [`ResolveError`].
pub async fn recheck<P: Ports>(
    context: &RequestContext<'_, P>,
    client_id: &str,
) -> Result<Option<Client>, ResolveError> {
    recheck_without_store(context.config(), client_id)?;
    if ClientIdUrl::is_meant(client_id) { Ok(None) } else { registration(context, client_id).await.map(Some) }
}

/// Checks what of [`recheck`] can be known without the store: a client that names itself by a URL.
///
/// # Errors
/// [`ResolveError::Document`].
pub fn recheck_without_store(config: &Config, client_id: &str) -> Result<(), ResolveError> {
    if ClientIdUrl::is_meant(client_id) {
        metadata_document::admit(config, client_id)?;
    }
    Ok(())
}

async fn registration<P: Ports>(context: &RequestContext<'_, P>, client_id: &str) -> Result<Client, ResolveError> {
    let registered = registered::find(context, client_id).await?;
    registered.map(|registered| registered.client).ok_or(ResolveError::Unknown)
}

impl ResolvedClient {
    /// Returns the name that it gave itself, which nothing proves.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Registered(client) => client.name.as_deref(),
            Self::Document(client) => client.document().client_name(),
        }
    }

    /// Returns the URL of the document that describes it, if one does.
    #[must_use]
    pub fn document_url(&self) -> Option<&ClientIdUrl> {
        match self {
            Self::Registered(_) => None,
            Self::Document(client) => Some(client.id()),
        }
    }

    /// Returns its redirect URIs.
    #[must_use]
    pub fn redirect_uris(&self) -> &[String] {
        match self {
            Self::Registered(client) => &client.redirect_uris,
            Self::Document(client) => client.document().redirect_uris(),
        }
    }

    /// Returns `true` if it may have refresh tokens.
    #[must_use]
    pub fn may_refresh(&self) -> bool {
        match self {
            Self::Registered(client) => client.refresh,
            Self::Document(client) => client.document().has_refresh(),
        }
    }

    /// Returns `true` if a consent that is remembered may stand in for the page. Everyone knows the
    /// id of a client with a document, so any program of the user's machine can ask in its name,
    /// and is answered where the redirect leads to that machine.
    #[must_use]
    pub fn may_skip_consent(&self, redirect_uri: &CheckedRedirectUri) -> bool {
        match self {
            Self::Registered(_) => true,
            Self::Document(_) => redirect_uri.is_web_site(),
        }
    }

    /// Returns the scopes that its metadata names; `None` if it names none, and may ask for all.
    #[must_use]
    pub fn scope(&self) -> Option<ScopeSet> {
        match self {
            // It was written from a set. One that does not read as such allows nothing.
            Self::Registered(client) => client.scope.as_deref().map(|scope| ScopeSet::parse(scope).unwrap_or_default()),
            // One document is written for many servers, whose scopes differ.
            Self::Document(_) => None,
        }
    }
}
