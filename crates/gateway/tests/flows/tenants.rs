//! A provider that is many: the tenants of Microsoft Entra, with one discovery document for all.

use portcullis_protocol::jose::jws::{self, Header};
use portcullis_protocol::jose::keys::SigningKey;
use portcullis_testkit::example_keys::{ED25519, P384};
use portcullis_testkit::signatures::Sign as _;
use serde_json::{Value, json};

use crate::browser::{Browser, Reply};
use crate::fixture::{Fixture, Tokens, code_of, document, error_of, tokens_of};
use crate::refresh::{renewed, session};
use portcullis_gateway::audit::AuditField;
use portcullis_gateway::config::ProviderId;
use portcullis_gateway::ports::{TokenOwner, UpstreamTokenRef};
use portcullis_gateway::upstream::refresh::{self, Cause};
use portcullis_testkit::fakes::block_on;

const A: &str = "aaaaaaaa-0000-4000-8000-000000000001";
const B: &str = "bbbbbbbb-0000-4000-8000-000000000002";
const STRANGER: &str = "cccccccc-0000-4000-8000-000000000003";
const TEMPLATE: &str = "https://login.microsoftonline.com/{tenantid}/v2.0";
const COMMON: &str = "https://login.microsoftonline.com/common/v2.0";

fn issuer(tenant: &str) -> String {
    TEMPLATE.replace("{tenantid}", tenant)
}

fn entra(issuer_url: &str) -> Value {
    let mut document = document();
    let settings = &mut document["upstreamProviders"][0]["oidcConfig"];
    settings["issuerUrl"] = json!(issuer_url);
    settings["allowedTenants"] = json!([A, B.to_uppercase()]);
    settings["subjectClaim"] = json!("oid");
    document
}

/// A gateway that knows the provider, whose keys are each of this issuer.
fn fixture_with_keys(document: &Value, path: &str, found_issuer: &str, keys: &Value) -> Fixture {
    let fixture = Fixture::cold(document);
    let found = json!({
        "issuer": found_issuer,
        "authorization_endpoint": "https://login.microsoftonline.com/common/oauth2/v2.0/authorize",
        "token_endpoint": "https://login.microsoftonline.com/common/oauth2/v2.0/token",
        "jwks_uri": "https://login.microsoftonline.com/common/discovery/v2.0/keys",
    });
    let path = format!("{path}/.well-known/openid-configuration");
    fixture.ports.expect_json("idp", &path, 200, &found.to_string());
    fixture.ports.expect_json("idp", "/common/discovery/v2.0/keys", 200, &json!({ "keys": keys }).to_string());
    fixture.warm();
    assert_eq!(fixture.ports.calls_left(), 0);
    fixture
}

fn key(pem: &str, issuer: Option<&str>) -> Value {
    let mut jwk = SigningKey::from_pem(pem).unwrap().public().to_jwk();
    if let Some(issuer) = issuer {
        jwk["issuer"] = json!(issuer);
    }
    jwk
}

fn fixture() -> Fixture {
    fixture_with_keys(&entra(COMMON), "/common/v2.0", TEMPLATE, &json!([key(ED25519, Some(TEMPLATE))]))
}

fn claims(fixture: &Fixture, nonce: &str, tenant: &Value, issuer: &str) -> Value {
    let mut claims = fixture.claims("pairwise", nonce);
    (claims["iss"], claims["tid"], claims["oid"]) = (json!(issuer), tenant.clone(), json!("the-object"));
    claims
}

/// The provider's answer to a login of a user of this tenant, whose token another issuer may name.
fn log_in(fixture: &Fixture, client: &str, tenant: &Value, issuer: &str, pem: &str) -> Reply {
    let browser = Browser::default();
    let form = fixture.consent_page(&browser, client, &[]);
    let (base, asked) = fixture.answer_form(&browser, &form, "approve", &[]).redirect();
    assert_eq!(base, "https://login.microsoftonline.com/common/oauth2/v2.0/authorize");
    assert!(!asked.contains_key("resource"), "Entra takes none next to scopes");
    let key = SigningKey::from_pem(pem).unwrap();
    let input = jws::encode(
        &Header { alg: key.alg(), kid: key.kid(), typ: "JWT" },
        &claims(fixture, &asked["nonce"], tenant, issuer),
    );
    let id_token = jws::attach(&input, &key.sign(input.as_bytes()).unwrap());
    let answer = Fixture::token_answer(&id_token).to_string();
    fixture.ports.expect_json("idp", "/common/oauth2/v2.0/token", 200, &answer);
    fixture.visit(&browser, &format!("/oauth/callback?code=c&state={}", asked["state"]))
}

fn logged_in(fixture: &Fixture, tenant: &str) -> (Reply, Tokens) {
    let client = fixture.register();
    let reply = log_in(fixture, &client, &json!(tenant), &issuer(tenant), ED25519);
    let tokens = tokens_of(&fixture.redeem(&client, &code_of(&reply), &[]));
    (reply, tokens)
}

#[test]
fn users_of_two_tenants_never_are_one_user() {
    let fixture = fixture();
    let [a, b] = [A, B].map(|tenant| logged_in(&fixture, tenant).0.audit);
    assert_eq!(a.get(AuditField::Subject).unwrap(), format!("{A}:the-object"));
    assert_eq!(b.get(AuditField::Subject).unwrap(), format!("{B}:the-object"));
    assert_ne!(a.get(AuditField::User).unwrap(), b.get(AuditField::User).unwrap());
}

#[test]
fn each_way_to_write_many_tenants_finds_the_document_that_they_share() {
    for (written, path, found) in [
        (COMMON, "/common/v2.0", TEMPLATE),
        ("https://login.microsoftonline.com/organizations/v2.0", "/organizations/v2.0", TEMPLATE),
        (TEMPLATE, "/common/v2.0", TEMPLATE),
        // The document of `consumers` names the one tenant of all personal accounts.
        ("https://login.microsoftonline.com/consumers/v2.0", "/consumers/v2.0", &issuer(A)),
    ] {
        let fixture = fixture_with_keys(&entra(written), path, found, &json!([key(ED25519, None)]));
        logged_in(&fixture, A);
    }
}

#[test]
fn a_token_is_of_the_tenant_whose_issuer_it_names_and_of_an_allowed_one() {
    let (denied, invalid) = (("access_denied", "login_other_tenant"), ("server_error", "provider_invalid_id_token"));
    for (tenant, iss, expected) in [
        (json!(STRANGER), issuer(STRANGER), denied),
        (json!(STRANGER), issuer(A), denied),
        (json!(""), issuer(A), denied),
        (json!(null), issuer(A), denied),
        (json!([A]), issuer(A), denied),
        (json!(A.to_uppercase()), issuer(A), denied),
        (json!("{tenantid}"), TEMPLATE.to_owned(), denied),
        (json!(A), issuer(STRANGER), invalid),
        (json!(A), issuer(B), invalid),
        (json!(A), TEMPLATE.to_owned(), invalid),
        (json!(A), COMMON.to_owned(), invalid),
        (json!(A), format!("{}/", issuer(A)), invalid),
    ] {
        let fixture = fixture();
        let reply = log_in(&fixture, &fixture.register(), &tenant, &iss, ED25519);
        assert_eq!((error_of(&reply).as_str(), reply.reason), expected, "{tenant} {iss}");
    }
}

#[test]
fn a_key_of_one_tenant_signs_for_no_other() {
    let keys = json!([key(ED25519, Some(TEMPLATE)), key(P384, Some(&issuer(B)))]);
    let fixture = || fixture_with_keys(&entra(COMMON), "/common/v2.0", TEMPLATE, &keys);
    code_of(&log_in(&fixture(), &fixture().register(), &json!(B), &issuer(B), P384));
    let fixture = fixture();
    let reply = log_in(&fixture, &fixture.register(), &json!(A), &issuer(A), P384);
    assert_eq!(reply.reason, "provider_invalid_id_token");
}

#[test]
fn a_refreshed_id_token_is_of_the_same_tenant_and_that_is_still_allowed() {
    let fewer = |document: &Value| {
        let mut document = document.clone();
        document["upstreamProviders"][0]["oidcConfig"]["allowedTenants"] = json!([B]);
        document
    };
    for (tenant, document, is_renewed) in
        [(A, entra(COMMON), true), (B, entra(COMMON), false), (A, fewer(&entra(COMMON)), false)]
    {
        let before = fixture();
        let (_, tokens) = logged_in(&before, A);
        let after = before.with_clock_at(&document, before.now() + 3_600);
        let found = json!({
            "issuer": TEMPLATE,
            "authorization_endpoint": "https://login.microsoftonline.com/common/oauth2/v2.0/authorize",
            "token_endpoint": "https://login.microsoftonline.com/common/oauth2/v2.0/token",
            "jwks_uri": "https://login.microsoftonline.com/common/discovery/v2.0/keys",
        });
        let path = "/common/v2.0/.well-known/openid-configuration";
        after.ports.expect_json("idp", path, 200, &found.to_string());
        let keys = json!({ "keys": [key(ED25519, None)] }).to_string();
        after.ports.expect_json("idp", "/common/discovery/v2.0/keys", 200, &keys);
        after.warm();
        let mut answer = renewed();
        answer["id_token"] = json!(after.sign(&claims(&after, "", &json!(tenant), &issuer(tenant))));
        after.ports.expect_json("idp", "/common/oauth2/v2.0/token", 200, &answer.to_string());
        let token =
            UpstreamTokenRef { owner: TokenOwner::Session(session(&tokens)), provider: ProviderId::of("idp", COMMON) };
        let outcome = block_on(refresh::refresh(after.gateway.clone(), token, Cause::Due, after.ports.clone()));
        assert_eq!(crate::refresh::word(&outcome) == "ready", is_renewed, "{tenant}");
    }
}
