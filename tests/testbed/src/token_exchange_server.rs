//! The token endpoint of a backend's authorization server that exchanges tokens (RFC 8693), and
//! refuses any request that is not exactly the expected one.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use portcullis_testkit::bending_provider::{Reply, Request};
use serde_json::{Value, json};

use crate::loopback_server::LoopbackServer;

/// A server that runs until it is dropped.
pub struct TokenExchangeServer {
    server: LoopbackServer,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    exchanges: usize,
    refuses_all: bool,
    faults: Vec<String>,
}

impl TokenExchangeServer {
    /// Starts one for this client, whose requests must have exactly these parameters next to
    /// `subject_token`, which must be a JWT.
    ///
    /// # Errors
    /// When no loopback port can be had.
    pub fn start(client: (&str, &str), parameters: &[(&str, &str)]) -> io::Result<Self> {
        let basic = format!("Basic {}", STANDARD.encode(format!("{}:{}", client.0, client.1)));
        let expected: BTreeMap<String, String> =
            parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let seen = Arc::<Mutex<Seen>>::default();
        let kept = Arc::clone(&seen);
        let server = LoopbackServer::start(|_| {
            move |request: &Request<'_>| {
                let mut seen = kept.lock().unwrap_or_else(PoisonError::into_inner);
                if seen.refuses_all {
                    return Some(answer(400, &json!({ "error": "invalid_request" })));
                }
                match subject(request, &basic, &expected) {
                    Ok(subject) => {
                        seen.exchanges = seen.exchanges.saturating_add(1);
                        Some(answer(
                            200,
                            &json!({
                                "access_token": format!("exchanged-{}-{subject}", seen.exchanges),
                                "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
                                "token_type": "Bearer", "expires_in": 600,
                            }),
                        ))
                    }
                    Err(fault) => {
                        seen.faults.push(fault);
                        Some(answer(400, &json!({ "error": "invalid_request" })))
                    }
                }
            }
        })?;
        Ok(Self { server, seen })
    }

    /// Where it listens.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.server.port()
    }

    /// The URL of the endpoint.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}/token", self.server.url())
    }

    /// Refuses every exchange from now on, or no more than before.
    pub fn refuse_all(&self, refuses_all: bool) {
        self.seen().refuses_all = refuses_all;
    }

    /// Returns how many tokens were exchanged.
    ///
    /// # Panics
    /// When a request was not as expected.
    #[must_use]
    pub fn exchanges(&self) -> usize {
        let seen = self.seen();
        assert!(seen.faults.is_empty(), "{:?}", seen.faults);
        seen.exchanges
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the `sub` of the token that is exchanged, or what is wrong with the request.
fn subject(request: &Request<'_>, basic: &str, expected: &BTreeMap<String, String>) -> Result<String, String> {
    if request.target != "/token" || request.authorization != Some(basic) {
        return Err(format!("{} {:?}", request.target, request.authorization));
    }
    let pairs: Vec<(String, String)> = url::form_urlencoded::parse(request.body).into_owned().collect();
    let mut form: BTreeMap<String, String> = pairs.iter().cloned().collect();
    let token = form.remove("subject_token").unwrap_or_default();
    if form.len().saturating_add(1) != pairs.len() || form != *expected {
        return Err(format!("{form:?}"));
    }
    let claims = token.split('.').nth(1).and_then(|claims| URL_SAFE_NO_PAD.decode(claims).ok());
    let claims: Option<Value> = claims.and_then(|claims| serde_json::from_slice(&claims).ok());
    let subject = claims.as_ref().and_then(|claims| claims["sub"].as_str()).map(str::to_owned);
    subject.ok_or_else(|| "the subject token is no JWT of a user".to_owned())
}

fn answer(status: u16, body: &Value) -> Reply {
    let headers = vec![("content-type", "application/json".to_owned()), ("cache-control", "no-store".to_owned())];
    Reply { status, headers, body: body.to_string().into_bytes() }
}
