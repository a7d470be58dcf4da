//! The text form that authorization codes and refresh tokens share: opaque to the client, checked
//! before any lookup in the store.
//!
//! A token is `prefix.1.<key id>.<payload>.<MAC>`. The MAC excludes junk and forgeries; everything
//! else about a token (its client, its scope, whether it was used) is in the session's record. Each
//! token has exactly one accepted text, so a digest of the text identifies it.

use crate::base64url;
use crate::crypto::key_ring::{KeyId, KeyRing, Purpose};
use crate::crypto::secret::Secret;

/// Why a text is not accepted as a code or a refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialError {
    /// It does not have the form of this kind of credential.
    Malformed,
    /// It names a key that is not, or no longer, in the ring.
    UnknownKey,
    /// Its MAC is wrong.
    Forged,
}

/// One kind of credential: its prefix, which is part of the input of the MAC, and the purpose of
/// its key.
pub(super) struct TextForm {
    pub(super) prefix: &'static str,
    pub(super) purpose: Purpose,
}

impl TextForm {
    pub(super) fn issue(&self, payload: &[u8], ring: &KeyRing) -> Secret<String> {
        let mac = ring.mac(self.purpose, &self.authenticated(payload));
        let key_id = ring.current().to_string();
        Secret::new([self.prefix, VERSION, &key_id, &base64url::encode(payload), &base64url::encode(&mac)].join("."))
    }

    pub(super) fn parse<const N: usize>(&self, text: &str, ring: &KeyRing) -> Result<[u8; N], CredentialError> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(CredentialError::Malformed);
        }
        let mut parts = text.split('.');
        let mut part = || parts.next().ok_or(CredentialError::Malformed);
        let (prefix, version, key_id, payload, mac) = (part()?, part()?, part()?, part()?, part()?);
        if parts.next().is_some() || prefix != self.prefix || version != VERSION {
            return Err(CredentialError::Malformed);
        }
        let key_id = KeyId::parse(key_id).ok_or(CredentialError::Malformed)?;
        let payload: [u8; N] = base64url::decode_exactly(payload).map_err(|_| CredentialError::Malformed)?;
        let mac: [u8; 32] = base64url::decode_exactly(mac).map_err(|_| CredentialError::Malformed)?;
        if !ring.knows(key_id) {
            return Err(CredentialError::UnknownKey);
        }
        if !ring.verify_mac(self.purpose, key_id, &self.authenticated(&payload), &mac) {
            return Err(CredentialError::Forged);
        }
        Ok(payload)
    }

    fn authenticated<'a>(&'a self, payload: &'a [u8]) -> [&'a [u8]; 3] {
        [self.prefix.as_bytes(), VERSION.as_bytes(), payload]
    }
}

const VERSION: &str = "1";
/// `pcrt.1.`, 8 digits of key id, 48 characters of payload, 43 of MAC and two dots.
pub(super) const MAX_TEXT_BYTES: usize = 7 + 8 + 1 + 48 + 1 + 43;
