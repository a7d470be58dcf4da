//! The server: how much is taken on, and how it ends.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::config::Config;
use crate::documents::{Fetcher, SystemResolver};
use crate::http::activity::{Activity, unless_idle};
use crate::http::authorization::{Grant, Rights};
use crate::http::listen::{Listener, Unwelcome};
use crate::http::routes::{Bridge, Services, observe};
use crate::metrics::Metrics;
use crate::operations::names::Names;
use crate::operations::store::Store;
use crate::redis::topology::Masters;
use crate::rlimit;
use crate::secrets::SecretFiles;
use crate::self_test::try_every_verb;

/// Why a bridge could not be started.
#[derive(Debug)]
pub enum StartError {
    /// The socket cannot be made.
    Socket(io::Error),
    /// Another process listens on the socket.
    InUse,
    /// The metrics' address cannot be listened on.
    Metrics(io::Error),
    /// TLS for fetched documents cannot be set up.
    Tls(rustls::Error),
    /// Redis cannot be used; only where it is asked for before serving.
    Redis(String),
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Socket(error) => write!(f, "the socket cannot be listened on: {error}"),
            Self::InUse => f.write_str("another process listens on the socket"),
            Self::Metrics(error) => write!(f, "the metrics' address cannot be listened on: {error}"),
            Self::Tls(error) => write!(f, "TLS cannot be set up: {error}"),
            Self::Redis(reason) => write!(f, "redis cannot be used: {reason}"),
        }
    }
}

impl std::error::Error for StartError {}

/// Tries Redis and every verb with a configuration, and tells what was found.
///
/// # Errors
/// [`StartError::Redis`] with the reason, also for a missing grant or replica under `durability:
/// replicated`.
pub async fn check(config: &Config) -> Result<String, StartError> {
    let masters = Masters::start(config, &Arc::default());
    masters.looked().await;
    let store = Store::new(Names::new(&config.key_prefix), masters, Arc::default());
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
    let masters = Masters::start(&config, &metrics);
    masters.settled(FIRST_LOOK).await;
    let store = Store::new(Names::new(&config.key_prefix), masters, Arc::clone(&metrics));
    let secrets = config.secrets_dir.clone().map(|folder| SecretFiles::new(folder, Arc::clone(&metrics)));
    let fetcher =
        config.fetch.clone().map(|rules| Fetcher::new(rules, SystemResolver::default(), Arc::clone(&metrics)));
    let services = Services { secrets, fetcher: fetcher.transpose().map_err(StartError::Tls)? };
    let bridge = Arc::new(Bridge::new(store, services, config.limits, Arc::clone(&metrics)));
    let observing =
        metrics_listener.map(|listener| tokio::spawn(serve_metrics(listener, Arc::clone(&bridge), config.limits.idle)));
    tracing::info!(address = listener.address(), "serving");
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

/// One connection's.
struct Session {
    bridge: Arc<Bridge>,
    grant: Grant,
    activity: Activity,
}

async fn accept(
    listener: &Listener,
    config: &Config,
    bridge: &Arc<Bridge>,
    graceful: &GracefulShutdown,
    shutdown: impl Future<Output = ()>,
) {
    let metrics = bridge.metrics();
    let connections = Arc::new(Semaphore::new(config.limits.connections));
    let rights = Rights::new(config.callers.clone());
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => return,
            accepted = listener.accept() => accepted,
        };
        let visitor = match accepted {
            Ok(visitor) => visitor,
            Err(unwelcome) => {
                refuse(metrics, &unwelcome);
                if let Unwelcome::Unable(_) = unwelcome {
                    // Out of descriptors, most likely: room comes back when a connection ends.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                continue;
            }
        };
        let (bridge, rights, connections) = (Arc::clone(bridge), Arc::clone(&rights), Arc::clone(&connections));
        let (watcher, idle) = (graceful.watcher(), config.limits.idle);
        tokio::spawn(async move {
            let (stream, callers) = match visitor.known().await {
                Ok(known) => known,
                Err(unwelcome) => return refuse(bridge.metrics(), &unwelcome),
            };
            let Ok(_permit) = connections.try_acquire_owned() else {
                bridge.metrics().refused_connection("too many");
                return;
            };
            let counted = Arc::clone(&bridge);
            let _held = counted.metrics().connections.hold();
            let session = Arc::new(Session { bridge, grant: rights.of(callers), activity: Activity::default() });
            let serving = Arc::clone(&session);
            let service = service_fn(move |request: Request<Incoming>| {
                let session = Arc::clone(&serving);
                async move {
                    let _busy = session.activity.busy();
                    Ok::<_, Infallible>(session.bridge.answer(request, &session.grant).await)
                }
            });
            let server = http_server();
            let connection = watcher.watch(server.serve_connection(TokioIo::new(stream), service));
            unless_idle(connection, &session.activity, idle).await;
        });
    }
}

/// Counts somebody who was not let in. The first, the second, the fourth … is logged: strangers
/// must not fill the log.
fn refuse(metrics: &Metrics, unwelcome: &Unwelcome) {
    let times = metrics.refused_connection(unwelcome.name()).saturating_add(1);
    if times.is_power_of_two() {
        tracing::warn!(reason = %unwelcome, times, "a connection is refused");
    }
}

fn http_server() -> auto::Builder<TokioExecutor> {
    let mut server = auto::Builder::new(TokioExecutor::new());
    // No time-out of the library's own: it has none for HTTP/2, nor before it knows which of the
    // two it is. Head and body in one piece: to copy so little is quicker than to have the kernel
    // gather it.
    server.http1().header_read_timeout(None).max_buf_size(HEADER_BYTES).writev(false);
    server.http2().timer(TokioTimer::new()).max_concurrent_streams(256).max_header_list_size(16 * 1024);
    server
}

/// Serves `/metrics`, `/healthz` and `/readyz`, and no verb.
async fn serve_metrics(listener: TcpListener, bridge: Arc<Bridge>, idle: Duration) {
    let connections = Arc::new(Semaphore::new(METRICS_CONNECTIONS));
    let server = http_server();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let Ok(permit) = Arc::clone(&connections).try_acquire_owned() else { continue };
        let (bridge, server) = (Arc::clone(&bridge), server.clone());
        tokio::spawn(async move {
            serve_observer(&server, stream, &bridge, idle).await;
            drop(permit);
        });
    }
}

async fn serve_observer(
    server: &auto::Builder<TokioExecutor>,
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    bridge: &Bridge,
    idle: Duration,
) {
    let activity = Activity::default();
    let service = service_fn(|request: Request<Incoming>| {
        let _busy = activity.busy();
        let answer: Response<Full<Bytes>> = observe(bridge, request.method(), request.uri().path());
        async move { Ok::<_, Infallible>(answer) }
    });
    unless_idle(server.serve_connection(TokioIo::new(stream), service), &activity, idle).await;
}

/// How long the start waits for a master before it serves refusals.
const FIRST_LOOK: Duration = Duration::from_secs(5);
const HEADER_BYTES: usize = 16 * 1024;
const METRICS_CONNECTIONS: usize = 16;
