//! One result: a way, a verb and a number of connections, each with one request under way at all
//! times.

use std::time::{Duration, Instant};

use portcullis_testbed::redis::cli;
use tokio::task::JoinSet;

use crate::bridge::caller::{Caller, Ended, Verb, Way};
use crate::cpu;

/// One way to ask for one thing.
pub(super) struct BridgeResult {
    /// Its name in `bridge.json`.
    pub key: String,
    way: Way,
    verb: Verb,
    connections: usize,
    /// What was measured, one sample a round.
    pub samples: Vec<Sample>,
}

/// The processes under measurement.
pub(super) struct Servers {
    /// Redis, and its port.
    pub redis: (u32, u16),
    /// The bridge.
    pub bridge: u32,
    /// The byte relay.
    pub byte_relay: u32,
}

/// One measurement.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    /// The median time from a request to its answer, in microseconds.
    pub p50_us: f64,
    /// What 99 of 100 requests stayed below, in microseconds.
    pub p99_us: f64,
    /// Requests a second.
    pub per_second: f64,
    /// Processor time a request of the server that is asked, in microseconds.
    pub cpu_us: f64,
}

impl BridgeResult {
    /// Nothing is measured yet.
    pub(super) fn new(key: String, way: &Way, verb: Verb, connections: usize) -> Self {
        Self { key, way: way.clone(), verb, connections, samples: Vec::new() }
    }

    /// Asks for a while, over an empty store.
    ///
    /// # Errors
    /// A request that was not done.
    pub(super) fn measure(&self, servers: &Servers, time: Duration) -> Result<Sample, String> {
        cli(servers.redis.1, &["FLUSHALL", "SYNC"]);
        let asked = match self.way {
            Way::Direct { .. } => servers.redis.0,
            Way::Bridge(_) => servers.bridge,
            Way::Copied { .. } => servers.byte_relay,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        runtime
            .block_on(async {
                let mut callers = Vec::new();
                for number in 0..self.connections {
                    let mut caller = Caller::connect(&self.way, self.verb, number).await?;
                    caller.seed().await?;
                    callers.push(caller);
                }
                let before = cpu::used(asked)?;
                let start = Instant::now();
                let mut asking: JoinSet<_> =
                    callers.into_iter().map(|caller| ask_until(caller, start + time)).collect();
                let mut times = Vec::new();
                while let Some(asked) = asking.join_next().await {
                    times.extend(asked.map_err(|error| error.to_string())??);
                }
                let wall = start.elapsed();
                let cpu = cpu::used(asked)?.saturating_sub(before);
                times.sort_unstable();
                let count = times.len() as f64;
                Ok(Sample {
                    p50_us: quantile(&times, 0.5),
                    p99_us: quantile(&times, 0.99),
                    per_second: count / wall.as_secs_f64(),
                    cpu_us: cpu.as_secs_f64() * 1e6 / count,
                })
            })
            .map_err(|error: String| format!("{}: {error}", self.key))
    }
}

async fn ask_until(mut caller: Caller, end: Instant) -> Result<Vec<Duration>, String> {
    let mut times = Vec::new();
    loop {
        let sent = Instant::now();
        if sent >= end {
            return Ok(times);
        }
        if caller.ask().await? == Ended::Refused {
            return Err("a request was refused".to_owned());
        }
        times.push(sent.elapsed());
    }
}

/// In microseconds, of sorted times.
pub(super) fn quantile(times: &[Duration], share: f64) -> f64 {
    let at = (times.len() as f64 * share) as usize;
    times.get(at.min(times.len().saturating_sub(1))).map_or(f64::NAN, |time| time.as_secs_f64() * 1e6)
}
