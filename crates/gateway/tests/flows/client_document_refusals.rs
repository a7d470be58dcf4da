//! Clients whose id is the URL of a document, where they are refused: what the gateway is not made
//! to fetch, and which documents describe no client.

use portcullis_gateway::ports::{CallError, CallReply};
use portcullis_protocol::base64url;
use portcullis_protocol::http::message::Method;
use portcullis_storage_api::wire::{FetchFailure, RefusalCause, Verb};
use portcullis_testkit::fakes::json_reply;
use serde_json::{Value, json};

use crate::client_documents::{CLIENT, CLUSTER, PATH, ask, bridged, configuration, expect, fetched, fixture, metadata};
use crate::fixture::{API, Fixture, REDIRECT, VERIFIER, error_in, replied};

#[test]
fn where_it_is_off_a_url_is_refused_and_nothing_fetched() {
    let fixture = Fixture::new();
    let page = ask(&fixture, CLIENT, &[]);
    assert_eq!((page.status(), page.reason), (400, "client_documents_off"));
    assert!(page.text().contains("such applications are not accepted here"), "{}", page.text());
    let reply = fixture.refresh(CLIENT, "a-refresh-token", &[]);
    assert_eq!((reply.status(), reply.reason), (401, "client_document_not_accepted"));
    assert_eq!(reply.error(), "invalid_client");
    assert_eq!(fetched(&fixture), 0);
}

#[test]
fn a_url_that_may_lead_inside_is_refused_with_nothing_fetched() {
    let fixture = Fixture::configured(&bridged(&json!({})));
    let before = fixture.store.inner.live();
    for (client, reason) in [
        ("http://client.example/client.json", "client_id_url"),
        ("HTTPS://client.example/client.json", "client_id_url"),
        ("ftp://client.example/client.json", "client_id_url"),
        ("file:///etc/passwd", "client_id_url"),
        ("gopher://127.0.0.1:6379/_INFO", "client_id_url"),
        ("https://client.example", "client_id_url"),
        ("https://client.example/", "client_id_url"),
        ("https://client.example/a#b", "client_id_url"),
        ("https://user@client.example/a", "client_id_url"),
        ("https://user:pass@client.example/a", "client_id_url"),
        ("https://trusted.example@127.0.0.1/a", "client_id_url"),
        ("https://trusted.example:443@127.0.0.1/a", "client_id_url"),
        ("https://trusted.example\\@127.0.0.1/a", "client_id_url"),
        ("https://trusted.example#@127.0.0.1/a", "client_id_url"),
        ("https://client.example/a/../b", "client_id_url"),
        ("https://client.example/%2e%2e/b", "client_id_url"),
        ("https://127.0.0.1/a", "client_id_url"),
        ("https://127.1/a", "client_id_url"),
        ("https://2130706433/a", "client_id_url"),
        ("https://0x7f000001/a", "client_id_url"),
        ("https://0x7f.0.0.1/a", "client_id_url"),
        ("https://0177.0.0.1/a", "client_id_url"),
        ("https://017700000001/a", "client_id_url"),
        ("https://0.0.0.0/a", "client_id_url"),
        ("https://0/a", "client_id_url"),
        ("https://10.0.0.1/a", "client_id_url"),
        ("https://100.64.0.1/a", "client_id_url"),
        ("https://169.254.169.254/latest/meta-data", "client_id_url"),
        ("https://172.16.0.1/a", "client_id_url"),
        ("https://192.168.1.1/a", "client_id_url"),
        ("https://224.0.0.1/a", "client_id_url"),
        ("https://255.255.255.255/a", "client_id_url"),
        ("https://8.8.8.8/a", "client_id_url"),
        ("https://[::1]/a", "client_id_url"),
        ("https://[::]/a", "client_id_url"),
        ("https://[::ffff:127.0.0.1]/a", "client_id_url"),
        ("https://[::ffff:7f00:1]/a", "client_id_url"),
        ("https://[::ffff:a9fe:a9fe]/a", "client_id_url"),
        ("https://[64:ff9b::7f00:1]/a", "client_id_url"),
        ("https://[2002:7f00:1::1]/a", "client_id_url"),
        ("https://[fd00:ec2::254]/a", "client_id_url"),
        ("https://[fe80::1]/a", "client_id_url"),
        ("https://[fe80::1%25eth0]/a", "client_id_url"),
        ("https://[ff02::1]/a", "client_id_url"),
        ("https://localhost./a", "client_id_url"),
        ("https://client.example./a", "client_id_url"),
        ("https://client.example:/a", "client_id_url"),
        ("https://client.example:443/a", "client_id_url"),
        ("https://client.example:0/a", "client_id_url"),
        ("https://client.example:65536/a", "client_id_url"),
        ("https://Client.example/a", "client_id_url"),
        ("https://cl\u{ef}ent.example/a", "client_id_url"),
        ("https://client\u{3002}example/a", "client_id_url"),
        ("https://\u{2460}\u{2461}\u{2466}.0.0.1/a", "client_id_url"),
        ("https://client%2eexample/a", "client_id_url"),
        ("https://client.example/a b", "client_id_url"),
        ("https://client.example/a\r\nhost: 127.0.0.1", "client_id_url"),
        ("https://client.example/a\0", "client_id_url"),
        ("https://client.example:22/a", "client_document_not_allowed"),
        ("https://client.example:80/a", "client_document_not_allowed"),
        ("https://client.example:6379/a", "client_document_not_allowed"),
        ("https://client.example:8443/a", "client_document_not_allowed"),
        ("https://localhost/a", "client_document_not_allowed"),
        ("https://a.localhost/a", "client_document_not_allowed"),
        ("https://redis/a", "client_document_not_allowed"),
        ("https://printer.local/a", "client_document_not_allowed"),
        ("https://metadata.google.internal/computeMetadata/v1/", "client_document_not_allowed"),
        ("https://kubernetes.default.svc/api", "client_document_not_allowed"),
        ("https://redis.default.svc.cluster.local/a", "client_document_not_allowed"),
        ("https://router.lan/a", "client_document_not_allowed"),
        ("https://1.0.0.127.in-addr.arpa/a", "client_document_not_allowed"),
        ("https://abc.onion/a", "client_document_not_allowed"),
    ] {
        let page = ask(&fixture, client, &[]);
        assert_eq!((page.status(), page.reason), (400, reason), "{client:?}");
        assert!(page.header("location").is_none(), "{client:?}");
        let reply = fixture.refresh(client, "a-refresh-token", &[]);
        assert_eq!((reply.status(), reply.reason), (401, "client_document_not_accepted"), "{client:?}");
        assert!(!page.text().contains(client), "an input is repeated: {client:?}");
    }
    assert_eq!((fetched(&fixture), fixture.store.inner.live()), (0, before));
}

#[test]
fn a_request_that_is_refused_whatever_the_client_is_fetches_nothing() {
    let fixture = fixture();
    let before = fixture.store.inner.live();
    for changed in [
        ("response_type", ""),
        ("response_type", "token"),
        ("response_mode", "fragment"),
        ("code_challenge", ""),
        ("code_challenge", "short"),
        ("code_challenge_method", "plain"),
        ("code_challenge_method", ""),
        ("scope", "openid administration"),
        ("resource", "https://other.example/mcp"),
        ("resource", "not a URI"),
        ("redirect_uri", "http://client.example/callback"),
        ("redirect_uri", "javascript:alert(1)"),
        ("request", "a.b.c"),
    ] {
        let page = ask(&fixture, CLIENT, &[changed]);
        assert_eq!((page.status(), page.reason), (400, "client_document_not_asked"), "{changed:?}");
    }
    assert_eq!((fetched(&fixture), fixture.store.inner.live()), (0, before));
    // With a document that is kept, the client hears of it.
    expect(&fixture, &metadata(&json!({})), None);
    assert_eq!(ask(&fixture, CLIENT, &[]).reason, "consent_shown");
    let told = ask(&fixture, CLIENT, &[("scope", "administration")]);
    assert_eq!(error_in(told.link()), "invalid_scope");
}

#[test]
fn no_other_endpoint_fetches_anything() {
    let fixture = fixture();
    for (target, form) in [
        ("/oauth/token", vec![("grant_type", "refresh_token"), ("refresh_token", "x"), ("client_id", CLIENT)]),
        (
            "/oauth/token",
            vec![
                ("grant_type", "authorization_code"),
                ("code", "x"),
                ("client_id", CLIENT),
                ("redirect_uri", REDIRECT),
                ("code_verifier", VERIFIER),
            ],
        ),
    ] {
        let reply = fixture.post(target, &form);
        assert_eq!((reply.status(), reply.error().as_str()), (400, "invalid_grant"), "{}", reply.text());
    }
    fixture.register_with(&json!({ "redirect_uris": [REDIRECT], "client_uri": CLIENT, "jwks_uri": CLIENT }));
    assert_eq!(fetched(&fixture), 0);
}

#[test]
fn a_document_that_breaks_a_rule_is_refused_with_what_is_wrong_and_not_kept() {
    let fixture = Fixture::configured(&configuration(&json!({ "ratePerMinute": 100 })));
    for (changes, told) in [
        (json!({ "client_id": "https://client.example/client.json/" }), "client_id is not exactly the URL"),
        (json!({ "client_id": null }), "client_id is not exactly the URL"),
        (json!({ "client_secret": "secret" }), "contains a client secret"),
        (json!({ "token_endpoint_auth_method": "client_secret_post" }), "based on a shared secret"),
        (json!({ "token_endpoint_auth_method": "private_key_jwt" }), "not supported here; it must be none"),
        (json!({ "redirect_uris": [] }), "redirect_uris"),
        (json!({ "redirect_uris": ["http://client.example/"] }), "http is for localhost, 127.0.0.1 and [::1] only"),
        (json!({ "grant_types": ["client_credentials"] }), "must include authorization_code"),
        (json!({ "response_types": ["token"] }), "must include code"),
    ] {
        expect(&fixture, &metadata(&changes), Some(3_600));
        let page = ask(&fixture, CLIENT, &[]);
        assert_eq!((page.status(), page.reason), (400, "invalid_client_document"), "{changes}");
        assert!(page.text().contains(told), "{changes}: {}", page.text());
    }
    for text in ["", "<html>", "[]", "{\"client_id\":", "{\"client_id\":\"a\",\"client_id\":\"b\"}"] {
        fixture.ports.expect_json(CLUSTER, PATH, 200, text);
        assert_eq!(ask(&fixture, CLIENT, &[]).reason, "invalid_client_document", "{text}");
    }
    expect(&fixture, &metadata(&json!({})), None);
    assert_eq!(ask(&fixture, CLIENT, &[]).reason, "consent_shown");
}

#[test]
fn what_is_no_answer_with_a_document_is_told_in_one_text_and_not_kept() {
    let fixture = Fixture::configured(&configuration(&json!({ "ratePerMinute": 100, "maxBytes": 2_000 })));
    let good = metadata(&json!({})).to_string();
    let typed = |content_type: Option<&str>| CallReply {
        content_type: content_type.map(str::to_owned),
        ..json_reply(200, &good)
    };
    let large = metadata(&json!({ "x": "x".repeat(2_000) })).to_string();
    for (reply, reason) in [
        (Err(CallError::NotSent), "client_documents_not_fetched"),
        (Err(CallError::NoAnswer), "client_document_unavailable"),
        (Ok(json_reply(404, &good)), "client_document_unavailable"),
        (Ok(json_reply(500, &good)), "client_document_unavailable"),
        (Ok(json_reply(503, &good)), "client_document_unavailable"),
        (Ok(json_reply(201, &good)), "client_document_unavailable"),
        (Ok(json_reply(301, &good)), "client_document_answer"),
        (Ok(json_reply(302, &good)), "client_document_answer"),
        (Ok(json_reply(304, &good)), "client_document_answer"),
        (Ok(json_reply(307, &good)), "client_document_answer"),
        (Ok(typed(None)), "client_document_answer"),
        (Ok(typed(Some("text/html"))), "client_document_answer"),
        (Ok(typed(Some("text/json"))), "client_document_answer"),
        (Ok(json_reply(200, &large)), "client_document_answer"),
    ] {
        fixture.ports.expect_call(CLUSTER, PATH, reply);
        let page = ask(&fixture, CLIENT, &[]);
        assert_eq!((page.status(), page.reason), (400, reason));
        assert!(page.text().contains("URL could not be fetched."), "{reason}: {}", page.text());
    }
    fixture.ports.expect_call(CLUSTER, PATH, Ok(typed(Some("application/client+json; charset=utf-8"))));
    assert_eq!(ask(&fixture, CLIENT, &[]).reason, "consent_shown");
}

#[test]
fn a_document_of_the_configured_size_is_read_and_a_byte_more_is_not() {
    let padded = |bytes: usize| metadata(&json!({ "x": "x".repeat(bytes) }));
    let rest = padded(0).to_string().len();
    for (bytes, reason) in [(2_000, "consent_shown"), (2_001, "client_document_answer")] {
        let fixture = Fixture::configured(&configuration(&json!({ "maxBytes": 2_000 })));
        expect(&fixture, &padded(bytes - rest), None);
        assert_eq!(ask(&fixture, CLIENT, &[]).reason, reason, "{bytes}");
    }
}

#[test]
fn the_bridge_fetches_and_what_it_says_is_told_in_one_text() {
    let fixture = Fixture::configured(&bridged(&json!({ "ratePerMinute": 100 })));
    let path = Verb::FetchDocument.path();
    let answered = |body: &Value| Ok(CallReply { from_bridge: true, ..json_reply(200, &body.to_string()) });
    let refused = |cause: RefusalCause| {
        let body = json!({ "error": cause }).to_string();
        Ok(CallReply { from_bridge: true, ..json_reply(cause.status(), &body) })
    };
    let failed = |failure: FetchFailure| answered(&json!({ "failure": failure }));
    let given = |max_age: Value| {
        let body = base64url::encode(metadata(&json!({})).to_string().as_bytes());
        json!({ "document": { "contentType": "application/json", "body": body, "maxAgeSeconds": max_age } })
    };
    let unmarked = Ok(json_reply(200, &given(Value::Null).to_string()));
    for (reply, reason) in [
        (failed(FetchFailure::NotHttps), "client_document_address"),
        (failed(FetchFailure::BadUrl), "client_document_address"),
        (failed(FetchFailure::PortRefused), "client_document_address"),
        (failed(FetchFailure::DomainRefused), "client_document_address"),
        (failed(FetchFailure::AddressRefused), "client_document_address"),
        (failed(FetchFailure::Resolve), "client_document_unavailable"),
        (failed(FetchFailure::Connect), "client_document_unavailable"),
        (failed(FetchFailure::Tls), "client_document_unavailable"),
        (failed(FetchFailure::TimedOut), "client_document_unavailable"),
        (failed(FetchFailure::Status), "client_document_unavailable"),
        (failed(FetchFailure::Budget), "client_document_unavailable"),
        (failed(FetchFailure::Redirect), "client_document_answer"),
        (failed(FetchFailure::ContentType), "client_document_answer"),
        (failed(FetchFailure::TooLarge), "client_document_answer"),
        (refused(RefusalCause::NotConfigured), "client_documents_not_fetched"),
        (refused(RefusalCause::Overloaded), "client_document_unavailable"),
        (unmarked, "client_document_unavailable"),
        (Err(CallError::NoAnswer), "client_document_unavailable"),
    ] {
        fixture.ports.expect_call("redis-bridge", path, reply);
        let page = ask(&fixture, CLIENT, &[]);
        assert_eq!((page.status(), page.reason), (400, reason));
        assert!(page.text().contains("URL could not be fetched."), "{reason}: {}", page.text());
    }
    let before = fixture.ports.take_sent().len();
    fixture.ports.expect_call("redis-bridge", path, answered(&given(json!(60))));
    assert_eq!(ask(&fixture, CLIENT, &[]).reason, "consent_shown");
    let sent = fixture.ports.take_sent();
    assert_eq!(serde_json::from_slice::<Value>(&sent[0].body).unwrap(), json!({ "url": CLIENT }));
    assert!(before > 0 && sent[0].timeout_ms > 5_000, "the bridge gives a fetch 5 seconds");
    fixture.advance(59);
    assert_eq!(ask(&fixture, CLIENT, &[]).reason, "consent_shown");
    fixture.advance(1);
    fixture.ports.expect_call("redis-bridge", path, failed(FetchFailure::Status));
    assert_eq!(ask(&fixture, CLIENT, &[]).reason, "client_document_unavailable");
}

#[test]
fn fetches_are_limited_by_address_and_in_all_and_a_kept_document_is_not() {
    let limits = json!({ "ratePerMinute": 2, "globalRatePerMinute": 3 });
    let fixture = Fixture::configured(&configuration(&limits));
    let from = |peer: &str, number: u32| {
        let client = format!("https://client.example/{number}.json");
        let mut request = Fixture::request(Method::Get, &Fixture::authorization(&client, &[]), &[]);
        request.peer = peer.to_owned();
        replied(fixture.handle(request))
    };
    let fetch = |peer: &str, number: u32| {
        let client = format!("https://client.example/{number}.json");
        let body = metadata(&json!({ "client_id": client })).to_string();
        fixture.ports.expect_json(CLUSTER, &format!("/{number}.json"), 200, &body);
        assert_eq!(from(peer, number).reason, "consent_shown");
    };
    let limited = |peer: &str, number: u32| {
        let page = from(peer, number);
        assert_eq!((page.status(), page.reason), (429, "client_document_rate"));
        let wait: u64 = page.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=60).contains(&wait), "{wait}");
    };
    fetch("192.0.2.1:1", 1);
    fetch("192.0.2.1:1", 2);
    limited("192.0.2.1:1", 3);
    assert_eq!(from("192.0.2.1:1", 1).reason, "consent_shown");
    fetch("192.0.2.2:1", 3);
    limited("192.0.2.3:1", 4);
    fixture.advance(60);
    fetch("192.0.2.3:1", 4);
    assert_eq!(fixture.ports.calls_left(), 0);
}

#[test]
fn a_failed_fetch_counts_against_the_limit_too() {
    let fixture = Fixture::configured(&configuration(&json!({ "ratePerMinute": 3 })));
    for _ in 0..3 {
        fixture.ports.expect_json(CLUSTER, PATH, 404, "{}");
        assert_eq!(ask(&fixture, CLIENT, &[]).reason, "client_document_unavailable");
    }
    assert_eq!(ask(&fixture, CLIENT, &[]).reason, "client_document_rate");
}

#[test]
fn what_is_asked_of_a_store_that_does_not_answer_is_no_word_about_the_client() {
    let fixture = fixture();
    fixture.store.set_unreachable(true);
    let page = ask(&fixture, CLIENT, &[("resource", API)]);
    assert_eq!((page.status(), page.reason), (503, "store_unavailable"));
    assert_eq!(fetched(&fixture), 0);
}
