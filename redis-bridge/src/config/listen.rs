//! Where callers come in, and which records each may use.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use portcullis_storage_api::wire::Space;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::reader::Reader;

/// Where callers come in.
#[derive(Debug)]
pub enum Listen {
    /// At a Unix socket.
    Unix(UnixListen),
    /// At a TCP port, by TLS with a certificate of their own.
    Tcp(TcpListen),
}

/// A Unix socket and who may use it.
#[derive(Debug)]
pub struct UnixListen {
    /// The socket's path.
    pub path: PathBuf,
    /// The socket's file mode.
    pub mode: u32,
    /// The users that may connect.
    pub allowed_uids: Vec<u32>,
}

/// A TCP port and who may use it.
pub struct TcpListen {
    /// The address.
    pub address: SocketAddr,
    /// The bridge's certificate, and the authorities of the callers'; at least TLS 1.2, HTTP/2 or
    /// HTTP/1.1.
    pub tls: Arc<ServerConfig>,
    /// The names of which a caller's certificate must have one: DNS names in lower case, and URIs.
    pub allowed_names: Vec<String>,
}

impl fmt::Debug for TcpListen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, tls: _, allowed_names } = self;
        f.debug_struct("TcpListen")
            .field("address", address)
            .field("allowed_names", allowed_names)
            .finish_non_exhaustive()
    }
}

/// The identity of a caller, as far as the socket can know.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Caller {
    /// A user of this machine.
    Uid(u32),
    /// A DNS name (in lower case) or a URI in a certificate.
    Name(String),
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uid(uid) => write!(f, "uid {uid}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// The rights of a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Right {
    /// The spaces that it may use.
    pub spaces: Vec<Spaces>,
    /// Whether it may ask for secrets. They belong to no space, and open every record sealed with
    /// them.
    pub secrets: bool,
}

/// Some of the spaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spaces {
    /// `*`
    All,
    /// `namespace:*`
    Namespace(String),
    /// `namespace:name`
    One(Space),
}

impl Spaces {
    /// Whether a space is among them.
    #[must_use]
    pub fn contains(&self, space: &Space) -> bool {
        match self {
            Self::All => true,
            Self::Namespace(namespace) => namespace == space.namespace(),
            Self::One(one) => one == space,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::All);
        }
        match text.split_once(':')? {
            // The namespace has to be one, whatever the name is.
            (namespace, "*") => Space::new(namespace, "x").ok().map(|_| Self::Namespace(namespace.to_owned())),
            (namespace, name) => Space::new(namespace, name).ok().map(Self::One),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawListen {
    pub(super) unix: Option<String>,
    pub(super) mode: Option<String>,
    pub(super) allowed_uids: Option<Vec<u32>>,
    pub(super) tcp: Option<RawTcp>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawTcp {
    pub(super) address: String,
    pub(super) cert: String,
    pub(super) key: String,
    pub(super) client_ca: String,
    pub(super) allowed_names: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawCaller {
    pub(super) uid: Option<u32>,
    pub(super) name: Option<String>,
    pub(super) spaces: Vec<String>,
    #[serde(default)]
    pub(super) secrets: bool,
}

impl Reader<'_> {
    /// The callers come first: without a list of those that are let in, it is they.
    pub(super) fn listen(&mut self, raw: RawListen, callers: Option<&BTreeMap<Caller, Right>>) -> Option<Listen> {
        match (raw.unix, raw.tcp) {
            (Some(path), None) => {
                let own = || vec![0, rustix::process::geteuid().as_raw()];
                let named = callers.map(|callers| callers.keys().filter_map(Caller::uid).collect());
                let allowed_uids = raw.allowed_uids.or(named).unwrap_or_else(own);
                // The kernel's bound on a socket's name (unix(7)), with its final zero.
                if path.is_empty() || path.len() > 107 {
                    self.problem("listen.unix", "must be a path of 1 to 107 bytes");
                }
                let mode = raw.mode.as_deref().unwrap_or("0660");
                let mode = u32::from_str_radix(mode, 8).ok().filter(|mode| *mode <= 0o777);
                let mode = self.known(mode, "listen.mode", "not a file mode, like \"0660\"")?;
                Some(Listen::Unix(UnixListen { path: PathBuf::from(path), mode, allowed_uids }))
            }
            (None, Some(tcp)) => {
                for (path, given) in
                    [("listen.mode", raw.mode.is_some()), ("listen.allowedUids", raw.allowed_uids.is_some())]
                {
                    if given {
                        self.problem(path, "is for a Unix socket");
                    }
                }
                self.tcp(tcp).map(Listen::Tcp)
            }
            (Some(_), Some(_)) | (None, None) => {
                self.problem("listen", "needs exactly one of unix and tcp");
                None
            }
        }
    }

    fn tcp(&mut self, raw: RawTcp) -> Option<TcpListen> {
        const NAMES: &str = "listen.tcp.allowedNames";
        let address = self.known(raw.address.parse().ok(), "listen.tcp.address", "not an address and a port");
        if !(1..=256).contains(&raw.allowed_names.len()) {
            self.problem(NAMES, "must have 1 to 256 names");
        }
        let allowed_names: Vec<String> = raw.allowed_names.iter().filter_map(|name| self.name(name, NAMES)).collect();
        let cert = self.file(&raw.cert, "listen.tcp.cert");
        let key = self.file(&raw.key, "listen.tcp.key").map(Zeroizing::new);
        let client_ca = self.file(&raw.client_ca, "listen.tcp.clientCa");
        let roots = self.roots(&client_ca?);
        let chain: Option<Vec<_>> = CertificateDer::pem_slice_iter(&cert?).collect::<Result<_, _>>().ok();
        let chain = chain.filter(|chain| !chain.is_empty());
        let chain = self.known(chain, "listen.tcp.cert", "has no certificate in PEM");
        let key = PrivateKeyDer::from_pem_slice(&key?).ok();
        let key = self.known(key, "listen.tcp.key", "has no private key in PEM");
        let tls = self.server_config(roots?, chain?, key?)?;
        Some(TcpListen { address: address?, tls: Arc::new(tls), allowed_names })
    }

    fn roots(&mut self, pem: &[u8]) -> Option<RootCertStore> {
        let mut roots = RootCertStore::empty();
        let all_are_good = CertificateDer::pem_slice_iter(pem)
            .all(|certificate| certificate.is_ok_and(|certificate| roots.add(certificate).is_ok()));
        let found = Some(roots).filter(|roots| all_are_good && !roots.is_empty());
        self.known(found, "listen.tcp.clientCa", "has no certificate in PEM")
    }

    fn server_config(
        &mut self,
        roots: RootCertStore,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Option<ServerConfig> {
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build();
        let verifier = self.known(verifier.ok(), "listen.tcp.clientCa", "cannot be an authority")?;
        // Every version that the library has is new enough: 1.2 and 1.3.
        let versions = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()?;
        let made = versions.with_client_cert_verifier(verifier).with_single_cert(chain, key);
        let mut config = self.known(made.ok(), "listen.tcp.key", "does not belong to the certificate")?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // A resumed session would outlive its certificate.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Some(config)
    }

    pub(super) fn callers(&mut self, raw: &[RawCaller], listen: &RawListen) -> BTreeMap<Caller, Right> {
        if !(1..=256).contains(&raw.len()) {
            self.problem("callers", "must name 1 to 256 callers");
        }
        let mut callers = BTreeMap::new();
        for (index, raw) in raw.iter().enumerate() {
            let path = format!("callers[{index}]");
            let caller = match (raw.uid, &raw.name) {
                (Some(uid), None) => Some(Caller::Uid(uid)),
                (None, Some(name)) => self.name(name, &format!("{path}.name")).map(Caller::Name),
                (Some(_), Some(_)) | (None, None) => {
                    self.problem(&path, "needs exactly one of uid and name");
                    None
                }
            };
            let written = format!("{path}.spaces");
            if !(1..=64).contains(&raw.spaces.len()) {
                self.problem(&written, "must have 1 to 64 spaces");
            }
            let spaces = raw.spaces.iter().filter_map(|text| {
                let what = "not a space, like prod:gateway, prod:* or *";
                self.known(Spaces::parse(text), &written, what)
            });
            let spaces: Vec<Spaces> = spaces.collect();
            let Some(caller) = caller else { continue };
            if !is_let_in(&caller, listen) {
                self.problem(&path, "is a caller that `listen` does not let in");
            }
            if callers.insert(caller, Right { spaces, secrets: raw.secrets }).is_some() {
                self.problem(&path, "is named twice");
            }
        }
        callers
    }

    fn name(&mut self, text: &str, path: &str) -> Option<String> {
        let fits = (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'*');
        let name = if is_uri(text) { text.to_owned() } else { text.to_ascii_lowercase() };
        self.known(Some(name).filter(|_| fits), path, "not a DNS name or a URI, written out")
    }
}

impl Caller {
    fn uid(&self) -> Option<u32> {
        match self {
            Self::Uid(uid) => Some(*uid),
            Self::Name(_) => None,
        }
    }
}

/// No DNS name has a colon, and every URI has one (RFC 3986 section 3).
pub(crate) fn is_uri(name: &str) -> bool {
    name.contains(':')
}

fn is_let_in(caller: &Caller, listen: &RawListen) -> bool {
    match (caller, &listen.tcp) {
        (Caller::Uid(uid), None) => listen.allowed_uids.as_ref().is_none_or(|uids| uids.contains(uid)),
        (Caller::Name(name), Some(tcp)) => tcp
            .allowed_names
            .iter()
            .any(|allowed| if is_uri(name) { allowed == name } else { allowed.eq_ignore_ascii_case(name) }),
        (Caller::Uid(_), Some(_)) | (Caller::Name(_), None) => false,
    }
}

#[cfg(test)]
#[path = "listen_tests.rs"]
mod tests;
