//! What the paths cost, in instructions: a number that neither a busy machine nor a fast one
//! changes.
//!
//! `make costs` runs the guard. It runs each piece of work under valgrind, a few times and some
//! more times, and takes the difference, so that what happens once (start, configuration, the first
//! login) does not count.

use std::hint::black_box;
use std::process::Command;

use portcullis_protocol::jose::alg::Alg;
use portcullis_protocol::jose::jws::{self, Header};
use serde_json::json;

use crate::browser::Browser;
use crate::fixture::{NOW, forwarded, replied, tokens_of};
use crate::protect::{fast as fast_path, with_token};
use crate::trusted_issuers;

/// The paths, and the most instructions that one passage may take. Signatures are left to the host,
/// as in Envoy, and are not counted; the provider's part of a login is. A change that makes a path
/// cheaper lowers its ceiling to some 7 % above what the guard prints: the C library's own copying
/// differs between processors.
const CEILINGS: [(&str, u64); 7] = [
    ("fast", 2_220),
    ("trusted", 2_040),
    ("cold", 85_300),
    ("malformed", 32_900),
    ("unknown key", 40_400),
    ("login", 2_690_000),
    ("refresh", 266_000),
];

#[test]
#[ignore = "needs valgrind and an optimised build: run by make costs"]
#[expect(clippy::print_stdout, reason = "the counts are what one runs it for")]
fn no_path_takes_more_instructions_than_its_ceiling() {
    let taken = CEILINGS.map(|(path, ceiling)| {
        let taken = instructions(path, FEW + MORE).saturating_sub(instructions(path, FEW)) / MORE;
        println!("{path:<12} {taken:>10} instructions, ceiling {ceiling:>10}");
        (path, taken, ceiling)
    });
    for (path, taken, ceiling) in taken {
        assert!(taken <= ceiling, "{path}: {taken} instructions, {ceiling} are allowed");
        assert!(
            taken > ceiling / 2,
            "{path}: {taken} instructions; lower the ceiling of {ceiling}, or is it not done?"
        );
    }
}

/// The work itself, for the guard's other process.
#[test]
#[ignore = "run by the guard, under valgrind"]
#[expect(clippy::disallowed_methods, reason = "told by the guard what to do")]
fn work() {
    let path = std::env::var(PATH).expect("the path");
    let times: u64 = std::env::var(TIMES).expect("how often").parse().expect("a number");
    let (fixture, token) = with_token();
    fixture.ports.leave_signatures_to_the_host();
    let fast = || drop(black_box(fast_path(&fixture, "/mcp?a=1", &token).expect("a token seen before")));
    let (trusting, foreign) = (trusted_issuers::fixture(), trusted_issuers::corp_token(NOW));
    drop(forwarded(trusting.call("/tools?a=1", &foreign)));
    let trusted = || drop(black_box(fast_path(&trusting, "/tools?a=1", &foreign).expect("a token seen before")));
    let refused = |token: &str| assert_eq!(replied(fixture.call("/mcp?a=1", token)).status(), 401);
    let cold = || {
        fixture.gateway.forget_tokens();
        drop(black_box(forwarded(fixture.call("/mcp?a=1", &token))));
    };
    let client = fixture.register();
    let log_in = || tokens_of(&fixture.redeem(&client, &fixture.code(&Browser::default(), &client, "alice"), &[]));
    let mut refresh = log_in().refresh;
    cold();
    let (_, unsigned) = token.split_once('.').expect("three parts");
    let unknown = jws::encode(&Header { alg: Alg::Es256, kid: "another", typ: "at+jwt" }, &json!({}));
    for _ in 0..times {
        match path.as_str() {
            "fast" => fast(),
            "trusted" => trusted(),
            "cold" => cold(),
            "malformed" => refused(unsigned),
            "unknown key" => refused(&jws::attach(&unknown, &[0; 64])),
            "login" => drop(black_box(log_in())),
            "refresh" => refresh = tokens_of(&fixture.refresh(&client, &refresh, &[])).refresh,
            other => panic!("no such path: {other}"),
        }
    }
}

/// The instructions of a process that does this work `times` times.
fn instructions(path: &str, times: u64) -> u64 {
    let output = Command::new("valgrind")
        .args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"])
        .arg(std::env::current_exe().expect("this program"))
        .args(["--ignored", "--exact", "costs::work", "--test-threads=1"])
        .env(PATH, path)
        .env(TIMES, times.to_string())
        .output()
        .unwrap_or_else(|error| panic!("valgrind: {error}"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{path}: {}{said}", String::from_utf8_lossy(&output.stdout));
    let line = said.lines().find(|line| line.contains("I refs:") || line.contains("I   refs:"));
    let count = line.and_then(|line| line.rsplit(':').next()).map(|count| count.replace(',', ""));
    count.and_then(|count| count.trim().parse().ok()).unwrap_or_else(|| panic!("no count in {said}"))
}

const PATH: &str = "PORTCULLIS_COSTS_PATH";
const TIMES: &str = "PORTCULLIS_COSTS_TIMES";
/// Enough for every table to have its size.
const FEW: u64 = 20;
const MORE: u64 = 100;
