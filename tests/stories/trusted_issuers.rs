//! Tokens of other issuers: of an identity provider, and of a Kubernetes cluster for its service
//! accounts, at a gateway that is no authorization server itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use portcullis_testbed::http::Request;
use portcullis_testbed::testbed::Testbed;
use portcullis_testbed::token_issuer::TokenIssuer;
use serde_json::{Value, json};

use crate::machine;
use crate::support::{assert_unseen, unique, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_of_a_provider_and_of_a_kubernetes_cluster_are_accepted_while_their_keys_change() {
    let corp = TokenIssuer::start(None).unwrap();
    let cluster = TokenIssuer::start(Some(CLUSTER)).unwrap();
    let bed = started(&corp, &cluster).await;
    let since = Instant::now();
    both_are_accepted(&bed, &corp, &cluster).await;
    others_are_refused(&bed, &corp, &cluster).await;
    nothing_else_is_there(&bed, &corp).await;
    keys_change_under_load(&bed, &corp, since).await;
    unknown_keys_are_asked_for_once(&bed, &corp).await;
    bed.assert_healthy().await;
}

async fn both_are_accepted(bed: &Testbed, corp: &TokenIssuer, cluster: &TokenIssuer) {
    let agent = cluster.service_account("portcullis", "client-apps", "mcp-client");
    let user = corp.token(&bed.api_resource(), "alice", json!({ "scope": "openid read" }));
    let path = format!("/api/trusted-{}", unique());
    for token in [&agent, &user] {
        for _ in 0..10 {
            assert_eq!(bed.get(&path).bearer(token).send().await.status, 200);
        }
    }
    let seen: Vec<_> = bed.recorded().await.into_iter().filter(|request| request.path == path).collect();
    assert_eq!(seen.len(), 20);
    assert!(seen.iter().all(|request| request.header("authorization").is_none()), "no token reaches the backend");
    let fast = async || bed.stats("wasmcustom.portcullis.path.fast").await.values().sum::<u64>();
    until("known tokens take the fast path", async || fast().await >= 10).await;
    let entry = bed.access_entry(|entry| entry["path"] == json!(path)).await.to_string();
    assert!(entry.contains("valid_token"), "{entry}");
}

async fn others_are_refused(bed: &Testbed, corp: &TokenIssuer, cluster: &TokenIssuer) {
    let other = TokenIssuer::start(None).unwrap();
    let api = bed.api_resource();
    let path = format!("/api/refused-{}", unique());
    for (token, status, error) in [
        (cluster.service_account("portcullis", "client-apps", "other"), 403, "access_denied"),
        (cluster.service_account("another", "client-apps", "mcp-client"), 401, "invalid_token"),
        (cluster.token("portcullis", "alice", json!({})), 403, "access_denied"),
        (corp.token("portcullis", "alice", json!({ "scope": "openid" })), 401, "invalid_token"),
        (corp.token(&api, "alice", json!({ "scope": "read" })), 403, "insufficient_scope"),
        (corp.forged("key-1", &api, "alice"), 401, "invalid_token"),
        (other.token(&api, "alice", json!({ "scope": "openid" })), 401, "invalid_token"),
    ] {
        let reply = bed.get(&path).bearer(&token).send().await;
        assert_eq!((reply.status, reply.json()["error"].as_str()), (status, Some(error)), "{reply:?}");
    }
    assert_unseen(bed, &path).await;
}

async fn nothing_else_is_there(bed: &Testbed, corp: &TokenIssuer) {
    for path in ["/oauth/authorize", "/oauth/token", "/register", "/.well-known/oauth-authorization-server"] {
        assert_eq!(bed.get(path).send().await.status, 404, "{path}");
    }
    let refused = bed.get("/api/x").send().await;
    assert_eq!(refused.status, 401);
    let metadata = format!("{}/.well-known/oauth-protected-resource/api", bed.gateway());
    assert!(refused.header("www-authenticate").is_some_and(|challenge| challenge.contains(&metadata)));
    let document = Request::get(&metadata).send().await.json();
    assert_eq!(document["authorization_servers"], json!([corp.issuer(), CLUSTER]));
}

/// The issuer signs with a new key at once, and publishes the old one no longer.
async fn keys_change_under_load(bed: &Testbed, corp: &TokenIssuer, since: Instant) {
    let is_over = Arc::new(AtomicBool::new(false));
    let calls = Arc::new(AtomicU64::new(0));
    let token: Arc<dyn Fn() -> String + Send + Sync> = {
        let api = bed.api_resource();
        let tokens = (0..3).map(|user| corp.token(&api, &format!("user-{user}"), json!({ "scope": "openid" })));
        let tokens = std::sync::Mutex::new(tokens.collect::<Vec<_>>());
        let tokens = Arc::new(tokens);
        Arc::new(move || {
            let mut tokens = tokens.lock().unwrap();
            tokens.rotate_left(1);
            tokens[0].clone()
        })
    };
    let known: Vec<_> = (0..2)
        .map(|_| {
            let (is_over, calls, token) = (is_over.clone(), calls.clone(), token.clone());
            let url = format!("{}/api/load", bed.gateway());
            tokio::spawn(async move {
                while !is_over.load(Ordering::Relaxed) {
                    let reply = Request::get(&url).bearer(&token()).send().await;
                    assert_eq!(reply.status, 200, "{reply:?}");
                    calls.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            })
        })
        .collect();
    // The keys were fetched at the start, and are not asked for twice in half a minute.
    tokio::time::sleep(Duration::from_secs(32).saturating_sub(since.elapsed())).await;
    let reads = corp.reads();
    corp.add_key("key-2");
    let url = format!("{}/api/rotated", bed.gateway());
    let mut burst = tokio::task::JoinSet::new();
    for user in 0..40 {
        let token = corp.token(&bed.api_resource(), &format!("new-{user}"), json!({ "scope": "openid" }));
        let url = url.clone();
        burst.spawn(async move { Request::get(&url).bearer(&token).send().await });
    }
    corp.drop_old_keys();
    while let Some(reply) = burst.join_next().await {
        let reply = reply.expect("no panic");
        assert_eq!(reply.status, 200, "a valid token was refused: {reply:?}");
    }
    assert!(corp.reads() > reads && corp.reads() <= reads + WORKERS, "{} reads", corp.reads() - reads);
    is_over.store(true, Ordering::Relaxed);
    for load in known {
        load.await.expect("every call with a token that was valid went through");
    }
    assert!(calls.load(Ordering::Relaxed) > 100);
}

async fn unknown_keys_are_asked_for_once(bed: &Testbed, corp: &TokenIssuer) {
    let reads = corp.reads();
    let forged: Vec<_> =
        (0..40).map(|n| corp.forged(&format!("unknown-{n}"), &bed.api_resource(), "mallory")).collect();
    for token in forged.iter().cycle().take(400) {
        assert_eq!(bed.get("/api/flood").bearer(token).send().await.status, 401);
    }
    assert!(corp.reads() <= reads + WORKERS, "{} reads", corp.reads() - reads);
}

async fn started(corp: &TokenIssuer, cluster: &TokenIssuer) -> Testbed {
    let nothing = ["issuer", "signingKeys", "secrets", "upstreamProviders", "tokenLifespans", "scopesSupported"];
    let of_server = nothing.into_iter().chain(["storage", "clients", "consent"]);
    let mut patch: Value = of_server.map(|name| (name.to_owned(), Value::Null)).collect();
    patch["trustedIssuers"] = json!([
        { "issuer": corp.issuer(), "cluster": "corp", "audiences": ["{gateway}/api"] },
        {
            "issuer": CLUSTER, "jwksUrl": cluster.jwks_url(), "cluster": "kube-api", "audiences": ["portcullis"],
            "allowedSubjects": ["system:serviceaccount:client-apps:mcp-client"], "algorithms": ["ES256"],
            "scopes": ["openid"],
        },
    ]);
    patch["resources"] = json!([
        { "resource": "{gateway}/api", "match": { "prefix": "/api" }, "scopes": ["openid"] },
        { "resource": "{gateway}/mcp", "match": { "prefix": "/mcp" }, "issuers": [CLUSTER] },
    ]);
    let bed = machine::testbed().workers(2).cluster("corp", corp.port()).cluster("kube-api", cluster.port());
    bed.config(patch).start().await
}

const CLUSTER: &str = "https://kubernetes.default.svc";
/// Each worker fetches keys for itself.
const WORKERS: u64 = 2;
