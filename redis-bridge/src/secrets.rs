//! The secrets: named files of one folder, read at each request, and polled while a caller waits
//! for a change.

mod folder;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use portcullis_storage_api::wire::{
    Refusal, RefusalCause, Revision, Secret, SecretName, SecretValue, Secrets, SecretsAnswer,
};
use sha2::{Digest as _, Sha256};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout};

use crate::metrics::Metrics;
use folder::{Content, ReadError, SecretFileError};

/// Serves the secrets of one folder.
pub(crate) struct SecretFiles {
    folder: PathBuf,
    /// The result of the last read of each name, for the log and the metrics.
    last_reads: Mutex<BTreeMap<SecretName, LastRead>>,
    waiting: Semaphore,
    /// Bounds the threads that read: a file system may hang, and a read keeps its permit as long as
    /// its thread.
    reads: Arc<Semaphore>,
    shutdown: watch::Sender<bool>,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct LastRead {
    digest: Option<[u8; 32]>,
    error: Option<SecretFileError>,
}

impl SecretFiles {
    /// Creates the service of a folder.
    pub(crate) fn new(folder: PathBuf, metrics: Arc<Metrics>) -> Self {
        let (waiting, reads) = (Semaphore::new(MAX_WAITING), Arc::new(Semaphore::new(MAX_READS)));
        Self { folder, last_reads: Mutex::default(), waiting, reads, shutdown: watch::Sender::new(false), metrics }
    }

    /// Answers at once if the revision differs from the known one, else after a change or at the
    /// timeout.
    pub(crate) async fn answer(&self, request: Secrets) -> Result<SecretsAnswer, Refusal> {
        let _permit = self.waiting.try_acquire().map_err(|_| RefusalCause::Overloaded)?;
        let _held = self.metrics.secret_waits.hold();
        let limit = Duration::from_millis(u64::from(request.timeout_milliseconds));
        let started = Instant::now();
        let mut shutdown = self.shutdown.subscribe();
        loop {
            let contents = self.read(&request.names).await?;
            let revision = revision(&contents);
            if request.known != Some(revision) {
                let secrets = contents.into_iter().map(|Content { name, value, .. }| Secret { name, value }).collect();
                return Ok(SecretsAnswer { revision, secrets: Some(secrets) });
            }
            let left = limit.saturating_sub(started.elapsed());
            if left.is_zero() || *shutdown.borrow_and_update() {
                return Ok(SecretsAnswer { revision, secrets: None });
            }
            // Either result leads to another read.
            let _ = timeout(left.min(POLL_INTERVAL), shutdown.changed()).await;
        }
    }

    /// Answers every waiting caller now, so that it does not delay the shutdown.
    pub(crate) fn end_waiting(&self) {
        self.shutdown.send_replace(true);
    }

    async fn read(&self, names: &[SecretName]) -> Result<Vec<Content>, Refusal> {
        let reading = async {
            let permit = Arc::clone(&self.reads).acquire_owned().await.map_err(|_| RefusalCause::Overloaded)?;
            let (folder, names) = (self.folder.clone(), names.to_owned());
            let read = tokio::task::spawn_blocking(move || {
                let _permit = permit;
                folder::read(&folder, &names)
            });
            read.await.map_err(|_| RefusalCause::Unavailable)
        };
        match timeout(READ_TIMEOUT, reading).await {
            Ok(Ok(Ok(contents))) => {
                self.record_contents(&contents);
                Ok(contents)
            }
            Ok(Ok(Err(ReadError::Secret(name, error)))) => {
                self.record_error(&name, error);
                Err(Refusal { error: RefusalCause::NotServed, secret: Some(name) })
            }
            Ok(Ok(Err(ReadError::ChangingDuringRead))) => {
                self.metrics.secret_failures.add();
                Err(RefusalCause::Unavailable.into())
            }
            Ok(Err(cause)) => Err(cause.into()),
            Err(_) => {
                self.metrics.secret_failures.add();
                tracing::warn!("timed out while reading `secretsDir`");
                Err(RefusalCause::Unavailable.into())
            }
        }
    }

    /// Logs and counts each change once, however many callers wait for it.
    fn record_contents(&self, contents: &[Content]) {
        let mut last_reads = self.last_reads.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = Vec::new();
        for content in contents {
            let digest = digest(&content.value);
            let last = last_reads.entry(content.name.clone()).or_default();
            match last.digest.replace(digest) {
                None if content.world_readable => {
                    tracing::warn!(name = %content.name, "the file of a secret is readable by every user; restrict its mode");
                }
                Some(before) if before != digest => changed.push(content.name.as_str()),
                None | Some(_) => {}
            }
            last.error = None;
        }
        drop(last_reads);
        if !changed.is_empty() {
            self.metrics.secret_changes.add();
            tracing::info!(names = changed.join(", "), "secrets changed");
        }
    }

    fn record_error(&self, name: &SecretName, error: SecretFileError) {
        self.metrics.secret_failures.add();
        let mut last_reads = self.last_reads.lock().unwrap_or_else(PoisonError::into_inner);
        // Callers choose the names, so the map must be bounded. Clearing it costs a repeated log
        // line.
        if last_reads.len() >= MAX_NAMES && !last_reads.contains_key(name) {
            last_reads.clear();
        }
        if last_reads.entry(name.clone()).or_default().error.replace(error) != Some(error) {
            tracing::warn!(%name, %error, "requested secret not served");
        }
    }
}

/// Returns the digest of names and contents. Each is preceded by its length, so that no two lists
/// have one encoding.
fn revision(contents: &[Content]) -> Revision {
    let mut digest = Sha256::new();
    for content in contents {
        for part in [content.name.as_str().as_bytes(), content.value.as_bytes()] {
            digest.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            digest.update(part);
        }
    }
    Revision(digest.finalize().into())
}

fn digest(value: &SecretValue) -> [u8; 32] {
    Sha256::digest(value.as_bytes()).into()
}

const POLL_INTERVAL: Duration = Duration::from_secs(1);
const READ_TIMEOUT: Duration = Duration::from_secs(2);
const MAX_READS: usize = 4;
/// Every worker of every Envoy has one request that waits.
const MAX_WAITING: usize = 256;
const MAX_NAMES: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    fn content(name: &str, value: &[u8]) -> Content {
        let value = SecretValue::new(value.to_vec().into()).unwrap();
        Content { name: SecretName::new(name).unwrap(), value, world_readable: false }
    }

    #[test]
    fn a_revision_depends_on_names_contents_and_order_only() {
        let known = revision(&[content("a", b"1"), content("b", b"2")]);
        assert_eq!(known, revision(&[content("a", b"1"), content("b", b"2")]));
        let others = [
            vec![content("a", b"1")],
            vec![content("b", b"2"), content("a", b"1")],
            vec![content("a", b"2"), content("b", b"1")],
            vec![content("a", b"1"), content("c", b"2")],
            vec![content("a", b"1b"), content("b", b"2")],
            vec![content("a1", b""), content("b", b"2")],
        ];
        for other in others {
            assert_ne!(known, revision(&other));
        }
    }
}
