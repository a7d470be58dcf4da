//! An OAuth 2.0 provider on a loopback port that rotates refresh tokens, and ends a login whose
//! refresh token is used again (RFC 9700 §4.14.2): each authorization is another account's, and it
//! remembers what was asked of each.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use portcullis_testkit::bending_provider::{Reply, Request};
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::loopback_server::LoopbackServer;

/// A provider that runs until it is dropped.
pub struct RotatingProvider {
    server: LoopbackServer,
    shared: Arc<Shared>,
}

/// The provider's treatment of the first request for a refresh of each login; further ones are
/// granted at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum First {
    /// Granted.
    Granted,
    /// Granted after this time.
    Slow(Duration),
    /// Refused with this status, and 1 s in `Retry-After`.
    Status(u16),
    /// Lost: the connection is closed, and nothing was done.
    Lost,
}

/// What was asked of the provider in one login's name.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Requests for a refresh.
    pub asked: u32,
    /// Refreshes that were granted.
    pub granted: u32,
    /// Refresh tokens that were used again.
    pub reused: u32,
}

struct Shared {
    state: Mutex<State>,
}

struct State {
    accounts: u64,
    life: u64,
    first: First,
    logins: HashMap<u64, Counts>,
}

impl RotatingProvider {
    /// Starts one whose access tokens live for a second.
    ///
    /// # Errors
    /// When no loopback port can be had.
    pub fn start() -> io::Result<Self> {
        let state = State { accounts: 0, life: 1, first: First::Granted, logins: HashMap::new() };
        let shared = Arc::new(Shared { state: Mutex::new(state) });
        let answering = Arc::clone(&shared);
        let server = LoopbackServer::start(|_| move |request: &Request<'_>| answering.answer(request))?;
        Ok(Self { server, shared })
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// Its origin; the endpoints are `/authorize`, `/token` and `/user` there.
    #[must_use]
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Gives out access tokens that live for this number of seconds from now on.
    pub fn set_life(&self, seconds: u64) {
        self.shared.state().life = seconds;
    }

    /// Treats the first refresh of a login so from now on.
    pub fn set_first(&self, first: First) {
        self.shared.state().first = first;
    }

    /// Returns what was asked in the name of each account's login.
    #[must_use]
    pub fn counts(&self) -> HashMap<u64, Counts> {
        self.shared.state().logins.clone()
    }
}

/// Returns the account that an access token of a [`RotatingProvider`] belongs to.
#[must_use]
pub fn account(access_token: &str) -> Option<u64> {
    access_token.strip_prefix("access-")?.split_once('-')?.0.parse().ok()
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers a request; `None` if it is lost.
    fn answer(&self, request: &Request<'_>) -> Option<Reply> {
        let (path, query) = request.target.split_once('?').unwrap_or((request.target, ""));
        match path {
            "/authorize" => Some(self.authorize(query)),
            "/token" => self.token(request.body),
            "/user" => {
                let token = request.authorization.and_then(|value| value.strip_prefix("Bearer "));
                Some(token.and_then(account).map_or_else(
                    || json_reply(401, &json!({ "error": "invalid_token" })),
                    |account| json_reply(200, &json!({ "id": account })),
                ))
            }
            _ => Some(json_reply(404, &json!({ "error": "not_found" }))),
        }
    }

    /// Logs another account in, without asking anything.
    fn authorize(&self, query: &str) -> Reply {
        let account = {
            let mut state = self.state();
            state.accounts += 1;
            state.accounts
        };
        let parameters: HashMap<_, _> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let of = |name: &str| parameters.get(name).map_or("", String::as_str);
        let answer = form_urlencoded::Serializer::new(String::new())
            .append_pair("code", &account.to_string())
            .append_pair("state", of("state"))
            .finish();
        let location = format!("{}?{answer}", of("redirect_uri"));
        Reply { status: 303, headers: vec![("location", location)], body: Vec::new() }
    }

    fn token(&self, body: &[u8]) -> Option<Reply> {
        let form: HashMap<_, _> = form_urlencoded::parse(body).into_owned().collect();
        if let Some(account) = form.get("code").and_then(|code| code.parse().ok()) {
            let mut state = self.state();
            state.logins.insert(account, Counts::default());
            return Some(tokens(account, 0, state.life));
        }
        let presented = form.get("refresh_token").and_then(|token| token.strip_prefix("refresh-"));
        let parts = presented.and_then(|token| token.split_once('-'));
        let numbers = parts.and_then(|(account, number)| Some((account.parse().ok()?, number.parse().ok()?)));
        let Some((account, number)) = numbers else { return Some(refused()) };
        self.refresh(account, number)
    }

    fn refresh(&self, account: u64, number: u32) -> Option<Reply> {
        let (asked, first) = {
            let mut state = self.state();
            let first = state.first;
            let counts = state.logins.get_mut(&account)?;
            counts.asked += 1;
            (counts.asked, first)
        };
        match first {
            First::Slow(time) if asked == 1 => std::thread::sleep(time),
            First::Status(status) if asked == 1 => {
                let mut reply = json_reply(status, &json!({ "error": "later" }));
                reply.headers.push(("retry-after", "1".to_owned()));
                return Some(reply);
            }
            First::Lost if asked == 1 => return None,
            First::Granted | First::Slow(_) | First::Status(_) | First::Lost => {}
        }
        let mut state = self.state();
        let life = state.life;
        let counts = state.logins.get_mut(&account)?;
        if counts.reused > 0 || number != counts.granted {
            counts.reused += 1;
            return Some(refused());
        }
        counts.granted += 1;
        Some(tokens(account, counts.granted, life))
    }
}

fn tokens(account: u64, number: u32, life: u64) -> Reply {
    json_reply(
        200,
        &json!({
            "access_token": format!("access-{account}-{number}"), "token_type": "Bearer", "expires_in": life,
            "refresh_token": format!("refresh-{account}-{number}"),
        }),
    )
}

fn refused() -> Reply {
    json_reply(400, &json!({ "error": "invalid_grant" }))
}

fn json_reply(status: u16, body: &Value) -> Reply {
    let headers = vec![("content-type", "application/json".to_owned()), ("cache-control", "no-store".to_owned())];
    Reply { status, headers, body: body.to_string().into_bytes() }
}
