//! Revocation (RFC 7009): which tokens end a login, whose, and where.

use portcullis_gateway::ports::Store;
use portcullis_gateway::sessions::end::end_session;
use portcullis_gateway::sessions::ended::{self, EndedSessions, Writer, list_key};
use portcullis_gateway::sessions::keys::{session_key, upstream_key};
use portcullis_gateway::store::records;
use portcullis_protocol::credentials::SessionId;
use portcullis_protocol::http::message::Method;
use portcullis_protocol::oauth::params;
use portcullis_storage_api::Ttl;
use portcullis_testkit::fakes::block_on;
use serde_json::{Value, json};

use crate::browser::Reply;
use crate::fixture::{Fixture, Tokens, document, forwarded, provider_id, replied, tokens_of};
use crate::protect::fast;
use crate::refresh::session;

fn revoke(fixture: &Fixture, client: &str, token: &str, more: &[(&str, &str)]) -> Reply {
    let mut form = vec![("token", token), ("client_id", client)];
    form.extend_from_slice(more);
    fixture.post("/oauth/revoke", &form)
}

/// Holds when this login is over: for a call, for a refresh, and in the store.
#[track_caller]
fn assert_over(fixture: &Fixture, client: &str, tokens: &Tokens) {
    let call = replied(fixture.call("/mcp", &tokens.access));
    assert_eq!((call.status(), call.reason), (401, "session_ended"));
    assert_eq!(fixture.refresh(client, &tokens.refresh, &[]).error(), "invalid_grant");
    let key = session_key(session(tokens));
    for key in [key, upstream_key(&key, provider_id())] {
        assert!(block_on(fixture.store.get(&key)).unwrap().is_none(), "{key:?}");
    }
}

#[track_caller]
fn assert_revoked(reply: &Reply) {
    assert_eq!((reply.status(), reply.reason), (200, "token_revoked"), "{}", reply.text());
    assert_eq!((reply.text(), reply.header("cache-control")), ("", Some("no-store")));
    assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
}

#[test]
fn either_token_of_a_login_ends_it_whatever_the_hint_says() {
    for hint in [None, Some("access_token"), Some("refresh_token"), Some("a_new_type"), Some("")] {
        for of_access in [true, false] {
            let fixture = Fixture::new();
            let (client, tokens) = fixture.logged_in();
            forwarded(fixture.call("/mcp", &tokens.access));
            let token = if of_access { &tokens.access } else { &tokens.refresh };
            let hint: Vec<_> = hint.iter().map(|hint| ("token_type_hint", *hint)).collect();
            assert_revoked(&revoke(&fixture, &client, token, &hint));
            assert!(fast(&fixture, "/mcp", &tokens.access).is_none());
            assert_eq!(fixture.ports.take_ended(), [session(&tokens)], "every worker is notified");
            assert_over(&fixture, &client, &tokens);
        }
    }
}

#[test]
fn a_refresh_token_that_was_replaced_long_ago_ends_its_login() {
    let fixture = Fixture::new();
    let (client, first) = fixture.logged_in();
    let mut last = first.clone();
    for _ in 0..3 {
        fixture.advance(100);
        last = tokens_of(&fixture.refresh(&client, &last.refresh, &[]));
    }
    assert_revoked(&revoke(&fixture, &client, &first.refresh, &[]));
    assert_over(&fixture, &client, &last);
}

#[test]
fn one_login_of_a_user_ends_and_no_other() {
    let fixture = Fixture::new();
    let (client, ended) = fixture.logged_in();
    let (_, other) = fixture.logged_in();
    assert_revoked(&revoke(&fixture, &client, &ended.access, &[]));
    assert_over(&fixture, &client, &ended);
    forwarded(fixture.call("/mcp", &other.access));
}

#[test]
fn what_is_no_valid_token_here_is_answered_like_one_that_was_revoked() {
    let fixture = Fixture::new();
    let (client, tokens) = fixture.logged_in();
    let mut other = document();
    other["secrets"] = json!([{ "inline": "another-development-secret-of-32-bytes-or-more" }]);
    let other = Fixture::configured(&other);
    let foreign = other.logged_in().1.refresh;
    let (mut changed, mut cut) = (tokens.refresh.clone(), tokens.access.clone());
    changed.pop();
    changed.push('~');
    cut.truncate(cut.len() - 2);
    for token in ["no token", &foreign, &changed, &cut, "a.b.c", "pcrt_1", "\u{e9}"] {
        let reply = revoke(&fixture, &client, token, &[]);
        assert_eq!((reply.status(), reply.reason, reply.text()), (200, "nothing_revoked", ""), "{token}");
    }
    assert_eq!(fixture.ports.take_ended(), []);
    forwarded(fixture.call("/mcp", &tokens.access));
    // An access token that has expired is none any more, and neither is one of a login that ended.
    fixture.advance(3_600);
    assert_eq!(revoke(&fixture, &client, &tokens.access, &[]).reason, "nothing_revoked");
    assert_revoked(&revoke(&fixture, &client, &tokens.refresh, &[]));
    assert_eq!(revoke(&fixture, &client, &tokens.refresh, &[]).reason, "nothing_revoked");
}

#[test]
fn a_token_is_revoked_by_its_own_client_only() {
    let fixture = Fixture::new();
    let (client, tokens) = fixture.logged_in();
    let other = fixture.register();
    for token in [&tokens.access, &tokens.refresh] {
        let reply = revoke(&fixture, &other, token, &[]);
        assert_eq!((reply.status(), reply.error().as_str()), (400, "invalid_grant"));
        assert_eq!(reply.reason, "revocation_other_client");
        let reply = revoke(&fixture, "no-such-client", token, &[]);
        assert_eq!((reply.status(), reply.error().as_str()), (401, "invalid_client"));
        assert_eq!(reply.reason, "revocation_unknown_client");
        let reply = revoke(&fixture, &client, token, &[("client_secret", "secret")]);
        assert_eq!((reply.status(), reply.error().as_str()), (401, "invalid_client"));
        assert_eq!(reply.reason, "revocation_client_authenticated");
    }
    assert_eq!(fixture.ports.take_ended(), []);
    forwarded(fixture.call("/mcp", &tokens.access));
    tokens_of(&fixture.refresh(&client, &tokens.refresh, &[]));
}

#[test]
fn a_request_that_cannot_be_read_revokes_nothing() {
    let fixture = Fixture::new();
    let (client, tokens) = fixture.logged_in();
    let form = params::encode(&[("token", &tokens.refresh), ("client_id", &client)]);
    let send = |target: &str, content_type: &str, body: &str| {
        fixture.ports.set_body(body);
        fixture.send(Method::Post, target, &[("content-type", content_type)])
    };
    const FORM: &str = "application/x-www-form-urlencoded";
    let queried = format!("/oauth/revoke?{form}");
    for (target, content_type, body, reason) in [
        ("/oauth/revoke", "application/json", form.as_str(), "revocation_content_type"),
        ("/oauth/revoke", "text/plain", &form, "revocation_content_type"),
        (&queried, FORM, "", "revocation_in_url"),
        ("/oauth/revoke", FORM, "", "revocation_without_token"),
        ("/oauth/revoke", FORM, "token=t", "revocation_unnamed_client"),
        ("/oauth/revoke", FORM, "token=%", "malformed_revocation"),
        ("/oauth/revoke", FORM, &format!("{form}&client_id=c"), "revocation_repeated_parameter"),
    ] {
        let reply = send(target, content_type, body);
        assert_eq!(
            (reply.status(), reply.error().as_str()),
            (400, "invalid_request"),
            "{target} {content_type} {body}"
        );
        assert_eq!((reply.reason, reply.header("access-control-allow-origin")), (reason, Some("*")));
    }
    fixture.ports.set_body(form.as_str());
    let named = [("content-type", FORM), ("authorization", "Basic b3RoZXI6")];
    let reply = fixture.send(Method::Post, "/oauth/revoke", &named);
    assert_eq!((reply.status(), reply.reason), (400, "revocation_several_clients"));
    let reply = send("/oauth/revoke", FORM, &format!("{form}&x={}", "a".repeat(16 * 1024)));
    assert_eq!((reply.status(), reply.reason), (413, "revocation_too_large"));
    let reply = fixture.send(Method::Get, "/oauth/revoke", &[]);
    assert_eq!((reply.status(), reply.header("allow")), (405, Some("POST, OPTIONS")));
    let asked = [("origin", "https://app.example"), ("access-control-request-method", "POST")];
    let preflight = fixture.send(Method::Options, "/oauth/revoke", &asked);
    assert_eq!((preflight.status(), preflight.header("access-control-allow-methods")), (204, Some("POST")));
    forwarded(fixture.call("/mcp", &tokens.access));
}

#[test]
fn a_login_whose_end_cannot_be_stored_has_not_been_revoked_and_the_client_can_try_again() {
    // The client, the session, and the deletion of either record.
    for passing in 0..4 {
        let fixture = Fixture::new();
        let (client, tokens) = fixture.logged_in();
        fixture.store.fail_after(passing);
        let reply = revoke(&fixture, &client, &tokens.refresh, &[]);
        assert_eq!((reply.status(), reply.reason), (503, "store_unavailable"), "{passing}");
        assert!(reply.header("retry-after").is_some());
        assert_eq!(fixture.ports.take_ended(), []);
        assert_revoked(&revoke(&fixture, &client, &tokens.refresh, &[]));
        assert_over(&fixture, &client, &tokens);
    }
}

#[test]
fn the_metadata_says_where_and_how_tokens_are_revoked() {
    let fixture = Fixture::new();
    let metadata = fixture.send(Method::Get, "/.well-known/oauth-authorization-server", &[]).json();
    assert_eq!(metadata["revocation_endpoint"], "https://gw.example/oauth/revoke");
    assert_eq!(metadata["revocation_endpoint_auth_methods_supported"], json!(["none"]));
}

/// The document of a gateway whose store other Envoys share.
fn shared() -> Value {
    let mut document = document();
    document["storage"] = json!({ "type": "bridge", "cluster": "bridge", "namespace": "test", "name": "gateway" });
    document
}

/// A gateway, and another one on the same store that serves this token.
fn two_envoys() -> (Fixture, Fixture, String, Tokens) {
    let here = Fixture::configured(&shared());
    let (client, tokens) = here.logged_in();
    let there = here.with_clock_at(&shared(), here.now());
    forwarded(there.call("/mcp", &tokens.access));
    block_on(ended::read(&there.gateway, &there.ports));
    assert!(fast(&there, "/mcp", &tokens.access).is_some());
    (here, there, client, tokens)
}

#[test]
fn a_login_that_is_revoked_in_one_envoy_is_over_in_another_when_it_reads_the_list() {
    let (here, there, client, tokens) = two_envoys();
    let (_, other) = here.logged_in();
    forwarded(there.call("/mcp", &other.access));
    assert_revoked(&revoke(&here, &client, &tokens.access, &[]));
    assert!(fast(&there, "/mcp", &tokens.access).is_some(), "it is not asked about with each request");
    block_on(ended::read(&there.gateway, &there.ports));
    assert!(fast(&there, "/mcp", &tokens.access).is_none());
    assert_over(&there, &client, &tokens);
    assert!(fast(&there, "/mcp", &other.access).is_some());
}

#[test]
fn logins_that_end_at_the_same_time_are_all_on_the_list() {
    let (here, there, client, tokens) = two_envoys();
    let (second_client, second) = here.logged_in();
    forwarded(there.call("/mcp", &second.access));
    let (gateway, ports, ended) = (here.gateway.clone(), here.ports.clone(), session(&second));
    assert_revoked(&revoke(&here, &client, &tokens.access, &[]));
    let (_, third) = here.logged_in();
    forwarded(there.call("/mcp", &third.access));
    here.store.race(move |_, _| {
        block_on(end_session(&gateway, ended, &ports)).unwrap();
    });
    block_on(end_session(&here.gateway, session(&third), &here.ports)).unwrap();
    block_on(ended::read(&there.gateway, &there.ports));
    for tokens in [&tokens, &second, &third] {
        assert!(fast(&there, "/mcp", &tokens.access).is_none());
    }
    assert_over(&there, &second_client, &second);
}

#[test]
fn a_list_that_cannot_be_written_or_read_leaves_the_end_to_the_recheck() {
    let (here, there, client, tokens) = two_envoys();
    // Client, the two looks at the session and the two deletions pass; the list does not.
    here.store.fail_often_after(5, 10);
    assert_revoked(&revoke(&here, &client, &tokens.access, &[]));
    assert!(here.store.call_off());
    block_on(ended::read(&there.gateway, &there.ports));
    there.store.set_unreachable(true);
    block_on(ended::read(&there.gateway, &there.ports));
    there.store.set_unreachable(false);
    assert!(fast(&there, "/mcp", &tokens.access).is_some());
    there.advance(60);
    assert_eq!(replied(there.call("/mcp", &tokens.access)).reason, "session_ended");
}

#[test]
fn an_operators_list_and_one_that_overflowed_are_read_as_well() {
    let (here, there, _, tokens) = two_envoys();
    let write = |writer, list: &EndedSessions| {
        let key = list_key(writer);
        let sealed = records::seal(&here.gateway.config().sealer, &key, list, [writer as u8; 24]).unwrap();
        block_on(here.store.put(&key, sealed, Ttl::Seconds(60))).unwrap();
        block_on(ended::read(&there.gateway, &there.ports));
    };
    let mut list = EndedSessions::default();
    list.add(&[SessionId::new([1; 16])], here.now() * 1_000);
    write(Writer::Operator, &list);
    assert!(fast(&there, "/mcp", &tokens.access).is_some());
    let overflowed = EndedSessions { overflowed_at: Some(here.now() * 1_000), ..EndedSessions::default() };
    write(Writer::Operator, &overflowed);
    assert!(fast(&there, "/mcp", &tokens.access).is_none(), "every token is looked up again");
    forwarded(there.call("/mcp", &tokens.access));
    write(Writer::Operator, &overflowed);
    assert!(fast(&there, "/mcp", &tokens.access).is_some(), "once for each time");
    list.add(&[session(&tokens)], here.now() * 1_000);
    write(Writer::Operator, &list);
    assert!(fast(&there, "/mcp", &tokens.access).is_none());
}

#[test]
fn a_token_whose_session_has_just_ended_is_not_remembered_again() {
    let (here, there, client, tokens) = two_envoys();
    there.gateway.forget_tokens();
    let record = block_on(here.store.get(&session_key(session(&tokens)))).unwrap().unwrap();
    let upstream = upstream_key(&session_key(session(&tokens)), provider_id());
    let upstream_record = block_on(here.store.get(&upstream)).unwrap().unwrap();
    assert_revoked(&revoke(&here, &client, &tokens.access, &[]));
    block_on(ended::read(&there.gateway, &there.ports));
    // As if this lookup had been answered before the end.
    block_on(here.store.put(&session_key(session(&tokens)), record.value, Ttl::Seconds(60))).unwrap();
    block_on(here.store.put(&upstream, upstream_record.value, Ttl::Seconds(60))).unwrap();
    forwarded(there.call("/mcp", &tokens.access));
    assert!(fast(&there, "/mcp", &tokens.access).is_none());
}

#[test]
fn a_gateway_with_a_store_of_its_own_keeps_no_list() {
    let fixture = Fixture::new();
    let (client, tokens) = fixture.logged_in();
    assert_revoked(&revoke(&fixture, &client, &tokens.access, &[]));
    assert!(block_on(fixture.store.get(&list_key(Writer::Gateway))).unwrap().is_none());
}
