//! Connections to Redis and to its sentinels, made and named.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::io::tcp::socket2::TcpKeepalive;
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, ConnectionAddr, IntoConnectionInfo, ProtocolVersion, PushInfo,
    PushKind, RedisConnectionInfo, RedisError, RedisResult, TlsCertificates, Value,
};

use crate::config::{Endpoint, Redis, Tls, User};
use crate::redis::redis_error::Fault;

/// Makes connections of one kind: all to masters, or all to sentinels.
#[derive(Clone)]
pub(crate) struct Dialer {
    user: User,
    db: u8,
    tls: Option<Tls>,
    dial: Duration,
    answer: Duration,
    /// The last failure of each server that was logged: the same one a hundred times tells nothing
    /// more.
    told: Arc<Mutex<BTreeMap<Endpoint, String>>>,
}

impl Dialer {
    /// For masters.
    pub(crate) fn to_masters(redis: &Redis) -> Self {
        let (dial, answer) = (redis.dial, redis.answer);
        Self { user: redis.user.clone(), db: redis.db, tls: redis.tls.clone(), dial, answer, told: Arc::default() }
    }

    /// For sentinels, which are asked with short time-outs: the others are asked at the same time.
    pub(crate) fn to_sentinels(redis: &Redis) -> Self {
        let (dial, answer) = (redis.dial.min(SENTINEL_TIMEOUT), redis.answer.min(SENTINEL_TIMEOUT));
        Self {
            user: redis.sentinel_user.clone(),
            db: 0,
            tls: redis.sentinel_tls.clone(),
            dial,
            answer,
            told: Arc::default(),
        }
    }

    /// Whether the connections are by TLS, where a host's name matters.
    pub(crate) fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// How long a connection may take to be made.
    pub(crate) fn timeout(&self) -> Duration {
        self.dial
    }

    /// Connects and signs in.
    pub(crate) async fn connect(&self, endpoint: &Endpoint) -> Result<MultiplexedConnection, Fault> {
        self.connect_noticing(endpoint, || ()).await
    }

    /// Connects and signs in. `closed` is called when the server, or something on the way, closes
    /// the connection.
    pub(crate) async fn connect_noticing(
        &self,
        endpoint: &Endpoint,
        closed: impl Fn() + Send + Sync + 'static,
    ) -> Result<MultiplexedConnection, Fault> {
        let client = self.client(endpoint).map_err(|error| Fault::of(&error))?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.dial))
            .set_response_timeout(Some(self.answer))
            .set_push_sender(move |push: PushInfo| {
                if push.kind == PushKind::Disconnection {
                    closed();
                }
                Ok::<_, ()>(())
            });
        let connected = client.get_multiplexed_async_connection_with_config(&config);
        // Signing in is part of connecting: a server that takes the connection and then says
        // nothing is not reached.
        let connected = tokio::time::timeout(self.dial, connected).await.map_err(|_| Fault::TimedOut)?;
        match connected {
            Ok(connection) => {
                self.told.lock().unwrap_or_else(PoisonError::into_inner).remove(endpoint);
                Ok(connection)
            }
            Err(error) => {
                self.tell(endpoint, &error);
                Err(Fault::of(&error))
            }
        }
    }

    fn tell(&self, endpoint: &Endpoint, error: &RedisError) {
        let text = error.to_string();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.get(endpoint) == Some(&text) {
            return;
        }
        tracing::warn!(%endpoint, %error, "redis connection failed");
        // Addresses come and go; those that went must not pile up.
        if told.len() >= ENDPOINTS {
            told.clear();
        }
        told.insert(endpoint.clone(), text);
    }

    /// What the library needs to know to connect.
    pub(crate) fn client(&self, endpoint: &Endpoint) -> RedisResult<Client> {
        // Not CLIENT SETINFO: nobody granted it.
        let mut settings = RedisConnectionInfo::default()
            .set_protocol(ProtocolVersion::RESP3)
            .set_db(i64::from(self.db))
            .set_skip_set_lib_name();
        if let Some(name) = &self.user.name {
            settings = settings.set_username(name);
        }
        if let Some(password) = &self.user.password {
            settings = settings.set_password(password.as_str());
        }
        let (host, port) = (endpoint.host.clone(), endpoint.port);
        let Some(tls) = &self.tls else {
            let addr = ConnectionAddr::Tcp(host, port).into_connection_info()?;
            return Client::open(addr.set_redis_settings(settings).set_tcp_settings(tcp()));
        };
        let addr = ConnectionAddr::TcpTls { host, port, insecure: tls.insecure, tls_params: None };
        let client_tls = tls
            .identity
            .as_ref()
            .map(|(cert, key)| ClientTlsConfig { client_cert: cert.clone(), client_key: key.to_vec() });
        let certificates = TlsCertificates { client_tls, root_cert: tls.ca.clone() };
        let addr = addr.into_connection_info()?.set_redis_settings(settings).set_tcp_settings(tcp());
        Client::build_with_tls(addr, certificates)
    }
}

/// The kernel watches too: it keeps an idle connection known on its way, and gives up one whose
/// other end is gone.
fn tcp() -> TcpSettings {
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE_INTERVAL);
    TcpSettings::default().set_keepalive(keepalive).set_user_timeout(UNACKNOWLEDGED)
}

/// Asks a server what it is. HELLO is open to every user and names the role in its answer; ROLE and
/// INFO are not granted.
pub(crate) async fn is_master(connection: &mut MultiplexedConnection) -> Result<bool, Fault> {
    let answer: Value = redis::cmd("HELLO").arg(3).query_async(connection).await.map_err(|error| Fault::of(&error))?;
    let Value::Map(fields) = answer else { return Err(Fault::Unexpected) };
    Ok(fields.iter().any(|(name, value)| text(name) == Some("role") && text(value) == Some("master")))
}

/// How many replicas of a master have confirmed all that it has written; [`Fault::NotPermitted`]
/// where WAIT is not granted. So many are given so long for it, and are asked: unasked a replica
/// confirms once a second, and a busy master seems to have none.
pub(crate) async fn replicas(
    connection: &mut MultiplexedConnection,
    sought: u64,
    patience: Duration,
) -> Result<u64, Fault> {
    let milliseconds = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
    let asked = redis::cmd("WAIT").arg(sought).arg(milliseconds).query_async(connection).await;
    asked.map_err(|error| Fault::of(&error))
}

fn text(value: &Value) -> Option<&str> {
    if let Value::BulkString(bytes) = value {
        std::str::from_utf8(bytes).ok()
    } else if let Value::SimpleString(text) = value {
        Some(text)
    } else {
        None
    }
}

const ENDPOINTS: usize = 64;

/// Without traffic for so long, a connection is probed.
const KEEPALIVE: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// A connection whose probes or data are not acknowledged for so long is closed.
const UNACKNOWLEDGED: Duration = Duration::from_secs(20);

const SENTINEL_TIMEOUT: Duration = Duration::from_millis(500);
