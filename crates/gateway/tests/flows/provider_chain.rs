//! A login at two providers, one after the other: each leg by itself, in the browser that began it,
//! and all of them or none.

use portcullis_gateway::audit::AuditField;
use portcullis_gateway::config::ProviderId;
use portcullis_gateway::decision::Decision;
use portcullis_gateway::ports::Store;
use portcullis_gateway::sessions::keys::{session_key, upstream_key};
use portcullis_protocol::oauth::params;
use portcullis_testkit::fakes::block_on;
use serde_json::{Value, json};

use crate::browser::{Browser, Reply};
use crate::fixture::{API, Fixture, IDP, LOGIN_COOKIE, MCP, code_of, error_of, forwarded, injected, tokens_of};
use crate::refresh::session;
use crate::two_providers::{HUB, TwoProviders, asking, back_from, chain, hub, idp, session_of, with_providers};

fn started() -> (TwoProviders, Browser, String) {
    let providers = TwoProviders::new(&chain());
    let client = providers.fixture.register();
    (providers, Browser::default(), client)
}

/// The `sub` of an access token.
fn subject(token: &str) -> Value {
    let jws = portcullis_protocol::jose::jws::Jws::parse(token).unwrap();
    let claims: Value = serde_json::from_slice(jws.payload_bytes()).unwrap();
    claims["sub"].clone()
}

fn names(browser: &Browser) -> usize {
    browser.names().iter().filter(|name| name.starts_with(LOGIN_COOKIE)).count()
}

#[test]
fn each_resource_gets_its_own_providers_token_of_the_user_whom_the_first_provider_names() {
    let (providers, _, client) = started();
    let fixture = &providers.fixture;
    let mut subjects = Vec::new();
    for (path, resource, expected) in [("/mcp", MCP, "Bearer access-alice-1"), ("/api", API, "Bearer access-octocat-1")]
    {
        let tokens = providers.log_in(&client, resource);
        let forward = forwarded(fixture.call(path, &tokens.access));
        assert_eq!(injected(&forward).1, expected);
        assert_eq!(forward.audit.get(AuditField::Subject).as_deref(), Some("alice"), "{path}");
        subjects.push(subject(&tokens.access));
        let (first, second) =
            [idp(), hub()].map(|provider| providers.stored(session(&tokens), provider).unwrap()).into();
        assert_eq!((first.subject.as_str(), first.login_subject.as_deref()), ("alice", None));
        assert_eq!(second.login_subject.as_deref(), Some("alice"));
        assert!(second.subject.parse::<u64>().is_ok(), "a refresh compares the hub's own name");
        assert_eq!((first.name.as_deref(), second.name.as_deref()), (Some("Alice"), Some("Alice")), "{path}");
    }
    assert_eq!(subjects[0], subjects[1]);
    // The other way around the user is the hub's.
    let reversed = TwoProviders::new(&with_providers(&[("hub", "required"), ("idp", "required")]));
    let client = reversed.fixture.register();
    let tokens = reversed.log_in(&client, MCP);
    assert_ne!(subject(&tokens.access), subjects[0]);
    assert_eq!(injected(&forwarded(reversed.fixture.call("/mcp", &tokens.access))).1, "Bearer access-alice-1");
    let first = reversed.stored(session(&tokens), hub()).unwrap();
    let second = reversed.stored(session(&tokens), idp()).unwrap();
    assert_eq!((second.subject.as_str(), second.login_subject.as_deref()), ("alice", Some(first.subject.as_str())));
    assert_eq!((first.name.as_deref(), second.name.as_deref()), (Some("octocat"), Some("octocat")));
}

#[test]
fn each_leg_has_a_state_a_challenge_and_a_cookie_of_its_own_and_the_clients_prompt() {
    let (providers, browser, client) = started();
    let fixture = &providers.fixture;
    let page = fixture.visit(&browser, &Fixture::authorization(&client, &[("prompt", "login")]));
    assert!(page.text().contains("The idp &#60;b&#62;</bdi></strong> and <strong><bdi>The hub"), "{}", page.text());
    let first = providers.press_on(&browser, &page, &[("decision", "approve")]);
    let (base, asked) = first.redirect();
    assert_eq!((base, names(&browser)), (format!("{IDP}/authorize"), 1));
    let second = fixture.visit(&browser, &back_from(&first));
    let (base, asked_next) = second.redirect();
    assert_eq!((base, names(&browser), second.reason), (format!("{HUB}/authorize"), 1, "login_continued"));
    assert!(second.header("referrer-policy") == Some("no-referrer"));
    for name in ["state", "code_challenge"] {
        assert_ne!(asked[name], asked_next[name], "{name}");
    }
    assert_eq!((asked["prompt"].as_str(), asked_next["prompt"].as_str()), ("login", "login"));
    assert_eq!(second.audit.get(AuditField::Subject).as_deref(), Some("alice"));
    code_of(&fixture.visit(&browser, &back_from(&second)));
    assert_eq!(names(&browser), 0, "{:?}", browser.names());
}

#[test]
fn a_leg_is_answered_once_and_what_comes_too_late_takes_nothing_back() {
    let (providers, browser, client) = started();
    let fixture = &providers.fixture;
    let first = providers.consent(&browser, &client, API);
    let tabs = [browser.clone(), browser.clone()];
    let second = fixture.visit(&browser, &back_from(&first));
    assert_eq!(second.reason, "login_continued");
    for tab in &tabs {
        assert_eq!(fixture.visit(tab, &back_from(&first)).reason, "callback_state_reused");
    }
    let tabs = [browser.clone(), browser.clone()];
    let done = fixture.visit(&browser, &back_from(&second));
    for tab in &tabs {
        assert_eq!(fixture.visit(tab, &back_from(&second)).reason, "callback_state_reused");
    }
    let tokens = tokens_of(&fixture.redeem(&client, &code_of(&done), &[]));
    assert_eq!(injected(&forwarded(fixture.call("/api", &tokens.access))).1, "Bearer access-octocat-1");
}

#[test]
fn a_browser_that_goes_back_finds_the_leg_used_and_can_still_go_on() {
    let (providers, browser, client) = started();
    let fixture = &providers.fixture;
    let page = fixture.visit(&browser, &Fixture::authorization(&client, &asking(API)));
    let first = providers.press_on(&browser, &page, &[("decision", "approve")]);
    let (before, back) = (browser.clone(), back_from(&first));
    let second = fixture.visit(&browser, &back);
    assert_eq!(fixture.visit(&browser, &back).reason, "callback_unknown_login");
    // The form is sent again: to the same request at the first provider, whose answer is used up.
    let again = providers.press_on(&before, &page, &[("decision", "approve")]);
    assert_eq!((again.reason, again.redirect().1["state"].as_str()), ("login_started", &*first.redirect().1["state"]));
    assert_eq!(fixture.visit(&before, &back_from(&again)).reason, "callback_state_reused");
    code_of(&fixture.visit(&browser, &back_from(&second)));
}

#[test]
fn the_second_leg_is_finished_in_the_browser_that_finished_the_first_and_by_its_own_cookie() {
    let (providers, browser, client) = started();
    let fixture = &providers.fixture;
    let first = providers.consent(&browser, &client, API);
    let before = browser.clone();
    let second = fixture.visit(&browser, &back_from(&first));
    let other = Browser::default();
    providers.half_way(&other, &client);
    for stranger in [&Browser::default(), &before, &other] {
        assert_eq!(fixture.visit(stranger, &back_from(&second)).reason, "callback_unknown_login");
    }
    // The first leg's cookie under the name of the second's.
    let named = |browser: &Browser| {
        let cookie = browser.cookie().unwrap();
        let pair = cookie.split("; ").find(|pair| pair.starts_with(LOGIN_COOKIE)).unwrap();
        pair.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())).unwrap()
    };
    let moved = format!("{}={}", named(&browser).0, named(&before).1);
    let reply =
        fixture.send(portcullis_protocol::http::message::Method::Get, &back_from(&second), &[("cookie", &moved)]);
    assert_eq!(reply.reason, "callback_unknown_login");
    code_of(&fixture.visit(&browser, &back_from(&second)));
}

#[test]
fn an_answer_of_another_provider_ends_the_login() {
    // By its issuer, where the provider has one.
    let providers = TwoProviders::new(&with_providers(&[("hub", "required"), ("idp", "required")]));
    let (browser, client) = (Browser::default(), providers.fixture.register());
    let second = providers.half_way(&browser, &client);
    let target = back_from(&second).replace("iss=https%3A%2F%2Fidp", "iss=https%3A%2F%2Fhub");
    is_over(&providers, &browser, &second, &target, ("server_error", "callback_other_issuer"));
    // By the code, which the provider of this leg did not give: its challenge is another one.
    let (providers, browser, client) = started();
    let first = providers.consent(&browser, &client, API);
    let code = back_from(&first).split_once("code=").unwrap().1.split_once('&').unwrap().0.to_owned();
    let second = providers.fixture.visit(&browser, &back_from(&first));
    let state = second.redirect().1["state"].clone();
    let target = format!("/oauth/callback?state={state}&code={code}");
    is_over(&providers, &browser, &second, &target, ("access_denied", "provider_refused_code"));
}

/// The second leg comes back so: the client gets this error, and nothing is left of the first.
fn is_over(providers: &TwoProviders, browser: &Browser, second: &Reply, target: &str, expected: (&str, &str)) {
    let session = session_of(second);
    let first = [idp(), hub()].into_iter().filter(|provider| providers.stored(session, *provider).is_some()).count();
    assert_eq!(first, 1, "the tokens of the first leg");
    let reply = providers.fixture.visit(browser, target);
    assert_eq!((error_of(&reply).as_str(), reply.reason), expected);
    assert!([idp(), hub()].iter().all(|provider| providers.stored(session, *provider).is_none()), "{expected:?}");
    assert_eq!(names(browser), 0);
    assert!(block_on(providers.fixture.store.get(&session_key(session))).unwrap().is_none());
}

#[test]
fn a_second_leg_that_fails_leaves_nothing_of_the_first() {
    let answered = |error: &str| format!("error={error}");
    for (parameters, expected) in [
        (answered("access_denied"), ("access_denied", "provider_denied")),
        (answered("temporarily_unavailable"), ("temporarily_unavailable", "provider_unavailable")),
        (answered("login_required"), ("access_denied", "provider_needs_user")),
        (String::new(), ("server_error", "callback_without_code")),
    ] {
        let (providers, browser, client) = started();
        let second = providers.half_way(&browser, &client);
        let target = format!("/oauth/callback?state={}&{parameters}", second.redirect().1["state"]);
        is_over(&providers, &browser, &second, &target, expected);
    }
    for (path, status, body, expected) in [
        ("/token", 503, json!({}), ("temporarily_unavailable", "provider_status")),
        ("/token", 400, json!({ "error": "invalid_grant" }), ("access_denied", "provider_refused_code")),
        ("/token", 401, json!({ "error": "invalid_client" }), ("server_error", "provider_refused_client")),
        ("/user", 403, json!({}), ("server_error", "provider_invalid_user_info")),
        ("/user", 200, json!({ "login": "octocat" }), ("server_error", "provider_invalid_user_info")),
    ] {
        let (providers, browser, client) = started();
        let second = providers.half_way(&browser, &client);
        providers.answer("hub", path, status, body);
        is_over(&providers, &browser, &second, &back_from(&second), expected);
    }
}

#[test]
fn a_second_provider_that_cannot_be_reached_ends_the_login_before_anything_is_stored() {
    let providers = TwoProviders::new(&with_providers(&[("hub", "required"), ("idp", "required")]));
    let (browser, client) = (Browser::default(), providers.fixture.register());
    providers.answer("idp", "/.well-known/openid-configuration", 503, json!({}));
    let first = providers.consent(&browser, &client, MCP);
    let before = providers.fixture.store.inner.live();
    let reply = providers.fixture.visit(&browser, &back_from(&first));
    assert_eq!((error_of(&reply).as_str(), reply.reason), ("temporarily_unavailable", "provider_status"));
    assert_eq!(providers.fixture.store.inner.live(), before + 2, "the rate and the used login");
    assert_eq!(names(&browser), 0);
}

#[test]
fn a_login_that_is_given_up_leaves_records_that_run_out() {
    let (providers, browser, client) = started();
    let second = providers.half_way(&browser, &client);
    let session = session_of(&second);
    // The login's 10 minutes, and those of the code it could have had.
    providers.fixture.advance(600 + 600 + 59);
    assert!(providers.stored(session, idp()).is_some());
    assert_eq!(providers.fixture.visit(&browser, &back_from(&second)).reason, "callback_expired");
    providers.fixture.advance(60);
    assert!(providers.stored(session, idp()).is_none());
    assert_eq!(providers.fixture.store.inner.live(), 0);
}

#[test]
fn a_login_whose_first_leg_is_gone_is_over() {
    let (providers, browser, client) = started();
    let second = providers.half_way(&browser, &client);
    let key = upstream_key(&session_key(session_of(&second)), idp());
    block_on(providers.fixture.store.delete(&key)).unwrap();
    let _ = providers.fixture.ports.take_sent();
    let reply = providers.fixture.visit(&browser, &back_from(&second));
    assert_eq!((error_of(&reply).as_str(), reply.reason), ("access_denied", "callback_first_leg_gone"));
    assert!(providers.fixture.ports.take_sent().is_empty(), "the code is not redeemed");
}

#[test]
fn a_login_does_not_go_on_under_other_providers_than_it_began_with() {
    let (providers, browser, client) = started();
    for changed in [
        &[("idp", "required")][..],
        &[("hub", "required")],
        &[("hub", "required"), ("idp", "required")],
        &[("idp", "required"), ("new", "required"), ("hub", "required")],
        &[("idp", "required"), ("new", "required")],
        &[("idp", "required"), ("hub", "onDemand")],
    ] {
        let second = providers.half_way(&browser, &client);
        let session = session_of(&second);
        let mut document = with_providers(changed);
        for (place, name) in ["idp", "hub"].into_iter().enumerate() {
            let is_gone = !changed.iter().any(|(held, _)| *held == name);
            document["resources"][place]["inject"] = if is_gone {
                json!({ "type": "none" })
            } else {
                json!({ "type": "upstreamInject", "providerName": name })
            };
        }
        let after = providers.reconfigured(&document);
        let reply = after.fixture.visit(&browser, &back_from(&second));
        assert_eq!((error_of(&reply).as_str(), reply.reason), ("server_error", "callback_providers_changed"));
        assert!(providers.stored(session, idp()).is_none(), "{changed:?}");
    }
    // The same at the first leg: the provider of its cookie is not a first one any more.
    let first = providers.consent(&browser, &client, API);
    let after = providers.reconfigured(&with_providers(&[("hub", "required"), ("idp", "required")]));
    assert_eq!(after.fixture.visit(&browser, &back_from(&first)).reason, "callback_providers_changed");
    // One that comes after it changes nothing.
    let first = providers.consent(&browser, &client, API);
    let grown =
        providers.reconfigured(&with_providers(&[("idp", "required"), ("hub", "required"), ("new", "onDemand")]));
    code_of(&grown.walk(&browser, grown.fixture.visit(&browser, &back_from(&first))));
}

#[test]
fn a_consent_is_remembered_once_all_legs_are_done() {
    let (providers, browser, client) = started();
    let fixture = &providers.fixture;
    let second = providers.half_way(&browser, &client);
    let ask = || fixture.visit(&browser, &Fixture::authorization(&client, &asking(API)));
    assert_eq!(ask().reason, "consent_shown");
    code_of(&fixture.visit(&browser, &back_from(&second)));
    let again = ask();
    assert_eq!(again.reason, "login_started");
    code_of(&providers.walk(&browser, again));
}

#[test]
fn the_tokens_of_all_providers_last_as_long_as_their_session_and_end_with_it() {
    const DAY: u64 = 24 * 3_600;
    let (providers, _, client) = started();
    let fixture = &providers.fixture;
    let mut tokens = providers.log_in(&client, MCP);
    let id = session(&tokens);
    for _ in 0..4 {
        fixture.advance(3 * DAY);
        assert!([idp(), hub()].iter().all(|provider| providers.stored(id, *provider).is_some()));
        tokens = tokens_of(&fixture.refresh(&client, &tokens.refresh, &[]));
    }
    // Also those of a provider that the configuration no longer has.
    let mut document = with_providers(&[("idp", "required")]);
    document["resources"][1]["inject"] = json!({ "type": "none" });
    let after = providers.reconfigured(&document);
    let form = [("token", tokens.refresh.as_str()), ("client_id", &client)];
    assert_eq!(after.fixture.post("/oauth/revoke", &form).reason, "token_revoked");
    assert!([idp(), hub()].iter().all(|provider| providers.stored(id, *provider).is_none()));
}

#[test]
fn a_session_stands_or_falls_with_the_provider_that_its_resource_needs() {
    let lose = |providers: &TwoProviders, tokens: &crate::fixture::Tokens, provider: ProviderId| {
        let key = upstream_key(&session_key(session(tokens)), provider);
        block_on(providers.fixture.store.delete(&key)).unwrap();
    };
    for (resource, path, needed, other) in [(MCP, "/mcp", idp(), hub()), (API, "/api", hub(), idp())] {
        let (providers, _, client) = started();
        let fixture = &providers.fixture;
        let tokens = providers.log_in(&client, resource);
        lose(&providers, &tokens, other);
        forwarded(fixture.call(path, &tokens.access));
        let tokens = tokens_of(&fixture.refresh(&client, &tokens.refresh, &[]));
        lose(&providers, &tokens, needed);
        assert_eq!(fixture.refresh(&client, &tokens.refresh, &[]).reason, "refresh_upstream_ended", "{path}");
        assert!(matches!(fixture.call(path, &tokens.access), Decision::Resolved(_)));
    }
}

#[test]
fn tokens_without_a_refresh_token_end_the_sessions_that_need_them_and_no_others() {
    for (resource, refreshed) in [(MCP, "tokens_issued"), (API, "refresh_upstream_ended")] {
        let (providers, _, client) = started();
        providers.answer(
            "hub",
            "/token",
            200,
            json!({
                "access_token": "access-octocat-1", "token_type": "Bearer", "expires_in": 60,
            }),
        );
        let tokens = providers.log_in(&client, resource);
        providers.fixture.advance(60);
        assert_eq!(providers.fixture.refresh(&client, &tokens.refresh, &[]).reason, refreshed, "{resource}");
    }
}

#[test]
fn a_login_that_brings_no_refresh_token_goes_on_with_the_last_one_of_that_provider() {
    let (providers, _, client) = started();
    providers.log_in(&client, API);
    providers.answer("hub", "/token", 200, json!({ "access_token": "access-octocat-9", "token_type": "Bearer" }));
    let tokens = providers.log_in(&client, API);
    let kept = |provider| providers.stored(session(&tokens), provider).unwrap().refresh_token.unwrap();
    assert!(kept(hub()).ct_eq(b"refresh-octocat-1") && kept(idp()).ct_eq(b"refresh-alice-1"));
    // Another account there has none.
    providers.answer("hub", "/user", 200, json!({ "id": 7, "login": "other" }));
    let tokens = providers.log_in(&client, API);
    assert!(providers.stored(session(&tokens), hub()).unwrap().refresh_token.is_none());
}

#[test]
fn what_the_first_provider_sends_with_an_unknown_state_is_no_leg() {
    let (providers, browser, client) = started();
    let second = providers.half_way(&browser, &client);
    let target = format!("/oauth/callback?{}", params::encode(&[("state", &*"A".repeat(43)), ("code", "c")]));
    assert_eq!(providers.fixture.visit(&browser, &target).reason, "callback_unknown_login");
    code_of(&providers.fixture.visit(&browser, &back_from(&second)));
}
