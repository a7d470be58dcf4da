//! The configuration in service, and the gateway that runs it. With secrets from the bridge it is
//! replaced while the worker serves.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use portcullis_gateway::config::Config;
use portcullis_gateway::state::gateway::Gateway;
use portcullis_gateway::state::secrets_poll::SecretWatch;

use crate::host;
use crate::host::crypto::{HostCrypto, SelfCheckError};

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
    pub(crate) fn kid(&self) -> &str {
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

    /// Replaces what is in service.
    ///
    /// # Errors
    /// As [`Service::new`]; what was in service stays.
    pub(crate) fn replace(&self, config: Config) -> Result<Service, SelfCheckError> {
        let service = Service::new(config, self.seed)?;
        self.service.replace(Some(service.clone()));
        Ok(service)
    }

    /// The secrets of the bridge that the configuration names, if any.
    pub(crate) fn watch(&self) -> Option<&SecretWatch> {
        self.watch.as_ref()
    }

    /// Notes that the secrets were fetched since this VM serves requests.
    pub(crate) fn mark_followed(&self) {
        self.followed.set(true);
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
