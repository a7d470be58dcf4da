//! The configuration as a tree of YAML, and its way into types without a word of what was written.
//!
//! A password where a reference belongs, a key where a file is named, a secret with a colon too many: the fault of a
//! configuration may be the secret itself. So [`Wrong`] holds a place and what was expected there, and no value. All
//! messages about the file come from here or from a check that names a path, and none of them has anything to repeat.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{
    self, Deserialize, DeserializeSeed, Deserializer, IntoDeserializer as _, MapAccess, SeqAccess, Visitor,
};
use serde_saphyr::{Error, Location, Spanned};

use super::{Problem, problem};

/// A value somewhere in the configuration.
#[derive(Debug)]
pub(super) struct Node {
    content: Content,
    /// As it was written, for a field that takes text: `0660` is a number to YAML, and `thv:auth:` a map.
    written: Option<String>,
    /// Its line in the file; 0 where it is not from the file.
    line: u64,
}

#[derive(Debug)]
enum Content {
    Null,
    Bool(bool),
    Whole(u64),
    /// A number that no field takes.
    Number,
    Text(String),
    List(Vec<Node>),
    Map(BTreeMap<String, Node>),
}

/// What is wrong with a value: the place, and what was expected.
#[derive(Debug)]
pub(super) struct Wrong {
    path: String,
    what: String,
}

impl Node {
    /// Reads a file. The YAML is version 1.2's: `no` and `n` are words.
    ///
    /// # Errors
    /// Where it is no YAML.
    pub(super) fn of_file(text: &str) -> Result<Self, Problem> {
        let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
        let parsed: Result<Parsed, Error> = serde_saphyr::from_str_with_options(text, options);
        // The library's own words would quote the text.
        parsed.map(|parsed| parsed.node(text)).map_err(|error| {
            let what = if matches!(error, Error::DuplicateMappingKey { .. }) {
                "a field is given twice"
            } else {
                "not YAML; text with a colon, a quote or a bracket in it needs quotes around it"
            };
            let place = error.location().map(|place| format!(", line {}, column {}", place.line(), place.column()));
            problem(&format!("{FILE}{}", place.unwrap_or_default()), what)
        })
    }

    /// Reads a variable of the environment: as YAML, and as plain text where it is none.
    pub(super) fn of_variable(text: String) -> Self {
        let content = Self::of_file(&text).map_or_else(|_| Content::Text(text.clone()), |node| node.content);
        Self { content, written: Some(text), line: 0 }
    }

    /// Puts a value at a path of fields, made where they are missing. What is no map gives way to one.
    pub(super) fn put(&mut self, mut path: impl Iterator<Item = String>, value: Self) {
        let Some(name) = path.next() else {
            *self = value;
            return;
        };
        let here = std::mem::replace(&mut self.content, Content::Null);
        let mut fields = if let Content::Map(fields) = here { fields } else { BTreeMap::new() };
        let field = fields.entry(name).or_insert(Self { content: Content::Null, written: None, line: 0 });
        field.put(path, value);
        (self.content, self.written) = (Content::Map(fields), None);
    }

    /// Reads the whole tree.
    ///
    /// # Errors
    /// The fields that nothing knows, and the first value that does not fit.
    pub(super) fn read<T: for<'de> Deserialize<'de>>(&self) -> (Option<T>, Vec<Problem>) {
        let unknown = RefCell::new(Vec::new());
        let read = T::deserialize(Place { node: self, path: String::new(), unknown: &unknown });
        let mut problems = unknown.into_inner();
        let read = read.map_err(|wrong| problems.push(problem(named(&wrong.path), wrong.what))).ok();
        (read, problems)
    }
}

/// A node as the library reads it, with its place in the text.
struct Parsed {
    content: ParsedContent,
    place: Location,
}

enum ParsedContent {
    Scalar(Content),
    List(Vec<Parsed>),
    Map(BTreeMap<String, Parsed>),
}

impl Parsed {
    fn node(self, text: &str) -> Node {
        let (content, written) = match self.content {
            ParsedContent::Scalar(content) => (content, written(text, self.place)),
            ParsedContent::List(entries) => {
                (Content::List(entries.into_iter().map(|entry| entry.node(text)).collect()), None)
            }
            ParsedContent::Map(fields) => {
                (Content::Map(fields.into_iter().map(|(name, field)| (name, field.node(text))).collect()), None)
            }
        };
        Node { content, written, line: self.place.line() }
    }
}

/// The text of a scalar.
fn written(text: &str, place: Location) -> Option<String> {
    let (start, length) = (place.span().byte_offset()?, place.span().byte_len()?);
    let (start, length) = (usize::try_from(start).ok()?, usize::try_from(length).ok()?);
    text.get(start..start.checked_add(length)?).map(|text| text.trim_end().to_owned())
}

impl<'de> Deserialize<'de> for Parsed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<ParsedContent>::deserialize(deserializer)?;
        Ok(Self { content: spanned.value, place: spanned.referenced })
    }
}

impl<'de> Deserialize<'de> for ParsedContent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyContent)
    }
}

struct AnyContent;

impl<'de> Visitor<'de> for AnyContent {
    type Value = ParsedContent;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("YAML")
    }

    fn visit_unit<E>(self) -> Result<ParsedContent, E> {
        Ok(ParsedContent::Scalar(Content::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<ParsedContent, E> {
        Ok(ParsedContent::Scalar(Content::Bool(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<ParsedContent, E> {
        Ok(ParsedContent::Scalar(Content::Whole(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<ParsedContent, E> {
        Ok(ParsedContent::Scalar(u64::try_from(value).map_or(Content::Number, Content::Whole)))
    }

    fn visit_u128<E>(self, _: u128) -> Result<ParsedContent, E> {
        Ok(ParsedContent::Scalar(Content::Number))
    }

    fn visit_i128<E>(self, _: i128) -> Result<ParsedContent, E> {
        Ok(ParsedContent::Scalar(Content::Number))
    }

    fn visit_f64<E>(self, _: f64) -> Result<ParsedContent, E> {
        Ok(ParsedContent::Scalar(Content::Number))
    }

    fn visit_str<E>(self, text: &str) -> Result<ParsedContent, E> {
        Ok(ParsedContent::Scalar(Content::Text(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<ParsedContent, A::Error> {
        let mut list = Vec::new();
        while let Some(entry) = entries.next_element()? {
            list.push(entry);
        }
        Ok(ParsedContent::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<ParsedContent, A::Error> {
        let mut map = BTreeMap::new();
        while let Some((name, field)) = fields.next_entry()? {
            map.insert(name, field);
        }
        Ok(ParsedContent::Map(map))
    }
}

/// A node that is read into a type.
struct Place<'a> {
    node: &'a Node,
    path: String,
    unknown: &'a RefCell<Vec<Problem>>,
}

impl<'a> Place<'a> {
    fn field(&self, name: &str, node: &'a Node) -> Self {
        let path = if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
        Self { node, path, unknown: self.unknown }
    }

    fn entry(&self, index: usize, node: &'a Node) -> Self {
        Self { node, path: format!("{}[{index}]", self.path), unknown: self.unknown }
    }

    fn read<'de, T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Wrong> {
        let path = self.path.clone();
        seed.deserialize(self).map_err(|wrong| wrong.at(path))
    }

    /// Takes note of a field that the configuration does not have. Its name is not repeated either.
    fn unknown(&self, name: &str, node: &Node, known: &[&str]) {
        let line = if node.line > 0 { format!(" in line {}", node.line) } else { String::new() };
        let meant = known.iter().find(|known| is_misspelt(name, known));
        let known =
            meant.map_or_else(|| format!("known here: {}", known.join(", ")), |known| format!("is it {known}?"));
        self.unknown.borrow_mut().push(problem(named(&self.path), format!("unknown field{line}; {known}")));
    }
}

impl<'de> Deserializer<'de> for Place<'_> {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match &self.node.content {
            Content::Null => visitor.visit_unit(),
            Content::Bool(value) => visitor.visit_bool(*value),
            Content::Whole(value) => visitor.visit_u64(*value),
            Content::Number => visitor.visit_f64(0.0),
            Content::Text(text) => visitor.visit_str(text),
            Content::List(entries) => {
                let entries: Vec<_> = entries.iter().enumerate().map(|(index, node)| self.entry(index, node)).collect();
                visitor.visit_seq(Entries(entries.into_iter()))
            }
            Content::Map(_) => visitor.visit_map(Fields { fields: Vec::new().into_iter(), value: None }),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match (&self.node.content, &self.node.written) {
            (Content::Null | Content::Text(_), _) | (_, None) => self.deserialize_any(visitor),
            (_, Some(written)) => visitor.visit_str(written),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        if matches!(self.node.content, Content::Null) { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        // Not by the visitor: it would take a list for the fields in their order.
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
    ) -> Result<V::Value, Wrong> {
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

struct Entries<'a>(std::vec::IntoIter<Place<'a>>);

impl<'de> SeqAccess<'de> for Entries<'_> {
    type Error = Wrong;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Wrong> {
        self.0.next().map(|entry| entry.read(seed)).transpose()
    }
}

struct Fields<'a> {
    fields: std::vec::IntoIter<(&'static str, Place<'a>)>,
    value: Option<Place<'a>>,
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Wrong;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Wrong> {
        let Some((name, value)) = self.fields.next() else { return Ok(None) };
        self.value = Some(value);
        seed.deserialize(name.into_deserializer()).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Wrong> {
        let value = self.value.take().ok_or_else(|| Wrong::new("cannot be read"))?;
        value.read(seed)
    }
}

impl Wrong {
    fn new(what: impl Into<String>) -> Self {
        Self { path: String::new(), what: what.into() }
    }

    /// The innermost place counts.
    fn at(self, path: String) -> Self {
        if self.path.is_empty() { Self { path, ..self } } else { self }
    }
}

/// What serde has to say, without what it was said of.
impl de::Error for Wrong {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self::new("cannot be read")
    }

    fn invalid_type(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(format!("must be {}", plain(&expected.to_string())))
    }

    fn invalid_value(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(format!("must be {}", plain(&expected.to_string())))
    }

    fn invalid_length(_: usize, expected: &dyn de::Expected) -> Self {
        Self::new(format!("must be {}", plain(&expected.to_string())))
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self::new(format!("must be one of {}", expected.join(", ")))
    }

    fn unknown_field(_: &str, expected: &'static [&'static str]) -> Self {
        Self::new(format!("unknown field; known here: {}", expected.join(", ")))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(format!("{field} is missing"))
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.what)
    }
}

impl std::error::Error for Wrong {}

/// Rust's names of types, in words.
fn plain(expected: &str) -> &str {
    match expected {
        "a string" => "text",
        "a sequence" => "a list",
        "a boolean" => "true or false",
        "u8" => "a whole number up to 255",
        "u16" => "a whole number up to 65535",
        "u32" | "u64" | "usize" => "a whole number",
        expected if expected.starts_with("struct ") => "a map of fields",
        expected => expected,
    }
}

fn named(path: &str) -> &str {
    if path.is_empty() { FILE } else { path }
}

/// Whether at most two letters differ (Levenshtein).
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

const FILE: &str = "(file)";
