//! From a `client_id` to the client that it names.

use crate::clients::registered::{Client, client_key};
use crate::context::RequestContext;
use crate::error::DependencyError;
use crate::ports::Ports;

/// A client that is known here, by its kind. It proves nothing: anyone can name a client.
pub enum ResolvedClient {
    /// It registered itself.
    Registered(Client),
}

/// Returns the client of this `client_id`; `None` if it is unknown, or its registration expired.
///
/// # Errors
/// [`DependencyError::Store`].
pub async fn resolve<P: Ports>(
    context: &RequestContext<'_, P>,
    client_id: &str,
) -> Result<Option<ResolvedClient>, DependencyError> {
    let registered = context.records().load::<Client>(&client_key(client_id)).await?;
    Ok(registered.map(|registered| ResolvedClient::Registered(registered.record)))
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
}
