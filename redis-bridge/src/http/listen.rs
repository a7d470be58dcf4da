//! The two doors: a Unix socket, where the kernel says who comes, and TLS, where a certificate
//! does.

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

/// Where callers come in.
pub(crate) enum Listener {
    /// At a Unix socket.
    Unix(UnixDoor),
    /// By TLS.
    Tcp(TcpDoor),
}

/// A Unix socket, and the users that it is for.
pub(crate) struct UnixDoor {
    listener: UnixListener,
    path: PathBuf,
    allowed: Vec<u32>,
}

/// A TCP port, and the names in certificates that it is for.
pub(crate) struct TcpDoor {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    allowed: Arc<[String]>,
    /// Strangers must not use up the places of callers: their handshakes have places of their own.
    handshakes: Arc<Semaphore>,
}

/// An accepted connection whose caller may still have to identify itself.
pub(crate) enum Visitor {
    /// At the Unix socket: known.
    Unix(UnixStream, Caller),
    /// At the TCP port: not known before the handshake.
    Tcp(Box<Handshake>),
}

/// A handshake that has yet to be done.
pub(crate) struct Handshake {
    stream: TcpStream,
    acceptor: TlsAcceptor,
    allowed: Arc<[String]>,
    _place: tokio::sync::OwnedSemaphorePermit,
}

/// The two directions of a connection.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Why a connection was refused.
#[derive(Debug)]
pub(crate) enum Unwelcome {
    /// The operating system could not give the connection.
    Unable(io::Error),
    /// A user that is not allowed, or that the kernel does not name.
    User(Option<u32>),
    /// Too many handshakes at once.
    Crowd,
    /// The handshake failed: no TLS, no certificate, or not one of the authorities'.
    Handshake(String),
    /// None of the certificate's names is allowed.
    Name(Vec<String>),
}

impl Unwelcome {
    /// Its word in metrics.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Unable(_) => "no descriptor",
            Self::User(_) => "foreign user",
            Self::Crowd => "too many handshakes",
            Self::Handshake(_) => "handshake",
            Self::Name(_) => "foreign name",
        }
    }
}

impl std::fmt::Display for Unwelcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unable(error) => write!(f, "the connection cannot be taken: {error}"),
            Self::User(Some(uid)) => write!(f, "a foreign user, uid {uid}"),
            Self::User(None) => f.write_str("a foreign user, not known to the kernel"),
            Self::Crowd => f.write_str("too many handshakes at once"),
            Self::Handshake(error) => write!(f, "the handshake failed: {error}"),
            Self::Name(names) => write!(f, "a certificate with no allowed name: {names:?}"),
        }
    }
}

impl Listener {
    /// Opens the door that the configuration names.
    pub(crate) async fn bind(listen: &Listen) -> Result<Self, StartError> {
        match listen {
            Listen::Unix(unix) => {
                let (listener, path) = (bind(unix).await?, unix.path.clone());
                Ok(Self::Unix(UnixDoor { listener, path, allowed: unix.allowed_uids.clone() }))
            }
            Listen::Tcp(tcp) => Ok(Self::Tcp(TcpDoor {
                listener: TcpListener::bind(tcp.address).await.map_err(StartError::Socket)?,
                acceptor: TlsAcceptor::from(Arc::clone(&tcp.tls)),
                allowed: tcp.allowed_names.as_slice().into(),
                handshakes: Arc::new(Semaphore::new(HANDSHAKES)),
            })),
        }
    }

    /// Waits for a connection.
    pub(crate) async fn accept(&self) -> Result<Visitor, Unwelcome> {
        match self {
            Self::Unix(door) => {
                let (stream, _) = door.listener.accept().await.map_err(Unwelcome::Unable)?;
                // The peer's user, as the kernel knows it: no process can claim another's.
                let uid = stream.peer_cred().ok().map(|peer| peer.uid());
                match uid.filter(|uid| door.allowed.contains(uid)) {
                    Some(uid) => Ok(Visitor::Unix(stream, Caller::Uid(uid))),
                    None => Err(Unwelcome::User(uid)),
                }
            }
            Self::Tcp(door) => {
                let (stream, _) = door.listener.accept().await.map_err(Unwelcome::Unable)?;
                let place = Arc::clone(&door.handshakes).try_acquire_owned().map_err(|_| Unwelcome::Crowd)?;
                let (acceptor, allowed) = (door.acceptor.clone(), Arc::clone(&door.allowed));
                Ok(Visitor::Tcp(Box::new(Handshake { stream, acceptor, allowed, _place: place })))
            }
        }
    }

    /// Accepts no more connections.
    pub(crate) fn close(self) {
        match self {
            Self::Unix(door) => {
                drop(door.listener);
                // The file is ours alone since it was bound; a failure leaves one that the next
                // start removes.
                let _ = std::fs::remove_file(&door.path);
            }
            Self::Tcp(door) => drop(door),
        }
    }

    /// Its address, for the log.
    pub(crate) fn address(&self) -> String {
        match self {
            Self::Unix(door) => door.path.display().to_string(),
            Self::Tcp(door) => door.listener.local_addr().map(|address| address.to_string()).unwrap_or_default(),
        }
    }
}

impl Visitor {
    /// Finds out who it is: all its names that are allowed, one at least.
    pub(crate) async fn known(self) -> Result<(Box<dyn Stream>, Vec<Caller>), Unwelcome> {
        match self {
            Self::Unix(stream, caller) => Ok((Box::new(stream), vec![caller])),
            Self::Tcp(handshake) => handshake.done().await,
        }
    }
}

impl Handshake {
    async fn done(self: Box<Self>) -> Result<(Box<dyn Stream>, Vec<Caller>), Unwelcome> {
        // Answers are small and awaited; only speed is lost where this cannot be set.
        let _ = self.stream.set_nodelay(true);
        let stream = match timeout(HANDSHAKE, self.acceptor.accept(self.stream)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(Unwelcome::Handshake(error.to_string())),
            Err(_) => return Err(Unwelcome::Handshake("it took too long".to_owned())),
        };
        let (_, session) = stream.get_ref();
        let names = session.peer_certificates().and_then(<[_]>::first).map(names).unwrap_or_default();
        let known: Vec<Caller> =
            names.iter().filter(|name| self.allowed.contains(name)).cloned().map(Caller::Name).collect();
        if known.is_empty() { Err(Unwelcome::Name(names)) } else { Ok((Box::new(stream), known)) }
    }
}

/// The names that an authority has put into a certificate (RFC 5280 section 4.2.1.6). The subject's
/// common name is none.
fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok(certificate) = EndEntityCert::try_from(certificate) else { return Vec::new() };
    let dns = certificate.valid_dns_names().filter(|name| !is_uri(name)).map(str::to_ascii_lowercase);
    let uris = certificate.valid_uri_names().filter(|name| is_uri(name)).map(str::to_owned);
    dns.chain(uris).take(NAMES).collect()
}

async fn bind(listen: &UnixListen) -> Result<UnixListener, StartError> {
    remove_leftover(&listen.path).await?;
    let listener = UnixListener::bind(&listen.path).map_err(StartError::Socket)?;
    let mode = std::fs::Permissions::from_mode(listen.mode);
    std::fs::set_permissions(&listen.path, mode).map_err(StartError::Socket)?;
    Ok(listener)
}

/// A socket without a listener is what a killed bridge leaves; anything else is not ours to
/// remove.
async fn remove_leftover(path: &Path) -> Result<(), StartError> {
    let Ok(found) = std::fs::symlink_metadata(path) else { return Ok(()) };
    if !found.file_type().is_socket() || UnixStream::connect(path).await.is_ok() {
        return Err(StartError::InUse);
    }
    std::fs::remove_file(path).map_err(StartError::Socket)
}

const HANDSHAKE: Duration = Duration::from_secs(3);
const HANDSHAKES: usize = 64;
const NAMES: usize = 32;
