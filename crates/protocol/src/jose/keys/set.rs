//! Sets of public keys (RFC 7517 §5), and the choice of the key for a token.

use serde_json::Value;

use crate::bytes;
use crate::jose::alg::Alg;
use crate::jose::keys::public::PublicKey;
use crate::json::{JsonError, Limits, parse_object};

/// The usable signature keys of one issuer.
#[derive(Debug, Clone, Default)]
pub struct JwkSet(Vec<PublicKey>);

/// Why a document is not a key set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JwkSetError {
    /// It is not a strict JSON object, or is too large.
    Json(JsonError),
    /// It has no member `keys` that is an array of objects.
    NotASet,
    /// It has more than 64 keys.
    TooManyKeys,
}

impl JwkSet {
    /// Makes a set of known keys, such as our own.
    #[must_use]
    pub fn new(keys: Vec<PublicKey>) -> Self {
        Self(keys)
    }

    /// Parses a key set of at most 64 keys and 64 KiB.
    ///
    /// Keys that are unsupported, broken or weak are left out (RFC 7517 §5). Of keys that share a
    /// `kid` none is kept, since the choice would be arbitrary. The result may be empty.
    ///
    /// # Errors
    /// Returns [`JwkSetError`] if the document as a whole is refused.
    pub fn parse(document: &[u8]) -> Result<Self, JwkSetError> {
        let document = parse_object(document, Limits::DOCUMENT).map_err(JwkSetError::Json)?;
        let jwks = document.get("keys").and_then(Value::as_array).ok_or(JwkSetError::NotASet)?;
        if jwks.len() > MAX_KEYS {
            return Err(JwkSetError::TooManyKeys);
        }
        let mut keys = Vec::with_capacity(jwks.len());
        for jwk in jwks {
            let jwk = jwk.as_object().ok_or(JwkSetError::NotASet)?;
            if let Ok(Some(key)) = PublicKey::from_jwk(jwk) {
                keys.push(key);
            }
        }
        let named = |kid: &str| keys.iter().filter(|key| key.kid() == Some(kid)).count();
        let unique: Vec<bool> = keys.iter().map(|key| key.kid().is_none_or(|kid| named(kid) == 1)).collect();
        Ok(Self(keys.into_iter().zip(unique).filter_map(|(key, unique)| unique.then_some(key)).collect()))
    }

    /// Returns every key of the set.
    #[must_use]
    pub fn keys(&self) -> &[PublicKey] {
        &self.0
    }

    /// Returns the key that may verify a token with this `kid` and algorithm: the key of that
    /// `kid`, or without a `kid` the only key that accepts the algorithm. An unknown `kid` has no
    /// candidates, so it costs no signature check.
    pub fn candidates<'a>(&'a self, kid: Option<&'a str>, alg: Alg) -> impl Iterator<Item = &'a PublicKey> {
        let is_named = move |key: &PublicKey| match (kid, key.kid()) {
            (None, _) => true,
            (Some(wanted), Some(kid)) => bytes::eq(kid.as_bytes(), wanted.as_bytes()),
            (Some(_), None) => false,
        };
        let mut fitting = self.0.iter().filter(move |key| key.accepts(alg) && is_named(key));
        let first = fitting.next();
        first.filter(|_| fitting.next().is_none()).into_iter()
    }
}

const MAX_KEYS: usize = 64;
