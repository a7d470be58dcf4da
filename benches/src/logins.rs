//! Logins and refreshes: what they cost inside Envoy, with a provider that answers at once.
//!
//! Reading order: here, then [`flow`] (one login, step by step).

pub(crate) mod flow;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use portcullis_testbed::oauth_client::OAuthClient;
use portcullis_testbed::redis::free_port;
use serde_json::{Map, Value, json};

use crate::cpu;
use crate::envoy::{self, At, Envoy, Listener};
use crate::gateway::{Gateway, runtime};
use crate::load::{CONNECTIONS, Load};
use crate::logins::flow::{Flow, STEPS};
use crate::provider::Provider;
use crate::scenarios::{Spread, report, round};
use crate::text;

/// What was measured: one sample a round, by step, in microseconds of Envoy's processor.
type Samples = Vec<(&'static str, Vec<f64>)>;

/// Measures for about `seconds` seconds in `rounds` rounds, prints the table and writes
/// `logins.json` into the folder.
///
/// # Errors
/// What could not be started, or a step that was refused.
pub(crate) fn run(rounds: usize, seconds: usize, folder: &Path) -> Result<(), String> {
    let dir = tempfile::Builder::new().prefix("portcullis-bench-").tempdir().map_err(text)?;
    if cpu::can_pin() {
        cpu::pin_this_process()?;
    }
    report("starting Envoy and a provider that answers at once …");
    let provider = Provider::start()?;
    let port = free_port();
    let mut gateway = Gateway::with_provider("logins", port, &provider)?;
    // Room for every login of a run.
    gateway.storage = json!({ "type": "memory", "maxBytes": 1 << 30 });
    let bare = free_port();
    let listeners = [
        Listener { port, filter: Some(envoy::ours(&gateway)), back_end: None },
        Listener { port: bare, filter: None, back_end: None },
    ];
    let clusters = [(gateway.idp_cluster(), At::Port(provider.port))];
    let envoy = Envoy::start(&listeners, &clusters, &[&gateway], dir.path())?;
    let client = runtime()?.block_on(async { OAuthClient::discover(&gateway.resource()).await.register().await });
    let time = Duration::from_secs_f64(seconds as f64 / rounds as f64);
    let measured = measure(&envoy, &client, (port, bare), rounds, time);
    let samples = measured.map_err(|why| format!("{why}\nEnvoy's log:\n{}", envoy.log_tail()))?;
    write_results(&document(&samples), rounds, folder)
}

/// Of each round two thirds are logins, and the rest is refreshes of their tokens and requests that
/// pass no filter.
fn measure(
    envoy: &Envoy,
    client: &OAuthClient,
    (port, bare): (u16, u16),
    rounds: usize,
    time: Duration,
) -> Result<Samples, String> {
    let (mut load, mut bare) = (Load::open(port)?, Load::open(bare)?);
    let names = STEPS.into_iter().chain([LOGIN, REFRESH, BARE]);
    let mut samples: Samples = names.map(|name| (name, Vec::new())).collect();
    // Before the first round everything was done a few times.
    for number in 0..=rounds {
        let (logins, rest) = if number == 0 { (WARM_UP, WARM_UP) } else { (time * 2 / 3, time / 6) };
        let (steps, mut flows) = log_in(envoy, client, &mut load, logins)?;
        let refresh = repeat(envoy, rest, || {
            let at = flows.len().saturating_sub(CONNECTIONS);
            let mut again: Vec<Flow<'_>> = flows.drain(at..).collect();
            step(&mut load, &mut again, Flow::refresh)?;
            // The least recently refreshed is next.
            flows.splice(0..0, again);
            Ok(())
        })?;
        let request = Flow::new(client).authorize()?;
        let nothing = repeat(envoy, rest, || bare.exchange(&vec![request.clone(); CONNECTIONS]).map(drop))?;
        if number > 0 {
            let login = steps.iter().sum();
            let values = steps.into_iter().chain([login, refresh, nothing]);
            samples.iter_mut().zip(values).for_each(|((_, held), value)| held.push(value));
            report(&format!("round {number} of {rounds}: login {login:>8.1} µs, refresh {refresh:>8.1} µs"));
        }
    }
    Ok(samples)
}

/// Logs users in for so long; what each step cost, and the logins.
fn log_in<'a>(
    envoy: &Envoy,
    client: &'a OAuthClient,
    load: &mut Load,
    time: Duration,
) -> Result<([f64; STEPS.len()], Vec<Flow<'a>>), String> {
    let mut spent = [Duration::ZERO; STEPS.len()];
    let mut done = Vec::new();
    let end = Instant::now() + time;
    while Instant::now() < end {
        let mut flows: Vec<Flow<'a>> = (0..CONNECTIONS).map(|_| Flow::new(client)).collect();
        through(envoy, load, &mut flows, &mut spent)?;
        done.extend(flows);
    }
    Ok((spent.map(|spent| micros(spent, done.len())), done))
}

/// Takes new logins through all steps, and adds what each of these cost.
///
/// # Errors
/// The head of a refusal, or a broken connection.
pub(crate) fn through<'a>(
    envoy: &Envoy,
    load: &mut Load,
    flows: &mut [Flow<'a>],
    spent: &mut [Duration; STEPS.len()],
) -> Result<(), String> {
    let mut before = cpu::used(envoy.id())?;
    let steps: [Step<'a>; STEPS.len()] = [Flow::authorize, Flow::consent, Flow::call_back, Flow::redeem];
    for (make, spent) in steps.into_iter().zip(spent) {
        step(load, flows, make)?;
        let now = cpu::used(envoy.id())?;
        *spent += now.saturating_sub(before);
        before = now;
    }
    Ok(())
}

type Step<'a> = fn(&mut Flow<'a>) -> Result<Vec<u8>, String>;

/// Takes all of them one step further.
fn step<'a>(load: &mut Load, flows: &mut [Flow<'a>], make: Step<'a>) -> Result<(), String> {
    let requests = flows.iter_mut().map(make).collect::<Result<Vec<_>, _>>()?;
    let answers = load.exchange(&requests)?;
    flows.iter_mut().zip(answers).try_for_each(|(flow, answer)| flow.keep(answer))
}

/// What each of [`CONNECTIONS`] things at once cost, done again and again for so long.
fn repeat(envoy: &Envoy, time: Duration, mut once: impl FnMut() -> Result<(), String>) -> Result<f64, String> {
    let (before, end, mut count) = (cpu::used(envoy.id())?, Instant::now() + time, 0);
    while Instant::now() < end {
        once()?;
        count += CONNECTIONS;
    }
    Ok(micros(cpu::used(envoy.id())?.saturating_sub(before), count))
}

/// The cost of each of this number, in microseconds.
#[must_use]
pub(crate) fn micros(spent: Duration, count: usize) -> f64 {
    spent.as_secs_f64() * 1e6 / count as f64
}

fn document(samples: &Samples) -> Map<String, Value> {
    let entry = |(name, values): &(&str, Vec<f64>)| {
        let spread = Spread::of(values.iter().copied());
        let entry = json!({
            "cpu_us": round(spread.median), "least_us": round(spread.least), "most_us": round(spread.most),
            "per_core": (1e6 / spread.median).round(),
        });
        ((*name).to_owned(), entry)
    };
    samples.iter().map(entry).collect()
}

fn write_results(document: &Map<String, Value>, rounds: usize, folder: &Path) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(text)?;
    let path = folder.join("logins.json");
    let written = serde_json::to_string_pretty(document).map_err(text)?;
    fs::write(&path, written + "\n").map_err(text)?;
    let mut lines = vec![format!("{:<12} {:>9} {:>21} {:>9}", "result", "cpu µs", "min – max", "a core")];
    for (name, entry) in document {
        let number = |field: &str| entry[field].as_f64().unwrap_or(f64::NAN);
        let range = format!("{:.1} – {:.1}", number("least_us"), number("most_us"));
        lines.push(format!("{name:<12} {:>9.1} {range:>21} {:>9.0}", number("cpu_us"), number("per_core")));
    }
    let mut out = std::io::stdout();
    writeln!(
        out,
        "\nLogins and refreshes: processor time of the Envoy process (one worker, memory store), medians of {rounds} rounds.\n\
         A login is its four requests, of a new user with a new browser, and Envoy's call to the provider, which signs\n\
         with RS256 and whose own time is not counted. `a core` is how many fill one processor; `{BARE}` is the first\n\
         request where Envoy answers it without a filter.\n\n{}\n\nAlso in {}",
        lines.join("\n"),
        path.display()
    )
    .map_err(text)
}

const LOGIN: &str = "login";
const REFRESH: &str = "refresh";
const BARE: &str = "no_filter";
const WARM_UP: Duration = Duration::from_millis(500);
