//! A backend's response does not send a client to another authorization server, set the gateway's
//! cookies, or leave the client with a token that is not accepted.

use portcullis_testbed::http::Response;
use portcullis_testbed::oauth_client::Tokens;
use portcullis_testbed::testbed::{IdpOptions, Testbed};
use serde_json::json;

use crate::machine;
use crate::scripted_backend::ScriptedBackend;
use crate::support::{challenge, log_in, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backends_401_leads_to_one_refresh_and_then_to_the_gateways_challenge() {
    let (bed, backend) = testbed().await;
    backend.add_fields(FOREIGN);
    let (client, tokens) = log_in(&bed, "alice").await;
    assert_eq!(call(&bed, &tokens).await.status, 200);
    backend.reject_last();
    let rejected = backend.last();
    let reply = call(&bed, &tokens).await;
    assert_refused(&bed, &reply);
    assert_eq!(reply.text(), "no!\n", "the backend's body stays");
    until("the token is renewed without a further call", async || bed.idp_requests().await.refreshed == 1).await;
    until("calls work again", async || call(&bed, &tokens).await.status == 200).await;
    assert_ne!(backend.last(), rejected);

    // A backend that accepts no token at all.
    backend.reject_all(true);
    for _ in 0..50 {
        assert_refused(&bed, &call(&bed, &tokens).await);
    }
    assert_eq!(bed.idp_requests().await.refresh_grants, 1, "in half a minute");
    backend.reject_all(false);
    assert_eq!(call(&bed, &client.refresh(&tokens.refresh_token).await).await.status, 200, "the login goes on");
    bed.assert_healthy().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_grant_is_over_a_backends_401_ends_the_login() {
    let (bed, backend) = testbed().await;
    let (client, tokens) = log_in(&bed, "alice").await;
    assert_eq!(call(&bed, &tokens).await.status, 200);
    bed.set_idp(json!({ "token": { "mode": "error", "status": 400, "error": "invalid_grant" } })).await;
    backend.reject_last();
    assert_refused(&bed, &call(&bed, &tokens).await);
    until("the session ends", async || {
        let reply = call(&bed, &tokens).await;
        assert_eq!(reply.status, 401, "{reply:?}");
        reply.header("www-authenticate").is_some_and(|challenge| challenge.contains("has ended"))
    })
    .await;
    let reply = client.refresh_request(&tokens.refresh_token).send().await;
    assert_eq!((reply.status, reply.json()["error"].as_str()), (400, Some("invalid_grant")));
    bed.assert_healthy().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_calls_to_a_backend_that_rejects_every_token_make_one_refresh() {
    let (bed, backend) = testbed().await;
    let (_, tokens) = log_in(&bed, "alice").await;
    backend.reject_all(true);
    let calls: Vec<_> =
        (0..1_000).map(|_| tokio::spawn(bed.get("/api/scripted/x").bearer(&tokens.access_token).send())).collect();
    for call in calls {
        assert_refused(&bed, &call.await.expect("an answer"));
    }
    assert!(bed.idp_requests().await.refresh_grants <= 1);
    bed.assert_healthy().await;
}

#[tokio::test]
async fn a_backend_sets_cookies_but_not_the_gateways_and_brings_no_challenge() {
    let (bed, backend) = testbed().await;
    let (_, tokens) = log_in(&bed, "alice").await;
    let cookies = "set-cookie: a=1; Path=/\r\nset-cookie: portcullis-browser=x; Path=/\r\n\
                   set-cookie: __Host-portcullis-login-abc=; Path=/; Secure\r\nset-cookie: b=2\r\n";
    backend.add_fields(&format!("{FOREIGN}{cookies}"));
    for path in ["/api/scripted/x", "/elsewhere/x", "/api/scripted/forbidden"] {
        let reply = bed.get(path).bearer(&tokens.access_token).send().await;
        assert_eq!(reply.headers("set-cookie").collect::<Vec<_>>(), ["a=1; Path=/", "b=2"], "{path}");
        if path.ends_with("forbidden") {
            assert_eq!((reply.status, reply.header("www-authenticate")), (403, None), "not the backend's either");
        }
    }
    backend.add_fields("set-cookie: a=1\r\n");
    let reply = bed.get("/api/scripted/x").bearer(&tokens.access_token).send().await;
    assert_eq!(reply.headers("set-cookie").collect::<Vec<_>>(), ["a=1"]);
    bed.assert_healthy().await;
}

/// A gateway with two workers before a scripted backend, also on a path without a rule.
async fn testbed() -> (Testbed, ScriptedBackend) {
    let backend = ScriptedBackend::start().await;
    let bed = machine::testbed()
        .workers(2)
        .idp(IdpOptions { access_token_ttl: 3_600, ..IdpOptions::default() })
        .cluster("scripted", backend.port())
        .route("/api/scripted", "scripted")
        .route("/elsewhere", "scripted")
        .config(json!({ "default": "pass" }))
        .start()
        .await;
    (bed, backend)
}

async fn call(bed: &Testbed, tokens: &Tokens) -> Response {
    bed.get("/api/scripted/x").bearer(&tokens.access_token).send().await
}

/// Holds for the backend's 401 with the gateway's challenge.
#[track_caller]
fn assert_refused(bed: &Testbed, reply: &Response) {
    assert_eq!(reply.status, 401, "{reply:?}");
    let description = "the service behind this resource does not accept the login";
    let expected = challenge(bed, Some(("invalid_token", description)));
    assert_eq!(reply.headers("www-authenticate").collect::<Vec<_>>(), [expected.as_str()], "{reply:?}");
}

const FOREIGN: &str = "www-authenticate: Bearer resource_metadata=\"https://evil.example/metadata\"\r\n\
                       www-authenticate: Basic realm=\"x\"\r\n";
