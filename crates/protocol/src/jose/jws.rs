//! Compact JWS texts: a parser and an encoder (RFC 7515 §3.1 and §7.1, hardened by RFC 8725).

use std::borrow::Cow;
use std::fmt;

use serde_json::Value;

use super::alg::Alg;
use crate::base64url;
use crate::bytes;
use crate::json::{JsonError, Limits, MemberValue, ObjectMembers};

/// A well-formed compact JWS whose signature has not been verified: its payload proves nothing yet.
#[derive(Debug, Clone)]
pub struct Jws<'a> {
    header: Cow<'a, ParsedHeader>,
    signing_input: &'a str,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

/// The members of a header that are used.
#[derive(Debug, Clone)]
struct ParsedHeader {
    alg: Alg,
    kid: Option<String>,
    typ: Option<String>,
}

/// A header that many tokens share, parsed once: see [`Header::known`] and [`Jws::parse_among`].
#[derive(Debug, Clone)]
pub struct KnownHeader {
    text: String,
    parsed: ParsedHeader,
}

/// Why a text is not a JWS that can be verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JwsError {
    /// It is longer than [`MAX_JWS_BYTES`] bytes.
    TooLong,
    /// It does not have exactly three parts.
    NotCompact,
    /// A part is not canonical base64url.
    NotBase64url,
    /// The header is not a strict JSON object.
    Header(JsonError),
    /// `alg` is absent.
    MissingAlg,
    /// `alg` is `none`, an HMAC or any other unsupported algorithm (RFC 8725 §3.1).
    UnsupportedAlg,
    /// The header has a member that is never honoured: an extension (`crit`, `b64`, `zip`) or a key
    /// that the token itself brings or points to (`jwk`, `jku`, `x5u`, `x5c`).
    RefusedMember(&'static str),
    /// `kid` or `typ` is not a string, or is too long.
    MalformedMember(&'static str),
}

impl JwsError {
    /// Returns a short reason that may be shown to the client.
    #[must_use]
    pub const fn public_reason(self) -> &'static str {
        match self {
            Self::TooLong => "the token is too long",
            Self::NotCompact | Self::NotBase64url => "the token is not a compact JWS",
            Self::Header(_) | Self::MissingAlg | Self::MalformedMember(_) => "the token header is malformed",
            Self::UnsupportedAlg => "the token algorithm is not supported",
            Self::RefusedMember(_) => "the token header has a member that is not allowed",
        }
    }
}

impl fmt::Display for JwsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.public_reason())
    }
}

impl std::error::Error for JwsError {}

impl<'a> Jws<'a> {
    /// Parses a compact JWS in linear time. The payload is decoded but not parsed.
    ///
    /// # Errors
    /// Returns [`JwsError`] for the first check that fails.
    pub fn parse(text: &'a str) -> Result<Self, JwsError> {
        Self::parse_among(text, &[])
    }

    /// As [`Jws::parse`], in less time for a token that begins with a known header.
    ///
    /// # Errors
    /// Returns [`JwsError`] for the first check that fails.
    pub fn parse_among(text: &'a str, known: &'a [KnownHeader]) -> Result<Self, JwsError> {
        if text.len() > MAX_JWS_BYTES {
            return Err(JwsError::TooLong);
        }
        let (signing_input, signature) = text.rsplit_once('.').ok_or(JwsError::NotCompact)?;
        let known = known.iter().find_map(|known| Some((known, known.payload_after(signing_input)?)));
        let (header, payload) = match known {
            Some((known, payload)) => (known.text.as_str(), payload),
            None => signing_input.split_once('.').ok_or(JwsError::NotCompact)?,
        };
        let decoded = decode(payload);
        // A dot is no character of base64url, so it is searched for only if decoding fails.
        if decoded.is_err() && payload.contains('.') {
            return Err(JwsError::NotCompact);
        }
        let header = match known {
            Some((known, _)) => Cow::Borrowed(&known.parsed),
            None => Cow::Owned(ParsedHeader::parse(header)?),
        };
        Ok(Self { header, signing_input, payload: decoded?, signature: decode(signature)? })
    }

    /// Returns the algorithm of the header; it means nothing until a key accepts it.
    #[must_use]
    pub fn alg(&self) -> Alg {
        self.header.alg
    }

    /// Returns the `kid` of the header.
    #[must_use]
    pub fn kid(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }

    /// Returns the `typ` of the header (RFC 7515 §4.1.9).
    #[must_use]
    pub fn typ(&self) -> Option<&str> {
        self.header.typ.as_deref()
    }

    /// Returns the signing input: the first two parts with the dot between them, as sent.
    #[must_use]
    pub const fn signing_input(&self) -> &'a str {
        self.signing_input
    }

    /// Returns the signature in JOSE form, which may be empty or of any length.
    #[must_use]
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// Returns the decoded payload, unverified.
    #[must_use]
    pub fn payload_bytes(&self) -> &[u8] {
        &self.payload
    }
}

impl ParsedHeader {
    fn parse(header: &str) -> Result<Self, JwsError> {
        let header = decode(header)?;
        let header = ObjectMembers::parse(&header, Limits::TOKEN).map_err(JwsError::Header)?;
        let (mut alg, mut kid, mut typ) = (None, None, None);
        for (name, member) in header.iter() {
            match name {
                "alg" => alg = Some(member),
                "kid" => kid = Some(member),
                "typ" => typ = Some(member),
                other => refuse(other)?,
            }
        }
        let alg = match alg {
            None => return Err(JwsError::MissingAlg),
            Some(MemberValue::String(name)) => Alg::from_name(name).ok_or(JwsError::UnsupportedAlg)?,
            Some(MemberValue::UInt(_) | MemberValue::Other(_)) => return Err(JwsError::UnsupportedAlg),
        };
        Ok(Self { alg, kid: short_string(kid, "kid")?, typ: short_string(typ, "typ")? })
    }
}

fn decode(part: &str) -> Result<Vec<u8>, JwsError> {
    base64url::decode(part).map_err(|_| JwsError::NotBase64url)
}

/// The header of a token to sign.
#[derive(Debug, Clone, Copy)]
pub struct Header<'a> {
    /// The algorithm of the signing key.
    pub alg: Alg,
    /// The id of the signing key.
    pub kid: &'a str,
    /// The media type of the token, such as `at+jwt` (RFC 9068 §2.1).
    pub typ: &'a str,
}

impl Header<'_> {
    /// Returns the header as [`encode`] writes it on every token.
    ///
    /// # Errors
    /// Returns [`JwsError`] if a token with this header would be refused.
    pub fn known(&self) -> Result<KnownHeader, JwsError> {
        let text = self.encode();
        Ok(KnownHeader { parsed: ParsedHeader::parse(&text)?, text })
    }

    fn encode(&self) -> String {
        let [kid, typ] = [self.kid, self.typ].map(|text| Value::from(text).to_string());
        let header = [r#"{"alg":""#, self.alg.name(), r#"","kid":"#, &kid, r#","typ":"#, &typ, "}"].concat();
        base64url::encode(header.as_bytes())
    }
}

impl KnownHeader {
    /// Returns `true` if a token begins with this header.
    #[must_use]
    pub fn begins(&self, token: &str) -> bool {
        self.payload_after(token).is_some()
    }

    /// Returns the payload of a signing input that begins with this header.
    fn payload_after<'a>(&self, signing_input: &'a str) -> Option<&'a str> {
        let (header, rest) = signing_input.split_at_checked(self.text.len())?;
        let payload = rest.strip_prefix('.')?;
        bytes::eq(header.as_bytes(), self.text.as_bytes()).then_some(payload)
    }
}

/// Returns the signing input for a header and claims. Sign its bytes and pass both to [`attach`].
#[must_use]
pub fn encode(header: &Header<'_>, claims: &Value) -> String {
    encode_text(header, &claims.to_string())
}

/// As [`encode`], with the claims as the JSON text of an object.
#[must_use]
pub fn encode_text(header: &Header<'_>, claims: &str) -> String {
    [&header.encode(), ".", &base64url::encode(claims.as_bytes())].concat()
}

/// Returns the compact JWS.
#[must_use]
pub fn attach(signing_input: &str, signature: &[u8]) -> String {
    [signing_input, ".", &base64url::encode(signature)].concat()
}

fn refuse(name: &str) -> Result<(), JwsError> {
    REFUSED_MEMBERS
        .into_iter()
        .find(|refused| *refused == name)
        .map_or(Ok(()), |name| Err(JwsError::RefusedMember(name)))
}

fn short_string(member: Option<&MemberValue<'_>>, name: &'static str) -> Result<Option<String>, JwsError> {
    match member {
        None => Ok(None),
        Some(MemberValue::String(text)) if text.len() <= MAX_MEMBER_BYTES => Ok(Some(text.as_ref().to_owned())),
        Some(_) => Err(JwsError::MalformedMember(name)),
    }
}

/// The maximum length of a compact JWS in bytes.
pub const MAX_JWS_BYTES: usize = 16 * 1024;
const MAX_MEMBER_BYTES: usize = 256;
const REFUSED_MEMBERS: [&str; 7] = ["crit", "b64", "zip", "jwk", "jku", "x5u", "x5c"];

#[cfg(test)]
#[path = "jws_tests.rs"]
mod tests;
