//! One request: admitted, read, understood, done, answered.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request, Response, StatusCode};
use portcullis_storage_api::wire::{
    HealthRequest, MARKER_HEADER, MARKER_VALUE, REQUEST_BYTES, Refusal, RefusalCause, Verb,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};

use crate::config::Limits;
use crate::documents::Fetcher;
use crate::http::authorization::{Grant, InSpace};
use crate::metrics::Metrics;
use crate::operations::store::Store;
use crate::secrets::SecretFiles;

/// The services of the bridge besides records, as far as they are configured.
pub(crate) struct Services {
    /// Serves secrets.
    pub(crate) secrets: Option<SecretFiles>,
    /// Fetches documents.
    pub(crate) fetcher: Option<Fetcher>,
}

/// What answers the requests of all connections.
pub(crate) struct Bridge {
    store: Store,
    deadline: Duration,
    /// Operations that may be under way.
    turns: Semaphore,
    /// Operations that may wait for their turn.
    queue: Semaphore,
    /// Waits for a change: they are long and cost little, so they do not take the operations'
    /// turns.
    watchers: Semaphore,
    services: Services,
    metrics: Arc<Metrics>,
}

impl Bridge {
    /// Over a store, within limits.
    pub(crate) fn new(store: Store, services: Services, limits: Limits, metrics: Arc<Metrics>) -> Self {
        let (turns, queue) = (Semaphore::new(limits.in_flight), Semaphore::new(limits.queue));
        Self { store, deadline: limits.deadline, turns, queue, watchers: Semaphore::new(WATCHERS), services, metrics }
    }

    /// Ends what only waits, so that it does not hold up the end of the bridge.
    pub(crate) fn end_waiting(&self) {
        if let Some(secrets) = &self.services.secrets {
            secrets.end_waiting();
        }
    }

    /// What is counted.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Answers a request; whatever is wrong is a refusal, and every answer carries the marker.
    pub(crate) async fn answer(&self, request: Request<Incoming>, grant: &Grant) -> Response<Full<Bytes>> {
        let Some(verb) = Verb::of_path(request.uri().path()).filter(|_| request.uri().query().is_none()) else {
            return observe(self, request.method(), request.uri().path());
        };
        if request.method() != Method::POST {
            return refusal(RefusalCause::BadRequest);
        }
        let mut started = Instant::now();
        let answer = self.admitted(verb, request, grant, &mut started).await;
        let (outcome, answer) = match answer {
            Ok(body) => ("ok", page(StatusCode::OK, "application/json", body)),
            Err(refused) => (outcome(refused.error), refusal(refused)),
        };
        self.metrics.request(verb.name(), outcome, started.elapsed());
        answer
    }

    async fn admitted(
        &self,
        verb: Verb,
        request: Request<Incoming>,
        grant: &Grant,
        started: &mut Instant,
    ) -> Result<Vec<u8>, Refusal> {
        // The body first: a caller that sends slowly must not hold a turn meanwhile.
        let body = timeout(BODY, read(request)).await.map_err(|_| RefusalCause::BadRequest)??;
        *started = Instant::now();
        match verb {
            Verb::Health => {
                let HealthRequest {} = parsed(&body)?;
                Ok(written(&self.store.health())?)
            }
            Verb::Secrets => {
                grant.covers_secrets()?;
                let secrets = self.services.secrets.as_ref().ok_or(RefusalCause::NotConfigured)?;
                Ok(written(&secrets.answer(parsed(&body)?).await?)?)
            }
            Verb::FetchDocument => {
                let fetcher = self.services.fetcher.as_ref().ok_or(RefusalCause::NotConfigured)?;
                Ok(written(&fetcher.answer(&parsed(&body)?).await?)?)
            }
            Verb::AwaitChange => {
                let _permit = self.watchers.try_acquire().map_err(|_| RefusalCause::Overloaded)?;
                Ok(self.done(verb, &body, grant).await?)
            }
            Verb::Get
            | Verb::GetMany
            | Verb::Put
            | Verb::PutNew
            | Verb::Take
            | Verb::CompareAndSwap
            | Verb::Delete
            | Verb::AddMember
            | Verb::RemoveMember
            | Verb::Members
            | Verb::Lock
            | Verb::Unlock
            | Verb::TakeTokens => {
                let _turn = self.turn().await?;
                let _held = self.metrics.in_flight.hold();
                let done = timeout(self.deadline, self.done(verb, &body, grant)).await;
                Ok(done.map_err(|_| RefusalCause::Unavailable)??)
            }
        }
    }

    /// Waits for a turn, briefly: who would wait longer is better told at once, while a retry can
    /// still help.
    async fn turn(&self) -> Result<SemaphorePermit<'_>, RefusalCause> {
        if let Ok(turn) = self.turns.try_acquire() {
            return Ok(turn);
        }
        let _place = self.queue.try_acquire().map_err(|_| RefusalCause::Overloaded)?;
        let _held = self.metrics.queued.hold();
        match timeout(QUEUED, self.turns.acquire()).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_)) | Err(_) => Err(RefusalCause::Overloaded),
        }
    }

    async fn done(&self, verb: Verb, body: &[u8], grant: &Grant) -> Result<Vec<u8>, RefusalCause> {
        let store = &self.store;
        match verb {
            Verb::Get => written(&store.get(covered(body, grant)?).await?),
            Verb::GetMany => written(&store.get_many(covered(body, grant)?).await?),
            Verb::Put => written(&store.put(covered(body, grant)?).await?),
            Verb::PutNew => written(&store.put_new(covered(body, grant)?).await?),
            Verb::Take => written(&store.take(covered(body, grant)?).await?),
            Verb::CompareAndSwap => written(&store.compare_and_swap(covered(body, grant)?).await?),
            Verb::Delete => written(&store.delete(covered(body, grant)?).await?),
            Verb::AddMember => written(&store.add_member(covered(body, grant)?).await?),
            Verb::RemoveMember => written(&store.remove_member(covered(body, grant)?).await?),
            Verb::Members => written(&store.members(covered(body, grant)?).await?),
            Verb::Lock => written(&store.lock(covered(body, grant)?).await?),
            Verb::Unlock => written(&store.unlock(covered(body, grant)?).await?),
            Verb::AwaitChange => written(&store.await_change(covered(body, grant)?).await?),
            Verb::TakeTokens => written(&store.take_tokens(covered(body, grant)?).await?),
            Verb::Health => written(&store.health()),
            Verb::Secrets | Verb::FetchDocument => Err(RefusalCause::NotConfigured),
        }
    }
}

/// Answers what needs no right: how the bridge is. `/healthz` says that it runs, `/readyz` whether
/// it can serve.
pub(crate) fn observe(bridge: &Bridge, method: &Method, path: &str) -> Response<Full<Bytes>> {
    if method != Method::GET {
        return refusal(RefusalCause::UnknownVerb);
    }
    match path {
        "/healthz" => page(StatusCode::OK, "text/plain; charset=utf-8", b"ok\n".to_vec()),
        "/readyz" => {
            let health = bridge.store.health();
            let status = if health.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            match written(&health) {
                Ok(body) => page(status, "application/json", body),
                Err(cause) => refusal(cause),
            }
        }
        "/metrics" => {
            let text = bridge.metrics.text(&bridge.store.known());
            page(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text.into_bytes())
        }
        _ => refusal(RefusalCause::UnknownVerb),
    }
}

async fn read(request: Request<Incoming>) -> Result<Bytes, RefusalCause> {
    match Limited::new(request.into_body(), REQUEST_BYTES).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(RefusalCause::TooLarge),
        Err(_) => Err(RefusalCause::BadRequest),
    }
}

/// A request about a space that is the caller's.
fn covered<T: DeserializeOwned + InSpace>(body: &[u8], grant: &Grant) -> Result<T, RefusalCause> {
    grant.covers(parsed(body)?)
}

fn parsed<T: DeserializeOwned>(body: &[u8]) -> Result<T, RefusalCause> {
    serde_json::from_slice(body).map_err(|error| {
        // The message names fields and forms, never what was in them.
        tracing::debug!(%error, "a request cannot be read");
        RefusalCause::BadRequest
    })
}

fn written<T: Serialize>(answer: &T) -> Result<Vec<u8>, RefusalCause> {
    serde_json::to_vec(answer).map_err(|_| RefusalCause::Unavailable)
}

fn refusal(refused: impl Into<Refusal>) -> Response<Full<Bytes>> {
    let refused = refused.into();
    let status = StatusCode::from_u16(refused.error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = written(&refused).unwrap_or_default();
    let mut answer = page(status, "application/json", body);
    if refused.error.is_passing() {
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    answer
}

fn page(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer.headers_mut().insert(MARKER_HEADER, HeaderValue::from_static(MARKER_VALUE));
    answer
}

fn outcome(cause: RefusalCause) -> &'static str {
    match cause {
        RefusalCause::BadRequest => "bad_request",
        RefusalCause::Forbidden => "forbidden",
        RefusalCause::UnknownVerb => "unknown_verb",
        RefusalCause::TooLarge => "too_large",
        RefusalCause::Overloaded => "overloaded",
        RefusalCause::Unavailable => "unavailable",
        RefusalCause::NotDurable => "not_durable",
        RefusalCause::Full => "full",
        RefusalCause::Corrupt => "corrupt",
        RefusalCause::NotServed => "not_served",
        RefusalCause::NotConfigured => "not_configured",
    }
}

const QUEUED: Duration = Duration::from_millis(5);
const BODY: Duration = Duration::from_secs(5);
const WATCHERS: usize = 256;
