//! The workspace's crates, as cargo tells them: what each depends on, and its features.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use crate::files::project;

/// One crate of the workspace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Crate {
    /// The direct dependencies that it is built with, not those of its tests.
    pub dependencies: BTreeSet<String>,
    /// The features that its manifest declares, without `default`.
    pub features: BTreeSet<String>,
}

/// What a crate of the product may stand on and offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowed<'a> {
    /// Its name.
    pub name: &'a str,
    /// The crates of this workspace that it may depend on.
    pub dependencies: &'a [&'a str],
    /// The features that it may have.
    pub features: &'a [&'a str],
}

/// The crates of this workspace, by name.
///
/// # Errors
///
/// What cargo says if it fails.
pub fn crates() -> Result<BTreeMap<String, Crate>, String> {
    let metadata = cargo(&["metadata", "--format-version", "1", "--no-deps", "--offline"])?;
    let metadata: Value = serde_json::from_str(&metadata).map_err(|error| format!("cargo metadata: {error}"))?;
    let packages = list(&metadata, "packages").iter().map(|package| {
        let built_with = list(package, "dependencies").iter().filter(|dependency| text(dependency, "kind").is_none());
        let dependencies = built_with.filter_map(|dependency| text(dependency, "name").map(str::to_owned)).collect();
        let features =
            package.get("features").and_then(Value::as_object).into_iter().flat_map(|features| features.keys());
        let features = features.filter(|name| *name != "default").cloned().collect();
        (text(package, "name").unwrap_or_default().to_owned(), Crate { dependencies, features })
    });
    Ok(packages.collect())
}

/// The crates that `package` is built with for `target`: the whole graph, not only its direct
/// dependencies.
///
/// # Errors
///
/// What cargo says if it fails.
pub fn graph(package: &str, target: &str) -> Result<BTreeSet<String>, String> {
    let tree = cargo(&["tree", "-p", package, "-e", "normal", "--target", target, "--prefix", "none"])?;
    Ok(tree.lines().filter_map(|line| line.split(' ').next().map(str::to_owned)).collect())
}

/// The dependencies and features of the product's crates that `table` does not allow, the crates of
/// `folders` that it does not list, and those it lists that are not there.
#[must_use]
pub fn not_allowed(crates: &BTreeMap<String, Crate>, own: &str, table: &[Allowed<'_>]) -> Vec<String> {
    let mut found = Vec::new();
    for allowed in table {
        let Some(found_crate) = crates.get(allowed.name) else {
            found.push(format!("{}: there is no such crate", allowed.name));
            continue;
        };
        let ours = found_crate.dependencies.iter().filter(|name| name.starts_with(own));
        for name in ours.filter(|name| !allowed.dependencies.contains(&name.as_str())) {
            found.push(format!("{} depends on {name}", allowed.name));
        }
        for name in found_crate.features.iter().filter(|name| !allowed.features.contains(&name.as_str())) {
            found.push(format!("{} has the feature {name}", allowed.name));
        }
    }
    found
}

fn cargo(arguments: &[&str]) -> Result<String, String> {
    let run = Command::new(env!("CARGO")).args(arguments).current_dir(project()).output();
    let output = run.map_err(|error| format!("cargo: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}
