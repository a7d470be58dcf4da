//! The context in which a handler decides a request.

use std::rc::Rc;

use portcullis_protocol::http::message::Request;
use portcullis_protocol::http::path::RoutePath;

use crate::config::Config;
use crate::ports::Ports;
use crate::state::gateway::Gateway;
use crate::store::records::Records;

/// One request, the gateway that decides it, and the ports to decide it with. Root jobs, which
/// belong to no request, are passed gateway and ports alone.
pub struct RequestContext<'a, P> {
    /// The gateway.
    pub gateway: &'a Rc<Gateway>,
    /// The request's head.
    pub request: &'a Request,
    /// Its target, parsed.
    pub path: &'a RoutePath<'a>,
    /// The effects that its handler may have.
    pub ports: &'a P,
}

impl<'a, P: Ports> RequestContext<'a, P> {
    /// The gateway's configuration.
    #[must_use]
    pub fn config(&self) -> &'a Config {
        self.gateway.config()
    }

    /// The gateway's records in the store.
    #[must_use]
    pub fn records(&self) -> Records<'a, P> {
        Records::new(&self.gateway.config().sealer, self.ports)
    }

    /// The time, in Unix seconds. In Envoy each call asks the host.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.ports.now()
    }
}
