//! The keys of trusted issuers: when they are fetched, how long they are used, and what calls get
//! meanwhile.

use std::rc::Rc;

use portcullis_gateway::decision::Decision;
use portcullis_gateway::dispatch;
use portcullis_gateway::ports::CallError;
use portcullis_gateway::resource_server::session_check;
use portcullis_protocol::http::message::Method;
use portcullis_testkit::fakes::{block_on, json_reply};
use serde_json::json;

use crate::fixture::{Fixture, NOW, forwarded};
use crate::protect::fast;
use crate::trusted_issuers::{
    CLUSTER_KEYS, CORP, CORP_DISCOVERY, ED25519, P256, P384, cluster_token, corp_claims, corp_token, expect_cluster,
    expect_corp, fixture, key_set, refusal, refused, signed, trusting,
};

#[test]
fn calls_that_come_before_the_keys_wait_for_one_fetch() {
    let fixture = Fixture::configured(&trusting());
    let token = corp_token(NOW);
    let waiting: Vec<_> = (0..100)
        .map(|_| {
            let bearer = format!("Bearer {token}");
            let request = Fixture::request(Method::Post, "/tools", &[("authorization", bearer.as_str())]);
            match block_on(dispatch::handle(Rc::clone(&fixture.gateway), request, fixture.ports.clone())) {
                Decision::AwaitKeys { issuer: 0, decide } => decide,
                Decision::Resolved(_)
                | Decision::AwaitUpstream { .. }
                | Decision::AwaitProvider { .. }
                | Decision::AwaitKeys { .. } => panic!("does not wait for the first issuer"),
            }
        })
        .collect();
    assert!(fixture.ports.take_sent().is_empty(), "a call fetches nothing");
    expect_corp(&fixture, &[("key-1", P256)]);
    fixture.fetch_keys(0);
    fixture.fetch_keys(0);
    assert_eq!(fixture.ports.take_sent().len(), 2, "discovery and keys, once");
    for decide in waiting {
        let decided = decide(&fixture.ports, fixture.now());
        forwarded(decided.into());
    }
    assert!(fast(&fixture, "/tools", &token).is_some(), "what was proven is known");
    assert_eq!(fixture.ports.take_reports(), ["idp answered", &format!("{CORP} answered")]);
}

#[test]
fn a_new_key_is_accepted_at_once_and_one_that_is_gone_within_a_minute_no_more() {
    let fixture = fixture();
    let old = corp_token(NOW);
    forwarded(fixture.call("/tools", &old));
    fixture.advance(30);
    let new = signed("key-2", P384, None, &corp_claims(fixture.now()));
    expect_corp(&fixture, &[("key-2", P384)]);
    forwarded(fixture.call("/tools", &new));
    assert_eq!(fixture.ports.take_sent().len(), 2);
    // The token is known, and its key is looked up in the background: the set is another one.
    let known = fast(&fixture, "/tools", &old);
    assert!(known.is_some());
    let rechecks = fixture.gateway.take_rechecks(8);
    assert_eq!(rechecks.len(), 1);
    for entry in rechecks {
        block_on(session_check::recheck(Rc::clone(&fixture.gateway), entry, fixture.ports.clone()));
    }
    fixture.advance(29);
    assert!(fast(&fixture, "/tools", &old).is_some());
    fixture.advance(1);
    assert!(fast(&fixture, "/tools", &old).is_none());
    expect_corp(&fixture, &[("key-2", P384)]);
    let refused = refused(&fixture, "/tools", &old);
    assert_eq!((refused.status(), refused.reason), (401, "token_unknown_issuer_key"));
}

#[test]
fn a_call_with_a_new_key_that_comes_while_the_keys_are_fetched_waits_for_them() {
    let fixture = fixture();
    fixture.advance(30);
    let bearer = format!("Bearer {}", signed("key-2", P384, None, &corp_claims(fixture.now())));
    let (gateway, ports) = (Rc::clone(&fixture.gateway), fixture.ports.clone());
    fixture.ports.serve_calls(move |call| {
        let request = Fixture::request(Method::Post, "/tools", &[("authorization", bearer.as_str())]);
        let decision = block_on(dispatch::handle(Rc::clone(&gateway), request, ports.clone()));
        assert!(matches!(decision, Decision::AwaitKeys { issuer: 0, .. }), "while {} is read", call.path);
        let discovery = json!({ "issuer": CORP, "jwks_uri": "https://corp.example/keys" }).to_string();
        Ok(json_reply(200, &if call.path == CORP_DISCOVERY { discovery } else { key_set(&[("key-2", P384)]) }))
    });
    fixture.fetch_keys(0);
    assert_eq!(fixture.ports.take_sent().len(), 2);
    let unknown = signed("key-3", P384, None, &corp_claims(fixture.now()));
    assert_eq!(refusal(&fixture, "/tools", &unknown), (401, "token_unknown_issuer_key"));
}

#[test]
fn a_token_whose_keys_are_the_same_is_served_without_being_verified_again() {
    let fixture = fixture();
    let token = cluster_token(NOW);
    forwarded(fixture.call("/tools", &token));
    for _ in 0..10 {
        fixture.advance(30);
        assert!(fast(&fixture, "/tools", &token).is_some());
        for entry in fixture.gateway.take_rechecks(8) {
            block_on(session_check::recheck(Rc::clone(&fixture.gateway), entry, fixture.ports.clone()));
        }
    }
}

#[test]
fn unknown_key_ids_cause_one_fetch_in_thirty_seconds_however_many_there_are() {
    let fixture = fixture();
    let unknown = |n: u64| signed(&format!("unknown-{n}"), P384, None, &corp_claims(NOW));
    for n in 0..50 {
        assert_eq!(refusal(&fixture, "/tools", &unknown(n)), (401, "token_unknown_issuer_key"));
    }
    for round in 0..3 {
        fixture.advance(30);
        expect_corp(&fixture, &[("key-1", P256)]);
        for n in 0..50 {
            assert_eq!(refused(&fixture, "/tools", &unknown(round * 100 + n)).reason, "token_unknown_issuer_key");
        }
        assert_eq!(fixture.ports.take_sent().len(), 2, "one fetch of discovery and keys");
        forwarded(fixture.call("/tools", &corp_token(fixture.now())));
        // The other issuer is not asked for it.
        forwarded(fixture.call("/tools", &cluster_token(NOW)));
    }
    assert_eq!(fixture.ports.calls_left(), 0);
}

#[test]
fn the_last_good_keys_are_used_until_they_are_too_old_and_then_none() {
    let mut document = trusting();
    document["trustedIssuers"][1]["maxKeyAge"] = json!("2h");
    let fixture = Fixture::configured(&document);
    expect_cluster(&fixture, &[("key-1", ED25519)]);
    fixture.fetch_keys(1);
    let _ = fixture.ports.take_sent();
    fixture.advance(3_600);
    assert_eq!(fixture.gateway.issuer_keys_due(fixture.now(), true), [0, 1]);
    for answer in [
        Ok(json_reply(500, "{}")),
        Ok(json_reply(200, "<html>")),
        Ok(json_reply(200, r#"{"keys":[]}"#)),
        Err(CallError::NoAnswer),
    ] {
        fixture.ports.expect_call("kube-api", CLUSTER_KEYS, answer);
        fixture.fetch_keys(1);
        forwarded(fixture.call("/tools", &cluster_token(fixture.now())));
        assert!(!fixture.gateway.issuer_keys_due(fixture.now(), true).contains(&1), "not again at once");
        fixture.advance(30);
    }
    assert_eq!(fixture.ports.take_sent().len(), 4);
    fixture.advance(7_200 - 3_600 - 4 * 30 - 1);
    let known = cluster_token(fixture.now());
    forwarded(fixture.call("/tools", &known));
    fixture.advance(1);
    fixture.ports.expect_call("kube-api", CLUSTER_KEYS, Err(CallError::NoAnswer));
    let reply = refused(&fixture, "/tools", &cluster_token(fixture.now()));
    assert_eq!((reply.status(), reply.reason), (503, "issuer_keys_expired"));
    assert!(reply.response.header_value("retry-after").is_some());
    assert!(reply.response.header_value("www-authenticate").is_none(), "nothing is said about the token");
    // What is known is not looked up as current, and ends.
    assert!(fast(&fixture, "/tools", &known).is_some());
    fixture.advance(60);
    assert!(fast(&fixture, "/tools", &known).is_none());
    // As soon as the issuer answers, its tokens work.
    expect_cluster(&fixture, &[("key-1", ED25519)]);
    forwarded(fixture.call("/tools", &cluster_token(fixture.now())));
}

#[test]
fn an_issuer_that_was_never_reached_says_nothing_of_its_tokens_and_disturbs_no_other() {
    let fixture = Fixture::configured(&trusting());
    fixture.ports.expect_call("corp", CORP_DISCOVERY, Err(CallError::NotSent));
    let reply = refused(&fixture, "/tools", &corp_token(NOW));
    assert_eq!((reply.status(), reply.reason), (503, "issuer_keys_unavailable"));
    expect_cluster(&fixture, &[("key-1", ED25519)]);
    forwarded(fixture.call("/tools", &cluster_token(NOW)));
    // A moment later it is not asked for each call.
    let reply = refused(&fixture, "/tools", &corp_token(NOW));
    assert_eq!((reply.status(), reply.reason), (503, "issuer_keys_unavailable"));
    fixture.advance(2);
    expect_corp(&fixture, &[("key-1", P256)]);
    forwarded(fixture.call("/tools", &corp_token(NOW)));
}

#[test]
fn documents_of_another_issuer_or_at_another_host_are_not_used() {
    for (discovery, report) in [
        (json!({ "issuer": "https://corp.example", "jwks_uri": "https://corp.example/keys" }), "provider_wrong_issuer"),
        (json!({ "jwks_uri": "https://corp.example/keys" }), "provider_invalid_documents"),
        (json!({ "issuer": CORP }), "provider_invalid_documents"),
        (json!({ "issuer": CORP, "jwks_uri": "http://corp.example/keys" }), "provider_invalid_documents"),
        (json!({ "issuer": CORP, "jwks_uri": "https://evil.example/keys" }), "provider_endpoint_without_cluster"),
    ] {
        let fixture = Fixture::configured(&trusting());
        let _ = fixture.ports.take_reports();
        fixture.ports.expect_json("corp", CORP_DISCOVERY, 200, &discovery.to_string());
        let reply = refused(&fixture, "/tools", &corp_token(NOW));
        assert_eq!((reply.status(), reply.reason), (503, "issuer_keys_unavailable"), "{discovery}");
        let reports = fixture.ports.take_reports();
        assert!(reports[0].contains(report) && reports[0].starts_with(CORP), "{reports:?}");
    }
}

#[test]
fn keys_are_fetched_as_often_as_their_server_says_within_bounds() {
    for (max_age, life) in [(None, 3_600), (Some(600), 600), (Some(1), 300), (Some(0), 300), (Some(1_000_000), 3_600)] {
        let fixture = Fixture::configured(&trusting());
        let mut reply = json_reply(200, &key_set(&[("key-1", ED25519)]));
        reply.max_age = max_age;
        fixture.ports.expect_call("kube-api", CLUSTER_KEYS, Ok(reply));
        fixture.fetch_keys(1);
        for (passed, due) in [(life - 1, false), (life, true)] {
            assert_eq!(fixture.gateway.issuer_keys_due(NOW + passed, true).contains(&1), due, "{max_age:?} {passed}");
        }
        // A VM that serves nothing has asked once, and does not again.
        assert!(!fixture.gateway.issuer_keys_due(NOW + life, false).contains(&1));
        assert!(fixture.gateway.issuer_keys_due(NOW, false).contains(&0));
    }
}
