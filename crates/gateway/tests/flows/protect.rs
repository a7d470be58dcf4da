//! A call with a token: what the backend gets, and what the client gets otherwise.

use portcullis_gateway::decision::{Credentials, Decision, Forward, RefreshOutcome, Resolved, ResponsePlan};
use portcullis_gateway::resource_server::fast_path;
use portcullis_gateway::upstream::refresh::{self, Cause};
use portcullis_protocol::base64url;
use portcullis_protocol::credentials::{AuthorizationCode, SessionId};
use portcullis_protocol::http::message::Method;
use portcullis_protocol::jose::jws::{self, Header, Jws};
use portcullis_testkit::fakes::block_on;
use portcullis_testkit::signatures::Sign as _;
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::dead_ends::logged_in_without_a_refresh_token;
use crate::fixture::{
    API, BROWSER_COOKIE, Fixture, MCP, NOW, document, forwarded, injected, replied, resolved_forward, resolved_reply,
    upstream_of,
};

const METADATA: &str = "resource_metadata=\"https://gw.example/.well-known/oauth-protected-resource/mcp\"";

/// A fixture in which a user is logged in, and the user's access token.
pub(crate) fn with_token() -> (Fixture, String) {
    let fixture = Fixture::new();
    let (_, tokens) = fixture.logged_in();
    (fixture, tokens.access)
}

pub(crate) fn fast(fixture: &Fixture, target: &str, token: &str) -> Option<Forward> {
    fast_path::fast(
        &fixture.gateway,
        fixture.now(),
        target.as_bytes(),
        format!("Bearer {token}").as_bytes(),
        None,
        false,
    )
}

fn claims(token: &str) -> Value {
    serde_json::from_slice(Jws::parse(token).unwrap().payload_bytes()).unwrap()
}

pub(crate) fn session(token: &str) -> SessionId {
    SessionId::parse(claims(token)["sid"].as_str().unwrap()).unwrap()
}

/// A token that the gateway's own key signs over changed claims.
fn forged(fixture: &Fixture, token: &str, typ: &str, change: impl FnOnce(&mut Value)) -> String {
    let mut claims = claims(token);
    change(&mut claims);
    let key = &fixture.gateway.config().signing_keys[0];
    let input = jws::encode(&Header { alg: key.alg(), kid: key.kid(), typ }, &claims);
    jws::attach(&input, &key.sign(input.as_bytes()).unwrap())
}

/// What the root task does about a session's upstream tokens.
fn refresh(fixture: &Fixture, token: &str) -> RefreshOutcome {
    block_on(refresh::refresh(fixture.gateway.clone(), upstream_of(session(token)), Cause::Due, fixture.ports.clone()))
}

/// The provider's answer to a refresh.
fn renewed() -> Value {
    json!({ "access_token": "upstream-access-2", "token_type": "bearer", "expires_in": 7200 })
}

/// Waits for the upstream tokens of this session; gives the decision to be made.
fn awaited(decision: Decision, expected: SessionId) -> Box<dyn FnOnce(&RefreshOutcome) -> Resolved> {
    match decision {
        Decision::AwaitUpstream { token, decide } => {
            assert_eq!(token, upstream_of(expected));
            decide
        }
        Decision::AwaitProvider { .. } | Decision::AwaitKeys { .. } => panic!("waits for the provider"),
        Decision::Resolved(resolved) => panic!("{}", resolved_reply(resolved).reason),
    }
}

#[test]
fn the_fast_path_gives_what_the_slow_path_gave() {
    let (fixture, token) = with_token();
    assert!(fast(&fixture, "/mcp", &token).is_none(), "nothing was proven yet");
    let slow = forwarded(fixture.call("/mcp?a=1", &token));
    let hit = fast(&fixture, "/mcp?a=1", &token).unwrap();
    assert_eq!(injected(&slow), injected(&hit));
    assert_eq!(slow.audit, hit.audit);
    assert_eq!((slow.cookie, hit.cookie), (None, None));
    assert_eq!((slow.response, hit.response), (ResponsePlan::Protected(None), ResponsePlan::Protected(None)));
}

#[test]
fn only_the_response_to_a_page_is_planned_to_be_readable_by_scripts() {
    let (fixture, token) = with_token();
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str()), ("origin", "https://app.example")];
    let call = || fixture.handle(Fixture::request(Method::Post, "/mcp", &headers));
    let fast = || fast_path::fast(&fixture.gateway, fixture.now(), b"/mcp", bearer.as_bytes(), None, true).unwrap();
    assert_cors(forwarded(call()).response);
    assert_cors(fast().response);
    assert_eq!(forwarded(fixture.call("/mcp", &token)).response, ResponsePlan::Protected(None));

    fixture.advance(3595);
    let waiting = [call(), fixture.call("/mcp", &token)].map(|decision| awaited(decision, session(&token)));
    fixture.expect_token_answer(200, &renewed());
    let outcome = refresh(&fixture, &token);
    let [of_page, of_program] = waiting.map(|decide| resolved_forward(decide(&outcome)).response);
    assert_cors(of_page);
    assert_eq!(of_program, ResponsePlan::Protected(None));
    // Each request has its own plan, whatever the VM remembers of the one before.
    assert_cors(forwarded(call()).response);
}

fn assert_cors(plan: ResponsePlan) {
    let ResponsePlan::Protected(Some(added)) = plan else { panic!("{plan:?}") };
    assert_eq!(added.unless, "access-control-allow-origin", "a resource's own CORS headers stand");
    let exposed = "WWW-Authenticate, Mcp-Session-Id, MCP-Protocol-Version";
    let expected = [("access-control-allow-origin", "*"), ("access-control-expose-headers", exposed)];
    assert_eq!(added.fields, expected);
}

#[test]
fn the_fast_path_leaves_everything_out_of_the_ordinary_to_the_slow_path() {
    let (fixture, token) = with_token();
    forwarded(fixture.call("/mcp", &token));
    for target in [
        "/api",
        "/other",
        "/mcpx",
        "/mcp?access_token=x",
        "/mcp/../api",
        "mcp",
        "/oauth/token",
        "/.well-known/jwks.json",
    ] {
        assert!(fast(&fixture, target, &token).is_none(), "{target}");
    }
    assert!(fast_path::fast(&fixture.gateway, fixture.now(), b"/mcp", token.as_bytes(), None, false).is_none());
}

#[test]
fn the_fast_path_never_takes_the_gateways_own_endpoints_for_a_resource() {
    let mut document = document();
    document["resources"] = json!([
        { "resource": "https://gw.example", "match": { "prefix": "/" } },
    ]);
    let fixture = Fixture::configured(&document);
    let (_, tokens) = fixture.logged_in_with(&[("resource", "https://gw.example")]);
    forwarded(fixture.call("/x", &tokens.access));
    assert!(fast(&fixture, "/x", &tokens.access).is_some());
    for target in ["/oauth/token", "/oauth/x", "/.well-known/jwks.json", "/.well-known/oauth-authorization-server"] {
        assert!(fast(&fixture, target, &tokens.access).is_none(), "{target}");
    }
}

#[test]
fn the_fast_path_looks_the_session_up_again_every_minute() {
    let (fixture, token) = with_token();
    forwarded(fixture.call("/mcp", &token));
    fixture.advance(59);
    assert!(fast(&fixture, "/mcp", &token).is_some());
    fixture.advance(1);
    assert!(fast(&fixture, "/mcp", &token).is_none());
}

#[test]
fn the_fast_path_ends_with_the_token() {
    let (fixture, token) = with_token();
    fixture.advance(3590);
    fixture.expect_token_answer(200, &renewed());
    assert!(matches!(refresh(&fixture, &token), RefreshOutcome::Ready(_)), "upstream, it is about to expire");
    forwarded(fixture.call("/mcp", &token));
    assert!(fast(&fixture, "/mcp", &token).is_some());
    fixture.advance(9);
    assert!(fast(&fixture, "/mcp", &token).is_some());
    fixture.advance(1);
    assert!(fast(&fixture, "/mcp", &token).is_none());
    assert_eq!(replied(fixture.call("/mcp", &token)).reason, "token_expired");
}

#[test]
fn the_fast_path_leaves_upstream_tokens_that_are_due_or_stale_to_the_slow_one() {
    let (fixture, token) = with_token();
    fixture.advance(3_600 - 61);
    forwarded(fixture.call("/mcp", &token));
    assert!(fast(&fixture, "/mcp", &token).is_some());
    fixture.advance(1);
    assert!(fast(&fixture, "/mcp", &token).is_none(), "it is due");

    let fixture = Fixture::new();
    let (_, tokens) = logged_in_without_a_refresh_token(&fixture, &[]);
    fixture.advance(3_600 - 6);
    forwarded(fixture.call("/mcp", &tokens.access));
    assert!(fast(&fixture, "/mcp", &tokens.access).is_some());
    fixture.advance(1);
    assert!(fast(&fixture, "/mcp", &tokens.access).is_none(), "it is stale");
}

#[test]
fn a_session_that_ended_is_forgotten_at_once() {
    let (fixture, token) = with_token();
    forwarded(fixture.call("/mcp", &token));
    fixture.gateway.forget_sessions(&[SessionId::new([9; 16])]);
    assert!(fast(&fixture, "/mcp", &token).is_some(), "another session's end changes nothing");
    fixture.gateway.forget_sessions(&[session(&token)]);
    assert!(fast(&fixture, "/mcp", &token).is_none());
}

#[test]
fn without_a_token_the_client_learns_where_to_get_one() {
    let fixture = Fixture::new();
    for headers in [&[][..], &[("authorization", "Basic YTpi")], &[("authorization", "Bearer")]] {
        let reply = fixture.send(Method::Get, "/mcp", headers);
        assert_eq!((reply.status(), reply.reason), (401, "no_token"));
        assert_eq!(reply.header("www-authenticate"), Some(format!("Bearer {METADATA}, scope=\"openid\"").as_str()));
        assert!(reply.header("access-control-expose-headers").unwrap().contains("WWW-Authenticate"));
    }
}

#[test]
fn credentials_that_two_readers_could_read_differently_are_refused() {
    let (fixture, token) = with_token();
    let bearer = format!("Bearer {token}");
    for headers in [
        &[("authorization", bearer.as_str()), ("authorization", bearer.as_str())][..],
        &[("authorization", bearer.as_str()), ("Authorization", "Basic YTpi")],
        &[("authorization", bearer.as_str()), ("authorization", "")],
        &[("authorization", "Bearer a, Bearer b")],
        &[("authorization", "Bearer  a")],
    ] {
        let reply = fixture.send(Method::Get, "/mcp", headers);
        assert_eq!((reply.status(), reply.error().as_str()), (400, "invalid_request"), "{headers:?}");
        assert_eq!(reply.reason, "malformed_credentials", "{headers:?}");
    }
    for target in ["/mcp?access_token=x", "/mcp?a=1&%61ccess_token="] {
        let reply = fixture.send(Method::Get, target, &[("authorization", &bearer)]);
        let answered = (reply.status(), reply.error(), reply.reason);
        assert_eq!(answered, (400, "invalid_request".to_owned(), "token_in_url"), "{target}");
    }
    forwarded(fixture.call("/mcp", &token));
}

#[test]
fn a_token_that_is_not_ours_for_this_resource_and_session_is_refused() {
    let (fixture, token) = with_token();
    let (head, _) = token.rsplit_once('.').unwrap();
    let (_, rest) = token.split_once('.').unwrap();
    let headed = |header: &str| format!("{}.{rest}", base64url::encode(header.as_bytes()));
    let mut tokens = vec![
        ("x".to_owned(), "token_malformed"),
        (headed("{}"), "token_malformed_header"),
        (headed(r#"{"alg":"none"}"#), "token_unsupported_algorithm"),
        (headed(r#"{"alg":"ES256","crit":["x"]}"#), "token_forbidden_header"),
        (format!("{head}.{}", "A".repeat(86)), "token_bad_signature"),
        (fixture.sign(&claims(&token)), "token_unknown_key"),
        (forged(&fixture, &token, "JWT", |_| {}), "token_wrong_type"),
        (forged(&fixture, &token, "at+jwt", |claims| *claims = json!([])), "token_not_claims"),
        (forged(&fixture, &token, "at+jwt", |claims| claims["aud"] = json!(API)), "token_wrong_audience"),
        (
            forged(&fixture, &token, "at+jwt", |claims| claims["iss"] = json!("https://other.example")),
            "token_wrong_issuer",
        ),
        (forged(&fixture, &token, "at+jwt", |claims| claims["exp"] = json!(NOW)), "token_expired"),
        (forged(&fixture, &token, "at+jwt", |claims| claims["exp"] = json!("x")), "token_malformed_claim"),
        (forged(&fixture, &token, "at+jwt", |claims| claims["exp"] = json!(null)), "token_malformed_claim"),
        (
            forged(&fixture, &token, "at+jwt", |claims| drop(claims.as_object_mut().unwrap().remove("exp"))),
            "token_lacks_claim",
        ),
        (forged(&fixture, &token, "at+jwt", |claims| claims["sub"] = json!("another-user")), "session_of_another"),
        (
            forged(&fixture, &token, "at+jwt", |claims| claims["client_id"] = json!("another-client")),
            "session_of_another",
        ),
        (
            forged(&fixture, &token, "at+jwt", |claims| claims["sid"] = json!(SessionId::new([9; 16]).to_string())),
            "session_ended",
        ),
        (forged(&fixture, &token, "at+jwt", |claims| claims["sid"] = json!("x")), "token_malformed_claim"),
    ];
    for (token, reason) in tokens.drain(..) {
        let reply = replied(fixture.call("/mcp", &token));
        let answered = (reply.status(), reply.error(), reply.reason);
        assert_eq!(answered, (401, "invalid_token".to_owned(), reason), "{token}");
        let challenge = reply.header("www-authenticate").unwrap();
        assert!(challenge.contains(METADATA) && challenge.contains("error=\"invalid_token\""), "{challenge}");
        assert!(fast(&fixture, "/mcp", &token).is_none(), "and nothing of it is remembered");
    }
    assert_eq!(replied(fixture.call("/api", &token)).error(), "invalid_token", "another resource");
    forwarded(fixture.call("/mcp", &forged(&fixture, &token, "at+jwt", |_| {})));
}

#[test]
fn a_token_for_this_resource_does_not_open_another_one_with_the_same_session() {
    let (fixture, token) = with_token();
    let for_api = forged(&fixture, &token, "at+jwt", |claims| {
        claims["aud"] = json!([MCP, API]);
        claims["scope"] = json!("openid tools");
    });
    assert_eq!(replied(fixture.call("/api", &for_api)).error(), "invalid_token");
}

#[test]
fn a_token_of_a_session_that_still_waits_for_its_code_is_refused() {
    let fixture = Fixture::new();
    let (client, tokens) = fixture.logged_in();
    let code = fixture.code(&Browser::default(), &client, "alice");
    let waiting = AuthorizationCode::parse(&code, &fixture.gateway.config().key_ring).unwrap().session;
    let early = forged(&fixture, &tokens.access, "at+jwt", |claims| claims["sid"] = json!(waiting.to_string()));
    assert_eq!(replied(fixture.call("/mcp", &early)).error(), "invalid_token");
    assert_eq!(fixture.redeem(&client, &code, &[]).status(), 200);
    forwarded(fixture.call("/mcp", &early));
}

#[test]
fn a_token_without_a_needed_scope_is_told_which_ones_are_needed() {
    let fixture = Fixture::new();
    let (_, tokens) = fixture.logged_in_with(&[("resource", API), ("scope", "openid")]);
    let reply = replied(fixture.call("/api", &tokens.access));
    assert_eq!((reply.status(), reply.error().as_str()), (403, "insufficient_scope"));
    assert_eq!(reply.reason, "insufficient_scope");
    let challenge = reply.header("www-authenticate").unwrap();
    assert!(challenge.contains("scope=\"openid tools\"") && challenge.contains("error=\"insufficient_scope\""));
    assert!(challenge.contains("oauth-protected-resource/api\""), "{challenge}");
}

#[test]
fn a_back_end_that_gets_no_token_does_not_get_the_clients_either() {
    let fixture = Fixture::new();
    let (_, tokens) = fixture.logged_in_with(&[("resource", API), ("scope", "openid tools")]);
    let slow = forwarded(fixture.call("/api", &tokens.access));
    assert!(matches!(slow.credentials, Credentials::Removed));
    let hit = fast(&fixture, "/api", &tokens.access).unwrap();
    assert!(matches!(hit.credentials, Credentials::Removed));
}

#[test]
fn the_gateways_cookies_stay_here_in_however_many_fields_they_come() {
    let (fixture, token) = with_token();
    let bearer = format!("Bearer {token}");
    let own = format!("{BROWSER_COOKIE}=x");
    for (cookies, expected) in [
        (&["a=1; b=2"][..], None),
        (&["a=1", "b=2"], None),
        (&[own.as_str()], Some("")),
        (&["a=1; __Host-portcullis-csrf=y; b=2"], Some("a=1; b=2")),
        (&["a=1", own.as_str(), "b=2"], Some("a=1; b=2")),
    ] {
        let mut headers = vec![("authorization", bearer.as_str())];
        headers.extend(cookies.iter().map(|cookie| ("cookie", *cookie)));
        let forward = forwarded(fixture.handle(Fixture::request(Method::Get, "/mcp", &headers)));
        assert_eq!(forward.cookie.as_deref(), expected.map(str::as_bytes), "{cookies:?}");
    }
    let hit = fast_path::fast(
        &fixture.gateway,
        fixture.now(),
        b"/mcp",
        bearer.as_bytes(),
        Some(b"a=1; __Host-portcullis-browser=x"),
        false,
    );
    assert_eq!(hit.unwrap().cookie.as_deref(), Some(&b"a=1"[..]));
}

#[test]
fn a_login_without_upstream_tokens_has_to_be_made_again() {
    let (fixture, token) = with_token();
    fixture.advance(3600 - 5);
    fixture.expect_token_answer(400, &json!({ "error": "invalid_grant" }));
    assert!(matches!(refresh(&fixture, &token), RefreshOutcome::LoginRequired));
    let reply = replied(fixture.call("/mcp", &token));
    assert_eq!((reply.status(), reply.reason), (401, "session_ended"), "the session has ended with them");
    assert!(reply.header("www-authenticate").unwrap().contains(METADATA));
}

#[test]
fn ahead_of_its_expiry_a_token_still_serves_and_its_refresh_is_asked_for() {
    let (fixture, token) = with_token();
    fixture.advance(3540 - 1);
    forwarded(fixture.call("/mcp", &token));
    assert_eq!(fixture.ports.take_refreshes(), []);
    fixture.advance(1);
    assert!(fast(&fixture, "/mcp", &token).is_none(), "the slow path has to ask");
    assert_eq!(injected(&forwarded(fixture.call("/mcp", &token))).1, "Bearer upstream-access-1");
    assert_eq!(fixture.ports.take_refreshes(), [upstream_of(session(&token))]);
}

#[test]
fn an_expired_upstream_token_is_awaited_and_every_outcome_decides() {
    let (fixture, token) = with_token();
    fixture.advance(3595);
    let decide = || awaited(fixture.call("/mcp", &token), session(&token));

    let reply = resolved_reply(decide()(&RefreshOutcome::LoginRequired));
    assert_eq!((reply.status(), reply.reason), (401, "upstream_login_required"));
    for outcome in [RefreshOutcome::Unavailable, RefreshOutcome::InProgressElsewhere] {
        let reply = resolved_reply(decide()(&outcome));
        assert_eq!((reply.status(), reply.reason), (503, "upstream_unavailable"));
        assert!(reply.header("retry-after").is_some() && reply.header("www-authenticate").is_none());
    }

    let waiting = decide();
    fixture.expect_token_answer(200, &renewed());
    let outcome = refresh(&fixture, &token);
    let forward = resolved_forward(waiting(&outcome));
    assert_eq!(injected(&forward).1, "Bearer upstream-access-2");
    assert_eq!(injected(&forwarded(fixture.call("/mcp", &token))).1, "Bearer upstream-access-2");
    assert_eq!(injected(&fast(&fixture, "/mcp", &token).unwrap()).1, "Bearer upstream-access-2", "and is remembered");
}
