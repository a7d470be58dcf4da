//! The probe of one server, on a connection of its own: its role, whether it takes writes, and its
//! replicas in sync.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use tokio::time::timeout;

use crate::config::Endpoint;
use crate::redis::dialer::{Dialer, is_master, wait_for_replicas, write_refusal};
use crate::redis::redis_error::RedisError;

/// The result of one probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProbeResult {
    /// A master with this many replicas in sync.
    Master { replicas: u64 },
    /// A master; `WAIT` is not granted, so its replicas are unknown.
    WaitDenied,
    /// A replica.
    Replica,
}

/// Probes one server at a time.
pub(crate) struct Probe {
    dialer: Dialer,
    accepts_replicas: bool,
    connection: Option<MultiplexedConnection>,
    /// Whether the last `WAIT` was denied.
    wait_denied: bool,
    /// Why the last probe's server refuses every write.
    refusal: Option<RedisError>,
    /// Probes since `WAIT` was denied, modulo [`DENIED_INTERVAL`].
    probes_since_denied: u32,
}

/// The `WAIT` of a probe.
#[derive(Clone, Copy)]
struct Wait {
    replicas: u64,
    timeout: Duration,
}

impl Probe {
    /// Creates a probe without a connection. With `accepts_replicas` a replica is a result, without
    /// it an error.
    pub(crate) fn new(dialer: Dialer, accepts_replicas: bool) -> Self {
        Self { dialer, accepts_replicas, connection: None, wait_denied: false, refusal: None, probes_since_denied: 0 }
    }

    /// Returns `true` if the last `WAIT` was denied by the ACL.
    pub(crate) fn is_wait_denied(&self) -> bool {
        self.wait_denied
    }

    /// Returns why the server of the last probe refuses every write, if it does.
    pub(crate) fn refusal(&self) -> Option<RedisError> {
        self.refusal
    }

    /// Returns `true` if the probe has a connection.
    pub(crate) fn has_connection(&self) -> bool {
        self.connection.is_some()
    }

    /// Connects to another server and checks its role.
    ///
    /// # Errors
    /// [`RedisError::NotMaster`] for a replica that is not accepted, else the failure to connect.
    pub(crate) async fn connect(&mut self, endpoint: &Endpoint) -> Result<(), RedisError> {
        (self.connection, self.wait_denied) = (None, false);
        let mut connection = self.dialer.connect(endpoint).await?;
        let is_master = timeout(TIMEOUT, is_master(&mut connection)).await.map_err(|_| RedisError::TimedOut)??;
        if !is_master && !self.accepts_replicas {
            return Err(RedisError::NotMaster);
        }
        self.connection = Some(connection);
        Ok(())
    }

    /// Probes the connected server. The probe ends when `replicas` replicas have acknowledged, or
    /// after `wait_timeout`.
    ///
    /// # Errors
    /// [`RedisError::NotMaster`] for a replica that is not accepted, else the failure of the probe.
    pub(crate) async fn run(&mut self, replicas: u64, wait_timeout: Duration) -> Result<ProbeResult, RedisError> {
        let wait = self.next_wait(replicas, wait_timeout);
        let connection = self.connection.as_mut().ok_or(RedisError::Unreachable)?;
        let probing = probe(connection, self.dialer.unused_name(), wait, self.accepts_replicas);
        let result = timeout(TIMEOUT, probing).await;
        self.record(result.map_err(|_| RedisError::TimedOut)?)
    }

    /// Probes the server again. A closed or silent connection proves nothing about the server, so
    /// new connections are tried; all tries together take at most [`TIMEOUT`].
    ///
    /// # Errors
    /// As for [`Self::run`].
    pub(crate) async fn rerun(&mut self, endpoint: &Endpoint) -> Result<ProbeResult, RedisError> {
        // Without waiting: a replica that has just returned and leaves again would delay every
        // write.
        let wait = self.next_wait(0, Duration::ZERO);
        let tries = async {
            let mut last = RedisError::TimedOut;
            for _ in 0..TRIES {
                let result = timeout(TRY_TIMEOUT, self.connect_and_probe(endpoint, wait)).await;
                match result.unwrap_or(Err(RedisError::TimedOut)) {
                    Err(error @ (RedisError::Unreachable | RedisError::TimedOut)) => {
                        (last, self.connection) = (error, None);
                    }
                    result => return result,
                }
            }
            Err(last)
        };
        let result = timeout(TIMEOUT, tries).await.unwrap_or(Err(RedisError::TimedOut));
        self.record(result)
    }

    async fn connect_and_probe(&mut self, endpoint: &Endpoint, wait: Option<Wait>) -> Result<Probed, RedisError> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(self.dialer.connect(endpoint).await?),
        };
        probe(connection, self.dialer.unused_name(), wait, self.accepts_replicas).await
    }

    /// `WAIT` may be granted later, but the server logs each denial, so a denied one is repeated
    /// only every [`DENIED_INTERVAL`] probes.
    fn next_wait(&mut self, replicas: u64, timeout: Duration) -> Option<Wait> {
        let next = self.probes_since_denied.saturating_add(1) % DENIED_INTERVAL;
        self.probes_since_denied = if self.wait_denied { next } else { 0 };
        (self.probes_since_denied == 0).then_some(Wait { replicas, timeout })
    }

    fn record(&mut self, probed: Result<Probed, RedisError>) -> Result<ProbeResult, RedisError> {
        let Probed { result, refusal } = probed?;
        (self.wait_denied, self.refusal) = (result == ProbeResult::WaitDenied, refusal);
        Ok(result)
    }
}

/// What one probe found.
struct Probed {
    result: ProbeResult,
    refusal: Option<RedisError>,
}

async fn probe(
    connection: &mut MultiplexedConnection,
    unused_name: &str,
    wait: Option<Wait>,
    accepts_replicas: bool,
) -> Result<Probed, RedisError> {
    if !is_master(connection).await? {
        let replica = Probed { result: ProbeResult::Replica, refusal: None };
        return if accepts_replicas { Ok(replica) } else { Err(RedisError::NotMaster) };
    }
    let refusal = write_refusal(connection, unused_name).await?;
    let result = match wait {
        None => ProbeResult::WaitDenied,
        Some(Wait { replicas, timeout }) => match wait_for_replicas(connection, replicas, timeout).await {
            Ok(count) => ProbeResult::Master { replicas: count },
            Err(RedisError::NotPermitted) => ProbeResult::WaitDenied,
            // What refuses the write refuses this, too.
            Err(_) if refusal.is_some() => ProbeResult::Master { replicas: 0 },
            Err(error) => return Err(error),
        },
    };
    Ok(Probed { result, refusal })
}

const TIMEOUT: Duration = Duration::from_secs(1);
const TRY_TIMEOUT: Duration = Duration::from_millis(500);
/// One on the existing connection and two on new ones: a new one can be closed at once, too.
const TRIES: usize = 3;
const DENIED_INTERVAL: u32 = 30;
