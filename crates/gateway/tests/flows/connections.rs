//! Providers that a user connects once: what a call says without the connection, who gets it, and
//! how it ends.

use portcullis_gateway::audit::AuditField;
use portcullis_gateway::decision::{Decision, RefreshOutcome};
use portcullis_gateway::ports::{TokenOwner, UpstreamTokenRef};
use portcullis_gateway::resource_server::session_check::recheck;
use portcullis_gateway::upstream::connections::stored;
use portcullis_gateway::upstream::refresh::{self, Cause};
use portcullis_gateway::upstream::tokens::Upstream;
use portcullis_protocol::credentials::UserId;
use portcullis_protocol::http::message::Method;
use portcullis_testkit::fakes::block_on;
use serde_json::{Value, json};

use crate::browser::{Browser, Reply};
use crate::connection_page::{connect, disconnect};
use crate::fixture::{API, Fixture, IDP, Tokens, error_of, forwarded, injected, replied, resolved_reply, tokens_of};
use crate::refresh::session;
use crate::two_providers::{HUB, TwoProviders, back_from, hub, with_providers};

/// Users log in at `idp`, and connect `hub`, whose tokens `/api` gets.
pub(crate) fn on_demand() -> Value {
    with_providers(&[("idp", "required"), ("hub", "onDemand")])
}

pub(crate) fn alice() -> UserId {
    UserId::derive(IDP, "alice")
}

/// A gateway with a browser in which `alice` has logged in, the client, and its tokens for `/api`.
pub(crate) fn logged_in(document: &Value) -> (TwoProviders, Browser, String, Tokens) {
    let providers = TwoProviders::new(document);
    let (browser, client) = (Browser::default(), providers.fixture.register());
    let tokens = log_in(&providers, &browser, &client);
    (providers, browser, client, tokens)
}

/// Logs in for `/api` at whatever providers the login goes to.
fn log_in(providers: &TwoProviders, browser: &Browser, client: &str) -> Tokens {
    let reply = providers.walk(browser, providers.start(browser, client, API));
    tokens_of(&providers.fixture.redeem(client, &code(&reply), &[]))
}

fn code(reply: &Reply) -> String {
    assert!(reply.reason.starts_with("logged_in"), "{} {}", reply.reason, reply.text());
    reply.redirect().1["code"].clone()
}

/// The connection as it is stored.
pub(crate) fn connection(providers: &TwoProviders, user: UserId) -> Option<Upstream> {
    block_on(stored::load(&providers.fixture.gateway, user, hub(), &providers.fixture.ports)).unwrap()
}

fn of_alice() -> UpstreamTokenRef {
    UpstreamTokenRef { owner: TokenOwner::User(alice()), provider: hub() }
}

/// A call of an MCP client that knows this revision, if any.
fn call(providers: &TwoProviders, token: &str, version: Option<&str>, body: &str) -> Decision {
    let bearer = format!("Bearer {token}");
    let mut headers = vec![("authorization", &*bearer), ("content-type", "application/json")];
    headers.extend(version.map(|version| ("mcp-protocol-version", version)));
    providers.fixture.ports.set_body(body);
    providers.fixture.handle(Fixture::request(Method::Post, "/api", &headers))
}

const NEW: Option<&str> = Some("2025-11-25");
const CALL: &str = r#"{"jsonrpc":"2.0","id":"a-1","method":"tools/call","params":{"name":"x","arguments":{}}}"#;
const PAGE: &str = "https://gw.example/oauth/connections?provider=hub";

fn refresh(providers: &TwoProviders) -> RefreshOutcome {
    let fixture = &providers.fixture;
    block_on(refresh::refresh(fixture.gateway.clone(), of_alice(), Cause::Due, fixture.ports.clone()))
}

#[test]
fn an_mcp_request_is_answered_with_the_page_to_open_and_works_once_the_user_has_connected() {
    let (providers, browser, client, tokens) = logged_in(&on_demand());
    for (id, version) in [(json!("a-1"), "2025-11-25"), (json!(7), "2026-07-28")] {
        let body = json!({ "jsonrpc": "2.0", "id": id, "method": "tools/list" }).to_string();
        let asked = replied(call(&providers, &tokens.access, Some(version), &body));
        assert_eq!((asked.status(), asked.reason), (200, "connection_requested"));
        assert_eq!(asked.header("content-type"), Some("application/json"));
        let answer = asked.json();
        assert_eq!((&answer["id"], &answer["error"]["code"]), (&id, &json!(-32042)));
        let elicitation = &answer["error"]["data"]["elicitations"][0];
        assert_eq!((&elicitation["mode"], &elicitation["url"]), (&json!("url"), &json!(PAGE)));
        assert!(elicitation["message"].as_str().unwrap().contains("The hub <b>"));
        assert!(elicitation["elicitationId"].as_str().unwrap().len() >= 22);
        assert_eq!(asked.audit.get(AuditField::User).as_deref(), Some(&*alice().to_string()));
    }
    let shown = connect(&providers, &browser);
    assert_eq!((shown.status(), shown.reason), (200, "connected"));
    let forward = forwarded(call(&providers, &tokens.access, NEW, CALL));
    assert_eq!(injected(&forward).1, "Bearer access-octocat-1");
    assert_eq!(forward.grant.unwrap().upstream.as_deref(), Some(&of_alice()));
    // The names of the account at the hub are not the user's.
    assert_eq!(forward.audit.get(AuditField::Subject), None);
    // Another session of the same user uses it at once.
    let other = log_in(&providers, &Browser::default(), &client);
    assert_ne!(session(&other), session(&tokens));
    assert_eq!(injected(&forwarded(call(&providers, &other.access, NEW, CALL))).1, "Bearer access-octocat-1");
    // The session still refreshes, and a renewed token is the same user's.
    let renewed = tokens_of(&providers.fixture.refresh(&client, &tokens.refresh, &[]));
    assert_eq!(injected(&forwarded(call(&providers, &renewed.access, NEW, CALL))).1, "Bearer access-octocat-1");
}

#[test]
fn what_is_not_one_request_of_such_a_client_is_refused_without_a_challenge_and_the_session_goes_on() {
    let (providers, _, client, mut tokens) = logged_in(&on_demand());
    let too_large = json!({ "jsonrpc": "2.0", "id": 1, "method": "m", "params": "x".repeat(64 * 1024) }).to_string();
    let nested = format!("{}{}", "[".repeat(64), "]".repeat(64));
    for body in [
        r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
        r#"[{"jsonrpc":"2.0","id":1,"method":"tools/list"}]"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"tools/list"}"#,
        "not JSON",
        "",
        &nested,
        &too_large,
    ] {
        let refused = replied(call(&providers, &tokens.access, NEW, body));
        assert_eq!((refused.status(), refused.reason), (403, "upstream_not_connected"), "{body:.60}");
        assert_eq!(refused.header("www-authenticate"), None);
        assert!(refused.text().contains("The hub ?b?") || refused.text().contains("The hub <b>"), "{}", refused.text());
        assert!(refused.text().contains(PAGE), "{}", refused.text());
    }
    let bearer = format!("Bearer {}", tokens.access);
    let stream = [("authorization", &*bearer), ("mcp-protocol-version", "2025-11-25")];
    assert_eq!(providers.fixture.send(Method::Get, "/api", &stream).reason, "upstream_not_connected");
    tokens = tokens_of(&providers.fixture.refresh(&client, &tokens.refresh, &[]));
    assert_eq!(replied(call(&providers, &tokens.access, NEW, CALL)).reason, "connection_requested");
}

#[test]
fn any_other_client_logs_in_again_and_is_connected_by_that_login() {
    for version in [None, Some("2025-06-18"), Some("tomorrow")] {
        let (providers, browser, client, tokens) = logged_in(&on_demand());
        let refused = replied(call(&providers, &tokens.access, version, CALL));
        assert_eq!((refused.status(), refused.reason), (401, "connection_login_required"));
        let challenge = refused.header("www-authenticate").unwrap();
        assert!(challenge.contains("error=\"invalid_token\"") && challenge.contains(PAGE), "{challenge}");
        // It tries its refresh token first.
        assert_eq!(providers.fixture.refresh(&client, &tokens.refresh, &[]).status(), 400);
        let first = providers.start(&browser, &client, API);
        let second = providers.fixture.visit(&browser, &back_from(&first));
        assert_eq!((second.redirect().0, second.reason), (format!("{HUB}/authorize"), "login_continued"));
        let done = providers.fixture.visit(&browser, &back_from(&second));
        assert_eq!(done.reason, "logged_in_connected");
        assert_eq!(done.audit.get(AuditField::Subject).as_deref(), Some("alice"));
        let tokens = tokens_of(&providers.fixture.redeem(&client, &code(&done), &[]));
        assert_eq!(injected(&forwarded(call(&providers, &tokens.access, version, CALL))).1, "Bearer access-octocat-1");
        // Later logins go to the first provider only.
        assert_eq!(
            providers.fixture.visit(&browser, &back_from(&providers.start(&browser, &client, API))).reason,
            "logged_in"
        );
    }
}

#[test]
fn a_resource_that_is_no_mcp_server_speaks_http_alone() {
    let mut document = on_demand();
    document["resources"][1]["kind"] = json!("http");
    let (providers, _, _, tokens) = logged_in(&document);
    assert_eq!(replied(call(&providers, &tokens.access, NEW, CALL)).reason, "connection_login_required");
}

#[test]
fn a_user_who_does_not_connect_is_logged_in_and_not_asked_again_for_a_day() {
    for answer in ["error=access_denied", "error=server_error", "code=invented", "iss=https://else.example"] {
        let (providers, browser, client, tokens) = logged_in(&on_demand());
        providers.answer("hub", "/token", 400, json!({ "error": "invalid_grant" }));
        assert_eq!(replied(call(&providers, &tokens.access, None, CALL)).reason, "connection_login_required");
        let first = providers.start(&browser, &client, API);
        let second = providers.fixture.visit(&browser, &back_from(&first));
        let state = second.redirect().1["state"].clone();
        let done = providers.fixture.visit(&browser, &format!("/oauth/callback?state={state}&{answer}"));
        assert_eq!(done.reason, "logged_in_not_connected", "{answer}");
        assert!(connection(&providers, alice()).is_none());
        let mut tokens = tokens_of(&providers.fixture.redeem(&client, &code(&done), &[]));
        for _ in 0..3 {
            let refused = replied(call(&providers, &tokens.access, None, CALL));
            assert_eq!((refused.status(), refused.reason), (403, "upstream_not_connected"), "{answer}");
            assert_eq!(refused.header("www-authenticate"), None);
            assert!(refused.text().contains(PAGE));
            tokens = tokens_of(&providers.fixture.refresh(&client, &tokens.refresh, &[]));
        }
        let again = providers.fixture.visit(&browser, &back_from(&providers.start(&browser, &client, API)));
        assert_eq!(again.reason, "logged_in", "the next login does not ask");
        providers.fixture.advance(24 * 3_600);
        let tokens = log_in(&providers, &browser, &client);
        assert_eq!(replied(call(&providers, &tokens.access, None, CALL)).reason, "connection_login_required");
    }
}

#[test]
fn a_provider_that_is_unavailable_is_left_out_of_the_login_and_of_the_next_ten_minutes() {
    let mut document = with_providers(&[("hub", "required"), ("idp", "onDemand")]);
    document["resources"][1]["inject"]["providerName"] = json!("idp");
    let providers = TwoProviders::new(&document);
    let (browser, client) = (Browser::default(), providers.fixture.register());
    providers.answer("idp", "/.well-known/openid-configuration", 503, json!({}));
    let log_in = || {
        let reply = providers.fixture.visit(&browser, &back_from(&providers.start(&browser, &client, API)));
        assert_eq!(reply.reason, "logged_in");
        tokens_of(&providers.fixture.redeem(&client, &code(&reply), &[]))
    };
    assert_eq!(replied(call(&providers, &log_in().access, None, CALL)).reason, "connection_login_required");
    let tokens = log_in();
    assert_eq!(replied(call(&providers, &tokens.access, None, CALL)).reason, "upstream_not_connected");
    providers.fixture.advance(601);
    assert_eq!(replied(call(&providers, &tokens.access, None, CALL)).reason, "connection_login_required");
}

#[test]
fn a_connection_is_refreshed_once_and_used_by_all_sessions_of_the_user() {
    let (providers, browser, client, tokens) = logged_in(&on_demand());
    connect(&providers, &browser);
    let other = log_in(&providers, &Browser::default(), &client);
    for token in [&tokens.access, &other.access] {
        forwarded(call(&providers, token, NEW, CALL));
    }
    providers.fixture.advance(3_550);
    forwarded(call(&providers, &tokens.access, NEW, CALL));
    assert_eq!(providers.fixture.ports.take_refreshes(), [of_alice()]);
    assert_eq!(providers.fixture.ports.take_replaced(), [TokenOwner::User(alice())], "it was connected");
    let renewed = refresh(&providers);
    assert!(matches!(renewed, RefreshOutcome::Ready(_)));
    assert_eq!(providers.fixture.ports.take_replaced(), [TokenOwner::User(alice())]);
    let access = connection(&providers, alice()).unwrap();
    let bearer = format!("Bearer {}", access.access_token.expose());
    assert_ne!(bearer, "Bearer access-octocat-1");
    for token in [&tokens.access, &other.access] {
        assert_eq!(injected(&forwarded(call(&providers, token, NEW, CALL))).1, bearer);
    }
    assert!(access.connected.is_some() && access.session == *alice().as_bytes());
}

#[test]
fn a_grant_that_the_provider_ends_ends_the_connection_and_no_session() {
    let (providers, browser, client, tokens) = logged_in(&on_demand());
    connect(&providers, &browser);
    forwarded(call(&providers, &tokens.access, NEW, CALL));
    providers.answer("hub", "/token", 400, json!({ "error": "consent_required" }));
    providers.fixture.advance(3_600);
    let tokens = tokens_of(&providers.fixture.refresh(&client, &tokens.refresh, &[]));
    let Decision::AwaitUpstream { token, decide } = call(&providers, &tokens.access, NEW, CALL) else {
        panic!("it waits for the refresh")
    };
    assert_eq!(token, of_alice());
    let outcome = refresh(&providers);
    assert!(matches!(outcome, RefreshOutcome::LoginRequired));
    assert_eq!(providers.fixture.ports.take_ended(), []);
    let waited = resolved_reply(decide(&outcome));
    assert_eq!((waited.status(), waited.reason), (503, "connection_ended"));
    assert!(connection(&providers, alice()).is_none());
    assert_eq!(replied(call(&providers, &tokens.access, NEW, CALL)).reason, "connection_requested");
    tokens_of(&providers.fixture.refresh(&client, &tokens.refresh, &[]));
    // The next time the provider is asked as it wants to be.
    let started = crate::connection_page::press(&providers, &browser, "connect");
    assert_eq!(started.redirect().1.get("prompt").map(String::as_str), Some("consent"));
}

#[test]
fn a_connection_that_ends_at_another_envoy_is_found_by_the_recheck_of_a_known_token() {
    let (providers, browser, _, tokens) = logged_in(&on_demand());
    connect(&providers, &browser);
    forwarded(call(&providers, &tokens.access, NEW, CALL));
    let elsewhere = providers.reconfigured(&on_demand());
    disconnect(&elsewhere, &browser);
    // Known here, it is injected until it is looked up again.
    providers.fixture.advance(31);
    forwarded(call(&providers, &tokens.access, NEW, CALL));
    for entry in providers.fixture.gateway.take_rechecks(8) {
        block_on(recheck(providers.fixture.gateway.clone(), entry, providers.fixture.ports.clone()));
    }
    assert_eq!(replied(call(&providers, &tokens.access, NEW, CALL)).reason, "connection_requested");
}

#[test]
fn a_connection_lasts_as_long_as_it_is_used_and_no_longer() {
    const DAY: u64 = 24 * 3_600;
    let (providers, browser, client, mut tokens) = logged_in(&on_demand());
    connect(&providers, &browser);
    for _ in 0..30 {
        providers.fixture.advance(6 * DAY);
        tokens = tokens_of(&providers.fixture.refresh(&client, &tokens.refresh, &[]));
    }
    assert!(connection(&providers, alice()).is_some(), "after half a year of use");
    providers.fixture.advance(90 * DAY);
    assert!(connection(&providers, alice()).is_none());
}

#[test]
fn a_provider_of_a_choice_that_the_user_did_not_log_in_at_can_be_connected() {
    let providers = TwoProviders::new(&with_providers(&[("idp", "choice"), ("hub", "choice")]));
    let (browser, client) = (Browser::default(), providers.fixture.register());
    let log_in = || {
        let browser = Browser::default();
        let reply = providers.walk(&browser, providers.press(&browser, &client, API, ("provider", "idp")));
        tokens_of(&providers.fixture.redeem(&client, &code(&reply), &[]))
    };
    assert_eq!(replied(call(&providers, &log_in().access, NEW, CALL)).reason, "connection_requested");
    let started = providers.fixture.visit(&browser, "/oauth/connections?login=idp");
    providers.fixture.visit(&browser, &back_from(&started));
    connect(&providers, &browser);
    assert_eq!(injected(&forwarded(call(&providers, &log_in().access, NEW, CALL))).1, "Bearer access-octocat-1");
    // A user who logs in at it needs no connection: the tokens are the login's.
    let other = Browser::default();
    let reply = providers.walk(&other, providers.press(&other, &client, API, ("provider", "hub")));
    let tokens = tokens_of(&providers.fixture.redeem(&client, &code(&reply), &[]));
    let grant = forwarded(call(&providers, &tokens.access, NEW, CALL)).grant.unwrap();
    assert_eq!(grant.upstream.map(|token| token.owner), Some(TokenOwner::Session(session(&tokens))));
}

#[test]
fn a_login_whose_own_leg_fails_is_refused_whatever_is_to_be_connected() {
    let (providers, browser, client, tokens) = logged_in(&on_demand());
    replied(call(&providers, &tokens.access, None, CALL));
    let state = providers.start(&browser, &client, API).redirect().1["state"].clone();
    let refused = providers.fixture.visit(&browser, &format!("/oauth/callback?state={state}&error=access_denied"));
    assert_eq!((error_of(&refused).as_str(), refused.reason), ("access_denied", "provider_denied"));
}
