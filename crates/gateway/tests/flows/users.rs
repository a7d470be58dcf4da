//! A user's `sub` follows from the account at the provider and from nothing that can be lost.

use std::rc::Rc;

use portcullis_gateway::state::gateway::Gateway;
use portcullis_protocol::credentials::UserId;
use portcullis_protocol::jose::jws::Jws;
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::fixture::{Fixture, compiled, document, forwarded, tokens_of};

const OLD: &str = "a-development-secret-of-32-bytes-at-least";
const NEW: &str = "another-development-secret-of-32-bytes-too";

/// The `sub` of the tokens of an account that logs in.
fn sub(fixture: &Fixture, account: &str) -> String {
    let client = fixture.register();
    let tokens = tokens_of(&fixture.redeem(&client, &fixture.code(&Browser::default(), &client, account), &[]));
    forwarded(fixture.call("/mcp", &tokens.access));
    let claims: Value = serde_json::from_slice(Jws::parse(&tokens.access).unwrap().payload_bytes()).unwrap();
    claims["sub"].as_str().unwrap().to_owned()
}

#[test]
fn an_account_has_the_same_sub_after_a_restart_that_lost_every_record() {
    let before = Fixture::new();
    let alice = sub(&before, "alice");
    assert_eq!(UserId::parse(&alice).map(|id| id.to_string()).as_ref(), Some(&alice));
    assert_eq!(sub(&before, "alice"), alice);
    let after = Fixture::new();
    assert_eq!(sub(&after, "alice"), alice);
    assert_ne!(sub(&after, "bob"), alice);
}

#[test]
fn an_account_has_the_same_sub_while_the_gateways_secrets_are_replaced() {
    let mut fixture = Fixture::new();
    let subs: Vec<String> = [&[OLD][..], &[NEW, OLD], &[NEW]]
        .into_iter()
        .map(|secrets| {
            let mut document = document();
            document["secrets"] = secrets.iter().map(|secret| json!({ "inline": secret })).collect();
            fixture.gateway = Rc::new(Gateway::new(compiled(&document), 7));
            fixture.expect_documents();
            fixture.warm();
            sub(&fixture, "alice")
        })
        .collect();
    assert!(subs.iter().all(|sub| *sub == subs[0]), "{subs:?}");
}
