//! The rule for a call with a verified token, and what the backend is given.

use std::rc::Rc;

use portcullis_protocol::jose::claims::ClaimError;

use crate::audit::Audit;
use crate::browser::cookies;
use crate::config::Resource;
use crate::decision::{Credentials, Forward, Grant, Injection, OwnedAccess, ResponsePlan};
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

pub(super) fn forward(
    resource: &Resource,
    facts: &TokenGrant,
    audit: &Rc<Audit>,
    upstream: Option<&OwnedAccess>,
    cookie: Option<&[u8]>,
    response: ResponsePlan,
) -> Forward {
    let credentials = match (&resource.injection, upstream) {
        (Some(injection), Some(upstream)) => {
            let value = Rc::clone(&upstream.access.value);
            Credentials::Injected(Injection { name: Rc::clone(&injection.header), value })
        }
        (Some(_) | None, _) => Credentials::Removed,
    };
    Forward {
        credentials,
        cookie: cookie.and_then(cookies::without_own),
        audit: Rc::clone(audit),
        response,
        grant: Some(Grant {
            session: facts.session(),
            resource: facts.resource,
            expires_at: facts.expires_at,
            upstream: upstream.map(|upstream| upstream.token),
        }),
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
