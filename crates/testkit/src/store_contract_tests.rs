use std::task::Waker;

use super::*;
use crate::fakes::{FakeCells, FakeStore, FixedClock, block_on};
use portcullis_gateway::store::memory::MemoryStore;

fn memory_store(clock: FixedClock, budget: u64) -> MemoryStore<FakeCells, FixedClock> {
    MemoryStore::new(FakeCells::default(), clock, budget)
}

fn keeps_the_contract<S: Store>(store: &S, clock: &FixedClock) {
    for case in CASES {
        for phase in 0..case.phases {
            if phase > 0 {
                clock.advance(PAUSE_SECONDS);
            }
            if let Err(Failure(what)) = block_on(run(store, 7, case.name, phase)) {
                panic!("{}, phase {phase}: {what}", case.name);
            }
        }
    }
}

/// Polls several futures in turn until all are done.
fn interleave<'a, T>(mut workers: Vec<Pin<Box<dyn Future<Output = T> + 'a>>>) -> Vec<T> {
    let mut done = Vec::new();
    while !workers.is_empty() {
        workers.retain_mut(|worker| match worker.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => {
                done.push(value);
                false
            }
            Poll::Pending => true,
        });
    }
    done
}

#[test]
fn the_fake_keeps_the_contract() {
    let clock = FixedClock::new(1_000);
    keeps_the_contract(&FakeStore::new(clock.clone()), &clock);
}

#[test]
fn the_memory_store_keeps_the_contract() {
    let clock = FixedClock::new(1_000);
    keeps_the_contract(&memory_store(clock.clone(), 64 * 1024 * 1024), &clock);
}

#[test]
fn the_memory_store_keeps_the_contract_in_a_single_cell() {
    let clock = FixedClock::new(1_000);
    keeps_the_contract(&memory_store(clock.clone(), 0), &clock);
}

#[test]
fn no_increment_is_lost_between_interleaved_workers() {
    let store = memory_store(FixedClock::new(1_000), 0);
    let workers = (0..5).map(|_| Box::pin(add_up(&store, 7, 40)) as Pin<Box<dyn Future<Output = _>>>).collect();
    let lost: u32 = interleave(workers).into_iter().map(Result::unwrap).sum();
    assert!(lost > 0, "the workers never met");
    assert_eq!(block_on(sum(&store, 7)).unwrap(), 200);
}

#[test]
fn each_contest_has_one_winner() {
    let store = memory_store(FixedClock::new(1_000), 0);
    let workers = (0..5).map(|_| Box::pin(contend(&store, 7, 40)) as Pin<Box<dyn Future<Output = _>>>).collect();
    assert_eq!(interleave(workers).into_iter().map(Result::unwrap).sum::<u32>(), 40);
}
