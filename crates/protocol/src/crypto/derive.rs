//! The keys derived from one secret, a pair for each purpose.

use std::fmt;

use hkdf::Hkdf;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use zeroize::Zeroize as _;

use crate::crypto::envelope::{HEAD_BYTES, VERSION};
use crate::crypto::secret::Secret;

/// The purpose of a sealed value or a MAC. Each has its own keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A record in the store.
    Record,
    /// The hidden state of the consent page.
    Consent,
    /// The token that binds the form of the consent page to a browser.
    Csrf,
    /// A cookie of the browser flow.
    Cookie,
    /// An authorization code.
    AuthorizationCode,
    /// A refresh token.
    RefreshToken,
    /// The random part of a successor of a refresh token.
    RefreshSuccessor,
    /// The registration that a `client_id` carries.
    ClientId,
}

/// The public name of one key of the ring: four bytes of HKDF output, which reveal nothing about
/// the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId(pub(super) [u8; 4]);

impl KeyId {
    /// Parses the eight lowercase hexadecimal digits that `Display` writes. Returns `None` for any
    /// other text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let lowercase_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() != 8 || !text.bytes().all(lowercase_hex) {
            return None;
        }
        u32::from_str_radix(text, 16).ok().map(|id| Self(id.to_be_bytes()))
    }

    /// Returns the id as it is in an envelope.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 4] {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

/// The keys of one secret. perf: derived once, since deriving one costs more than sealing a record
/// with it.
pub(super) struct DerivedKeys {
    pub(super) id: KeyId,
    record: PurposeKeys,
    consent: PurposeKeys,
    csrf: PurposeKeys,
    cookie: PurposeKeys,
    authorization_code: PurposeKeys,
    refresh_token: PurposeKeys,
    refresh_successor: PurposeKeys,
    client_id: PurposeKeys,
}

/// The keys of one purpose.
struct PurposeKeys {
    seal: Secret<[u8; 32]>,
    /// perf: decision 8. Initialised with its key, which is half the cost of a short message. Wiped
    /// on drop, as is every copy.
    mac: Hmac<Sha256>,
}

impl DerivedKeys {
    pub(super) fn of(secret: &Secret<Vec<u8>>) -> Self {
        let (_, hkdf) = Hkdf::<Sha256>::extract(Some(SALT), secret.expose());
        let mut id = [0; 4];
        expand(&hkdf, &[b"key id"], &mut id);
        let keys = |purpose| PurposeKeys {
            seal: derive(&hkdf, &[b"seal", b"/", label(purpose)]),
            // One SHA-256 block, which HMAC does not hash.
            mac: <Hmac<Sha256> as hmac::KeyInit>::new(
                derive::<64>(&hkdf, &[b"mac", b"/", label(purpose)]).expose().into(),
            ),
        };
        Self::of_each(KeyId(id), keys)
    }

    /// Returns the same keys, but those that seal derived again for `context`.
    pub(super) fn sealing_for(&self, context: &[u8; 32]) -> Self {
        let keys = |purpose| {
            let keys = self.keys(purpose);
            #[expect(clippy::expect_used, reason = "a key of HKDF-SHA256 has 32 bytes or more")]
            let hkdf = Hkdf::<Sha256>::from_prk(keys.seal.expose()).expect("the key is long enough");
            PurposeKeys { seal: derive(&hkdf, &[b"seal for", b"/", context]), mac: keys.mac.clone() }
        };
        Self::of_each(self.id, keys)
    }

    fn of_each(id: KeyId, keys: impl Fn(Purpose) -> PurposeKeys) -> Self {
        Self {
            id,
            record: keys(Purpose::Record),
            consent: keys(Purpose::Consent),
            csrf: keys(Purpose::Csrf),
            cookie: keys(Purpose::Cookie),
            authorization_code: keys(Purpose::AuthorizationCode),
            refresh_token: keys(Purpose::RefreshToken),
            refresh_successor: keys(Purpose::RefreshSuccessor),
            client_id: keys(Purpose::ClientId),
        }
    }

    fn keys(&self, purpose: Purpose) -> &PurposeKeys {
        match purpose {
            Purpose::Record => &self.record,
            Purpose::Consent => &self.consent,
            Purpose::Csrf => &self.csrf,
            Purpose::Cookie => &self.cookie,
            Purpose::AuthorizationCode => &self.authorization_code,
            Purpose::RefreshToken => &self.refresh_token,
            Purpose::RefreshSuccessor => &self.refresh_successor,
            Purpose::ClientId => &self.client_id,
        }
    }

    pub(super) fn sealing(&self, purpose: Purpose) -> &[u8; 32] {
        self.keys(purpose).seal.expose()
    }

    /// Returns the head of an envelope: version, key id, nonce.
    pub(super) fn head(&self, nonce: [u8; 24]) -> [u8; HEAD_BYTES] {
        let mut head = [VERSION; HEAD_BYTES];
        let named = self.id.as_bytes().iter().chain(&nonce);
        head.iter_mut().skip(1).zip(named).for_each(|(byte, named)| *byte = *named);
        head
    }

    pub(super) fn mac(&self, purpose: Purpose, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = self.keys(purpose).mac.clone();
        for part in parts {
            // perf: decision 8. Four bytes hold the length of any part, and with them the MAC of a
            // token hashes one block.
            mac.update(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

fn derive<const N: usize>(hkdf: &Hkdf<Sha256>, info: &[&[u8]]) -> Secret<[u8; N]> {
    let mut key = [0; N];
    expand(hkdf, info, &mut key);
    let derived = Secret::new(key);
    key.zeroize();
    derived
}

fn expand(hkdf: &Hkdf<Sha256>, info: &[&[u8]], output: &mut [u8]) {
    #[expect(clippy::expect_used, reason = "the output is at most 64 bytes; HKDF-SHA256 has up to 8160")]
    hkdf.expand_multi_info(info, output).expect("the output is short");
}

const fn label(purpose: Purpose) -> &'static [u8] {
    match purpose {
        Purpose::Record => b"record",
        Purpose::Consent => b"consent",
        Purpose::Csrf => b"csrf",
        Purpose::Cookie => b"cookie",
        Purpose::AuthorizationCode => b"authorization code",
        Purpose::RefreshToken => b"refresh token",
        Purpose::RefreshSuccessor => b"refresh successor",
        Purpose::ClientId => b"client id",
    }
}

pub(super) const SALT: &[u8] = b"portcullis key ring 1";
