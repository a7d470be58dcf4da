//! The list of the workers of one Envoy: one shared value with the queue of each, and the time at
//! which its worker was last seen.
//!
//! The host has no list of queues, and never empties one whose worker is gone, so a worker that has
//! been silent for [`SILENCE_SECONDS`] is not on the list any more.

use crate::host;

/// Creates the list if it does not exist. Only while the configuration is loaded, before any worker
/// runs.
pub(crate) fn create() {
    if host::shared(LIST).is_none() {
        host::set_shared(LIST, &[]);
    }
}

/// Adds a worker's queue, or renews its entry, and removes the workers that are silent.
pub(super) fn register(queue: u32, now: u64) {
    change(|list| {
        list.retain(|entry| entry.queue != queue && !entry.is_silent(now));
        list.push(Entry { queue, seen: now });
    });
}

/// Removes a worker's queue.
pub(super) fn remove(queue: u32) {
    change(|list| list.retain(|entry| entry.queue != queue));
}

/// Returns the queues of the other workers that are not silent.
pub(super) fn peers(queue: u32, now: u64) -> Vec<u32> {
    let list = host::shared(LIST).map_or_else(Vec::new, |(bytes, _)| parse(&bytes));
    list.into_iter().filter(|entry| entry.queue != queue && !entry.is_silent(now)).map(|entry| entry.queue).collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    queue: u32,
    /// Unix seconds.
    seen: u64,
}

impl Entry {
    fn is_silent(self, now: u64) -> bool {
        now.saturating_sub(self.seen) > SILENCE_SECONDS
    }
}

fn change(edit: impl Fn(&mut Vec<Entry>)) {
    for _ in 0..MAX_TRIES {
        let Some((bytes, version)) = host::shared(LIST) else { return };
        let mut list = parse(&bytes);
        edit(&mut list);
        let excess = list.len().saturating_sub(MAX_WORKERS);
        let bytes: Vec<u8> = list.iter().skip(excess).flat_map(|entry| encode(*entry)).collect();
        if host::replace_shared(LIST, &bytes, version) {
            return;
        }
    }
}

fn parse(bytes: &[u8]) -> Vec<Entry> {
    let (entries, _) = bytes.as_chunks::<12>();
    let parsed = entries.iter().filter_map(|entry| {
        let (queue, seen) = entry.split_first_chunk()?;
        Some(Entry { queue: u32::from_le_bytes(*queue), seen: u64::from_le_bytes(seen.try_into().ok()?) })
    });
    parsed.take(MAX_WORKERS).collect()
}

fn encode(entry: Entry) -> Vec<u8> {
    [&entry.queue.to_le_bytes()[..], &entry.seen.to_le_bytes()[..]].concat()
}

const LIST: &str = "portcullis/workers";
const MAX_WORKERS: usize = 256;
const MAX_TRIES: u32 = 64;
const SILENCE_SECONDS: u64 = 90;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_read_as_written_and_a_cut_entry_is_left_out() {
        let entry = Entry { queue: 3, seen: 9 };
        let bytes = [encode(entry), encode(entry)].concat();
        assert_eq!(parse(&bytes), [entry, entry]);
        assert_eq!(parse(bytes.get(..20).unwrap()), [entry]);
        assert_eq!(parse(&[0; 12 * 300]).len(), MAX_WORKERS);
    }

    #[test]
    fn a_worker_is_silent_after_a_while() {
        let entry = Entry { queue: 3, seen: 100 };
        assert!(!entry.is_silent(190));
        assert!(entry.is_silent(191));
    }
}
