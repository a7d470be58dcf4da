//! The rule for a call with a verified token, and what the backend is given.

use std::rc::Rc;

use portcullis_protocol::jose::claims::ClaimError;

use crate::browser::cookies;
use crate::config::Resource;
use crate::decision::{Credentials, Forward, Injection, UpstreamAccess};
use crate::resource_server::refusal::Refusal;
use crate::state::token_cache::TokenFacts;

/// The rule for a call with a verified token, wherever the facts come from.
pub(super) fn decide(facts: &TokenFacts, resource: usize, now: u64) -> Result<(), Refusal> {
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
    facts: &TokenFacts,
    upstream: Option<&UpstreamAccess>,
    cookie: Option<&[u8]>,
) -> Forward {
    let credentials = match (&resource.injection, upstream) {
        (Some(injection), Some(upstream)) => {
            Credentials::Injected(Injection { name: Rc::clone(&injection.header), value: Rc::clone(&upstream.value) })
        }
        (Some(_) | None, _) => Credentials::Removed,
    };
    Forward { credentials, cookie: cookie.and_then(cookies::without_own), audit: Rc::clone(&facts.audit) }
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod decide_tests;
