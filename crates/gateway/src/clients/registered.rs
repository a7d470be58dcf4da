//! Clients that registered themselves (RFC 7591).
//!
//! A registration is inside its `client_id` ([`crate::clients::sealed_id`]). With the first tokens
//! it becomes a record as well, which operators list, show and delete: from then on the record says
//! who the client is, and one that was deleted stays refused although its id still opens.

use minicbor::{Decode, Encode};
use portcullis_protocol::credentials::SealedClientId;
use portcullis_storage_api::{Key, Kind, Ttl, Versioned};

use crate::clients::sealed_id::CarriedRegistration;
use crate::context::RequestContext;
use crate::error::DependencyError;
use crate::ports::{Ports, Store as _};
use crate::store::records::{self, Record};

/// The record of a client that has got tokens, or that an operator deleted.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Client {
    /// Its `client_id`; the record's name is only a digest of it.
    #[n(1)]
    pub id: String,
    /// The name it gave itself.
    #[n(2)]
    pub name: Option<String>,
    /// Its redirect URIs.
    #[n(3)]
    pub redirect_uris: Vec<String>,
    /// Whether it may have refresh tokens.
    #[cbor(n(4), default)]
    pub refresh: bool,
    /// When it registered, in Unix seconds.
    #[cbor(n(5), default)]
    pub registered_at: u64,
    /// The scopes that its registration names, space-separated; `None` for all that are offered.
    #[n(6)]
    pub scope: Option<String>,
    /// When an operator deleted it, in Unix seconds; it is refused from then on.
    #[n(7)]
    pub deleted_at: Option<u64>,
}

impl Record for Client {
    const KIND: Kind = Kind::Client;
    const TYPE: &'static str = "client";
}

impl Client {
    /// Makes the record of the client whose id carries this registration.
    #[must_use]
    pub fn new(id: String, carried: CarriedRegistration) -> Self {
        let CarriedRegistration { redirect_uris, name, refresh, registered_at, scope } = carried;
        Self { id, name, redirect_uris, refresh, registered_at, scope, deleted_at: None }
    }
}

/// The key of a client.
#[must_use]
pub fn client_key(client_id: &str) -> Key {
    records::key(Kind::Client, &[client_id.as_bytes()])
}

/// A client that is known here, with its record as it was read.
pub(super) struct Registered {
    pub(super) client: Client,
    key: Key,
    record: Option<Versioned>,
}

/// Returns the client of this `client_id`; `None` if no gateway with these secrets made the id, or
/// the client was deleted.
///
/// A record that does not open stands for a deletion: the client registers again, which costs a
/// login, and a deletion that counted for nothing would cost more. Where registration is turned
/// off, only clients with a record are known.
///
/// # Errors
/// [`DependencyError::Store`].
pub(super) async fn find<P: Ports>(
    context: &RequestContext<'_, P>,
    client_id: &str,
) -> Result<Option<Registered>, DependencyError> {
    let Some(sealed) = SealedClientId::parse(client_id) else { return Ok(None) };
    let (config, key) = (context.config(), client_key(client_id));
    if let Some(stored) = context.ports.store().get(&key).await? {
        let read = context.records().loaded::<Client>(&key, stored.clone()).map(|loaded| loaded.record);
        let client = read.filter(|client| client.deleted_at.is_none());
        return Ok(client.map(|client| Registered { client, key, record: Some(stored) }));
    }
    if !config.registration.enabled {
        return Ok(None);
    }
    let carried = CarriedRegistration::open(sealed, &config.sealer);
    Ok(carried.map(|carried| Registered { client: Client::new(client_id.to_owned(), carried), key, record: None }))
}

impl Registered {
    /// Notes that the client got tokens: it has a record from now on, whose life starts again. A
    /// failure leaves what was there, and the next tokens note it.
    ///
    /// INVARIANT: nothing is written over a record that was changed since it was read, so that a
    /// deletion is never undone.
    pub(super) async fn renew<P: Ports>(self, context: &RequestContext<'_, P>) {
        let (records, life) = (context.records(), Ttl::Seconds(context.config().registration.lifetime));
        match self.record {
            Some(read) => drop(records.extend::<Client>(&self.key, read, life).await),
            None => drop(records.create(&self.key, &self.client, life).await),
        }
    }
}
