//! An endpoint of the provider that the gateway calls, and the JSON that it answers.

use portcullis_protocol::json::{self, Limits};
use portcullis_protocol::url::web_url::WebUrl;
use serde_json::{Map, Value};

use crate::config::OidcProvider;
use crate::ports::{CallReply, CallRequest, Ports};
use crate::upstream::outage::outage;
use crate::upstream::provider_error::{Outage, ProviderError};

/// How long one call to the provider may take, in milliseconds.
pub(super) const CALL_TIMEOUT_MS: u64 = 5_000;

/// An endpoint that the gateway calls.
pub(super) struct Target {
    pub(super) cluster: String,
    pub(super) authority: String,
    pub(super) path: String,
}

impl Target {
    /// The endpoint at a URL, if its authority has a cluster: a document must not be able to send
    /// us elsewhere.
    pub(super) fn at(provider: &OidcProvider, url: &WebUrl) -> Option<Self> {
        if !url.is_https() && !provider.plain_http {
            return None;
        }
        let authority = url.authority();
        let cluster = provider.clusters.get(&authority)?.clone();
        Some(Self { cluster, authority, path: url.request_target() })
    }

    /// Reads a JSON document.
    pub(super) async fn read<P: Ports>(&self, ports: &P) -> Result<CallReply, ProviderError> {
        let call = CallRequest {
            cluster: self.cluster.clone(),
            method: "GET",
            authority: self.authority.clone(),
            path: self.path.clone(),
            headers: vec![("accept", "application/json".to_owned())],
            body: Vec::new(),
            timeout_ms: CALL_TIMEOUT_MS,
        };
        let reply = ports.fetch(call).await.map_err(Outage::from)?;
        match reply.status {
            200 if is_json(&reply) => Ok(reply),
            200 => Err(ProviderError::NotJson),
            _ => Err(outage(&reply).into()),
        }
    }

    /// Returns the URL for the log, without its query.
    pub(super) fn url(&self, provider: &OidcProvider) -> String {
        let scheme = if provider.plain_http { "http" } else { "https" };
        let path = self.path.split('?').next().unwrap_or_default();
        format!("{scheme}://{}{path}", self.authority)
    }
}

/// Returns the JSON object in an answer, or why there is none.
pub(super) fn read_object(reply: &CallReply) -> Result<Map<String, Value>, &'static str> {
    json::parse_object(&reply.body, Limits::DOCUMENT).map_err(|_| "the JSON cannot be read")
}

/// Returns `true` if an answer says that it is JSON.
pub(super) fn is_json(reply: &CallReply) -> bool {
    let essence = reply.content_type.as_deref().and_then(|text| text.split(';').next()).unwrap_or_default().trim();
    ["application/json", "application/jwk-set+json"].iter().any(|json| essence.eq_ignore_ascii_case(json))
}
