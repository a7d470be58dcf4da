//! The routing of one request, and the limits within which it is handled.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response, StatusCode};
use portcullis_storage_api::wire::{Execution, Refusal, RefusalCause, Verb};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};

use crate::config::Limits;
use crate::http::authorization::Grant;
use crate::http::body::{read, refusal, response, to_json};
use crate::http::verbs::Verbs;
use crate::metrics::Metrics;

/// Handles the requests of all connections.
pub(crate) struct Bridge {
    verbs: Verbs,
    deadline: Duration,
    /// Bounds the operations under way.
    slots: Semaphore,
    /// Bounds the operations that wait for a slot.
    queue: Semaphore,
    /// Bounds the polls. They take no slots, because they are long and cost little.
    polls: Semaphore,
    metrics: Arc<Metrics>,
}

impl Bridge {
    /// Creates the bridge with its limits.
    pub(crate) fn new(verbs: Verbs, limits: Limits, metrics: Arc<Metrics>) -> Self {
        let (slots, queue) = (Semaphore::new(limits.in_flight), Semaphore::new(limits.queue));
        Self { verbs, deadline: limits.deadline, slots, queue, polls: Semaphore::new(MAX_POLLS), metrics }
    }

    /// Ends the requests that wait for changed secrets, so that they do not delay the shutdown.
    pub(crate) fn end_waiting(&self) {
        if let Some(secrets) = &self.verbs.secrets {
            secrets.end_waiting();
        }
    }

    /// The metrics of the bridge.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Handles a request. Every failure is a refusal, and every response carries the marker.
    pub(crate) async fn handle(&self, request: Request<Incoming>, grant: &Grant) -> Response<Full<Bytes>> {
        let Some(verb) = Verb::of_path(request.uri().path()).filter(|_| request.uri().query().is_none()) else {
            return observe(self, request.method(), request.uri().path());
        };
        if request.method() != Method::POST {
            return refusal(RefusalCause::BadRequest);
        }
        let mut started = Instant::now();
        let result = self.handle_verb(verb, request, grant, &mut started).await;
        let (outcome, response) = match result {
            Ok(body) => ("ok", response(StatusCode::OK, "application/json", body)),
            Err(refused) => (refused.error.name(), refusal(refused)),
        };
        self.metrics.request(verb.name(), outcome, started.elapsed());
        response
    }

    async fn handle_verb(
        &self,
        verb: Verb,
        request: Request<Incoming>,
        grant: &Grant,
        started: &mut Instant,
    ) -> Result<Vec<u8>, Refusal> {
        // Before the slot: a caller that sends slowly must not hold one.
        let body = timeout(BODY_TIMEOUT, read(request)).await.map_err(|_| RefusalCause::BadRequest)??;
        *started = Instant::now();
        match verb.execution() {
            Execution::Command | Execution::Script => {
                let _slot = self.acquire_slot().await?;
                let _held = self.metrics.in_flight.hold();
                let result = timeout(self.deadline, self.verbs.execute(verb, &body, grant)).await;
                result.map_err(|_| RefusalCause::Unavailable)?
            }
            Execution::Poll => {
                let _permit = self.polls.try_acquire().map_err(|_| RefusalCause::Overloaded)?;
                self.verbs.execute(verb, &body, grant).await
            }
            Execution::Service => self.verbs.execute(verb, &body, grant).await,
        }
    }

    /// Waits for a slot, for at most [`QUEUE_TIMEOUT`]: after that a refusal at once is better,
    /// because a retry can still help.
    async fn acquire_slot(&self) -> Result<SemaphorePermit<'_>, RefusalCause> {
        if let Ok(slot) = self.slots.try_acquire() {
            return Ok(slot);
        }
        let _place = self.queue.try_acquire().map_err(|_| RefusalCause::Overloaded)?;
        let _held = self.metrics.queued.hold();
        match timeout(QUEUE_TIMEOUT, self.slots.acquire()).await {
            Ok(Ok(slot)) => Ok(slot),
            Ok(Err(_)) | Err(_) => Err(RefusalCause::Overloaded),
        }
    }
}

/// Handles a request that needs no grant: `/healthz` (the process runs), `/readyz` (it can serve)
/// and `/metrics`.
pub(crate) fn observe(bridge: &Bridge, method: &Method, path: &str) -> Response<Full<Bytes>> {
    if method != Method::GET {
        return refusal(RefusalCause::UnknownVerb);
    }
    match path {
        "/healthz" => response(StatusCode::OK, "text/plain; charset=utf-8", b"ok\n".to_vec()),
        "/readyz" => {
            let health = bridge.verbs.operations.health();
            let status = if health.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            match to_json(&health) {
                Ok(body) => response(status, "application/json", body),
                Err(cause) => refusal(cause),
            }
        }
        "/metrics" => {
            let text = bridge.metrics.text(&bridge.verbs.operations.gauges());
            response(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text.into_bytes())
        }
        _ => refusal(RefusalCause::UnknownVerb),
    }
}

const QUEUE_TIMEOUT: Duration = Duration::from_millis(5);
const BODY_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_POLLS: usize = 256;
