//! The deserialization of a tree. serde's errors would repeat the values; [`FieldError`] cannot.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{
    self, Deserialize, DeserializeSeed, Deserializer, IntoDeserializer as _, MapAccess, SeqAccess, Visitor,
};

use super::node::{Content, Node};
use super::repair::repair;
use crate::config::problem::{FILE, Problem, is_under, problem};

impl Node {
    /// Reads the whole tree. A value that does not fit is reported, taken out or replaced by a
    /// stand-in, and the tree is read again: so all of them are found.
    pub(in crate::config) fn read<T: for<'de> Deserialize<'de>>(&mut self) -> Read<T> {
        let unknown = RefCell::new(Vec::new());
        let mut wrongs = Vec::new();
        let mut tried: BTreeMap<String, usize> = BTreeMap::new();
        let mut value = None;
        for _ in 0..MAX_REPAIRS {
            let wrong = match T::deserialize(NodeDeserializer { node: self, path: String::new(), unknown: &unknown }) {
                Ok(read) => {
                    value = Some(read);
                    break;
                }
                Err(wrong) => wrong,
            };
            let place = wrong.place();
            if !tried.keys().any(|known| is_under(&place, known)) {
                wrongs.push(problem(named(&wrong.path), wrong.what));
            }
            if !repair(self, &place, tried.entry(place.clone()).or_default()) {
                break;
            }
        }
        let mut problems = unknown.into_inner();
        problems.append(&mut wrongs);
        Read { value, problems, unfit: tried.into_keys().collect() }
    }
}

/// The result of reading a type from a tree.
pub(in crate::config) struct Read<T> {
    /// With problems, it is only good for finding more.
    pub(in crate::config) value: Option<T>,
    /// The fields that the configuration does not have, and the values that do not fit.
    pub(in crate::config) problems: Vec<Problem>,
    /// The paths of the values that do not fit.
    pub(in crate::config) unfit: Vec<String>,
}

/// A node and its path.
struct NodeDeserializer<'a> {
    node: &'a Node,
    path: String,
    unknown: &'a RefCell<Vec<Problem>>,
}

/// A value that does not fit: its path, and what was expected.
#[derive(Debug)]
struct FieldError {
    path: String,
    what: String,
    /// The field of `path` that is not there.
    missing: Option<&'static str>,
}

impl<'a> NodeDeserializer<'a> {
    fn field(&self, name: &str, node: &'a Node) -> Self {
        let path = if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
        Self { node, path, unknown: self.unknown }
    }

    fn entry(&self, index: usize, node: &'a Node) -> Self {
        Self { node, path: format!("{}[{index}]", self.path), unknown: self.unknown }
    }

    fn read<'de, T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, FieldError> {
        let path = self.path.clone();
        seed.deserialize(self).map_err(|error| error.at(path))
    }

    /// Records an unknown field, without its name.
    fn unknown(&self, name: &str, node: &Node, known: &[&str]) {
        let line = if node.line > 0 { format!(" in line {}", node.line) } else { String::new() };
        let meant = known.iter().find(|known| is_misspelt(name, known));
        let known =
            meant.map_or_else(|| format!("known here: {}", known.join(", ")), |known| format!("is it {known}?"));
        let problem = problem(named(&self.path), format!("unknown field{line}; {known}")).at(node.line, node.column);
        let mut unknown = self.unknown.borrow_mut();
        // The tree may be read more than once.
        if !unknown.contains(&problem) {
            unknown.push(problem);
        }
    }
}

impl<'de> Deserializer<'de> for NodeDeserializer<'_> {
    type Error = FieldError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        match &self.node.content {
            Content::Null => visitor.visit_unit(),
            Content::Bool(value) => visitor.visit_bool(*value),
            Content::UInt(value) => visitor.visit_u64(*value),
            Content::Number => visitor.visit_f64(0.0),
            Content::Text(text) => visitor.visit_str(text),
            Content::List(entries) => {
                let entries: Vec<_> = entries.iter().enumerate().map(|(index, node)| self.entry(index, node)).collect();
                visitor.visit_seq(Entries(entries.into_iter()))
            }
            Content::Map(_) => visitor.visit_map(Fields { fields: Vec::new().into_iter(), value: None }),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        match (&self.node.content, &self.node.written) {
            (Content::Null | Content::Text(_), _) | (_, None) => self.deserialize_any(visitor),
            (_, Some(written)) => visitor.visit_str(written),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        if matches!(self.node.content, Content::Null) { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, FieldError> {
        // The visitor would accept a list as the fields in their order.
        let Content::Map(fields) = &self.node.content else {
            return Err(de::Error::invalid_type(de::Unexpected::Other(""), &visitor));
        };
        for (name, node) in fields.iter().filter(|(name, _)| !known.contains(&name.as_str())) {
            self.unknown(name, node, known);
        }
        let fields: Vec<_> =
            known.iter().filter_map(|name| Some((*name, self.field(name, fields.get(*name)?)))).collect();
        visitor.visit_map(Fields { fields: fields.into_iter(), value: None })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, FieldError> {
        if let Content::Text(text) = &self.node.content {
            visitor.visit_enum(text.as_str().into_deserializer())
        } else {
            Err(de::Error::unknown_variant("", known))
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct newtype_struct seq tuple
        tuple_struct map identifier ignored_any
    }
}

struct Entries<'a>(std::vec::IntoIter<NodeDeserializer<'a>>);

impl<'de> SeqAccess<'de> for Entries<'_> {
    type Error = FieldError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, FieldError> {
        self.0.next().map(|entry| entry.read(seed)).transpose()
    }
}

struct Fields<'a> {
    fields: std::vec::IntoIter<(&'static str, NodeDeserializer<'a>)>,
    value: Option<NodeDeserializer<'a>>,
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = FieldError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, FieldError> {
        let Some((name, value)) = self.fields.next() else { return Ok(None) };
        self.value = Some(value);
        seed.deserialize(name.into_deserializer()).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, FieldError> {
        let value = self.value.take().ok_or_else(|| FieldError::new("invalid value"))?;
        value.read(seed)
    }
}

impl FieldError {
    fn new(what: impl Into<String>) -> Self {
        Self { path: String::new(), what: what.into(), missing: None }
    }

    /// The path of what is wrong: of the field itself where it is missing.
    fn place(&self) -> String {
        match self.missing {
            Some(field) if self.path.is_empty() => field.to_owned(),
            Some(field) => format!("{}.{field}", self.path),
            None => self.path.clone(),
        }
    }

    /// Adds a path unless an inner value has set one.
    fn at(self, path: String) -> Self {
        if self.path.is_empty() { Self { path, ..self } } else { self }
    }
}

/// serde's errors without the values.
impl de::Error for FieldError {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self::new("invalid value")
    }

    fn invalid_type(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(format!("must be {}", describe(&expected.to_string())))
    }

    fn invalid_value(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(format!("must be {}", describe(&expected.to_string())))
    }

    fn invalid_length(_: usize, expected: &dyn de::Expected) -> Self {
        Self::new(format!("must be {}", describe(&expected.to_string())))
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self::new(format!("must be one of {}", expected.join(", ")))
    }

    fn unknown_field(_: &str, expected: &'static [&'static str]) -> Self {
        Self::new(format!("unknown field; known here: {}", expected.join(", ")))
    }

    fn missing_field(field: &'static str) -> Self {
        Self { missing: Some(field), ..Self::new(format!("{field} is missing")) }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.what)
    }
}

impl std::error::Error for FieldError {}

/// Returns serde's name of a type in words.
fn describe(expected: &str) -> &str {
    match expected {
        "a string" => "text",
        "a sequence" => "a list",
        "a boolean" => "true or false",
        "u8" => "an integer from 0 to 255",
        "u16" => "an integer from 0 to 65535",
        "u32" | "u64" | "usize" => "a non-negative integer",
        expected if expected.starts_with("struct ") => "a map of fields",
        expected => expected,
    }
}

/// Bounds the work on a file that is wrong everywhere.
const MAX_REPAIRS: usize = 200;

fn named(path: &str) -> &str {
    if path.is_empty() { FILE } else { path }
}

/// Returns `true` for a Levenshtein distance of at most 2.
fn is_misspelt(name: &str, known: &str) -> bool {
    let (name, known): (Vec<char>, Vec<char>) = (name.chars().collect(), known.chars().collect());
    if name.len() < 4 || known.len() < 4 || name.len().abs_diff(known.len()) > 2 {
        return false;
    }
    let mut distances: Vec<usize> = (0..=known.len()).collect();
    for (row, letter) in name.iter().enumerate() {
        let mut next = vec![row.saturating_add(1)];
        for ((other, before), above) in known.iter().zip(&distances).zip(distances.iter().skip(1)) {
            let replaced = before.saturating_add(usize::from(letter != other));
            let left = next.last().copied().unwrap_or_default();
            next.push(replaced.min(left.min(*above).saturating_add(1)));
        }
        distances = next;
    }
    distances.last().is_some_and(|distance| *distance <= 2)
}
