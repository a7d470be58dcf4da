//! The part on Redis: servers, users and TLS.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use zeroize::Zeroizing;

use super::duration::duration;
use super::environment::RawReference;
use super::reader::Reader;

/// How Redis is reached.
#[derive(Debug)]
pub struct Redis {
    /// Where the master is, or who knows.
    pub place: Place,
    /// The database's number.
    pub db: u8,
    /// Who the bridge is to the master.
    pub user: User,
    /// Who the bridge is to the sentinels.
    pub sentinel_user: User,
    /// TLS to the master; `None` for plaintext.
    pub tls: Option<Tls>,
    /// TLS to the sentinels; `None` for plaintext.
    pub sentinel_tls: Option<Tls>,
    /// The longest a new connection may take.
    pub dial: Duration,
    /// The longest a command may take to be written and answered.
    pub answer: Duration,
}

impl Redis {
    /// Logs a warning for each kind of server whose certificate is not verified.
    pub fn warn_if_insecure(&self) {
        for (part, tls) in [("redis", &self.tls), ("redis sentinel", &self.sentinel_tls)] {
            if tls.as_ref().is_some_and(|tls| tls.insecure) {
                tracing::warn!(
                    part,
                    "INSECURE: insecureSkipVerify is on, any certificate is taken, and traffic can be intercepted"
                );
            }
        }
    }
}

/// Where the master is, or who knows.
#[derive(Debug, Clone)]
pub enum Place {
    /// Always here.
    Standalone(Endpoint),
    /// Where the sentinels say.
    Sentinel {
        /// The master's name among the sentinels.
        master_name: String,
        /// The sentinels; a name may stand for several.
        sentinels: Vec<Endpoint>,
    },
    /// Where the servers of a cluster say; these are asked first.
    Cluster(Vec<Endpoint>),
}

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// A name or an address.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// A user name and a password, either of which may be absent.
#[derive(Clone, Default)]
pub struct User {
    /// The ACL user; the default user when absent.
    pub name: Option<String>,
    /// The password.
    pub password: Option<Zeroizing<String>>,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let password = self.password.as_ref().map(|_| "…");
        f.debug_struct("User").field("name", &self.name).field("password", &password).finish()
    }
}

/// How a TLS server is known, and how the bridge is known to it.
#[derive(Clone)]
pub struct Tls {
    /// The authorities, in PEM; the system's when absent.
    pub ca: Option<Vec<u8>>,
    /// The bridge's certificate and key, in PEM.
    pub identity: Option<(Vec<u8>, Zeroizing<Vec<u8>>)>,
    /// Whether any certificate is taken.
    pub insecure: bool,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("insecure", &self.insecure).finish_non_exhaustive()
    }
}

/// The condition that a durable write waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DurabilityMode {
    /// For a replica, once one has been seen and WAIT is granted.
    #[default]
    Auto,
    /// For a replica; nothing is served before that is possible.
    Replicated,
    /// For the master alone.
    Async,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawRedis {
    pub(super) sentinel_config: Option<RawSentinel>,
    pub(super) addr: Option<String>,
    pub(super) cluster: Option<RawCluster>,
    pub(super) db: Option<u8>,
    #[serde(default)]
    pub(super) acl_user_config: RawUser,
    #[serde(default)]
    pub(super) sentinel_acl_user_config: RawUser,
    pub(super) tls: Option<RawTls>,
    pub(super) sentinel_tls: Option<RawTls>,
    #[serde(default)]
    pub(super) timeouts: RawTimeouts,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawCluster {
    pub(super) addrs: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawSentinel {
    pub(super) master_name: String,
    pub(super) sentinel_addrs: Option<Vec<String>>,
    pub(super) sentinel_service: Option<RawService>,
    pub(super) db: Option<u8>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawService {
    pub(super) name: String,
    pub(super) namespace: String,
    #[serde(default = "default_sentinel_port")]
    pub(super) port: u16,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawUser {
    pub(super) username: Option<RawReference>,
    pub(super) password: Option<RawReference>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawTls {
    pub(super) ca_cert: Option<String>,
    pub(super) client_cert: Option<String>,
    pub(super) client_key: Option<String>,
    #[serde(default)]
    pub(super) insecure_skip_verify: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct RawTimeouts {
    #[serde(deserialize_with = "duration")]
    pub(super) dial: Duration,
    #[serde(deserialize_with = "duration")]
    pub(super) read: Duration,
    #[serde(deserialize_with = "duration")]
    pub(super) write: Duration,
}

impl Default for RawTimeouts {
    fn default() -> Self {
        Self { dial: Duration::from_secs(5), read: Duration::from_secs(3), write: Duration::from_secs(3) }
    }
}

impl Reader<'_> {
    pub(super) fn redis(&mut self, raw: RawRedis) -> Option<Redis> {
        let sentinel_db = raw.sentinel_config.as_ref().and_then(|sentinel| sentinel.db);
        if raw.db.is_some() && sentinel_db.is_some() {
            self.problem("redis.db", "is also given in redis.sentinelConfig.db");
        }
        if raw.cluster.is_some() && raw.db.is_some_and(|db| db != 0) {
            self.problem("redis.db", "a cluster has only database 0");
        }
        let place = match (raw.sentinel_config, raw.addr, raw.cluster) {
            (Some(sentinel), None, None) => self.sentinel(sentinel),
            (None, Some(addr), None) => self.endpoint(&addr, "redis.addr", 6_379).map(Place::Standalone),
            (None, None, Some(cluster)) => self.cluster(&cluster),
            _ => {
                self.problem("redis", "needs exactly one of sentinelConfig, addr and cluster");
                None
            }
        };
        let user = self.user(&raw.acl_user_config, "redis.aclUserConfig");
        let sentinel_user = self.user(&raw.sentinel_acl_user_config, "redis.sentinelAclUserConfig");
        let tls = raw.tls.and_then(|tls| self.tls(&tls, "redis.tls"));
        // Absent means the same as for the master: an operator who turned TLS on does not expect
        // plaintext to the sentinels.
        let sentinel_tls = match raw.sentinel_tls {
            Some(own) => self.tls(&own, "redis.sentinelTls"),
            None => tls.clone(),
        };
        Some(Redis {
            place: place?,
            db: raw.db.or(sentinel_db).unwrap_or(0),
            user,
            sentinel_user,
            tls,
            sentinel_tls,
            dial: raw.timeouts.dial,
            answer: raw.timeouts.read.max(raw.timeouts.write),
        })
    }

    pub(super) fn sentinel(&mut self, raw: RawSentinel) -> Option<Place> {
        const ADDRS: &str = "redis.sentinelConfig.sentinelAddrs";
        if raw.master_name.is_empty() || raw.master_name.bytes().any(|byte| !byte.is_ascii_graphic()) {
            self.problem("redis.sentinelConfig.masterName", "must be a word");
        }
        let sentinels = match (raw.sentinel_addrs, raw.sentinel_service) {
            (Some(addrs), None) if (1..=16).contains(&addrs.len()) => {
                addrs.iter().filter_map(|addr| self.endpoint(addr, ADDRS, 26_379)).collect()
            }
            (Some(_), None) => {
                self.problem(ADDRS, "must name 1 to 16 sentinels");
                return None;
            }
            (None, Some(service)) => {
                vec![Endpoint { host: format!("{}.{}.svc", service.name, service.namespace), port: service.port }]
            }
            (Some(_), Some(_)) | (None, None) => {
                self.problem("redis.sentinelConfig", "needs exactly one of sentinelAddrs and sentinelService");
                return None;
            }
        };
        Some(Place::Sentinel { master_name: raw.master_name, sentinels })
    }

    pub(super) fn cluster(&mut self, raw: &RawCluster) -> Option<Place> {
        const ADDRS: &str = "redis.cluster.addrs";
        if !(1..=16).contains(&raw.addrs.len()) {
            self.problem(ADDRS, "must name 1 to 16 servers");
            return None;
        }
        Some(Place::Cluster(raw.addrs.iter().filter_map(|addr| self.endpoint(addr, ADDRS, 6_379)).collect()))
    }

    pub(super) fn endpoint(&mut self, text: &str, path: &str, default_port: u16) -> Option<Endpoint> {
        let parsed = parse_endpoint(text, default_port);
        self.known(parsed, path, "not a host and a port, like redis:6379")
    }

    pub(super) fn user(&mut self, raw: &RawUser, path: &str) -> User {
        let name = raw.username.as_ref().and_then(|name| self.secret(name, &format!("{path}.username")));
        let password = raw.password.as_ref().and_then(|password| self.secret(password, &format!("{path}.password")));
        if raw.username.is_some() && raw.password.is_none() {
            self.problem(&format!("{path}.password"), "is missing");
        }
        User { name, password: password.map(Zeroizing::new) }
    }

    pub(super) fn tls(&mut self, raw: &RawTls, path: &str) -> Option<Tls> {
        let ca = raw.ca_cert.as_ref().map(|file| self.file(file, &format!("{path}.caCert")));
        let identity = match (&raw.client_cert, &raw.client_key) {
            (Some(cert), Some(key)) => {
                let cert = self.file(cert, &format!("{path}.clientCert"));
                let key = self.file(key, &format!("{path}.clientKey"));
                Some((cert?, Zeroizing::new(key?)))
            }
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => {
                self.problem(path, "needs both of clientCert and clientKey, or neither");
                None
            }
        };
        Some(Tls { ca: ca.flatten(), identity, insecure: raw.insecure_skip_verify })
    }
}

fn parse_endpoint(text: &str, default_port: u16) -> Option<Endpoint> {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, default_port),
        Some((host, rest)) => (host, rest.strip_prefix(':')?.parse().ok()?),
        None => match text.split_once(':') {
            Some((host, port)) => (host, port.parse().ok()?),
            None => (text, default_port),
        },
    };
    // A name or an address, and nothing of a URL: what stands before an @ is not for the log.
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:%".contains(&byte);
    let fits = (1..=253).contains(&host.len()) && host.bytes().all(allowed) && port != 0;
    fits.then(|| Endpoint { host: host.to_owned(), port })
}

fn default_sentinel_port() -> u16 {
    26_379
}
