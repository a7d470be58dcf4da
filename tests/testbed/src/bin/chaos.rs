//! `make chaos`: failovers under load, and a checker. `ROUNDS=n` (5), `SEED=n` (any).

use std::env;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use portcullis_testbed::chaos;

#[tokio::main]
async fn main() -> ExitCode {
    let (rounds, seed) = match (number("ROUNDS", 5), number("SEED", anything())) {
        (Ok(rounds), Ok(seed)) => (usize::try_from(rounds).unwrap_or(usize::MAX), seed),
        (Err(why), _) | (_, Err(why)) => {
            let _ = writeln!(std::io::stderr(), "chaos: {why}");
            return ExitCode::FAILURE;
        }
    };
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
