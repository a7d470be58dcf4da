//! Clients that registered themselves (RFC 7591), as they are stored.

use portcullis_storage_api::{Key, Kind, Ttl};
use serde::{Deserialize, Serialize};

use crate::ports::Ports;
use crate::state::gateway::Gateway;
use crate::store::records::{self, Found, Record, Records};

/// A registered client.
#[derive(Clone, Serialize, Deserialize)]
pub struct Client {
    /// Its `client_id`; the record's name is only a digest of it.
    pub id: String,
    /// The name it gave itself.
    pub name: Option<String>,
    /// Its redirect URIs.
    pub redirect_uris: Vec<String>,
    /// Whether it may have refresh tokens.
    pub refresh: bool,
    /// When it registered, in Unix seconds.
    pub registered_at: u64,
}

impl Record for Client {
    const KIND: Kind = Kind::Client;
}

/// The key of a client.
#[must_use]
pub fn client_key(client_id: &str) -> Key {
    records::key(Kind::Client, &[client_id.as_bytes()])
}

/// A client that gets tokens is in use, so its registration starts anew. A failure only leaves its
/// old end in place.
pub(crate) async fn renew_client<P: Ports>(gateway: &Gateway, key: &Key, client: Found, ports: &P) {
    if let Some(policy) = gateway.config().registration {
        let records = Records::new(&gateway.config().key_ring, ports);
        let _kept = records.renew::<Client>(key, client, Ttl::Seconds(policy.lifetime)).await;
    }
}
