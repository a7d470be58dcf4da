//! The store's contract inside a real Envoy: the same cases as natively, on Envoy's shared data,
//! with two workers.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use portcullis_testbed::paths;
use portcullis_testbed::testbed::{Store, Testbed};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::machine;

#[tokio::test(flavor = "multi_thread")]
async fn envoys_shared_data_keeps_the_stores_contract() {
    machine::take_alone();
    let bed = Testbed::builder().store(Store::Memory).module(module()).workers(2).start().await;
    let told = ask(&bed, "cases").await;
    let cases = told["cases"].as_array().expect("a list of cases").clone();
    assert!(cases.len() > 10, "{told}");
    let phases = cases.iter().filter_map(|case| case["phases"].as_u64()).max().unwrap_or(0);
    for phase in 0..phases {
        if phase > 0 {
            pass(&bed, told["pause_seconds"].as_u64().expect("a pause")).await;
        }
        for case in cases.iter().filter(|case| case["phases"].as_u64() > Some(phase)) {
            let name = case["name"].as_str().expect("a name");
            assert_eq!(ask(&bed, &format!("{name}/{phase}?salt=1")).await, json!({ "failure": null }), "{name}");
        }
    }
    assert_ne!(ask(&bed, "no_such_case/0").await, json!({ "failure": null }));
    race_for_sums(&bed).await;
    race_for_new_records(&bed).await;
    bed.assert_healthy().await;
}

/// Both workers swap the same record; no increment may be lost. On a busy machine one worker may be
/// through before the other begins, which shows nothing, so the race goes on until they meet.
async fn race_for_sums(bed: &Testbed) {
    let patience = Instant::now() + Duration::from_secs(60);
    for round in 100.. {
        let answers = together(bed, &format!("add-up/250?salt={round}")).await;
        let lost: u64 = answers.iter().map(|answer| answer["lost"].as_u64().expect("a number")).sum();
        assert_eq!(ask(bed, &format!("sum?salt={round}")).await["sum"], 250 * answers.len());
        if lost > 0 {
            return;
        }
        assert!(Instant::now() < patience, "the two workers never met, so nothing was shown");
    }
}

/// Many write the same new records; each has one winner.
async fn race_for_new_records(bed: &Testbed) {
    let answers = together(bed, "contend/500?salt=3").await;
    let written: u64 = answers.iter().map(|answer| answer["written"].as_u64().expect("a number")).sum();
    assert_eq!(written, 500, "{answers:?}");
}

/// Makes a request many times at once, on connections of their own, so that both workers serve
/// some.
async fn together(bed: &Testbed, what: &str) -> Vec<Value> {
    let mut requests = JoinSet::new();
    for _ in 0..16 {
        let request = bed.post(&format!("/_store-contract/{what}")).timeout(Duration::from_secs(60));
        requests.spawn(async move { request.send().await.json() });
    }
    requests.join_all().await
}

/// Waits until Envoy's clock has moved on so far.
async fn pass(bed: &Testbed, seconds: u64) {
    let now = |told: Value| told["now"].as_u64().expect("the time");
    let until = now(ask(bed, "cases").await) + seconds;
    let patience = Instant::now() + Duration::from_secs(seconds + 30);
    while now(ask(bed, "cases").await) < until {
        assert!(Instant::now() < patience, "Envoy's clock stands still");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn ask(bed: &Testbed, what: &str) -> Value {
    let reply = bed.post(&format!("/_store-contract/{what}")).send().await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()
}

/// The store's contract as a module. Not optimised like a release: it is built for this story only.
fn module() -> PathBuf {
    let target = paths::project().join("target/store-module");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--release", "--target", "wasm32-wasip1", "-p", "portcullis-store-module"])
        .arg("--target-dir")
        .arg(&target)
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
        .current_dir(paths::project())
        .status();
    assert!(built.is_ok_and(|status| status.success()), "the module of the contract was not built");
    target.join("wasm32-wasip1/release/portcullis_store_module.wasm")
}
