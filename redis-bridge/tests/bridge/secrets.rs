//! Served secrets: only those requested by name, by callers of the socket, with changes announced.

use std::fs;
use std::time::{Duration, Instant};

use portcullis_storage_api::wire::{
    Refusal, RefusalCause, Revision, SECRET_BYTES, SECRETS, SecretName, Secrets, SecretsAnswer, Verb,
};
use portcullis_testbed::bridge::{Bridge, check};
use portcullis_testbed::redis::{LEAST_ACL, RedisServer, standalone, until};
use tempfile::TempDir;

use crate::client::Client;

const CANARY: &str = "canary-8d1f6a";

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().unwrap();
    files.iter().for_each(|(name, text)| put(&folder, name, text));
    folder
}

/// As a careful operator does it: written next to it, then moved there.
fn put(folder: &TempDir, name: &str, text: &str) {
    let beside = folder.path().join(".new");
    fs::write(&beside, text).unwrap();
    fs::rename(beside, folder.path().join(name)).unwrap();
}

fn start(folder: &TempDir) -> (RedisServer, Bridge) {
    let server = RedisServer::start(LEAST_ACL, &[]);
    let bridge = Bridge::start(&standalone(server.port), &format!("secretsDir: {}", folder.path().display()));
    (server, bridge)
}

async fn ask(client: &Client, names: &[&str], known: Option<Revision>, wait: u32) -> Result<SecretsAnswer, Refusal> {
    let names = names.iter().map(|name| SecretName::new(name).unwrap()).collect();
    let request = Secrets { names, known, timeout_milliseconds: wait };
    let body = serde_json::to_vec(&request).unwrap();
    let (status, body) = client.raw(Verb::Secrets.path(), body).await.unwrap();
    if status == 200 {
        return Ok(serde_json::from_slice(&body).unwrap());
    }
    let refusal: Refusal = serde_json::from_slice(&body).unwrap();
    assert_eq!(refusal.error.status(), status);
    Err(refusal)
}

fn shown(answer: &SecretsAnswer) -> Vec<(&str, &[u8])> {
    let secrets = answer.secrets.as_ref().expect("the secrets");
    secrets.iter().map(|secret| (secret.name.as_str(), secret.value.as_bytes())).collect()
}

#[tokio::test]
async fn secrets_are_served_in_the_order_asked_and_only_by_name() {
    let folder = folder(&[("signing-key.pem", "-----BEGIN\nabc\n-----END\n"), ("idp", "hunter2\n"), ("other", "x")]);
    let (_server, bridge) = start(&folder);
    let client = Client::new(&bridge.socket, false);
    let answer = ask(&client, &["idp", "signing-key.pem", "idp"], None, 30_000).await.unwrap();
    let idp = ("idp", b"hunter2".as_slice());
    assert_eq!(shown(&answer), [idp, ("signing-key.pem", b"-----BEGIN\nabc\n-----END"), idp]);
    let refusal = ask(&client, &["idp", "absent", "gone"], None, 0).await.unwrap_err();
    assert_eq!(refusal.error, RefusalCause::NotServed);
    assert_eq!(refusal.secret.unwrap().as_str(), "absent");
    for name in ["..", "../x", ".new", "..data", "/etc/passwd", "", "a\\u0000"] {
        let body = format!(r#"{{"names":["{name}"],"known":null,"timeoutMilliseconds":0}}"#);
        let (status, answer) = client.raw("/v1/secrets", body.into_bytes()).await.unwrap();
        assert_eq!((status, answer.as_slice()), (400, br#"{"error":"badRequest"}"#.as_slice()), "{name}");
    }
}

#[tokio::test]
async fn the_most_and_the_largest_secrets_fit_into_one_answer() {
    let folder = folder(&[]);
    let names: Vec<String> = (0..SECRETS).map(|number| format!("secret-{number}")).collect();
    names.iter().for_each(|name| put(&folder, name, &"x".repeat(SECRET_BYTES)));
    let (_server, bridge) = start(&folder);
    let client = Client::new(&bridge.socket, false);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let answer = ask(&client, &names, None, 0).await.unwrap();
    assert!(shown(&answer).iter().all(|(_, value)| value.len() == SECRET_BYTES));
    assert_eq!(shown(&answer).len(), SECRETS);
}

#[tokio::test]
async fn a_revision_is_the_same_at_every_bridge_and_after_a_restart() {
    let folder = folder(&[("a", "1"), ("b", "2")]);
    let (server, mut bridge) = start(&folder);
    let first = ask(&Client::new(&bridge.socket, false), &["a", "b"], None, 0).await.unwrap().revision;
    let other = Bridge::start(&standalone(server.port), &format!("secretsDir: {}", folder.path().display()));
    assert_eq!(ask(&Client::new(&other.socket, false), &["a", "b"], None, 0).await.unwrap().revision, first);
    bridge.process.kill();
    bridge.restart();
    let client = Client::new(&bridge.socket, false);
    let answer = ask(&client, &["a", "b"], Some(first), 0).await.unwrap();
    assert_eq!((answer.revision, answer.secrets.is_none()), (first, true));
    assert_ne!(ask(&client, &["b", "a"], Some(first), 0).await.unwrap().revision, first);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_caller_is_told_of_a_change_and_the_log_tells_only_names() {
    let folder = folder(&[("idp", CANARY), ("key", "k")]);
    let (_server, bridge) = start(&folder);
    let client = Client::new(&bridge.socket, false);
    let known = ask(&client, &["idp", "key"], None, 0).await.unwrap().revision;
    let started = Instant::now();
    let same = ask(&client, &["idp", "key"], Some(known), 1_200).await.unwrap();
    assert!(same.secrets.is_none() && same.revision == known);
    assert!(started.elapsed() >= Duration::from_millis(1_200), "it did not wait");
    // Another secret's change is not this caller's.
    put(&folder, "third", "3");
    let waiting = tokio::spawn(async move { (ask(&client, &["idp", "key"], Some(known), 30_000).await, client) });
    until("it is waited for", || bridge.metric("portcullis_bridge_secret_waits") == 1);
    assert!(!waiting.is_finished());
    put(&folder, "idp", &format!("{CANARY}-new\n"));
    let (answer, client) = waiting.await.unwrap();
    let answer = answer.unwrap();
    assert_eq!(shown(&answer)[0].1, format!("{CANARY}-new").as_bytes());
    assert_ne!(answer.revision, known);
    assert_eq!(bridge.metric("portcullis_bridge_secret_changes_total"), 1);
    assert!(bridge.log().contains("secrets changed") && bridge.log().contains("idp"), "{}", bridge.log());
    // A secret that is gone ends the wait, too.
    let known = Some(answer.revision);
    let waiting = tokio::spawn(async move { ask(&client, &["idp", "key"], known, 30_000).await });
    until("it is waited for", || bridge.metric("portcullis_bridge_secret_waits") == 1);
    fs::remove_file(folder.path().join("key")).unwrap();
    let refusal = waiting.await.unwrap().unwrap_err();
    assert_eq!((refusal.error, refusal.secret.unwrap().as_str()), (RefusalCause::NotServed, "key"));
    assert_eq!(bridge.metric("portcullis_bridge_secret_failures_total"), 1);
    assert!(bridge.log().contains("not served"));
    assert!(!bridge.log().contains(CANARY) && !bridge.observe("/metrics").contains(CANARY));
}

#[tokio::test]
async fn secrets_are_for_callers_of_the_socket_and_only_where_they_are_configured() {
    let folder = folder(&[("idp", CANARY)]);
    let (server, bridge) = start(&folder);
    assert!(bridge.observe("/v1/secrets").starts_with("HTTP/1.1 404"));
    let without = Bridge::start(&standalone(server.port), "");
    let refusal = ask(&Client::new(&without.socket, false), &["idp"], None, 0).await.unwrap_err();
    assert_eq!((refusal.error, refusal.secret), (RefusalCause::NotConfigured, None));
    let (content, said) = check(&standalone(server.port), "secretsDir: /nowhere/secrets");
    assert!(!content && said.contains("secretsDir: the folder cannot be read"), "{said}");
    let (content, said) = check(&standalone(server.port), &format!("secretsDir: {}", folder.path().display()));
    assert!(content && !said.contains(CANARY), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_wait_are_bounded_and_do_not_hold_up_the_end() {
    let folder = folder(&[("idp", "1")]);
    let (_server, mut bridge) = start(&folder);
    let known = ask(&Client::new(&bridge.socket, false), &["idp"], None, 0).await.unwrap().revision;
    let socket = bridge.socket.clone();
    let waiting: Vec<_> = (0..256)
        .map(|_| {
            let client = Client::new(&socket, false);
            tokio::spawn(async move { ask(&client, &["idp"], Some(known), 30_000).await })
        })
        .collect();
    until("all wait", || bridge.metric("portcullis_bridge_secret_waits") == 256);
    let refusal = ask(&Client::new(&socket, false), &["idp"], Some(known), 0).await.unwrap_err();
    assert_eq!(refusal.error, RefusalCause::Overloaded);
    let started = Instant::now();
    bridge.process.signal("-TERM");
    for waiting in waiting {
        assert!(waiting.await.unwrap().unwrap().secrets.is_none());
    }
    assert!(bridge.process.wait());
    assert!(started.elapsed() < Duration::from_secs(9), "the end took {:?}", started.elapsed());
    assert!(!bridge.log().contains("still under way"));
}
