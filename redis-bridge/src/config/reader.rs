//! The state of reading a configuration, shared by its parts.

use std::collections::BTreeMap;

use super::environment::RawReference;
use super::problem::{Problem, problem};

/// Checks the written configuration and collects its problems.
pub(super) struct Reader<'a> {
    pub(super) environment: &'a BTreeMap<String, String>,
    pub(super) problems: Vec<Problem>,
}

impl Reader<'_> {
    pub(super) fn secret(&mut self, reference: &RawReference, path: &str) -> Option<String> {
        // A Kubernetes Secret often ends with the newline of an editor.
        let found = self.environment.get(&reference.env).map(|text| text.strip_suffix('\n').unwrap_or(text));
        let found = found.filter(|text| !text.is_empty()).map(str::to_owned);
        self.known(found, path, "the environment variable is not set or empty")
    }

    pub(super) fn file(&mut self, file: &str, path: &str) -> Option<Vec<u8>> {
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
        self.problems.push(problem(path, what));
    }
}
