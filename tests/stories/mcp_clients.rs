//! The official clients and the official conformance suite go through the whole of it: refused,
//! discovery, registration, consent, login, token, tool call, refresh, tool call. Two workers, so
//! that no step relies on reaching the same one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use portcullis_testbed::oauth_client::claims;
use portcullis_testbed::paths;
use portcullis_testbed::testbed::Testbed;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::machine;

#[tokio::test]
async fn the_typescript_client_logs_in_calls_a_tool_and_refreshes() {
    let bed = testbed().await;
    let client = paths::in_tests("clients/client.mjs");
    check_client(bed, Path::new("node"), &client, "alice").await;
}

#[tokio::test]
async fn the_official_clients_log_in_again_by_themselves_when_the_login_at_the_provider_is_over() {
    let error = |code: &str| json!({ "mode": "error", "status": 400, "error": code, "times": 1 });
    let typescript = (PathBuf::from("node"), paths::in_tests("clients/client_again.mjs"));
    let python = (paths::python(), paths::in_tests("clients/client_again.py"));
    let bed = machine::testbed().workers(2).start().await;
    let control = format!("{}/_control/", bed.idp());
    // Where nothing can be refreshed, the client has to get as far as its first call meanwhile.
    for (end, life, clients) in [
        (json!({ "revokeRefreshTokens": true }), 1, vec![&typescript, &python]),
        (json!({ "refreshTokens": false }), 4, vec![&typescript]),
        (json!({ "token": error("interaction_required") }), 1, vec![&typescript]),
        (json!({ "token": error("invalid_request") }), 1, vec![&typescript]),
    ] {
        let mut change = end.clone();
        change["accessTokenTtl"] = json!(60);
        for (program, script) in clients {
            bed.set_idp(json!({ "accessTokenTtl": life, "refreshTokens": end["refreshTokens"] })).await;
            let (change, life) = (change.to_string(), life.to_string());
            let steps = run(program, script, &[&bed.resource(), &control, &change, &life]).await;
            let names: Vec<&str> = steps.iter().filter_map(|step| step["step"].as_str()).collect();
            let logins = names.iter().filter(|name| **name == "consent and login").count();
            assert_eq!((logins, names.last()), (2, Some(&"done")), "{} {end}: {names:?}", script.display());
        }
    }
    bed.assert_healthy().await;
}

#[tokio::test]
async fn the_python_client_logs_in_calls_a_tool_and_refreshes() {
    let bed = testbed().await;
    let client = paths::in_tests("clients/client.py");
    check_client(bed, &paths::python(), &client, "bob").await;
}

#[tokio::test]
async fn the_python_client_in_a_new_process_refreshes_what_it_has_stored_without_a_browser() {
    let bed = testbed().await;
    let folder = tempfile::tempdir().expect("a folder");
    let store = folder.path().join("tokens.json");
    let arguments = [&bed.resource(), "carol", store.to_str().expect("a path")];
    let client = paths::in_tests("clients/client.py");
    let stored = || serde_json::from_slice::<Value>(&fs::read(&store).expect("a store")).expect("JSON");
    run(&paths::python(), &client, &arguments).await;
    // Twice: what it stored after the first refresh is as good.
    for _ in 0..2 {
        let mut before = stored();
        before["expires_at"] = 1.into();
        fs::write(&store, before.to_string()).expect("written");
        let steps = run(&paths::python(), &client, &arguments).await;
        let told: Vec<_> = steps.iter().map(|step| (step["step"].as_str(), step["status"].as_u64())).collect();
        assert_eq!(told, [(Some("refreshed"), Some(200)), (Some("connected"), None), (Some("tool call"), None)]);
        // It has asked for no metadata, and so goes where MCP 2025-03-26 has the token endpoint.
        assert_eq!(steps[0]["path"], "/token");
        let tokens = [&before, &stored()].map(|store| store["tokens"]["refresh_token"].clone());
        assert_ne!(tokens[0], tokens[1]);
    }
    bed.assert_healthy().await;
}

#[tokio::test]
async fn fastmcp_in_a_new_process_refreshes_what_its_own_helper_has_stored_without_a_browser() {
    let bed = testbed().await;
    let store = tempfile::tempdir().expect("a folder");
    let arguments = [&bed.resource(), "dave", store.path().to_str().expect("a path")];
    let script = paths::in_tests("clients/fastmcp_client.py");
    let first = run(&paths::python(), &script, &arguments).await;
    assert!(first.iter().any(|step| step["step"] == "consent and login"), "{first:?}");
    let again = run(&paths::python(), &script, &arguments).await;
    let told: Vec<_> = again.iter().map(|step| (step["step"].as_str(), step["status"].as_u64())).collect();
    let expected = ["connected", "tool call", "done"].map(|step| (Some(step), None));
    assert_eq!((told[0], &told[1..]), ((Some("refreshed"), Some(200)), &expected[..]));
    // It has asked for no metadata either.
    assert_eq!(again[0]["path"], "/token");
    let tokens = [&first, &again].map(|steps| steps.last().expect("steps")["access_token"].as_str().expect("a token"));
    assert_ne!(tokens[0], tokens[1]);
    for token in tokens {
        assert_eq!(claims(token)["aud"], bed.resource());
    }
    bed.assert_healthy().await;
}

#[tokio::test]
async fn the_conformance_suite_for_authorization_servers_passes() {
    let bed = testbed().await;
    let results = tempfile::tempdir().expect("a folder");
    let script = paths::in_tests("clients/conformance.mjs");
    let folder = results.path().display().to_string();
    let lines = run(Path::new("node"), &script, &[&bed.issuer(), &bed.resource(), &folder]).await;
    let passed: Vec<_> = lines.iter().map(|line| (line["scenario"].as_str(), line["passed"].as_bool())).collect();
    assert_eq!(
        passed,
        [(Some("authorization-server-metadata-endpoint"), Some(true)), (Some("authorization-code-grant"), Some(true))]
    );
    bed.assert_healthy().await;
}

pub async fn testbed() -> &'static Testbed {
    static BED: OnceCell<Testbed> = OnceCell::const_new();
    machine::share();
    BED.get_or_init(|| Testbed::builder().workers(2).tap_mcp().start()).await
}

async fn check_client(bed: &Testbed, program: &Path, script: &Path, user: &str) {
    let steps = run(program, script, &[&bed.resource(), user]).await;
    let names: Vec<&str> = steps.iter().filter_map(|step| step["step"].as_str()).collect();
    let mut found = names.iter();
    for wanted in WAY {
        assert!(found.any(|name| *name == wanted), "no {wanted:?} in its place among {names:?}");
    }
    let done = steps.last().expect("steps");
    let tokens = [&done["access_token"], &done["first_access_token"]].map(|token| token.as_str().expect("a token"));
    assert_ne!(tokens[0], tokens[1]);
    for token in tokens {
        assert_eq!(claims(token)["aud"], bed.resource());
    }
    let seen: Vec<_> = bed.mcp_recorded().await;
    assert!(
        !seen.iter().any(|request| tokens.iter().any(|token| request.contains(token))),
        "the client's token went on"
    );
    let subjects = seen.iter().filter_map(|request| claims(&request.bearer()?)["sub"].as_str().map(str::to_owned));
    assert!(subjects.into_iter().any(|subject| subject == user), "the backend never saw {user}'s upstream token");
    bed.assert_healthy().await;
}

/// Runs a client and reads the steps it printed.
pub(crate) async fn run(program: &Path, script: &Path, arguments: &[&str]) -> Vec<Value> {
    let mut command = Command::new(program);
    command.arg(script).args(arguments).stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("it ran").expect("it started");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{}\n{printed}\n{complained}", script.display());
    printed.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

/// The steps that every client has to take, in this order.
const WAY: [&str; 10] = [
    "refused",
    "resource metadata",
    "server metadata",
    "registered",
    "consent and login",
    "token",
    "connected",
    "tool call",
    "refreshed",
    "tool call",
];
