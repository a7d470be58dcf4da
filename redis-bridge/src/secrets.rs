//! The secrets: named files of one folder, read when they are asked for, and asked for again while
//! a caller waits for a change.

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
use folder::{Content, Trouble, Why};

/// The folder's secrets.
pub(crate) struct SecretFiles {
    folder: PathBuf,
    /// What was found under each name when it was last read; for the log and the metrics only.
    seen: Mutex<BTreeMap<SecretName, Seen>>,
    watchers: Semaphore,
    /// A file system may hang. Each read holds a thread, and its permit for as long as the thread.
    reads: Arc<Semaphore>,
    ended: watch::Sender<bool>,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct Seen {
    digest: Option<[u8; 32]>,
    trouble: Option<Why>,
}

impl SecretFiles {
    /// Of this folder.
    pub(crate) fn new(folder: PathBuf, metrics: Arc<Metrics>) -> Self {
        let (watchers, reads) = (Semaphore::new(WATCHERS), Arc::new(Semaphore::new(READS)));
        Self { folder, seen: Mutex::default(), watchers, reads, ended: watch::Sender::new(false), metrics }
    }

    /// Answers once the contents are others than the known ones, or the time is over.
    pub(crate) async fn answer(&self, request: Secrets) -> Result<SecretsAnswer, Refusal> {
        let _permit = self.watchers.try_acquire().map_err(|_| RefusalCause::Overloaded)?;
        let _held = self.metrics.secret_waits.hold();
        let patience = Duration::from_millis(u64::from(request.timeout_milliseconds));
        let started = Instant::now();
        let mut ended = self.ended.subscribe();
        loop {
            let contents = self.read(&request.names).await?;
            let revision = revision(&contents);
            if request.known != Some(revision) {
                let secrets = contents.into_iter().map(|Content { name, value, .. }| Secret { name, value }).collect();
                return Ok(SecretsAnswer { revision, secrets: Some(secrets) });
            }
            let left = patience.saturating_sub(started.elapsed());
            if left.is_zero() || *ended.borrow_and_update() {
                return Ok(SecretsAnswer { revision, secrets: None });
            }
            // Both ways lead to one more look.
            let _ = timeout(left.min(LOOK_AGAIN), ended.changed()).await;
        }
    }

    /// Ends all waits: the bridge is about to end, and a caller that waits would hold
    /// it up.
    pub(crate) fn end_waiting(&self) {
        self.ended.send_replace(true);
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
        match timeout(READ, reading).await {
            Ok(Ok(Ok(contents))) => {
                self.note(&contents);
                Ok(contents)
            }
            Ok(Ok(Err(Trouble::Secret(name, why)))) => {
                self.note_trouble(&name, why);
                Err(Refusal { error: RefusalCause::NotServed, secret: Some(name) })
            }
            Ok(Ok(Err(Trouble::Restless))) => {
                self.metrics.secret_failures.add();
                Err(RefusalCause::Unavailable.into())
            }
            Ok(Err(cause)) => Err(cause.into()),
            Err(_) => {
                self.metrics.secret_failures.add();
                tracing::warn!("secretsDir is not read in time");
                Err(RefusalCause::Unavailable.into())
            }
        }
    }

    /// Every change is logged once, however many callers wait for it.
    fn note(&self, contents: &[Content]) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = Vec::new();
        for content in contents {
            let digest = digest(&content.value);
            let known = seen.entry(content.name.clone()).or_default();
            match known.digest.replace(digest) {
                None if content.open_to_all => {
                    tracing::warn!(name = %content.name, "every user of this machine may read this secret's file");
                }
                Some(before) if before != digest => changed.push(content.name.as_str()),
                None | Some(_) => {}
            }
            known.trouble = None;
        }
        drop(seen);
        if !changed.is_empty() {
            self.metrics.secret_changes.add();
            tracing::info!(names = changed.join(", "), "secrets changed");
        }
    }

    fn note_trouble(&self, name: &SecretName, why: Why) {
        self.metrics.secret_failures.add();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        // Callers choose the names. Forgetting costs a line of the log that was written before.
        if seen.len() >= NAMES && !seen.contains_key(name) {
            seen.clear();
        }
        if seen.entry(name.clone()).or_default().trouble.replace(why) != Some(why) {
            tracing::warn!(%name, %why, "a secret is asked for and not served");
        }
    }
}

/// Lengths before names and contents: nothing can move from one into the next and leave the digest
/// as it was.
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

/// How soon a change is seen by a caller that waits for it.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
const READ: Duration = Duration::from_secs(2);
const READS: usize = 4;
/// Every worker of every Envoy waits with one request.
const WATCHERS: usize = 256;
const NAMES: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    fn content(name: &str, value: &[u8]) -> Content {
        let value = SecretValue::new(value.to_vec().into()).unwrap();
        Content { name: SecretName::new(name).unwrap(), value, open_to_all: false }
    }

    #[test]
    fn a_revision_tells_names_contents_and_order_apart_and_nothing_else() {
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
