//! Reads YAML into a tree, with the place of every value.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Error, Location, Spanned};

use super::node::{Content, Node};
use crate::config::problem::{FILE, Problem, problem};

impl Node {
    /// Parses a file as YAML 1.2, in which `no` and `n` are strings.
    ///
    /// # Errors
    /// The place of a syntax error.
    pub(in crate::config) fn of_file(text: &str) -> Result<Self, Problem> {
        let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
        let parsed: Result<Parsed, Error> = serde_saphyr::from_str_with_options(text, options);
        // The library's message would quote the text.
        parsed.map(|parsed| parsed.node(text)).map_err(|error| {
            let what = if matches!(error, Error::DuplicateMappingKey { .. }) {
                "a field is set twice"
            } else {
                "not YAML; text with a colon, a quote or a bracket needs quotes"
            };
            let Some(place) = error.location() else { return problem(FILE, what) };
            let (line, column) = (place.line(), place.column());
            problem(&format!("{FILE}, line {line}, column {column}"), what).at(line, column)
        })
    }

    /// Parses an environment variable as YAML, or as plain text if it is not YAML.
    pub(in crate::config) fn of_variable(text: String) -> Self {
        let content = Self::of_file(&text).map_or_else(|_| Content::Text(text.clone()), |node| node.content);
        Self { written: Some(text), ..Self::new(content) }
    }
}

/// A node with its place in the text.
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
        Node { content, written, line: self.place.line(), column: self.place.column() }
    }
}

/// Returns the source text of a scalar.
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
        Ok(ParsedContent::Scalar(Content::UInt(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<ParsedContent, E> {
        Ok(ParsedContent::Scalar(u64::try_from(value).map_or(Content::Number, Content::UInt)))
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
