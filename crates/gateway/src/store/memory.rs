//! The store inside Envoy: a fixed number of cells shared by all workers, each changed by
//! compare-and-swap.
//!
//! Envoy's shared data has no lifetimes, no deletion and no listing, so records do not get keys of
//! their own: a record's id picks one of a fixed number of cells, and a cell holds a short list of
//! records, each with its expiry. The whole store can therefore never outgrow its budget, whatever
//! is written to it.
//!
//! INVARIANT: a cell never exceeds [`CELL_BYTES`], and no record's version is ever given twice:
//! versions come from the cell's own sequence, which outlives deletions.

mod bucket_state;

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use portcullis_storage_api::{Bucket, Key, Kind, Owner, StoreError, Swap, Taken, Ttl, Version, Versioned};

use self::bucket_state::Level;
use crate::ports::{Clock, Store, VALUE_BYTES};

/// Numbered cells of bytes, as the host shares them between workers.
pub trait Cells {
    /// The bytes of a cell and the token that a write has to name; a cell that was never written is
    /// empty.
    ///
    /// # Errors
    /// [`CellError`] when the host did not give them.
    fn read(&self, cell: u32) -> Result<(Vec<u8>, u32), CellError>;

    /// Replaces the bytes of a cell if they are as when `token` was read; returns `false` if
    /// another worker replaced them.
    ///
    /// # Errors
    /// [`CellError`] when the host did not take them.
    fn write(&self, cell: u32, bytes: &[u8], token: u32) -> Result<bool, CellError>;
}

/// The host refused to read or write a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CellError;

/// A [`Store`] over [`Cells`]. Its futures never wait.
pub struct MemoryStore<C, K> {
    cells: C,
    clock: K,
    count: u32,
    unreadable: Cell<u64>,
    /// The cells read last, for the changes that follow: reading one takes the host two copies of
    /// it.
    ///
    /// Nothing is answered from them. They may be old, and only a write that names the token they
    /// came with shows that they were not.
    kept: RefCell<VecDeque<Kept>>,
}

/// A cell as it was read.
struct Kept {
    cell: u32,
    bytes: Vec<u8>,
    token: u32,
}

impl<C: Cells, K: Clock> MemoryStore<C, K> {
    /// A store of at most `budget` bytes over cells that all workers share. Every worker must give
    /// the same budget.
    #[must_use]
    pub fn new(cells: C, clock: K, budget: u64) -> Self {
        let count = cell_count(budget);
        Self { cells, clock, count, unreadable: Cell::new(0), kept: RefCell::default() }
    }

    /// How often a cell was found unreadable, and taken for empty.
    #[must_use]
    pub fn unreadable(&self) -> u64 {
        self.unreadable.get()
    }

    /// Reads a cell, decides by the live record under `key`, and writes; again from the start when
    /// another worker was faster.
    fn change<'v, T>(
        &self,
        key: &Key,
        decide: impl Fn(Option<&Record<'_>>, u64) -> (T, Change<'v>),
    ) -> Result<T, StoreError> {
        let mut kept = self.take_kept(self.cell_of(key));
        for _ in 0..MAX_TRIES {
            let is_fresh = kept.is_none();
            let (bytes, token) = match kept.take() {
                Some(kept) => (kept.bytes, kept.token),
                None => self.read(key)?,
            };
            let now = self.clock.now();
            let cell = self.parse(&bytes, key, now);
            let (outcome, change) = decide(cell.live(now), now);
            let rewritten = match &change {
                Change::Nothing if is_fresh => return Ok(outcome),
                Change::Nothing => continue,
                Change::Remove => cell.rewrite(key, None, now),
                Change::Write { value, expires } => cell.rewrite(key, Some((value, *expires)), now),
            };
            let rewritten = match rewritten {
                Ok(rewritten) => rewritten,
                Err(error) if is_fresh => return Err(error),
                Err(_) => continue,
            };
            if self.cells.write(self.cell_of(key), &rewritten, token).map_err(|CellError| StoreError::Unavailable)? {
                return Ok(outcome);
            }
        }
        Err(StoreError::Unavailable)
    }

    fn live(&self, bytes: &[u8], key: &Key, now: u64) -> Option<Versioned> {
        let cell = self.parse(bytes, key, now);
        cell.live(now).map(|record| Versioned { value: record.value.to_vec(), version: Version(record.version) })
    }

    fn keep(&self, kept: Kept) {
        self.take_kept(kept.cell);
        let mut all = self.kept.borrow_mut();
        all.truncate(MAX_KEPT.saturating_sub(1));
        all.push_front(kept);
    }

    fn take_kept(&self, cell: u32) -> Option<Kept> {
        let mut kept = self.kept.borrow_mut();
        let place = kept.iter().position(|kept| kept.cell == cell)?;
        kept.remove(place)
    }

    fn read(&self, key: &Key) -> Result<(Vec<u8>, u32), StoreError> {
        self.cells.read(self.cell_of(key)).map_err(|CellError| StoreError::Unavailable)
    }

    fn parse<'a>(&self, bytes: &'a [u8], key: &Key, now: u64) -> Contents<'a> {
        Contents::parse(bytes, key).unwrap_or_else(|| {
            if !bytes.is_empty() {
                self.unreadable.set(self.unreadable.get().saturating_add(1));
            }
            Contents::fresh(now)
        })
    }

    /// Ids are digests, so any part of one is evenly spread.
    fn cell_of(&self, key: &Key) -> u32 {
        let number = key.id.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        number.checked_rem(self.count).unwrap_or(0)
    }
}

impl<C: Cells, K: Clock> Store for MemoryStore<C, K> {
    async fn get(&self, key: &Key) -> Result<Option<Versioned>, StoreError> {
        let (bytes, token) = self.read(key)?;
        let found = self.live(&bytes, key, self.clock.now());
        self.keep(Kept { cell: self.cell_of(key), bytes, token });
        Ok(found)
    }

    async fn get_both(&self, [first, second]: &[Key; 2]) -> Result<[Option<Versioned>; 2], StoreError> {
        // No cell is kept: who reads two records changes neither.
        let now = self.clock.now();
        let (bytes, _) = self.read(first)?;
        let found = self.live(&bytes, first, now);
        let bytes = if self.cell_of(second) == self.cell_of(first) { bytes } else { self.read(second)?.0 };
        Ok([found, self.live(&bytes, second, now)])
    }

    async fn put(&self, key: &Key, value: Vec<u8>, ttl: Ttl) -> Result<(), StoreError> {
        refuse_large(&value)?;
        self.change(key, |_, now| ((), Change::write(&value, ttl, now)))
    }

    async fn put_new(&self, key: &Key, value: Vec<u8>, ttl: Ttl) -> Result<bool, StoreError> {
        refuse_large(&value)?;
        self.change(key, |current, now| match current {
            Some(_) => (false, Change::Nothing),
            None => (true, Change::write(&value, ttl, now)),
        })
    }

    async fn compare_and_swap(
        &self,
        key: &Key,
        version: Version,
        value: Vec<u8>,
        ttl: Ttl,
    ) -> Result<Swap, StoreError> {
        refuse_large(&value)?;
        self.change(key, |current, now| match current {
            Some(record) if record.version == version.0 => (Swap::Swapped, Change::write(&value, ttl, now)),
            _ => (Swap::Conflict, Change::Nothing),
        })
    }

    async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        self.change(key, |current, _| ((), current.map_or(Change::Nothing, |_| Change::Remove)))
    }

    async fn lock(&self, key: &Key, owner: Owner, ttl_seconds: u64) -> Result<bool, StoreError> {
        self.change(key, |current, now| match current {
            Some(held) if held.value != owner.0 => (false, Change::Nothing),
            _ => (true, Change::write(&owner.0, Ttl::Seconds(ttl_seconds), now)),
        })
    }

    async fn unlock(&self, key: &Key, owner: Owner) -> Result<(), StoreError> {
        self.change(key, |current, _| match current {
            Some(held) if held.value == owner.0 => ((), Change::Remove),
            _ => ((), Change::Nothing),
        })
    }

    async fn take_token(&self, key: &Key, bucket: Bucket) -> Result<Taken, StoreError> {
        self.change(key, |current, now| {
            let (taken, level) = Level::of(current.map(|record| record.value), bucket).take(bucket, now);
            let change = match taken {
                Taken::Granted => Change::Write { value: level.bytes().into(), expires: level.full_at(bucket) },
                // An empty bucket stays as it is: refusing a flood must not cost writes.
                Taken::Empty { .. } => Change::Nothing,
            };
            (taken, change)
        })
    }
}

/// How many cells a budget in bytes gives: at least one.
#[must_use]
pub fn cell_count(budget: u64) -> u32 {
    let cells = budget.checked_div(CELL_BYTES as u64).unwrap_or(0).max(1);
    u32::try_from(cells).unwrap_or(u32::MAX)
}

fn refuse_large(value: &[u8]) -> Result<(), StoreError> {
    if value.len() > VALUE_BYTES { Err(StoreError::TooLarge) } else { Ok(()) }
}

/// What to do with the record under a key.
enum Change<'v> {
    Nothing,
    Remove,
    Write { value: Cow<'v, [u8]>, expires: u64 },
}

impl<'v> Change<'v> {
    fn write(value: &'v [u8], ttl: Ttl, now: u64) -> Self {
        let expires = match ttl {
            Ttl::Seconds(seconds) => now.saturating_add(seconds),
            Ttl::Forever => u64::MAX,
        };
        Self::Write { value: value.into(), expires }
    }
}

/// A cell's bytes: a format byte, the sequence number, then the records one after the other.
struct Contents<'a> {
    sequence: u64,
    records: &'a [u8],
    /// The record that is asked for.
    found: Option<Record<'a>>,
}

impl<'a> Contents<'a> {
    /// `None` when the bytes are not wholly a cell of this format.
    fn parse(bytes: &'a [u8], key: &Key) -> Option<Self> {
        let (&[format], rest) = bytes.split_first_chunk()?;
        let (sequence, records) = rest.split_first_chunk()?;
        let mut found = None;
        for record in Walk(records) {
            let record = record?;
            if found.is_none() && record.is(key) {
                found = Some(record);
            }
        }
        (format == FORMAT).then_some(Self { sequence: u64::from_le_bytes(*sequence), records, found })
    }

    /// The record that is asked for, unless it has expired.
    fn live(&self, now: u64) -> Option<&Record<'a>> {
        self.found.as_ref().filter(|record| record.expires > now)
    }

    /// An empty cell. Its sequence starts at the time, so that a cell which was lost does not give
    /// a version again.
    fn fresh(now: u64) -> Self {
        Self { sequence: now.saturating_mul(1 << 20), records: &[], found: None }
    }

    /// The cell's new bytes, with the record under `key` replaced or removed and the expired ones
    /// gone; when there is no room, expendable records go too, those that expire soonest first.
    fn rewrite(&self, key: &Key, new: Option<(&[u8], u64)>, now: u64) -> Result<Vec<u8>, StoreError> {
        let mut kept: Vec<Record<'_>> =
            Walk(self.records).flatten().filter(|record| record.expires > now && !record.is(key)).collect();
        let room = CELL_BYTES.saturating_sub(CELL_HEADER_BYTES);
        let wanted = new.map_or(0, |(value, _)| RECORD_HEADER_BYTES.saturating_add(value.len()));
        evict(&mut kept, room.saturating_sub(wanted))?;
        let sequence = self.sequence.wrapping_add(1);
        let mut bytes = Vec::with_capacity(CELL_HEADER_BYTES.saturating_add(self.records.len()).saturating_add(wanted));
        bytes.push(FORMAT);
        bytes.extend_from_slice(&sequence.to_le_bytes());
        kept.iter().for_each(|record| record.append_to(&mut bytes));
        if let Some((value, expires)) = new {
            let record = Record { tag: tag(key.kind), id: &key.id, version: sequence, expires, value };
            record.append_to(&mut bytes);
        }
        Ok(bytes)
    }
}

/// Drops expendable records until the rest fits into `room` bytes.
fn evict(records: &mut Vec<Record<'_>>, room: usize) -> Result<(), StoreError> {
    let mut used = records.iter().map(Record::size).fold(0, usize::saturating_add);
    if used <= room {
        return Ok(());
    }
    records.sort_unstable_by_key(|record| (!is_expendable(record.tag), record.expires, record.version));
    let mut dropped: usize = 0;
    for record in records.iter() {
        if used <= room || !is_expendable(record.tag) {
            break;
        }
        used = used.saturating_sub(record.size());
        dropped = dropped.saturating_add(1);
    }
    if used > room {
        return Err(StoreError::Full);
    }
    records.drain(..dropped);
    Ok(())
}

/// One record, where it lies in the cell.
struct Record<'a> {
    tag: u8,
    id: &'a [u8; 32],
    version: u64,
    expires: u64,
    value: &'a [u8],
}

impl<'a> Record<'a> {
    fn split_from(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (&[tag], rest) = bytes.split_first_chunk()?;
        let (id, rest) = rest.split_first_chunk()?;
        let (version, rest) = rest.split_first_chunk()?;
        let (expires, rest) = rest.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let (value, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
        let record =
            Self { tag, id, version: u64::from_le_bytes(*version), expires: u64::from_le_bytes(*expires), value };
        Some((record, rest))
    }

    fn append_to(&self, bytes: &mut Vec<u8>) {
        bytes.push(self.tag);
        bytes.extend_from_slice(self.id);
        bytes.extend_from_slice(&self.version.to_le_bytes());
        bytes.extend_from_slice(&self.expires.to_le_bytes());
        // INVARIANT: values are at most VALUE_BYTES long, which fits.
        bytes.extend_from_slice(&u16::try_from(self.value.len()).unwrap_or(u16::MAX).to_le_bytes());
        bytes.extend_from_slice(self.value);
    }

    fn is(&self, key: &Key) -> bool {
        self.tag == tag(key.kind) && *self.id == key.id
    }

    fn size(&self) -> usize {
        RECORD_HEADER_BYTES.saturating_add(self.value.len())
    }
}

/// Steps over the records of a cell without copying any; a piece that is no record ends it with
/// `None`.
struct Walk<'a>(&'a [u8]);

impl<'a> Iterator for Walk<'a> {
    type Item = Option<Record<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let (record, rest) = match Record::split_from(self.0) {
            Some((record, rest)) => (Some(record), rest),
            None => (None, &[][..]),
        };
        self.0 = rest;
        Some(record)
    }
}

/// A kind's number in a cell. Numbers are never used again for another kind.
fn tag(kind: Kind) -> u8 {
    match kind {
        Kind::Pending => 1,
        Kind::Session => 2,
        Kind::Client => 3,
        Kind::Consent => 4,
        Kind::Upstream => 6,
        Kind::RateLimit => 7,
        Kind::Lock => 8,
    }
}

fn is_expendable(number: u8) -> bool {
    [Kind::Pending, Kind::Client, Kind::Consent, Kind::RateLimit]
        .into_iter()
        .any(|kind| tag(kind) == number && kind.is_expendable())
}

/// The most bytes of one cell.
pub const CELL_BYTES: usize = 32 * 1024;
/// A refresh of tokens reads a client, a session and upstream tokens, and then changes each.
const MAX_KEPT: usize = 3;
/// Losing the race this often means that something other than a race is wrong.
const MAX_TRIES: u32 = 64;
const FORMAT: u8 = 1;
const CELL_HEADER_BYTES: usize = 1 + 8;
const RECORD_HEADER_BYTES: usize = 1 + 32 + 8 + 8 + 2;
