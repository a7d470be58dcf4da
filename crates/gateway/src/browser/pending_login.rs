//! A login under way, from the consent page to the provider's callback. The browser carries it,
//! sealed, in a cookie of its own; the gateway stores nothing for a login that may never be
//! finished.
//!
//! A login at several providers goes to one after the other ([`crate::config::Leg`]). Each leg has
//! a seed and a cookie of its own, which is used up when the browser comes back. The cookie names
//! the leg's provider, so that no answer is taken for one of another provider, and what the login
//! has done so far; who the user is, is in the record of the first leg's tokens.
//!
//! Until the user has consented the cookie holds only the login's seed, which proves that the page
//! was shown in this browser. The consent adds the login itself. What the provider is sent
//! (`state`, `nonce`, the PKCE challenge) is derived from the seed, which is also in the form:
//! sending a form again leads to the same request at the provider, and the callback uses that login
//! up once.

use minicbor::{Decode, Encode};
use portcullis_protocol::base64url;
use portcullis_protocol::credentials::{SessionId, UserId};
use portcullis_protocol::crypto::digest::digest_parts;
use portcullis_protocol::crypto::key_ring::Purpose;
use portcullis_protocol::http::message::Request;
use portcullis_protocol::oauth::pkce::CodeVerifier;
use portcullis_protocol::oauth::scope::GrantedScope;
use portcullis_storage_api::Kind;

use crate::audit::{AuditField, AuditFields};
use crate::browser::cookies::{self, FORM_LIFE};
use crate::config::{Config, ProviderId, Sealer};
use crate::error::DependencyError;
use crate::ports::{Entropy, NoEntropy};
use crate::store::encoding::{self, granted_scope, optional_provider_id, optional_user_id, provider_ids, user_id};
use crate::store::records::Record;

/// How long a user may take to log in at a provider, in seconds from when the gateway sent the
/// browser there.
pub const LOGIN_LIFE: u64 = 600;

/// How long a used login is remembered, in seconds: as long as a cookie for it can be valid. The
/// form can be sent until [`FORM_LIFE`] is over, each time for a new [`LOGIN_LIFE`]; a minute more
/// is for gateways whose clocks differ.
pub const USED_LIFE: u64 = FORM_LIFE + LOGIN_LIFE + 60;

/// 32 random bytes that the `state`, the `nonce` and the PKCE verifier of one login are derived
/// from, each by a digest under its own label, so that none of them reveals the seed or another
/// one.
#[derive(Encode, Decode)]
#[cbor(transparent)]
pub struct Seed(#[cbor(n(0), with = "minicbor::bytes")] [u8; 32]);

/// The content of a login's cookie, to be written.
#[derive(Encode)]
#[cbor(map)]
struct LoginCookieRef<'a> {
    #[n(1)]
    seed: &'a Seed,
    #[n(2)]
    login: Option<&'a PendingLogin>,
}

/// As [`LoginCookieRef`], as it is read.
#[derive(Decode)]
#[cbor(map)]
struct LoginCookie {
    #[n(1)]
    seed: Seed,
    #[n(2)]
    login: Option<PendingLogin>,
}

/// A leg of a login that the user has consented to.
#[derive(Encode, Decode)]
#[cbor(map)]
pub struct PendingLogin {
    /// What the client asked for and the user agreed to.
    #[n(1)]
    pub request: Authorization,
    /// The user whose remembered consent this login relies on; it must turn out to be the one who
    /// logs in.
    #[cbor(n(2), with = "optional_user_id", has_nil)]
    pub consented_by: Option<UserId>,
    /// When it expires, in Unix seconds.
    #[n(3)]
    pub expires_at: u64,
    /// The provider that the user logs in at; absent in the cookie of a release that knew one
    /// provider only.
    #[cbor(n(4), with = "optional_provider_id", has_nil)]
    pub provider: Option<ProviderId>,
    /// The provider that the user chose, where there is a choice.
    #[cbor(n(5), with = "optional_provider_id", has_nil)]
    pub chosen: Option<ProviderId>,
    /// The legs before it, unless it is the first.
    #[n(6)]
    pub done: Option<DoneLegs>,
}

/// The legs of a login that are done.
#[derive(Clone, Encode, Decode)]
#[cbor(map)]
pub struct DoneLegs {
    /// The [`SessionId`] that the login's session will have, under which their tokens are kept.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub session: [u8; 16],
    /// The user, by the first of them.
    #[cbor(n(2), with = "user_id")]
    pub user: UserId,
    /// Their providers, in the order of the legs.
    #[cbor(n(3), with = "provider_ids")]
    pub providers: Vec<ProviderId>,
    /// Whether these are all, and the user connects a further provider besides.
    #[cbor(n(4), default)]
    pub connects: bool,
}

impl DoneLegs {
    /// The session's id.
    #[must_use]
    pub const fn session(&self) -> SessionId {
        SessionId::new(self.session)
    }
}

impl Seed {
    /// A new seed.
    ///
    /// # Errors
    /// [`NoEntropy`].
    pub fn new(entropy: &impl Entropy) -> Result<Self, NoEntropy> {
        Ok(Self(entropy.random()?))
    }

    /// The `state` at the provider, 43 characters. It also names the login.
    #[must_use]
    pub fn state(&self) -> String {
        base64url::encode(&self.derived(b"state"))
    }

    /// The `nonce` that the provider's ID token must repeat, 43 characters.
    #[must_use]
    pub fn nonce(&self) -> String {
        base64url::encode(&self.derived(b"nonce"))
    }

    /// The PKCE verifier of the provider's code.
    #[must_use]
    pub fn verifier(&self) -> CodeVerifier {
        CodeVerifier::from_random(self.derived(b"verifier"))
    }

    /// The bytes, for the MAC that ties a form to the browser.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn derived(&self, label: &[u8]) -> [u8; 32] {
        *digest_parts(&[label, &self.0]).as_bytes()
    }
}

impl PendingLogin {
    /// The most bytes of an authorization request that a browser can carry: the client's `state`
    /// and redirect URI make nearly all of it.
    const MAX_REQUEST_BYTES: usize = 5 * 1024 + 512;

    /// The providers of the legs before it, in the order of the legs.
    #[must_use]
    pub fn done(&self) -> &[ProviderId] {
        self.done.as_ref().map_or(&[], |done| &done.providers)
    }

    /// Whether the cookie of a login with this request stays within [`cookies::MAX_LOGIN_BYTES`].
    #[must_use]
    pub fn can_carry(request: &Authorization) -> bool {
        let state = request.state.as_deref().unwrap_or_default();
        let (scope, name) = (request.scope.to_string(), request.client_name.as_deref().unwrap_or_default());
        let parts = [&request.redirect_uri, &request.client_id, &request.resource, &scope, state, name];
        parts.map(str::len).into_iter().fold(0, usize::saturating_add) <= Self::MAX_REQUEST_BYTES
    }
}

/// The `Set-Cookie` values that make the browser carry a login: with its seed alone once the page
/// is shown, with the login itself once the user has consented.
///
/// # Errors
/// [`DependencyError`].
pub fn cookies(
    seed: &Seed,
    login: Option<&PendingLogin>,
    request: &Request,
    config: &Config,
    entropy: &impl Entropy,
) -> Result<Vec<String>, DependencyError> {
    let state = seed.state();
    // The fields can be written; were one not, no login starts.
    let sealed = seal(seed, login, &config.sealer, entropy.random()?).ok_or(DependencyError::Internal)?;
    let life = if login.is_some() { LOGIN_LIFE } else { FORM_LIFE };
    Ok(cookies::keep_login(request, &config.issuer, &state, &base64url::encode(&sealed), life))
}

/// Returns what the browser that sent a request carries of the login with this `state`: the seed
/// once its page was shown there, and the login once the user has consented. `None` without a
/// genuine cookie.
#[must_use]
pub fn carried(request: &Request, config: &Config, state: &str) -> Option<(Seed, Option<PendingLogin>)> {
    let sealed = base64url::decode(&cookies::login(request, &config.issuer, state)?).ok()?;
    open(sealed, &config.sealer, state)
}

pub(crate) fn seal(seed: &Seed, login: Option<&PendingLogin>, sealer: &Sealer, nonce: [u8; 24]) -> Option<Vec<u8>> {
    let draft = encoding::to_draft(&LoginCookieRef { seed, login }).ok()?;
    Some(sealer.seal(nonce, Purpose::Cookie, &bound_to(&seed.state()), draft))
}

pub(crate) fn open(sealed: Vec<u8>, sealer: &Sealer, state: &str) -> Option<(Seed, Option<PendingLogin>)> {
    let plain = sealer.open(Purpose::Cookie, &bound_to(state), sealed)?;
    encoding::from_bytes(plain.expose()).map(|LoginCookie { seed, login }| (seed, login))
}

/// The context that a login's cookie is sealed to besides the gateway: the whole `state`, of which
/// the cookie's name has only a part.
fn bound_to(state: &str) -> [&[u8]; 2] {
    [b"login ", state.as_bytes()]
}

/// A checked authorization request.
#[derive(Debug, Clone, Encode, Decode)]
#[cbor(map)]
pub struct Authorization {
    /// The client.
    #[n(1)]
    pub client_id: String,
    /// Where the answer goes; it matched a registered URI.
    #[n(2)]
    pub redirect_uri: String,
    /// The client's state, returned as it came.
    #[n(3)]
    pub state: Option<String>,
    /// The client's PKCE challenge.
    #[n(4)]
    pub challenge: String,
    /// The scopes to be granted.
    #[cbor(n(5), with = "granted_scope")]
    pub scope: GrantedScope,
    /// The resource, in canonical form.
    #[n(6)]
    pub resource: String,
    /// What the provider is asked to do besides (`login` or `select_account`), where the client
    /// wants it.
    #[n(7)]
    pub prompt: Option<String>,
    /// Whether the client may have refresh tokens, by the metadata document that describes it and
    /// that is not read again for this login; absent for other kinds of client.
    #[n(8)]
    pub refreshable: Option<bool>,
    /// The name that the client gave itself, for operators.
    #[n(9)]
    pub client_name: Option<String>,
}

impl Authorization {
    /// What the audit trail says of it.
    #[must_use]
    pub fn audited(&self) -> AuditFields {
        let mut known = AuditFields::default()
            .with(AuditField::Resource, &self.resource)
            .with(AuditField::Client, &self.client_id)
            .with(AuditField::Scopes, &self.scope.to_string());
        known.add_known(AuditField::ClientName, self.client_name.as_deref());
        known
    }
}

/// That a pending login was used. It says nothing more: only its name counts.
#[derive(Encode, Decode)]
#[cbor(map)]
pub struct UsedLogin;

impl Record for UsedLogin {
    const KIND: Kind = Kind::Pending;
    const TYPE: &'static str = "used-login";
}

#[cfg(test)]
#[path = "pending_login_tests.rs"]
mod tests;
