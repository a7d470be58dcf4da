//! How the gateway proves itself at the provider's token endpoint.

use portcullis_gateway::decision::RefreshOutcome;
use portcullis_gateway::ports::CallRequest;
use portcullis_gateway::upstream::refresh::{self, Cause};
use portcullis_protocol::credentials::SessionId;
use portcullis_protocol::jose::jws::Jws;
use portcullis_protocol::oauth::params::{Limits, Params};
use portcullis_testkit::fakes::block_on;
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::fixture::{DISCOVERY, Fixture, code_of, discovery, document, tokens_of, upstream_of};

const OIDC: &str = "/upstreamProviders/0/oidcConfig";
const BASIC: Sent = Sent { header: Some("Basic cG9ydGN1bGxpczp0aGUlMjBjbGllbnQlMjBzZWNyZXQ="), id: None, secret: None };
const POST: Sent = Sent { header: None, id: Some("portcullis"), secret: Some("the client secret") };
const PUBLIC: Sent = Sent { header: None, id: Some("portcullis"), secret: None };

/// What of a token request authenticates the client.
#[derive(Debug, PartialEq)]
struct Sent<'a> {
    header: Option<&'a str>,
    id: Option<&'a str>,
    secret: Option<&'a str>,
}

/// A gateway with this setting, before its provider has said anything.
fn fixture(setting: &Value, has_secret: bool) -> Fixture {
    let mut document = document();
    let oidc = document.pointer_mut(OIDC).unwrap().as_object_mut().unwrap();
    if !setting.is_null() {
        oidc.insert("clientAuthentication".to_owned(), setting.clone());
    }
    if !has_secret {
        oidc.remove("clientSecret");
    }
    Fixture::cold(&document)
}

fn expect_documents(fixture: &Fixture, methods: &Value) {
    let mut document = discovery();
    if !methods.is_null() {
        document["token_endpoint_auth_methods_supported"] = methods.clone();
    }
    fixture.ports.expect_json("idp", DISCOVERY, 200, &document.to_string());
    fixture.expect_keys();
}

fn assert_sent(call: &CallRequest, expected: &Sent<'_>, case: &str) {
    let form = Params::parse(&call.body, Limits::OAUTH).unwrap();
    let headers: Vec<_> = call.headers.iter().filter(|(name, _)| *name == "authorization").collect();
    assert!(headers.len() <= 1, "{case}");
    let (id, secret) = (form.one("client_id").unwrap(), form.one("client_secret").unwrap());
    let sent = Sent { header: headers.first().map(|(_, value)| value.as_str()), id, secret };
    assert_eq!(sent, *expected, "{case}");
}

#[test]
fn the_method_is_the_configured_one_or_what_the_provider_takes_or_basic() {
    let (auto, basic, post) = (json!("auto"), json!("basic"), json!("post"));
    for (setting, methods, expected) in [
        (&Value::Null, Value::Null, BASIC),
        (&auto, Value::Null, BASIC),
        (&auto, json!(["client_secret_basic"]), BASIC),
        (&auto, json!(["client_secret_post"]), POST),
        (&auto, json!(["client_secret_post", "client_secret_basic"]), BASIC),
        (&auto, json!(["private_key_jwt", "client_secret_post", "none"]), POST),
        // What is no list of names says nothing.
        (&auto, json!([]), BASIC),
        (&auto, json!("client_secret_post"), BASIC),
        (&auto, json!({ "client_secret_post": true }), BASIC),
        (&auto, json!([1, null]), BASIC),
        (&auto, json!([1, "client_secret_post"]), POST),
        (&basic, Value::Null, BASIC),
        (&basic, json!(["client_secret_post"]), BASIC),
        (&basic, json!(["private_key_jwt"]), BASIC),
        (&post, Value::Null, POST),
        (&post, json!(["client_secret_basic"]), POST),
        (&post, json!(["private_key_jwt"]), POST),
    ] {
        let case = format!("{setting} {methods}");
        let fixture = fixture(setting, true);
        expect_documents(&fixture, &methods);
        fixture.warm();
        let (browser, client) = (Browser::default(), fixture.register());
        let asked = fixture.start(&browser, &client);
        assert_eq!(fixture.ports.take_sent().len(), 2);
        let code = code_of(&fixture.return_from_provider(&browser, &asked, "alice"));
        assert_sent(&fixture.ports.take_sent()[0], &expected, &case);

        let access = tokens_of(&fixture.redeem(&client, &code, &[])).access;
        fixture.advance(3_599);
        fixture.expect_token_answer(200, &Fixture::token_answer(&fixture.sign(&fixture.claims("alice", "-"))));
        let outcome = block_on(refresh::refresh(
            fixture.gateway.clone(),
            upstream_of(session(&access)),
            Cause::Due,
            fixture.ports.clone(),
        ));
        assert!(matches!(outcome, RefreshOutcome::Ready(_)), "{case}");
        let sent = fixture.ports.take_sent();
        assert_sent(sent.last().unwrap(), &expected, &case);
    }
}

#[test]
fn without_a_secret_the_gateway_names_itself_whatever_the_provider_lists() {
    for methods in [Value::Null, json!(["client_secret_basic"]), json!(["none"]), json!(["private_key_jwt"])] {
        let fixture = fixture(&Value::Null, false);
        expect_documents(&fixture, &methods);
        let browser = Browser::default();
        let asked = fixture.start(&browser, &fixture.register());
        assert_eq!(fixture.ports.take_sent().len(), 2);
        code_of(&fixture.return_from_provider(&browser, &asked, "alice"));
        assert_sent(&fixture.ports.take_sent()[0], &PUBLIC, &methods.to_string());
    }
}

#[test]
fn a_provider_that_takes_no_secret_is_named_before_the_user_is_sent_there() {
    for methods in [json!(["private_key_jwt"]), json!(["tls_client_auth", "none"]), json!(["CLIENT_SECRET_BASIC"])] {
        let fixture = fixture(&Value::Null, true);
        expect_documents(&fixture, &methods);
        let browser = Browser::default();
        let form = fixture.consent_page(&browser, &fixture.register(), &[]);
        for round in 0..2 {
            let reply = fixture.answer_form(&browser, &form, "approve", &[]);
            let (_, query) = reply.redirect();
            assert_eq!((query["error"].as_str(), reply.reason), ("server_error", "provider_client_authentication"));
            let described = "the identity provider takes no client authentication that the gateway has";
            assert_eq!(query["error_description"], described, "{methods} {round}");
        }
        assert_eq!(fixture.ports.calls_left(), 1, "the keys are not fetched");
    }
}

fn session(access: &str) -> SessionId {
    let claims: Value = serde_json::from_slice(Jws::parse(access).unwrap().payload_bytes()).unwrap();
    SessionId::parse(claims["sid"].as_str().unwrap()).unwrap()
}
