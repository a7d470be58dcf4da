//! Credentials and identity headers that a backend gets, and no client can send.

use portcullis_gateway::decision::{Credentials, Decision, Forward, RefreshOutcome};
use portcullis_gateway::resource_server::fast_path;
use portcullis_gateway::upstream::refresh::{self, Cause};
use portcullis_protocol::credentials::UserId;
use portcullis_protocol::http::message::Method;
use portcullis_protocol::jose::jws::Jws;
use portcullis_testkit::fakes::block_on;
use portcullis_testkit::signatures::Verify as _;
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::fixture::{
    API, Fixture, IDP, ISSUER, MCP, NOW, code_of, document, forwarded, injected, replied, resolved_forward, tokens_of,
    upstream_of,
};
use crate::protect::{fast, session};
use crate::trusted_issuers::{CORP, P256, corp_claims, expect_corp, refusal, signed, trusting};

/// The usual configuration with these fields of the first resource.
fn with(fields: &Value) -> Value {
    let mut document = document();
    for (name, value) in fields.as_object().unwrap() {
        document["resources"][0][name] = value.clone();
    }
    document
}

/// Headers about the caller, and a statement.
fn identity() -> Value {
    json!({
        "identityHeaders": {
            "x-user": "sub", "x-subject": "subject", "x-email": "email", "x-name": "name", "x-groups": "groups",
        },
        "identityToken": { "header": "x-identity", "audience": "backend" },
    })
}

/// A login of alice, of whom the ID token says this much.
fn logged_in(fixture: &Fixture, claims: &Value, changed: &[(&str, &str)]) -> String {
    let (browser, client) = (Browser::default(), fixture.register());
    let form = fixture.consent_page(&browser, &client, changed);
    let asked = fixture.approve(&browser, &form);
    let mut all = fixture.claims("alice", &asked["nonce"]);
    for (name, value) in claims.as_object().unwrap() {
        all[name] = value.clone();
    }
    fixture.expect_token_answer(200, &Fixture::token_answer(&fixture.sign(&all)));
    let code = code_of(&fixture.visit(&browser, &Fixture::callback(&asked)));
    tokens_of(&fixture.redeem(&client, &code, &[])).access
}

/// The fields that a request gets about its caller.
fn told(forward: &Forward) -> Vec<(String, String)> {
    let fields = forward.identity.as_ref().map(|identity| identity.fields()).unwrap_or_default();
    let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
    fields.iter().map(|field| (field.name.to_string(), text(field.value.expose()))).collect()
}

fn value_of(forward: &Forward, name: &str) -> Option<String> {
    told(forward).into_iter().find(|(told, _)| told == name).map(|(_, value)| value)
}

fn statement(forward: &Forward) -> String {
    value_of(forward, "x-identity").unwrap()
}

fn claims_of(token: &str) -> Value {
    serde_json::from_slice(Jws::parse(token).unwrap().payload_bytes()).unwrap()
}

fn alice() -> String {
    UserId::derive(IDP, "alice").to_string()
}

#[test]
fn a_fixed_credential_goes_with_every_call_whoever_makes_it() {
    for (inject, expected) in [
        (json!({ "type": "header", "name": "X-Api-Key", "value": { "inline": "the key" } }), ("x-api-key", "the key")),
        (json!({ "type": "bearer", "token": { "inline": "the-token" } }), ("authorization", "Bearer the-token")),
        (
            json!({ "type": "bearer", "token": { "inline": "t" }, "header": "x-backend-token" }),
            ("x-backend-token", "Bearer t"),
        ),
    ] {
        let fixture = Fixture::configured(&with(&json!({ "inject": inject })));
        let (_, tokens) = fixture.logged_in();
        let expected = (expected.0.to_owned(), expected.1.to_owned());
        assert_eq!(injected(&forwarded(fixture.call("/mcp", &tokens.access))), expected);
        assert_eq!(injected(&fast(&fixture, "/mcp", &tokens.access).unwrap()), expected);
        // It needs no token of the provider's: its end changes nothing.
        fixture.advance(3_599);
        assert_eq!(injected(&forwarded(fixture.call("/mcp", &tokens.access))), expected);
    }
}

#[test]
fn a_fixed_credential_goes_with_the_tokens_of_trusted_issuers_too() {
    let mut document = trusting();
    let inject = json!({ "type": "header", "name": "x-api-key", "value": { "inline": "the key" } });
    document["resources"].as_array_mut().unwrap().iter_mut().for_each(|resource| resource["inject"] = inject.clone());
    let fixture = Fixture::configured(&document);
    expect_corp(&fixture, &[("key-1", P256)]);
    let token = signed("key-1", P256, None, &corp_claims(NOW));
    assert_eq!(injected(&forwarded(fixture.call("/tools", &token))).1, "the key");
    assert_eq!(injected(&fast(&fixture, "/tools", &token).unwrap()).1, "the key");
}

#[test]
fn a_backend_is_told_what_the_login_said_of_the_user_and_nothing_more() {
    let fixture = Fixture::configured(&with(&identity()));
    let token = logged_in(
        &fixture,
        &json!({ "name": "Zo\u{eb}, 100%: root", "groups": ["dev", "ops,admin"], "email": "alice@example.com", "email_verified": true }),
        &[],
    );
    let slow = forwarded(fixture.call("/mcp", &token));
    let expected = [
        ("x-user", alice()),
        ("x-subject", "alice".to_owned()),
        ("x-email", "alice@example.com".to_owned()),
        ("x-name", "Zo%C3%AB, 100%25: root".to_owned()),
        ("x-groups", "dev,ops%2Cadmin".to_owned()),
    ];
    let fields = told(&slow);
    for (name, value) in expected {
        assert_eq!(value_of(&slow, name), Some(value), "{name}");
    }
    assert_eq!(fields.len(), 6, "{fields:?}");
    assert_eq!(injected(&slow).1, "Bearer upstream-access-1", "next to what is injected");
    assert_eq!(told(&fast(&fixture, "/mcp", &token).unwrap()), fields);

    // Of another login less is known, and an address that is not verified is left out.
    let token = logged_in(&fixture, &json!({ "email": "root@example.com", "email_verified": false }), &[]);
    let bare = forwarded(fixture.call("/mcp", &token));
    assert_eq!(told(&bare).len(), 3, "{:?}", told(&bare));
    assert_eq!(value_of(&bare, "x-name"), None);

    // A resource that asks for nothing tells nothing.
    let (_, tokens) = fixture.logged_in_with(&[("resource", API), ("scope", "openid tools")]);
    assert_eq!(told(&forwarded(fixture.call("/api", &tokens.access))), []);
}

#[test]
fn a_backend_verifies_the_statement_by_the_published_keys_and_nobody_takes_it_for_an_access_token() {
    let fixture = Fixture::configured(&with(&identity()));
    let token =
        logged_in(&fixture, &json!({ "name": "Alice", "email": "alice@example.com", "email_verified": true }), &[]);
    let signed = statement(&forwarded(fixture.call("/mcp", &token)));
    let jws = Jws::parse(&signed).unwrap();
    assert_eq!(jws.typ(), Some("portcullis-identity+jwt"));
    let keys = fixture.send(Method::Get, "/.well-known/jwks.json", &[]);
    let published = fixture.gateway.own_keys();
    assert!(keys.text().contains(jws.kid().unwrap()), "{}", keys.text());
    let key = published.candidates(jws.kid(), jws.alg()).next().unwrap();
    assert!(key.verify(jws.alg(), jws.signing_input().as_bytes(), jws.signature()));
    let claims = claims_of(&signed);
    assert_eq!((&claims["iss"], &claims["sub"], &claims["aud"]), (&json!(ISSUER), &json!(alice()), &json!("backend")));
    assert_eq!((&claims["iat"], &claims["exp"]), (&json!(NOW), &json!(NOW + 300)));
    assert_eq!((&claims["name"], &claims["email"]), (&json!("Alice"), &json!("alice@example.com")));
    assert!(claims["client_id"].is_string() && claims.get("sid").is_none() && claims.get("jti").is_none());

    let refused = replied(fixture.call("/mcp", &signed));
    assert_eq!((refused.status(), refused.reason), (401, "token_wrong_type"));

    // Its audience is the resource where none is named, and it is refused there all the same; and
    // by another gateway that trusts this one.
    let plain = Fixture::configured(&with(&json!({ "identityToken": { "header": "x-identity" } })));
    let (_, tokens) = plain.logged_in();
    let signed = statement(&forwarded(plain.call("/mcp", &tokens.access)));
    assert_eq!(claims_of(&signed)["aud"], MCP);
    assert_eq!(replied(plain.call("/mcp", &signed)).reason, "token_wrong_type");
    let mut trusting = trusting();
    trusting["trustedIssuers"][0]["audiences"] = json!([MCP]);
    let other = Fixture::configured(&trusting);
    assert_eq!(refusal(&other, "/corp", &signed).1, "token_foreign_type");
}

#[test]
fn a_statement_is_made_once_and_again_when_half_of_its_life_is_over_also_without_the_store() {
    let fixture = Fixture::configured(&with(&identity()));
    let token = logged_in(&fixture, &json!({ "name": "Alice" }), &[]);
    let first = statement(&forwarded(fixture.call("/mcp", &token)));
    fixture.advance(30);
    assert_eq!(statement(&fast(&fixture, "/mcp", &token).unwrap()), first);
    assert_eq!(statement(&forwarded(fixture.call("/mcp", &token))), first, "nothing is signed again");
    fixture.store.set_unreachable(true);
    fixture.advance(119);
    // The store was not there to say that the session lives, so the slow path asks and goes on.
    assert_eq!(statement(&forwarded(fixture.call("/mcp", &token))), first);
    fixture.advance(1);
    assert!(fast(&fixture, "/mcp", &token).is_none(), "a new one is due");
    let second = statement(&forwarded(fixture.call("/mcp", &token)));
    assert_ne!(second, first);
    let (old, new) = (claims_of(&first), claims_of(&second));
    assert_eq!((&new["iat"], &new["exp"]), (&json!(NOW + 150), &json!(NOW + 450)));
    assert_eq!((&new["sub"], &new["name"], &new["aud"]), (&old["sub"], &old["name"], &old["aud"]));
    assert_eq!(statement(&fast(&fixture, "/mcp", &token).unwrap()), second);

    // A clock that was set back makes the statement one of the future.
    fixture.ports.clock().set_back(60);
    assert!(fast(&fixture, "/mcp", &token).is_none());
    assert_eq!(claims_of(&statement(&forwarded(fixture.call("/mcp", &token))))["iat"], json!(NOW + 90));
}

#[test]
fn a_call_that_waited_for_its_upstream_token_says_who_calls_too() {
    let fixture = Fixture::configured(&with(&identity()));
    let token = logged_in(&fixture, &json!({ "name": "Alice" }), &[]);
    for is_known in [false, true] {
        if is_known {
            fixture.advance(30);
        } else {
            fixture.advance(3_595);
        }
        let Decision::AwaitUpstream { token: awaited, decide } = fixture.call("/mcp", &token) else {
            assert!(is_known);
            continue;
        };
        assert_eq!(awaited, upstream_of(session(&token)));
        fixture
            .expect_token_answer(200, &json!({ "access_token": "second", "token_type": "bearer", "expires_in": 3600 }));
        let outcome = block_on(refresh::refresh(fixture.gateway.clone(), awaited, Cause::Due, fixture.ports.clone()));
        assert!(matches!(outcome, RefreshOutcome::Ready(_)));
        let forward = resolved_forward(decide(&outcome));
        assert_eq!(
            (injected(&forward).1.as_str(), value_of(&forward, "x-name").as_deref()),
            ("Bearer second", Some("Alice"))
        );
    }
}

#[test]
fn the_claims_of_a_trusted_issuers_token_are_told_where_it_has_them() {
    let mut document = trusting();
    let fields = identity();
    document["resources"].as_array_mut().unwrap().iter_mut().for_each(|resource| {
        for (name, value) in fields.as_object().unwrap() {
            resource[name] = value.clone();
        }
    });
    let fixture = Fixture::configured(&document);
    expect_corp(&fixture, &[("key-1", P256)]);
    let token = |more: &Value| {
        let mut claims = corp_claims(NOW);
        for (name, value) in more.as_object().unwrap() {
            claims[name] = value.clone();
        }
        signed("key-1", P256, None, &claims)
    };
    let user = UserId::derive(CORP, "alice").to_string();
    assert_ne!(user, alice(), "the same name at another issuer is another user");
    let all = token(
        &json!({ "email": "a@corp.example", "name": "A", "groups": ["dev", "ops,admin"], "email_verified": true }),
    );
    let forward = forwarded(fixture.call("/tools", &all));
    for (name, value) in [
        ("x-user", user.as_str()),
        ("x-subject", "alice"),
        ("x-email", "a@corp.example"),
        ("x-name", "A"),
        ("x-groups", "dev,ops%2Cadmin"),
    ] {
        assert_eq!(value_of(&forward, name).as_deref(), Some(value), "{name}");
    }
    let claims = claims_of(&statement(&forward));
    assert_eq!((&claims["iss"], &claims["groups"]), (&json!(ISSUER), &json!(["dev", "ops,admin"])));
    assert_eq!(told(&fast(&fixture, "/tools", &all).unwrap()), told(&forward));

    for (more, name) in [
        (json!({ "email": "a@corp.example" }), "x-email"),
        (json!({ "email": "a@corp.example", "email_verified": false }), "x-email"),
        (json!({ "email": "a@corp.example", "email_verified": "false" }), "x-email"),
        (json!({ "email": "a@corp.example", "email_verified": "perhaps" }), "x-email"),
        (json!({ "email": ["a@corp.example"], "email_verified": true }), "x-email"),
        (json!({ "name": 7 }), "x-name"),
        (json!({ "groups": { "a": 1 } }), "x-groups"),
        (json!({ "groups": ["dev", 7] }), "x-groups"),
    ] {
        let forward = forwarded(fixture.call("/tools", &token(&more)));
        assert_eq!(value_of(&forward, name), None, "{more}");
        assert_eq!(value_of(&forward, "x-user").as_deref(), Some(user.as_str()));
    }
}

#[test]
fn the_names_that_the_gateway_sets_anywhere_are_no_clients_on_any_path() {
    let mut document = with(&identity());
    document["default"] = json!("pass");
    let fixture = Fixture::configured(&document);
    let (_, mcp) = fixture.logged_in();
    let (_, api) = fixture.logged_in_with(&[("resource", API), ("scope", "openid tools")]);
    let forwards = [
        forwarded(fixture.call("/mcp", &mcp.access)),
        fast(&fixture, "/mcp", &mcp.access).unwrap(),
        forwarded(fixture.call("/api", &api.access)),
        fast(&fixture, "/api", &api.access).unwrap(),
        forwarded(fixture.call("/elsewhere", "anything")),
        fast_path::pass(&fixture.gateway, b"/elsewhere", None).unwrap(),
    ];
    for (place, forward) in forwards.iter().enumerate() {
        let reserved = forward.identity.as_ref().unwrap().reserved();
        for name in ["x-user", "X_User", "x_email", "x-identity", "x_groups", "x.name", "x-subject"] {
            assert!(reserved.has(name.as_bytes()), "{name} of {place}");
        }
        assert!(!reserved.has(b"authorization") && !reserved.has(b"x-other"));
    }
    assert!(matches!(forwards[4].credentials, Credentials::Unchanged), "an unprotected path keeps its credentials");

    // Where the gateway sets nothing but `Authorization`, no header is looked at.
    let plain = Fixture::new();
    let (_, tokens) = plain.logged_in();
    assert!(forwarded(plain.call("/mcp", &tokens.access)).identity.is_none());
}
