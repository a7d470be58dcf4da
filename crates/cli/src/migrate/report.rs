//! The report: line by line, what became of the files.

use std::collections::BTreeSet;
use std::ptr;

use crate::check::node::{Content, Node};
use crate::check::problem::Problem;
use crate::check::text::Place;
use crate::migrate::field::Field;
use crate::terminal::plain;

/// What became of each field. It repeats names of the files, and no values: a secret may be in a
/// wrong place.
#[derive(Debug, Default)]
pub(crate) struct Report {
    lines: Vec<Line>,
    /// The values that a line is about, by their addresses: a value is in one place as long as the
    /// files are.
    covered: BTreeSet<usize>,
}

/// A line, in the order of the files.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    file: String,
    place: Place,
    path: String,
    outcome: Outcome,
    what: String,
}

/// What became of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// It is in the configuration, or is not needed there.
    Done,
    /// It is not in the configuration.
    Left,
    /// Nothing can be made of the files.
    Refused,
}

impl Report {
    /// A field is in the configuration, at `target`.
    pub(crate) fn carried(&mut self, field: &Field<'_>, target: &str) {
        self.note(field, format!("carried over to `{target}`"));
    }

    /// A field needs nothing more than is said.
    pub(crate) fn note(&mut self, field: &Field<'_>, what: impl Into<String>) {
        self.add(field, Outcome::Done, what.into());
    }

    /// A field is not in the configuration.
    pub(crate) fn left(&mut self, field: &Field<'_>, what: impl AsRef<str>) {
        self.add(field, Outcome::Left, format!("not carried over: {}", what.as_ref()));
    }

    /// A field is in the configuration, and more has to be done than to copy it. Of a map each
    /// field is still to be reported.
    pub(crate) fn changed(&mut self, field: &Field<'_>, what: impl Into<String>) {
        self.say(field, Outcome::Left, what.into());
    }

    /// A field needs nothing more than is said. Of a map each field is still to be reported.
    pub(crate) fn about(&mut self, field: &Field<'_>, what: impl Into<String>) {
        self.say(field, Outcome::Done, what.into());
    }

    /// A field of which nothing can be made.
    pub(crate) fn refuse(&mut self, field: &Field<'_>, what: impl Into<String>) {
        self.add(field, Outcome::Refused, what.into());
    }

    /// A file, or a text inside it, that cannot be read.
    pub(crate) fn unreadable(&mut self, file: &str, problem: &Problem) {
        let Problem { place, path, what } = problem;
        let line = Line {
            file: file.to_owned(),
            place: *place,
            path: path.clone(),
            outcome: Outcome::Refused,
            what: what.clone(),
        };
        self.lines.push(line);
    }

    /// A field that says nothing of its own, such as the kind of what follows.
    pub(crate) fn cover(&mut self, field: &Field<'_>) {
        self.covered.insert(address(field.node));
    }

    /// Reports each field of a document that no line is about.
    pub(crate) fn rest(&mut self, field: &Field<'_>) {
        if self.covered.contains(&address(field.node)) {
            return;
        }
        match &field.node.content {
            // What is switched off is not missed.
            Content::Null | Content::Bool(false) => {}
            Content::List(items) if !items.is_empty() => field.items().iter().for_each(|item| self.rest(item)),
            Content::Map(fields) if !fields.is_empty() => {
                field.members().iter().for_each(|(_, member)| self.rest(member));
            }
            Content::List(_) | Content::Map(_) => {}
            Content::Bool(true) | Content::Number(_) | Content::String(_) => {
                self.left(field, "this field is not known to the command; compare it with docs/config.md");
            }
        }
    }

    /// Returns `true` if no line is about a field or what is in it.
    pub(crate) fn is_untouched(&self, field: &Field<'_>) -> bool {
        !self.covered.contains(&address(field.node))
            && field.items().iter().all(|item| self.is_untouched(item))
            && field.members().iter().all(|(_, member)| self.is_untouched(member))
    }

    /// Returns `true` if nothing can be made of the files.
    pub(crate) fn is_refused(&self) -> bool {
        self.lines.iter().any(|line| line.outcome == Outcome::Refused)
    }

    /// Returns `true` if something is not in the configuration.
    pub(crate) fn has_left(&self) -> bool {
        self.lines.iter().any(|line| line.outcome == Outcome::Left)
    }

    /// The lines, in the order of these files; `FILE:LINE: path: what`. Of files of which nothing
    /// can be made, why.
    pub(crate) fn lines(&self, files: &[&str]) -> Vec<String> {
        let refused = self.is_refused();
        let mut lines: Vec<&Line> =
            self.lines.iter().filter(|line| !refused || line.outcome == Outcome::Refused).collect();
        let of_file = |line: &Line| files.iter().position(|file| *file == line.file);
        lines.sort_by_key(|line| (of_file(line), line.place));
        lines.dedup();
        lines.into_iter().map(Line::written).collect()
    }

    fn add(&mut self, field: &Field<'_>, outcome: Outcome, what: String) {
        self.cover(field);
        self.say(field, outcome, what);
    }

    fn say(&mut self, field: &Field<'_>, outcome: Outcome, what: String) {
        if !matches!(field.node.content, Content::Map(_)) {
            self.cover(field);
        }
        let (file, path) = (field.file.to_owned(), field.path.clone());
        self.lines.push(Line { file, place: field.place, path, outcome, what });
    }
}

impl Line {
    fn written(&self) -> String {
        let path = if self.path.is_empty() { "document" } else { &self.path };
        let place = match self.outcome {
            Outcome::Refused => format!("{}:{}", self.place.line, self.place.column),
            Outcome::Done | Outcome::Left => self.place.line.to_string(),
        };
        format!("{}:{place}: {}: {}", plain(&self.file), plain(path), plain(&self.what))
    }
}

fn address(node: &Node) -> usize {
    ptr::from_ref(node).addr()
}
