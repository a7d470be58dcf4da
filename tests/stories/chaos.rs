//! One failover of each kind under load, with everything that was promised checked afterwards.
//! `make chaos ROUNDS=50` is the long form. And many users at two providers at once, in trouble all
//! the time; `make chaos REQUESTS=1000000` is that one's.

use std::process::Command;

use portcullis_testbed::chaos::crossings;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_twenty_thousand_mixed_requests_no_backend_gets_what_is_anothers() {
    machine::take_alone();
    let mut bed = crossings::testbed().await;
    let seen = crossings::run(&mut bed, 20_000, 1).await.expect("no call is given what is another's");
    println!("{seen:?}");
    assert!(seen.reached > 15_000 && seen.refreshes > 50 && seen.troubles > 10, "{seen:?}");
    assert!(seen.refreshed > 50, "the providers' tokens are renewed meanwhile: {seen:?}");
    for number in 0..2 {
        let served = bed.stats_of(number, "http.gateway.downstream_rq_2xx").await;
        assert!(served.values().sum::<u64>() > 5_000, "gateway {number}: {served:?}");
        assert!(bed.bridge(number).metric("portcullis_bridge_requests_total{verb=\"get\",outcome=\"ok\"}") > 50);
    }
    bed.assert_healthy().await;
}
