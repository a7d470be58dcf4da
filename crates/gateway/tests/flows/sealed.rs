//! What is stored is sealed: a secret can be replaced without logging anyone out, and a record that
//! is not what was put there counts as absent, and is counted.

use std::rc::Rc;

use portcullis_gateway::clients::registered::client_key;
use portcullis_gateway::config::ProviderId;
use portcullis_gateway::fakes::block_on;
use portcullis_gateway::ports::{Oddity, Store};
use portcullis_gateway::sessions::keys::{session_key, upstream_key};
use portcullis_gateway::state::gateway::Gateway;
use portcullis_protocol::credentials::SessionId;
use portcullis_protocol::jose::jws::Jws;
use portcullis_storage_api::{Key, Ttl};
use serde_json::{Value, json};

use crate::world::{World, compiled, document, forwarded, injected, replied, tokens_of};

const OLD: &str = "a-development-secret-of-32-bytes-at-least";
const NEW: &str = "another-development-secret-of-32-bytes-too";

/// The same world with a gateway that has these secrets.
fn with_secrets(world: &mut World, secrets: &[&str]) {
    let mut document = document();
    document["secrets"] = secrets.iter().map(|secret| json!({ "inline": secret })).collect();
    world.gateway = Rc::new(Gateway::new(compiled(&document), 7));
}

fn session(token: &str) -> SessionId {
    let claims: Value = serde_json::from_slice(Jws::parse(token).unwrap().payload_bytes()).unwrap();
    SessionId::parse(claims["sid"].as_str().unwrap()).unwrap()
}

fn stored(world: &World, key: &Key) -> Vec<u8> {
    block_on(world.store.inner.get(key)).unwrap().unwrap().value
}

fn put(world: &World, key: &Key, value: Vec<u8>) {
    block_on(world.store.inner.put(key, value, Ttl::Forever)).unwrap();
}

#[test]
fn a_secret_is_replaced_in_two_steps_and_nobody_notices() {
    let mut world = World::new();
    let (client, tokens) = world.logged_in();
    let key = session_key(session(&tokens.access));
    let before = stored(&world, &key);

    with_secrets(&mut world, &[NEW, OLD]);
    forwarded(world.call("/mcp", &tokens.access));
    assert_eq!(stored(&world, &key), before, "reading changes nothing");
    let tokens = tokens_of(&world.refresh(&client, &tokens.refresh, &[]));
    assert_ne!(stored(&world, &key), before);

    // Every record of the login was written since: the client, the session, the upstream tokens.
    with_secrets(&mut world, &[NEW]);
    assert_eq!(injected(&forwarded(world.call("/mcp", &tokens.access))).1, "Bearer upstream-access-1");
    let tokens = tokens_of(&world.refresh(&client, &tokens.refresh, &[]));
    forwarded(world.call("/mcp", &tokens.access));
    assert_eq!(world.ports.take_oddities(), []);
}

#[test]
fn what_only_lives_on_is_stored_as_it_is() {
    let world = World::new();
    let (client, tokens) = world.logged_in();
    let keys = [client_key(&client), upstream_key(&session_key(session(&tokens.access)), ProviderId::of("idp"))];
    let before = keys.map(|key| stored(&world, &key));
    let tokens = tokens_of(&world.refresh(&client, &tokens.refresh, &[]));
    assert_eq!(keys.map(|key| stored(&world, &key)), before);
    assert_eq!(injected(&forwarded(world.call("/mcp", &tokens.access))).1, "Bearer upstream-access-1");
}

#[test]
fn a_changed_record_that_lives_on_is_still_not_believed() {
    let world = World::new();
    let (client, tokens) = world.logged_in();
    let key = upstream_key(&session_key(session(&tokens.access)), ProviderId::of("idp"));
    let mut changed = stored(&world, &key);
    *changed.last_mut().unwrap() ^= 1;
    put(&world, &key, changed);
    let tokens = tokens_of(&world.refresh(&client, &tokens.refresh, &[]));
    assert_eq!(replied(world.call("/mcp", &tokens.access)).reason, "upstream_login_required");
    assert_eq!(world.ports.take_oddities(), [Oddity::Unopenable]);
    put(&world, &client_key(&client), b"junk".to_vec());
    assert_eq!(world.refresh(&client, &tokens.refresh, &[]).reason, "unknown_client");
    assert_eq!(world.ports.take_oddities(), [Oddity::Unopenable]);
}

#[test]
fn a_secret_that_is_gone_takes_its_records_with_it_and_they_are_counted() {
    let mut world = World::new();
    let (_, tokens) = world.logged_in();
    with_secrets(&mut world, &[NEW]);
    assert_eq!(replied(world.call("/mcp", &tokens.access)).reason, "invalid_token");
    assert_eq!(world.ports.take_oddities(), [Oddity::Unopenable]);
}

#[test]
fn a_record_moved_to_another_name_is_absent_there() {
    let world = World::new();
    let ((_, alice), (_, mallory)) = (world.logged_in(), world.logged_in());
    let (alice, mallory) = (session(&alice.access), (session(&mallory.access), mallory.access));
    put(
        &world,
        &upstream_key(&session_key(mallory.0), ProviderId::of("idp")),
        stored(&world, &upstream_key(&session_key(alice), ProviderId::of("idp"))),
    );
    assert_eq!(replied(world.call("/mcp", &mallory.1)).reason, "upstream_login_required");
    assert_eq!(world.ports.take_oddities(), [Oddity::Unopenable]);
    put(&world, &session_key(mallory.0), stored(&world, &session_key(alice)));
    assert_eq!(replied(world.call("/mcp", &mallory.1)).reason, "invalid_token");
    assert_eq!(world.ports.take_oddities(), [Oddity::Unopenable]);
}

#[test]
fn a_record_with_any_bit_changed_is_absent() {
    let world = World::new();
    let (client, tokens) = world.logged_in();
    let key = session_key(session(&tokens.access));
    let good = stored(&world, &key);
    for place in (0..good.len()).step_by(17) {
        let mut changed = good.clone();
        changed[place] ^= 1;
        put(&world, &key, changed);
        let reply = world.refresh(&client, &tokens.refresh, &[]);
        assert_eq!(reply.reason, "refresh_session_ended", "byte {place}");
        assert_eq!(world.ports.take_oddities(), [Oddity::Unopenable]);
    }
    for strange in [&b""[..], b"x", &good[..good.len() - 1], &[good.as_slice(), b"x"].concat()] {
        put(&world, &key, strange.to_vec());
        assert_eq!(world.refresh(&client, &tokens.refresh, &[]).reason, "refresh_session_ended");
    }
    assert_eq!(world.ports.take_oddities(), [Oddity::Unopenable; 4]);
    put(&world, &key, good);
    tokens_of(&world.refresh(&client, &tokens.refresh, &[]));
}

#[test]
fn a_session_that_was_put_back_is_absent_for_new_and_old_tokens_alike() {
    let world = World::new();
    let (client, first) = world.logged_in();
    let key = session_key(session(&first.access));
    let old = stored(&world, &key);
    let second = tokens_of(&world.refresh(&client, &first.refresh, &[]));
    put(&world, &key, old.clone());
    let reply = world.refresh(&client, &second.refresh, &[]);
    assert_eq!((reply.status(), reply.error().as_str()), (400, "invalid_grant"));
    assert_eq!(reply.reason, "refresh_session_ended");
    assert_eq!(world.ports.take_oddities(), [Oddity::RolledBack]);
    assert_eq!(world.refresh(&client, &first.refresh, &[]).reason, "refresh_session_ended");
    assert_eq!(replied(world.call("/mcp", &second.access)).reason, "invalid_token");
    assert_eq!(world.ports.take_ended(), [session(&first.access)]);
}
