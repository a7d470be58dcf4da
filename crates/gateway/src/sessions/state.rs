//! The life of one login: first it is an authorization code, then a family of refresh tokens, then
//! it is gone.
//!
//! It is one stored record that only ever changes by compare-and-swap, so that a code is redeemed
//! once and a generation of refresh tokens has one successor, whatever happens at the same time. A
//! record that is deleted is a session that was revoked.

use minicbor::{Decode, Encode};
use portcullis_protocol::credentials::{AuthorizationCode, RefreshToken, UserId};
use portcullis_protocol::crypto::secret::Secret;
use portcullis_protocol::oauth::pkce::{CodeChallenge, CodeVerifier};
use portcullis_protocol::oauth::resource::ResourceUri;
use portcullis_protocol::oauth::scope::GrantedScope;
use portcullis_storage_api::Kind;

use crate::audit::{AuditField, AuditFields};
use crate::config::ProviderId;
use crate::store::encoding::{granted_scope, provider_ids, user_id};
use crate::store::records::Record;

/// How long a refresh token that was replaced still gives its successor, in seconds, as long as
/// that successor has not been used: the answer may have been lost, or several processes share the
/// token.
pub const REFRESH_GRACE: u64 = 30;

/// One login and everything granted from it. Each call reads it, so what only operators ask for is
/// in the upstream tokens' record (perf: decision 17).
#[derive(Clone, Encode, Decode)]
#[cbor(map)]
pub struct Session {
    /// The client it was granted to.
    #[n(1)]
    pub client_id: String,
    /// The user who granted it.
    #[cbor(n(2), with = "user_id")]
    pub user_id: UserId,
    /// The resource its access tokens are for, in canonical form.
    #[n(3)]
    pub resource: String,
    /// Where in its life it is.
    #[n(4)]
    pub state: State,
    /// The providers whose tokens are kept with it; the user logged in at the first.
    #[cbor(n(5), with = "provider_ids")]
    pub providers: Vec<ProviderId>,
    /// The scopes granted.
    #[cbor(n(6), with = "granted_scope")]
    pub scope: GrantedScope,
    /// Whether the client gets refresh tokens.
    #[cbor(n(7), default)]
    pub refreshable: bool,
    /// When the upstream tokens that its resource injects are over for good, in Unix seconds: those
    /// that came without a refresh token.
    #[n(8)]
    pub upstream_ends_at: Option<u64>,
}

impl Record for Session {
    const KIND: Kind = Kind::Session;
    const TYPE: &'static str = "session";
}

/// Where in its life a session is.
#[derive(Clone, Encode, Decode)]
#[cbor(flat)]
pub enum State {
    /// Its authorization code is waiting to be redeemed.
    #[n(0)]
    Code(#[n(0)] PendingCode),
    /// Its code was redeemed.
    #[n(1)]
    Active(#[n(0)] Generation),
}

/// The binding of an authorization code.
#[derive(Clone, Encode, Decode)]
#[cbor(map)]
pub struct PendingCode {
    /// The random part of the code.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub nonce: [u8; 16],
    /// Where it was sent.
    #[n(2)]
    pub redirect_uri: String,
    /// The PKCE challenge that its redeemer must meet.
    #[n(3)]
    pub challenge: String,
    /// When it expires, in Unix seconds.
    #[n(4)]
    pub expires_at: u64,
}

/// The current generation of refresh tokens.
#[derive(Clone, Encode, Decode)]
#[cbor(map)]
pub struct Generation {
    /// Its number, from 0.
    #[n(1)]
    pub number: u32,
    /// The secret part of its token.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub nonce: [u8; 16],
    /// The one before it.
    #[n(3)]
    pub previous: Option<Predecessor>,
}

/// The refresh token that the current one replaced.
#[derive(Clone, Encode, Decode)]
#[cbor(map)]
pub struct Predecessor {
    /// Its number.
    #[n(1)]
    pub number: u32,
    /// The secret part of its token.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub nonce: [u8; 16],
    /// When it was replaced, in Unix seconds.
    #[n(3)]
    pub replaced_at: u64,
    /// Whether the store could not confirm the replacement, so that the client was told to try
    /// again and has no successor. Then it gives the successor however late it is presented.
    #[cbor(n(4), default)]
    pub unconfirmed: bool,
}

/// The parameters that a client presents with a code.
pub struct Redemption<'a> {
    /// The code itself.
    pub code: &'a AuthorizationCode,
    /// Who presents it.
    pub client_id: &'a str,
    /// The redirect URI of the authorization request, when the client names it again.
    pub redirect_uri: Option<&'a str>,
    /// The PKCE verifier.
    pub verifier: &'a CodeVerifier,
    /// The resource, when the client names it again.
    pub resource: Option<&'a ResourceUri>,
}

/// Why a code was not redeemed. Any of them ends the session: a code has one attempt, so that
/// neither a verifier nor a client can be guessed at (RFC 9700 §4.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedeemError {
    /// It was redeemed before: the client that holds its tokens may have stolen it (RFC 6749
    /// §4.1.2).
    Replayed,
    /// It is older than its life.
    Expired,
    /// It belongs to another client.
    OtherClient,
    /// It was sent to another redirect URI.
    OtherRedirect,
    /// The PKCE verifier does not meet the challenge (RFC 7636 §4.6).
    WrongVerifier,
    /// Another resource was asked for than the one consented to (RFC 8707 §2.2).
    OtherResource,
}

/// Why a refresh token was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RotateError {
    /// It was replaced before and is used again: the family must end (RFC 9700 §4.14.2).
    Replayed,
    /// It is newer than the record, which therefore is an old one that an attacker, or a store that
    /// lost its last writes, put back: the gateway only issues a generation after storing it.
    RolledBack,
    /// The session has no refresh tokens.
    NotRefreshable,
}

impl Session {
    /// The session after its code is redeemed; `nonce` becomes its first refresh token's.
    ///
    /// # Errors
    /// [`RedeemError`], in the order in which the checks run.
    pub fn redeem(&self, attempt: &Redemption<'_>, now: u64, nonce: [u8; 16]) -> Result<Self, RedeemError> {
        let State::Code(code) = &self.state else {
            return Err(RedeemError::Replayed);
        };
        if !same(&code.nonce, &attempt.code.nonce) {
            return Err(RedeemError::Replayed);
        }
        if now >= code.expires_at {
            return Err(RedeemError::Expired);
        }
        if self.client_id != attempt.client_id {
            return Err(RedeemError::OtherClient);
        }
        if attempt.redirect_uri.is_some_and(|redirect_uri| redirect_uri != code.redirect_uri) {
            return Err(RedeemError::OtherRedirect);
        }
        let met = CodeChallenge::parse(&code.challenge).is_ok_and(|challenge| challenge.matches(attempt.verifier));
        if !met {
            return Err(RedeemError::WrongVerifier);
        }
        if attempt.resource.is_some_and(|resource| resource.as_str() != self.resource) {
            return Err(RedeemError::OtherResource);
        }
        Ok(self.with(Generation { number: 0, nonce, previous: None }))
    }

    /// The session after a refresh token is replaced by `successor`, to be stored before the
    /// generation's token is handed out.
    ///
    /// Replacing is idempotent while the successor has not been used: a token that was replaced at
    /// most [`REFRESH_GRACE`] seconds ago gives the same generation again. It is to be stored again
    /// all the same, because only that tells whether the store has it for certain.
    ///
    /// # Errors
    /// [`RotateError`].
    pub fn rotate(&self, token: &RefreshToken, successor: &RefreshToken, now: u64) -> Result<Self, RotateError> {
        let State::Active(current) = &self.state else {
            // A refresh token is only made when the code is redeemed.
            return Err(RotateError::RolledBack);
        };
        if !self.refreshable {
            return Err(RotateError::NotRefreshable);
        }
        if token.generation == current.number && same(&token.nonce, &current.nonce) {
            let replaced =
                Predecessor { number: current.number, nonce: current.nonce, replaced_at: now, unconfirmed: false };
            let next = Generation { number: successor.generation, nonce: successor.nonce, previous: Some(replaced) };
            return Ok(self.with(next));
        }
        if token.generation > current.number {
            return Err(RotateError::RolledBack);
        }
        let replaced = current.previous.as_ref().filter(|previous| {
            previous.number == token.generation && same(&previous.nonce, &token.nonce) && previous.gives_successor(now)
        });
        let Some(replaced) = replaced else { return Err(RotateError::Replayed) };
        // The grace begins when the successor is handed out for the first time, and is not
        // prolonged by a repetition.
        let replaced_at = if replaced.unconfirmed { now } else { replaced.replaced_at };
        let previous = Predecessor { replaced_at, unconfirmed: false, ..replaced.clone() };
        Ok(self.with(Generation { previous: Some(previous), ..current.clone() }))
    }

    /// The session with the note that the store could not confirm the replacement that led to
    /// `attempted`; `None` where that is not, or no longer, what is stored.
    #[must_use]
    pub fn unconfirmed(&self, attempted: &Generation) -> Option<Self> {
        let current = self.generation()?;
        if current.number != attempted.number || !same(&current.nonce, &attempted.nonce) {
            return None;
        }
        let previous = current.previous.clone()?;
        let previous = Predecessor { unconfirmed: true, ..previous };
        Some(self.with(Generation { previous: Some(previous), ..current.clone() }))
    }

    /// Whether the upstream tokens that its resource injects have run out at `now`, and cannot be
    /// renewed.
    #[must_use]
    pub fn upstream_is_over(&self, now: u64) -> bool {
        self.upstream_ends_at.is_some_and(|end| now >= end)
    }

    /// Adds whose it is and for which resource to what the audit trail says.
    pub(crate) fn add_owner(&self, known: &mut AuditFields) {
        known.add(AuditField::Resource, &self.resource);
        known.add(AuditField::User, &self.user_id.to_string());
    }

    /// The generation whose refresh token is current, once the code was redeemed.
    #[must_use]
    pub fn generation(&self) -> Option<&Generation> {
        match &self.state {
            State::Active(generation) => Some(generation),
            State::Code(_) => None,
        }
    }

    fn with(&self, generation: Generation) -> Self {
        Self { state: State::Active(generation), ..self.clone() }
    }
}

impl Predecessor {
    /// Whether its token still gives the successor.
    fn gives_successor(&self, now: u64) -> bool {
        self.unconfirmed || now.saturating_sub(self.replaced_at) <= REFRESH_GRACE
    }
}

/// In constant time, so that the time taken says nothing about the stored value.
fn same(stored: &[u8; 16], presented: &[u8; 16]) -> bool {
    Secret::new(*stored).ct_eq(presented)
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod state_tests;
