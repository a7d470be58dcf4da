//! Logins at a provider that speaks OAuth 2.0 alone, as GitHub does, in a real Envoy.

use portcullis_testbed::bending_server::BendingServer;
use portcullis_testbed::browser::Browser;
use portcullis_testbed::oauth_client::Callback;
use portcullis_testbed::testbed::{IdpOptions, Testbed};
use serde_json::{Value, json};

use crate::machine;
use crate::support::{assert_serves, client, log_in, until};

#[tokio::test]
async fn a_user_is_whom_userinfo_names_and_backends_get_the_providers_token() {
    let provider = BendingServer::start("portcullis", SECRET).unwrap();
    let bed = started(&provider, json!({ "endpointUrl": format!("{}/user", provider.issuer()) })).await;
    let mut subjects = Vec::new();
    for _ in 0..2 {
        let (client, tokens) = log_in(&bed, "alice").await;
        assert_serves(&bed, &tokens.access_token).await;
        let injected = bed.recorded().await.last().and_then(|request| request.bearer()).unwrap_or_default();
        assert_eq!(injected, "access-alice-1");
        let tokens = client.refresh(&tokens.refresh_token).await;
        assert_serves(&bed, &tokens.access_token).await;
        subjects.push(tokens.claims()["sub"].clone());
    }
    assert_eq!(subjects[0], subjects[1], "another login, and the same user");
    bed.assert_healthy().await;
}

#[tokio::test]
async fn a_login_whose_user_cannot_be_asked_for_ends_at_the_client_and_in_the_log() {
    let provider = BendingServer::start("portcullis", SECRET).unwrap();
    // The document there says nothing about users.
    let endpoint = format!("{}/.well-known/openid-configuration", provider.issuer());
    let bed = started(&provider, json!({ "endpointUrl": endpoint })).await;
    let client = client(&bed).await;
    let authorization = client.authorization();
    let back = Browser::new("alice").log_in(&authorization.url(), &client.redirect_uri).await;
    let callback = Callback::read(&back);
    assert_eq!((callback.error.as_deref(), callback.code), (Some("server_error"), None));
    until("the log names the endpoint and the cause", async || {
        let log = bed.envoy_log();
        log.contains(&endpoint) && log.contains("the provider does not say whose the login is")
    })
    .await;
    bed.assert_healthy().await;
}

async fn started(provider: &BendingServer, mut user_info: Value) -> Testbed {
    user_info["fieldMapping"] = json!({ "subjectFields": ["id", "login"], "nameFields": ["name", "login"] });
    let issuer = provider.issuer();
    let settings = json!({ "name": "hub", "type": "oauth2", "oauth2Config": {
        "authorizationEndpoint": format!("{issuer}/authorize"), "tokenEndpoint": format!("{issuer}/token"),
        "cluster": "hub", "clientId": "portcullis", "clientSecret": { "env": "IDP_SECRET" },
        "scopes": ["read:user"], "userInfo": user_info,
    } });
    let inject = json!({ "type": "upstreamInject", "providerName": "hub" });
    let resource = |path: &str| {
        json!({ "resource": format!("{{gateway}}{path}"), "match": { "prefix": path }, "scopes": ["openid"],
                "inject": inject })
    };
    machine::testbed()
        .idp(IdpOptions { client_secret: Some(SECRET), ..IdpOptions::default() })
        .cluster("hub", provider.port())
        .config(json!({ "upstreamProviders": [settings], "resources": [resource("/mcp"), resource("/api")] }))
        .start()
        .await
}

const SECRET: &str = "a secret of the provider";
