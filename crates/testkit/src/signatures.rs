//! Signatures in Rust alone, for what runs without Envoy. The filter has none of it but EdDSA.

use hmac::{Hmac, Mac as _};
use p256::ecdsa::signature::{Signer as _, Verifier as _};
use p256::pkcs8::{DecodePrivateKey as _, DecodePublicKey as _};
use portcullis_protocol::base64url;
use portcullis_protocol::jose::alg::Alg;
use portcullis_protocol::jose::keys::{Family, PublicKey, SigningKey};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use rsa::pkcs8::DecodePrivateKey as _;
use rsa::sha2::{Digest as _, Sha256, Sha384, Sha512};
use rsa::traits::PublicKeyParts as _;
use rsa::{BigUint, Pkcs1v15Sign, RsaPrivateKey, RsaPublicKey};

/// The private key cannot sign: its halves do not fit, or a library is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignError;

/// Signing with one of our keys.
pub trait Sign {
    /// Returns the signature of a message in JOSE form (RFC 7518 §3.3 and §3.4, RFC 8037 §3.1).
    ///
    /// The same message always has the same signature: ECDSA nonces follow RFC 6979.
    ///
    /// # Errors
    /// [`SignError`].
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError>;
}

/// Checking a signature with a public key.
pub trait Verify {
    /// Returns `true` if this is the signature of the message in JOSE form. `false` for every
    /// defect: an algorithm that the key does not accept, a wrong length, a wrong form, a wrong
    /// signature.
    fn verify(&self, alg: Alg, message: &[u8], signature: &[u8]) -> bool;
}

impl Sign for SigningKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        match self.alg() {
            Alg::Es256 => {
                let key = p256::ecdsa::SigningKey::from_pkcs8_der(self.pkcs8_der()).map_err(|_| SignError)?;
                let signature: p256::ecdsa::Signature = key.try_sign(message).map_err(|_| SignError)?;
                Ok(signature.to_bytes().to_vec())
            }
            Alg::Es384 => {
                let key = p384::ecdsa::SigningKey::from_pkcs8_der(self.pkcs8_der()).map_err(|_| SignError)?;
                let signature: p384::ecdsa::Signature = key.try_sign(message).map_err(|_| SignError)?;
                Ok(signature.to_bytes().to_vec())
            }
            Alg::EdDsa => self.sign_eddsa(message).ok_or(SignError),
            Alg::Rs256 | Alg::Rs384 | Alg::Rs512 => {
                let key = RsaPrivateKey::from_pkcs8_der(self.pkcs8_der()).map_err(|_| SignError)?;
                let mut blinding = blinding(self, message)?;
                key.sign_with_rng(&mut blinding, Pkcs1v15Sign::new::<Sha256>(), &Sha256::digest(message))
                    .map_err(|_| SignError)
            }
        }
    }
}

impl Verify for PublicKey {
    fn verify(&self, alg: Alg, message: &[u8], signature: &[u8]) -> bool {
        if !self.accepts(alg) {
            return false;
        }
        match self.family() {
            Family::P256 => {
                let key = p256::ecdsa::VerifyingKey::from_public_key_der(self.spki_der());
                let signature = p256::ecdsa::Signature::from_slice(signature);
                key.is_ok_and(|key| signature.is_ok_and(|signature| key.verify(message, &signature).is_ok()))
            }
            Family::P384 => {
                let key = p384::ecdsa::VerifyingKey::from_public_key_der(self.spki_der());
                let signature = p384::ecdsa::Signature::from_slice(signature);
                key.is_ok_and(|key| signature.is_ok_and(|signature| key.verify(message, &signature).is_ok()))
            }
            Family::Ed25519 => self.verify_eddsa(message, signature),
            Family::Rsa => rsa_key(self).is_some_and(|key| verify_rsa(&key, alg, message, signature)),
        }
    }
}

/// Blinding for RSA, which wants randomness: a stream that depends on the key and the message, so
/// that tests need no generator.
fn blinding(key: &SigningKey, message: &[u8]) -> Result<ChaCha20Rng, SignError> {
    let mut seed = <Hmac<sha2::Sha256> as hmac::KeyInit>::new_from_slice(key.pkcs8_der()).map_err(|_| SignError)?;
    seed.update(b"rsa blinding");
    seed.update(message);
    Ok(ChaCha20Rng::from_seed(seed.finalize().into_bytes().into()))
}

/// From the JWK: the reader of DER takes no key above 4096 bits.
fn rsa_key(key: &PublicKey) -> Option<RsaPublicKey> {
    let jwk = key.to_jwk();
    let integer = |name: &str| Some(BigUint::from_bytes_be(&base64url::decode(jwk.get(name)?.as_str()?).ok()?));
    RsaPublicKey::new_with_max_size(integer("n")?, integer("e")?, MAX_RSA_BITS).ok()
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
