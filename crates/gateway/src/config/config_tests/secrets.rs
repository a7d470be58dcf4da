use super::*;
use crate::config::document::Document;

/// Long and hexadecimal: no message has it by accident.
const CANARY: &str = "c0ffee5ec12e7c0ffee5ec12e7c0ffee5ec12e7";

fn refused_without_the_canary(document: &Value) -> Vec<String> {
    let Err(found) = compile(document) else { panic!("accepted: {document}") };
    for problem in &found {
        assert!(!format!("{problem} {problem:?}").contains(CANARY), "{problem}");
    }
    found.iter().map(ToString::to_string).collect()
}

#[test]
fn a_variable_that_is_absent_or_empty_refuses_the_configuration() {
    for name in ["signingKeys", "secrets"] {
        let found = problems(&with(minimal(), &format!("/{name}/0"), json!({ "env": "ABSENT" })));
        assert_eq!(
            found,
            [format!("{name}[0]: the environment variable ABSENT is not set, or not listed in host_env_keys")]
        );
        let found = problems(&with(minimal(), &format!("/{name}/0"), json!({ "env": "EMPTY" })));
        assert_eq!(found, [format!("{name}[0]: the environment variable EMPTY is empty")]);
    }
}

#[test]
fn a_secret_in_place_of_a_variables_name_is_not_repeated() {
    for pointer in ["/signingKeys/0", "/secrets/0", "/upstreamProviders/0/oidcConfig/clientSecret"] {
        let found = refused_without_the_canary(&with(minimal(), pointer, json!({ "env": CANARY })));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("the environment variable is not set"), "{found:?}");
    }
}

#[test]
fn an_inline_secret_outside_development_is_refused() {
    for pointer in ["/signingKeys/0", "/secrets/0", "/upstreamProviders/0/oidcConfig/clientSecret"] {
        let found = refused_without_the_canary(&with(minimal(), pointer, json!({ "inline": CANARY })));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("only allowed with \"development\": true"), "{found:?}");
    }
}

#[test]
fn a_secret_of_less_than_32_bytes_is_refused() {
    let found = problems(&with(minimal(), "/secrets/0", json!({ "env": "SHORT" })));
    assert_eq!(found, ["secrets[0]: must have at least 32 bytes"]);
}

#[test]
fn the_same_secret_or_key_twice_is_refused() {
    let found = problems(&with(minimal(), "/secrets/1", json!({ "env": "SECRET" })));
    assert_eq!(found, ["secrets[1]: is the same secret again"]);
    let found = problems(&with(minimal(), "/signingKeys/1", json!({ "env": "KEY" })));
    assert_eq!(found, ["signingKeys[1]: is the same key again"]);
}

#[test]
fn a_text_that_is_no_signing_key_is_refused_without_being_repeated() {
    let development = with(minimal(), "/development", json!(true));
    let broken = format!("-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----\n");
    for text in [CANARY, broken.as_str()] {
        let found = refused_without_the_canary(&with(development.clone(), "/signingKeys/0", json!({ "inline": text })));
        assert!(found[0].starts_with("signingKeys[0]: "), "{found:?}");
    }
}

#[test]
fn a_secret_in_the_wrong_place_is_not_repeated() {
    for pointer in [
        "/issuer",
        "/signingKeys",
        "/signingKeys/0",
        "/secrets/0",
        "/tokenLifespans",
        "/scopesSupported",
        "/storage",
        "/clients",
        "/consent",
        "/upstreamProviders/0",
        "/upstreamProviders/0/type",
        "/upstreamProviders/0/oidcConfig",
        "/upstreamProviders/0/oidcConfig/issuerUrl",
        "/upstreamProviders/0/oidcConfig/clientSecret",
        "/upstreamProviders/0/oidcConfig/scopes",
        "/resources/0",
        "/resources/0/scopes",
        "/resources/0/inject",
        "/default",
        "/defaultEndpoints",
        "/trustedProxies",
        "/development",
    ] {
        refused_without_the_canary(&with(full(), pointer, json!(CANARY)));
    }
    refused_without_the_canary(&with(full(), "/secrets/0", json!({ "env": [CANARY] })));
    refused_without_the_canary(&with(full(), "/storage/type", json!(format!("a`{CANARY}`, expected b"))));
}

#[test]
fn printing_a_document_shows_no_secret() {
    let document = with(full(), "/secrets/0", json!({ "inline": CANARY }));
    let document = with(document, "/signingKeys/0", json!({ "inline": CANARY }));
    let document = with(document, "/upstreamProviders/0/oidcConfig/clientSecret", json!({ "inline": CANARY }));
    let mut found = Vec::new();
    let document = Document::parse(document.to_string().as_bytes(), &mut found).unwrap();
    let printed = format!("{document:?} {document:#?}");
    assert!(!printed.contains(CANARY), "{printed}");
    assert!(printed.contains("Inline(..)") && printed.contains("Env(OTHER_SECRET)"));
}

#[test]
fn printing_the_parts_of_a_configuration_shows_no_secret() {
    let document = with(full(), "/development", json!(true));
    let document = with(document, "/secrets/0", json!({ "inline": CANARY }));
    let config = compile(&document).ok().unwrap();
    let printed = format!("{:?} {:?} {:?}", config.key_ring, config.signing_keys, oidc(&config).client.client_secret);
    for secret in [CANARY, OTHER_SECRET, "a client secret", KEY.lines().nth(1).unwrap()] {
        assert!(!printed.contains(secret), "{printed}");
    }
}
