//! Which handler answers what.

pub mod admission;
pub mod routes;

use std::rc::Rc;

use portcullis_protocol::http::message::{Method, Request, Response};
use portcullis_protocol::http::path::RoutePath;

use crate::audit::{Audit, AuditOutcome};
use crate::browser::cookies;
use crate::config::DefaultAction;
use crate::context::RequestContext;
use crate::decision::{Decision, Resolved};
use crate::dispatch::routes::{Route, is_own_authority};
use crate::endpoints::{authorize, callback, consent, register, token};
use crate::ports::Ports;
use crate::resource_server::fast_path::passed;
use crate::resource_server::slow_path;
use crate::responses::{bad_request, is_preflight, method_not_allowed, not_found, preflight};
use crate::state::gateway::Gateway;

/// Decides a request.
///
/// Nothing is consumed before a handler's first store call; a future that is dropped lets nothing
/// through.
pub async fn handle<P: Ports>(gateway: Rc<Gateway>, request: Request, ports: P) -> Decision {
    let Ok(path) = RoutePath::parse(&request.target) else {
        // What such a path means to a backend is unknown, so it is refused before any
        // prefix is compared.
        return bad_request("the path is not in plain form", "ambiguous_path").into();
    };
    let config = gateway.config();
    let is_own_host = || is_own_authority(config, &request);
    let found = routes::route(config, &path);
    if found.is_ours() && !is_own_host() {
        return not_found("no gateway is served under this host name").into();
    }
    let default = routes::default_endpoint(config, &path).filter(|_| found == Route::Other && is_own_host());
    let route = default.unwrap_or(found);
    let documents = gateway.documents();
    let context = RequestContext { gateway: &gateway, request: &request, path: &path, ports: &ports };
    match route {
        Route::AuthorizationServerMetadata => document(&request, documents.authorization_server()).into(),
        Route::Keys => document(&request, documents.keys()).into(),
        Route::ProtectedResourceMetadata(index) => match documents.protected_resource(index) {
            Some(metadata) => document(&request, metadata).into(),
            None => not_found("there is no such resource").into(),
        },
        Route::Authorize => match request.method {
            Method::Get | Method::Head => authorize::authorize(&context).await,
            Method::Post | Method::Options | Method::Other => method_not_allowed("GET, HEAD").into(),
        },
        Route::Consent => match request.method {
            Method::Post => consent::consent(&context).await,
            Method::Get | Method::Head | Method::Options | Method::Other => method_not_allowed("POST").into(),
        },
        Route::Callback => match request.method {
            Method::Get => callback::callback(&context).await.into(),
            Method::Head | Method::Post | Method::Options | Method::Other => method_not_allowed("GET").into(),
        },
        Route::Token => match request.method {
            Method::Post => token::token(&context).await.into(),
            Method::Options if is_preflight(&request) => answer_preflight(&request, "POST").into(),
            Method::Get | Method::Head | Method::Options | Method::Other => method_not_allowed("POST, OPTIONS").into(),
        },
        Route::Register => match request.method {
            Method::Post => register::register(&context).await.into(),
            Method::Options if is_preflight(&request) => answer_preflight(&request, "POST").into(),
            Method::Get | Method::Head | Method::Options | Method::Other => method_not_allowed("POST, OPTIONS").into(),
        },
        Route::Resource(_) if request.method == Method::Options && is_preflight(&request) => {
            answer_preflight(&request, "GET, HEAD, POST, PUT, PATCH, DELETE").into()
        }
        Route::Resource(index) => slow_path::protect(&context, index).await,
        Route::Nothing => not_found("the gateway has no endpoint here").into(),
        Route::Ambiguous => bad_request("a resource has this path in another spelling", "ambiguous_path").into(),
        Route::Other => other(&gateway, &request).into(),
    }
}

fn document(request: &Request, response: Response) -> Resolved {
    match request.method {
        Method::Get | Method::Head => Resolved::Respond(response, Audit::new(AuditOutcome::Serve, "metadata")),
        Method::Options if is_preflight(request) => answer_preflight(request, "GET"),
        Method::Post | Method::Options | Method::Other => method_not_allowed("GET, HEAD, OPTIONS"),
    }
}

fn answer_preflight(request: &Request, methods: &'static str) -> Resolved {
    Resolved::Respond(preflight(request, methods), Audit::new(AuditOutcome::Serve, "preflight"))
}

fn other(gateway: &Gateway, request: &Request) -> Resolved {
    match gateway.config().default {
        DefaultAction::Deny => not_found("nothing is served at this path"),
        DefaultAction::Pass => Resolved::Continue(passed(gateway, cookies::sent(request).as_deref())),
    }
}

#[cfg(test)]
#[path = "dispatch/dispatch_tests.rs"]
mod dispatch_tests;
