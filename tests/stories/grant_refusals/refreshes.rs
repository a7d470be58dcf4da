//! Refresh tokens: each has one successor, which it gives as often as it is asked until that is
//! used; then it is a replay, which ends the login.

use portcullis_testbed::browser::Browser;
use portcullis_testbed::oauth_client::{TokenRequest, Tokens};
use serde_json::json;

use super::{assert_ended, testbed, use_in_every_worker};
use crate::support::{assert_error, assert_serves, client, log_in};

#[tokio::test]
async fn a_refresh_token_that_was_replaced_twice_ends_the_login_when_it_comes_back() {
    let bed = testbed().await;
    let (client, first) = log_in(bed, "alice").await;
    let second = client.refresh(&first.refresh_token).await;
    let third = client.refresh(&second.refresh_token).await;
    for tokens in [&first, &second, &third] {
        use_in_every_worker(bed, tokens).await;
    }
    let replay = client.refresh_request(&first.refresh_token).send().await;
    assert_error(&replay, 400, "invalid_grant", REPLAYED, "replay");
    for tokens in [&first, &second, &third] {
        assert_ended(bed, &tokens.access_token).await;
        let reply = client.refresh_request(&tokens.refresh_token).send().await;
        assert_error(&reply, 400, "invalid_grant", "the login has ended", "after the replay");
    }
    bed.assert_healthy().await;
}

#[tokio::test]
async fn a_client_that_lost_the_answer_gets_the_same_successor_until_that_was_used() {
    let bed = testbed().await;
    let (client, first) = log_in(bed, "alice").await;
    let lost = client.refresh(&first.refresh_token).await;
    for _ in 0..3 {
        let again = client.refresh(&first.refresh_token).await;
        assert_eq!(again.refresh_token, lost.refresh_token);
        assert_serves(bed, &again.access_token).await;
    }
    let next = client.refresh(&lost.refresh_token).await;
    assert_serves(bed, &next.access_token).await;

    let replay = client.refresh_request(&first.refresh_token).send().await;
    assert_error(&replay, 400, "invalid_grant", REPLAYED, "its successor was used");
    for tokens in [&lost, &next] {
        assert_ended(bed, &tokens.access_token).await;
    }
    bed.assert_healthy().await;
}

#[tokio::test]
async fn many_uses_of_one_refresh_token_at_the_same_time_give_one_successor() {
    let bed = testbed().await;
    let (client, first) = log_in(bed, "alice").await;
    let uses = (0..20).map(|_| {
        let request = client.refresh_request(&first.refresh_token);
        tokio::spawn(async move { request.send().await })
    });
    let mut granted = Vec::new();
    for attempt in uses.collect::<Vec<_>>() {
        let reply = attempt.await.expect("an answer");
        // With a store that is a call away, one that lost every race gets 503 with `Retry-After`.
        match reply.status {
            200 => granted.push(Tokens::read(&reply)),
            _ => assert_eq!((reply.status, reply.header("retry-after").is_some()), (503, true), "{reply:?}"),
        }
    }
    assert!(granted.len() >= 3, "{} answers with tokens", granted.len());
    assert!(granted.iter().all(|tokens| tokens.refresh_token == granted[0].refresh_token), "several successors");
    for tokens in &granted {
        assert_serves(bed, &tokens.access_token).await;
    }
    assert_serves(bed, &client.refresh(&granted[0].refresh_token).await.access_token).await;
    bed.assert_healthy().await;
}

#[tokio::test]
async fn a_refresh_that_asks_for_what_is_not_its_own_is_refused_and_changes_nothing() {
    let bed = testbed().await;
    let (client, tokens) = log_in(bed, "alice").await;
    let stranger = crate::support::client(bed).await;
    let right = client.refresh_request(&tokens.refresh_token);
    let forged = format!("{}A", tokens.refresh_token);
    let (_, code, _) = super::codes::code(bed, "alice").await;
    let not_ours = "the refresh token is not one of this server";
    let cases: [(&str, TokenRequest, u16, &str, &str); 8] = [
        (
            "another client",
            right.clone().with("client_id", &stranger.client_id),
            400,
            "invalid_grant",
            "the refresh token belongs to another client",
        ),
        (
            "another resource",
            right.clone().with("resource", &bed.resource()),
            400,
            "invalid_target",
            "the login was for another resource",
        ),
        (
            "more scopes",
            right.clone().with("scope", "openid email"),
            400,
            "invalid_scope",
            "a scope was not granted at login",
        ),
        ("a changed token", right.clone().with("refresh_token", &forged), 400, "invalid_grant", not_ours),
        ("a code", right.clone().with("refresh_token", &code), 400, "invalid_grant", not_ours),
        ("an access token", right.clone().with("refresh_token", &tokens.access_token), 400, "invalid_grant", not_ours),
        ("no token", right.clone().without("refresh_token"), 400, "invalid_request", "refresh_token is missing"),
        (
            "an unknown client",
            right.clone().with("client_id", "no-such-client"),
            401,
            "invalid_client",
            "the client is not known here, or was deleted; register again",
        ),
    ];
    for (what, request, status, error, description) in cases {
        assert_error(&request.send().await, status, error, description, what);
    }
    let next = Tokens::read(&right.send().await);
    assert_serves(bed, &next.access_token).await;
    bed.assert_healthy().await;
}

#[tokio::test]
async fn a_client_that_did_not_ask_for_refresh_tokens_gets_none() {
    let bed = testbed().await;
    let mut client = client(bed).await;
    let mut registration = client.registration();
    registration["grant_types"] = json!(["authorization_code"]);
    let registered = client.register_with(&registration).await.json();
    assert_eq!(registered["grant_types"], json!(["authorization_code"]));
    client.client_id = registered["client_id"].as_str().expect("an id").to_owned();
    let tokens = client.log_in(&mut Browser::new("alice")).await;
    assert_eq!(tokens.answer.get("refresh_token"), None);
    assert_serves(bed, &tokens.access_token).await;
    bed.assert_healthy().await;
}

const REPLAYED: &str = "the refresh token was used before; the login has been ended";
