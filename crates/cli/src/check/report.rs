//! What the check says: a line for each problem, or one JSON document.

use std::io::{self, Write as _};

use serde_json::{Value, json};

use crate::check::problem::Problem;
use crate::say::say;
use crate::terminal::{json as escaped, plain};

/// What was found out about a file.
pub(crate) struct Checked {
    /// As it was named.
    pub(crate) file: String,
    pub(crate) outcome: Outcome,
}

pub(crate) enum Outcome {
    /// It cannot be read, for this reason.
    Unreadable(String),
    /// How many configurations it has, and everything that is wrong with them.
    Read(usize, Vec<Problem>),
}

impl Checked {
    /// The exit code for this file alone: 0, 1 for problems, 2 where it cannot be read.
    pub(crate) fn exit_code(&self) -> u8 {
        match &self.outcome {
            Outcome::Unreadable(_) => 2,
            Outcome::Read(_, problems) => u8::from(!problems.is_empty()),
        }
    }
}

/// Writes a line for each problem, and one for each file without any.
pub(crate) fn text(files: &[Checked]) {
    let mut to = io::stdout().lock();
    for Checked { file, outcome } in files {
        let file = plain(file);
        match outcome {
            Outcome::Unreadable(why) => say(&mut to, &format!("{file}: {}", plain(why))),
            Outcome::Read(count, problems) if problems.is_empty() => {
                let noun = if *count == 1 { "configuration" } else { "configurations" };
                say(&mut to, &format!("{file}: ok, {count} {noun}"));
            }
            Outcome::Read(_, problems) => {
                for Problem { place, path, what } in problems {
                    let path = if path.is_empty() { "configuration" } else { path };
                    let line = format!("{file}:{}:{}: {}: {}", place.line, place.column, plain(path), plain(what));
                    say(&mut to, &line);
                }
            }
        }
    }
    let _ = to.flush();
}

/// Writes one JSON document.
pub(crate) fn json(files: &[Checked]) {
    let files: Vec<Value> = files.iter().map(document).collect();
    say(&mut io::stdout(), &escaped(&json!({ "files": files })));
}

fn document(checked: &Checked) -> Value {
    match &checked.outcome {
        Outcome::Unreadable(why) => json!({ "file": checked.file, "error": why, "problems": [] }),
        Outcome::Read(count, problems) => {
            let problems: Vec<Value> = problems
                .iter()
                .map(|Problem { place, path, what }| {
                    json!({ "line": place.line, "column": place.column, "path": path, "problem": what })
                })
                .collect();
            json!({ "file": checked.file, "configurations": count, "problems": problems })
        }
    }
}
