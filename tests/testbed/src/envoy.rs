//! The Envoy configuration around the filter: one listener, the routes, the clusters.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// The parts of a testbed's Envoy.
pub struct EnvoyLayout {
    /// The listener's port.
    pub port: u16,
    /// The filter's module; without one, requests reach the routes unfiltered.
    pub module: Option<PathBuf>,
    /// The plugin configuration.
    pub plugin: Value,
    /// The variables of Envoy's environment that the module may read.
    pub host_env_keys: Vec<String>,
    /// Clusters by name, each one loopback port.
    pub clusters: Vec<(String, u16)>,
    /// Clusters by name, each one Unix socket.
    pub pipes: Vec<(String, PathBuf)>,
    /// Clusters by name that reach every host by TLS, each with the authority that it trusts.
    pub forward_proxies: Vec<(String, PathBuf)>,
    /// Path prefixes and the clusters behind them, first match first; `/` has every path.
    pub routes: Vec<(String, String)>,
    /// Where the access log goes.
    pub access_log: PathBuf,
    /// The most KiB of a request's headers that Envoy takes.
    pub header_kib: u32,
    /// Whether names of headers may have underscores, as in an Envoy by default.
    pub takes_underscores: bool,
}

/// Headers that name the path, the method or the host of a request once more. No backend may see a
/// client's: some believe them rather than what the filter decided on.
pub const REMOVED_HEADERS: [&str; 21] = [
    "x-original-url",
    "x-rewrite-url",
    "x-original-uri",
    "x-original-path",
    "x-forwarded-uri",
    "x-forwarded-path",
    "x-forwarded-prefix",
    "x-script-name",
    "x-waws-unencoded-url",
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-forwarded-method",
    "x-original-method",
    "forwarded",
    "x-forwarded-host",
    "x-forwarded-server",
    "x-forwarded-port",
    "x-forwarded-scheme",
    "x-original-host",
    "x-host",
];

/// What the configurations that we give to others let a request have of headers, in KiB.
pub const HEADER_KIB: u32 = 32;

impl EnvoyLayout {
    /// The bootstrap document. The admin port is 0: Envoy picks it and tells it by
    /// `--admin-address-path`.
    #[must_use]
    pub fn bootstrap(&self) -> Value {
        json!({
            "admin": { "address": address(0) },
            "static_resources": { "listeners": [self.listener()], "clusters": self.clusters() },
        })
    }

    fn listener(&self) -> Value {
        json!({
            "name": "gateway",
            "address": address(self.port),
            "filter_chains": [{ "filters": [{
                "name": "envoy.filters.network.http_connection_manager",
                "typed_config": self.connection_manager(),
            }]}],
        })
    }

    fn connection_manager(&self) -> Value {
        let mut filters = Vec::new();
        if let Some(module) = &self.module {
            filters.push(self.filter(module));
        }
        filters.push(json!({
            "name": "envoy.filters.http.router",
            "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" },
        }));
        json!({
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "gateway",
            "codec_type": "AUTO",
            "use_remote_address": true,
            // For a peer on loopback Envoy would append the machine's own address, which no
            // deployment ever sees.
            "skip_xff_append": true,
            "normalize_path": true,
            "merge_slashes": true,
            // What an escaped slash means is the filter's to decide.
            "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
            "common_http_protocol_options": {
                "headers_with_underscores_action": if self.takes_underscores { "ALLOW" } else { "REJECT_REQUEST" },
                "idle_timeout": "3600s",
                "max_headers_count": 100,
            },
            // The bounds of the configurations that we give to others.
            "max_request_headers_kb": self.header_kib,
            "http2_protocol_options": {
                "max_concurrent_streams": 100,
                "initial_stream_window_size": 65_536,
                "initial_connection_window_size": 1_048_576,
            },
            "request_headers_timeout": "10s",
            "request_timeout": "60s",
            "stream_idle_timeout": "60s",
            "access_log": [self.access_log()],
            "route_config": {
                "request_headers_to_remove": REMOVED_HEADERS,
                "virtual_hosts": [{ "name": "all", "domains": ["*"], "routes": self.routes() }],
            },
            "http_filters": filters,
        })
    }

    fn filter(&self, module: &Path) -> Value {
        json!({
            "name": "envoy.filters.http.wasm",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
                "config": {
                    "name": "portcullis",
                    "root_id": "portcullis",
                    "allow_on_headers_stop_iteration": true,
                    "failure_policy": "FAIL_RELOAD",
                    "configuration": {
                        "@type": "type.googleapis.com/google.protobuf.StringValue",
                        "value": self.plugin.to_string(),
                    },
                    "vm_config": {
                        "vm_id": "portcullis",
                        "runtime": "envoy.wasm.runtime.v8",
                        "code": { "local": { "filename": module } },
                        "environment_variables": { "host_env_keys": self.host_env_keys },
                    },
                },
            },
        })
    }

    fn routes(&self) -> Vec<Value> {
        let mut routes: Vec<Value> = self
            .routes
            .iter()
            .map(|(prefix, cluster)| {
                let by = if prefix == "/" { "prefix" } else { "path_separated_prefix" };
                json!({
                    "match": { by: prefix },
                    // An MCP server streams for as long as the session lasts.
                    "route": { "cluster": cluster, "timeout": "0s", "idle_timeout": "3600s" },
                })
            })
            .collect();
        // The filter only sees requests that some route takes, so the gateway's own endpoints need
        // this one.
        routes.push(json!({
            "match": { "prefix": "/" },
            "direct_response": { "status": 404, "body": { "inline_string": "no route\n" } },
        }));
        routes
    }

    fn clusters(&self) -> Vec<Value> {
        let cluster = |name: &str, address: Value| {
            json!({
                "name": name,
                "type": "STATIC",
                "connect_timeout": "2s",
                "load_assignment": {
                    "cluster_name": name,
                    "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": address } }] }],
                },
            })
        };
        let ports = self.clusters.iter().map(|(name, port)| cluster(name, address(*port)));
        let pipes = self.pipes.iter().map(|(name, path)| {
            let mut bridge = cluster(name, json!({ "pipe": { "path": path } }));
            // As in the configurations that we give to others: a burst waits here rather than being
            // refused there.
            bridge["circuit_breakers"] =
                json!({ "thresholds": [{ "max_connections": 64, "max_pending_requests": 8192, "max_requests": 8192 }] });
            bridge["typed_extension_protocol_options"] = json!({
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                    "explicit_http_config": { "http_protocol_options": {} },
                    "common_http_protocol_options": { "idle_timeout": "20s" },
                },
            });
            bridge
        });
        let forward_proxies = self.forward_proxies.iter().map(|(name, authority)| forward_proxy(name, authority));
        ports.chain(pipes).chain(forward_proxies).collect()
    }

    fn access_log(&self) -> Value {
        let field = |name: &&str| ((*name).to_owned(), json!(format!("%CEL(filter_state['wasm.portcullis'].{name})%")));
        let audit: serde_json::Map<_, _> = AUDIT_FIELDS.iter().map(field).collect();
        json!({
            "name": "envoy.access_loggers.file",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
                "path": self.access_log,
                "log_format": { "json_format": {
                    "method": "%REQ(:METHOD)%",
                    "path": "%REQ(:PATH)%",
                    "status": "%RESPONSE_CODE%",
                    "details": "%RESPONSE_CODE_DETAILS%",
                    "cluster": "%UPSTREAM_CLUSTER%",
                    "audit": audit,
                }},
            },
        })
    }
}

/// The fields of the audit trail (`docs/operate/audit.md`).
const AUDIT_FIELDS: [&str; 12] = [
    "decision",
    "reason",
    "resource",
    "client",
    "client_name",
    "user",
    "subject",
    "email",
    "session",
    "scopes",
    "mcp_method",
    "request_id",
];

/// A cluster as the reference of the filter's `metadataDocuments.cluster` has it.
fn forward_proxy(name: &str, authority: &Path) -> Value {
    json!({
        "name": name,
        "connect_timeout": "2s",
        "lb_policy": "CLUSTER_PROVIDED",
        "cluster_type": {
            "name": "envoy.clusters.dynamic_forward_proxy",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig",
                "dns_cache_config": { "name": name, "dns_lookup_family": "V4_ONLY" },
            },
        },
        "transport_socket": {
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
                "common_tls_context": { "validation_context": { "trusted_ca": { "filename": authority } } },
            },
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "upstream_http_protocol_options": { "auto_sni": true, "auto_san_validation": true },
                "explicit_http_config": { "http_protocol_options": {} },
            },
        },
    })
}

fn address(port: u16) -> Value {
    json!({ "socket_address": { "address": "127.0.0.1", "port_value": port } })
}
