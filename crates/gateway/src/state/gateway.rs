//! One configured gateway as a VM holds it: the configuration, what is rendered from it once, and
//! what this VM remembers from one request to the next.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use foldhash::quality::FixedState;
use hashbrown::HashMap;
use portcullis_protocol::credentials::SessionId;
use portcullis_protocol::jose::jws::KnownHeader;
use portcullis_protocol::jose::keys::JwkSet;
use portcullis_protocol::oauth::access_token;
use portcullis_storage_api::Version;

use crate::audit::{Audit, Reason};
use crate::config::{Config, ProviderId};
use crate::decision::UpstreamAccess;
use crate::decision::identity::Identity;
use crate::ports::{TokenOwner, UpstreamTokenRef};
use crate::state::client_documents::ClientDocuments;
use crate::state::document_state::DocumentState;
use crate::state::documents::Documents;
use crate::state::holds::Holds;
use crate::state::issuer_keys::IssuerKeys;
use crate::state::recently_ended::RecentlyEnded;
use crate::state::token_cache::{CachedToken, TokenCache};
use crate::upstream::discovery::Known;

/// The memory that a VM's verified tokens may take, in bytes: some three to four thousand of them.
const CACHED_BYTES: usize = 8 * 1024 * 1024;

/// How long a failed upstream refresh keeps the next one back, in seconds, so that a provider in
/// trouble is not called once for every request.
const REFRESH_HOLD_SECONDS: u64 = 2;

/// How long after a backend's 401 led to a renewal of upstream tokens another does not, in seconds.
pub const RENEWAL_SECONDS: u64 = 30;

/// How long the refusal of an exchange stands, in seconds, before the server is asked again.
pub const REFUSAL_SECONDS: u64 = 30;

/// How many sessions wait to be looked up again; more are asked for again later.
const MAX_RECHECKS: usize = 4096;

/// A gateway in service.
pub struct Gateway {
    config: Config,
    documents: Documents,
    own_keys: JwkSet,
    own_headers: Vec<KnownHeader>,
    not_protected: Rc<Audit>,
    untold: Option<Rc<Identity>>,
    tokens: RefCell<TokenCache<FixedState>>,
    providers: RefCell<HashMap<ProviderId, DocumentState<Known>, FixedState>>,
    issuer_keys: IssuerKeys,
    held_back: Holds,
    rejected: Holds,
    refused: Holds,
    rechecks: RefCell<Vec<Rc<CachedToken>>>,
    ended: RefCell<RecentlyEnded>,
    ended_lists: [SeenList; 2],
    client_documents: ClientDocuments,
}

/// What was last read of a list of ended sessions.
#[derive(Default)]
pub(crate) struct SeenList {
    /// Its version.
    pub(crate) version: Cell<Option<Version>>,
    /// When it last had no room, in Unix milliseconds.
    pub(crate) overflowed_at: Cell<u64>,
}

impl Gateway {
    /// Puts a configuration in service. `seed` is a random number that keys this VM's hash tables,
    /// so that no client can choose tokens that collide.
    #[must_use]
    pub fn new(config: Config, seed: u64) -> Self {
        let hasher = FixedState::with_seed(seed);
        Self {
            documents: Documents::render(&config),
            own_keys: JwkSet::new(config.signing_keys.iter().map(|key| key.public().clone()).collect()),
            own_headers: config.signing_keys.iter().filter_map(|key| access_token::header(key).known().ok()).collect(),
            not_protected: Rc::new(Audit::new(Reason::NotProtected)),
            untold: config.reserved_names.clone().map(Identity::untold).map(Rc::new),
            tokens: RefCell::new(TokenCache::new(CACHED_BYTES, hasher.clone())),
            providers: RefCell::new(HashMap::with_hasher(hasher.clone())),
            issuer_keys: IssuerKeys::new(config.trusted_issuers.len()),
            held_back: Holds::new(REFRESH_HOLD_SECONDS, hasher.clone()),
            rejected: Holds::new(RENEWAL_SECONDS, hasher.clone()),
            refused: Holds::new(REFUSAL_SECONDS, hasher),
            rechecks: RefCell::default(),
            client_documents: ClientDocuments::default(),
            ended: RefCell::default(),
            ended_lists: Default::default(),
            config,
        }
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The documents rendered from the configuration.
    #[must_use]
    pub fn documents(&self) -> &Documents {
        &self.documents
    }

    /// The metadata documents of clients that are kept.
    pub(crate) fn client_documents(&self) -> &ClientDocuments {
        &self.client_documents
    }

    /// The audit value of a path that no rule covers.
    pub(crate) fn not_protected(&self) -> Rc<Audit> {
        Rc::clone(&self.not_protected)
    }

    /// The headers for a backend that learns nothing about the caller.
    pub(crate) fn untold(&self) -> Option<Rc<Identity>> {
        self.untold.clone()
    }

    /// The keys that verify this gateway's own tokens.
    #[must_use]
    pub fn own_keys(&self) -> &JwkSet {
        &self.own_keys
    }

    /// The headers of this gateway's access tokens, one for each key.
    pub(crate) fn own_headers(&self) -> &[KnownHeader] {
        &self.own_headers
    }

    /// What was proven about a token before.
    pub(crate) fn cached(&self, authorization: &[u8]) -> Option<Rc<CachedToken>> {
        self.tokens.borrow_mut().find(authorization)
    }

    /// Remembers what was proven about a token, unless its session has ended meanwhile: the lookup
    /// that found it may have been answered before.
    pub(crate) fn remember(&self, authorization: &[u8], entry: CachedToken) {
        let session = entry.facts.session();
        if !session.is_some_and(|session| self.ended.borrow().contains(session)) {
            self.tokens.borrow_mut().insert(authorization, entry);
        }
    }

    /// Whether any token is remembered.
    #[must_use]
    pub fn knows_tokens(&self) -> bool {
        !self.tokens.borrow().is_empty()
    }

    /// Sets the renewed upstream token in the remembered tokens that inject it.
    pub(crate) fn renew_upstream(&self, token: UpstreamTokenRef, renewed: &UpstreamAccess) {
        self.tokens.borrow_mut().renew_upstream(token, renewed);
    }

    /// Asks the root task to look up a token's session.
    pub(crate) fn ask_for_recheck(&self, entry: Rc<CachedToken>) {
        let mut rechecks = self.rechecks.borrow_mut();
        if rechecks.len() < MAX_RECHECKS {
            rechecks.push(entry);
        }
    }

    /// Takes up to `most` of the tokens whose sessions are to be looked up again, for
    /// [`crate::resource_server::session_check::recheck`].
    #[must_use]
    pub fn take_rechecks(&self, most: usize) -> Vec<Rc<CachedToken>> {
        let mut rechecks = self.rechecks.borrow_mut();
        let rest = rechecks.len().saturating_sub(most);
        rechecks.split_off(rest)
    }

    /// Forgets every token of sessions that have ended.
    pub fn forget_sessions(&self, sessions: &[SessionId]) {
        self.tokens.borrow_mut().forget_sessions(sessions);
        self.ended.borrow_mut().add(sessions);
    }

    /// Returns `true` if a session is one of those that ended last.
    #[must_use]
    pub fn has_ended(&self, session: SessionId) -> bool {
        self.ended.borrow().contains(session)
    }

    /// Forgets the tokens that inject an upstream token of this owner, whose upstream tokens were
    /// replaced or are gone: each is verified again.
    pub fn forget_upstream(&self, owner: TokenOwner) {
        self.tokens.borrow_mut().forget_upstream(owner);
    }

    /// Forgets every token: each is verified again, and its session looked up.
    pub fn forget_tokens(&self) {
        self.tokens.borrow_mut().clear();
    }

    /// What was last read of the lists of ended sessions, in the order in which they are read.
    pub(crate) fn ended_lists(&self) -> &[SeenList; 2] {
        &self.ended_lists
    }

    /// Reads or changes what is known of a provider of the configuration.
    pub(crate) fn provider_state<T>(
        &self,
        provider: ProviderId,
        access: impl FnOnce(&mut DocumentState<Known>) -> T,
    ) -> T {
        access(self.providers.borrow_mut().entry(provider).or_default())
    }

    /// Returns the providers whose documents are to be fetched at `now`, in Unix seconds. A VM that
    /// serves no requests needs none, and probes those that were not reached since the
    /// configuration is in service; `serves` if this VM serves requests.
    #[must_use]
    pub fn providers_due(&self, now: u64, serves: bool) -> Vec<ProviderId> {
        let is_due = |state: &mut DocumentState<Known>| state.is_due(now) && (serves || state.is_probe_due(now));
        let with_documents = self.config.providers.iter().filter(|provider| provider.has_documents());
        with_documents.map(|provider| provider.id).filter(|id| self.provider_state(*id, is_due)).collect()
    }

    /// What is known of the keys of the trusted issuers.
    pub(crate) fn issuer_keys(&self) -> &IssuerKeys {
        &self.issuer_keys
    }

    /// Returns the trusted issuers whose keys are to be fetched at `now`, in Unix seconds, by their
    /// places in the configuration; `serves` if this VM serves requests.
    #[must_use]
    pub fn issuer_keys_due(&self, now: u64, serves: bool) -> Vec<usize> {
        self.issuer_keys.due(now, serves)
    }

    /// Whether a refresh of these tokens failed a moment ago.
    pub(crate) fn refresh_is_held_back(&self, token: UpstreamTokenRef, now: u64) -> bool {
        self.held_back.has(token, now)
    }

    /// Keeps the next refresh of these tokens back for a moment.
    pub(crate) fn hold_back_refresh(&self, token: UpstreamTokenRef, now: u64) {
        self.held_back.hold(token, now);
    }

    /// Whether an exchange was refused less than [`REFUSAL_SECONDS`] ago.
    pub(crate) fn exchange_is_refused(&self, token: UpstreamTokenRef, now: u64) -> bool {
        self.refused.has(token, now)
    }

    /// Notes that an exchange is refused.
    pub(crate) fn note_exchange_refused(&self, token: UpstreamTokenRef, now: u64) {
        self.refused.hold(token, now);
    }

    /// Notes that a backend answered 401 to these tokens; `true` once in [`RENEWAL_SECONDS`].
    pub(crate) fn note_rejected(&self, token: UpstreamTokenRef, now: u64) -> bool {
        let is_first = !self.rejected.has(token, now);
        if is_first {
            self.rejected.hold(token, now);
        }
        is_first
    }
}
