//! The state of reading a configuration, shared by its parts.

use std::collections::BTreeMap;

use super::environment::RawReference;
use super::problem::{Problem, is_under, problem};

/// Checks the written configuration and collects its problems.
pub(super) struct Reader<'a> {
    /// `None` where neither variables nor files are looked up.
    pub(super) environment: Option<&'a BTreeMap<String, String>>,
    /// The paths of values that do not fit; what is said of them was said.
    pub(super) unfit: Vec<String>,
    pub(super) problems: Vec<Problem>,
}

impl Reader<'_> {
    pub(super) fn secret(&mut self, reference: &RawReference, path: &str) -> Option<String> {
        // A Kubernetes Secret often ends with the newline of an editor.
        let environment = self.environment?;
        let found = environment.get(&reference.env).map(|text| text.strip_suffix('\n').unwrap_or(text));
        let found = found.filter(|text| !text.is_empty()).map(str::to_owned);
        self.known(found, path, "the environment variable is not set or empty")
    }

    pub(super) fn file(&mut self, file: &str, path: &str) -> Option<Vec<u8>> {
        self.environment?;
        match std::fs::read(file) {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                self.problem(path, format!("cannot read the file: {error}"));
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
