//! Where the documents of another issuer are.

use std::collections::BTreeMap;

use portcullis_protocol::url::web_url::WebUrl;

/// Where the documents of another issuer are, and which clusters of Envoy lead there.
pub struct IssuerSite {
    /// The issuer identifier, exactly as configured and as its documents and tokens must state it.
    pub issuer: String,
    /// The path and query of its discovery document.
    pub discovery_path: String,
    /// Which cluster leads to which authority (`host` or `host:port`, lower case). Nothing else is
    /// ever called.
    pub clusters: BTreeMap<String, String>,
    /// The issuer's own authority.
    pub authority: String,
    /// Whether its endpoints may be plain http: only when the issuer itself is, on loopback in
    /// development.
    pub plain_http: bool,
}

impl IssuerSite {
    pub(super) fn new(issuer: &str, url: &WebUrl, clusters: BTreeMap<String, String>) -> Self {
        Self {
            issuer: issuer.to_owned(),
            discovery_path: format!("{}/.well-known/openid-configuration", url.path().trim_end_matches('/')),
            clusters,
            authority: url.authority(),
            plain_http: !url.is_https(),
        }
    }
}

/// The clusters of a document, by authority in lower case, with the one of the site's own host.
pub(super) fn clusters(
    written: &BTreeMap<String, String>,
    authority: String,
    cluster: &str,
) -> BTreeMap<String, String> {
    let mut clusters = BTreeMap::new();
    clusters.extend(written.iter().map(|(host, cluster)| (host.to_ascii_lowercase(), cluster.clone())));
    clusters.insert(authority, cluster.to_owned());
    clusters
}
