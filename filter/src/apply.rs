//! The one place where a decision becomes an effect on a request.

use portcullis_gateway::audit::{Audit, Reason};
use portcullis_gateway::browser::cookies;
use portcullis_gateway::decision::header_field::is_refused_in_trailers;
use portcullis_gateway::decision::identity::Identity;
use portcullis_gateway::decision::{AddedHeaders, Credentials, Forward, Resolved, ResponsePlan};
use portcullis_gateway::resource_server::backend_refusal;
use portcullis_protocol::http::message::Response;
use proxy_wasm::types::Status;

use crate::counters::Counters;
use crate::host::{self, HeaderMap};
use crate::service::open_streams::Place;
use crate::service::worker::Worker;
use crate::stream_outcome::{Applied, AppliedTo, Forwarded, StreamOutcome};
use crate::workers::message::Message;

/// Applies a decision to a stream, as [`apply`] does, and keeps the outcome.
pub(crate) fn apply_to(outcome: &StreamOutcome, decision: &Resolved, id: u32, worker: &Worker) -> Applied {
    let applied = apply(decision, id, worker, &outcome.request());
    outcome.set(applied);
    applied
}

/// Applies a decision to the stream `id`, which is the host's current context.
///
/// INVARIANT: the stream is in its headers callback or paused; at any other time the host refuses
/// to change headers, and the SDK panics. The caller returns the action, or resumes the request if
/// it is in no callback of the request.
pub(crate) fn apply(decision: &Resolved, id: u32, worker: &Worker, request: &AppliedTo<'_>) -> Applied {
    match decision {
        Resolved::Continue(forward) => {
            let protected = !matches!(forward.credentials, Credentials::Unchanged);
            // The headers must be final before the request goes on: afterwards the host has no map
            // to change.
            if edit(forward, protected, request).is_err() {
                // The SDK panics where the host refuses; were it to return instead, the request
                // must not go on with the client's token, or with a field of the client's in the
                // gateway's name.
                let audit = Audit::new(Reason::Internal);
                return apply(&Resolved::Respond(Response::new(503), audit), id, worker, request);
            }
            count(&forward.audit, &worker.counters);
            // Requests that only pass have no audit trail: every value of filter state costs.
            if protected {
                publish(&forward.audit, request);
            }
            let place = forward.grant.clone().map(|grant| worker.open.enter(id, grant, host::now()));
            Applied::Forwarded(Forwarded { response: forward.response, place })
        }
        Resolved::Respond(response, audit) => {
            count(audit, &worker.counters);
            publish(audit, request);
            host::reply(response);
            Applied::Responded
        }
    }
}

/// Applies what was planned for the response of the stream that is the host's current context. Only
/// in the response headers callback.
pub(crate) fn apply_plan(forwarded: Forwarded, worker: &Worker) {
    if let ResponsePlan::Protected(added) = forwarded.response {
        let status = host::response_header(":status").unwrap_or_default();
        if !status.starts_with(b"2") {
            replace_challenge(&status, forwarded.place, worker);
        }
        if let Some(added) = added {
            add(added);
        }
    }
    // Most responses set none.
    if host::response_header(SET_COOKIE).is_some() {
        drop_own_cookies();
    }
}

/// Replaces the backend's challenge by the gateway's, which only a 401 has.
fn replace_challenge(status: &[u8], place: Option<Place>, worker: &Worker) {
    host::remove_response_header(WWW_AUTHENTICATE);
    if status != b"401" {
        return;
    }
    let Some((stream, active)) = place.and_then(|place| worker.open.at(place)).zip(worker.config.gateway()) else {
        return;
    };
    let Some(refusal) = backend_refusal::of(&active.gateway, &stream.grant, host::now()) else { return };
    host::add_response_header(WWW_AUTHENTICATE, refusal.challenge.as_bytes());
    worker.counters.count("backend", "refused");
    if let Some(token) = refusal.rejected {
        worker.queue.notify_root(Message::Rejected { token, sent_at: stream.opened_at });
    }
}

fn add(added: &AddedHeaders) {
    if host::response_header(added.unless).is_none() {
        added.fields.iter().for_each(|(name, value)| host::add_response_header(name, value.as_bytes()));
    }
}

/// Leaves out what the backend sets in the name of a cookie of the gateway. Where the headers are
/// more than can be read, it sets none.
fn drop_own_cookies() {
    let cookies = host::response_header_values(SET_COOKIE.as_bytes());
    let is_kept = |cookie: &&Vec<u8>| !cookies::sets_own(cookie);
    if cookies.as_ref().is_some_and(|cookies| cookies.iter().all(|cookie| is_kept(&cookie))) {
        return;
    }
    host::remove_response_header(SET_COOKIE);
    for cookie in cookies.unwrap_or_default().iter().filter(is_kept) {
        host::add_response_header(SET_COOKIE, cookie);
    }
}

fn edit(forward: &Forward, protected: bool, request: &AppliedTo<'_>) -> Result<(), Status> {
    if let Some(identity) = &forward.identity {
        tell(identity, request.headers)?;
    }
    if protected && request.has_proxy_authorization {
        PROXY_AUTHORIZATION.into_iter().try_for_each(host::remove_request_header)?;
    }
    match &forward.credentials {
        Credentials::Unchanged => {}
        Credentials::Removed => host::remove_request_header(AUTHORIZATION)?,
        Credentials::Injected(injection) => {
            if &*injection.name != AUTHORIZATION {
                host::remove_request_header(AUTHORIZATION)?;
            }
            host::set_request_header(&injection.name, injection.value.expose())?;
        }
    }
    match forward.cookie.as_deref() {
        None => Ok(()),
        Some([]) => host::remove_request_header("cookie"),
        Some(cookie) => host::set_request_header("cookie", cookie),
    }
}

/// Removes each field of the client's that a backend may take for one of the gateway's, and sets
/// those about the caller. `headers` are those of the request, where they are at hand.
fn tell(identity: &Identity, headers: Option<&HeaderMap>) -> Result<(), Status> {
    let read = if headers.is_some() { None } else { host::read_request_headers() };
    // Headers that cannot be read could have any name.
    let headers = headers.or(read.as_ref()).ok_or(Status::InternalFailure)?;
    remove_where(headers, &|name| identity.reserved().has(name), host::remove_request_header)?;
    identity.fields().iter().try_for_each(|field| host::set_request_header(&field.name, field.value.expose()))
}

/// Removes the trailers that a backend may take for header fields of the gateway's, or for
/// credentials; before there is a gateway, all of them. Only in the request trailers callback.
///
/// # Errors
/// The host's status, or one for trailers that cannot be read: then they must not go on.
pub(crate) fn remove_trailers(worker: &Worker) -> Result<(), Status> {
    let active = worker.config.gateway();
    let reserved = active.as_ref().map(|active| active.gateway.config().reserved_names.as_deref());
    let is_refused = |name: &[u8]| reserved.is_none_or(|reserved| is_refused_in_trailers(reserved, name));
    let trailers = host::request_trailers().ok_or(Status::InternalFailure)?;
    remove_where(&trailers, &is_refused, host::remove_request_trailer)
}

fn remove_where(
    fields: &HeaderMap,
    is_refused: &dyn Fn(&[u8]) -> bool,
    remove: fn(&str) -> Result<(), Status>,
) -> Result<(), Status> {
    for name in fields.names().filter(|name| is_refused(name)) {
        remove(std::str::from_utf8(name).map_err(|_| Status::BadArgument)?)?;
    }
    Ok(())
}

fn count(audit: &Audit, counters: &Counters) {
    counters.count(audit.reason().outcome().as_str(), audit.reason().as_str());
}

fn publish(audit: &Audit, request: &AppliedTo<'_>) {
    audit.publish(request.audited(), |fields| host::set_filter_state(AUDIT, fields));
}

/// The audit trail's name in filter state, where access logs and other filters find it below
/// `wasm.`: one value, since every value that is set costs.
pub(crate) const AUDIT: &str = "portcullis";
const AUTHORIZATION: &str = "authorization";
const SET_COOKIE: &str = "set-cookie";
const WWW_AUTHENTICATE: &str = "www-authenticate";
/// Both spellings are one variable of CGI (RFC 3875 §4.1.18).
const PROXY_AUTHORIZATION: [&str; 2] = ["proxy-authorization", "proxy_authorization"];
