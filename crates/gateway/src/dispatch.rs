//! Which handler answers what.

pub mod admission;

use std::rc::Rc;

use portcullis_protocol::http::message::{Method, Request};
use portcullis_protocol::http::path::RoutePath;

use crate::audit::{Audit, Reason};
use crate::browser::cookies;
use crate::config::DefaultAction;
use crate::context::RequestContext;
use crate::decision::{Decision, Resolved};
use crate::endpoints::{authorize, callback, connections, consent, metadata, register, revoke, token};
use crate::ports::Ports;
use crate::resource_server::fast_path::passed;
use crate::resource_server::slow_path;
use crate::responses::{bad_request, is_preflight, method_not_allowed, not_found, preflight};
use crate::routing::endpoint_table::Endpoint;
use crate::routing::routes::{Route, default_endpoint, is_own_authority, route};
use crate::state::gateway::Gateway;

/// Decides a request.
///
/// Nothing is consumed before a handler's first store call; a future that is dropped lets nothing
/// through.
pub async fn handle<P: Ports>(gateway: Rc<Gateway>, request: Request, ports: P) -> Decision {
    let Ok(path) = RoutePath::parse(&request.target) else {
        // Backends differ in what they make of such a path, so it is refused before any prefix is
        // compared.
        return bad_request("the path is not in plain form", Reason::AmbiguousPath).into();
    };
    let context = RequestContext { gateway: &gateway, request: &request, path: &path, ports: &ports };
    match find_route(&context) {
        Some(Route::Endpoint(endpoint, resource)) => answer(&context, endpoint, resource).await,
        Some(Route::Resource(_)) if request.method == Method::Options && is_preflight(&request) => {
            answer_preflight(&request, "GET, HEAD, POST, PUT, PATCH, DELETE").into()
        }
        Some(Route::Resource(index)) => slow_path::protect(&context, index).await,
        Some(Route::Nothing) => not_found("the gateway has no endpoint here", Reason::NoEndpoint).into(),
        Some(Route::Ambiguous) => {
            bad_request("a resource has this path in another spelling", Reason::AmbiguousResource).into()
        }
        Some(Route::Other) => other(&gateway, &request).into(),
        None => not_found("no gateway is served under this host name", Reason::ForeignHost).into(),
    }
}

/// Returns where a request leads; `None` for a path of the gateway under a foreign host name.
fn find_route<P: Ports>(context: &RequestContext<'_, P>) -> Option<Route> {
    let is_own_host = || is_own_authority(context.config(), context.request);
    let found = route(context.config(), context.path);
    if found.is_ours() {
        return is_own_host().then_some(found);
    }
    let default = default_endpoint(context.config(), context.path).filter(|_| found == Route::Other && is_own_host());
    Some(default.map_or(found, |endpoint| Route::Endpoint(endpoint, None)))
}

/// Answers a request to an endpoint, about a resource where the path names one. A new endpoint has
/// its entry in the table, its file, and its arm here.
async fn answer<P: Ports>(context: &RequestContext<'_, P>, endpoint: Endpoint, resource: Option<usize>) -> Decision {
    let (entry, request) = (endpoint.entry(), context.request);
    match entry.preflight {
        Some(methods) if request.method == Method::Options && is_preflight(request) => {
            return answer_preflight(request, methods).into();
        }
        Some(_) | None if entry.methods.contains(request.method) => {}
        Some(_) | None => return method_not_allowed(entry).into(),
    }
    match endpoint {
        Endpoint::AuthorizationServerMetadata => metadata::authorization_server(context).into(),
        Endpoint::Keys => metadata::keys(context).into(),
        Endpoint::ProtectedResourceMetadata => metadata::protected_resource(context, resource).into(),
        Endpoint::Authorize => authorize::authorize(context).await,
        Endpoint::Consent => consent::consent(context).await,
        Endpoint::Callback => callback::callback(context).await.into(),
        Endpoint::Connections => connections::connections(context).await,
        Endpoint::Token => token::token(context).await.into(),
        Endpoint::Revoke => revoke::revoke(context).await.into(),
        Endpoint::Register => register::register(context).await.into(),
    }
}

fn answer_preflight(request: &Request, methods: &'static str) -> Resolved {
    Resolved::Respond(preflight(request, methods), Audit::new(Reason::Preflight))
}

fn other(gateway: &Gateway, request: &Request) -> Resolved {
    match gateway.config().default {
        DefaultAction::Deny => not_found("nothing is served at this path", Reason::NotFound),
        DefaultAction::Pass => Resolved::Continue(passed(gateway, cookies::sent(request).as_deref())),
    }
}
