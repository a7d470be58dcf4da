//! The bridge compared with Redis itself: the same reads and swaps by both ways, in turn, in one
//! run.
//!
//! Nothing is pinned to a processor: where the callers, the bridge and Redis run is a part of what
//! a call takes.
//!
//! Reading order: here, then [`result`] (one measurement), [`caller`] (one connection),
//! [`byte_relay`] (the least that a hop can cost), [`overload`], [`memory`].

pub(crate) mod byte_relay;
mod caller;
mod memory;
mod overload;
mod result;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use portcullis_testbed::bridge::Bridge;
use portcullis_testbed::paths;
use portcullis_testbed::redis::{LEAST_ACL, RedisServer, cli, standalone};
use serde_json::{Map, Value, json};

use crate::bridge::caller::{Verb, Way};
use crate::bridge::overload::Overload;
use crate::bridge::result::{BridgeResult, Servers};
use crate::scenarios::{Spread, report, round};
use crate::text;

/// Measures for about `seconds` seconds in `rounds` rounds, prints the table and writes
/// `bridge.json` into the folder.
///
/// # Errors
/// What could not be started, or a request that was not answered as it should be.
pub(crate) fn run(rounds: usize, seconds: usize, folder: &Path) -> Result<(), String> {
    report("starting Redis and the bridge …");
    let redis = RedisServer::start(LEAST_ACL, &[]);
    let bridge = Bridge::start(&standalone(redis.port), "");
    let script = fs::read_to_string(paths::project().join(SCRIPT)).map_err(text)?;
    let digest = cli(redis.port, &["SCRIPT", "LOAD", &script]);
    let direct = Way::Direct { port: redis.port, script: digest.clone() };
    let through = Way::Bridge(bridge.socket.clone().into_boxed_path());
    let own = tempfile::tempdir().map_err(text)?;
    let socket = own.path().join("byte-relay.sock");
    let byte_relay = byte_relay::start(&socket, redis.port, own.path())?;
    let copied = Way::Copied { socket: socket.into_boxed_path(), script: digest };
    let servers =
        Servers { redis: (redis.process.id(), redis.port), bridge: bridge.process.id(), byte_relay: byte_relay.id() };
    let mut results = Vec::new();
    for connections in [1, MANY] {
        for (verb, name) in [(Verb::Get, "get"), (Verb::CompareAndSwap, "compare_and_swap")] {
            results.push(BridgeResult::new(format!("direct_{name}_{connections}"), &direct, verb, connections));
            results.push(BridgeResult::new(format!("bridge_{name}_{connections}"), &through, verb, connections));
            if connections == 1 {
                results.push(BridgeResult::new(format!("copied_{name}_{connections}"), &copied, verb, connections));
            }
        }
    }
    let time = Duration::from_secs_f64(seconds as f64 / (rounds * results.len()) as f64);
    for result in &mut results {
        result.measure(&servers, WARM_UP)?;
    }
    for round in 1..=rounds {
        report(&format!("round {round} of {rounds}:"));
        for result in &mut results {
            let sample = result.measure(&servers, time)?;
            report(&format!(
                "  {:<28} p50 {:>8.1} µs  p99 {:>8.1} µs  {:>8.0}/s  cpu {:>6.2} µs",
                result.key, sample.p50_us, sample.p99_us, sample.per_second, sample.cpu_us
            ));
            result.samples.push(sample);
        }
    }
    drop((bridge, byte_relay));
    report("ten times as much as it takes on, and a thousand connections …");
    let overload = overload::measure(OVERLOAD)?;
    let memory = memory::measure()?;
    let mut document = document(&results);
    add_limits(&mut document, &overload, memory);
    write_results(&document, rounds, folder)
}

fn write_results(document: &Map<String, Value>, rounds: usize, folder: &Path) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(text)?;
    let path = folder.join("bridge.json");
    let written = serde_json::to_string_pretty(document).map_err(text)?;
    fs::write(&path, written + "\n").map_err(text)?;
    let mut out = std::io::stdout();
    writeln!(
        out,
        "\nThe bridge compared with Redis itself, {} byte values, medians of {rounds} rounds; nothing is pinned.\n\
         `cpu` is the processor time an operation of the bridge, or of Redis where it is asked directly; `a core` is\n\
         how many such operations fill one processor. `copied` is by a program that only copies bytes: what any hop costs.\n\n{}\n\nAlso in {}",
        caller::VALUE,
        table(document),
        path.display()
    )
    .map_err(text)
}

/// The medians of every result, and of each pair of results what the bridge is to Redis.
fn document(results: &[BridgeResult]) -> Map<String, Value> {
    let mut entries = Map::new();
    for result in results {
        let [p50, p99, rate, cpu] = medians(result);
        let core = (1e6 / cpu).round();
        let entry = json!({
            "p50_us": round(p50), "p99_us": round(p99), "per_second": rate.round(), "cpu_us": round(cpu), "per_core": core,
        });
        entries.insert(result.key.clone(), entry);
    }
    for result in results {
        let (way, pair) = result.key.split_once('_').unwrap_or_default();
        let Some(direct) = results.iter().find(|other| other.key.strip_prefix("direct_") == Some(pair)) else {
            continue;
        };
        if way == "direct" {
            continue;
        }
        // Of each round on its own: what slowed the machine for a while slowed both.
        let ratio = |of: fn(&result::Sample) -> f64| {
            let ratios = result.samples.iter().zip(&direct.samples).map(|(own, other)| of(own) / of(other));
            round(Spread::of(ratios).median)
        };
        let entry = json!({
            "p50_ratio": ratio(|sample| sample.p50_us),
            "p99_ratio": ratio(|sample| sample.p99_us),
            "per_core_ratio": ratio(|sample| 1.0 / sample.cpu_us),
        });
        entries.insert(format!("ratio_{}", result.key), entry);
    }
    entries
}

/// What it does at its limits.
fn add_limits(document: &mut Map<String, Value>, overload: &Overload, (fresh, full): (f64, f64)) {
    let entry = json!({
        "capacity": overload.capacity.round(), "sent_per_second": overload.sent.round(),
        "refused_share": round(overload.refused), "refused_p99_us": round(overload.refused_p99_us),
        "normal_p99_us": round(overload.normal_p99_us), "accepted_p99_us": round(overload.accepted_p99_us),
        "accepted_p99_ratio": round(overload.accepted_p99_us / overload.normal_p99_us),
    });
    document.insert("overload".to_owned(), entry);
    let entry =
        json!({ "connections": memory::CONNECTIONS, "resident_mib": round(full), "fresh_resident_mib": round(fresh) });
    document.insert("memory".to_owned(), entry);
}

fn table(document: &Map<String, Value>) -> String {
    let mut lines = vec![format!(
        "{:<28} {:>9} {:>9} {:>9} {:>8} {:>9}",
        "result", "p50 µs", "p99 µs", "ops/s", "cpu µs", "a core"
    )];
    for (key, entry) in document {
        let number = |name: &str| entry[name].as_f64().unwrap_or(f64::NAN);
        let line = if key.starts_with("ratio_") {
            let (p50, p99, core) = (number("p50_ratio"), number("p99_ratio"), number("per_core_ratio"));
            format!("{key:<28} {p50:>8.2}× {p99:>8.2}× {:>9} {:>8} {core:>8.2}×", "", "")
        } else if entry.get("p50_us").is_none() {
            continue;
        } else {
            let (p50, p99, rate) = (number("p50_us"), number("p99_us"), number("per_second"));
            let (cpu, core) = (number("cpu_us"), number("per_core"));
            format!("{key:<28} {p50:>9.1} {p99:>9.1} {rate:>9.0} {cpu:>8.2} {core:>9.0}")
        };
        lines.push(line);
    }
    let number = |result: &str, name: &str| document[result][name].as_f64().unwrap_or(f64::NAN);
    let over = |name| number("overload", name);
    lines.push(format!(
        "\noverload: Redis answers after {} ms, so that {:.0}/s are taken on at most; {:.0}/s are sent, {:.0} % are refused;\n\
         p99 of a refusal {:.2} ms, of an accepted one {:.2} ms, which is {:.2}× that below capacity",
        overload::WIRE.as_millis(),
        over("capacity"),
        over("sent_per_second"),
        over("refused_share") * 100.0,
        over("refused_p99_us") / 1e3,
        over("accepted_p99_us") / 1e3,
        over("accepted_p99_ratio"),
    ));
    lines.push(format!(
        "memory: {:.1} MiB resident with {} connections, {:.1} MiB with none",
        number("memory", "resident_mib"),
        memory::CONNECTIONS,
        number("memory", "fresh_resident_mib"),
    ));
    lines.join("\n")
}

fn medians(result: &BridgeResult) -> [f64; 4] {
    let of = |field: fn(&result::Sample) -> f64| Spread::of(result.samples.iter().map(field)).median;
    [of(|sample| sample.p50_us), of(|sample| sample.p99_us), of(|sample| sample.per_second), of(|sample| sample.cpu_us)]
}

/// The script that the bridge runs for `compare_and_swap`.
const SCRIPT: &str = "redis-bridge/src/operations/scripts/compare_and_swap.lua";
const MANY: usize = 64;
const OVERLOAD: Duration = Duration::from_secs(3);
const WARM_UP: Duration = Duration::from_millis(300);
