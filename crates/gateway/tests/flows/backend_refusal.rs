//! A backend that answers 401: the challenge is the gateway's, and the provider's token is renewed
//! once.

use std::rc::Rc;

use portcullis_gateway::decision::{Decision, Grant, RefreshOutcome};
use portcullis_gateway::ports::TokenOwner;
use portcullis_gateway::resource_server::{backend_refusal, fast_path};
use portcullis_gateway::upstream::refresh::{self, Cause};
use portcullis_protocol::credentials::SessionId;
use portcullis_testkit::fakes::block_on;
use serde_json::json;

use crate::dead_ends::logged_in_without_a_refresh_token;
use crate::fixture::{Fixture, NOW, document, forwarded, injected, replied, upstream_of};
use crate::refresh::{renewed, session, stored, word};

#[test]
fn a_token_that_a_backend_rejects_is_renewed_and_the_next_call_has_the_new_one() {
    let fixture = Fixture::new();
    let (_, tokens) = fixture.logged_in();
    assert_eq!(injected(&forwarded(fixture.call("/mcp", &tokens.access))).1, "Bearer upstream-access-1");
    fixture.expect_token_answer(200, &renewed());
    let session = session(&tokens);
    assert_eq!(word(&reject(&fixture, session, fixture.now())), "ready");
    assert_eq!(injected(&forwarded(fixture.call("/mcp", &tokens.access))).1, "Bearer upstream-access-2");
    let owner = TokenOwner::Session(session);
    assert_eq!(fixture.ports.take_replaced(), [owner, owner], "when it was rejected, and when there was another");
    assert_eq!(fixture.ports.take_ended(), []);
}

#[test]
fn where_the_grant_is_over_the_session_ends_and_the_refresh_says_so() {
    let fixture = Fixture::new();
    let (client, tokens) = fixture.logged_in();
    fixture.expect_token_answer(400, &json!({ "error": "invalid_grant" }));
    assert_eq!(word(&reject(&fixture, session(&tokens), fixture.now())), "login required");
    let call = replied(fixture.call("/mcp", &tokens.access));
    assert_eq!((call.status(), call.reason), (401, "session_ended"));
    assert_eq!(fixture.refresh(&client, &tokens.refresh, &[]).error(), "invalid_grant");
}

#[test]
fn a_rejected_token_that_cannot_be_renewed_ends_the_session() {
    let fixture = Fixture::new();
    let (client, tokens) = logged_in_without_a_refresh_token(&fixture, &[]);
    assert_eq!(word(&reject(&fixture, session(&tokens), fixture.now())), "login required");
    assert_eq!(fixture.ports.take_ended(), [session(&tokens)]);
    assert_eq!(fixture.refresh(&client, &tokens.refresh, &[]).error(), "invalid_grant");
}

#[test]
fn a_backend_that_rejects_every_token_causes_one_refresh_in_half_a_minute_among_all_gateways() {
    let fixture = Fixture::new();
    let other = fixture.with_clock_at(&document(), NOW);
    other.expect_documents();
    other.warm();
    let (client, tokens) = fixture.logged_in();
    let session = session(&tokens);
    for (first, second) in [(&fixture, &other), (&other, &fixture)] {
        let _ = (fixture.ports.take_sent(), other.ports.take_sent());
        first.expect_token_answer(200, &renewed());
        for (after, at) in [(0, first), (0, first), (0, second), (29, first), (0, second)] {
            fixture.advance(after);
            other.advance(after);
            assert_eq!(word(&reject(at, session, at.now())), "ready", "as if it were not rejected");
        }
        assert_eq!((first.ports.take_sent().len(), second.ports.take_sent().len()), (1, 0));
        fixture.advance(1);
        other.advance(1);
    }
    assert_eq!(fixture.refresh(&client, &tokens.refresh, &[]).status(), 200, "a login could not help either");
}

#[test]
fn a_token_that_was_obtained_after_the_request_was_sent_is_not_the_one_that_was_rejected() {
    let fixture = Fixture::new();
    let (_, tokens) = fixture.logged_in();
    let _ = fixture.ports.take_sent();
    assert_eq!(word(&reject(&fixture, session(&tokens), fixture.now() - 1)), "ready");
    assert!(fixture.ports.take_sent().is_empty());
    assert!(stored(&fixture, session(&tokens)).unwrap().access_token.ct_eq(b"upstream-access-1"));
}

#[test]
fn while_it_is_renewed_no_call_is_sent_with_the_rejected_token() {
    let fixture = Fixture::new();
    let other = fixture.with_clock_at(&document(), NOW);
    let (_, tokens) = fixture.logged_in();
    forwarded(fixture.call("/mcp", &tokens.access));
    fixture.expect_token_answer(503, &json!({}));
    assert_eq!(word(&reject(&fixture, session(&tokens), fixture.now())), "unavailable");
    let bearer = format!("Bearer {}", tokens.access);
    let known = fast_path::fast(&fixture.gateway, fixture.now(), b"/mcp", bearer.as_bytes(), None, false);
    assert!(known.is_none(), "not by what was known before");
    for gateway in [&fixture, &other] {
        assert!(matches!(gateway.call("/mcp", &tokens.access), Decision::AwaitUpstream { .. }));
    }
}

#[test]
fn a_store_that_does_not_answer_renews_nothing_and_ends_nothing() {
    // Lock, read, lock, write, read.
    for answered in 0..5 {
        let fixture = Fixture::new();
        let (_, tokens) = fixture.logged_in();
        fixture.store.fail_after(answered);
        assert_eq!(word(&reject(&fixture, session(&tokens), fixture.now())), "unavailable", "{answered}");
        fixture.store.call_off();
        assert_eq!(fixture.ports.take_ended(), []);
        assert!(stored(&fixture, session(&tokens)).is_some());
    }
}

#[test]
fn the_challenge_is_the_gateways_and_asks_once_for_a_renewal() {
    let fixture = Fixture::new();
    let (_, tokens) = fixture.logged_in();
    let grant = forwarded(fixture.call("/mcp", &tokens.access)).grant.unwrap();
    let (session, expires_at) = (session(&tokens), NOW + 3_600);
    let upstream = Some(Rc::new(upstream_of(session)));
    assert_eq!(grant, Grant { session: Some(session), resource: 0, expires_at, upstream });
    for (now, rejected) in [(NOW, true), (NOW, false), (NOW + 29, false), (NOW + 30, true), (NOW - 3_600, true)] {
        let refusal = backend_refusal::of(&fixture.gateway, &grant, now).unwrap();
        let (metadata, rest) = refusal.challenge.split_once(", ").unwrap();
        let expected = "Bearer resource_metadata=\"https://gw.example/.well-known/oauth-protected-resource/mcp\"";
        assert_eq!(metadata, expected);
        let description = "the service behind this resource does not accept the login";
        assert_eq!(rest, format!("scope=\"openid\", error=\"invalid_token\", error_description=\"{description}\""));
        assert_eq!(refusal.rejected, rejected.then(|| upstream_of(session)), "{now}");
    }
    let without_injection = Grant { resource: 1, upstream: None, ..grant };
    let refusal = backend_refusal::of(&fixture.gateway, &without_injection, NOW).unwrap();
    assert!(refusal.challenge.contains("oauth-protected-resource/api"));
    assert_eq!(refusal.rejected, None);
    assert!(backend_refusal::of(&fixture.gateway, &Grant { resource: 2, ..grant }, NOW).is_none());
}

#[test]
fn a_refresh_that_could_outlive_its_lock_does_not_ask_the_provider() {
    for (seconds, outcome) in [(8, "ready"), (9, "unavailable")] {
        let fixture = Fixture::new();
        let (_, tokens) = fixture.logged_in();
        let _ = fixture.ports.take_sent();
        let clock = fixture.ports.clock().clone();
        // The store takes its time before it writes that the token was rejected.
        fixture.store.race(move |_, _| clock.advance(seconds));
        if outcome == "ready" {
            fixture.expect_token_answer(200, &renewed());
        }
        assert_eq!(word(&reject(&fixture, session(&tokens), fixture.now())), outcome, "{seconds} s");
        assert_eq!(fixture.ports.take_sent().len(), usize::from(outcome == "ready"));
    }
}

/// A backend answered 401 to a request that was sent at this time.
fn reject(fixture: &Fixture, session: SessionId, sent_at: u64) -> RefreshOutcome {
    let cause = Cause::Rejected { sent_at };
    block_on(refresh::refresh(fixture.gateway.clone(), upstream_of(session), cause, fixture.ports.clone()))
}
