//! Signatures in Rust alone, for what runs without Envoy: tests and measurements. The filter has
//! none of it but EdDSA.

use hmac::{Hmac, Mac as _};
use p256::ecdsa::signature::{Signer as _, Verifier as _};
use p256::pkcs8::DecodePrivateKey as _;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use rsa::pkcs8::DecodePrivateKey as _;
use rsa::sha2::{Digest as _, Sha256, Sha384, Sha512};
use rsa::traits::PublicKeyParts as _;
use rsa::{BigUint, Pkcs1v15Sign, RsaPrivateKey, RsaPublicKey};

use crate::jose::alg::Alg;
use crate::jose::keys::public::{Material, PublicKey};
use crate::jose::keys::signing::{KeyError, SigningKey};

/// The signature could not be computed; with a key that passed [`SigningKey::from_pem`] this means
/// a broken library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignError;

/// A private key to compute with.
pub(super) enum Signer {
    P256(p256::ecdsa::SigningKey),
    P384(p384::ecdsa::SigningKey),
    Rsa(Box<RsaPrivateKey>),
    Ed25519,
}

impl Signer {
    pub(super) fn new(alg: Alg, pkcs8_der: &[u8]) -> Result<Self, KeyError> {
        let signer = match alg {
            Alg::Es256 => p256::ecdsa::SigningKey::from_pkcs8_der(pkcs8_der).ok().map(Self::P256),
            Alg::Es384 => p384::ecdsa::SigningKey::from_pkcs8_der(pkcs8_der).ok().map(Self::P384),
            Alg::EdDsa => Some(Self::Ed25519),
            Alg::Rs256 | Alg::Rs384 | Alg::Rs512 => {
                let key = RsaPrivateKey::from_pkcs8_der(pkcs8_der).ok().filter(|key| key.validate().is_ok());
                key.map(|key| Self::Rsa(Box::new(key)))
            }
        };
        signer.ok_or(KeyError::Inconsistent)
    }
}

impl SigningKey {
    /// Signs a message and gives the signature in JOSE form (RFC 7518 §3.3 and §3.4, RFC 8037
    /// §3.1).
    ///
    /// The same message always has the same signature: ECDSA nonces follow RFC 6979.
    ///
    /// # Errors
    /// [`SignError`].
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        match &self.signer {
            Signer::P256(key) => {
                let signature: p256::ecdsa::Signature = key.try_sign(message).map_err(|_| SignError)?;
                Ok(signature.to_bytes().to_vec())
            }
            Signer::P384(key) => {
                let signature: p384::ecdsa::Signature = key.try_sign(message).map_err(|_| SignError)?;
                Ok(signature.to_bytes().to_vec())
            }
            Signer::Ed25519 => self.sign_eddsa(message).ok_or(SignError),
            Signer::Rsa(key) => {
                let mut blinding = self.blinding(message)?;
                key.sign_with_rng(&mut blinding, Pkcs1v15Sign::new::<Sha256>(), &Sha256::digest(message))
                    .map_err(|_| SignError)
            }
        }
    }

    /// Blinding for RSA, so that the time of a signature says nothing about the key. No randomness
    /// is at hand here; an attacker cannot predict this stream without the key itself.
    fn blinding(&self, message: &[u8]) -> Result<ChaCha20Rng, SignError> {
        let mut seed =
            <Hmac<sha2::Sha256> as hmac::KeyInit>::new_from_slice(self.pkcs8_der()).map_err(|_| SignError)?;
        seed.update(b"rsa blinding");
        seed.update(message);
        Ok(ChaCha20Rng::from_seed(seed.finalize().into_bytes().into()))
    }
}

impl PublicKey {
    /// Checks a signature in JOSE form. `false` for every defect: an algorithm that the key does
    /// not accept, a wrong length, a wrong form, a wrong signature.
    #[must_use]
    pub fn verify(&self, alg: Alg, message: &[u8], signature: &[u8]) -> bool {
        if !self.accepts(alg) {
            return false;
        }
        match &self.material {
            Material::P256(point) => {
                let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(point);
                let signature = p256::ecdsa::Signature::from_slice(signature);
                key.is_ok_and(|key| signature.is_ok_and(|signature| key.verify(message, &signature).is_ok()))
            }
            Material::P384(point) => {
                let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(point);
                let signature = p384::ecdsa::Signature::from_slice(signature);
                key.is_ok_and(|key| signature.is_ok_and(|signature| key.verify(message, &signature).is_ok()))
            }
            Material::Ed25519(_) => self.verify_eddsa(message, signature),
            Material::Rsa { n, e } => {
                let (n, e) = (BigUint::from_bytes_be(n), BigUint::from_bytes_be(e));
                RsaPublicKey::new_with_max_size(n, e, MAX_RSA_BITS)
                    .is_ok_and(|key| verify_rsa(&key, alg, message, signature))
            }
        }
    }
}

fn verify_rsa(key: &RsaPublicKey, alg: Alg, message: &[u8], signature: &[u8]) -> bool {
    // RFC 8017 §8.2.2 step 1; the padding check behind it does not see leading zeros.
    if signature.len() != key.size() {
        return false;
    }
    let checked = match alg {
        Alg::Rs256 => key.verify(Pkcs1v15Sign::new::<Sha256>(), &Sha256::digest(message), signature),
        Alg::Rs384 => key.verify(Pkcs1v15Sign::new::<Sha384>(), &Sha384::digest(message), signature),
        Alg::Rs512 => key.verify(Pkcs1v15Sign::new::<Sha512>(), &Sha512::digest(message), signature),
        Alg::Es256 | Alg::Es384 | Alg::EdDsa => return false,
    };
    checked.is_ok()
}

const MAX_RSA_BITS: usize = 8192;
