//! The store is unavailable for a while: what was proven before keeps working, everything else gets
//! "try later", and no client hears that its credentials are bad.

use portcullis_gateway::decision::{Decision, Forward, RefreshOutcome};
use portcullis_gateway::resource_server::{fast_path, session_check};
use portcullis_gateway::upstream::refresh;
use portcullis_protocol::credentials::SessionId;
use portcullis_protocol::jose::jws::Jws;
use portcullis_testkit::fakes::block_on;
use serde_json::{Value, json};

use crate::browser::{Browser, Reply};
use crate::fixture::{API, Fixture, REDIRECT, forwarded, injected, replied, resolved_reply, tokens_of, upstream_of};

fn come_back(reply: &Reply) {
    assert_eq!(reply.status(), 503, "{} {}", reply.reason, reply.text());
    assert!(reply.header("retry-after").is_some() && reply.header("www-authenticate").is_none());
    assert!(!reply.text().contains("invalid_"), "{}", reply.text());
}

fn fast(fixture: &Fixture, target: &str, token: &str) -> Option<Forward> {
    fast_path::fast(
        &fixture.gateway,
        fixture.now(),
        target.as_bytes(),
        format!("Bearer {token}").as_bytes(),
        None,
        false,
    )
}

/// What the root task does on its tick; gives how many sessions it looked up.
fn tick(fixture: &Fixture) -> usize {
    let due = fixture.gateway.take_rechecks(64);
    let count = due.len();
    for entry in due {
        block_on(session_check::recheck(fixture.gateway.clone(), entry, fixture.ports.clone()));
    }
    count
}

fn session(token: &str) -> SessionId {
    let claims: Value = serde_json::from_slice(Jws::parse(token).unwrap().payload_bytes()).unwrap();
    SessionId::parse(claims["sid"].as_str().unwrap()).unwrap()
}

fn api_token(fixture: &Fixture) -> String {
    let scopes = [("resource", API), ("scope", "openid tools")];
    fixture.logged_in_with(&scopes).1.access
}

#[test]
fn every_step_of_a_login_is_told_to_come_back_and_works_when_the_store_is_there_again() {
    let fixture = Fixture::new();
    let browser = Browser::default();
    let metadata = json!({ "redirect_uris": [REDIRECT] });
    let away = |step: &dyn Fn() -> Reply| {
        fixture.store.set_unreachable(true);
        come_back(&step());
        fixture.store.set_unreachable(false);
    };

    away(&|| fixture.register_with(&metadata));
    let client = fixture.register();
    let target = Fixture::authorization(&client, &[]);
    away(&|| fixture.visit(&browser, &target));
    let form = fixture.consent_page(&browser, &client, &[]);
    let asked = fixture.approve(&browser, &form);
    away(&|| fixture.visit(&browser, &Fixture::callback(&asked)));
    let code = crate::fixture::code_of(&fixture.return_from_provider(&browser, &asked, "alice"));
    away(&|| fixture.redeem(&client, &code, &[]));
    let tokens = tokens_of(&fixture.redeem(&client, &code, &[]));
    away(&|| fixture.refresh(&client, &tokens.refresh, &[]));
    away(&|| replied(fixture.call("/mcp", &tokens.access)));
    forwarded(fixture.call("/mcp", &tokens.access));
    tokens_of(&fixture.refresh(&client, &tokens.refresh, &[]));
    assert_eq!(fixture.ports.take_ended(), []);
}

#[test]
fn a_proven_token_in_use_works_until_it_expires_and_no_request_waits_for_the_store() {
    let fixture = Fixture::new();
    let token = api_token(&fixture);
    forwarded(fixture.call("/api", &token));
    fixture.store.set_unreachable(true);
    let verbs = fixture.store.verbs();
    for _ in 0..1_799 {
        fixture.advance(2);
        assert!(fast(&fixture, "/api", &token).is_some(), "at {}", fixture.now());
        tick(&fixture);
    }
    let asked = fixture.store.verbs() - verbs;
    assert!((500..=720).contains(&asked), "one question in about five seconds: {asked}");
    fixture.advance(2);
    assert!(fast(&fixture, "/api", &token).is_none());
    assert_eq!(replied(fixture.call("/api", &token)).reason, "token_expired");
}

#[test]
fn a_proven_token_that_is_seldom_used_works_too() {
    let fixture = Fixture::new();
    let token = api_token(&fixture);
    forwarded(fixture.call("/api", &token));
    fixture.store.set_unreachable(true);
    for _ in 0..17 {
        fixture.advance(200);
        assert!(fast(&fixture, "/api", &token).is_none(), "the store is to be asked first");
        forwarded(fixture.call("/api", &token));
        assert!(fast(&fixture, "/api", &token).is_some(), "and not again for each request");
    }
    fixture.advance(200);
    assert_eq!(replied(fixture.call("/api", &token)).reason, "token_expired");
}

#[test]
fn a_token_that_was_not_seen_before_is_neither_let_through_nor_called_bad() {
    let fixture = Fixture::new();
    let token = api_token(&fixture);
    let (_, other) = fixture.logged_in();
    forwarded(fixture.call("/api", &token));
    fixture.store.set_unreachable(true);
    come_back(&replied(fixture.call("/mcp", &other.access)));
    // What is proven for one resource is proven for no other.
    assert_eq!(replied(fixture.call("/mcp", &token)).reason, "token_wrong_audience");
}

#[test]
fn a_session_that_other_workers_saw_end_is_over_while_the_store_is_away() {
    let fixture = Fixture::new();
    let token = api_token(&fixture);
    forwarded(fixture.call("/api", &token));
    fixture.store.set_unreachable(true);
    fixture.gateway.forget_sessions(&[session(&token)]);
    assert!(fast(&fixture, "/api", &token).is_none());
    come_back(&replied(fixture.call("/api", &token)));
}

#[test]
fn a_session_that_ended_on_another_envoy_is_refused_after_its_next_background_lookup() {
    let fixture = Fixture::new();
    let token = api_token(&fixture);
    forwarded(fixture.call("/api", &token));
    fixture.store.inner.wipe();
    fixture.advance(29);
    assert!(fast(&fixture, "/api", &token).is_some());
    assert_eq!(tick(&fixture), 0, "it is too early to ask");
    fixture.advance(1);
    for _ in 0..100 {
        assert!(fast(&fixture, "/api", &token).is_some(), "no request waits for the answer");
    }
    assert_eq!(tick(&fixture), 1, "and it is asked for once");
    assert!(fast(&fixture, "/api", &token).is_none());
    assert_eq!(replied(fixture.call("/api", &token)).reason, "session_ended");
}

#[test]
fn a_session_that_lives_is_looked_up_every_half_minute_and_never_waited_for() {
    let fixture = Fixture::new();
    let token = api_token(&fixture);
    forwarded(fixture.call("/api", &token));
    let verbs = fixture.store.verbs();
    for _ in 0..300 {
        fixture.advance(1);
        assert!(fast(&fixture, "/api", &token).is_some());
        tick(&fixture);
    }
    assert_eq!(fixture.store.verbs() - verbs, 10);
}

#[test]
fn what_is_asked_for_is_bounded_and_nothing_is_lost_by_it() {
    let fixture = Fixture::new();
    let tokens: Vec<String> = (0..3).map(|_| api_token(&fixture)).collect();
    for token in &tokens {
        forwarded(fixture.call("/api", token));
    }
    fixture.advance(30);
    for token in &tokens {
        assert!(fast(&fixture, "/api", token).is_some());
    }
    assert_eq!(fixture.gateway.take_rechecks(2).len(), 2);
    assert_eq!(fixture.gateway.take_rechecks(2).len(), 1);
    assert_eq!(fixture.gateway.take_rechecks(2).len(), 0);
    // They were taken without result: they are asked for again.
    fixture.advance(5);
    for token in &tokens {
        assert!(fast(&fixture, "/api", token).is_some());
    }
    assert_eq!(tick(&fixture), 3);
}

#[test]
fn a_due_upstream_token_is_injected_while_it_is_valid_and_not_a_second_longer() {
    let fixture = Fixture::new();
    let (_, tokens) = fixture.logged_in();
    let token = tokens.access;
    forwarded(fixture.call("/mcp", &token));
    fixture.store.set_unreachable(true);
    // From 3540 on it is due for renewal, from 3595 on it is of no use.
    for now in [3_539_u64, 1, 54] {
        fixture.advance(now);
        let forward = fast(&fixture, "/mcp", &token).unwrap_or_else(|| forwarded(fixture.call("/mcp", &token)));
        assert_eq!(injected(&forward).1, "Bearer upstream-access-1");
    }
    fixture.advance(1);
    let Decision::AwaitUpstream { token: awaited, decide } = fixture.call("/mcp", &token) else { panic!("decided") };
    assert_eq!(awaited, upstream_of(session(&token)));
    let outcome = block_on(refresh::refresh(fixture.gateway.clone(), awaited, fixture.ports.clone()));
    assert!(matches!(outcome, RefreshOutcome::Unavailable));
    come_back(&resolved_reply(decide(&outcome)));
}

#[test]
fn a_thousand_calls_whose_upstream_token_ran_out_ask_the_store_nothing() {
    let fixture = Fixture::new();
    let (_, tokens) = fixture.logged_in();
    fixture.advance(3_590);
    forwarded(fixture.call("/mcp", &tokens.access));
    fixture.advance(5);
    let verbs = fixture.store.verbs();
    for _ in 0..1_000 {
        assert!(matches!(fixture.call("/mcp", &tokens.access), Decision::AwaitUpstream { .. }));
    }
    assert_eq!(fixture.store.verbs(), verbs);
    let renewed = json!({ "access_token": "upstream-access-2", "token_type": "Bearer", "expires_in": 3600 });
    fixture.expect_token_answer(200, &renewed);
    block_on(refresh::refresh(fixture.gateway.clone(), upstream_of(session(&tokens.access)), fixture.ports.clone()));
    let forward = fast(&fixture, "/mcp", &tokens.access).unwrap();
    assert_eq!(injected(&forward).1, "Bearer upstream-access-2");
}
