//! Our own signing keys, parsed from PEM.

use std::fmt;

use ed25519_compact::{KeyPair, Seed};
use p256::elliptic_curve::sec1::ToSec1Point as _;
use zeroize::Zeroizing;

use crate::crypto::secret::Secret;
use crate::jose::alg::Alg;
use crate::jose::der::{self, Der, OCTET_STRING, SEQUENCE};
use crate::jose::keys::public::{Family, JwkError, Material, PublicKey, check_rsa};

/// A private key that signs with one algorithm: P-256 for ES256, P-384 for ES384, RSA for RS256,
/// Ed25519 for EdDSA.
pub struct SigningKey {
    alg: Alg,
    public: PublicKey,
    kid: String,
    pkcs8_der: Secret<Vec<u8>>,
    ed25519: Option<KeyPair>,
}

/// Why a PEM text is not a signing key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyError {
    /// The text has no PEM block of a private key.
    NoPrivateKey,
    /// The private key is encrypted; only keys without a passphrase are supported.
    Encrypted,
    /// The block is not well-formed PEM around one DER value.
    Pem,
    /// The content of the block is not the DER that its label promises.
    Der,
    /// The key is not P-256, P-384, RSA or Ed25519.
    UnsupportedAlgorithm,
    /// The RSA modulus has fewer than 2048 or more than 4096 bits.
    RsaSize,
    /// The RSA exponent is even, smaller than 65537, or longer than 32 bits.
    RsaExponent,
    /// The parts of the key contradict each other.
    Inconsistent,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoPrivateKey => "no PEM block of a private key found",
            Self::Encrypted => "the private key is encrypted; store it without a passphrase",
            Self::Pem => "the PEM block is malformed",
            Self::Der => "the PEM block does not hold the kind of key that its label names",
            Self::UnsupportedAlgorithm => "the key is not EC P-256, EC P-384, RSA or Ed25519",
            Self::RsaSize => "the RSA key has fewer than 2048 or more than 4096 bits",
            Self::RsaExponent => "the RSA exponent is even, smaller than 65537 or longer than 32 bits",
            Self::Inconsistent => "the parts of the key contradict each other",
        })
    }
}

impl std::error::Error for KeyError {}

impl SigningKey {
    /// Parses the first private key of a PEM text: PKCS#8 (`PRIVATE KEY`), SEC 1 (`EC PRIVATE KEY`)
    /// or PKCS#1 (`RSA PRIVATE KEY`). Blocks before it, such as `EC PARAMETERS`, are skipped.
    ///
    /// # Errors
    /// Returns [`KeyError`], whose `Display` says what is wrong without a byte of the key.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let (block, _) = private_key_block(pem)?;
        Self::from_block(block)
    }

    /// Parses every private key of a PEM text, as [`SigningKey::from_pem`] parses the first. The
    /// result is never empty.
    ///
    /// # Errors
    /// Returns the index (from 0) of the key that is refused, and why.
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
        Parts::from_block(block)?.key()
    }

    /// Returns the algorithm that the key signs with.
    #[must_use]
    pub const fn alg(&self) -> Alg {
        self.alg
    }

    /// Returns the public half.
    #[must_use]
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Returns the id of the key: its SHA-256 thumbprint (RFC 7638), 43 characters of base64url.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Returns the private key as DER PKCS#8 (RFC 5958). Only a signer may read it: the call to
    /// `sign` of Envoy, or a signer in Rust where there is no Envoy. Anyone who has these bytes can
    /// sign as the gateway.
    #[must_use]
    pub fn pkcs8_der(&self) -> &[u8] {
        self.pkcs8_der.expose()
    }

    /// Signs a message with EdDSA (RFC 8037 §3.1), which Envoy does not support. Returns the
    /// signature in JOSE form, or `None` for a key of another algorithm.
    #[must_use]
    pub fn sign_eddsa(&self, message: &[u8]) -> Option<Vec<u8>> {
        self.ed25519.as_ref().map(|pair| pair.sk.sign(message, None).to_vec())
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({} {})", self.alg, self.kid)
    }
}

/// The parts of a private key that passed every check here. Whether the private half of an RSA key
/// fits its public half is only checked by the signer.
struct Parts {
    material: Material,
    /// The content of PKCS#8's `privateKey`.
    private: Zeroizing<Vec<u8>>,
    ed25519: Option<KeyPair>,
}

impl Parts {
    fn from_block(block: &str) -> Result<Self, KeyError> {
        let (label, document) = pem_rfc7468::decode_vec(block.as_bytes()).map_err(|_| KeyError::Pem)?;
        let document = Zeroizing::new(document);
        let mut reader = Der::new(&document);
        let content = reader.sequence().ok_or(KeyError::Pem)?;
        reader.end().ok_or(KeyError::Pem)?;
        match label {
            "PRIVATE KEY" => Self::from_pkcs8(content),
            "EC PRIVATE KEY" => Self::from_sec1(content, None),
            "RSA PRIVATE KEY" => Self::from_pkcs1(content, &document),
            "ENCRYPTED PRIVATE KEY" => Err(KeyError::Encrypted),
            _ => Err(KeyError::UnsupportedAlgorithm),
        }
    }

    /// RFC 5958 §2, both versions. Attributes are ignored.
    fn from_pkcs8(mut info: Der<'_>) -> Result<Self, KeyError> {
        let mut read = || {
            let version = info.unsigned()?;
            let algorithm = info.element(SEQUENCE)?;
            let private = info.element(OCTET_STRING)?;
            info.optional(CONTEXT_0)?;
            let public = info.optional(CONTEXT_1_PRIMITIVE)?;
            // Only the second version has a public half, which is then required.
            matches!((version, public), ([], None) | ([1], Some(_))).then_some((algorithm, private, public))
        };
        let (algorithm, private, public) = read().ok_or(KeyError::Der)?;
        info.end().ok_or(KeyError::Der)?;
        let family = Family::of_algorithm(algorithm).ok_or(KeyError::UnsupportedAlgorithm)?;
        let mut content = Der::new(private);
        let parts = match family {
            Family::P256 | Family::P384 => {
                let key = content.sequence().ok_or(KeyError::Der)?;
                Self::from_sec1(key, Some(family))
            }
            Family::Rsa => {
                let key = content.sequence().ok_or(KeyError::Der)?;
                Self::from_pkcs1(key, private)
            }
            Family::Ed25519 => Self::from_seed(content.element(OCTET_STRING).ok_or(KeyError::Der)?, private),
        }?;
        content.end().ok_or(KeyError::Der)?;
        match public.map(der::whole_bytes) {
            Some(Some(public)) if public != parts.material.public_bits() => Err(KeyError::Inconsistent),
            Some(None) => Err(KeyError::Der),
            Some(Some(_)) | None => Ok(parts),
        }
    }

    /// RFC 5915 §3. The curve is optional; without it the length of the scalar determines it.
    fn from_sec1(mut key: Der<'_>, family: Option<Family>) -> Result<Self, KeyError> {
        let mut read = || {
            let version = key.unsigned()?;
            let scalar = key.element(OCTET_STRING)?;
            let curve = key.optional(CONTEXT_0)?;
            let public = match key.optional(CONTEXT_1)? {
                Some(public) => {
                    let mut public = Der::new(public);
                    let bits = public.bits()?;
                    public.end()?;
                    Some(bits)
                }
                None => None,
            };
            (version == [1]).then_some((scalar, curve, public))
        };
        let (scalar, curve, public) = read().ok_or(KeyError::Der)?;
        key.end().ok_or(KeyError::Der)?;
        let family = match (family, curve.map(Family::of_curve)) {
            (_, Some(None)) => return Err(KeyError::UnsupportedAlgorithm),
            (Some(family), Some(Some(curve))) if family != curve => return Err(KeyError::Inconsistent),
            (Some(family), _) | (None, Some(Some(family))) => family,
            (None, None) if scalar.len() == 32 => Family::P256,
            (None, None) if scalar.len() == 48 => Family::P384,
            (None, None) => return Err(KeyError::UnsupportedAlgorithm),
        };
        let (material, length) = match family {
            Family::P384 => (p384_point(scalar).map(Material::P384), 48),
            Family::P256 | Family::Rsa | Family::Ed25519 => (p256_point(scalar).map(Material::P256), 32),
        };
        // RFC 5915 §3: the scalar has the length of the curve. A shorter one may be meant for
        // another curve.
        let material = material.filter(|_| scalar.len() == length).ok_or(KeyError::Inconsistent)?;
        if public.is_some_and(|public| public != material.public_bits()) {
            return Err(KeyError::Inconsistent);
        }
        let private = || {
            let scalar = der::element(OCTET_STRING, &[scalar])?;
            let bits = der::element(der::BIT_STRING, &[&[0], &material.public_bits()])?;
            der::element(SEQUENCE, &[&ONE, &scalar, &*der::element(CONTEXT_1, &[&bits])?])
        };
        let private = private().ok_or(KeyError::Der)?;
        Ok(Self { material, private, ed25519: None })
    }

    /// RFC 8017 A.1.2, with two primes. `der` is the whole key.
    fn from_pkcs1(mut key: Der<'_>, der: &[u8]) -> Result<Self, KeyError> {
        let mut read = || {
            let version = key.unsigned()?;
            let (n, e) = (key.unsigned()?, key.unsigned()?);
            // d, p, q, d mod (p-1), d mod (q-1), 1/q mod p.
            for _ in 0..6 {
                key.unsigned()?;
            }
            version.is_empty().then_some((n, e))
        };
        let (n, e) = read().ok_or(KeyError::Der)?;
        key.end().ok_or(KeyError::Der)?;
        match check_rsa(n, e) {
            Ok(()) if n.len() > MAX_RSA_BYTES => Err(KeyError::RsaSize),
            Ok(()) => {
                let material = Material::Rsa { n: n.to_vec(), e: e.to_vec() };
                Ok(Self { material, private: Zeroizing::new(der.to_vec()), ed25519: None })
            }
            Err(JwkError::RsaExponent) => Err(KeyError::RsaExponent),
            Err(JwkError::RsaModulus | JwkError::Member(_) | JwkError::NotOnCurve) => Err(KeyError::RsaSize),
        }
    }

    /// RFC 8410 §7. `der` is the seed as an OCTET STRING.
    fn from_seed(seed: &[u8], der: &[u8]) -> Result<Self, KeyError> {
        let pair = KeyPair::from_seed(Seed::from_slice(seed).map_err(|_| KeyError::Der)?);
        let (material, private) = (Material::Ed25519(pair.pk), Zeroizing::new(der.to_vec()));
        Ok(Self { material, private, ed25519: Some(pair) })
    }

    fn key(self) -> Result<SigningKey, KeyError> {
        let family = self.material.family();
        let pkcs8_der = || {
            let algorithm = der::element(SEQUENCE, &[family.algorithm()])?;
            der::element(SEQUENCE, &[&ZERO, &algorithm, &*der::element(OCTET_STRING, &[&self.private])?])
        };
        let pkcs8_der = pkcs8_der().ok_or(KeyError::Der)?;
        let alg = match family {
            Family::P256 => Alg::Es256,
            Family::P384 => Alg::Es384,
            Family::Rsa => Alg::Rs256,
            Family::Ed25519 => Alg::EdDsa,
        };
        let public = PublicKey::of_signing_key(self.material, alg).map_err(|_| KeyError::Inconsistent)?;
        Ok(SigningKey {
            alg,
            kid: public.thumbprint(),
            public,
            pkcs8_der: Secret::new(pkcs8_der.to_vec()),
            ed25519: self.ed25519,
        })
    }
}

/// Returns the public half of a private scalar, as an uncompressed point.
fn p256_point(scalar: &[u8]) -> Option<Vec<u8>> {
    Some(p256::SecretKey::from_slice(scalar).ok()?.public_key().to_sec1_point(false).as_bytes().to_vec())
}

fn p384_point(scalar: &[u8]) -> Option<Vec<u8>> {
    Some(p384::SecretKey::from_slice(scalar).ok()?.public_key().to_sec1_point(false).as_bytes().to_vec())
}

/// Returns the first block of a private key, from its opening to its closing line, and the text
/// after it.
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

/// The INTEGERs 0 and 1.
const ZERO: [u8; 3] = [der::INTEGER, 1, 0];
const ONE: [u8; 3] = [der::INTEGER, 1, 1];
const CONTEXT_0: u8 = 0xa0;
const CONTEXT_1: u8 = 0xa1;
const CONTEXT_1_PRIMITIVE: u8 = 0x81;
/// 4096 bits: signing with a larger key is slow.
const MAX_RSA_BYTES: usize = 512;

#[cfg(test)]
#[path = "signing_tests.rs"]
mod tests;
