//! What would be unsafe to ignore, and what cannot be used.

use portcullis_gateway::audit::Reason;
use serde_json::json;

use super::{Expected, Mode};

pub(super) const MODES: &[Mode] = &[
    Mode {
        name: "another issuer's discovery document",
        expected: Expected::Refused(Reason::ProviderWrongIssuer, "`issuer` is another one"),
        bend: |shape| shape.discovery.json.set("issuer", "https://evil.example"),
    },
    Mode {
        name: "an issuer with a slash more",
        expected: Expected::Refused(Reason::ProviderWrongIssuer, "differ in a slash at their end"),
        bend: |shape| {
            let issuer = shape.claims.text("iss");
            shape.discovery.json.set("issuer", format!("{issuer}/"));
        },
    },
    Mode {
        name: "a discovery document without issuer",
        expected: Expected::Refused(Reason::ProviderInvalidDocuments, "document has no `issuer`"),
        bend: |shape| shape.discovery.json.remove("issuer"),
    },
    Mode {
        name: "a discovery document that names its issuer twice",
        expected: Expected::Refused(Reason::ProviderInvalidDocuments, "discovery document repeats a member"),
        bend: |shape| shape.discovery.json.add("\"issuer\":\"https://evil.example\""),
    },
    Mode {
        name: "a discovery document without authorization endpoint",
        expected: Expected::Refused(Reason::ProviderInvalidDocuments, "no `authorization_endpoint`"),
        bend: |shape| shape.discovery.json.remove("authorization_endpoint"),
    },
    Mode {
        name: "a discovery document without token endpoint",
        expected: Expected::Refused(Reason::ProviderInvalidDocuments, "no `token_endpoint`"),
        bend: |shape| shape.discovery.json.remove("token_endpoint"),
    },
    Mode {
        name: "a discovery document without key set",
        expected: Expected::Refused(Reason::ProviderInvalidDocuments, "no `jwks_uri`"),
        bend: |shape| shape.discovery.json.remove("jwks_uri"),
    },
    Mode {
        name: "an authorization endpoint that is no web address",
        expected: Expected::Refused(Reason::ProviderInvalidDocuments, "`authorization_endpoint` is not an https URL"),
        bend: |shape| shape.discovery.json.set("authorization_endpoint", "javascript:alert(1)"),
    },
    Mode {
        name: "a token endpoint that is no web address",
        expected: Expected::Refused(Reason::ProviderInvalidDocuments, "`token_endpoint` is not an https URL"),
        bend: |shape| shape.discovery.json.set("token_endpoint", "ftp://idp.example/token"),
    },
    Mode {
        name: "a key set at no web address",
        expected: Expected::Refused(Reason::ProviderInvalidDocuments, "`jwks_uri` is not an https URL"),
        bend: |shape| shape.discovery.json.set("jwks_uri", "file:///etc/keys"),
    },
    Mode {
        name: "a token endpoint at a host without a cluster",
        expected: Expected::Refused(
            Reason::ProviderEndpointWithoutCluster,
            "`token_endpoint` is at a host without a cluster",
        ),
        bend: |shape| shape.discovery.json.set("token_endpoint", "https://evil.example/token"),
    },
    Mode {
        name: "a key set at a host without a cluster",
        expected: Expected::Refused(
            Reason::ProviderEndpointWithoutCluster,
            "`jwks_uri` is at a host without a cluster",
        ),
        bend: |shape| shape.discovery.json.set("jwks_uri", "https://evil.example/keys"),
    },
    Mode {
        name: "an endpoint that takes no secret",
        expected: Expected::Refused(
            Reason::ProviderClientAuthentication,
            "no client authentication that there is a credential for",
        ),
        bend: |shape| shape.discovery.json.set("token_endpoint_auth_methods_supported", json!(["tls_client_auth"])),
    },
    Mode {
        name: "a provider that signs with other algorithms",
        expected: Expected::Refused(Reason::ProviderInvalidDocuments, "signs ID tokens with none of"),
        bend: |shape| shape.discovery.json.set("id_token_signing_alg_values_supported", json!(["PS256", "HS256"])),
    },
    Mode {
        name: "a page in place of the discovery document",
        expected: Expected::Refused(Reason::ProviderNotJson, "discovery document is not JSON"),
        bend: |shape| shape.discovery.send(200, "text/html", "<!doctype html>"),
    },
    Mode {
        name: "a redirect in place of the discovery document",
        expected: Expected::Refused(Reason::ProviderStatus, "it answered with status 302"),
        bend: |shape| shape.discovery.send(302, "", ""),
    },
    Mode {
        name: "an empty discovery document",
        expected: Expected::Refused(Reason::ProviderInvalidDocuments, "discovery document is empty"),
        bend: |shape| shape.discovery.send(200, "application/json", ""),
    },
    Mode {
        name: "a compressed discovery document",
        expected: Expected::Refused(Reason::ProviderInvalidDocuments, "discovery document is compressed"),
        bend: |shape| shape.discovery.send(200, "application/json", [0x1f, 0x8b, 8, 0]),
    },
    Mode {
        name: "a discovery document that breaks off",
        expected: Expected::Refused(Reason::ProviderInvalidDocuments, "discovery document is not one JSON object"),
        bend: |shape| shape.discovery.send(200, "application/json", "{\"issuer\":"),
    },
    Mode {
        name: "a discovery document of 300 KB",
        expected: Expected::Refused(Reason::ProviderInvalidDocuments, "discovery document is longer than"),
        bend: |shape| shape.discovery.json.set("x", "x".repeat(300_000)),
    },
    Mode {
        name: "an empty key set",
        expected: Expected::Refused(Reason::ProviderInvalidDocuments, "no key that can be used"),
        bend: |shape| shape.keys.json.set("keys", json!([])),
    },
    Mode {
        name: "a key set that is none",
        expected: Expected::Refused(Reason::ProviderInvalidDocuments, "no array `keys`"),
        bend: |shape| shape.keys.json.remove("keys"),
    },
    Mode {
        name: "a key set that names its keys twice",
        expected: Expected::Refused(Reason::ProviderInvalidDocuments, "key set repeats a member"),
        bend: |shape| shape.keys.json.add("\"keys\":[]"),
    },
    Mode {
        name: "a key set as text",
        expected: Expected::Refused(Reason::ProviderNotJson, "key set is not JSON"),
        bend: |shape| shape.keys.content_type = "text/plain",
    },
    Mode {
        name: "a redirect in place of the key set",
        expected: Expected::Refused(Reason::ProviderStatus, "it answered with status 302"),
        bend: |shape| shape.keys.send(302, "", ""),
    },
    Mode {
        name: "an empty answer in place of the key set",
        expected: Expected::Refused(Reason::ProviderInvalidDocuments, "key set is empty"),
        bend: |shape| shape.keys.send(200, "application/json", ""),
    },
    Mode {
        name: "a compressed key set",
        expected: Expected::Refused(Reason::ProviderInvalidDocuments, "key set is compressed"),
        bend: |shape| shape.keys.send(200, "application/json", [0x1f, 0x8b, 8, 0]),
    },
    Mode {
        name: "a key set that breaks off",
        expected: Expected::Refused(Reason::ProviderInvalidDocuments, "key set is not one JSON object"),
        bend: |shape| shape.keys.send(200, "application/json", "{\"keys\":["),
    },
    Mode {
        name: "a key set of 300 KB",
        expected: Expected::Refused(Reason::ProviderInvalidDocuments, "key set is longer than"),
        bend: |shape| shape.keys.json.set("x", "x".repeat(300_000)),
    },
    Mode {
        name: "a key set with more keys than are read",
        expected: Expected::Refused(Reason::ProviderInvalidDocuments, "more than 64 keys"),
        bend: |shape| {
            let numbered =
                |number: usize| json!({ "kty": "EC", "crv": "P-256", "x": X, "y": Y, "kid": number.to_string() });
            shape.keys.json.set("keys", (0..65).map(numbered).collect::<Vec<_>>());
        },
    },
    Mode {
        name: "an ID token that is not signed",
        expected: Expected::Refused(Reason::ProviderInvalidIdToken, "`alg` is `none`"),
        bend: |shape| shape.header.set("alg", "none"),
    },
    Mode {
        name: "an ID token signed with the client secret",
        expected: Expected::Refused(Reason::ProviderInvalidIdToken, "signed with the client secret"),
        bend: |shape| shape.header.set("alg", "HS256"),
    },
    Mode {
        name: "an ID token signed with PS256",
        expected: Expected::Refused(Reason::ProviderInvalidIdToken, "`alg` is PS256, which Envoy does not verify"),
        bend: |shape| shape.header.set("alg", "PS256"),
    },
    Mode {
        name: "an ID token whose header has no algorithm",
        expected: Expected::Refused(Reason::ProviderInvalidIdToken, "header has no `alg`"),
        bend: |shape| shape.header.remove("alg"),
    },
    Mode {
        name: "an ID token whose algorithm is a number",
        expected: Expected::Refused(Reason::ProviderInvalidIdToken, "`alg` is not a string"),
        bend: |shape| shape.header.set("alg", 256),
    },
    Mode {
        name: "an ID token whose header is an array",
        expected: Expected::Refused(Reason::ProviderInvalidIdToken, "header is not a JSON object"),
        bend: |shape| shape.header.replace_by("[]"),
    },
    Mode {
        name: "an ID token that names two algorithms",
        expected: Expected::Refused(Reason::ProviderInvalidIdToken, "header repeats a member"),
        bend: |shape| shape.header.add("\"alg\":\"none\""),
    },
    Mode {
        name: "an ID token with an extension that must be understood",
        expected: Expected::Refused(Reason::ProviderInvalidIdToken, "`crit`"),
        bend: |shape| {
            shape.header.set("crit", json!(["b64"]));
            shape.header.set("b64", false);
        },
    },
    Mode {
        name: "an access token in place of an ID token",
        expected: Expected::Refused(Reason::ProviderInvalidIdToken, "another kind of token"),
        bend: |shape| shape.header.set("typ", "at+jwt"),
    },
    Mode {
        name: "an ID token whose key id is a number",
        expected: Expected::Refused(Reason::ProviderInvalidIdToken, "`kid` is not a string"),
        bend: |shape| shape.header.set("kid", 7),
    },
    Mode {
        name: "an ID token of an unknown key",
        expected: Expected::Refused(Reason::ProviderInvalidIdToken, "not in the provider's key set"),
        bend: |shape| shape.header.set("kid", "another"),
    },
    Mode {
        name: "an ID token with another signature",
        expected: Expected::Refused(Reason::ProviderInvalidIdToken, "signature does not verify"),
        bend: |shape| {
            shape.after_signing = |token| {
                format!(
                    "{}A",
                    token.get(..token.len() - 86).map(|t| t.to_owned() + &"A".repeat(85)).unwrap_or_default()
                )
            }
        },
    },
    Mode {
        name: "an encrypted ID token",
        expected: Expected::Refused(Reason::ProviderInvalidIdToken, "is encrypted"),
        bend: |shape| shape.after_signing = |token| format!("{token}.AA.AA"),
    },
    Mode {
        name: "an ID token in two parts",
        expected: Expected::Refused(Reason::ProviderInvalidIdToken, "not a compact JWS"),
        bend: |shape| shape.after_signing = |_| "e30.e30".to_owned(),
    },
    Mode {
        name: "an ID token with padding",
        expected: Expected::Refused(Reason::ProviderInvalidIdToken, "not base64url"),
        bend: |shape| shape.after_signing = |token| format!("{token}="),
    },
    Mode {
        name: "an ID token of another issuer",
        expected: Expected::Refused(Reason::ProviderInvalidIdToken, "`iss` is another issuer"),
        bend: |shape| shape.claims.set("iss", "https://evil.example"),
    },
    Mode {
        name: "an ID token without issuer",
        expected: Expected::Refused(Reason::ProviderInvalidIdToken, "no `iss`"),
        bend: |shape| shape.claims.remove("iss"),
    },
    Mode {
        name: "an ID token for another client",
        expected: Expected::Refused(Reason::ProviderInvalidIdToken, "`aud` does not have"),
        bend: |shape| shape.claims.set("aud", "another"),
    },
    Mode {
        name: "an ID token without audience",
        expected: Expected::Refused(Reason::ProviderInvalidIdToken, "no `aud`"),
        bend: |shape| shape.claims.remove("aud"),
    },
    Mode {
        name: "an ID token whose audience is an object",
        expected: Expected::Refused(Reason::ProviderInvalidIdToken, "`aud` is neither"),
        bend: |shape| shape.claims.set("aud", json!({ "portcullis": true })),
    },
    Mode {
        name: "an ID token for another party",
        expected: Expected::Refused(Reason::ProviderInvalidIdToken, "`azp` is another client"),
        bend: |shape| shape.claims.set("azp", "another"),
    },
    Mode {
        name: "an ID token for several and for no party",
        expected: Expected::Refused(Reason::ProviderInvalidIdToken, "several audiences"),
        bend: |shape| shape.claims.set("aud", json!(["portcullis", "another"])),
    },
    Mode {
        name: "an ID token that has expired",
        expected: Expected::Refused(Reason::ProviderInvalidIdToken, "has expired"),
        bend: |shape| shape.claims.set("exp", shape.now.saturating_sub(60)),
    },
    Mode {
        name: "an ID token without expiry",
        expected: Expected::Refused(Reason::ProviderInvalidIdToken, "no `exp`"),
        bend: |shape| shape.claims.remove("exp"),
    },
    Mode {
        name: "an ID token that expires in milliseconds",
        expected: Expected::Refused(Reason::ProviderInvalidIdToken, "`exp` is not a time"),
        bend: |shape| shape.claims.set("exp", shape.now.saturating_mul(1000)),
    },
    Mode {
        name: "an ID token from the future",
        expected: Expected::Refused(Reason::ProviderInvalidIdToken, "`iat` lies in the future"),
        bend: |shape| shape.claims.set("iat", shape.now.saturating_add(61)),
    },
    Mode {
        name: "an ID token that is not valid yet",
        expected: Expected::Refused(Reason::ProviderInvalidIdToken, "`nbf` lies in the future"),
        bend: |shape| shape.claims.set("nbf", shape.now.saturating_add(61)),
    },
    Mode {
        name: "an ID token whose time is text",
        expected: Expected::Refused(Reason::ProviderInvalidIdToken, "`iat` is not a time"),
        bend: |shape| shape.claims.set("iat", shape.now.to_string()),
    },
    Mode {
        name: "an ID token of another login",
        expected: Expected::Refused(Reason::CallbackOtherLogin, "the code is of another login"),
        bend: |shape| shape.claims.set("nonce", "another"),
    },
    Mode {
        name: "an ID token without nonce",
        expected: Expected::Refused(Reason::ProviderInvalidIdToken, "no `nonce`"),
        bend: |shape| shape.claims.remove("nonce"),
    },
    Mode {
        name: "an ID token whose user is a number",
        expected: Expected::Refused(Reason::ProviderInvalidIdToken, "`sub` is not a string"),
        bend: |shape| shape.claims.set("sub", 7),
    },
    Mode {
        name: "an ID token without user",
        expected: Expected::Refused(Reason::ProviderInvalidIdToken, "no `sub`"),
        bend: |shape| shape.claims.remove("sub"),
    },
    Mode {
        name: "an ID token that names two users",
        expected: Expected::Refused(Reason::ProviderInvalidIdToken, "repeats a claim"),
        bend: |shape| shape.claims.add("\"sub\":\"mallory\""),
    },
    Mode {
        name: "an ID token whose claims are an array",
        expected: Expected::Refused(Reason::ProviderInvalidIdToken, "claims are not a JSON object"),
        bend: |shape| shape.claims.replace_by("[]"),
    },
    Mode {
        name: "no ID token",
        expected: Expected::Refused(Reason::ProviderInvalidIdToken, "gave no ID token"),
        bend: |shape| shape.gives_id_token = false,
    },
    Mode {
        name: "no access token",
        expected: Expected::Refused(Reason::ProviderInvalidAnswer, "gave no access token"),
        bend: |shape| shape.tokens.json.remove("access_token"),
    },
    Mode {
        name: "two access tokens",
        expected: Expected::Refused(Reason::ProviderInvalidAnswer, "token endpoint's answer repeats a member"),
        bend: |shape| shape.tokens.json.add("\"access_token\":\"another\""),
    },
    Mode {
        name: "an access token with a line end",
        expected: Expected::Refused(Reason::ProviderInvalidAnswer, "cannot stand in a header"),
        bend: |shape| shape.tokens.json.set("access_token", "a\r\nx-admin: 1"),
    },
    Mode {
        name: "tokens that no session can keep",
        expected: Expected::Refused(Reason::ProviderInvalidAnswer, "larger than a session"),
        bend: |shape| shape.tokens.json.set("access_token", "a".repeat(16_000)),
    },
    Mode {
        name: "an access token for DPoP",
        expected: Expected::Refused(Reason::ProviderInvalidAnswer, "not a bearer token"),
        bend: |shape| shape.tokens.json.set("token_type", "DPoP"),
    },
    Mode {
        name: "an access token of no type",
        expected: Expected::Refused(Reason::ProviderInvalidAnswer, "no `token_type`"),
        bend: |shape| shape.tokens.json.remove("token_type"),
    },
    Mode {
        name: "a page in place of tokens",
        expected: Expected::Refused(Reason::ProviderNotJson, "token endpoint's answer is not JSON"),
        bend: |shape| shape.tokens.send(200, "text/html", "<!doctype html>"),
    },
    Mode {
        name: "an empty token answer",
        expected: Expected::Refused(Reason::ProviderInvalidAnswer, "token endpoint's answer is empty"),
        bend: |shape| shape.tokens.send(200, "application/json", ""),
    },
    Mode {
        name: "a compressed token answer",
        expected: Expected::Refused(Reason::ProviderInvalidAnswer, "token endpoint's answer is compressed"),
        bend: |shape| shape.tokens.send(200, "application/json", [0x1f, 0x8b, 8, 0]),
    },
    Mode {
        name: "tokens in an array",
        expected: Expected::Refused(Reason::ProviderInvalidAnswer, "token endpoint's answer is not one JSON object"),
        bend: |shape| shape.tokens.send(200, "application/json", "[{}]"),
    },
    Mode {
        name: "a token answer of 300 KB",
        expected: Expected::Refused(Reason::ProviderInvalidAnswer, "token endpoint's answer is longer than"),
        bend: |shape| shape.tokens.json.set("x", "x".repeat(300_000)),
    },
    Mode {
        name: "a redirect in place of tokens",
        expected: Expected::Refused(Reason::ProviderInvalidAnswer, "token endpoint's answer is a redirect"),
        bend: |shape| shape.tokens.send(307, "", ""),
    },
    Mode {
        name: "a token answer without content",
        expected: Expected::Refused(Reason::ProviderInvalidAnswer, "neither a token nor an error"),
        bend: |shape| shape.tokens.send(204, "", ""),
    },
];

/// The generator of P-256 (SEC 2 §2.4.2), which is a public key as any other.
const X: &str = "axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY";
const Y: &str = "T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU";
