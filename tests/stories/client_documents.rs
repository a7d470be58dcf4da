//! Clients with a client-id metadata document: the official clients and the conformance suite, with
//! a document on a loopback https server that the bridge is configured to trust, and what neither
//! the bridge nor the gateway fetches.

use std::path::Path;

use portcullis_testbed::browser::Browser;
use portcullis_testbed::document_server::DocumentServer;
use portcullis_testbed::http::Request;
use portcullis_testbed::oauth_client::{OAuthClient, claims};
use portcullis_testbed::paths;
use portcullis_testbed::redis::{RedisServer, acl_with_wait, standalone};
use portcullis_testbed::testbed::{Store, Testbed};
use serde_json::json;

use crate::machine;
use crate::mcp_clients::run;
use crate::support::{assert_audited, assert_page, assert_serves, until};

/// A gateway with a bridge that fetches from `server`, the only one that is not public.
struct Documents {
    bed: Testbed,
    server: DocumentServer,
    _redis: RedisServer,
}

impl Documents {
    async fn start() -> Self {
        let server = DocumentServer::start();
        let redis = RedisServer::start(&acl_with_wait(), &[]);
        let (port, authority) = (server.port, server.authority());
        let fetch = format!(
            "fetch: {{ caCert: \"{}\", allowedPorts: [443, {port}], allowAddresses: [\"127.0.0.0/8\", \"::1/128\"] }}",
            authority.display()
        );
        let documents = json!({ "enabled": true, "allowedDomains": ["*", "localhost"], "allowedPorts": [443, port], "ratePerMinute": 100 });
        let bed = machine::testbed()
            .workers(2)
            .redis(&standalone(redis.port), &fetch)
            .config(json!({ "clients": { "metadataDocuments": documents } }))
            .start()
            .await;
        Self { bed, server, _redis: redis }
    }

    fn client_id(&self) -> String {
        self.server.url("/client.json")
    }

    /// How many documents the bridge has fetched, or failed to.
    fn fetches(&self) -> u64 {
        let metrics = self.bed.bridge(0).observe("/metrics");
        let counted = metrics.lines().filter(|line| line.starts_with("portcullis_bridge_fetches_total{"));
        counted.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    }
}

#[tokio::test]
async fn the_official_clients_and_the_conformance_suite_log_in_by_a_document() {
    let documents = Documents::start().await;
    let (bed, id) = (&documents.bed, documents.client_id());
    let typescript = paths::in_tests("clients/client.mjs");
    let python = paths::in_tests("clients/client.py");
    for (program, script, arguments) in [
        (Path::new("node").to_path_buf(), typescript, vec![bed.resource(), "alice".to_owned(), id.clone()]),
        (paths::python(), python, vec![bed.resource(), "bob".to_owned(), String::new(), id.clone()]),
    ] {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let steps = run(&program, &script, &arguments).await;
        let names: Vec<&str> = steps.iter().filter_map(|step| step["step"].as_str()).collect();
        assert!(!names.contains(&"registered") && names.contains(&"refreshed"), "{names:?}");
        let done = steps.last().expect("steps");
        assert_eq!(claims(done["access_token"].as_str().expect("a token"))["client_id"], id);
    }
    let results = tempfile::tempdir().expect("a folder");
    let folder = results.path().display().to_string();
    let script = paths::in_tests("clients/conformance.mjs");
    let lines = run(Path::new("node"), &script, &[&bed.issuer(), &bed.resource(), &folder, &id]).await;
    let told: Vec<_> =
        lines.iter().map(|line| (line["scenario"].as_str(), line["passed"].as_bool(), &line["warnings"])).collect();
    // Without the member in the metadata the suite warns.
    let none = json!([]);
    assert_eq!(
        told,
        [
            (Some("authorization-server-metadata-endpoint"), Some(true), &none),
            (Some("authorization-code-grant"), Some(true), &none)
        ]
    );
    assert!(documents.fetches() <= 2, "each worker keeps the document");
    bed.assert_healthy().await;
}

#[tokio::test]
async fn a_login_goes_on_without_its_document_and_nothing_inside_is_fetched() {
    let mut documents = Documents::start().await;
    let mut client = OAuthClient::discover(&documents.bed.api_resource()).await;
    assert_eq!(client.server_metadata["client_id_metadata_document_supported"], true);
    client.client_id = documents.client_id();
    // As ten tabs do: the server is asked once by each worker at most, and all see the page.
    let pages: Vec<_> = (0..10).map(|_| Request::get(client.authorization().url().as_str()).send()).collect();
    for page in pages.into_iter().map(tokio::spawn).collect::<Vec<_>>() {
        let page = page.await.expect("an answer");
        assert!(page.status == 200 && page.text().contains("<bdi dir=\"ltr\">localhost</bdi>"), "{page:?}");
    }
    assert!(documents.fetches() <= 2, "{} fetches", documents.fetches());
    let tokens = client.log_in(&mut Browser::new("alice")).await;
    let before = documents.fetches();

    let refused = "This login cannot be started";
    let mut other = client.clone();
    for id in [
        "https://127.0.0.1/client.json",
        "https://2130706433/client.json",
        "https://[::ffff:127.0.0.1]/client.json",
        "https://169.254.169.254/latest/meta-data",
        "https://metadata.google.internal/computeMetadata/v1/",
        "https://user@localhost/client.json",
        "https://localhost./client.json",
        "https://localhost:22/client.json",
        "http://localhost/client.json",
        "https://redis/client.json",
    ] {
        other.client_id = id.to_owned();
        let page = Request::get(other.authorization().url().as_str()).send().await;
        assert_page(&page, 400, refused, id);
    }
    assert_eq!(documents.fetches(), before, "something inside was fetched");
    for path in ["/moved.json", "/gone.json", "/other.json"] {
        other.client_id = documents.server.url(path);
        let page = Request::get(other.authorization().url().as_str()).send().await;
        assert_page(&page, 400, refused, path);
    }

    documents.server.process.kill();
    let refreshed = client.refresh(&tokens.refresh_token).await;
    until("a call with the refreshed token is served", async || {
        documents.bed.get("/api/afterwards").bearer(&refreshed.access_token).send().await.status == 200
    })
    .await;
    documents.bed.assert_healthy().await;
}

#[tokio::test]
async fn without_a_bridge_envoy_fetches_documents_through_a_cluster_from_listed_hosts_alone() {
    let (server, untrusted) = (DocumentServer::start(), DocumentServer::start());
    let documents = json!({
        "enabled": true, "cluster": "documents", "allowedDomains": ["localhost", "other.localhost"],
        "allowedPorts": [443, server.port, untrusted.port], "ratePerMinute": 100,
    });
    let bed = machine::testbed()
        .store(Store::Memory)
        .forward_proxy("documents", server.authority())
        .config(json!({ "clients": { "metadataDocuments": documents } }))
        .start()
        .await;
    let fetches =
        async || bed.stats("cluster.documents.upstream_rq_total").await["cluster.documents.upstream_rq_total"];
    let mut client = OAuthClient::discover(&bed.api_resource()).await;
    assert_eq!(client.server_metadata["client_id_metadata_document_supported"], true);
    client.client_id = server.url("/client.json");
    for user in ["alice", "bob"] {
        let tokens = client.log_in(&mut Browser::new(user)).await;
        assert_eq!(claims(&tokens.access_token)["client_id"], client.client_id);
        assert_serves(&bed, &client.refresh(&tokens.refresh_token).await.access_token).await;
    }
    assert_eq!(fetches().await, 1, "the worker keeps it");

    let refused = async |id: &str, reason: &str| {
        let mut other = client.clone();
        other.client_id = id.to_owned();
        let url = other.authorization().url();
        assert_page(&Request::get(&url).send().await, 400, "This login cannot be started", id);
        assert_audited(&bed, &url, reason).await;
    };
    for (path, reason) in [
        ("/moved.json", "client_document_answer"),
        ("/gone.json", "client_document_unavailable"),
        ("/other.json", "invalid_client_document"),
    ] {
        refused(&server.url(path), reason).await;
    }
    let asked = fetches().await;
    // No request is sent where the certificate is of an authority that is not trusted, or of
    // another host.
    refused(&untrusted.url("/client.json"), "client_document_unavailable").await;
    refused(&server.url("/client.json").replace("localhost", "other.localhost"), "client_document_unavailable").await;
    for (id, reason) in [
        ("https://127.0.0.1/client.json", "client_id_url"),
        ("https://third.localhost/client.json", "client_document_not_allowed"),
        ("https://localhost:22/client.json", "client_document_not_allowed"),
    ] {
        refused(id, reason).await;
    }
    assert_eq!(fetches().await, asked);
    let failed = bed.stats("cluster.documents.ssl.fail_verify").await;
    assert!(
        failed["cluster.documents.ssl.fail_verify_error"] >= 1 && failed["cluster.documents.ssl.fail_verify_san"] >= 1,
        "{failed:?}"
    );
    bed.assert_healthy().await;
}
