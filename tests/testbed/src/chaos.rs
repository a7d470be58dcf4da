//! Masters that fail in every way there is, again and again, under load on the bridges and on the
//! gateways; and a checker that compares what was promised with what is there afterwards.
//!
//! Each Redis server stands behind a relay, see [`nodes`]. The parts of a seed repeat: which fault
//! comes when, and what the clients do; the machine's timing does not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::redis::DOWN_AFTER;
use crate::testbed::{IdpOptions, Testbed};

pub mod attempts;
pub mod bridge_load;
pub mod crossings;
pub mod gateway_load;
pub mod history;
pub mod nodes;
pub mod random;

use attempts::Attempts;
use bridge_load::BridgeLoad;
use gateway_load::GatewayLoad;
use history::{Sample, accepted_twice, late_writes};
use nodes::{Fault, Nodes, View};
use random::Random;

/// Runs this number of rounds, each kind of fault once in five; `say` is given a report of each.
///
/// # Errors
/// Everything that was promised and did not hold, and where it showed.
///
/// # Panics
/// When something does not start, or the servers do not find together again.
pub async fn run(rounds: usize, seed: u64, say: impl Fn(&str)) -> Result<(), Vec<String>> {
    let mut random = Random::new(seed);
    let nodes = tokio::task::spawn_blocking(Nodes::start).await.expect("Redis starts");
    let bed = Testbed::builder()
        .replicas(2)
        .redis(&nodes.redis_config(), "durability: replicated")
        .idp(IdpOptions { access_token_ttl: 24 * 60 * 60, ..IdpOptions::default() })
        .config(json!({ "tokenLifespans": { "accessToken": "24h", "authorizationCode": "10m" } }))
        .start()
        .await;
    let attempts = Arc::new(Attempts::new());
    let sockets = vec![bed.bridge(0).socket.clone(), bed.bridge(1).socket.clone()];
    let bridge_load = Arc::new(BridgeLoad::new(sockets, Arc::clone(&attempts), &mut random).await);
    let gateway_load = Arc::new(GatewayLoad::new(&bed, Arc::clone(&attempts)).await);
    let mut run = Run { nodes, bed, attempts, bridge_load, gateway_load, random };
    let mut evidence = Vec::new();
    let mut faults = Vec::new();
    for round in 1..=rounds {
        if faults.is_empty() {
            faults = Fault::ALL.to_vec();
            run.random.shuffle(&mut faults);
        }
        let Some(fault) = faults.pop() else { break };
        let (report, found) = run.round(fault).await;
        say(&format!("round {round}/{rounds}  {report}"));
        for line in &found {
            say(&format!("  VIOLATION {line}"));
        }
        if !found.is_empty() {
            say(&run.nodes.sentinel_logs());
        }
        for number in (0..2).filter(|_| !found.is_empty()) {
            say(&format!("--- the end of bridge {number}'s log ---\n{}", run.bed.bridge(number).process.log_tail()));
        }
        evidence.extend(found.into_iter().map(|line| format!("round {round} ({fault:?}): {line}")));
    }
    run.bed.assert_healthy().await;
    if evidence.is_empty() { Ok(()) } else { Err(evidence) }
}

struct Run {
    nodes: Nodes,
    bed: Testbed,
    attempts: Arc<Attempts>,
    bridge_load: Arc<BridgeLoad>,
    gateway_load: Arc<GatewayLoad>,
    random: Random,
}

/// What was seen of one failover, in time since the run began.
#[derive(Default)]
struct Seen {
    promoted: Option<Duration>,
    announced: Option<Duration>,
    /// Since when Redis itself could make a write durable again.
    able: Option<Duration>,
    samples: Vec<Sample>,
}

impl Run {
    async fn round(&mut self, fault: Fault) -> (String, Vec<String>) {
        self.gateway_load.prepare().await;
        let (bridge_before, gateway_before) = (self.bridge_load.counts(), self.gateway_load.done());
        let stop = Arc::new(AtomicBool::new(false));
        let mut load = self.bridge_load.start(&stop, &mut self.random);
        let mut clients = self.gateway_load.start(&stop);
        let began = self.attempts.now();
        tokio::time::sleep(CALM).await;
        let master = tokio::task::block_in_place(|| self.nodes.master());
        let view = self.nodes.view(master);
        let sentinel = usize::try_from(self.random.below(3)).unwrap_or(0);
        let struck = self.attempts.now();
        tokio::task::block_in_place(|| self.nodes.strike(master, fault, sentinel));

        let mut seen = Seen::default();
        let until = |seen: &Seen, now: Duration| match seen.able {
            Some(_) if now >= struck + OUTAGE => true,
            _ => now >= struck + GIVE_UP,
        };
        self.watch(&view, &mut seen, until).await;
        let (healed, able) = (self.attempts.now(), seen.able);
        tokio::task::block_in_place(|| self.nodes.heal(master, fault));
        if fault != Fault::Kill {
            // The former master still takes itself for one; no other may.
            self.watch(&view, &mut seen, |_, now| now >= healed + ZOMBIE).await;
        }
        tokio::task::block_in_place(|| self.nodes.reunite(master));
        stop.store(true, Ordering::Relaxed);
        while let Some(ended) = load.join_next().await {
            ended.expect("a caller of the bridge goes on");
        }
        while let Some(ended) = clients.join_next().await {
            ended.expect("a client of the gateway goes on");
        }

        let mut evidence = self.bridge_load.check().await;
        let (complaints, presented) = self.gateway_load.take_books();
        evidence.extend(complaints);
        evidence.extend(accepted_twice(&presented));
        let (early, early_kinds) = self.attempts.failures(began, struck);
        if early > 0 {
            evidence.push(format!("{early} failures before the fault: {early_kinds:?}"));
        }
        // Where the sentinels take longer, no client can be back before they are done.
        let late = able.map_or(Duration::ZERO, |able| able.saturating_sub(struck) + BACK_AFTER_REDIS);
        let within = (DOWN_AFTER + BACK_WITHIN).max(late);
        let recovery = self.attempts.recovery(struck, healed);
        if recovery.is_none_or(|recovery| recovery > within) {
            let (_, failures) = self.attempts.failures(struck + within, healed);
            evidence.push(format!("not back within {within:?} but {recovery:?}: {failures:?}"));
        }
        // A frozen server first takes what had already reached it when it froze.
        let thawed = if fault == Fault::Freeze { healed + BACKLOG } else { Duration::ZERO };
        match seen.promoted {
            Some(promoted) => {
                let late = late_writes(&seen.samples, thawed.max(promoted + LATE));
                if late > 0 {
                    evidence.push(format!("the deposed master took {late} writes later than {LATE:?} after promotion"));
                }
            }
            None => evidence.push("no replica was promoted".to_owned()),
        }
        if able.is_none() {
            evidence.push("the sentinels announced no master with a replica in step".to_owned());
        }
        let since = |at: Option<Duration>| at.map_or("never".to_owned(), |at| seconds(at.saturating_sub(struck)));
        let (bridge, gateway) = (self.bridge_load.counts(), self.gateway_load.done());
        let (after, after_kinds) = self.attempts.failures(healed, self.attempts.now());
        let report = format!(
            "{:<8} promoted {} announced {} able {} back {}  bridge: {} changes, {} acked, {} unknown  tokens: {} refreshed, {} codes  \
             calls: {}, slowest {}  failures after healing: {after} {after_kinds:?}  {}",
            format!("{fault:?}").to_lowercase(),
            since(seen.promoted),
            since(seen.announced),
            since(able),
            recovery.map_or("never".to_owned(), seconds),
            bridge.asked - bridge_before.asked,
            bridge.acked - bridge_before.acked,
            bridge.unknown - bridge_before.unknown,
            gateway.refreshed - gateway_before.refreshed,
            gateway.redeemed - gateway_before.redeemed,
            gateway.calls - gateway_before.calls,
            seconds(gateway.slowest),
            if evidence.is_empty() { "ok" } else { "NOT OK" },
        );
        (report, evidence)
    }

    /// Looks at the servers and sentinels again and again until that is enough.
    async fn watch(&self, view: &View, seen: &mut Seen, enough: impl Fn(&Seen, Duration) -> bool) {
        let mut beat = tokio::time::interval(LOOK);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        while !enough(seen, self.attempts.now()) {
            beat.tick().await;
            let (asked, promoted) = (view.clone(), seen.promoted);
            let look = tokio::task::spawn_blocking(move || {
                let promoted = promoted.is_some() || asked.is_promoted();
                let named = asked.announced();
                let is_able = named.is_some_and(|named| asked.is_able(named));
                (promoted, named.is_some(), is_able, asked.former_writes())
            });
            let (is_promoted, is_announced, is_able, writes) = look.await.expect("looking goes on");
            let at = self.attempts.now();
            seen.promoted = seen.promoted.or(is_promoted.then_some(at));
            seen.announced = seen.announced.or(is_announced.then_some(at));
            seen.able = if is_able { seen.able.or(Some(at)) } else { None };
            seen.samples.extend(writes.map(|writes| Sample { at, writes }));
        }
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

/// Under load before the fault.
const CALM: Duration = Duration::from_secs(1);
/// From the fault to its end, at least.
const OUTAGE: Duration = Duration::from_secs(5);
/// From the fault to its end, when no other master is able.
const GIVE_UP: Duration = Duration::from_secs(15);
/// For how long a deposed master that can be reached again is left in its belief.
const ZOMBIE: Duration = Duration::from_millis(1_500);
/// For how long a thawed server may work off what had reached it.
const BACKLOG: Duration = Duration::from_millis(300);
/// How often the servers are looked at.
const LOOK: Duration = Duration::from_millis(50);
/// After the sentinels' silence the endpoints are back within this.
const BACK_WITHIN: Duration = Duration::from_secs(3);
/// And where Redis itself took longer, this long after it.
const BACK_AFTER_REDIS: Duration = Duration::from_secs(1);
/// How long after a promotion the former master may still be written to.
const LATE: Duration = Duration::from_millis(1_500);
