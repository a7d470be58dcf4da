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
