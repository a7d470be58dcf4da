//! A store that fails on demand.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use portcullis_gateway::ports::Store;
use portcullis_storage_api::{Bucket, Key, Owner, StoreError, Swap, Taken, Ttl, Version, Versioned};

use super::stores::FakeStore;

type Race = Box<dyn FnOnce(&FakeStore, &Key)>;
type Pace = Box<dyn Fn()>;

/// How a verb fails.
#[derive(Clone, Copy, Default)]
pub enum Failing {
    /// Nothing happens.
    #[default]
    Before,
    /// A change is done and not confirmed, as when a replica does not answer: to the caller that is
    /// the same failure. A read succeeds.
    AfterDoing,
}

/// A store that fails at its n-th verb, before or after doing it, or loses a race. Clones are the
/// same store.
#[derive(Clone)]
pub struct FaultyStore {
    /// The store behind it, which never fails.
    pub inner: FakeStore,
    verbs: Rc<Cell<u32>>,
    fails_at: Rc<Cell<Option<u32>>>,
    failures: Rc<Cell<u32>>,
    failing: Rc<Cell<Failing>>,
    unreachable: Rc<Cell<bool>>,
    before_swap: Rc<RefCell<Option<Race>>>,
    pace: Rc<RefCell<Option<Pace>>>,
}

impl FaultyStore {
    /// A store that does not fail yet.
    #[must_use]
    pub fn new(inner: FakeStore) -> Self {
        Self {
            inner,
            verbs: Rc::default(),
            fails_at: Rc::default(),
            failures: Rc::new(Cell::new(1)),
            failing: Rc::default(),
            unreachable: Rc::default(),
            before_swap: Rc::default(),
            pace: Rc::default(),
        }
    }

    /// Makes the verb after the next `passing` ones fail.
    pub fn fail_after(&self, passing: u32) {
        self.fail_often_after(passing, 1);
    }

    /// Makes `failures` verbs after the next `passing` ones fail.
    pub fn fail_often_after(&self, passing: u32, failures: u32) {
        self.verbs.set(0);
        self.fails_at.set(Some(passing));
        self.failures.set(failures);
    }

    /// Says how the verbs fail that are made to fail at their turn.
    pub fn set_failing(&self, failing: Failing) {
        self.failing.set(failing);
    }

    /// Makes every verb fail from now on, or none.
    pub fn set_unreachable(&self, unreachable: bool) {
        self.unreachable.set(unreachable);
    }

    /// How many verbs there were.
    #[must_use]
    pub fn verbs(&self) -> u32 {
        self.verbs.get()
    }

    /// Cancels the failure that was asked for. Returns `true` if it was still to come.
    pub fn call_off(&self) -> bool {
        self.fails_at.take().is_some()
    }

    /// Lets another writer in right before the next compare-and-swap.
    pub fn race(&self, race: impl FnOnce(&FakeStore, &Key) + 'static) {
        self.before_swap.replace(Some(Box::new(race)));
    }

    /// Runs this behind each verb, so that time passes between what it does and its answer.
    pub fn set_pace(&self, pace: impl Fn() + 'static) {
        self.pace.replace(Some(Box::new(pace)));
    }

    fn let_time_pass(&self) {
        if let Some(pace) = &*self.pace.borrow() {
            pace();
        }
    }

    /// Reads, unless it is the read's turn to fail.
    async fn read<T>(&self, reading: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let read = match self.failure() {
            Some(Failing::Before) => Err(StoreError::Unavailable),
            None | Some(Failing::AfterDoing) => reading.await,
        };
        self.let_time_pass();
        read
    }

    /// Makes a change, unless it is its turn to fail.
    async fn change<T>(&self, doing: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let done = match self.failure() {
            None => doing.await,
            Some(Failing::Before) => Err(StoreError::Unavailable),
            Some(Failing::AfterDoing) => doing.await.and(Err(StoreError::Unavailable)),
        };
        self.let_time_pass();
        done
    }

    fn failure(&self) -> Option<Failing> {
        let verb = self.verbs.replace(self.verbs.get().saturating_add(1));
        if self.unreachable.get() {
            return Some(Failing::Before);
        }
        if self.fails_at.get() != Some(verb) {
            return None;
        }
        let left = self.failures.get().saturating_sub(1);
        self.failures.set(left);
        self.fails_at.set((left > 0).then_some(verb.saturating_add(1)));
        Some(self.failing.get())
    }
}

impl Store for FaultyStore {
    async fn get(&self, key: &Key) -> Result<Option<Versioned>, StoreError> {
        self.read(self.inner.get(key)).await
    }

    async fn get_both(&self, keys: &[Key; 2]) -> Result<[Option<Versioned>; 2], StoreError> {
        self.read(self.inner.get_both(keys)).await
    }

    async fn put(&self, key: &Key, value: Vec<u8>, ttl: Ttl) -> Result<(), StoreError> {
        self.change(self.inner.put(key, value, ttl)).await
    }

    async fn put_new(&self, key: &Key, value: Vec<u8>, ttl: Ttl) -> Result<bool, StoreError> {
        self.change(self.inner.put_new(key, value, ttl)).await
    }

    async fn compare_and_swap(
        &self,
        key: &Key,
        version: Version,
        value: Vec<u8>,
        ttl: Ttl,
    ) -> Result<Swap, StoreError> {
        let swap = async {
            let race = self.before_swap.take();
            if let Some(race) = race {
                race(&self.inner, key);
            }
            self.inner.compare_and_swap(key, version, value, ttl).await
        };
        self.change(swap).await
    }

    async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        self.change(self.inner.delete(key)).await
    }

    async fn lock(&self, key: &Key, owner: Owner, ttl_seconds: u64) -> Result<bool, StoreError> {
        self.change(self.inner.lock(key, owner, ttl_seconds)).await
    }

    async fn unlock(&self, key: &Key, owner: Owner) -> Result<(), StoreError> {
        self.change(self.inner.unlock(key, owner)).await
    }

    async fn take_token(&self, key: &Key, bucket: Bucket) -> Result<Taken, StoreError> {
        self.change(self.inner.take_token(key, bucket)).await
    }
}
