//! Opens connections to Redis and to its sentinels.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::io::tcp::socket2::TcpKeepalive;
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, ConnectionAddr, IntoConnectionInfo, ProtocolVersion, PushInfo,
    PushKind, RedisConnectionInfo, RedisResult, TlsCertificates, Value,
};

use crate::config::{Endpoint, Redis, Tls, User};
use crate::redis::redis_error::RedisError;

/// Opens connections of one kind: to masters, or to sentinels.
#[derive(Clone)]
pub(crate) struct Dialer {
    user: User,
    db: u8,
    tls: Option<Tls>,
    dial: Duration,
    answer: Duration,
    /// A name that holds nothing, for the probe of a master.
    unused_name: String,
    /// The last logged failure of each server, so that a repeated one is logged once.
    logged: Arc<Mutex<BTreeMap<Endpoint, String>>>,
}

impl Dialer {
    /// Returns a dialer to masters that hold records under this prefix.
    pub(crate) fn to_masters(redis: &Redis, key_prefix: &str) -> Self {
        Self {
            user: redis.user.clone(),
            db: redis.db,
            tls: redis.tls.clone(),
            dial: redis.dial,
            answer: redis.answer,
            unused_name: format!("{key_prefix}probe"),
            logged: Arc::default(),
        }
    }

    /// Returns a dialer to sentinels. Its timeouts are short, since all sentinels are asked in
    /// parallel.
    pub(crate) fn to_sentinels(redis: &Redis) -> Self {
        let (dial, answer) = (redis.dial.min(SENTINEL_TIMEOUT), redis.answer.min(SENTINEL_TIMEOUT));
        Self {
            user: redis.sentinel_user.clone(),
            db: 0,
            tls: redis.sentinel_tls.clone(),
            dial,
            answer,
            unused_name: String::new(),
            logged: Arc::default(),
        }
    }

    /// Returns a name that no record has.
    pub(crate) fn unused_name(&self) -> &str {
        &self.unused_name
    }

    /// Returns `true` if the connections use TLS, where the host name must match the certificate.
    pub(crate) fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Returns the timeout of a new connection.
    pub(crate) fn timeout(&self) -> Duration {
        self.dial
    }

    /// Connects and authenticates.
    pub(crate) async fn connect(&self, endpoint: &Endpoint) -> Result<MultiplexedConnection, RedisError> {
        self.connect_with(endpoint, || ()).await
    }

    /// Connects and authenticates. Calls `on_close` when the server, or something on the network
    /// path, closes the connection.
    pub(crate) async fn connect_with(
        &self,
        endpoint: &Endpoint,
        on_close: impl Fn() + Send + Sync + 'static,
    ) -> Result<MultiplexedConnection, RedisError> {
        let client = self.client(endpoint).map_err(|error| RedisError::from(&error))?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.dial))
            .set_response_timeout(Some(self.answer))
            .set_push_sender(move |push: PushInfo| {
                if push.kind == PushKind::Disconnection {
                    on_close();
                }
                Ok::<_, ()>(())
            });
        let connecting = client.get_multiplexed_async_connection_with_config(&config);
        // The timeout covers the authentication: a server that accepts the connection and then
        // stays silent is not reached.
        let connected = tokio::time::timeout(self.dial, connecting).await.map_err(|_| RedisError::TimedOut)?;
        match connected {
            Ok(connection) => {
                self.logged.lock().unwrap_or_else(PoisonError::into_inner).remove(endpoint);
                Ok(connection)
            }
            Err(error) => {
                self.log_failure(endpoint, &error);
                Err(RedisError::from(&error))
            }
        }
    }

    fn log_failure(&self, endpoint: &Endpoint, error: &redis::RedisError) {
        let text = error.to_string();
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.get(endpoint) == Some(&text) {
            return;
        }
        tracing::warn!(%endpoint, %error, "redis connection failed");
        // Addresses change over time; the map must not grow without bound.
        if logged.len() >= MAX_ENDPOINTS {
            logged.clear();
        }
        logged.insert(endpoint.clone(), text);
    }

    /// Returns the library's client for a server.
    pub(crate) fn client(&self, endpoint: &Endpoint) -> RedisResult<Client> {
        // `CLIENT SETINFO` is not granted.
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

/// TCP keepalive keeps an idle connection known to firewalls; the user timeout closes one whose
/// peer is gone.
fn tcp() -> TcpSettings {
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE_INTERVAL);
    TcpSettings::default().set_keepalive(keepalive).set_user_timeout(TCP_USER_TIMEOUT)
}

/// Returns `true` if the server's role is master. Uses `HELLO`, which every user may call and which
/// answers the role; `ROLE` and `INFO` are not granted.
pub(crate) async fn is_master(connection: &mut MultiplexedConnection) -> Result<bool, RedisError> {
    let answer: Value =
        redis::cmd("HELLO").arg(3).query_async(connection).await.map_err(|error| RedisError::from(&error))?;
    let Value::Map(fields) = answer else { return Err(RedisError::Unexpected) };
    Ok(fields.iter().any(|(name, value)| text(name) == Some("role") && text(value) == Some("master")))
}

/// Returns why the server refuses every write at the moment, if it does, by a `DEL` of a name that
/// is not there: it changes nothing and is sent to no replica. A denied `DEL`, and one for the slot
/// of another server, say nothing about writes.
///
/// # Errors
/// [`RedisError::Unreachable`] or [`RedisError::TimedOut`].
pub(crate) async fn write_refusal(
    connection: &mut MultiplexedConnection,
    unused_name: &str,
) -> Result<Option<RedisError>, RedisError> {
    let answer: redis::RedisResult<Value> = redis::cmd("DEL").arg(unused_name).query_async(connection).await;
    let Err(error) = answer else { return Ok(None) };
    let refusal = RedisError::from(&error);
    if matches!(refusal, RedisError::Unreachable | RedisError::TimedOut) {
        return Err(refusal);
    }
    // Only the slot of that name is without a server.
    let is_of_one_slot = error.detail().is_some_and(|words| words.contains("not served"));
    Ok(Some(refusal).filter(|refusal| refusal.is_of_every_write() && !is_of_one_slot))
}

/// Calls `WAIT numreplicas timeout` and returns the number of replicas that have acknowledged every
/// write of the master. A non-zero `numreplicas` makes the master request acknowledgements;
/// otherwise replicas acknowledge once a second, and a busy master seems to have none.
///
/// # Errors
/// [`RedisError::NotPermitted`] if `WAIT` is not granted, else the failure of the command.
pub(crate) async fn wait_for_replicas(
    connection: &mut MultiplexedConnection,
    replicas: u64,
    timeout: Duration,
) -> Result<u64, RedisError> {
    let milliseconds = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
    let answer = redis::cmd("WAIT").arg(replicas).arg(milliseconds).query_async(connection).await;
    answer.map_err(|error| RedisError::from(&error))
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

const MAX_ENDPOINTS: usize = 64;

/// TCP keepalive starts after this time without traffic.
const KEEPALIVE: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// A connection is closed when data or keepalive probes stay unacknowledged for this time.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(20);

const SENTINEL_TIMEOUT: Duration = Duration::from_millis(500);
