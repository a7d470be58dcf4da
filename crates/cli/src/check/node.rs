//! A JSON or YAML value with its places in the file.

use std::ops::Range;

use serde_json::{Map, Number, Value};

use crate::check::text::{Place, Style, Text};

/// A value.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// Where it begins.
    pub(crate) place: Place,
    pub(crate) content: Content,
}

#[derive(Debug, Clone)]
pub(crate) enum Content {
    Null,
    Bool(bool),
    Number(Number),
    String(Written),
    List(Vec<Node>),
    Map(Vec<Field>),
}

/// A string, and how it is written in its text.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    pub(crate) value: String,
    pub(crate) source: Range<usize>,
    pub(crate) style: Style,
}

/// A field of a map.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) name_place: Place,
    pub(crate) value: Node,
}

impl Node {
    /// The fields of a map; none of anything else.
    pub(crate) fn fields(&self) -> &[Field] {
        match &self.content {
            Content::Map(fields) => fields,
            Content::Null | Content::Bool(_) | Content::Number(_) | Content::String(_) | Content::List(_) => &[],
        }
    }

    /// The items of a list; none of anything else.
    pub(crate) fn items(&self) -> &[Self] {
        match &self.content {
            Content::List(items) => items,
            Content::Null | Content::Bool(_) | Content::Number(_) | Content::String(_) | Content::Map(_) => &[],
        }
    }

    /// A field of a map.
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        self.fields().iter().find(|field| field.name == name).map(|field| &field.value)
    }

    /// A string.
    pub(crate) fn string(&self) -> Option<&Written> {
        match &self.content {
            Content::String(written) => Some(written),
            Content::Null | Content::Bool(_) | Content::Number(_) | Content::List(_) | Content::Map(_) => None,
        }
    }

    /// The string's own text, if it is one; `text` is the one that it is written in.
    pub(crate) fn embedded(&self, text: &Text) -> Option<Text> {
        self.string().map(|written| text.embedded(written.source.clone(), written.style, &written.value))
    }

    /// Where a path such as `resources[0].match.prefix` leads. The nearest place above where a part
    /// of the path is not there.
    pub(crate) fn place_of(&self, path: &str) -> Place {
        self.find(path, self.place)
    }

    fn find(&self, path: &str, here: Place) -> Place {
        let path = path.strip_prefix('.').unwrap_or(path);
        if let Some((index, rest)) = path.strip_prefix('[').and_then(|path| path.split_once(']')) {
            let item = index.parse().ok().and_then(|index: usize| self.items().get(index));
            return item.map_or(here, |item| item.find(rest, item.place));
        }
        // A name may have dots in it: the longest that fits.
        let fits =
            |name: &str| path.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
        let known = self.fields().iter().filter(|field| !field.name.is_empty() && fits(&field.name));
        let Some(field) = known.max_by_key(|field| field.name.len()) else { return here };
        // A value that begins on a later line is looked for at its name.
        let place = if field.value.place.line == field.name_place.line { field.value.place } else { field.name_place };
        field.value.find(path.get(field.name.len()..).unwrap_or_default(), place)
    }

    /// The same as JSON.
    pub(crate) fn to_json(&self) -> Value {
        match &self.content {
            Content::Null => Value::Null,
            Content::Bool(value) => Value::Bool(*value),
            Content::Number(number) => Value::Number(number.clone()),
            Content::String(written) => Value::String(written.value.clone()),
            Content::List(items) => Value::Array(items.iter().map(Self::to_json).collect()),
            Content::Map(fields) => {
                let fields = fields.iter().map(|field| (field.name.clone(), field.value.to_json()));
                Value::Object(fields.collect::<Map<_, _>>())
            }
        }
    }
}
