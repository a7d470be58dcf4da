//! `redis-bridge`: reads its configuration, then checks it or serves.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use portcullis_redis_bridge::config::Config;
use portcullis_redis_bridge::version::{COMMIT, VERSION};
use portcullis_redis_bridge::{StartError, check, run};
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
    /// Check the configuration, Redis and every verb, and print the result.
    #[arg(long)]
    check: bool,
    /// The format of the log on standard error [default: text on a terminal, else JSON].
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
    // The cryptography of rustls; only a second call could fail.
    let _ = rustls::crypto::ring::default_provider().install_default();
    start_log(arguments.log);
    let config = match read(&arguments.config) {
        Ok(config) => config,
        Err(code) => return code,
    };
    config.redis.warn_if_insecure();
    // One thread: waking another one costs more than an operation.
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.to_string()),
    };
    let ended = runtime.block_on(async {
        if arguments.check {
            let found = check(&config).await.map_err(|problems| lines(&problems))?;
            print(&mut std::io::stdout(), &format!("the configuration is valid, and redis answers: {found}"));
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
    // Tasks that wait for a peer are not awaited.
    runtime.shutdown_background();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

/// Reads the configuration, or prints its problems.
fn read(path: &Path) -> Result<Config, ExitCode> {
    let problem = |what: &str| {
        print(&mut std::io::stderr(), &format!("{}: {what}", path.display()));
        ExitCode::from(2)
    };
    let text = std::fs::read_to_string(path).map_err(|error| problem(&error.to_string()))?;
    let environment: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, text)| Some((name.into_string().ok()?, text.into_string().ok()?)))
        .collect();
    Config::read(&text, &environment).map_err(|problems| {
        problems.iter().for_each(|found| {
            problem(&found.to_string());
        });
        ExitCode::from(2)
    })
}

/// Starts the log, whose level `RUST_LOG` can set.
fn start_log(form: Option<LogForm>) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false);
    let terminal = std::io::stderr().is_terminal();
    match form.unwrap_or(if terminal { LogForm::Text } else { LogForm::Json }) {
        LogForm::Json => log.json().flatten_event(true).init(),
        LogForm::Text => log.init(),
    }
}

/// Each problem in a line of its own.
fn lines(problems: &[StartError]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn failed(error: &str) -> ExitCode {
    print(&mut std::io::stderr(), error);
    ExitCode::FAILURE
}

/// Prints a line. A closed output is not an error.
fn print(to: &mut impl std::io::Write, line: &str) {
    let _ = writeln!(to, "{line}");
}
