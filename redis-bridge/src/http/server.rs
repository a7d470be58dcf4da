//! The server of the callers' connections.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::sync::Semaphore;

use crate::config::Config;
use crate::http::activity::{Activity, idle_timeout};
use crate::http::authorization::{CallerPolicy, Grant};
use crate::http::listen::{AcceptError, Listener};
use crate::http::routes::Bridge;
use crate::metrics::Metrics;

/// What the requests of one connection share.
struct Session {
    bridge: Arc<Bridge>,
    grant: Grant,
    activity: Activity,
}

/// Serves each connection in a task of its own until `shutdown` is ready.
pub(crate) async fn accept(
    listener: &Listener,
    config: &Config,
    bridge: &Arc<Bridge>,
    graceful: &GracefulShutdown,
    shutdown: impl Future<Output = ()>,
) {
    let metrics = bridge.metrics();
    let connections = Arc::new(Semaphore::new(config.limits.connections));
    let policy = CallerPolicy::new(config.callers.clone());
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => return,
            accepted = listener.accept() => accepted,
        };
        let incoming = match accepted {
            Ok(incoming) => incoming,
            Err(error) => {
                record_refusal(metrics, &error);
                if let AcceptError::Io(_) = error {
                    // Most likely out of file descriptors, which become free when a connection
                    // ends.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                continue;
            }
        };
        let (bridge, policy, connections) = (Arc::clone(bridge), Arc::clone(&policy), Arc::clone(&connections));
        let (watcher, idle) = (graceful.watcher(), config.limits.idle);
        tokio::spawn(async move {
            let (stream, callers) = match incoming.identify().await {
                Ok(identified) => identified,
                Err(error) => return record_refusal(bridge.metrics(), &error),
            };
            let Ok(_permit) = connections.try_acquire_owned() else {
                bridge.metrics().refused_connection("too many");
                return;
            };
            let counted = Arc::clone(&bridge);
            let _held = counted.metrics().connections.hold();
            let session = Arc::new(Session { bridge, grant: policy.grant(callers), activity: Activity::default() });
            let serving = Arc::clone(&session);
            let service = service_fn(move |request: Request<hyper::body::Incoming>| {
                let session = Arc::clone(&serving);
                async move {
                    let _busy = session.activity.busy();
                    Ok::<_, Infallible>(session.bridge.handle(request, &session.grant).await)
                }
            });
            let server = http_server();
            let connection = watcher.watch(server.serve_connection(TokioIo::new(stream), service));
            idle_timeout(connection, &session.activity, idle).await;
        });
    }
}

/// Counts a refused connection, and logs the 1st, 2nd, 4th, … of its reason: strangers must not
/// fill the log.
fn record_refusal(metrics: &Metrics, error: &AcceptError) {
    let times = metrics.refused_connection(error.name()).saturating_add(1);
    if times.is_power_of_two() {
        tracing::warn!(reason = %error, times, "connection refused");
    }
}

pub(crate) fn http_server() -> auto::Builder<TokioExecutor> {
    let mut server = auto::Builder::new(TokioExecutor::new());
    // Without the library's timeout for headers, which covers neither HTTP/2 nor the detection of
    // the version; `idle_timeout` covers all. Without vectored writes: copying a small response is
    // faster.
    server.http1().header_read_timeout(None).max_buf_size(MAX_HEADER_BYTES).writev(false);
    server.http2().timer(TokioTimer::new()).max_concurrent_streams(256).max_header_list_size(16 * 1024);
    server
}

const MAX_HEADER_BYTES: usize = 16 * 1024;
