//! Many users, sessions and providers at once, with troubles of all of them: whether a backend is
//! ever given what is another's.
//!
//! A login walks through two providers, and each of two resources gets the token of one of them.
//! Several clients use each session at the same time, log in again, refresh and revoke; providers
//! fail, are slow and change their keys, bridges are killed. The path of a call says whose it is,
//! and the provider's token whose and of which login: the recorder behind the gateways has both.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use super::random::Random;
use crate::browser::{Arrival, Browser};
use crate::http::Request;
use crate::oauth_client::{Callback, OAuthClient, Tokens, claims};
use crate::recorder::Recorded;
use crate::testbed::{Builder, IdpOptions, Store, Testbed};

/// What was seen.
#[derive(Debug, Default)]
pub struct Summary {
    /// Requests to the gateways.
    pub requests: u64,
    /// Calls that reached the backend, each of which was compared.
    pub reached: u64,
    /// Logins.
    pub logins: u64,
    /// Refreshes at the gateway.
    pub refreshes: u64,
    /// Refreshes at the providers.
    pub refreshed: u64,
    /// Sessions that ended and that no client had ended.
    pub lost: u64,
    /// Troubles.
    pub troubles: u64,
    /// Answers to calls by their status.
    pub statuses: BTreeMap<u16, u64>,
}

/// Starts two gateways with two workers each, on one Redis, and two providers.
pub async fn testbed() -> Testbed {
    builder().start().await
}

fn builder() -> Builder {
    let short = IdpOptions { access_token_ttl: 5, ..IdpOptions::default() };
    let provider = |name: &str| {
        json!({ "name": name, "type": "oidc", "oidcConfig": {
            "issuerUrl": format!("{{{name}}}"), "cluster": name, "clientId": "portcullis",
            "clientSecret": { "env": "IDP_SECRET" }, "scopes": ["openid", "offline_access"],
        } })
    };
    let resource = |provider: &str| {
        json!({ "resource": format!("{{gateway}}/api/{provider}"), "match": { "prefix": format!("/api/{provider}") },
                "scopes": ["openid"], "inject": { "type": "upstreamInject", "providerName": provider } })
    };
    Testbed::builder().store(Store::Standalone).replicas(2).workers(2).idp(short.clone()).another_idp(short).config(
        json!({
            "upstreamProviders": PROVIDERS.map(provider),
            "resources": PROVIDERS.map(resource),
            "logins": { "ratePerMinute": 10_000 },
        }),
    )
}

/// Makes this number of requests to a [`testbed`].
///
/// # Errors
/// Every call that was given what is another's.
///
/// # Panics
/// When a part ends by itself, or a client gets an answer that no trouble explains.
pub async fn run(bed: &mut Testbed, requests: u64, seed: u64) -> Result<Summary, Vec<String>> {
    let mut random = Random::new(seed);
    let load = Arc::new(Load::start(bed).await);
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(Arc::clone(&load).call_until(requests, Random::new(random.draw())));
    }
    let mut books = Books::new(bed);
    while !clients.is_empty() {
        trouble(bed, &mut random, &mut books).await;
        tokio::time::sleep(TROUBLE_EVERY).await;
        books.compare(&bed.take_recorded());
        while let Some(ended) = clients.try_join_next() {
            ended.expect("a client gets no answer that nothing explains");
        }
    }
    books.compare(&bed.take_recorded());
    for number in [1, 2] {
        books.summary.refreshed += bed.provider(number).requests().await.refreshed;
    }
    bed.check_alive().expect("every part goes on");
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let statuses = load.statuses.lock().await.clone();
    let summary = Summary {
        requests: count(&load.requests),
        logins: count(&load.logins),
        refreshes: count(&load.refreshes),
        lost: count(&load.lost),
        statuses,
        ..books.summary
    };
    if books.crossings.is_empty() { Ok(summary) } else { Err(books.crossings) }
}

/// Has something go wrong for a while.
async fn trouble(bed: &mut Testbed, random: &mut Random, books: &mut Books) {
    let provider = bed.provider(if random.below(2) == 0 { 1 } else { 2 });
    let token = match random.below(40) {
        0..=4 => json!({ "mode": "slow", "ms": 300, "times": 3 }),
        5..=7 => json!({ "mode": "drop", "times": 2 }),
        8..=9 => json!({ "mode": "error", "status": 500, "times": 3 }),
        10..=11 => json!({ "mode": "error", "status": 429, "times": 3 }),
        12 => json!({ "mode": "html", "times": 2 }),
        13 => json!({ "mode": "truncated", "times": 2 }),
        14 => {
            let number = usize::from(random.below(2) == 0);
            bed.kill_bridge(number);
            tokio::time::sleep(TROUBLE_EVERY).await;
            tokio::task::block_in_place(|| bed.restart_bridge(number));
            books.summary.troubles += 1;
            return;
        }
        _ => return,
    };
    books.summary.troubles += 1;
    provider.set(json!({ "token": token })).await;
}

/// Clients and the sessions that they share.
struct Load {
    clients: [OAuthClient; 2],
    slots: Vec<Slot>,
    gateway: String,
    is_over: AtomicBool,
    requests: AtomicU64,
    logins: AtomicU64,
    refreshes: AtomicU64,
    lost: AtomicU64,
    statuses: Mutex<BTreeMap<u16, u64>>,
}

/// A place for one session after the other, of one user at one resource.
struct Slot {
    number: usize,
    user: String,
    /// The provider whose token the resource gets, from 0.
    provider: usize,
    held: Mutex<Held>,
}

#[derive(Clone, Default)]
struct Held {
    /// How many logins there were.
    login: u64,
    tokens: Option<Tokens>,
}

impl Load {
    async fn start(bed: &Testbed) -> Self {
        let client = async |provider: &str| {
            OAuthClient::discover(&format!("{}/api/{provider}", bed.gateway())).await.register().await
        };
        let slots = (0..USERS * 4).map(|number| Slot {
            number,
            // Two sessions of each user at each resource.
            user: format!("user-{}", number / 4),
            provider: number % 2,
            held: Mutex::default(),
        });
        Self {
            clients: [client(PROVIDERS[0]).await, client(PROVIDERS[1]).await],
            slots: slots.collect(),
            gateway: bed.gateway(),
            is_over: AtomicBool::new(false),
            requests: AtomicU64::new(0),
            logins: AtomicU64::new(0),
            refreshes: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            statuses: Mutex::default(),
        }
    }

    async fn call_until(self: Arc<Self>, requests: u64, mut random: Random) {
        while !self.is_over.load(Ordering::Relaxed) {
            let slot = &self.slots[usize::try_from(random.below(self.slots.len() as u64)).unwrap_or(0)];
            let other = &self.slots[usize::try_from(random.below(self.slots.len() as u64)).unwrap_or(0)];
            match random.below(1_000) {
                0..10 => self.refresh(slot).await,
                10..12 => self.revoke(slot).await,
                12..40 => self.hang_up(slot, &mut random).await,
                40..60 => self.call_elsewhere(slot, other).await,
                _ => self.call(slot).await,
            }
            if self.requests.load(Ordering::Relaxed) >= requests {
                self.is_over.store(true, Ordering::Relaxed);
            }
        }
    }

    /// The session of a slot: which login it is of, and its tokens. There is a login if need be.
    async fn session(&self, slot: &Slot) -> Option<(u64, Tokens)> {
        let mut held = slot.held.lock().await;
        if held.tokens.is_none() {
            held.login += 1;
            held.tokens = self.log_in(slot).await;
        }
        Some((held.login, held.tokens.clone()?))
    }

    /// A login, which fails where a provider or the store is in trouble.
    async fn log_in(&self, slot: &Slot) -> Option<Tokens> {
        let client = &self.clients[slot.provider];
        let authorization = client.authorization();
        let mut browser = Browser::new(&slot.user);
        let mut arrival = browser.open(&authorization.url(), &client.redirect_uri).await;
        for _ in 0..PAGES {
            self.requests.fetch_add(1, Ordering::Relaxed);
            match arrival {
                Arrival::Left(url) => {
                    let code = Callback::read(&url).code?;
                    let reply = client.redeem_request(&code, &authorization.verifier).send().await;
                    if reply.status != 200 {
                        return None;
                    }
                    self.logins.fetch_add(1, Ordering::Relaxed);
                    return Some(Tokens::read(&reply));
                }
                Arrival::Page(page) => {
                    let form = page.forms().into_iter().next()?;
                    arrival = browser.submit(&page, &browser.fill_in(form), &client.redirect_uri).await;
                }
            }
        }
        None
    }

    fn request(&self, slot: &Slot, login: u64, token: &str) -> Request {
        let (provider, user, number) = (PROVIDERS[slot.provider], &slot.user, slot.number);
        self.requests.fetch_add(1, Ordering::Relaxed);
        Request::get(&format!("{}/api/{provider}/{user}/{number}/{login}", self.gateway)).bearer(token)
    }

    async fn call(&self, slot: &Slot) {
        let Some((login, tokens)) = self.session(slot).await else { return };
        let reply = self.request(slot, login, &tokens.access_token).send().await;
        *self.statuses.lock().await.entry(reply.status).or_default() += 1;
        match reply.status {
            200 | 503 => {}
            401 => self.end(slot, login, true).await,
            _ => panic!("{reply:?}"),
        }
    }

    /// A call that is given up before, while or after it is answered.
    async fn hang_up(&self, slot: &Slot, random: &mut Random) {
        let Some((login, tokens)) = self.session(slot).await else { return };
        let patience = Duration::from_micros(random.below(4_000));
        let call = self.request(slot, login, &tokens.access_token).try_send();
        drop(tokio::time::timeout(patience, call).await);
    }

    /// A call with a token that is for another resource.
    async fn call_elsewhere(&self, slot: &Slot, other: &Slot) {
        if slot.provider == other.provider {
            return;
        }
        let Some((_, tokens)) = self.session(slot).await else { return };
        let reply = self.request(other, 0, &tokens.access_token).send().await;
        assert!(matches!(reply.status, 401 | 503), "{reply:?}");
    }

    /// A refresh, one at a time of a session: a client that came with a token that two others have
    /// replaced meanwhile would be a thief's.
    async fn refresh(&self, slot: &Slot) {
        let mut held = slot.held.lock().await;
        let Some(tokens) = held.tokens.clone() else { return };
        let reply = self.clients[slot.provider].refresh_request(&tokens.refresh_token).send().await;
        self.requests.fetch_add(1, Ordering::Relaxed);
        match reply.status {
            200 => {
                self.refreshes.fetch_add(1, Ordering::Relaxed);
                held.tokens = Some(Tokens::read(&reply));
            }
            503 => {}
            400 => {
                self.lost.fetch_add(1, Ordering::Relaxed);
                held.tokens = None;
            }
            _ => panic!("{reply:?}"),
        }
    }

    async fn revoke(&self, slot: &Slot) {
        let Some((login, tokens)) = self.session(slot).await else { return };
        // From here on it is no surprise that it has ended.
        self.end(slot, login, false).await;
        let client = &self.clients[slot.provider];
        let form = [("token", &*tokens.refresh_token), ("client_id", &client.client_id)];
        let reply = Request::post(&client.endpoint("revocation_endpoint")).form(&form).send().await;
        self.requests.fetch_add(1, Ordering::Relaxed);
        assert!(matches!(reply.status, 200 | 503), "{reply:?}");
    }

    /// Forgets a session that is over.
    async fn end(&self, slot: &Slot, login: u64, is_lost: bool) {
        let mut held = slot.held.lock().await;
        if held.login == login && held.tokens.take().is_some() && is_lost {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What is known of the logins, and what contradicts it.
struct Books {
    issuers: [String; 2],
    /// The provider's grant that a login is of, by slot and login.
    grants: BTreeMap<(String, String), String>,
    /// The same the other way round.
    logins: BTreeMap<String, (String, String)>,
    crossings: Vec<String>,
    summary: Summary,
}

impl Books {
    fn new(bed: &Testbed) -> Self {
        let issuers = [1, 2].map(|number| bed.provider(number).issuer().to_owned());
        let (grants, logins) = (BTreeMap::new(), BTreeMap::new());
        Self { issuers, grants, logins, crossings: Vec::new(), summary: Summary::default() }
    }

    /// Compares what the backend got with whose call it was.
    fn compare(&mut self, recorded: &[Recorded]) {
        for request in recorded {
            self.summary.reached += 1;
            if let Err(why) = self.check(request) {
                self.crossings.push(format!("{}: {why}", request.path));
            }
        }
    }

    fn check(&mut self, request: &Recorded) -> Result<(), String> {
        let parts: Vec<&str> = request.path.split('/').skip(2).collect();
        let [provider, user, slot, login] = parts[..] else { return Err("no such path".to_owned()) };
        let [token] = &request.headers("authorization")[..] else { return Err("not one token".to_owned()) };
        let told = claims(token.strip_prefix("Bearer ").unwrap_or_default());
        let issuer = PROVIDERS.iter().position(|name| *name == provider).map(|number| &*self.issuers[number]);
        let is = |name: &str, wanted: Option<&str>| match told[name].as_str() == wanted {
            true => Ok(()),
            false => Err(format!("{name} of the token is {}", told[name])),
        };
        is("iss", issuer)?;
        is("sub", Some(user))?;
        let grant = told["grant"].as_str().unwrap_or_default().to_owned();
        let session = (slot.to_owned(), login.to_owned());
        let of_session = self.grants.entry(session.clone()).or_insert_with(|| grant.clone());
        let of_grant = self.logins.entry(grant.clone()).or_insert_with(|| session.clone());
        if *of_session != grant || *of_grant != session {
            return Err(format!("the token is of login {of_grant:?}"));
        }
        Ok(())
    }
}

/// The providers by name and cluster; the first says who the user is.
const PROVIDERS: [&str; 2] = ["idp", "idp2"];
/// Users, each with two sessions at each resource.
const USERS: usize = 12;
/// Clients that use those sessions at the same time.
const CLIENTS: usize = 24;
/// The most pages of a login at two providers.
const PAGES: usize = 8;
/// How often something goes wrong, maybe.
const TROUBLE_EVERY: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use serde_json::Value;

    use super::*;

    fn recorded(path: &str, told: &Value) -> Recorded {
        let token = format!("Bearer e30.{}.c2ln", URL_SAFE_NO_PAD.encode(told.to_string()));
        let headers = vec![(b"authorization".to_vec(), token.into_bytes())];
        Recorded { method: "GET".to_owned(), path: path.to_owned(), headers, body: Vec::new(), raw_head: Vec::new() }
    }

    #[test]
    fn what_is_anothers_is_noticed() {
        let issuers = ["https://one".to_owned(), "https://two".to_owned()];
        let (grants, logins) = (BTreeMap::new(), BTreeMap::new());
        let mut books = Books { issuers, grants, logins, crossings: Vec::new(), summary: Summary::default() };
        let told = |iss: &str, sub: &str, grant: &str| json!({ "iss": iss, "sub": sub, "grant": grant });
        books.compare(&[
            recorded("/api/idp/ann/0/1", &told("https://one", "ann", "a")),
            recorded("/api/idp/ann/0/1", &told("https://one", "ann", "a")),
            recorded("/api/idp2/ann/1/1", &told("https://two", "ann", "b")),
        ]);
        assert_eq!((books.crossings.len(), books.summary.reached), (0, 3));
        for (path, told) in [
            ("/api/idp/ann/0/1", told("https://two", "ann", "a")),
            ("/api/idp/ann/0/1", told("https://one", "ben", "a")),
            ("/api/idp/ann/0/1", told("https://one", "ann", "c")),
            ("/api/idp/ann/2/1", told("https://one", "ann", "a")),
            ("/api/idp/ann/0/2", told("https://one", "ann", "a")),
        ] {
            let before = books.crossings.len();
            books.compare(&[recorded(path, &told)]);
            assert_eq!(books.crossings.len(), before + 1, "{path} {told}");
        }
    }
}
