//! Client-id metadata documents.

use portcullis_protocol::oauth::client_id_url::ClientIdUrl;

use super::*;

/// The minimal document, which has the memory store, with this section.
fn in_memory(section: &Value) -> Value {
    with(minimal(), "/clients", json!({ "metadataDocuments": section }))
}

/// The same with the bridge.
fn at_bridge(section: &Value) -> Value {
    let storage = json!({ "type": "bridge", "cluster": "redis-bridge", "namespace": "prod", "name": "gateway" });
    with(in_memory(section), "/storage", storage)
}

fn policy(document: &Value) -> ClientDocumentPolicy {
    compile(document).unwrap().client_documents.unwrap()
}

fn allows(policy: &ClientDocumentPolicy, url: &str) -> bool {
    policy.allows(&ClientIdUrl::parse(url).unwrap())
}

#[test]
fn they_are_off_unless_they_are_turned_on() {
    for document in [minimal(), in_memory(&json!({})), in_memory(&json!({ "enabled": false, "cluster": "x" }))] {
        assert!(compile(&document).unwrap().client_documents.is_none());
    }
}

#[test]
fn the_bridge_fetches_them_from_every_public_name_unless_told_otherwise() {
    let policy = policy(&at_bridge(&json!({ "enabled": true })));
    assert_eq!((policy.cluster.as_deref(), policy.max_bytes), (None, 10_240));
    assert_eq!((policy.per_address, policy.global), (30, 300));
    assert!(allows(&policy, "https://client.example/a") && !allows(&policy, "https://client.example:8443/a"));
    assert!(!allows(&policy, "https://localhost/a") && !allows(&policy, "https://a.internal/a"));
    let ages = [(None, 300), (Some(0), 0), (Some(1), 60), (Some(61), 61), (Some(3_601), 3_600)];
    for (said, kept) in ages {
        assert_eq!(policy.age(said), kept, "{said:?}");
    }
}

#[test]
fn hosts_ports_sizes_and_ages_are_configured() {
    let policy = policy(&in_memory(&json!({
        "enabled": true, "cluster": "documents", "allowedDomains": ["client.example", "*.clients.example", "localhost"],
        "allowedPorts": [443, 8443], "maxBytes": 5_120, "minAge": "0s", "maxAge": "2m", "ratePerMinute": 3,
        "globalRatePerMinute": 4,
    })));
    assert_eq!((policy.cluster.as_deref(), policy.max_bytes), (Some("documents"), 5_120));
    assert_eq!((policy.per_address, policy.global), (3, 4));
    for url in ["https://client.example/a", "https://a.clients.example:8443/a", "https://localhost:8443/a"] {
        assert!(allows(&policy, url), "{url}");
    }
    for url in ["https://clients.example/a", "https://client.example:444/a", "https://other.example/a"] {
        assert!(!allows(&policy, url), "{url}");
    }
    assert_eq!([None, Some(0), Some(1), Some(121)].map(|said| policy.age(said)), [120, 0, 1, 120]);
}

#[test]
fn what_cannot_be_is_refused_by_its_field() {
    for (field, value) in [
        ("allowedDomains", json!([])),
        ("allowedDomains", json!(["Client.example"])),
        ("allowedDomains", json!(["10.0.0.1"])),
        ("allowedDomains", json!(["https://client.example"])),
        ("allowedDomains", json!(["*client.example"])),
        ("allowedPorts", json!([])),
        ("allowedPorts", json!([443, 0])),
        ("maxBytes", json!(1_023)),
        ("maxBytes", json!(10_241)),
        ("minAge", json!("2h")),
        ("maxAge", json!("0s")),
        ("maxAge", json!("25h")),
        ("ratePerMinute", json!(0)),
        ("globalRatePerMinute", json!(0)),
    ] {
        let section = with(json!({ "s": { "enabled": true } }), &format!("/s/{field}"), value.clone())["s"].clone();
        let found = problems(&at_bridge(&section));
        let expected = format!("clients.metadataDocuments.{field}");
        assert_eq!(found.iter().map(|problem| path(problem)).collect::<Vec<_>>(), [expected], "{value}: {found:?}");
    }
}

#[test]
fn there_is_exactly_one_way_to_fetch_them() {
    for (document, expected) in [
        (in_memory(&json!({ "enabled": true })), "clients.metadataDocuments.cluster: is required with storage of type"),
        (
            in_memory(&json!({ "enabled": true, "cluster": "", "allowedDomains": ["client.example"] })),
            "clients.metadataDocuments.cluster: must name Envoy's cluster",
        ),
        (
            at_bridge(&json!({ "enabled": true, "cluster": "documents" })),
            "clients.metadataDocuments.cluster: must be left out with storage of type \"bridge\"",
        ),
        // Envoy connects to every address, so the names have to be known.
        (
            in_memory(&json!({ "enabled": true, "cluster": "documents" })),
            "clients.metadataDocuments.allowedDomains: must list the hosts, without \"*\"",
        ),
        (
            in_memory(&json!({ "enabled": true, "cluster": "documents", "allowedDomains": ["client.example", "*"] })),
            "clients.metadataDocuments.allowedDomains: must list the hosts, without \"*\"",
        ),
    ] {
        let found = problem_of(document);
        assert!(found.starts_with(expected), "{found}");
    }
}
