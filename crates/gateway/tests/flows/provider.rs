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
use crate::fixture::{DISCOVERY, Fixture, IDP, code_of, discovery, document, error_of, provider_id, resolved_reply};

fn with(name: &str, value: &str) -> Value {
    let mut document = discovery();
    document[name] = json!(value);
    document
}

/// A login as the first thing that needs the provider; returns the error that the client gets, and
/// the reason in the audit trail.
fn refused_login(fixture: &Fixture) -> (String, &'static str) {
    let (browser, client) = (Browser::default(), fixture.register());
    let form = fixture.consent_page(&browser, &client, &[]);
    let reply = fixture.answer_form(&browser, &form, "approve", &[]);
    assert_eq!(fixture.ports.calls_left(), 0);
    (error_of(&reply), reply.reason)
}

/// The same as what is reported to the operator of it.
fn reported(fixture: &Fixture, url: &str, expected: (&str, &str), case: &str) {
    let (error, reason) = refused_login(fixture);
    assert_eq!((error.as_str(), reason), expected, "{case}");
    let reports = fixture.ports.take_reports();
    let named = format!("idp {IDP}{url} {reason}: ");
    assert!(reports.len() == 1 && reports[0].starts_with(&named), "{case}: {reports:?}");
    assert!(!reports[0].contains("client secret") && !reports[0].contains("evil"), "{reports:?}");
}

#[test]
fn a_document_that_would_lead_elsewhere_is_refused_and_nothing_there_is_called() {
    let (issuer, cluster) = ("provider_wrong_issuer", "provider_endpoint_without_cluster");
    let invalid = "provider_invalid_documents";
    for (document, reason) in [
        (with("issuer", "https://other.example"), issuer),
        (with("issuer", "https://idp.example/"), issuer),
        (with("token_endpoint", "https://evil.example/token"), cluster),
        (with("token_endpoint", "https://idp.example:8443/token"), cluster),
        (with("token_endpoint", "http://idp.example/token"), invalid),
        (with("token_endpoint", "https://idp.example@evil.example/token"), invalid),
        (with("token_endpoint", "/token"), invalid),
        (with("jwks_uri", "https://evil.example/keys"), cluster),
        (with("jwks_uri", "http://idp.example/keys"), invalid),
        (with("jwks_uri", "file:///etc/keys"), invalid),
        (with("authorization_endpoint", "http://idp.example/authorize"), invalid),
        (with("authorization_endpoint", "javascript:alert(1)"), invalid),
        (json!({}), invalid),
    ] {
        let fixture = Fixture::cold(&crate::fixture::document());
        fixture.ports.expect_json("idp", DISCOVERY, 200, &document.to_string());
        reported(&fixture, DISCOVERY, ("server_error", reason), &document.to_string());
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
    let tls = "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure, \
               transport failure reason: TLS_error:|268435581:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED";
    for (answer, error, reason) in [
        (Err(CallError::NotSent), never, "provider_without_cluster"),
        (Err(CallError::NoAnswer), later, "provider_unreachable"),
        (reply(503, "text/plain", "no healthy upstream"), later, "provider_unreachable"),
        (reply(503, "text/plain", tls), never, "provider_tls"),
        (reply(504, "text/plain", "upstream request timeout"), later, "provider_timeout"),
        (reply(500, "application/json", "{}"), later, "provider_status"),
        (reply(302, "application/json", &good), never, "provider_status"),
        (reply(404, "application/json", "{}"), never, "provider_status"),
        (reply(200, "text/html", &good), never, "provider_not_json"),
        (reply(200, "application/json", "[]"), never, "provider_invalid_documents"),
        (reply(200, "application/json", good.strip_suffix('}').unwrap()), never, "provider_invalid_documents"),
        (
            reply(200, "application/json", &format!("{{\"padding\":\"{}\"}}", "x".repeat(256 * 1024))),
            never,
            "provider_invalid_documents",
        ),
    ] {
        let fixture = Fixture::cold(&document());
        fixture.ports.expect_call("idp", DISCOVERY, answer);
        reported(&fixture, DISCOVERY, (error, reason), reason);
    }
}

#[test]
fn keys_that_are_none_are_refused() {
    for keys in ["{}", "[]", "{\"keys\":{}}", "{\"keys\":[1]}"] {
        let fixture = Fixture::cold(&document());
        fixture.ports.expect_json("idp", DISCOVERY, 200, &discovery().to_string());
        fixture.ports.expect_json("idp", "/keys", 200, keys);
        reported(&fixture, "/keys", ("server_error", "provider_invalid_documents"), keys);
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
fn a_provider_that_was_never_reached_is_probed_every_half_minute_without_a_login() {
    let fixture = Fixture::cold(&document());
    assert!(!fixture.gateway.providers_due(fixture.now(), false).is_empty(), "at once");
    fixture.ports.expect_json("idp", DISCOVERY, 500, "{}");
    fixture.warm();
    assert!(fixture.gateway.providers_due(fixture.now() + 29, false).is_empty());
    fixture.advance(30);
    assert!(!fixture.gateway.providers_due(fixture.now(), false).is_empty());
    fixture.expect_documents();
    fixture.warm();
    assert!(fixture.gateway.providers_due(fixture.now() + 7_200, false).is_empty(), "it was reached");
    assert_eq!(fixture.ports.take_reports().last().map(String::as_str), Some("idp answered"));
}

#[test]
fn what_was_known_stays_in_use_while_the_provider_is_away() {
    let fixture = Fixture::new();
    fixture.advance(3600);
    fixture.ports.expect_json("idp", DISCOVERY, 503, "{}");
    fixture.warm();
    assert!(fixture.gateway.providers_due(fixture.now(), true).is_empty(), "and is not asked again at once");
    assert!(!fixture.gateway.providers_due(fixture.now() + 10, true).is_empty());
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
            Decision::AwaitProvider { decide, provider } => {
                assert_eq!(provider, provider_id());
                decide
            }
            Decision::Resolved(resolved) => panic!("{}", resolved_reply(resolved).reason),
            Decision::AwaitUpstream { .. } | Decision::AwaitKeys { .. } => panic!("waits for tokens"),
        }
    };
    let waiting: Vec<_> = (0..200).map(|_| post()).collect();
    assert!(fixture.ports.take_sent().is_empty(), "a login makes no call");
    fixture.expect_documents();
    fixture.warm();
    for decide in waiting {
        assert_eq!(resolved_reply(decide()).reason, "login_started");
    }
    assert_eq!((fixture.ports.take_sent().len(), fixture.ports.calls_left()), (2, 0));
}

#[test]
fn a_clock_that_is_set_back_keeps_no_login_from_the_provider() {
    let fixture = Fixture::cold(&document());
    fixture.ports.expect_json("idp", DISCOVERY, 503, "{}");
    assert_eq!(refused_login(&fixture), ("temporarily_unavailable".to_owned(), "provider_status"));
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
