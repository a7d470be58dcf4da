//! What a call costs as sessions become more: several Redis servers, each with a bridge and a gateway of its own, that
//! differ in how many sessions they hold.
//!
//! Reading order: here, then [`fill`] (how the sessions get there).

mod fill;

use std::env;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use portcullis_protocol::opaque::SessionId;
use portcullis_tests::bridge::Bridge;
use portcullis_tests::redis::{LEAST_ACL, RedisServer, free_port, standalone};
use serde_json::{Map, Value, json};

use crate::cpu;
use crate::envoy::{self, At, Envoy, Listener};
use crate::gateway::{Gateway, Login};
use crate::growth::fill::Filler;
use crate::ladder::{Spread, round, tell};
use crate::load::Load;
use crate::provider::Provider;
use crate::rung::{OURS, Passes, Rung, Supply};

/// A gateway with its store.
struct Stand {
    gateway: Gateway,
    redis: RedisServer,
    bridge: Bridge,
    sessions: usize,
}

/// The two kinds of call at one gateway.
struct Level {
    sessions: usize,
    cold: Rung,
    fast: Rung,
    load: Load,
    /// Resident memory of Redis, in MiB.
    redis_mib: f64,
}

/// Measures in so many rounds, prints the table and writes `growth.json` into the folder. The variable `SESSIONS` has the
/// numbers of sessions, with commas between them.
///
/// # Errors
/// What could not be started, or a request that did not pass.
pub fn run(rounds: usize, folder: &Path) -> Result<(), String> {
    let wanted = env::var("SESSIONS").ok().filter(|wanted| !wanted.is_empty());
    let wanted = wanted.unwrap_or_else(|| SESSIONS.to_owned());
    let counts = wanted.split(',').map(str::parse).collect::<Result<Vec<usize>, _>>();
    let counts = counts.map_err(|_| format!("SESSIONS={wanted} are no numbers"))?;
    if counts.is_empty() || counts.len() > NAMES.len() {
        return Err(format!("SESSIONS takes 1 to {} numbers", NAMES.len()));
    }
    let dir = tempfile::Builder::new().prefix("portcullis-bench-").tempdir().map_err(text)?;
    if cpu::can_pin() {
        cpu::pin_this_process()?;
    }
    tell("starting Envoy, and a Redis server and a bridge for each number of sessions …");
    let provider = Provider::start()?;
    let stand = |(name, sessions): (&&'static str, usize)| -> Result<Stand, String> {
        let mut gateway = Gateway::with_provider(name, free_port(), &provider)?;
        gateway.storage =
            json!({ "type": "bridge", "cluster": bridge_cluster(name), "namespace": "bench", "name": "gateway" });
        let redis = RedisServer::start(LEAST_ACL, &[]);
        let bridge = Bridge::start(&standalone(redis.port), "");
        Ok(Stand { gateway, redis, bridge, sessions })
    };
    let stands = NAMES.iter().zip(counts).map(stand).collect::<Result<Vec<_>, _>>()?;
    let listeners: Vec<Listener> = stands
        .iter()
        .map(|stand| Listener { port: stand.gateway.port, filter: Some(envoy::ours(&stand.gateway)), back_end: None })
        .collect();
    let clusters: Vec<(String, At)> = stands
        .iter()
        .flat_map(|stand| {
            let bridge = (bridge_cluster(stand.gateway.name), At::Socket(stand.bridge.socket.clone()));
            [(stand.gateway.idp_cluster(), At::Port(provider.port)), bridge]
        })
        .collect();
    let gateways: Vec<&Gateway> = stands.iter().map(|stand| &stand.gateway).collect();
    let envoy = Envoy::start(&listeners, &clusters, &gateways, dir.path())?;
    let levels = stands.iter().map(|stand| level(stand, &envoy, rounds)).collect::<Result<Vec<_>, _>>();
    let mut levels = levels.map_err(|why| format!("{why}\nEnvoy's log:\n{}", envoy.log_tail()))?;
    measure(&mut levels, rounds)?;
    report(&levels, rounds, folder)
}

/// Logs in, fills the store and makes the calls ready.
fn level(stand: &Stand, envoy: &Envoy, rounds: usize) -> Result<Level, String> {
    let login = stand.gateway.log_in()?;
    let needed = WARM_UP + rounds * ONCE + 1;
    tell(&format!("{} sessions …", stand.sessions));
    let mut filler = Filler::connect(stand.redis.port, login.session()?)?;
    let real = filler.fill(stand.sessions, needed)?;
    let tokens = sign(&login, &real, needed)?;
    let rung = |key, supply, processes| Rung {
        key,
        what: "",
        port: stand.gateway.port,
        under: OURS,
        supply,
        passes: Passes::GoodTokensInjected,
        processes,
        samples: Vec::new(),
    };
    let all = vec![envoy.id(), stand.bridge.process.id(), stand.redis.process.id()];
    let mut cold = rung("cold", Supply::Once(tokens), all);
    // Asks neither of the others; what Redis does by itself meanwhile is no part of it.
    let mut fast = rung("fast", Supply::Again(login.token.clone()), vec![envoy.id()]);
    cold.prove()?;
    fast.prove()?;
    let redis_mib = cpu::resident_mib(stand.redis.process.id())?;
    Ok(Level { sessions: stand.sessions, cold, fast, load: Load::open(stand.gateway.port)?, redis_mib })
}

/// As many tokens as are needed; of the same session again where there are fewer sessions.
fn sign(login: &Login<'_>, sessions: &[SessionId], needed: usize) -> Result<Vec<String>, String> {
    let numbered = sessions.iter().cycle().take(needed).enumerate();
    numbered.map(|(number, session)| login.token_of(*session, number)).collect()
}

fn measure(levels: &mut [Level], rounds: usize) -> Result<(), String> {
    for level in levels.iter_mut() {
        level.cold.measure(&mut level.load, Duration::ZERO, WARM_UP)?;
        level.fast.measure(&mut level.load, FAST, 0)?;
    }
    for number in 1..=rounds {
        tell(&format!("round {number} of {rounds}:"));
        for level in levels.iter_mut() {
            let cold = level.cold.measure(&mut level.load, Duration::ZERO, ONCE)?;
            let fast = level.fast.measure(&mut level.load, FAST, 0)?;
            level.cold.samples.push(cold);
            level.fast.samples.push(fast);
            tell(&format!(
                "  {:>9} sessions: cold {:>7.1} µs, fast {:>6.2} µs",
                level.sessions, cold.cpu_us, fast.cpu_us
            ));
        }
    }
    Ok(())
}

/// The medians, and of each round on its own what they are to the first number of sessions.
fn document(levels: &[Level]) -> Map<String, Value> {
    let entry = |level: &Level| {
        let median = |rung: &Rung| round(Spread::of(rung.samples.iter().map(|sample| sample.cpu_us)).median);
        let ratio = |own: &Rung, first: Option<&Rung>| {
            let first = first.map(|rung| rung.samples.as_slice()).unwrap_or_default();
            round(Spread::of(own.samples.iter().zip(first).map(|(own, first)| own.cpu_us / first.cpu_us)).median)
        };
        let first = levels.first();
        let entry = json!({
            "cold_us": median(&level.cold), "cold_ratio": ratio(&level.cold, first.map(|first| &first.cold)),
            "fast_us": median(&level.fast), "fast_ratio": ratio(&level.fast, first.map(|first| &first.fast)),
            "redis_mib": round(level.redis_mib),
        });
        (level.sessions.to_string(), entry)
    };
    levels.iter().map(entry).collect()
}

fn report(levels: &[Level], rounds: usize, folder: &Path) -> Result<(), String> {
    let document = document(levels);
    fs::create_dir_all(folder).map_err(text)?;
    let path = folder.join("growth.json");
    let written = serde_json::to_string_pretty(&document).map_err(text)?;
    fs::write(&path, written + "\n").map_err(text)?;
    let mut lines =
        vec![format!("{:>9} {:>9} {:>7} {:>9} {:>7} {:>10}", "sessions", "cold µs", "×", "fast µs", "×", "Redis MiB")];
    for (sessions, entry) in levels.iter().map(|level| level.sessions.to_string()).map(|key| {
        let entry = document.get(&key).cloned().unwrap_or_default();
        (key, entry)
    }) {
        let number = |name: &str| entry[name].as_f64().unwrap_or(f64::NAN);
        lines.push(format!(
            "{sessions:>9} {:>9.1} {:>7.2} {:>9.2} {:>7.2} {:>10.0}",
            number("cold_us"),
            number("cold_ratio"),
            number("fast_us"),
            number("fast_ratio"),
            number("redis_mib")
        ));
    }
    let mut out = std::io::stdout();
    writeln!(
        out,
        "\nA call as sessions become more, medians of {rounds} rounds. `cold` is a token never seen, of another session each time:\n\
         processor time of Envoy (one worker), the bridge and Redis together. `fast` is the same token again: Envoy alone.\n\n{}\n\nAlso in {}",
        lines.join("\n"),
        path.display()
    )
    .map_err(text)
}

fn bridge_cluster(name: &str) -> String {
    format!("bridge_{name}")
}

fn text(error: impl ToString) -> String {
    error.to_string()
}

const SESSIONS: &str = "1000,100000,1000000";
/// What the gateways are called.
const NAMES: [&str; 4] = ["growth_1", "growth_2", "growth_3", "growth_4"];
/// Tokens that a round uses up.
const ONCE: usize = 1000;
const WARM_UP: usize = 200;
const FAST: Duration = Duration::from_millis(500);
