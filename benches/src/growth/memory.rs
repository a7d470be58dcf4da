//! The memory store with its usual budget, filled by real logins until it refuses one: it never
//! drops a session to make room.

use std::time::Duration;

use portcullis_testbed::oauth_client::OAuthClient;
use portcullis_testbed::redis::free_port;
use serde_json::json;

use super::{Plan, Point, cold_and_fast};
use crate::envoy::{self, At, Envoy, Listener};
use crate::gateway::{Gateway, runtime};
use crate::load::{CONNECTIONS, Load};
use crate::logins::flow::{Flow, STEPS};
use crate::logins::{micros, through};
use crate::provider::Provider;
use crate::scenarios::report;
use crate::text;

/// Measures calls with a token never seen, each of another session, and with the same token again.
/// Those that hold as many sessions as fit stand at the number that fitted.
pub(super) fn run(plan: &Plan<'_>) -> Result<(), String> {
    let dir = tempfile::Builder::new().prefix("portcullis-bench-").tempdir().map_err(text)?;
    report("starting Envoy and a provider that answers at once …");
    let provider = Provider::with_es256()?;
    let stand = |(name, sessions): (&'static str, usize)| -> Result<(Gateway, usize), String> {
        let mut gateway = Gateway::with_provider(name, free_port(), &provider)?;
        gateway.storage = json!({ "type": "memory", "maxBytes": BUDGET });
        Ok((gateway, sessions))
    };
    let stands = plan.named().map(stand).collect::<Result<Vec<_>, _>>()?;
    let listeners: Vec<Listener> = stands.iter().map(|(gateway, _)| envoy::listener_of(gateway)).collect();
    let clusters: Vec<(String, At)> =
        stands.iter().map(|(gateway, _)| (gateway.idp_cluster(), At::Port(provider.port))).collect();
    let gateways: Vec<&Gateway> = stands.iter().map(|(gateway, _)| gateway).collect();
    let envoy = Envoy::start(&listeners, &clusters, &gateways, dir.path())?;
    let points = stands.iter().map(|(gateway, sessions)| point(gateway, *sessions, &envoy, plan.tokens()));
    let points = points.collect::<Result<Vec<_>, _>>();
    points.and_then(|points| plan.measure(points)).map_err(|why| envoy.explain(&why))
}

fn point<'a>(gateway: &Gateway, sessions: usize, envoy: &Envoy, needed: usize) -> Result<Point<'a>, String> {
    let login = gateway.log_in()?;
    let (tokens, login_us) = fill(gateway, sessions, envoy)?;
    // Spread over all that are held: those of the first logins have to be there, too.
    let chosen = tokens.iter().step_by((tokens.len() / needed).max(1)).cycle().take(needed).enumerate();
    let signed = chosen.map(|(number, token)| {
        let login = gateway.login_with(token);
        login.token_of(login.session()?, number)
    });
    let results = cold_and_fast(&login, signed.collect::<Result<_, _>>()?, &[envoy.id()], CONNECTIONS)?;
    Ok(Point::new(tokens.len(), vec![("last_logins_us", login_us)], results))
}

/// Logs this number of users in, or as many as there is room for; their tokens, and what the last
/// logins cost.
fn fill(gateway: &Gateway, sessions: usize, envoy: &Envoy) -> Result<(Vec<String>, f64), String> {
    let client = runtime()?.block_on(async { OAuthClient::discover(&gateway.resource()).await.register().await });
    let mut load = Load::of(CONNECTIONS, gateway.port)?;
    let (mut tokens, mut costs) = (Vec::new(), Vec::new());
    while tokens.len() < sessions {
        let mut flows: Vec<Flow<'_>> = (0..CONNECTIONS).map(|_| Flow::new(&client)).collect();
        let mut spent = [Duration::ZERO; STEPS.len()];
        match through(envoy, &mut load, &mut flows, &mut spent) {
            Ok(()) => {}
            Err(refused) if refused.starts_with("HTTP/1.1 503") => break,
            Err(why) => return Err(why),
        }
        for flow in &flows {
            tokens.push(flow.access_token()?);
        }
        costs.push(micros(spent.iter().sum(), flows.len()));
    }
    report(&format!("{} sessions", tokens.len()));
    let last = costs.split_off(costs.len().saturating_sub(LAST));
    Ok((tokens, last.iter().sum::<f64>() / last.len() as f64))
}

/// The default of `storage.maxBytes`.
const BUDGET: u64 = 64 << 20;
/// The number of rounds of logins at the end whose cost is reported.
const LAST: usize = 50;
