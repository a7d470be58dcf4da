//! Requests that are decided without waiting for anything.

use portcullis_protocol::http::bearer;
use portcullis_protocol::http::path::RoutePath;

use crate::browser::cookies;
use crate::config::DefaultAction;
use crate::decision::{Credentials, Forward, ResponsePlan, UpstreamAccess};
use crate::resource_server::decide::{Allowed, decide, plan_response};
use crate::routing::routes::{self, Route, route_or_default};
use crate::state::gateway::Gateway;

/// Decides a call with a token that this VM has verified before; `has_origin` if it is on behalf of
/// a page.
pub fn fast(
    gateway: &Gateway,
    now: u64,
    target: &[u8],
    authorization: &[u8],
    cookie: Option<&[u8]>,
    has_origin: bool,
) -> Option<Forward> {
    let cached = gateway.cached(authorization)?;
    // Anything out of the ordinary, also an ordinary refusal, is the slow path's to say.
    let is_known = cached.is_known_target(target);
    let index = if is_known {
        cached.facts.resource
    } else {
        let path = RoutePath::parse(target).ok()?;
        if path.query().is_some_and(bearer::token_in_query) {
            return None;
        }
        routes::protected(gateway.config(), &path)?
    };
    let usable = cached.is_fresh(now) && decide(&cached.facts, index, now).is_ok();
    let upstream = cached.upstream();
    let is_fresh = |access: &UpstreamAccess| now < access.refresh_at && now < access.stale_at;
    let fresh = upstream.as_ref().is_none_or(|upstream| is_fresh(&upstream.access));
    let identity = cached.identity();
    let current = identity.is_none_or(|identity| identity.is_current(now));
    if !usable || !fresh || !current {
        return None;
    }
    if !is_known {
        cached.let_through_to(target);
    }
    let injection = &gateway.config().resources.get(index)?.injection;
    let (facts, audit) = (&cached.facts, &cached.audit);
    let allowed = Allowed { facts, audit, upstream: upstream.as_ref(), identity };
    let forward = allowed.forward(injection, cookie, plan_response(has_origin));
    drop(upstream);
    if cached.take_recheck_due(now) {
        gateway.ask_for_recheck(cached);
    }
    Some(forward)
}

/// Sends on a request to a path that no rule covers, where the configuration lets such pass,
/// without waiting for anything; `None` leaves it to [`crate::dispatch::handle`].
pub fn pass(gateway: &Gateway, target: &[u8], cookie: Option<&[u8]>) -> Option<Forward> {
    let config = gateway.config();
    // Most requests are for a resource, and as long as it is spelled like its prefix that is seen
    // without taking the target apart.
    let is_resource = || config.resources.iter().any(|resource| target.starts_with(resource.prefix.as_bytes()));
    if config.default == DefaultAction::Deny || is_resource() {
        return None;
    }
    let path = RoutePath::parse(target).ok()?;
    // Under which host name a default endpoint is asked for is the router's to see.
    (route_or_default(config, &path) == Route::Other).then(|| passed(gateway, cookie))
}

pub(crate) fn passed(gateway: &Gateway, cookie: Option<&[u8]>) -> Forward {
    Forward {
        credentials: Credentials::Unchanged,
        identity: gateway.untold(),
        cookie: cookie.and_then(cookies::without_own),
        audit: gateway.not_protected(),
        response: ResponsePlan::PassThrough,
        grant: None,
    }
}
