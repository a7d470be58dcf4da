//! From a description to a running testbed.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use jwt_simple::prelude::{ES256KeyPair, HS256Key};
use serde_json::Value;

use super::gateway::{Gateway, Plan};
use super::plugin::{default_plugin, fill, merge};
use super::store::{BRIDGE_CLUSTER, Redis, Store, storage};
use super::{IdentityProvider, IdpOptions, Testbed};
use crate::bridge::Bridge;
use crate::envoy::{EnvoyLayout, HEADER_KIB};
use crate::paths;
use crate::process::Process;
use crate::recorder::Recorder;
use crate::relay::Relay;

/// Describes a testbed before it starts.
pub struct Builder {
    patches: Vec<Value>,
    workers: u32,
    idp: IdpOptions,
    other_idps: Vec<IdpOptions>,
    port: Option<u16>,
    module: Option<PathBuf>,
    other_module: Option<PathBuf>,
    tapped: bool,
    store: Option<Store>,
    elsewhere: Option<(String, String)>,
    replicas: usize,
    behind: Option<u32>,
    env: Vec<(String, String)>,
    clusters: Vec<(String, u16)>,
    forward_proxies: Vec<(String, PathBuf)>,
    routes: Vec<(String, String)>,
    header_kib: u32,
    takes_underscores: bool,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            patches: Vec::new(),
            workers: 1,
            idp: IdpOptions::default(),
            other_idps: Vec::new(),
            port: None,
            module: Some(paths::module()),
            other_module: None,
            tapped: false,
            store: None,
            elsewhere: None,
            replicas: 1,
            behind: None,
            env: Vec::new(),
            clusters: Vec::new(),
            forward_proxies: Vec::new(),
            routes: Vec::new(),
            header_kib: HEADER_KIB,
            takes_underscores: false,
        }
    }

    /// Merges a patch (RFC 7396) over the default plugin configuration. `{gateway}`, `{idp}` and
    /// `{recorder}` inside a string stand for those addresses, which are only known at the start.
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

    /// Adds an identity provider with the same client and secret. The first that is added is
    /// [`Testbed::provider`] 2, cluster `idp2`, and `{idp2}` inside a string of the configuration
    /// is its issuer.
    #[must_use]
    pub fn another_idp(mut self, options: IdpOptions) -> Self {
        self.other_idps.push(options);
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

    /// Loads this module in every Envoy but the first.
    #[must_use]
    pub fn other_module(mut self, path: PathBuf) -> Self {
        self.other_module = Some(path);
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

    /// Keeps records there; otherwise where the variable `STORE` says, and in memory when it is not
    /// set.
    #[must_use]
    pub fn store(mut self, store: Store) -> Self {
        self.store = Some(store);
        self
    }

    /// Keeps records on Redis servers that the story runs itself: a bridge's words for them, under
    /// `redis:`, and its further lines.
    #[must_use]
    pub fn redis(mut self, words: &str, more: &str) -> Self {
        self.elsewhere = Some((words.to_owned(), more.to_owned()));
        self
    }

    /// Runs this number of Envoys, each with a bridge of its own, behind one address that shares
    /// connections out among them. They share logins only where the store is Redis.
    #[must_use]
    pub fn replicas(mut self, replicas: usize) -> Self {
        self.replicas = replicas;
        self
    }

    /// Sets the clock of every Envoy but the first back by this many seconds.
    #[must_use]
    pub fn clocks_behind(mut self, seconds: u32) -> Self {
        self.behind = Some(seconds);
        self
    }

    /// Adds a variable to Envoy's environment that the module may read.
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

    /// Adds a cluster that reaches every host by TLS (`envoy.clusters.dynamic_forward_proxy`), and
    /// trusts this authority alone.
    #[must_use]
    pub fn forward_proxy(mut self, name: &str, authority: PathBuf) -> Self {
        self.forward_proxies.push((name.to_owned(), authority));
        self
    }

    /// Adds a route: a path prefix and its cluster (`recorder`, `mcp_backend` or one that was
    /// added). Those added come first, and `/` has every path.
    #[must_use]
    pub fn route(mut self, prefix: &str, cluster: &str) -> Self {
        self.routes.push((prefix.to_owned(), cluster.to_owned()));
        self
    }

    /// Lets Envoy take names of headers with underscores, as it does by default.
    #[must_use]
    pub fn takes_underscores(mut self) -> Self {
        self.takes_underscores = true;
        self
    }

    /// Sets how much of headers Envoy takes, in KiB, so that the filter's own bound is met.
    #[must_use]
    pub fn header_kib(mut self, header_kib: u32) -> Self {
        self.header_kib = header_kib;
        self
    }

    /// Starts everything and waits until it is ready.
    ///
    /// # Panics
    /// When a part does not start; the message has the end of its log.
    pub async fn start(self) -> Testbed {
        self.try_start().await.unwrap_or_else(|why| panic!("the testbed did not start: {why}"))
    }

    /// As [`Builder::start`], with the failure as a value: a refused plugin configuration ends
    /// here.
    ///
    /// # Errors
    /// What did not start and the end of its log. Whatever had started is stopped.
    pub async fn try_start(mut self) -> Result<Testbed, String> {
        let dir = tempfile::Builder::new().prefix("portcullis-testbed-").tempdir().map_err(text)?;
        let mut secrets = Secrets::generate();
        if let Some(secret) = self.idp.client_secret {
            secret.clone_into(&mut secrets.idp);
        }
        let mut ports = (1..self.replicas).map(|_| Reservation::take(None)).collect::<Result<Vec<_>, _>>()?;
        let (gateway_port, balancer) = if self.replicas > 1 {
            let balancer = self.port.map_or_else(Relay::start, Relay::start_at).map_err(text)?;
            ports.push(Reservation::take(None)?);
            balancer.lead_to(&ports.iter().map(|port| port.port).collect::<Vec<_>>());
            (balancer.port(), Some(balancer))
        } else {
            ports.push(Reservation::take(self.port)?);
            (ports[0].port, None)
        };
        let gateway = format!("http://127.0.0.1:{gateway_port}");

        let idps = self.start_idps(&gateway, &secrets, dir.path())?;
        let mut mcp_server =
            start_script("mcp_backend", "idp/mcp_server.mjs", &[], &dir.path().join("mcp_backend.log"))?;
        let recorder = Recorder::start().map_err(text)?;
        let redis = self.start_redis().await?;
        let idps = idps.into_iter().map(IdentityProvider::listening).collect::<Result<Vec<_>, _>>()?;
        let mcp_server_port = announced_port(&mut mcp_server)?;
        let tap = self.tapped.then(|| Recorder::start_tap(mcp_server_port)).transpose().map_err(text)?;

        let idp_url = idps[0].issuer();
        let recorder_url = format!("http://127.0.0.1:{}", recorder.port());
        let mut plugin = default_plugin(&gateway, idp_url);
        if redis.is_some() {
            merge(&mut plugin, &storage());
        }
        for patch in &mut self.patches {
            fill(patch, &[("{gateway}", &gateway), ("{idp}", idp_url), ("{recorder}", &recorder_url)]);
            for (idp, number) in idps.iter().zip(1..).skip(1) {
                fill(patch, &[(&format!("{{idp{number}}}"), idp.issuer())]);
            }
            merge(&mut plugin, patch);
        }
        self.env.extend(secrets.environment());
        self.clusters.extend([
            ("idp".to_owned(), idps[0].port()),
            ("recorder".to_owned(), recorder.port()),
            ("mcp_backend".to_owned(), tap.as_ref().map_or(mcp_server_port, Recorder::port)),
        ]);
        self.clusters.extend(idps.iter().zip(1..).skip(1).map(|(idp, number)| (format!("idp{number}"), idp.port())));
        self.routes.extend([("/mcp".to_owned(), "mcp_backend".to_owned()), ("/api".to_owned(), "recorder".to_owned())]);
        let mut gateways = Vec::new();
        for (number, port) in ports.into_iter().enumerate() {
            let bridge = match &redis {
                Some(redis) => Some(start_bridge(redis.words()).await?),
                None => None,
            };
            let folder = dir.path().join(format!("gateway-{number}"));
            let other_module = self.other_module.as_ref().filter(|_| number > 0);
            let layout = EnvoyLayout {
                port: port.port,
                module: other_module.or(self.module.as_ref()).cloned(),
                plugin: plugin.clone(),
                host_env_keys: self.env.iter().map(|(name, _)| name.clone()).collect(),
                clusters: self.clusters.clone(),
                forward_proxies: self.forward_proxies.clone(),
                pipes: bridge.iter().map(|bridge| (BRIDGE_CLUSTER.to_owned(), bridge.socket.clone())).collect(),
                routes: self.routes.clone(),
                access_log: folder.join("access.log"),
                header_kib: self.header_kib,
                takes_underscores: self.takes_underscores,
            };
            let mut env = self.env.clone();
            if let Some(seconds) = self.behind.filter(|_| number > 0) {
                env.extend(clock_behind(seconds, dir.path())?);
            }
            let plan = Plan { layout, workers: self.workers, env, dir: folder };
            gateways.push(Gateway::start(plan, bridge, port).await?);
        }
        Ok(Testbed {
            gateways,
            balancer,
            redis,
            idps,
            mcp_server,
            recorder,
            tap,
            gateway,
            recorder_url,
            mcp_server_port,
            plugin,
            secrets,
            dir: Some(dir),
        })
    }

    /// Where there is no filter, nothing is stored.
    async fn start_redis(&mut self) -> Result<Option<Redis>, String> {
        if self.module.is_none() {
            return Ok(None);
        }
        if let Some((words, more)) = self.elsewhere.take() {
            return Ok(Some(Redis::Elsewhere(words, more)));
        }
        let store = self.store.map_or_else(Store::from_env, Ok)?;
        let started = tokio::task::spawn_blocking(move || Redis::start(store)).await;
        started.map_err(|_| "Redis did not start; see above".to_owned())
    }

    fn start_idps(&self, gateway: &str, secrets: &Secrets, dir: &Path) -> Result<Vec<Process>, String> {
        let all = std::iter::once(&self.idp).chain(&self.other_idps).zip(1..);
        all.map(|(options, number)| {
            IdentityProvider::start(options, gateway, &secrets.idp, &dir.join(format!("idp-{number}.log")))
        })
        .collect()
    }
}

/// The variables that set a process's clock back, by a library that is built into this folder.
fn clock_behind(seconds: u32, dir: &Path) -> Result<[(String, String); 2], String> {
    let library = dir.join("clock-behind.so");
    let mut build = std::process::Command::new("cc");
    build.args(["-shared", "-fPIC", "-O2", "-o"]).arg(&library).arg(paths::in_tests("clock/behind.c"));
    if !build.status().map_err(text)?.success() {
        return Err("the library that sets a clock back was not built; see above".to_owned());
    }
    let library = library.display().to_string();
    Ok([("LD_PRELOAD".to_owned(), library), ("CLOCK_BEHIND".to_owned(), seconds.to_string())])
}

async fn start_bridge((words, more): (String, String)) -> Result<Bridge, String> {
    // Stories storm a gateway with a thousand requests at once; what a bridge does that is asked
    // too much is its own tests' affair.
    let more = format!("{more}\nlimits: {{ inFlight: 2048, queue: 2048, connections: 2048 }}");
    let started = tokio::task::spawn_blocking(move || Bridge::start(&words, &more)).await;
    started.map_err(|_| "the bridge did not start; see above".to_owned())
}

pub(super) fn start_script(
    name: &'static str,
    script: &str,
    arguments: &[String],
    log: &Path,
) -> Result<Process, String> {
    if !paths::in_tests("node_modules").exists() {
        return Err("the Node packages are not installed: run `make tools`".to_owned());
    }
    let arrange = |command: &mut std::process::Command| {
        command.arg(paths::in_tests(script)).args(arguments).stdout(Stdio::piped());
    };
    Process::start(name, Path::new("node"), arrange, log).map_err(text)
}

/// A script's first line of output is `{"port": …}`, once it listens.
pub(super) fn announced_port(process: &mut Process) -> Result<u16, String> {
    let line = process.first_line()?;
    let announced: Value = serde_json::from_str(&line).map_err(|error| format!("{error}: {line:?}"))?;
    let port = announced["port"].as_u64().and_then(|port| u16::try_from(port).ok());
    port.ok_or_else(|| format!("no port in {line:?}"))
}

/// Keeps a port for Envoy: bound but not listening, so that no other socket is given the number
/// meanwhile. Envoy, which also binds with `SO_REUSEPORT`, can still listen there, and all
/// connections are its own.
pub(super) struct Reservation {
    port: u16,
    _socket: socket2::Socket,
}

impl Reservation {
    fn take(port: Option<u16>) -> Result<Self, String> {
        let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, port.unwrap_or(0)));
        // Without the option first: it fails when another process has the port, whereas with it we
        // would share.
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

pub(super) struct Secrets {
    pub(super) signing_key: String,
    pub(super) gateway: String,
    pub(super) idp: String,
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

pub(super) fn text(error: impl ToString) -> String {
    error.to_string()
}
