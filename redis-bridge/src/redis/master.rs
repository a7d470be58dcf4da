//! The connections to one master: one shared by most commands, and a pool for durable writes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{Mutex as AsyncMutex, Semaphore, watch};
use tokio::time::{Instant, timeout};

use crate::config::Endpoint;
use crate::operations::script::Script;
use crate::redis::connection::{Connection, Server};
use crate::redis::pool::{Lease, Pool};
use crate::redis::redis_error::RedisError;
use crate::redis::replication::Replication;

/// A server whose role was master when it was connected.
pub(crate) struct Master {
    /// The server's address and dialer.
    pub(crate) server: Server,
    shared: Mutex<Connection>,
    /// Held while the shared connection is replaced, which one task does for all that wait. Holds
    /// the last failure.
    replacing: AsyncMutex<Option<(Instant, RedisError)>>,
    /// `WAIT` blocks its whole connection, so each durable write has one of its own.
    pool: Pool,
    /// Bounds the connections of the pool.
    durable: Semaphore,
    replication: Arc<Replication>,
    retired: watch::Sender<bool>,
}

/// Whether the replicas acknowledged a write that the master has done.
pub(crate) enum Confirmation {
    /// Enough replicas did.
    Confirmed,
    /// Too few did in time.
    Unconfirmed,
    /// The write did not wait for replicas.
    NotRequested,
}

/// Why a command has no answer.
#[derive(Debug)]
pub(crate) enum CommandError {
    /// The command failed.
    Failed(RedisError),
    /// The connection was closed with this error; whether the command ran is unknown.
    Closed(RedisError),
    /// `MOVED`: another server of the cluster owns the slot. Nothing was done.
    Moved(Endpoint),
}

impl From<RedisError> for CommandError {
    fn from(error: RedisError) -> Self {
        Self::Failed(error)
    }
}

impl Master {
    /// Takes over a connection to a master with these replicas.
    pub(crate) fn new(server: Server, shared: Connection, replication: Arc<Replication>) -> Self {
        Self {
            server,
            shared: Mutex::new(shared),
            replacing: AsyncMutex::default(),
            pool: Pool::default(),
            durable: Semaphore::new(MAX_DURABLE_CONNECTIONS),
            replication,
            retired: watch::Sender::new(false),
        }
    }

    /// Ends every command under way, because the server is not the master any more or does not
    /// answer. A client that stayed would go on writing to a deposed master until it sees an error.
    pub(crate) fn retire(&self) {
        self.retired.send_replace(true);
        self.pool.clear();
    }

    /// Records the number of replicas in sync at the latest probe.
    pub(crate) fn set_connected_replicas(&self, count: u64) {
        self.replication.set_connected(count);
    }

    /// Returns `true` if the last probe or operation on the shared connection was not answered.
    pub(crate) fn is_silent(&self) -> bool {
        self.current().is_silent()
    }

    /// Probes every connection and closes those that do not lead to the master.
    pub(crate) async fn probe_connections(&self) {
        let mut connections = self.pool.connections();
        connections.push(self.current());
        join_all(connections.iter().map(Connection::probe)).await;
    }

    /// Returns the shared connection, replaced by a new one if it was closed.
    pub(crate) async fn shared(&self) -> Result<Connection, RedisError> {
        let current = self.current();
        if !current.is_closed() {
            return Ok(current);
        }
        let requested = Instant::now();
        let mut failure = self.replacing.lock().await;
        let current = self.current();
        if !current.is_closed() {
            return Ok(current);
        }
        if let Some((_, error)) = failure.filter(|(at, _)| *at >= requested) {
            return Err(error);
        }
        match timeout(REPLACE_TIMEOUT, self.server.open()).await.unwrap_or(Err(RedisError::TimedOut)) {
            Ok(replacement) => {
                *self.shared.lock().unwrap_or_else(PoisonError::into_inner) = replacement.clone();
                Ok(replacement)
            }
            Err(error) => {
                *failure = Some((Instant::now(), error));
                Err(error)
            }
        }
    }

    fn current(&self) -> Connection {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Runs one command.
    pub(crate) async fn command(&self, command: &redis::Cmd) -> Result<redis::Value, CommandError> {
        self.unless_retired(async {
            let mut tries = Tries::default();
            loop {
                let mut connection = self.shared().await?;
                let result = connection.query(command).await.map_err(|error| self.command_error(&error));
                if tries.is_last(&result) {
                    return result;
                }
            }
        })
        .await
    }

    /// Runs a script.
    pub(crate) async fn script(
        &self,
        script: Script,
        names: &[String],
        args: &[Vec<u8>],
    ) -> Result<Vec<u8>, CommandError> {
        self.unless_retired(async {
            let mut tries = Tries::default();
            loop {
                let mut connection = self.shared().await?;
                let result = self.run(&mut connection, script, names, args).await;
                if tries.is_last(&result) {
                    return result;
                }
            }
        })
        .await
    }

    /// Runs a script and waits until the replicas acknowledge its writes.
    pub(crate) async fn durable_script(
        &self,
        script: Script,
        names: &[String],
        args: &[Vec<u8>],
    ) -> Result<(Vec<u8>, Confirmation), CommandError> {
        let _permit = self.durable.acquire().await.map_err(|_| RedisError::Retired)?;
        self.unless_retired(async {
            let mut tries = Tries::default();
            loop {
                // The second try uses a new connection: what closed one may have closed the idle
                // ones as well.
                let idle = if tries.is_second { None } else { self.pool.take() };
                let connection = match idle {
                    Some(connection) => connection,
                    None => self.pool.add(self.server.open().await?),
                };
                let result = self.run_and_wait(connection, script, names, args).await;
                if tries.is_last(&result) {
                    return result;
                }
            }
        })
        .await
    }

    async fn run_and_wait(
        &self,
        mut connection: Lease<'_>,
        script: Script,
        names: &[String],
        args: &[Vec<u8>],
    ) -> Result<(Vec<u8>, Confirmation), CommandError> {
        let answer = self.run(&mut connection, script, names, args).await?;
        let wait = self.replication.next_wait();
        let wait = redis::cmd("WAIT").arg(wait.replicas).arg(wait.timeout.as_millis()).to_owned();
        let confirmation = match connection.query::<u64>(&wait).await {
            Ok(count) => {
                connection.release();
                if self.replication.is_durable(count) { Confirmation::Confirmed } else { Confirmation::Unconfirmed }
            }
            Err(error) => match self.command_error(&error) {
                // Retried: the script returns its stored answer, and `WAIT` covers the first try's
                // write as well.
                closed @ CommandError::Closed(_) => return Err(closed),
                // The write is done, whatever failed after it.
                CommandError::Failed(_) | CommandError::Moved(_) => Confirmation::Unconfirmed,
            },
        };
        Ok((answer, confirmation))
    }

    /// Runs a script by its digest, or with its text if the server does not know the digest:
    /// `SCRIPT LOAD` is not granted.
    async fn run(
        &self,
        connection: &mut Connection,
        script: Script,
        names: &[String],
        args: &[Vec<u8>],
    ) -> Result<Vec<u8>, CommandError> {
        let call = |command: &str, script: &str| {
            redis::cmd(command).arg(script).arg(names.len()).arg(names).arg(args).to_owned()
        };
        let by_digest = connection.query(&call("EVALSHA", script.digest())).await;
        let answer = match by_digest {
            Err(error) if RedisError::from(&error) == RedisError::NoScript => {
                connection.query(&call("EVAL", script.text())).await
            }
            Ok(_) | Err(_) => by_digest,
        };
        answer.map_err(|error| self.command_error(&error))
    }

    fn command_error(&self, error: &redis::RedisError) -> CommandError {
        let cause = RedisError::from(error);
        let address = &self.server.endpoint;
        // The code names no value. It helps to find the cause.
        tracing::debug!(%address, fault = cause.name(), code = error.code(), "redis command failed");
        if cause == RedisError::Unreachable || (cause.is_from_replica() && !self.server.accepts_replicas) {
            return CommandError::Closed(cause);
        }
        match error.redirect_node().and_then(|(to, _)| parse_redirection(to, address)) {
            Some(endpoint) if cause == RedisError::Moved => CommandError::Moved(endpoint),
            Some(_) | None => CommandError::Failed(cause),
        }
    }

    async fn unless_retired<T>(&self, work: impl Future<Output = Result<T, CommandError>>) -> Result<T, CommandError> {
        let mut retired = self.retired.subscribe();
        tokio::select! {
            biased;
            _ = retired.wait_for(|retired| *retired) => Err(RedisError::Retired.into()),
            result = work => result,
        }
    }
}

/// The tries of one operation: at most two. An operation whose connection was closed is tried once
/// more on a new one. This is safe whether or not it ran the first time: a read changes nothing,
/// and a script returns the answer that it stored, in one step with its change, under the
/// operation's idempotency key.
#[derive(Default)]
struct Tries {
    is_second: bool,
}

impl Tries {
    /// Records one try. Returns `true` if it was the last.
    fn is_last<T>(&mut self, result: &Result<T, CommandError>) -> bool {
        let is_second = std::mem::replace(&mut self.is_second, true);
        is_second || !matches!(result, Err(CommandError::Closed(_)))
    }
}

/// Returns the target of `MOVED`: `host:port`, with an IPv6 address without brackets, an empty host
/// for the server itself, and `?` for an unknown one.
fn parse_redirection(address: &str, sender: &Endpoint) -> Option<Endpoint> {
    let (host, port) = address.rsplit_once(':')?;
    let host = match host {
        "" => sender.host.clone(),
        "?" => return None,
        host => host.to_owned(),
    };
    Some(Endpoint { host, port: port.parse().ok().filter(|port| *port != 0)? })
}

const MAX_DURABLE_CONNECTIONS: usize = 32;
/// The time to replace a closed connection before its operations are refused.
const REPLACE_TIMEOUT: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirection_names_a_host_and_a_port_or_nothing() {
        let sender = Endpoint { host: "own".to_owned(), port: 1 };
        let to = |address| parse_redirection(address, &sender).map(|endpoint| endpoint.to_string());
        assert_eq!(to("127.0.0.1:6380").as_deref(), Some("127.0.0.1:6380"));
        assert_eq!(to("::1:6380").as_deref(), Some("[::1]:6380"));
        assert_eq!(to(":6380").as_deref(), Some("own:6380"));
        for nowhere in ["?:6380", "host", "host:", "host:0", "host:65536", "host:x", ""] {
            assert_eq!(to(nowhere), None, "{nowhere}");
        }
    }
}
