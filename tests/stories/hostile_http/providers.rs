//! A provider in trouble while a user logs in: the client gets an error, no request waits for ever,
//! and the next login works.

use std::time::{Duration, Instant};

use portcullis_testbed::browser::Browser;
use portcullis_testbed::oauth_client::Callback;
use portcullis_testbed::testbed::Testbed;
use serde_json::json;

use crate::machine;
use crate::support::{assert_serves, client, log_in, until};

#[tokio::test]
async fn a_login_during_a_provider_in_trouble_ends_in_an_error_for_the_client_and_the_next_one_works() {
    let bed = machine::testbed().workers(2).start().await;
    let (client, tokens) = log_in(&bed, "alice").await;
    let unreachable = ("temporarily_unavailable", "the identity provider cannot be reached");
    let not_valid = ("server_error", "the identity provider's answer is not valid");
    let refused = ("server_error", "the identity provider refused the gateway");
    for (trouble, (error, description)) in [
        (json!({ "mode": "drop" }), unreachable),
        (json!({ "mode": "error", "status": 500 }), unreachable),
        (json!({ "mode": "error", "status": 503 }), unreachable),
        (json!({ "mode": "slow", "ms": 60_000 }), unreachable),
        (json!({ "mode": "huge", "bytes": 20_000_000 }), unreachable),
        (json!({ "mode": "html" }), not_valid),
        (json!({ "mode": "truncated" }), not_valid),
        (json!({ "mode": "contentType" }), not_valid),
        (json!({ "mode": "error", "status": 401, "error": "invalid_client" }), refused),
        (
            json!({ "mode": "error", "status": 400, "error": "invalid_grant" }),
            ("access_denied", "the identity provider did not accept the login"),
        ),
    ] {
        bed.set_idp(json!({ "token": trouble })).await;
        let authorization = client.authorization();
        let started = Instant::now();
        let back = Browser::new("bob").log_in(&authorization.url(), &client.redirect_uri).await;
        assert!(started.elapsed() < Duration::from_secs(12), "{trouble}: {:?}", started.elapsed());
        let callback = Callback::read(&back);
        let told =
            callback.parameters.iter().find(|(name, _)| name == "error_description").map(|(_, text)| text.as_str());
        assert_eq!((callback.error.as_deref(), told), (Some(error), Some(description)), "{trouble}");
        assert_eq!((callback.state, callback.code), (Some(authorization.state), None), "{trouble}");
        // Who is logged in already does not notice.
        for _ in 0..4 {
            assert_serves(&bed, &tokens.access_token).await;
        }
    }
    assert_eq!(provider_up(&bed).await, 1, "a refused code is about the user");
    bed.set_idp(json!({ "token": { "mode": "drop" } })).await;
    let authorization = client.authorization();
    Browser::new("bob").log_in(&authorization.url(), &client.redirect_uri).await;
    assert_eq!(provider_up(&bed).await, 0);
    bed.set_idp(json!({ "token": null })).await;
    let tokens = client.log_in(&mut Browser::new("bob")).await;
    assert_serves(&bed, &tokens.access_token).await;
    assert_eq!(provider_up(&bed).await, 1);

    // The operator reads each cause once a worker, with the place, and no secret.
    let log = bed.envoy_log();
    let place = format!("provider `idp`: {}/token: ", bed.idp());
    for cause in [
        "no connection",
        "it answered with status 500",
        "it answered with status 503",
        "no answer in time",
        "the token endpoint's answer is not JSON",
        "the token endpoint's answer is not one JSON object",
        "the provider does not accept the gateway",
    ] {
        let lines = log.lines().filter(|line| line.contains(&place) && line.contains(cause)).count();
        assert!((1..=4).contains(&lines), "{cause}: {lines} lines");
    }
    assert!(!log.contains(bed.idp_secret()) && !log.contains(&tokens.access_token));
    bed.assert_healthy().await;
}

async fn provider_up(bed: &Testbed) -> u64 {
    let stats = bed.stats("wasmcustom.portcullis.provider_up").await;
    *stats.get("wasmcustom.portcullis.provider_up.idp").expect("the gauge")
}

#[tokio::test]
async fn keys_that_the_provider_changes_are_fetched_again() {
    let bed = machine::testbed().start().await;
    let client = client(&bed).await;
    client.log_in(&mut Browser::new("alice")).await;
    let before = bed.idp_requests().await;
    bed.set_idp(json!({ "rotateKeys": true })).await;
    // The gateway asks again at most once in ten seconds, so that no client can make it ask for
    // ever; until then a login ends in an error.
    until("a login with the new keys works", async || {
        let authorization = client.authorization();
        let back = Browser::new("alice").log_in(&authorization.url(), &client.redirect_uri).await;
        let callback = Callback::read(&back);
        match callback.code {
            Some(code) => {
                let tokens = client.redeem(&code, &authorization.verifier).await;
                assert_serves(&bed, &tokens.access_token).await;
                true
            }
            None => {
                assert_eq!(callback.error.as_deref(), Some("server_error"), "{callback:?}");
                false
            }
        }
    })
    .await;
    let asked = bed.idp_requests().await;
    assert!((1..=2).contains(&(asked.jwks - before.jwks)), "{before:?} {asked:?}");
    bed.assert_healthy().await;
}
