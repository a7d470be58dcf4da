//! How the gateway proves itself with a key (`private_key_jwt`) or a certificate of Envoy's cluster
//! (`tls_client_auth`), and what else token requests carry.

use std::collections::{BTreeMap, BTreeSet};

use portcullis_gateway::ports::CallRequest;
use portcullis_protocol::jose::jws::Jws;
use portcullis_protocol::jose::keys::SigningKey;
use portcullis_protocol::oauth::params::{Limits, Params};
use portcullis_testkit::example_keys::{ED25519, P256, P384, RSA};
use portcullis_testkit::signatures::Verify as _;
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::fixture::{DISCOVERY, Fixture, IDP, code_of, discovery, document, tokens_of};
use crate::refresh::{refresh, renewed, session, word};

/// A gateway without a client secret, with these further settings of its provider.
fn configured(more: &Value, listed: &Value) -> Fixture {
    let mut document = document();
    let settings = document["upstreamProviders"][0]["oidcConfig"].as_object_mut().unwrap();
    settings.remove("clientSecret");
    settings.extend(more.as_object().unwrap().clone());
    let fixture = Fixture::cold(&document);
    let mut found = discovery();
    found["token_endpoint_auth_methods_supported"] = listed.clone();
    fixture.ports.expect_json("idp", DISCOVERY, 200, &found.to_string());
    fixture.expect_keys();
    fixture.warm();
    let _ = fixture.ports.take_sent();
    fixture
}

/// The token requests of a login and of the refresh of its tokens.
fn token_requests(fixture: &Fixture) -> [CallRequest; 2] {
    let (browser, client) = (Browser::default(), fixture.register());
    let asked = fixture.start(&browser, &client);
    let code = code_of(&fixture.return_from_provider(&browser, &asked, "alice"));
    let redeemed = fixture.ports.take_sent().remove(0);
    let session = session(&tokens_of(&fixture.redeem(&client, &code, &[])));
    fixture.advance(3_600);
    fixture.expect_token_answer(200, &renewed());
    assert_eq!(word(&refresh(fixture, session)), "ready");
    [redeemed, fixture.ports.take_sent().remove(0)]
}

fn form(call: &CallRequest) -> BTreeMap<String, String> {
    let form = Params::parse(&call.body, Limits::OAUTH).unwrap();
    let names =
        ["client_id", "client_secret", "client_assertion_type", "client_assertion", "audience", "scope", "grant_type"];
    let told = |name: &str| Some((name.to_owned(), form.one(name).unwrap()?.to_owned()));
    names.into_iter().filter_map(told).collect()
}

#[test]
fn an_assertion_says_who_we_are_for_one_request_to_one_provider() {
    let mut ids = BTreeSet::new();
    for (pem, alg) in [(P256, "ES256"), (P384, "ES384"), (RSA, "RS256"), (ED25519, "EdDSA")] {
        let fixture = configured(&json!({ "clientKey": { "inline": pem } }), &json!(["private_key_jwt"]));
        let key = SigningKey::from_pem(pem).unwrap();
        for (call, at) in token_requests(&fixture).iter().zip([fixture.now() - 3_600, fixture.now()]) {
            assert!(call.headers.iter().all(|(name, _)| name != "authorization"));
            let form = form(call);
            assert_eq!(form["client_assertion_type"], "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
            assert_eq!((form["client_id"].as_str(), form.get("client_secret")), ("portcullis", None));
            let jws = Jws::parse(&form["client_assertion"]).unwrap();
            assert_eq!((jws.alg().name(), jws.kid(), jws.typ()), (alg, Some(key.kid()), Some("JWT")));
            assert!(key.public().verify(jws.alg(), jws.signing_input().as_bytes(), jws.signature()));
            let mut claims: Value = serde_json::from_slice(jws.payload_bytes()).unwrap();
            let id = claims.as_object_mut().unwrap().remove("jti").unwrap();
            assert!(ids.insert((alg, id.as_str().unwrap().to_owned())) && id.as_str().unwrap().len() >= 20);
            let expected = json!({ "iss": "portcullis", "sub": "portcullis", "aud": IDP, "iat": at, "exp": at + 60 });
            assert_eq!(claims, expected);
        }
    }
    assert_eq!(ids.len(), 8, "none is used twice");
}

#[test]
fn its_audience_and_the_id_of_its_key_can_be_what_the_provider_wants() {
    for (audience, expected) in [("tokenEndpoint", format!("{IDP}/token")), ("issuer", IDP.to_owned())] {
        let settings = json!({
            "clientKey": { "inline": P256 }, "clientKeyId": "key-1", "clientAssertionAudience": audience,
            "clientAuthentication": "private_key_jwt",
        });
        let fixture = configured(&settings, &json!(["client_secret_basic"]));
        let form = form(&token_requests(&fixture)[0]);
        let jws = Jws::parse(&form["client_assertion"]).unwrap();
        let claims: Value = serde_json::from_slice(jws.payload_bytes()).unwrap();
        assert_eq!((claims["aud"].as_str(), jws.kid()), (Some(expected.as_str()), Some("key-1")));
    }
}

#[test]
fn of_a_key_and_a_secret_the_provider_gets_what_it_takes() {
    let both = json!({ "clientKey": { "inline": P256 }, "clientSecret": { "inline": "the client secret" } });
    for (listed, is_assertion, is_secret) in [
        (json!(["client_secret_basic", "private_key_jwt"]), true, false),
        (Value::Null, true, false),
        (json!(["client_secret_post"]), false, true),
        (json!(["client_secret_basic"]), false, false),
    ] {
        let form = form(&token_requests(&configured(&both, &listed))[0]);
        assert_eq!(form.contains_key("client_assertion"), is_assertion, "{listed}");
        assert_eq!(form.contains_key("client_secret"), is_secret, "{listed}");
    }
}

#[test]
fn a_key_that_does_not_sign_sends_nothing_and_says_so() {
    let fixture = configured(&json!({ "clientKey": { "inline": P256 } }), &Value::Null);
    let (browser, client) = (Browser::default(), fixture.register());
    let asked = fixture.start(&browser, &client);
    fixture.ports.refuse_to_sign();
    let reply = fixture.visit(&browser, &Fixture::callback(&asked));
    assert_eq!(reply.reason, "provider_client_authentication");
    assert!(fixture.ports.take_sent().is_empty());
    assert!(fixture.ports.take_reports().iter().any(|line| line.contains("does not sign with the `clientKey`")));
}

#[test]
fn a_client_whose_certificate_says_who_it_is_sends_its_id_alone() {
    let fixture = configured(&json!({ "clientAuthentication": "tls_client_auth" }), &json!(["client_secret_basic"]));
    for call in token_requests(&fixture) {
        let form = form(&call);
        assert_eq!(form.keys().collect::<Vec<_>>(), ["client_id", "grant_type"]);
        assert!(call.headers.iter().all(|(name, _)| name != "authorization"));
    }
}

#[test]
fn further_parameters_go_with_each_token_request() {
    let settings = json!({
        "clientSecret": { "inline": "the client secret" },
        "additionalTokenParams": { "audience": "https://api.example", "scope": "a b" },
    });
    for call in token_requests(&configured(&settings, &Value::Null)) {
        let form = form(&call);
        assert_eq!((form["audience"].as_str(), form["scope"].as_str()), ("https://api.example", "a b"));
    }
}
