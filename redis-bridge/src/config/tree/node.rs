//! A value of the configuration.

use std::collections::BTreeMap;

/// A value of the configuration. It has no text form.
pub(in crate::config) struct Node {
    pub(in crate::config) content: Content,
    /// The source text, for a field that takes text: in YAML `0660` is a number and `thv:auth:` a
    /// map.
    pub(in crate::config) written: Option<String>,
    /// The line in the file; 0 outside the file.
    pub(in crate::config) line: u64,
    /// Its column.
    pub(in crate::config) column: u64,
}

pub(in crate::config) enum Content {
    Null,
    Bool(bool),
    UInt(u64),
    /// Any other number, which no field accepts.
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

    /// Sets the value at a path of fields. Missing fields are created, and a value that is not a
    /// map is replaced by one.
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
