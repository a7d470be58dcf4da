//! The errors of a start.

use std::io;

/// Why a bridge could not be started.
#[derive(Debug)]
pub enum StartError {
    /// The socket cannot be made.
    Socket(io::Error),
    /// Another process listens on the socket.
    InUse,
    /// The metrics' address cannot be listened on.
    Metrics(io::Error),
    /// TLS for fetched documents cannot be set up.
    Tls(rustls::Error),
    /// Redis cannot be used; only where it is asked for before serving.
    Redis(String),
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Socket(error) => write!(f, "the socket cannot be listened on: {error}"),
            Self::InUse => f.write_str("another process listens on the socket"),
            Self::Metrics(error) => write!(f, "the metrics' address cannot be listened on: {error}"),
            Self::Tls(error) => write!(f, "TLS cannot be set up: {error}"),
            Self::Redis(reason) => write!(f, "redis cannot be used: {reason}"),
        }
    }
}

impl std::error::Error for StartError {}
