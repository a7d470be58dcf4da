//! One Envoy with the filter, and its bridge where there is one: what a deployment runs side by
//! side.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::start::{Reservation, text};
use crate::bridge::Bridge;
use crate::envoy::EnvoyLayout;
use crate::http::Request;
use crate::paths;
use crate::process::Process;

/// A running gateway.
pub(super) struct Gateway {
    pub(super) envoy: Process,
    /// Its admin base URL.
    pub(super) admin: String,
    /// Its own port, also where a balancer stands before it.
    pub(super) port: u16,
    pub(super) bridge: Option<Bridge>,
    plan: Plan,
    _reservation: Reservation,
}

/// What it takes to start its Envoy, and to start it again.
pub(super) struct Plan {
    pub(super) layout: EnvoyLayout,
    pub(super) workers: u32,
    pub(super) env: Vec<(String, String)>,
    pub(super) dir: PathBuf,
}

impl Gateway {
    pub(super) async fn start(plan: Plan, bridge: Option<Bridge>, reservation: Reservation) -> Result<Self, String> {
        fs::create_dir_all(&plan.dir).map_err(text)?;
        let (envoy, admin) = start_envoy(&plan).await?;
        Ok(Self { envoy, admin, port: plan.layout.port, bridge, plan, _reservation: reservation })
    }

    /// Starts Envoy again after it was killed, with the same configuration on the same port.
    pub(super) async fn restart_envoy(&mut self) -> Result<(), String> {
        (self.envoy, self.admin) = start_envoy(&self.plan).await?;
        Ok(())
    }

    pub(super) fn access_log(&self) -> &Path {
        &self.plan.layout.access_log
    }
}

async fn start_envoy(plan: &Plan) -> Result<(Process, String), String> {
    let binary = paths::envoy();
    if !binary.exists() {
        return Err(format!("no Envoy at {}: run `make tools`, or set ENVOY", binary.display()));
    }
    if let Some(module) = plan.layout.module.as_ref().filter(|module| !module.exists()) {
        return Err(format!("no filter at {}: run `make module`, or set PORTCULLIS_WASM", module.display()));
    }
    let config = plan.dir.join("envoy.json");
    fs::write(&config, plan.layout.bootstrap().to_string()).map_err(text)?;
    let address_file = plan.dir.join("admin-address");
    // An Envoy that ran here before has left its own.
    let _ = fs::remove_file(&address_file);
    let arrange = |command: &mut std::process::Command| {
        command.arg("--config-path").arg(&config).arg("--admin-address-path").arg(&address_file);
        command.args(["--disable-hot-restart", "--file-flush-interval-msec", "50", "--log-level", "warning"]);
        command.args(["--component-log-level", "wasm:info", "--concurrency", &plan.workers.to_string()]);
        command.envs(plan.env.iter().map(|(name, value)| (name, value)));
    };
    let mut envoy = Process::start("envoy", &binary, arrange, &plan.dir.join("envoy.log")).map_err(text)?;
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

/// How long Envoy may take to compile the module and to listen.
const STARTUP: Duration = Duration::from_secs(60);
/// How often readiness is looked at.
const POLL: Duration = Duration::from_millis(20);
