//! Registration is open to strangers: it stores nothing, and no client is refused for others.

use std::rc::Rc;

use portcullis_gateway::clients::registered::{Client, client_key};
use portcullis_gateway::clients::sealed_id::CarriedRegistration;
use portcullis_gateway::ports::Store as _;
use portcullis_gateway::state::gateway::Gateway;
use portcullis_gateway::store::records::{self, Records};
use portcullis_protocol::credentials::SealedClientId;
use portcullis_protocol::http::message::Method;
use portcullis_storage_api::Ttl;
use portcullis_testkit::fakes::block_on;
use serde_json::{Value, json};

use crate::browser::{Browser, Reply};
use crate::fixture::{API, Fixture, MCP, NOW, REDIRECT, code_of, compiled, document, replied, tokens_of};

/// A gateway that allows two registrations a minute from one address.
fn limited() -> Fixture {
    let mut document = document();
    document["clients"] = json!({ "dynamicRegistration": { "ratePerMinute": 2 } });
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
        (with("scope", json!(7)), "invalid_client_metadata", "registration_field_type"),
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
    assert_eq!(fixture.store.inner.live(), before + 1, "the limit of the address");
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
fn a_flood_from_one_address_is_limited_and_costs_the_others_nothing() {
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
fn however_many_addresses_register_no_other_is_refused_and_only_limits_are_stored() {
    let fixture = limited();
    let before = fixture.store.inner.live();
    for host in 0..2_000 {
        let address = format!("198.18.{}.{}:1", host / 250, host % 250 + 1);
        assert_eq!(register_from(&fixture, &address).status(), 201, "{address}");
    }
    assert_eq!(fixture.store.inner.live(), before + 2_000, "a limit for each address");
    fixture.advance(61);
    assert_eq!(fixture.store.inner.live(), before, "and for no more than a minute");
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
fn a_registration_is_in_its_client_id_and_nothing_is_stored_until_the_first_tokens() {
    let fixture = Fixture::new();
    let (browser, client) = (Browser::default(), fixture.register());
    assert_eq!(record(&fixture, &client), None);
    let code = fixture.code(&browser, &client, "alice");
    assert_eq!(record(&fixture, &client), None);
    tokens_of(&fixture.redeem(&client, &code, &[]));
    let record = record(&fixture, &client).unwrap();
    assert_eq!((record.id.as_str(), record.redirect_uris.as_slice()), (client.as_str(), &[REDIRECT.to_owned()][..]));
    assert_eq!((record.deleted_at, record.registered_at), (None, NOW));
}

#[test]
fn a_registration_is_never_forgotten() {
    let fixture = Fixture::new();
    let client = fixture.register();
    // A year, in which the store lost everything.
    fixture.advance(365 * 24 * 3_600);
    fixture.expect_documents();
    fixture.warm();
    let restarted = Fixture::configured(&document());
    for fixture in [&fixture, &restarted] {
        let code = fixture.code(&Browser::default(), &client, "alice");
        tokens_of(&fixture.redeem(&client, &code, &[]));
    }
}

#[test]
fn a_client_whose_record_ended_is_still_known() {
    let fixture = Fixture::new();
    let (client, tokens) = fixture.logged_in();
    block_on(Records::new(&fixture.gateway.config().sealer, &fixture.ports).delete(&client_key(&client))).unwrap();
    tokens_of(&fixture.refresh(&client, &tokens.refresh, &[]));
    assert!(record(&fixture, &client).is_some(), "its next tokens make the record again");
}

#[test]
fn an_id_that_this_gateway_did_not_make_is_unknown() {
    let fixture = Fixture::new();
    let good = fixture.register();
    let mut other = document();
    other["secrets"] = json!([{ "inline": "another-development-secret-of-32-bytes" }]);
    let foreign = Fixture::configured(&other).register();
    let changed: String =
        good.chars().rev().enumerate().map(|(place, c)| if place == 9 { flipped(c) } else { c }).collect();
    let changed: String = changed.chars().rev().collect();
    for id in [
        foreign.as_str(),
        &changed,
        good.split_at(good.len() - 4).0,
        "pcci.1.",
        "pcci.1.AAAA",
        "",
        "client",
        &format!("{good}AAAA"),
    ] {
        let page = fixture.visit(&Browser::default(), &Fixture::authorization(id, &[]));
        let reason = if id.is_empty() { "no_client_named" } else { "unknown_client" };
        assert_eq!((page.status(), page.reason), (400, reason), "{id}");
        let reply = fixture.refresh(id, "x", &[]);
        assert!(matches!(reply.status(), 400 | 401), "{id}");
    }
}

fn flipped(character: char) -> char {
    if character == 'A' { 'B' } else { 'A' }
}

#[test]
fn a_deleted_client_is_refused_although_its_id_still_opens() {
    let fixture = Fixture::new();
    let (client, tokens) = fixture.logged_in();
    let browser = Browser::default();
    let code = fixture.code(&browser, &client, "bob");
    let deleted = delete(&fixture, &client);

    let page = fixture.visit(&browser, &Fixture::authorization(&client, &[]));
    assert_eq!((page.status(), page.reason), (400, "unknown_client"));
    let revocation = [("token", tokens.refresh.as_str()), ("client_id", client.as_str())];
    for reply in [
        fixture.refresh(&client, &tokens.refresh, &[]),
        fixture.redeem(&client, &code, &[]),
        fixture.post("/oauth/revoke", &revocation),
    ] {
        assert_eq!((reply.status(), reply.error().as_str()), (401, "invalid_client"));
    }
    fixture.advance(400 * 24 * 3_600);
    assert_eq!(record(&fixture, &client), Some(deleted), "nothing above undid the deletion");
}

#[test]
fn a_client_that_is_deleted_during_a_login_gets_nothing_of_it() {
    let fixture = Fixture::new();
    let (browser, client) = (Browser::default(), fixture.register());
    let form = fixture.consent_page(&browser, &client, &[]);
    let asked = fixture.start(&browser, &client);
    assert_eq!(fixture.ports.take_sent().len(), 0);
    let deleted = delete(&fixture, &client);
    let records = fixture.store.inner.live();
    let denied = format!("/oauth/callback?state={}&error=access_denied", asked["state"]);
    let approved = fixture.approve(&browser, &form);
    for reply in [
        fixture.answer_form(&browser, &form, "deny", &[]),
        fixture.visit(&browser, &Fixture::callback(&approved)),
        fixture.visit(&browser, &Fixture::callback(&asked)),
        fixture.visit(&browser, &denied),
    ] {
        assert_eq!((reply.status(), reply.reason), (400, "client_gone"));
        assert!(reply.header("location").is_none(), "nothing goes to its redirect URI");
        assert!(reply.text().contains("it was removed while you logged in"), "{}", reply.text());
    }
    assert_eq!(fixture.ports.take_sent().len(), 0, "the provider is not asked");
    assert_eq!(fixture.store.inner.live(), records + 1, "the limit of the address");
    assert_eq!(record(&fixture, &client), Some(deleted));
    // The same user logs in with the client as it registers again.
    code_of(&fixture.return_from_provider(&browser, &fixture.start(&browser, &fixture.register()), "alice"));
}

#[test]
fn a_deletion_while_tokens_are_issued_is_not_undone() {
    let fixture = Fixture::new();
    let (refreshing, tokens) = fixture.logged_in();
    let redeeming = fixture.register();
    let code = fixture.code(&Browser::default(), &redeeming, "bob");
    for (client, has_record) in [(refreshing, true), (redeeming, false)] {
        assert_eq!(record(&fixture, &client).is_some(), has_record);
        let deleted = deleted_now(&fixture, &client);
        let key = client_key(&client);
        let sealed = records::seal(&fixture.gateway.config().sealer, &key, &deleted, [9; 24]).unwrap();
        // The client was read before the session is written, and is noted after it.
        fixture.store.race(move |store, _| block_on(store.put(&key, sealed, Ttl::Forever)).unwrap());
        if has_record {
            tokens_of(&fixture.refresh(&client, &tokens.refresh, &[]));
        } else {
            tokens_of(&fixture.redeem(&client, &code, &[]));
        }
        assert_eq!(record(&fixture, &client), Some(deleted));
    }
}

#[test]
fn where_registration_is_closed_only_clients_with_a_record_are_served() {
    let mut fixture = Fixture::new();
    let stranger = fixture.register();
    let (client, tokens) = fixture.logged_in();
    let mut closed = document();
    closed["clients"] = json!({ "dynamicRegistration": { "enabled": false } });
    fixture.gateway = Rc::new(Gateway::new(compiled(&closed), 7));
    tokens_of(&fixture.refresh(&client, &tokens.refresh, &[]));
    assert_eq!(fixture.visit(&Browser::default(), &Fixture::authorization(&client, &[])).reason, "consent_shown");
    assert_eq!(fixture.visit(&Browser::default(), &Fixture::authorization(&stranger, &[])).reason, "unknown_client");
}

#[test]
fn a_login_that_was_under_way_when_registration_was_closed_goes_on_for_clients_with_a_record_alone() {
    let mut fixture = Fixture::new();
    let stranger = fixture.register();
    let (client, _) = fixture.logged_in();
    let logins = [stranger, client].map(|client| {
        let browser = Browser::default();
        let form = fixture.consent_page(&browser, &client, &[]);
        let asked = fixture.start(&browser, &client);
        (browser, form, asked)
    });
    let mut closed = document();
    closed["clients"] = json!({ "dynamicRegistration": { "enabled": false } });
    fixture.gateway = Rc::new(Gateway::new(compiled(&closed), 7));
    fixture.expect_documents();
    fixture.warm();
    let [(browser, form, asked), (known, known_form, known_asked)] = logins;
    for reply in
        [fixture.answer_form(&browser, &form, "deny", &[]), fixture.visit(&browser, &Fixture::callback(&asked))]
    {
        assert_eq!((reply.status(), reply.reason), (400, "client_gone"));
    }
    fixture.approve(&known, &known_form);
    code_of(&fixture.return_from_provider(&known, &known_asked, "alice"));
}

#[test]
fn a_client_may_ask_for_the_scopes_it_registered_and_those_that_the_resource_needs() {
    let mut document = document();
    document["scopesSupported"] = json!(["openid", "tools", "profile"]);
    let fixture = Fixture::configured(&document);
    let registered = fixture.register_with(&json!({ "redirect_uris": [REDIRECT], "scope": "profile admin" })).json();
    assert_eq!(registered["scope"], "profile");
    let client = registered["client_id"].as_str().unwrap();
    let ask = |resource: &str, scope: &str| {
        let browser = Browser::default();
        fixture.visit(&browser, &Fixture::authorization(client, &[("resource", resource), ("scope", scope)]))
    };
    for (resource, scope) in [(MCP, "openid profile"), (API, "tools openid profile"), (API, "")] {
        assert_eq!(ask(resource, scope).reason, "consent_shown", "{scope}");
    }
    let refused = ask(MCP, "profile tools");
    assert_eq!(refused.reason, "invalid_scope");
}

#[test]
fn a_registration_that_does_not_fit_into_a_client_id_is_refused_and_told_the_bound() {
    let fixture = Fixture::new();
    let long = |bytes: usize| format!("https://client.example/{}", "x".repeat(bytes));
    for (count, bytes, status) in [(1, 640, 201), (1, 700, 400), (10, 35, 201), (10, 60, 400)] {
        let uris: Vec<String> = (0..count).map(|_| long(bytes)).collect();
        let reply = fixture.register_with(&json!({ "redirect_uris": uris }));
        assert_eq!(reply.status(), status, "{count} {bytes}");
        if status == 201 {
            assert!(reply.json()["client_id"].as_str().unwrap().len() <= 1_024);
        } else {
            assert_eq!((reply.error().as_str(), reply.reason), ("invalid_client_metadata", "registration_too_long"));
            let description = reply.json()["error_description"].as_str().unwrap().to_owned();
            assert!(description.contains("redirect_uris") && description.contains("1024"), "{description}");
        }
    }
}

/// An operator deletes a client.
pub(crate) fn delete(fixture: &Fixture, client: &str) -> Client {
    let deleted = deleted_now(fixture, client);
    let records = Records::new(&fixture.gateway.config().sealer, &fixture.ports);
    block_on(records.save(&client_key(client), &deleted, Ttl::Forever)).unwrap();
    deleted
}

/// The record of a client that an operator deletes.
fn deleted_now(fixture: &Fixture, client: &str) -> Client {
    let sealed = SealedClientId::parse(client).unwrap();
    let carried = CarriedRegistration::open(sealed, &fixture.gateway.config().sealer).unwrap();
    Client { deleted_at: Some(fixture.now()), ..Client::new(client.to_owned(), carried) }
}

fn record(fixture: &Fixture, client: &str) -> Option<Client> {
    let records = Records::new(&fixture.gateway.config().sealer, &fixture.ports);
    block_on(records.load::<Client>(&client_key(client))).unwrap().map(|loaded| loaded.record)
}
