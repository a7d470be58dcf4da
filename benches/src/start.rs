//! How long Envoy takes to its first answer, and what a worker's memory comes to: with our filter
//! and without.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use portcullis_testbed::paths;
use portcullis_testbed::redis::free_port;
use serde_json::{Value, json};

use crate::cpu;
use crate::envoy::{self, At, Envoy, Listener};
use crate::gateway::Gateway;
use crate::load::{self, Load};
use crate::provider::Provider;
use crate::scenario::{self, request};
use crate::scenarios::{Spread, report, round};
use crate::text;

/// Starts Envoy this number of times with the filter and without, sends each of the last two a
/// number of requests, prints what came of it and writes `start.json` into the folder.
///
/// # Errors
/// What could not be started, or a request that was refused.
pub(crate) fn run(rounds: usize, requests: usize, folder: &Path) -> Result<(), String> {
    let dir = tempfile::Builder::new().prefix("portcullis-bench-").tempdir().map_err(text)?;
    if cpu::can_pin() {
        cpu::pin_this_process()?;
    }
    let provider = Provider::start()?;
    let gateway = Gateway::with_provider("start", free_port(), &provider)?;
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for number in 1..=rounds {
        for (filtered, starts) in [(true, &mut ours), (false, &mut bare)] {
            let (envoy, took) = start(&gateway, filtered, dir.path(), cpu::BOTH_CORES)?;
            starts.push(Start { took, worked: cpu::used(envoy.id())? });
        }
        report(&format!("start {number} of {rounds}: {:.3} s, {:.3} s without", seconds(&ours), seconds(&bare)));
    }
    let bytes = fs::metadata(paths::module()).map_err(text)?.len();
    report(&format!("{requests} requests with the filter, and without …"));
    let (filtered, sent) = {
        let (envoy, _) = start(&gateway, true, dir.path(), cpu::ENVOY_CORE)?;
        // The login lives in this Envoy's memory; without the filter any token will do.
        let login = gateway.log_in()?;
        let bearer = |token: &String| request(&format!("{}/things", scenario::OURS), Some(&format!("Bearer {token}")));
        let sent =
            Sent { again: bearer(&login.token), others: login.more_tokens(TOKENS)?.iter().map(bearer).collect() };
        let points = memory(&envoy, gateway.port, &sent, requests);
        (points.map_err(|why| format!("{why}\nEnvoy's log:\n{}", envoy.log_tail()))?, sent)
    };
    let (envoy, _) = start(&gateway, false, dir.path(), cpu::ENVOY_CORE)?;
    let unfiltered = memory(&envoy, gateway.port, &sent, requests)?;
    let series = |points: &[(usize, f64)]| -> Vec<Value> {
        points.iter().map(|(requests, mib)| json!([requests, round(*mib)])).collect()
    };
    let [before, half, after] = added(&filtered, &unfiltered);
    let spread = |starts: &[Start], of: fn(&Start) -> Duration| {
        Spread::of(starts.iter().map(|start| (of(start).as_secs_f64() * 1e4).round() / 1e4))
    };
    let worked = [&ours, &bare].map(|starts| spread(starts, |start| start.worked).median);
    let [ours, bare] = [&ours, &bare].map(|starts| spread(starts, |start| start.took));
    let document = json!({
        "module_bytes": bytes,
        "first_answer_s": { "filter": ours.median, "most": ours.most, "without": bare.median },
        "processor_s": { "filter": worked[0], "without": worked[1] },
        "memory": {
            "requests": requests,
            "added_before_mib": round(before), "added_half_mib": round(half), "added_after_mib": round(after),
            "filter": series(&filtered), "without": series(&unfiltered),
        },
    });
    fs::create_dir_all(folder).map_err(text)?;
    let path = folder.join("start.json");
    let written = serde_json::to_string_pretty(&document).map_err(text)?;
    fs::write(&path, written + "\n").map_err(text)?;
    let mut out = std::io::stdout();
    writeln!(
        out,
        "\nThe module has {bytes} bytes. From the start of the Envoy process to its first answer, medians of {rounds}:\n\
         {:.3} s with the filter ({:.3} s at most), {:.3} s without; of these {:.3} s and {:.3} s on a processor.\n\n\
         Resident memory that the filter adds to an Envoy with one worker (V8, the main thread's VM and the worker's):\n\
         {before:.1} MiB when it first serves, {half:.1} MiB after {} requests, {after:.1} MiB after {requests}.\n\
         Every other request has one of {TOKENS} tokens in turn, more than a worker remembers; the others have the same one.\n\n\
         Also in {}",
        ours.median,
        ours.most,
        bare.median,
        worked[0],
        worked[1],
        requests / 2,
        path.display()
    )
    .map_err(text)
}

/// One start: how long until the first answer, and the processor time until then.
struct Start {
    took: Duration,
    worked: Duration,
}

/// The requests, with one token again and again and with others in turn.
struct Sent {
    again: Vec<u8>,
    others: Vec<Vec<u8>>,
}

/// Starts Envoy on these processors, and tells how long it took until it served a request.
fn start(gateway: &Gateway, filtered: bool, dir: &Path, processors: &str) -> Result<(Envoy, Duration), String> {
    let filter = filtered.then(|| envoy::ours(gateway));
    let listeners = [Listener { port: gateway.port, filter, back_end: None }];
    let clusters = [(gateway.idp_cluster(), At::Port(gateway.idp_port))];
    let request = format!("GET {FIRST} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\n\r\n", gateway.port);
    let begun = Instant::now();
    let envoy = Envoy::launch(1, processors, &listeners, &clusters, &[gateway], dir)?;
    while !load::ask(gateway.port, request.as_bytes()).is_ok_and(|answer| answer.status == 200) {
        if begun.elapsed() > PATIENCE {
            return Err(format!("Envoy did not serve:\n{}", envoy.log_tail()));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok((envoy, begun.elapsed()))
}

/// The resident memory in MiB after numbers of requests, beginning with none.
fn memory(envoy: &Envoy, port: u16, sent: &Sent, requests: usize) -> Result<Vec<(usize, f64)>, String> {
    let turns = sent.others.iter().flat_map(|other| [sent.again.as_slice(), other.as_slice()]);
    let mut endless = turns.cycle();
    let mut load = Load::open(port)?;
    let mut points = vec![(0, cpu::resident_mib(envoy.id())?)];
    for point in 1..=POINTS {
        let done = requests * (point - 1) / POINTS;
        let upto = requests * point / POINTS;
        load.run(endless.by_ref().take(upto - done), Duration::MAX, 200)?;
        points.push((upto, cpu::resident_mib(envoy.id())?));
    }
    Ok(points)
}

/// What the filter adds before the first request, after half of them, and after all.
fn added(filtered: &[(usize, f64)], unfiltered: &[(usize, f64)]) -> [f64; 3] {
    let at = |index: usize| {
        filtered.get(index).zip(unfiltered.get(index)).map_or(f64::NAN, |(with, without)| with.1 - without.1)
    };
    [at(0), at(POINTS / 2), at(POINTS)]
}

fn seconds(starts: &[Start]) -> f64 {
    starts.last().map_or(f64::NAN, |start| start.took.as_secs_f64())
}

/// Served by the filter where there is one.
const FIRST: &str = "/.well-known/oauth-authorization-server";
const PATIENCE: Duration = Duration::from_secs(60);
/// More than a VM remembers, so that most of them are validated each time.
const TOKENS: usize = 20_000;
/// How often memory is looked at.
const POINTS: usize = 20;
