//! Clients that registered themselves (RFC 7591), as they are stored.

use minicbor::{Decode, Encode};
use portcullis_storage_api::{Key, Kind, Ttl};

use crate::ports::Ports;
use crate::state::gateway::Gateway;
use crate::store::records::{self, Record, Records, SealedRecord};

/// A registered client.
#[derive(Clone, Encode, Decode)]
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
}

impl Record for Client {
    const KIND: Kind = Kind::Client;
    const TYPE: &'static str = "client";
}

/// The key of a client.
#[must_use]
pub fn client_key(client_id: &str) -> Key {
    records::key(Kind::Client, &[client_id.as_bytes()])
}

/// A client that gets tokens is in use, so its registration starts again. A failure only leaves its
/// old end in place.
pub(super) async fn renew_client<P: Ports>(gateway: &Gateway, key: &Key, client: SealedRecord, ports: &P) {
    if let Some(policy) = gateway.config().registration {
        let records = Records::new(&gateway.config().sealer, ports);
        let _kept = records.renew::<Client>(key, client, Ttl::Seconds(policy.lifetime)).await;
    }
}
