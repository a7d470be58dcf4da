//! The configuration of the service.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::fetch::Fetch;
use super::listen::{Caller, Listen, Right};
use super::problem::Problem;
use super::raw::{Raw, parse};
use super::reader::Reader;
use super::redis::{DurabilityMode, Redis};

/// A checked configuration of the service.
#[derive(Debug)]
pub struct Config {
    /// The listener for callers.
    pub listen: Listen,
    /// The rights of each caller; `None` grants every accepted caller everything.
    pub callers: Option<BTreeMap<Caller, Right>>,
    /// The prefix of every key; ends with a colon.
    pub key_prefix: String,
    /// The connection to Redis.
    pub redis: Redis,
    /// The condition that a durable write waits for.
    pub durability: DurabilityMode,
    /// The listener for metrics.
    pub metrics: Option<SocketAddr>,
    /// The folder of the secrets.
    pub secrets_dir: Option<PathBuf>,
    /// The rules for fetching documents.
    pub fetch: Option<Fetch>,
    /// The limits.
    pub limits: Limits,
}

/// The limits of the service.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections of callers.
    pub connections: usize,
    /// Operations under way.
    pub in_flight: usize,
    /// Operations that wait for a slot.
    pub queue: usize,
    /// The timeout of an operation.
    pub deadline: Duration,
    /// The time for operations under way at shutdown.
    pub drain: Duration,
    /// The time without a request after which a connection is closed; also the timeout of a
    /// request's head.
    pub idle: Duration,
}

impl Config {
    /// Reads a configuration from the text of the file and the environment (overrides and secrets),
    /// and the files that it names (certificates).
    ///
    /// # Errors
    /// Every [`Problem`].
    pub fn read(text: &str, environment: &BTreeMap<String, String>) -> Result<Self, Vec<Problem>> {
        let (raw, mut reader) = parse(text, Some(environment))?;
        let config = reader.config(raw);
        match config {
            Some(config) if reader.problems.is_empty() => Ok(config),
            Some(_) | None => Err(reader.problems),
        }
    }
}

impl Reader<'_> {
    pub(super) fn config(&mut self, raw: Raw) -> Option<Config> {
        let callers = raw.callers.map(|callers| self.callers(&callers, &raw.listen));
        let listen = self.listen(raw.listen, callers.as_ref());
        let key_prefix = self.prefix(raw.key_prefix);
        let redis = self.redis(raw.redis);
        let metrics = raw.metrics.and_then(|metrics| {
            let parsed = metrics.listen.parse().ok();
            self.known(parsed, "metrics.listen", "not an IP address and a port, like 127.0.0.1:9464")
        });
        let secrets_dir = raw.secrets_dir.and_then(|folder| self.secrets_dir(folder));
        let fetch = raw.fetch.and_then(|fetch| self.fetch(fetch));
        let limits = raw.limits;
        for (path, value, max) in [
            ("limits.connections", limits.connections, 65_536),
            ("limits.inFlight", limits.in_flight, 65_536),
            ("limits.queue", limits.queue, 65_536),
        ] {
            if value == 0 || value > max {
                self.problem(path, format!("must be from 1 to {max}"));
            }
        }
        Some(Config {
            listen: listen?,
            callers,
            key_prefix: key_prefix?,
            redis: redis?,
            durability: raw.durability,
            metrics,
            secrets_dir,
            fetch,
            limits: Limits {
                connections: limits.connections,
                in_flight: limits.in_flight,
                queue: limits.queue,
                deadline: limits.deadline,
                drain: limits.drain,
                idle: limits.idle,
            },
        })
    }
}
