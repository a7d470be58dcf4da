//! The bending provider of the testkit on a socket: one loopback port, whose mode can be changed
//! while it runs.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use portcullis_testkit::bending_provider::{BendingProvider, Mode, mode};

use crate::loopback_server::{LoopbackServer, url};

/// A provider that runs until it is dropped.
pub struct BendingServer {
    server: LoopbackServer,
    mode: Arc<Mutex<&'static Mode>>,
}

impl BendingServer {
    /// Starts one that knows this client, and bends nothing yet.
    ///
    /// # Errors
    /// When no loopback port can be had.
    pub fn start(client_id: &str, client_secret: &str) -> io::Result<Self> {
        let plain = mode("as the RFCs write it").ok_or_else(|| io::Error::other("the table has no plain mode"))?;
        let mode = Arc::new(Mutex::new(plain));
        let current = Arc::clone(&mode);
        let server = LoopbackServer::start(|port| {
            let provider = BendingProvider::new(&url(port), client_id, client_secret);
            move |request: &_| {
                let mode = *current.lock().unwrap_or_else(PoisonError::into_inner);
                let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
                Some(provider.answer(mode, request, now))
            }
        })?;
        Ok(Self { server, mode })
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// Its issuer.
    #[must_use]
    pub fn issuer(&self) -> String {
        self.server.url()
    }

    /// Bends its answers in this way from now on.
    ///
    /// # Panics
    /// When the table has no such mode.
    pub fn bend(&self, name: &str) {
        let mode = mode(name).unwrap_or_else(|| panic!("no mode {name:?}"));
        *self.mode.lock().unwrap_or_else(PoisonError::into_inner) = mode;
    }
}
