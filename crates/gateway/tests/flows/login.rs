//! The way of a login that goes well, and authorization requests that go nowhere.

use portcullis_gateway::audit::AuditField;
use portcullis_protocol::http::message::Method;
use portcullis_protocol::jose::jws::Jws;
use portcullis_protocol::oauth::params::Params;
use portcullis_protocol::oauth::pkce::CodeVerifier;
use serde_json::json;

use crate::browser::Browser;
use crate::fixture::{
    API, BROWSER_COOKIE, Fixture, IDP, ISSUER, MCP, NOW, REDIRECT, code_of, document, error_in, forwarded, injected,
    replied, tokens_of,
};

#[test]
fn a_login_leads_from_registration_to_the_injected_token_and_ends_with_a_replay() {
    let fixture = Fixture::new();
    let (browser, client) = (Browser::default(), fixture.register());
    let form = fixture.consent_page(&browser, &client, &[]);
    let records = fixture.store.inner.live();
    let asked = fixture.approve(&browser, &form);
    assert_eq!(fixture.store.inner.live(), records, "the browser carries the login, and nothing is stored");
    assert!(!browser.cookie().unwrap().contains(BROWSER_COOKIE), "no user is known yet");

    assert_eq!(asked["response_type"], "code");
    assert_eq!(asked["client_id"], "portcullis");
    assert_eq!(asked["redirect_uri"], format!("{ISSUER}/oauth/callback"));
    assert_eq!(asked["scope"], "openid offline_access");
    assert_eq!(asked["code_challenge_method"], "S256");
    assert_eq!((asked["state"].len(), asked["nonce"].len()), (43, 43));
    assert_ne!(asked["state"], asked["nonce"]);

    let code = code_of(&fixture.return_from_provider(&browser, &asked, "alice"));
    assert_eq!(browser.names(), [BROWSER_COOKIE], "the login is over, and who logged in is remembered");
    let sent = fixture.ports.take_sent();
    let body = Params::parse(&sent[0].body, portcullis_protocol::oauth::params::Limits::OAUTH).unwrap();
    let field = |name: &str| body.one(name).unwrap().unwrap();
    assert_eq!((sent.len(), sent[0].method, sent[0].authority.as_str()), (1, "POST", "idp.example"));
    assert_eq!((field("grant_type"), field("code")), ("authorization_code", "idp-code"));
    assert!(!body.has("client_id") && !body.has("client_secret"));
    let authorization = sent[0].headers.iter().find(|(name, _)| *name == "authorization").map(|(_, value)| &**value);
    assert_eq!(
        authorization,
        Some("Basic cG9ydGN1bGxpczp0aGUlMjBjbGllbnQlMjBzZWNyZXQ="),
        "portcullis:the%20client%20secret"
    );
    let challenge = CodeVerifier::parse(field("code_verifier")).unwrap().challenge().to_string();
    assert_eq!(challenge, asked["code_challenge"]);

    let reply = fixture.redeem(&client, &code, &[]);
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    let body = reply.json();
    assert_eq!((body["token_type"].as_str(), body["expires_in"].as_u64()), (Some("Bearer"), Some(3600)));
    assert_eq!(body["scope"].as_str(), Some("openid"));
    let first = tokens_of(&reply);
    let jws = Jws::parse(&first.access).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(jws.payload_bytes()).unwrap();
    assert_eq!(jws.typ(), Some("at+jwt"));
    assert_eq!((claims["iss"].as_str(), claims["aud"].as_str()), (Some(ISSUER), Some(MCP)));
    assert_eq!((claims["iat"].as_u64(), claims["exp"].as_u64()), (Some(NOW), Some(NOW + 3600)));
    assert_eq!(claims["client_id"].as_str(), Some(client.as_str()));
    assert_ne!(claims["sub"].as_str(), Some("alice"), "the provider's name for the user is not ours");

    let forward = forwarded(fixture.call("/mcp", &first.access));
    assert_eq!(injected(&forward), ("authorization".to_owned(), "Bearer upstream-access-1".to_owned()));
    assert_eq!(forward.audit.get(AuditField::User).as_deref(), claims["sub"].as_str());

    let second = tokens_of(&fixture.refresh(&client, &first.refresh, &[]));
    assert_ne!(first.refresh, second.refresh);
    forwarded(fixture.call("/mcp", &second.access));

    fixture.advance(31);
    let replay = fixture.refresh(&client, &first.refresh, &[]);
    assert_eq!((replay.status(), replay.error().as_str()), (400, "invalid_grant"));
    assert_eq!(fixture.ports.take_ended().len(), 1);
    for token in [&first.access, &second.access] {
        assert_eq!(replied(fixture.call("/mcp", token)).status(), 401);
    }
    assert_eq!(fixture.refresh(&client, &second.refresh, &[]).error(), "invalid_grant");
}

#[test]
fn one_user_keeps_one_name_over_many_logins_and_another_has_another() {
    let fixture = Fixture::new();
    let client = fixture.register();
    let subject = |user: &str| {
        let code = fixture.code(&Browser::default(), &client, user);
        let access = tokens_of(&fixture.redeem(&client, &code, &[])).access;
        forwarded(fixture.call("/mcp", &access)).audit.get(AuditField::User).unwrap()
    };
    let alice = subject("alice");
    assert_eq!(alice, subject("alice"));
    assert_ne!(alice, subject("bob"));
}

#[test]
fn until_client_and_redirect_are_proven_an_error_stays_on_a_page() {
    let fixture = Fixture::new();
    let client = fixture.register();
    let browser = Browser::default();
    let good = Fixture::authorization(&client, &[]);
    for (target, reason) in [
        ("/oauth/authorize".to_owned(), "no_client_named"),
        (Fixture::authorization("", &[]), "no_client_named"),
        (format!("{good}&client_id={client}"), "repeated_client_id"),
        (format!("{good}&redirect_uri=https%3A%2F%2Fevil.example"), "repeated_redirect_uri"),
        ("/oauth/authorize?client_id=%ff".to_owned(), "malformed_request"),
        (Fixture::authorization("stranger", &[]), "unknown_client"),
        (Fixture::authorization(&client, &[("redirect_uri", "https://evil.example/callback")]), "wrong_redirect_uri"),
        (Fixture::authorization(&client, &[("redirect_uri", &format!("{REDIRECT}/"))]), "wrong_redirect_uri"),
        (Fixture::authorization(&client, &[("redirect_uri", &format!("{REDIRECT}?x=1"))]), "wrong_redirect_uri"),
        (Fixture::authorization(&client, &[("redirect_uri", "javascript:alert(1)")]), "wrong_redirect_uri"),
    ] {
        let reply = fixture.visit(&browser, &target);
        assert_eq!((reply.status(), reply.reason), (400, reason), "{target}");
        assert!(reply.header("location").is_none() && !reply.text().contains("evil"), "{target}");
    }
}

#[test]
fn once_they_are_proven_the_user_may_take_an_error_to_a_web_site() {
    let fixture = Fixture::new();
    let client = fixture.register();
    let browser = Browser::default();
    for (changed, error, reason) in [
        (("response_type", "token"), "unsupported_response_type", "unsupported_response_type"),
        (("response_type", ""), "unsupported_response_type", "unsupported_response_type"),
        (("response_mode", "fragment"), "invalid_request", "unsupported_response_mode"),
        (("code_challenge", ""), "invalid_request", "invalid_code_challenge"),
        (("code_challenge", "short"), "invalid_request", "invalid_code_challenge"),
        (("code_challenge_method", "plain"), "invalid_request", "invalid_code_challenge"),
        (("code_challenge_method", ""), "invalid_request", "invalid_code_challenge"),
        (("request", "x"), "request_not_supported", "request_object"),
        (("request_uri", "https://evil.example"), "request_uri_not_supported", "request_uri"),
        (("scope", "openid admin"), "invalid_scope", "invalid_scope"),
        (("scope", "a  b"), "invalid_scope", "malformed_scope"),
        (("resource", "https://gw.example/other"), "invalid_target", "invalid_target"),
        (("resource", "https://evil.example/mcp"), "invalid_target", "invalid_target"),
        (("resource", "mcp"), "invalid_target", "malformed_resource"),
        (("resource", ""), "invalid_target", "no_resource_named"),
        (("prompt", "none"), "interaction_required", "prompt_none"),
        (("prompt", "none login"), "invalid_request", "contradictory_prompt"),
    ] {
        let reply = fixture.visit(&browser, &Fixture::authorization(&client, &[changed]));
        assert_eq!((error_in(reply.link()).as_str(), reply.reason), (error, reason), "{changed:?}");
    }
    let good = Fixture::authorization(&client, &[]);
    for (more, error, reason) in [
        (format!("resource={API}"), "invalid_target", "repeated_resource"),
        ("scope=openid".to_owned(), "invalid_request", "repeated_parameter"),
    ] {
        let reply = fixture.visit(&browser, &format!("{good}&{more}"));
        assert_eq!((error_in(reply.link()).as_str(), reply.reason), (error, reason), "{more}");
    }
    // A state that must not be returned is not.
    let reply = fixture.visit(&browser, &Fixture::authorization(&client, &[("state", "a\r\nb")]));
    let (_, query) = reply.link();
    assert_eq!(
        (query["error"].as_str(), query.get("state"), reply.reason),
        ("invalid_request", None, "malformed_state")
    );
}

#[test]
fn once_they_are_proven_an_error_goes_at_once_to_a_program_on_the_users_machine() {
    let fixture = Fixture::new();
    for redirect in ["http://127.0.0.1:8/cb", "http://localhost:9/cb", "cursor://x/cb", "com.example.app:/cb"] {
        let registered = fixture.register_with(&json!({ "redirect_uris": [redirect] })).json();
        let client = registered["client_id"].as_str().unwrap();
        for (changed, error) in [
            (("prompt", "none"), "interaction_required"),
            (("scope", "openid admin"), "invalid_scope"),
            (("resource", "https://evil.example/"), "invalid_target"),
            (("code_challenge", ""), "invalid_request"),
        ] {
            let target = Fixture::authorization(client, &[("redirect_uri", redirect), changed]);
            let (base, query) = fixture.visit(&Browser::default(), &target).redirect();
            assert_eq!((base.as_str(), query["error"].as_str()), (redirect, error), "{changed:?}");
            assert_eq!((query["state"].as_str(), query["iss"].as_str()), ("client-state", ISSUER));
        }
    }
}

#[test]
fn what_a_client_wrote_stays_text_on_the_page_with_its_error() {
    let fixture = Fixture::new();
    let redirect = "https://client.example/cb?x='onclick=alert(1)//";
    let metadata = json!({ "redirect_uris": [redirect], "client_name": "<script>" });
    let client = fixture.register_with(&metadata).json()["client_id"].as_str().unwrap().to_owned();
    let state = "\"><script>alert(1)</script>";
    let changed = [("redirect_uri", redirect), ("state", state), ("prompt", "none")];
    let page = fixture.visit(&Browser::default(), &Fixture::authorization(&client, &changed));
    assert!(!page.text().contains("<script") && !page.text().contains("'onclick"), "{}", page.text());
    assert_eq!(page.link().1["state"], state);
    assert_eq!((page.header("x-frame-options"), page.header("cache-control")), (Some("DENY"), Some("no-store")));
    assert!(page.text().contains("client.example"));
}

#[test]
fn a_resource_that_is_not_named_is_told_by_the_scopes_or_is_the_default() {
    let both = document();
    let mut with_default = document();
    with_default["defaultResource"] = json!(MCP);
    with_default["scopesSupported"] = json!(["openid", "tools", "offline_access"]);
    for (document, scope, resource) in [
        (&both, "tools", Some(API)),
        (&both, "openid tools", Some(API)),
        (&both, "openid", None),
        (&both, "", None),
        (&with_default, "openid tools offline_access", Some(API)),
        (&with_default, "openid", Some(MCP)),
        (&with_default, "offline_access", Some(MCP)),
        (&with_default, "", Some(MCP)),
    ] {
        let fixture = Fixture::configured(document);
        let client = fixture.register();
        let target = Fixture::authorization(&client, &[("resource", ""), ("scope", scope)]);
        let page = fixture.visit(&Browser::default(), &target);
        match resource {
            Some(resource) => {
                assert_eq!(page.reason, "consent_shown", "{scope}");
                assert!(page.text().contains(resource), "{scope}: {}", page.text());
            }
            None => assert_eq!((error_in(page.link()).as_str(), page.reason), ("invalid_target", "no_resource_named")),
        }
    }
}

#[test]
fn the_only_resource_and_the_only_redirect_need_not_be_named() {
    let mut document = document();
    document["resources"].as_array_mut().unwrap().truncate(1);
    let fixture = Fixture::configured(&document);
    let client = fixture.register();
    let browser = Browser::default();
    let page = fixture.visit(&browser, &Fixture::authorization(&client, &[("resource", ""), ("redirect_uri", "")]));
    assert!(page.text().contains(MCP) && page.text().contains("client.example"), "{}", page.text());
}

#[test]
fn what_the_client_wants_of_the_provider_is_passed_on() {
    let fixture = Fixture::new();
    let client = fixture.register();
    for prompt in ["login", "select_account"] {
        let browser = Browser::default();
        let form = fixture.consent_page(&browser, &client, &[("prompt", prompt)]);
        assert_eq!(fixture.approve(&browser, &form)["prompt"], prompt);
    }
    let asked = fixture.start(&Browser::default(), &client);
    assert!(!asked.contains_key("prompt"), "{asked:?}");
    assert!(asked.values().all(|value| !value.contains(IDP)));
}

#[test]
fn without_configured_scopes_a_login_has_none_and_openid_is_not_promised() {
    let mut document = document();
    document.as_object_mut().unwrap().remove("scopesSupported");
    document["resources"].as_array_mut().unwrap().truncate(1);
    document["resources"][0].as_object_mut().unwrap().remove("scopes");
    let fixture = Fixture::configured(&document);
    let (_, tokens) = fixture.logged_in_with(&[("scope", "")]);
    forwarded(fixture.call("/mcp", &tokens.access));
    let (client, tokens) = fixture.logged_in_with(&[("scope", "offline_access")]);
    let refreshed = fixture.refresh(&client, &tokens.refresh, &[]);
    assert_eq!(refreshed.json()["scope"], "offline_access");

    // To a client that asks for it, it is any other scope that is not there.
    let asked = fixture.visit(&Browser::default(), &Fixture::authorization(&client, &[("scope", "openid")]));
    assert_eq!(error_in(asked.link()), "invalid_scope");

    for path in ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"] {
        let metadata = fixture.send(Method::Get, path, &[]).json();
        assert_eq!(metadata["scopes_supported"], json!(["offline_access"]), "{path}");
        for name in ["subject_types_supported", "id_token_signing_alg_values_supported", "userinfo_endpoint"] {
            assert_eq!(metadata.get(name), None, "{path}");
        }
    }
    let refused = fixture.send(Method::Get, "/mcp", &[]);
    assert!(!refused.header("www-authenticate").unwrap().contains("scope"));
}
