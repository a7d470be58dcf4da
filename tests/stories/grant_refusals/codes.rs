//! Authorization codes: one use, one client, one verifier, one redirect URI, one resource.

use std::time::Duration;

use portcullis_testbed::browser::Browser;
use portcullis_testbed::oauth_client::{OAuthClient, TokenRequest, Tokens};
use portcullis_testbed::testbed::Testbed;
use serde_json::json;

use super::{assert_ended, testbed, use_in_every_worker};
use crate::machine;
use crate::support::{assert_error, assert_serves, client, log_in, until};

#[tokio::test]
async fn a_code_that_is_used_twice_ends_everything_that_came_from_it() {
    let bed = testbed().await;
    let (client, code, verifier) = code(bed, "alice").await;
    let tokens = client.redeem(&code, &verifier).await;
    use_in_every_worker(bed, &tokens).await;

    let replay = client.redeem_request(&code, &verifier).send().await;
    let description = "the code was used before; everything issued from it has been revoked";
    assert_error(&replay, 400, "invalid_grant", description, "replay");

    assert_ended(bed, &tokens.access_token).await;
    let refresh = client.refresh_request(&tokens.refresh_token).send().await;
    assert_error(&refresh, 400, "invalid_grant", "the login has ended", "refresh after a replay");
    let third = client.redeem_request(&code, &verifier).send().await;
    assert_error(&third, 400, "invalid_grant", GONE, "third use");
    bed.assert_healthy().await;
}

#[tokio::test]
async fn of_many_uses_of_a_code_at_the_same_time_at_most_one_succeeds_and_its_tokens_end() {
    let bed = testbed().await;
    let (client, code, verifier) = code(bed, "alice").await;
    let uses = (0..20).map(|_| {
        let request = client.redeem_request(&code, &verifier);
        tokio::spawn(async move { request.send().await })
    });
    let mut granted = Vec::new();
    for attempt in uses.collect::<Vec<_>>() {
        let reply = attempt.await.expect("an answer");
        match reply.status {
            200 => granted.push(Tokens::read(&reply)),
            _ => assert_eq!((reply.status, &reply.json()["error"]), (400, &json!("invalid_grant")), "{reply:?}"),
        }
    }
    assert!(granted.len() <= 1, "{} answers with tokens", granted.len());
    for tokens in granted {
        assert_ended(bed, &tokens.access_token).await;
        assert_eq!(client.refresh_request(&tokens.refresh_token).send().await.status, 400);
    }
    bed.assert_healthy().await;
}

#[tokio::test]
async fn a_code_in_the_wrong_hands_is_refused_and_is_no_use_to_anybody_afterwards() {
    let bed = testbed().await;
    let stranger = client(bed).await;
    let mcp = bed.resource();
    let other_verifier = "a".repeat(43);
    type Change<'a> = &'a dyn Fn(TokenRequest) -> TokenRequest;
    let other_client = |request: TokenRequest| request.with("client_id", &stranger.client_id);
    let wrong_verifier = |request: TokenRequest| request.with("code_verifier", &other_verifier);
    let other_path = |request: TokenRequest| request.with("redirect_uri", "http://127.0.0.1:53682/other");
    let other_port = |request: TokenRequest| request.with("redirect_uri", "http://127.0.0.1:53683/callback");
    let other_resource = |request: TokenRequest| request.with("resource", &mcp);
    let redirect = "the redirect_uri is not the one of the authorization request";
    let cases: [(&str, Change<'_>, &str, &str); 5] = [
        ("another client", &other_client, "invalid_grant", "the code belongs to another client"),
        ("a wrong verifier", &wrong_verifier, "invalid_grant", "the code_verifier does not meet the code_challenge"),
        ("another path", &other_path, "invalid_grant", redirect),
        ("another port", &other_port, "invalid_grant", redirect),
        (
            "another resource",
            &other_resource,
            "invalid_target",
            "the resource is not the one of the authorization request",
        ),
    ];
    for (what, change, error, description) in cases {
        let (client, code, verifier) = code(bed, "alice").await;
        let right = client.redeem_request(&code, &verifier);
        let refused = change(right.clone()).send().await;
        assert_error(&refused, 400, error, description, what);
        // It had its one attempt, so that nothing can be guessed at.
        let afterwards = right.send().await;
        assert_error(&afterwards, 400, "invalid_grant", GONE, what);
    }
    bed.assert_healthy().await;
}

#[tokio::test]
async fn a_request_that_cannot_be_the_clients_own_leaves_the_code_as_it_is() {
    let bed = testbed().await;
    let (client, code, verifier) = code(bed, "alice").await;
    let right = client.redeem_request(&code, &verifier);
    let verifier_description = "code_verifier is missing or malformed";
    for (what, request, status, error, description) in [
        ("no verifier", right.clone().without("code_verifier"), 400, "invalid_grant", verifier_description),
        ("a short one", right.clone().with("code_verifier", "short"), 400, "invalid_grant", verifier_description),
        ("no client", right.clone().without("client_id"), 400, "invalid_request", "client_id is missing"),
        (
            "an unknown client",
            right.clone().with("client_id", "no-such-client"),
            401,
            "invalid_client",
            "the client is not known here, or was deleted; register again",
        ),
    ] {
        assert_error(&request.send().await, status, error, description, what);
    }
    // OAuth 2.1 has no redirect_uri here, and an empty parameter is absent.
    let right = right.without("redirect_uri").with("client_secret", "");
    let tokens = Tokens::read(&right.send().await);
    assert_serves(bed, &tokens.access_token).await;
    bed.assert_healthy().await;
}

#[tokio::test]
async fn a_code_that_the_gateway_did_not_make_is_refused() {
    let bed = testbed().await;
    let (client, code, verifier) = code(bed, "alice").await;
    let (_, tokens) = log_in(bed, "alice").await;
    let parts: Vec<&str> = code.split('.').collect();
    let mut changed: Vec<String> = Vec::new();
    for index in 0..parts.len() {
        let mut other: Vec<String> = parts.iter().map(|part| (*part).to_owned()).collect();
        let first = if other[index].starts_with('A') { "B" } else { "A" };
        other[index].replace_range(..1, first);
        changed.push(other.join("."));
    }
    changed.extend([
        format!("{code}A"),
        format!("{code}."),
        code[..code.len() - 1].to_owned(),
        "nonsense".to_owned(),
        tokens.refresh_token,
        tokens.access_token,
        "\u{1F600}".to_owned(),
        "x".repeat(10_000),
    ]);
    for other in changed {
        let reply = client.redeem_request(&other, &verifier).send().await;
        assert_error(&reply, 400, "invalid_grant", "the code is not one of this server", &other);
    }
    client.redeem(&code, &verifier).await;
    bed.assert_healthy().await;
}

#[tokio::test]
async fn codes_and_tokens_that_live_for_seconds_end_on_time_also_where_they_are_remembered() {
    let lifespans = json!({ "tokenLifespans": { "accessToken": "2s", "authorizationCode": "1s" } });
    let bed = machine::testbed().workers(2).config(lifespans).start().await;
    let (_, tokens) = log_in(&bed, "alice").await;
    let ends = tokens.claims()["exp"].as_u64().expect("exp");
    let (client, code, verifier) = code(&bed, "alice").await;
    tokio::time::sleep(Duration::from_millis(2_000)).await;
    let late = client.redeem_request(&code, &verifier).send().await;
    assert_error(&late, 400, "invalid_grant", GONE, "an expired code");

    // The first of these calls may still be in time; after the end none is.
    until("the token has expired", async || {
        bed.get("/api/ending").bearer(&tokens.access_token).send().await.status == 401
    })
    .await;
    assert!(std::time::UNIX_EPOCH.elapsed().expect("a clock").as_secs() >= ends);
    let reply = bed.get("/api/ended").bearer(&tokens.access_token).send().await;
    let challenge = crate::support::challenge(&bed, Some(("invalid_token", "the token has expired")));
    assert_eq!(reply.header("www-authenticate"), Some(challenge.as_str()));
    assert_eq!(client.refresh_request(&tokens.refresh_token).send().await.status, 400, "another client's");
    bed.assert_healthy().await;
}

/// A code for the HTTP resource, not yet redeemed: its client, itself and its verifier.
pub(crate) async fn code(bed: &Testbed, user: &str) -> (OAuthClient, String, String) {
    let client = client(bed).await;
    let authorization = client.authorization();
    let callback = client.authorize(&mut Browser::new(user), &authorization).await;
    assert_eq!(callback.state.as_deref(), Some(authorization.state.as_str()));
    assert_eq!(callback.issuer, Some(bed.issuer()));
    (client, callback.code().to_owned(), authorization.verifier)
}

const GONE: &str = "the code has expired or was used before";
