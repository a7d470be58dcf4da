//! Checks a plugin configuration by the filter's own code.

use portcullis_gateway::config::{self, Config};

use crate::check::json;
use crate::check::node::Node;
use crate::check::problem::Problem;
use crate::check::text::Text;

/// Checks a configuration that is JSON text. With `secrets`, keys and secrets in the environment
/// are checked, too.
pub(crate) fn check_text(text: &Text, secrets: bool) -> Vec<Problem> {
    match json::read(text) {
        Ok((node, twice)) if twice.is_empty() => check(text.content().as_bytes(), &node, secrets),
        Ok((_, twice)) => twice,
        Err(problem) => vec![problem],
    }
}

/// Checks a configuration that is a part of a YAML file: what Envoy makes JSON of.
pub(crate) fn check_tree(node: &Node, secrets: bool) -> Vec<Problem> {
    check(node.to_json().to_string().as_bytes(), node, secrets)
}

fn check(document: &[u8], node: &Node, secrets: bool) -> Vec<Problem> {
    let lookup = |name: &str| std::env::var(name).ok();
    let problems = Config::check(document, secrets.then_some(&lookup as config::Environment<'_>));
    let placed =
        |problem: &config::Problem| Problem::new(node.place_of(problem.path()), problem.path(), problem.what());
    problems.iter().map(placed).collect()
}
