//! The provider's tokens run out while clients go on calling: renewed once however many ask, before
//! it is late where possible, and a provider in trouble costs a while and not the login.
//!
//! The stories change what the provider does, so each waits for its turn.

use std::time::{Duration, Instant, UNIX_EPOCH};

use portcullis_testbed::browser::Browser;
use portcullis_testbed::http::Response;
use portcullis_testbed::oauth_client::{OAuthClient, Tokens, claims};
use portcullis_testbed::testbed::Testbed;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::{Mutex, MutexGuard, OnceCell};

use crate::machine;
use crate::support::{assert_challenged, assert_error, assert_unseen, connect, log_in, unique, until};

#[tokio::test]
async fn a_thousand_calls_with_an_expired_upstream_token_make_one_refresh_and_all_are_answered() {
    let (bed, _turn) = testbed().await;
    let (_, tokens) = log_in_with_upstream_life(bed, "alice", 1).await;
    let path = format!("/api/storm-{}", unique());
    bed.set_idp(json!({ "token": { "mode": "slow", "ms": 500 } })).await;

    let calls: Vec<_> = (0..STORM).map(|_| tokio::spawn(bed.get(&path).bearer(&tokens.access_token).send())).collect();
    for call in calls {
        let reply = call.await.expect("an answer");
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    assert_eq!(refreshes(bed).await, (1, 1));
    let seen: Vec<_> = bed.recorded().await.into_iter().filter(|request| request.path == path).collect();
    assert_eq!(seen.len(), STORM);
    let renewed = seen[0].bearer().expect("a token");
    assert!(seen.iter().all(|request| request.bearer().as_ref() == Some(&renewed)), "more than one token");
    assert_eq!(claims(&renewed)["sub"], "alice");
    assert!(claims(&renewed)["exp"].as_u64() > Some(now()), "an expired token was injected");
    bed.assert_healthy().await;
}

#[tokio::test]
async fn a_client_that_hangs_up_during_the_refresh_loses_nothing() {
    let (bed, _turn) = testbed().await;
    let (_, tokens) = log_in_with_upstream_life(bed, "alice", 1).await;
    bed.set_idp(json!({ "token": { "mode": "slow", "ms": 700 } })).await;
    let path = format!("/api/hung-up-{}", unique());
    let mut connection = connect(bed).await;
    let authority = crate::support::authority(&bed.gateway()).to_owned();
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: {authority}\r\nauthorization: Bearer {}\r\n\r\n", tokens.access_token);
    connection.write_all(request.as_bytes()).await.expect("sent");
    until("the refresh has begun", async || refreshes(bed).await.0 == 1).await;
    drop(connection);
    until("the refresh goes on by itself", async || refreshes(bed).await.1 == 1).await;

    let reply = bed.get("/api/next").bearer(&tokens.access_token).send().await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(refreshes(bed).await, (1, 1), "the tokens of the first refresh were kept");
    assert_unseen(bed, &path).await;
    bed.assert_healthy().await;
}

#[tokio::test]
async fn a_token_that_is_about_to_expire_is_renewed_once_while_calls_go_on() {
    let (bed, _turn) = testbed().await;
    let (_, tokens) = log_in_with_upstream_life(bed, "alice", 5).await;
    bed.set_idp(json!({ "token": { "mode": "slow", "ms": 200 } })).await;
    let path = format!("/api/ahead-{}", unique());
    let mut answered_before = 0;
    until("the token is renewed", async || {
        for _ in 0..4 {
            let reply = bed.get(&path).bearer(&tokens.access_token).send().await;
            assert_eq!(reply.status, 200, "{reply:?}");
        }
        let refreshed = refreshes(bed).await.1;
        answered_before += usize::from(refreshed == 0);
        refreshed == 1
    })
    .await;
    assert!(answered_before > 0);
    let latest = async || {
        assert_eq!(bed.get(&path).bearer(&tokens.access_token).send().await.status, 200);
        let seen = bed.recorded().await.into_iter().rfind(|request| request.path == path).expect("the call");
        seen.bearer().expect("a token")
    };
    let first =
        bed.recorded().await.into_iter().find(|request| request.path == path).and_then(|request| request.bearer());
    until("the new token is used", async || Some(latest().await) != first).await;
    assert_eq!(refreshes(bed).await, (1, 1));
    bed.assert_healthy().await;
}

#[tokio::test]
async fn each_refresh_uses_the_refresh_token_that_the_one_before_brought() {
    let (bed, _turn) = testbed().await;
    let (_, tokens) = log_in_with_upstream_life(bed, "alice", 1).await;
    // The provider ends the login of a client that uses a refresh token for the second time.
    for round in 1..=2 {
        bed.set_idp(json!({ "accessTokenTtl": 1 })).await;
        let reply = bed.get("/api/round").bearer(&tokens.access_token).send().await;
        assert_eq!(reply.status, 200, "{reply:?}");
        assert_eq!(refreshes(bed).await, (round, round));
        clock_moves_on(1).await;
    }
    bed.assert_healthy().await;
}

#[tokio::test]
async fn while_the_provider_is_in_trouble_callers_are_told_to_come_back_and_then_it_works_again() {
    let (bed, _turn) = testbed().await;
    let troubles = [
        json!({ "mode": "drop" }),
        json!({ "mode": "error", "status": 500 }),
        json!({ "mode": "error", "status": 503 }),
        json!({ "mode": "error", "status": 429 }),
        json!({ "mode": "error", "status": 401, "error": "invalid_client" }),
        json!({ "mode": "error", "status": 400, "error": "temporarily_unavailable" }),
        json!({ "mode": "html" }),
        json!({ "mode": "truncated" }),
        json!({ "mode": "huge", "bytes": 20_000_000 }),
        json!({ "mode": "slow", "ms": 60_000 }),
    ];
    let mut users = Vec::new();
    for trouble in troubles {
        let user = format!("user-{}", unique());
        bed.set_idp(json!({ "accessTokenTtl": 1 })).await;
        users.push((log_in(bed, &user).await.1, trouble));
    }
    clock_moves_on(1).await;
    bed.set_idp(json!({ "accessTokenTtl": 60 })).await;
    for (tokens, trouble) in &users {
        bed.set_idp(json!({ "token": trouble })).await;
        let path = format!("/api/trouble-{}", unique());
        let started = Instant::now();
        let reply = bed.get(&path).bearer(&tokens.access_token).send().await;
        assert_come_back(&reply, trouble);
        assert!(started.elapsed() < Duration::from_secs(12), "{trouble}: {:?}", started.elapsed());
        // A second call at once does not bother the provider again.
        let asked = refreshes(bed).await.0;
        assert_come_back(&bed.get(&path).bearer(&tokens.access_token).send().await, trouble);
        assert!(refreshes(bed).await.0 <= asked + 1, "{trouble}: one more from the other worker at most");
        assert_unseen(bed, &path).await;
    }
    bed.set_idp(json!({ "token": null })).await;
    for (tokens, trouble) in &users {
        until(&format!("calls work again after {trouble}"), async || {
            let reply = bed.get("/api/well-again").bearer(&tokens.access_token).send().await;
            if reply.status != 200 {
                assert_come_back(&reply, trouble);
            }
            reply.status == 200
        })
        .await;
    }
    assert_eq!(refreshes(bed).await.1, u64::try_from(users.len()).expect("a few"));
    bed.assert_healthy().await;
}

#[tokio::test]
async fn a_thousand_calls_that_wait_for_a_refresh_in_vain_are_all_told_so() {
    let (bed, _turn) = testbed().await;
    let (_, tokens) = log_in_with_upstream_life(bed, "alice", 1).await;
    let path = format!("/api/in-vain-{}", unique());
    bed.set_idp(json!({ "token": { "mode": "slow", "ms": 60_000 } })).await;
    let calls: Vec<_> = (0..STORM).map(|_| tokio::spawn(bed.get(&path).bearer(&tokens.access_token).send())).collect();
    for call in calls {
        assert_come_back(&call.await.expect("an answer"), &json!("a storm"));
    }
    assert_unseen(bed, &path).await;
    bed.assert_healthy().await;
}

#[tokio::test]
async fn when_the_provider_has_ended_the_login_the_client_is_told_how_to_get_a_new_one() {
    let (bed, _turn) = testbed().await;
    let (client, tokens) = log_in_with_upstream_life(bed, "alice", 1).await;
    let refusal = json!({ "mode": "error", "status": 400, "error": "invalid_grant" });
    bed.set_idp(json!({ "token": refusal })).await;
    let path = format!("/api/ended-{}", unique());
    let description = "the login at the identity provider has ended; authorize again";
    let reply = bed.get(&path).bearer(&tokens.access_token).send().await;
    assert_challenged(bed, &reply, 401, "invalid_token", description, "the provider's word");
    bed.set_idp(json!({ "token": null })).await;
    let description = "the session of this token has ended";
    for _ in 0..8 {
        let reply = bed.get(&path).bearer(&tokens.access_token).send().await;
        assert_challenged(bed, &reply, 401, "invalid_token", description, "for good, in every worker");
        let reply = client.refresh_request(&tokens.refresh_token).send().await;
        assert_eq!((reply.status, reply.json()["error"].as_str()), (400, Some("invalid_grant")), "{reply:?}");
    }
    assert_eq!(refreshes(bed).await, (1, 0), "a dead refresh token is not tried again");
    assert_unseen(bed, &path).await;

    let anew = client.log_in(&mut Browser::new("alice")).await;
    assert_eq!(bed.get("/api/again").bearer(&anew.access_token).send().await.status, 200);
    bed.assert_healthy().await;
}

#[tokio::test]
async fn one_users_trouble_is_not_anothers() {
    let (bed, _turn) = testbed().await;
    let (_, ended) = log_in_with_upstream_life(bed, "alice", 1).await;
    let (_, fine) = log_in(bed, "bob").await;
    bed.set_idp(json!({ "token": { "mode": "drop" } })).await;
    for _ in 0..8 {
        assert_eq!(bed.get("/api/alice").bearer(&ended.access_token).send().await.status, 503);
        assert_eq!(bed.get("/api/bob").bearer(&fine.access_token).send().await.status, 200);
    }
    bed.assert_healthy().await;
}

/// The testbed, well and with counters at zero, for one story at a time.
async fn testbed() -> (&'static Testbed, MutexGuard<'static, ()>) {
    static BED: OnceCell<Testbed> = OnceCell::const_new();
    static TURN: Mutex<()> = Mutex::const_new(());
    machine::share();
    let bed = BED.get_or_init(|| Testbed::builder().workers(2).start()).await;
    let turn = TURN.lock().await;
    bed.set_idp(json!({ "token": null, "accessTokenTtl": 60, "resetCounts": true })).await;
    bed.forget_recorded().await;
    (bed, turn)
}

/// Logs in with an upstream token that lives for `seconds`, and waits until one of a single
/// second has run out. What the provider gives from then on lives for a minute.
async fn log_in_with_upstream_life(bed: &Testbed, user: &str, seconds: u64) -> (OAuthClient, Tokens) {
    bed.set_idp(json!({ "accessTokenTtl": seconds })).await;
    let login = log_in(bed, user).await;
    bed.set_idp(json!({ "accessTokenTtl": 60 })).await;
    if seconds == 1 {
        clock_moves_on(1).await;
    }
    login
}

/// Refreshes that were asked for and refreshes that were granted.
async fn refreshes(bed: &Testbed) -> (u64, u64) {
    let requests = bed.idp_requests().await;
    (requests.refresh_grants, requests.refreshed)
}

#[track_caller]
fn assert_come_back(reply: &Response, trouble: &Value) {
    let description = "the identity provider did not renew the login in time; try again";
    assert_error(reply, 503, "temporarily_unavailable", description, &trouble.to_string());
    assert_eq!(reply.header("retry-after"), Some("2"), "{trouble}");
    assert_eq!(reply.header("www-authenticate"), None, "{trouble}: the client's token is not to blame");
}

/// Waits until the clock, which counts lives in whole seconds, shows `seconds` more.
async fn clock_moves_on(seconds: u64) {
    let until = UNIX_EPOCH + Duration::from_secs(now() + seconds);
    let left = until.duration_since(std::time::SystemTime::now()).unwrap_or_default();
    tokio::time::sleep(left).await;
}

fn now() -> u64 {
    UNIX_EPOCH.elapsed().expect("a clock").as_secs()
}

const STORM: usize = 1_000;
