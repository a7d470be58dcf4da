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

/// A configuration that can be served.
#[derive(Debug)]
pub struct Config {
    /// Where callers come in.
    pub listen: Listen,
    /// What each caller may do; if absent, every caller that is let in may do everything.
    pub callers: Option<BTreeMap<Caller, Right>>,
    /// What every stored name begins with; ends with a colon.
    pub key_prefix: String,
    /// Where the records are.
    pub redis: Redis,
    /// The condition that a durable write waits for.
    pub durability: DurabilityMode,
    /// Where the metrics are served, if anywhere.
    pub metrics: Option<SocketAddr>,
    /// The folder whose files are served as secrets, if any are.
    pub secrets_dir: Option<PathBuf>,
    /// How documents are fetched, if any are.
    pub fetch: Option<Fetch>,
    /// How much is taken on.
    pub limits: Limits,
}

/// How much is taken on.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The most connections at once.
    pub connections: usize,
    /// The most operations at once.
    pub in_flight: usize,
    /// The most operations that wait for their turn.
    pub queue: usize,
    /// The longest an operation may take.
    pub deadline: Duration,
    /// The longest the operations under way are waited for at the end.
    pub drain: Duration,
    /// The longest a connection may be without a request: also the longest that a request's head
    /// may take.
    pub idle: Duration,
}

impl Config {
    /// Reads a configuration: the text of the file, and the environment with overrides and secrets.
    /// Files named in it (certificates) are read too.
    ///
    /// # Errors
    /// Every [`Problem`] found.
    pub fn read(text: &str, environment: &BTreeMap<String, String>) -> Result<Self, Vec<Problem>> {
        let (raw, mut reader) = parse(text, environment)?;
        let config = reader.config(raw);
        match config {
            Some(config) if reader.problems.is_empty() => Ok(config),
            Some(_) | None => Err(reader.problems),
        }
    }
}

impl Reader<'_> {
    fn config(&mut self, raw: Raw) -> Option<Config> {
        let callers = raw.callers.map(|callers| self.callers(&callers, &raw.listen));
        let listen = self.listen(raw.listen, callers.as_ref());
        let key_prefix = self.prefix(raw.key_prefix);
        let redis = self.redis(raw.redis);
        let metrics = raw.metrics.and_then(|metrics| {
            let parsed = metrics.listen.parse().ok();
            self.known(parsed, "metrics.listen", "not an address and a port, like 127.0.0.1:9464")
        });
        let secrets_dir = raw.secrets_dir.and_then(|folder| self.secrets_dir(folder));
        let fetch = raw.fetch.and_then(|fetch| self.fetch(fetch));
        let limits = raw.limits;
        for (path, value, most) in [
            ("limits.connections", limits.connections, 65_536),
            ("limits.inFlight", limits.in_flight, 65_536),
            ("limits.queue", limits.queue, 65_536),
        ] {
            if value == 0 || value > most {
                self.problem(path, format!("must be from 1 to {most}"));
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
