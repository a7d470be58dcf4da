//! JSON objects from outside, read strictly (RFC 8259; RFC 7515 §4 and RFC 7519 §4 for unique
//! member names).
//!
//! A document that two parsers may read differently is refused: the classic case is a repeated
//! member, of which one parser takes the first and the other the last.

mod members;

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

pub use members::{Member, Members};

/// How large and how deep a document may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most bytes accepted.
    pub bytes: usize,
    /// The most objects and arrays that may be open at once; the top-level object counts as one.
    pub depth: usize,
}

impl Limits {
    /// For the header or the claims of a token.
    pub const TOKEN: Self = Self { bytes: 16 * 1024, depth: 8 };
    /// For a document fetched or posted: key sets, metadata, registrations.
    pub const DOCUMENT: Self = Self { bytes: 64 * 1024, depth: 16 };
}

/// Why a document was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonError {
    /// It has more bytes than the limit.
    TooLarge,
    /// It is nested deeper than the limit.
    TooDeep,
    /// It is not UTF-8 (RFC 8259 §8.1).
    NotUtf8,
    /// Some object, at any level, has two members of one name.
    DuplicateMember,
    /// It is JSON, but not an object.
    NotAnObject,
    /// It is not JSON, or something follows it.
    Syntax,
}

/// Reads one JSON object.
///
/// Member names are compared after unescaping, at every level; nothing but whitespace may follow
/// the object.
///
/// # Errors
/// The first [`JsonError`] met.
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

/// Builds a value while counting depth and refusing repeated members; `refused` carries the cause
/// past serde's error.
#[derive(Clone, Copy)]
struct Strict<'a> {
    depth_left: usize,
    refused: &'a Cell<Option<JsonError>>,
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Both ways to read an object, which have to agree.
    fn parse(text: &str) -> Result<Map<String, Value>, JsonError> {
        let object = parse_object(text.as_bytes(), Limits::TOKEN);
        assert_eq!(Members::parse(text.as_bytes(), Limits::TOKEN).map(Members::into_map), object, "{text}");
        object
    }

    #[test]
    fn members_are_given_with_their_unescaped_names() {
        let members = Members::parse(br#"{"a":"x","\u0062":"y\n","c":7,"d":-7,"e":["f"]}"#, Limits::TOKEN).unwrap();
        let read: Vec<_> = members.iter().collect();
        let expected = [
            ("a", &Member::Text("x".into())),
            ("b", &Member::Text("y\n".into())),
            ("c", &Member::Whole(7)),
            ("d", &Member::Other(Value::from(-7))),
            ("e", &Member::Other(serde_json::json!(["f"]))),
        ];
        assert_eq!(read, expected);
    }

    #[test]
    fn an_object_keeps_its_values() {
        let object = parse(r#" {"a":[1,-2,1.5,null,true,"x\u0041"],"b":{"a":{}}} "#).unwrap();
        assert_eq!(Value::Object(object), serde_json::json!({"a": [1, -2, 1.5, null, true, "xA"], "b": {"a": {}}}));
    }

    #[test]
    fn a_repeated_member_is_refused_at_every_level_and_in_every_spelling() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"x":{"a":1,"a":2}}"#,
            r#"{"x":[{"y":[{"a":1,"b":2,"a":3}]}]}"#,
            r#"{"":1,"":1}"#,
        ] {
            assert_eq!(parse(text), Err(JsonError::DuplicateMember), "{text}");
        }
    }

    #[test]
    fn one_name_in_two_objects_is_no_repetition() {
        assert!(parse(r#"{"a":{"a":1},"b":{"a":1},"A":2}"#).is_ok());
    }

    #[test]
    fn anything_but_one_object_is_refused() {
        for text in ["[]", "null", "1", "\"x\"", "true"] {
            assert_eq!(parse(text), Err(JsonError::NotAnObject), "{text}");
        }
        for text in [
            "",
            "{",
            "{}{}",
            "{} x",
            "{\"a\":1,}",
            "{a:1}",
            "{\"a\":NaN}",
            "{\"a\":01}",
            "\u{feff}{}",
            "{\"a\":\"\n\"}",
            "{\"a\":\"\\ud800\"}",
            "//\n{}",
        ] {
            assert_eq!(parse(text), Err(JsonError::Syntax), "{text:?}");
        }
        assert_eq!(parse_object(b"{\"a\":\"\xff\"}", Limits::TOKEN), Err(JsonError::NotUtf8));
        assert_eq!(Members::parse(b"{\"a\":\"\xff\"}", Limits::TOKEN).err(), Some(JsonError::NotUtf8));
    }

    #[test]
    fn depth_is_bounded_exactly() {
        let nested = |depth: usize| format!("{}{}{}", "{\"a\":".repeat(depth), 1, "}".repeat(depth));
        assert!(parse(&nested(8)).is_ok());
        assert_eq!(parse(&nested(9)), Err(JsonError::TooDeep));
        let arrays = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(&arrays(7)).is_ok());
        assert_eq!(parse(&arrays(8)), Err(JsonError::TooDeep));
        assert_eq!(parse(&"{\"a\":".repeat(3000)), Err(JsonError::TooDeep));
    }

    #[test]
    fn size_is_bounded_exactly() {
        let limits = Limits { bytes: 10, depth: 2 };
        assert!(parse_object(b"{\"a\":1234}", limits).is_ok());
        assert_eq!(parse_object(b"{\"a\":12345}", limits), Err(JsonError::TooLarge));
        assert!(Members::parse(b"{\"a\":1234}", limits).is_ok());
        assert_eq!(Members::parse(b"{\"a\":12345}", limits).err(), Some(JsonError::TooLarge));
        assert_eq!(Members::parse(b"{}", Limits { bytes: 10, depth: 0 }).err(), Some(JsonError::TooDeep));
    }

    #[test]
    fn numbers_keep_the_difference_between_integers_and_floats() {
        let object = parse(r#"{"i":9223372036854775808,"f":1.0,"n":-1,"big":18446744073709551616}"#).unwrap();
        assert_eq!(object["i"].as_u64(), Some(1 << 63));
        assert_eq!(object["f"].as_u64(), None);
        assert_eq!(object["n"].as_u64(), None);
        assert_eq!(object["big"].as_u64(), None);
    }
}
