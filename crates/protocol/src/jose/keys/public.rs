//! Public keys: from JWK, to JWK, and signatures of EdDSA verified with them.

use ed25519_compact::{PublicKey as Ed25519, Signature as Ed25519Signature};
use serde_json::{Map, Value, json};

use crate::base64url;
use crate::crypto::digest::sha256;
use crate::jose::alg::Alg;
use crate::jose::der::{self, BIT_STRING, NULL, OBJECT_IDENTIFIER, SEQUENCE};

/// A public key that verifies signatures. INVARIANT: a value is sound, on its curve and of a safe
/// size.
#[derive(Debug, Clone)]
pub struct PublicKey {
    material: Material,
    kid: Option<String>,
    issuer: Option<String>,
    /// The only algorithm that the JWK allows, if it names one.
    only: Option<Alg>,
    spki_der: Vec<u8>,
}

/// The kinds of key, each with its own algorithms.
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

/// Why a JWK that should be a usable signature key is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JwkError {
    /// The member of this name is absent, of the wrong JSON type, not canonical base64url, or of
    /// the wrong length.
    Member(&'static str),
    /// The coordinates are not a point of the curve, or a point of small order.
    NotOnCurve,
    /// The RSA modulus has fewer than 2048 or more than 8192 bits, or is even.
    RsaModulus,
    /// The RSA exponent is even, smaller than 65537, or longer than 32 bits.
    RsaExponent,
}

#[derive(Debug, Clone)]
pub(super) enum Material {
    /// An uncompressed point (SEC 1 §2.3.3).
    P256(Vec<u8>),
    /// An uncompressed point.
    P384(Vec<u8>),
    /// Integers from the most significant byte, without leading zeros.
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    Ed25519(Ed25519),
}

impl PublicKey {
    /// Parses a JWK.
    ///
    /// Returns `None` for an unsupported key: of an unknown type or curve, for encryption, or
    /// restricted to operations or an algorithm that are not used here (RFC 7517 §4.2 to §4.4, §5).
    /// Private members are ignored.
    ///
    /// # Errors
    /// Returns [`JwkError`] for a key that should be usable and is broken or weak.
    pub fn from_jwk(jwk: &Map<String, Value>) -> Result<Option<Self>, JwkError> {
        if !is_for_verifying(jwk)? {
            return Ok(None);
        }
        let material = match (required(jwk, "kty")?, optional(jwk, "crv")?) {
            ("EC", Some("P-256")) => {
                let point = point(jwk, 32)?;
                p256::PublicKey::from_sec1_bytes(&point).map_err(|_| JwkError::NotOnCurve)?;
                Material::P256(point)
            }
            ("EC", Some("P-384")) => {
                let point = point(jwk, 48)?;
                p384::PublicKey::from_sec1_bytes(&point).map_err(|_| JwkError::NotOnCurve)?;
                Material::P384(point)
            }
            ("OKP", Some("Ed25519")) => {
                let key = Ed25519::from_slice(&bytes(jwk, "x", 32)?).map_err(|_| JwkError::Member("x"))?;
                key.validate().map_err(|_| JwkError::NotOnCurve)?;
                Material::Ed25519(key)
            }
            ("RSA", None) => rsa_key(jwk)?,
            _ => return Ok(None),
        };
        let kid = match optional(jwk, "kid")? {
            Some(kid) if kid.len() > MAX_KID_BYTES => return Err(JwkError::Member("kid")),
            kid => kid.map(str::to_owned),
        };
        let only = match optional(jwk, "alg")? {
            None => None,
            Some(name) => match Alg::from_foreign_name(name) {
                Some(alg) if fits(material.family(), alg) => Some(alg),
                _ => return Ok(None),
            },
        };
        let issuer = jwk.get("issuer").and_then(Value::as_str).map(str::to_owned);
        let spki_der = material.spki_der().ok_or(JwkError::Member("n"))?;
        Ok(Some(Self { material, kid, issuer, only, spki_der }))
    }

    /// Makes the public half of one of our own keys, bound to the algorithm of the key and named by
    /// its thumbprint.
    pub(super) fn of_signing_key(material: Material, alg: Alg) -> Result<Self, JwkError> {
        let kid = Some(material.thumbprint());
        let spki_der = material.spki_der().ok_or(JwkError::Member("n"))?;
        Ok(Self { material, kid, issuer: None, only: Some(alg), spki_der })
    }

    /// Returns the key as a JWK: public members, `use`, and `alg` if the key is bound to one
    /// algorithm.
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

    /// Returns the kind of key.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.material.family()
    }

    /// Returns the id of the key: that of the JWK, or for our own keys the thumbprint.
    #[must_use]
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// Returns the issuer that alone signs with the key, if the JWK names one: in a set of the keys
    /// of many tenants, as that of Microsoft Entra.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// Returns the SHA-256 thumbprint in base64url (RFC 7638 §3).
    #[must_use]
    pub fn thumbprint(&self) -> String {
        self.material.thumbprint()
    }

    /// Returns the key as DER SubjectPublicKeyInfo (RFC 5280 §4.1.2.7). The host verifies
    /// signatures of ECDSA and RSA with it, and so does every other verifier outside this crate.
    #[must_use]
    pub fn spki_der(&self) -> &[u8] {
        &self.spki_der
    }

    /// Returns `true` if the key may verify signatures of this algorithm: it fits the type and
    /// curve, and is the one that the JWK names, if it names one (RFC 8725 §3.1).
    #[must_use]
    pub fn accepts(&self, alg: Alg) -> bool {
        fits(self.family(), alg) && self.only.is_none_or(|only| only == alg)
    }

    /// Verifies an EdDSA signature in JOSE form (RFC 8037 §3.1), which Envoy does not support.
    /// Returns `false` for every defect, and for a key of another algorithm.
    #[must_use]
    pub fn verify_eddsa(&self, message: &[u8], signature: &[u8]) -> bool {
        let Material::Ed25519(key) = &self.material else { return false };
        Ed25519Signature::from_slice(signature).is_ok_and(|signature| key.verify(message, &signature).is_ok())
    }
}

impl Family {
    /// Returns the kind of key that the content of an AlgorithmIdentifier names.
    pub(super) fn of_algorithm(algorithm: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|family| family.algorithm() == algorithm)
    }

    /// Returns the kind of key on the curve that this OBJECT IDENTIFIER names.
    pub(super) fn of_curve(identifier: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|family| family.algorithm().strip_prefix(EC_KEY) == Some(identifier))
    }

    /// Returns the content of the AlgorithmIdentifier (RFC 5480 §2.1.1, RFC 3279 §2.3.1, RFC 8410
    /// §3).
    pub(super) const fn algorithm(self) -> &'static [u8] {
        match self {
            Self::P256 => &[6, 7, 42, 134, 72, 206, 61, 2, 1, 6, 8, 42, 134, 72, 206, 61, 3, 1, 7],
            Self::P384 => &[6, 7, 42, 134, 72, 206, 61, 2, 1, 6, 5, 43, 129, 4, 0, 34],
            Self::Rsa => &[OBJECT_IDENTIFIER, 9, 42, 134, 72, 134, 247, 13, 1, 1, 1, NULL, 0],
            Self::Ed25519 => &[OBJECT_IDENTIFIER, 3, 43, 101, 112],
        }
    }

    const ALL: [Self; 4] = [Self::P256, Self::P384, Self::Rsa, Self::Ed25519];

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
    pub(super) const fn family(&self) -> Family {
        match self {
            Self::P256(_) => Family::P256,
            Self::P384(_) => Family::P384,
            Self::Rsa { .. } => Family::Rsa,
            Self::Ed25519(_) => Family::Ed25519,
        }
    }

    /// Returns the bits of the SubjectPublicKeyInfo.
    pub(super) fn public_bits(&self) -> Vec<u8> {
        match self {
            Self::P256(point) | Self::P384(point) => point.clone(),
            Self::Ed25519(key) => key.to_vec(),
            Self::Rsa { n, e } => rsa_public_key(n, e).unwrap_or_default(),
        }
    }

    fn spki_der(&self) -> Option<Vec<u8>> {
        let algorithm = der::element(SEQUENCE, &[self.family().algorithm()])?;
        let bits = der::element(BIT_STRING, &[&[0], &self.public_bits()])?;
        der::element(SEQUENCE, &[&algorithm, &bits]).map(|der| der.to_vec())
    }

    /// Returns the members that define the key (RFC 7638 §3.2), without optional ones.
    fn required_members(&self) -> Map<String, Value> {
        let members = match self {
            Self::P256(point) => ec_members("P-256", point),
            Self::P384(point) => ec_members("P-384", point),
            Self::Ed25519(key) => {
                vec![("crv", "Ed25519".to_owned()), ("kty", "OKP".to_owned()), ("x", base64url::encode(key.as_slice()))]
            }
            Self::Rsa { n, e } => {
                vec![("e", base64url::encode(e)), ("kty", "RSA".to_owned()), ("n", base64url::encode(n))]
            }
        };
        let mut map = Map::new();
        map.extend(members.into_iter().map(|(name, value)| (name.to_owned(), Value::String(value))));
        map
    }

    fn thumbprint(&self) -> String {
        // RFC 7638 §3: the members in lexicographic order and no whitespace. They are inserted in
        // that order, so the result does not depend on how serde_json orders its maps.
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

/// RFC 7517 §4.2 and §4.3: both members are optional, and each, if present, must allow verifying.
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

/// Returns the uncompressed SEC 1 point of a JWK. Coordinates have the full length of the curve
/// (RFC 7518 §6.2.1.2).
fn point(jwk: &Map<String, Value>, coordinate: usize) -> Result<Vec<u8>, JwkError> {
    Ok([vec![UNCOMPRESSED], bytes(jwk, "x", coordinate)?, bytes(jwk, "y", coordinate)?].concat())
}

fn ec_members(curve: &str, uncompressed: &[u8]) -> Vec<(&'static str, String)> {
    let coordinates = uncompressed.get(1..).unwrap_or_default();
    let (x, y) = coordinates.split_at(coordinates.len().div_euclid(2));
    vec![("crv", curve.to_owned()), ("kty", "EC".to_owned()), ("x", base64url::encode(x)), ("y", base64url::encode(y))]
}

fn rsa_key(jwk: &Map<String, Value>) -> Result<Material, JwkError> {
    let integer = |name| match base64url::decode(required(jwk, name)?) {
        Ok(bytes) if bytes.len() <= MAX_ENCODED_RSA_BYTES => Ok(der::without_zeros(&bytes).to_vec()),
        _ => Err(JwkError::Member(name)),
    };
    let (n, e) = (integer("n")?, integer("e")?);
    check_rsa(&n, &e)?;
    Ok(Material::Rsa { n, e })
}

/// RFC 8017 A.1.1.
fn rsa_public_key(n: &[u8], e: &[u8]) -> Option<Vec<u8>> {
    der::element(SEQUENCE, &[&der::unsigned(n)?, &*der::unsigned(e)?]).map(|der| der.to_vec())
}

/// Checks the size of an RSA key (RFC 7518 §3.3; the upper bound keeps verification cheap). Both
/// integers come from the most significant byte, without leading zeros.
pub(super) fn check_rsa(n: &[u8], e: &[u8]) -> Result<(), JwkError> {
    let is_odd = |bytes: &[u8]| bytes.last().is_some_and(|low| low & 1 == 1);
    let top_is_full = n.first().is_some_and(|top| top & 0x80 != 0);
    let large_enough = n.len() > MIN_RSA_BYTES || (n.len() == MIN_RSA_BYTES && top_is_full);
    if !large_enough || n.len() > MAX_RSA_BYTES || !is_odd(n) {
        return Err(JwkError::RsaModulus);
    }
    // 65537 is the smallest odd number of three bytes.
    if !(3..=4).contains(&e.len()) || !is_odd(e) {
        return Err(JwkError::RsaExponent);
    }
    Ok(())
}

const MAX_KID_BYTES: usize = 256;
const UNCOMPRESSED: u8 = 4;
/// 2048 bits.
const MIN_RSA_BYTES: usize = 256;
/// 8192 bits.
const MAX_RSA_BYTES: usize = 1024;
/// One byte more than the largest modulus, for encoders that prepend a zero.
const MAX_ENCODED_RSA_BYTES: usize = MAX_RSA_BYTES + 1;
/// The OBJECT IDENTIFIER of a key on any elliptic curve; that of the curve follows.
const EC_KEY: &[u8] = &[OBJECT_IDENTIFIER, 7, 42, 134, 72, 206, 61, 2, 1];
