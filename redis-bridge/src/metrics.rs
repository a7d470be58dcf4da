//! The metrics, in the Prometheus text format 0.0.4.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::redis::redis_error::RedisError;
use crate::version::{COMMIT, VERSION};

/// All counters of one bridge.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    requests: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
    times: Mutex<BTreeMap<&'static str, Times>>,
    redis_errors: Mutex<BTreeMap<RedisError, u64>>,
    refused_connections: Mutex<BTreeMap<&'static str, u64>>,
    lost_connections: Mutex<BTreeMap<&'static str, u64>>,
    fetches: Mutex<BTreeMap<&'static str, u64>>,
    /// Stored values that are not records.
    pub(crate) corrupt: Count,
    /// Changes of the master.
    pub(crate) master_changes: Count,
    /// Observed changes of secrets.
    pub(crate) secret_changes: Count,
    /// Failed reads of secrets.
    pub(crate) secret_failures: Count,
    /// Open connections of callers.
    pub(crate) connections: Count,
    /// Operations under way.
    pub(crate) in_flight: Count,
    /// Requests for secrets under way, most of which wait for a change.
    pub(crate) secret_waits: Count,
    /// Operations that wait for a slot.
    pub(crate) queued: Count,
}

/// A counter or gauge.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    /// Adds one until the guard is dropped.
    pub(crate) fn hold(&self) -> Held<'_> {
        self.add();
        Held(self)
    }

    /// Adds one.
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// The current value.
    pub(crate) fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Subtracts one on drop.
pub(crate) struct Held<'a>(&'a Count);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The durations of one verb.
#[derive(Debug, Default)]
struct Times {
    buckets: [u64; BUCKETS.len()],
    sum: Duration,
    count: u64,
}

/// Gauges that are read when the metrics are rendered.
pub(crate) struct Gauges {
    /// Whether any master answers.
    pub(crate) up: bool,
    /// Whether durable writes wait for the replicas.
    pub(crate) replicated: bool,
}

impl Metrics {
    /// Counts one answered request and its duration.
    pub(crate) fn request(&self, verb: &'static str, outcome: &'static str, took: Duration) {
        add(&mut locked(&self.requests), (verb, outcome));
        let mut times = locked(&self.times);
        let times = times.entry(verb).or_default();
        for (bucket, (bound, _)) in times.buckets.iter_mut().zip(BUCKETS) {
            if took <= bound {
                *bucket = bucket.saturating_add(1);
            }
        }
        times.sum = times.sum.saturating_add(took);
        times.count = times.count.saturating_add(1);
    }

    /// Counts a failure. Returns the earlier failures of its kind.
    pub(crate) fn redis_error(&self, error: RedisError) -> u64 {
        add(&mut locked(&self.redis_errors), error)
    }

    /// Counts a refused connection of a caller. Returns the earlier ones with this reason.
    pub(crate) fn refused_connection(&self, reason: &'static str) -> u64 {
        add(&mut locked(&self.refused_connections), reason)
    }

    /// Counts a closed connection to Redis.
    pub(crate) fn lost_connection(&self, reason: &'static str) {
        add(&mut locked(&self.lost_connections), reason);
    }

    /// Counts a requested document.
    pub(crate) fn fetch(&self, outcome: &'static str) {
        add(&mut locked(&self.fetches), outcome);
    }

    /// Renders the metrics.
    pub(crate) fn text(&self, gauges: &Gauges) -> String {
        let mut page = Page(String::new());
        page.family("build_info", "gauge", "Version and commit of this build.");
        page.line("build_info", &format!("version=\"{VERSION}\",commit=\"{COMMIT}\""), 1);
        page.family("requests_total", "counter", "Requests answered, by verb and outcome.");
        for ((verb, outcome), count) in locked(&self.requests).iter() {
            page.line("requests_total", &format!("verb=\"{verb}\",outcome=\"{outcome}\""), *count);
        }
        page.family("request_seconds", "histogram", "Time from a request's last byte to its answer, by verb.");
        for (verb, times) in locked(&self.times).iter() {
            for (count, (_, bound)) in times.buckets.iter().zip(BUCKETS) {
                page.line("request_seconds_bucket", &format!("verb=\"{verb}\",le=\"{bound}\""), *count);
            }
            page.line("request_seconds_bucket", &format!("verb=\"{verb}\",le=\"+Inf\""), times.count);
            page.line("request_seconds_sum", &format!("verb=\"{verb}\""), times.sum.as_secs_f64());
            page.line("request_seconds_count", &format!("verb=\"{verb}\""), times.count);
        }
        page.family("redis_faults_total", "counter", "Commands that failed or were not answered, by kind.");
        for (error, count) in locked(&self.redis_errors).iter() {
            page.line("redis_faults_total", &format!("kind=\"{}\"", error.name()), *count);
        }
        page.family("refused_connections_total", "counter", "Refused connections, by reason.");
        for (reason, count) in locked(&self.refused_connections).iter() {
            page.line("refused_connections_total", &format!("reason=\"{reason}\""), *count);
        }
        page.family("redis_lost_connections_total", "counter", "Closed connections to Redis, by reason.");
        for (reason, count) in locked(&self.lost_connections).iter() {
            page.line("redis_lost_connections_total", &format!("reason=\"{reason}\""), *count);
        }
        page.family("fetches_total", "counter", "Requested documents, by outcome.");
        for (outcome, count) in locked(&self.fetches).iter() {
            page.line("fetches_total", &format!("outcome=\"{outcome}\""), *count);
        }
        page.one("corrupt_records_total", "counter", "Stored values that are not records.", self.corrupt.now());
        let changes = self.master_changes.now();
        page.one("redis_master_changes_total", "counter", "Changes of the master.", changes);
        let help = "Requests for secrets under way, most of which wait for a change.";
        page.one("secret_waits", "gauge", help, self.secret_waits.now());
        let help = "Observed changes of secrets.";
        page.one("secret_changes_total", "counter", help, self.secret_changes.now());
        let help = "Failed reads of secrets.";
        page.one("secret_failures_total", "counter", help, self.secret_failures.now());
        page.one("connections", "gauge", "Open connections of callers.", self.connections.now());
        page.one("in_flight", "gauge", "Operations under way.", self.in_flight.now());
        page.one("queued", "gauge", "Operations that wait for a slot.", self.queued.now());
        page.one("redis_up", "gauge", "Whether any master answers.", u64::from(gauges.up));
        let help = "Whether durable writes wait for the replicas.";
        page.one("durability_replicated", "gauge", help, u64::from(gauges.replicated));
        page.0
    }
}

struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "# HELP {NAMESPACE}{name} {help}\n# TYPE {NAMESPACE}{name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        let _ = writeln!(self.0, "{NAMESPACE}{name}{{{labels}}} {value}");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.family(name, kind, help);
        let _ = writeln!(self.0, "{NAMESPACE}{name} {value}");
    }
}

fn add<K: Ord>(counts: &mut BTreeMap<K, u64>, key: K) -> u64 {
    let count = counts.entry(key).or_default();
    let before = *count;
    *count = count.saturating_add(1);
    before
}

/// A panic cannot leave a count half changed.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const NAMESPACE: &str = "portcullis_bridge_";

const BUCKETS: [(Duration, &str); 10] = [
    (Duration::from_micros(250), "0.00025"),
    (Duration::from_micros(500), "0.0005"),
    (Duration::from_millis(1), "0.001"),
    (Duration::from_micros(2_500), "0.0025"),
    (Duration::from_millis(5), "0.005"),
    (Duration::from_millis(10), "0.01"),
    (Duration::from_millis(50), "0.05"),
    (Duration::from_millis(250), "0.25"),
    (Duration::from_secs(1), "1"),
    (Duration::from_secs(5), "5"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_shows_what_was_counted() {
        let metrics = Metrics::default();
        metrics.request("get", "ok", Duration::from_micros(600));
        metrics.request("get", "overloaded", Duration::from_secs(9));
        assert_eq!((metrics.redis_error(RedisError::ReadOnly), metrics.redis_error(RedisError::ReadOnly)), (0, 1));
        metrics.refused_connection("foreign user");
        metrics.lost_connection("silent");
        let held = metrics.in_flight.hold();
        let page = metrics.text(&Gauges { up: true, replicated: false });
        let build_info = format!("portcullis_bridge_build_info{{version=\"{VERSION}\",commit=\"{COMMIT}\"}} 1");
        for line in [
            build_info.as_str(),
            "portcullis_bridge_requests_total{verb=\"get\",outcome=\"ok\"} 1",
            "portcullis_bridge_request_seconds_bucket{verb=\"get\",le=\"0.0005\"} 0",
            "portcullis_bridge_request_seconds_bucket{verb=\"get\",le=\"0.001\"} 1",
            "portcullis_bridge_request_seconds_bucket{verb=\"get\",le=\"5\"} 1",
            "portcullis_bridge_request_seconds_bucket{verb=\"get\",le=\"+Inf\"} 2",
            "portcullis_bridge_redis_faults_total{kind=\"readonly\"} 2",
            "portcullis_bridge_refused_connections_total{reason=\"foreign user\"} 1",
            "portcullis_bridge_redis_lost_connections_total{reason=\"silent\"} 1",
            "portcullis_bridge_in_flight 1",
            "portcullis_bridge_redis_up 1",
            "portcullis_bridge_durability_replicated 0",
        ] {
            assert!(page.lines().any(|known| known == line), "{line} is not in\n{page}");
        }
        drop(held);
        assert_eq!(metrics.in_flight.now(), 0);
    }
}
