//! Credentials for backends in a real Envoy: a fixed one, headers and a statement about the user
//! that no client can send, and a token that the user's own was exchanged for.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::ecdsa::signature::Verifier as _;
use p256::ecdsa::{Signature, VerifyingKey};
use portcullis_testbed::browser::Browser;
use portcullis_testbed::oauth_client::{OAuthClient, Tokens, claims};
use portcullis_testbed::raw_http2::RawHttp2;
use portcullis_testbed::recorder::Recorded;
use portcullis_testbed::testbed::{IdpOptions, Testbed};
use portcullis_testbed::token_exchange_server::TokenExchangeServer;
use serde_json::{Value, json};

use crate::machine;
use crate::support::{unique, until};

#[tokio::test]
async fn a_backend_learns_who_calls_from_the_gateway_alone() {
    let server = exchange_server();
    let bed = started(&server).await;
    let tokens = logged_in(&bed, "/api/told", "alice").await;
    spoofs_do_not_arrive(&bed, &tokens).await;
    the_statement_verifies(&bed, &tokens).await;
    the_users_token_is_exchanged(&bed, &server).await;
    bed.assert_healthy().await;
}

async fn spoofs_do_not_arrive(bed: &Testbed, tokens: &Tokens) {
    let user = tokens.claims()["sub"].as_str().unwrap().to_owned();
    let exchanged = logged_in(bed, "/api/exchanged", "alice").await;
    for round in 0..3 {
        for (path, token) in [
            ("/api/told", Some(&tokens.access_token)),
            ("/api/exchanged", Some(&exchanged.access_token)),
            ("/api/open", None),
        ] {
            let path = format!("{path}/{}", unique());
            let mut request = bed.get(&path);
            for name in SPOOFED {
                request = request.header(name, "spoof").header(name, "spoof-again");
            }
            if let Some(token) = token {
                request = request.bearer(token);
            }
            assert_eq!(request.send().await.status, 200, "{path} {round}");
            let seen = received(bed, &path).await;
            assert!(!seen.contains("spoof"), "{path}: {:?}", String::from_utf8_lossy(&seen.raw_head));
            if path.starts_with("/api/told") {
                assert_told(&seen, &user);
            } else {
                assert_eq!(seen.header("x-user-id"), None);
            }
        }
    }

    // HTTP/2, where a header is repeated by a byte each time, and with trailers.
    let gateway = bed.gateway();
    let host = gateway.strip_prefix("http://").unwrap();
    let mut connection = RawHttp2::open(host).await.expect("a connection");
    let path = format!("/api/told/{}", unique());
    let authorization = format!("Bearer {}", tokens.access_token);
    let mut headers = vec![("authorization", authorization.as_str())];
    let names: Vec<String> = SPOOFED.iter().map(|name| name.to_ascii_lowercase()).collect();
    headers.extend(names.iter().map(|name| (name.as_str(), "spoof")));
    let stream = connection.begin(&path, &headers, ("x_user_id", "spoof"), 20).await.expect("a stream");
    assert!(connection.send(stream, b"{}", false).await);
    let trailers = [("x-user-id", "spoof"), ("x_identity", "spoof"), ("authorization", "spoof"), ("x-other", "kept")];
    assert!(connection.end(stream, &trailers).await);
    until("it is answered", async || connection.streams().1.get(&200) == Some(&1)).await;
    let seen = received(bed, &path).await;
    assert!(!seen.contains("spoof"), "{:?}", String::from_utf8_lossy(&seen.raw_head));
    assert_told(&seen, &user);
}

fn assert_told(seen: &Recorded, user: &str) {
    assert_eq!(seen.headers("x-user-id"), [user]);
    assert_eq!(seen.headers("x-user-subject"), ["alice"]);
    assert_eq!(seen.headers("x-api-key"), [KEY]);
    assert_eq!(seen.headers("x-identity").len(), 1);
    assert_eq!(seen.headers("authorization").len(), 0, "the client's token stays here");
}

async fn the_statement_verifies(bed: &Testbed, tokens: &Tokens) {
    let path = format!("/api/told/{}", unique());
    assert_eq!(bed.get(&path).bearer(&tokens.access_token).send().await.status, 200);
    let statement = received(bed, &path).await.header("x-identity").unwrap();
    let header: Value = serde_json::from_slice(&decoded(statement.split('.').next().unwrap())).unwrap();
    assert_eq!((&header["typ"], &header["alg"]), (&json!("portcullis-identity+jwt"), &json!("ES256")));
    let keys = bed.get("/.well-known/jwks.json").send().await.json();
    let keys = keys["keys"].as_array().unwrap();
    let key = keys.iter().find(|key| key["kid"] == header["kid"]).expect("a published key");
    let point = [&[4][..], &decoded(key["x"].as_str().unwrap()), &decoded(key["y"].as_str().unwrap())].concat();
    let (signed, signature) = statement.rsplit_once('.').unwrap();
    let signature = Signature::from_slice(&decoded(signature)).unwrap();
    VerifyingKey::from_sec1_bytes(&point).unwrap().verify(signed.as_bytes(), &signature).expect("a good signature");
    let told = claims(&statement);
    assert_eq!((&told["iss"], &told["sub"]), (&json!(bed.issuer()), &tokens.claims()["sub"]));
    assert_eq!((&told["aud"], told.get("sid")), (&json!("the backend"), None));
    assert_eq!(bed.get("/api/told").bearer(&statement).send().await.status, 401, "it is no access token");
}

async fn the_users_token_is_exchanged(bed: &Testbed, server: &TokenExchangeServer) {
    let before = server.exchanges();
    let mut users = Vec::new();
    for user in ["alice", "bob"] {
        users.push((user, logged_in(bed, "/api/exchanged", user).await));
    }
    let seen = exchanged(bed, &users).await;
    assert_eq!(server.exchanges(), before + 2, "one for each session, whichever worker it comes to");
    assert_ne!(seen[0], seen[1]);
    // Refused: no client is sent to log in, and the server is left alone for a while.
    server.refuse_all(true);
    let mallory = logged_in(bed, "/api/exchanged", "mallory").await;
    for _ in 0..5 {
        let refused = bed.get("/api/exchanged").bearer(&mallory.access_token).send().await;
        assert_eq!((refused.status, refused.header("www-authenticate")), (403, None), "{refused:?}");
    }
    assert_eq!(exchanged(bed, &users).await, seen, "others go on");
    server.refuse_all(false);
    assert_eq!(server.exchanges(), before + 2);
}

/// Calls of each user, ten of them; returns the token that each user's backend got.
async fn exchanged(bed: &Testbed, users: &[(&str, Tokens)]) -> Vec<String> {
    let mut seen = Vec::new();
    for (user, tokens) in users {
        let path = format!("/api/exchanged/{}", unique());
        for _ in 0..10 {
            assert_eq!(bed.get(&path).bearer(&tokens.access_token).send().await.status, 200, "{user}");
        }
        let recorded = bed.recorded().await;
        let bearers: Vec<_> = recorded.iter().filter(|request| request.path == path).map(Recorded::bearer).collect();
        assert_eq!(bearers.len(), 10);
        let first = bearers[0].clone().unwrap();
        assert!(first.ends_with(&format!("-{user}")), "{first}");
        assert!(bearers.iter().all(|bearer| bearer.as_deref() == Some(&first)), "{bearers:?}");
        seen.push(first);
    }
    seen
}

/// The request to this path that the backend has received.
async fn received(bed: &Testbed, path: &str) -> Recorded {
    let found = bed.recorded().await.into_iter().rfind(|request| request.path == path);
    found.unwrap_or_else(|| panic!("{path} did not arrive"))
}

async fn logged_in(bed: &Testbed, path: &str, user: &str) -> Tokens {
    let client = OAuthClient::discover(&format!("{}{path}", bed.gateway())).await.register().await;
    client.log_in(&mut Browser::new(user)).await
}

fn decoded(part: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(part).expect("base64url")
}

fn exchange_server() -> TokenExchangeServer {
    let access_token = "urn:ietf:params:oauth:token-type:access_token";
    TokenExchangeServer::start(
        ("gateway", EXCHANGE_SECRET),
        &[
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("subject_token_type", access_token),
            ("requested_token_type", access_token),
            ("audience", "crm"),
            ("resource", "https://crm.example/api"),
            ("scope", "crm.read crm.write"),
        ],
    )
    .expect("a port")
}

async fn started(server: &TokenExchangeServer) -> Testbed {
    let resource = |path: &str, more: Value| {
        let mut resource = json!({
            "resource": format!("{{gateway}}{path}"), "match": { "prefix": path }, "scopes": ["openid"],
        });
        for (name, value) in more.as_object().expect("fields") {
            resource[name] = value.clone();
        }
        resource
    };
    machine::testbed()
        .idp(IdpOptions::default())
        .workers(2)
        .takes_underscores()
        .env("API_KEY", KEY)
        .env("EXCHANGE_SECRET", EXCHANGE_SECRET)
        .cluster("exchange", server.port())
        .config(json!({
            "default": "pass",
            "resources": [
                resource("/api/told", json!({
                    "inject": { "type": "header", "name": "X-Api-Key", "value": { "env": "API_KEY" } },
                    "identityHeaders": { "x-user-id": "sub", "x-user-subject": "subject", "x-user-email": "email" },
                    "identityToken": { "header": "x-identity", "audience": "the backend" },
                })),
                resource("/api/exchanged", json!({ "inject": {
                    "type": "tokenExchange", "tokenUrl": server.url(), "cluster": "exchange",
                    "clientId": "gateway", "clientSecret": { "env": "EXCHANGE_SECRET" },
                    "audience": "crm", "resource": "https://crm.example/api", "scopes": ["crm.read", "crm.write"],
                    "subjectProviderName": "idp",
                } })),
            ],
        }))
        .start()
        .await
}

/// Names that a backend could fold into those that the gateway sets.
const SPOOFED: [&str; 12] = [
    "x-user-id",
    "X-User-Id",
    "x_user_id",
    "X_USER-ID",
    "x.user.id",
    "x-user-email",
    "x_user_email",
    "x_user_subject",
    "x-api-key",
    "X_Api_Key",
    "x-identity",
    "X_IDENTITY",
];
const KEY: &str = "the key of the backend";
const EXCHANGE_SECRET: &str = "a-secret-of-the-exchange";
