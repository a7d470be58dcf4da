//! Reads a JSON value into a type and finds everything in it that does not fit.
//!
//! serde stops at the first mistake. Here the mistake is reported, what is wrong is taken out or
//! replaced by a stand-in that fits, and the value is read again. What is read from a value with a
//! reported problem is only good for finding more problems: the checks that follow leave out
//! everything under a reported path.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use serde_path_to_error::Segment;

use super::problem::Problem;

/// Reads a value that is written at a path of the document.
///
/// Returns `None` where nothing of the type can be made of it.
pub(super) fn read<T: DeserializeOwned>(path: &str, value: Value, problems: &mut Vec<Problem>) -> Option<T> {
    Reader { value, path, problems, tried: BTreeMap::new() }.read()
}

/// Makes a value of a type whose field is absent, which was reported already.
pub(super) fn stand_in<T: DeserializeOwned>(problems: &mut Vec<Problem>) -> Option<T> {
    let mut tried = BTreeMap::new();
    tried.insert(Place::new(), Tried { removed: true, ..Tried::default() });
    Reader { value: Value::Null, path: "", problems, tried }.read()
}

/// A way into a value.
type Place = Vec<Step>;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Field(String),
    Item(usize),
}

/// What was done about a place that does not fit.
#[derive(Default)]
struct Tried {
    removed: bool,
    stand_ins: usize,
    /// A word that fits, by serde's message.
    word: Option<String>,
}

struct Reader<'a> {
    value: Value,
    path: &'a str,
    problems: &'a mut Vec<Problem>,
    tried: BTreeMap<Place, Tried>,
}

/// What serde stopped at.
struct Fault {
    place: Place,
    kind: FaultKind,
    message: String,
}

#[derive(PartialEq, Eq)]
enum FaultKind {
    Missing,
    Unknown,
    Unfit,
}

impl Reader<'_> {
    fn read<T: DeserializeOwned>(mut self) -> Option<T> {
        for _ in 0..MAX_REPAIRS {
            let fault = match serde_path_to_error::deserialize::<_, T>(&self.value) {
                Ok(read) => return Some(read),
                Err(error) => self.locate::<T>(&error),
            };
            if !self.is_known(&fault) {
                self.problems.push(self.describe(&fault));
            }
            if !self.repair(&fault) {
                return None;
            }
        }
        None
    }

    /// Whether a fault was reported, or may only follow from one that was: under a wrong `type` it
    /// is not known which fields there should be.
    fn is_known(&self, fault: &Fault) -> bool {
        let guessed = fault
            .place
            .split_last()
            .is_some_and(|(_, parent)| self.tried.contains_key(&[parent, &[Step::Field("type".to_owned())]].concat()));
        (guessed && fault.kind != FaultKind::Unfit) || self.tried.keys().any(|known| fault.place.starts_with(known))
    }

    fn locate<T: DeserializeOwned>(&self, error: &serde_path_to_error::Error<serde_json::Error>) -> Fault {
        let message = error.inner().to_string();
        let mut place = Place::new();
        for segment in error.path() {
            let step = match segment {
                Segment::Map { key } | Segment::Enum { variant: key } => Step::Field(key.clone()),
                Segment::Seq { index } => Step::Item(*index),
                Segment::Unknown => break,
            };
            place.push(step);
        }
        if let Some(name) = message.strip_prefix("missing field ").and_then(quoted) {
            place.push(Step::Field(name));
            return Fault { place, kind: FaultKind::Missing, message };
        }
        if let Some(name) = message.strip_prefix("unknown field ").and_then(quoted) {
            let unknown = Step::Field(name);
            if place.last() != Some(&unknown) {
                place.push(unknown);
            }
            return Fault { place, kind: FaultKind::Unknown, message };
        }
        // A variant's name is a step for serde even where the value is a word alone.
        while !place.is_empty() && self.at(&place).is_none() {
            place.pop();
        }
        self.blame::<T>(&mut place, &message);
        Fault { place, kind: FaultKind::Unfit, message }
    }

    /// serde reads the fields of a section with a `type` from a copy and no longer knows which one
    /// it was: it is the one without which the error is another.
    fn blame<T: DeserializeOwned>(&self, place: &mut Place, message: &str) {
        let Some(Value::Object(fields)) = self.at(place) else { return };
        if !fields.get("type").is_some_and(Value::is_string) {
            return;
        }
        for name in fields.keys().filter(|name| *name != "type") {
            let mut without = self.value.clone();
            if let Some(Value::Object(fields)) = at_mut(&mut without, place) {
                fields.remove(name);
            }
            let same = serde_path_to_error::deserialize::<_, T>(&without)
                .err()
                .is_some_and(|error| error.inner().to_string() == message);
            if !same {
                place.push(Step::Field(name.clone()));
                return;
            }
        }
    }

    fn at(&self, place: &[Step]) -> Option<&Value> {
        place.iter().try_fold(&self.value, |value, step| match step {
            Step::Field(name) => value.get(name),
            Step::Item(index) => value.get(index),
        })
    }

    fn describe(&self, fault: &Fault) -> Problem {
        let (known, rest) = match fault.place.split_last() {
            // A name that no field could have is not repeated: it may be a secret in a wrong place.
            Some((Step::Field(name), parent)) if fault.kind == FaultKind::Unknown && !is_like_a_field(name) => {
                (parent, "has an unknown field")
            }
            _ => (fault.place.as_slice(), "is not a known field"),
        };
        let mut path = self.path.to_owned();
        for step in known {
            match step {
                Step::Field(name) => {
                    path.push('.');
                    path.push_str(name);
                }
                Step::Item(index) => path.push_str(&format!("[{index}]")),
            }
        }
        let what = match fault.kind {
            FaultKind::Missing => "is required".to_owned(),
            FaultKind::Unknown => format!("{rest}{}", known_fields(&fault.message)),
            FaultKind::Unfit => expected(&fault.message),
        };
        Problem::new(&path, what)
    }

    /// Takes out what does not fit, or puts the next stand-in there. Returns `false` where no more
    /// is to be tried.
    fn repair(&mut self, fault: &Fault) -> bool {
        let tried = self.tried.entry(fault.place.clone()).or_default();
        if tried.word.is_none() {
            let (_, words) = fault.message.rsplit_once("expected ").unwrap_or_default();
            tried.word = quoted(words.strip_prefix("one of ").unwrap_or(words));
        }
        let parent = fault.place.split_last();
        if let (false, Some((Step::Field(name), parent))) = (tried.removed, parent)
            && let Some(Value::Object(fields)) = at_mut(&mut self.value, parent)
        {
            tried.removed = true;
            if fields.remove(name).is_some() {
                return true;
            }
        }
        while let Some(next) = stand_ins(tried) {
            tried.stand_ins = tried.stand_ins.saturating_add(1);
            let Some(next) = next else { continue };
            return put(&mut self.value, &fault.place, next);
        }
        false
    }
}

/// The stand-in that comes next; `None` inside for one that cannot be made, outside at the end.
fn stand_ins(tried: &Tried) -> Option<Option<Value>> {
    let word = || tried.word.clone();
    Some(match tried.stand_ins {
        0 => Some(json!("")),
        1 => word().map(Value::String),
        2 => word().map(|word| json!({ word: "" })),
        3 => Some(json!(0)),
        4 => Some(json!(false)),
        5 => Some(json!([])),
        6 => Some(json!({})),
        _ => return None,
    })
}

fn at_mut<'a>(value: &'a mut Value, place: &[Step]) -> Option<&'a mut Value> {
    place.iter().try_fold(value, |value, step| match step {
        Step::Field(name) => value.get_mut(name),
        Step::Item(index) => value.get_mut(index),
    })
}

fn put(value: &mut Value, place: &[Step], new: Value) -> bool {
    let (parent, step) = match place.split_last() {
        Some((Step::Field(name), parent)) => (at_mut(value, parent), name),
        Some((Step::Item(_), _)) | None => {
            let found = at_mut(value, place);
            return found.map(|found| *found = new).is_some();
        }
    };
    match parent {
        Some(Value::Object(fields)) => {
            fields.insert(step.clone(), new);
            true
        }
        Some(_) | None => false,
    }
}

/// Returns the word in backticks that a text begins with.
fn quoted(text: &str) -> Option<String> {
    text.strip_prefix('`')?.split_once('`').map(|(word, _)| word.to_owned())
}

fn known_fields(message: &str) -> String {
    let Some((_, names)) = message.rsplit_once(", expected ") else { return String::new() };
    let names: Vec<&str> = names.split('`').skip(1).step_by(2).collect();
    format!("; known here: {}", names.join(", "))
}

/// serde's message without the value that it quotes, which may be a secret in a wrong place, and
/// without Rust's names.
fn expected(message: &str) -> String {
    let Some((_, expected)) = message.rsplit_once("expected ") else {
        return "has a value that is not allowed here".to_owned();
    };
    let expected = match expected {
        "a string" => "text",
        "a sequence" => "a list",
        "a boolean" => "true or false",
        "u8" => "a whole number up to 255",
        "u32" => "a whole number up to 4294967295",
        "u64" => "a whole number",
        "a map" | "map" => "an object",
        "map with a single key" => "an object with one field",
        "string or map" => "an object",
        "tuple variant" | "newtype variant" | "unit variant" => "another form",
        expected if expected.starts_with("struct ") || expected.starts_with("internally tagged enum") => "an object",
        expected => expected,
    };
    format!("must be {expected}").replace('`', "\"")
}

pub(super) fn is_like_a_field(name: &str) -> bool {
    name.len() <= 32 && name.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_')
}

/// Bounds the work on a document that is wrong everywhere.
const MAX_REPAIRS: usize = 200;
