//! Logins at a provider whose answers are bent, in a real Envoy: the main modes of the testkit's
//! table, of which every one is tried in the gateway's flows.

use std::time::Duration;

use portcullis_testbed::bending_server::BendingServer;
use portcullis_testbed::browser::Browser;
use portcullis_testbed::oauth_client::Callback;
use portcullis_testbed::testbed::{IdpOptions, Testbed};
use portcullis_testkit::bending_provider::{self, Expected};
use serde_json::json;

use crate::machine;
use crate::support::{assert_audited, assert_serves, client, log_in, until};

#[tokio::test]
async fn answers_as_the_rfcs_allow_them_are_understood_and_others_are_named() {
    let provider = BendingServer::start("portcullis", SECRET).unwrap();
    let bed = started(&provider).await;
    let client = client(&bed).await;
    for mode in [
        "as the RFCs write it",
        "a header with keys and where to find them",
        "a header without a type",
        "an ID token signed with EdDSA",
        "claims that no reader needs",
        "300 groups in an ID token of 40 KB",
        "an ID token of 130 KB",
        "times with a fraction",
        "several audiences and the party among them",
        "a token answer with members that no reader needs",
        "a token answer of 100 KB",
        "a life with a fraction",
        "a life in a string",
        "no life",
        "an error that is null",
    ] {
        provider.bend(mode);
        let tokens = client.log_in(&mut Browser::new("alice")).await;
        assert_serves(&bed, &tokens.access_token).await;
    }
    assert_eq!(told(&bed), ["a user is in more groups than are kept: 100, of 4 KiB at most"]);
    let mut logged = 1;
    for mode in [
        "an ID token signed with PS256",
        "an ID token that is not signed",
        "an ID token with an extension that must be understood",
        "an access token in place of an ID token",
        "an ID token of another issuer",
        "an ID token with another signature",
        "an ID token that names two users",
        "an encrypted ID token",
        "an ID token of another login",
        "a compressed token answer",
        "a page in place of tokens",
        "an access token for DPoP",
    ] {
        provider.bend(mode);
        let authorization = client.authorization();
        let mut browser = Browser::new("alice");
        let callback = Callback::read(&browser.log_in(&authorization.url(), &client.redirect_uri).await);
        assert_eq!((callback.error.as_deref(), callback.code), (Some("server_error"), None), "{mode}");

        // The operator reads a line that no mode before has caused, and the audit trail has the
        // reason.
        let Some(Expected::Refused(reason, words)) = bending_provider::mode(mode).map(|mode| mode.expected) else {
            panic!("{mode} is refused")
        };
        logged += 1;
        until(mode, async || told(&bed).len() >= logged).await;
        let lines = told(&bed);
        let [.., line] = lines.as_slice() else { panic!("{mode}: {lines:?}") };
        assert!(lines.len() == logged && line.contains(words), "{mode}: {lines:?}");
        let asked = browser.hops.last().expect("a callback").url.to_string();
        assert_audited(&bed, &asked, reason.as_str()).await;
    }
    bed.assert_healthy().await;
}

#[tokio::test]
async fn odd_documents_are_read_and_a_token_that_never_says_how_long_it_lives_is_renewed() {
    let provider = BendingServer::start("portcullis", SECRET).unwrap();
    provider.bend("a key set with keys of every unknown kind");
    let bed = started(&provider).await;
    // It is due at once, and again some seconds later.
    provider.bend("a life of zero");
    let (_, tokens) = log_in(&bed, "alice").await;
    let injected = async || {
        assert_serves(&bed, &tokens.access_token).await;
        bed.recorded().await.last().and_then(|request| request.bearer()).unwrap_or_default()
    };
    assert_eq!(injected().await, "access-alice-1");
    until("the upstream token was renewed", async || {
        tokio::time::sleep(Duration::from_millis(200)).await;
        injected().await == "access-alice-2"
    })
    .await;
    for _ in 0..20 {
        assert_eq!(injected().await, "access-alice-2", "it is not renewed at each call");
    }
    bed.assert_healthy().await;
}

/// The lines in Envoy's log about the provider, without what Envoy writes before them.
fn told(bed: &Testbed) -> Vec<String> {
    let log = bed.envoy_log();
    log.lines().filter_map(|line| Some(line.split_once("provider `bent`: ")?.1.to_owned())).collect()
}

async fn started(provider: &BendingServer) -> Testbed {
    let idp = IdpOptions { client_secret: Some(SECRET), ..IdpOptions::default() };
    let settings = json!({ "name": "bent", "type": "oidc", "oidcConfig": {
        "issuerUrl": provider.issuer(), "cluster": "bent", "clientId": "portcullis",
        "clientSecret": { "env": "IDP_SECRET" }, "scopes": ["openid", "offline_access"],
    } });
    let inject = json!({ "type": "upstreamInject", "providerName": "bent" });
    let resource = |path: &str| {
        json!({ "resource": format!("{{gateway}}{path}"), "match": { "prefix": path }, "scopes": ["openid"],
                "inject": inject })
    };
    machine::testbed()
        .idp(idp)
        .cluster("bent", provider.port())
        .config(json!({ "upstreamProviders": [settings], "resources": [resource("/mcp"), resource("/api")] }))
        .start()
        .await
}

const SECRET: &str = "a secret of the bent provider";
