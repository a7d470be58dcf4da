//! Fetches a client-id metadata document: through the bridge, which connects to public addresses
//! only, or through a cluster of Envoy, for hosts that the configuration lists.

use portcullis_protocol::http::media_type::is_json;
use portcullis_protocol::oauth::client_id_url::ClientIdUrl;
use portcullis_storage_api::wire::{FetchDocument, FetchDocumentAnswer, FetchFailure, RefusalCause, Verb};
use thiserror::Error;

use crate::config::{BridgeSettings, ClientDocumentPolicy, Storage};
use crate::context::RequestContext;
use crate::ports::{CallError, CallRequest, Ports};
use crate::store::bridge::{answer, request};

/// A document as its server sent it.
pub(super) struct Fetched {
    pub(super) body: Vec<u8>,
    /// How long its server lets it be kept, in seconds; `None` if it says nothing.
    pub(super) max_age: Option<u64>,
}

/// Why there is no document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FetchError {
    /// The bridge fetches no documents: it has no `fetch` section, or the cluster does not exist.
    #[error("documents are not fetched here")]
    NotConfigured,
    /// The address is not one that may be asked: not public, or not allowed by the bridge.
    #[error("the document's address may not be asked")]
    Address,
    /// No answer with status 200 came in time.
    #[error("the document's server did not answer with it")]
    Unavailable,
    /// The answer is a redirect, is not JSON, or is too large.
    #[error("the document's server answered something else")]
    Answer,
}

/// Fetches the document of a client.
///
/// # Errors
/// [`FetchError`].
pub(super) async fn fetch<P: Ports>(
    context: &RequestContext<'_, P>,
    policy: &ClientDocumentPolicy,
    client_id: &ClientIdUrl,
) -> Result<Fetched, FetchError> {
    let fetched = match (&policy.cluster, &context.config().storage) {
        (Some(cluster), Storage::Memory { .. } | Storage::Bridge(_)) => {
            through_cluster(context.ports, cluster, client_id).await?
        }
        (None, Storage::Bridge(bridge)) => through_bridge(context.ports, bridge, client_id).await?,
        (None, Storage::Memory { .. }) => return Err(FetchError::NotConfigured),
    };
    if fetched.body.len() > policy.max_bytes { Err(FetchError::Answer) } else { Ok(fetched) }
}

async fn through_bridge<P: Ports>(
    ports: &P,
    bridge: &BridgeSettings,
    client_id: &ClientIdUrl,
) -> Result<Fetched, FetchError> {
    let question = FetchDocument { url: client_id.as_str().to_owned() };
    let body = serde_json::to_vec(&question).map_err(|_| FetchError::Unavailable)?;
    let call = request(bridge, Verb::FetchDocument, body, BRIDGE_TIMEOUT_MS);
    let reply = ports.fetch(call).await.map_err(|_| FetchError::Unavailable)?;
    match answer::<FetchDocumentAnswer>(&reply) {
        Ok(FetchDocumentAnswer::Document(document)) => {
            Ok(Fetched { body: document.body.as_bytes().to_vec(), max_age: document.max_age_seconds })
        }
        Ok(FetchDocumentAnswer::Failure(failure)) => Err(failure.into()),
        Err(Some(refusal)) if refusal.error == RefusalCause::NotConfigured => Err(FetchError::NotConfigured),
        Err(Some(_) | None) => Err(FetchError::Unavailable),
    }
}

/// Envoy follows no redirect of a call, and holds the certificate to the host by the cluster's
/// `auto_san_validation`.
async fn through_cluster<P: Ports>(ports: &P, cluster: &str, client_id: &ClientIdUrl) -> Result<Fetched, FetchError> {
    let call = CallRequest {
        cluster: cluster.to_owned(),
        method: "GET",
        authority: client_id.authority(),
        path: client_id.request_target(),
        headers: vec![
            ("accept".into(), "application/json".to_owned()),
            ("accept-encoding".into(), "identity".to_owned()),
        ],
        body: Vec::new(),
        timeout_ms: CLUSTER_TIMEOUT_MS,
    };
    let reply = ports.fetch(call).await.map_err(|error| match error {
        CallError::NotSent => FetchError::NotConfigured,
        CallError::NoAnswer => FetchError::Unavailable,
    })?;
    match reply.status {
        200 if is_json(reply.content_type.as_deref()) => Ok(Fetched { body: reply.body, max_age: reply.max_age }),
        200 | 300..400 => Err(FetchError::Answer),
        _ => Err(FetchError::Unavailable),
    }
}

impl From<FetchFailure> for FetchError {
    fn from(failure: FetchFailure) -> Self {
        match failure {
            FetchFailure::NotHttps
            | FetchFailure::BadUrl
            | FetchFailure::PortRefused
            | FetchFailure::DomainRefused
            | FetchFailure::AddressRefused => Self::Address,
            FetchFailure::Resolve
            | FetchFailure::Connect
            | FetchFailure::Tls
            | FetchFailure::TimedOut
            | FetchFailure::Status
            | FetchFailure::Budget => Self::Unavailable,
            FetchFailure::Redirect | FetchFailure::ContentType | FetchFailure::TooLarge => Self::Answer,
        }
    }
}

/// The bridge gives a fetch 5 seconds; the rest is its answer's.
const BRIDGE_TIMEOUT_MS: u64 = 7_000;
const CLUSTER_TIMEOUT_MS: u64 = 5_000;
