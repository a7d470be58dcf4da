//! What is wrong with a document.

use std::fmt;

/// One thing wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    path: String,
    what: String,
}

impl Problem {
    pub(super) fn new(path: &str, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), what: what.into() }
    }

    /// The path of the field that it is about; empty for the document as a whole.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What is wrong there. Never holds a value of the document.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.what
    }

    /// Whether it is about this path, or about something under it.
    pub(super) fn is_under(&self, path: &str) -> bool {
        is_under(&self.path, path)
    }

    /// Whether it is about this path, about something above it, or about an item of this list.
    pub(super) fn covers(&self, path: &str) -> bool {
        let is_item = || self.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('[') && rest.ends_with(']'));
        !self.path.is_empty() && (is_under(path, &self.path) || is_item())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => write!(f, "configuration: {}", self.what),
            path => write!(f, "{path}: {}", self.what),
        }
    }
}

fn is_under(path: &str, above: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}
