//! Client-id metadata documents: which are fetched, and how long they are kept.

use portcullis_protocol::oauth::client_id_url::ClientIdUrl;
use portcullis_protocol::url::domain_pattern::DomainPattern;
use portcullis_storage_api::wire::{MAX_BUCKET_CAPACITY, MAX_DOCUMENT_BYTES};

use super::compiler::Compiler;
use super::document;

/// Which client-id metadata documents are fetched, and how long they are kept.
#[derive(Debug, Clone)]
pub struct ClientDocumentPolicy {
    domains: Vec<DomainPattern>,
    ports: Vec<u16>,
    /// Envoy's cluster that reaches the documents' hosts; `None` where the bridge fetches them.
    pub cluster: Option<String>,
    /// The most bytes of a document.
    pub max_bytes: usize,
    min_age: u64,
    max_age: u64,
    /// Fetches a minute for one address.
    pub per_address: u32,
    /// Fetches a minute for all addresses.
    pub global: u32,
}

impl ClientDocumentPolicy {
    /// Returns `true` if the document of a client may be fetched: by host and port of its URL.
    #[must_use]
    pub fn allows(&self, client_id: &ClientIdUrl) -> bool {
        let host = client_id.host();
        self.ports.contains(&client_id.port()) && self.domains.iter().any(|domain| domain.matches(host))
    }

    /// Returns how long a document is kept, in seconds, whose server allows `allowed`: `Some(0)`
    /// forbids to keep it, and `None` says nothing.
    #[must_use]
    pub fn age(&self, allowed: Option<u64>) -> u64 {
        match allowed {
            Some(0) => 0,
            Some(allowed) => allowed.max(self.min_age).min(self.max_age),
            None => UNSAID_AGE.max(self.min_age).min(self.max_age),
        }
    }
}

impl Compiler<'_> {
    pub(super) fn client_documents(
        &mut self,
        written: &document::MetadataDocuments,
    ) -> Option<Option<ClientDocumentPolicy>> {
        let path = |field: &str| format!("clients.metadataDocuments.{field}");
        let domains = self.allowed_domains(&path("allowedDomains"), &written.allowed_domains);
        if written.allowed_ports.is_empty() || written.allowed_ports.contains(&0) {
            self.problem::<()>(&path("allowedPorts"), "must have at least one entry, each from 1 to 65535");
        }
        let max_bytes = usize::try_from(written.max_bytes).unwrap_or(usize::MAX);
        if !(MIN_DOCUMENT_BYTES..=MAX_DOCUMENT_BYTES).contains(&max_bytes) {
            let what = format!("must be between {MIN_DOCUMENT_BYTES} and {MAX_DOCUMENT_BYTES}");
            self.problem::<()>(&path("maxBytes"), what);
        }
        let max_age = self.duration(&path("maxAge"), &written.max_age, 1, MAX_AGE_SECONDS);
        let min_age = self.duration(&path("minAge"), &written.min_age, 0, max_age.unwrap_or(MAX_AGE_SECONDS));
        for (field, rate) in
            [("ratePerMinute", written.rate_per_minute), ("globalRatePerMinute", written.global_rate_per_minute)]
        {
            if !(1..=MAX_BUCKET_CAPACITY).contains(&rate) {
                self.problem::<()>(&path(field), format!("must be between 1 and {MAX_BUCKET_CAPACITY}"));
            }
        }
        if written.enabled {
            self.check_cluster(written);
        }
        let policy = ClientDocumentPolicy {
            domains: domains?,
            ports: written.allowed_ports.clone(),
            cluster: written.cluster.clone(),
            max_bytes,
            min_age: min_age?,
            max_age: max_age?,
            per_address: written.rate_per_minute,
            global: written.global_rate_per_minute,
        };
        Some(written.enabled.then_some(policy))
    }

    fn allowed_domains(&mut self, path: &str, written: &[String]) -> Option<Vec<DomainPattern>> {
        if written.is_empty() {
            return self.problem(path, "must have at least one entry; \"*\" allows every public name");
        }
        let mut patterns = Vec::with_capacity(written.len());
        for text in written {
            match DomainPattern::parse(text) {
                Some(pattern) => patterns.push(pattern),
                None => {
                    return self
                        .problem(path, "every entry must be a host name in lower case, \"*.\" and one, or \"*\"");
                }
            }
        }
        Some(patterns)
    }

    /// What fetches must be there, and must keep strangers from reaching inside: the bridge by
    /// the addresses that it connects to, a cluster by the names that it is given.
    fn check_cluster(&mut self, written: &document::MetadataDocuments) {
        const PATH: &str = "clients.metadataDocuments.cluster";
        match &written.cluster {
            Some(_) if self.bridged => {
                self.problem::<()>(
                    PATH,
                    "must be left out with storage of type \"bridge\": the bridge fetches documents",
                );
            }
            Some(cluster) if cluster.is_empty() => {
                self.problem::<()>(PATH, "must name Envoy's cluster for the documents' hosts");
            }
            Some(_) if written.allowed_domains.iter().any(|domain| domain == "*") => {
                self.problem::<()>(
                    "clients.metadataDocuments.allowedDomains",
                    "must list the hosts, without \"*\", where Envoy fetches documents through a cluster: it connects \
                     to private addresses, too",
                );
            }
            None if !self.bridged => {
                self.problem::<()>(
                    PATH,
                    "is required with storage of type \"memory\", where no bridge fetches documents",
                );
            }
            Some(_) | None => {}
        }
    }
}

/// How long a document is kept whose server says nothing of it, in seconds.
const UNSAID_AGE: u64 = 300;
const MAX_AGE_SECONDS: u64 = 24 * 60 * 60;
const MIN_DOCUMENT_BYTES: usize = 1024;
