//! Keeps a gateway's secrets those that the bridge has: asks for them, waits for changes, and
//! compiles each new configuration. What does not compile is reported and never served; what was
//! served before goes on.

use std::cell::{Cell, RefCell};
use std::fmt;

use portcullis_protocol::crypto::secret::Secret;
use portcullis_storage_api::wire::{RefusalCause, Revision, SecretName, Secrets, SecretsAnswer, Verb};

use crate::config::{Config, Draft, Environment, Problem};
use crate::ports::{CallError, Clock, Entropy, Fetch};
use crate::store::bridge::{answer, request};

/// A document whose secrets the bridge has, and what is known of them. One for each worker.
pub struct SecretsPoll {
    draft: Draft,
    /// What was last looked at, whether it could be served or not.
    known: Cell<Option<Revision>>,
    /// What is served.
    serving: Cell<Option<Revision>>,
    error: RefCell<Option<SecretFetchError>>,
    failures: Cell<u32>,
    /// Before this time, in milliseconds since 1970, the bridge is not asked again.
    due_ms: Cell<u64>,
}

/// How long the bridge may wait for a change before it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PollMode {
    /// Not at all.
    Immediate,
    /// As long as Envoy lets a call last. Secrets that are not known yet come at once all the same.
    LongPoll,
}

/// The result of one poll.
pub enum PollOutcome {
    /// The secrets are those that were known.
    Same,
    /// They are to be served from now on, if the host can work with them.
    Changed {
        /// What they make.
        config: Box<Config>,
        /// What to tell [`SecretsPoll::serves`] once they are served.
        revision: Revision,
    },
    /// They make no configuration; nothing changes until they do.
    Refused(Vec<Problem>),
    /// They did not come; nothing changes.
    Unavailable {
        /// Why.
        error: SecretFetchError,
        /// Whether it is another reason than the last time, so that it is logged once.
        new: bool,
    },
}

/// Why the bridge gave no secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretFetchError {
    /// Envoy has no such cluster.
    NoCluster,
    /// Nothing came back that is certainly the bridge's.
    NoAnswer,
    /// The bridge answered something else than was asked for.
    UnexpectedResponse,
    /// The bridge does not serve this secret.
    NotServed(SecretName),
    /// The bridge refused for another reason.
    Refused(RefusalCause),
}

impl fmt::Display for SecretFetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCluster => f.write_str("Envoy has no such cluster"),
            Self::NoAnswer => f.write_str("the bridge cannot be reached"),
            Self::UnexpectedResponse => f.write_str("unexpected response from redis-bridge"),
            Self::NotServed(name) => write!(f, "the bridge does not serve the secret {name}; its log says why"),
            Self::Refused(RefusalCause::NotConfigured) => f.write_str("the bridge has no secretsDir"),
            Self::Refused(cause) => write!(f, "the bridge refused: {cause:?}"),
        }
    }
}

impl SecretsPoll {
    /// Of the secrets that a document names, none of which is known yet.
    #[must_use]
    pub fn new(draft: Draft) -> Self {
        Self {
            draft,
            known: Cell::new(None),
            serving: Cell::new(None),
            error: RefCell::default(),
            failures: Cell::new(0),
            due_ms: Cell::new(0),
        }
    }

    /// Whether the bridge may be asked at this time, in milliseconds since 1970: after a failure
    /// not before a pause.
    #[must_use]
    pub fn is_due(&self, now_ms: u64) -> bool {
        now_ms >= self.due_ms.get()
    }

    /// Asks the bridge once. `env` looks up a variable of the host's environment.
    pub async fn ask<P: Fetch + Clock + Entropy>(
        &self,
        ports: &P,
        env: Environment<'_>,
        mode: PollMode,
    ) -> PollOutcome {
        match self.fetch(ports, mode).await {
            Ok(answer) => {
                self.failures.set(0);
                self.due_ms.set(0);
                self.error.replace(None);
                self.take(answer, env)
            }
            Err(error) => {
                let failures = self.failures.get();
                self.failures.set(failures.saturating_add(1));
                let random = ports.random().map_or(0, u64::from_le_bytes);
                self.due_ms.set(ports.now_ms().saturating_add(pause(failures, random)));
                let new = self.error.replace(Some(error.clone())).as_ref() != Some(&error);
                PollOutcome::Unavailable { error, new }
            }
        }
    }

    /// Takes note of the secrets that are served from now on.
    pub fn serves(&self, revision: Revision) {
        self.serving.set(Some(revision));
    }

    async fn fetch<P: Fetch>(&self, ports: &P, mode: PollMode) -> Result<SecretsAnswer, SecretFetchError> {
        let known = self.known.get();
        let wait = match mode {
            PollMode::LongPoll if known.is_some() => WAIT_MS,
            PollMode::LongPoll | PollMode::Immediate => 0,
        };
        let question = Secrets { names: self.draft.names().to_vec(), known, timeout_milliseconds: wait };
        // The request's types have no form that cannot be written.
        let body = serde_json::to_vec(&question).map_err(|_| SecretFetchError::UnexpectedResponse)?;
        let bridge = self.draft.bridge();
        let call = request(bridge, Verb::Secrets, body, bridge.timeout_ms.saturating_add(u64::from(wait)));
        let reply = ports.fetch(call).await.map_err(|error| match error {
            CallError::NotSent => SecretFetchError::NoCluster,
            CallError::NoAnswer => SecretFetchError::NoAnswer,
        })?;
        let read: Result<SecretsAnswer, _> = answer(&reply);
        drop(Secret::new(reply.body));
        let answered = read.map_err(|refusal| match refusal {
            None => SecretFetchError::NoAnswer,
            Some(refusal) => {
                refusal.secret.map_or(SecretFetchError::Refused(refusal.error), SecretFetchError::NotServed)
            }
        })?;
        let fits = match &answered.secrets {
            Some(secrets) => secrets.iter().map(|secret| &secret.name).eq(self.draft.names()),
            None => known == Some(answered.revision),
        };
        if fits { Ok(answered) } else { Err(SecretFetchError::UnexpectedResponse) }
    }

    fn take(&self, answer: SecretsAnswer, env: Environment<'_>) -> PollOutcome {
        let SecretsAnswer { revision, secrets } = answer;
        // Without contents it is the revision that was known when this was asked. Another question
        // may have been answered since: what came then is newer.
        let Some(secrets) = secrets else { return PollOutcome::Same };
        let before = self.known.replace(Some(revision));
        // The other question may have brought the same; and what was refused may have been put
        // back.
        if before == Some(revision) || self.serving.get() == Some(revision) {
            return PollOutcome::Same;
        }
        match self.draft.compile(env, &secrets) {
            Ok(config) => PollOutcome::Changed { config: Box::new(config), revision },
            Err(problems) => PollOutcome::Refused(problems),
        }
    }
}

/// How long to leave the bridge alone after this many failures and one more: half of it and a
/// random part of the rest.
fn pause(failures: u32, random: u64) -> u64 {
    let longest = FIRST_PAUSE_MS.saturating_mul(1_u64.checked_shl(failures).unwrap_or(u64::MAX)).min(MAX_PAUSE_MS);
    let half = longest / 2;
    half.saturating_add(random.checked_rem(half.saturating_add(1)).unwrap_or(0))
}

/// With the longest `storage.timeout` of 10 s on top it is the 30 s that a call may last.
const WAIT_MS: u32 = 20_000;
const FIRST_PAUSE_MS: u64 = 500;
const MAX_PAUSE_MS: u64 = 5_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_five_seconds_and_differ() {
        for (failures, least, most) in
            [(0, 250, 500), (1, 500, 1_000), (3, 2_000, 4_000), (4, 2_500, 5_000), (90, 2_500, 5_000)]
        {
            assert_eq!(pause(failures, 0), least);
            assert_eq!(pause(failures, most - least), most);
            assert!((least..=most).contains(&pause(failures, u64::MAX)));
        }
    }
}
