//! YAML 1.2 with places: `no` and `on` are words.

use std::collections::BTreeMap;

use granit_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span};
use serde_json::Number;

use crate::check::node::{Content, Field, Node, Written};
use crate::check::problem::Problem;
use crate::check::text::{Place, Style, Text};

/// Reads a text as YAML: its documents.
///
/// # Errors
/// Where it is no YAML, where a name is given twice, and where aliases make too much of it.
pub(crate) fn read(text: &Text) -> Result<Vec<Node>, Problem> {
    let mut reader = Reader { text, open: Vec::new(), documents: Vec::new(), anchors: BTreeMap::new(), nodes: 0 };
    for event in Parser::new_from_str(text.content()) {
        let (event, span) = event.map_err(|error| syntax(text, &error))?;
        reader.take(event, &span)?;
    }
    Ok(reader.documents)
}

// The library's own message could quote the text.
fn syntax(text: &Text, error: &ScanError) -> Problem {
    let what = "not YAML; text with a colon, a quote or a bracket in it needs quotes around it";
    Problem::new(place(text, error.marker()), "", what)
}

fn place(text: &Text, marker: &Marker) -> Place {
    text.place(offset(text, marker))
}

fn offset(text: &Text, marker: &Marker) -> usize {
    let by_letters = || text.content().char_indices().nth(marker.index()).map_or(text.content().len(), |(at, _)| at);
    marker.byte_offset().unwrap_or_else(by_letters)
}

struct Reader<'a> {
    text: &'a Text,
    open: Vec<Open>,
    documents: Vec<Node>,
    anchors: BTreeMap<usize, Node>,
    /// How many there are, those that aliases repeat included.
    nodes: usize,
}

/// A list or a map that has not ended.
struct Open {
    place: Place,
    anchor: usize,
    content: OpenContent,
}

enum OpenContent {
    List(Vec<Node>),
    Map(Vec<Field>, Option<(String, Place)>),
}

impl Reader<'_> {
    fn take(&mut self, event: Event<'_>, span: &Span) -> Result<(), Problem> {
        let place = place(self.text, &span.start);
        match event {
            Event::Scalar(value, style, anchor, tag) => {
                let is_text = tag.is_some_and(|tag| tag.is_yaml_core_schema_tag("str"));
                let is_plain = style == ScalarStyle::Plain && !is_text;
                let content = if is_plain { resolve(&value) } else { None };
                let source = offset(self.text, &span.start)..offset(self.text, &span.end);
                let content = content.unwrap_or_else(|| {
                    Content::String(Written { value: value.into_owned(), source, style: style_of(style) })
                });
                self.add(Node { place, content }, anchor)
            }
            Event::SequenceStart(_, anchor, _) => {
                self.open.push(Open { place, anchor, content: OpenContent::List(Vec::new()) });
                Ok(())
            }
            Event::MappingStart(_, anchor, _) => {
                self.open.push(Open { place, anchor, content: OpenContent::Map(Vec::new(), None) });
                Ok(())
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(open) = self.open.pop() else { return Ok(()) };
                let content = match open.content {
                    OpenContent::List(items) => Content::List(items),
                    OpenContent::Map(fields, _) => Content::Map(fields),
                };
                self.add(Node { place: open.place, content }, open.anchor)
            }
            Event::Alias(anchor) => match self.anchors.get(&anchor) {
                Some(node) => {
                    let node = Node { place, content: node.content.clone() };
                    self.nodes = self.nodes.saturating_add(size(&node));
                    self.add(node, 0)
                }
                None => Err(Problem::new(place, "", "an alias of what is around it")),
            },
            Event::DocumentEnd => {
                self.anchors.clear();
                Ok(())
            }
            // Nothing else is a value.
            Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(..)
            | Event::Anchor(..)
            | Event::UnresolvedAlias(_)
            | Event::Comment(..)
            | _ => Ok(()),
        }
    }

    fn add(&mut self, node: Node, anchor: usize) -> Result<(), Problem> {
        self.nodes = self.nodes.saturating_add(1);
        if self.nodes > MAX_NODES {
            return Err(Problem::new(node.place, "", "too large, or too many aliases"));
        }
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut().map(|open| &mut open.content) {
            None => self.documents.push(node),
            Some(OpenContent::List(items)) => items.push(node),
            Some(OpenContent::Map(fields, name)) => match name.take() {
                None => {
                    let key = match node.content {
                        Content::String(written) => written.value,
                        Content::Null => String::new(),
                        Content::Bool(value) => value.to_string(),
                        Content::Number(number) => number.to_string(),
                        Content::List(_) | Content::Map(_) => {
                            return Err(Problem::new(node.place, "", "a name must be text"));
                        }
                    };
                    if fields.iter().any(|field| field.name == key) {
                        return Err(Problem::new(node.place, "", "a field is given twice"));
                    }
                    *name = Some((key, node.place));
                }
                Some((name, name_place)) => fields.push(Field { name, name_place, value: node }),
            },
        }
        Ok(())
    }
}

fn size(node: &Node) -> usize {
    match &node.content {
        Content::List(items) => items.iter().map(size).fold(1, usize::saturating_add),
        Content::Map(fields) => fields.iter().map(|field| size(&field.value)).fold(1, usize::saturating_add),
        Content::Null | Content::Bool(_) | Content::Number(_) | Content::String(_) => 1,
    }
}

fn style_of(style: ScalarStyle) -> Style {
    match style {
        ScalarStyle::Plain => Style::Plain,
        ScalarStyle::SingleQuoted => Style::SingleQuoted,
        ScalarStyle::DoubleQuoted => Style::DoubleQuoted,
        ScalarStyle::Literal => Style::Literal,
        ScalarStyle::Folded => Style::Folded,
    }
}

/// The core schema (YAML 1.2.2 §10.3.2); `None` for text.
fn resolve(plain: &str) -> Option<Content> {
    match plain {
        "" | "~" | "null" | "Null" | "NULL" => return Some(Content::Null),
        "true" | "True" | "TRUE" => return Some(Content::Bool(true)),
        "false" | "False" | "FALSE" => return Some(Content::Bool(false)),
        _ => {}
    }
    let first = plain.trim_start_matches(['-', '+']);
    if !first.starts_with(|letter: char| letter.is_ascii_digit() || letter == '.') {
        return None;
    }
    let based =
        |prefix: &str, base| plain.strip_prefix(prefix).and_then(|digits| u64::from_str_radix(digits, base).ok());
    if let Some(number) = based("0x", 16).or_else(|| based("0o", 8)) {
        return Some(Content::Number(number.into()));
    }
    let unsigned = plain.strip_prefix('+').unwrap_or(plain);
    if let Ok(number) = unsigned.parse::<u64>() {
        return Some(Content::Number(number.into()));
    }
    if let Ok(number) = unsigned.parse::<i64>() {
        return Some(Content::Number(number.into()));
    }
    let is_float = unsigned.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    let number = unsigned.parse::<f64>().ok().filter(|_| is_float);
    number.and_then(Number::from_f64).map(Content::Number)
}

const MAX_NODES: usize = 200_000;
