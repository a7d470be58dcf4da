//! The default plugin configuration of a testbed, and how it is passed on.

use serde_json::{Value, json};

/// The default plugin configuration, as the contract of `make testbed` has it.
pub(super) fn default_plugin(gateway: &str, idp: &str) -> Value {
    let inject = json!({ "type": "upstreamInject", "providerName": "idp" });
    json!({
        "issuer": gateway,
        "development": true,
        "signingKeys": [{ "env": "SIGNING_KEY" }],
        "secrets": [{ "env": "GATEWAY_SECRET" }],
        "tokenLifespans": { "accessToken": "1h", "refreshToken": "168h", "authorizationCode": "1m" },
        "scopesSupported": ["openid", "profile", "email", "offline_access"],
        "storage": { "type": "memory" },
        "clients": { "dynamicRegistration": { "enabled": true, "ratePerMinute": 6000 } },
        "consent": { "title": "Portcullis testbed" },
        "upstreamProviders": [{
            "name": "idp",
            "type": "oidc",
            "oidcConfig": {
                "issuerUrl": idp,
                "cluster": "idp",
                "clientId": IDP_CLIENT,
                "clientSecret": { "env": "IDP_SECRET" },
                "scopes": ["openid", "offline_access", "profile", "email"],
            },
        }],
        "resources": [
            { "resource": format!("{gateway}/mcp"), "match": { "prefix": "/mcp" }, "scopes": ["openid"], "inject": inject },
            { "resource": format!("{gateway}/api"), "match": { "prefix": "/api" }, "scopes": ["openid"], "inject": inject },
        ],
        "default": "deny",
    })
}

/// Applies a merge patch (RFC 7396 §2).
pub(super) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (name, change) in changes {
        if change.is_null() {
            target.as_object_mut().map(|object| object.remove(name));
        } else {
            merge(&mut target[name], change);
        }
    }
}

pub(super) fn fill(value: &mut Value, names: &[(&str, &str)]) {
    match value {
        Value::String(text) => names.iter().for_each(|(name, real)| *text = text.replace(name, real)),
        Value::Array(items) => items.iter_mut().for_each(|item| fill(item, names)),
        Value::Object(fields) => fields.values_mut().for_each(|field| fill(field, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The gateway's name at the identity provider.
pub(super) const IDP_CLIENT: &str = "portcullis";
