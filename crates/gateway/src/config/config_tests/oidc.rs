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

/// The document of a provider at Microsoft Entra.
fn entra(issuer: &str, tenants: &Value) -> Value {
    let document = with(full(), "/upstreamProviders/0/oidcConfig/issuerUrl", json!(issuer));
    with(document, "/upstreamProviders/0/oidcConfig/allowedTenants", tenants.clone())
}

#[test]
fn an_issuer_of_many_tenants_needs_those_that_are_allowed() {
    let tenant = "9188040d-6c67-4c5b-b112-36a304b66dad";
    let at = format!("{SECTION}.allowedTenants");
    for issuer in [
        "https://login.microsoftonline.com/common/v2.0",
        "https://login.microsoftonline.com/organizations/v2.0",
        "https://login.microsoftonline.us/consumers/v2.0",
        "https://login.microsoftonline.com/{tenantid}/v2.0",
        "https://idp.example/{tenantid}",
    ] {
        assert_eq!(path(&problems(&entra(issuer, &json!([])))[0]), at, "{issuer}");
        assert_eq!(problems(&entra(issuer, &json!([tenant]))), [""; 0], "{issuer}");
        for wrong in
            ["example.com", "", "*", "9188040d6c674c5bb11236a304b66dad", "9188040d-6c67-4c5b-b112-36a304b66dag"]
        {
            assert_eq!(path(&problem_of(entra(issuer, &json!([wrong])))), format!("{at}[0]"), "{wrong}");
        }
    }
    for issuer in ["https://idp.example/common/v2.0", &format!("https://login.microsoftonline.com/{tenant}/v2.0")] {
        let found = problem_of(entra(issuer, &json!([tenant])));
        assert_eq!(found, format!("{at}: is only for an issuerUrl of many tenants"), "{issuer}");
    }
    let mut named = entra("https://idp.example/common/v2.0", &json!([tenant]));
    named["upstreamProviders"][0]["oidcConfig"]["quirks"] = json!("entra");
    assert_eq!(problems(&named), [""; 0]);
}

#[test]
fn googles_further_hosts_need_clusters() {
    let google = with(full(), "/upstreamProviders/0/oidcConfig/issuerUrl", json!("https://accounts.google.com"));
    let expected = ["oauth2.googleapis.com", "www.googleapis.com"].map(|host| {
        format!("{SECTION}.clusters: needs Envoy's cluster for `{host}`, where the provider has endpoints")
    });
    assert_eq!(problems(&google), expected);
    let clusters = json!({ "oauth2.googleapis.com": "a", "www.googleapis.com": "b" });
    let google = with(google, "/upstreamProviders/0/oidcConfig/clusters", clusters);
    assert_eq!(problems(&google), [""; 0]);
}

#[test]
fn a_providers_ways_are_followed_unless_the_configuration_has_others() {
    let google = |more: &[(&str, Value)]| {
        let mut document = with(full(), "/upstreamProviders/0/oidcConfig/quirks", json!("google"));
        for (name, value) in more {
            document["upstreamProviders"][0]["oidcConfig"][name] = value.clone();
        }
        let config = compile(&document).unwrap();
        let client = &oidc(&config).client;
        (client.scope.clone(), client.extra_parameters.clone())
    };
    let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let none = ("additionalAuthorizationParams", json!({}));
    let scopes = ("scopes", json!(["openid", "offline_access", "email"]));
    let (scope, parameters) = google(&[scopes, none.clone()]);
    assert_eq!(
        (scope.as_str(), parameters),
        ("openid email", pairs(&[("access_type", "offline"), ("prompt", "consent")]))
    );
    let other = ("additionalAuthorizationParams", json!({ "prompt": "select_account", "hd": "example.com" }));
    let expected = pairs(&[("hd", "example.com"), ("prompt", "select_account"), ("access_type", "offline")]);
    assert_eq!(google(&[other]).1, expected);
    assert!(google(&[("quirks", json!("none")), none]).1.is_empty());
}
