//! `make chaos`: failovers under load, and a checker. `ROUNDS=n` (5), `SEED=n` (any). With
//! `REQUESTS=n`, instead, that number of mixed requests of many users at two providers, and whether
//! one of them gets what is another's.

use std::env;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use portcullis_testbed::chaos::{self, crossings};

#[tokio::main]
async fn main() -> ExitCode {
    let (rounds, seed) = match (number("ROUNDS", 5), number("SEED", anything())) {
        (Ok(rounds), Ok(seed)) => (usize::try_from(rounds).unwrap_or(usize::MAX), seed),
        (Err(why), _) | (_, Err(why)) => {
            let _ = writeln!(std::io::stderr(), "chaos: {why}");
            return ExitCode::FAILURE;
        }
    };
    match number("REQUESTS", 0) {
        Ok(0) => {}
        Ok(requests) => return cross(requests, seed).await,
        Err(why) => {
            let _ = writeln!(std::io::stderr(), "chaos: {why}");
            return ExitCode::FAILURE;
        }
    }
    say(&format!("{rounds} rounds, SEED={seed}"));
    match chaos::run(rounds, seed, say).await {
        Ok(()) => {
            say(&format!("{rounds} rounds: everything that was promised held."));
            ExitCode::SUCCESS
        }
        Err(evidence) => {
            say(&format!("{} violations in {rounds} rounds, SEED={seed}:", evidence.len()));
            evidence.iter().for_each(|line| say(&format!("  {line}")));
            ExitCode::FAILURE
        }
    }
}

async fn cross(requests: u64, seed: u64) -> ExitCode {
    say(&format!("{requests} requests, SEED={seed}"));
    let mut bed = crossings::testbed().await;
    let outcome = crossings::run(&mut bed, requests, seed).await;
    bed.assert_healthy().await;
    match outcome {
        Ok(summary) => {
            say(&format!("no call was given what is another's: {summary:?}"));
            ExitCode::SUCCESS
        }
        Err(found) => {
            say(&format!("{} calls were given what is another's, SEED={seed}:", found.len()));
            found.iter().take(20).for_each(|line| say(&format!("  {line}")));
            ExitCode::FAILURE
        }
    }
}

fn number(name: &str, otherwise: u64) -> Result<u64, String> {
    match env::var(name).ok().filter(|value| !value.is_empty()) {
        Some(value) => value.parse().map_err(|_| format!("{name}={value} is no fitting number")),
        None => Ok(otherwise),
    }
}

fn anything() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| u64::from(since.subsec_nanos()) ^ since.as_secs())
}

fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
