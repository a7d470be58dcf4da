//! A store and shared cells for tests, in plain maps.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use portcullis_storage_api::{Bucket, Key, Owner, StoreError, Swap, Taken, Ttl, Version, Versioned};

use super::FixedClock;
use portcullis_gateway::ports::{Clock, Store, VALUE_BYTES};
use portcullis_gateway::store::memory::{CellError, Cells};

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
        // The level is counted in parts: a token is `period` parts, and `capacity` parts come back
        // every second.
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
    /// Lets another worker be faster at each of the next `count` writes, without changing what is
    /// stored.
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
