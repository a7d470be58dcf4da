//! The log on standard error: warnings, as text on a terminal and as JSON elsewhere. `RUST_LOG`
//! sets what is logged.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;

/// Starts it; once in a process.
pub(crate) fn start() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(false);
    if io::stderr().is_terminal() {
        log.init();
    } else {
        log.json().flatten_event(true).init();
    }
}
