//! Providers whose token endpoint takes one kind of client authentication alone, and what they say
//! of it.

use std::time::Duration;

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

/// A login, a refresh of its upstream tokens, and no secret in any log.
async fn works(takes: &'static str, lists: Option<Value>, setting: Value) {
    let bed = started(takes, lists, setting).await;
    let (_, tokens) = log_in(&bed, "alice").await;
    assert_serves(&bed, &tokens.access_token).await;
    until("the upstream tokens were renewed", async || {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_serves(&bed, &tokens.access_token).await;
        bed.idp_requests().await.refreshed > 0
    })
    .await;
    let escaped = "a%3Ab%25c%2Bd%20e%2F%3D%26%22~";
    for hidden in [SECRET, escaped] {
        assert!(!bed.envoy_log().contains(hidden), "the secret is in Envoy's log");
    }
    bed.assert_healthy().await;
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

const BASIC: &str = "client_secret_basic";
const POST: &str = "client_secret_post";
/// With each character that the two forms spell differently.
const SECRET: &str = "a:b%c+d e/=&\"~";
