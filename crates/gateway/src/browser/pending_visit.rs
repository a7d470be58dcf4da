//! A browser's visit of a provider that is no login of a client: to sign in for the page of
//! connections, or to connect.
//!
//! As a login, it is carried by the browser in a sealed cookie of its own, which a login's cookie
//! is never taken for, and is used up once ([`crate::browser::pending_login`]). It says for which
//! user a connection is: another user who has signed in to the browser meanwhile does not get it.

use minicbor::{Decode, Encode};
use portcullis_protocol::base64url;
use portcullis_protocol::credentials::UserId;
use portcullis_protocol::crypto::key_ring::Purpose;
use portcullis_protocol::http::message::Request;

use crate::browser::cookies;
use crate::browser::pending_login::{LOGIN_LIFE, Seed};
use crate::config::{Config, ProviderId, Sealer};
use crate::error::DependencyError;
use crate::ports::Entropy;
use crate::store::encoding::{self, user_id};

/// A visit of a provider.
#[derive(Encode, Decode)]
#[cbor(map)]
pub struct PendingVisit {
    /// What it is for.
    #[n(1)]
    pub purpose: VisitPurpose,
    /// The bytes of the provider's [`ProviderId`].
    #[cbor(n(2), with = "minicbor::bytes")]
    pub provider: [u8; 16],
    /// When it expires, in Unix seconds.
    #[n(3)]
    pub expires_at: u64,
}

/// The purpose of a visit.
#[derive(Encode, Decode)]
#[cbor(flat)]
pub enum VisitPurpose {
    /// To see who uses the browser.
    #[n(0)]
    SignIn(#[n(0)] SignIn),
    /// To connect the provider.
    #[n(1)]
    Connect(#[n(0)] Connect),
}

/// A visit to sign in.
#[derive(Encode, Decode)]
#[cbor(map)]
pub struct SignIn {
    /// The provider that the page is asked about, by its name in the configuration.
    #[n(1)]
    pub about: Option<String>,
    /// Whether the user chose the provider that is visited.
    #[cbor(n(2), default)]
    pub is_chosen: bool,
}

/// A visit to connect.
#[derive(Encode, Decode)]
#[cbor(map)]
pub struct Connect {
    /// The user who connects.
    #[cbor(n(1), with = "user_id")]
    pub user: UserId,
}

/// The content of a visit's cookie, to be written.
#[derive(Encode)]
#[cbor(map)]
struct VisitCookieRef<'a> {
    #[n(1)]
    seed: &'a Seed,
    #[n(2)]
    visit: &'a PendingVisit,
}

/// As [`VisitCookieRef`], as it is read.
#[derive(Decode)]
#[cbor(map)]
struct VisitCookie {
    #[n(1)]
    seed: Seed,
    #[n(2)]
    visit: PendingVisit,
}

impl PendingVisit {
    /// A visit that begins at `now`, in Unix seconds.
    #[must_use]
    pub fn new(purpose: VisitPurpose, provider: ProviderId, now: u64) -> Self {
        Self { purpose, provider: *provider.as_bytes(), expires_at: now.saturating_add(LOGIN_LIFE) }
    }
}

/// The `Set-Cookie` values that make the browser carry a visit.
///
/// # Errors
/// [`DependencyError`].
pub fn cookies(
    seed: &Seed,
    visit: &PendingVisit,
    request: &Request,
    config: &Config,
    entropy: &impl Entropy,
) -> Result<Vec<String>, DependencyError> {
    // The fields can be written; were one not, no visit starts.
    let sealed = seal(seed, visit, &config.sealer, entropy.random()?).ok_or(DependencyError::Internal)?;
    Ok(cookies::keep_login(request, &config.issuer, &seed.state(), &base64url::encode(&sealed), LOGIN_LIFE))
}

/// Returns the visit with this `state` that the browser which sent a request carries; `None`
/// without a genuine cookie.
#[must_use]
pub fn carried(request: &Request, config: &Config, state: &str) -> Option<(Seed, PendingVisit)> {
    let sealed = base64url::decode(&cookies::login(request, &config.issuer, state)?).ok()?;
    open(sealed, &config.sealer, state)
}

pub(crate) fn seal(seed: &Seed, visit: &PendingVisit, sealer: &Sealer, nonce: [u8; 24]) -> Option<Vec<u8>> {
    let draft = encoding::to_draft(&VisitCookieRef { seed, visit }).ok()?;
    Some(sealer.seal(nonce, Purpose::Cookie, &bound_to(&seed.state()), draft))
}

pub(crate) fn open(sealed: Vec<u8>, sealer: &Sealer, state: &str) -> Option<(Seed, PendingVisit)> {
    let plain = sealer.open(Purpose::Cookie, &bound_to(state), sealed)?;
    encoding::from_bytes(plain.expose()).map(|VisitCookie { seed, visit }| (seed, visit))
}

/// The context that a visit's cookie is sealed to besides the gateway.
fn bound_to(state: &str) -> [&[u8]; 2] {
    [b"visit ", state.as_bytes()]
}
