//! The words of the wire that are written as text: names, versions, values, and the keys that make
//! retries safe.

use std::fmt;
use std::marker::PhantomData;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::fetch::DocumentBody;
use super::secrets::{Revision, SecretName};
use super::{TTL_SECONDS, VALUE_BYTES};
use crate::{Key, Kind, Owner, Ttl, Version};

/// Whose records a request is about: the namespace and the name of one gateway, `namespace/name` on
/// the wire.
///
/// Both are DNS labels (RFC 1123 section 2.1, at most 63 letters of `a-z0-9-`), so that nobody can
/// write a brace, a colon or a pattern into a stored name, and no two spaces share one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Space {
    namespace: String,
    name: String,
}

impl Space {
    /// Takes a namespace and a name.
    ///
    /// # Errors
    /// [`Malformed`] unless both are DNS labels.
    pub fn new(namespace: &str, name: &str) -> Result<Self, Malformed> {
        if !is_label(namespace) || !is_label(name) {
            return Err(Malformed);
        }
        Ok(Self { namespace: namespace.to_owned(), name: name.to_owned() })
    }

    /// The namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The gateway's name within the namespace.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// The bytes of a record, at most [`VALUE_BYTES`]; base64url without padding on the wire (RFC 4648
/// section 5).
#[derive(Clone, PartialEq, Eq)]
pub struct Value(Vec<u8>);

impl Value {
    /// Takes the bytes.
    ///
    /// # Errors
    /// [`Malformed`] when there are more than [`VALUE_BYTES`].
    pub fn new(bytes: Vec<u8>) -> Result<Self, Malformed> {
        if bytes.len() > VALUE_BYTES { Err(Malformed) } else { Ok(Self(bytes)) }
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Gives the bytes away.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

impl fmt::Debug for Value {
    /// Only the length: a value never reaches a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value({} bytes)", self.0.len())
    }
}

/// Names one mutation, so that sending it again does it once: 16 random bytes, 32 hex digits on the
/// wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(pub [u8; 16]);

/// A member of a set: a digest, like a record's id; 64 hex digits on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Member(pub [u8; 32]);

/// Bytes in lower-case hex digits, as ids and keys are spelled on the wire and in stored names.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    // Every stored name is made of these, so neither by the formatter nor by characters, which are
    // looked at one by one.
    let digit = |nibble: u8| if nibble < 10 { b'0' } else { b'a' - 10 }.wrapping_add(nibble);
    let mut digits = vec![0; bytes.len().saturating_mul(2)];
    let (pairs, _) = digits.as_chunks_mut::<2>();
    for (pair, byte) in pairs.iter_mut().zip(bytes) {
        *pair = [digit(byte >> 4), digit(byte & 0xf)];
    }
    // Digits are ASCII.
    String::from_utf8(digits).unwrap_or_default()
}

/// What was given has not the form that the wire asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not in the form that the wire asks for")
    }
}

impl std::error::Error for Malformed {}

/// Something that is one string on the wire.
pub(super) trait Text: Sized {
    /// What is expected, for the message of a refusal.
    const FORM: &'static str;

    fn to_text(&self) -> String;

    fn of_text(text: &str) -> Option<Self>;
}

impl Text for Key {
    const FORM: &'static str = "a kind, a colon and 64 lower-case hex digits";

    fn to_text(&self) -> String {
        self.to_string()
    }

    fn of_text(text: &str) -> Option<Self> {
        let (kind, id) = text.split_once(':')?;
        let kind = Kind::ALL.into_iter().find(|known| known.name() == kind)?;
        Some(Self { kind, id: of_hex(id)? })
    }
}

impl Text for Space {
    const FORM: &'static str = "a namespace, a slash and a name, both DNS labels";

    fn to_text(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    fn of_text(text: &str) -> Option<Self> {
        let (namespace, name) = text.split_once('/')?;
        Self::new(namespace, name).ok()
    }
}

impl Text for Value {
    const FORM: &'static str = "at most 64 KiB in base64url without padding";

    fn to_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(&self.0)
    }

    fn of_text(text: &str) -> Option<Self> {
        // Before decoding: a text of four letters to three bytes cannot be longer and still fit.
        if text.len() > VALUE_BYTES.div_ceil(3).saturating_mul(4) {
            return None;
        }
        Self::new(URL_SAFE_NO_PAD.decode(text).ok()?).ok()
    }
}

impl Text for Version {
    const FORM: &'static str = "16 lower-case hex digits";

    fn to_text(&self) -> String {
        hex(&self.0.to_be_bytes())
    }

    fn of_text(text: &str) -> Option<Self> {
        of_hex(text).map(|bytes| Self(u64::from_be_bytes(bytes)))
    }
}

impl Text for Owner {
    const FORM: &'static str = "32 lower-case hex digits";

    fn to_text(&self) -> String {
        hex(&self.0)
    }

    fn of_text(text: &str) -> Option<Self> {
        of_hex(text).map(Self)
    }
}

impl Text for IdempotencyKey {
    const FORM: &'static str = "32 lower-case hex digits";

    fn to_text(&self) -> String {
        hex(&self.0)
    }

    fn of_text(text: &str) -> Option<Self> {
        of_hex(text).map(Self)
    }
}

impl Text for Member {
    const FORM: &'static str = "64 lower-case hex digits";

    fn to_text(&self) -> String {
        hex(&self.0)
    }

    fn of_text(text: &str) -> Option<Self> {
        of_hex(text).map(Self)
    }
}

/// Reads the text where it stands: copying the largest value only to decode it would cost as much
/// again.
struct TextVisitor<T>(PhantomData<T>);

impl<T: Text> Visitor<'_> for TextVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::FORM)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        // The text itself stays out of the message: it may be a value.
        T::of_text(text).ok_or_else(|| E::invalid_value(Unexpected::Other("another text"), &self))
    }
}

macro_rules! as_text {
    ($($type:ty),+) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.to_text())
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(TextVisitor(PhantomData))
            }
        }
    )+};
}

as_text!(Key, Space, Value, Version, Owner, IdempotencyKey, Member, SecretName, Revision, DocumentBody);

impl Serialize for Ttl {
    /// A number of seconds, or `"forever"`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Seconds(seconds) => serializer.serialize_u64(*seconds),
            Self::Forever => serializer.serialize_str(FOREVER),
        }
    }
}

impl<'de> Deserialize<'de> for Ttl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TtlVisitor)
    }
}

struct TtlVisitor;

impl Visitor<'_> for TtlVisitor {
    type Value = Ttl;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a number of seconds from 1 to {TTL_SECONDS}, or \"{FOREVER}\"")
    }

    fn visit_u64<E: serde::de::Error>(self, seconds: u64) -> Result<Ttl, E> {
        // Nothing lives for no time: a write with a life of 0 would be a delete in disguise.
        if (1..=TTL_SECONDS).contains(&seconds) {
            Ok(Ttl::Seconds(seconds))
        } else {
            Err(E::invalid_value(Unexpected::Unsigned(seconds), &self))
        }
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Ttl, E> {
        if text == FOREVER { Ok(Ttl::Forever) } else { Err(E::invalid_value(Unexpected::Other("another text"), &self)) }
    }
}

fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

pub(super) fn of_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != N.checked_mul(2)? {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = nibble(*high)?.checked_shl(4)? | nibble(*low)?;
    }
    Some(bytes)
}

/// Lower case only: one name has one spelling.
fn nibble(letter: u8) -> Option<u8> {
    match letter {
        b'0'..=b'9' => letter.checked_sub(b'0'),
        b'a'..=b'f' => letter.checked_sub(b'a')?.checked_add(10),
        _ => None,
    }
}

const FOREVER: &str = "forever";
