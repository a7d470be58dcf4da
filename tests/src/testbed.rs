//! The testbed itself: starts every part on free loopback ports, waits until all are ready, stops what it started.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use jwt_simple::prelude::{ES256KeyPair, HS256Key};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::envoy::EnvoyLayout;
use crate::http::Request;
use crate::place;
use crate::process::Process;
use crate::recorder::{Recorded, Recorder};

/// What the identity provider does from the start; [`Testbed::set_idp`] changes it later.
#[derive(Clone, Debug)]
pub struct IdpOptions {
    /// Seconds that its access tokens live.
    pub access_token_ttl: u64,
    /// Whether its access tokens are opaque; otherwise they are RS256 JWTs that tell their `sub`.
    pub opaque_tokens: bool,
}

impl Default for IdpOptions {
    fn default() -> Self {
        Self { access_token_ttl: 60, opaque_tokens: false }
    }
}

/// How often the identity provider was asked, by endpoint and by grant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IdpRequests {
    /// Reads of its discovery document.
    pub discovery: u64,
    /// Reads of its key set.
    pub jwks: u64,
    /// Requests to its authorization endpoint.
    pub authorization: u64,
    /// Requests to its token endpoint, of any grant.
    pub token: u64,
    /// Of these, the ones that asked to redeem a code.
    pub code_grants: u64,
    /// Of these, the ones that asked for a refresh.
    pub refresh_grants: u64,
    /// Refreshes that it granted.
    pub refreshed: u64,
    /// Requests to its userinfo endpoint.
    pub userinfo: u64,
}

/// Describes a testbed before it starts.
pub struct Builder {
    patches: Vec<Value>,
    workers: u32,
    idp: IdpOptions,
    port: Option<u16>,
    module: Option<PathBuf>,
    tapped: bool,
    env: Vec<(String, String)>,
    clusters: Vec<(String, u16)>,
    routes: Vec<(String, String)>,
}

impl Builder {
    /// Merges a patch (RFC 7396) over the default plugin configuration. `{gateway}`, `{idp}` and `{recorder}` inside a
    /// string stand for those addresses, which are only known at the start.
    #[must_use]
    pub fn config(mut self, patch: Value) -> Self {
        self.patches.push(patch);
        self
    }

    /// Sets the number of Envoy's workers; 1 otherwise.
    #[must_use]
    pub fn workers(mut self, workers: u32) -> Self {
        self.workers = workers;
        self
    }

    /// Sets what the identity provider does.
    #[must_use]
    pub fn idp(mut self, options: IdpOptions) -> Self {
        self.idp = options;
        self
    }

    /// Puts the gateway on this port instead of a free one.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Loads another module instead of the filter's release build.
    #[must_use]
    pub fn module(mut self, path: PathBuf) -> Self {
        self.module = Some(path);
        self
    }

    /// Runs Envoy without any filter, for what must be measured or proven against the bare proxy.
    #[must_use]
    pub fn without_filter(mut self) -> Self {
        self.module = None;
        self
    }

    /// Puts a recorder between Envoy and the MCP server; see [`Testbed::mcp_recorded`].
    #[must_use]
    pub fn tap_mcp(mut self) -> Self {
        self.tapped = true;
        self
    }

    /// Gives Envoy's environment a variable that the module may read.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds a cluster: one loopback port.
    #[must_use]
    pub fn cluster(mut self, name: &str, port: u16) -> Self {
        self.clusters.push((name.to_owned(), port));
        self
    }

    /// Adds a route: a path prefix and its cluster (`recorder`, `mcp_backend` or one that was added).
    #[must_use]
    pub fn route(mut self, prefix: &str, cluster: &str) -> Self {
        self.routes.push((prefix.to_owned(), cluster.to_owned()));
        self
    }

    /// Starts everything and waits until it is ready.
    ///
    /// # Panics
    /// When a part does not start; the message has the end of its log.
    pub async fn start(self) -> Testbed {
        self.try_start().await.unwrap_or_else(|why| panic!("the testbed did not start: {why}"))
    }

    /// As [`Builder::start`], with the failure as a value: a refused plugin configuration ends here.
    ///
    /// # Errors
    /// What did not start and the end of its log. Whatever had started is stopped.
    pub async fn try_start(mut self) -> Result<Testbed, String> {
        let dir = tempfile::Builder::new().prefix("portcullis-testbed-").tempdir().map_err(text)?;
        let secrets = Secrets::generate();
        let gateway_port = Reservation::take(self.port)?;
        let gateway = format!("http://127.0.0.1:{}", gateway_port.port);

        let mut idp = self.start_idp(&gateway, &secrets, dir.path())?;
        let mut everything =
            start_script("mcp_backend", "idp/everything.mjs", &[], &dir.path().join("mcp_backend.log"))?;
        let recorder = Recorder::start().map_err(text)?;
        let idp_port = announced_port(&mut idp)?;
        let everything_port = announced_port(&mut everything)?;
        let tap = self.tapped.then(|| Recorder::start_tap(everything_port)).transpose().map_err(text)?;

        let idp_url = format!("http://127.0.0.1:{idp_port}");
        let recorder_url = format!("http://127.0.0.1:{}", recorder.port());
        let mut plugin = default_plugin(&gateway, &idp_url);
        for patch in &mut self.patches {
            fill(patch, &[("{gateway}", &gateway), ("{idp}", &idp_url), ("{recorder}", &recorder_url)]);
            merge(&mut plugin, patch);
        }
        self.env.extend(secrets.environment());
        self.clusters.extend([
            ("idp".to_owned(), idp_port),
            ("recorder".to_owned(), recorder.port()),
            ("mcp_backend".to_owned(), tap.as_ref().map_or(everything_port, Recorder::port)),
        ]);
        self.routes.extend([("/mcp".to_owned(), "mcp_backend".to_owned()), ("/api".to_owned(), "recorder".to_owned())]);
        let layout = EnvoyLayout {
            port: gateway_port.port,
            module: self.module,
            plugin,
            host_env_keys: self.env.iter().map(|(name, _)| name.clone()).collect(),
            clusters: self.clusters,
            routes: self.routes,
            access_log: dir.path().join("access.log"),
        };
        let (envoy, admin) = start_envoy(&layout, self.workers, &self.env, dir.path()).await?;
        Ok(Testbed {
            envoy,
            idp,
            everything,
            recorder,
            tap,
            gateway,
            idp_url,
            recorder_url,
            everything_port,
            admin,
            plugin: layout.plugin,
            secrets,
            dir: Some(dir),
            _reservation: gateway_port,
        })
    }

    fn start_idp(&self, gateway: &str, secrets: &Secrets, dir: &Path) -> Result<Process, String> {
        let options = json!({
            "clientId": IDP_CLIENT,
            "clientSecret": secrets.idp,
            "redirectUri": format!("{gateway}/oauth/callback"),
            "accessTokenTtl": self.idp.access_token_ttl,
            "opaque": self.idp.opaque_tokens,
        });
        start_script("idp", "idp/idp.mjs", &[options.to_string()], &dir.join("idp.log"))
    }
}

/// A running testbed. Dropping it stops every part, Envoy first.
pub struct Testbed {
    envoy: Process,
    idp: Process,
    everything: Process,
    recorder: Recorder,
    tap: Option<Recorder>,
    gateway: String,
    idp_url: String,
    recorder_url: String,
    everything_port: u16,
    admin: String,
    plugin: Value,
    secrets: Secrets,
    dir: Option<TempDir>,
    _reservation: Reservation,
}

impl Testbed {
    /// Starts to describe a testbed: one worker, the filter's release build, the default plugin configuration.
    #[must_use]
    pub fn builder() -> Builder {
        Builder {
            patches: Vec::new(),
            workers: 1,
            idp: IdpOptions::default(),
            port: None,
            module: Some(place::module()),
            tapped: false,
            env: Vec::new(),
            clusters: Vec::new(),
            routes: Vec::new(),
        }
    }

    /// The gateway's base URL, without a trailing slash.
    #[must_use]
    pub fn gateway(&self) -> String {
        self.gateway.clone()
    }

    /// The issuer of the default configuration: the gateway's base URL.
    #[must_use]
    pub fn issuer(&self) -> String {
        self.gateway.clone()
    }

    /// The MCP resource, `…/mcp`.
    #[must_use]
    pub fn resource(&self) -> String {
        format!("{}/mcp", self.gateway)
    }

    /// The HTTP resource, `…/api`.
    #[must_use]
    pub fn api_resource(&self) -> String {
        format!("{}/api", self.gateway)
    }

    /// The identity provider's issuer.
    #[must_use]
    pub fn idp(&self) -> String {
        self.idp_url.clone()
    }

    /// The recorder's base URL.
    #[must_use]
    pub fn recorder(&self) -> String {
        self.recorder_url.clone()
    }

    /// The MCP server's endpoint, reached without the gateway.
    #[must_use]
    pub fn mcp_backend(&self) -> String {
        format!("http://127.0.0.1:{}/mcp", self.everything_port)
    }

    /// Envoy's admin base URL.
    #[must_use]
    pub fn admin(&self) -> String {
        self.admin.clone()
    }

    /// The plugin configuration in force.
    #[must_use]
    pub fn plugin(&self) -> &Value {
        &self.plugin
    }

    /// The gateway's ES256 signing key as PEM, for tokens that a story makes itself.
    #[must_use]
    pub fn signing_key(&self) -> &str {
        &self.secrets.signing_key
    }

    /// The gateway's root secret.
    #[must_use]
    pub fn gateway_secret(&self) -> &str {
        &self.secrets.gateway
    }

    /// The identity provider's secret for the gateway.
    #[must_use]
    pub fn idp_secret(&self) -> &str {
        &self.secrets.idp
    }

    /// The one line that `make testbed` prints.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "gateway": self.gateway,
            "issuer": self.issuer(),
            "resource": self.resource(),
            "api_resource": self.api_resource(),
            "idp": self.idp_url,
            "recorder": self.recorder_url,
            "mcp_backend": self.mcp_backend(),
            "admin": self.admin,
            "pids": { "envoy": self.envoy.id(), "idp": self.idp.id(), "mcp_backend": self.everything.id() },
        })
    }

    /// Starts a GET of a path at the gateway.
    #[must_use]
    pub fn get(&self, path: &str) -> Request {
        Request::get(&format!("{}{path}", self.gateway))
    }

    /// Starts a POST to a path at the gateway.
    #[must_use]
    pub fn post(&self, path: &str) -> Request {
        Request::post(&format!("{}{path}", self.gateway))
    }

    /// What the recorder behind `/api` received.
    pub async fn recorded(&self) -> Vec<Recorded> {
        self.recorder.recorded()
    }

    /// What the MCP server received, when the testbed was built with [`Builder::tap_mcp`].
    pub async fn mcp_recorded(&self) -> Vec<Recorded> {
        self.tap.as_ref().map(Recorder::recorded).unwrap_or_default()
    }

    /// Empties the recorder and the tap.
    pub async fn forget_recorded(&self) {
        self.recorder.forget();
        self.tap.iter().for_each(Recorder::forget);
    }

    /// Envoy's counters and gauges whose names start so.
    ///
    /// # Panics
    /// When Envoy's admin port does not answer.
    pub async fn stats(&self, name_prefix: &str) -> BTreeMap<String, u64> {
        let listing = Request::get(&format!("{}/stats", self.admin)).send().await.text();
        let pairs = listing.lines().filter_map(|line| line.split_once(": "));
        let wanted = pairs.filter(|(name, _)| name.starts_with(name_prefix));
        wanted.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect()
    }

    /// Holds when no VM ever failed or was reloaded: then no request made the filter panic.
    ///
    /// # Panics
    /// When one did, or when no VM ran at all.
    pub async fn assert_healthy(&self) {
        let stats = self.stats("wasm").await;
        let running = stats.iter().any(|(name, count)| name.ends_with(".active") && *count > 0);
        assert!(running, "no VM is running: {stats:#?}");
        let is_sign = |name: &str| name.contains("vm_failure") || name.contains("vm_reload") || name.contains("_error");
        let bad: Vec<_> = stats.iter().filter(|(name, count)| is_sign(name) && **count > 0).collect();
        assert!(bad.is_empty(), "a VM failed: {bad:?}");
        let log = self.envoy.log();
        let panicked = log.lines().find(|line| line.contains("panicked at") || line.contains("envoy bug failure"));
        assert!(panicked.is_none(), "{}", panicked.unwrap_or_default());
    }

    /// How often the identity provider was asked.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn idp_requests(&self) -> IdpRequests {
        let counts = Request::get(&format!("{}/_control/", self.idp_url)).send().await.json();
        let count = |name: &str| counts["counts"][name].as_u64().unwrap_or_default();
        IdpRequests {
            discovery: count("discovery"),
            jwks: count("jwks"),
            authorization: count("authorization"),
            token: count("token"),
            code_grants: count("authorization_code"),
            refresh_grants: count("refresh_token"),
            refreshed: count("refreshed"),
            userinfo: count("userinfo"),
        }
    }

    /// Changes what the identity provider does; `tests/idp/idp.mjs` lists the words. For example
    /// `{"token": {"mode": "drop"}}`, `{"token": null}` (well again), `{"accessTokenTtl": 1}`, `{"rotateKeys": true}`.
    ///
    /// # Panics
    /// When it does not know the words.
    pub async fn set_idp(&self, change: Value) {
        let reply = Request::post(&format!("{}/_control/", self.idp_url)).json(&change).send().await;
        assert_eq!(reply.status, 200, "{reply:?}");
    }

    /// The access log's first entry for which this holds; waits for it, since Envoy writes the log in its own time.
    ///
    /// # Panics
    /// When there is none within five seconds.
    pub async fn access_entry(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let path = self.file("access.log");
        let patience = Instant::now() + Duration::from_secs(5);
        loop {
            let log = fs::read(&path).unwrap_or_default();
            let log = String::from_utf8_lossy(&log).into_owned();
            let entries = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            if let Some(entry) = entries.into_iter().find(&wanted) {
                return entry;
            }
            assert!(Instant::now() < patience, "no such entry in the access log:\n{log}");
            tokio::time::sleep(POLL).await;
        }
    }

    /// Everything that Envoy logged so far.
    #[must_use]
    pub fn envoy_log(&self) -> String {
        self.envoy.log()
    }

    /// Fails when a part has ended.
    ///
    /// # Errors
    /// Which one, and the end of its log.
    pub fn check_alive(&mut self) -> Result<(), String> {
        self.envoy.check_alive()?;
        self.idp.check_alive()?;
        self.everything.check_alive()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.as_ref().map(|dir| dir.path().join(name)).unwrap_or_default()
    }
}

impl Drop for Testbed {
    fn drop(&mut self) {
        // A failed test leaves its logs behind.
        if let Some(dir) = self.dir.take().filter(|_| std::thread::panicking()) {
            eprintln!("the testbed's files are kept in {}", dir.keep().display());
        }
    }
}

/// The default plugin configuration, as the contract of `make testbed` has it.
fn default_plugin(gateway: &str, idp: &str) -> Value {
    let inject = json!({ "type": "upstreamInject", "providerName": "idp" });
    json!({
        "issuer": gateway,
        "development": true,
        "signingKeys": [{ "env": "SIGNING_KEY" }],
        "secrets": [{ "env": "GATEWAY_SECRET" }],
        "tokenLifespans": { "accessToken": "1h", "refreshToken": "168h", "authorizationCode": "1m" },
        "scopesSupported": ["openid", "profile", "email", "offline_access"],
        "storage": { "type": "memory" },
        "clients": { "dynamicRegistration": { "enabled": true, "ratePerMinute": 6000, "max": 100_000 } },
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
            { "resource": format!("{gateway}/mcp"), "match": { "prefix": "/mcp" }, "kind": "mcp", "scopes": ["openid"], "inject": inject },
            { "resource": format!("{gateway}/api"), "match": { "prefix": "/api" }, "kind": "http", "scopes": ["openid"], "inject": inject },
        ],
        "default": "deny",
    })
}

/// Applies a merge patch (RFC 7396 §2).
fn merge(target: &mut Value, patch: &Value) {
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

fn fill(value: &mut Value, names: &[(&str, &str)]) {
    match value {
        Value::String(text) => names.iter().for_each(|(name, real)| *text = text.replace(name, real)),
        Value::Array(items) => items.iter_mut().for_each(|item| fill(item, names)),
        Value::Object(fields) => fields.values_mut().for_each(|field| fill(field, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

async fn start_envoy(
    layout: &EnvoyLayout,
    workers: u32,
    env: &[(String, String)],
    dir: &Path,
) -> Result<(Process, String), String> {
    let binary = place::envoy();
    if !binary.exists() {
        return Err(format!("no Envoy at {}: run `make tools`, or set ENVOY", binary.display()));
    }
    if let Some(module) = layout.module.as_ref().filter(|module| !module.exists()) {
        return Err(format!("no filter at {}: run `make module`, or set PORTCULLIS_WASM", module.display()));
    }
    let config = dir.join("envoy.json");
    fs::write(&config, layout.bootstrap().to_string()).map_err(text)?;
    let address_file = dir.join("admin-address");
    let arrange = |command: &mut std::process::Command| {
        command.arg("--config-path").arg(&config).arg("--admin-address-path").arg(&address_file);
        command.args(["--disable-hot-restart", "--file-flush-interval-msec", "50", "--log-level", "warning"]);
        command.args(["--component-log-level", "wasm:info", "--concurrency", &workers.to_string()]);
        command.envs(env.iter().map(|(name, value)| (name, value)));
    };
    let mut envoy = Process::start("envoy", &binary, arrange, &dir.join("envoy.log")).map_err(text)?;
    let patience = Instant::now() + STARTUP;
    loop {
        envoy.check_alive()?;
        let admin = fs::read_to_string(&address_file).unwrap_or_default();
        if admin.parse::<SocketAddr>().is_ok() {
            let admin = format!("http://{admin}");
            let ready = Request::get(&format!("{admin}/ready")).try_send().await;
            if ready.is_ok_and(|reply| reply.status == 200) {
                return Ok((envoy, admin));
            }
        }
        if Instant::now() > patience {
            return Err(format!("Envoy was not ready in time:\n{}", envoy.log_tail()));
        }
        tokio::time::sleep(POLL).await;
    }
}

fn start_script(name: &'static str, script: &str, arguments: &[String], log: &Path) -> Result<Process, String> {
    if !place::in_tests("node_modules").exists() {
        return Err("the Node packages are not installed: run `make tools`".to_owned());
    }
    let arrange = |command: &mut std::process::Command| {
        command.arg(place::in_tests(script)).args(arguments).stdout(Stdio::piped());
    };
    Process::start(name, Path::new("node"), arrange, log).map_err(text)
}

/// A script's first line of output is `{"port": …}`, once it listens.
fn announced_port(process: &mut Process) -> Result<u16, String> {
    let line = process.first_line()?;
    let announced: Value = serde_json::from_str(&line).map_err(|error| format!("{error}: {line:?}"))?;
    let port = announced["port"].as_u64().and_then(|port| u16::try_from(port).ok());
    port.ok_or_else(|| format!("no port in {line:?}"))
}

/// Keeps a port for Envoy: bound but not listening, so that no other socket is given the number meanwhile. Envoy, which
/// also binds with `SO_REUSEPORT`, can still listen there, and all connections are its own.
struct Reservation {
    port: u16,
    _socket: socket2::Socket,
}

impl Reservation {
    fn take(port: Option<u16>) -> Result<Self, String> {
        let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, port.unwrap_or(0)));
        // Without the option first: it fails when somebody else has the port, whereas with it we would share.
        if port.is_some() {
            std::net::TcpListener::bind(wanted).map_err(|error| format!("port {} is taken: {error}", wanted.port()))?;
        }
        let open = || {
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
            socket.set_reuse_address(true)?;
            socket.set_reuse_port(true)?;
            socket.bind(&wanted.into())?;
            let port = socket.local_addr()?.as_socket().map_or(0, |address| address.port());
            Ok::<_, std::io::Error>(Self { port, _socket: socket })
        };
        open().map_err(text)
    }
}

struct Secrets {
    signing_key: String,
    gateway: String,
    idp: String,
}

impl Secrets {
    fn generate() -> Self {
        use base64::Engine as _;
        let random = || base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(HS256Key::generate().to_bytes());
        let signing_key = ES256KeyPair::generate().to_pem().unwrap_or_else(|error| panic!("no signing key: {error}"));
        Self { signing_key, gateway: random(), idp: random() }
    }

    fn environment(&self) -> [(String, String); 3] {
        [("SIGNING_KEY", &self.signing_key), ("GATEWAY_SECRET", &self.gateway), ("IDP_SECRET", &self.idp)]
            .map(|(name, value)| (name.to_owned(), value.clone()))
    }
}

fn text(error: impl ToString) -> String {
    error.to_string()
}

/// The gateway's name at the identity provider.
const IDP_CLIENT: &str = "portcullis";
/// How long Envoy may take to compile the module and to listen.
const STARTUP: Duration = Duration::from_secs(60);
/// How often readiness is looked at.
const POLL: Duration = Duration::from_millis(20);
