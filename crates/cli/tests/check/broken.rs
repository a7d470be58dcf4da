//! A good bootstrap with one edit each: which problems it has, and where.

use super::{GOOD, checked};

/// An edit of [`GOOD`]: the first text becomes the second. And every problem that it makes, after
/// the file's name.
struct Row {
    edit: (&'static str, &'static str),
    problems: &'static [&'static str],
}

#[test]
fn every_mistake_is_named_with_its_path_and_its_place() {
    assert!(ROWS.len() >= 25);
    for Row { edit: (before, after), problems } in ROWS {
        assert!(GOOD.contains(before), "{before}");
        let done = checked(&GOOD.replacen(before, after, 1), &[]);
        let expected: String = problems.iter().map(|problem| format!("FILE:{problem}\n")).collect();
        assert_eq!((done.code, done.out), (1, expected), "{before} → {after}");
    }
}

const ROWS: &[Row] = &[
    Row { edit: (r#""issuer": "https://mcp.example.com","#, ""), problems: &["17:29: issuer: is required"] },
    Row {
        edit: (r#"https://mcp.example.com","#, r#"https://mcp.example.com/","#),
        problems: &["18:41: issuer: must be written as https://mcp.example.com"],
    },
    Row {
        edit: (r#"https://mcp.example.com","#, r#"http://mcp.example.com","#),
        problems: &[r#"18:41: issuer: must be https; http is only for loopback with "development": true"#],
    },
    Row {
        edit: (r#""issuer":"#, r#""isuer":"#),
        problems: &["17:29: issuer: is required", "18:40: isuer: is not a known field"],
    },
    Row {
        edit: (r#"[{ "env": "SIGNING_KEY" }]"#, "[]"),
        problems: &["19:46: signingKeys: must have at least one entry"],
    },
    Row {
        edit: (r#"{ "env": "SIGNING_KEY" }"#, r#"{ "file": "/etc/key" }"#),
        problems: &[r#"19:47: signingKeys[0]: must be one of "env", "bridge", "inline""#],
    },
    Row {
        edit: (r#"{ "env": "SIGNING_KEY" }"#, r#""hunter2""#),
        problems: &[r#"19:47: signingKeys[0]: must be one of "env", "bridge", "inline""#],
    },
    Row {
        edit: (r#"{ "env": "GATEWAY_SECRET" }"#, r#"{ "inline": "hunter2-hunter2-hunter2-hunter2" }"#),
        problems: &[
            r#"20:43: secrets[0]: an inline secret is only allowed with "development": true; use {"env": NAME} or {"bridge": NAME}"#,
        ],
    },
    Row {
        edit: (r#"{ "env": "GATEWAY_SECRET" }"#, r#"{ "bridge": "../key" }"#),
        problems: &[
            "20:43: secrets[0]: the bridge's name must have 1 to 64 letters of a-z A-Z 0-9 . _ -, the first no dot",
        ],
    },
    Row {
        edit: (r#""accessToken": "1h""#, r#""accessToken": 3600"#),
        problems: &["21:66: tokenLifespans.accessToken: must be text"],
    },
    Row {
        edit: (r#""accessToken": "1h""#, r#""accessToken": "1s""#),
        problems: &["21:66: tokenLifespans.accessToken: must be between 60s and 86400s"],
    },
    Row {
        edit: (r#""accessToken": "1h""#, r#""accesToken": "1h""#),
        problems: &[
            "21:65: tokenLifespans.accesToken: is not a known field; known here: accessToken, refreshToken, authorizationCode, connection",
        ],
    },
    Row {
        edit: (r#""type": "bridge""#, r#""type": "redis""#),
        problems: &[r#"22:52: storage.type: must be "memory" or "bridge""#],
    },
    Row { edit: (r#""cluster": "bridge", "#, ""), problems: &["22:42: storage.cluster: is required"] },
    Row {
        edit: (r#""namespace": "prod""#, r#""namespace": "Prod""#),
        problems: &["22:96: storage.namespace: must be a DNS label: a-z, 0-9 and '-', at most 63"],
    },
    Row {
        edit: (r#""name": "gateway" }"#, r#""name": "gateway", "timeout": "1m" }"#),
        problems: &["22:134: storage.timeout: must be between 1s and 10s"],
    },
    Row {
        edit: (r#""ratePerMinute": 10"#, r#""ratePerMinute": 0"#),
        problems: &[
            r#"23:86: clients.dynamicRegistration.ratePerMinute: must be at least 1; use "enabled": false to close it"#,
        ],
    },
    Row {
        edit: (r#""ratePerMinute": 10"#, r#""ratePerMinute": "hunter2""#),
        problems: &["23:86: clients.dynamicRegistration.ratePerMinute: must be a whole number up to 4294967295"],
    },
    Row {
        edit: (r#""title": "Example""#, r#""title": """#),
        problems: &["24:53: consent.title: must have 1 to 80 characters"],
    },
    Row {
        edit: (r#""name": "idp""#, r#""name": "IDP""#),
        problems: &[
            "26:41: upstreamProviders[0].name: must be a DNS label: a-z, 0-9 and '-', at most 63",
            "40:87: resources[0].inject.providerName: is not the name of a configured provider",
        ],
    },
    Row {
        edit: (r#""type": "oidc""#, r#""type": "saml""#),
        problems: &[r#"27:41: upstreamProviders[0].type: must be "oidc" or "oauth2""#],
    },
    Row {
        edit: (r#""issuerUrl": "https://idp.example.com""#, r#""issuerUrl": "idp.example.com""#),
        problems: &["29:48: upstreamProviders[0].oidcConfig.issuerUrl: must be an absolute https URL"],
    },
    Row {
        edit: (r#""clientId": "portcullis""#, r#""clientId": """#),
        problems: &["31:47: upstreamProviders[0].oidcConfig.clientId: must not be empty"],
    },
    Row {
        edit: (r#""scopes": ["openid"]"#, r#""scopes": ["email"]"#),
        problems: &[
            r#"33:45: upstreamProviders[0].oidcConfig.scopes: must contain "openid": without it there is no ID token"#,
        ],
    },
    Row {
        edit: (r#""scopes": ["openid"]"#, r#""scopes": "openid""#),
        problems: &["33:45: upstreamProviders[0].oidcConfig.scopes: must be a list"],
    },
    Row {
        edit: (r#""scopes": ["openid"]"#, r#""scopes": ["openid"], "additionalAuthorizationParams": { "state": "x" }"#),
        problems: &[
            "33:101: upstreamProviders[0].oidcConfig.additionalAuthorizationParams.state: is set by the gateway itself",
        ],
    },
    Row {
        edit: ("https://mcp.example.com/mcp", "mcp.example.com/mcp"),
        problems: &["37:45: resources[0].resource: the resource is not an absolute http or https URI"],
    },
    Row {
        edit: (r#""prefix": "/mcp""#, r#""prefix": "/oauth""#),
        problems: &["38:54: resources[0].match.prefix: /oauth belongs to the gateway itself"],
    },
    Row {
        edit: (r#""prefix": "/mcp""#, r#""path": "/mcp""#),
        problems: &[
            "38:42: resources[0].match.prefix: is required",
            "38:52: resources[0].match.path: is not a known field; known here: prefix",
        ],
    },
    Row {
        edit: (r#""scopes": ["offline_access"]"#, r#""scopes": "offline_access""#),
        problems: &["39:43: resources[0].scopes: must be a list"],
    },
    Row {
        edit: (r#""scopes": ["offline_access"]"#, r#""sort": "mcp""#),
        problems: &[
            "39:41: resources[0].sort: is not a known field; known here: resource, match, kind, scopes, issuers, inject, identityHeaders, identityToken",
        ],
    },
    Row {
        edit: (r#""providerName": "idp""#, r#""providerName": "okta""#),
        problems: &["40:87: resources[0].inject.providerName: is not the name of a configured provider"],
    },
    Row {
        edit: (r#""providerName": "idp""#, r#""providerName": "idp", "header": "host""#),
        problems: &["40:104: resources[0].inject.header: must be a header that may carry a token"],
    },
    Row {
        edit: (r#""trustedProxies": 1"#, r#""trustedProxies": 256"#),
        problems: &["42:49: trustedProxies: must be a whole number up to 255"],
    },
    Row {
        edit: (r#""default": "deny""#, r#""default": "allow""#),
        problems: &[r#"43:42: default: must be "deny" or "pass""#],
    },
    Row {
        edit: (r#""default": "deny""#, r#""default": "deny", "issuer": "https://other.example""#),
        problems: &["43:50: configuration: a field is given twice"],
    },
    Row {
        edit: (r#""default": "deny""#, r#""default": "deny","#),
        problems: &["44:29: configuration: not JSON: key must be a string"],
    },
    Row {
        edit: (r#""scopes": ["offline_access"],"#, r#""scopes": ["offline_access"]"#),
        problems: &["40:33: configuration: not JSON: expected `,` or `}`"],
    },
    Row {
        edit: (r#""title": "Example" }"#, r#""title": "Example"#),
        problems: &[
            r#"24:61: configuration: not JSON: control character (\u0000-\u001F) found while parsing a string"#,
        ],
    },
    Row {
        edit: ("google.protobuf.StringValue", "google.protobuf.BytesValue"),
        problems: &[
            "15:27: configuration: must be a google.protobuf.StringValue or a google.protobuf.Struct with a `value`",
        ],
    },
    Row {
        edit: ("                        configuration:", "                        configurations:"),
        problems: &["11:23: configuration: a wasm filter without a `configuration`"],
    },
    Row {
        edit: ("http_filters:", "http_filters: ["),
        problems: &[
            "9:19: configuration: not YAML; text with a colon, a quote or a bracket in it needs quotes around it",
        ],
    },
];
