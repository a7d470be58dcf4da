//! Fixed-length bytes as base64url text in a sealed cookie, for `#[serde(with)]`: a list of numbers takes more than twice the
//! room.

use std::fmt;

use portcullis_protocol::base64url;
use serde::de::{Error, Visitor};
use serde::{Deserializer, Serializer};

pub(crate) fn serialize<S: Serializer, const N: usize>(bytes: &[u8; N], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&base64url::encode(bytes))
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>, const N: usize>(deserializer: D) -> Result<[u8; N], D::Error> {
    deserializer.deserialize_str(Text::<N>)
}

struct Text<const N: usize>;

impl<const N: usize> Visitor<'_> for Text<N> {
    type Value = [u8; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{N} bytes as base64url")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        base64url::decode_exactly(text).map_err(|_| E::custom("not base64url of this length"))
    }
}
