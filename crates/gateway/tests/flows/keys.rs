//! Keys and secrets are replaced while logins go on: what the old ones made is good for as long as
//! they are there.

use std::rc::Rc;

use portcullis_gateway::state::gateway::Gateway;
use portcullis_protocol::http::message::Method;
use portcullis_protocol::jose::jws::Jws;
use portcullis_protocol::jose::keys::SigningKey;
use serde_json::{Value, json};

use crate::world::{World, compiled, document, forwarded, replied, tokens_of};

/// What every world begins with.
const OLD: &str = include_str!("../../../protocol/testdata/keys/p256.pkcs8.pem");
const NEW: &str = include_str!("../../../protocol/testdata/keys/p384.pkcs8.pem");

/// A world whose gateway has these signing keys.
fn with_keys(world: &mut World, keys: &[&str]) {
    let mut document = document();
    document["signingKeys"] = keys.iter().map(|key| json!({ "inline": key })).collect();
    world.gateway = Rc::new(Gateway::new(compiled(&document), 7));
}

fn kid(pem: &str) -> String {
    SigningKey::from_pem(pem).unwrap().kid().to_owned()
}

fn signed_by(token: &str) -> String {
    Jws::parse(token).unwrap().kid().unwrap().to_owned()
}

fn published(world: &World) -> Vec<String> {
    let keys: Value = serde_json::from_str(world.send(Method::Get, "/.well-known/jwks.json", &[]).text()).unwrap();
    keys["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_signing_key_is_replaced_in_three_steps_and_nobody_notices() {
    let mut world = World::new();
    let (client, old) = world.logged_in();
    assert_eq!(signed_by(&old.access), kid(OLD));

    with_keys(&mut world, &[OLD, NEW]);
    assert_eq!(published(&world), [kid(OLD), kid(NEW)]);
    let between = tokens_of(&world.refresh(&client, &old.refresh, &[]));
    assert_eq!(signed_by(&between.access), kid(OLD));

    with_keys(&mut world, &[NEW, OLD]);
    assert_eq!(published(&world), [kid(NEW), kid(OLD)]);
    let new = tokens_of(&world.refresh(&client, &between.refresh, &[]));
    assert_eq!(signed_by(&new.access), kid(NEW));
    for token in [&old.access, &between.access, &new.access] {
        forwarded(world.call("/mcp", token));
    }

    with_keys(&mut world, &[NEW]);
    forwarded(world.call("/mcp", &new.access));
    assert_eq!(replied(world.call("/mcp", &old.access)).status(), 401, "its key is gone");
}
