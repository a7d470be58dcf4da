//! Providers whose token endpoint takes one kind of client authentication alone, and what they say
//! of it.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as URL_SAFE_NO_PAD;
use p256::SecretKey;
use p256::elliptic_curve::sec1::ToSec1Point as _;
use p256::pkcs8::DecodePrivateKey as _;
use portcullis_testbed::browser::Browser;
use portcullis_testbed::oauth_client::Callback;
use portcullis_testbed::testbed::{IdpOptions, Testbed};
use serde_json::{Value, json};

use crate::machine;
use crate::support::{assert_serves, client, log_in, until};

#[tokio::test]
async fn a_provider_that_takes_basic_alone_is_logged_in_at_and_refreshed() {
    works(BASIC, Some(json!([BASIC])), Value::Null).await;
}

#[tokio::test]
async fn a_provider_that_says_nothing_takes_basic() {
    works(BASIC, Some(Value::Null), Value::Null).await;
}

#[tokio::test]
async fn a_provider_that_takes_the_body_alone_is_logged_in_at_and_refreshed() {
    works(POST, Some(json!(["private_key_jwt", POST])), Value::Null).await;
}

#[tokio::test]
async fn a_provider_that_says_what_it_does_not_take_is_overruled_by_the_configuration() {
    works(POST, Some(json!([BASIC])), json!("post")).await;
    works(BASIC, Some(json!([POST])), json!("basic")).await;
}

#[tokio::test]
async fn a_provider_that_takes_no_secret_is_named_before_the_user_is_sent_there() {
    let bed = started(BASIC, Some(json!(["private_key_jwt"])), Value::Null).await;
    let client = client(&bed).await;
    let authorization = client.authorization();
    let back = Browser::new("alice").log_in(&authorization.url(), &client.redirect_uri).await;
    let callback = Callback::read(&back);
    let described = "the identity provider takes no client authentication that the gateway has".to_owned();
    assert_eq!(callback.error.as_deref(), Some("server_error"));
    assert!(callback.parameters.contains(&("error_description".to_owned(), described)), "{callback:?}");
    assert_eq!(bed.idp_requests().await.authorization, 0);
    let entry = bed.access_entry(|entry| entry["path"] == "/oauth/consent").await;
    assert_eq!(entry["audit"]["reason"], "provider_client_authentication", "{entry}");
    bed.assert_healthy().await;
}

/// The provider knows the public half alone, and checks audience, time and use of each assertion.
#[tokio::test]
async fn a_key_in_place_of_a_secret_works_for_the_users_who_may_log_in() {
    let idp = IdpOptions {
        access_token_ttl: 1,
        takes: Some("private_key_jwt"),
        client_key: Some(public_half(CLIENT_KEY)),
        ..IdpOptions::default()
    };
    let provider = json!({ "name": "idp", "type": "oidc", "oidcConfig": {
        "issuerUrl": "{idp}", "cluster": "idp", "clientId": "portcullis", "clientKey": { "inline": CLIENT_KEY },
        "clientKeyId": KEY_ID,
        "scopes": ["openid", "offline_access", "email"],
    } });
    let allow = json!([{ "subject": "alice" }, { "emailDomain": "example.com" }]);
    let config = json!({ "upstreamProviders": [provider], "users": { "allow": allow } });
    let bed = machine::testbed().idp(idp).config(config).start().await;

    let (alice, tokens) = log_in(&bed, "alice").await;
    refreshes_upstream(&bed, &tokens.access_token).await;
    let renewed = alice.refresh(&tokens.refresh_token).await;
    assert_serves(&bed, &renewed.access_token).await;

    // Bob's verified address is at another domain.
    let client = client(&bed).await;
    let back = Browser::new("bob").log_in(&client.authorization().url(), &client.redirect_uri).await;
    assert_eq!(Callback::read(&back).error.as_deref(), Some("access_denied"));
    let entry = bed.access_entry(|entry| entry["audit"]["reason"] == "login_user_not_allowed").await;
    assert_eq!(entry["audit"]["subject"], "bob", "{entry}");
    let secret_line = CLIENT_KEY.lines().nth(1).expect("a line of the key");
    assert!(!bed.envoy_log().contains(secret_line), "the key is in Envoy's log");
    bed.assert_healthy().await;
}

/// A login, a refresh of its upstream tokens, and no secret in any log.
async fn works(takes: &'static str, lists: Option<Value>, setting: Value) {
    let bed = started(takes, lists, setting).await;
    let (_, tokens) = log_in(&bed, "alice").await;
    assert_serves(&bed, &tokens.access_token).await;
    refreshes_upstream(&bed, &tokens.access_token).await;
    let escaped = "a%3Ab%25c%2Bd%20e%2F%3D%26%22~";
    for hidden in [SECRET, escaped] {
        assert!(!bed.envoy_log().contains(hidden), "the secret is in Envoy's log");
    }
    bed.assert_healthy().await;
}

/// The public half of an EC key, as it is registered with a provider.
fn public_half(pem: &str) -> Value {
    let point = SecretKey::from_pkcs8_pem(pem).expect("an EC key").public_key().to_sec1_point(false);
    let [x, y] = [&point.as_bytes()[1..33], &point.as_bytes()[33..]].map(|half| URL_SAFE_NO_PAD.encode(half));
    json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": KEY_ID, "use": "sig", "alg": "ES256" })
}

async fn refreshes_upstream(bed: &Testbed, access_token: &str) {
    until("the upstream tokens were renewed", async || {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_serves(bed, access_token).await;
        bed.idp_requests().await.refreshed > 0
    })
    .await;
}

async fn started(takes: &'static str, lists: Option<Value>, setting: Value) -> Testbed {
    let idp = IdpOptions {
        access_token_ttl: 1,
        takes: Some(takes),
        lists,
        client_secret: Some(SECRET),
        ..IdpOptions::default()
    };
    let builder = machine::testbed().idp(idp);
    if setting.is_null() {
        return builder.start().await;
    }
    // A list is replaced as a whole by a merge patch.
    let provider = json!({ "name": "idp", "type": "oidc", "oidcConfig": {
        "issuerUrl": "{idp}", "cluster": "idp", "clientId": "portcullis", "clientSecret": { "env": "IDP_SECRET" },
        "clientAuthentication": setting, "scopes": ["openid", "offline_access"],
    } });
    builder.config(json!({ "upstreamProviders": [provider] })).start().await
}

const KEY_ID: &str = "key-1";
const CLIENT_KEY: &str = include_str!("../../crates/protocol/testdata/keys/p256.pkcs8.pem");
const BASIC: &str = "client_secret_basic";
const POST: &str = "client_secret_post";
/// With each character that the two forms spell differently.
const SECRET: &str = "a:b%c+d e/=&\"~";
