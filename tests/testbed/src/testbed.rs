//! The testbed itself: starts every part on free loopback ports, waits until all are ready, stops
//! what it started.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::bridge::Bridge;
use crate::http::Request;
use crate::process::Process;
use crate::recorder::{Recorded, Recorder};
use crate::relay::Relay;

mod gateway;
mod identity_provider;
mod plugin;
mod start;
mod store;

use gateway::Gateway;
pub use identity_provider::{IdentityProvider, IdpOptions, IdpRequests};
pub use start::Builder;
use start::Secrets;
pub use store::{Redis, Store};

/// How many requests, each on a connection of its own, reach both of two workers: the kernel
/// chooses one for each connection, so that they miss one of them once in 2^31 times.
pub const REQUESTS_FOR_BOTH_WORKERS: usize = 32;

/// A running testbed. Dropping it stops every part, the Envoys first.
pub struct Testbed {
    gateways: Vec<Gateway>,
    balancer: Option<Relay>,
    redis: Option<Redis>,
    /// The identity provider, and others.
    idps: Vec<IdentityProvider>,
    mcp_server: Process,
    recorder: Recorder,
    tap: Option<Recorder>,
    gateway: String,
    recorder_url: String,
    mcp_server_port: u16,
    plugin: Value,
    secrets: Secrets,
    dir: Option<TempDir>,
}

impl Testbed {
    /// Starts to describe a testbed: one worker, the filter's release build, the default plugin
    /// configuration.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::new()
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
        self.provider(1).issuer().to_owned()
    }

    /// An identity provider: 1 is the one of the default configuration, 2 and on are those that
    /// were added ([`Builder::another_idp`]).
    ///
    /// # Panics
    /// When there is no such provider.
    #[must_use]
    pub fn provider(&self, number: usize) -> &IdentityProvider {
        &self.idps[number - 1]
    }

    /// The recorder's base URL.
    #[must_use]
    pub fn recorder(&self) -> String {
        self.recorder_url.clone()
    }

    /// The MCP server's endpoint, reached without the gateway.
    #[must_use]
    pub fn mcp_backend(&self) -> String {
        format!("http://127.0.0.1:{}/mcp", self.mcp_server_port)
    }

    /// The first Envoy's admin base URL.
    #[must_use]
    pub fn admin(&self) -> String {
        self.gateways[0].admin.clone()
    }

    /// Each Envoy's own port, also where a balancer stands before them all.
    #[must_use]
    pub fn envoy_ports(&self) -> Vec<u16> {
        self.gateways.iter().map(|gateway| gateway.port).collect()
    }

    /// Has one Envoy, counted from 0, answer every request that is sent from now on.
    ///
    /// # Panics
    /// When there is no other.
    pub fn lead_to(&self, number: usize) {
        self.balancer.as_ref().expect("a balancer").lead_to(&[self.gateways[number].port]);
    }

    /// The bridge of an Envoy, counted from 0.
    ///
    /// # Panics
    /// When records are kept in memory.
    #[must_use]
    pub fn bridge(&self, number: usize) -> &Bridge {
        self.gateways[number].bridge.as_ref().expect("a bridge")
    }

    /// The Redis servers behind the bridges.
    ///
    /// # Panics
    /// When records are kept in memory.
    #[must_use]
    pub fn redis(&self) -> &Redis {
        self.redis.as_ref().expect("Redis")
    }

    /// Ends an Envoy at once.
    pub fn kill_envoy(&mut self, number: usize) {
        self.gateways[number].envoy.kill();
    }

    /// Starts a killed Envoy again on its port, with the same configuration and an empty memory.
    ///
    /// # Panics
    /// When it does not get ready.
    pub async fn restart_envoy(&mut self, number: usize) {
        let started = self.gateways[number].restart_envoy().await;
        started.unwrap_or_else(|why| panic!("Envoy did not start again: {why}"));
    }

    /// Ends the bridge of an Envoy at once.
    ///
    /// # Panics
    /// When records are kept in memory.
    pub fn kill_bridge(&mut self, number: usize) {
        self.gateways[number].bridge.as_mut().expect("a bridge").process.kill();
    }

    /// Starts a killed bridge again on its socket, and waits until it is ready.
    ///
    /// # Panics
    /// When it does not get ready, or records are kept in memory.
    pub fn restart_bridge(&mut self, number: usize) {
        self.gateways[number].bridge.as_mut().expect("a bridge").restart();
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
        let first = &self.gateways[0];
        let mut told = json!({
            "gateway": self.gateway,
            "issuer": self.issuer(),
            "resource": self.resource(),
            "api_resource": self.api_resource(),
            "idp": self.idp(),
            "recorder": self.recorder_url,
            "mcp_backend": self.mcp_backend(),
            "admin": first.admin,
            "pids": { "envoy": first.envoy.id(), "idp": self.provider(1).process().id(), "mcp_backend": self.mcp_server.id() },
        });
        if let (Some(redis), Some(bridge)) = (&self.redis, &first.bridge) {
            told["redis"] = redis.to_json();
            told["bridge"] = json!({ "socket": bridge.socket, "observer": format!("http://{}", bridge.observer) });
            told["pids"]["bridge"] = bridge.process.id().into();
            for (name, process) in redis.processes() {
                told["pids"][name] = process.id().into();
            }
        }
        told
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

    /// The same, and the recorder forgets it.
    #[must_use]
    pub fn take_recorded(&self) -> Vec<Recorded> {
        self.recorder.take()
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

    /// Envoy's counters and gauges whose names start so, added up over all Envoys.
    ///
    /// # Panics
    /// When an Envoy's admin port does not answer.
    pub async fn stats(&self, name_prefix: &str) -> BTreeMap<String, u64> {
        let mut sums = BTreeMap::new();
        for number in 0..self.gateways.len() {
            for (name, value) in self.stats_of(number, name_prefix).await {
                *sums.entry(name).or_default() += value;
            }
        }
        sums
    }

    /// The same of one Envoy, counted from 0.
    ///
    /// # Panics
    /// When its admin port does not answer.
    pub async fn stats_of(&self, number: usize, name_prefix: &str) -> BTreeMap<String, u64> {
        let listing = Request::get(&format!("{}/stats", self.gateways[number].admin)).send().await.text();
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
        let log = self.envoy_log();
        let panicked = log.lines().find(|line| line.contains("panicked at") || line.contains("envoy bug failure"));
        assert!(panicked.is_none(), "{}", panicked.unwrap_or_default());
    }

    /// How often the identity provider was asked.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn idp_requests(&self) -> IdpRequests {
        self.provider(1).requests().await
    }

    /// Changes what the identity provider does ([`IdentityProvider::set`]).
    ///
    /// # Panics
    /// When it does not know the words.
    pub async fn set_idp(&self, change: Value) {
        self.provider(1).set(change).await;
    }

    /// The access log's first entry for which this holds; waits for it, since Envoy writes the log
    /// in its own time.
    ///
    /// # Panics
    /// When there is none within five seconds.
    pub async fn access_entry(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let patience = Instant::now() + Duration::from_secs(5);
        loop {
            let logs = self.gateways.iter().map(|gateway| fs::read(gateway.access_log()).unwrap_or_default());
            let log = String::from_utf8_lossy(&logs.collect::<Vec<_>>().concat()).into_owned();
            let entries = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            if let Some(entry) = entries.into_iter().find(&wanted) {
                return entry;
            }
            assert!(Instant::now() < patience, "no such entry in the access log:\n{log}");
            tokio::time::sleep(POLL).await;
        }
    }

    /// Everything that the Envoys logged since they last started.
    #[must_use]
    pub fn envoy_log(&self) -> String {
        self.gateways.iter().map(|gateway| gateway.envoy.log()).collect()
    }

    /// Fails when a part has ended.
    ///
    /// # Errors
    /// Which one, and the end of its log.
    pub fn check_alive(&mut self) -> Result<(), String> {
        for gateway in &mut self.gateways {
            gateway.envoy.check_alive()?;
            gateway.bridge.iter_mut().try_for_each(|bridge| bridge.process.check_alive())?;
        }
        for process in self.redis.iter_mut().flat_map(Redis::processes_mut) {
            process.check_alive()?;
        }
        self.idps.iter_mut().try_for_each(IdentityProvider::check_alive)?;
        self.mcp_server.check_alive()
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

/// How often the access log is looked at.
const POLL: Duration = Duration::from_millis(20);
