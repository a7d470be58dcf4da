//! Registrations that are carried by their own `client_id`.
//!
//! Registration is open to strangers, so what it stored a stranger could pile up, and a bound on
//! that would turn away the clients of others. The `client_id` is the sealed registration instead:
//! it costs the gateway nothing, and no restart, full store or day that passes forgets it
//! (decision 19).

use minicbor::{Decode, Encode};
use portcullis_protocol::credentials::SealedClientId;
use portcullis_protocol::crypto::key_ring::Purpose;

use crate::config::Sealer;
use crate::store::encoding;

/// A registration as it is inside a `client_id`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct CarriedRegistration {
    /// Its redirect URIs.
    #[n(1)]
    pub redirect_uris: Vec<String>,
    /// The name that the client gave itself.
    #[n(2)]
    pub name: Option<String>,
    /// Whether the client may have refresh tokens.
    #[cbor(n(3), default)]
    pub refresh: bool,
    /// When it was made, in Unix seconds.
    #[cbor(n(4), default)]
    pub registered_at: u64,
    /// The scopes that it names, space-separated; `None` for all that are offered.
    #[n(5)]
    pub scope: Option<String>,
}

/// Why a registration has no `client_id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealError {
    /// The id would be too long.
    TooLong,
    /// It cannot be written. No registration is known to cause it.
    NotEncodable,
}

impl CarriedRegistration {
    /// Seals the registration into its `client_id`. `nonce` must be fresh random bytes; it makes
    /// two ids of the same registration differ.
    ///
    /// # Errors
    /// Returns a [`SealError`].
    pub fn seal(&self, sealer: &Sealer, nonce: [u8; 24]) -> Result<String, SealError> {
        let draft = encoding::to_draft(self).map_err(|_| SealError::NotEncodable)?;
        let sealed = sealer.seal(nonce, Purpose::ClientId, &[], draft);
        Ok(SealedClientId::new(sealed).ok_or(SealError::TooLong)?.text())
    }

    /// Opens a `client_id`; `None` if this gateway did not make it, or made it under a secret that
    /// is not configured any more.
    #[must_use]
    pub fn open(client_id: SealedClientId, sealer: &Sealer) -> Option<Self> {
        let plain = sealer.open(Purpose::ClientId, &[], client_id.into_sealed())?;
        encoding::from_bytes(plain.expose())
    }
}
