//! `redis-bridge`: reads its configuration, then checks it, serves, or does what an operator asks.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use portcullis_redis_bridge::admin::Admin;
use portcullis_redis_bridge::config::admin::AdminConfig;
use portcullis_redis_bridge::config::{Config, Problem, Redis};
use portcullis_redis_bridge::{check, run};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Keeps Portcullis's records in Redis.
#[derive(Debug, Parser)]
#[command(name = "redis-bridge", version, subcommand_negates_reqs = true, args_conflicts_with_subcommands = true)]
struct Arguments {
    /// The configuration file (YAML); fields are overridden by PORTCULLIS_BRIDGE__… variables.
    #[arg(long, value_name = "FILE", required = true)]
    config: Option<PathBuf>,
    /// Check the configuration, try Redis, tell the result and end.
    #[arg(long)]
    check: bool,
    /// The form of the log on standard error; text on a terminal, JSON elsewhere.
    #[arg(long, value_name = "FORM")]
    log: Option<LogForm>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Look at records, end them, save them and bring them back.
    Admin(Admin),
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
    if let Some(Command::Admin(admin)) = &arguments.command {
        start_log(arguments.log, "warn");
        return operate(admin);
    }
    start_log(arguments.log, "info");
    let config = match read(&arguments.config.clone().unwrap_or_default(), Config::read) {
        Ok(config) => config,
        Err(code) => return code,
    };
    warn_of_insecurity(&config.redis);
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(code) => return code,
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

fn operate(admin: &Admin) -> ExitCode {
    let config = match read(&admin.config, AdminConfig::read) {
        Ok(config) => config,
        Err(code) => return code,
    };
    warn_of_insecurity(&config.redis);
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(code) => return code,
    };
    let done = runtime.block_on(async {
        tokio::select! {
            done = admin.run(&config) => Some(done),
            // What is half written is taken away.
            _ = tokio::signal::ctrl_c() => None,
        }
    });
    match done {
        Some(Ok(())) => ExitCode::SUCCESS,
        Some(Err(error)) => {
            say(&mut std::io::stderr(), &error.to_string());
            ExitCode::from(error.exit_code())
        }
        None => failed("interrupted"),
    }
}

/// One thread: what an operation costs is less than waking another thread for it.
fn runtime() -> Result<Runtime, ExitCode> {
    Builder::new_current_thread().enable_all().build().map_err(|error| failed(&error.to_string()))
}

/// Reads a configuration; says what is wrong with it.
fn read<T>(
    path: &Path,
    parse: impl FnOnce(&str, &BTreeMap<String, String>) -> Result<T, Vec<Problem>>,
) -> Result<T, ExitCode> {
    let wrong = |what: &str| {
        say(&mut std::io::stderr(), &format!("{}: {what}", path.display()));
        ExitCode::from(2)
    };
    let text = std::fs::read_to_string(path).map_err(|error| wrong(&error.to_string()))?;
    let environment: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, text)| Some((name.into_string().ok()?, text.into_string().ok()?)))
        .collect();
    parse(&text, &environment).map_err(|problems| {
        problems.iter().for_each(|problem| {
            wrong(&problem.to_string());
        });
        ExitCode::from(2)
    })
}

fn warn_of_insecurity(redis: &Redis) {
    for (part, tls) in [("redis", &redis.tls), ("redis sentinel", &redis.sentinel_tls)] {
        if tls.as_ref().is_some_and(|tls| tls.insecure) {
            tracing::warn!(part, "INSECURE: insecureSkipVerify is on, any certificate is taken, anybody can listen in");
        }
    }
}

/// What is logged can be set with `RUST_LOG`.
fn start_log(form: Option<LogForm>, level: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
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
