//! One JSON object parsed into a map.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// The limits of one document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The maximum length in bytes.
    pub bytes: usize,
    /// The maximum nesting of objects and arrays; the top-level object counts as one.
    pub depth: usize,
}

impl Limits {
    /// For the header or the claims of a token: 16 KiB, depth 8.
    pub const TOKEN: Self = Self { bytes: 16 * 1024, depth: 8 };
    /// For a document fetched or posted (key sets, metadata, registrations): 64 KiB, depth 16.
    pub const DOCUMENT: Self = Self { bytes: 64 * 1024, depth: 16 };
}

/// Why a document is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonError {
    /// It is longer than the limit.
    TooLarge,
    /// It is nested deeper than the limit.
    TooDeep,
    /// It is not UTF-8 (RFC 8259 §8.1).
    NotUtf8,
    /// An object, at any level, has two members of the same name.
    DuplicateMember,
    /// It is JSON, but not an object.
    NotAnObject,
    /// It is not JSON, or it has trailing characters.
    Syntax,
}

/// Parses one JSON object.
///
/// Member names are compared after unescaping, at every level. Only whitespace may follow the
/// object.
///
/// # Errors
/// Returns the first [`JsonError`] found.
pub fn parse_object(bytes: &[u8], limits: Limits) -> Result<Map<String, Value>, JsonError> {
    if bytes.len() > limits.bytes {
        return Err(JsonError::TooLarge);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| JsonError::NotUtf8)?;
    let refused = Cell::new(None);
    let mut input = serde_json::Deserializer::from_str(text);
    let value = Strict { depth_left: limits.depth, refused: &refused }
        .deserialize(&mut input)
        .and_then(|value| input.end().map(|()| value))
        .map_err(|_| refused.get().unwrap_or(JsonError::Syntax))?;
    match value {
        Value::Object(object) => Ok(object),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(JsonError::NotAnObject)
        }
    }
}

/// Builds a value, counts depth and refuses repeated members. `refused` carries the cause past the
/// error type of serde.
#[derive(Clone, Copy)]
pub(super) struct Strict<'a> {
    pub(super) depth_left: usize,
    pub(super) refused: &'a Cell<Option<JsonError>>,
}

impl Strict<'_> {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        match self.depth_left.checked_sub(1) {
            Some(depth_left) => Ok(Self { depth_left, ..self }),
            None => Err(self.refuse(JsonError::TooDeep)),
        }
    }

    fn refuse<E: serde::de::Error>(self, cause: JsonError) -> E {
        self.refused.set(Some(cause));
        E::custom("refused")
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.deeper::<A::Error>()?;
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inner = self.deeper::<A::Error>()?;
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if object.contains_key(&name) {
                return Err(self.refuse(JsonError::DuplicateMember));
            }
            let value = members.next_value_seed(inner)?;
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}
