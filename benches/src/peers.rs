//! `make peers`: the same tool call through Portcullis and through other gateways that run on one
//! machine, all in one run in front of one backend, asked by one client.
//!
//! Reading order: here, then [`result`] (one way to a call), [`fastmcp`] and [`contextforge`] (how
//! the peers are set up), [`back_end`].

pub(crate) mod back_end;
mod contextforge;
mod fastmcp;
mod result;

use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use portcullis_testbed::http::Request;
use portcullis_testbed::paths;
use portcullis_testbed::process::Process;
use serde_json::{Map, Value, json};

use self::result::{Injects, PeerResult};
use crate::envoy::{self, At, Envoy, Listener};
use crate::gateway::Gateway;
use crate::load::{self, Load};
use crate::scenarios::{Spread, report, round};
use crate::{cpu, own_service, target, text};

/// Starts everything, measures every result once a round, prints the table and writes the document.
///
/// # Errors
/// What did not start, or a call that failed.
pub(crate) fn run(rounds: usize, seconds: usize, folder: &Path) -> Result<(), String> {
    let dir = tempfile::Builder::new().prefix("portcullis-peers-").tempdir().map_err(text)?;
    let pinned = cpu::can_pin();
    if pinned {
        cpu::pin_this_process()?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(text)?;

    report("starting the backend, and Envoy with Portcullis …");
    let (service, behind) = own_service::start(back_end::ARGUMENT, dir.path())?;
    let (bare_port, own_port) = (free_port()?, free_port()?);
    let gateway = Gateway::es256(own_port, dir.path())?;
    let plugin = gateway.plugin();
    let filter = envoy::wasm(gateway.name, &paths::module(), &plugin, &[gateway.key_variable()]);
    let listener = |port, filter| Listener { port, filter, back_end: Some(BACK_END) };
    let listeners = [listener(bare_port, None), listener(own_port, Some(filter))];
    let clusters = [(BACK_END.to_owned(), At::Port(behind)), (gateway.idp_cluster(), At::Port(gateway.idp_port))];
    let envoy = Envoy::start(&listeners, &clusters, &[&gateway], dir.path())?;
    let login = gateway.log_in()?;

    report("starting FastMCP and ContextForge …");
    let fastmcp = |mode| runtime.block_on(fastmcp::Server::start(mode, free_port()?, behind, dir.path()));
    let (open, injecting, own_tool) = (fastmcp("open")?, fastmcp("injected")?, fastmcp("own_tool")?);
    let forge = |sessions| runtime.block_on(contextforge::Server::start(sessions, free_port()?, behind, dir.path()));
    let (stateless, sessions) = (forge(false)?, forge(true)?);

    let result = |key, what, port, path: &str, token: Option<&String>, injects, process| PeerResult {
        key,
        what,
        port,
        path: path.to_owned(),
        tool: back_end::TOOL,
        token: token.cloned(),
        sessions: Vec::new(),
        injects,
        process,
        samples: Vec::new(),
    };
    let of_fastmcp = |key, what, server: &fastmcp::Server, injects| {
        result(key, what, server.port, "/mcp", server.token.as_ref(), injects, server.id())
    };
    let of_forge = |key, what, server: &contextforge::Server| PeerResult {
        tool: "instant-echo",
        sessions: server.sessions.clone(),
        ..result(
            key,
            what,
            server.port,
            &server.path,
            Some(&server.token),
            Injects::Fixed(contextforge::UPSTREAM_TOKEN),
            server.id(),
        )
    };
    let mut results = [
        result("back_end", "nothing: the backend itself", behind, "/mcp", None, Injects::Nothing, service.id()),
        result("envoy", "Envoy without a filter", bare_port, "/api/mcp", None, Injects::Nothing, envoy.id()),
        result(
            "portcullis",
            "Envoy with Portcullis: its token verified before, the user's upstream token injected",
            own_port,
            "/api/mcp",
            Some(&login.token),
            Injects::UpstreamJwt,
            envoy.id(),
        ),
        of_fastmcp("fastmcp_open", "FastMCP's proxy, open to all", &open, Injects::Nothing),
        of_fastmcp(
            "fastmcp",
            "FastMCP's proxy behind its OAuth proxy, the user's upstream token injected",
            &injecting,
            Injects::UpstreamJwt,
        ),
        of_fastmcp(
            "fastmcp_own_tool",
            "FastMCP's OAuth proxy before a tool in the same process, no backend",
            &own_tool,
            Injects::NoBackEnd,
        ),
        of_forge("contextforge", "ContextForge without sessions (its default), a fixed upstream token", &stateless),
        of_forge(
            "contextforge_session",
            "ContextForge within MCP sessions, one a connection, a fixed upstream token",
            &sessions,
        ),
    ];
    for result in &results {
        runtime.block_on(result.prove())?;
    }

    let time = Duration::from_secs_f64(seconds as f64 / (rounds * results.len()) as f64);
    let mut loads = results.iter().map(|result| Load::open(result.port)).collect::<Result<Vec<_>, _>>()?;
    for (result, load) in results.iter().zip(&mut loads) {
        result.measure(load, WARM_UP)?;
    }
    for number in 1..=rounds {
        report(&format!("round {number} of {rounds}:"));
        for (result, load) in results.iter_mut().zip(&mut loads) {
            // Servers in Python close connections that were silent for some seconds.
            *load = Load::open(result.port)?;
            let sample = result.measure(load, time)?;
            result.samples.push(sample);
            report(&format!("  {:<20} {:>10.1} µs {:>9.0} a second", result.key, sample.cpu_us, sample.rps));
        }
    }
    write_results(&results, rounds, pinned, folder)
}

/// Prints the table and writes the document.
fn write_results(results: &[PeerResult], rounds: usize, pinned: bool, folder: &Path) -> Result<(), String> {
    let own = results.iter().find(|result| result.key == "portcullis").map_or(f64::NAN, |result| cpu_of(result).median);
    let mut lines = vec![format!(
        "{:<20} {:>10} {:>21} {:>8} {:>9}   what a call passes",
        "result", "cpu µs", "min – max", "× ours", "calls/s"
    )];
    let mut entries = Map::new();
    for result in results {
        let cpu = cpu_of(result);
        let rate = Spread::of(result.samples.iter().map(|sample| sample.rps)).median;
        let range = format!("{:.1} – {:.1}", cpu.least, cpu.most);
        let times = cpu.median / own;
        lines.push(format!(
            "{:<20} {:>10.1} {range:>21} {times:>8.2} {rate:>9.0}   {}",
            result.key, cpu.median, result.what
        ));
        let entry = json!({
            "cpu_us": round(cpu.median), "least_us": round(cpu.least), "most_us": round(cpu.most),
            "rps": rate.round(), "what": result.what,
        });
        entries.insert(result.key.to_owned(), entry);
    }
    let document =
        json!({ "versions": versions()?, "connections": load::CONNECTIONS, "rounds": rounds, "results": entries });
    let path = folder.join("peers.json");
    fs::create_dir_all(folder).map_err(text)?;
    fs::write(&path, serde_json::to_string_pretty(&document).map_err(text)? + "\n").map_err(text)?;
    let place =
        if pinned { "each gateway on one processor, load and backend on the other" } else { "nothing is pinned" };
    writeln!(
        std::io::stdout(),
        "\nProcessor time of the gateway's process a tool call: medians of {rounds} rounds, each result once a round.\n\
         A call: POST over HTTP/1.1 on {} kept connections; one process and one worker each; {place}.\n\
         The time of the load and of the backend is not counted, but in the first result.\n\n{}\n\nAlso in {}",
        load::CONNECTIONS,
        lines.join("\n"),
        path.display()
    )
    .map_err(text)
}

fn cpu_of(result: &PeerResult) -> Spread {
    Spread::of(result.samples.iter().map(|sample| sample.cpu_us))
}

/// The versions that were installed, by package.
fn versions() -> Result<Value, String> {
    let pins = [("fastmcp.txt", "fastmcp"), ("contextforge.txt", "mcp-contextforge-gateway")];
    let version = |(file, package): (&str, &str)| {
        let pinned = fs::read_to_string(paths::project().join("benches/peers").join(file)).map_err(text)?;
        let mut pinned = pinned.lines().filter_map(|line| line.split_once("=="));
        let (_, version) = pinned.find(|(name, _)| *name == package).ok_or_else(|| format!("{file}: no {package}"))?;
        Ok((package.to_owned(), json!(version)))
    };
    pins.into_iter().map(version).collect::<Result<Map<_, _>, String>>().map(Value::Object)
}

/// The virtual environment that `make peers` made for a peer.
fn venv(name: &str) -> PathBuf {
    target().join("peers").join(name)
}

/// A port that is free now. The peers want to be told theirs.
fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(text)?;
    listener.local_addr().map(|address| address.port()).map_err(text)
}

async fn until_it_serves(process: &mut Process, port: u16, path: &str) -> Result<(), String> {
    let patience = Instant::now() + STARTUP;
    loop {
        process.check_alive()?;
        if Request::get(&format!("http://127.0.0.1:{port}{path}")).try_send().await.is_ok() {
            return Ok(());
        }
        if Instant::now() > patience {
            return Err(format!("not ready in time:\n{}", process.log_tail()));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

const BACK_END: &str = "back_end";
/// ContextForge makes its database first.
const STARTUP: Duration = Duration::from_secs(120);
const WARM_UP: Duration = Duration::from_secs(2);
