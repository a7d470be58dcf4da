//! The renewal of upstream tokens: at most one at a time, stored before it is used, and never
//! guessed at.

use std::cell::Cell;
use std::rc::Rc;

use portcullis_gateway::clients::registered::Client;
use portcullis_gateway::clients::registered::client_key;
use portcullis_gateway::decision::RefreshOutcome;
use portcullis_gateway::ports::{CallError, CallReply, Clock as _, Store};
use portcullis_gateway::sessions::keys::{session_key, upstream_key};
use portcullis_gateway::sessions::state::Session;
use portcullis_gateway::store::records::{self, Records};
use portcullis_gateway::upstream::refresh::{self, Cause};
use portcullis_gateway::upstream::tokens::Upstream;
use portcullis_protocol::credentials::SessionId;
use portcullis_protocol::crypto::secret::Secret;
use portcullis_protocol::jose::jws::Jws;
use portcullis_protocol::oauth::params::{Limits, Params};
use portcullis_storage_api::{Kind, Owner, Ttl};
use portcullis_testkit::fakes::block_on;
use serde_json::{Value, json};

use crate::fixture::{Fixture, Tokens, document, provider_id, upstream_of};

/// A login whose upstream token has just expired.
pub(crate) fn expired() -> (Fixture, SessionId) {
    let fixture = Fixture::new();
    let (_, tokens) = fixture.logged_in();
    fixture.advance(3600);
    let _ = fixture.ports.take_sent();
    (fixture, session(&tokens))
}

pub(crate) fn session(tokens: &Tokens) -> SessionId {
    let claims: Value = serde_json::from_slice(Jws::parse(&tokens.access).unwrap().payload_bytes()).unwrap();
    SessionId::parse(claims["sid"].as_str().unwrap()).unwrap()
}

pub(crate) fn refresh(fixture: &Fixture, session: SessionId) -> RefreshOutcome {
    block_on(refresh::refresh(fixture.gateway.clone(), upstream_of(session), Cause::Due, fixture.ports.clone()))
}

pub(crate) fn renewed() -> Value {
    json!({
        "access_token": "upstream-access-2", "refresh_token": "upstream-refresh-2", "token_type": "Bearer",
        "expires_in": 3600,
    })
}

pub(crate) fn stored(fixture: &Fixture, session: SessionId) -> Option<Upstream> {
    let records = Records::new(&fixture.gateway.config().sealer, &fixture.ports);
    block_on(records.load::<Upstream>(&upstream_key(&session_key(session), provider_id())))
        .unwrap()
        .map(|loaded| loaded.record)
}

pub(crate) fn word(outcome: &RefreshOutcome) -> &'static str {
    match outcome {
        RefreshOutcome::Ready(_) => "ready",
        RefreshOutcome::LoginRequired => "login required",
        RefreshOutcome::Refused => "refused",
        RefreshOutcome::Unavailable => "unavailable",
        RefreshOutcome::InProgressElsewhere => "elsewhere",
    }
}

#[test]
fn records_that_an_operator_lists_say_whose_they_are() {
    let fixture = Fixture::new();
    let (client, tokens) = fixture.logged_in();
    let records = Records::new(&fixture.gateway.config().sealer, &fixture.ports);
    let registered = block_on(records.load::<Client>(&client_key(&client))).unwrap().unwrap().record;
    assert_eq!(registered.id, client);
    let key = session_key(session(&tokens));
    let stored = block_on(records.load::<Session>(&key)).unwrap().unwrap().record;
    assert_eq!(stored.providers, [provider_id()]);
    let upstream = block_on(records.load::<Upstream>(&upstream_key(&key, provider_id()))).unwrap().unwrap().record;
    assert_eq!(SessionId::new(upstream.session), session(&tokens));
}

fn value(outcome: &RefreshOutcome) -> String {
    match outcome {
        RefreshOutcome::Ready(access) => String::from_utf8(access.value.expose().clone()).unwrap(),
        other @ (RefreshOutcome::LoginRequired
        | RefreshOutcome::Refused
        | RefreshOutcome::Unavailable
        | RefreshOutcome::InProgressElsewhere) => panic!("{}", word(other)),
    }
}

/// The refresh token that was sent in the only call.
fn sent_refresh_token(fixture: &Fixture) -> String {
    let sent = fixture.ports.take_sent();
    assert_eq!(sent.len(), 1);
    let form = Params::parse(&sent[0].body, Limits::OAUTH).unwrap();
    assert_eq!(form.one("grant_type").unwrap(), Some("refresh_token"));
    form.one("refresh_token").unwrap().unwrap().to_owned()
}

#[test]
fn a_rotated_token_is_stored_before_it_is_given_out_and_used_next() {
    let (fixture, session) = expired();
    fixture.expect_token_answer(200, &renewed());
    assert_eq!(value(&refresh(&fixture, session)), "Bearer upstream-access-2");
    assert_eq!(sent_refresh_token(&fixture), "upstream-refresh-1");
    assert!(stored(&fixture, session).unwrap().access_token.ct_eq(b"upstream-access-2"));

    fixture.advance(3600);
    fixture.expect_token_answer(200, &renewed());
    refresh(&fixture, session);
    assert_eq!(sent_refresh_token(&fixture), "upstream-refresh-2");
}

#[test]
fn what_the_provider_does_not_send_again_stays() {
    let (fixture, session) = expired();
    fixture.expect_token_answer(200, &json!({ "access_token": "upstream-access-2", "token_type": "bearer" }));
    assert_eq!(value(&refresh(&fixture, session)), "Bearer upstream-access-2");
    let record = stored(&fixture, session).unwrap();
    assert!(record.refresh_token.unwrap().ct_eq(b"upstream-refresh-1"));
    assert_eq!((record.expires_at, record.obtained_at), (Some(fixture.now() + 3_600), fixture.now()), "and the life");
}

#[test]
fn a_life_that_is_written_as_text_is_understood() {
    let (fixture, session) = expired();
    let mut answer = renewed();
    answer["expires_in"] = json!("600");
    fixture.expect_token_answer(200, &answer);
    refresh(&fixture, session);
    assert_eq!(stored(&fixture, session).unwrap().expires_at, Some(fixture.now() + 600));
}

#[test]
fn a_record_that_is_fresh_under_the_lock_costs_no_call() {
    let fixture = Fixture::new();
    let (_, tokens) = fixture.logged_in();
    assert_eq!(value(&refresh(&fixture, session(&tokens))), "Bearer upstream-access-1");
}

#[test]
fn a_lock_that_another_worker_holds_is_respected_and_ones_own_is_given_back() {
    let (fixture, session) = expired();
    let lock = records::key(Kind::Lock, &[b"upstream", session.as_bytes(), provider_id().as_bytes()]);
    let other = Owner([7; 16]);
    assert!(block_on(fixture.store.lock(&lock, other, 20)).unwrap());
    assert_eq!(word(&refresh(&fixture, session)), "elsewhere");
    block_on(fixture.store.unlock(&lock, other)).unwrap();
    fixture.expect_token_answer(200, &renewed());
    assert_eq!(word(&refresh(&fixture, session)), "ready");
    assert!(block_on(fixture.store.lock(&lock, other, 20)).unwrap(), "it was given back");
}

#[test]
fn a_provider_in_trouble_keeps_the_record_and_is_left_alone_for_a_moment() {
    for (status, body) in [
        (500, json!({ "error": "invalid_grant" })),
        (503, json!({})),
        (504, json!({})),
        (429, json!({})),
        (400, json!({ "error": "temporarily_unavailable" })),
        (401, json!({ "error": "invalid_client" })),
        (401, json!({})),
        (302, json!({})),
    ] {
        let (fixture, session) = expired();
        fixture.expect_token_answer(status, &body);
        assert_eq!(word(&refresh(&fixture, session)), "unavailable", "{status} {body}");
        assert!(stored(&fixture, session).unwrap().refresh_token.unwrap().ct_eq(b"upstream-refresh-1"));
        fixture.advance(1);
        assert_eq!(word(&refresh(&fixture, session)), "unavailable", "held back: no call was announced");
        fixture.advance(1);
        fixture.expect_token_answer(200, &renewed());
        assert_eq!(word(&refresh(&fixture, session)), "ready");
    }
}

#[test]
fn a_call_that_comes_to_nothing_keeps_the_record() {
    for error in [CallError::NotSent, CallError::NoAnswer] {
        let (fixture, session) = expired();
        fixture.ports.expect_call("idp", "/token", Err(error));
        assert_eq!(word(&refresh(&fixture, session)), "unavailable");
        assert!(stored(&fixture, session).is_some());
    }
}

#[test]
fn while_the_old_token_lives_a_failure_is_no_failure_and_is_not_repeated_at_once() {
    let fixture = Fixture::new();
    let (_, tokens) = fixture.logged_in();
    let session = session(&tokens);
    fixture.advance(3550);
    fixture.expect_token_answer(503, &json!({}));
    assert_eq!(value(&refresh(&fixture, session)), "Bearer upstream-access-1");
    fixture.advance(1);
    assert_eq!(word(&refresh(&fixture, session)), "unavailable", "held back: no call was announced");
    fixture.advance(1);
    fixture.expect_token_answer(200, &renewed());
    assert_eq!(value(&refresh(&fixture, session)), "Bearer upstream-access-2");
}

#[test]
fn an_answer_that_no_provider_should_give_is_refused_and_changes_nothing() {
    let text = |content_type: &str, body: &str| CallReply {
        status: 200,
        content_type: Some(content_type.to_owned()),
        from_bridge: false,
        max_age: None,
        body: body.as_bytes().to_vec(),
    };
    let good = renewed().to_string();
    let with = |name: &str, value: Value| {
        let mut answer = renewed();
        answer[name] = value;
        text("application/json", &answer.to_string())
    };
    for reply in [
        text("text/html", "<html>maintenance</html>"),
        text("text/html", &good),
        CallReply { content_type: None, ..text("", &good) },
        text("application/json", good.strip_suffix('}').unwrap()),
        text("application/json", &format!("{good} x")),
        text("application/json", &format!("[{good}]")),
        text("application/json", &good.replace("\"token_type\"", "\"access_token\":\"b\",\"token_type\"")),
        with("access_token", Value::Null),
        with("access_token", json!("")),
        with("access_token", json!(["a"])),
        with("access_token", json!("a\r\nx-admin: 1")),
        with("access_token", json!("a b")),
        with("access_token", json!("é")),
        with("access_token", json!("a".repeat(16 * 1024 + 1))),
        with("token_type", json!("mac")),
        with("token_type", Value::Null),
    ] {
        let (fixture, session) = expired();
        let shown = String::from_utf8_lossy(&reply.body).into_owned();
        fixture.ports.expect_call("idp", "/token", Ok(reply));
        assert_eq!(word(&refresh(&fixture, session)), "unavailable", "{shown}");
        assert!(stored(&fixture, session).unwrap().access_token.ct_eq(b"upstream-access-1"));
    }
}

#[test]
fn an_answer_about_somebody_else_ends_the_grant() {
    let (fixture, session) = expired();
    let mut answer = renewed();
    answer["id_token"] = json!(fixture.sign(&fixture.claims("mallory", "n")));
    fixture.expect_token_answer(200, &answer);
    assert_eq!(word(&refresh(&fixture, session)), "login required");
    assert!(stored(&fixture, session).is_none());

    let (fixture, session) = expired();
    answer["id_token"] = json!(fixture.sign(&fixture.claims("alice", "n")));
    fixture.expect_token_answer(200, &answer);
    assert_eq!(word(&refresh(&fixture, session)), "ready");
}

/// Writes upstream tokens obtained at this time right before the refresh stores its own.
fn race(fixture: &Fixture, session: SessionId, obtained_at: u64) {
    let (gateway, ports) = (fixture.gateway.clone(), fixture.ports.clone());
    let record = Upstream {
        access_token: Secret::new("upstream-access-of-another".to_owned()),
        obtained_at,
        expires_at: Some(obtained_at.saturating_add(3600)),
        ..stored(fixture, session).unwrap()
    };
    fixture.store.race(move |_, key| {
        let records = Records::new(&gateway.config().sealer, &ports);
        block_on(records.save(key, &record, Ttl::Forever)).unwrap();
    });
}

#[test]
fn a_store_that_was_written_meanwhile_keeps_the_newest_tokens() {
    let (fixture, session) = expired();
    race(&fixture, session, fixture.now() - 1);
    fixture.expect_token_answer(200, &renewed());
    assert_eq!(value(&refresh(&fixture, session)), "Bearer upstream-access-2");
    assert!(stored(&fixture, session).unwrap().access_token.ct_eq(b"upstream-access-2"));

    let (fixture, session) = expired();
    race(&fixture, session, fixture.now() + 1);
    fixture.expect_token_answer(200, &renewed());
    assert_eq!(value(&refresh(&fixture, session)), "Bearer upstream-access-of-another");
    assert!(stored(&fixture, session).unwrap().access_token.ct_eq(b"upstream-access-of-another"));
}

#[test]
fn a_session_that_was_ended_meanwhile_stays_ended() {
    let (fixture, session) = expired();
    fixture.store.race(|store, key| block_on(store.delete(key)).unwrap());
    fixture.expect_token_answer(200, &renewed());
    assert_eq!(word(&refresh(&fixture, session)), "login required");
    assert!(stored(&fixture, session).is_none());
}

#[test]
fn a_write_that_fails_is_tried_again_before_rotated_tokens_are_lost() {
    // Lock, read, then the write.
    let (fixture, session) = expired();
    fixture.expect_token_answer(200, &renewed());
    fixture.store.fail_after(2);
    assert_eq!(value(&refresh(&fixture, session)), "Bearer upstream-access-2");
    assert!(!fixture.store.call_off());
    assert!(stored(&fixture, session).unwrap().access_token.ct_eq(b"upstream-access-2"));
}

#[test]
fn where_time_can_pass_rotated_tokens_outlast_a_failover() {
    let (fixture, session) = expired();
    fixture.expect_token_answer(200, &renewed());
    fixture.ports.allow_sleeps(100);
    fixture.store.fail_often_after(2, 30);
    assert_eq!(value(&refresh(&fixture, session)), "Bearer upstream-access-2");
    assert_eq!(fixture.ports.sleeps_left(), 72, "three tries at once, then one each half a second");
    assert!(stored(&fixture, session).unwrap().access_token.ct_eq(b"upstream-access-2"));

    let (fixture, session) = expired();
    fixture.expect_token_answer(200, &renewed());
    fixture.ports.allow_sleeps(100);
    fixture.store.fail_often_after(2, 1_000);
    assert_eq!(word(&refresh(&fixture, session)), "unavailable");
    assert_eq!(fixture.ports.sleeps_left(), 60, "but not for ever: the lock runs out");
}

#[test]
fn no_refresh_outlives_its_lock_however_long_the_store_and_the_provider_take() {
    for timeout in [1, 3, 10] {
        let mut document = document();
        document["storage"] = json!({
            "type": "bridge", "cluster": "redis-bridge", "namespace": "prod", "name": "gateway",
            "timeout": format!("{timeout}s"),
        });
        let fixture = Fixture::configured(&document);
        let (_, tokens) = fixture.logged_in();
        let session = session(&tokens);
        fixture.advance(3600);
        fixture.expect_token_answer(200, &renewed());
        fixture.ports.allow_sleeps(100);
        fixture.store.fail_often_after(2, 1_000);
        // The lock and the record take as long as they may; then no try is confirmed, each at once
        // until the last one, which is answered four times in the last moment.
        let (clock, began) = (fixture.ports.clock().clone(), fixture.now());
        let last_try_ends = Rc::new(Cell::new(0));
        let ended = Rc::clone(&last_try_ends);
        fixture.store.set_pace(move || match clock.now() - began {
            0..8 => clock.advance(4),
            27 if ended.get() == 0 => {
                clock.advance(4 * timeout);
                ended.set(clock.now());
            }
            _ => {}
        });
        assert_eq!(word(&refresh(&fixture, session)), "unavailable");
        assert_eq!(last_try_ends.get(), began + 27 + 4 * timeout, "{timeout}");
        assert_eq!(fixture.now(), last_try_ends.get(), "no try follows");

        // The lock could not be given back either. It is held for longer than the provider, which
        // answered at once here, may take as well.
        fixture.store.call_off();
        fixture.store.set_pace(|| {});
        fixture.advance(15);
        assert_eq!(word(&refresh(&fixture, session)), "elsewhere", "{timeout}");
        fixture.advance(10);
        fixture.expect_token_answer(200, &renewed());
        assert_eq!(word(&refresh(&fixture, session)), "ready", "{timeout}");
    }
}

#[test]
fn a_clock_that_is_set_back_does_not_have_rotated_tokens_offered_behind_the_end_of_the_lock() {
    let (fixture, session) = expired();
    fixture.expect_token_answer(200, &renewed());
    fixture.ports.allow_sleeps(100);
    fixture.store.fail_often_after(2, 1_000);
    let (clock, verbs) = (fixture.ports.clock().clone(), Cell::new(0));
    fixture.store.set_pace(move || {
        verbs.set(verbs.get() + 1);
        if verbs.get() == 10 {
            clock.set_back(3_600);
        }
    });
    assert_eq!(word(&refresh(&fixture, session)), "unavailable");
    assert!(fixture.ports.sleeps_left() > 90, "{}", fixture.ports.sleeps_left());
}

#[test]
fn without_a_store_nothing_is_renewed_and_nothing_is_called() {
    for passing in 0..2 {
        let (fixture, session) = expired();
        fixture.store.fail_after(passing);
        assert_eq!(word(&refresh(&fixture, session)), "unavailable");
        assert!(!fixture.store.call_off() && fixture.ports.take_sent().is_empty());
    }
}
