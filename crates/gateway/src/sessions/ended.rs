//! The list of the sessions that ended a moment ago, by which the Envoys of one gateway hear of it.
//!
//! A worker goes on serving a token that it has verified without a lookup. The workers of one Envoy
//! notify each other when a session ends; those of other Envoys read this list every two seconds,
//! one record for all their tokens. It is not what ends a session, which is the deletion of its
//! record: without the list a session's end is found by the next recheck of its tokens.

use minicbor::{Decode, Encode};
use portcullis_protocol::credentials::SessionId;
use portcullis_storage_api::{Key, Kind, Ttl};

use crate::config::Storage;
use crate::error::DependencyError;
use crate::ports::{Ports, Store};
use crate::sessions::stored::ATTEMPTS;
use crate::state::gateway::Gateway;
use crate::store::records::{self, Record, Records};

/// The list as it is stored.
#[derive(Clone, Default, Encode, Decode)]
#[cbor(map)]
pub struct EndedSessions {
    /// The sessions, oldest first: each its id, then when it ended, in Unix seconds.
    #[cbor(n(1), with = "minicbor::bytes", default)]
    pub entries: Vec<u8>,
    /// When the list last had no room, in Unix milliseconds: what was on it was dropped, and a
    /// reader forgets every token.
    #[n(2)]
    pub overflowed_at: Option<u64>,
}

impl Record for EndedSessions {
    const KIND: Kind = Kind::Consent;
    const TYPE: &'static str = "ended-sessions";
}

impl EndedSessions {
    /// Adds sessions that end at `now_ms`, and drops those that every reader has met.
    pub fn add(&mut self, sessions: &[SessionId], now_ms: u64) {
        let now = now_ms / 1_000;
        let (entries, _) = self.entries.as_chunks::<ENTRY_BYTES>();
        let kept = entries.iter().filter(|entry| now.saturating_sub(ended_at(entry)) <= KEPT_SECONDS);
        let added = sessions.iter().map(|session| entry(*session, now));
        let entries: Vec<[u8; ENTRY_BYTES]> = kept.copied().chain(added).collect();
        if entries.len() > MAX_ENTRIES {
            self.overflow(now_ms);
        } else {
            self.entries = entries.concat();
        }
    }

    /// Has every reader forget every token, in place of the sessions on the list.
    pub fn overflow(&mut self, now_ms: u64) {
        *self = Self { entries: Vec::new(), overflowed_at: Some(now_ms) };
    }

    /// The sessions that ended.
    pub fn sessions(&self) -> impl Iterator<Item = SessionId> {
        let (entries, _) = self.entries.as_chunks::<ENTRY_BYTES>();
        entries.iter().filter_map(|entry| Some(SessionId::new(*entry.first_chunk()?)))
    }
}

/// Adds a session that has ended to the list. Best effort: the session is over all the same.
pub(crate) async fn announce<P: Ports>(gateway: &Gateway, session: SessionId, ports: &P) {
    if !has_readers(gateway) {
        return;
    }
    let key = list_key(Writer::Gateway);
    let records = Records::new(&gateway.config().sealer, ports);
    for _ in 0..ATTEMPTS {
        match add(&records, &key, session).await {
            Ok(false) => {}
            Ok(true) | Err(_) => return,
        }
    }
}

/// Adds a session; returns `false` if another request changed the list at the same time.
async fn add<P: Ports>(records: &Records<'_, P>, key: &Key, session: SessionId) -> Result<bool, DependencyError> {
    let found = records.load::<EndedSessions>(key).await?;
    let (version, mut list) = found.map_or_else(Default::default, |found| (Some(found.version), found.record));
    list.add(&[session], records.ports().now_ms());
    match version {
        Some(version) => records.swap(key, version, &list, LIFE).await,
        None => records.create(key, &list, LIFE).await,
    }
}

/// Reads the list, and forgets the tokens of the sessions on it.
///
/// A list that cannot be read changes nothing: rechecks go on.
pub async fn read<P: Ports>(gateway: &Gateway, ports: &P) {
    let keys = [Writer::Gateway, Writer::Operator].map(list_key);
    let Ok(found) = ports.store().get_both(&keys).await else { return };
    let records = Records::new(&gateway.config().sealer, ports);
    for ((key, found), seen) in keys.iter().zip(found).zip(gateway.ended_lists()) {
        let Some(found) = found.filter(|found| seen.version.replace(Some(found.version)) != Some(found.version)) else {
            continue;
        };
        let Some(list) = records.loaded::<EndedSessions>(key, found) else { continue };
        let sessions: Vec<SessionId> = list.record.sessions().collect();
        gateway.forget_sessions(&sessions);
        if list.record.overflowed_at.is_some_and(|at| seen.overflowed_at.replace(at) != at) {
            gateway.forget_tokens();
        }
    }
}

/// Whether there can be other Envoys that serve this gateway's sessions: the memory store is one
/// Envoy's own.
#[must_use]
pub fn has_readers(gateway: &Gateway) -> bool {
    matches!(gateway.config().storage, Storage::Bridge(_))
}

/// Who writes a list: each has its own, since operators' commands write without a comparison.
#[derive(Debug, Clone, Copy)]
pub enum Writer {
    /// The gateway.
    Gateway,
    /// An operator's command.
    Operator,
}

/// The key of a list. It is among the consents, which a store may lose as well.
#[must_use]
pub fn list_key(writer: Writer) -> Key {
    let writer: &[u8] = match writer {
        Writer::Gateway => b"gateway",
        Writer::Operator => b"operator",
    };
    records::key(Kind::Consent, &[b"ended sessions", writer])
}

fn entry(session: SessionId, now: u64) -> [u8; ENTRY_BYTES] {
    let mut entry = [0; ENTRY_BYTES];
    entry.iter_mut().zip(session.as_bytes().iter().chain(&now.to_be_bytes())).for_each(|(to, from)| *to = *from);
    entry
}

fn ended_at(entry: &[u8; ENTRY_BYTES]) -> u64 {
    entry.last_chunk().map_or(0, |time| u64::from_be_bytes(*time))
}

/// How long the list itself is kept, in seconds.
pub const LIFE_SECONDS: u64 = 120;
const LIFE: Ttl = Ttl::Seconds(LIFE_SECONDS);
/// How long a session stays on the list, in seconds: many times longer than a reader takes, and
/// longer than clocks differ.
const KEPT_SECONDS: u64 = 60;
/// The most sessions on a list, which takes 12 KiB then: every store takes that.
const MAX_ENTRIES: usize = 512;
/// A session's id, and the time.
const ENTRY_BYTES: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_800_000_000_000;

    fn session(number: u16) -> SessionId {
        let mut id = [7; 16];
        id[..2].copy_from_slice(&number.to_be_bytes());
        SessionId::new(id)
    }

    fn listed(list: &EndedSessions) -> Vec<SessionId> {
        list.sessions().collect()
    }

    #[test]
    fn a_session_stays_on_the_list_for_a_minute() {
        let mut list = EndedSessions::default();
        list.add(&[session(1)], NOW_MS);
        list.add(&[session(2)], NOW_MS + 60_000);
        assert_eq!(listed(&list), [session(1), session(2)]);
        list.add(&[session(3)], NOW_MS + 61_000);
        assert_eq!(listed(&list), [session(2), session(3)]);
    }

    #[test]
    fn a_clock_that_is_behind_drops_nothing() {
        let mut list = EndedSessions::default();
        list.add(&[session(1)], NOW_MS);
        list.add(&[session(2)], NOW_MS - 3_600_000);
        assert_eq!(listed(&list), [session(1), session(2)]);
    }

    #[test]
    fn a_list_without_room_says_so_and_starts_again() {
        let all: Vec<SessionId> = (0..512).map(session).collect();
        let mut list = EndedSessions::default();
        list.add(&all, NOW_MS);
        assert_eq!((list.sessions().count(), list.overflowed_at), (512, None));
        list.add(&[session(600)], NOW_MS + 5);
        assert_eq!((list.sessions().count(), list.overflowed_at), (0, Some(NOW_MS + 5)));
        list.add(&[session(601)], NOW_MS + 6);
        assert_eq!((listed(&list), list.overflowed_at), (vec![session(601)], Some(NOW_MS + 5)));
    }

    #[test]
    fn a_full_list_fits_in_every_store() {
        let mut list = EndedSessions { overflowed_at: Some(u64::MAX), ..EndedSessions::default() };
        list.add(&(0..512).map(session).collect::<Vec<_>>(), NOW_MS);
        assert!(minicbor::to_vec(&list).unwrap().len() < crate::ports::VALUE_BYTES - 256);
    }

    #[test]
    fn entries_that_are_cut_off_are_left_out() {
        let list = EndedSessions { entries: vec![1; 24 + 23], overflowed_at: None };
        assert_eq!(listed(&list), [SessionId::new([1; 16])]);
    }
}
