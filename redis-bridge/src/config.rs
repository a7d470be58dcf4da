//! The configuration: what is written, checked as a whole, every fault of it named.

pub mod admin;
mod fetch;
mod listen;
mod raw;
mod secrets;
mod tree;

pub use fetch::{Domains, Fetch, Network};

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use zeroize::Zeroizing;

pub(crate) use listen::is_uri;
pub use listen::{Caller, Listen, Right, Spaces, TcpListen, UnixListen};
use raw::{Raw, RawCluster, RawRedis, RawReference, RawSentinel, RawTls, RawUser};
use tree::Node;

/// A configuration that can be served.
#[derive(Debug)]
pub struct Config {
    /// Where callers come in.
    pub listen: Listen,
    /// What each caller may do; everybody who is let in may do everything where this is absent.
    pub callers: Option<BTreeMap<Caller, Right>>,
    /// What every stored name begins with; ends with a colon.
    pub key_prefix: String,
    /// Where the records are.
    pub redis: Redis,
    /// What a durable write waits for.
    pub durability: DurabilityMode,
    /// Where the metrics are served, if anywhere.
    pub metrics: Option<SocketAddr>,
    /// The folder whose files are served as secrets, if any are.
    pub secrets_dir: Option<PathBuf>,
    /// How documents are fetched, if any are.
    pub fetch: Option<Fetch>,
    /// How much is taken on.
    pub limits: Limits,
}

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
                    "INSECURE: insecureSkipVerify is on, any certificate is taken, anybody can listen in"
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

/// What a durable write waits for.
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

/// How much is taken on.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The most connections at once.
    pub connections: usize,
    /// The most operations at once.
    pub in_flight: usize,
    /// The most operations that wait for their turn.
    pub queue: usize,
    /// The longest an operation may take.
    pub deadline: Duration,
    /// The longest the operations under way are waited for at the end.
    pub drain: Duration,
    /// The longest a connection may be without a request: also the longest that a request's head
    /// may take.
    pub idle: Duration,
}

/// One fault of a configuration. It repeats nothing of what is written there, which may be a secret
/// in a wrong place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where, as a path of field names that the configuration has; a place in the file where there
    /// is no such path.
    pub path: String,
    /// What is expected there.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.what)
    }
}

impl Config {
    /// Reads a configuration: the text of the file, and the environment with overrides and secrets.
    /// Files named in it (certificates) are read too.
    ///
    /// # Errors
    /// Every [`Problem`] found.
    pub fn read(text: &str, environment: &BTreeMap<String, String>) -> Result<Self, Vec<Problem>> {
        let (raw, mut reader) = parse(text, environment)?;
        let config = reader.config(raw);
        match config {
            Some(config) if reader.problems.is_empty() => Ok(config),
            Some(_) | None => Err(reader.problems),
        }
    }
}

/// Reads what is written, and notes what is unknown.
fn parse<'a>(text: &str, environment: &'a BTreeMap<String, String>) -> Result<(Raw, Reader<'a>), Vec<Problem>> {
    let mut file = Node::of_file(text).map_err(|problem| vec![problem])?;
    raw::lay_over(&mut file, environment);
    match file.read() {
        (Some(raw), problems) => Ok((raw, Reader { environment, problems })),
        (None, problems) => Err(problems),
    }
}

/// Turns what is written into what is meant, and keeps what is wrong.
struct Reader<'a> {
    environment: &'a BTreeMap<String, String>,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn config(&mut self, raw: Raw) -> Option<Config> {
        let callers = raw.callers.map(|callers| self.callers(&callers, &raw.listen));
        let listen = self.listen(raw.listen, callers.as_ref());
        let key_prefix = self.prefix(raw.key_prefix);
        let redis = self.redis(raw.redis);
        let metrics = raw.metrics.and_then(|metrics| {
            let parsed = metrics.listen.parse().ok();
            self.known(parsed, "metrics.listen", "not an address and a port, like 127.0.0.1:9464")
        });
        let secrets_dir = raw.secrets_dir.and_then(|folder| self.secrets_dir(folder));
        let fetch = raw.fetch.and_then(|fetch| self.fetch(fetch));
        let limits = raw.limits;
        for (path, value, most) in [
            ("limits.connections", limits.connections, 65_536),
            ("limits.inFlight", limits.in_flight, 65_536),
            ("limits.queue", limits.queue, 65_536),
        ] {
            if value == 0 || value > most {
                self.problem(path, format!("must be from 1 to {most}"));
            }
        }
        Some(Config {
            listen: listen?,
            callers,
            key_prefix: key_prefix?,
            redis: redis?,
            durability: raw.durability,
            metrics,
            secrets_dir,
            fetch,
            limits: Limits {
                connections: limits.connections,
                in_flight: limits.in_flight,
                queue: limits.queue,
                deadline: limits.deadline,
                drain: limits.drain,
                idle: limits.idle,
            },
        })
    }

    /// With or without the colon at its end; nothing in it can be read as a pattern or a hash tag.
    fn prefix(&mut self, raw: String) -> Option<String> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.".contains(&byte);
        let fits = (1..=64).contains(&raw.len()) && raw.bytes().all(allowed);
        let prefix = fits.then(|| format!("{}:", raw.trim_end_matches(':'))).filter(|prefix| prefix.len() > 1);
        self.known(prefix, "keyPrefix", "must be 1 to 64 letters of a-z A-Z 0-9 : - _ .")
    }

    fn redis(&mut self, raw: RawRedis) -> Option<Redis> {
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
        // Absent means the same as for the master: nobody who turned TLS on wants to ask the
        // sentinels in plaintext.
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

    fn sentinel(&mut self, raw: RawSentinel) -> Option<Place> {
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

    fn cluster(&mut self, raw: &RawCluster) -> Option<Place> {
        const ADDRS: &str = "redis.cluster.addrs";
        if !(1..=16).contains(&raw.addrs.len()) {
            self.problem(ADDRS, "must name 1 to 16 servers");
            return None;
        }
        Some(Place::Cluster(raw.addrs.iter().filter_map(|addr| self.endpoint(addr, ADDRS, 6_379)).collect()))
    }

    fn endpoint(&mut self, text: &str, path: &str, default_port: u16) -> Option<Endpoint> {
        let parsed = parse_endpoint(text, default_port);
        self.known(parsed, path, "not a host and a port, like redis:6379")
    }

    fn user(&mut self, raw: &RawUser, path: &str) -> User {
        let name = raw.username.as_ref().and_then(|name| self.secret(name, &format!("{path}.username")));
        let password = raw.password.as_ref().and_then(|password| self.secret(password, &format!("{path}.password")));
        if raw.username.is_some() && raw.password.is_none() {
            self.problem(&format!("{path}.password"), "is missing");
        }
        User { name, password: password.map(Zeroizing::new) }
    }

    fn secret(&mut self, reference: &RawReference, path: &str) -> Option<String> {
        // A Kubernetes Secret often ends with the newline of the editor that it was written in.
        let found = self.environment.get(&reference.env).map(|text| text.strip_suffix('\n').unwrap_or(text));
        let found = found.filter(|text| !text.is_empty()).map(str::to_owned);
        self.known(found, path, "the environment has no variable of this name, or an empty one")
    }

    fn tls(&mut self, raw: &RawTls, path: &str) -> Option<Tls> {
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

    fn file(&mut self, file: &str, path: &str) -> Option<Vec<u8>> {
        match std::fs::read(file) {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                self.problem(path, format!("the file cannot be read: {error}"));
                None
            }
        }
    }

    fn known<T>(&mut self, found: Option<T>, path: &str, what: &str) -> Option<T> {
        if found.is_none() {
            self.problem(path, what);
        }
        found
    }

    fn problem(&mut self, path: &str, what: impl Into<String>) {
        self.problems.push(problem(path, what));
    }
}

fn problem(path: &str, what: impl Into<String>) -> Problem {
    Problem { path: path.to_owned(), what: what.into() }
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

#[cfg(test)]
#[path = "config/config_tests.rs"]
mod tests;
