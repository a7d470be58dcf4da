//! One JSON object parsed in place.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::strict::{JsonError, Limits, Strict};

/// The members of one JSON object in the order of the text. Strings without escapes are borrowed
/// from it.
///
/// perf: decision 8. For tokens: a map of values takes several times as long to build.
#[derive(Debug, Clone)]
pub struct ObjectMembers<'a>(Vec<(Cow<'a, str>, MemberValue<'a>)>);

/// The value of one member.
#[derive(Debug, Clone, PartialEq)]
pub enum MemberValue<'a> {
    /// A string.
    String(Cow<'a, str>),
    /// An integer from 0 to 2⁶⁴ − 1.
    UInt(u64),
    /// Any other value.
    Other(Value),
}

impl<'a> ObjectMembers<'a> {
    /// Parses one JSON object as strictly as [`super::parse_object`].
    ///
    /// # Errors
    /// Returns the first [`JsonError`] found. Repeated members of the object itself are searched
    /// for last.
    pub fn parse(bytes: &'a [u8], limits: Limits) -> Result<Self, JsonError> {
        if bytes.len() > limits.bytes {
            return Err(JsonError::TooLarge);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| JsonError::NotUtf8)?;
        let depth_left = limits.depth.checked_sub(1).ok_or(JsonError::TooDeep)?;
        let refused = Cell::new(None);
        let mut input = serde_json::Deserializer::from_str(text);
        let members = input
            .deserialize_any(ObjectVisitor(Strict { depth_left, refused: &refused }))
            .and_then(|members| input.end().map(|()| members))
            .map_err(|_| refused.get().unwrap_or(JsonError::Syntax))?;
        let members = members.ok_or(JsonError::NotAnObject)?;
        if members.has_repetition() { Err(JsonError::DuplicateMember) } else { Ok(members) }
    }

    /// Returns each member with its name, in the order of the text.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &MemberValue<'a>)> {
        self.0.iter().map(|(name, member)| (&**name, member))
    }

    /// Returns the members as a map.
    #[must_use]
    pub fn into_map(self) -> Map<String, Value> {
        let value = |member| match member {
            MemberValue::String(text) => Value::String(text.into_owned()),
            MemberValue::UInt(number) => Value::from(number),
            MemberValue::Other(value) => value,
        };
        let mut map = Map::new();
        map.extend(self.0.into_iter().map(|(name, member)| (name.into_owned(), value(member))));
        map
    }

    fn has_repetition(&self) -> bool {
        let mut names: Vec<&str> = self.0.iter().map(|(name, _)| &**name).collect();
        // perf: decision 8. Lengths are compared first, since most names differ in them.
        names.sort_unstable_by_key(|name| (name.len(), *name));
        names.windows(2).any(|pair| matches!(pair, [one, other] if one == other))
    }
}

/// Visits the top-level object; [`Strict`] visits the nested values.
#[derive(Clone, Copy)]
struct ObjectVisitor<'a>(Strict<'a>);

impl<'de> Visitor<'de> for ObjectVisitor<'_> {
    /// `None` for a document that is not an object.
    type Value = Option<ObjectMembers<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Self::Value, A::Error> {
        self.0.visit_seq(items).map(|_| None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut read = Vec::with_capacity(MEMBERS_CAPACITY);
        while let Some(name) = members.next_key_seed(StringSeed)? {
            read.push((name, members.next_value_seed(ValueSeed(self.0))?));
        }
        Ok(Some(ObjectMembers(read)))
    }
}

/// Deserializes a string, borrowed if it has no escapes.
struct StringSeed;

impl<'de> DeserializeSeed<'de> for StringSeed {
    type Value = Cow<'de, str>;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for StringSeed {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

/// Deserializes the value of a member.
struct ValueSeed<'a>(Strict<'a>);

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = MemberValue<'de>;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = MemberValue<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(MemberValue::String(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(MemberValue::String(Cow::Owned(text.to_owned())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(MemberValue::UInt(number))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(MemberValue::Other(Value::from(number)))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(MemberValue::Other(Value::from(number)))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(MemberValue::Other(Value::Bool(value)))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(MemberValue::Other(Value::Null))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Self::Value, A::Error> {
        self.0.visit_seq(items).map(MemberValue::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Self::Value, A::Error> {
        self.0.visit_map(members).map(MemberValue::Other)
    }
}

/// The members of one of our own tokens.
const MEMBERS_CAPACITY: usize = 12;
