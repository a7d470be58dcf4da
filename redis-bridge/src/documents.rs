//! Documents from addresses that strangers name, fetched so that no client makes the bridge connect
//! to what only it can reach (draft-ietf-oauth-client-id-metadata-document, on server-side request
//! forgery).
//!
//! Every address that the host's name stands for must be a public one, and exactly such a checked
//! address is connected to: a name that is given another meaning between the look and the leap
//! changes nothing.

mod budget;
mod exchange;
mod public;
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
use target::Target;

/// Finds out the addresses of a host.
pub(crate) trait Resolve {
    /// All of them; [`FetchFailure::Resolve`] when there are none.
    fn resolve(&self, host: &str, port: u16) -> impl Future<Output = Result<Vec<SocketAddr>, FetchFailure>> + Send;
}

/// Fetches documents by the operator's rules.
pub(crate) struct Fetcher<R = SystemResolver> {
    rules: Fetch,
    resolver: R,
    tls: TlsConnector,
    budget: Budget,
    turns: Semaphore,
    metrics: Arc<Metrics>,
}

impl<R: Resolve> Fetcher<R> {
    /// By these rules.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub(crate) fn new(rules: Fetch, resolver: R, metrics: Arc<Metrics>) -> Result<Self, rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(rules.roots.clone())
            .with_no_client_auth();
        // Nothing is kept of a stranger's server.
        tls.resumption = Resumption::disabled();
        let budget = Budget::new(rules.per_host_per_minute, rules.per_minute);
        let (tls, turns) = (TlsConnector::from(Arc::new(tls)), Semaphore::new(TURNS));
        Ok(Self { rules, resolver, tls, budget, turns, metrics })
    }

    /// Fetches one document, or tells why there is none.
    pub(crate) async fn answer(&self, request: &FetchDocument) -> Result<FetchDocumentAnswer, RefusalCause> {
        let _turn = self.turns.try_acquire().map_err(|_| RefusalCause::Overloaded)?;
        let fetched = match Target::new(&request.url, &self.rules) {
            Ok(target) => self.fetch(&target).await,
            Err(failure) => Err(failure),
        };
        let answer = fetched.map_or_else(FetchDocumentAnswer::Failure, FetchDocumentAnswer::Document);
        self.metrics.fetch(outcome(&answer));
        Ok(answer)
    }

    async fn fetch(&self, target: &Target) -> Result<Document, FetchFailure> {
        if !self.budget.take(target.host(), Instant::now()) {
            return Err(FetchFailure::Budget);
        }
        let fetched = timeout(WHOLE, self.fetch_in_any_time(target)).await.unwrap_or(Err(FetchFailure::TimedOut));
        // As often as the budget allows. The path stays out: it may hold what is meant for the
        // client only.
        match &fetched {
            Ok(_) => tracing::info!(host = target.host(), "a document was fetched"),
            Err(failure) => tracing::info!(host = target.host(), ?failure, "a document could not be fetched"),
        }
        fetched
    }

    async fn fetch_in_any_time(&self, target: &Target) -> Result<Document, FetchFailure> {
        let name = ServerName::try_from(target.host().to_owned()).map_err(|_| FetchFailure::BadUrl)?;
        let addresses = self.resolver.resolve(target.host(), target.port()).await?;
        // INVARIANT: what is connected to below is one of the addresses that were checked here.
        if !addresses.iter().all(|address| self.may_be_spoken_to(address)) {
            return Err(FetchFailure::AddressRefused);
        }
        let stream = connect(&addresses).await?;
        let stream = self.tls.connect(name, stream).await.map_err(|error| {
            let of_tls = error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>());
            if of_tls { FetchFailure::Tls } else { FetchFailure::Connect }
        })?;
        exchange::exchange(stream, target).await
    }

    fn may_be_spoken_to(&self, address: &SocketAddr) -> bool {
        let allowed = self.rules.allow_addresses.iter().any(|network| network.contains(address.ip()));
        allowed || is_public(address.ip())
    }
}

/// The first few that a host has, one after another.
async fn connect(addresses: &[SocketAddr]) -> Result<TcpStream, FetchFailure> {
    for address in addresses.iter().take(ADDRESSES) {
        if let Ok(Ok(stream)) = timeout(CONNECT, TcpStream::connect(address)).await {
            return Ok(stream);
        }
    }
    Err(FetchFailure::Connect)
}

/// What this machine says.
pub(crate) struct SystemResolver {
    /// A lookup holds a thread and cannot be broken off, so its permit is held until it ends.
    lookups: Arc<Semaphore>,
}

impl Default for SystemResolver {
    fn default() -> Self {
        Self { lookups: Arc::new(Semaphore::new(TURNS)) }
    }
}

impl Resolve for SystemResolver {
    async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, FetchFailure> {
        let permit = Arc::clone(&self.lookups).try_acquire_owned().map_err(|_| FetchFailure::Budget)?;
        let host = host.to_owned();
        let looking = tokio::spawn(async move {
            let found = tokio::net::lookup_host((host, port)).await.map(Iterator::collect::<Vec<_>>);
            drop(permit);
            found
        });
        match looking.await {
            Ok(Ok(addresses)) if !addresses.is_empty() => Ok(addresses),
            Ok(Ok(_) | Err(_)) | Err(_) => Err(FetchFailure::Resolve),
        }
    }
}

fn outcome(answer: &FetchDocumentAnswer) -> &'static str {
    match answer {
        FetchDocumentAnswer::Document(_) => "ok",
        FetchDocumentAnswer::Failure(failure) => match failure {
            FetchFailure::NotHttps => "not_https",
            FetchFailure::BadUrl => "bad_url",
            FetchFailure::PortRefused => "port_refused",
            FetchFailure::DomainRefused => "domain_refused",
            FetchFailure::AddressRefused => "address_refused",
            FetchFailure::Resolve => "resolve",
            FetchFailure::Connect => "connect",
            FetchFailure::Tls => "tls",
            FetchFailure::TimedOut => "timed_out",
            FetchFailure::Redirect => "redirect",
            FetchFailure::Status => "status",
            FetchFailure::ContentType => "content_type",
            FetchFailure::TooLarge => "too_large",
            FetchFailure::Budget => "budget",
        },
    }
}

const WHOLE: Duration = Duration::from_secs(5);
const CONNECT: Duration = Duration::from_secs(2);
const ADDRESSES: usize = 4;
const TURNS: usize = 16;

#[cfg(test)]
#[path = "documents/documents_tests.rs"]
mod tests;
