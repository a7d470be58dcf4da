//! The listener for metrics and health probes.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::http::activity::{Activity, idle_timeout};
use crate::http::routes::{Bridge, observe};
use crate::http::server::http_server;

/// Serves `/metrics`, `/healthz` and `/readyz` only.
pub(crate) async fn serve_metrics(listener: TcpListener, bridge: Arc<Bridge>, idle: Duration) {
    let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
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
        let response: Response<Full<Bytes>> = observe(bridge, request.method(), request.uri().path());
        async move { Ok::<_, Infallible>(response) }
    });
    idle_timeout(server.serve_connection(TokioIo::new(stream), service), &activity, idle).await;
}

const MAX_CONNECTIONS: usize = 16;
