//! The problems of a configuration.

use std::fmt;

/// One fault of a configuration. It repeats nothing of what is written there, which may be a secret
/// in a wrong place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where, as a path of field names that the configuration has; a place in the file where there
    /// is no such path.
    pub path: String,
    /// What is expected there.
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
