//! A wrong configuration is named by its places: what is written there may be a secret, and is
//! never repeated, neither on standard output nor on standard error.

use std::fs;
use std::process::Command;

use portcullis_testbed::misplaced_secrets::assert_places_are_named;

use super::PORTCULLIS;

/// Runs `portcullis admin` on a configuration, and returns what it wrote and its exit code.
fn said(text: &str, variables: &[(&str, &str)]) -> (String, Option<i32>) {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("bridge.yaml");
    fs::write(&config, text).unwrap();
    let mut command = Command::new(PORTCULLIS);
    command.arg("admin").arg("--config").arg(&config).arg("stats");
    let done = command.envs(variables.iter().copied()).output().unwrap();
    (String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned(), done.status.code())
}

#[test]
fn a_secret_in_a_wrong_place_is_named_by_the_place_and_not_repeated() {
    assert_places_are_named(said);
}
