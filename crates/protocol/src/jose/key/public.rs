//! Public keys: from JWK, to JWK, and checking signatures with them.

use ed25519_compact::{PublicKey as Ed25519, Signature as Ed25519Signature};
use jwt_simple::algorithms::{ECDSAP256PublicKeyLike as _, ECDSAP384PublicKeyLike as _};
use jwt_simple::algorithms::{ES256PublicKey, ES384PublicKey, Ed25519PublicKey, EdDSAPublicKeyLike as _};
use p256::ecdsa::signature::Verifier as _;
use rsa::pkcs8::EncodePublicKey as _;
use rsa::sha2::{Digest as _, Sha256, Sha384, Sha512};
use rsa::traits::PublicKeyParts as _;
use rsa::{BigUint, Pkcs1v15Sign, RsaPublicKey};
use serde_json::{Map, Value, json};

use crate::base64url;
use crate::digest::sha256;
use crate::jose::alg::Alg;

/// A public key that checks signatures. A value of this type is sound: on its curve, of a safe size.
#[derive(Debug, Clone)]
pub struct PublicKey {
    material: Material,
    kid: Option<String>,
    /// The one algorithm that the key's JWK allows, when it names one.
    only: Option<Alg>,
    spki_der: Vec<u8>,
}

/// The kinds of key; each goes with its own algorithms only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Elliptic curve P-256, for ES256.
    P256,
    /// Elliptic curve P-384, for ES384.
    P384,
    /// RSA, for RS256, RS384 and RS512.
    Rsa,
    /// Ed25519, for EdDSA.
    Ed25519,
}

/// Why a JWK that claims to be a signature key of a known type is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JwkError {
    /// This member is missing, of the wrong JSON type, not canonical base64url, or of the wrong length.
    Member(&'static str),
    /// The coordinates are no point of the curve, or a point of small order.
    NotOnCurve,
    /// The RSA modulus has fewer than 2048 or more than 8192 bits, or is even.
    RsaModulus,
    /// The RSA exponent is even, smaller than 65537, or longer than 32 bits.
    RsaExponent,
}

#[derive(Debug, Clone)]
pub(super) enum Material {
    P256(ES256PublicKey),
    P384(ES384PublicKey),
    Rsa(RsaPublicKey),
    Ed25519(Ed25519PublicKey),
}

impl PublicKey {
    /// Reads a JWK.
    ///
    /// `None` for a key that is not for us: of an unknown type or curve, for encryption, or restricted to operations or
    /// an algorithm that we do not use (RFC 7517 §4.2 to §4.4, §5). Private members are ignored.
    ///
    /// # Errors
    /// [`JwkError`] for a key that should be usable and is broken or weak.
    pub fn from_jwk(jwk: &Map<String, Value>) -> Result<Option<Self>, JwkError> {
        if !is_for_verifying(jwk)? {
            return Ok(None);
        }
        let material = match (required(jwk, "kty")?, optional(jwk, "crv")?) {
            ("EC", Some("P-256")) => {
                Material::P256(ES256PublicKey::from_bytes(&point(jwk, 32)?).map_err(|_| JwkError::NotOnCurve)?)
            }
            ("EC", Some("P-384")) => {
                Material::P384(ES384PublicKey::from_bytes(&point(jwk, 48)?).map_err(|_| JwkError::NotOnCurve)?)
            }
            ("OKP", Some("Ed25519")) => Material::Ed25519(
                Ed25519PublicKey::from_bytes(&bytes(jwk, "x", 32)?).map_err(|_| JwkError::NotOnCurve)?,
            ),
            ("RSA", None) => Material::Rsa(rsa_key(jwk)?),
            _ => return Ok(None),
        };
        let kid = match optional(jwk, "kid")? {
            Some(kid) if kid.len() > LONGEST_KID => return Err(JwkError::Member("kid")),
            kid => kid.map(str::to_owned),
        };
        let only = match optional(jwk, "alg")? {
            None => None,
            Some(name) => match Alg::from_name(name) {
                Some(alg) if fits(material.family(), alg) => Some(alg),
                _ => return Ok(None),
            },
        };
        let spki_der = material.spki_der()?;
        Ok(Some(Self { material, kid, only, spki_der }))
    }

    /// The public half of one of our own keys, bound to the key's algorithm and named by its thumbprint.
    pub(super) fn of_signing_key(material: Material, alg: Alg) -> Result<Self, JwkError> {
        let kid = Some(material.thumbprint());
        let spki_der = material.spki_der()?;
        Ok(Self { material, kid, only: Some(alg), spki_der })
    }

    /// The key as a JWK: public members, with `use` and, where the key is bound to one algorithm, `alg`.
    #[must_use]
    pub fn to_jwk(&self) -> Value {
        let mut jwk = self.material.required_members();
        jwk.insert("use".to_owned(), json!("sig"));
        if let Some(kid) = &self.kid {
            jwk.insert("kid".to_owned(), json!(kid));
        }
        if let Some(alg) = self.only.or_else(|| self.material.family().only_alg()) {
            jwk.insert("alg".to_owned(), json!(alg.name()));
        }
        Value::Object(jwk)
    }

    /// The kind of key.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.material.family()
    }

    /// The key's id: the JWK's own, or for our keys the thumbprint.
    #[must_use]
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The key's SHA-256 thumbprint in base64url (RFC 7638 §3).
    #[must_use]
    pub fn thumbprint(&self) -> String {
        self.material.thumbprint()
    }

    /// The key as DER SubjectPublicKeyInfo (RFC 5280 §4.1.2.7), for Envoy's `verify_signature`.
    #[must_use]
    pub fn spki_der(&self) -> &[u8] {
        &self.spki_der
    }

    /// Whether the key may check signatures of this algorithm: the algorithm fits its type and curve, and is the one
    /// that the JWK names, if it names one (RFC 8725 §3.1).
    #[must_use]
    pub fn accepts(&self, alg: Alg) -> bool {
        fits(self.family(), alg) && self.only.is_none_or(|only| only == alg)
    }

    /// Checks a signature in JOSE form, in pure Rust. `false` for every defect: an algorithm that the key does not
    /// accept, a wrong length, a wrong form, a wrong signature.
    #[must_use]
    pub fn verify(&self, alg: Alg, message: &[u8], signature: &[u8]) -> bool {
        if !self.accepts(alg) {
            return false;
        }
        match &self.material {
            Material::P256(key) => p256::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| key.public_key().as_ref().verify(message, &signature).is_ok()),
            Material::P384(key) => p384::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| key.public_key().as_ref().verify(message, &signature).is_ok()),
            Material::Ed25519(key) => Ed25519Signature::from_slice(signature)
                .is_ok_and(|signature| AsRef::<Ed25519>::as_ref(key.public_key()).verify(message, &signature).is_ok()),
            Material::Rsa(key) => verify_rsa(key, alg, message, signature),
        }
    }
}

impl Family {
    const fn only_alg(self) -> Option<Alg> {
        match self {
            Self::P256 => Some(Alg::Es256),
            Self::P384 => Some(Alg::Es384),
            Self::Ed25519 => Some(Alg::EdDsa),
            Self::Rsa => None,
        }
    }
}

impl Material {
    const fn family(&self) -> Family {
        match self {
            Self::P256(_) => Family::P256,
            Self::P384(_) => Family::P384,
            Self::Rsa(_) => Family::Rsa,
            Self::Ed25519(_) => Family::Ed25519,
        }
    }

    fn spki_der(&self) -> Result<Vec<u8>, JwkError> {
        match self {
            Self::P256(key) => key.to_der().map_err(|_| JwkError::NotOnCurve),
            Self::P384(key) => key.to_der().map_err(|_| JwkError::NotOnCurve),
            Self::Ed25519(key) => Ok(key.to_der()),
            Self::Rsa(key) => key.to_public_key_der().map(|der| der.into_vec()).map_err(|_| JwkError::RsaModulus),
        }
    }

    /// The members that define the key (RFC 7638 §3.2), without any optional one.
    fn required_members(&self) -> Map<String, Value> {
        let members = match self {
            Self::P256(key) => ec_members("P-256", &key.public_key().to_bytes_uncompressed()),
            Self::P384(key) => ec_members("P-384", &key.public_key().to_bytes_uncompressed()),
            Self::Ed25519(key) => vec![
                ("crv", "Ed25519".to_owned()),
                ("kty", "OKP".to_owned()),
                ("x", base64url::encode(&key.to_bytes())),
            ],
            Self::Rsa(key) => vec![
                ("e", base64url::encode(&key.e().to_bytes_be())),
                ("kty", "RSA".to_owned()),
                ("n", base64url::encode(&key.n().to_bytes_be())),
            ],
        };
        members.into_iter().map(|(name, value)| (name.to_owned(), Value::String(value))).collect()
    }

    fn thumbprint(&self) -> String {
        // RFC 7638 §3 wants the members in lexicographic order and no whitespace; the order does not depend on how
        // serde_json keeps its maps, because the members come sorted.
        let canonical = Value::Object(self.required_members()).to_string();
        base64url::encode(&sha256(canonical.as_bytes()))
    }
}

const fn fits(family: Family, alg: Alg) -> bool {
    matches!(
        (family, alg),
        (Family::P256, Alg::Es256)
            | (Family::P384, Alg::Es384)
            | (Family::Ed25519, Alg::EdDsa)
            | (Family::Rsa, Alg::Rs256 | Alg::Rs384 | Alg::Rs512)
    )
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

/// RFC 7517 §4.2 and §4.3: both members are optional, and each, when present, must allow signature checks.
fn is_for_verifying(jwk: &Map<String, Value>) -> Result<bool, JwkError> {
    let by_use = optional(jwk, "use")?.is_none_or(|usage| usage == "sig");
    let by_operations = match jwk.get("key_ops") {
        None => true,
        Some(Value::Array(operations)) => operations.iter().any(|operation| operation == "verify"),
        Some(_) => return Err(JwkError::Member("key_ops")),
    };
    Ok(by_use && by_operations)
}

fn optional<'a>(jwk: &'a Map<String, Value>, name: &'static str) -> Result<Option<&'a str>, JwkError> {
    jwk.get(name).map(|value| value.as_str().ok_or(JwkError::Member(name))).transpose()
}

fn required<'a>(jwk: &'a Map<String, Value>, name: &'static str) -> Result<&'a str, JwkError> {
    optional(jwk, name)?.ok_or(JwkError::Member(name))
}

fn bytes(jwk: &Map<String, Value>, name: &'static str, length: usize) -> Result<Vec<u8>, JwkError> {
    let value = base64url::decode(required(jwk, name)?).map_err(|_| JwkError::Member(name))?;
    if value.len() == length { Ok(value) } else { Err(JwkError::Member(name)) }
}

/// The uncompressed SEC1 point of a JWK; coordinates have the full length of the curve (RFC 7518 §6.2.1.2).
fn point(jwk: &Map<String, Value>, coordinate: usize) -> Result<Vec<u8>, JwkError> {
    Ok([vec![UNCOMPRESSED], bytes(jwk, "x", coordinate)?, bytes(jwk, "y", coordinate)?].concat())
}

fn ec_members(curve: &str, uncompressed: &[u8]) -> Vec<(&'static str, String)> {
    let coordinates = uncompressed.get(1..).unwrap_or_default();
    let (x, y) = coordinates.split_at(coordinates.len().div_euclid(2));
    vec![("crv", curve.to_owned()), ("kty", "EC".to_owned()), ("x", base64url::encode(x)), ("y", base64url::encode(y))]
}

fn rsa_key(jwk: &Map<String, Value>) -> Result<RsaPublicKey, JwkError> {
    let integer = |name| match base64url::decode(required(jwk, name)?) {
        Ok(bytes) if bytes.len() <= LONGEST_RSA_BYTES => Ok(BigUint::from_bytes_be(&bytes)),
        _ => Err(JwkError::Member(name)),
    };
    let (n, e) = (integer("n")?, integer("e")?);
    check_rsa(&n, &e)?;
    RsaPublicKey::new_with_max_size(n, e, MOST_RSA_BITS).map_err(|_| JwkError::RsaExponent)
}

/// The sizes that are accepted of any RSA key, ours or others' (RFC 7518 §3.3; the upper bound keeps a check cheap).
pub(super) fn check_rsa(n: &BigUint, e: &BigUint) -> Result<(), JwkError> {
    let is_odd = |value: &BigUint| value.to_bytes_le().first().is_some_and(|low| low & 1 == 1);
    if !(LEAST_RSA_BITS..=MOST_RSA_BITS).contains(&n.bits()) || !is_odd(n) {
        return Err(JwkError::RsaModulus);
    }
    if *e < BigUint::from(LEAST_RSA_EXPONENT) || e.bits() > MOST_RSA_EXPONENT_BITS || !is_odd(e) {
        return Err(JwkError::RsaExponent);
    }
    Ok(())
}

const LONGEST_KID: usize = 256;
const UNCOMPRESSED: u8 = 4;
const LEAST_RSA_BITS: usize = 2048;
const MOST_RSA_BITS: usize = 8192;
/// One byte more than the largest modulus, for encoders that prepend a zero.
const LONGEST_RSA_BYTES: usize = MOST_RSA_BITS / 8 + 1;
const LEAST_RSA_EXPONENT: u32 = 65537;
const MOST_RSA_EXPONENT_BITS: usize = 32;
