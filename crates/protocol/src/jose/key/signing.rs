//! Our own signing keys, read from PEM.

use std::fmt;

use hmac::{Hmac, Mac as _};
use jwt_simple::algorithms::{ECDSAP256KeyPairLike as _, ECDSAP384KeyPairLike as _, EdDSAKeyPairLike as _};
use jwt_simple::algorithms::{ES256KeyPair, ES384KeyPair, Ed25519KeyPair};
use p256::ecdsa::signature::Signer as _;
use p256::pkcs8::{ObjectIdentifier, PrivateKeyInfoRef, SecretDocument};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use rsa::pkcs1::DecodeRsaPrivateKey as _;
use rsa::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _};
use rsa::sha2::{Digest as _, Sha256};
use rsa::traits::PublicKeyParts as _;
use rsa::{Pkcs1v15Sign, RsaPrivateKey};

use super::public::{Material, PublicKey, check_rsa};
use crate::jose::alg::Alg;
use crate::secret::Secret;

/// A private key that signs with one algorithm: P-256 for ES256, P-384 for ES384, RSA for RS256, Ed25519 for EdDSA.
pub struct SigningKey {
    signer: Signer,
    alg: Alg,
    public: PublicKey,
    kid: String,
    pkcs8_der: Secret<Vec<u8>>,
}

/// Why a PEM text is not a signing key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyError {
    /// There is no PEM block of a private key.
    NoPrivateKey,
    /// The private key is encrypted; it must come in the clear, from a secret.
    Encrypted,
    /// The block is not well-formed PEM around one DER value.
    Pem,
    /// The block's content is not the DER that its label promises.
    Der,
    /// The key's algorithm or curve is none of P-256, P-384, RSA and Ed25519.
    UnsupportedAlgorithm,
    /// The RSA modulus has fewer than 2048 or more than 4096 bits.
    RsaSize,
    /// The RSA exponent is not an odd number from 65537 to 32 bits.
    RsaExponent,
    /// The key's parts contradict each other.
    Inconsistent,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoPrivateKey => "no PEM block of a private key found",
            Self::Encrypted => "the private key is encrypted; give it without a passphrase",
            Self::Pem => "the PEM block is malformed",
            Self::Der => "the PEM block does not hold the kind of key that its label names",
            Self::UnsupportedAlgorithm => "the key is none of EC P-256, EC P-384, RSA and Ed25519",
            Self::RsaSize => "the RSA key has fewer than 2048 or more than 4096 bits",
            Self::RsaExponent => "the RSA exponent is not an odd number from 65537 to 32 bits",
            Self::Inconsistent => "the parts of the key contradict each other",
        })
    }
}

impl std::error::Error for KeyError {}

/// The signature could not be computed; with a key that passed [`SigningKey::from_pem`] this means a broken library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignError;

enum Signer {
    P256(ES256KeyPair),
    P384(ES384KeyPair),
    Rsa(Box<RsaPrivateKey>),
    Ed25519(Ed25519KeyPair),
}

impl SigningKey {
    /// Reads the first private key of a PEM text: PKCS#8 (`PRIVATE KEY`), SEC1 (`EC PRIVATE KEY`) or PKCS#1
    /// (`RSA PRIVATE KEY`). Blocks before it, such as `EC PARAMETERS`, are skipped.
    ///
    /// # Errors
    /// [`KeyError`], whose `Display` says what is wrong without a byte of the key.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let (block, _) = private_key_block(pem)?;
        Self::from_block(block)
    }

    /// Reads every private key of a PEM text, as [`SigningKey::from_pem`] reads the first. There is at least one.
    ///
    /// # Errors
    /// The place (from 0) of the key that is wrong, and what is wrong with it.
    pub fn all_from_pem(pem: &str) -> Result<Vec<Self>, (usize, KeyError)> {
        let (mut keys, mut rest) = (Vec::new(), pem);
        loop {
            let found = match private_key_block(rest) {
                Err(KeyError::NoPrivateKey) if !keys.is_empty() => return Ok(keys),
                Ok((block, after)) => {
                    rest = after;
                    Self::from_block(block)
                }
                Err(error) => Err(error),
            };
            keys.push(found.map_err(|error| (keys.len(), error))?);
        }
    }

    fn from_block(block: &str) -> Result<Self, KeyError> {
        let (label, document) = SecretDocument::from_pem(block).map_err(|_| KeyError::Pem)?;
        let signer = match label {
            "PRIVATE KEY" => Signer::from_pkcs8(document.as_bytes()),
            "EC PRIVATE KEY" => Signer::from_sec1(document.as_bytes()),
            "RSA PRIVATE KEY" => {
                Signer::from_rsa(RsaPrivateKey::from_pkcs1_der(document.as_bytes()).map_err(|_| KeyError::Der)?)
            }
            "ENCRYPTED PRIVATE KEY" => Err(KeyError::Encrypted),
            _ => Err(KeyError::UnsupportedAlgorithm),
        }?;
        let alg = signer.alg();
        let public = PublicKey::of_signing_key(signer.public(), alg).map_err(|_| KeyError::Inconsistent)?;
        let kid = public.thumbprint();
        let pkcs8_der = signer.pkcs8_der()?;
        Ok(Self { signer, alg, public, kid, pkcs8_der })
    }

    /// The one algorithm that the key signs with.
    #[must_use]
    pub const fn alg(&self) -> Alg {
        self.alg
    }

    /// The public half.
    #[must_use]
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The key's id: its SHA-256 thumbprint (RFC 7638), 43 characters of base64url.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The private key as DER PKCS#8 (RFC 5958), for Envoy's `sign`. Whoever reads these bytes can sign as us.
    #[must_use]
    pub fn pkcs8_der(&self) -> &[u8] {
        self.pkcs8_der.expose()
    }

    /// Signs a message in pure Rust and gives the signature in JOSE form (RFC 7518 §3.3 and §3.4, RFC 8037 §3.1).
    ///
    /// The same message always has the same signature: ECDSA nonces follow RFC 6979.
    ///
    /// # Errors
    /// [`SignError`].
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        match &self.signer {
            Signer::P256(key) => {
                let signature: p256::ecdsa::Signature =
                    key.key_pair().as_ref().try_sign(message).map_err(|_| SignError)?;
                Ok(signature.to_bytes().to_vec())
            }
            Signer::P384(key) => {
                let signature: p384::ecdsa::Signature =
                    key.key_pair().as_ref().try_sign(message).map_err(|_| SignError)?;
                Ok(signature.to_bytes().to_vec())
            }
            Signer::Ed25519(key) => Ok(key.key_pair().as_ref().sk.sign(message, None).to_vec()),
            Signer::Rsa(key) => {
                let mut blinding = self.blinding(message)?;
                key.sign_with_rng(&mut blinding, Pkcs1v15Sign::new::<Sha256>(), &Sha256::digest(message))
                    .map_err(|_| SignError)
            }
        }
    }

    /// Blinding for RSA, so that the time of a signature says nothing about the key. No randomness is at hand here; an
    /// attacker cannot predict this stream without the key itself.
    fn blinding(&self, message: &[u8]) -> Result<ChaCha20Rng, SignError> {
        let mut seed =
            <Hmac<sha2::Sha256> as hmac::KeyInit>::new_from_slice(self.pkcs8_der()).map_err(|_| SignError)?;
        seed.update(b"rsa blinding");
        seed.update(message);
        Ok(ChaCha20Rng::from_seed(seed.finalize().into_bytes().into()))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({} {})", self.alg, self.kid)
    }
}

impl Signer {
    fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        let info = PrivateKeyInfoRef::try_from(der).map_err(|_| KeyError::Der)?;
        match info.algorithm.oid {
            EC => match info.algorithm.parameters_oid() {
                Ok(P256) => ES256KeyPair::from_der(der).map(Self::P256).map_err(|_| KeyError::Inconsistent),
                Ok(P384) => ES384KeyPair::from_der(der).map(Self::P384).map_err(|_| KeyError::Inconsistent),
                Ok(_) => Err(KeyError::UnsupportedAlgorithm),
                Err(_) => Err(KeyError::Der),
            },
            RSA => Self::from_rsa(RsaPrivateKey::from_pkcs8_der(der).map_err(|_| KeyError::Der)?),
            ED25519 => Ed25519KeyPair::from_der(der).map(Self::Ed25519).map_err(|_| KeyError::Der),
            _ => Err(KeyError::UnsupportedAlgorithm),
        }
    }

    fn from_sec1(der: &[u8]) -> Result<Self, KeyError> {
        use p256::pkcs8::EncodePrivateKey as _;

        // The curve is an optional member of SEC1, so the key is tried on both; its length fits only one.
        if let Ok(key) = p256::SecretKey::from_sec1_der(der) {
            let der = key.to_pkcs8_der().map_err(|_| KeyError::Der)?;
            return ES256KeyPair::from_der(der.as_bytes()).map(Self::P256).map_err(|_| KeyError::Inconsistent);
        }
        let key = p384::SecretKey::from_sec1_der(der).map_err(|_| KeyError::UnsupportedAlgorithm)?;
        let der = key.to_pkcs8_der().map_err(|_| KeyError::Der)?;
        ES384KeyPair::from_der(der.as_bytes()).map(Self::P384).map_err(|_| KeyError::Inconsistent)
    }

    fn from_rsa(key: RsaPrivateKey) -> Result<Self, KeyError> {
        use super::public::JwkError;

        match check_rsa(key.n(), key.e()) {
            Ok(()) if key.n().bits() > MOST_RSA_BITS => Err(KeyError::RsaSize),
            Ok(()) => {
                key.validate().map_err(|_| KeyError::Inconsistent)?;
                Ok(Self::Rsa(Box::new(key)))
            }
            Err(JwkError::RsaExponent) => Err(KeyError::RsaExponent),
            Err(JwkError::RsaModulus | JwkError::Member(_) | JwkError::NotOnCurve) => Err(KeyError::RsaSize),
        }
    }

    const fn alg(&self) -> Alg {
        match self {
            Self::P256(_) => Alg::Es256,
            Self::P384(_) => Alg::Es384,
            Self::Rsa(_) => Alg::Rs256,
            Self::Ed25519(_) => Alg::EdDsa,
        }
    }

    fn public(&self) -> Material {
        match self {
            Self::P256(key) => Material::P256(key.public_key()),
            Self::P384(key) => Material::P384(key.public_key()),
            Self::Rsa(key) => Material::Rsa(key.to_public_key()),
            Self::Ed25519(key) => Material::Ed25519(key.public_key()),
        }
    }

    fn pkcs8_der(&self) -> Result<Secret<Vec<u8>>, KeyError> {
        match self {
            Self::P256(key) => key.to_der().map_err(|_| KeyError::Inconsistent),
            Self::P384(key) => key.to_der().map_err(|_| KeyError::Inconsistent),
            Self::Rsa(key) => key.to_pkcs8_der().map(|der| der.as_bytes().to_vec()).map_err(|_| KeyError::Inconsistent),
            Self::Ed25519(key) => Ok(key.to_der()),
        }
        .map(Secret::new)
    }
}

/// The text from the first line that opens a private key to the line that closes it.
fn private_key_block(pem: &str) -> Result<(&str, &str), KeyError> {
    let mut start = None;
    let mut position: usize = 0;
    for line in pem.split_inclusive('\n') {
        let after = position.saturating_add(line.len());
        match start {
            None if line.starts_with("-----BEGIN ") && line.trim_end().ends_with("PRIVATE KEY-----") => {
                start = Some(position)
            }
            Some(start) if line.starts_with("-----END ") => {
                return pem.get(start..after).zip(pem.get(after..)).ok_or(KeyError::Pem);
            }
            _ => {}
        }
        position = after;
    }
    Err(if start.is_some() { KeyError::Pem } else { KeyError::NoPrivateKey })
}

const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
/// Signing with a larger key takes seconds in wasm.
const MOST_RSA_BITS: usize = 4096;
