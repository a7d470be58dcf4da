//! When the store or the random generator is unavailable, the answer is "try later", never a
//! verdict on credentials.

use crate::browser::{Browser, Reply};
use crate::fixture::{Fixture, code_of, error_of, forwarded, replied, tokens_of};
use portcullis_gateway::resource_server::fast_path;
use portcullis_testkit::fakes::Failing;

/// Fails one store verb after the other until `step` gets through without meeting the failure;
/// gives how many there were.
fn fails_at_every_verb(fixture: &Fixture, step: impl Fn() -> Reply) -> u32 {
    for passing in 0..20 {
        fixture.store.fail_after(passing);
        let reply = step();
        if fixture.store.call_off() {
            return passing;
        }
        is_unavailable(&reply, passing);
        assert_eq!(reply.reason, "store_unavailable", "after {passing} verbs");
    }
    panic!("more verbs than any step makes");
}

fn is_unavailable(reply: &Reply, passing: u32) {
    assert_eq!(reply.status(), 503, "after {passing} verbs: {} {}", reply.reason, reply.text());
    assert!(reply.header("retry-after").is_some() && reply.header("www-authenticate").is_none());
    assert!(!reply.text().contains("invalid_"), "{}", reply.text());
}

#[test]
fn a_registration_fails_at_every_step() {
    let fixture = Fixture::new();
    let metadata = serde_json::json!({ "redirect_uris": ["https://client.example/callback"] });
    assert_eq!(fails_at_every_verb(&fixture, || fixture.register_with(&metadata)), 1, "the limit");
}

#[test]
fn an_authorization_request_fails_at_every_step() {
    let fixture = Fixture::new();
    let (browser, client) = (Browser::default(), fixture.register());
    fixture.code(&browser, &client, "alice");
    let target = Fixture::authorization(&client, &[]);
    let verbs = fails_at_every_verb(&fixture, || fixture.visit(&browser, &target));
    assert_eq!(verbs, 3, "the client, the prompt that is due, the remembered consent");
}

#[test]
fn a_consent_needs_no_store() {
    let fixture = Fixture::new();
    let (browser, client) = (Browser::default(), fixture.register());
    let form = fixture.consent_page(&browser, &client, &[]);
    fixture.store.set_unreachable(true);
    fixture.approve(&browser, &form);
}

#[test]
fn a_refusal_of_consent_fails_with_the_store_and_may_be_sent_again() {
    let fixture = Fixture::new();
    let (browser, client) = (Browser::default(), fixture.register());
    let form = fixture.consent_page(&browser, &client, &[]);
    let verbs = fails_at_every_verb(&fixture, || fixture.answer_form(&browser, &form, "deny", &[]));
    assert_eq!(verbs, 1, "the client");
    assert_eq!(error_of(&fixture.answer_form(&browser, &form, "deny", &[])), "access_denied");
}

#[test]
fn a_callback_fails_at_every_step() {
    let fixture = Fixture::new();
    let client = fixture.register();
    let mut verbs = 0;
    for passing in 0..20 {
        let browser = Browser::default();
        let asked = fixture.start(&browser, &client);
        let id_token = fixture.sign(&fixture.claims("alice", &asked["nonce"]));
        // The first three verbs come before the provider is asked.
        if passing >= 3 {
            fixture.expect_token_answer(200, &Fixture::token_answer(&id_token));
        }
        fixture.store.fail_after(passing);
        let reply = fixture.visit(&browser, &Fixture::callback(&asked));
        if fixture.store.call_off() {
            code_of(&reply);
            verbs = passing;
            break;
        }
        is_unavailable(&reply, passing);
    }
    // Draw from the limit, read the client and use the login up, remember the consent, store tokens
    // and session.
    assert_eq!(verbs, 6);
}

#[test]
fn a_code_fails_with_the_store_and_is_not_spent_before_it_is_written() {
    // Read the client, and the session with its upstream tokens; keep those; write the session.
    for passing in 0..4 {
        let fixture = Fixture::new();
        let client = fixture.register();
        let code = fixture.code(&Browser::default(), &client, "alice");
        fixture.store.fail_after(passing);
        is_unavailable(&fixture.redeem(&client, &code, &[]), passing);
        assert!(!fixture.store.call_off());
        tokens_of(&fixture.redeem(&client, &code, &[]));
    }
}

#[test]
fn a_refresh_fails_with_the_store_and_may_be_tried_again() {
    // Read the client, the session with its upstream tokens; keep those; replace the refresh token.
    let before = (0..4).map(|passing| (passing, Failing::Before));
    for (passing, failing) in before.chain([(2, Failing::AfterDoing), (3, Failing::AfterDoing)]) {
        let fixture = Fixture::new();
        let (client, tokens) = fixture.logged_in();
        fixture.store.set_failing(failing);
        fixture.store.fail_after(passing);
        is_unavailable(&fixture.refresh(&client, &tokens.refresh, &[]), passing);
        assert!(!fixture.store.call_off());
        assert_eq!(fixture.ports.take_ended(), []);
        // However late the client comes back.
        fixture.advance(24 * 3600);
        let next = tokens_of(&fixture.refresh(&client, &tokens.refresh, &[]));
        tokens_of(&fixture.refresh(&client, &next.refresh, &[]));
    }
}

#[test]
fn a_client_whose_registration_could_not_be_renewed_gets_its_tokens_all_the_same() {
    let fixture = Fixture::new();
    let (client, tokens) = fixture.logged_in();
    fixture.store.fail_after(4);
    tokens_of(&fixture.refresh(&client, &tokens.refresh, &[]));
    assert!(!fixture.store.call_off());
}

#[test]
fn a_replay_that_cannot_be_acted_upon_is_not_told_as_done() {
    let fixture = Fixture::new();
    let (client, tokens) = fixture.logged_in();
    tokens_of(&fixture.refresh(&client, &tokens.refresh, &[]));
    fixture.advance(31);
    // Read the client and the session; the deletion fails.
    fixture.store.fail_after(2);
    is_unavailable(&fixture.refresh(&client, &tokens.refresh, &[]), 2);
    assert_eq!(fixture.refresh(&client, &tokens.refresh, &[]).reason, "refresh_token_replayed");
    assert_eq!(fixture.ports.take_ended().len(), 1);
}

#[test]
fn a_call_fails_at_every_step_but_not_for_a_token_that_was_just_proven() {
    let fixture = Fixture::new();
    let (_, tokens) = fixture.logged_in();
    fixture.store.fail_after(0);
    is_unavailable(&replied(fixture.call("/mcp", &tokens.access)), 0);
    forwarded(fixture.call("/mcp", &tokens.access));
    fixture.store.fail_after(0);
    let authorization = format!("Bearer {}", tokens.access);
    assert!(fast_path::fast(&fixture.gateway, fixture.now(), b"/mcp", authorization.as_bytes(), None, false).is_some());
    assert!(fixture.store.call_off(), "the store was not asked");
}

#[test]
fn a_store_that_lost_everything_sends_the_client_back_to_the_start() {
    let fixture = Fixture::new();
    let (client, tokens) = fixture.logged_in();
    fixture.store.inner.wipe();
    assert_eq!(replied(fixture.call("/mcp", &tokens.access)).status(), 401);
    let reply = fixture.refresh(&client, &tokens.refresh, &[]);
    assert_eq!((reply.status(), reply.error().as_str()), (400, "invalid_grant"), "the client is known");
}

#[test]
fn without_randomness_nothing_secret_is_made() {
    let fixture = Fixture::new();
    let (browser, client) = (Browser::default(), fixture.register());
    let form = fixture.consent_page(&browser, &client, &[]);
    let other = Fixture::authorization(&client, &[]);
    let (login, tokens) = fixture.logged_in();
    fixture.ports.break_entropy();
    let records = fixture.store.inner.live();
    is_unavailable(&fixture.visit(&Browser::default(), &other), 0);
    is_unavailable(&fixture.answer_form(&browser, &form, "approve", &[]), 0);
    let refresh = fixture.refresh(&login, &tokens.refresh, &[]);
    is_unavailable(&refresh, 0);
    assert_eq!(refresh.reason, "entropy_unavailable");
    assert_eq!(fixture.store.inner.live(), records);
    forwarded(fixture.call("/mcp", &tokens.access));
}
