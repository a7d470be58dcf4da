//! Several Redis servers, each with a bridge and a gateway of its own, that differ in how many
//! sessions they hold.

use portcullis_protocol::credentials::SessionId;
use portcullis_testbed::bridge::Bridge;
use portcullis_testbed::redis::{LEAST_ACL, RedisServer, free_port, standalone};
use serde_json::json;

use super::seed_redis::Seeder;
use super::{Plan, Point, cold_and_fast};
use crate::cpu;
use crate::envoy::{self, At, Envoy, Listener};
use crate::gateway::{Gateway, Login};
use crate::load::CONNECTIONS;
use crate::provider::Provider;
use crate::scenarios::report;
use crate::text;

/// A gateway with its store.
struct Stand {
    gateway: Gateway,
    redis: RedisServer,
    bridge: Bridge,
    sessions: usize,
}

/// Measures calls with a token never seen, each of another session, over Envoy, the bridge and
/// Redis together; and with the same token again, in Envoy alone.
pub(super) fn run(plan: &Plan<'_>) -> Result<(), String> {
    let dir = tempfile::Builder::new().prefix("portcullis-bench-").tempdir().map_err(text)?;
    report("starting Envoy, and a Redis server and a bridge for each number of sessions …");
    let provider = Provider::start()?;
    let stand = |(name, sessions): (&'static str, usize)| -> Result<Stand, String> {
        let mut gateway = Gateway::with_provider(name, free_port(), &provider)?;
        gateway.storage =
            json!({ "type": "bridge", "cluster": bridge_cluster(name), "namespace": "bench", "name": "gateway" });
        let redis = RedisServer::start(LEAST_ACL, &[]);
        let bridge = Bridge::start(&standalone(redis.port), "");
        Ok(Stand { gateway, redis, bridge, sessions })
    };
    let stands = plan.named().map(stand).collect::<Result<Vec<_>, _>>()?;
    let listeners: Vec<Listener> = stands.iter().map(|stand| envoy::listener_of(&stand.gateway)).collect();
    let clusters: Vec<(String, At)> = stands
        .iter()
        .flat_map(|stand| {
            let bridge = (bridge_cluster(stand.gateway.name), At::Socket(stand.bridge.socket.clone()));
            [(stand.gateway.idp_cluster(), At::Port(provider.port)), bridge]
        })
        .collect();
    let gateways: Vec<&Gateway> = stands.iter().map(|stand| &stand.gateway).collect();
    let envoy = Envoy::start(&listeners, &clusters, &gateways, dir.path())?;
    let points = stands.iter().map(|stand| point(stand, &envoy, plan.tokens())).collect::<Result<Vec<_>, _>>();
    points.and_then(|points| plan.measure(points)).map_err(|why| envoy.explain(&why))
}

/// Logs in, fills the store and makes the calls ready.
fn point<'a>(stand: &Stand, envoy: &Envoy, tokens: usize) -> Result<Point<'a>, String> {
    let login = stand.gateway.log_in()?;
    report(&format!("{} sessions …", stand.sessions));
    let mut seeder = Seeder::connect(stand.redis.port, &stand.gateway.issuer(), login.session()?)?;
    let real = seeder.seed(stand.sessions, tokens)?;
    let tokens = sign(&login, &real, tokens)?;
    let redis = stand.redis.process.id();
    let results = cold_and_fast(&login, tokens, &[envoy.id(), stand.bridge.process.id(), redis], CONNECTIONS)?;
    Ok(Point::new(stand.sessions, vec![("redis_mib", cpu::resident_mib(redis)?)], results))
}

/// As many tokens as are needed; of the same session again where there are fewer sessions.
fn sign(login: &Login<'_>, sessions: &[SessionId], needed: usize) -> Result<Vec<String>, String> {
    let numbered = sessions.iter().cycle().take(needed).enumerate();
    numbered.map(|(number, session)| login.token_of(*session, number)).collect()
}

fn bridge_cluster(name: &str) -> String {
    format!("bridge_{name}")
}
