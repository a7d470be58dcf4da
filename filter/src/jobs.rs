//! The jobs of a root context: work that belongs to no single request, as one list with a limit for
//! each kind. A new kind costs an entry here and its start in `root`.

use std::future::Future;

use portcullis_gateway::config::ProviderId;
use portcullis_gateway::decision::RefreshOutcome;
use portcullis_gateway::ports::{CallError, CallReply, UpstreamTokenRef};
use portcullis_gateway::runtime::{Inbox, Polled, Task};
use portcullis_protocol::credentials::SessionId;

use crate::service::open_streams::Checked;

/// A job that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Job {
    /// Refreshes these upstream tokens.
    RefreshUpstream(UpstreamTokenRef),
    /// Fetches this provider's documents.
    FetchProvider(ProviderId),
    /// Fetches the keys of the trusted issuer at this place in the configuration.
    FetchKeys(usize),
    /// Fetches the secrets of the bridge, and waits for them to change.
    FetchSecrets,
    /// Looks up the session behind a token that is being served, so that no request waits for it.
    RecheckSession,
    /// Reads which sessions have ended in other Envoys.
    ReadEnded,
    /// Looks up the session of open streams.
    CheckStreams,
}

/// The result of a job.
pub(crate) enum JobOutcome {
    /// Of [`Job::RefreshUpstream`].
    Refreshed(UpstreamTokenRef, RefreshOutcome),
    /// Of [`Job::FetchProvider`]: the documents are there, or could not be fetched.
    ProviderFetched(ProviderId),
    /// Of [`Job::FetchKeys`]: the keys are there, or could not be fetched.
    KeysFetched(usize),
    /// Of [`Job::FetchSecrets`].
    SecretsFetched,
    /// Of [`Job::RecheckSession`].
    SessionRechecked,
    /// Of [`Job::ReadEnded`].
    EndedRead,
    /// Of [`Job::CheckStreams`].
    StreamsChecked(SessionId, Checked),
}

/// The jobs under way in one root context. They are polled only in the root's own callbacks.
#[derive(Default)]
pub(crate) struct Jobs(Vec<(Job, Task<JobOutcome>)>);

impl Jobs {
    /// Returns `true` if this job is under way.
    pub(crate) fn has(&self, job: Job) -> bool {
        self.0.iter().any(|(other, _)| *other == job)
    }

    /// Returns how many more jobs of this kind may start now.
    pub(crate) fn room(&self, job: Job) -> usize {
        job.limit().saturating_sub(self.0.iter().filter(|(other, _)| other.is_kind_of(job)).count())
    }

    /// Starts a job; returns its outcome if it needs no event. `inbox` is the one that the future's
    /// calls go through.
    pub(crate) fn start(
        &mut self,
        job: Job,
        inbox: Inbox,
        future: impl Future<Output = JobOutcome> + 'static,
    ) -> Option<JobOutcome> {
        match Task::start(inbox, future) {
            Polled::Ready(outcome) => Some(outcome),
            Polled::Pending(task) => {
                self.0.push((job, task));
                None
            }
        }
    }

    /// Delivers the answer to a call, which is read only if a job waits for it; returns the outcome
    /// of that job if it is done.
    pub(crate) fn on_call(
        &mut self,
        call: u32,
        reply: impl FnOnce() -> Result<CallReply, CallError>,
    ) -> Option<JobOutcome> {
        let index = self.0.iter().position(|(_, task)| task.waits_for(call))?;
        let outcome = self.0.get_mut(index).and_then(|(_, task)| task.on_call(call, reply()))?;
        self.0.swap_remove(index);
        Some(outcome)
    }

    /// Polls the jobs that wait for a tick; returns the outcomes of those that are done.
    pub(crate) fn on_tick(&mut self) -> Vec<JobOutcome> {
        let mut outcomes = Vec::new();
        self.0.retain_mut(|(_, task)| match task.on_tick() {
            Some(outcome) => {
                outcomes.push(outcome);
                false
            }
            None => true,
        });
        outcomes
    }
}

impl Job {
    /// The most jobs of this kind that are under way at once in one worker; more wait for the next
    /// tick.
    fn limit(self) -> usize {
        match self {
            Self::RefreshUpstream(_) => 256,
            Self::FetchSecrets | Self::ReadEnded => 1,
            Self::RecheckSession | Self::CheckStreams | Self::FetchProvider(_) | Self::FetchKeys(_) => 64,
        }
    }

    fn is_kind_of(self, other: Self) -> bool {
        std::mem::discriminant(&self) == std::mem::discriminant(&other)
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use portcullis_gateway::ports::TokenOwner;

    use super::*;

    fn idp() -> ProviderId {
        ProviderId::of("idp", "https://idp.example")
    }

    fn waiting(jobs: &mut Jobs, job: Job) {
        assert!(jobs.start(job, Inbox::ticking(), pending()).is_none());
    }

    #[test]
    fn a_job_that_needs_no_event_is_done_at_once() {
        let mut jobs = Jobs::default();
        let outcome =
            jobs.start(Job::FetchProvider(idp()), Inbox::ticking(), ready(JobOutcome::ProviderFetched(idp())));
        assert!(matches!(outcome, Some(JobOutcome::ProviderFetched(_))));
        assert!(!jobs.has(Job::FetchProvider(idp())));
    }

    #[test]
    fn each_kind_has_a_limit_of_its_own() {
        let mut jobs = Jobs::default();
        assert_eq!(jobs.room(Job::FetchSecrets), 1);
        waiting(&mut jobs, Job::FetchSecrets);
        assert_eq!(jobs.room(Job::FetchSecrets), 0);
        assert_eq!(jobs.room(Job::ReadEnded), 1);
        let token = |byte| UpstreamTokenRef { owner: TokenOwner::Session(SessionId::new([byte; 16])), provider: idp() };
        waiting(&mut jobs, Job::RefreshUpstream(token(7)));
        waiting(&mut jobs, Job::RecheckSession);
        assert_eq!(jobs.room(Job::RefreshUpstream(token(8))), 255);
        assert_eq!(jobs.room(Job::RecheckSession), 63);
        assert!(jobs.has(Job::RefreshUpstream(token(7))));
        assert!(!jobs.has(Job::RefreshUpstream(token(8))));
    }

    #[test]
    fn an_answer_goes_to_the_job_that_waits_for_it_and_to_no_other() {
        let mut jobs = Jobs::default();
        let calling = |id: u32, outcome: JobOutcome| {
            let inbox = Inbox::ticking();
            let caller = inbox.clone();
            let future = async move {
                let _ = caller.call(|| Ok(id)).await;
                outcome
            };
            (inbox, future)
        };
        let (inbox, future) = calling(1, JobOutcome::SessionRechecked);
        assert!(jobs.start(Job::RecheckSession, inbox, future).is_none());
        let (inbox, future) = calling(2, JobOutcome::ProviderFetched(idp()));
        assert!(jobs.start(Job::FetchProvider(idp()), inbox, future).is_none());
        assert!(jobs.on_call(3, || panic!("the answer is read")).is_none());
        assert!(matches!(jobs.on_call(2, || Err(CallError::NoAnswer)), Some(JobOutcome::ProviderFetched(_))));
        assert!(jobs.has(Job::RecheckSession) && !jobs.has(Job::FetchProvider(idp())));
    }

    #[test]
    fn a_tick_lets_those_go_on_that_wait_for_one() {
        let mut jobs = Jobs::default();
        let inbox = Inbox::ticking();
        let waiter = inbox.clone();
        let future = async move {
            waiter.next_tick().await;
            JobOutcome::SecretsFetched
        };
        assert!(jobs.start(Job::FetchSecrets, inbox, future).is_none());
        waiting(&mut jobs, Job::RecheckSession);
        assert!(matches!(jobs.on_tick().as_slice(), [JobOutcome::SecretsFetched]));
        assert!(jobs.has(Job::RecheckSession) && !jobs.has(Job::FetchSecrets));
    }
}
