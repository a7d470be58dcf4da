//! The bridge as a whole: its check, its start and its end.

use std::sync::Arc;
use std::time::Duration;

use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;

use crate::config::Config;
use crate::documents::{Fetcher, SystemResolver};
use crate::http::listen::Listener;
use crate::http::observer::serve_metrics;
use crate::http::routes::{Bridge, Services};
use crate::http::server::accept;
use crate::metrics::Metrics;
use crate::operations::names::Names;
use crate::operations::store::Store;
use crate::redis::topology::Topology;
use crate::rlimit;
use crate::secrets::SecretFiles;
use crate::self_test::try_every_verb;
use crate::start_error::StartError;
use crate::version::{COMMIT, VERSION};

/// Tries Redis and every verb with a configuration, and tells what was found.
///
/// # Errors
/// [`StartError::Redis`] with the reason, also for a missing grant or replica under `durability:
/// replicated`.
pub async fn check(config: &Config) -> Result<String, StartError> {
    let topology = Topology::start(config, &Arc::default());
    topology.wait_until_probed().await;
    let store = Store::new(Names::new(&config.key_prefix), topology, Arc::default());
    let health = store.health();
    let reason = health.reason.unwrap_or_default();
    if !health.ready {
        return Err(StartError::Redis(reason));
    }
    if let Err((verb, cause)) = try_every_verb(&store).await {
        let why = "the log says why; a \"noperm\" is a command that the ACL user lacks (the README lists them)";
        return Err(StartError::Redis(format!("{} was refused as {cause:?}: {why}", verb.name())));
    }
    Ok(if reason.is_empty() { "durability=replicated".to_owned() } else { format!("durability=async ({reason})") })
}

/// Serves until `shutdown` is ready, then lets the operations under way end.
///
/// # Errors
/// A [`StartError`] where serving cannot begin. Trouble with Redis is none: it is answered with
/// refusals until it ends.
pub async fn run(config: Config, shutdown: impl Future<Output = ()>) -> Result<(), StartError> {
    rlimit::allow(config.limits.connections);
    let listener = Listener::bind(&config.listen).await?;
    let metrics_listener = match config.metrics {
        Some(address) => Some(TcpListener::bind(address).await.map_err(StartError::Metrics)?),
        None => None,
    };
    let metrics: Arc<Metrics> = Arc::default();
    let topology = Topology::start(&config, &metrics);
    topology.wait_until_usable(FIRST_DISCOVERY_TIMEOUT).await;
    let store = Store::new(Names::new(&config.key_prefix), topology, Arc::clone(&metrics));
    let secrets = config.secrets_dir.clone().map(|folder| SecretFiles::new(folder, Arc::clone(&metrics)));
    let fetcher =
        config.fetch.clone().map(|rules| Fetcher::new(rules, SystemResolver::default(), Arc::clone(&metrics)));
    let services = Services { secrets, fetcher: fetcher.transpose().map_err(StartError::Tls)? };
    let bridge = Arc::new(Bridge::new(store, services, config.limits, Arc::clone(&metrics)));
    let observing =
        metrics_listener.map(|listener| tokio::spawn(serve_metrics(listener, Arc::clone(&bridge), config.limits.idle)));
    tracing::info!(address = listener.address(), version = VERSION, commit = COMMIT, "serving");
    let graceful = GracefulShutdown::new();
    accept(&listener, &config, &bridge, &graceful, shutdown).await;
    tracing::info!("draining");
    bridge.end_waiting();
    listener.close();
    if tokio::time::timeout(config.limits.drain, graceful.shutdown()).await.is_err() {
        tracing::warn!("operations were still under way at the end");
    }
    if let Some(observing) = observing {
        observing.abort();
    }
    Ok(())
}

/// The time to wait for a master at the start, before refusals are served.
const FIRST_DISCOVERY_TIMEOUT: Duration = Duration::from_secs(5);
