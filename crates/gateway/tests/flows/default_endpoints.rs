//! A client that knows no metadata, at the default endpoints of MCP 2025-03-26: it logs in, calls
//! and refreshes as any other.

use portcullis_protocol::http::message::Method;
use serde_json::json;

use crate::browser::Browser;
use crate::world::{Form, REDIRECT, VERIFIER, World, code_of, document, forwarded, replied, tokens_of};

#[test]
fn a_login_works_at_the_default_endpoints_alone_and_together_with_the_others() {
    let (world, browser) = (World::new(), Browser::default());
    world.ports.set_body(json!({ "redirect_uris": [REDIRECT], "client_name": "Client" }).to_string());
    let registered = world.send(Method::Post, "/register", &[("content-type", "application/json")]);
    let client = registered.json()["client_id"].as_str().unwrap().to_owned();

    let authorization = World::authorization(&client, &[]);
    let page = world.visit(&browser, authorization.strip_prefix("/oauth").unwrap());
    assert_eq!(page.reason, "consent_shown");
    // The form says where it goes, wherever the page was asked for.
    assert!(page.text().contains(r#"action="/oauth/consent""#), "{}", page.text());
    let form = Form { transaction: page.field("transaction"), csrf: page.field("csrf") };
    let asked = world.approve(&browser, &form);
    let code = code_of(&world.return_from_provider(&browser, &asked, "alice"));

    let redeemed = world.post(
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
    forwarded(world.call("/mcp", &first.access));
    let refresh = [("grant_type", "refresh_token"), ("refresh_token", first.refresh.as_str()), ("client_id", &client)];
    let second = tokens_of(&world.post("/token", &refresh));
    forwarded(world.call("/mcp", &second.access));
    let third = tokens_of(&world.refresh(&client, &second.refresh, &[]));
    forwarded(world.call("/mcp", &third.access));
}

#[test]
fn a_refusal_is_the_same_at_either_token_endpoint() {
    let world = World::new();
    let (client, tokens) = world.logged_in();
    for form in [
        vec![("grant_type", "refresh_token"), ("refresh_token", "nonsense"), ("client_id", client.as_str())],
        vec![("grant_type", "refresh_token"), ("refresh_token", &tokens.refresh), ("client_id", "another")],
        vec![("grant_type", "password"), ("client_id", &client)],
        vec![],
    ] {
        let [short, long] = ["/token", "/oauth/token"].map(|target| world.post(target, &form));
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
    let world = World::configured(&document);
    let register = |target: &str| {
        world.ports.set_body(json!({ "redirect_uris": [REDIRECT] }).to_string());
        replied(world.handle(World::request(Method::Post, target, &[("content-type", "application/json")]))).status()
    };
    assert_eq!(["/register", "/oauth/register", "/register", "/oauth/register"].map(register), [201, 201, 429, 429]);
}
