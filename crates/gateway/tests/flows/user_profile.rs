//! The user's name, e-mail address and groups, as a provider tells them.

use portcullis_gateway::upstream::tokens::Upstream;
use serde_json::{Value, json};

use crate::browser::{Browser, Reply};
use crate::fixture::{DISCOVERY, Fixture, IDP, code_of, discovery, document, error_of, tokens_of};
use crate::refresh::{refresh, renewed, session, stored, word};

/// A gateway with these further settings of its provider.
fn configured(more: &Value) -> Fixture {
    Fixture::configured(&with(more))
}

fn with(more: &Value) -> Value {
    let mut document = document();
    let settings = document["upstreamProviders"][0]["oidcConfig"].as_object_mut().unwrap();
    settings.extend(more.as_object().unwrap().clone());
    document
}

/// The claims of a good ID token and more.
fn claims(fixture: &Fixture, nonce: &str, more: &Value) -> Value {
    let mut claims = fixture.claims("alice", nonce);
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    claims
}

/// A login whose ID token has these further claims.
fn log_in(fixture: &Fixture, client: &str, more: &Value) -> Reply {
    let browser = Browser::default();
    let asked = fixture.start(&browser, client);
    let id_token = fixture.sign(&claims(fixture, &asked["nonce"], more));
    fixture.expect_token_answer(200, &Fixture::token_answer(&id_token));
    fixture.visit(&browser, &Fixture::callback(&asked))
}

/// What is stored of a user after such a login.
fn known(fixture: &Fixture, more: &Value) -> Upstream {
    let client = fixture.register();
    let code = code_of(&log_in(fixture, &client, more));
    let tokens = tokens_of(&fixture.redeem(&client, &code, &[]));
    stored(fixture, session(&tokens)).unwrap()
}

fn groups(more: &Value, claims: &Value) -> Vec<String> {
    known(&configured(more), claims).groups
}

#[test]
fn groups_come_from_the_configured_claim_as_a_list_or_one_text() {
    let usual = json!({});
    assert_eq!(groups(&usual, &json!({ "groups": ["b", "a"] })), ["b", "a"]);
    assert_eq!(groups(&usual, &json!({ "groups": "engineering" })), ["engineering"]);
    assert_eq!(groups(&usual, &json!({ "groups": ["a", 7, "", {}, ["b"], null, "c\n", "x".repeat(256)] })), ["a", "7"]);
    for none in [json!({}), json!({ "groups": null }), json!({ "groups": {} }), json!({ "groups": [] })] {
        assert!(groups(&usual, &none).is_empty(), "{none}");
    }
    let realm = json!({ "groupsClaim": "realm_access.roles" });
    assert_eq!(groups(&realm, &json!({ "realm_access": { "roles": ["admin"] } })), ["admin"]);
    assert!(groups(&realm, &json!({ "realm_access": ["admin"], "realm_access.roles": ["other"] })).is_empty());
    let uri = json!({ "groupsClaim": "https://example.com/groups" });
    assert_eq!(groups(&uri, &json!({ "https://example.com/groups": ["a"], "groups": ["b"] })), ["a"]);
}

#[test]
fn an_email_address_counts_as_verified_only_where_the_provider_says_so() {
    for (verified, expected) in
        [(json!(true), true), (json!("true"), true), (json!(false), false), (json!("yes"), false), (json!(null), false)]
    {
        let told = known(&configured(&json!({})), &json!({ "email": "alice@example.com", "email_verified": verified }));
        assert_eq!((told.email.as_deref(), told.email_verified), (Some("alice@example.com"), expected), "{verified}");
    }
}

#[test]
fn more_groups_than_fit_are_left_out_and_the_operator_is_told() {
    let fixture = configured(&json!({}));
    let many: Vec<_> = (0..101).map(|number| format!("group-{number}")).collect();
    assert_eq!(known(&fixture, &json!({ "groups": many })).groups, many[..100]);
    let cut = "idp notes: a user is in more groups than are kept: 100, of 4 KiB at most";
    assert!(fixture.ports.take_reports().iter().any(|report| report == cut));
    let long: Vec<_> = (0..20).map(|number| format!("{number:0>255}")).collect();
    assert_eq!(known(&fixture, &json!({ "groups": long })).groups, long[..15]);
    assert!(fixture.ports.take_reports().iter().any(|report| report == cut));
    assert_eq!(known(&fixture, &json!({ "groups": many[..100] })).groups.len(), 100);
    assert!(fixture.ports.take_reports().iter().all(|report| report != cut));
}

#[test]
fn a_refreshed_id_token_replaces_what_it_tells_and_nothing_else() {
    let before = json!({
        "name": "Alice", "email": "alice@example.com", "email_verified": true, "groups": ["staff", "admins"],
    });
    for (told, email, verified, groups) in [
        (json!({}), "alice@example.com", true, &["staff", "admins"][..]),
        (json!({ "groups": ["staff"] }), "alice@example.com", true, &["staff"]),
        (json!({ "groups": [] }), "alice@example.com", true, &[]),
        (json!({ "email": "alice@example.org" }), "alice@example.org", false, &["staff", "admins"]),
        (json!({ "email_verified": false }), "alice@example.com", true, &["staff", "admins"]),
    ] {
        let fixture = configured(&json!({}));
        let client = fixture.register();
        let code = code_of(&log_in(&fixture, &client, &before));
        let session = session(&tokens_of(&fixture.redeem(&client, &code, &[])));
        fixture.advance(3_600);
        let mut answer = renewed();
        answer["id_token"] = json!(fixture.sign(&claims(&fixture, "", &told)));
        fixture.expect_token_answer(200, &answer);
        assert_eq!(word(&refresh(&fixture, session)), "ready");
        let record = stored(&fixture, session).unwrap();
        assert_eq!((record.name.as_deref(), record.email.as_deref()), (Some("Alice"), Some(email)), "{told}");
        assert_eq!(record.email_verified, verified, "{told}");
        assert_eq!(record.groups, groups, "{told}");
    }
}

#[test]
fn what_the_id_token_does_not_tell_is_asked_of_the_userinfo_endpoint_if_that_is_configured() {
    let mut found = discovery();
    found["userinfo_endpoint"] = json!(format!("{IDP}/userinfo"));
    let cold = |settings: &Value| {
        let fixture = Fixture::cold(&with(settings));
        fixture.ports.expect_json("idp", DISCOVERY, 200, &found.to_string());
        fixture.expect_keys();
        fixture.warm();
        fixture
    };
    for settings in [json!({ "userInfo": {} }), json!({ "userInfo": { "endpointUrl": format!("{IDP}/userinfo") } })] {
        let fixture = cold(&settings);
        let client = fixture.register();
        let told =
            json!({ "sub": "alice", "name": "A", "email": "a@example.com", "email_verified": true, "groups": ["g"] });
        let browser = Browser::default();
        let asked = fixture.start(&browser, &client);
        let id_token = fixture.sign(&claims(&fixture, &asked["nonce"], &json!({ "name": "Alice" })));
        fixture.expect_token_answer(200, &Fixture::token_answer(&id_token));
        fixture.ports.expect_json("idp", "/userinfo", 200, &told.to_string());
        let _ = fixture.ports.take_sent();
        let code = code_of(&fixture.visit(&browser, &Fixture::callback(&asked)));
        let sent = fixture.ports.take_sent();
        let bearer = ("authorization".into(), "Bearer upstream-access-1".to_owned());
        assert!(sent.len() == 2 && sent[1].method == "GET" && sent[1].headers.contains(&bearer));
        let record = stored(&fixture, session(&tokens_of(&fixture.redeem(&client, &code, &[])))).unwrap();
        assert_eq!((record.name.as_deref(), record.email.as_deref()), (Some("Alice"), Some("a@example.com")));
        assert!(record.email_verified && record.groups == ["g"]);
        // An ID token that tells everything leaves nothing to ask.
        let all = json!({ "name": "Alice", "email": "alice@example.com", "groups": [] });
        code_of(&log_in(&fixture, &client, &all));
        assert_eq!(fixture.ports.calls_left(), 0);
    }
    for (status, told, reason) in [
        (200, json!({ "sub": "bob", "groups": ["admins"] }), "provider_invalid_user_info"),
        (200, json!({ "groups": ["admins"] }), "provider_invalid_user_info"),
        (401, json!({}), "provider_invalid_user_info"),
        (500, json!({ "sub": "alice" }), "provider_status"),
    ] {
        let fixture = cold(&json!({ "userInfo": {} }));
        let client = fixture.register();
        let browser = Browser::default();
        let asked = fixture.start(&browser, &client);
        let id_token = fixture.sign(&claims(&fixture, &asked["nonce"], &json!({})));
        fixture.expect_token_answer(200, &Fixture::token_answer(&id_token));
        fixture.ports.expect_json("idp", "/userinfo", status, &told.to_string());
        let reply = fixture.visit(&browser, &Fixture::callback(&asked));
        error_of(&reply);
        assert_eq!(reply.reason, reason, "{told}");
        let reports = fixture.ports.take_reports();
        assert!(reports.iter().any(|line| line.starts_with(&format!("idp {IDP}/userinfo {reason}: "))), "{reports:?}");
    }
}
