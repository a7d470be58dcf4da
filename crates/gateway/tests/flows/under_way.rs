//! Logins under way cost the gateway nothing: the browser carries them, several at once, and each
//! is used once.

use std::collections::BTreeMap;

use portcullis_gateway::browser::cookies::{MAX_LOGIN_BYTES, MAX_LOGINS};
use portcullis_protocol::http::message::Method;
use serde_json::json;

use crate::browser::{Browser, Reply};
use crate::fixture::{BROWSER_COOKIE, Fixture, code_of, document, error_of, replied, tokens_of};

fn come_back_from(fixture: &Fixture, browser: &Browser, target: &str, peer: &str) -> Reply {
    let cookie = browser.cookie().unwrap();
    let mut request = Fixture::request(Method::Get, target, &[("cookie", &cookie)]);
    request.peer = peer.to_owned();
    let reply = replied(fixture.handle(request));
    browser.keep(&reply.response);
    reply
}

#[test]
fn a_form_that_is_sent_again_leads_to_the_same_login_and_stores_nothing() {
    let fixture = Fixture::new();
    let (browser, client) = (Browser::default(), fixture.register());
    let form = fixture.consent_page(&browser, &client, &[]);
    let (records, verbs) = (fixture.store.inner.live(), fixture.store.verbs());
    let before = browser.clone();
    let asked = fixture.approve(&browser, &form);
    for browser in (0..600).map(|number| if number % 2 == 0 { &before } else { &browser }) {
        assert_eq!(fixture.approve(browser, &form), asked);
    }
    assert_eq!((fixture.store.inner.live(), fixture.store.verbs()), (records, verbs), "the store was not asked");
    assert!(fixture.ports.take_sent().is_empty(), "nor was the provider");
    let code = code_of(&fixture.return_from_provider(&browser, &asked, "alice"));
    tokens_of(&fixture.redeem(&client, &code, &[]));
}

#[test]
fn many_forms_and_remembered_consents_store_nothing_either() {
    let fixture = Fixture::new();
    let (browser, client) = (Browser::default(), fixture.register());
    fixture.code(&browser, &client, "alice");
    assert_eq!(fixture.ports.take_sent().len(), 1);
    let records = fixture.store.inner.live();
    for _ in 0..100 {
        let stranger = Browser::default();
        let form = fixture.consent_page(&stranger, &client, &[]);
        fixture.approve(&stranger, &form);
        assert_eq!(fixture.visit(&browser, &Fixture::authorization(&client, &[])).reason, "login_started");
    }
    assert_eq!(fixture.store.inner.live(), records);
    assert!(fixture.ports.take_sent().is_empty());
}

#[test]
fn a_form_starts_no_second_login_once_the_first_was_used() {
    for outcome in ["finished", "refused"] {
        let fixture = Fixture::new();
        let (browser, client) = (Browser::default(), fixture.register());
        let form = fixture.consent_page(&browser, &client, &[]);
        let keeps_cookies = browser.clone();
        let asked = fixture.approve(&browser, &form);
        if outcome == "finished" {
            code_of(&fixture.return_from_provider(&browser, &asked, "alice"));
        } else {
            let refused = format!("/oauth/callback?state={}&error=access_denied", asked["state"]);
            assert_eq!(error_of(&fixture.visit(&browser, &refused)), "access_denied");
        }
        fixture.advance(599);
        let again = fixture.answer_form(&browser, &form, "approve", &[]);
        assert_eq!((again.status(), again.reason), (403, "consent_other_browser"), "its cookie is gone");
        assert_eq!(fixture.approve(&keeps_cookies, &form), asked);
        // As late as the cookie is good for.
        fixture.advance(599);
        let reply = fixture.visit(&keeps_cookies, &Fixture::callback(&asked));
        assert_eq!((reply.status(), reply.reason), (400, "callback_state_reused"), "{outcome}");
        fixture.advance(1);
        let reply = fixture.visit(&keeps_cookies, &Fixture::callback(&asked));
        assert_eq!((reply.status(), reply.reason), (400, "callback_expired"), "{outcome}");
    }
}

#[test]
fn pages_that_are_open_in_one_browser_at_once_all_lead_to_a_login() {
    // Ten tabs, and the orders in which they are answered and come back from the provider.
    let (first_to_last, last_to_first) = ((0..10).collect::<Vec<_>>(), (0..10).rev().collect::<Vec<_>>());
    let shuffled: Vec<usize> = (0..10).map(|number| number * 7 % 10).collect();
    for (answered, finished) in [
        (&first_to_last, &first_to_last),
        (&last_to_first, &first_to_last),
        (&first_to_last, &last_to_first),
        (&shuffled, &last_to_first),
    ] {
        let fixture = Fixture::new();
        let client = fixture.register();
        let browser = Browser::default();
        // All were asked for before the first of them came.
        let pages = [(); 10].map(|()| {
            let tab = Browser::default();
            let form = fixture.consent_page(&tab, &client, &[]);
            (tab, form)
        });
        pages.iter().for_each(|(tab, _)| browser.take_over(tab));
        let mut asked = BTreeMap::new();
        for page in answered {
            asked.insert(page, fixture.approve(&browser, &pages[*page].1));
        }
        assert!(browser.cookie().unwrap().len() <= MAX_LOGIN_BYTES, "{:?}", browser.names());
        for page in finished {
            let code = code_of(&fixture.return_from_provider(&browser, &asked[&page], "alice"));
            tokens_of(&fixture.redeem(&client, &code, &[]));
        }
        assert_eq!(browser.names(), [BROWSER_COOKIE]);
    }
}

#[test]
fn a_browser_carries_sixteen_logins_and_lets_the_oldest_go() {
    let fixture = Fixture::new();
    let client = fixture.register();
    let browser = Browser::default();
    let asked: Vec<_> = (0..=MAX_LOGINS).map(|_| fixture.start(&browser, &client)).collect();
    assert_eq!(browser.names().len(), MAX_LOGINS);
    let first = fixture.visit(&browser, &Fixture::callback(&asked[0]));
    assert_eq!((first.status(), first.reason), (400, "callback_unknown_login"));
    for asked in &asked[1..] {
        code_of(&fixture.return_from_provider(&browser, asked, "alice"));
    }
}

#[test]
fn the_longest_state_is_carried_in_several_cookies() {
    let fixture = Fixture::new();
    let client = fixture.register();
    let browser = Browser::default();
    let state = "s".repeat(4_096);
    let form = fixture.consent_page(&browser, &client, &[("state", &state)]);
    let asked = fixture.approve(&browser, &form);
    let names = browser.names();
    assert_eq!(names.len(), 2, "one cookie does not hold it: {names:?}");
    // A part of it is none of it.
    let other = browser.clone();
    other.lose(&names[1]);
    assert_eq!(fixture.visit(&other, &Fixture::callback(&asked)).reason, "callback_unknown_login");
    let (_, query) = fixture.return_from_provider(&browser, &asked, "alice").redirect();
    assert_eq!(query["state"], state);
    assert_eq!(browser.names(), [BROWSER_COOKIE], "both are ended");
}

#[test]
fn large_logins_push_older_ones_out_by_their_size() {
    let fixture = Fixture::new();
    let client = fixture.register();
    let browser = Browser::default();
    let mut asked = vec![fixture.start(&browser, &client)];
    for _ in 0..4 {
        let form = fixture.consent_page(&browser, &client, &[("state", &"s".repeat(3_000))]);
        asked.push(fixture.approve(&browser, &form));
        assert!(browser.cookie().unwrap().len() <= MAX_LOGIN_BYTES + 512, "{:?}", browser.names());
    }
    let newest = asked.pop().unwrap();
    let (_, query) = fixture.return_from_provider(&browser, &newest, "alice").redirect();
    assert!(query.contains_key("code"));
    let oldest = fixture.visit(&browser, &Fixture::callback(&asked[0]));
    assert_eq!((oldest.status(), oldest.reason), (400, "callback_unknown_login"));
}

#[test]
fn what_no_browser_can_carry_is_told_to_the_client() {
    let fixture = Fixture::new();
    let redirect = format!("https://client.example/callback?x={}", "x".repeat(630));
    let metadata = json!({ "redirect_uris": [redirect] });
    let client = fixture.register_with(&metadata).json()["client_id"].as_str().unwrap().to_owned();
    let long = [("redirect_uri", redirect.as_str()), ("state", &"s".repeat(4_096))];
    let reply = fixture.visit(&Browser::default(), &Fixture::authorization(&client, &long));
    assert_eq!((reply.reason, reply.link().1["error"].as_str()), ("authorization_too_long", "invalid_request"));
    let fits = [("redirect_uri", redirect.as_str()), ("state", "s")];
    fixture.consent_page(&Browser::default(), &client, &fits);
}

#[test]
fn an_address_that_finishes_too_many_logins_waits_and_loses_none() {
    let mut document = document();
    document["logins"] = json!({ "ratePerMinute": 2 });
    let fixture = Fixture::configured(&document);
    let client = fixture.register();
    let started = || {
        let browser = Browser::default();
        let asked = fixture.start(&browser, &client);
        (browser, asked)
    };
    for _ in 0..2 {
        let (browser, asked) = started();
        code_of(&fixture.return_from_provider(&browser, &asked, "alice"));
    }
    let records = fixture.store.inner.live();
    let (browser, asked) = started();
    for _ in 0..100 {
        let reply = fixture.visit(&browser, &Fixture::callback(&asked));
        assert_eq!((reply.status(), reply.reason), (429, "login_rate"));
        assert_eq!(reply.header("retry-after"), Some("30"));
        assert!(reply.text().contains("reload this page"));
    }
    assert_eq!(fixture.store.inner.live(), records, "nothing is used up");
    assert_eq!(fixture.ports.calls_left(), 0);

    let (elsewhere, other) = started();
    let id_token = fixture.sign(&fixture.claims("bob", &other["nonce"]));
    fixture.expect_token_answer(200, &Fixture::token_answer(&id_token));
    code_of(&come_back_from(&fixture, &elsewhere, &Fixture::callback(&other), "198.51.100.7:1"));

    fixture.advance(30);
    code_of(&fixture.return_from_provider(&browser, &asked, "alice"));
}

#[test]
fn a_callback_without_a_login_costs_no_call_and_no_record() {
    let fixture = Fixture::new();
    let client = fixture.register();
    let browser = Browser::default();
    let asked = fixture.start(&browser, &client);
    let verbs = fixture.store.verbs();
    for target in [Fixture::callback(&asked), format!("/oauth/callback?state={}&code=x", "A".repeat(43))] {
        let reply = fixture.visit(&Browser::default(), &target);
        assert_eq!((reply.status(), reply.reason), (400, "callback_unknown_login"));
    }
    assert_eq!(fixture.store.verbs(), verbs);
}

#[test]
fn a_cookie_or_form_of_another_gateway_with_the_same_secret_counts_for_nothing() {
    let mut document = document();
    document["issuer"] = json!("https://gw.example/other");
    let (fixture, other) = (Fixture::new(), Fixture::configured(&document));
    let browser = Browser::default();
    let form = fixture.consent_page(&browser, &fixture.register(), &[]);
    let asked = fixture.approve(&browser, &form);
    let cookie = browser.cookie().unwrap();
    let callback = format!("/other{}", Fixture::callback(&asked));
    let reply = other.send(Method::Get, &callback, &[("cookie", &cookie)]);
    assert_eq!((reply.status(), reply.reason), (400, "callback_unknown_login"));
    let fields = [("transaction", form.transaction.as_str()), ("csrf", &form.csrf), ("decision", "approve")];
    other.ports.set_body(portcullis_protocol::oauth::params::encode(&fields));
    let form = ("content-type", "application/x-www-form-urlencoded");
    let reply = other.send(Method::Post, "/other/oauth/consent", &[("cookie", &cookie), form]);
    assert_eq!((reply.status(), reply.reason), (403, "consent_forged"));
}
