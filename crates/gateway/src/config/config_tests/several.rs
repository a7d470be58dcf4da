//! Every mistake is found at once, and none that only follows from another.

use super::*;

#[test]
fn several_mistakes_are_reported_at_once() {
    let document = with(minimal(), "/issuer", json!("http://gateway.example"));
    let document = with(document, "/secrets/0", json!({ "env": "ABSENT" }));
    let document = with(document, "/tokenLifespans", json!({ "accessToken": "1s", "refreshToken": "soon" }));
    let document = with(document, "/consent", json!({ "title": "" }));
    let document = with(document, "/upstreamProviders/0/oidcConfig/clientSecret", json!({ "env": "ABSENT" }));
    let document = with(document, "/upstreamProviders/0/oidcConfig/clientId", json!(""));
    let document = with(document, "/resources/0/match/prefix", json!("mcp"));
    let found = problems(&document);
    let paths: Vec<_> = found.iter().map(|problem| path(problem)).collect();
    assert_eq!(
        paths,
        [
            "issuer",
            "secrets[0]",
            "tokenLifespans.accessToken",
            "tokenLifespans.refreshToken",
            "consent.title",
            "upstreamProviders[0].oidcConfig.clientSecret",
            "upstreamProviders[0].oidcConfig.clientId",
            "resources[0].match.prefix",
        ]
    );
}

#[test]
fn mistakes_of_form_are_reported_at_once_too() {
    let document = with(without(minimal(), "issuer"), "/strange", json!(1));
    let document = with(document, "/resources/0/scopes", json!("ftp"));
    let document = with(document, "/signingKeys/0", json!({ "file": "/etc/key" }));
    let found = problems(&document);
    let paths: Vec<_> = found.iter().map(|problem| path(problem)).collect();
    assert_eq!(paths, ["issuer", "signingKeys[0]", "resources[0].scopes", "strange"]);
}

#[test]
fn all_mistakes_of_one_section_are_reported_at_once_with_those_of_content() {
    let document = with(
        minimal(),
        "/upstreamProviders/0",
        json!({
            "name": "IDP", "type": "saml", "strange": 1,
            "oidcConfig": { "issuerUrl": "ftp://idp", "scopes": "openid", "clientSecret": { "file": "x" }, "other": [] },
        }),
    );
    let document = with(document, "/storage", json!({ "type": "bridge", "namespace": 1, "name": "Upper", "size": 2 }));
    let document = with(document, "/tokenLifespans", json!({ "accessToken": 5, "refreshToken": [], "code": "1m" }));
    let document = with(document, "/resources/0/inject", json!({ "type": "upstreamInject", "header": 1 }));
    let document = with(document, "/resources/1", json!({ "resource": "mcp", "match": {} }));
    let found = problems(&without(document, "issuer"));
    let expected = [
        "issuer: is required",
        "tokenLifespans.accessToken: must be text",
        "tokenLifespans.code: is not a known field; known here: accessToken, refreshToken, authorizationCode, connection",
        "tokenLifespans.refreshToken: must be text",
        "storage.namespace: must be text",
        "storage.size: is not a known field; known here: cluster, namespace, name, timeout",
        "storage.cluster: is required",
        "upstreamProviders[0].oidcConfig.clientSecret: must be one of \"env\", \"bridge\", \"inline\"",
        "upstreamProviders[0].oidcConfig.other: is not a known field; known here: issuerUrl, allowedTenants, quirks, cluster, \
         clusters, clientId, \
         clientSecret, clientKey, clientKeyId, clientAssertionAudience, clientAuthentication, scopes, subjectClaim, \
         groupsClaim, userInfo, defaultTokenLifespan, additionalAuthorizationParams, \
         additionalTokenParams",
        "upstreamProviders[0].oidcConfig.scopes: must be a list",
        "upstreamProviders[0].oidcConfig.cluster: is required",
        "upstreamProviders[0].oidcConfig.clientId: is required",
        "upstreamProviders[0].strange: is not a known field; known here: name, displayName, type, login, oidcConfig",
        "upstreamProviders[0].type: must be \"oidc\"",
        "resources[0].inject.header: must be text",
        "resources[0].inject.providerName: is required",
        "resources[1].match.prefix: is required",
        "storage.name: must be a DNS label: a-z, 0-9 and '-', at most 63",
        "upstreamProviders[0].name: must be a DNS label: a-z, 0-9 and '-', at most 63",
        "upstreamProviders[0].oidcConfig.issuerUrl: must be an absolute https URL",
        "resources[1].resource: ",
    ];
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found}, and not {expected}");
    }
    assert_eq!(found.len(), expected.len(), "{found:?}");
}

#[test]
fn nothing_is_concluded_from_a_section_with_a_mistake_of_form() {
    for (pointer, value, expected) in [
        ("/scopesSupported", json!(["tools", 1]), "scopesSupported[1]"),
        ("/storage/type", json!("redis"), "storage.type"),
        ("/upstreamProviders/0/name", json!(1), "upstreamProviders[0].name"),
        ("/upstreamProviders/0", json!(1), "upstreamProviders[0]"),
        ("/development", json!("yes"), "development"),
    ] {
        let document = with(bridged(), "/secrets/0", json!({ "bridge": "gateway-secret" }));
        let document = if pointer == "/development" {
            with(document, "/signingKeys", json!([{ "inline": KEY }]))
        } else {
            document
        };
        let problem = problem_of(with(document, pointer, value));
        assert_eq!(path(&problem), expected, "{problem}");
    }
}

#[test]
fn a_name_that_no_field_could_have_is_not_repeated() {
    for pointer in ["/tokenLifespans/hunter2", "/hunter2", "/resources/0/match/hunter2 x", "/storage/hunter2"] {
        let problem = problem_of(with(full(), pointer, json!({ "a": 1 })));
        assert!(problem.contains("has an unknown field") && !problem.contains("hunter"), "{problem}");
    }
    for text in ["expected `hunter2`", "missing field `hunter2`", "unknown field `hunter2`, expected `hunter2`"] {
        for pointer in ["/trustedProxies", "/storage/maxBytes", "/resources/0/scopes", "/resources/0/match"] {
            let problem = problem_of(with(full(), pointer, json!(text)));
            assert!(!problem.contains("hunter"), "{problem}");
        }
    }
}

#[test]
fn a_document_that_is_wrong_everywhere_is_refused_in_bounded_time() {
    let strange: serde_json::Map<String, Value> = (0..2_000).map(|number| (format!("a{number}"), json!(1))).collect();
    let found = problems(&with(full(), "/consent", Value::Object(strange)));
    assert!((1..=200).contains(&found.len()), "{}", found.len());
}

#[test]
fn without_an_environment_everything_but_the_secrets_is_checked() {
    let document = with(full(), "/secrets/0", json!({ "env": "ABSENT" }));
    let document = with(document, "/upstreamProviders/0/oidcConfig/clientSecret", json!({ "env": "ABSENT" }));
    let check = |document: &Value, env| {
        let found = Config::check(document.to_string().as_bytes(), env);
        found.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(check(&document, None), [""; 0]);
    assert_eq!(check(&document, Some(&environment)).len(), 2);
    assert_eq!(check(&full(), Some(&environment)), [""; 0]);
    assert_eq!(check(&with(document, "/secrets/0", json!({ "bridge": "a" })), None).len(), 1);
    assert_eq!(check(&with(bridged(), "/secrets/0", json!({ "bridge": "a" })), Some(&environment)), [""; 0]);
}
