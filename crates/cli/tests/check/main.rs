//! `portcullis check` as a process, on files as operators have them.
#![cfg(test)]

mod bridge;
mod broken;
mod forms;
mod provider_pages;
mod secrets;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// An Envoy bootstrap without a mistake.
const GOOD: &str = include_str!("good.yaml");

/// The exit code and what was written to standard output.
struct Done {
    code: i32,
    out: String,
}

/// Checks a text; `FILE` stands for the file's name in the result.
fn checked(text: &str, arguments: &[&str]) -> Done {
    checked_with(text, arguments, &[])
}

fn checked_with(text: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Done {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.arg("check").args(arguments).arg(&file).env_clear().envs(variables.iter().copied());
    let done = command.output().unwrap();
    assert!(done.stderr.is_empty(), "{}", String::from_utf8_lossy(&done.stderr));
    let out = String::from_utf8(done.stdout).unwrap().replace(&file.display().to_string(), "FILE");
    Done { code: done.status.code().unwrap(), out }
}

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn portcullis(arguments: &[&str]) -> Done {
    let done = Command::new(env!("CARGO_BIN_EXE_portcullis")).args(arguments).output().unwrap();
    Done { code: done.status.code().unwrap(), out: String::from_utf8(done.stdout).unwrap() }
}

#[test]
fn every_configuration_that_we_give_passes() {
    let envoy = project().join("envoy");
    for (file, count) in [
        ("standalone/envoy.yaml", 1),
        ("standalone/envoy-redis.yaml", 1),
        ("standalone/bridge.yaml", 1),
        ("kubernetes/gateway/envoy.yaml", 1),
        ("kubernetes/gateway/bridge.yaml", 1),
    ] {
        let done = portcullis(&["check", "--format", "json", &envoy.join(file).display().to_string()]);
        assert_eq!(done.code, 0, "{file}: {}", done.out);
        let document: Value = serde_json::from_str(&done.out).unwrap();
        assert_eq!(document["files"][0]["configurations"], count, "{file}: {}", done.out);
    }
    assert_eq!(checked(GOOD, &[]).out, "FILE: ok, 1 configuration\n");
}

#[test]
fn every_file_of_a_kustomization_that_is_a_configuration_was_checked() {
    let folder = project().join("envoy/kubernetes/gateway");
    let kustomization = fs::read_to_string(folder.join("kustomization.yaml")).unwrap();
    for file in ["envoy.yaml", "bridge.yaml"] {
        assert!(kustomization.contains(file), "{file}");
    }
}

#[test]
fn all_mistakes_are_named_at_once() {
    let edits = [
        (r#""accessToken": "1h""#, r#""accessToken": 5, "old": 1"#),
        (r#""title": "Example""#, r#""title": """#),
        (r#""type": "oidc","#, ""),
        (r#""clientId": "portcullis","#, ""),
        (r#""prefix": "/mcp""#, r#""prefix": "mcp""#),
        (r#""trustedProxies": 1"#, r#""trustedProxies": "one""#),
    ];
    let text = edits.iter().fold(GOOD.to_owned(), |text, (before, after)| text.replacen(before, after, 1));
    let done = checked(&text, &[]);
    let places: Vec<&str> = done.out.lines().map(|line| line.split(':').nth(3).unwrap().trim()).collect();
    let expected = [
        "tokenLifespans.accessToken",
        "tokenLifespans.old",
        "consent.title",
        "upstreamProviders[0].type",
        "upstreamProviders[0].oidcConfig.clientId",
        "resources[0].match.prefix",
        "trustedProxies",
    ];
    assert_eq!((done.code, places), (1, expected.to_vec()), "{}", done.out);
}

#[test]
fn the_exit_code_tells_problems_from_files_that_cannot_be_read() {
    let good = project().join("envoy/standalone/envoy.yaml").display().to_string();
    let nothing = project().join("envoy/kubernetes/kustomization.yaml").display().to_string();
    assert_eq!(portcullis(&["check", &good]).code, 0);
    let done = portcullis(&["check", &good, &nothing]);
    assert_eq!(done.code, 1);
    assert!(
        done.out.contains("kustomization.yaml:1:1: configuration: no configuration found; looked for"),
        "{}",
        done.out
    );
    assert_eq!(portcullis(&["check", &nothing, "/nowhere"]).code, 2);
    assert_eq!(portcullis(&["check"]).code, 2);
    assert_eq!(portcullis(&["check", "--format", "xml", &good]).code, 2);
}

#[test]
fn problems_are_told_as_json_too() {
    let done = checked(
        &GOOD.replacen("\"scopes\": [\"offline_access\"]", "\"scopes\": \"offline_access\"", 1),
        &["--format", "json"],
    );
    let document: Value = serde_json::from_str(&done.out).unwrap();
    let problem = &document["files"][0]["problems"][0];
    assert_eq!((&problem["line"], &problem["column"]), (&Value::from(39), &Value::from(43)));
    assert_eq!((&problem["path"], done.code), (&Value::from("resources[0].scopes"), 1));
}

#[test]
fn the_program_brings_completions_man_pages_and_a_version() {
    for shell in ["bash", "zsh", "fish"] {
        let done = portcullis(&["completions", shell]);
        assert!(done.code == 0 && done.out.contains("portcullis"), "{shell}");
    }
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(portcullis(&["man", &folder.path().join("man1").display().to_string()]).code, 0);
    for page in ["portcullis.1", "portcullis-check.1", "portcullis-admin.1", "portcullis-migrate-toolhive.1"] {
        assert!(folder.path().join("man1").join(page).is_file(), "{page}");
    }
    let version = portcullis(&["--version"]);
    assert!(version.out.starts_with(&format!("portcullis {}", env!("CARGO_PKG_VERSION"))), "{}", version.out);
}
