//! A client that knows no metadata, at the default endpoints of MCP 2025-03-26: it logs in, calls
//! and refreshes as any other.

use portcullis_protocol::http::message::Method;
use serde_json::json;

use crate::browser::Browser;
use crate::fixture::{Fixture, Form, REDIRECT, VERIFIER, code_of, document, forwarded, replied, tokens_of};

#[test]
fn a_login_works_at_the_default_endpoints_alone_and_together_with_the_others() {
    let (fixture, browser) = (Fixture::new(), Browser::default());
    fixture.ports.set_body(json!({ "redirect_uris": [REDIRECT], "client_name": "Client" }).to_string());
    let registered = fixture.send(Method::Post, "/register", &[("content-type", "application/json")]);
    let client = registered.json()["client_id"].as_str().unwrap().to_owned();

    let authorization = Fixture::authorization(&client, &[]);
    let page = fixture.visit(&browser, authorization.strip_prefix("/oauth").unwrap());
    assert_eq!(page.reason, "consent_shown");
    // The form says where it goes, wherever the page was asked for.
    assert!(page.text().contains(r#"action="/oauth/consent""#), "{}", page.text());
    let form = Form { transaction: page.field("transaction"), csrf: page.field("csrf") };
    let asked = fixture.approve(&browser, &form);
    let code = code_of(&fixture.return_from_provider(&browser, &asked, "alice"));

    let redeemed = fixture.post(
        "/token",
        &[
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("client_id", &client),
            ("redirect_uri", REDIRECT),
            ("code_verifier", VERIFIER),
        ],
    );
    let first = tokens_of(&redeemed);
    forwarded(fixture.call("/mcp", &first.access));
    let refresh = [("grant_type", "refresh_token"), ("refresh_token", first.refresh.as_str()), ("client_id", &client)];
    let second = tokens_of(&fixture.post("/token", &refresh));
    forwarded(fixture.call("/mcp", &second.access));
    let third = tokens_of(&fixture.refresh(&client, &second.refresh, &[]));
    forwarded(fixture.call("/mcp", &third.access));
}

#[test]
fn a_refusal_is_the_same_at_either_token_endpoint() {
    let fixture = Fixture::new();
    let (client, tokens) = fixture.logged_in();
    for form in [
        vec![("grant_type", "refresh_token"), ("refresh_token", "nonsense"), ("client_id", client.as_str())],
        vec![("grant_type", "refresh_token"), ("refresh_token", &tokens.refresh), ("client_id", "another")],
        vec![("grant_type", "password"), ("client_id", &client)],
        vec![],
    ] {
        let [short, long] = ["/token", "/oauth/token"].map(|target| fixture.post(target, &form));
        assert_eq!(
            (short.status(), short.error(), short.reason),
            (long.status(), long.error(), long.reason),
            "{form:?}"
        );
        assert!(matches!(short.status(), 400 | 401), "{form:?}");
    }
}

#[test]
fn registrations_at_either_endpoint_draw_on_the_same_limits() {
    let mut document = document();
    document["clients"] = json!({ "dynamicRegistration": { "ratePerMinute": 2 } });
    let fixture = Fixture::configured(&document);
    let register = |target: &str| {
        fixture.ports.set_body(json!({ "redirect_uris": [REDIRECT] }).to_string());
        replied(fixture.handle(Fixture::request(Method::Post, target, &[("content-type", "application/json")])))
            .status()
    };
    assert_eq!(["/register", "/oauth/register", "/register", "/oauth/register"].map(register), [201, 201, 429, 429]);
}
