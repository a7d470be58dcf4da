//! The configuration in active, and the gateway that runs it. With secrets from the bridge it is
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
pub(crate) struct ActiveGateway {
    pub(crate) gateway: Rc<Gateway>,
    pub(crate) crypto: Rc<HostCrypto>,
}

impl ActiveGateway {
    /// Puts a configuration in active.
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

/// What a worker has in active. Streams under way keep what they began with.
pub(crate) struct ActiveConfig {
    gateway: RefCell<Option<ActiveGateway>>,
    /// Where the secrets come from the bridge.
    watch: Option<SecretWatch>,
    /// Whether the secrets were asked for since this VM serves requests.
    followed: Cell<bool>,
    /// Keys the hash tables of each gateway.
    seed: u64,
}

impl ActiveConfig {
    /// A gateway for good.
    ///
    /// # Errors
    /// As [`ActiveGateway::new`].
    pub(crate) fn fixed(config: Config, seed: u64) -> Result<Self, SelfCheckError> {
        let active = ActiveGateway::new(config, seed)?;
        log::info!("the configuration is in service; tokens are signed by {}", active.kid());
        Ok(Self { gateway: RefCell::new(Some(active)), watch: None, followed: Cell::new(true), seed })
    }

    /// A gateway as soon as its secrets have come.
    pub(crate) fn watched(watch: SecretWatch, seed: u64) -> Self {
        Self { gateway: RefCell::default(), watch: Some(watch), followed: Cell::new(false), seed }
    }

    /// What is in active.
    pub(crate) fn gateway(&self) -> Option<ActiveGateway> {
        self.gateway.borrow().clone()
    }

    /// Replaces what is in active.
    ///
    /// # Errors
    /// As [`ActiveGateway::new`]; what was in service stays.
    pub(crate) fn replace(&self, config: Config) -> Result<ActiveGateway, SelfCheckError> {
        let active = ActiveGateway::new(config, self.seed)?;
        self.gateway.replace(Some(active.clone()));
        Ok(active)
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
    pub(crate) fn needs_secrets(&self) -> bool {
        let behind = !self.followed.get() || self.gateway.borrow().is_none();
        behind && self.watch.as_ref().is_some_and(|watch| watch.is_due(host::now_ms()))
    }

    /// Whether the root of a VM is to ask for the secrets; `serves` when the VM has served
    /// requests.
    pub(crate) fn should_poll(&self, serves: bool, now_ms: u64) -> bool {
        let wanted = serves || self.gateway.borrow().is_none();
        wanted && self.watch.as_ref().is_some_and(|watch| watch.is_due(now_ms))
    }
}
