//! A login under way, from the consent page to the provider's callback. The browser carries it,
//! sealed, in a cookie of its own; the gateway stores nothing for a login that may never be
//! finished.
//!
//! Until the user has consented the cookie holds only the login's seed, which proves that the page
//! was shown in this browser. The consent adds the login itself. What the provider is sent
//! (`state`, `nonce`, the PKCE challenge) is derived from the seed, which is also in the form:
//! sending a form again leads to the same request at the provider, and the callback uses that login
//! up once.

use portcullis_protocol::base64url;
use portcullis_protocol::crypto::digest::digest_parts;
use portcullis_protocol::crypto::key_ring::{Draft, Purpose};
use portcullis_protocol::http::message::Request;
use portcullis_protocol::oauth::pkce::CodeVerifier;
use portcullis_protocol::oauth::scope::GrantedScope;
use portcullis_storage_api::Kind;
use serde::{Deserialize, Serialize};

use crate::browser::cookies::{self, FORM_LIFE};
use crate::config::Config;
use crate::ports::{Entropy, NoEntropy};
use crate::store::records::Record;

/// How long a user may take to log in at the provider, in seconds from the consent.
pub const LOGIN_LIFE: u64 = 600;

/// How long a used login is remembered, in seconds: as long as a cookie for it can be valid. The
/// form can be sent until [`FORM_LIFE`] is over, each time for a new [`LOGIN_LIFE`]; a minute more
/// is for gateways whose clocks differ.
pub const USED_LIFE: u64 = FORM_LIFE + LOGIN_LIFE + 60;

/// 32 random bytes that the `state`, the `nonce` and the PKCE verifier of one login are derived
/// from, each by a digest under its own label, so that none of them reveals the seed or another
/// one.
#[derive(Serialize, Deserialize)]
pub struct Seed([u8; 32]);

/// A login that the user has consented to.
#[derive(Serialize, Deserialize)]
pub struct PendingLogin {
    /// What the client asked for and the user agreed to.
    pub request: Authorization,
    /// The user whose remembered consent this login relies on; it must turn out to be the one who
    /// logs in.
    pub consented_by: Option<String>,
    /// When it expires, in Unix seconds.
    pub expires_at: u64,
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

    /// Whether the cookie of a login with this request stays within [`cookies::MAX_LOGIN_BYTES`].
    #[must_use]
    pub fn can_carry(request: &Authorization) -> bool {
        let state = request.state.as_deref().unwrap_or_default();
        let parts = [&request.redirect_uri, &request.client_id, &request.resource, &request.scope.to_string(), state];
        parts.map(str::len).into_iter().fold(0, usize::saturating_add) <= Self::MAX_REQUEST_BYTES
    }
}

/// The `Set-Cookie` values that make the browser carry a login: with its seed alone once the page
/// is shown, with the login itself once the user has consented.
///
/// # Errors
/// [`NoEntropy`].
pub fn cookies(
    seed: &Seed,
    login: Option<&PendingLogin>,
    request: &Request,
    config: &Config,
    entropy: &impl Entropy,
) -> Result<Vec<String>, NoEntropy> {
    let state = seed.state();
    let mut draft = Draft::with_room(USUAL_BYTES);
    // Serializing plain fields cannot fail; were it to, no login starts.
    postcard::to_io(&(seed, login), &mut draft).map_err(|_| NoEntropy)?;
    let sealed = config.key_ring.seal_draft(entropy.random()?, Purpose::Cookie, &bound_to(config, &state), draft);
    let life = if login.is_some() { LOGIN_LIFE } else { FORM_LIFE };
    Ok(cookies::keep_login(request, &config.issuer, &state, &base64url::encode(&sealed), life))
}

/// What the browser that sent a request carries of the login with this `state`: the seed once its
/// page was shown there, and the login once the user has consented. `None` without a genuine
/// cookie.
#[must_use]
pub fn carried(request: &Request, config: &Config, state: &str) -> Option<(Seed, Option<PendingLogin>)> {
    let sealed = base64url::decode(&cookies::login(request, &config.issuer, state)?).ok()?;
    let plain = config.key_ring.open_in_place(Purpose::Cookie, &bound_to(config, state), sealed).ok()?;
    postcard::from_bytes(plain.expose()).ok()
}

/// What a login's cookie is sealed to: this gateway and the whole `state`, of which the cookie's
/// name has only a part.
fn bound_to(config: &Config, state: &str) -> Vec<u8> {
    ["login ", &config.issuer.url, " ", state].concat().into_bytes()
}

/// Room for most logins.
const USUAL_BYTES: usize = 512;

/// A checked authorization request.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Authorization {
    /// The client.
    pub client_id: String,
    /// Where the answer goes; it matched a registered URI.
    pub redirect_uri: String,
    /// The client's state, returned as it came.
    pub state: Option<String>,
    /// The client's PKCE challenge.
    pub challenge: String,
    /// The scopes to be granted.
    pub scope: GrantedScope,
    /// The resource, in canonical form.
    pub resource: String,
    /// What the provider is asked to do besides (`login` or `select_account`), where the client
    /// wants it.
    pub prompt: Option<String>,
}

/// That a pending login was used. It says nothing more: only its name counts.
#[derive(Serialize, Deserialize)]
pub struct UsedLogin;

impl Record for UsedLogin {
    const KIND: Kind = Kind::Pending;
}
