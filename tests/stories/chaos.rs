//! One failover of each kind under load, with everything that was promised checked afterwards.
//! `make chaos ROUNDS=50` is the long form.

use std::process::Command;

use portcullis_testbed::paths;

use crate::machine;

#[test]
fn a_master_that_fails_in_any_of_five_ways_costs_nothing_that_was_acknowledged() {
    machine::take_alone();
    let run = Command::new(paths::program("chaos")).env("ROUNDS", "5").env("SEED", "").output();
    let run = run.expect("it runs");
    let told = format!("{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{told}");
    for fault in ["kill", "freeze", "order", "cut", "silence"] {
        assert!(told.lines().any(|line| line.contains(fault) && line.ends_with("ok")), "no {fault} in {told}");
    }
    println!("{told}");
}

#[test]
fn a_number_that_is_none_is_refused() {
    let run = Command::new(paths::program("chaos")).env("ROUNDS", "many").output().expect("it runs");
    assert!(!run.status.success());
    assert!(String::from_utf8_lossy(&run.stderr).contains("ROUNDS=many"));
}
