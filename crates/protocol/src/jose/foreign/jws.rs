//! The compact form, the header and the signature (RFC 7515).

use super::error::ForeignTokenError;
use crate::base64url;
use crate::jose::alg::{Alg, UNVERIFIED_ALGS};
use crate::jose::keys::{JwkSet, PublicKey};
use crate::json::foreign::{ForeignObject, ForeignValue};

/// A well-formed compact JWS whose signature has not been verified.
#[derive(Debug, Clone)]
pub(in crate::jose) struct ForeignJws<'a> {
    alg: Alg,
    kid: Option<String>,
    signing_input: &'a str,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

impl<'a> ForeignJws<'a> {
    /// Parses a compact JWS of at most `max_bytes` bytes. The payload is decoded but not parsed.
    /// `is_type` is asked about `typ`, where there is one, without its `application/` (RFC 7515
    /// §4.1.9): another type is another kind of token (RFC 8725 §3.11).
    ///
    /// # Errors
    /// Returns a [`ForeignTokenError`] for the first check that fails.
    pub(in crate::jose) fn parse(
        text: &'a str,
        max_bytes: usize,
        is_type: fn(&str) -> bool,
    ) -> Result<Self, ForeignTokenError> {
        if text.len() > max_bytes {
            return Err(ForeignTokenError::TooLong);
        }
        let (signing_input, signature) = text.rsplit_once('.').ok_or(ForeignTokenError::NotCompact)?;
        let (header, payload) = signing_input.split_once('.').ok_or(ForeignTokenError::NotCompact)?;
        if payload.contains('.') {
            let parts = payload.split('.').count().saturating_add(2);
            return Err(if parts == JWE_PARTS { ForeignTokenError::Encrypted } else { ForeignTokenError::NotCompact });
        }
        let (alg, kid) = read_header(&decode(header)?, is_type)?;
        Ok(Self { alg, kid, signing_input, payload: decode(payload)?, signature: decode(signature)? })
    }

    /// Returns the algorithm of the header; it means nothing until a key accepts it.
    pub(in crate::jose) const fn alg(&self) -> Alg {
        self.alg
    }

    /// Returns the claims with these names. Nothing in them is proven before
    /// [`ForeignJws::verify`].
    ///
    /// # Errors
    /// Returns [`ForeignTokenError::Claims`] if they are not a JSON object, or one is repeated.
    pub(in crate::jose) fn claims<'b>(&'b self, names: &[&'b str]) -> Result<ForeignObject<'b>, ForeignTokenError> {
        ForeignObject::parse(&self.payload, names, usize::MAX).map_err(ForeignTokenError::Claims)
    }

    /// Verifies the signature with a key of the set that may verify it.
    ///
    /// `check` is called with the key, the algorithm, the message and the signature in JOSE form,
    /// and returns `true` if the signature is valid; at most four times, for keys that share a
    /// `kid`, and never for an unknown `kid`.
    ///
    /// # Errors
    /// Returns a [`ForeignTokenError`] if no key may verify the token, or the signature is invalid.
    pub(in crate::jose) fn verify(
        &self,
        keys: &JwkSet,
        mut check: impl FnMut(&PublicKey, Alg, &[u8], &[u8]) -> bool,
    ) -> Result<(), ForeignTokenError> {
        let mut candidates = keys.candidates(self.kid.as_deref(), self.alg).take(MAX_CANDIDATES).peekable();
        if candidates.peek().is_none() {
            return Err(ForeignTokenError::UnknownKey);
        }
        if !candidates.any(|key| check(key, self.alg, self.signing_input.as_bytes(), &self.signature)) {
            return Err(ForeignTokenError::BadSignature);
        }
        Ok(())
    }
}

/// Reads `alg` and `kid`, and refuses what forbids to go on.
fn read_header(header: &[u8], is_type: fn(&str) -> bool) -> Result<(Alg, Option<String>), ForeignTokenError> {
    let header =
        ForeignObject::parse(header, &["alg", "kid", "typ", "crit"], usize::MAX).map_err(ForeignTokenError::Header)?;
    // RFC 7515 §4.1.11: no extension is understood here.
    if header.get("crit").is_some() {
        return Err(ForeignTokenError::Critical);
    }
    if let Some(typ) = header.get("typ")
        && !typ.text().is_some_and(|typ| is_type(subtype(&typ)))
    {
        return Err(ForeignTokenError::WrongType);
    }
    let kid = match header.get("kid").map(ForeignValue::text) {
        None => None,
        Some(Some(kid)) if kid.len() <= MAX_KID_BYTES => Some(kid.into_owned()),
        Some(_) => return Err(ForeignTokenError::Malformed("kid")),
    };
    let name = header
        .get("alg")
        .ok_or(ForeignTokenError::Missing("alg"))?
        .text()
        .ok_or(ForeignTokenError::Malformed("alg"))?;
    match (Alg::from_foreign_name(&name), &*name) {
        (Some(alg), _) => Ok((alg, kid)),
        (None, "none") => Err(ForeignTokenError::Unsigned),
        (None, "HS256" | "HS384" | "HS512") => Err(ForeignTokenError::SharedSecret),
        (None, name) => Err(match UNVERIFIED_ALGS.into_iter().find(|unverified| *unverified == name) {
            Some(name) => ForeignTokenError::UnverifiedAlg(name),
            None => ForeignTokenError::UnsupportedAlg,
        }),
    }
}

/// Returns a media type without its `application/`, which is compared without case.
fn subtype(typ: &str) -> &str {
    match typ.split_at_checked(APPLICATION.len()) {
        Some((prefix, subtype)) if prefix.eq_ignore_ascii_case(APPLICATION) => subtype,
        _ => typ,
    }
}

fn decode(part: &str) -> Result<Vec<u8>, ForeignTokenError> {
    base64url::decode(part).map_err(|_| ForeignTokenError::NotBase64url)
}

const MAX_KID_BYTES: usize = 256;
/// How many keys that share a `kid` are tried (RFC 7517 §4.5).
const MAX_CANDIDATES: usize = 4;
const APPLICATION: &str = "application/";
/// The parts of an encrypted token (RFC 7516 §3.1).
const JWE_PARTS: usize = 5;
