//! The secrets that come from the bridge: who asks for them when, and what becomes of the answers.
//!
//! Nothing is asked while the configuration is loaded: that runs in VMs that never serve, too.
//! Every other VM asks on its ticks until it has the secrets once. From then on the root of each VM
//! that serves requests waits for changes. A VM that has served none, as the main thread's, lets
//! the secrets grow old, and asks anew as part of its first request.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use portcullis_gateway::audit::{Audit, Decision};
use portcullis_gateway::config::Config;
use portcullis_gateway::decision::Settled;
use portcullis_gateway::responses;
use portcullis_gateway::state::gateway::Gateway;
use portcullis_gateway::state::secrets_poll::{Outcome, Patience, SecretWatch};

use crate::host;
use crate::host::crypto::{HostCrypto, SelfCheckError};
use crate::service::ports::TaskCalls;
use crate::service::worker::Worker;

/// What is in service: a gateway, and how its keys sign.
#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) gateway: Rc<Gateway>,
    pub(crate) crypto: Rc<HostCrypto>,
}

impl Service {
    /// Puts a configuration in service.
    ///
    /// # Errors
    /// What the host does not do right with the configuration's keys.
    pub(crate) fn new(config: Config, seed: u64) -> Result<Self, SelfCheckError> {
        let crypto = HostCrypto::checked(&config.signing_keys)?;
        Ok(Self { gateway: Rc::new(Gateway::new(config, seed)), crypto: Rc::new(crypto) })
    }

    /// The id of the key that signs.
    fn kid(&self) -> &str {
        self.gateway.config().signing_keys.first().map_or("", |key| key.kid())
    }
}

/// What a worker has in service. Streams under way keep what they began with.
pub(crate) struct InService {
    service: RefCell<Option<Service>>,
    /// Where the secrets come from the bridge.
    watch: Option<SecretWatch>,
    /// Whether the secrets were asked for since this VM serves requests.
    followed: Cell<bool>,
    /// Keys the hash tables of each gateway.
    seed: u64,
}

impl InService {
    /// A gateway for good.
    ///
    /// # Errors
    /// As [`Service::new`].
    pub(crate) fn fixed(config: Config, seed: u64) -> Result<Self, SelfCheckError> {
        let service = Service::new(config, seed)?;
        log::info!("the configuration is in service; tokens are signed by {}", service.kid());
        Ok(Self { service: RefCell::new(Some(service)), watch: None, followed: Cell::new(true), seed })
    }

    /// A gateway as soon as its secrets have come.
    pub(crate) fn watched(watch: SecretWatch, seed: u64) -> Self {
        Self { service: RefCell::default(), watch: Some(watch), followed: Cell::new(false), seed }
    }

    /// What is in service.
    pub(crate) fn now(&self) -> Option<Service> {
        self.service.borrow().clone()
    }

    /// Whether a request is to ask for the secrets before it is decided.
    pub(crate) fn is_behind(&self) -> bool {
        let behind = !self.followed.get() || self.service.borrow().is_none();
        behind && self.watch.as_ref().is_some_and(|watch| watch.is_due(host::now_ms()))
    }

    /// Whether the root of a VM is to ask for the secrets; `serves` when the VM has served
    /// requests.
    pub(crate) fn is_to_follow(&self, serves: bool, now_ms: u64) -> bool {
        let wanted = serves || self.service.borrow().is_none();
        wanted && self.watch.as_ref().is_some_and(|watch| watch.is_due(now_ms))
    }
}

/// Asks for the secrets once, and puts in service what they make.
pub(crate) async fn ask(worker: Rc<Worker>, patience: Patience, calls: TaskCalls) {
    let Some(watch) = &worker.in_service.watch else { return };
    match watch.ask(&calls, &host::variable, patience).await {
        Outcome::Same => {}
        Outcome::Changed { config, revision } => match Service::new(*config, worker.in_service.seed) {
            Ok(service) => {
                worker.counters.count("secrets", "applied");
                log::info!("the secrets of the bridge are in service; tokens are signed by {}", service.kid());
                worker.in_service.service.replace(Some(service));
                watch.serves(revision);
            }
            Err(error) => {
                worker.counters.count("secrets", "refused");
                log::error!("the secrets of the bridge are not put in service: {error}");
            }
        },
        Outcome::Refused(problems) => {
            worker.counters.count("secrets", "refused");
            for problem in problems {
                log::error!("the secrets of the bridge are not put in service: {problem}");
            }
        }
        Outcome::Unavailable { trouble, new } => {
            worker.counters.count("secrets", "unavailable");
            if new {
                log::warn!("the secrets of the bridge did not come: {trouble}");
            }
        }
    }
    if worker.mailbox.is_listed() {
        worker.in_service.followed.set(true);
    }
}

/// The answer as long as there are no secrets: never a word about the client's credentials.
pub(crate) fn not_ready() -> Settled {
    let response = responses::try_later("the gateway is not ready yet; try again");
    Settled::Reply(response, Audit::new(Decision::Fail, "not_ready"))
}
