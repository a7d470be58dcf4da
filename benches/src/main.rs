//! `make bench`: what a request costs inside Envoy, as a ladder measured in one run on one Envoy;
//! what a login costs ([`logins`]), how long a start takes and what memory a worker needs
//! ([`start`]), what changes as sessions, clients, workers, connections or bodies become more
//! ([`growth`]); and what the bridge costs compared with Redis itself ([`bridge`]). `make peers`:
//! other gateways compared with ours ([`peers`]).
//!
//! Reading order: here, then [`ladder`] (which scenarios there are), [`scenario`] (one
//! measurement), [`scenarios`] (all of them in turn, and the table), [`load`] (the requests),
//! [`envoy`] (what stands on which port), [`gateway`] (logins and tokens).

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a measurement that goes wrong fails loudly"
)]

mod bridge;
mod cpu;
mod envoy;
mod ext_authz_stub;
mod gateway;
mod growth;
mod ladder;
mod load;
mod logins;
mod own_service;
mod peers;
mod plots;
mod provider;
mod scenario;
mod scenarios;
mod start;

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

use portcullis_testbed::paths;

use crate::scenarios::report;

fn main() -> ExitCode {
    if env::args().nth(1).as_deref() == Some(ext_authz_stub::ARGUMENT) {
        return own_service::serve(ext_authz_stub::answer).map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
    }
    if env::args().nth(1).as_deref() == Some(bridge::byte_relay::ARGUMENT) {
        return bridge::byte_relay::serve().map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
    }
    if env::args().nth(1).as_deref() == Some(peers::back_end::ARGUMENT) {
        return own_service::serve(peers::back_end::answer).map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            report(&format!("bench: {why}"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let rounds = number("ROUNDS", 5)?.max(1);
    let seconds = number("BENCH_SECONDS", 90)?.max(1);
    let folder = target().join("bench");
    let only = env::var("ONLY").unwrap_or_default();
    let mut parts: Vec<Part<'_>> = vec![
        ("bridge", Box::new(|| bridge::run(rounds, seconds, &folder))),
        ("ladder", Box::new(|| ladder::run(number("ROUNDS", ladder::SCENARIO_ROUNDS)?.max(1), seconds))),
        ("logins", Box::new(|| logins::run(rounds, seconds, &folder))),
        ("start", Box::new(|| start::run(rounds, number("REQUESTS", 200_000)?, &folder))),
    ];
    let of_growth = growth::PARTS.each_ref().map(|part| part.name);
    for part in &growth::PARTS {
        parts.push((part.name, Box::new(|| part.run(rounds, &folder))));
    }
    if only == "peers" {
        return peers::run(rounds, seconds, &folder);
    }
    // The ladder is made of scenarios, and is asked for by either word.
    let only = if only == "scenarios" { "ladder".to_owned() } else { only };
    let wanted = |name: &str| only.is_empty() || only == name || only == "growth" && of_growth.contains(&name);
    let names: Vec<&str> = parts.iter().map(|(name, _)| *name).collect();
    if !names.iter().any(|name| wanted(name)) {
        return Err(format!("ONLY={only} is none of {}, growth and peers", names.join(", ")));
    }
    parts.iter().filter(|(name, _)| wanted(name)).try_for_each(|(_, part)| part())?;
    if env::var("PLOTS").is_ok_and(|wanted| wanted == "1") {
        plots::draw(&folder, &paths::project().join("docs/plots"))?;
    }
    Ok(())
}

/// A part of the measurements, by the word that asks for it alone.
type Part<'a> = (&'a str, Box<dyn Fn() -> Result<(), String> + 'a>);

fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| paths::project().join("target"), PathBuf::from)
}

fn number(name: &str, otherwise: usize) -> Result<usize, String> {
    match env::var(name) {
        Ok(text) if !text.is_empty() => text.parse().map_err(|_| format!("{name}={text} is no number")),
        _ => Ok(otherwise),
    }
}

fn text(error: impl ToString) -> String {
    error.to_string()
}
