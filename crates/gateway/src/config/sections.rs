//! Reads a document section by section, so that one mistake does not hide another.

use portcullis_protocol::json::{self, JsonError, Limits};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::problem::Problem;
use super::whole;

/// The document's sections that have not been read yet, and what was wrong with those that have.
pub(super) struct Sections<'a> {
    map: serde_json::Map<String, Value>,
    problems: &'a mut Vec<Problem>,
}

impl<'a> Sections<'a> {
    /// Takes a document apart; `None` when it is no document at all.
    pub(super) fn of(bytes: &[u8], problems: &'a mut Vec<Problem>) -> Option<Self> {
        match json::parse_object(bytes, Limits::DOCUMENT) {
            Ok(map) => Some(Self { map, problems }),
            Err(error) => {
                problems.push(Problem::new("", describe_json(error)));
                None
            }
        }
    }

    /// Returns `true` if a section is there and was not read.
    pub(super) fn has(&self, name: &str) -> bool {
        self.map.contains_key(name)
    }

    /// Reports those of some sections that are there.
    pub(super) fn reject(&mut self, names: &[&str], what: &str) {
        for name in names {
            if self.map.remove(*name).is_some() {
                self.problems.push(Problem::new(name, what));
            }
        }
    }

    /// A section that must be there.
    pub(super) fn required<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        match self.map.remove(name) {
            Some(value) => whole::read(name, value, self.problems),
            None => {
                self.problems.push(Problem::new(name, "is required"));
                whole::stand_in(self.problems)
            }
        }
    }

    /// A section that may be absent, and what it is then.
    pub(super) fn optional<T: DeserializeOwned>(&mut self, name: &str, default: fn() -> T) -> Option<T> {
        match self.map.remove(name) {
            Some(value) => whole::read(name, value, self.problems),
            None => Some(default()),
        }
    }

    /// A section that may be absent.
    pub(super) fn or_default<T: DeserializeOwned + Default>(&mut self, name: &str) -> Option<T> {
        self.optional(name, T::default)
    }

    /// A required list, item by item.
    pub(super) fn list<T: DeserializeOwned>(&mut self, name: &str) -> Option<Vec<T>> {
        let Some(value) = self.map.remove(name) else {
            self.problems.push(Problem::new(name, "is required"));
            return Some(Vec::new());
        };
        let items: Vec<Value> = whole::read(name, value, self.problems)?;
        if items.is_empty() && self.problems.last().is_none_or(|problem| problem.path() != name) {
            self.problems.push(Problem::new(name, "must have at least one entry"));
        }
        // Collected first: every item is to be looked at, not only those up to the first mistake.
        let read: Vec<Option<T>> = items
            .into_iter()
            .enumerate()
            .map(|(index, item)| whole::read(&format!("{name}[{index}]"), item, self.problems))
            .collect();
        read.into_iter().collect()
    }

    /// Reports every section that was not read as unknown.
    pub(super) fn reject_unknown(self) {
        for name in self.map.keys() {
            // A name that no field could have is not repeated: it may be a secret in a wrong place.
            self.problems.push(if whole::is_like_a_field(name) {
                Problem::new(name, "is not a known field")
            } else {
                Problem::new("", "has an unknown field")
            });
        }
    }
}

fn describe_json(error: JsonError) -> &'static str {
    match error {
        JsonError::TooLarge => "is larger than 64 KiB",
        JsonError::TooDeep => "is nested too deeply",
        JsonError::NotUtf8 => "is not UTF-8",
        JsonError::DuplicateMember => "has a field twice",
        JsonError::NotAnObject => "must be a JSON object",
        JsonError::Syntax => "is not JSON",
    }
}
