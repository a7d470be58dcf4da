//! Authorization codes (RFC 6749 §1.3.1).

use super::ids::SessionId;
use super::text_form::{CredentialError, TextForm};
use crate::crypto::key_ring::{KeyRing, Purpose};
use crate::crypto::secret::Secret;

/// The content of an authorization code. Only a text made with a key of the ring is accepted as a
/// code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthorizationCode {
    /// The session that the code starts.
    pub session: SessionId,
    /// Fresh random bytes; the session's record names the code by them.
    pub nonce: [u8; 16],
}

impl AuthorizationCode {
    /// Returns the code's text under the ring's newest key.
    #[must_use]
    pub fn issue(&self, ring: &KeyRing) -> Secret<String> {
        let payload: Vec<u8> = [*self.session.as_bytes(), self.nonce].concat();
        TEXT_FORM.issue(&payload, ring)
    }

    /// Parses a code that this gateway issued.
    ///
    /// # Errors
    /// Returns [`CredentialError`]; the error code of the response is `invalid_grant` in every
    /// case.
    pub fn parse(text: &str, ring: &KeyRing) -> Result<Self, CredentialError> {
        let payload = TEXT_FORM.parse::<32>(text, ring)?;
        let (session, nonce) = payload.split_first_chunk().ok_or(CredentialError::Malformed)?;
        let nonce = nonce.try_into().map_err(|_| CredentialError::Malformed)?;
        Ok(Self { session: SessionId::new(*session), nonce })
    }
}

const TEXT_FORM: TextForm = TextForm { prefix: "pcac", purpose: Purpose::AuthorizationCode };
