//! The environment: overrides of fields, and references to secrets.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::tree::Node;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "the name of an environment variable, as { env: NAME }")]
pub(super) struct RawReference {
    pub(super) env: String,
}

/// Applies the overrides of the environment: `PORTCULLIS_BRIDGE__REDIS__ACL_USER_CONFIG__…` sets
/// `redis.aclUserConfig.…`. A value is read as YAML, or as plain text if it is not YAML or its
/// field takes text.
pub(super) fn apply_overrides(file: &mut Node, environment: &BTreeMap<String, String>) {
    // In the order of names, so that a map and one of its fields can both be set.
    for (name, text) in environment {
        let Some(path) = name.strip_prefix(PREFIX) else { continue };
        file.put(&mut path.split("__").map(camel_case), Node::of_variable(text.clone()));
    }
}

fn camel_case(part: &str) -> String {
    let mut name = String::new();
    for (index, word) in part.split('_').enumerate() {
        let mut letters = word.chars();
        match letters.next() {
            Some(first) if index > 0 => name.push(first.to_ascii_uppercase()),
            Some(first) => name.push(first.to_ascii_lowercase()),
            None => {}
        }
        name.extend(letters.map(|letter| letter.to_ascii_lowercase()));
    }
    name
}

const PREFIX: &str = "PORTCULLIS_BRIDGE__";
