//! Revocation, by a client (RFC 7009) or by an operator: the login is over in every worker and
//! every Envoy within seconds, and nothing is looked up for it with each call.

use std::time::{Duration, Instant};

use portcullis_testbed::browser::Browser;
use portcullis_testbed::http::{OpenResponse, Request, Response};
use portcullis_testbed::oauth_client::{OAuthClient, Tokens};
use portcullis_testbed::testbed::{REQUESTS_FOR_BOTH_WORKERS, Store, Testbed};

use crate::machine;
use crate::operator::{self, admin};
use crate::scripted_backend::ScriptedBackend;
use crate::support::{assert_serves, client, log_in, until, until_in_both_workers};

#[tokio::test]
async fn a_login_that_is_revoked_at_one_envoy_is_over_at_the_other_within_five_seconds() {
    let bed = machine::testbed().store(Store::Standalone).replicas(2).start().await;
    let client = client(&bed).await;
    for of_access in [true, false] {
        bed.lead_to(0);
        let revoked = client.log_in(&mut Browser::new("alice")).await;
        let kept = client.log_in(&mut Browser::new("bob")).await;
        bed.lead_to(1);
        for tokens in [&revoked, &kept] {
            assert_serves(&bed, &tokens.access_token).await;
        }
        bed.lead_to(0);
        let token = if of_access { &revoked.access_token } else { &revoked.refresh_token };
        assert_revoked(&revoke(&client, token).await);
        assert_over(&bed, &client, &revoked).await;
        bed.lead_to(1);
        let since = Instant::now();
        until("the other Envoy refuses the token", async || call(&bed, &revoked).await == 401).await;
        assert!(since.elapsed() < Duration::from_secs(5), "after {:?}", since.elapsed());
        assert_over(&bed, &client, &revoked).await;
        assert_serves(&bed, &kept.access_token).await;
    }
    bed.assert_healthy().await;
}

#[tokio::test]
async fn a_login_that_is_revoked_is_over_on_every_worker() {
    let bed = machine::testbed().store(Store::Memory).workers(2).start().await;
    let (client, tokens) = log_in(&bed, "alice").await;
    assert_known_in_both_workers(&bed, &tokens).await;
    assert_revoked(&revoke(&client, &tokens.refresh_token).await);
    until_in_both_workers("the token is refused", async || call(&bed, &tokens).await == 401).await;
    assert_over(&bed, &client, &tokens).await;
    assert_revoked(&revoke(&client, &tokens.refresh_token).await);
    bed.assert_healthy().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_ends_the_calls_refreshes_and_streams_of_one_user_and_no_other() {
    let backend = ScriptedBackend::start().await;
    let builder = machine::testbed().cluster("scripted", backend.port()).route("/api/scripted", "scripted");
    let bed = builder.store(Store::Standalone).workers(2).start().await;
    let (_, kept) = log_in(&bed, "bob").await;
    let mut his_stream = open_stream(&bed, &kept).await;
    for command in [
        &["sessions", "revoke", "--email", "alice@example.test"][..],
        &["sessions", "revoke", "--subject", "alice"],
        &["sessions", "revoke", "--user", "alice@example.test"],
        &["users", "revoke", "alice"],
        &["users", "revoke", "alice@example.test"],
    ] {
        let (client, tokens) = log_in(&bed, "alice").await;
        let mut stream = open_stream(&bed, &tokens).await;
        assert_known_in_both_workers(&bed, &tokens).await;
        let done = admin(&bed, command);
        assert_eq!(done["ended"], 1, "{command:?}: {done}");
        let since = Instant::now();
        let cut_off = async {
            while let Ok(Some(_)) = stream.next().await {}
            since.elapsed()
        };
        let refused = async {
            until_in_both_workers("the token is refused", async || call(&bed, &tokens).await == 401).await;
            since.elapsed()
        };
        let (refused, cut_off) = tokio::join!(refused, cut_off);
        println!("{command:?}: calls refused after {refused:?}, stream cut off after {cut_off:?}");
        assert!(refused < Duration::from_secs(5) && cut_off < Duration::from_secs(10), "{refused:?} {cut_off:?}");
        assert_over(&bed, &client, &tokens).await;
        assert_serves(&bed, &kept.access_token).await;
        let again = operator::run(&bed, command);
        assert_eq!(again.status.code(), Some(1), "{command:?}: there is nothing left to end");
    }
    assert!(his_stream.next().await.expect("goes on").is_some());
    bed.assert_healthy().await;
}

/// Holds when calls are let through, which makes the token known to both workers.
async fn assert_known_in_both_workers(bed: &Testbed, tokens: &Tokens) {
    for _ in 0..REQUESTS_FOR_BOTH_WORKERS {
        assert_eq!(call(bed, tokens).await, 200);
    }
}

/// Opens an event stream that goes on for as long as the gateway lets it.
async fn open_stream(bed: &Testbed, tokens: &Tokens) -> OpenResponse {
    let request = bed.get("/api/scripted/busy").bearer(&tokens.access_token).timeout(Duration::from_secs(60));
    let stream = request.open().await.expect("an answer");
    assert_eq!((stream.status, stream.header("content-type")), (200, Some("text/event-stream")));
    stream
}

async fn revoke(client: &OAuthClient, token: &str) -> Response {
    let form = [("token", token), ("token_type_hint", "refresh_token"), ("client_id", &client.client_id)];
    Request::post(&client.endpoint("revocation_endpoint")).form(&form).send().await
}

fn assert_revoked(reply: &Response) {
    assert_eq!((reply.status, reply.body.len()), (200, 0), "{reply:?}");
    assert_eq!(reply.header("cache-control"), Some("no-store"));
}

/// Holds when calls and refreshes with these tokens are refused.
async fn assert_over(bed: &Testbed, client: &OAuthClient, tokens: &Tokens) {
    assert_eq!(call(bed, tokens).await, 401);
    let refreshed = client.refresh_request(&tokens.refresh_token).send().await;
    assert_eq!((refreshed.status, refreshed.json()["error"].as_str()), (400, Some("invalid_grant")), "{refreshed:?}");
}

async fn call(bed: &Testbed, tokens: &Tokens) -> u16 {
    bed.get("/api/x").bearer(&tokens.access_token).send().await.status
}
