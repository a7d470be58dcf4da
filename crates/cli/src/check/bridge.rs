//! Checks a configuration of `redis-bridge` by the bridge's own code.

use portcullis_redis_bridge::config;

use crate::check::node::Node;
use crate::check::problem::Problem;
use crate::check::text::{Place, Text};
use crate::environment;

/// Checks a configuration, the `admin` section included. With `secrets`, variables are looked up,
/// overrides applied and files read, too.
pub(crate) fn check(text: &Text, node: &Node, secrets: bool) -> Vec<Problem> {
    let variables = secrets.then(environment::variables);
    let problems = config::check(text.content(), variables.as_ref());
    problems.into_iter().map(|problem| placed(problem, text, node)).collect()
}

fn placed(problem: config::Problem, text: &Text, node: &Node) -> Problem {
    let is_whole = problem.path.starts_with('(');
    let place: Place = match problem.place {
        Some((line, column)) => text.place(letter(text, line, column)),
        None if is_whole => node.place,
        None => node.place_of(&problem.path),
    };
    Problem::new(place, if is_whole { String::new() } else { problem.path }, problem.what)
}

/// The byte at a line and a column of letters.
fn letter(text: &Text, line: usize, column: usize) -> usize {
    let start = text.offset(line, 1);
    let rest = text.content().get(start..).unwrap_or_default();
    let width: usize = rest.chars().take(column.saturating_sub(1)).map(char::len_utf8).sum();
    start.saturating_add(width)
}
