//! The token endpoint: what a client must prove, and what happens to a login when somebody does
//! not.

use portcullis_gateway::config::ProviderId;
use portcullis_gateway::decision::Decision;
use portcullis_gateway::fakes::block_on;
use portcullis_gateway::resource_server::fast_path;
use portcullis_gateway::sessions::keys::{session_key, upstream_key};
use portcullis_gateway::store::records::Records;
use portcullis_gateway::upstream::tokens::Upstream;
use portcullis_protocol::credentials::AuthorizationCode;
use portcullis_protocol::http::message::Method;

use crate::browser::Browser;
use crate::world::{API, MCP, REDIRECT, World, forwarded, replied, tokens_of};

/// A client with a code that it has not redeemed.
fn with_code() -> (World, String, String) {
    let world = World::new();
    let client = world.register();
    let code = world.code(&Browser::default(), &client, "alice");
    (world, client, code)
}

#[test]
fn a_code_that_is_used_again_revokes_what_was_issued_from_it() {
    let (world, client, code) = with_code();
    let records = world.store.inner.live();
    let tokens = tokens_of(&world.redeem(&client, &code, &[]));
    forwarded(world.call("/mcp", &tokens.access));
    let replay = world.redeem(&client, &code, &[]);
    assert_eq!((replay.status(), replay.error().as_str(), replay.reason), (400, "invalid_grant", "code_replayed"));
    assert_eq!(world.ports.take_ended().len(), 1);
    assert_eq!(world.store.inner.live(), records - 2, "the session and its upstream tokens are gone");
    let authorization = format!("Bearer {}", tokens.access);
    assert!(fast_path::fast(&world.gateway, world.now(), b"/mcp", authorization.as_bytes(), None).is_none());
    assert_eq!(replied(world.call("/mcp", &tokens.access)).status(), 401);
    assert_eq!(world.refresh(&client, &tokens.refresh, &[]).error(), "invalid_grant");
}

#[test]
fn a_code_that_is_redeemed_twice_at_once_revokes_both() {
    let (world, client, code) = with_code();
    let (gateway, ports) = (world.gateway.clone(), world.ports.clone());
    let request =
        World::request(Method::Post, "/oauth/token", &[("content-type", "application/x-www-form-urlencoded")]);
    world.store.race(move |_, _| {
        let faster = portcullis_gateway::dispatch::handle(gateway, request, ports);
        assert_eq!(replied(portcullis_gateway::fakes::block_on(faster)).status(), 200);
    });
    let slower = world.redeem(&client, &code, &[]);
    assert_eq!((slower.status(), slower.reason), (400, "code_replayed"));
    assert_eq!(world.ports.take_ended().len(), 1);
}

#[test]
fn whatever_does_not_fit_a_code_ends_the_login() {
    for (changed, error, reason) in [
        (("code_verifier", "another-verifier-of-forty-three-characters-x"), "invalid_grant", "code_wrong_verifier"),
        (("redirect_uri", "https://client.example/other"), "invalid_grant", "code_other_redirect"),
        (("resource", API), "invalid_target", "code_other_resource"),
    ] {
        let (world, client, code) = with_code();
        let refused = world.redeem(&client, &code, &[changed]);
        assert_eq!((refused.status(), refused.error().as_str(), refused.reason), (400, error, reason));
        assert_eq!(world.ports.take_ended().len(), 1);
        assert_eq!(world.redeem(&client, &code, &[]).error(), "invalid_grant", "one attempt: {changed:?}");
    }
    let (world, client, code) = with_code();
    let other = world.register();
    assert_eq!(world.redeem(&other, &code, &[]).reason, "code_other_client");
    assert_eq!(world.redeem(&client, &code, &[]).error(), "invalid_grant");
}

#[test]
fn the_resource_may_be_named_again() {
    let (world, client, code) = with_code();
    tokens_of(&world.redeem(&client, &code, &[("resource", &format!("{MCP}/"))]));
}

#[test]
fn a_request_that_is_malformed_does_not_use_the_code_up() {
    let (world, client, code) = with_code();
    for (changed, error) in [
        (("grant_type", "password"), "unsupported_grant_type"),
        (("grant_type", ""), "invalid_request"),
        (("client_id", ""), "invalid_request"),
        (("redirect_uri", ""), "invalid_request"),
        (("code_verifier", ""), "invalid_grant"),
        (("code_verifier", "short"), "invalid_grant"),
        (("resource", "mcp"), "invalid_target"),
        (("code", "not-one-of-ours"), "invalid_grant"),
        (("client_secret", "guess"), "invalid_client"),
        (("client_secret", ""), "invalid_client"),
        (("client_id", "stranger"), "invalid_client"),
    ] {
        assert_eq!(world.redeem(&client, &code, &[changed]).error(), error, "{changed:?}");
    }
    let other_type = world.send(Method::Post, "/oauth/token", &[("content-type", "application/json")]);
    assert_eq!(other_type.error(), "invalid_request");
    let with_query = world.post(&format!("/oauth/token?code={code}"), &[("grant_type", "authorization_code")]);
    assert_eq!(with_query.error(), "invalid_request");
    tokens_of(&world.redeem(&client, &code, &[]));
}

#[test]
fn a_client_that_authenticates_is_refused() {
    let (world, client, code) = with_code();
    world.redeem(&client, "none", &[]);
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("authorization", "Basic YTpi")];
    let reply = world.send(Method::Post, "/oauth/token", &headers);
    assert_eq!((reply.status(), reply.error().as_str()), (401, "invalid_client"));
    tokens_of(&world.redeem(&client, &code, &[]));
}

#[test]
fn a_body_over_16_kib_is_refused() {
    let (world, client, code) = with_code();
    let padding = "x".repeat(16 * 1024);
    let reply = world.redeem(&client, &code, &[("padding", &padding)]);
    assert_eq!((reply.status(), reply.reason), (413, "body_too_large"));
    assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
    tokens_of(&world.redeem(&client, &code, &[]));
}

#[test]
fn a_code_expires() {
    let (world, client, code) = with_code();
    world.advance(600);
    assert_eq!(world.redeem(&client, &code, &[]).error(), "invalid_grant");
}

#[test]
fn a_refresh_that_asks_for_too_much_changes_nothing() {
    let world = World::new();
    let (client, tokens) = world.logged_in();
    let other = world.register();
    for (client, more, error) in [
        (&other, &[][..], "invalid_grant"),
        (&client, &[("scope", "openid tools")], "invalid_scope"),
        (&client, &[("scope", "a  b")], "invalid_scope"),
        (&client, &[("resource", API)], "invalid_target"),
        (&client, &[("client_secret", "guess")], "invalid_client"),
        (&client, &[("client_id", "twice")], "invalid_request"),
    ] {
        assert_eq!(world.refresh(client, &tokens.refresh, more).error(), error, "{more:?}");
    }
    assert_eq!(world.ports.take_ended(), []);
    tokens_of(&world.refresh(&client, &tokens.refresh, &[]));
}

#[test]
fn a_refresh_may_narrow_the_scope_of_its_access_token_only() {
    let world = World::new();
    let (client, tokens) = world.logged_in_with(&[("scope", "openid tools"), ("resource", API)]);
    let narrowed = world.refresh(&client, &tokens.refresh, &[("scope", "openid")]);
    assert_eq!(narrowed.json()["scope"].as_str(), Some("openid"));
    let narrowed = tokens_of(&narrowed);
    assert_eq!(replied(world.call("/api", &narrowed.access)).status(), 403);
    let whole = world.refresh(&client, &narrowed.refresh, &[]);
    assert_eq!(whole.json()["scope"].as_str(), Some("openid tools"));
    forwarded(world.call("/api", &tokens_of(&whole).access));
}

#[test]
fn a_refresh_token_of_somebody_elses_making_is_refused_without_a_look() {
    let world = World::new();
    let (client, tokens) = world.logged_in();
    let (head, _) = tokens.refresh.rsplit_once('.').unwrap();
    let forged = format!("{head}.{}", "A".repeat(43));
    assert_eq!(world.refresh(&client, &forged, &[]).reason, "refresh_token_forged");
    assert_eq!(world.refresh(&client, &tokens.access, &[]).reason, "refresh_token_forged");
    tokens_of(&world.refresh(&client, &tokens.refresh, &[]));
}

#[test]
fn a_client_that_wants_no_refresh_tokens_gets_none() {
    let world = World::new();
    let metadata = serde_json::json!({ "redirect_uris": [REDIRECT], "grant_types": ["authorization_code"] });
    let client = world.register_with(&metadata).json()["client_id"].as_str().unwrap().to_owned();
    let code = world.code(&Browser::default(), &client, "alice");
    let reply = world.redeem(&client, &code, &[]);
    assert_eq!(reply.status(), 200);
    assert!(reply.json().get("refresh_token").is_none());
}

#[test]
fn a_login_ends_when_its_refresh_token_is_not_used_in_time() {
    let world = World::new();
    let (client, tokens) = world.logged_in();
    world.advance(168 * 3600 - 1);
    let tokens = tokens_of(&world.refresh(&client, &tokens.refresh, &[]));
    world.advance(168 * 3600);
    let reply = world.refresh(&client, &tokens.refresh, &[]);
    assert_eq!((reply.status(), reply.reason), (400, "refresh_session_ended"));
}

#[test]
fn upstream_tokens_are_kept_as_long_as_the_login_is_refreshed() {
    let world = World::new();
    let (client, mut tokens) = world.logged_in();
    for seconds in [168 * 3600 - 1, 2 * 3600] {
        world.advance(seconds);
        tokens = tokens_of(&world.refresh(&client, &tokens.refresh, &[]));
    }
    let verdict = world.call("/mcp", &tokens.access);
    assert!(matches!(verdict, Decision::AwaitUpstream { .. }), "they are there, and only have to be renewed");
}

#[test]
fn a_client_in_use_is_remembered_and_one_that_never_was_is_forgotten_after_a_day() {
    let world = World::new();
    let idle = world.register();
    let (client, tokens) = world.logged_in();
    world.advance(24 * 3600);
    assert_eq!(world.visit(&Browser::default(), &World::authorization(&idle, &[])).reason, "unknown_client");
    let mut tokens = tokens_of(&world.refresh(&client, &tokens.refresh, &[]));
    for _ in 0..6 {
        world.advance(6 * 24 * 3600);
        tokens = tokens_of(&world.refresh(&client, &tokens.refresh, &[]));
    }
}

/// Whether the provider's tokens of a code's login are stored.
fn has_upstream(world: &World, code: &str) -> bool {
    let ring = &world.gateway.config().key_ring;
    let session = session_key(AuthorizationCode::parse(code, ring).unwrap().session);
    let upstream = upstream_key(&session, ProviderId::of("idp"));
    block_on(Records::new(ring, &world.ports).load::<Upstream>(&upstream)).unwrap().is_some()
}

#[test]
fn upstream_tokens_of_a_code_that_is_not_redeemed_go_with_it() {
    let (world, _, code) = with_code();
    world.advance(600);
    assert!(has_upstream(&world, &code), "a code redeemed in its last second finds them");
    world.advance(60);
    assert!(!has_upstream(&world, &code));
}

#[test]
fn a_refused_code_does_not_keep_upstream_tokens() {
    let (world, client, code) = with_code();
    world.redeem(&client, &code, &[("code_verifier", "another-verifier-of-forty-three-characters-or-more")]);
    assert!(!has_upstream(&world, &code));
}

#[test]
fn upstream_tokens_of_a_code_that_is_redeemed_last_as_long_as_the_login() {
    let (world, client, code) = with_code();
    world.advance(599);
    let tokens = tokens_of(&world.redeem(&client, &code, &[]));
    world.advance(3_599);
    assert!(
        matches!(world.call("/mcp", &tokens.access), Decision::AwaitUpstream { .. }),
        "they only have to be renewed"
    );
    world.advance(167 * 3_600);
    assert!(has_upstream(&world, &code));
    tokens_of(&world.refresh(&client, &tokens.refresh, &[]));
}
