//! A consent that is remembered spares the same user the same question, and no other user any
//! question.

use serde_json::json;

use crate::browser::Browser;
use crate::fixture::{API, Fixture, REDIRECT, code_of, document, error_of, tokens_of};
use crate::registration::delete;

/// A browser in which alice has logged in to a client before.
fn second_time() -> (Fixture, Browser, String) {
    let fixture = Fixture::new();
    let browser = Browser::default();
    let redirects = json!({ "redirect_uris": [REDIRECT, "https://client.example/other"] });
    let client = fixture.register_with(&redirects).json()["client_id"].as_str().unwrap().to_owned();
    let code = fixture.code(&browser, &client, "alice");
    tokens_of(&fixture.redeem(&client, &code, &[]));
    (fixture, browser, client)
}

#[test]
fn the_second_login_of_the_same_user_skips_the_page() {
    let (fixture, browser, client) = second_time();
    let reply = fixture.visit(&browser, &Fixture::authorization(&client, &[]));
    assert_eq!(reply.reason, "login_started");
    let (_, asked) = reply.redirect();
    let code = code_of(&fixture.return_from_provider(&browser, &asked, "alice"));
    tokens_of(&fixture.redeem(&client, &code, &[]));
}

#[test]
fn another_user_at_the_provider_gets_the_page_and_no_code() {
    let (fixture, browser, client) = second_time();
    let (_, asked) = fixture.visit(&browser, &Fixture::authorization(&client, &[])).redirect();
    let records = fixture.store.inner.live();
    let page = fixture.return_from_provider(&browser, &asked, "bob");
    assert_eq!((page.status(), page.reason), (200, "consent_shown"));
    assert_eq!(fixture.store.inner.live(), records + 1, "the used login, and no session");
    let form = crate::fixture::Form { transaction: page.field("transaction"), csrf: page.field("csrf") };
    let asked = fixture.approve(&browser, &form);
    code_of(&fixture.return_from_provider(&browser, &asked, "bob"));
}

#[test]
fn a_client_that_is_gone_when_another_user_logs_in_is_not_asked_about() {
    let (fixture, browser, client) = second_time();
    let (_, asked) = fixture.visit(&browser, &Fixture::authorization(&client, &[])).redirect();
    delete(&fixture, &client);
    // No token answer is expected: the provider is not asked.
    let reply = fixture.visit(&browser, &Fixture::callback(&asked));
    assert_eq!((reply.status(), reply.reason), (400, "client_gone"));
    assert!(reply.header("location").is_none());
}

#[test]
fn whatever_else_is_asked_for_shows_the_page() {
    let (fixture, browser, client) = second_time();
    let other_client = fixture.register();
    for (client, changed) in [
        (&other_client, ("state", "client-state")),
        (&client, ("scope", "openid tools")),
        (&client, ("scope", "tools")),
        (&client, ("resource", API)),
        (&client, ("redirect_uri", "https://client.example/other")),
        (&client, ("prompt", "consent")),
        (&client, ("prompt", "login consent")),
    ] {
        let reply = fixture.visit(&browser, &Fixture::authorization(client, &[changed]));
        assert_eq!(reply.reason, "consent_shown", "{changed:?}");
    }
    let reply = fixture.visit(&browser, &Fixture::authorization(&client, &[("state", "another"), ("prompt", "login")]));
    assert_eq!(reply.reason, "login_started", "what does not widen the consent does not ask again");
}

#[test]
fn a_client_that_any_program_can_pretend_to_be_shows_the_page_each_time() {
    for redirect in
        ["http://127.0.0.1:8/cb", "http://localhost/cb", "https://[::1]/cb", "cursor://x/cb", "com.example.app:/cb"]
    {
        let fixture = Fixture::new();
        let browser = Browser::default();
        let registered = fixture.register_with(&json!({ "redirect_uris": [redirect] })).json();
        let client = registered["client_id"].as_str().unwrap();
        let target = Fixture::authorization(client, &[("redirect_uri", redirect)]);
        for _ in 0..2 {
            let page = fixture.visit(&browser, &target);
            assert_eq!(page.reason, "consent_shown", "{redirect}");
            let form = crate::fixture::Form { transaction: page.field("transaction"), csrf: page.field("csrf") };
            let asked = fixture.approve(&browser, &form);
            let before = fixture.store.inner.live();
            assert_eq!(fixture.return_from_provider(&browser, &asked, "alice").reason, "logged_in");
            assert!(fixture.store.inner.live() <= before + 4, "no consent is stored");
        }
    }
}

#[test]
fn another_browser_is_asked() {
    let (fixture, _, client) = second_time();
    assert_eq!(fixture.visit(&Browser::default(), &Fixture::authorization(&client, &[])).reason, "consent_shown");
}

#[test]
fn a_consent_is_forgotten_after_its_time() {
    let mut document = document();
    document["consent"] = json!({ "remember": "1h" });
    let fixture = Fixture::configured(&document);
    let (browser, client) = (Browser::default(), fixture.register());
    fixture.code(&browser, &client, "alice");
    fixture.advance(3599);
    assert_eq!(fixture.visit(&browser, &Fixture::authorization(&client, &[])).reason, "login_started");
    fixture.advance(1);
    assert_eq!(fixture.visit(&browser, &Fixture::authorization(&client, &[])).reason, "consent_shown");
}

#[test]
fn a_gateway_that_remembers_nothing_asks_every_time() {
    let mut document = document();
    document["consent"] = json!({ "remember": "0s" });
    let fixture = Fixture::configured(&document);
    let (browser, client) = (Browser::default(), fixture.register());
    fixture.code(&browser, &client, "alice");
    assert_eq!(fixture.visit(&browser, &Fixture::authorization(&client, &[])).reason, "consent_shown");
}

#[test]
fn a_login_that_did_not_come_back_is_not_remembered() {
    let fixture = Fixture::new();
    let (browser, client) = (Browser::default(), fixture.register());
    let asked = fixture.start(&browser, &client);
    let denied = format!("/oauth/callback?state={}&error=access_denied", asked["state"]);
    assert_eq!(error_of(&fixture.visit(&browser, &denied)), "access_denied");
    assert_eq!(fixture.visit(&browser, &Fixture::authorization(&client, &[])).reason, "consent_shown");
}
