//! The problems of a configuration.

use std::fmt;

/// One problem of a configuration. It never repeats the input, which may be a secret pasted into the
/// wrong field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The path of known field names, or a place in the file if there is no such path.
    pub path: String,
    /// What is wrong, or expected.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.what)
    }
}

pub(super) fn problem(path: &str, what: impl Into<String>) -> Problem {
    Problem { path: path.to_owned(), what: what.into() }
}

/// The path of a problem of the file as a whole.
pub(super) const FILE: &str = "(file)";
