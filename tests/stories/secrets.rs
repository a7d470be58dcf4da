//! Every secret comes from files that the bridge serves, and each is replaced while everything goes
//! on.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jwt_simple::algorithms::{ECDSAP256PublicKeyLike as _, ES256KeyPair};
use portcullis_testbed::http::{Request, Response};
use portcullis_testbed::oauth_client::Tokens;
use portcullis_testbed::redis::{RedisServer, acl_with_wait, standalone};
use portcullis_testbed::testbed::{Builder, IdpOptions, REQUESTS_FOR_BOTH_WORKERS, Testbed};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::machine;
use crate::support::{RsaPart, contradictory_rsa_key, log_in, until};

#[tokio::test]
async fn every_secret_is_replaced_without_a_restart_and_nobody_notices() {
    let (redis, files) = (RedisServer::start(&acl_with_wait(), &[]), TempDir::new().expect("a folder"));
    let mut bed = beside(&redis, files.path()).config(served()).workers(2).start().await;
    let (first, second, third) = (key(), key(), key());
    let secrets = ["the-first-gateway-secret-of-the-story", "the-second-gateway-secret-of-the-story"];

    // There are no files yet.
    for path in ["/api/early", "/.well-known/oauth-authorization-server", "/.well-known/jwks.json"] {
        assert_come_back(&bed.get(path).bearer("a.b.c").send().await);
    }
    bed.access_entry(|entry| entry["audit"]["reason"] == "not_ready").await;
    until("it is counted that they do not come", async || counted(&bed, "unavailable").await > 0).await;
    assert!(bed.envoy_log().contains("the bridge does not serve the secret"), "{}", bed.envoy_log());
    put(&files, "signing-keys", &first);
    put(&files, "gateway-secrets", &format!("{}\n", secrets[0]));
    put(&files, "idp-secret", bed.idp_secret());
    serves_keys(&bed, &[&first]).await;
    let (client, old) = log_in(&bed, "alice").await;
    assert_eq!(kid(&old.access_token), kid_of(&first));

    // A new signing key is published before it signs.
    put(&files, "signing-keys", &format!("{first}{second}"));
    serves_keys(&bed, &[&first, &second]).await;
    let between = client.refresh(&old.refresh_token).await;
    assert_eq!(kid(&between.access_token), kid_of(&first));
    put(&files, "signing-keys", &format!("{second}{first}"));
    serves_keys(&bed, &[&second, &first]).await;
    let renewed = client.refresh(&between.refresh_token).await;
    assert_eq!(kid(&renewed.access_token), kid_of(&second));
    for tokens in [&old, &between, &renewed] {
        assert_serves(&bed, tokens).await;
    }

    // A new gateway secret seals, and the old one opens.
    let applied = counted(&bed, "applied").await;
    put(&files, "gateway-secrets", &format!("{}\n{}\n", secrets[1], secrets[0]));
    until("both workers have it", async || counted(&bed, "applied").await >= applied + 2).await;
    let renewed = client.refresh(&renewed.refresh_token).await;
    assert_serves(&bed, &renewed).await;
    let (other, others) = log_in(&bed, "bob").await;
    put(&files, "gateway-secrets", secrets[1]);
    until("both workers have it", async || counted(&bed, "applied").await >= applied + 4).await;
    assert_serves(&bed, &others).await;
    let others = other.refresh(&others.refresh_token).await;

    // What makes no key changes nothing but the counter and the log.
    put(&files, "signing-keys", &format!("{second}{first}-----BEGIN PRIVATE KEY-----\n{CANARY}\n"));
    until("it is refused", async || counted(&bed, "refused").await >= 2).await;
    let refusal = "are not put in service: signingKeys[0]: key 3: the PEM block is malformed";
    assert!(bed.envoy_log().contains(refusal), "{}", bed.envoy_log());
    assert_eq!(keys(&bed).await, [kid_of(&second), kid_of(&first)]);
    assert_serves(&bed, &others).await;

    // Nor does a well-formed key that the host cannot sign with.
    put(&files, "signing-keys", &format!("{second}{first}{}", contradictory_rsa_key(RsaPart::Modulus)));
    until("it is refused", async || counted(&bed, "refused").await >= 4).await;
    let refusal = "are not put in service: this host does not sign with the key";
    assert!(bed.envoy_log().contains(refusal), "{}", bed.envoy_log());
    assert_eq!(keys(&bed).await, [kid_of(&second), kid_of(&first)]);
    assert_serves(&bed, &others).await;

    // A bridge that was away is followed again.
    bed.kill_bridge(0);
    assert_eq!(keys(&bed).await, [kid_of(&second), kid_of(&first)]);
    put(&files, "signing-keys", &format!("{third}{second}"));
    bed.restart_bridge(0);
    serves_keys(&bed, &[&third, &second]).await;
    let others = other.refresh(&others.refresh_token).await;
    assert_eq!(kid(&others.access_token), kid_of(&third));
    assert_serves(&bed, &others).await;

    let mut told = vec![bed.envoy_log(), bed.bridge(0).log(), bed.bridge(0).observe("/metrics")];
    for page in ["/config_dump", "/stats", "/stats/prometheus", "/clusters"] {
        told.push(Request::get(&format!("{}{page}", bed.admin())).send().await.text());
    }
    let pem_lines = [&first, &second, &third].into_iter().flat_map(|pem| pem.lines());
    let pem_lines = pem_lines.filter(|line| !line.starts_with('-') && line.len() > 16);
    for secret in pem_lines.chain(secrets).chain([bed.idp_secret(), CANARY]) {
        assert!(!told.iter().any(|text| text.contains(secret)), "{secret} is disclosed");
    }
    bed.assert_healthy().await;
}

#[tokio::test]
async fn a_worker_that_has_served_nothing_is_left_alone_and_learns_of_changes_in_its_first_request() {
    let (redis, files) = (RedisServer::start(&acl_with_wait(), &[]), TempDir::new().expect("a folder"));
    let (first, second) = (key(), key());
    put(&files, "signing-keys", &first);
    let bed = beside(&redis, files.path());
    let bed = bed.config(json!({ "signingKeys": [{ "bridge": "signing-keys" }] })).start().await;
    until("the worker and the main thread have the secrets", async || counted(&bed, "applied").await == 2).await;
    let asked = || bed.bridge(0).metric("portcullis_bridge_requests_total{verb=\"secrets\",outcome=\"ok\"}");
    let before = asked();
    assert_eq!(before, 2);
    put(&files, "signing-keys", &format!("{second}{first}"));
    // Four ticks, to show that nothing is asked in them.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(asked(), before);
    assert_eq!(keys(&bed).await, [kid_of(&second), kid_of(&first)]);
    put(&files, "signing-keys", &second);
    serves_keys(&bed, &[&second]).await;
    bed.assert_healthy().await;
}

#[tokio::test]
async fn what_is_wrong_without_the_bridge_is_refused_at_once() {
    let (redis, files) = (RedisServer::start(&acl_with_wait(), &[]), TempDir::new().expect("a folder"));
    let bed = beside(&redis, files.path()).config(served());
    let started = bed.config(json!({ "tokenLifespans": { "accessToken": "25h" } })).try_start().await;
    let why = started.err().expect("a configuration that is refused");
    assert!(why.contains("tokenLifespans.accessToken: must be between"), "{why}");
}

/// A testbed whose bridge serves these files, and whose upstream tokens need no refresh while a
/// story lasts.
fn beside(redis: &RedisServer, files: &Path) -> Builder {
    let idp = IdpOptions { access_token_ttl: 3600, ..IdpOptions::default() };
    let served = format!("secretsDir: {}", files.display());
    machine::testbed().idp(idp).redis(&standalone(redis.port), &served)
}

/// Takes every secret from the bridge.
fn served() -> Value {
    json!({
        "signingKeys": [{ "bridge": "signing-keys" }],
        "secrets": [{ "bridge": "gateway-secrets" }],
        "upstreamProviders": [{
            "name": "idp",
            "type": "oidc",
            "oidcConfig": {
                "issuerUrl": "{idp}",
                "cluster": "idp",
                "clientId": "portcullis",
                "clientSecret": { "bridge": "idp-secret" },
                "scopes": ["openid", "offline_access"],
            },
        }],
    })
}

/// Moves a file into place.
fn put(folder: &TempDir, name: &str, content: &str) {
    let beside = folder.path().join(".new");
    fs::write(&beside, content).expect("written");
    fs::rename(beside, folder.path().join(name)).expect("moved");
}

fn key() -> String {
    ES256KeyPair::generate().to_pem().expect("a key")
}

fn kid_of(pem: &str) -> String {
    let public = ES256KeyPair::from_pem(pem).expect("a key").public_key();
    let point = public.public_key().to_bytes_uncompressed();
    let coordinate = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let (x, y) = (coordinate(&point[1..33]), coordinate(&point[33..65]));
    // RFC 7638 §3.
    let members = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
    URL_SAFE_NO_PAD.encode(Sha256::digest(members))
}

/// The id of the key that signed a token.
fn kid(token: &str) -> String {
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next().expect("a header")).expect("base64url");
    let header: Value = serde_json::from_slice(&header).expect("JSON");
    header["kid"].as_str().expect("a key id").to_owned()
}

/// The ids of the published keys.
async fn keys(bed: &Testbed) -> Vec<String> {
    let reply = bed.get("/.well-known/jwks.json").send().await;
    assert!(matches!(reply.status, 200 | 503), "{reply:?}");
    let known = reply.json();
    let known = known["keys"].as_array().map(Vec::as_slice).unwrap_or_default();
    known.iter().map(|key| key["kid"].as_str().expect("a key id").to_owned()).collect()
}

/// Waits until every worker publishes these keys: this many answers in a row, each on a connection
/// of its own.
async fn serves_keys(bed: &Testbed, pems: &[&str]) {
    let wanted: Vec<String> = pems.iter().map(|pem| kid_of(pem)).collect();
    until("these keys are served", async || {
        let mut seen = BTreeSet::new();
        for _ in 0..REQUESTS_FOR_BOTH_WORKERS {
            seen.insert(keys(bed).await);
        }
        seen == BTreeSet::from([wanted.clone()])
    })
    .await;
}

async fn assert_serves(bed: &Testbed, tokens: &Tokens) {
    crate::support::assert_serves(bed, &tokens.access_token).await;
}

#[track_caller]
fn assert_come_back(reply: &Response) {
    assert_eq!(reply.status, 503, "{reply:?}");
    assert!(reply.header("retry-after").is_some() && reply.header("www-authenticate").is_none(), "{reply:?}");
}

async fn counted(bed: &Testbed, what: &str) -> u64 {
    let stats = bed.stats("").await;
    stats.iter().filter(|(name, _)| name.ends_with(&format!("portcullis.secrets.{what}"))).map(|(_, count)| count).sum()
}

/// In no message and on no page by accident.
const CANARY: &str = "c0ffee5ec12e7c0ffee5ec12e7c0ffee5ec12e7";
