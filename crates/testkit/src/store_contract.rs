//! The contract of a [`Store`], written once and run against every store, natively and inside a
//! real Envoy.
//!
//! A case has one or more phases. Between two phases of a case at least [`PAUSE_SECONDS`] pass:
//! natively the clock is moved on, inside Envoy the phases are separate requests. `salt` keeps the
//! records of one run apart from another's.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use portcullis_storage_api::{Bucket, Key, Kind, Owner, StoreError, Swap, Taken, Ttl, Version};

use portcullis_gateway::ports::{Store, VALUE_BYTES};

/// One case: its name, and how many phases it has.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// What holds.
    pub name: &'static str,
    /// How many times it is run, with a pause before each but the first.
    pub phases: u32,
}

/// A difference between what a store did and what it must do.
#[derive(Debug)]
pub struct Failure(pub String);

/// The time that must pass between two phases of a case, in seconds.
pub const PAUSE_SECONDS: u64 = 2;

/// Every case.
pub const CASES: [Case; 18] = [
    Case { name: "a_record_is_read_as_written", phases: 1 },
    Case { name: "a_record_can_be_empty_or_any_bytes", phases: 1 },
    Case { name: "two_records_are_read_in_the_order_asked", phases: 1 },
    Case { name: "a_put_overwrites", phases: 1 },
    Case { name: "put_new_writes_once", phases: 1 },
    Case { name: "a_swap_needs_the_current_version", phases: 1 },
    Case { name: "a_swap_needs_a_record", phases: 1 },
    Case { name: "a_version_is_never_given_again", phases: 1 },
    Case { name: "a_delete_can_be_repeated", phases: 1 },
    Case { name: "records_of_two_kinds_never_meet", phases: 1 },
    Case { name: "a_record_too_large_is_refused", phases: 1 },
    Case { name: "a_lock_has_one_owner", phases: 1 },
    Case { name: "a_lock_is_only_given_back_by_its_owner", phases: 1 },
    Case { name: "a_bucket_starts_full_and_drains", phases: 1 },
    Case { name: "records_expire_in_every_verb", phases: 2 },
    Case { name: "a_lock_expires", phases: 2 },
    Case { name: "a_bucket_refills", phases: 2 },
    Case { name: "a_write_renews_the_lifetime", phases: 2 },
];

/// Runs one phase of a case.
///
/// # Errors
/// A [`Failure`] that says what the store did, or that there is no such case.
pub async fn run<S: Store>(store: &S, salt: u64, name: &str, phase: u32) -> Result<(), Failure> {
    let case = Names { salt };
    match (name, phase) {
        ("a_record_is_read_as_written", 0) => read_as_written(store, case).await,
        ("a_record_can_be_empty_or_any_bytes", 0) => any_bytes(store, case).await,
        ("two_records_are_read_in_the_order_asked", 0) => read_both(store, case).await,
        ("a_put_overwrites", 0) => overwrite(store, case).await,
        ("put_new_writes_once", 0) => put_new_once(store, case).await,
        ("a_swap_needs_the_current_version", 0) => swap_version(store, case).await,
        ("a_swap_needs_a_record", 0) => swap_absent(store, case).await,
        ("a_version_is_never_given_again", 0) => versions_differ(store, case).await,
        ("a_delete_can_be_repeated", 0) => delete_twice(store, case).await,
        ("records_of_two_kinds_never_meet", 0) => kinds_differ(store, case).await,
        ("a_record_too_large_is_refused", 0) => too_large(store, case).await,
        ("a_lock_has_one_owner", 0) => lock_once(store, case).await,
        ("a_lock_is_only_given_back_by_its_owner", 0) => foreign_unlock(store, case).await,
        ("a_bucket_starts_full_and_drains", 0) => bucket_drains(store, case).await,
        ("records_expire_in_every_verb", 0) => expiry_before(store, case).await,
        ("records_expire_in_every_verb", 1) => expiry_after(store, case).await,
        ("a_lock_expires", 0) => lock_before(store, case).await,
        ("a_lock_expires", 1) => lock_after(store, case).await,
        ("a_bucket_refills", 0) => refill_before(store, case).await,
        ("a_bucket_refills", 1) => refill_after(store, case).await,
        ("a_write_renews_the_lifetime", 0) => renewal_before(store, case).await,
        ("a_write_renews_the_lifetime", 1) => renewal_after(store, case).await,
        _ => Err(Failure(format!("there is no phase {phase} of a case {name}"))),
    }
}

/// One worker's part of the race: adds 1 to a shared counter `times` times by compare-and-swap,
/// letting the others on between each read and its swap; gives the number of swaps that lost.
///
/// # Errors
/// A [`Failure`] when the store refuses, or when the race is lost implausibly often.
pub async fn add_up<S: Store>(store: &S, salt: u64, times: u32) -> Result<u32, Failure> {
    let counter = Names { salt }.key(Kind::Session, 900);
    store.put_new(&counter, 0_u64.to_le_bytes().to_vec(), LONG).await?;
    let mut lost: u32 = 0;
    for _ in 0..times {
        while !add_one(store, &counter).await? {
            lost = lost.saturating_add(1);
            check(lost < 100_000, "the race is never won")?;
        }
    }
    Ok(lost)
}

/// The final count of [`add_up`].
///
/// # Errors
/// A [`Failure`] when the store refuses or lost the counter.
pub async fn sum<S: Store>(store: &S, salt: u64) -> Result<u64, Failure> {
    let found = store.get(&Names { salt }.key(Kind::Session, 900)).await?;
    let value = found.ok_or_else(|| Failure("the counter is gone".to_owned()))?.value;
    Ok(value.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes)))
}

/// One worker's part of another race, to be run once by each. Returns how many of `contests` new
/// records it was the one to write.
///
/// # Errors
/// A [`Failure`] when the store refuses.
pub async fn contend<S: Store>(store: &S, salt: u64, contests: u32) -> Result<u32, Failure> {
    let mut written: u32 = 0;
    for contest in 0..contests {
        let new = Names { salt }.key(Kind::Pending, contest.saturating_add(1_000));
        let won = store.put_new(&new, Vec::new(), LONG).await?;
        written = written.saturating_add(u32::from(won));
        YieldOnce::default().await;
    }
    Ok(written)
}

async fn add_one<S: Store>(store: &S, counter: &Key) -> Result<bool, Failure> {
    let found = store.get(counter).await?.ok_or_else(|| Failure("the counter is gone".to_owned()))?;
    let value = found.value.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    YieldOnce::default().await;
    let value = value.saturating_add(1).to_le_bytes().to_vec();
    Ok(store.compare_and_swap(counter, found.version, value, LONG).await? == Swap::Swapped)
}

async fn read_as_written<S: Store>(store: &S, case: Names) -> Result<(), Failure> {
    let key = case.key(Kind::Session, 1);
    same(store.get(&key).await?, None, "before the first write")?;
    store.put(&key, b"value".to_vec(), LONG).await?;
    value_is(store, &key, Some(b"value"), "after the write").await?;
    value_is(store, &key, Some(b"value"), "reading it again").await?;
    let forever = case.key(Kind::Session, 2);
    store.put(&forever, b"for ever".to_vec(), Ttl::Forever).await?;
    value_is(store, &forever, Some(b"for ever"), "a record without an end").await
}

async fn any_bytes<S: Store>(store: &S, case: Names) -> Result<(), Failure> {
    let key = case.key(Kind::Session, 10);
    store.put(&key, Vec::new(), LONG).await?;
    value_is(store, &key, Some(b""), "an empty value").await?;
    let every_byte: Vec<u8> = (0..=255).collect();
    store.put(&key, every_byte.clone(), LONG).await?;
    value_is(store, &key, Some(&every_byte), "every byte").await?;
    let longest = vec![0xff; VALUE_BYTES];
    store.put(&key, longest.clone(), LONG).await?;
    value_is(store, &key, Some(&longest), "the longest value").await?;
    Ok(store.delete(&key).await?)
}

async fn read_both<S: Store>(store: &S, case: Names) -> Result<(), Failure> {
    let keys = [case.key(Kind::Session, 15), case.key(Kind::Upstream, 16)];
    same(store.get_both(&keys).await?, [None, None], "before the first write")?;
    let [session, upstream] = keys;
    store.put(&upstream, b"upstream".to_vec(), LONG).await?;
    let found = store.get(&upstream).await?;
    same(store.get_both(&keys).await?, [None, found.clone()], "one of them")?;
    store.put(&session, b"session".to_vec(), LONG).await?;
    let both = [store.get(&session).await?, found];
    same(store.get_both(&keys).await?, both, "each with its own version")
}

async fn overwrite<S: Store>(store: &S, case: Names) -> Result<(), Failure> {
    let key = case.key(Kind::Session, 20);
    store.put(&key, b"first and longer".to_vec(), LONG).await?;
    store.put(&key, b"second".to_vec(), LONG).await?;
    value_is(store, &key, Some(b"second"), "after two writes").await
}

async fn put_new_once<S: Store>(store: &S, case: Names) -> Result<(), Failure> {
    let key = case.key(Kind::Pending, 30);
    same(store.put_new(&key, b"first".to_vec(), LONG).await?, true, "the first put_new")?;
    same(store.put_new(&key, b"second".to_vec(), LONG).await?, false, "the second put_new")?;
    value_is(store, &key, Some(b"first"), "after both").await?;
    store.delete(&key).await?;
    same(store.put_new(&key, b"third".to_vec(), LONG).await?, true, "put_new after a delete")
}

async fn swap_version<S: Store>(store: &S, case: Names) -> Result<(), Failure> {
    let key = case.key(Kind::Session, 50);
    store.put(&key, b"one".to_vec(), LONG).await?;
    let first = version(store, &key).await?;
    let swap = store.compare_and_swap(&key, first, b"two".to_vec(), LONG).await?;
    same(swap, Swap::Swapped, "with the current version")?;
    let swap = store.compare_and_swap(&key, first, b"three".to_vec(), LONG).await?;
    same(swap, Swap::Conflict, "with the version before")?;
    value_is(store, &key, Some(b"two"), "after the conflict").await?;
    let second = version(store, &key).await?;
    check(first != second, "a swap left the version as it was")?;
    store.put(&key, b"two".to_vec(), LONG).await?;
    let swap = store.compare_and_swap(&key, second, b"four".to_vec(), LONG).await?;
    same(swap, Swap::Conflict, "after a put of the same value")
}

async fn swap_absent<S: Store>(store: &S, case: Names) -> Result<(), Failure> {
    let key = case.key(Kind::Session, 60);
    for version in [0, 1, u64::MAX] {
        let swap = store.compare_and_swap(&key, Version(version), b"x".to_vec(), LONG).await?;
        same(swap, Swap::Conflict, "where nothing is")?;
    }
    value_is(store, &key, None, "after the conflicts").await
}

async fn versions_differ<S: Store>(store: &S, case: Names) -> Result<(), Failure> {
    let key = case.key(Kind::Session, 70);
    let mut seen = Vec::new();
    for _ in 0..4 {
        store.put(&key, b"same".to_vec(), LONG).await?;
        let now = version(store, &key).await?;
        check(!seen.contains(&now), "a version was given twice")?;
        seen.push(now);
        store.delete(&key).await?;
    }
    store.put(&key, b"same".to_vec(), LONG).await?;
    for old in seen {
        let swap = store.compare_and_swap(&key, old, b"stolen".to_vec(), LONG).await?;
        same(swap, Swap::Conflict, "with a version from before a deletion")?;
    }
    Ok(())
}

async fn delete_twice<S: Store>(store: &S, case: Names) -> Result<(), Failure> {
    let (key, other) = (case.key(Kind::Session, 80), case.key(Kind::Session, 81));
    store.put(&key, b"x".to_vec(), LONG).await?;
    store.put(&other, b"y".to_vec(), LONG).await?;
    store.delete(&key).await?;
    store.delete(&key).await?;
    value_is(store, &key, None, "after the delete").await?;
    value_is(store, &other, Some(b"y"), "another record").await
}

async fn kinds_differ<S: Store>(store: &S, case: Names) -> Result<(), Failure> {
    let kinds = [Kind::Pending, Kind::Session, Kind::Client, Kind::Consent, Kind::Upstream];
    for kind in kinds {
        store.put(&case.key(kind, 90), kind.name().as_bytes().to_vec(), LONG).await?;
    }
    for kind in kinds {
        value_is(store, &case.key(kind, 90), Some(kind.name().as_bytes()), kind.name()).await?;
    }
    store.delete(&case.key(Kind::Session, 90)).await?;
    value_is(store, &case.key(Kind::Pending, 90), Some(b"pending"), "after another kind's delete").await
}

async fn too_large<S: Store>(store: &S, case: Names) -> Result<(), Failure> {
    let key = case.key(Kind::Session, 100);
    store.put(&key, b"small".to_vec(), LONG).await?;
    let current = version(store, &key).await?;
    let large = vec![0; VALUE_BYTES.saturating_add(1)];
    let refused = Err(StoreError::TooLarge);
    same(store.put(&key, large.clone(), LONG).await, refused, "put")?;
    same(store.compare_and_swap(&key, current, large.clone(), LONG).await.map(|_| ()), refused, "swap")?;
    let new = case.key(Kind::Session, 101);
    same(store.put_new(&new, large, LONG).await.map(|_| ()), refused, "put_new")?;
    value_is(store, &key, Some(b"small"), "after the refusals").await
}

async fn lock_once<S: Store>(store: &S, case: Names) -> Result<(), Failure> {
    let key = case.key(Kind::Lock, 110);
    same(store.lock(&key, ANNE, 3_600).await?, true, "a free lock")?;
    same(store.lock(&key, BERT, 3_600).await?, false, "a lock that another holds")?;
    same(store.lock(&key, ANNE, 3_600).await?, true, "a lock of one's own")?;
    store.unlock(&key, ANNE).await?;
    same(store.lock(&key, BERT, 3_600).await?, true, "a lock given back")
}

async fn foreign_unlock<S: Store>(store: &S, case: Names) -> Result<(), Failure> {
    let key = case.key(Kind::Lock, 120);
    store.unlock(&key, BERT).await?;
    same(store.lock(&key, ANNE, 3_600).await?, true, "a free lock")?;
    store.unlock(&key, BERT).await?;
    same(store.lock(&key, BERT, 3_600).await?, false, "after another's unlock")
}

async fn bucket_drains<S: Store>(store: &S, case: Names) -> Result<(), Failure> {
    let (key, shape) = (case.key(Kind::RateLimit, 130), Bucket { capacity: 3, period_seconds: 3_600 });
    for _ in 0..3 {
        same(store.take_token(&key, shape).await?, Taken::Granted, "a token that is there")?;
    }
    for _ in 0..2 {
        match store.take_token(&key, shape).await? {
            Taken::Granted => return Err(Failure("a fourth token of three".to_owned())),
            Taken::Empty { retry_after } => check((1_100..=1_200).contains(&retry_after), "the wait for a token")?,
        }
    }
    let other = case.key(Kind::RateLimit, 131);
    same(store.take_token(&other, shape).await?, Taken::Granted, "another bucket")
}

async fn expiry_before<S: Store>(store: &S, case: Names) -> Result<(), Failure> {
    for number in 140..144 {
        store.put(&case.key(Kind::Session, number), b"short".to_vec(), SHORT).await?;
    }
    store.put(&case.key(Kind::Session, 145), b"long".to_vec(), LONG).await?;
    store.put(&case.key(Kind::Session, 146), b"for ever".to_vec(), Ttl::Forever).await.map_err(Failure::from)
}

async fn expiry_after<S: Store>(store: &S, case: Names) -> Result<(), Failure> {
    value_is(store, &case.key(Kind::Session, 140), None, "get").await?;
    same(store.put_new(&case.key(Kind::Session, 141), Vec::new(), LONG).await?, true, "put_new")?;
    for guess in [0, 1, 2] {
        let expired = case.key(Kind::Session, 142);
        let swap = store.compare_and_swap(&expired, Version(guess), b"x".to_vec(), LONG).await?;
        same(swap, Swap::Conflict, "compare_and_swap")?;
    }
    store.delete(&case.key(Kind::Session, 143)).await?;
    value_is(store, &case.key(Kind::Session, 145), Some(b"long"), "a long life").await?;
    value_is(store, &case.key(Kind::Session, 146), Some(b"for ever"), "a life without an end").await
}

async fn lock_before<S: Store>(store: &S, case: Names) -> Result<(), Failure> {
    same(store.lock(&case.key(Kind::Lock, 150), ANNE, 1).await?, true, "a free lock")
}

async fn lock_after<S: Store>(store: &S, case: Names) -> Result<(), Failure> {
    let key = case.key(Kind::Lock, 150);
    same(store.lock(&key, BERT, 3_600).await?, true, "an expired lock")?;
    store.unlock(&key, ANNE).await?;
    same(store.lock(&key, ANNE, 3_600).await?, false, "after the unlock of the owner before")
}

async fn refill_before<S: Store>(store: &S, case: Names) -> Result<(), Failure> {
    for _ in 0..10 {
        if store.take_token(&case.key(Kind::RateLimit, 160), REFILLED).await? != Taken::Granted {
            return Ok(());
        }
    }
    Err(Failure("the bucket never drained".to_owned()))
}

async fn refill_after<S: Store>(store: &S, case: Names) -> Result<(), Failure> {
    let key = case.key(Kind::RateLimit, 160);
    same(store.take_token(&key, REFILLED).await?, Taken::Granted, "a token that came back")?;
    refill_before(store, case).await
}

async fn renewal_before<S: Store>(store: &S, case: Names) -> Result<(), Failure> {
    let (put, swapped) = (case.key(Kind::Session, 170), case.key(Kind::Session, 171));
    store.put(&put, b"1".to_vec(), SHORT).await?;
    store.put(&put, b"2".to_vec(), LONG).await?;
    store.put(&swapped, b"1".to_vec(), LONG).await?;
    let current = version(store, &swapped).await?;
    store.compare_and_swap(&swapped, current, b"2".to_vec(), SHORT).await?;
    Ok(())
}

async fn renewal_after<S: Store>(store: &S, case: Names) -> Result<(), Failure> {
    value_is(store, &case.key(Kind::Session, 170), Some(b"2"), "lengthened by a put").await?;
    value_is(store, &case.key(Kind::Session, 171), None, "shortened by a swap").await
}

/// The names of one run's records.
#[derive(Clone, Copy)]
struct Names {
    salt: u64,
}

impl Names {
    fn key(self, kind: Kind, number: u32) -> Key {
        let mut id = [0x5a; 32];
        let parts = u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
        let bytes = parts.into_iter().chain(self.salt.to_le_bytes()).chain(u64::from(number).to_le_bytes());
        id.iter_mut().zip(bytes).for_each(|(place, byte)| *place = byte);
        Key { kind, id }
    }
}

/// Lets the others on once.
#[derive(Default)]
struct YieldOnce {
    yielded: bool,
}

impl Future for YieldOnce {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.yielded, true) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self(error.to_string())
    }
}

async fn value_is<S: Store>(store: &S, key: &Key, value: Option<&[u8]>, what: &str) -> Result<(), Failure> {
    same(store.get(key).await?.map(|found| found.value).as_deref(), value, what)
}

async fn version<S: Store>(store: &S, key: &Key) -> Result<Version, Failure> {
    let found = store.get(key).await?;
    Ok(found.ok_or_else(|| Failure("a record that was just written is not there".to_owned()))?.version)
}

fn same<T: PartialEq + Debug>(actual: T, expected: T, what: &str) -> Result<(), Failure> {
    if actual == expected { Ok(()) } else { Err(Failure(format!("{what}: {actual:?} instead of {expected:?}"))) }
}

fn check(holds: bool, what: &str) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(Failure(what.to_owned())) }
}

const LONG: Ttl = Ttl::Seconds(3_600);
const SHORT: Ttl = Ttl::Seconds(1);
const ANNE: Owner = Owner([1; 16]);
const BERT: Owner = Owner([2; 16]);
const REFILLED: Bucket = Bucket { capacity: 2, period_seconds: 2 };

#[cfg(test)]
#[path = "store_contract_tests.rs"]
mod tests;
