//! The section of an OpenID Connect provider.

use super::*;

/// The section at which every provider of these tests is.
const SECTION: &str = "upstreamProviders[0].oidcConfig";

/// The one problem of a document with a field of the provider's section replaced, or added.
fn problem_at(pointer: &str, value: Value) -> String {
    problem_of(with(full(), &format!("/upstreamProviders/0/oidcConfig{pointer}"), value))
}

#[test]
fn a_claim_with_groups_is_a_short_path() {
    for claim in ["", ".", "a..b", "groups.", "a.b.c.d.e.f.g.h.i"] {
        let expected = "must be up to 8 member names with dots between them, such as \"realm_access.roles\"";
        assert_eq!(problem_at("/groupsClaim", json!(claim)), format!("{SECTION}.groupsClaim: {expected}"), "{claim}");
    }
}

#[test]
fn a_userinfo_endpoint_is_at_a_host_with_a_cluster() {
    for (url, expected) in [
        ("https://other.example/userinfo", "has a host without a cluster: add it to `clusters`"),
        ("http://idp.example/userinfo", "must have the scheme of issuerUrl"),
        ("/userinfo", "must be an absolute https URL without fragment and user name"),
    ] {
        let found = problem_at("/userInfo", json!({ "endpointUrl": url }));
        assert_eq!(found, format!("{SECTION}.userInfo.endpointUrl: {expected}"), "{url}");
    }
}

#[test]
fn a_client_authenticates_with_what_it_has() {
    let method = |method: &str| {
        let mut document = with(full(), "/upstreamProviders/0/oidcConfig/clientAuthentication", json!(method));
        document["upstreamProviders"][0]["oidcConfig"].as_object_mut().unwrap().remove("clientSecret");
        problem_of(document)
    };
    let at = format!("{SECTION}.clientAuthentication");
    assert_eq!(method("basic"), format!("{at}: needs a clientSecret"));
    assert_eq!(method("private_key_jwt"), format!("{at}: needs a clientKey"));
    let both = "needs neither clientSecret nor clientKey: leave them out";
    assert_eq!(problem_at("/clientAuthentication", json!("tls_client_auth")), format!("{at}: {both}"));
    assert_eq!(problem_at("/clientKeyId", json!("k")), format!("{SECTION}.clientKeyId: needs a clientKey"));
    let audience = problem_at("/clientAssertionAudience", json!("issuer"));
    assert_eq!(audience, format!("{SECTION}.clientAssertionAudience: needs a clientKey"));
}

#[test]
fn a_clients_key_is_one_that_can_sign() {
    let found = problem_at("/clientKey", json!({ "env": "CLIENT_SECRET" }));
    assert_eq!(found, format!("{SECTION}.clientKey: no PEM block of a private key found"));
    for id in ["", "a b", "é"] {
        let mut document = with(full(), "/upstreamProviders/0/oidcConfig/clientKey", json!({ "env": "KEY" }));
        document["upstreamProviders"][0]["oidcConfig"]["clientKeyId"] = json!(id);
        assert_eq!(path(&problem_of(document)), format!("{SECTION}.clientKeyId"), "{id}");
    }
}

#[test]
fn token_parameters_that_the_gateway_sets_cannot_be_configured() {
    for name in ["grant_type", "code", "code_verifier", "client_id", "client_secret", "client_assertion"] {
        let found = problem_at("/additionalTokenParams", json!({ name: "x" }));
        assert_eq!(found, format!("{SECTION}.additionalTokenParams.{name}: is set by the gateway itself"));
    }
    assert_eq!(
        problems(&with(full(), "/upstreamProviders/0/oidcConfig/additionalTokenParams", json!({ "scope": "a" }))),
        [""; 0]
    );
}
