//! The errors of a start.

use std::io;

/// Why the bridge could not start.
#[derive(Debug)]
pub enum StartError {
    /// The listener cannot be opened.
    Socket(io::Error),
    /// Another process listens on the socket.
    InUse,
    /// The socket's path is that of a file which is no socket.
    NoSocket,
    /// The listener for metrics cannot be opened.
    Metrics(io::Error),
    /// The TLS client for documents cannot be set up.
    Tls(rustls::Error),
    /// Redis cannot be used; only from the check.
    Redis(String),
}

impl StartError {
    /// Returns `true` if another process listens where the bridge would, which may be this bridge.
    #[must_use]
    pub fn is_in_use(&self) -> bool {
        match self {
            Self::InUse => true,
            Self::Socket(error) | Self::Metrics(error) => error.kind() == io::ErrorKind::AddrInUse,
            Self::NoSocket | Self::Tls(_) | Self::Redis(_) => false,
        }
    }
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Socket(error) => write!(f, "cannot listen on `listen`: {error}"),
            Self::InUse => f.write_str("another process listens on the socket of `listen.unix`"),
            Self::NoSocket => f.write_str("the path of `listen.unix` is that of a file which is no socket: remove it"),
            Self::Metrics(error) => write!(f, "cannot listen on `metrics.listen`: {error}"),
            Self::Tls(error) => write!(f, "cannot set up TLS for `fetch`: {error}"),
            Self::Redis(reason) => write!(f, "redis cannot be used: {reason}"),
        }
    }
}

impl std::error::Error for StartError {}
