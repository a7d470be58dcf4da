//! Who may log in (`users`): asked at each login and at each refresh.

use portcullis_gateway::audit::AuditField;
use serde_json::{Value, json};

use crate::browser::{Browser, Reply};
use crate::fixture::{Fixture, Tokens, code_of, compiled, document, error_of, tokens_of};
use crate::refresh::{refresh, renewed, session, stored, word};

/// A gateway that admits these users alone.
fn admitting(allow: &Value) -> Fixture {
    Fixture::configured(&document_of(allow))
}

fn document_of(allow: &Value) -> Value {
    let mut document = document();
    document["users"] = json!({ "allow": allow });
    document["audit"] = json!({ "email": true });
    document
}

/// A login of alice, whose ID token has these further claims.
fn log_in(fixture: &Fixture, client: &str, more: &Value) -> Reply {
    let browser = Browser::default();
    let asked = fixture.start(&browser, client);
    let mut claims = fixture.claims("alice", &asked["nonce"]);
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    fixture.expect_token_answer(200, &Fixture::token_answer(&fixture.sign(&claims)));
    fixture.visit(&browser, &Fixture::callback(&asked))
}

fn logged_in(fixture: &Fixture, more: &Value) -> (String, Tokens) {
    let client = fixture.register();
    let code = code_of(&log_in(fixture, &client, more));
    let tokens = tokens_of(&fixture.redeem(&client, &code, &[]));
    (client, tokens)
}

fn verified(email: &str) -> Value {
    json!({ "email": email, "email_verified": true })
}

#[test]
fn a_user_whom_an_entry_names_logs_in_and_refreshes() {
    for (allow, claims) in [
        (json!([{ "subject": "bob" }, { "subject": "alice" }]), json!({})),
        (json!([{ "subject": "alice", "providerName": "idp" }]), json!({})),
        (json!([{ "emailDomain": "Example.com" }]), verified("alice@EXAMPLE.com")),
        (json!([{ "emailDomain": "example.com" }]), json!({ "email": "alice@example.com", "email_verified": "true" })),
        (json!([{ "group": "staff" }]), json!({ "groups": ["guests", "staff"] })),
    ] {
        let fixture = admitting(&allow);
        let (client, tokens) = logged_in(&fixture, &claims);
        assert_eq!(fixture.refresh(&client, &tokens.refresh, &[]).status(), 200, "{allow}");
    }
}

#[test]
fn any_other_user_is_refused_at_the_login_and_nothing_is_kept() {
    for (allow, claims) in [
        (json!([{ "subject": "bob" }]), json!({})),
        (json!([{ "subject": "Alice" }]), json!({})),
        (json!([{ "emailDomain": "example.com" }]), json!({})),
        (json!([{ "emailDomain": "example.com" }]), json!({ "email": "alice@example.com" })),
        (json!([{ "emailDomain": "example.com" }]), json!({ "email": "alice@example.com", "email_verified": false })),
        (json!([{ "emailDomain": "example.com" }]), verified("alice@mail.example.com")),
        (json!([{ "emailDomain": "example.com" }]), verified("alice@example.com.evil.example")),
        (json!([{ "group": "staff" }]), json!({})),
        (json!([{ "group": "staff" }]), json!({ "groups": ["Staff", "staff-guests"] })),
        (json!([{ "group": "staff" }]), json!({ "roles": ["staff"] })),
    ] {
        let fixture = admitting(&allow);
        let client = fixture.register();
        let reply = log_in(&fixture, &client, &claims);
        assert_eq!((error_of(&reply).as_str(), reply.reason), ("access_denied", "login_user_not_allowed"), "{allow}");
        let (_, query) = reply.redirect();
        assert!(query["error_description"].contains("ask the operator of this service"), "{query:?}");
        assert_eq!(reply.audit.get(AuditField::Subject).as_deref(), Some("alice"));
        assert_eq!(reply.audit.get(AuditField::Email).as_deref(), claims["email"].as_str());
        // Nor is a consent remembered: the next login is asked again.
        fixture.consent_page(&Browser::default(), &client, &[]);
    }
}

#[test]
fn a_user_who_is_not_admitted_any_more_cannot_refresh_and_the_session_ends() {
    let staff = json!({ "groups": ["staff"] });
    let fixture = admitting(&json!([{ "group": "staff" }]));
    let (client, tokens) = logged_in(&fixture, &staff);
    let id = session(&tokens);
    // The provider tells of other groups when its tokens are renewed.
    fixture.advance(3_600);
    let mut answer = renewed();
    let mut claims = fixture.claims("alice", "");
    claims["groups"] = json!(["guests"]);
    answer["id_token"] = json!(fixture.sign(&claims));
    fixture.expect_token_answer(200, &answer);
    assert_eq!(word(&refresh(&fixture, id)), "ready");
    let reply = fixture.refresh(&client, &tokens.refresh, &[]);
    assert_eq!((reply.status(), reply.reason), (400, "refresh_user_not_allowed"));
    assert_eq!(reply.json()["error"], "invalid_grant");
    assert!(stored(&fixture, id).is_none());
    let reply = fixture.refresh(&client, &tokens.refresh, &[]);
    assert_eq!(reply.reason, "refresh_session_ended");
}

#[test]
fn a_configuration_that_admits_fewer_users_holds_for_the_sessions_that_there_are() {
    let before = Fixture::new();
    let (client, tokens) = before.logged_in();
    let after = before.with_clock_at(&document_of(&json!([{ "subject": "bob" }])), before.now());
    let reply = after.refresh(&client, &tokens.refresh, &[]);
    assert_eq!((reply.status(), reply.reason), (400, "refresh_user_not_allowed"));
}

#[test]
fn groups_that_are_asked_for_are_kept_of_however_many() {
    let mut groups: Vec<_> = (0..300).map(|number| format!("group-{number}")).collect();
    groups.push("staff".to_owned());
    let fixture = admitting(&json!([{ "group": "staff" }]));
    let (client, tokens) = logged_in(&fixture, &json!({ "groups": groups }));
    let kept = stored(&fixture, session(&tokens)).unwrap().groups;
    assert_eq!((kept.len(), kept[0].as_str(), kept[1].as_str()), (100, "staff", "group-0"));
    assert_eq!(fixture.refresh(&client, &tokens.refresh, &[]).status(), 200);
}

#[test]
fn without_the_section_everybody_may_log_in() {
    assert!(compiled(&document()).users.is_none());
    logged_in(&Fixture::new(), &json!({}));
}
