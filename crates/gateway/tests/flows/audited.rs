//! What the audit trail says of who asks, besides why it was decided so.

use std::collections::BTreeMap;

use portcullis_gateway::audit::{Audit, AuditField};
use portcullis_protocol::jose::jws::Jws;
use serde_json::{Value, json};

use crate::browser::{Browser, Reply};
use crate::fixture::{API, Fixture, ISSUER, MCP, Tokens, code_of, document, forwarded, replied, tokens_of};
use crate::protect::fast;

#[test]
fn a_call_says_who_asks_and_by_which_client_login_and_scopes() {
    for (changed, path, resource, scopes) in [
        (&[][..], "/mcp", MCP, "openid"),
        (&[("resource", API), ("scope", "openid tools")], "/api", API, "openid tools"),
    ] {
        let fixture = Fixture::configured(&with_email(true));
        let (client, tokens) = logged_in(&fixture, changed);
        let slow = forwarded(fixture.call(path, &tokens.access)).audit;
        let expected =
            [resource, &client, "Client", &claim(&tokens, "sub"), "alice", EMAIL, &claim(&tokens, "sid"), scopes];
        assert_eq!(said(&slow), expected.map(|value| Some(value.to_owned())));
        assert_eq!(fast(&fixture, path, &tokens.access).unwrap().audit, slow);
    }
}

#[test]
fn an_email_address_is_there_only_where_the_configuration_says_so() {
    for (document, email) in [(document(), None), (with_email(false), None), (with_email(true), Some(EMAIL))] {
        let fixture = Fixture::configured(&document);
        let (browser, client) = (Browser::default(), fixture.register());
        let asked = fixture.start(&browser, &client);
        let back = return_with_email(&fixture, &browser, &asked);
        assert_eq!((back.reason, back.audit.get(AuditField::Email).as_deref()), ("logged_in", email));
        let tokens = tokens_of(&fixture.redeem(&client, &code_of(&back), &[]));
        let call = forwarded(fixture.call("/mcp", &tokens.access)).audit;
        assert_eq!(call.get(AuditField::Email).as_deref(), email);
        assert_eq!(call.get(AuditField::Subject).as_deref(), Some("alice"));
    }
}

#[test]
fn a_refusal_names_whoever_was_proven_before_it() {
    let fixture = Fixture::new();
    let (client, tokens) = logged_in(&fixture, &[("resource", API), ("scope", "openid")]);
    let (user, session) = (claim(&tokens, "sub"), claim(&tokens, "sid"));
    let owned = |scopes: Option<&str>| {
        [Some(API), Some(&*client), None, Some(&*user), None, None, Some(&*session), scopes]
            .map(|value| value.map(str::to_owned))
    };

    let narrow = replied(fixture.call("/api", &tokens.access));
    assert_eq!((narrow.reason, said(&narrow.audit)), ("insufficient_scope", owned(Some("openid"))));
    let other = fixture.refresh(&fixture.register(), &tokens.refresh, &[]);
    assert_eq!((other.reason, other.audit.get(AuditField::User)), ("refresh_other_client", Some(user.clone())));
    // A refresh token that is replayed is a theft that an operator wants to look into.
    let second = tokens_of(&fixture.refresh(&client, &tokens.refresh, &[]));
    tokens_of(&fixture.refresh(&client, &second.refresh, &[]));
    let mut replay = owned(None);
    replay[2] = Some("Client".to_owned());
    let replayed = fixture.refresh(&client, &tokens.refresh, &[]);
    assert_eq!((replayed.reason, said(&replayed.audit)), ("refresh_token_replayed", replay));
    let unknown = replied(fixture.call("/api", "a.b.c"));
    let mut nobody = [const { None }; 8];
    nobody[0] = Some(API.to_owned());
    assert_eq!(said(&unknown.audit), nobody);
}

#[test]
fn a_token_says_whose_it_was_after_its_login_was_revoked() {
    let fixture = Fixture::new();
    let (client, tokens) = logged_in(&fixture, &[]);
    let known = |name| {
        let (user, session) = (claim(&tokens, "sub"), claim(&tokens, "sid"));
        [Some(MCP), Some(&*client), name, Some(&*user), None, None, Some(&*session), Some("openid")]
            .map(|value| value.map(str::to_owned))
    };
    let revoked = fixture.post("/oauth/revoke", &[("token", &tokens.access), ("client_id", &client)]);
    assert_eq!((revoked.reason, said(&revoked.audit)), ("token_revoked", known(Some("Client"))));
    let ended = replied(fixture.call("/mcp", &tokens.access));
    assert_eq!((ended.reason, said(&ended.audit)), ("session_ended", known(None)));
}

#[test]
fn the_steps_of_a_login_say_which_client_asks_for_what() {
    let fixture = Fixture::new();
    let (browser, client) = (Browser::default(), fixture.register());
    let asked = [Some(MCP), Some(&*client), Some("Client"), None, None, None, None, Some("openid")];
    let asked = asked.map(|value| value.map(str::to_owned));
    let page = fixture.visit(&browser, &Fixture::authorization(&client, &[]));
    assert_eq!((page.reason, said(&page.audit)), ("consent_shown", asked.clone()));
    let form = fixture.consent_page(&browser, &client, &[]);
    let headers = [("origin", ISSUER)];
    let denied = fixture.answer_form(&browser, &form, "deny", &headers);
    assert_eq!((denied.reason, said(&denied.audit)), ("consent_denied", asked.clone()));
    let started = fixture.answer_form(&browser, &fixture.consent_page(&browser, &client, &[]), "approve", &headers);
    assert_eq!((started.reason, said(&started.audit)), ("login_started", asked));
    let wrong = fixture.visit(&browser, &Fixture::authorization(&client, &[("scope", "unknown")]));
    let named = [AuditField::Client, AuditField::ClientName].map(|field| wrong.audit.get(field));
    assert_eq!((wrong.reason, named), ("invalid_scope", [Some(client), Some("Client".to_owned())]));
}

/// The configuration that says whether e-mail addresses are audited.
fn with_email(audited: bool) -> Value {
    let mut document = document();
    document["audit"] = json!({ "email": audited });
    document
}

fn logged_in(fixture: &Fixture, changed: &[(&str, &str)]) -> (String, Tokens) {
    let (browser, client) = (Browser::default(), fixture.register());
    let form = fixture.consent_page(&browser, &client, changed);
    let back = return_with_email(fixture, &browser, &fixture.approve(&browser, &form));
    (client.clone(), tokens_of(&fixture.redeem(&client, &code_of(&back), &[])))
}

/// The provider sends the browser back with alice's e-mail address.
fn return_with_email(fixture: &Fixture, browser: &Browser, asked: &BTreeMap<String, String>) -> Reply {
    let mut claims = fixture.claims("alice", &asked["nonce"]);
    claims["email"] = json!(EMAIL);
    fixture.expect_token_answer(200, &Fixture::token_answer(&fixture.sign(&claims)));
    fixture.visit(browser, &Fixture::callback(asked))
}

fn claim(tokens: &Tokens, name: &str) -> String {
    let jws = Jws::parse(&tokens.access).unwrap();
    serde_json::from_slice::<Value>(jws.payload_bytes()).unwrap()[name].as_str().unwrap().to_owned()
}

/// What is said of who asks: resource, client and its name, user, subject, e-mail address, session
/// and scopes.
fn said(audit: &Audit) -> [Option<String>; 8] {
    [
        AuditField::Resource,
        AuditField::Client,
        AuditField::ClientName,
        AuditField::User,
        AuditField::Subject,
        AuditField::Email,
        AuditField::Session,
        AuditField::Scopes,
    ]
    .map(|field| audit.get(field))
}

const EMAIL: &str = "alice@example.com";
