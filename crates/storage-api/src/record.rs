//! A record's version and life.

use std::fmt;

use serde::de::{Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::text::{Text, as_text, hex, of_hex};

/// A record's version. Two writes of one name never have the same version, even across a deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version(pub u64);

impl Text for Version {
    const FORM: &'static str = "16 lower-case hex digits";

    fn to_text(&self) -> String {
        hex(&self.0.to_be_bytes())
    }

    fn of_text(text: &str) -> Option<Self> {
        of_hex(text).map(|bytes| Self(u64::from_be_bytes(bytes)))
    }
}

as_text!(Version);

/// A record with its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned {
    /// The stored bytes.
    pub value: Vec<u8>,
    /// The version to name in a compare-and-swap.
    pub version: Version,
}

/// The lifetime of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ttl {
    /// Seconds from the write.
    Seconds(u64),
    /// Until it is deleted.
    Forever,
}

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
        write!(f, "a number of seconds from 1 to {MAX_TTL_SECONDS}, or \"{FOREVER}\"")
    }

    fn visit_u64<E: serde::de::Error>(self, seconds: u64) -> Result<Ttl, E> {
        // A lifetime of 0 would make a write a deletion.
        if (1..=MAX_TTL_SECONDS).contains(&seconds) {
            Ok(Ttl::Seconds(seconds))
        } else {
            Err(E::invalid_value(Unexpected::Unsigned(seconds), &self))
        }
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Ttl, E> {
        if text == FOREVER { Ok(Ttl::Forever) } else { Err(E::invalid_value(Unexpected::Other("another text"), &self)) }
    }
}

/// The maximum of a finite lifetime, in seconds: 400 days.
pub const MAX_TTL_SECONDS: u64 = 400 * 24 * 60 * 60;

const FOREVER: &str = "forever";
