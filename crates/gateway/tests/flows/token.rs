//! The token endpoint: what a client must prove, and what happens to a login when one does not.

use portcullis_gateway::clients::registered::client_key;
use portcullis_gateway::decision::Decision;
use portcullis_gateway::ports::Store as _;
use portcullis_gateway::resource_server::fast_path;
use portcullis_gateway::sessions::keys::{session_key, upstream_key};
use portcullis_gateway::sessions::state::Session;
use portcullis_gateway::store::records::Records;
use portcullis_gateway::upstream::tokens::Upstream;
use portcullis_protocol::credentials::{AuthorizationCode, RefreshToken};
use portcullis_protocol::http::message::Method;
use portcullis_storage_api::Ttl;
use portcullis_testkit::fakes::block_on;

use crate::browser::Browser;
use crate::fixture::{API, Fixture, MCP, NOW, REDIRECT, document, forwarded, provider_id, replied, tokens_of};

/// A client with a code that it has not redeemed.
pub(crate) fn with_code() -> (Fixture, String, String) {
    let fixture = Fixture::new();
    let client = fixture.register();
    let code = fixture.code(&Browser::default(), &client, "alice");
    (fixture, client, code)
}

#[test]
fn a_code_that_is_used_again_revokes_what_was_issued_from_it() {
    let (fixture, client, code) = with_code();
    let tokens = tokens_of(&fixture.redeem(&client, &code, &[]));
    let records = fixture.store.inner.live();
    forwarded(fixture.call("/mcp", &tokens.access));
    let replay = fixture.redeem(&client, &code, &[]);
    assert_eq!((replay.status(), replay.error().as_str(), replay.reason), (400, "invalid_grant", "code_replayed"));
    assert_eq!(fixture.ports.take_ended().len(), 1);
    assert_eq!(fixture.store.inner.live(), records - 2, "the session and its upstream tokens are gone");
    let authorization = format!("Bearer {}", tokens.access);
    assert!(fast_path::fast(&fixture.gateway, fixture.now(), b"/mcp", authorization.as_bytes(), None, false).is_none());
    assert_eq!(replied(fixture.call("/mcp", &tokens.access)).status(), 401);
    assert_eq!(fixture.refresh(&client, &tokens.refresh, &[]).error(), "invalid_grant");
}

#[test]
fn a_code_that_is_redeemed_twice_at_once_revokes_both() {
    let (fixture, client, code) = with_code();
    let (gateway, ports) = (fixture.gateway.clone(), fixture.ports.clone());
    let request =
        Fixture::request(Method::Post, "/oauth/token", &[("content-type", "application/x-www-form-urlencoded")]);
    fixture.store.race(move |_, _| {
        let faster = portcullis_gateway::dispatch::handle(gateway, request, ports);
        assert_eq!(replied(portcullis_testkit::fakes::block_on(faster)).status(), 200);
    });
    let slower = fixture.redeem(&client, &code, &[]);
    assert_eq!((slower.status(), slower.reason), (400, "code_replayed"));
    assert_eq!(fixture.ports.take_ended().len(), 1);
}

#[test]
fn whatever_does_not_fit_a_code_ends_the_login() {
    for (changed, error, reason) in [
        (("code_verifier", "another-verifier-of-forty-three-characters-x"), "invalid_grant", "code_wrong_verifier"),
        (("redirect_uri", "https://client.example/other"), "invalid_grant", "code_other_redirect"),
        (("resource", API), "invalid_target", "code_other_resource"),
    ] {
        let (fixture, client, code) = with_code();
        let refused = fixture.redeem(&client, &code, &[changed]);
        assert_eq!((refused.status(), refused.error().as_str(), refused.reason), (400, error, reason));
        assert_eq!(fixture.ports.take_ended().len(), 1);
        assert_eq!(fixture.redeem(&client, &code, &[]).error(), "invalid_grant", "one attempt: {changed:?}");
    }
    let (fixture, client, code) = with_code();
    let other = fixture.register();
    assert_eq!(fixture.redeem(&other, &code, &[]).reason, "code_other_client");
    assert_eq!(fixture.redeem(&client, &code, &[]).error(), "invalid_grant");
}

#[test]
fn the_resource_may_be_named_again() {
    let (fixture, client, code) = with_code();
    tokens_of(&fixture.redeem(&client, &code, &[("resource", &format!("{MCP}/"))]));
}

#[test]
fn a_request_that_is_malformed_does_not_use_the_code_up() {
    let (fixture, client, code) = with_code();
    for (changed, error, reason) in [
        (("grant_type", "password"), "unsupported_grant_type", "unsupported_grant_type"),
        (("grant_type", ""), "invalid_request", "token_request_lacks_parameter"),
        (("client_id", ""), "invalid_request", "token_request_lacks_parameter"),
        (("code_verifier", ""), "invalid_grant", "token_request_verifier"),
        (("code_verifier", "short"), "invalid_grant", "token_request_verifier"),
        (("resource", "mcp"), "invalid_target", "token_request_resource"),
        (("code", "not-one-of-ours"), "invalid_grant", "code_forged"),
        (("client_secret", "guess"), "invalid_client", "client_authenticated"),
        (("client_assertion", "a"), "invalid_client", "client_authenticated"),
        (("client_id", "stranger"), "invalid_client", "unknown_client"),
    ] {
        let reply = fixture.redeem(&client, &code, &[changed]);
        assert_eq!((reply.error().as_str(), reply.reason), (error, reason), "{changed:?}");
    }
    let resources = [("grant_type", "authorization_code"), ("resource", MCP), ("resource", API)];
    let two_resources = fixture.post("/oauth/token", &resources);
    assert_eq!(
        (two_resources.error().as_str(), two_resources.reason),
        ("invalid_target", "token_request_repeated_resource")
    );
    fixture.ports.set_body(b"grant_type=%zz".to_vec());
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let unread = fixture.send(Method::Post, "/oauth/token", &form);
    assert_eq!((unread.error().as_str(), unread.reason), ("invalid_request", "malformed_token_request"));
    let other_type = fixture.send(Method::Post, "/oauth/token", &[("content-type", "application/json")]);
    assert_eq!((other_type.error().as_str(), other_type.reason), ("invalid_request", "token_request_content_type"));
    let with_query = fixture.post(&format!("/oauth/token?code={code}"), &[("grant_type", "authorization_code")]);
    assert_eq!((with_query.error().as_str(), with_query.reason), ("invalid_request", "token_request_in_url"));
    tokens_of(&fixture.redeem(&client, &code, &[]));
}

#[test]
fn a_client_that_authenticates_is_refused() {
    let (fixture, client, code) = with_code();
    fixture.redeem(&client, "none", &[]);
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("authorization", "Basic YTpi")];
    let reply = fixture.send(Method::Post, "/oauth/token", &headers);
    assert_eq!((reply.status(), reply.error().as_str()), (401, "invalid_client"));
    tokens_of(&fixture.redeem(&client, &code, &[]));
}

#[test]
fn a_body_over_16_kib_is_refused() {
    let (fixture, client, code) = with_code();
    let padding = "x".repeat(16 * 1024);
    let reply = fixture.redeem(&client, &code, &[("padding", &padding)]);
    assert_eq!((reply.status(), reply.reason), (413, "body_too_large"));
    assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
    tokens_of(&fixture.redeem(&client, &code, &[]));
}

#[test]
fn a_code_expires() {
    let (fixture, client, code) = with_code();
    fixture.advance(600);
    let late = fixture.redeem(&client, &code, &[]);
    assert_eq!((late.error().as_str(), late.reason), ("invalid_grant", "code_without_session"));
}

#[test]
fn a_refresh_that_asks_for_too_much_changes_nothing() {
    let fixture = Fixture::new();
    let (client, tokens) = fixture.logged_in();
    let other = fixture.register();
    for (client, more, error, reason) in [
        (&other, &[][..], "invalid_grant", "refresh_other_client"),
        (&client, &[("scope", "openid tools")], "invalid_scope", "refresh_wider_scope"),
        (&client, &[("scope", "a  b")], "invalid_scope", "token_request_scope"),
        (&client, &[("resource", API)], "invalid_target", "refresh_other_resource"),
        (&client, &[("client_secret", "guess")], "invalid_client", "client_authenticated"),
        (&client, &[("client_id", "twice")], "invalid_request", "token_request_repeated_parameter"),
    ] {
        let reply = fixture.refresh(client, &tokens.refresh, more);
        assert_eq!((reply.error().as_str(), reply.reason), (error, reason), "{more:?}");
    }
    assert_eq!(fixture.ports.take_ended(), []);
    tokens_of(&fixture.refresh(&client, &tokens.refresh, &[]));
}

#[test]
fn a_refresh_may_narrow_the_scope_of_its_access_token_only() {
    let fixture = Fixture::new();
    let (client, tokens) = fixture.logged_in_with(&[("scope", "openid tools"), ("resource", API)]);
    let narrowed = fixture.refresh(&client, &tokens.refresh, &[("scope", "openid")]);
    assert_eq!(narrowed.json()["scope"].as_str(), Some("openid"));
    let narrowed = tokens_of(&narrowed);
    assert_eq!(replied(fixture.call("/api", &narrowed.access)).status(), 403);
    let whole = fixture.refresh(&client, &narrowed.refresh, &[]);
    assert_eq!(whole.json()["scope"].as_str(), Some("openid tools"));
    forwarded(fixture.call("/api", &tokens_of(&whole).access));
}

#[test]
fn a_refresh_token_of_somebody_elses_making_is_refused_without_a_look() {
    let fixture = Fixture::new();
    let (client, tokens) = fixture.logged_in();
    let (head, _) = tokens.refresh.rsplit_once('.').unwrap();
    let forged = format!("{head}.{}", "A".repeat(43));
    assert_eq!(fixture.refresh(&client, &forged, &[]).reason, "refresh_token_forged");
    assert_eq!(fixture.refresh(&client, &tokens.access, &[]).reason, "refresh_token_forged");
    tokens_of(&fixture.refresh(&client, &tokens.refresh, &[]));
}

#[test]
fn a_client_that_wants_no_refresh_tokens_gets_none() {
    let fixture = Fixture::new();
    let metadata = serde_json::json!({ "redirect_uris": [REDIRECT], "grant_types": ["authorization_code"] });
    let client = fixture.register_with(&metadata).json()["client_id"].as_str().unwrap().to_owned();
    let code = fixture.code(&Browser::default(), &client, "alice");
    let reply = fixture.redeem(&client, &code, &[]);
    assert_eq!(reply.status(), 200);
    assert!(reply.json().get("refresh_token").is_none());
}

#[test]
fn a_client_without_refresh_tokens_cannot_use_one_that_was_issued_before_a_change() {
    let fixture = Fixture::new();
    let (client, tokens) = fixture.logged_in();
    let session = RefreshToken::parse(&tokens.refresh, &fixture.gateway.config().key_ring).unwrap().session;
    let records = Records::new(&fixture.gateway.config().sealer, &fixture.ports);
    let key = session_key(session);
    let found = block_on(records.load::<Session>(&key)).unwrap().unwrap();
    let narrowed = Session { refreshable: false, ..found.record };
    block_on(records.save(&key, &narrowed, Ttl::Seconds(60))).unwrap();
    let reply = fixture.refresh(&client, &tokens.refresh, &[]);
    assert_eq!((reply.error().as_str(), reply.reason), ("invalid_grant", "refresh_not_granted"));
}

#[test]
fn a_code_that_a_slow_store_still_has_expires_by_the_gateways_clock() {
    let (fixture, client, code) = with_code();
    let ahead = fixture.with_clock_at(&document(), NOW + 600);
    let late = ahead.redeem(&client, &code, &[]);
    assert_eq!((late.error().as_str(), late.reason), ("invalid_grant", "code_expired"));
}

#[test]
fn a_login_ends_when_its_refresh_token_is_not_used_in_time() {
    let fixture = Fixture::new();
    let (client, tokens) = fixture.logged_in();
    fixture.advance(168 * 3600 - 1);
    let tokens = tokens_of(&fixture.refresh(&client, &tokens.refresh, &[]));
    fixture.advance(168 * 3600);
    let reply = fixture.refresh(&client, &tokens.refresh, &[]);
    assert_eq!((reply.status(), reply.reason), (400, "refresh_session_ended"));
}

#[test]
fn upstream_tokens_are_kept_as_long_as_the_login_is_refreshed() {
    let fixture = Fixture::new();
    let (client, mut tokens) = fixture.logged_in();
    for seconds in [168 * 3600 - 1, 2 * 3600] {
        fixture.advance(seconds);
        tokens = tokens_of(&fixture.refresh(&client, &tokens.refresh, &[]));
    }
    let decision = fixture.call("/mcp", &tokens.access);
    assert!(matches!(decision, Decision::AwaitUpstream { .. }), "they are there, and only have to be renewed");
}

#[test]
fn a_client_in_use_keeps_its_record_and_one_that_never_was_has_none() {
    let fixture = Fixture::new();
    let idle = fixture.register();
    let (client, tokens) = fixture.logged_in();
    let has_record = |client: &str| block_on(fixture.store.inner.get(&client_key(client))).unwrap().is_some();
    fixture.advance(24 * 3600);
    assert_eq!(fixture.visit(&Browser::default(), &Fixture::authorization(&idle, &[])).reason, "consent_shown");
    let mut tokens = tokens_of(&fixture.refresh(&client, &tokens.refresh, &[]));
    for _ in 0..6 {
        fixture.advance(6 * 24 * 3600);
        tokens = tokens_of(&fixture.refresh(&client, &tokens.refresh, &[]));
    }
    assert_eq!((has_record(&client), has_record(&idle)), (true, false));
    fixture.advance(31 * 24 * 3600);
    assert!(!has_record(&client), "30 days after its last tokens");
}

/// Whether the provider's tokens of a code's login are stored.
fn has_upstream(fixture: &Fixture, code: &str) -> bool {
    let config = fixture.gateway.config();
    let session = session_key(AuthorizationCode::parse(code, &config.key_ring).unwrap().session);
    let upstream = upstream_key(&session, provider_id());
    block_on(Records::new(&config.sealer, &fixture.ports).load::<Upstream>(&upstream)).unwrap().is_some()
}

#[test]
fn upstream_tokens_of_a_code_that_is_not_redeemed_go_with_it() {
    let (fixture, _, code) = with_code();
    fixture.advance(600);
    assert!(has_upstream(&fixture, &code), "a code redeemed in its last second finds them");
    fixture.advance(60);
    assert!(!has_upstream(&fixture, &code));
}

#[test]
fn a_refused_code_does_not_keep_upstream_tokens() {
    let (fixture, client, code) = with_code();
    fixture.redeem(&client, &code, &[("code_verifier", "another-verifier-of-forty-three-characters-or-more")]);
    assert!(!has_upstream(&fixture, &code));
}

#[test]
fn upstream_tokens_of_a_code_that_is_redeemed_last_as_long_as_the_login() {
    let (fixture, client, code) = with_code();
    fixture.advance(599);
    let tokens = tokens_of(&fixture.redeem(&client, &code, &[]));
    fixture.advance(3_599);
    assert!(
        matches!(fixture.call("/mcp", &tokens.access), Decision::AwaitUpstream { .. }),
        "they only have to be renewed"
    );
    fixture.advance(167 * 3_600);
    assert!(has_upstream(&fixture, &code));
    tokens_of(&fixture.refresh(&client, &tokens.refresh, &[]));
}
