//! Logins as more clients have registered, each of them in the usual way.

use std::time::Duration;

use portcullis_testbed::oauth_client::OAuthClient;
use portcullis_testbed::redis::free_port;
use serde_json::Value;

use super::{Plan, Point};
use crate::cpu;
use crate::envoy::{self, At, Envoy, Listener};
use crate::gateway::{Gateway, runtime};
use crate::load::{CONNECTIONS, Load};
use crate::logins::flow::{Flow, STEPS, bytes};
use crate::logins::{micros, through};
use crate::provider::Provider;
use crate::scenarios::report;
use crate::text;

/// Measures the two requests of a login that look a client up. The clients that log in are spread
/// over all that are there.
pub(super) fn run(plan: &Plan<'_>) -> Result<(), String> {
    let dir = tempfile::Builder::new().prefix("portcullis-bench-").tempdir().map_err(text)?;
    report("starting Envoy and a provider that answers at once …");
    let provider = Provider::start()?;
    let gateway = |(name, _)| Gateway::with_provider(name, free_port(), &provider);
    let gateways = plan.named().map(gateway).collect::<Result<Vec<_>, _>>()?;
    let listeners: Vec<Listener> = gateways.iter().map(envoy::listener_of).collect();
    let clusters: Vec<(String, At)> =
        gateways.iter().map(|gateway| (gateway.idp_cluster(), At::Port(provider.port))).collect();
    let envoy = Envoy::start(&listeners, &clusters, &gateways.iter().collect::<Vec<_>>(), dir.path())?;
    let points = gateways.iter().zip(&plan.sizes).map(|(gateway, clients)| point(gateway, *clients, &envoy));
    let points = points.collect::<Result<Vec<_>, _>>();
    points.and_then(|points| plan.measure(points)).map_err(|why| envoy.explain(&why))
}

fn point<'a>(gateway: &Gateway, count: usize, envoy: &'a Envoy) -> Result<Point<'a>, String> {
    report(&format!("{count} clients …"));
    let mut load = Load::of(CONNECTIONS, gateway.port)?;
    let (clients, register_us) = register(gateway, count, envoy, &mut load)?;
    let result = move || {
        let mut spent = [Duration::ZERO; STEPS.len()];
        for batch in 0..BATCHES {
            let turn = clients.iter().cycle().skip(batch * CONNECTIONS % clients.len());
            let mut flows: Vec<Flow<'_>> = turn.take(CONNECTIONS).map(Flow::new).collect();
            through(envoy, &mut load, &mut flows, &mut spent)?;
        }
        let costs = STEPS.into_iter().zip(spent.map(|spent| micros(spent, BATCHES * CONNECTIONS)));
        Ok(costs.filter(|(name, _)| LOOKING_UP.contains(name)).collect())
    };
    Ok(Point::new(count, vec![("last_registrations_us", register_us)], vec![Box::new(result)]))
}

/// Registers `count` clients; some of them, and what the last registrations cost.
fn register(
    gateway: &Gateway,
    count: usize,
    envoy: &Envoy,
    load: &mut Load,
) -> Result<(Vec<OAuthClient>, f64), String> {
    let first = runtime()?.block_on(async { OAuthClient::discover(&gateway.resource()).await });
    let request = bytes(&first.registration_request(&first.registration()));
    let every = (count / CHOSEN).max(1);
    let (mut clients, mut done, mut last) = (Vec::new(), 0, (0, cpu::used(envoy.id())?));
    while done < count {
        let batch = CONNECTIONS.min(count - done);
        if count - done > LAST {
            last = (done, cpu::used(envoy.id())?);
        }
        let answers = load.exchange(&vec![request.clone(); batch])?;
        for (number, answer) in (done..).zip(answers) {
            let registered: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            let id = registered["client_id"].as_str().ok_or_else(|| format!("{}: {registered}", answer.head))?;
            if number % every == 0 {
                clients.push(OAuthClient { client_id: id.to_owned(), ..first.clone() });
            }
        }
        done += batch;
    }
    Ok((clients, micros(cpu::used(envoy.id())?.saturating_sub(last.1), count - last.0)))
}

/// The steps of a login that look its client up.
const LOOKING_UP: [&str; 2] = ["authorize", "token"];
/// How many clients log in.
const CHOSEN: usize = 256;
/// The number of registrations at the end whose cost is reported.
const LAST: usize = 1000;
/// Rounds of logins at once, for one sample.
const BATCHES: usize = 16;
