//! What the readers of all parts of the configuration share.

use std::collections::BTreeMap;

use super::environment::RawReference;
use super::problem::{Problem, is_under, problem};

/// Turns what is written into what is meant, and keeps what is wrong.
pub(super) struct Reader<'a> {
    /// `None` where neither variables nor files are looked up.
    pub(super) environment: Option<&'a BTreeMap<String, String>>,
    /// The paths of values that do not fit; what is said of them was said.
    pub(super) unfit: Vec<String>,
    pub(super) problems: Vec<Problem>,
}

impl Reader<'_> {
    pub(super) fn secret(&mut self, reference: &RawReference, path: &str) -> Option<String> {
        // A Kubernetes Secret often ends with the newline of the editor that it was written in.
        let environment = self.environment?;
        let found = environment.get(&reference.env).map(|text| text.strip_suffix('\n').unwrap_or(text));
        let found = found.filter(|text| !text.is_empty()).map(str::to_owned);
        self.known(found, path, "the environment has no variable of this name, or an empty one")
    }

    pub(super) fn file(&mut self, file: &str, path: &str) -> Option<Vec<u8>> {
        self.environment?;
        match std::fs::read(file) {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                self.problem(path, format!("the file cannot be read: {error}"));
                None
            }
        }
    }

    pub(super) fn known<T>(&mut self, found: Option<T>, path: &str, what: &str) -> Option<T> {
        if found.is_none() {
            self.problem(path, what);
        }
        found
    }

    pub(super) fn problem(&mut self, path: &str, what: impl Into<String>) {
        // Of a list or a map that a value was taken out of, nothing follows either.
        let is_part = |unfit: &String| unfit.rsplit_once(['.', '[']).is_some_and(|(parent, _)| parent == path);
        if !self.unfit.iter().any(|unfit| is_under(path, unfit) || is_part(unfit)) {
            self.problems.push(problem(path, what));
        }
    }
}
