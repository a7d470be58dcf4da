//! The proof that a token of a trusted issuer carries: everything that is known of it, as there is
//! no login behind it. Nothing here waits, and nothing is stored.
//!
//! `iss` chooses the issuer, byte for byte, among those that the resource trusts; then the keys of
//! that issuer alone are tried, whatever key ids others have.

use std::rc::Rc;

use portcullis_protocol::credentials::UserId;
use portcullis_protocol::jose::alg::Alg;
use portcullis_protocol::jose::foreign::{ExpectedForeignToken, ForeignAccessToken, ForeignTokenError};
use portcullis_protocol::jose::keys::PublicKey;

use crate::audit::{AuditField, AuditFields};
use crate::config::{Resource, TrustedIssuer};
use crate::decision::identity::{Caller, Identity};
use crate::ports::Crypto;
use crate::resource_server::refusal::Refusal;
use crate::state::gateway::Gateway;
use crate::state::issuer_keys::UsableKeys;
use crate::state::token_cache::{Basis, TokenGrant};

/// The result of reading a token where a resource trusts other issuers.
pub(super) enum Foreign {
    /// It is valid here.
    Granted(TokenGrant, Option<Rc<Identity>>),
    /// It says that it is this gateway's own.
    Own,
    /// The keys of the issuer at this place are to be fetched first.
    AwaitKeys(usize),
}

/// A call to a resource with a bearer token that is not known.
pub(super) struct ForeignCall<'a> {
    pub(super) gateway: &'a Gateway,
    /// The resource, by its place in the configuration.
    pub(super) index: usize,
    pub(super) resource: &'a Resource,
    pub(super) bearer: &'a str,
    /// In Unix seconds.
    pub(super) now: u64,
    /// Whether it waited for the issuer's keys, and does not again.
    pub(super) has_waited: bool,
}

impl ForeignCall<'_> {
    /// Returns `true` if the resource trusts any issuer whose token this may be. One that begins as
    /// the gateway's own do is none.
    pub(super) fn is_possible(&self) -> bool {
        let accepted = &self.resource.issuers;
        if accepted.trusted.is_empty() {
            return false;
        }
        let begins_as_own = || self.gateway.own_headers().iter().any(|header| header.begins(self.bearer));
        !accepted.own || !begins_as_own()
    }

    /// Verifies the token. What is proven of it is added to `known`, also where the call is
    /// refused.
    pub(super) fn verify(&self, known: &mut AuditFields, crypto: &dyn Crypto) -> Result<Foreign, Refusal> {
        let check =
            |key: &PublicKey, alg: Alg, message: &[u8], signature: &[u8]| crypto.verify(key, alg, message, signature);
        let token = ForeignAccessToken::parse(self.bearer)?;
        let claimed = token.claims()?;
        let Some((place, issuer)) = self.issuer(&claimed.issuer()?)? else { return Ok(Foreign::Own) };
        let (keys, may_wait) = match self.gateway.issuer_keys().usable(place, issuer, self.now) {
            UsableKeys::Known { keys, may_change } => (keys, may_change && !self.has_waited),
            UsableKeys::ToFetch if !self.has_waited => return Ok(Foreign::AwaitKeys(place)),
            UsableKeys::ToFetch | UsableKeys::NeverFetched => return Err(Refusal::IssuerKeysUnavailable),
            UsableKeys::Expired => return Err(Refusal::IssuerKeysExpired),
        };
        let signed = match claimed.verify(&keys, &issuer.algorithms, check) {
            Err(ForeignTokenError::UnknownKey) if may_wait => return Ok(Foreign::AwaitKeys(place)),
            other => other?,
        };
        let expected =
            ExpectedForeignToken { issuer: &issuer.site.issuer, audiences: &issuer.audiences, leeway: issuer.leeway };
        let token = signed.accept(&expected, self.now)?;
        // As for a user who logs in at this issuer: no two issuers have the same users.
        let user = UserId::derive(&issuer.site.issuer, token.subject()).to_string();
        known.add_known(AuditField::Client, token.client().as_deref());
        known.add(AuditField::User, &user);
        known.add(AuditField::Subject, token.subject());
        if !issuer.allows(token.subject()) {
            return Err(Refusal::SubjectNotAllowed);
        }
        let has = |scope: &str| issuer.scopes.contains(scope) || token.has_scope(scope);
        if !self.resource.scopes.iter().all(has) {
            return Err(Refusal::InsufficientScope);
        }
        let client = token.client().unwrap_or_default();
        let identity = match &self.resource.identity {
            Some(settings) => {
                let caller = Caller {
                    user: &user,
                    client: &client,
                    subject: Some(token.subject().into()),
                    email: token.email(),
                    name: token.name(),
                    groups: token.groups(),
                };
                Some(Rc::new(Identity::new(settings, self.gateway.config(), &caller, self.now, crypto)?))
            }
            None => self.gateway.untold(),
        };
        let facts = TokenGrant {
            client: Rc::from(&*client),
            subject: user.into(),
            basis: Basis::Keys(place, Rc::clone(&keys)),
            resource: self.index,
            expires_at: token.expires_at(),
        };
        Ok(Foreign::Granted(facts, identity))
    }

    /// Returns the trusted issuer of this name, with its place; `None` for the gateway itself.
    fn issuer(&self, name: &str) -> Result<Option<(usize, &TrustedIssuer)>, Refusal> {
        let config = self.gateway.config();
        let accepted = &self.resource.issuers;
        let is_own = config.is_server && config.issuer.url == name;
        if is_own && accepted.own {
            return Ok(None);
        }
        let Some(found) = config.trusted_issuers.iter().enumerate().find(|(_, issuer)| issuer.site.issuer == name)
        else {
            return Err(if is_own { Refusal::IssuerNotOfResource } else { Refusal::UntrustedIssuer });
        };
        if accepted.trusted.contains(&found.0) { Ok(Some(found)) } else { Err(Refusal::IssuerNotOfResource) }
    }
}
