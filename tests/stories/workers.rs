//! What the filter owes Envoy's workers: nothing that arrives ends a VM, one refresh serves
//! everyone who waits for it, and a session that has ended is over on every worker.

use std::time::Duration;

use portcullis_testbed::browser::Browser;
use portcullis_testbed::http::Request;
use portcullis_testbed::oauth_client::OAuthClient;
use portcullis_testbed::testbed::{IdpOptions, REQUESTS_FOR_BOTH_WORKERS, Testbed};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::machine;

#[tokio::test(flavor = "multi_thread")]
async fn hostile_requests_end_no_vm() {
    let bed = machine::testbed().workers(2).start().await;
    for path in ["/api/x", "/mcp", "/oauth/authorize?client_id=a", "/oauth/token", "/nowhere"] {
        for name in ["authorization", "cookie", "origin", "accept", "content-type", "x-forwarded-for", "x-anything"] {
            for value in [&b"\xff\xfe\x80"[..], b"Bearer \xc3\x28", b"", &[b'a'; 20_000]] {
                refused(bed.get(path).header(name, value)).await;
                refused(bed.post(path).header(name, value).body(vec![0xff; 100])).await;
            }
        }
    }
    for path in [&b"/api/\xff\x80"[..], b"/api/%ff%00", b"*", b"/api/../oauth/token"] {
        refused(bed.get("/").target(path)).await;
    }
    let many = (0..90).fold(bed.get("/api/x"), |request, number| request.header(format!("x-{number}"), b"\xff"));
    assert_eq!(many.send().await.status, 401);
    let crowded = (0..1_000).fold(bed.get("/api/x"), |request, number| request.header(format!("x-{number}"), "v"));
    refused(crowded).await;
    bed.assert_healthy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_read_to_its_limit_and_no_further() {
    let bed = machine::testbed().workers(2).start().await;
    let form = |length: usize| {
        bed.post("/oauth/token").header("content-type", "application/x-www-form-urlencoded").body(vec![b'a'; length])
    };
    for (length, status) in [(0, 400), (1_000, 400), (70_000, 413), (900_000, 413), (5_000_000, 413)] {
        // Envoy may close before it has read what it does not need; then the client sees no answer
        // at all.
        if let Ok(reply) = form(length).try_send().await {
            assert_eq!(reply.status, status, "{length} bytes");
        }
    }
    for _ in 0..100 {
        let mut client = TcpStream::connect(bed.gateway().trim_start_matches("http://")).await.expect("a connection");
        let head = "POST /oauth/token HTTP/1.1\r\nhost: a\r\ncontent-length: 99\r\n\r\ngrant";
        client.write_all(head.as_bytes()).await.expect("it is sent");
    }
    assert_eq!(form(10).send().await.status, 400);
    bed.assert_healthy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_refresh_serves_all_who_wait_even_when_some_hang_up() {
    let idp = IdpOptions { access_token_ttl: 2, ..IdpOptions::default() };
    let bed = machine::testbed().workers(2).idp(idp).start().await;
    let token = log_in(&bed).await;
    assert_eq!(call(&bed, &token).send().await.status, 200);
    let before = bed.idp_requests().await.refresh_grants;
    // The life of the provider's token is the thing that has to pass.
    tokio::time::sleep(Duration::from_secs(3)).await;
    bed.set_idp(json!({ "accessTokenTtl": 60, "token": { "mode": "slow", "ms": 1_000 } })).await;

    let mut patient = JoinSet::new();
    for number in 0..24 {
        let request = call(&bed, &token);
        // Every fourth hangs up long before the provider answers.
        let patience = Duration::from_millis(if number % 4 == 0 { 200 } else { 20_000 });
        patient.spawn(async move { request.timeout(patience).try_send().await.map(|reply| reply.status).ok() });
    }
    let answers = patient.join_all().await;
    assert_eq!(answers.iter().filter(|answer| **answer == Some(200)).count(), 18, "{answers:?}");
    assert_eq!(bed.idp_requests().await.refresh_grants - before, 1);
    assert_eq!(call(&bed, &token).send().await.status, 200);
    bed.assert_healthy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ended_is_over_on_every_worker() {
    let bed = machine::testbed().workers(2).start().await;
    let client = OAuthClient::discover(&bed.api_resource()).await.register().await;
    let tokens = client.log_in(&mut Browser::new("anna")).await;
    let answers = || {
        let mut calls = JoinSet::new();
        for _ in 0..REQUESTS_FOR_BOTH_WORKERS {
            let request = call(&bed, &tokens.access_token);
            calls.spawn(async move { request.send().await.status });
        }
        calls.join_all()
    };
    assert_eq!(answers().await, [200; REQUESTS_FOR_BOTH_WORKERS]);
    let old = tokens.refresh_token.clone();
    let newer = client.refresh(&old).await.refresh_token;
    client.refresh(&newer).await;
    // Used again, an old refresh token ends the login it came from (RFC 9700 §4.14.2).
    assert_eq!(client.refresh_request(&old).send().await.status, 400);
    // The other worker is notified through its queue, within moments.
    let mut after = answers().await;
    for _ in 0..20 {
        if after.iter().all(|status| *status == 401) {
            break;
        }
        after = answers().await;
    }
    assert_eq!(after, [401; REQUESTS_FOR_BOTH_WORKERS]);
    bed.assert_healthy().await;
}

/// Any orderly refusal will do; what must not happen is a failed VM's 503, or a pass.
async fn refused(request: Request) {
    let reply = request.send().await;
    assert!((400..500).contains(&reply.status), "{reply:?}");
}

async fn log_in(bed: &Testbed) -> String {
    let client = OAuthClient::discover(&bed.api_resource()).await.register().await;
    client.log_in(&mut Browser::new("anna")).await.access_token
}

fn call(bed: &Testbed, token: &str) -> Request {
    bed.get("/api/x").bearer(token)
}
