//! One string on the wire: the trait of the types that are written as text, and what they share.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Unexpected, Visitor};

/// A type that is one string on the wire.
pub(crate) trait Text: Sized {
    /// The expected form, for error messages.
    const FORM: &'static str;

    fn to_text(&self) -> String;

    fn of_text(text: &str) -> Option<Self>;
}

/// The input does not have the form of the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("malformed value")
    }
}

impl std::error::Error for Malformed {}

/// Visits the text in place: copying the largest value before decoding it would double the cost.
pub(crate) struct TextVisitor<T>(pub(crate) PhantomData<T>);

impl<T: Text> Visitor<'_> for TextVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::FORM)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        // Without the text, which may be a secret.
        T::of_text(text).ok_or_else(|| E::invalid_value(Unexpected::Other("another text"), &self))
    }
}

macro_rules! as_text {
    ($($type:ty),+) => {$(
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&$crate::text::Text::to_text(self))
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str($crate::text::TextVisitor(std::marker::PhantomData))
            }
        }
    )+};
}

pub(crate) use as_text;

/// Returns bytes as lower-case hex digits, the form of ids and keys on the wire and in stored
/// names.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    // Without the formatter and without `char`s, because every stored name contains digits.
    let digit = |nibble: u8| if nibble < 10 { b'0' } else { b'a' - 10 }.wrapping_add(nibble);
    let mut digits = vec![0; bytes.len().saturating_mul(2)];
    let (pairs, _) = digits.as_chunks_mut::<2>();
    for (pair, byte) in pairs.iter_mut().zip(bytes) {
        *pair = [digit(byte >> 4), digit(byte & 0xf)];
    }
    // Digits are ASCII.
    String::from_utf8(digits).unwrap_or_default()
}

pub(crate) fn of_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
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

/// Lower case only, so that a name has one spelling.
fn nibble(letter: u8) -> Option<u8> {
    match letter {
        b'0'..=b'9' => letter.checked_sub(b'0'),
        b'a'..=b'f' => letter.checked_sub(b'a')?.checked_add(10),
        _ => None,
    }
}
