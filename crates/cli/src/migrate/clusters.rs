//! Envoy's clusters that a configuration names.

use portcullis_protocol::url::web_url::WebUrl;

/// The clusters, in the order in which they were first needed.
#[derive(Debug, Default)]
pub(crate) struct Clusters(Vec<Cluster>);

/// A cluster.
#[derive(Debug)]
struct Cluster {
    name: String,
    host: String,
    port: u16,
    is_tls: bool,
    authority: Option<String>,
}

impl Clusters {
    /// Returns the name of the cluster for a URL's host: the one it has, or `preferred`, with a
    /// number where that is another host's. `None` for a text that is no URL.
    pub(crate) fn of(&mut self, preferred: &str, url: &str) -> Option<String> {
        let preferred = label(preferred);
        let url = WebUrl::parse(url).ok()?;
        let (host, port, is_tls) = (url.host(), url.port(), url.is_https());
        let known = self.0.iter().find(|known| known.host == host && known.port == port && known.is_tls == is_tls);
        if let Some(known) = known {
            return Some(known.name.clone());
        }
        let numbered = (2_usize..).map(|number| format!("{preferred}-{number}"));
        let name = std::iter::once(preferred.clone()).chain(numbered).find(|name| !self.has(name))?;
        self.0.push(Cluster { name: name.clone(), host: host.to_owned(), port, is_tls, authority: None });
        Some(name)
    }

    /// Sets the file of the authorities that sign a cluster's certificates.
    pub(crate) fn set_authority(&mut self, name: &str, file: &str) {
        if let Some(cluster) = self.0.iter_mut().find(|cluster| cluster.name == name) {
            cluster.authority = Some(file.to_owned());
        }
    }

    /// `name: host:port` of each.
    pub(crate) fn listed(&self) -> Vec<String> {
        let tls = |cluster: &Cluster| if cluster.is_tls { "TLS" } else { "plaintext" };
        self.0
            .iter()
            .map(|cluster| format!("{}: {}:{}, {}", cluster.name, cluster.host, cluster.port, tls(cluster)))
            .collect()
    }

    /// The `clusters` of Envoy's `static_resources`.
    pub(crate) fn to_yaml(&self, has_bridge: bool) -> String {
        let mut yaml =
            "# For `static_resources` of Envoy. The clusters of the MCP servers are not here.\nclusters:\n".to_owned();
        self.0.iter().for_each(|cluster| yaml.push_str(&cluster.to_yaml()));
        if has_bridge {
            yaml.push_str(BRIDGE);
        }
        yaml
    }

    /// Returns `true` if there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn has(&self, name: &str) -> bool {
        name == BRIDGE_CLUSTER || self.0.iter().any(|cluster| cluster.name == name)
    }
}

impl Cluster {
    fn to_yaml(&self) -> String {
        let Self { name, host, port, is_tls, authority } = self;
        let mut yaml = format!(
            "  - name: \"{name}\"
    type: STRICT_DNS
    connect_timeout: 2s
    load_assignment:
      cluster_name: \"{name}\"
      endpoints:
        - lb_endpoints:
            - endpoint: {{ address: {{ socket_address: {{ address: \"{host}\", port_value: {port} }} }} }}
"
        );
        if *is_tls {
            let authority = authority.as_deref().unwrap_or(SYSTEM_AUTHORITIES);
            // What JSON takes for a text in quotes is one in YAML, too.
            let authority = serde_json::to_string(authority).unwrap_or_default();
            yaml.push_str(&format!(
                "    transport_socket:
      name: envoy.transport_sockets.tls
      typed_config:
        \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
        common_tls_context:
          validation_context:
            trusted_ca: {{ filename: {authority} }}
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        \"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        upstream_http_protocol_options: {{ auto_sni: true, auto_san_validation: true }}
        explicit_http_config: {{ http_protocol_options: {{}} }}
"
            ));
        }
        yaml
    }
}

/// A name as a DNS label, which needs no quotes in YAML.
pub(crate) fn label(name: &str) -> String {
    let letter = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' };
    let label: String = name.chars().take(MAX_LABEL).map(letter).collect();
    let label = label.trim_matches('-');
    if label.is_empty() { "unnamed".to_owned() } else { label.to_owned() }
}

const MAX_LABEL: usize = 63;
const SYSTEM_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
/// The cluster of `redis-bridge`.
pub(crate) const BRIDGE_CLUSTER: &str = "redis-bridge";
const BRIDGE: &str = "  - name: redis-bridge
    type: STATIC
    connect_timeout: 1s
    circuit_breakers:
      thresholds: [{ max_connections: 64, max_pending_requests: 8192, max_requests: 8192 }]
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        \"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: { http_protocol_options: {} }
        common_http_protocol_options: { idle_timeout: 20s }
    load_assignment:
      cluster_name: redis-bridge
      endpoints:
        - lb_endpoints:
            - endpoint: { address: { pipe: { path: /run/portcullis/bridge.sock } } }
";
