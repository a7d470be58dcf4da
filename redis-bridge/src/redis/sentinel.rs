//! The two uses of a sentinel: the master's address, and the announcements of its changes.

use std::time::Duration;

use futures_util::StreamExt as _;
use redis::aio::MultiplexedConnection;
use tokio::time::timeout;

use crate::config::Endpoint;
use crate::redis::dialer::Dialer;
use crate::redis::redis_error::RedisError;

/// Resolves a sentinel's host name, which may stand for several servers (a headless service).
/// Returns the name itself unless `resolve` is set: with TLS it must match the certificate.
pub(crate) async fn addresses(endpoint: &Endpoint, resolve: bool) -> Vec<Endpoint> {
    let unresolved = || vec![endpoint.clone()];
    if !resolve {
        return unresolved();
    }
    let found = timeout(TIMEOUT, tokio::net::lookup_host((endpoint.host.as_str(), endpoint.port))).await;
    let Ok(Ok(found)) = found else { return unresolved() };
    let found =
        found.take(MAX_ADDRESSES).map(|address| Endpoint { host: address.ip().to_string(), port: address.port() });
    found.collect()
}

/// Asks a sentinel for the address of the master `name`, on the given connection or a new one.
/// Returns the connection for the next call.
pub(crate) async fn query_master(
    dialer: &Dialer,
    sentinel: &Endpoint,
    connection: Option<MultiplexedConnection>,
    name: &str,
) -> Result<(MultiplexedConnection, Option<Endpoint>), RedisError> {
    let mut connection = match connection {
        Some(connection) => connection,
        None => dialer.connect(sentinel).await?,
    };
    let answer: Option<(String, u16)> = redis::cmd("SENTINEL")
        .arg("get-master-addr-by-name")
        .arg(name)
        .query_async(&mut connection)
        .await
        .map_err(|error| RedisError::from(&error))?;
    Ok((connection, answer.map(|(host, port)| Endpoint { host, port })))
}

/// Subscribes to a sentinel's announcements of new masters (`+switch-master`). Returns when the
/// subscription is lost. It is renewed every second, because a silent connection may have been
/// forgotten by a firewall.
pub(crate) async fn listen(dialer: &Dialer, sentinel: &Endpoint, name: &str, on_switch: impl Fn(Endpoint)) {
    let Ok(client) = dialer.client(sentinel) else { return };
    let Ok(Ok(channel)) = timeout(dialer.timeout(), client.get_async_pubsub()).await else { return };
    let (mut subscriptions, messages) = channel.split();
    let subscribed = async {
        while let Ok(Ok(())) = timeout(TIMEOUT, subscriptions.subscribe(CHANNEL)).await {
            tokio::time::sleep(RENEW_INTERVAL).await;
        }
    };
    let received = messages.for_each(|message| {
        if let Ok(text) = message.get_payload::<String>()
            && let Some(endpoint) = parse_switch(&text, name)
        {
            tracing::info!(%sentinel, to = %endpoint, "redis sentinel announces a failover");
            on_switch(endpoint);
        }
        std::future::ready(())
    });
    tokio::select! {
        () = subscribed => {}
        () = received => {}
    }
}

/// Returns the new master's address from `NAME OLD-HOST OLD-PORT HOST PORT`.
fn parse_switch(text: &str, name: &str) -> Option<Endpoint> {
    let words: Vec<&str> = text.split(' ').collect();
    let [of, _, _, host, port] = words.as_slice() else { return None };
    let port = port.parse().ok().filter(|_| *of == name)?;
    Some(Endpoint { host: (*host).to_owned(), port })
}

const CHANNEL: &str = "+switch-master";
const RENEW_INTERVAL: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(1);
const MAX_ADDRESSES: usize = 16;
