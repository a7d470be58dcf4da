//! The proof that a token itself carries.

use std::rc::Rc;

use portcullis_protocol::credentials::SessionId;
use portcullis_protocol::jose::claims::{self, Expected, VerifiedToken};
use portcullis_protocol::jose::jws::{Jws, KnownHeader};
use portcullis_protocol::jose::keys::JwkSet;

use crate::audit::{AuditField, AuditFields};
use crate::config::Resource;
use crate::context::RequestContext;
use crate::ports::Ports;
use crate::resource_server::decide::decide;
use crate::resource_server::refusal::Refusal;
use crate::sessions::access_token::CLOCK_LEEWAY;
use crate::state::token_cache::{Basis, TokenGrant};

/// Checks whether a token by itself allows this call, and returns what it says. What is proven of
/// it is added to `known`, also where the call is refused.
pub(super) fn verify<P: Ports>(
    context: &RequestContext<'_, P>,
    index: usize,
    resource: &Resource,
    bearer: &str,
    now: u64,
    known: &mut AuditFields,
) -> Result<(SessionId, TokenGrant), Refusal> {
    let rules = TokenOrigin::Own.rules(context, resource);
    let jws = Jws::parse_among(bearer, rules.headers)?;
    let signed = claims::verify(&jws, rules.keys, |key, alg, message, signature| {
        context.ports.verify(key, alg, message, signature)
    })?;
    let token = signed.access_token(&rules.expected, now)?;
    let session = (rules.session)(&token);
    known.add(AuditField::Client, token.client_id());
    known.add(AuditField::User, token.subject());
    known.add(AuditField::Session, &session.to_string());
    known.add(AuditField::Scopes, token.scope());
    let facts = TokenGrant {
        subject: Rc::from(token.subject()),
        client: Rc::from(token.client_id()),
        basis: Basis::Session(session),
        resource: index,
        expires_at: token.expires_at(),
    };
    decide(&facts, index, now)?;
    if !resource.scopes.iter().all(|needed| token.scopes().any(|scope| scope == needed)) {
        return Err(Refusal::InsufficientScope);
    }
    Ok((session, facts))
}

/// Who issued a token. All that is trusted in it follows from that, in [`TokenOrigin::rules`].
#[derive(Clone, Copy)]
enum TokenOrigin {
    /// This gateway, at its token endpoint.
    Own,
}

/// What the tokens of one origin are verified by.
struct Rules<'a> {
    /// The headers that need no parsing, since they are always the same.
    headers: &'a [KnownHeader],
    /// The keys of which one has signed the token.
    keys: &'a JwkSet,
    /// What its claims must be.
    expected: Expected<'a>,
    /// The session that it is bound to, and ends with.
    session: fn(&VerifiedToken<'_>) -> SessionId,
}

impl TokenOrigin {
    fn rules<'a, P: Ports>(self, context: &RequestContext<'a, P>, resource: &'a Resource) -> Rules<'a> {
        match self {
            Self::Own => Rules {
                headers: context.gateway.own_headers(),
                keys: context.gateway.own_keys(),
                expected: Expected {
                    issuer: &context.config().issuer.url,
                    audience: resource.uri.as_str(),
                    start_leeway: CLOCK_LEEWAY,
                    expiry_leeway: 0,
                },
                session: |token| token.session(),
            },
        }
    }
}
