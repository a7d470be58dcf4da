//! A call to a resource that injects the tokens of a provider which the user has not connected.
//!
//! | client | message | answer |
//! |---|---|---|
//! | of MCP 2025-11-25 or later, by `MCP-Protocol-Version`, at a resource of the kind `mcp` | one JSON-RPC request | its error -32042, with the address of the page to open |
//! | | any other: a notification, a response, GET, a body that is too large | 403 without a challenge |
//! | any other | any, and no login has asked the user to connect | 401; the session ends, and the next login goes to the provider, too |
//! | | any, and a login has asked within a day | 403 without a challenge |
//!
//! The 401 makes every client log in again. One that has a refresh token tries that first, so it
//! must be refused, as after every 401 that calls for a login ([`crate::sessions::end`]). It is
//! given once: a user who does not want to connect, or a provider that is unavailable, would
//! otherwise send the client from one login to the next. A 403 without a challenge says no client
//! to log in; its text names the provider, and the page where the user can still connect.

use portcullis_protocol::base64url;
use portcullis_protocol::credentials::{SessionId, UserId};
use portcullis_protocol::http::media_type::is_media_type;
use portcullis_protocol::http::message::{FieldName, Method, Response};
use portcullis_protocol::mcp::url_elicitation::{MAX_BODY_BYTES, RequestId, UrlElicitation, is_known_to};
use portcullis_protocol::oauth::params;

use crate::audit::{AuditFields, Reason};
use crate::config::{Provider, ProviderId, Resource, ResourceKind};
use crate::context::RequestContext;
use crate::decision::Resolved;
use crate::error::DependencyError;
use crate::ports::Ports;
use crate::resource_server::refusal::Refusal;
use crate::responses::{Cors, cors, uncached};
use crate::routing::endpoint_table::Endpoint;
use crate::sessions::end::end_session;
use crate::upstream::connections::offer;

/// The connection that a call lacks.
pub(super) struct MissingConnection {
    pub(super) session: SessionId,
    pub(super) user: UserId,
    pub(super) provider: ProviderId,
}

impl MissingConnection {
    /// Answers the call. `known` is what is known about who asked, and for which resource.
    pub(super) async fn answer<P: Ports>(
        &self,
        context: &RequestContext<'_, P>,
        resource: &Resource,
        known: AuditFields,
    ) -> Resolved {
        match self.elicitation(context, resource).await {
            Ok(Some(answer)) => {
                let response = cors(uncached(Response::json(200, answer)), Cors::ReadMcp);
                Resolved::Respond(response, known.decided(Reason::ConnectionRequested))
            }
            Ok(None) => self.refusal(context, resource).await.respond(Some(resource), known),
            Err(error) => Refusal::from(error).respond(Some(resource), known),
        }
    }

    /// Returns the answer to an MCP request whose client knows it; `None` for any other message.
    async fn elicitation<P: Ports>(
        &self,
        context: &RequestContext<'_, P>,
        resource: &Resource,
    ) -> Result<Option<Vec<u8>>, DependencyError> {
        let headers = &context.request.headers;
        let is_json = || is_media_type(headers.one(FieldName::ContentType), "application/json");
        if !knows_elicitation(context, resource) || context.request.method != Method::Post || !is_json() {
            return Ok(None);
        }
        let Ok(body) = context.ports.body(MAX_BODY_BYTES).await else { return Ok(None) };
        let Some(request) = RequestId::of_request(&body) else { return Ok(None) };
        let provider = self.provider(context)?;
        let id = base64url::encode(&context.ports.random::<16>()?);
        let message = format!("connect your account at {} first, then try again", provider.display_name);
        let elicitation = UrlElicitation { id: &id, url: &page(context, provider), message: &message };
        Ok(Some(elicitation.answer(&request)))
    }

    async fn refusal<P: Ports>(&self, context: &RequestContext<'_, P>, resource: &Resource) -> Refusal {
        match self.refusal_or_failure(context, resource).await {
            Ok(refusal) => refusal,
            Err(error) => error.into(),
        }
    }

    async fn refusal_or_failure<P: Ports>(
        &self,
        context: &RequestContext<'_, P>,
        resource: &Resource,
    ) -> Result<Refusal, DependencyError> {
        let (gateway, ports) = (context.gateway, context.ports);
        let provider = self.provider(context)?;
        let description =
            format!("this needs an account at {}: connect it at {}", provider.display_name, page(context, provider));
        if !knows_elicitation(context, resource) && offer::request(gateway, self.user, self.provider, ports).await? {
            end_session(gateway, self.session, ports).await?;
            return Ok(Refusal::ConnectionLoginRequired { description });
        }
        Ok(Refusal::NotConnected { description })
    }

    fn provider<'a, P: Ports>(&self, context: &RequestContext<'a, P>) -> Result<&'a Provider, DependencyError> {
        context.config().providers.get(self.provider).ok_or(DependencyError::Internal)
    }
}

/// Returns `true` if the client that sent a request can be asked to open an address.
fn knows_elicitation<P: Ports>(context: &RequestContext<'_, P>, resource: &Resource) -> bool {
    let version = context.request.headers.one(FieldName::McpProtocolVersion);
    resource.kind == ResourceKind::Mcp && version.is_some_and(is_known_to)
}

/// The address of the page where the user connects a provider.
fn page<P: Ports>(context: &RequestContext<'_, P>, provider: &Provider) -> String {
    params::append_query(&Endpoint::Connections.below(&context.config().issuer.url), &[("provider", &*provider.name)])
}
