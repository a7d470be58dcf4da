//! The configurations on the pages about providers.

use std::fs;

use serde_json::{Value, json};

use crate::{checked, project};

#[test]
fn every_provider_on_the_pages_passes() {
    let mut found = 0;
    for page in fs::read_dir(project().join("docs/providers")).unwrap() {
        let page = page.unwrap().path();
        let text = fs::read_to_string(&page).unwrap();
        for block in text.split("```json\n").skip(1) {
            let block = block.split("```").next().unwrap();
            let provider: Value =
                serde_json::from_str(block).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
            // A trusted issuer has no name of its own.
            let is_provider = provider.get("name").is_some();
            let document = if is_provider { document(&provider) } else { trusting(&provider) };
            let done = checked(&document.to_string(), &[]);
            assert_eq!((done.code, done.out.as_str()), (0, "FILE: ok, 1 configuration\n"), "{}", page.display());
            found += 1;
        }
    }
    assert!(found >= 13, "{found}");
}

/// The least that a configuration needs besides a trusted issuer.
fn trusting(issuer: &Value) -> Value {
    json!({
        "trustedIssuers": [issuer],
        "resources": [{ "resource": "https://mcp.example.com/mcp", "match": { "prefix": "/mcp" } }],
    })
}

/// The least that a configuration needs besides a provider.
fn document(provider: &Value) -> Value {
    json!({
        "issuer": "https://mcp.example.com",
        "signingKeys": [{ "env": "SIGNING_KEY" }],
        "secrets": [{ "env": "GATEWAY_SECRET" }],
        "upstreamProviders": [provider],
        "resources": [{
            "resource": "https://mcp.example.com/mcp",
            "match": { "prefix": "/mcp" },
            "inject": { "type": "upstreamInject", "providerName": provider["name"] },
        }],
    })
}
