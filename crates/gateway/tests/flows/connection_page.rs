//! The page on which users connect providers: who is shown it, what its forms are bound to, and for
//! whom the provider's answer counts.

use portcullis_protocol::http::message::Method;
use portcullis_protocol::oauth::params;
use serde_json::json;

use crate::browser::{Browser, Reply};
use crate::client::ISSUER;
use crate::connections::{alice, connection, logged_in, on_demand};
use crate::fixture::{API, BROWSER_COOKIE, Fixture, IDP};
use crate::two_providers::{HUB, TwoProviders, asking, back_as, back_from, with_providers};

const PAGE: &str = "/oauth/connections";

/// Opens the page in a browser whose user is signed in.
fn page(providers: &TwoProviders, browser: &Browser) -> Reply {
    let mut page = providers.fixture.visit(browser, "/oauth/connections?provider=hub");
    if page.reason == "connections_sign_in" {
        assert_eq!(providers.fixture.visit(browser, &back_from(&page)).reason, "connections_signed_in");
        page = providers.fixture.visit(browser, "/oauth/connections?provider=hub");
    }
    assert_eq!((page.status(), page.reason), (200, "connections_shown"), "{}", page.text());
    page
}

/// The fields of the page's first form, and a button.
fn fields(page: &Reply, action: &str) -> Vec<(String, String)> {
    let field = |name: &str| (name.to_owned(), page.field(name));
    vec![field("csrf"), field("shown_at"), field("provider"), ("action".to_owned(), action.to_owned())]
}

/// Sends a form as a browser does.
fn send(providers: &TwoProviders, browser: &Browser, form: &[(String, String)], more: &[(&str, &str)]) -> Reply {
    let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    providers.fixture.ports.set_body(params::encode(&form));
    let cookie = browser.cookie();
    let mut headers = vec![("content-type", "application/x-www-form-urlencoded")];
    headers.extend(cookie.iter().map(|cookie| ("cookie", cookie.as_str())));
    for (name, value) in more {
        headers.retain(|(held, _)| held != name);
        headers.push((name, value));
    }
    let reply = providers.fixture.send(Method::Post, PAGE, &headers);
    browser.keep(&reply.response);
    reply
}

/// Presses a button of the page.
pub(crate) fn press(providers: &TwoProviders, browser: &Browser, action: &str) -> Reply {
    let form = fields(&page(providers, browser), action);
    send(
        providers,
        browser,
        &form,
        &[("origin", ISSUER), ("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "navigate")],
    )
}

/// Connects the hub as its user `octocat`.
pub(crate) fn connect(providers: &TwoProviders, browser: &Browser) -> Reply {
    let started = press(providers, browser, "connect");
    assert_eq!((started.redirect().0, started.reason), (format!("{HUB}/authorize"), "connection_started"));
    providers.fixture.visit(browser, &back_from(&started))
}

pub(crate) fn disconnect(providers: &TwoProviders, browser: &Browser) {
    let done = press(providers, browser, "disconnect");
    assert_eq!((done.redirect().0, done.reason), (format!("{ISSUER}{PAGE}"), "disconnected"));
}

#[test]
fn the_page_shows_what_is_connected_as_whom_and_ends_it() {
    let (providers, browser, ..) = logged_in(&on_demand());
    let before = page(&providers, &browser);
    assert!(before.text().contains("Not connected") && before.text().contains("The hub &#60;b&#62;"));
    assert!(!before.text().contains("The idp"), "a login goes there anyway");
    let connected = connect(&providers, &browser);
    assert_eq!(connected.reason, "connected");
    assert!(connected.text().contains("octocat") && connected.text().contains("Go back to your application"));
    let after = page(&providers, &browser);
    assert!(after.text().contains("octocat") && after.text().contains("since 2027-01-15"), "{}", after.text());
    let stored = connection(&providers, alice()).unwrap();
    assert_eq!(stored.connected.unwrap().provider, "hub");
    disconnect(&providers, &browser);
    assert!(connection(&providers, alice()).is_none());
    assert!(page(&providers, &browser).text().contains("Not connected"));
}

#[test]
fn a_user_who_has_not_signed_in_within_the_hour_does_so_and_comes_back() {
    let (providers, browser, ..) = logged_in(&on_demand());
    for stranger in [Browser::default(), browser] {
        providers.fixture.advance(3_600);
        let started = providers.fixture.visit(&stranger, "/oauth/connections?provider=hub");
        assert_eq!((started.redirect().0, started.reason), (format!("{IDP}/authorize"), "connections_sign_in"));
        let back = back_from(&started);
        let signed_in = providers.fixture.visit(&stranger, &back);
        assert_eq!(signed_in.reason, "connections_signed_in", "{}", signed_in.text());
        assert_eq!(signed_in.header("location"), Some("https://gw.example/oauth/connections?provider=hub"));
        assert_eq!(connect(&providers, &stranger).reason, "connected");
        assert!(connection(&providers, alice()).is_some());
        assert_eq!(providers.fixture.visit(&stranger, &back).reason, "callback_unknown_login", "it is used up");
    }
}

#[test]
fn where_logins_have_a_choice_the_page_asks_for_it_and_remembers_it() {
    let providers = TwoProviders::new(&with_providers(&[("idp", "choice"), ("hub", "choice")]));
    let browser = Browser::default();
    let choice = providers.fixture.visit(&browser, "/oauth/connections?provider=hub");
    assert_eq!((choice.status(), choice.reason), (200, "connections_shown"));
    assert!(choice.text().contains("name=\"login\" value=\"idp\""), "{}", choice.text());
    assert_eq!(providers.fixture.visit(&browser, "/oauth/connections?login=other").reason, "connections_shown");
    let started = providers.fixture.visit(&browser, "/oauth/connections?provider=hub&login=idp");
    assert_eq!(started.redirect().0, format!("{IDP}/authorize"));
    assert_eq!(providers.fixture.visit(&browser, &back_from(&started)).reason, "connections_signed_in");
    assert_eq!(connect(&providers, &browser).reason, "connected");
    // The provider of the login itself is none to connect.
    assert_eq!(
        providers.fixture.visit(&browser, "/oauth/connections?provider=idp").reason,
        "connections_unknown_provider"
    );
}

#[test]
fn the_page_is_refused_by_its_cause() {
    let (providers, browser, ..) = logged_in(&on_demand());
    for (query, status, reason) in [
        ("?provider=idp", 404, "connections_unknown_provider"),
        ("?provider=other", 404, "connections_unknown_provider"),
        ("?provider=hub&provider=hub", 400, "connections_repeated_parameter"),
        ("?provider=%ff", 400, "connections_malformed"),
    ] {
        let refused = providers.fixture.visit(&browser, &format!("{PAGE}{query}"));
        assert_eq!((refused.status(), refused.reason), (status, reason), "{query}");
    }
    let without = TwoProviders::new(&with_providers(&[("idp", "required"), ("hub", "required")]));
    for browser in [Browser::default(), browser] {
        let refused = without.fixture.visit(&browser, PAGE);
        assert_eq!((refused.status(), refused.reason), (404, "connections_none"));
    }
    for method in [Method::Head, Method::Other] {
        let refused = providers.fixture.send(method, PAGE, &[]);
        assert_eq!((refused.status(), refused.header("allow")), (405, Some("GET, POST")));
    }
}

#[test]
fn a_form_counts_for_the_user_and_the_page_that_it_was_shown_to() {
    let (providers, browser, ..) = logged_in(&on_demand());
    connect(&providers, &browser);
    let form = fields(&page(&providers, &browser), "disconnect");
    let with = |name: &str, value: &str| {
        let change = |(held, before): &(String, String)| {
            (held.clone(), if held == name { value.to_owned() } else { before.clone() })
        };
        form.iter().map(change).collect::<Vec<_>>()
    };
    let without = |name: &str| form.iter().filter(|(held, _)| held != name).cloned().collect::<Vec<_>>();
    let twice = [&form[..], &form[..1]].concat();
    for (changed, reason) in [
        (with("csrf", "x"), "connections_csrf"),
        (with("csrf", &form[0].1.replace('.', ".A")), "connections_csrf"),
        (with("shown_at", "1800000001"), "connections_csrf"),
        (with("shown_at", "x"), "connections_incomplete"),
        (with("provider", "idp"), "connections_unknown_provider"),
        (with("action", "other"), "connections_unknown_action"),
        (without("csrf"), "connections_incomplete"),
        (without("provider"), "connections_incomplete"),
        (without("action"), "connections_incomplete"),
        (twice, "connections_incomplete"),
    ] {
        assert_eq!(send(&providers, &browser, &changed, &[]).reason, reason);
    }
    for (header, reason) in [
        (("origin", "https://evil.example"), "connections_cross_site"),
        (("sec-fetch-site", "cross-site"), "connections_cross_site"),
        (("content-type", "text/plain"), "connections_content_type"),
        (("cookie", "a=1"), "connections_signed_out"),
    ] {
        assert_eq!(send(&providers, &browser, &form, &[header]).reason, reason, "{header:?}");
    }
    let large = with("csrf", &"x".repeat(64 * 1024));
    assert_eq!(send(&providers, &browser, &large, &[]).reason, "connections_too_large");
    assert_eq!(send(&providers, &browser, &with("provider", "%"), &[]).reason, "connections_unknown_provider");
    providers.fixture.ports.set_body("csrf=%ff");
    let cookie = browser.cookie().unwrap();
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("cookie", &*cookie)];
    assert_eq!(providers.fixture.send(Method::Post, PAGE, &headers).reason, "connections_malformed");
    // Another user's page, brought to this browser: the victim is not who it was shown to.
    let attacker = Browser::default();
    let started = providers.fixture.visit(&attacker, PAGE);
    assert_eq!(providers.fixture.visit(&attacker, &back_as(&started, "mallory")).reason, "connections_signed_in");
    let theirs = fields(&page(&providers, &attacker), "connect");
    assert_eq!(send(&providers, &browser, &theirs, &[]).reason, "connections_csrf");
    providers.fixture.advance(600);
    assert_eq!(send(&providers, &browser, &form, &[]).reason, "connections_expired");
    assert!(connection(&providers, alice()).is_some(), "none of them ended it");
}

#[test]
fn what_a_user_began_to_connect_is_not_given_to_another_user_of_the_browser() {
    let (providers, browser, client, _) = logged_in(&on_demand());
    let started = press(&providers, &browser, "connect");
    let (fixture, bob) = (&providers.fixture, Browser::default());
    // Bob logs in to the same browser before the provider sends it back.
    let page = fixture
        .visit(&browser, &Fixture::authorization(&client, &[&asking(API)[..], &[("prompt", "consent")]].concat()));
    let consented = providers.press_on(&browser, &page, &[("decision", "approve")]);
    assert_eq!(fixture.visit(&browser, &back_as(&consented, "bob")).reason, "logged_in");
    let refused = fixture.visit(&browser, &back_from(&started));
    assert_eq!((refused.status(), refused.reason), (403, "connection_other_user"));
    assert!(connection(&providers, alice()).is_none());
    // Nor does it count in another browser, or without the cookie of the user.
    let started = press(&providers, &browser, "connect");
    assert_eq!(fixture.visit(&bob, &back_from(&started)).reason, "callback_unknown_login");
    browser.lose(BROWSER_COOKIE);
    assert_eq!(fixture.visit(&browser, &back_from(&started)).reason, "connection_other_user");
}

#[test]
fn a_visit_expires_is_used_once_and_counts_towards_the_limit_of_logins() {
    let (providers, browser, ..) = logged_in(&on_demand());
    let back = back_from(&press(&providers, &browser, "connect"));
    let tab = browser.clone();
    assert_eq!(providers.fixture.visit(&browser, &back).reason, "connected");
    assert_eq!(providers.fixture.visit(&tab, &back).reason, "callback_state_reused");
    let back = back_from(&press(&providers, &browser, "connect"));
    providers.fixture.advance(600);
    assert_eq!(providers.fixture.visit(&browser, &back).reason, "callback_expired");
    let mut document = on_demand();
    document["logins"] = json!({ "ratePerMinute": 1 });
    let (limited, browser, ..) = logged_in(&document);
    let back = back_from(&press(&limited, &browser, "connect"));
    let refused = limited.fixture.visit(&browser, &back);
    assert_eq!((refused.status(), refused.reason), (429, "login_rate"));
    limited.fixture.advance(60);
    assert_eq!(limited.fixture.visit(&browser, &back).reason, "connected");
}

#[test]
fn a_refusal_or_failure_of_the_provider_is_said_on_a_page_by_its_cause() {
    let (providers, browser, ..) = logged_in(&on_demand());
    for (answer, reason) in [
        ("error=access_denied", "provider_denied"),
        ("error=temporarily_unavailable", "provider_unavailable"),
        ("error=unheard_of", "provider_unknown_refusal"),
        ("x=1", "callback_without_code"),
        ("code=invented", "provider_refused_code"),
    ] {
        let state = press(&providers, &browser, "connect").redirect().1["state"].clone();
        let refused = providers.fixture.visit(&browser, &format!("/oauth/callback?state={state}&{answer}"));
        assert_eq!(refused.reason, reason);
        assert!(refused.status() >= 400 && refused.header("location").is_none(), "{answer}");
        assert!(connection(&providers, alice()).is_none());
    }
    // Where the provider is gone from the configuration, too.
    let back = back_from(&press(&providers, &browser, "connect"));
    let mut document = with_providers(&[("idp", "required"), ("new", "onDemand")]);
    document["resources"][1]["inject"]["providerName"] = json!("new");
    let after = providers.reconfigured(&document);
    assert_eq!(after.fixture.visit(&browser, &back).reason, "connections_unknown_provider");
}

#[test]
fn another_account_replaces_the_one_that_was_connected() {
    let (providers, browser, ..) = logged_in(&on_demand());
    connect(&providers, &browser);
    let before = connection(&providers, alice()).unwrap();
    let started = press(&providers, &browser, "connect");
    assert_eq!(providers.fixture.visit(&browser, &back_as(&started, "hubot")).reason, "connected");
    let after = connection(&providers, alice()).unwrap();
    assert_ne!(before.subject, after.subject);
    assert!(!after.access_token.ct_eq(before.access_token.expose().as_bytes()));
}

#[test]
fn a_store_or_generator_that_fails_connects_nothing() {
    let (providers, browser, ..) = logged_in(&on_demand());
    let form = fields(&page(&providers, &browser), "connect");
    providers.fixture.ports.break_entropy();
    let failed = send(&providers, &browser, &form, &[]);
    assert_eq!((failed.status(), failed.reason), (503, "entropy_unavailable"));
}

#[test]
fn a_user_who_may_not_log_in_does_not_sign_in_to_the_page_either() {
    let mut document = on_demand();
    document["users"] = json!({ "allow": [{ "subject": "alice" }] });
    let providers = TwoProviders::new(&document);
    for (user, reason) in [("mallory", "login_user_not_allowed"), ("alice", "connections_signed_in")] {
        let browser = Browser::default();
        let started = providers.fixture.visit(&browser, PAGE);
        assert_eq!(providers.fixture.visit(&browser, &back_as(&started, user)).reason, reason);
        assert_eq!(browser.names().contains(&BROWSER_COOKIE.to_owned()), user == "alice");
    }
}
