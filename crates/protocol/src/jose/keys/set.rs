//! Sets of public keys (RFC 7517 §5), and the choice of the key for a token.

use crate::bytes;
use crate::jose::alg::Alg;
use crate::jose::keys::public::PublicKey;
use crate::json::JsonError;
use crate::json::foreign::{ForeignObject, ForeignValue};

/// The usable signature keys of one issuer.
#[derive(Debug, Clone, Default)]
pub struct JwkSet(Vec<PublicKey>);

/// Why a document is not a key set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JwkSetError {
    /// It is not a JSON object, is longer than 256 KiB, or has two members `keys`.
    Json(JsonError),
    /// It has no member `keys` that is an array.
    NotASet,
    /// It has more than 64 usable keys, or more than 1024 entries.
    TooManyKeys,
}

impl JwkSet {
    /// Makes a set of known keys, such as our own.
    #[must_use]
    pub fn new(keys: Vec<PublicKey>) -> Self {
        Self(keys)
    }

    /// Parses a provider's key set of at most 256 KiB, with at most 64 usable keys.
    ///
    /// Entries that are unsupported, broken or weak, or repeat a member that is needed, are left
    /// out (RFC 7517 §5). The result may be empty.
    ///
    /// # Errors
    /// Returns [`JwkSetError`] if the document as a whole is refused.
    pub fn parse(document: &[u8]) -> Result<Self, JwkSetError> {
        let document = ForeignObject::parse(document, &["keys"], MAX_BYTES).map_err(JwkSetError::Json)?;
        let entries = document.get("keys").and_then(ForeignValue::items).ok_or(JwkSetError::NotASet)?;
        if entries.len() > MAX_ENTRIES {
            return Err(JwkSetError::TooManyKeys);
        }
        let mut keys: Vec<PublicKey> = Vec::new();
        for entry in entries {
            let jwk = entry.object(&JWK_MEMBERS).ok().and_then(|jwk| jwk.to_map());
            let Some(Ok(Some(key))) = jwk.as_ref().map(PublicKey::from_jwk) else { continue };
            // One key that is listed twice leaves the choice clear.
            let is_listed = |known: &PublicKey| {
                (known.kid(), known.issuer(), known.spki_der()) == (key.kid(), key.issuer(), key.spki_der())
            };
            if keys.iter().any(is_listed) {
                continue;
            }
            if keys.len() == MAX_KEYS {
                return Err(JwkSetError::TooManyKeys);
            }
            keys.push(key);
        }
        Ok(Self(keys))
    }

    /// Returns `true` if no key of the set can be used.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns every key of the set.
    #[must_use]
    pub fn keys(&self) -> &[PublicKey] {
        &self.0
    }

    /// Returns the keys that may verify a token with this `kid` and algorithm: those of that `kid`,
    /// of which there is one in all but odd sets (RFC 7517 §4.5), or without a `kid` the only key
    /// that accepts the algorithm (OpenID Connect Core §10.1). An unknown `kid` has no candidates,
    /// so it costs no signature check.
    pub fn candidates<'a>(&'a self, kid: Option<&'a str>, alg: Alg) -> impl Iterator<Item = &'a PublicKey> {
        let is_named = move |key: &PublicKey| match (kid, key.kid()) {
            (None, _) => true,
            (Some(wanted), Some(kid)) => bytes::eq(kid.as_bytes(), wanted.as_bytes()),
            (Some(_), None) => false,
        };
        let fitting = move || self.0.iter().filter(move |key| key.accepts(alg) && is_named(key));
        let is_clear = kid.is_some() || fitting().nth(1).is_none();
        fitting().filter(move |_| is_clear)
    }
}

/// The longest key set, in bytes.
const MAX_BYTES: usize = 256 * 1024;
const MAX_KEYS: usize = 64;
/// Entries that no key is made of cost no more than their bytes.
const MAX_ENTRIES: usize = 1024;
/// The members that are read of a JWK.
const JWK_MEMBERS: [&str; 11] = ["kty", "crv", "x", "y", "n", "e", "kid", "use", "alg", "key_ops", "issuer"];
