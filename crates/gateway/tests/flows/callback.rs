//! What comes back from the provider counts only for the login that was started, in the browser
//! that started it.

use std::collections::BTreeMap;

use portcullis_protocol::oauth::params;
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::fixture::{Fixture, IDP, LOGIN_COOKIE, code_of, error_of};

/// A login that the provider is asked about.
fn started() -> (Fixture, Browser, BTreeMap<String, String>) {
    let fixture = Fixture::new();
    let (browser, client) = (Browser::default(), fixture.register());
    let asked = fixture.start(&browser, &client);
    (fixture, browser, asked)
}

fn target(parameters: &[(&str, &str)]) -> String {
    format!("/oauth/callback?{}", params::encode(parameters))
}

#[test]
fn a_state_that_is_absent_unknown_or_repeated_leads_nowhere() {
    let (fixture, browser, asked) = started();
    let state = asked["state"].as_str();
    for (target, reason) in [
        ("/oauth/callback".to_owned(), "callback_without_state"),
        (target(&[("code", "idp-code")]), "callback_without_state"),
        (target(&[("code", "idp-code"), ("state", "unknown")]), "callback_unknown_login"),
        (target(&[("code", "idp-code"), ("state", state), ("state", state)]), "callback_repeated_parameter"),
        (target(&[("code", "a"), ("code", "b"), ("state", state)]), "callback_repeated_parameter"),
        (format!("/oauth/callback?state={state}&code=%ff"), "malformed_callback"),
    ] {
        let reply = fixture.visit(&browser, &target);
        assert_eq!((reply.status(), reply.reason), (400, reason), "{target}");
        assert!(reply.header("location").is_none());
    }
    code_of(&fixture.return_from_provider(&browser, &asked, "alice"));
}

#[test]
fn a_state_works_once() {
    let (fixture, browser, asked) = started();
    let kept = browser.clone();
    code_of(&fixture.return_from_provider(&browser, &asked, "alice"));
    for (browser, reason) in [(&browser, "callback_unknown_login"), (&kept, "callback_state_reused")] {
        let again = fixture.visit(browser, &Fixture::callback(&asked));
        assert_eq!((again.status(), again.reason), (400, reason));
    }
}

#[test]
fn another_browser_can_neither_finish_a_login_nor_use_it_up() {
    let (fixture, browser, asked) = started();
    let attacker = Browser::default();
    let client = fixture.register();
    fixture.start(&attacker, &client);
    let stripped = browser.clone();
    stripped.lose(LOGIN_COOKIE);
    for other in [&Browser::default(), &attacker, &stripped] {
        let reply = fixture.visit(other, &Fixture::callback(&asked));
        assert_eq!((reply.status(), reply.reason), (400, "callback_unknown_login"));
    }
    code_of(&fixture.return_from_provider(&browser, &asked, "alice"));
}

#[test]
fn a_login_that_the_user_has_not_consented_to_goes_nowhere() {
    let fixture = Fixture::new();
    let (browser, client) = (Browser::default(), fixture.register());
    let form = fixture.consent_page(&browser, &client, &[]);
    let before = browser.clone();
    let asked = fixture.approve(&browser, &form);
    let reply = fixture.visit(&before, &Fixture::callback(&asked));
    assert_eq!((reply.status(), reply.reason), (400, "callback_without_consent"));
    code_of(&fixture.return_from_provider(&browser, &asked, "alice"));
}

#[test]
fn a_login_that_took_too_long_is_over() {
    let (fixture, browser, asked) = started();
    fixture.advance(600);
    let reply = fixture.visit(&browser, &Fixture::callback(&asked));
    assert_eq!((reply.status(), reply.reason), (400, "callback_expired"));
}

#[test]
fn what_the_provider_refuses_is_told_in_our_own_words() {
    for (parameters, error, reason) in [
        (&[("error", "access_denied")][..], "access_denied", "provider_denied"),
        (&[("error", "temporarily_unavailable")], "temporarily_unavailable", "provider_unavailable"),
        (&[("error", "consent_required"), ("error_description", "<b>evil")], "access_denied", "provider_needs_user"),
        (&[("error", "login_required")], "access_denied", "provider_needs_user"),
        (&[("error", "interaction_required")], "access_denied", "provider_needs_user"),
        (&[("error", "account_selection_required")], "access_denied", "provider_needs_user"),
        (&[("error", "unmet_authentication_requirements")], "access_denied", "provider_needs_user"),
        (&[("error", "AADSTS50105<b>evil")], "access_denied", "provider_unknown_refusal"),
        (&[("error", "server_error")], "access_denied", "provider_failure"),
        (&[("error", "invalid_scope")], "access_denied", "provider_refused_authorization"),
        (&[("error", "unauthorized_client")], "access_denied", "provider_refused_authorization"),
        (&[("iss", "https://other.example"), ("code", "c")], "server_error", "callback_other_issuer"),
        (&[("iss", "https://idp.example/"), ("code", "c")], "server_error", "callback_other_issuer"),
        (&[], "server_error", "callback_without_code"),
        (&[("code", "")], "server_error", "callback_without_code"),
    ] {
        let (fixture, browser, asked) = started();
        let mut all = vec![("state", asked["state"].as_str())];
        all.extend_from_slice(parameters);
        let reply = fixture.visit(&browser, &target(&all));
        assert_eq!((error_of(&reply).as_str(), reply.reason), (error, reason), "{parameters:?}");
        assert!(!reply.header("location").unwrap().contains("evil"));
        let again = fixture.visit(&browser, &Fixture::callback(&asked));
        assert_eq!(again.status(), 400, "the login is used up");
    }
}

#[test]
fn a_provider_that_does_not_name_itself_is_believed() {
    let (fixture, browser, asked) = started();
    let id_token = fixture.sign(&fixture.claims("alice", &asked["nonce"]));
    fixture.expect_token_answer(200, &Fixture::token_answer(&id_token));
    code_of(&fixture.visit(&browser, &target(&[("state", &asked["state"]), ("code", "idp-code")])));
}

#[test]
fn an_id_token_of_another_login_client_issuer_or_time_is_refused() {
    /// Makes a claim's value at the time of the login.
    type Change = fn(&Fixture) -> Value;
    let changes: [(&str, Change); 12] = [
        ("nonce", |_| json!("another")),
        ("nonce", |_| Value::Null),
        ("aud", |_| json!("another-client")),
        ("aud", |_| json!(["portcullis", "another-client"])),
        ("iss", |_| json!("https://other.example")),
        ("iss", |_| json!(format!("{IDP}/"))),
        ("exp", |fixture| json!(fixture.now() - 60)),
        ("iat", |fixture| json!(fixture.now() + 61)),
        ("azp", |_| json!("another-client")),
        ("sub", |_| json!("")),
        ("sub", |_| json!(42)),
        ("sub", |_| json!("a\u{0}b")),
    ];
    for (claim, value) in changes {
        let (fixture, browser, asked) = started();
        let mut claims = fixture.claims("alice", &asked["nonce"]);
        claims[claim] = value(&fixture);
        fixture.expect_token_answer(200, &Fixture::token_answer(&fixture.sign(&claims)));
        let reply = fixture.visit(&browser, &Fixture::callback(&asked));
        let reason = if claims["nonce"] == "another" { "callback_other_login" } else { "provider_invalid_id_token" };
        assert_eq!((error_of(&reply).as_str(), reply.reason), ("server_error", reason), "{claims}");
    }
}

#[test]
fn an_id_token_that_the_provider_did_not_sign_is_refused() {
    let (fixture, browser, asked) = started();
    let good = fixture.sign(&fixture.claims("alice", &asked["nonce"]));
    let (signed, _) = good.rsplit_once('.').unwrap();
    let foreign = fixture.sign(&fixture.claims("mallory", "other"));
    let (_, signature) = foreign.rsplit_once('.').unwrap();
    fixture.expect_token_answer(200, &Fixture::token_answer(&format!("{signed}.{signature}")));
    assert_eq!(error_of(&fixture.visit(&browser, &Fixture::callback(&asked))), "server_error");
}

#[test]
fn a_provider_that_refuses_the_code_or_fails_is_told_apart() {
    for (status, body, error, reason) in [
        (400, json!({ "error": "invalid_grant" }), "access_denied", "provider_refused_code"),
        (401, json!({ "error": "invalid_client" }), "server_error", "provider_refused_client"),
        (400, json!({ "error": "invalid_request" }), "server_error", "provider_refused_request"),
        (200, json!({ "error": "bad_verification_code" }), "server_error", "provider_refused_request"),
        (400, json!({ "error": "login_required" }), "access_denied", "provider_refused_code"),
        (500, json!({ "error": "invalid_grant" }), "temporarily_unavailable", "provider_status"),
        (503, json!({}), "temporarily_unavailable", "provider_status"),
        (429, json!({}), "temporarily_unavailable", "provider_status"),
        (400, json!({ "error": "temporarily_unavailable" }), "temporarily_unavailable", "provider_busy"),
        (200, json!({}), "server_error", "provider_invalid_answer"),
        (200, json!({ "access_token": "a", "token_type": "Bearer" }), "server_error", "provider_invalid_id_token"),
    ] {
        let (fixture, browser, asked) = started();
        fixture.expect_token_answer(status, &body);
        let reply = fixture.visit(&browser, &Fixture::callback(&asked));
        assert_eq!((error_of(&reply).as_str(), reply.reason), (error, reason), "{status} {body}");
    }
}

#[test]
fn a_key_that_is_not_known_is_looked_for_once_in_a_while() {
    let (fixture, _, _) = started();
    let client = fixture.register();
    let come_back = || {
        let browser = Browser::default();
        let asked = fixture.start(&browser, &client);
        let id_token = fixture.sign(&fixture.claims("alice", &asked["nonce"]));
        fixture.expect_token_answer(200, &Fixture::token_answer(&id_token));
        (browser, asked)
    };
    fixture.rotate_idp_key();

    let (browser, asked) = come_back();
    let reply = fixture.visit(&browser, &Fixture::callback(&asked));
    assert_eq!(error_of(&reply), "server_error", "the documents were fetched a moment ago");

    fixture.advance(10);
    let (browser, asked) = come_back();
    fixture.expect_documents();
    code_of(&fixture.visit(&browser, &Fixture::callback(&asked)));

    let (browser, asked) = come_back();
    code_of(&fixture.visit(&browser, &Fixture::callback(&asked)));
    assert_eq!(fixture.ports.calls_left(), 0);
}
