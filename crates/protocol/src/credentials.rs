//! Authorization codes and refresh tokens: opaque to the client, self-checking to us.
//!
//! A token is `prefix.1.<key id>.<payload>.<MAC>`. The MAC refuses junk and forgeries before any
//! look into the store; everything else about a token (its client, its scope, whether it was used)
//! is in the session's record. Each token has exactly one accepted text, so a digest of the text
//! identifies it.

use std::fmt;

use crate::base64url;
use crate::crypto::key_ring::{KeyId, KeyRing, Purpose};
use crate::crypto::secret::Secret;

/// The name of a session: one login of one user at one client, with everything granted from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId([u8; 16]);

impl SessionId {
    /// A session named by 16 fresh random bytes.
    #[must_use]
    pub const fn new(random: [u8; 16]) -> Self {
        Self(random)
    }

    /// Reads the 22 base64url characters that `Display` writes; `None` for any other text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        base64url::decode_exactly(text).ok().map(Self)
    }

    /// The name as bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base64url::encode(&self.0))
    }
}

/// What an authorization code says (RFC 6749 §1.3.1). Without the ring's keys the parts do not make
/// a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthorizationCode {
    /// The session that the code starts.
    pub session: SessionId,
    /// Fresh random bytes; the session's record names the code by them.
    pub nonce: [u8; 16],
}

/// What a refresh token says (RFC 6749 §1.5). Without the ring's keys the parts do not make a
/// token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefreshToken {
    /// The session that the token continues.
    pub session: SessionId,
    /// How often the session has been refreshed; behind the record it is a replay (RFC 9700
    /// §4.14.2).
    pub generation: u32,
    /// The secret part: random in the first generation, then derived ([`RefreshToken::successor`]).
    pub nonce: [u8; 16],
}

/// Why a text is not a token of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpaqueError {
    /// It does not have the form of this type of token.
    Malformed,
    /// It was made with a key that is not, or no longer, in the ring.
    UnknownKey,
    /// Its MAC is wrong.
    Forged,
}

impl AuthorizationCode {
    /// The code's text under the ring's newest key.
    #[must_use]
    pub fn issue(&self, ring: &KeyRing) -> Secret<String> {
        let payload: Vec<u8> = [*self.session.as_bytes(), self.nonce].concat();
        CODE.issue(&payload, ring)
    }

    /// Reads a code that this gateway issued.
    ///
    /// # Errors
    /// [`OpaqueError`]; the client is told `invalid_grant` in every case.
    pub fn parse(text: &str, ring: &KeyRing) -> Result<Self, OpaqueError> {
        let payload = CODE.parse::<32>(text, ring)?;
        let (session, nonce) = payload.split_first_chunk::<16>().ok_or(OpaqueError::Malformed)?;
        let nonce = nonce.try_into().map_err(|_| OpaqueError::Malformed)?;
        Ok(Self { session: SessionId(*session), nonce })
    }
}

impl RefreshToken {
    /// The token's text under the ring's newest key.
    #[must_use]
    pub fn issue(&self, ring: &KeyRing) -> Secret<String> {
        let payload = [self.session.as_bytes().as_slice(), &self.generation.to_be_bytes(), &self.nonce].concat();
        REFRESH.issue(&payload, ring)
    }

    /// The token that replaces this one. It follows from this token and the ring's newest key
    /// alone, so that a replacement that is made again, because its answer or its write was lost,
    /// gives the same token.
    #[must_use]
    pub fn successor(&self, ring: &KeyRing) -> Self {
        let generation = self.generation.saturating_add(1);
        let parts = [self.session.as_bytes().as_slice(), &generation.to_be_bytes(), &self.nonce];
        let mut nonce = [0; 16];
        nonce.iter_mut().zip(ring.mac(Purpose::RefreshSuccessor, &parts)).for_each(|(byte, derived)| *byte = derived);
        Self { session: self.session, generation, nonce }
    }

    /// Reads a refresh token that this gateway issued.
    ///
    /// # Errors
    /// [`OpaqueError`]; the client is told `invalid_grant` in every case.
    pub fn parse(text: &str, ring: &KeyRing) -> Result<Self, OpaqueError> {
        let payload = REFRESH.parse::<36>(text, ring)?;
        let (session, rest) = payload.split_first_chunk::<16>().ok_or(OpaqueError::Malformed)?;
        let (generation, nonce) = rest.split_first_chunk::<4>().ok_or(OpaqueError::Malformed)?;
        let nonce = nonce.try_into().map_err(|_| OpaqueError::Malformed)?;
        Ok(Self { session: SessionId(*session), generation: u32::from_be_bytes(*generation), nonce })
    }
}

/// One type of token: its prefix, which is part of the MAC's input, and the purpose of its key.
struct Form {
    prefix: &'static str,
    purpose: Purpose,
}

impl Form {
    fn issue(&self, payload: &[u8], ring: &KeyRing) -> Secret<String> {
        let mac = ring.mac(self.purpose, &self.authenticated(payload));
        let key_id = ring.current().to_string();
        Secret::new([self.prefix, VERSION, &key_id, &base64url::encode(payload), &base64url::encode(&mac)].join("."))
    }

    fn parse<const N: usize>(&self, text: &str, ring: &KeyRing) -> Result<[u8; N], OpaqueError> {
        if text.len() > LONGEST {
            return Err(OpaqueError::Malformed);
        }
        let mut parts = text.split('.');
        let mut part = || parts.next().ok_or(OpaqueError::Malformed);
        let (prefix, version, key_id, payload, mac) = (part()?, part()?, part()?, part()?, part()?);
        if parts.next().is_some() || prefix != self.prefix || version != VERSION {
            return Err(OpaqueError::Malformed);
        }
        let key_id = KeyId::parse(key_id).ok_or(OpaqueError::Malformed)?;
        let payload: [u8; N] = base64url::decode_exactly(payload).map_err(|_| OpaqueError::Malformed)?;
        let mac: [u8; 32] = base64url::decode_exactly(mac).map_err(|_| OpaqueError::Malformed)?;
        if !ring.knows(key_id) {
            return Err(OpaqueError::UnknownKey);
        }
        if !ring.verify_mac(self.purpose, key_id, &self.authenticated(&payload), &mac) {
            return Err(OpaqueError::Forged);
        }
        Ok(payload)
    }

    fn authenticated<'a>(&'a self, payload: &'a [u8]) -> [&'a [u8]; 3] {
        [self.prefix.as_bytes(), VERSION.as_bytes(), payload]
    }
}

const CODE: Form = Form { prefix: "pcac", purpose: Purpose::AuthorizationCode };
const REFRESH: Form = Form { prefix: "pcrt", purpose: Purpose::RefreshToken };
const VERSION: &str = "1";
/// `pcrt.1.`, 8 digits of key id, 48 characters of payload, 43 of MAC and two dots.
const LONGEST: usize = 7 + 8 + 1 + 48 + 1 + 43;

#[cfg(test)]
#[expect(clippy::string_slice, reason = "the texts are ASCII")]
mod tests {
    use super::*;

    fn ring(secrets: &[u8]) -> KeyRing {
        KeyRing::new(secrets.iter().map(|byte| Secret::new(vec![*byte; 32])).collect()).unwrap()
    }

    fn refresh() -> RefreshToken {
        RefreshToken { session: SessionId::new([3; 16]), generation: 0x0102_0304, nonce: [9; 16] }
    }

    fn code() -> AuthorizationCode {
        AuthorizationCode { session: SessionId::new([3; 16]), nonce: [9; 16] }
    }

    #[test]
    fn issued_tokens_are_read_back() {
        let ring = ring(&[1]);
        assert_eq!(RefreshToken::parse(refresh().issue(&ring).expose(), &ring), Ok(refresh()));
        assert_eq!(AuthorizationCode::parse(code().issue(&ring).expose(), &ring), Ok(code()));
        assert_eq!(refresh().issue(&ring).expose().len(), LONGEST);
        assert!(code().issue(&ring).expose().starts_with(&format!("pcac.1.{}.", ring.current())));
    }

    #[test]
    fn a_successor_follows_from_its_predecessor_and_the_secret_alone() {
        let (ring, token) = (ring(&[1]), refresh());
        let successor = token.successor(&ring);
        assert_eq!((successor.session, successor.generation), (token.session, token.generation + 1));
        assert_eq!(token.successor(&ring), successor);
        let others = [
            RefreshToken { session: SessionId::new([4; 16]), ..token },
            RefreshToken { generation: token.generation + 1, ..token },
            RefreshToken { nonce: [8; 16], ..token },
        ];
        let nonces: Vec<_> = others.iter().map(|other| other.successor(&ring).nonce).collect();
        assert!(!nonces.contains(&successor.nonce));
        assert_ne!(token.successor(&super::tests::ring(&[2])).nonce, successor.nonce);
        assert_eq!(RefreshToken { generation: u32::MAX, ..token }.successor(&ring).generation, u32::MAX);
    }

    #[test]
    fn every_changed_bit_of_the_text_is_refused() {
        let ring = ring(&[1]);
        let text = refresh().issue(&ring).expose().clone();
        for bit in 0..text.len() * 8 {
            let mut bytes = text.clone().into_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            if let Ok(changed) = String::from_utf8(bytes) {
                assert!(RefreshToken::parse(&changed, &ring).is_err(), "{changed}");
            }
        }
    }

    #[test]
    fn every_other_character_in_every_place_is_refused() {
        let ring = ring(&[1]);
        let text = code().issue(&ring).expose().clone();
        for place in 0..text.len() {
            for other in (b' '..=b'~').filter(|other| *other != text.as_bytes()[place]) {
                let mut bytes = text.clone().into_bytes();
                bytes[place] = other;
                let changed = String::from_utf8(bytes).unwrap();
                assert!(AuthorizationCode::parse(&changed, &ring).is_err(), "{changed}");
            }
        }
    }

    #[test]
    fn the_last_character_of_payload_and_mac_has_one_spelling() {
        // A 16-byte or 32-byte value leaves unused bits in its last character; another spelling of
        // the same bytes must fail.
        let ring = ring(&[1]);
        let text = code().issue(&ring).expose().clone();
        let respelled = |character: char| match character {
            c @ ('A'..='Y' | 'a'..='y' | '0'..='8') => char::from(c as u8 + 1),
            'Z' => 'a',
            'z' => '0',
            '9' => '-',
            _ => 'B',
        };
        let parts: Vec<&str> = text.split('.').collect();
        for changed in [3, 4] {
            let mut parts: Vec<String> = parts.iter().map(|part| (*part).to_owned()).collect();
            let last = parts[changed].pop().unwrap();
            parts[changed].push(respelled(last));
            assert_eq!(AuthorizationCode::parse(&parts.join("."), &ring), Err(OpaqueError::Malformed));
        }
    }

    #[test]
    fn truncated_and_extended_texts_are_refused() {
        let ring = ring(&[1]);
        let text = code().issue(&ring).expose().clone();
        for length in 0..text.len() {
            assert_eq!(AuthorizationCode::parse(&text[..length], &ring), Err(OpaqueError::Malformed), "{length}");
        }
        for end in ["A", ".", ".A", "=", " ", "\n", "\0"] {
            assert_eq!(AuthorizationCode::parse(&format!("{text}{end}"), &ring), Err(OpaqueError::Malformed));
            assert_eq!(AuthorizationCode::parse(&format!("{end}{text}"), &ring), Err(OpaqueError::Malformed));
        }
        assert_eq!(AuthorizationCode::parse(&"A".repeat(1 << 20), &ring), Err(OpaqueError::Malformed));
    }

    #[test]
    fn one_type_of_token_never_passes_for_the_other() {
        let ring = ring(&[1]);
        let code = code().issue(&ring).expose().clone();
        let refresh = refresh().issue(&ring).expose().clone();
        assert_eq!(RefreshToken::parse(&code, &ring), Err(OpaqueError::Malformed));
        assert_eq!(AuthorizationCode::parse(&refresh, &ring), Err(OpaqueError::Malformed));
        // With equal payload lengths the MAC alone must tell them apart.
        let as_code = Form { prefix: "pcac", purpose: Purpose::AuthorizationCode };
        let relabelled = as_code.issue(&[0; 36], &ring).expose().replace("pcac", "pcrt");
        assert_eq!(RefreshToken::parse(&relabelled, &ring), Err(OpaqueError::Forged));
    }

    #[test]
    fn the_prefix_and_the_version_are_under_the_mac() {
        let ring = ring(&[1]);
        let other = Form { prefix: "pcxx", purpose: Purpose::AuthorizationCode };
        let renamed = other.issue(&[0; 32], &ring).expose().replace("pcxx", "pcac");
        assert_eq!(AuthorizationCode::parse(&renamed, &ring), Err(OpaqueError::Forged));
        let unversioned = ring.mac(Purpose::AuthorizationCode, &[b"pcac", b"2", &[0; 32]]);
        let text =
            format!("pcac.1.{}.{}.{}", ring.current(), base64url::encode(&[0; 32]), base64url::encode(&unversioned));
        assert_eq!(AuthorizationCode::parse(&text, &ring), Err(OpaqueError::Forged));
        let version_two = code().issue(&ring).expose().replacen(".1.", ".2.", 1);
        assert_eq!(AuthorizationCode::parse(&version_two, &ring), Err(OpaqueError::Malformed));
    }

    #[test]
    fn a_rotated_ring_reads_old_tokens_until_the_old_secret_is_gone() {
        let old = ring(&[1]);
        let text = refresh().issue(&old).expose().clone();
        assert_eq!(RefreshToken::parse(&text, &ring(&[2, 1])), Ok(refresh()));
        assert_eq!(RefreshToken::parse(&text, &ring(&[2])), Err(OpaqueError::UnknownKey));
        let other = ring(&[2]);
        let moved = text.replace(&old.current().to_string(), &other.current().to_string());
        assert_eq!(RefreshToken::parse(&moved, &other), Err(OpaqueError::Forged));
    }

    #[test]
    fn a_session_id_has_one_text() {
        let id = SessionId::new([0xfe; 16]);
        assert_eq!(SessionId::parse(&id.to_string()), Some(id));
        let text = id.to_string();
        for wrong in [&text[..21], &format!("{text}A"), &format!("{}h", &text[..21]), "", "=====================g"] {
            assert_eq!(SessionId::parse(wrong), None, "{wrong}");
        }
    }
}
