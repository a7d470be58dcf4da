//! A connection that carries work, judged by its own answers.
//!
//! A firewall can forget an idle connection without closing it, and a load balancer can lead two
//! connections to two servers, so the answers on one connection say nothing about another. Each one
//! is asked every second whether its server is the master. One that stays silent twice in a row, or
//! whose server is not the master, is closed: the operations on it end, and are tried once more on
//! a new connection ([`crate::redis::master::Undone::Closed`]).

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue, RedisError, RedisResult};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use crate::config::Endpoint;
use crate::metrics::Metrics;
use crate::redis::dialer::{Dialer, is_master};
use crate::redis::redis_error::Fault;

/// A server, and how to open connections to it.
#[derive(Clone)]
pub(crate) struct Server {
    /// Where it is.
    pub(crate) endpoint: Endpoint,
    /// Opens the connections.
    pub(crate) dialer: Dialer,
    /// Whether a replica will do.
    pub(crate) takes_replicas: bool,
    /// Where lost connections are counted.
    pub(crate) metrics: Arc<Metrics>,
}

/// An open connection. Clones share it.
#[derive(Clone)]
pub(crate) struct Connection {
    link: MultiplexedConnection,
    state: Arc<State>,
}

/// Why a connection is used no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loss {
    /// The server, or something on the way, closed it.
    Closed,
    /// It did not answer.
    Silent,
    /// It leads to a replica.
    Replica,
    /// An operation was given up in the middle.
    GivenUp,
}

struct State {
    endpoint: Endpoint,
    takes_replicas: bool,
    /// Questions and operations in a row without an answer in time.
    silent: AtomicU32,
    closed: AtomicBool,
    /// Told when it is closed, to those that wait for answers.
    ended: Notify,
    metrics: Arc<Metrics>,
}

impl Server {
    /// Connects, signs in, and makes sure that this connection leads to a master; once more where
    /// it is closed meanwhile.
    ///
    /// # Errors
    /// [`Fault::NotMaster`] for a replica, or why there is no connection.
    pub(crate) async fn open(&self) -> Result<Connection, Fault> {
        match self.open_once().await {
            Err(Fault::Unreachable) => self.open_once().await,
            opened => opened,
        }
    }

    async fn open_once(&self) -> Result<Connection, Fault> {
        let state = Arc::new(State {
            endpoint: self.endpoint.clone(),
            takes_replicas: self.takes_replicas,
            silent: AtomicU32::new(0),
            closed: AtomicBool::new(false),
            ended: Notify::new(),
            metrics: Arc::clone(&self.metrics),
        });
        let noticed = Arc::clone(&state);
        let mut link = self.dialer.connect_noticing(&self.endpoint, move || noticed.close(Loss::Closed)).await?;
        if !self.takes_replicas && !is_master(&mut link).await? {
            return Err(Fault::NotMaster);
        }
        Ok(Connection { link, state })
    }
}

impl Connection {
    /// Runs one command. Ends at once with a connection error when the connection is closed
    /// meanwhile.
    pub(crate) async fn query<T: FromRedisValue>(&mut self, command: &Cmd) -> RedisResult<T> {
        // From here on, so that a close before the first look is not missed.
        let mut ended = pin!(self.state.ended.notified());
        if self.state.closed.load(Ordering::Acquire) {
            return Err(closed());
        }
        let mut waiting = Waiting { state: &self.state, since: Instant::now(), is_over: false };
        let answer = tokio::select! {
            biased;
            answer = command.query_async(&mut self.link) => answer,
            () = &mut ended => Err(closed()),
        };
        waiting.is_over = true;
        match answer.as_ref().err().map(Fault::of) {
            Some(Fault::TimedOut) => self.state.stayed_silent(),
            Some(Fault::Unreachable) => self.state.close(Loss::Closed),
            Some(fault) if fault.tells_of_a_replica() && !self.state.takes_replicas => self.state.close(Loss::Replica),
            Some(_) | None => self.state.answered(),
        }
        answer
    }

    /// Asks what its server is, a second time if there is no answer within 400 ms, and closes the
    /// connection where that does not come either, or is not "master".
    pub(crate) async fn ask(&self) {
        let mut link = self.link.clone();
        for _ in 0..SILENT {
            if self.is_closed() {
                return;
            }
            match timeout(SILENCE, is_master(&mut link)).await {
                Ok(Ok(is_master)) if is_master || self.state.takes_replicas => return self.state.answered(),
                Ok(Ok(_)) => return self.state.close(Loss::Replica),
                Ok(Err(Fault::Unreachable)) => return self.state.close(Loss::Closed),
                Err(_) | Ok(Err(Fault::TimedOut)) => self.state.stayed_silent(),
                // It answers, and will not say what it is: the questions about the server judge
                // that.
                Ok(Err(_)) => return self.state.answered(),
            }
        }
    }

    /// Closes it, for a connection that was left in the middle of something.
    pub(crate) fn give_up(&self) {
        self.state.close(Loss::GivenUp);
    }

    /// Whether it can be used no more.
    pub(crate) fn is_closed(&self) -> bool {
        self.state.closed.load(Ordering::Acquire)
    }

    /// Whether its last question or operation was not answered in time.
    pub(crate) fn is_silent(&self) -> bool {
        self.state.silent.load(Ordering::Relaxed) > 0
    }

    /// Whether both are the same connection.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.state, &other.state)
    }
}

impl State {
    fn answered(&self) {
        self.silent.store(0, Ordering::Relaxed);
    }

    fn stayed_silent(&self) {
        if self.silent.fetch_add(1, Ordering::Relaxed).saturating_add(1) >= SILENT {
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
            tracing::warn!(address = %self.endpoint, "a redis connection does not answer and is replaced");
        } else {
            tracing::debug!(address = %self.endpoint, reason = loss.name(), "a redis connection is closed");
        }
    }
}

impl Loss {
    /// Its word in logs and metrics.
    fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Silent => "silent",
            Self::Replica => "replica",
            Self::GivenUp => "given_up",
        }
    }
}

/// What the library says of a connection that was closed under an operation.
fn closed() -> RedisError {
    std::io::Error::from(std::io::ErrorKind::BrokenPipe).into()
}

/// An operation that waits for its answer. Dropped without one, it was given up: by its deadline,
/// or by its caller.
struct Waiting<'a> {
    state: &'a State,
    since: Instant,
    is_over: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.is_over && self.since.elapsed() >= SILENCE {
            self.state.stayed_silent();
        }
    }
}

/// How many questions and operations in a row may stay without an answer.
const SILENT: u32 = 2;
/// How long the answer to a question may take.
const SILENCE: Duration = Duration::from_millis(400);
