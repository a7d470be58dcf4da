//! The parts on the listener and on the rights of callers.

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

/// The listener for callers.
#[derive(Debug)]
pub enum Listen {
    /// A Unix socket.
    Unix(UnixListen),
    /// A TCP port with mutual TLS.
    Tcp(TcpListen),
}

/// A Unix socket and its allowed users.
#[derive(Debug)]
pub struct UnixListen {
    /// The socket's path.
    pub path: PathBuf,
    /// The socket's file mode.
    pub mode: u32,
    /// The uids that may connect.
    pub allowed_uids: Vec<u32>,
}

/// A TCP port and the allowed names in certificates.
pub struct TcpListen {
    /// The address.
    pub address: SocketAddr,
    /// The bridge's certificate, and the authorities of the callers' certificates; TLS 1.2 or
    /// later, HTTP/2 or HTTP/1.1.
    pub tls: Arc<ServerConfig>,
    /// The accepted subject alternative names: DNS names in lower case, and URIs.
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

/// The identity of a caller.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Caller {
    /// The uid of a local user.
    Uid(u32),
    /// A DNS name (in lower case) or a URI of a certificate.
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
    /// The spaces it may use.
    pub spaces: Vec<Spaces>,
    /// Whether it may read secrets. They belong to no space, and open every record sealed with
    /// them.
    pub secrets: bool,
}

/// A pattern of spaces.
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
    /// Returns `true` if the pattern matches a space.
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
            // Checks the namespace.
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
    /// Without `allowedUids`, the uids of `callers` may connect.
    pub(super) fn listen(&mut self, raw: RawListen, callers: Option<&BTreeMap<Caller, Right>>) -> Option<Listen> {
        match (raw.unix, raw.tcp) {
            (Some(path), None) => {
                let own = || vec![0, rustix::process::geteuid().as_raw()];
                let named = callers.map(|callers| callers.keys().filter_map(Caller::uid).collect());
                let allowed_uids = raw.allowed_uids.or(named).unwrap_or_else(own);
                // `sun_path` has 108 bytes with the final zero (unix(7)).
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
                        self.problem(path, "applies to a Unix socket only");
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
        let address = self.known(raw.address.parse().ok(), "listen.tcp.address", "not an IP address and a port");
        if !(1..=256).contains(&raw.allowed_names.len()) {
            self.problem(NAMES, "must have 1 to 256 entries");
        }
        let allowed_names: Vec<String> = raw.allowed_names.iter().filter_map(|name| self.name(name, NAMES)).collect();
        let cert = self.file(&raw.cert, "listen.tcp.cert");
        let key = self.file(&raw.key, "listen.tcp.key").map(Zeroizing::new);
        let client_ca = self.file(&raw.client_ca, "listen.tcp.clientCa");
        let roots = self.roots(&client_ca?);
        let chain: Option<Vec<_>> = CertificateDer::pem_slice_iter(&cert?).collect::<Result<_, _>>().ok();
        let chain = chain.filter(|chain| !chain.is_empty());
        let chain = self.known(chain, "listen.tcp.cert", "the file has no certificate in PEM");
        let key = PrivateKeyDer::from_pem_slice(&key?).ok();
        let key = self.known(key, "listen.tcp.key", "the file has no private key in PEM");
        let tls = self.server_config(roots?, chain?, key?)?;
        Some(TcpListen { address: address?, tls: Arc::new(tls), allowed_names })
    }

    fn roots(&mut self, pem: &[u8]) -> Option<RootCertStore> {
        let mut roots = RootCertStore::empty();
        let all_are_good = CertificateDer::pem_slice_iter(pem)
            .all(|certificate| certificate.is_ok_and(|certificate| roots.add(certificate).is_ok()));
        let found = Some(roots).filter(|roots| all_are_good && !roots.is_empty());
        self.known(found, "listen.tcp.clientCa", "the file has no certificate in PEM")
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
        let mut config = self.known(made.ok(), "listen.tcp.key", "does not match the certificate")?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // A resumed session would outlive its certificate.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Some(config)
    }

    pub(super) fn callers(&mut self, raw: &[RawCaller], listen: &RawListen) -> BTreeMap<Caller, Right> {
        if !(1..=256).contains(&raw.len()) {
            self.problem("callers", "must have 1 to 256 entries");
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
                self.problem(&written, "must have 1 to 64 entries");
            }
            let spaces = raw.spaces.iter().filter_map(|text| {
                let what = "not a space, like prod:gateway, prod:* or *";
                self.known(Spaces::parse(text), &written, what)
            });
            let spaces: Vec<Spaces> = spaces.collect();
            let Some(caller) = caller else { continue };
            if !may_connect(&caller, listen) {
                self.problem(&path, "may not connect: not among `listen.allowedUids` or `listen.tcp.allowedNames`");
            }
            if callers.insert(caller, Right { spaces, secrets: raw.secrets }).is_some() {
                self.problem(&path, "is listed twice");
            }
        }
        callers
    }

    fn name(&mut self, text: &str, path: &str) -> Option<String> {
        let fits = (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'*');
        let name = if is_uri(text) { text.to_owned() } else { text.to_ascii_lowercase() };
        self.known(Some(name).filter(|_| fits), path, "not a DNS name or a URI (wildcards are not supported)")
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

/// Returns `true` for a URI, which has a colon (RFC 3986 §3), unlike a DNS name.
pub(crate) fn is_uri(name: &str) -> bool {
    name.contains(':')
}

fn may_connect(caller: &Caller, listen: &RawListen) -> bool {
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
