//! What is stored is sealed: a secret can be replaced without logging anyone out, and a record that
//! is not what was put there counts as absent, and is counted.

use std::rc::Rc;

use portcullis_gateway::clients::registered::client_key;
use portcullis_gateway::ports::{Store, StoreAnomaly};
use portcullis_gateway::sessions::keys::{session_key, upstream_key};
use portcullis_gateway::state::gateway::Gateway;
use portcullis_protocol::credentials::{AuthorizationCode, SessionId};
use portcullis_protocol::jose::jws::Jws;
use portcullis_storage_api::{Key, Ttl};
use portcullis_testkit::fakes::block_on;
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::fixture::{Fixture, compiled, document, forwarded, injected, provider_id, replied, tokens_of};

const OLD: &str = "a-development-secret-of-32-bytes-at-least";
const NEW: &str = "another-development-secret-of-32-bytes-too";

/// The same fixture with a gateway that has these secrets.
fn with_secrets(fixture: &mut Fixture, secrets: &[&str]) {
    let mut document = document();
    document["secrets"] = secrets.iter().map(|secret| json!({ "inline": secret })).collect();
    fixture.gateway = Rc::new(Gateway::new(compiled(&document), 7));
}

fn session(token: &str) -> SessionId {
    let claims: Value = serde_json::from_slice(Jws::parse(token).unwrap().payload_bytes()).unwrap();
    SessionId::parse(claims["sid"].as_str().unwrap()).unwrap()
}

fn stored(fixture: &Fixture, key: &Key) -> Vec<u8> {
    block_on(fixture.store.inner.get(key)).unwrap().unwrap().value
}

fn put(fixture: &Fixture, key: &Key, value: Vec<u8>) {
    block_on(fixture.store.inner.put(key, value, Ttl::Forever)).unwrap();
}

#[test]
fn a_secret_is_replaced_in_two_steps_and_nobody_notices() {
    let mut fixture = Fixture::new();
    let (client, tokens) = fixture.logged_in();
    let key = session_key(session(&tokens.access));
    let before = stored(&fixture, &key);

    with_secrets(&mut fixture, &[NEW, OLD]);
    forwarded(fixture.call("/mcp", &tokens.access));
    assert_eq!(stored(&fixture, &key), before, "reading changes nothing");
    let tokens = tokens_of(&fixture.refresh(&client, &tokens.refresh, &[]));
    assert_ne!(stored(&fixture, &key), before);

    // Every record of the login was written since: the client, the session, the upstream tokens.
    with_secrets(&mut fixture, &[NEW]);
    assert_eq!(injected(&forwarded(fixture.call("/mcp", &tokens.access))).1, "Bearer upstream-access-1");
    let tokens = tokens_of(&fixture.refresh(&client, &tokens.refresh, &[]));
    forwarded(fixture.call("/mcp", &tokens.access));
    assert_eq!(fixture.ports.take_anomalies(), []);
}

#[test]
fn what_only_lives_on_is_stored_as_it_is() {
    let fixture = Fixture::new();
    let (client, tokens) = fixture.logged_in();
    let keys = [client_key(&client), upstream_key(&session_key(session(&tokens.access)), provider_id())];
    let before = keys.map(|key| stored(&fixture, &key));
    let tokens = tokens_of(&fixture.refresh(&client, &tokens.refresh, &[]));
    assert_eq!(keys.map(|key| stored(&fixture, &key)), before);
    assert_eq!(injected(&forwarded(fixture.call("/mcp", &tokens.access))).1, "Bearer upstream-access-1");
}

#[test]
fn a_changed_record_that_lives_on_is_still_not_believed() {
    let fixture = Fixture::new();
    let (client, tokens) = fixture.logged_in();
    let key = upstream_key(&session_key(session(&tokens.access)), provider_id());
    let mut changed = stored(&fixture, &key);
    *changed.last_mut().unwrap() ^= 1;
    put(&fixture, &key, changed);
    let tokens = tokens_of(&fixture.refresh(&client, &tokens.refresh, &[]));
    assert_eq!(replied(fixture.call("/mcp", &tokens.access)).reason, "upstream_login_required");
    assert_eq!(fixture.ports.take_anomalies(), [StoreAnomaly::Unopenable]);
    put(&fixture, &client_key(&client), b"junk".to_vec());
    assert_eq!(fixture.refresh(&client, &tokens.refresh, &[]).reason, "unknown_client");
    assert_eq!(fixture.ports.take_anomalies(), [StoreAnomaly::Unopenable]);
}

#[test]
fn a_secret_that_is_gone_takes_its_records_with_it_and_they_are_counted() {
    let mut fixture = Fixture::new();
    let (_, tokens) = fixture.logged_in();
    with_secrets(&mut fixture, &[NEW]);
    assert_eq!(replied(fixture.call("/mcp", &tokens.access)).reason, "session_unreadable");
    assert_eq!(fixture.ports.take_anomalies(), [StoreAnomaly::Unopenable]);
}

#[test]
fn a_record_moved_to_another_name_is_absent_there() {
    let fixture = Fixture::new();
    let ((_, alice), (_, mallory)) = (fixture.logged_in(), fixture.logged_in());
    let (alice, mallory) = (session(&alice.access), (session(&mallory.access), mallory.access));
    put(
        &fixture,
        &upstream_key(&session_key(mallory.0), provider_id()),
        stored(&fixture, &upstream_key(&session_key(alice), provider_id())),
    );
    assert_eq!(replied(fixture.call("/mcp", &mallory.1)).reason, "upstream_login_required");
    assert_eq!(fixture.ports.take_anomalies(), [StoreAnomaly::Unopenable]);
    put(&fixture, &session_key(mallory.0), stored(&fixture, &session_key(alice)));
    assert_eq!(replied(fixture.call("/mcp", &mallory.1)).reason, "session_unreadable");
    assert_eq!(fixture.ports.take_anomalies(), [StoreAnomaly::Unopenable]);
}

#[test]
fn a_record_with_any_bit_changed_is_absent() {
    let fixture = Fixture::new();
    let (client, tokens) = fixture.logged_in();
    let key = session_key(session(&tokens.access));
    let good = stored(&fixture, &key);
    for place in (0..good.len()).step_by(17) {
        let mut changed = good.clone();
        changed[place] ^= 1;
        put(&fixture, &key, changed);
        let reply = fixture.refresh(&client, &tokens.refresh, &[]);
        assert_eq!(reply.reason, "refresh_session_unreadable", "byte {place}");
        assert_eq!(fixture.ports.take_anomalies(), [StoreAnomaly::Unopenable]);
    }
    for strange in [&b""[..], b"x", &good[..good.len() - 1], &[good.as_slice(), b"x"].concat()] {
        put(&fixture, &key, strange.to_vec());
        assert_eq!(fixture.refresh(&client, &tokens.refresh, &[]).reason, "refresh_session_unreadable");
    }
    assert_eq!(fixture.ports.take_anomalies(), [StoreAnomaly::Unopenable; 4]);
    put(&fixture, &key, good);
    tokens_of(&fixture.refresh(&client, &tokens.refresh, &[]));
}

#[test]
fn a_session_that_was_put_back_is_absent_for_new_and_old_tokens_alike() {
    let fixture = Fixture::new();
    let (client, first) = fixture.logged_in();
    let key = session_key(session(&first.access));
    let old = stored(&fixture, &key);
    let second = tokens_of(&fixture.refresh(&client, &first.refresh, &[]));
    put(&fixture, &key, old.clone());
    let reply = fixture.refresh(&client, &second.refresh, &[]);
    assert_eq!((reply.status(), reply.error().as_str()), (400, "invalid_grant"));
    assert_eq!(reply.reason, "refresh_session_rolled_back");
    assert_eq!(fixture.ports.take_anomalies(), [StoreAnomaly::RolledBack]);
    assert_eq!(fixture.refresh(&client, &first.refresh, &[]).reason, "refresh_session_ended");
    assert_eq!(replied(fixture.call("/mcp", &second.access)).reason, "session_ended");
    assert_eq!(fixture.ports.take_ended(), [session(&first.access)]);
}

#[test]
fn a_code_and_its_token_name_a_session_that_is_unreadable_or_was_put_back() {
    let fixture = Fixture::new();
    let (browser, client) = (Browser::default(), fixture.register());
    let code = fixture.code(&browser, &client, "alice");
    let session = AuthorizationCode::parse(&code, &fixture.gateway.config().key_ring).unwrap().session;
    let key = session_key(session);
    let unredeemed = stored(&fixture, &key);
    put(&fixture, &key, b"junk".to_vec());
    let reply = fixture.redeem(&client, &code, &[]);
    assert_eq!((reply.status(), reply.error().as_str()), (400, "invalid_grant"));
    assert_eq!(reply.reason, "code_session_unreadable");
    assert_eq!(fixture.ports.take_anomalies(), [StoreAnomaly::Unopenable]);
    put(&fixture, &key, unredeemed.clone());
    let tokens = tokens_of(&fixture.redeem(&client, &code, &[]));
    put(&fixture, &key, unredeemed);
    let call = replied(fixture.call("/mcp", &tokens.access));
    assert_eq!((call.status(), call.error().as_str(), call.reason), (401, "invalid_token", "session_rolled_back"));
}
