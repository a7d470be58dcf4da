//! The connections to one master: one that many commands share, and a few that durable writes have
//! to themselves.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{Mutex as Turns, Semaphore, watch};
use tokio::time::{Instant, timeout};

use crate::config::Endpoint;
use crate::operations::script::Script;
use crate::redis::connection::{Connection, Server};
use crate::redis::pool::{Lease, Pool};
use crate::redis::redis_error::Fault;
use crate::redis::replication::Followers;

/// A server that said it is the master when it was connected to.
pub(crate) struct Master {
    /// Where it is, and how it is connected to.
    pub(crate) server: Server,
    shared: Mutex<Connection>,
    /// Held while the shared connection is replaced, which is tried once for all who wait; the last
    /// failure to.
    replacing: Turns<Option<(Instant, Fault)>>,
    /// WAIT holds up its whole connection, so each durable write has one to itself.
    pool: Pool,
    /// Bounds how many of those there are.
    durable: Semaphore,
    followers: Arc<Followers>,
    retired: watch::Sender<bool>,
}

/// A durable write was done; whether the replicas have it.
pub(crate) enum Confirmed {
    /// They have.
    Yes,
    /// Too few said so in time.
    No,
    /// Nobody asked.
    Unasked,
}

/// Why a command was not done.
#[derive(Debug)]
pub(crate) enum Undone {
    /// Something is wrong.
    Fault(Fault),
    /// Its connection was closed, for this fault; whether it was done is unknown.
    Closed(Fault),
    /// MOVED: another server of the cluster has the slot. Nothing was done.
    Moved(Endpoint),
}

impl From<Fault> for Undone {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Master {
    /// Takes over a connection to a server that said it is the master, and has these replicas.
    pub(crate) fn new(server: Server, shared: Connection, followers: Arc<Followers>) -> Self {
        Self {
            server,
            shared: Mutex::new(shared),
            replacing: Turns::default(),
            pool: Pool::default(),
            durable: Semaphore::new(DURABLE_CONNECTIONS),
            followers,
            retired: watch::Sender::new(false),
        }
    }

    /// Ends every command under way: the server is not the master any more, or does not answer. A
    /// client that stayed would go on writing to a deposed master for as long as it sees no error.
    pub(crate) fn retire(&self) {
        self.retired.send_replace(true);
        self.pool.clear();
    }

    /// Takes note of how many replicas are connected to it.
    pub(crate) fn has_replicas(&self, count: u64) {
        self.followers.connected(count);
    }

    /// Whether the connection that carries most of the work left its last question or operation
    /// without an answer.
    pub(crate) fn is_silent(&self) -> bool {
        self.current().is_silent()
    }

    /// Asks on each connection whether it still leads to the master; those that do not say so are
    /// closed.
    pub(crate) async fn ask_connections(&self) {
        let mut connections = self.pool.connections();
        connections.push(self.current());
        join_all(connections.iter().map(Connection::ask)).await;
    }

    /// The connection that commands share, replaced by a new one where it was closed.
    pub(crate) async fn shared(&self) -> Result<Connection, Fault> {
        let current = self.current();
        if !current.is_closed() {
            return Ok(current);
        }
        let asked = Instant::now();
        let mut failure = self.replacing.lock().await;
        let current = self.current();
        if !current.is_closed() {
            return Ok(current);
        }
        if let Some((_, fault)) = failure.filter(|(at, _)| *at >= asked) {
            return Err(fault);
        }
        match timeout(REPLACE, self.server.open()).await.unwrap_or(Err(Fault::TimedOut)) {
            Ok(replacement) => {
                *self.shared.lock().unwrap_or_else(PoisonError::into_inner) = replacement.clone();
                Ok(replacement)
            }
            Err(fault) => {
                *failure = Some((Instant::now(), fault));
                Err(fault)
            }
        }
    }

    fn current(&self) -> Connection {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Runs one command.
    pub(crate) async fn command(&self, command: &redis::Cmd) -> Result<redis::Value, Undone> {
        self.unless_retired(async {
            let mut tries = Tries::default();
            loop {
                let mut connection = self.shared().await?;
                let done = connection.query(command).await.map_err(|error| self.undone(&error));
                if tries.is_last(&done) {
                    return done;
                }
            }
        })
        .await
    }

    /// Runs a script.
    pub(crate) async fn script(&self, script: Script, names: &[String], args: &[Vec<u8>]) -> Result<Vec<u8>, Undone> {
        self.unless_retired(async {
            let mut tries = Tries::default();
            loop {
                let mut connection = self.shared().await?;
                let done = self.run(&mut connection, script, names, args).await;
                if tries.is_last(&done) {
                    return done;
                }
            }
        })
        .await
    }

    /// Runs a script and waits until the replicas have what it wrote.
    pub(crate) async fn durable_script(
        &self,
        script: Script,
        names: &[String],
        args: &[Vec<u8>],
    ) -> Result<(Vec<u8>, Confirmed), Undone> {
        let _permit = self.durable.acquire().await.map_err(|_| Fault::Retired)?;
        self.unless_retired(async {
            let mut tries = Tries::default();
            loop {
                // The second time a new one: what closed one connection may have closed the free
                // ones as well.
                let free = if tries.is_second { None } else { self.pool.take() };
                let connection = match free {
                    Some(connection) => connection,
                    None => self.pool.add(self.server.open().await?),
                };
                let done = self.run_and_wait(connection, script, names, args).await;
                if tries.is_last(&done) {
                    return done;
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
    ) -> Result<(Vec<u8>, Confirmed), Undone> {
        let answer = self.run(&mut connection, script, names, args).await?;
        let question = self.followers.question();
        let wait = redis::cmd("WAIT").arg(question.replicas).arg(question.patience.as_millis()).to_owned();
        let confirmed = match connection.query::<u64>(&wait).await {
            Ok(count) => {
                connection.give_back();
                if self.followers.suffice(count) { Confirmed::Yes } else { Confirmed::No }
            }
            Err(error) => match self.undone(&error) {
                // Once more: the script remembers its answer, and WAIT then waits for the first
                // try's write as well.
                closed @ Undone::Closed(_) => return Err(closed),
                // The write is done: whatever went wrong after it is no reason to say that it was
                // not.
                Undone::Fault(_) | Undone::Moved(_) => Confirmed::No,
            },
        };
        Ok((answer, confirmed))
    }

    /// By its digest, and whole where the server does not know it: SCRIPT LOAD is not granted.
    async fn run(
        &self,
        connection: &mut Connection,
        script: Script,
        names: &[String],
        args: &[Vec<u8>],
    ) -> Result<Vec<u8>, Undone> {
        let call = |command: &str, script: &str| {
            redis::cmd(command).arg(script).arg(names.len()).arg(names).arg(args).to_owned()
        };
        let known = connection.query(&call("EVALSHA", script.digest())).await;
        let answer = match known {
            Err(error) if Fault::of(&error) == Fault::NoScript => connection.query(&call("EVAL", script.text())).await,
            Ok(_) | Err(_) => known,
        };
        answer.map_err(|error| self.undone(&error))
    }

    /// The server's own words name keys and commands, never values; they are of use to whoever
    /// looks for the cause.
    fn undone(&self, error: &redis::RedisError) -> Undone {
        let fault = Fault::of(error);
        let address = &self.server.endpoint;
        tracing::debug!(%address, fault = fault.name(), code = error.code(), "redis refused a command");
        if fault == Fault::Unreachable || (fault.tells_of_a_replica() && !self.server.takes_replicas) {
            return Undone::Closed(fault);
        }
        match error.redirect_node().and_then(|(to, _)| redirection(to, address)) {
            Some(endpoint) if fault == Fault::Moved => Undone::Moved(endpoint),
            Some(_) | None => Undone::Fault(fault),
        }
    }

    async fn unless_retired<T>(&self, work: impl Future<Output = Result<T, Undone>>) -> Result<T, Undone> {
        let mut retired = self.retired.subscribe();
        tokio::select! {
            biased;
            _ = retired.wait_for(|retired| *retired) => Err(Fault::Retired.into()),
            done = work => done,
        }
    }
}

/// Tries of one operation: what is lost with its connection is tried once more, on a new one.
/// Whether it was done the first time does not matter: a read changes nothing, and a script finds
/// the answer that it stored, in one step with what it changed, under the operation's idempotency
/// key.
#[derive(Default)]
struct Tries {
    is_second: bool,
}

impl Tries {
    /// Takes note of one try; returns `true` if there is no other.
    fn is_last<T>(&mut self, done: &Result<T, Undone>) -> bool {
        let is_second = std::mem::replace(&mut self.is_second, true);
        is_second || !matches!(done, Err(Undone::Closed(_)))
    }
}

/// Where MOVED sends to: `host:port`, an IPv6 address without brackets, no host for the one that
/// was asked, and a question mark where the cluster does not know.
fn redirection(address: &str, asked: &Endpoint) -> Option<Endpoint> {
    let (host, port) = address.rsplit_once(':')?;
    let host = match host {
        "" => asked.host.clone(),
        "?" => return None,
        host => host.to_owned(),
    };
    Some(Endpoint { host, port: port.parse().ok().filter(|port| *port != 0)? })
}

const DURABLE_CONNECTIONS: usize = 32;
/// How long a closed connection may take to be replaced, before its operations are refused.
const REPLACE: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirection_names_a_host_and_a_port_or_nothing() {
        let asked = Endpoint { host: "own".to_owned(), port: 1 };
        let to = |address| redirection(address, &asked).map(|endpoint| endpoint.to_string());
        assert_eq!(to("127.0.0.1:6380").as_deref(), Some("127.0.0.1:6380"));
        assert_eq!(to("::1:6380").as_deref(), Some("[::1]:6380"));
        assert_eq!(to(":6380").as_deref(), Some("own:6380"));
        for nowhere in ["?:6380", "host", "host:", "host:0", "host:65536", "host:x", ""] {
            assert_eq!(to(nowhere), None, "{nowhere}");
        }
    }
}
