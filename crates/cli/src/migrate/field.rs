//! A field of a file, with its path.

use crate::check::node::{Content, Node};
use crate::check::text::Place;

/// A field.
#[derive(Debug, Clone)]
pub(crate) struct Field<'a> {
    /// The file's name.
    pub(crate) file: &'a str,
    /// The value.
    pub(crate) node: &'a Node,
    /// The path in its document: `spec.oidcConfig.type`.
    pub(crate) path: String,
    /// Where its name is, or the value of one without.
    pub(crate) place: Place,
}

impl<'a> Field<'a> {
    /// A whole document.
    pub(crate) fn document(file: &'a str, node: &'a Node) -> Self {
        Self { file, node, path: String::new(), place: node.place }
    }

    /// The same value under another path: a text inside a ConfigMap has its own.
    pub(crate) fn inner(&self, node: &'a Node) -> Self {
        Self { file: self.file, node, path: self.path.clone(), place: node.place }
    }

    /// A field of a map. `userInfo` also finds `userinfo` and `user_info`: resources and runtime
    /// files write them differently. An empty field is none.
    pub(crate) fn get(&self, name: &str) -> Option<Self> {
        let fields = self.node.fields();
        let exact = fields.iter().find(|field| field.name == name);
        let field = exact.or_else(|| fields.iter().find(|field| plain(&field.name) == plain(name)))?;
        if matches!(field.value.content, Content::Null) {
            return None;
        }
        Some(self.member(&field.name, field.name_place, &field.value))
    }

    /// A field by the names that lead there, with dots between them.
    pub(crate) fn at(&self, path: &str) -> Option<Self> {
        path.split('.').try_fold(self.clone(), |field, name| field.get(name))
    }

    /// The fields of a map; none of anything else.
    pub(crate) fn members(&self) -> Vec<(&'a str, Self)> {
        let member = |field: &'a crate::check::node::Field| {
            (field.name.as_str(), self.member(&field.name, field.name_place, &field.value))
        };
        self.node.fields().iter().map(member).collect()
    }

    /// The items of a list; none of anything else.
    pub(crate) fn items(&self) -> Vec<Self> {
        let item = |(index, node): (usize, &'a Node)| Self {
            file: self.file,
            node,
            path: format!("{}[{index}]", self.path),
            place: node.place,
        };
        self.node.items().iter().enumerate().map(item).collect()
    }

    /// A text.
    pub(crate) fn text(&self) -> Option<&'a str> {
        self.node.string().map(|written| written.value.as_str())
    }

    /// The text of one of its fields.
    pub(crate) fn text_of(&self, name: &str) -> Option<&'a str> {
        let field = self.node.fields().iter().find(|field| plain(&field.name) == plain(name))?;
        field.value.string().map(|written| written.value.as_str())
    }

    /// `true` or `false`.
    pub(crate) fn flag(&self) -> Option<bool> {
        match self.node.content {
            Content::Bool(flag) => Some(flag),
            Content::Null | Content::Number(_) | Content::String(_) | Content::List(_) | Content::Map(_) => None,
        }
    }

    /// A whole number.
    pub(crate) fn number(&self) -> Option<u64> {
        match &self.node.content {
            Content::Number(number) => number.as_u64(),
            Content::Null | Content::Bool(_) | Content::String(_) | Content::List(_) | Content::Map(_) => None,
        }
    }

    fn member(&self, name: &str, place: Place, node: &'a Node) -> Self {
        let path = if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
        Self { file: self.file, node, path, place }
    }
}

/// A name without what its spellings differ in.
fn plain(name: &str) -> String {
    name.chars().filter(|letter| *letter != '_').map(|letter| letter.to_ascii_lowercase()).collect()
}
