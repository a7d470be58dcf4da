//! The Envoy that everything is measured in: one process, one worker, one listener a scenario.
//! Every listener answers by itself, so no backend is measured, and all of them differ in their
//! filters only.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use portcullis_testbed::http::Request;
use portcullis_testbed::paths;
use portcullis_testbed::process::Process;
use serde_json::{Value, json};

use crate::cpu;
use crate::ext_authz_stub;
use crate::gateway::Gateway;
use crate::load;

/// A listener: a port and what stands before its answer.
pub(crate) struct Listener {
    /// The port on loopback.
    pub port: u16,
    /// The HTTP filter; `None` for nothing but the router.
    pub filter: Option<Value>,
    /// The cluster that answers; `None` when the listener answers by itself.
    pub back_end: Option<&'static str>,
}

/// Where a cluster's only host listens.
pub(crate) enum At {
    /// A port on loopback.
    Port(u16),
    /// A Unix socket.
    Socket(PathBuf),
}

/// A running Envoy.
pub(crate) struct Envoy {
    process: Process,
    admin_file: PathBuf,
}

impl Envoy {
    /// Starts Envoy and waits until it serves.
    ///
    /// # Errors
    /// When it does not come up; with the end of its log.
    pub(crate) fn start(
        listeners: &[Listener],
        clusters: &[(String, At)],
        gateways: &[&Gateway],
        dir: &Path,
    ) -> Result<Self, String> {
        Self::start_with(1, listeners, clusters, gateways, dir)
    }

    /// The same with this number of workers.
    ///
    /// # Errors
    /// When it does not come up; with the end of its log.
    pub(crate) fn start_with(
        workers: usize,
        listeners: &[Listener],
        clusters: &[(String, At)],
        gateways: &[&Gateway],
        dir: &Path,
    ) -> Result<Self, String> {
        let processors = if workers == 1 { cpu::ENVOY_CORE } else { cpu::BOTH_CORES };
        let mut envoy = Self::launch(workers, processors, listeners, clusters, gateways, dir)?;
        let patience = Instant::now() + STARTUP;
        loop {
            envoy.process.check_alive()?;
            if envoy.is_ready() {
                return Ok(envoy);
            }
            if Instant::now() > patience {
                return Err(format!("Envoy was not ready in time:\n{}", envoy.process.log_tail()));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Starts Envoy with `workers` workers on these processors, where processes can be pinned, and
    /// waits for nothing.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn launch(
        workers: usize,
        processors: &str,
        listeners: &[Listener],
        clusters: &[(String, At)],
        gateways: &[&Gateway],
        dir: &Path,
    ) -> Result<Self, String> {
        let bootstrap = json!({
            "admin": { "address": address(0) },
            "static_resources": {
                "listeners": listeners.iter().map(listener).collect::<Vec<_>>(),
                "clusters": clusters.iter().map(cluster).collect::<Vec<_>>(),
            },
        });
        let config = dir.join("envoy.json");
        fs::write(&config, bootstrap.to_string()).map_err(|error| error.to_string())?;
        let admin_file = dir.join("admin-address");
        // An Envoy that ran here before has left its own.
        let _ = fs::remove_file(&admin_file);
        let binary = paths::envoy();
        if !binary.exists() {
            return Err(format!("no Envoy at {}: run `make tools`, or set ENVOY", binary.display()));
        }
        let pinned = cpu::can_pin();
        let program = if pinned { PathBuf::from("taskset") } else { binary.clone() };
        let arrange = |command: &mut std::process::Command| {
            if pinned {
                command.args(["-c", processors]).arg(&binary);
            }
            command.arg("--config-path").arg(&config).arg("--admin-address-path").arg(&admin_file);
            command.args(["--disable-hot-restart", "--log-level", "warning", "--concurrency", &workers.to_string()]);
            command.envs(gateways.iter().map(|gateway| gateway.environment()));
        };
        let process =
            Process::start("envoy", &program, arrange, &dir.join("envoy.log")).map_err(|error| error.to_string())?;
        Ok(Self { process, admin_file })
    }

    fn is_ready(&self) -> bool {
        let ready = |port| load::ask(port, b"GET /ready HTTP/1.1\r\nhost: admin\r\n\r\n");
        self.admin().is_ok_and(|port| ready(port).is_ok_and(|answer| answer.status == 200))
    }

    fn admin(&self) -> Result<u16, String> {
        let address = fs::read_to_string(&self.admin_file).unwrap_or_default();
        address.parse().map(|address: SocketAddr| address.port()).map_err(|_| "no admin port yet".to_owned())
    }

    /// Its process id.
    #[must_use]
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// The value of the counter whose name ends so; 0 when there is none.
    ///
    /// # Errors
    /// When the admin interface does not answer.
    pub(crate) fn counter(&self, name: &str) -> Result<u64, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let listing = Request::get(&format!("http://127.0.0.1:{}/stats?filter=portcullis", self.admin()?));
        let listing = runtime.block_on(listing.try_send()).map_err(|error| error.to_string())?.text();
        let mut pairs = listing.lines().filter_map(|line| line.split_once(": "));
        Ok(pairs.find(|(held, _)| held.ends_with(name)).and_then(|(_, value)| value.parse().ok()).unwrap_or_default())
    }

    /// What went wrong, with the end of its log.
    #[must_use]
    pub(crate) fn explain(&self, why: &str) -> String {
        format!("{why}\nEnvoy's log:\n{}", self.log_tail())
    }

    /// The end of its log.
    #[must_use]
    pub(crate) fn log_tail(&self) -> String {
        self.process.log_tail()
    }
}

/// A proxy-wasm filter from a file.
#[must_use]
pub(crate) fn wasm(vm: &str, module: &Path, configuration: &Value, host_env_keys: &[String]) -> Value {
    json!({
        "name": WASM,
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
            "config": {
                "name": vm,
                "root_id": vm,
                "allow_on_headers_stop_iteration": true,
                "failure_policy": "FAIL_RELOAD",
                "configuration": {
                    "@type": "type.googleapis.com/google.protobuf.StringValue",
                    "value": configuration.to_string(),
                },
                "vm_config": {
                    "vm_id": vm,
                    "runtime": "envoy.wasm.runtime.v8",
                    "code": { "local": { "filename": module } },
                    "environment_variables": { "host_env_keys": host_env_keys },
                },
            },
        },
    })
}

/// Our filter, as a gateway configures it.
#[must_use]
pub(crate) fn ours(gateway: &Gateway) -> Value {
    wasm(gateway.name, &paths::module(), &gateway.plugin(), &[gateway.key_variable()])
}

/// A listener with our filter, which answers by itself.
#[must_use]
pub(crate) fn listener_of(gateway: &Gateway) -> Listener {
    Listener { port: gateway.port, filter: Some(ours(gateway)), back_end: None }
}

/// Envoy's own `jwt_authn` for a gateway's tokens.
#[must_use]
pub(crate) fn jwt_authn(gateway: &Gateway, cached: bool) -> Value {
    let mut provider = json!({
        "issuer": gateway.issuer(),
        "audiences": [gateway.resource()],
        "local_jwks": { "inline_string": gateway.jwks().to_string() },
    });
    if cached {
        provider["jwt_cache_config"] = json!({ "jwt_cache_size": 100 });
    }
    json!({
        "name": "envoy.filters.http.jwt_authn",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
            "providers": { "gateway": provider },
            "rules": [{ "match": { "prefix": "/" }, "requires": { "provider_name": "gateway" } }],
        },
    })
}

/// Envoy's own `ext_authz` over HTTP/1.1 to a cluster; where it injects, what the service gives as
/// `Authorization` goes to the backend.
#[must_use]
pub(crate) fn ext_authz(cluster: &str, injects: bool) -> Value {
    let mut service = json!({
        "server_uri": { "uri": "http://127.0.0.1", "cluster": cluster, "timeout": "5s" },
    });
    if injects {
        service["path_prefix"] = json!(ext_authz_stub::GIVING);
        service["authorization_response"] =
            json!({ "allowed_upstream_headers": { "patterns": [{ "exact": "authorization" }] } });
    }
    json!({
        "name": "envoy.filters.http.ext_authz",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
            "transport_api_version": "V3",
            "http_service": service,
        },
    })
}

fn listener(listener: &Listener) -> Value {
    let router = json!({
        "name": "envoy.filters.http.router",
        "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" },
    });
    let filters: Vec<Value> = listener.filter.clone().into_iter().chain([router]).collect();
    let answer = match listener.back_end {
        Some(cluster) => json!({ "route": { "cluster": cluster } }),
        None => json!({ "direct_response": { "status": 200 } }),
    };
    // What a backend would have been given as credentials, for the check before the measurement.
    let showing = json!({
        "direct_response": { "status": 200 },
        "response_headers_to_add": [{ "header": { "key": SHOWN, "value": "%REQ(AUTHORIZATION)%" } }],
    });
    let regex = |under: &str| json!({ "safe_regex": { "regex": format!("{under}{SHOWING}") } });
    let off = json!({
        WASM: { "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "disabled": true },
    });
    let route = |mut action: Value, matched: Value, per_filter: &Value| {
        action["match"] = matched;
        action["typed_per_filter_config"] = per_filter.clone();
        action
    };
    let routes = [
        route(showing.clone(), regex(UNFILTERED), &off),
        route(showing, regex("/[a-z]+"), &json!({})),
        route(answer.clone(), json!({ "prefix": UNFILTERED }), &off),
        route(answer, json!({ "prefix": "/" }), &json!({})),
    ];
    json!({
        "name": format!("port {}", listener.port),
        "address": address(listener.port),
        "filter_chains": [{ "filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                "stat_prefix": "measured",
                "codec_type": "AUTO",
                "normalize_path": true,
                "merge_slashes": true,
                "route_config": { "virtual_hosts": [{ "name": "all", "domains": ["*"], "routes": routes }]},
                "http_filters": filters,
            },
        }]}],
    })
}

fn cluster((name, at): &(String, At)) -> Value {
    let address = match at {
        At::Port(port) => address(*port),
        At::Socket(path) => json!({ "pipe": { "path": path } }),
    };
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "2s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": address } }] }],
        },
    })
}

fn address(port: u16) -> Value {
    json!({ "socket_address": { "address": "127.0.0.1", "port_value": port } })
}

/// How a path ends whose answer shows the credentials that passed the filter.
pub(crate) const SHOWING: &str = "/shown";
/// Where a listener has no wasm filter, whatever stands before the rest.
pub(crate) const UNFILTERED: &str = "/unfiltered";
const WASM: &str = "envoy.filters.http.wasm";
/// The header that shows them.
pub(crate) const SHOWN: &str = "x-shown";
const STARTUP: Duration = Duration::from_secs(60);
