//! A wrong configuration is named by its places: what is written there may be a secret, and is
//! never repeated, neither on standard output nor on standard error, by any way to start the
//! program.

use std::fs;
use std::process::Command;

use portcullis_testbed::misplaced_secrets::assert_places_are_named;
use portcullis_testbed::paths;
use portcullis_testbed::redis::{LEAST_ACL, RedisServer, USER};

/// What the program says, started in this way with these variables, and its exit code.
fn said(text: &str, variables: &[(&str, &str)], arguments: &[&str]) -> (String, Option<i32>) {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("bridge.yaml");
    fs::write(&config, text).unwrap();
    let mut command = Command::new(paths::bridge());
    let done = command.arg("--config").arg(&config).args(arguments).envs(variables.iter().copied()).output().unwrap();
    (String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned(), done.status.code())
}

const WAYS: [&[&str]; 3] = [&[], &["--check"], &["--check", "--log", "text"]];

#[test]
fn a_secret_in_a_wrong_place_is_named_by_the_place_and_not_repeated() {
    for arguments in WAYS {
        assert_places_are_named(|text, variables| said(text, variables, arguments));
    }
}

#[test]
fn a_password_is_not_shown_whether_it_is_right_or_wrong_and_however_much_is_logged() {
    let server = RedisServer::start(&LEAST_ACL.replace("bridge-password", "hunter2"), &[]);
    let text = format!("listen: {{ unix: /b }}\nredis: {{ addr: \"127.0.0.1:{}\", {USER} }}", server.port);
    for (password, expected) in [("hunter2\n", Some(0)), ("hunter2!", Some(1))] {
        let variables = [("REDIS_USERNAME", "toolhive-auth"), ("REDIS_PASSWORD", password), ("RUST_LOG", "trace")];
        let (said, code) = said(&text, &variables, &["--check"]);
        assert_eq!(code, expected, "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}
