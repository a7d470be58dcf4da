//! Messages between the workers of one Envoy, and from a worker's streams to its own root context.
//!
//! Each worker has a queue of its own. The queues of all workers are listed in one shared value,
//! each with the time at which its worker was last seen: the host has no list of queues, and never
//! empties one whose worker is gone, so nothing is sent to a worker that has been silent for
//! [`SILENCE_SECONDS`].

use std::cell::Cell;

use portcullis_protocol::credentials::SessionId;

use crate::host;

/// What workers tell each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Message {
    /// To one's own root: refresh the upstream tokens of this session.
    Refresh(SessionId),
    /// To one's own root: fetch the provider's documents, for which streams wait.
    FetchProvider,
    /// To one's own root: settle more of the streams that are decided or evicted.
    Settle,
    /// To the others: the upstream tokens of this session have been refreshed, or will not be.
    Refreshed(SessionId),
    /// To the others: this session has ended.
    Ended(SessionId),
}

impl Message {
    fn bytes(self) -> Vec<u8> {
        let (word, session) = match self {
            Self::Settle => return vec![b's'],
            Self::FetchProvider => return vec![b'p'],
            Self::Refresh(session) => (b'r', session),
            Self::Refreshed(session) => (b'd', session),
            Self::Ended(session) => (b'e', session),
        };
        [&[word][..], session.as_bytes()].concat()
    }

    /// `None` for bytes that no worker of this version sends.
    fn parse(bytes: &[u8]) -> Option<Self> {
        match bytes {
            b"s" => return Some(Self::Settle),
            b"p" => return Some(Self::FetchProvider),
            _ => {}
        }
        let (word, session) = bytes.split_first()?;
        let session = SessionId::new(session.try_into().ok()?);
        match word {
            b'r' => Some(Self::Refresh(session)),
            b'd' => Some(Self::Refreshed(session)),
            b'e' => Some(Self::Ended(session)),
            _ => None,
        }
    }
}

/// A worker's queue.
pub(crate) struct Mailbox {
    queue: u32,
    /// When this worker last put itself on the list; 0 for never.
    listed_at: Cell<u64>,
}

impl Mailbox {
    /// Registers a queue that wakes the calling root context.
    pub(crate) fn open(name: &str) -> Option<Self> {
        let queue = host::register_queue(name)?;
        Some(Self { queue, listed_at: Cell::new(0) })
    }

    /// Puts this worker on the list, or renews its entry when that is due. Only for workers that
    /// serve requests: the others have nothing to be told.
    pub(crate) fn list(&self, now: u64) {
        if now.saturating_sub(self.listed_at.get()) < RENEWAL_SECONDS {
            return;
        }
        self.listed_at.set(now);
        change_list(|list| {
            list.retain(|entry| entry.queue != self.queue && !entry.is_silent(now));
            list.push(Entry { queue: self.queue, seen: now });
        });
    }

    /// Whether this worker serves requests.
    pub(crate) fn is_listed(&self) -> bool {
        self.listed_at.get() > 0
    }

    /// Renews the entry of a worker that is on the list.
    pub(crate) fn renew(&self, now: u64) {
        if self.is_listed() {
            self.list(now);
        }
    }

    /// Takes this worker off the list.
    pub(crate) fn close(&self) {
        if self.listed_at.replace(0) > 0 {
            change_list(|list| list.retain(|entry| entry.queue != self.queue));
        }
    }

    /// Wakes this worker's own root.
    pub(crate) fn tell_own(&self, message: Message) {
        host::enqueue(self.queue, &message.bytes());
    }

    /// Tells every other worker.
    pub(crate) fn tell_others(&self, message: Message, now: u64) {
        let Some((list, _)) = host::shared(LIST) else { return };
        for entry in parse_list(&list) {
            if entry.queue != self.queue && !entry.is_silent(now) {
                host::enqueue(entry.queue, &message.bytes());
            }
        }
    }

    /// The next message that came for this worker.
    pub(crate) fn next(&self) -> Option<Message> {
        for _ in 0..MOST_STRANGE {
            if let Some(message) = Message::parse(&host::dequeue(self.queue)?) {
                return Some(message);
            }
        }
        None
    }
}

/// Creates the list where there is none. Only while the configuration is loaded, before any worker
/// runs.
pub(crate) fn create_list() {
    if host::shared(LIST).is_none() {
        host::set_shared(LIST, &[]);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    queue: u32,
    seen: u64,
}

impl Entry {
    fn is_silent(self, now: u64) -> bool {
        now.saturating_sub(self.seen) > SILENCE_SECONDS
    }
}

fn change_list(change: impl Fn(&mut Vec<Entry>)) {
    for _ in 0..MOST_TRIES {
        let Some((bytes, version)) = host::shared(LIST) else { return };
        let mut list = parse_list(&bytes);
        change(&mut list);
        let excess = list.len().saturating_sub(MOST_WORKERS);
        let bytes: Vec<u8> = list.iter().skip(excess).flat_map(|entry| entry_bytes(*entry)).collect();
        if host::replace_shared(LIST, &bytes, version) {
            return;
        }
    }
}

fn parse_list(bytes: &[u8]) -> Vec<Entry> {
    let (entries, _) = bytes.as_chunks::<12>();
    let parsed = entries.iter().filter_map(|entry| {
        let (queue, seen) = entry.split_first_chunk()?;
        Some(Entry { queue: u32::from_le_bytes(*queue), seen: u64::from_le_bytes(seen.try_into().ok()?) })
    });
    parsed.take(MOST_WORKERS).collect()
}

fn entry_bytes(entry: Entry) -> Vec<u8> {
    [&entry.queue.to_le_bytes()[..], &entry.seen.to_le_bytes()[..]].concat()
}

const LIST: &str = "portcullis/workers";
const MOST_WORKERS: usize = 256;
const MOST_TRIES: u32 = 64;
/// A queue is only written by this filter; anything else in it is skipped, and not for ever.
const MOST_STRANGE: u32 = 1024;
const RENEWAL_SECONDS: u64 = 20;
const SILENCE_SECONDS: u64 = 90;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_as_sent() {
        let session = SessionId::new([7; 16]);
        for message in [Message::Refresh(session), Message::Refreshed(session), Message::Ended(session)] {
            assert_eq!(Message::parse(&message.bytes()), Some(message));
        }
    }

    #[test]
    fn bytes_that_are_no_message_are_none() {
        for bytes in [&b""[..], b"r", b"rshort", &[b'x'; 17], &[b'r'; 18]] {
            assert_eq!(Message::parse(bytes), None);
        }
    }

    #[test]
    fn the_list_is_read_as_written_and_a_cut_entry_is_left_out() {
        let entry = Entry { queue: 3, seen: 9 };
        let bytes = [entry_bytes(entry), entry_bytes(entry)].concat();
        assert_eq!(parse_list(&bytes), [entry, entry]);
        assert_eq!(parse_list(bytes.get(..20).unwrap()), [entry]);
        assert_eq!(parse_list(&[0; 12 * 300]).len(), MOST_WORKERS);
    }

    #[test]
    fn a_worker_is_silent_after_a_while() {
        let entry = Entry { queue: 3, seen: 100 };
        assert!(!entry.is_silent(190));
        assert!(entry.is_silent(191));
    }
}
