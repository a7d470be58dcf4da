use serde_json::json;

use super::*;
use crate::config::Compiled;

/// A gateway with these resources.
fn config(resources: &[(&str, &str)], issuer: &str) -> Config {
    let resources: Vec<_> =
        resources.iter().map(|(uri, prefix)| json!({ "resource": uri, "match": { "prefix": prefix } })).collect();
    let document = json!({
        "issuer": issuer,
        "signingKeys": [{ "inline": include_str!("../../../protocol/testdata/keys/p256.pkcs8.pem") }],
        "secrets": [{ "inline": "a-development-secret-of-32-bytes-at-least" }],
        "upstreamProviders": [{
            "name": "idp",
            "type": "oidc",
            "oidcConfig": { "issuerUrl": "https://idp.example", "cluster": "idp", "clientId": "portcullis" },
        }],
        "resources": resources,
        "development": true,
    });
    match Config::compile(document.to_string().as_bytes(), &|_| None) {
        Ok(Compiled::Ready(config)) => *config,
        Ok(Compiled::Awaiting(_)) => panic!("no secret is the bridge's"),
        Err(problems) => panic!("{problems:?}"),
    }
}

fn at_root() -> Config {
    let resources = [("https://gw.example/mcp", "/mcp"), ("https://api.example/mcp/deep", "/mcp/deep")];
    config(&resources, "https://gw.example")
}

fn below_a_path() -> Config {
    config(&[("https://gw.example/mcp", "/mcp")], "https://gw.example/auth")
}

fn led(config: &Config, target: &str) -> Route {
    route(config, &RoutePath::parse(target.as_bytes()).unwrap())
}

fn by_default(config: &Config, target: &str) -> Option<Endpoint> {
    default_endpoint(config, &RoutePath::parse(target.as_bytes()).unwrap())
}

#[test]
fn every_path_of_the_table_leads_to_its_endpoint_and_is_the_gateways_own() {
    for (config, base) in [(at_root(), ""), (below_a_path(), "/auth")] {
        for endpoint in Endpoint::ALL {
            let entry = endpoint.entry();
            if let Some(path) = entry.path {
                assert!(path.starts_with("/oauth/") || path.starts_with("/.well-known/"), "{path}");
                assert_eq!(led(&config, &format!("{base}{path}")), Route::Endpoint(*endpoint, None), "{path}");
            }
            for name in entry.well_known {
                let path = format!("/.well-known/{name}");
                assert_eq!(led(&config, &path).endpoint(), Some(*endpoint), "{path}");
            }
            if let Some(path) = entry.default_path {
                assert_eq!(by_default(&config, path), Some(*endpoint), "{path}");
            }
            assert!(entry.body_bytes <= crate::runtime::BODY_HELD_BYTES, "{endpoint:?}");
        }
    }
}

#[test]
fn every_endpoint_lies_below_the_issuer() {
    for (config, base) in [(at_root(), ""), (below_a_path(), "/auth")] {
        for (path, expected) in [
            ("/oauth/authorize", Route::Endpoint(Endpoint::Authorize, None)),
            ("/oauth/consent", Route::Endpoint(Endpoint::Consent, None)),
            ("/oauth/callback", Route::Endpoint(Endpoint::Callback, None)),
            ("/oauth/token", Route::Endpoint(Endpoint::Token, None)),
            ("/oauth/register", Route::Endpoint(Endpoint::Register, None)),
            ("/oauth", Route::Nothing),
            ("/oauth/", Route::Nothing),
            ("/oauth/token/", Route::Nothing),
            ("/oauth/Token", Route::Nothing),
            ("/oauth/introspect", Route::Nothing),
            ("/oauthx", Route::Other),
            ("/.well-known/openid-configuration", Route::Endpoint(Endpoint::AuthorizationServerMetadata, None)),
            ("/.well-known/jwks.json", Route::Endpoint(Endpoint::Keys, None)),
        ] {
            assert_eq!(led(&config, &format!("{base}{path}?query=1")), expected, "{base}{path}");
        }
    }
    assert_eq!(led(&below_a_path(), "/oauth/token"), Route::Other);
    assert_eq!(led(&below_a_path(), "/authoauth/token"), Route::Other);
}

#[test]
fn the_well_known_documents_are_found_in_every_form_that_clients_try() {
    for (config, target, expected) in [
        (
            at_root(),
            "/.well-known/oauth-authorization-server",
            Route::Endpoint(Endpoint::AuthorizationServerMetadata, None),
        ),
        (
            at_root(),
            "/.well-known/oauth-authorization-server/",
            Route::Endpoint(Endpoint::AuthorizationServerMetadata, None),
        ),
        (
            at_root(),
            "/.well-known/oauth-authorization-server/mcp",
            Route::Endpoint(Endpoint::AuthorizationServerMetadata, None),
        ),
        (
            at_root(),
            "/.well-known/openid-configuration/mcp/deep",
            Route::Endpoint(Endpoint::AuthorizationServerMetadata, None),
        ),
        (
            below_a_path(),
            "/.well-known/oauth-authorization-server",
            Route::Endpoint(Endpoint::AuthorizationServerMetadata, None),
        ),
        (
            below_a_path(),
            "/.well-known/oauth-authorization-server/auth",
            Route::Endpoint(Endpoint::AuthorizationServerMetadata, None),
        ),
        (
            below_a_path(),
            "/.well-known/openid-configuration/auth/",
            Route::Endpoint(Endpoint::AuthorizationServerMetadata, None),
        ),
        (
            below_a_path(),
            "/.well-known/openid-configuration/mcp",
            Route::Endpoint(Endpoint::AuthorizationServerMetadata, None),
        ),
        (at_root(), "/.well-known/jwks.json", Route::Endpoint(Endpoint::Keys, None)),
        (
            at_root(),
            "/.well-known/oauth-protected-resource",
            Route::Endpoint(Endpoint::ProtectedResourceMetadata, Some(0)),
        ),
        (
            at_root(),
            "/.well-known/oauth-protected-resource/mcp",
            Route::Endpoint(Endpoint::ProtectedResourceMetadata, Some(0)),
        ),
        (
            at_root(),
            "/.well-known/oauth-protected-resource/mcp/",
            Route::Endpoint(Endpoint::ProtectedResourceMetadata, Some(0)),
        ),
        (
            at_root(),
            "/.well-known/oauth-protected-resource/mcp/deep",
            Route::Endpoint(Endpoint::ProtectedResourceMetadata, Some(1)),
        ),
        (at_root(), "/.well-known/oauth-protected-resource/other", Route::Nothing),
        (at_root(), "/.well-known/oauth-protected-resource/mcpx", Route::Nothing),
        (at_root(), "/.well-known/oauth-authorization-server/other", Route::Nothing),
        (at_root(), "/.well-known/openid-configuration/mcp/deeper", Route::Nothing),
        (at_root(), "/.well-known/jwks.json/mcp", Route::Nothing),
        (at_root(), "/.well-known/other", Route::Other),
        (at_root(), "/.well-known", Route::Other),
    ] {
        assert_eq!(led(&config, target), expected, "{target}");
    }
}

#[test]
fn a_resource_is_matched_by_whole_segments_and_the_longest_prefix_decides() {
    let config = at_root();
    for target in ["/mcp", "/mcp/", "/mcp/x", "/mcp?x=/mcp/deep", "/mcp/x;v=1", "/mcp/x%20y", "/mcp/deeper"] {
        assert_eq!(led(&config, target), Route::Resource(0), "{target}");
    }
    for target in ["/mcp/deep", "/mcp/deep/x", "/mcp/deep/x;v=1"] {
        assert_eq!(led(&config, target), Route::Resource(1), "{target}");
    }
    for target in ["/mcpx", "/", "/x/mcp", "/mcp.json"] {
        assert_eq!(led(&config, target), Route::Other, "{target}");
    }
}

#[test]
fn registrations_and_callbacks_are_known_to_ask_for_their_peer_and_no_call_to_a_resource_is() {
    for (config, target) in
        [(at_root(), "/oauth/register"), (at_root(), "/oauth/register?a=1"), (below_a_path(), "/auth/oauth/register")]
    {
        assert!(
            led(&config, target) == Route::Endpoint(Endpoint::Register, None) && asks_for_peer(target.as_bytes()),
            "{target}"
        );
        let target = target.replace("register", "callback");
        assert!(
            led(&config, &target) == Route::Endpoint(Endpoint::Callback, None) && asks_for_peer(target.as_bytes()),
            "{target}"
        );
    }
    assert_eq!(by_default(&at_root(), "/register"), Some(Endpoint::Register));
    assert!(asks_for_peer(b"/register") && asks_for_peer(b"/register?a=1"));
    // Another spelling is another path.
    for target in ["/oauth/%72egister", "/%72egister", "/mcp", "/mcp?a=1", "/", "", "/oauth/token", "/oauth", "/token"]
    {
        assert!(!asks_for_peer(target.as_bytes()), "{target}");
    }
    assert_ne!(led(&at_root(), "/oauth/%72egister"), Route::Endpoint(Endpoint::Register, None));
    assert_eq!(by_default(&at_root(), "/%72egister"), None);
}

#[test]
fn the_default_endpoints_are_at_the_root_whatever_the_path_of_the_issuer() {
    for config in [at_root(), below_a_path()] {
        for (target, expected) in [
            ("/authorize", Some(Endpoint::Authorize)),
            ("/authorize?client_id=x", Some(Endpoint::Authorize)),
            ("/token", Some(Endpoint::Token)),
            ("/register", Some(Endpoint::Register)),
            ("/token/", None),
            ("/token/x", None),
            ("/Token", None),
            ("/%74oken", None),
            ("/token;x", None),
            ("/consent", None),
            ("/callback", None),
            ("/auth/token", None),
            ("/x/token", None),
            ("/", None),
        ] {
            assert_eq!((led(&config, target), by_default(&config, target)), (Route::Other, expected), "{target}");
        }
    }
}
