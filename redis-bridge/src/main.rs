//! `redis-bridge`: reads its configuration, then checks it or serves.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use portcullis_redis_bridge::config::Config;
use portcullis_redis_bridge::{check, run};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Keeps Portcullis's records in Redis.
#[derive(Debug, Parser)]
#[command(name = "redis-bridge", version)]
struct Arguments {
    /// The configuration file (YAML); fields are overridden by PORTCULLIS_BRIDGE__… variables.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Check the configuration, try Redis, tell the result and end.
    #[arg(long)]
    check: bool,
    /// The form of the log on standard error; text on a terminal, JSON elsewhere.
    #[arg(long, value_name = "FORM")]
    log: Option<LogForm>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogForm {
    Json,
    Text,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    start_log(arguments.log);
    // TLS needs to be told whose cryptography it uses; only a second call could fail.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = match read(&arguments.config) {
        Ok(config) => config,
        Err(problems) => {
            problems.iter().for_each(|problem| say(&mut std::io::stderr(), problem));
            return ExitCode::from(2);
        }
    };
    for (part, tls) in [("redis", &config.redis.tls), ("redis sentinel", &config.redis.sentinel_tls)] {
        if tls.as_ref().is_some_and(|tls| tls.insecure) {
            tracing::warn!(part, "INSECURE: insecureSkipVerify is on, any certificate is taken, anybody can listen in");
        }
    }
    // One thread: what an operation costs is less than waking another thread for it.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.to_string()),
    };
    let ended = runtime.block_on(async {
        if arguments.check {
            let found = check(&config).await.map_err(|error| error.to_string())?;
            say(&mut std::io::stdout(), &format!("the configuration is good, and redis answers: {found}"));
            return Ok(());
        }
        let mut end = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
        let shutdown = async move {
            tokio::select! {
                _ = end.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        };
        run(config, shutdown).await.map_err(|error| error.to_string())
    });
    // What still waits for a peer is not waited for.
    runtime.shutdown_background();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn read(path: &std::path::Path) -> Result<Config, Vec<String>> {
    let text = std::fs::read_to_string(path).map_err(|error| vec![format!("{}: {error}", path.display())])?;
    let environment: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, text)| Some((name.into_string().ok()?, text.into_string().ok()?)))
        .collect();
    Config::read(&text, &environment)
        .map_err(|problems| problems.iter().map(|problem| format!("{}: {problem}", path.display())).collect())
}

/// What is logged can be set with `RUST_LOG`.
fn start_log(form: Option<LogForm>) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false);
    let terminal = std::io::stderr().is_terminal();
    match form.unwrap_or(if terminal { LogForm::Text } else { LogForm::Json }) {
        LogForm::Json => log.json().flatten_event(true).init(),
        LogForm::Text => log.init(),
    }
}

fn failed(error: &str) -> ExitCode {
    say(&mut std::io::stderr(), error);
    ExitCode::FAILURE
}

/// Where nobody reads, nothing is lost by saying nothing.
fn say(to: &mut impl std::io::Write, line: &str) {
    let _ = writeln!(to, "{line}");
}
