//! From a `client_id` to the client that it names.

use portcullis_protocol::oauth::scope::ScopeSet;

use crate::clients::registered::{self, Client};
use crate::context::RequestContext;
use crate::error::DependencyError;
use crate::ports::Ports;

/// A client that is known here, by its kind. It proves nothing: anyone can name a client.
pub enum ResolvedClient {
    /// It registered itself.
    Registered(Client),
}

/// Returns the client of this `client_id`; `None` if it is unknown, or was deleted.
///
/// # Errors
/// [`DependencyError::Store`].
pub async fn resolve<P: Ports>(
    context: &RequestContext<'_, P>,
    client_id: &str,
) -> Result<Option<ResolvedClient>, DependencyError> {
    let registered = registered::find(context, client_id).await?;
    Ok(registered.map(|registered| ResolvedClient::Registered(registered.client)))
}

impl ResolvedClient {
    /// Returns the name that it gave itself, which nothing proves.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Registered(client) => client.name.as_deref(),
        }
    }

    /// Returns its redirect URIs.
    #[must_use]
    pub fn redirect_uris(&self) -> &[String] {
        match self {
            Self::Registered(client) => &client.redirect_uris,
        }
    }

    /// Returns `true` if it may have refresh tokens.
    #[must_use]
    pub fn may_refresh(&self) -> bool {
        match self {
            Self::Registered(client) => client.refresh,
        }
    }

    /// Returns the scopes that its metadata names; `None` if it names none, and may ask for all.
    #[must_use]
    pub fn scope(&self) -> Option<ScopeSet> {
        match self {
            // It was written from a set. One that does not read as such allows nothing.
            Self::Registered(client) => client.scope.as_deref().map(|scope| ScopeSet::parse(scope).unwrap_or_default()),
        }
    }
}
