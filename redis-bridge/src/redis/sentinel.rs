//! What is asked of a sentinel: only where the master is, and to be told when that changes.

use std::time::Duration;

use futures_util::StreamExt as _;
use redis::aio::MultiplexedConnection;
use tokio::time::timeout;

use crate::config::Endpoint;
use crate::redis::dialer::Dialer;
use crate::redis::redis_error::Fault;

/// A name may stand for several servers (a headless service); by TLS the name is what the
/// certificate is checked for.
pub(crate) async fn addresses(endpoint: &Endpoint, resolve: bool) -> Vec<Endpoint> {
    let asked = || vec![endpoint.clone()];
    if !resolve {
        return asked();
    }
    let found = timeout(QUESTION, tokio::net::lookup_host((endpoint.host.as_str(), endpoint.port))).await;
    let Ok(Ok(found)) = found else { return asked() };
    let found = found.take(SENTINELS).map(|address| Endpoint { host: address.ip().to_string(), port: address.port() });
    found.collect()
}

/// Asks where the master of this name is; connects first where there is no link yet, and gives the
/// link back.
pub(crate) async fn ask(
    dialer: &Dialer,
    sentinel: &Endpoint,
    link: Option<MultiplexedConnection>,
    name: &str,
) -> Result<(MultiplexedConnection, Option<Endpoint>), Fault> {
    let mut link = match link {
        Some(link) => link,
        None => dialer.connect(sentinel).await?,
    };
    let said: Option<(String, u16)> = redis::cmd("SENTINEL")
        .arg("get-master-addr-by-name")
        .arg(name)
        .query_async(&mut link)
        .await
        .map_err(|error| Fault::of(&error))?;
    Ok((link, said.map(|(host, port)| Endpoint { host, port })))
}

/// Hears a sentinel's announcements of this master's moves. Ends when the sentinel can be heard no
/// more: it is asked for them again every second, because a silent connection may be one that was
/// forgotten on its way.
pub(crate) async fn listen(dialer: &Dialer, sentinel: &Endpoint, name: &str, announced: impl Fn(Endpoint)) {
    let Ok(client) = dialer.client(sentinel) else { return };
    let Ok(Ok(channel)) = timeout(dialer.timeout(), client.get_async_pubsub()).await else { return };
    let (mut subscriptions, messages) = channel.split();
    let subscribed = async {
        while let Ok(Ok(())) = timeout(QUESTION, subscriptions.subscribe(CHANNEL)).await {
            tokio::time::sleep(SUBSCRIBE_AGAIN).await;
        }
    };
    let heard = messages.for_each(|message| {
        if let Ok(text) = message.get_payload::<String>()
            && let Some(endpoint) = announcement(&text, name)
        {
            tracing::info!(%sentinel, to = %endpoint, "redis sentinel announces a failover");
            announced(endpoint);
        }
        std::future::ready(())
    });
    tokio::select! {
        () = subscribed => {}
        () = heard => {}
    }
}

/// Where the master of this name has moved to: `NAME OLD-HOST OLD-PORT HOST PORT`.
fn announcement(text: &str, name: &str) -> Option<Endpoint> {
    let words: Vec<&str> = text.split(' ').collect();
    let [of, _, _, host, port] = words.as_slice() else { return None };
    let port = port.parse().ok().filter(|_| *of == name)?;
    Some(Endpoint { host: (*host).to_owned(), port })
}

const CHANNEL: &str = "+switch-master";
const SUBSCRIBE_AGAIN: Duration = Duration::from_secs(1);
const QUESTION: Duration = Duration::from_secs(1);
const SENTINELS: usize = 16;
