//! Refresh tokens (RFC 6749 §1.5) and their rotation.

use super::ids::SessionId;
use super::text_form::{CredentialError, TextForm};
use crate::crypto::key_ring::{KeyRing, Purpose};
use crate::crypto::secret::Secret;

/// The content of a refresh token. Only a text made with a key of the ring is accepted as a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefreshToken {
    /// The session that the token continues.
    pub session: SessionId,
    /// How often the session has been refreshed. A token whose generation is behind the session's
    /// record is a replay (RFC 9700 §4.14.2).
    pub generation: u32,
    /// The secret part: random in the first generation, then derived ([`RefreshToken::successor`]).
    pub nonce: [u8; 16],
}

impl RefreshToken {
    /// Returns the token's text under the ring's newest key.
    #[must_use]
    pub fn issue(&self, ring: &KeyRing) -> Secret<String> {
        let payload = [self.session.as_bytes().as_slice(), &self.generation.to_be_bytes(), &self.nonce].concat();
        TEXT_FORM.issue(&payload, ring)
    }

    /// Returns the token that replaces this one.
    ///
    /// It depends on this token and the ring's newest key alone: a rotation that is repeated,
    /// because its response or its write was lost, has the same result.
    #[must_use]
    pub fn successor(&self, ring: &KeyRing) -> Self {
        let generation = self.generation.saturating_add(1);
        let parts = [self.session.as_bytes().as_slice(), &generation.to_be_bytes(), &self.nonce];
        let mut nonce = [0; 16];
        nonce.iter_mut().zip(ring.mac(Purpose::RefreshSuccessor, &parts)).for_each(|(byte, derived)| *byte = derived);
        Self { session: self.session, generation, nonce }
    }

    /// Parses a refresh token that this gateway issued.
    ///
    /// # Errors
    /// Returns [`CredentialError`]; the error code of the response is `invalid_grant` in every
    /// case.
    pub fn parse(text: &str, ring: &KeyRing) -> Result<Self, CredentialError> {
        let payload = TEXT_FORM.parse::<36>(text, ring)?;
        let (session, rest) = payload.split_first_chunk().ok_or(CredentialError::Malformed)?;
        let (generation, nonce) = rest.split_first_chunk().ok_or(CredentialError::Malformed)?;
        let nonce = nonce.try_into().map_err(|_| CredentialError::Malformed)?;
        Ok(Self { session: SessionId::new(*session), generation: u32::from_be_bytes(*generation), nonce })
    }
}

const TEXT_FORM: TextForm = TextForm { prefix: "pcrt", purpose: Purpose::RefreshToken };

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(secrets: &[u8]) -> KeyRing {
        KeyRing::new(secrets.iter().map(|byte| Secret::new(vec![*byte; 32])).collect()).unwrap()
    }

    #[test]
    fn a_successor_follows_from_its_predecessor_and_the_secret_alone() {
        let token = RefreshToken { session: SessionId::new([3; 16]), generation: 0x0102_0304, nonce: [9; 16] };
        let ring_of_one = ring(&[1]);
        let successor = token.successor(&ring_of_one);
        assert_eq!((successor.session, successor.generation), (token.session, token.generation + 1));
        assert_eq!(token.successor(&ring_of_one), successor);
        let others = [
            RefreshToken { session: SessionId::new([4; 16]), ..token },
            RefreshToken { generation: token.generation + 1, ..token },
            RefreshToken { nonce: [8; 16], ..token },
        ];
        let nonces: Vec<_> = others.iter().map(|other| other.successor(&ring_of_one).nonce).collect();
        assert!(!nonces.contains(&successor.nonce));
        assert_ne!(token.successor(&ring(&[2])).nonce, successor.nonce);
        assert_eq!(RefreshToken { generation: u32::MAX, ..token }.successor(&ring_of_one).generation, u32::MAX);
    }
}
