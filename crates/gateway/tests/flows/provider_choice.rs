//! Providers that a user has the choice of: asked once, remembered by the browser, and never
//! guessed.

use portcullis_gateway::audit::AuditField;
use portcullis_protocol::http::message::Method;
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::fixture::{API, Fixture, IDP, MCP, code_of, forwarded, injected, tokens_of};
use crate::two_providers::{HUB, TwoProviders, asking, back_from, with_providers};

fn choice() -> Value {
    with_providers(&[("idp", "choice"), ("hub", "choice"), ("more", "onDemand")])
}

fn shown() -> (TwoProviders, Browser, String) {
    let providers = TwoProviders::new(&choice());
    let client = providers.fixture.register();
    (providers, Browser::default(), client)
}

#[test]
fn the_page_has_a_button_for_each_provider_and_the_login_goes_where_it_says() {
    for (name, path, resource, base, expected) in
        [("idp", "/mcp", MCP, IDP, "Bearer access-alice-1"), ("hub", "/api", API, HUB, "Bearer access-octocat-1")]
    {
        let (providers, browser, client) = shown();
        let page = providers.fixture.visit(&browser, &Fixture::authorization(&client, &asking(resource)));
        let form = page.form();
        let buttons = [("provider", "idp"), ("provider", "hub"), ("decision", "deny")];
        assert_eq!(form.buttons, buttons.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert!(page.text().contains("continue with <bdi>The hub &#60;b&#62;</bdi></button>"), "{}", page.text());
        assert!(page.text().contains("Choose who you sign in with."), "{}", page.text());
        let reply = providers.press_on(&browser, &page, &[("provider", name)]);
        assert_eq!(reply.redirect().0, format!("{base}/authorize"));
        let done = providers.walk(&browser, reply);
        let tokens = tokens_of(&providers.fixture.redeem(&client, &code_of(&done), &[]));
        assert_eq!(injected(&forwarded(providers.fixture.call(path, &tokens.access))).1, expected);
        tokens_of(&providers.fixture.refresh(&client, &tokens.refresh, &[]));
    }
}

#[test]
fn an_answer_without_a_provider_that_is_offered_is_refused() {
    for (pressed, reason) in [
        (&[("provider", "other")][..], "consent_unknown_provider"),
        (&[("provider", "more")], "consent_unknown_provider"),
        (&[("provider", "The hub <b>")], "consent_unknown_provider"),
        (&[("provider", "HUB")], "consent_unknown_provider"),
        (&[("decision", "approve")], "consent_without_provider"),
        (&[("decision", "approve"), ("provider", "hub")], "consent_unknown_decision"),
        (&[("decision", "deny"), ("provider", "hub")], "consent_unknown_decision"),
        (&[("provider", "hub"), ("provider", "idp")], "consent_incomplete"),
        (&[("provider", "")], "consent_incomplete"),
        (&[], "consent_incomplete"),
        (&[("decision", "deny")], "consent_denied"),
    ] {
        let (providers, browser, client) = shown();
        let page = providers.fixture.visit(&browser, &Fixture::authorization(&client, &[]));
        let reply = providers.press_on(&browser, &page, pressed);
        assert_eq!(reply.reason, reason, "{pressed:?}");
    }
    // Where there is no choice, none is made.
    let providers = TwoProviders::new(&with_providers(&[("idp", "required"), ("hub", "required")]));
    let (browser, client) = (Browser::default(), providers.fixture.register());
    assert_eq!(providers.press(&browser, &client, MCP, ("provider", "hub")).reason, "consent_unknown_provider");
}

#[test]
fn a_provider_that_is_not_offered_any_more_is_not_gone_to() {
    let (providers, browser, client) = shown();
    let page = providers.fixture.visit(&browser, &Fixture::authorization(&client, &asking(API)));
    let mut document = with_providers(&[("idp", "choice"), ("new", "choice")]);
    document["resources"][1]["inject"] = json!({ "type": "none" });
    let after = providers.reconfigured(&document);
    assert_eq!(after.press_on(&browser, &page, &[("provider", "hub")]).reason, "consent_unknown_provider");
    // Nor is the one that the browser remembers.
    let done = providers.walk(&browser, providers.press_on(&browser, &page, &[("provider", "hub")]));
    code_of(&done);
    let again =
        |gateway: &TwoProviders| gateway.fixture.visit(&browser, &Fixture::authorization(&client, &asking(API))).reason;
    assert_eq!((again(&providers), again(&after)), ("login_started", "consent_shown"));
}

#[test]
fn the_browser_remembers_where_its_user_logged_in_and_asks_again_for_another_account() {
    let (providers, browser, client) = shown();
    let fixture = &providers.fixture;
    code_of(&providers.walk(&browser, providers.press(&browser, &client, API, ("provider", "hub"))));
    let ask = |browser: &Browser, more: &[(&str, &str)]| {
        fixture.visit(browser, &Fixture::authorization(&client, &[&asking(API)[..], more].concat()))
    };
    let again = ask(&browser, &[]);
    assert_eq!((again.reason, again.redirect().0), ("login_started", format!("{HUB}/authorize")));
    code_of(&providers.walk(&browser, again));
    for prompt in ["select_account", "login", "consent"] {
        assert_eq!(ask(&browser, &[("prompt", prompt)]).reason, "consent_shown", "{prompt}");
    }
    assert_eq!(ask(&Browser::default(), &[]).reason, "consent_shown");
    // The other provider's user is another user, whose consent this was not.
    code_of(
        &providers.walk(
            &browser,
            providers.press_on(&browser, &ask(&browser, &[("prompt", "login")]), &[("provider", "idp")]),
        ),
    );
    assert_eq!(ask(&browser, &[]).redirect().0, format!("{IDP}/authorize"));
}

#[test]
fn a_resource_of_a_provider_that_was_not_chosen_is_refused_by_its_name_and_the_session_goes_on() {
    let (providers, browser, client) = shown();
    let fixture = &providers.fixture;
    let done = providers.walk(&browser, providers.press(&browser, &client, MCP, ("provider", "hub")));
    let mut tokens = tokens_of(&fixture.redeem(&client, &code_of(&done), &[]));
    for _ in 0..2 {
        let headers =
            [("authorization", &*format!("Bearer {}", tokens.access)), ("mcp-protocol-version", "2025-11-25")];
        let refused = fixture.send(Method::Get, "/mcp", &headers);
        assert_eq!((refused.status(), refused.reason), (403, "upstream_not_connected"));
        assert!(refused.text().contains("The idp <b>"), "{}", refused.text());
        assert_eq!(refused.header("www-authenticate"), None);
        tokens = tokens_of(&fixture.refresh(&client, &tokens.refresh, &[]));
    }
}

#[test]
fn a_choice_may_come_after_a_required_provider_and_is_made_on_the_same_page() {
    let written = [("idp", "required"), ("hub", "choice"), ("more", "choice")];
    let providers = TwoProviders::new(&with_providers(&written));
    let (browser, client) = (Browser::default(), providers.fixture.register());
    let page = providers.fixture.visit(&browser, &Fixture::authorization(&client, &asking(API)));
    assert!(page.text().contains("; you also sign in with <strong><bdi>The idp"), "{}", page.text());
    let first = providers.press_on(&browser, &page, &[("provider", "hub")]);
    assert_eq!(first.redirect().0, format!("{IDP}/authorize"));
    let second = providers.fixture.visit(&browser, &back_from(&first));
    assert_eq!((second.redirect().0, second.reason), (format!("{HUB}/authorize"), "login_continued"));
    code_of(&providers.fixture.visit(&browser, &back_from(&second)));
    let again = providers.fixture.visit(&browser, &Fixture::authorization(&client, &asking(API)));
    code_of(&providers.walk(&browser, again));
}

#[test]
fn the_audit_trail_names_the_user_of_the_chosen_provider_where_nothing_is_injected() {
    let mut document = choice();
    document["resources"][1]["inject"] = json!({ "type": "none" });
    for (name, is_alice) in [("idp", true), ("hub", false)] {
        let providers = TwoProviders::new(&document);
        let (browser, client) = (Browser::default(), providers.fixture.register());
        let done = providers.walk(&browser, providers.press(&browser, &client, API, ("provider", name)));
        let tokens = tokens_of(&providers.fixture.redeem(&client, &code_of(&done), &[]));
        let subject = forwarded(providers.fixture.call("/api", &tokens.access)).audit.get(AuditField::Subject);
        assert_eq!(subject.as_deref() == Some("alice"), is_alice, "{subject:?}");
        assert!(subject.is_some());
    }
}
