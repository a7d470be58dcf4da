//! `redis-bridge`: reads its configuration, then checks it or serves.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use portcullis_redis_bridge::config::Config;
use portcullis_redis_bridge::version::{COMMIT, VERSION};
use portcullis_redis_bridge::{check, run};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Keeps Portcullis's records in Redis.
#[derive(Debug, Parser)]
#[command(name = "redis-bridge", version = format!("{VERSION} (commit {COMMIT})"))]
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
    // TLS needs to be told whose cryptography it uses; only a second call could fail.
    let _ = rustls::crypto::ring::default_provider().install_default();
    start_log(arguments.log);
    let config = match read(&arguments.config) {
        Ok(config) => config,
        Err(code) => return code,
    };
    config.redis.warn_if_insecure();
    // One thread: what an operation costs is less than waking another thread for it.
    let runtime = match Builder::new_current_thread().enable_all().build() {
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

/// Reads a configuration; says what is wrong with it.
fn read(path: &Path) -> Result<Config, ExitCode> {
    let wrong = |what: &str| {
        say(&mut std::io::stderr(), &format!("{}: {what}", path.display()));
        ExitCode::from(2)
    };
    let text = std::fs::read_to_string(path).map_err(|error| wrong(&error.to_string()))?;
    let environment: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, text)| Some((name.into_string().ok()?, text.into_string().ok()?)))
        .collect();
    Config::read(&text, &environment).map_err(|problems| {
        problems.iter().for_each(|problem| {
            wrong(&problem.to_string());
        });
        ExitCode::from(2)
    })
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

/// Without a reader nothing is lost by saying nothing.
fn say(to: &mut impl std::io::Write, line: &str) {
    let _ = writeln!(to, "{line}");
}
