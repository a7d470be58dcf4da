//! The server: how much is taken on, and how it ends.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::sync::Semaphore;

use crate::config::Config;
use crate::http::activity::{Activity, unless_idle};
use crate::http::authorization::{Grant, Rights};
use crate::http::listen::{Listener, Unwelcome};
use crate::http::routes::Bridge;
use crate::metrics::Metrics;

/// One connection's.
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

/// Counts a refused connection. The first, the second, the fourth … is logged: strangers
/// must not fill the log.
fn refuse(metrics: &Metrics, unwelcome: &Unwelcome) {
    let times = metrics.refused_connection(unwelcome.name()).saturating_add(1);
    if times.is_power_of_two() {
        tracing::warn!(reason = %unwelcome, times, "a connection is refused");
    }
}

pub(crate) fn http_server() -> auto::Builder<TokioExecutor> {
    let mut server = auto::Builder::new(TokioExecutor::new());
    // No timeout of the library's own: it has none for HTTP/2, nor before it knows which of the
    // two it is. Head and body in one piece: to copy so little is quicker than to have the kernel
    // gather it.
    server.http1().header_read_timeout(None).max_buf_size(HEADER_BYTES).writev(false);
    server.http2().timer(TokioTimer::new()).max_concurrent_streams(256).max_header_list_size(16 * 1024);
    server
}

const HEADER_BYTES: usize = 16 * 1024;
