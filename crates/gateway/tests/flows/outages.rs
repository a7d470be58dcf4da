//! When the store or the random generator is away, the answer is "try later", never a verdict on
//! anybody's credentials.

use crate::browser::{Browser, Reply};
use crate::watched::Failing;
use crate::world::{World, code_of, forwarded, replied, tokens_of};
use portcullis_gateway::resource_server::fast_path;

/// Fails one store verb after the other until `step` gets through without meeting the failure;
/// gives how many there were.
fn fails_at_every_verb(world: &World, step: impl Fn() -> Reply) -> u32 {
    for passing in 0..20 {
        world.store.fail_after(passing);
        let reply = step();
        if world.store.call_off() {
            return passing;
        }
        is_unavailable(&reply, passing);
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
    let world = World::new();
    let metadata = serde_json::json!({ "redirect_uris": ["https://client.example/callback"] });
    assert_eq!(fails_at_every_verb(&world, || world.register_with(&metadata)), 5, "four limits and the client");
}

#[test]
fn an_authorization_request_fails_at_every_step() {
    let world = World::new();
    let (browser, client) = (Browser::default(), world.register());
    world.code(&browser, &client, "alice");
    let target = World::authorization(&client, &[]);
    let verbs = fails_at_every_verb(&world, || world.visit(&browser, &target));
    assert_eq!(verbs, 3, "the client, the prompt that is due, the remembered consent");
}

#[test]
fn a_consent_needs_no_store() {
    let world = World::new();
    let (browser, client) = (Browser::default(), world.register());
    let form = world.consent_page(&browser, &client, &[]);
    world.store.set_away(true);
    world.approve(&browser, &form);
}

#[test]
fn a_callback_fails_at_every_step() {
    let world = World::new();
    let client = world.register();
    let mut verbs = 0;
    for passing in 0..20 {
        let browser = Browser::default();
        let asked = world.start(&browser, &client);
        let id_token = world.sign(&world.claims("alice", &asked["nonce"]));
        // The first two verbs come before the provider is asked.
        if passing >= 2 {
            world.expect_token_answer(200, &World::token_answer(&id_token));
        }
        world.store.fail_after(passing);
        let reply = world.visit(&browser, &World::callback(&asked));
        if world.store.call_off() {
            code_of(&reply);
            verbs = passing;
            break;
        }
        is_unavailable(&reply, passing);
    }
    // Draw from the limit and use the login up, find the user, remember the consent, read the
    // client, store tokens and session. The user is only created once.
    assert!((7..=9).contains(&verbs), "{verbs}");
}

#[test]
fn a_code_fails_with_the_store_and_is_not_spent_before_it_is_written() {
    // Read the client, and the session with its upstream tokens; keep those; write the session.
    for passing in 0..4 {
        let world = World::new();
        let client = world.register();
        let code = world.code(&Browser::default(), &client, "alice");
        world.store.fail_after(passing);
        is_unavailable(&world.redeem(&client, &code, &[]), passing);
        assert!(!world.store.call_off());
        tokens_of(&world.redeem(&client, &code, &[]));
    }
}

#[test]
fn a_refresh_fails_with_the_store_and_may_be_tried_again() {
    // Read the client, the session with its upstream tokens; keep those; replace the refresh token.
    let before = (0..4).map(|passing| (passing, Failing::Before));
    for (passing, failing) in before.chain([(2, Failing::AfterDoing), (3, Failing::AfterDoing)]) {
        let world = World::new();
        let (client, tokens) = world.logged_in();
        world.store.set_failing(failing);
        world.store.fail_after(passing);
        is_unavailable(&world.refresh(&client, &tokens.refresh, &[]), passing);
        assert!(!world.store.call_off());
        assert_eq!(world.ports.take_ended(), []);
        // However late the client comes back.
        world.advance(24 * 3600);
        let next = tokens_of(&world.refresh(&client, &tokens.refresh, &[]));
        tokens_of(&world.refresh(&client, &next.refresh, &[]));
    }
}

#[test]
fn a_client_whose_registration_could_not_be_renewed_gets_its_tokens_all_the_same() {
    let world = World::new();
    let (client, tokens) = world.logged_in();
    world.store.fail_after(4);
    tokens_of(&world.refresh(&client, &tokens.refresh, &[]));
    assert!(!world.store.call_off());
}

#[test]
fn a_replay_that_cannot_be_acted_upon_is_not_told_as_done() {
    let world = World::new();
    let (client, tokens) = world.logged_in();
    tokens_of(&world.refresh(&client, &tokens.refresh, &[]));
    world.advance(31);
    // Read the client and the session; the deletion fails.
    world.store.fail_after(2);
    is_unavailable(&world.refresh(&client, &tokens.refresh, &[]), 2);
    assert_eq!(world.refresh(&client, &tokens.refresh, &[]).reason, "refresh_token_replayed");
    assert_eq!(world.ports.take_ended().len(), 1);
}

#[test]
fn a_call_fails_at_every_step_but_not_for_a_token_that_was_just_proven() {
    let world = World::new();
    let (_, tokens) = world.logged_in();
    world.store.fail_after(0);
    is_unavailable(&replied(world.call("/mcp", &tokens.access)), 0);
    forwarded(world.call("/mcp", &tokens.access));
    world.store.fail_after(0);
    let authorization = format!("Bearer {}", tokens.access);
    assert!(fast_path::fast(&world.gateway, world.now(), b"/mcp", authorization.as_bytes(), None).is_some());
    assert!(world.store.call_off(), "the store was not asked");
}

#[test]
fn a_store_that_lost_everything_sends_the_client_back_to_the_start() {
    let world = World::new();
    let (client, tokens) = world.logged_in();
    world.store.inner.wipe();
    assert_eq!(replied(world.call("/mcp", &tokens.access)).status(), 401);
    let reply = world.refresh(&client, &tokens.refresh, &[]);
    assert_eq!((reply.status(), reply.error().as_str()), (401, "invalid_client"));
}

#[test]
fn without_randomness_nothing_secret_is_made() {
    let world = World::new();
    let (browser, client) = (Browser::default(), world.register());
    let form = world.consent_page(&browser, &client, &[]);
    let other = World::authorization(&client, &[]);
    let (login, tokens) = world.logged_in();
    world.ports.break_entropy();
    let records = world.store.inner.live();
    is_unavailable(&world.visit(&Browser::default(), &other), 0);
    is_unavailable(&world.answer_form(&browser, &form, "approve", &[]), 0);
    is_unavailable(&world.refresh(&login, &tokens.refresh, &[]), 0);
    assert_eq!(world.store.inner.live(), records);
    forwarded(world.call("/mcp", &tokens.access));
}
