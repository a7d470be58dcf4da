//! Fetches the secrets that come from the bridge.
//!
//! Nothing is fetched while the configuration is loaded: that runs in VMs that never serve, too.
//! Every other VM polls on its ticks until it has the secrets once. From then on the root of each
//! VM that serves requests waits for changes. A VM that has served none, as the main thread's, lets
//! the secrets grow old, and fetches them again as part of its first request.

use std::rc::Rc;

use log::Level;
use portcullis_gateway::audit::{Audit, Reason};
use portcullis_gateway::decision::Resolved;
use portcullis_gateway::responses;
use portcullis_gateway::state::secrets_poll::{PollMode, PollOutcome};

use crate::host::{self, TaskCalls};
use crate::service::worker::Worker;

/// Fetches the secrets once, and puts the configuration that they complete in service.
pub(crate) async fn fetch(worker: Rc<Worker>, mode: PollMode, calls: TaskCalls) {
    let Some(watch) = worker.config.watch() else { return };
    match watch.ask(&calls, &host::variable, mode).await {
        PollOutcome::Same => {}
        PollOutcome::Changed { config, revision } => match worker.config.replace(*config) {
            Ok(active) => {
                worker.counters.count("secrets", "applied");
                log::info!("the secrets of the bridge are in service; tokens are signed by {}", active.kid());
                watch.serves(revision);
            }
            Err(error) => {
                worker.counters.count("secrets", "refused");
                refused(&worker, &[error.to_string()]);
            }
        },
        PollOutcome::Refused(problems) => {
            worker.counters.count("secrets", "refused");
            refused(&worker, &problems.iter().map(ToString::to_string).collect::<Vec<_>>());
        }
        PollOutcome::Unavailable { error, new } => {
            worker.counters.count("secrets", "unavailable");
            if new {
                let line = format!("the secrets of the bridge could not be fetched: {error}");
                worker.log_lines.write(Level::Warn, line);
            }
        }
    }
    if worker.queue.is_registered() {
        worker.config.mark_followed();
    }
}

fn refused(worker: &Worker, problems: &[String]) {
    for problem in problems {
        worker.log_lines.write(Level::Error, format!("the secrets of the bridge are not put in service: {problem}"));
    }
}

/// Returns the response while there are no secrets. It says nothing about the client's credentials.
pub(crate) fn not_ready() -> Resolved {
    let response = responses::try_later("the gateway is not ready yet; try again");
    Resolved::Respond(response, Audit::new(Reason::NotReady))
}
