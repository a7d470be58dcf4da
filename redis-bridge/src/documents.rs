//! Fetches documents from URLs that strangers name, without becoming a tool for server-side request
//! forgery (draft-ietf-oauth-client-id-metadata-document).
//!
//! Every address of the host must be public. The connection is made to one of the checked
//! addresses, so DNS rebinding between check and connect has no effect.

mod budget;
mod exchange;
mod public;
mod single_flight;
mod target;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use portcullis_storage_api::wire::{Document, FetchDocument, FetchDocumentAnswer, FetchFailure, RefusalCause};
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use crate::config::Fetch;
use crate::metrics::Metrics;
use budget::Budget;
use public::is_public;
use single_flight::SingleFlight;
use target::Target;

/// Resolves the addresses of a host.
pub(crate) trait Resolve {
    /// Returns all addresses, or [`FetchFailure::Resolve`] if there are none.
    fn resolve(&self, host: &str, port: u16) -> impl Future<Output = Result<Vec<SocketAddr>, FetchFailure>> + Send;
}

/// Fetches documents within the configured rules.
pub(crate) struct Fetcher<R = SystemResolver> {
    rules: Fetch,
    resolver: R,
    tls: TlsConnector,
    budget: Budget,
    slots: Semaphore,
    under_way: SingleFlight<Result<Result<Document, FetchFailure>, RefusalCause>>,
    metrics: Arc<Metrics>,
}

impl<R: Resolve> Fetcher<R> {
    /// Creates a fetcher.
    ///
    /// # Errors
    /// The failure to set up TLS.
    pub(crate) fn new(rules: Fetch, resolver: R, metrics: Arc<Metrics>) -> Result<Self, rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(rules.roots.clone())
            .with_no_client_auth();
        // No state of a stranger's server is kept.
        tls.resumption = Resumption::disabled();
        let budget = Budget::new(rules.per_host_per_minute, rules.per_minute);
        let (tls, slots) = (TlsConnector::from(Arc::new(tls)), Semaphore::new(MAX_FETCHES));
        Ok(Self { rules, resolver, tls, budget, slots, under_way: SingleFlight::default(), metrics })
    }

    /// Fetches one document, or waits for the fetch of it that is under way. A failed fetch is an
    /// answer, too.
    ///
    /// # Errors
    /// [`RefusalCause::Overloaded`] if [`MAX_FETCHES`] are under way.
    pub(crate) async fn answer(&self, request: &FetchDocument) -> Result<FetchDocumentAnswer, RefusalCause> {
        let fetched = match Target::new(&request.url, &self.rules) {
            Ok(target) => self.under_way.run(&request.url, self.fetch_in_slot(&target)).await?,
            Err(failure) => {
                self.metrics.fetch(failure.name());
                Err(failure)
            }
        };
        Ok(fetched.map_or_else(FetchDocumentAnswer::Failure, FetchDocumentAnswer::Document))
    }

    async fn fetch_in_slot(&self, target: &Target) -> Result<Result<Document, FetchFailure>, RefusalCause> {
        let _slot = self.slots.try_acquire().map_err(|_| RefusalCause::Overloaded)?;
        let fetched = self.fetch(target).await;
        self.metrics.fetch(fetched.as_ref().map_or_else(|failure| failure.name(), |_| "ok"));
        Ok(fetched)
    }

    async fn fetch(&self, target: &Target) -> Result<Document, FetchFailure> {
        if !self.budget.take(target.host(), Instant::now()) {
            return Err(FetchFailure::Budget);
        }
        let fetched = timeout(FETCH_TIMEOUT, self.fetch_untimed(target)).await.unwrap_or(Err(FetchFailure::TimedOut));
        // As often as the budget allows. The path stays out: it may hold what is meant for the
        // client only.
        match &fetched {
            Ok(_) => tracing::info!(host = target.host(), "document fetched"),
            Err(failure) => tracing::info!(host = target.host(), ?failure, "document not fetched"),
        }
        fetched
    }

    async fn fetch_untimed(&self, target: &Target) -> Result<Document, FetchFailure> {
        let name = ServerName::try_from(target.host().to_owned()).map_err(|_| FetchFailure::BadUrl)?;
        let addresses = self.resolver.resolve(target.host(), target.port()).await?;
        // INVARIANT: the connection below is made to one of the addresses checked here.
        if !addresses.iter().all(|address| self.is_allowed(address)) {
            return Err(FetchFailure::AddressRefused);
        }
        let stream = connect(&addresses).await?;
        let stream = self.tls.connect(name, stream).await.map_err(|error| {
            let of_tls = error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>());
            if of_tls { FetchFailure::Tls } else { FetchFailure::Connect }
        })?;
        exchange::exchange(stream, target).await
    }

    fn is_allowed(&self, address: &SocketAddr) -> bool {
        let allowed = self.rules.allow_addresses.iter().any(|network| network.contains(address.ip()));
        allowed || is_public(address.ip())
    }
}

/// Connects to the first address that answers, of at most [`MAX_ADDRESSES`].
async fn connect(addresses: &[SocketAddr]) -> Result<TcpStream, FetchFailure> {
    for address in addresses.iter().take(MAX_ADDRESSES) {
        if let Ok(Ok(stream)) = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            return Ok(stream);
        }
    }
    Err(FetchFailure::Connect)
}

/// The resolver of the operating system.
pub(crate) struct SystemResolver {
    /// Bounds the lookups. A lookup occupies a thread and cannot be cancelled, so it keeps its
    /// permit until it ends.
    lookups: Arc<Semaphore>,
}

impl Default for SystemResolver {
    fn default() -> Self {
        Self { lookups: Arc::new(Semaphore::new(MAX_FETCHES)) }
    }
}

impl Resolve for SystemResolver {
    async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, FetchFailure> {
        let permit = Arc::clone(&self.lookups).try_acquire_owned().map_err(|_| FetchFailure::Budget)?;
        let host = host.to_owned();
        let lookup = tokio::spawn(async move {
            let found = tokio::net::lookup_host((host, port)).await.map(Iterator::collect::<Vec<_>>);
            drop(permit);
            found
        });
        match lookup.await {
            Ok(Ok(addresses)) if !addresses.is_empty() => Ok(addresses),
            Ok(Ok(_) | Err(_)) | Err(_) => Err(FetchFailure::Resolve),
        }
    }
}

const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const MAX_ADDRESSES: usize = 4;
const MAX_FETCHES: usize = 16;

#[cfg(test)]
#[path = "documents/documents_tests.rs"]
mod tests;
