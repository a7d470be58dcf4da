//! The socket: who may connect, how much is taken on, and how it ends.

use std::convert::Infallible;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::Path;
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
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::{Notify, Semaphore};

use crate::config::{Config, Listen};
use crate::descriptors;
use crate::fetch::{Fetcher, SystemResolver};
use crate::metrics::Metrics;
use crate::names::Names;
use crate::routes::{Bridge, Services, observe};
use crate::secrets::SecretFiles;
use crate::seek::Seeker;
use crate::store::Store;

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

/// Tries Redis with a configuration, and tells what was found.
///
/// # Errors
/// [`StartError::Redis`] with the reason, also for a missing grant or replica under `durability: replicated`.
pub async fn check(config: &Config) -> Result<String, StartError> {
    let mut seeker = Seeker::new(config, Arc::default(), Arc::default());
    let standing = seeker.standing();
    seeker.look().await;
    let store = Store::new(Names::new(&config.key_prefix), standing, Arc::default(), Arc::default());
    let health = store.health();
    let reason = health.reason.unwrap_or_default();
    if !health.ready {
        return Err(StartError::Redis(reason));
    }
    Ok(if reason.is_empty() { "durability=replicated".to_owned() } else { format!("durability=async ({reason})") })
}

/// Serves until `shutdown` is ready, then lets the operations under way end.
///
/// # Errors
/// A [`StartError`] where serving cannot begin. Trouble with Redis is none: it is answered with refusals until it ends.
pub async fn run(config: Config, shutdown: impl Future<Output = ()>) -> Result<(), StartError> {
    descriptors::allow(config.limits.connections);
    let listener = bind(&config.listen).await?;
    let metrics_listener = match config.metrics {
        Some(address) => Some(TcpListener::bind(address).await.map_err(StartError::Metrics)?),
        None => None,
    };
    let (metrics, nudge): (Arc<Metrics>, Arc<Notify>) = Default::default();
    let seeker = Seeker::new(&config, Arc::clone(&metrics), Arc::clone(&nudge));
    let mut store = Store::new(Names::new(&config.key_prefix), seeker.standing(), nudge, Arc::clone(&metrics));
    let seeking = tokio::spawn(seeker.run());
    store.settled(FIRST_LOOK).await;
    let secrets = config.secrets_dir.clone().map(|folder| SecretFiles::new(folder, Arc::clone(&metrics)));
    let fetcher =
        config.fetch.clone().map(|rules| Fetcher::new(rules, SystemResolver::default(), Arc::clone(&metrics)));
    let services = Services { secrets, fetcher: fetcher.transpose().map_err(StartError::Tls)? };
    let bridge = Arc::new(Bridge::new(store, services, config.limits, Arc::clone(&metrics)));
    let observing = metrics_listener.map(|listener| tokio::spawn(serve_metrics(listener, Arc::clone(&bridge))));
    tracing::info!(socket = %config.listen.path.display(), "serving");
    let graceful = GracefulShutdown::new();
    accept(&listener, &config, &bridge, &graceful, shutdown).await;
    tracing::info!("draining");
    bridge.end_waiting();
    drop(listener);
    // The socket's file is ours alone since it was bound; a failure leaves a file that the next start removes.
    let _ = std::fs::remove_file(&config.listen.path);
    if tokio::time::timeout(config.limits.drain, graceful.shutdown()).await.is_err() {
        tracing::warn!("operations were still under way at the end");
    }
    if let Some(observing) = observing {
        observing.abort();
    }
    seeking.abort();
    Ok(())
}

async fn accept(
    listener: &UnixListener,
    config: &Config,
    bridge: &Arc<Bridge>,
    graceful: &GracefulShutdown,
    shutdown: impl Future<Output = ()>,
) {
    let metrics = bridge.metrics();
    let connections = Arc::new(Semaphore::new(config.limits.connections));
    let allowed = allowed_uids(&config.listen);
    let server = http_server();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let stream = tokio::select! {
            biased;
            () = &mut shutdown => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of descriptors, most likely: room comes back when a connection ends.
                    if metrics.refused_connection("no descriptor").saturating_add(1).is_power_of_two() {
                        tracing::error!(%error, "a connection cannot be taken");
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        if !is_allowed(&stream, &allowed) {
            metrics.refused_connection("foreign user");
            continue;
        }
        let Ok(permit) = Arc::clone(&connections).try_acquire_owned() else {
            metrics.refused_connection("too many");
            continue;
        };
        let (serving, bridge) = (Arc::clone(bridge), Arc::clone(bridge));
        let service = service_fn(move |request: Request<Incoming>| {
            let bridge = Arc::clone(&serving);
            async move { Ok::<_, Infallible>(bridge.answer(request).await) }
        });
        let connection = server.serve_connection(TokioIo::new(stream), service).into_owned();
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            let _held = bridge.metrics().connections.hold();
            if let Err(error) = connection.await {
                tracing::debug!(error, "a connection ended early");
            }
            drop(permit);
        });
    }
}

/// The peer's user, as the kernel knows it: no process can claim another's.
fn is_allowed(stream: &UnixStream, allowed: &[u32]) -> bool {
    match stream.peer_cred() {
        Ok(peer) if allowed.contains(&peer.uid()) => true,
        Ok(peer) => {
            tracing::warn!(uid = peer.uid(), pid = peer.pid(), "a connection of a foreign user is refused");
            false
        }
        Err(error) => {
            tracing::warn!(%error, "a connection of an unknown user is refused");
            false
        }
    }
}

fn allowed_uids(listen: &Listen) -> Vec<u32> {
    let own = || vec![0, rustix::process::geteuid().as_raw()];
    listen.allowed_uids.clone().unwrap_or_else(own)
}

fn http_server() -> auto::Builder<TokioExecutor> {
    let mut server = auto::Builder::new(TokioExecutor::new());
    // Head and body in one piece: to copy so little is quicker than to have the kernel gather it.
    server.http1().timer(TokioTimer::new()).header_read_timeout(HEADERS).max_buf_size(HEADER_BYTES).writev(false);
    server.http2().timer(TokioTimer::new()).max_concurrent_streams(256).max_header_list_size(16 * 1024);
    server
}

async fn bind(listen: &Listen) -> Result<UnixListener, StartError> {
    remove_leftover(&listen.path).await?;
    let listener = UnixListener::bind(&listen.path).map_err(StartError::Socket)?;
    let mode = std::fs::Permissions::from_mode(listen.mode);
    std::fs::set_permissions(&listen.path, mode).map_err(StartError::Socket)?;
    Ok(listener)
}

/// A socket that nobody listens on is what a killed bridge leaves; anything else is not ours to remove.
async fn remove_leftover(path: &Path) -> Result<(), StartError> {
    let Ok(found) = std::fs::symlink_metadata(path) else { return Ok(()) };
    if !found.file_type().is_socket() || UnixStream::connect(path).await.is_ok() {
        return Err(StartError::InUse);
    }
    std::fs::remove_file(path).map_err(StartError::Socket)
}

/// Serves `/metrics`, `/healthz` and `/readyz`, and no verb.
async fn serve_metrics(listener: TcpListener, bridge: Arc<Bridge>) {
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
            serve_observer(&server, stream, &bridge).await;
            drop(permit);
        });
    }
}

async fn serve_observer(
    server: &auto::Builder<TokioExecutor>,
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    bridge: &Arc<Bridge>,
) {
    let service = service_fn(|request: Request<Incoming>| {
        let answer: Response<Full<Bytes>> = observe(bridge, request.method(), request.uri().path());
        async move { Ok::<_, Infallible>(answer) }
    });
    if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(error, "a connection for metrics ended early");
    }
}

/// How long the start waits for a master before it serves refusals.
const FIRST_LOOK: Duration = Duration::from_secs(5);
const HEADERS: Duration = Duration::from_secs(30);
const HEADER_BYTES: usize = 16 * 1024;
const METRICS_CONNECTIONS: usize = 16;
