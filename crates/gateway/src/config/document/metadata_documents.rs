//! The section on client-id metadata documents, as written.

use serde::{Deserialize, Serialize};

/// Client-id metadata documents (draft-ietf-oauth-client-id-metadata-document): a client whose id
/// is an https URL is described by the JSON document there. The bridge fetches it, which needs
/// `fetch` in its configuration; with `storage` of type `memory` Envoy does, through `cluster`.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MetadataDocuments {
    /// Whether such clients are served, and announced in the metadata
    /// (`client_id_metadata_document_supported`).
    pub enabled: bool,
    /// The hosts of the documents: `name`, `*.name` for every name below it, or `*` for every name
    /// of the public DNS. A name without a dot, or one such as `x.internal` or `x.local`, is only
    /// allowed where it is listed.
    pub allowed_domains: Vec<String>,
    /// The ports of the documents' servers.
    pub allowed_ports: Vec<u16>,
    /// Envoy's cluster that reaches the documents' hosts, of type
    /// `envoy.clusters.dynamic_forward_proxy` with TLS, `auto_sni` and `auto_san_validation`; only
    /// with `storage` of type `memory`. The filter does not see which address Envoy connects to, so
    /// `allowedDomains` must then list the hosts, without `*`.
    pub cluster: Option<String>,
    /// The most bytes of a document: 1024 to 10240.
    pub max_bytes: u32,
    /// How long a document is kept at least, if its server lets it be kept at all: 0s to `maxAge`.
    pub min_age: String,
    /// How long a document is kept at most, whatever its server says, and so how soon a change of
    /// it takes effect: up to 24h. Where the server says nothing, it is 5 minutes.
    pub max_age: String,
    /// Requests a minute from one address for which a document is fetched: ten tabs of one browser
    /// are ten. One whose document is kept does not count.
    pub rate_per_minute: u32,
    /// The same from all addresses together. The bridge has limits of its own (`fetch.perMinute`).
    pub global_rate_per_minute: u32,
}

impl Default for MetadataDocuments {
    fn default() -> Self {
        Self {
            enabled: false,
            allowed_domains: vec!["*".to_owned()],
            allowed_ports: vec![443],
            cluster: None,
            max_bytes: 10_240,
            min_age: "1m".into(),
            max_age: "1h".into(),
            rate_per_minute: 30,
            global_rate_per_minute: 300,
        }
    }
}
