//! What others build on: `make testbed` says where everything is, keeps every byte, and leaves
//! nothing behind.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use portcullis_testbed::http::Request;
use portcullis_testbed::paths;
use serde_json::{Value, json};

use crate::machine;

#[test]
fn a_testbed_that_is_told_to_stop_takes_every_part_with_it() {
    for signal in ["-TERM", "-INT"] {
        let (mut testbed, told) = start(None);
        send(signal, testbed.id());
        assert!(testbed.wait().expect("it ends").success());
        assert_gone(&told);
    }
}

#[test]
fn a_testbed_that_is_killed_leaves_nothing_behind() {
    let (mut testbed, told) = start(None);
    testbed.kill().expect("it is killed");
    testbed.wait().expect("it ends");
    assert_gone(&told);
}

#[test]
fn a_refused_configuration_ends_the_testbed_with_envoys_reason() {
    let dir = tempfile::tempdir().expect("a folder");
    let patch = dir.path().join("patch.json");
    std::fs::write(&patch, json!({ "issuer": 7, "nonsense": true }).to_string()).expect("a file");
    let output = command(Some(&patch)).output().expect("it runs");
    assert!(!output.status.success());
    assert!(output.stdout.is_empty(), "it announced itself");
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(complaint.contains("envoy ended early"), "{complaint}");
    assert!(complaint.contains("nonsense"), "{complaint}");
}

#[tokio::test]
async fn the_testbed_says_where_everything_is() {
    let (mut testbed, told) = start(None);
    for name in ["gateway", "issuer", "resource", "idp", "recorder", "mcp_backend", "admin"] {
        let url = told[name].as_str().unwrap_or_default();
        assert!(url.starts_with("http://127.0.0.1:"), "{name}: {told}");
    }
    let address = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
    assert_eq!(Request::get(&format!("{}/ready", address("admin"))).send().await.status, 200);
    let discovery = format!("{}/.well-known/openid-configuration", address("idp"));
    assert_eq!(Request::get(&discovery).send().await.json()["issuer"], address("idp"));
    send("-TERM", testbed.id());
    testbed.wait().expect("it ends");
}

#[tokio::test]
async fn the_recorder_keeps_every_byte_and_forgets_when_asked() {
    let bed = machine::testbed().without_filter().start().await;
    let reply = bed.post("/api/a?b=c").header("x-bytes", [0xff]).body("body").send().await;
    assert_eq!((reply.status, reply.text().as_str()), (200, r#"{"ok":true}"#));
    let listing = format!("{}/_recorded", bed.recorder());
    let kept = Request::get(&listing).send().await.json();
    assert_eq!(kept[0]["method"], "POST");
    assert_eq!(kept[0]["path"], "/api/a?b=c");
    assert_eq!(kept[0]["body"], "Ym9keQ==");
    let raw = kept[0]["headers_base64"].as_array().expect("bytes that are no text");
    assert!(raw.contains(&json!(["eC1ieXRlcw==", "/w=="])), "{raw:?}");
    assert_eq!(Request::new("DELETE", &listing).send().await.status, 200);
    assert_eq!(Request::get(&listing).send().await.json(), json!([]));
}

#[tokio::test]
async fn the_provider_can_be_put_in_trouble_and_made_well_again() {
    let bed = machine::testbed().without_filter().start().await;
    let keys = format!("{}/jwks", bed.idp());
    let first = Request::get(&keys).send().await.json();
    bed.set_idp(json!({ "jwks": { "mode": "error", "status": 500 } })).await;
    assert_eq!(Request::get(&keys).send().await.status, 500);
    bed.set_idp(json!({ "jwks": { "mode": "drop" } })).await;
    assert!(Request::get(&keys).try_send().await.is_err());
    bed.set_idp(json!({ "jwks": null, "rotateKeys": true })).await;
    let second = Request::get(&keys).send().await.json();
    assert_ne!(first["keys"][0]["kid"], second["keys"][0]["kid"]);
    assert_eq!(bed.idp_requests().await.jwks, 4);
}

/// Starts the program and reads its line.
fn start(config: Option<&Path>) -> (Child, Value) {
    let mut testbed = command(config).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut line = String::new();
    BufReader::new(testbed.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
    let told = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
    (testbed, told)
}

fn command(config: Option<&Path>) -> Command {
    machine::share();
    let mut command = Command::new(paths::program("testbed"));
    command.env_remove("PORT").env("CONFIG", config.unwrap_or(Path::new("")));
    command
}

fn send(signal: &str, process: u32) {
    let sent = Command::new("kill").args([signal, &process.to_string()]).status();
    assert!(sent.expect("kill runs").success());
}

fn assert_gone(told: &Value) {
    let patience = Instant::now() + Duration::from_secs(5);
    for (name, process) in told["pids"].as_object().expect("pids") {
        // A process that has ended but was not waited for yet (its parent was killed) counts as
        // gone.
        let runs = || {
            let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
            status.lines().any(|line| line.starts_with("State:") && !line.contains('Z'))
        };
        while runs() {
            assert!(Instant::now() < patience, "{name} still runs");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
