//! Reading a document section by section, so that one mistake does not hide another.

use portcullis_protocol::json::{self, JsonError, Limits};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::problem::Problem;

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

    /// A section that must be there.
    pub(super) fn required<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        match self.map.remove(name) {
            Some(value) => self.read(name, value),
            None => {
                self.problems.push(Problem::new(name, "is required"));
                None
            }
        }
    }

    /// A section that may be absent, and what it is then.
    pub(super) fn optional<T: DeserializeOwned>(&mut self, name: &str, default: fn() -> T) -> Option<T> {
        match self.map.remove(name) {
            Some(value) => self.read(name, value),
            None => Some(default()),
        }
    }

    /// A section that may be absent.
    pub(super) fn or_default<T: DeserializeOwned + Default>(&mut self, name: &str) -> Option<T> {
        self.optional(name, T::default)
    }

    /// A required list, item by item.
    pub(super) fn list<T: DeserializeOwned>(&mut self, name: &str) -> Option<Vec<T>> {
        let items: Vec<Value> = self.required(name)?;
        if items.is_empty() {
            self.problems.push(Problem::new(name, "must have at least one entry"));
        }
        // Collected first: every item is to be looked at, not only those up to the first mistake.
        let read: Vec<Option<T>> =
            items.into_iter().enumerate().map(|(index, item)| self.read(&format!("{name}[{index}]"), item)).collect();
        read.into_iter().collect()
    }

    fn read<T: DeserializeOwned>(&mut self, path: &str, value: Value) -> Option<T> {
        match serde_path_to_error::deserialize(value) {
            Ok(section) => Some(section),
            Err(error) => {
                let inner = error.path().to_string();
                let path = match inner.as_str() {
                    "." => path.to_owned(),
                    deeper if deeper.starts_with('[') => format!("{path}{deeper}"),
                    deeper => format!("{path}.{deeper}"),
                };
                self.problems.push(Problem::new(&path, describe(error.inner())));
                None
            }
        }
    }

    /// Every section that nobody has read is unknown.
    pub(super) fn refuse_the_rest(self) {
        for name in self.map.keys() {
            self.problems.push(Problem::new(name, "is not a known field"));
        }
    }
}

/// serde's message without the value it quotes: a secret pasted into the wrong field must not reach
/// the log.
fn describe(error: &serde_json::Error) -> String {
    let message = error.to_string();
    if message.starts_with("missing field") || message.starts_with("unknown field") {
        return message;
    }
    match message.rsplit_once("expected ") {
        Some((_, expected)) => format!("expected {expected}"),
        None => "has a value that is not allowed here".to_owned(),
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
