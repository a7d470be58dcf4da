//! Signatures by Envoy's own `sign` and `verify_signature`, which are 10 to 35 times faster than
//! Rust in wasm. EdDSA, which Envoy does not have, is computed here.
//!
//! There is nothing to fall back on: a host that fails the self-check gets no gateway.
//!
//! The host does not tie a curve to a hash and takes SHA-1, so the hash is always chosen here, from
//! the algorithm, and a key that does not fit the algorithm never reaches the host.

use std::borrow::Cow;
use std::fmt;

use portcullis_gateway::ports::Crypto;
use portcullis_protocol::jose::alg::Alg;
use portcullis_protocol::jose::ecdsa_der;
use portcullis_protocol::jose::keys::{PublicKey, SigningKey};

use super::foreign::foreign;
use super::protobuf;

/// A host that passed the self-check: it verifies every algorithm, and signs with each of the
/// gateway's keys.
pub(crate) struct HostCrypto(());

/// A failure of the self-check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SelfCheckError {
    /// The host misjudges known signatures of this algorithm, or has no `verify_signature`.
    Verify(Alg),
    /// The host does not sign with the key of this id, or has no `sign`.
    Sign(String),
}

impl fmt::Display for SelfCheckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Verify(alg) => {
                write!(f, "this host does not verify {alg} signatures correctly: use Envoy 1.40")
            }
            Self::Sign(kid) => write!(
                f,
                "this host does not sign with the key `{kid}` of `signingKeys` or of a `clientKey`: make a new key if its parts \
                 contradict each other, or use Envoy 1.40 or an Ed25519 key"
            ),
        }
    }
}

impl HostCrypto {
    /// Tries the host with known signatures, and with each of the gateway's own keys.
    ///
    /// # Errors
    /// The first failure that is found.
    pub(crate) fn checked<'k>(mut keys: impl Iterator<Item = &'k SigningKey>) -> Result<Self, SelfCheckError> {
        if let Some(sample) = SAMPLES.iter().find(|sample| !sample.is_verified()) {
            return Err(SelfCheckError::Verify(sample.alg));
        }
        let host = Self(());
        match keys.find(|key| !host.signs_well(key)) {
            Some(key) => Err(SelfCheckError::Sign(key.kid().to_owned())),
            None => Ok(host),
        }
    }

    fn signs_well(&self, key: &SigningKey) -> bool {
        let Some(signature) = self.sign(key, MESSAGE) else { return false };
        let verifies = |message| self.verify(key.public(), key.alg(), message, &signature);
        verifies(MESSAGE) && !verifies(OTHER_MESSAGE)
    }
}

impl Crypto for HostCrypto {
    fn sign(&self, key: &SigningKey, message: &[u8]) -> Option<Vec<u8>> {
        if key.alg() == Alg::EdDsa { key.sign_eddsa(message) } else { sign(key, message) }
    }

    fn verify(&self, key: &PublicKey, alg: Alg, message: &[u8], signature: &[u8]) -> bool {
        key.accepts(alg)
            && if alg == Alg::EdDsa {
                key.verify_eddsa(message, signature)
            } else {
                verify(key, alg, message, signature) == Some(true)
            }
    }
}

fn sign(key: &SigningKey, message: &[u8]) -> Option<Vec<u8>> {
    let hash = hash(key.alg())?;
    let arguments = protobuf::encode(&[(1, hash.as_bytes()), (2, key.pkcs8_der()), (3, message)]);
    let answer = foreign("sign", &arguments)?;
    if !protobuf::boolean(&answer, 1)? {
        return None;
    }
    let signature = protobuf::bytes(&answer, 2)?;
    match coordinate(key.alg()) {
        Some(length) => ecdsa_der::from_der(signature, length).ok(),
        None => Some(signature.to_vec()),
    }
}

/// Returns `None` if the host did not answer.
fn verify(key: &PublicKey, alg: Alg, message: &[u8], signature: &[u8]) -> Option<bool> {
    let der = match coordinate(alg) {
        Some(length) => match ecdsa_der::to_der(signature, length) {
            Ok(der) => Cow::Owned(der),
            Err(_) => return Some(false),
        },
        None => Cow::Borrowed(signature),
    };
    host_verifies(alg, key.spki_der(), &der, message)
}

fn host_verifies(alg: Alg, key: &[u8], signature: &[u8], message: &[u8]) -> Option<bool> {
    let hash = hash(alg)?;
    let arguments = protobuf::encode(&[(1, hash.as_bytes()), (2, key), (3, signature), (4, message)]);
    protobuf::boolean(&foreign("verify_signature", &arguments)?, 1)
}

/// Returns the host's name of the hash; `None` for an algorithm that it lacks.
fn hash(alg: Alg) -> Option<&'static str> {
    match alg {
        Alg::Es256 | Alg::Rs256 => Some("sha256"),
        Alg::Es384 | Alg::Rs384 => Some("sha384"),
        Alg::Rs512 => Some("sha512"),
        Alg::EdDsa => None,
    }
}

/// Returns the length of a coordinate, for the algorithms whose JOSE form differs from the host's
/// DER.
fn coordinate(alg: Alg) -> Option<usize> {
    match alg {
        Alg::Es256 => Some(32),
        Alg::Es384 => Some(48),
        Alg::Rs256 | Alg::Rs384 | Alg::Rs512 | Alg::EdDsa => None,
    }
}

/// A signature made elsewhere with a key that no longer exists.
struct Sample {
    alg: Alg,
    key: &'static [u8],
    signature: &'static [u8],
}

impl Sample {
    /// Returns `true` if the host accepts the signature, and refuses it over another message.
    fn is_verified(&self) -> bool {
        host_verifies(self.alg, self.key, self.signature, MESSAGE) == Some(true)
            && host_verifies(self.alg, self.key, self.signature, OTHER_MESSAGE) == Some(false)
    }
}

const SAMPLES: [Sample; 5] = [
    Sample {
        alg: Alg::Es256,
        key: include_bytes!("self_check/es256.spki"),
        signature: include_bytes!("self_check/es256.sig"),
    },
    Sample {
        alg: Alg::Es384,
        key: include_bytes!("self_check/es384.spki"),
        signature: include_bytes!("self_check/es384.sig"),
    },
    Sample {
        alg: Alg::Rs256,
        key: include_bytes!("self_check/rsa.spki"),
        signature: include_bytes!("self_check/rs256.sig"),
    },
    Sample {
        alg: Alg::Rs384,
        key: include_bytes!("self_check/rsa.spki"),
        signature: include_bytes!("self_check/rs384.sig"),
    },
    Sample {
        alg: Alg::Rs512,
        key: include_bytes!("self_check/rsa.spki"),
        signature: include_bytes!("self_check/rs512.sig"),
    },
];

const MESSAGE: &[u8] = b"portcullis self-check";
const OTHER_MESSAGE: &[u8] = b"portcullis self-checK";
