//! Logins at two providers in a real Envoy: one after the other, or one that the user chooses. One
//! speaks OpenID Connect, the other OAuth 2.0 alone.

use portcullis_testbed::bending_server::BendingServer;
use portcullis_testbed::browser::Browser;
use portcullis_testbed::oauth_client::{Callback, OAuthClient, claims};
use portcullis_testbed::testbed::{IdpOptions, Testbed};
use serde_json::json;

use crate::machine;
use crate::support::assert_page;

#[tokio::test]
async fn a_login_goes_to_both_providers_and_each_resource_gets_its_own_ones_token() {
    let hub = BendingServer::start("portcullis", SECRET).unwrap();
    let bed = started(&hub, "required").await;
    let mut users = Vec::new();
    for path in ["/api/corp", "/api/hub"] {
        let client = client(&bed, path).await;
        let mut browser = Browser::new("carol");
        let tokens = client.log_in(&mut browser).await;
        let visited = |url: &str| browser.hops.iter().position(|hop| hop.url.as_str().starts_with(url)).unwrap();
        assert!(visited(&bed.idp()) < visited(&hub.issuer()), "in the order of the configuration");
        users.push(tokens.claims()["sub"].clone());
        let tokens = client.refresh(&tokens.refresh_token).await;
        let injected = called(&bed, path, &tokens.access_token).await;
        let is_hubs = injected == "access-alice-1";
        assert_eq!(is_hubs, path == "/api/hub", "{path}: {injected}");
        if !is_hubs {
            assert_eq!(claims(&injected)["sub"], "carol");
        }
        // A token is for its own resource alone.
        let other = bed.get(if is_hubs { "/api/corp" } else { "/api/hub" }).bearer(&tokens.access_token).send().await;
        assert_eq!(other.status, 401, "{other:?}");
    }
    assert_eq!(users[0], users[1], "who the user is, the first provider says");

    // The second leg in another browser than the first.
    let client = client(&bed, "/api/hub").await;
    let mut browser = Browser::new("carol");
    let authorization = client.authorization();
    let page = browser.open(&authorization.url(), &client.redirect_uri).await.page();
    let page = browser.submit(&page, &browser.fill_in(page.form()), &client.redirect_uri).await.page();
    let mut form = browser.fill_in(page.form());
    let mut page = page;
    // As far as the second provider, where the browser is stopped.
    let stopped = loop {
        match browser.submit(&page, &form, &format!("{}/authorize", hub.issuer())).await {
            portcullis_testbed::browser::Arrival::Left(url) => break url,
            portcullis_testbed::browser::Arrival::Page(next) => {
                form = browser.fill_in(next.form());
                page = next;
            }
        }
    };
    let callback = Browser::new("mallory").open(stopped.as_str(), &client.redirect_uri).await.page();
    assert_page(&callback.response, 400, "It is not known in this browser", "another browser");
    let back = browser.open(stopped.as_str(), &client.redirect_uri).await.left();
    client.redeem(Callback::read(&back).code(), &authorization.verifier).await;
    bed.assert_healthy().await;
}

#[tokio::test]
async fn a_user_chooses_a_provider_on_the_consent_page_and_is_served_with_its_token() {
    let hub = BendingServer::start("portcullis", SECRET).unwrap();
    let bed = started(&hub, "choice").await;
    for (path, provider) in [("/api/corp", "idp"), ("/api/hub", "hub")] {
        let client = client(&bed, path).await;
        let mut browser = Browser::new("carol").choosing(provider);
        let page = browser.open(&client.authorization().url(), &client.redirect_uri).await.page();
        let text = page.response.text();
        assert!(text.contains("continue with <bdi>Carol&#39;s Company</bdi></button>"), "{text}");
        assert!(text.contains("continue with <bdi>hub</bdi></button>"), "{text}");
        let tokens = client.log_in(&mut browser).await;
        let injected = called(&bed, path, &tokens.access_token).await;
        assert_eq!(injected == "access-alice-1", provider == "hub", "{injected}");
    }
    // What the other one's token is needed for is refused by its name.
    let client = client(&bed, "/api/corp").await;
    let tokens = client.log_in(&mut Browser::new("carol").choosing("hub")).await;
    let revision = ("mcp-protocol-version", "2025-11-25");
    let refused = bed.get("/api/corp").bearer(&tokens.access_token).header(revision.0, revision.1).send().await;
    assert_eq!((refused.status, &refused.json()["error"]), (403, &json!("access_denied")), "{refused:?}");
    assert!(refused.text().contains("Carol's Company"), "{refused:?}");
    bed.assert_healthy().await;
}

async fn client(bed: &Testbed, path: &str) -> OAuthClient {
    OAuthClient::discover(&format!("{}{path}", bed.gateway())).await.register().await
}

/// Calls a resource; returns the token that the backend gets.
async fn called(bed: &Testbed, path: &str, token: &str) -> String {
    let reply = bed.get(path).bearer(token).send().await;
    assert_eq!(reply.status, 200, "{path}: {reply:?}");
    bed.recorded().await.last().and_then(|request| request.bearer()).unwrap_or_default().to_owned()
}

/// A gateway with both providers, which have this part in a login.
async fn started(hub: &BendingServer, login: &str) -> Testbed {
    let issuer = hub.issuer();
    let providers = json!([
        { "name": "idp", "displayName": "Carol's Company", "type": "oidc", "login": login, "oidcConfig": {
            "issuerUrl": "{idp}", "cluster": "idp", "clientId": "portcullis", "clientSecret": { "env": "IDP_SECRET" },
            "scopes": ["openid", "offline_access"],
        } },
        { "name": "hub", "type": "oauth2", "login": login, "oauth2Config": {
            "authorizationEndpoint": format!("{issuer}/authorize"), "tokenEndpoint": format!("{issuer}/token"),
            "cluster": "hub", "clientId": "portcullis", "clientSecret": { "env": "IDP_SECRET" },
            "userInfo": { "endpointUrl": format!("{issuer}/user"), "fieldMapping": { "subjectFields": ["id"] } },
        } },
    ]);
    let resource = |path: &str, provider: &str| {
        json!({ "resource": format!("{{gateway}}{path}"), "match": { "prefix": path }, "scopes": ["openid"],
                "inject": { "type": "upstreamInject", "providerName": provider } })
    };
    machine::testbed()
        .idp(IdpOptions { client_secret: Some(SECRET), ..IdpOptions::default() })
        .cluster("hub", hub.port())
        .config(json!({
            "upstreamProviders": providers,
            "resources": [resource("/api/corp", "idp"), resource("/api/hub", "hub")],
        }))
        .start()
        .await
}

const SECRET: &str = "a secret of the provider";
