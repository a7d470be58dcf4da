//! Ports for tests: everything scripted, nothing waits, and whatever a test did not announce fails it.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use portcullis_protocol::jose::alg::Alg;
use portcullis_protocol::jose::key::{PublicKey, SigningKey};
use portcullis_protocol::opaque::SessionId;
use portcullis_storage_api::{Bucket, Key, Owner, StoreError, Swap, Taken, Ttl, Version, Versioned};

use crate::memory_store::{CellError, Cells, VALUE_BYTES};
use crate::ports::{
    Body, BodyTooLarge, CallError, CallReply, CallRequest, Clock, Crypto, Entropy, Fetch, NoEntropy, Ports, Store,
    Workers,
};

/// Runs a future that has nothing to wait for.
///
/// # Panics
/// When the future waits: natively no event would ever come.
#[expect(clippy::panic, reason = "a test that would hang must fail")]
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the future waits for an event that will never come"),
    }
}

/// Every port of a request, scripted. Clones share everything, so a test keeps one to look at afterwards.
#[derive(Clone)]
pub struct FakePorts<S = FakeStore> {
    store: S,
    clock: FixedClock,
    script: Rc<Script>,
}

#[derive(Default)]
struct Script {
    expected: RefCell<VecDeque<Expected>>,
    sent: RefCell<Vec<CallRequest>>,
    body: RefCell<Vec<u8>>,
    seed: Cell<u64>,
    no_entropy: Cell<bool>,
    refreshes: RefCell<Vec<SessionId>>,
    ended: RefCell<Vec<SessionId>>,
}

struct Expected {
    cluster: String,
    path: String,
    reply: Result<CallReply, CallError>,
}

impl FakePorts {
    /// Ports over an empty store, at this Unix time.
    #[must_use]
    pub fn new(now: u64) -> Self {
        let clock = FixedClock::new(now);
        Self::over(FakeStore::new(clock.clone()), clock)
    }
}

impl<S> FakePorts<S> {
    /// Ports over a given store, which should share the clock.
    #[must_use]
    pub fn over(store: S, clock: FixedClock) -> Self {
        Self { store, clock, script: Rc::default() }
    }

    /// The clock, to move it on.
    #[must_use]
    pub fn clock(&self) -> &FixedClock {
        &self.clock
    }

    /// Announces the next call: to this cluster and exactly this path with its query.
    pub fn expect_call(&self, cluster: &str, path: &str, reply: Result<CallReply, CallError>) {
        let expected = Expected { cluster: cluster.to_owned(), path: path.to_owned(), reply };
        self.script.expected.borrow_mut().push_back(expected);
    }

    /// Announces the next call and answers it with JSON.
    pub fn expect_json(&self, cluster: &str, path: &str, status: u16, body: &str) {
        self.expect_call(cluster, path, Ok(json_reply(status, body)));
    }

    /// The calls made since the last time of asking, in order.
    #[must_use]
    pub fn take_sent(&self) -> Vec<CallRequest> {
        self.script.sent.take()
    }

    /// How many announced calls have not been made.
    #[must_use]
    pub fn calls_left(&self) -> usize {
        self.script.expected.borrow().len()
    }

    /// Sets the body of the request.
    pub fn set_body(&self, body: impl Into<Vec<u8>>) {
        self.script.body.replace(body.into());
    }

    /// Makes the random generator fail from now on.
    pub fn break_entropy(&self) {
        self.script.no_entropy.set(true);
    }

    /// The sessions whose refresh was asked for since the last time of asking.
    #[must_use]
    pub fn take_refreshes(&self) -> Vec<SessionId> {
        self.script.refreshes.take()
    }

    /// The sessions announced as ended since the last time of asking.
    #[must_use]
    pub fn take_ended(&self) -> Vec<SessionId> {
        self.script.ended.take()
    }
}

/// An answer with a JSON body.
#[must_use]
pub fn json_reply(status: u16, body: &str) -> CallReply {
    CallReply { status, content_type: Some("application/json".to_owned()), body: body.as_bytes().to_vec() }
}

impl<S: Store> Ports for FakePorts<S> {
    type Store = S;

    fn store(&self) -> &S {
        &self.store
    }
}

impl<S> Fetch for FakePorts<S> {
    /// # Panics
    /// When the call was not announced, or another one was.
    #[expect(clippy::panic, reason = "an unexpected call must fail the test")]
    async fn fetch(&self, call: CallRequest) -> Result<CallReply, CallError> {
        let Some(expected) = self.script.expected.borrow_mut().pop_front() else {
            panic!("unexpected call: {} {} {}", call.cluster, call.method, call.path);
        };
        assert_eq!((&*call.cluster, &*call.path), (&*expected.cluster, &*expected.path), "another call was expected");
        assert!(call.timeout_ms > 0, "a call without a time-out would wait for ever");
        self.script.sent.borrow_mut().push(call);
        expected.reply
    }
}

impl<S> Body for FakePorts<S> {
    async fn body(&self, limit: usize) -> Result<Vec<u8>, BodyTooLarge> {
        let body = self.script.body.borrow();
        if body.len() > limit { Err(BodyTooLarge) } else { Ok(body.clone()) }
    }
}

impl<S> Clock for FakePorts<S> {
    fn now(&self) -> u64 {
        self.clock.now()
    }
}

impl<S> Entropy for FakePorts<S> {
    /// The same sequence in every test, never the same value twice in one.
    fn random<const N: usize>(&self) -> Result<[u8; N], NoEntropy> {
        if self.script.no_entropy.get() {
            return Err(NoEntropy);
        }
        let mut bytes = [0; N];
        for chunk in bytes.chunks_mut(8) {
            let mixed = splitmix(&self.script.seed).to_le_bytes();
            chunk.iter_mut().zip(mixed).for_each(|(byte, random)| *byte = random);
        }
        Ok(bytes)
    }
}

impl<S> Crypto for FakePorts<S> {
    fn sign(&self, key: &SigningKey, message: &[u8]) -> Option<Vec<u8>> {
        key.sign(message).ok()
    }

    fn verify(&self, key: &PublicKey, alg: Alg, message: &[u8], signature: &[u8]) -> bool {
        key.verify(alg, message, signature)
    }
}

impl<S> Workers for FakePorts<S> {
    fn refresh_upstream(&self, session: SessionId) {
        self.script.refreshes.borrow_mut().push(session);
    }

    fn session_ended(&self, session: SessionId) {
        self.script.ended.borrow_mut().push(session);
    }
}

/// The splitmix64 generator: small, and every seed gives a full-length sequence.
fn splitmix(seed: &Cell<u64>) -> u64 {
    let next = seed.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
    seed.set(next);
    let mixed = (next ^ (next >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// A clock that stands still until it is moved. Clones are the same clock.
#[derive(Clone)]
pub struct FixedClock(Rc<Cell<u64>>);

impl FixedClock {
    /// A clock at this Unix time.
    #[must_use]
    pub fn new(now: u64) -> Self {
        Self(Rc::new(Cell::new(now)))
    }

    /// Moves the clock on by this many seconds.
    pub fn advance(&self, seconds: u64) {
        self.0.set(self.0.get().saturating_add(seconds));
    }
}

impl Clock for FixedClock {
    fn now(&self) -> u64 {
        self.0.get()
    }
}

/// A store without bounds: a map. Clones are the same store.
#[derive(Clone)]
pub struct FakeStore {
    clock: FixedClock,
    state: Rc<RefCell<State>>,
}

#[derive(Default)]
struct State {
    records: HashMap<Key, Record>,
    writes: u64,
    failures: VecDeque<StoreError>,
}

struct Record {
    value: Vec<u8>,
    version: Version,
    expires: u64,
}

impl FakeStore {
    /// An empty store.
    #[must_use]
    pub fn new(clock: FixedClock) -> Self {
        Self { clock, state: Rc::default() }
    }

    /// Makes the next verb fail, before it does anything; several failures queue up.
    pub fn fail_next(&self, error: StoreError) {
        self.state.borrow_mut().failures.push_back(error);
    }

    /// How many live records there are.
    #[must_use]
    pub fn live(&self) -> usize {
        let now = self.clock.now();
        self.state.borrow().records.values().filter(|record| record.expires > now).count()
    }

    /// Loses every record, as a restart would.
    pub fn wipe(&self) {
        self.state.borrow_mut().records.clear();
    }

    fn begin(&self) -> Result<(), StoreError> {
        let mut state = self.state.borrow_mut();
        let now = self.clock.now();
        state.records.retain(|_, record| record.expires > now);
        state.failures.pop_front().map_or(Ok(()), Err)
    }

    fn write(&self, key: &Key, value: Vec<u8>, ttl: Ttl) {
        let mut state = self.state.borrow_mut();
        state.writes = state.writes.saturating_add(1);
        let version = Version(state.writes);
        let expires = match ttl {
            Ttl::Seconds(seconds) => self.clock.now().saturating_add(seconds),
            Ttl::Forever => u64::MAX,
        };
        state.records.insert(*key, Record { value, version, expires });
    }

    fn read(&self, key: &Key) -> Option<Versioned> {
        let state = self.state.borrow();
        let record = state.records.get(key)?;
        Some(Versioned { value: record.value.clone(), version: record.version })
    }
}

impl Store for FakeStore {
    async fn get(&self, key: &Key) -> Result<Option<Versioned>, StoreError> {
        self.begin()?;
        Ok(self.read(key))
    }

    async fn put(&self, key: &Key, value: Vec<u8>, ttl: Ttl) -> Result<(), StoreError> {
        self.begin()?;
        refuse_large(&value)?;
        self.write(key, value, ttl);
        Ok(())
    }

    async fn put_new(&self, key: &Key, value: Vec<u8>, ttl: Ttl) -> Result<bool, StoreError> {
        self.begin()?;
        refuse_large(&value)?;
        let absent = self.read(key).is_none();
        if absent {
            self.write(key, value, ttl);
        }
        Ok(absent)
    }

    async fn take(&self, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        self.begin()?;
        Ok(self.state.borrow_mut().records.remove(key).map(|record| record.value))
    }

    async fn compare_and_swap(
        &self,
        key: &Key,
        version: Version,
        value: Vec<u8>,
        ttl: Ttl,
    ) -> Result<Swap, StoreError> {
        self.begin()?;
        refuse_large(&value)?;
        if self.read(key).is_none_or(|current| current.version != version) {
            return Ok(Swap::Conflict);
        }
        self.write(key, value, ttl);
        Ok(Swap::Swapped)
    }

    async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        self.begin()?;
        self.state.borrow_mut().records.remove(key);
        Ok(())
    }

    async fn lock(&self, key: &Key, owner: Owner, ttl_seconds: u64) -> Result<bool, StoreError> {
        self.begin()?;
        let free = self.read(key).is_none_or(|held| held.value == owner.0);
        if free {
            self.write(key, owner.0.to_vec(), Ttl::Seconds(ttl_seconds));
        }
        Ok(free)
    }

    async fn unlock(&self, key: &Key, owner: Owner) -> Result<(), StoreError> {
        self.begin()?;
        if self.read(key).is_some_and(|held| held.value == owner.0) {
            self.state.borrow_mut().records.remove(key);
        }
        Ok(())
    }

    async fn take_token(&self, key: &Key, bucket: Bucket) -> Result<Taken, StoreError> {
        self.begin()?;
        let (capacity, period) = (u64::from(bucket.capacity), u64::from(bucket.period_seconds).max(1));
        let now = self.clock.now();
        // The level is counted in parts: a token is `period` parts, and `capacity` parts come back every second.
        let full = capacity.saturating_mul(period);
        let (level, since) = match self.read(key) {
            Some(record) => two_numbers(&record.value),
            None => (full, now),
        };
        let level = now.saturating_sub(since).saturating_mul(capacity).saturating_add(level).min(full);
        let (taken, level) = match level.checked_sub(period) {
            Some(rest) => (Taken::Granted, rest),
            None => {
                let missing = period.saturating_sub(level);
                let wait = missing.checked_div(capacity).map_or(period, |_| missing.div_ceil(capacity));
                (Taken::Empty { retry_after: u32::try_from(wait.max(1)).unwrap_or(u32::MAX) }, level)
            }
        };
        let state = [level.to_le_bytes(), now.to_le_bytes()].concat();
        self.write(key, state, Ttl::Seconds(period));
        Ok(taken)
    }
}

fn refuse_large(value: &[u8]) -> Result<(), StoreError> {
    if value.len() > VALUE_BYTES { Err(StoreError::TooLarge) } else { Ok(()) }
}

fn two_numbers(bytes: &[u8]) -> (u64, u64) {
    let number = |from: &[u8]| from.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    (number(bytes), bytes.get(8..).map_or(0, number))
}

/// Cells as Envoy's shared data gives them, with races to lose. Clones are the same cells.
#[derive(Clone, Default)]
pub struct FakeCells(Rc<FakeCellsState>);

#[derive(Default)]
struct FakeCellsState {
    cells: RefCell<HashMap<u32, (Vec<u8>, u32)>>,
    lost_races: Cell<u32>,
    broken: Cell<bool>,
}

impl FakeCells {
    /// Lets another worker be faster at each of the next `count` writes, without changing what is stored.
    pub fn lose_races(&self, count: u32) {
        self.0.lost_races.set(count);
    }

    /// Makes every access fail, or work again.
    pub fn set_broken(&self, broken: bool) {
        self.0.broken.set(broken);
    }

    /// Overwrites a cell with anything.
    pub fn corrupt(&self, cell: u32, bytes: Vec<u8>) {
        let mut cells = self.0.cells.borrow_mut();
        let token = cells.get(&cell).map_or(1, |(_, token)| token.saturating_add(1));
        cells.insert(cell, (bytes, token));
    }

    /// The bytes of every cell that was written.
    #[must_use]
    pub fn contents(&self) -> Vec<Vec<u8>> {
        self.0.cells.borrow().values().map(|(bytes, _)| bytes.clone()).collect()
    }
}

impl Cells for FakeCells {
    fn read(&self, cell: u32) -> Result<(Vec<u8>, u32), CellError> {
        if self.0.broken.get() {
            return Err(CellError);
        }
        Ok(self.0.cells.borrow().get(&cell).cloned().unwrap_or((Vec::new(), 1)))
    }

    fn write(&self, cell: u32, bytes: &[u8], token: u32) -> Result<bool, CellError> {
        let (current, now_token) = self.read(cell)?;
        if let Some(left) = self.0.lost_races.get().checked_sub(1) {
            self.0.lost_races.set(left);
            self.0.cells.borrow_mut().insert(cell, (current, now_token.saturating_add(1)));
            return Ok(false);
        }
        let free = token == now_token;
        if free {
            self.0.cells.borrow_mut().insert(cell, (bytes.to_vec(), now_token.saturating_add(1)));
        }
        Ok(free)
    }
}
