//! The discovery documents, which are rendered with the configuration.

use portcullis_protocol::http::message::Response;

use crate::audit::{Audit, Reason};
use crate::context::RequestContext;
use crate::decision::Resolved;
use crate::ports::Ports;
use crate::responses::not_found;

/// Answers with the authorization server's metadata (RFC 8414).
#[must_use]
pub fn authorization_server<P: Ports>(context: &RequestContext<'_, P>) -> Resolved {
    document(context.gateway.documents().authorization_server())
}

/// Answers with the keys that verify access tokens (RFC 7517 §5).
#[must_use]
pub fn keys<P: Ports>(context: &RequestContext<'_, P>) -> Resolved {
    document(context.gateway.documents().keys())
}

/// Answers with the metadata of the resource at this place in the configuration (RFC 9728).
#[must_use]
pub fn protected_resource<P: Ports>(context: &RequestContext<'_, P>, index: Option<usize>) -> Resolved {
    match index.and_then(|index| context.gateway.documents().protected_resource(index)) {
        Some(metadata) => document(metadata),
        None => not_found("there is no such resource", Reason::NoEndpoint),
    }
}

fn document(response: Response) -> Resolved {
    Resolved::Respond(response, Audit::new(Reason::Metadata))
}
