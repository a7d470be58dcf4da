//! The table of `sessions.rs`: each state of a session and the provider's grant behind it, through
//! calls, refreshes and a login.

use portcullis_gateway::decision::{Decision, Resolved};
use portcullis_gateway::ports::Store;
use portcullis_gateway::sessions::keys::{session_key, upstream_key};
use portcullis_gateway::upstream::refresh::{self, Cause};
use portcullis_storage_api::{Key, Ttl};
use portcullis_testkit::fakes::block_on;
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::fixture::{Fixture, Tokens, code_of, document, provider_id, resolved_reply, tokens_of};
use crate::refresh::{renewed, session, stored};

/// A row of the table.
struct Row {
    state: &'static str,
    /// The login.
    log_in: fn(&Fixture, &str) -> Tokens,
    /// Puts a login into the state.
    enter: fn(&Fixture, &Tokens),
    /// What the provider's token endpoint answers to a refresh of its own, if it is asked.
    provider: Option<(u16, fn() -> Value)>,
    /// The status of a call.
    call: u16,
    /// The status of a refresh that is the first thing to happen.
    refresh_first: u16,
    /// The status of a refresh after a call.
    refresh_after: u16,
}

const REFUSED: fn() -> Value = || json!({ "error": "invalid_grant" });
const MISCONFIGURED: fn() -> Value = || json!({ "error": "invalid_client" });
const OUTAGE: fn() -> Value = || json!({});

const TABLE: [Row; 14] = [
    row("fresh", |_, _| {}, None, [200, 200, 200]),
    row("due", |fixture, _| fixture.advance(3_600 - 60), Some((200, renewed)), [200, 200, 200]),
    row("run out and renewed", run_out, Some((200, renewed)), [200, 200, 200]),
    row("run out in an outage", run_out, Some((503, OUTAGE)), [503, 200, 200]),
    row("our credentials refused", run_out, Some((401, MISCONFIGURED)), [503, 200, 200]),
    row("our credentials refused for an hour", refused_for_an_hour, Some((401, MISCONFIGURED)), [401, 200, 400]),
    row("the grant refused", run_out, Some((400, REFUSED)), [401, 200, 400]),
    without_refresh_token(row("no refresh token", |_, _| {}, None, [200, 200, 200])),
    without_refresh_token(row("no refresh token and run out", run_out, None, [401, 400, 400])),
    row("upstream tokens absent", |fixture, tokens| delete(fixture, &upstream(tokens)), None, [401, 400, 400]),
    row(
        "upstream tokens of a secret that is gone",
        |fixture, tokens| damage(fixture, &upstream(tokens), 1),
        None,
        [401, 400, 400],
    ),
    row("session ended", |fixture, tokens| delete(fixture, &session_key(session(tokens))), None, [401, 400, 400]),
    row(
        "session unreadable",
        |fixture, tokens| damage(fixture, &session_key(session(tokens)), 40),
        None,
        [401, 400, 400],
    ),
    row("session expired", |fixture, _| fixture.advance(168 * 3_600 + 3_600), None, [401, 400, 400]),
];

const fn row(
    state: &'static str,
    enter: fn(&Fixture, &Tokens),
    provider: Option<(u16, fn() -> Value)>,
    [call, refresh_first, refresh_after]: [u16; 3],
) -> Row {
    Row { state, log_in, enter, provider, call, refresh_first, refresh_after }
}

const fn without_refresh_token(row: Row) -> Row {
    Row { log_in: |fixture, client| log_in_without(fixture, client, "alice"), ..row }
}

#[test]
fn a_call_a_refresh_and_a_login_say_in_each_state_what_the_table_says() {
    for Row { state, log_in: begin, enter, provider, call, refresh_first, refresh_after } in TABLE {
        for first_refreshes in [false, true] {
            let fixture = Fixture::configured(&long_tokens());
            let client = fixture.register();
            let mut tokens = begin(&fixture, &client);
            enter(&fixture, &tokens);
            let _ = fixture.ports.take_sent();
            let ask = || {
                if let Some((status, body)) = provider {
                    fixture.expect_token_answer(status, &body());
                }
            };
            if first_refreshes {
                let reply = fixture.refresh(&client, &tokens.refresh, &[]);
                assert_eq!(reply.status(), refresh_first, "{state}: a refresh: {}", reply.text());
                if reply.status() == 200 {
                    tokens = tokens_of(&reply);
                }
            }
            ask();
            assert_eq!(called(&fixture, &tokens.access), call, "{state}: a call");
            assert_eq!(fixture.ports.calls_left(), 0, "{state}: the provider is asked");
            let reply = fixture.refresh(&client, &tokens.refresh, &[]);
            assert_eq!(reply.status(), refresh_after, "{state}: a refresh after a call: {}", reply.text());
            if call == 401 {
                assert_eq!(reply.error(), "invalid_grant", "{state}");
                assert_eq!(called(&fixture, &tokens.access), 401, "{state}: again");
            }
            if !fixture.gateway.providers_due(fixture.now(), true).is_empty() {
                fixture.expect_documents();
                fixture.warm();
            }
            let again = log_in(&fixture, &client);
            assert_eq!(called(&fixture, &again.access), 200, "{state}: after a login");
            tokens_of(&fixture.refresh(&client, &again.refresh, &[]));
        }
    }
}

#[test]
fn a_provider_that_was_moved_or_renamed_has_no_tokens_of_its_former_self() {
    for (name, value) in [("name", json!("other")), ("issuer", json!("https://moved.example"))] {
        for first_refreshes in [false, true] {
            let before = Fixture::configured(&long_tokens());
            let client = before.register();
            let tokens = log_in(&before, &client);
            let mut moved = long_tokens();
            match name {
                "name" => {
                    moved["upstreamProviders"][0]["name"] = value.clone();
                    moved["resources"][0]["inject"]["providerName"] = value.clone();
                }
                _ => moved["upstreamProviders"][0]["oidcConfig"]["issuerUrl"] = value.clone(),
            }
            let after = before.with_clock_at(&moved, before.now());
            if !first_refreshes {
                assert_eq!(called(&after, &tokens.access), 401, "{name}");
            }
            assert_eq!(after.refresh(&client, &tokens.refresh, &[]).error(), "invalid_grant", "{name}");
            assert_eq!(called(&after, &tokens.access), 401, "{name}");
        }
    }
}

#[test]
fn a_login_that_brings_no_refresh_token_goes_on_with_the_last_one_of_its_user_and_client() {
    let fixture = Fixture::configured(&long_tokens());
    let (client, other) = (fixture.register(), fixture.register());
    let first = log_in(&fixture, &client);
    let kept = |tokens: &Tokens| {
        let upstream = stored(&fixture, session(tokens)).unwrap();
        upstream.refresh_token.map(|token| token.expose().clone())
    };
    let second = log_in_without(&fixture, &client, "alice");
    assert_eq!(kept(&second).as_deref(), Some("upstream-refresh-1"));
    // The last one, even where the older session has got another since.
    fixture.advance(3_600);
    fixture.expect_token_answer(200, &renewed());
    assert_eq!(called(&fixture, &second.access), 200);
    assert_eq!(kept(&log_in_without(&fixture, &client, "alice")).as_deref(), Some("upstream-refresh-2"));
    // Of no other user or client.
    assert_eq!(kept(&log_in_without(&fixture, &client, "bob")), None);
    assert_eq!(kept(&log_in_without(&fixture, &other, "alice")), None);
    assert_eq!(kept(&first).as_deref(), Some("upstream-refresh-1"));
}

#[test]
fn what_ended_or_was_never_redeemed_is_not_gone_on_with() {
    let fixture = Fixture::configured(&long_tokens());
    let client = fixture.register();
    // A code that was not redeemed does not push the session out that has the token.
    let kept = log_in(&fixture, &client);
    fixture.code(&Browser::default(), &client, "alice");
    fixture.advance(3_000);
    let next = log_in_without(&fixture, &client, "alice");
    assert!(stored(&fixture, session(&next)).unwrap().refresh_token.is_some());
    for tokens in [&kept, &next] {
        let form = [("token", tokens.refresh.as_str()), ("client_id", &client)];
        assert_eq!(fixture.post("/oauth/revoke", &form).reason, "token_revoked");
    }
    let after = log_in_without(&fixture, &client, "alice");
    assert!(stored(&fixture, session(&after)).unwrap().refresh_token.is_none(), "it was revoked with its session");
}

#[test]
fn the_last_refresh_token_is_gone_on_with_for_ninety_days() {
    const DAY: u64 = 24 * 3_600;
    let mut document = long_tokens();
    document["tokenLifespans"]["refreshToken"] = json!("720h");
    for (age, is_kept) in [(90 * DAY - 1, true), (90 * DAY, false)] {
        let fixture = Fixture::configured(&document);
        let client = fixture.register();
        let mut tokens = log_in(&fixture, &client);
        for _ in 0..3 {
            fixture.advance(29 * DAY);
            tokens = tokens_of(&fixture.refresh(&client, &tokens.refresh, &[]));
            fixture.expect_token_answer(200, &renewed());
            assert_eq!(called(&fixture, &tokens.access), 200);
        }
        fixture.advance(age - 3 * 29 * DAY);
        let next = log_in_without(&fixture, &client, "alice");
        assert_eq!(stored(&fixture, session(&next)).unwrap().refresh_token.is_some(), is_kept, "{age}");
    }
}

/// Access tokens that outlive the provider's, so that these are what a call stands on.
fn long_tokens() -> Value {
    let mut document = document();
    document["tokenLifespans"] = json!({ "accessToken": "24h" });
    document
}

fn log_in(fixture: &Fixture, client: &str) -> Tokens {
    let code = fixture.code(&Browser::default(), client, "alice");
    tokens_of(&fixture.redeem(client, &code, &[]))
}

/// A login at which the provider gives no refresh token.
fn log_in_without(fixture: &Fixture, client: &str, user: &str) -> Tokens {
    let browser = Browser::default();
    let asked = fixture.start(&browser, client);
    let mut answer = Fixture::token_answer(&fixture.sign(&fixture.claims(user, &asked["nonce"])));
    answer.as_object_mut().unwrap().remove("refresh_token");
    fixture.expect_token_answer(200, &answer);
    let code = code_of(&fixture.visit(&browser, &Fixture::callback(&asked)));
    tokens_of(&fixture.redeem(client, &code, &[]))
}

/// The status of a call, with what the root does for it.
fn called(fixture: &Fixture, token: &str) -> u16 {
    let resolved = match fixture.call("/mcp", token) {
        Decision::Resolved(resolved) => resolved,
        Decision::AwaitUpstream { token, decide } => {
            decide(&block_on(refresh::refresh(fixture.gateway.clone(), token, Cause::Due, fixture.ports.clone())))
        }
        Decision::AwaitProvider { .. } | Decision::AwaitKeys { .. } => panic!("waits for the provider's documents"),
    };
    for token in fixture.ports.take_refreshes() {
        block_on(refresh::refresh(fixture.gateway.clone(), token, Cause::Due, fixture.ports.clone()));
    }
    match resolved {
        Resolved::Continue(_) => 200,
        refused @ Resolved::Respond(..) => resolved_reply(refused).status(),
    }
}

fn run_out(fixture: &Fixture, _: &Tokens) {
    fixture.advance(3_600);
}

/// The provider has refused for an hour, from its first refusal on.
fn refused_for_an_hour(fixture: &Fixture, tokens: &Tokens) {
    run_out(fixture, tokens);
    fixture.expect_token_answer(401, &MISCONFIGURED());
    assert_eq!(called(fixture, &tokens.access), 503);
    fixture.advance(3_600);
}

fn upstream(tokens: &Tokens) -> Key {
    upstream_key(&session_key(session(tokens)), provider_id())
}

fn delete(fixture: &Fixture, key: &Key) {
    block_on(fixture.store.delete(key)).unwrap();
}

/// Changes a byte of a record; the first ones name the secret that sealed it.
fn damage(fixture: &Fixture, key: &Key, byte: usize) {
    let mut value = block_on(fixture.store.get(key)).unwrap().unwrap().value;
    value[byte] ^= 1;
    block_on(fixture.store.put(key, value, Ttl::Seconds(3_600))).unwrap();
}
