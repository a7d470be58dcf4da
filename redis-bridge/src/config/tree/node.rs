//! A value of the configuration.

use std::collections::BTreeMap;

/// A value somewhere in the configuration. It has no text form.
pub(in crate::config) struct Node {
    pub(in crate::config) content: Content,
    /// As it was written, for a field that takes text: `0660` is a number to YAML, and `thv:auth:`
    /// a map.
    pub(in crate::config) written: Option<String>,
    /// Its line in the file; 0 where it is not from the file.
    pub(in crate::config) line: u64,
    /// Its column.
    pub(in crate::config) column: u64,
}

pub(in crate::config) enum Content {
    Null,
    Bool(bool),
    Whole(u64),
    /// A number that no field takes.
    Number,
    Text(String),
    List(Vec<Node>),
    Map(BTreeMap<String, Node>),
}

impl Node {
    /// One that is not from the file.
    pub(in crate::config) fn new(content: Content) -> Self {
        Self { content, written: None, line: 0, column: 0 }
    }

    /// Puts a value at a path of fields, made where they are missing. What is no map gives way to
    /// one.
    pub(in crate::config) fn put(&mut self, mut path: impl Iterator<Item = String>, value: Self) {
        let Some(name) = path.next() else {
            *self = value;
            return;
        };
        let here = std::mem::replace(&mut self.content, Content::Null);
        let mut fields = if let Content::Map(fields) = here { fields } else { BTreeMap::new() };
        let field = fields.entry(name).or_insert(Self::new(Content::Null));
        field.put(path, value);
        (self.content, self.written) = (Content::Map(fields), None);
    }
}
