//! The active configuration, and the gateway that runs it. With secrets from the bridge both are
//! replaced while the worker serves.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use portcullis_gateway::config::Config;
use portcullis_gateway::state::gateway::Gateway;
use portcullis_gateway::state::secrets_poll::SecretsPoll;

use crate::host;
use crate::host::crypto::{HostCrypto, SelfCheckError};

/// A gateway with the host functions that sign with its keys.
#[derive(Clone)]
pub(crate) struct ActiveGateway {
    pub(crate) gateway: Rc<Gateway>,
    pub(crate) crypto: Rc<HostCrypto>,
}

impl ActiveGateway {
    /// Makes the gateway of a configuration.
    ///
    /// # Errors
    /// [`SelfCheckError`]: the host does not sign or verify as it must.
    pub(crate) fn new(config: Config, seed: u64) -> Result<Self, SelfCheckError> {
        let crypto = HostCrypto::checked(config.keys())?;
        Ok(Self { gateway: Rc::new(Gateway::new(config, seed)), crypto: Rc::new(crypto) })
    }

    /// Returns the id of the key that signs.
    pub(crate) fn kid(&self) -> &str {
        self.gateway.config().signing_keys.first().map_or("", |key| key.kid())
    }
}

/// The active configuration of a worker. Requests in progress keep the gateway that they began
/// with.
pub(crate) struct ActiveConfig {
    gateway: RefCell<Option<ActiveGateway>>,
    /// `Some` if the configuration names secrets of the bridge.
    watch: Option<SecretsPoll>,
    /// Whether the secrets were fetched since this VM serves requests.
    followed: Cell<bool>,
    /// Keys the hash tables of each gateway.
    seed: u64,
}

impl ActiveConfig {
    /// A configuration with all its secrets.
    ///
    /// # Errors
    /// As [`ActiveGateway::new`].
    pub(crate) fn fixed(config: Config, seed: u64) -> Result<Self, SelfCheckError> {
        let active = ActiveGateway::new(config, seed)?;
        match active.gateway.config().is_server {
            true => log::info!("the configuration is in service; tokens are signed by {}", active.kid()),
            false => log::info!("the configuration is in service; tokens of trusted issuers are accepted"),
        }
        Ok(Self { gateway: RefCell::new(Some(active)), watch: None, followed: Cell::new(true), seed })
    }

    /// A configuration that is active as soon as its secrets have been fetched.
    pub(crate) fn watched(watch: SecretsPoll, seed: u64) -> Self {
        Self { gateway: RefCell::default(), watch: Some(watch), followed: Cell::new(false), seed }
    }

    /// Returns the active gateway; `None` before the first secrets have been fetched.
    pub(crate) fn gateway(&self) -> Option<ActiveGateway> {
        self.gateway.borrow().clone()
    }

    /// Replaces the active gateway.
    ///
    /// # Errors
    /// As [`ActiveGateway::new`]; the gateway before stays active.
    pub(crate) fn replace(&self, config: Config) -> Result<ActiveGateway, SelfCheckError> {
        let active = ActiveGateway::new(config, self.seed)?;
        self.gateway.replace(Some(active.clone()));
        Ok(active)
    }

    /// Returns the poll of the bridge's secrets, if the configuration names any.
    pub(crate) fn watch(&self) -> Option<&SecretsPoll> {
        self.watch.as_ref()
    }

    /// Notes that the secrets were fetched since this VM serves requests.
    pub(crate) fn mark_followed(&self) {
        self.followed.set(true);
    }

    /// Returns `true` if a request must fetch the secrets before it is decided.
    pub(crate) fn needs_secrets(&self) -> bool {
        let behind = !self.followed.get() || self.gateway.borrow().is_none();
        behind && self.watch.as_ref().is_some_and(|watch| watch.is_due(host::now_ms()))
    }

    /// Returns `true` if the root must fetch the secrets now; `serves` if this VM has served
    /// requests.
    pub(crate) fn should_poll(&self, serves: bool, now_ms: u64) -> bool {
        let wanted = serves || self.gateway.borrow().is_none();
        wanted && self.watch.as_ref().is_some_and(|watch| watch.is_due(now_ms))
    }
}
