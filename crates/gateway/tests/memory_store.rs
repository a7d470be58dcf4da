//! The store in shared cells: expiry, races, lack of room, and whatever bytes a cell holds.
#![cfg(test)]
#![cfg(not(target_arch = "wasm32"))]

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;

use portcullis_protocol::credentials::SessionId;
use proptest::prelude::*;

use portcullis_gateway::config::ProviderId;
use portcullis_gateway::ports::{Clock as _, Store as _, VALUE_BYTES};
use portcullis_gateway::sessions::keys::{session_key, upstream_key};
use portcullis_gateway::store::memory::{CELL_BYTES, CellError, Cells, MemoryStore, cell_count};
use portcullis_storage_api::{Bucket, Key, Kind, Owner, StoreError, Swap, Taken, Ttl, Version};
use portcullis_testkit::fakes::{FakeCells, FixedClock, block_on};

fn store(budget: u64) -> (MemoryStore<FakeCells, FixedClock>, FakeCells, FixedClock) {
    let (cells, clock) = (FakeCells::default(), FixedClock::new(1_000));
    (MemoryStore::new(cells.clone(), clock.clone(), budget), cells, clock)
}

fn key(kind: Kind, number: u8) -> Key {
    Key { kind, id: [number; 32] }
}

/// The first byte of every cell that was written.
fn format() -> u8 {
    let (store, cells, _) = store(0);
    block_on(store.put(&key(Kind::Session, 1), Vec::new(), Ttl::Forever)).unwrap();
    cells.contents()[0][0]
}

fn live(store: &MemoryStore<FakeCells, FixedClock>, key: &Key) -> Option<Vec<u8>> {
    block_on(store.get(key)).unwrap().map(|found| found.value)
}

#[test]
fn a_record_is_dead_at_the_second_it_expires() {
    let (store, _, clock) = store(0);
    let session = key(Kind::Session, 1);
    block_on(store.put(&session, b"x".to_vec(), Ttl::Seconds(10))).unwrap();
    clock.advance(9);
    assert!(live(&store, &session).is_some());
    clock.advance(1);
    assert!(live(&store, &session).is_none());
    assert!(block_on(store.put_new(&session, b"y".to_vec(), Ttl::Forever)).unwrap());
}

#[test]
fn a_lost_race_is_run_again() {
    let (store, cells, _) = store(0);
    cells.lose_races(63);
    block_on(store.put(&key(Kind::Session, 1), b"x".to_vec(), Ttl::Forever)).unwrap();
    assert_eq!(live(&store, &key(Kind::Session, 1)), Some(b"x".to_vec()));
}

#[test]
fn a_race_lost_for_ever_is_given_up() {
    let (store, cells, _) = store(0);
    cells.lose_races(1_000);
    let outcome = block_on(store.put(&key(Kind::Session, 1), b"x".to_vec(), Ttl::Forever));
    assert_eq!(outcome, Err(StoreError::Unavailable));
}

/// Cells that count how often they are read.
#[derive(Clone, Default)]
struct Counted(FakeCells, Rc<Cell<u32>>);

impl Cells for Counted {
    fn read(&self, cell: u32) -> Result<(Vec<u8>, u32), CellError> {
        self.1.set(self.1.get().saturating_add(1));
        self.0.read(cell)
    }

    fn write(&self, cell: u32, bytes: &[u8], token: u32) -> Result<bool, CellError> {
        self.0.write(cell, bytes, token)
    }
}

#[test]
fn a_change_that_follows_a_reading_reads_no_more() {
    let cells = Counted::default();
    let store = MemoryStore::new(cells.clone(), FixedClock::new(1_000), 64 * CELL_BYTES as u64);
    let keys = [(Kind::Client, 1), (Kind::Session, 2), (Kind::Upstream, 3)].map(|(kind, number)| key(kind, number));
    for key in &keys {
        block_on(store.put(key, b"x".to_vec(), Ttl::Forever)).unwrap();
    }
    let before = cells.1.get();
    let versions = keys.each_ref().map(|key| block_on(store.get(key)).unwrap().unwrap().version);
    for (key, version) in keys.iter().zip(versions) {
        let swap = block_on(store.compare_and_swap(key, version, b"y".to_vec(), Ttl::Forever)).unwrap();
        assert_eq!(swap, Swap::Swapped);
    }
    assert_eq!(cells.1.get() - before, 3);
    block_on(store.put(&keys[0], b"z".to_vec(), Ttl::Forever)).unwrap();
    assert_eq!(cells.1.get() - before, 4, "what was changed is not kept");
}

#[test]
fn a_session_and_its_upstream_tokens_are_found_with_one_reading() {
    let cells = Counted::default();
    let store = MemoryStore::new(cells.clone(), FixedClock::new(1_000), 64 * CELL_BYTES as u64);
    for number in 0..100 {
        let session = session_key(SessionId::new([number; 16]));
        let keys = [session, upstream_key(&session, ProviderId::of("idp", "https://idp.example"))];
        let values = [vec![number], vec![number, 1]];
        for (key, value) in keys.iter().zip(&values) {
            block_on(store.put(key, value.clone(), Ttl::Forever)).unwrap();
        }
        let before = cells.1.get();
        let found = block_on(store.get_both(&keys)).unwrap();
        assert_eq!(found.map(|found| found.unwrap().value), values);
        assert_eq!(cells.1.get() - before, 1);
    }
    let apart = [1, 2].map(|number| session_key(SessionId::new([number; 16])));
    let found = block_on(store.get_both(&apart)).unwrap();
    assert_eq!(found.map(|found| found.unwrap().value), [[1], [2]]);
}

#[test]
fn nothing_is_answered_from_what_was_read_before() {
    let (one, cells, clock) = store(0);
    let other = MemoryStore::new(cells, clock, 0);
    let session = key(Kind::Session, 1);
    assert_eq!(live(&one, &session), None);
    block_on(other.put(&session, b"x".to_vec(), Ttl::Forever)).unwrap();
    assert!(!block_on(one.put_new(&session, b"y".to_vec(), Ttl::Forever)).unwrap());
    let version = block_on(one.get(&session)).unwrap().unwrap().version;
    block_on(other.put(&session, b"z".to_vec(), Ttl::Forever)).unwrap();
    let swap = block_on(one.compare_and_swap(&session, version, b"y".to_vec(), Ttl::Forever)).unwrap();
    assert_eq!(swap, Swap::Conflict);
    assert!(live(&one, &session).is_some());
    block_on(other.delete(&session)).unwrap();
    assert!(block_on(one.put_new(&session, b"y".to_vec(), Ttl::Forever)).unwrap());
    let lock = key(Kind::Lock, 1);
    assert_eq!(live(&one, &lock), None);
    assert!(block_on(other.lock(&lock, Owner([1; 16]), 40)).unwrap());
    assert!(!block_on(one.lock(&lock, Owner([2; 16]), 40)).unwrap());
}

#[test]
fn a_host_that_refuses_makes_every_verb_unavailable() {
    let (store, cells, _) = store(0);
    let session = key(Kind::Session, 1);
    cells.set_broken(true);
    assert_eq!(block_on(store.get(&session)), Err(StoreError::Unavailable));
    assert_eq!(block_on(store.put_new(&session, Vec::new(), Ttl::Forever)), Err(StoreError::Unavailable));
    assert_eq!(block_on(store.delete(&session)), Err(StoreError::Unavailable));
    assert_eq!(block_on(store.put(&session, Vec::new(), Ttl::Forever)), Err(StoreError::Unavailable));
}

#[test]
fn an_unreadable_cell_is_empty_and_counted() {
    for bytes in [vec![9; 40], vec![format()], vec![format(); 30], [&[format()][..], &[0; 8], &[2; 51]].concat()] {
        let (store, cells, _) = store(0);
        cells.corrupt(0, bytes);
        assert_eq!(live(&store, &key(Kind::Session, 2)), None);
        assert_eq!(store.unreadable(), 1);
        block_on(store.put(&key(Kind::Session, 2), b"x".to_vec(), Ttl::Forever)).unwrap();
        assert_eq!(live(&store, &key(Kind::Session, 2)), Some(b"x".to_vec()));
    }
}

#[test]
fn a_cell_that_was_lost_gives_no_version_again() {
    let (store, cells, clock) = store(0);
    let session = key(Kind::Session, 1);
    block_on(store.put(&session, b"a".to_vec(), Ttl::Forever)).unwrap();
    let before = block_on(store.get(&session)).unwrap().unwrap().version;
    cells.corrupt(0, Vec::new());
    clock.advance(1);
    block_on(store.put(&session, b"b".to_vec(), Ttl::Forever)).unwrap();
    let swap = block_on(store.compare_and_swap(&session, before, b"c".to_vec(), Ttl::Forever)).unwrap();
    assert_eq!(swap, Swap::Conflict);
}

#[test]
fn a_full_cell_drops_expired_records_first() {
    let (store, _, clock) = store(0);
    block_on(store.put(&key(Kind::Session, 1), vec![1; 14_000], Ttl::Seconds(1))).unwrap();
    block_on(store.put(&key(Kind::Client, 2), vec![2; 14_000], Ttl::Seconds(100))).unwrap();
    clock.advance(1);
    block_on(store.put(&key(Kind::Session, 3), vec![3; 14_000], Ttl::Forever)).unwrap();
    assert!(live(&store, &key(Kind::Client, 2)).is_some());
    assert!(live(&store, &key(Kind::Session, 3)).is_some());
}

#[test]
fn a_full_cell_then_drops_the_expendable_record_that_expires_soonest() {
    let (store, _, _) = store(0);
    block_on(store.put(&key(Kind::Client, 1), vec![1; 10_000], Ttl::Seconds(300))).unwrap();
    block_on(store.put(&key(Kind::Pending, 2), vec![2; 10_000], Ttl::Seconds(200))).unwrap();
    block_on(store.put(&key(Kind::Session, 3), vec![3; 10_000], Ttl::Seconds(100))).unwrap();
    block_on(store.put(&key(Kind::Session, 4), vec![4; 10_000], Ttl::Seconds(100))).unwrap();
    assert!(live(&store, &key(Kind::Client, 1)).is_some());
    assert!(live(&store, &key(Kind::Pending, 2)).is_none());
    assert!(live(&store, &key(Kind::Session, 3)).is_some());
}

#[test]
fn a_cell_full_of_sessions_refuses_rather_than_forgets() {
    let (store, _, _) = store(0);
    for number in 1..=2 {
        block_on(store.put(&key(Kind::Session, number), vec![number; 16_000], Ttl::Forever)).unwrap();
    }
    let outcome = block_on(store.put(&key(Kind::Session, 3), vec![3; 16_000], Ttl::Forever));
    assert_eq!(outcome, Err(StoreError::Full));
    assert_eq!(live(&store, &key(Kind::Session, 1)), Some(vec![1; 16_000]));
    assert_eq!(live(&store, &key(Kind::Session, 2)), Some(vec![2; 16_000]));
}

#[test]
fn a_bucket_comes_back_one_token_at_a_time() {
    let (store, _, clock) = store(0);
    let (limit, shape) = (key(Kind::RateLimit, 1), Bucket { capacity: 3, period_seconds: 60 });
    let take = || block_on(store.take_token(&limit, shape)).unwrap();
    assert_eq!([take(), take(), take()], [Taken::Granted; 3]);
    assert_eq!(take(), Taken::Empty { retry_after: 20 });
    clock.advance(19);
    assert_eq!(take(), Taken::Empty { retry_after: 1 });
    clock.advance(1);
    assert_eq!(take(), Taken::Granted);
    assert_eq!(take(), Taken::Empty { retry_after: 20 });
    clock.advance(600);
    assert_eq!([take(), take(), take()], [Taken::Granted; 3]);
    assert_ne!(take(), Taken::Granted);
}

#[test]
fn a_bucket_whose_shape_changed_starts_full() {
    let (store, _, _) = store(0);
    let limit = key(Kind::RateLimit, 1);
    block_on(store.take_token(&limit, Bucket { capacity: 1, period_seconds: 60 })).unwrap();
    let wider = Bucket { capacity: 2, period_seconds: 60 };
    assert_eq!(block_on(store.take_token(&limit, wider)), Ok(Taken::Granted));
    assert_eq!(block_on(store.take_token(&limit, wider)), Ok(Taken::Granted));
    assert_ne!(block_on(store.take_token(&limit, wider)), Ok(Taken::Granted));
}

#[test]
fn a_bucket_of_no_tokens_grants_none() {
    let (store, _, _) = store(0);
    let none = Bucket { capacity: 0, period_seconds: 60 };
    assert_eq!(block_on(store.take_token(&key(Kind::RateLimit, 1), none)), Ok(Taken::Empty { retry_after: 60 }));
}

#[test]
fn a_budget_gives_as_many_cells_as_fit() {
    assert_eq!(cell_count(0), 1);
    assert_eq!(cell_count(64 * 1024 * 1024), 2048);
}

#[derive(Debug, Clone)]
enum Step {
    Get,
    Put(Vec<u8>, u64),
    PutNew(Vec<u8>, u64),
    Swap(bool, Vec<u8>),
    Delete,
    Pass(u64),
}

fn steps(longest: usize) -> impl Strategy<Value = Vec<(u8, Step)>> {
    let value = move || (any::<u8>(), 0..longest).prop_map(|(byte, length)| vec![byte; length]);
    let step = prop_oneof![
        Just(Step::Get),
        (value(), 1..20_u64).prop_map(|(value, ttl)| Step::Put(value, ttl)),
        (value(), 1..20_u64).prop_map(|(value, ttl)| Step::PutNew(value, ttl)),
        (any::<bool>(), value()).prop_map(|(right, value)| Step::Swap(right, value)),
        Just(Step::Delete),
        (0..10_u64).prop_map(Step::Pass),
    ];
    prop::collection::vec((0..12_u8, step), 0..80)
}

/// A budget of three cells: records of different keys share some.
const FEW_CELLS: u64 = 3 * 32 * 1024;

fn kind_of(number: u8) -> Kind {
    [Kind::Session, Kind::Pending, Kind::Client, Kind::Upstream][usize::from(number % 4)]
}

proptest! {
    #[test]
    fn the_store_agrees_with_a_map_while_there_is_room(steps in steps(40)) {
        let (one, cells, clock) = store(FEW_CELLS);
        // Two workers, each of which keeps what it has read while the other changes it.
        let workers = [one, MemoryStore::new(cells.clone(), clock.clone(), FEW_CELLS)];
        let mut model: HashMap<Key, (Vec<u8>, u64)> = HashMap::new();
        for (turn, (number, step)) in steps.into_iter().enumerate() {
            let store = &workers[(turn / 2) % 2];
            let key = key(kind_of(number), number / 2);
            let now = clock.now();
            model.retain(|_, (_, expires)| *expires > now);
            match step {
                Step::Get => prop_assert_eq!(live(store, &key), model.get(&key).map(|(value, _)| value.clone())),
                Step::Put(value, ttl) => {
                    block_on(store.put(&key, value.clone(), Ttl::Seconds(ttl))).unwrap();
                    model.insert(key, (value, now.saturating_add(ttl)));
                }
                Step::PutNew(value, ttl) => {
                    let wrote = block_on(store.put_new(&key, value.clone(), Ttl::Seconds(ttl))).unwrap();
                    prop_assert_eq!(wrote, !model.contains_key(&key));
                    model.entry(key).or_insert((value, now.saturating_add(ttl)));
                }
                Step::Swap(right, value) => {
                    let version = block_on(workers[turn % 2].get(&key)).unwrap().map_or(Version(0), |found| found.version);
                    let version = if right { version } else { Version(version.0.wrapping_sub(1)) };
                    let swap = block_on(store.compare_and_swap(&key, version, value.clone(), Ttl::Forever)).unwrap();
                    let expected = right && model.contains_key(&key);
                    prop_assert_eq!(swap == Swap::Swapped, expected);
                    if expected {
                        model.insert(key, (value, u64::MAX));
                    }
                }
                Step::Delete => {
                    block_on(store.delete(&key)).unwrap();
                    model.remove(&key);
                }
                Step::Pass(seconds) => clock.advance(seconds),
            }
        }
        prop_assert!(workers.iter().all(|store| store.unreadable() == 0));
        prop_assert!(cells.contents().iter().all(|cell| cell.len() <= CELL_BYTES));
    }

    #[test]
    fn no_cell_outgrows_its_bytes_and_no_session_is_dropped_for_room(steps in steps(VALUE_BYTES)) {
        let (store, cells, clock) = store(0);
        let mut sessions: HashMap<Key, (Vec<u8>, u64)> = HashMap::new();
        for (number, step) in steps {
            let key = key(kind_of(number), number);
            let (Step::Put(value, ttl) | Step::PutNew(value, ttl)) = step else {
                clock.advance(1);
                continue;
            };
            match block_on(store.put(&key, value.clone(), Ttl::Seconds(ttl))) {
                Ok(()) if !key.kind.is_expendable() => {
                    sessions.insert(key, (value, clock.now().saturating_add(ttl)));
                }
                Ok(()) => prop_assert_eq!(live(&store, &key), Some(value)),
                Err(error) => prop_assert_eq!(error, StoreError::Full),
            }
            prop_assert!(cells.contents().iter().all(|cell| cell.len() <= CELL_BYTES));
            for (key, (value, expires)) in &sessions {
                if *expires > clock.now() {
                    prop_assert_eq!(live(&store, key), Some(value.clone()));
                }
            }
        }
    }

    #[test]
    fn any_bytes_in_a_cell_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..400), framed: bool) {
        let (store, cells, _) = store(0);
        let bytes = if framed { [&[format()][..], &bytes].concat() } else { bytes };
        cells.corrupt(0, bytes);
        let session = key(Kind::Session, 1);
        block_on(store.put(&session, b"x".to_vec(), Ttl::Forever)).unwrap();
        prop_assert_eq!(live(&store, &session), Some(b"x".to_vec()));
    }
}
