//! The connections to one master: one that many commands share, and a few that durable writes have to themselves.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use redis::aio::MultiplexedConnection;
use tokio::sync::{Semaphore, watch};

use crate::config::Endpoint;
use crate::fault::Fault;
use crate::followers::Followers;
use crate::link::Dialer;
use crate::script::Script;

/// A server that said it is the master when it was connected to.
pub(crate) struct Master {
    /// Where it is.
    pub(crate) endpoint: Endpoint,
    dialer: Dialer,
    shared: MultiplexedConnection,
    /// Connections that no durable write uses now.
    idle: Mutex<Vec<MultiplexedConnection>>,
    /// WAIT holds up its whole connection, so that each has one user at a time; this bounds how many there are.
    durable: Semaphore,
    followers: Arc<Followers>,
    retired: watch::Sender<bool>,
    /// A connection broke; it does not come back by itself, whatever the server says on another.
    broken: AtomicBool,
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
    pub(crate) fn new(
        endpoint: Endpoint,
        dialer: Dialer,
        shared: MultiplexedConnection,
        followers: Arc<Followers>,
    ) -> Self {
        let (idle, durable) = (Mutex::new(Vec::new()), Semaphore::new(DURABLE_CONNECTIONS));
        Self {
            endpoint,
            dialer,
            shared,
            idle,
            durable,
            followers,
            retired: watch::Sender::new(false),
            broken: AtomicBool::new(false),
        }
    }

    /// Ends every command under way: the server is not the master any more, or does not answer. A client that stayed
    /// would go on writing to a deposed master for as long as it sees no error.
    pub(crate) fn retire(&self) {
        self.retired.send_replace(true);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Takes note of how many replicas are connected to it.
    pub(crate) fn has_replicas(&self, count: u64) {
        self.followers.connected(count);
    }

    /// Whether a connection broke, so that all must be made anew.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    /// Runs one command.
    pub(crate) async fn command(&self, command: &redis::Cmd) -> Result<redis::Value, Undone> {
        let mut connection = self.shared.clone();
        self.unless_retired(async { command.query_async(&mut connection).await.map_err(|error| self.undone(&error)) })
            .await
    }

    /// Runs a script.
    pub(crate) async fn script(&self, script: Script, names: &[String], args: &[Vec<u8>]) -> Result<Vec<u8>, Undone> {
        let mut connection = self.shared.clone();
        self.unless_retired(self.run(&mut connection, script, names, args)).await
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
            let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut connection = match idle {
                Some(connection) => connection,
                None => self.dialer.connect(&self.endpoint).await?,
            };
            let answer = self.run(&mut connection, script, names, args).await?;
            let question = self.followers.question();
            let wait = redis::cmd("WAIT").arg(question.replicas).arg(question.patience.as_millis()).to_owned();
            let waited = wait.query_async::<u64>(&mut connection).await;
            // The write is done: whatever went wrong after it is no reason to say that it was not.
            let confirmed = match waited {
                Ok(count) if self.followers.suffice(count) => Confirmed::Yes,
                Ok(_) => Confirmed::No,
                Err(error) => {
                    self.fault(&error);
                    return Ok((answer, Confirmed::No));
                }
            };
            // Only now: a connection that was left in the middle of something is dropped.
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            Ok((answer, confirmed))
        })
        .await
    }

    /// By its digest, and whole where the server does not know it: SCRIPT LOAD is not granted.
    async fn run(
        &self,
        connection: &mut MultiplexedConnection,
        script: Script,
        names: &[String],
        args: &[Vec<u8>],
    ) -> Result<Vec<u8>, Undone> {
        let call = |command: &str, script: &str| {
            redis::cmd(command).arg(script).arg(names.len()).arg(names).arg(args).to_owned()
        };
        let known = call("EVALSHA", script.digest()).query_async(connection).await;
        let answer = match known {
            Err(error) if Fault::of(&error) == Fault::NoScript => {
                call("EVAL", script.text()).query_async(connection).await
            }
            Ok(_) | Err(_) => known,
        };
        answer.map_err(|error| self.undone(&error))
    }

    /// The server's own words name keys and commands, never values; they are of use to whoever looks for the cause.
    fn fault(&self, error: &redis::RedisError) -> Fault {
        let fault = Fault::of(error);
        if fault == Fault::Unreachable {
            self.broken.store(true, Ordering::Relaxed);
        }
        tracing::debug!(address = %self.endpoint, fault = fault.name(), code = error.code(), "redis refused a command");
        fault
    }

    fn undone(&self, error: &redis::RedisError) -> Undone {
        let fault = self.fault(error);
        match error.redirect_node().and_then(|(address, _)| redirection(address, &self.endpoint)) {
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

/// Where MOVED sends to: `host:port`, an IPv6 address without brackets, no host for the one that was asked, and a
/// question mark where the cluster does not know.
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
