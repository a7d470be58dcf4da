//! The proof that a token itself carries.

use std::rc::Rc;

use portcullis_protocol::jose::claims::{self, Expected, Typ};
use portcullis_protocol::jose::jws::Jws;

use crate::audit::{Audit, Reason, Rendered};
use crate::config::Resource;
use crate::context::RequestContext;
use crate::ports::Ports;
use crate::resource_server::decide::decide;
use crate::resource_server::refusal::Refusal;
use crate::state::token_cache::TokenFacts;

/// How far the clock of another gateway that issued a token may be ahead of ours, in seconds. Its
/// end is not put off: a gateway whose clock is behind only accepts it for as much longer.
const CLOCK_LEEWAY: u64 = 30;

/// Checks whether a token by itself allows this call, and returns what it says.
pub(super) fn verify<P: Ports>(
    context: &RequestContext<'_, P>,
    index: usize,
    resource: &Resource,
    bearer: &str,
    now: u64,
) -> Result<TokenFacts, Refusal> {
    let jws = Jws::parse_among(bearer, context.gateway.own_headers())?;
    let signed = claims::verify(&jws, context.gateway.own_keys(), |key, alg, message, signature| {
        context.ports.verify(key, alg, message, signature)
    })?;
    let expected = Expected {
        issuer: &context.config().issuer.url,
        audience: resource.uri.as_str(),
        typ: Typ::AccessToken,
        start_leeway: CLOCK_LEEWAY,
        expiry_leeway: 0,
    };
    let token = signed.access_token(&expected, now)?;
    let (subject, client) = (Rc::from(token.subject()), Rc::from(token.client_id()));
    let facts = TokenFacts {
        audit: Rendered::new(Audit {
            subject: Some(Rc::clone(&subject)),
            client: Some(Rc::clone(&client)),
            resource: Some(Rc::clone(&resource.name)),
            ..Audit::new(Reason::ValidToken)
        }),
        subject,
        client,
        session: token.session(),
        resource: index,
        expires_at: token.expires_at(),
    };
    decide(&facts, index, now)?;
    if !resource.scopes.iter().all(|needed| token.scopes().any(|scope| scope == needed)) {
        return Err(Refusal::InsufficientScope);
    }
    Ok(facts)
}
