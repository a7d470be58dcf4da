//! The load on the bridges themselves, with every change and its outcome written down.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use portcullis_storage_api::wire::{
    CompareAndSwap, Get, GetAnswer, GetMany, GetManyAnswer, IdempotencyKey, MAX_KEYS, Mutation, Put, PutAnswer, Space,
    Value, Verb, WriteAnswer,
};
use portcullis_storage_api::{Key, Kind, Ttl};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;

use super::attempts::Attempts;
use super::history::{Contest, First, Outcome, Swap, broken_contests, broken_swaps, lost_names};
use super::random::Random;
use crate::bridge_client::{BridgeClient, CallError};

/// The callers' books.
pub struct BridgeLoad {
    sockets: Vec<PathBuf>,
    attempts: Arc<Attempts>,
    next: AtomicU64,
    /// The value of each counter when the books were last compared.
    origins: Mutex<BTreeMap<u8, u64>>,
    /// Since then.
    swaps: Mutex<Vec<Swap>>,
    /// Since the beginning.
    names: Mutex<Vec<u64>>,
    contests: Mutex<Vec<Contest>>,
    asked: AtomicU64,
    acked: AtomicU64,
    unknown: AtomicU64,
}

/// How many changes were asked for, confirmed, and of unknown outcome.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Changes asked for.
    pub asked: u64,
    /// Those confirmed as durable.
    pub acked: u64,
    /// Those whose outcome is unknown.
    pub unknown: u64,
}

impl BridgeLoad {
    /// Callers of the bridges at these sockets. Writes the counters' first values.
    pub async fn new(sockets: Vec<PathBuf>, attempts: Arc<Attempts>, random: &mut Random) -> Self {
        let load = Self {
            sockets,
            attempts,
            next: AtomicU64::new(1),
            origins: Mutex::new((0..COUNTERS).map(|counter| (counter, 0)).collect()),
            swaps: Mutex::default(),
            names: Mutex::default(),
            contests: Mutex::default(),
            asked: AtomicU64::new(0),
            acked: AtomicU64::new(0),
            unknown: AtomicU64::new(0),
        };
        let mut client = load.client(0);
        for counter in 0..COUNTERS {
            let mutation = Mutation { idempotency: IdempotencyKey(random.bytes()), durable: true };
            let request = put(key(Kind::Session, COUNTER, u64::from(counter)), 0, mutation);
            let (answer, _) = load.settled::<_, PutAnswer>(&mut client, Verb::Put, &request).await;
            assert!(answer.is_some(), "no counter could be written");
        }
        load
    }

    /// Starts every caller; they go on until `stop` is set.
    pub fn start(self: &Arc<Self>, stop: &Arc<AtomicBool>, random: &mut Random) -> JoinSet<()> {
        let mut callers = JoinSet::new();
        for number in 0..SWAPPERS {
            callers.spawn(Arc::clone(self).swap(number, Arc::clone(stop), Random::new(random.draw())));
        }
        for number in 0..NAMERS {
            callers.spawn(Arc::clone(self).name(number, Arc::clone(stop), Random::new(random.draw())));
        }
        for number in 0..CONTESTS {
            callers.spawn(Arc::clone(self).contest(number, Arc::clone(stop), Random::new(random.draw())));
        }
        callers
    }

    /// What was asked so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let load = |number: &AtomicU64| number.load(Ordering::Relaxed);
        Counts { asked: load(&self.asked), acked: load(&self.acked), unknown: load(&self.unknown) }
    }

    /// Compares the books with what is stored. No caller may be at work. What was found once is not
    /// found again.
    pub async fn check(&self) -> Vec<String> {
        let mut client = self.client(0);
        let mut last = BTreeMap::new();
        let mut evidence = Vec::new();
        for counter in 0..COUNTERS {
            let request = Get { space: space(), key: key(Kind::Session, COUNTER, u64::from(counter)) };
            let (answer, _) = self.settled::<_, GetAnswer>(&mut client, Verb::Get, &request).await;
            match answer.and_then(|answer| answer.record).and_then(|record| number_in(&record.value)) {
                Some(id) => {
                    last.insert(counter, id);
                }
                None => evidence.push(format!("counter {counter} is gone, or cannot be read")),
            }
        }
        let swaps = std::mem::take(&mut *lock(&self.swaps));
        let origins = std::mem::replace(&mut *lock(&self.origins), last.clone());
        evidence.extend(broken_swaps(&swaps, &origins, &last));
        let acked = lock(&self.names).clone();
        let found = self.found(&mut client, Kind::Session, NAME, &acked).await;
        evidence.extend(lost_names(&acked, &found));
        lock(&self.names).retain(|name| found.contains(name));
        let contests = std::mem::take(&mut *lock(&self.contests));
        let records: Vec<u64> = contests.iter().map(|contest| contest.record).collect();
        evidence.extend(broken_contests(&contests, &self.found(&mut client, Kind::Pending, CONTESTED, &records).await));
        evidence
    }

    /// Returns those of these records that are stored.
    async fn found(&self, client: &mut BridgeClient, kind: Kind, use_: u8, numbers: &[u64]) -> BTreeSet<u64> {
        let mut found = BTreeSet::new();
        for numbers in numbers.chunks(MAX_KEYS) {
            let keys = numbers.iter().map(|number| key(kind, use_, *number)).collect();
            let request = GetMany { space: space(), keys };
            let (answer, _) = self.settled::<_, GetManyAnswer>(client, Verb::GetMany, &request).await;
            let records = answer.map(|answer| answer.records).unwrap_or_default();
            found.extend(numbers.iter().zip(records).filter_map(|(number, record)| record.map(|_| *number)));
        }
        found
    }

    /// Replaces the counters' values, each attempt on what it read.
    async fn swap(self: Arc<Self>, number: usize, stop: Arc<AtomicBool>, mut random: Random) {
        let mut client = self.client(number);
        while !stop.load(Ordering::Relaxed) {
            tokio::time::sleep(PACE).await;
            let counter = u8::try_from(random.below(u64::from(COUNTERS))).unwrap_or(0);
            let key = key(Kind::Session, COUNTER, u64::from(counter));
            let read = client.call::<_, GetAnswer>(Verb::Get, &Get { space: space(), key }).await;
            self.attempts.ended("a bridge read", read.as_ref().err().map(|trouble| format!("{trouble:?}")));
            let Some(record) = read.ok().and_then(|answer| answer.record) else { continue };
            let Some(base) = number_in(&record.value) else { continue };
            let id = self.id();
            let mutation = Mutation { idempotency: IdempotencyKey(random.bytes()), durable: true };
            let request = CompareAndSwap {
                space: space(),
                key,
                version: record.version,
                value: value(id),
                ttl: Ttl::Seconds(LIFE),
                mutation,
            };
            let (answer, first) = self.settled::<_, WriteAnswer>(&mut client, Verb::CompareAndSwap, &request).await;
            let outcome = match answer {
                Some(WriteAnswer { version: Some(_) }) => Outcome::Acked,
                // After a try without an answer, a conflict may be with one's own write.
                Some(WriteAnswer { version: None }) if first => Outcome::Refused,
                Some(WriteAnswer { version: None }) | None => Outcome::Unknown,
            };
            self.book(outcome);
            lock(&self.swaps).push(Swap { counter, id, base, outcome });
        }
    }

    /// Writes names that no other load writes.
    async fn name(self: Arc<Self>, number: usize, stop: Arc<AtomicBool>, mut random: Random) {
        let mut client = self.client(number);
        while !stop.load(Ordering::Relaxed) {
            tokio::time::sleep(PACE).await;
            let name = self.id();
            let mutation = Mutation { idempotency: IdempotencyKey(random.bytes()), durable: true };
            let request = put(key(Kind::Session, NAME, name), name, mutation);
            let (answer, _) = self.settled::<_, WriteAnswer>(&mut client, Verb::PutNew, &request).await;
            if answer.is_some_and(|answer| answer.version.is_some()) {
                self.book(Outcome::Acked);
                lock(&self.names).push(name);
            } else {
                self.book(Outcome::Unknown);
            }
        }
    }

    /// Lets two rivals be the first to write a record, at once: as a login is used up.
    async fn contest(self: Arc<Self>, number: usize, stop: Arc<AtomicBool>, mut random: Random) {
        let mut clients = [self.client(number), self.client(number + 1)];
        while !stop.load(Ordering::Relaxed) {
            tokio::time::sleep(PACE).await;
            let record = self.id();
            let key = key(Kind::Pending, CONTESTED, record);
            let mut mutation = || Mutation { idempotency: IdempotencyKey(random.bytes()), durable: true };
            let requests = [(); 2].map(|()| put(key, record, mutation()));
            let [one, other] = &mut clients;
            let (one, other) = tokio::join!(self.first(one, &requests[0]), self.first(other, &requests[1]));
            lock(&self.contests).push(Contest { record, rivals: [one, other] });
        }
    }

    async fn first(&self, client: &mut BridgeClient, request: &Put) -> First {
        let (answer, _) = self.settled::<_, WriteAnswer>(client, Verb::PutNew, request).await;
        self.book(if answer.is_some() { Outcome::Acked } else { Outcome::Unknown });
        match answer {
            Some(WriteAnswer { version: Some(_) }) => First::Won,
            Some(WriteAnswer { version: None }) => First::Lost,
            None => First::Unknown,
        }
    }

    /// Asks again under the same idempotency key until there is an answer, or it takes too long;
    /// tells whether the first try had it.
    async fn settled<Q: Serialize, A: DeserializeOwned>(
        &self,
        client: &mut BridgeClient,
        verb: Verb,
        request: &Q,
    ) -> (Option<A>, bool) {
        let started = Instant::now();
        let mut first = true;
        loop {
            let answer = client.call(verb, request).await;
            let failed = answer.as_ref().err().map(|trouble| format!("{trouble:?}"));
            self.attempts.ended("a bridge change", failed);
            match answer {
                Ok(answer) => return (Some(answer), first),
                Err(CallError::Refused(cause)) => assert!(cause.is_passing(), "{verb:?}: {cause:?}"),
                Err(CallError::NoAnswer) => {}
            }
            if started.elapsed() > GIVE_UP {
                return (None, false);
            }
            first = false;
            tokio::time::sleep(AGAIN).await;
        }
    }

    fn book(&self, outcome: Outcome) {
        self.asked.fetch_add(1, Ordering::Relaxed);
        match outcome {
            Outcome::Acked => self.acked.fetch_add(1, Ordering::Relaxed),
            Outcome::Unknown => self.unknown.fetch_add(1, Ordering::Relaxed),
            Outcome::Refused => 0,
        };
    }

    fn id(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    fn client(&self, number: usize) -> BridgeClient {
        BridgeClient::new(&self.sockets[number % self.sockets.len()])
    }
}

fn put(key: Key, number: u64, mutation: Mutation) -> Put {
    Put { space: space(), key, value: value(number), ttl: Ttl::Seconds(LIFE), mutation }
}

fn key(kind: Kind, use_: u8, number: u64) -> Key {
    let mut id = [use_; 32];
    id[..8].copy_from_slice(&number.to_be_bytes());
    Key { kind, id }
}

fn value(number: u64) -> Value {
    Value::new(number.to_be_bytes().to_vec()).expect("eight bytes")
}

fn number_in(value: &Value) -> Option<u64> {
    Some(u64::from_be_bytes(value.as_bytes().try_into().ok()?))
}

/// Apart from the gateways' own records.
fn space() -> Space {
    Space::new("chaos", "below").expect("two labels")
}

fn lock<T>(books: &Mutex<T>) -> MutexGuard<'_, T> {
    books.lock().unwrap_or_else(PoisonError::into_inner)
}

const COUNTERS: u8 = 4;
const SWAPPERS: usize = 4;
const NAMERS: usize = 2;
const CONTESTS: usize = 2;
/// The uses of a name, so that they do not meet.
const COUNTER: u8 = 1;
const NAME: u8 = 2;
const CONTESTED: u8 = 3;
/// Longer than any run.
const LIFE: u64 = 24 * 60 * 60;
/// Between two changes of one caller.
const PACE: Duration = Duration::from_millis(20);
/// Before the same is asked again.
const AGAIN: Duration = Duration::from_millis(25);
/// When a change is given up. Shorter than the bridge remembers it.
const GIVE_UP: Duration = Duration::from_secs(12);
