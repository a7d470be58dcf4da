//! Tokens that this VM has verified before, so that a call with one costs a lookup instead of a
//! signature check.
//!
//! Only verified tokens get in, so a stranger can neither fill the cache nor push anything out of
//! it.

use std::cell::{Cell, Ref, RefCell};
use std::hash::{BuildHasher, Hasher};
use std::rc::Rc;

use hashbrown::HashTable;
use portcullis_protocol::bytes;
use portcullis_protocol::credentials::SessionId;
use portcullis_protocol::jose::keys::JwkSet;

use crate::audit::Audit;
use crate::decision::identity::Identity;
use crate::decision::{OwnedAccess, UpstreamAccess};
use crate::ports::{TokenOwner, UpstreamTokenRef};

/// How long an entry is served before the session behind it is looked up again in the background,
/// in seconds. Workers of one Envoy tell each other when a session ends; this is how it is learned
/// from another Envoy.
const RECHECK_SECONDS: u64 = 30;

/// How long an entry is served at most without its session having been found, in seconds; after
/// that, a request waits for the lookup. It bounds what a session that ended elsewhere can still
/// do.
const LOOK_UP_SECONDS: u64 = 60;

/// While the store is unavailable an entry goes on being served until its token expires, and the
/// store is asked about it this often, in seconds.
const RETRY_SECONDS: u64 = 5;

/// What verification proved about a token.
#[derive(Clone)]
pub struct TokenGrant {
    /// The user.
    pub subject: Rc<str>,
    /// The client; empty where the token of a trusted issuer names none.
    pub client: Rc<str>,
    /// What it counts by.
    pub basis: Basis,
    /// The resource that it is for, by its place in the configuration.
    pub resource: usize,
    /// When it expires, in Unix seconds.
    pub expires_at: u64,
}

/// The reason why a token counts: as long as it is there, the token is what it was.
#[derive(Clone)]
pub enum Basis {
    /// One of this gateway's own tokens: the session that it was issued from.
    Session(SessionId),
    /// A token of the trusted issuer at this place in the configuration: the key set that has
    /// verified it.
    Keys(usize, Rc<JwkSet>),
}

impl TokenGrant {
    /// The session it was issued from; `None` for a token of a trusted issuer.
    #[must_use]
    pub fn session(&self) -> Option<SessionId> {
        match &self.basis {
            Basis::Session(session) => Some(*session),
            Basis::Keys(..) => None,
        }
    }
}

/// A verified token with what is injected for it.
pub struct CachedToken {
    /// What is known of it.
    pub facts: TokenGrant,
    /// What the audit trail says when it is let through.
    pub audit: Rc<Audit>,
    /// The upstream token, where the resource injects one.
    upstream: RefCell<Option<OwnedAccess>>,
    /// The headers about the caller, where the gateway sets any.
    identity: Option<Rc<Identity>>,
    /// From when on its session is to be looked up in the background, in Unix seconds.
    recheck_at: Cell<u64>,
    /// From when on a request waits for that, in Unix seconds.
    look_up_at: Cell<u64>,
    /// The request target that it was last let through to: a client calls the same one again and
    /// again, and one that is known need not be taken apart.
    last_target: RefCell<Box<[u8]>>,
}

impl CachedToken {
    /// A token verified at `now`.
    #[must_use]
    pub fn new(
        facts: TokenGrant,
        audit: Rc<Audit>,
        upstream: Option<OwnedAccess>,
        identity: Option<Rc<Identity>>,
        now: u64,
    ) -> Self {
        let entry = Self {
            facts,
            audit,
            upstream: RefCell::new(upstream),
            identity,
            recheck_at: Cell::default(),
            look_up_at: Cell::default(),
            last_target: RefCell::default(),
        };
        entry.mark_session_seen(now);
        entry
    }

    /// The upstream token, where the resource injects one.
    pub(crate) fn upstream(&self) -> Ref<'_, Option<OwnedAccess>> {
        self.upstream.borrow()
    }

    /// The headers about the caller, where the gateway sets any.
    pub(crate) fn identity(&self) -> Option<&Rc<Identity>> {
        self.identity.as_ref()
    }

    /// The same with new headers about the caller.
    pub(crate) fn with_identity(&self, identity: Rc<Identity>) -> Self {
        Self {
            facts: self.facts.clone(),
            audit: Rc::clone(&self.audit),
            upstream: self.upstream.clone(),
            identity: Some(identity),
            recheck_at: self.recheck_at.clone(),
            look_up_at: self.look_up_at.clone(),
            last_target: self.last_target.clone(),
        }
    }

    /// What it counts by was found at `now`.
    pub(crate) fn mark_session_seen(&self, now: u64) {
        self.recheck_at.set(now.saturating_add(RECHECK_SECONDS));
        self.look_up_at.set(now.saturating_add(LOOK_UP_SECONDS));
    }

    /// The store could not be asked at `now`: nothing may be concluded, and it is asked again in a
    /// while.
    pub(crate) fn mark_store_unavailable(&self, now: u64) {
        self.recheck_at.set(now.saturating_add(RETRY_SECONDS));
        // Longer than the retry takes, so that a token in use need not wait for it.
        let served_until = now.saturating_add(RETRY_SECONDS.saturating_mul(3));
        let before = if self.is_fresh(now) { self.look_up_at.get() } else { 0 };
        self.look_up_at.set(before.max(served_until));
    }

    /// Whether it may be served at `now` without asking the store.
    pub(crate) fn is_fresh(&self, now: u64) -> bool {
        is_ahead(self.look_up_at.get(), now, LOOK_UP_SECONDS)
    }

    /// Whether its session is to be looked up in the background; `true` once in a while.
    pub(crate) fn take_recheck_due(&self, now: u64) -> bool {
        let due = !is_ahead(self.recheck_at.get(), now, RECHECK_SECONDS);
        if due {
            self.recheck_at.set(now.saturating_add(RETRY_SECONDS));
        }
        due
    }

    /// Whether the token was let through to exactly this target before.
    pub(crate) fn is_known_target(&self, target: &[u8]) -> bool {
        bytes::eq(&self.last_target.borrow(), target)
    }

    /// Remembers a target that lies within the token's resource; one that is too long is taken
    /// apart each time.
    pub(crate) fn let_through_to(&self, target: &[u8]) {
        if target.len() <= MAX_TARGET {
            *self.last_target.borrow_mut() = target.into();
        }
    }

    /// The memory that it takes, in bytes: its texts, and what the rest is about.
    fn size(&self) -> usize {
        let facts = &self.facts;
        let upstream = self.upstream.borrow().as_ref().map_or(0, |upstream| upstream.access.value.expose().len());
        let identity = self.identity.as_ref().map_or(0, |identity| identity.size());
        [facts.subject.len(), facts.client.len(), self.audit.size(), upstream, identity]
            .into_iter()
            .fold(ENTRY_BYTES, usize::saturating_add)
    }
}

/// Returns `true` if a time is ahead of `now`, and by no more than `seconds`. One that is further
/// ahead was set before the clock was set back, and is over.
fn is_ahead(at: u64, now: u64, seconds: u64) -> bool {
    at.checked_sub(now).is_some_and(|left| left > 0 && left <= seconds)
}

/// How many bytes of a value are hashed: characters that stand for 12 bytes of a signature. The
/// hasher takes this many in one step.
const HASHED: usize = 16;

/// The memory of an entry besides its texts: the structures, what the allocator adds, and a usual
/// target.
const ENTRY_BYTES: usize = 512;

/// The longest request target that is remembered, in bytes.
const MAX_TARGET: usize = 256;

/// A map from an `Authorization` value to what was proven about its token, bounded by the memory
/// that it takes.
///
/// Two generations: a full current one becomes the previous one, which is dropped. A hit in the
/// previous generation moves the entry to the current one, so tokens in use stay.
pub struct TokenCache<S> {
    current: HashTable<Slot>,
    previous: HashTable<Slot>,
    hasher: S,
    /// The memory of the current generation, in bytes.
    current_bytes: usize,
    generation_bytes: usize,
}

impl<S: BuildHasher> TokenCache<S> {
    /// A cache of about `capacity` bytes at most, hashed with a keyed hasher.
    #[must_use]
    pub fn new(capacity: usize, hasher: S) -> Self {
        let generation_bytes = capacity.div_ceil(2);
        Self { current: HashTable::new(), previous: HashTable::new(), hasher, current_bytes: 0, generation_bytes }
    }

    /// The entry for exactly this `Authorization` value.
    pub fn find(&mut self, authorization: &[u8]) -> Option<Rc<CachedToken>> {
        let hash = self.hash(authorization);
        if let Some(slot) = self.current.find(hash, |slot| slot.is_of(authorization)) {
            return Some(Rc::clone(&slot.entry));
        }
        let slot = take(&mut self.previous, hash, authorization)?;
        let entry = Rc::clone(&slot.entry);
        self.put(slot);
        Some(entry)
    }

    /// Keeps an entry, replacing what was known under the same value.
    pub fn insert(&mut self, authorization: &[u8], entry: CachedToken) {
        let hash = self.hash(authorization);
        drop(take(&mut self.previous, hash, authorization));
        if let Some(former) = take(&mut self.current, hash, authorization) {
            self.current_bytes = self.current_bytes.saturating_sub(former.bytes);
        }
        let bytes = authorization.len().saturating_add(entry.size());
        self.put(Slot { hash, bytes, authorization: authorization.into(), entry: Rc::new(entry) });
    }

    /// Drops every token of these sessions.
    pub fn forget_sessions(&mut self, sessions: &[SessionId]) {
        self.retain(|entry| !entry.facts.session().is_some_and(|session| sessions.contains(&session)));
    }

    /// Drops every token whose upstream token is of this owner.
    pub fn forget_upstream(&mut self, owner: TokenOwner) {
        self.retain(|entry| entry.upstream().as_ref().is_none_or(|upstream| upstream.token.owner != owner));
    }

    /// Drops every token.
    pub fn clear(&mut self) {
        self.current.clear();
        self.previous.clear();
        self.current_bytes = 0;
    }

    /// Replaces the upstream access token of all that inject one of these tokens.
    pub fn renew_upstream(&mut self, token: UpstreamTokenRef, renewed: &UpstreamAccess) {
        for slot in self.current.iter().chain(self.previous.iter()) {
            let mut upstream = slot.entry.upstream.borrow_mut();
            if let Some(upstream) = upstream.as_mut().filter(|upstream| *upstream.token == token) {
                upstream.access = renewed.clone();
            }
        }
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.current.len().saturating_add(self.previous.len())
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Once for both generations, and of the end only: a token is a thousand bytes, and the last
    /// ones are of its signature, which differs where anything else does. What is found is compared
    /// in full.
    fn hash(&self, authorization: &[u8]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(authorization.last_chunk::<HASHED>().map_or(authorization, |end| end));
        hasher.finish()
    }

    fn retain(&mut self, lives: impl Fn(&CachedToken) -> bool) {
        self.current.retain(|slot| lives(&slot.entry));
        self.previous.retain(|slot| lives(&slot.entry));
        self.current_bytes = self.current.iter().map(|slot| slot.bytes).sum();
    }

    /// Adds what is in neither generation.
    fn put(&mut self, slot: Slot) {
        if self.current_bytes.saturating_add(slot.bytes) > self.generation_bytes {
            self.previous = std::mem::take(&mut self.current);
            self.current_bytes = 0;
        }
        self.current_bytes = self.current_bytes.saturating_add(slot.bytes);
        self.current.insert_unique(slot.hash, slot, |slot| slot.hash);
    }
}

/// An entry with the `Authorization` value that it is found by.
struct Slot {
    hash: u64,
    /// The memory that it takes; an upstream token that is renewed is about as long as before.
    bytes: usize,
    authorization: Box<[u8]>,
    entry: Rc<CachedToken>,
}

impl Slot {
    fn is_of(&self, authorization: &[u8]) -> bool {
        // What this takes tells nothing, since both texts are the sender's own.
        bytes::eq(&self.authorization, authorization)
    }
}

fn take(generation: &mut HashTable<Slot>, hash: u64, authorization: &[u8]) -> Option<Slot> {
    let found = generation.find_entry(hash, |slot| slot.is_of(authorization)).ok()?;
    Some(found.remove().0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Reason;

    fn session(byte: u8) -> SessionId {
        SessionId::new([byte; 16])
    }

    fn entry(byte: u8) -> CachedToken {
        let facts = TokenGrant {
            subject: Rc::from("user"),
            client: Rc::from("client"),
            basis: Basis::Session(session(byte)),
            resource: 0,
            expires_at: 100,
        };
        CachedToken::new(facts, Rc::new(Audit::new(Reason::ValidToken)), None, None, 0)
    }

    /// A cache with room for `entries` of the entries above.
    fn cache(entries: usize) -> TokenCache<foldhash::quality::FixedState> {
        let size = entry(1).size().saturating_add(10);
        TokenCache::new(entries.saturating_mul(size), foldhash::quality::FixedState::with_seed(7))
    }

    #[test]
    fn an_entry_is_found_by_the_whole_value_only() {
        let mut cache = cache(4);
        cache.insert(b"Bearer abc", entry(1));
        assert!(cache.find(b"Bearer abc").is_some());
        for other in ["Bearer ab", "Bearer abcd", "bearer abc", "Bearer abc,Bearer abc", ""] {
            assert!(cache.find(other.as_bytes()).is_none(), "{other}");
        }
    }

    #[test]
    fn an_entry_replaces_the_one_of_the_same_value_in_either_generation() {
        let mut cache = cache(4);
        for value in [&b"a"[..], b"b", b"c"] {
            cache.insert(value, entry(1));
        }
        for value in [&b"a"[..], b"c"] {
            let before = cache.len();
            cache.insert(value, entry(2));
            assert_eq!(cache.len(), before);
            assert!(cache.find(value).is_some_and(|entry| entry.facts.session() == Some(session(2))));
        }
    }

    #[test]
    fn it_never_grows_past_its_capacity_and_keeps_what_is_in_use() {
        let mut cache = cache(8);
        cache.insert(b"hot", entry(1));
        for n in 0..1000_u32 {
            cache.insert(&n.to_be_bytes(), entry(2));
            assert!(cache.find(b"hot").is_some(), "after {n}");
            assert!(cache.len() <= 8);
        }
        assert!(cache.find(&0_u32.to_be_bytes()).is_none());
    }

    #[test]
    fn longer_texts_leave_room_for_fewer_entries() {
        let mut cache = cache(100);
        let long = |n: usize| format!("{n:>2000}").into_bytes();
        for n in 0..1000 {
            cache.insert(&long(n), entry(1));
            let bytes = cache.len() * (2000 + entry(1).size());
            assert!(bytes <= 2 * cache.generation_bytes, "{bytes} after {n}");
        }
        assert!(cache.find(&long(999)).is_some() && cache.len() > 10, "{}", cache.len());
    }

    #[test]
    fn a_target_is_remembered_unless_it_is_very_long() {
        let entry = entry(1);
        for (length, remembered) in [(1, true), (MAX_TARGET, true), (MAX_TARGET + 1, false)] {
            let target = vec![b'/'; length];
            entry.let_through_to(&target);
            assert_eq!(entry.is_known_target(&target), remembered, "{length}");
        }
    }

    #[test]
    fn a_clock_that_is_set_back_puts_no_lookup_off() {
        let entry = entry(1);
        entry.mark_session_seen(10_000);
        assert!(entry.is_fresh(10_000) && entry.is_fresh(10_059) && !entry.take_recheck_due(10_029));
        assert!(!entry.is_fresh(10_060) && entry.take_recheck_due(10_030));
        entry.mark_session_seen(10_000);
        assert!(!entry.is_fresh(6_400) && entry.take_recheck_due(6_400));
        entry.mark_store_unavailable(6_400);
        assert!(entry.is_fresh(6_414) && !entry.is_fresh(6_415) && entry.take_recheck_due(6_405));
    }

    #[test]
    fn a_session_that_ended_is_dropped_from_both_generations() {
        let mut cache = cache(4);
        for n in 0..4_u8 {
            cache.insert(&[n], entry(n % 2));
        }
        cache.forget_sessions(&[session(1), session(7)]);
        assert!(cache.find(&[1]).is_none() && cache.find(&[3]).is_none());
        assert!(cache.find(&[2]).is_some());
        cache.clear();
        assert!(cache.is_empty() && cache.find(&[2]).is_none());
    }
}
