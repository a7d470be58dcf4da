//! No dead end: where a call says that a login is needed, a refresh says so too, and the next login
//! gets past what ended the one before.

use portcullis_gateway::decision::Decision;
use portcullis_gateway::ports::{CallReply, Store};
use portcullis_gateway::sessions::keys::{session_key, upstream_key};
use portcullis_testkit::fakes::block_on;
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::fixture::{API, Fixture, Tokens, code_of, forwarded, provider_id, replied, tokens_of};
use crate::refresh::{expired, refresh, renewed, session, stored, word};

/// What the provider answers when it renews nothing for good.
fn refusals_for_good() -> [(u16, Value); 8] {
    [
        (400, json!({ "error": "invalid_grant" })),
        (401, json!({ "error": "invalid_grant" })),
        (400, json!({ "error": "interaction_required" })),
        (400, json!({ "error": "consent_required" })),
        (403, json!({ "error": "access_denied" })),
        (400, json!({ "error": "invalid_request" })),
        (404, json!({})),
        (200, json!({ "error": "bad_refresh_token" })),
    ]
}

#[test]
fn a_refusal_for_good_ends_the_session_so_that_the_client_logs_in_again() {
    for (status, body) in refusals_for_good() {
        let fixture = Fixture::new();
        let (client, tokens) = fixture.logged_in();
        let session = session(&tokens);
        fixture.advance(3600 - 5);
        fixture.expect_token_answer(status, &body);
        assert_eq!(word(&refresh(&fixture, session)), "login required", "{status} {body}");
        assert_eq!(fixture.ports.take_ended(), [session], "every worker is notified");
        assert!(stored(&fixture, session).is_none());
        let call = replied(fixture.call("/mcp", &tokens.access));
        assert_eq!((call.status(), call.reason), (401, "session_ended"), "{status} {body}");
        assert!(call.header("www-authenticate").unwrap().contains("resource_metadata"));
        let again = fixture.refresh(&client, &tokens.refresh, &[]);
        assert_eq!((again.status(), again.error().as_str()), (400, "invalid_grant"), "{status} {body}");
        assert_eq!(word(&refresh(&fixture, session)), "login required", "without another call");
    }
}

#[test]
fn what_a_provider_wants_of_the_user_is_asked_at_the_next_login_until_it_succeeds() {
    for (error, prompt) in [("interaction_required", "login"), ("consent_required", "consent")] {
        let fixture = Fixture::new();
        let (browser, client) = (Browser::default(), fixture.register());
        let code = fixture.code(&browser, &client, "alice");
        let tokens = tokens_of(&fixture.redeem(&client, &code, &[]));
        fixture.advance(3600 - 5);
        fixture.expect_token_answer(400, &json!({ "error": error }));
        assert_eq!(word(&refresh(&fixture, session(&tokens))), "login required");

        let asked = |browser: &Browser, prompt: &str| {
            let started = fixture.visit(browser, &Fixture::authorization(&client, &[("prompt", prompt)]));
            started.redirect().1
        };
        // The consent is remembered, so the browser is sent to the provider at once.
        assert_eq!(asked(&browser, "").get("prompt").map(String::as_str), Some(prompt), "and given up there");
        let login = asked(&browser, "");
        assert_eq!(login.get("prompt").map(String::as_str), Some(prompt));
        code_of(&fixture.return_from_provider(&browser, &login, "alice"));
        assert_eq!(asked(&browser, "").get("prompt"), None, "it was done");
    }
}

#[test]
fn what_a_provider_wants_of_the_user_is_forgotten_after_a_day() {
    let fixture = Fixture::new();
    let (browser, client) = (Browser::default(), fixture.register());
    let code = fixture.code(&browser, &client, "alice");
    let tokens = tokens_of(&fixture.redeem(&client, &code, &[]));
    fixture.advance(3600 - 5);
    fixture.expect_token_answer(400, &json!({ "error": "consent_required" }));
    assert_eq!(word(&refresh(&fixture, session(&tokens))), "login required");
    let asked = || fixture.visit(&browser, &Fixture::authorization(&client, &[])).redirect().1.get("prompt").cloned();
    fixture.advance(24 * 3600 - 1);
    assert_eq!(asked().as_deref(), Some("consent"));
    fixture.advance(1);
    assert_eq!(asked(), None);
}

#[test]
fn a_client_that_asks_for_a_prompt_itself_gets_its_own_and_another_users_browser_none() {
    let fixture = Fixture::new();
    let (alice, bob, client) = (Browser::default(), Browser::default(), fixture.register());
    let code = fixture.code(&alice, &client, "alice");
    let tokens = tokens_of(&fixture.redeem(&client, &code, &[]));
    fixture.code(&bob, &client, "bob");
    fixture.advance(3600 - 5);
    fixture.expect_token_answer(400, &json!({ "error": "consent_required" }));
    assert_eq!(word(&refresh(&fixture, session(&tokens))), "login required");
    let asked = |browser: &Browser, changed: &[(&str, &str)]| {
        fixture.visit(browser, &Fixture::authorization(&client, changed)).redirect().1.get("prompt").cloned()
    };
    assert_eq!(asked(&alice, &[("prompt", "login")]).as_deref(), Some("login"));
    assert_eq!(asked(&bob, &[]), None);
    assert_eq!(asked(&alice, &[]).as_deref(), Some("consent"));
}

#[test]
fn a_session_whose_end_cannot_be_stored_has_not_ended() {
    let (fixture, session) = expired();
    fixture.expect_token_answer(400, &json!({ "error": "invalid_grant" }));
    // Lock, read and unlock; then the session is deleted.
    fixture.store.fail_after(3);
    assert_eq!(word(&refresh(&fixture, session)), "unavailable");
    assert!(!fixture.store.call_off());
    assert_eq!(fixture.ports.take_ended(), []);
    fixture.advance(2);
    fixture.expect_token_answer(400, &json!({ "error": "invalid_grant" }));
    assert_eq!(word(&refresh(&fixture, session)), "login required");
}

#[test]
fn what_is_wrong_with_the_gateway_and_not_with_the_grant_ends_a_session_after_an_hour() {
    let html = || CallReply {
        status: 200,
        content_type: Some("text/html".to_owned()),
        from_bridge: false,
        max_age: None,
        body: b"<html>maintenance</html>".to_vec(),
    };
    let refuse = |fixture: &Fixture, kind: &str| match kind {
        "credentials" => fixture.expect_token_answer(401, &json!({ "error": "invalid_client" })),
        "html" => fixture.ports.expect_call("idp", "/token", Ok(html())),
        _ => fixture.expect_token_answer(503, &json!({})),
    };
    for (kind, outcome) in [("credentials", "login required"), ("html", "login required"), ("outage", "unavailable")] {
        let (fixture, session) = expired();
        for after in [0, 1_800, 1_799] {
            fixture.advance(after);
            refuse(&fixture, kind);
            assert_eq!(word(&refresh(&fixture, session)), "unavailable", "{kind}");
        }
        fixture.advance(2);
        refuse(&fixture, kind);
        assert_eq!(word(&refresh(&fixture, session)), outcome, "{kind}");
    }
}

#[test]
fn an_hour_of_refusals_is_counted_from_the_first_of_them_without_a_success_between() {
    let (fixture, session) = expired();
    let refused = |expected: &str| {
        fixture.expect_token_answer(401, &json!({ "error": "invalid_client" }));
        assert_eq!(word(&refresh(&fixture, session)), expected);
    };
    refused("unavailable");
    fixture.advance(10);
    fixture.expect_token_answer(200, &renewed());
    assert_eq!(word(&refresh(&fixture, session)), "ready");
    fixture.advance(3_600);
    refused("unavailable");
    fixture.advance(3_597);
    refused("unavailable");
    fixture.advance(3);
    refused("login required");
}

/// A login at a provider that gives no refresh token.
pub(crate) fn logged_in_without_a_refresh_token(fixture: &Fixture, changed: &[(&str, &str)]) -> (String, Tokens) {
    let (browser, client) = (Browser::default(), fixture.register());
    let form = fixture.consent_page(&browser, &client, changed);
    let asked = fixture.approve(&browser, &form);
    let mut answer = Fixture::token_answer(&fixture.sign(&fixture.claims("alice", &asked["nonce"])));
    answer.as_object_mut().unwrap().remove("refresh_token");
    fixture.expect_token_answer(200, &answer);
    let code = code_of(&fixture.visit(&browser, &Fixture::callback(&asked)));
    (client.clone(), tokens_of(&fixture.redeem(&client, &code, &[])))
}

#[test]
fn a_login_without_a_refresh_token_ends_with_its_access_token() {
    // By the call that needs it.
    let fixture = Fixture::new();
    let (client, tokens) = logged_in_without_a_refresh_token(&fixture, &[]);
    fixture.advance(3600 - 5);
    assert!(matches!(fixture.call("/mcp", &tokens.access), Decision::AwaitUpstream { .. }));
    assert_eq!(word(&refresh(&fixture, session(&tokens))), "login required");
    assert_eq!(replied(fixture.call("/mcp", &tokens.access)).status(), 401);
    assert_eq!(fixture.refresh(&client, &tokens.refresh, &[]).reason, "refresh_session_ended");

    // By a client that refreshes before it calls.
    let fixture = Fixture::new();
    let (client, tokens) = logged_in_without_a_refresh_token(&fixture, &[]);
    fixture.advance(3600 - 6);
    let tokens = tokens_of(&fixture.refresh(&client, &tokens.refresh, &[]));
    fixture.advance(1);
    let reply = fixture.refresh(&client, &tokens.refresh, &[]);
    assert_eq!((reply.status(), reply.error().as_str()), (400, "invalid_grant"));
    assert_eq!(reply.reason, "refresh_upstream_ended");
    assert_eq!(fixture.ports.take_ended(), [session(&tokens)]);
    assert_eq!(replied(fixture.call("/mcp", &tokens.access)).status(), 401);
}

#[test]
fn a_login_whose_calls_need_no_upstream_token_outlives_it() {
    let fixture = Fixture::new();
    let (client, tokens) = logged_in_without_a_refresh_token(&fixture, &[("scope", "openid tools"), ("resource", API)]);
    fixture.advance(24 * 3600);
    let tokens = tokens_of(&fixture.refresh(&client, &tokens.refresh, &[]));
    forwarded(fixture.call("/api", &tokens.access));
}

#[test]
fn a_session_whose_upstream_tokens_are_gone_is_neither_served_nor_refreshed() {
    for refreshes_first in [true, false] {
        let fixture = Fixture::new();
        let (client, tokens) = fixture.logged_in();
        let upstream = upstream_key(&session_key(session(&tokens)), provider_id());
        block_on(fixture.store.delete(&upstream)).unwrap();
        if !refreshes_first {
            let call = replied(fixture.call("/mcp", &tokens.access));
            assert_eq!((call.status(), call.reason), (401, "upstream_login_required"));
        }
        assert_eq!(fixture.refresh(&client, &tokens.refresh, &[]).error(), "invalid_grant");
        assert_eq!(replied(fixture.call("/mcp", &tokens.access)).status(), 401);
    }
}
