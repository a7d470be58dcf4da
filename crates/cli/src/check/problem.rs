//! One thing wrong with a configuration.

use crate::check::text::Place;

/// A problem. It repeats no value of the file, which may be a secret in a wrong place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Problem {
    pub(crate) place: Place,
    /// The field's path; empty for the whole.
    pub(crate) path: String,
    pub(crate) what: String,
}

impl Problem {
    pub(crate) fn new(place: Place, path: impl Into<String>, what: impl Into<String>) -> Self {
        Self { place, path: path.into(), what: what.into() }
    }
}
