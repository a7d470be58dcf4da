//! One configured gateway as a VM holds it: the configuration, what is rendered from it once, and
//! what this VM remembers from one request to the next.

use std::cell::{Ref, RefCell};
use std::rc::Rc;

use foldhash::quality::FixedState;
use hashbrown::HashMap;
use portcullis_protocol::credentials::SessionId;
use portcullis_protocol::jose::jws::KnownHeader;
use portcullis_protocol::jose::keys::JwkSet;
use portcullis_protocol::oauth::access_token;

use crate::audit::{Audit, Reason, Rendered};
use crate::config::Config;
use crate::state::documents::Documents;
use crate::state::provider_state::ProviderState;
use crate::state::token_cache::{CachedToken, TokenCache};
use crate::upstream::tokens::UpstreamAccess;

/// The memory that a VM's verified tokens may take, in bytes: some three to four thousand of them.
const CACHED_BYTES: usize = 8 * 1024 * 1024;

/// How long a failed upstream refresh keeps the next one back, in seconds, so that a provider in
/// trouble is not called once for every request.
const REFRESH_HOLD_SECONDS: u64 = 2;

/// How many failed refreshes are remembered.
const HELD_BACK: usize = 4096;

/// How many sessions wait to be looked up again; more are asked for again later.
const MOST_RECHECKS: usize = 4096;

/// A gateway in service.
pub struct Gateway {
    config: Config,
    documents: Documents,
    own_keys: JwkSet,
    own_headers: Vec<KnownHeader>,
    not_protected: Rc<Rendered>,
    tokens: RefCell<TokenCache<FixedState>>,
    provider: RefCell<ProviderState>,
    held_back: RefCell<HashMap<SessionId, u64, FixedState>>,
    rechecks: RefCell<Vec<Rc<CachedToken>>>,
}

impl Gateway {
    /// Puts a configuration in service. `seed` is a random number that keys this VM's hash tables,
    /// so that nobody outside can choose tokens that collide.
    #[must_use]
    pub fn new(config: Config, seed: u64) -> Self {
        let hasher = FixedState::with_seed(seed);
        Self {
            documents: Documents::render(&config),
            own_keys: JwkSet::new(config.signing_keys.iter().map(|key| key.public().clone()).collect()),
            own_headers: config.signing_keys.iter().filter_map(|key| access_token::header(key).known().ok()).collect(),
            not_protected: Rendered::new(Audit::new(Reason::NotProtected)),
            tokens: RefCell::new(TokenCache::new(CACHED_BYTES, hasher.clone())),
            provider: RefCell::default(),
            held_back: RefCell::new(HashMap::with_hasher(hasher)),
            rechecks: RefCell::default(),
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

    /// What the audit trail says of a path that is none of ours.
    pub(crate) fn not_protected(&self) -> Rc<Rendered> {
        Rc::clone(&self.not_protected)
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

    /// Remembers what was proven about a token.
    pub(crate) fn remember(&self, authorization: &[u8], entry: CachedToken) {
        self.tokens.borrow_mut().insert(authorization, entry);
    }

    /// Gives the remembered tokens of a session their renewed upstream token.
    pub(crate) fn renew_upstream(&self, session: SessionId, renewed: &UpstreamAccess) {
        self.tokens.borrow_mut().renew_upstream(session, renewed);
    }

    /// Asks the root task to look up a token's session.
    pub(crate) fn ask_for_recheck(&self, entry: Rc<CachedToken>) {
        let mut rechecks = self.rechecks.borrow_mut();
        if rechecks.len() < MOST_RECHECKS {
            rechecks.push(entry);
        }
    }

    /// Takes up to `most` of the tokens whose sessions are to be looked up again, for
    /// [`crate::resource_server::slow_path::recheck`].
    #[must_use]
    pub fn take_rechecks(&self, most: usize) -> Vec<Rc<CachedToken>> {
        let mut rechecks = self.rechecks.borrow_mut();
        let rest = rechecks.len().saturating_sub(most);
        rechecks.split_off(rest)
    }

    /// Forgets every token of a session that has ended.
    pub fn forget_session(&self, session: SessionId) {
        self.tokens.borrow_mut().forget_session(session);
    }

    /// What is known of the provider.
    pub(crate) fn provider(&self) -> Ref<'_, ProviderState> {
        self.provider.borrow()
    }

    /// Learns something about the provider.
    pub(crate) fn learn_provider(&self, learn: impl FnOnce(&mut ProviderState)) {
        learn(&mut self.provider.borrow_mut());
    }

    /// Whether the provider's documents are due to be fetched, at `now` in Unix seconds.
    #[must_use]
    pub fn provider_refresh_due(&self, now: u64) -> bool {
        self.provider.borrow().is_due(now)
    }

    /// Whether a refresh of this session failed a moment ago.
    pub(crate) fn refresh_is_held_back(&self, session: SessionId, now: u64) -> bool {
        self.held_back.borrow().get(&session).is_some_and(|until| now < *until)
    }

    /// Keeps the next refresh of this session back for a moment.
    pub(crate) fn hold_back_refresh(&self, session: SessionId, now: u64) {
        let mut held_back = self.held_back.borrow_mut();
        if held_back.len() >= HELD_BACK {
            held_back.retain(|_, until| now < *until);
        }
        if held_back.len() < HELD_BACK {
            held_back.insert(session, now.saturating_add(REFRESH_HOLD_SECONDS));
        }
    }
}
