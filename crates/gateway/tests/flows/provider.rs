//! What the provider's own documents may and may not make the gateway do.

use std::rc::Rc;

use portcullis_gateway::decision::Decision;
use portcullis_gateway::dispatch;
use portcullis_gateway::ports::{CallError, CallReply};
use portcullis_protocol::http::message::Method;
use portcullis_protocol::oauth::params;
use portcullis_testkit::fakes::block_on;
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::fixture::{DISCOVERY, Fixture, IDP, code_of, discovery, document, error_of, settled_reply};

fn with(name: &str, value: &str) -> Value {
    let mut document = discovery();
    document[name] = json!(value);
    document
}

/// A login as the first thing that needs the provider; returns the error that the client gets.
fn refused_login(fixture: &Fixture) -> String {
    let (browser, client) = (Browser::default(), fixture.register());
    let form = fixture.consent_page(&browser, &client, &[]);
    let reply = fixture.answer_form(&browser, &form, "approve", &[]);
    assert_eq!(fixture.ports.calls_left(), 0);
    error_of(&reply)
}

#[test]
fn a_document_that_would_lead_elsewhere_is_refused_and_nothing_there_is_called() {
    for document in [
        with("issuer", "https://other.example"),
        with("issuer", "https://idp.example/"),
        with("token_endpoint", "https://evil.example/token"),
        with("token_endpoint", "https://idp.example:8443/token"),
        with("token_endpoint", "http://idp.example/token"),
        with("token_endpoint", "https://idp.example@evil.example/token"),
        with("token_endpoint", "/token"),
        with("jwks_uri", "https://evil.example/keys"),
        with("jwks_uri", "http://idp.example/keys"),
        with("jwks_uri", "file:///etc/keys"),
        with("authorization_endpoint", "http://idp.example/authorize"),
        with("authorization_endpoint", "javascript:alert(1)"),
        json!({}),
    ] {
        let fixture = Fixture::cold(&crate::fixture::document());
        fixture.ports.expect_json("idp", DISCOVERY, 200, &document.to_string());
        assert_eq!(refused_login(&fixture), "server_error", "{document}");
    }
}

#[test]
fn an_answer_that_is_no_document_is_refused() {
    let good = discovery().to_string();
    let reply = |status, content_type: &str, body: &str| {
        let content_type = Some(content_type.to_owned());
        Ok(CallReply { status, content_type, from_bridge: false, max_age: None, body: body.as_bytes().to_vec() })
    };
    let (later, never) = ("temporarily_unavailable", "server_error");
    for (answer, error) in [
        (Err(CallError::NotSent), later),
        (Err(CallError::NoAnswer), later),
        (reply(503, "text/plain", "no healthy upstream"), later),
        (reply(302, "application/json", &good), later),
        (reply(404, "application/json", "{}"), later),
        (reply(200, "text/html", &good), never),
        (reply(200, "application/json", "[]"), never),
        (reply(200, "application/json", good.strip_suffix('}').unwrap()), never),
        (reply(200, "application/json", &format!("{{\"padding\":\"{}\"}}", "x".repeat(64 * 1024))), never),
    ] {
        let fixture = Fixture::cold(&document());
        fixture.ports.expect_call("idp", DISCOVERY, answer);
        assert_eq!(refused_login(&fixture), error);
    }
}

#[test]
fn keys_that_are_none_are_refused() {
    for keys in ["{}", "[]", "{\"keys\":{}}", "{\"keys\":[1]}"] {
        let fixture = Fixture::cold(&document());
        fixture.ports.expect_json("idp", DISCOVERY, 200, &discovery().to_string());
        fixture.ports.expect_json("idp", "/keys", 200, keys);
        assert_eq!(refused_login(&fixture), "server_error", "{keys}");
    }
}

#[test]
fn an_endpoint_at_another_host_is_called_through_the_cluster_that_is_configured_for_it() {
    let mut document = document();
    document["upstreamProviders"][0]["oidcConfig"]["clusters"] = json!({ "keys.example:8443": "keys" });
    let fixture = Fixture::cold(&document);
    let discovery = with("jwks_uri", "https://KEYS.example:8443/jwks?v=1");
    fixture.ports.expect_json("idp", DISCOVERY, 200, &discovery.to_string());
    fixture.ports.expect_json("keys", "/jwks?v=1", 200, "{\"keys\":[]}");
    fixture.warm();
    let sent = fixture.ports.take_sent();
    assert_eq!((sent.len(), sent[1].authority.as_str(), sent[1].method), (2, "keys.example:8443", "GET"));
}

#[test]
fn the_documents_are_fetched_ahead_of_logins_and_again_after_an_hour() {
    let fixture = Fixture::new();
    fixture.advance(3599);
    fixture.warm();
    fixture.advance(1);
    fixture.expect_documents();
    fixture.warm();
    assert_eq!(fixture.ports.calls_left(), 0);
}

#[test]
fn what_was_known_stays_in_use_while_the_provider_is_away() {
    let fixture = Fixture::new();
    fixture.advance(3600);
    fixture.ports.expect_json("idp", DISCOVERY, 503, "{}");
    fixture.warm();
    assert!(!fixture.gateway.provider_refresh_due(fixture.now()), "and is not asked again at once");
    assert!(fixture.gateway.provider_refresh_due(fixture.now() + 10));
    let (browser, client) = (Browser::default(), fixture.register());
    let asked = fixture.start(&browser, &client);
    code_of(&fixture.return_from_provider(&browser, &asked, "alice"));
}

#[test]
fn a_provider_that_has_just_failed_is_not_called_again_for_every_login() {
    let fixture = Fixture::cold(&document());
    let (browser, client) = (Browser::default(), fixture.register());
    fixture.ports.expect_json("idp", DISCOVERY, 503, "{}");
    for _ in 0..3 {
        let form = fixture.consent_page(&browser, &client, &[]);
        let (_, answer) = fixture.answer_form(&browser, &form, "approve", &[]).redirect();
        assert_eq!(answer["error"], "temporarily_unavailable");
    }
    assert_eq!(fixture.ports.calls_left(), 0);
    fixture.advance(2);
    fixture.expect_documents();
    fixture.start(&browser, &client);
    assert_eq!(fixture.ports.calls_left(), 0);
}

#[test]
fn logins_that_come_before_the_documents_wait_for_one_fetch() {
    let fixture = Fixture::cold(&document());
    let browser = Browser::default();
    let form = fixture.consent_page(&browser, &fixture.register(), &[]);
    let fields = [("transaction", form.transaction.as_str()), ("csrf", &form.csrf), ("decision", "approve")];
    fixture.ports.set_body(params::encode(&fields));
    let cookie = browser.cookie().unwrap();
    let post = || {
        let form = ("content-type", "application/x-www-form-urlencoded");
        let request = Fixture::request(Method::Post, "/oauth/consent", &[("cookie", &cookie), form]);
        match block_on(dispatch::handle(Rc::clone(&fixture.gateway), request, fixture.ports.clone())) {
            Decision::AwaitProvider { decide } => decide,
            Decision::Resolved(settled) => panic!("{}", settled_reply(settled).reason),
            Decision::AwaitUpstream { .. } => panic!("waits for tokens"),
        }
    };
    let waiting: Vec<_> = (0..200).map(|_| post()).collect();
    assert!(fixture.ports.take_sent().is_empty(), "a login makes no call");
    fixture.expect_documents();
    fixture.warm();
    for decide in waiting {
        assert_eq!(settled_reply(decide()).reason, "login_started");
    }
    assert_eq!((fixture.ports.take_sent().len(), fixture.ports.calls_left()), (2, 0));
}

#[test]
fn a_clock_that_is_set_back_keeps_no_login_from_the_provider() {
    let fixture = Fixture::cold(&document());
    fixture.ports.expect_json("idp", DISCOVERY, 503, "{}");
    assert_eq!(refused_login(&fixture), "temporarily_unavailable");
    fixture.ports.clock().set_back(3_600);
    fixture.expect_documents();
    fixture.start(&Browser::default(), &fixture.register());
    assert_eq!(fixture.ports.calls_left(), 0);
}

#[test]
fn configured_parameters_are_sent_unless_the_client_wants_another_prompt() {
    let mut document = document();
    let parameters = json!({ "access_type": "offline", "prompt": "consent" });
    document["upstreamProviders"][0]["oidcConfig"]["additionalAuthorizationParams"] = parameters;
    let fixture = Fixture::configured(&document);
    let client = fixture.register();
    let asked = fixture.start(&Browser::default(), &client);
    assert_eq!((asked["access_type"].as_str(), asked["prompt"].as_str()), ("offline", "consent"));
    let browser = Browser::default();
    let form = fixture.consent_page(&browser, &client, &[("prompt", "login")]);
    assert_eq!(fixture.approve(&browser, &form)["prompt"], "login");
    assert!(fixture.ports.take_sent().iter().all(|call| call.authority != IDP));
}
