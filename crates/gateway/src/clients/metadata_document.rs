//! Clients that a client-id metadata document describes
//! (draft-ietf-oauth-client-id-metadata-document): the `client_id` is the document's URL.
//!
//! The document says where a client may be answered, so it is read where that matters: at the
//! authorization endpoint, and there only for a request that is right in all else, within limits by
//! address and for all. What follows from a login (its code, its refresh tokens) is bound to the
//! `client_id` as text, by PKCE and by rotation, and a public client has nothing to prove besides.
//! So the token endpoint does not read the document: a login goes on while the document cannot be
//! fetched, and no request there makes the gateway fetch anything.

use std::rc::Rc;

use portcullis_protocol::oauth::client_document::{ClientDocument, ClientDocumentError};
use portcullis_protocol::oauth::client_id_url::{ClientIdUrl, ClientIdUrlError};
use portcullis_storage_api::{Bucket, Kind, Taken};
use thiserror::Error;

use crate::clients::document_fetch::{FetchError, fetch};
use crate::config::{ClientDocumentPolicy, Config};
use crate::context::RequestContext;
use crate::error::DependencyError;
use crate::ports::{Ports, Store};
use crate::store::records;

/// A client and its document.
pub struct DocumentClient {
    id: ClientIdUrl,
    document: Rc<ClientDocument>,
}

/// Why a client id that is a URL names no client here.
#[derive(Debug, Error)]
pub enum DocumentClientError {
    /// Metadata documents are turned off.
    #[error("client-id metadata documents are turned off here")]
    TurnedOff,
    /// The URL is no client id.
    #[error(transparent)]
    Url(#[from] ClientIdUrlError),
    /// Host or port are not allowed by the configuration.
    #[error("this server does not accept clients of this host")]
    NotAllowed,
    /// The document would have to be fetched, for a request that is refused whatever it says.
    #[error("the request is not complete, so the client's document was not fetched")]
    NotAsked,
    /// A limit of fetches was reached.
    #[error("too many documents were fetched")]
    TooMany {
        /// In how many seconds the limit allows another.
        retry_after: u32,
    },
    /// It could not be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// It does not describe the client as it must.
    #[error(transparent)]
    Document(#[from] ClientDocumentError),
    /// Something that the gateway needs failed.
    #[error(transparent)]
    Dependency(#[from] DependencyError),
}

impl DocumentClient {
    /// Returns the client's id.
    #[must_use]
    pub fn id(&self) -> &ClientIdUrl {
        &self.id
    }

    /// Returns what the document says.
    #[must_use]
    pub fn document(&self) -> &ClientDocument {
        &self.document
    }
}

/// Returns the id of a client of this kind, which may log in here or has; nothing is fetched.
///
/// # Errors
/// [`DocumentClientError::TurnedOff`], [`DocumentClientError::Url`] and
/// [`DocumentClientError::NotAllowed`].
pub(super) fn admit<'a>(
    config: &'a Config,
    client_id: &str,
) -> Result<(ClientIdUrl, &'a ClientDocumentPolicy), DocumentClientError> {
    let policy = config.client_documents.as_ref().ok_or(DocumentClientError::TurnedOff)?;
    let id = ClientIdUrl::parse(client_id)?;
    if policy.allows(&id) { Ok((id, policy)) } else { Err(DocumentClientError::NotAllowed) }
}

/// Returns the client of this id, by a document that is kept, or else by one that is fetched for
/// the address that `fetches_for` returns.
///
/// # Errors
/// [`DocumentClientError`].
pub(super) async fn resolve<P: Ports>(
    context: &RequestContext<'_, P>,
    client_id: &str,
    fetches_for: impl FnOnce() -> Option<String>,
) -> Result<DocumentClient, DocumentClientError> {
    let (id, policy) = admit(context.config(), client_id)?;
    let kept = context.gateway.client_documents();
    if let Some(document) = kept.find(client_id, context.now()) {
        return Ok(DocumentClient { id, document });
    }
    let address = fetches_for().ok_or(DocumentClientError::NotAsked)?;
    draw_from_limits(context, policy, &address).await?;
    let fetched = fetch(context, policy, &id).await?;
    let document = Rc::new(ClientDocument::parse(&id, &fetched.body)?);
    kept.keep(client_id, Rc::clone(&document), context.now(), policy.age(fetched.max_age));
    Ok(DocumentClient { id, document })
}

/// One address is limited first, so that a stranger's flood is refused before it draws on what all
/// share.
async fn draw_from_limits<P: Ports>(
    context: &RequestContext<'_, P>,
    policy: &ClientDocumentPolicy,
    address: &str,
) -> Result<(), DocumentClientError> {
    let limits: [(&[&[u8]], u32); 2] = [
        (&[b"client document", b"address", address.as_bytes()], policy.per_address),
        (&[b"client document", b"all"], policy.global),
    ];
    for (name, capacity) in limits {
        let key = records::key(Kind::RateLimit, name);
        let limit = Bucket { capacity, period_seconds: 60 };
        let taken = context.ports.store().take_token(&key, limit).await.map_err(DependencyError::from)?;
        if let Taken::Empty { retry_after } = taken {
            return Err(DocumentClientError::TooMany { retry_after });
        }
    }
    Ok(())
}
