//! OAuth's rules for absent and empty values, at every endpoint that has parameters: an empty one
//! is absent, and a repeated one is refused (RFC 6749 §3.1, §3.2).

use portcullis_protocol::base64url;
use portcullis_protocol::http::message::Method;
use portcullis_protocol::oauth::params;
use serde_json::json;

use crate::browser::{Browser, Reply};
use crate::fixture::{Fixture, REDIRECT, VERIFIER, code_of, error_of, forwarded, replied, tokens_of};
use crate::token::with_code;

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

/// Posts a form to the token endpoint with further headers.
fn post(fixture: &Fixture, form: &[(&str, &str)], headers: &[(&str, &str)]) -> Reply {
    fixture.ports.set_body(params::encode(form));
    fixture.send(Method::Post, "/oauth/token", &[&[FORM], headers].concat())
}

/// `Basic` with this pair.
fn basic(pair: &str) -> String {
    // The alphabet of the scheme, without the padding that readers do without.
    format!("Basic {}", base64url::encode(pair.as_bytes()).replace('-', "+").replace('_', "/"))
}

#[test]
fn an_empty_parameter_of_a_token_request_is_absent() {
    for empty in ["client_secret", "client_assertion", "client_assertion_type", "resource", "redirect_uri", "scope"] {
        let (fixture, client, code) = with_code();
        let tokens = tokens_of(&fixture.redeem(&client, &code, &[(empty, "")]));
        tokens_of(&fixture.refresh(&client, &tokens.refresh, &[(empty, "")]));
    }
    for empty in ["grant_type", "code", "client_id"] {
        let (fixture, client, code) = with_code();
        assert_eq!(fixture.redeem(&client, &code, &[(empty, "")]).error(), "invalid_request", "{empty}");
        tokens_of(&fixture.redeem(&client, &code, &[]));
    }
}

#[test]
fn a_client_need_not_repeat_its_redirect_uri_and_is_held_to_what_it_repeats() {
    // Whether or not the authorization request named it.
    for asked in ["", REDIRECT] {
        let fixture = Fixture::new();
        let (browser, client) = (Browser::default(), fixture.register());
        let form = fixture.consent_page(&browser, &client, &[("redirect_uri", asked)]);
        let asked = fixture.approve(&browser, &form);
        let code = code_of(&fixture.return_from_provider(&browser, &asked, "alice"));
        let form = [
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("client_id", &client),
            ("code_verifier", VERIFIER),
        ];
        tokens_of(&fixture.post("/oauth/token", &form));
    }
    let (fixture, client, code) = with_code();
    let other = fixture.redeem(&client, &code, &[("redirect_uri", "https://client.example/other")]);
    assert_eq!((other.error().as_str(), other.reason), ("invalid_grant", "code_other_redirect"));
}

#[test]
fn a_public_client_may_name_itself_in_a_basic_header() {
    let (fixture, client, code) = with_code();
    let named = basic(&format!("{client}:"));
    let form = [("grant_type", "authorization_code"), ("code", code.as_str()), ("code_verifier", VERIFIER)];
    let tokens = tokens_of(&post(&fixture, &form, &[("authorization", &named)]));
    // An empty header is none, and a name that is said twice is the same name.
    let refresh = |tokens: &str, header: &str| {
        let form = [("grant_type", "refresh_token"), ("refresh_token", tokens), ("client_id", &client)];
        tokens_of(&post(&fixture, &form, &[("authorization", header)])).refresh
    };
    refresh(&refresh(&tokens.refresh, &named), "");
}

#[test]
fn a_client_that_authenticates_in_a_header_is_told_how_it_may_name_itself() {
    let (fixture, client, code) = with_code();
    let grant = [("grant_type", "authorization_code"), ("code", code.as_str()), ("code_verifier", VERIFIER)];
    let named = [&grant[..], &[("client_id", client.as_str())]].concat();
    for (header, form) in [
        (basic(&format!("{client}:secret")), &named),
        (basic("stranger:"), &grant.to_vec()),
        (basic("a:b"), &named),
        ("Basic".to_owned(), &named),
        ("Basic !".to_owned(), &named),
        ("Bearer abc".to_owned(), &named),
        ("Digest username=a".to_owned(), &named),
    ] {
        let reply = post(&fixture, form, &[("authorization", &header)]);
        assert_eq!((reply.status(), reply.error().as_str()), (401, "invalid_client"), "{header}");
        let challenge = reply.header("www-authenticate");
        assert_eq!(challenge, Some("Basic realm=\"portcullis\", charset=\"UTF-8\""), "{header}");
    }
    let secret = [&named[..], &[("client_secret", "s")]].concat();
    let reply = post(&fixture, &secret, &[]);
    assert_eq!((reply.status(), reply.header("www-authenticate")), (401, None), "it used no header");
    // Two that say different things, or one thing twice.
    let (own, other) = (basic(&format!("{client}:")), basic("stranger:"));
    for headers in [
        &[("authorization", other.as_str())][..],
        &[("authorization", &own), ("authorization", &own)],
        &[("authorization", ""), ("authorization", &own)],
        &[("authorization", &own), ("authorization", "")],
    ] {
        let reply = post(&fixture, &named, headers);
        assert_eq!((reply.status(), reply.error().as_str()), (400, "invalid_request"), "{headers:?}");
        assert_eq!(reply.reason, "token_request_several_clients", "{headers:?}");
    }
    tokens_of(&post(&fixture, &grant, &[("authorization", &own)]));
}

#[test]
fn credentials_of_a_client_registered_without_any_are_refused_and_use_nothing_up() {
    for (name, value) in [
        ("client_secret", "s"),
        ("client_assertion", "a.b.c"),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
    ] {
        let (fixture, client, code) = with_code();
        let refused = fixture.redeem(&client, &code, &[(name, value)]);
        assert_eq!((refused.error().as_str(), refused.reason), ("invalid_client", "client_authenticated"), "{name}");
        let tokens = tokens_of(&fixture.redeem(&client, &code, &[]));
        let refused = fixture.refresh(&client, &tokens.refresh, &[(name, value)]);
        assert_eq!((refused.error().as_str(), refused.reason), ("invalid_client", "client_authenticated"), "{name}");
        tokens_of(&fixture.refresh(&client, &tokens.refresh, &[]));
    }
}

#[test]
fn a_repeated_parameter_is_refused_even_when_it_is_empty() {
    let (fixture, client, code) = with_code();
    for repeated in ["client_secret=&client_secret=", "redirect_uri=&redirect_uri=", "scope=&scope=", "x=&x=1"] {
        let form = [("grant_type", "authorization_code"), ("code", &code), ("client_id", &client)];
        fixture.ports.set_body(format!("{}&code_verifier={VERIFIER}&{repeated}", params::encode(&form)));
        let reply = fixture.send(Method::Post, "/oauth/token", &[FORM]);
        assert_eq!((reply.status(), reply.error().as_str()), (400, "invalid_request"), "{repeated}");
    }
    tokens_of(&fixture.redeem(&client, &code, &[]));
    for repeated in ["state=&state=", "scope=&scope=openid", "prompt=&prompt=", "x=&x="] {
        let target = format!("{}&{repeated}", Fixture::authorization(&client, &[("state", ""), ("scope", "")]));
        let reply = fixture.visit(&Browser::default(), &target);
        assert_eq!(reply.redirect().1["error"], "invalid_request", "{repeated}");
    }
}

#[test]
fn an_empty_parameter_of_an_authorization_request_is_absent() {
    let fixture = Fixture::new();
    let client = fixture.register();
    for empty in ["request", "request_uri", "response_mode", "prompt", "nonce", "login_hint", "x"] {
        let target = format!("{}&{empty}=", Fixture::authorization(&client, &[]));
        assert_eq!(fixture.visit(&Browser::default(), &target).reason, "consent_shown", "{empty}");
    }
    for (empty, reason) in [("scope", "consent_shown"), ("state", "consent_shown"), ("redirect_uri", "consent_shown")] {
        let target = format!("{}&{empty}=", Fixture::authorization(&client, &[(empty, "")]));
        assert_eq!(fixture.visit(&Browser::default(), &target).reason, reason, "{empty}");
    }
    for empty in ["response_type", "code_challenge", "code_challenge_method"] {
        let target = format!("{}&{empty}=", Fixture::authorization(&client, &[(empty, "")]));
        let error = error_of(&fixture.visit(&Browser::default(), &target));
        assert!(["invalid_request", "unsupported_response_type"].contains(&error.as_str()), "{empty} {error}");
    }
}

#[test]
fn an_empty_member_of_a_registration_is_absent() {
    let fixture = Fixture::new();
    let empty = json!({
        "redirect_uris": [REDIRECT], "client_name": "", "scope": "", "token_endpoint_auth_method": "",
        "software_id": "", "application_type": "", "client_uri": "", "logo_uri": "", "jwks_uri": "", "contacts": [],
    });
    let reply = fixture.register_with(&empty);
    assert_eq!(reply.status(), 201, "{}", reply.text());
    let registered = reply.json();
    for absent in ["client_name", "software_id", "application_type"] {
        assert!(registered.get(absent).is_none(), "{registered}");
    }
    assert_eq!(registered["scope"], "openid tools");
}

#[test]
fn a_call_with_an_empty_bearer_token_is_challenged_as_one_without() {
    let fixture = Fixture::new();
    let (_, tokens) = fixture.logged_in();
    for header in ["Bearer", "Bearer ", "bearer  ", "", " "] {
        let reply = fixture.send(Method::Get, "/mcp", &[("authorization", header)]);
        assert_eq!((reply.status(), reply.reason), (401, "no_token"), "{header:?}");
        let challenge = reply.header("www-authenticate").unwrap();
        assert!(challenge.contains("resource_metadata") && !challenge.contains("error"), "{challenge}");
    }
    let good = format!("Bearer {}", tokens.access);
    for headers in [["", &good], [&good, ""], [" ", &good]] {
        let reply = replied(fixture.handle(Fixture::request(
            Method::Get,
            "/mcp",
            &headers.map(|value| ("authorization", value)),
        )));
        assert_eq!((reply.status(), reply.reason), (400, "malformed_credentials"), "{headers:?}");
    }
    forwarded(fixture.call("/mcp", &tokens.access));
}

#[test]
fn an_empty_parameter_of_the_consent_form_or_the_callback_is_absent() {
    let fixture = Fixture::new();
    let (browser, client) = (Browser::default(), fixture.register());
    let form = fixture.consent_page(&browser, &client, &[]);
    let asked = fixture.approve(&browser, &form);
    let state = asked["state"].as_str();
    // The provider's empty `error` is no error, its empty `iss` says nothing.
    fixture.expect_token_answer(200, &Fixture::token_answer(&fixture.sign(&fixture.claims("alice", &asked["nonce"]))));
    let answer = [("state", state), ("code", "idp-code"), ("error", ""), ("iss", ""), ("session_state", "")];
    code_of(&fixture.visit(&browser, &format!("/oauth/callback?{}", params::encode(&answer))));
    let empty = fixture.visit(&browser, "/oauth/callback?state=&code=a");
    assert_eq!((empty.status(), empty.reason), (400, "callback_without_state"));
}
