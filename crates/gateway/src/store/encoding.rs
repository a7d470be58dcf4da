//! How a sealed value is written: CBOR (RFC 8949), with numbered fields, so that releases can read
//! each other's values.
//!
//! A struct is a map from field numbers, from 1, to values. A reader skips the numbers that it does
//! not know and fills in the default of a field that is missing. The rules for a change are in
//! `docs/decisions/0017-records-that-evolve.md`:
//!
//! - a new field has a new number and a default; a number is never used again,
//! - a field whose absence no default can stand for stays for as long as its record,
//! - the meaning and type of a number never change.
//!
//! Values are read more strictly than CBOR asks: see [`from_bytes`].

use std::convert::Infallible;
use std::io::Write as _;

use minicbor::encode::Write;
use minicbor::{Decode, Encode};
use portcullis_protocol::crypto::key_ring::Draft;

/// A value that could not be written. None of the gateway's types is known to cause it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotEncodable;

/// Writes a value where it will be sealed.
///
/// # Errors
/// [`NotEncodable`].
pub fn to_draft<T: Encode<()>>(value: &T) -> Result<Draft, NotEncodable> {
    let mut draft = DraftWriter(Draft::with_room(DEFAULT_BYTES));
    minicbor::encode(value, &mut draft).map_err(|_| NotEncodable)?;
    Ok(draft.0)
}

/// Reads a value that [`to_draft`] of this or another release wrote; `None` for anything else.
///
/// The whole of it must be one item of definite length, at most [`MAX_BYTES`] long and
/// [`MAX_DEPTH`] deep, without tags and floating-point numbers; the keys of each map must be
/// field numbers that ascend, so that no field is there twice.
#[must_use]
pub fn from_bytes<'b, T: Decode<'b, ()>>(bytes: &'b [u8]) -> Option<T> {
    if bytes.len() > MAX_BYTES || !after_item(bytes, MAX_DEPTH)?.is_empty() {
        return None;
    }
    minicbor::decode(bytes).ok()
}

/// The fields of a value, read in place one after the other, and only as far as they are wanted:
/// for what every call reads (perf: decision 17).
pub(crate) struct Fields<'b> {
    rest: &'b [u8],
    left: u64,
    least: u64,
}

impl<'b> Fields<'b> {
    /// Returns the fields of a value that [`to_draft`] wrote; `None` if it does not begin as one.
    pub(crate) fn of(bytes: &'b [u8]) -> Option<Self> {
        let mut fields = Self { rest: bytes, left: 0, least: 1 };
        fields.left = fields.argument(MAP)?;
        Some(fields)
    }

    /// Returns the number of the next field, 0 after the last one; `None` if the numbers do not
    /// ascend. The caller then reads its value or skips it.
    pub(crate) fn next(&mut self) -> Option<u64> {
        let Some(left) = self.left.checked_sub(1) else { return Some(0) };
        self.left = left;
        let number = self.argument(UNSIGNED)?;
        if number < self.least {
            return None;
        }
        self.least = number.checked_add(1)?;
        Some(number)
    }

    /// Goes to the value of the next field; `None` if it does not have this number.
    pub(crate) fn required(&mut self, number: u64) -> Option<&mut Self> {
        (self.next()? == number).then_some(self)
    }

    /// Reads the bytes of a text, which are not checked to be UTF-8; `None` for anything else.
    pub(crate) fn text(&mut self) -> Option<&'b [u8]> {
        let length = self.argument(TEXT)?;
        self.take(length)
    }

    /// Reads a byte string; `None` for anything else.
    pub(crate) fn bytes(&mut self) -> Option<&'b [u8]> {
        let length = self.argument(BYTES)?;
        self.take(length)
    }

    /// Reads an unsigned integer; `None` for anything else.
    pub(crate) fn uint(&mut self) -> Option<u64> {
        self.argument(UNSIGNED)
    }

    /// Reads a boolean; `None` for anything else.
    pub(crate) fn boolean(&mut self) -> Option<bool> {
        match self.argument(SIMPLE)? {
            FALSE => Some(false),
            TRUE => Some(true),
            _ => None,
        }
    }

    /// Reads the head of an array and returns the number of its items; `None` for anything else.
    pub(crate) fn array(&mut self) -> Option<u64> {
        self.argument(ARRAY)
    }

    fn argument(&mut self, major: u8) -> Option<u64> {
        let (head, rest) = head(self.rest)?;
        self.rest = rest;
        (head.major == major).then_some(head.argument)
    }

    fn take(&mut self, length: u64) -> Option<&'b [u8]> {
        let (taken, rest) = self.rest.split_at_checked(usize::try_from(length).ok()?)?;
        self.rest = rest;
        Some(taken)
    }
}

/// The most bytes of a value that is read.
pub const MAX_BYTES: usize = 16 * 1024;

/// The most levels of maps and arrays in a value that is read.
pub const MAX_DEPTH: u8 = 8;

/// Returns what follows the first item of `bytes`, which may contain `levels` of maps and arrays;
/// `None` if it is malformed or not of the form that [`from_bytes`] describes.
fn after_item(bytes: &[u8], levels: u8) -> Option<&[u8]> {
    let (head, mut rest) = head(bytes)?;
    match head.major {
        UNSIGNED | NEGATIVE => Some(rest),
        BYTES | TEXT => rest.get(usize::try_from(head.argument).ok()?..),
        ARRAY => {
            let levels = levels.checked_sub(1)?;
            // Each round takes at least one byte, so a false length ends with the input.
            for _ in 0..head.argument {
                rest = after_item(rest, levels)?;
            }
            Some(rest)
        }
        MAP => {
            let levels = levels.checked_sub(1)?;
            let mut least = 1;
            for _ in 0..head.argument {
                let (key, value) = self::head(rest)?;
                if key.major != UNSIGNED || key.argument < least {
                    return None;
                }
                least = key.argument.checked_add(1)?;
                rest = after_item(value, levels)?;
            }
            Some(rest)
        }
        SIMPLE if matches!(head.argument, FALSE..=NULL) => Some(rest),
        _ => None,
    }
}

/// The head of an item (RFC 8949 §3): its major type, and the number that is its value or length.
struct Head {
    major: u8,
    argument: u64,
}

/// Reads the head of an item of definite length, and returns what follows it.
fn head(bytes: &[u8]) -> Option<(Head, &[u8])> {
    let (first, rest) = bytes.split_first()?;
    let (major, short) = (first >> 5, first & 0x1f);
    if short < 24 {
        return Some((Head { major, argument: u64::from(short) }, rest));
    }
    // A simple value in more bytes is another one, or a floating-point number.
    if major == SIMPLE {
        return None;
    }
    let (argument, rest) = match short {
        24 => rest.split_first().map(|(byte, rest)| (u64::from(*byte), rest))?,
        25 => rest.split_first_chunk().map(|(bytes, rest)| (u64::from(u16::from_be_bytes(*bytes)), rest))?,
        26 => rest.split_first_chunk().map(|(bytes, rest)| (u64::from(u32::from_be_bytes(*bytes)), rest))?,
        27 => rest.split_first_chunk().map(|(bytes, rest)| (u64::from_be_bytes(*bytes), rest))?,
        _ => return None,
    };
    Some((Head { major, argument }, rest))
}

/// [`Draft`] as the encoder's output.
struct DraftWriter(Draft);

impl Write for DraftWriter {
    type Error = Infallible;

    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        // A draft is memory: it takes all bytes.
        let _written = self.0.write_all(bytes);
        Ok(())
    }
}

/// The one place where a secret leaves its type: inside a value that is about to be sealed. It is
/// written as bytes, so that what only passes it on need not check that it is text.
pub(crate) mod secret {
    use minicbor::decode::{self, Decoder};
    use minicbor::encode::{self, Encoder, Write};
    use portcullis_protocol::crypto::secret::Secret;

    pub(crate) fn encode<C, W: Write>(
        secret: &Secret<String>,
        encoder: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        encoder.bytes(secret.expose().as_bytes())?.ok()
    }

    pub(crate) fn decode<C>(decoder: &mut Decoder<'_>, _: &mut C) -> Result<Secret<String>, decode::Error> {
        let text = std::str::from_utf8(decoder.bytes()?).map_err(|_| decode::Error::message("not UTF-8"))?;
        Ok(Secret::new(text.to_owned()))
    }
}

/// The ids of providers, an array of byte strings.
pub(crate) mod provider_ids {
    use minicbor::decode::{self, Decoder};
    use minicbor::encode::{self, Encoder, Write};

    use crate::config::ProviderId;

    pub(crate) fn encode<C, W: Write>(
        ids: &[ProviderId],
        encoder: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        encoder.array(u64::try_from(ids.len()).unwrap_or(u64::MAX))?;
        ids.iter().try_for_each(|id| encoder.bytes(id.as_bytes())?.ok())
    }

    pub(crate) fn decode<C>(decoder: &mut Decoder<'_>, _: &mut C) -> Result<Vec<ProviderId>, decode::Error> {
        let length = decoder.array()?.ok_or_else(|| decode::Error::message("an array of unknown length"))?;
        let id = |decoder: &mut Decoder<'_>| {
            let bytes = decoder.bytes()?.try_into().map_err(|_| decode::Error::message("not a provider's id"))?;
            Ok(ProviderId::from_bytes(bytes))
        };
        (0..length).map(|_| id(decoder)).collect()
    }
}

/// The id of a provider that may be absent, as its 16 bytes.
pub(crate) mod optional_provider_id {
    use minicbor::decode::{self, Decoder};
    use minicbor::encode::{self, Encoder, Write};

    use crate::config::ProviderId;

    pub(crate) fn encode<C, W: Write>(
        optional: &Option<ProviderId>,
        encoder: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        match optional {
            Some(id) => encoder.bytes(id.as_bytes())?.ok(),
            None => encoder.null()?.ok(),
        }
    }

    pub(crate) fn decode<C>(decoder: &mut Decoder<'_>, _: &mut C) -> Result<Option<ProviderId>, decode::Error> {
        let bytes = decoder.bytes()?.try_into().map_err(|_| decode::Error::message("not a provider's id"))?;
        Ok(Some(ProviderId::from_bytes(bytes)))
    }

    pub(crate) fn nil() -> Option<Option<ProviderId>> {
        Some(None)
    }

    pub(crate) fn is_nil(optional: &Option<ProviderId>) -> bool {
        optional.is_none()
    }
}

/// As [`secret`], for one that may be absent.
pub(crate) mod optional_secret {
    use minicbor::decode::{self, Decoder};
    use minicbor::encode::{self, Encoder, Write};
    use portcullis_protocol::crypto::secret::Secret;

    use super::secret;

    pub(crate) fn encode<C, W: Write>(
        optional: &Option<Secret<String>>,
        encoder: &mut Encoder<W>,
        context: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        match optional {
            Some(present) => secret::encode(present, encoder, context),
            None => encoder.null()?.ok(),
        }
    }

    pub(crate) fn decode<C>(
        decoder: &mut Decoder<'_>,
        context: &mut C,
    ) -> Result<Option<Secret<String>>, decode::Error> {
        secret::decode(decoder, context).map(Some)
    }

    pub(crate) fn nil() -> Option<Option<Secret<String>>> {
        Some(None)
    }

    pub(crate) fn is_nil(optional: &Option<Secret<String>>) -> bool {
        optional.is_none()
    }
}

/// The id of a user, as its 16 bytes.
pub(crate) mod user_id {
    use minicbor::decode::{self, Decoder};
    use minicbor::encode::{self, Encoder, Write};
    use portcullis_protocol::credentials::UserId;

    pub(crate) fn encode<C, W: Write>(
        id: &UserId,
        encoder: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        encoder.bytes(id.as_bytes())?.ok()
    }

    pub(crate) fn decode<C>(decoder: &mut Decoder<'_>, _: &mut C) -> Result<UserId, decode::Error> {
        let bytes = decoder.bytes()?.try_into().map_err(|_| decode::Error::message("not a user's id"))?;
        Ok(UserId::restore(bytes))
    }
}

/// As [`user_id`], for one that may be absent.
pub(crate) mod optional_user_id {
    use minicbor::decode::{self, Decoder};
    use minicbor::encode::{self, Encoder, Write};
    use portcullis_protocol::credentials::UserId;

    use super::user_id;

    pub(crate) fn encode<C, W: Write>(
        optional: &Option<UserId>,
        encoder: &mut Encoder<W>,
        context: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        match optional {
            Some(present) => user_id::encode(present, encoder, context),
            None => encoder.null()?.ok(),
        }
    }

    pub(crate) fn decode<C>(decoder: &mut Decoder<'_>, context: &mut C) -> Result<Option<UserId>, decode::Error> {
        user_id::decode(decoder, context).map(Some)
    }

    pub(crate) fn nil() -> Option<Option<UserId>> {
        Some(None)
    }

    pub(crate) fn is_nil(optional: &Option<UserId>) -> bool {
        optional.is_none()
    }
}

/// A granted scope, as its names with single spaces between them.
pub(crate) mod granted_scope {
    use minicbor::decode::{self, Decoder};
    use minicbor::encode::{self, Encoder, Write};
    use portcullis_protocol::oauth::scope::GrantedScope;

    pub(crate) fn encode<C, W: Write>(
        scope: &GrantedScope,
        encoder: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        encoder.str(&scope.to_string())?.ok()
    }

    pub(crate) fn decode<C>(decoder: &mut Decoder<'_>, _: &mut C) -> Result<GrantedScope, decode::Error> {
        GrantedScope::restore(decoder.str()?).map_err(|_| decode::Error::message("not a scope"))
    }
}

const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const SIMPLE: u8 = 7;
const FALSE: u64 = 20;
const TRUE: u64 = 21;
const NULL: u64 = 22;

/// Room for a session or the tokens of most providers.
const DEFAULT_BYTES: usize = 1024;

#[cfg(test)]
#[path = "encoding_tests.rs"]
mod encoding_tests;
