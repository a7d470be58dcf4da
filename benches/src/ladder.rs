//! The ladder: what a request costs inside Envoy, one scenario after the other in rising cost, all
//! on one Envoy in one run.

use std::collections::VecDeque;
use std::env;
use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use portcullis_testbed::paths;
use serde_json::{Value, json};

use crate::envoy::{At, Envoy, Listener};
use crate::gateway::Gateway;
use crate::provider::Provider;
use crate::scenario::{Passes, Scenario, Supply};
use crate::scenarios::report;
use crate::{cpu, envoy, ext_authz_stub, gateway, load, own_service, scenario, scenarios, target, text};

/// Measures every scenario this number of times, in some seconds altogether.
///
/// # Errors
/// When something does not start, or a scenario does not do what it is called.
pub(crate) fn run(rounds: usize, seconds: usize) -> Result<(), String> {
    let dir = tempfile::Builder::new().prefix("portcullis-bench-").tempdir().map_err(text)?;
    let pinned = cpu::can_pin();
    if pinned {
        cpu::pin_this_process()?;
    }

    report("building the filter to compare with …");
    let one_header = build_one_header()?;
    report("starting Envoy, two identity providers and the ext_authz service …");
    let ports = Ports::take()?;
    let (service, service_port) = own_service::start(ext_authz_stub::ARGUMENT, dir.path())?;
    let es256 = Gateway::es256(ports.of("es256"), dir.path())?;
    let rs256 = Gateway::rs256(ports.of("rs256"), dir.path())?;
    let provider = Provider::with_es256()?;
    let mut identity = Gateway::with_provider("identity", ports.of("identity"), &provider)?;
    identity.resource_settings = json!({
        "identityHeaders": { "x-user-id": "sub", "x-user-email": "email" },
        "identityToken": { "header": "x-user-token" },
    });
    let mut two = Gateway::with_provider("two_providers", ports.of("two_providers"), &provider)?;
    two.other_provider = Some(on_demand(&two, &provider));
    let one = Gateway::with_provider("one_provider", ports.of("one_provider"), &provider)?;
    let foreign_resource = format!("http://127.0.0.1:{}/api", ports.of("trusted"));
    let filters = [
        ("none", None),
        ("idle", Some(envoy::wasm("idle", &one_header, &json!("idle"), &[]))),
        ("one_header", Some(envoy::wasm("one_header", &one_header, &json!({}), &[]))),
        ("jwt_authn_cached", Some(envoy::jwt_authn(&es256, true))),
        ("jwt_authn_rs256", Some(envoy::jwt_authn(&rs256, false))),
        ("jwt_authn_es256", Some(envoy::jwt_authn(&es256, false))),
        ("ext_authz", Some(envoy::ext_authz("ext_authz", false))),
        ("ext_authz_injected", Some(envoy::ext_authz("ext_authz", true))),
        ("es256", Some(envoy::ours(&es256))),
        ("rs256", Some(envoy::ours(&rs256))),
        ("identity", Some(envoy::ours(&identity))),
        ("one_provider", Some(envoy::ours(&one))),
        ("two_providers", Some(envoy::ours(&two))),
        ("trusted", Some(envoy::wasm("trusted", &paths::module(), &trusting(&provider, &foreign_resource), &[]))),
    ];
    let port_of = |name: &str| ports.of(name);
    let listeners = filters.map(|(name, filter)| Listener { port: port_of(name), filter, back_end: None });
    let clusters = [
        ("ext_authz".to_owned(), At::Port(service_port)),
        (es256.idp_cluster(), At::Port(es256.idp_port)),
        (rs256.idp_cluster(), At::Port(rs256.idp_port)),
        (identity.idp_cluster(), At::Port(provider.port)),
        (one.idp_cluster(), At::Port(provider.port)),
        (two.idp_cluster(), At::Port(provider.port)),
    ];
    let numbers = ports.release();
    let envoy = Envoy::start(&listeners, &clusters, &[&es256, &rs256, &identity, &one, &two], dir.path())?;
    let port_of = |name: &str| numbers.iter().find(|(held, _)| *held == name).map_or(0, |(_, port)| *port);

    report("logging in, and signing more tokens than a worker remembers …");
    let es256_login = es256.log_in()?;
    let rs256_login = rs256.log_in()?;
    let es256_tokens = es256_login.more_tokens(TOKENS)?;
    let rs256_tokens = rs256_login.more_tokens(TOKENS)?;
    let foreign_tokens: VecDeque<String> =
        (0..TOKENS).map(|number| provider.access_token(&foreign_resource, number)).collect::<Result<_, _>>()?;
    let again = |gateway: &Gateway| gateway.log_in().map(|login| Supply::Again(login.token));

    let forged = scenario::forge(&es256_login.token);
    let malformed = es256_login.token.replace('.', "");
    let unknown = es256_login.of_unknown_key();
    let es256_in_turn = || Supply::InTurn(es256_tokens.iter().cloned().collect());
    let rs256_in_turn = || Supply::InTurn(rs256_tokens.iter().cloned().collect());
    let es256_again = || Supply::Again(es256_login.token.clone());
    let scenario = |key, listener, supply, passes, what| Scenario {
        key,
        what,
        port: port_of(listener),
        under: scenario::OURS,
        supply,
        passes,
        processes: vec![envoy.id()],
        samples: Vec::new(),
    };
    let mut ext_authz = scenario(
        "ext_authz",
        "ext_authz",
        es256_again(),
        Passes::Credentials,
        "ext_authz over HTTP/1.1 to a service that answers at once; its time is included",
    );
    ext_authz.processes.push(service.id());
    let mut ext_authz_injected = scenario(
        "ext_authz_injected",
        "ext_authz_injected",
        es256_again(),
        Passes::CredentialsInjected,
        "the same, and the service gives another token, which Envoy puts in",
    );
    ext_authz_injected.processes.push(service.id());
    let mut not_ours = scenario(
        "not_ours",
        "es256",
        es256_again(),
        Passes::Everything,
        "ours, a path outside every resource, which passes",
    );
    not_ours.under = scenario::NOT_OURS;
    let mut other_route = scenario(
        "other_route",
        "es256",
        es256_again(),
        Passes::Everything,
        "ours, on a route where it is switched off",
    );
    other_route.under = envoy::UNFILTERED;
    let mut scenarios = vec![
        scenario("none", "none", es256_again(), Passes::Everything, "no filter but the router"),
        scenario("idle", "idle", es256_again(), Passes::Everything, "a wasm filter that does nothing"),
        not_ours,
        other_route,
        scenario(
            "one_header",
            "one_header",
            es256_again(),
            Passes::Replaced,
            "a wasm filter that reads Authorization and sets it again",
        ),
        scenario(
            "jwt_authn_cached",
            "jwt_authn_cached",
            es256_again(),
            Passes::GoodTokens,
            "jwt_authn with jwt_cache_config, the same ES256 token",
        ),
        scenario(
            "jwt_authn_rs256",
            "jwt_authn_rs256",
            rs256_in_turn(),
            Passes::GoodTokens,
            "jwt_authn, RS256, the tokens of cold_rs256",
        ),
        scenario(
            "jwt_authn_es256",
            "jwt_authn_es256",
            es256_in_turn(),
            Passes::GoodTokens,
            "jwt_authn, ES256, the tokens of cold_es256",
        ),
        ext_authz,
        ext_authz_injected,
        scenario(
            "fast",
            "es256",
            es256_again(),
            Passes::GoodTokensInjected,
            "ours, a token verified before: lookup, upstream token injected, audit",
        ),
        scenario(
            "cold_es256",
            "es256",
            es256_in_turn(),
            Passes::GoodTokensInjected,
            "ours, a token never seen: ES256, session and upstream token unsealed, injected",
        ),
        scenario(
            "cold_rs256",
            "rs256",
            rs256_in_turn(),
            Passes::GoodTokensInjected,
            "ours, a token never seen: RS256, otherwise the same",
        ),
        scenario(
            "fast_identity",
            "identity",
            again(&identity)?,
            Passes::GoodTokensInjected,
            "as fast, with two identity headers and a signed identity token",
        ),
        scenario(
            "fast_one_provider",
            "one_provider",
            again(&one)?,
            Passes::GoodTokensInjected,
            "as fast, at the provider of the next one",
        ),
        scenario(
            "fast_two_providers",
            "two_providers",
            again(&two)?,
            Passes::GoodTokensInjected,
            "the same with another provider, which users may connect",
        ),
        scenario(
            "fast_trusted",
            "trusted",
            Supply::Again(foreign_tokens[0].clone()),
            Passes::GoodTokens,
            "ours, a trusted issuer's token verified before; nothing is injected",
        ),
        scenario(
            "cold_trusted",
            "trusted",
            Supply::InTurn(foreign_tokens),
            Passes::GoodTokens,
            "ours, a trusted issuer's token never seen: ES256",
        ),
        scenario("malformed", "es256", Supply::Again(malformed), Passes::Nobody, "the token is not a compact JWS"),
        scenario(
            "unknown_key",
            "es256",
            Supply::Again(unknown),
            Passes::Nobody,
            "the token was signed with an unknown key",
        ),
        scenario("bad_signature", "es256", Supply::Again(forged), Passes::Nobody, "the token signature is invalid"),
    ];

    if let Some(wanted) = env::var("SCENARIOS").ok().filter(|wanted| !wanted.is_empty()) {
        scenarios
            .retain(|scenario| COMPARED.contains(&scenario.key) || wanted.split(',').any(|one| one == scenario.key));
    }
    for scenario in &mut scenarios {
        scenario.prove().map_err(|why| format!("{why}\nEnvoy's log:\n{}", envoy.log_tail()))?;
    }
    let time = Duration::from_secs_f64(seconds as f64 / (rounds * scenarios.len()) as f64);
    scenarios::climb(&mut scenarios, rounds, time)?;
    check_paths(&envoy, &scenarios)?;
    write_results(&scenarios, rounds, pinned)
}

/// A provider that users may connect, and that a login does not go to.
fn on_demand(gateway: &Gateway, provider: &Provider) -> Value {
    let issuer = provider.issuer();
    json!({
        "name": "other",
        "type": "oauth2",
        "login": "onDemand",
        "oauth2Config": {
            "authorizationEndpoint": format!("{issuer}/auth"),
            "tokenEndpoint": format!("{issuer}/token"),
            "cluster": gateway.idp_cluster(),
            "clientId": gateway::CLIENT,
            "clientSecret": { "inline": gateway::IDP_SECRET },
            "identityFromToken": { "subjectPath": "sub" },
        },
    })
}

/// The configuration of a gateway that is no authorization server and trusts this issuer.
fn trusting(issuer: &Provider, resource: &str) -> Value {
    json!({
        "development": true,
        "trustedIssuers": [{
            "issuer": issuer.issuer(),
            "jwksUrl": format!("{}/jwks", issuer.issuer()),
            "cluster": "idp_identity",
            "audiences": [resource],
        }],
        "resources": [{ "resource": resource, "match": { "prefix": "/api" }, "scopes": ["openid"] }],
    })
}

/// Prints the table and writes the document.
fn write_results(scenarios: &[Scenario], rounds: usize, pinned: bool) -> Result<(), String> {
    let path = target().join("bench/ladder.json");
    fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).map_err(text)?;
    let document = serde_json::to_string_pretty(&scenarios::document(scenarios)).map_err(text)?;
    fs::write(&path, document + "\n").map_err(text)?;
    let place = if pinned { "Envoy alone on one processor, the load on another" } else { "nothing is pinned" };
    let explained = format!(
        "Processor time of the Envoy process (one worker) a request: medians of {rounds} rounds, each scenario once a round; what\n\
         is added is the median of what a scenario is above `none` in the same round.\n\
         A request: HTTP/1.1 on {} kept connections, answered by Envoy itself with 200, no backend, no access log; {place}.\n\
         The load's own time is not counted.\n",
        load::CONNECTIONS
    );
    let mut out = std::io::stdout();
    writeln!(out, "\n{explained}\n{}\n\nAlso in {}", scenarios::table(scenarios), path.display()).map_err(text)
}

/// By the filter's own counters: the scenarios went the way they are named after.
fn check_paths(envoy: &Envoy, scenarios: &[Scenario]) -> Result<(), String> {
    let fast = scenarios::requests(scenarios, |scenario| scenario.key == "fast");
    let cold = scenarios::requests(scenarios, scenarios::is_cold);
    let patience = Instant::now() + Duration::from_secs(5);
    loop {
        // The filter hands its counters to Envoy on a tick.
        let counted = (envoy.counter("portcullis.path.fast")?, envoy.counter("portcullis.path.slow")?);
        if counted.0 >= fast && counted.1 >= cold {
            return Ok(());
        }
        if Instant::now() > patience {
            let (on_fast, on_slow) = counted;
            return Err(format!("{fast} fast and {cold} cold requests took {on_fast} fast and {on_slow} slow paths"));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Ports that no other process gets until Envoy listens there.
struct Ports(Vec<(&'static str, TcpListener, u16)>);

impl Ports {
    fn take() -> Result<Self, String> {
        let take = |name| {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(text)?;
            let port = listener.local_addr().map_err(text)?.port();
            Ok((name, listener, port))
        };
        LISTENERS.into_iter().map(take).collect::<Result<_, _>>().map(Self)
    }

    fn of(&self, name: &str) -> u16 {
        self.0.iter().find(|(held, _, _)| *held == name).map_or(0, |(_, _, port)| *port)
    }

    /// Leaves the ports to Envoy.
    fn release(self) -> Vec<(&'static str, u16)> {
        self.0.into_iter().map(|(name, _, port)| (name, port)).collect()
    }
}

fn build_one_header() -> Result<PathBuf, String> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = ["build", "--quiet", "--release", "--target", "wasm32-wasip1", "-p", "portcullis-one-header"];
    let status = Command::new(cargo).args(arguments).current_dir(paths::project()).status().map_err(text)?;
    if !status.success() {
        return Err("the filter to compare with was not built".to_owned());
    }
    Ok(target().join("wasm32-wasip1/release/portcullis_one_header.wasm"))
}

/// The listeners; that of the gateway with the ES256 key serves several scenarios.
const LISTENERS: [&str; 14] = [
    "none",
    "idle",
    "one_header",
    "jwt_authn_cached",
    "jwt_authn_rs256",
    "jwt_authn_es256",
    "ext_authz",
    "ext_authz_injected",
    "es256",
    "rs256",
    "identity",
    "one_provider",
    "two_providers",
    "trusted",
];
/// The scenarios that every other one is compared with, and that no choice leaves out.
const COMPARED: [&str; 2] = ["none", "one_header"];
/// How often each scenario has its turn: many short ones, since a busy host slows everything down
/// for a second at a time.
pub(crate) const SCENARIO_ROUNDS: usize = 300;
/// Tokens of one login that take turns: some three times as many as a worker remembers in its 8
/// MiB.
const TOKENS: usize = 12_000;
