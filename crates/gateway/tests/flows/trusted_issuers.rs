//! Calls with tokens of trusted issuers: which are accepted, and which are refused and why.

use std::rc::Rc;

use portcullis_gateway::audit::AuditField;
use portcullis_gateway::decision::{Credentials, DecideWithKeys, Decision, Forward};
use portcullis_gateway::upstream::issuer_keys;
use portcullis_protocol::base64url;
use portcullis_protocol::credentials::UserId;
use portcullis_protocol::http::message::Method;
use portcullis_protocol::jose::keys::SigningKey;
use portcullis_testkit::fakes::block_on;
use portcullis_testkit::signatures::Sign as _;
use serde_json::{Value, json};

use crate::browser::Reply;
use crate::fixture::{Fixture, ISSUER, NOW, document, forwarded, replied};
use crate::protect::fast;

pub(crate) const CORP: &str = "https://corp.example/";
const CLUSTER: &str = "https://kubernetes.default.svc";
const TOOLS: &str = "https://gw.example/tools";
const AGENT: &str = "system:serviceaccount:client-apps:mcp-client";
pub(crate) const CORP_DISCOVERY: &str = "/.well-known/openid-configuration";
const CORP_KEYS: &str = "/keys";
pub(crate) const CLUSTER_KEYS: &str = "/openid/v1/jwks";

pub(crate) const P256: &str = include_str!("../../../protocol/testdata/keys/p256.pkcs8.pem");
pub(crate) const P384: &str = include_str!("../../../protocol/testdata/keys/p384.pkcs8.pem");
pub(crate) const ED25519: &str = include_str!("../../../protocol/testdata/keys/ed25519.pkcs8.pem");

impl Fixture {
    /// The root task fetches the keys of the trusted issuer at this place.
    pub(crate) fn fetch_keys(&self, issuer: usize) {
        block_on(issuer_keys::fetch(Rc::clone(&self.gateway), issuer, self.ports.clone()));
    }

    /// The decision of a call that waits for these keys.
    pub(crate) fn decide_with_keys(&self, issuer: usize, decide: Box<DecideWithKeys>) -> Decision {
        self.fetch_keys(issuer);
        decide(&self.ports, self.now()).into()
    }
}

/// Two resources that trust two issuers, one of them next to the gateway itself, and two that trust
/// none.
pub(crate) fn trusting() -> Value {
    let mut document = document();
    document["trustedIssuers"] = json!([
        { "issuer": CORP, "cluster": "corp", "audiences": ["portcullis", TOOLS] },
        {
            "issuer": CLUSTER, "jwksUrl": format!("{CLUSTER}{CLUSTER_KEYS}"), "cluster": "kube-api",
            "audiences": ["portcullis"], "allowedSubjects": [AGENT, "system:serviceaccount:ops:*"],
            "algorithms": ["ES256", "EdDSA"], "scopes": ["tools"], "leeway": "10s",
        },
    ]);
    let resources = document["resources"].as_array_mut().unwrap();
    resources.push(json!({
        "resource": TOOLS, "match": { "prefix": "/tools" }, "scopes": ["tools"], "issuers": ["self", CORP, CLUSTER],
    }));
    resources.push(json!({
        "resource": "https://gw.example/corp", "match": { "prefix": "/corp" }, "issuers": [CORP],
    }));
    document
}

fn key(pem: &str) -> SigningKey {
    SigningKey::from_pem(pem).unwrap()
}

/// A key set with keys of these names.
pub(crate) fn key_set(keys: &[(&str, &str)]) -> String {
    let keys: Vec<_> = keys
        .iter()
        .map(|(kid, pem)| {
            let mut jwk = key(pem).public().to_jwk();
            jwk["kid"] = json!(kid);
            jwk
        })
        .collect();
    json!({ "keys": keys }).to_string()
}

/// A token of these claims that this key signs under this name.
pub(crate) fn signed(kid: &str, pem: &str, typ: Option<&str>, claims: &Value) -> String {
    let key = key(pem);
    let mut header = json!({ "alg": key.alg().name(), "kid": kid });
    if let Some(typ) = typ {
        header["typ"] = json!(typ);
    }
    let input = [header, claims.clone()].map(|part| base64url::encode(part.to_string().as_bytes())).join(".");
    format!("{input}.{}", base64url::encode(&key.sign(input.as_bytes()).unwrap()))
}

pub(crate) fn corp_claims(now: u64) -> Value {
    json!({
        "iss": CORP, "aud": TOOLS, "sub": "alice", "exp": now.saturating_add(300), "iat": now, "scope": "openid tools",
        "client_id": "agent",
    })
}

/// The claims of a service account, as Kubernetes writes them.
fn cluster_claims(now: u64) -> Value {
    json!({
        "iss": CLUSTER, "aud": ["portcullis"], "sub": AGENT, "exp": now.saturating_add(3_600), "iat": now, "nbf": now, "jti": "1",
        "kubernetes.io": {
            "namespace": "client-apps", "serviceaccount": { "name": "mcp-client", "uid": "7" },
            "pod": { "name": "agent-0", "uid": "8" },
        },
    })
}

pub(crate) fn corp_token(now: u64) -> String {
    signed("key-1", P256, Some("at+jwt"), &corp_claims(now))
}

pub(crate) fn cluster_token(now: u64) -> String {
    signed("key-1", ED25519, None, &cluster_claims(now))
}

pub(crate) fn expect_corp(fixture: &Fixture, keys: &[(&str, &str)]) {
    let discovery = json!({ "issuer": CORP, "jwks_uri": "https://corp.example/keys" });
    fixture.ports.expect_json("corp", CORP_DISCOVERY, 200, &discovery.to_string());
    fixture.ports.expect_json("corp", CORP_KEYS, 200, &key_set(keys));
}

pub(crate) fn expect_cluster(fixture: &Fixture, keys: &[(&str, &str)]) {
    fixture.ports.expect_json("kube-api", CLUSTER_KEYS, 200, &key_set(keys));
}

/// A gateway that knows the keys of both issuers, which have the same key id.
pub(crate) fn fixture() -> Fixture {
    let fixture = Fixture::configured(&trusting());
    expect_corp(&fixture, &[("key-1", P256)]);
    expect_cluster(&fixture, &[("key-1", ED25519)]);
    fixture.fetch_keys(0);
    fixture.fetch_keys(1);
    assert_eq!((fixture.ports.calls_left(), fixture.ports.take_sent().len()), (0, 3));
    fixture
}

pub(crate) fn refused(fixture: &Fixture, target: &str, token: &str) -> Reply {
    replied(fixture.call(target, token))
}

/// The status and the reason of a refusal, which has a challenge exactly where a token would help.
pub(crate) fn refusal(fixture: &Fixture, target: &str, token: &str) -> (u16, &'static str) {
    let reply = refused(fixture, target, token);
    let challenge = reply.response.header_value("www-authenticate").is_some();
    let helps = reply.status() == 401 || reply.reason == "insufficient_scope";
    assert_eq!(challenge, helps, "{}", reply.reason);
    assert_eq!(fixture.ports.take_sent().len(), 0, "{}: nothing is asked", reply.reason);
    (reply.status(), reply.reason)
}

fn subject(forward: &Forward) -> String {
    forward.audit.get(AuditField::User).unwrap()
}

#[test]
fn tokens_of_two_issuers_and_our_own_are_accepted_side_by_side() {
    let fixture = fixture();
    let corp = forwarded(fixture.call("/tools", &corp_token(NOW)));
    let cluster = forwarded(fixture.call("/tools/list", &cluster_token(NOW)));
    let (_, tokens) = fixture.logged_in_with(&[("resource", TOOLS), ("scope", "openid tools")]);
    let _ = fixture.ports.take_sent();
    let own = forwarded(fixture.call("/tools", &tokens.access));
    assert_eq!(subject(&corp), UserId::derive(CORP, "alice").to_string());
    assert_eq!(subject(&cluster), UserId::derive(CLUSTER, AGENT).to_string());
    assert_eq!(corp.audit.get(AuditField::Client).as_deref(), Some("agent"));
    assert_eq!(cluster.audit.get(AuditField::Client), None);
    for forward in [&corp, &cluster, &own] {
        assert!(matches!(forward.credentials, Credentials::Removed), "the client's token stays here");
        assert_eq!(forward.audit.reason().as_str(), "valid_token");
    }
    assert_eq!((corp.grant.unwrap().session, cluster.grant.unwrap().session), (None, None));
    assert!(own.grant.unwrap().session.is_some());
    assert!(fixture.ports.take_sent().is_empty());
}

#[test]
fn a_known_token_of_a_trusted_issuer_takes_the_fast_path_until_it_expires() {
    let fixture = fixture();
    let token = corp_token(NOW);
    assert!(fast(&fixture, "/tools", &token).is_none());
    let slow = forwarded(fixture.call("/tools", &token));
    let known = fast(&fixture, "/tools", &token).unwrap();
    assert_eq!((slow.audit, slow.grant), (known.audit, known.grant));
    assert!(matches!(known.credentials, Credentials::Removed));
    // Its end is put off by the leeway of 60 s, and by nothing else.
    for (passed, served) in [(29, true), (359, true), (360, false)] {
        fixture.ports.clock().set_back(fixture.now() - NOW);
        fixture.advance(passed);
        forwarded_or_expired(&fixture, &token, served);
    }
}

fn forwarded_or_expired(fixture: &Fixture, token: &str, served: bool) {
    if served {
        forwarded(fixture.call("/tools", token));
        assert!(fast(fixture, "/tools", token).is_some());
    } else {
        assert!(fast(fixture, "/tools", token).is_none());
        assert_eq!(refusal(fixture, "/tools", token), (401, "token_expired"));
    }
}

#[test]
fn a_known_token_counts_for_its_own_resource_only() {
    let fixture = fixture();
    let token = signed("key-1", P256, None, &corp_claims(NOW));
    forwarded(fixture.call("/tools", &token));
    assert!(fast(&fixture, "/corp", &token).is_none());
    forwarded(fixture.call("/corp", &token));
    assert!(fast(&fixture, "/corp", &token).is_some());
    for target in ["/mcp", "/api"] {
        assert!(fast(&fixture, target, &token).is_none());
        // These trust this gateway alone, so the token is read as one of its own.
        assert_eq!(refusal(&fixture, target, &token), (401, "token_unknown_key"));
    }
}

#[test]
fn every_refusal_has_a_reason_of_its_own() {
    let fixture = fixture();
    let corp = |typ, change: &dyn Fn(&mut Value)| {
        let mut claims = corp_claims(NOW);
        change(&mut claims);
        signed("key-1", P256, typ, &claims)
    };
    let cluster = |change: &dyn Fn(&mut Value)| {
        let mut claims = cluster_claims(NOW);
        change(&mut claims);
        signed("key-1", ED25519, None, &claims)
    };
    let without = |name: &'static str| move |claims: &mut Value| drop(claims.as_object_mut().unwrap().remove(name));
    let set = |name: &'static str, value: Value| move |claims: &mut Value| claims[name] = value.clone();
    let unsigned = |header: Value| {
        let parts = [header.to_string(), corp_claims(NOW).to_string()].map(|part| base64url::encode(part.as_bytes()));
        format!("{}.{}", parts.join("."), base64url::encode(b"signature"))
    };
    let at = Some("at+jwt");
    for (token, status, reason) in [
        ("opaque".to_owned(), 401, "token_malformed"),
        (format!("{}.a.b", corp_token(NOW)), 401, "token_malformed"),
        (unsigned(json!({ "kid": "key-1" })), 401, "token_malformed_header"),
        (unsigned(json!({ "alg": "ES256", "kid": 1 })), 401, "token_malformed_header"),
        (unsigned(json!({ "alg": "none" })), 401, "token_unsupported_algorithm"),
        (unsigned(json!({ "alg": "HS256", "kid": "key-1" })), 401, "token_unsupported_algorithm"),
        (unsigned(json!({ "alg": "ES256", "kid": "key-1", "crit": ["b64"] })), 401, "token_forbidden_header"),
        (unsigned(json!({ "alg": "ES256", "kid": "key-1" })), 401, "token_bad_signature"),
        (corp(Some("logout+jwt"), &|_| ()), 401, "token_foreign_type"),
        (corp(at, &set("iss", json!("https://other.example"))), 401, "token_untrusted_issuer"),
        (corp(at, &set("iss", json!("https://corp.example"))), 401, "token_untrusted_issuer"),
        (corp(at, &set("iss", json!("https://CORP.example/"))), 401, "token_untrusted_issuer"),
        (corp(at, &without("iss")), 401, "token_lacks_claim"),
        (corp(at, &set("iss", json!([CORP]))), 401, "token_malformed_claim"),
        (corp(at, &without("aud")), 401, "token_lacks_claim"),
        (corp(at, &set("aud", json!("https://gw.example/mcp"))), 401, "token_foreign_audience"),
        (corp(at, &without("exp")), 401, "token_lacks_claim"),
        (corp(at, &set("exp", json!("soon"))), 401, "token_malformed_claim"),
        (corp(at, &set("exp", json!(NOW - 60))), 401, "token_expired"),
        (corp(at, &set("nbf", json!(NOW + 61))), 401, "token_not_yet_valid"),
        (corp(at, &set("iat", json!(NOW + 61))), 401, "token_not_yet_valid"),
        (corp(at, &without("sub")), 401, "token_lacks_claim"),
        (corp(at, &set("sub", json!("a\u{0}b"))), 401, "token_malformed_claim"),
        (corp(at, &set("scope", json!("openid"))), 403, "insufficient_scope"),
        (corp(at, &without("scope")), 403, "insufficient_scope"),
        (cluster(&set("exp", json!(NOW - 10))), 401, "token_expired"),
        (cluster(&set("iat", json!(NOW + 11))), 401, "token_not_yet_valid"),
        (cluster(&set("sub", json!("system:serviceaccount:client-apps:other"))), 403, "token_subject_not_allowed"),
        (cluster(&set("sub", json!("system:serviceaccount:opsx:a"))), 403, "token_subject_not_allowed"),
        (signed("key-1", P384, None, &cluster_claims(NOW)), 401, "token_algorithm_not_allowed"),
    ] {
        assert_eq!(refusal(&fixture, "/tools", &token), (status, reason), "{token}");
        assert!(fast(&fixture, "/tools", &token).is_none(), "nothing refused is known");
    }
    let claims = json!([]).to_string();
    let input =
        [json!({ "alg": "ES256" }).to_string(), claims].map(|part| base64url::encode(part.as_bytes())).join(".");
    assert_eq!(refusal(&fixture, "/tools", &format!("{input}.AAAA")), (401, "token_not_claims"));
    // The issuer is trusted, and the resource does not name it.
    assert_eq!(refusal(&fixture, "/corp", &cluster_token(NOW)), (401, "token_issuer_not_of_resource"));
    forwarded(fixture.call("/tools", &cluster(&set("sub", json!("system:serviceaccount:ops:a")))));
}

#[test]
fn the_keys_of_one_issuer_prove_nothing_for_another() {
    let fixture = fixture();
    // Both issuers have a key with this id.
    let crossed = signed("key-1", ED25519, None, &corp_claims(NOW));
    assert_eq!(refusal(&fixture, "/tools", &crossed), (401, "token_unknown_issuer_key"));
    let crossed = signed("key-1", P256, None, &cluster_claims(NOW));
    assert_eq!(refusal(&fixture, "/tools", &crossed), (401, "token_unknown_issuer_key"));
    // The gateway's own key has the same type as the first issuer's, and signs for itself alone.
    let own = &fixture.gateway.config().signing_keys[0];
    let forged = signed(own.kid(), P256, Some("at+jwt"), &corp_claims(NOW));
    assert_eq!(refusal(&fixture, "/tools", &forged), (401, "token_wrong_issuer"));
}

#[test]
fn a_token_of_ours_is_never_taken_for_anothers_and_the_other_way_round() {
    let fixture = fixture();
    let (_, tokens) = fixture.logged_in_with(&[("resource", TOOLS), ("scope", "openid tools")]);
    let _ = fixture.ports.take_sent();
    forwarded(fixture.call("/tools", &tokens.access));
    // This resource does not name `self`.
    assert_eq!(refusal(&fixture, "/corp", &tokens.access), (401, "token_issuer_not_of_resource"));
    // A trusted issuer that claims to be the gateway: its keys are not the gateway's.
    let mut claims = corp_claims(NOW);
    claims["iss"] = json!(ISSUER);
    let posing = signed("key-1", P384, Some("at+jwt"), &claims);
    assert_eq!(refusal(&fixture, "/tools", &posing), (401, "token_unknown_key"));
}

#[test]
fn one_subject_of_two_issuers_is_two_users() {
    let mut document = trusting();
    document["trustedIssuers"][1]["allowedSubjects"] = json!([]);
    let fixture = Fixture::configured(&document);
    expect_corp(&fixture, &[("key-1", P256)]);
    expect_cluster(&fixture, &[("key-1", ED25519)]);
    let mut claims = cluster_claims(NOW);
    claims["sub"] = json!("alice");
    let corp = subject(&forwarded(fixture.call("/tools", &corp_token(NOW))));
    let cluster = subject(&forwarded(fixture.call("/tools", &signed("key-1", ED25519, None, &claims))));
    assert_ne!(corp, cluster);
}

#[test]
fn a_token_of_a_trusted_issuer_is_good_for_calls_alone() {
    let fixture = fixture();
    let (client, token) = (fixture.register(), corp_token(NOW));
    let refreshed = fixture.refresh(&client, &token, &[]);
    assert_eq!((refreshed.status(), refreshed.reason), (400, "refresh_token_forged"));
    let code = fixture.redeem(&client, &token, &[]);
    assert_eq!((code.status(), code.reason), (400, "code_forged"));
    let revoked = fixture.post("/oauth/revoke", &[("token", &token), ("client_id", &client)]);
    assert_eq!((revoked.status(), revoked.reason), (200, "nothing_revoked"));
    forwarded(fixture.call("/tools", &token));
}

#[test]
fn nothing_is_stored_for_it_and_no_store_is_needed() {
    let fixture = fixture();
    fixture.store.set_unreachable(true);
    forwarded(fixture.call("/tools", &corp_token(NOW)));
    fixture.advance(70);
    forwarded(fixture.call("/tools", &corp_token(NOW)));
}

/// The document of a gateway that accepts tokens of trusted issuers, and issues none.
fn without_a_server() -> Value {
    let mut document = trusting();
    let resources = json!([
        { "resource": TOOLS, "match": { "prefix": "/tools" }, "scopes": ["tools"] },
        { "resource": "https://gw.example/corp", "match": { "prefix": "/corp" }, "issuers": [CORP] },
    ]);
    let issuers = document["trustedIssuers"].take();
    json!({ "trustedIssuers": issuers, "resources": resources })
}

#[test]
fn a_gateway_without_a_server_accepts_the_tokens_of_trusted_issuers() {
    let fixture = Fixture::cold(&without_a_server());
    fixture.store.set_unreachable(true);
    expect_corp(&fixture, &[("key-1", P256)]);
    expect_cluster(&fixture, &[("key-1", ED25519)]);
    for token in [corp_token(NOW), cluster_token(NOW)] {
        forwarded(fixture.call("/tools", &token));
        assert!(fast(&fixture, "/tools", &token).is_some());
    }
    forwarded(fixture.call("/corp", &corp_token(NOW)));
    assert_eq!(fixture.ports.take_sent().len(), 3);
    assert_eq!(refusal(&fixture, "/corp", &cluster_token(NOW)), (401, "token_issuer_not_of_resource"));
    // An issuer of the gateway's address is none, and no key is the gateway's.
    let mut claims = corp_claims(NOW);
    claims["iss"] = json!(ISSUER);
    let posing = signed("key-1", P256, Some("at+jwt"), &claims);
    assert_eq!(refusal(&fixture, "/tools", &posing), (401, "token_untrusted_issuer"));
    assert!([true, false].iter().all(|serves| fixture.gateway.providers_due(NOW, *serves).is_empty()));
}

#[test]
fn a_gateway_without_a_server_has_no_endpoint_but_the_metadata_of_its_resources() {
    let fixture = Fixture::cold(&without_a_server());
    for path in [
        "/oauth/authorize",
        "/oauth/token",
        "/oauth/register",
        "/oauth/revoke",
        "/oauth/callback",
        "/oauth/consent",
        "/authorize",
        "/token",
        "/register",
        "/.well-known/oauth-authorization-server",
        "/.well-known/jwks.json",
        "/.well-known/openid-configuration",
    ] {
        for method in [Method::Get, Method::Post] {
            let reply = fixture.send(method, path, &[]);
            assert_eq!((reply.status(), reply.reason), (404, "not_found"), "{path}");
        }
    }
    for (path, servers) in [("tools", json!([CORP, CLUSTER])), ("corp", json!([CORP]))] {
        let reply = fixture.send(Method::Get, &format!("/.well-known/oauth-protected-resource/{path}"), &[]);
        assert_eq!((reply.status(), &reply.json()["authorization_servers"]), (200, &servers));
        let refused = fixture.send(Method::Post, &format!("/{path}"), &[]);
        let challenge = refused.response.header_value("www-authenticate").unwrap();
        let metadata = format!("resource_metadata=\"https://gw.example/.well-known/oauth-protected-resource/{path}\"");
        assert!(challenge.contains(&metadata), "{challenge}");
    }
}

#[test]
fn a_client_that_can_log_in_here_is_told_of_this_server_alone() {
    let fixture = fixture();
    for (path, servers) in [("tools", json!([ISSUER])), ("corp", json!([CORP])), ("mcp", json!([ISSUER]))] {
        let reply = fixture.send(Method::Get, &format!("/.well-known/oauth-protected-resource/{path}"), &[]);
        assert_eq!(reply.json()["authorization_servers"], servers, "{path}");
    }
}
