//! `make testbed`: starts a testbed, prints one line of JSON, serves until SIGTERM or SIGINT.
//!
//! `CONFIG=file.json` merges over the default plugin configuration, `WORKERS=n` sets Envoy's
//! workers, `ENVOY=` picks another Envoy, `PORT=` the gateway's port, `IDP_TOKEN_TTL=` the seconds
//! that the provider's access tokens live, `STORE=memory|standalone|sentinel` where records are
//! kept.

use std::env;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use portcullis_testbed::testbed::{Builder, IdpOptions, Testbed};
use tokio::signal::unix::{Signal, SignalKind, signal};

#[tokio::main]
async fn main() -> ExitCode {
    match serve().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            let _ = writeln!(std::io::stderr(), "testbed: {why}");
            ExitCode::FAILURE
        }
    }
}

async fn serve() -> Result<(), String> {
    let listen = |kind| signal(kind).map_err(|error| error.to_string());
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    let mut stopped = std::pin::pin!(either(&mut terminate, &mut interrupt));
    // A signal during the start drops the half-started testbed, which stops what had started.
    let mut bed = tokio::select! {
        bed = builder()?.try_start() => bed?,
        () = &mut stopped => return Ok(()),
    };
    writeln!(std::io::stdout(), "{}", bed.to_json()).map_err(|error| error.to_string())?;
    let mut watch = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            () = &mut stopped => return Ok(()),
            _ = watch.tick() => bed.check_alive()?,
        }
    }
}

fn builder() -> Result<Builder, String> {
    let mut builder = Testbed::builder();
    if let Some(file) = variable("CONFIG") {
        let bytes = std::fs::read(&file).map_err(|error| format!("CONFIG={file}: {error}"))?;
        let patch = serde_json::from_slice(&bytes).map_err(|error| format!("CONFIG={file}: {error}"))?;
        builder = builder.config(patch);
    }
    if let Some(workers) = number("WORKERS")? {
        builder = builder.workers(workers);
    }
    if let Some(port) = number("PORT")? {
        builder = builder.port(port);
    }
    if let Some(access_token_ttl) = number("IDP_TOKEN_TTL")? {
        builder = builder.idp(IdpOptions { access_token_ttl, ..IdpOptions::default() });
    }
    Ok(builder)
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

fn number<N: std::str::FromStr>(name: &str) -> Result<Option<N>, String> {
    let parse = |value: String| value.parse().map_err(|_| format!("{name}={value} is no fitting number"));
    variable(name).map(parse).transpose()
}
