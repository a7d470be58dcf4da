//! The problems of a configuration.

use std::fmt;

/// One problem of a configuration. It never repeats the input, which may be a secret pasted into
/// the wrong field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The path of known field names, or a place in the file if there is no such path.
    pub path: String,
    /// What is wrong, or expected.
    pub what: String,
    /// Line and column in the file, both from 1, where the path does not lead to what is meant.
    pub place: Option<(usize, usize)>,
}

impl Problem {
    /// The same, with a line and a column.
    pub(super) fn at(self, line: u64, column: u64) -> Self {
        let place = usize::try_from(line).ok().zip(usize::try_from(column).ok());
        Self { place: place.filter(|(line, _)| *line > 0), ..self }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.what)
    }
}

pub(super) fn problem(path: &str, what: impl Into<String>) -> Problem {
    Problem { path: path.to_owned(), what: what.into(), place: None }
}

/// Whether a path is this one, or leads to something under it.
pub(super) fn is_under(path: &str, above: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// The path of a problem of the file as a whole.
pub(super) const FILE: &str = "(file)";
