//! Checks a configuration where it is not used: without Redis, and if need be without anything
//! else.

use std::collections::BTreeMap;

use super::problem::Problem;
use super::raw::parse;

/// Returns every problem of a configuration. With an environment, overrides are applied, secrets
/// are looked up and files are read as for [`Config::read`](super::Config::read); without, only
/// what is written is checked. The `admin` section's secrets are never looked up: the service's
/// environment need not hold them.
#[must_use]
pub fn check(text: &str, environment: Option<&BTreeMap<String, String>>) -> Vec<Problem> {
    let mut problems = match parse(text, environment) {
        Ok((raw, mut reader)) => {
            reader.config(raw);
            reader.problems
        }
        Err(problems) => problems,
    };
    if let Ok((raw, mut reader)) = parse(text, None) {
        reader.admin(raw);
        let more: Vec<Problem> = reader.problems.into_iter().filter(|problem| !problems.contains(problem)).collect();
        problems.extend(more);
    }
    problems
}
