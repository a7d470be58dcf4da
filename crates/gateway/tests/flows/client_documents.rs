//! Clients whose id is the URL of a document: what is fetched, when, and what it may say.

use portcullis_gateway::ports::CallReply;
use portcullis_protocol::http::message::Method;
use portcullis_protocol::oauth::params;
use portcullis_testkit::fakes::json_reply;
use serde_json::{Value, json};

use crate::browser::{Browser, Reply};
use crate::fixture::{Fixture, Form, NOW, REDIRECT, Tokens, code_of, document, tokens_of};

pub(crate) const CLUSTER: &str = "client-documents";
pub(crate) const CLIENT: &str = "https://client.example/client.json";
pub(crate) const PATH: &str = "/client.json";

/// A configuration that takes documents of `client.example`, with some fields replaced.
pub(crate) fn configuration(changes: &Value) -> Value {
    let mut document = document();
    let mut documents = json!({ "enabled": true, "cluster": CLUSTER, "allowedDomains": ["client.example"] });
    for (name, value) in changes.as_object().unwrap() {
        documents[name] = value.clone();
    }
    document["clients"] = json!({ "metadataDocuments": documents });
    document
}

/// The same with the bridge, which allows every public name.
pub(crate) fn bridged(changes: &Value) -> Value {
    let mut document = configuration(changes);
    let documents = &mut document["clients"]["metadataDocuments"];
    documents.as_object_mut().unwrap().remove("cluster");
    documents["allowedDomains"] = json!(["*"]);
    document["storage"] =
        json!({ "type": "bridge", "cluster": "redis-bridge", "namespace": "prod", "name": "gateway" });
    document
}

pub(crate) fn fixture() -> Fixture {
    Fixture::configured(&configuration(&json!({})))
}

/// The document of [`CLIENT`] with some members replaced.
pub(crate) fn metadata(changes: &Value) -> Value {
    let mut document = json!({
        "client_id": CLIENT, "client_name": "Desk Assistant", "redirect_uris": [REDIRECT],
        "token_endpoint_auth_method": "none", "grant_types": ["authorization_code", "refresh_token"],
    });
    for (name, value) in changes.as_object().unwrap() {
        document[name] = value.clone();
    }
    document
}

pub(crate) fn expect(fixture: &Fixture, document: &Value, max_age: Option<u64>) {
    let reply = CallReply { max_age, ..json_reply(200, &document.to_string()) };
    fixture.ports.expect_call(CLUSTER, PATH, Ok(reply));
}

pub(crate) fn ask(fixture: &Fixture, client: &str, changed: &[(&str, &str)]) -> Reply {
    fixture.visit(&Browser::default(), &Fixture::authorization(client, changed))
}

/// What was fetched since the last time of asking, leaving out what the provider was asked.
pub(crate) fn fetched(fixture: &Fixture) -> usize {
    fixture.ports.take_sent().iter().filter(|call| call.cluster != "idp").count()
}

fn log_in(fixture: &Fixture, browser: &Browser) -> Tokens {
    expect(fixture, &metadata(&json!({})), None);
    let code = fixture.code(browser, CLIENT, "alice");
    tokens_of(&fixture.redeem(CLIENT, &code, &[]))
}

#[test]
fn a_login_fetches_the_document_once_and_its_page_shows_whose_it_is() {
    let fixture = fixture();
    let browser = Browser::default();
    expect(&fixture, &metadata(&json!({})), None);
    let page = fixture.visit(&browser, &Fixture::authorization(CLIENT, &[]));
    assert_eq!(page.reason, "consent_shown");
    let sent = fixture.ports.take_sent();
    let [call] = sent.as_slice() else { panic!("{} calls", sent.len()) };
    assert_eq!((call.method, call.authority.as_str(), call.body.len()), ("GET", "client.example", 0));
    assert!(
        call.headers.iter().all(|(name, _)| ["accept", "accept-encoding"].contains(&&**name)),
        "{:?}",
        call.headers
    );
    for shown in [
        "<strong class=\"host\"><bdi dir=\"ltr\">client.example</bdi></strong>",
        &format!("<bdi dir=\"ltr\">{CLIENT}</bdi>"),
        &format!("<bdi dir=\"ltr\">{REDIRECT}</bdi>"),
        "<bdi>Desk Assistant</bdi>",
        "It has not been checked",
    ] {
        assert!(page.text().contains(shown), "{shown}");
    }
    let form = Form { transaction: page.field("transaction"), csrf: page.field("csrf") };
    let asked = fixture.approve(&browser, &form);
    let code = code_of(&fixture.return_from_provider(&browser, &asked, "alice"));
    let tokens = tokens_of(&fixture.redeem(CLIENT, &code, &[]));
    tokens_of(&fixture.refresh(CLIENT, &tokens.refresh, &[]));
    assert_eq!(fetched(&fixture), 0);
}

#[test]
fn a_client_without_refresh_tokens_gets_none() {
    let fixture = fixture();
    expect(&fixture, &metadata(&json!({ "grant_types": ["authorization_code"] })), None);
    let code = fixture.code(&Browser::default(), CLIENT, "alice");
    let reply = fixture.redeem(CLIENT, &code, &[]);
    assert_eq!((reply.status(), reply.json().get("refresh_token")), (200, None));
}

#[test]
fn a_login_goes_on_when_the_document_cannot_be_fetched_any_more() {
    let fixture = fixture();
    let mut tokens = log_in(&fixture, &Browser::default());
    assert_eq!(fetched(&fixture), 1);
    // Long after nothing of it is kept. A call would fail the test.
    for _ in 0..3 {
        fixture.advance(6 * 24 * 3_600);
        tokens = tokens_of(&fixture.refresh(CLIENT, &tokens.refresh, &[]));
    }
    assert_eq!(fetched(&fixture), 0);
}

#[test]
fn a_worker_without_the_document_finishes_the_login_that_another_began() {
    let fixture = fixture();
    let browser = Browser::default();
    expect(&fixture, &metadata(&json!({})), None);
    let asked = fixture.start(&browser, CLIENT);
    let other = fixture.with_clock_at(&configuration(&json!({})), NOW);
    other.expect_documents();
    other.warm();
    let code = code_of(&other.return_from_provider(&browser, &asked, "alice"));
    assert_eq!(fetched(&other), 0);
    tokens_of(&other.redeem(CLIENT, &code, &[]));
}

#[test]
fn metadata_announces_it_only_where_it_is_on() {
    let announced = |fixture: &Fixture| {
        let metadata = fixture.send(Method::Get, "/.well-known/oauth-authorization-server", &[]).json();
        metadata.get("client_id_metadata_document_supported").cloned()
    };
    assert_eq!(announced(&fixture()), Some(true.into()));
    assert_eq!(announced(&Fixture::new()), None);
}

#[test]
fn a_login_ends_where_its_client_is_no_longer_accepted() {
    let fixture = fixture();
    let tokens = log_in(&fixture, &Browser::default());
    for changes in
        [json!({ "allowedDomains": ["*.client.example", "other.example"] }), json!({ "allowedPorts": [8443] })]
    {
        let narrowed = fixture.with_clock_at(&configuration(&changes), NOW);
        let reply = narrowed.refresh(CLIENT, &tokens.refresh, &[]);
        assert_eq!((reply.status(), reply.reason), (401, "client_document_not_accepted"), "{changes}");
        let reply = revoke(&narrowed, &tokens.refresh);
        assert_eq!((reply.status(), reply.reason), (401, "revocation_document_not_accepted"), "{changes}");
    }
    let tokens = tokens_of(&fixture.refresh(CLIENT, &tokens.refresh, &[]));
    // Its own revocation reads no document either.
    assert_eq!(revoke(&fixture, &tokens.refresh).status(), 200);
    assert_eq!(fixture.refresh(CLIENT, &tokens.refresh, &[]).error(), "invalid_grant");
    assert_eq!(fetched(&fixture), 1);
}

#[test]
fn a_login_under_way_ends_where_its_client_is_no_longer_accepted() {
    let fixture = fixture();
    let browser = Browser::default();
    expect(&fixture, &metadata(&json!({})), None);
    let form = fixture.consent_page(&browser, CLIENT, &[]);
    let asked = fixture.start(&browser, CLIENT);
    let mut off = configuration(&json!({}));
    off["clients"]["metadataDocuments"]["enabled"] = json!(false);
    for (configuration, reason) in [
        (configuration(&json!({ "allowedDomains": ["other.example"] })), "client_document_not_allowed"),
        (configuration(&json!({ "allowedPorts": [8443] })), "client_document_not_allowed"),
        (off, "client_documents_off"),
    ] {
        let narrowed = fixture.with_clock_at(&configuration, NOW);
        narrowed.expect_documents();
        narrowed.warm();
        assert_eq!(narrowed.ports.take_sent().len(), 2, "what the provider says about itself");
        for reply in [
            narrowed.answer_form(&browser, &form, "approve", &[]),
            narrowed.answer_form(&browser, &form, "deny", &[]),
            narrowed.visit(&browser, &Fixture::callback(&asked)),
        ] {
            assert_eq!((reply.status(), reply.reason), (400, reason), "{configuration}");
            assert!(reply.header("location").is_none(), "nothing goes to its redirect URI");
        }
        assert_eq!(narrowed.ports.take_sent().len(), 0, "neither the provider nor the document is asked for");
    }
    code_of(&fixture.return_from_provider(&browser, &asked, "alice"));
}

fn revoke(fixture: &Fixture, token: &str) -> Reply {
    fixture.post("/oauth/revoke", &[("token", token), ("client_id", CLIENT)])
}

/// Server-side request forgery, as far as the URL shows it: no row makes a call or leaves a record.
#[test]
fn a_document_is_kept_as_long_as_its_server_says_within_bounds() {
    for (max_age, kept) in
        [(None, 300), (Some(0), 0), (Some(1), 60), (Some(600), 600), (Some(3_600), 3_600), (Some(u64::MAX), 3_600)]
    {
        let fixture = fixture();
        expect(&fixture, &metadata(&json!({})), max_age);
        assert_eq!(ask(&fixture, CLIENT, &[]).reason, "consent_shown");
        if kept > 0 {
            fixture.advance(kept - 1);
            assert_eq!(ask(&fixture, CLIENT, &[]).reason, "consent_shown");
            fixture.advance(1);
        }
        assert_eq!(fetched(&fixture), 1, "{max_age:?}");
        expect(&fixture, &metadata(&json!({})), max_age);
        assert_eq!(ask(&fixture, CLIENT, &[]).reason, "consent_shown");
        assert_eq!(fetched(&fixture), 1, "{max_age:?}");
    }
}

#[test]
fn a_document_that_changes_takes_effect_when_it_is_fetched_again() {
    let fixture = fixture();
    let other = "https://client.example/other";
    expect(&fixture, &metadata(&json!({})), Some(60));
    assert_eq!(ask(&fixture, CLIENT, &[]).reason, "consent_shown");
    assert_eq!(ask(&fixture, CLIENT, &[("redirect_uri", other)]).reason, "wrong_redirect_uri");
    fixture.advance(60);
    expect(&fixture, &metadata(&json!({ "redirect_uris": [other] })), Some(60));
    assert_eq!(ask(&fixture, CLIENT, &[]).reason, "wrong_redirect_uri");
    assert_eq!(ask(&fixture, CLIENT, &[("redirect_uri", other)]).reason, "consent_shown");
}

#[test]
fn redirect_uris_match_by_the_rule_of_registered_clients() {
    let fixture = fixture();
    let listed =
        json!(["http://127.0.0.1/callback", "http://localhost:1/callback", REDIRECT, "http://client.example/plain"]);
    expect(&fixture, &metadata(&json!({ "redirect_uris": listed })), None);
    for (uri, reason) in [
        ("http://127.0.0.1:53682/callback", "consent_shown"),
        ("http://localhost:53682/callback", "consent_shown"),
        (REDIRECT, "consent_shown"),
        ("", "wrong_redirect_uri"),
        ("http://127.0.0.1:53682/callback/", "wrong_redirect_uri"),
        ("http://[::1]:53682/callback", "wrong_redirect_uri"),
        ("https://client.example:8443/callback", "wrong_redirect_uri"),
        ("https://client.example/callback?a=b", "wrong_redirect_uri"),
        ("https://Client.example/callback", "wrong_redirect_uri"),
        ("https://client.example.evil.example/callback", "wrong_redirect_uri"),
        ("http://client.example/plain", "wrong_redirect_uri"),
    ] {
        assert_eq!(ask(&fixture, CLIENT, &[("redirect_uri", uri)]).reason, reason, "{uri}");
    }
    assert_eq!(fetched(&fixture), 1);
}

#[test]
fn a_remembered_consent_stands_in_only_where_the_answer_goes_to_a_server_of_the_client() {
    let loopback = "http://127.0.0.1:53682/callback";
    let fixture = fixture();
    let browser = Browser::default();
    let listed = json!({ "redirect_uris": [REDIRECT, "http://127.0.0.1/callback", "com.example.app:/callback"] });
    expect(&fixture, &metadata(&listed), Some(3_600));
    for uri in [REDIRECT, loopback, "com.example.app:/callback"] {
        let form = fixture.consent_page(&browser, CLIENT, &[("redirect_uri", uri)]);
        let asked = fixture.approve(&browser, &form);
        assert_eq!(fixture.return_from_provider(&browser, &asked, "alice").reason, "logged_in", "{uri}");
        let again = fixture.visit(&browser, &Fixture::authorization(CLIENT, &[("redirect_uri", uri)]));
        assert_eq!(again.reason, if uri == REDIRECT { "login_started" } else { "consent_shown" }, "{uri}");
    }
}

#[test]
fn another_user_than_the_one_who_consented_is_asked_by_the_document() {
    let fixture = fixture();
    let browser = Browser::default();
    log_in(&fixture, &browser);
    let (_, asked) = fixture.visit(&browser, &Fixture::authorization(CLIENT, &[])).redirect();
    // Meanwhile the document is stale, and then gone.
    fixture.advance(301);
    assert_eq!(fetched(&fixture), 1);
    fixture.expect_token_answer(200, &Fixture::token_answer(&fixture.sign(&fixture.claims("bob", &asked["nonce"]))));
    expect(&fixture, &metadata(&json!({})), None);
    let page = fixture.visit(&browser, &Fixture::callback(&asked));
    assert_eq!((page.status(), page.reason), (200, "consent_shown"));
    assert_eq!(fetched(&fixture), 1);
}

#[test]
fn a_code_is_bound_to_the_url_as_text() {
    let fixture = fixture();
    expect(&fixture, &metadata(&json!({})), None);
    for other in ["https://client.example/other.json", "https://client.example/client.json?"] {
        let code = fixture.code(&Browser::default(), CLIENT, "alice");
        let reply = fixture.redeem(other, &code, &[]);
        assert_eq!((reply.status(), reply.reason), (400, "code_other_client"), "{other}");
    }
    let tokens = tokens_of(&fixture.redeem(CLIENT, &fixture.code(&Browser::default(), CLIENT, "alice"), &[]));
    let reply = fixture.refresh("https://client.example/other.json", &tokens.refresh, &[]);
    assert_eq!((reply.status(), reply.reason), (400, "refresh_other_client"));
}

#[test]
fn the_client_is_public_like_every_other() {
    let fixture = fixture();
    let form = [("grant_type", "refresh_token"), ("refresh_token", "x"), ("client_id", CLIENT), ("client_secret", "x")];
    assert_eq!(fixture.post("/oauth/token", &form).reason, "client_authenticated");
    fixture.ports.set_body(params::encode(&form[..3]));
    let basic = [("content-type", "application/x-www-form-urlencoded"), ("authorization", "Basic eDp5")];
    assert_eq!(fixture.send(Method::Post, "/oauth/token", &basic).reason, "client_authenticated");
}
