//! Client authentication at the token endpoint (OAuth 2.1 §2.4).

use portcullis_protocol::http::message::FieldName;
use thiserror::Error;

use crate::clients::registered::{self, Registered};
use crate::context::RequestContext;
use crate::error::DependencyError;
use crate::ports::Ports;

/// A client that has authenticated by the method of its kind. Only [`authenticate`] makes one, and
/// no tokens are issued without one.
pub struct AuthenticatedClient {
    id: String,
    kind: Kind,
}

enum Kind {
    Registered(Registered),
}

/// Why a client is not authenticated.
#[derive(Debug, Error)]
pub enum ClientAuthenticationError {
    /// It sent credentials, and no client has any.
    #[error("this client is public: it must not authenticate")]
    UnexpectedCredentials,
    /// There is no such client, or it was deleted.
    #[error("the client is not known here, or was deleted; it has to register again")]
    Unknown,
    /// Nothing is known about the client.
    #[error(transparent)]
    Dependency(#[from] DependencyError),
}

/// Authenticates the client that a request to the token endpoint names.
///
/// Registered clients are public: their method is `none`, so the client has to be known and must
/// not send credentials. Its grants are bound to it by PKCE and by rotation.
///
/// # Errors
/// [`ClientAuthenticationError`].
pub async fn authenticate<P: Ports>(
    context: &RequestContext<'_, P>,
    client_id: String,
    client_secret_sent: bool,
) -> Result<AuthenticatedClient, ClientAuthenticationError> {
    if context.request.headers.has(FieldName::Authorization) || client_secret_sent {
        return Err(ClientAuthenticationError::UnexpectedCredentials);
    }
    match registered::find(context, &client_id).await? {
        Some(registered) => Ok(AuthenticatedClient { id: client_id, kind: Kind::Registered(registered) }),
        None => Err(ClientAuthenticationError::Unknown),
    }
}

impl AuthenticatedClient {
    /// Returns its `client_id`.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Notes that the client is in use: it got tokens.
    pub(crate) async fn renew<P: Ports>(self, context: &RequestContext<'_, P>) {
        match self.kind {
            Kind::Registered(registered) => registered.renew(context).await,
        }
    }
}
