//! Client authentication at the token endpoint (OAuth 2.1 §2.4).

use portcullis_protocol::http::message::{FieldName, Request};
use portcullis_protocol::oauth::client_authentication::{BasicCredentials, BodyCredentials};
use portcullis_protocol::oauth::client_id_url::ClientIdUrl;
use thiserror::Error;

use crate::clients::metadata_document;
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
    /// Described by the document at its id.
    Document,
}

/// Why a client is not authenticated.
#[derive(Debug, Error)]
pub enum ClientAuthenticationError {
    /// The request does not say who it is.
    #[error("client_id is missing")]
    Unnamed,
    /// The request says twice, and differently, who it is (RFC 6749 §2.3).
    #[error("the request names more than one client")]
    Ambiguous,
    /// It sent credentials, and no client has any.
    #[error("this client is public: it must not authenticate")]
    UnexpectedCredentials,
    /// There is no such client, or it was deleted.
    #[error("the client is not known here, or was deleted; register again")]
    Unknown,
    /// The client id is a URL, and no client of this kind, or at this URL, is served.
    #[error("clients with this URL as their id are not accepted here")]
    DocumentNotAccepted,
    /// Nothing is known about the client.
    #[error(transparent)]
    Dependency(#[from] DependencyError),
}

/// Authenticates the client that a request names, in its body or by an `Authorization` field
/// without a password.
///
/// Registered clients are public: their method is `none`, so the client has to be known and must
/// not send credentials. Its grants are bound to it by PKCE and by rotation. So are those of
/// clients with a metadata document, which is not read again ([`metadata_document`]).
///
/// # Errors
/// [`ClientAuthenticationError`].
pub async fn authenticate<P: Ports>(
    context: &RequestContext<'_, P>,
    sent: BodyCredentials,
) -> Result<AuthenticatedClient, ClientAuthenticationError> {
    let client_id = claimed_id(context.request, sent)?;
    if ClientIdUrl::is_meant(&client_id) {
        metadata_document::admit(context.config(), &client_id)
            .map_err(|_| ClientAuthenticationError::DocumentNotAccepted)?;
        return Ok(AuthenticatedClient { id: client_id, kind: Kind::Document });
    }
    match registered::find(context, &client_id).await? {
        Some(registered) => Ok(AuthenticatedClient { id: client_id, kind: Kind::Registered(registered) }),
        None => Err(ClientAuthenticationError::Unknown),
    }
}

/// The client that a request claims to be of, without any credentials.
fn claimed_id(request: &Request, sent: BodyCredentials) -> Result<String, ClientAuthenticationError> {
    let mut fields = request.headers.all(FieldName::Authorization);
    let (field, another) = (fields.next(), fields.next());
    if another.is_some() {
        return Err(ClientAuthenticationError::Ambiguous);
    }
    // An empty field says nothing, as an empty parameter.
    let named = match field.filter(|value| !value.trim_ascii().is_empty()).map(BasicCredentials::read) {
        None => sent.client_id,
        Some(Some(BasicCredentials { client_id, has_password: false })) => match sent.client_id {
            Some(other) if other != client_id => return Err(ClientAuthenticationError::Ambiguous),
            Some(_) | None => Some(client_id),
        },
        Some(_) => return Err(ClientAuthenticationError::UnexpectedCredentials),
    };
    if sent.authenticates {
        return Err(ClientAuthenticationError::UnexpectedCredentials);
    }
    named.filter(|id| !id.is_empty()).ok_or(ClientAuthenticationError::Unnamed)
}

impl AuthenticatedClient {
    /// Returns its `client_id`.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the name that it gave itself, where that is known: a document is not read again.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match &self.kind {
            Kind::Registered(registered) => registered.client.name.as_deref(),
            Kind::Document => None,
        }
    }

    /// Notes that the client is in use: it got tokens.
    pub(crate) async fn renew<P: Ports>(self, context: &RequestContext<'_, P>) {
        match self.kind {
            Kind::Registered(registered) => registered.renew(context).await,
            Kind::Document => {}
        }
    }
}
