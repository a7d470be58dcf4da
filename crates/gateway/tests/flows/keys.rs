//! Keys and secrets are replaced while logins go on: what the old ones made is good for as long as
//! they are there.

use std::rc::Rc;

use portcullis_gateway::state::gateway::Gateway;
use portcullis_protocol::http::message::Method;
use portcullis_protocol::jose::jws::Jws;
use portcullis_protocol::jose::keys::SigningKey;
use portcullis_testkit::example_keys::{P256, P384};
use serde_json::{Value, json};

use crate::fixture::{Fixture, compiled, document, forwarded, replied, tokens_of};

/// The key that every fixture begins with.
const OLD: &str = P256;
const NEW: &str = P384;

/// A fixture whose gateway has these signing keys.
fn with_keys(fixture: &mut Fixture, keys: &[&str]) {
    let mut document = document();
    document["signingKeys"] = keys.iter().map(|key| json!({ "inline": key })).collect();
    fixture.gateway = Rc::new(Gateway::new(compiled(&document), 7));
}

fn kid(pem: &str) -> String {
    SigningKey::from_pem(pem).unwrap().kid().to_owned()
}

fn signed_by(token: &str) -> String {
    Jws::parse(token).unwrap().kid().unwrap().to_owned()
}

fn published(fixture: &Fixture) -> Vec<String> {
    let keys: Value = serde_json::from_str(fixture.send(Method::Get, "/.well-known/jwks.json", &[]).text()).unwrap();
    keys["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_signing_key_is_replaced_in_three_steps_and_nobody_notices() {
    let mut fixture = Fixture::new();
    let (client, old) = fixture.logged_in();
    assert_eq!(signed_by(&old.access), kid(OLD));

    with_keys(&mut fixture, &[OLD, NEW]);
    assert_eq!(published(&fixture), [kid(OLD), kid(NEW)]);
    let between = tokens_of(&fixture.refresh(&client, &old.refresh, &[]));
    assert_eq!(signed_by(&between.access), kid(OLD));

    with_keys(&mut fixture, &[NEW, OLD]);
    assert_eq!(published(&fixture), [kid(NEW), kid(OLD)]);
    let new = tokens_of(&fixture.refresh(&client, &between.refresh, &[]));
    assert_eq!(signed_by(&new.access), kid(NEW));
    for token in [&old.access, &between.access, &new.access] {
        forwarded(fixture.call("/mcp", token));
    }

    with_keys(&mut fixture, &[NEW]);
    forwarded(fixture.call("/mcp", &new.access));
    assert_eq!(replied(fixture.call("/mcp", &old.access)).status(), 401, "its key is gone");
}
