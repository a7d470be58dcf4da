//! A provider that users connect when a tool first needs it, in a real Envoy: the login is at one
//! provider, and the resource gets the token of another.

use portcullis_testbed::bending_server::BendingServer;
use portcullis_testbed::browser::{Browser, Page};
use portcullis_testbed::http::Response;
use portcullis_testbed::oauth_client::OAuthClient;
use portcullis_testbed::testbed::{IdpOptions, Testbed};
use serde_json::json;

use crate::machine;
use crate::support::until_in_both_workers;

#[tokio::test]
async fn a_tool_call_leads_a_user_to_the_page_and_works_once_the_provider_is_connected() {
    let hub = BendingServer::start("portcullis", SECRET).unwrap();
    let bed = started(&hub).await;
    let client = client(&bed).await;
    let mut browser = Browser::new("carol");
    let tokens = client.log_in(&mut browser).await;

    // A client of the current revision is given the page to open.
    let asked = tool_call(&bed, &tokens.access_token, NEW).await;
    assert_eq!((asked.status, &asked.json()["error"]["code"]), (200, &json!(-32042)), "{asked:?}");
    assert_eq!(asked.json()["id"], "call-1");
    let elicitation = asked.json()["error"]["data"]["elicitations"][0].clone();
    let url = elicitation["url"].as_str().unwrap().to_owned();
    assert!(elicitation["message"].as_str().unwrap().contains("The Hub"), "{asked:?}");
    let page = browser.open(&url, "").await.page();
    assert!(page.response.text().contains("Not connected"), "{:?}", page.response);
    let connected = press(&mut browser, &page, "connect").await;
    assert!(connected.response.text().contains("is connected"), "{:?}", connected.response);
    assert_served(&bed, &tokens.access_token).await;

    // Another session of the same user is served at once; another user is not.
    let second = client.log_in(&mut Browser::new("carol")).await;
    assert_served(&bed, &second.access_token).await;
    let dave = client.log_in(&mut Browser::new("dave")).await;
    let asked = tool_call(&bed, &dave.access_token, NEW).await;
    assert_eq!(asked.json()["error"]["data"]["elicitations"][0]["url"], url.as_str(), "the page is the same for all");

    // Disconnected, both sessions are asked again, at whichever worker.
    let page = browser.open(&url, "").await.page();
    let left = press(&mut browser, &page, "disconnect").await;
    assert!(left.response.text().contains("Not connected"), "{:?}", left.response);
    for token in [&tokens.access_token, &second.access_token] {
        until_in_both_workers("each worker asks", async || {
            tool_call(&bed, token, NEW).await.json()["error"]["code"] == json!(-32042)
        })
        .await;
    }

    // A client of an older revision gets a 401, and its next login connects the user, too.
    let refused = tool_call(&bed, &tokens.access_token, OLD).await;
    assert_eq!(refused.status, 401, "{refused:?}");
    assert!(refused.header("www-authenticate").is_some_and(|challenge| challenge.contains(&url)), "{refused:?}");
    let refresh = client.refresh_request(&tokens.refresh_token).send().await;
    assert_eq!((refresh.status, &refresh.json()["error"]), (400, &json!("invalid_grant")), "{refresh:?}");
    let again = client.log_in(&mut browser).await;
    assert!(browser.hops.iter().any(|hop| hop.url.as_str().starts_with(&format!("{}/authorize", hub.issuer()))));
    let served = tool_call(&bed, &again.access_token, OLD).await;
    assert_eq!(served.status, 200, "{served:?}");
    assert_served(&bed, &second.access_token).await;
    bed.assert_healthy().await;
}

/// A tool call as an MCP client of this revision sends it.
async fn tool_call(bed: &Testbed, token: &str, version: &str) -> Response {
    let call = json!({ "jsonrpc": "2.0", "id": "call-1", "method": "tools/call", "params": { "name": "issues" } });
    bed.post("/api/hub").bearer(token).header("mcp-protocol-version", version).json(&call).send().await
}

/// Holds when a call reaches the backend with the hub's token and its body.
async fn assert_served(bed: &Testbed, token: &str) {
    let reply = tool_call(bed, token, NEW).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let recorded = bed.recorded().await;
    assert_eq!(recorded.last().and_then(|request| request.bearer()).as_deref(), Some("access-alice-1"));
}

/// Presses a button of a page of connections, and goes wherever that leads.
async fn press(browser: &mut Browser, page: &Page, action: &str) -> Page {
    let mut form = page.form();
    form.press("action", action);
    browser.submit(page, &form, "").await.page()
}

async fn client(bed: &Testbed) -> OAuthClient {
    OAuthClient::discover(&format!("{}/api/hub", bed.gateway())).await.register().await
}

/// A gateway whose users log in at the certified provider, and connect the other one.
async fn started(hub: &BendingServer) -> Testbed {
    let issuer = hub.issuer();
    machine::testbed()
        .workers(2)
        .idp(IdpOptions { client_secret: Some(SECRET), ..IdpOptions::default() })
        .cluster("hub", hub.port())
        .config(json!({
            "upstreamProviders": [
                { "name": "idp", "type": "oidc", "oidcConfig": {
                    "issuerUrl": "{idp}", "cluster": "idp", "clientId": "portcullis",
                    "clientSecret": { "env": "IDP_SECRET" }, "scopes": ["openid", "offline_access"],
                } },
                { "name": "hub", "displayName": "The Hub", "type": "oauth2", "login": "onDemand", "oauth2Config": {
                    "authorizationEndpoint": format!("{issuer}/authorize"), "tokenEndpoint": format!("{issuer}/token"),
                    "cluster": "hub", "clientId": "portcullis", "clientSecret": { "env": "IDP_SECRET" },
                    "userInfo": { "endpointUrl": format!("{issuer}/user"), "fieldMapping": { "subjectFields": ["id"] } },
                } },
            ],
            "resources": [{
                "resource": "{gateway}/api/hub", "match": { "prefix": "/api/hub" }, "scopes": ["openid"],
                "inject": { "type": "upstreamInject", "providerName": "hub" },
            }],
        }))
        .start()
        .await
}

/// Revisions of MCP: the first that knows the answer with a page, and one before it.
const NEW: &str = "2025-11-25";
const OLD: &str = "2025-06-18";
const SECRET: &str = "a secret of the provider";
