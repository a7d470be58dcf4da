//! What the RFCs allow.

use serde_json::{Value, json};

use super::{Expected, Mode};

pub(super) const MODES: &[Mode] = &[
    Mode { name: "as the RFCs write it", expected: Expected::Works, bend: |_| {} },
    Mode {
        name: "a discovery document with a byte order mark",
        expected: Expected::Works,
        bend: |shape| shape.discovery.json.begin_with("\u{feff}"),
    },
    Mode {
        name: "a discovery document with members that no reader needs",
        expected: Expected::Works,
        bend: |shape| shape.discovery.json.add(NOISE),
    },
    Mode {
        name: "a discovery document with nulls for what it leaves unset",
        expected: Expected::Works,
        bend: |shape| {
            shape.discovery.json.set("token_endpoint_auth_methods_supported", Value::Null);
            shape.discovery.json.set("id_token_signing_alg_values_supported", Value::Null);
            shape.discovery.json.set("registration_endpoint", Value::Null);
        },
    },
    Mode {
        name: "a discovery document of 100 KB",
        expected: Expected::Works,
        bend: |shape| shape.discovery.json.set("x", "x".repeat(100_000)),
    },
    Mode {
        name: "a discovery document as text/json",
        expected: Expected::Works,
        bend: |shape| shape.discovery.content_type = "text/json; charset=utf-8",
    },
    Mode {
        name: "a discovery document with a content type in capitals",
        expected: Expected::Works,
        bend: |shape| shape.discovery.content_type = "Application/JSON ;charset=UTF-8",
    },
    Mode {
        name: "a discovery document without its authentication methods",
        expected: Expected::Works,
        bend: |shape| shape.discovery.json.remove("token_endpoint_auth_methods_supported"),
    },
    Mode {
        name: "an endpoint that takes client_secret_post alone",
        expected: Expected::Works,
        bend: |shape| {
            shape
                .discovery
                .json
                .set("token_endpoint_auth_methods_supported", json!(["private_key_jwt", "client_secret_post"]));
            shape.takes = "client_secret_post";
        },
    },
    Mode {
        name: "a key set as application/jwk-set+json",
        expected: Expected::Works,
        bend: |shape| shape.keys.content_type = "application/jwk-set+json",
    },
    Mode {
        name: "a key set with keys of every unknown kind",
        expected: Expected::Works,
        bend: |shape| shape.add_keys(&strange_keys()),
    },
    Mode {
        name: "a key set whose keys have what no reader needs",
        expected: Expected::Works,
        bend: |shape| {
            shape.change_keys(|key| {
                key.insert("x5c".to_owned(), json!(["AAAA"]));
                key.insert("x5u".to_owned(), json!("https://evil.example/x5u"));
                key.insert("exp".to_owned(), json!(1.5));
                key.insert("use".to_owned(), Value::Null);
            })
        },
    },
    Mode {
        name: "a key set with a byte order mark and repeated members",
        expected: Expected::Works,
        bend: |shape| {
            shape.keys.json.begin_with("\u{feff}\r\n");
            shape.keys.json.add(NOISE);
        },
    },
    Mode {
        name: "two keys of one id and of two types",
        expected: Expected::Works,
        bend: |shape| {
            shape.change_keys(|key| drop(key.insert("kid".to_owned(), json!("one"))));
            shape.header.set("kid", "one");
        },
    },
    Mode {
        name: "a key that is listed twice",
        expected: Expected::Works,
        bend: |shape| {
            let keys = shape.keys.json.render();
            let keys: Value = serde_json::from_str(&keys).unwrap_or_default();
            shape.add_keys(keys.get("keys").and_then(Value::as_array).map_or(&[], Vec::as_slice));
        },
    },
    Mode {
        name: "keys without ids",
        expected: Expected::Works,
        bend: |shape| {
            shape.change_keys(|key| drop(key.remove("kid")));
            shape.header.remove("kid");
        },
    },
    Mode {
        name: "an ID token without a key id where one key fits",
        expected: Expected::Works,
        bend: |shape| shape.header.remove("kid"),
    },
    Mode {
        name: "keys that are not restricted to an algorithm",
        expected: Expected::Works,
        bend: |shape| shape.change_keys(|key| drop(key.remove("alg"))),
    },
    Mode {
        name: "a header with keys and where to find them",
        expected: Expected::Works,
        bend: |shape| {
            shape.header.set("jku", "https://evil.example/keys");
            shape.header.set("x5u", "https://evil.example/chain");
            shape.header.set("x5c", json!(["AAAA"]));
            shape.header.set("x5t", "AAAA");
            shape.header.set("jwk", json!({ "kty": "EC", "crv": "P-256" }));
        },
    },
    Mode {
        name: "a header with members that no reader needs",
        expected: Expected::Works,
        bend: |shape| shape.header.add(NOISE),
    },
    Mode { name: "a header without a type", expected: Expected::Works, bend: |shape| shape.header.remove("typ") },
    Mode {
        name: "a header with its type in small letters",
        expected: Expected::Works,
        bend: |shape| shape.header.set("typ", "jwt"),
    },
    Mode {
        name: "a header with its type spelled out",
        expected: Expected::Works,
        bend: |shape| shape.header.set("typ", "application/JWT"),
    },
    Mode {
        name: "an ID token signed with EdDSA",
        expected: Expected::Works,
        bend: |shape| shape.sign_with_edwards_key("EdDSA"),
    },
    Mode {
        name: "an ID token signed with Ed25519",
        expected: Expected::Works,
        bend: |shape| shape.sign_with_edwards_key("Ed25519"),
    },
    Mode { name: "claims that no reader needs", expected: Expected::Works, bend: |shape| shape.claims.add(NOISE) },
    Mode {
        name: "300 groups in an ID token of 40 KB",
        expected: Expected::Works,
        bend: |shape| {
            let groups: Vec<_> = (0..300).map(|number| format!("{number:0>36}-{}", "g".repeat(90))).collect();
            shape.claims.set("groups", groups);
        },
    },
    Mode {
        name: "an ID token of 130 KB",
        expected: Expected::Works,
        bend: |shape| shape.claims.set("photo", "x".repeat(100_000)),
    },
    Mode {
        name: "times with a fraction",
        expected: Expected::Works,
        bend: |shape| {
            let now = shape.now;
            shape.claims.set_text("iat", &format!("{now}.25"));
            shape.claims.set_text("exp", &format!("{}.75", now.saturating_add(300)));
        },
    },
    Mode {
        name: "times with an exponent",
        expected: Expected::Works,
        bend: |shape| {
            let now = shape.now;
            shape.claims.set_text("iat", &format!("{}.{}e9", now / 1_000_000_000, now % 1_000_000_000));
            shape.claims.set_text("exp", "2E10");
        },
    },
    Mode {
        name: "a clock that is half a minute ahead",
        expected: Expected::Works,
        bend: |shape| {
            let ahead = shape.now.saturating_add(30);
            shape.claims.set("iat", ahead);
            shape.claims.set("nbf", ahead);
        },
    },
    Mode {
        name: "an audience in an array",
        expected: Expected::Works,
        bend: |shape| shape.claims.set("aud", json!(["portcullis"])),
    },
    Mode {
        name: "several audiences and the party among them",
        expected: Expected::Works,
        bend: |shape| {
            shape.claims.set("aud", json!(["https://api.example", "portcullis"]));
            shape.claims.set("azp", "portcullis");
        },
    },
    Mode {
        name: "a name outside ASCII and escapes",
        expected: Expected::Works,
        bend: |shape| {
            shape.claims.set_text("name", "\"Zo\\u00eb \\ud83d\\ude00\"");
            shape.claims.set_text("email", "null");
        },
    },
    Mode { name: "a name that is a number", expected: Expected::Works, bend: |shape| shape.claims.set("name", 7) },
    Mode {
        name: "a token answer with members that no reader needs",
        expected: Expected::Works,
        bend: |shape| shape.tokens.json.add(NOISE),
    },
    Mode {
        name: "a token answer of 100 KB",
        expected: Expected::Works,
        bend: |shape| shape.tokens.json.set("x", "x".repeat(100_000)),
    },
    Mode {
        name: "a token answer with a byte order mark",
        expected: Expected::Works,
        bend: |shape| shape.tokens.json.begin_with("\u{feff}"),
    },
    Mode {
        name: "a token type in small letters",
        expected: Expected::Works,
        bend: |shape| shape.tokens.json.set("token_type", "bearer"),
    },
    Mode {
        name: "a token type in capitals",
        expected: Expected::Works,
        bend: |shape| shape.tokens.json.set("token_type", "BEARER"),
    },
    Mode {
        name: "a life with a fraction",
        expected: Expected::Works,
        bend: |shape| shape.tokens.json.set_text("expires_in", "3600.0"),
    },
    Mode {
        name: "a life with an exponent",
        expected: Expected::Works,
        bend: |shape| shape.tokens.json.set_text("expires_in", "3.6e3"),
    },
    Mode {
        name: "a life in a string",
        expected: Expected::Works,
        bend: |shape| shape.tokens.json.set("expires_in", "3600"),
    },
    Mode {
        name: "a life that is null",
        expected: Expected::Works,
        bend: |shape| shape.tokens.json.set("expires_in", Value::Null),
    },
    Mode { name: "no life", expected: Expected::Works, bend: |shape| shape.tokens.json.remove("expires_in") },
    Mode {
        name: "no life in a refresh",
        expected: Expected::Works,
        bend: |shape| {
            if shape.refreshes > 0 {
                shape.tokens.json.remove("expires_in");
            }
        },
    },
    Mode { name: "a life of zero", expected: Expected::Works, bend: |shape| shape.tokens.json.set("expires_in", 0) },
    Mode {
        name: "a life of less than zero",
        expected: Expected::Works,
        bend: |shape| shape.tokens.json.set("expires_in", -1),
    },
    Mode {
        name: "a life beyond all numbers",
        expected: Expected::Works,
        bend: |shape| shape.tokens.json.set_text("expires_in", "1e999"),
    },
    Mode {
        name: "no refresh token in a refresh",
        expected: Expected::Works,
        bend: |shape| {
            if shape.refreshes > 0 {
                shape.tokens.json.remove("refresh_token");
            }
        },
    },
    Mode {
        name: "a refresh token that is null in a refresh",
        expected: Expected::Works,
        bend: |shape| {
            if shape.refreshes > 0 {
                shape.tokens.json.set("refresh_token", Value::Null);
            }
        },
    },
    Mode {
        name: "no ID token in a refresh",
        expected: Expected::Works,
        bend: |shape| shape.gives_id_token = shape.refreshes == 0,
    },
    Mode {
        name: "scopes in a list",
        expected: Expected::Works,
        bend: |shape| shape.tokens.json.set("scope", json!(["openid", "email"])),
    },
    Mode { name: "an empty error", expected: Expected::Works, bend: |shape| shape.tokens.json.set("error", "") },
    Mode {
        name: "an error that is null",
        expected: Expected::Works,
        bend: |shape| shape.tokens.json.set("error", Value::Null),
    },
    Mode {
        name: "a token answer as application/vnd.example+json",
        expected: Expected::Works,
        bend: |shape| shape.tokens.content_type = "application/vnd.example+json",
    },
];

/// Members that no reader needs, as no strict reader takes them.
const NOISE: &str = concat!(
    r#""x":1,"x":{"a":1,"a":2},"y":[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]],"z":1e999,"#,
    r#""s":"\ud800","é":"ü","n":null,"":0"#,
);

/// Keys that are unknown, unsupported, weak or broken, or are for something else.
fn strange_keys() -> Vec<Value> {
    vec![
        json!({}),
        json!(null),
        json!("key"),
        json!({ "kty": "oct", "k": "AAAA", "kid": "o" }),
        json!({ "kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA" }),
        json!({ "kty": "EC", "crv": "P-521", "x": "AA", "y": "AA" }),
        json!({ "kty": "OKP", "crv": "X25519", "x": "AAAA" }),
        json!({ "kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "weak" }),
        json!({ "kty": "RSA", "kid": "a chain only", "x5c": ["AAAA"] }),
        json!({ "kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "use": "enc" }),
        json!({ "kty": 7 }),
    ]
}
