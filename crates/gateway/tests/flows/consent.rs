//! Nothing but the user's own answer, on the page of this browser, starts a login.

use portcullis_protocol::http::message::Method;
use portcullis_protocol::oauth::params;
use serde_json::json;

use crate::browser::{Browser, Reply};
use crate::fixture::{Fixture, Form, ISSUER, LOGIN_COOKIE, MCP, REDIRECT, document, error_of};

/// A page before a user, and nothing answered yet.
fn shown() -> (Fixture, Browser, Form) {
    let fixture = Fixture::new();
    let (browser, client) = (Browser::default(), fixture.register());
    let form = fixture.consent_page(&browser, &client, &[]);
    (fixture, browser, form)
}

fn is_refused(reply: &Reply, reason: &str) {
    assert_eq!((reply.status(), reply.reason), (403, reason), "{}", reply.text());
    assert!(reply.header("location").is_none() && reply.header("set-cookie").is_none());
}

#[test]
fn the_page_names_the_client_and_where_the_answer_goes_and_cannot_be_framed() {
    let fixture = Fixture::new();
    let hostile = json!({
        "redirect_uris": ["https://client.example/callback"], "client_name": "<script>alert(1)</script>",
    });
    let client = fixture.register_with(&hostile).json()["client_id"].as_str().unwrap().to_owned();
    let page = fixture.visit(&Browser::default(), &Fixture::authorization(&client, &[]));
    assert!(page.text().contains("client.example") && !page.text().contains("<script"));
    assert_eq!(page.header("x-frame-options"), Some("DENY"));
    assert_eq!(page.header("cache-control"), Some("no-store"));
}

#[test]
fn a_program_that_states_no_origin_is_held_to_the_token_alone() {
    let (fixture, browser, form) = shown();
    assert_eq!(fixture.answer_form(&browser, &form, "approve", &[]).status(), 303);
}

#[test]
fn an_answer_without_the_browsers_cookie_is_refused() {
    let (fixture, browser, form) = shown();
    browser.lose(LOGIN_COOKIE);
    is_refused(&fixture.answer_form(&browser, &form, "approve", &[]), "consent_other_browser");
}

#[test]
fn an_answer_from_another_browser_is_refused() {
    let (fixture, _, form) = shown();
    let other = Browser::default();
    let client = fixture.register();
    fixture.consent_page(&other, &client, &[]);
    is_refused(&fixture.answer_form(&other, &form, "approve", &[]), "consent_other_browser");
}

#[test]
fn a_token_that_is_absent_foreign_or_changed_is_refused() {
    let (fixture, browser, form) = shown();
    let client = fixture.register();
    let other = fixture.consent_page(&browser, &client, &[]);
    let key_id = form.csrf.split('.').next().unwrap();
    for csrf in ["x", key_id, &format!("{key_id}."), &format!("00000000.{}", "A".repeat(43)), &other.csrf] {
        let forged = Form { csrf: csrf.to_owned(), ..form.clone() };
        is_refused(&fixture.answer_form(&browser, &forged, "approve", &[]), "consent_csrf");
    }
    let without = Form { csrf: String::new(), ..form.clone() };
    is_refused(&fixture.answer_form(&browser, &without, "approve", &[]), "consent_incomplete");
    let swapped = Form { transaction: other.transaction, ..form };
    is_refused(&fixture.answer_form(&browser, &swapped, "approve", &[]), "consent_csrf");
}

#[test]
fn a_form_that_was_changed_is_refused_by_what_was_changed() {
    let (fixture, browser, form) = shown();
    let forged = Form { transaction: "A".repeat(400), ..form.clone() };
    is_refused(&fixture.answer_form(&browser, &forged, "approve", &[]), "consent_forged");
    is_refused(&fixture.answer_form(&browser, &form, "maybe", &[]), "consent_unknown_decision");
    let cookie = browser.cookie().unwrap();
    fixture.ports.set_body(b"transaction=%zz".to_vec());
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("cookie", cookie.as_str())];
    is_refused(&fixture.send(Method::Post, "/oauth/consent", &headers), "consent_malformed");
    fixture.approve(&browser, &form);
}

#[test]
fn two_cookies_of_one_name_count_as_none() {
    let (fixture, browser, form) = shown();
    let second = format!("{}={}", browser.names()[0], "A".repeat(43));
    is_refused(&fixture.answer_form(&browser, &form, "approve", &[("cookie", &second)]), "consent_other_browser");
    assert_eq!(fixture.answer_form(&browser, &form, "approve", &[("cookie", "a=1")]).status(), 303);
}

#[test]
fn an_answer_from_another_site_is_refused_before_it_is_read() {
    let (fixture, browser, form) = shown();
    for header in [
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("origin", "http://gw.example"),
        ("origin", "https://gw.example:8443"),
        ("origin", ""),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("sec-fetch-site", "none"),
    ] {
        is_refused(&fixture.answer_form(&browser, &form, "approve", &[header]), "consent_cross_site");
    }
    for mode in ["cors", "same-origin", ""] {
        let by_a_script = [("sec-fetch-site", "same-origin"), ("sec-fetch-mode", mode)];
        is_refused(&fixture.answer_form(&browser, &form, "approve", &by_a_script), "consent_cross_site");
    }
    let twice = [("origin", ISSUER), ("origin", "https://evil.example")];
    is_refused(&fixture.answer_form(&browser, &form, "approve", &twice), "consent_cross_site");
}

#[test]
fn the_longest_request_that_is_shown_a_page_has_a_form_that_is_accepted() {
    // What the client does not name is the configuration's: scopes of 1.5 KiB and a resource of
    // half a KiB.
    let scopes: Vec<String> = (10..34).map(|number| format!("scope-{number}-{}", "s".repeat(55))).collect();
    let mut document = document();
    document["scopesSupported"] = json!(scopes);
    document["resources"] = json!([{
        "resource": format!("{MCP}/{}", "r".repeat(500)), "match": { "prefix": "/mcp" }, "scopes": scopes,
    }]);
    let fixture = Fixture::configured(&document);
    // The longest that a client_id has room for.
    let redirect = format!("{REDIRECT}?{}", "r".repeat(700 - REDIRECT.len() - 1));
    let registered = fixture.register_with(&json!({ "redirect_uris": [&redirect] }));
    let client = registered.json()["client_id"].as_str().unwrap().to_owned();
    let ask = |browser: &Browser, quotes: usize| {
        // A quotation mark takes two bytes in the sealed request, and three of the 8 KiB of a
        // target.
        let state = "\"".repeat(quotes);
        let changed = [("redirect_uri", ""), ("scope", ""), ("resource", ""), ("state", &state)];
        fixture.visit(browser, &Fixture::authorization(&client, &changed))
    };
    let lengths: Vec<usize> = (1..=2600).collect();
    let shown = lengths.partition_point(|quotes| ask(&Browser::default(), *quotes).reason == "consent_shown");

    let browser = Browser::default();
    let page = ask(&browser, shown);
    let form = Form { transaction: page.field("transaction"), csrf: page.field("csrf") };
    let reply = fixture.answer_form(&browser, &form, "approve", &[]);
    assert_eq!((reply.status(), reply.reason), (303, "login_started"));

    let refused = ask(&browser, shown + 1);
    let (base, query) = refused.link();
    assert_eq!((base.as_str(), refused.reason), (REDIRECT, "authorization_too_long"));
    assert_eq!((query["error"].as_str(), query["state"].len()), ("invalid_request", shown + 1));
}

#[test]
fn an_answer_over_16_kib_is_refused_on_a_page() {
    let (fixture, browser, form) = shown();
    let large = Form { transaction: "A".repeat(16 * 1024), ..form };
    let reply = fixture.answer_form(&browser, &large, "approve", &[]);
    assert_eq!((reply.status(), reply.reason), (413, "consent_too_large"));
    assert!(reply.text().contains("This answer is too large"));
}

#[test]
fn a_page_that_was_open_for_too_long_is_refused() {
    let (fixture, browser, form) = shown();
    fixture.advance(599);
    assert_eq!(fixture.answer_form(&browser, &form, "approve", &[]).status(), 303);
    fixture.advance(1);
    is_refused(&fixture.answer_form(&browser, &form, "approve", &[]), "consent_expired");
}

#[test]
fn a_page_has_a_cookie_of_its_own_for_as_long_as_it_may_be_looked_at() {
    let (fixture, browser, form) = shown();
    let client = fixture.register();
    let page = fixture.visit(&browser, &Fixture::authorization(&client, &[]));
    assert!(page.header("set-cookie").unwrap().contains("; Max-Age=600;"));
    assert_eq!(browser.names().len(), 2);
    fixture.approve(&browser, &form);
}

#[test]
fn a_denial_goes_to_the_client_and_starts_nothing() {
    let (fixture, browser, form) = shown();
    let records = fixture.store.inner.live();
    let reply = fixture.answer_form(&browser, &form, "deny", &[("origin", ISSUER)]);
    assert_eq!((error_of(&reply).as_str(), reply.reason), ("access_denied", "consent_denied"));
    assert!(reply.header("set-cookie").is_none());
    assert_eq!(fixture.store.inner.live(), records);
}

#[test]
fn an_answer_that_is_neither_yes_nor_no_is_refused() {
    let (fixture, browser, form) = shown();
    for (decision, reason) in
        [("", "consent_incomplete"), ("yes", "consent_unknown_decision"), ("Approve", "consent_unknown_decision")]
    {
        is_refused(&fixture.answer_form(&browser, &form, decision, &[]), reason);
    }
    let cookie = browser.cookie().unwrap();
    let headers = [("cookie", cookie.as_str()), ("content-type", "application/x-www-form-urlencoded")];
    let pairs = [
        ("transaction", form.transaction.as_str()),
        ("csrf", &form.csrf),
        ("decision", "deny"),
        ("decision", "approve"),
    ];
    fixture.ports.set_body(params::encode(&pairs));
    is_refused(&fixture.send(Method::Post, "/oauth/consent", &headers), "consent_incomplete");
    fixture.ports.set_body("");
    is_refused(&fixture.send(Method::Post, "/oauth/consent", &headers), "consent_incomplete");
}

#[test]
fn what_is_not_sent_as_a_form_is_refused() {
    let (fixture, browser, form) = shown();
    let fields = [("transaction", form.transaction.as_str()), ("csrf", &form.csrf), ("decision", "approve")];
    let cookie = browser.cookie().unwrap();
    let form_type = ("content-type", "application/x-www-form-urlencoded");
    for types in [
        &[][..],
        &[("content-type", "text/plain")],
        &[("content-type", "multipart/form-data; boundary=a")],
        &[("content-type", "application/json")],
        &[("content-type", "")],
        &[form_type, ("content-type", "text/plain")],
    ] {
        let headers = [&[("cookie", cookie.as_str())], types].concat();
        fixture.ports.set_body(params::encode(&fields));
        is_refused(&fixture.send(Method::Post, "/oauth/consent", &headers), "consent_content_type");
    }
    let sent = fixture.send(Method::Post, "/oauth/consent", &[("cookie", &cookie), form_type]);
    assert_eq!(sent.reason, "login_started");
}

#[test]
fn a_form_that_is_too_large_is_refused() {
    let (fixture, browser, form) = shown();
    let large = Form { transaction: "A".repeat(64 * 1024), ..form };
    assert_eq!(fixture.answer_form(&browser, &large, "approve", &[]).status(), 413);
}
