//! A connection that carries operations, and its health.
//!
//! A firewall can forget an idle connection without closing it, and a load balancer can route two
//! connections to two servers, so the answers on one connection say nothing about another. Each
//! connection is probed every second for its server's role. It is closed after two silent probes or
//! operations in a row, or if its server is not the master: the operations on it end, and are tried
//! once more on a new connection ([`CommandError::Closed`](super::master::CommandError::Closed)).

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue, RedisResult};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use crate::config::Endpoint;
use crate::metrics::Metrics;
use crate::redis::dialer::{Dialer, is_master};
use crate::redis::redis_error::RedisError;

/// A server, and how to connect to it.
#[derive(Clone)]
pub(crate) struct Server {
    /// The server's address.
    pub(crate) endpoint: Endpoint,
    /// Opens the connections.
    pub(crate) dialer: Dialer,
    /// Whether a connection to a replica is kept.
    pub(crate) accepts_replicas: bool,
    /// Counts closed connections.
    pub(crate) metrics: Arc<Metrics>,
}

/// An open connection. Clones share it.
#[derive(Clone)]
pub(crate) struct Connection {
    connection: MultiplexedConnection,
    state: Arc<State>,
}

/// Why a connection was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loss {
    /// The server, or something on the network path, closed it.
    Closed,
    /// It did not answer.
    Silent,
    /// Its server is a replica.
    Replica,
    /// An operation on it was abandoned.
    Abandoned,
}

struct State {
    endpoint: Endpoint,
    accepts_replicas: bool,
    /// Probes and operations in a row without an answer in time.
    silent: AtomicU32,
    closed: AtomicBool,
    /// Wakes pending operations when the connection is closed.
    ended: Notify,
    metrics: Arc<Metrics>,
}

impl Server {
    /// Connects, authenticates, and checks the server's role on this connection. Retried once if
    /// the connection is closed meanwhile.
    ///
    /// # Errors
    /// [`RedisError::NotMaster`] for a replica that is not accepted, else the failure to connect.
    pub(crate) async fn open(&self) -> Result<Connection, RedisError> {
        match self.open_once().await {
            Err(RedisError::Unreachable) => self.open_once().await,
            opened => opened,
        }
    }

    async fn open_once(&self) -> Result<Connection, RedisError> {
        let state = Arc::new(State {
            endpoint: self.endpoint.clone(),
            accepts_replicas: self.accepts_replicas,
            silent: AtomicU32::new(0),
            closed: AtomicBool::new(false),
            ended: Notify::new(),
            metrics: Arc::clone(&self.metrics),
        });
        let on_close = Arc::clone(&state);
        let on_close = move || on_close.close(Loss::Closed);
        let mut connection = self.dialer.connect_with(&self.endpoint, on_close).await?;
        if !self.accepts_replicas && !is_master(&mut connection).await? {
            return Err(RedisError::NotMaster);
        }
        Ok(Connection { connection, state })
    }
}

impl Connection {
    /// Runs one command. Returns a connection error at once when the connection is closed
    /// meanwhile.
    pub(crate) async fn query<T: FromRedisValue>(&mut self, command: &Cmd) -> RedisResult<T> {
        // Registered before `closed` is read, so that no close is missed.
        let mut ended = pin!(self.state.ended.notified());
        if self.state.closed.load(Ordering::Acquire) {
            return Err(closed_error());
        }
        let mut pending = PendingOperation { state: &self.state, since: Instant::now(), is_over: false };
        let answer = tokio::select! {
            biased;
            answer = command.query_async(&mut self.connection) => answer,
            () = &mut ended => Err(closed_error()),
        };
        pending.is_over = true;
        match answer.as_ref().err().map(RedisError::from) {
            Some(RedisError::TimedOut) => self.state.record_silence(),
            Some(RedisError::Unreachable) => self.state.close(Loss::Closed),
            Some(error) if error.is_from_replica() && !self.state.accepts_replicas => self.state.close(Loss::Replica),
            Some(_) | None => self.state.record_answer(),
        }
        answer
    }

    /// Probes the server's role, a second time if there is no answer within [`PROBE_TIMEOUT`].
    /// Closes the connection if the second probe is not answered either, or the role is not
    /// accepted.
    pub(crate) async fn probe(&self) {
        let mut connection = self.connection.clone();
        for _ in 0..MAX_SILENT {
            if self.is_closed() {
                return;
            }
            match timeout(PROBE_TIMEOUT, is_master(&mut connection)).await {
                Ok(Ok(is_master)) if is_master || self.state.accepts_replicas => return self.state.record_answer(),
                Ok(Ok(_)) => return self.state.close(Loss::Replica),
                Ok(Err(RedisError::Unreachable)) => return self.state.close(Loss::Closed),
                Err(_) | Ok(Err(RedisError::TimedOut)) => self.state.record_silence(),
                // The connection works; errors of the server are judged by its own probe.
                Ok(Err(_)) => return self.state.record_answer(),
            }
        }
    }

    /// Closes a connection that an operation left with an answer outstanding.
    pub(crate) fn abandon(&self) {
        self.state.close(Loss::Abandoned);
    }

    /// Returns `true` if the connection is closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.state.closed.load(Ordering::Acquire)
    }

    /// Returns `true` if the last probe or operation was not answered in time.
    pub(crate) fn is_silent(&self) -> bool {
        self.state.silent.load(Ordering::Relaxed) > 0
    }

    /// Returns `true` if both are clones of one connection.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.state, &other.state)
    }
}

impl State {
    fn record_answer(&self) {
        self.silent.store(0, Ordering::Relaxed);
    }

    fn record_silence(&self) {
        if self.silent.fetch_add(1, Ordering::Relaxed).saturating_add(1) >= MAX_SILENT {
            self.close(Loss::Silent);
        }
    }

    fn close(&self, loss: Loss) {
        if self.closed.swap(true, Ordering::AcqRel) {
            return;
        }
        self.ended.notify_waiters();
        self.metrics.lost_connection(loss.name());
        if loss == Loss::Silent {
            tracing::warn!(address = %self.endpoint, "redis connection does not answer; replacing it");
        } else {
            tracing::debug!(address = %self.endpoint, reason = loss.name(), "redis connection closed");
        }
    }
}

impl Loss {
    /// Returns the label in logs and metrics.
    fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Silent => "silent",
            Self::Replica => "replica",
            Self::Abandoned => "given_up",
        }
    }
}

/// The error of an operation whose connection was closed.
fn closed_error() -> redis::RedisError {
    std::io::Error::from(std::io::ErrorKind::BrokenPipe).into()
}

/// An operation that waits for its answer. Dropping it early (deadline, disconnected caller) counts
/// as silence if it waited long enough.
struct PendingOperation<'a> {
    state: &'a State,
    since: Instant,
    is_over: bool,
}

impl Drop for PendingOperation<'_> {
    fn drop(&mut self) {
        if !self.is_over && self.since.elapsed() >= PROBE_TIMEOUT {
            self.state.record_silence();
        }
    }
}

/// Probes and operations in a row that may stay without an answer.
const MAX_SILENT: u32 = 2;
const PROBE_TIMEOUT: Duration = Duration::from_millis(400);
