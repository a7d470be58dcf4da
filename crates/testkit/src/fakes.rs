//! Ports for tests: everything is scripted, nothing waits, and a call that a test did not announce
//! fails it.

mod faulty_store;
mod stores;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use portcullis_protocol::credentials::SessionId;
use portcullis_protocol::jose::alg::Alg;
use portcullis_protocol::jose::keys::{PublicKey, SigningKey};

pub use self::faulty_store::{Failing, FaultyStore};
pub use self::stores::{FakeCells, FakeStore};
use crate::signatures::{Sign as _, Verify as _};
use portcullis_gateway::ports::{
    Body, BodyTooLarge, CallError, CallReply, CallRequest, Clock, Crypto, Entropy, Fetch, Metrics, NoEntropy, Ports,
    ProviderFailure, ProviderReports, Sleep, SleepResult, Store, StoreAnomaly, TokenOwner, UpstreamTokenRef, Workers,
};

/// Runs a future that has nothing to wait for.
///
/// # Panics
/// When the future waits: natively no event would ever come.
#[expect(clippy::panic, reason = "a test that would hang must fail")]
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the future waits for an event that will never come"),
    }
}

/// Every port of a request, scripted. Clones share everything, so a test keeps one to look at
/// afterwards.
#[derive(Clone)]
pub struct FakePorts<S = FakeStore> {
    store: S,
    clock: FixedClock,
    script: Rc<Script>,
}

#[derive(Default)]
struct Script {
    expected: RefCell<VecDeque<Expected>>,
    server: RefCell<Option<Rc<Server>>>,
    sent: RefCell<Vec<CallRequest>>,
    body: RefCell<Vec<u8>>,
    seed: Cell<u64>,
    no_entropy: Cell<bool>,
    host_signs: Cell<bool>,
    refuses_to_sign: Cell<bool>,
    refreshes: RefCell<Vec<UpstreamTokenRef>>,
    ended: RefCell<Vec<SessionId>>,
    replaced: RefCell<Vec<TokenOwner>>,
    sleeps: Cell<u32>,
    anomalies: RefCell<Vec<StoreAnomaly>>,
    reports: RefCell<Vec<String>>,
}

/// Answers calls that were not announced.
type Server = dyn Fn(&CallRequest) -> Result<CallReply, CallError>;

struct Expected {
    cluster: String,
    path: String,
    reply: Result<CallReply, CallError>,
}

impl FakePorts {
    /// Ports over an empty store, at this Unix time.
    #[must_use]
    pub fn new(now: u64) -> Self {
        let clock = FixedClock::new(now);
        Self::over(FakeStore::new(clock.clone()), clock)
    }
}

impl<S> FakePorts<S> {
    /// Ports over a given store, which should share the clock.
    #[must_use]
    pub fn over(store: S, clock: FixedClock) -> Self {
        Self { store, clock, script: Rc::default() }
    }

    /// The clock, to move it on.
    #[must_use]
    pub fn clock(&self) -> &FixedClock {
        &self.clock
    }

    /// Announces the next call: to this cluster and exactly this path with its query.
    pub fn expect_call(&self, cluster: &str, path: &str, reply: Result<CallReply, CallError>) {
        let expected = Expected { cluster: cluster.to_owned(), path: path.to_owned(), reply };
        self.script.expected.borrow_mut().push_back(expected);
    }

    /// Announces the next call and answers it with JSON.
    pub fn expect_json(&self, cluster: &str, path: &str, status: u16, body: &str) {
        self.expect_call(cluster, path, Ok(json_reply(status, body)));
    }

    /// Answers every call that is not announced from now on.
    pub fn serve_calls(&self, server: impl Fn(&CallRequest) -> Result<CallReply, CallError> + 'static) {
        self.script.server.replace(Some(Rc::new(server)));
    }

    /// The calls made since the last time of asking, in order.
    #[must_use]
    pub fn take_sent(&self) -> Vec<CallRequest> {
        self.script.sent.take()
    }

    /// How many announced calls have not been made.
    #[must_use]
    pub fn calls_left(&self) -> usize {
        self.script.expected.borrow().len()
    }

    /// Sets the body of the request.
    pub fn set_body(&self, body: impl Into<Vec<u8>>) {
        self.script.body.replace(body.into());
    }

    /// Makes the random generator fail from now on.
    pub fn break_entropy(&self) {
        self.script.no_entropy.set(true);
    }

    /// Leaves signatures out from now on, as where the host makes them: every one is good, and none
    /// costs anything.
    pub fn leave_signatures_to_the_host(&self) {
        self.script.host_signs.set(true);
    }

    /// Signs nothing from now on, as a host that does not take a key.
    pub fn refuse_to_sign(&self) {
        self.script.refuses_to_sign.set(true);
    }

    /// Lets the next `count` sleeps pass, half a second each, as in a root task; otherwise there
    /// are none, as in a request.
    pub fn allow_sleeps(&self, count: u32) {
        self.script.sleeps.set(count);
    }

    /// How many sleeps are left.
    #[must_use]
    pub fn sleeps_left(&self) -> u32 {
        self.script.sleeps.get()
    }

    /// What was reported of providers since the last time of asking.
    #[must_use]
    pub fn take_reports(&self) -> Vec<String> {
        self.script.reports.take()
    }

    /// What was counted since the last time of asking.
    #[must_use]
    pub fn take_anomalies(&self) -> Vec<StoreAnomaly> {
        self.script.anomalies.take()
    }

    /// The upstream tokens whose refresh was asked for since the last time of asking.
    #[must_use]
    pub fn take_refreshes(&self) -> Vec<UpstreamTokenRef> {
        self.script.refreshes.take()
    }

    /// The owners announced as having other upstream tokens since the last time of asking.
    #[must_use]
    pub fn take_replaced(&self) -> Vec<TokenOwner> {
        self.script.replaced.take()
    }

    /// The sessions announced as ended since the last time of asking.
    #[must_use]
    pub fn take_ended(&self) -> Vec<SessionId> {
        self.script.ended.take()
    }
}

/// An answer with a JSON body.
#[must_use]
pub fn json_reply(status: u16, body: &str) -> CallReply {
    let content_type = Some("application/json".to_owned());
    CallReply { status, content_type, from_bridge: false, max_age: None, body: body.as_bytes().to_vec() }
}

impl<S: Store> Ports for FakePorts<S> {
    type Store = S;

    fn store(&self) -> &S {
        &self.store
    }
}

impl<S> Fetch for FakePorts<S> {
    /// # Panics
    /// When the call was not announced, or another one was.
    #[expect(clippy::panic, reason = "an unexpected call must fail the test")]
    async fn fetch(&self, call: CallRequest) -> Result<CallReply, CallError> {
        let Some(expected) = self.script.expected.borrow_mut().pop_front() else {
            let server = self.script.server.borrow().clone();
            if let Some(server) = server {
                let reply = server(&call);
                self.script.sent.borrow_mut().push(call);
                return reply;
            }
            panic!("unexpected call: {} {} {}", call.cluster, call.method, call.path);
        };
        assert_eq!((&*call.cluster, &*call.path), (&*expected.cluster, &*expected.path), "another call was expected");
        assert!(call.timeout_ms > 0, "a call without a timeout would wait for ever");
        self.script.sent.borrow_mut().push(call);
        expected.reply
    }
}

impl<S> Body for FakePorts<S> {
    async fn body(&self, limit: usize) -> Result<Vec<u8>, BodyTooLarge> {
        let body = self.script.body.borrow();
        if body.len() > limit { Err(BodyTooLarge) } else { Ok(body.clone()) }
    }
}

impl<S> Clock for FakePorts<S> {
    fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }
}

impl<S> Sleep for FakePorts<S> {
    async fn sleep(&self) -> SleepResult {
        let left = self.script.sleeps.get();
        let Some(fewer) = left.checked_sub(1) else { return SleepResult::Unsupported };
        self.script.sleeps.set(fewer);
        self.clock.advance_ms(500);
        SleepResult::Woken
    }
}

impl<S> Metrics for FakePorts<S> {
    fn count(&self, what: StoreAnomaly) {
        self.script.anomalies.borrow_mut().push(what);
    }
}

impl<S> ProviderReports for FakePorts<S> {
    fn provider_answered(&self, provider: &str) {
        self.script.reports.borrow_mut().push(format!("{provider} answered"));
    }

    fn provider_failed(&self, failure: ProviderFailure<'_>) {
        let ProviderFailure { provider, url, reason, cause, .. } = failure;
        self.script.reports.borrow_mut().push(format!("{provider} {url} {}: {cause}", reason.as_str()));
    }

    fn provider_noted(&self, provider: &str, note: &str) {
        self.script.reports.borrow_mut().push(format!("{provider} notes: {note}"));
    }
}

impl<S> Entropy for FakePorts<S> {
    /// The same sequence in every test, never the same value twice in one.
    fn random<const N: usize>(&self) -> Result<[u8; N], NoEntropy> {
        if self.script.no_entropy.get() {
            return Err(NoEntropy);
        }
        let mut bytes = [0; N];
        for chunk in bytes.chunks_mut(8) {
            let mixed = splitmix(&self.script.seed).to_le_bytes();
            chunk.iter_mut().zip(mixed).for_each(|(byte, random)| *byte = random);
        }
        Ok(bytes)
    }
}

impl<S> Crypto for FakePorts<S> {
    fn sign(&self, key: &SigningKey, message: &[u8]) -> Option<Vec<u8>> {
        match (self.script.refuses_to_sign.get(), self.script.host_signs.get()) {
            (true, _) => None,
            (false, true) => Some(vec![0; 64]),
            (false, false) => key.sign(message).ok(),
        }
    }

    fn verify(&self, key: &PublicKey, alg: Alg, message: &[u8], signature: &[u8]) -> bool {
        self.script.host_signs.get() || key.verify(alg, message, signature)
    }
}

impl<S> Workers for FakePorts<S> {
    fn refresh_upstream(&self, token: UpstreamTokenRef) {
        self.script.refreshes.borrow_mut().push(token);
    }

    fn upstream_replaced(&self, owner: TokenOwner) {
        self.script.replaced.borrow_mut().push(owner);
    }

    fn session_ended(&self, session: SessionId) {
        self.script.ended.borrow_mut().push(session);
    }
}

/// The splitmix64 generator: small, and every seed gives a full-length sequence.
fn splitmix(seed: &Cell<u64>) -> u64 {
    let next = seed.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
    seed.set(next);
    let mixed = (next ^ (next >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// A clock that stands still until it is moved. Clones are the same clock.
#[derive(Clone)]
pub struct FixedClock(Rc<Cell<u64>>);

impl FixedClock {
    /// A clock at this Unix time.
    #[must_use]
    pub fn new(now: u64) -> Self {
        Self(Rc::new(Cell::new(now.saturating_mul(1000))))
    }

    /// Moves the clock on by this many seconds.
    pub fn advance(&self, seconds: u64) {
        self.advance_ms(seconds.saturating_mul(1000));
    }

    /// Sets the clock back by this many seconds.
    pub fn set_back(&self, seconds: u64) {
        self.0.set(self.0.get().saturating_sub(seconds.saturating_mul(1000)));
    }

    /// Moves the clock on by this many milliseconds.
    pub fn advance_ms(&self, milliseconds: u64) {
        self.0.set(self.0.get().saturating_add(milliseconds));
    }
}

impl Clock for FixedClock {
    fn now_ms(&self) -> u64 {
        self.0.get()
    }
}
