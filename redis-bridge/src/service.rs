//! The check, the start and the shutdown of the bridge.

use std::sync::Arc;
use std::time::Duration;

use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;

use crate::config::Config;
use crate::documents::{Fetcher, SystemResolver};
use crate::http::listen::Listener;
use crate::http::observer::serve_metrics;
use crate::http::routes::Bridge;
use crate::http::server::accept;
use crate::http::verbs::Verbs;
use crate::metrics::Metrics;
use crate::operations::names::Names;
use crate::operations::verbs::Operations;
use crate::redis::topology::Topology;
use crate::rlimit;
use crate::secrets::SecretFiles;
use crate::self_test::try_every_verb;
use crate::start_error::StartError;
use crate::version::{COMMIT, VERSION};

/// Listens for a moment where the bridge would, connects to Redis and tries every verb. Returns the
/// durability of writes, and the addresses that are in use: by this bridge, if it is running.
///
/// # Errors
/// Every reason for which a start would fail or nothing would be served: a socket's folder that is
/// missing, an address that is not this machine's, a missing grant, or a missing replica with
/// `durability: replicated`.
pub async fn check(config: &Config) -> Result<String, Vec<StartError>> {
    let mut found = Vec::new();
    let mut problems = Vec::new();
    let mut note = |error: StartError| {
        if error.is_in_use() {
            found.push(format!("{error} (as it should be if this bridge is running)"))
        } else {
            problems.push(error)
        }
    };
    match Listener::bind(&config.listen).await {
        Ok(listener) => listener.close(),
        Err(error) => note(error),
    }
    if let Some(address) = config.metrics
        && let Err(error) = TcpListener::bind(address).await
    {
        note(StartError::Metrics(error));
    }
    match check_redis(config).await {
        Ok(durability) => found.insert(0, durability),
        Err(error) => problems.push(error),
    }
    if problems.is_empty() { Ok(found.join("; ")) } else { Err(problems) }
}

/// Connects to Redis and tries every verb. Returns the durability of writes.
async fn check_redis(config: &Config) -> Result<String, StartError> {
    let topology = Topology::start(config, &Arc::default());
    topology.wait_until_probed().await;
    let operations = Operations::new(Names::new(&config.key_prefix), topology, Arc::default());
    let health = operations.health();
    let reason = health.reason.unwrap_or_default();
    if !health.ready {
        return Err(StartError::Redis(reason));
    }
    if let Err((verb, cause)) = try_every_verb(&operations).await {
        let why = "see the log; `noperm` is a command that the ACL user lacks (the README lists them)";
        return Err(StartError::Redis(format!("`{}` was refused as `{}`: {why}", verb.name(), cause.name())));
    }
    Ok(if reason.is_empty() { "durability=replicated".to_owned() } else { format!("durability=async ({reason})") })
}

/// Serves until `shutdown` is ready, then waits for the operations under way.
///
/// # Errors
/// A [`StartError`] if serving cannot begin. An unavailable Redis is not an error: requests are
/// refused until it is back.
pub async fn run(config: Config, shutdown: impl Future<Output = ()>) -> Result<(), StartError> {
    rlimit::raise_open_files(config.limits.connections);
    let listener = Listener::bind(&config.listen).await?;
    let metrics_listener = match config.metrics {
        Some(address) => Some(TcpListener::bind(address).await.map_err(StartError::Metrics)?),
        None => None,
    };
    let metrics: Arc<Metrics> = Arc::default();
    let topology = Topology::start(&config, &metrics);
    topology.wait_until_usable(FIRST_DISCOVERY_TIMEOUT).await;
    let operations = Operations::new(Names::new(&config.key_prefix), topology, Arc::clone(&metrics));
    let secrets = config.secrets_dir.clone().map(|folder| SecretFiles::new(folder, Arc::clone(&metrics)));
    let fetcher =
        config.fetch.clone().map(|rules| Fetcher::new(rules, SystemResolver::default(), Arc::clone(&metrics)));
    let verbs = Verbs { operations, secrets, fetcher: fetcher.transpose().map_err(StartError::Tls)? };
    let bridge = Arc::new(Bridge::new(verbs, config.limits, Arc::clone(&metrics)));
    let observer =
        metrics_listener.map(|listener| tokio::spawn(serve_metrics(listener, Arc::clone(&bridge), config.limits.idle)));
    tracing::info!(address = listener.address(), version = VERSION, commit = COMMIT, "serving");
    let graceful = GracefulShutdown::new();
    accept(&listener, &config, &bridge, &graceful, shutdown).await;
    tracing::info!("draining");
    bridge.end_waiting();
    listener.close();
    if tokio::time::timeout(config.limits.drain, graceful.shutdown()).await.is_err() {
        tracing::warn!("operations still under way at shutdown");
    }
    if let Some(observer) = observer {
        observer.abort();
    }
    Ok(())
}

/// The time to wait for a master at the start, before refusals are served.
const FIRST_DISCOVERY_TIMEOUT: Duration = Duration::from_secs(5);
