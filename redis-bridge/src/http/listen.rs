//! The two listeners: a Unix socket, where the kernel names the caller, and mutual TLS, where its
//! certificate does.

use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use webpki::EndEntityCert;

use crate::config::{Caller, Listen, UnixListen, is_uri};
use crate::start_error::StartError;

/// The listener for callers.
pub(crate) enum Listener {
    /// A Unix socket.
    Unix(UnixSocket),
    /// A TCP port with mutual TLS.
    Tcp(TlsPort),
}

/// A Unix socket and its allowed users.
pub(crate) struct UnixSocket {
    listener: UnixListener,
    path: PathBuf,
    allowed: Vec<u32>,
}

/// A TCP port and the allowed names in certificates.
pub(crate) struct TlsPort {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    allowed: Arc<[String]>,
    /// Bounds the handshakes, so that strangers do not use up the connections of callers.
    handshakes: Arc<Semaphore>,
}

/// An accepted connection whose caller may not be identified yet.
pub(crate) enum Incoming {
    /// From the Unix socket, with its caller.
    Unix(UnixStream, Caller),
    /// From the TCP port, before the handshake.
    Tcp(Box<Handshake>),
}

/// A pending TLS handshake.
pub(crate) struct Handshake {
    stream: TcpStream,
    acceptor: TlsAcceptor,
    allowed: Arc<[String]>,
    _permit: tokio::sync::OwnedSemaphorePermit,
}

/// The two directions of a connection.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Why a connection was refused.
#[derive(Debug)]
pub(crate) enum AcceptError {
    /// The operating system failed to accept it.
    Io(io::Error),
    /// The user is not allowed, or the kernel does not name it.
    User(Option<u32>),
    /// Too many handshakes at once.
    TooManyHandshakes,
    /// The handshake failed: no TLS, no certificate, or one of another authority.
    Handshake(String),
    /// None of the certificate's names is allowed.
    Name(Vec<String>),
}

impl AcceptError {
    /// Returns the label in metrics.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Io(_) => "no descriptor",
            Self::User(_) => "foreign user",
            Self::TooManyHandshakes => "too many handshakes",
            Self::Handshake(_) => "handshake",
            Self::Name(_) => "foreign name",
        }
    }
}

impl std::fmt::Display for AcceptError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(error) => write!(f, "the connection cannot be accepted: {error}"),
            Self::User(Some(uid)) => {
                write!(f, "foreign user `{uid}` (add the uid to listen.allowedUids if it is a caller)")
            }
            Self::User(None) => f.write_str("foreign user, not named by the kernel"),
            Self::TooManyHandshakes => f.write_str("too many handshakes at once"),
            Self::Handshake(error) => write!(f, "the handshake failed: {error}"),
            Self::Name(names) => write!(f, "the certificate has no name of listen.tcp.allowedNames: {names:?}"),
        }
    }
}

impl Listener {
    /// Opens the configured listener.
    pub(crate) async fn bind(listen: &Listen) -> Result<Self, StartError> {
        match listen {
            Listen::Unix(unix) => {
                let (listener, path) = (bind(unix).await?, unix.path.clone());
                Ok(Self::Unix(UnixSocket { listener, path, allowed: unix.allowed_uids.clone() }))
            }
            Listen::Tcp(tcp) => Ok(Self::Tcp(TlsPort {
                listener: TcpListener::bind(tcp.address).await.map_err(StartError::Socket)?,
                acceptor: TlsAcceptor::from(Arc::clone(&tcp.tls)),
                allowed: tcp.allowed_names.as_slice().into(),
                handshakes: Arc::new(Semaphore::new(MAX_HANDSHAKES)),
            })),
        }
    }

    /// Accepts a connection.
    pub(crate) async fn accept(&self) -> Result<Incoming, AcceptError> {
        match self {
            Self::Unix(socket) => {
                let (stream, _) = socket.listener.accept().await.map_err(AcceptError::Io)?;
                // The kernel's record of the peer: no process can claim another's user.
                let uid = stream.peer_cred().ok().map(|peer| peer.uid());
                match uid.filter(|uid| socket.allowed.contains(uid)) {
                    Some(uid) => Ok(Incoming::Unix(stream, Caller::Uid(uid))),
                    None => Err(AcceptError::User(uid)),
                }
            }
            Self::Tcp(port) => {
                let (stream, _) = port.listener.accept().await.map_err(AcceptError::Io)?;
                let permit =
                    Arc::clone(&port.handshakes).try_acquire_owned().map_err(|_| AcceptError::TooManyHandshakes)?;
                let (acceptor, allowed) = (port.acceptor.clone(), Arc::clone(&port.allowed));
                Ok(Incoming::Tcp(Box::new(Handshake { stream, acceptor, allowed, _permit: permit })))
            }
        }
    }

    /// Stops accepting connections, and removes the socket.
    pub(crate) fn close(self) {
        match self {
            Self::Unix(socket) => {
                drop(socket.listener);
                // A failure leaves a file that the next start removes.
                let _ = std::fs::remove_file(&socket.path);
            }
            Self::Tcp(port) => drop(port),
        }
    }

    /// Returns the address for the log.
    pub(crate) fn address(&self) -> String {
        match self {
            Self::Unix(socket) => socket.path.display().to_string(),
            Self::Tcp(port) => port.listener.local_addr().map(|address| address.to_string()).unwrap_or_default(),
        }
    }
}

impl Incoming {
    /// Returns the stream, and all allowed names of the caller, at least one.
    pub(crate) async fn identify(self) -> Result<(Box<dyn Stream>, Vec<Caller>), AcceptError> {
        match self {
            Self::Unix(stream, caller) => Ok((Box::new(stream), vec![caller])),
            Self::Tcp(handshake) => handshake.complete().await,
        }
    }
}

impl Handshake {
    async fn complete(self: Box<Self>) -> Result<(Box<dyn Stream>, Vec<Caller>), AcceptError> {
        // Responses are small and awaited; a failure costs only latency.
        let _ = self.stream.set_nodelay(true);
        let stream = match timeout(HANDSHAKE_TIMEOUT, self.acceptor.accept(self.stream)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(AcceptError::Handshake(error.to_string())),
            Err(_) => return Err(AcceptError::Handshake("timed out".to_owned())),
        };
        let (_, session) = stream.get_ref();
        let names = session.peer_certificates().and_then(<[_]>::first).map(names).unwrap_or_default();
        let allowed: Vec<Caller> =
            names.iter().filter(|name| self.allowed.contains(name)).cloned().map(Caller::Name).collect();
        if allowed.is_empty() { Err(AcceptError::Name(names)) } else { Ok((Box::new(stream), allowed)) }
    }
}

/// Returns the subject alternative names of a certificate (RFC 5280 §4.2.1.6). The common name of
/// the subject does not count.
fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok(certificate) = EndEntityCert::try_from(certificate) else { return Vec::new() };
    let dns = certificate.valid_dns_names().filter(|name| !is_uri(name)).map(str::to_ascii_lowercase);
    let uris = certificate.valid_uri_names().filter(|name| is_uri(name)).map(str::to_owned);
    dns.chain(uris).take(MAX_NAMES).collect()
}

async fn bind(listen: &UnixListen) -> Result<UnixListener, StartError> {
    remove_leftover(&listen.path).await?;
    let listener = UnixListener::bind(&listen.path).map_err(StartError::Socket)?;
    let mode = std::fs::Permissions::from_mode(listen.mode);
    std::fs::set_permissions(&listen.path, mode).map_err(StartError::Socket)?;
    Ok(listener)
}

/// Removes the socket of a bridge that was killed. Any other file, or a socket with a listener, is
/// an error.
async fn remove_leftover(path: &Path) -> Result<(), StartError> {
    let Ok(found) = std::fs::symlink_metadata(path) else { return Ok(()) };
    if !found.file_type().is_socket() {
        return Err(StartError::NoSocket);
    }
    if UnixStream::connect(path).await.is_ok() {
        return Err(StartError::InUse);
    }
    std::fs::remove_file(path).map_err(StartError::Socket)
}

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(3);
const MAX_HANDSHAKES: usize = 64;
const MAX_NAMES: usize = 32;
