//! The load on the gateways: calls with tokens that need only be validated, and codes and refresh
//! tokens in honest and in rival hands.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::attempts::Attempts;
use super::history::Presented;
use crate::browser::Browser;
use crate::http::{Request, Response};
use crate::oauth_client::{OAuthClient, TokenRequest, Tokens};
use crate::testbed::{REQUESTS_FOR_BOTH_WORKERS, Testbed};

/// The clients and their books.
pub struct GatewayLoad {
    client: OAuthClient,
    gateway: String,
    attempts: Arc<Attempts>,
    /// Tokens that are only called with.
    callers: Vec<String>,
    /// The refresh tokens of logins that one client each holds; none where it was lost.
    honest: Mutex<Vec<Option<String>>>,
    codes: Mutex<Vec<Code>>,
    rivals: Mutex<Vec<String>>,
    presented: Mutex<Vec<Presented>>,
    evidence: Mutex<Vec<String>>,
    calls: AtomicU64,
    refreshed: AtomicU64,
    redeemed: AtomicU64,
    slowest: Mutex<Duration>,
}

struct Code {
    code: String,
    verifier: String,
}

/// What the token endpoint said.
enum Answer {
    Granted(Tokens),
    Refused(Response),
    /// It is unavailable, or there was no answer: the token may be used up or not.
    Away,
}

/// What was done so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Done {
    /// Calls with validated tokens.
    pub calls: u64,
    /// Refresh tokens exchanged.
    pub refreshed: u64,
    /// Codes redeemed.
    pub redeemed: u64,
    /// The slowest call since the last time that this was asked.
    pub slowest: Duration,
}

impl GatewayLoad {
    /// Registers a client and logs users in.
    pub async fn new(bed: &Testbed, attempts: Arc<Attempts>) -> Self {
        let client = OAuthClient::discover(&bed.api_resource()).await.register().await;
        let mut callers = Vec::new();
        for number in 0..CALLERS {
            callers.push(client.log_in(&mut Browser::new(&format!("caller-{number}"))).await.access_token);
        }
        Self {
            client,
            gateway: bed.gateway(),
            attempts,
            callers,
            honest: Mutex::new(vec![None; HONEST]),
            codes: Mutex::default(),
            rivals: Mutex::default(),
            presented: Mutex::default(),
            evidence: Mutex::default(),
            calls: AtomicU64::new(0),
            refreshed: AtomicU64::new(0),
            redeemed: AtomicU64::new(0),
            slowest: Mutex::default(),
        }
    }

    /// Lays in codes and logins for a round, and makes sure that every worker has seen the callers'
    /// tokens.
    pub async fn prepare(&self) {
        for number in 0..CODES {
            let mut browser = Browser::new(&format!("coder-{number}"));
            let authorization = self.client.authorization();
            let callback = self.client.authorize(&mut browser, &authorization).await;
            lock(&self.codes).push(Code { code: callback.code().to_owned(), verifier: authorization.verifier });
        }
        for number in 0..HONEST {
            if lock(&self.honest)[number].is_none() {
                let tokens = self.client.log_in(&mut Browser::new(&format!("honest-{number}"))).await;
                lock(&self.honest)[number] = Some(tokens.refresh_token);
            }
        }
        lock(&self.rivals).clear();
        for number in 0..RIVALS {
            let tokens = self.client.log_in(&mut Browser::new(&format!("rival-{number}"))).await;
            lock(&self.rivals).push(tokens.refresh_token);
        }
        for token in &self.callers {
            for _ in 0..REQUESTS_FOR_BOTH_WORKERS {
                let reply = self.call(token).send().await;
                assert_eq!(reply.status, 200, "before anything has happened: {reply:?}");
            }
        }
    }

    /// Starts every client; they go on until `stop` is set.
    pub fn start(self: &Arc<Self>, stop: &Arc<AtomicBool>) -> JoinSet<()> {
        let mut clients = JoinSet::new();
        clients.spawn(Arc::clone(self).call_steadily(Arc::clone(stop)));
        for number in 0..HONEST {
            clients.spawn(Arc::clone(self).refresh_honestly(number, Arc::clone(stop)));
        }
        for number in 0..RIVALS {
            clients.spawn(Arc::clone(self).refresh_twice(number, Arc::clone(stop)));
        }
        clients.spawn(Arc::clone(self).redeem_twice(Arc::clone(stop)));
        clients
    }

    /// What was done so far.
    #[must_use]
    pub fn done(&self) -> Done {
        let load = |number: &AtomicU64| number.load(Ordering::Relaxed);
        Done {
            calls: load(&self.calls),
            refreshed: load(&self.refreshed),
            redeemed: load(&self.redeemed),
            slowest: std::mem::take(&mut *lock(&self.slowest)),
        }
    }

    /// What must not have been, and the codes and tokens that were presented; both are then
    /// forgotten.
    #[must_use]
    pub fn take_books(&self) -> (Vec<String>, Vec<Presented>) {
        (std::mem::take(&mut *lock(&self.evidence)), std::mem::take(&mut *lock(&self.presented)))
    }

    async fn call_steadily(self: Arc<Self>, stop: Arc<AtomicBool>) {
        let mut beat = tokio::time::interval(CALL_EVERY);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut under_way = JoinSet::new();
        let mut number = 0;
        while !stop.load(Ordering::Relaxed) {
            beat.tick().await;
            let request = self.call(&self.callers[number % self.callers.len()]);
            number += 1;
            let load = Arc::clone(&self);
            under_way.spawn(async move {
                let started = Instant::now();
                let reply = request.try_send().await;
                load.calls.fetch_add(1, Ordering::Relaxed);
                if !reply.as_ref().is_ok_and(|reply| reply.status == 200) {
                    let reply = reply.map(|reply| format!("{} {}", reply.status, reply.text()));
                    load.complain(format!("a call with a valid token failed: {reply:?}"));
                }
                let mut slowest = lock(&load.slowest);
                *slowest = slowest.max(started.elapsed());
            });
            while under_way.try_join_next().is_some() {}
        }
        under_way.join_all().await;
    }

    /// One client that retries when the answer says so: it never loses its login.
    async fn refresh_honestly(self: Arc<Self>, number: usize, stop: Arc<AtomicBool>) {
        while !stop.load(Ordering::Relaxed) {
            tokio::time::sleep(PACE).await;
            let Some(held) = lock(&self.honest)[number].clone() else { return };
            match self.ask(&self.client.refresh_request(&held)).await {
                Answer::Granted(tokens) => {
                    self.refreshed.fetch_add(1, Ordering::Relaxed);
                    lock(&self.honest)[number] = Some(tokens.refresh_token);
                }
                Answer::Away => {}
                Answer::Refused(reply) => {
                    self.complain(format!("an honest client lost its login: {} {}", reply.status, reply.text()));
                    lock(&self.honest)[number] = None;
                }
            }
        }
    }

    /// Two processes that share a refresh token use it at once, and again when the answer says so.
    /// Both get the same successor, and never lose the login.
    async fn refresh_twice(self: Arc<Self>, number: usize, stop: Arc<AtomicBool>) {
        let first = lock(&self.rivals)[number].clone();
        let mut held = first.clone();
        let mut replaced = 0;
        while !stop.load(Ordering::Relaxed) {
            tokio::time::sleep(PACE).await;
            let request = self.client.refresh_request(&held);
            let answers: [Answer; 2] = tokio::join!(self.ask(&request), self.ask(&request)).into();
            let mut successors = BTreeSet::new();
            for answer in answers {
                match answer {
                    Answer::Granted(tokens) => {
                        self.refreshed.fetch_add(1, Ordering::Relaxed);
                        successors.insert(tokens.refresh_token);
                    }
                    Answer::Away => {}
                    Answer::Refused(reply) => {
                        self.complain(format!("two processes lost their login: {} {}", reply.status, reply.text()));
                        return;
                    }
                }
            }
            let what = format!("a refresh token of rival {number}");
            lock(&self.presented).push(Presented { what, accepted: successors.len() });
            if let Some(successor) = successors.pop_first() {
                held = successor;
                replaced += 1;
            }
        }
        // Its successor was used, so it is a replay.
        if replaced > 1 {
            let again = self.insist(&self.client.refresh_request(&first)).await;
            let accepted = 1 + usize::from(matches!(again, Answer::Granted(_)));
            let what = format!("the first refresh token of rival {number}, after its successors");
            lock(&self.presented).push(Presented { what, accepted });
        }
    }

    /// Two who hold the same code redeem it at once, and once more when they were not told how it
    /// went.
    async fn redeem_twice(self: Arc<Self>, stop: Arc<AtomicBool>) {
        let mut used = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            tokio::time::sleep(REDEEM_EVERY).await;
            let Some(code) = lock(&self.codes).pop() else { continue };
            let request = self.client.redeem_request(&code.code, &code.verifier);
            let answers = tokio::join!(self.insist(&request), self.insist(&request));
            let accepted = [answers.0, answers.1].iter().filter(|answer| matches!(answer, Answer::Granted(_))).count();
            self.redeemed.fetch_add(accepted as u64, Ordering::Relaxed);
            used.push((code, accepted));
        }
        lock(&self.codes).clear();
        for (code, accepted) in used {
            let again = self.insist(&self.client.redeem_request(&code.code, &code.verifier)).await;
            let accepted = accepted + usize::from(accepted > 0 && matches!(again, Answer::Granted(_)));
            lock(&self.presented).push(Presented { what: "a code".to_owned(), accepted });
        }
    }

    /// Asks until it is said how it went, for as long as an outage may last.
    async fn insist(&self, request: &TokenRequest) -> Answer {
        let started = Instant::now();
        loop {
            let answer = self.ask(request).await;
            if !matches!(answer, Answer::Away) || started.elapsed() > GIVE_UP {
                return answer;
            }
            tokio::time::sleep(PACE).await;
        }
    }

    async fn ask(&self, request: &TokenRequest) -> Answer {
        let reply = Request::from(request.request()).timeout(PATIENCE).try_send().await;
        let failed = match &reply {
            Ok(reply) if matches!(reply.status, 200 | 400) => None,
            Ok(reply) => Some(format!("{} {}", reply.status, reply.text())),
            Err(error) => Some(error.to_string()),
        };
        self.attempts.ended("the token endpoint", failed);
        match reply {
            Ok(reply) if reply.status == 200 => Answer::Granted(Tokens::read(&reply)),
            Ok(reply) if reply.status == 400 => Answer::Refused(reply),
            Ok(reply) => {
                if reply.status != 503 || reply.header("retry-after").is_none() {
                    self.complain(format!("the token endpoint answered {reply:?}"));
                }
                Answer::Away
            }
            Err(_) => Answer::Away,
        }
    }

    fn call(&self, token: &str) -> Request {
        Request::get(&format!("{}/api/steady", self.gateway)).bearer(token).timeout(PATIENCE)
    }

    fn complain(&self, evidence: String) {
        let mut book = lock(&self.evidence);
        if book.len() < MAX_EVIDENCE {
            book.push(format!("at {:.2?}: {evidence}", self.attempts.now()));
        }
    }
}

fn lock<T>(books: &Mutex<T>) -> MutexGuard<'_, T> {
    books.lock().unwrap_or_else(PoisonError::into_inner)
}

const CALLERS: usize = 2;
const HONEST: usize = 3;
const RIVALS: usize = 2;
const CODES: usize = 24;
const CALL_EVERY: Duration = Duration::from_millis(20);
const REDEEM_EVERY: Duration = Duration::from_millis(400);
const PACE: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(8);
const GIVE_UP: Duration = Duration::from_secs(15);
const MAX_EVIDENCE: usize = 20;
