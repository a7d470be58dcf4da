//! The rule for a call with a verified token, and what the backend is given.

use std::rc::Rc;

use portcullis_protocol::jose::claims::ClaimError;

use crate::audit::Audit;
use crate::browser::cookies;
use crate::config::Injection;
use crate::decision::header_field::HeaderField;
use crate::decision::identity::Identity;
use crate::decision::{Credentials, Forward, Grant, OwnedAccess, ResponsePlan};
use crate::resource_server::refusal::Refusal;
use crate::responses::CORS_OF_RESOURCE;
use crate::state::token_cache::TokenGrant;

/// The rule for a call with a verified token, wherever the facts come from.
pub(super) fn decide(facts: &TokenGrant, resource: usize, now: u64) -> Result<(), Refusal> {
    if facts.resource != resource {
        return Err(ClaimError::WrongAudience.into());
    }
    if now >= facts.expires_at {
        return Err(ClaimError::Expired.into());
    }
    Ok(())
}

/// The facts by which a call is let through, and what goes with it.
pub(super) struct Allowed<'a> {
    pub(super) facts: &'a TokenGrant,
    pub(super) audit: &'a Rc<Audit>,
    pub(super) upstream: Option<&'a OwnedAccess>,
    pub(super) identity: Option<&'a Rc<Identity>>,
}

impl Allowed<'_> {
    /// Sends the call on to the backend of `injection`'s resource.
    pub(super) fn forward(&self, injection: &Injection, cookie: Option<&[u8]>, response: ResponsePlan) -> Forward {
        let Self { facts, audit, upstream, identity } = *self;
        let credentials = match (injection, upstream) {
            (Injection::Upstream(injection), Some(upstream)) => {
                let value = Rc::clone(&upstream.access.value);
                Credentials::Injected(HeaderField { name: Rc::clone(&injection.header), value })
            }
            (Injection::Exchange(exchange), Some(upstream)) => {
                let value = Rc::clone(&upstream.access.value);
                Credentials::Injected(HeaderField { name: Rc::clone(&exchange.header), value })
            }
            (Injection::Static(field), _) => Credentials::Injected(field.clone()),
            (Injection::Nothing | Injection::Upstream(_) | Injection::Exchange(_), _) => Credentials::Removed,
        };
        Forward {
            credentials,
            identity: identity.cloned(),
            cookie: cookie.and_then(cookies::without_own),
            audit: Rc::clone(audit),
            response,
            grant: Some(Grant {
                session: facts.session(),
                resource: facts.resource,
                expires_at: facts.expires_at,
                upstream: upstream.map(|upstream| Rc::clone(&upstream.token)),
            }),
        }
    }
}

/// Plans the response of a protected resource. Only a request on behalf of a page, which has an
/// `Origin`, has a script that reads it.
pub(super) fn plan_response(has_origin: bool) -> ResponsePlan {
    ResponsePlan::Protected(has_origin.then_some(&CORS_OF_RESOURCE))
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod decide_tests;
