//! The same call over more workers, more connections, or with a longer body; next to it the same
//! without a filter.

use portcullis_testbed::redis::free_port;
use serde_json::json;

use super::{Measure, Plan, Point, TURN, cold_and_fast, measured};
use crate::cpu;
use crate::envoy::{self, At, Envoy, Listener};
use crate::gateway::{Gateway, Login};
use crate::load::{CONNECTIONS, Load};
use crate::own_service;
use crate::peers::back_end;
use crate::provider::Provider;
use crate::scenario::{OURS, Passes, Scenario, Supply};
use crate::scenarios::{Spread, report};
use crate::text;

/// An Envoy for each number of workers.
pub(super) fn workers(plan: &Plan<'_>) -> Result<(), String> {
    let provider = Provider::start()?;
    let stands = plan.named().map(|(name, workers)| Stand::start(name, workers, &provider, None));
    let stands = stands.collect::<Result<Vec<_>, _>>()?;
    let logins = stands.iter().map(Stand::log_in).collect::<Result<Vec<_>, _>>()?;
    let point = |((stand, login), workers): ((&Stand, &Login<'_>), &usize)| -> Result<Point<'_>, String> {
        // Enough for each worker to have about its share of them.
        let mut results = stand.calls(login, login.more_tokens(plan.tokens())?, MANY)?;
        if let Some(result) = results.first_mut() {
            result()?;
        }
        let busy = cpu::used_by_threads(stand.envoy.id(), "wrk:worker")?.into_iter().map(|time| time.as_secs_f64());
        let spread = Spread::of(busy);
        Ok(Point::new(*workers, vec![("least_to_most_busy", spread.least / spread.most)], results))
    };
    let points = stands.iter().zip(&logins).zip(&plan.sizes).map(point);
    plan.measure(points.collect::<Result<Vec<_>, _>>()?)
}

/// One Envoy, and more and more connections.
pub(super) fn connections(plan: &Plan<'_>) -> Result<(), String> {
    let provider = Provider::start()?;
    let stand = Stand::start(super::NAMES[0], 1, &provider, None)?;
    let login = stand.log_in()?;
    let mut tokens = login.more_tokens(plan.tokens() * plan.sizes.len())?;
    let points = plan.sizes.iter().map(|count| {
        let results = stand.calls(&login, tokens.split_off(tokens.len() - plan.tokens()), *count);
        results.map(|results| Point::new(*count, Vec::new(), results))
    });
    let points = points.collect::<Result<Vec<_>, _>>();
    points.and_then(|points| plan.measure(points)).map_err(|why| stand.envoy.explain(&why))
}

/// One Envoy in front of a backend that reads bodies and answers nothing, and longer and longer
/// bodies.
pub(super) fn bodies(plan: &Plan<'_>) -> Result<(), String> {
    let dir = tempfile::Builder::new().prefix("portcullis-bench-").tempdir().map_err(text)?;
    let provider = Provider::start()?;
    let (_service, behind) = own_service::start(back_end::ARGUMENT, dir.path())?;
    let stand = Stand::start(super::NAMES[0], 1, &provider, Some(behind))?;
    let login = stand.log_in()?;
    let point = |length: &usize| -> Result<Point<'_>, String> {
        let bare = stand.uploads("no_filter", stand.bare, &login, *length)?;
        let ours = stand.uploads("fast", stand.gateway.port, &login, *length)?;
        Ok(Point::new(*length, Vec::new(), vec![bare, ours]))
    };
    let points = plan.sizes.iter().map(point).collect::<Result<Vec<_>, _>>();
    points.and_then(|points| plan.measure(points)).map_err(|why| stand.envoy.explain(&why))
}

/// An Envoy with a gateway, and a port without a filter.
struct Stand {
    envoy: Envoy,
    gateway: Gateway,
    bare: u16,
    _dir: tempfile::TempDir,
}

impl Stand {
    fn start(name: &'static str, workers: usize, provider: &Provider, behind: Option<u16>) -> Result<Self, String> {
        let dir = tempfile::Builder::new().prefix("portcullis-bench-").tempdir().map_err(text)?;
        report(&format!("starting Envoy, workers: {workers} …"));
        let gateway = Gateway::with_provider(name, free_port(), provider)?;
        let bare = free_port();
        let back_end = behind.map(|_| BACK_END);
        let listeners = [
            Listener { port: gateway.port, filter: Some(envoy::ours(&gateway)), back_end },
            Listener { port: bare, filter: None, back_end },
        ];
        let idp = (gateway.idp_cluster(), At::Port(provider.port));
        let behind = behind.map(|port| (BACK_END.to_owned(), At::Port(port)));
        let clusters: Vec<(String, At)> = [Some(idp), behind].into_iter().flatten().collect();
        let envoy = Envoy::start_with(workers, &listeners, &clusters, &[&gateway], dir.path())?;
        Ok(Self { envoy, gateway, bare, _dir: dir })
    }

    fn log_in(&self) -> Result<Login<'_>, String> {
        self.gateway.log_in()
    }

    /// Without a filter, with a token never seen, and with the same again.
    fn calls<'a>(
        &self,
        login: &Login<'_>,
        tokens: Vec<String>,
        connections: usize,
    ) -> Result<Vec<Measure<'a>>, String> {
        let bare = Scenario {
            key: "no_filter",
            what: "",
            port: self.bare,
            under: OURS,
            supply: Supply::Again(login.token.clone()),
            passes: Passes::Everything,
            processes: vec![self.envoy.id()],
            samples: Vec::new(),
        };
        let mut results = cold_and_fast(login, tokens, &[self.envoy.id()], connections)?;
        results.insert(0, measured(bare, connections)?);
        Ok(results)
    }

    /// Calls with a body that the backend takes for a notification with this much of a parameter.
    fn uploads<'a>(
        &self,
        name: &'static str,
        port: u16,
        login: &Login<'_>,
        length: usize,
    ) -> Result<Measure<'a>, String> {
        let padded = |padding: usize| json!({ "method": "m", "params": "x".repeat(padding) });
        let body = padded(length.saturating_sub(padded(0).to_string().len())).to_string();
        let (token, length, id) = (&login.token, body.len(), self.envoy.id());
        let head =
            format!("POST {OURS}/things HTTP/1.1\r\nhost: gateway.example.com\r\nauthorization: Bearer {token}\r\n");
        let request =
            format!("{head}content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}").into_bytes();
        let mut load = Load::of(CONNECTIONS, port)?;
        Ok(Box::new(move || {
            let before = cpu::used(id)?;
            let sent = load.run(std::iter::repeat(request.as_slice()), TURN, 202)?.requests;
            Ok(vec![(name, cpu::used(id)?.saturating_sub(before).as_secs_f64() * 1e6 / sent as f64)])
        }))
    }
}

const BACK_END: &str = "back_end";
/// Connections where more than one worker shares them.
const MANY: usize = 64;
