#[path = "config_tests/bridged.rs"]
mod bridged;
#[path = "config_tests/client_documents.rs"]
mod client_documents;
#[path = "config_tests/injection.rs"]
mod injection;
#[path = "config_tests/oauth2.rs"]
mod oauth2;
#[path = "config_tests/oidc.rs"]
mod oidc;
#[path = "config_tests/providers.rs"]
mod providers;
#[path = "config_tests/refusals.rs"]
mod refusals;
#[path = "config_tests/secrets.rs"]
mod secrets;
#[path = "config_tests/several.rs"]
mod several;
#[path = "config_tests/trusted_issuers.rs"]
mod trusted_issuers;
#[path = "config_tests/users.rs"]
mod users;

use portcullis_storage_api::wire::Space;
use serde_json::{Value, json};

use super::*;

const KEY: &str = include_str!("../../../protocol/testdata/keys/p256.pkcs8.pem");
const OTHER_KEY: &str = include_str!("../../../protocol/testdata/keys/ed25519.pkcs8.pem");
const SECRET: &str = "an-environment-secret-of-32-bytes-at-least";
const OTHER_SECRET: &str = "another-environment-secret-of-32-bytes";

/// The settings of the one provider.
fn oidc(config: &Config) -> &OidcProvider {
    match &config.providers.iter().next().unwrap().kind {
        ProviderKind::Oidc(settings) => settings,
        ProviderKind::OAuth2(_) => panic!("it is another kind of provider"),
    }
}

/// The least that a configuration needs.
fn minimal() -> Value {
    json!({
        "issuer": "https://gateway.example",
        "signingKeys": [{ "env": "KEY" }],
        "secrets": [{ "env": "SECRET" }],
        "upstreamProviders": [{
            "name": "idp",
            "type": "oidc",
            "oidcConfig": { "issuerUrl": "https://idp.example", "cluster": "idp", "clientId": "portcullis" },
        }],
        "resources": [{
            "resource": "https://gateway.example/mcp",
            "match": { "prefix": "/mcp" },
        }],
    })
}

/// Everything that can be written, and none of it the default.
fn full() -> Value {
    json!({
        "issuer": "https://gateway.example:8443/auth",
        "signingKeys": [{ "env": "KEY" }, { "env": "OTHER_KEY" }],
        "secrets": [{ "env": "SECRET" }, { "env": "OTHER_SECRET" }],
        "tokenLifespans": { "accessToken": "15m", "refreshToken": "30d", "authorizationCode": "1m30s", "connection": "2h" },
        "scopesSupported": ["openid", "tools", "read"],
        "storage": { "type": "memory", "maxBytes": 1_048_576 },
        "clients": {
            "dynamicRegistration": { "enabled": true, "lifetime": "90d", "ratePerMinute": 7 },
            // What turns it on depends on the store.
            "metadataDocuments": {
                "allowedDomains": ["client.example"], "allowedPorts": [8443], "cluster": "client-documents",
                "maxBytes": 5_120, "minAge": "2m", "maxAge": "2h", "ratePerMinute": 12, "globalRatePerMinute": 13,
            },
        },
        "logins": { "ratePerMinute": 11 },
        "consent": { "remember": "0s", "title": "Example", "logo": "data:image/png;base64,AAAA" },
        "upstreamProviders": [{
            "name": "corp-idp",
            "type": "oidc",
            "oidcConfig": {
                "issuerUrl": "https://idp.example/tenant/",
                "cluster": "idp",
                "clusters": { "Keys.idp.example:8443": "keys" },
                "clientId": "portcullis",
                "clientSecret": { "env": "CLIENT_SECRET" },
                "scopes": ["openid", "mail"],
                "clientAuthentication": "post",
                "subjectClaim": "oid",
                "additionalAuthorizationParams": { "access_type": "offline" },
            },
        }],
        "trustedIssuers": [{
            "issuer": "https://kubernetes.default.svc", "jwksUrl": "https://10.0.0.1:6443/openid/v1/jwks",
            "cluster": "kube-api", "audiences": ["portcullis"], "allowedSubjects": ["system:serviceaccount:apps:*"],
            "algorithms": ["RS256"], "scopes": ["tools"], "leeway": "5s", "maxKeyAge": "2h",
        }],
        "resources": [
            {
                "resource": "https://GATEWAY.example/mcp/",
                "match": { "prefix": "/mcp/" },
                "scopes": ["tools"],
                "inject": { "type": "upstreamInject", "providerName": "corp-idp", "header": "X-Upstream-Token" },
            },
            {
                "resource": "https://gateway.example/api",
                "match": { "prefix": "/api" },
                "scopes": [],
                "issuers": ["https://kubernetes.default.svc", "self"],
                "inject": { "type": "none" },
            },
        ],
        "defaultResource": "https://GATEWAY.example/mcp",
        "default": "pass",
        "defaultEndpoints": false,
        "trustedProxies": 2,
        "development": false,
    })
}

/// As [`full`], with the bridge as the store.
fn bridged() -> Value {
    let storage = json!({ "type": "bridge", "cluster": "redis-bridge", "namespace": "prod", "name": "gateway-1" });
    with(full(), "/storage", storage)
}

/// The environment of every test here.
fn environment(name: &str) -> Option<String> {
    let value = match name {
        "KEY" => KEY,
        "OTHER_KEY" => OTHER_KEY,
        "SECRET" => SECRET,
        "OTHER_SECRET" => OTHER_SECRET,
        "CLIENT_SECRET" => "  a client secret\n",
        "EMPTY" => " \n",
        "SHORT" => "31-bytes-are-one-too-few-for-us",
        _ => return None,
    };
    Some(value.to_owned())
}

fn compile(document: &Value) -> Result<Config, Vec<Problem>> {
    match Config::compile(document.to_string().as_bytes(), &environment)? {
        Compiled::Ready(config) => Ok(*config),
        Compiled::Awaiting(_) => panic!("no secret is the bridge's"),
    }
}

/// The problems as they are printed.
fn problems(document: &Value) -> Vec<String> {
    match compile(document) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

/// The one problem of a document.
fn problem_of(document: Value) -> String {
    let found = problems(&document);
    assert_eq!(found.len(), 1, "{found:?}");
    found.into_iter().next().unwrap()
}

/// The path that a problem names.
fn path(problem: &str) -> &str {
    problem.split_once(": ").unwrap().0
}

/// A document with the value at a JSON pointer replaced, or added.
fn with(mut document: Value, pointer: &str, value: Value) -> Value {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    match document.pointer_mut(parent).unwrap() {
        Value::Object(fields) => {
            fields.insert(name.to_owned(), value);
        }
        Value::Array(items) => match items.get_mut(name.parse::<usize>().unwrap()) {
            Some(item) => *item = value,
            None => items.push(value),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => panic!("{pointer} leads nowhere"),
    }
    document
}

fn without(mut document: Value, name: &str) -> Value {
    document.as_object_mut().unwrap().remove(name).unwrap();
    document
}

#[test]
fn the_least_that_is_needed_gets_the_defaults() {
    let config = compile(&minimal()).ok().unwrap();
    assert_eq!(config.issuer.url, "https://gateway.example");
    assert_eq!(
        (config.issuer.origin.as_str(), config.issuer.authority.as_str()),
        ("https://gateway.example", "gateway.example")
    );
    assert_eq!((config.issuer.path.as_str(), config.issuer.https), ("", true));
    let Lifespans { access_token, refresh_token, authorization_code, connection } = config.lifespans;
    assert_eq!((access_token, refresh_token, authorization_code), (3600, 168 * 3600, 600));
    assert_eq!(connection, 90 * 86_400);
    assert_eq!(config.scopes_supported.to_string(), "offline_access");
    assert_eq!(config.storage, Storage::Memory { max_bytes: 64 * 1024 * 1024 });
    let policy = config.registration;
    assert_eq!((policy.enabled, policy.lifetime, policy.per_address), (true, 720 * 3600, 60));
    assert_eq!(config.logins_per_minute, 300);
    assert_eq!((config.consent.remember, config.consent.title.as_str()), (720 * 3600, "Portcullis"));
    assert!(config.consent.logo.is_none());
    assert_eq!(oidc(&config).client.scope, "openid offline_access");
    assert_eq!((oidc(&config).subject_claim.as_str(), oidc(&config).client.client_secret.is_none()), ("sub", true));
    assert_eq!(oidc(&config).discovery_path, "/.well-known/openid-configuration");
    assert!(!oidc(&config).client.plain_http);
    let [resource] = config.resources.as_slice() else { panic!("one resource") };
    assert_eq!(oidc(&config).client.authentication, ClientAuthentication::Auto);
    assert_eq!((resource.prefix.as_str(), resource.scope_text.as_str()), ("/mcp", ""));
    assert!(matches!(resource.injection, Injection::Nothing) && resource.identity.is_none());
    assert!(config.reserved_names.is_none());
    assert_eq!(resource.metadata_url, "https://gateway.example/.well-known/oauth-protected-resource/mcp");
    assert_eq!((config.default, config.default_endpoints), (DefaultAction::Deny, true));
    assert_eq!(config.default_resource, None);
    assert_eq!(config.trusted_proxies, 0);
}

#[test]
fn a_bridge_is_taken_as_written_and_has_three_seconds_unless_told_otherwise() {
    for (document, timeout_ms) in [(bridged(), 3_000), (with(bridged(), "/storage/timeout", json!("5s")), 5_000)] {
        let space = Space::new("prod", "gateway-1").unwrap();
        let expected = BridgeSettings { cluster: "redis-bridge".to_owned(), space, timeout_ms };
        assert_eq!(compile(&document).ok().unwrap().storage, Storage::Bridge(expected));
    }
}

#[test]
fn everything_that_is_written_is_taken() {
    let config = compile(&full()).ok().unwrap();
    assert_eq!(config.issuer.url, "https://gateway.example:8443/auth");
    assert_eq!(config.issuer.origin, "https://gateway.example:8443");
    assert_eq!((config.issuer.authority.as_str(), config.issuer.path.as_str()), ("gateway.example:8443", "/auth"));
    let algorithms: Vec<_> = config.signing_keys.iter().map(|key| key.alg().name()).collect();
    assert_eq!(algorithms, ["ES256", "EdDSA"]);
    let Lifespans { access_token, refresh_token, authorization_code, connection } = config.lifespans;
    assert_eq!((access_token, refresh_token, authorization_code), (900, 30 * 86_400, 90));
    assert_eq!(connection, 7_200);
    assert_eq!(config.scopes_supported.to_string(), "openid tools read");
    assert_eq!(config.storage, Storage::Memory { max_bytes: 1_048_576 });
    let policy = config.registration;
    assert_eq!((policy.enabled, policy.lifetime, policy.per_address), (true, 90 * 86_400, 7));
    assert_eq!(config.logins_per_minute, 11);
    assert_eq!((config.consent.remember, config.consent.title.as_str()), (0, "Example"));
    assert_eq!(config.consent.logo.as_deref(), Some("data:image/png;base64,AAAA"));
    let provider = oidc(&config);
    assert_eq!(
        (&*config.providers.iter().next().unwrap().name, provider.issuer.as_str()),
        ("corp-idp", "https://idp.example/tenant/")
    );
    assert_eq!(provider.discovery_path, "/tenant/.well-known/openid-configuration");
    let clusters: Vec<_> =
        provider.client.clusters.iter().map(|(host, cluster)| (host.as_str(), cluster.as_str())).collect();
    assert_eq!(clusters, [("idp.example", "idp"), ("keys.idp.example:8443", "keys")]);
    assert!(provider.client.client_secret.as_ref().unwrap().ct_eq(b"a client secret"), "trimmed");
    assert_eq!((provider.client.scope.as_str(), provider.subject_claim.as_str()), ("openid mail", "oid"));
    assert_eq!(provider.client.extra_parameters, [("access_type".to_owned(), "offline".to_owned())]);
    let [mcp, api] = config.resources.as_slice() else { panic!("two resources") };
    assert_eq!(provider.client.authentication, ClientAuthentication::Post);
    assert_eq!((mcp.uri.as_str(), mcp.prefix.as_str()), ("https://gateway.example/mcp", "/mcp"));
    assert_eq!(mcp.injection.header().map(|name| &**name), Some("x-upstream-token"));
    assert!(matches!(api.injection, Injection::Nothing) && api.scopes.is_empty());
    assert_eq!((config.default, config.default_endpoints), (DefaultAction::Pass, false));
    assert_eq!(config.default_resource, Some(0));
    assert_eq!(config.trusted_proxies, 2);
}

#[test]
fn registration_can_be_turned_off() {
    let document = with(minimal(), "/clients", json!({ "dynamicRegistration": { "enabled": false } }));
    assert!(!compile(&document).ok().unwrap().registration.enabled);
}

#[test]
fn the_whole_host_can_be_one_resource() {
    let document = with(minimal(), "/resources/0/resource", json!("https://gateway.example"));
    let config = compile(&with(document, "/resources/0/match/prefix", json!("/"))).ok().unwrap();
    assert_eq!(config.resources[0].prefix, "");
    assert_eq!(config.resources[0].metadata_path, "/.well-known/oauth-protected-resource");
}

#[test]
fn plain_http_is_for_loopback_in_development() {
    for issuer in ["http://127.0.0.1:8080", "http://localhost", "http://[::1]:8080/auth"] {
        let document = with(minimal(), "/issuer", json!(issuer));
        let config = compile(&with(document, "/development", json!(true))).ok().unwrap();
        assert!(!config.issuer.https, "{issuer}");
    }
    let provider = with(minimal(), "/upstreamProviders/0/oidcConfig/issuerUrl", json!("http://127.0.0.1:9000"));
    let config = compile(&with(provider, "/development", json!(true))).ok().unwrap();
    assert!(oidc(&config).client.plain_http);
}

#[test]
fn development_allows_lifespans_of_seconds_and_inline_secrets() {
    let document = with(minimal(), "/development", json!(true));
    let document = with(document, "/signingKeys/0", json!({ "inline": KEY }));
    let document = with(document, "/secrets/0", json!({ "inline": SECRET }));
    let lifespans = json!({ "accessToken": "1s", "refreshToken": "1s", "authorizationCode": "1s", "connection": "1s" });
    let config = compile(&with(document, "/tokenLifespans", lifespans)).ok().unwrap();
    assert_eq!((config.lifespans.access_token, config.lifespans.refresh_token), (1, 1));
}
