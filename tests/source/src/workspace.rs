//! The workspace's crates, as cargo tells them: what each depends on, and its features.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use crate::files::{Files, project};

/// One crate of the workspace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Crate {
    /// The direct dependencies that it is built with, not those of its tests.
    pub dependencies: BTreeSet<String>,
    /// The features that its manifest declares, without `default`.
    pub features: BTreeSet<String>,
}

/// The dependencies and features that a crate of the product may have.
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

/// The dependencies and features that `table` does not allow, and the crates in it that are not
/// there. Of the dependencies, those count whose name begins with `own`.
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

/// The manifests that do not keep the workspace's lints: those for which `wanted` is true must take
/// them over as they are; those for which `with_unsafe` is true may instead repeat all of them but
/// `unsafe_code`.
///
/// # Errors
///
/// The workspace's manifest is missing or has no lints.
pub fn lints_not_kept(
    manifests: &Files,
    wanted: impl Fn(&str) -> bool,
    with_unsafe: impl Fn(&str) -> bool,
) -> Result<Vec<String>, String> {
    let workspace = manifests.text("Cargo.toml").ok_or("Cargo.toml: no such file")?;
    let sections = workspace.split("[workspace.lints.").skip(1);
    let lines = sections.flat_map(|section| section.lines().skip(1).take_while(|line| !line.starts_with('[')));
    let rules: Vec<&str> = lines.filter(|line| line.contains(" = ") && !line.starts_with("unsafe_code")).collect();
    if rules.is_empty() {
        return Err("Cargo.toml: the workspace has no lints".to_owned());
    }
    let mut found = Vec::new();
    for (path, manifest) in manifests.iter().filter(|(path, _)| wanted(path) || with_unsafe(path)) {
        if manifest.contains("[lints]\nworkspace = true") {
            continue;
        }
        if !with_unsafe(path) {
            found.push(format!("{path} does not take over the workspace's lints"));
            continue;
        }
        let lost = rules.iter().filter(|rule| !manifest.lines().any(|line| line == **rule));
        found.extend(lost.map(|rule| format!("{path} does not keep `{rule}`")));
    }
    Ok(found)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dependency_or_a_feature_outside_the_table_is_found() {
        let table = [
            Allowed { name: "our-core", dependencies: &[], features: &["schema"] },
            Allowed { name: "our-shell", dependencies: &["our-core"], features: &[] },
            Allowed { name: "our-cli", dependencies: &[], features: &[] },
        ];
        let crates = BTreeMap::from([
            crate_with("our-core", &["serde", "our-shell"], &["schema", "fakes"]),
            crate_with("our-shell", &["our-core"], &[]),
            crate_with("other", &["our-shell"], &["fakes"]),
        ]);
        let expected =
            ["our-core depends on our-shell", "our-core has the feature fakes", "our-cli: there is no such crate"];
        assert_eq!(not_allowed(&crates, "our-", &table), expected);
    }

    #[test]
    fn lints_that_a_crate_does_not_keep_are_found() {
        let workspace = "[workspace.lints.rust]\nunsafe_code = \"forbid\"\nmissing_docs = \"deny\"\n\n[workspace.lints.clippy]\ntodo = \"deny\"\n";
        let kept = "[lints]\nworkspace = true\n";
        let own = "[lints.rust]\nmissing_docs = \"deny\"\n";
        let files =
            [("Cargo.toml", workspace), ("a/Cargo.toml", kept), ("b/Cargo.toml", own), ("host/Cargo.toml", own)];
        let found = lints_not_kept(&Files::from(files), |path| path != "Cargo.toml", |path| path == "host/Cargo.toml");
        let expected = [
            "b/Cargo.toml does not take over the workspace's lints",
            "host/Cargo.toml does not keep `todo = \"deny\"`",
        ];
        assert_eq!(found.unwrap(), expected);
        assert!(lints_not_kept(&Files::from([("Cargo.toml", "")]), |_| true, |_| true).is_err());
    }

    #[test]
    fn this_workspace_is_read() {
        let crates = crates().unwrap();
        assert!(crates["portcullis-gateway"].dependencies.contains("portcullis-protocol"));
        assert!(crates["portcullis-gateway"].features.contains("schema"));
        assert!(!crates["portcullis-gateway"].dependencies.contains("proptest"), "tests' dependencies do not count");
    }

    fn crate_with(name: &str, dependencies: &[&str], features: &[&str]) -> (String, Crate) {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        (name.to_owned(), Crate { dependencies: set(dependencies), features: set(features) })
    }
}
