//! Users at the Unix socket, and the spaces that are theirs. Needs no other user than the test's
//! own.

use portcullis_storage_api::wire::{Get, GetAnswer, RefusalCause, Verb};
use portcullis_storage_api::{Key, Kind};
use serde_json::json;

use crate::client::{Client, space};
use crate::fields::{raw, request, requests, with};
use portcullis_testbed::bridge::Bridge;
use portcullis_testbed::redis::{LEAST_ACL, RedisServer, cli, standalone, until};

#[tokio::test]
async fn a_user_without_the_right_to_a_space_is_refused_and_writes_nothing() {
    let server = RedisServer::start(LEAST_ACL, &[]);
    let own = rustix::process::geteuid().as_raw();
    let callers = format!("callers: [{{ uid: {own}, spaces: [\"prod:other\", \"test:*\"] }}]");
    let bridge = Bridge::start(&standalone(server.port), &callers);
    let client = Client::new(&bridge.socket, false);
    for (verb, good) in requests() {
        let (status, body) = raw(&client, verb, good.to_string()).await;
        assert_eq!((status, body.as_slice()), (403, br#"{"error":"forbidden"}"#.as_slice()), "{}", verb.name());
        let (status, _) = raw(&client, verb, with(&good, "space", json!("prod/other2")).to_string()).await;
        assert_eq!(status, 403);
    }
    assert_eq!(cli(server.port, &["DBSIZE"]), "0");
    assert_eq!(bridge.metric("portcullis_bridge_requests_total{verb=\"put\",outcome=\"forbidden\"}"), 2);
    let log = bridge.log();
    assert_eq!(log.lines().filter(|line| line.contains("caller without the right")).count(), 1, "{log}");
    assert!(log.contains(&format!("\"caller\":\"uid {own}\"")), "{log}");
    let put = request(Verb::Put);
    for own in ["prod/other", "test/anything"] {
        let (status, _) = raw(&client, Verb::Put, with(&put, "space", json!(own)).to_string()).await;
        assert_eq!(status, 200);
    }
    let (status, _) = raw(&client, Verb::Health, "{}".to_owned()).await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn only_the_users_among_the_callers_are_let_in() {
    let server = RedisServer::start(LEAST_ACL, &[]);
    let callers = "callers: [{ uid: 4294967294, spaces: [\"*\"] }]";
    let bridge = Bridge::start(&standalone(server.port), callers);
    let client = Client::new(&bridge.socket, false);
    let key = Key { kind: Kind::Session, id: [8; 32] };
    let refused = client.call::<_, GetAnswer>(Verb::Get, &Get { space: space(), key }).await;
    assert_eq!(refused, Err(RefusalCause::Unavailable));
    let counted = "portcullis_bridge_refused_connections_total{reason=\"foreign user\"}";
    until("the refusal is counted", || bridge.metric(counted) == 1);
}

#[tokio::test]
async fn secrets_are_for_the_callers_that_are_named_for_them() {
    let server = RedisServer::start(LEAST_ACL, &[]);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("idp"), "hunter2").unwrap();
    let own = rustix::process::geteuid().as_raw();
    let ask = json!({"names": ["idp"], "known": null, "timeoutMilliseconds": 0}).to_string();
    for (right, expected) in [("", 403), (", secrets: false", 403), (", secrets: true", 200)] {
        let callers = format!("callers: [{{ uid: {own}, spaces: [\"*\"]{right} }}]");
        let more = format!("{callers}\nsecretsDir: {}", folder.path().display());
        let bridge = Bridge::start(&standalone(server.port), &more);
        let client = Client::new(&bridge.socket, false);
        let (status, body) = raw(&client, Verb::Secrets, ask.clone()).await;
        assert_eq!(status, expected, "{right}: {}", String::from_utf8_lossy(&body));
    }
}
