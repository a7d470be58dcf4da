//! Registration is open to strangers, so it is bounded before anything of it is looked at.

use portcullis_protocol::http::message::Method;
use serde_json::{Value, json};

use crate::browser::Reply;
use crate::fixture::{Fixture, REDIRECT, document, replied};

/// A gateway with narrow limits: 2 a minute from one address, 3 from all, 5 a day.
fn limited() -> Fixture {
    let mut document = document();
    document["clients"] = json!({ "dynamicRegistration": { "ratePerMinute": 2, "globalRatePerMinute": 3, "max": 5 } });
    Fixture::configured(&document)
}

fn register_from(fixture: &Fixture, peer: &str) -> Reply {
    fixture.ports.set_body(json!({ "redirect_uris": [REDIRECT] }).to_string());
    let mut request = Fixture::request(Method::Post, "/oauth/register", &[("content-type", "application/json")]);
    request.peer = peer.to_owned();
    replied(fixture.handle(request))
}

fn is_limited(reply: &Reply) -> u64 {
    assert_eq!((reply.status(), reply.reason), (429, "registration_rate"));
    assert_eq!(reply.error(), "temporarily_unavailable");
    reply.header("retry-after").unwrap().parse().unwrap()
}

#[test]
fn a_client_is_told_what_it_got_and_never_a_secret() {
    let fixture = Fixture::new();
    let metadata = json!({
        "redirect_uris": [REDIRECT], "token_endpoint_auth_method": "client_secret_post", "client_name": "Client",
    });
    let reply = fixture.register_with(&metadata);
    assert_eq!((reply.status(), reply.header("cache-control")), (201, Some("no-store")));
    let body = reply.json();
    assert_eq!(body["token_endpoint_auth_method"].as_str(), Some("none"));
    assert_eq!(body["redirect_uris"], json!([REDIRECT]));
    assert!(body.get("client_secret").is_none());
    assert_ne!(body["client_id"], fixture.register_with(&metadata).json()["client_id"]);
}

#[test]
fn a_registration_that_may_not_be_is_refused_by_its_cause() {
    let fixture = Fixture::new();
    let before = fixture.store.inner.live();
    let with = |name: &str, value: Value| json!({ "redirect_uris": [REDIRECT], name: value });
    let table = [
        (json!({}), "invalid_redirect_uri", "registration_redirect_uris"),
        (with("redirect_uris", json!(["http://client.example/"])), "invalid_redirect_uri", "registration_redirect_uri"),
        (with("redirect_uris", json!(["javascript:alert(1)"])), "invalid_redirect_uri", "registration_redirect_uri"),
        (with("grant_types", json!(["password"])), "invalid_client_metadata", "registration_grant_types"),
        (with("response_types", json!(["token"])), "invalid_client_metadata", "registration_response_types"),
        (with("scope", json!("admin")), "invalid_client_metadata", "registration_unknown_scope"),
        (with("scope", json!("a\"b")), "invalid_client_metadata", "registration_malformed_scope"),
        (with("client_name", json!(1)), "invalid_client_metadata", "registration_field_type"),
        (with("client_name", json!("n".repeat(257))), "invalid_client_metadata", "registration_field_value"),
        (
            with("token_endpoint_auth_method", json!("private_key_jwt")),
            "invalid_client_metadata",
            "registration_auth_method",
        ),
        (json!([]), "invalid_client_metadata", "registration_not_json"),
    ];
    for (metadata, error, reason) in table {
        fixture.advance(60);
        let reply = fixture.register_with(&metadata);
        assert_eq!((reply.status(), reply.error().as_str(), reply.reason), (400, error, reason), "{metadata}");
    }
    let text = fixture.send(Method::Post, "/oauth/register", &[("content-type", "text/plain")]);
    assert_eq!((text.status(), text.reason), (400, "registration_content_type"));
    assert_eq!(fixture.store.inner.live(), before + 4, "the limits, and no client");
    let large = fixture.register_with(&json!({ "redirect_uris": [REDIRECT], "client_uri": "x".repeat(64 * 1024) }));
    assert_eq!((large.status(), large.reason), (413, "registration_too_large"));
}

#[test]
fn a_body_that_is_too_large_asks_the_store_for_nothing() {
    let fixture = limited();
    let before = fixture.store.inner.live();
    fixture.ports.set_body(vec![b' '; 64 * 1024 + 1]);
    let reply = fixture.send(Method::Post, "/oauth/register", &[("content-type", "application/json")]);
    assert_eq!((reply.status(), reply.error().as_str()), (413, "invalid_client_metadata"));
    assert_eq!(fixture.store.inner.live(), before);
}

#[test]
fn one_address_is_limited_first_so_that_it_does_not_draw_on_what_all_share() {
    let fixture = limited();
    for _ in 0..2 {
        assert_eq!(register_from(&fixture, "192.0.2.1:1").status(), 201);
    }
    for port in 2..40 {
        let wait = is_limited(&register_from(&fixture, &format!("192.0.2.1:{port}")));
        assert_eq!(wait, 30, "a token comes back every half minute");
    }
    assert_eq!(register_from(&fixture, "192.0.2.2:1").status(), 201, "the flood cost the others nothing");
}

#[test]
fn all_addresses_together_are_limited() {
    let fixture = limited();
    for host in 1..=3 {
        assert_eq!(register_from(&fixture, &format!("192.0.2.{host}:1")).status(), 201);
    }
    assert_eq!(is_limited(&register_from(&fixture, "192.0.2.4:1")), 20);
    fixture.advance(20);
    assert_eq!(register_from(&fixture, "192.0.2.5:1").status(), 201);
}

#[test]
fn a_day_is_limited() {
    let fixture = limited();
    for host in 1..=5 {
        assert_eq!(register_from(&fixture, &format!("192.0.2.{host}:1")).status(), 201);
        fixture.advance(60);
    }
    let wait = is_limited(&register_from(&fixture, "192.0.2.6:1"));
    assert!(wait > 60 && wait <= 24 * 3600, "{wait}");
}

#[test]
fn an_ipv6_network_is_one_address() {
    let fixture = limited();
    for host in 1..=2 {
        assert_eq!(register_from(&fixture, &format!("[2001:db8::{host}]:1")).status(), 201);
    }
    is_limited(&register_from(&fixture, "[2001:db8::3]:1"));
    assert_eq!(register_from(&fixture, "[2001:db8:0:1::3]:1").status(), 201);
}

#[test]
fn registration_can_be_closed() {
    let mut document = document();
    document["clients"] = json!({ "dynamicRegistration": { "enabled": false } });
    let fixture = Fixture::configured(&document);
    let refused = register_from(&fixture, "192.0.2.1:1");
    assert_eq!((refused.status(), refused.reason), (404, "registration_off"));
    let metadata = fixture.send(Method::Get, "/.well-known/oauth-authorization-server", &[]).json();
    assert!(metadata.get("registration_endpoint").is_none());
}

#[test]
fn one_address_cannot_use_up_the_day_of_all() {
    let mut document = document();
    document["clients"] = json!({ "dynamicRegistration": { "ratePerMinute": 2, "max": 40 } });
    let fixture = Fixture::configured(&document);
    let mut registered = 0;
    // An hour of a registration a second.
    for _ in 0..3_600 {
        if register_from(&fixture, "192.0.2.1:1").status() == 201 {
            registered += 1;
        }
        fixture.advance(1);
    }
    assert_eq!(registered, 4, "a tenth of the day");
    for host in 2..20 {
        assert_eq!(register_from(&fixture, &format!("192.0.2.{host}:1")).status(), 201);
        fixture.advance(1);
    }
}
